/* perigee.h: wrong arguments, wrong threads, forks, several runtimes, a second
** copy of Perigee, and databases that go away. */
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <lauxlib.h>
#include <lualib.h>

#include "embed_bed.h"

static int native_nothing(perigee_call *call, void *data) {
  (void)call;
  (void)data;
  return 0;
}

static void test_null(void) {
  perigee_value v = perigee_nil();
  BAD(perigee_step(NULL, &err), PERIGEE_E_USAGE, "NULL");
  BAD(perigee_wait(NULL, 1, &err), PERIGEE_E_USAGE, "NULL");
  BAD(perigee_wait_all(NULL, 1, &err), PERIGEE_E_USAGE, "NULL");
  BAD(perigee_close(NULL, 1, &err), PERIGEE_E_USAGE, "NULL");
  BAD(perigee_open(NULL, "db", "sqlite:x", NULL, &err), PERIGEE_E_USAGE,
      "NULL");
  BAD(perigee_set(NULL, "x", v, &err), PERIGEE_E_USAGE, "NULL");
  BAD(perigee_register(NULL, "x", native_nothing, NULL, &err), PERIGEE_E_USAGE,
      "NULL");
  BAD(perigee_load_file(NULL, "x", &err), PERIGEE_E_USAGE, "NULL");
  BAD(perigee_load_text(NULL, "x", "", 0, &err), PERIGEE_E_USAGE, "NULL");
  BAD(perigee_find(NULL, "x", &err), PERIGEE_E_USAGE, "NULL");
  BAD(perigee_start(NULL, NULL, 0, &err), PERIGEE_E_USAGE, "NULL");
  BAD(perigee_task_cancel(NULL, NULL, &err), PERIGEE_E_USAGE, "NULL");
  BAD(perigee_task_timeout(NULL, 1, &err), PERIGEE_E_USAGE, "NULL");
  CHECK(perigee_step(NULL, NULL) == -1);
  CHECK(perigee_fd(NULL) == -1 && perigee_memory(NULL) == 0);
  CHECK(!perigee_task_done(NULL) && perigee_task_error(NULL) == NULL);
  CHECK(perigee_task_results(NULL, NULL) == NULL);
  perigee_task_on_done(NULL, NULL, NULL);
  perigee_interrupt(NULL);
  perigee_free(NULL);
  perigee_task_free(NULL);
  perigee_function_free(NULL);
  perigee_error_free(NULL);
  CHECK(perigee_arg_count(NULL) == 0);
  CHECK(perigee_arg(NULL, 0)->type == PERIGEE_NIL);
  CHECK(perigee_call_runtime(NULL) == NULL);
  CHECK(perigee_return(NULL, NULL, 0) == -1);
  CHECK(perigee_fail(NULL, PERIGEE_E_USAGE, "x") == -1);
}

static void test_arguments(void) {
  perigee *rt = bed_open(NULL);
  perigee_value text = perigee_text("x");
  BAD(perigee_open(rt, NULL, "sqlite:x", NULL, &err), PERIGEE_E_USAGE, "name");
  BAD(perigee_open(rt, "db", NULL, NULL, &err), PERIGEE_E_USAGE, "URL");
  BAD(perigee_open(rt, "db", "sqlite:x", &text, &err), PERIGEE_E_USAGE,
      "record");
  BAD(perigee_open(rt, "db", "nosuch://x", NULL, &err), PERIGEE_E_USAGE,
      "unknown scheme");
  perigee_field f = perigee_pair("max_sise", perigee_integer(3));
  perigee_value options = perigee_record(&f, 1);
  BAD(perigee_open(rt, "db", "sqlite:x", &options, &err), PERIGEE_E_USAGE,
      "max_sise");
  f = perigee_pair("force_rollback", perigee_boolean(1));
  BAD(perigee_open(rt, "db", "sqlite:x", &options, &err), PERIGEE_E_USAGE,
      "force_rollback");
  BAD(perigee_open(rt, "", "sqlite:x", NULL, &err), PERIGEE_E_USAGE, "name");
  BAD(perigee_register(rt, "x", NULL, NULL, &err), PERIGEE_E_USAGE, "missing");
  BAD(perigee_register(rt, NULL, native_nothing, NULL, &err), PERIGEE_E_USAGE,
      "missing");
  BAD(perigee_load_text(rt, "x", NULL, 3, &err), PERIGEE_E_USAGE, "NULL");
  BAD(perigee_load_text(rt, NULL, "", 0, &err), PERIGEE_E_USAGE, "name");
  BAD(perigee_load_file(rt, NULL, &err), PERIGEE_E_USAGE, "name");
  BAD(perigee_find(rt, NULL, &err), PERIGEE_E_USAGE, "name");
  BAD(perigee_close(rt, -1, &err), PERIGEE_E_USAGE, "not a time");
  BAD(perigee_close(rt, 0.0 / 0.0, &err), PERIGEE_E_USAGE, "not a time");
  perigee_task *t = bed_start(rt, "");
  BAD(perigee_task_timeout(t, -1, &err), PERIGEE_E_USAGE, "not a time");
  perigee_task_free(t);
  bed_close(rt);
}

static void test_values(void) {
  perigee *rt = bed_open(NULL);
  perigee_value v, deep[200];
  perigee_field f = perigee_pair(NULL, perigee_integer(1));
  v = perigee_record(&f, 1);
  BAD(perigee_set(rt, "x", v, &err), PERIGEE_E_USAGE, "no name");
  v = perigee_list(NULL, 2);
  BAD(perigee_set(rt, "x", v, &err), PERIGEE_E_USAGE, "list is NULL");
  v = perigee_record(NULL, 2);
  BAD(perigee_set(rt, "x", v, &err), PERIGEE_E_USAGE, "record is NULL");
  v = perigee_bytes(NULL, 2);
  BAD(perigee_set(rt, "x", v, &err), PERIGEE_E_USAGE, "string is NULL");
  v = perigee_bytes("x", SIZE_MAX);
  BAD(perigee_set(rt, "x", v, &err), PERIGEE_E_USAGE, "too long");
  memset(&v, 0xff, sizeof v);
  BAD(perigee_set(rt, "x", v, &err), PERIGEE_E_USAGE, "type is unknown");
  deep[0] = perigee_nil();
  BAD(perigee_set(rt, "x", perigee_list(deep, 1), &err), PERIGEE_E_USAGE,
      "item of a list is nil");
  deep[0] = perigee_list(deep, 1); /* contains itself */
  BAD(perigee_set(rt, "x", deep[0], &err), PERIGEE_E_USAGE, "nested");
  perigee_function *fn = NULL;
  GOOD(fn = perigee_load_text(rt, "x", "", 0, &err));
  BAD(perigee_start(fn, NULL, 3, &err), PERIGEE_E_USAGE, "NULL");
  BAD(perigee_start(fn, deep, 1000, &err), PERIGEE_E_USAGE, "more than 200");
  BAD(perigee_start(fn, &v, 1, &err), PERIGEE_E_USAGE, "unknown");
  perigee_function_free(fn);
  GOOD(perigee_set(rt, "x", perigee_record(NULL, 0), &err));
  bed_close(rt);
}

static void test_options(void) {
  perigee_options o;
  perigee_options_init(&o);
  o.abi = PERIGEE_ABI + 1;
  BAD(perigee_new(&o, &err), PERIGEE_E_USAGE, "another libperigee");
  memset(&o, 0, sizeof o);
  BAD(perigee_new(&o, &err), PERIGEE_E_USAGE, "perigee_options_init");
  perigee_options_init(&o);
  o.libraries = 4096;
  BAD(perigee_new(&o, &err), PERIGEE_E_USAGE, "library");
  perigee_options_init(&o);
  o.seconds = -1;
  BAD(perigee_new(&o, &err), PERIGEE_E_USAGE, "time");
  perigee_options_init(&o);
  o.memory = 1000;
  BAD(perigee_new(&o, &err), PERIGEE_E_USAGE, "a limit of 1000 bytes");
  CHECK(perigee_new(&o, NULL) == NULL);
  perigee_options_init(&o);
  o.size += 64; /* a newer program, which does not use what is new */
  struct {
    perigee_options o;
    char more[64];
  } newer;
  memset(&newer, 0, sizeof newer);
  newer.o = o;
  newer.more[7] = 1;
  BAD(perigee_new(&newer.o, &err), PERIGEE_E_USAGE, "a field");
  newer.more[7] = 0;
  bed_close(bed_open(&newer.o));
}

/* The process may open no more files. */
static void test_no_descriptors(void) {
  struct rlimit before, none;
  perigee_error *e = NULL;
  perigee *rt;
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  none = before;
  none.rlim_cur = 0;
  REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
  rt = perigee_new(NULL, &e);
  REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(rt == NULL);
  REQUIRE(e != NULL);
  CHECK(e->kind == PERIGEE_E_RESOURCE);
  CHECK(strstr(e->message, "event loop") != NULL);
  perigee_error_free(e);
}

/* ---- finalizers ---------------------------------------------------------- */

static int native_free(perigee_call *call, void *data) {
  *(int *)data += 1;
  perigee_free(perigee_call_runtime(call));
  return 0;
}

static int native_step(perigee_call *call, void *data) {
  *(int *)data += 1;
  BAD(perigee_step(perigee_call_runtime(call), &err), PERIGEE_E_USAGE,
      "called in a function");
  BAD(perigee_close(perigee_call_runtime(call), 1, &err), PERIGEE_E_USAGE,
      "called in a function");
  return 0;
}

/* A runtime whose next full collection calls `fn`. */
static perigee *open_with_garbage(perigee_native fn, int *calls) {
  perigee_options o;
  perigee_options_init(&o);
  o.libraries = PERIGEE_LIB_DEBUG;
  perigee *rt = bed_open(&o);
  GOOD(perigee_register(rt, "native", fn, calls, &err));
  CHECK(bed_integer(rt,
                    "x = setmetatable({}, { __gc = function() native() end })\n"
                    "return 1") == 1);
  return rt;
}

/* They run whenever Lua takes memory, and when it is closed. */
static void test_finalizers(void) {
  int calls = 0;
  perigee_free(open_with_garbage(native_free, &calls));
  CHECK(calls == 1);
  GOOD(perigee_close(open_with_garbage(native_free, &calls), 1, &err));
  CHECK(calls == 2);
  perigee *rt = open_with_garbage(native_free, &calls);
  GOOD(perigee_set(rt, "x", perigee_nil(), &err));
  while (calls == 2)
    GOOD(perigee_set(rt, "y", perigee_list(NULL, 0), &err)); /* frees it */
  calls = 0;
  rt = open_with_garbage(native_step, &calls);
  GOOD(perigee_set(rt, "x", perigee_nil(), &err));
  while (calls == 0) GOOD(perigee_set(rt, "y", perigee_list(NULL, 0), &err));
  CHECK(calls == 1);
  bed_close(rt);
}

/* ---- threads and processes ----------------------------------------------- */

/* Checks are counted by the main thread only. */
struct elsewhere {
  perigee *rt;
  perigee_task *task;
  perigee_error *step, *close, *timeout;
};

static void *use_elsewhere(void *data) {
  struct elsewhere *e = data;
  perigee_step(e->rt, &e->step);
  perigee_close(e->rt, 1, &e->close);
  perigee_task_timeout(e->task, 1, &e->timeout);
  usleep(20000);
  perigee_interrupt(e->rt);
  return NULL;
}

static void check_refused(perigee_error *e) {
  REQUIRE(e != NULL);
  CHECK(e->kind == PERIGEE_E_USAGE);
  CHECK(strstr(e->message, "belongs to the thread") != NULL);
  perigee_error_free(e);
}

static void test_other_thread(void) {
  perigee *rt = bed_open(NULL);
  perigee_task *t = bed_start(rt, "perigee.sleep(60)");
  perigee_task *later = bed_start(rt, "");
  struct elsewhere e = {rt, later, NULL, NULL, NULL};
  pthread_t thread;
  GOOD(perigee_step(rt, &err));
  REQUIRE(pthread_create(&thread, NULL, use_elsewhere, &e) == 0);
  GOOD(perigee_wait(t, 20, &err));
  pthread_join(thread, NULL);
  check_refused(e.step);
  check_refused(e.close);
  check_refused(e.timeout);
  perigee_task_free(later);
  REQUIRE(perigee_task_error(t) != NULL);
  CHECK(perigee_task_error(t)->kind == PERIGEE_E_CANCELLED);
  perigee_task_free(t);
  bed_close(rt);
}

static const char work_text[] =
    "db:script 'create table t(a integer)'\n"
    "for i = 1, 200 do db:insert('t', { a = i }) perigee.sleep(0) end\n"
    "return db:value 'select sum(a) from t'";

static void *work(void *data) {
  perigee *rt = perigee_new(NULL, NULL);
  perigee_function *f =
      perigee_load_text(rt, "work", work_text, sizeof work_text - 1, NULL);
  perigee_task *t;
  perigee_open(rt, "db", "sqlite::memory:", NULL, NULL);
  t = perigee_start(f, NULL, 0, NULL);
  perigee_function_free(f);
  perigee_wait(t, 20, NULL);
  *(int64_t *)data = perigee_as_integer(perigee_task_results(t, NULL), -1);
  perigee_task_free(t);
  if (perigee_close(rt, 5, NULL) != 0) *(int64_t *)data = -2;
  perigee_free(rt);
  return NULL;
}

static void test_two_threads(void) {
  pthread_t thread;
  int64_t there = 0, here = 0;
  REQUIRE(pthread_create(&thread, NULL, work, &there) == 0);
  work(&here);
  pthread_join(thread, NULL);
  CHECK(there == 20100 && here == 20100);
}

static void test_two_runtimes(void) {
  perigee *a = bed_open(NULL), *b = bed_open(NULL);
  CHECK(bed_integer(a, "x = 1 return x") == 1);
  CHECK(bed_integer(b, "assert(x == nil) x = 2 return x") == 2);
  perigee_task *t = bed_start(a, "perigee.sleep(0.01) return x");
  CHECK(bed_integer(b, "perigee.sleep(0.02) return x") == 2);
  CHECK(!perigee_task_done(t));
  GOOD(perigee_wait(t, 5, &err));
  CHECK(perigee_as_integer(perigee_task_results(t, NULL), 0) == 1);
  perigee_task_free(t);
  bed_close(a);
  CHECK(bed_integer(b, "return x") == 2);
  bed_close(b);
}

static void test_fork(void) {
  perigee *rt = bed_open(NULL);
  int status = -1;
  GOOD(perigee_open(rt, "db", "sqlite::memory:", NULL, &err));
  /* AddressSanitizer's allocator cannot fork while another thread is in it. */
  CHECK(bed_integer(rt, "return db:value 'select 1'") == 1);
  perigee_task *t =
      bed_start(rt, "perigee.sleep(0.02) return db:value 'select 1'");
  GOOD(perigee_step(rt, &err));
  fflush(NULL);
  pid_t pid = fork();
  if (pid == 0) {
    int before = check_failures;
    BAD(perigee_step(rt, &err), PERIGEE_E_USAGE, "fork");
    BAD(perigee_close(rt, 1, &err), PERIGEE_E_USAGE, "fork");
    perigee_free(rt);
    perigee_task_free(t);
    rt = bed_open(NULL);
    GOOD(perigee_open(rt, "db", "sqlite::memory:", NULL, &err));
    CHECK(bed_integer(rt, "return db:value 'select 5'") == 5);
    bed_close(rt);
    _exit(check_failures == before ? 0 : 1);
  }
  REQUIRE(waitpid(pid, &status, 0) == pid);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  GOOD(perigee_wait(t, 5, &err));
  CHECK(perigee_as_integer(perigee_task_results(t, NULL), 0) == 1);
  perigee_task_free(t);
  bed_close(rt);
}

/* A Lua state of the program's own that loads perigee/core.so. */
static void test_second_copy(void) {
  const char *build = getenv("PERIGEE_BUILD");
  lua_State *L = luaL_newstate();
  perigee *rt = bed_open(NULL);
  luaL_openlibs(L);
  lua_pushstring(L, build);
  lua_setglobal(L, "build");
  CHECK(luaL_dostring(L,
                      "package.cpath = build .. '/lua/?.so'\n"
                      "require 'perigee.core'") != LUA_OK);
  if (!CHECK(strstr(lua_tostring(L, -1), "two copies") != NULL))
    fprintf(stderr, "  %s\n", lua_tostring(L, -1));
  lua_close(L);
  CHECK(bed_integer(rt, "return 1") == 1);
  bed_close(rt);
}

/* ---- a server ------------------------------------------------------------ */

static perigee *open_postgres(void) {
  perigee *rt = bed_open(NULL);
  GOOD(perigee_open(rt, "db", getenv("PERIGEE_TEST_POSTGRES"), NULL, &err));
  return rt;
}

static void test_cancel_query(void) {
  perigee *rt = open_postgres();
  CHECK(bed_integer(rt, "return db:value 'select 1::int8'") == 1);
  perigee_task *t = bed_start(rt, "db:query 'select pg_sleep(60)'");
  perigee_task *free_me = bed_start(rt, "db:query 'select pg_sleep(0.05)'");
  perigee_task_free(free_me);
  for (int i = 0; i < 50; i++) {
    struct pollfd p = {perigee_fd(rt), POLLIN, 0};
    (void)poll(&p, 1, 2);
    GOOD(perigee_step(rt, &err));
  }
  GOOD(perigee_task_cancel(t, NULL, &err));
  GOOD(perigee_wait(t, 5, &err));
  REQUIRE(perigee_task_error(t) != NULL);
  CHECK(perigee_task_error(t)->kind == PERIGEE_E_CANCELLED);
  perigee_task_free(t);
  GOOD(perigee_wait_all(rt, 5, &err));
  /* The server is told, too. */
  CHECK(bed_integer(rt,
                    "local n\n"
                    "for _ = 1, 200 do\n"
                    "  n = db:value [[select count(*) from pg_stat_activity\n"
                    "    where query like 'select pg_sleep(60%'\n"
                    "    and state = 'active']]\n"
                    "  if n == 0 then break end\n"
                    "  perigee.sleep(0.02)\n"
                    "end\n"
                    "return n") == 0);
  bed_close(rt);
}

static void test_server_gone(void) {
  perigee *rt = open_postgres();
  perigee_task *t = bed_start(rt,
                              "db:connection(function(c)\n"
                              "  pid = c:value 'select pg_backend_pid()'\n"
                              "  c:query 'select pg_sleep(60)'\n"
                              "end)");
  for (int i = 0; i < 200 && bed_integer(rt, "return pid or 0") == 0; i++)
    usleep(5000);
  CHECK(bed_integer(rt,
                    "db:value('select pg_terminate_backend($1)', pid)\n"
                    "return 1") == 1);
  GOOD(perigee_wait(t, 10, &err));
  REQUIRE(perigee_task_error(t) != NULL);
  CHECK(perigee_task_error(t)->kind == PERIGEE_E_CLOSED);
  CHECK_STR(perigee_task_error(t)->sqlstate, "57P01");
  perigee_task_free(t);
  bed_close(rt);
  rt = bed_open(NULL);
  GOOD(perigee_open(rt, "db", "postgresql://u:secret@127.0.0.1:1/x", NULL,
                    &err));
  t = bed_run(rt, "db:ping()");
  CHECK(perigee_task_error(t)->kind == PERIGEE_E_CONNECT);
  CHECK(strstr(perigee_task_error(t)->message, "secret") == NULL);
  perigee_task_free(t);
  bed_close(rt);
}

/* A server that takes the connection and says nothing: the worker that waits for it
** is left behind. */
static void test_close_while_connecting(void) {
  struct sockaddr_in a = {.sin_family = AF_INET};
  socklen_t size = sizeof a;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  char url[80];
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(fd >= 0 && bind(fd, (struct sockaddr *)&a, size) == 0);
  REQUIRE(listen(fd, 4) == 0);
  REQUIRE(getsockname(fd, (struct sockaddr *)&a, &size) == 0);
  (void)snprintf(url, sizeof url,
                 "postgresql://u@127.0.0.1:%d/x?connect_timeout=3",
                 ntohs(a.sin_port));
  perigee *rt = bed_open(NULL);
  GOOD(perigee_open(rt, "db", url, NULL, &err));
  perigee_task *t = bed_start(rt, "db:ping()");
  GOOD(perigee_wait(t, 0.05, &err));
  CHECK(!perigee_task_done(t));
  GOOD(perigee_close(rt, 1, &err));
  REQUIRE(perigee_task_error(t) != NULL);
  CHECK(perigee_task_error(t)->kind == PERIGEE_E_CANCELLED);
  perigee_task_free(t);
  perigee_free(rt);
  close(fd);
}

int main(void) {
  RUN(test_null);
  RUN(test_arguments);
  RUN(test_values);
  RUN(test_options);
  RUN(test_no_descriptors);
  RUN(test_finalizers);
  RUN(test_other_thread);
  RUN(test_two_threads);
  RUN(test_two_runtimes);
  RUN(test_fork);
  RUN(test_second_copy);
  if (getenv("PERIGEE_TEST_POSTGRES") != NULL) {
    RUN(test_cancel_query);
    RUN(test_server_gone);
    RUN(test_close_while_connecting);
  }
  return check_result();
}
