-- Writes a C file that holds Lua modules as byte arrays.
--
--   lua embed.lua OUTPUT HEADER STRUCT ARRAY ROOT FILE…
--
-- FILEs are relative to ROOT: perigee/init.lua is the module "perigee",
-- perigee/schema/diff.lua is "perigee.schema.diff". One that begins with "/" is a
-- module of its own, from anywhere. HEADER declares ARRAY, whose elements are of
-- struct STRUCT; it ends with a NULL name. Bytes, not string literals: C compilers
-- limit the length of those. For CMake and for luarocks, so it runs in any Lua.

local function read(path)
  local f = assert(io.open(path, "rb"))
  local text = f:read "*a"
  f:close()
  return text
end

-- Sixteen bytes to a line; an empty file still needs an element.
local function bytes(text)
  local lines = {}
  for i = 1, #text, 16 do
    lines[#lines + 1] = text:sub(i, i + 15):gsub(".", function(c)
      return ("%d,"):format(c:byte())
    end)
  end
  lines[#lines + 1] = "0"
  return table.concat(lines, "\n")
end

local function module_name(file)
  return (file:gsub("%.lua$", ""):gsub("/init$", ""):gsub("/", "."))
end

local function embed(header, struct, array, root, files)
  local arrays, rows = {}, {}
  for i, file in ipairs(files) do
    local path = root .. "/" .. file
    if file:sub(1, 1) == "/" then
      path, file = file, file:match "[^/]*$"
    end
    local text = read(path)
    arrays[i] = ("static const unsigned char code_%d[] = {\n%s};\n\n")
      :format(i, bytes(text))
    rows[i] = ('  {"%s", "%s", code_%d, %d},\n')
      :format(module_name(file), file, i, #text)
  end
  return ('/* Made from lua/ by cmake/embed.lua. */\n#include "%s"\n\n%s'
    .. "const struct %s %s[] = {\n%s  {NULL, NULL, NULL, 0}};\n")
    :format(header, table.concat(arrays), struct, array, table.concat(rows))
end

local output, header, struct, array, root = arg[1], arg[2], arg[3], arg[4], arg[5]
local files = {}
for i = 6, #arg do files[#files + 1] = arg[i] end

local f = assert(io.open(output, "wb"))
assert(f:write(embed(header, struct, array, root, files)))
assert(f:close())
