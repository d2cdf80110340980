#include "sql/table.h"

#include <string.h>

#include "sql/build.h"
#include "sql/quote.h"

#include "base/mem.h"

enum {
  SHAPES = 500, /* statements kept for one table */
  FEW = 16      /* columns that are looked through one by one */
};

static const char *const class_names[] = {
    "any",         "bool",  "int",  "float", "numeric",
    "text",        "bytes", "date", "time",  "timestamp",
    "timestamptz", "uuid",  "json", "array", "other"};

_Static_assert(sizeof class_names / sizeof *class_names == PRG_CLASS_COUNT_,
               "a name for each class");

const char *prg_class_name(enum prg_class c) {
  return class_names[c];
}

enum prg_class prg_class_find(const char *name) {
  for (int i = 0; i < PRG_CLASS_COUNT_; i++)
    if (strcmp(class_names[i], name) == 0) return (enum prg_class)i;
  return PRG_CLASS_COUNT_;
}

/* ---- texts -------------------------------------------------------------- */

/* While a table is made: where a failure is kept. */
struct maker {
  struct prg_table *t;
  struct prg_error *error; /* NULL: no memory */
};

static bool copy_text(struct maker *m, const char *s, struct prg_text *out) {
  out->n = strlen(s);
  out->p = prg_arena_dup(&m->t->arena, s, out->n);
  return out->p != NULL;
}

static const char *copy_string(struct maker *m, const char *s) {
  struct prg_text copy;
  return copy_text(m, s != NULL ? s : "", &copy) ? copy.p : NULL;
}

/* Takes over what is in `b`. */
static bool keep(struct maker *m, struct prg_buf *b, struct prg_text *out) {
  if (!b->failed) {
    out->n = b->len;
    out->p =
        prg_arena_dup(&m->t->arena, b->data != NULL ? b->data : "", b->len);
  }
  prg_buf_fini(b);
  return out->p != NULL;
}

static bool quote(struct maker *m, const char *schema, const char *name,
                  struct prg_text *out) {
  struct prg_buf b;
  prg_buf_init(&b, 0);
  if (prg_quote_name(m->t->dialect, &b, schema, name, &m->error) != PRG_OK) {
    prg_buf_fini(&b);
    return false;
  }
  return keep(m, &b, out);
}

static bool make_title(struct maker *m, const char *schema, const char *name) {
  struct prg_buf b;
  prg_buf_init(&b, 0);
  if (schema != NULL) {
    prg_buf_adds(&b, schema);
    prg_buf_addc(&b, '.');
  }
  prg_buf_adds(&b, name);
  return keep(m, &b, &m->t->title);
}

static bool make_names(struct maker *m, const struct prg_table_spec *s) {
  struct prg_table *t = m->t;
  if (s->schema != NULL && !copy_text(m, s->schema, &t->schema)) return false;
  return copy_text(m, s->name, &t->name) &&
         quote(m, s->schema, s->name, &t->quoted) &&
         quote(m, NULL, s->name, &t->alone) &&
         make_title(m, s->schema, s->name);
}

/* ---- columns ------------------------------------------------------------ */

static bool make_col(struct maker *m, const struct prg_col_spec *s, int index,
                     struct prg_col *c) {
  *c = (struct prg_col){.type = copy_string(m, s->type),
                        .title = copy_string(m, s->title),
                        .cls = s->cls,
                        .elem = s->elem,
                        .bits = s->bits,
                        .not_null = s->not_null,
                        .has_default = s->has_default,
                        .generated = s->generated,
                        .orderable = s->orderable,
                        .folded = s->folded,
                        .jsonb = s->jsonb,
                        .defined = s->defined,
                        .index = index};
  return c->type != NULL && c->title != NULL &&
         copy_text(m, s->name, &c->name) && quote(m, NULL, s->name, &c->quoted);
}

static size_t hash(const char *name, size_t len) {
  uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a */
  for (size_t i = 0; i < len; i++)
    h = (h ^ (unsigned char)name[i]) * UINT64_C(1099511628211);
  return (size_t)(h ^ (h >> 32));
}

static bool make_slots(struct maker *m) {
  struct prg_table *t = m->t;
  int *slots;
  if (t->ncols <= FEW) return true;
  for (t->nslots = 32; t->nslots < (size_t)t->ncols * 2;) t->nslots *= 2;
  slots = prg_arena_alloc(&t->arena, t->nslots * sizeof *slots);
  if (slots == NULL) return false;
  for (size_t i = 0; i < t->nslots; i++) slots[i] = -1;
  for (int i = 0; i < t->ncols; i++) {
    size_t at = hash(t->cols[i].name.p, t->cols[i].name.n);
    while (slots[at & (t->nslots - 1)] >= 0) at++;
    slots[at & (t->nslots - 1)] = i;
  }
  t->slots = slots;
  return true;
}

static bool make_types(struct maker *m) {
  struct prg_table *t = m->t;
  struct prg_buf b;
  struct prg_text types = {NULL, 0};
  prg_buf_init(&b, 0);
  for (int i = 0; i < t->ncols; i++) {
    const struct prg_col *c = &t->cols[i];
    if (!c->defined) continue;
    prg_buf_add(&b, c->name.p, c->name.n + 1);
    prg_buf_add(&b, c->title, strlen(c->title) + 1);
  }
  if (b.len == 0 && !b.failed) return true;
  if (!keep(m, &b, &types)) return false;
  t->types = types.p;
  t->ntypes = types.n;
  return true;
}

static bool make_cols(struct maker *m, const struct prg_table_spec *s) {
  struct prg_col *cols =
      prg_arena_alloc(&m->t->arena, (size_t)s->ncols * sizeof *cols);
  if (cols == NULL) return false;
  for (int i = 0; i < s->ncols; i++)
    if (!make_col(m, &s->cols[i], i, &cols[i])) return false;
  m->t->cols = cols;
  m->t->ncols = s->ncols;
  return make_slots(m) && make_types(m);
}

static bool is_col(const struct prg_col *c, const char *name, size_t len) {
  return c->name.n == len && memcmp(c->name.p, name, len) == 0;
}

const struct prg_col *prg_table_col(const struct prg_table *t, const char *name,
                                    size_t len) {
  if (t->slots == NULL) {
    for (int i = 0; i < t->ncols; i++)
      if (is_col(&t->cols[i], name, len)) return &t->cols[i];
    return NULL;
  }
  for (size_t at = hash(name, len);; at++) {
    int i = t->slots[at & (t->nslots - 1)];
    if (i < 0) return NULL;
    if (is_col(&t->cols[i], name, len)) return &t->cols[i];
  }
}

/* ---- keys --------------------------------------------------------------- */

static bool make_key(struct maker *m, const struct prg_key_spec *s,
                     struct prg_key *k) {
  size_t size = (size_t)s->ncols * sizeof *s->cols;
  int *cols = prg_arena_alloc(&m->t->arena, size);
  *k = (struct prg_key){.name = copy_string(m, s->name),
                        .primary = s->primary,
                        .not_null = true,
                        .ncols = s->ncols,
                        .cols = cols};
  if (cols == NULL || k->name == NULL) return false;
  for (int i = 0; i < s->ncols; i++) {
    cols[i] = s->cols[i];
    if (!m->t->cols[cols[i]].not_null) k->not_null = false;
  }
  return true;
}

/* The primary key comes first. */
static bool make_keys(struct maker *m, const struct prg_table_spec *s) {
  struct prg_table *t = m->t;
  struct prg_key *keys =
      prg_arena_alloc(&t->arena, (size_t)s->nkeys * sizeof *keys);
  int n = 0;
  if (keys == NULL) return false;
  for (int primary = 1; primary >= 0; primary--)
    for (int i = 0; i < s->nkeys; i++)
      if (s->keys[i].primary == (primary != 0) &&
          !make_key(m, &s->keys[i], &keys[n++]))
        return false;
  t->keys = keys;
  t->nkeys = n;
  t->pk = n > 0 && keys[0].primary ? keys : NULL;
  for (int i = n - 1; i >= 0; i--)
    if (keys[i].not_null) t->unique = &keys[i];
  if (t->unique == NULL) t->unique = t->pk; /* SQLite takes NULL in one */
  return true;
}

static bool has_col(const int *cols, int n, int col) {
  for (int i = 0; i < n; i++)
    if (cols[i] == col) return true;
  return false;
}

const struct prg_key *prg_table_key(const struct prg_table *t, const int *cols,
                                    int ncols) {
  for (int i = 0; i < t->nkeys; i++) {
    const struct prg_key *k = &t->keys[i];
    int found = 0;
    if (k->ncols != ncols) continue;
    while (found < ncols && has_col(cols, ncols, k->cols[found])) found++;
    if (found == ncols) return k;
  }
  return NULL;
}

/* ---- the whole ---------------------------------------------------------- */

static void free_table(struct prg_table *t) {
  prg_shapes_free(t->shapes);
  prg_arena_fini(&t->arena);
  prg_free(t);
}

struct prg_table *prg_table_new(const struct prg_dialect *d,
                                const struct prg_table_spec *spec,
                                struct prg_error **err) {
  struct maker m = {.t = prg_calloc(1, sizeof *m.t)};
  if (m.t == NULL) {
    *err = prg_error_oom();
    return NULL;
  }
  m.t->refs = 1;
  m.t->dialect = d;
  m.t->is_view = spec->is_view;
  prg_arena_init(&m.t->arena);
  m.t->shapes = prg_shapes_new(SHAPES);
  if (m.t->shapes != NULL && make_names(&m, spec) && make_cols(&m, spec) &&
      make_keys(&m, spec))
    return m.t;
  *err = m.error != NULL ? m.error : prg_error_oom();
  free_table(m.t);
  return NULL;
}

struct prg_table *prg_table_ref(struct prg_table *t) {
  t->refs++;
  return t;
}

void prg_table_unref(struct prg_table *t) {
  if (t != NULL && --t->refs == 0) free_table(t);
}

/* ---- for messages ------------------------------------------------------- */

static const char *finish(struct prg_buf *b, struct prg_arena *a) {
  const char *text = b->failed ? NULL : prg_arena_dup(a, b->data, b->len);
  prg_buf_fini(b);
  return text;
}

const char *prg_table_columns(const struct prg_table *t, struct prg_arena *a) {
  struct prg_buf b;
  prg_buf_init(&b, 0);
  for (int i = 0; i < t->ncols; i++) {
    if (i > 0) prg_buf_adds(&b, ", ");
    prg_buf_add(&b, t->cols[i].name.p, t->cols[i].name.n);
  }
  if (t->ncols == 0) prg_buf_adds(&b, "none");
  return finish(&b, a);
}

static void add_key(struct prg_buf *b, const struct prg_table *t,
                    const struct prg_key *k) {
  for (int i = 0; i < k->ncols; i++) {
    const struct prg_text *name = &t->cols[k->cols[i]].name;
    prg_buf_adds(b, i == 0 ? "(" : ", ");
    prg_buf_add(b, name->p, name->n);
  }
  prg_buf_addc(b, ')');
}

const char *prg_table_keys(const struct prg_table *t, struct prg_arena *a) {
  struct prg_buf b;
  prg_buf_init(&b, 0);
  for (int i = 0; i < t->nkeys; i++) {
    if (i > 0) prg_buf_adds(&b, ", ");
    add_key(&b, t, &t->keys[i]);
  }
  if (t->nkeys == 0) prg_buf_adds(&b, "none");
  return finish(&b, a);
}
