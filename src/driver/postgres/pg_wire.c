/*
** The link by our own codec (src/wire). libpq connects; then the socket, or the
** SSL object that libpq has on it, is ours, and libpq is only asked to cancel and
** to say goodbye. docs/internals/wire.md tells the story.
*/
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "driver/postgres/pg_int.h"
#include "driver/postgres/pg_socket.h"

enum {
  SEND_AT_ONCE = 16 * 1024, /* bytes that do not wait for more */
  MAX_READS = 16,           /* in one step, then others have a turn */
  MAX_IDLE_READS = 4        /* likewise, when nothing is expected */
};

struct pg_wire {
  struct pg_socket socket;
  struct prg_wire_in in;
  struct prg_wire_out out;
  struct pg_head *head; /* owned reference: columns of the rows that come */
  uint32_t *params;     /* owned: types of the statement being described */
  size_t nparams;
  bool described; /* the answer to a Describe of a statement is awaited */
  bool rows;      /* rows of this answer have come */
  bool more;      /* the last read took all that there was room for */
  bool gone;      /* the socket gives nothing any more */
  int reads;      /* in this step */
  int error;      /* why, an errno; 0: it was closed */
  char *now[PG_NBASELINE]; /* owned: parameters as they were told last */
};

/* ---- sending ------------------------------------------------------------ */

static int flush(struct pg_conn *c) {
  struct pg_wire *w = c->wire;
  c->want_write = false;
  if (w->out.failed) return pg_lose(c, prg_error_oom());
  while (prg_wire_out_left(&w->out) > 0) {
    ssize_t n = pg_socket_write(&w->socket, w->out.data + w->out.sent,
                                prg_wire_out_left(&w->out));
    if (n == PG_SOCKET_LATER) {
      c->want_write = true;
      return PRG_OK;
    }
    if (n < 0) { /* what the server said before may still be read */
      w->error = errno;
      n = (ssize_t)prg_wire_out_left(&w->out);
    }
    prg_wire_out_gone(&w->out, (size_t)n);
  }
  return PRG_OK;
}

static bool may_wait(const struct pg_conn *c) {
  size_t left = prg_wire_out_left(&c->wire->out);
  return left > 0 && left < SEND_AT_ONCE;
}

/* A pipeline's commands are counted and end with a Sync of their own; one alone
** brings its Sync with it. What was written goes at the end of the step. */
static int sent(struct pg_conn *c) {
  struct pg_exchange *x = &c->run->x;
  if (x->pipeline) {
    x->sent++;
  } else {
    x->syncs = 1;
    prg_wire_sync(&c->wire->out);
  }
  return PRG_OK;
}

static int begin(struct pg_conn *c) {
  (void)c;
  return PRG_OK;
}

static int sync(struct pg_conn *c) {
  prg_wire_sync(&c->wire->out);
  c->run->x.syncs++;
  return PRG_OK;
}

static int parse(struct pg_conn *c, const char *name,
                 const struct prg_stmt *stmt) {
  struct prg_wire_text sql = {stmt->sql, stmt->len};
  prg_wire_parse(&c->wire->out, name, sql, c->sig, stmt->nparams);
  return sent(c);
}

static int describe(struct pg_conn *c, const char *name) {
  prg_wire_describe(&c->wire->out, 'S', name);
  return sent(c);
}

static int forget(struct pg_conn *c, const char *name) {
  prg_wire_close(&c->wire->out, 'S', name);
  return sent(c);
}

/* Its messages are not counted: its end is told by `preluding`. */
static void prelude(struct pg_conn *c, const struct prg_stmt *stmt) {
  const struct prg_wire_text sql = {stmt->sql, stmt->len};
  const struct prg_wire_bind none = {.stmt = ""};
  prg_wire_parse(&c->wire->out, "", sql, NULL, 0);
  prg_wire_bind(&c->wire->out, &none);
  prg_wire_execute(&c->wire->out, 0);
  c->run->preluding = true;
}

static struct prg_wire_bind bind_of(struct pg_conn *c, const char *name, int n,
                                    const struct pg_plan *plan) {
  struct prg_wire_bind b = {.stmt = name,
                            .nparams = n,
                            .values = c->values,
                            .lengths = c->lengths,
                            .formats = c->formats};
  if (plan != NULL && plan->format != PG_TEXT_FORMAT) {
    b.results = plan->formats;
    b.nresults = plan->format == PG_EACH_FORMAT ? (int)plan->desc->ncols : 1;
  }
  return b;
}

static int bound(struct pg_conn *c, const char *name, int n,
                 const struct pg_plan *plan, bool want_columns) {
  struct prg_wire_out *o = &c->wire->out;
  struct prg_wire_bind b = bind_of(c, name, n, plan);
  struct pg_exchange *x = &c->run->x;
  c->run->untold = !want_columns;
  if (!want_columns) { /* nearly always: all in one piece */
    prg_wire_run(o, &b, !x->pipeline);
    if (x->pipeline)
      x->sent++;
    else
      x->syncs = 1;
    return PRG_OK;
  }
  prg_wire_bind(o, &b);
  prg_wire_describe(o, 'P', "");
  prg_wire_execute(o, 0);
  return sent(c);
}

static int whole(struct pg_conn *c, const struct prg_stmt *stmt) {
  struct prg_wire_out *o = &c->wire->out;
  struct prg_wire_text sql = {stmt->sql, stmt->len};
  prg_wire_parse(o, "", sql, c->sig, stmt->nparams);
  struct prg_wire_bind b = bind_of(c, "", stmt->nparams, NULL);
  prg_wire_bind(o, &b);
  prg_wire_describe(o, 'P', "");
  prg_wire_execute(o, 0);
  c->run->untold = false;
  return sent(c);
}

static int query(struct pg_conn *c, const char *sql, size_t len) {
  prg_wire_query(&c->wire->out, (struct prg_wire_text){sql, len});
  c->run->untold = false;
  c->run->simple = true;
  c->run->x.syncs = 1;
  return PRG_OK;
}

static int copy_data(struct pg_conn *c, const char *data, size_t n) {
  prg_wire_copy_data(&c->wire->out, data, n);
  return PRG_OK;
}

static int copy_end(struct pg_conn *c, const char *why) {
  c->run->x.copy = PG_COPY_NONE;
  if (why == NULL)
    prg_wire_copy_done(&c->wire->out);
  else
    prg_wire_copy_fail(&c->wire->out, why);
  return PRG_OK;
}

/* Rows always come in pieces. */
static void by_rows(struct pg_conn *c) {
  (void)c;
}

/* ---- input -------------------------------------------------------------- */

/* One read. False: nothing came. */
static bool read_more(struct pg_conn *c) {
  struct pg_wire *w = c->wire;
  size_t room;
  w->more = false;
  if (w->gone) return false;
  char *to = prg_wire_room(&w->in, &room);
  if (to == NULL) {
    w->gone = true;
    w->error = ENOMEM;
    return false;
  }
  ssize_t n = pg_socket_read(&w->socket, to, room);
  if (n == PG_SOCKET_LATER) return false;
  if (n <= 0) {
    if (n < 0 && w->error == 0) w->error = errno;
    w->gone = true;
    return false;
  }
  w->reads++;
  w->more = (size_t)n == room || pg_socket_has_more(&w->socket);
  prg_wire_fed(&w->in, (size_t)n);
  return true;
}

static int read_busy(struct pg_conn *c) {
  c->wire->reads = 0;
  (void)read_more(c); /* what is wrong shows when there is no message left */
  return PRG_OK;
}

static struct prg_error *garbage(const char *what) {
  struct prg_error *e = prg_error_new(
      PRG_K_CLOSED, "the server sent what is not its protocol: %s", what);
  if (e != prg_error_oom()) memcpy(e->sqlstate, "08P01", sizeof "08P01");
  return e;
}

static int lose_garbage(struct pg_conn *c, const char *what) {
  return pg_lose(c, garbage(what));
}

static int lose_malformed(struct pg_conn *c, const struct prg_wire_msg *m) {
  char what[64];
  snprintf(what, sizeof what, "a malformed message of type '%c'", m->type);
  return lose_garbage(c, what);
}

/* ---- messages at any time ----------------------------------------------- */

static int take_parameter(struct pg_conn *c, const struct prg_wire_msg *m) {
  struct prg_wire_cur cur = prg_wire_body(m);
  const char *name = prg_wire_string(&cur), *value = prg_wire_string(&cur);
  if (cur.bad) return lose_malformed(c, m);
  for (int i = 0; i < PG_NBASELINE; i++) {
    if (strcmp(name, pg_watched[i]) != 0) continue;
    char *copy = prg_strdup(value);
    if (copy == NULL) return pg_lose(c, prg_error_oom());
    prg_free(c->wire->now[i]);
    c->wire->now[i] = copy;
    c->retold = true;
  }
  return PRG_OK;
}

static int take_notice(struct pg_conn *c, const struct prg_wire_msg *m) {
  struct prg_wire_fields f;
  if (prg_wire_fields(m, &f) != PRG_OK) return lose_malformed(c, m);
  pg_take_notice(c, &f);
  return PRG_OK;
}

static int take_notify(struct pg_conn *c, const struct prg_wire_msg *m) {
  struct prg_wire_cur cur = prg_wire_body(m);
  uint32_t pid = prg_wire_int32(&cur);
  const char *channel = prg_wire_string(&cur);
  const char *payload = prg_wire_string(&cur);
  if (cur.bad) return lose_malformed(c, m);
  return pg_take_notify(c, pid, channel, payload);
}

/* Notices, parameters and notifications come when they like. PRG_AGAIN: it is
** none of these. */
static int take_any_time(struct pg_conn *c, const struct prg_wire_msg *m) {
  switch (m->type) {
    case 'N':
      return take_notice(c, m);
    case 'S':
      return take_parameter(c, m);
    case 'A':
      return take_notify(c, m);
    case 'K':
      return PRG_OK;
    default:
      return PRG_AGAIN;
  }
}

/* Nothing is expected: the end, or what may come at any time. */
static int take_idle(struct pg_conn *c) {
  struct prg_wire_msg m;
  int rc;
  while ((rc = prg_wire_next(&c->wire->in, &m)) == PRG_OK) {
    rc = m.type == 'E' ? take_notice(c, &m) : take_any_time(c, &m);
    if (rc == PRG_AGAIN) return lose_malformed(c, &m);
    if (rc != PRG_OK) return rc;
  }
  return rc == PRG_ERR ? lose_garbage(c, c->wire->in.error) : PRG_OK;
}

static int read_idle(struct pg_conn *c) {
  bool more = true;
  for (int i = 0; i < MAX_IDLE_READS && more; i++) {
    more = read_more(c);
    if (take_idle(c) != PRG_OK) return PRG_ERR;
  }
  if (c->wire->gone || c->fatal != NULL) return pg_lose(c, NULL);
  return PRG_OK;
}

/* ---- messages of an exchange -------------------------------------------- */

/* The end of one of a pipeline's commands. */
static void command_ended(struct pg_conn *c) {
  if (c->run->x.pipeline) c->run->x.ended++;
}

static int read_columns(struct pg_conn *c, const struct prg_wire_msg *m,
                        struct pg_head **out) {
  struct pg_wire *w = c->wire;
  struct prg_wire_cur cur = prg_wire_body(m);
  size_t n = prg_wire_int16(&cur);
  char *names;
  struct pg_head *h = pg_head_new(n, w->nparams, m->len, &names);
  if (h == NULL) return pg_lose(c, prg_error_oom());
  memcpy(names, m->body, m->len); /* the names are in there */
  for (size_t i = 0; i < n; i++) {
    struct prg_wire_column col = prg_wire_column(&cur);
    h->cols[i].name = cur.bad ? "" : names + (col.name - m->body);
    h->cols[i].type = col.type;
    h->cols[i].format = col.format == 1 ? PG_BINARY_FORMAT : PG_TEXT_FORMAT;
  }
  if (w->nparams > 0)
    memcpy(h->params, w->params, w->nparams * sizeof *w->params);
  if (cur.bad) {
    pg_head_unref(h);
    return lose_malformed(c, m);
  }
  *out = h;
  return PRG_OK;
}

/* The columns of the rows that come. They count also when they were not asked
** for. */
static int take_head(struct pg_conn *c, const struct prg_wire_msg *m,
                     struct pg_head *h) {
  struct pg_run *r = c->run;
  if (c->wire->rows || c->wire->head != NULL) {
    pg_head_unref(h);
    return lose_malformed(c, m);
  }
  c->wire->head = h;
  if (!r->untold) return PRG_OK;
  r->untold = r->has_plan = false;
  pg_plan_unref(r->plan);
  r->plan = NULL;
  return PRG_OK;
}

/* Columns, or that there are none: of what was described, or of what comes. */
static int take_columns(struct pg_conn *c, const struct prg_wire_msg *m) {
  static const char none[2] = "";
  const struct prg_wire_msg empty = {'T', none, sizeof none};
  struct pg_wire *w = c->wire;
  struct pg_head *h = NULL;
  if (read_columns(c, m->type == 'T' ? m : &empty, &h) != PRG_OK)
    return PRG_ERR;
  w->nparams = 0;
  if (!w->described) return take_head(c, m, h);
  w->described = false;
  struct pg_answer a = {.end = true, .described = h, .tag = ""};
  c->run->x.on_result(c, &a);
  pg_head_unref(h);
  command_ended(c);
  return PRG_OK;
}

static int take_param_types(struct pg_conn *c, const struct prg_wire_msg *m) {
  struct pg_wire *w = c->wire;
  struct prg_wire_cur cur = prg_wire_body(m);
  size_t n = prg_wire_int16(&cur);
  if (m->len != 2 + 4 * n || w->described) return lose_malformed(c, m);
  uint32_t *p = prg_realloc(w->params, (n + 1) * sizeof *p);
  if (p == NULL) return pg_lose(c, prg_error_oom());
  for (size_t i = 0; i < n; i++) p[i] = prg_wire_int32(&cur);
  w->params = p;
  w->nparams = n;
  w->described = true;
  return PRG_OK;
}

/* After the end of a command, or an error. */
static void forget_columns(struct pg_wire *w) {
  pg_head_unref(w->head);
  w->head = NULL;
  w->described = w->rows = false;
  w->nparams = 0;
}

static void answer_init(struct pg_conn *c, struct pg_answer *a) {
  memset(a, 0, sizeof *a);
  a->untold = c->run->untold;
  a->cols.head = c->wire->head;
  a->tag = "";
}

static int prelude_ended(struct pg_conn *c) {
  c->run->preluding = false;
  c->run->req->begun = true;
  return PRG_OK;
}

static int take_end(struct pg_conn *c, const struct prg_wire_msg *m) {
  struct pg_wire *w = c->wire;
  struct prg_wire_cur cur = prg_wire_body(m);
  struct pg_answer a;
  answer_init(c, &a);
  a.end = true;
  if (m->type == 'C') a.tag = prg_wire_string(&cur);
  if (cur.bad) return lose_malformed(c, m);
  if (c->run->preluding) return prelude_ended(c);
  if (c->run->x.copying)
    c->run->x.copying = false;
  else
    c->run->x.on_result(c, &a);
  forget_columns(w);
  command_ended(c);
  return PRG_OK;
}

static int take_error(struct pg_conn *c, const struct prg_wire_msg *m) {
  struct prg_wire_fields f;
  if (prg_wire_fields(m, &f) != PRG_OK) return lose_malformed(c, m);
  pg_take_failure(c, &f);
  if (pg_is_fatal(&f)) pg_take_notice(c, &f);
  forget_columns(c->wire);
  c->run->x.copying = false;
  c->run->x.copy = PG_COPY_NONE;
  return PRG_OK;
}

static int take_ready(struct pg_conn *c, const struct prg_wire_msg *m) {
  struct prg_wire_cur cur = prg_wire_body(m);
  enum prg_tx tx = PRG_TX_UNKNOWN;
  switch (prg_wire_byte(&cur)) {
    case 'I':
      tx = PRG_TX_IDLE;
      break;
    case 'T':
      tx = PRG_TX_OPEN;
      break;
    case 'E':
      tx = PRG_TX_FAILED;
      break;
    default:
      return lose_malformed(c, m);
  }
  if (--c->run->x.syncs == 0) pg_exchange_ended(c, tx);
  return PRG_OK;
}

/* In a COPY to the server all that was sent behind it, the Sync too, is taken for
** its data, or ignored. */
static int take_copy(struct pg_conn *c, const struct prg_wire_msg *m) {
  if (c->run->x.on_copy != NULL && m->type != 'W')
    return c->run->x.on_copy(c, m->type);
  pg_refuse_copy(c);
  if (c->run->x.pipeline || m->type == 'W') return pg_lose(c, pg_take_error(c));
  if (m->type == 'H') {
    c->run->x.copying = true;
    return PRG_OK;
  }
  prg_wire_copy_fail(&c->wire->out, "not supported");
  if (!c->run->simple) prg_wire_sync(&c->wire->out);
  return PRG_OK;
}

static int take_message(struct pg_conn *c, const struct prg_wire_msg *m) {
  switch (m->type) {
    case '2': /* BindComplete */
      return PRG_OK;
    case 'C':
    case 'I':
    case 's':
      return take_end(c, m);
    case 'Z':
      return take_ready(c, m);
    case '1': /* ParseComplete: part of a command, or one of its own */
    case '3':
      if (!c->run->preluding) command_ended(c);
      return PRG_OK;
    case 't':
      return take_param_types(c, m);
    case 'T':
    case 'n':
      return take_columns(c, m);
    case 'E':
      return take_error(c, m);
    case 'G':
    case 'H':
    case 'W':
      return take_copy(c, m);
    case 'd': /* also the end of a binary COPY */
    case 'c':
      return c->run->x.copying || c->run->x.copy == PG_COPY_OUT
                 ? PRG_OK
                 : lose_malformed(c, m);
    case 'D': /* of a batch: nobody wants them */
      return c->run->x.pipeline && !c->run->preluding ? PRG_OK
                                                      : lose_malformed(c, m);
    default:
      break;
  }
  int rc = take_any_time(c, m);
  return rc == PRG_AGAIN ? lose_malformed(c, m) : rc;
}

/* ---- rows --------------------------------------------------------------- */

/* Columns of the rows that come. False: none are expected. */
static bool expected(const struct pg_conn *c, size_t *ncols) {
  const struct pg_run *r = c->run;
  if (r->preluding) return false;
  if (c->wire->head != NULL) {
    *ncols = c->wire->head->ncols;
    return true;
  }
  if (!r->untold || r->x.syncs == 0) return false;
  *ncols = r->plan == NULL ? 0 : r->plan->desc->ncols; /* "select" has none */
  return !r->x.pipeline;
}

/* The rows at the head of the buffer. PRG_AGAIN: there are none. */
static int take_rows(struct pg_conn *c) {
  struct pg_wire *w = c->wire;
  struct pg_exchange *x = &c->run->x;
  struct pg_answer a;
  size_t ncols;
  if (!expected(c, &ncols)) return PRG_AGAIN;
  size_t max = x->rows == NULL ? SIZE_MAX : x->rows(c);
  answer_init(c, &a);
  if (prg_wire_rows(&w->in, ncols, max, &a.rows) != PRG_OK)
    return lose_garbage(c, w->in.error);
  if (a.rows.n == 0) return PRG_AGAIN;
  a.nrows = a.rows.n;
  w->rows = true;
  x->on_result(c, &a);
  return PRG_OK;
}

/* Nothing is left of what was read. PRG_OK: there is more now. */
static int refill(struct pg_conn *c) {
  struct pg_wire *w = c->wire;
  if (w->more && w->reads >= MAX_READS) {
    w->reads = 0;
    prg_conn_kick(&c->base);
    return PRG_AGAIN;
  }
  if (w->more && read_more(c)) return PRG_OK;
  return w->gone ? pg_lose(c, NULL) : PRG_AGAIN;
}

static int take(struct pg_conn *c) {
  struct prg_wire_msg m;
  char next = prg_wire_peek(&c->wire->in);
  int rc = next == 'D' ? take_rows(c) : PRG_AGAIN;
  if (next == 'd' && c->run->x.copy == PG_COPY_OUT)
    rc = pg_copy_take(c, &c->wire->in);
  if (rc != PRG_AGAIN) return rc;
  rc = prg_wire_next(&c->wire->in, &m);
  if (rc == PRG_OK) return take_message(c, &m);
  if (rc == PRG_ERR) return lose_garbage(c, c->wire->in.error);
  return refill(c);
}

/* ---- the rest ----------------------------------------------------------- */

static const char *parameter(struct pg_conn *c, int i) {
  return c->wire->now[i];
}

static struct prg_error *why(struct pg_conn *c) {
  const struct pg_wire *w = c->wire;
  if (w->error == ENOMEM) return prg_error_oom();
  if (w->error != 0)
    return prg_error_new(PRG_K_CLOSED,
                         "the connection to the server is lost: %s",
                         strerror(w->error));
  return prg_error_new(PRG_K_CLOSED,
                       "the server closed the connection unexpectedly");
}

static void fini(struct pg_conn *c) {
  struct pg_wire *w = c->wire;
  if (w == NULL) return;
  prg_wire_in_fini(&w->in);
  prg_wire_out_fini(&w->out);
  pg_head_unref(w->head);
  prg_free(w->params);
  for (int i = 0; i < PG_NBASELINE; i++) prg_free(w->now[i]);
  prg_free(w);
  c->wire = NULL;
}

const struct pg_link pg_by_wire = {
    .name = "wire",
    .safe_close = true,
    .formats = PG_EACH_FORMAT,
    .max_described = PQ_QUERY_PARAM_MAX_LIMIT,
    .begin = begin,
    .parse = parse,
    .describe = describe,
    .close = forget,
    .prelude = prelude,
    .bound = bound,
    .whole = whole,
    .query = query,
    .sync = sync,
    .copy_data = copy_data,
    .copy_end = copy_end,
    .by_rows = by_rows,
    .flush = flush,
    .may_wait = may_wait,
    .read = read_busy,
    .read_idle = read_idle,
    .take = take,
    .rest = take_idle,
    .parameter = parameter,
    .why = why,
    .fini = fini,
};

bool pg_wire_take_over(struct pg_conn *c) {
  struct pg_wire *w = prg_calloc(1, sizeof *w);
  if (w == NULL) return false;
  prg_wire_in_init(&w->in);
  prg_wire_out_init(&w->out);
  c->wire = w;
  bool ok = pg_socket_take(&w->socket, c->pg);
  for (int i = 0; i < PG_NBASELINE && ok; i++) {
    const char *now = PQparameterStatus(c->pg, pg_watched[i]);
    w->now[i] = prg_strdup(now);
    ok = now == NULL || w->now[i] != NULL;
  }
  if (ok)
    c->link = &pg_by_wire;
  else
    fini(c);
  return ok;
}
