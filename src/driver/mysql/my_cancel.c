/* KILL QUERY by a connection of its own, on a thread. */
#include "driver/mysql/my_int.h"

#include <stdio.h>

#include "base/mem.h"
#include "driver/mysql/my_wait.h"

#define KILL_TIME (10 * PRG_SECOND)

/* It owns all that it needs, so that it may outlive the connection. */
struct my_cancel_job {
  struct prg_job job;
  struct my_conn *conn; /* the hub thread's; NULL when it is gone */
  struct my_connect *way;
  int64_t due;
  char sql[40];
};

static void job_free(struct my_cancel_job *j) {
  if (j->way != NULL) my_connect_free(j->way);
  prg_free(j);
}

/* Whether it worked is told by the end of what runs. */
static void run(struct prg_job *job) {
  struct my_cancel_job *j = PRG_CONTAINER(job, struct my_cancel_job, job);
  struct prg_error *e = my_connect_run(j->way);
  struct my_wait w;
  my_wait_init(&w, j->due);
  if (e == NULL) (void)my_wait_sql(&w, my_connect_my(j->way), j->sql);
  prg_error_unref(e);
}

static void orphan(struct prg_job *job) {
  job_free(PRG_CONTAINER(job, struct my_cancel_job, job));
}

static void done(struct prg_job *job) {
  struct my_cancel_job *j = PRG_CONTAINER(job, struct my_cancel_job, job);
  struct my_conn *c = j->conn;
  job_free(j);
  if (c == NULL) return;
  c->cancelling = NULL;
  /* It may have come before the statement had reached the server. */
  if (c->run.req != NULL) c->recancel = prg_now() + 500 * PRG_MS;
  prg_conn_step(&c->base, 0);
}

void my_kill(struct my_conn *c) {
  struct my_cancel_job *j;
  if (c->my == NULL || c->cancelling != NULL) return;
  c->recancel = prg_now() + 500 * PRG_MS; /* should the next lines fail */
  j = prg_calloc(1, sizeof *j);
  if (j == NULL) return;
  j->job.run = run;
  j->job.done = done;
  j->job.orphan = orphan;
  j->conn = c;
  j->due = prg_now() + KILL_TIME;
  (void)snprintf(j->sql, sizeof j->sql, "KILL QUERY %llu",
                 (unsigned long long)c->base.backend);
  j->way = my_connect_new(c->base.config, j->due);
  if (j->way != NULL) my_connect_only(j->way, c->my);
  if (j->way == NULL || prg_job_spawn(c->base.hub, &j->job) != PRG_OK) {
    job_free(j);
    return;
  }
  c->cancelling = j;
  c->recancel = PRG_NEVER;
  c->barrier = true;
}

void my_cancel(struct prg_conn *base) {
  struct my_conn *c = my_of(base);
  if (c->run.req == NULL || !c->run.req->ghost) return;
  my_kill(c);
}

void my_cancel_abandon(struct my_conn *c) {
  if (c->cancelling != NULL) c->cancelling->conn = NULL;
  c->cancelling = NULL;
}
