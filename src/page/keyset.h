/*
** Keyset pages: the condition that says "behind this row" in an order, so that
** a page starts where an index is and not after rows that are counted off.
**
** The order is unique: its last columns are the primary key (or another NOT
** NULL unique key), so no two rows share a place.
*/
#ifndef PRG_PAGE_KEYSET_H
#define PRG_PAGE_KEYSET_H

#include "sql/build.h"

enum { PRG_PAGE_COLS = 16 }; /* columns of an order at most, key included */

/* The order with the columns of the key that are not in it yet, in the direction
** of its last column (so that "-day" goes in one direction), ascending alone, in
** the arena; *n is their number. NULL and *err: usage for an order of more than
** PRG_PAGE_COLS columns, one with a column twice, with SQL, with a column that has
** no order, or a table without a unique key; resource. */
struct prg_order *prg_keyset_order(const struct prg_table *t,
                                   const struct prg_order *order, size_t norder,
                                   struct prg_arena *a, size_t *n,
                                   struct prg_error **err);
/* The same order the other way round, in the arena; NULL without memory. */
struct prg_order *prg_keyset_flip(const struct prg_order *order, size_t n,
                                  struct prg_arena *a);
/* The rows behind the one with these values of the order's columns (PRG_NULL:
** it has NULL there). On NOT NULL columns, all in one direction, it is one row
** comparison; else a condition in which the first column is bounded (if it is
** NOT NULL), so that an index on the order is entered at the right place. NULL
** without memory. */
struct prg_cond *prg_keyset_after(const struct prg_order *order, size_t n,
                                  const struct prg_value *at,
                                  struct prg_arena *a);

#endif
