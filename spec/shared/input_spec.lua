-- Bad input: refused with a clear error, and the same connection goes on.
local perigee = require "perigee"
local helper = require "spec.support.helper"
local check = require "spec.support.check"

local unpack = table.unpack or unpack

helper.for_each_db(function(name, open)
  local is_postgres = name == "postgres"

  -- A handle of one connection that is open, and a function that checks that
  -- it is still this connection.
  local function fresh()
    local db = open { max_size = 1 }
    db:script "create table i (n integer, s text)"
    db:value "select count(*) from i"
    local created = check.created(db)
    return db, function()
      check.usable(db)
      assert.equal(created, check.created(db), "the connection was replaced")
    end
  end

  describe("bad SQL (F-61)", function()
    local cases = {
      { "empty", "usage", "" }, { "blanks", "usage", " \n\t" },
      { "only a comment", "usage", "-- x" },
      { "only a block comment", "usage", "/* x */" },
      { "only semicolons", "usage", ";;" },
      { "two statements", "usage", "select 1; select 2" },
      { "two statements and parameters", "usage", "select ?; select 2", 1 },
      { "an unterminated string", "syntax", "select 'x" },
      { "an unterminated name", "syntax", 'select "x' },
      { "an unterminated comment", "syntax", "select 1 /* x" },
      { "a zero byte", "usage", "select 1\0" },
      { "a zero byte in a literal", "usage", "select 'a\0b'" },
      { "text that is not UTF-8", "usage", "select '\255'" },
      { "a cut UTF-8 character", "usage", "select '\195'" },
      { "nil", "usage", nil }, { "a number", "usage", 1 },
      { "a table", "usage", {} }, { "a boolean", "usage", true },
      { "a function", "usage", print },
    }
    for _, case in ipairs(cases) do
      it(case[1], function()
        local db, still = fresh()
        for _, verb in ipairs { "query", "first", "one", "value", "execute",
                                "each" } do
          check.raises(case[2], function()
            local step, it = db[verb](db, case[3], case[4])
            if verb == "each" then step(it) end
          end)
          still()
        end
        db:transaction(function(tx)
          if case[2] == "usage" then
            check.raises(case[2], tx.query, tx, case[3], case[4])
            assert.equal(1, tx:value "select 1")
          end
        end)
        still()
      end)
    end

    it("of 1 MB works, or is refused by the server", function()
      local db, still = fresh()
      local long = ("x"):rep(check.proxied and 65536 or 1024 * 1024)
      assert.equal(#long, #db:value("select '" .. long .. "'"))
      assert.equal(1, db:value("select 1 /*" .. long .. "*/"))
      check.raises("syntax", db.query, db, "selec '" .. long .. "'")
      still()
      local times = check.proxied and 10000 or 200000
      local ok, err = pcall(db.query, db, "select 1" .. (" + 1"):rep(times))
      if not ok then assert.equal(perigee.error, getmetatable(err)) end
      still()
      ok, err = pcall(db.query, db,
        "select " .. ("("):rep(100000) .. "1" .. (")"):rep(100000))
      assert.is_false(ok)
      assert.equal(perigee.error, getmetatable(err))
      still()
    end)

    it("that would be lost on a handle is refused, with advice", function()
      local db, still = fresh()
      local list = { "begin", "commit", "rollback", "savepoint a",
        "release savepoint a", " /* x */ BEGIN" }
      if is_postgres then
        for _, sql in ipairs {
          "start transaction", "abort", "end", "prepare transaction 'x'",
          "set search_path = public", "reset all", "listen a", "unlisten *",
          "prepare p as select 1", "deallocate all", "discard all",
          "declare c cursor for select 1", "create temp table x (a int)",
          "create temporary table x (a int)", "SET LOCAL timezone = 'UTC'",
        } do
          list[#list + 1] = sql
        end
      end
      for _, sql in ipairs(list) do
        local err = check.raises("usage", db.execute, db, sql)
        assert.matches("transaction", err.message)
        still()
      end
    end)
  end)

  describe("a bad value (F-60)", function()
    it("is refused before anything is sent, by number and reason", function()
      local db, still = fresh()
      local cyclic = {}
      cyclic.self = cyclic
      local list = {
        { print, "function" }, { coroutine.create(function() end), "thread" },
        { io.stdout, "cannot send" }, { {}, "plain table" },
        { perigee.json(cyclic), "nested" }, { perigee.json { print }, "" },
        { perigee.json { 1, [3] = 3 }, "" }, { perigee.json(0 / 0), "" },
        { perigee.json(math.huge), "" }, { perigee.json { [{}] = 1 }, "" },
        { perigee.json "\255", "UTF" }, { setmetatable({}, {}), "" },
        { perigee.url "sqlite:x", "" }, { db, "" },
        { perigee.default, "" },
      }
      for i, case in ipairs(list) do
        local err = check.raises("usage", db.query, db,
          "select cast(? as text), cast(? as text)", 1, case[1])
        assert.matches(case[2], err.message, 1, true)
        assert.matches("parameter 2", err.message, 1, true)
        check.raises("usage", db.query, db,
          "select cast(:a as text), cast(:b as text)", { a = 1, b = case[1] })
        still()
        check.raises("usage", db.execute_many, db,
          "insert into i (s) values (?)", { { "x" }, { case[1] } })
        assert.equal(0, db:value "select count(*) from i", "case " .. i)
      end
      still()
    end)

    it("in text: a zero byte is never cut off", function()
      local db, still = fresh()
      local ok, err = pcall(db.execute, db, "insert into i (s) values (?)",
        "a\0b")
      if ok then
        assert.equal("a\0b", db:value "select s from i")
      else
        assert.equal("data", err.kind)
        assert.equal(0, db:value "select count(*) from i")
      end
      assert.equal(is_postgres, not ok)
      still()
    end)

    it("in text that is not UTF-8 is data", function()
      local db, still = fresh()
      for _, s in ipairs { "\255", "a\195", "\237\160\128", "\192\128" } do
        check.raises("data", db.execute, db, "insert into i (s) values (?)", s)
        still()
      end
    end)

    it("by its number: 65,536 parameters are usage where they are too many",
       function()
      local db, still = fresh()
      local marks, values = {}, {}
      for i = 1, 65536 do marks[i], values[i] = "?", i end
      local sql = "select 1 where 0 in (" .. table.concat(marks, ",") .. ")"
      local ok, err = pcall(db.query, db, sql, values)
      if is_postgres or not ok then
        assert.is_false(ok)
        assert.equal("usage", err.kind, tostring(err))
      end
      still()
      values[65536] = nil
      if check.proxied then return end
      sql = "select 1 where 65535 in (" .. table.concat(marks, ",", 1, 65535)
        .. ")"
      ok, err = pcall(db.value, db, sql, values)
      if is_postgres then
        assert.is_true(ok, tostring(err))
        assert.equal(1, err)
      elseif not ok then
        assert.equal("usage", err.kind, tostring(err))
      end
      still()
      local few = {}
      for i = 1, 1000 do few[i] = i end
      assert.equal(1, db:value("select 1 where 1000 in ("
        .. table.concat(marks, ",", 1, 1000) .. ")", few))
      still()
    end)

    it("of 10 MB comes back whole", function()
      local db, still = fresh()
      local big = ("0123456789abcdef"):rep((check.proxied and 4 or 640) * 1024)
      assert.is_true(big == db:value(helper.sql(name, "select cast(? as text)"), big))
      still()
    end)

    it("with a __tostring or __index that fails does no harm", function()
      local db, still = fresh()
      local evil = setmetatable({}, {
        __tostring = function() error "no text" end,
        __index = function() error "no field" end,
        __len = function() error "no length" end,
        __pairs = function() error "no pairs" end,
      })
      for _, v in ipairs { evil, perigee.json { evil } } do
        pcall(db.query, db, "select cast(? as text)", v)
        still()
      end
      check.raises("usage", db.query, db, "select 1", evil)
      check.raises("usage", db.query, db, "select 1", {}, evil)
      still()
    end)
  end)

  describe("a closed or wrong receiver", function()
    it("is told at once", function()
      local db = open()
      db:close()
      check.raises("closed", db.query, db, "select 1")
      for _, x in ipairs { 1, "x", {}, true, perigee.null } do
        check.raises("usage", db.query, x, "select 1")
        check.raises("usage", db.transaction, x, print)
        check.raises("usage", db.each, x, "select 1")
      end
      check.raises("usage", db.query)
      check.raises("usage", db.query, nil, "select 1")
    end)

    it("of finalisers that a script calls", function()
      local db, still = fresh()
      local tx = db:begin()
      for _, x in ipairs { db, tx } do
        local gc = getmetatable(x).__gc
        check.raises("usage", gc)
        check.raises("usage", gc, io.stdout)
      end
      tx:rollback()
      still()
    end)

    it("block functions want a function and known options", function()
      local db, still = fresh()
      for _, verb in ipairs { "transaction", "connection",
                              "ensure_transaction", "ensure_connection",
                              "transactional" } do
        for _, bad in ipairs { 1, "x", {}, true } do
          check.raises("usage", db[verb], db, bad)
        end
        check.raises("usage", db[verb], db)
      end
      for _, o in ipairs { { isolation = "bogus" }, { nope = 1 }, { 1 },
                           { readonly = 1 }, { retries = -1 },
                           { retries = 1.5 }, { retries = "x" }, 5, "x" } do
        check.raises("usage", db.transaction, db, function()
          error "ran"
        end, o)
        still()
      end
    end)
  end)

  describe("random calls", function()
    it("never break a handle", function()
      local db, still = fresh()
      local random = helper.random "calls"
      local texts = { "select 1", "select ?", "select :a", "select $1, $2",
        "", "select", "insert into i (n) values (?)", "begin", "x", nil }
      local values = { 1, 1.5, "x", true, perigee.null, {}, { 1 },
        { a = 1 }, { 1, 2 }, print, perigee.json { 1 }, { timeout = 1 },
        { rows = "array" }, perigee.bytes "\0", 0 / 0, math.huge,
        perigee.array { 1 }, false }
      local verbs = { "query", "first", "one", "value", "execute", "script",
        "execute_many", "each", "ping", "in_transaction" }
      for _ = 1, helper.soak(5000) do
        local args = {}
        for i = 1, random(4) - 1 do args[i] = values[random(#values)] end
        local verb = verbs[random(#verbs)]
        local ok, err = pcall(function()
          local step, it = db[verb](db, texts[random(10)], unpack(args))
          if verb == "each" then
            step(it)
            it:close()
          end
        end)
        if not ok then
          assert.equal(perigee.error, getmetatable(err), tostring(err))
        end
      end
      still()
    end)
  end)
end)
