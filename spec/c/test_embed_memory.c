/*
** perigee.h when memory is short: the k-th allocation fails, k = 1, 2, … What a
** function says is then an error of its kind, or nothing when Lua has helped itself by
** collecting; the runtime works on, and AddressSanitizer finds nothing left.
*/
#include "base/mem.h"
#include "embed_bed.h"

static bool is_memory(const perigee_error *e) {
  return e->kind == PERIGEE_E_RESOURCE || e->kind == PERIGEE_E_LIMIT ||
         strstr(e->message, "memory") != NULL;
}

/* The error of a failed function: of memory, and freed. */
static void seen(perigee_error **e) {
  if (!CHECK(*e != NULL && is_memory(*e)))
    fprintf(stderr, "  %s\n", *e == NULL ? "no error" : (*e)->message);
  perigee_error_free(*e);
  *e = NULL;
}

static int native_echo(perigee_call *call, void *data) {
  (void)data;
  return perigee_return(call, perigee_arg(call, 0), 1);
}

static const char script[] =
    "local a = ...\n"
    "local b = echo({ list = { a, 'text' }, name = 'n' })\n"
    "local ok, err = pcall(db.query, db, 'select * from nope')\n"
    "return b, db:query('select 1 as one'), tostring(err)";

/* All that one request takes. Did it end well? */
static bool request(perigee *rt) {
  perigee_error *e = NULL;
  perigee_value v = perigee_text("argument");
  perigee_function *f =
      perigee_load_text(rt, "request", script, sizeof script - 1, &e);
  perigee_task *t;
  bool ok;
  if (f == NULL) {
    seen(&e);
    return false;
  }
  if (perigee_register(rt, "echo", native_echo, NULL, &e) < 0) seen(&e);
  t = perigee_start(f, &v, 1, &e);
  perigee_function_free(f);
  if (t == NULL) {
    seen(&e);
    return false;
  }
  if (perigee_wait(t, 10, &e) < 0) seen(&e);
  GOOD(perigee_wait(t, 10, &err));
  CHECK(perigee_task_done(t));
  if (perigee_task_error(t) != NULL) {
    CHECK(is_memory(perigee_task_error(t)) ||
          perigee_task_error(t)->kind == PERIGEE_E_SCRIPT);
  }
  ok = perigee_task_error(t) == NULL;
  perigee_task_free(t);
  return ok;
}

static void test_requests(void) {
  perigee *rt = bed_open(NULL);
  long k = 0, left = 0;
  GOOD(perigee_open(rt, "db", "sqlite::memory:", NULL, &err));
  CHECK(request(rt));
  while (left == 0 && k < 20000) {
    (void)prg_mem_fail_after(++k);
    (void)request(rt);
    left = prg_mem_fail_after(0);
  }
  CHECK(k > 40 && k < 20000);
  CHECK(bed_integer(rt, "return db:value 'select 1'") == 1);
  bed_close(rt);
}

/* There are many allocations in a runtime; some of them will do. */
static void test_runtimes(void) {
  long k = 1, left = 0;
  while (left == 0 && k < 1000000) {
    perigee_error *e = NULL;
    perigee *rt;
    (void)prg_mem_fail_after(k);
    rt = perigee_new(NULL, &e);
    left = prg_mem_fail_after(0);
    if (rt == NULL) seen(&e);
    perigee_free(rt);
    k = k < 30 ? k + 1 : k + k / 7;
  }
  CHECK(k > 1000 && k < 1000000);
}

/* Values and errors. */
static void test_values(void) {
  perigee *rt = bed_open(NULL);
  for (long k = 1; k < 40; k++) {
    perigee_error *e = NULL;
    perigee_value items[2] = {perigee_text("a"), perigee_integer(1)};
    (void)prg_mem_fail_after(k);
    if (perigee_set(rt, "list", perigee_list(items, 2), &e) < 0) seen(&e);
    if (perigee_set(rt, "a..b", perigee_nil(), &e) < 0) {
      CHECK(e != NULL);
      perigee_error_free(e);
    }
    (void)prg_mem_fail_after(0);
  }
  bed_close(rt);
}

int main(void) {
  RUN(test_requests);
  RUN(test_runtimes);
  RUN(test_values);
  return check_result();
}
