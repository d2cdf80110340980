-- The graph of migrations: names, ranges, heads, what is wrong with it, how it is drawn.
local expect = require "spec.support.expect"
require "spec.support.helper"
local graph = require "perigee.migrate.graph"

-- The error, whose message must fit the pattern.
local function fails(kind, pattern, ...)
  local err = expect.fails(kind, ...)
  assert.is_truthy(err.message:find(pattern), err.message)
  return err
end

-- "a", "b after a", "m after b c", "x after a needs y", "l:label after a"
local function build(...)
  local list = {}
  for i, text in ipairs { ... } do
    local head, after = text:match "^(%S+) after ([%w ]-)$"
    local rest, needs
    if after then
      rest, needs = after:match "^(.-) needs (.*)$"
    end
    local id, label = (head or text):match "^([^:]+):?(.*)$"
    local function words(s)
      local out = {}
      for word in (s or ""):gmatch "%S+" do out[#out + 1] = word end
      return out
    end
    list[i] = {
      id = id, name = ("2026%04d_%s"):format(i, id), after = words(rest or after),
      depends = words(needs), labels = words(label),
    }
  end
  return graph.new(list), list
end

local function join(ids) return table.concat(ids, " ") end

local function drawn(g)
  local lines = {}
  for i, row in ipairs(g:draw()) do
    lines[i] = row.graph .. (row.id and " " .. row.id or "")
  end
  return table.concat(lines, "\n")
end

describe("the graph of migrations", function()
  it("puts parents first, whatever the order of the files", function()
    local g = build("c after b", "a", "b after a")
    local ids = {}
    for i, m in ipairs(g.list) do ids[i] = m.id end
    assert.are.equal("a b c", join(ids))
    assert.are.equal("c", join(g:heads()))
    assert.are.equal("a", join(g:bases()))
  end)

  it("refuses what cannot be a graph, and names the file", function()
    fails("usage", "b1.*comes after", build, "a1", "b1 after zz")
    fails("usage", "the id a1 is that of", build, "a1", "a1")
    fails("usage", "circle: a1 %-> b1 %-> a1", build, "a1 after b1", "b1 after a1")
    fails("usage", "circle: a1 %-> a1", build, "a1 after a1")
    fails("usage", 'label "x" is that of', build, "a1:x", "b1:x after a1")
    fails("usage", "a1 is named twice", build, "a1", "b1 after a1 a1")
    fails("usage", "circle", build, "a1", "b1 after a1 needs c1", "c1 after b1")
  end)

  it("tells several heads, and what to do", function()
    local g = build("a1", "b1 after a1", "c1 after a1")
    assert.are.equal("b1 c1", join(g:heads()))
    local err = fails("migration", "2 heads: b1, c1; .*merge.*rebase c1", g.head, g)
    assert.are.equal(4, err.exit)
    assert.are.same({ "b1", "c1" }, err.heads)
  end)

  it("does not count depends as a branch, but keeps its order", function()
    local g = build("a1", "x1", "b1 after a1 needs x1")
    assert.are.equal("x1 b1", join(g:heads()))
    assert.are.equal("a1 x1 b1", join(g:pending({}, { "b1" })))
    assert.are.equal("b1", join(g:heads(g:descendants { "a1" })))
  end)

  describe("finds by", function()
    local g = build("abc111:shop", "abd222 after abc111", "fff333 after abd222")

    it("id, unique prefix, file name and label", function()
      assert.are.equal("abc111", g:find "abc111")
      assert.are.equal("abd222", g:find "abd")
      assert.are.equal("abd222", g:find "20260002")
      assert.are.equal("abc111", g:find "shop")
      fails("usage", '"2026" fits 3', g.find, g, "2026")
      fails("usage", 'no migration "ab"', g.find, g, "ab")
      fails("usage", 'no migration "nope"', g.find, g, "nope")
      fails("usage", "a string, not number", g.find, g, 7)
    end)

    it("head, heads, base, current and steps from them", function()
      local applied = { abc111 = true }
      assert.are.equal("fff333", join(g:resolve "head"))
      assert.are.equal("fff333", join(g:resolve "heads"))
      assert.are.equal("", join(g:resolve "base"))
      assert.are.equal("abc111", join(g:resolve("current", applied)))
      assert.are.equal("abd222", join(g:resolve("+1", applied)))
      assert.are.equal("abd222", join(g:resolve "head-1"))
      assert.are.equal("abd222", join(g:resolve "abc+1"))
      assert.are.equal("", join(g:resolve("-1", applied)))
      assert.are.equal("abc111", join(g:resolve "base+1"))
      fails("usage", "fewer than 3", g.resolve, g, "+3", applied)
      fails("usage", "fewer than 4", g.resolve, g, "head-4")
    end)

    it("the head of a label's branch", function()
      local two = build("a1", "b1:left after a1", "c1:right after a1", "d1 after b1", "e1 after c1",
        "f1 after c1")
      assert.are.equal("d1", join(two:resolve "left@head"))
      assert.are.equal("e1 f1", join(two:resolve "right@heads"))
      local err = fails("migration", "2 heads: e1, f1", two.resolve, two, "right@head")
      assert.are.equal(4, err.exit)
    end)

    it("an unknown branch where steps have to choose", function()
      local two = build("a1", "b1 after a1", "c1 after a1")
      local err = fails("migration", "after a1 stands for 2", two.resolve, two, "a1+1")
      assert.are.equal(4, err.exit)
    end)
  end)

  it("cuts ranges, also with dots and open ends", function()
    local g = build("aa1", "bb1 after aa1", "cc1 after bb1", "dd1 after cc1")
    local function between(text) return join(g:between(g:range(text))) end
    assert.are.equal("bb1 cc1", between "aa1:cc1")
    assert.are.equal("bb1 cc1", between "aa1..cc1")
    assert.are.equal("aa1 bb1", between ":bb1")
    assert.are.equal("dd1", between "cc1:")
    assert.are.equal("aa1 bb1 cc1 dd1", between(nil))
    assert.are.equal("cc1", between "cc1")
    assert.are.equal("aa1 bb1 cc1 dd1", between "base:head")
    fails("usage", "cc1 does not come before aa1", between, "cc1:aa1")
  end)

  it("knows what is pending on every branch of a merge", function()
    local g = build("a1", "b1 after a1", "c1 after a1", "m1 after b1 c1")
    assert.are.equal("c1 m1", join(g:pending({ a1 = true, b1 = true }, g:heads())))
    assert.are.equal("a1 b1", join(g:pending({}, { "b1" })))
    assert.are.equal("b1 c1", join(g:heads { a1 = true, b1 = true, c1 = true }))
  end)

  describe("is drawn", function()
    it("as a line", function()
      assert.are.equal("* c1\n* b1\n* a1", drawn((build("a1", "b1 after a1", "c1 after b1"))))
    end)

    it("with a branch and a merge", function()
      assert.are.equal(table.concat({
        "* m1", "|\\", "| * c1", "* | b1", "|/", "* a1",
      }, "\n"), drawn((build("a1", "b1 after a1", "c1 after a1", "m1 after b1 c1"))))
    end)

    it("with several heads and roots", function()
      assert.are.equal(table.concat({
        "* z1", "", "* d1", "| * c1", "| | * b1", "|/ /", "|/", "* a1",
      }, "\n"), drawn((build("a1", "b1 after a1", "c1 after a1", "d1 after a1", "z1"))))
    end)
  end)

  it("is built in no time for a thousand migrations", function()
    local texts = { "m1" }
    for i = 2, 1000 do texts[i] = ("m%d after m%d"):format(i, i - 1) end
    local g = build((table.unpack or unpack)(texts))
    local before = os.clock()
    assert.are.equal(1000, #g:pending({}, g:heads()))
    assert.are.equal(1000, #g:draw())
    assert.is_true(os.clock() - before < 1)
  end)
end)
