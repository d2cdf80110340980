/*
** Verbs on one table: how every such verb runs (options, the statement found by
** its key or built, the call of lcall.c), and those that write. lselect.c has
** those that read; what takes several statements is made of them in Lua.
**
** core.crud.insert has a fifth argument, a table of what only the Lua part says:
**   conflict  "nothing" or "update": what happens when a row with the same key
**             is there; nil is returned when no row was written
**   key       the columns of that key, by name; without it (and "nothing") any
**   set       "update": a list of columns, set to what the insert would have
**             written, or { column = value }. nil: all columns given but those of
**             the key. {}: the row stays as it is
**   created   the row has a field "perigee:created", where the dialect can tell
**   mark      the row has a field "perigee:mark" (prg_returning in sql/build.h)
**   whole     all columns are returned, as hooks need them, whatever `returning`
**             says (which is checked nevertheless)
**   apart     rows are read by another statement: `returning` is only checked, and
**             the result is that of execute(). With `mark` last_id says what the
**             insert ran into (PRG_MARK_ in sql/build.h)
*/
#include "bind/crud_int.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <strings.h>

#include "base/mem.h"

enum { KEEP = 100000 }; /* bytes of the emitter's memory, between calls */

/* Hits are built again and compared (the environment has
** PERIGEE_CHECK_SHAPES=1). */
static atomic_bool check_shapes;

/* ---- the statement ------------------------------------------------------ */

static void drop_sql(void *sql) {
  prg_sql_unref(sql);
}

void prg_emitter_free(struct prg_emit *e) {
  if (e == NULL) return;
  prg_emit_fini(e);
  prg_free(e);
}

/* The state's emitter, empty, for the parameters of this operation. */
static struct prg_emit *start_emitter(lua_State *L, struct prg_op *op) {
  struct prg_state *G = op->db->G;
  struct prg_emit *e = G->emit;
  if (e == NULL) {
    e = prg_alloc(sizeof *e);
    if (e == NULL) prg_raise(L, prg_error_oom());
    prg_emit_init(e, op->table->dialect, PRG_EMIT_KEY, &op->arena);
    G->emit = e;
  }
  if (e->out.cap > KEEP) { /* one long list is no reason to keep so much */
    prg_emit_fini(e);
    prg_emit_init(e, op->table->dialect, PRG_EMIT_KEY, &op->arena);
  }
  e->d = op->table->dialect;
  e->arena = &op->arena;
  e->params = NULL; /* they were in another arena */
  e->cap = 0;
  prg_emit_restart(e, PRG_EMIT_KEY);
  return e;
}

static void check_emitter(lua_State *L, struct prg_emit *e) {
  struct prg_error *err = NULL;
  if (prg_emit_check(e, &err) != PRG_OK) prg_raise(L, err);
}

static bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         (c >= '0' && c <= '9') || c == '_';
}

/* Does the word stand in the text, in any case? Between the dialect's quotes of names
** it is passed over, unless `quote` is 0: the builder quotes all its names. */
static bool has_word(const char *sql, const char *word, char quote) {
  size_t n = strlen(word);
  bool quoted = false, inside = false; /* of a longer word */
  for (; *sql != '\0'; sql++) {
    if (*sql == quote) quoted = !quoted;
    if (!quoted && !inside && strncasecmp(sql, word, n) == 0 &&
        !is_letter(sql[n]))
      return true;
    inside = is_letter(*sql);
  }
  return false;
}

/* As the scanner would say of the same text. */
static unsigned flags_of(const struct prg_dialect *d, const char *sql,
                         bool locking) {
  const char *const *t;
  unsigned f = 0;
  if (strncmp(sql, "SELECT", 6) == 0)
    f = locking ? 0 : PRG_STMT_READ;
  else if (strncmp(sql, "INSERT", 6) == 0 &&
           !has_word(sql, "SELECT", d->ident_quote))
    f = PRG_STMT_VALUES;
  for (t = d->touch; t != NULL && *t != NULL; t++)
    if (has_word(sql, *t, 0)) f |= PRG_STMT_TOUCH;
  return f;
}

/* The text in the emitter, with what is known of parameters and results. NULL
** without memory. */
static struct prg_stmt *new_stmt(const struct prg_emit *e,
                                 const struct prg_table *t, bool locking) {
  struct prg_stmt *s =
      prg_stmt_new(e->out.data, e->out.len,
                   flags_of(e->d, e->out.data, locking), (int)e->nparams);
  bool ok = s != NULL;
  if (ok && e->nparams > 0) {
    s->typed = (unsigned char *)prg_memdup(e->typed.data, e->typed.len);
    ok = s->typed != NULL;
  }
  if (ok && t->types != NULL)
    ok = prg_stmt_set_types(s, t->types, t->ntypes) == PRG_OK;
  if (ok) return s;
  prg_stmt_unref(s);
  return NULL;
}

/* What the emitter has written, as a statement. NULL without memory. */
static struct prg_sql *new_sql(const struct prg_emit *e,
                               const struct prg_table *t, bool locking) {
  struct prg_sql *s = prg_calloc(1, sizeof *s);
  size_t n = 0;
  if (s == NULL) return NULL;
  s->refs = 1;
  s->stmt = new_stmt(e, t, locking);
  if (s->stmt == NULL) {
    prg_sql_unref(s);
    return NULL;
  }
  while (n < sizeof s->scan.keyword - 1 && e->out.data[n] >= 'A' &&
         e->out.data[n] <= 'Z')
    n++;
  memcpy(s->scan.keyword, e->out.data, n);
  s->scan.nparams = (int)e->nparams;
  s->scan.locking = locking;
  return s;
}

struct work {
  void (*emit)(struct prg_emit *, const void *);
  const void *what;
  bool locking; /* SELECT … FOR UPDATE: not for a reader */
};

/* The key is in the emitter: builds the text, as op->sql, and remembers it. */
static void build(lua_State *L, struct prg_op *op, struct prg_emit *e,
                  const struct work *w) {
  size_t len = e->out.len;
  char *key = prg_arena_dup(&op->arena, e->out.data, len);
  if (key == NULL) prg_raise(L, prg_error_oom());
  prg_emit_restart(e, PRG_EMIT_TEXT);
  w->emit(e, w->what);
  check_emitter(L, e);
  op->sql = new_sql(e, op->table, w->locking);
  if (op->sql == NULL) prg_raise(L, prg_error_oom());
  op->sql->refs++; /* the table's */
  if (prg_shapes_put(op->table->shapes, key, len, op->sql, drop_sql) != PRG_OK)
    prg_raise(L, prg_error_oom());
}

/* Is what was found what would be built? */
static void verify(lua_State *L, struct prg_op *op, struct prg_emit *e,
                   const struct work *w) {
  const struct prg_stmt *s = op->sql->stmt;
  prg_emit_restart(e, PRG_EMIT_TEXT);
  w->emit(e, w->what);
  check_emitter(L, e);
  if (e->out.len == s->len && memcmp(e->out.data, s->sql, s->len) == 0 &&
      (int)e->nparams == s->nparams && e->typed.len == e->nparams &&
      (s->nparams == 0 || memcmp(e->typed.data, s->typed, e->nparams) == 0))
    return;
  prg_raise(L, prg_error_new(PRG_K_DATABASE,
                             "two statements have one key: %.400s -- %.400s",
                             s->sql, e->out.data));
}

/* Sets op->sql and gives the parameters, which are in the operation's arena. */
static const struct prg_value *prepare(lua_State *L, struct prg_op *op,
                                       const struct work *w) {
  struct prg_emit *e = start_emitter(L, op);
  struct prg_sql *s;
  w->emit(e, w->what);
  check_emitter(L, e);
  s = prg_shapes_get(op->table->shapes, e->out.data, e->out.len);
  if (s == NULL) {
    build(L, op, e, w);
  } else {
    s->refs++;
    op->sql = s;
    if (atomic_load_explicit(&check_shapes, memory_order_relaxed))
      verify(L, op, e, w);
  }
  return e->params;
}

int prg_crud_run(lua_State *L, struct prg_op *op,
                 void (*emit)(struct prg_emit *, const void *),
                 const void *what) {
  const struct work w = {emit, what, false};
  return prg_call_run(L, op, prepare(L, op, &w), 0);
}

static void emit_select(struct prg_emit *e, const void *what) {
  prg_emit_select(e, what);
}

int prg_crud_run_select(lua_State *L, struct prg_op *op,
                        const struct prg_select *s) {
  const struct work w = {emit_select, s, s->lock != PRG_LOCK_NONE};
  return prg_call_run(L, op, prepare(L, op, &w), 0);
}

int prg_crud_run_batch(lua_State *L, struct prg_op *op,
                       void (*emit)(struct prg_emit *, const void *),
                       const void *what, const struct prg_value *sets,
                       size_t nsets) {
  const struct work w = {emit, what, false};
  (void)prepare(L, op, &w);
  op->sql->stmt->lane = PRG_LANE_WRITE;
  return prg_call_run_batch(L, op, sets, nsets, op->verb != PRG_VERB_COUNT);
}

/* ---- the start of a verb ------------------------------------------------ */

struct prg_op *prg_crud_begin(lua_State *L, enum prg_verb_kind verb,
                              struct prg_reader *r) {
  struct prg_op *op = prg_call_begin(L, verb);
  const struct prg_table *t = prg_tinfo_check(L, PRG_A_TABLE);
  if (t->dialect != op->db->dialect)
    prg_usage(L, "the handle of %s is of another kind of database", t->title.p);
  op->table = prg_table_ref((struct prg_table *)(uintptr_t)t);
  r->db = op->db;
  r->table = t;
  r->arena = &op->arena;
  prg_call_defaults(op);
  return op;
}

int prg_crud_resumed(lua_State *L, bool *resumed) {
  struct prg_op *op = prg_call_resumed(L);
  *resumed = op != NULL;
  return op != NULL ? prg_op_run(L, op) : PRG_PENDING;
}

static bool gives_rows(const struct prg_op *op) {
  return op->verb != PRG_VERB_COUNT && op->verb != PRG_VERB_EXISTS;
}

/* "unknown option …: allowed are …" */
static int refuse_option(lua_State *L, const struct prg_op *op,
                         const struct prg_option *own, const char *key) {
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  for (; own->name != NULL; own++) {
    luaL_addstring(&b, own->name);
    luaL_addstring(&b, ", ");
  }
  luaL_addstring(&b, gives_rows(op) ? "timeout, rows, class" : "timeout");
  luaL_pushresult(&b);
  return prg_usage(L, "unknown option \"%s\": allowed %s %s", key,
                   strchr(lua_tostring(L, -1), ',') != NULL ? "are" : "is",
                   lua_tostring(L, -1));
}

static struct prg_option *find_option(struct prg_option *own, const char *key) {
  for (; own->name != NULL; own++)
    if (strcmp(own->name, key) == 0) return own;
  return NULL;
}

/* The option whose key and value are on top; one of `own` is only found. */
static struct prg_option *read_option(lua_State *L, struct prg_op *op,
                                      struct prg_option *own) {
  struct prg_option *found;
  const char *key;
  if (lua_type(L, -2) != LUA_TSTRING)
    prg_usage(L, "the options have a key of type %s", luaL_typename(L, -2));
  key = lua_tostring(L, -2);
  found = find_option(own, key);
  if (found != NULL) return found;
  if (!gives_rows(op) && strcmp(key, "timeout") != 0)
    refuse_option(L, op, own, key);
  if (!prg_call_option(L, op, key)) refuse_option(L, op, own, key);
  return NULL;
}

void prg_crud_options(lua_State *L, struct prg_op *op, int i,
                      struct prg_option *own) {
  int top = lua_gettop(L), slot = top;
  struct prg_option *o;
  luaL_checkstack(L, 24, "options");
  for (o = own; o->name != NULL; o++) o->at = 0;
  if (lua_isnil(L, i)) return;
  if (lua_type(L, i) != LUA_TTABLE)
    prg_usage(L, "the options must be a table, not %s", luaL_typename(L, i));
  op->opts = i;
  lua_settop(L, top + (int)(o - own)); /* a place for each of them */
  lua_pushnil(L);
  while (lua_next(L, i) != 0) {
    o = read_option(L, op, own);
    if (o != NULL) {
      o->at = ++slot;
      lua_replace(L, slot);
    } else {
      lua_pop(L, 1);
    }
  }
  if (op->shape == PRG_SHAPE_COLUMNS && op->verb != PRG_VERB_QUERY)
    prg_usage(L, "rows = \"columns\" is for lists of rows");
  lua_settop(L, slot);
}

/* ---- no row, or too many ------------------------------------------------ */

static void add_value(struct prg_buf *b, const struct prg_value *v) {
  switch (v->type) {
    case PRG_INT:
      prg_buf_addf(b, "%lld", (long long)v->u.i);
      break;
    case PRG_DOUBLE:
      prg_buf_addf(b, "%.17g", v->u.d);
      break;
    case PRG_BOOL:
      prg_buf_adds(b, v->u.b ? "true" : "false");
      break;
    case PRG_TEXT:
    case PRG_DECIMAL:
      prg_buf_addf(b, "\"%.*s\"", v->u.s.n > 60 ? 60 : (int)v->u.s.n, v->u.s.p);
      break;
    default:
      prg_buf_adds(b, "…");
  }
}

/* "id = 7 and …": the equalities of a key. */
static void add_key(struct prg_buf *b, const struct prg_cond *c) {
  const struct prg_cond *part;
  if (c->kind == PRG_COND_CMP) {
    if (b->len > 0) prg_buf_adds(b, " and ");
    prg_buf_add(b, c->col->name.p, c->col->name.n);
    prg_buf_adds(b, " = ");
    add_value(b, &c->u.cmp.to.value);
  } else if (c->kind == PRG_COND_AND) {
    for (part = c->u.parts; part != NULL; part = part->next) add_key(b, part);
  }
}

struct prg_error *prg_crud_refusal(const struct prg_op *op, bool none) {
  const struct prg_table *t = op->table;
  struct prg_error *e;
  struct prg_buf key;
  prg_buf_init(&key, 4096);
  if (op->key != NULL) add_key(&key, op->key);
  if (key.failed || key.len == 0)
    e = none
            ? prg_error_new(PRG_K_NOT_FOUND, "%s: no row was found", t->title.p)
            : prg_error_new(PRG_K_NOT_UNIQUE, "%s: more than one row was found",
                            t->title.p);
  else
    e = prg_error_new(none ? PRG_K_NOT_FOUND : PRG_K_NOT_UNIQUE,
                      none ? "%s: there is no row with %s"
                           : "%s: there are several rows with %s",
                      t->title.p, key.data);
  prg_buf_fini(&key);
  prg_error_set(e, PRG_EF_TABLE, t->name.p);
  if (t->schema.p != NULL) prg_error_set(e, PRG_EF_SCHEMA, t->schema.p);
  return e;
}

void *prg_crud_need(lua_State *L, const struct prg_reader *r, size_t n,
                    size_t size) {
  void *p = prg_arena_alloc(r->arena, n * size + 1);
  if (p == NULL) prg_raise(L, prg_error_oom());
  memset(p, 0, n * size + 1);
  return p;
}

const struct prg_cond *prg_crud_scoped(lua_State *L, const struct prg_reader *r,
                                       struct prg_cond *c) {
  return prg_cond_both(L, r->arena, c, prg_read_scope(L, r, PRG_A_TABLE));
}

/* An option that is true or false. */
static bool read_flag(lua_State *L, const struct prg_option *o) {
  if (o->at == 0) return false;
  if (!lua_isboolean(L, o->at))
    prg_usage(L, "%s: true or false is expected, not %s", o->name,
              luaL_typename(L, o->at));
  return lua_toboolean(L, o->at);
}

/* ---- writing ------------------------------------------------------------ */

/* `returning`, absent: `standard`; false, true, or a list of columns. */
static void read_returning(lua_State *L, const struct prg_reader *r,
                           const struct prg_option *o, bool standard,
                           struct prg_returning *out) {
  out->any = standard;
  if (o->at == 0) return;
  if (lua_isboolean(L, o->at)) {
    out->any = lua_toboolean(L, o->at);
    return;
  }
  if (lua_type(L, o->at) != LUA_TTABLE)
    prg_usage(L,
              "returning: true, false or a list of columns is expected, not "
              "%s",
              luaL_typename(L, o->at));
  out->any = true;
  out->cols = prg_read_columns(L, r, o->at, "returning", &out->ncols);
  if (out->ncols == 0) prg_usage(L, "returning: the list of columns is empty");
}

/* The verb gives rows, or the count of them. */
static void set_verb(lua_State *L, struct prg_op *op, bool rows,
                     enum prg_verb_kind verb) {
  if (!rows && (op->class || op->shape != PRG_SHAPE_RECORD))
    prg_usage(L,
              "rows and class are for rows, and without `returning` there "
              "are none");
  op->verb = rows ? verb : PRG_VERB_COUNT;
}

/* The key that the columns listed at `i` are. */
static const struct prg_key *read_conflict_key(lua_State *L,
                                               const struct prg_reader *r,
                                               int i) {
  size_t k, n;
  const struct prg_col *const *cols = prg_read_columns(L, r, i, "key", &n);
  int *at = prg_crud_need(L, r, n, sizeof *at);
  const struct prg_key *key;
  for (k = 0; k < n; k++) at[k] = cols[k]->index;
  key = prg_table_key(r->table, at, (int)n);
  if (key == NULL) {
    const char *keys = prg_table_keys(r->table, r->arena);
    prg_refuse_known(L, "these columns are not a unique key of %s: it has %s",
                     r->table->title.p, keys != NULL ? keys : "?");
  }
  return key;
}

static bool is_in_key(const struct prg_table *t, const struct prg_key *key,
                      const struct prg_col *c) {
  int i;
  for (i = 0; i < key->ncols; i++)
    if (&t->cols[key->cols[i]] == c) return true;
  return false;
}

/* `set` as a list: what a row that is there gets is what the record has. */
static void check_set(lua_State *L, const struct prg_insert *s) {
  size_t i, k;
  for (i = 0; i < s->nfrom; i++) {
    for (k = 0; k < s->nsets && s->sets[k].col != s->from_row[i];) k++;
    if (k == s->nsets)
      prg_usage(L, "set: the record has no %s", s->from_row[i]->name.p);
  }
}

/* Without `set`: what is given, but for the key. */
static void set_given(lua_State *L, const struct prg_reader *r,
                      struct prg_insert *s) {
  const struct prg_col **cols = prg_crud_need(L, r, s->nsets, sizeof *cols);
  size_t i;
  for (i = 0; i < s->nsets; i++)
    if (!is_in_key(r->table, s->key, s->sets[i].col))
      cols[s->nfrom++] = s->sets[i].col;
  s->from_row = cols;
}

/* Is the table at `i` a list, or empty? */
static bool is_list(lua_State *L, int i) {
  if (lua_rawlen(L, i) > 0) return true;
  lua_pushnil(L);
  if (lua_next(L, i) == 0) return true;
  lua_pop(L, 2);
  return false;
}

/* The `set` at `i`. */
static void read_set(lua_State *L, const struct prg_reader *r, int i,
                     struct prg_insert *s) {
  if (lua_type(L, i) == LUA_TTABLE && is_list(L, i)) {
    s->from_row = prg_read_columns(L, r, i, "set", &s->nfrom);
    check_set(L, s);
  } else {
    s->updates = prg_read_values(L, r, i, PRG_A_TABLE, &s->nupdates);
  }
}

/* conflict, key and set. With "nothing" a `set` is only checked: the next attempt
** is to have it. */
static void read_conflict(lua_State *L, const struct prg_reader *r,
                          const struct prg_option own[3],
                          struct prg_insert *s) {
  const char *how;
  if (own[0].at == 0) return;
  how = lua_tostring(L, own[0].at);
  if (how == NULL ||
      (strcmp(how, "nothing") != 0 && strcmp(how, "update") != 0))
    prg_usage(L, "conflict: allowed are \"nothing\" and \"update\"");
  s->conflict = how[0] == 'n' ? PRG_CONFLICT_NOTHING : PRG_CONFLICT_UPDATE;
  if (own[1].at != 0) s->key = read_conflict_key(L, r, own[1].at);
  if (own[2].at != 0) read_set(L, r, own[2].at, s);
  if (s->conflict == PRG_CONFLICT_NOTHING) {
    s->nfrom = s->nupdates = 0;
    return;
  }
  if (s->key == NULL) prg_usage(L, "conflict = \"update\" needs a key");
  s->only = prg_read_scope(L, r, PRG_A_TABLE);
  if (own[2].at == 0) set_given(L, r, s);
}

static void emit_insert(struct prg_emit *e, const void *what) {
  prg_emit_insert(e, what);
}

/* on_conflict = "nothing" is the users' */
static void read_on_conflict(lua_State *L, int i, struct prg_insert *s) {
  const char *how;
  if (i == 0) return;
  how = lua_type(L, i) == LUA_TSTRING ? lua_tostring(L, i) : NULL;
  if (how == NULL || strcmp(how, "nothing") != 0)
    prg_usage(L, "on_conflict: allowed is \"nothing\" (upsert() updates)");
  s->conflict = PRG_CONFLICT_NOTHING;
}

/* What the Lua part says, in the table at `i` (nil: nothing). */
static void read_inner(lua_State *L, int i, struct prg_option *own) {
  if (!lua_istable(L, i)) return;
  luaL_checkstack(L, 12, "insert");
  for (; own->name != NULL; own++) {
    lua_getfield(L, i, own->name);
    own->at = lua_gettop(L);
    if (lua_isnil(L, -1)) own->at = 0;
  }
}

/* All columns, as hooks need them. */
static void return_whole(lua_State *L, struct prg_op *op,
                         struct prg_returning *out) {
  if (op->shape != PRG_SHAPE_RECORD)
    prg_usage(L, "rows: with hooks, rows are records");
  out->any = true;
  out->cols = NULL;
  out->ncols = 0;
  op->verb = PRG_VERB_FIRST;
}

/* What is returned is for another statement to read. */
static void read_apart(struct prg_op *op, struct prg_returning *out) {
  op->verb = PRG_VERB_EXECUTE;
  op->class = 0;
  op->shape = PRG_SHAPE_RECORD;
  out->any = false;
}

/* insert(x, h, record, opts, inner) -> row, nil where on_conflict kept one; the
** count with returning = false */
static int crud_insert(lua_State *L) {
  enum { O_RETURNING, O_ON_CONFLICT };
  enum { I_CONFLICT, I_KEY, I_SET, I_CREATED, I_MARK, I_WHOLE, I_APART };
  struct prg_option own[] = {{"returning", 0}, {"on_conflict", 0}, {NULL, 0}};
  struct prg_option inner[] = {{"conflict", 0}, {"key", 0},  {"set", 0},
                               {"created", 0},  {"mark", 0}, {"whole", 0},
                               {"apart", 0},    {NULL, 0}};
  struct prg_insert s = {.conflict = PRG_CONFLICT_ERROR};
  struct prg_reader r;
  struct prg_op *op;
  bool resumed;
  int n = prg_crud_resumed(L, &resumed);
  if (resumed) return n;
  lua_settop(L, PRG_A_THIRD);
  op = prg_crud_begin(L, PRG_VERB_FIRST, &r);
  prg_crud_options(L, op, PRG_A_SECOND, own);
  read_inner(L, PRG_A_THIRD, inner);
  s.table = r.table;
  s.sets = prg_read_record(L, &r, PRG_A_FIRST, PRG_A_TABLE, &s.nsets);
  read_on_conflict(L, own[O_ON_CONFLICT].at, &s);
  read_conflict(L, &r, &inner[I_CONFLICT], &s);
  read_returning(L, &r, &own[O_RETURNING], true, &s.returning);
  set_verb(L, op, s.returning.any, PRG_VERB_FIRST);
  if (read_flag(L, &inner[I_WHOLE])) return_whole(L, op, &s.returning);
  s.returning.created = read_flag(L, &inner[I_CREATED]);
  s.returning.mark = read_flag(L, &inner[I_MARK]);
  if (read_flag(L, &inner[I_APART])) read_apart(op, &s.returning);
  return prg_crud_run(L, op, emit_insert, &s);
}

enum truth { NEVER, ALWAYS, DEPENDS };

/* Is the condition so for every row, whatever is in it? { any_of{ {} } } and
** { none_of{} } are, as is the filter {}. */
static enum truth truth_of(const struct prg_cond *c) {
  const struct prg_cond *part;
  enum truth sum;
  if (c == NULL) return ALWAYS;
  if (c->kind != PRG_COND_AND && c->kind != PRG_COND_OR &&
      c->kind != PRG_COND_NOR)
    return DEPENDS;
  sum = c->kind == PRG_COND_AND ? ALWAYS : NEVER;
  for (part = c->u.parts; part != NULL; part = part->next) {
    enum truth t = truth_of(part);
    if (t == (c->kind == PRG_COND_AND ? NEVER : ALWAYS)) {
      sum = t; /* decides */
      break;
    }
    if (t == DEPENDS) sum = DEPENDS;
  }
  if (c->kind == PRG_COND_NOR && sum != DEPENDS)
    return sum == NEVER ? ALWAYS : NEVER;
  return sum;
}

/* The filter at PRG_A_FIRST with the scope; one that leaves no row out needs
** all = true (rule 3). */
static const struct prg_cond *read_target(lua_State *L,
                                          const struct prg_reader *r,
                                          const struct prg_option *all,
                                          const char *verb) {
  struct prg_cond *c = prg_read_filter(L, r, PRG_A_FIRST);
  if (!read_flag(L, all) && truth_of(c) == ALWAYS)
    prg_usage(L,
              "%s: the filter is empty, which is every row of %s: say "
              "all = true in the options if that is meant",
              verb, r->table->title.p);
  return prg_crud_scoped(L, r, c);
}

static void emit_update(struct prg_emit *e, const void *what) {
  prg_emit_update(e, what);
}

/* update(x, h, filter, values, opts) -> count; rows with returning */
static int crud_update(lua_State *L) {
  struct prg_option own[] = {{"all", 0}, {"returning", 0}, {NULL, 0}};
  struct prg_update s = {.nsets = 0};
  struct prg_reader r;
  struct prg_op *op;
  bool resumed;
  int n = prg_crud_resumed(L, &resumed);
  if (resumed) return n;
  lua_settop(L, PRG_A_THIRD);
  op = prg_crud_begin(L, PRG_VERB_QUERY, &r);
  prg_crud_options(L, op, PRG_A_THIRD, own);
  s.table = r.table;
  s.where = read_target(L, &r, &own[0], "update");
  s.sets = prg_read_values(L, &r, PRG_A_SECOND, PRG_A_TABLE, &s.nsets);
  if (s.nsets == 0) prg_usage(L, "update: no values to set are given");
  read_returning(L, &r, &own[1], false, &s.returning);
  set_verb(L, op, s.returning.any, PRG_VERB_QUERY);
  return prg_crud_run(L, op, emit_update, &s);
}

static void emit_delete(struct prg_emit *e, const void *what) {
  prg_emit_delete(e, what);
}

/* delete(x, h, filter, opts) -> count; rows with returning */
static int crud_delete(lua_State *L) {
  struct prg_option own[] = {{"all", 0}, {"returning", 0}, {NULL, 0}};
  struct prg_delete s = {.table = NULL};
  struct prg_reader r;
  struct prg_op *op;
  bool resumed;
  int n = prg_crud_resumed(L, &resumed);
  if (resumed) return n;
  lua_settop(L, PRG_A_SECOND);
  op = prg_crud_begin(L, PRG_VERB_QUERY, &r);
  prg_crud_options(L, op, PRG_A_SECOND, own);
  s.table = r.table;
  s.where = read_target(L, &r, &own[0], "delete");
  read_returning(L, &r, &own[1], false, &s.returning);
  set_verb(L, op, s.returning.any, PRG_VERB_QUERY);
  return prg_crud_run(L, op, emit_delete, &s);
}

static const luaL_Reg verbs[] = {{"insert", crud_insert},
                                 {"update", crud_update},
                                 {"delete", crud_delete},
                                 {NULL, NULL}};

int prg_crud_open(lua_State *L) {
  const char *check = getenv("PERIGEE_CHECK_SHAPES");
  atomic_store_explicit(&check_shapes, check != NULL && strcmp(check, "1") == 0,
                        memory_order_relaxed);
  lua_createtable(L, 0, 32);
  prg_set_functions(L, verbs);
  prg_select_open(L);
  lua_setfield(L, -2, "crud");
  return 0;
}
