-- `luarocks test`: runs Busted on what `luarocks make` has built in this folder, with
-- the specs that need no more than an installation has, or with those named:
-- luarocks test [ROCKSPEC] -- [OPTION…] [FILE…].
--
-- LuaRocks runs this with the Lua that it is set up for. Where that is Lua 5.1 the
-- modules are LuaJIT's, which then runs the specs.

local version = _VERSION:match "%d+%.%d+"
local folder = "build-luarocks/" .. version

local SPECS = {
  "spec/values_spec.lua",
  "spec/shared/placeholders_spec.lua",
  "spec/shared/errors_spec.lua",
  "spec/shared/transaction_spec.lua",
  "spec/tables/crud_spec.lua",
}

local function fail(text)
  io.stderr:write("rockspec/test.lua: ", text, "\n")
  os.exit(1)
end

local function exists(path)
  local f = io.open(path, "rb")
  if f then f:close() end
  return f ~= nil
end

local function quote(s)
  return "'" .. s:gsub("'", "'\\''") .. "'"
end

-- Rocks of the user, who may not have said `eval "$(luarocks path)"`.
local function add_own_tree()
  local home = os.getenv "HOME"
  if not home then return end
  local tree = home .. "/.luarocks"
  package.path = package.path .. (";%s/share/lua/%s/?.lua;%s/share/lua/%s/?/init.lua")
    :format(tree, version, tree, version)
  package.cpath = package.cpath .. (";%s/lib/lua/%s/?.so"):format(tree, version)
end

-- In the right interpreter: Busted, which looks at arg.
local function run_busted()
  table.remove(arg, 1)
  add_own_tree()
  local ok, runner = pcall(require, "busted.runner")
  if not ok then
    fail("Busted was not found: luarocks install busted (Debian: lua-busted)\n" .. runner)
  end
  runner { standalone = false }
end

local function find_interpreter()
  local interpreter = arg[-1] or "lua"
  if version ~= "5.1" or package.loaded.jit then return interpreter end
  local beside = interpreter:gsub("[^/]*$", "luajit")
  return exists(beside) and beside or "luajit"
end

local function start_busted()
  if not exists(folder .. "/lua/perigee/core.so") then
    fail(folder .. " has no perigee.core: run `luarocks make` first")
  end
  local words = { "PERIGEE_BUILD=" .. folder, quote(find_interpreter()), quote(arg[0]),
                  "--busted" }
  for _, word in ipairs(#arg > 0 and arg or SPECS) do words[#words + 1] = quote(word) end
  local status = os.execute(table.concat(words, " "))
  os.exit((status == true or status == 0) and 0 or 1)
end

if arg[1] == "--busted" then run_busted() else start_busted() end
