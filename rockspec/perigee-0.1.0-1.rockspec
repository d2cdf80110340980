rockspec_format = "3.0"
package = "perigee"
version = "0.1.0-1"

source = {
  url = "git+https://github.com/perigee-lua/perigee.git",
  tag = "v0.1.0",
}

description = {
  summary = "PostgreSQL, SQLite and MySQL as yielding Lua functions",
  detailed = [=[
Queries, verbs on tables, keyset pages, transactions, a connection pool,
streaming, table definitions and migrations; the same in a plain script, in the
tasks of its own loop, in OpenResty, cqueues, luv and copas. The values are exact,
every wait has a deadline, unknown options are errors.

This rock has the Lua module, the driver for SQLite and, for Lua 5.4, the program
"perigee". Other databases are rocks of their own: perigee-postgres, perigee-mysql.]=],
  homepage = "https://github.com/perigee-lua/perigee",
  issues_url = "https://github.com/perigee-lua/perigee/issues",
  license = "MIT",
  labels = { "database", "sqlite", "postgresql", "mysql", "sql", "async", "openresty" },
}

-- What it needs of epoll and of the dynamic linker is Linux's.
supported_platforms = { "linux" }

dependencies = { "lua >= 5.1, < 5.5" } -- 5.1: LuaJIT 2.1
build_dependencies = { "argparse >= 0.7" } -- the runner carries it in itself
test_dependencies = { "busted >= 2.1" }

-- Where a library is can be said as ever (JANSSON_DIR=…). They have no `header` and
-- no `library` so that rockspec/libraries.lua looks: it knows where distributions
-- have them, and what the package is called.
external_dependencies = { JANSSON = {}, OPENSSL = {}, SQLITE = {} }

build = {
  type = "make",
  makefile = "rockspec/Makefile",
  build_target = "perigee",
  install_target = "install-perigee",
  variables = {
    CC = "$(CC)",
    CFLAGS = "$(CFLAGS)",
    LIBFLAG = "$(LIBFLAG)",
    LUA = "$(LUA)",
    LUA_DIR = "$(LUA_DIR)",
    LUA_INCDIR = "$(LUA_INCDIR)",
    ROCKS_TREE = "$(ROCKS_TREE)",
    JANSSON_INCDIR = "$(JANSSON_INCDIR)",
    JANSSON_LIBDIR = "$(JANSSON_LIBDIR)",
    OPENSSL_INCDIR = "$(OPENSSL_INCDIR)",
    OPENSSL_LIBDIR = "$(OPENSSL_LIBDIR)",
    SQLITE_INCDIR = "$(SQLITE_INCDIR)",
    SQLITE_LIBDIR = "$(SQLITE_LIBDIR)",
  },
  install_variables = {
    PREFIX = "$(PREFIX)",
    LUADIR = "$(LUADIR)",
    LIBDIR = "$(LIBDIR)",
    BINDIR = "$(BINDIR)",
  },
  copy_directories = { "docs" }, -- for `luarocks doc`; docs/meta is for editors
}

test = { type = "command", script = "rockspec/test.lua" }
