---@meta _
-- Definitions of tables: perigee.schema, the verbs of executors on definitions, and reflection.

--- `perigee.schema`.
---@class perigee.schema_module
local schema = {}

--- Evaluates the definitions in a file, in a Lua state of their own: without files, network, clock
--- or random numbers.
---
--- Raises `usage` with file and line for what is wrong.
---@param path string
---@param options? perigee.schema_options
---@return perigee.schema
---@nodiscard
function schema.load(path, options) end

--- Evaluates definitions.
---
--- Raises `usage` with file and line for what is wrong.
---@param text string the script
---@param options? perigee.schema_options
---@return perigee.schema
---@nodiscard
function schema.parse(text, options) end

--- Is this a schema, from `load`, `parse` or `reflect`?
---@param v any
---@return boolean
---@nodiscard
function schema.is(v) end

--- Is this the definition of a table, such as `schema.tables.books`?
---@param v any
---@return boolean
---@nodiscard
function schema.is_definition(v) end

--- Options of `load` and `parse`.
---@class perigee.schema_options
---@field name? string the script's name in messages (the path; "definitions")
---@field root? string where `require` in the script finds files, and nowhere else (the folder of the file; none)
---@field dialect? "postgres"|"sqlite"|"mysql" the script is for this database only, and what others lack may be used

--- Definitions of tables.
---@class perigee.schema
---@field tables table<string, perigee.definition> by name: `schema.tables.books`, `schema.tables["audit.log"]`; a name that is not there is `usage`
---@field tree table all of it as plain tables; its form may change
local Schema = {}

--- Iterates over the definitions, in the order of the script.
---@return fun(): perigee.definition?
---@nodiscard
function Schema:each() end

--- The definition of a table, to be read. It may stand wherever a table is named.
---@class perigee.definition
---@field name string
---@field schema? string nil: the default one of the database
---@field columns table[] each with `name`, `type`, `null` and more
---@field primary_key? table with `columns` and `name`
---@field uniques table[]
---@field foreign_keys table[]
---@field checks table[]
---@field indexes table[]
---@field comment? string
---@field was? string the name that it had
---@field options table<string, table> options of one database

-- ---- verbs of executors ----------------------------------------------------

---@class perigee.executor
local X = {}

--- Creates what the definitions have and the database has not, parents before children, in one
--- transaction. What is there stays as it is.
---@async
---@param schema perigee.schema
---@return string[] names of the tables that were created
function X:create_all(schema) end

--- Drops what the definitions have, as far as it is there, children first, in one transaction.
---@async
---@param schema perigee.schema
---@return string[] names of the tables that were dropped
function X:drop_all(schema) end

--- Creates one table with its indexes, and the enums it needs.
---
--- Raises `duplicate` when there is one of its name, without options.
---@async
---@param definition perigee.definition
---@param options? perigee.create_table_options
---@return boolean created
function X:create(definition, options) end

--- Drops a table.
---
--- Raises `undefined` when there is none, without `if_exists`.
---@async
---@param t perigee.table_name
---@param options? perigee.drop_table_options
---@return boolean dropped
function X:drop(t, options) end

--- Changes a table to what its definition says, or by a list of changes, in one transaction; its
--- rows are kept.
---
--- Raises `usage` when a column would be dropped that `drop` does not name; on SQLite and MySQL
--- inside a transaction.
---@async
---@param t perigee.definition
---@param options? perigee.transform_options
---@return string[] done what was done, in words
---@overload async fun(self: perigee.executor, t: perigee.table_name, changes: perigee.table_changes): string[]
function X:transform(t, options) end

--- The names of a schema's tables, sorted.
---@async
---@param options? perigee.names_options
---@return string[]
---@nodiscard
function X:tables(options) end

--- The names of a schema's views, sorted.
---@async
---@param options? perigee.views_options
---@return string[]
---@nodiscard
function X:views(options) end

--- Reads tables, views and what else there is as definitions. `schema.tree.notes` lists what was
--- found and cannot be described.
---@async
---@param options? perigee.reflect_options
---@return perigee.schema
---@nodiscard
function X:reflect(options) end

---@class perigee.table<R, N>
local Table = {}

--- Drops the table.
---
--- Raises `undefined` when there is none, without `if_exists`.
---@async
---@param options? perigee.drop_table_options
---@return boolean dropped
function Table:drop(options) end

--- Changes the table by a list of changes; its rows are kept.
---
--- Raises `usage` on SQLite and MySQL inside a transaction.
---@async
---@param changes perigee.table_changes
---@return string[] done what was done, in words
function Table:transform(changes) end

--- Options of `create`.
---@class perigee.create_table_options
---@field if_not_exists? boolean false is returned when there is one of its name
---@field replace? boolean an existing one is dropped first, with its rows

--- Options of `drop`.
---@class perigee.drop_table_options
---@field if_exists? boolean false is returned when there is none
---@field cascade? boolean what depends on it goes too (only on PostgreSQL)

--- Options of `transform` with a definition.
---@class perigee.transform_options
---@field drop? string[] columns that may go: "books.price"
---@field rename? string[] columns with another name: "books.price=cost"
---@field not_rename? string[] columns that are not the old ones with another name

--- Changes of a table, in this order.
---@class perigee.table_changes
---@field rename? table<string, string> columns: `{ old = "new" }`
---@field add? { name: string, type: string, null?: boolean, default?: any, comment?: string }[] columns at the end
---@field types? table<string, string|table> columns' types: portable ones, or `{ raw = "citext" }`
---@field using? table<string, string> SQL by which values get the new type
---@field not_null? table<string, boolean>
---@field defaults? table<string, any> values, or `{ sql = "now()" }`
---@field drop? string[] columns
---@field rename_to? string the table's new name

--- Options of `tables`.
---@class perigee.names_options
---@field schema? string another than that of unqualified names
---@field partitions? boolean partitions too (false)

--- Options of `views`.
---@class perigee.views_options
---@field schema? string another than that of unqualified names

--- Options of `reflect`.
---@class perigee.reflect_options
---@field schemas? string[] schemas besides that of unqualified names
---@field include? fun(object: perigee.object): boolean is it wanted?
---@field tables? string[] only these

--- What `include` is asked about.
---@class perigee.object
---@field kind string
---@field schema? string
---@field name string
---@field table? string
