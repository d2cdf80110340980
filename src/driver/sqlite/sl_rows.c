/*
** Sets of a batch that insert, many in one statement:
**
**   INSERT INTO t (a, b) SELECT c0, c1 FROM perigee_rows(?1)
**
** The parameter is a pointer to the sets, which are read where they are. Starting
** a statement takes longer than storing a short row, and this starts one for
** hundreds. Nobody is to see a difference: what goes wrong in a block is undone and
** done again set by set, which finds the set and its error.
*/
#include "driver/sqlite/sl_int.h"

#define ROWS "perigee_rows"
/* A batch of fewer sets does not pay for looking at the table. */
#define WORTH 256u
/* A block ends after so many sets, or when their texts have this length. */
#define BLOCK_SETS 512u
#define BLOCK_BYTES (size_t)(256 * 1024)
/* Columns c0, c1, … that the table is declared with. */
#define MAX_COLUMNS 64
#define SOURCE MAX_COLUMNS

/* Of sqlite3_bind_pointer. */
static const char pointer_type[] = ROWS;

/* What the parameter points to. */
struct block {
  const struct prg_value *row; /* the next */
  size_t ncols, n;
  size_t done, bytes; /* sets that were taken, and their texts */
  const atomic_bool *stop;
};

struct cursor {
  sqlite3_vtab_cursor base;
  struct block *block;
};

/* ---- the table ----------------------------------------------------------- */

static struct block *block_of(sqlite3_vtab_cursor *base) {
  return ((struct cursor *)(void *)base)->block;
}

static int rows_connect(sqlite3 *db, void *arg, int argc,
                        const char *const *argv, sqlite3_vtab **out,
                        char **err) {
  struct prg_buf sql;
  int rc = SQLITE_NOMEM;

  (void)arg;
  (void)argc;
  (void)argv;
  (void)err;
  prg_buf_init(&sql, 0);
  prg_buf_adds(&sql, "CREATE TABLE x(");
  for (int i = 0; i < MAX_COLUMNS; i++) prg_buf_addf(&sql, "c%d,", i);
  prg_buf_adds(&sql, "source HIDDEN)");
  if (!sql.failed) rc = sqlite3_declare_vtab(db, sql.data);
  prg_buf_fini(&sql);
  if (rc != SQLITE_OK) return rc;
  *out = sqlite3_malloc(sizeof(**out));
  if (*out == NULL) return SQLITE_NOMEM;
  **out = (sqlite3_vtab){0};
  return sqlite3_vtab_config(db, SQLITE_VTAB_DIRECTONLY);
}

static int rows_disconnect(sqlite3_vtab *tab) {
  sqlite3_free(tab);
  return SQLITE_OK;
}

static int rows_best(sqlite3_vtab *tab, sqlite3_index_info *info) {
  (void)tab;
  for (int i = 0; i < info->nConstraint; i++) {
    if (info->aConstraint[i].iColumn != SOURCE ||
        info->aConstraint[i].op != SQLITE_INDEX_CONSTRAINT_EQ)
      continue;
    if (!info->aConstraint[i].usable) return SQLITE_CONSTRAINT;
    info->aConstraintUsage[i].argvIndex = 1;
    info->aConstraintUsage[i].omit = 1;
    info->idxNum = 1;
  }
  return SQLITE_OK;
}

static int rows_open(sqlite3_vtab *tab, sqlite3_vtab_cursor **out) {
  struct cursor *k = sqlite3_malloc(sizeof(*k));

  (void)tab;
  if (k == NULL) return SQLITE_NOMEM;
  *k = (struct cursor){.block = NULL};
  *out = &k->base;
  return SQLITE_OK;
}

static int rows_close(sqlite3_vtab_cursor *base) {
  sqlite3_free(base);
  return SQLITE_OK;
}

static int rows_filter(sqlite3_vtab_cursor *base, int plan, const char *name,
                       int argc, sqlite3_value **argv) {
  struct cursor *k = (struct cursor *)(void *)base;

  (void)name;
  if (plan == 1 && argc == 1)
    k->block = sqlite3_value_pointer(argv[0], pointer_type);
  if (k->block != NULL) return SQLITE_OK;
  sqlite3_free(base->pVtab->zErrMsg);
  base->pVtab->zErrMsg =
      sqlite3_mprintf("%s is for batches of perigee's", ROWS);
  return SQLITE_ERROR;
}

static int rows_next(sqlite3_vtab_cursor *base) {
  struct block *b = block_of(base);

  b->row += b->ncols;
  b->done++;
  return SQLITE_OK;
}

/* Also between two sets, when it is enough: the rest is another block's. */
static int rows_eof(sqlite3_vtab_cursor *base) {
  const struct block *b = block_of(base);

  return b->done == b->n || b->bytes > BLOCK_BYTES ||
         atomic_load_explicit(b->stop, memory_order_relaxed);
}

static int rows_column(sqlite3_vtab_cursor *base, sqlite3_context *ctx,
                       int column) {
  struct block *b = block_of(base);

  if ((size_t)column >= b->ncols) return SQLITE_OK;
  b->bytes += sl_value_give(ctx, &b->row[column]);
  return SQLITE_OK;
}

static int rows_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *out) {
  *out = (sqlite3_int64)block_of(base)->done;
  return SQLITE_OK;
}

/* Without xCreate there is no CREATE VIRTUAL TABLE of it. */
static const sqlite3_module module = {
    .xConnect = rows_connect,
    .xBestIndex = rows_best,
    .xDisconnect = rows_disconnect,
    .xOpen = rows_open,
    .xClose = rows_close,
    .xFilter = rows_filter,
    .xNext = rows_next,
    .xEof = rows_eof,
    .xColumn = rows_column,
    .xRowid = rows_rowid,
};

int sl_rows_register(sqlite3 *db) {
  return sqlite3_create_module_v2(db, ROWS, &module, NULL, NULL);
}

/* ---- may it be used? ------------------------------------------------------ */

/* The statement for blocks; without one the sets go singly. */
static void prepare(struct sl_op *op) {
  struct sl_entry *e = op->e;
  int n = op->req->stmt->nparams;
  struct prg_buf sql;
  size_t head;

  if (e->rows_asked) return;
  e->rows_asked = true; /* but for want of memory */
  if (n > MAX_COLUMNS || !sl_values_head(e->key->sql, n, &head)) return;
  prg_buf_init(&sql, 0);
  prg_buf_add(&sql, e->key->sql, head);
  for (int i = 0; i < n; i++)
    prg_buf_addf(&sql, "%s c%d", i == 0 ? "SELECT" : ",", i);
  prg_buf_adds(&sql, " FROM " ROWS "(?1)");
  if (!sql.failed)
    (void)sqlite3_prepare_v3(op->c->db, sql.data, (int)sql.len + 1,
                             e->cached ? SQLITE_PREPARE_PERSISTENT : 0,
                             &e->rows_st, NULL);
  e->rows_asked = !sql.failed;
  prg_buf_fini(&sql);
}

/* Does it make no difference for the table? A trigger and a default can see that
** they run in another statement, and a row may refer to a later one of its block. Where there
** are temporary tables or other databases the name may mean one of theirs. To be
** asked in each transaction: the schema may have changed. */
static bool suits(struct sl_conn *c, const struct prg_text *table) {
  static const char sql[] =
      "SELECT 1 FROM main.sqlite_master WHERE type = 'table' AND "
      "name = ?1 COLLATE NOCASE AND sql NOT LIKE 'CREATE VIRTUAL%' AND "
      "sql NOT LIKE '%changes%(%' AND "
      "NOT EXISTS (SELECT 1 FROM main.sqlite_master WHERE "
      "type = 'trigger' AND tbl_name = ?1 COLLATE NOCASE) AND "
      "NOT EXISTS (SELECT 1 FROM pragma_foreign_key_list(?1) WHERE "
      "\"table\" = ?1 COLLATE NOCASE) AND "
      "NOT EXISTS (SELECT 1 FROM pragma_database_list WHERE seq <> 0)";
  bool yes;

  if (table->n == 0) return false;
  if (c->suits_st == NULL)
    (void)sqlite3_prepare_v3(c->db, sql, -1, SQLITE_PREPARE_PERSISTENT,
                             &c->suits_st, NULL);
  if (c->suits_st == NULL) return false;
  yes = sqlite3_bind_text64(c->suits_st, 1, table->p, table->n, SQLITE_STATIC,
                            SQLITE_UTF8) == SQLITE_OK &&
        sqlite3_step(c->suits_st) == SQLITE_ROW;
  (void)sqlite3_reset(c->suits_st);
  (void)sqlite3_clear_bindings(c->suits_st);
  return yes;
}

bool sl_rows_may(struct sl_op *op) {
  const struct prg_req *req = op->req;

  if (op->singly || req->collect || req->nsets < WORTH) return false;
  /* The first set has taken the write lock and seen the present schema: from it
  ** on nobody else changes either. */
  if (op->set == 0) return false;
  if (op->blocks) return true;
  prepare(op);
  op->blocks = op->e->rows_st != NULL && suits(op->c, &op->e->cmd.into);
  op->singly = !op->blocks;
  return op->blocks;
}

/* ---- running ------------------------------------------------------------- */

static int exec(struct sl_op *op, const char *sql) {
  return sqlite3_exec(op->c->db, sql, NULL, NULL, NULL);
}

/* Where the transaction is still open the sets are done again, singly, and the one
** that fails tells why. Where it went with the error nothing is left to do; then
** the cursor knows the set. */
static enum sl_out failed(struct sl_op *op, const struct block *b, int rc) {
  sqlite3_stmt *st = op->e->rows_st;

  op->singly = true;
  if (sqlite3_get_autocommit(op->c->db)) {
    op->set += b->done;
    return sl_step_failed(op, st, rc, op->e->key->sql);
  }
  (void)sqlite3_reset(st);
  rc = exec(op, "ROLLBACK TO \"perigee:block\"");
  if (rc == SQLITE_OK) rc = exec(op, "RELEASE \"perigee:block\"");
  return rc == SQLITE_OK ? SL_DONE : sl_step_failed(op, st, rc, NULL);
}

static void count(struct sl_op *op, const struct block *b) {
  struct sl_conn *c = op->c;
  int64_t n = sqlite3_changes64(c->db);

  if (b->done == 0) return; /* then it is an older statement's */
  op->set += b->done;
  op->affected += n;
  if (n == 0 || !c->into_hit) return;
  op->has_last_id = true;
  op->last_id = sqlite3_last_insert_rowid(c->db);
}

enum sl_out sl_rows_run(struct sl_op *op) {
  const struct prg_req *req = op->req;
  sqlite3_stmt *st = op->e->rows_st;
  size_t ncols = (size_t)req->stmt->nparams, left = req->nsets - op->set;
  struct block b = {.row = req->params + op->set * ncols,
                    .ncols = ncols,
                    .n = left < BLOCK_SETS ? left : BLOCK_SETS,
                    .stop = &op->c->stop};
  enum sl_out out = SL_DONE;
  int rc = exec(op, "SAVEPOINT \"perigee:block\"");

  if (rc != SQLITE_OK) return sl_step_failed(op, st, rc, NULL);
  op->c->into_hit = false;
  rc = sqlite3_bind_pointer(st, 1, &b, pointer_type, NULL);
  if (rc == SQLITE_OK) rc = sqlite3_step(st);
  if (rc == SQLITE_DONE) {
    count(op, &b);
    (void)sqlite3_reset(st);
    rc = exec(op, "RELEASE \"perigee:block\"");
    if (rc != SQLITE_OK) out = sl_step_failed(op, st, rc, NULL);
  } else {
    out = failed(op, &b, rc);
  }
  (void)sqlite3_clear_bindings(st);
  return out;
}
