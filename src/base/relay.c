#include "base/relay.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/process.h"

/* A byte is sent this often in any case: so the reader's receive never times out
** (which nginx would log), and it has the time to look whether it is to end. */
#define BEAT_MS 500

static bool fail(struct prg_relay *r, char *why, size_t size,
                 const char *what) {
  (void)snprintf(why, size, "the relay: %s: %s", what, strerror(errno));
  prg_relay_stop(r);
  return false;
}

/* ---- connecting ----------------------------------------------------------- */

/* The reader can connect to an address only, so there is a path for a moment, in a
** folder that nobody else can look into. */
static bool make_path(struct prg_relay *r) {
  static const char *const places[] = {"/tmp", "/var/tmp", "/dev/shm", "/run"};
  size_t i;
  for (i = 0; i < sizeof places / sizeof places[0]; i++) {
    (void)snprintf(r->path, sizeof r->path, "%s/perigee-XXXXXX", places[i]);
    if (mkdtemp(r->path) == NULL) continue;
    (void)snprintf(r->path + strlen(r->path), sizeof r->path - strlen(r->path),
                   "/relay");
    return true;
  }
  return false;
}

static void remove_path(struct prg_relay *r) {
  (void)unlink(r->path);
  *strrchr(r->path, '/') = '\0';
  (void)rmdir(r->path);
}

bool prg_relay_listen(struct prg_relay *r, char *why, size_t size) {
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  if (!make_path(r)) return fail(r, why, size, "no temporary folder");
  r->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  r->listening = true;
  (void)snprintf(a.sun_path, sizeof a.sun_path, "%s", r->path);
  if (r->listener < 0 ||
      bind(r->listener, (struct sockaddr *)&a, sizeof a) != 0 ||
      listen(r->listener, 1) != 0)
    return fail(r, why, size, r->path);
  return true;
}

static void end_listening(struct prg_relay *r) {
  if (!r->listening) return;
  r->listening = false;
  remove_path(r);
  if (r->listener >= 0) close(r->listener);
}

/* ---- the thread ----------------------------------------------------------- */

/* The reader looks only, so that one byte is as good as many. */
static void tell(struct prg_relay *r) {
  ssize_t n = send(r->peer, ".", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (n < 0 && errno != EAGAIN && errno != EINTR)
    atomic_store(&r->broken, true);
}

static void *run(void *arg) {
  struct prg_relay *r = arg;
  struct epoll_event ev[2];
  int i, n;
  for (;;) {
    n = epoll_wait(r->epoll, ev, 2, BEAT_MS);
    for (i = 0; i < n; i++)
      if (ev[i].data.fd == r->stop) return NULL;
    if (n == 0 || (n > 0 && !atomic_exchange(&r->told, true))) tell(r);
  }
}

/* Edge triggered for the hub: it stays readable until the reader has looked. */
static bool watch(struct prg_relay *r, int fd) {
  struct epoll_event hub = {.events = EPOLLIN | EPOLLET, .data.fd = fd};
  struct epoll_event stop = {.events = EPOLLIN, .data.fd = r->stop};
  return r->epoll >= 0 && r->stop >= 0 &&
         epoll_ctl(r->epoll, EPOLL_CTL_ADD, fd, &hub) == 0 &&
         epoll_ctl(r->epoll, EPOLL_CTL_ADD, r->stop, &stop) == 0;
}

static void close_all(struct prg_relay *r) {
  if (r->peer >= 0) close(r->peer);
  if (r->epoll >= 0) close(r->epoll);
  if (r->stop >= 0) close(r->stop);
}

/* Signals are the program's business. */
static int start_thread(struct prg_relay *r) {
  sigset_t all, before;
  int error;
  (void)sigfillset(&all);
  (void)pthread_sigmask(SIG_SETMASK, &all, &before);
  error = pthread_create(&r->thread, NULL, run, r);
  (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
  return error;
}

bool prg_relay_start(struct prg_relay *r, int fd, char *why, size_t size) {
  int error = 0;
  r->peer = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC);
  r->epoll = epoll_create1(EPOLL_CLOEXEC);
  r->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  atomic_store(&r->told, false);
  atomic_store(&r->broken, false);
  if (r->peer >= 0 && watch(r, fd)) {
    error = start_thread(r);
    r->running = error == 0;
    r->pid = prg_pid();
  }
  if (!r->running) {
    if (error != 0) errno = error;
    error = errno;
    close_all(r);
    errno = error;
    return fail(r, why, size, "starting its thread");
  }
  end_listening(r);
  return true;
}

void prg_relay_heard(struct prg_relay *r) {
  atomic_store(&r->told, false);
}

bool prg_relay_works(const struct prg_relay *r) {
  return r->running && r->pid == prg_pid() && !atomic_load(&r->broken);
}

void prg_relay_stop(struct prg_relay *r) {
  static const uint64_t one = 1;
  bool here = r->pid == prg_pid(); /* a forked child has no thread */
  end_listening(r);
  if (!r->running) return;
  r->running = false;
  if (here && write(r->stop, &one, sizeof one) == (ssize_t)sizeof one)
    (void)pthread_join(r->thread, NULL);
  close_all(r);
}
