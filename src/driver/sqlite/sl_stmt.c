#include "driver/sqlite/sl_int.h"

#include <limits.h>
#include <string.h>

/* Runs before a measured share of slow ones means something; at twice as many
** both counts are halved, so that old runs fade. */
#define ENOUGH_RUNS 100u
/* Then one in so many is timed. */
#define TIMED_RUNS 8u
/* A read whose plan is a look-up is trusted again after so many quick runs, at
** first; each time that it blocks again after twice as many. */
#define REGAIN_RUNS 16u
/* A database's size is looked at again after so many questions. */
#define SIZE_AGE 64u
/* Parameters or a text longer than this are work for the worker. */
#define BIG_BYTES (INT64_C(1) << 18)
/* A transaction that changed as many rows is committed there too, unless it is known
** to take no longer than a quick run; then one that changed many more. */
#define BIG_CHANGES 1000
#define MOST_CHANGES 10000

/* ---- preparing ----------------------------------------------------------- */

static struct prg_error *check_text(struct sl_conn *c, struct prg_stmt *stmt,
                                    sqlite3_stmt *st, const char *tail) {
  sqlite3_stmt *more = NULL;
  int n = sqlite3_bind_parameter_count(st);

  if (n != stmt->nparams)
    return prg_error_new(PRG_K_USAGE,
                         "the statement has %d parameters, %d were given", n,
                         stmt->nparams);
  tail = sl_skip_blank(tail);
  if (*tail == '\0') return NULL;
  if (sqlite3_prepare_v2(c->db, tail, -1, &more, NULL) == SQLITE_OK &&
      more == NULL)
    return NULL; /* a comment */
  sqlite3_finalize(more);
  return prg_error_new(PRG_K_USAGE,
                       "several statements in one text: use script()");
}

static void entry_free(struct sl_entry *e) {
  sqlite3_finalize(e->st);
  sqlite3_finalize(e->rows_st);
  prg_stmt_unref(e->key);
  prg_desc_unref(e->desc);
  prg_desc_unref(e->old);
  prg_free(e->classes);
  prg_free(e->use);
  prg_free(e);
}

static int describe(struct sl_entry *e) {
  struct prg_desc *desc;
  unsigned char *classes;

  if (sl_describe(e->st, e->key, &desc, &classes) != PRG_OK) return PRG_ERR;
  /* Results in use count on the hub's thread. When there is an old one already
  ** this run has made the other, and nobody shares it. */
  if (e->old == NULL)
    e->old = e->desc;
  else
    prg_desc_unref(e->desc);
  prg_free(e->classes);
  e->desc = desc;
  e->classes = classes;
  e->ncols = desc == NULL ? 0 : desc->ncols;
  e->prepares = sqlite3_stmt_status(e->st, SQLITE_STMTSTATUS_REPREPARE, 0);
  return PRG_OK;
}

void sl_entry_settle(struct sl_entry *e) {
  prg_desc_unref(e->old);
  e->old = NULL;
}

int sl_entry_refresh(struct sl_entry *e) {
  int n = sqlite3_stmt_status(e->st, SQLITE_STMTSTATUS_REPREPARE, 0);

  if (n == e->prepares) return PRG_OK;
  /* Tables have changed: what was known of the plan is no longer. */
  e->planned = false;
  return describe(e);
}

static int fill(struct sl_conn *c, struct sl_entry *e, struct prg_stmt *stmt,
                struct prg_error **err) {
  const char *tail = stmt->sql;
  int rc;

  c->busy_asked = false;
  c->at = 0;
  rc = sqlite3_prepare_v3(c->db, stmt->sql, (int)stmt->len + 1,
                          e->cached ? SQLITE_PREPARE_PERSISTENT : 0, &e->st,
                          &tail);
  if (rc != SQLITE_OK) {
    if ((rc & 0xff) != SQLITE_BUSY) *err = sl_error_new(c->db, rc, stmt->sql);
    return rc;
  }
  *err = check_text(c, stmt, e->st, tail);
  if (*err != NULL) return SQLITE_ERROR;
  e->key = prg_stmt_ref(stmt);
  e->readonly = e->st == NULL || sqlite3_stmt_readonly(e->st) != 0;
  sl_command_read(e->key->sql, &e->cmd);
  if (e->st == NULL || describe(e) == PRG_OK) return SQLITE_OK;
  *err = prg_error_oom();
  return SQLITE_NOMEM;
}

/* ---- the cache ----------------------------------------------------------- */

static struct sl_entry **bucket_of(struct sl_conn *c, uint64_t hash) {
  return &c->buckets[hash & (c->nbuckets - 1)];
}

static bool is_same(const struct prg_stmt *a, const struct prg_stmt *b) {
  return a->len == b->len && memcmp(a->sql, b->sql, a->len) == 0 &&
         a->ntypes == b->ntypes &&
         (a->ntypes == 0 || memcmp(a->types, b->types, a->ntypes) == 0);
}

static struct sl_entry *find(struct sl_conn *c, const struct prg_stmt *stmt) {
  struct sl_entry *e;

  if (c->nbuckets == 0) return NULL;
  for (e = *bucket_of(c, stmt->hash); e != NULL; e = e->chain) {
    if (e->key == stmt) return e;
    if (e->key->hash == stmt->hash && is_same(e->key, stmt)) return e;
  }
  return NULL;
}

static void forget(struct sl_conn *c, struct sl_entry *e) {
  struct sl_entry **at = bucket_of(c, e->key->hash);

  while (*at != e) at = &(*at)->chain;
  *at = e->chain;
  c->nentries--;
  if (prg_link_linked(&e->lru)) prg_list_remove(&c->lru, &e->lru);
  entry_free(e);
}

static void evict(struct sl_conn *c) {
  while (c->nentries >= c->base.config->statement_cache && c->lru.count > 0) {
    struct prg_link *k = prg_list_last(&c->lru);
    forget(c, PRG_CONTAINER(k, struct sl_entry, lru));
  }
}

/* Buckets for as many statements as the cache may hold; without memory there
** is no cache. */
static void make_buckets(struct sl_conn *c) {
  size_t want = c->base.config->statement_cache, n = 16;

  if (want == 0 || c->nbuckets != 0) return;
  while (n < want && n < 65536) n *= 2;
  c->buckets = prg_calloc(n, sizeof(*c->buckets));
  if (c->buckets != NULL) c->nbuckets = n;
}

struct sl_entry *sl_entry_known(struct sl_conn *c,
                                const struct prg_stmt *stmt) {
  struct sl_entry *e = find(c, stmt);

  if (e == NULL || !prg_link_linked(&e->lru)) return NULL;
  prg_list_remove(&c->lru, &e->lru);
  return e;
}

int sl_entry_get(struct sl_conn *c, struct prg_stmt *stmt,
                 struct sl_entry **out, struct prg_error **err) {
  struct sl_entry *e, *twin;
  int rc;

  make_buckets(c);
  twin = find(c, stmt);
  if (twin != NULL && prg_link_linked(&twin->lru)) {
    prg_list_remove(&c->lru, &twin->lru);
    *out = twin;
    return SQLITE_OK;
  }
  /* In use by a stream: this run gets a statement of its own. */
  e = prg_calloc(1, sizeof(*e));
  if (e == NULL) {
    *err = prg_error_oom();
    return SQLITE_NOMEM;
  }
  e->cached = c->nbuckets != 0 && twin == NULL;
  rc = fill(c, e, stmt, err);
  if (rc != SQLITE_OK) {
    entry_free(e);
    return rc;
  }
  /* An EXPLAIN that is run again does not look whether the schema has changed:
  ** it tells of what is gone, and may crash. */
  if (e->st != NULL && sqlite3_stmt_isexplain(e->st) != 0) e->cached = false;
  if (twin != NULL) {
    e->slow = twin->slow;
    e->proven = twin->proven;
  }
  if (e->cached) {
    evict(c);
    e->chain = *bucket_of(c, stmt->hash);
    *bucket_of(c, stmt->hash) = e;
    c->nentries++;
  }
  *out = e;
  return SQLITE_OK;
}

void sl_entry_put(struct sl_conn *c, struct sl_entry *e) {
  if (!e->cached) {
    entry_free(e);
    return;
  }
  if (e->st != NULL) {
    if (!e->was_reset) (void)sqlite3_reset(e->st);
    e->was_reset = false;
    /* Texts point to a caller's memory, but no step is made before the next run
    ** has bound all of them anew. Lists have an owner. */
    if (e->use != NULL) (void)sqlite3_clear_bindings(e->st);
  }
  prg_list_push_front(&c->lru, &e->lru);
  if (c->nentries > c->base.config->statement_cache) evict(c);
}

void sl_cache_clear(struct sl_conn *c) {
  struct prg_link *k;

  while ((k = prg_list_first(&c->lru)) != NULL)
    forget(c, PRG_CONTAINER(k, struct sl_entry, lru));
  sqlite3_finalize(c->size_st);
  c->size_st = NULL;
  sqlite3_finalize(c->suits_st);
  c->suits_st = NULL;
}

/* ---- where a statement runs ---------------------------------------------- */

/* Does one line of a query plan show a look-up, and no more work than that? */
static bool is_quick_line(const char *line) {
  if (strstr(line, "TEMP B-TREE") != NULL) return false;
  if (strstr(line, "AUTOMATIC") != NULL) return false;
  /* How long a list is, the size of the parameters tells. */
  if (strncmp(line, "SCAN", 4) == 0)
    return strstr(line, "CONSTANT ROW") != NULL ||
           strstr(line, ":" SL_LIST) != NULL;
  return true;
}

static bool is_recursion_line(const char *line) {
  return strcmp(line, "RECURSIVE STEP") == 0;
}

/* Asks for the plan of `e`. When it cannot be had now (a lock) the statement
** counts as slow this time and is asked about again. */
static void ask_plan(struct sl_conn *c, struct sl_entry *e) {
  struct prg_buf sql;
  sqlite3_stmt *st = NULL;
  int rc = SQLITE_ERROR;

  c->at = 0;
  e->quick = true;
  e->recursive = false;
  prg_buf_init(&sql, 0);
  prg_buf_adds(&sql, "EXPLAIN QUERY PLAN ");
  prg_buf_add(&sql, e->key->sql, e->key->len);
  if (!sql.failed)
    rc = sqlite3_prepare_v2(c->db, sql.data, (int)sql.len + 1, &st, NULL);
  if (rc == SQLITE_OK) {
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
      const char *line = (const char *)sqlite3_column_text(st, 3);
      if (line == NULL) continue;
      e->quick = e->quick && is_quick_line(line);
      e->recursive = e->recursive || is_recursion_line(line);
    }
  }
  e->planned = rc == SQLITE_DONE;
  if (!e->planned) e->quick = false;
  sqlite3_finalize(st);
  prg_buf_fini(&sql);
}

static bool is_small(struct sl_conn *c) {
  static const char sql[] =
      "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";

  if (c->size_age++ % SIZE_AGE != 0) return c->size < SL_SMALL;
  c->at = 0;
  if (c->size_st == NULL)
    (void)sqlite3_prepare_v3(c->db, sql, -1, SQLITE_PREPARE_PERSISTENT,
                             &c->size_st, NULL);
  if (c->size_st != NULL && sqlite3_step(c->size_st) == SQLITE_ROW)
    c->size = sqlite3_column_int64(c->size_st, 0);
  if (c->size_st != NULL) (void)sqlite3_reset(c->size_st);
  return c->size < SL_SMALL;
}

bool sl_commit_waits(const struct sl_conn *c) {
  return c->syncs || c->new_log;
}

static int64_t changes(const struct sl_conn *c) {
  return sqlite3_total_changes64(c->db) - c->tx_changes;
}

void sl_note_commit(struct sl_conn *c, int64_t took) {
  int64_t n = changes(c), cost;

  if (n < BIG_CHANGES / 10) return;
  cost = (took + 1) * 1000 / n;
  c->change_cost =
      cost > c->change_cost ? cost : (3 * c->change_cost + cost) / 4;
}

/* How much was changed says little of how many pages are to be written. */
static bool ends_soon(const struct sl_conn *c) {
  int64_t n = changes(c);

  if (n < BIG_CHANGES) return true;
  return n < MOST_CHANGES && c->change_cost > 0 &&
         n * c->change_cost < SL_QUICK * 1000;
}

/* Transaction control: what ends one may have much to write. */
static bool may_control(struct sl_conn *c, enum sl_verb verb) {
  if (verb == SL_V_BEGIN || verb == SL_V_SAVEPOINT) return true;
  if ((verb == SL_V_COMMIT || verb == SL_V_RELEASE) && sl_commit_waits(c) &&
      sqlite3_txn_state(c->db, NULL) == SQLITE_TXN_WRITE)
    return false;
  return ends_soon(c);
}

static bool is_data(enum sl_verb verb) {
  return verb >= SL_V_SELECT && verb <= SL_V_DELETE;
}

/* A row, or what the progress handler ends. */
static bool is_bounded(const struct sl_entry *e) {
  return e->readonly || (e->key->flags & PRG_STMT_VALUES) != 0;
}

bool sl_may_inline(struct sl_conn *c, struct sl_op *op) {
  struct sl_entry *e = op->e;
  enum sl_verb verb = e->cmd.verb;

  if (e->st == NULL) return true;
  if (verb >= SL_V_BEGIN) return may_control(c, verb);
  if (verb == SL_V_EXPLAIN) return true;
  if (e->slow || op->param_bytes > (size_t)BIG_BYTES ||
      e->key->len > (size_t)BIG_BYTES)
    return false;
  if (verb == SL_V_PRAGMA)
    return e->readonly && (e->key->flags & PRG_STMT_SESSION) == 0 &&
           is_small(c);
  if (!is_data(verb)) return false;
  /* Outside a transaction a write ends with a commit. */
  if (!e->readonly && sqlite3_get_autocommit(c->db) && sl_commit_waits(c))
    return false;
  if ((e->proven && is_bounded(e)) || (e->key->flags & PRG_STMT_VALUES) != 0)
    return true;
  if (!e->planned) ask_plan(c, e);
  return e->quick || (e->planned && !e->recursive && is_small(c));
}

/* A look-up was slow because it found much that once (pages of 10,000 rows, then
** of 50), or because the machine was busy. */
static void regain(struct sl_entry *e, bool was_quick) {
  if (!e->slow || !e->quick || !e->readonly) return;
  e->regained = was_quick ? e->regained + 1 : 0;
  if (e->regained >= e->regain) e->slow = false;
}

static void distrust(struct sl_entry *e) {
  e->slow = true;
  e->proven = false;
  e->runs = e->slow_runs = 0;
  e->regained = 0;
  if (e->regain == 0)
    e->regain = REGAIN_RUNS;
  else if (e->regain < UINT_MAX / 2)
    e->regain *= 2;
}

bool sl_entry_timed(struct sl_entry *e) {
  return !e->proven || !is_bounded(e) || ++e->unseen % TIMED_RUNS == 0;
}

void sl_entry_ran(struct sl_entry *e, int64_t took, bool gave_way,
                  bool inlined) {
  bool blocked = gave_way || (inlined && took > SL_GUARD);

  e->runs++;
  if (gave_way || took > SL_QUICK) e->slow_runs++;
  if (e->runs >= ENOUGH_RUNS) {
    e->proven = e->slow_runs * 100 <= e->runs;
    if (e->proven) {
      e->slow = false;
      e->regain = 0;
    }
  }
  /* One bad run in a hundred is the machine's and not the statement's; but a
  ** write cannot be interrupted next time, if it may be a long one. */
  if (blocked && (!e->proven || !is_bounded(e)))
    distrust(e);
  else
    regain(e, !gave_way && took <= SL_QUICK);
  if (e->runs >= 2 * ENOUGH_RUNS) {
    e->runs /= 2;
    e->slow_runs /= 2;
  }
}
