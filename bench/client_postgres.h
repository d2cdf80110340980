/* What the C programs on PostgreSQL share: one connection, non-blocking calls
** and poll. */
#ifndef PRG_BENCH_CLIENT_POSTGRES_H
#define PRG_BENCH_CLIENT_POSTGRES_H

#include "measure.h"

#include <arpa/inet.h>
#include <endian.h>
#include <libpq-fe.h>
#include <poll.h>

#define INT4_OID 23

static inline PGconn *open_conn(const char *url) {
  PGconn *c = PQconnectdb(url);
  if (PQstatus(c) != CONNECTION_OK) die("connect", PQerrorMessage(c));
  if (PQsetnonblocking(c, 1) != 0) die("setnonblocking", PQerrorMessage(c));
  return c;
}

static inline void wait_for(PGconn *c, short events) {
  struct pollfd p = {PQsocket(c), events, 0};
  if (poll(&p, 1, -1) < 0) die("poll", "failed");
}

/* What comes in meanwhile is taken, or both sides could wait to be read. */
static inline void flush_out(PGconn *c) {
  int left;
  while ((left = PQflush(c)) == 1) {
    wait_for(c, POLLIN | POLLOUT);
    if (!PQconsumeInput(c)) die("read", PQerrorMessage(c));
  }
  if (left < 0) die("flush", PQerrorMessage(c));
}

/* The next result, or NULL when the statement is through. */
static inline PGresult *next_result(PGconn *c) {
  while (PQisBusy(c)) {
    wait_for(c, POLLIN);
    if (!PQconsumeInput(c)) die("read", PQerrorMessage(c));
  }
  return PQgetResult(c);
}

static inline void check_result(PGconn *c, const PGresult *r) {
  ExecStatusType s = PQresultStatus(r);
  if (s != PGRES_TUPLES_OK && s != PGRES_COMMAND_OK && s != PGRES_SINGLE_TUPLE)
    die("query", PQerrorMessage(c));
}

static inline void prepare_typed(PGconn *c, const char *name, const char *sql,
                                 int nparams, const Oid *types) {
  PGresult *r = PQprepare(c, name, sql, nparams, types);
  check_result(c, r);
  PQclear(r);
}

static inline void prepare_untyped(PGconn *c, const char *name,
                                   const char *sql) {
  prepare_typed(c, name, sql, 0, NULL);
}

static inline void run(PGconn *c, const char *sql) {
  PGresult *r = PQexec(c, sql);
  check_result(c, r);
  PQclear(r);
}

/* What was written, read with another statement. */
static inline void check_with(PGconn *c, struct measure *m, const char *sql) {
  PGresult *r = PQexec(c, sql);
  check_result(c, r);
  m->check = strtoull(PQgetvalue(r, 0, 0), NULL, 10) % CHECK_MODULUS;
  PQclear(r);
}

#endif
