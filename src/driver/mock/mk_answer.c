#include "driver/mock/mk_int.h"

#include <string.h>
#include <strings.h>

#include "base/mem.h"

/* ---- errors ------------------------------------------------------------- */

static void set_sqlstate(struct prg_error *e, const char *sqlstate) {
  if (e != prg_error_oom()) memcpy(e->sqlstate, sqlstate, sizeof e->sqlstate);
}

struct prg_error *mk_fault_error(const struct mk_fault *f) {
  struct prg_error *e = prg_error_new(f->kind, "%s", f->field[PRG_EF_MESSAGE]);
  if (e == prg_error_oom()) return e;
  if (f->sqlstate != NULL) set_sqlstate(e, f->sqlstate);
  e->code = f->code;
  e->position = f->position;
  for (int i = PRG_EF_MESSAGE + 1; i < PRG_EF_COUNT_; i++)
    if (f->field[i] != NULL)
      prg_error_set(e, (enum prg_error_field)i, f->field[i]);
  return e;
}

static struct prg_error *make_error(enum prg_kind kind, const char *sqlstate,
                                    const char *message) {
  struct prg_error *e = prg_error_new(kind, "%s", message);
  set_sqlstate(e, sqlstate);
  return e;
}

/* ---- transactions ------------------------------------------------------- */

/* A statement as words: enough for BEGIN, ROLLBACK TO SAVEPOINT a, … */
struct words {
  const char *p, *end;
};

static bool is_word_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         (c >= '0' && c <= '9') || c == '_' || c == '"';
}

/* The next word, cut at `size` bytes; "" at the end. */
static void next_word(struct words *ws, char *out, size_t size) {
  size_t n = 0;
  while (ws->p < ws->end && !is_word_char(*ws->p)) ws->p++;
  for (; ws->p < ws->end && is_word_char(*ws->p); ws->p++)
    if (n + 1 < size) out[n++] = *ws->p;
  out[n] = '\0';
}

/* The next word but an optional `noise` before it. */
static void next_name(struct words *ws, const char *noise, char *out) {
  next_word(ws, out, MK_NAME);
  if (strcasecmp(out, noise) == 0) next_word(ws, out, MK_NAME);
}

static struct prg_error *add_savepoint(struct mk_conn *m, const char *name) {
  if (m->nsavepoints == MK_SAVEPOINTS)
    return make_error(PRG_K_RESOURCE, "53400", "too many savepoints");
  memcpy(m->savepoints[m->nsavepoints++], name, MK_NAME);
  return NULL;
}

/* The newest savepoint of that name, counted from 1; 0: there is none. */
static size_t find_savepoint(const struct mk_conn *m, const char *name) {
  size_t i = m->nsavepoints;
  while (i > 0 && strcasecmp(m->savepoints[i - 1], name) != 0) i--;
  return i;
}

static struct prg_error *no_savepoint(const char *name) {
  struct prg_error *e =
      prg_error_new(PRG_K_DATABASE, "savepoint \"%s\" does not exist", name);
  set_sqlstate(e, "3B001");
  return e;
}

static void end_tx(struct mk_conn *m) {
  m->base.tx = PRG_TX_IDLE;
  m->nsavepoints = 0;
}

static struct prg_error *do_savepoint(struct mk_conn *m, struct words *ws) {
  char name[MK_NAME] = "";
  next_word(ws, name, sizeof name);
  if (m->base.tx != PRG_TX_OPEN)
    return make_error(PRG_K_DATABASE, "25P01", "no transaction is open");
  return add_savepoint(m, name);
}

static struct prg_error *do_release(struct mk_conn *m, struct words *ws) {
  char name[MK_NAME] = "";
  next_name(ws, "savepoint", name);
  size_t i = find_savepoint(m, name);
  if (i == 0) return no_savepoint(name);
  m->nsavepoints = i - 1;
  return NULL;
}

/* ROLLBACK, ROLLBACK TO [SAVEPOINT] name. */
static struct prg_error *do_rollback(struct mk_conn *m, struct words *ws) {
  char word[MK_NAME] = "";
  next_word(ws, word, sizeof word);
  if (strcasecmp(word, "to") != 0) {
    end_tx(m);
    return NULL;
  }
  next_name(ws, "savepoint", word);
  size_t i = find_savepoint(m, word);
  if (i == 0) return no_savepoint(word);
  m->nsavepoints = i;
  m->base.tx = PRG_TX_OPEN;
  return NULL;
}

static struct prg_error *do_commit(struct mk_conn *m, const struct mk_run *r,
                                   char *tag) {
  bool rolls_back = m->base.tx == PRG_TX_FAILED;
  if (r->rule != NULL && r->rule->rolls_back) rolls_back = true;
  memcpy(tag, rolls_back ? "ROLLBACK" : "COMMIT", rolls_back ? 9 : 7);
  end_tx(m);
  return NULL;
}

static bool is_any(const char *word, const char *a, const char *b) {
  return strcasecmp(word, a) == 0 || strcasecmp(word, b) == 0;
}

/* What the statement does to the transaction by itself. */
static struct prg_error *track_tx(struct mk_conn *m, const struct mk_run *r,
                                  char *tag) {
  struct words ws = {r->sql, r->sql + r->len};
  char word[sizeof((struct prg_result *)0)->tag] = "";
  next_word(&ws, word, sizeof word);
  for (size_t i = 0; i < sizeof word; i++) {
    bool lower = word[i] >= 'a' && word[i] <= 'z';
    tag[i] = lower ? (char)(word[i] - 32) : word[i];
  }
  if (is_any(word, "commit", "end")) return do_commit(m, r, tag);
  if (is_any(word, "rollback", "abort")) return do_rollback(m, &ws);
  if (m->base.tx == PRG_TX_FAILED)
    return make_error(PRG_K_ABORTED, "25P02",
                      "current transaction is aborted, commands ignored until "
                      "end of transaction block");
  if (is_any(word, "begin", "start")) {
    m->base.tx = PRG_TX_OPEN;
    return NULL;
  }
  if (strcasecmp(word, "savepoint") == 0) return do_savepoint(m, &ws);
  if (strcasecmp(word, "release") == 0) return do_release(m, &ws);
  if (r->rule != NULL) return NULL;
  struct prg_error *e =
      prg_error_new(PRG_K_UNDEFINED, "the mock has no rule for: %.*s",
                    (int)(r->len < 200 ? r->len : 200), r->sql);
  set_sqlstate(e, "42P01");
  return e;
}

void mk_tx_failed(struct mk_conn *m) {
  if (m->base.tx == PRG_TX_OPEN) m->base.tx = PRG_TX_FAILED;
}

/* An error of COMMIT ends the transaction (a deferred constraint); any other
** leaves it open and failed. */
static void fail_tx(struct mk_conn *m, const struct mk_run *r) {
  struct words ws = {r->sql, r->sql + r->len};
  char word[MK_NAME] = "";
  next_word(&ws, word, sizeof word);
  if (is_any(word, "commit", "end"))
    end_tx(m);
  else
    mk_tx_failed(m);
}

struct prg_error *mk_tx_apply(struct mk_conn *m, const struct mk_run *r,
                              char *tag) {
  struct prg_error *e = NULL;
  const struct mk_rule *rule = r->rule;
  if (rule != NULL && rule->answer == MK_FAULT) {
    e = mk_fault_error(&rule->fault);
    fail_tx(m, r);
  } else {
    e = track_tx(m, r, tag);
    if (e != NULL) mk_tx_failed(m);
  }
  if (rule != NULL && rule->sets_tx) m->base.tx = rule->tx;
  return e;
}

/* ---- results ------------------------------------------------------------ */

struct mk_result {
  struct prg_result base;
  struct prg_arena arena;        /* echoed texts */
  struct mk_script *script;      /* owned reference; keeps `cells` alive */
  const struct prg_value *cells; /* of row 0; NULL: a series */
  struct prg_value number;       /* the row of a series handed out last */
  size_t first;                  /* of a series */
};

static const struct prg_value *result_row(struct prg_result *r, size_t i) {
  struct mk_result *k = (struct mk_result *)r;
  if (k->cells != NULL) return k->cells + i * r->desc->ncols;
  k->number =
      (struct prg_value){.type = PRG_INT, .u.i = (int64_t)(k->first + i + 1)};
  return &k->number;
}

static void result_free(struct prg_result *r) {
  struct mk_result *k = (struct mk_result *)r;
  prg_arena_fini(&k->arena); /* prg_result_free does desc and error */
  mk_script_unref(k->script);
  prg_free(k);
}

static const struct prg_result_ops result_ops = {result_row, result_free};

static struct prg_desc *echo_desc(const struct prg_req *req) {
  size_t n = (size_t)req->stmt->nparams;
  char *at;
  struct prg_desc *d = prg_desc_new(n, n * 8, &at);
  if (d == NULL) return NULL;
  for (size_t i = 0; i < n; i++) {
    struct prg_buf b; /* p1, p2, …: at most 65535 */
    prg_buf_init(&b, 0);
    prg_buf_addf(&b, "p%zu", i + 1);
    if (b.failed || b.len >= 8) {
      prg_buf_fini(&b);
      prg_desc_unref(d);
      return NULL;
    }
    memcpy(at, b.data, b.len + 1);
    d->cols[i] = (struct prg_column){.name = {at, b.len}, .type = ""};
    at += b.len + 1;
    prg_buf_fini(&b);
  }
  return d;
}

/* Copies a parameter. Structures cannot be echoed. */
static int copy_value(struct prg_arena *a, const struct prg_value *from,
                      struct prg_value *to, struct prg_error **err) {
  *to = *from;
  switch (from->type) {
    case PRG_NULL:
    case PRG_BOOL:
    case PRG_INT:
    case PRG_DOUBLE:
      return PRG_OK;
    case PRG_TEXT:
    case PRG_BYTES:
    case PRG_DECIMAL:
    case PRG_JSON:
      to->u.s.p = prg_arena_dup(a, from->u.s.p, from->u.s.n);
      if (to->u.s.p != NULL) return PRG_OK;
      *err = prg_error_oom();
      return PRG_ERR;
    default:
      *err =
          prg_error_new(PRG_K_UNSUPPORTED, "the mock cannot echo structures");
      return PRG_ERR;
  }
}

static int fill_echo(struct mk_result *k, const struct prg_req *req,
                     struct prg_error **err) {
  size_t n = (size_t)req->stmt->nparams;
  k->base.desc = echo_desc(req);
  struct prg_value *cells = prg_arena_alloc(&k->arena, (n + 1) * sizeof *cells);
  if (k->base.desc == NULL || cells == NULL) {
    *err = prg_error_oom();
    return PRG_ERR;
  }
  for (size_t i = 0; i < n; i++)
    if (copy_value(&k->arena, &req->params[i], &cells[i], err) != PRG_OK)
      return PRG_ERR;
  k->cells = cells;
  k->base.bytes += k->arena.used;
  return PRG_OK;
}

size_t mk_answer_rows(const struct mk_run *r) {
  if (r->rule == NULL) return 0;
  switch (r->rule->answer) {
    case MK_TABLE:
    case MK_SERIES:
      return r->rule->nrows;
    case MK_ECHO:
      return 1;
    default:
      return 0;
  }
}

/* What the rule says about the rest. A batch counts each set; when it collects
** rows, the rule's are those of all sets. */
static void fill_counts(struct prg_result *res, const struct prg_req *req,
                        const struct mk_run *r) {
  const struct mk_rule *rule = r->rule;
  bool has_rows = res->desc != NULL;
  res->affected = has_rows ? (int64_t)mk_answer_rows(r) : -1;
  if (rule == NULL) return;
  if (rule->affected >= 0) res->affected = rule->affected;
  if (req->kind == PRG_REQ_BATCH && !req->collect && res->affected >= 0)
    res->affected *= (int64_t)req->nsets;
  res->has_last_id = rule->has_last_id;
  res->last_id = rule->last_id;
  if (rule->tag != NULL) {
    size_t n = strnlen(rule->tag, sizeof res->tag - 1);
    memcpy(res->tag, rule->tag, n);
    res->tag[n] = '\0';
  }
}

struct prg_result *mk_answer_slice(const struct prg_req *req,
                                   const struct mk_run *r, size_t first,
                                   size_t n, struct prg_error **err) {
  struct mk_result *k = prg_calloc(1, sizeof *k);
  if (k == NULL) {
    *err = prg_error_oom();
    return NULL;
  }
  const struct mk_rule *rule = r->rule;
  prg_arena_init(&k->arena);
  k->base.ops = &result_ops;
  k->base.nrows = n;
  k->base.bytes = sizeof *k;
  k->first = first;
  if (rule != NULL && rule->answer == MK_ECHO) {
    if (fill_echo(k, req, err) != PRG_OK) {
      prg_result_free(&k->base);
      return NULL;
    }
  } else if (rule != NULL && rule->desc != NULL) {
    k->base.desc = prg_desc_ref(rule->desc);
    if (rule->answer == MK_TABLE)
      k->cells = rule->cells + first * rule->desc->ncols;
  }
  k->script = r->script != NULL ? mk_script_ref(r->script) : NULL;
  fill_counts(&k->base, req, r);
  return &k->base;
}
