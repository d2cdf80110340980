-- .ci/checksrc.lua [ROOT]: functions that are not to be called, marks of
-- unfinished work, tabs and trailing blanks, and headers that do not compile
-- alone.
--
-- A line with `/* allowed: NAME */` may call NAME; the mark needs a reason next
-- to it.

local here = arg[0]:match "^(.*)/" or "."
local tree = dofile(here .. "/tree.lua")
local root = arg[1] or here .. "/.."

local function set(words)
  local out = {}
  for word in words:gmatch "%S+" do out[word] = true end
  return out
end

-- Never, anywhere.
local banned = set [[strcpy strcat sprintf vsprintf strtok atoi atol atoll atof
  gets alloca tmpnam system popen]]
-- base/mem.c's own.
local memory = set [[malloc calloc realloc reallocarray free strdup strndup
  asprintf vasprintf getline aligned_alloc posix_memalign]]
-- A library neither ends the process nor talks to the terminal; the program in
-- src/host may, the library beside it may not.
local program = set [[exit _exit _Exit abort quick_exit printf vprintf fprintf
  vfprintf puts fputs putchar perror err errx warn warnx signal]]

local runner = set [[src/host/main.c src/host/runner.c src/host/line.c
  src/host/signal.c]]

local bad = tree.complaints()

local function may_call(file, name)
  if banned[name] then return false end
  if memory[name] then return file == "src/base/mem.c" end
  if program[name] then return runner[file] == true end
  return true
end

-- Calls are a name followed by "(", but for members (`ops->free(r)`).
local function check_calls(file, text)
  local original = {}
  for n, line in tree.lines(text) do original[n] = line end
  for n, line in tree.lines(tree.strip_c(text)) do
    local call = "([^%w_])([%a_][%w_]*)%f[%s(]%s*%("
    for before, name in (" " .. line):gmatch(call) do
      if before ~= "." and before ~= ">" and not may_call(file, name)
        and not original[n]:find("allowed: " .. name, 1, true)
      then
        bad:add(file, n, "%s() is not to be called here", name)
      end
    end
  end
end

-- Spelt so that this file does not find itself.
local unfinished = { "TO" .. "DO", "FIX" .. "ME", "XX" .. "X" }

local function check_text(file, text)
  for n, line in tree.lines(text) do
    for _, word in ipairs(unfinished) do
      if line:find("%f[%w]" .. word .. "%f[%W]") then
        bad:add(file, n, "unfinished: %s", word)
      end
    end
    if line:find "[ \t]+$" and not file:find "%.md$" then
      bad:add(file, n, "blanks at the end of the line")
    end
    if line:find "\t" then bad:add(file, n, "a tab") end
  end
end

local function package_flags()
  local pipe = io.popen("pkg-config --cflags lua5.4 libpq libmariadb sqlite3 jansson "
    .. "2>/dev/null")
  local flags = pipe:read "*l"
  pipe:close()
  return flags or ""
end

-- Four at a time; what the compiler says is the complaint.
local function check_headers()
  local headers = tree.files(root, "src", "*.h")
  if #headers == 0 then return end
  local list = os.tmpname()
  local f = assert(io.open(list, "w"))
  for _, file in ipairs(headers) do f:write(file, "\n") end
  f:close()
  local pipe = assert(io.popen((
    "cd '%s' && xargs -a '%s' -P 4 -I HEADER sh -c 'printf \"#include"
    .. " \\\"%%s\\\"\\n\" \"$(echo HEADER | cut -c5-)\" | gcc -std=c11"
    .. " -D_GNU_SOURCE -Isrc -Wall -Wextra -Werror %s -fsyntax-only -x c -'"
    .. " 2>&1"):format(root, list, package_flags())))
  for line in pipe:lines() do
    local file, n, text = line:match "^(src/[^:]+):(%d+):[%d:]* error: (.*)"
    if file then bad:add(file, tonumber(n), "alone: %s", text) end
  end
  if not pipe:close() and #bad == 0 then
    bad:add("src", 1, "a header does not compile alone")
  end
  os.remove(list)
end

for _, pattern in ipairs { "*.c", "*.h" } do
  for _, file in ipairs(tree.files(root, "src", pattern)) do
    check_calls(file, tree.read(root .. "/" .. file))
  end
end
for _, pattern in ipairs { "*.c", "*.h", "*.lua", "*.sh", "*.md", "*.txt" } do
  local dirs = ". -not -path './build*' -not -path './.git/*'"
  for _, file in ipairs(tree.files(root, dirs, pattern)) do
    check_text((file:gsub("^%./", "")), tree.read(root .. "/" .. file))
  end
end
check_headers()
os.exit(bad:report "checksrc")
