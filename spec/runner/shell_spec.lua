-- perigee shell, through a pipe and on a terminal.

local helper = require "spec.support.helper"
local program = require "spec.support.program"

describe("the shell", function()
  if program.is_missing() then
    pending "is built for Lua 5.4"
    return
  end

  after_each(helper.cleanup)

  local function piped(url, input, ...)
    return program.run({ "shell", "--url", url, ... }, { input = input })
  end

  local function good(url, input)
    local r = piped(url, input)
    assert.equal("", r.err)
    assert.equal(0, r.status)
    return r.out
  end

  helper.for_each_db(function(name, open)
    it("runs SQL of one and of several lines", function()
      assert.equal("ok\nok, 2 rows\na  | b\n---+--\nx; | 1\ny  | 2\n(2 rows)\n",
        good(open.url(), "create table t (a text, b integer);\n"
          .. "insert into t values ('x;', 1), ('y', 2);\n\n"
          .. "-- a comment;\nselect *\n  from t /* ; */\n  order by b;\n"))
    end)

    it("takes several statements from one line, and the last without its "
      .. "semicolon", function()
      assert.equal("n\n-\n1\n(1 row)\nn\n-\n2\n(1 row)\nn\n-\n3\n(1 row)\n",
        good(open.url(), "select 1 as n; select 2 as n;;\nselect 3\nas n"))
    end)

    it("keeps a transaction over lines", function()
      assert.equal("ok\nok\nok, 1 row\nn\n-\n1\n(1 row)\nok\nn\n-\n0\n(1 row)\n",
        good(open.url(), "create table t (a text);\nbegin;\n"
          .. "insert into t values ('x');\nselect count(*) as n from t;\n"
          .. "rollback;\nselect count(*) as n from t;\n"))
    end)

    it("says that a transaction was left open, and rolls it back", function()
      local r = piped(open.url(), "create table t (a text);\nbegin;\n"
        .. "insert into t values ('x');\n")
      assert.equal(0, r.status)
      assert.equal("perigee: the open transaction is rolled back\n", r.err)
      if name == "sqlite memory" then return end
      assert.equal(0, open():value "select count(*) from t")
    end)

    it("runs Lua on the same connection", function()
      assert.equal("ok\nok\nok, 1 row\n1\n7\tnil\n2\nnil\nx\n",
        good(open.url(), "create table t (a text);\nbegin;\n"
          .. "insert into t values ('x');\n"
          .. '= db:value "select count(*) from t"\n'
          .. ".lua n = 7\n.lua print(n,\n  nil)\n"
          .. "= 1 +\n 1\n= nil, 'x'\nrollback;\n"):gsub("ok\n$", ""))
    end)

    it("shows rows of Lua, one below the other if wished", function()
      assert.equal("a\n-\n1\n(1 row)\n-- row 1\n a: 1\nbc: x\n(1 row)\n",
        good(open.url(), '= db:query "select 1 as a"\n.mode vertical\n'
          .. "select 1 as a, 'x' as bc;\n"))
    end)

    it("shows the first 200 rows and says so", function()
      local out = good(open.url(), "with recursive c(n) as (select 1 union all "
        .. "select n + 1 from c where n < 1000) select n from c;\n")
      assert.truthy(out:find "\n *200\n… and 800 more\n%(1000 rows%)\n$", out)
    end)

    it("lists tables and columns", function()
      local out = good(open.url(), "create table people "
        .. "(id integer not null, nick text default 'x');\n.tables\n"
        .. ".columns people\n")
      assert.truthy(out:find("people", 1, true))
      assert.truthy(out:find "\nid +| [%a(%d)]+ +| no", out)
      assert.truthy(out:find "\nnick +| %a+ +| yes +| 'x'", out)
    end)

    it("measures", function()
      assert.truthy(good(open.url(), ".timing on\nselect 1;\n")
        :find "\nTime: %d+%.%d%d ms\n$")
    end)

    it("ends a pipe at the first error", function()
      local r = piped(open.url(), "select 1 as n;\nselec 2;\nselect 3 as n;\n")
      assert.equal(9, r.status)
      assert.equal("n\n-\n1\n(1 row)\n", r.out)
      assert.truthy(r.err:find "^perigee: line 2: syntax: [^\n]*\n$", r.err)
    end)

    it("goes on after errors with --keep-going", function()
      local r = piped(open.url(), "select * from nothere;\n= error 'x'\n.foo\n"
        .. "= nosuch.field\n.lua x = = 1\n.mode what\nselect 3 as n;\n= 1 +\n", "-k")
      assert.equal(9, r.status)
      assert.equal("n\n-\n3\n(1 row)\n", r.out)
      local lines = {}
      for line in r.err:gmatch "[^\n]+" do lines[#lines + 1] = line end
      assert.equal(7, #lines, r.err)
      assert.truthy(lines[1]:find "^perigee: line 1: undefined: ")
      assert.equal("perigee: line 3: unknown command .foo, see .help", lines[3])
      assert.truthy(lines[7]:find "not complete")
    end)
  end)

  describe("on SQLite", function()
    it("knows where a trigger ends", function()
      assert.equal("ok\nok\nok, 1 row\nn\n-\n1\n(1 row)\n",
        good("sqlite::memory:", "create table t (a);\n"
          .. "create trigger x after insert on t begin\n"
          .. "  update t set a = case when 1 then 1 end;\n"
          .. "  delete from t where a = 2;\nend;\n"
          .. "insert into t values (2);\nselect a as n from t;\n"))
    end)
  end)

  helper.for_each_db(function(_, open)
    it("knows comments and where a routine of MySQL ends", function()
      assert.equal("ok\nn\n--\n13\n(1 row)\nn\n-\n3\n(1 row)\n", good(open.url(),
        "# a comment;\ncreate function f(a int) returns int deterministic begin\n"
          .. "  if a > 1 then set a = a + 1; end if;\n"
          .. "  while a < 10 do set a = a + 1; end while;\n"
          .. "  case a when 10 then set a = a; end case;\n"
          .. "  return case when a > 1 then a else 0 end;\nend;\n"
          .. "select f(1) + 3 as n; # ; 'n\nselect 5--2-4 as n;\n"))
    end)

    it("connects again when the connection was lost (KILL)", function()
      local r = piped(open.url(), "= db:value 'select 6'\nkill connection_id();\n"
        .. "select 5 as n;\n", "-k")
      assert.truthy(r.err:find("connected again", 1, true), r.err)
      assert.truthy(r.out:find("5\n(1 row)", 1, true), r.out)
    end)

    it("shows warnings as notices", function()
      assert.truthy(piped(open.url(), "drop table if exists nothere;\n").err
        :find("notice: Unknown table 'perigee.nothere'", 1, true))
    end)
  end, { "mysql" })

  describe("on PostgreSQL", function()
    local url = os.getenv "PERIGEE_TEST_POSTGRES"
    if not url then
      pending "is not tested: PERIGEE_TEST_POSTGRES is not set"
      return
    end

    it("knows dollar quotes and shows notices", function()
      local r = piped(url, "do $x$ begin\nraise notice 'hello; %', 1;\n"
        .. "end $x$;\n")
      assert.equal("notice: hello; 1\n", r.err)
      assert.equal("ok\n", r.out)
    end)

    it("connects again when the connection was lost", function()
      local r = piped(url, "select pg_terminate_backend(pg_backend_pid());\n"
        .. "select 5 as n;\n", "-k")
      assert.truthy(r.err:find("closed: ", 1, true), r.err)
      assert.truthy(r.err:find("connected again", 1, true), r.err)
      assert.truthy(r.out:find("5\n(1 row)", 1, true), r.out)
    end)

    it("that does not answer is status 8", function()
      local r = piped("postgresql://u:sesame@127.0.0.1:1/x", "select 1;\n")
      assert.equal(8, r.status)
      assert.is_nil(r.err:find "sesame")
    end)
  end)

  it("refuses a bad URL", function()
    local r = piped("foo://h/x", "select 1;\n")
    assert.equal(2, r.status)
    assert.truthy(r.err:find "^perigee: %-%-url: unknown scheme")
  end)

  -- ---- on a terminal ---------------------------------------------------------

  describe("on a terminal", function()
    local slow = {
      sqlite = "with recursive c(n) as (select 1 union all "
        .. "select n + 1 from c) select count(*) from c;\n",
      postgres = "select pg_sleep(50);\n",
      mysql = "select sleep(50) from information_schema.schemata;\n",
    }
    local state

    local function start(url)
      state = helper.tmpname()
      local t = program.terminal({ "shell", "--url", url },
        { XDG_STATE_HOME = state })
      t:wait "perigee=> "
      return t
    end

    after_each(function()
      if state then os.execute("rm -rf " .. state) end
      state = nil
    end)

    helper.for_each_db(function(name, open)
      it("shows the transaction in its prompt and goes on after errors",
        function()
          local t = start(open.url())
          t:send "begin;\n"
          t:wait "perigee=%*> "
          t:send "selec 1;\n"
          t:wait "error: syntax: "
          t:wait(name == "postgres" and "perigee=!> " or "perigee=%*> ")
          t:send "rollback;\n"
          t:wait "perigee=> "
          t:send "select\n"
          t:wait "perigee%-> "
          t:send "11 as n;\n"
          t:wait "\n11\n%(1 row%)\nperigee=> "
          t:send "\4"
          assert.equal(0, t:close())
        end)

      it("cancels a query by Ctrl-C and stays", function()
        local t = start(open.url())
        t:send(slow[name] or slow.sqlite)
        os.execute("sleep " .. helper.patience(0.5))
        t:send "\3"
        t:wait "error: cancelled: "
        t:wait "perigee=> "
        t:send "select 12 as n;\n"
        t:wait "\n12\n%(1 row%)\nperigee=> "
        t:send ".quit\n"
        assert.equal(0, t:close())
      end)
    end, { "sqlite", "postgres", "mysql" })

    it("drops a line by Ctrl-C, and stops Lua", function()
      local t = start "sqlite::memory:"
      t:send "select 'begun\n"
      t:wait "perigee%-> "
      t:send "\3"
      t:wait "perigee=> "
      t:send ".lua while true do end\n"
      os.execute("sleep " .. helper.patience(0.5))
      t:send "\3"
      t:wait "error: interrupted\n"
      t:send "select 13 as n;\n"
      t:wait "\n13\n%(1 row%)\nperigee=> "
      t:send "\4"
      assert.equal(0, t:close())
    end)

    it("remembers what was typed, for its owner alone", function()
      local t = start "sqlite::memory:"
      t:send "select 14 as n;\n"
      t:wait "%(1 row%)"
      t:send "\4"
      assert.equal(0, t:close())
      local file = state .. "/perigee/history"
      if program.read_file(file) == "" then
        return pending "built without libedit"
      end
      assert.truthy(program.read_file(file):find "14")
      assert.equal("-rw-------",
        program.sh("ls -l " .. file).out:match "^%S%S%S%S%S%S%S%S%S%S")
    end)
  end)
end)
