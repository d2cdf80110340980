rockspec_format = "3.0"
package = "perigee-postgres"
version = "0.1.0-1"

source = {
  url = "git+https://github.com/perigee-lua/perigee.git",
  tag = "v0.1.0",
}

description = {
  summary = "The PostgreSQL driver of Perigee",
  detailed = [=[
For perigee.open "postgresql://…": one module in C around libpq. It fits the perigee
of its own version and no other.]=],
  homepage = "https://github.com/perigee-lua/perigee",
  issues_url = "https://github.com/perigee-lua/perigee/issues",
  license = "MIT",
  labels = { "database", "postgresql", "sql", "async", "openresty" },
}

supported_platforms = { "linux" }

dependencies = { "lua >= 5.1, < 5.5", "perigee == 0.1.0" }
test_dependencies = { "busted >= 2.1" }

-- See the rock perigee.
external_dependencies = { PQ = {} }

build = {
  type = "make",
  makefile = "rockspec/Makefile",
  build_target = "perigee-postgres",
  install_target = "install-perigee-postgres",
  variables = {
    CC = "$(CC)",
    CFLAGS = "$(CFLAGS)",
    LIBFLAG = "$(LIBFLAG)",
    LUA = "$(LUA)",
    PQ_INCDIR = "$(PQ_INCDIR)",
    PQ_LIBDIR = "$(PQ_LIBDIR)",
  },
  install_variables = {
    LIBDIR = "$(LIBDIR)",
  },
}

test = { type = "command", script = "rockspec/test.lua" }
