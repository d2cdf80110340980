#include "driver/mysql/my_wait.h"

#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>

#include "base/clock.h"

void my_wait_init(struct my_wait *w, int64_t due) {
  atomic_init(&w->abandoned, false);
  w->due = due;
}

bool my_wait_is_over(const struct my_wait *w) {
  return atomic_load(&w->abandoned) || prg_now() >= w->due;
}

/* Milliseconds to wait for at most: short, so that it notices when nobody
** waits for it any more. */
static int slice(int64_t due) {
  int64_t left = (due - prg_now()) / PRG_MS;
  if (left < 0) return 0;
  return left < 100 ? (int)left + 1 : 100;
}

int my_wait_for(struct my_wait *w, MYSQL *my, int status, int64_t due) {
  struct pollfd p = {.fd = (int)mysql_get_socket(my)};
  if ((status & MYSQL_WAIT_READ) != 0) p.events |= POLLIN;
  if ((status & MYSQL_WAIT_WRITE) != 0) p.events |= POLLOUT;
  if ((status & MYSQL_WAIT_EXCEPT) != 0) p.events |= POLLPRI;
  if (due > w->due) due = w->due;
  while (!my_wait_is_over(w) && prg_now() < due)
    if (poll(&p, 1, slice(due)) > 0)
      return status & (MYSQL_WAIT_READ | MYSQL_WAIT_WRITE | MYSQL_WAIT_EXCEPT);
  return MYSQL_WAIT_TIMEOUT;
}

int my_wait_sql(struct my_wait *w, MYSQL *my, const char *sql) {
  int ret = 1;
  int status = mysql_query_start(&ret, my, sql);
  while (status != 0)
    status = mysql_query_cont(&ret, my, my_wait_for(w, my, status, w->due));
  return ret;
}

MYSQL_RES *my_wait_rows(struct my_wait *w, MYSQL *my) {
  MYSQL_RES *ret = NULL;
  int status = mysql_store_result_start(&ret, my);
  while (status != 0)
    status =
        mysql_store_result_cont(&ret, my, my_wait_for(w, my, status, w->due));
  return ret;
}

/* The library would wait until a peer takes its good-bye, perhaps for ever. */
void my_close(MYSQL *my) {
  int fd = (int)mysql_get_socket(my);
  int status = mysql_close_start(my);
  if (status != 0 && fd >= 0) (void)shutdown(fd, SHUT_RDWR);
  while (status != 0)
    status =
        mysql_close_cont(my, status & (MYSQL_WAIT_READ | MYSQL_WAIT_WRITE));
}
