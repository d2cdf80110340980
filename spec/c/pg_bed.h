/*
** What the tests of the PostgreSQL driver share. They run against the server that
** PERIGEE_TEST_POSTGRES (a URL) names, and are skipped (exit 77) without.
*/
#ifndef PRG_SPEC_PG_BED_H
#define PRG_SPEC_PG_BED_H

#include "server_bed.h"

static inline void kill_backend(struct bed *admin, struct bed *b) {
  char sql[128];
  snprintf(sql, sizeof sql, "select pg_terminate_backend(%lld)",
           (long long)b->conn->backend);
  expect_cell(admin, sql, "true");
}

static inline int pg_test_start(void) {
  return server_test_start("postgres", "PERIGEE_TEST_POSTGRES");
}

#endif
