-- Prints where the module argparse is, which the runner carries in itself: in the
-- tree of rocks that this one goes to, in another, or where the system has it.
--
--   lua argparse.lua ROCKS_TREE       (as $(ROCKS_TREE): …/lib/luarocks/rocks-5.4)

local version = _VERSION:match "%d+%.%d+"
local share = "/share/lua/" .. version .. "/argparse.lua"
local tree = arg[1] and arg[1]:match "^(.*)/lib/luarocks/rocks"

local paths = {}
if tree then paths[1] = tree .. share end
local home = os.getenv "HOME"
if home then paths[#paths + 1] = home .. "/.luarocks" .. share end
for pattern in package.path:gmatch "[^;]+" do
  paths[#paths + 1] = pattern:gsub("%?", "argparse")
end

for _, path in ipairs(paths) do
  local f = path:sub(1, 1) == "/" and io.open(path)
  if f then
    f:close()
    print(path)
    os.exit(0)
  end
end
io.stderr:write("\nperigee: the module argparse was not found: luarocks install "
  .. "argparse (Debian: lua-argparse)\nLooked at:\n  ",
  table.concat(paths, "\n  "), "\n\n")
os.exit(1)
