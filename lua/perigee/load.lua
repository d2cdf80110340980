--- perigee.core, or why it cannot be had: it was built for another Lua, or it is of
-- another version than the files in Lua.

local VERSION = "0.1.0" -- as in CMakeLists.txt

local function this_lua()
  return package.loaded.jit and package.loaded.jit.version or _VERSION
end

-- A module for another Lua lacks functions of its own Lua. The linkers' words:
-- "undefined symbol: lua_x" (glibc), "relocating …: lua_x: symbol not found" (musl).
local function explain(why)
  local name = why:match "undefined symbol: (luaL?_[%w_]+)"
    or why:match "(luaL?_[%w_]+): symbol not found"
  if not name then return why end
  local file = why:match "from file '([^']+)'" or "perigee/core.so"
  return ("perigee: %s was built for another Lua than this, %s (which has no %s); "
    .. "install Perigee for this one, or correct package.cpath. Perigee runs on Lua "
    .. "5.4, Lua 5.3 and LuaJIT 2.1"):format(file, this_lua(), name)
end

local ok, core = pcall(require, "perigee.core")
if not ok then error(type(core) == "string" and explain(core) or core, 0) end
if core.version ~= VERSION then
  error(("perigee: the module in Lua is version %s, perigee.core is version %s (of %s); "
    .. "correct package.path and package.cpath so that both are of one installation")
    :format(VERSION, tostring(core.version), package.searchpath
      and package.searchpath("perigee.core", package.cpath) or "package.cpath"), 0)
end
return core
