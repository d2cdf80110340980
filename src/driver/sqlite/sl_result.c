#include "driver/sqlite/sl_int.h"

#include <string.h>

/* Memory for rows that are only expected. */
#define MAX_AHEAD ((size_t)100000)

static const struct prg_value *result_row(struct prg_result *base, size_t i) {
  struct sl_result *r = (struct sl_result *)(void *)base;

  return i < base->nrows ? r->values + i * r->ncols : NULL;
}

static void result_free(struct prg_result *base) {
  struct sl_result *r = (struct sl_result *)(void *)base;

  prg_arena_fini(&r->texts.arena);
  if (r->values != r->room) prg_free(r->values);
  prg_free(r);
}

static const struct prg_result_ops result_ops = {result_row, result_free};

static size_t row_size(size_t ncols) {
  return ncols == 0 ? 1 : ncols * sizeof(struct prg_value);
}

/* Half of the room is for values, the rest for texts. */
static void share_room(struct sl_result *r) {
  size_t size = SL_RESULT_SIZE - sizeof(*r), row = row_size(r->ncols);
  size_t rows = size / 2 / row;

  r->values = r->room;
  r->cap = rows;
  r->texts.at = (char *)r->room + rows * row;
  r->texts.left = size - rows * row;
}

static bool grow(struct sl_result *r, size_t cap) {
  size_t row = row_size(r->ncols);
  struct prg_value *values;

  if (cap > SIZE_MAX / row) return false;
  values = prg_realloc(r->values == r->room ? NULL : r->values, cap * row);
  if (values == NULL) return false;
  if (r->values == r->room && r->base.nrows > 0)
    memcpy(values, r->room, r->base.nrows * row);
  r->values = values;
  r->cap = cap;
  return true;
}

struct sl_result *sl_result_new(size_t ncols, size_t rows) {
  struct sl_result *r = prg_alloc(SL_RESULT_SIZE);

  if (r == NULL) return NULL;
  memset(r, 0, sizeof(*r));
  r->base.ops = &result_ops;
  r->base.affected = -1;
  r->ncols = ncols;
  prg_arena_init(&r->texts.arena);
  share_room(r);
  if (rows <= r->cap || rows > MAX_AHEAD / row_size(ncols) || grow(r, rows))
    return r;
  prg_free(r);
  return NULL;
}

size_t sl_result_bytes(const struct sl_result *r) {
  size_t values = r->values == r->room ? 0 : r->cap * row_size(r->ncols);

  return SL_RESULT_SIZE + values + r->texts.arena.used;
}

bool sl_result_add(struct sl_result *r, sqlite3_stmt *st,
                   const unsigned char *classes) {
  struct prg_value *row;

  if (r->base.nrows == r->cap && !grow(r, r->cap < 8 ? 16 : r->cap * 2))
    return false;
  row = r->values + r->base.nrows * r->ncols;
  for (size_t i = 0; i < r->ncols; i++) {
    if (!sl_value_read(st, (int)i, (enum sl_class)classes[i], &r->texts,
                       &row[i]))
      return false;
  }
  r->base.nrows++;
  return true;
}

/* The declared type of column `i`, or what the statement says in its place; NULL
** for an expression. */
static const char *type_of(sqlite3_stmt *st, int i,
                           const struct prg_stmt *stmt) {
  const char *decl = sqlite3_column_decltype(st, i);
  const char *name, *p, *end;

  if (decl == NULL || stmt == NULL || stmt->types == NULL) return decl;
  name = sqlite3_column_name(st, i);
  if (name == NULL) return decl;
  p = stmt->types;
  end = p + stmt->ntypes;
  while (p < end) {
    const char *type = p + strlen(p) + 1;
    if (strcmp(p, name) == 0) return type;
    p = type + strlen(type) + 1;
  }
  return decl;
}

/* Bytes that the names and types of the columns take. */
static size_t names_size(sqlite3_stmt *st, int n, const struct prg_stmt *stmt) {
  size_t size = 0;

  for (int i = 0; i < n; i++) {
    const char *name = sqlite3_column_name(st, i);
    const char *decl = type_of(st, i, stmt);
    size += name == NULL ? 1 : strlen(name) + 1;
    size += decl == NULL ? 1 : strlen(decl) + 1;
  }
  return size;
}

int sl_describe(sqlite3_stmt *st, const struct prg_stmt *stmt,
                struct prg_desc **desc, unsigned char **classes) {
  int n = sqlite3_column_count(st);
  char *p;

  *desc = NULL;
  *classes = NULL;
  if (n == 0) return PRG_OK;
  *classes = prg_calloc((size_t)n, 1);
  *desc = prg_desc_new((size_t)n, names_size(st, n, stmt), &p);
  if (*classes == NULL || *desc == NULL) {
    prg_free(*classes);
    prg_desc_unref(*desc);
    *classes = NULL;
    *desc = NULL;
    return PRG_ERR;
  }
  for (int i = 0; i < n; i++) {
    struct prg_column *col = &(*desc)->cols[i];
    const char *name = sqlite3_column_name(st, i);
    col->name.n = name == NULL ? 0 : strlen(name);
    if (name != NULL) memcpy(p, name, col->name.n);
    p[col->name.n] = '\0';
    col->name.p = p;
    p += col->name.n + 1;
    (*classes)[i] = (unsigned char)sl_class_of(type_of(st, i, stmt), p);
    col->type = p;
    col->oid = 0;
    p += strlen(p) + 1;
  }
  return PRG_OK;
}
