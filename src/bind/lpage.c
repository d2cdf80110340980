/*
** Pages: a SELECT that begins behind a row, with one row more than asked for to
** see whether there are more, and cursors for the pages before and after it.
**
** A page that a `prev` cursor leads to is read in the other direction and shown
** the right way round. Columns that only the cursors need are selected behind the
** others and not shown. Both is done by a result of our own in front of the
** driver's (struct view), so that rows are pushed as everywhere.
*/
#include "bind/crud_int.h"

#include "base/mem.h"
#include "bind/lvalue.h"
#include "page/keyset.h"

#define RING_MT "perigee.keyring"

enum { A_RING = PRG_A_THIRD, A_MAX_LIMIT, NARGS = A_MAX_LIMIT };
enum { STANDARD_LIMIT = 50, STANDARD_MAX_LIMIT = 500 };
enum { O_ORDER_BY, O_LIMIT, O_CURSOR, O_SEARCH, O_COLUMNS, O_TOTAL, NOPTIONS };

/* What is to be known of a page when its rows are there. In the arena. */
struct prg_page {
  const struct prg_ring *ring;   /* of the userdata at A_RING */
  struct prg_cursor mark;        /* what its cursors say, but for the place */
  const struct prg_cursor *from; /* the cursor that led here, or NULL */
  bool back;                     /* it led backwards */
  size_t shown;                  /* columns of the rows; 0: all */
  size_t place[PRG_PAGE_COLS];   /* shown > 0: where the order's columns are */
  bool ready;                    /* the cursors are made */
  struct prg_text next, prev;    /* p NULL: none */
};

/* The reading of the arguments. */
struct reading {
  struct prg_reader r;
  struct prg_op *op;
  struct prg_page *page;
  struct prg_option own[NOPTIONS + 1];
  struct prg_order *order; /* with the key; mark.norder of them */
  struct prg_cond *filter, *search;
};

static int refuse_cursor(lua_State *L, const char *why) {
  return prg_raise(L, prg_error_new(PRG_K_CURSOR, "%s", why));
}

/* ---- keys ---------------------------------------------------------------- */

static const char ring_magic = 0;

struct ring_box {
  const void *magic;
  struct prg_ring *ring; /* NULL while it is made */
};

static int ring__gc(lua_State *L) {
  struct ring_box *box = lua_touserdata(L, 1);
  prg_ring_free(box->ring);
  box->ring = NULL;
  return 0;
}

static const struct prg_ring *check_ring(lua_State *L, int i) {
  const struct ring_box *box = NULL;
  if (lua_type(L, i) == LUA_TUSERDATA && lua_rawlen(L, i) == sizeof *box)
    box = lua_touserdata(L, i);
  if (box == NULL || box->magic != &ring_magic || box->ring == NULL)
    prg_usage(L, "page: a keyring is expected, not %s", luaL_typename(L, i));
  return box->ring;
}

/* The secrets of the list at `i`, which stay in it. [-0, +1, e] */
static struct prg_text *read_secrets(lua_State *L, int i, size_t *n) {
  struct prg_text *out;
  *n = lua_istable(L, i) ? lua_rawlen(L, i) : 1;
  out = lua_newuserdatauv(L, (*n + 1) * sizeof *out, 0);
  for (size_t k = 0; k < *n; k++) {
    if (lua_istable(L, i))
      lua_rawgeti(L, i, (int)k + 1);
    else
      lua_pushvalue(L, i);
    if (lua_type(L, -1) != LUA_TSTRING)
      prg_usage(L,
                "cursor_key: a string or a list of strings is expected, not "
                "%s",
                luaL_typename(L, -1));
    out[k].p = lua_tolstring(L, -1, &out[k].n);
    lua_pop(L, 1); /* stays in the list */
  }
  return out;
}

/* core.keyring(nil | secret | list of secrets) -> keyring; nil: a random key */
static int core_keyring(lua_State *L) {
  struct prg_error *err = NULL;
  struct prg_text *secrets = NULL;
  struct ring_box *box;
  size_t n = 0;
  lua_settop(L, 1);
  box = lua_newuserdatauv(L, sizeof *box, 0);
  box->magic = &ring_magic;
  box->ring = NULL;
  luaL_getmetatable(L, RING_MT);
  lua_setmetatable(L, 2);
  if (!lua_isnil(L, 1)) secrets = read_secrets(L, 1, &n);
  box->ring =
      secrets != NULL ? prg_ring_new(secrets, n, &err) : prg_ring_random(&err);
  if (box->ring == NULL) return prg_raise(L, err);
  lua_settop(L, 2);
  return 1;
}

/* ---- the cursor that is given -------------------------------------------- */

static void make_print(lua_State *L, const struct prg_text *texts, size_t n,
                       struct prg_print *out) {
  struct prg_error *err = NULL;
  if (prg_print_of(texts, n, out, &err) != PRG_OK) prg_raise(L, err);
}

/* A condition as bytes in the arena. */
static struct prg_text pack(lua_State *L, const struct prg_reader *r,
                            const struct prg_cond *c, bool *raw) {
  struct prg_text out = {"", 0};
  struct prg_buf b;
  prg_buf_init(&b, 0);
  if (prg_filter_pack(c, &b, raw) == PRG_OK) {
    out.n = b.len;
    out.p = prg_arena_dup(r->arena, b.len > 0 ? b.data : "", b.len);
  }
  prg_buf_fini(&b);
  if (b.failed || out.p == NULL) prg_raise(L, prg_error_oom());
  return out;
}

static void drop_print(void *print) {
  prg_free(print);
}

/* Of the table and the scope of the handle. That of the table alone is kept. */
static void read_owner(lua_State *L, struct reading *q) {
  static const char key[] = "owner";
  const struct prg_table *t = q->r.table;
  struct prg_print *out = &q->page->mark.owner, *kept;
  struct prg_text texts[2];
  bool raw;
  texts[0] = t->title;
  texts[1] = pack(L, &q->r, prg_read_scope(L, &q->r, PRG_A_TABLE), &raw);
  kept = texts[1].n > 0 ? NULL : prg_shapes_get(t->shapes, key, sizeof key);
  if (kept != NULL) {
    *out = *kept;
    return;
  }
  make_print(L, texts, 2, out);
  if (texts[1].n > 0) return;
  kept = (struct prg_print *)prg_memdup(out->bytes, sizeof out->bytes);
  if (kept == NULL ||
      prg_shapes_put(t->shapes, key, sizeof key, kept, drop_print) != PRG_OK)
    prg_raise(L, prg_error_oom());
}

static void read_cursor(lua_State *L, struct reading *q) {
  int i = q->own[O_CURSOR].at;
  struct prg_error *err = NULL;
  struct prg_cursor *c;
  const char *text;
  size_t len;
  if (i == 0) return;
  if (lua_type(L, i) != LUA_TSTRING)
    prg_usage(L, "cursor: a string is expected, not %s", luaL_typename(L, i));
  c = prg_crud_need(L, &q->r, 1, sizeof *c);
  text = lua_tolstring(L, i, &len);
  if (prg_cursor_open(q->page->ring, text, len, q->r.arena, c, &err) != PRG_OK)
    prg_raise(L, err);
  if (!prg_print_same(&c->owner, &q->page->mark.owner))
    prg_raise(L, prg_error_new(PRG_K_CURSOR,
                               "the cursor belongs to another table, or to "
                               "another scope of %s",
                               q->r.table->title.p));
  q->page->from = c;
  q->page->back = c->back;
}

/* ---- order --------------------------------------------------------------- */

/* That of the cursor, as if it had been given. */
static struct prg_order *order_of_cursor(lua_State *L, const struct reading *q,
                                         size_t *n) {
  const struct prg_cursor *c = q->page->from;
  struct prg_order *out = prg_crud_need(L, &q->r, c->norder, sizeof *out);
  for (size_t i = 0; i < c->norder; i++) {
    const struct prg_text *name = &c->order[i].name;
    out[i].col = prg_table_col(q->r.table, name->p, name->n);
    out[i].desc = c->order[i].desc;
    out[i].nulls = c->order[i].nulls;
    if (out[i].col == NULL)
      prg_raise(L, prg_error_new(PRG_K_CURSOR,
                                 "the cursor is ordered by %.64s, a column "
                                 "that %s does not have any more",
                                 name->p, q->r.table->title.p));
  }
  *n = c->norder;
  return out;
}

static bool nulls_last(bool desc, enum prg_nulls nulls) {
  return nulls == PRG_NULLS_LARGE ? !desc : nulls == PRG_NULLS_LAST;
}

static bool is_order_of(const struct prg_cursor *c,
                        const struct prg_order *order, size_t n) {
  if (c->norder != n) return false;
  for (size_t i = 0; i < n; i++) {
    const struct prg_text *name = &order[i].col->name;
    if (c->order[i].name.n != name->n ||
        memcmp(c->order[i].name.p, name->p, name->n) != 0 ||
        c->order[i].desc != order[i].desc ||
        nulls_last(c->order[i].desc, c->order[i].nulls) !=
            nulls_last(order[i].desc, order[i].nulls))
      return false;
  }
  return true;
}

/* Can a value of the column stand in a cursor? */
static bool has_place(const struct prg_col *c) {
  return c->cls != PRG_CLASS_JSON && c->cls != PRG_CLASS_ARRAY;
}

static void read_order(lua_State *L, struct reading *q) {
  struct prg_page *p = q->page;
  struct prg_order *given = NULL;
  struct prg_error *err = NULL;
  size_t n = 0, i;
  if (q->own[O_ORDER_BY].at != 0)
    given = prg_read_order(L, &q->r, q->own[O_ORDER_BY].at, &n);
  else if (p->from != NULL)
    given = order_of_cursor(L, q, &n);
  q->order = prg_keyset_order(q->r.table, given, n, q->r.arena, &n, &err);
  if (q->order == NULL) prg_raise(L, err);
  if (p->from != NULL && !is_order_of(p->from, q->order, n))
    refuse_cursor(L, q->own[O_ORDER_BY].at != 0
                         ? "the cursor belongs to another order_by"
                         : "the cursor belongs to another key of the table");
  p->mark.norder = n;
  for (i = 0; i < n; i++) {
    const struct prg_col *c = q->order[i].col;
    if (!has_place(c))
      prg_usage(L,
                "order_by: pages cannot be ordered by %s (column of type %s)",
                c->name.p, c->title);
    p->mark.order[i].name = c->name;
    p->mark.order[i].desc = q->order[i].desc;
    p->mark.order[i].nulls = q->order[i].nulls;
  }
}

/* ---- filter and search --------------------------------------------------- */

/* Is what was given that of the cursor? */
static bool is_same(const struct prg_kept *from, const struct prg_kept *given) {
  if (!from->whole) return prg_print_same(&from->print, &given->print);
  return given->whole && from->packed.n == given->packed.n &&
         memcmp(from->packed.p, given->packed.p, given->packed.n) == 0;
}

/* What the page and its cursors have of a condition: what was given, which has
** to be that of the cursor; if nothing was, what the cursor has. */
static struct prg_cond *keep(lua_State *L, const struct reading *q,
                             struct prg_cond *c, bool given,
                             const struct prg_kept *from, struct prg_kept *out,
                             const char *name) {
  struct prg_error *err = NULL;
  bool raw = false;
  if (given || from == NULL) {
    out->packed = pack(L, &q->r, c, &raw);
    out->whole = !raw;
    if (raw || (from != NULL && !from->whole))
      make_print(L, &out->packed, 1, &out->print);
    if (from != NULL && !is_same(from, out))
      prg_raise(L, prg_error_new(PRG_K_CURSOR,
                                 "the cursor belongs to another %s", name));
    return c;
  }
  if (!from->whole)
    prg_raise(L, prg_error_new(PRG_K_CURSOR,
                               "the cursor does not hold its %s, which is too "
                               "large or has SQL in it: give it again",
                               name));
  *out = *from;
  if (prg_filter_unpack(q->r.table, from->packed.p, from->packed.n, q->r.arena,
                        &c, &err) != PRG_OK)
    prg_raise(L, err);
  return c;
}

static void read_filter(lua_State *L, struct reading *q) {
  const struct prg_cursor *from = q->page->from;
  bool given = !lua_isnil(L, PRG_A_FIRST);
  q->filter = keep(L, q, prg_read_filter(L, &q->r, PRG_A_FIRST), given,
                   from != NULL ? &from->filter : NULL, &q->page->mark.filter,
                   "filter");
}

/* One of the columns holds the text, in any case. */
static struct prg_cond *search_cond(lua_State *L, const struct prg_reader *r,
                                    int columns, const struct prg_text *text) {
  size_t n;
  const struct prg_col *const *cols =
      prg_read_columns(L, r, columns, "search.columns", &n);
  struct prg_cond *any = prg_cond_new(r->arena, PRG_COND_OR), *c;
  if (n == 0) prg_usage(L, "search.columns: the list is empty");
  for (size_t i = 0; i < n; i++) {
    if (cols[i]->cls != PRG_CLASS_TEXT && cols[i]->cls != PRG_CLASS_ANY)
      prg_usage(L,
                "search.columns: only columns of text can be searched; %s is "
                "of type %s",
                cols[i]->name.p, cols[i]->title);
    c = prg_cond_new(r->arena, PRG_COND_MATCH);
    if (c == NULL || any == NULL) prg_raise(L, prg_error_oom());
    c->col = cols[i];
    c->u.match.how = PRG_ICONTAINS;
    c->u.match.value.type = PRG_TEXT;
    c->u.match.value.u.s = *text;
    prg_cond_add(any, c);
  }
  prg_cond_sort(any);
  return any;
}

/* Pushes the fields text and columns of the search at `i`. [-0, +2, e] */
static void push_search(lua_State *L, int i) {
  static const char form[] =
      "search: { text = \"…\", columns = { \"…\" } } is expected";
  if (!prg_is_plain_table(L, i)) prg_usage(L, form);
  lua_pushnil(L);
  while (lua_next(L, i) != 0) {
    const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
    if (strcmp(key, "text") != 0 && strcmp(key, "columns") != 0)
      prg_usage(L, form);
    lua_pop(L, 1);
  }
  lua_getfield(L, i, "text");
  if (lua_type(L, -1) != LUA_TSTRING)
    prg_usage(L, "search.text: a string is expected, not %s",
              luaL_typename(L, -1));
  lua_getfield(L, i, "columns");
}

static void read_search(lua_State *L, struct reading *q) {
  const struct prg_cursor *from = q->page->from;
  int i = q->own[O_SEARCH].at;
  struct prg_cond *c = NULL;
  struct prg_text text;
  if (i != 0) {
    push_search(L, i);
    text.p = lua_tolstring(L, -2, &text.n);
    text.p = prg_arena_dup(q->r.arena, text.p, text.n);
    if (text.p == NULL) prg_raise(L, prg_error_oom());
    c = search_cond(L, &q->r, lua_gettop(L), &text);
    if (text.n == 0) c = NULL;
    lua_pop(L, 2);
  }
  q->search = keep(L, q, c, i != 0, from != NULL ? &from->search : NULL,
                   &q->page->mark.search, "search");
}

/* ---- limit --------------------------------------------------------------- */

static void read_limit(lua_State *L, struct reading *q) {
  struct prg_page *p = q->page;
  int i = q->own[O_LIMIT].at;
  lua_Number max = lua_isnil(L, A_MAX_LIMIT) ? STANDARD_MAX_LIMIT
                                             : lua_tonumber(L, A_MAX_LIMIT);
  lua_Number limit = p->from != NULL ? p->from->limit : STANDARD_LIMIT;
  if (!(max >= 1 && max <= INT32_MAX))
    prg_usage(L, "max_limit: a whole number from 1 on is needed");
  if (i != 0) {
    limit = lua_type(L, i) == LUA_TNUMBER ? lua_tonumber(L, i) : 0;
    if (!(limit >= 1 && isfinite(limit) && limit == floor(limit)))
      prg_usage(L, "limit: a whole number from 1 on is needed, not %s",
                lua_type(L, i) == LUA_TNUMBER ? lua_tostring(L, i)
                                              : prg_wrap_describe(L, i));
  }
  p->mark.limit = (uint32_t)(limit < max ? limit : max);
}

/* ---- columns ------------------------------------------------------------- */

/* Does what comes back differ from what is stored, and so from what the database
** orders by? Where timestamps are texts the driver gives them one form. */
static bool is_rewritten(const struct prg_table *t, const struct prg_col *c) {
  return (t->dialect->build & PRG_BUILD_CANON) != 0 &&
         (c->cls == PRG_CLASS_TIMESTAMP || c->cls == PRG_CLASS_TIMESTAMPTZ);
}

/* The column as it is stored: as an expression it has no type. */
static void select_stored(lua_State *L, const struct prg_reader *r,
                          const struct prg_col *col, struct prg_item *item) {
  struct prg_raw *raw = prg_crud_need(L, r, 1, sizeof *raw);
  struct prg_text *text = prg_crud_need(L, r, 1, sizeof *text);
  char *sql = prg_crud_need(L, r, col->quoted.n + 1, 1);
  sql[0] = '+';
  memcpy(sql + 1, col->quoted.p, col->quoted.n);
  text->p = sql;
  text->n = col->quoted.n + 1;
  raw->text = text;
  item->raw = raw;
  item->alias = (struct prg_text){"perigee:place", 13};
}

/* The columns that are shown: those listed, or all. */
static const struct prg_col *const *read_shown(lua_State *L,
                                               const struct reading *q,
                                               size_t *n) {
  const struct prg_table *t = q->r.table;
  const struct prg_col *const *listed;
  const struct prg_col **all;
  if (q->own[O_COLUMNS].at != 0) {
    listed = prg_read_columns(L, &q->r, q->own[O_COLUMNS].at, "columns", n);
    if (*n == 0) prg_usage(L, "columns: the list is empty");
    return listed;
  }
  *n = (size_t)t->ncols;
  all = prg_crud_need(L, &q->r, *n, sizeof *all);
  for (size_t i = 0; i < *n; i++) all[i] = &t->cols[i];
  return all;
}

static bool find_col(const struct prg_col *const *cols, size_t n,
                     const struct prg_col *col, size_t *at) {
  for (*at = 0; *at < n; (*at)++)
    if (cols[*at] == col) return true;
  return false;
}

/* What is selected, and where in it the place of a row is. Without a list, and
** when nothing more is needed, it is `*`. */
static void read_items(lua_State *L, struct reading *q, struct prg_select *s) {
  struct prg_page *p = q->page;
  size_t nshown, n = p->mark.norder, i;
  const struct prg_col *const *shown = read_shown(L, q, &nshown);
  struct prg_item *items = prg_crud_need(L, &q->r, nshown + n, sizeof *items);
  for (i = 0; i < nshown; i++) items[i].col = shown[i];
  s->nitems = nshown;
  for (i = 0; i < n; i++) {
    const struct prg_col *col = q->order[i].col;
    bool rewritten = is_rewritten(q->r.table, col);
    if (!rewritten && find_col(shown, nshown, col, &p->place[i])) continue;
    p->place[i] = s->nitems;
    if (rewritten)
      select_stored(L, &q->r, col, &items[s->nitems++]);
    else
      items[s->nitems++].col = col;
  }
  s->items = items;
  p->shown = nshown;
  if (q->own[O_COLUMNS].at != 0 || s->nitems > nshown) return;
  s->nitems = p->shown = 0;
}

/* ---- the statement ------------------------------------------------------- */

/* The rows that the cursor leads to. */
static struct prg_cond *place_cond(lua_State *L, const struct reading *q,
                                   const struct prg_order *order) {
  const struct prg_cursor *c = q->page->from;
  size_t n = q->page->mark.norder;
  struct prg_cond *behind, *nor;
  if (c->inclusive) /* not behind it the other way round */
    order = prg_keyset_flip(order, n, q->r.arena);
  behind = order == NULL ? NULL : prg_keyset_after(order, n, c->at, q->r.arena);
  if (behind == NULL) prg_raise(L, prg_error_oom());
  if (!c->inclusive) return behind;
  nor = prg_cond_new(q->r.arena, PRG_COND_NOR);
  if (nor == NULL) prg_raise(L, prg_error_oom());
  prg_cond_add(nor, behind);
  return nor;
}

/* limit + 1, as a parameter. */
static const struct prg_value *one_more(lua_State *L, const struct reading *q) {
  struct prg_value *v = prg_crud_need(L, &q->r, 1, sizeof *v);
  v->type = PRG_INT;
  v->u.i = (int64_t)q->page->mark.limit + 1;
  return v;
}

/* Reads all arguments but the columns. */
static void read_page(lua_State *L, struct reading *q) {
  static const char *const names[NOPTIONS + 1] = {
      "order_by", "limit", "cursor", "search", "columns", "total", NULL};
  int i;
  memset(q, 0, sizeof *q);
  for (i = 0; i <= NOPTIONS; i++) q->own[i].name = names[i];
  lua_settop(L, NARGS);
  q->op = prg_crud_begin(L, PRG_VERB_PAGE, &q->r);
  prg_crud_options(L, q->op, PRG_A_SECOND, q->own);
  if (q->own[O_TOTAL].at != 0 && !lua_isboolean(L, q->own[O_TOTAL].at))
    prg_usage(L, "total: true or false is expected, not %s",
              luaL_typename(L, q->own[O_TOTAL].at));
  q->page = prg_crud_need(L, &q->r, 1, sizeof *q->page);
  q->page->ring = check_ring(L, A_RING);
  read_owner(L, q);
  read_cursor(L, q);
  read_order(L, q);
  read_filter(L, q);
  read_search(L, q);
  read_limit(L, q);
}

/* page(x, h, filter, opts, keyring, max_limit) -> { rows, next, prev, limit } */
static int crud_page(lua_State *L) {
  struct prg_select s = {.nitems = 0};
  struct reading q;
  struct prg_cond *where;
  bool resumed;
  int n = prg_crud_resumed(L, &resumed);
  if (resumed) return n;
  read_page(L, &q);
  s.table = q.r.table;
  s.order = q.order;
  s.norder = q.page->mark.norder;
  if (q.page->back) s.order = prg_keyset_flip(s.order, s.norder, q.r.arena);
  if (s.order == NULL) prg_raise(L, prg_error_oom());
  where = prg_cond_both(L, q.r.arena, q.filter, q.search);
  if (q.page->from != NULL)
    where = prg_cond_both(L, q.r.arena, where, place_cond(L, &q, s.order));
  s.where = prg_crud_scoped(L, &q.r, where);
  s.limit = one_more(L, &q);
  read_items(L, &q, &s);
  q.op->page = q.page;
  return prg_crud_run_select(L, q.op, &s);
}

struct counting {
  const struct prg_table *table;
  const struct prg_cond *where;
};

static void emit_count(struct prg_emit *e, const void *what) {
  const struct counting *c = what;
  prg_emit_count(e, c->table, c->where);
}

/* page_total(x, h, filter, opts, keyring, max_limit) -> how many rows all its
** pages have together */
static int crud_page_total(lua_State *L) {
  struct counting c;
  struct reading q;
  bool resumed;
  int n = prg_crud_resumed(L, &resumed);
  if (resumed) return n;
  read_page(L, &q);
  c.table = q.r.table;
  c.where =
      prg_crud_scoped(L, &q.r, prg_cond_both(L, q.r.arena, q.filter, q.search));
  q.op->verb = PRG_VERB_COUNT;
  return prg_crud_run(L, q.op, emit_count, &c);
}

/* ---- the result ---------------------------------------------------------- */

/* A result in front of another one: fewer rows, fewer columns, and the order the
** other way round. */
struct view {
  struct prg_result base;
  struct prg_result *inner; /* owned */
  bool back;
};

static const struct prg_value *view_row(struct prg_result *r, size_t i) {
  struct view *v = (struct view *)(void *)r;
  const struct prg_value *row =
      prg_result_row(v->inner, v->back ? r->nrows - 1 - i : i);
  if (row != NULL) return row;
  prg_error_unref(r->error);
  r->error = v->inner->error;
  v->inner->error = NULL;
  return NULL;
}

static void view_free(struct prg_result *r) {
  prg_result_free(((struct view *)(void *)r)->inner);
  prg_free(r);
}

static const struct prg_result_ops view_ops = {view_row, view_free};

static void drop_desc(void *d) {
  prg_desc_unref(d);
}

/* The first `n` columns of a description. NULL without memory. */
static struct prg_desc *cut_desc(const struct prg_desc *d, size_t n) {
  size_t extra = 0, i;
  struct prg_desc *out;
  char *names;
  for (i = 0; i < n; i++) extra += d->cols[i].name.n + 1;
  out = prg_desc_new(n, extra, &names);
  if (out == NULL) return NULL;
  for (i = 0; i < n; i++) {
    size_t len = d->cols[i].name.n;
    out->cols[i] = d->cols[i];
    out->cols[i].name.p = memcpy(names, d->cols[i].name.p, len);
    names[len] = '\0';
    names += len + 1;
  }
  return out;
}

/* The same, made once for each description: what is known of its names in Lua
** hangs on its id. One reference; NULL without memory. */
static struct prg_desc *shown_desc(const struct prg_table *t,
                                   struct prg_desc *d, size_t n) {
  char key[6 + sizeof d->id + sizeof n] = "shown";
  struct prg_desc *out;
  if (n == 0 || n >= d->ncols) return prg_desc_ref(d);
  memcpy(key + 6, &d->id, sizeof d->id);
  memcpy(key + 6 + sizeof d->id, &n, sizeof n);
  out = prg_shapes_get(t->shapes, key, sizeof key);
  if (out != NULL) return prg_desc_ref(out);
  out = cut_desc(d, n);
  if (out == NULL) return NULL;
  (void)prg_desc_ref(out);
  if (prg_shapes_put(t->shapes, key, sizeof key, out, drop_desc) == PRG_OK)
    return out;
  prg_desc_unref(out);
  return NULL;
}

/* Puts the view of the page in front of the operation's result. */
static void set_view(lua_State *L, struct prg_op *op, size_t nrows) {
  struct prg_result *r = op->result;
  struct view *v;
  struct prg_desc *d = shown_desc(op->table, r->desc, op->page->shown);
  v = d != NULL ? prg_calloc(1, sizeof *v) : NULL;
  if (v == NULL) {
    prg_desc_unref(d);
    prg_raise(L, prg_error_oom());
    return;
  }
  v->base.ops = &view_ops;
  v->base.desc = d;
  v->base.nrows = nrows;
  v->base.affected = (int64_t)nrows;
  v->inner = r;
  v->back = op->page->back;
  op->result = &v->base;
}

/* ---- the cursors of a page ----------------------------------------------- */

/* Where column `i` of the order is in a row. */
static size_t place_of(lua_State *L, const struct prg_op *op, size_t i) {
  const struct prg_page *p = op->page;
  const struct prg_desc *d = op->result->desc;
  const struct prg_text *name = &p->mark.order[i].name;
  if (p->shown > 0) return p->place[i];
  for (size_t k = 0; k < d->ncols; k++)
    if (d->cols[k].name.n == name->n &&
        memcmp(d->cols[k].name.p, name->p, name->n) == 0)
      return k;
  prg_raise(L, prg_error_new(PRG_K_UNDEFINED, "%s has no column %s any more",
                             op->table->title.p, name->p));
  return 0;
}

/* The values by which row `row` of the result is found again. */
static void take_place(lua_State *L, struct prg_op *op, size_t row,
                       struct prg_cursor *c) {
  const struct prg_value *v = prg_result_row(op->result, row);
  if (v == NULL) {
    struct prg_error *e = op->result->error;
    op->result->error = NULL;
    prg_raise(L, e != NULL ? e : prg_error_oom());
    return;
  }
  for (size_t i = 0; i < c->norder; i++) {
    c->at[i] = v[place_of(L, op, i)];
    if (c->at[i].type > PRG_DECIMAL)
      prg_usage(L,
                "order_by: pages cannot be ordered by %s: its values cannot "
                "stand in a cursor",
                c->order[i].name.p);
  }
}

/* A cursor that leads on from row *row, or, when the page is empty (NULL), from
** where the page was looked for, and what was there itself. */
static struct prg_text make_cursor(lua_State *L, struct prg_op *op, bool back,
                                   const size_t *row) {
  struct prg_page *p = op->page;
  struct prg_cursor *c = &p->mark;
  struct prg_error *err = NULL;
  struct prg_text out = {NULL, 0};
  struct prg_buf b;
  c->back = back;
  c->inclusive = row == NULL;
  if (row != NULL)
    take_place(L, op, *row, c);
  else
    memcpy(c->at, p->from->at, sizeof c->at);
  prg_buf_init(&b, 0);
  if (prg_cursor_seal(p->ring, c, &b, &err) == PRG_OK) {
    out.n = b.len;
    out.p = prg_arena_dup(&op->arena, b.data, b.len);
    if (out.p == NULL) err = prg_error_oom();
  }
  prg_buf_fini(&b);
  if (err != NULL) prg_raise(L, err);
  return out;
}

/* Looks at what has come: what is shown of it, and where it goes on. */
static void prepare(lua_State *L, struct prg_op *op) {
  struct prg_page *p = op->page;
  size_t n = op->result->nrows, first = 0, last;
  bool more = n > p->mark.limit;
  if (more) n = p->mark.limit;
  last = n > 0 ? n - 1 : 0;
  if (p->back) { /* it came the other way round */
    size_t swap = first;
    first = last;
    last = swap;
  }
  if (p->back || more)
    p->next = make_cursor(L, op, false, n > 0 ? &last : NULL);
  if (p->back ? more : p->from != NULL)
    p->prev = make_cursor(L, op, true, n > 0 ? &first : NULL);
  set_view(L, op, n);
  p->ready = true;
}

static void set_text(lua_State *L, const char *field,
                     const struct prg_text *t) {
  if (t->p == NULL) return;
  lua_pushlstring(L, t->p, t->n);
  lua_setfield(L, -2, field);
}

int prg_page_push(lua_State *L, struct prg_op *op) {
  struct prg_page *p = op->page;
  if (!p->ready) prepare(L, op);
  if (prg_call_push_list(L, op) == PRG_PENDING) return PRG_PENDING;
  lua_createtable(L, 0, 4);
  lua_insert(L, -2);
  lua_setfield(L, -2, "rows");
  set_text(L, "next", &p->next);
  set_text(L, "prev", &p->prev);
  lua_pushinteger(L, (lua_Integer)p->mark.limit);
  lua_setfield(L, -2, "limit");
  return 1;
}

static const luaL_Reg verbs[] = {
    {"page", crud_page}, {"page_total", crud_page_total}, {NULL, NULL}};
static const luaL_Reg functions[] = {{"keyring", core_keyring}, {NULL, NULL}};

int prg_page_open(lua_State *L) {
  luaL_newmetatable(L, RING_MT);
  lua_pushliteral(L, RING_MT);
  lua_setfield(L, -2, "__name");
  lua_pushcfunction(L, ring__gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
  prg_set_functions(L, functions);
  lua_getfield(L, -1, "crud");
  prg_set_functions(L, verbs);
  lua_pop(L, 1);
  return 0;
}
