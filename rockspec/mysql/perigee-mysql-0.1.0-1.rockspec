rockspec_format = "3.0"
package = "perigee-mysql"
version = "0.1.0-1"

source = {
  url = "git+https://github.com/perigee-lua/perigee.git",
  tag = "v0.1.0",
}

description = {
  summary = "The MySQL and MariaDB driver of Perigee",
  detailed = [=[
For perigee.open "mysql://…" and "mariadb://…": one module in C around MariaDB
Connector/C. It fits the perigee
of its own version and no other.]=],
  homepage = "https://github.com/perigee-lua/perigee",
  issues_url = "https://github.com/perigee-lua/perigee/issues",
  license = "MIT",
  labels = { "database", "mysql", "mariadb", "sql", "async", "openresty" },
}

supported_platforms = { "linux" }

dependencies = { "lua >= 5.1, < 5.5", "perigee == 0.1.0" }
test_dependencies = { "busted >= 2.1" }

-- See the rock perigee.
external_dependencies = { MARIADB = {} }

build = {
  type = "make",
  makefile = "rockspec/Makefile",
  build_target = "perigee-mysql",
  install_target = "install-perigee-mysql",
  variables = {
    CC = "$(CC)",
    CFLAGS = "$(CFLAGS)",
    LIBFLAG = "$(LIBFLAG)",
    LUA = "$(LUA)",
    MARIADB_INCDIR = "$(MARIADB_INCDIR)",
    MARIADB_LIBDIR = "$(MARIADB_LIBDIR)",
  },
  install_variables = {
    LIBDIR = "$(LIBDIR)",
  },
}

test = { type = "command", script = "rockspec/test.lua" }
