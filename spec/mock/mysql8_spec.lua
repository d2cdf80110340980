-- What is known of tables on MySQL 8, from rows as its information_schema gives them. They
-- are written down from its manual: no MySQL server is asked.
require "spec.support.helper"
local catalog = require "perigee.catalog.mysql"

local function column(n, name, ty, title, fields)
  local row = {
    rel = "orders", kind = "", what = "c", ix = "", n = n, name = name, type = ty,
    title = title, not_null = 0, has_default = 0, extra = "",
  }
  for k, v in pairs(fields or {}) do row[k] = v end
  return row
end

local function key(ix, n, name, part)
  return { rel = "orders", kind = "", what = "k", ix = ix, n = n, name = name, part = part }
end

local AI_CI = { collation = "utf8mb4_0900_ai_ci" }

-- A functional index has an expression and no column; widths of integers are gone, but for
-- tinyint(1); there is no json_valid, for JSON is a type.
local ROWS = {
  { rel = "orders", kind = "BASE TABLE", what = "a", ix = "", n = 0, name = "" },
  column(1, "id", "bigint", "bigint unsigned", { not_null = 1, extra = "auto_increment" }),
  column(2, "code", "varchar", "varchar(36)",
    { has_default = 1, extra = "DEFAULT_GENERATED", collation = "utf8mb4_0900_ai_ci" }),
  column(3, "sold", "tinyint", "tinyint(1)", { has_default = 1 }),
  column(4, "doc", "json", "json"),
  column(5, "total", "int", "int", { extra = "VIRTUAL GENERATED" }),
  column(6, "at", "timestamp", "timestamp(6)",
    { has_default = 1, extra = "DEFAULT_GENERATED on update CURRENT_TIMESTAMP(6)" }),
  column(7, "name", "varchar", "varchar(90)", AI_CI),
  column(8, "exact", "varchar", "varchar(90)", { collation = "utf8mb4_0900_bin" }),
  key("PRIMARY", 1, "id"),
  key("orders_code", 1, "code"),
  key("orders_lower", 1, nil),
  key("orders_mixed", 1, "code"), key("orders_mixed", 2, nil),
  key("orders_part", 1, "name", 10),
}

local function read()
  local sent = {}
  local t = catalog.one(function(sql)
    sent[#sent + 1] = sql
    return ROWS
  end, nil, "orders", false)
  return t, sent
end

describe("a table of MySQL 8", function()
  it("has the keys that are columns, and no others", function()
    local t = read()
    assert.same({ "PRIMARY", "orders_code" }, { t.keys[1].name, t.keys[2].name })
    assert.is_nil(t.keys[3])
    assert.same({ { 1 }, { 2 } }, { t.keys[1].columns, t.keys[2].columns })
  end)

  it("has defaults that are expressions, and columns that are computed", function()
    local t = read()
    local defaults, generated = {}, {}
    for i, c in ipairs(t.columns) do
      defaults[i], generated[i] = c.default == true, c.generated == true
    end
    assert.same({ true, true, true, false, false, true, false, false }, defaults)
    assert.same({ false, false, false, false, true, false, false, false }, generated)
    assert.is_true(t.columns[1].auto)
  end)

  it("has classes, sizes, and texts that other texts are equal to", function()
    local t = read()
    local classes = {}
    for i, c in ipairs(t.columns) do classes[i] = c.class end
    assert.same({ "int", "text", "bool", "json", "int", "timestamp", "text", "text" }, classes)
    assert.same({ 65, 32 }, { t.columns[1].bits, t.columns[5].bits })
    assert.is_true(t.columns[7].folded)
    assert.is_false(t.columns[8].folded)
  end)

  it("is asked for without what only MariaDB has", function()
    local _, sent = read()
    local plain = sent[1]:gsub("/%*M!.-%*/", "")
    assert.is_nil(plain:find("check_constraints", 1, true))
    assert.truthy(sent[1]:find("check_constraints", 1, true))
  end)
end)
