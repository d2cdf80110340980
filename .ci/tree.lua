-- What the checks of this folder share: listing files, reading them, and C and
-- Lua text without comments and strings. Needs only `find`.

local tree = {}

local function quote(s)
  return "'" .. s:gsub("'", "'\\''") .. "'"
end

-- Paths under root/dir that match the shell pattern, relative to root, sorted.
function tree.files(root, dir, pattern)
  local command = ("cd %s && find %s -type f -name %s 2>/dev/null | sort")
    :format(quote(root), dir, quote(pattern))
  local out = {}
  local pipe = assert(io.popen(command))
  for path in pipe:lines() do out[#out + 1] = path end
  pipe:close()
  return out
end

function tree.read(path)
  local f = assert(io.open(path, "rb"))
  local text = f:read "*a"
  f:close()
  return text
end

-- Line breaks only, so that line numbers stay right.
local function blank(s)
  return (s:gsub("[^\n]+", " "))
end

-- `text` of a C file without comments and with empty strings.
function tree.strip_c(text)
  local out, at = {}, 1
  while true do
    local from = text:find("[\"'/]", at)
    if not from then break end
    local c, two = text:sub(from, from), text:sub(from, from + 1)
    out[#out + 1] = text:sub(at, from - 1)
    local to
    if two == "/*" then
      to = select(2, text:find("*/", from + 2, true)) or #text
      out[#out + 1] = " " .. blank(text:sub(from, to))
    elseif two == "//" then
      to = (text:find("\n", from, true) or #text + 1) - 1
    elseif c == "/" then
      to = from
      out[#out + 1] = c
    else
      to = from + 1
      while to < #text and text:sub(to, to) ~= c do
        to = to + (text:sub(to, to) == "\\" and 2 or 1)
      end
      out[#out + 1] = c .. c
    end
    at = to + 1
  end
  out[#out + 1] = text:sub(at)
  return table.concat(out)
end

-- The end of the Lua string or comment that starts at `from`, or nil.
local function lua_skip(text, from)
  local level = text:match("^%-%-%[(=*)%[", from)
    or text:match("^%[(=*)%[", from)
  if level then
    return select(2, text:find("]" .. level .. "]", from, true)) or #text
  elseif text:find("^%-%-", from) then
    return (text:find("\n", from, true) or #text + 1) - 1
  end
  local c = text:match("^[\"']", from)
  if not c then return nil end
  local to = from + 1
  while to < #text and text:sub(to, to) ~= c do
    to = to + (text:sub(to, to) == "\\" and 2 or 1)
  end
  return to
end

-- `text` of a Lua file without comments and strings.
function tree.strip_lua(text)
  local out, at, from = {}, 1, 1
  while true do
    from = text:find("[\"'%-%[]", from)
    if not from then break end
    local to = lua_skip(text, from)
    if to then
      out[#out + 1] = text:sub(at, from - 1)
      out[#out + 1] = " " .. blank(text:sub(from, to))
      at, from = to + 1, to + 1
    else
      from = from + 1
    end
  end
  out[#out + 1] = text:sub(at)
  return table.concat(out)
end

-- for number, line in tree.lines(text)
function tree.lines(text)
  local n = 0
  local next_line = (text .. "\n"):gmatch "(.-)\n"
  return function()
    local line = next_line()
    if not line then return nil end
    n = n + 1
    return n, line
  end
end

-- Collects complaints; report() prints them and gives the exit code.
function tree.complaints()
  local list = {}
  function list:add(file, line, fmt, ...)
    self[#self + 1] = ("%s:%d: %s"):format(file, line, fmt:format(...))
  end
  function list:report(what)
    for _, text in ipairs(self) do print(text) end
    print(("%s: %d complaint%s"):format(what, #self, #self == 1 and "" or "s"))
    return #self == 0 and 0 or 1
  end
  return list
end

return tree
