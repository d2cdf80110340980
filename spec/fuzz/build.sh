#!/usr/bin/env bash
# spec/fuzz/build.sh FOLDER: build every spec/fuzz/fuzz_*.c into FOLDER, with
# libFuzzer and the address and undefined behaviour sanitizers (Debian: clang,
# libclang-rt-14-dev). fuzz_filter and fuzz_pattern have Lua in them and all of the
# binding.
set -euo pipefail
out=$(realpath -m "${1:?usage: spec/fuzz/build.sh FOLDER}")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

cc=${CC:-clang}
flags=(-std=c11 -g -O1 -D_GNU_SOURCE '-DPERIGEE_VERSION="fuzz"' -Isrc
  '-fsanitize=fuzzer-no-link,address,undefined' -fno-sanitize-recover=undefined
  -fno-omit-frame-pointer)
read -ra lua_flags <<<"$(pkg-config --cflags lua5.4 jansson)"
read -ra lua_libs <<<"$(pkg-config --libs lua5.4 jansson)"
read -ra libs <<<"$(pkg-config --libs libcrypto) -lpthread -ldl -lm"
flags+=("${lua_flags[@]}")

# compile FOLDER FILE…: objects in FOLDER, as many at a time as there are cores
compile() {
  local folder=$out/$1
  shift
  mkdir -p "$folder"
  # shellcheck disable=SC2016 # the inner shell expands it
  printf '%s\n' "$@" | xargs -P "$(nproc)" -I{} bash -c '
    file=$1 object=$2/${1//\//_}.o
    shift 2
    "$@" -c "$file" -o "$object"' compile {} "$folder" "$cc" "${flags[@]}"
}

# link TARGET FILE…
link() {
  local target=$1
  shift
  "$cc" "${flags[@]}" -fsanitize=fuzzer "spec/fuzz/$target.c" "$@" "${libs[@]}" \
    -o "$out/$target"
}

# What a sandbox starts with, as CMakeLists.txt makes it.
mkdir -p "$out"
(cd lua && lua5.4 ../cmake/embed.lua "$out/prelude.c" bind/prelude.h prg_prelude \
  prg_preludes . perigee/sandbox/*.lua)

compile base src/base/*.c src/sql/*.c src/page/*.c src/wire/*.c
compile bind src/driver/*.c src/pool/*.c src/bind/*.c "$out/prelude.c"
for source in spec/fuzz/fuzz_*.c; do
  target=$(basename "$source" .c)
  if grep -q 'Links src/bind' "$source"; then
    link "$target" "$out"/base/*.o "$out"/bind/*.o "${lua_libs[@]}"
  else
    link "$target" "$out"/base/*.o
  fi
done
