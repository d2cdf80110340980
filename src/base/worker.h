/*
** Work that can only block: a thread of its own per job (connecting, cancel),
** or a worker that runs jobs in order (a SQLite connection).
**
** A job has one owner at a time: the submitter until submit, the thread during
** run(), the hub's thread again in done(). When the hub is gone before a job
** ends, orphan() runs instead of done(), on the job's thread, and must free
** what the job holds without touching the hub or the submitter.
*/
#ifndef PRG_BASE_WORKER_H
#define PRG_BASE_WORKER_H

#include "base/hub.h"

struct prg_mailbox;
struct prg_worker;

struct prg_job {
  struct prg_link link;                /* theirs, with the next two */
  struct prg_mailbox *box;             /* where it goes when it has run */
  struct prg_worker *worker;           /* whose it is, or NULL */
  void (*run)(struct prg_job *job);    /* on the thread */
  void (*done)(struct prg_job *job);   /* on the hub's thread */
  void (*orphan)(struct prg_job *job); /* on the thread, the hub being gone */
};

/* Starts a detached thread for one job. PRG_ERR: no thread; neither done nor
** orphan will run. */
int prg_job_spawn(struct prg_hub *h, struct prg_job *job) PRG_MUSTCHECK;

/* A worker; its thread starts with the first job. NULL without memory. */
struct prg_worker *prg_worker_new(struct prg_hub *h);
/* PRG_ERR: the thread could not be started. */
int prg_worker_submit(struct prg_worker *w, struct prg_job *job) PRG_MUSTCHECK;
/* Waits for the job that runs (tell it to stop first), runs done() for
** finished and orphan() for unstarted jobs, ends the thread and frees. */
void prg_worker_free(struct prg_worker *w);

#endif
