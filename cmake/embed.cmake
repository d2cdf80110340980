# Writes a C file that holds Lua modules as byte arrays.
#
#   cmake -DROOT=<dir> -DOUTPUT=<file> -DFILES=<a;b;...> [-DEXTRA=<path>]
#     [-DHEADER=<header> -DSTRUCT=<name> -DARRAY=<name>] -P embed.cmake
#
# FILES are relative to ROOT: perigee/init.lua is the module "perigee",
# perigee/schema/diff.lua is "perigee.schema.diff". EXTRA is a module of its own,
# from anywhere. HEADER declares the table, ARRAY, whose elements are of struct STRUCT;
# it ends with a NULL name. Bytes, not string literals: C compilers limit the length of
# those.

if(NOT DEFINED HEADER)
  set(HEADER host/embed.h)
  set(STRUCT prg_embedded)
  set(ARRAY prg_embedded_modules)
endif()

set(arrays "")
set(table "")
set(index 0)
foreach(file IN LISTS FILES EXTRA)
  cmake_path(ABSOLUTE_PATH file BASE_DIRECTORY "${ROOT}" OUTPUT_VARIABLE path)
  if(IS_ABSOLUTE "${file}")
    cmake_path(GET file FILENAME file)
  endif()
  string(REGEX REPLACE "\\.lua$" "" name "${file}")
  string(REGEX REPLACE "/init$" "" name "${name}")
  string(REPLACE "/" "." name "${name}")
  file(READ "${path}" hex HEX)
  string(LENGTH "${hex}" digits)
  math(EXPR length "${digits} / 2")
  # Sixteen bytes to a line, each as 0x.., (CMake's regexes have no {n}).
  set(byte "[0-9a-f][0-9a-f]")
  set(four "${byte}${byte}${byte}${byte}")
  string(REGEX REPLACE "(${four}${four}${four}${four})" "\\1\n" hex "${hex}")
  string(REGEX REPLACE "(${byte})" "0x\\1," hex "${hex}")
  # An empty file still needs an element.
  string(APPEND arrays "static const unsigned char code_${index}[] = {\n"
    "${hex}0x00};\n\n")
  string(APPEND table "  {\"${name}\", \"${file}\", code_${index}, ${length}},\n")
  math(EXPR index "${index} + 1")
endforeach()

set(text "/* Made from lua/ by cmake/embed.cmake. */
#include \"${HEADER}\"

${arrays}const struct ${STRUCT} ${ARRAY}[] = {
${table}  {NULL, NULL, NULL, 0}};
")

file(WRITE "${OUTPUT}" "${text}")
