/* The pool's own parts: pool.c lends and takes back, share.c says who may share a
** connection, life.c opens and closes. */
#ifndef PRG_POOL_POOL_INT_H
#define PRG_POOL_POOL_INT_H

#include "base/clock.h"
#include "pool/pool.h"

struct lane {
  struct prg_list idle;    /* newest last */
  struct prg_list waiters; /* for a connection of their own; oldest first */
  struct prg_list sharers; /* for a place on one; oldest first */
  uint64_t tickets;        /* of those who wait, in the order of both lists */
  bool crowded;            /* somebody shares who would rather not */
  bool reserving;          /* a connection is kept from sharers */
  size_t size;             /* slots of the lane, in any state */
  size_t max;
  struct prg_slot *connecting; /* the one attempt, or NULL */
  int64_t backoff;             /* 0: the last attempt was good */
  struct prg_timer retry;
  struct prg_error *failure; /* of the last attempt */
  struct prg_pool *pool;
};

struct prg_pool {
  struct prg_hub *hub;
  const struct prg_driver *driver;
  struct prg_config *config;
  void (*free_config)(struct prg_config *);
  void *shared;
  struct prg_pool_options opts;
  struct lane lanes[PRG_LANES];
  int nlanes;
  /* every slot that is not idle, by state */
  struct prg_list lists[PRG_SLOT_STATES];
  unsigned generation;
  uint64_t seed; /* jitter */
  long pid;
  size_t leases; /* lent for more than one statement */
  bool closing;
  bool orphaned;
  struct prg_borrow *asking; /* inside its prg_pool_acquire */
  struct prg_timer janitor;
  struct prg_timer close_timer;
  struct prg_post close_post;
  void (*close_done)(void *ud);
  void *close_ud;
  void (*notice)(const struct prg_error *n, void *ud);
  void *notice_ud;
  struct prg_pool_stats count;
};

/* ---- pool.c ------------------------------------------------------------- */

static inline struct lane *prg__lane_of(struct prg_pool *p,
                                        enum prg_lane lane) {
  return &p->lanes[p->nlanes == 1 ? PRG_LANE_WRITE : lane];
}

static inline size_t prg__pool_size(const struct prg_pool *p) {
  return p->lanes[0].size + p->lanes[1].size;
}

static inline size_t prg__lane_waiting(const struct lane *l) {
  return l->waiters.count + l->sharers.count;
}

static inline bool prg__slot_retired(const struct prg_slot *s, int64_t now) {
  return s->generation != s->pool->generation || now >= s->retire_at;
}

static inline struct prg_list *prg__slot_list(struct prg_slot *s) {
  if (s->state == PRG_SLOT_IDLE) return &prg__lane_of(s->pool, s->lane)->idle;
  return &s->pool->lists[s->state];
}

/* The only place where a slot changes its state. */
static inline void prg__slot_set_state(struct prg_slot *s,
                                       enum prg_slot_state state) {
  if (prg_link_linked(&s->link)) prg_list_remove(prg__slot_list(s), &s->link);
  s->state = state;
  prg_list_push_back(prg__slot_list(s), &s->link);
}

/* Closes the connection and frees the slot, whatever its state. */
void prg__slot_destroy(struct prg_slot *s, const char *reason);
void prg__slots_destroy(struct prg_list *l, const char *reason);
/* The one who has waited longest, or NULL. */
struct prg_borrow *prg__lane_first(struct lane *l);
void prg__borrow_stop(struct prg_pool *p, struct prg_borrow *b);
/* Takes over `error`. */
void prg__borrow_refuse(struct prg_pool *p, struct prg_borrow *b,
                        struct prg_error *error);
/* Can another attempt to connect have a different end? Not with a file (a code, and no
** SQLSTATE), and not when a name is wrong. */
bool prg__is_transient(const struct prg_error *e);
/* Is there a server that takes no more for now? */
bool prg__is_server_busy(const struct prg_error *e);
/* Of the last attempt to connect; takes over `e`. */
void prg__lane_set_failure(struct lane *l, struct prg_error *e);
void prg__lane_on_retry(struct prg_timer *t);

/* ---- share.c ------------------------------------------------------------ */

/* What takes less of the server's time may share. */
#define PRG__SHORT (2 * PRG_MS)

/* Is it for a statement that is known to be short? */
static inline bool prg__borrow_joins(const struct prg_borrow *b) {
  return b->stmt != NULL && b->stmt->spent != 0 && b->stmt->spent <= PRG__SHORT;
}

/* May the slot, which is not lent, be lent to several? */
static inline bool prg__slot_can_share(const struct prg_slot *s) {
  const struct prg_pool_options *o = &s->pool->opts;
  return s->conn->pipeline > 1 && o->reset != PRG_RESET_ALWAYS &&
         !(s->fresh && o->setup);
}

/* A place on a connection that others have already, or NULL. */
struct prg_slot *prg__share_find(struct lane *l, int64_t now);
/* The statement b->stmt has ended: how long the server took for it. */
void prg__share_note(struct prg_slot *s, const struct prg_borrow *b,
                     int64_t now);
/* Keeps connections from sharers for those who wait for one of their own. */
void prg__share_balance(struct lane *l, int64_t now);

#endif
