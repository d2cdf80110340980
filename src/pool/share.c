/*
** Who may share a connection. A statement that is known to be short may go behind
** others; one that is long, or that nobody has run yet, has a connection of its own,
** so that nobody waits behind it. Times are the server's as far as can be told from
** here: without the round trip, the statements in front, and the time in which our
** own program did not look.
*/
#include "pool/pool_int.h"

#define HEAD_TIME (5 * PRG_MS)   /* behind what has run longer nobody goes */
#define MOST_NOTED (64 * PRG_MS) /* what stalled once is soon forgiven */

/* Has what runs there run for long? */
static bool is_slow(const struct prg_slot *s, int64_t now) {
  return now - s->since_head > HEAD_TIME + s->trip;
}

/* What was given up is still in flight and counts, too. Who goes behind a statement
** that waits for a lock waits, too, and the lock might be that of a transaction which
** waits for the one behind: the server would not see this deadlock. */
static bool is_open(const struct prg_slot *s, int64_t now) {
  const struct prg_conn *c = s->conn;
  return !s->reserved && s->nshared < c->pipeline &&
         (s->nlocks == 0 || s->pool->leases == 0) &&
         c->sent.count + c->queue.count < c->pipeline &&
         c->state == PRG_CONN_READY && c->error == NULL && !is_slow(s, now) &&
         !prg__slot_retired(s, now);
}

struct prg_slot *prg__share_find(struct lane *l, int64_t now) {
  struct prg_list *shared = &l->pool->lists[PRG_SLOT_SHARED];
  struct prg_slot *best = NULL;
  struct prg_link *k;
  for (k = prg_list_first(shared); k != NULL; k = prg_list_next(shared, k)) {
    struct prg_slot *s = PRG_CONTAINER(k, struct prg_slot, link);
    if ((best == NULL || s->nshared < best->nshared) &&
        prg__lane_of(l->pool, s->lane) == l && is_open(s, now))
      best = s;
  }
  return best;
}

/* A moving average, which falls faster than it rises. The first time says little:
** the statement was also prepared. */
static unsigned average(unsigned old, int64_t took) {
  unsigned n = took < 1 ? 1 : took > MOST_NOTED ? MOST_NOTED : (unsigned)took;
  if (old == 0) return n / 2 + 1;
  return n > old ? old + (n - old) / 8 : old - (old - n) / 4;
}

void prg__share_note(struct prg_slot *s, const struct prg_borrow *b,
                     int64_t now) {
  int64_t took = now - b->since, began;
  if (b->alone && took < s->trip) s->trip = took;
  began = b->since + s->trip;
  if (s->since_head > began) began = s->since_head;
  took = prg_hub_found_at(s->pool->hub, now) - began;
  b->stmt->spent = average(b->stmt->spent, took);
  s->since_head = now;
}

/* One for each of those who wait, from the one that has been shared longest on. One
** that is slow is no help. */
void prg__share_balance(struct lane *l, int64_t now) {
  struct prg_list *shared = &l->pool->lists[PRG_SLOT_SHARED];
  size_t wanted = l->waiters.count;
  struct prg_link *k;
  l->reserving = false;
  for (k = prg_list_first(shared); k != NULL; k = prg_list_next(shared, k)) {
    struct prg_slot *s = PRG_CONTAINER(k, struct prg_slot, link);
    if (prg__lane_of(l->pool, s->lane) != l) continue;
    s->reserved = wanted > 0;
    if (s->reserved) l->reserving = true;
    if (s->reserved && !is_slow(s, now)) wanted--;
  }
}
