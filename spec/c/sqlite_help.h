/* What the tests of the SQLite driver share: a database, requests, checks. */
#ifndef PRG_SPEC_SQLITE_HELP_H
#define PRG_SPEC_SQLITE_HELP_H

#include "check.h"

#include <strings.h>

#include "base/clock.h"
#include "base/mem.h"
#include "driver/driver.h"

static const struct prg_driver *driver;
static char dir[64];

/* ---- a connection -------------------------------------------------------- */

struct db {
  struct prg_hub *hub;
  struct prg_config cfg;
  struct prg_conn *conn[4]; /* a test's choice */
  bool opened, broken;
};

static struct db *current;

static inline void on_event(struct prg_conn *c, enum prg_event ev) {
  struct db *d = c->owner;
  if (ev == PRG_EV_OPENED) d->opened = true;
  if (ev == PRG_EV_BROKEN) d->broken = true;
}

static inline void turn(struct db *d) {
  (void)prg_hub_run(d->hub, 20 * PRG_MS);
}

/* The path of a file of ours; rotates over four buffers. */
static inline const char *path_of(const char *name) {
  static char text[4][128];
  static int at;
  char *p = text[at++ % 4];
  snprintf(p, sizeof(text[0]), "%s/%s", dir, name);
  return p;
}

static inline struct prg_error *configure(struct db *d, const char *name,
                                          const char *query) {
  struct prg_error *e = NULL;
  char url[256];
  bool memory = strcmp(name, ":memory:") == 0;
  memset(d, 0, sizeof(*d));
  snprintf(url, sizeof(url), "sqlite:%s%s%s", memory ? "" : "///",
           memory ? name : path_of(name), query);
  if (prg_url_parse(url, strlen(url), &d->cfg.url, &e) != PRG_OK) return e;
  d->cfg.statement_cache = 16;
  d->cfg.connect_timeout = 10 * PRG_SECOND;
  return driver->check(&d->cfg);
}

static inline struct prg_conn *connect_lane(struct db *d, int i,
                                            enum prg_lane lane) {
  struct prg_conn *c = prg_conn_new(driver, &d->cfg, NULL, d->hub, lane);
  d->conn[i] = c;
  d->opened = d->broken = false;
  c->event = on_event;
  c->owner = d;
  prg_conn_connect(c, prg_now() + 10 * PRG_SECOND);
  while (!d->opened && !d->broken) turn(d);
  return c;
}

/* Opens `name` with its connection 0 as the writer. */
static inline struct prg_conn *open_db(struct db *d, const char *name,
                                       const char *query) {
  struct prg_error *e = configure(d, name, query);
  CHECK(e == NULL);
  if (e != NULL) fprintf(stderr, "  %s\n", prg_error_message(e));
  d->hub = prg_hub_new(&e);
  current = d;
  return connect_lane(d, 0, PRG_LANE_WRITE);
}

static inline void close_db(struct db *d) {
  for (int i = 0; i < 4; i++) prg_conn_close(d->conn[i], "end of test");
  CHECK(!prg_hub_busy(d->hub));
  prg_hub_unref(d->hub);
  prg_url_fini(&d->cfg.url);
  current = NULL;
}

/* ---- requests ------------------------------------------------------------ */

static inline unsigned flags_of(const char *sql) {
  static const struct {
    const char *word;
    unsigned flags;
  } words[] = {{"select", PRG_STMT_READ | PRG_STMT_CURSOR},
               {"with", PRG_STMT_READ | PRG_STMT_CURSOR},
               {"explain", PRG_STMT_READ},
               {"begin", PRG_STMT_CONTROL | PRG_STMT_UTILITY},
               {"commit", PRG_STMT_CONTROL | PRG_STMT_UTILITY},
               {"rollback", PRG_STMT_CONTROL | PRG_STMT_UTILITY},
               {"savepoint", PRG_STMT_CONTROL | PRG_STMT_UTILITY},
               {"release", PRG_STMT_CONTROL | PRG_STMT_UTILITY},
               {"insert", 0},
               {"update", 0},
               {"delete", 0}};
  for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
    if (strncasecmp(sql, words[i].word, strlen(words[i].word)) != 0) continue;
    if (words[i].word[0] == 'i' && strstr(sql, "values") != NULL)
      return PRG_STMT_VALUES;
    return words[i].flags;
  }
  return PRG_STMT_UTILITY;
}

static inline struct prg_value v_int(int64_t i) {
  return (struct prg_value){.type = PRG_INT, .u.i = i};
}

static inline struct prg_value v_text(enum prg_type type, const char *p,
                                      size_t n) {
  return (struct prg_value){.type = type, .u.s = {p, n}};
}

static inline struct prg_value v_str(const char *p) {
  return v_text(PRG_TEXT, p, strlen(p));
}

static int done_calls;

static inline void on_done(struct prg_req *req) {
  (void)req;
  done_calls++;
}

static inline struct prg_req *make(enum prg_req_kind kind, const char *sql,
                                   unsigned flags, int nparams) {
  struct prg_stmt *st =
      sql == NULL ? NULL : prg_stmt_new(sql, strlen(sql), flags, nparams);
  struct prg_req *req = prg_req_new(kind, st);
  prg_stmt_unref(st);
  req->done = on_done;
  return req;
}

static inline void finish(struct prg_req *req) {
  while (req->state == PRG_REQ_QUEUED || req->state == PRG_REQ_SENT)
    turn(current);
}

/* Runs one statement to its end. */
static inline struct prg_req *query(struct prg_conn *c, const char *sql, int n,
                                    ...) {
  struct prg_req *req = make(PRG_REQ_QUERY, sql, flags_of(sql), n);
  struct prg_value v[16];
  va_list ap;
  va_start(ap, n);
  for (int i = 0; i < n; i++) v[i] = va_arg(ap, struct prg_value);
  va_end(ap);
  req->params = v;
  prg_conn_submit(c, req);
  req->params = req->params_owned ? req->params : NULL;
  finish(req);
  return req;
}

/* A statement that must work. Returns affected. */
static inline int64_t run(struct prg_conn *c, const char *sql) {
  struct prg_req *req = query(c, sql, 0);
  int64_t n = req->result == NULL ? -2 : req->result->affected;
  CHECK(req->error == NULL);
  if (req->error != NULL)
    fprintf(stderr, "  %s: %s\n", sql, prg_error_message(req->error));
  prg_req_free(req);
  return n;
}

static inline struct prg_req *script(struct prg_conn *c, const char *sql) {
  struct prg_req *req = make(PRG_REQ_SCRIPT, sql, PRG_STMT_MULTI, 0);
  prg_conn_submit(c, req);
  finish(req);
  return req;
}

static inline void run_script(struct prg_conn *c, const char *sql) {
  struct prg_req *req = script(c, sql);
  CHECK(req->error == NULL);
  if (req->error != NULL)
    fprintf(stderr, "  %s\n", prg_error_message(req->error));
  prg_req_free(req);
}

/* First column of the first row. */
static inline struct prg_value cell(struct prg_req *req) {
  struct prg_value none = {.type = PRG_NULL};
  if (!CHECK(req->error == NULL)) {
    fprintf(stderr, "  %s\n", prg_error_message(req->error));
    return none;
  }
  if (!CHECK(req->result != NULL && req->result->nrows > 0)) return none;
  return *prg_result_row(req->result, 0);
}

static inline int64_t int_of(struct prg_conn *c, const char *sql) {
  struct prg_req *req = query(c, sql, 0);
  struct prg_value v = cell(req);
  CHECK(v.type == PRG_INT);
  prg_req_free(req);
  return v.u.i;
}

static inline struct prg_error *error_of(struct prg_conn *c, const char *sql) {
  struct prg_req *req = query(c, sql, 0);
  struct prg_error *e = prg_error_ref(req->error);
  CHECK(e != NULL);
  prg_req_free(req);
  return e == NULL ? prg_error_oom() : e;
}

/* The statement fails with this kind and code (0: any). */
static inline void check_kind(struct prg_conn *c, const char *sql,
                              enum prg_kind kind, int code) {
  struct prg_error *e = error_of(c, sql);
  bool ok = e->kind == kind && (code == 0 || e->code == code);
  CHECK(ok);
  if (!ok)
    fprintf(stderr, "  %s\n  %s %d: %s\n", sql, prg_kind_name(e->kind), e->code,
            prg_error_message(e));
  prg_error_unref(e);
}

static inline bool is_text(const struct prg_value *v, enum prg_type type,
                           const char *p, size_t n) {
  return v->type == type && v->u.s.n == n && memcmp(v->u.s.p, p, n) == 0;
}

static inline bool is_str(const struct prg_value *v, enum prg_type type,
                          const char *s) {
  bool ok = is_text(v, type, s, strlen(s));
  if (!ok)
    fprintf(stderr, "  type %d text %.*s, want %d %s\n", (int)v->type,
            v->type >= PRG_TEXT ? (int)v->u.s.n : 0,
            v->type >= PRG_TEXT ? v->u.s.p : "", (int)type, s);
  return ok;
}

static inline struct prg_req *batch(struct prg_conn *c, const char *sql,
                                    size_t n, int64_t from, int64_t bad) {
  struct prg_req *r = make(PRG_REQ_BATCH, sql, PRG_STMT_VALUES, 1);
  struct prg_value *v = prg_arena_alloc(&r->arena, n * sizeof(*v));
  for (size_t i = 0; i < n; i++) v[i] = v_int(from + (int64_t)i);
  if (bad >= 0) v[bad].type = PRG_NULL;
  r->params = v;
  r->params_owned = true;
  r->nsets = n;
  prg_conn_submit(c, r);
  finish(r);
  return r;
}

static inline struct prg_req *stream(struct prg_conn *c, const char *sql,
                                     size_t chunk) {
  struct prg_req *r = make(PRG_REQ_STREAM, sql, flags_of(sql), 0);
  r->chunk = chunk;
  prg_conn_submit(c, r);
  finish(r);
  return r;
}

static inline void make_table(const char *name) {
  struct db d;
  struct prg_conn *c = open_db(&d, name, "");
  run(c, "create table t (a)");
  run(c, "insert into t values (1)");
  close_db(&d);
}

/* ---- main ---------------------------------------------------------------- */

/* Loads the driver and makes the folder. False: there is no driver here. */
static inline bool begin_tests(void) {
  const char *build = getenv("PERIGEE_BUILD");
  struct prg_error *e = NULL;
  char path[256];
  snprintf(path, sizeof(path), "%s/lua/perigee/driver/sqlite.so",
           build == NULL ? "build" : build);
  if (access(path, F_OK) != 0) {
    printf("skipped: there is no SQLite driver\n");
    return false;
  }
  driver = prg_driver_load(path, &e);
  if (driver == NULL) {
    fprintf(stderr, "%s\n", prg_error_message(e));
    exit(1);
  }
  snprintf(dir, sizeof(dir), "/tmp/perigee_sqlite_XXXXXX");
  if (mkdtemp(dir) == NULL) exit(1);
  return true;
}

static inline int end_tests(void) {
  char command[128];
  snprintf(command, sizeof(command), "rm -rf '%s'", dir);
  if (system(command) != 0) return 1;
  return check_result();
}

#endif
