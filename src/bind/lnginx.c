/*
** nginx with ngx_lua as a host. The functions here are called in calls of Lua
** (enter, make, begin) and in nginx's loop with no Lua on the stack (the hub's
** turns, the ends of requests, wakes). docs/internals/nginx.md has the picture.
*/
#include "bind/host_int.h"
#include "bind/nginx_loop.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/process.h"
#include "base/relay.h"

#define NOWNERS 256 /* lists of requests, by their addresses */
/* How long a relay without tasks goes on: connections that were given back in the
** middle of something need it to be cleaned. */
#define LINGER (5 * PRG_SECOND)
#define START_TIME PRG_SECOND /* of the relay */
/* Milliseconds in the semaphore before a task looks itself. */
#define LONG_WAIT 600000
#define SHORT_WAIT 1000 /* where it is the relay that tells of what happens */

enum way { WAY_NONE, WAY_HUB, WAY_RELAY };
static const char *const way_names[] = {"auto", "hub", "relay", NULL};

static const char nginx_key = 0; /* registry: struct nginx */

struct nginx {
  struct prg_host host;
  struct prg_state *G;
  const struct prg_ngx *ngx;
  bool stream;
  bool knows_threads;     /* struct abi_thread is as we think */
  bool parked;            /* see turn() */
  struct prg_list killed; /* members found in this turn */
  enum way way, forced;
  long pid;      /* of the worker that `way` was chosen in */
  char why[160]; /* why it is not the hub */
  struct prg_ngx_watch watch;
  struct prg_relay relay;
  int64_t relay_asked; /* when the relay was last asked to start */
  int64_t quiet_since; /* relay: no request has tasks since; 0: one has */
  struct owner *owners[NOWNERS];
  size_t nowners;
  int start_relay, get_phase; /* registry: Lua functions */
};

/* A request, or a timer, whose coroutines have made calls. */
struct owner {
  struct owner *next; /* in its list */
  struct nginx *nginx;
  void *request;
  struct abi_cleanup *cleanup; /* nginx's: calls on_request_end */
  struct prg_list members;
};

/* What a task has here: its `wakeup`. */
struct member {
  struct prg_link link;   /* in owner->members */
  struct prg_link killed; /* in nginx->killed */
  struct owner *owner;
  struct prg_task *task;
  const struct phase *phase;
  const struct abi_thread *thread; /* ngx_lua's record of the coroutine */
  struct abi_thread *waiter;       /* of the one that was parked last */
  void *sem;                       /* ngx_lua's */
};

static struct nginx *of_host(struct prg_host *h) {
  return PRG_CONTAINER(h, struct nginx, host);
}

/* ---- phases --------------------------------------------------------------- */

/* NGX_HTTP_LUA_CONTEXT_…, ngx_http_lua_common.h: what was there in 0.10.0 has kept
** its number, others were added. */
static const struct phase {
  int bit;
  const char *name; /* of ngx.get_phase */
  enum { WAITS, BLOCKS, CANNOT } what;
} phases[] = {{0x00008, "content", WAITS},
              {0x00004, "access", WAITS},
              {0x00002, "rewrite", WAITS},
              {0x00080, "timer", WAITS},
              {0x08000, "server_rewrite", WAITS},
              {0x20000, "precontent", WAITS},
              {0x00400, "ssl_cert", WAITS},
              {0x04000, "ssl_client_hello", WAITS},
              {0x01000, "ssl_session_fetch", WAITS},
              {0x10000, "proxy_ssl_verify", WAITS},
              {0x40000, "proxy_ssl_cert", WAITS},
              {0, "preread", WAITS}, /* of stream */
              {0, "init", BLOCKS},
              {0x00100, "init_worker", BLOCKS},
              {0x02000, "exit_worker", BLOCKS},
              {0x00001, "set", CANNOT},
              {0x00010, "log", CANNOT},
              {0x00020, "header_filter", CANNOT},
              {0x00040, "body_filter", CANNOT},
              {0x00200, "balancer", CANNOT},
              {0x00800, "ssl_session_store", CANNOT}};

enum { NPHASES = sizeof phases / sizeof phases[0] };

/* In stream: what ngx.get_phase says. [-0, +0, e] */
static const struct phase *named_phase(lua_State *L, const struct nginx *n) {
  const struct phase *found = NULL;
  const char *name;
  int i;
  lua_rawgeti(L, LUA_REGISTRYINDEX, n->get_phase);
  lua_call(L, 0, 1);
  name = lua_tostring(L, -1);
  for (i = 0; i < NPHASES && name != NULL; i++)
    if (strcmp(phases[i].name, name) == 0) found = &phases[i];
  lua_pop(L, 1);
  return found;
}

/* The phase that a request is in; NULL: one that is not known. [-0, +0, e] */
static const struct phase *phase_of(lua_State *L, const struct nginx *n,
                                    void *request) {
  char *err;
  int bit, i;
  if (n->ngx->get_phase == NULL) return named_phase(L, n);
  bit = n->ngx->get_phase(request, &err);
  for (i = 0; i < NPHASES && bit > 0; i++)
    if (phases[i].bit == bit) return &phases[i];
  return NULL;
}

static const struct abi_thread *thread_of(lua_State *L, const struct nginx *n) {
  return n->ngx->get_thread != NULL ? n->ngx->get_thread(L) : NULL;
}

/* nginx uses the coroutine of a handler again: for the next phase, after
** ngx.exec, for a light thread. Then a task of before is over, however its handler
** ended. */
static void end_stale(lua_State *L, const struct nginx *n, struct prg_task *t,
                      const struct phase *p) {
  const struct member *m;
  if (t == NULL || t->co != L || t->host != &n->host ||
      t->state == PRG_TASK_DEAD)
    return;
  m = t->wakeup;
  if (m->phase != p || m->thread != thread_of(L, n)) prg_host_end_task(t);
}

/* ---- requests ------------------------------------------------------------- */

static struct owner **list_of(struct nginx *n, const void *request) {
  uintptr_t a = (uintptr_t)request;
  return &n->owners[(a >> 4 ^ a >> 12) % NOWNERS];
}

static void free_owner(struct owner *o) {
  struct nginx *n = o->nginx;
  struct owner **at = list_of(n, o->request);
  while (*at != o) at = &(*at)->next;
  *at = o->next;
  n->nowners--;
  prg_free(o);
}

static void leave_owner(struct member *m) {
  if (m->owner == NULL) return;
  prg_list_remove(&m->owner->members, &m->link);
  m->owner = NULL;
}

/* A coroutine whose request ends is taken out of what it waits for by ngx_lua only if
** it is a thread: one of coroutine.create's would be resumed when the request is gone,
** or its timer fire (all releases up to 0.10.32). So what the semaphore has left for
** that is called here. */
static void drop_waiter(const struct nginx *n, struct member *m) {
  const struct prg_op *op = &m->task->op;
  struct abi_thread *w = m->waiter;
  if (op->kind == PRG_OP_NONE || op->parked == NULL) return; /* it has ended */
  if (w != NULL && n->knows_threads && w->data == m->sem)
    prg_ngx_clean_up(n->ngx, w);
}

/* nginx frees the request: what its coroutines were at is over. Their connections
** go to the pool, which cleans them. */
static void on_request_end(void *data) {
  struct owner *o = data;
  struct prg_link *k;
  while ((k = prg_list_first(&o->members)) != NULL) {
    struct member *m = PRG_CONTAINER(k, struct member, link);
    leave_owner(m);
    drop_waiter(o->nginx, m);
    prg_host_end_task(m->task);
  }
  free_owner(o);
}

/* The record of a request, with a cleanup of nginx's when it is new. */
static struct owner *owner_of(struct nginx *n, void *request) {
  struct owner **at = list_of(n, request);
  struct owner *o;
  for (o = *at; o != NULL; o = o->next)
    if (o->request == request) return o;
  o = prg_calloc(1, sizeof *o);
  if (o == NULL) return NULL;
  o->cleanup = n->ngx->cleanup_add(request, 0);
  if (o->cleanup == NULL) {
    prg_free(o);
    return NULL;
  }
  o->cleanup->handler = on_request_end;
  o->cleanup->data = o;
  o->nginx = n;
  o->request = request;
  prg_list_init(&o->members);
  o->next = *at;
  *at = o;
  n->nowners++;
  n->quiet_since = 0;
  return o;
}

/* The requests that are left outlive the Lua state: only when the process ends
** without waiting for them. */
static void forget_owners(struct nginx *n) {
  struct prg_link *k;
  int i;
  for (i = 0; i < NOWNERS; i++) {
    struct owner *o;
    while ((o = n->owners[i]) != NULL) {
      o->cleanup->handler = NULL;
      while ((k = prg_list_first(&o->members)) != NULL)
        leave_owner(PRG_CONTAINER(k, struct member, link));
      free_owner(o);
    }
  }
}

/* ---- the hub's turns ------------------------------------------------------- */

/* A turn of the hub. `parked`: nginx's loop has begun it, so that all tasks that
** wait are suspended in their semaphores, but for those that were killed. */
static void turn(struct nginx *n, bool parked) {
  struct prg_link *k;
  n->parked = parked;
  prg_host_turn(n->G);
  n->parked = false;
  while ((k = prg_list_pop_front(&n->killed)) != NULL)
    prg_host_end_task(PRG_CONTAINER(k, struct member, killed)->task);
}

static void on_hub(void *arg) {
  turn(arg, true);
}

static int raise_resource(lua_State *L, const char *why) {
  return prg_raise(L, prg_error_new(PRG_K_RESOURCE, "nginx: %s", why));
}

/* No timer that reads the relay is there, or about to be. */
static bool relay_is_off(const struct nginx *n) {
  if (prg_relay_works(&n->relay)) return false;
  return n->relay_asked == 0 || prg_now() - n->relay_asked > START_TIME;
}

/* Meanwhile nobody has looked at the hub. */
static void start_relay(lua_State *L, struct nginx *n) {
  if (!relay_is_off(n)) return;
  n->relay_asked = prg_now();
  turn(n, false);
  lua_rawgeti(L, LUA_REGISTRYINDEX, n->start_relay);
  lua_call(L, 0, 0);
}

/* Chooses how the loop gets to know of the hub, in each worker when its first task
** begins. */
static void choose_way(lua_State *L, struct nginx *n) {
  enum prg_ngx_answer answer = PRG_NGX_REFUSED;
  prg_state_own(L);
  n->why[0] = '\0';
  if (n->forced != WAY_RELAY)
    answer =
        prg_ngx_watch(&n->watch, prg_hub_fd(n->G->hub), n->why, sizeof n->why);
  if (answer == PRG_NGX_FULL) raise_resource(L, n->why);
  if (answer == PRG_NGX_REFUSED && n->forced == WAY_HUB)
    prg_usage(L, "perigee.host: way = \"hub\" cannot be used: %s", n->why);
  n->way = answer == PRG_NGX_WATCHED ? WAY_HUB : WAY_RELAY;
  n->pid = prg_pid();
}

static enum prg_host_answer enter(lua_State *L, struct prg_host *h,
                                  struct prg_task *t) {
  struct nginx *n = of_host(h);
  const struct phase *p;
  void *request;
  if (!n->ngx->found) return PRG_HOST_NO;
  /* init_by_lua; finalisers of a Lua state that ends with its process, whose main
  ** coroutine still names a request that is long gone. */
  request = n->ngx->get_request(L);
  if (request == NULL || (*n->ngx->cycle)->conf_ctx == NULL) return PRG_HOST_NO;
  p = phase_of(L, n, request);
  if (p != NULL && p->what == WAITS) {
    end_stale(L, n, t, p);
    if (n->way == WAY_NONE || n->pid != prg_pid()) choose_way(L, n);
    if (n->way == WAY_RELAY) start_relay(L, n);
    return PRG_HOST_TASK;
  }
  if (p != NULL && p->what == BLOCKS) return PRG_HOST_NO;
  prg_usage(
      L,
      "this call has to wait, which nginx does not allow in the phase %s: "
      "make it in another phase, or in a function that ngx.timer.at(0, "
      "function) runs",
      p != NULL ? p->name : "that runs here");
  return PRG_HOST_NO;
}

/* ---- tasks ---------------------------------------------------------------- */

static void make(lua_State *L, struct prg_host *h, struct prg_task *t) {
  struct nginx *n = of_host(h);
  struct member *m = prg_calloc(1, sizeof *m);
  char *err = NULL;
  if (m == NULL) prg_raise(L, prg_error_oom());
  m->task = t;
  t->wakeup = m;
  if (n->ngx->sema_new(&m->sem, 0, &err) != 0) {
    m->sem = NULL;
    raise_resource(L, err != NULL ? err : "no semaphore");
  }
  lua_pushlightuserdata(L, m);
}

static void fini(struct prg_host *h, struct prg_task *t) {
  struct member *m = t->wakeup;
  leave_owner(m);
  if (prg_link_linked(&m->killed))
    prg_list_remove(&of_host(h)->killed, &m->killed);
  if (m->sem != NULL) of_host(h)->ngx->sema_gc(m->sem);
  prg_free(m);
}

/* park(member): a C function may yield when it returns, on LuaJIT too. The
** results are what ngx_lua resumes it with. */
static int park(lua_State *L) {
  struct member *m = lua_touserdata(L, 1);
  struct nginx *n = of_host(m->task->host);
  unsigned char text[128];
  size_t len = sizeof text;
  int ms = LONG_WAIT, status;
  if (n->way == WAY_RELAY) { /* it may have ended */
    ms = SHORT_WAIT;
    start_relay(L, n);
  }
  status = n->ngx->sema_wait(n->ngx->get_request(L), m->sem, ms, text, &len);
  if (status == ABI_OK) return 0;
  if (status != ABI_AGAIN)
    return prg_usage(L, "nginx: %.*s", (int)len, (const char *)text);
  if (n->ngx->get_thread != NULL) m->waiter = n->ngx->get_thread(L);
  return lua_yield(L, 0);
}

/* What was posted to a waiter that had been killed by then. */
static void empty_semaphore(const struct nginx *n, void *request, void *sem) {
  unsigned char text[128];
  size_t len = sizeof text;
  while (n->ngx->sema_count(sem) > 0)
    if (n->ngx->sema_wait(request, sem, 0, text, &len) != 0) return;
}

/* A coroutine made by coroutine._create has the record of the one that made it,
** which ngx_lua would resume in its place. */
static void check_coroutine(lua_State *L, struct nginx *n) {
  const struct abi_thread *thread = thread_of(L, n);
  if (thread == NULL) return;
  if (thread->co == L)
    n->knows_threads = true;
  else if (n->knows_threads)
    prg_usage(L,
              "this call has to wait, and it is made in a coroutine that "
              "nginx does not know: make it with coroutine.create or "
              "coroutine.wrap, not with coroutine._create and its kin");
}

static void begin(lua_State *L, struct prg_host *h, struct prg_task *t) {
  struct nginx *n = of_host(h);
  struct member *m = t->wakeup;
  void *request = n->ngx->get_request(L);
  struct owner *o;
  check_coroutine(L, n);
  o = owner_of(n, request);
  if (o == NULL) prg_raise(L, prg_error_oom());
  leave_owner(m);
  m->owner = o;
  m->phase = phase_of(L, n, request);
  m->thread = thread_of(L, n);
  m->waiter = NULL;
  prg_list_push_back(&o->members, &m->link);
  empty_semaphore(n, request, m->sem);
}

/* The task of a coroutine that nobody will resume ends after the turn: here the
** driver or the pool may be in the middle of something. */
static void wake(struct prg_host *h, struct prg_task *t) {
  struct nginx *n = of_host(h);
  struct member *m = t->wakeup;
  if (!n->parked || n->ngx->sema_count(m->sem) < 0)
    (void)n->ngx->sema_post(m->sem, 1);
  else if (!prg_link_linked(&m->killed))
    prg_list_push_back(&n->killed, &m->killed);
}

static void leave_way(struct nginx *n) {
  prg_ngx_unwatch(&n->watch);
  prg_relay_stop(&n->relay);
  n->relay_asked = 0;
  n->way = WAY_NONE;
}

static void leave(struct prg_host *h) {
  struct nginx *n = of_host(h);
  leave_way(n);
  forget_owners(n);
}

/* ---- for lua/perigee/host/nginx.lua ---------------------------------------- */

static struct nginx *check_nginx(lua_State *L) {
  struct nginx *n;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &nginx_key);
  n = lua_touserdata(L, -1);
  lua_pop(L, 1);
  if (n == NULL) luaL_error(L, "the host nginx has not been added");
  return n;
}

static int take_function(lua_State *L, const char *name) {
  lua_getfield(L, 1, name);
  luaL_checktype(L, -1, LUA_TFUNCTION);
  return luaL_ref(L, LUA_REGISTRYINDEX);
}

/* core.nginx_add{ subsystem, start_relay, get_phase }: the host is one of the state
** from now on */
static int nginx_add(lua_State *L) {
  struct nginx *n;
  const char *subsystem;
  luaL_checktype(L, 1, LUA_TTABLE);
  n = lua_newuserdatauv(L, sizeof *n, 0);
  memset(n, 0, sizeof *n);
  lua_getfield(L, 1, "subsystem");
  subsystem = lua_tostring(L, -1);
  n->stream = subsystem != NULL && strcmp(subsystem, "stream") == 0;
  n->ngx = prg_ngx_get(n->stream);
  n->G = prg_state_get(L);
  prg_list_init(&n->killed);
  n->watch.fn = on_hub;
  n->watch.arg = n;
  n->start_relay = take_function(L, "start_relay");
  n->get_phase = take_function(L, "get_phase");
  n->host =
      (struct prg_host){.name = "nginx",
                        .fn = {LUA_NOREF, LUA_NOREF, LUA_NOREF, LUA_NOREF},
                        .enter = enter,
                        .make = make,
                        .begin = begin,
                        .wake = wake,
                        .fini = fini,
                        .leave = leave};
  lua_pushcfunction(L, park);
  n->host.fn[PRG_HOST_PARK] = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_pushvalue(L, 2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &nginx_key);
  prg_host_add(n->G, &n->host);
  return 0;
}

/* core.nginx_way(["auto" | "hub" | "relay"]) -> the way, why it is not the hub;
** sets what may be used from now on */
static int nginx_way(lua_State *L) {
  struct nginx *n = check_nginx(L);
  if (!lua_isnoneornil(L, 1)) {
    enum way forced = (enum way)luaL_checkoption(L, 1, NULL, way_names);
    if (forced != n->forced) leave_way(n);
    n->forced = forced;
  }
  if (n->pid != prg_pid() || n->way == WAY_NONE)
    lua_pushnil(L);
  else
    lua_pushstring(L, way_names[n->way]);
  lua_pushstring(L, n->forced == WAY_RELAY ? "as perigee.host says"
                    : !n->ngx->found       ? n->ngx->missing
                                           : n->why);
  return 2;
}

/* core.nginx_version() -> "1.22.1" */
static int nginx_version(lua_State *L) {
  char version[32];
  prg_ngx_version(version, sizeof version);
  lua_pushstring(L, version);
  return 1;
}

/* core.nginx_relay_listen() -> where the reader is to connect; nil when another
** reads already */
static int relay_listen(lua_State *L) {
  struct nginx *n = check_nginx(L);
  char why[160];
  if (n->way != WAY_RELAY || prg_relay_works(&n->relay)) return 0;
  prg_relay_stop(&n->relay);
  if (!prg_relay_listen(&n->relay, why, sizeof why))
    return raise_resource(L, why);
  lua_pushstring(L, n->relay.path);
  return 1;
}

/* core.nginx_relay_start(): the reader has connected */
static int relay_start(lua_State *L) {
  struct nginx *n = check_nginx(L);
  char why[160];
  if (!prg_relay_start(&n->relay, prg_hub_fd(n->G->hub), why, sizeof why))
    return raise_resource(L, why);
  return 0;
}

static bool relay_goes_on(struct nginx *n, bool exiting) {
  int64_t now;
  if (!prg_relay_works(&n->relay)) return false;
  if (n->nowners > 0) return true;
  now = prg_now();
  if (n->quiet_since == 0) n->quiet_since = now;
  return !exiting && now - n->quiet_since < LINGER;
}

/* core.nginx_relay_turn(exiting) -> whether the reader is to go on: something was
** told, or it is time */
static int relay_turn(lua_State *L) {
  struct nginx *n = check_nginx(L);
  prg_relay_heard(&n->relay);
  turn(n, true);
  lua_pushboolean(L, relay_goes_on(n, lua_toboolean(L, 1)));
  return 1;
}

/* core.nginx_relay_stop(): the reader ends */
static int relay_stop(lua_State *L) {
  struct nginx *n = check_nginx(L);
  prg_relay_stop(&n->relay);
  n->relay_asked = 0;
  return 0;
}

static const luaL_Reg functions[] = {
    {"nginx_add", nginx_add},           {"nginx_way", nginx_way},
    {"nginx_version", nginx_version},   {"nginx_relay_listen", relay_listen},
    {"nginx_relay_start", relay_start}, {"nginx_relay_turn", relay_turn},
    {"nginx_relay_stop", relay_stop},   {NULL, NULL}};

void prg_nginx_open(lua_State *L) {
  prg_set_functions(L, functions);
}
