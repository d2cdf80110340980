/*
** Reading the list of a bulk verb. Each record is read once, into one cell per
** column of the table, and then goes to the group of those that name the same
** columns: absent and DEFAULT are not NULL, so each group has its own statement.
*/
#include "bind/bulk_int.h"
#include "bind/lvalue.h"

#include <stdio.h>

#include "base/mem.h"

#define VALUES_PARAMS 5000 /* of a statement with many rows */
#define APART_ROWS 200     /* that are read again by another */
#define WORD_BITS 64

const struct prg_raw prg_bulk_default = {0, NULL, NULL};

/* What messages of records begin with, where they have no number. */
static const char own_title[] = "record";

/* The column of a key that is a certain Lua string. */
struct name {
  const char *p; /* its address; NULL: free */
  const struct prg_col *col;
};

/* Where a record with a certain key is; group NULL: free. */
struct place {
  const struct prg_bulk_group *group;
  size_t row;
};

struct reading {
  struct prg_bulk *b;
  struct prg_reader r;
  struct name *names; /* a table of name_mask + 1, by address */
  size_t name_mask;
  struct prg_value *cells;     /* of the present record, by column */
  const struct prg_raw **raws; /* the same for fragments */
  uint64_t *given;             /* which columns it has */
  size_t words;                /* in `given` */
  bool raw;                    /* it has fragments */
  size_t *key_at; /* where the columns of the key are in the group `keyed` */
  const struct prg_bulk_group *keyed;
  struct place *places; /* by key, place_mask + 1; NULL: not wanted */
  size_t place_mask;
  size_t record; /* its number, from 1; 0: none yet */
};

static void *need(lua_State *L, const struct reading *d, size_t n,
                  size_t size) {
  return prg_arena_need(L, &d->b->arena, n, size);
}

/* The smallest power of two that is at least twice `n`. */
static size_t table_size(size_t n) {
  size_t size = 16;
  while (size < 2 * n) size *= 2;
  return size;
}

static bool has(const uint64_t *set, const struct prg_col *c) {
  size_t i = (size_t)c->index;
  return (set[i / WORD_BITS] >> (i % WORD_BITS) & 1) != 0;
}

static void give(struct reading *d, const struct prg_col *c) {
  size_t i = (size_t)c->index;
  d->given[i / WORD_BITS] |= (uint64_t)1 << (i % WORD_BITS);
}

static const struct prg_col *key_col(const struct prg_bulk *b, int k) {
  return &b->table->cols[b->key->cols[k]];
}

static bool is_key_col(const struct prg_bulk *b, const struct prg_col *c) {
  int k;
  for (k = 0; b->key != NULL && k < b->key->ncols; k++)
    if (key_col(b, k) == c) return true;
  return false;
}

/* ---- one record --------------------------------------------------------- */

/* The column named by the string at `i`. Keys of records are interned, and the
** list keeps them alive, so that the address finds it; comparing the text too
** costs little and needs no trust in that. */
static const struct prg_col *find_column(lua_State *L, struct reading *d,
                                         int i) {
  size_t n, h;
  const char *s = lua_tolstring(L, i, &n);
  const struct prg_col *c;
  h = ((uintptr_t)s >> 4 ^ (uintptr_t)s >> 12) & d->name_mask;
  c = d->names[h].col;
  if (d->names[h].p == s && c->name.n == n && memcmp(c->name.p, s, n) == 0)
    return c;
  c = prg_table_col(d->r.table, s, n);
  if (c == NULL) {
    prg_unknown_column(L, &d->r, own_title, s);
    return NULL;
  }
  d->names[h].p = s;
  d->names[h].col = c;
  return c;
}

/* Columns that are looked at: of a delete, only the key. */
static bool is_wanted(const struct reading *d, const struct prg_col *c) {
  return d->b->mode != PRG_BULK_DELETE || is_key_col(d->b, c);
}

/* The record has a fragment, or DEFAULT. */
static void set_raw(struct reading *d, const struct prg_col *c,
                    const struct prg_raw *raw) {
  if (!d->raw) memset(d->raws, 0, (size_t)d->r.table->ncols * sizeof *d->raws);
  d->raw = true;
  d->raws[c->index] = raw;
  memset(&d->cells[c->index], 0, sizeof d->cells[c->index]);
  give(d, c);
}

/* What is not named is inserted as DEFAULT anyway; in a row that is there it
** would stay as it is. */
static void read_default(lua_State *L, struct reading *d,
                         const struct prg_col *c) {
  const struct prg_bulk *b = d->b;
  size_t k;
  for (k = 0; k < b->nscope; k++)
    if (b->scope_cols[k] == c)
      prg_usage(L, "%s: the scope has another value for this column",
                c->name.p);
  if (b->mode != PRG_BULK_INSERT && !is_key_col(b, c))
    set_raw(d, c, &prg_bulk_default);
}

static void read_fragment(lua_State *L, struct reading *d,
                          const struct prg_col *c) {
  if (is_key_col(d->b, c))
    prg_usage(L, "%s: a fragment of SQL cannot be the key of a record",
              c->name.p);
  set_raw(d, c, prg_read_raw(L, &d->r, lua_gettop(L)));
}

/* The value on top, for the column. */
static void read_cell(lua_State *L, struct reading *d,
                      const struct prg_col *c) {
  int type = lua_type(L, -1);
  if (!is_wanted(d, c)) return;
  if (c->generated && d->b->mode != PRG_BULK_DELETE)
    prg_usage(L, "%s: the database computes this column, it cannot be set",
              c->name.p);
  if (type == LUA_TUSERDATA && prg_is_default(L, -1)) {
    read_default(L, d, c);
  } else if (type == LUA_TUSERDATA && prg_is_raw(L, -1)) {
    read_fragment(L, d, c);
  } else {
    struct prg_value *cell = &d->cells[c->index];
    give(d, c);
    if (!prg_read_plain(L, type, c, cell))
      prg_column_value(L, &d->r, lua_gettop(L), c, cell);
  }
}

static void refuse_key(lua_State *L) {
  prg_usage(L,
            "a record is a table of columns by name; this one has a key of "
            "type %s",
            luaL_typename(L, -2));
}

/* A record by name at `t`. */
static void read_fields(lua_State *L, struct reading *d, int t) {
  lua_pushnil(L);
  while (lua_next(L, t) != 0) {
    if (lua_type(L, -2) != LUA_TSTRING) refuse_key(L);
    read_cell(L, d, find_column(L, d, -2));
    lua_settop(L, t + 1);
  }
}

/* A key alone, for delete: a scalar, or the columns by position. */
static bool read_bare_key(lua_State *L, struct reading *d, int t) {
  const struct prg_bulk *b = d->b;
  size_t n = 0;
  int k;
  bool is_table =
      lua_type(L, t) == LUA_TTABLE &&
      (prg_wrap_of(L, t) == PRG_W_PLAIN || prg_wrap_of(L, t) == PRG_W_OTHER);
  if (is_table && lua_rawlen(L, t) == 0) return false;
  if (!is_table && b->key->ncols != 1)
    prg_usage(L, "the key has %d columns, and this is one value: give { … }",
              b->key->ncols);
  if (is_table) {
    const char *wrong = prg_list_check(L, t, &n);
    if (wrong != NULL || n != (size_t)b->key->ncols)
      prg_usage(L, "a list of the %d columns of the key is expected",
                b->key->ncols);
  }
  for (k = 0; k < b->key->ncols; k++) {
    if (is_table)
      lua_rawgeti(L, t, k + 1);
    else
      lua_pushvalue(L, t);
    read_cell(L, d, key_col(b, k));
    lua_settop(L, t);
  }
  return true;
}

/* The columns of the scope: they have its values. In an update only those of the
** key are added, the others are not to be written. */
static void apply_scope(lua_State *L, struct reading *d) {
  const struct prg_bulk *b = d->b;
  size_t k;
  for (k = 0; k < b->nscope; k++) {
    const struct prg_col *c = b->scope_cols[k];
    bool is_given = has(d->given, c);
    if (is_given && ((d->raw && d->raws[c->index] != NULL) ||
                     !prg_same_value(&d->cells[c->index], &b->scope_values[k])))
      prg_usage(L, "%s: the scope has another value for this column",
                c->name.p);
    if (is_given) continue;
    if (b->mode != PRG_BULK_INSERT && b->mode != PRG_BULK_UPSERT &&
        !is_key_col(b, c))
      continue;
    give(d, c);
    if (d->raw) d->raws[c->index] = NULL;
    d->cells[c->index] = b->scope_values[k];
  }
}

/* Is the key left to the database? Raises usage when it cannot be. */
static bool key_is_absent(lua_State *L, struct reading *d) {
  const struct prg_bulk *b = d->b;
  bool absent = false;
  int k;
  for (k = 0; k < b->key->ncols; k++) {
    const struct prg_col *c = key_col(b, k);
    if (has(d->given, c)) {
      if (d->cells[c->index].type == PRG_NULL)
        prg_usage(L, "%s: a column of the key cannot be NULL here", c->name.p);
      continue;
    }
    if (b->mode != PRG_BULK_UPSERT || !c->has_default)
      prg_usage(L, "%s: the key is missing", c->name.p);
    absent = true;
  }
  return absent;
}

/* What `set` names is set to what the record has; what it does not have is not
** taken for NULL or DEFAULT. */
static void check_set(lua_State *L, const struct reading *d) {
  const struct prg_bulk *b = d->b;
  size_t i;
  for (i = 0; i < b->nsets; i++)
    if (!has(d->given, b->sets[i]) && !is_key_col(b, b->sets[i]))
      prg_usage(L, "set: the record has no %s", b->sets[i]->name.p);
}

static bool sets_something(const struct reading *d) {
  int i;
  for (i = 0; i < d->r.table->ncols; i++) {
    const struct prg_col *c = &d->r.table->cols[i];
    if (has(d->given, c) && !is_key_col(d->b, c)) return true;
  }
  return false;
}

/* ---- groups ------------------------------------------------------------- */

/* Of arrays unnest takes the members, of composite types (OTHER) the fields. */
static bool can_unnest(const struct prg_bulk_group *g) {
  size_t i;
  if (g->ncols == 0) return false;
  for (i = 0; i < g->ncols; i++)
    if (g->cols[i]->cls == PRG_CLASS_ARRAY ||
        g->cols[i]->cls == PRG_CLASS_OTHER)
      return false;
  return true;
}

static enum prg_bulk_form choose_form(const struct prg_bulk *b,
                                      const struct prg_bulk_group *g,
                                      bool raw) {
  bool unnest = (b->dialect->build & PRG_BUILD_UNNEST) != 0;
  bool inserts = b->mode == PRG_BULK_INSERT || b->mode == PRG_BULK_UPSERT;
  if (raw) return PRG_BULK_SINGLE;
  if (b->mode == PRG_BULK_DELETE)
    return b->key->ncols == 1 ? PRG_BULK_LISTS : PRG_BULK_BATCH;
  if (inserts && (b->apart || (b->returning.mark && !g->fresh)))
    return g->ncols > 0 ? PRG_BULK_VALUES : PRG_BULK_SINGLE;
  if (unnest && can_unnest(g)) return PRG_BULK_LISTS;
  if (unnest && inserts && g->ncols > 0) return PRG_BULK_VALUES;
  return b->collects || !inserts || !b->returning.any ? PRG_BULK_BATCH
                                                      : PRG_BULK_SINGLE;
}

/* The columns of the group, those of the key apart: in unnest they are
** the first, in SET … WHERE the last parameters. */
static void order_columns(const struct reading *d, struct prg_bulk_group *g,
                          bool key_first) {
  const struct prg_bulk *b = d->b;
  bool apart = b->mode == PRG_BULK_UPDATE || b->mode == PRG_BULK_DELETE;
  size_t nkey = apart ? (size_t)b->key->ncols : 0;
  size_t n = key_first ? nkey : 0, k;
  int i;
  for (i = 0; i < b->table->ncols; i++) {
    const struct prg_col *c = &b->table->cols[i];
    if (!has(g->given, c) || (nkey > 0 && is_key_col(b, c))) continue;
    g->cols[n++] = c;
  }
  for (k = 0; k < nkey; k++)
    g->cols[key_first ? k : n + k] = key_col(b, (int)k);
}

/* `bucket` is where it belongs. */
static struct prg_bulk_group *new_group(lua_State *L, struct reading *d,
                                        bool fresh,
                                        struct prg_bulk_group **bucket) {
  struct prg_bulk *b = d->b;
  struct prg_bulk_group *g = need(L, d, 1, sizeof *g);
  uint64_t *given = need(L, d, d->words, sizeof *given);
  int i;
  memset(g, 0, sizeof *g);
  memcpy(given, d->given, d->words * sizeof *given);
  g->given = given;
  g->fresh = fresh;
  for (i = 0; i < b->table->ncols; i++)
    g->ncols += has(given, &b->table->cols[i]);
  g->cols = need(L, d, g->ncols, sizeof *g->cols);
  order_columns(d, g, true);
  g->form = choose_form(b, g, d->raw);
  order_columns(d, g, g->form == PRG_BULK_LISTS);
  if (d->raw) {
    g->raws = need(L, d, g->ncols, sizeof *g->raws);
    for (i = 0; i < (int)g->ncols; i++) g->raws[i] = d->raws[g->cols[i]->index];
  } else {
    g->same = *bucket;
    *bucket = g;
  }
  if (b->last == NULL)
    b->first = g;
  else
    b->last->next = g;
  b->last = g;
  b->ngroups++;
  return g;
}

static bool belongs(const struct reading *d, const struct prg_bulk_group *g,
                    bool fresh) {
  return g->raws == NULL && g->fresh == fresh &&
         memcmp(g->given, d->given, d->words * sizeof *d->given) == 0;
}

static struct prg_bulk_group *find_group(lua_State *L, struct reading *d,
                                         bool fresh) {
  struct prg_bulk *b = d->b;
  struct prg_bulk_group *g = b->last;
  uint64_t h = 0;
  size_t i;
  if (g != NULL && !d->raw && belongs(d, g, fresh)) return g;
  for (i = 0; i < d->words; i++)
    h = (h ^ d->given[i]) * UINT64_C(0x9e3779b97f4a7c15);
  h = (h >> 32) % PRG_BULK_BUCKETS;
  for (g = b->buckets[h]; g != NULL && !d->raw; g = g->same)
    if (belongs(d, g, fresh)) return g;
  return new_group(L, d, fresh, &b->buckets[h]);
}

static void *grown(lua_State *L, const struct reading *d, const void *old,
                   size_t n, size_t size) {
  void *p = need(L, d, n, size);
  if (old != NULL) memcpy(p, old, n / 2 * size);
  return p;
}

/* Room for one more record. The first group is likely to be the only one. */
static void make_room(lua_State *L, struct reading *d,
                      struct prg_bulk_group *g) {
  size_t cap = g->cap * 2, i;
  if (g->n < g->cap) return;
  if (cap == 0) cap = g->raws != NULL ? 1 : g == d->b->first ? d->b->n : 16;
  g->places = grown(L, d, g->places, cap, sizeof *g->places);
  if (g->form != PRG_BULK_LISTS) {
    g->rows = grown(L, d, g->rows, cap * g->ncols, sizeof *g->rows);
    g->cap = cap;
    return;
  }
  if (g->lists == NULL) {
    g->lists = need(L, d, g->ncols, sizeof *g->lists);
    g->list_of = need(L, d, g->ncols, sizeof *g->list_of);
    memset(g->lists, 0, g->ncols * sizeof *g->lists);
    for (i = 0; i < g->ncols; i++) {
      g->lists[i].ndim = 1;
      g->list_of[i] = &g->lists[i];
    }
  }
  for (i = 0; i < g->ncols; i++)
    g->lists[i].items =
        grown(L, d, g->lists[i].items, cap, sizeof *g->lists[i].items);
  g->cap = cap;
}

static void add_record(lua_State *L, struct reading *d,
                       struct prg_bulk_group *g) {
  size_t i;
  make_room(L, d, g);
  g->places[g->n] = d->record - 1;
  if (g->form == PRG_BULK_LISTS) {
    for (i = 0; i < g->ncols; i++) {
      g->lists[i].items[g->n] = d->cells[g->cols[i]->index];
      g->lists[i].n = g->n + 1;
    }
  } else {
    struct prg_value *row = g->rows + g->n * g->ncols;
    for (i = 0; i < g->ncols; i++) row[i] = d->cells[g->cols[i]->index];
  }
  g->n++;
}

/* ---- keys that are there twice ------------------------------------------ */

/* "5, a": the values of the key of the present record. */
static void print_key(const struct reading *d, char *out, size_t size) {
  const struct prg_bulk *b = d->b;
  size_t n = 0;
  int k;
  for (k = 0; k < b->key->ncols; k++) {
    if (k > 0 && n + 2 < size) {
      memcpy(out + n, ", ", 2);
      n += 2;
    }
    n += prg_bulk_print(&d->cells[key_col(b, k)->index], out + n, size - n);
  }
}

static void refuse_twin(lua_State *L, const struct reading *d,
                        const struct place *first) {
  char names[256], values[160];
  size_t n = 0;
  int k;
  names[0] = '\0';
  for (k = 0; k < d->b->key->ncols && n < sizeof names; k++) {
    int w = snprintf(names + n, sizeof names - n, "%s%s", k > 0 ? ", " : "",
                     key_col(d->b, k)->name.p);
    if (w > 0) n += (size_t)w;
  }
  print_key(d, values, sizeof values);
  prg_usage(L, "the key (%s) = (%s) is that of record %d too", names, values,
            (int)first->group->places[first->row] + 1);
}

/* Where the columns of the key are in the group. */
static void locate_key(struct reading *d, const struct prg_bulk_group *g) {
  int k;
  size_t i;
  if (d->keyed == g) return;
  d->keyed = g;
  for (k = 0; k < d->b->key->ncols; k++)
    for (i = 0; i < g->ncols; i++)
      if (g->cols[i] == key_col(d->b, k)) d->key_at[k] = i;
}

static bool same_key(struct reading *d, const struct place *p) {
  int k;
  locate_key(d, p->group);
  for (k = 0; k < d->b->key->ncols; k++)
    if (!prg_same_value(prg_bulk_cell(p->group, p->row, d->key_at[k]),
                        &d->cells[key_col(d->b, k)->index]))
      return false;
  return true;
}

/* Remembers the key of the record that was added last to the group. */
static void note_key(lua_State *L, struct reading *d,
                     const struct prg_bulk_group *g) {
  uint64_t h = 0;
  int k;
  for (k = 0; k < d->b->key->ncols; k++) {
    const struct prg_value *v = &d->cells[key_col(d->b, k)->index];
    h = h * 31 + prg_bulk_hash(v);
  }
  for (;; h++) {
    struct place *p = &d->places[h & d->place_mask];
    if (p->group == NULL) {
      p->group = g;
      p->row = g->n - 1;
      return;
    }
    if (same_key(d, p)) refuse_twin(L, d, p);
  }
}

/* ---- the list ----------------------------------------------------------- */

static void check_record(lua_State *L, int t) {
  if (!prg_is_record(L, t))
    prg_usage(L, "a record is a table of columns, not %s",
              prg_wrap_describe(L, t));
}

/* The record on top. */
static void read_record(lua_State *L, struct reading *d) {
  struct prg_bulk *b = d->b;
  struct prg_bulk_group *g;
  bool fresh = false, is_delete = b->mode == PRG_BULK_DELETE;
  int t = lua_gettop(L);
  memset(d->given, 0, d->words * sizeof *d->given);
  d->raw = false;
  if (!is_delete || !read_bare_key(L, d, t)) {
    check_record(L, t);
    read_fields(L, d, t);
  }
  if (b->nscope > 0) apply_scope(L, d);
  if (b->key != NULL) fresh = key_is_absent(L, d);
  if (!fresh) check_set(L, d);
  if (b->mode == PRG_BULK_UPDATE && !sets_something(d))
    prg_usage(L, "there is nothing to set: the record has only the key");
  g = find_group(L, d, fresh);
  add_record(L, d, g);
  if (d->places != NULL && !fresh) note_key(L, d, g);
}

static void prepare(lua_State *L, struct reading *d) {
  const struct prg_bulk *b = d->b;
  size_t ncols = (size_t)b->table->ncols, n;
  n = table_size(2 * ncols);
  d->names = need(L, d, n, sizeof *d->names);
  memset(d->names, 0, n * sizeof *d->names);
  d->name_mask = n - 1;
  d->cells = need(L, d, ncols, sizeof *d->cells);
  d->raws = need(L, d, ncols, sizeof *d->raws);
  d->words = ncols / WORD_BITS + 1;
  d->given = need(L, d, d->words, sizeof *d->given);
  if (b->key == NULL) return;
  d->key_at = need(L, d, (size_t)b->key->ncols, sizeof *d->key_at);
  if (b->mode == PRG_BULK_DELETE) return;
  n = table_size(b->n);
  d->places = need(L, d, n, sizeof *d->places);
  memset(d->places, 0, n * sizeof *d->places);
  d->place_mask = n - 1;
}

/* (reading, list) under pcall */
static int read_list(lua_State *L) {
  struct reading *d = lua_touserdata(L, 1);
  size_t i;
  prepare(L, d);
  for (i = 1; i <= d->b->n; i++) {
    d->record = i;
    lua_rawgeti(L, 2, (int)i);
    read_record(L, d);
    lua_settop(L, 2);
  }
  return 0;
}

/* The error on top is raised again; its message names the record. */
static int raise_for_record(lua_State *L, size_t record) {
  if (record > 0 && lua_istable(L, -1)) {
    prg_wrap_field(L, -1, "kind");
    prg_wrap_field(L, -2, "message");
    if (lua_type(L, -2) == LUA_TSTRING && lua_type(L, -1) == LUA_TSTRING &&
        strcmp(lua_tostring(L, -2), "usage") == 0) {
      const char *text = lua_tostring(L, -1);
      size_t n = sizeof own_title - 1;
      if (strncmp(text, own_title, n) == 0 && text[n] == ':') text += n + 2;
      lua_pushfstring(L, "%s %d: %s", own_title, (int)record, text);
      lua_setfield(L, -4, "message");
    }
    lua_pop(L, 2);
  }
  return lua_error(L);
}

/* How many statements each group takes. */
static void count_steps(struct prg_bulk *b) {
  struct prg_bulk_group *g;
  for (g = b->first; g != NULL; g = g->next) {
    size_t per = g->n;
    if (g->form == PRG_BULK_SINGLE) per = 1;
    if (g->form == PRG_BULK_VALUES) per = VALUES_PARAMS / g->ncols;
    if (b->apart && per > APART_ROWS) per = APART_ROWS;
    if (per == 0) per = 1;
    g->per_step = per;
    g->first_step = b->nsteps;
    b->nsteps += (g->n + per - 1) / per;
  }
}

void prg_bulk_read(lua_State *L, struct prg_bulk *b, struct prg_db *db, int i) {
  struct reading d;
  const char *wrong;
  if (lua_type(L, i) != LUA_TTABLE)
    prg_usage(L, "a list of records is expected, not %s",
              prg_wrap_describe(L, i));
  wrong = prg_list_check(L, i, &b->n);
  if (wrong != NULL) prg_usage(L, "a list of records is expected: %s", wrong);
  if (b->n > INT32_MAX)
    prg_usage(L, "the list has too many records for one call");
  memset(&d, 0, sizeof d);
  d.b = b;
  d.r.db = db;
  d.r.table = b->table;
  d.r.arena = &b->arena;
  lua_pushcfunction(L, read_list);
  lua_pushlightuserdata(L, &d);
  lua_pushvalue(L, i);
  if (lua_pcall(L, 2, 0, 0) != LUA_OK) {
    prg_arena_fini(&b->arena); /* much, and the collector does not know */
    b->n = b->nsteps = 0;
    raise_for_record(L, d.record);
  }
  count_steps(b);
}
