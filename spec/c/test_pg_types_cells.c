/* Rows read where libpq keeps them are those that its functions give. */
#include "check.h"
#include "driver/postgres/pg_cells.h"

enum { ROWS = 300, COLS = 3 };

/* A text of `row` bytes, a NULL or an empty text in turn, and a byte. */
static PGresult *make_result(void) {
  static char text[ROWS + 1];
  char name[] = "c";
  PGresAttDesc cols[COLS] = {{.name = name}, {.name = name}, {.name = name}};
  PGresult *res = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
  memset(text, 'x', ROWS);
  CHECK(res != NULL && PQsetResultAttrs(res, COLS, cols));
  for (int row = 0; row < ROWS; row++) {
    CHECK(PQsetvalue(res, row, 0, text, row));
    CHECK(PQsetvalue(res, row, 1, text, row % 2 == 0 ? -1 : 0));
    CHECK(PQsetvalue(res, row, 2, text, 1));
  }
  return res;
}

/* A newer libpq is to be looked at first: until then pg_cells_of() is not used. */
static bool is_newer(void) {
  return PQlibVersion() >= 180000;
}

static void test_known(void) {
  CHECK(pg_cells_known() != is_newer());
}

static void test_same(void) {
  PGresult *res = make_result();
  for (int row = 0; row < ROWS; row++) {
    const struct pg_cell *cells = pg_cells_of(res, row, COLS);
    CHECK(cells != NULL);
    for (int col = 0; col < COLS && cells != NULL; col++) {
      struct pg_cell want = pg_cell_at(res, row, col);
      CHECK(cells[col].len == want.len && cells[col].value == want.value);
    }
  }
  CHECK(pg_cell_at(res, 0, 1).len == -1);
  CHECK(pg_cell_at(res, 1, 1).len == 0);
  PQclear(res);
}

static void test_outside(void) {
  PGresult *res = make_result();
  CHECK(pg_cells_of(res, ROWS, COLS) == NULL);
  CHECK(pg_cells_of(res, 0, COLS + 1) == NULL);
  CHECK(pg_cells_of(res, 0, COLS - 1) == NULL);
  PQclear(res);
}

int main(void) {
  RUN(test_known);
  if (is_newer()) return check_result();
  RUN(test_same);
  RUN(test_outside);
  return check_result();
}
