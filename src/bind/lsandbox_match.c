/*
** string.find, match, gmatch and gsub for the sandbox: the patterns of Lua 5.4 on
** every Lua, with each step counted as an instruction. Those of Lua run in one
** piece, and a few characters of pattern make them run for years.
*/
#include "bind/sandbox_int.h"

#include <ctype.h>

enum { MAX_CAPTURES = 32, MAX_NESTING = 180, CAP_OPEN = -1, CAP_PLACE = -2 };

struct matcher {
  lua_State *S;
  const char *src, *src_end;
  const char *pat_end;
  int nesting; /* of match() */
  int level;   /* captures, finished or not */
  struct {
    const char *at;
    ptrdiff_t len; /* or CAP_OPEN, CAP_PLACE */
  } capture[MAX_CAPTURES];
};

static const char *match(struct matcher *m, const char *s, const char *p);

/* ---- single characters --------------------------------------------------- */

/* Behind the item of the pattern at `p`. */
static const char *item_end(struct matcher *m, const char *p) {
  char first = *p++;
  if (first == '%') {
    if (p == m->pat_end) luaL_error(m->S, "malformed pattern (ends with '%%')");
    return p + 1;
  }
  if (first != '[') return p;
  if (*p == '^') p++;
  do {
    if (p == m->pat_end) luaL_error(m->S, "malformed pattern (missing ']')");
    if (*p++ == '%' && p < m->pat_end) p++;
  } while (*p != ']');
  return p + 1;
}

static bool in_class(int c, int class) {
  bool in;
  switch (tolower(class)) {
    case 'a':
      in = isalpha(c) != 0;
      break;
    case 'c':
      in = iscntrl(c) != 0;
      break;
    case 'd':
      in = isdigit(c) != 0;
      break;
    case 'g':
      in = isgraph(c) != 0;
      break;
    case 'l':
      in = islower(c) != 0;
      break;
    case 'p':
      in = ispunct(c) != 0;
      break;
    case 's':
      in = isspace(c) != 0;
      break;
    case 'u':
      in = isupper(c) != 0;
      break;
    case 'w':
      in = isalnum(c) != 0;
      break;
    case 'x':
      in = isxdigit(c) != 0;
      break;
    default:
      return class == c;
  }
  return isupper(class) ? !in : in;
}

/* `p` is at '[', `last` at its ']'. */
static bool in_set(int c, const char *p, const char *last) {
  bool yes = true;
  if (p[1] == '^') {
    yes = false;
    p++;
  }
  while (++p < last) {
    if (*p == '%') {
      p++;
      if (in_class(c, (unsigned char)*p)) return yes;
    } else if (p[1] == '-' && p + 2 < last) {
      p += 2;
      if ((unsigned char)p[-2] <= c && c <= (unsigned char)*p) return yes;
    } else if ((unsigned char)*p == c) {
      return yes;
    }
  }
  return !yes;
}

/* Does the item from `p` to `ep` match the character at `s`? */
static bool matches_one(struct matcher *m, const char *s, const char *p,
                        const char *ep) {
  int c;
  prg_sandbox_charge(m->S, 1 + (size_t)(ep - p) / 8);
  if (s >= m->src_end) return false;
  c = (unsigned char)*s;
  switch (*p) {
    case '.':
      return true;
    case '%':
      return in_class(c, (unsigned char)p[1]);
    case '[':
      return in_set(c, p, ep - 1);
    default:
      return (unsigned char)*p == c;
  }
}

/* ---- captures ------------------------------------------------------------ */

static const char *start_capture(struct matcher *m, const char *s,
                                 const char *p, ptrdiff_t what) {
  const char *end;
  if (m->level >= MAX_CAPTURES) luaL_error(m->S, "too many captures");
  m->capture[m->level].at = s;
  m->capture[m->level].len = what;
  m->level++;
  end = match(m, s, p);
  if (end == NULL) m->level--;
  return end;
}

static const char *end_capture(struct matcher *m, const char *s,
                               const char *p) {
  const char *end;
  int i = m->level - 1;
  while (i >= 0 && m->capture[i].len != CAP_OPEN) i--;
  if (i < 0) luaL_error(m->S, "invalid pattern capture");
  m->capture[i].len = s - m->capture[i].at;
  end = match(m, s, p);
  if (end == NULL) m->capture[i].len = CAP_OPEN;
  return end;
}

static const char *match_capture(struct matcher *m, const char *s, int digit) {
  int i = digit - '1';
  size_t n;
  if (i < 0 || i >= m->level || m->capture[i].len == CAP_OPEN)
    luaL_error(m->S, "invalid capture index %%%d", i + 1);
  n = m->capture[i].len < 0 ? 0 : (size_t)m->capture[i].len;
  prg_sandbox_charge(m->S, n / 16);
  if ((size_t)(m->src_end - s) < n || memcmp(m->capture[i].at, s, n) != 0)
    return NULL;
  return s + n;
}

/* Pushes capture `i`, or all of s to e when the pattern has none. */
static void push_capture(struct matcher *m, int i, const char *s,
                         const char *e) {
  ptrdiff_t len;
  if (i >= m->level) {
    if (i != 0) luaL_error(m->S, "invalid capture index %%%d", i + 1);
    lua_pushlstring(m->S, s, (size_t)(e - s));
    return;
  }
  len = m->capture[i].len;
  if (len == CAP_OPEN) luaL_error(m->S, "unfinished capture");
  if (len == CAP_PLACE)
    lua_pushinteger(m->S, (lua_Integer)(m->capture[i].at - m->src + 1));
  else
    lua_pushlstring(m->S, m->capture[i].at, (size_t)len);
}

/* All of them; `s` NULL: not the whole match in place of none. */
static int push_captures(struct matcher *m, const char *s, const char *e) {
  int i, n = m->level == 0 && s != NULL ? 1 : m->level;
  luaL_checkstack(m->S, n, "too many captures");
  for (i = 0; i < n; i++) push_capture(m, i, s, e);
  return n;
}

/* ---- matching ------------------------------------------------------------ */

static const char *match_balance(struct matcher *m, const char *s,
                                 const char *p) {
  int open, close, depth = 1;
  if (m->pat_end - p < 2)
    luaL_error(m->S, "malformed pattern (missing arguments to '%%b')");
  open = *p;
  close = p[1];
  if (s >= m->src_end || *s != open) return NULL;
  while (++s < m->src_end) {
    prg_sandbox_charge(m->S, 1);
    if (*s == close) {
      if (--depth == 0) return s + 1;
    } else if (*s == open) {
      depth++;
    }
  }
  return NULL;
}

/* Is `s` at a frontier of the set at `p`, which ends before `ep`? */
static bool at_frontier(struct matcher *m, const char *s, const char *p,
                        const char *ep) {
  int before = s == m->src ? 0 : (unsigned char)s[-1];
  int here = s == m->src_end ? 0 : (unsigned char)*s;
  return !in_set(before, p, ep - 1) && in_set(here, p, ep - 1);
}

static const char *match_most(struct matcher *m, const char *s, const char *p,
                              const char *ep) {
  ptrdiff_t n = 0;
  while (matches_one(m, s + n, p, ep)) n++;
  for (; n >= 0; n--) {
    const char *end = match(m, s + n, ep + 1);
    if (end != NULL) return end;
  }
  return NULL;
}

static const char *match_least(struct matcher *m, const char *s, const char *p,
                               const char *ep) {
  for (;;) {
    const char *end = match(m, s, ep + 1);
    if (end != NULL) return end;
    if (!matches_one(m, s, p, ep)) return NULL;
    s++;
  }
}

/* The item at *p that stands for more than one character: %b, %f, %1. False: it
** is none of them. Moves *p behind it, and *s, NULL for no match. */
static bool match_special(struct matcher *m, const char **s, const char **p) {
  const char *ep;
  int kind = (unsigned char)(*p)[1]; /* the zero byte at the end of the text */
  if (kind == 'b') {
    *s = match_balance(m, *s, *p + 2);
    *p += 4;
  } else if (kind == 'f') {
    *p += 2;
    if (**p != '[') luaL_error(m->S, "missing '[' after '%%f' in pattern");
    ep = item_end(m, *p);
    if (!at_frontier(m, *s, *p, ep)) *s = NULL;
    *p = ep;
  } else if (isdigit(kind)) {
    *s = match_capture(m, *s, kind);
    *p += 2;
  } else {
    return false;
  }
  return true;
}

/* The item from `p` to `ep` with its repetition; the same results. `done`: the
** rest of the pattern has been tried too. */
static const char *match_item(struct matcher *m, const char *s, const char **p,
                              bool *done) {
  const char *ep = item_end(m, *p), *end;
  const char *item = *p;
  *done = true;
  switch (*ep) { /* the zero byte at the end of the text */
    case '*':
      return match_most(m, s, item, ep);
    case '+':
      return matches_one(m, s, item, ep) ? match_most(m, s + 1, item, ep)
                                         : NULL;
    case '-':
      return match_least(m, s, item, ep);
    case '?':
      if (matches_one(m, s, item, ep)) {
        end = match(m, s + 1, ep + 1);
        if (end != NULL) return end;
      }
      *p = ep + 1;
      *done = false;
      return s;
    default:
      *p = ep;
      *done = false;
      return matches_one(m, s, item, ep) ? s + 1 : NULL;
  }
}

/* Where the match of the pattern from `p` on ends that begins at `s`, or NULL. */
static const char *match(struct matcher *m, const char *s, const char *p) {
  bool done = false;
  if (++m->nesting > MAX_NESTING) luaL_error(m->S, "pattern too complex");
  while (s != NULL && p < m->pat_end && !done) {
    prg_sandbox_charge(m->S, 1);
    if (*p == '(') {
      bool place = p[1] == ')';
      s = start_capture(m, s, p + (place ? 2 : 1),
                        place ? CAP_PLACE : CAP_OPEN);
      done = true;
    } else if (*p == ')') {
      s = end_capture(m, s, p + 1);
      done = true;
    } else if (*p == '$' && p + 1 == m->pat_end) {
      if (s != m->src_end) s = NULL;
      done = true;
    } else if (*p != '%' || !match_special(m, &s, &p)) {
      s = match_item(m, s, &p, &done);
    }
  }
  m->nesting--;
  return s;
}

/* From the place on where it begins first: NULL, or its end and *start. */
static const char *search(struct matcher *m, const char **start,
                          const char *p) {
  bool anchored = *p == '^' && p < m->pat_end;
  if (anchored) p++;
  for (;; (*start)++) {
    const char *end;
    m->level = 0;
    m->nesting = 0;
    end = match(m, *start, p);
    if (end != NULL) return end;
    if (anchored || *start >= m->src_end) return NULL;
  }
}

/* ---- functions ----------------------------------------------------------- */

/* Reads the text at 1 and the pattern at 2, which is returned. */
static const char *prepare(lua_State *S, struct matcher *m) {
  size_t n, k;
  const char *p;
  m->S = S;
  m->src = luaL_checklstring(S, 1, &n);
  m->src_end = m->src + n;
  p = luaL_checklstring(S, 2, &k);
  m->pat_end = p + k;
  m->level = 0;
  m->nesting = 0;
  return p;
}

/* Where the search begins by the argument at 3: NULL: behind the end. */
static const char *first_place(lua_State *S, const struct matcher *m) {
  lua_Integer i = luaL_optinteger(S, 3, 1), n = m->src_end - m->src;
  if (i < 0) i = i < -n ? 1 : n + i + 1;
  if (i == 0) i = 1;
  return i > n + 1 ? NULL : m->src + i - 1;
}

static int find_plain(struct matcher *m, const char *from, const char *p) {
  size_t n = (size_t)(m->pat_end - p), room = (size_t)(m->src_end - from);
  const char *at;
  prg_sandbox_charge(m->S, 1 + (room + n) / 16);
  at = n == 0 ? from : memmem(from, room, p, n);
  if (at == NULL) return 0;
  lua_pushinteger(m->S, (lua_Integer)(at - m->src + 1));
  lua_pushinteger(m->S, (lua_Integer)(at - m->src) + (lua_Integer)n);
  return 2;
}

static bool is_plain(const char *p, const char *end) {
  for (; p < end; p++)
    if (*p != '\0' && strchr("^$*+?.([%-", *p) != NULL) return false;
  return true;
}

static int string_find(lua_State *S) {
  struct matcher m;
  const char *p = prepare(S, &m), *from = first_place(S, &m), *end;
  if (from != NULL && (lua_toboolean(S, 4) || is_plain(p, m.pat_end))) {
    int n = find_plain(&m, from, p);
    if (n > 0) return n;
  } else if (from != NULL && (end = search(&m, &from, p)) != NULL) {
    lua_pushinteger(S, (lua_Integer)(from - m.src + 1));
    lua_pushinteger(S, (lua_Integer)(end - m.src));
    return 2 + push_captures(&m, NULL, NULL);
  }
  lua_pushnil(S);
  return 1;
}

static int string_match(lua_State *S) {
  struct matcher m;
  const char *p = prepare(S, &m), *from = first_place(S, &m), *end = NULL;
  if (from != NULL) end = search(&m, &from, p);
  if (end != NULL) return push_captures(&m, from, end);
  lua_pushnil(S);
  return 1;
}

/* Upvalues: text, pattern, where to go on (from 0), where the last match ended
** (-1: none yet). */
static int next_match(lua_State *S) {
  struct matcher m;
  const char *p, *s, *last;
  lua_Integer at = lua_tointeger(S, lua_upvalueindex(3));
  lua_Integer before = lua_tointeger(S, lua_upvalueindex(4));
  lua_settop(S, 0);
  lua_pushvalue(S, lua_upvalueindex(1));
  lua_pushvalue(S, lua_upvalueindex(2));
  p = prepare(S, &m);
  last = before < 0 ? NULL : m.src + before;
  for (s = m.src + at; s <= m.src_end; s++) {
    const char *end;
    m.level = 0;
    m.nesting = 0;
    end = match(&m, s, p);
    if (end == NULL || end == last) continue;
    lua_pushinteger(S, (lua_Integer)(end - m.src));
    lua_pushvalue(S, -1);
    lua_replace(S, lua_upvalueindex(3));
    lua_replace(S, lua_upvalueindex(4));
    return push_captures(&m, s, end);
  }
  lua_pushinteger(S, (lua_Integer)(m.src_end - m.src) + 1);
  lua_replace(S, lua_upvalueindex(3));
  return 0;
}

static int string_gmatch(lua_State *S) {
  luaL_checkstring(S, 1);
  luaL_checkstring(S, 2);
  lua_settop(S, 2);
  lua_pushinteger(S, 0);
  lua_pushinteger(S, -1);
  lua_pushcclosure(S, next_match, 4);
  return 1;
}

/* ---- gsub ---------------------------------------------------------------- */

static void add_text(struct matcher *m, luaL_Buffer *b, const char *s,
                     const char *e) {
  size_t n, i;
  const char *text = lua_tolstring(m->S, 3, &n);
  prg_sandbox_charge(m->S, n / 16);
  for (i = 0; i < n; i++) {
    if (text[i] != '%') {
      luaL_addchar(b, text[i]);
      continue;
    }
    i++; /* at the end: the zero byte */
    if (text[i] == '%') {
      luaL_addchar(b, '%');
    } else if (text[i] == '0') {
      luaL_addlstring(b, s, (size_t)(e - s));
    } else if (isdigit((unsigned char)text[i])) {
      push_capture(m, text[i] - '1', s, e);
      (void)lua_tostring(m->S, -1); /* a place is a number */
      luaL_addvalue(b);
    } else {
      luaL_error(m->S, "invalid use of '%%' in replacement string");
    }
  }
}

/* Appends what replaces s to e. */
static void add_replacement(struct matcher *m, luaL_Buffer *b, const char *s,
                            const char *e) {
  lua_State *S = m->S;
  int type = lua_type(S, 3);
  if (type == LUA_TFUNCTION) {
    lua_pushvalue(S, 3);
    prg_sandbox_enter(S);
    lua_call(S, push_captures(m, s, e), 1);
    prg_sandbox_leave(S);
  } else if (type == LUA_TTABLE) {
    push_capture(m, 0, s, e);
    prg_sandbox_enter(S);
    lua_gettable(S, 3); /* __index */
    prg_sandbox_leave(S);
  } else {
    add_text(m, b, s, e);
    return;
  }
  if (!lua_toboolean(S, -1)) {
    lua_pop(S, 1);
    lua_pushlstring(S, s, (size_t)(e - s));
  } else if (!lua_isstring(S, -1)) {
    luaL_error(S, "invalid replacement value (a %s)", luaL_typename(S, -1));
  }
  luaL_addvalue(b);
}

static int string_gsub(lua_State *S) {
  struct matcher m;
  const char *p = prepare(S, &m), *s = m.src, *last = NULL;
  int type = lua_type(S, 3);
  lua_Integer most = luaL_optinteger(S, 4, (lua_Integer)(m.src_end - s) + 1);
  lua_Integer n = 0;
  bool anchored = p < m.pat_end && *p == '^';
  luaL_Buffer b;
  luaL_argcheck(S,
                type == LUA_TNUMBER || type == LUA_TSTRING ||
                    type == LUA_TFUNCTION || type == LUA_TTABLE,
                3, "string/function/table expected");
  if (type == LUA_TNUMBER) (void)lua_tostring(S, 3);
  lua_settop(S, 4);
  luaL_buffinit(S, &b);
  if (anchored) p++;
  while (n < most) {
    const char *end;
    m.level = 0;
    m.nesting = 0;
    end = match(&m, s, p);
    if (end != NULL && end != last) {
      n++;
      add_replacement(&m, &b, s, end);
      s = last = end;
    } else if (s < m.src_end) {
      luaL_addchar(&b, *s++);
    } else {
      break;
    }
    if (anchored) break;
  }
  luaL_addlstring(&b, s, (size_t)(m.src_end - s));
  luaL_pushresult(&b);
  lua_pushinteger(S, n);
  return 2;
}

const luaL_Reg prg_sandbox_patterns[] = {{"find", string_find},
                                         {"match", string_match},
                                         {"gmatch", string_gmatch},
                                         {"gsub", string_gsub},
                                         {NULL, NULL}};
