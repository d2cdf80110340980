--- What turns one CREATE DOMAIN into another: columns use the domain, so it is altered.
local lexer = require "perigee.dialect.postgres.lexer"
local types = require "perigee.dialect.postgres.types"
local util = require "perigee.util"

local M = {}

-- Words that begin a clause after the type.
local CLAUSES = {
  default = true, ["not"] = true, null = true, constraint = true, check = true, collate = true,
}

local function trim(s) return (s:gsub("^%s+", ""):gsub("%s+$", "")) end

-- The text after the name in clauses: { { word = "type", text = "integer" }, { word =
-- "check", text = "CHECK (…)" } … }.
local function clauses(sql)
  local rest = lexer.after_name(sql, "domain"):gsub("^[aA][sS]%f[%W]%s*", "")
  local out, depth, is_named = { { word = "type", text = "" } }, 0, false
  for kind, text in lexer.tokens(rest) do
    local word = kind == "name" and text:lower()
    if text == "(" then depth = depth + 1 elseif text == ")" then depth = depth - 1 end
    if depth == 0 and word and CLAUSES[word] and not (word == "check" and is_named) then
      out[#out + 1] = { word = word, text = "" }
      is_named = word == "constraint"
    elseif word == "check" then
      is_named = false
    end
    out[#out].text = out[#out].text .. text
  end
  return out
end

local function constraint_name(text)
  local rest = text:match "^[cC][oO][nN][sS][tT][rR][aA][iI][nN][tT]%s+(.*)$"
  if not rest then return nil end
  local kind, token = lexer.tokens(rest)()
  return kind and lexer.meaning(kind, token)
end

-- CREATE DOMAIN as { type =, default =, not_null =, checks = { { name =, text = } } }.
local function parse(o)
  local d = { checks = {}, not_null = false }
  for _, c in ipairs(clauses(o.sql)) do
    local text = trim(c.text)
    if c.word == "type" then
      d.type = text
    elseif c.word == "default" then
      d.default = trim(text:sub(8))
    elseif c.word == "not" then
      d.not_null = true
    elseif c.word == "check" or c.word == "constraint" then
      table.insert(d.checks, { name = constraint_name(text) or types.limit(o.name .. "_check"),
        text = text })
    end
  end
  return d
end

local function base(text)
  local low = text:lower():gsub("%s+", " ")
  local head, tail = low:match "^([%a_ %d]-)%s*(%(.*)$"
  head = trim(head or low)
  return (types.ALIASES[head] or head) .. (tail or ""):gsub("%s", "")
end

--- The statements.
-- @tparam table o the domain as it shall be
-- @tparam table was as it is
-- @raise usage when the type below it differs
function M.change(o, was)
  local new, old = parse(o), parse(was)
  if base(new.type) ~= base(old.type) then
    util.usage("domain %s: the type of a domain (%s) cannot be changed to %s", o.name,
      old.type, new.type)
  end
  local alter, out = "ALTER DOMAIN " .. types.qualified(o.schema, o.name) .. " ", {}
  local function add(text) out[#out + 1] = alter .. text end
  local kept = {}
  for _, x in ipairs(new.checks) do kept[x.name] = x.text end
  local there = {}
  for _, x in ipairs(old.checks) do
    if kept[x.name] == x.text then
      there[x.name] = true
    else
      add("DROP CONSTRAINT " .. types.quote(x.name))
    end
  end
  for _, x in ipairs(new.checks) do
    if not there[x.name] then add("ADD " .. x.text) end
  end
  if new.default ~= old.default then
    add(new.default and "SET DEFAULT " .. new.default or "DROP DEFAULT")
  end
  if new.not_null ~= old.not_null then add(new.not_null and "SET NOT NULL" or "DROP NOT NULL") end
  return out
end

return M
