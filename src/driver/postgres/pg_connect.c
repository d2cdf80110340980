#include "driver/postgres/pg_int.h"

#include <dlfcn.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/lock.h"
#include "base/mem.h"

/* Unless the handle was opened with another number, so many statements may be in
** flight where nothing speaks against it. */
enum { PIPELINE = 32 };

/* More than libpq has keywords; with those that we add ourselves. */
enum { MAX_PARAMS = 64, MAX_PAIRS = MAX_PARAMS + 16, MAX_DRAIN = 16 };

/* One attempt. It owns all that it needs, so that it may outlive the
** connection and its configuration. */
struct pg_connect {
  struct prg_job job;
  struct pg_conn *conn;  /* the hub thread's; NULL when it has gone */
  atomic_bool abandoned; /* told to the thread */
  int64_t due;
  struct prg_arena arena; /* of the texts below */
  const char *names[MAX_PAIRS + 1];
  const char *values[MAX_PAIRS + 1];
  int npairs;
  bool failed;             /* adding a pair failed */
  bool ask;                /* the connection may be shared: find out more */
  bool direct;             /* result: no pooler is in between */
  int64_t trip;            /* result: how long a round trip takes; 0: unknown */
  int host, port;          /* index of the pair, or -1 */
  PGconn *pg;              /* result; NULL on failure */
  struct prg_error *error; /* result; NULL on success */
};

/* ---- what may stand in a URL -------------------------------------------- */

/* Values that would change what the rest of the driver relies on. */
static struct prg_error *check_value(const struct prg_param *p) {
  if (strcmp(p->name, "client_encoding") == 0 &&
      strcmp(p->value, "UTF8") != 0 && strcmp(p->value, "utf8") != 0 &&
      strcmp(p->value, "UTF-8") != 0 && strcmp(p->value, "utf-8") != 0)
    return prg_error_new(PRG_K_USAGE,
                         "client_encoding must be UTF8: texts are UTF-8");
  if (strcmp(p->name, "replication") == 0)
    return prg_error_new(PRG_K_USAGE,
                         "a replication connection takes no "
                         "queries: leave out replication");
  return NULL;
}

/* A parameter of ours, which libpq does not see: who speaks with the server. */
static bool is_ours(const char *name) {
  return strcmp(name, "protocol") == 0;
}

static struct prg_error *check_ours(const struct prg_param *p) {
  if (strcmp(p->value, pg_by_wire.name) == 0) return NULL;
  if (strcmp(p->value, pg_by_libpq.name) == 0) return NULL;
  return prg_error_new(PRG_K_USAGE,
                       "protocol must be wire or libpq, not \"%s\"", p->value);
}

/* For tests of both ways: the environment says it where the URL does not. */
static bool wants_wire(const struct prg_config *cfg) {
  const char *which = getenv("PERIGEE_POSTGRES_PROTOCOL");
  for (size_t i = 0; i < cfg->url.nparams; i++)
    if (is_ours(cfg->url.params[i].name)) which = cfg->url.params[i].value;
  return which == NULL || strcmp(which, pg_by_libpq.name) != 0;
}

/* Behind a pooler there is a queue that we do not see, and some of them mishandle
** what they did not expect. */
static void choose_link(struct pg_conn *c, bool direct) {
  const struct prg_config *cfg = c->base.config;
  c->base.pipeline = 0;
  if (!wants_wire(cfg) || !pg_wire_take_over(c)) return;
  if (cfg->statement_cache == 0)
    return; /* nothing is prepared: one at a time */
  if (cfg->pipeline >= 0)
    c->base.pipeline = (size_t)cfg->pipeline;
  else if (direct)
    c->base.pipeline = PIPELINE;
}

struct prg_error *pg_check(struct prg_config *cfg) {
  struct prg_error *e = NULL;
  if (cfg->url.nparams > MAX_PARAMS)
    return prg_error_new(PRG_K_USAGE, "too many parameters in the URL");
  PQconninfoOption *known = PQconndefaults();
  if (known == NULL) return prg_error_oom();
  for (size_t i = 0; i < cfg->url.nparams && e == NULL; i++) {
    const struct prg_param *p = &cfg->url.params[i];
    const PQconninfoOption *o = known;
    if (is_ours(p->name)) {
      e = check_ours(p);
      continue;
    }
    while (o->keyword != NULL && strcmp(o->keyword, p->name) != 0) o++;
    if (o->keyword == NULL)
      e = prg_error_new(PRG_K_USAGE,
                        "unknown parameter \"%s\" in the URL: allowed are "
                        "options of open, protocol, and the keywords of libpq "
                        "(sslmode, options, target_session_attrs, ...)",
                        p->name);
    else
      e = check_value(p);
  }
  PQconninfoFree(known);
  cfg->lanes = 1;
  cfg->max_conns = 0;
  return e;
}

/* ---- the thread --------------------------------------------------------- */

/* Milliseconds to wait for at most: short, so that it notices when nobody
** waits for it any more. */
static int slice(int64_t due) {
  int64_t left = (due - prg_now()) / PRG_MS;
  if (left < 0) return 0;
  return left < 200 ? (int)left + 1 : 200;
}

static bool is_over(const struct pg_connect *j) {
  return atomic_load(&j->abandoned) || prg_now() >= j->due;
}

/* Is the socket ready (or gone, which the next step will tell)? */
static bool wait_socket(PGconn *pg, short events, int64_t due) {
  struct pollfd p = {.fd = PQsocket(pg), .events = events};
  return p.fd < 0 || poll(&p, 1, slice(due)) > 0;
}

static int count_hosts(const char *list) {
  int n = 1;
  for (; list != NULL && *list != '\0'; list++) n += *list == ',';
  return n;
}

static const char *after_comma(const char *list) {
  const char *comma = list == NULL ? NULL : strchr(list, ',');
  return comma == NULL ? list : comma + 1;
}

/* libpq leaves the time to its caller. With several hosts each gets its share
** of what is left, else a dead first one would take it all. */
static int64_t share(const struct pg_connect *j, int hosts) {
  int64_t now = prg_now();
  return hosts < 2 || j->due == PRG_NEVER ? j->due
                                          : now + (j->due - now) / hosts;
}

/* Runs the attempt at the hosts that are left. PRG_AGAIN: the first of them
** took too long, and there are others. */
static int attempt(struct pg_connect *j, int *hosts) {
  PostgresPollingStatusType st = PGRES_POLLING_WRITING;
  int64_t until = share(j, *hosts);
  const char *at = NULL;
  j->pg = PQconnectStartParams(j->names, j->values, 0);
  if (j->pg == NULL) return PRG_ERR;
  PQsetNoticeReceiver(j->pg, pg_on_notice, NULL);
  PQsetErrorVerbosity(j->pg, PQERRORS_VERBOSE); /* for the SQLSTATE */
  if (PQstatus(j->pg) == CONNECTION_BAD) return PRG_ERR;
  while (st != PGRES_POLLING_OK) {
    const char *host = PQhost(j->pg);
    if (st == PGRES_POLLING_FAILED || is_over(j)) return PRG_ERR;
    if (at != NULL && host != at && *hosts > 1) /* it went on by itself */
      until = share(j, --*hosts);
    at = host;
    if (prg_now() >= until) return PRG_AGAIN;
    short events = st == PGRES_POLLING_READING ? POLLIN : POLLOUT;
    if (wait_socket(j->pg, events, until)) st = PQconnectPoll(j->pg);
  }
  return PRG_OK;
}

/* One statement, bounded by the deadline. Its first cell goes to `cell`, if that is
** not NULL: an empty one when it fails. */
static int execute(struct pg_connect *j, const char *sql, char cell[32]) {
  PGresult *res;
  int rc = PRG_OK;
  if (cell != NULL) cell[0] = '\0';
  if (!PQsendQuery(j->pg, sql)) return PRG_ERR;
  do {
    while (PQisBusy(j->pg)) {
      if (is_over(j)) return PRG_ERR;
      if (wait_socket(j->pg, POLLIN, j->due) && !PQconsumeInput(j->pg))
        return PRG_ERR;
    }
    res = PQgetResult(j->pg);
    ExecStatusType st = PQresultStatus(res); /* of NULL: PGRES_FATAL_ERROR */
    if (res != NULL && st == PGRES_FATAL_ERROR && cell == NULL) rc = PRG_ERR;
    if (st == PGRES_TUPLES_OK && cell != NULL && PQntuples(res) > 0)
      snprintf(cell, 32, "%s", PQgetvalue(res, 0, 0));
    PQclear(res);
  } while (res != NULL);
  return rc;
}

/* What the decoders of texts rely on, unless it is so already. */
static int set_styles(struct pg_connect *j) {
  const char *date = PQparameterStatus(j->pg, "DateStyle");
  const char *span = PQparameterStatus(j->pg, "IntervalStyle");
  if ((date == NULL || strncmp(date, "ISO", 3) != 0) &&
      execute(j, "SET DateStyle = 'ISO, MDY'", NULL) != PRG_OK)
    return PRG_ERR;
  if ((span == NULL || strcmp(span, "postgres") != 0) &&
      execute(j, "SET IntervalStyle = 'postgres'", NULL) != PRG_OK)
    return PRG_ERR;
  return PRG_OK;
}

/* A pooler tells each of its clients another process than the one that answers. The
** time is a good guess at that of any round trip. */
static int look_around(struct pg_connect *j) {
  int64_t began = prg_now();
  char pid[32];
  if (!j->ask) return PRG_OK;
  if (execute(j, "SELECT pg_catalog.pg_backend_pid()", pid) != PRG_OK)
    return PRG_ERR;
  j->trip = prg_now() - began;
  j->direct = strtol(pid, NULL, 10) == PQbackendPID(j->pg);
  return PRG_OK;
}

/* libpq reads on after the last answer; what it has of notices and the like it
** takes in now, since it will not be asked again when the socket is taken. */
static void drain(PGconn *pg) {
  struct pollfd p = {.fd = PQsocket(pg), .events = POLLIN};
  for (int i = 0; i < MAX_DRAIN; i++) {
    PGnotify *n = PQnotifies(pg); /* parses what was read */
    if (n != NULL) PQfreemem(n);
    if (poll(&p, 1, 0) <= 0 || !PQconsumeInput(pg)) return;
  }
}

static void give_up(struct pg_connect *j) {
  if (prg_now() >= j->due)
    j->error =
        prg_error_new(PRG_K_TIMEOUT, "connecting to the server took too long");
  else if (j->pg == NULL)
    j->error = prg_error_oom();
  else
    j->error = pg_error_connect(PQerrorMessage(j->pg));
  if (j->pg != NULL) PQfinish(j->pg);
  j->pg = NULL;
}

static void run(struct prg_job *job) {
  struct pg_connect *j = PRG_CONTAINER(job, struct pg_connect, job);
  int hosts = j->host < 0 ? 1 : count_hosts(j->values[j->host]);
  int rc;
  while ((rc = attempt(j, &hosts)) == PRG_AGAIN && hosts > 1) {
    for (int left = count_hosts(j->values[j->host]); left >= hosts; left--) {
      j->values[j->host] = after_comma(j->values[j->host]);
      if (j->port >= 0) j->values[j->port] = after_comma(j->values[j->port]);
    }
    hosts--;
    PQfinish(j->pg);
  }
  if (rc == PRG_OK) rc = set_styles(j);
  if (rc == PRG_OK) rc = look_around(j);
  if (rc == PRG_OK) {
    PQsetErrorVerbosity(j->pg, PQERRORS_DEFAULT);
    rc = PQsetnonblocking(j->pg, 1) == 0 ? PRG_OK : PRG_ERR;
    drain(j->pg);
  }
  if (rc != PRG_OK || atomic_load(&j->abandoned)) give_up(j);
}

/* ---- the hub's thread --------------------------------------------------- */

static void job_free(struct pg_connect *j) {
  if (j->pg != NULL) PQfinish(j->pg);
  prg_error_unref(j->error);
  prg_arena_fini(&j->arena);
  prg_free(j);
}

static void orphan(struct prg_job *job) {
  job_free(PRG_CONTAINER(job, struct pg_connect, job));
}

static int hand_over(struct pg_connect *j, struct pg_conn *c) {
  if (j->pg == NULL) return PRG_ERR;
  c->pg = j->pg;
  j->pg = NULL;
  PQsetNoticeReceiver(c->pg, pg_on_notice, c);
  c->base.backend = PQbackendPID(c->pg);
  c->base.tx = PRG_TX_IDLE;
  c->base.trip = j->trip;
  choose_link(c, j->direct);
  if (pg_baseline_take(c) == PRG_OK) return PRG_OK;
  j->error = prg_error_oom();
  return PRG_ERR;
}

static void done(struct prg_job *job) {
  struct pg_connect *j = PRG_CONTAINER(job, struct pg_connect, job);
  struct pg_conn *c = j->conn;
  if (c == NULL) {
    job_free(j);
    return;
  }
  c->connecting = NULL;
  if (hand_over(j, c) == PRG_OK) {
    job_free(j);
    prg_conn_step(&c->base, 0);
    return;
  }
  struct prg_error *e = j->error;
  j->error = NULL;
  job_free(j);
  prg_conn_fail(&c->base, e);
}

/* Later ones win over earlier ones of the same name, as libpq has it. */
static void add(struct pg_connect *j, const char *name, const char *value) {
  if (value == NULL || j->failed) return;
  if (j->npairs == MAX_PAIRS) {
    j->failed = true;
    return;
  }
  const char *n = prg_arena_dup(&j->arena, name, strlen(name));
  const char *v = prg_arena_dup(&j->arena, value, strlen(value));
  if (n == NULL || v == NULL) {
    j->failed = true;
    return;
  }
  if (strcmp(name, "host") == 0) j->host = j->npairs;
  if (strcmp(name, "port") == 0) j->port = j->npairs;
  j->names[j->npairs] = n;
  j->values[j->npairs] = v;
  j->npairs++;
}

static void add_all(struct pg_connect *j, const struct prg_config *cfg) {
  const struct prg_url *u = &cfg->url;
  j->host = j->port = -1;
  add(j, "keepalives_idle", "30");
  add(j, "keepalives_interval", "10");
  add(j, "keepalives_count", "3");
  add(j, "tcp_user_timeout", "30000");
  add(j, "fallback_application_name", "perigee");
  add(j, "application_name", cfg->application_name);
  add(j, "user", u->user);
  add(j, "password", u->password);
  add(j, "host", u->host);
  add(j, "port", u->port);
  add(j, "dbname", u->database);
  for (size_t i = 0; i < u->nparams; i++)
    if (!is_ours(u->params[i].name))
      add(j, u->params[i].name, u->params[i].value);
  add(j, "client_encoding", "UTF8");
}

static bool may_share(const struct prg_config *cfg) {
  return cfg->pipeline != 0 && cfg->pipeline != 1 && cfg->statement_cache > 0 &&
         wants_wire(cfg);
}

static struct pg_connect *job_new(struct pg_conn *c) {
  struct pg_connect *j = prg_calloc(1, sizeof *j);
  if (j == NULL) return NULL;
  j->job.run = run;
  j->job.done = done;
  j->job.orphan = orphan;
  j->conn = c;
  j->ask = may_share(c->base.config);
  atomic_init(&j->abandoned, false);
  j->due = prg_timer_is_set(&c->base.connect_timer) ? c->base.connect_timer.due
                                                    : PRG_NEVER;
  prg_arena_init(&j->arena);
  add_all(j, c->base.config);
  if (!j->failed) return j;
  job_free(j);
  return NULL;
}

/* When the process exits, OpenSSL frees what it has, also under the feet of a
** thread that still connects and that nobody waits for any more. It can be asked
** not to, by the first who uses it. It is libpq's, not ours, hence the search
** (libpq may also have none). */
static void keep_openssl(void) {
  static const uint64_t no_atexit = 0x00080000; /* OPENSSL_INIT_NO_ATEXIT */
  int (*init)(uint64_t options, const void *settings);
  Dl_info libpq;
  if (dladdr((void *)(uintptr_t)PQconnectPoll, &libpq) == 0) return;
  void *handle = dlopen(libpq.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
  if (handle == NULL) return;
  *(void **)&init = dlsym(handle, "OPENSSL_init_crypto");
  if (init != NULL) init(no_atexit, NULL);
  dlclose(handle);
}

int pg_connect_start(struct pg_conn *c) {
  static prg_once once = PRG_ONCE_INIT;
  prg_once_run(&once, keep_openssl);
  struct pg_connect *j = job_new(c);
  if (j == NULL) {
    c->base.error = prg_error_oom();
    return PRG_ERR;
  }
  if (prg_job_spawn(c->base.hub, &j->job) == PRG_OK) {
    c->connecting = j;
    return PRG_OK;
  }
  job_free(j);
  c->base.error =
      prg_error_new(PRG_K_RESOURCE, "no thread could be started to connect");
  return PRG_ERR;
}

void pg_connect_abandon(struct pg_conn *c) {
  if (c->connecting == NULL) return;
  atomic_store(&c->connecting->abandoned, true);
  c->connecting->conn = NULL;
  c->connecting = NULL;
}
