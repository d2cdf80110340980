/* Results: a description of the columns, shared by all results of a statement,
** and rows that the driver decodes one at a time. */
#ifndef PRG_DRIVER_RESULT_H
#define PRG_DRIVER_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/value.h"

struct prg_column {
  struct prg_text name; /* ends with a zero byte */
  const char *type;     /* type name for codecs and messages ("int4", "text");
                                "" when unknown. Lives as long as the description */
  uint32_t oid;         /* the database's type number, 0 when none */
};

/* Immutable. */
struct prg_desc {
  int refs;
  uint64_t id; /* unique in the process: a key for caches */
  size_t ncols;
  struct prg_column *cols;
};

/* Room for `ncols` columns and `extra` bytes of names behind them (returned in
** *names), one reference, a new id; NULL without memory. */
struct prg_desc *prg_desc_new(size_t ncols, size_t extra, char **names);
struct prg_desc *prg_desc_ref(struct prg_desc *d);
void prg_desc_unref(struct prg_desc *d);

struct prg_result;

struct prg_result_ops {
  /* Row `i` (0-based) as desc->ncols values. Valid until the next call for the same
  ** result. NULL: it cannot be decoded; prg_result.error says why. */
  const struct prg_value *(*row)(struct prg_result *r, size_t i);
  /* Frees what the driver holds and the object; prg_result_free() does the
  ** rest (desc, error, next). */
  void (*free)(struct prg_result *r);
};

/* The driver embeds it at the start of its own result. */
struct prg_result {
  const struct prg_result_ops *ops;
  struct prg_desc *desc; /* owned reference; NULL: the statement has no rows */
  size_t nrows;
  int64_t affected; /* rows changed, or rows of a SELECT; -1: not told (DDL) */
  bool has_last_id;
  int64_t last_id;
  bool truncated; /* there were more rows than max_rows */
  char tag[32];   /* command ("COMMIT", "INSERT"); "" when none */
  size_t bytes;   /* memory held, roughly: told to the garbage collector */
  struct prg_result *next; /* SCRIPT: the next statement's; owned */
  struct prg_error *error; /* of the last failed row(); owned */
};

static inline const struct prg_value *prg_result_row(struct prg_result *r,
                                                     size_t i) {
  return r->ops->row(r, i);
}
/* Makes `r`, which nobody needs to free, that of a statement without rows. */
void prg_result_none(struct prg_result *r);
/* Frees the chain; NULL is fine. */
void prg_result_free(struct prg_result *r);

#endif
