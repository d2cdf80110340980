/* Does libpq keep rows in the form that we know? */
#include "driver/postgres/pg_cells.h"

/* Of libpq. A newer one is to be looked at first. */
enum { OLDEST = 100000, PAST_NEWEST = 180000 };

enum { ROWS = 2, COLS = 2 };

/* Two rows of a text and a NULL. */
static bool fill(PGresult *res) {
  char name[] = "c", text[] = "text";
  PGresAttDesc cols[COLS] = {{.name = name}, {.name = name}};
  bool ok = PQsetResultAttrs(res, COLS, cols) != 0;
  for (int row = 0; row < ROWS && ok; row++)
    ok = PQsetvalue(res, row, 0, text, 3 + row) != 0 &&
         PQsetvalue(res, row, 1, NULL, -1) != 0;
  return ok;
}

static bool is_alike(const PGresult *res) {
  struct pg_cells c;
  memcpy(&c, res, sizeof c);
  if (c.nrows != ROWS || c.ncols != COLS || c.rows == NULL) return false;
  for (int row = 0; row < ROWS; row++)
    for (int col = 0; col < COLS; col++) {
      struct pg_cell is = c.rows[row][col], want = pg_cell_at(res, row, col);
      if (is.len != want.len || is.value != want.value) return false;
    }
  return true;
}

bool pg_cells_known(void) {
  int version = PQlibVersion();
  if (version < OLDEST || version >= PAST_NEWEST) return false;
  PGresult *res = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
  bool known = res != NULL && fill(res) && is_alike(res);
  PQclear(res);
  return known;
}
