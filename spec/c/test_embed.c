/* perigee.h: values, functions, tasks, the loop, closing. */
#include <poll.h>

#include "embed_bed.h"

/* ---- values -------------------------------------------------------------- */

static const perigee_value *call1(perigee *rt, const char *text,
                                  perigee_value arg, perigee_task **t) {
  perigee_function *f = NULL;
  *t = NULL;
  GOOD(f = perigee_load_text(rt, "test", text, strlen(text), &err));
  GOOD(*t = perigee_start(f, &arg, 1, &err));
  perigee_function_free(f);
  GOOD(perigee_wait(*t, 10, &err));
  if (!CHECK(perigee_task_error(*t) == NULL))
    fprintf(stderr, "  %s\n", perigee_task_error(*t)->message);
  return perigee_task_results(*t, NULL);
}

static void test_scalars(void) {
  perigee *rt = bed_open(NULL);
  const perigee_value in[] = {perigee_nil(),
                              perigee_null(),
                              perigee_boolean(1),
                              perigee_boolean(0),
                              perigee_integer(INT64_MIN),
                              perigee_integer(INT64_MAX),
                              perigee_number(0.1),
                              perigee_number(-0.0),
                              perigee_text(""),
                              perigee_bytes("a\0b\xff", 4),
                              perigee_text(NULL),
                              perigee_bytes(NULL, 0)};
  for (size_t i = 0; i < sizeof in / sizeof *in; i++) {
    perigee_task *t;
    const perigee_value *out = call1(rt, "return ...", in[i], &t);
    REQUIRE(out != NULL);
    CHECK(out->type == in[i].type);
    if (in[i].type == PERIGEE_STRING) {
      CHECK(out->count == in[i].count);
      CHECK(in[i].count == 0 ||
            memcmp(out->as.string, in[i].as.string, in[i].count) == 0);
      CHECK(out->as.string[out->count] == '\0');
    } else if (in[i].type != PERIGEE_NIL && in[i].type != PERIGEE_NULL) {
      CHECK(in[i].type == PERIGEE_BOOLEAN
                ? out->as.boolean == in[i].as.boolean
                : out->as.integer == in[i].as.integer);
    }
    perigee_task_free(t);
  }
  bed_close(rt);
}

static void test_nested(void) {
  perigee *rt = bed_open(NULL);
  perigee_value items[2] = {perigee_integer(1), perigee_null()};
  perigee_field fields[] = {perigee_pair("name", perigee_text("Io")),
                            perigee_pair("gone", perigee_nil()),
                            perigee_pair("list", perigee_list(items, 2))};
  perigee_task *t;
  const perigee_value *out =
      call1(rt,
            "local r = ... assert(r.gone == nil and r.list[1] == 1)\n"
            "assert(r.list[2] == perigee.null)\n"
            "return { r = r, empty = {}, none = perigee.json_object {},\n"
            "  deep = { { { true } } } }, 2",
            perigee_record(fields, 3), &t);
  REQUIRE(out != NULL);
  const perigee_value *r = perigee_get(out, "r");
  CHECK_STR(perigee_as_text(perigee_get(r, "name"), NULL), "Io");
  CHECK(r->count == 2 && perigee_get(r, "gone")->type == PERIGEE_NIL);
  CHECK_STR(r->as.fields[0].name, "list"); /* by name */
  CHECK(perigee_item(perigee_get(r, "list"), 1)->type == PERIGEE_NULL);
  CHECK(perigee_item(perigee_get(r, "list"), 2)->type == PERIGEE_NIL);
  CHECK(perigee_get(out, "empty")->type == PERIGEE_LIST);
  CHECK(perigee_get(out, "none")->type == PERIGEE_RECORD);
  const perigee_value *deep = perigee_get(out, "deep");
  CHECK(perigee_as_boolean(
      perigee_item(perigee_item(perigee_item(deep, 0), 0), 0)));
  CHECK(perigee_as_integer(out + 1, 0) == 2);
  perigee_task_free(t);
  bed_close(rt);
}

static void test_readers(void) {
  perigee_value number = perigee_number(3), odd = perigee_number(0.5);
  perigee_value huge = perigee_number(1e300), yes = perigee_text("0");
  perigee_value null = perigee_null(), no = perigee_boolean(0);
  perigee_value three = perigee_integer(3);
  CHECK(perigee_as_integer(&number, 0) == 3);
  CHECK(perigee_as_integer(&odd, 7) == 7 && perigee_as_integer(&huge, 7) == 7);
  CHECK(perigee_as_integer(NULL, 7) == 7 && perigee_as_integer(&yes, 7) == 7);
  CHECK(perigee_as_number(&three, 0) == 3 && perigee_as_number(NULL, 2) == 2);
  CHECK_STR(perigee_as_text(&three, "?"), "?");
  CHECK_STR(perigee_as_text(NULL, "?"), "?");
  CHECK(perigee_as_boolean(&yes) && perigee_as_boolean(&three));
  CHECK(!perigee_as_boolean(&null) && !perigee_as_boolean(&no));
  CHECK(!perigee_as_boolean(NULL));
  CHECK(perigee_get(NULL, "x")->type == PERIGEE_NIL);
  CHECK(perigee_get(&three, "x")->type == PERIGEE_NIL);
  CHECK(perigee_get(&three, NULL)->type == PERIGEE_NIL);
  CHECK(perigee_item(&three, 0)->type == PERIGEE_NIL);
  CHECK_STR(perigee_version(), PERIGEE_VERSION);
  CHECK(perigee_abi() == PERIGEE_ABI);
}

/* ---- functions of the program's ------------------------------------------ */

static int native_sum(perigee_call *call, void *data) {
  int64_t sum = 0;
  for (size_t i = 0; i < perigee_arg_count(call); i++)
    sum += perigee_as_integer(perigee_arg(call, i), 0);
  *(int64_t *)data += sum;
  perigee_value out[2] = {perigee_integer(sum),
                          perigee_text("and a text of its own")};
  CHECK(perigee_arg(call, 100)->type == PERIGEE_NIL);
  CHECK(perigee_call_runtime(call) != NULL);
  return perigee_return(call, out, 2);
}

static int native_fail(perigee_call *call, void *data) {
  int kind = (int)perigee_as_integer(perigee_arg(call, 0), 0);
  (void)data;
  if (kind == -1) return 17;
  return perigee_fail(call, kind, "no %s today", "fish");
}

static void test_natives(void) {
  perigee *rt = bed_open(NULL);
  int64_t total = 0;
  GOOD(perigee_register(rt, "app.math.sum", native_sum, &total, &err));
  GOOD(perigee_register(rt, "fail", native_fail, NULL, &err));
  GOOD(perigee_set(rt, "app.title", perigee_text("moons"), &err));
  CHECK(bed_integer(rt,
                    "local s, text = app.math.sum(1, 2, 3)\n"
                    "assert(text == 'and a text of its own')\n"
                    "assert(app.title == 'moons')\n"
                    "return s") == 6);
  CHECK(total == 6);
  bed_fails(rt, "fail(1000)", PERIGEE_E_SCRIPT, "test:1: no fish today");
  bed_fails(rt, "fail(-1)", PERIGEE_E_SCRIPT, "fail failed (17)");
  CHECK(bed_integer(rt,
                    "local ok, err = pcall(fail, 23)\n"
                    "assert(not ok and err.kind == 'not_found')\n"
                    "assert(tostring(err) == 'not_found: no fish today')\n"
                    "ok, err = pcall(app.math.sum, print)\n"
                    "assert(err.kind == 'usage', err)\n"
                    "return 1") == 1);
  BAD(perigee_register(rt, "app.title.x", native_sum, NULL, &err),
      PERIGEE_E_USAGE, "title is not a table");
  BAD(perigee_set(rt, "a..b", perigee_nil(), &err), PERIGEE_E_USAGE,
      "is not a name");
  BAD(perigee_set(rt, "a.", perigee_nil(), &err), PERIGEE_E_USAGE,
      "is not a name");
  bed_close(rt);
}

/* ---- the loop ------------------------------------------------------------ */

static int count_ends;

static void on_end(perigee_task *t, void *data) {
  perigee *rt = data;
  count_ends++;
  CHECK(perigee_task_done(t));
  BAD(perigee_step(rt, &err), PERIGEE_E_USAGE, "called in a function");
  BAD(perigee_wait(t, 1, &err) == 1 ? perigee_wait_all(rt, 1, &err) : 0,
      PERIGEE_E_USAGE, "called in a function");
  BAD(perigee_close(rt, 1, &err), PERIGEE_E_USAGE, "called in a function");
  perigee_task_free(t);
}

static bool readable(perigee *rt, int ms) {
  struct pollfd p = {perigee_fd(rt), POLLIN, 0};
  return poll(&p, 1, ms) == 1;
}

/* Ten tasks that sleep take the time of one; the descriptor tells when. */
static void test_poll_loop(void) {
  perigee *rt = bed_open(NULL);
  int steps = 0, left = 1;
  GOOD(perigee_open(rt, "db", "sqlite::memory:", NULL, &err));
  CHECK(perigee_fd(rt) >= 0);
  count_ends = 0;
  for (int i = 0; i < 10; i++) {
    perigee_task *t = bed_start(rt,
                                "perigee.sleep(0.03)\n"
                                "return db:value 'select 42'");
    perigee_task_on_done(t, on_end, rt);
    CHECK(!perigee_task_done(t) && perigee_task_error(t) == NULL);
    CHECK(perigee_task_results(t, NULL) == NULL);
  }
  while (left > 0 && steps < 1000) {
    CHECK(readable(rt, 5000));
    GOOD(left = perigee_step(rt, &err));
    steps++;
  }
  CHECK(count_ends == 10);
  CHECK(steps < 100);
  CHECK(left == 0);
  GOOD(perigee_step(rt, &err));
  CHECK(!readable(rt, 0));
  bed_close(rt);
  CHECK(count_ends == 10);
}

static void test_wait(void) {
  perigee *rt = bed_open(NULL);
  perigee_task *slow = bed_start(rt, "perigee.sleep(0.5)");
  perigee_task *quick = bed_start(rt, "return 1");
  int r = -2;
  GOOD(r = perigee_wait(quick, -1, &err));
  CHECK(r == 1);
  GOOD(r = perigee_wait(slow, 0.01, &err));
  CHECK(r == 0 && !perigee_task_done(slow));
  GOOD(r = perigee_wait_all(rt, 0, &err));
  CHECK(r == 0);
  GOOD(r = perigee_wait_all(rt, 10, &err));
  CHECK(r == 1 && perigee_task_done(slow));
  GOOD(r = perigee_wait(slow, 0, &err));
  CHECK(r == 1);
  perigee_task_free(slow);
  perigee_task_free(quick);
  bed_close(rt);
}

static void test_cancel(void) {
  perigee *rt = bed_open(NULL);
  const char *text = "perigee.sleep(60)";
  perigee_task *waits = bed_start(rt, text), *fresh;
  GOOD(perigee_step(rt, &err));
  fresh = bed_start(rt, text);
  GOOD(perigee_task_cancel(waits, "enough", &err));
  GOOD(perigee_task_cancel(fresh, NULL, &err));
  CHECK(perigee_task_done(fresh) && !perigee_task_done(waits));
  GOOD(perigee_wait_all(rt, 5, &err));
  REQUIRE(perigee_task_error(waits) != NULL);
  CHECK(perigee_task_error(waits)->kind == PERIGEE_E_CANCELLED);
  CHECK_STR(perigee_task_error(waits)->message, "enough");
  CHECK_STR(perigee_task_error(waits)->traceback, "test:1: in the main chunk");
  CHECK(perigee_task_error(fresh)->kind == PERIGEE_E_CANCELLED);
  GOOD(perigee_task_cancel(waits, NULL, &err)); /* nothing */
  perigee_task_free(waits);
  perigee_task_free(fresh);
  bed_close(rt);
}

static char log_text[512];

static void keep_log(void *data, const char *line) {
  (void)snprintf(log_text, sizeof log_text, "%s%s", (const char *)data, line);
}

/* Nobody asks for these any more. */
static void test_detached(void) {
  perigee_options o;
  perigee_options_init(&o);
  o.log = keep_log;
  o.data = "log: ";
  perigee *rt = bed_open(&o);
  perigee_task_free(bed_start(rt, "perigee.sleep(0) error 'unheard'"));
  GOOD(perigee_wait_all(rt, 5, &err));
  CHECK_STR(log_text, "log: test:1: unheard");
  CHECK(bed_integer(rt,
                    "perigee.spawn(function() error 'lost' end)\n"
                    "perigee.sleep(0.01) return 1") == 1);
  CHECK_STR(log_text, "log: test:1: lost");
  log_text[0] = '\0';
  perigee_task_free(bed_start(rt, "perigee.sleep(60)"));
  bed_close(rt);
  CHECK_STR(log_text, "");
}

/* ---- closing ------------------------------------------------------------- */

static void test_close(void) {
  perigee *rt = bed_open(NULL);
  char path[64];
  perigee_function *f = NULL;
  (void)snprintf(path, sizeof path, "sqlite:////tmp/perigee-embed-%d.db",
                 (int)getpid());
  GOOD(perigee_open(rt, "db", path, NULL, &err));
  CHECK(bed_integer(rt,
                    "db:script 'create table if not exists t(a integer);"
                    "delete from t' return 1") == 1);
  GOOD(f = perigee_load_text(rt, "x", "", 0, &err));
  perigee_task *t = bed_start(rt,
                              "db:transaction(function(tx)\n"
                              "  tx:insert('t', { a = 1 })\n"
                              "  perigee.sleep(60)\n"
                              "end)");
  for (int i = 0; i < 20; i++) GOOD(perigee_step(rt, &err));
  GOOD(perigee_close(rt, 5, &err));
  REQUIRE(perigee_task_done(t));
  CHECK(perigee_task_error(t)->kind == PERIGEE_E_CANCELLED);
  CHECK(perigee_close(rt, 5, NULL) == 0);
  CHECK(perigee_fd(rt) == -1 && perigee_memory(rt) == 0);
  BAD(perigee_step(rt, &err), PERIGEE_E_CLOSED, "closed");
  BAD(perigee_start(f, NULL, 0, &err), PERIGEE_E_CLOSED, "closed");
  BAD(perigee_set(rt, "x", perigee_nil(), &err), PERIGEE_E_CLOSED, "closed");
  BAD(perigee_open(rt, "db", path, NULL, &err), PERIGEE_E_CLOSED, "closed");
  perigee_interrupt(rt);
  perigee_free(rt);
  BAD(perigee_start(f, NULL, 0, &err), PERIGEE_E_CLOSED, "freed");
  CHECK(perigee_task_error(t)->kind == PERIGEE_E_CANCELLED);
  perigee_task_free(t);
  perigee_function_free(f);
  rt = bed_open(NULL);
  GOOD(perigee_open(rt, "db", path, NULL, &err));
  CHECK(bed_integer(rt, "return db:value 'select count(*) from t'") == 0);
  perigee_free(rt); /* without closing */
  unlink(path + strlen("sqlite:///"));
}

/* Scripts that do not want to end, waiting or not. */
static void test_close_late(void) {
  static const char *const scripts[] = {
      "while true do pcall(perigee.sleep, 60) end",
      "pcall(perigee.sleep, 60) while true do end"};
  for (int i = 0; i < 2; i++) {
    perigee *rt = bed_open(NULL);
    perigee_task *t = bed_start(rt, scripts[i]);
    GOOD(perigee_step(rt, &err));
    BAD(perigee_close(rt, 0.05, &err), PERIGEE_E_TIMEOUT, "1 tasks");
    CHECK(perigee_task_error(t)->kind == PERIGEE_E_CLOSED);
    perigee_task_free(t);
    perigee_free(rt);
  }
}

static void free_runtime(perigee_task *t, void *data) {
  perigee_task_free(t);
  perigee_free(data);
}

static void test_free_in_callback(void) {
  perigee *rt = bed_open(NULL);
  int r = -2;
  perigee_task_on_done(bed_start(rt, "return 1"), free_runtime, rt);
  GOOD(r = perigee_step(rt, &err));
  CHECK(r == 0);
  rt = bed_open(NULL);
  perigee_task *t = bed_start(rt, "perigee.sleep(0.01)");
  perigee_task_on_done(t, free_runtime, rt);
  GOOD(r = perigee_wait(t, 5, &err));
  CHECK(r == 1);
  rt = bed_open(NULL);
  perigee_task_on_done(bed_start(rt, "perigee.sleep(60)"), free_runtime, rt);
  GOOD(perigee_close(rt, 5, &err));
}

/* A script that gives less than is asked for. */
static void test_results_missing(void) {
  perigee *rt = bed_open(NULL);
  size_t n = 9;
  perigee_task *t = bed_run(rt, "return 'a text that follows'");
  const perigee_value *results = perigee_task_results(t, &n);
  CHECK(n == 1 && results[1].type == PERIGEE_NIL);
  perigee_task_free(t);
  t = bed_run(rt, "");
  results = perigee_task_results(t, &n);
  CHECK(n == 0);
  CHECK_STR(perigee_as_text(results, "nothing"), "nothing");
  perigee_task_free(t);
  bed_close(rt);
}

int main(void) {
  RUN(test_scalars);
  RUN(test_nested);
  RUN(test_readers);
  RUN(test_natives);
  RUN(test_poll_loop);
  RUN(test_wait);
  RUN(test_cancel);
  RUN(test_detached);
  RUN(test_close);
  RUN(test_close_late);
  RUN(test_free_in_callback);
  RUN(test_results_missing);
  return check_result();
}
