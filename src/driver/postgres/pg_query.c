#include "driver/postgres/pg_int.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

enum {
  MAX_PARAMS = PQ_QUERY_PARAM_MAX_LIMIT,
  /* libpq takes some messages for garbage when they have more than 30,000
  ** bytes, and in many versions ParameterDescription is one of them: 4 bytes a
  ** parameter. A statement with more than this is never described. */
  MAX_DESCRIBED = 7000,
  /* The server refuses messages of 1 GiB and drops the connection. */
  MAX_MESSAGE = 0x3fff0000,
  CALM_RUNS = 3,       /* so often within max_rows: no more row by row */
  MAX_DISCARD = 1000,  /* rows to throw away before it is worth a cancel */
  MAX_CLOSING_TX = 64, /* names to be closed that may wait in a transaction */
  KEEP_SCRATCH = 64 * 1024
};

static int execute(struct pg_conn *c);

struct prg_error *pg_refuse(const struct prg_req *req) {
  const struct prg_stmt *stmt = req->stmt;
  if (stmt->flags & PRG_STMT_COPY)
    return prg_error_new(PRG_K_USAGE,
                         "COPY from or to the client cannot be sent here: use "
                         "insert_many, each, or a file on the server");
  if (stmt->nparams > MAX_PARAMS)
    return prg_error_new(PRG_K_USAGE,
                         "a statement takes at most %d parameters, not %d",
                         (int)MAX_PARAMS, stmt->nparams);
  if (stmt->len > MAX_MESSAGE)
    return prg_error_new(PRG_K_USAGE, "the SQL text is too long");
  return NULL;
}

void pg_note_tag(struct pg_conn *c, const char *tag) {
  if (strchr("ADP", tag[0]) == NULL) return; /* nearly always */
  if (strncmp(tag, "ALTER", 5) == 0 || strncmp(tag, "DROP", 4) == 0)
    pg_catalog_expire(pg_catalog_of(c));
  else if (strcmp(tag, "DEALLOCATE ALL") == 0 ||
           strcmp(tag, "DISCARD ALL") == 0)
    pg_cache_clear(&c->cache);
  else if (strcmp(tag, "PREPARE") == 0)
    c->prepared = true;
}

/* ---- learning types ----------------------------------------------------- */

static int note_type(struct pg_conn *c, uint32_t oid) {
  struct pg_run *r = &c->run;
  if (pg_catalog_knows(pg_catalog_of(c), oid)) return PRG_OK;
  if (r->nunknown == r->unknown_cap) {
    size_t cap = r->unknown_cap == 0 ? 16 : r->unknown_cap * 2;
    uint32_t *p = prg_realloc(r->unknown, cap * sizeof *p);
    if (p == NULL) return PRG_ERR;
    r->unknown = p;
    r->unknown_cap = cap;
  }
  r->unknown[r->nunknown++] = oid;
  return PRG_OK;
}

int pg_learn_add(struct pg_conn *c, const PGresult *res) {
  for (int i = 0; i < PQnfields(res); i++)
    if (note_type(c, PQftype(res, i)) != PRG_OK) return PRG_ERR;
  for (int i = 0; i < PQnparams(res); i++)
    if (note_type(c, PQparamtype(res, i)) != PRG_OK) return PRG_ERR;
  return PRG_OK;
}

static int learn_add_entry(struct pg_conn *c, const struct pg_entry *e) {
  const uint32_t *wanted;
  size_t n = pg_catalog_wanted(pg_catalog_of(c), &wanted);
  for (size_t i = 0; i < n; i++)
    if (note_type(c, wanted[i]) != PRG_OK) return PRG_ERR;
  for (int i = 0; i < e->nparams; i++)
    if (note_type(c, e->types[e->nparams + i]) != PRG_OK) return PRG_ERR;
  for (size_t i = 0; e->plan != NULL && i < e->plan->desc->ncols; i++)
    if (note_type(c, e->plan->desc->cols[i].oid) != PRG_OK) return PRG_ERR;
  return PRG_OK;
}

static void on_types(struct pg_conn *c, PGresult *res) {
  struct prg_error *e = NULL;
  if (PQresultStatus(res) == PGRES_TUPLES_OK && c->run.error == NULL &&
      pg_catalog_learn(pg_catalog_of(c), res, &e) != PRG_OK)
    c->run.error = e;
  PQclear(res);
}

static int after_types(struct pg_conn *c) {
  struct prg_error *e = pg_take_error(c);
  if (e != NULL && c->base.tx == PRG_TX_FAILED) return pg_finish(c, NULL, e);
  /* A server without such a catalogue: unknown types are texts. */
  prg_error_unref(e);
  if (c->run.error != NULL) {
    e = c->run.error;
    c->run.error = NULL;
    return pg_finish(c, NULL, e);
  }
  c->state = c->run.after_learn;
  return PRG_OK;
}

static int send_types(struct pg_conn *c) {
  struct prg_buf sql;
  int rc = PRG_OK;
  prg_buf_init(&sql, 0);
  pg_catalog_query(PQserverVersion(c->pg), c->run.unknown, c->run.nunknown,
                   &sql);
  c->run.nunknown = 0;
  if (sql.failed || sql.len == 0)
    pg_finish(c, NULL, prg_error_oom());
  else
    rc = pg_exchange_begin(c, PQsendQuery(c->pg, sql.data), on_types,
                           after_types);
  prg_buf_fini(&sql);
  return rc;
}

int pg_learn(struct pg_conn *c, int (*after)(struct pg_conn *)) {
  bool can = c->run.nunknown > 0 && !c->run.learnt &&
             PQtransactionStatus(c->pg) != PQTRANS_INERROR;
  c->run.after_learn = after;
  c->state = can ? send_types : after;
  if (can) c->run.learnt = true;
  return PRG_OK;
}

/* ---- parameters --------------------------------------------------------- */

static int reserve_params(struct pg_conn *c, size_t n) {
  if (n <= c->param_cap) return PRG_OK;
  size_t cap = n < 16 ? 16 : n;
  Oid *sig = prg_realloc(c->sig, cap * sizeof *sig);
  if (sig != NULL) c->sig = sig;
  const char **values =
      prg_realloc((void *)c->values, cap * sizeof(const char *));
  if (values != NULL) c->values = values;
  int *lengths = prg_realloc(c->lengths, cap * sizeof *lengths);
  if (lengths != NULL) c->lengths = lengths;
  int *formats = prg_realloc(c->formats, cap * sizeof *formats);
  if (formats != NULL) c->formats = formats;
  if (sig == NULL || values == NULL || lengths == NULL || formats == NULL)
    return PRG_ERR;
  c->param_cap = cap;
  return PRG_OK;
}

/* One type for the values of two sets: the wider number, else undecided. */
static Oid unite(Oid a, Oid b) {
  enum { INT8 = 20, INT4 = 23, FLOAT8 = 701 };
  bool ints = (a == INT8 || a == INT4) && (b == INT8 || b == INT4);
  if (a == b) return a;
  if (ints) return INT8;
  if ((a == FLOAT8 && (b == INT8 || b == INT4)) ||
      (b == FLOAT8 && (a == INT8 || a == INT4)))
    return FLOAT8;
  return 0;
}

/* The types to declare. A NULL says nothing about its set, and of a single set
** nothing means 0, so that the same values always give the same types. */
static void declare(struct pg_conn *c) {
  const struct prg_req *req = c->req;
  const unsigned char *typed = req->stmt->typed;
  size_t n = (size_t)req->stmt->nparams;
  for (size_t i = 0; i < n; i++) {
    bool any = false;
    c->sig[i] = 0;
    if (typed != NULL && typed[i] == 0) continue;
    for (size_t set = 0; set < req->nsets; set++) {
      const struct prg_value *v = &req->params[set * n + i];
      if (v->type == PRG_NULL) continue;
      Oid type = pg_param_oid(v);
      c->sig[i] = any ? unite(c->sig[i], type) : type;
      any = true;
      if (c->sig[i] == 0) break;
    }
  }
}

int pg_encode_set(struct pg_conn *c, const struct prg_value *params, int n,
                  const Oid *types, struct prg_error **err) {
  size_t total = c->req->stmt->len;
  for (int i = 0; i < n; i++) {
    struct pg_target to = {.oid = types == NULL ? c->sig[i] : types[i],
                           .index = i};
    struct pg_param p;
    if (pg_encode(pg_catalog_of(c), to, &params[i], &c->scratch, &p, err) !=
        PRG_OK)
      return PRG_ERR;
    c->values[i] = p.data;
    c->lengths[i] = p.len;
    c->formats[i] = p.format;
    total += (size_t)p.len + 8;
    if (total > MAX_MESSAGE) {
      *err = prg_error_new(PRG_K_USAGE,
                           "$%d: the parameters are larger than 1 GiB", i + 1);
      return PRG_ERR;
    }
  }
  return PRG_OK;
}

/* libpq has copied the parameters. */
static void drop_scratch(struct pg_conn *c) {
  if (c->scratch.used > KEEP_SCRATCH)
    prg_arena_fini(&c->scratch);
  else if (c->scratch.used > 0)
    prg_arena_reset(&c->scratch);
}

/* ---- taking rows -------------------------------------------------------- */

static void own_error(struct pg_conn *c, struct prg_error *e) {
  if (c->run.error == NULL)
    c->run.error = e;
  else
    prg_error_unref(e);
}

static struct prg_error *changed_error(void) {
  struct prg_error *e = prg_error_new(
      PRG_K_DATABASE, "the types of the columns have changed meanwhile");
  if (e != prg_error_oom()) e->retryable = e->sent = true;
  return e;
}

/* Plans by what an answer itself says, known types or not. */
static void plan_by_answer(struct pg_conn *c, const PGresult *res) {
  struct pg_run *r = &c->run;
  if (PQnfields(res) > 0) {
    r->plan = pg_plan_new(pg_shared_of(c), res, PQfformat(res, 0));
    if (r->plan == NULL)
      own_error(c, prg_error_oom());
    else if (!pg_plan_decodes(r->plan))
      own_error(c, changed_error());
  }
  r->has_plan = true;
}

/* Finds out how to decode, with the first part of an answer. Without `force` it
** may stay open until the types are learnt. */
static void choose_plan(struct pg_conn *c, const PGresult *res, bool force) {
  struct pg_run *r = &c->run;
  const struct pg_catalog *cat = pg_catalog_of(c);
  bool known = true;
  if (r->has_plan) return;
  if (r->entry != NULL && pg_plan_fits(r->entry->plan, res)) {
    r->plan = pg_plan_ref(r->entry->plan);
    r->has_plan = true;
    return;
  }
  r->off_plan = r->entry != NULL;
  for (int i = 0; i < PQnfields(res) && known; i++)
    known = pg_catalog_knows(cat, PQftype(res, i));
  if (known || force) plan_by_answer(c, res);
}

/* The result that is being filled. There is one before anything is sent, so
** that a statement without rows cannot end as "out of memory" after it ran. */
static struct pg_result *collecting(struct pg_conn *c) {
  struct pg_run *r = &c->run;
  if (r->result == NULL) r->result = pg_result_new();
  if (r->result == NULL)
    own_error(c, prg_error_oom());
  else
    r->result->per_row = r->single;
  return r->result;
}

static void add_part(struct pg_conn *c, PGresult *res) {
  struct pg_result *r = collecting(c);
  if (r == NULL)
    PQclear(res);
  else if (pg_result_add(r, res) != PRG_OK)
    own_error(c, prg_error_oom());
}

/* Gives the owner what was collected so far. */
static void deliver(struct pg_conn *c) {
  struct pg_run *r = &c->run;
  struct pg_result *out = collecting(c);
  if (out == NULL) return;
  if (pg_result_plan(out, r->plan) != PRG_OK) {
    own_error(c, prg_error_oom());
    return;
  }
  out->base.truncated = r->truncated;
  out->base.affected = (int64_t)out->base.nrows;
  r->result = NULL;
  r->delivered = true;
  prg_req_deliver(c->req, &out->base);
}

static void discard(struct pg_conn *c, PGresult *res) {
  struct pg_run *r = &c->run;
  r->discarded += (size_t)PQntuples(res);
  PQclear(res);
  /* Not in a transaction, which a cancel would abort, and not what may write,
  ** which it would undo. */
  if (r->discarded >= MAX_DISCARD && r->was_idle && c->cancelling == NULL &&
      c->recancel != PRG_NEVER) {
    r->discarded = 0; /* what is on its way already is no reason for another */
    pg_cancel(&c->base);
  }
}

/* The owner of max_rows rows need not wait for the end of a statement that only
** reads. */
static void take_surplus(struct pg_conn *c, PGresult *res) {
  struct pg_run *r = &c->run;
  r->truncated = true;
  discard(c, res);
  if (!(c->req->stmt->flags & PRG_STMT_READ) || !r->has_plan) return;
  if (collecting(c) != NULL)
    pg_tag_copy(r->result->base.tag, sizeof r->result->base.tag, "SELECT");
  deliver(c);
  if (r->was_idle) c->recancel = prg_now() + PRG_SECOND;
}

static void take_rows(struct pg_conn *c, PGresult *res) {
  struct pg_run *r = &c->run;
  const struct prg_req *req = c->req;
  bool stream = req->kind == PRG_REQ_STREAM;
  size_t n = r->result == NULL ? 0 : r->result->base.nrows;
  if (req->ghost || r->error != NULL || r->truncated) {
    discard(c, res);
    return;
  }
  choose_plan(c, res, stream);
  if (!stream && n >= req->max_rows) {
    take_surplus(c, res);
    return;
  }
  add_part(c, res);
#ifdef LIBPQ_HAS_CHUNK_MODE
  if (stream && r->error == NULL) deliver(c); /* libpq has counted */
#else
  if (stream && r->error == NULL && n + 1 >= req->chunk) deliver(c);
#endif
}

static void take_end(struct pg_conn *c, PGresult *res) {
  struct pg_run *r = &c->run;
  struct pg_result *out = collecting(c);
  if (out == NULL || c->req->ghost) {
    PQclear(res);
    return;
  }
  pg_result_tag(&out->base, res);
  pg_note_tag(c, out->base.tag);
  choose_plan(c, res, false);
  if ((PQnfields(res) == 0 && PQntuples(res) == 0) ||
      (r->single && out->nparts > 0))
    PQclear(res);
  else
    add_part(c, res);
}

static void on_answer(struct pg_conn *c, PGresult *res) {
  switch (PQresultStatus(res)) {
    case PGRES_SINGLE_TUPLE:
#ifdef LIBPQ_HAS_CHUNK_MODE
    case PGRES_TUPLES_CHUNK:
#endif
      take_rows(c, res);
      break;
    default:
      take_end(c, res);
  }
}

/* ---- the end ------------------------------------------------------------ */

/* A request with max_rows that was read whole, or row by row. */
static void cut(struct pg_run *r, struct pg_result *out,
                const struct prg_req *req) {
  size_t max = req->kind == PRG_REQ_QUERY ? req->max_rows : 0;
  if (max > 0 && out->base.nrows > max) {
    out->base.nrows = max;
    r->truncated = true;
  }
  out->base.truncated = r->truncated;
  if (r->truncated && (req->stmt->flags & PRG_STMT_READ))
    out->base.affected = (int64_t)out->base.nrows;
}

static int finish_answer(struct pg_conn *c) {
  struct pg_run *r = &c->run;
  struct pg_result *out = collecting(c);
  struct prg_error *e;
  if (out != NULL && !r->has_plan && out->nparts > 0)
    plan_by_answer(c, out->parts[0]);
  if (r->error == NULL && out != NULL) {
    cut(r, out, c->req);
    if (pg_result_plan(out, r->plan) != PRG_OK) own_error(c, prg_error_oom());
  }
  if (r->error != NULL) {
    e = r->error;
    r->error = NULL;
    return pg_finish(c, NULL, e);
  }
  r->result = NULL;
  return pg_finish(c, &out->base, NULL);
}

/* What this execution tells about the next ones. */
static void learn_from_run(struct pg_conn *c) {
  struct pg_run *r = &c->run;
  struct pg_entry *e = r->entry;
  size_t max = c->req->max_rows;
  bool more = r->truncated ||
              (r->result != NULL && max > 0 && r->result->base.nrows > max);
  if (e == NULL) return;
  if (c->req->kind == PRG_REQ_QUERY && max > 0)
    e->calm = more ? 0 : e->calm < CALM_RUNS ? e->calm + 1 : e->calm;
  if (!r->off_plan) return;
  r->entry = NULL;
  pg_cache_drop(&c->cache, e, true);
}

static int after_answer(struct pg_conn *c) {
  struct pg_run *r = &c->run;
  struct prg_error *e = pg_take_error(c);
  if (e != NULL) return pg_query_failed(c, e);
  learn_from_run(c);
  if (!r->has_plan && r->result != NULL && r->result->nparts > 0) {
    if (pg_learn_add(c, r->result->parts[0]) != PRG_OK)
      return pg_finish(c, NULL, prg_error_oom());
    return pg_learn(c, finish_answer);
  }
  return finish_answer(c);
}

/* ---- out of date statements --------------------------------------------- */

enum remedy { NONE, ANEW, CLOSE_ANEW, AS_TEXT };

/* What an error says about the statement itself. */
static enum remedy remedy_of(const struct pg_conn *c,
                             const struct prg_error *e) {
  const struct pg_run *r = &c->run;
  if (r->entry == NULL || r->delivered) return NONE;
  if (strcmp(e->sqlstate, "26000") == 0) return ANEW;
  if (r->loose) return strcmp(e->sqlstate, "42P05") == 0 ? ANEW : NONE;
  /* It was analysed anew, with the parameters' types of then, and what it names
  ** has changed. Errors of functions that run have no position in it. */
  if (strncmp(e->sqlstate, "42", 2) == 0 && e->position > 0) return CLOSE_ANEW;
  if (strcmp(e->sqlstate, "0A000") == 0 && c->x.revalidate) return CLOSE_ANEW;
  if (strcmp(e->sqlstate, "42883") == 0 && !r->entry->text_only &&
      r->entry->plan != NULL && r->entry->plan->format == PG_BINARY_FORMAT &&
      strstr(prg_error_message(e), "binary output function") != NULL)
    return AS_TEXT;
  return NONE;
}

static void apply(struct pg_conn *c, enum remedy what) {
  struct pg_run *r = &c->run;
  if (what == AS_TEXT) {
    struct pg_plan *p = pg_plan_renew(r->entry->plan, PG_TEXT_FORMAT);
    if (p == NULL) return; /* the next run will try again */
    pg_plan_unref(r->entry->plan);
    r->entry->plan = p;
    r->entry->text_only = true;
  } else if (r->loose) {
    pg_cache_jump(&c->cache);
    pg_entry_free(r->entry);
    r->loose = false;
  } else {
    pg_cache_drop(&c->cache, r->entry, what == CLOSE_ANEW);
  }
  r->entry = NULL;
}

int pg_query_failed(struct pg_conn *c, struct prg_error *e) {
  struct pg_run *r = &c->run;
  enum remedy what = remedy_of(c, e);
  bool again =
      what != NONE && r->was_idle && !r->retried && c->base.tx == PRG_TX_IDLE;
  if (what != NONE) apply(c, what);
  if (!again) {
    if (what != NONE && e != prg_error_oom()) e->retryable = true;
    return pg_finish(c, NULL, e);
  }
  prg_error_unref(e);
  pg_run_fini(c);
  r->retried = true;
  c->state = pg_query_begin;
  return PRG_OK;
}

/* ---- preparing ---------------------------------------------------------- */

static void on_prepared(struct pg_conn *c, PGresult *res) {
  struct pg_run *r = &c->run;
  if (c->x.ended == r->nclosing + 1 && r->described == NULL)
    r->described = res;
  else
    PQclear(res);
}

static int entry_ready(struct pg_conn *c) {
  struct pg_run *r = &c->run;
  struct pg_entry *e = r->entry;
  if (PQnfields(r->described) > 0) {
    e->plan = pg_plan_new(pg_shared_of(c), r->described, PG_ANY_FORMAT);
    if (e->plan == NULL) return pg_finish(c, NULL, prg_error_oom());
  }
  if (pg_cache_add(&c->cache, e) != PRG_OK)
    return pg_finish(c, NULL, prg_error_oom());
  r->loose = false;
  c->state = c->req->kind == PRG_REQ_BATCH ? pg_batch_execute : execute;
  return PRG_OK;
}

static int after_prepare(struct pg_conn *c) {
  struct pg_run *r = &c->run;
  struct prg_error *e = pg_take_error(c);
  struct pg_entry *entry = r->entry;
  int n = entry->nparams;
  r->nclosing = 0;
  if (e != NULL) {
    enum remedy what = remedy_of(c, e);
    if (what == NONE) { /* it does not exist on the server */
      pg_entry_free(entry);
      r->entry = NULL;
      r->loose = false;
    }
    return pg_query_failed(c, e);
  }
  if (r->described == NULL) return pg_finish(c, NULL, prg_error_oom());
  if (PQnparams(r->described) != n)
    return pg_finish(
        c, NULL,
        prg_error_new(PRG_K_USAGE, "the statement has %d parameters, not %d",
                      PQnparams(r->described), n));
  for (int i = 0; i < n; i++)
    entry->types[n + i] = PQparamtype(r->described, i);
  if (pg_learn_add(c, r->described) != PRG_OK)
    return pg_finish(c, NULL, prg_error_oom());
  return pg_learn(c, entry_ready);
}

/* Lets the server forget statements, in front of a Parse. Outside a transaction
** in a Sync of their own, so that a name that is not there does no harm; inside
** only when they become many. */
static int send_closing(struct pg_conn *c) {
  struct pg_cache *k = &c->cache;
  struct pg_run *r = &c->run;
  if (k->nclosing == 0 || (!r->was_idle && k->nclosing < MAX_CLOSING_TX))
    return PRG_OK;
  for (size_t i = 0; i < k->nclosing; i++) {
    char name[PG_NAME_SIZE];
    pg_cache_name(k, k->closing[i], name);
#ifdef LIBPQ_HAS_CLOSE_PREPARED
    int ok = PQsendClosePrepared(c->pg, name);
#else
    char sql[PG_NAME_SIZE + 16];
    snprintf(sql, sizeof sql, "DEALLOCATE %s", name);
    int ok = PQsendQueryParams(c->pg, sql, 0, NULL, NULL, NULL, NULL, 0);
#endif
    if (pg_pipeline_sent(c, ok) != PRG_OK) return PRG_ERR;
    r->nclosing++;
  }
  k->nclosing = 0;
  return r->was_idle ? pg_pipeline_sync(c) : PRG_OK;
}

/* Parse and Describe in one round trip. */
static int prepare(struct pg_conn *c) {
  struct prg_stmt *stmt = c->req->stmt;
  struct pg_run *r = &c->run;
  pg_cache_trim(&c->cache, c->base.config->statement_cache - 1);
  r->entry = pg_entry_new(&c->cache, stmt, c->sig);
  if (r->entry == NULL) return pg_finish(c, NULL, prg_error_oom());
  r->loose = true;
  const char *name = r->entry->name;
  if (pg_pipeline_begin(c, on_prepared, after_prepare) != PRG_OK ||
      send_closing(c) != PRG_OK ||
      pg_pipeline_sent(c, PQsendPrepare(c->pg, name, stmt->sql, stmt->nparams,
                                        c->sig)) != PRG_OK ||
      pg_pipeline_sent(c, PQsendDescribePrepared(c->pg, name)) != PRG_OK)
    return PRG_ERR;
  return pg_pipeline_sync(c);
}

/* ---- executing ---------------------------------------------------------- */

static void set_row_mode(struct pg_conn *c) {
  const struct prg_req *req = c->req;
  const struct pg_entry *e = c->run.entry;
  bool limited = req->kind == PRG_REQ_QUERY && req->max_rows > 0 &&
                 (e == NULL || e->calm < CALM_RUNS);
  if (req->kind != PRG_REQ_STREAM && !limited) return;
#ifdef LIBPQ_HAS_CHUNK_MODE
  if (req->kind == PRG_REQ_STREAM) {
    PQsetChunkedRowsMode(c->pg, (int)req->chunk);
    return;
  }
#endif
  c->run.single = PQsetSingleRowMode(c->pg) == 1;
}

/* All that can fail on our side, before anything is sent. */
static int prepare_answer(struct pg_conn *c, const Oid *types,
                          struct prg_error **err) {
  const struct prg_req *req = c->req;
  c->run.result = pg_result_new();
  if (c->run.result == NULL) {
    *err = prg_error_oom();
    return PRG_ERR;
  }
  if (pg_encode_set(c, req->params, req->stmt->nparams, types, err) == PRG_OK)
    return PRG_OK;
  drop_scratch(c);
  return PRG_ERR;
}

static int begin_answer(struct pg_conn *c, int ok) {
  drop_scratch(c);
  if (ok) set_row_mode(c);
  return pg_exchange_begin(c, ok, on_answer, after_answer);
}

static int execute_now(struct pg_conn *c) {
  struct pg_entry *e = c->run.entry;
  struct prg_error *err = NULL;
  if (e->plan != NULL && !pg_plan_refresh(e->plan)) {
    struct pg_plan *p =
        pg_plan_renew(e->plan, e->text_only ? PG_TEXT_FORMAT : PG_ANY_FORMAT);
    if (p == NULL) return pg_finish(c, NULL, prg_error_oom());
    pg_plan_unref(e->plan);
    e->plan = p;
  }
  if (prepare_answer(c, e->types + e->nparams, &err) != PRG_OK)
    return pg_finish(c, NULL, err);
  int format = e->plan == NULL ? PG_TEXT_FORMAT : e->plan->format;
  return begin_answer(
      c, PQsendQueryPrepared(c->pg, e->name, e->nparams, c->values, c->lengths,
                             c->formats, format));
}

static bool is_stale(const struct pg_conn *c, const struct pg_entry *e) {
  const struct pg_catalog *cat = pg_catalog_of(c);
  const uint32_t *wanted;
  return (e->plan != NULL &&
          e->plan->generation != pg_catalog_generation(cat)) ||
         pg_catalog_wanted(cat, &wanted) > 0;
}

static int execute(struct pg_conn *c) {
  struct pg_entry *e = c->run.entry;
  if (c->run.learnt || !is_stale(c, e)) return execute_now(c);
  if (learn_add_entry(c, e) != PRG_OK)
    return pg_finish(c, NULL, prg_error_oom());
  return pg_learn(c, execute_now);
}

/* Parse, Bind, Describe, Execute and Sync at once, which is also right when the
** next statement meets another server (a pooler by transaction). */
static int execute_unnamed(struct pg_conn *c) {
  const struct prg_stmt *stmt = c->req->stmt;
  struct prg_error *err = NULL;
  if (prepare_answer(c, NULL, &err) != PRG_OK) return pg_finish(c, NULL, err);
  return begin_answer(
      c, PQsendQueryParams(c->pg, stmt->sql, stmt->nparams, c->sig, c->values,
                           c->lengths, c->formats, PG_TEXT_FORMAT));
}

/* FETCH is a utility statement, but one that gives rows again and again. */
static bool is_fetch(const struct prg_stmt *stmt) {
  return strncasecmp(stmt->sql, "FETCH", 5) == 0;
}

static bool is_named(const struct pg_conn *c) {
  const struct prg_stmt *stmt = c->req->stmt;
  if (c->base.config->statement_cache == 0) return false;
  if (stmt->nparams > MAX_DESCRIBED) return false;
  if (!(stmt->flags & (PRG_STMT_UTILITY | PRG_STMT_CONTROL))) return true;
  return stmt->nparams > 0 || is_fetch(stmt);
}

int pg_query_begin(struct pg_conn *c) {
  struct prg_req *req = c->req;
  struct pg_run *r = &c->run;
  struct prg_error *e = pg_refuse(req);
  bool batch = req->kind == PRG_REQ_BATCH;
  if (e != NULL) return pg_finish(c, NULL, e);
  r->was_idle = PQtransactionStatus(c->pg) == PQTRANS_IDLE;
  if (reserve_params(c, (size_t)req->stmt->nparams) != PRG_OK)
    return pg_finish(c, NULL, prg_error_oom());
  declare(c);
  if (!is_named(c)) {
    c->state = batch ? pg_batch_execute : execute_unnamed;
    return PRG_OK;
  }
  r->entry = pg_cache_find(&c->cache, req->stmt, c->sig);
  /* They are needed after this step, or would be for a second try. */
  if ((r->entry == NULL || r->was_idle) && prg_req_own_params(req) != PRG_OK)
    return pg_finish(c, NULL, prg_error_oom());
  if (r->entry == NULL) return prepare(c);
  c->state = batch ? pg_batch_execute : execute;
  return PRG_OK;
}
