# shellcheck shell=bash disable=SC2154
# The other clients that bench/run measures: which there are, what is missing, how
# they are installed. bench/run sets $here, $peers (packages of npm), $luas and $work.

python=/usr/bin/python3 # Debian's: that is where its packages are
peers_debian=(python3-asyncpg python3-uvloop python3-psycopg python3-psycopg-pool
  python3-aiosqlite lua-sql-postgres lua-sql-sqlite3 lua-dbi-postgresql
  lua-dbi-sqlite3 python3-pymysql python3-aiomysql lua-sql-mysql lua-dbi-mysql)
peers_npm=(postgres pg better-sqlite3 mysql2)

has_python() { "$python" -c "import $1" 2>/dev/null; }
has_lua() { lua5.4 -e "require '$1'" 2>/dev/null; }
has_npm() { [[ -f $peers/node_modules/$1/package.json ]] && command -v node >/dev/null; }

# better-sqlite3 is compiled here; its ready-made binaries are not downloaded.
install_peers() {
  local as_root=() missing=() name
  ((EUID == 0)) || as_root=(sudo)
  for name in "${peers_debian[@]}"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null) == installed ]] ||
      missing+=("$name")
  done
  if ((${#missing[@]} > 0)); then
    printf 'bench: apt-get install %s\n' "${missing[*]}"
    "${as_root[@]}" apt-get install -y --no-install-recommends "${missing[@]}"
  fi
  printf 'bench: npm install %s, in %s\n' "${peers_npm[*]}" "$peers"
  mkdir -p "$peers"
  [[ -f $peers/package.json ]] || echo '{ "private": true }' >"$peers/package.json"
  npm install --prefix "$peers" --no-audit --no-fund --ignore-scripts "${peers_npm[@]}"
  npm_config_build_from_source=true npm rebuild --prefix "$peers" better-sqlite3
}

# ---- what bench/run is told --------------------------------------------------

missing_line() { # NAME HOW-TO-INSTALL COMMAND…: nothing when the command succeeds
  "${@:3}" && return
  printf 'missing = "%s is not installed (%s)", ' "$1" "$2"
  printf 'bench: %s is not installed, it is not compared (%s)\n' "$1" "$2" >&2
}

peer() { # NAME MISSING POSTGRES SQLITE MYSQL
  printf '    ["%s"] = { %scommand = { postgres = "%s", sqlite = "%s", mysql = "%s" } },\n' \
    "$1" "$2" "$3" "${4-}" "${5-}"
}

list_peers() {
  local py="PYTHONDONTWRITEBYTECODE=1 $python" lua="LUA_PATH='$here/?.lua;;'"
  local node="PERIGEE_BENCH_PEERS='$peers' node" npm='bench/run --install-peers'
  local asyncpg aiosqlite
  lua+=" LUA_CPATH='$work/lua5.4/?.so;;' lua5.4"
  [[ -f $work/lua5.4/clock.so ]] || compile_clock "$work/lua5.4" lua5.4
  asyncpg=$(missing_line asyncpg 'apt-get install python3-asyncpg' has_python asyncpg)
  aiosqlite=$(missing_line aiosqlite 'apt-get install python3-aiosqlite' \
    has_python aiosqlite)
  has_python uvloop || printf 'bench: no uvloop, the peers run on the loop of %s\n' \
    'asyncio: apt-get install python3-uvloop' >&2
  printf '  peers = {\n'
  peer asyncpg "$asyncpg" "$py bench/side_asyncpg.py" ''
  peer 'asyncpg crud' "$asyncpg" "$py bench/peer_asyncpg.py" ''
  peer aiosqlite "$aiosqlite" '' "$py bench/side_aiosqlite.py"
  peer 'aiosqlite crud' "$aiosqlite" '' "$py bench/peer_aiosqlite.py"
  peer psycopg "$(missing_line psycopg \
    'apt-get install python3-psycopg python3-psycopg-pool' has_python psycopg_pool)" \
    "$py bench/side_psycopg.py" ''
  peer postgres.js "$(missing_line postgres.js "$npm" has_npm postgres)" \
    "$node bench/side_postgresjs.mjs" ''
  peer node-postgres "$(missing_line node-postgres "$npm" has_npm pg)" \
    "$node bench/side_pg.mjs" ''
  peer better-sqlite3 "$(missing_line better-sqlite3 "$npm" has_better_sqlite3)" '' \
    "$node bench/side_better_sqlite3.mjs"
  peer LuaSQL "$(missing_line LuaSQL \
    'apt-get install lua-sql-postgres lua-sql-sqlite3 lua-sql-mysql' has_luasql)" \
    "$lua bench/side_luasql.lua" "$lua bench/side_luasql.lua" \
    "$lua bench/side_mysql_blocking.lua luasql"
  peer LuaDBI "$(missing_line LuaDBI \
    'apt-get install lua-dbi-postgresql lua-dbi-sqlite3 lua-dbi-mysql' has_luadbi)" \
    "$lua bench/side_luadbi.lua" "$lua bench/side_luadbi.lua" \
    "MYSQL_UNIX_PORT='${PERIGEE_TEST_MYSOCKET-}' $lua bench/side_mysql_blocking.lua luadbi"
  peer PyMySQL "$(missing_line PyMySQL 'apt-get install python3-pymysql' \
    has_python pymysql)" '' '' "$py bench/side_pymysql.py"
  peer aiomysql "$(missing_line aiomysql 'apt-get install python3-aiomysql' \
    has_python aiomysql)" '' '' "$py bench/side_aiomysql.py"
  peer mysql2 "$(missing_line mysql2 "$npm" has_npm mysql2)" '' '' \
    "$node bench/side_mysql2.mjs"
  printf '  },\n'
}

has_better_sqlite3() {
  has_npm better-sqlite3 && [[ -n $(find "$peers/node_modules/better-sqlite3/build" \
    -name better_sqlite3.node 2>/dev/null) ]]
}
has_luasql() {
  has_lua luasql.postgres && has_lua luasql.sqlite3 && has_lua luasql.mysql
}
has_luadbi() { has_lua dbd.postgresql && has_lua dbd.sqlite3 && has_lua dbd.mysql; }

# ---- facts -------------------------------------------------------------------

debian_version() {
  dpkg-query -W -f '${Version}' "$1" 2>/dev/null || printf 'not installed'
}
npm_version() {
  if has_npm "$1"; then
    node -p "require('$peers/node_modules/$1/package.json').version"
  else
    printf 'not installed'
  fi
}
python_version() {
  "$python" -c "import $1; print($1.__version__)" 2>/dev/null || printf 'not installed'
}
first_of() { "$@" 2>&1 | head -n 1; }

# Lines of "what TAB value".
list_facts() {
  fact() { printf '%s\t%s\n' "$1" "$2"; }
  fact CPU "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)"
  fact cores "$(nproc)"
  fact kernel "$(uname -sr)"
  fact system "$(sed -n 's/^PRETTY_NAME="\(.*\)"/\1/p' /etc/os-release)"
  fact load "$(cut -d ' ' -f 1-3 /proc/loadavg), when the run began"
  fact PostgreSQL "$(first_of "$(dirname "$PERIGEE_TEST_PGPSQL")/postgres" --version |
    sed 's/[^0-9]*\([0-9.]*\).*/\1/'), fsync off, shared_buffers 256 MB, jit off"
  fact libpq "$(pkg-config --modversion libpq)"
  fact SQLite "$(pkg-config --modversion sqlite3)"
  if [[ -n ${PERIGEE_TEST_MYSQL-} ]]; then
    fact MariaDB "$(sql_mysql -N -e 'SELECT version()'), nothing flushed at a commit, $(
      )innodb_buffer_pool_size 256 MB"
  fi
  fact libmariadb "$(pkg-config --modversion libmariadb 2>/dev/null ||
    printf 'not installed')"
  fact 'Lua 5.4' "$(first_of lua5.4 -v | cut -d ' ' -f 2)"
  fact LuaJIT "$(first_of luajit -v | cut -d ' ' -f 2)"
  fact 'C compiler' "$(first_of cc --version)"
  fact Python "$("$python" -V | cut -d ' ' -f 2), uvloop $(python_version uvloop)"
  fact asyncpg "$(python_version asyncpg)"
  fact psycopg "$(python_version psycopg), implementation: $("$python" -c \
    'import psycopg; print(psycopg.pq.__impl__)' 2>/dev/null || true), psycopg_pool $(
    debian_version python3-psycopg-pool)"
  fact aiosqlite "$(debian_version python3-aiosqlite)"
  fact Node.js "$(node --version 2>/dev/null || printf 'not installed')"
  fact postgres.js "$(npm_version postgres)"
  fact node-postgres "$(npm_version pg)"
  fact better-sqlite3 "$(npm_version better-sqlite3), with the SQLite that it contains"
  fact PyMySQL "$(debian_version python3-pymysql)"
  fact aiomysql "$(debian_version python3-aiomysql)"
  fact mysql2 "$(npm_version mysql2)"
  fact LuaSQL "$(debian_version lua-sql-postgres), on Lua 5.4"
  fact LuaDBI "$(debian_version lua-dbi-postgresql), on Lua 5.4"
}
