#include "driver/postgres/pg_int.h"

#include "base/mem.h"

/* It owns all that it needs, so that it may outlive the connection. */
struct pg_cancel_job {
  struct prg_job job;
  struct pg_conn *conn; /* the hub thread's; NULL when it is gone */
#ifdef LIBPQ_HAS_ASYNC_CANCEL
  PGcancelConn *cancel; /* owned */
#else
  PGcancel *cancel; /* owned */
#endif
};

#ifdef LIBPQ_HAS_ASYNC_CANCEL

static bool prepare(struct pg_cancel_job *j, PGconn *pg) {
  j->cancel = PQcancelCreate(pg);
  return j->cancel != NULL;
}

/* Over TLS when the connection is. Waits until the server has closed the
** socket, that is until it has given the signal. */
static void ask(struct pg_cancel_job *j) {
  PQcancelBlocking(j->cancel);
}

static void release(struct pg_cancel_job *j) {
  PQcancelFinish(j->cancel);
}

#else

static bool prepare(struct pg_cancel_job *j, PGconn *pg) {
  j->cancel = PQgetCancel(pg);
  return j->cancel != NULL;
}

/* Waits until the server has closed the socket, that is until it has given
** the signal. What it answers does not matter: the result of the query tells
** whether it worked. */
static void ask(struct pg_cancel_job *j) {
  char text[256];
  PQcancel(j->cancel, text, sizeof text);
}

static void release(struct pg_cancel_job *j) {
  PQfreeCancel(j->cancel);
}

#endif

static void job_free(struct pg_cancel_job *j) {
  if (j->cancel != NULL) release(j);
  prg_free(j);
}

static void run(struct prg_job *job) {
  ask(PRG_CONTAINER(job, struct pg_cancel_job, job));
}

static void orphan(struct prg_job *job) {
  job_free(PRG_CONTAINER(job, struct pg_cancel_job, job));
}

static void done(struct prg_job *job) {
  struct pg_cancel_job *j = PRG_CONTAINER(job, struct pg_cancel_job, job);
  struct pg_conn *c = j->conn;
  job_free(j);
  if (c == NULL) return;
  c->cancelling = NULL;
  /* It may have come before the query had reached the server. */
  if (c->flight.count > 0) c->recancel = prg_now() + 500 * PRG_MS;
  prg_conn_step(&c->base, 0);
}

void pg_cancel(struct prg_conn *base) {
  struct pg_conn *c = pg_of(base);
  struct prg_link *k = prg_list_first(&c->flight);
  struct pg_run *head =
      k == NULL ? NULL : PRG_CONTAINER(k, struct pg_run, link);
  if (c->pg == NULL || head == NULL || c->cancelling != NULL) return;
  /* What runs may be a neighbour of the one that is meant. */
  if (head->req != NULL && !head->req->ghost && !head->truncated) return;
  /* The server that waits for data is told by them, and is asked like that only
  ** when it does not take any. */
  if (head->x.copy == PG_COPY_IN && !head->copy_told) {
    head->copy_told = true;
    c->recancel = prg_now() + 500 * PRG_MS;
    return;
  }
  c->stray = c->flight.count > 1;
  c->recancel = prg_now() + 500 * PRG_MS; /* should the next lines fail */
  struct pg_cancel_job *j = prg_calloc(1, sizeof *j);
  if (j == NULL) return;
  j->job.run = run;
  j->job.done = done;
  j->job.orphan = orphan;
  j->conn = c;
  if (!prepare(j, c->pg) || prg_job_spawn(base->hub, &j->job) != PRG_OK) {
    job_free(j);
    return;
  }
  c->cancelling = j;
  c->cancel_due = prg_now() + 10 * PRG_SECOND;
  c->recancel = PRG_NEVER;
  c->barrier = true;
}

void pg_cancel_abandon(struct pg_conn *c) {
  if (c->cancelling != NULL) c->cancelling->conn = NULL;
  c->cancelling = NULL;
}
