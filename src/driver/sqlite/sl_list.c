/*
** perigee_list(?): a list as a table with one column, `value`. A list is bound
** as a pointer, so that any number of values costs one parameter:
**
**   … WHERE id IN (SELECT value FROM perigee_list(?1))
**
** The pointer is good while the statement runs: the parameters of a request live
** as long as it does.
*/
#include "driver/sqlite/sl_int.h"

/* Of sqlite3_bind_pointer: other pointers are not taken for lists. Also in the
** plan, where sl_stmt.c looks for it. */
static const char pointer_type[] = SL_LIST;

/* A list is worth as much of a statement's time as a text of this length per
** value, since each is likely to be looked up. */
#define VALUE_WEIGHT 256u

enum { COL_VALUE, COL_LIST };

struct cursor {
  sqlite3_vtab_cursor base;
  const struct prg_vlist *list; /* the request's */
  size_t at;
};

static struct cursor *cursor_of(sqlite3_vtab_cursor *base) {
  return (struct cursor *)(void *)base;
}

static int list_connect(sqlite3 *db, void *arg, int argc,
                        const char *const *argv, sqlite3_vtab **out,
                        char **err) {
  int rc = sqlite3_declare_vtab(db, "CREATE TABLE x(value, list HIDDEN)");

  (void)arg;
  (void)argc;
  (void)argv;
  (void)err;
  if (rc != SQLITE_OK) return rc;
  *out = sqlite3_malloc(sizeof(**out));
  if (*out == NULL) return SQLITE_NOMEM;
  **out = (sqlite3_vtab){0};
  return sqlite3_vtab_config(db, SQLITE_VTAB_DIRECTONLY);
}

static int list_disconnect(sqlite3_vtab *tab) {
  sqlite3_free(tab);
  return SQLITE_OK;
}

static int list_best(sqlite3_vtab *tab, sqlite3_index_info *info) {
  bool given = false;

  (void)tab;
  for (int i = 0; i < info->nConstraint; i++) {
    if (info->aConstraint[i].iColumn != COL_LIST ||
        info->aConstraint[i].op != SQLITE_INDEX_CONSTRAINT_EQ)
      continue;
    if (!info->aConstraint[i].usable) return SQLITE_CONSTRAINT;
    info->aConstraintUsage[i].argvIndex = 1;
    info->aConstraintUsage[i].omit = 1;
    given = true;
  }
  info->idxNum = given;
  info->idxStr = (char *)(uintptr_t)pointer_type; /* only read */
  info->estimatedRows = 100;
  info->estimatedCost = 100;
  return SQLITE_OK;
}

static int list_open(sqlite3_vtab *tab, sqlite3_vtab_cursor **out) {
  struct cursor *k = sqlite3_malloc(sizeof(*k));

  (void)tab;
  if (k == NULL) return SQLITE_NOMEM;
  *k = (struct cursor){.list = NULL};
  *out = &k->base;
  return SQLITE_OK;
}

static int list_close(sqlite3_vtab_cursor *base) {
  sqlite3_free(cursor_of(base));
  return SQLITE_OK;
}

static int list_filter(sqlite3_vtab_cursor *base, int plan, const char *name,
                       int argc, sqlite3_value **argv) {
  struct cursor *k = cursor_of(base);

  (void)name;
  k->at = 0;
  k->list = plan == 1 && argc == 1
                ? sqlite3_value_pointer(argv[0], pointer_type)
                : NULL;
  if (k->list != NULL) return SQLITE_OK;
  /* Not an empty table: NOT IN would then be true of everything. */
  sqlite3_free(base->pVtab->zErrMsg);
  base->pVtab->zErrMsg =
      sqlite3_mprintf("%s(?) takes a list as its parameter", SL_LIST);
  return SQLITE_ERROR;
}

static int list_next(sqlite3_vtab_cursor *base) {
  cursor_of(base)->at++;
  return SQLITE_OK;
}

static int list_eof(sqlite3_vtab_cursor *base) {
  struct cursor *k = cursor_of(base);

  return k->list == NULL || k->at >= k->list->n;
}

static int list_column(sqlite3_vtab_cursor *base, sqlite3_context *ctx,
                       int column) {
  struct cursor *k = cursor_of(base);

  if (column == COL_VALUE) (void)sl_value_give(ctx, &k->list->items[k->at]);
  return SQLITE_OK;
}

static int list_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *out) {
  *out = (sqlite3_int64)cursor_of(base)->at;
  return SQLITE_OK;
}

/* Without xCreate there is no CREATE VIRTUAL TABLE of it. */
static const sqlite3_module module = {
    .xConnect = list_connect,
    .xBestIndex = list_best,
    .xDisconnect = list_disconnect,
    .xOpen = list_open,
    .xClose = list_close,
    .xFilter = list_filter,
    .xNext = list_next,
    .xEof = list_eof,
    .xColumn = list_column,
    .xRowid = list_rowid,
};

int sl_list_register(sqlite3 *db) {
  return sqlite3_create_module_v2(db, SL_LIST, &module, NULL, NULL);
}

struct prg_error *sl_list_bind(sqlite3_stmt *st, int i, struct prg_vlist *list,
                               size_t *bytes) {
  int rc;

  for (size_t k = 0; k < list->n; k++) {
    const struct prg_value *v = &list->items[k];
    struct prg_error *e = sl_value_refuse(i, v);
    if (e != NULL) return e;
    *bytes += VALUE_WEIGHT;
    if (v->type >= PRG_TEXT) *bytes += v->u.s.n;
  }
  rc = sqlite3_bind_pointer(st, i, list, pointer_type, NULL);
  if (rc == SQLITE_OK) return NULL;
  if (rc == SQLITE_NOMEM) return prg_error_oom();
  return prg_error_new(PRG_K_USAGE, "parameter ?%d: %s", i, sqlite3_errstr(rc));
}
