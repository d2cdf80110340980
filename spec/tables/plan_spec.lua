-- The page after 100,000 rows is found as the first one is: by the same index, and
-- reading no more of it than is shown. What counts are the databases' own plans, of the
-- statements that pages send.
local helper = require "spec.support.helper"
local perigee = require "perigee"

local DEEP, ROWS, LIMIT = 100000, 101000, 50
local TIES = 4 -- rows that are alike in the first column of an order
local INDEXES = {
  create = [[
    create unique index plan_pk on entries (id);
    create index plan_newest on entries (created_at, id);
    create index plan_day on entries (day, id);
    create index plan_mixed on entries (a, b desc, id desc)]],
}

-- What a series of numbers is called, and a time some seconds after another.
local DIALECTS = {
  postgres = {
    series = "generate_series(1, %d) as s (i)",
    later = "timestamp '2026-01-01' + (i / %d) * interval '1 second'",
  },
  sqlite = {
    series = "(with recursive s (i) as (select 1 union all select i + 1 from s "
      .. "where i < %d) select i from s)",
    later = "strftime('%%Y-%%m-%%dT%%H:%%M:%%S.000000', '2026-01-01', "
      .. "(i / %d) || ' seconds')",
  },
  mysql = {
    series = "(with recursive s (i) as (select 1 union all select i + 1 from s "
      .. "where i < %d) select i from s) as numbers",
    later = "timestampadd(second, i div %d, '2026-01-01')",
    analyze = "analyze table entries",
  },
}

local function fill(db, dialect)
  local d = DIALECTS[dialect]
  db:script(([[create table entries (id integer primary key, created_at timestamp not null,
      day integer not null, a integer not null, b integer not null);
    insert into entries select i, %s, i / 60000, i / %d, i %% 3 from %s;
    %s; %s]]):format(d.later:format(TIES), TIES, d.series:format(ROWS), INDEXES.create,
      d.analyze or "analyze entries"))
end

-- ---- the parameters of a statement ------------------------------------------

local function split(list)
  local out = {}
  for item in list:gmatch "[^,%s]+" do out[#out + 1] = item end
  return out
end

-- A statement with its parameters numbered, and their values: those of the row that the
-- page begins behind, and the limit.
local function fill_in(sql, row)
  local n, values = 0, {}
  sql = sql:gsub("%?", function()
    n = n + 1
    return "$" .. n
  end)
  local function put(name, mark)
    values[tonumber(mark:match "%d+")] = row[name:match '"(.*)"']
  end
  local plain = sql:gsub(" COLLATE BINARY", ""):gsub("`", '"')
  for name, mark in plain:gmatch '("[%w_]+") [<>=]+ (%$%d+)' do put(name, mark) end
  for names, marks in plain:gmatch "%(([^()]*)%) [<>]=? %((%$[^()]*)%)" do
    local list = split(marks)
    for i, name in ipairs(split(names)) do put(name, list[i]) end
  end
  values[tonumber(sql:match "LIMIT %$(%d+)")] = LIMIT + 1
  return sql, values
end

local function literal(v)
  return type(v) == "string" and "'" .. v .. "'" or ("%d"):format(v)
end

local function literals(values)
  local out = {}
  for i, v in ipairs(values) do out[i] = literal(v) end
  return #out > 0 and "(" .. table.concat(out, ", ") .. ")" or ""
end

-- ---- plans --------------------------------------------------------------------

-- The nodes of a plan of PostgreSQL, outermost first.
local function flatten(node, into)
  into[#into + 1] = node
  for _, child in ipairs(node.Plans or {}) do flatten(child, into) end
  return into
end

-- The index of the plan, which is a scan of it below a limit, and nothing else.
local function check_postgres(plan)
  local nodes = flatten(plan, {})
  local scan = nodes[#nodes]
  local what = ("%s of %d"):format(scan["Node Type"], #nodes)
  assert.equal(2, #nodes, what)
  assert.truthy(scan["Node Type"]:find "^Index", what)
  assert.equal(LIMIT + 1, scan["Actual Rows"])
  local removed = scan["Rows Removed by Filter"] or 0
  assert.is_true(removed <= TIES, ("%d rows were read in vain"):format(removed))
  return scan["Index Name"]
end

local explain = {}

-- By a plan for these values, and by one for all.
function explain.postgres(db, sql, values)
  return db:connection(function(conn)
    local index
    -- quoted: its parameters are the statement's, and not ours
    conn:script("do $do$ begin execute $sql$prepare page as " .. sql .. "$sql$; end $do$")
    for _, mode in ipairs { "custom", "generic" } do
      conn:execute(("set plan_cache_mode = force_%s_plan"):format(mode))
      local answer = conn:value("explain (analyze, format json) execute page"
        .. literals(values))
      local found = check_postgres(answer[1].Plan)
      assert.equal(index or found, found)
      index = found
    end
    conn:execute "deallocate page"
    return index
  end)
end

-- SQLite tells no numbers: what it does has to be one step along an index, with a place
-- to begin at when the page is not the first.
function explain.sqlite(db, sql, values, is_first)
  local steps = db:query("explain query plan " .. sql, values)
  assert.equal(1, #steps, tostring(steps))
  local detail = steps[1].detail
  assert.truthy(detail:find(is_first and "^SCAN" or "^SEARCH"), detail)
  return detail:match "USING INDEX ([%w_]+)" or detail:match "USING INTEGER PRIMARY KEY"
    or detail == "SCAN entries" and "USING INTEGER PRIMARY KEY"
end

-- MariaDB tells what was read: one table, by an index, and no more of it.
function explain.mysql(db, sql, values)
  local text = sql:gsub("%$(%d+)", function(n) return literal(values[tonumber(n)]) end)
  local plan = db:value("analyze format=json " .. text)
  if type(plan) == "string" then plan = perigee.json.decode(plan) end
  local block = plan.query_block
  local scan = block.table or block.nested_loop and block.nested_loop[1].table
  assert.is_table(scan, sql)
  assert.is_string(scan.key, sql)
  assert.is_true(scan.r_rows <= LIMIT + 1 + TIES, ("%d rows were read"):format(scan.r_rows))
  return scan.key
end

-- ---- the specs ------------------------------------------------------------------

helper.for_each_db(function(database, open)
  local dialect = DIALECTS[database] and database or "sqlite"

  describe("EXPLAIN: page 1 and the page after 100,000 rows", function()
    local db, sent

    before_each(function()
      helper.watchdog(180)
      db = open {
        max_limit = DEEP,
        on_query = function(event)
          if event.sql:find "^SELECT .*LIMIT" then sent = event.sql end
        end,
      }
      fill(db, dialect)
    end)

    -- The index that the page uses, and its rows; `row`: the one before it.
    local function look(order, cursor, row)
      local page = db:page("entries", nil, {
        order_by = order, cursor = cursor, limit = LIMIT,
      })
      local sql, values = fill_in(sent, row)
      return explain[dialect](db, sql, values, cursor == nil), page.rows
    end

    -- Both ways: pages by `next`, and the one before them by `prev`.
    local function check(order)
      local first = look(order, nil, {})
      assert.is_string(first)
      local seen = db:page("entries", nil, { order_by = order, limit = DEEP })
      local last = seen.rows[DEEP]
      local deep, rows = look(order, seen.next, last)
      assert.equal(first, deep)
      assert.equal(LIMIT, #rows)
      assert.not_equal(last.id, rows[1].id)
      local behind = db:page("entries", nil, { cursor = seen.next, limit = LIMIT })
      local back, before = look(order, behind.prev, behind.rows[1])
      assert.equal(first, back)
      assert.equal(last.id, before[LIMIT].id)
    end

    it("by the primary key read the same rows of the same index", function()
      check()
      check "-id"
    end)

    it("by the newest first read the same rows of the same index", function()
      check "-created_at"
    end)

    it("by one column that most rows share read the same rows of the same index",
      function()
        check "day"
        check { "-day", "-id" }
      end)

    it("in mixed directions read the same rows of the same index", function()
      check { "a", "-b" }
    end)
  end)
end)
