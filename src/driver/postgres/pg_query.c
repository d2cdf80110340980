#include "driver/postgres/pg_int.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

enum {
  MAX_PARAMS = PQ_QUERY_PARAM_MAX_LIMIT,
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
  struct pg_run *r = c->run;
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

int pg_learn_add(struct pg_conn *c, struct pg_cols cols) {
  size_t n = pg_cols_count(cols);
  for (size_t i = 0; i < n; i++)
    if (note_type(c, pg_cols_type(cols, i)) != PRG_OK) return PRG_ERR;
  for (size_t i = 0; cols.head != NULL && i < cols.head->nparams; i++)
    if (note_type(c, cols.head->params[i]) != PRG_OK) return PRG_ERR;
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

static void on_types(struct pg_conn *c, struct pg_answer *a) {
  struct pg_run *r = c->run;
  if (r->error != NULL) return;
  if (r->answer == NULL) r->answer = pg_result_new();
  if (r->answer == NULL || pg_result_add(r->answer, a) != PRG_OK)
    r->error = prg_error_oom();
}

/* The cells of a row as texts with a zero byte, at `to`. PRG_ERR: no memory. */
static int copy_texts(struct pg_result *r, size_t row, struct prg_arena *a,
                      const char **to) {
  const struct prg_value *v = prg_result_row(&r->base, row);
  if (v == NULL) return PRG_ERR;
  for (size_t i = 0; i < r->plan->desc->ncols; i++) {
    bool is_text = v[i].type == PRG_TEXT;
    to[i] = is_text ? prg_arena_dup(a, v[i].u.s.p, v[i].u.s.n) : NULL;
    if (is_text && to[i] == NULL) return PRG_ERR;
  }
  return PRG_OK;
}

static int copy_all(struct pg_result *r, struct prg_arena *a,
                    struct pg_texts *t) {
  size_t ncols = r->plan->desc->ncols, nrows = r->base.nrows;
  const char **cells =
      prg_arena_alloc(a, (nrows * ncols + 1) * sizeof(const char *));
  if (cells == NULL) return PRG_ERR;
  for (size_t i = 0; i < nrows; i++)
    if (copy_texts(r, i, a, cells + i * ncols) != PRG_OK) return PRG_ERR;
  *t = (struct pg_texts){cells, nrows, ncols};
  return PRG_OK;
}

/* Reads the answer about types: every column is taken as text. */
static void learn(struct pg_conn *c) {
  struct pg_result *r = c->run->answer;
  struct pg_plan *p = NULL;
  struct prg_error *e = NULL;
  struct prg_arena a;
  struct pg_texts t;
  if (r == NULL || c->run->error != NULL) return;
  prg_arena_init(&a);
  p = pg_plan_texts(pg_shared_of(c), pg_result_cols(r));
  if (p == NULL || pg_result_plan(r, p) != PRG_OK ||
      copy_all(r, &a, &t) != PRG_OK)
    e = prg_error_oom();
  else if (pg_catalog_learn(pg_catalog_of(c), t, &e) == PRG_OK)
    e = NULL;
  c->run->error = e;
  pg_plan_unref(p);
  prg_arena_fini(&a);
  prg_result_free(&r->base);
  c->run->answer = NULL;
}

static int after_types(struct pg_conn *c) {
  struct prg_error *e = pg_take_error(c);
  if (e != NULL && c->base.tx == PRG_TX_FAILED) return pg_finish(c, NULL, e);
  if (e == NULL) learn(c);
  /* A server without such a catalogue: unknown types are texts. */
  prg_error_unref(e);
  if (c->run->error != NULL) {
    e = c->run->error;
    c->run->error = NULL;
    return pg_finish(c, NULL, e);
  }
  c->run->state = c->run->after_learn;
  return PRG_OK;
}

static int send_types(struct pg_conn *c) {
  struct prg_buf sql;
  int rc = PRG_OK;
  prg_buf_init(&sql, 0);
  pg_catalog_query(PQserverVersion(c->pg), c->run->unknown, c->run->nunknown,
                   &sql);
  c->run->nunknown = 0;
  if (sql.failed || sql.len == 0)
    pg_finish(c, NULL, prg_error_oom());
  else
    rc = pg_exchange_query(c, sql.data, on_types, after_types);
  prg_buf_fini(&sql);
  return rc;
}

int pg_learn(struct pg_conn *c, int (*after)(struct pg_conn *)) {
  bool can =
      c->run->nunknown > 0 && !c->run->learnt && c->base.tx != PRG_TX_FAILED;
  c->run->after_learn = after;
  c->run->state = can ? send_types : after;
  if (can) c->run->learnt = true;
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
  const struct prg_req *req = c->run->req;
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
  size_t total = c->run->req->stmt->len;
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

/* The link has copied the parameters. */
static void drop_scratch(struct pg_conn *c) {
  if (c->scratch.used > KEEP_SCRATCH)
    prg_arena_fini(&c->scratch);
  else if (c->scratch.used > 0)
    prg_arena_reset(&c->scratch);
}

/* ---- taking rows -------------------------------------------------------- */

static void own_error(struct pg_conn *c, struct prg_error *e) {
  if (c->run->error == NULL)
    c->run->error = e;
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
static void plan_by(struct pg_conn *c, struct pg_cols cols) {
  struct pg_run *r = c->run;
  if (pg_cols_count(cols) > 0) {
    r->plan = pg_plan_told(pg_shared_of(c), cols);
    if (r->plan == NULL)
      own_error(c, prg_error_oom());
    else if (!pg_plan_decodes(r->plan))
      own_error(c, changed_error());
  }
  r->has_plan = true;
}

/* Finds out how to decode, with the first part of an answer. Without `force` it
** may stay open until the types are learnt. */
static void choose_plan(struct pg_conn *c, const struct pg_answer *a,
                        bool force) {
  struct pg_run *r = c->run;
  const struct pg_catalog *cat = pg_catalog_of(c);
  bool known = true;
  if (r->has_plan) return;
  if (r->entry != NULL && pg_plan_fits(r->entry->plan, a)) {
    r->plan = pg_plan_ref(r->entry->plan);
    r->has_plan = true;
    return;
  }
  r->off_plan = r->entry != NULL;
  size_t n = pg_cols_count(a->cols);
  for (size_t i = 0; i < n && known; i++)
    known = pg_catalog_knows(cat, pg_cols_type(a->cols, i));
  if (known || force) plan_by(c, a->cols);
}

/* The result that is being filled. There is one before anything is sent, so
** that a statement without rows cannot end as "out of memory" after it ran. */
static struct pg_result *collecting(struct pg_conn *c) {
  struct pg_run *r = c->run;
  if (r->result == NULL) r->result = pg_result_new();
  if (r->result == NULL) own_error(c, prg_error_oom());
  return r->result;
}

static void add_part(struct pg_conn *c, struct pg_answer *a) {
  struct pg_result *r = collecting(c);
  if (r != NULL && pg_result_add(r, a) != PRG_OK) own_error(c, prg_error_oom());
}

/* Gives the owner what was collected so far. */
static void deliver(struct pg_conn *c) {
  struct pg_run *r = c->run;
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
  prg_req_deliver(c->run->req, &out->base);
}

static void discard(struct pg_conn *c, const struct pg_answer *a) {
  struct pg_run *r = c->run;
  r->discarded += a->nrows;
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
static void take_surplus(struct pg_conn *c, const struct pg_answer *a) {
  struct pg_run *r = c->run;
  r->truncated = true;
  discard(c, a);
  if (!(c->run->req->stmt->flags & PRG_STMT_READ) || !r->has_plan) return;
  if (collecting(c) != NULL)
    pg_tag_copy(r->result->base.tag, sizeof r->result->base.tag, "SELECT");
  deliver(c);
  if (r->was_idle) c->recancel = prg_now() + PRG_SECOND;
}

/* So many rows are to be looked at at once. */
static size_t rows_wanted(struct pg_conn *c) {
  const struct pg_run *r = c->run;
  const struct prg_req *req = r->req;
  size_t n = r->result == NULL ? 0 : r->result->base.nrows;
  size_t max = req->kind == PRG_REQ_STREAM ? req->chunk : req->max_rows;
  if (req->ghost || r->error != NULL || r->truncated || max == 0)
    return SIZE_MAX;
  return n < max ? max - n : 1;
}

static void take_rows(struct pg_conn *c, struct pg_answer *a) {
  struct pg_run *r = c->run;
  const struct prg_req *req = r->req;
  bool stream = req->kind == PRG_REQ_STREAM;
  size_t n = r->result == NULL ? 0 : r->result->base.nrows;
  if (req->ghost || r->error != NULL || r->truncated) {
    discard(c, a);
    return;
  }
  choose_plan(c, a, stream);
  if (!stream && req->max_rows > 0 && n >= req->max_rows) {
    take_surplus(c, a);
    return;
  }
  add_part(c, a);
  if (!stream || r->error != NULL) return;
  if (n + a->nrows >= req->chunk || r->result->base.bytes >= PRG_CHUNK_BYTES)
    deliver(c);
}

static void take_end(struct pg_conn *c, struct pg_answer *a) {
  struct pg_run *r = c->run;
  struct pg_result *out = collecting(c);
  if (out == NULL || r->req->ghost) return;
  pg_result_tag(&out->base, a);
  pg_note_tag(c, out->base.tag);
  choose_plan(c, a, false);
  if (a->nrows == 0 && (out->nparts > 0 || pg_cols_count(a->cols) == 0)) return;
  add_part(c, a);
}

static void on_answer(struct pg_conn *c, struct pg_answer *a) {
  if (a->end)
    take_end(c, a);
  else
    take_rows(c, a);
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
  struct pg_run *r = c->run;
  struct pg_result *out = collecting(c);
  struct prg_error *e;
  if (out != NULL && !r->has_plan) plan_by(c, pg_result_cols(out));
  if (r->error == NULL && out != NULL) {
    cut(r, out, c->run->req);
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
  struct pg_run *r = c->run;
  struct pg_entry *e = r->entry;
  size_t max = c->run->req->max_rows;
  bool more = r->truncated ||
              (r->result != NULL && max > 0 && r->result->base.nrows > max);
  if (e == NULL) return;
  if (c->run->req->kind == PRG_REQ_QUERY && max > 0)
    e->calm = more ? 0 : e->calm < CALM_RUNS ? e->calm + 1 : e->calm;
  if (!r->off_plan) return;
  pg_cache_drop(&c->cache, e, true);
  pg_entry_unref(e);
  r->entry = NULL;
}

static int after_answer(struct pg_conn *c) {
  struct pg_run *r = c->run;
  struct prg_error *e = pg_take_error(c);
  if (e != NULL) return pg_query_failed(c, e);
  learn_from_run(c);
  if (!r->has_plan && r->result != NULL) {
    if (pg_learn_add(c, pg_result_cols(r->result)) != PRG_OK)
      return pg_finish(c, NULL, prg_error_oom());
    return pg_learn(c, finish_answer);
  }
  return finish_answer(c);
}

/* ---- the prelude -------------------------------------------------------- */

static void ignore(struct pg_conn *c, struct pg_answer *a) {
  (void)c;
  (void)a;
}

static bool wants_prelude(const struct prg_req *req) {
  return req->prelude != NULL && !req->begun;
}

/* At the head of the first exchange of the request. */
static void lead(struct pg_conn *c) {
  const struct prg_req *req = c->run->req;
  if (wants_prelude(req)) c->link->prelude(c, req->prelude);
}

static int after_prelude(struct pg_conn *c) {
  struct prg_req *req = c->run->req;
  struct prg_error *e = pg_take_error(c);
  if (e != NULL) {
    if (e != prg_error_oom()) prg_error_set(e, PRG_EF_SQL, req->prelude->sql);
    return pg_finish(c, NULL, e);
  }
  req->begun = true;
  c->run->state = pg_query_begin;
  return PRG_OK;
}

/* For links that cannot send it along. */
static int prelude_alone(struct pg_conn *c) {
  return pg_exchange_query(c, c->run->req->prelude->sql, ignore, after_prelude);
}

/* ---- out of date statements --------------------------------------------- */

enum remedy { NONE, ANEW, CLOSE_ANEW, AS_TEXT };

/* What an error says about the statement itself. */
static enum remedy remedy_of(const struct pg_conn *c,
                             const struct prg_error *e) {
  const struct pg_run *r = c->run;
  if (r->entry == NULL || r->delivered) return NONE;
  if (r->req->prelude != NULL && !r->req->begun) return NONE; /* its error */
  if (strcmp(e->sqlstate, "26000") == 0) return ANEW;
  if (r->loose) return strcmp(e->sqlstate, "42P05") == 0 ? ANEW : NONE;
  /* It was analysed anew, with the parameters' types of then, and what it names
  ** has changed. Errors of functions that run have no position in it. */
  if (strncmp(e->sqlstate, "42", 2) == 0 && e->position > 0) return CLOSE_ANEW;
  if (strcmp(e->sqlstate, "0A000") == 0 && c->run->x.revalidate)
    return CLOSE_ANEW;
  if (strcmp(e->sqlstate, "42883") == 0 && !r->entry->text_only &&
      r->entry->plan != NULL && r->entry->plan->format != PG_TEXT_FORMAT &&
      strstr(prg_error_message(e), "binary output function") != NULL)
    return AS_TEXT;
  return NONE;
}

static void apply(struct pg_conn *c, enum remedy what) {
  struct pg_run *r = c->run;
  if (what == AS_TEXT) {
    struct pg_plan *p = pg_plan_renew(r->entry->plan, PG_TEXT_FORMAT);
    if (p != NULL) { /* else the next run will try again */
      pg_plan_unref(r->entry->plan);
      r->entry->plan = p;
      r->entry->text_only = true;
    }
  } else if (r->loose) {
    pg_cache_jump(&c->cache);
    r->loose = false;
  } else {
    pg_cache_drop(&c->cache, r->entry, what == CLOSE_ANEW);
  }
  pg_entry_unref(r->entry);
  r->entry = NULL;
}

static int after_undo(struct pg_conn *c) {
  struct prg_error *e = pg_take_error(c);
  if (e != NULL) return pg_finish(c, NULL, e);
  c->run->req->begun = false;
  c->run->state = pg_query_begin;
  return PRG_OK;
}

/* Nothing ran in the transaction that the prelude has begun. */
static int undo_prelude(struct pg_conn *c) {
  return pg_exchange_query(c, "ROLLBACK", ignore, after_undo);
}

int pg_query_failed(struct pg_conn *c, struct prg_error *e) {
  struct pg_run *r = c->run;
  enum remedy what = remedy_of(c, e);
  bool stray = c->stray && r->shared && !r->delivered &&
               strcmp(e->sqlstate, "57014") == 0;
  bool again = (what != NONE || stray) && r->was_idle && !r->retried &&
               c->base.tx == PRG_TX_IDLE;
  bool undo =
      what != NONE && r->opened && !r->retried && c->base.tx == PRG_TX_FAILED;
  if (what != NONE) apply(c, what);
  if (!again && !undo) {
    if (what != NONE && e != prg_error_oom()) e->retryable = true;
    return pg_finish(c, NULL, e);
  }
  prg_error_unref(e);
  pg_run_fini(c);
  r->retried = true;
  c->run->state = undo ? undo_prelude : pg_query_begin;
  return PRG_OK;
}

/* ---- preparing ---------------------------------------------------------- */

static void on_prepared(struct pg_conn *c, struct pg_answer *a) {
  struct pg_run *r = c->run;
  if (a->described != NULL && r->x.ended == r->nclosing + 1 &&
      r->described == NULL)
    r->described = pg_head_ref(a->described);
}

static int entry_ready(struct pg_conn *c) {
  struct pg_run *r = c->run;
  struct pg_entry *e = r->entry;
  if (r->described->ncols > 0) {
    struct pg_cols cols = {.head = r->described};
    e->plan = pg_plan_new(pg_shared_of(c), cols, c->link->formats);
    if (e->plan == NULL) return pg_finish(c, NULL, prg_error_oom());
  }
  if (pg_cache_add(&c->cache, e) != PRG_OK)
    return pg_finish(c, NULL, prg_error_oom());
  r->loose = false;
  c->run->state = r->req->kind == PRG_REQ_BATCH ? pg_batch_execute : execute;
  return PRG_OK;
}

static int after_prepare(struct pg_conn *c) {
  struct pg_run *r = c->run;
  struct prg_error *e = pg_take_error(c);
  struct pg_entry *entry = r->entry;
  int n = entry->nparams;
  r->nclosing = 0;
  if (e != NULL) {
    enum remedy what = remedy_of(c, e);
    if (what == NONE) { /* it does not exist on the server */
      pg_entry_unref(entry);
      r->entry = NULL;
      r->loose = false;
    }
    return pg_query_failed(c, e);
  }
  if (r->described == NULL) return pg_finish(c, NULL, prg_error_oom());
  if (r->described->nparams != (size_t)n)
    return pg_finish(
        c, NULL,
        prg_error_new(PRG_K_USAGE, "the statement has %zu parameters, not %d",
                      r->described->nparams, n));
  for (int i = 0; i < n; i++) entry->types[n + i] = r->described->params[i];
  if (pg_learn_add(c, (struct pg_cols){.head = r->described}) != PRG_OK)
    return pg_finish(c, NULL, prg_error_oom());
  return pg_learn(c, entry_ready);
}

/* Lets the server forget statements, in front of a Parse. Outside a transaction
** in a Sync of their own, so that a name that is not there does no harm; inside
** only when they become many. */
static int send_closing(struct pg_conn *c) {
  struct pg_cache *k = &c->cache;
  struct pg_run *r = c->run;
  if (k->nclosing == 0 || (!r->was_idle && k->nclosing < MAX_CLOSING_TX))
    return PRG_OK;
  for (size_t i = 0; i < k->nclosing; i++) {
    char name[PG_NAME_SIZE];
    pg_cache_name(k, k->closing[i], name);
    if (c->link->close(c, name) != PRG_OK) return PRG_ERR;
    r->nclosing++;
  }
  k->nclosing = 0;
  return r->was_idle && !c->link->safe_close ? c->link->sync(c) : PRG_OK;
}

/* Parse and Describe in one round trip. */
static int prepare(struct pg_conn *c) {
  struct prg_stmt *stmt = c->run->req->stmt;
  struct pg_run *r = c->run;
  pg_cache_trim(&c->cache, c->base.config->statement_cache - 1);
  r->entry = pg_entry_new(&c->cache, stmt, c->sig);
  if (r->entry == NULL) return pg_finish(c, NULL, prg_error_oom());
  r->loose = true;
  const char *name = r->entry->name;
  if (pg_pipeline_begin(c, on_prepared, after_prepare) != PRG_OK)
    return PRG_ERR;
  lead(c);
  if (send_closing(c) != PRG_OK || c->link->parse(c, name, stmt) != PRG_OK ||
      c->link->describe(c, name) != PRG_OK)
    return PRG_ERR;
  return c->link->sync(c);
}

/* ---- executing ---------------------------------------------------------- */

/* Are rows to come piece by piece? */
static bool is_by_rows(const struct pg_run *r) {
  const struct prg_req *req = r->req;
  if (req->kind == PRG_REQ_STREAM) return true;
  return req->kind == PRG_REQ_QUERY && req->max_rows > 0 &&
         (r->entry == NULL || r->entry->calm < CALM_RUNS);
}

/* All that can fail on our side, before anything is sent. */
static int prepare_answer(struct pg_conn *c, const Oid *types,
                          struct prg_error **err) {
  const struct prg_req *req = c->run->req;
  c->run->result = pg_result_new();
  if (c->run->result == NULL) {
    *err = prg_error_oom();
    return PRG_ERR;
  }
  if (pg_encode_set(c, req->params, req->stmt->nparams, types, err) == PRG_OK)
    return PRG_OK;
  drop_scratch(c);
  return PRG_ERR;
}

static void begin_answer(struct pg_conn *c) {
  pg_exchange_begin(c, on_answer, after_answer);
  c->run->x.rows = rows_wanted;
  lead(c);
}

static int answer_begun(struct pg_conn *c, int rc) {
  drop_scratch(c);
  if (rc == PRG_OK && is_by_rows(c->run)) c->link->by_rows(c);
  return rc;
}

/* The server looks whether a statement's columns are still those that were
** described, but not those of what a utility statement runs (FETCH). */
static bool may_change(const struct prg_stmt *stmt) {
  return (stmt->flags & (PRG_STMT_UTILITY | PRG_STMT_CONTROL)) != 0;
}

static int execute_now(struct pg_conn *c) {
  struct pg_entry *e = c->run->entry;
  struct prg_error *err = NULL;
  if (e->plan != NULL && !pg_plan_refresh(e->plan)) {
    struct pg_plan *p = pg_plan_renew(
        e->plan, e->text_only ? PG_TEXT_FORMAT : c->link->formats);
    if (p == NULL) return pg_finish(c, NULL, prg_error_oom());
    pg_plan_unref(e->plan);
    e->plan = p;
  }
  if (prepare_answer(c, e->types + e->nparams, &err) != PRG_OK)
    return pg_finish(c, NULL, err);
  begin_answer(c);
  int rc = c->link->bound(c, e->name, e->nparams, e->plan, may_change(e->stmt));
  if (rc == PRG_OK &&
      c->run->untold) { /* the entry's may be renewed meanwhile */
    c->run->plan = pg_plan_ref(e->plan);
    c->run->has_plan = true;
  }
  return answer_begun(c, rc);
}

static bool is_stale(const struct pg_conn *c, const struct pg_entry *e) {
  const struct pg_catalog *cat = pg_catalog_of(c);
  const uint32_t *wanted;
  return (e->plan != NULL &&
          e->plan->generation != pg_catalog_generation(cat)) ||
         pg_catalog_wanted(cat, &wanted) > 0;
}

static int execute(struct pg_conn *c) {
  struct pg_entry *e = c->run->entry;
  if (c->run->learnt || !is_stale(c, e)) return execute_now(c);
  if (learn_add_entry(c, e) != PRG_OK)
    return pg_finish(c, NULL, prg_error_oom());
  return pg_learn(c, execute_now);
}

/* Parse, Bind, Describe, Execute and Sync at once, which is also right when the
** next statement meets another server (a pooler by transaction). */
static int execute_unnamed(struct pg_conn *c) {
  const struct prg_stmt *stmt = c->run->req->stmt;
  struct prg_error *err = NULL;
  if (prepare_answer(c, NULL, &err) != PRG_OK) return pg_finish(c, NULL, err);
  begin_answer(c);
  return answer_begun(c, c->link->whole(c, stmt));
}

/* COMMIT and its kin as one message instead of five. */
static int execute_control(struct pg_conn *c) {
  struct prg_error *err = NULL;
  if (prepare_answer(c, NULL, &err) != PRG_OK) return pg_finish(c, NULL, err);
  return pg_exchange_query(c, c->run->req->stmt->sql, on_answer, after_answer);
}

static bool is_control(const struct prg_req *req) {
  return (req->stmt->flags & PRG_STMT_CONTROL) != 0 &&
         req->stmt->nparams == 0 && req->kind == PRG_REQ_QUERY &&
         req->prelude == NULL;
}

/* FETCH is a utility statement, but one that gives rows again and again. */
static bool is_fetch(const struct prg_stmt *stmt) {
  return strncasecmp(stmt->sql, "FETCH", 5) == 0;
}

static bool is_named(const struct pg_conn *c) {
  const struct prg_stmt *stmt = c->run->req->stmt;
  if (c->base.config->statement_cache == 0) return false;
  if (stmt->nparams > c->link->max_described) return false;
  if (!(stmt->flags & (PRG_STMT_UTILITY | PRG_STMT_CONTROL))) return true;
  return stmt->nparams > 0 || is_fetch(stmt);
}

int pg_query_begin(struct pg_conn *c) {
  struct prg_req *req = c->run->req;
  struct pg_run *r = c->run;
  struct prg_error *e = pg_refuse(req);
  bool batch = req->kind == PRG_REQ_BATCH;
  if (e != NULL) return pg_finish(c, NULL, e);
  if (wants_prelude(req)) {
    r->opened = c->base.tx == PRG_TX_IDLE;
    if (c->link->prelude == NULL) return prelude_alone(c);
  }
  r->was_idle = c->base.tx == PRG_TX_IDLE && req->prelude == NULL;
  if (reserve_params(c, (size_t)req->stmt->nparams) != PRG_OK)
    return pg_finish(c, NULL, prg_error_oom());
  declare(c);
  if (!is_named(c)) {
    c->run->state = batch             ? pg_batch_execute
                    : is_control(req) ? execute_control
                                      : execute_unnamed;
    return PRG_OK;
  }
  r->entry = pg_cache_find(&c->cache, req->stmt, c->sig);
  if (r->entry != NULL) pg_entry_ref(r->entry);
  /* They are needed after this step, or would be for a second try. */
  if ((r->entry == NULL || r->was_idle || r->opened) &&
      prg_req_own_params(req) != PRG_OK)
    return pg_finish(c, NULL, prg_error_oom());
  if (r->entry == NULL) return prepare(c);
  c->run->state = batch ? pg_batch_execute : execute;
  return PRG_OK;
}
