/*
** The condition "behind this row".
**
** For the order (a, b, c) and the row (x, y, z) it is, where nothing is NULL,
**
**   a >= x AND (a > x OR (b >= y AND (b > y OR c > z)))
**
** Equality is never asked for: behind `a >= x`, not `a > x` is what says that a
** ties, in the very comparison that the order goes by (a collation without case,
** NaN, -0.0). The first column is bounded, so that an index on it is entered at
** the right place.
*/
#include "page/keyset.h"

#include <string.h>

/* ---- orders -------------------------------------------------------------- */

static bool is_in(const struct prg_order *order, size_t n,
                  const struct prg_col *col) {
  for (size_t i = 0; i < n; i++)
    if (order[i].col == col) return true;
  return false;
}

static struct prg_error *check_order(const struct prg_table *t,
                                     const struct prg_order *order, size_t n) {
  for (size_t i = 0; i < n; i++) {
    const struct prg_col *col = order[i].col;
    if (col == NULL)
      return prg_error_new(PRG_K_USAGE,
                           "order_by: pages can only be ordered by columns of "
                           "the table, not by SQL");
    if (is_in(order, i, col))
      return prg_error_new(PRG_K_USAGE, "order_by: %s stands in it twice",
                           col->name.p);
    if (!col->orderable)
      return prg_error_new(PRG_K_USAGE,
                           "order_by: %s (column of type %s) has no order",
                           col->name.p, col->title);
  }
  if (t->unique == NULL)
    return prg_error_new(PRG_K_USAGE,
                         "%s has neither a primary key nor a unique key that "
                         "is NOT NULL, so that its rows have no sure order: it "
                         "has no pages",
                         t->title.p);
  return NULL;
}

struct prg_order *prg_keyset_order(const struct prg_table *t,
                                   const struct prg_order *order, size_t norder,
                                   struct prg_arena *a, size_t *n,
                                   struct prg_error **err) {
  const struct prg_key *key = t->unique;
  struct prg_order *out;
  *err = check_order(t, order, norder);
  if (*err != NULL) return NULL;
  out = prg_arena_alloc(a, (norder + (size_t)key->ncols) * sizeof(*out));
  if (out == NULL) {
    *err = prg_error_oom();
    return NULL;
  }
  if (norder > 0) memcpy(out, order, norder * sizeof(*out));
  *n = norder;
  for (int i = 0; i < key->ncols; i++) {
    const struct prg_col *col = &t->cols[key->cols[i]];
    if (is_in(out, norder, col)) continue;
    memset(&out[*n], 0, sizeof(*out));
    out[*n].col = col;
    out[*n].desc = norder > 0 && order[norder - 1].desc;
    out[*n].nulls = PRG_NULLS_LARGE;
    (*n)++;
  }
  if (*n <= PRG_PAGE_COLS) return out;
  *err = prg_error_new(PRG_K_USAGE,
                       "order_by: with the columns of the key it has %zu "
                       "columns, but a page can be ordered by %d at most",
                       *n, PRG_PAGE_COLS);
  return NULL;
}

struct prg_order *prg_keyset_flip(const struct prg_order *order, size_t n,
                                  struct prg_arena *a) {
  struct prg_order *out = prg_arena_alloc(a, n * sizeof(*out));
  if (out == NULL) return NULL;
  memcpy(out, order, n * sizeof(*out));
  for (size_t i = 0; i < n; i++) {
    out[i].desc = !order[i].desc;
    if (order[i].nulls == PRG_NULLS_FIRST) out[i].nulls = PRG_NULLS_LAST;
    if (order[i].nulls == PRG_NULLS_LAST) out[i].nulls = PRG_NULLS_FIRST;
  }
  return out;
}

/* ---- conditions ---------------------------------------------------------- */

/* Each takes conditions that may be NULL, which is no memory: so is the result
** then, and one look at it is enough. */

static struct prg_cond *compare(struct prg_arena *a, const struct prg_order *o,
                                bool or_same, const struct prg_value *v) {
  struct prg_cond *c = prg_cond_new(a, PRG_COND_CMP);
  if (c == NULL) return NULL;
  c->col = o->col;
  c->u.cmp.op =
      o->desc ? (or_same ? PRG_LE : PRG_LT) : (or_same ? PRG_GE : PRG_GT);
  c->u.cmp.to.value = *v;
  return c;
}

static struct prg_cond *null_test(struct prg_arena *a,
                                  const struct prg_col *col, bool not_null) {
  struct prg_cond *c = prg_cond_new(a, PRG_COND_NULL);
  if (c == NULL) return NULL;
  c->col = col;
  c->u.is_not_null = not_null;
  return c;
}

static struct prg_cond *join(struct prg_arena *a, enum prg_cond_kind kind,
                             struct prg_cond *left, struct prg_cond *right) {
  struct prg_cond *c = prg_cond_new(a, kind);
  if (c == NULL || left == NULL || right == NULL) return NULL;
  prg_cond_add(c, left);
  prg_cond_add(c, right);
  return c;
}

static bool nulls_last(const struct prg_order *o) {
  if (o->nulls == PRG_NULLS_LARGE) return !o->desc;
  return o->nulls == PRG_NULLS_LAST;
}

/* Behind the row in this column, or level with it and `rest`. A `rest` of no
** parts is false: this is the last column. */
static struct prg_cond *behind(struct prg_arena *a, const struct prg_order *o,
                               const struct prg_value *at, bool last,
                               struct prg_cond *rest) {
  struct prg_cond *c;
  if (at->type == PRG_NULL) {
    c = null_test(a, o->col, false);
    if (!last) c = join(a, PRG_COND_AND, c, rest);
    if (nulls_last(o)) return last ? prg_cond_new(a, PRG_COND_OR) : c;
    if (last) return null_test(a, o->col, true);
    return join(a, PRG_COND_OR, null_test(a, o->col, true), c);
  }
  c = compare(a, o, false, at);
  if (!last)
    c = join(a, PRG_COND_AND, compare(a, o, true, at),
             join(a, PRG_COND_OR, c, rest));
  if (o->col->not_null || !nulls_last(o)) return c;
  return join(a, PRG_COND_OR, c, null_test(a, o->col, false));
}

/* Can it be one row comparison? */
static bool is_uniform(const struct prg_order *order, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (!order[i].col->not_null || order[i].desc != order[0].desc) return false;
  return n > 1;
}

static struct prg_cond *compare_rows(const struct prg_order *order, size_t n,
                                     const struct prg_value *at,
                                     struct prg_arena *a) {
  struct prg_cond *c = prg_cond_new(a, PRG_COND_ROW);
  const struct prg_col **cols = prg_arena_alloc(a, n * sizeof(*cols));
  struct prg_value *values = prg_arena_alloc(a, n * sizeof(*values));
  if (c == NULL || cols == NULL || values == NULL) return NULL;
  for (size_t i = 0; i < n; i++) cols[i] = order[i].col;
  memcpy(values, at, n * sizeof(*values));
  c->u.row.op = order[0].desc ? PRG_LT : PRG_GT;
  c->u.row.n = n;
  c->u.row.cols = cols;
  c->u.row.values = values;
  return c;
}

struct prg_cond *prg_keyset_after(const struct prg_order *order, size_t n,
                                  const struct prg_value *at,
                                  struct prg_arena *a) {
  struct prg_cond *c = NULL;
  bool nulls = false; /* also where the column had been NOT NULL, once */
  for (size_t i = 0; i < n; i++)
    if (at[i].type == PRG_NULL) nulls = true;
  if (!nulls && is_uniform(order, n)) return compare_rows(order, n, at, a);
  for (size_t i = n; i-- > 0;) {
    bool last = i == n - 1;
    c = behind(a, &order[i], &at[i], last, c);
    if (c == NULL) return NULL;
  }
  return c;
}
