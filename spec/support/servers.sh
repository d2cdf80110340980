#!/bin/bash
# Servers of our own for the tests: PostgreSQL and, where its programs are, MariaDB.
#
#   servers.sh start DIR                    creates and starts both; prints the
#                                           environment of the specs (eval it)
#   servers.sh env DIR                      prints it again
#   servers.sh stop DIR                     stops both and removes DIR; may be
#                                           called twice
# PostgreSQL alone:
#   servers.sh restart DIR [fast|immediate]
#   servers.sh halt DIR [fast|immediate]    stops the server, keeps the data
#   servers.sh kill DIR                     the same with SIGKILL: a crash
#   servers.sh start-again DIR
#
# Inside DIR: data/ (the cluster), .s.PGSQL.PORT (the socket), log, ca.crt, and
# mariadb/, the folder of mariadb.sh, which does the same with MariaDB alone. As root
# the server runs as user postgres (or nobody); others run it as themselves.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

die() {
  echo "servers.sh: $*" >&2
  exit 1
}

# The folder of initdb and postgres: PATH (links followed: a folder of links may
# lack psql), else the newest Debian version.
find_bin() {
  local found candidate
  if found=$(command -v initdb); then
    found=$(dirname "$(readlink -f "$found")")
    if [ -x "$found/postgres" ] && [ -x "$found/psql" ]; then
      echo "$found"
      return
    fi
  fi
  for candidate in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -Vr) \
    /usr/pgsql-*/bin /usr/local/pgsql/bin; do
    if [ -x "$candidate/initdb" ] && [ -x "$candidate/psql" ]; then
      echo "$candidate"
      return
    fi
  done
  die "no PostgreSQL server programs (initdb, postgres) in PATH or" \
    "/usr/lib/postgresql/*/bin; install the package postgresql"
}

# postgres refuses to run as root.
server_user() {
  local name
  if [ "$(id -u)" -ne 0 ]; then
    id -un
    return
  fi
  for name in postgres nobody; do
    if id "$name" >/dev/null 2>&1; then
      echo "$name"
      return
    fi
  done
  die "running as root, and there is no user postgres or nobody"
}

# Runs a command as the server's user, away from folders it may not enter.
as_user() {
  if [ "$(id -u)" -eq 0 ]; then
    (cd / && runuser -u "$user" -- "$@")
  else
    "$@"
  fi
}

is_port_free() {
  ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

free_port() {
  local port try
  for try in $(seq 1 100); do
    port=$((20000 + (RANDOM + $$ + try) % 12000))
    if is_port_free "$port"; then
      echo "$port"
      return
    fi
  done
  die "no free port"
}

make_certificate() {
  openssl req -new -x509 -days 3650 -nodes -newkey rsa:2048 \
    -subj "/CN=localhost" -addext "subjectAltName=DNS:localhost,IP:127.0.0.1" \
    -keyout "$data/server.key" -out "$data/server.crt" 2>/dev/null ||
    return 1
  chmod 600 "$data/server.key"
  cp "$data/server.crt" "$dir/ca.crt"
  chmod 644 "$dir/ca.crt"
  if [ "$(id -u)" -eq 0 ]; then
    chown "$user" "$data/server.key" "$data/server.crt"
  fi
}

write_config() {
  {
    echo "listen_addresses = '127.0.0.1'"
    echo "port = $port"
    echo "unix_socket_directories = '$dir'"
    echo "max_connections = 100"
    echo "fsync = off"
    echo "synchronous_commit = off"
    echo "full_page_writes = off"
    echo "password_encryption = 'scram-sha-256'"
    echo "max_prepared_transactions = 10"
    echo "lc_messages = 'C'"
    if [ "$1" = yes ]; then echo "ssl = on"; fi
  } >>"$data/postgresql.conf"
  {
    echo "local all all trust"
    echo "host  all all 127.0.0.1/32 scram-sha-256"
  } >"$data/pg_hba.conf"
}

create() {
  local tls=no
  bin=$(find_bin)
  user=$(server_user)
  port=$(free_port)
  mkdir -p "$dir"
  if [ -e "$data" ] && [ ! -f "$dir/.ours" ]; then
    die "$data exists and is not ours"
  fi
  : >"$dir/.ours"
  rm -rf "$data" # of a start that was killed
  chmod 755 "$dir"
  if [ "$(id -u)" -eq 0 ]; then chown "$user" "$dir"; fi
  printf '%s\n' perigee >"$dir/password"
  if [ "$(id -u)" -eq 0 ]; then chown "$user" "$dir/password"; fi
  as_user test -w "$dir" || die "user $user cannot write to $dir"
  as_user "$bin/initdb" -D "$data" -U postgres -A trust --no-sync \
    --no-instructions --encoding=UTF8 --locale=C \
    --pwfile="$dir/password" >"$dir/initdb.log" 2>&1 ||
    die "initdb failed: $(cat "$dir/initdb.log")"
  if command -v openssl >/dev/null && make_certificate; then tls=yes; fi
  write_config "$tls"
  {
    printf 'bin=%q\nuser=%q\nport=%q\ntls=%q\n' "$bin" "$user" "$port" "$tls"
  } >"$dir/settings"
}

pg_ctl() {
  as_user "$bin/pg_ctl" -D "$data" -s -w -t 30 -l "$dir/log" "$@"
}

is_running() {
  [ -f "$data/postmaster.pid" ] && as_user "$bin/pg_ctl" -D "$data" status \
    >/dev/null 2>&1
}

load_settings() {
  [ -f "$dir/settings" ] || die "$dir holds no server of ours"
  # shellcheck source=/dev/null
  . "$dir/settings"
}

# After a crash the old server's children may take a moment to go.
start_server() {
  local try
  if is_running; then return; fi
  for try in 1 2 3 4 5; do
    if pg_ctl start >/dev/null 2>&1; then return; fi
    sleep "0.$try"
  done
  die "the server does not start: $(tail -n 5 "$dir/log" 2>/dev/null)"
}

has_database() {
  as_user "$bin/psql" -X -h "$dir" -p "$port" -U postgres -Atqc \
    "select 1 from pg_database where datname = 'perigee'" postgres
}

make_database() {
  if [ "$(has_database)" = 1 ]; then return; fi
  as_user "$bin/psql" -X -h "$dir" -p "$port" -U postgres -q \
    -c 'create database perigee' postgres
}

# A path as part of a URL's query.
url_path() {
  printf '%s' "$1" | sed -e 's/%/%25/g' -e 's/ /%20/g' -e 's/&/%26/g' \
    -e 's/#/%23/g' -e 's/+/%2B/g' -e 's/?/%3F/g'
}

print_env() {
  tell() { printf 'export %s=%q\n' "$1" "$2"; }
  tell PERIGEE_TEST_POSTGRES \
    "postgresql://postgres@/perigee?host=$(url_path "$dir")&port=$port"
  tell PERIGEE_TEST_POSTGRES_TCP \
    "postgresql://postgres:perigee@127.0.0.1:$port/perigee"
  tell PERIGEE_TEST_PGSOCKET "$dir/.s.PGSQL.$port"
  tell PERIGEE_TEST_PGPORT "$port"
  tell PERIGEE_TEST_PGDATA "$data"
  tell PERIGEE_TEST_PGDIR "$dir"
  tell PERIGEE_TEST_PGCTL "$here/servers.sh"
  tell PERIGEE_TEST_PGPSQL "$bin/psql"
  if [ "$tls" = yes ]; then tell PERIGEE_TEST_CA "$dir/ca.crt"; fi
}

# MariaDB is left out, which the specs then tell, only where it is not installed.
mariadb() {
  case $1 in
  start) [ -n "$(PATH=$PATH:/usr/sbin:/usr/local/sbin command -v mariadbd)" ] || return 0 ;;
  env) [ -f "$dir/mariadb/settings" ] || return 0 ;;
  esac
  "$BASH" "$here/mariadb.sh" "$1" "$dir/mariadb"
}

start() {
  if [ ! -f "$dir/settings" ]; then
    trap 'rm -rf "$data" "$dir/password" "$dir/initdb.log"' EXIT
    create
    trap - EXIT
  fi
  load_settings
  start_server
  make_database
  print_env
  mariadb start
}

halt() {
  if is_running; then pg_ctl stop -m "${1:-fast}"; fi
}

# Neither gone nor a zombie, which a container's init may never collect.
is_alive() {
  local state
  state=$(ps -o stat= -p "$1" 2>/dev/null) || return 1
  case $state in Z*) return 1 ;; esac
}

# Kills the server and waits until its children have noticed. The lock files are
# removed because a zombie's process number looks alive to the next server.
crash() {
  local main pid try
  is_running || return 0
  main=$(head -n 1 "$data/postmaster.pid")
  local family=("$main")
  mapfile -t -O 1 family < <(ps -o pid= --ppid "$main" | tr -d ' ')
  kill -KILL "$main"
  for pid in "${family[@]}"; do
    for try in $(seq 1 100); do
      is_alive "$pid" || break
      [ "$try" -lt 100 ] || die "process $pid of the server does not end"
      sleep 0.05
    done
  done
  rm -f "$data/postmaster.pid" "$dir/.s.PGSQL.$port.lock"
}

# Only a folder that we made is removed.
stop() {
  if [ ! -f "$dir/.ours" ]; then return; fi
  if [ -f "$dir/settings" ]; then
    load_settings
    halt immediate || true
    mariadb stop || true
  fi
  rm -rf "$dir"
}

[ $# -ge 2 ] || die "usage: servers.sh COMMAND DIR (see its head)"
command=$1
dir=$2
case $dir in /*) ;; *) dir=$PWD/$dir ;; esac
data=$dir/data

case $command in
start) start ;;
stop) stop ;;
env | restart | halt | kill | start-again)
  load_settings
  case $command in
  env)
    print_env
    mariadb env
    ;;
  halt) halt "${3:-fast}" ;;
  restart)
    halt "${3:-fast}"
    start_server
    ;;
  kill) crash ;;
  start-again) start_server ;;
  esac
  ;;
*) die "unknown command $command" ;;
esac
