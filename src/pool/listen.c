#include "pool/listen.h"

#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/process.h"
#include "pool/pool_int.h"

#define BACKOFF_FIRST (10 * PRG_MS)
#define BACKOFF_MAX (5 * PRG_SECOND)
/* Who has just begun to listen learns of a failed connect after this; the pool's
** waiters have the same. */
#define GRACE (500 * PRG_MS)
#define ANSWER_LIMIT (5 * PRG_SECOND)
#define LINGER (5 * PRG_SECOND) /* without listeners */
#define NBUCKETS 256u

/* What the server has been told of a channel. */
enum chan_state {
  CHAN_NEW,      /* nothing: LISTEN is to be sent */
  CHAN_ASKED,    /* LISTEN is out */
  CHAN_ON,       /* it listens */
  CHAN_UNWANTED, /* it listens, and nobody here does */
  CHAN_LEAVING   /* UNLISTEN is out */
};

struct chan {
  struct prg_link link; /* in ear->chans */
  struct chan *chain;   /* next of its bucket */
  struct prg_list members;
  enum chan_state state;
  struct prg_channel_name name; /* in text[] */
  char text[];
};

/* A listener on a channel. */
struct prg_member {
  struct prg_link link; /* in chan->members */
  struct chan *chan;    /* NULL: left */
  struct prg_listener *listener;
};

struct entry {
  struct prg_link link;
  struct prg_news *news; /* owned reference; NULL: a gap */
};

struct prg_ear {
  struct prg_hub *hub; /* owned reference */
  const struct prg_driver *driver;
  const struct prg_config *config;
  void *shared; /* owned: the driver's */
  struct prg_ear_options options;
  struct prg_conn *conn;  /* NULL: there is none */
  bool up;                /* it is READY */
  struct prg_req *req;    /* out: LISTEN and UNLISTEN, or a ping */
  struct prg_timer timer; /* the next attempt, or the next look */
  int64_t heard;          /* when something came last */
  int64_t deserted;       /* when the last listener left */
  int64_t backoff;        /* 0: the last attempt was good */
  struct prg_list listeners;
  struct prg_list chans;
  struct chan *buckets[NBUCKETS];
  long pid;
};

static void work(struct prg_ear *ear);
static void lose(struct prg_ear *ear, const char *reason);

/* ---- news and queues ---------------------------------------------------- */

static struct prg_news *news_new(const struct prg_notify *w) {
  struct prg_news *n = prg_alloc(sizeof *n + w->channel.n + w->payload.n + 2);
  if (n == NULL) return NULL;
  n->refs = 1;
  n->what = *w;
  n->what.channel.p = memcpy(n->text, w->channel.p, w->channel.n + 1);
  n->what.payload.p =
      memcpy(n->text + w->channel.n + 1, w->payload.p, w->payload.n + 1);
  return n;
}

void prg_news_unref(struct prg_news *n) {
  if (n != NULL && --n->refs == 0) prg_free(n);
}

static bool add_entry(struct prg_listener *l, struct prg_news *news) {
  struct entry *e = prg_calloc(1, sizeof *e);
  if (e == NULL) return false;
  e->news = news;
  prg_list_push_back(&l->queue, &e->link);
  return true;
}

static bool is_gap(const struct prg_listener *l, const struct prg_link *k) {
  return k == &l->gap ||
         PRG_CONTAINER((uintptr_t)k, const struct entry, link)->news == NULL;
}

/* Something is missing from here on. Two gaps with nothing in between are one. The
** first needs no memory; without memory for another, all from here on is missing
** until the first has been taken. */
static void add_gap(struct prg_listener *l) {
  if (l->queue.count > 0 && is_gap(l, prg_list_last(&l->queue))) return;
  if (!prg_link_linked(&l->gap))
    prg_list_push_back(&l->queue, &l->gap);
  else if (!add_entry(l, NULL))
    l->deaf = true;
}

static void add_news(struct prg_listener *l, struct prg_news *n) {
  if (l->deaf) return;
  if (n != NULL && l->queue.count < l->max_pending && add_entry(l, n))
    n->refs++;
  else
    add_gap(l);
}

/* The gap at the head has been taken: its memory can be that of the next. */
static void hear_again(struct prg_listener *l) {
  if (!l->deaf) return;
  l->deaf = false;
  if (l->queue.count > 0) add_gap(l);
}

enum prg_heard prg_listener_next(struct prg_listener *l,
                                 struct prg_news **news) {
  struct prg_link *k = l->queue.count == 0 ? NULL : prg_list_first(&l->queue);
  struct entry *e;
  if (k == NULL) return PRG_HEARD_NOTHING;
  prg_list_remove(&l->queue, k);
  if (k == &l->gap) {
    hear_again(l);
    return PRG_HEARD_GAP;
  }
  e = PRG_CONTAINER(k, struct entry, link);
  *news = e->news;
  prg_free(e);
  return *news != NULL ? PRG_HEARD_NEWS : PRG_HEARD_GAP;
}

/* ---- channels ----------------------------------------------------------- */

static struct chan **bucket_of(struct prg_ear *ear, struct prg_text name) {
  uint32_t h = 2166136261u;
  for (size_t i = 0; i < name.n; i++)
    h = (h ^ (unsigned char)name.p[i]) * 16777619u;
  return &ear->buckets[(h ^ h >> 16) % NBUCKETS];
}

static struct chan *find(struct prg_ear *ear, struct prg_text name) {
  struct chan *c = *bucket_of(ear, name);
  while (c != NULL && (c->name.name.n != name.n ||
                       memcmp(c->name.name.p, name.p, name.n) != 0))
    c = c->chain;
  return c;
}

static struct chan *chan_new(struct prg_ear *ear,
                             const struct prg_channel_name *name) {
  size_t n = name->name.n, m = name->quoted.n;
  struct chan *c = prg_alloc(sizeof *c + n + m);
  struct chan **bucket = bucket_of(ear, name->name);
  if (c == NULL) return NULL;
  memset(c, 0, sizeof *c);
  c->name.name.p = memcpy(c->text, name->name.p, n);
  c->name.name.n = n;
  c->name.quoted.p = memcpy(c->text + n, name->quoted.p, m);
  c->name.quoted.n = m;
  prg_list_init(&c->members);
  c->state = CHAN_NEW;
  c->chain = *bucket;
  *bucket = c;
  prg_list_push_back(&ear->chans, &c->link);
  return c;
}

static void chan_free(struct prg_ear *ear, struct chan *c) {
  struct chan **at = bucket_of(ear, c->name.name);
  while (*at != c) at = &(*at)->chain;
  *at = c->chain;
  prg_list_remove(&ear->chans, &c->link);
  prg_free(c);
}

static struct prg_listener *listener_of(struct prg_link *k) {
  return PRG_CONTAINER(k, struct prg_member, link)->listener;
}

/* The server listens on it from now on. Who had to do without for a while is told. */
static void chan_on(struct chan *c) {
  struct prg_link *k;
  c->state = c->members.count > 0 ? CHAN_ON : CHAN_UNWANTED;
  for (k = prg_list_first(&c->members); k != NULL;
       k = prg_list_next(&c->members, k)) {
    struct prg_listener *l = listener_of(k);
    if (--l->missing > 0) continue;
    if (l->ready) add_gap(l);
    l->ready = true;
    l->wake(l);
  }
}

/* The server listens on it no more, or never did. It may be gone on return. */
static void chan_off(struct prg_ear *ear, struct chan *c) {
  struct prg_link *k;
  if (c->state == CHAN_ON)
    for (k = prg_list_first(&c->members); k != NULL;
         k = prg_list_next(&c->members, k))
      listener_of(k)->missing++;
  c->state = CHAN_NEW;
  if (c->members.count == 0) chan_free(ear, c);
}

static void all_off(struct prg_ear *ear) {
  struct prg_link *k = prg_list_first(&ear->chans);
  while (k != NULL) {
    struct chan *c = PRG_CONTAINER(k, struct chan, link);
    k = prg_list_next(&ear->chans, k);
    chan_off(ear, c);
  }
}

/* ---- listeners ---------------------------------------------------------- */

static void join(struct chan *c, struct prg_member *m) {
  m->chan = c;
  prg_list_push_back(&c->members, &m->link);
  if (c->state == CHAN_UNWANTED) c->state = CHAN_ON;
  if (c->state != CHAN_ON) m->listener->missing++;
}

static void leave(struct prg_ear *ear, struct prg_member *m) {
  struct chan *c = m->chan;
  m->chan = NULL;
  if (c == NULL) return;
  prg_list_remove(&c->members, &m->link);
  if (c->members.count > 0) return;
  if (c->state == CHAN_ON) c->state = CHAN_UNWANTED;
  if (c->state == CHAN_NEW) chan_free(ear, c);
}

/* It hears nothing any more; its queue stays. */
static void detach(struct prg_listener *l) {
  struct prg_ear *ear = l->ear;
  if (ear == NULL) return;
  l->ear = NULL;
  for (size_t i = 0; i < l->nmembers; i++) leave(ear, &l->members[i]);
  prg_free(l->members);
  l->members = NULL;
  l->nmembers = 0;
  prg_list_remove(&ear->listeners, &l->link);
  if (ear->listeners.count == 0) ear->deserted = prg_now();
}

/* Ends one for a reason of ours; the error is taken over. */
static void end(struct prg_listener *l, struct prg_error *error) {
  detach(l);
  l->error = error;
  l->wake(l);
}

void prg_listener_close(struct prg_listener *l) {
  struct prg_ear *ear = l->ear;
  struct prg_news *news = NULL;
  enum prg_heard what;
  detach(l);
  while (l->queue.head.next != NULL &&
         (what = prg_listener_next(l, &news)) != PRG_HEARD_NOTHING)
    if (what == PRG_HEARD_NEWS) prg_news_unref(news);
  prg_error_unref(l->error);
  l->error = NULL;
  if (ear != NULL && !prg_ear_is_forked(ear)) work(ear);
}

int prg_listener_open(struct prg_ear *ear, struct prg_listener *l,
                      const struct prg_channel_name *names, size_t n) {
  bool down = ear->conn == NULL;
  l->members = prg_calloc(n, sizeof *l->members);
  if (l->members == NULL) return PRG_ERR;
  l->ear = ear;
  l->nmembers = n;
  l->since = prg_now();
  prg_list_push_back(&ear->listeners, &l->link);
  for (size_t i = 0; i < n; i++) {
    struct chan *c = find(ear, names[i].name);
    if (c == NULL) c = chan_new(ear, &names[i]);
    if (c == NULL) {
      detach(l);
      return PRG_ERR;
    }
    l->members[i].listener = l;
    join(c, &l->members[i]);
  }
  l->ready = l->missing == 0;
  if (down) prg_timer_set(ear->hub, &ear->timer, l->since);
  work(ear);
  return PRG_OK;
}

/* ---- what comes --------------------------------------------------------- */

static void hear(struct prg_ear *ear, const struct prg_notify *what) {
  struct chan *c = find(ear, what->channel);
  struct prg_news *n;
  struct prg_link *k;
  if (c == NULL || c->members.count == 0) return;
  n = news_new(what);
  for (k = prg_list_first(&c->members); k != NULL;
       k = prg_list_next(&c->members, k)) {
    struct prg_listener *l = listener_of(k);
    add_news(l, n);
    l->wake(l);
  }
  prg_news_unref(n);
}

/* ---- LISTEN and UNLISTEN ------------------------------------------------ */

/* Takes the answer to what was out; NULL: it was good. */
static struct prg_error *take_answer(struct prg_ear *ear) {
  struct prg_req *req = ear->req;
  struct prg_error *e = req->error;
  ear->req = NULL;
  req->error = NULL;
  prg_req_free(req);
  ear->heard = prg_now();
  return e;
}

static void confirm(struct prg_ear *ear) {
  struct prg_link *k = prg_list_first(&ear->chans);
  while (k != NULL) {
    struct chan *c = PRG_CONTAINER(k, struct chan, link);
    k = prg_list_next(&ear->chans, k);
    if (c->state == CHAN_ASKED) {
      chan_on(c);
    } else if (c->state == CHAN_LEAVING) {
      chan_off(ear, c);
    }
  }
}

/* The server refuses. Those who have just come learn why; those who listened before
** wait for better times. */
static void refuse(struct prg_ear *ear, struct prg_error *e) {
  struct prg_link *k = prg_list_first(&ear->listeners);
  while (k != NULL) {
    struct prg_link *next = prg_list_next(&ear->listeners, k);
    struct prg_listener *l = PRG_CONTAINER(k, struct prg_listener, link);
    if (!l->ready) end(l, prg_error_ref(e));
    k = next;
  }
  prg_error_unref(e);
  lose(ear, "the server refused to listen");
}

static void on_changed(struct prg_req *req) {
  struct prg_ear *ear = req->owner;
  struct prg_error *e = take_answer(ear);
  if (e == NULL) {
    confirm(ear);
    work(ear);
  } else if (e->kind == PRG_K_CLOSED || e->kind == PRG_K_TIMEOUT) {
    bool silent = e->kind == PRG_K_TIMEOUT; /* else PRG_EV_BROKEN follows */
    prg_error_unref(e);
    if (silent) lose(ear, "the server did not answer a LISTEN");
  } else {
    refuse(ear, e);
  }
}

static void on_pong(struct prg_req *req) {
  struct prg_ear *ear = req->owner;
  struct prg_error *e = take_answer(ear);
  bool bad = e != NULL && e->kind != PRG_K_CLOSED;
  prg_error_unref(e);
  if (bad)
    lose(ear, "the server did not answer a ping");
  else
    work(ear);
}

/* Sends it; no memory: the connection is given up. */
static void submit(struct prg_ear *ear, enum prg_req_kind kind,
                   struct prg_stmt *stmt, void (*done)(struct prg_req *)) {
  struct prg_req *req = prg_req_new(kind, stmt);
  int64_t limit = ANSWER_LIMIT;
  if (req == NULL) {
    lose(ear, "no memory to listen");
    return;
  }
  if (kind == PRG_REQ_PING && ear->options.silence < limit)
    limit = ear->options.silence;
  ear->req = req;
  req->owner = ear;
  req->done = done;
  req->due = prg_now() + limit;
  prg_conn_submit(ear->conn, req);
  if (req->state != PRG_REQ_DONE) return;
  done(req);
  if (ear->conn != NULL && ear->conn->state == PRG_CONN_BROKEN)
    lose(ear, "it broke");
}

static void add_command(struct prg_buf *sql, const char *verb,
                        const struct chan *c) {
  prg_buf_adds(sql, verb);
  prg_buf_add(sql, c->name.quoted.p, c->name.quoted.n);
  prg_buf_addc(sql, ';');
}

/* All that the server is to be told, as one text. */
static void collect(struct prg_ear *ear, struct prg_buf *sql) {
  struct prg_link *k;
  for (k = prg_list_first(&ear->chans); k != NULL;
       k = prg_list_next(&ear->chans, k)) {
    struct chan *c = PRG_CONTAINER(k, struct chan, link);
    if (c->state == CHAN_NEW) {
      c->state = CHAN_ASKED;
      add_command(sql, "LISTEN ", c);
    } else if (c->state == CHAN_UNWANTED) {
      c->state = CHAN_LEAVING;
      add_command(sql, "UNLISTEN ", c);
    }
  }
}

static void send_changes(struct prg_ear *ear) {
  struct prg_stmt *stmt = NULL;
  struct prg_buf sql;
  prg_buf_init(&sql, 0);
  collect(ear, &sql);
  if (sql.len > 0 && !sql.failed)
    stmt =
        prg_stmt_new(sql.data, sql.len, PRG_STMT_SESSION | PRG_STMT_UTILITY, 0);
  if (stmt != NULL)
    submit(ear, PRG_REQ_SCRIPT, stmt, on_changed);
  else if (sql.len > 0 || sql.failed)
    lose(ear, "no memory to listen");
  prg_stmt_unref(stmt);
  prg_buf_fini(&sql);
}

/* ---- the connection ----------------------------------------------------- */

static void on_event(struct prg_conn *c, enum prg_event ev);

static void retry_later(struct prg_ear *ear) {
  int64_t wait, half;
  ear->backoff = ear->backoff == 0 ? BACKOFF_FIRST : ear->backoff * 2;
  if (ear->backoff > BACKOFF_MAX) ear->backoff = BACKOFF_MAX;
  half = ear->backoff / 2;
  wait = half + (int64_t)((uint64_t)prg_now() * 2654435761u % (uint64_t)half);
  for (struct prg_link *k = prg_list_first(&ear->listeners); k != NULL;
       k = prg_list_next(&ear->listeners, k))
    if (!PRG_CONTAINER(k, struct prg_listener, link)->ready && wait > GRACE)
      wait = GRACE;
  prg_timer_set(ear->hub, &ear->timer, prg_now() + wait);
}

static void drop_conn(struct prg_ear *ear, const char *reason) {
  struct prg_conn *c = ear->conn;
  struct prg_req *req = ear->req;
  ear->conn = NULL;
  ear->req = NULL;
  ear->up = false;
  prg_timer_clear(ear->hub, &ear->timer);
  if (c != NULL) c->event = NULL;
  if (req != NULL) req->done = NULL;
  prg_conn_close(c, reason); /* first, so that nothing is cancelled */
  if (req != NULL) prg_req_free(req);
  all_off(ear);
}

static void lose(struct prg_ear *ear, const char *reason) {
  drop_conn(ear, reason);
  if (ear->listeners.count > 0) retry_later(ear);
}

/* An attempt to connect has failed: all learn of it when it cannot get better,
** else those who have just come, after a while. */
static void not_opened(struct prg_ear *ear, struct prg_error *e) {
  struct prg_link *k = prg_list_first(&ear->listeners);
  int64_t now = prg_now();
  bool fatal = !prg__is_transient(e);
  drop_conn(ear, "could not be opened");
  while (k != NULL) {
    struct prg_link *next = prg_list_next(&ear->listeners, k);
    struct prg_listener *l = PRG_CONTAINER(k, struct prg_listener, link);
    if (fatal ||
        (!l->ready && now - l->since >= GRACE && !prg__is_server_busy(e)))
      end(l, prg_error_ref(e));
    k = next;
  }
  prg_error_unref(e);
  if (ear->listeners.count > 0) retry_later(ear);
}

static void connect(struct prg_ear *ear) {
  struct prg_conn *c = prg_conn_new(ear->driver, ear->config, ear->shared,
                                    ear->hub, PRG_LANE_WRITE);
  if (c == NULL) {
    retry_later(ear);
    return;
  }
  ear->conn = c;
  c->owner = ear;
  c->event = on_event;
  prg_conn_connect(c, ear->options.connect_timeout < PRG_NEVER / 2
                          ? prg_now() + ear->options.connect_timeout
                          : PRG_NEVER);
}

static void opened(struct prg_ear *ear) {
  ear->up = true;
  ear->backoff = 0;
  ear->heard = prg_now();
  work(ear);
}

static void broken(struct prg_ear *ear, const struct prg_conn *c) {
  if (ear->req != NULL && ear->req->submitting) return; /* submit() sees it */
  if (ear->up)
    lose(ear, "it broke");
  else
    not_opened(ear,
               c->error != NULL ? prg_error_ref(c->error) : prg_error_oom());
}

static void on_event(struct prg_conn *c, enum prg_event ev) {
  struct prg_ear *ear = c->owner;
  switch (ev) {
    case PRG_EV_OPENED:
      opened(ear);
      break;
    case PRG_EV_BROKEN:
      broken(ear, c);
      break;
    case PRG_EV_NOTIFY:
      ear->heard = prg_now();
      hear(ear, c->notify);
      break;
    case PRG_EV_DRAINED:
    case PRG_EV_NOTICE:
      break;
  }
}

/* ---- looking after it --------------------------------------------------- */

/* When the connection is to be looked at next. */
static int64_t next_look(const struct prg_ear *ear) {
  int64_t look = ear->options.silence < PRG_NEVER / 2
                     ? ear->heard + ear->options.silence
                     : PRG_NEVER;
  int64_t end_of_it = ear->deserted + LINGER;
  if (ear->listeners.count > 0) return look;
  return end_of_it < look ? end_of_it : look;
}

static void on_timer(struct prg_timer *t) {
  struct prg_ear *ear = PRG_CONTAINER(t, struct prg_ear, timer);
  int64_t now = prg_now();
  if (ear->conn == NULL) {
    if (ear->listeners.count > 0) connect(ear);
  } else if (ear->listeners.count == 0 && now - ear->deserted >= LINGER) {
    drop_conn(ear, "nobody listens");
  } else if (ear->up && ear->req == NULL &&
             now - ear->heard >= ear->options.silence) {
    submit(ear, PRG_REQ_PING, NULL, on_pong);
  } else if (ear->up) {
    work(ear);
  }
}

/* Does what there is to do, now or by the timer. */
static void work(struct prg_ear *ear) {
  if (!ear->up || ear->req != NULL) return;
  send_changes(ear);
  if (ear->up && ear->req == NULL)
    prg_timer_set(ear->hub, &ear->timer, next_look(ear));
}

struct prg_ear *prg_ear_new(struct prg_hub *hub, const struct prg_driver *drv,
                            const struct prg_config *config,
                            const struct prg_ear_options *options) {
  struct prg_ear *ear = prg_calloc(1, sizeof *ear);
  if (ear == NULL) return NULL;
  if (drv->shared_new != NULL &&
      (ear->shared = drv->shared_new(config)) == NULL) {
    prg_free(ear);
    return NULL;
  }
  ear->hub = prg_hub_ref(hub);
  ear->driver = drv;
  ear->config = config;
  ear->options = *options;
  ear->timer.fn = on_timer;
  ear->pid = prg_pid();
  prg_list_init(&ear->listeners);
  prg_list_init(&ear->chans);
  return ear;
}

bool prg_ear_is_forked(const struct prg_ear *ear) {
  return ear->pid != prg_pid();
}

void prg_ear_evict(struct prg_ear *ear) {
  if (ear->conn != NULL) lose(ear, "evicted");
}

void prg_ear_free(struct prg_ear *ear, struct prg_error *error) {
  struct prg_link *k;
  if (ear == NULL) return;
  while ((k = prg_list_first(&ear->listeners)) != NULL)
    end(PRG_CONTAINER(k, struct prg_listener, link), prg_error_ref(error));
  drop_conn(ear, "nobody listens any more");
  if (ear->driver->shared_free != NULL) ear->driver->shared_free(ear->shared);
  prg_hub_unref(ear->hub);
  prg_free(ear);
  prg_error_unref(error);
}
