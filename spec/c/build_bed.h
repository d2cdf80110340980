/*
** For the tests of the statement builder: one table in three dialects, short
** constructors for conditions, and a statement as one text:
**
**   SELECT * FROM "t" WHERE "id" = $1 | 7
**
** Behind the bar stand the parameters; ^ marks one that is sent with the type of
** its value. A failure is "kind: message".
*/
#ifndef PRG_SPEC_BUILD_BED_H
#define PRG_SPEC_BUILD_BED_H

#include "check.h"

#include "base/mem.h"
#include "sql/build.h"

enum { DIALECTS = 3 };

static const struct prg_dialect *const dialects[DIALECTS] = {
    &prg_dialect_postgres, &prg_dialect_sqlite, &prg_dialect_mysql};

static struct prg_arena
    bed_arena; /* of conditions and texts; reset by bed_text */
static struct prg_table *bed_tables[DIALECTS];
static const struct prg_table *T; /* of the dialect that is being built for */

/* ---- the table ---------------------------------------------------------- */

#define PG(name) "\"pg_catalog\".\"" name "\""

static const struct prg_col_spec bed_cols[] = {{.name = "id",
                                                .type = PG("int4"),
                                                .title = "int4",
                                                .cls = PRG_CLASS_INT,
                                                .bits = 32,
                                                .not_null = true,
                                                .has_default = true,
                                                .orderable = true},
                                               {.name = "title",
                                                .type = PG("text"),
                                                .title = "text",
                                                .cls = PRG_CLASS_TEXT,
                                                .not_null = true,
                                                .orderable = true},
                                               {.name = "body",
                                                .type = PG("text"),
                                                .title = "text",
                                                .cls = PRG_CLASS_TEXT,
                                                .orderable = true},
                                               {.name = "n",
                                                .type = PG("int8"),
                                                .title = "int8",
                                                .cls = PRG_CLASS_INT,
                                                .bits = 64,
                                                .has_default = true,
                                                .orderable = true},
                                               {.name = "uid",
                                                .type = PG("int4"),
                                                .title = "int4",
                                                .cls = PRG_CLASS_INT,
                                                .bits = 32,
                                                .not_null = true,
                                                .orderable = true},
                                               {.name = "tags",
                                                .type = PG("text") "[]",
                                                .title = "text[]",
                                                .cls = PRG_CLASS_ARRAY,
                                                .elem = PRG_CLASS_TEXT},
                                               {.name = "doc",
                                                .type = PG("jsonb"),
                                                .title = "jsonb",
                                                .cls = PRG_CLASS_JSON,
                                                .jsonb = true},
                                               {.name = "plain",
                                                .type = PG("json"),
                                                .title = "json",
                                                .cls = PRG_CLASS_JSON},
                                               {.name = "span",
                                                .type = PG("int4range"),
                                                .title = "int4range",
                                                .cls = PRG_CLASS_OTHER},
                                               {.name = "spans",
                                                .type = PG("int4multirange"),
                                                .title = "int4multirange",
                                                .cls = PRG_CLASS_OTHER},
                                               {.name = "mood",
                                                .type = "\"shop\".\"mood\"",
                                                .title = "shop.mood",
                                                .cls = PRG_CLASS_TEXT},
                                               {.name = "we\"ird`col",
                                                .type = PG("text"),
                                                .title = "text",
                                                .cls = PRG_CLASS_TEXT,
                                                .orderable = true}};

static const int bed_pk[] = {0}, bed_unique[] = {4, 1};
static const struct prg_key_spec bed_keys[] = {
    {.name = "t_uid_title_key", .ncols = 2, .cols = bed_unique},
    {.name = "t_pkey", .primary = true, .ncols = 1, .cols = bed_pk}};

static const struct prg_table_spec bed_spec = {
    .name = "t",
    .ncols = sizeof bed_cols / sizeof *bed_cols,
    .nkeys = 2,
    .cols = bed_cols,
    .keys = bed_keys};

static inline void bed_open(void) {
  struct prg_error *err = NULL;
  prg_arena_init(&bed_arena);
  for (int i = 0; i < DIALECTS; i++)
    if ((bed_tables[i] = prg_table_new(dialects[i], &bed_spec, &err)) == NULL)
      exit(1);
  T = bed_tables[0];
}

static inline void bed_close(void) {
  for (int i = 0; i < DIALECTS; i++) prg_table_unref(bed_tables[i]);
  prg_arena_fini(&bed_arena);
}

static inline const struct prg_col *col(const char *name) {
  const struct prg_col *c = prg_table_col(T, name, strlen(name));
  if (c == NULL) abort();
  return c;
}

/* A list of columns that ends with NULL; *n of them. */
static inline const struct prg_col **cols(size_t *n, const char *const *names) {
  const struct prg_col **list = prg_arena_alloc(&bed_arena, 20 * sizeof *list);
  for (*n = 0; names[*n] != NULL; ++*n) list[*n] = col(names[*n]);
  return list;
}

/* ---- values ------------------------------------------------------------- */

static inline struct prg_value integer(int64_t i) {
  struct prg_value v = {.type = PRG_INT, .u.i = i};
  return v;
}

static inline struct prg_value bytes(const char *p, size_t n) {
  struct prg_value v = {.type = PRG_TEXT, .u.s = {p, n}};
  return v;
}

static inline struct prg_value text(const char *s) {
  return bytes(s, strlen(s));
}

static inline struct prg_value json(const char *s) {
  struct prg_value v = {.type = PRG_JSON, .u.s = {s, strlen(s)}};
  return v;
}

/* The integers from 1 to n. */
static inline struct prg_vlist *list_of(size_t n) {
  struct prg_vlist *l = prg_arena_alloc(&bed_arena, sizeof *l);
  *l = (struct prg_vlist){
      .n = n, .items = prg_arena_alloc(&bed_arena, n * sizeof *l->items)};
  for (size_t i = 0; i < n; i++) l->items[i] = integer((int64_t)i + 1);
  return l;
}

/* A fragment as a user writes it, with up to two values. */
static inline const struct prg_raw *raw(const char *sql, struct prg_value a,
                                        struct prg_value b) {
  struct prg_value values[2] = {a, b};
  struct prg_scan scan;
  struct prg_error *err = NULL;
  struct prg_raw *r;
  if (prg_scan(T->dialect, sql, strlen(sql), &scan, &err) != PRG_OK) abort();
  r = prg_raw_new(&bed_arena, &scan, values);
  prg_scan_fini(&scan);
  return r;
}

static inline const struct prg_raw *raw0(const char *sql) {
  return raw(sql, integer(0), integer(0));
}

/* ---- conditions --------------------------------------------------------- */

static inline struct prg_cond *cond(enum prg_cond_kind kind, const char *name) {
  struct prg_cond *c = prg_cond_new(&bed_arena, kind);
  if (name != NULL) c->col = col(name);
  return c;
}

static inline struct prg_cond *cmp(const char *name, enum prg_cmp op,
                                   struct prg_value v) {
  struct prg_cond *c = cond(PRG_COND_CMP, name);
  c->u.cmp.op = op;
  c->u.cmp.to.value = v;
  return c;
}

static inline struct prg_cond *cmp_raw(const char *name, enum prg_cmp op,
                                       const struct prg_raw *r) {
  struct prg_cond *c = cmp(name, op, integer(0));
  c->u.cmp.to.raw = r;
  return c;
}

static inline struct prg_cond *eq(const char *name, int64_t i) {
  return cmp(name, PRG_EQ, integer(i));
}

static inline struct prg_cond *in(const char *name, bool negated, size_t n) {
  struct prg_cond *c = cond(PRG_COND_IN, name);
  c->u.in.negated = negated;
  c->u.in.list = list_of(n);
  return c;
}

static inline struct prg_cond *is_null(const char *name, bool is_not) {
  struct prg_cond *c = cond(PRG_COND_NULL, name);
  c->u.is_not_null = is_not;
  return c;
}

static inline struct prg_cond *between(const char *name, int64_t a, int64_t b) {
  struct prg_cond *c = cond(PRG_COND_BETWEEN, name);
  c->u.between.low.value = integer(a);
  c->u.between.high.value = integer(b);
  return c;
}

static inline struct prg_cond *match(const char *name, enum prg_match how,
                                     struct prg_value v) {
  struct prg_cond *c = cond(PRG_COND_MATCH, name);
  c->u.match.how = how;
  c->u.match.value = v;
  return c;
}

static inline struct prg_cond *row(enum prg_cmp op, size_t n,
                                   const char *const *names) {
  struct prg_cond *c = cond(PRG_COND_ROW, NULL);
  size_t all;
  c->u.row.op = op;
  c->u.row.cols = cols(&all, names);
  c->u.row.n = n;
  c->u.row.values = list_of(n)->items;
  return c;
}

static inline struct prg_cond *fragment(const struct prg_raw *r) {
  struct prg_cond *c = cond(PRG_COND_RAW, NULL);
  c->u.raw = r;
  return c;
}

/* A group of up to three parts; NULL ends them. */
static inline struct prg_cond *group(enum prg_cond_kind kind,
                                     struct prg_cond *a, struct prg_cond *b,
                                     struct prg_cond *c) {
  struct prg_cond *g = cond(kind, NULL);
  if (a != NULL) prg_cond_add(g, a);
  if (b != NULL) prg_cond_add(g, b);
  if (c != NULL) prg_cond_add(g, c);
  return g;
}

/* ---- a statement as a text ---------------------------------------------- */

static inline void show(struct prg_buf *b, const struct prg_value *v) {
  switch (v->type) {
    case PRG_INT:
      prg_buf_addf(b, "%lld", (long long)v->u.i);
      break;
    case PRG_TEXT:
    case PRG_JSON:
      prg_buf_addc(b, '\'');
      for (size_t i = 0; i < v->u.s.n; i++)
        prg_buf_addc(b, v->u.s.p[i] == '\0' ? '@' : v->u.s.p[i]);
      prg_buf_addc(b, '\'');
      break;
    case PRG_LIST:
    case PRG_MULTIRANGE:
      prg_buf_addc(b, v->type == PRG_LIST ? '[' : '{');
      for (size_t i = 0; i < v->u.list->n && i < 5; i++) {
        if (i > 0) prg_buf_addc(b, ' ');
        show(b, &v->u.list->items[i]);
      }
      if (v->u.list->n > 5) prg_buf_addf(b, " ... %zu", v->u.list->n);
      prg_buf_addc(b, v->type == PRG_LIST ? ']' : '}');
      break;
    case PRG_RANGE:
      show(b, &v->u.range->lower);
      prg_buf_adds(b, "..");
      show(b, &v->u.range->upper);
      break;
    default:
      prg_buf_adds(b, v->type == PRG_NULL ? "NULL" : "?");
  }
}

static inline void show_params(struct prg_buf *b, const struct prg_emit *e) {
  for (size_t i = 0; i < e->nparams; i++) {
    prg_buf_adds(b, i == 0 ? " | " : ", ");
    if (e->typed.data[i]) prg_buf_addc(b, '^');
    show(b, &e->params[i]);
  }
}

/* What one emitter made, or the error; free with prg_free. */
static inline char *outcome(struct prg_emit *e) {
  struct prg_error *err = NULL;
  struct prg_buf b;
  prg_buf_init(&b, 0);
  if (prg_emit_check(e, &err) != PRG_OK) {
    prg_buf_addf(&b, "%s: %s", prg_kind_name(err->kind),
                 prg_error_message(err));
    prg_error_unref(err);
  } else {
    if (e->mode == PRG_EMIT_TEXT && e->out.len > 0)
      prg_buf_add(&b, e->out.data, e->out.len);
    show_params(&b, e);
  }
  return prg_buf_take(&b);
}

typedef void emit_fn(struct prg_emit *, const void *);

/* The statement, for prg_free. Both ways have to give the same parameters. */
static inline char *built(emit_fn *fn, const void *what) {
  struct prg_arena arena;
  struct prg_emit e;
  char *by_key, *by_text, *params;
  prg_arena_init(&arena);
  prg_emit_init(&e, T->dialect, PRG_EMIT_KEY, &arena);
  fn(&e, what);
  by_key = outcome(&e);
  prg_emit_restart(&e, PRG_EMIT_TEXT);
  fn(&e, what);
  by_text = outcome(&e);
  params = strlen(by_text) >= strlen(by_key)
               ? by_text + strlen(by_text) - strlen(by_key)
               : by_text;
  CHECK_STR(by_key, params);
  prg_free(by_key);
  prg_emit_fini(&e);
  prg_arena_fini(&arena);
  return by_text;
}

/* ---- what is wanted ---------------------------------------------------- */

/* Builds `what` for each dialect and compares. As macros, because `what` is made
** anew for each: it has columns and fragments of one dialect in it. */
#define EACH(fn, what, pg, sqlite, mysql)                    \
  do {                                                       \
    const char *const want_[DIALECTS] = {pg, sqlite, mysql}; \
    for (int i_ = 0; i_ < DIALECTS; i_++) {                  \
      T = bed_tables[i_];                                    \
      check_built(built(fn, what), want_[i_], __LINE__);     \
      prg_arena_reset(&bed_arena);                           \
    }                                                        \
  } while (0)
/* The same on each but for quotes and placeholders, written as "name" and ?. */
#define SAME(fn, what, text) EACH(fn, what, plain(text), text, ticks(text))

static inline void check_built(char *got, const char *want, int line) {
  check_same_text(got, want, __FILE__, line);
  prg_free(got);
}

/* Turns the n-th ? into $n. */
static inline const char *plain(const char *text) {
  static char out[4000];
  size_t at = 0;
  int n = 0;
  for (; *text != '\0'; text++) {
    if (*text == '?')
      at += (size_t)snprintf(out + at, 12, "$%d", ++n);
    else
      out[at++] = *text;
  }
  out[at] = '\0';
  return out;
}

/* Turns " into `. */
static inline const char *ticks(const char *text) {
  static char out[4000];
  size_t at = 0;
  for (; *text != '\0'; text++) out[at++] = *text == '"' ? '`' : *text;
  out[at] = '\0';
  return out;
}

#endif
