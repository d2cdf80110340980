/* What the C programs on MySQL and MariaDB share: connecting by a URL, statements,
** single values. */
#ifndef PRG_BENCH_CLIENT_MYSQL_H
#define PRG_BENCH_CLIENT_MYSQL_H

#include "measure.h"

#include <mysql.h>

/* CHECK_FRESH in MySQL's words. */
#define CHECK_FRESH_MYSQL                                                  \
  "SELECT CAST(count(*) + 3 * sum(grp) + 7 * sum(length(name)) AS SIGNED)" \
  " FROM fresh"

/* mariadb://USER:PASSWORD@/DATABASE?socket=PATH, as bench/run makes it. */
static inline MYSQL *open_conn(const char *url, int nonblocking) {
  char user[64], password[64], database[64], path[256];
  MYSQL *my = mysql_init(NULL);
  if (my == NULL) die("connect", "no memory");
  if (sscanf(url, "%*[^:]://%63[^:]:%63[^@]@/%63[^?]?socket=%255s", user,
             password, database, path) != 4)
    die("connect", "a URL with a socket is expected");
  if (nonblocking) mysql_options(my, MYSQL_OPT_NONBLOCK, 0);
  mysql_options(my, MYSQL_SET_CHARSET_NAME, "utf8mb4");
  if (mysql_real_connect(my, NULL, user, password, database, 0, path, 0) ==
      NULL)
    die("connect", mysql_error(my));
  return my;
}

static inline void run(MYSQL *my, const char *sql) {
  if (mysql_query(my, sql) != 0) die(sql, mysql_error(my));
}

static inline MYSQL_STMT *prepare(MYSQL *my, const char *sql) {
  MYSQL_STMT *st = mysql_stmt_init(my);
  if (st == NULL || mysql_stmt_prepare(st, sql, strlen(sql)) != 0)
    die("prepare", mysql_error(my));
  return st;
}

static inline uint64_t value(MYSQL *my, const char *sql) {
  MYSQL_RES *r;
  MYSQL_ROW row;
  uint64_t v;
  run(my, sql);
  r = mysql_store_result(my);
  if (r == NULL || (row = mysql_fetch_row(r)) == NULL)
    die(sql, mysql_error(my));
  v = strtoull(row[0], NULL, 10);
  mysql_free_result(r);
  return v;
}

#endif
