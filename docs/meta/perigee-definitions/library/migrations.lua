---@meta _
-- What a migration file sees besides the types and sql of definitions.lua: migration { … }, none,
-- and the operations of m. Operations are recorded, not run, but for the functions of m:run.

--- `return migration { id = …, up = function(m) … end }` is the end of a migration file.
---@param spec perigee.migration_spec
---@return perigee.migration_spec
function migration(spec) end

--- Takes a default, a comment, an identity and so on away.
---@class perigee.none
none = nil

--- A migration.
---@class perigee.migration_spec
---@field id string letters, digits, - . and _; at most 64
---@field after? string|string[] the ids that it comes after; none: the first
---@field message? string what it does
---@field labels? string|string[] names for the branch that begins here
---@field depends? string|string[] migrations of other branches that have to be there first
---@field replaces? string|string[] migrations that were squashed into it
---@field up? fun(m: perigee.recorder) what it does
---@field finish? fun(m: perigee.recorder) what is done when no program needs the old any more
---@field down? false|fun(m: perigee.recorder) how it is taken back; false: it cannot be
---@field change? fun(m: perigee.recorder) in place of `up` and `down`: operations that can be turned round

--- A type of a column, also as a text: "numeric(12,2)".
---@alias perigee.type_name perigee.type|string

--- A column: `bigint { null = true }`, or a type and its options, or both in a table.
---@alias perigee.column_spec perigee.type|perigee.typed|string|table

-- ---- operations on a table -------------------------------------------------

--- Operations on one table: `m:alter "orders"`.
---@class perigee.table_recorder
local Target = {}

--- Adds a column at the end.
---@param name string
---@param spec perigee.column_spec `text { null = true }`
---@param options? perigee.column_options when the type has none
function Target:add_column(name, spec, options) end

--- Drops a column. It is lint's `drop-column`, which has to be allowed.
---@param name string
---@param options? perigee.was_column
function Target:drop_column(name, options) end

--- Gives a column another name.
---@param name string
---@param to string
function Target:rename_column(name, to) end

--- Changes a column.
---@param name string
---@param changes perigee.column_changes
function Target:alter_column(name, changes) end

--- Sets the primary key.
---@param spec string|perigee.new_key_spec
function Target:set_primary_key(spec) end

--- Drops the primary key.
---@param options? perigee.was_key
function Target:drop_primary_key(options) end

--- Adds a unique key.
---@param spec string|perigee.unique_spec
function Target:add_unique(spec) end

--- Drops a unique key.
---@param name string
---@param options? perigee.was_unique
function Target:drop_unique(name, options) end

--- Adds a foreign key. `ref` names the columns.
---@param spec perigee.foreign_key_spec
function Target:add_foreign_key(spec) end

--- Drops a foreign key.
---@param name string
---@param options? perigee.was_foreign_key
function Target:drop_foreign_key(name, options) end

--- Adds a check.
---@param name string|perigee.check_spec
---@param sql? string|perigee.expression
---@param options? perigee.check_options
function Target:add_check(name, sql, options) end

--- Drops a check.
---@param name string
---@param options? perigee.was_check
function Target:drop_check(name, options) end

--- Adds an index; on PostgreSQL while others work.
---@param spec string|perigee.expression|perigee.new_index_spec
function Target:add_index(spec) end

--- Drops an index; on PostgreSQL while others work.
---@param name string
---@param options? perigee.was_index
function Target:drop_index(name, options) end

--- Checks all rows by a constraint that was added with `valid = false`, in a transaction of its
--- own.
---@param name string
function Target:validate(name) end

--- Gives a constraint another name.
---@param name string
---@param to string
function Target:rename_constraint(name, to) end

--- Gives an index another name.
---@param name string
---@param to string
function Target:rename_index(name, to) end

--- Sets options of the table in a database.
---@param options perigee.table_options_by_database
function Target:set_options(options) end

--- Writes rows that are there, in batches by the key, each a transaction.
---@param options perigee.backfill_options
function Target:backfill(options) end

--- Sets the comment of the table, or of a column of it.
---@param text string|perigee.none|nil
---@param options? perigee.was_comment
function Target:set_comment(text, options) end

--- Lets a rule of lint pass for the next operation.
---@param rule string such as "drop-column"
---@param reason string why it is safe
function Target:allow(rule, reason) end

-- ---- operations ------------------------------------------------------------

--- What a migration does: `m`.
---@class perigee.recorder
local M = {}

--- The operations on a table: `m:alter "orders":drop_column "note"`. Each is also one of `m`, with
--- the table first.
---@param name string|{ schema?: string, name: string }
---@return perigee.table_recorder
function M:alter(name) end

--- Lets a rule of lint pass for the next operation.
---@param rule string such as "drop-column"
---@param reason string why it is safe
function M:allow(rule, reason) end

--- Adds a column at the end.
---@param target string the table: "name", "schema.name"
---@param name string
---@param spec perigee.column_spec `text { null = true }`
---@param options? perigee.column_options when the type has none
function M:add_column(target, name, spec, options) end

--- Drops a column. It is lint's `drop-column`, which has to be allowed.
---@param target string the table: "name", "schema.name"
---@param name string
---@param options? perigee.was_column
function M:drop_column(target, name, options) end

--- Gives a column another name.
---@param target string the table: "name", "schema.name"
---@param name string
---@param to string
function M:rename_column(target, name, to) end

--- Changes a column.
---@param target string the table: "name", "schema.name"
---@param name string
---@param changes perigee.column_changes
function M:alter_column(target, name, changes) end

--- Sets the primary key.
---@param target string the table: "name", "schema.name"
---@param spec string|perigee.new_key_spec
function M:set_primary_key(target, spec) end

--- Drops the primary key.
---@param target string the table: "name", "schema.name"
---@param options? perigee.was_key
function M:drop_primary_key(target, options) end

--- Adds a unique key.
---@param target string the table: "name", "schema.name"
---@param spec string|perigee.unique_spec
function M:add_unique(target, spec) end

--- Drops a unique key.
---@param target string the table: "name", "schema.name"
---@param name string
---@param options? perigee.was_unique
function M:drop_unique(target, name, options) end

--- Adds a foreign key. `ref` names the columns.
---@param target string the table: "name", "schema.name"
---@param spec perigee.foreign_key_spec
function M:add_foreign_key(target, spec) end

--- Drops a foreign key.
---@param target string the table: "name", "schema.name"
---@param name string
---@param options? perigee.was_foreign_key
function M:drop_foreign_key(target, name, options) end

--- Adds a check.
---@param target string the table: "name", "schema.name"
---@param name string|perigee.check_spec
---@param sql? string|perigee.expression
---@param options? perigee.check_options
function M:add_check(target, name, sql, options) end

--- Drops a check.
---@param target string the table: "name", "schema.name"
---@param name string
---@param options? perigee.was_check
function M:drop_check(target, name, options) end

--- Adds an index; on PostgreSQL while others work.
---@param target string the table: "name", "schema.name"
---@param spec string|perigee.expression|perigee.new_index_spec
function M:add_index(target, spec) end

--- Drops an index; on PostgreSQL while others work.
---@param target string the table: "name", "schema.name"
---@param name string
---@param options? perigee.was_index
function M:drop_index(target, name, options) end

--- Checks all rows by a constraint that was added with `valid = false`, in a transaction of its
--- own.
---@param target string the table: "name", "schema.name"
---@param name string
function M:validate(target, name) end

--- Gives a constraint another name.
---@param target string the table: "name", "schema.name"
---@param name string
---@param to string
function M:rename_constraint(target, name, to) end

--- Gives an index another name.
---@param target string the table: "name", "schema.name"
---@param name string
---@param to string
function M:rename_index(target, name, to) end

--- Sets options of the table in a database.
---@param target string the table: "name", "schema.name"
---@param options perigee.table_options_by_database
function M:set_options(target, options) end

--- Writes rows that are there, in batches by the key, each a transaction.
---@param target string the table: "name", "schema.name"
---@param options perigee.backfill_options
function M:backfill(target, options) end

--- Sets the comment of a table: `m:set_comment("orders", "text")`; or of what a table names.
---@param target string|perigee.comment_spec
---@param text? string|perigee.none
---@param options? perigee.was_comment
function M:set_comment(target, text, options) end

--- Creates a schema (PostgreSQL).
---@param name string
function M:create_schema(name) end

--- Drops a schema (PostgreSQL).
---@param name string
function M:drop_schema(name) end

--- Creates an enum, and gives its type.
---@param name string
---@param values string[]
---@return perigee.type
function M:create_enum(name, values) end

--- Drops an enum.
---@param name string
---@param options? perigee.was_values
function M:drop_enum(name, options) end

--- Adds a value to an enum, at the end unless `before` or `after` says where.
---@param name string
---@param value string
---@param options? perigee.enum_value_options
function M:add_enum_value(name, value, options) end

--- Gives a value of an enum another name.
---@param name string
---@param from string
---@param to string
function M:rename_enum_value(name, from, to) end

--- Sets all values of an enum, by a new type.
---@param name string
---@param values string[]
---@param options? perigee.was_values
function M:set_enum_values(name, values, options) end

--- Creates a table: `m:create_table("orders", function(t) … end)`; options may stand between.
---@param name string|{ schema?: string, name: string }
---@param options perigee.definition_options|fun(t: perigee.table_body)
---@param body? fun(t: perigee.table_body)
function M:create_table(name, options, body) end

--- Drops a table. It is lint's `drop-table`, which has to be allowed.
---@param name string
---@param options? perigee.was_table
function M:drop_table(name, options) end

--- Gives a table another name.
---@param name string
---@param to string
function M:rename_table(name, to) end

--- Creates a view: `(name, sql)` or `(name, options, sql)`.
---@param name string
---@param options string|perigee.expression|perigee.view_options
---@param sql? string|perigee.expression
function M:create_view(name, options, sql) end

--- Makes a view anew: `(name, sql)` or `(name, options, sql)`.
---@param name string
---@param options string|perigee.expression|perigee.replaced_view
---@param sql? string|perigee.expression
function M:replace_view(name, options, sql) end

--- Drops a view.
---@param name string
---@param options? perigee.was_view
function M:drop_view(name, options) end

--- Creates any other object.
---@param options perigee.object_options
function M:create_object(options) end

--- Makes an object anew.
---@param options perigee.replaced_object
function M:replace_object(options) end

--- Drops an object.
---@param options perigee.dropped_object
function M:drop_object(options) end

--- SQL: one text for all databases, or one for each.
---@param text string|perigee.expression|perigee.sql_spec
function M:sql(text) end

--- Calls a function with a transaction. It is not looked into by lint, `drift` and `sql`.
---@param fn async fun(tx: perigee.tx)
function M:run(fn) end

-- ---- options ---------------------------------------------------------------

--- What a column was, so that dropping it can be turned round.
---@class perigee.was_column
---@field was? perigee.column_spec

--- What changes in a column; `none` takes away.
---@class perigee.column_changes
---@field type? perigee.type_name
---@field null? boolean
---@field default? string|number|boolean|perigee.expression|perigee.none
---@field identity? true|false|"always"|perigee.identity|perigee.none
---@field generated? perigee.expression|perigee.none
---@field stored? boolean
---@field comment? string|perigee.none
---@field collation? string|perigee.none
---@field using? string|perigee.expression how values get the new type
---@field was? perigee.old_column what it was, so that it can be turned round

--- What a column was.
---@class perigee.old_column
---@field type? perigee.type_name
---@field null? boolean
---@field default? string|number|boolean|perigee.expression|perigee.none
---@field identity? true|false|"always"|perigee.identity|perigee.none
---@field generated? perigee.expression|perigee.none
---@field stored? boolean
---@field comment? string|perigee.none
---@field collation? string|perigee.none

--- A primary key, and what it was.
---@class perigee.new_key_spec: perigee.key_spec
---@field was? string|perigee.key_spec

--- What a primary key was.
---@class perigee.was_key
---@field name? string
---@field was? string|perigee.key_spec

--- What a unique key was.
---@class perigee.was_unique
---@field was? string|perigee.unique_spec

--- What a foreign key was.
---@class perigee.was_foreign_key
---@field was? perigee.foreign_key_spec

--- What a check was.
---@class perigee.was_check
---@field was? string|perigee.expression|perigee.check_spec

--- An index to be added.
---@class perigee.new_index_spec: perigee.index_spec
---@field concurrently? boolean PostgreSQL: while others work (true)

--- What an index was.
---@class perigee.was_index
---@field was? string|perigee.expression|perigee.index_spec
---@field concurrently? boolean PostgreSQL: while others work (true)

--- What a comment was, and whose.
---@class perigee.was_comment
---@field column? string
---@field was? string|perigee.none

--- A comment of a table, a column of it, or any object.
---@class perigee.comment_spec
---@field table? string
---@field column? string
---@field kind? string
---@field name? string
---@field schema? string
---@field text? string
---@field was? string

--- Options of a table by database.
---@class perigee.table_options_by_database
---@field postgres? perigee.postgres_table
---@field sqlite? perigee.sqlite_table
---@field mysql? perigee.mysql_table
---@field was? table what they were

--- Which rows are written, and how.
---@class perigee.backfill_options
---@field set table<string, string|number|boolean|perigee.expression>
---@field where? string|perigee.expression which rows; those that are done should not match any more
---@field key? string the column by which the batches go (the first one of the primary key)
---@field batch? integer rows of a batch (5000)
---@field pause? number seconds between two batches (0)

--- What the values of an enum were.
---@class perigee.was_values
---@field was? string[]

--- Where a value of an enum comes.
---@class perigee.enum_value_options
---@field before? string
---@field after? string
---@field was? string[] all values there were

--- What a table was.
---@class perigee.was_table
---@field was? fun(t: perigee.table_body)
---@field comment? string

--- A view that is made anew, and what it was.
---@class perigee.replaced_view: perigee.view_options
---@field was? string|table the query

--- What a view was.
---@class perigee.was_view
---@field was? string|table the query

--- An object that is made anew, and what it was.
---@class perigee.replaced_object: perigee.object_options
---@field was? string|table the statement

--- An object that is dropped, and what it was.
---@class perigee.dropped_object
---@field kind string
---@field name string
---@field on? string
---@field schema? string
---@field was? string|table the statement

--- SQL of one's own.
---@class perigee.sql_spec
---@field [integer] string|perigee.expression for all databases
---@field default? string|perigee.expression for all databases
---@field postgres? string|perigee.expression
---@field sqlite? string|perigee.expression
---@field mysql? string|perigee.expression
---@field down? string|perigee.expression|table what undoes it: one text, or one for each database
---@field probe? string|perigee.expression a query that is true when it was done; for `tx = false`
---@field tx? boolean in the transaction of the other statements (true)
