/* Parameters. The server takes the type that a value comes with and converts it
** to the type of its place. */
#include "driver/mysql/my_int.h"

#include <math.h>
#include <string.h>

static struct prg_error *refuse(int i, const char *what, const char *hint) {
  struct prg_error *e =
      prg_error_new(PRG_K_USAGE, "parameter %d: MySQL has no %s", i, what);
  return prg_error_set(e, PRG_EF_HINT, hint);
}

static void bind_bytes(const struct prg_value *v, enum enum_field_types type,
                       MYSQL_BIND *b, size_t *bytes) {
  b->buffer_type = type;
  b->buffer = (void *)(uintptr_t)(v->u.s.p == NULL ? "" : v->u.s.p);
  b->buffer_length = v->u.s.n;
  b->length_value = v->u.s.n;
  b->length = &b->length_value;
  *bytes += v->u.s.n;
}

/* "NaN", "Infinity": they begin with a letter or a sign before one. */
static bool is_number(const struct prg_text *s) {
  size_t i = s->n > 0 && (s->p[0] == '-' || s->p[0] == '+') ? 1 : 0;
  return i < s->n && (s->p[i] == '.' || (s->p[i] >= '0' && s->p[i] <= '9'));
}

struct prg_error *my_bind_value(int i, const struct prg_value *v, MYSQL_BIND *b,
                                size_t *bytes) {
  memset(b, 0, sizeof *b);
  *bytes += 9;
  switch (v->type) {
    case PRG_NULL:
      b->buffer_type = MYSQL_TYPE_NULL;
      return NULL;
    case PRG_BOOL:
      b->buffer_type = MYSQL_TYPE_TINY;
      b->buffer = (void *)(uintptr_t)&v->u.b;
      return NULL;
    case PRG_INT:
      b->buffer_type = MYSQL_TYPE_LONGLONG;
      b->buffer = (void *)(uintptr_t)&v->u.i;
      return NULL;
    case PRG_DOUBLE:
      if (!isfinite(v->u.d))
        return refuse(i, isnan(v->u.d) ? "NaN" : "infinity", NULL);
      b->buffer_type = MYSQL_TYPE_DOUBLE;
      b->buffer = (void *)(uintptr_t)&v->u.d;
      return NULL;
    case PRG_TEXT:
    case PRG_JSON:
      bind_bytes(v, MYSQL_TYPE_STRING, b, bytes);
      return NULL;
    case PRG_BYTES:
      bind_bytes(v, MYSQL_TYPE_BLOB, b, bytes);
      return NULL;
    case PRG_DECIMAL:
      if (!is_number(&v->u.s)) return refuse(i, "decimal like this", NULL);
      bind_bytes(v, MYSQL_TYPE_NEWDECIMAL, b, bytes);
      return NULL;
    case PRG_LIST:
      return refuse(i, "lists",
                    "perigee.json(list) sends a JSON array; a filter "
                    "{ id = { 1, 2 } } is written out.");
    default:
      return refuse(i, "composite values, ranges and maps",
                    "perigee.json(value) sends a JSON document.");
  }
}
