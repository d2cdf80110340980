/*
** The socket of a connection that libpq made, or the SSL object that libpq has on
** it. Nothing here waits.
*/
#ifndef PRG_DRIVER_POSTGRES_PG_SOCKET_H
#define PRG_DRIVER_POSTGRES_PG_SOCKET_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct pg_socket {
  int fd;
  void *tls; /* libpq's SSL object, or NULL */
};

enum { PG_SOCKET_LATER = -2 };

/* False: bytes on it cannot be had past libpq. */
bool pg_socket_take(struct pg_socket *s, PGconn *pg);

/* As recv and send: 0 is the end, -1 an error (errno), PG_SOCKET_LATER: nothing
** now. */
ssize_t pg_socket_read(struct pg_socket *s, void *to, size_t n);
ssize_t pg_socket_write(struct pg_socket *s, const void *from, size_t n);
/* Is there more, which the socket will not tell, after a read of less than there
** was room for? */
bool pg_socket_has_more(const struct pg_socket *s);

#endif
