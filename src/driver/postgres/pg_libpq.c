/* The link by libpq, for what our own codec cannot serve. */
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "driver/postgres/pg_int.h"

enum {
  TLS_READS = 8,
  MAX_IDLE_READS = 4,
  COPY_BYTES = 32 * 1024, /* of a COPY that are taken at once */
  TLS_RECORD_READS = 3    /* of 8 KB at least: a record has 16 at most */
};

/* Parses what was read, too. */
static int take_notifies(struct pg_conn *c) {
  PGnotify *n;
  int rc = PRG_OK;
  while (rc == PRG_OK && (n = PQnotifies(c->pg)) != NULL) {
    rc = pg_take_notify(c, n->be_pid, n->relname, n->extra);
    PQfreemem(n);
  }
  return rc;
}

static bool is_lost(const struct pg_conn *c) {
  return PQstatus(c->pg) == CONNECTION_BAD;
}

/* ---- fields ------------------------------------------------------------- */

static void take_fields(const PGresult *res, struct prg_wire_fields *f) {
  static const char letters[] = {PG_DIAG_SEVERITY,
                                 PG_DIAG_SEVERITY_NONLOCALIZED,
                                 PG_DIAG_SQLSTATE,
                                 PG_DIAG_MESSAGE_PRIMARY,
                                 PG_DIAG_MESSAGE_DETAIL,
                                 PG_DIAG_MESSAGE_HINT,
                                 PG_DIAG_STATEMENT_POSITION,
                                 PG_DIAG_SCHEMA_NAME,
                                 PG_DIAG_TABLE_NAME,
                                 PG_DIAG_COLUMN_NAME,
                                 PG_DIAG_CONSTRAINT_NAME,
                                 PG_DIAG_SOURCE_FUNCTION,
                                 PG_DIAG_CONTEXT};
  memset(f, 0, sizeof *f);
  for (size_t i = 0; i < sizeof letters; i++)
    f->of[(unsigned char)letters[i]] = PQresultErrorField(res, letters[i]);
  if (f->of[PG_DIAG_MESSAGE_PRIMARY] == NULL) /* libpq's own words */
    f->of[PG_DIAG_MESSAGE_PRIMARY] = PQresultErrorMessage(res);
}

void pg_on_notice(void *arg, const PGresult *res) {
  struct prg_wire_fields f;
  if (arg == NULL) return;
  take_fields(res, &f);
  pg_take_notice(arg, &f);
}

/* ---- sending ------------------------------------------------------------ */

static int flush(struct pg_conn *c) {
  if (c->flight.count == 0) return PRG_OK;
  int rc = PQflush(c->pg);
  c->want_write = rc > 0;
  return rc < 0 ? pg_lose(c, NULL) : PRG_OK;
}

static int begin(struct pg_conn *c) {
  return PQenterPipelineMode(c->pg) ? PRG_OK : pg_lose(c, NULL);
}

/* A command alone is on its way at once; in a pipeline it is counted. */
static int sent(struct pg_conn *c, int ok) {
  if (!ok) return pg_lose(c, NULL);
  if (!c->run->x.pipeline) return flush(c);
  c->run->x.sent++;
  return PRG_OK;
}

static int sync(struct pg_conn *c) {
  if (!PQpipelineSync(c->pg)) return pg_lose(c, NULL);
  c->run->x.syncs++;
  return flush(c);
}

static int parse(struct pg_conn *c, const char *name,
                 const struct prg_stmt *stmt) {
  return sent(c, PQsendPrepare(c->pg, name, stmt->sql, stmt->nparams, c->sig));
}

static int describe(struct pg_conn *c, const char *name) {
  return sent(c, PQsendDescribePrepared(c->pg, name));
}

static int forget(struct pg_conn *c, const char *name) {
#ifdef LIBPQ_HAS_CLOSE_PREPARED
  return sent(c, PQsendClosePrepared(c->pg, name));
#else
  struct prg_buf sql;
  prg_buf_init(&sql, 0);
  prg_buf_addf(&sql, "DEALLOCATE %s", name);
  int ok = !sql.failed &&
           PQsendQueryParams(c->pg, sql.data, 0, NULL, NULL, NULL, NULL, 0);
  prg_buf_fini(&sql);
  return sent(c, ok);
#endif
}

static int bound(struct pg_conn *c, const char *name, int n,
                 const struct pg_plan *plan, bool want_columns) {
  (void)want_columns; /* libpq always asks for them */
  int format = plan == NULL ? PG_TEXT_FORMAT : plan->format;
  return sent(c, PQsendQueryPrepared(c->pg, name, n, c->values, c->lengths,
                                     c->formats, format));
}

static int whole(struct pg_conn *c, const struct prg_stmt *stmt) {
  return sent(
      c, PQsendQueryParams(c->pg, stmt->sql, stmt->nparams, c->sig, c->values,
                           c->lengths, c->formats, PG_TEXT_FORMAT));
}

static int query(struct pg_conn *c, const char *sql, size_t len) {
  (void)len;
  return sent(c, PQsendQuery(c->pg, sql));
}

static int copy_data(struct pg_conn *c, const char *data, size_t n) {
  return PQputCopyData(c->pg, data, (int)n) == 1 ? PRG_OK : pg_lose(c, NULL);
}

static int copy_end(struct pg_conn *c, const char *why) {
  c->run->x.copy = PG_COPY_NONE;
  return PQputCopyEnd(c->pg, why) == 1 ? flush(c) : pg_lose(c, NULL);
}

static void by_rows(struct pg_conn *c) {
#ifdef LIBPQ_HAS_CHUNK_MODE
  if (c->run->req->kind == PRG_REQ_STREAM) {
    PQsetChunkedRowsMode(c->pg, (int)c->run->req->chunk);
    return;
  }
#endif
  c->run->single = PQsetSingleRowMode(c->pg) == 1;
}

/* ---- reading ------------------------------------------------------------ */

/* In the middle of a COPY to the server libpq does not look at errors, so that all
** of the rest would be sent for nothing. Nothing but notices comes otherwise. */
static int look_for_error(struct pg_conn *c) {
  char type = '\0';
  if (recv(PQsocket(c->pg), &type, 1, MSG_PEEK | MSG_DONTWAIT) != 1 ||
      type != 'E' || PQsslInUse(c->pg))
    return PRG_OK;
  c->run->x.on_room = NULL;
  return copy_end(c,
                  "the server has refused it"); /* which it has said before */
}

static int read_busy(struct pg_conn *c) {
  if (c->run->x.copy == PG_COPY_IN && look_for_error(c) != PRG_OK)
    return PRG_ERR;
  c->half_read = PQsslInUse(c->pg) != 0;
  /* A failure shows in the result. */
  if (!PQconsumeInput(c->pg)) return is_lost(c) ? PRG_OK : pg_lose(c, NULL);
  return PRG_OK;
}

/* Nothing is expected: notices, changed parameters, or the end, which is looked
** for a little further than the last words. A server that does not stop talking
** must not stop the loop. */
static int read_idle(struct pg_conn *c) {
  struct pollfd p = {.events = POLLIN};
  int rounds = 0, hidden = PQsslInUse(c->pg) ? TLS_RECORD_READS : 0;
  do {
    bool ok = PQconsumeInput(c->pg);
    if (take_notifies(c) != PRG_OK) return PRG_ERR;
    /* What it has parsed may have been the server's last words. */
    if (!ok || is_lost(c) || c->fatal != NULL) return pg_lose(c, NULL);
    p.fd = PQsocket(c->pg);
  } while (++rounds < hidden ||
           (rounds < MAX_IDLE_READS && poll(&p, 1, 0) > 0));
  return PRG_OK;
}

static enum prg_tx tx_of(const struct pg_conn *c) {
  switch (PQtransactionStatus(c->pg)) {
    case PQTRANS_IDLE:
      return PRG_TX_IDLE;
    case PQTRANS_INTRANS:
      return PRG_TX_OPEN;
    case PQTRANS_INERROR:
      return PRG_TX_FAILED;
    case PQTRANS_ACTIVE:
    case PQTRANS_UNKNOWN:
      break;
  }
  return PRG_TX_UNKNOWN;
}

static void end_exchange(struct pg_conn *c) {
  pg_exchange_ended(c, tx_of(c));
}

static void take_error(struct pg_conn *c, PGresult *res) {
  struct prg_wire_fields f;
  take_fields(res, &f);
  if (f.of[PG_DIAG_SQLSTATE] == NULL && !is_lost(c)) c->run->x.garbled = true;
  pg_take_failure(c, &f);
  PQclear(res);
}

static int take_copy(struct pg_conn *c, PGresult *res) {
  ExecStatusType st = PQresultStatus(res);
  bool alone = !c->run->x.pipeline;
  PQclear(res);
  if (c->run->x.on_copy != NULL && st != PGRES_COPY_BOTH)
    return c->run->x.on_copy(c, st == PGRES_COPY_IN ? 'G' : 'H');
  pg_refuse_copy(c);
  if (st == PGRES_COPY_OUT && alone) {
    c->run->x.copying = true;
    return PRG_OK;
  }
  if (st == PGRES_COPY_IN && alone && PQputCopyEnd(c->pg, "not supported") >= 0)
    return flush(c);
  return pg_lose(c, pg_take_error(c));
}

/* Throws away what a COPY sends. PRG_AGAIN: more will come. */
static int skip_copy(struct pg_conn *c) {
  char *line;
  int n;
  while ((n = PQgetCopyData(c->pg, &line, 1)) > 0) PQfreemem(line);
  if (n == 0) return PRG_AGAIN;
  c->run->x.copying = false;
  return PRG_OK;
}

/* What OpenSSL has decrypted but libpq's buffer had no room for does not make the
** socket readable. */
static bool read_rest(struct pg_conn *c) {
  if (!c->half_read) return false;
  struct pollfd p = {.fd = PQsocket(c->pg), .events = POLLIN};
  c->half_read = poll(&p, 1, 0) > 0;
  return PQconsumeInput(c->pg) == 1;
}

/* Moves what is there to `in`, as messages again. PRG_AGAIN: it will come. */
static int move_copied(struct pg_conn *c, struct prg_wire_in *in) {
  char *line;
  int n = 0, rc = PRG_OK;
  for (size_t moved = 0; moved < COPY_BYTES && rc == PRG_OK;
       moved += (size_t)n) {
    n = PQgetCopyData(c->pg, &line, 1);
    if (n == 0 && moved == 0) return read_rest(c) ? PRG_OK : PRG_AGAIN;
    if (n <= 0) break;
    const char head[] = {'d', (char)((unsigned)(n + 4) >> 24),
                         (char)((unsigned)(n + 4) >> 16),
                         (char)((unsigned)(n + 4) >> 8), (char)(n + 4)};
    rc = prg_wire_put(in, head, sizeof head);
    if (rc == PRG_OK) rc = prg_wire_put(in, line, (size_t)n);
    PQfreemem(line);
  }
  if (rc != PRG_OK) return pg_lose(c, prg_error_oom());
  if (n < 0) c->run->x.copy = PG_COPY_NONE;
  return PRG_OK;
}

static int take_copied(struct pg_conn *c) {
  struct prg_wire_in *in = pg_copied_in(c);
  struct prg_wire_msg trailer;
  if (in == NULL) return pg_lose(c, prg_error_oom());
  int rc = PRG_AGAIN;
  if (prg_wire_peek(in) == 'd') {
    rc = pg_copy_take(c, in);
    if (rc == PRG_AGAIN) rc = prg_wire_next(in, &trailer);
  }
  return rc == PRG_AGAIN ? move_copied(c, in) : rc;
}

static int take_sync(struct pg_conn *c) {
  if (--c->run->x.syncs > 0) return PRG_OK;
  if (!PQexitPipelineMode(c->pg)) return pg_lose(c, NULL);
  end_exchange(c);
  return PRG_OK;
}

static int take_null(struct pg_conn *c) {
  if (is_lost(c)) return pg_lose(c, NULL);
  if (c->run->x.pipeline)
    c->run->x.ended++;
  else
    end_exchange(c);
  return PRG_OK;
}

/* What Describe told, kept apart from libpq; NULL without memory. */
static struct pg_head *head_of(const PGresult *res) {
  size_t ncols = (size_t)PQnfields(res), nparams = (size_t)PQnparams(res);
  size_t extra = 0;
  char *names;
  for (size_t i = 0; i < ncols; i++) extra += strlen(PQfname(res, (int)i)) + 1;
  struct pg_head *h = pg_head_new(ncols, nparams, extra, &names);
  if (h == NULL) return NULL;
  for (size_t i = 0; i < ncols; i++) {
    size_t n = strlen(PQfname(res, (int)i)) + 1;
    h->cols[i].name = memcpy(names, PQfname(res, (int)i), n);
    h->cols[i].type = PQftype(res, (int)i);
    names += n;
  }
  for (size_t i = 0; i < nparams; i++) h->params[i] = PQparamtype(res, (int)i);
  return h;
}

static void take_answer(struct pg_conn *c, PGresult *res) {
  struct pg_answer a = {.end = true, .res = res, .cols.res = res};
  ExecStatusType st = PQresultStatus(res);
  a.end = st != PGRES_SINGLE_TUPLE;
#ifdef LIBPQ_HAS_CHUNK_MODE
  if (st == PGRES_TUPLES_CHUNK) a.end = false;
#endif
  a.nrows = (size_t)PQntuples(res);
  a.tag = PQcmdStatus(res);
  /* The end of a PREPARE has neither columns nor parameters. */
  bool describes =
      c->run->loose || (c->run->req != NULL && c->run->req->copy != NULL);
  if (describes && c->run->x.pipeline && st == PGRES_COMMAND_OK)
    a.described = head_of(res);
  c->run->x.on_result(c, &a);
  pg_head_unref(a.described);
  PQclear(a.res);
}

static int take_result(struct pg_conn *c, PGresult *res) {
  switch (PQresultStatus(res)) {
    case PGRES_PIPELINE_SYNC:
      PQclear(res);
      return take_sync(c);
    case PGRES_PIPELINE_ABORTED:
      PQclear(res);
      return PRG_OK;
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH:
      return take_copy(c, res);
    case PGRES_FATAL_ERROR:
    case PGRES_BAD_RESPONSE:
    case PGRES_NONFATAL_ERROR:
      take_error(c, res);
      /* In pipeline mode a lost connection never comes to its Sync. */
      return is_lost(c) && c->run->x.pipeline ? pg_lose(c, NULL) : PRG_OK;
    default:
      take_answer(c, res);
      return PRG_OK;
  }
}

/* Is there nothing to be taken before the socket becomes readable? What OpenSSL
** has decrypted but libpq's buffer had no room for does not make it so, hence
** another read once the socket is empty. */
static bool must_wait(struct pg_conn *c) {
  struct pollfd p = {.events = POLLIN};
  if (!PQisBusy(c->pg) || is_lost(c)) return false;
  if (!c->half_read) return true;
  p.fd = PQsocket(c->pg);
  for (int i = 0; i < TLS_READS; i++) {
    bool empty = poll(&p, 1, 0) <= 0;
    /* A failure shows in the result. */
    if (!PQconsumeInput(c->pg)) return !is_lost(c);
    c->half_read = !empty;
    if (!PQisBusy(c->pg)) return false;
    if (empty) return true;
  }
  prg_conn_kick(&c->base);
  return true;
}

static int take(struct pg_conn *c) {
  if (c->run->x.copying) {
    int rc = skip_copy(c);
    if (rc != PRG_OK) return is_lost(c) ? pg_lose(c, NULL) : rc;
  }
  if (c->run->x.copy != PG_COPY_NONE || pg_copy_is_left(c)) {
    if (is_lost(c)) return pg_lose(c, NULL);
    return c->run->x.copy == PG_COPY_IN ? PRG_AGAIN : take_copied(c);
  }
  if (must_wait(c)) return PRG_AGAIN;
  PGresult *res = PQgetResult(c->pg);
  return res == NULL ? take_null(c) : take_result(c, res);
}

/* ---- the rest ----------------------------------------------------------- */

static bool may_wait(const struct pg_conn *c) {
  (void)c;
  return false;
}

static const char *parameter(struct pg_conn *c, int i) {
  return PQparameterStatus(c->pg, pg_watched[i]);
}

static struct prg_error *why(struct pg_conn *c) {
  return pg_error_closed(c->pg);
}

static void fini(struct pg_conn *c) {
  (void)c;
}

/* A notification may have come with the end of the last answer, in TLS behind
** what libpq had room for. */
static int rest(struct pg_conn *c) {
  if (!c->half_read) return take_notifies(c);
  c->half_read = false;
  return read_idle(c);
}

const struct pg_link pg_by_libpq = {
    .name = "libpq",
#ifdef LIBPQ_HAS_CLOSE_PREPARED
    .safe_close = true,
#endif
    .formats = PG_ANY_FORMAT,
    /* libpq takes some messages for garbage when they have more than 30,000
    ** bytes, and in many versions ParameterDescription is one of them: 4 bytes a
    ** parameter. */
    .max_described = 7000,
    .begin = begin,
    .parse = parse,
    .describe = describe,
    .close = forget,
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
    .rest = rest,
    .parameter = parameter,
    .why = why,
    .fini = fini,
};
