/*
** Plain data as bytes, to bring it from one Lua state to another: nil, booleans,
** numbers, strings, and tables of them without metatables, whose keys are strings
** and integers. The bytes live for one call and are of this process.
*/
#include "bind/sandbox_int.h"

enum { MAX_DEPTH = 100, MAX_SHOWN = 8 };

enum tag {
  TAG_NIL,
  TAG_FALSE,
  TAG_TRUE,
  TAG_INT,
  TAG_DOUBLE,
  TAG_STRING,
  TAG_TABLE,
  TAG_END
};

/* ---- writing ------------------------------------------------------------- */

struct packer {
  lua_State *L;
  struct prg_buf *out, *why;
  int depth;
  const void *tables[MAX_DEPTH]; /* that the value is in, outermost first */
  int keys[MAX_DEPTH];           /* where the keys are on the stack */
};

static void put_tag(struct packer *p, enum tag tag) {
  prg_buf_addc(p->out, (char)tag);
}

/* Appends "tables[3].name" to the message. */
static void add_place(struct packer *p) {
  int i;
  for (i = 0; i < p->depth && i < MAX_SHOWN; i++) {
    int key = p->keys[i];
    if (lua_type(p->L, key) == LUA_TSTRING)
      prg_buf_addf(p->why, "%s%.60s", i > 0 ? "." : " at ",
                   lua_tostring(p->L, key));
    else
      prg_buf_addf(p->why, "%s[%.14g]", i > 0 ? "" : " at ",
                   (double)lua_tonumber(p->L, key));
  }
  if (i < p->depth) prg_buf_adds(p->why, "…");
}

static bool refuse(struct packer *p, const char *what) {
  prg_buf_addf(p->why, "%s is no plain data", what);
  add_place(p);
  return false;
}

static void put_number(struct packer *p, int i) {
#if PRG_INT64
  if (lua_isinteger(p->L, i)) {
    lua_Integer n = lua_tointeger(p->L, i);
    put_tag(p, TAG_INT);
    prg_buf_add(p->out, &n, sizeof n);
    return;
  }
#endif
  lua_Number d = lua_tonumber(p->L, i);
  put_tag(p, TAG_DOUBLE);
  prg_buf_add(p->out, &d, sizeof d);
}

static void put_string(struct packer *p, int i) {
  size_t n;
  const char *s = lua_tolstring(p->L, i, &n);
  put_tag(p, TAG_STRING);
  prg_buf_add(p->out, &n, sizeof n);
  prg_buf_add(p->out, s, n);
}

static bool put_value(struct packer *p);

/* Can the table on top be entered? */
static bool check_table(struct packer *p) {
  const void *self = lua_topointer(p->L, -1);
  int i;
  for (i = 0; i < p->depth; i++)
    if (p->tables[i] == self) return refuse(p, "a table that contains itself");
  if (p->depth == MAX_DEPTH)
    return refuse(p, "a table nested more than 100 levels deep");
  if (lua_getmetatable(p->L, -1)) {
    lua_pop(p->L, 1);
    return refuse(p, "a table with a metatable");
  }
  return true;
}

static bool check_key(struct packer *p, int i) {
  if (lua_type(p->L, i) == LUA_TSTRING) return true;
  if (lua_type(p->L, i) == LUA_TNUMBER && prg_isinteger(p->L, i)) return true;
  return refuse(p, "a key that is neither string nor integer");
}

static bool put_table(struct packer *p) {
  lua_State *L = p->L;
  int table = lua_gettop(L);
  luaL_checkstack(L, 6, "deep table");
  if (!check_table(p)) return false;
  p->tables[p->depth] = lua_topointer(L, table);
  put_tag(p, TAG_TABLE);
  lua_pushnil(L);
  while (lua_next(L, table)) { /* stack: table, key, value */
    if (!check_key(p, table + 1)) return false;
    if (lua_type(L, table + 1) == LUA_TSTRING)
      put_string(p, table + 1);
    else
      put_number(p, table + 1);
    p->keys[p->depth++] = table + 1;
    if (!put_value(p)) return false;
    p->depth--;
    lua_pop(L, 1);
  }
  put_tag(p, TAG_END);
  return true;
}

/* The value on top. A full buffer ends it early: tables that share tables may
** be as many as 2^100. */
static bool put_value(struct packer *p) {
  if (p->out->failed) return true;
  switch (lua_type(p->L, -1)) {
    case LUA_TNIL:
      put_tag(p, TAG_NIL);
      return true;
    case LUA_TBOOLEAN:
      put_tag(p, lua_toboolean(p->L, -1) ? TAG_TRUE : TAG_FALSE);
      return true;
    case LUA_TNUMBER:
      put_number(p, -1);
      return true;
    case LUA_TSTRING:
      put_string(p, -1);
      return true;
    case LUA_TTABLE:
      return put_table(p);
    case LUA_TFUNCTION:
      return refuse(p, "a function");
    default:
      return refuse(p, "a userdata or thread");
  }
}

bool prg_pack(lua_State *L, struct prg_buf *out, struct prg_buf *why) {
  struct packer p = {0};
  int top = lua_gettop(L);
  bool ok;
  p.L = L;
  p.out = out;
  p.why = why;
  ok = put_value(&p);
  lua_settop(L, top);
  return ok;
}

/* ---- reading ------------------------------------------------------------- */

struct unpacker {
  lua_State *L;
  const char *p;
};

static void take(struct unpacker *u, void *out, size_t n) {
  memcpy(out, u->p, n);
  u->p += n;
}

static void push_string(struct unpacker *u) {
  size_t n;
  take(u, &n, sizeof n);
  lua_pushlstring(u->L, u->p, n);
  u->p += n;
}

static void push_double(struct unpacker *u) {
  lua_Number d;
  take(u, &d, sizeof d);
  lua_pushnumber(u->L, d);
}

static void push_int(struct unpacker *u) {
  lua_Integer n;
  take(u, &n, sizeof n);
  lua_pushinteger(u->L, n);
}

/* false: it was the end of a table. */
static bool push_value(struct unpacker *u) {
  lua_State *L = u->L;
  enum tag tag = (enum tag)(unsigned char)*u->p++;
  switch (tag) {
    case TAG_NIL:
      lua_pushnil(L);
      break;
    case TAG_FALSE:
    case TAG_TRUE:
      lua_pushboolean(L, tag == TAG_TRUE);
      break;
    case TAG_INT:
      push_int(u);
      break;
    case TAG_DOUBLE:
      push_double(u);
      break;
    case TAG_STRING:
      push_string(u);
      break;
    case TAG_TABLE:
      luaL_checkstack(L, 6, "deep table");
      lua_newtable(L);
      while (push_value(u)) { /* stack: table, key */
        (void)push_value(u);
        lua_rawset(L, -3);
      }
      break;
    case TAG_END:
      return false;
  }
  return true;
}

void prg_unpack(lua_State *L, const struct prg_buf *in) {
  struct unpacker u = {L, in->data};
  if (in->len == 0)
    lua_pushnil(L);
  else
    (void)push_value(&u);
}
