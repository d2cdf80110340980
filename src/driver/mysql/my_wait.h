/* Calls of the library on a thread, which wait there but not for ever, and the end
** of a connection, which waits for nothing. */
#ifndef PRG_DRIVER_MYSQL_MY_WAIT_H
#define PRG_DRIVER_MYSQL_MY_WAIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <mysql.h>

struct my_wait {
  atomic_bool abandoned; /* told to the thread: nobody waits any more */
  int64_t due;
};

void my_wait_init(struct my_wait *w, int64_t due);
bool my_wait_is_over(const struct my_wait *w);
/* Waits until the socket is ready, `due` has come or nobody waits any more; what
** to tell the library: MYSQL_WAIT_*. */
int my_wait_for(struct my_wait *w, MYSQL *my, int status, int64_t due);
/* A statement by the text protocol; 0 or not. */
int my_wait_sql(struct my_wait *w, MYSQL *my, const char *sql);
/* The rows of that. A call that waits would leave the socket in the mode in which
** calls by TLS wait. */
MYSQL_RES *my_wait_rows(struct my_wait *w, MYSQL *my);
/* Says good-bye when that can be sent at once, and closes. No call on `my` may be
** suspended. */
void my_close(MYSQL *my);

#endif
