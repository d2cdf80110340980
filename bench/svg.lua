-- Bar charts as SVG, readable on light and on dark pages.
local M = {}

local WIDTH, LABEL, BAR, GAP, HEAD, FONT = 760, 150, 16, 6, 34, 12
local SPACE = 150 -- for the text behind a bar

-- Where a viewer knows of no themes, colours that can be read on both.
local STYLE = [[
<style>
text { font: 12px system-ui, sans-serif; fill: #6e7781; }
.title { font-weight: 600; font-size: 13px; }
.limit { fill: #8c959f; }
.peer { fill: #c9853a; }
.perigee { fill: #3b7de9; }
.spread { stroke: #6e7781; stroke-width: 1.2; }
.line { stroke: #8c959f; stroke-dasharray: 3 3; }
@media (prefers-color-scheme: light) {
  text { fill: #24292f; }
  .muted { fill: #6e7781; }
  .spread { stroke: #24292f; }
}
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .muted { fill: #9198a1; }
  .spread { stroke: #e6edf3; }
}
</style>]]

local function escape(s)
  return (s:gsub("[&<>\"]", { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;",
    ['"'] = "&quot;" }))
end

local function text(out, x, y, s, class, anchor)
  out[#out + 1] = ('<text x="%.1f" y="%.1f"%s%s>%s</text>'):format(x, y,
    class and (' class="%s"'):format(class) or "",
    anchor and (' text-anchor="%s"'):format(anchor) or "", escape(s))
end

-- bar: name, role, value, low and high (the spread), label; or name and missing.
local function draw_bar(out, bar, y, scale)
  local middle = y + BAR / 2
  text(out, LABEL - 8, middle + FONT / 3, bar.name, not bar.value and "muted", "end")
  if not bar.value then
    text(out, LABEL, middle + FONT / 3, bar.missing, "muted")
    return
  end
  out[#out + 1] = ('<rect class="%s" x="%d" y="%.1f" width="%.1f" height="%d" rx="2"/>')
    :format(bar.role, LABEL, y, math.max(bar.value * scale, 1), BAR)
  out[#out + 1] = ('<line class="spread" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>')
    :format(LABEL + bar.low * scale, LABEL + bar.high * scale, middle, middle)
  text(out, LABEL + math.max(bar.high, bar.value) * scale + 6, middle + FONT / 3,
    bar.label)
end

local function draw_part(out, part, y)
  local most = 0
  for _, bar in ipairs(part.bars) do
    if bar.value then most = math.max(most, bar.value, bar.high) end
  end
  local scale = (WIDTH - LABEL - SPACE) / most
  text(out, 8, y + 20, part.title, "title")
  y = y + HEAD
  local height = #part.bars * (BAR + GAP)
  if part.line then
    local x = LABEL + part.line * scale
    out[#out + 1] = ('<line class="line" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>')
      :format(x, x, y - 4, y + height)
  end
  for _, bar in ipairs(part.bars) do
    draw_bar(out, bar, y, scale)
    y = y + BAR + GAP
  end
  return y
end

--- Draws parts below each other, each with its own scale.
-- @tparam {table,...} parts each with title, bars and line (the value to mark)
-- @treturn string the file
function M.bars(parts)
  local out, y = {}, 0
  for _, part in ipairs(parts) do y = draw_part(out, part, y) + 8 end
  return ('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" '
    .. 'viewBox="0 0 %d %d">\n%s\n%s\n</svg>\n'):format(WIDTH, y, WIDTH, y, STYLE,
    table.concat(out, "\n"))
end

return M
