# shellcheck shell=bash disable=SC2154
# Compiles the C programs of bench/; for bench/run and bench/instructions, which set
# $here.

compile() { # OUTPUT SOURCE PACKAGE [FLAG…]
  local cflags
  read -ra cflags < <(pkg-config --cflags "$3")
  cc -std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra "${cflags[@]}" -o "$1" "$here/$2" \
    "${@:4}"
}

compile_program() { # FOLDER NAME PACKAGE
  local libs
  read -ra libs < <(pkg-config --libs "$3")
  compile "$1/$2" "$2.c" "$3" "${libs[@]}"
}

compile_clock() { # FOLDER LUA
  mkdir -p "$1"
  compile "$1/clock.so" clock.c "$2" -shared -fPIC
}
