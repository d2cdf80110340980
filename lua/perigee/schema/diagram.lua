--- Drawings of tables and their relations, from a tree of definitions or of a database:
-- Graphviz and Mermaid texts.
local types = require "perigee.schema.types"
local model = require "perigee.schema.model"

local M = {}

-- ---- what is drawn ---------------------------------------------------------

local function set_of(names)
  local set = {}
  for _, name in ipairs(names or {}) do set[name] = true end
  return set
end

-- The columns with what they are: { name, type, is_key, is_reference, null }.
local function columns_of(t)
  local key, refers = set_of(t.primary_key and t.primary_key.columns), {}
  for _, f in ipairs(t.foreign_keys or {}) do
    for _, name in ipairs(f.columns) do refers[name] = true end
  end
  local out = {}
  for i, c in ipairs(t.columns) do
    out[i] = {
      name = c.name, type = types.print(c.type), null = c.null,
      is_key = key[c.name] or false, is_reference = refers[c.name] or false,
    }
  end
  return out
end

-- May a row of the parent have only one of the child? When the columns are a key.
local function is_single(t, f)
  local wanted = set_of(f.columns)
  local function covers(k)
    if #k.columns ~= #f.columns then return false end
    for _, name in ipairs(k.columns) do
      if not wanted[name] then return false end
    end
    return true
  end
  if t.primary_key and covers(t.primary_key) then return true end
  for _, k in ipairs(t.uniques or {}) do
    if covers(k) then return true end
  end
  return false
end

local function is_optional(t, f)
  for _, name in ipairs(f.columns) do
    local c = model.column(t, name)
    if c and c.null then return true end
  end
  return false
end

-- { from, to, label, single, optional } for each foreign key.
local function relations_of(tree)
  local out = {}
  for _, t in ipairs(tree.tables) do
    for _, f in ipairs(t.foreign_keys or {}) do
      out[#out + 1] = {
        from = model.key(t), to = model.key { schema = f.ref.schema, name = f.ref.table },
        label = table.concat(f.columns, ", "), single = is_single(t, f),
        optional = is_optional(t, f),
      }
    end
  end
  return out
end

-- ---- Graphviz --------------------------------------------------------------

local ENTITIES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }

local function html(s)
  return (s:gsub('[&<>"]', ENTITIES))
end

local function dot_id(s)
  return '"' .. s:gsub('[\\"]', "\\%0") .. '"'
end

local function dot_row(c)
  local name = html(c.name)
  if c.is_key then name = "<u>" .. name .. "</u>" end
  if c.is_reference then name = "<i>" .. name .. "</i>" end
  return ('<tr><td align="left">%s</td><td align="left"><font color="#666666">%s%s'
    .. "</font></td></tr>"):format(name, html(c.type), c.null and "?" or "")
end

local function dot_table(t)
  local rows = {}
  for i, c in ipairs(columns_of(t)) do rows[i] = "    " .. dot_row(c) end
  return ('  %s [label=<<table border="0" cellborder="1" cellspacing="0" cellpadding="4">\n'
    .. '    <tr><td colspan="2" bgcolor="#e8eef7"><b>%s</b></td></tr>\n%s\n  </table>>];'
    ):format(dot_id(model.key(t)), html(model.key(t)), table.concat(rows, "\n"))
end

--- The text for Graphviz's dot. Keys are underlined, references in italics; a "?" after
-- the type: NULL is allowed.
-- @tparam table tree
-- @treturn string
function M.dot(tree)
  local out = {
    "digraph schema {", "  rankdir=LR;",
    '  node [shape=plain, fontname="Helvetica", fontsize=11];',
    '  edge [fontname="Helvetica", fontsize=9, color="#555555"];',
  }
  for _, t in ipairs(tree.tables) do out[#out + 1] = dot_table(t) end
  for _, r in ipairs(relations_of(tree)) do
    out[#out + 1] = ("  %s -> %s [label=%s, dir=both, arrowtail=%s, arrowhead=%s];"):format(
      dot_id(r.from), dot_id(r.to), dot_id(r.label), r.single and "teeodot" or "crowodot",
      r.optional and "teeodot" or "teetee")
  end
  out[#out + 1] = "}"
  return table.concat(out, "\n") .. "\n"
end

-- ---- Mermaid ---------------------------------------------------------------

-- A text in quotes without quotes or line ends inside.
local function mermaid_text(s)
  return '"' .. s:gsub('"', "'"):gsub("%c+", " ") .. '"'
end

-- Names in Mermaid are words, or in quotes.
local function mermaid_name(s)
  return s:match "^[%a_][%w_]*$" and s or mermaid_text(s)
end

local function mermaid_word(s)
  s = s:gsub("[%s,]+", "_"):gsub("[^%w_%-%(%)%[%]]", "")
  if not s:match "^[%a]" then s = "t_" .. s end
  return s
end

local function mermaid_column(c)
  local marks = {}
  if c.is_key then marks[#marks + 1] = "PK" end
  if c.is_reference then marks[#marks + 1] = "FK" end
  local name = c.name:gsub("[^%w_%-\128-\255]", "_")
  return ("    %s %s%s%s"):format(mermaid_word(c.type), name,
    #marks > 0 and " " .. table.concat(marks, ", ") or "", c.null and ' "null"' or "")
end

--- The text of a Mermaid erDiagram.
-- @tparam table tree
-- @treturn string
function M.mermaid(tree)
  local out = { "erDiagram" }
  for _, t in ipairs(tree.tables) do
    out[#out + 1] = "  " .. mermaid_name(model.key(t)) .. " {"
    for _, c in ipairs(columns_of(t)) do out[#out + 1] = mermaid_column(c) end
    out[#out + 1] = "  }"
  end
  for _, r in ipairs(relations_of(tree)) do
    out[#out + 1] = ("  %s %s--%s %s : %s"):format(mermaid_name(r.to),
      r.optional and "|o" or "||", r.single and "o|" or "o{", mermaid_name(r.from),
      mermaid_text(r.label))
  end
  return table.concat(out, "\n") .. "\n"
end

return M
