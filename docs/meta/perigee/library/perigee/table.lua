---@meta _
-- A handle of a table (h) has the verbs of executors (x) without the table:
-- `x:select(t, filter)` and `h:select(filter)` are the same.

--- What names a table: "articles", "shop.articles", `{ schema =, name = }`, a handle, or a
--- definition.
---@alias perigee.table_name string|{ schema?: string, name: string }|perigee.definition|perigee.table

--- The key of a row: a value; of several columns a table, by names or in the order of the key.
---@alias perigee.key any

--- Conditions that all must hold. A key is "column" (a value: equal; `perigee.null`; a list: one of
--- these) or "column:op" with `eq ne gt ge lt le between in not_in is_null like ilike prefix
--- contains`. In the array part stand groups, `perigee.sql` and more filters.
---@alias perigee.filter table<string|integer, any>|perigee.group|perigee.sql|nil

--- An order: "column", "-column", `{ "column", desc = true, nulls = "first" }`, `perigee.sql`, or a
--- list of these.
---@alias perigee.order string|table|perigee.sql

--- Columns: a list of names; keyed by an alias: a `perigee.sql`, or a name.
---@alias perigee.columns table<string|integer, string|perigee.sql>

--- How rows are locked.
---@alias perigee.lock
---| "update" locks the rows until the end of the transaction
---| "update nowait" raises `locked` when one is locked
---| "update skip_locked" passes over those that are locked
---| "share" others may read and share them, not write
---| "share nowait"
---| "share skip_locked"

-- ---- handles ---------------------------------------------------------------

--- The tables of a database by name: `db.t.articles`, `db.t["shop.articles"]`. `perigee codegen`
--- writes the fields of one's own.
---@class perigee.tables
---@field [string] perigee.table<perigee.row, table<string, any>>

--- A handle of a table, for rows R and records N that are written. `h(filter, options)` is
--- `h:select(filter, options)`. It cannot be changed.
---@class perigee.table<R, N>
---@field name string
---@field schema? string nil when none was given
---@field columns perigee.column[] in the order of the table
---@field c table<string, perigee.column> the columns by name; a name that is not there is `usage`
---@field pk? string[] the columns of the primary key, in its order; nil without one
---@field keys perigee.unique_key[] the primary key and the unique keys
--- Inserts a row, and gives it as it is stored. What the record does not name has its default.
---@field insert async fun(self: perigee.table<R, N>, record?: N, options?: perigee.insert_options): R
--- Inserts a row, or updates the one with the same key; atomic.
---
--- Raises `usage` when `on` is no unique key, `unique` for a conflict on another key.
---@field upsert async fun(self: perigee.table<R, N>, record: N, options?: perigee.upsert_options): R, boolean
--- Stores a record: with a whole primary key an upsert on it, without one an insert. Columns that
--- the database computes are left out.
---@field save async fun(self: perigee.table<R, N>, record: N, options?: perigee.save_options): R, boolean
--- Inserts many rows: all or none.
---@field insert_many async fun(self: perigee.table<R, N>, list: N[], options?: perigee.insert_many_options): perigee.rows<R>
--- Copies rows into the table by COPY: all or nothing. A column that a record lacks is NULL.
---@field copy_in async fun(self: perigee.table<R, N>, source: table|async fun(): any, options?: perigee.copy_in_options): integer
--- Iterates over the rows by COPY, or with `raw` over their bytes.
---@field copy_out async fun(self: perigee.table<R, N>, options?: perigee.copy_out_options): fun(it: perigee.iterator<any>): (any), perigee.iterator<any>
--- Inserts many rows, or updates those whose key is there: all or none.
---
--- Raises `usage` when two records have the same key.
---@field upsert_many async fun(self: perigee.table<R, N>, list: N[], options?: perigee.upsert_many_options): perigee.rows<R>, boolean[]
--- Stores many records as `save` does: all or none.
---
--- Raises `usage` when a key is there twice.
---@field save_all async fun(self: perigee.table<R, N>, list: N[], options?: perigee.save_all_options): perigee.rows<R>
--- Takes one pending row and runs `fn(row, tx)`, in a transaction and a savepoint. Then the row is
--- completed; failed when `fn` raised; pending as before when it returned `perigee.retry`.
---
--- Raises the error of `fn` unless `swallow` is set; `unsupported` on SQLite.
---@field claim_one async fun(self: perigee.table<R, N>, options: perigee.claim_one_options?, fn: async fun(row: R, tx: perigee.tx): ...): boolean, any, ...
---@operator call(perigee.filter?): perigee.rows<R>
local Table = {}

--- A column of a table.
---@class perigee.column
---@field name string
---@field type string as the database writes it
---@field class "int"|"float"|"numeric"|"bool"|"text"|"uuid"|"bytes"|"date"|"time"|"timestamp"|"timestamptz"|"json"|"array"|"other"|"any" what it takes
---@field elem? string the class of an array's members
---@field not_null boolean
---@field default boolean has it a default
---@field generated boolean does the database compute it
---@field orderable boolean may it be compared by `gt` and so on

--- A unique key of a table.
---@class perigee.unique_key
---@field name string
---@field primary boolean
---@field columns string[]

--- The same table, scope and class on another executor.
---@param x perigee.executor
---@return perigee.table<R, N>
---@nodiscard
function Table:on(x) end

--- A handle on the rows that have these values; what it inserts has them. Adds to a scope that is
--- there.
---
--- Raises `usage` without values, and when one of its columns has another value already.
---@param values table<string, string|number|boolean>
---@return perigee.table<R, N>
---@nodiscard
function Table:scope(values) end

--- The rows that match.
---@async
---@param filter? perigee.filter nil and `{}` are all rows
---@param options? perigee.select_options
---@return perigee.rows<R>
function Table:select(filter, options) end

--- The row with this key, or nil.
---@async
---@param key perigee.key of the primary key
---@param options? perigee.get_options
---@return R?
function Table:get(key, options) end

--- The row with this key.
---
--- Raises `not_found`, with table and key.
---@async
---@param key perigee.key of the primary key
---@param options? perigee.get_options
---@return R
function Table:at(key, options) end

--- The only row that matches.
---
--- Raises `not_found` when there is none, `not_unique` when there are more.
---@async
---@param filter? perigee.filter nil and `{}` are all rows
---@param options? perigee.get_options
---@return R
function Table:find(filter, options) end

--- The first row that matches, or nil.
---@async
---@param filter? perigee.filter nil and `{}` are all rows
---@param options? perigee.first_options
---@return R?
function Table:find_first(filter, options) end

--- Is there a row that matches?
---@async
---@param filter? perigee.filter nil and `{}` are all rows
---@param options? perigee.timeout_options
---@return boolean
---@nodiscard
function Table:exists(filter, options) end

--- How many rows match.
---@async
---@param filter? perigee.filter nil and `{}` are all rows
---@param options? perigee.timeout_options
---@return integer
---@nodiscard
function Table:count(filter, options) end

--- Groups of the rows that match, with their counts, sums and so on.
---@async
---@param filter? perigee.filter nil and `{}` are all rows
---@param options? perigee.group_options
---@return perigee.rows<perigee.row>
function Table:group(filter, options) end

--- Updates the rows that match; gives their number, or with `returning` the rows.
---
--- Raises `usage` when the filter has no condition and `all` is not set.
---@async
---@param filter perigee.filter an empty one is refused, unless `all` is true
---@param values table<string, any> the columns to set
---@param options? perigee.write_options
---@return integer|perigee.rows<R>
function Table:update(filter, values, options) end

--- Deletes the rows that match; gives their number, or with `returning` the rows.
---
--- Raises `usage` when the filter has no condition and `all` is not set.
---@async
---@param filter perigee.filter an empty one is refused, unless `all` is true
---@param options? perigee.write_options
---@return integer|perigee.rows<R>
function Table:delete(filter, options) end

--- The row with these values, or a new one of `filter` and `defaults`. However many do that at
--- once, one makes it and all get it.
---
--- Raises `unique` when the row with the key differs in other columns of the filter.
---@async
---@param filter table<string, any> plain values for all columns of a unique key
---@param defaults? table<string, any> more columns of a new row
---@param options? perigee.create_options
---@return R
---@return boolean created
function Table:get_or_create(filter, defaults, options) end

--- Updates the row with these values, which is locked before it is read, or makes one.
---@async
---@param filter table<string, any> plain values for all columns of a unique key
---@param options perigee.update_or_create_options
---@return R
---@return boolean created
function Table:update_or_create(filter, options) end

--- Updates many rows, each with its own values: all or none.
---
--- Raises `not_found` with `missing = "error"` for a key that is not there.
---@async
---@param list table<string, any>[] records: the key, and the columns to set
---@param options? perigee.update_many_options
---@return integer count of the rows that were there
---@return any[] missing the keys that have no row
function Table:update_many(list, options) end

--- Deletes the rows with these keys: all or none.
---@async
---@param list perigee.key[] keys, or records with them
---@param options? perigee.timeout_options
---@return integer
function Table:delete_many(list, options) end

--- Locks rows until the end of the transaction, passing over those that others have locked.
---
--- Raises `usage` outside of a transaction, `unsupported` on SQLite.
---@async
---@param filter? perigee.filter nil and `{}` are all rows
---@param options? perigee.claim_options
---@return perigee.rows<R>
function Table:claim(filter, options) end

--- A page of rows, found by the place of the last row seen and not by an offset.
---
--- Raises `cursor` for a cursor that is not ours, was changed, or belongs to something else.
---@async
---@param filter? perigee.filter nil and `{}` are all rows
---@param options? perigee.page_options
---@return perigee.page<R>
function Table:page(filter, options) end

--- Puts rows of other tables into these rows, `row[name]` for each relation, with one query each.
---@async
---@generic L: table[]
---@param rows L they are changed
---@param relations table<string, perigee.relation>
---@return L rows
function Table:preload(rows, relations) end

-- ---- executors ---------------------------------------------------------------

---@class perigee.executor
local X = {}

--- A handle of a table. Nothing is asked of the database before the first verb.
---@param t perigee.table_name
---@param options? perigee.table_options
---@return perigee.table<perigee.row, table<string, any>>
---@nodiscard
function X:table(t, options) end

-- ---- reading -----------------------------------------------------------------

--- The rows that match.
---@async
---@param t perigee.table_name
---@param filter? perigee.filter nil and `{}` are all rows
---@param options? perigee.select_options
---@return perigee.rows<perigee.row>
function X:select(t, filter, options) end

--- The row with this key, or nil.
---@async
---@param t perigee.table_name
---@param key perigee.key of the primary key
---@param options? perigee.get_options
---@return perigee.row?
function X:get(t, key, options) end

--- The row with this key.
---
--- Raises `not_found`, with table and key.
---@async
---@param t perigee.table_name
---@param key perigee.key of the primary key
---@param options? perigee.get_options
---@return perigee.row
function X:at(t, key, options) end

--- The only row that matches.
---
--- Raises `not_found` when there is none, `not_unique` when there are more.
---@async
---@param t perigee.table_name
---@param filter? perigee.filter nil and `{}` are all rows
---@param options? perigee.get_options
---@return perigee.row
function X:find(t, filter, options) end

--- The first row that matches, or nil.
---@async
---@param t perigee.table_name
---@param filter? perigee.filter nil and `{}` are all rows
---@param options? perigee.first_options
---@return perigee.row?
function X:find_first(t, filter, options) end

--- Is there a row that matches?
---@async
---@param t perigee.table_name
---@param filter? perigee.filter nil and `{}` are all rows
---@param options? perigee.timeout_options
---@return boolean
---@nodiscard
function X:exists(t, filter, options) end

--- How many rows match.
---@async
---@param t perigee.table_name
---@param filter? perigee.filter nil and `{}` are all rows
---@param options? perigee.timeout_options
---@return integer
---@nodiscard
function X:count(t, filter, options) end

--- Groups of the rows that match, with their counts, sums and so on.
---@async
---@param t perigee.table_name
---@param filter? perigee.filter nil and `{}` are all rows
---@param options? perigee.group_options
---@return perigee.rows<perigee.row>
function X:group(t, filter, options) end

-- ---- writing -----------------------------------------------------------------

--- Inserts a row, and gives it as it is stored. What the record does not name has its default.
---@async
---@param t perigee.table_name
---@param record? table<string, any> none, or `{}`: a row of defaults
---@param options? perigee.insert_options
---@return perigee.row
function X:insert(t, record, options) end

--- Updates the rows that match; gives their number, or with `returning` the rows.
---
--- Raises `usage` when the filter has no condition and `all` is not set.
---@async
---@param t perigee.table_name
---@param filter perigee.filter an empty one is refused, unless `all` is true
---@param values table<string, any> the columns to set
---@param options? perigee.write_options
---@return integer|perigee.rows<perigee.row>
function X:update(t, filter, values, options) end

--- Deletes the rows that match; gives their number, or with `returning` the rows.
---
--- Raises `usage` when the filter has no condition and `all` is not set.
---@async
---@param t perigee.table_name
---@param filter perigee.filter an empty one is refused, unless `all` is true
---@param options? perigee.write_options
---@return integer|perigee.rows<perigee.row>
function X:delete(t, filter, options) end

--- Inserts a row, or updates the one with the same key; atomic.
---
--- Raises `usage` when `on` is no unique key, `unique` for a conflict on another key.
---@async
---@param t perigee.table_name
---@param record table<string, any>
---@param options? perigee.upsert_options
---@return perigee.row
---@return boolean created
function X:upsert(t, record, options) end

--- Stores a record: with a whole primary key an upsert on it, without one an insert. Columns that
--- the database computes are left out.
---@async
---@param t perigee.table_name
---@param record table<string, any>
---@param options? perigee.save_options
---@return perigee.row
---@return boolean created
function X:save(t, record, options) end

--- The row with these values, or a new one of `filter` and `defaults`. However many do that at
--- once, one makes it and all get it.
---
--- Raises `unique` when the row with the key differs in other columns of the filter.
---@async
---@param t perigee.table_name
---@param filter table<string, any> plain values for all columns of a unique key
---@param defaults? table<string, any> more columns of a new row
---@param options? perigee.create_options
---@return perigee.row
---@return boolean created
function X:get_or_create(t, filter, defaults, options) end

--- Updates the row with these values, which is locked before it is read, or makes one.
---@async
---@param t perigee.table_name
---@param filter table<string, any> plain values for all columns of a unique key
---@param options perigee.update_or_create_options
---@return perigee.row
---@return boolean created
function X:update_or_create(t, filter, options) end

-- ---- many rows ---------------------------------------------------------------

--- Inserts many rows: all or none.
---@async
---@param t perigee.table_name
---@param list table<string, any>[] records; what one does not name has its default
---@param options? perigee.insert_many_options
---@return perigee.rows<perigee.row>
function X:insert_many(t, list, options) end

--- Inserts many rows, or updates those whose key is there: all or none.
---
--- Raises `usage` when two records have the same key.
---@async
---@param t perigee.table_name
---@param list table<string, any>[] records
---@param options? perigee.upsert_many_options
---@return perigee.rows<perigee.row>
---@return boolean[] created for each row
function X:upsert_many(t, list, options) end

--- Updates many rows, each with its own values: all or none.
---
--- Raises `not_found` with `missing = "error"` for a key that is not there.
---@async
---@param t perigee.table_name
---@param list table<string, any>[] records: the key, and the columns to set
---@param options? perigee.update_many_options
---@return integer count of the rows that were there
---@return any[] missing the keys that have no row
function X:update_many(t, list, options) end

--- Deletes the rows with these keys: all or none.
---@async
---@param t perigee.table_name
---@param list perigee.key[] keys, or records with them
---@param options? perigee.timeout_options
---@return integer
function X:delete_many(t, list, options) end

--- Stores many records as `save` does: all or none.
---
--- Raises `usage` when a key is there twice.
---@async
---@param t perigee.table_name
---@param list table<string, any>[] records
---@param options? perigee.save_all_options
---@return perigee.rows<perigee.row>
function X:save_all(t, list, options) end

-- ---- queues ------------------------------------------------------------------

--- Locks rows until the end of the transaction, passing over those that others have locked.
---
--- Raises `usage` outside of a transaction, `unsupported` on SQLite.
---@async
---@param t perigee.table_name
---@param filter? perigee.filter nil and `{}` are all rows
---@param options? perigee.claim_options
---@return perigee.rows<perigee.row>
function X:claim(t, filter, options) end

--- Takes one pending row and runs `fn(row, tx)`, in a transaction and a savepoint. Then the row is
--- completed; failed when `fn` raised; pending as before when it returned `perigee.retry`.
---
--- Raises the error of `fn` unless `swallow` is set; `unsupported` on SQLite.
---@async
---@param t perigee.table_name
---@param options perigee.claim_one_options?
---@param fn async fun(row: perigee.row, tx: perigee.tx): ...
---@return boolean done false when there is no pending row, or after an error with `swallow`
---@return any ... the results of `fn`, or the error
function X:claim_one(t, options, fn) end

-- ---- pages -------------------------------------------------------------------

--- A page of rows, found by the place of the last row seen and not by an offset.
---
--- Raises `cursor` for a cursor that is not ours, was changed, or belongs to something else.
---@async
---@param t perigee.table_name
---@param filter? perigee.filter nil and `{}` are all rows
---@param options? perigee.page_options
---@return perigee.page<perigee.row>
function X:page(t, filter, options) end

-- ---- related rows ------------------------------------------------------------

--- Puts rows of other tables into these rows, `row[name]` for each relation, with one query each.
---@async
---@generic L: table[]
---@param rows L they are changed
---@param relations table<string, perigee.relation>
---@return L rows
function X:preload(rows, relations) end

-- ---- which tables there are --------------------------------------------------

--- Is there a table or view of this name? Asks the database.
---@async
---@param t perigee.table_name
---@return boolean
---@nodiscard
function X:has_table(t) end

--- Has the table this column? Asks the database.
---@async
---@param t perigee.table_name
---@param column string
---@return boolean
---@nodiscard
function X:has_column(t, column) end

--- Sets `env[name]` to a handle for every table of the default schema, but partitions of others.
---
--- Raises `usage` when `env` has one of the names; then nothing is set.
---@async
---@generic E: table
---@param env E
---@param options? perigee.export_options
---@return E env
function X:export(env, options) end

-- ---- options and results ---------------------------------------------------------------

--- Options of `table`.
---@class perigee.table_options
---@field class? perigee.hooks|table the metatable of rows, and its hooks

--- Options of `export`.
---@class perigee.export_options
---@field plural? boolean the English plural of the names (false)
---@field tables? string[] only these

--- Options of verbs that give no rows.
---@class perigee.timeout_options
---@field timeout? number seconds for the statement (`query_timeout` of the handle)

--- Options of `select`.
---@class perigee.select_options: perigee.call_options
---@field order_by? perigee.order NULL is larger than every value unless `nulls` says
---@field limit? integer 0 is no row
---@field offset? integer rows to pass over (0)
---@field columns? perigee.columns instead of all columns
---@field lock? perigee.lock locks the rows until the end of the transaction

--- Options of `get`, `at` and `find`.
---@class perigee.get_options: perigee.call_options
---@field columns? perigee.columns instead of all columns
---@field lock? perigee.lock locks the row until the end of the transaction

--- Options of `find_first`.
---@class perigee.first_options: perigee.call_options
---@field order_by? perigee.order the primary key by default
---@field columns? perigee.columns instead of all columns
---@field lock? perigee.lock locks the row until the end of the transaction
---@field offset? integer rows to pass over (0)

--- Options of `group`.
---@class perigee.group_options: perigee.call_options
---@field by? string|string[] the columns whose values make a group
---@field count? string the name of the number of rows ("count" when no aggregate is asked for)
---@field sum? table<string, string> `{ alias = "column" }`
---@field min? table<string, string> `{ alias = "column" }`
---@field max? table<string, string> `{ alias = "column" }`
---@field avg? table<string, string> `{ alias = "column" }`
---@field order_by? perigee.order columns of `by`, and names of aggregates (the columns of `by`)
---@field limit? integer
---@field offset? integer

--- Options of `insert`.
---@class perigee.insert_options: perigee.call_options
---@field returning? boolean|string[] which columns are returned; false gives the number of rows, 1 (true)
---@field on_conflict? "nothing" nil is returned when a row with the same unique key is there

--- Options of `update` and `delete`.
---@class perigee.write_options: perigee.call_options
---@field all? boolean allows a filter without a condition (false)
---@field returning? boolean|string[] the rows are returned, with these columns (false)

--- Options of `upsert`.
---@class perigee.upsert_options
---@field on? string|string[] columns of a unique key (the primary key)
---@field set? string[]|table<string, any> what a row that is there gets: columns of the record, or values; `{}`: nothing (all but the key)
---@field returning? boolean|string[] which columns are returned; false gives the number of rows (true)
---@field timeout? number seconds for a statement
---@field class? table a metatable for the row

--- Options of `save`.
---@class perigee.save_options
---@field returning? boolean|string[] which columns are returned; false gives the number of rows (true)
---@field timeout? number seconds for a statement
---@field class? table a metatable for the row

--- Options of `get_or_create`.
---@class perigee.create_options
---@field timeout? number seconds for a statement
---@field class? table a metatable for the row

--- Options of `update_or_create`.
---@class perigee.update_or_create_options
---@field defaults? table<string, any>|fun(row: perigee.row?): table<string, any> values for an update, and for a new row; a function gets the row, nil for a new one
---@field create_defaults? table<string, any> values for a new row instead, also when it is `{}`
---@field timeout? number seconds for a statement
---@field class? table a metatable for the row

--- Options of `insert_many`.
---@class perigee.insert_many_options
---@field returning? boolean|string[] which columns are returned; false gives the number of rows (true)
---@field timeout? number seconds for a statement
---@field class? table a metatable for the rows

--- Options of `upsert_many`.
---@class perigee.upsert_many_options
---@field on? string|string[] columns of a unique key (the primary key)
---@field set? string[]|table<string, any> what rows that are there get (all but the key)
---@field returning? boolean|string[] which columns are returned; false gives the number of rows (true)
---@field timeout? number seconds for a statement
---@field class? table a metatable for the rows

--- Options of `update_many`.
---@class perigee.update_many_options
---@field on? string|string[] columns of a unique key (the primary key)
---@field missing? "report"|"error" "error": a key that is not there raises `not_found`, and nothing is changed ("report")
---@field timeout? number seconds for a statement

--- Options of `save_all`.
---@class perigee.save_all_options
---@field timeout? number seconds for a statement
---@field class? table a metatable for the rows

--- Options of `claim`.
---@class perigee.claim_options
---@field order_by? perigee.order
---@field limit? integer (1)
---@field columns? perigee.columns instead of all columns
---@field timeout? number seconds for the statement
---@field class? table a metatable for the rows

--- Options of `claim_one`.
---@class perigee.claim_one_options
---@field status? string the column ("status")
---@field pending? any its value for rows to be taken ("pending")
---@field completed? any its value after `fn` has returned ("completed")
---@field failed? any its value after `fn` has raised ("failed")
---@field filter? perigee.filter which rows
---@field order_by? perigee.order which first
---@field error? string a column for the message of the error
---@field swallow? boolean return the error instead of raising it (false)
---@field timeout? number seconds for a statement
---@field class? table a metatable for the row

--- Options of `page`.
---@class perigee.page_options: perigee.call_options
---@field order_by? perigee.order without `perigee.sql` (the primary key, which is appended)
---@field limit? integer at least 1, no more than `max_limit` of the handle (50)
---@field cursor? string `next` or `prev` of another page; filter, order and search are its own
---@field search? { text: string, columns: string[] } the text in one of these columns, literally; case does not count
---@field columns? string[] instead of all columns
---@field total? boolean also count (false)

--- A page of rows.
---@class perigee.page<R>
---@field rows perigee.rows<R>
---@field limit integer
---@field next? string the cursor of the next page; nil when there is none
---@field prev? string the cursor of the page before; nil when there is none
---@field total? integer how many rows all pages have, when it was asked for

--- Which rows `preload` puts into a row.
---@class perigee.relation
---@field table perigee.table_name the other table
---@field key string the column that refers: of our rows; with `many` of theirs
---@field many? boolean `row[name]` is a list; else a row or nil (false)
---@field column? string the column referred to: theirs; with `many` ours (the primary key)
---@field filter? perigee.filter
---@field order_by? perigee.order (their primary key)
---@field columns? perigee.columns
---@field class? table
---@field timeout? number

-- ---- hooks -----------------------------------------------------------------

--- Functions in the class of a handle that run before and after what its verbs write, in one
--- transaction with it. What comes before gets a copy that it may change, or returns a table
--- instead.
---@class perigee.hooks
---@field before_save? async fun(values: table, tx: perigee.tx, key?: table): table?
---@field after_save? async fun(row: any, tx: perigee.tx, created: boolean)
---@field before_insert? async fun(record: table, tx: perigee.tx): table?
---@field after_insert? async fun(row: any, tx: perigee.tx)
---@field before_update? async fun(values: table, tx: perigee.tx, filter: table): table?
---@field after_update? async fun(result: any, tx: perigee.tx)
---@field before_delete? async fun(filter: table, tx: perigee.tx): table?
---@field after_delete? async fun(result: any, tx: perigee.tx)
