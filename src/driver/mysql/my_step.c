/* The loop of a connection: ops, the ends of requests, what comes unasked. */
#include "driver/mysql/my_int.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"

/* ---- ops ------------------------------------------------------------------ */

void my_do(struct my_conn *c, my_op *op, my_then *then) {
  c->op = op;
  c->then = then;
  c->wants = 0;
}

void my_do_sql(struct my_conn *c, const char *sql, size_t len, my_then *then) {
  c->sql = sql;
  c->len = len;
  my_do(c, my_op_query, then);
}

int my_op_query(struct my_conn *c, int ready) {
  return ready == 0 ? mysql_real_query_start(&c->rc, c->my, c->sql, c->len)
                    : mysql_real_query_cont(&c->rc, c->my, ready);
}

int my_op_prepare(struct my_conn *c, int ready) {
  return ready == 0 ? mysql_stmt_prepare_start(&c->rc, c->st, c->sql, c->len)
                    : mysql_stmt_prepare_cont(&c->rc, c->st, ready);
}

/* The library keeps the columns of the prepare, with their old names, unless it is told
** that it has none: then it takes those that the server sends, which it does when they
** are others now. */
int my_op_execute(struct my_conn *c, int ready) {
  if (ready == 0) c->st->field_count = 0;
  return ready == 0 ? mysql_stmt_execute_start(&c->rc, c->st)
                    : mysql_stmt_execute_cont(&c->rc, c->st, ready);
}

int my_op_fetch(struct my_conn *c, int ready) {
  return ready == 0 ? mysql_stmt_fetch_start(&c->rc, c->st)
                    : mysql_stmt_fetch_cont(&c->rc, c->st, ready);
}

int my_op_close(struct my_conn *c, int ready) {
  return ready == 0 ? mysql_stmt_close_start(&c->flag, c->st)
                    : mysql_stmt_close_cont(&c->flag, c->st, ready);
}

int my_op_stmt_next(struct my_conn *c, int ready) {
  return ready == 0 ? mysql_stmt_next_result_start(&c->rc, c->st)
                    : mysql_stmt_next_result_cont(&c->rc, c->st, ready);
}

int my_op_stmt_free(struct my_conn *c, int ready) {
  return ready == 0 ? mysql_stmt_free_result_start(&c->flag, c->st)
                    : mysql_stmt_free_result_cont(&c->flag, c->st, ready);
}

int my_op_row(struct my_conn *c, int ready) {
  return ready == 0 ? mysql_fetch_row_start(&c->row, c->run.rows)
                    : mysql_fetch_row_cont(&c->row, c->run.rows, ready);
}

int my_op_next(struct my_conn *c, int ready) {
  return ready == 0 ? mysql_next_result_start(&c->rc, c->my)
                    : mysql_next_result_cont(&c->rc, c->my, ready);
}

int my_op_free_rows(struct my_conn *c, int ready) {
  return ready == 0 ? mysql_free_result_start(c->run.rows)
                    : mysql_free_result_cont(c->run.rows, ready);
}

int my_op_ping(struct my_conn *c, int ready) {
  return ready == 0 ? mysql_ping_start(&c->rc, c->my)
                    : mysql_ping_cont(&c->rc, c->my, ready);
}

int my_op_reset(struct my_conn *c, int ready) {
  return ready == 0 ? mysql_reset_connection_start(&c->rc, c->my)
                    : mysql_reset_connection_cont(&c->rc, c->my, ready);
}

int my_op_use(struct my_conn *c, int ready) {
  return ready == 0 ? mysql_select_db_start(&c->rc, c->my,
                                            c->base.config->url.database)
                    : mysql_select_db_cont(&c->rc, c->my, ready);
}

/* ---- transactions --------------------------------------------------------- */

void my_look(struct my_conn *c) {
  bool open = (c->my->server_status & SERVER_STATUS_IN_TRANS) != 0;
  if (c->lost != NULL) {
    c->base.tx = PRG_TX_FAILED;
  } else {
    c->base.tx = open ? PRG_TX_OPEN : PRG_TX_IDLE;
  }
}

/* A deadlock (and its like) ends the transaction. The server then goes on in a new one
** without having been asked, and says so of none. What its owner sends must not become
** half a transaction: so it counts as failed until it is rolled back, as on other
** databases. */
static void lose_transaction(struct my_conn *c) {
  struct prg_error *e = c->run.error;
  prg_error_unref(c->lost);
  c->lost = prg_error_ref(e);
  if (e->field[PRG_EF_HINT] == NULL)
    (void)prg_error_set(e, PRG_EF_HINT, "the transaction was rolled back");
}

/* COMMIT or ROLLBACK, but not ROLLBACK TO a savepoint? */
static bool ends_transaction(const char *sql) {
  struct prg_result r;
  const char *p;
  my_result_tag(&r, sql);
  if (strcmp(r.tag, "COMMIT") == 0) return true;
  if (strcmp(r.tag, "ROLLBACK") != 0) return false;
  for (p = sql; *p != '\0'; p++)
    if (isspace((unsigned char)*p) && strncasecmp(p + 1, "to", 2) == 0 &&
        isspace((unsigned char)p[3]))
      return false;
  return true;
}

static const char rollback_sql[] = "ROLLBACK";

static void after_lost(struct my_conn *c) {
  if (c->rc != 0) {
    my_fail(c, NULL);
    return;
  }
  prg_error_unref(c->lost);
  c->lost = NULL;
  c->run.res = my_result_new(NULL);
  if (c->run.res == NULL)
    c->run.error = prg_error_oom();
  else
    memcpy(c->run.res->base.tag, rollback_sql, sizeof rollback_sql);
  my_end(c);
}

/* The transaction has ended by itself: only its end is accepted. */
static void answer_lost(struct my_conn *c) {
  struct prg_req *req = c->run.req;
  struct prg_error *e;
  if (req->kind == PRG_REQ_QUERY && ends_transaction(req->stmt->sql)) {
    my_do_sql(c, rollback_sql, sizeof rollback_sql - 1, after_lost);
    return;
  }
  e = prg_error_new(PRG_K_ABORTED,
                    "the transaction was rolled back by an earlier error; only "
                    "ROLLBACK is possible");
  if (e != prg_error_oom()) {
    e->cause = prg_error_ref(c->lost);
    if (req->stmt != NULL) (void)prg_error_set(e, PRG_EF_SQL, req->stmt->sql);
  }
  c->run.error = e;
  my_end(c);
}

/* ---- ends ----------------------------------------------------------------- */

void my_broken(struct my_conn *c) {
  if (c->base.error != NULL) return;
  struct prg_error *e = my_error_new(c->my, NULL, NULL);
  if (e != prg_error_oom()) {
    e->kind = PRG_K_CLOSED;
    e->retryable = false;
  }
  c->base.error = e;
}

static void after_end_close(struct my_conn *c) {
  c->run.e->st = NULL;
  my_end(c);
}

void my_end(struct my_conn *c) {
  struct my_run *r = &c->run, was;
  struct prg_result *result;
  if (my_ask_warnings(c, my_end)) return;
  if (r->e != NULL && !r->e->cached) {
    if (r->e->st != NULL) {
      c->st = r->e->st;
      my_do(c, my_op_close, after_end_close);
      return;
    }
    my_entry_free(r->e);
  }
  my_look(c);
  my_wire_end(c);
  was = *r;
  memset(r, 0, sizeof *r);
  c->recancel = PRG_NEVER;
  my_plan_fini(&was.plan);
  result = was.first;
  if (was.res != NULL) {
    if (result == NULL)
      result = &was.res->base;
    else
      prg_result_free(&was.res->base);
  }
  prg_req_finish(was.req, result, was.error);
}

void my_fail_with(struct my_conn *c, struct prg_error *e) {
  if (c->run.error == NULL)
    c->run.error = e;
  else
    prg_error_unref(e);
  if (e != prg_error_oom() && c->run.req->stmt != NULL &&
      e->field[PRG_EF_SQL] == NULL)
    (void)prg_error_set(e, PRG_EF_SQL, c->run.req->stmt->sql);
  my_end(c);
}

/* An error packet does not say whether the transaction is still open. */
static void after_state(struct my_conn *c) {
  if (c->rc != 0) {
    my_broken(c);
    return;
  }
  if (c->run.rolled_back ||
      (c->my->server_status & SERVER_STATUS_IN_TRANS) == 0)
    lose_transaction(c);
  my_end(c);
}

static void after_key(struct my_conn *c) {
  if (c->run.was_tx)
    my_do(c, my_op_ping, after_state);
  else
    my_end(c);
}

void my_fail(struct my_conn *c, MYSQL_STMT *st) {
  unsigned code = my_errno(c->my, st);
  if (my_is_lost(code)) {
    my_broken(c);
    return;
  }
  if (c->run.error == NULL)
    c->run.error = my_error_new(c->my, st, c->run.req->stmt);
  c->run.rolled_back = my_ends_transaction(code, c->rolls_back);
  if (!my_ask_key(c, after_key)) after_key(c);
}

/* ---- taking up ------------------------------------------------------------ */

/* A text that is longer than a packet may be would cost the connection. */
static bool is_too_long(struct my_conn *c, const struct prg_stmt *stmt) {
  if (stmt == NULL || c->limit == 0 || stmt->len < c->limit) return false;
  c->run.error = prg_error_new(
      PRG_K_RESOURCE,
      "the statement has %zu bytes, and the server takes packets of up to %zu "
      "(max_allowed_packet)",
      stmt->len, c->limit);
  my_end(c);
  return true;
}

static void begin(struct my_conn *c, struct prg_req *req) {
  memset(&c->run, 0, sizeof c->run);
  c->run.req = req;
  c->run.was_tx = c->base.tx == PRG_TX_OPEN;
  c->my->warning_count = 0;
  if (is_too_long(c, req->stmt)) return;
  if (req->kind == PRG_REQ_PING || req->kind == PRG_REQ_RESET)
    my_simple_begin(c);
  else if (c->lost != NULL)
    answer_lost(c);
  else if (req->kind == PRG_REQ_BATCH)
    my_batch_begin(c);
  else if (req->kind == PRG_REQ_SCRIPT)
    my_text_begin(c);
  else
    my_query_begin(c);
}

static void after_barrier(struct my_conn *c) {
  if (c->rc != 0 && my_is_lost(mysql_errno(c->my))) my_broken(c);
}

/* A stream by a cursor gets its run back. */
static void take_back(struct my_conn *c, struct prg_req *req) {
  struct my_run *r = req->impl;
  c->run = *r;
  prg_free(r);
  req->impl = NULL;
}

/* True: there is something to do. */
static bool take_next(struct my_conn *c) {
  struct prg_req *req = prg_conn_head(&c->base);
  if (c->run.req == NULL && req != NULL && req->impl != NULL) take_back(c, req);
  req = c->run.req;
  if (req != NULL) {
    if (req->state == PRG_REQ_PAUSED) return false;
    my_query_resume(c);
    return true;
  }
  if (c->cancelling != NULL) return false;
  if (c->barrier) {
    c->barrier = false;
    my_do_sql(c, "DO 0", 4, after_barrier);
    return true;
  }
  req = prg_conn_next(&c->base);
  if (req == NULL) return false;
  begin(c, req);
  return true;
}

/* ---- unasked -------------------------------------------------------------- */

static void after_ping(struct my_conn *c) {
  if (c->rc != 0) my_broken(c);
}

static void set_closed(struct my_conn *c, struct prg_error *e) {
  if (c->base.error != NULL) {
    prg_error_unref(e);
    return;
  }
  if (e == NULL)
    e = prg_error_new(PRG_K_CLOSED, "the server has closed the connection");
  c->base.error = e;
}

/* Nothing is in progress and something can be read: the server's last words, or
** its end. By TLS it may be a message of that protocol, so it is asked. */
static void look_at_socket(struct my_conn *c) {
  unsigned char buf[512];
  ssize_t n = recv((int)mysql_get_socket(c->my), buf, sizeof buf,
                   MSG_PEEK | MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n > 0 && c->tls) {
    if (c->run.req == NULL) my_do(c, my_op_ping, after_ping);
    return;
  }
  set_closed(c, n > 0 ? my_error_packet(buf, (size_t)n) : NULL);
}

/* ---- the loop ------------------------------------------------------------- */

static unsigned events_of(int wants) {
  unsigned events = 0;
  if ((wants & (MYSQL_WAIT_READ | MYSQL_WAIT_EXCEPT)) != 0) events |= PRG_READ;
  if ((wants & MYSQL_WAIT_WRITE) != 0) events |= PRG_WRITE;
  return events;
}

static int wants_of(unsigned ready, int wants) {
  int mask = 0;
  if ((ready & PRG_HANGUP) != 0) return wants;
  if ((ready & PRG_READ) != 0) mask |= MYSQL_WAIT_READ | MYSQL_WAIT_EXCEPT;
  if ((ready & PRG_WRITE) != 0) mask |= MYSQL_WAIT_WRITE;
  return mask & wants;
}

/* Starts the op or goes on with it. False: it waits. */
static bool run_op(struct my_conn *c, unsigned ready, struct prg_wait *w) {
  int mask = 0;
  if (c->wants != 0) mask = wants_of(ready, c->wants);
  if (c->wants == 0 || mask != 0) {
    if (c->tls) my_tls_forget();
    c->wants = c->op(c, mask);
  }
  if (c->wants == 0) return true;
  w->events = events_of(c->wants);
  return false;
}

/* A cancel that may have come too early is sent again. */
static void check_recancel(struct my_conn *c, struct prg_wait *w) {
  if (c->recancel == PRG_NEVER || c->run.req == NULL) return;
  if (!my_is_unwanted(c)) c->recancel = PRG_NEVER; /* it is another one */
  if (prg_now() >= c->recancel) my_kill(c);
  if (c->recancel < w->due) w->due = c->recancel;
}

static bool is_over(const struct my_conn *c) {
  return c->base.error != NULL || c->base.state != PRG_CONN_READY ||
         c->my == NULL;
}

/* Nothing can be done now: what is waited for. */
static void rest(struct my_conn *c, unsigned ready, struct prg_wait *w) {
  bool paused = c->run.req != NULL;
  if (ready == 0) {
    if (paused) w->events = 0; /* in the end that stops the server */
    return;
  }
  if (paused) {
    w->events = 0;
    if ((ready & PRG_HANGUP) != 0) w->fd = -1; /* it would be told for ever */
  } else {
    look_at_socket(c);
  }
}

static int advance(struct my_conn *c, unsigned ready, struct prg_wait *w) {
  int64_t from = 0;
  unsigned turns = 0;
  while (!is_over(c)) {
    if (c->op != NULL) {
      if (!run_op(c, ready, w)) return PRG_AGAIN;
      c->op = NULL;
      my_then *then = c->then;
      then(c);
    } else if (!take_next(c)) {
      rest(c, ready, w);
      if (c->op == NULL) return c->base.error != NULL ? PRG_ERR : PRG_AGAIN;
    }
    ready = 0;
    if (++turns % 32 != 0) continue; /* the clock costs more than most turns */
    if (from == 0) from = prg_now();
    if (prg_now() - from > MY_SLICE) {
      w->events = 0;
      w->due = prg_now(); /* the next turn, after everybody else's */
      return PRG_AGAIN;
    }
  }
  return c->base.error != NULL ? PRG_ERR : PRG_AGAIN;
}

int my_step(struct prg_conn *base, unsigned ready, struct prg_wait *w) {
  struct my_conn *c = my_of(base);
  if (base->state == PRG_CONN_CONNECTING) {
    if (c->my != NULL) {
      w->fd = (int)mysql_get_socket(c->my);
      return PRG_OK;
    }
    if (c->connecting != NULL) return PRG_AGAIN;
    return my_connect_start(c) == PRG_OK ? PRG_AGAIN : PRG_ERR;
  }
  if (c->my == NULL) return PRG_AGAIN;
  w->fd = (int)mysql_get_socket(c->my);
  int rc = advance(c, ready, w);
  if (rc != PRG_ERR) check_recancel(c, w);
  return rc;
}
