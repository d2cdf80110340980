-- Lint rules; `luacheck .` from the top of the tree.
std = "min+lua54"
max_line_length = 100
max_code_line_length = 100
max_comment_line_length = 100
max_cyclomatic_complexity = 15
self = false -- methods may leave self unused
cache = false
exclude_files = { "build*/", "docs/meta/" }

-- The library runs on Lua 5.4, 5.3 and LuaJIT.
files["lua/**/*.lua"] = {
  std = "min",
  read_globals = {
    "unpack",
    table = { fields = { "unpack" } },
    package = { fields = { "searchpath" } },
    coroutine = { fields = { "close", "_yield" } },
  },
}
-- The globals of a sandbox, which it makes.
files["lua/perigee/sandbox/base.lua"] = {
  globals = { "assert", "next", "pairs", "rawlen", "table", "unpack" },
}
files["lua/perigee/host/nginx.lua"] = { std = "ngx_lua" }
files["spec/**/*_spec.lua"] = { std = "max+busted" }
files["spec/nginx/*.lua"] = { std = "max+busted+ngx_lua" }
files["spec/support/**/*.lua"] = { std = "max+busted" }
files["spec/shared/**/*.lua"] = { std = "max+busted" }
files[".ci/**/*.lua"] = { std = "max" }
files[".ci/*.lua"] = { std = "max" }

-- The runner gives scripts these two.
files["examples/**/*.lua"] = { read_globals = { "db", "perigee", "unpack" } }
files["examples/nginx/*.lua"] = {
  std = "ngx_lua", read_globals = { "bigint", "text", "varchar" },
}
files["examples/embed/*.lua"] = {
  globals = { "handle", "on_end", "on_storm", "on_tick", "start" },
  read_globals = { "db", "perigee", "game", "log" },
}
files["bench/**/*.lua"] = { std = "max", read_globals = { "db", "perigee" } }
files["bench/nginx/*.lua"] = { std = "max+ngx_lua" }
files[".luacheckrc"] = { std = "+luacheckrc" }
files[".busted"] = { std = "max" }
