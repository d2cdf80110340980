/*
** What the tests of drivers for servers share: a connection, requests that are waited
** for, and cells as texts. They run against the server that a variable (a URL) names,
** and are skipped (exit 77) without.
*/
#ifndef PRG_SPEC_SERVER_BED_H
#define PRG_SPEC_SERVER_BED_H

#include <signal.h>
#include <strings.h>

#include "base/clock.h"
#include "base/mem.h"
#include "check.h"
#include "driver/driver.h"

static const struct prg_driver *driver;
static const char *base_url;

/* ---- a connection and what happened to it ------------------------------- */

struct bed {
  struct prg_config cfg;
  void *shared;
  struct prg_hub *hub;
  struct prg_conn *conn;
  bool opened, broken, drained;
  int notices;
  char why[64];      /* SQLSTATE or kind of what broke it */
  char message[512]; /* its message */
};

static inline void on_event(struct prg_conn *c, enum prg_event ev) {
  struct bed *b = c->owner;
  if (ev == PRG_EV_OPENED) b->opened = true;
  if (ev == PRG_EV_DRAINED) b->drained = true;
  if (ev == PRG_EV_NOTICE) b->notices++;
  if (ev != PRG_EV_BROKEN) return;
  b->broken = true;
  const struct prg_error *e = c->error;
  snprintf(b->why, sizeof b->why, "%s",
           e->sqlstate[0] ? e->sqlstate : prg_kind_name(e->kind));
  snprintf(b->message, sizeof b->message, "%s", prg_error_message(e));
}

/* Turns the hub until `*what` or `seconds` have passed. */
static inline bool spin(struct bed *b, const bool *what, double seconds) {
  int64_t due = prg_due_in(seconds);
  while (!*what && prg_now() < due) prg_hub_run(b->hub, 10 * PRG_MS);
  return *what;
}

static inline void turn(struct bed *b, int ms) {
  int64_t due = prg_now() + ms * PRG_MS;
  do prg_hub_run(b->hub, PRG_MS);
  while (prg_now() < due);
}

static inline struct prg_error *bed_setup(struct bed *b, const char *url) {
  struct prg_error *e = NULL;
  memset(b, 0, sizeof *b);
  if (prg_url_parse(url, strlen(url), &b->cfg.url, &e) != PRG_OK) return e;
  b->cfg.statement_cache = 100;
  b->cfg.connect_timeout = 10 * PRG_SECOND;
  e = driver->check(&b->cfg);
  if (e != NULL) return e;
  if (driver->shared_new != NULL) b->shared = driver->shared_new(&b->cfg);
  b->hub = prg_hub_new(&e);
  return e;
}

static inline void bed_connect(struct bed *b, double seconds) {
  b->opened = b->broken = false;
  b->conn = prg_conn_new(driver, &b->cfg, b->shared, b->hub, PRG_LANE_WRITE);
  b->conn->event = on_event;
  b->conn->owner = b;
  prg_conn_connect(b->conn, prg_due_in(seconds));
  int64_t due = prg_due_in(seconds + 5);
  while (!b->opened && !b->broken && prg_now() < due)
    prg_hub_run(b->hub, 10 * PRG_MS);
}

static inline bool bed_open(struct bed *b) {
  struct prg_error *e = bed_setup(b, base_url);
  if (e != NULL) fprintf(stderr, "%s\n", prg_error_message(e));
  if (!CHECK(e == NULL)) return false;
  bed_connect(b, 10);
  if (b->broken) fprintf(stderr, "%s\n", b->message);
  return CHECK(b->opened);
}

static inline void bed_close(struct bed *b) {
  if (b->conn != NULL) prg_conn_close(b->conn, "test ends");
  for (int i = 0; i < 100 && prg_hub_busy(b->hub); i++)
    prg_hub_run(b->hub, 10 * PRG_MS);
  prg_hub_unref(b->hub);
  if (driver->shared_free != NULL) driver->shared_free(b->shared);
  prg_url_fini(&b->cfg.url);
}

/* ---- requests ----------------------------------------------------------- */

static inline void on_done(struct prg_req *req) {
  bool *flag = req->owner;
  *flag = true;
}

static inline bool starts(const char *sql, const char *word) {
  return strncasecmp(sql, word, strlen(word)) == 0;
}

static inline unsigned flags_of(const char *sql) {
  static const char *const named[] = {"insert", "update", "delete", "with"};
  static const char *const control[] = {"begin", "commit", "rollback",
                                        "savepoint"};
  if (starts(sql, "select") || starts(sql, "values")) return PRG_STMT_READ;
  for (size_t i = 0; i < sizeof named / sizeof named[0]; i++)
    if (starts(sql, named[i])) return 0;
  for (size_t i = 0; i < sizeof control / sizeof control[0]; i++)
    if (starts(sql, control[i])) return PRG_STMT_UTILITY | PRG_STMT_CONTROL;
  return PRG_STMT_UTILITY;
}

static inline struct prg_req *new_req(enum prg_req_kind kind, const char *sql,
                                      int nparams) {
  struct prg_stmt *stmt =
      sql == NULL ? NULL
                  : prg_stmt_new(sql, strlen(sql), flags_of(sql), nparams);
  struct prg_req *req = prg_req_new(kind, stmt);
  prg_stmt_unref(stmt);
  return req;
}

/* Submits and waits until it is DONE or PAUSED. */
static inline void submit(struct bed *b, struct prg_req *req) {
  bool flag = false;
  req->done = on_done;
  req->owner = &flag;
  prg_conn_submit(b->conn, req);
  if (req->state != PRG_REQ_DONE && req->state != PRG_REQ_PAUSED)
    CHECK(spin(b, &flag, 30));
  req->owner = NULL;
  req->done = NULL;
}

static inline void resume(struct bed *b, struct prg_req *req) {
  bool flag = false;
  req->done = on_done;
  req->owner = &flag;
  prg_req_resume(req);
  if (req->state != PRG_REQ_DONE && req->state != PRG_REQ_PAUSED)
    CHECK(spin(b, &flag, 30));
  req->owner = NULL;
  req->done = NULL;
}

static inline struct prg_req *query_with(struct bed *b, const char *sql, int n,
                                         const struct prg_value *params) {
  struct prg_req *req = new_req(PRG_REQ_QUERY, sql, n);
  req->params = params;
  submit(b, req);
  return req;
}

static inline struct prg_req *query(struct bed *b, const char *sql) {
  return query_with(b, sql, 0, NULL);
}

static inline const char *why(const struct prg_req *req) {
  if (req->error == NULL) return "ok";
  if (req->error->sqlstate[0]) return req->error->sqlstate;
  return prg_kind_name(req->error->kind);
}

/* A statement that must end as `want` says: "ok", a SQLSTATE or a kind. */
static inline void expect(struct bed *b, const char *sql, const char *want) {
  struct prg_req *req = query(b, sql);
  if (!CHECK_STR(why(req), want))
    fprintf(stderr, "  %s\n  %s\n", sql,
            req->error ? prg_error_message(req->error) : "");
  prg_req_free(req);
}

/* The first cell as text, in one of some static buffers. */
static inline const char *cell(struct prg_req *req, size_t row, size_t col) {
  static char texts[4][256];
  static int next;
  char *out = texts[next++ % 4];
  if (req->result == NULL || row >= req->result->nrows) {
    snprintf(out, 256, "(no row: %s)",
             req->error ? prg_error_message(req->error) : "");
    return out;
  }
  const struct prg_value *v = prg_result_row(req->result, row);
  if (v == NULL) return "(undecodable)";
  v += col;
  switch (v->type) {
    case PRG_NULL:
      return "NULL";
    case PRG_BOOL:
      return v->u.b ? "true" : "false";
    case PRG_INT:
      snprintf(out, 256, "%lld", (long long)v->u.i);
      return out;
    case PRG_DOUBLE:
      snprintf(out, 256, "%.17g", v->u.d);
      return out;
    case PRG_LIST:
      snprintf(out, 256, "list of %zu", v->u.list->n);
      return out;
    case PRG_RECORD:
      snprintf(out, 256, "record of %zu", v->u.map->n);
      return out;
    case PRG_TEXT:
    case PRG_BYTES:
    case PRG_DECIMAL:
    case PRG_JSON:
      snprintf(out, 256, "%.*s", (int)v->u.s.n, v->u.s.p);
      return out;
    default:
      return "(other)";
  }
}

static inline void expect_cell(struct bed *b, const char *sql,
                               const char *want) {
  struct prg_req *req = query(b, sql);
  if (!CHECK_STR(cell(req, 0, 0), want)) fprintf(stderr, "  %s\n", sql);
  prg_req_free(req);
}

static inline struct prg_value v_int(int64_t i) {
  return (struct prg_value){.type = PRG_INT, .u.i = i};
}

static inline struct prg_value v_text(const char *s) {
  return (struct prg_value){.type = PRG_TEXT, .u.s = {s, strlen(s)}};
}

static inline struct prg_req *script(struct bed *b, const char *sql) {
  struct prg_req *req = new_req(PRG_REQ_SCRIPT, sql, 0);
  submit(b, req);
  return req;
}

/* ---- programs ----------------------------------------------------------- */

static inline bool load(const char *name) {
  char path[1024];
  struct prg_error *e = NULL;
  const char *build = getenv("PERIGEE_BUILD");
  snprintf(path, sizeof path, "%s/lua/perigee/driver/%s.so",
           build == NULL ? "build" : build, name);
  driver = prg_driver_load(path, &e);
  if (driver == NULL) fprintf(stderr, "%s\n", prg_error_message(e));
  return driver != NULL;
}

/* The exit status when there is nothing to test, else 0 and all is set up. */
static inline int server_test_start(const char *name, const char *variable) {
  base_url = getenv(variable);
  if (base_url == NULL || base_url[0] == '\0') {
    printf("skipped: %s is not set\n", variable);
    return 77;
  }
  signal(SIGPIPE, SIG_IGN);
  return load(name) ? 0 : 1;
}

/* `only`: the first argument of the program, a part of a name. */
#define WITH(test, bed)                                                   \
  do {                                                                    \
    int64_t start_ = prg_now();                                           \
    int before_ = check_failures;                                         \
    if (only == NULL || strstr(#test, only)) test(bed);                   \
    if (check_failures != before_) fprintf(stderr, "FAILED %s\n", #test); \
    if (getenv("PERIGEE_TIMES"))                                          \
      printf("%-26s %lld ms\n", #test,                                    \
             (long long)(prg_now() - start_) / 1000);                     \
  } while (0)
#define ONE(test)                                       \
  do {                                                  \
    if (only == NULL || strstr(#test, only)) RUN(test); \
  } while (0)

#endif
