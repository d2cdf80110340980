#include "driver/driver_int.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

#define DEFAULT_CHUNK 500

/* ---- copying parameters ------------------------------------------------- */

static int own_value(struct prg_arena *a, struct prg_value *v);

/* Into `copy`, which has room for them. */
static int copy_values(struct prg_arena *a, const struct prg_value **values,
                       size_t n, struct prg_value *copy) {
  memcpy(copy, *values, n * sizeof *copy);
  for (size_t i = 0; i < n; i++) {
    if (own_value(a, &copy[i]) != PRG_OK) return PRG_ERR;
  }
  *values = copy;
  return PRG_OK;
}

static int own_values(struct prg_arena *a, const struct prg_value **values,
                      size_t n) {
  struct prg_value *copy;
  if (n == 0) return PRG_OK;
  if (n > SIZE_MAX / sizeof *copy) return PRG_ERR;
  copy = prg_arena_alloc(a, n * sizeof *copy);
  return copy == NULL ? PRG_ERR : copy_values(a, values, n, copy);
}

static int own_text(struct prg_arena *a, struct prg_text *s) {
  char *copy = prg_arena_dup(a, s->p, s->n);
  if (copy == NULL) return PRG_ERR;
  s->p = copy;
  return PRG_OK;
}

static int own_list(struct prg_arena *a, struct prg_vlist **list) {
  struct prg_vlist *copy = prg_arena_alloc(a, sizeof *copy);
  const struct prg_value *items;
  if (copy == NULL) return PRG_ERR;
  *copy = **list;
  items = copy->items;
  if (own_values(a, &items, copy->n) != PRG_OK) return PRG_ERR;
  copy->items = (struct prg_value *)items;
  if (copy->lower != NULL) {
    copy->lower = (const int32_t *)(void *)prg_arena_dup(
        a, copy->lower, (size_t)copy->ndim * sizeof *copy->lower);
    if (copy->lower == NULL) return PRG_ERR;
  }
  *list = copy;
  return PRG_OK;
}

static int own_map(struct prg_arena *a, struct prg_vmap **map) {
  struct prg_vmap *copy = prg_arena_alloc(a, sizeof *copy);
  const struct prg_value *values;
  if (copy == NULL) return PRG_ERR;
  *copy = **map;
  values = copy->values;
  if (own_values(a, &values, copy->n) != PRG_OK) return PRG_ERR;
  copy->values = (struct prg_value *)values;
  if (copy->keys != NULL) {
    struct prg_text *keys = prg_arena_alloc(a, copy->n * sizeof *keys);
    if (keys == NULL) return PRG_ERR;
    if (copy->n > 0) memcpy(keys, copy->keys, copy->n * sizeof *keys);
    for (size_t i = 0; i < copy->n; i++) {
      if (keys[i].p != NULL && own_text(a, &keys[i]) != PRG_OK) return PRG_ERR;
    }
    copy->keys = keys;
  }
  *map = copy;
  return PRG_OK;
}

static int own_range(struct prg_arena *a, struct prg_vrange **range) {
  struct prg_vrange *copy = prg_arena_alloc(a, sizeof *copy);
  if (copy == NULL) return PRG_ERR;
  *copy = **range;
  *range = copy;
  if (copy->empty) return PRG_OK;
  if (own_value(a, &copy->lower) != PRG_OK) return PRG_ERR;
  return own_value(a, &copy->upper);
}

/* Gives `v`, a copy, its own copy of what it points to. */
static int own_value(struct prg_arena *a, struct prg_value *v) {
  switch (v->type) {
    case PRG_NULL:
    case PRG_BOOL:
    case PRG_INT:
    case PRG_DOUBLE:
      return PRG_OK;
    case PRG_TEXT:
    case PRG_BYTES:
    case PRG_DECIMAL:
    case PRG_JSON:
      return own_text(a, &v->u.s);
    case PRG_LIST:
    case PRG_MULTIRANGE:
      return own_list(a, &v->u.list);
    case PRG_RECORD:
    case PRG_HSTORE:
      return own_map(a, &v->u.map);
    case PRG_RANGE:
      return own_range(a, &v->u.range);
  }
  return PRG_OK;
}

int prg_values_own(struct prg_arena *a, struct prg_value *values, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (own_value(a, &values[i]) != PRG_OK) return PRG_ERR;
  }
  return PRG_OK;
}

int prg_req_own_params(struct prg_req *req) {
  size_t n = req->stmt == NULL ? 0 : (size_t)req->stmt->nparams * req->nsets;
  int rc;
  if (req->params_owned || req->params == NULL) return PRG_OK;
  rc = n <= sizeof req->few / sizeof req->few[0]
           ? copy_values(&req->arena, &req->params, n, req->few)
           : own_values(&req->arena, &req->params, n);
  if (rc == PRG_OK) req->params_owned = true;
  return rc;
}

/* ---- life --------------------------------------------------------------- */

const char *prg__seconds(int64_t us, char *text) {
  double s = (double)us / 1e6;
  if (s < 0.001) s = 0.001;
  snprintf(text, 32, s >= 100 ? "%.0f s" : "%.3g s", s);
  return text;
}

struct prg_error *prg__timeout_error(const struct prg_req *req, bool sent) {
  struct prg_error *e;
  char text[32];
  if (req->timeout == 0) {
    e = prg_error_new(PRG_K_TIMEOUT,
                      "the time for the query was over before it was sent");
  } else {
    e = prg_error_new(PRG_K_TIMEOUT, "the query took longer than %s",
                      prg__seconds(req->timeout, text));
  }
  if (e == prg_error_oom()) return e;
  e->sent = sent;
  if (req->stmt != NULL) prg_error_set(e, PRG_EF_SQL, req->stmt->sql);
  if (!sent && req->timeout != 0) {
    prg_error_set(e, PRG_EF_DETAIL,
                  "It was not sent: it waited for other queries on the same "
                  "connection.");
  }
  return e;
}

/* The list that a request in this state is in, or NULL. */
static struct prg_list *list_of(struct prg_req *req) {
  struct prg_conn *c = req->conn;
  if (!prg_link_linked(&req->link)) return NULL;
  if (req->state == PRG_REQ_QUEUED) return &c->queue;
  if (req->state == PRG_REQ_PAUSED &&
      (c->driver->features & PRG_F_INTERLEAVE)) {
    return &c->paused;
  }
  return &c->sent; /* also a ghost that is DONE for its owner */
}

static void free_copy(struct prg_copy *copy) {
  if (copy == NULL) return;
  if (copy->codec != NULL) copy->free_codec(copy->codec);
  prg_buf_fini(&copy->out);
  prg_free(copy->sql);
  prg_free(copy);
}

static void destroy(struct prg_req *req) {
  free_copy(req->copy);
  prg_result_free(req->result);
  prg_error_unref(req->error);
  prg_stmt_unref(req->stmt);
  prg_stmt_unref(req->prelude);
  prg_arena_fini(&req->arena);
  prg_free(req);
}

/* The answer, for an owner who is waiting for it. */
static void answer(struct prg_req *req, struct prg_result *result,
                   struct prg_error *error) {
  if (error != NULL) {
    prg_result_free(result);
    result = NULL;
  }
  /* The chunk of a paused stream stays: its owner is reading it. */
  if (req->state != PRG_REQ_PAUSED) {
    prg_result_free(req->result);
    req->result = result;
  }
  req->error = error;
  req->more = false;
  req->state = PRG_REQ_DONE;
  if (!req->submitting && req->done != NULL) req->done(req);
}

static void on_deadline(struct prg_timer *t) {
  struct prg_req *req = PRG_CONTAINER(t, struct prg_req, timer);
  struct prg_conn *c = req->conn;
  bool sent = req->state != PRG_REQ_QUEUED;
  struct prg_error *e = NULL;
  if (sent && c->driver->overdue != NULL) e = c->driver->overdue(c, req);
  if (e == NULL) e = prg__timeout_error(req, sent);
  c->depth++;
  if (sent) {
    req->ghost = true;
    answer(req, NULL, e);
  } else {
    prg__req_end(req, NULL, e);
  }
  c->depth--;
  prg__conn_changed(c, sent);
}

struct prg_req *prg_req_new(enum prg_req_kind kind, struct prg_stmt *stmt) {
  struct prg_req *req = prg_calloc(1, sizeof *req);
  if (req == NULL) return NULL;
  req->kind = kind;
  req->state = PRG_REQ_NEW;
  req->stmt = prg_stmt_ref(stmt);
  req->nsets = 1;
  req->chunk = DEFAULT_CHUNK;
  req->due = PRG_NEVER;
  req->timer.fn = on_deadline;
  prg_arena_init(&req->arena);
  return req;
}

struct prg_req *prg_req_new_copy(enum prg_req_kind kind,
                                 struct prg_stmt *stmt) {
  struct prg_req *req = prg_req_new(kind, stmt);
  if (req == NULL) return NULL;
  req->copy = prg_calloc(1, sizeof *req->copy);
  if (req->copy == NULL) {
    destroy(req);
    return NULL;
  }
  prg_buf_init(&req->copy->out, 0);
  return req;
}

void prg__req_end(struct prg_req *req, struct prg_result *result,
                  struct prg_error *error) {
  struct prg_conn *c = req->conn;
  struct prg_list *list = list_of(req);
  if (req->ghost && prg_conn_head(c) == req) {
    prg_timer_clear(c->hub, &c->cancel_timer); /* it did end in time */
  }
  if (list != NULL) prg_list_remove(list, &req->link);
  prg_timer_clear(c->hub, &req->timer);
  if (!req->ghost) {
    answer(req, result, error);
    return;
  }
  prg_result_free(result);
  prg_error_unref(error);
  req->ghost = false;
  if (req->released) destroy(req);
}

void prg__req_unpause(struct prg_req *req) {
  struct prg_list *list = list_of(req);
  prg_result_free(req->result);
  req->result = NULL;
  req->more = false;
  if (list != &req->conn->sent) {
    prg_list_remove(list, &req->link);
    prg_list_push_back(&req->conn->sent, &req->link);
  }
  req->state = PRG_REQ_SENT;
}

void prg__req_deliver(struct prg_req *req, struct prg_result *chunk) {
  struct prg_conn *c = req->conn;
  prg_timer_clear(c->hub, &req->timer);
  if (req->ghost) {
    prg_result_free(chunk);
  } else if (!prg_req_is_stream(req)) {
    req->ghost = req->told = true;
    answer(req, chunk, NULL);
  } else {
    prg_result_free(req->result);
    req->result = chunk;
    req->more = true;
    if (c->driver->features & PRG_F_INTERLEAVE) {
      prg_list_remove(&c->sent, &req->link);
      prg_list_push_back(&c->paused, &req->link);
    }
    req->state = PRG_REQ_PAUSED;
    if (!req->submitting && req->done != NULL) req->done(req);
  }
}

void prg__req_submitted(struct prg_req *req) {
  if (req->state == PRG_REQ_QUEUED && prg_req_own_params(req) != PRG_OK) {
    struct prg_conn *c = req->conn;
    prg__req_end(req, NULL, prg_error_oom());
    req->submitting = false;
    prg__conn_changed(c, false);
    return;
  }
  if (req->due == PRG_NEVER) return;
  if (req->state == PRG_REQ_QUEUED || req->state == PRG_REQ_SENT) {
    prg_timer_set(req->conn->hub, &req->timer, req->due);
  }
}

/* In flight: the driver goes on with it, and nobody hears of it any more. */
static void give_up(struct prg_req *req) {
  struct prg_conn *c = req->conn;
  prg_timer_clear(c->hub, &req->timer);
  req->released = true;
  if (req->ghost) return; /* its owner had the answer already */
  if (req->state == PRG_REQ_PAUSED) prg__req_unpause(req);
  req->ghost = true;
  prg__conn_changed(c, true);
}

void prg_req_free(struct prg_req *req) {
  struct prg_conn *c;
  if (req == NULL) return;
  assert(!req->submitting); /* prg_conn_submit is not through with it */
  c = req->conn;
  if (!prg_link_linked(&req->link)) {
    destroy(req);
  } else if (req->state == PRG_REQ_QUEUED) {
    prg_list_remove(&c->queue, &req->link);
    prg_timer_clear(c->hub, &req->timer);
    destroy(req);
    prg__conn_changed(c, false);
  } else {
    give_up(req);
  }
}
