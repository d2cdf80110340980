/*
** libFuzzer: bytes make a Lua table of any shape, which is read as a filter on a
** table with a column of each class, for each dialect, and written as a
** statement. What is refused has to be refused with an error of ours; what is
** read gives the same key and the same parameters each time. Links src/bind.
*/
#include "bind/crud_int.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

/* ---- the table ----------------------------------------------------------- */

#define COL(n, c, ...) \
  { .name = n, .type = "", .title = n, .cls = PRG_CLASS_##c, __VA_ARGS__ }

static const struct prg_col_spec columns[] = {
    COL("id", INT, .bits = 64, .not_null = true, .orderable = true),
    COL("i2", INT, .bits = 16, .orderable = true),
    COL("f", FLOAT, .orderable = true),
    COL("d", NUMERIC, .orderable = true),
    COL("s", TEXT, .orderable = true),
    COL("c", TEXT, .orderable = true, .folded = true),
    COL("b", BOOL, .orderable = true),
    COL("y", BYTES, .orderable = true),
    COL("u", UUID, .orderable = true),
    COL("dt", DATE, .orderable = true),
    COL("t", TIME, .orderable = true),
    COL("ts", TIMESTAMP, .orderable = true),
    COL("tz", TIMESTAMPTZ, .orderable = true),
    COL("j", JSON, .jsonb = true, .orderable = true),
    COL("jt", JSON, .jsonb = false),
    COL("a", ARRAY, .elem = PRG_CLASS_INT, .bits = 32, .orderable = true),
    COL("at", ARRAY, .elem = PRG_CLASS_JSON),
    COL("o", OTHER, .orderable = true),
    COL("v", ANY, .orderable = true),
    COL("a:eq", TEXT, .orderable = true),
    COL(":", INT, .bits = 32, .orderable = true),
};

static const int key_columns[] = {0};
static const struct prg_key_spec keys[] = {
    {.name = "pk", .primary = true, .ncols = 1, .cols = key_columns}};

static const struct prg_table_spec spec = {.name = "things",
                                           .ncols = COUNT(columns),
                                           .nkeys = 1,
                                           .cols = columns,
                                           .keys = keys};

/* ---- bytes to Lua -------------------------------------------------------- */

struct source {
  lua_State *L;
  const uint8_t *p, *end;
  int left; /* values that may still be made */
};

static unsigned take(struct source *s) {
  return s->p < s->end ? *s->p++ : 0;
}

static const char *const names[] = {
    "id", "i2", "f", "d",  "s", "c",  "b", "y", "u",    "dt", "t",
    "ts", "tz", "j", "jt", "a", "at", "o", "v", "a:eq", ":",  "nope"};
static const char *const ops[] = {
    "",          ":eq",      ":ne",      ":gt",   ":ge",    ":lt",
    ":le",       ":in",      ":not_in",  ":like", ":ilike", ":prefix",
    ":contains", ":between", ":is_null", ":eqq",  ":"};
static const char *const texts[] = {"",
                                    "x",
                                    "7",
                                    "-9223372036854775808",
                                    "99999999999999999999",
                                    "NaN",
                                    "Infinity",
                                    "1e400",
                                    "0.10000000000000000001",
                                    "100%",
                                    "a_b\\",
                                    "\\%",
                                    "[a]*?",
                                    "2026-11-20",
                                    "08:30:00.5",
                                    "2026-11-20T08:30:00",
                                    "2026-11-20T08:30:00+02",
                                    "2026-02-30",
                                    "infinity",
                                    "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
                                    "\xff\xfe",
                                    "{1,2}"};
static const char *const fragments[] = {
    "id > 3",          "? + ?",       "$2 = $1", ":a = :b",  "x ? 'k'", "a; b",
    "'no end",         "-- comment",  "",        "$1 + ?",   ":a + :a", "f(?)",
    "\"q\"\"x\" = $1", "$$ ? $$ = ?", "a ?| ?",  "[?] = `?`"};
static const char *const makers[] = {
    "any_of",     "all_of", "none_of",     "array",  "json",   "bytes",
    "json_array", "range",  "json_object", "record", "hstore", "raw_json"};

static void push_value(struct source *s, int depth);

static void push_key(struct source *s) {
  unsigned kind = take(s);
  if (kind < 200) {
    lua_pushfstring(s->L, "%s%s", names[kind % COUNT(names)],
                    ops[take(s) % COUNT(ops)]);
  } else if (kind < 230) {
    size_t n = take(s) % 16;
    if (n > (size_t)(s->end - s->p)) n = (size_t)(s->end - s->p);
    lua_pushlstring(s->L, (const char *)s->p, n);
    s->p += n;
  } else if (kind < 240) {
    lua_pushinteger(s->L, (lua_Integer)take(s) - 3);
  } else if (kind < 250) {
    lua_pushnumber(s->L, take(s) / 2.0);
  } else {
    lua_pushboolean(s->L, kind & 1);
  }
}

/* A list, keys, or both. */
static void push_table(struct source *s, int depth) {
  unsigned list = take(s) % 6, map = take(s) % 5, k;
  lua_newtable(s->L);
  for (k = 1; k <= list; k++) {
    push_value(s, depth + 1);
    lua_rawseti(s->L, -2, (int)k); /* a nil makes a hole */
  }
  for (k = 0; k < map; k++) {
    push_key(s);
    push_value(s, depth + 1);
    lua_rawset(s->L, -3);
  }
}

static void push_number(struct source *s) {
  static const double numbers[] = {0,      -0.0,    3.5,   1e300,  0x1p53,
                                   0x1p63, -0x1p63, 70000, 1e-320, 42};
  unsigned k = take(s) % (COUNT(numbers) + 3);
  if (k < COUNT(numbers))
    lua_pushnumber(s->L, numbers[k]);
  else if (k == COUNT(numbers))
    lua_pushnumber(s->L, (lua_Number)NAN);
  else
    lua_pushnumber(s->L, (lua_Number)(k & 1 ? HUGE_VAL : -HUGE_VAL));
}

/* Calls a constructor with the arguments on top; what it raises ends the run.
** [-n, +1, e] */
static void make(struct source *s, const char *name, int nargs) {
  lua_getfield(s->L, LUA_REGISTRYINDEX, "core");
  lua_getfield(s->L, -1, name);
  lua_remove(s->L, -2);
  lua_insert(s->L, -nargs - 1);
  lua_call(s->L, nargs, 1);
}

static void push_fragment(struct source *s, int depth) {
  unsigned n = take(s) % 4, k;
  lua_pushstring(s->L, fragments[take(s) % COUNT(fragments)]);
  for (k = 0; k < n; k++) push_value(s, depth + 1);
  make(s, "sql", (int)n + 1);
}

static void push_made(struct source *s, int depth) {
  const char *name = makers[take(s) % COUNT(makers)];
  if (take(s) % 4 == 0)
    push_value(s, depth + 1);
  else
    push_table(s, depth + 1);
  make(s, name, 1);
}

static int a_function(lua_State *L) {
  (void)L;
  return 0;
}

/* One table in another, as often as a byte says. */
static void push_nested(struct source *s, int depth) {
  unsigned n = take(s);
  push_value(s, depth + 1);
  while (n-- > 0) {
    lua_createtable(s->L, 1, 0);
    lua_insert(s->L, -2);
    lua_rawseti(s->L, -2, 1);
  }
}

static void push_value(struct source *s, int depth) {
  lua_State *L = s->L;
  luaL_checkstack(L, 20, "fuzz");
  if (depth > 12 || s->left-- <= 0) {
    lua_pushboolean(L, 1);
    return;
  }
  switch (take(s) % 16) {
    case 0:
      lua_pushlightuserdata(L, NULL);
      break;
    case 1:
      lua_pushboolean(L, take(s) & 1);
      break;
    case 2:
    case 3:
      lua_pushinteger(L, (lua_Integer)take(s) - 5);
      break;
    case 4:
      push_number(s);
      break;
    case 5:
    case 6:
      lua_pushstring(L, texts[take(s) % COUNT(texts)]);
      break;
    case 7:
      push_key(s);
      break;
    case 8:
      push_fragment(s, depth);
      break;
    case 9:
    case 10:
      push_made(s, depth);
      break;
    case 11:
      push_nested(s, depth);
      break;
    case 12:
      if (take(s) < 200)
        lua_pushnil(L);
      else
        lua_pushcfunction(L, a_function);
      break;
    default:
      push_table(s, depth);
      break;
  }
}

/* ---- reading and writing ------------------------------------------------- */

struct target {
  struct prg_db db;
  struct prg_table *table;
};

struct run {
  const uint8_t *data;
  size_t size;
  struct target *target;
  struct prg_arena *arena;
  struct prg_emit *emit;
};

static void must(bool ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "fuzz_filter: %s\n", what);
  abort();
}

static void emit(struct run *r, const struct prg_cond *where,
                 enum prg_emit_mode mode) {
  const struct prg_select s = {.table = r->target->table, .where = where};
  prg_emit_restart(r->emit, mode);
  prg_emit_select(r->emit, &s);
}

/* Writes it three times. False: the builder has refused it. */
static bool write_all(struct run *r, const struct prg_cond *where) {
  struct prg_error *err = NULL;
  size_t len, params;
  char *key;
  emit(r, where, PRG_EMIT_KEY);
  if (prg_emit_check(r->emit, &err) != PRG_OK) {
    must(err->kind == PRG_K_USAGE || err->kind == PRG_K_DATA ||
             err->kind == PRG_K_UNSUPPORTED || err->kind == PRG_K_RESOURCE,
         prg_error_message(err));
    prg_error_unref(err);
    return false;
  }
  len = r->emit->out.len;
  params = r->emit->nparams;
  key = prg_arena_dup(r->arena, r->emit->out.data, len);
  must(key != NULL, "no memory");
  emit(r, where, PRG_EMIT_TEXT);
  must(prg_emit_check(r->emit, &err) == PRG_OK, "refused as a text only");
  must(r->emit->out.len > 0 && r->emit->nparams == params &&
           r->emit->typed.len == params,
       "the text has other parameters than the key");
  emit(r, where, PRG_EMIT_KEY);
  must(prg_emit_check(r->emit, &err) == PRG_OK, "refused the second time");
  must(r->emit->out.len == len && memcmp(r->emit->out.data, key, len) == 0,
       "the key is another one the second time");
  return true;
}

static int body(lua_State *L) {
  struct run *r = lua_touserdata(L, 1);
  struct source s = {L, r->data, r->data + r->size, 300};
  struct prg_reader reader;
  struct prg_cond *where;
  int top;
  memset(&reader, 0, sizeof reader);
  reader.db = &r->target->db;
  reader.table = r->target->table;
  reader.arena = r->arena;
  push_value(&s, 0);
  top = lua_gettop(L);
  where = prg_read_filter(L, &reader, top);
  must(lua_gettop(L) == top, "reading has left something on the stack");
  (void)prg_cond_is_all(where);
  (void)write_all(r, where);
  return 0;
}

/* What may be raised: our errors, and the constructors' of the same kinds. */
static void check_raised(lua_State *L) {
  const char *kind = NULL;
  if (lua_type(L, -1) == LUA_TTABLE) {
    lua_getfield(L, -1, "kind");
    kind = lua_tostring(L, -1);
    lua_pop(L, 1);
  } else if (lua_type(L, -1) == LUA_TSTRING) {
    fprintf(stderr, "%s\n", lua_tostring(L, -1));
  }
  must(kind != NULL &&
           (strcmp(kind, "usage") == 0 || strcmp(kind, "syntax") == 0 ||
            strcmp(kind, "resource") == 0),
       "an error that is not ours, or of another kind");
}

static const struct prg_dialect *const dialects[] = {
    &prg_dialect_postgres, &prg_dialect_sqlite, &prg_dialect_mysql};

static void make_tables(struct target *targets) {
  size_t k;
  for (k = 0; k < COUNT(dialects); k++) {
    struct prg_error *err = NULL;
    targets[k].db.dialect = dialects[k];
    targets[k].table = prg_table_new(dialects[k], &spec, &err);
    must(targets[k].table != NULL, "no table");
  }
}

/* Lua without its libraries, and of ours what a filter needs. */
static lua_State *open_lua(struct target *targets) {
  lua_State *L = luaL_newstate();
  size_t k;
  must(L != NULL, "no Lua");
  lua_newtable(L);
  prg_error_open(L);
  prg_value_open(L);
  prg_json_open(L);
  prg_sql_open(L);
  prg_raw_open(L);
  prg_filter_open(L);
  lua_setfield(L, LUA_REGISTRYINDEX, "core");
  for (k = 0; k < COUNT(dialects); k++) prg_sql_init(L, &targets[k].db);
  return L;
}

/* Everything but the tables is made anew for each input, so that what leaks is
** seen at once. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static struct target targets[COUNT(dialects)];
  struct prg_arena arena;
  struct prg_emit emitter;
  struct run r = {.data = data, .size = size};
  lua_State *L;
  size_t k;
  if (targets[0].table == NULL) make_tables(targets);
  L = open_lua(targets);
  r.arena = &arena;
  r.emit = &emitter;
  for (k = 0; k < COUNT(targets); k++) {
    prg_arena_init(&arena);
    prg_emit_init(&emitter, dialects[k], PRG_EMIT_KEY, &arena);
    r.target = &targets[k];
    lua_pushcfunction(L, body);
    lua_pushlightuserdata(L, &r);
    if (lua_pcall(L, 1, 0, 0) != 0) check_raised(L);
    lua_settop(L, 0);
    prg_emit_fini(&emitter);
    prg_arena_fini(&arena);
  }
  lua_close(L);
  return 0;
}
