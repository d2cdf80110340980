/*
** Notifications. They come at any time, also in the middle of a result, when the
** link is on the stack and nobody may be told: they are kept in their order until
** the end of the step. None is left out; without memory the connection is lost,
** which those who listen are told of.
*/
#include <string.h>

#include "base/mem.h"
#include "driver/postgres/pg_int.h"

struct kept {
  struct prg_link link; /* in pg_conn.notifies */
  struct prg_notify what;
  char text[]; /* channel and payload */
};

int pg_take_notify(struct pg_conn *c, int64_t pid, const char *channel,
                   const char *payload) {
  size_t n = strlen(channel), m = strlen(payload);
  struct kept *k = prg_alloc(sizeof *k + n + m + 2);
  if (k == NULL) return pg_lose(c, prg_error_oom());
  memset(k, 0, sizeof *k);
  k->what.pid = pid;
  k->what.channel.p = memcpy(k->text, channel, n + 1);
  k->what.channel.n = n;
  k->what.payload.p = memcpy(k->text + n + 1, payload, m + 1);
  k->what.payload.n = m;
  prg_list_push_back(&c->notifies, &k->link);
  return PRG_OK;
}

static struct kept *next(struct pg_conn *c) {
  struct prg_link *k = prg_list_pop_front(&c->notifies);
  return k == NULL ? NULL : PRG_CONTAINER(k, struct kept, link);
}

void pg_tell_notifies(struct pg_conn *c) {
  struct kept *k;
  while ((k = next(c)) != NULL) {
    prg_conn_tell_notify(&c->base, &k->what);
    prg_free(k);
  }
}

void pg_drop_notifies(struct pg_conn *c) {
  struct kept *k;
  while ((k = next(c)) != NULL) prg_free(k);
}
