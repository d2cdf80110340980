-- perigee run, and what all commands have in common.

local helper = require "spec.support.helper"
local program = require "spec.support.program"

describe("the runner", function()
  if program.is_missing() then
    pending "is built for Lua 5.4"
    return
  end

  local run, script = program.run, program.script
  local memory = { "--url", "sqlite::memory:" }

  -- The words with --url sqlite::memory: before them.
  local function on_memory(...)
    return { memory[1], memory[2], ... }
  end

  local function has(text, wanted)
    assert.truthy(text:find(wanted, 1, true),
      ("%q is not in:\n%s"):format(wanted, text))
  end

  -- The last line of what was written to standard error.
  local function last_line(r)
    return r.err:match "([^\n]*)\n$"
  end

  local function one_line(r)
    assert.equal(1, select(2, r.err:gsub("\n", "")), r.err)
    return (r.err:gsub("\n", ""))
  end

  after_each(helper.cleanup)

  describe("tells", function()
    it("its version and those of Lua and the drivers", function()
      local r = run { "--version" }
      assert.equal(0, r.status, r.err)
      assert.truthy(r.out:find "^perigee +%d+%.%d+%.%d+\n")
      assert.truthy(r.out:find "\nlua +5%.4\n")
      assert.truthy(r.out:find "\nsqlite +3%.%d+")
    end)

    it("how it is used", function()
      local r = run { "--help" }
      assert.equal(0, r.status)
      assert.equal("", r.err)
      has(r.out, "Usage: perigee")
      has(r.out, "Run a Lua script")
      r = run { "run", "--help" }
      assert.equal(0, r.status)
      has(r.out, "Usage: perigee run")
      assert.equal(0, run { "shell", "--help" }.status)
    end)

    it("what was meant by an unknown command", function()
      local r = run { "rnu" }
      assert.equal(2, r.status)
      assert.equal("perigee: unknown command 'rnu'. Did you mean 'run'?",
        last_line(r))
    end)

    it("that a command or an operand is missing, or is too much", function()
      for args, message in pairs {
        [{}] = "a command is missing",
        [{ "run" }] = "missing argument 'FILE'",
        [{ "run", "--frob", "x.lua" }] = "unknown option '--frob'",
        [{ "shell", "x" }] = "too many arguments",
        [{ "run", "--url" }] = "option '--url' requires an argument",
      } do
        local r = run(args)
        assert.equal(2, r.status, r.err)
        assert.equal("perigee: " .. message, last_line(r))
        has(r.err, "Usage: perigee")
      end
    end)
  end)

  describe("run", function()
    it("gives the script perigee, db, arg and …", function()
      local path = program.file [[
        assert(perigee == require "perigee")
        assert(db:value "select 41 + 1" == 42)
        assert(coroutine.isyieldable())
        print(arg[0], #arg, ...)
        return 7]]
      local r = run(on_memory("run", path, "-x", "--help", "--url", "a b"))
      assert.equal("", r.err)
      assert.equal(0, r.status)
      assert.equal(path .. "\t4\t-x\t--help\t--url\ta b\n", r.out)
    end)

    it("keeps a -- among the script's arguments", function()
      local path = program.file "print(...)"
      assert.equal("a\t--\tb\n", run(on_memory("run", path, "a", "--", "b")).out)
      assert.equal("-x\n", run(on_memory("run", "--", path, "-x")).out)
    end)

    it("runs tasks to their end, also after the script's own", function()
      local r = run(on_memory("run", "-"), { input = [[
        perigee.spawn(function()
          perigee.sleep(0.05)
          print("late", db:value "select 1")
        end)
        print "early"]] })
      assert.equal("", r.err)
      assert.equal("early\nlate\t1\n", r.out)
    end)

    it("finds modules beside the script, and on LUA_PATH", function()
      local dir = helper.tmpname()
      assert(os.execute("mkdir " .. dir .. " " .. dir .. "/lib"))
      local function write(name, text)
        local f = assert(io.open(dir .. "/" .. name, "w"))
        f:write(text)
        f:close()
      end
      write("beside.lua", "return 'beside'")
      write("lib/other.lua", "return 'other'")
      write("main.lua", "print(require 'beside', (require 'other'))")
      local r = run(on_memory("run", dir .. "/main.lua"),
        { env = { LUA_PATH = dir .. "/lib/?.lua;;" } })
      os.execute("rm -r " .. dir)
      assert.equal("", r.err)
      has(r.out, "beside")
      has(r.out, "other")
    end)

    it("ends with the status of os.exit and loses no output", function()
      local r = script "io.write('half a line') os.exit(42)"
      assert.equal(42, r.status)
      assert.equal("half a line", r.out)
      assert.equal("", r.err)
    end)

    it("closes the database, so that SQLite leaves one file", function()
      local path = helper.tmpname()
      local r = script("db:execute 'create table t (a)'", {},
        { env = { DATABASE_URL = "sqlite:///" .. path } })
      assert.equal("", r.err)
      assert.truthy(io.open(path)):close()
      assert.is_nil(io.open(path .. "-wal"))
    end)
  end)

  describe("the database", function()
    local shown = "print(tostring(db))"

    local function url_of(args, env)
      local r = run(args, { input = shown, env = env })
      assert.equal("", r.err)
      return r.out:match "perigee.db: (.*)\n"
    end

    it("is that of --url, before or after the command", function()
      assert.equal("sqlite:///a.db", url_of { "--url", "sqlite:a.db", "run", "-" })
      assert.equal("sqlite:///a.db", url_of { "run", "--url=sqlite:a.db", "-" })
      assert.equal("sqlite:///b.db", url_of { "--url", "sqlite:a.db", "run",
        "--url", "sqlite:b.db", "-" })
    end)

    it("is else $DATABASE_URL, $DATABASE, sqlite:perigee.db", function()
      local both = { DATABASE_URL = "sqlite:u.db", DATABASE = "sqlite:d.db" }
      assert.equal("sqlite:///u.db", url_of({ "run", "-" }, both))
      both.DATABASE_URL = nil
      assert.equal("sqlite:///d.db", url_of({ "run", "-" }, both))
      assert.equal("sqlite:///perigee.db", url_of { "run", "-" })
    end)

    it("is not touched by a script that does not use it", function()
      local path = helper.tmpname()
      script("print 'hello'", {}, { env = { DATABASE_URL = "sqlite:///" .. path } })
      assert.is_nil(io.open(path))
    end)

    it("with a bad URL is wrong usage, and no secret is shown", function()
      for _, url in ipairs {
        "postgresql://u:sesame@/x?max_size=many", "foo://u:sesame@h/x",
        "postgresql://u:sesame@h:port/x", "sesame",
      } do
        local r = run({ "run", "--url", url, "-" }, { input = "print 'ran'" })
        assert.equal(2, r.status, r.err)
        assert.equal("", r.out)
        assert.truthy(one_line(r):find "^perigee: %-%-url: ", r.err)
        assert.is_nil(r.err:find "sesame")
        r = run({ "run", "-" }, { env = { DATABASE_URL = url } })
        assert.equal(2, r.status, r.err)
        assert.truthy(one_line(r):find "^perigee: %$DATABASE_URL: ", r.err)
      end
    end)

    it("that cannot be reached is status 8", function()
      local r = run({ "run", "-", "--url" }, { input = "db:ping()",
        env = { DATABASE_URL = "postgresql://u:sesame@127.0.0.1:1/x" } })
      assert.equal(8, r.status, r.err)
      assert.truthy(r.err:find "^perigee: connect: ", r.err)
      has(r.err, "stdin:1:")
      assert.is_nil(r.err:find "sesame")
    end)
  end)

  describe("an error", function()
    it("is output that cannot be written", function()
      local r = program.sh(program.command(on_memory("run",
        program.file "print 'lost'")) .. " >/dev/full")
      assert.equal(9, r.status)
      assert.equal("perigee: not all output could be written", one_line(r))
    end)

    it("of the script is one line and its own callers", function()
      local r = run(on_memory("run", "-"), { input = table.concat({
        "local function inner() error 'boom' end",
        "local function outer() inner() end",
        "print 'before'",
        "outer()",
      }, "\n") })
      assert.equal(9, r.status)
      assert.equal("before\n", r.out)
      assert.equal("perigee: stdin:1: boom\n  stdin:1: in inner\n"
        .. "  stdin:2: in outer\n  stdin:4: in the main chunk\n", r.err)
    end)

    it("of Perigee tells where the call was, also in a transaction", function()
      local r = run(on_memory("run", "-"), { input = table.concat({
        "db:script 'create table t (a int primary key); insert into t values (1)'",
        "local function add(tx)",
        "  tx:execute('insert into t values (?)', 1)",
        "end",
        "db:transaction(function(tx)",
        "  add(tx)",
        "end)",
      }, "\n") })
      assert.equal(9, r.status)
      assert.truthy(r.err:find "^perigee: unique: [^\n]*\n", r.err)
      has(r.err, "\n  stdin:3: in add\n  stdin:6: in ")
      has(r.err, "\n  stdin:5: in the main chunk\n")
      assert.is_nil(r.err:find("perigee/", 1, true), r.err)
    end)

    it("of a spawned task tells where it was", function()
      local r = run(on_memory("run", "-"), { input = table.concat({
        "local function fail()",
        "  error 'in a task'",
        "end",
        "perigee.spawn(function()",
        "  perigee.sleep(0.01)",
        "  fail()",
        "end)",
      }, "\n") })
      assert.equal(9, r.status)
      assert.truthy(r.err:find "^perigee: stdin:2: in a task\n  stdin:2: in",
        r.err)
    end)

    it("may be any value", function()
      for value, line in pairs {
        ["{}"] = "(error object is a table value)", ["nil"] = "the error is nil",
        ["setmetatable({}, { __tostring = function() return 'a\\nb' end })"]
          = "a\n  b",
      } do
        local r = run(on_memory("run", "-"),
          { input = "error(" .. value .. ")" })
        assert.equal(9, r.status)
        assert.equal("perigee: " .. line .. "\n  stdin:1: in the main chunk\n",
          r.err)
      end
    end)

    it("in the syntax of the script is status 9", function()
      local r = run(on_memory("run", "-"), { input = "x = = 1" })
      assert.equal(9, r.status)
      assert.equal("perigee: stdin:1: unexpected symbol near '='", one_line(r))
    end)

    it("is a missing or unreadable script: status 2", function()
      local r = run(on_memory("run", "no/such.lua"))
      assert.equal(2, r.status)
      assert.equal("perigee: no/such.lua: No such file or directory",
        one_line(r))
      r = run(on_memory("run", "/"))
      assert.equal(2, r.status)
      assert.equal("perigee: /: Is a directory", one_line(r))
    end)
  end)

  describe("Ctrl-C", function()
    local endless = "with recursive c(n) as (select 1 union all "
      .. "select n + 1 from c) select count(*) from c"

    -- Starts the script, sends SIGINT once it has said "ready" and was given
    -- the time to go on.
    local function interrupt(text, url)
      local out = helper.tmpname()
      return program.sh(([[
        %s >%s & pid=$!
        for i in $(seq %d); do grep -qs ready %s && break; sleep 0.02; done
        sleep %g
        kill -INT $pid
        wait $pid; status=$?
        cat %s
        (exit $status)]]):format(
          program.command { "run", "--url", url, program.file(text) },
          out, helper.patience(500), out, helper.patience(0.3), out))
    end

    it("in a query ends the script with status 130", function()
      local r = interrupt("print 'ready' io.stdout:flush() db:query '"
        .. endless .. "' print 'not reached'", "sqlite::memory:")
      assert.equal(130, r.status, r.err)
      assert.equal("perigee: interrupted", one_line(r))
      assert.equal("ready\n", r.out)
    end)

    it("rolls a transaction back", function()
      local url = "sqlite:///" .. helper.tmpname()
      local r = interrupt([[
        db:execute "create table t (a)"
        db:transaction(function(tx)
          tx:execute "insert into t values (1)"
          print "ready" io.stdout:flush()
          perigee.sleep(60)
        end)]], url)
      assert.equal(130, r.status, r.err)
      local db = helper.open(url)
      assert.equal(0, db:value "select count(*) from t")
    end)

    it("stops Lua that computes, and tasks that wait", function()
      local r = interrupt([[
        perigee.spawn(function() perigee.sleep(60) end)
        print "ready" io.stdout:flush()
        while true do end]], "sqlite::memory:")
      assert.equal(130, r.status, r.err)
    end)

    it("in a query on PostgreSQL cancels it there", function()
      local url = os.getenv "PERIGEE_TEST_POSTGRES"
      if not url then return pending "PERIGEE_TEST_POSTGRES is not set" end
      local r = interrupt("print 'ready' io.stdout:flush() "
        .. "db:query 'select pg_sleep(50) /* runner_spec */'", url)
      assert.equal(130, r.status, r.err)
      local db = helper.open(url)
      for _ = 1, helper.patience(50) do
        if db:value [[select count(*) from pg_stat_activity
          where query like '%runner_spec */' and state = 'active'
          and pid <> pg_backend_pid()]] == 0
        then
          return
        end
        require "perigee".sleep(0.1)
      end
      error "the query goes on"
    end)
  end)

  it("runs the example", function()
    local url = "sqlite:///" .. helper.tmpname()
    for _ = 1, 2 do
      local r = run { "--url", url, "run", "examples/chinook.lua" }
      assert.equal("", r.err)
      has(r.out, "all sums agree")
    end
  end)
end)
