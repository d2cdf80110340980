--- perigee shell: SQL and Lua on an open database.
local core = require "perigee.core"
local database = require "perigee.cli.database"
local failure = require "perigee.cli.failure"
local format = require "perigee.format"
local perigee = require "perigee"
local runner = require "perigee.runner"
local statement = require "perigee.cli.statement"

local M = {
  name = "shell",
  summary = "Type SQL and Lua on an open database.",
}

local HELP = [[
SQL ends with a semicolon and may take several lines.
= EXPRESSION        shows the value of a Lua expression: = db:value "select 1"
.lua CODE           runs Lua code; db and perigee are there
.tables             lists tables and views
.columns TABLE      lists the columns of a table
.mode table|vertical   how results are shown
.timing on|off      shows how long each statement took
.help  .quit        Ctrl-D leaves too; Ctrl-C ends a query or drops a line]]

-- Name and comment of what there is, by dialect.
local TABLES = {
  sqlite = [[select name, type from sqlite_master
    where type in ('table', 'view') and name not like 'sqlite\_%' escape '\'
    order by name]],
  postgres = [[select table_schema as schema, table_name as name,
      case table_type when 'VIEW' then 'view' else 'table' end as type
    from information_schema.tables
    where table_schema not in ('pg_catalog', 'information_schema')
    order by 1, 2]],
  mysql = [[select table_name as name,
      case table_type when 'VIEW' then 'view' else 'table' end as type
    from information_schema.tables where table_schema = database() order by 1]],
}

local COLUMNS = {
  sqlite = [[select name, type, case "notnull" when 1 then 'no' else 'yes' end
      as nullable, dflt_value as "default" from pragma_table_info(?)]],
  postgres = [[select column_name as name, data_type as type,
      lower(is_nullable) as nullable, column_default as default
    from information_schema.columns
    where table_name = ? and table_schema = any (current_schemas(true))
    order by table_schema, ordinal_position]],
  mysql = [[select column_name as name, column_type as type,
      lower(is_nullable) as nullable, column_default as `default`
    from information_schema.columns
    where table_name = ? and table_schema = database() order by ordinal_position]],
}

function M.define(command)
  command:description(HELP)
  command:flag("-k --keep-going", "Go on after an error when standard input is "
    .. "not a terminal.")
end

-- ---- a session -------------------------------------------------------------

-- Fields: db, conn (of now), dialect, interactive, keep_going, reader (of SQL),
-- chunk (Lua that is not complete), timing, mode, line (its number), failed,
-- done.
local Session = {}
Session.__index = Session

local function complain(self, text)
  io.stdout:flush()
  if self.interactive then
    io.stderr:write("error: ", text, "\n")
  else
    failure.say("line %d: %s", self.line, text)
  end
  self.failed = true
  if not (self.interactive or self.keep_going) then self.done = true end
end

local function line_of(err)
  local text = failure.line(err)
  if failure.is_error(err) then
    if err.detail then text = ("%s (%s)"):format(text, err.detail) end
    if err.hint then text = ("%s (hint: %s)"):format(text, err.hint) end
  end
  return (text:gsub("%s*\n%s*", " "))
end

-- Runs what was typed. An interrupt ends it and, of a session that nobody types,
-- all the rest.
local function attempt(self, fn, ...)
  local start = runner.now()
  local ok, err = pcall(fn, ...)
  local interrupts = runner.interrupts()
  if not ok then complain(self, line_of(err)) end
  if interrupts > 0 and not self.interactive then
    self.done, self.interrupted = true, true
  end
  if ok and self.timing then
    print(("Time: %.2f ms"):format((runner.now() - start) * 1e3))
  end
end

-- ---- results ---------------------------------------------------------------

local function show_rows(self, rows)
  if self.mode == "vertical" then
    print(format.vertical(rows))
  else
    print(format.table(rows))
  end
end

local function show_result(self, rows)
  if #rows.columns > 0 then
    show_rows(self, rows)
  elseif rows.affected > 0 then
    print(("ok, %d row%s"):format(rows.affected, rows.affected == 1 and "" or "s"))
  else
    print "ok"
  end
end

local function show_values(self, n, ...)
  for i = 1, n do
    local v = select(i, ...)
    local mt = type(v) == "table" and getmetatable(v)
    if mt and type(mt) == "table" and mt.columns then
      show_rows(self, v)
    else
      print(tostring(v))
    end
  end
end

-- ---- SQL -------------------------------------------------------------------

local function run_sql(self, sql)
  attempt(self, function() show_result(self, self.conn:query(sql)) end)
end

-- ---- Lua -------------------------------------------------------------------

local function is_incomplete(why)
  return why:find "<eof>'?$" ~= nil
end

local function run_chunk(self, chunk)
  attempt(self, function()
    local function show(...) show_values(self, select("#", ...), ...) end
    show(chunk())
  end)
end

-- Lua that is not complete waits for more lines.
local function run_lua(self, code)
  local chunk, why = load(code, "=shell")
  if chunk then
    self.chunk = nil
    run_chunk(self, chunk)
  elseif is_incomplete(why) then
    self.chunk = code
  else
    self.chunk = nil
    complain(self, why)
  end
end

-- ---- commands --------------------------------------------------------------

local commands = {}

function commands.help()
  print(HELP)
end

function commands.quit(self)
  self.done = true
end

function commands.lua(self, code)
  run_lua(self, code)
end

function commands.tables(self)
  attempt(self, function()
    show_rows(self, self.conn:query(TABLES[self.dialect]))
  end)
end

function commands.columns(self, name)
  if name == "" then return complain(self, ".columns TABLE") end
  attempt(self, function()
    local rows = self.conn:query(COLUMNS[self.dialect], name)
    if #rows == 0 then error(("there is no table %q"):format(name), 0) end
    show_rows(self, rows)
  end)
end

local function set(self, field, word, values)
  if values[word] == nil then
    return complain(self, ("unknown .%s %q, see .help"):format(field, word))
  end
  self[field] = values[word]
end

function commands.timing(self, word)
  set(self, "timing", word, { on = true, off = false })
end

function commands.mode(self, word)
  set(self, "mode", word, { table = "table", vertical = "vertical" })
end

local function run_command(self, line)
  local name, rest = line:match "^%.(%a+)%s*(.-)%s*$"
  if not commands[name] then
    return complain(self, ("unknown command %s, see .help")
      :format(line:match "^%S+"))
  end
  commands[name](self, rest)
end

-- ---- lines -----------------------------------------------------------------

local PROMPTS = { idle = "=", open = "=*", failed = "=!" }

local function prompt(self)
  if self.chunk then return "    ...> " end
  if self.reader:is_pending() then return "perigee-> " end
  return "perigee" .. (PROMPTS[core.info(self.conn).tx] or "=?") .. "> "
end

local function read_line(self)
  if not self.interactive then return (io.read "*l") end
  local line = runner.read_line(prompt(self))
  runner.interrupts()
  if line and line:find "%S" then runner.add_history(line) end
  return line
end

local function take_line(self, line)
  if self.chunk then
    run_lua(self, self.chunk .. "\n" .. line)
  elseif not self.reader:is_pending() and line:find "^%s*%." then
    run_command(self, line:match "^%s*(.*)")
  elseif not self.reader:is_pending() and line:find "^%s*=" then
    run_lua(self, "return " .. line:match "^%s*=(.*)")
  else
    for _, sql in ipairs(self.reader:add(line)) do
      if self.done then break end
      run_sql(self, sql)
    end
  end
end

local function drop_line(self)
  print()
  self.chunk = nil
  self.reader:clear()
end

-- What was piped in may lack its last semicolon.
local function take_end(self)
  local sql = self.reader:rest()
  self.done = true
  if self.interactive then
    print()
  elseif self.chunk then
    complain(self, "the Lua code is not complete")
  elseif sql then
    run_sql(self, sql)
  end
end

local function is_lost(self)
  local info = core.info(self.conn)
  return info.broken or not info.leased
end

-- Takes lines until the end, or until the connection is lost.
local function converse(self, conn)
  self.conn = conn
  while not self.done and not is_lost(self) do
    local line = read_line(self)
    if line == nil and runner.interrupts() > 0 then
      self.done, self.interrupted = true, true
    elseif line == nil then
      take_end(self)
    elseif line == false then
      drop_line(self)
    else
      self.line = self.line + 1
      take_line(self, line)
    end
  end
  local tx = core.info(conn).tx
  if self.done and (tx == "open" or tx == "failed") then
    io.stdout:flush()
    io.stderr:write("perigee: the open transaction is rolled back\n")
  end
end

-- ---- history ---------------------------------------------------------------

-- Its file, in a folder that is made when it is not there.
local function history_path()
  local home = os.getenv "HOME"
  local state = os.getenv "XDG_STATE_HOME"
  if not state or state == "" then
    if not home then return nil end
    runner.mkdir(home .. "/.local")
    state = home .. "/.local/state"
  end
  runner.mkdir(state)
  return runner.mkdir(state .. "/perigee") and state .. "/perigee/history" or nil
end

-- ---- the command -----------------------------------------------------------

-- Who types has Ctrl-C, and no time limit unless the URL sets one.
local function options_of(interactive, url)
  local options = {
    max_size = 2,
    on_notice = function(n)
      io.stdout:flush()
      io.stderr:write("notice: ", n.message, "\n")
    end,
  }
  local ok, parts = pcall(perigee.url, url)
  if interactive and not (ok and parts.params.query_timeout) then
    options.query_timeout = math.huge
  end
  return options
end

local function serve(self)
  local again = false
  repeat
    local ok, err = pcall(self.db.connection, self.db, function(conn)
      if again then io.stderr:write "connected again; the session is new\n" end
      converse(self, conn)
    end)
    if not ok then
      failure.report(err)
      return failure.status(err)
    end
    again = true
  until self.done
  if self.interrupted then return failure.INTERRUPTED end
  return self.failed and not self.interactive and failure.SCRIPT or 0
end

local function greet(db)
  local driver = db:driver()
  print(("perigee %s, %s (client library %s); .help shows what can be typed")
    :format(runner.version, driver.name, driver.version))
end

function M.run(options)
  local interactive = runner.isatty(0)
  local db, problem, from = database.open(options, function(url)
    return options_of(interactive, url)
  end)
  if not db then
    failure.say("%s", database.explain(problem, from))
    return failure.USAGE
  end
  rawset(_G, "perigee", perigee)
  rawset(_G, "db", db)
  local dialect = db:driver().dialect
  local self = setmetatable({
    db = db, dialect = dialect, interactive = interactive,
    keep_going = options.keep_going, reader = statement.reader(dialect),
    mode = "table", line = 0,
  }, Session)
  runner.catch_interrupts(true)
  local history = interactive and history_path()
  if history then runner.load_history(history) end
  if interactive then greet(db) end
  local status = serve(self)
  if history then runner.save_history(history) end
  pcall(db.close, db)
  return status
end

return M
