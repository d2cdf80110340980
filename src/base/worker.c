#include "base/worker.h"

#include <signal.h>

#include "base/hub_int.h"
#include "base/mem.h"

struct prg_worker {
  struct prg_hub *hub; /* owned reference */
  struct prg_mailbox *box;
  pthread_mutex_t lock;
  pthread_cond_t wake;
  struct prg_list jobs; /* under lock: submitted, not started */
  bool stop;            /* under lock */
  bool started;         /* the thread exists */
  unsigned epoch;       /* a child process has no such thread */
  pthread_t thread;
};

/* Threads take no signals: those are for the host's own threads. */
static int start_thread(pthread_t *id, bool detached, void *(*fn)(void *),
                        void *arg) {
  pthread_attr_t attr;
  sigset_t all, old;
  int rc;
  if (pthread_attr_init(&attr) != 0) return PRG_ERR;
  if (detached) pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  rc = pthread_create(id, &attr, fn, arg);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  pthread_attr_destroy(&attr);
  return rc == 0 ? PRG_OK : PRG_ERR;
}

static void *run_one(void *arg) {
  struct prg_job *job = arg;
  struct prg_mailbox *box = job->box;
  job->run(job);
  prg__mailbox_put(box, job);
  prg__mailbox_unref(box);
  return NULL;
}

int prg_job_spawn(struct prg_hub *h, struct prg_job *job) {
  pthread_t id;
  job->box = prg__mailbox_ref(prg__hub_mailbox(h));
  job->worker = NULL;
  prg__hub_count_job(h, 1);
  if (start_thread(&id, true, run_one, job) == PRG_OK) return PRG_OK;
  prg__hub_count_job(h, -1);
  prg__mailbox_unref(job->box);
  return PRG_ERR;
}

static void *run_all(void *arg) {
  struct prg_worker *w = arg;
  struct prg_link *k;
  pthread_mutex_lock(&w->lock);
  for (;;) {
    struct prg_job *job;
    while (w->jobs.count == 0 && !w->stop) {
      pthread_cond_wait(&w->wake, &w->lock);
    }
    if (w->stop) break;
    k = prg_list_pop_front(&w->jobs);
    pthread_mutex_unlock(&w->lock);
    job = PRG_CONTAINER(k, struct prg_job, link);
    job->run(job);
    prg__mailbox_put(w->box, job);
    pthread_mutex_lock(&w->lock);
  }
  pthread_mutex_unlock(&w->lock);
  return NULL;
}

struct prg_worker *prg_worker_new(struct prg_hub *h) {
  struct prg_worker *w = prg_calloc(1, sizeof *w);
  if (w == NULL) return NULL;
  w->hub = prg_hub_ref(h);
  w->box = prg__hub_mailbox(h);
  w->epoch = prg__fork_epoch();
  pthread_mutex_init(&w->lock, NULL);
  pthread_cond_init(&w->wake, NULL);
  prg_list_init(&w->jobs);
  return w;
}

int prg_worker_submit(struct prg_worker *w, struct prg_job *job) {
  if (w->stop || w->epoch != prg__fork_epoch()) return PRG_ERR;
  if (!w->started) {
    if (start_thread(&w->thread, false, run_all, w) != PRG_OK) return PRG_ERR;
    w->started = true;
  }
  job->box = w->box;
  job->worker = w;
  prg__hub_count_job(w->hub, 1);
  pthread_mutex_lock(&w->lock);
  prg_list_push_back(&w->jobs, &job->link);
  pthread_cond_signal(&w->wake);
  pthread_mutex_unlock(&w->lock);
  return PRG_OK;
}

void prg_worker_free(struct prg_worker *w) {
  struct prg_link *k;
  struct prg_job *job;
  if (w == NULL) return;
  /* In a child process the thread does not exist and may have held the lock
  ** when it was forked: nothing can be waited for or freed safely. */
  if (w->epoch != prg__fork_epoch()) return;
  pthread_mutex_lock(&w->lock);
  w->stop = true;
  pthread_cond_signal(&w->wake);
  pthread_mutex_unlock(&w->lock);
  if (w->started) pthread_join(w->thread, NULL);
  while ((job = prg__mailbox_take(w->box, w)) != NULL) {
    prg__hub_count_job(w->hub, -1);
    job->done(job);
  }
  while ((k = prg_list_pop_front(&w->jobs)) != NULL) {
    job = PRG_CONTAINER(k, struct prg_job, link);
    prg__hub_count_job(w->hub, -1);
    job->orphan(job);
  }
  pthread_cond_destroy(&w->wake);
  pthread_mutex_destroy(&w->lock);
  prg_hub_unref(w->hub);
  prg_free(w);
}
