---@meta _
-- What runs statements: handles (db), connections (conn) and transactions (tx), which are all
-- executors (x). The verbs on tables and on definitions are on pages of their own.

-- ---- results ---------------------------------------------------------------

--- A row as a record: a value for each column. NULL is absent.
---@class perigee.row
---@field [string] any

--- A list of rows. `tostring(rows)` draws a table.
---@class perigee.rows<R>
---@field columns string[] the names in order
---@field affected integer rows changed, or given
---@field [integer] R

--- What a statement did.
---@class perigee.result
---@field affected? integer rows changed, or given by a statement that reads; nil where there is no such number
---@field last_id? any SQLite: the row id that an INSERT made; MySQL: the key that it made; PostgreSQL: the first column that it returned
---@field rows? perigee.rows<perigee.row> as `query` gives them, when the statement gives rows

--- Rows in constant memory. A call is `next`.
---@class perigee.iterator<R>
---@operator call: R?
local Iterator = {}

--- The next row, nil at the end.
---@async
---@return R?
function Iterator:next() end

--- Ends it early; twice is fine. On Lua 5.4 leaving the loop does this; on LuaJIT and 5.3 a loop
--- that is left early holds its connection until this is called, or the collector runs.
---@async
function Iterator:close() end

-- ---- options ---------------------------------------------------------------

--- The form of rows.
---@alias perigee.form
---| "record" `{ column = value }`; NULL is absent
---| "array" `{ value, … }`; NULL is `perigee.null`
---| "columns" no rows: `{ column = { value, … }, n = number of rows }`; for lists only

--- Options of a statement.
---@class perigee.call_options
---@field timeout? number seconds for the statement, then it is cancelled and `timeout` raised (`query_timeout` of the handle); for `each`, for every wait
---@field rows? perigee.form the form of rows ("record")
---@field class? table a metatable for each record

--- Options of a batch.
---@class perigee.batch_options
---@field timeout? number seconds for the whole batch

--- Options of a transaction. A savepoint takes none.
---@class perigee.transaction_options
---@field isolation? "read_committed"|"repeatable_read"|"serializable" the server's by default; SQLite has only the last
---@field readonly? boolean writing is a `permission` error; SQLite then takes a reader (false)
---@field deferrable? boolean PostgreSQL only (false)
---@field retries? integer how often the function is run again after `serialization`, `deadlock` or `locked`; only the outermost (0)
---@field acquire_timeout? number seconds of waiting for the connection, and if given for BEGIN too

--- Options of `begin`.
---@class perigee.begin_options
---@field isolation? "read_committed"|"repeatable_read"|"serializable" the server's by default; SQLite has only the last
---@field readonly? boolean writing is a `permission` error (false)
---@field deferrable? boolean PostgreSQL only (false)
---@field acquire_timeout? number seconds of waiting for the connection, and if given for BEGIN too

--- Options of a pipeline.
---@class perigee.pipeline_options
---@field timeout? number seconds for each statement that names none (`query_timeout` of the handle)

--- Options of `close`.
---@class perigee.close_options
---@field timeout? number seconds that connections in use have to come back (5)

-- ---- what all of them have -------------------------------------------------

--- A handle, a connection or a transaction. Every verb may wait, and raises `usage` for wrong
--- arguments, `timeout`, `closed`, `connect`, `auth`, `resource` and `cancelled`.
---@class perigee.executor
---@field t perigee.tables the tables of the database by name: `x.t.articles`, `x.t["shop.orders"]`
local X = {}

--- All rows of a statement as a list.
---
--- Parameters are plain values for `?` or `$1` (nil is NULL), or one plain table: a list, or keyed
--- for `:name` (NULL is `perigee.null`). Behind a table there may be options,
--- `perigee.call_options`.
---@async
---@param sql string one statement
---@param ... any parameters
---@return perigee.rows<perigee.row>
---@overload async fun(self: perigee.executor, sql: string, params: table, options: perigee.call_options): table
function X:query(sql, ...) end

--- The first row, or nil. No more rows are fetched than needed. Parameters as for `query`.
---@async
---@param sql string one statement
---@param ... any parameters
---@return perigee.row?
function X:first(sql, ...) end

--- The only row. Parameters as for `query`.
---
--- Raises `not_found` when there is none, `not_unique` when there are more.
---@async
---@param sql string one statement
---@param ... any parameters
---@return perigee.row
function X:one(sql, ...) end

--- The first column of the first row; nil when there is no row or it is NULL. Parameters as for
--- `query`.
---@async
---@param sql string one statement
---@param ... any parameters
---@return any
function X:value(sql, ...) end

--- Runs a statement. Parameters as for `query`.
---@async
---@param sql string one statement
---@param ... any parameters
---@return perigee.result
function X:execute(sql, ...) end

--- Runs a statement once for each table of parameters, batched: all or nothing. Rows that it
--- returns are dropped.
---
--- Raises the error of a set, which says which it was: "set 3: …".
---@async
---@param sql string one statement
---@param list table[] tables of parameters
---@param options? perigee.batch_options
---@return { affected: integer }
function X:execute_many(sql, list, options) end

--- Runs several statements, without parameters. On PostgreSQL a script without transaction
--- statements is one transaction, on SQLite and MySQL it stops at the first statement that fails.
---@async
---@param sql string statements with `;` between them
---@param options? perigee.call_options `timeout` is for the whole script
---@return perigee.result[]
function X:script(sql, options) end

--- Iterates over the rows in constant memory: `for row in x:each(sql, …) do … end`. Other calls may
--- be made in the loop. Parameters as for `query`.
---@async
---@param sql string one statement
---@param ... any parameters
---@return fun(it: perigee.iterator<perigee.row>): perigee.row? next
---@return perigee.iterator<perigee.row> it the iterator itself
---@nodiscard
function X:each(sql, ...) end

--- Copies rows into a table by COPY, or bytes as a `COPY … FROM STDIN` statement reads them: all or
--- nothing. `source`: a list or an iterator of records (with `columns` also of lists), or of
--- strings. A column that a record lacks is NULL.
---
--- Raises `usage` for a value that a column does not take and what the database says, with
--- `record`; `unsupported` for statements on SQLite and MySQL.
---@async
---@param target string|table|perigee.table<any, any> a table, or a COPY statement
---@param source table|async fun(): any
---@param options? perigee.copy_in_options
---@return integer count
function X:copy_in(target, source, options) end

--- Iterates over the rows of a table or query by COPY, in constant memory, or with `raw` over its
--- bytes.
---
--- Raises `unsupported` for bytes on SQLite and MySQL.
---@async
---@param target string|table|perigee.table<any, any> a table, a query, or `COPY … TO STDOUT`
---@param options? perigee.copy_out_options
---@return fun(it: perigee.iterator<any>): any next
---@return perigee.iterator<any> it the iterator itself
---@nodiscard
function X:copy_out(target, options) end

--- Options of `copy_in`.
---@class perigee.copy_in_options
---@field columns? string[] those of the first record by default
---@field progress? fun(rows: integer, bytes: integer) called after each piece that was sent
---@field timeout? number seconds for each wait for the database (`query_timeout` of the handle)

--- Options of `copy_out`.
---@class perigee.copy_out_options
---@field columns? string[] of a table (all)
---@field raw? boolean strings of bytes instead of rows (false)
---@field format? "text"|"csv"|"binary" of the bytes ("text")
---@field rows? "record"|"array" what a row is ("record")
---@field class? table a metatable for each record
---@field timeout? number seconds for each wait (`query_timeout` of the handle)

--- A round trip. On a handle a connection that has died meanwhile is replaced.
---@async
---@return true
function X:ping() end

--- Tells all that listen on a channel, when the transaction is committed.
---
--- Raises `unsupported` on SQLite and MySQL.
---@async
---@param channel string exact, 1 to 63 bytes
---@param payload? string less than 8,000 bytes (empty)
function X:notify(channel, payload) end

--- Runs `fn(p)`. The verbs of `p` send at once and return a reply, so statements do not wait for each
--- other's answers. When `pipeline` returns all answers have come. On a handle it takes one connection,
--- and each statement is for itself.
---
--- Raises what `fn` raises, else the first error of a statement that no `get` has raised.
---@async
---@generic T
---@param fn async fun(p: perigee.pipeline): T?, ...?
---@param options? perigee.pipeline_options
---@return T
---@return any ... the further results of `fn`
function X:pipeline(fn, options) end

--- What is known of the driver.
---@return perigee.driver
---@nodiscard
function X:driver() end

--- What a driver is, and can do.
---@class perigee.driver
---@field name "postgres"|"sqlite"|"mysql"
---@field dialect "postgres"|"sqlite"|"mysql"
---@field version string of the client library
---@field features perigee.features

--- What a driver can do.
---@class perigee.features
---@field cancel boolean a statement can be cancelled
---@field collect boolean many rows are read at once
---@field copy boolean it has COPY
---@field cursor boolean it has DECLARE and FETCH
---@field cursor_hold boolean it has cursors that outlive a transaction
---@field interleave boolean several statements of a connection may be open
---@field lanes boolean connections that write and such that read are apart
---@field last_id boolean INSERT tells the row id
---@field notify boolean it has LISTEN and NOTIFY
---@field pipeline boolean statements are sent without waiting for answers
---@field returning boolean INSERT and DELETE have RETURNING
---@field row_locks boolean rows can be locked
---@field steps boolean some verbs on tables are several statements in a transaction

--- Statements that do not wait for each other. For the task that opened it, until its function
--- returns. The arguments are those of the executor's verbs. A call waits only while many are on
--- their way, or where calls in the transaction have to.
---@class perigee.pipeline
local Pipeline = {}

--- All rows.
---@async
---@param sql string one statement
---@param ... any parameters
---@return perigee.reply
function Pipeline:query(sql, ...) end

--- The first row, or nil.
---@async
---@param sql string one statement
---@param ... any parameters
---@return perigee.reply
function Pipeline:first(sql, ...) end

--- The only row.
---@async
---@param sql string one statement
---@param ... any parameters
---@return perigee.reply
function Pipeline:one(sql, ...) end

--- The first column of the first row.
---@async
---@param sql string one statement
---@param ... any parameters
---@return perigee.reply
function Pipeline:value(sql, ...) end

--- What a statement did.
---@async
---@param sql string one statement
---@param ... any parameters
---@return perigee.reply
function Pipeline:execute(sql, ...) end

--- An answer that is on its way. Any task may ask for it, also after the pipeline.
---@class perigee.reply
local Reply = {}

--- Waits for the answer: what the verb returns. Raises its error; the same every time.
---
--- Raises `cancelled` when the pipeline was given up before the answer came.
---@async
---@return any
function Reply:get() end

-- ---- transactions ----------------------------------------------------------

--- Runs `fn(tx)`: COMMIT when it returns, ROLLBACK when it raises; the error is raised again. On a
--- handle outside of a block it takes a connection; inside a transaction it is a savepoint.
---
--- Raises `aborted` when COMMIT is answered with ROLLBACK, and whatever COMMIT raises.
---@async
---@generic T
---@param fn async fun(tx: perigee.tx): T?, ...?
---@param options? perigee.transaction_options
---@return T
---@return any ... the further results of `fn`
function X:transaction(fn, options) end

--- Begins a transaction (a savepoint inside one), to be ended with `commit` or `rollback`.
--- `local tx <close> = …` rolls back what was not committed.
---@async
---@param options? perigee.begin_options
---@return perigee.tx
---@nodiscard
function X:begin(options) end

--- Runs `fn(tx)` in the transaction that the executor is in, else in a new one. Options are for a
--- new one; with a present one they raise `usage`.
---@async
---@generic T
---@param fn async fun(tx: perigee.tx): T?, ...?
---@param options? perigee.transaction_options
---@return T
---@return any ... the further results of `fn`
function X:ensure_transaction(fn, options) end

--- A function that runs `fn(...)` in a transaction of its own or, called inside one, in a savepoint
--- (options then do not count).
---@generic F: function
---@param fn F
---@param options? perigee.transaction_options
---@return F
---@nodiscard
function X:transactional(fn, options) end

--- Is it (a handle: the running task) in a transaction?
---@return boolean
---@nodiscard
function X:in_transaction() end

--- Calls `fn()` after the outermost COMMIT; never after a rollback of it, or of a savepoint around.
---
--- Raises `usage` outside of a transaction.
---@param fn async fun()
function X:on_commit(fn) end

--- Runs `fn(conn)` on one connection; calls on the handle from the same task join it. When it comes
--- back, open transactions are rolled back and a changed session is reset.
---@async
---@generic T
---@param fn async fun(conn: perigee.conn): T?, ...?
---@return T
---@return any ... the further results of `fn`
function X:connection(fn) end

--- The same as `connection`.
---@async
---@generic T
---@param fn async fun(conn: perigee.conn): T?, ...?
---@return T
---@return any ... the further results of `fn`
function X:ensure_connection(fn) end

-- ---- the handle ------------------------------------------------------------

--- A handle: a database with its pool of connections, from `perigee.open`. On Lua 5.4
--- `local db <close> = …` closes it.
---@class perigee.db: perigee.executor
local Db = {}

--- Takes no new work, and waiters get `closed`. Connections in use have some seconds to come back,
--- then they are closed by force. Twice is fine.
---@async
---@param options? perigee.close_options
function Db:close(options) end

--- Counts of the pool.
---@return perigee.stats
---@nodiscard
function Db:stats() end

--- Connections opened so far are closed when they come back, idle ones at once. That of listeners
--- is replaced.
function Db:evict() end

--- Hears what is sent on channels by `notify`, from when this returns on: `for n in db:listen "jobs" do … end`,
--- or a task of its own calls `callback(n)`, one after the other.
---
--- Raises `unsupported` on SQLite and MySQL, and what getting a connection raises.
---@async
---@param channels string|string[] exact names, 1 to 63 bytes each
---@param callback? async fun(n: perigee.notification)
---@param options? perigee.listen_options
---@return perigee.listener
function Db:listen(channels, callback, options) end

--- Options of `listen`.
---@class perigee.listen_options
---@field max_pending? integer how many may wait in its queue; more make a gap (10,000)

--- What was sent on a channel; or, with `gap` alone, that something may have been missed.
---@class perigee.notification
---@field channel? string
---@field payload? string
---@field pid? integer the session that has sent it
---@field gap? true

--- Hears notifications. A call is `next`. On Lua 5.4 leaving the loop closes it.
---@class perigee.listener
---@operator call: perigee.notification?
local Listener = {}

--- The next one; nil when it was closed.
---@async
---@return perigee.notification?
function Listener:next() end

--- Ends it. Twice is fine.
function Listener:close() end

--- Counts of a pool.
---@class perigee.stats
---@field size integer connections: connecting, idle, in use and cleaning
---@field connecting integer
---@field idle integer
---@field in_use integer
---@field cleaning integer connections that are drained or reset
---@field waiting integer callers that wait for a connection
---@field min_size integer
---@field max_size integer
---@field shared integer statements in flight beyond one per connection
---@field acquired integer so far: connections lent
---@field pipelined integer so far: statements that were sent on a connection while others had it
---@field created integer so far: connections opened
---@field closed integer so far: connections closed
---@field timeouts integer so far: callers that waited in vain
---@field abandoned integer so far: callers that were cancelled
---@field resets integer so far: sessions reset
---@field failures integer so far: attempts to connect that failed
---@field wait_total number seconds that callers waited
---@field wait_max number the longest of these waits, in seconds
---@field is_closed boolean

-- ---- connections and transactions ------------------------------------------

--- A connection, in the function of `connection`.
---@class perigee.conn: perigee.executor
local Conn = {}

--- What is known of the connection.
---@return perigee.info
---@nodiscard
function Conn:info() end

--- A transaction, in the function of `transaction` or from `begin`.
---@class perigee.tx: perigee.executor
local Tx = {}

--- Commits, after the calls that other tasks have queued on it. An error rolls back and is raised.
---
--- Raises `closed` when it has ended.
---@async
function Tx:commit() end

--- Rolls back.
---
--- Raises `closed` when it has ended.
---@async
function Tx:rollback() end

--- What is known of the connection.
---@return perigee.info
---@nodiscard
function Tx:info() end

--- What is known of a connection.
---@class perigee.info
---@field open boolean may calls be made
---@field is_tx boolean is it a transaction
---@field leased boolean has it a connection; the rest only then
---@field broken? boolean is the connection lost
---@field lane? "write"|"read" SQLite's readers are "read"
---@field tx? "idle"|"open"|"failed"|"unknown" the session
---@field backend? integer the server's process or connection id, 0 on SQLite
