#include "driver/postgres/pg_int.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

/* Reported by the server whenever they change (manual, "Asynchronous
** Operations" of the protocol); which of them depends on its version. */
const char *const pg_watched[PG_NBASELINE] = {
    "TimeZone",
    "client_encoding",
    "DateStyle",
    "IntervalStyle",
    "application_name",
    "standard_conforming_strings",
    "session_authorization",
    "is_superuser",
    "search_path",
    "default_transaction_read_only",
};

struct pg_shared *pg_shared_new(void) {
  struct pg_shared *s = prg_calloc(1, sizeof *s);
  if (s == NULL) return NULL;
  s->refs = 1;
  s->catalog = pg_catalog_new();
  if (s->catalog == NULL) {
    prg_free(s);
    return NULL;
  }
  return s;
}

struct pg_shared *pg_shared_ref(struct pg_shared *s) {
  s->refs++;
  return s;
}

void pg_shared_unref(struct pg_shared *s) {
  if (s == NULL || --s->refs > 0) return;
  pg_catalog_free(s->catalog);
  prg_free(s);
}

static const char *version(void) {
  static char text[32];
  int v = PQlibVersion();
  snprintf(text, sizeof text, "libpq %d.%d", v / 10000, v % 10000);
  return text;
}

static void *shared_new(const struct prg_config *cfg) {
  (void)cfg;
  return pg_shared_new();
}

static void shared_free(void *shared) {
  pg_shared_unref(shared);
}

static struct prg_conn *conn_new(void) {
  struct pg_conn *c = prg_calloc(1, sizeof *c);
  if (c == NULL) return NULL;
  pg_cache_init(&c->cache);
  prg_arena_init(&c->scratch);
  c->recancel = PRG_NEVER;
  c->link = &pg_by_libpq;
  c->tick.fn = pg_on_tick;
  c->run = &c->only;
  prg_list_init(&c->flight);
  prg_list_init(&c->waiting);
  prg_list_init(&c->spare);
  prg_list_init(&c->notifies);
  return &c->base;
}

int pg_baseline_take(struct pg_conn *c) {
  for (int i = 0; i < PG_NBASELINE; i++) {
    const char *now = c->link->parameter(c, i);
    prg_free(c->baseline[i]);
    c->baseline[i] = prg_strdup(now);
    if (now != NULL && c->baseline[i] == NULL) return PRG_ERR;
  }
  c->retold = false;
  return PRG_OK;
}

static const char *unclean(struct prg_conn *base) {
  struct pg_conn *c = pg_of(base);
  if (c->link == &pg_by_wire && !c->retold) return NULL;
  for (int i = 0; i < PG_NBASELINE; i++) {
    const char *now = c->link->parameter(c, i);
    const char *was = c->baseline[i];
    if (now == was) continue;
    if (now != NULL && was != NULL && strcmp(now, was) == 0) continue;
    snprintf(c->reason, sizeof c->reason, "%s was changed", pg_watched[i]);
    return c->reason;
  }
  return NULL;
}

static void settle(struct prg_conn *base) {
  if (pg_baseline_take(pg_of(base)) == PRG_OK) return;
  base->touched = true; /* no memory to know better: it is reset on return */
}

/* In a child process the socket is the parent's session: what PQfinish would
** say on it must go nowhere. When that cannot be had the memory is leaked. */
static void finish_forked(PGconn *pg) {
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  int fd = PQsocket(pg);
  bool safe = fd < 0 || (null >= 0 && dup2(null, fd) >= 0);
  if (null >= 0) close(null);
  if (safe) PQfinish(pg);
}

static void fini(struct prg_conn *base, bool forked) {
  struct pg_conn *c = pg_of(base);
  if (!forked) { /* a child has no such threads, and no right to their memory */
    pg_connect_abandon(c);
    pg_cancel_abandon(c);
  }
  prg_hub_unpost(base->hub, &c->tick);
  pg_runs_fini(c);
  pg_drop_notices(c);
  pg_drop_notifies(c);
  c->link->fini(c);
  if (c->pg != NULL) {
    PQsetNoticeReceiver(c->pg, pg_on_notice, NULL);
    if (forked)
      finish_forked(c->pg);
    else
      PQfinish(c->pg);
    c->pg = NULL;
  }
  pg_cache_fini(&c->cache);
  prg_error_unref(c->fatal);
  prg_error_unref(c->abort_cause);
  for (int i = 0; i < PG_NBASELINE; i++) prg_free(c->baseline[i]);
  prg_arena_fini(&c->scratch);
  prg_free(c->sig);
  prg_free(c->values);
  prg_free(c->lengths);
  prg_free(c->formats);
}

PRG_EXPORT extern const struct prg_driver perigee_driver;

const struct prg_driver perigee_driver = {
    .abi = PRG_DRIVER_ABI,
    .release = PERIGEE_VERSION,
    .name = "postgres",
    .dialect = "postgres",
    .features = PRG_F_PIPELINE | PRG_F_CANCEL | PRG_F_CURSOR |
                PRG_F_CURSOR_HOLD | PRG_F_REOPEN | PRG_F_PRELUDE | PRG_F_COPY |
                PRG_F_NOTIFY,
    .version = version,
    .check = pg_check,
    .shared_new = shared_new,
    .shared_free = shared_free,
    .conn_new = conn_new,
    .step = pg_step,
    .cancel = pg_cancel,
    .copy_row = pg_copy_row,
    .unclean = unclean,
    .settle = settle,
    .fini = fini,
};
