#include "driver/result.h"

#include <stdatomic.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"

struct prg_desc *prg_desc_new(size_t ncols, size_t extra, char **names) {
  /* Atomic: several Lua states may live in threads of one process. */
  static _Atomic uint64_t last_id;
  struct prg_desc *d;
  size_t cols;
  if (ncols > (SIZE_MAX / 4) / sizeof *d->cols || extra > SIZE_MAX / 4) {
    return NULL;
  }
  cols = ncols * sizeof *d->cols;
  d = prg_calloc(1, sizeof *d + cols + extra);
  if (d == NULL) return NULL;
  d->refs = 1;
  d->id = atomic_fetch_add(&last_id, 1) + 1;
  d->ncols = ncols;
  d->cols = (struct prg_column *)(void *)(d + 1);
  *names = (char *)(d + 1) + cols;
  return d;
}

struct prg_desc *prg_desc_ref(struct prg_desc *d) {
  if (d != NULL) d->refs++;
  return d;
}

void prg_desc_unref(struct prg_desc *d) {
  if (d != NULL && --d->refs == 0) prg_free(d);
}

static const struct prg_value *no_row(struct prg_result *r, size_t i) {
  (void)r;
  (void)i;
  return NULL;
}

static void free_none(struct prg_result *r) {
  (void)r;
}

void prg_result_none(struct prg_result *r) {
  static const struct prg_result_ops ops = {no_row, free_none};
  memset(r, 0, sizeof *r);
  r->ops = &ops;
  r->affected = -1;
}

void prg_result_free(struct prg_result *r) {
  while (r != NULL) {
    struct prg_result *next = r->next;
    struct prg_desc *desc = r->desc;
    struct prg_error *error = r->error;
    r->ops->free(r);
    prg_desc_unref(desc);
    prg_error_unref(error);
    r = next;
  }
}
