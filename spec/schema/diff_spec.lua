-- The comparison of trees, without a database: renamings, decisions, what is managed,
-- names of constraints, order. Real databases are in changes_spec.lua.

require "spec.support.helper"
local expect = require "spec.support.expect"
local diff = require "perigee.schema.diff"
local order = require "perigee.schema.order"

local POSTGRES = { name = "postgres", features = {} }

local function column(name, raw, more)
  local c = { name = name, type = { raw = raw or "text" }, null = false }
  for k, v in pairs(more or {}) do c[k] = v end
  return c
end

local function make(name, columns, more)
  local t = { name = name, columns = columns, at = { file = "schema.lua", line = 1 } }
  for k, v in pairs(more or {}) do t[k] = v end
  return t
end

local function tree(tables, more)
  local out = { tables = tables }
  for k, v in pairs(more or {}) do out[k] = v end
  return out
end

local function lines(changes)
  local out = {}
  for i, change in ipairs(changes) do out[i] = diff.describe(change).text end
  return out
end

-- The lines of a comparison of one table, in order.
local function compare(live, wanted, options)
  local found = diff.compare(tree(live), tree(wanted), options)
  return lines(order.plan(found, POSTGRES)), found
end

-- f(…) raises a usage error that says this.
local function refuses(text, ...)
  local err = expect.fails("usage", ...)
  assert.truthy(err.message:find(text, 1, true), err.message)
end

local function line(n) return { file = "schema.lua", line = n } end

describe("the difference of two trees", function()
  it("is nothing for the same, in any order of its lists", function()
    local function t(reverse)
      local checks = { { name = "a", sql = "x > 0" }, { name = "b", sql = "x > 1" } }
      if reverse then checks[1], checks[2] = checks[2], checks[1] end
      return make("t", { column "x" }, { checks = checks })
    end
    assert.same({}, (compare({ t(false) }, { t(true) })))
  end)

  it("does not change the trees it is given", function()
    local live = tree { make("t", { column "a" }) }
    local wanted = tree { make("u", { column("b", "text", { was = "a" }) }, { was = "t" }) }
    diff.compare(live, wanted)
    assert.equal("t", live.tables[1].name)
    assert.equal("a", live.tables[1].columns[1].name)
  end)

  describe("renamings", function()
    it("are declared, and told with their place", function()
      local text, found = compare({ make("t", { column "mail" }) },
        { make("t", { column("email", "text", { was = "mail", at = line(14) }) }) })
      assert.same({ "~ column t.mail -> email  schema.lua:14 (was)" }, text)
      assert.same({ sign = "~", kind = "column", name = "t.mail", detail = "-> email",
        note = "schema.lua:14 (was)", text = text[1] }, diff.describe(found.changes[1]))
    end)

    it("may stay declared when they are done", function()
      assert.same({}, (compare({ make("t", { column "email" }) },
        { make("t", { column("email", "text", { was = "mail" }) }) })))
    end)

    it("fail when both names are there", function()
      local live = tree { make("t", { column "mail", column "email" }) }
      local email = column("email", "text", { was = "mail", at = line(14) })
      local wanted = tree { make("t", { email }) }
      refuses('schema.lua:14: column t.email was "mail", but the database has both',
        diff.compare, live, wanted)
      refuses('table u was "t", but the database has both', diff.compare,
        tree { make("t", {}), make("u", {}) }, tree { make("u", {}, { was = "t" }) })
    end)

    it("are followed in keys, references and expressions", function()
      local function parts(name, parent, key)
        return make("t", { column(name, "text", name ~= "a" and { was = "a" } or nil) }, {
          primary_key = { name = "k", columns = { name } },
          checks = { { name = "c", sql = ("(%s <> 'a'::text)"):format(name) } },
          indexes = { { name = "i", keys = { { sql = ("lower(%s)"):format(name) } },
            include = { name }, where = ("(%s IS NOT NULL)"):format(name) } },
          foreign_keys = { { name = "f", columns = { name },
            ref = { table = parent, columns = { key } } } },
        })
      end
      local old = { make("p", { column "id" }), parts("a", "p", "id") }
      local new = { make("q", { column("key", "text", { was = "id" }) }, { was = "p" }),
        parts("b", "q", "key") }
      assert.same({ "~ table p -> q  schema.lua:1 (was)", "~ column q.id -> key  (was)",
        "~ column t.a -> b  (was)" }, (compare(old, new)))
    end)

    it("of the caller must come to something", function()
      local live, wanted = tree { make("t", { column "a" }) }, tree { make("t", { column "b" }) }
      local found = diff.compare(live, wanted, { rename = { "t.a=b" } })
      assert.same({ "~ column t.a -> b  (--rename)" }, lines(found.changes))
      refuses("t.x=b", diff.compare, live, wanted, { rename = { "t.x=b" } })
      refuses("is expected, not \"t.a\"", diff.compare, live, wanted, { rename = { "t.a" } })
      refuses('unknown option "renames"', diff.compare, live, wanted, { renames = {} })
    end)
  end)

  describe("decisions", function()
    local live = { make("t", { column "shipped_at", column("n", "integer") }) }

    it("are asked for when a column of the same type is new", function()
      local _, found = compare(live,
        { make("t", { column("n", "integer"), column "sent_at", column("m", "integer") }) })
      local d = found.decisions[1]
      assert.equal(1, #found.decisions)
      assert.same({ "rename_column", "t.shipped_at" }, { d.kind, d.what })
      assert.same({ "--rename t.shipped_at=sent_at",
        "--not-rename t.shipped_at --drop t.shipped_at" }, d.choices)
    end)

    it("are asked for when a column disappears", function()
      local _, found = compare(live, { make("t", { column("n", "integer") }) })
      assert.same({ "drop_column", "t.shipped_at", { "--drop t.shipped_at" } },
        { found.decisions[1].kind, found.decisions[1].what, found.decisions[1].choices })
      local wanted = { make("t", { column("n", "integer"), column "sent_at" }) }
      _, found = compare(live, wanted, { not_rename = { "t.shipped_at" } })
      assert.equal("drop_column", found.decisions[1].kind)
    end)

    it("are made by drop, which waits for finish with all that goes along", function()
      local old = { make("t", { column "a", column "b" }, {
        uniques = { { name = "u", columns = { "b" } } },
        indexes = { { name = "i", keys = { { sql = "lower(b)" } } } },
        checks = { { name = "c", sql = "(a > 'b'::text)" } } }) }
      local text, found = compare(old, { make("t", { column "a" }) }, { drop = { "t.b" } })
      assert.same({ "- check t.c", "- index i", "- unique t.u", "- column t.b" }, text)
      assert.same({}, found.decisions)
      local phases = {}
      for _, change in ipairs(found.changes) do phases[change.op] = change.phase end
      assert.same({ drop_check = "up", drop_index = "finish", drop_unique = "finish",
        drop_column = "finish" }, phases)
      for _, change in ipairs(found.changes) do
        if change.op == "drop_column" then
          assert.same({ { rule = "drop-column", reason = diff.UNSTATED } }, change.allows)
        end
      end
    end)

    it("are asked for before a table of ours is dropped", function()
      local old = { make("t", { column "a" }), make("u", { column "b" }) }
      local _, found = compare(old, { make("t", { column "a" }), make("v", { column "b" }) },
        { manage = { u = true } })
      assert.same({ "rename_table", { "--rename u=v", "--drop u" } },
        { found.decisions[1].kind, found.decisions[1].choices })
      local text
      text, found = compare(old, { make("t", { column "a" }) }, { drop = { "u" } })
      assert.same({ "- table u" }, text)
      assert.same({}, found.decisions)
    end)
  end)

  describe("what is managed", function()
    it("is not what the definitions do not know", function()
      local live = tree({ make("other", { column "a" }) }, {
        views = { { name = "v", sql = "SELECT 1" } }, enums = { { name = "e", values = { "a" } } },
        objects = { { kind = "domain", name = "d", sql = "CREATE DOMAIN d" } },
        notes = { { kind = "policy", name = "p", on = "t", why = "…" } } })
      local found = diff.compare(live, tree {})
      assert.same({}, found.changes)
      local kinds = {}
      for i, note in ipairs(found.notes) do kinds[i] = note.kind end
      assert.same({ "enum", "table", "view", "domain", "policy" },
        { kinds[1], kinds[2], kinds[3], kinds[4], kinds[5] })
      found = diff.compare(live, tree {}, { manage = "all", drop = { "other" } })
      assert.equal(4, #found.changes)
    end)

    it("is what stands on a managed table", function()
      local function t() return make("t", { column "a" }) end
      local found = diff.compare(tree({ t() }, { objects = {
        { kind = "trigger", name = "g", on = "t", sql = "CREATE TRIGGER" } } }), tree { t() })
      assert.same({ "- trigger g" }, lines(found.changes))
    end)

    it("is narrowed by include, on both sides", function()
      local seen = {}
      local found = diff.compare(tree { make("t", { column "a", column "b" }), make("x", {}) },
        tree { make("t", { column "a" }), make("y", {}) }, { manage = "all",
          include = function(object)
            seen[#seen + 1] = object
            return object.kind == "table" and object.name == "t"
              or object.kind == "column" and object.table == "t" and object.name ~= "b"
          end })
      assert.same({}, found.changes)
      assert.same({}, found.decisions)
      assert.same({ kind = "table", name = "t" }, seen[1])
    end)

    it("leaves out on both sides what could not be asked for", function()
      local wanted = tree({}, { notes = { { kind = "function", name = "f()", skipped = true,
        why = "no privilege" } } })
      local found = diff.compare(tree({}, { objects = { { kind = "function", name = "f()",
        sql = "x" } } }), wanted, { manage = "all" })
      assert.same({}, found.changes)
      assert.equal("no privilege", found.notes[1].why)
    end)
  end)

  describe("constraints and indexes", function()
    local function unique(name, columns, live)
      return { make("t", { column "a", column "b" },
        { uniques = live or { { name = name, columns = columns } } }) }
    end

    it("that differ by their name only are renamed", function()
      assert.same({ "~ name t.x -> y" }, (compare(unique("x", { "a" }), unique("y", { "a" }))))
    end)

    it("without a name are those that say the same", function()
      assert.same({}, (compare(unique(nil, { "a" }), unique("t_a_key", { "a" }))))
    end)

    it("whose names changed places are not renamed into each other", function()
      local x, y = { name = "x", columns = { "a" } }, { name = "y", columns = { "b" } }
      local text = compare(unique(nil, nil, { x, y }), unique(nil, nil, {
        { name = "y", columns = { "a" } }, { name = "x", columns = { "b" } } }))
      assert.same({ "- unique t.y", "~ name t.x -> y", "+ unique t.x (b)" }, text)
    end)

    it("that are not valid are validated, or made again", function()
      local function t(valid)
        return { make("t", { column "a" }, {
          checks = { { name = "c", sql = "x", valid = valid } },
          indexes = { { name = "i", keys = { { column = "a" } }, valid = valid } } }) }
      end
      assert.same({ "- index i", "+ index i on t (a)", "~ valid t.c" }, (compare(t(false), t(nil))))
    end)
  end)

  it("tells another order of columns without changing it", function()
    local text, found = compare({ make("t", { column "a", column "b" }) },
      { make("t", { column "b", column "a" }) })
    assert.same({}, text)
    assert.equal("column order", found.notes[1].kind)
  end)

  it("adds each value of an enum beside one that is there by then", function()
    local function values(list) return tree({}, { enums = { { name = "e", values = list } } }) end
    local found = diff.compare(values { "c", "d" }, values { "a", "b", "c", "x", "y", "d", "z" })
    local out = {}
    for i, op in ipairs(order.plan(found, POSTGRES)) do
      out[i] = op.value .. (op.before and "<" .. op.before or ">" .. op.after)
    end
    assert.same({ "a<c", "b>a", "x>c", "y>x", "z>d" }, out)
    assert.same({ "a", "b", "c", "d" }, found.changes[3].was)
  end)
end)
