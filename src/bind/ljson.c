#include "bind/lvalue.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_DEPTH = 2048 }; /* Jansson's own limit, JSON_PARSER_MAX_DEPTH */

/* ---- text to Lua --------------------------------------------------------- */

static const char owner_key = 0;      /* registry: the owner in use */
static const char owner_meta_key = 0; /* registry: their metatable */

/* What keeps a document while Lua's tables are built from it. One is reused for
** all documents. When it is busy (a finalizer that decodes, or an error left a
** document behind) a new one takes its place, and the collector gets it. */
struct owner {
  json_t *json;
  bool busy;
};

static int owner__gc(lua_State *L) {
  struct owner *o = lua_touserdata(L, 1);
  json_t *json = o->json;
  o->json = NULL;
  if (json != NULL) json_decref(json);
  return 0;
}

/* [-0, +1, m] */
static struct owner *push_owner(lua_State *L) {
  struct owner *o;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &owner_key);
  o = lua_touserdata(L, -1);
  if (o != NULL && !o->busy) return o;
  lua_pop(L, 1);
  o = lua_newuserdatauv(L, sizeof *o, 0);
  o->json = NULL;
  o->busy = false;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &owner_meta_key);
  lua_setmetatable(L, -2);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &owner_key);
  return o;
}

/* The metatables' places on the stack, so that each table costs no look-up. */
struct builder {
  lua_State *L;
  int object, array;
};

/* False: Lua cannot hold it. */
static bool push_number(lua_State *L, const json_t *j) {
  if (json_is_real(j)) {
    lua_pushnumber(L, json_real_value(j));
    return true;
  }
#if PRG_INT64
  lua_pushinteger(L, json_integer_value(j));
#else
  const json_int_t exact = (json_int_t)1 << 53;
  json_int_t i = json_integer_value(j);
  if (i < -exact || i > exact) return false;
  lua_pushnumber(L, (lua_Number)i);
#endif
  return true;
}

static bool push_node(struct builder *b, json_t *j);

static bool push_items(struct builder *b, json_t *j) {
  lua_State *L = b->L;
  size_t k, n = json_array_size(j);
  lua_createtable(L, n > INT32_MAX ? INT32_MAX : (int)n, 0);
  for (k = 0; k < n; k++) {
    if (!push_node(b, json_array_get(j, k))) return false;
    lua_rawseti(L, -2, (int)k + 1);
  }
  lua_pushvalue(L, b->array);
  lua_setmetatable(L, -2);
  return true;
}

/* A key with a zero byte was refused by the parser. */
static bool push_members(struct builder *b, json_t *j) {
  lua_State *L = b->L;
  void *at;
  lua_createtable(L, 0, (int)json_object_size(j));
  for (at = json_object_iter(j); at != NULL;
       at = json_object_iter_next(j, at)) {
    lua_pushstring(L, json_object_iter_key(at));
    if (!push_node(b, json_object_iter_value(at))) return false;
    lua_rawset(L, -3);
  }
  lua_pushvalue(L, b->object);
  lua_setmetatable(L, -2);
  return true;
}

/* Recursive: the parser bounds the depth. */
static bool push_node(struct builder *b, json_t *j) {
  lua_State *L = b->L;
  if (!lua_checkstack(L, 5)) return false;
  switch (json_typeof(j)) {
    case JSON_OBJECT:
      return push_members(b, j);
    case JSON_ARRAY:
      return push_items(b, j);
    case JSON_STRING:
      lua_pushlstring(L, json_string_value(j), json_string_length(j));
      return true;
    case JSON_INTEGER:
    case JSON_REAL:
      return push_number(L, j);
    case JSON_TRUE:
    case JSON_FALSE:
      lua_pushboolean(L, json_is_true(j));
      return true;
    case JSON_NULL:
      break;
  }
  lua_pushlightuserdata(L, NULL);
  return true;
}

void prg_push_raw_json(lua_State *L, const char *text, size_t len) {
  lua_createtable(L, 0, 1);
  lua_pushlstring(L, text, len);
  lua_setfield(L, -2, "text");
  prg_wrap_set(L, PRG_W_RAW_JSON);
}

/* Pushes the document; false: it cannot be held, and the stack above is left
** in disorder. `json` of the owner on top is filled and emptied again. */
static bool push_document(lua_State *L, const char *text, size_t len) {
  struct owner *o = push_owner(L);
  struct builder b;
  json_error_t err;
  json_t *json;
  bool held;
  prg_wrap_push(L, PRG_W_JSON_OBJECT);
  prg_wrap_push(L, PRG_W_JSON_ARRAY);
  b.L = L;
  b.array = lua_gettop(L);
  b.object = b.array - 1;
  o->json = json_loadb(
      text, len, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES,
      &err);
  if (o->json == NULL) {
    /* Without a text it was not the document: only memory fails silently. */
    if (err.text[0] == '\0' ||
        json_error_code(&err) == json_error_out_of_memory)
      prg_raise(L, prg_error_oom());
    return false;
  }
  o->busy = true;
  held = push_node(&b, o->json);
  json = o->json;
  o->json = NULL;
  o->busy = false;
  json_decref(json);
  return held;
}

void prg_push_json(lua_State *L, const char *text, size_t len) {
  int top = lua_gettop(L) + 1;
  if (text == NULL) text = "";
  luaL_checkstack(L, 10, NULL);
  if (!push_document(L, text, len)) {
    lua_settop(L, top - 1);
    prg_push_raw_json(L, text, len);
    return;
  }
  lua_replace(L, top);
  lua_settop(L, top);
}

/* ---- checking a text that is sent as it is ------------------------------- */

/* Deeper than PostgreSQL itself takes with its standard max_stack_depth. */
enum { RAW_DEPTH = 65536 };

struct checker {
  const unsigned char *p, *end;
  size_t depth;
  unsigned char objects[RAW_DEPTH / 8]; /* bit k: level k is an object */
};

/* The length of the UTF-8 sequence at `p`, 0 when it is none (RFC 3629). */
static size_t utf8_length(const unsigned char *p, const unsigned char *end) {
  size_t k, n = p[0] < 0x80   ? 1
                : p[0] < 0xC2 ? 0
                : p[0] < 0xE0 ? 2
                : p[0] < 0xF0 ? 3
                : p[0] < 0xF5 ? 4
                              : 0;
  if (n > (size_t)(end - p)) return 0;
  for (k = 1; k < n; k++)
    if ((p[k] & 0xC0) != 0x80) return 0;
  if (p[0] == 0xE0 && p[1] < 0xA0) return 0;  /* overlong */
  if (p[0] == 0xED && p[1] >= 0xA0) return 0; /* surrogates */
  if (p[0] == 0xF0 && p[1] < 0x90) return 0;  /* overlong */
  if (p[0] == 0xF4 && p[1] >= 0x90) return 0; /* over U+10FFFF */
  return n;
}

static bool is_utf8(const char *s, size_t len) {
  const unsigned char *p = (const unsigned char *)s, *end = p + len;
  while (p < end) {
    size_t n = utf8_length(p, end);
    if (n == 0) return false;
    p += n;
  }
  return true;
}

static int peek(struct checker *c) {
  while (c->p < c->end &&
         (*c->p == ' ' || *c->p == '\t' || *c->p == '\n' || *c->p == '\r'))
    c->p++;
  return c->p < c->end ? *c->p : -1;
}

static bool accept(struct checker *c, int want) {
  if (peek(c) != want) return false;
  c->p++;
  return true;
}

static bool is_hex(unsigned char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ||
         (c >= 'A' && c <= 'F');
}

/* After a backslash. */
static bool check_escape(struct checker *c) {
  int k;
  if (c->p == c->end) return false;
  if (*c->p != 'u') return *c->p != '\0' && strchr("\"\\/bfnrt", *c->p++);
  c->p++;
  for (k = 0; k < 4; k++, c->p++)
    if (c->p == c->end || !is_hex(*c->p)) return false;
  return true;
}

static bool check_string(struct checker *c) {
  if (!accept(c, '"')) return false;
  while (c->p < c->end) {
    unsigned char ch = *c->p++;
    if (ch == '"') return true;
    if (ch < 0x20) return false;
    if (ch == '\\' && !check_escape(c)) return false;
  }
  return false;
}

static bool check_digits(struct checker *c) {
  const unsigned char *from = c->p;
  while (c->p < c->end && *c->p >= '0' && *c->p <= '9') c->p++;
  return c->p > from;
}

static bool check_number(struct checker *c) {
  const unsigned char *first;
  if (*c->p == '-') c->p++;
  first = c->p;
  if (!check_digits(c) || (*first == '0' && c->p - first > 1)) return false;
  if (c->p < c->end && *c->p == '.') {
    c->p++;
    if (!check_digits(c)) return false;
  }
  if (c->p < c->end && (*c->p == 'e' || *c->p == 'E')) {
    c->p++;
    if (c->p < c->end && (*c->p == '+' || *c->p == '-')) c->p++;
    return check_digits(c);
  }
  return true;
}

static bool check_word(struct checker *c, const char *word) {
  size_t n = strlen(word);
  if ((size_t)(c->end - c->p) < n || memcmp(c->p, word, n) != 0) return false;
  c->p += n;
  return true;
}

static bool check_scalar(struct checker *c) {
  switch (peek(c)) {
    case '"':
      return check_string(c);
    case 't':
      return check_word(c, "true");
    case 'f':
      return check_word(c, "false");
    case 'n':
      return check_word(c, "null");
    case -1:
      return false;
    default:
      return check_number(c);
  }
}

static bool in_object(const struct checker *c) {
  size_t k = c->depth - 1;
  return c->objects[k / 8] >> (k % 8) & 1;
}

static bool check_key(struct checker *c) {
  return check_string(c) && accept(c, ':');
}

/* Goes into containers until a value is complete. False: it is none. */
static bool check_value(struct checker *c) {
  for (;;) {
    size_t k = c->depth;
    bool object = peek(c) == '{';
    if (!object && peek(c) != '[') return check_scalar(c);
    if (k == RAW_DEPTH) return false;
    c->p++;
    c->depth++;
    c->objects[k / 8] = (unsigned char)(c->objects[k / 8] & ~(1u << (k % 8)));
    if (object) c->objects[k / 8] |= (unsigned char)(1u << (k % 8));
    if (accept(c, object ? '}' : ']')) {
      c->depth--;
      return true;
    }
    if (object && !check_key(c)) return false;
  }
}

/* Is the text one JSON document by RFC 8259? */
static bool is_json(const char *text, size_t len) {
  struct checker c;
  if (!is_utf8(text, len)) return false;
  c.p = (const unsigned char *)text;
  c.end = c.p + len;
  c.depth = 0;
  for (;;) {
    if (!check_value(&c)) return false;
    while (c.depth > 0 && accept(&c, in_object(&c) ? '}' : ']')) c.depth--;
    if (c.depth == 0) return peek(&c) == -1;
    if (!accept(&c, ',')) return false;
    if (in_object(&c) && !check_key(&c)) return false;
  }
}

/* ---- Lua to text --------------------------------------------------------- */

struct encoder {
  struct prg_atext out;
  const char *what;
  int depth;
};

static void encode(struct encoder *e, int i);

static void add_number(struct encoder *e, int i) {
  lua_State *L = e->out.L;
  double d = lua_tonumber(L, i);
  char buf[48];
#if PRG_INT64
  bool integer = lua_isinteger(L, i);
  if (integer)
    snprintf(buf, sizeof buf, "%lld", (long long)lua_tointeger(L, i));
#else
  bool integer = prg_isinteger(L, i);
  if (integer) snprintf(buf, sizeof buf, "%.0f", d);
#endif
  if (!integer) {
    if (!isfinite(d))
      prg_usage(L, "%s: JSON has no %s", e->what,
                isnan(d) ? "NaN" : "infinity");
    prg_double_text(d, buf);
    /* so that it comes back as a float */
    if (strpbrk(buf, ".e") == NULL) memcpy(buf + strlen(buf), ".0", 3);
  }
  prg_atext_adds(&e->out, buf);
}

static void add_string(struct encoder *e, const char *s, size_t n) {
  if (!is_utf8(s, n))
    prg_usage(e->out.L,
              "%s: JSON text must be UTF-8, and a string in it is not",
              e->what);
  prg_atext_quoted(&e->out, s, n);
}

static void add_list(struct encoder *e, int i) {
  lua_State *L = e->out.L;
  size_t n = 0, k;
  const char *wrong = prg_list_check(L, i, &n);
  if (wrong != NULL) prg_usage(L, "%s: a JSON array: %s", e->what, wrong);
  prg_atext_adds(&e->out, "[");
  for (k = 1; k <= n; k++) {
    if (k > 1) prg_atext_adds(&e->out, ",");
    lua_rawgeti(L, i, (int)k);
    encode(e, lua_gettop(L));
    lua_pop(L, 1);
  }
  prg_atext_adds(&e->out, "]");
}

static int compare_texts(const void *a, const void *b) {
  const struct prg_text *x = a, *y = b;
  size_t n = x->n < y->n ? x->n : y->n;
  int c = n == 0 ? 0 : memcmp(x->p, y->p, n);
  return c != 0 ? c : (x->n > y->n) - (x->n < y->n);
}

/* The keys of the table at `i` in order, so that equal tables give equal
** texts. */
static struct prg_text *sorted_keys(struct encoder *e, int i, size_t *count) {
  lua_State *L = e->out.L;
  struct prg_text *keys;
  size_t n = 0, k = 0;
  lua_pushnil(L);
  while (lua_next(L, i)) {
    lua_pop(L, 1);
    if (lua_type(L, -1) != LUA_TSTRING)
      prg_usage(L, "%s: a JSON object has string keys, not %s (%s)", e->what,
                luaL_typename(L, -1),
                "perigee.json_array makes an array; keys cannot be mixed");
    n++;
  }
  keys = prg_arena_need(L, e->out.a, n, sizeof *keys);
  lua_pushnil(L);
  while (lua_next(L, i)) {
    lua_pop(L, 1);
    keys[k].p = lua_tolstring(L, -1, &keys[k].n);
    k++;
  }
  if (n > 1) qsort(keys, n, sizeof *keys, compare_texts);
  *count = n;
  return keys;
}

static void add_map(struct encoder *e, int i) {
  lua_State *L = e->out.L;
  size_t n, k;
  struct prg_text *keys = sorted_keys(e, i, &n);
  prg_atext_adds(&e->out, "{");
  for (k = 0; k < n; k++) {
    if (k > 0) prg_atext_adds(&e->out, ",");
    add_string(e, keys[k].p, keys[k].n);
    prg_atext_adds(&e->out, ":");
    lua_pushlstring(L, keys[k].p, keys[k].n);
    lua_rawget(L, i);
    encode(e, lua_gettop(L));
    lua_pop(L, 1);
  }
  prg_atext_adds(&e->out, "}");
}

/* A table that does not say what it is: a list when its first key is a number,
** else an object; `none` stands for an empty one. */
static void add_either(struct encoder *e, int i, const char *none) {
  lua_State *L = e->out.L;
  bool list;
  lua_pushnil(L);
  if (!lua_next(L, i)) {
    prg_atext_adds(&e->out, none);
    return;
  }
  list = lua_type(L, -2) == LUA_TNUMBER;
  lua_pop(L, 2);
  if (list)
    add_list(e, i);
  else
    add_map(e, i);
}

/* Rows and users' objects go by their fields; a handle or an SQL fragment of
** ours is a mistake. */
static void add_foreign(struct encoder *e, int i) {
  const char *name = prg_wrap_describe(e->out.L, i);
  if (strncmp(name, "perigee.", 8) == 0 &&
      strncmp(name, "perigee.row", 11) != 0)
    prg_usage(e->out.L, "%s: JSON cannot hold a %s", e->what, name);
  add_either(e, i, strcmp(name, "perigee.rows") == 0 ? "[]" : "{}");
}

static void add_raw(struct encoder *e, int i) {
  lua_State *L = e->out.L;
  const char *s = NULL;
  size_t n = 0;
  prg_wrap_field(L, i, "text");
  if (lua_type(L, -1) == LUA_TSTRING) s = lua_tolstring(L, -1, &n);
  if (s == NULL || !is_json(s, n))
    prg_usage(L, "%s: the text of a raw_json is not a JSON document", e->what);
  prg_atext_add(&e->out, s, n);
}

static void add_table(struct encoder *e, int i) {
  lua_State *L = e->out.L;
  switch (prg_wrap_of(L, i)) {
    case PRG_W_JSON:
      prg_wrap_field(L, i, "value");
      encode(e, lua_gettop(L));
      break;
    case PRG_W_RAW_JSON:
      add_raw(e, i);
      break;
    case PRG_W_JSON_ARRAY:
    case PRG_W_ARRAY:
      add_list(e, i);
      break;
    case PRG_W_JSON_OBJECT:
    case PRG_W_HSTORE:
      add_map(e, i);
      break;
    case PRG_W_PLAIN:
    case PRG_W_RECORD:
      add_either(e, i, "{}");
      break;
    case PRG_W_OTHER:
      add_foreign(e, i);
      break;
    default:
      prg_usage(L, "%s: JSON cannot hold a %s", e->what,
                prg_wrap_describe(L, i));
  }
}

/* Neither null, boolean, number, string nor table. */
static void add_other(struct encoder *e, int i) {
  lua_State *L = e->out.L;
#if !PRG_INT64
  if (lua_type(L, i) == PRG_TCDATA && prg_cdata_digits(L, i)) {
    prg_atext_adds(&e->out, lua_tostring(L, -1));
    return;
  }
#endif
  prg_usage(L, "%s: JSON cannot hold a %s", e->what, prg_wrap_describe(L, i));
}

/* `i` is absolute. Leaves the stack as it was. */
static void encode(struct encoder *e, int i) {
  lua_State *L = e->out.L;
  int top = lua_gettop(L);
  const char *s;
  size_t n;
  if (++e->depth > MAX_DEPTH + 1 || !lua_checkstack(L, 10))
    prg_usage(L, "%s: JSON nested more than %d deep, or containing itself",
              e->what, MAX_DEPTH);
  switch (lua_type(L, i)) {
    case LUA_TBOOLEAN:
      prg_atext_adds(&e->out, lua_toboolean(L, i) ? "true" : "false");
      break;
    case LUA_TNUMBER:
      add_number(e, i);
      break;
    case LUA_TSTRING:
      s = lua_tolstring(L, i, &n);
      add_string(e, s, n);
      break;
    case LUA_TTABLE:
      add_table(e, i);
      break;
    default:
      if (lua_isnoneornil(L, i) || (lua_type(L, i) == LUA_TLIGHTUSERDATA &&
                                    lua_touserdata(L, i) == NULL))
        prg_atext_adds(&e->out, "null");
      else
        add_other(e, i);
      break;
  }
  lua_settop(L, top);
  e->depth--;
}

struct prg_text prg_json_encode(lua_State *L, int i, struct prg_arena *a,
                                const char *what) {
  struct encoder e = {0};
  struct prg_text text;
  e.out.L = L;
  e.out.a = a;
  e.what = what;
  encode(&e, lua_absindex(L, i));
  text.p = e.out.p;
  text.n = e.out.n;
  return text;
}

/* ---- constructors: the class at 1 ---------------------------------------- */

int prg_json_make(lua_State *L) {
  if (lua_gettop(L) < 2) prg_usage(L, "perigee.json: a value is needed");
  lua_settop(L, 2);
  lua_createtable(L, 0, 1);
  lua_pushvalue(L, 2);
  lua_setfield(L, -2, "value");
  prg_wrap_set(L, PRG_W_JSON);
  return 1;
}

int prg_raw_json_make(lua_State *L) {
  const char *s;
  size_t n;
  lua_settop(L, 2);
  if (lua_type(L, 2) != LUA_TSTRING)
    prg_usage(L, "perigee.raw_json: a string is needed, not %s",
              prg_wrap_describe(L, 2));
  s = lua_tolstring(L, 2, &n);
  if (!is_json(s, n))
    prg_usage(L, "perigee.raw_json: the text is not a JSON document");
  prg_push_raw_json(L, s, n);
  return 1;
}

int prg_json_object_make(lua_State *L) {
  lua_settop(L, 2);
  prg_wrap_check(
      L, 2, 1u << PRG_W_JSON_OBJECT | 1u << PRG_W_RECORD | 1u << PRG_W_HSTORE,
      "perigee.json_object");
  prg_table_copy(L, 2);
  prg_wrap_set(L, PRG_W_JSON_OBJECT);
  return 1;
}

int prg_json_array_make(lua_State *L) {
  lua_settop(L, 2);
  prg_wrap_check(L, 2, 1u << PRG_W_JSON_ARRAY | 1u << PRG_W_ARRAY,
                 "perigee.json_array");
  prg_list_copy(L, 2, "perigee.json_array");
  prg_wrap_set(L, PRG_W_JSON_ARRAY);
  return 1;
}

/* Pushes the JSON text of the value at `i`. [-0, +1, e] */
static int push_text(lua_State *L, int i, const char *what) {
  struct prg_scratch *s = prg_scratch_push(L);
  struct prg_text text = prg_json_encode(L, i, &s->arena, what);
  lua_pushlstring(L, text.p, text.n);
  prg_scratch_fini(s);
  return 1;
}

static int tostring_body(lua_State *L) {
  return push_text(L, 1, "tostring");
}

/* What cannot be encoded has a name only: printing does not raise. A raw_json
** prints what it holds, whether it is JSON or not. */
int prg_json_tostring(lua_State *L) {
  lua_settop(L, 1);
  if (lua_type(L, 1) != LUA_TTABLE) return prg_usage(L, "not a JSON value");
  if (prg_wrap_of(L, 1) == PRG_W_RAW_JSON) {
    prg_wrap_field(L, 1, "text");
    if (lua_type(L, -1) == LUA_TSTRING) return 1;
  }
  lua_pushcfunction(L, tostring_body);
  lua_pushvalue(L, 1);
  if (lua_pcall(L, 1, 1, 0) != 0)
    lua_pushfstring(L, "%s: %p", prg_wrap_describe(L, 1), lua_topointer(L, 1));
  return 1;
}

/* ---- perigee.json.encode and decode -------------------------------------- */

static int json_encode(lua_State *L) {
  if (lua_gettop(L) != 1)
    prg_usage(L, "perigee.json.encode: one value is needed");
  return push_text(L, 1, "perigee.json.encode");
}

static int json_decode(lua_State *L) {
  const char *s;
  size_t n;
  lua_settop(L, 1);
  if (lua_type(L, 1) == LUA_TTABLE && prg_wrap_of(L, 1) == PRG_W_RAW_JSON) {
    prg_wrap_field(L, 1, "text");
    lua_replace(L, 1);
  }
  if (lua_type(L, 1) != LUA_TSTRING)
    prg_usage(L, "perigee.json.decode: a string is needed, not %s",
              prg_wrap_describe(L, 1));
  s = lua_tolstring(L, 1, &n);
  if (!is_json(s, n))
    prg_usage(L, "perigee.json.decode: the text is not a JSON document");
  prg_push_json(L, s, n);
  return 1;
}

int prg_json_open(lua_State *L) {
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, owner__gc);
  lua_setfield(L, -2, "__gc");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &owner_meta_key);
  prg_wrap_push(L, PRG_W_JSON);
  lua_pushcfunction(L, json_encode);
  lua_setfield(L, -2, "encode");
  lua_pushcfunction(L, json_decode);
  lua_setfield(L, -2, "decode");
  lua_pop(L, 1);
  return 0;
}
