/* perigee.h: limits, what scripts may have, and scripts that go wrong. */
#include "embed_bed.h"

#define MIB ((size_t)1 << 20)

static perigee *open_limited(void) {
  perigee_options o;
  perigee_options_init(&o);
  o.memory = 16 * MIB;
  o.instructions = 200000;
  perigee *rt = bed_open(&o);
  GOOD(perigee_open(rt, "db", "sqlite::memory:", NULL, &err));
  CHECK(bed_integer(rt, "db:script 'create table t(a integer)' return 1") == 1);
  return rt;
}

/* Whatever a script does to go on, it ends, and the runtime is as before. */
static void test_runaway(void) {
  static const char *const texts[] = {
      "while true do end",
      "while true do pcall(function() while true do end end) end",
      "xpcall(function() while true do end end,\n"
      "  function() while true do end end)",
      "local co = coroutine.wrap(function() while true do end end)\n"
      "while true do pcall(co) end",
      "coroutine.wrap(function()\n"
      "  local x <close> = setmetatable({}, {\n"
      "    __close = function() while true do end end })\n"
      "  while true do end\n"
      "end)()",
      "local co = coroutine.create(function() while true do end end)\n"
      "coroutine.resume(co) coroutine.close(co) while true do end",
      "return tostring(setmetatable({}, {\n"
      "  __tostring = function() while true do end end }))",
      "error(setmetatable({}, {__tostring = function() while true do end "
      "end}))",
      "table.sort({ 3, 2, 1 }, function() while true do end end)",
      "perigee.wrap(function() while true do end end)()",
      "db:transaction(function(tx)\n"
      "  tx:insert('t', { a = 1 })\n"
      "  while true do end\n"
      "end)",
      "while true do\n"
      "  pcall(db.transaction, db, function() while true do end end)\n"
      "end",
  };
  perigee *rt = open_limited();
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    bed_fails(rt, texts[i], PERIGEE_E_LIMIT, "more than 200000 instructions");
  CHECK(bed_integer(rt, "return db:value 'select count(*) from t'") == 0);
  /* Waiting begins the count anew. */
  CHECK(bed_integer(rt,
                    "for i = 1, 100 do\n"
                    "  for j = 1, 20000 do end perigee.sleep(0)\n"
                    "end return 1") == 1);
  bed_close(rt);
}

static void check_trace(perigee *rt, const char *text, const char *trace) {
  perigee_task *t = bed_run(rt, text);
  const perigee_error *e = perigee_task_error(t);
  if (CHECK(e != NULL)) CHECK_STR(e->traceback, trace);
  perigee_task_free(t);
}

/* Each task's error is its own: where it was, and what a script has done to it. */
static void test_whose_error(void) {
  perigee *rt = open_limited();
  check_trace(rt, "while true do end", "test:1: in the main chunk");
  check_trace(rt, "\n\nwhile true do end", "test:3: in the main chunk");
  for (int i = 0; i < 2; i++)
    CHECK(bed_integer(rt,
                      "local t = perigee.spawn(function()\n"
                      "  while true do end\n"
                      "end)\n"
                      "local ok, err = pcall(t.join, t)\n"
                      "assert(not ok and err.message:find 'too long')\n"
                      "err.message = nil\n"
                      "return 1") == 1);
  bed_close(rt);
}

/* A task that a script has spawned ends too, whatever it waits for meanwhile. */
static void test_runaway_spawned(void) {
  perigee *rt = open_limited();
  CHECK(bed_integer(rt,
                    "local rounds = 0\n"
                    "local t = perigee.spawn(function()\n"
                    "  for _ = 1, 100 do\n"
                    "    rounds = rounds + 1\n"
                    "    pcall(db.transaction, db, function()\n"
                    "      while true do end\n"
                    "    end)\n"
                    "  end\n"
                    "end)\n"
                    "local ok, err = pcall(t.join, t)\n"
                    "assert(not ok and err.message:find 'too long')\n"
                    "return rounds") == 1);
  bed_close(rt);
}

/* Nothing could end what runs in one. */
static void test_no_finalizers(void) {
  perigee *rt = open_limited();
  bed_fails(rt,
            "db:query('select ? as a', { 1 }, { class = { __gc = print } })",
            PERIGEE_E_USAGE, "finalizers");
  CHECK(bed_integer(rt,
                    "local class = {}\n"
                    "local planets = db:table('t', { class = class })\n"
                    "planets:insert { a = 1 }\n"
                    "class.__gc = function() while true do end end\n"
                    "assert(getmetatable(planets:find_first {}) == nil)\n"
                    "collectgarbage()\n"
                    "class.__gc = nil\n"
                    "assert(getmetatable(planets:find_first {}) == class)\n"
                    "return 1") == 1);
  bed_close(rt);
}

static void test_memory(void) {
  static const char *const texts[] = {
      "local t = {} while true do t[#t + 1] = ('x'):rep(10000) .. #t end",
      "return ('x'):rep(1e9)",
      "local function f() return 1 + f() end return f()",
      "local t = { 1 } for _ = 1, 60 do t = { t, t } end return t",
      "local s = 'x' while true do s = s .. s end"};
  perigee *rt = open_limited();
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    bed_fails(rt, texts[i], PERIGEE_E_LIMIT, "");
    CHECK(perigee_memory(rt) <= 16 * MIB);
    CHECK(bed_integer(rt, "collectgarbage() return 7") == 7);
  }
  CHECK(perigee_memory(rt) < 4 * MIB);
  bed_close(rt);
}

/* Arguments that are too large. */
static void test_large_arguments(void) {
  perigee *rt = open_limited();
  char *big = calloc(1, 32 * MIB);
  perigee_function *f = NULL;
  perigee_value v = perigee_bytes(big, 32 * MIB);
  GOOD(f = perigee_load_text(rt, "x", "return 1", 8, &err));
  BAD(perigee_start(f, &v, 1, &err), PERIGEE_E_RESOURCE, "not enough memory");
  BAD(perigee_set(rt, "big", v, &err), PERIGEE_E_RESOURCE, "not enough memory");
  free(big);
  perigee_function_free(f);
  CHECK(bed_integer(rt, "return 7") == 7);
  bed_close(rt);
}

/* More tasks than there is memory for. */
static void test_many_tasks(void) {
  perigee *rt = open_limited();
  perigee_function *f = NULL;
  perigee_error *failed = NULL;
  int n, r = 0;
  GOOD(f = perigee_load_text(rt, "x", "perigee.sleep(60)", 17, &err));
  for (n = 0; n < 100000 && failed == NULL; n++) {
    perigee_task_free(perigee_start(f, NULL, 0, &failed));
    if (n % 100 == 0) CHECK(perigee_step(rt, NULL) >= -1);
  }
  REQUIRE(failed != NULL);
  CHECK(failed->kind == PERIGEE_E_RESOURCE);
  perigee_error_free(failed);
  for (n = 0; n < 100 && r != 1; n++) {
    perigee_interrupt(rt);
    r = perigee_wait_all(rt, 1, NULL);
  }
  CHECK(r == 1);
  perigee_function_free(f);
  CHECK(bed_integer(rt, "collectgarbage() return 7") == 7);
  bed_close(rt);
}

static int native_slow(perigee_call *call, void *data) {
  (void)call;
  *(int *)data += 1;
  usleep(5000);
  return 0;
}

static void test_seconds(void) {
  perigee_options o;
  int calls = 0;
  perigee_options_init(&o);
  o.seconds = 0.05;
  perigee *rt = bed_open(&o);
  bed_fails(rt, "while true do end", PERIGEE_E_TIMEOUT, "time");
  bed_fails(rt, "perigee.sleep(60)", PERIGEE_E_TIMEOUT, "time");
  bed_fails(rt, "while true do pcall(perigee.sleep, 60) end", PERIGEE_E_TIMEOUT,
            "time");
  /* Calls of C that take long: the clock is looked at between them. */
  GOOD(perigee_register(rt, "slow", native_slow, &calls, &err));
  bed_fails(rt, "while true do slow() end", PERIGEE_E_TIMEOUT, "time");
  CHECK(calls < 50);
  perigee_task *t = bed_start(rt, "perigee.sleep(0.1) return 1");
  GOOD(perigee_task_timeout(t, 5, &err));
  GOOD(perigee_wait(t, 5, &err));
  CHECK(perigee_task_error(t) == NULL);
  BAD(perigee_task_timeout(t, 5, &err), PERIGEE_E_USAGE, "has begun");
  perigee_task_free(t);
  bed_close(rt);
}

/* From another thread, or a handler: here from a function of the program's. */
static int native_interrupt(perigee_call *call, void *data) {
  (void)data;
  perigee_interrupt(perigee_call_runtime(call));
  return 0;
}

static void test_interrupt(void) {
  perigee *rt = bed_open(NULL);
  GOOD(perigee_register(rt, "stop", native_interrupt, NULL, &err));
  perigee_task *waits = bed_start(rt, "perigee.sleep(60)");
  bed_fails(rt, "stop() while true do end", PERIGEE_E_CANCELLED, "interrupted");
  GOOD(perigee_wait_all(rt, 5, &err));
  CHECK(perigee_task_error(waits)->kind == PERIGEE_E_CANCELLED);
  perigee_task_free(waits);
  CHECK(bed_integer(rt, "perigee.sleep(0) return 1") == 1);
  bed_close(rt);
}

/* ---- scripts that go wrong ----------------------------------------------- */

static void test_errors(void) {
  perigee *rt = open_limited();
  bed_fails(rt, "error(nil)", PERIGEE_E_SCRIPT, "nil");
  bed_fails(rt, "error { 1 }", PERIGEE_E_SCRIPT, "table");
  bed_fails(rt, "error('a\\0b', 0)", PERIGEE_E_SCRIPT, "a");
  bed_fails(rt, "error(setmetatable({}, {__tostring = error}))",
            PERIGEE_E_SCRIPT, "cannot be shown");
  bed_fails(rt, "error(setmetatable({}, {__index = error}))", PERIGEE_E_SCRIPT,
            "table");
  bed_fails(rt, "nosuch()", PERIGEE_E_SCRIPT, "test:1:");
  bed_fails(rt, "return print", PERIGEE_E_USAGE, "a function");
  bed_fails(rt, "return coroutine.create(print)", PERIGEE_E_USAGE, "thread");
  bed_fails(rt, "return db", PERIGEE_E_USAGE, "userdata");
  bed_fails(rt, "return { 1, nil, 3 }", PERIGEE_E_USAGE, "hole");
  bed_fails(rt, "return { 1, a = 2 }", PERIGEE_E_USAGE, "both");
  bed_fails(rt, "return { [0.5] = 1 }", PERIGEE_E_USAGE, "keys");
  bed_fails(rt, "local t = {} t[1] = t return t", PERIGEE_E_USAGE, "nested");
  bed_fails(rt, "db:query 'select * from nope'", PERIGEE_E_UNDEFINED, "nope");
  bed_fails(rt, "return db:at('t', 1)", PERIGEE_E_USAGE, "");
  bed_fails(rt, "perigee.run(print)", PERIGEE_E_USAGE, "a loop is running");
  bed_close(rt);
}

static void test_fields(void) {
  perigee *rt = open_limited();
  perigee_task *t = bed_run(rt,
                            "local function add() db:insert('u', {a = 1}) end\n"
                            "db:script 'create table u(a integer unique)'\n"
                            "add()\n"
                            "db:transaction(function() add() end)");
  const perigee_error *e = perigee_task_error(t);
  REQUIRE(e != NULL);
  CHECK(e->kind == PERIGEE_E_UNIQUE && e->code == 2067 && !e->retryable);
  CHECK_STR(e->name, "unique");
  CHECK_STR(e->table, "u");
  CHECK_STR(e->column, "a");
  CHECK(e->sql != NULL && e->sqlstate == NULL);
  CHECK(e->traceback != NULL && strstr(e->traceback, "test:1: in ") != NULL);
  CHECK(strstr(e->traceback, "test:4: ") != NULL);
  perigee_task_free(t);
  bed_close(rt);
}

static void test_loading(void) {
  perigee *rt = bed_open(NULL);
  const char *bad = "return (";
  BAD(perigee_load_text(rt, "x.lua", bad, strlen(bad), &err), PERIGEE_E_SCRIPT,
      "x.lua:1:");
  BAD(perigee_load_text(rt, "x", "\033Lua\x54", 5, &err), PERIGEE_E_SCRIPT,
      "binary");
  BAD(perigee_load_file(rt, "/nonexistent/x.lua", &err), PERIGEE_E_SCRIPT,
      "/nonexistent/x.lua");
  BAD(perigee_load_file(rt, "/", &err), PERIGEE_E_SCRIPT, "");
  BAD(perigee_find(rt, "nosuch", &err), PERIGEE_E_USAGE,
      "not a function but nil");
  BAD(perigee_find(rt, "string.nosuch.x", &err), PERIGEE_E_USAGE,
      "not a table");
  CHECK(bed_integer(rt,
                    "game = { tick = function(n) return n + 1 end }\n"
                    "return 1") == 1);
  perigee_function *f = NULL;
  GOOD(f = perigee_find(rt, "game.tick", &err));
  CHECK(bed_integer(rt, "game.tick = nil collectgarbage() return 1") == 1);
  perigee_value v = perigee_integer(41);
  perigee_task *t = NULL;
  GOOD(t = perigee_start(f, &v, 1, &err));
  perigee_function_free(f);
  GOOD(perigee_wait(t, 5, &err));
  CHECK(perigee_as_integer(perigee_task_results(t, NULL), 0) == 42);
  perigee_task_free(t);
  bed_close(rt);
}

/* ---- what scripts have --------------------------------------------------- */

static void test_plain_world(void) {
  perigee *rt = bed_open(NULL);
  CHECK(bed_integer(
            rt,
            "assert(not io and not debug and not package and not dofile)\n"
            "assert(not loadfile and not os.execute and os.time() > 0)\n"
            "assert(not pcall(require, 'io') and not pcall(require, 'debug'))\n"
            "assert(require 'string' == string and require 'os' == os)\n"
            "assert(require 'perigee' == perigee and perigee.null)\n"
            "assert(not load(string.dump(function() end)))\n"
            "assert(load('return 3')() == 3)\n"
            "assert(load('return x', 'c', 't', { x = 4 })() == 4)\n"
            "assert(not pcall(load, 'return 3', 'c', 'b'))\n"
            "assert(not pcall(setmetatable, {}, { __gc = print }))\n"
            "assert(not pcall(load, 'return 3', '@embedded:perigee/x'))\n"
            "assert(not pcall(require, 'perigee.embed'))\n"
            "assert(not getmetatable(perigee.spawn(print)))\n"
            "assert(getmetatable(setmetatable({}, string)) == string)\n"
            "assert(load 'return io' () == nil)\n"
            "string.format, table.concat = nil, nil\n"
            "assert(not pcall(perigee.open, 'nosuch:x'))\n"
            "return select('#', xpcall(function(...) return ... end, print, "
            "1))") == 2);
  bed_close(rt);
}

static void test_modules(void) {
  static const char *const names[] = {"perigee", "embed_helper", NULL};
  static const char *const none[] = {NULL};
  perigee_options o;
  FILE *f = fopen("/tmp/embed_helper.lua", "w");
  REQUIRE(f != NULL);
  fputs("global_of_helper = 5 return { io = io, g = global_of_helper }", f);
  fclose(f);
  perigee_options_init(&o);
  o.modules = names;
  o.path = "/tmp/?.lua";
  perigee *rt = bed_open(&o);
  CHECK(bed_integer(rt,
                    "local h = require 'embed_helper'\n"
                    "assert(h.io == nil and global_of_helper == 5)\n"
                    "assert(require 'perigee' == perigee)\n"
                    "local ok, err = pcall(require, 'perigee.cli')\n"
                    "assert(not ok and err:find 'not allowed')\n"
                    "return h.g") == 5);
  bed_close(rt);
  o.modules = none;
  rt = bed_open(&o);
  GOOD(perigee_open(rt, "db", "sqlite::memory:", NULL, &err));
  CHECK(bed_integer(rt,
                    "assert(not perigee and not pcall(require, 'perigee'))\n"
                    "return db:value 'select 9'") == 9);
  bed_close(rt);
  unlink("/tmp/embed_helper.lua");
}

static void test_all_libraries(void) {
  perigee_options o;
  perigee_options_init(&o);
  o.libraries = PERIGEE_LIB_ALL;
  o.cpath = "/tmp/?.none";
  perigee *rt = bed_open(&o);
  GOOD(perigee_open(rt, "db", "sqlite::memory:", NULL, &err));
  CHECK(bed_integer(rt,
                    "assert(io.open and os.getenv and debug.getinfo)\n"
                    "assert(package.loaded.string == string and loadfile)\n"
                    "assert(package.cpath:find('/tmp/?.none', 1, true))\n"
                    "assert(require 'io' == io and load(string.dump(print\n"
                    "  and function() return 1 end))() == 1)\n"
                    "setmetatable({}, { __gc = function() end })\n"
                    "return db:value 'select 3'") == 3);
  bed_close(rt);
}

int main(void) {
  RUN(test_runaway);
  RUN(test_whose_error);
  RUN(test_runaway_spawned);
  RUN(test_no_finalizers);
  RUN(test_memory);
  RUN(test_large_arguments);
  RUN(test_many_tasks);
  RUN(test_seconds);
  RUN(test_interrupt);
  RUN(test_errors);
  RUN(test_fields);
  RUN(test_loading);
  RUN(test_plain_world);
  RUN(test_modules);
  RUN(test_all_libraries);
  return check_result();
}
