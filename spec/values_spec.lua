-- Values that are more than a string or a number, JSON, and URLs. No server.

local perigee = require "perigee.core"

local null = perigee.null
local encode, decode = perigee.json.encode, perigee.json.decode
local has_integers = math.type ~= nil

local function usage(f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  assert.equal("table", type(err), tostring(err))
  assert.equal("usage", err.kind, tostring(err))
  return err.message
end

local function nested(depth)
  return ("["):rep(depth) .. ("]"):rep(depth)
end

describe("null and default", function()
  it("null is the null pointer", function()
    assert.equal("userdata", type(null))
    assert.equal(null, decode "null")
  end)

  it("default is one object with a name", function()
    assert.equal("userdata", type(perigee.default))
    assert.equal("perigee.default", tostring(perigee.default))
    assert.are_not.equal(null, perigee.default)
  end)
end)

describe("constructors", function()
  it("are the metatables of what they make", function()
    local made = {
      bytes = perigee.bytes "x",
      json = perigee.json(1),
      raw_json = perigee.raw_json "1",
      json_object = perigee.json_object {},
      json_array = perigee.json_array {},
      array = perigee.array {},
      record = perigee.record {},
      range = perigee.range {},
      multirange = perigee.multirange {},
      hstore = perigee.hstore {},
    }
    for name, value in pairs(made) do
      assert.equal(perigee[name], getmetatable(value))
      assert.equal("perigee." .. name, tostring(perigee[name]))
    end
  end)

  it("never change their arguments", function()
    local t = { 1, 2 }
    local a = perigee.array(t)
    assert.are_not.equal(t, a)
    assert.is_nil(getmetatable(t))
    a[1] = 9
    assert.equal(1, t[1])
  end)

  it("fill the holes of table.pack's lists", function()
    local a = perigee.array { n = 4, 1, nil, 3 }
    assert.equal(4, #a)
    assert.equal(null, a[2])
    assert.equal(null, a[4])
    assert.is_nil(a.n)
    assert.matches("hole", usage(perigee.array, { 1, nil, 3, [6] = 1 }))
    assert.matches("length", usage(perigee.array, { n = "x" }))
    assert.matches("keys other than", usage(perigee.array, { a = 1 }))
  end)

  it("refuse what is not theirs", function()
    assert.matches("string", usage(perigee.bytes, 1))
    assert.matches("string", usage(perigee.bytes))
    assert.matches("value is needed", usage(perigee.json))
    assert.matches("not a JSON document", usage(perigee.raw_json, "{"))
    for _, name in ipairs { "array", "record", "hstore", "multirange",
                            "json_object", "json_array" } do
      assert.matches(name, usage(perigee[name], "x"))
      assert.matches("perigee.bytes", usage(perigee[name], perigee.bytes "x"))
    end
    assert.matches("range", usage(perigee.range))
    assert.matches("range", usage(perigee.range, 1))
  end)

  it("print what they hold", function()
    assert.equal("{1, null, \"a\\n\"}",
                 tostring(perigee.array { 1, null, "a\n" }))
    assert.equal("{{1, 2}, {3, 4}}",
                 tostring(perigee.array { { 1, 2 }, { 3, 4 } }))
    assert.equal("{a = 1.5}", tostring(perigee.record { a = 1.5 }))
    assert.equal("[1,10)", tostring(perigee.range(1, 10)))
    assert.equal("(,10]", tostring(perigee.range(nil, 10, "(]")))
    assert.equal("empty", tostring(perigee.range { empty = true }))
    assert.equal("{[1,2), [3,4)}", tostring(perigee.multirange {
      perigee.range(1, 2), perigee.range(3, 4) }))
    assert.equal("\\x00ff", tostring(perigee.bytes "\0\255"))
    assert.matches("%(40 bytes%)", tostring(perigee.bytes(("x"):rep(40))))
    assert.equal("{\"a\":[1]}", tostring(perigee.json { a = { 1 } }))
    assert.equal("[]", tostring(perigee.json_array {}))
    assert.equal("1e400", tostring(perigee.raw_json "1e400"))
  end)

  it("print within bounds, whatever they hold", function()
    local a = perigee.array {}
    for i = 1, 100 do a[i] = a end
    assert.is_true(#tostring(a) < 50000)
    local long = {}
    for i = 1, 1000 do long[i] = i end
    assert.matches("100, …}", tostring(perigee.array(long)))
    local doc = perigee.json_object {}
    doc.self = doc
    assert.matches("^perigee.json_object: ", tostring(doc))
    assert.matches("^perigee.json: ", tostring(perigee.json(print)))
  end)
end)

describe("JSON decoding", function()
  it("keeps what Lua can hold", function()
    local doc = decode('{"a":[1,-2,true,false,null],' ..
                       '"b":{"c":"d\\u0000é"},"e":1.5}')
    assert.same({ 1, -2, true, false, null }, {
      doc.a[1], doc.a[2], doc.a[3], doc.a[4], doc.a[5] })
    assert.equal("d\0é", doc.b.c)
    assert.equal(1.5, doc.e)
    assert.equal(perigee.json_object, getmetatable(doc))
    assert.equal(perigee.json_array, getmetatable(doc.a))
    assert.equal(perigee.json_object, getmetatable(doc.b))
  end)

  it("takes documents that are scalars", function()
    assert.equal(7, decode " 7 ")
    assert.equal("x", decode '"x"')
    assert.is_true(decode "true")
  end)

  it("tells integers from floats", function()
    if not has_integers then return end
    assert.equal("integer", math.type(decode "3"))
    assert.equal("float", math.type(decode "3.0"))
    assert.equal("float", math.type(decode "3e0"))
    assert.equal(math.maxinteger, decode "9223372036854775807")
    assert.equal(math.mininteger, decode "-9223372036854775808")
  end)

  it("gives raw_json for what would be changed", function()
    local deep = nested(2049)
    for _, text in ipairs { "9223372036854775808", "[1e400]", "[-1e400]",
                            '{"a":1,"a":2}', '{"a\\u0000":1}', deep,
                            '"\\ud800"',
                            "[1, 123456789012345678901234567890]" } do
      local doc = decode(text)
      assert.equal(perigee.raw_json, getmetatable(doc), text)
      assert.equal(text, doc.text)
      assert.equal(text, encode(doc))
      assert.equal(perigee.raw_json, getmetatable(decode(doc)))
    end
  end)

  it("gives raw_json for integers that a double cannot hold", function()
    local exact, over = "[9007199254740992]", "[9007199254740993]"
    assert.equal(9007199254740992, decode(exact)[1])
    if has_integers then
      assert.equal(9007199254740993, decode(over)[1])
    else
      assert.equal(perigee.raw_json, getmetatable(decode(over)))
      assert.equal(over, decode(over).text)
    end
  end)

  it("goes 2048 levels deep", function()
    local text = nested(2048)
    local doc = decode(text)
    assert.equal(perigee.json_array, getmetatable(doc))
    assert.equal(text, encode(doc))
    local objects = ('{"a":'):rep(2047) .. "{}" .. ("}"):rep(2047)
    assert.equal(objects, encode(decode(objects)))
  end)

  it("refuses what is no JSON", function()
    for _, text in ipairs { "", " ", "{", "[1,]", "{,}", "01", "1.", "-", "+1",
                            "nul", "nan", "[1}", '{"a"}', '{"a":1,}', '{1:2}',
                            "'a'", '"a', '"\t"', '"\\x"', '"\\u12"', "1 2",
                            '"\255"', '"\237\160\128"', "\239\187\1911" } do
      assert.matches("not a JSON document", usage(decode, text))
      assert.matches("not a JSON document", usage(perigee.raw_json, text))
    end
    assert.matches("string", usage(decode, 1))
  end)

  it("survives a finalizer that decodes", function()
    local ran = 0
    local function garbage()
      if not has_integers then return end
      setmetatable({}, { __gc = function()
        ran = ran + decode("[1,[2]]")[1]
      end })
    end
    local text = "[" .. ('{"a":[1,2,{"b":"c"}]},'):rep(200) .. "1]"
    for _ = 1, 20 do
      for _ = 1, 20 do garbage() end
      assert.equal(201, #decode(text))
    end
    collectgarbage()
    if has_integers then assert.is_true(ran > 0) end
  end)
end)

describe("JSON encoding", function()
  it("writes each type", function()
    assert.equal("null", encode(nil))
    assert.equal("null", encode(null))
    assert.equal("true", encode(true))
    assert.equal("-7", encode(-7))
    assert.equal('"\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\127é"',
                 encode "\"\\/\b\f\n\r\t\0\31\127é")
    assert.equal("[1,null,[2]]", encode { 1, null, { 2 } })
    assert.equal('{"a":1,"b":[],"c":{}}',
                 encode { c = {}, b = perigee.json_array {}, a = 1 })
    assert.equal("null", encode(perigee.json(nil)))
    assert.equal('[{"x":1e400}]', encode { perigee.raw_json '{"x":1e400}' })
    assert.equal('[[1],{"a":"b"},{"c":1},[1,2]]', encode {
      perigee.array { 1 }, perigee.hstore { a = "b" },
      perigee.record { c = 1 }, perigee.record { 1, 2 } })
  end)

  it("writes the shortest number that reads back", function()
    for _, text in ipairs { "0.1", "1.5", "1e+300", "1.7976931348623157e+308",
                            "5e-324", "0.30000000000000004", "-0.0",
                            "123456789012.34" } do
      assert.equal(text, encode(decode(text)))
    end
    if has_integers then
      assert.equal("3.0", encode(3.0))
      assert.equal("3", encode(3))
      assert.equal("9007199254740993", encode(decode "9007199254740993"))
      assert.equal("[1e+16]", encode(decode "[1e16]"))
    else
      assert.equal("3", encode(3.0))
    end
  end)

  it("gives equal tables equal texts", function()
    assert.equal('{"":0,"a":1,"aa":2,"b":3}',
                 encode { b = 3, aa = 2, a = 1, [""] = 0 })
  end)

  it("keeps empty objects and arrays apart", function()
    for _, text in ipairs { "[]", "{}", '[[],{}]', '{"a":{},"b":[]}' } do
      assert.equal(text, encode(decode(text)))
    end
    local db = require "perigee".open "sqlite::memory:"
    assert.equal("[]", encode(db:query "select 1 as a where 1 = 0"))
    assert.equal('[{"a":1}]', encode(db:query "select 1 as a"))
    db:close()
  end)

  it("refuses what JSON cannot hold", function()
    assert.matches("NaN", usage(encode, 0 / 0))
    assert.matches("infinity", usage(encode, { -1 / 0 }))
    assert.matches("UTF%-8", usage(encode, { a = "\255" }))
    assert.matches("UTF%-8", usage(encode, { ["\192\128"] = 1 }))
    assert.matches("hole", usage(encode, { 1, nil, 3 , [9] = 1 }))
    assert.matches("key", usage(encode, { 1, 2, a = 3 }))
    assert.matches("key", usage(encode, { a = 3, [1.5] = 1 }))
    assert.matches("key", usage(encode, { [true] = 1 }))
    assert.matches("key", usage(encode, perigee.json_object { 1 }))
    assert.matches("function", usage(encode, print))
    assert.matches("perigee.default", usage(encode, { perigee.default }))
    assert.matches("perigee.bytes", usage(encode, { perigee.bytes "x" }))
    assert.matches("perigee.range", usage(encode, { perigee.range(1, 2) }))
    assert.matches("perigee.url", usage(encode, { perigee.url "sqlite:a" }))
    local raw = perigee.raw_json "1"
    raw.text = "1]"
    assert.matches("raw_json", usage(encode, { raw }))
  end)

  it("ends on tables that contain themselves", function()
    local list, map = {}, {}
    list[1], list[2] = list, list
    map.a, map.b = map, map
    assert.matches("containing itself", usage(encode, list))
    assert.matches("containing itself", usage(encode, map))
    local wrapped = perigee.json(1)
    wrapped.value = wrapped
    assert.matches("containing itself", usage(encode, wrapped))
  end)

  it("takes users' objects by their fields", function()
    local class = { __index = { method = print } }
    assert.equal('{"a":1}', encode(setmetatable({ a = 1 }, class)))
  end)
end)

describe("url", function()
  local text = "postgresql+asyncpg://app:s%2Fcret@db.example:6543/shop" ..
               "?max_size=10"
  local url = perigee.url(text)

  it("has parts", function()
    assert.equal("app", url.user)
    assert.equal("s/cret", url.password)
    assert.equal("db.example", url.host)
    assert.equal(6543, url.port)
    assert.equal("shop", url.database)
    assert.equal("postgres", url.scheme)
    assert.same({ max_size = "10" }, url.params)
    assert.is_nil(perigee.url("sqlite:app.db").host)
    assert.equal("1,2", perigee.url("postgres://a:1,b:2/x").port)
  end)

  it("does not print the password", function()
    assert.is_nil(tostring(url):find("cret", 1, true))
    assert.matches(":%*%*%*@", tostring(url))
    assert.matches("s%%2Fcret", url:reveal())
  end)

  it("makes changed copies", function()
    local other = url:with { database = "x/y", password = "pw", port = 1 }
    assert.equal("shop", url.database)
    assert.equal("x/y", other.database)
    assert.equal("pw", other.password)
    assert.equal(1, other.port)
    assert.equal("db.example", other.host)
    assert.is_nil(url:with { password = null }.password)
    assert.same({ a = "1", b = "x" },
                url:with { params = { b = "x", a = 1 } }.params)
    assert.equal("mysql", url:with { scheme = "mysql" }.scheme)
    assert.equal(url, url:with {})
  end)

  it("refuses what a URL cannot say", function()
    assert.matches("databse", usage(url.with, url, { databse = "x" }))
    assert.matches("port", usage(url.with, url, { port = "1/x" }))
    assert.matches("port", usage(url.with, url, { port = 0 }))
    assert.matches("port", usage(url.with, url, { port = 1.5 }))
    assert.matches("host", usage(url.with, perigee.url "sqlite:a.db",
                                 { host = "h" }))
    assert.matches("database must be a string",
                   usage(url.with, url, { database = {} }))
    assert.matches("zero byte", usage(url.with, url, { user = "a\0b" }))
    assert.matches("params", usage(url.with, url, { params = { 1 } }))
    assert.matches("scheme", usage(url.with, url, { scheme = null }))
    assert.matches("cannot be changed", usage(function() url.host = "x" end))
    assert.matches("string", usage(perigee.url, nil))
  end)

  it("keeps its metatable to itself", function()
    assert.equal("perigee.url", getmetatable(url))
  end)

  it("compares", function()
    assert.equal(perigee.url "postgres://h/x", perigee.url "postgresql://h/x")
    assert.are_not.equal(perigee.url "postgres://h/x",
                         perigee.url "postgres://h/y")
    assert.equal(url, perigee.url(url))
  end)
end)
