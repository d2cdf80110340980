/*
** The statement of one step of a bulk verb: which one it is, what is in it, and
** for a batch the parameters of all its sets.
*/
#include "bind/bulk_int.h"
#include "bind/lvalue.h"

/* ---- what is in the statement --------------------------------------------- */

static bool in_list(const struct prg_col *c, const struct prg_col *const *cols,
                    size_t n) {
  size_t i;
  for (i = 0; i < n; i++)
    if (cols[i] == c) return true;
  return false;
}

static bool in_key(const struct prg_bulk *b, const struct prg_col *c) {
  int k;
  for (k = 0; k < b->key->ncols; k++)
    if (b->key->cols[k] == c->index) return true;
  return false;
}

/* The columns that an upsert sets in a row that is there: of those that the
** records have, never those of the key or the scope. */
static const struct prg_col *const *updated_columns(
    lua_State *L, const struct prg_bulk_step *s, size_t *n) {
  const struct prg_bulk *b = s->b;
  const struct prg_bulk_group *g = s->g;
  const struct prg_col **cols =
      prg_arena_need(L, s->arena, g->ncols, sizeof *cols);
  size_t i;
  *n = 0;
  for (i = 0; i < g->ncols; i++) {
    const struct prg_col *c = g->cols[i];
    if (in_key(b, c) || in_list(c, b->scope_cols, b->nscope)) continue;
    if (!b->set_given || in_list(c, b->sets, b->nsets)) cols[(*n)++] = c;
  }
  return cols;
}

static bool conflicts(const struct prg_bulk_step *s) {
  return s->b->mode == PRG_BULK_UPSERT && !s->g->fresh;
}

struct prg_returning prg_bulk_returning(const struct prg_bulk_step *s) {
  struct prg_returning r = s->b->returning;
  r.created = r.created && conflicts(s);
  r.mark = r.mark && conflicts(s);
  r.any = r.any && !s->b->apart;
  return r;
}

/* The columns and values of record `row` as sets. */
static struct prg_set *sets_of(lua_State *L, const struct prg_bulk_step *s,
                               size_t row, size_t ncols) {
  struct prg_set *sets = prg_arena_need(L, s->arena, ncols, sizeof *sets);
  size_t i;
  memset(sets, 0, ncols * sizeof *sets);
  for (i = 0; i < ncols; i++) {
    sets[i].col = s->g->cols[i];
    sets[i].to.value = *prg_bulk_cell(s->g, row, i);
    if (s->g->raws == NULL) continue;
    if (s->g->raws[i] == &prg_bulk_default)
      sets[i].is_default = true;
    else
      sets[i].to.raw = s->g->raws[i];
  }
  return sets;
}

static struct prg_cond *new_cond(lua_State *L, const struct prg_bulk_step *s,
                                 enum prg_cond_kind kind) {
  struct prg_cond *c = prg_cond_new(s->arena, kind);
  if (c == NULL) prg_raise(L, prg_error_oom());
  return c;
}

static size_t column_at(const struct prg_bulk_group *g,
                        const struct prg_col *c) {
  size_t i;
  for (i = 0; i + 1 < g->ncols && g->cols[i] != c; i++) continue;
  return i;
}

/* The key is that of record `row`, and the scope. Its parameters come first, in
** the order of the key. */
static struct prg_cond *key_cond(lua_State *L, const struct prg_bulk_step *s,
                                 size_t row) {
  const struct prg_bulk *b = s->b;
  struct prg_cond *all = new_cond(L, s, PRG_COND_AND);
  int k;
  for (k = 0; k < b->key->ncols; k++) {
    struct prg_cond *c = new_cond(L, s, PRG_COND_CMP);
    c->col = &b->table->cols[b->key->cols[k]];
    c->u.cmp.op = PRG_EQ;
    c->u.cmp.to.value = *prg_bulk_cell(s->g, row, column_at(s->g, c->col));
    prg_cond_add(all, c);
  }
  return prg_cond_both(L, s->arena, all, (struct prg_cond *)(uintptr_t)s->only);
}

static void fill_insert(lua_State *L, struct prg_bulk_step *s, size_t row) {
  struct prg_insert *i = &s->u.insert;
  i->table = s->b->table;
  i->nsets = s->g->ncols;
  i->sets = sets_of(L, s, row, s->g->ncols);
  i->returning = prg_bulk_returning(s);
  if (!conflicts(s)) return;
  i->conflict = PRG_CONFLICT_UPDATE;
  i->key = s->b->key;
  i->from_row = updated_columns(L, s, &i->nfrom);
  i->only = s->only;
}

static void fill_insert_many(lua_State *L, struct prg_bulk_step *s) {
  struct prg_insert_many *i = &s->u.insert_many;
  i->table = s->b->table;
  i->ncols = s->g->ncols;
  i->cols = s->g->cols;
  i->lists = s->g->list_of;
  i->returning = prg_bulk_returning(s);
  if (!conflicts(s)) return;
  i->conflict = PRG_CONFLICT_UPDATE;
  i->key = s->b->key;
  i->from_row = updated_columns(L, s, &i->nfrom);
  i->only = s->only;
}

static void fill_update(lua_State *L, struct prg_bulk_step *s, size_t row) {
  struct prg_update *u = &s->u.update;
  u->table = s->b->table;
  u->nsets = s->g->ncols - (size_t)s->b->key->ncols;
  u->sets = sets_of(L, s, row, u->nsets);
  u->where = key_cond(L, s, row);
}

static void fill_update_many(struct prg_bulk_step *s) {
  struct prg_update_many *u = &s->u.update_many;
  u->table = s->b->table;
  u->nkey = (size_t)s->b->key->ncols;
  u->ncols = s->g->ncols;
  u->cols = s->g->cols;
  u->lists = s->g->list_of;
  u->where = s->only;
}

static void fill_delete(lua_State *L, struct prg_bulk_step *s) {
  struct prg_delete *d = &s->u.delete;
  d->table = s->b->table;
  if (s->g->form == PRG_BULK_LISTS) { /* one column: all keys in one list */
    struct prg_cond *c = new_cond(L, s, PRG_COND_IN);
    c->col = s->g->cols[0];
    c->u.in.list = &s->g->lists[0];
    d->where =
        prg_cond_both(L, s->arena, c, (struct prg_cond *)(uintptr_t)s->only);
  } else {
    d->where = key_cond(L, s, 0);
  }
}

static void emit_step(struct prg_emit *e, const void *what) {
  const struct prg_bulk_step *s = what;
  const struct prg_bulk_group *g = s->g;
  enum prg_bulk_mode mode = s->b->mode;
  if (mode == PRG_BULK_DELETE)
    prg_emit_delete(e, &s->u.delete);
  else if (mode == PRG_BULK_UPDATE && g->form == PRG_BULK_LISTS)
    prg_emit_update_unnest(e, &s->u.update_many);
  else if (mode == PRG_BULK_UPDATE)
    prg_emit_update(e, &s->u.update);
  else if (g->form == PRG_BULK_LISTS)
    prg_emit_insert_unnest(e, &s->u.insert_many);
  else if (g->form == PRG_BULK_VALUES)
    prg_emit_insert_values(e, &s->u.insert_many, g->rows + s->from * g->ncols,
                           s->n);
  else
    prg_emit_insert(e, &s->u.insert);
}

static void fill_step(lua_State *L, struct prg_bulk_step *s) {
  bool many = s->g->form == PRG_BULK_LISTS || s->g->form == PRG_BULK_VALUES;
  if (s->b->mode == PRG_BULK_DELETE)
    fill_delete(L, s);
  else if (s->b->mode == PRG_BULK_UPDATE && many)
    fill_update_many(s);
  else if (s->b->mode == PRG_BULK_UPDATE)
    fill_update(L, s, s->from);
  else if (many)
    fill_insert_many(L, s);
  else
    fill_insert(L, s, s->from);
}

/* ---- batches ------------------------------------------------------------ */

/* What a batch sends for each record: these of its cells, then what is the same
** for all (the values of the scope). */
struct batch {
  void (*emit)(struct prg_emit *, const void *);
  size_t ncells;
  const size_t *cells; /* NULL: all, as they are */
};

/* The parameters of all sets. Those behind the cells are taken from the first
** set, as the emitter gives it. */
static const struct prg_value *lay_out(lua_State *L,
                                       const struct prg_bulk_step *s,
                                       const struct batch *m) {
  struct prg_emit e;
  struct prg_error *err = NULL;
  struct prg_value *sets, *to;
  const struct prg_value *rest;
  size_t nrest, i, k;
  int rc;
  prg_emit_init(&e, s->b->dialect, PRG_EMIT_KEY, s->arena);
  m->emit(&e, s);
  rest = e.params; /* in the arena */
  nrest = e.nparams - m->ncells;
  rc = prg_emit_check(&e, &err);
  prg_emit_fini(&e);
  if (rc != PRG_OK) prg_raise(L, err);
  if (nrest == 0 && m->cells == NULL) return s->g->rows;
  to = sets =
      prg_arena_need(L, s->arena, s->n * (m->ncells + nrest), sizeof *sets);
  for (i = 0; i < s->n; i++) {
    for (k = 0; k < m->ncells; k++)
      *to++ = *prg_bulk_cell(s->g, i, m->cells != NULL ? m->cells[k] : k);
    for (k = 0; k < nrest; k++) *to++ = rest[m->ncells + k];
  }
  return sets;
}

static int run_batch(lua_State *L, struct prg_op *op,
                     const struct prg_bulk_step *s, const struct batch *m) {
  const struct prg_value *sets = lay_out(L, s, m);
  return prg_crud_run_batch(L, op, m->emit, s, sets, s->n);
}

/* ---- which keys are there ------------------------------------------------- */

static void emit_exists(struct prg_emit *e, const void *what) {
  const struct prg_bulk_step *s = what;
  prg_emit_exists(e, s->b->table, s->u.update.where);
}

/* SELECT the numbers of the keys that no row has. */
static void emit_absent(struct prg_emit *e, const void *what) {
  const struct prg_bulk_step *s = what;
  const struct prg_key *key = s->b->key;
  const struct prg_table *t = s->b->table;
  int k;
  prg_emit_text(e, "SELECT \"perigee:keys\".n FROM unnest(");
  for (k = 0; k < key->ncols; k++) {
    struct prg_value v;
    memset(&v, 0, sizeof v);
    v.type = PRG_LIST;
    v.u.list = (struct prg_vlist *)(uintptr_t)s->u.update_many.lists[k];
    if (k > 0) prg_emit_text(e, ", ");
    prg_emit_param(e, &v);
    prg_emit_text(e, "::");
    prg_emit_text(e, t->cols[key->cols[k]].type);
    prg_emit_text(e, "[]");
  }
  prg_emit_text(e, ") WITH ORDINALITY AS \"perigee:keys\" (");
  for (k = 0; k < key->ncols; k++) {
    prg_emit_text(e, "k");
    prg_emit_number(e, (size_t)k);
    prg_emit_text(e, ", ");
  }
  prg_emit_text(e, "n) WHERE NOT EXISTS (SELECT 1 FROM ");
  prg_emit_name(e, &t->quoted);
  prg_emit_text(e, " WHERE ");
  for (k = 0; k < key->ncols; k++) {
    prg_emit_name(e, &t->cols[key->cols[k]].quoted);
    prg_emit_text(e, " = \"perigee:keys\".k");
    prg_emit_number(e, (size_t)k);
    prg_emit_text(e, " AND ");
  }
  prg_emit_cond(e, s->only);
  prg_emit_text(e, ") ORDER BY 1");
}

/* The values of the key, one list per column. */
static void fill_absent(lua_State *L, struct prg_bulk_step *s) {
  size_t nkey = (size_t)s->b->key->ncols, k, i;
  const struct prg_vlist **lists =
      prg_arena_need(L, s->arena, nkey, sizeof *lists);
  for (k = 0; k < nkey; k++) {
    const struct prg_col *c = &s->b->table->cols[s->b->key->cols[k]];
    size_t at = column_at(s->g, c);
    struct prg_vlist *list = prg_arena_need(L, s->arena, 1, sizeof *list);
    memset(list, 0, sizeof *list);
    list->ndim = 1;
    list->n = s->n;
    list->items = prg_arena_need(L, s->arena, s->n, sizeof *list->items);
    for (i = 0; i < s->n; i++) list->items[i] = *prg_bulk_cell(s->g, i, at);
    lists[k] = list;
  }
  s->u.update_many.lists = lists;
}

int prg_bulk_run(lua_State *L, struct prg_op *op, struct prg_bulk_step *s) {
  const struct batch m = {emit_step, s->g->ncols, NULL};
  fill_step(L, s);
  return s->g->form == PRG_BULK_BATCH ? run_batch(L, op, s, &m)
                                      : prg_crud_run(L, op, emit_step, s);
}

int prg_bulk_probe(lua_State *L, struct prg_op *op, struct prg_bulk_step *s) {
  size_t nkey = (size_t)s->b->key->ncols, k;
  size_t *cells = prg_arena_need(L, s->arena, nkey, sizeof *cells);
  const struct batch m = {emit_exists, nkey, cells};
  if ((s->b->dialect->build & PRG_BUILD_UNNEST) != 0) {
    fill_absent(L, s);
    return prg_crud_run(L, op, emit_absent, s);
  }
  for (k = 0; k < nkey; k++)
    cells[k] = column_at(s->g, &s->b->table->cols[s->b->key->cols[k]]);
  s->u.update.where = key_cond(L, s, s->from);
  return run_batch(L, op, s, &m);
}

/* ---- the rows of an insert, read apart ------------------------------------ */

struct fetch {
  const struct prg_bulk_step *s;
  const struct prg_key *key;
  const struct prg_value *cells; /* of the key, record by record */
  bool rises; /* the key is one column that the database has counted */
};

/* Is the column's value given, or else made by the database? */
static bool is_known(const struct prg_bulk_step *s, const struct prg_col *c,
                     const struct prg_bulk_made *made) {
  const struct prg_bulk_group *g = s->g;
  size_t at;
  if (!in_list(c, g->cols, g->ncols)) return c == made->col;
  at = column_at(g, c);
  if (g->raws == NULL || g->raws[at] == NULL) return true;
  return g->raws[at] == &prg_bulk_default && c == made->col;
}

static const struct prg_key *known_key(const struct prg_bulk_step *s,
                                       const struct prg_bulk_made *made) {
  const struct prg_table *t = s->b->table;
  int i, k;
  for (i = 0; i < t->nkeys; i++) {
    const struct prg_key *key = &t->keys[i];
    for (k = 0; k < key->ncols; k++)
      if (!is_known(s, &t->cols[key->cols[k]], made)) break;
    if (k == key->ncols) return key;
  }
  return NULL;
}

static struct prg_value known_value(const struct prg_bulk_step *s, size_t row,
                                    const struct prg_col *c,
                                    const struct prg_bulk_made *made) {
  const struct prg_bulk_group *g = s->g;
  struct prg_value v = {.type = PRG_INT};
  size_t at = column_at(g, c);
  if (in_list(c, g->cols, g->ncols) && (g->raws == NULL || g->raws[at] == NULL))
    return *prg_bulk_cell(g, s->from + row, at);
  v.u.i = made->first + (int64_t)row * made->increment;
  return v;
}

static void emit_same(struct prg_emit *e, const struct fetch *f, size_t row) {
  const struct prg_table *t = f->s->b->table;
  size_t n = (size_t)f->key->ncols, k;
  for (k = 0; k < n; k++) {
    if (k > 0) prg_emit_text(e, " AND ");
    prg_emit_name(e, &t->cols[f->key->cols[k]].quoted);
    prg_emit_text(e, " = ");
    prg_emit_param(e, &f->cells[row * n + k]);
  }
}

static void emit_fetch_where(struct prg_emit *e, const struct fetch *f) {
  bool one = f->key->ncols == 1;
  prg_emit_text(e, " WHERE ");
  if (one) {
    prg_emit_name(e, &f->s->b->table->cols[f->key->cols[0]].quoted);
    prg_emit_text(e, " IN ");
  }
  for (size_t i = 0; i < f->s->n; i++) {
    prg_emit_text(e, i == 0 ? "(" : one ? ", " : ") OR (");
    if (one)
      prg_emit_param(e, &f->cells[i]);
    else
      emit_same(e, f, i);
  }
  prg_emit_text(e, ")");
}

static void emit_fetch_order(struct prg_emit *e, const struct fetch *f) {
  prg_emit_text(e, " ORDER BY ");
  if (f->rises) {
    prg_emit_name(e, &f->s->b->table->cols[f->key->cols[0]].quoted);
    return;
  }
  for (size_t i = 0; i < f->s->n; i++) {
    prg_emit_text(e, i == 0 ? "CASE WHEN " : " WHEN ");
    emit_same(e, f, i);
    prg_emit_text(e, " THEN ");
    prg_emit_number(e, i);
  }
  prg_emit_text(e, " END");
}

static void emit_fetch(struct prg_emit *e, const void *what) {
  const struct fetch *f = what;
  const struct prg_returning *r = &f->s->b->returning;
  size_t i;
  prg_emit_text(e, r->ncols == 0 ? "SELECT *" : "SELECT ");
  for (i = 0; i < r->ncols; i++) {
    if (i > 0) prg_emit_text(e, ", ");
    prg_emit_name(e, &r->cols[i]->quoted);
  }
  prg_emit_text(e, " FROM ");
  prg_emit_name(e, &f->s->b->table->quoted);
  emit_fetch_where(e, f);
  if (f->s->n > 1) emit_fetch_order(e, f);
}

int prg_bulk_fetch(lua_State *L, struct prg_op *op, struct prg_bulk_step *s,
                   const struct prg_bulk_made *made) {
  struct fetch f = {s, known_key(s, made), NULL, false};
  struct prg_value *cells;
  size_t i, k, n;
  if (f.key == NULL)
    return prg_raise(
        L,
        prg_error_new(PRG_K_UNSUPPORTED,
                      "%s: %s has no RETURNING, and no key of the records is "
                      "known by which the rows could be read again: give "
                      "one, or say returning = false",
                      s->b->table->title.p, s->b->dialect->name));
  n = (size_t)f.key->ncols;
  f.rises =
      n == 1 && made->increment > 0 &&
      !in_list(&s->b->table->cols[f.key->cols[0]], s->g->cols, s->g->ncols);
  f.cells = cells = prg_arena_need(L, s->arena, s->n * n, sizeof *cells);
  for (i = 0; i < s->n; i++)
    for (k = 0; k < n; k++)
      *cells++ = known_value(s, i, &s->b->table->cols[f.key->cols[k]], made);
  return prg_crud_run(L, op, emit_fetch, &f);
}
