/* Pages: the condition behind a row against plain sorting, cursors against every
** change, filters there and back. */
#include "page/cursor.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "check.h"

/* ---- tables -------------------------------------------------------------- */

enum { NCOLS = 5 }; /* id, a, b, c, d */

static struct prg_col_spec col_spec(const char *name, enum prg_class cls,
                                    bool not_null) {
  struct prg_col_spec c;
  memset(&c, 0, sizeof(c));
  c.name = name;
  c.type = c.title = cls == PRG_CLASS_INT ? "int8" : "text";
  c.cls = cls;
  c.bits = cls == PRG_CLASS_INT ? 64 : 0;
  c.not_null = not_null;
  c.orderable = cls != PRG_CLASS_JSON;
  return c;
}

/* id is the key; bit i of `nullable`: column i may be NULL. */
static struct prg_table *new_table(unsigned nullable, int nkeys) {
  static const char *const names[NCOLS] = {"id", "a", "b", "c", "d"};
  static const int id[1] = {0};
  struct prg_col_spec cols[NCOLS];
  struct prg_key_spec key = {"t_pkey", true, 1, id};
  struct prg_table_spec spec;
  struct prg_error *err = NULL;
  struct prg_table *t;
  for (int i = 0; i < NCOLS; i++)
    cols[i] = col_spec(names[i], i == 4 ? PRG_CLASS_JSON : PRG_CLASS_INT,
                       i == 0 || (nullable >> i & 1) == 0);
  memset(&spec, 0, sizeof(spec));
  spec.name = "t";
  spec.ncols = NCOLS;
  spec.cols = cols;
  spec.nkeys = nkeys;
  spec.keys = &key;
  t = prg_table_new(&prg_dialect_postgres, &spec, &err);
  prg_error_unref(err);
  return t;
}

static struct prg_order by(const struct prg_table *t, int col, bool desc,
                           enum prg_nulls nulls) {
  struct prg_order o;
  memset(&o, 0, sizeof(o));
  o.col = &t->cols[col];
  o.desc = desc;
  o.nulls = nulls;
  return o;
}

/* ---- a database of the test's own ---------------------------------------- */

struct row {
  struct prg_value v[NCOLS];
};

static struct prg_value int_value(int64_t i) {
  struct prg_value v;
  memset(&v, 0, sizeof(v));
  v.type = PRG_INT;
  v.u.i = i;
  return v;
}

static struct prg_value text_value(enum prg_type type, const char *p,
                                   size_t n) {
  struct prg_value v;
  memset(&v, 0, sizeof(v));
  v.type = type;
  v.u.s.p = p;
  v.u.s.n = n;
  return v;
}

static int compare_values(const struct prg_value *a,
                          const struct prg_value *b) {
  return (a->u.i > b->u.i) - (a->u.i < b->u.i);
}

/* As a database sorts, written without a look at keyset.c. */
static int compare_rows(const struct prg_order *order, size_t n,
                        const struct row *a, const struct row *b) {
  for (size_t i = 0; i < n; i++) {
    const struct prg_value *x = &a->v[order[i].col->index];
    const struct prg_value *y = &b->v[order[i].col->index];
    bool last = order[i].nulls == PRG_NULLS_LAST ||
                (order[i].nulls == PRG_NULLS_LARGE && !order[i].desc);
    int c;
    if (x->type == PRG_NULL && y->type == PRG_NULL) continue;
    if (x->type == PRG_NULL) return last ? 1 : -1;
    if (y->type == PRG_NULL) return last ? -1 : 1;
    c = compare_values(x, y);
    if (c != 0) return order[i].desc ? -c : c;
  }
  return 0;
}

/* false also stands for "unknown": no negation comes above a comparison. */
static bool holds_cmp(enum prg_cmp op, const struct prg_value *a,
                      const struct prg_value *b) {
  int c;
  if (a->type == PRG_NULL || b->type == PRG_NULL) return false;
  c = compare_values(a, b);
  switch (op) {
    case PRG_EQ:
      return c == 0;
    case PRG_NE:
      return c != 0;
    case PRG_GT:
      return c > 0;
    case PRG_GE:
      return c >= 0;
    case PRG_LT:
      return c < 0;
    default:
      return c <= 0;
  }
}

static bool holds_row(const struct prg_cond *c, const struct row *r) {
  for (size_t i = 0; i < c->u.row.n; i++) {
    const struct prg_value *x = &r->v[c->u.row.cols[i]->index];
    int k = compare_values(x, &c->u.row.values[i]);
    CHECK(x->type != PRG_NULL);
    if (k != 0) return c->u.row.op == PRG_GT ? k > 0 : k < 0;
  }
  return false;
}

static bool holds(const struct prg_cond *c, const struct row *r) {
  const struct prg_cond *part;
  switch (c->kind) {
    case PRG_COND_AND:
      for (part = c->u.parts; part != NULL; part = part->next)
        if (!holds(part, r)) return false;
      return true;
    case PRG_COND_OR:
      for (part = c->u.parts; part != NULL; part = part->next)
        if (holds(part, r)) return true;
      return false;
    case PRG_COND_CMP:
      return holds_cmp(c->u.cmp.op, &r->v[c->col->index], &c->u.cmp.to.value);
    case PRG_COND_NULL:
      return (r->v[c->col->index].type == PRG_NULL) != c->u.is_not_null;
    case PRG_COND_ROW:
      return holds_row(c, r);
    default:
      CHECK(!"a kind that no keyset has");
      return false;
  }
}

/* ---- keyset -------------------------------------------------------------- */

enum { MAX_ROWS = 24 };

static size_t random_rows(unsigned long *seed, unsigned nullable,
                          struct row *rows) {
  size_t n = 1 + check_random(seed, MAX_ROWS);
  for (size_t i = 0; i < n; i++) {
    memset(&rows[i], 0, sizeof(rows[i]));
    rows[i].v[0] = int_value((int64_t)i);
    for (int k = 1; k < NCOLS; k++)
      if ((nullable >> k & 1) == 0 || check_random(seed, 3) > 0)
        rows[i].v[k] = int_value(check_random(seed, 3));
  }
  return n;
}

/* 1 to 3 of the columns a, b, c, and sometimes the key among them. */
static size_t random_order(unsigned long *seed, const struct prg_table *t,
                           struct prg_order *order) {
  int cols[4] = {0, 1, 2, 3};
  size_t n = 1 + check_random(seed, 3);
  bool one_way = check_random(seed, 3) == 0;
  for (int i = 3; i > 0; i--) {
    int k = (int)check_random(seed, (unsigned)i + 1), swap = cols[i];
    cols[i] = cols[k];
    cols[k] = swap;
  }
  for (size_t i = 0; i < n; i++)
    order[i] = by(t, cols[i], !one_way && check_random(seed, 2) == 1,
                  (enum prg_nulls)check_random(seed, 3));
  return n;
}

static void check_behind(const struct prg_order *order, size_t n,
                         const struct row *rows, size_t nrows,
                         struct prg_arena *a) {
  for (size_t i = 0; i < nrows; i++) {
    struct prg_value at[PRG_PAGE_COLS];
    struct prg_cond *c;
    for (size_t k = 0; k < n; k++) at[k] = rows[i].v[order[k].col->index];
    c = prg_keyset_after(order, n, at, a);
    REQUIRE(c != NULL);
    for (size_t j = 0; j < nrows; j++) {
      bool want = compare_rows(order, n, &rows[j], &rows[i]) > 0;
      CHECK(holds(c, &rows[j]) == want);
    }
  }
}

static void test_keyset_random(void) {
  unsigned long seed = check_seed();
  for (long round = check_rounds(300); round > 0; round--) {
    unsigned nullable = check_random(&seed, 8) << 1;
    struct prg_table *t = new_table(nullable, 1);
    struct row rows[MAX_ROWS];
    struct prg_order order[3], *full, *back;
    struct prg_error *err = NULL;
    struct prg_arena a;
    size_t nrows = random_rows(&seed, nullable, rows), n;
    prg_arena_init(&a);
    n = random_order(&seed, t, order);
    full = prg_keyset_order(t, order, n, &a, &n, &err);
    if (CHECK(full != NULL)) {
      check_behind(full, n, rows, nrows, &a);
      back = prg_keyset_flip(full, n, &a);
      for (size_t i = 0; i < nrows; i++)
        for (size_t j = 0; j < nrows; j++)
          CHECK(compare_rows(full, n, &rows[i], &rows[j]) ==
                -compare_rows(back, n, &rows[i], &rows[j]));
      check_behind(back, n, rows, nrows, &a);
    }
    prg_arena_fini(&a);
    prg_table_unref(t);
  }
}

static void test_keyset_shapes(void) {
  struct prg_table *t = new_table(1 << 3, 1); /* c may be NULL */
  struct prg_value at[2] = {int_value(1), int_value(2)};
  struct prg_order up[2], mixed[2], one[1];
  struct prg_cond *c;
  struct prg_arena a;
  prg_arena_init(&a);
  up[0] = by(t, 1, false, PRG_NULLS_LARGE);
  up[1] = by(t, 0, false, PRG_NULLS_LARGE);
  c = prg_keyset_after(up, 2, at, &a);
  CHECK(c->kind == PRG_COND_ROW && c->u.row.op == PRG_GT);
  up[0].desc = up[1].desc = true;
  c = prg_keyset_after(up, 2, at, &a);
  CHECK(c->kind == PRG_COND_ROW && c->u.row.op == PRG_LT);
  /* a <= 1 AND (a < 1 OR id > 2) */
  mixed[0] = by(t, 1, true, PRG_NULLS_LARGE);
  mixed[1] = by(t, 0, false, PRG_NULLS_LARGE);
  c = prg_keyset_after(mixed, 2, at, &a);
  CHECK(c->kind == PRG_COND_AND && c->u.parts->kind == PRG_COND_CMP &&
        c->u.parts->u.cmp.op == PRG_LE && c->u.parts->col == &t->cols[1]);
  CHECK(c->u.parts->next->kind == PRG_COND_OR);
  one[0] = by(t, 0, false, PRG_NULLS_LARGE);
  c = prg_keyset_after(one, 1, at, &a);
  CHECK(c->kind == PRG_COND_CMP && c->u.cmp.op == PRG_GT);
  prg_arena_fini(&a);
  prg_table_unref(t);
}

static void want_refused(const struct prg_table *t,
                         const struct prg_order *order, size_t norder,
                         const char *word) {
  struct prg_error *err = NULL;
  struct prg_arena a;
  size_t n;
  prg_arena_init(&a);
  CHECK(prg_keyset_order(t, order, norder, &a, &n, &err) == NULL);
  if (CHECK(err != NULL)) {
    CHECK(err->kind == PRG_K_USAGE);
    CHECK(strstr(prg_error_message(err), word) != NULL);
  }
  prg_error_unref(err);
  prg_arena_fini(&a);
}

static void test_keyset_refuses(void) {
  struct prg_table *t = new_table(0, 1), *keyless = new_table(0, 0);
  struct prg_order order[2], *full;
  struct prg_error *err = NULL;
  struct prg_arena a;
  size_t n = 0;
  prg_arena_init(&a);
  order[0] = by(t, 1, false, PRG_NULLS_LARGE);
  order[1] = by(t, 1, true, PRG_NULLS_LARGE);
  want_refused(t, order, 2, "twice");
  order[1] = by(t, 4, false, PRG_NULLS_LARGE);
  want_refused(t, order, 2, "no order");
  memset(&order[1], 0, sizeof(order[1]));
  want_refused(t, order, 2, "SQL");
  want_refused(keyless, NULL, 0, "key");
  full = prg_keyset_order(t, NULL, 0, &a, &n, &err);
  CHECK(full != NULL && n == 1 && full[0].col == t->pk->cols[0] + t->cols);
  order[0] = by(t, 0, true, PRG_NULLS_LARGE);
  full = prg_keyset_order(t, order, 1, &a, &n, &err);
  CHECK(full != NULL && n == 1 && full[0].desc);
  prg_arena_fini(&a);
  prg_table_unref(t);
  prg_table_unref(keyless);
}

/* ---- cursors ------------------------------------------------------------- */

static struct prg_text text_of(const char *s) {
  struct prg_text t = {s, strlen(s)};
  return t;
}

static struct prg_ring *new_ring(const char *one, const char *two) {
  struct prg_text secrets[2];
  struct prg_error *err = NULL;
  struct prg_ring *r;
  secrets[0] = text_of(one);
  secrets[1] = text_of(two == NULL ? one : two);
  r = prg_ring_new(secrets, two == NULL ? 1 : 2, &err);
  prg_error_unref(err);
  return r;
}

static void fill_kept(struct prg_kept *k, const char *packed) {
  struct prg_error *err = NULL;
  k->whole = true;
  k->packed = text_of(packed);
  CHECK(prg_print_of(&k->packed, 1, &k->print, &err) == PRG_OK);
}

static void fill_cursor(struct prg_cursor *c) {
  memset(c, 0, sizeof(*c));
  memset(c->owner.bytes, 7, sizeof(c->owner.bytes));
  c->limit = 20;
  c->norder = 2;
  c->order[0].name = text_of("score");
  c->order[0].desc = true;
  c->order[0].nulls = PRG_NULLS_LAST;
  c->order[1].name = text_of("id");
  c->at[0] = int_value(-7);
  c->at[1] = int_value(INT64_MIN);
  fill_kept(&c->filter, "secret_token");
  fill_kept(&c->search, "");
}

static bool same_value(const struct prg_value *a, const struct prg_value *b) {
  if (a->type != b->type) return false;
  switch (a->type) {
    case PRG_NULL:
      return true;
    case PRG_BOOL:
      return a->u.b == b->u.b;
    case PRG_INT:
      return a->u.i == b->u.i;
    case PRG_DOUBLE:
      return memcmp(&a->u.d, &b->u.d, sizeof(double)) == 0;
    default:
      return a->u.s.n == b->u.s.n && memcmp(a->u.s.p, b->u.s.p, a->u.s.n) == 0;
  }
}

static bool same_kept(const struct prg_kept *a, const struct prg_kept *b) {
  if (a->whole != b->whole) return false;
  if (!a->whole) return prg_print_same(&a->print, &b->print);
  return a->packed.n == b->packed.n &&
         memcmp(a->packed.p, b->packed.p, a->packed.n) == 0;
}

static bool same_cursor(const struct prg_cursor *a,
                        const struct prg_cursor *b) {
  if (!prg_print_same(&a->owner, &b->owner) || a->back != b->back ||
      a->inclusive != b->inclusive || a->limit != b->limit ||
      a->norder != b->norder)
    return false;
  for (size_t i = 0; i < a->norder; i++)
    if (a->order[i].name.n != b->order[i].name.n ||
        memcmp(a->order[i].name.p, b->order[i].name.p, a->order[i].name.n) !=
            0 ||
        a->order[i].desc != b->order[i].desc ||
        a->order[i].nulls != b->order[i].nulls ||
        !same_value(&a->at[i], &b->at[i]))
      return false;
  return same_kept(&a->filter, &b->filter) && same_kept(&a->search, &b->search);
}

/* The kind of what opening says, or PRG_K_COUNT_ when it opens. */
static enum prg_kind opening(const struct prg_ring *r, const char *text,
                             size_t len) {
  struct prg_cursor c;
  struct prg_error *err = NULL;
  struct prg_arena a;
  enum prg_kind kind = PRG_K_COUNT_;
  prg_arena_init(&a);
  if (prg_cursor_open(r, text, len, &a, &c, &err) != PRG_OK) kind = err->kind;
  prg_error_unref(err);
  prg_arena_fini(&a);
  return kind;
}

static void check_says(const struct prg_ring *r, const char *text, size_t len,
                       const char *word) {
  struct prg_cursor c;
  struct prg_error *err = NULL;
  struct prg_arena a;
  prg_arena_init(&a);
  CHECK(prg_cursor_open(r, text, len, &a, &c, &err) == PRG_ERR);
  if (CHECK(err != NULL)) {
    CHECK(err->kind == PRG_K_CURSOR);
    if (!CHECK(strstr(prg_error_message(err), word) != NULL))
      fprintf(stderr, "  %s\n", prg_error_message(err));
  }
  prg_error_unref(err);
  prg_arena_fini(&a);
}

static const char secret_a[] = "0123456789abcdef",
                  secret_b[] = "another secret of us";

static void check_round_trip(const struct prg_cursor *c) {
  struct prg_ring *r = new_ring(secret_a, NULL);
  struct prg_cursor back;
  struct prg_error *err = NULL;
  struct prg_buf text;
  struct prg_arena a;
  prg_arena_init(&a);
  prg_buf_init(&text, 0);
  if (CHECK(prg_cursor_seal(r, c, &text, &err) == PRG_OK)) {
    CHECK(text.len <= PRG_CURSOR_MAX);
    CHECK(strspn(text.data,
                 "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwx"
                 "yz0123456789-_") == text.len);
    if (CHECK(prg_cursor_open(r, text.data, text.len, &a, &back, &err) ==
              PRG_OK))
      CHECK(same_cursor(c, &back));
  }
  prg_error_unref(err);
  prg_buf_fini(&text);
  prg_arena_fini(&a);
  prg_ring_free(r);
}

static void test_cursor_round_trip(void) {
  static const int64_t ints[] = {
      0, 1, -1, 63, 64, -64, -65, INT64_MAX, INT64_MIN, 9007199254740993};
  static const double doubles[] = {0.1, -0.0, INFINITY, -INFINITY, NAN, 5e-324};
  static const enum prg_type strings[] = {PRG_TEXT, PRG_BYTES, PRG_DECIMAL};
  struct prg_cursor c;
  fill_cursor(&c);
  check_round_trip(&c);
  for (size_t i = 0; i < sizeof(ints) / sizeof(ints[0]); i++) {
    c.at[0] = int_value(ints[i]);
    check_round_trip(&c);
  }
  for (size_t i = 0; i < sizeof(doubles) / sizeof(doubles[0]); i++) {
    c.at[0].type = PRG_DOUBLE;
    c.at[0].u.d = doubles[i];
    check_round_trip(&c);
  }
  for (size_t i = 0; i < 3; i++) {
    c.at[0] = text_value(strings[i], "a\0\xff z", 5);
    check_round_trip(&c);
    c.at[0] = text_value(strings[i], "", 0);
    check_round_trip(&c);
  }
  memset(&c.at[0], 0, sizeof(c.at[0]));
  check_round_trip(&c);
  c.at[0].type = PRG_BOOL;
  check_round_trip(&c);
  c.at[0].u.b = true;
  c.back = c.inclusive = true;
  c.limit = UINT32_MAX;
  c.order[0].nulls = PRG_NULLS_FIRST;
  c.filter.whole = false;
  c.norder = PRG_PAGE_COLS;
  for (size_t i = 2; i < PRG_PAGE_COLS; i++) {
    c.order[i] = c.order[1];
    c.at[i] = int_value((int64_t)i);
  }
  check_round_trip(&c);
}

static char *sealed(const struct prg_ring *r, const struct prg_cursor *c,
                    size_t *len) {
  struct prg_error *err = NULL;
  struct prg_buf text;
  prg_buf_init(&text, 0);
  CHECK(prg_cursor_seal(r, c, &text, &err) == PRG_OK);
  prg_error_unref(err);
  *len = text.len;
  return prg_buf_take(&text);
}

static void test_cursor_forged(void) {
  struct prg_ring *r = new_ring(secret_a, NULL);
  struct prg_cursor c;
  size_t len;
  char *text;
  fill_cursor(&c);
  text = sealed(r, &c, &len);
  CHECK(opening(r, text, len) == PRG_K_COUNT_);
  for (size_t i = 0; i < len; i++) {
    char was = text[i];
    for (int byte = 0; byte < 256; byte++) {
      text[i] = (char)byte;
      if (text[i] != was) CHECK(opening(r, text, len) == PRG_K_CURSOR);
    }
    text[i] = was;
    CHECK(opening(r, text, i) == PRG_K_CURSOR);
    CHECK(opening(r, text + i + 1, len - i - 1) == PRG_K_CURSOR);
  }
  prg_free(text);
  prg_ring_free(r);
}

static void test_cursor_messages(void) {
  struct prg_ring *r = new_ring(secret_a, NULL),
                  *other = new_ring(secret_b, NULL);
  struct prg_ring *both = new_ring(secret_b, secret_a);
  struct prg_cursor c;
  char junk[PRG_CURSOR_MAX + 1], *text, was;
  size_t len;
  memset(junk, 'A', sizeof(junk));
  fill_cursor(&c);
  text = sealed(r, &c, &len);
  check_says(r, "", 0, "empty");
  check_says(r, junk, sizeof(junk), "too long");
  check_says(r, junk, 20, "too short");
  check_says(r, junk, 200, "version");
  check_says(r, "abc=", 4, "base64url");
  check_says(r, text, len - 1, len % 4 == 2 ? "cut off" : "c");
  check_says(other, text, len, "key");
  was = text[len / 2];
  text[len / 2] = was == 'A' ? 'B' : 'A';
  check_says(r, text, len, "changed");
  text[len / 2] = was;
  CHECK(opening(both, text, len) == PRG_K_COUNT_); /* a rotated key */
  prg_free(text);
  text = sealed(both, &c, &len);
  CHECK(opening(other, text, len) == PRG_K_COUNT_);
  CHECK(opening(r, text, len) == PRG_K_CURSOR);
  prg_free(text);
  prg_ring_free(r);
  prg_ring_free(other);
  prg_ring_free(both);
}

/* Texts of every length modulo 3 with other last bits than zero. */
static void test_cursor_canonical(void) {
  struct prg_ring *r = new_ring(secret_a, NULL);
  static const char digits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  int seen = 0;
  for (size_t extra = 0; extra < 3; extra++) {
    struct prg_cursor c;
    size_t len;
    char *text, *at;
    fill_cursor(&c);
    c.order[0].name.n -= extra;
    text = sealed(r, &c, &len);
    if (len % 4 != 0) {
      seen++;
      at = strchr(digits, text[len - 1]);
      text[len - 1] = digits[(at - digits) ^ 1];
      check_says(r, text, len, "canonical");
    }
    prg_free(text);
  }
  CHECK(seen == 2);
  prg_ring_free(r);
}

static void test_cursor_too_large(void) {
  struct prg_ring *r = new_ring(secret_a, NULL);
  struct prg_cursor c, back;
  struct prg_error *err = NULL;
  struct prg_arena a;
  char big[1600], *text;
  size_t len;
  prg_arena_init(&a);
  memset(big, 'x', sizeof(big));
  big[sizeof(big) - 1] = '\0';
  fill_cursor(&c);
  fill_kept(&c.filter, big);
  text = sealed(r, &c, &len);
  CHECK(prg_cursor_open(r, text, len, &a, &back, &err) == PRG_OK);
  CHECK(!back.filter.whole && back.search.whole);
  CHECK(prg_print_same(&back.filter.print, &c.filter.print));
  prg_free(text);
  fill_kept(&c.search, big);
  text = sealed(r, &c, &len);
  CHECK(prg_cursor_open(r, text, len, &a, &back, &err) == PRG_OK);
  CHECK(!back.filter.whole && !back.search.whole);
  prg_free(text);
  /* the longest that fits, and one byte more */
  fill_cursor(&c);
  fill_kept(&c.filter, "");
  for (size_t n = 1300, fits = 0; n < sizeof(big); n++) {
    struct prg_buf out;
    int rc;
    prg_buf_init(&out, 0);
    c.at[0] = text_value(PRG_TEXT, big, n);
    rc = prg_cursor_seal(r, &c, &out, &err);
    if (rc == PRG_OK) {
      fits = out.len;
      CHECK(opening(r, out.data, out.len) == PRG_K_COUNT_);
    } else {
      CHECK(fits == PRG_CURSOR_MAX || fits == PRG_CURSOR_MAX - 1);
      CHECK(err->kind == PRG_K_USAGE && out.len == 0);
      prg_error_unref(err);
      err = NULL;
      n = sizeof(big);
    }
    prg_buf_fini(&out);
  }
  prg_arena_fini(&a);
  prg_ring_free(r);
}

static void test_ring(void) {
  struct prg_error *err = NULL;
  struct prg_text shorty = text_of("fifteen bytes !"), good = text_of(secret_a);
  struct prg_ring *r = prg_ring_new(&shorty, 1, &err), *s;
  struct prg_cursor c;
  size_t len;
  char *text;
  CHECK(r == NULL && err != NULL && err->kind == PRG_K_USAGE);
  prg_error_unref(err);
  err = NULL;
  CHECK(prg_ring_new(&good, 0, &err) == NULL && err->kind == PRG_K_USAGE);
  prg_error_unref(err);
  err = NULL;
  r = prg_ring_random(&err);
  s = prg_ring_random(&err);
  REQUIRE(r != NULL && s != NULL);
  fill_cursor(&c);
  text = sealed(r, &c, &len);
  CHECK(opening(r, text, len) == PRG_K_COUNT_);
  CHECK(opening(s, text, len) == PRG_K_CURSOR);
  prg_free(text);
  prg_ring_free(r);
  prg_ring_free(s);
  prg_ring_free(NULL);
}

/* Bodies: every change and every truncation is read without harm. */
static void test_cursor_read_any(void) {
  struct prg_cursor c, back;
  struct prg_buf body;
  struct prg_arena a;
  fill_cursor(&c);
  prg_buf_init(&body, 0);
  prg_cursor_write(&c, &body);
  for (size_t i = 0; i < body.len; i++) {
    struct prg_error *err = NULL;
    prg_arena_init(&a);
    CHECK(prg_cursor_read(body.data, i, &a, &back, &err) == PRG_ERR);
    CHECK(err != NULL && err->kind == PRG_K_CURSOR);
    prg_error_unref(err);
    for (int byte = 0; byte < 256; byte++) {
      char was = body.data[i];
      err = NULL;
      body.data[i] = (char)byte;
      if (prg_cursor_read(body.data, body.len, &a, &back, &err) != PRG_OK)
        CHECK(err->kind == PRG_K_CURSOR);
      prg_error_unref(err);
      body.data[i] = was;
    }
    prg_arena_fini(&a);
  }
  prg_buf_fini(&body);
}

static void test_print(void) {
  struct prg_text one[2], two[2];
  struct prg_print p, q;
  struct prg_error *err = NULL;
  one[0] = text_of("ab");
  one[1] = text_of("c");
  two[0] = text_of("a");
  two[1] = text_of("bc");
  CHECK(prg_print_of(one, 2, &p, &err) == PRG_OK);
  CHECK(prg_print_of(two, 2, &q, &err) == PRG_OK);
  CHECK(!prg_print_same(&p, &q));
  CHECK(prg_print_of(one, 2, &q, &err) == PRG_OK);
  CHECK(prg_print_same(&p, &q));
}

/* ---- filters ------------------------------------------------------------- */

static struct prg_cond *new_cond(struct prg_arena *a, enum prg_cond_kind kind,
                                 const struct prg_col *col) {
  struct prg_cond *c = prg_cond_new(a, kind);
  c->col = col;
  return c;
}

/* Comparisons, lists, NULL and BETWEEN. */
static void add_plain(const struct prg_table *t, struct prg_arena *a,
                      struct prg_cond *to) {
  static struct prg_value items[3];
  static struct prg_vlist list = {3, items, 1, NULL};
  struct prg_cond *c;
  items[0] = text_value(PRG_TEXT, "x", 1);
  items[1] = text_value(PRG_DECIMAL, "1.50", 4);
  items[2] = text_value(PRG_BYTES, "\0", 1);
  for (int op = PRG_EQ; op <= PRG_LE; op++) {
    c = new_cond(a, PRG_COND_CMP, &t->cols[op % 4]);
    c->u.cmp.op = (enum prg_cmp)op;
    c->u.cmp.to.value = int_value(op - 3);
    prg_cond_add(to, c);
  }
  for (int i = 0; i < 2; i++) {
    c = new_cond(a, PRG_COND_IN, &t->cols[1]);
    c->u.in.negated = i == 1;
    c->u.in.list = &list;
    prg_cond_add(to, c);
    c = new_cond(a, PRG_COND_NULL, &t->cols[2]);
    c->u.is_not_null = i == 1;
    prg_cond_add(to, c);
  }
  c = new_cond(a, PRG_COND_BETWEEN, &t->cols[3]);
  c->u.between.low.value.type = PRG_DOUBLE;
  c->u.between.low.value.u.d = -1.5;
  c->u.between.high.value.type = PRG_BOOL;
  prg_cond_add(to, c);
}

static struct prg_cond *add_match(const struct prg_table *t,
                                  struct prg_arena *a, struct prg_cond *to,
                                  enum prg_match how, enum prg_type type) {
  struct prg_cond *c = new_cond(a, PRG_COND_MATCH, &t->cols[4]);
  c->u.match.how = how;
  c->u.match.value = text_value(type, "[1]", 3);
  prg_cond_add(to, c);
  return c;
}

/* What is contained may have any type. */
static void add_nested(const struct prg_table *t, struct prg_arena *a,
                       struct prg_cond *to) {
  static struct prg_value members[2], one_range;
  static int32_t lower[1] = {-3};
  static struct prg_vlist plain = {2, members, 1, NULL};
  static struct prg_vlist bounded = {2, members, 1, lower};
  static struct prg_vlist ranges = {1, &one_range, 0, NULL};
  static struct prg_vrange range;
  static struct prg_text keys[2];
  static struct prg_vmap map = {2, keys, members}, tuple = {2, NULL, members};
  members[0] = int_value(4);
  keys[0] = text_of("k");
  keys[1] = text_of("");
  range.lower = int_value(1);
  range.upper_inc = true;
  one_range.type = PRG_RANGE;
  one_range.u.range = &range;
  add_match(t, a, to, PRG_HAS_ITEMS, PRG_LIST)->u.match.value.u.list = &plain;
  add_match(t, a, to, PRG_HAS_ITEMS, PRG_LIST)->u.match.value.u.list = &bounded;
  add_match(t, a, to, PRG_HAS_ITEMS, PRG_RECORD)->u.match.value.u.map = &map;
  add_match(t, a, to, PRG_HAS_ITEMS, PRG_RECORD)->u.match.value.u.map = &tuple;
  add_match(t, a, to, PRG_HAS_ITEMS, PRG_RANGE)->u.match.value.u.range = &range;
  add_match(t, a, to, PRG_HAS_ITEMS, PRG_MULTIRANGE)->u.match.value.u.list =
      &ranges;
}

/* One of each kind that a filter can have, with every type of value. */
static struct prg_cond *make_filter(const struct prg_table *t,
                                    struct prg_arena *a) {
  struct prg_cond *top = prg_cond_new(a, PRG_COND_AND);
  struct prg_cond *nor = prg_cond_new(a, PRG_COND_NOR);
  add_plain(t, a, top);
  prg_cond_add(top, nor);
  prg_cond_add(nor, prg_cond_new(a, PRG_COND_OR));
  for (int how = PRG_LIKE; how < PRG_HAS_JSON; how++)
    add_match(t, a, nor, (enum prg_match)how, PRG_TEXT);
  add_match(t, a, nor, PRG_HAS_JSON, PRG_JSON);
  add_nested(t, a, nor);
  return top;
}

static void test_filter_round_trip(void) {
  struct prg_table *t = new_table(0, 1);
  struct prg_buf one, two;
  struct prg_cond *c;
  struct prg_error *err = NULL;
  struct prg_arena a;
  bool raw = true;
  prg_arena_init(&a);
  prg_buf_init(&one, 0);
  prg_buf_init(&two, 0);
  CHECK(prg_filter_pack(NULL, &one, &raw) == PRG_OK && one.len == 0 && !raw);
  CHECK(prg_filter_unpack(t, "", 0, &a, &c, &err) == PRG_OK && c == NULL);
  CHECK(prg_filter_pack(make_filter(t, &a), &one, &raw) == PRG_OK && !raw);
  CHECK(prg_filter_unpack(t, one.data, one.len, &a, &c, &err) == PRG_OK);
  if (CHECK(c != NULL)) {
    CHECK(prg_filter_pack(c, &two, &raw) == PRG_OK && !raw);
    CHECK(one.len == two.len && memcmp(one.data, two.data, one.len) == 0);
  }
  prg_error_unref(err);
  prg_buf_fini(&one);
  prg_buf_fini(&two);
  prg_arena_fini(&a);
  prg_table_unref(t);
}

static void test_filter_read_any(void) {
  struct prg_table *t = new_table(0, 1);
  struct prg_buf b;
  struct prg_cond *c;
  struct prg_arena a, scratch;
  bool raw;
  prg_arena_init(&a);
  prg_arena_init(&scratch);
  prg_buf_init(&b, 0);
  CHECK(prg_filter_pack(make_filter(t, &a), &b, &raw) == PRG_OK);
  for (size_t i = 1; i < b.len; i++) {
    struct prg_error *err = NULL;
    CHECK(prg_filter_unpack(t, b.data, i, &scratch, &c, &err) == PRG_ERR);
    CHECK(err != NULL && err->kind == PRG_K_CURSOR && c == NULL);
    prg_error_unref(err);
    for (int byte = 0; byte < 256; byte++) {
      char was = b.data[i];
      err = NULL;
      b.data[i] = (char)byte;
      if (prg_filter_unpack(t, b.data, b.len, &scratch, &c, &err) != PRG_OK)
        CHECK(err->kind == PRG_K_CURSOR);
      prg_error_unref(err);
      b.data[i] = was;
    }
    prg_arena_reset(&scratch);
  }
  prg_buf_fini(&b);
  prg_arena_fini(&scratch);
  prg_arena_fini(&a);
  prg_table_unref(t);
}

/* What cannot be read back serves for a fingerprint: SQL, and too much nesting. */
static void test_filter_print_only(void) {
  struct prg_table *t = new_table(0, 1);
  struct prg_text texts[2];
  struct prg_value one = int_value(1);
  struct prg_raw fragment = {1, texts, &one};
  struct prg_buf b;
  struct prg_cond *top, *c, *at;
  struct prg_error *err = NULL;
  struct prg_arena a;
  bool raw = false;
  texts[0] = text_of("a = ");
  texts[1] = text_of("");
  prg_arena_init(&a);
  prg_buf_init(&b, 0);
  top = prg_cond_new(&a, PRG_COND_AND);
  c = prg_cond_new(&a, PRG_COND_RAW);
  c->u.raw = &fragment;
  prg_cond_add(top, c);
  CHECK(prg_filter_pack(top, &b, &raw) == PRG_OK && raw && b.len > 0);
  CHECK(prg_filter_unpack(t, b.data, b.len, &a, &c, &err) == PRG_ERR);
  prg_error_unref(err);
  err = NULL;
  for (int depth = 60; depth < 70; depth++) {
    prg_buf_reset(&b);
    top = at = prg_cond_new(&a, PRG_COND_OR);
    for (int i = 1; i < depth; i++) {
      c = prg_cond_new(&a, PRG_COND_OR);
      prg_cond_add(at, c);
      at = c;
    }
    CHECK(prg_filter_pack(top, &b, &raw) == PRG_OK);
    CHECK(raw == (prg_filter_unpack(t, b.data, b.len, &a, &c, &err) != PRG_OK));
    prg_error_unref(err);
    err = NULL;
  }
  CHECK(raw);
  prg_buf_fini(&b);
  prg_arena_fini(&a);
  prg_table_unref(t);
}

static void test_filter_gone(void) {
  struct prg_table *t = new_table(0, 1);
  struct prg_col gone = t->cols[1];
  struct prg_cond *c, *back;
  struct prg_error *err = NULL;
  struct prg_buf b;
  struct prg_arena a;
  bool raw;
  prg_arena_init(&a);
  prg_buf_init(&b, 0);
  gone.name = text_of("was_here");
  c = new_cond(&a, PRG_COND_NULL, &gone);
  CHECK(prg_filter_pack(c, &b, &raw) == PRG_OK);
  CHECK(prg_filter_unpack(t, b.data, b.len, &a, &back, &err) == PRG_ERR);
  CHECK(err != NULL && err->kind == PRG_K_CURSOR &&
        strstr(prg_error_message(err), "was_here") != NULL);
  prg_error_unref(err);
  prg_buf_fini(&b);
  prg_arena_fini(&a);
  prg_table_unref(t);
}

/* ---- without memory ------------------------------------------------------ */

/* Seals, opens and unpacks; false when something had no memory. */
static bool whole_way(const struct prg_table *t, const struct prg_cond *filter,
                      struct prg_error **err) {
  struct prg_text secret = text_of(secret_a);
  struct prg_ring *r = prg_ring_new(&secret, 1, err);
  struct prg_cursor c, back;
  struct prg_cond *cond;
  struct prg_buf packed, text;
  struct prg_order *order = NULL;
  struct prg_arena a;
  size_t n;
  bool raw, ok = false;
  prg_arena_init(&a);
  prg_buf_init(&packed, 0);
  prg_buf_init(&text, 0);
  fill_cursor(&c);
  if (r == NULL) goto done;
  order = prg_keyset_order(t, NULL, 0, &a, &n, err);
  if (order == NULL) goto done;
  if (prg_filter_pack(filter, &packed, &raw) != PRG_OK ||
      prg_keyset_flip(order, n, &a) == NULL ||
      prg_keyset_after(order, n, c.at, &a) == NULL) {
    *err = prg_error_oom();
    goto done;
  }
  c.filter.packed.p = packed.data;
  c.filter.packed.n = packed.len;
  if (prg_cursor_seal(r, &c, &text, err) != PRG_OK) goto done;
  if (prg_cursor_open(r, text.data, text.len, &a, &back, err) != PRG_OK)
    goto done;
  ok = prg_filter_unpack(t, back.filter.packed.p, back.filter.packed.n, &a,
                         &cond, err) == PRG_OK;
done:
  prg_buf_fini(&packed);
  prg_buf_fini(&text);
  prg_arena_fini(&a);
  prg_ring_free(r);
  return ok;
}

static void test_no_memory(void) {
  struct prg_table *t = new_table(0, 1);
  struct prg_arena a;
  struct prg_cond *filter;
  bool ok = false;
  long n;
  prg_arena_init(&a);
  filter = make_filter(t, &a);
  for (n = 1; !ok && n < 1000; n++) {
    struct prg_error *err = NULL;
    (void)prg_mem_fail_after(n);
    ok = whole_way(t, filter, &err);
    ok = prg_mem_fail_after(0) > 0 && ok;
    if (!ok) CHECK(err != NULL && err->kind == PRG_K_RESOURCE);
    prg_error_unref(err);
  }
  CHECK(ok && n > 5);
  prg_arena_fini(&a);
  prg_table_unref(t);
}

int main(void) {
  RUN(test_keyset_random);
  RUN(test_keyset_shapes);
  RUN(test_keyset_refuses);
  RUN(test_cursor_round_trip);
  RUN(test_cursor_forged);
  RUN(test_cursor_messages);
  RUN(test_cursor_canonical);
  RUN(test_cursor_too_large);
  RUN(test_ring);
  RUN(test_cursor_read_any);
  RUN(test_print);
  RUN(test_filter_round_trip);
  RUN(test_filter_read_any);
  RUN(test_filter_print_only);
  RUN(test_filter_gone);
  RUN(test_no_memory);
  return check_result();
}
