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

/* "NaN", "Infinity": they begin with a letter or a sign before one. */
static bool is_number(const struct prg_text *s) {
  size_t i = s->n > 0 && (s->p[0] == '-' || s->p[0] == '+') ? 1 : 0;
  return i < s->n && (s->p[i] == '.' || (s->p[i] >= '0' && s->p[i] <= '9'));
}

struct prg_error *my_check_value(int i, const struct prg_value *v,
                                 size_t *bytes) {
  *bytes += 9;
  switch (v->type) {
    case PRG_NULL:
    case PRG_BOOL:
    case PRG_INT:
      return NULL;
    case PRG_TEXT:
    case PRG_JSON:
    case PRG_BYTES:
      *bytes += v->u.s.n;
      return NULL;
    case PRG_DOUBLE:
      if (isfinite(v->u.d)) return NULL;
      return refuse(i, isnan(v->u.d) ? "NaN" : "infinity", NULL);
    case PRG_DECIMAL:
      *bytes += v->u.s.n;
      if (is_number(&v->u.s)) return NULL;
      return refuse(i, "decimal like this", NULL);
    case PRG_LIST:
      return refuse(i, "lists",
                    "perigee.json(list) sends a JSON array; a filter "
                    "{ id = { 1, 2 } } is written out.");
    default:
      return refuse(i, "composite values, ranges and maps",
                    "perigee.json(value) sends a JSON document.");
  }
}

void my_bind_data(const struct prg_value *v, MYSQL_BIND *b) {
  switch (v->type) {
    case PRG_NULL:
      break;
    case PRG_BOOL:
      b->buffer = (void *)(uintptr_t)&v->u.b;
      break;
    case PRG_INT:
      b->buffer = (void *)(uintptr_t)&v->u.i;
      break;
    case PRG_DOUBLE:
      b->buffer = (void *)(uintptr_t)&v->u.d;
      break;
    default:
      b->buffer = (void *)(uintptr_t)(v->u.s.p == NULL ? "" : v->u.s.p);
      b->buffer_length = v->u.s.n;
      b->length_value = v->u.s.n;
      b->length = &b->length_value;
      break;
  }
}

void my_bind_value(const struct prg_value *v, MYSQL_BIND *b) {
  memset(b, 0, sizeof *b);
  b->buffer_type = (enum enum_field_types)prg_packet_type(v->type);
  my_bind_data(v, b);
}
