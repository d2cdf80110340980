/* Opening and closing a pool, what it tells of itself, and forked children. */
#include "pool/pool_int.h"

#include <string.h>

#include "base/mem.h"
#include "base/process.h"

/* ---- telling */
static size_t count_sharers(const struct prg_pool *p) {
  const struct prg_list *l = &p->lists[PRG_SLOT_SHARED];
  const struct prg_link *k;
  size_t n = 0;
  for (k = l->head.next; k != &l->head; k = k->next)
    n += PRG_CONTAINER((uintptr_t)k, const struct prg_slot, link)->nshared;
  return n;
}

void prg_pool_stats(const struct prg_pool *p, struct prg_pool_stats *out) {
  int i;
  *out = p->count;
  out->size = prg__pool_size(p);
  out->shared = count_sharers(p) - p->lists[PRG_SLOT_SHARED].count;
  out->in_use = p->lists[PRG_SLOT_BUSY].count + p->lists[PRG_SLOT_SHARED].count;
  out->connecting = p->lists[PRG_SLOT_CONNECTING].count;
  out->cleaning =
      p->lists[PRG_SLOT_CLEANING].count + p->lists[PRG_SLOT_CHECKING].count;
  out->idle = out->waiting = out->max_size = 0;
  for (i = 0; i < p->nlanes; i++) {
    out->idle += p->lanes[i].idle.count;
    out->waiting += prg__lane_waiting(&p->lanes[i]);
    out->max_size += p->lanes[i].max;
  }
  out->min_size = p->opts.min_size;
}

void prg_pool_holders(const struct prg_pool *p, struct prg_buf *out) {
  const struct prg_list *busy = &p->lists[PRG_SLOT_BUSY];
  const struct prg_link *k;
  int64_t now = prg_now();
  int n = 0;
  for (k = busy->head.next; k != &busy->head && n < 8; k = k->next) {
    const struct prg_slot *s =
        PRG_CONTAINER((uintptr_t)k, const struct prg_slot, link);
    if (s->where == NULL) continue;
    prg_buf_addf(out, "%s%s (for %.1f s)", n++ > 0 ? ", " : "", s->where,
                 (double)(now - s->since) / (double)PRG_SECOND);
  }
}

/* ---- opening and closing ------------------------------------------------ */

static void close_finished(struct prg_post *post) {
  struct prg_pool *p = PRG_CONTAINER(post, struct prg_pool, close_post);
  void (*done)(void *) = p->close_done;
  p->close_done = NULL;
  prg_timer_clear(p->hub, &p->close_timer);
  if (done != NULL) done(p->close_ud);
}

static void init_lanes(struct prg_pool *p) {
  size_t max = p->opts.max_size;
  int i;
  if (p->config->max_conns > 0 && max > p->config->max_conns)
    max = p->config->max_conns;
  p->nlanes = p->config->lanes == 2 ? 2 : 1;
  for (i = 0; i < PRG_LANES; i++) {
    struct lane *l = &p->lanes[i];
    prg_list_init(&l->idle);
    prg_list_init(&l->waiters);
    prg_list_init(&l->sharers);
    l->pool = p;
    l->retry.fn = prg__lane_on_retry;
  }
  p->lanes[0].max = p->nlanes == 2 ? 1 : max;
  if (p->nlanes == 2) p->lanes[1].max = max > 1 ? max - 1 : 1;
}

struct prg_pool *prg_pool_new(struct prg_hub *hub, const struct prg_driver *drv,
                              struct prg_config *config,
                              void (*free_config)(struct prg_config *),
                              const struct prg_pool_options *opts) {
  struct prg_pool *p = prg_calloc(1, sizeof *p);
  int i;
  if (p == NULL) {
    free_config(config);
    return NULL;
  }
  p->driver = drv;
  p->config = config;
  p->free_config = free_config;
  p->opts = *opts;
  p->pid = prg_pid();
  p->seed = (uint64_t)prg_now() * 2654435761u + (uintptr_t)p + 1;
  p->close_post.fn = close_finished;
  for (i = 0; i < PRG_SLOT_STATES; i++) prg_list_init(&p->lists[i]);
  init_lanes(p);
  if (drv->shared_new != NULL &&
      (p->shared = drv->shared_new(config)) == NULL) {
    free_config(config);
    prg_free(p);
    return NULL;
  }
  p->hub = prg_hub_ref(hub);
  return p;
}

const struct prg_config *prg_pool_config(const struct prg_pool *p) {
  return p->config;
}

const struct prg_driver *prg_pool_driver(const struct prg_pool *p) {
  return p->driver;
}

void prg_pool_on_notice(struct prg_pool *p,
                        void (*fn)(const struct prg_error *n, void *ud),
                        void *ud) {
  p->notice = fn;
  p->notice_ud = ud;
}

void prg__slots_destroy(struct prg_list *l, const char *reason) {
  struct prg_link *k;
  while ((k = prg_list_first(l)) != NULL)
    prg__slot_destroy(PRG_CONTAINER(k, struct prg_slot, link), reason);
}

/* Ends the connections that are lent out. Their borrowers are told by the
** error of their requests, and still return the slots. */
static void fail_lent(struct prg_list *lent) {
  struct prg_link *k, *next;
  for (k = prg_list_first(lent); k != NULL; k = next) {
    struct prg_slot *s = PRG_CONTAINER(k, struct prg_slot, link);
    next = prg_list_next(lent, k);
    prg_conn_fail(
        s->conn, prg_error_new(PRG_K_CLOSED, "the database handle was closed"));
  }
}

static void on_close_due(struct prg_timer *t) {
  struct prg_pool *p = PRG_CONTAINER(t, struct prg_pool, close_timer);
  prg__slots_destroy(&p->lists[PRG_SLOT_CONNECTING], "the pool was closed");
  prg__slots_destroy(&p->lists[PRG_SLOT_CLEANING], "the pool was closed");
  prg__slots_destroy(&p->lists[PRG_SLOT_CHECKING], "the pool was closed");
  fail_lent(&p->lists[PRG_SLOT_BUSY]);
  fail_lent(&p->lists[PRG_SLOT_SHARED]);
  prg_hub_post(p->hub, &p->close_post);
}

static void refuse_all(struct lane *l) {
  struct prg_borrow *b;
  while ((b = prg__lane_first(l)) != NULL)
    prg__borrow_refuse(
        l->pool, b,
        prg_error_new(PRG_K_CLOSED, "the database handle is closed"));
}

int prg_pool_close(struct prg_pool *p, int64_t due, void (*done)(void *ud),
                   void *ud) {
  int i;
  p->closing = true;
  prg_timer_clear(p->hub, &p->janitor);
  for (i = 0; i < p->nlanes; i++) {
    prg_timer_clear(p->hub, &p->lanes[i].retry);
    refuse_all(&p->lanes[i]);
    prg__slots_destroy(&p->lanes[i].idle, "the pool was closed");
  }
  prg__slots_destroy(&p->lists[PRG_SLOT_CONNECTING], "the pool was closed");
  prg__slots_destroy(&p->lists[PRG_SLOT_CHECKING], "the pool was closed");
  if (p->close_done == NULL) prg_hub_unpost(p->hub, &p->close_post);
  if (prg__pool_size(p) == 0)
    return PRG_OK; /* an earlier caller is still told */
  p->close_done = done;
  p->close_ud = ud;
  p->close_timer.fn = on_close_due;
  if (!prg_timer_is_set(&p->close_timer) || due < p->close_timer.due)
    prg_timer_set(p->hub, &p->close_timer, due);
  return PRG_AGAIN;
}

bool prg_pool_is_closed(const struct prg_pool *p) {
  return p->closing;
}

/* ---- in a forked child -------------------------------------------------- */

/* Nobody of those who wait in the parent goes on here. */
static void forget_lane(struct lane *l) {
  struct prg_borrow *b;
  while ((b = prg__lane_first(l)) != NULL) prg__borrow_stop(l->pool, b);
  prg__slots_destroy(&l->idle, "it is the parent's");
  prg_timer_clear(l->pool->hub, &l->retry);
  l->backoff = 0;
  prg__lane_set_failure(l, NULL);
}

/* Lent out by the parent: not counted, until the borrowers give them back. */
static void lose_lent(struct prg_pool *p, struct prg_list *lent) {
  struct prg_link *k;
  while ((k = prg_list_first(lent)) != NULL) {
    struct prg_slot *s = PRG_CONTAINER(k, struct prg_slot, link);
    prg__lane_of(p, s->lane)->size--;
    prg__slot_set_state(s, PRG_SLOT_LOST);
  }
}

void prg_pool_adopt(struct prg_pool *p, struct prg_hub *hub) {
  int i;
  if (prg__pool_size(p) > 0 && !(p->driver->features & PRG_F_REOPEN))
    p->orphaned = true;
  for (i = 0; i < p->nlanes; i++) forget_lane(&p->lanes[i]);
  lose_lent(p, &p->lists[PRG_SLOT_BUSY]);
  lose_lent(p, &p->lists[PRG_SLOT_SHARED]);
  prg__slots_destroy(&p->lists[PRG_SLOT_CONNECTING], "it is the parent's");
  prg__slots_destroy(&p->lists[PRG_SLOT_CLEANING], "it is the parent's");
  prg__slots_destroy(&p->lists[PRG_SLOT_CHECKING], "it is the parent's");
  prg_timer_clear(p->hub, &p->janitor);
  prg_timer_clear(p->hub, &p->close_timer);
  prg_hub_unpost(p->hub, &p->close_post);
  p->close_done = NULL;
  prg_hub_ref(hub);
  prg_hub_unref(p->hub);
  p->hub = hub;
  p->pid = prg_pid();
}

bool prg_pool_is_orphaned(const struct prg_pool *p) {
  return p->orphaned;
}

void prg_pool_free(struct prg_pool *p) {
  int i;
  if (p == NULL) return;
  p->closing = true;
  p->close_done = NULL;
  for (i = 0; i < p->nlanes; i++) {
    refuse_all(&p->lanes[i]);
    prg__slots_destroy(&p->lanes[i].idle, "the handle was freed");
    prg_timer_clear(p->hub, &p->lanes[i].retry);
  }
  for (i = 0; i < PRG_SLOT_STATES; i++)
    prg__slots_destroy(&p->lists[i], "the handle was freed");
  for (i = 0; i < PRG_LANES; i++) prg__lane_set_failure(&p->lanes[i], NULL);
  prg_timer_clear(p->hub, &p->janitor);
  prg_timer_clear(p->hub, &p->close_timer);
  prg_hub_unpost(p->hub, &p->close_post);
  if (p->driver->shared_free != NULL) p->driver->shared_free(p->shared);
  prg_hub_unref(p->hub);
  p->free_config(p->config);
  prg_free(p);
}
