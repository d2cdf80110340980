#include "driver/postgres/pg_socket.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/lock.h"

/* ---- OpenSSL ------------------------------------------------------------ */

/*
** The functions of the very library that libpq uses, whatever its version: an SSL
** object of one must not be given to another. So they are looked up where libpq
** finds them, and OpenSSL's headers are not needed.
*/
static struct {
  int (*read)(void *ssl, void *to, int n);
  int (*write)(void *ssl, const void *from, int n);
  int (*pending)(const void *ssl);
  int (*get_error)(const void *ssl, int rc);
  void (*clear)(void);
} tls;

/* Of OpenSSL's interface, the same since 1.0. */
enum {
  ERROR_WANT_READ = 2,
  ERROR_WANT_WRITE = 3,
  ERROR_SYSCALL = 5,
  ERROR_ZERO_RETURN = 6
};

static void find_tls(void) {
  Dl_info libpq;
  if (dladdr((void *)(uintptr_t)PQconnectPoll, &libpq) == 0) return;
  void *handle = dlopen(libpq.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
  if (handle == NULL) return;
  *(void **)&tls.read = dlsym(handle, "SSL_read");
  *(void **)&tls.write = dlsym(handle, "SSL_write");
  *(void **)&tls.pending = dlsym(handle, "SSL_pending");
  *(void **)&tls.get_error = dlsym(handle, "SSL_get_error");
  *(void **)&tls.clear = dlsym(handle, "ERR_clear_error");
  dlclose(handle); /* it stays: we are linked with it */
}

static bool has_tls(void) {
  static prg_once once = PRG_ONCE_INIT;
  prg_once_run(&once, find_tls);
  return tls.read != NULL && tls.write != NULL && tls.pending != NULL &&
         tls.get_error != NULL && tls.clear != NULL;
}

/* What it means that SSL_read or SSL_write returned `rc`. */
static ssize_t tls_result(const struct pg_socket *s, int rc) {
  if (rc > 0) return rc;
  int saved = errno;
  switch (tls.get_error(s->tls, rc)) {
    case ERROR_WANT_READ:
    case ERROR_WANT_WRITE:
      return PG_SOCKET_LATER;
    case ERROR_ZERO_RETURN:
      return 0;
    case ERROR_SYSCALL:
      if (saved == 0) return 0; /* closed without a word */
      errno = saved;
      return -1;
    default:
      errno = EPROTO;
      return -1;
  }
}

static int bounded(size_t n) {
  return n < INT_MAX ? (int)n : INT_MAX;
}

/* ---- reading and writing ------------------------------------------------ */

bool pg_socket_take(struct pg_socket *s, PGconn *pg) {
  s->fd = PQsocket(pg);
  s->tls = NULL;
  if (s->fd < 0 || PQgssEncInUse(pg)) return false;
  if (!PQsslInUse(pg)) return true;
  s->tls = PQsslStruct(pg, "OpenSSL");
  return s->tls != NULL && has_tls();
}

static ssize_t plain_result(ssize_t n) {
  if (n >= 0) return n;
  bool later = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
  return later ? PG_SOCKET_LATER : -1;
}

ssize_t pg_socket_read(struct pg_socket *s, void *to, size_t n) {
  if (s->tls == NULL) return plain_result(recv(s->fd, to, n, 0));
  tls.clear();
  errno = 0;
  return tls_result(s, tls.read(s->tls, to, bounded(n)));
}

/* OpenSSL reads no further than the record that it decrypts. */
bool pg_socket_has_more(const struct pg_socket *s) {
  return s->tls != NULL && tls.pending(s->tls) > 0;
}

ssize_t pg_socket_write(struct pg_socket *s, const void *from, size_t n) {
  if (s->tls == NULL) return plain_result(send(s->fd, from, n, MSG_NOSIGNAL));
  tls.clear();
  errno = 0;
  return tls_result(s, tls.write(s->tls, from, bounded(n)));
}
