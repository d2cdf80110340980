#include "driver/postgres/pg_int.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/mem.h"

static unsigned some_number(void) {
  unsigned n;
  if (getrandom(&n, sizeof n, GRND_NONBLOCK) == (ssize_t)sizeof n) return n;
  return ((unsigned)getpid() << 16) ^ (unsigned)prg_now();
}

void pg_cache_init(struct pg_cache *k) {
  memset(k, 0, sizeof *k);
  k->salt = some_number();
  prg_list_init(&k->lru);
}

struct pg_entry *pg_entry_ref(struct pg_entry *e) {
  e->refs++;
  return e;
}

void pg_entry_unref(struct pg_entry *e) {
  if (e == NULL || --e->refs > 0) return;
  prg_stmt_unref(e->stmt);
  pg_plan_unref(e->plan);
  prg_free(e->types);
  prg_free(e);
}

static struct pg_entry *entry_of(struct prg_link *k) {
  return PRG_CONTAINER(k, struct pg_entry, lru);
}

void pg_cache_clear(struct pg_cache *k) {
  struct prg_link *e;
  while ((e = prg_list_pop_front(&k->lru)) != NULL) pg_entry_unref(entry_of(e));
  for (size_t i = 0; i < k->nbuckets; i++) k->buckets[i] = NULL;
  k->nclosing = 0;
}

void pg_cache_fini(struct pg_cache *k) {
  pg_cache_clear(k);
  prg_free(k->buckets);
  prg_free(k->closing);
  pg_cache_init(k);
}

static uint64_t key_hash(const struct prg_stmt *stmt, const Oid *types) {
  uint64_t h = stmt->hash;
  for (int i = 0; i < stmt->nparams; i++)
    h = (h ^ types[i]) * UINT64_C(0x9e3779b97f4a7c15);
  return h ^ h >> 29;
}

static bool same_text(const struct prg_stmt *a, const struct prg_stmt *b) {
  return a == b ||
         (a->hash == b->hash && a->len == b->len && a->nparams == b->nparams &&
          memcmp(a->sql, b->sql, a->len) == 0);
}

static bool same_types(const Oid *a, const Oid *b, int n) {
  return n == 0 || memcmp(a, b, (size_t)n * sizeof *a) == 0;
}

struct pg_entry *pg_cache_find(struct pg_cache *k, const struct prg_stmt *stmt,
                               const Oid *types) {
  if (k->nbuckets == 0) return NULL;
  uint64_t h = key_hash(stmt, types);
  struct pg_entry *e = k->buckets[h & (k->nbuckets - 1)];
  while (e != NULL && !(e->hash == h && same_text(e->stmt, stmt) &&
                        same_types(e->types, types, e->nparams)))
    e = e->chain;
  if (e == NULL || k->lru.head.prev == &e->lru) return e;
  prg_list_remove(&k->lru, &e->lru);
  prg_list_push_back(&k->lru, &e->lru);
  return e;
}

/* Room for the id of every entry and of two more, so that closing cannot
** fail. */
static int reserve(struct pg_cache *k) {
  size_t need = k->nclosing + k->lru.count + 2;
  if (need <= k->closing_cap) return PRG_OK;
  unsigned *p = prg_realloc(k->closing, need * 2 * sizeof *p);
  if (p == NULL) return PRG_ERR;
  k->closing = p;
  k->closing_cap = need * 2;
  return PRG_OK;
}

void pg_cache_close(struct pg_cache *k, unsigned id) {
  if (k->nclosing < k->closing_cap) k->closing[k->nclosing++] = id;
}

void pg_cache_name(const struct pg_cache *k, unsigned id,
                   char out[PG_NAME_SIZE]) {
  snprintf(out, PG_NAME_SIZE, "prg_%08x_%u", k->salt, id);
}

void pg_cache_jump(struct pg_cache *k) {
  k->last_id += 1000 + some_number() % 1000000;
}

struct pg_entry *pg_entry_new(struct pg_cache *k, struct prg_stmt *stmt,
                              const Oid *types) {
  struct pg_entry *e = prg_calloc(1, sizeof *e);
  size_t n = (size_t)stmt->nparams;
  if (e == NULL) return NULL;
  e->refs = 1;
  e->types = prg_calloc(2 * n + 1, sizeof *e->types);
  if (e->types == NULL) {
    prg_free(e);
    return NULL;
  }
  if (n > 0) {
    memcpy(e->types, types, n * sizeof *types);
    memcpy(e->types + n, types, n * sizeof *types); /* until Describe */
  }
  if (reserve(k) != PRG_OK) {
    pg_entry_unref(e);
    return NULL;
  }
  e->stmt = prg_stmt_ref(stmt);
  e->nparams = stmt->nparams;
  e->hash = key_hash(stmt, types);
  e->id = ++k->last_id;
  pg_cache_name(k, e->id, e->name);
  return e;
}

/* Doubles the buckets when there are as many entries. */
static int grow(struct pg_cache *k) {
  size_t n = k->nbuckets == 0 ? 16 : k->nbuckets * 2;
  if (k->lru.count < k->nbuckets) return PRG_OK;
  struct pg_entry **b = prg_calloc(n, sizeof *b);
  if (b == NULL) return k->nbuckets == 0 ? PRG_ERR : PRG_OK;
  for (struct prg_link *l = prg_list_first(&k->lru); l != NULL;
       l = prg_list_next(&k->lru, l)) {
    struct pg_entry *e = entry_of(l);
    e->chain = b[e->hash & (n - 1)];
    b[e->hash & (n - 1)] = e;
  }
  prg_free(k->buckets);
  k->buckets = b;
  k->nbuckets = n;
  return PRG_OK;
}

int pg_cache_add(struct pg_cache *k, struct pg_entry *e) {
  if (grow(k) != PRG_OK || reserve(k) != PRG_OK) return PRG_ERR;
  struct pg_entry **b = &k->buckets[e->hash & (k->nbuckets - 1)];
  e->chain = *b;
  *b = pg_entry_ref(e);
  prg_list_push_back(&k->lru, &e->lru);
  return PRG_OK;
}

void pg_cache_drop(struct pg_cache *k, struct pg_entry *e, bool close) {
  if (!prg_link_linked(&e->lru)) return;
  struct pg_entry **b = &k->buckets[e->hash & (k->nbuckets - 1)];
  while (*b != e) b = &(*b)->chain;
  *b = e->chain;
  prg_list_remove(&k->lru, &e->lru);
  if (close) pg_cache_close(k, e->id);
  pg_entry_unref(e);
}

void pg_cache_trim(struct pg_cache *k, size_t keep) {
  while (k->lru.count > keep)
    pg_cache_drop(k, entry_of(prg_list_first(&k->lru)), true);
}
