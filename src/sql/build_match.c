/* Patterns and containment. A value is translated while it is emitted, in both
** modes: the parameters are collected in both. */
#include <assert.h>
#include <string.h>

#include "sql/build_int.h"

/* Longer texts are no GLOB pattern: SQLite takes 50,000 bytes of one, and an
** escaped character has three. */
enum { GLOB_MAX = 16000 };

static struct prg_value text_value(const char *p, size_t n) {
  struct prg_value v = {.type = PRG_TEXT, .u.s = {p, n}};
  return v;
}

/* Room for a pattern, or NULL: no memory. */
static char *pattern_space(struct prg_emit *e, size_t size) {
  char *p = prg_arena_alloc(e->arena, size);
  if (p == NULL) prg__emit_fail(e, prg_error_oom());
  return p;
}

/* ---- the patterns of LIKE ----------------------------------------------- */

/* `s` literally, with `%` before and behind it as asked. */
static bool like_literal(struct prg_emit *e, const struct prg_text *s,
                         bool before, struct prg_value *out) {
  char *p = pattern_space(e, s->n * 2 + 2), *at = p;
  if (p == NULL) return false;
  if (before) *at++ = '%';
  for (size_t i = 0; i < s->n; i++) {
    char c = s->p[i];
    if (c == '%' || c == '_' || c == '\\') *at++ = '\\';
    *at++ = c;
  }
  *at++ = '%';
  *out = text_value(p, (size_t)(at - p));
  return true;
}

/* The escape character at the end escapes nothing: PostgreSQL refuses it, when
** a row comes so far. */
static bool ends_in_escape(const struct prg_text *s) {
  size_t n = 0;
  while (n < s->n && s->p[s->n - 1 - n] == '\\') n++;
  return n % 2 == 1;
}

/* ---- the patterns of GLOB ----------------------------------------------- */

static char *glob_char(char *at, char c) {
  bool special = c == '*' || c == '?' || c == '[';
  if (special) *at++ = '[';
  *at++ = c;
  if (special) *at++ = ']';
  return at;
}

static bool glob_prefix(struct prg_emit *e, const struct prg_text *s,
                        struct prg_value *out) {
  char *p = pattern_space(e, s->n * 3 + 1), *at = p;
  if (p == NULL) return false;
  for (size_t i = 0; i < s->n; i++) at = glob_char(at, s->p[i]);
  *at++ = '*';
  *out = text_value(p, (size_t)(at - p));
  return true;
}

/* A pattern of LIKE as one of GLOB. */
static bool glob_pattern(struct prg_emit *e, const struct prg_text *s,
                         struct prg_value *out) {
  char *p = pattern_space(e, s->n * 3 + 1), *at = p;
  if (p == NULL) return false;
  for (size_t i = 0; i < s->n; i++) {
    if (s->p[i] == '%')
      *at++ = '*';
    else if (s->p[i] == '_')
      *at++ = '?';
    else if (s->p[i] == '\\')
      at = glob_char(at, s->p[++i]); /* it is not the last */
    else
      at = glob_char(at, s->p[i]);
  }
  *out = text_value(p, (size_t)(at - p));
  return true;
}

static bool has_zero(const struct prg_text *s) {
  return s->n > 0 && memchr(s->p, '\0', s->n) != NULL;
}

/* ---- texts -------------------------------------------------------------- */

/* Types of the database's own take patterns as they are; an enum, a domain or
** citext (which would fold) has to become a text. */
static const char *text_cast(const struct prg_emit *e,
                             const struct prg_col *col) {
  static const char own[] = "\"pg_catalog\".";
  bool cast = (e->d->build & PRG_BUILD_TYPES) != 0 &&
              strncmp(col->type, own, sizeof own - 1) != 0;
  return cast ? "::text" : "";
}

static void emit_text_match(struct prg_emit *e, const struct prg_cond *c,
                            const struct prg_infix *how,
                            const struct prg_value *v) {
  struct prg_operand to = {.value = *v};
  prg__emit_infix(e, how, c->col, text_cast(e, c->col), &to);
}

/* The pattern is the user's. What no database could match is refused on each of
** them, and for all rows. */
static void emit_like(struct prg_emit *e, const struct prg_cond *c) {
  const struct prg_text *s = &c->u.match.value.u.s;
  bool exact = c->u.match.how == PRG_LIKE;
  struct prg_value v = c->u.match.value;
  if (ends_in_escape(s)) {
    prg__emit_fail(e, prg_error_new(PRG_K_DATA,
                                    "%s: the pattern ends with the escape "
                                    "character \\",
                                    c->col->name.p));
    return;
  }
  if ((e->d->build & PRG_BUILD_GLOB) != 0 && has_zero(s)) {
    prg__emit_fail(
        e, prg_error_new(PRG_K_DATA, "%s: the pattern contains a zero byte",
                         c->col->name.p));
    return;
  }
  if (exact && (e->d->build & PRG_BUILD_GLOB) != 0 && !glob_pattern(e, s, &v))
    return;
  emit_text_match(e, c, exact ? &e->d->like : &e->d->ilike, &v);
}

static void emit_prefix(struct prg_emit *e, const struct prg_cond *c) {
  static const struct prg_infix begins = {"instr(", ", ", ") = 1"};
  const struct prg_text *s = &c->u.match.value.u.s;
  bool glob = (e->d->build & PRG_BUILD_GLOB) != 0;
  struct prg_value v = c->u.match.value;
  if (glob && (s->n > GLOB_MAX || has_zero(s)))
    emit_text_match(e, c, &begins, &v);
  else if (glob ? glob_prefix(e, s, &v) : like_literal(e, s, false, &v))
    emit_text_match(e, c, &e->d->like, &v);
}

static void emit_contains(struct prg_emit *e, const struct prg_cond *c) {
  static const struct prg_infix within = {"instr(", ", ", ") > 0"};
  struct prg_value v = c->u.match.value;
  if ((e->d->build & PRG_BUILD_GLOB) != 0)
    emit_text_match(e, c, &within, &v);
  else if (like_literal(e, &c->u.match.value.u.s, true, &v))
    emit_text_match(e, c, &e->d->like, &v);
}

/* No text has a zero byte that a search could mean; cut there, the pattern would
** find something else. */
static void emit_icontains(struct prg_emit *e, const struct prg_cond *c) {
  const struct prg_text *s = &c->u.match.value.u.s;
  struct prg_value v;
  if ((e->d->build & PRG_BUILD_GLOB) != 0 && has_zero(s))
    prg__emit_fail(
        e, prg_error_new(PRG_K_DATA, "%s: the text contains a zero byte",
                         c->col->name.p));
  else if (like_literal(e, s, true, &v))
    emit_text_match(e, c, &e->d->ilike, &v);
}

/* ---- documents, arrays, ranges ------------------------------------------ */

static void emit_has_json(struct prg_emit *e, const struct prg_cond *c) {
  struct prg_operand to = {.value = c->u.match.value};
  prg__emit_infix(e, c->col->jsonb ? &e->d->has_jsonb : &e->d->has_json, c->col,
                  "", &to);
}

/* The range from `v` to `v`: to contain it is to contain the element, and its
** type is the column's, while that of an element would have to be known. */
static bool range_of(struct prg_emit *e, const struct prg_col *col,
                     const struct prg_value *v, struct prg_value *out) {
  struct prg_vrange *r = prg_arena_alloc(e->arena, sizeof *r);
  struct prg_vlist *list = prg_arena_alloc(e->arena, sizeof *list);
  if (r == NULL || list == NULL) {
    prg__emit_fail(e, prg_error_oom());
    return false;
  }
  *r = (struct prg_vrange){
      .lower_inc = true, .upper_inc = true, .lower = *v, .upper = *v};
  *out = (struct prg_value){.type = PRG_RANGE, .u.range = r};
  if (strstr(col->title, "multirange") == NULL) return true;
  struct prg_value *item = prg_arena_alloc(e->arena, sizeof *item);
  if (item == NULL) {
    prg__emit_fail(e, prg_error_oom());
    return false;
  }
  *item = *out;
  *list = (struct prg_vlist){.n = 1, .items = item};
  *out = (struct prg_value){.type = PRG_MULTIRANGE, .u.list = list};
  return true;
}

/* Values that are what the column holds go as they are. */
static bool is_element(const struct prg_value *v) {
  return v->type != PRG_LIST && v->type != PRG_RANGE &&
         v->type != PRG_MULTIRANGE && v->type != PRG_HSTORE;
}

static void emit_has_items(struct prg_emit *e, const struct prg_cond *c) {
  struct prg_value v = c->u.match.value;
  if ((e->d->build & PRG_BUILD_HAS) == 0) {
    prg__emit_fail(e, prg_error_new(PRG_K_UNSUPPORTED,
                                    "%s:contains: %s has no such operator for "
                                    "a column of type %s",
                                    c->col->name.p, e->d->name, c->col->title));
    return;
  }
  if (is_element(&v) && !range_of(e, c->col, &c->u.match.value, &v)) return;
  prg__emit_col(e, c->col);
  prg_emit_text(e, " @> ");
  prg_emit_param(e, &v);
  if (*c->col->type == '\0') return;
  prg_emit_text(e, "::");
  prg_emit_text(e, c->col->type);
}

void prg__emit_match(struct prg_emit *e, const struct prg_cond *c) {
  enum prg_match how = c->u.match.how;
  assert(how == PRG_HAS_JSON || how == PRG_HAS_ITEMS ||
         c->u.match.value.type == PRG_TEXT);
  switch (how) {
    case PRG_LIKE:
    case PRG_ILIKE:
      emit_like(e, c);
      break;
    case PRG_PREFIX:
      emit_prefix(e, c);
      break;
    case PRG_CONTAINS:
      emit_contains(e, c);
      break;
    case PRG_ICONTAINS:
      emit_icontains(e, c);
      break;
    case PRG_HAS_JSON:
      emit_has_json(e, c);
      break;
    case PRG_HAS_ITEMS:
      emit_has_items(e, c);
      break;
  }
}
