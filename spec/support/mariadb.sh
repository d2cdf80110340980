#!/bin/bash
# MariaDB of our own for the tests; servers.sh calls it.
#
#   mariadb.sh start DIR                 creates and starts one; prints the
#                                        environment of the specs (eval it)
#   mariadb.sh env DIR                   prints it again
#   mariadb.sh restart DIR
#   mariadb.sh halt DIR                  stops the server, keeps the data
#   mariadb.sh kill DIR                  the same with SIGKILL: a crash
#   mariadb.sh start-again DIR
#   mariadb.sh stop DIR                  stops it and removes DIR; may be called
#                                        twice
#
# Inside DIR: data/, tmp/, s (the socket), log.err, ca.crt, nosync.so. As root the
# server runs as user mysql, postgres or nobody; others run it as themselves.

set -euo pipefail

die() {
  echo "mariadb.sh: $*" >&2
  exit 1
}

PATH=$PATH:/usr/sbin:/usr/local/sbin

# mariadbd refuses to run as root.
server_user() {
  local name
  if [ "$(id -u)" -ne 0 ]; then
    id -un
    return
  fi
  for name in mysql postgres nobody; do
    if id "$name" >/dev/null 2>&1; then
      echo "$name"
      return
    fi
  done
  die "running as root, and there is no user mysql, postgres or nobody"
}

# Runs a command as the server's user, away from folders it may not enter.
as_user() {
  if [ "$(id -u)" -eq 0 ]; then
    (cd / && runuser -u "$user" -- "$@")
  else
    "$@"
  fi
}

free_port() {
  local port try
  for try in $(seq 1 100); do
    port=$((20000 + (RANDOM + $$ + try) % 12000))
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      echo "$port"
      return
    fi
  done
  die "no free port"
}

make_certificate() {
  openssl req -new -x509 -days 3650 -nodes -newkey rsa:2048 \
    -subj "/CN=localhost" -addext "subjectAltName=DNS:localhost,IP:127.0.0.1" \
    -keyout "$dir/server.key" -out "$dir/ca.crt" 2>/dev/null || return 1
  chmod 600 "$dir/server.key"
  chmod 644 "$dir/ca.crt"
  if [ "$(id -u)" -eq 0 ]; then chown "$user" "$dir/server.key"; fi
}

# A statement that changes definitions waits for the disk a dozen times, whatever the
# settings are; what a crash of the machine could lose is of no interest here.
make_nosync() {
  local compiler
  compiler=$(command -v cc || command -v gcc || command -v clang) || return 0
  printf '%s\n' 'int fsync(int fd) { (void)fd; return 0; }' \
    'int fdatasync(int fd) { (void)fd; return 0; }' |
    "$compiler" -shared -fPIC -x c -o "$dir/nosync.so" - 2>/dev/null || true
}

# A program of MariaDB, as the server's user.
as_server() {
  local preload=()
  if [ -f "$dir/nosync.so" ]; then preload=("LD_PRELOAD=$dir/nosync.so"); fi
  as_user env "${preload[@]}" "$@"
}

# Nothing of what a crash could lose is waited for.
write_config() {
  {
    echo "[mariadbd]"
    echo "datadir=$data"
    echo "socket=$dir/s"
    echo "pid-file=$dir/pid"
    echo "log-error=$dir/log.err"
    echo "tmpdir=$dir/tmp"
    echo "bind-address=127.0.0.1"
    echo "port=$port"
    echo "skip-name-resolve"
    echo "max-connections=200"
    echo "character-set-server=utf8mb4"
    echo "innodb-flush-log-at-trx-commit=0"
    echo "innodb-doublewrite=0"
    echo "innodb-buffer-pool-size=64M"
    echo "innodb-log-file-size=32M"
    echo "innodb-use-native-aio=0"
    echo "performance-schema=off"
    if [ -f "$dir/server.key" ]; then
      echo "ssl-cert=$dir/ca.crt"
      echo "ssl-key=$dir/server.key"
    fi
  } >"$dir/my.cnf"
}

make_accounts() {
  echo "create database perigee character set utf8mb4 collate utf8mb4_bin;"
  echo "create user perigee@'%' identified by 'perigee';"
  echo "create user perigee@localhost identified by 'perigee';"
  echo "grant all on *.* to perigee@'%' with grant option;"
  echo "grant all on *.* to perigee@localhost with grant option;"
}

create() {
  command -v mariadbd >/dev/null && command -v mariadb-install-db >/dev/null ||
    die "no MariaDB server programs; install the package mariadb-server-core"
  user=$(server_user)
  port=$(free_port)
  mkdir -p "$dir"
  if [ -e "$data" ] && [ ! -f "$dir/.ours" ]; then
    die "$data exists and is not ours"
  fi
  : >"$dir/.ours"
  rm -rf "$data" # of a start that was killed
  mkdir -p "$dir/tmp"
  chmod 755 "$dir"
  if [ "$(id -u)" -eq 0 ]; then chown "$user" "$dir" "$dir/tmp"; fi
  if command -v openssl >/dev/null; then make_certificate || true; fi
  write_config
  make_nosync
  # In a temporary folder of its own: a server that starts empties its.
  as_server mariadb-install-db --no-defaults --datadir="$data" --tmpdir="$dir/tmp" \
    --auth-root-authentication-method=normal --skip-test-db \
    --skip-name-resolve >"$dir/install.log" 2>&1 ||
    die "mariadb-install-db failed: $(tail -n 20 "$dir/install.log")"
  printf 'user=%q\nport=%q\n' "$user" "$port" >"$dir/settings"
}

load_settings() {
  [ -f "$dir/settings" ] || die "$dir holds no server of ours"
  # shellcheck source=/dev/null
  . "$dir/settings"
}

# Neither gone nor a zombie, which a container's init may never collect.
is_alive() {
  local state
  state=$(ps -o stat= -p "$1" 2>/dev/null) || return 1
  case $state in Z*) return 1 ;; esac
}

is_running() {
  [ -f "$dir/pid" ] && is_alive "$(cat "$dir/pid" 2>/dev/null || echo 1)"
}

client() {
  as_user mariadb --no-defaults --socket="$dir/s" -u root "$@"
}

start_server() {
  local try
  if is_running; then return; fi
  as_server mariadbd --defaults-file="$dir/my.cnf" </dev/null >/dev/null 2>&1 3>&- &
  disown
  for try in $(seq 1 300); do
    if client -e 'select 1' >/dev/null 2>&1; then return; fi
    sleep 0.1
  done
  die "the server does not start: $(tail -n 5 "$dir/log.err" 2>/dev/null)"
}

make_database() {
  if [ -f "$dir/.made" ]; then return; fi
  make_accounts | client
  : >"$dir/.made"
}

print_env() {
  local here
  here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
  tell() { printf 'export %s=%q\n' "$1" "$2"; }
  tell PERIGEE_TEST_MYSQL \
    "mariadb://perigee:perigee@/perigee?socket=$(printf '%s' "$dir/s" |
      sed -e 's/%/%25/g' -e 's/ /%20/g' -e 's/&/%26/g' -e 's/#/%23/g' \
        -e 's/+/%2B/g')"
  tell PERIGEE_TEST_MYSQL_TCP "mysql://perigee:perigee@127.0.0.1:$port/perigee"
  tell PERIGEE_TEST_MYSOCKET "$dir/s"
  tell PERIGEE_TEST_MYPORT "$port"
  tell PERIGEE_TEST_MYDIR "$dir"
  tell PERIGEE_TEST_MYCTL "$here/mariadb.sh"
  if [ -f "$dir/server.key" ]; then tell PERIGEE_TEST_MYCA "$dir/ca.crt"; fi
}

wait_for_end() {
  local try
  for try in $(seq 1 200); do
    is_alive "$1" || break
    [ "$try" -lt 200 ] || die "process $1 of the server does not end"
    sleep 0.05
  done
  rm -f "$dir/pid"
}

signal() {
  local pid
  is_running || return 0
  pid=$(cat "$dir/pid")
  kill "-$1" "$pid"
  wait_for_end "$pid"
}

start() {
  if [ ! -f "$dir/settings" ]; then
    trap 'rm -rf "$data"' EXIT
    create
    trap - EXIT
  fi
  load_settings
  start_server
  make_database
  print_env
}

# Only a folder that we made is removed.
stop() {
  if [ ! -f "$dir/.ours" ]; then return; fi
  if [ -f "$dir/settings" ]; then
    load_settings
    signal KILL || true
  fi
  rm -rf "$dir"
}

[ $# -ge 2 ] || die "usage: mariadb.sh COMMAND DIR (see its head)"
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
  env) print_env ;;
  halt) signal TERM ;;
  restart)
    signal TERM
    start_server
    ;;
  kill) signal KILL ;;
  start-again) start_server ;;
  esac
  ;;
*) die "unknown command $command" ;;
esac
