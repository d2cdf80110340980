-- core.sandbox: scripts of the user's can compute and nothing else, within limits, and
-- only plain data comes out.
local core = require "perigee.core"
local helper = require "spec.support.helper"
local expect = require "spec.support.expect"

local fails = expect.fails
local MIB = 1024 * 1024
local jit = type(rawget(_G, "jit")) == "table"

-- Runs the text with the prelude's own globals, and returns its values as a list. `r`:
-- more fields of the request.
local PRELUDE = [[
  return function(source, name, call, helpers)
    local env = setmetatable({ call = call }, { __index = _G })
    for k, v in pairs(helpers) do env[k] = v end
    return { assert(helpers.load_text(source, name, env))() }
  end]]

local function run(source, r)
  local request = { prelude_source = PRELUDE, source = source, name = "schema.lua" }
  for k, v in pairs(r or {}) do request[k] = v end
  return core.sandbox(request)
end

local function value(source, r) return run(source, r)[1] end

-- The message of the usage error that the text gives.
local function refused(source, r)
  return fails("usage", function() run(source, r) end).message
end

-- A folder for the running spec; `files`: texts by name.
local function folder(files)
  local path = helper.tmpname()
  assert(core.files.make_directory(path))
  for name, text in pairs(files) do
    assert(core.files.make_directory(path .. "/" .. (name:match "^(.*)/" or "")))
    local f = assert(io.open(path .. "/" .. name, "wb"))
    f:write(text)
    f:close()
  end
  return path
end

local function remove(path) helper.sh("rm -rf '" .. path .. "'") end

describe("the sandbox", function()
  after_each(helper.cleanup)

  describe("has limits:", function()
    local FEW = { instructions = 200000 }
    local RAN = "schema.lua: the script ran for more than 200,000 instructions"

    it("an endless loop", function()
      assert.equal(RAN, refused("while true do end", FEW))
      assert.equal(RAN, refused("repeat until false", FEW))
      assert.equal(RAN, refused("local function f() return f() end f()", FEW))
      assert.equal("schema.lua: the script ran for more than 100,000,000 instructions",
        refused "while true do end")
    end)

    it("that cannot be caught", function()
      assert.equal(RAN, refused("while true do pcall(function() while true do end end) end",
        FEW))
      assert.equal(RAN, refused([[
        local function loop() while true do end end
        while true do xpcall(loop, loop) end]], FEW))
      assert.equal(RAN, refused([[
        local t = setmetatable({}, { __index = function() while true do end end })
        pcall(function() return t.x end)
        return "went on"]], FEW))
      assert.equal("schema.lua: the script needs more than 1 MiB of memory",
        refused("while true do pcall(string.rep, 'x', 1e9) end", { memory = MIB }))
      if _VERSION == "Lua 5.4" then
        assert.equal(RAN, refused([[
          local meta = { __close = function() while true do end end }
          local t <close> = setmetatable({}, meta)
          local u <close> = setmetatable({}, meta)
          while true do end]], FEW))
      end
    end)

    it("memory", function()
      local NEEDS = "schema.lua: the script needs more than 64 MiB of memory"
      assert.equal(NEEDS, refused "return ('x'):rep(1e9)")
      assert.equal(NEEDS, refused "return ('x'):rep(1e15, 'yy')")
      assert.equal(NEEDS, refused "local s = 'x' while true do s = s .. s end")
      assert.equal(NEEDS, refused "local t = {} for i = 1, 1e8 do t[i] = { i } end")
      assert.equal(NEEDS, refused [[
        local t = {} for i = 1, 1e6 do t[i] = ("x"):rep(1e6) .. i end]])
      assert.equal(NEEDS, refused [[
        local t = { ("x"):rep(2e6) } for i = 2, 100 do t[i] = t[1] end
        return table.concat(t)]])
      assert.equal("schema.lua: the script needs more than 0.5 MiB of memory",
        refused("local t = {} for i = 1, 1e6 do t[i] = i end", { memory = MIB / 2 }))
    end)

    it("garbage is not counted", function()
      assert.equal(30000, value([[
        local n = 0
        for i = 1, 30000 do local t = { ("x"):rep(1000) .. i } n = n + #t end
        return n]], { memory = 4 * MIB }))
    end)

    it("work of functions of C", function()
      assert.equal(RAN, refused("return (('a'):rep(30)):find(('a-'):rep(20) .. 'b')", FEW))
      assert.equal(RAN, refused("return (('a'):rep(5000)):gsub('.-.-.-b', '')", FEW))
      assert.equal(RAN, refused("for _ in (('a'):rep(5000)):gmatch('.*.*b') do end", FEW))
      assert.equal(RAN, refused("return (('a'):rep(5000)):match('[a-z]*[a-z]*b')", FEW))
      assert.equal("", value("return (''):rep(1e15)", FEW))
      assert.equal(RAN, refused("return (('x'):rep(30)):rep(1e5)", FEW))
      local long = "setmetatable({}, { __len = function() return 1e15 end })"
      if not jit then
        assert.equal(RAN, refused("table.insert(" .. long .. ", 1, 1)", FEW))
        assert.equal(RAN, refused("table.remove(" .. long .. ", 1)", FEW))
        assert.equal(RAN, refused("table.sort(" .. long .. ")", FEW))
      end
      assert.equal(RAN, refused([[
        table.concat(setmetatable({}, { __index = table.concat }), "", 1, 1e15)]], FEW))
      assert.equal(RAN, refused([[
        local t = {} for i = 0, 40 do t[2 ^ i] = 1 end
        while true do table.insert(t, 1, 1) end]], FEW))
    end)

    it("depth of calls, of source text and of patterns", function()
      assert.matches("^schema.lua:1: stack overflow",
        refused "local function f() return 1 + f() end f()")
      assert.matches("^schema.lua:.* overflow", refused [[
        local t = setmetatable({}, {})
        getmetatable(t).__index = function(_, k) return t[k .. "x"] end
        return t.x]])
      assert.matches("^schema.lua:", refused [[
        local function f() return ("x"):gsub(".", f) end f()]])
      local nested = refused("return " .. ("("):rep(100000) .. "1" .. (")"):rep(100000))
      assert.matches("^schema.lua:", nested)
      assert.matches("^schema.lua:", refused("return " .. ("{"):rep(100000)))
      assert.matches("^schema.lua:", refused("return " .. ("not "):rep(100000) .. "1"))
      assert.matches("pattern too complex",
        refused "return ('x'):rep(1000):find(('x?'):rep(500))")
      assert.matches("^schema.lua", refused [[
        local function f() xpcall(f, f) error "again" end f()]])
    end)
  end)

  describe("has no", function()
    it("libraries that reach out, or run code later", function()
      for _, name in ipairs { "os", "io", "load", "loadstring", "loadfile", "dofile",
        "debug", "package", "require", "collectgarbage", "coroutine", "print", "jit",
        "ffi", "newproxy", "getfenv", "setfenv", "module", "gcinfo", "utf8", "bit",
        "bit32", "warn" }
      do
        assert.equal("nil", value("return type(" .. name .. ")"), name)
      end
      assert.same({ "nil", "nil", "nil", "nil" }, run [[
        return type(string.dump), type(math.random), type(table.move), type(string.pack)]])
      assert.equal("schema.lua:1: attempt to index a nil value (global 'os')",
        (refused "os.exit(1)":gsub("global 'os' %(a nil value%)", "a nil value (global 'os')")))
      assert.equal("nil", value [[return type(getmetatable("").__index.dump)]])
    end)

    it("bytecode", function()
      local code = string.dump(function() return 1 end)
      assert.equal("schema.lua: it is compiled code; only text is read", refused(code))
      assert.same({ [2] = "x.lua: it is compiled code; only text is read" },
        run("return load_text(call, 'x.lua')", { call = code }))
    end)

    it("finalizers", function()
      assert.equal("schema.lua:1: there are no finalizers (__gc) here",
        refused "setmetatable({}, { __gc = function() end })")
      assert.equal("schema.lua:1: cannot change a protected metatable",
        refused "setmetatable(setmetatable({}, { __metatable = 1 }), {})")
      assert.equal(3, value "return setmetatable({}, { __index = { a = 3 } }).a")
    end)
  end)

  describe("tells errors", function()
    it("with file and line, unchanged", function()
      assert.equal("schema.lua:2: no such thing", refused "\nerror 'no such thing'")
      assert.equal("elsewhere.lua:7: so", refused "error('elsewhere.lua:7: so', 0)")
      assert.matches("^schema.lua:2: unexpected symbol near", refused "local a\nb = = 1")
      local e = fails("usage", function() run "error 'x'" end)
      assert.is_false(e.retryable)
    end)

    it("that are not texts", function()
      local raised = "schema.lua: the script raised a %s instead of a message"
      assert.equal(raised:format "table", refused "error {}")
      assert.equal(raised:format "nil", refused "error(nil)")
      assert.equal(raised:format "boolean", refused "error(false)")
      assert.equal(raised:format "function", refused "error(error)")
      assert.equal(raised:format "table", refused [[
        error(setmetatable({}, { __tostring = function() while true do end end,
          __index = function() while true do end end, __name = "odd" }))]])
      assert.matches("42$", refused "error(42)")
      assert.equal("of the object", refused "error { message = 'of the object' }")
      assert.equal(4096, #refused "error(('x'):rep(1e6), 0)")
      assert.equal("schema.lua", refused "error('', 0)")
    end)

    it("and the script may catch its own", function()
      assert.same({ false, "schema.lua:1: a", true, 1, 2 }, run [[
        local ok, why = pcall(error, "schema.lua:1: a", 0)
        return ok, why, pcall(function() return 1, 2 end)]])
      assert.same({ false, "handled x", true, 3 }, run [[
        local ok, why = xpcall(function() error("x", 0) end, function(m)
          return "handled " .. m end)
        return ok, why, xpcall(function(a, b) return a + b end, error, 1, 2)]])
    end)

    it("of the request", function()
      assert.matches("unknown field \"soruce\"", fails("usage", function()
        core.sandbox { prelude_source = "", soruce = "", name = "x" } end).message)
      assert.matches("no prelude \"none\"", fails("usage", function()
        core.sandbox { prelude = "none", source = "", name = "x" } end).message)
      assert.matches("source and name", fails("usage", function()
        core.sandbox { prelude_source = "" } end).message)
      assert.matches("memory must be", fails("usage", function()
        run("", { memory = -1 }) end).message)
      assert.matches("call: a function is no plain data at a%.b%[2%]", fails("usage",
        function() run("", { call = { a = { b = { 1, print } } } }) end).message)
    end)
  end)

  describe("copies", function()
    it("plain data both ways", function()
      local data = { 1, 2.5, "text", "zero \0 byte", true, false, -1e300, 2 ^ 40,
        { a = { b = { [10] = "sparse", [-1] = 0 } } }, ("x"):rep(100000), "" }
      assert.same(data, value("return call", { call = data }))
      assert.is_nil(value "return nil")
      assert.is_nil(core.sandbox {
        prelude_source = "return function() end", source = "", name = "x" })
      assert.is_true(core.sandbox {
        prelude_source = "return function() return true end", source = "", name = "x" })
      local inf = value "return { 1/0, -1/0, 0/0 }"
      assert.same({ math.huge, -math.huge }, { inf[1], inf[2] })
      assert.is_true(inf[3] ~= inf[3])
      if math.type then
        local n = value("return { 1, 1.0, math.maxinteger, call }", { call = 3 })
        assert.same({ "integer", "float", "integer", "integer" }, { math.type(n[1]),
          math.type(n[2]), math.type(n[3]), math.type(n[4]) })
        assert.equal(math.maxinteger, n[3])
      end
    end)

    it("each reference by itself", function()
      local t = value "local a = {} return { a, a }"
      assert.is_false(rawequal(t[1], t[2]))
      assert.matches("64 MiB", refused "local t = {} for _ = 1, 60 do t = { t, t } end return t")
    end)

    it("99 levels and no more", function()
      local deep = "local t = {} for _ = 1, %d do t = { t } end return t"
      assert.is_table(value(deep:format(98)))
      assert.matches("nested more than 100 levels deep is no plain data at %[1%]%[1%].*…$",
        refused(deep:format(100)))
    end)

    it("nothing else", function()
      local function out(source) return refused(source):match "taken out: (.*)" end
      assert.equal("a function is no plain data at [1].tables[2].f",
        out "return { tables = { {}, { f = error } } }")
      assert.equal("a table that contains itself is no plain data at [1].a.b",
        out "local t = {} t.a = { b = t } return t")
      assert.equal("a table with a metatable is no plain data at [1]",
        out "return setmetatable({}, {})")
      assert.equal("a key that is neither string nor integer is no plain data at [1]",
        out "return { [1.5] = 1 }")
      assert.equal("a key that is neither string nor integer is no plain data at [1]",
        out "return { [true] = 1 }")
    end)
  end)

  describe("loads modules", function()
    local root, outside

    before_each(function()
      root = folder { ["mixins.lua"] = "return 'mixed'", ["sub/a-b.lua"] = "return 1",
        ["dir.lua/x"] = "", ["big.lua"] = ("-"):rep(4 * MIB + 1) }
      outside = folder { ["secret.lua"] = "return 'secret'" }
      helper.sh(("cd '%s' && ln -s '%s/secret.lua' link.lua && ln -s '%s' away"
        .. " && ln -s mixins.lua inside.lua && ln -s nowhere lost.lua && mkfifo pipe.lua")
        :format(root, outside, outside))
    end)

    after_each(function()
      remove(root)
      remove(outside)
    end)

    local function load(name)
      local r = run("return loader(call)", { root = root, call = name })
      return r[1], r[2] and (r[2]:gsub(root, "ROOT", 1):gsub(root, "ROOT"))
    end

    it("of its folder", function()
      assert.same({ "return 'mixed'", "ROOT/mixins.lua" }, { load "mixins" })
      assert.same({ "return 1", "ROOT/sub/a-b.lua" }, { load "sub.a-b" })
      assert.same({ "return 'mixed'", "ROOT/inside.lua" }, { load "inside" })
    end)

    it("and no other file", function()
      local function why(name)
        local source, text = load(name)
        assert.is_nil(source)
        return text
      end
      local LEADS = 'module "%s": ROOT/%s.lua leads out of the folder ROOT'
      assert.equal(LEADS:format("link", "link"), why "link")
      assert.equal(LEADS:format("away.secret", "away/secret"), why "away.secret")
      assert.equal('module "none" was not found (no file ROOT/none.lua)', why "none")
      assert.equal('module "lost" was not found (no file ROOT/lost.lua)', why "lost")
      for _, name in ipairs { "dir", "pipe", "big" } do
        assert.equal(('module "%s": ROOT/%s.lua is no text file of at most 4 MiB that can'
          .. " be read"):format(name, name), why(name))
      end
      for _, name in ipairs { "", "..", "../x", "/etc/passwd", ".a", "a.", "a..b", "a/b",
        "a b", "a\0b", ("a"):rep(201) }
      do
        assert.matches("is no name of a module", why(name), nil, true)
      end
      assert.equal('module "x": there is no folder to load it from',
        run("return loader 'x'")[2])
    end)
  end)

  describe("gives the prelude", function()
    it("the line of the user's text", function()
      assert.same({ "a/b.lua", 3, "a/b.lua", 1 }, run([[
        local function f() local file, line = where() return file, line end
        -- 2
        local file, line = where()
        return file, line, f()]], { name = "a/b.lua" }))
    end)

    it("the text's name and an environment for it", function()
      assert.same({ 7, "x.lua:2: oh" }, run [[
        local f = load_text("return v", "x.lua", { v = 7 })
        local g = load_text("\239\187\191\nerror 'oh'", "x.lua", { error = error })
        local _, why = pcall(g)
        return f(), why]])
      assert.matches("^x.lua:1:", run("local f, why = load_text('x x', 'x.lua') return why")[1])
    end)
  end)

  describe("has functions of its own that agree with Lua's:", function()
    -- Evaluates here and there; errors too.
    local function same(source)
      local load = loadstring or load -- luacheck: ignore
      local here = { pcall(load("return " .. source, "=x")) }
      local there = run("return pcall(load_text('return ' .. call, 'x', _G))",
        { call = source })
      assert.same(here, there, source)
    end

    it("patterns", function()
      for _, s in ipairs(jit and {} or { -- LuaJIT's are those of 5.1
        "('hello world'):find('o w')", "('hello'):find('l+')", "('a.b'):find('.', 2, true)",
        "('hello'):find('xyz')", "('hello'):find('', 6)", "('hello'):find('', 7)",
        "('hello'):find('l', -2)", "('hello'):match('(h)(e)(l+)')", "('x'):match('()')",
        "('key = value'):match('^(%w+)%s*=%s*(%w+)$')", "('[a]'):match('[]]')",
        "('a-b'):match('[a%-]+')", "('f(a(b)c)d'):match('%b()')",
        "('THE (quick) fox'):find('%((%a+)%)')",
        "('THE (quick) fox'):gsub('%f[%a]%a+', 'W')", "('abab'):match('(ab)%1')",
        "('hello'):gsub('', '-')", "('hello'):gsub('l', {l = 'L'})",
        "('hello'):gsub('l*', 'x')",
        "('abc'):gsub('%w', '%0%0')", "('abc'):gsub('(a)(b)', '%2%1')", "('abc'):gsub('b', '%%')",
        "('abc'):gsub('.', {a = 1, b = true})", "('abc'):gsub('.', 'x', 2)",
        "('abc'):gsub('^a', 'x')", "('a,b,,c'):gsub(',', ';', 0)", "('x^2'):gsub('%^', '**')",
        "('0123'):match('[0-2]*')", "('abc'):match('.-c')", "('aaa'):match('a-$')",
        "('\\0a'):find('a')", "('áé'):match('[^a]+')", "('ab12'):match('%D+%d?')",
        "('abc'):find('b', nil, true)", "('  x '):match('^%s*(.-)%s*$')",
        "('abc'):gsub('()', '%1')",
        "(5):rep(3)", "('ab'):rep(3, ',')", "('ab'):rep(-1)", "('x'):rep(0)",
        "('a'):find('[a')", "('a'):find('%')", "('a'):gsub('a', '%2')", "('a'):find('(a')",
        "('a'):gsub('(', '')", "('a'):find('%f')", "('a'):match('%1')" })
      do
        same(s)
      end
      assert.is_nil(value "return ('hello'):find('', 7)")
      assert.equal("-h-e-", value "return (('he'):gsub('', '-'))")
      assert.same({ "a", "b", "", "c" }, value [[
        local t = {} for w in ("a,b,,c"):gmatch "[^,]*" do t[#t + 1] = w end return t]])
      assert.same({ { "k", 1 }, { "l", 3 } }, value [[
        local t = {} for w, i in ("kxl"):gmatch "([kl])()" do t[#t + 1] = { w, i - 1 } end
        return t]])
    end)

    it("pairs and next, in the order of the keys", function()
      assert.equal("-1 2 2.5 10 a b false true", (value [[
        local t = { b = 1, a = 1, [10] = 1, [2] = 1, [2.5] = 1, [-1] = 1, [true] = 1,
          [false] = 1 }
        local list, k = {}, nil
        for key in pairs(t) do list[#list + 1] = tostring(key) end
        for i = 1, #list do
          k = next(t, k)
          assert(tostring(k) == list[i])
        end
        assert(next(t, k) == nil)
        return table.concat(list, " ")]]))
      assert.same({ 3, "nil", true }, run [[
        local t, n = { a = 1, b = 2, c = 3, d = 4 }, 0
        for k in pairs(t) do n = n + 1 t[k] = nil t.d = nil end
        return n, tostring(next(t)), next({}) == nil]])
      assert.matches("schema.lua:1: bad argument #1 to 'pairs'", refused "pairs(nil)")
    end)

    it("tables", function()
      assert.same({ { 3, 1, 2, 9 }, 9, { 3, 2 }, 1, "3,2", "2" }, run [[
        local t = { 1, 2 }
        table.insert(t, 1, 3) table.insert(t, 9)
        local all = { table.unpack(t) }
        local last = table.remove(t)
        local second = table.remove(t, 2)
        return all, last, t, second, table.concat(t, ","), table.concat(t, ",", 2, 2)]])
      local random = helper.random "sort"
      for n = 0, 40 do
        local list = {}
        for i = 1, n do list[i] = random(30) end
        local sorted = value("table.sort(call) return call", { call = list })
        table.sort(list)
        assert.same(list, sorted)
      end
      assert.same({ "c2", "a2", "b1" }, value [[
        local t = { "b1", "c2", "a2" }
        table.sort(t, function(a, b) return a:sub(2) > b:sub(2) end)
        return t]])
      assert.equal("schema.lua:1: bad argument #1 to 'insert' (table expected, got no value)",
        refused "table.insert(nil, 1)")
      assert.matches("schema.lua:1: bad argument #2 to 'insert' %(position out of bounds%)",
        refused "table.insert({}, 5, 1)")
      assert.matches("schema.lua:1: invalid value %(at index 1%)", refused "table.concat {{}}")
    end)
  end)

  it("leaves nothing behind, whatever happens", function()
    local texts = { "return { 1 }", "error 'x'", "while true do end", "return error",
      "return ('x'):rep(1e9)", "local function f() f() f() end f()", "= =" }
    local before
    for round = 1, 6 do
      for _, text in ipairs(texts) do
        pcall(run, text, { instructions = 20000, memory = 2 * MIB })
      end
      collectgarbage()
      collectgarbage()
      local count = collectgarbage "count"
      if round == 3 then before = count end
      if round == 6 then assert.is_true(count < before + 16, count - before) end
    end
  end)

  it("stops cleanly whatever the limit is", function()
    local text = [[
      local t = {}
      for i = 1, 50 do t[i] = { pcall(error, { i }) } end
      return ("x"):gsub(".", function(c) return c:rep(100) end), #t]]
    local ended = { memory = 0, instructions = 0 }
    for i = 1, 200 do
      for field, size in pairs { memory = 500 * i, instructions = 200 * i } do
        local ok, err = pcall(run, text, { [field] = size })
        if ok then
          ended[field] = ended[field] + 1
        else
          assert.matches(field == "memory" and "memory" or "instructions", err.message)
        end
      end
    end
    assert.is_true(ended.memory > 0 and ended.memory < 200)
    assert.is_true(ended.instructions > 0 and ended.instructions < 200)
  end)

  it("is where definitions and migrations run", function()
    local schema = require "perigee.schema"
    local function says(pattern, text, root)
      local e = fails("usage", function()
        schema.parse(text, { name = "schema.lua", root = root })
      end)
      assert.matches(pattern, e.message)
    end
    says("^schema.lua: the script ran for more than 100,000,000 inst", "while true do end")
    says("^schema.lua: the script needs more than 64 MiB", "local s = ('x'):rep(1e9)")
    says("^schema.lua: it is compiled code", string.dump(function() end))
    says("^schema.lua:1: .*os", "os.exit(1)")
    says("^schema.lua:1: stack overflow", "local function f() return 1 + f() end f()")
    local root = folder {
      ["stamps.lua"] = "return function(t) t.at = timestamptz { default = sql.now } end",
      ["loop.lua"] = "while true do end",
    }
    local outside = folder { ["x.lua"] = "return 1" }
    helper.sh(("ln -s '%s/x.lua' '%s/x.lua'"):format(outside, root))
    local good = schema.parse([[
      local stamps = require "stamps"
      table("a", function(t) t.id = bigint { pk = true } stamps(t) end)]],
      { name = "schema.lua", root = root })
    assert.equal(2, #good.tables.a.columns)
    says("^schema.lua: the script ran", "require 'loop'", root)
    says("^schema.lua:1: .*leads out of the folder", "require 'x'", root)
    says("^schema.lua:1: .*no name of a module", "require '../x'", root)
    says("^schema.lua:2: .*was not found", "\nrequire 'none'", root)
    remove(root)
    remove(outside)
  end)

  it("works inside of a coroutine, and again at once", function()
    for _ = 1, 3 do
      assert.equal(5, coroutine.wrap(function()
        return value "return 2 + 3"
      end)())
    end
  end)
end)
