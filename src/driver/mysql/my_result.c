/* Descriptions of columns, and results whose rows are decoded as they come. */
#include "driver/mysql/my_int.h"

#include <ctype.h>
#include <string.h>

#include "base/mem.h"

/* So many come with the result itself: one row is common. */
enum { FEW_VALUES = 16 };

/* ---- results -------------------------------------------------------------- */

static const struct prg_value *result_row(struct prg_result *base, size_t i) {
  struct my_result *r = (struct my_result *)(void *)base;
  return i < base->nrows ? r->values + i * r->ncols : NULL;
}

static void result_free(struct prg_result *base) {
  struct my_result *r = (struct my_result *)(void *)base;
  prg_arena_fini(&r->arena);
  if (r->values != r->few) prg_free(r->values);
  prg_free(r);
}

static const struct prg_result_ops result_ops = {result_row, result_free};

struct my_result *my_result_new(struct prg_desc *desc) {
  size_t ncols = desc == NULL ? 0 : desc->ncols;
  size_t rows = ncols == 0 ? 0 : FEW_VALUES / ncols;
  struct my_result *r =
      prg_alloc(sizeof *r + rows * ncols * sizeof(struct prg_value));
  if (r == NULL) return NULL;
  memset(r, 0, sizeof *r);
  r->base.ops = &result_ops;
  r->base.affected = -1;
  r->base.desc = prg_desc_ref(desc);
  r->values = r->few;
  r->ncols = ncols;
  r->cap = rows;
  prg_arena_init(&r->arena);
  return r;
}

static bool grow(struct my_result *r) {
  size_t cap = r->cap == 0 ? 4 : r->cap * 2;
  size_t row = r->ncols == 0 ? 1 : r->ncols * sizeof *r->values;
  if (cap > SIZE_MAX / row) return false;
  bool is_few = r->values == r->few;
  struct prg_value *values = prg_realloc(is_few ? NULL : r->values, cap * row);
  if (values == NULL) return false;
  if (is_few && r->cap > 0) memcpy(values, r->few, r->cap * row);
  r->values = values;
  r->cap = cap;
  return true;
}

struct prg_value *my_result_row(struct my_result *r) {
  if (r->base.nrows == r->cap && !grow(r)) return NULL;
  return r->values + r->base.nrows * r->ncols;
}

void my_result_keep(struct my_result *r) {
  r->base.nrows++;
  r->base.bytes = r->cap * r->ncols * sizeof *r->values + r->arena.used;
}

/* ---- tags and counts ------------------------------------------------------ */

const char *my_skip_blank(const char *p) {
  for (;;) {
    while (isspace((unsigned char)*p) || *p == '(' || *p == ';') p++;
    if (*p == '#' || (p[0] == '-' && p[1] == '-')) {
      p += strcspn(p, "\n");
    } else if (p[0] == '/' && p[1] == '*' && p[2] != '!' && p[2] != 'M') {
      const char *end = strstr(p + 2, "*/");
      if (end == NULL) return p + strlen(p);
      p = end + 2;
    } else {
      return p;
    }
  }
}

void my_result_tag(struct prg_result *r, const char *sql) {
  const char *p = my_skip_blank(sql);
  size_t n = 0;
  for (; isalpha((unsigned char)p[n]) && n + 1 < sizeof r->tag; n++)
    r->tag[n] = (char)toupper((unsigned char)p[n]);
  r->tag[n] = '\0';
}

static bool is_one_of(const char *tag, const char *const *list) {
  for (; *list != NULL; list++)
    if (strcmp(tag, *list) == 0) return true;
  return false;
}

static void set_id(struct prg_result *r, int64_t id) {
  r->has_last_id = true;
  r->last_id = id;
}

/* With RETURNING the server does not tell the id that it made; the first column
** is what other databases go by. */
static void returned_id(struct prg_result *r, const struct prg_value *values) {
  if (r->nrows == 0) return;
  const struct prg_value *first = values + (r->nrows - 1) * r->desc->ncols;
  if (first->type == PRG_INT) set_id(r, first->u.i);
}

void my_result_count(struct my_result *r, const char *sql, MYSQL *my) {
  static const char *const counted[] = {"INSERT", "UPDATE", "DELETE", "REPLACE",
                                        "LOAD",   "WITH",   NULL};
  static const char *const inserts[] = {"INSERT", "REPLACE", NULL};
  my_result_tag(&r->base, sql);
  bool rows = r->base.desc != NULL;
  bool insert = r->base.tag[0] != 'S' && is_one_of(r->base.tag, inserts);
  if (rows)
    r->base.affected = (int64_t)r->base.nrows;
  else if (is_one_of(r->base.tag, counted))
    r->base.affected = (int64_t)mysql_affected_rows(my);
  if (insert && rows)
    returned_id(&r->base, r->values);
  else if (insert && mysql_insert_id(my) != 0)
    set_id(&r->base, (int64_t)mysql_insert_id(my));
}

/* ---- plans ---------------------------------------------------------------- */

void my_plan_fini(struct my_plan *p) {
  prg_desc_unref(p->desc);
  prg_free(p->cols); /* and what is behind them */
  memset(p, 0, sizeof *p);
}

/* What a definition says of a column where the database's own types say less. */
static enum my_class defined_class(const struct prg_stmt *stmt,
                                   const char *name, enum my_class cl) {
  if (stmt->types == NULL) return cl;
  for (const char *p = stmt->types; p < stmt->types + stmt->ntypes;) {
    const char *type = p + strlen(p) + 1;
    if (strcmp(p, name) == 0) {
      if (strncmp(type, "json", 4) == 0 && cl == MY_C_TEXT) return MY_C_JSON;
      if (strcmp(type, "timestamptz") == 0 && cl == MY_C_STAMP)
        return MY_C_STAMP_TZ;
      return cl;
    }
    p = type + strlen(type) + 1;
  }
  return cl;
}

static enum my_class class_of(const struct my_fields *f, unsigned i,
                              const char **type) {
  const MYSQL_FIELD *prepared = f->prepared == NULL ? NULL : &f->prepared[i];
  enum my_class cl = my_class_of(&f->now[i], prepared, type);
  if ((cl == MY_C_TEXT || cl == MY_C_BYTES) && f->json != NULL && f->json[i]) {
    *type = "json";
    return MY_C_JSON;
  }
  return defined_class(f->stmt, f->now[i].name, cl);
}

/* Without what only the library adds. */
static unsigned flags_of(const MYSQL_FIELD *f) {
  return f->flags & ~(unsigned)NUM_FLAG;
}

/* JSON may be said of a column only the first time: the library loses it when it copies
** a description, but not that there was one. */
static bool is_same_column(const struct my_column *k,
                           const struct prg_column *col,
                           const struct my_fields *f, unsigned i) {
  const MYSQL_FIELD *now = &f->now[i];
  const char *type;
  if (now->type != k->type || flags_of(now) != k->flags ||
      now->charsetnr != k->charset || now->length != k->length ||
      now->name_length != col->name.n ||
      memcmp(now->name, col->name.p, col->name.n) != 0)
    return false;
  bool was_json = k->cl == MY_C_JSON;
  if (f->json == NULL && (now->extension != NULL) == was_json) return true;
  return (class_of(f, i, &type) == MY_C_JSON) == was_json;
}

static bool is_same(const struct my_plan *p, const struct my_fields *f) {
  if (p->ncols != f->n || p->desc == NULL) return false;
  for (unsigned i = 0; i < f->n; i++)
    if (!is_same_column(&p->cols[i], &p->desc->cols[i], f, i)) return false;
  return true;
}

static void describe_column(struct my_column *k, const struct my_fields *f,
                            unsigned i, const char **type) {
  const MYSQL_FIELD *now = &f->now[i];
  k->cl = class_of(f, i, type);
  k->type = now->type;
  k->flags = flags_of(now);
  k->charset = now->charsetnr;
  k->length = now->length;
  k->size = prg_packet_size(now->type);
}

static int describe(struct my_plan *p, const struct my_fields *f) {
  size_t room = 0;
  char *names;
  for (unsigned i = 0; i < f->n; i++) room += f->now[i].name_length + 1;
  p->desc = prg_desc_new(f->n, room, &names);
  if (p->desc == NULL) return PRG_ERR;
  for (unsigned i = 0; i < f->n; i++) {
    struct prg_column *col = &p->desc->cols[i];
    size_t n = f->now[i].name_length;
    memcpy(names, f->now[i].name, n);
    names[n] = '\0';
    col->name.p = names;
    col->name.n = n;
    names += n + 1;
    describe_column(&p->cols[i], f, i, &col->type);
    p->sizes[i] = p->cols[i].size;
  }
  return PRG_OK;
}

int my_plan_update(struct my_plan *p, const struct my_fields *f) {
  if (is_same(p, f)) return PRG_OK;
  my_plan_fini(p);
  if (f->n == 0) return PRG_OK;
  p->cols = prg_calloc(f->n, sizeof *p->cols + sizeof *p->sizes);
  if (p->cols == NULL) return PRG_ERR;
  p->sizes = (unsigned char *)(p->cols + f->n);
  p->ncols = f->n;
  if (describe(p, f) == PRG_OK) return PRG_OK;
  my_plan_fini(p);
  return PRG_ERR;
}
