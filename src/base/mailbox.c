#include "base/hub_int.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/worker.h"

struct prg_mailbox *prg__mailbox_new(void) {
  struct prg_mailbox *m = prg_calloc(1, sizeof *m);
  if (m == NULL) {
    errno = ENOMEM;
    return NULL;
  }
  m->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (m->fd < 0) {
    prg_free(m);
    return NULL;
  }
  pthread_mutex_init(&m->lock, NULL); /* cannot fail for a default mutex */
  prg_list_init(&m->jobs);
  m->refs = 1;
  return m;
}

struct prg_mailbox *prg__mailbox_ref(struct prg_mailbox *m) {
  pthread_mutex_lock(&m->lock);
  m->refs++;
  pthread_mutex_unlock(&m->lock);
  return m;
}

void prg__mailbox_unref(struct prg_mailbox *m) {
  bool last;
  pthread_mutex_lock(&m->lock);
  last = --m->refs == 0;
  pthread_mutex_unlock(&m->lock);
  if (!last) return;
  close(m->fd);
  pthread_mutex_destroy(&m->lock);
  prg_free(m);
}

void prg__mailbox_ring(const struct prg_mailbox *m) {
  static const uint64_t one = 1;
  int saved = errno;
  /* EAGAIN means a counter at its maximum: readable already. */
  ssize_t n = write(m->fd, &one, sizeof one);
  (void)n;
  errno = saved;
}

void prg__mailbox_put(struct prg_mailbox *m, struct prg_job *job) {
  bool gone, first;
  pthread_mutex_lock(&m->lock);
  gone = m->hub_gone;
  first = m->jobs.count == 0;
  if (!gone) prg_list_push_back(&m->jobs, &job->link);
  /* Rings under the lock: the descriptor cannot be closed meanwhile. */
  if (!gone && first) prg__mailbox_ring(m);
  pthread_mutex_unlock(&m->lock);
  if (gone) job->orphan(job);
}

struct prg_job *prg__mailbox_take(struct prg_mailbox *m,
                                  const struct prg_worker *w) {
  struct prg_job *job = NULL;
  struct prg_link *k;
  pthread_mutex_lock(&m->lock);
  for (k = prg_list_first(&m->jobs); k != NULL;
       k = prg_list_next(&m->jobs, k)) {
    job = PRG_CONTAINER(k, struct prg_job, link);
    if (w == NULL || job->worker == w) break;
  }
  if (k != NULL) prg_list_remove(&m->jobs, k);
  pthread_mutex_unlock(&m->lock);
  return k == NULL ? NULL : job;
}

size_t prg__mailbox_count(struct prg_mailbox *m) {
  size_t n;
  pthread_mutex_lock(&m->lock);
  n = m->jobs.count;
  pthread_mutex_unlock(&m->lock);
  return n;
}

void prg__mailbox_close(struct prg_mailbox *m) {
  struct prg_job *job;
  pthread_mutex_lock(&m->lock);
  m->hub_gone = true;
  pthread_mutex_unlock(&m->lock);
  while ((job = prg__mailbox_take(m, NULL)) != NULL) job->orphan(job);
  prg__mailbox_unref(m);
}
