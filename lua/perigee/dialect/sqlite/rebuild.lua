--- A table built anew, for what ALTER TABLE cannot do: the new one is filled beside the
-- old one, then takes its name. docs/internals/dialect-sqlite.md has the order of the
-- steps and why each is there.
local core = require "perigee.core"
local ddl = require "perigee.dialect.sqlite.ddl"
local inspect = require "perigee.dialect.sqlite.inspect"
local lexer = require "perigee.dialect.sqlite.lexer"
local types = require "perigee.dialect.sqlite.types"

local M = {}

local quote, string_of = lexer.quote, lexer.string

local PREFIX = "_perigee_new_"
--- What names of ours begin with: a table of such a name is a leftover and may be dropped.
M.PREFIX = PREFIX

local function find(list, name)
  for _, e in ipairs(list) do
    if e.name == name then return e end
  end
end

-- ---- the statements --------------------------------------------------------

local function has_identity(t)
  for _, c in ipairs(t.columns) do
    if c.identity then return c.identity end
  end
end

-- A name for the rowid that no column hides; nil when there is no rowid, or it is a
-- column already.
local function rowid_of(t)
  if ddl.options_of(t).without_rowid or has_identity(t) then return nil end
  for _, name in ipairs { "rowid", "_rowid_", "oid" } do
    local hidden = false
    for _, c in ipairs(t.columns) do hidden = hidden or lexer.fold(c.name) == name end
    if not hidden then return name end
  end
end

-- When no old column stays, the rows still do: their first column gets its default.
local function only_defaults(after)
  for _, c in ipairs(after.columns) do
    if not c.generated then return { quote(c.name) }, { ddl.default(c) or "NULL" } end
  end
end

-- INSERT … SELECT; `map` is { [new column] = expression over the old table }.
local function fill(before, after, map, new)
  local into, from = {}, {}
  for _, c in ipairs(after.columns) do
    if map[c.name] and not c.generated then
      into[#into + 1], from[#from + 1] = quote(c.name), map[c.name]
    end
  end
  if #into == 0 then into, from = only_defaults(after) end
  local old_id, new_id = rowid_of(before), rowid_of(after)
  if old_id and new_id then
    table.insert(into, 1, new_id)
    table.insert(from, 1, old_id)
  end
  return ("INSERT INTO %s (%s) SELECT %s FROM %s%s"):format(quote(new),
    table.concat(into, ", "), table.concat(from, ", "), quote(before.name),
    old_id and " ORDER BY " .. old_id or "")
end

local function goes_on(before, after)
  local old_key, new_key = has_identity(before), has_identity(after)
  return old_key and old_key.always and new_key and new_key.always
end

-- AUTOINCREMENT goes on where the old table was, so that no key is given out twice.
local function sequence(before, after, new, out)
  if not goes_on(before, after) then return end
  out[#out + 1] = "DELETE FROM sqlite_sequence WHERE name = " .. string_of(new)
  out[#out + 1] = ("INSERT INTO sqlite_sequence (name, seq) SELECT %s, seq"
    .. " FROM sqlite_sequence WHERE name = %s"):format(string_of(new), string_of(before.name))
end

-- What comes with the table.
local function rest(after, triggers, out)
  for _, index in ipairs(after.indexes or {}) do out[#out + 1] = ddl.index(index, after) end
  for _, sql in ipairs(triggers) do out[#out + 1] = sql end
  return out
end

-- What replaces an empty table after the first part of the script: RENAME makes SQLite
-- parse the whole schema, which is most of the time where there are hundreds of tables.
local function in_place(after, triggers)
  return rest(after, triggers, {
    "DROP TABLE " .. quote(PREFIX .. after.name), "DROP TABLE " .. quote(after.name),
    ddl.table(after),
  })
end

--- The statements that replace a table.
-- @tparam table before the table as it is
-- @tparam table after as it shall be, of the same name
-- @tparam table map { [new column] = expression over the old table }
-- @tparam {string,...} triggers CREATE TRIGGER statements of the table
-- @treturn {string,...} create and fill the new table
-- @treturn {string,...} put it in the place of the old one
function M.script(before, after, map, triggers)
  local name, new = before.name, PREFIX .. before.name
  local first = {
    "DROP TABLE IF EXISTS " .. quote(new), ddl.table(after, new),
    fill(before, after, map, new),
  }
  sequence(before, after, new, first)
  local second = {
    "DROP TABLE " .. quote(name), "PRAGMA legacy_alter_table = ON",
    ("ALTER TABLE %s RENAME TO %s"):format(quote(new), quote(name)),
    "PRAGMA legacy_alter_table = OFF",
  }
  return first, rest(after, triggers, second)
end

-- ---- what must be as before ------------------------------------------------

-- The condition that a text of the schema may name something: it has the name in it. A
-- name with quotes is written in more than one way.
local MAY_NAME = [[(%s GLOB '*["`'']*' OR instr(lower(%s), lower(%s)) > 0)]]

-- The text is looked at first, since asking for the keys of all tables at each rebuild
-- takes long where there are hundreds.
local RELATED = [[SELECT DISTINCT m.name AS name FROM main.sqlite_master m
WHERE m.type = 'table' AND m.rootpage > 0 AND (m.name = :name
  OR ]] .. MAY_NAME:format(":name", "m.sql", ":name") .. [[ AND EXISTS (
    SELECT 1 FROM pragma_foreign_key_list(m.name, 'main') f
    WHERE lower(f."table") = lower(:name)))]]

--- How many rows have no parent: { [child] = { [parent] = count } }, for the table and
-- for those that refer to it. What cannot be checked, since the parent has no such key, is
-- one row of the parent "".
function M.orphans(conn, name)
  local counts = {}
  for _, row in ipairs(conn:query(RELATED, { name = name })) do
    local ok, rows = pcall(conn.query, conn, "PRAGMA foreign_key_check(" .. quote(row.name) .. ")")
    local of = {}
    counts[row.name] = of
    for _, orphan in ipairs(ok and rows or { { parent = "" } }) do
      of[orphan.parent] = (of[orphan.parent] or 0) + 1
    end
  end
  return counts
end

--- The same for all tables.
function M.all_orphans(conn)
  local counts = {}
  local ok, rows = pcall(conn.query, conn, "PRAGMA foreign_key_check")
  for _, orphan in ipairs(ok and rows or {}) do
    local of = counts[orphan.table] or {}
    counts[orphan.table] = of
    of[orphan.parent] = (of[orphan.parent] or 0) + 1
  end
  return counts
end

local function raise_orphans(child, parent, more)
  local message = ('a foreign key of "%s" refers to no key of its parent'):format(child)
  if parent ~= "" then
    message = ('%d %s of "%s" would have no parent in "%s"')
      :format(more, more == 1 and "row" or "rows", child, parent)
  end
  error(core.new_error("foreign_key", message, { table = child }), 0)
end

--- Raises when more rows are without a parent than before.
-- @tparam table now what one of the two functions above gives
-- @tparam table before
function M.check_orphans(now, before)
  for child, of in pairs(now) do
    for parent, count in pairs(of) do
      local more = count - (before[child] and before[child][parent] or 0)
      if more > 0 then raise_orphans(child, parent, more) end
    end
  end
end

-- What can have to do with a table or view: that itself, views that name it, whatever has a
-- trigger that names it, and so on for each of those.
local NEAR = [[WITH RECURSIVE near (name) AS (SELECT lower(:name) UNION
  SELECT lower(CASE m.type WHEN 'view' THEN m.name ELSE m.tbl_name END)
  FROM near JOIN main.sqlite_master m ON m.type IN ('view', 'trigger')
    AND ]] .. MAY_NAME:format("near.name", "m.sql", "near.name") .. [[)
]]
local VIEWS = NEAR .. [[SELECT m.name AS name FROM main.sqlite_master m
WHERE m.type = 'view' AND lower(m.name) IN (SELECT name FROM near) ORDER BY m.name]]
local OWNERS = NEAR .. [[SELECT DISTINCT tbl_name AS name FROM main.sqlite_master m
WHERE type = 'trigger' AND lower(tbl_name) IN (SELECT name FROM near)
  AND EXISTS (SELECT 1 FROM main.sqlite_master t
    WHERE t.type = 'table' AND t.name = m.tbl_name) ORDER BY tbl_name]]

-- Statements that SQLite only compiles when the triggers of a table are sound. They do
-- nothing.
local function trigger_probe(conn, name)
  local into, values, sets = {}, {}, {}
  for i, row in ipairs(conn:query(
    "SELECT name FROM pragma_table_xinfo(:name, 'main') WHERE hidden = 0", { name = name })) do
    into[i], values[i], sets[i] = quote(row.name), "NULL", quote(row.name) .. " = NULL"
  end
  local t = quote(name)
  return {
    "DELETE FROM " .. t .. " WHERE 0",
    "UPDATE " .. t .. " SET " .. table.concat(sets, ", ") .. " WHERE 0",
    ("INSERT INTO %s (%s) SELECT %s WHERE 0"):format(t, table.concat(into, ", "),
      table.concat(values, ", ")),
  }
end

local function first_failure(conn, statements)
  for _, sql in ipairs(statements) do
    local ok, err = pcall(conn.query, conn, sql)
    if not ok then return type(err) == "table" and err.message or tostring(err) end
  end
end

--- The views and triggers of tables that SQLite cannot compile, of those that can have to
-- do with a table or view: { [title] = why }.
function M.broken(conn, name)
  local out = {}
  for _, row in ipairs(conn:query(VIEWS, { name = name })) do
    out['the view "' .. row.name .. '"'] =
      first_failure(conn, { "SELECT * FROM " .. quote(row.name) .. " LIMIT 0" })
  end
  for _, row in ipairs(conn:query(OWNERS, { name = name })) do
    out['a trigger of "' .. row.name .. '"'] =
      first_failure(conn, trigger_probe(conn, row.name))
  end
  return out
end

--- Raises when something is broken that was not.
function M.check_broken(conn, name, before)
  local names = {}
  local now = M.broken(conn, name)
  for title in pairs(now) do
    if not before[title] then names[#names + 1] = title end
  end
  table.sort(names)
  if names[1] then
    error(core.new_error("undefined", ("%s would not work any more: %s")
      :format(names[1], now[names[1]])), 0)
  end
end

-- ---- values ----------------------------------------------------------------

local KINDS = {
  int = { "'integer'", "an integer" }, bool = { "'integer'", "a boolean" },
  float = { "'real', 'integer'", "a number" }, numeric = { "'real', 'integer'", "a number" },
}

-- Only a STRICT table refuses a text in a column of numbers; here a change of type does.
local function check_values(conn, before, after, new)
  for _, c in ipairs(after.columns) do
    local old = find(before.columns, c.name)
    local is, was = ddl.type(c, after), old and ddl.type(old, before)
    local kind = KINDS[types.class_of(is)]
    if kind and was and not types.same(is, was) and types.class_of(is) ~= types.class_of(was) then
      local sql = ("SELECT count(*) AS n, min(%s) AS value FROM %s WHERE typeof(%s) NOT IN"
        .. " (%s, 'null')"):format(quote(c.name), quote(new), quote(c.name), kind[1])
      local row = conn:one(sql)
      if tonumber(row.n) > 0 then
        error(core.new_error("data", ('column "%s" of "%s": %s of its values is not %s, as %q; '
          .. "say by `using` what they become"):format(c.name, after.name, row.n, kind[2],
          tostring(row.value)), { table = after.name, column = c.name }), 0)
      end
    end
  end
end

local function count(conn, name)
  return tonumber(conn:value("SELECT count(*) FROM " .. quote(name)))
end

-- ---- doing it --------------------------------------------------------------

-- Errors of the new table are told of the table that the user knows.
local function renamed(err)
  if type(err) ~= "table" or type(err.message) ~= "string" then return err end
  err.message = err.message:gsub(PREFIX, "")
  if type(err.table) == "string" then err.table = err.table:gsub("^" .. PREFIX, "") end
  return err
end

local function run(conn, statements)
  for _, sql in ipairs(statements) do conn:execute(sql) end
end

local function triggers_of(conn, name)
  local list = {}
  for _, row in ipairs(conn:query("SELECT sql FROM main.sqlite_master WHERE type = 'trigger'"
    .. " AND tbl_name = :name ORDER BY rowid", { name = name })) do
    list[#list + 1] = row.sql
  end
  return list
end

local function has_statistics(conn, name)
  if not conn:first("SELECT 1 FROM main.sqlite_master WHERE name = 'sqlite_stat1'") then
    return false
  end
  return conn:first("SELECT 1 FROM sqlite_stat1 WHERE tbl = :name", { name = name }) ~= nil
end

local function need_keys_off(conn)
  local on = conn:value "PRAGMA foreign_keys"
  if on == true or tonumber(on) == 1 then
    error(core.new_error("usage", "a table can only be built anew while foreign keys are not "
      .. "enforced: PRAGMA foreign_keys = OFF, outside of the transaction"), 0)
  end
end

local function replace(conn, before, after, map)
  local new, triggers = PREFIX .. before.name, triggers_of(conn, before.name)
  local first, second = M.script(before, after, map, triggers)
  run(conn, first)
  local rows, kept = count(conn, before.name), count(conn, new)
  if rows ~= kept then
    error(core.new_error("migration", ('"%s" has %d rows and would keep %d')
      :format(before.name, rows, kept), { table = before.name }), 0)
  end
  check_values(conn, before, after, new)
  local is_empty = rows == 0 and not goes_on(before, after)
  run(conn, is_empty and in_place(after, triggers) or second)
end

--- Replaces a table inside the transaction of `conn`.
-- @tparam perigee.executor conn foreign keys must not be enforced
-- @tparam string name
-- @tparam function change gets the live table, gives the new one and the map of
-- M.script
-- @raise foreign_key, undefined, data, not_null, … and then the transaction must be
-- rolled back
function M.run(conn, name, change)
  need_keys_off(conn)
  local before = inspect.one(conn, name)
  local after, map = change(before)
  local orphans, broken = M.orphans(conn, name), M.broken(conn, name)
  local analyzed = has_statistics(conn, name)
  local ok, err = pcall(replace, conn, before, after, map)
  if not ok then
    pcall(conn.execute, conn, "PRAGMA legacy_alter_table = OFF")
    error(renamed(err), 0)
  end
  M.check_orphans(M.orphans(conn, name), orphans)
  M.check_broken(conn, name, broken)
  if analyzed then conn:execute("ANALYZE " .. quote(name)) end
end

--- Drops a table. Children that have rows are not emptied: that is an error.
function M.drop(conn, name)
  need_keys_off(conn)
  local orphans, broken = M.orphans(conn, name), M.broken(conn, name)
  conn:execute("DROP TABLE " .. quote(name))
  M.check_orphans(M.orphans(conn, name), orphans)
  M.check_broken(conn, name, broken)
end

--- Replaces a view and keeps its INSTEAD OF triggers.
function M.replace_view(conn, name, statements)
  local triggers, broken = triggers_of(conn, name), M.broken(conn, name)
  run(conn, statements)
  run(conn, triggers)
  M.check_broken(conn, name, broken)
end

return M
