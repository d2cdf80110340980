/* What was built for a table, by the key of what it was built from. A hash table
** with open addressing; keys are copied. */
#include <string.h>

#include "sql/build.h"

#include "base/mem.h"

struct shape {
  uint64_t hash;
  size_t len;
  char *key; /* NULL: a free slot */
  void *data;
  void (*drop)(void *);
};

struct prg_shapes {
  size_t max, n;
  size_t nslots; /* a power of two, at most half full; 0 at first */
  struct shape *slots;
};

struct prg_shapes *prg_shapes_new(size_t max) {
  struct prg_shapes *s = prg_calloc(1, sizeof *s);
  if (s != NULL) s->max = max > 0 ? max : 1;
  return s;
}

/* Eight bytes at a time: keys have some hundred bytes, and each call looks one
** up. */
static uint64_t hash(const char *key, size_t len) {
  const uint64_t factor = UINT64_C(0x9E3779B97F4A7C15);
  uint64_t h = len * factor, word;
  for (; len >= sizeof word; key += sizeof word, len -= sizeof word) {
    memcpy(&word, key, sizeof word);
    h = (h ^ word) * factor;
    h ^= h >> 32;
  }
  word = 0;
  if (len > 0) memcpy(&word, key, len);
  h = (h ^ word) * factor;
  return h ^ (h >> 29);
}

/* The slot of the key, or the free one where it belongs. */
static struct shape *find(const struct prg_shapes *s, const char *key,
                          size_t len, uint64_t h) {
  size_t i = (size_t)h & (s->nslots - 1);
  for (;; i = (i + 1) & (s->nslots - 1)) {
    struct shape *k = &s->slots[i];
    if (k->key == NULL) return k;
    if (k->hash == h && k->len == len && memcmp(k->key, key, len) == 0)
      return k;
  }
}

void *prg_shapes_get(const struct prg_shapes *s, const char *key, size_t len) {
  if (s->n == 0) return NULL;
  return find(s, key, len, hash(key, len))->data;
}

static void clear(struct prg_shapes *s) {
  for (size_t i = 0; i < s->nslots; i++) {
    struct shape *k = &s->slots[i];
    if (k->key == NULL) continue;
    k->drop(k->data);
    prg_free(k->key);
    memset(k, 0, sizeof *k);
  }
  s->n = 0;
}

void prg_shapes_free(struct prg_shapes *s) {
  if (s == NULL) return;
  clear(s);
  prg_free(s->slots);
  prg_free(s);
}

static int grow(struct prg_shapes *s) {
  struct prg_shapes wide = *s;
  wide.nslots = s->nslots == 0 ? 8 : s->nslots * 2;
  wide.slots = prg_calloc(wide.nslots, sizeof *wide.slots);
  if (wide.slots == NULL) return PRG_ERR;
  for (size_t i = 0; i < s->nslots; i++) {
    const struct shape *k = &s->slots[i];
    if (k->key != NULL) *find(&wide, k->key, k->len, k->hash) = *k;
  }
  prg_free(s->slots);
  *s = wide;
  return PRG_OK;
}

int prg_shapes_put(struct prg_shapes *s, const char *key, size_t len,
                   void *data, void (*drop)(void *)) {
  uint64_t h = hash(key, len);
  struct shape *k;
  char *copy;
  if (s->n >= s->max) clear(s);
  copy = prg_memdup(key, len);
  if (copy == NULL || (s->n * 2 >= s->nslots && grow(s) != PRG_OK)) {
    prg_free(copy);
    drop(data);
    return PRG_ERR;
  }
  k = find(s, key, len, h);
  if (k->key != NULL) { /* it was built twice at the same time */
    k->drop(k->data);
    prg_free(k->key);
    s->n--;
  }
  *k = (struct shape){
      .hash = h, .len = len, .key = copy, .data = data, .drop = drop};
  s->n++;
  return PRG_OK;
}
