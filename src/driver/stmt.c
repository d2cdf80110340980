#include "driver/driver.h"

#include "base/mem.h"

/* FNV-1a: short texts, no attacker chooses the buckets of a bounded cache. */
static uint64_t hash_on(uint64_t h, const char *p, size_t n) {
  for (size_t i = 0; i < n; i++) {
    h = (h ^ (unsigned char)p[i]) * UINT64_C(1099511628211);
  }
  return h;
}

struct prg_stmt *prg_stmt_new(const char *sql, size_t len, unsigned flags,
                              int nparams) {
  struct prg_stmt *s = prg_calloc(1, sizeof *s);
  if (s == NULL) return NULL;
  s->sql = prg_memdup(sql, len);
  if (s->sql == NULL) {
    prg_free(s);
    return NULL;
  }
  s->refs = 1;
  s->len = len;
  s->hash = hash_on(UINT64_C(14695981039346656037), sql, len);
  s->flags = flags;
  s->nparams = nparams;
  s->lane = (flags & PRG_STMT_READ) ? PRG_LANE_READ : PRG_LANE_WRITE;
  return s;
}

int prg_stmt_set_types(struct prg_stmt *s, const char *types, size_t n) {
  s->types = prg_memdup(types, n);
  if (s->types == NULL) return PRG_ERR;
  s->ntypes = n;
  s->hash = hash_on(s->hash, types, n);
  return PRG_OK;
}

struct prg_stmt *prg_stmt_ref(struct prg_stmt *s) {
  if (s != NULL) s->refs++;
  return s;
}

void prg_stmt_unref(struct prg_stmt *s) {
  if (s == NULL || --s->refs > 0) return;
  prg_free(s->sql);
  prg_free(s->typed);
  prg_free(s->types);
  prg_free(s);
}
