/* QUERY and STREAM by prepared statements, whose rows are binary. */
#include "driver/mysql/my_int.h"

#include <string.h>

#include "base/mem.h"

enum { TOO_MANY_STATEMENTS = 1461, NOT_PREPARABLE = 1295 };
enum { UNKNOWN_STATEMENT = 1243, PREPARE_AGAIN = 1615 };

/* Of any server. */
#define MAX_PACKET ((size_t)1 << 30)

/* So many rows, or so long, are read in vain before the server is told. */
enum { REST_ROWS = 1000 };
#define REST_TIME PRG_SECOND

/* ---- parameters ----------------------------------------------------------- */

bool my_have_binds(struct my_conn *c, size_t n) {
  if (n <= c->nbinds) return true;
  MYSQL_BIND *b = prg_realloc(c->binds, n * sizeof *b);
  if (b == NULL) return false;
  c->binds = b;
  c->nbinds = n;
  return true;
}

/* A packet that is too long would cost the connection. */
static struct prg_error *check_set(const struct my_conn *c,
                                   const struct prg_value *v, size_t n) {
  size_t bytes = 64, limit = c->limit > 0 ? c->limit : MAX_PACKET;
  for (size_t i = 0; i < n; i++) {
    struct prg_error *e = my_check_value((int)i + 1, &v[i], &bytes);
    if (e != NULL) return e;
  }
  if (bytes <= limit) return NULL;
  return prg_error_new(PRG_K_RESOURCE,
                       "the parameters take %zu bytes, and the server takes "
                       "packets of up to %zu (max_allowed_packet)",
                       bytes, limit);
}

/* For the library. */
static struct prg_error *bind_set(struct my_conn *c, const struct prg_value *v,
                                  size_t n) {
  MYSQL_STMT *st = c->run.e->st;
  if (n == 0) return NULL;
  if (!my_have_binds(c, n)) return prg_error_oom();
  for (size_t i = 0; i < n; i++) my_bind_value(&v[i], &c->binds[i]);
  if (mysql_stmt_bind_param(st, c->binds) == 0) return NULL;
  return my_error_new(c->my, st, c->run.req->stmt);
}

struct prg_error *my_execute(struct my_conn *c, size_t set, my_then *then) {
  struct my_run *r = &c->run;
  size_t n = (size_t)r->req->stmt->nparams;
  const struct prg_value *v = n == 0 ? NULL : r->req->params + set * n;
  struct prg_error *e = check_set(c, v, n);
  if (e != NULL) return e;
  c->st = r->e->st;
  r->wire = c->wire.on && !r->cursor;
  if (!r->wire)
    e = bind_set(c, v, n);
  else if (!my_wire_pack(c, v))
    e = prg_error_oom();
  if (e == NULL) my_do(c, r->wire ? my_wire_execute : my_op_execute, then);
  return e;
}

/* ---- preparing ------------------------------------------------------------ */

static my_then make_entry, execute;

static void ready(struct my_conn *c) {
  c->run.ready(c);
}

static void after_evict(struct my_conn *c) {
  make_entry(c);
}

/* Closes the oldest one. */
static void evict(struct my_conn *c, my_then *then) {
  struct my_entry *e =
      PRG_CONTAINER(prg_list_first(&c->cache.lru), struct my_entry, lru);
  my_cache_remove(&c->cache, e);
  c->st = e->st;
  e->st = NULL;
  my_entry_free(e);
  my_do(c, my_op_close, then);
}

static void after_prepare(struct my_conn *c) {
  struct my_entry *e = c->run.e;
  struct prg_stmt *stmt = c->run.req->stmt;
  if (c->rc != 0) {
    unsigned code = my_errno(c->my, e->st);
    if (code == TOO_MANY_STATEMENTS && c->cache.lru.count > 0) {
      mysql_stmt_close(e->st); /* never prepared: the server is told nothing */
      e->st = NULL;
      my_entry_free(e);
      c->run.e = NULL;
      evict(c, after_evict);
    } else if ((code == NOT_PREPARABLE || code == TOO_MANY_STATEMENTS) &&
               stmt->nparams == 0 && c->run.req->kind == PRG_REQ_QUERY) {
      my_text_begin(c);
    } else {
      my_fail(c, e->st);
    }
    return;
  }
  if (mysql_stmt_param_count(e->st) != (unsigned long)stmt->nparams) {
    my_fail_with(c,
                 prg_error_new(PRG_K_USAGE,
                               "the server sees %lu parameters in the "
                               "statement, and %d are given",
                               mysql_stmt_param_count(e->st), stmt->nparams));
    return;
  }
  if (c->base.config->statement_cache > 0 && !c->run.cursor)
    my_cache_add(&c->cache, e);
  ready(c);
}

static void make_entry(struct my_conn *c) {
  struct prg_stmt *stmt = c->run.req->stmt;
  size_t keep = c->base.config->statement_cache;
  if (keep > 0 && c->cache.lru.count >= keep && !c->run.cursor) {
    evict(c, after_evict);
    return;
  }
  c->run.e = my_entry_new(c->my, stmt);
  if (c->run.e == NULL) {
    my_fail_with(c, prg_error_oom());
    return;
  }
  c->st = c->run.e->st;
  c->sql = stmt->sql;
  c->len = stmt->len;
  my_do(c, my_op_prepare, after_prepare);
}

void my_prepare(struct my_conn *c, my_then *then) {
  c->run.ready = then;
  /* They are needed when the server has answered, and perhaps once more. */
  if (prg_req_own_params(c->run.req) != PRG_OK) {
    my_fail_with(c, prg_error_oom());
    return;
  }
  /* Two streams of one text have two cursors. */
  if (!c->run.cursor) c->run.e = my_cache_find(&c->cache, c->run.req->stmt);
  if (c->run.e != NULL)
    ready(c);
  else
    make_entry(c);
}

/* ---- rows ----------------------------------------------------------------- */

bool my_is_unwanted(const struct my_conn *c) {
  return c->run.delivered || c->run.req->ghost || c->run.error != NULL;
}

size_t my_row_limit(const struct my_conn *c) {
  const struct prg_req *req = c->run.req;
  if (c->run.whole) return SIZE_MAX;
  if (req->kind == PRG_REQ_STREAM) return req->chunk == 0 ? 500 : req->chunk;
  if (req->kind == PRG_REQ_SCRIPT || req->max_rows == 0) return SIZE_MAX;
  return req->max_rows;
}

void my_count_rest(struct my_conn *c) {
  struct my_run *r = &c->run;
  if (r->rest++ == 0) r->from = prg_now();
  if ((r->req->stmt->flags & PRG_STMT_READ) == 0 || c->barrier) return;
  if (r->rest == REST_ROWS ||
      (r->rest % 64 == 0 && prg_now() - r->from > REST_TIME))
    my_kill(c);
}

/* Other statements may run while the stream waits (without memory they wait). */
static void set_aside(struct my_conn *c) {
  struct my_run *r = prg_alloc(sizeof *r);
  if (r == NULL) return;
  *r = c->run;
  r->req->impl = r;
  memset(&c->run, 0, sizeof c->run);
}

/* The owner has what he wants of a QUERY, or this part of a STREAM. */
void my_deliver(struct my_conn *c, bool truncated) {
  struct prg_req *req = c->run.req;
  struct my_result *res = c->run.res;
  res->base.truncated = truncated;
  res->base.affected = (int64_t)res->base.nrows;
  my_result_tag(&res->base, c->run.req->stmt->sql);
  c->run.res = NULL;
  if (truncated) c->run.delivered = true;
  if (c->run.cursor) set_aside(c);
  prg_req_deliver(req, &res->base);
}

static bool have_cells(struct my_conn *c, size_t n) {
  if (n <= c->ncells) return true;
  const unsigned char **cells = prg_realloc(c->cells, n * sizeof *cells);
  if (cells == NULL) return false;
  c->cells = cells;
  c->ncells = n;
  return true;
}

/* Where the cells of the row are. Nothing is bound: the library tells where values are in
** the packet. */
static struct prg_error *find_cells(struct my_conn *c, unsigned n) {
  if (!have_cells(c, n)) return prg_error_oom();
  if (c->run.wire)
    return my_wire_cells(c, c->cells) ? NULL : prg_error_ref(c->base.error);
  for (unsigned i = 0; i < n; i++) c->cells[i] = c->st->bind[i].u.row_ptr;
  return NULL;
}

bool my_add_row(struct my_conn *c) {
  struct my_plan *p = &c->run.e->plan;
  struct my_result *res = c->run.res;
  struct prg_value *row = my_result_row(res);
  struct prg_error *e = row == NULL ? prg_error_oom() : find_cells(c, p->ncols);
  for (unsigned i = 0; i < p->ncols && e == NULL; i++)
    e = my_read_cell(&p->cols[i], c->cells[i], p->desc->cols[i].name.p,
                     c->zero_dates, &res->arena, &row[i]);
  c->run.error = e;
  if (e == NULL) my_result_keep(res);
  return e == NULL;
}

static my_then after_fetch;

void my_fetch(struct my_conn *c, my_then *then) {
  c->st = c->run.e->st;
  my_do(c, c->run.wire ? my_wire_fetch : my_op_fetch, then);
}

static void fetch(struct my_conn *c) {
  my_fetch(c, after_fetch);
}

static void after_next(struct my_conn *c);

static void skip(struct my_conn *c) {
  if (mysql_more_results(c->my))
    my_do(c, my_op_stmt_next, after_next);
  else
    c->run.skipped(c);
}

/* The library reads the rows away, and keeps quiet about an error among them. */
static void after_free(struct my_conn *c) {
  c->rc = mysql_errno(c->my) != 0;
  if (c->rc == 0)
    skip(c);
  else
    c->run.skipped(c);
}

static void after_next(struct my_conn *c) {
  if (c->rc == 0) {
    my_do(c, my_op_stmt_free, after_free);
    return;
  }
  if (c->rc < 0) c->rc = 0;
  c->run.skipped(c);
}

/* By the wire. */
static void skip_on(struct my_conn *c) {
  if (c->rc != 0 || my_wire_is_over(c))
    c->run.skipped(c);
  else
    my_do(c, my_wire_skip, skip_on);
}

void my_skip_results(struct my_conn *c, my_then *then) {
  c->run.skipped = then;
  c->rc = 0;
  if (c->run.wire)
    skip_on(c);
  else
    skip(c);
}

static void after_skip(struct my_conn *c) {
  if (c->rc != 0)
    my_fail(c, c->st);
  else
    my_end(c);
}

static void all_fetched(struct my_conn *c) {
  if (c->my->field_count > 0) my_note_end(c);
  if (c->run.res != NULL)
    my_result_count(c->run.res, c->run.req->stmt->sql, c->my);
  my_skip_results(c, after_skip);
}

static bool is_read(const struct my_conn *c) {
  return (c->run.req->stmt->flags & PRG_STMT_READ) != 0;
}

/* Is it a chunk of a stream, to be delivered? */
static bool is_full(const struct my_conn *c) {
  const struct prg_result *res = &c->run.res->base;
  if (c->run.req->kind != PRG_REQ_STREAM || c->run.whole) return false;
  return res->nrows == my_row_limit(c) || res->bytes >= PRG_CHUNK_BYTES;
}

static void take_row(struct my_conn *c) {
  struct my_result *res = c->run.res;
  if (my_is_unwanted(c)) {
    my_count_rest(c);
  } else if (res->base.nrows == my_row_limit(c)) {
    /* One more than wanted. What writes is read to its end, which may still be an
    ** error. */
    res->base.truncated = true;
    if (is_read(c))
      my_deliver(c, true);
    else
      c->run.rest++;
  } else if (my_add_row(c) && is_full(c)) {
    my_deliver(c, false);
    return; /* paused, or given up: my_query_resume */
  }
  fetch(c);
}

static void after_fetch(struct my_conn *c) {
  if (c->rc == MYSQL_NO_DATA) {
    all_fetched(c);
  } else if (c->rc == 0 || c->rc == MYSQL_DATA_TRUNCATED) {
    take_row(c);
  } else {
    my_fail(c, c->st);
  }
}

void my_query_resume(struct my_conn *c) {
  struct my_run *r = &c->run;
  if (r->cursor && my_is_unwanted(c)) {
    my_end(c); /* closing the statement closes the cursor */
    return;
  }
  if (r->res == NULL && !my_is_unwanted(c)) {
    r->res = my_result_new(r->e->plan.desc);
    if (r->res == NULL) r->error = prg_error_oom();
  }
  fetch(c);
}

/* ---- executing ------------------------------------------------------------ */

static void after_drop(struct my_conn *c) {
  c->run.e = NULL;
  my_prepare(c, execute);
}

/* The statement is gone: nothing has run. */
static bool try_again(struct my_conn *c) {
  struct my_entry *e = c->run.e;
  unsigned code = my_errno(c->my, e->st);
  if (code != UNKNOWN_STATEMENT && code != PREPARE_AGAIN) return false;
  if (e->cached) my_cache_remove(&c->cache, e);
  if (c->run.retried) return false;
  c->run.retried = true;
  c->st = e->st;
  e->st = NULL;
  my_entry_free(e);
  my_do(c, my_op_close, after_drop);
  return true;
}

struct prg_error *my_describe(struct my_conn *c) {
  struct my_entry *e = c->run.e;
  struct my_fields f = {c->my->fields, mariadb_stmt_fetch_fields(c->st), NULL,
                        c->my->field_count, c->run.req->stmt};
  if (c->run.wire) {
    if (!my_wire_fields(c, &f)) return NULL;
    e->changed = f.json != NULL && c->wire.caches;
  }
  if (my_plan_update(&e->plan, &f) != PRG_OK) return prg_error_oom();
  return NULL;
}

static void after_execute(struct my_conn *c) {
  struct my_run *r = &c->run;
  if (c->rc != 0) {
    if (!try_again(c)) my_fail(c, c->st);
    return;
  }
  r->error = my_describe(c);
  if (r->cursor && (c->my->server_status & SERVER_STATUS_CURSOR_EXISTS) == 0)
    r->whole = true;
  r->res = my_result_new(r->e->plan.desc);
  if (r->res == NULL) r->error = prg_error_oom();
  if (c->my->field_count == 0) {
    all_fetched(c);
    return;
  }
  fetch(c);
}

static void use_cursor(struct my_conn *c) {
  unsigned long type = CURSOR_TYPE_READ_ONLY, rows = my_row_limit(c);
  mysql_stmt_attr_set(c->run.e->st, STMT_ATTR_CURSOR_TYPE, &type);
  mysql_stmt_attr_set(c->run.e->st, STMT_ATTR_PREFETCH_ROWS, &rows);
}

static void execute(struct my_conn *c) {
  struct prg_error *e;
  if (c->run.cursor) use_cursor(c);
  e = my_execute(c, 0, after_execute);
  if (e != NULL) my_fail_with(c, e);
}

/* By text goes what the server does not prepare or what is not worth it. */
static bool by_text(const struct my_conn *c) {
  const struct prg_stmt *stmt = c->run.req->stmt;
  if (stmt->nparams > 0 || c->run.req->kind == PRG_REQ_STREAM) return false;
  return (stmt->flags &
          (PRG_STMT_UTILITY | PRG_STMT_CONTROL | PRG_STMT_MULTI)) != 0 ||
         c->base.config->statement_cache == 0;
}

void my_query_begin(struct my_conn *c) {
  struct my_run *r = &c->run;
  bool stays = r->req->kind == PRG_REQ_STREAM && !r->req->alone;
  r->cursor = stays && (r->req->stmt->flags & PRG_STMT_CURSOR) != 0;
  r->whole = stays && !r->cursor;
  if ((c->run.req->stmt->flags & PRG_STMT_EMPTY) != 0) {
    c->run.res = my_result_new(NULL);
    if (c->run.res == NULL) c->run.error = prg_error_oom();
    my_end(c);
  } else if (by_text(c)) {
    my_text_begin(c);
  } else {
    my_prepare(c, execute);
  }
}
