---@meta perigee
-- Handles, URLs, tasks, and what else `require "perigee"` gives.

--- Databases as functions that wait without blocking the loop they run in.
---
--- Times are in seconds, fractions allowed; `math.huge` is "no limit". Wrong arguments raise a
--- `usage` error.
---@class perigee
---@field _VERSION string the version, such as "0.1.0"
---@field null perigee.null NULL; equals `ngx.null` and `cjson.null`
---@field default perigee.default DEFAULT, as the value of a column
---@field bytes perigee.bytes_type makes binary data, where the type cannot be known
---@field json perigee.json_type makes a JSON document of a value; `encode` and `decode`
---@field raw_json perigee.raw_json_type makes a document of JSON text, which is sent as it is
---@field json_object perigee.json_object_type makes a JSON object, also when it is empty
---@field json_array perigee.json_array_type makes a JSON array, also when it is empty
---@field array perigee.array_type makes an array; lists in it are more dimensions
---@field record perigee.record_type makes a composite, by its attributes' names or as a list
---@field range perigee.range_type makes a range
---@field multirange perigee.multirange_type makes a list of ranges
---@field hstore perigee.hstore_type makes an hstore: strings to strings or `perigee.null`
---@field retry perigee.retry what the function of `claim_one` returns to leave its row pending
---@field error table the metatable of error objects: `getmetatable(err) == perigee.error`
---@field schema perigee.schema_module definitions of tables
---@field migrations perigee.migrations_module migrations of a database
local perigee = {}

-- ---- handles ---------------------------------------------------------------

--- Opens a handle. Nothing is connected before the first call, unless `force_rollback` is set.
--- Without any argument: `$DATABASE_URL`, else `$DATABASE`, else `sqlite:perigee.db`.
---
--- Raises `usage`: an unknown scheme, option or parameter of the URL, a value that an option
--- does not take, a driver module that is not there.
---@param url? string|perigee.url
---@param options? perigee.open_options they win over those in the URL
---@return perigee.db
---@nodiscard
function perigee.open(url, options) end

--- Opens the database that an environment variable names.
---
--- Raises `usage` when it is unset or empty.
---@param name string the name of the variable
---@param options? perigee.open_options
---@return perigee.db
---@nodiscard
function perigee.from_env(name, options) end

--- Opens a handle, calls `fn(db)` and closes it, also on an error, which is raised again.
---@async
---@generic T
---@param url string|perigee.url
---@param fn async fun(db: perigee.db): T?, ...?
---@param options? perigee.open_options
---@return T
---@return any ... the further results of `fn`
function perigee.with(url, fn, options) end

--- Options of a handle. All but functions, `codecs` and `cursor_key` may also be parameters of
--- the URL: `?max_size=10&reset=never`.
---@class perigee.open_options
---@field min_size? integer connections that are kept open when idle (0)
---@field max_size? integer connections at most (4, or twice the processors if that is more)
---@field max_waiting? integer callers that may wait for a connection, one more gets `resource` (0: no limit)
---@field acquire_timeout? number seconds of waiting for a connection, then `timeout` (10)
---@field connect_timeout? number seconds for one attempt to connect, then `timeout` (10)
---@field query_timeout? number seconds for one statement, script, batch or chunk of `each`, then `timeout` (30)
---@field idle_timeout? number seconds after which an idle connection is closed, down to `min_size` (600)
---@field lifetime? number seconds, ± 10 %, after which a connection is closed when it is idle (1800)
---@field check_after? number a connection that idled longer, in seconds, is pinged before it is lent (30)
---@field statement_cache? integer prepared statements of a connection (256); 0 for poolers in transaction mode
---@field pipeline? integer statements of different tasks that may be in flight on one connection, 0 to 256 (32 on a direct connection to PostgreSQL, 0 behind a pooler)
---@field reset? "auto"|"always"|"never" session state of a connection that comes back ("auto": reset when it was changed)
---@field application_name? string as PostgreSQL shows it ("perigee")
---@field cursor_key? string|string[] secrets of 16 bytes or more that encrypt the cursors of pages: the first makes them, all are accepted
---@field max_limit? integer rows of a page at most (500)
---@field force_rollback? boolean connects at once and runs everything in one transaction that `close` undoes (false)
---@field numeric? "string"|"number" decimals: exact, or as floats ("string")
---@field json? "value"|"raw" documents: decoded, or as `perigee.raw_json` ("value")
---@field int8? "auto"|"string"|"cdata" LuaJIT only: numbers within ±2^53 and else decimal strings; strings; `int64_t` ("auto")
---@field codecs? table<string, perigee.codec> by the type's name in the catalogue (`int4`), on SQLite as declared, on MySQL `bigint unsigned`, in lower case
---@field on_connect? async fun(conn: perigee.conn) sets up a new connection, and one that was reset, before it is used
---@field on_query? fun(event: perigee.query_event) after each call, also a failed one; it cannot wait
---@field on_notice? fun(notice: perigee.error) for messages of the server; it cannot wait
---@field on_warning? fun(text: string) a block that was dropped without being ended, an error in a hook; it cannot wait (standard error)

--- How values of a type are read.
---@class perigee.codec
---@field decode fun(value: any): any gets what a column of the type would give, returns what it gives instead; not for NULL

--- What `on_query` is told. Never values.
---@class perigee.query_event
---@field sql string the statement
---@field seconds number how long it took
---@field rows? integer rows given, or changed
---@field error? perigee.error

-- ---- URLs ------------------------------------------------------------------

--- Takes a database URL apart; also takes a url.
---
--- Raises `usage` when it is none.
---@param text string|perigee.url
---@return perigee.url
---@nodiscard
function perigee.url(text) end

--- A database URL. It cannot be changed; `==` compares the parts, and `tostring` has `***` for
--- the password.
---@class perigee.url
---@field scheme string `postgres` (also for `postgresql`), `sqlite` or `mysql` (also for `mariadb`), without `+suffix`
---@field user? string decoded
---@field password? string decoded
---@field host? string decoded
---@field port? integer|string a string when it is a list: "5432,5433"
---@field database? string decoded
---@field params table<string, string> the parameters, a copy
local Url = {}

--- A changed URL. `perigee.null` removes a part, `params` replaces all parameters.
---
--- Raises `usage` for parts that do not exist, or that a URL of that scheme cannot have.
---@param parts perigee.url_parts
---@return perigee.url
---@nodiscard
function Url:with(parts) end

--- The URL with its password.
---@return string
---@nodiscard
function Url:reveal() end

--- Parts of a URL that `url:with` changes.
---@class perigee.url_parts
---@field scheme? string
---@field user? string|perigee.null
---@field password? string|perigee.null
---@field host? string|perigee.null
---@field port? integer|string|perigee.null
---@field database? string|perigee.null
---@field params? table<string, string>|perigee.null

-- ---- tasks -----------------------------------------------------------------

--- Runs `fn(...)` as the first task of the built-in loop and returns when every task has ended.
--- An error of `fn` cancels the others and is raised; so is the first error of a spawned task
--- that nobody joined.
---
--- Raises `usage` when a loop is running already.
---@generic T
---@param fn async fun(...): T?, ...?
---@param ... any arguments of `fn`
---@return T
---@return any ... the further results of `fn`
function perigee.run(fn, ...) end

--- Starts `fn(...)` as a task. It runs when the present one waits or ends.
---@param fn async fun(...): ...
---@param ... any arguments of `fn`
---@return perigee.task
function perigee.spawn(fn, ...) end

--- Suspends the task.
---@async
---@param seconds number 0 lets the others run first
function perigee.sleep(seconds) end

--- Runs each `fn()` as a task and waits for all. The first error cancels the others and is
--- raised when they have ended.
---@async
---@param fn async fun(): any
---@param ... async fun(): any
---@return any ... the first result of each function, in order
function perigee.gather(fn, ...) end

--- Calls `fn(...)` in the same task. A wait that is not over after `seconds` raises `timeout`;
--- statements are cancelled on the server. It bounds waits, not computing. An outer time limit
--- stays in force.
---@async
---@generic T
---@param seconds number
---@param fn async fun(...): T?, ...?
---@param ... any arguments of `fn`
---@return T
---@return any ... the further results of `fn`
function perigee.timeout(seconds, fn, ...) end

--- As `coroutine.wrap`, but calls made in the coroutine wait as calls of the task that runs it.
---@param fn async fun(...): ...
---@return async fun(...): ...
---@nodiscard
function perigee.wrap(fn) end

--- A coroutine that the loop runs.
---@class perigee.task
local Task = {}

--- The results of the task's function, or raises its error. Also when it has ended already, and
--- more than once.
---
--- Raises `usage` when a task joins itself.
---@async
---@return any ...
function Task:join() end

--- Cancels: the task gets the error in its present or next wait; a task that has not begun ends.
---@param error? perigee.error|string default: one of kind `cancelled`; a string becomes one of kind `database`
---@return boolean was_alive
function Task:cancel(error) end

--- How it is with the task.
---@return "ready"|"running"|"waiting"|"done"|"failed"
---@nodiscard
function Task:status() end

-- ---- for tables ------------------------------------------------------------

--- A piece of SQL with its parameters: as a condition, as a value, in `order_by` and in
--- `columns`. The text goes into the statement as it is, in parentheses. Never make it from what
--- somebody has sent.
---@param text string
---@param ... any plain values for `?` and `$1`, or one plain table, keyed for `:name`
---@return perigee.sql
---@nodiscard
function perigee.sql(text, ...) end

--- A group of conditions, one of which at least must be true. Without conditions: false.
---@param filter perigee.filter keyed conditions, and those in the array part
---@return perigee.group
---@nodiscard
function perigee.any_of(filter) end

--- A group of conditions, all of which must be true. Without conditions: true.
---@param filter perigee.filter keyed conditions, and those in the array part
---@return perigee.group
---@nodiscard
function perigee.all_of(filter) end

--- A group of conditions, none of which may be true. Without conditions: true.
---@param filter perigee.filter keyed conditions, and those in the array part
---@return perigee.group
---@nodiscard
function perigee.none_of(filter) end

--- The English plural: "category" gives "categories"; a plural stays as it is.
---@param word string
---@return string
---@nodiscard
function perigee.plural(word) end

--- Draws a list of rows as text, as `print(rows)` does: 200 rows, and 60 characters of a value,
--- at most.
---@param rows table[]
---@param columns? string[] names in their order; default `rows.columns`
---@return string
---@nodiscard
function perigee.table(rows, columns) end

return perigee
