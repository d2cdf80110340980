/* Values of keys: their hash, and how they read. */
#include "bind/bulk_int.h"

#include <stdio.h>

uint64_t prg_bulk_hash(const struct prg_value *v) {
  const uint64_t prime = UINT64_C(0x100000001b3);
  uint64_t h = UINT64_C(0xcbf29ce484222325);
  double zero = 0;
  size_t i;
  switch (v->type) {
    case PRG_BOOL:
      return h ^ v->u.b;
    case PRG_INT:
      h = (h ^ (uint64_t)v->u.i) * UINT64_C(0x9e3779b97f4a7c15);
      return h ^ h >> 32;
    case PRG_DOUBLE:
      if (v->u.d != 0) memcpy(&zero, &v->u.d, sizeof zero);
      memcpy(&h, &zero, sizeof h);
      h *= UINT64_C(0x9e3779b97f4a7c15);
      return h ^ h >> 32;
    case PRG_TEXT:
    case PRG_BYTES:
    case PRG_DECIMAL:
    case PRG_JSON:
      for (i = 0; i < v->u.s.n; i++)
        h = (h ^ (unsigned char)v->u.s.p[i]) * prime;
      return h ^ h >> 29;
    default:
      return h;
  }
}

size_t prg_bulk_print(const struct prg_value *v, char *out, size_t size) {
  int n;
  switch (v->type) {
    case PRG_INT:
      n = snprintf(out, size, "%lld", (long long)v->u.i);
      break;
    case PRG_DOUBLE:
      n = snprintf(out, size, "%.17g", v->u.d);
      break;
    case PRG_BOOL:
      n = snprintf(out, size, "%s", v->u.b ? "true" : "false");
      break;
    case PRG_TEXT:
    case PRG_DECIMAL:
      n = snprintf(out, size, "%.*s", v->u.s.n > 60 ? 60 : (int)v->u.s.n,
                   v->u.s.p);
      break;
    default:
      n = snprintf(out, size, "…");
      break;
  }
  if (n < 0) return 0;
  return (size_t)n < size ? (size_t)n : size - 1;
}
