--- What a database remembers of its migrations: two tables, one row for each
-- migration and one for each statement of it.
-- Everything is written through `x:execute(sql, params)`, so that the offline script
-- has the same statements.
local core = require "perigee.core"
local problem = require "perigee.migrate.problem"

local journal = {}
journal.__index = journal
local M = {}

M.TABLE = "perigee_migration"
M.STEPS = "perigee_migration_step"

-- The time of the statement, where DEFAULT and now() are those of the transaction.
local NOW = {
  postgres = "clock_timestamp()",
  sqlite = "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')",
  mysql = "utc_timestamp(6)",
}

-- ---- definitions -----------------------------------------------------------

-- MySQL has keys of texts that have a length.
local KEY = { mysql = { raw = "varchar(190)" } }

-- Whatever the database has for its tables: names and messages are of any characters, and
-- rows are kept in transactions.
local OPTIONS = { mysql = { engine = "InnoDB", charset = "utf8mb4", collation = "utf8mb4_bin" } }

-- { name, type, may be NULL, types by dialect }
local MIGRATION = {
  { "id", "text", nil, KEY }, { "name", "text" }, { "message", "text", true },
  { "parents", "text" }, { "bytes_sum", "text" }, { "ops_sum", "text" },
  { "state", "text" }, { "phase", "text" }, { "step", "int" }, { "steps", "int" },
  { "started_at", "timestamptz" }, { "finished_at", "timestamptz", true },
  { "by_user", "text", true }, { "host", "text", true }, { "version", "text" },
  { "elapsed_ms", "bigint", true }, { "error", "text", true }, { "note", "text", true },
}

local STEP = {
  { "migration", "text", nil, KEY }, { "phase", "text", nil, KEY }, { "n", "int" },
  { "state", "text" }, { "what", "text" }, { "sql_sum", "text" }, { "progress", "text", true },
  { "started_at", "timestamptz" }, { "done_at", "timestamptz", true },
}

local function definition(schema, name, columns, key)
  local t = {
    schema = schema, name = name, columns = {}, uniques = {}, foreign_keys = {}, checks = {},
    indexes = {}, options = OPTIONS, primary_key = { name = name .. "_pkey", columns = key },
  }
  for i, c in ipairs(columns) do
    t.columns[i] = { name = c[1], type = { name = c[2], args = {} }, null = c[3] or false,
      type_on = c[4] }
  end
  return t
end

--- Is it one of the journal's tables? For filters of what is compared.
function M.owns(name)
  return name == M.TABLE or name == M.STEPS
end

--- The journal of a database.
-- @tparam table dialect
-- @tparam ?string schema nil: the default schema
function M.new(dialect, schema)
  return setmetatable({
    dialect = dialect, schema = schema, now = NOW[dialect.name],
    main = dialect.qualified(schema, M.TABLE),
    steps = dialect.qualified(schema, M.STEPS),
  }, journal)
end

--- The statements that create it.
function journal:create_sql()
  local d, list = self.dialect, {}
  local tables = {
    definition(self.schema, M.STEPS, STEP, { "migration", "phase", "n" }),
    definition(self.schema, M.TABLE, MIGRATION, { "id" }),
  }
  local ctx = { tree = { tables = tables, enums = {}, views = {}, objects = {}, schemas = {},
    notes = {} }, fresh = {}, online = false }
  if self.schema and d.features.schemas then
    list[1] = "CREATE SCHEMA IF NOT EXISTS " .. d.quote(self.schema)
  end
  for _, t in ipairs(tables) do
    for _, sql in ipairs(d.create("table", t, ctx)) do
      list[#list + 1] = type(sql) == "table" and sql.sql or sql
    end
  end
  return list
end

-- The table of steps without the other, and without rows: DDL commits by itself, and whoever
-- creates the journal is there or was killed in between.
function journal:has_begun(x)
  return not self.dialect.features.transactional_ddl
    and x:first(("select 1 from %s limit 1"):format(self.steps)) == nil
end

local function has(self, x, name) return x:has_table { schema = self.schema, name = name } end

--- Creates it.
function journal:create(x)
  if not self.dialect.features.transactional_ddl and has(self, x, M.STEPS) then
    x:script("drop table " .. self.steps)
  end
  for _, sql in ipairs(self:create_sql()) do x:script(sql) end
end

--- Are its tables there?
-- @raise migration (exit 7) when only one of them is
function journal:exists(x)
  local steps = has(self, x, M.STEPS)
  local main = has(self, x, M.TABLE)
  if main and not steps then steps = has(self, x, M.STEPS) end -- both were made meanwhile
  if main == steps or steps and self:has_begun(x) then return main end
  if steps and has(self, x, M.TABLE) then return true end
  problem.raise(problem.HISTORY, "the journal is damaged: the table %s is there, %s is not; "
    .. "restore it, or drop the one that is left and stamp the database",
    main and M.TABLE or M.STEPS, main and M.STEPS or M.TABLE)
end

-- ---- reading ---------------------------------------------------------------

--- All rows of migrations, oldest first; {} and false without a journal.
function journal:read(x)
  if not self:exists(x) then return {}, false end
  return x:query(("select * from %s order by started_at, id"):format(self.main)), true
end

--- The row of a migration or nil.
function journal:row(x, id)
  return x:first(("select * from %s where id = ?"):format(self.main), { id })
end

--- Rows of the steps of a phase, by their number.
function journal:step_rows(x, id, phase)
  local by_n = {}
  local rows = x:query(("select * from %s where migration = ? and phase = ? order by n")
    :format(self.steps), { id, phase })
  for _, row in ipairs(rows) do by_n[row.n] = row end
  return by_n
end

-- ---- rows of migrations ----------------------------------------------------

local function parents_text(m)
  return table.concat(m.after or {}, " ")
end

function journal:insert(x, m, state, phase, o)
  x:execute(("insert into %s (id, name, message, parents, bytes_sum, ops_sum, state, phase, "
    .. "step, steps, started_at, finished_at, by_user, host, version, elapsed_ms, note) "
    .. "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, %s, %s, ?, ?, ?, ?, ?)")
    :format(self.main, self.now, o.done and self.now or "NULL"),
    { m.id, m.name, m.message or core.null, parents_text(m), m.bytes_sum, m.ops_sum,
      state, phase, o.done and o.steps or 0, o.steps or 0, o.user or core.null,
      o.host or core.null, o.version, o.elapsed or core.null, o.note or core.null })
end

--- A phase begins: the row is inserted, or is there and says so.
-- @tparam table o steps, user, host, version
function journal:begin(x, m, state, phase, o)
  if not o.is_there then return self:insert(x, m, state, phase, o) end
  x:execute(("update %s set name = ?, message = ?, parents = ?, bytes_sum = ?, ops_sum = ?, "
    .. "state = ?, phase = ?, steps = ?, error = NULL, by_user = ?, host = ?, version = ?, "
    .. "note = coalesce(?, note) where id = ?"):format(self.main),
    { m.name, m.message or core.null, parents_text(m), m.bytes_sum, m.ops_sum, state, phase,
      o.steps, o.user or core.null, o.host or core.null, o.version, o.note or core.null, m.id })
end

--- So many steps of the phase are done.
function journal:count(x, id, step)
  x:execute(("update %s set step = ? where id = ?"):format(self.main), { step, id })
end

--- The phase is over.
function journal:conclude(x, id, state, step, elapsed, note)
  x:execute(("update %s set state = ?, step = ?, steps = ?, error = NULL, finished_at = %s, "
    .. "elapsed_ms = ?, note = ? where id = ?"):format(self.main, self.now),
    { state, step, step, elapsed or core.null, note or core.null, id })
end

--- The phase has failed at a step.
function journal:fail(x, id, message)
  x:execute(("update %s set state = 'failed', error = ? where id = ?"):format(self.main),
    { message, id })
end

--- Sets the state alone, for abandon and squash.
function journal:set_state(x, id, state, phase)
  x:execute(("update %s set state = ?, phase = ?, error = NULL where id = ?")
    :format(self.main), { state, phase, id })
end

--- The sums are those of the file as it is now.
function journal:set_sums(x, m, note)
  x:execute(("update %s set name = ?, message = ?, parents = ?, bytes_sum = ?, ops_sum = ?, "
    .. "note = ? where id = ?"):format(self.main),
    { m.name, m.message or core.null, parents_text(m), m.bytes_sum, m.ops_sum,
      note or core.null, m.id })
end

--- Forgets a migration.
function journal:delete(x, id)
  x:execute(("delete from %s where migration = ?"):format(self.steps), { id })
  x:execute(("delete from %s where id = ?"):format(self.main), { id })
end

--- Forgets the steps of a phase.
function journal:delete_steps(x, id, phase)
  x:execute(("delete from %s where migration = ? and phase = ?"):format(self.steps),
    { id, phase })
end

--- Forgets everything.
function journal:purge(x)
  x:execute(("delete from %s"):format(self.steps))
  x:execute(("delete from %s"):format(self.main))
end

-- ---- rows of steps ---------------------------------------------------------

--- A step is about to run, or has run inside the same transaction.
function journal:add_step(x, id, phase, step, is_done)
  x:execute(("insert into %s (migration, phase, n, state, what, sql_sum, started_at, done_at) "
    .. "values (?, ?, ?, ?, ?, ?, %s, %s)")
    :format(self.steps, self.now, is_done and self.now or "NULL"),
    { id, phase, step.n, is_done and "done" or "running", step.what, step.sum })
end

function journal:step_done(x, id, phase, step)
  x:execute(("update %s set state = 'done', sql_sum = ?, done_at = %s "
    .. "where migration = ? and phase = ? and n = ?"):format(self.steps, self.now),
    { step.sum, id, phase, step.n })
end

--- What a step that works in batches has reached.
function journal:progress(x, id, phase, step, text)
  x:execute(("update %s set progress = ? where migration = ? and phase = ? and n = ?")
    :format(self.steps), { text, id, phase, step.n })
end

--- A step that was not done after all.
function journal:delete_step(x, id, phase, n)
  x:execute(("delete from %s where migration = ? and phase = ? and n = ?"):format(self.steps),
    { id, phase, n })
end

-- ---- the offline script ----------------------------------------------------

--- Something to write the journal through that collects text: values become
-- literals.
-- @tparam function emit emit(sql)
function journal:printer(emit)
  local d = self.dialect
  return {
    execute = function(_, sql, params)
      local n = 0
      emit((sql:gsub("%?", function()
        n = n + 1
        local v = params[n]
        return v == core.null and "NULL" or d.literal(v)
      end)))
    end,
  }
end

return M
