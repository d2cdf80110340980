/* The cache of prepared statements, by text. */
#include "driver/mysql/my_int.h"

#include <string.h>

#include "base/mem.h"

static struct my_entry *entry_of(struct prg_link *k) {
  return PRG_CONTAINER(k, struct my_entry, lru);
}

void my_cache_init(struct my_cache *k) {
  memset(k, 0, sizeof *k);
  prg_list_init(&k->lru);
}

struct my_entry *my_entry_new(MYSQL *my, struct prg_stmt *stmt) {
  struct my_entry *e = prg_calloc(1, sizeof *e);
  if (e == NULL) return NULL;
  e->st = mysql_stmt_init(my);
  if (e->st == NULL) {
    prg_free(e);
    return NULL;
  }
  e->key = prg_stmt_ref(stmt);
  return e;
}

void my_entry_free(struct my_entry *e) {
  if (e->st != NULL) mysql_stmt_close(e->st);
  prg_stmt_unref(e->key);
  my_plan_fini(&e->plan);
  prg_free(e);
}

static bool is_same(const struct prg_stmt *a, const struct prg_stmt *b) {
  return a == b ||
         (a->hash == b->hash && a->len == b->len && a->ntypes == b->ntypes &&
          memcmp(a->sql, b->sql, a->len) == 0 &&
          (a->ntypes == 0 || memcmp(a->types, b->types, a->ntypes) == 0));
}

struct my_entry *my_cache_find(struct my_cache *k,
                               const struct prg_stmt *stmt) {
  if (k->nbuckets == 0) return NULL;
  struct my_entry *e = k->buckets[stmt->hash & (k->nbuckets - 1)];
  while (e != NULL && (e->turn != k->turn || !is_same(e->key, stmt)))
    e = e->chain;
  if (e == NULL || k->lru.head.prev == &e->lru) return e;
  prg_list_remove(&k->lru, &e->lru);
  prg_list_push_back(&k->lru, &e->lru);
  return e;
}

/* Doubles the buckets when there are as many entries. */
static int grow(struct my_cache *k) {
  size_t n = k->nbuckets == 0 ? 16 : k->nbuckets * 2;
  if (k->lru.count < k->nbuckets) return PRG_OK;
  struct my_entry **b = prg_calloc(n, sizeof *b);
  if (b == NULL) return k->nbuckets == 0 ? PRG_ERR : PRG_OK;
  for (struct prg_link *l = prg_list_first(&k->lru); l != NULL;
       l = prg_list_next(&k->lru, l)) {
    struct my_entry *e = entry_of(l);
    e->chain = b[e->key->hash & (n - 1)];
    b[e->key->hash & (n - 1)] = e;
  }
  prg_free(k->buckets);
  k->buckets = b;
  k->nbuckets = n;
  return PRG_OK;
}

void my_cache_add(struct my_cache *k, struct my_entry *e) {
  if (grow(k) != PRG_OK) return;
  struct my_entry **b = &k->buckets[e->key->hash & (k->nbuckets - 1)];
  e->chain = *b;
  *b = e;
  e->cached = true;
  e->turn = k->turn;
  prg_list_push_back(&k->lru, &e->lru);
}

void my_cache_remove(struct my_cache *k, struct my_entry *e) {
  struct my_entry **b = &k->buckets[e->key->hash & (k->nbuckets - 1)];
  while (*b != e) b = &(*b)->chain;
  *b = e->chain;
  e->cached = false;
  prg_list_remove(&k->lru, &e->lru);
}

void my_cache_clear(struct my_cache *k) {
  struct prg_link *l;
  while ((l = prg_list_pop_front(&k->lru)) != NULL) my_entry_free(entry_of(l));
  for (size_t i = 0; i < k->nbuckets; i++) k->buckets[i] = NULL;
}

void my_cache_look(struct my_cache *k, const char *database) {
  if (database == NULL) database = "";
  if (k->database != NULL && strcmp(k->database, database) == 0) return;
  prg_free(k->database);
  k->database = prg_strdup(database); /* NULL: it is another one next time */
  k->turn++;
}

void my_cache_fini(struct my_cache *k) {
  my_cache_clear(k);
  prg_free(k->database);
  prg_free(k->buckets);
  my_cache_init(k);
}
