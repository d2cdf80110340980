/*
** The cells of a PGresult, a row at a time. libpq has a function for a cell's
** value, one for its length and one that tells NULL, and each looks whether row
** and column exist: half of what decoding a plain cell costs. So rows are read
** where libpq keeps them, as psycopg does. Whether they are as we know them is
** looked at before it is relied on.
*/
#ifndef PRG_DRIVER_POSTGRES_PG_CELLS_H
#define PRG_DRIVER_POSTGRES_PG_CELLS_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* libpq's PGresAttValue. */
struct pg_cell {
  int len; /* -1: NULL */
  const char *value;
};

/* How libpq's pg_result begins. */
struct pg_cells {
  int nrows, ncols;
  const void *attributes;
  const struct pg_cell *const *rows;
};

/* Is that so? Asks libpq for its version and compares a result that is made for
** it with what libpq's functions say. False also without memory. */
bool pg_cells_known(void);

/* The cells of a row, or NULL when there is no such row of so many columns. Only
** when pg_cells_known(). */
static inline const struct pg_cell *pg_cells_of(const PGresult *res, int row,
                                                int ncols) {
  struct pg_cells c;
  memcpy(&c, res, sizeof c);
  return row < c.nrows && ncols == c.ncols ? c.rows[row] : NULL;
}

/* A cell as libpq's functions tell it. */
static inline struct pg_cell pg_cell_at(const PGresult *res, int row, int col) {
  struct pg_cell cell = {PQgetlength(res, row, col), PQgetvalue(res, row, col)};
  if (cell.len == 0 && PQgetisnull(res, row, col)) cell.len = -1;
  return cell;
}

#endif
