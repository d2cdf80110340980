---@meta _
-- What a script of definitions (schema.lua) sees besides Lua's own: statements, types, sql.
-- These are globals there and nowhere else.

--- What gives a column its type. `bigint { … }` has options, `bigint` has none.
---@class perigee.type
---@overload fun(options: perigee.column_options): perigee.typed

--- A type that may have lengths: `varchar(80)`, `numeric(12, 2) { … }`.
---@class perigee.sized_type: perigee.type
---@overload fun(options: perigee.column_options): perigee.typed
---@overload fun(n: integer, scale?: integer): perigee.type

--- A type with options: what a column is.
---@class perigee.typed

--- SQL, from `sql "…"`.
---@class perigee.expression

bigint = nil ---@type perigee.type an integer of 64 bits
int = nil ---@type perigee.type an integer of 32 bits
smallint = nil ---@type perigee.type an integer of 16 bits
boolean = nil ---@type perigee.type
text = nil ---@type perigee.type text of any length
varchar = nil ---@type perigee.sized_type text of at most n characters
char = nil ---@type perigee.sized_type text of n characters
numeric = nil ---@type perigee.sized_type exact decimals: precision, scale
float8 = nil ---@type perigee.type a floating-point number of 64 bits
float4 = nil ---@type perigee.type a floating-point number of 32 bits
date = nil ---@type perigee.type
time = nil ---@type perigee.type
timestamp = nil ---@type perigee.type what a clock shows
timestamptz = nil ---@type perigee.type a moment
interval = nil ---@type perigee.type
uuid = nil ---@type perigee.type
json = nil ---@type perigee.type
jsonb = nil ---@type perigee.type
bytes = nil ---@type perigee.type binary data

--- A type in the database's own words: `raw "tsvector"`.
---@param text string
---@return perigee.type
function raw(text) end

--- A list of values of a type, where the database has such.
---@param type perigee.type|string
---@return perigee.type
function array(type) end

--- An enum by its name, where the name is no word; with the values where it is not defined.
---@param name string "order_status", "crm.order_status"
---@param values? string[]
---@return perigee.type
function enum_type(name, values) end

--- SQL, where a string would be a literal: `sql "now()"`. `sql.now` and `sql.uuid` are the time and
--- a random UUID in the words of each database.
---@class perigee.sql_word
---@field now perigee.expression
---@field uuid perigee.expression
---@overload fun(text: string): perigee.expression
sql = nil

---@alias perigee.action "cascade"|"set null"|"set default"|"restrict"|"no action"

--- Options of a column.
---@class perigee.column_options
---@field null? boolean may it be NULL? (false)
---@field default? string|number|boolean|perigee.expression a literal, or SQL
---@field pk? boolean|string it is in the primary key; its name
---@field identity? true|"always"|perigee.identity numbers are given by the database; "always": never by an insert
---@field unique? boolean|string a unique key; its name
---@field index? boolean|string an index; its name
---@field check? string|perigee.expression a condition for each row
---@field ref? string|perigee.ref a foreign key: "table.column", "schema.table(column)", "table"
---@field on_delete? perigee.action of the foreign key
---@field on_update? perigee.action of the foreign key
---@field deferrable? boolean of the foreign key, or of `unique`
---@field deferred? boolean of the foreign key, or of `unique`
---@field match_full? boolean of the foreign key
---@field valid? boolean false: the foreign key is not checked for rows that were there before
---@field generated? perigee.expression it is computed
---@field stored? boolean it is computed when written, not when read (false)
---@field was? string the name that it had
---@field comment? string
---@field collation? string
---@field numeric_as? "text"|"number" how SQLite keeps a `numeric`
---@field type_on? perigee.type_on another type on a database

--- Another type on a database.
---@class perigee.type_on
---@field postgres? perigee.type|string
---@field sqlite? perigee.type|string
---@field mysql? perigee.type|string

--- How a database numbers rows.
---@class perigee.identity
---@field always? boolean never by an insert (false)
---@field start? integer
---@field increment? integer
---@field min? integer
---@field max? integer
---@field cache? integer
---@field cycle? boolean

--- What a foreign key refers to.
---@class perigee.ref
---@field table string
---@field schema? string
---@field column? string
---@field columns? string[]
---@field name? string the name of the foreign key

-- ---- tables ----------------------------------------------------------------

--- `table("orders", function(t) … end)` defines a table; its options may stand between.
---@class tablelib
---@overload fun(name: string|{ schema?: string, name: string }, body: fun(t: perigee.table_body))
---@overload fun(name: string|{ schema?: string, name: string }, options: perigee.definition_options, body: fun(t: perigee.table_body))

--- Options of a table.
---@class perigee.definition_options
---@field schema? string (the database's default one)
---@field comment? string
---@field was? string the name that it had

--- The body of a table: `t.name = type { options }` is a column. Columns have the order of the
--- statements.
---@class perigee.table_body
---@field [string] perigee.type|perigee.typed
local Body = {}

--- The primary key, when it has several columns or options.
---@param spec string|perigee.key_spec `{ "a", "b" }`
function Body:primary_key(spec) end

--- A unique key.
---@param spec string|perigee.unique_spec `{ "a", "b" }`
function Body:unique(spec) end

--- A foreign key.
---@param spec perigee.foreign_key_spec `{ "a", "b", ref = "other(x, y)" }`
function Body:foreign_key(spec) end

--- A condition for each row: `t:check(name, sql, options)` or `t:check(sql)`.
---@param name string|perigee.expression|perigee.check_spec
---@param sql? string|perigee.expression
---@param options? perigee.check_options
function Body:check(name, sql, options) end

--- An index: of columns ("a", "b desc nulls last") and expressions (`sql "lower(c)"`).
---@param spec string|perigee.expression|perigee.index_spec
function Body:index(spec) end

--- A comment on the table.
---@param text string
function Body:comment(text) end

--- Options of one database: `t:on "sqlite" { strict = true }`.
---@param database "postgres"
---@return fun(options: perigee.postgres_table)
---@overload fun(self: perigee.table_body, database: "sqlite"): fun(options: perigee.sqlite_table)
---@overload fun(self: perigee.table_body, database: "mysql"): fun(options: perigee.mysql_table)
function Body:on(database) end

--- A primary key: its columns, and options.
---@class perigee.key_spec
---@field [integer] string
---@field name? string
---@field deferrable? boolean
---@field deferred? boolean
---@field include? string|string[] further columns of its index

--- A unique key: its columns, and options.
---@class perigee.unique_spec: perigee.key_spec
---@field nulls_not_distinct? boolean NULLs are equal (PostgreSQL 15)

--- A foreign key: its columns, and options.
---@class perigee.foreign_key_spec
---@field [integer] string
---@field ref string|perigee.ref "table(x, y)", "schema.table(x, y)"
---@field name? string
---@field on_delete? perigee.action
---@field on_delete_columns? string[] the columns that `on_delete` sets
---@field on_update? perigee.action
---@field match_full? boolean
---@field deferrable? boolean
---@field deferred? boolean
---@field valid? boolean false: not checked for rows that were there before

--- Options of a check.
---@class perigee.check_options
---@field name? string
---@field sql? string|perigee.expression
---@field column? string of which it is
---@field no_inherit? boolean
---@field valid? boolean false: not checked for rows that were there before

--- A check as one table.
---@class perigee.check_spec: perigee.check_options
---@field [integer] string|perigee.expression

--- An index: columns and expressions, and options.
---@class perigee.index_spec
---@field [integer] string|perigee.expression|perigee.index_key
---@field name? string
---@field unique? boolean
---@field where? string|perigee.expression of which rows
---@field include? string|string[] further columns
---@field method? string "gin", "gist", … ("btree")
---@field with? table<string, string|number|boolean> storage parameters
---@field nulls_not_distinct? boolean NULLs are equal (PostgreSQL 15)
---@field comment? string

--- A column or an expression of an index.
---@class perigee.index_key
---@field [integer] string|perigee.expression
---@field column? string
---@field sql? string|perigee.expression in place of a column
---@field desc? boolean
---@field nulls? "first"|"last"
---@field opclass? string
---@field collation? string
---@field length? integer MySQL

--- Options of a table in PostgreSQL.
---@class perigee.postgres_table
---@field with? table<string, string|number|boolean> storage parameters
---@field unlogged? boolean
---@field partition_by? string
---@field row_security? boolean
---@field force_row_security? boolean

--- Options of a table in SQLite.
---@class perigee.sqlite_table
---@field strict? boolean
---@field without_rowid? boolean

--- Options of a table in MySQL.
---@class perigee.mysql_table
---@field engine? string
---@field charset? string
---@field collation? string
---@field row_format? string

-- ---- other objects ---------------------------------------------------------

--- `enum "order_status" { "new", "paid" }`: from there on the name is a type.
---@param name string
---@return fun(values: perigee.enum_values)
---@overload fun(name: string|{ schema?: string, name: string }, values: perigee.enum_values)
function enum(name) end

--- Values of an enum, and options.
---@class perigee.enum_values
---@field [integer] string
---@field comment? string
---@field schema? string

--- A view: `view(name, sql)` or `view(name, options, sql)`.
---@param name string|{ schema?: string, name: string }
---@param options string|perigee.expression|perigee.view_options
---@param sql? string|perigee.expression
function view(name, options, sql) end

--- Options of a view.
---@class perigee.view_options
---@field schema? string
---@field after? string|string[] what must be there before
---@field materialized? boolean (false)
---@field with? table<string, string|number|boolean>
---@field comment? string
---@field was? string the name that it had
---@field sql? string|perigee.expression the query

--- An extension of PostgreSQL.
---@param name string
---@param options? perigee.extension_options
function extension(name, options) end

--- Options of an extension.
---@class perigee.extension_options
---@field schema? string
---@field version? string
---@field after? string|string[] what must be there before
---@field comment? string

--- A domain of PostgreSQL.
---@param name string
---@param options perigee.domain_options
function domain(name, options) end

--- Options of a domain.
---@class perigee.domain_options
---@field base string|perigee.type the type that it is made of
---@field check? string|perigee.expression
---@field default? string|number|boolean|perigee.expression
---@field null? boolean
---@field collation? string
---@field schema? string
---@field after? string|string[] what must be there before
---@field comment? string

--- A sequence.
---@param name string
---@param options? perigee.sequence_options
function sequence(name, options) end

--- Options of a sequence.
---@class perigee.sequence_options
---@field start? integer
---@field increment? integer
---@field min? integer
---@field max? integer
---@field cache? integer
---@field cycle? boolean
---@field type? perigee.type|string
---@field owned_by? string a column: "orders.id"
---@field schema? string
---@field after? string|string[] what must be there before
---@field comment? string

--- A function; the name has the types of the arguments: `func("add(integer, integer)", [[CREATE …]])`.
---@param name string
---@param options string|perigee.expression|perigee.routine_options
---@param sql? string|perigee.expression
function func(name, options, sql) end

--- A trigger: `trigger(name, { on = "orders" }, [[CREATE TRIGGER …]])`.
---@param name string
---@param options perigee.routine_options `on` is needed
---@param sql string|perigee.expression
function trigger(name, options, sql) end

--- Options of a function or a trigger.
---@class perigee.routine_options
---@field on? string the table of a trigger
---@field schema? string
---@field after? string|string[] what must be there before
---@field comment? string

--- Any other object.
---@param options perigee.object_options
function schema_object(options) end

--- An object of the database.
---@class perigee.object_options
---@field kind string
---@field name string
---@field sql string|perigee.expression the statement that creates it
---@field on? string
---@field schema? string
---@field after? string|string[] what must be there before
---@field comment? string
---@field owned_by? string
---@field version? string
