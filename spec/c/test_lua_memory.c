/*
** F-64: every allocation may fail, Lua's and ours. A small program of queries,
** transactions, iteration and errors runs again and again; the k-th allocation
** of each run fails, k = 1, 2, … until one run needs fewer. After each the handle
** works and holds nothing, and in the end nothing is left: no memory of Lua's, no
** descriptor, and (AddressSanitizer) none of ours.
**
** Lua is that of the build. The library is loaded as scripts load it, hence not
** linked: there must be one copy of it.
*/
#include <dirent.h>
#include <dlfcn.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "check.h"

/* A step of k; and a limit, should a run never come to its end. */
enum { MAX_K = 200000 };

static struct {
  long until_failure; /* 0: off */
  long blocks;
} memory;

/* Lua 5.4 collects and tries again: that has to fail as well. */
static bool fails_now(void) {
  if (memory.until_failure == 0) return false;
  if (memory.until_failure > 2) {
    memory.until_failure--;
    return false;
  }
  memory.until_failure--;
  return true;
}

static void *allocate(void *ud, void *p, size_t old, size_t wanted) {
  (void)ud;
  if (p == NULL) old = 0;
  if (wanted > old && fails_now()) return NULL;
  if (wanted == 0) {
    memory.blocks -= p != NULL;
    free(p);
    return NULL;
  }
  void *q = realloc(p, wanted);
  memory.blocks += q != NULL && p == NULL;
  return q;
}

static const char prelude[] =
    "local build, url = ...\n"
    "package.path = 'lua/?.lua;lua/?/init.lua;' .. package.path\n"
    "package.cpath = build .. '/lua/?.so;' .. package.cpath\n"
    "local perigee = require 'perigee'\n"
    "local db = perigee.open(url, { max_size = 2, acquire_timeout = 5,\n"
    "  on_warning = function() end })\n"
    "db:script [[drop table if exists f64;\n"
    "  create table f64 (id integer primary key, t varchar(100))]]\n"
    "local function work()\n"
    "  db:execute('insert into f64 values (?, ?)', 1, 'one')\n"
    "  db:transaction(function(tx)\n"
    "    tx:execute('insert into f64 values (:id, :t)', {id = 2, t = 'two'})\n"
    "    pcall(tx.transaction, tx, function(inner)\n"
    "      inner:execute('insert into f64 values (2, 2)')\n"
    "    end)\n"
    "    for row in tx:each 'select * from f64' do assert(row.id) end\n"
    "  end)\n"
    "  local step, it = db:each 'select * from f64 order by id'\n"
    "  assert(step(it).t == 'one')\n"
    "  it:close()\n"
    "  pcall(db.query, db, 'select nothing from nowhere')\n"
    "  db:execute_many('insert into f64 values (?, ?)', {{3, 'c'}, {4, 'd'}})\n"
    "  assert(#db:query 'select * from f64' == 4)\n"
    "  pcall(db.transaction, db, function(tx)\n"
    "    tx:execute 'delete from f64'\n"
    "    error { 'undone' }\n"
    "  end)\n"
    "end\n"
    "local function tables()\n"
    "  local h = db:table 'f64'\n"
    "  h:insert { id = 11, t = 'x' }\n"
    "  h:insert_many { { id = 12, t = 'y' }, { id = 13 }, { id = 14, t = 'z' } "
    "}\n"
    "  assert(h:get(12).t == 'y')\n"
    "  assert(h:update({ t = 'z' }, { t = 'w' }) == 1)\n"
    "  assert(#h:select({ perigee.any_of { { id = 11 }, { ['t:prefix'] = 'w' } "
    "},\n"
    "    perigee.sql('id > ?', 10) }, { order_by = '-t' }) == 2)\n"
    "  assert(select(2, h:upsert { id = 14, t = 'v' }) == false)\n"
    "  pcall(h.upsert_many, h, { { id = 14, t = 'u' }, { id = 15 } })\n"
    "  h:update_many { { id = 11, t = 'a' }, { id = 12, t = 'b' } }\n"
    "  local page = h:page({ ['id:ge'] = 11 }, { order_by = 't', limit = 2 })\n"
    "  assert(#h:page(nil, { cursor = page.next }).rows > 0)\n"
    "  h:scope { t = 'a' }:delete({}, { all = true })\n"
    "end\n"
    "local function tasks()\n"
    "  perigee.run(function()\n"
    "    perigee.gather(function() db:value 'select 1' end,\n"
    "      function() db:value 'select 2'; perigee.sleep(0) end)\n"
    "  end)\n"
    "end\n"
    "local function opening()\n"
    "  local d = perigee.open(url, { max_size = 1 })\n"
    "  local ok, err = pcall(d.query, d, 'select 3')\n"
    "  d:close()\n"
    "  if not ok then error(err, 0) end\n"
    "end\n"
    "local function is_memory(e)\n"
    /* luaL_checkstack calls it an overflow when the stack cannot grow. */
    "  if type(e) == 'string' then\n"
    "    return e:find 'memory' ~= nil or e:find 'stack overflow %(' ~= nil\n"
    "  end\n"
    "  return type(e) == 'table' and (e.kind == 'resource'\n"
    "    or e.kind == 'aborted'\n" /* after what a pcall has swallowed */
    "    or tostring(e):find 'memory' ~= nil or is_memory(e.cause))\n"
    "end\n"
    /* After a run: the handle works, and nothing is held or half done. */
    "local function after(ok, err)\n"
    "  if not ok and not is_memory(err) then\n"
    "    error('not about memory: ' .. tostring(err), 0)\n"
    "  end\n"
    "  for _ = 1, 600 do\n"
    "    if db:stats().in_use == 0 then break end\n"
    "    collectgarbage()\n"
    "    perigee.sleep(0.01)\n"
    "  end\n"
    "  assert(db:stats().in_use == 0, 'in use')\n"
    "  assert(not db:in_transaction(), 'in a transaction')\n"
    "  db:execute 'delete from f64'\n"
    "  assert(db:value 'select 1' == 1, 'a wrong value')\n"
    "end\n"
    "return work, tables, tasks, opening, after, function() db:close() end\n";

static struct {
  lua_State *L;
  long (*fail_ours)(long n); /* prg_mem_fail_after */
} bed;

enum { WORK = 1, TABLES, TASKS, OPENING, AFTER, CLOSE }; /* on the stack */

static const char *text_at(int i) {
  lua_getglobal(bed.L, "tostring");
  lua_pushvalue(bed.L, i < 0 ? i - 1 : i);
  lua_call(bed.L, 1, 1);
  return lua_tostring(bed.L, -1);
}

static bool open_bed(const char *url) {
  const char *build = getenv("PERIGEE_BUILD");
  char path[512];
  memory.until_failure = 0;
  bed.L = lua_newstate(allocate, NULL);
  if (!CHECK(bed.L != NULL)) return false;
  luaL_openlibs(bed.L);
  if (luaL_loadstring(bed.L, prelude) != 0) abort();
  lua_pushstring(bed.L, build);
  lua_pushstring(bed.L, url);
  if (!CHECK(lua_pcall(bed.L, 2, 6, 0) == 0)) {
    fprintf(stderr, "%s\n", text_at(-1));
    return false;
  }
  snprintf(path, sizeof path, "%s/lua/perigee/core.so", build);
  void *core = dlopen(path, RTLD_NOW | RTLD_NOLOAD);
  *(void **)&bed.fail_ours =
      core == NULL ? NULL : dlsym(core, "prg_mem_fail_after");
  return CHECK(bed.fail_ours != NULL);
}

static void close_bed(void) {
  lua_pushvalue(bed.L, CLOSE);
  CHECK(lua_pcall(bed.L, 0, 0, 0) == 0);
  lua_close(bed.L);
  CHECK(memory.blocks == 0);
}

/* One run of `what` in which the k-th allocation fails. False: none did. */
static bool run_once(int what, bool ours, long k) {
  lua_State *L = bed.L;
  bool fired;
  lua_settop(L, CLOSE);
  lua_pushvalue(L, AFTER);
  lua_pushvalue(L, what);
  if (ours)
    bed.fail_ours(k);
  else
    memory.until_failure = k + 1;
  int rc = lua_pcall(L, 0, 1, 0);
  if (ours)
    fired = bed.fail_ours(0) == 0;
  else
    fired = memory.until_failure <= 1;
  memory.until_failure = 0;
  lua_pushboolean(L, rc == 0);
  lua_insert(L, -2);
  if (!CHECK(lua_pcall(L, 2, 0, 0) == 0)) {
    fprintf(stderr, "  k = %ld (%s): %s\n", k, ours ? "ours" : "Lua's",
            text_at(-1));
    return false;
  }
  return fired;
}

static void run_all(const char *url, long step) {
  for (int what = WORK; what <= OPENING; what++) {
    for (int ours = 0; ours < 2; ours++) {
      long k = 1;
      if (!open_bed(url)) return;
      run_once(what, ours, MAX_K); /* so that caches are warm */
      while (k < MAX_K && run_once(what, ours, k)) k += step;
      CHECK(k > step && k < MAX_K);
      close_bed();
    }
  }
}

static int count_descriptors(void) {
  DIR *d = opendir("/proc/self/fd");
  int n = 0;
  while (d != NULL && readdir(d) != NULL) n++;
  if (d != NULL) closedir(d);
  return n;
}

/* With what stays open for good (libraries' own). */
static void run_and_count(const char *url, long step) {
  if (!open_bed(url)) return;
  close_bed();
  int before = count_descriptors();
  run_all(url, step);
  for (int i = 0; i < 100 && count_descriptors() > before; i++) usleep(20000);
  CHECK(count_descriptors() <= before);
}

static void test_sqlite(void) {
  /* Not in memory: a connection in doubt is closed, and the database with it. */
  static const char *const suffixes[] = {"", "-wal", "-shm"};
  char url[64], path[64];
  snprintf(url, sizeof url, "sqlite:////tmp/perigee-f64-%d.db", (int)getpid());
  run_and_count(url, 1);
  for (int i = 0; i < 3; i++) {
    snprintf(path, sizeof path, "%s%s", url + strlen("sqlite:///"),
             suffixes[i]);
    unlink(path);
  }
}

static void test_postgres(void) {
  const char *url = getenv("PERIGEE_TEST_POSTGRES");
  if (url != NULL) run_and_count(url, check_rounds(1) == 1 ? 5 : 1);
}

int main(void) {
  if (getenv("PERIGEE_BUILD") == NULL) {
    printf("skipped: PERIGEE_BUILD is not set\n");
    return 77;
  }
  RUN(test_sqlite);
  RUN(test_postgres);
  return check_result();
}
