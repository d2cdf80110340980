#include "driver/sqlite/sl_int.h"

/* ---- opening ------------------------------------------------------------- */

static int start_open(struct sl_conn *c) {
  c->opening = SL_OPENING;
  if (sl_submit(c, sl_open) == PRG_OK) return PRG_AGAIN;
  c->base.error =
      prg_error_new(PRG_K_RESOURCE, "no thread to open the database");
  return PRG_ERR;
}

static int step_opening(struct sl_conn *c) {
  if (c->opening == SL_UNOPENED) return start_open(c);
  if (!c->back) return PRG_AGAIN;
  c->back = false;
  if (c->open_error != NULL) {
    c->base.error = c->open_error;
    c->open_error = NULL;
    return PRG_ERR;
  }
  c->opening = SL_OPENED;
  return PRG_OK;
}

/* ---- stepping ------------------------------------------------------------ */

/* A stream that was resumed or given up, or else the queue's head. */
static bool take_next(struct sl_conn *c) {
  struct prg_req *req = prg_conn_head(&c->base);

  if (req != NULL && req->impl != NULL) {
    c->op = req->impl;
    sl_op_go(c);
    return true;
  }
  req = prg_conn_next(&c->base);
  if (req == NULL) return false;
  sl_op_begin(c, req);
  return true;
}

/* A transaction or a stream would keep a checkpoint from its work. */
static bool can_checkpoint(const struct sl_conn *c) {
  return c->base.tx == PRG_TX_IDLE && c->base.paused.count == 0;
}

/* Between two requests. True: the worker has the connection now. */
static bool make_checkpoint(struct sl_conn *c) {
  if (!can_checkpoint(c)) return false;
  if (!sl_wants_checkpoint(c, c->base.queue.count == 0)) return false;
  if (sl_submit(c, sl_checkpoint) == PRG_OK) return true;
  c->wrote_at = prg_now(); /* no thread: not again at once */
  return false;
}

/* An owner may have closed the connection while he was told an answer. */
static bool is_over(const struct sl_conn *c) {
  return c->base.state != PRG_CONN_READY || c->base.error != NULL;
}

/* When the time of a request that waits for a lock is over, there is nothing but to
** be told so: a try now could be under way then. */
static bool is_waiting(const struct sl_op *op) {
  int64_t now = prg_now();

  if (!op->waiting || op->req->ghost) return false;
  return now < op->retry_at || (op->tries > 0 && now >= op->req->due);
}

static int step(struct prg_conn *base, unsigned ready, struct prg_wait *w) {
  struct sl_conn *c = (struct sl_conn *)(void *)base;
  int64_t from;

  (void)ready;
  if (base->state == PRG_CONN_CONNECTING) return step_opening(c);
  if (c->working || is_over(c)) return PRG_AGAIN;
  from = c->at = base->now != 0 ? base->now : prg_now();
  for (;;) {
    if (c->working || is_over(c)) return PRG_AGAIN;
    if (c->back) {
      c->back = false;
      if (c->op != NULL) sl_op_back(c);
      continue;
    }
    if (c->op != NULL) {
      if (is_waiting(c->op)) {
        w->due = c->op->retry_at;
        return PRG_AGAIN;
      }
      sl_op_go(c);
    } else if (make_checkpoint(c)) {
      return PRG_AGAIN;
    } else if (!take_next(c)) {
      if (can_checkpoint(c)) w->due = sl_checkpoint_due(c);
      return PRG_AGAIN;
    }
    /* A timer in the past: the next turn, after everybody else's. */
    if (c->working) return PRG_AGAIN;
    if (c->at == 0) c->at = prg_now();
    if (c->at - from > SL_SLICE) {
      w->due = c->at;
      return PRG_AGAIN;
    }
  }
}

static void cancel(struct prg_conn *base) {
  struct sl_conn *c = (struct sl_conn *)(void *)base;

  if (!c->working || c->op == NULL) return; /* step() sees the ghost */
  atomic_store(&c->stop, true);
  /* Reaches work that makes no progress calls, but it also hits every other
  ** statement that is open on this handle. */
  if (base->paused.count == 0) sqlite3_interrupt(c->db);
}

static const char *unclean(struct prg_conn *base) {
  struct sl_conn *c = (struct sl_conn *)(void *)base;

  if (base->tx != PRG_TX_IDLE || c->lost != NULL)
    return "a transaction is open";
  if (base->touched) return "its settings were changed";
  return NULL;
}

/* ---- life ---------------------------------------------------------------- */

static struct prg_conn *conn_new(void) {
  struct sl_conn *c = prg_calloc(1, sizeof(*c));

  if (c == NULL) return NULL;
  c->guard_due = PRG_NEVER;
  atomic_init(&c->stop, false);
  prg_list_init(&c->lru);
  return &c->base;
}

static void drop_all(struct sl_conn *c, struct prg_list *list) {
  for (struct prg_link *k = prg_list_first(list); k != NULL;
       k = prg_list_next(list, k)) {
    struct prg_req *req = PRG_CONTAINER(k, struct prg_req, link);
    if (req->impl != NULL) sl_op_drop(c, req->impl);
  }
}

static void fini(struct prg_conn *base, bool forked) {
  struct sl_conn *c = (struct sl_conn *)(void *)base;

  /* A child process that closed the file would drop the locks of its parent
  ** (sqlite.org/howtocorrupt.html, 2.6): all is left as it is, on purpose. */
  if (forked) return;
  c->closing = true;
  atomic_store(&c->stop, true);
  if (c->working && c->opening == SL_OPENED) sqlite3_interrupt(c->db);
  prg_worker_free(c->worker);
  c->worker = NULL;
  drop_all(c, &base->sent);
  drop_all(c, &base->paused);
  sl_cache_clear(c);
  prg_free(c->buckets);
  prg_free(c->spare);
  c->spare = NULL;
  c->buckets = NULL;
  c->nbuckets = 0;
  prg_error_unref(c->open_error);
  prg_error_unref(c->lost);
  c->open_error = c->lost = NULL;
  (void)sqlite3_close_v2(c->db);
  sl_file_forget(c->file);
  c->db = NULL;
  c->file = NULL;
}

PRG_EXPORT extern const struct prg_driver perigee_driver;

const struct prg_driver perigee_driver = {
    .abi = PRG_DRIVER_ABI,
    .release = PERIGEE_VERSION,
    .name = "sqlite",
    .dialect = "sqlite",
    .features = PRG_F_CANCEL | PRG_F_INTERLEAVE | PRG_F_LANES | PRG_F_LAST_ID |
                PRG_F_COLLECT | PRG_F_DIRECT,
    .version = sqlite3_libversion,
    .check = sl_check,
    .conn_new = conn_new,
    .step = step,
    .cancel = cancel,
    .overdue = sl_overdue,
    .unclean = unclean,
    .fini = fini,
    .direct = sl_direct,
};
