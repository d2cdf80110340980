/*
** Hosts: which loop runs the caller, and the tasks that it runs. A task of a host
** is known by its coroutine; its waits end with the host's own means. Everything
** that a host has to do is in host_int.h.
*/
#include "bind/host_int.h"

#include "base/clock.h"

#define MAX_TURNS 16 /* of the hub in one of a host in C */

static const char loader_key = 0; /* registry: loads an adapter by its name */
static const char loaded_key = 0; /* registry: package.loaded */

/* Whose loops are known, by the module that runs them, innermost first: of two
** that run at once the one in a task of the other is asked first. The Lua part asks
** for them here. */
static const struct known {
  const char *module, *name;
  bool on_main; /* its callbacks run on the main coroutine */
} known[] = {{"ngx", "nginx", true},
             {"cqueues", "cqueues", false},
             {"copas", "copas", false},
             {"luv", "luv", true},
             {"uv", "luv", true}};

enum { NKNOWN = sizeof known / sizeof known[0] };

/* ---- what a task holds --------------------------------------------------- */

void prg_hold(struct prg_holding *h, struct prg_task *t,
              void (*end)(struct prg_holding *h)) {
  if (h->task != NULL || t->host == NULL) return;
  h->task = t;
  h->end = end;
  prg_list_push_back(&t->holdings, &h->link);
}

void prg_unhold(struct prg_holding *h) {
  if (h->task == NULL) return;
  prg_list_remove(&h->task->holdings, &h->link);
  h->task = NULL;
}

/* ---- tasks of hosts ------------------------------------------------------ */

static void drop_token(lua_State *L, struct prg_task *t) {
  luaL_unref(L, LUA_REGISTRYINDEX, t->token);
  t->token = LUA_NOREF;
}

void prg_host_fini_task(lua_State *L, struct prg_task *t) {
  struct prg_host *h = t->host;
  struct prg_link *k;
  if (h == NULL) return;
  while ((k = prg_list_first(&t->holdings)) != NULL)
    prg_unhold(PRG_CONTAINER(k, struct prg_holding, link));
  if (t->wakeup != NULL) h->fini(h, t);
  t->wakeup = NULL;
  drop_token(L, t);
  t->host = NULL;
}

/* Pushes the token that the host gives a new task. [-0, +1, e] */
static void push_token(lua_State *L, struct prg_host *h, struct prg_task *t) {
  if (h->make != NULL) {
    h->make(L, h, t);
    return;
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, h->fn[PRG_HOST_NEW]);
  lua_call(L, 0, 1);
  if (lua_isnil(L, -1)) prg_usage(L, "the host %s has no new task", h->name);
}

/* The task at `i` is that of the running coroutine from now on. */
static void begin(lua_State *L, struct prg_task *t, struct prg_host *h, int i) {
  struct prg_state *G = t->G;
  i = lua_absindex(L, i);
  t->host = h;
  t->co = L;
  if (t->token == LUA_NOREF) {
    push_token(L, h, t);
    t->token = luaL_ref(L, LUA_REGISTRYINDEX);
    prg_task_set_alias(L, i);
  }
  if (h->begin != NULL) h->begin(L, h, t);
  t->state = PRG_TASK_RUNNING;
  t->started = true;
  prg_hub_arm(G->hub, true);
}

/* The coroutine is used by its host for something else than before. */
static void renew(struct prg_task *t) {
  t->id = (const void *)++t->G->last_id;
  t->deadline = PRG_NEVER;
  t->quick = t->waited = t->busy = t->failed = t->joined = false;
  t->shield = 0;
  prg_error_unref(t->cancel);
  t->cancel = NULL;
}

static struct prg_task *push_new(lua_State *L, struct prg_state *G,
                                 struct prg_host *h) {
  struct prg_task *t = prg_task_push(L, G);
  begin(L, t, h, -1);
  return t;
}

void prg_host_end_task(struct prg_task *t) {
  struct prg_link *k;
  if (t->state == PRG_TASK_DEAD) return;
  if (t->op.kind != PRG_OP_NONE) prg_op_drop(&t->op);
  while ((k = prg_list_first(&t->holdings)) != NULL) {
    struct prg_holding *h = PRG_CONTAINER(k, struct prg_holding, link);
    prg_unhold(h);
    h->end(h);
  }
  prg_task_runs(t); /* out of the list */
  t->state = PRG_TASK_DEAD;
  t->failed = true;
  prg_op_wake_all(&t->joiners);
}

/* ---- which host ---------------------------------------------------------- */

void prg_host_add(struct prg_state *G, struct prg_host *h) {
  prg_list_push_back(&G->hosts, &h->link);
}

static struct prg_host *by_name(struct prg_state *G, const char *name) {
  struct prg_link *k;
  for (k = prg_list_first(&G->hosts); k != NULL;
       k = prg_list_next(&G->hosts, k)) {
    struct prg_host *h = PRG_CONTAINER(k, struct prg_host, link);
    if (strcmp(h->name, name) == 0) return h;
  }
  return NULL;
}

static enum prg_host_answer ask(lua_State *L, struct prg_host *h,
                                struct prg_task *t) {
  bool yes;
  if (h->enter != NULL) return h->enter(L, h, t);
  lua_rawgeti(L, LUA_REGISTRYINDEX, h->fn[PRG_HOST_RUNNING]);
  lua_pushboolean(L, prg_state_get(L)->host == h);
  lua_call(L, 1, 1);
  yes = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return yes ? PRG_HOST_TASK : PRG_HOST_NO;
}

/* Is the module loaded by the program? [-0, +0, -] */
static bool is_loaded(lua_State *L, const char *module) {
  bool yes;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &loaded_key);
  lua_getfield(L, -1, module);
  yes = lua_toboolean(L, -1);
  lua_pop(L, 2);
  return yes;
}

/* The adapter adds itself to the state. */
static struct prg_host *load(lua_State *L, struct prg_state *G,
                             const char *name) {
  struct prg_host *h = by_name(G, name);
  if (h != NULL) return h;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &loader_key);
  lua_pushstring(L, name);
  lua_call(L, 1, 0);
  return by_name(G, name);
}

static bool is_main(lua_State *L) {
  bool yes = lua_pushthread(L) == 1;
  lua_pop(L, 1);
  return yes;
}

/* Its host, of those that the program has loaded. Asked at each call of a script,
** so that what is not there must cost little. */
static struct prg_host *find(lua_State *L, struct prg_state *G,
                             struct prg_task *t) {
  bool main = is_main(L);
  int i;
  if (G->host != NULL)
    return ask(L, G->host, t) == PRG_HOST_TASK ? G->host : NULL;
  for (i = 0; i < NKNOWN; i++) {
    struct prg_host *h;
    if (i == 0 ? !G->in_nginx : main && !known[i].on_main) continue;
    if ((G->looked_for & 1u << i) == 0 && !is_loaded(L, known[i].module))
      continue;
    h = load(L, G, known[i].name);
    G->looked_for |= 1u << i;
    if (h != NULL && ask(L, h, t) == PRG_HOST_TASK) return h;
  }
  return NULL;
}

/* Is it one of a host's that has not ended? */
static bool is_alive(const struct prg_task *t) {
  return t != NULL && t->host != NULL && t->state != PRG_TASK_DEAD;
}

struct prg_task *prg_host_known(lua_State *L) {
  struct prg_task *t = prg_task_alias(L);
  return is_alive(t) ? t : NULL;
}

struct prg_task *prg_host_task(lua_State *L, struct prg_state *G) {
  struct prg_task *t;
  struct prg_host *h;
  if (!lua_checkstack(L, 8)) return NULL;
  t = prg_task_alias(L);
  if (is_alive(t) && (t->co != L || t->host->sticky)) return t;
  h = find(L, G, t);
  if (h == NULL) return NULL;
  if (t == NULL || t->host != h || t->co != L) {
    t = push_new(L, G, h);
    lua_pop(L, 1);
  } else if (t->state == PRG_TASK_DEAD) {
    renew(t);
    begin(L, t, h, 0); /* it has its token */
  }
  return t;
}

/* ---- waking -------------------------------------------------------------- */

static void ring(struct prg_state *G) {
  if (!G->turning && G->hub != NULL) prg_hub_interrupt(G->hub);
}

void prg_host_wake_later(struct prg_task *t) {
  struct prg_state *G = t->G;
  t->state = PRG_TASK_RUNNABLE;
  prg_list_push_back(&G->woken, &t->link);
  if (G->woken.count == 1) ring(G);
}

void prg_host_wake(struct prg_task *t) {
  if (t->host->wake == NULL) {
    prg_host_wake_later(t);
    return;
  }
  t->state = PRG_TASK_RUNNING;
  t->host->wake(t->host, t);
}

void prg_host_kick(struct prg_state *G) {
  if (G->hosts.count > 0 && !G->looping && G->current == NULL) ring(G);
}

void prg_host_ring_again(struct prg_state *G) {
  if (G->woken.count > 0) ring(G);
  if (G->runnable.count > 0) prg_host_kick(G);
}

/* The next of those that are woken, taken from the list. */
static struct prg_task *next_woken(struct prg_state *G) {
  struct prg_link *k = prg_list_pop_front(&G->woken);
  struct prg_task *t;
  if (k == NULL) return NULL;
  t = PRG_CONTAINER(k, struct prg_task, link);
  t->state = PRG_TASK_RUNNING;
  return t;
}

/* The host's loop may tell only once of what is readable: so it is looked until
** there is nothing; and when there is too much, the loop is asked for another turn. */
void prg_host_turn(struct prg_state *G) {
  struct prg_task *t;
  int i = 0;
  if (G->hub == NULL || G->turning) return;
  G->turning = true;
  while (i < MAX_TURNS && prg_hub_run(G->hub, 0) > 0) i++;
  while ((t = next_woken(G)) != NULL) t->host->wake(t->host, t);
  G->turning = false;
  if (i == MAX_TURNS) prg_hub_interrupt(G->hub);
}

/* Wakes those that are woken now; the first error stays on the stack. Those that
** become so meanwhile have their turn after the loop's. [-0, +(0|1), e] */
static bool wake_now(lua_State *L, struct prg_state *G) {
  size_t n = G->woken.count;
  bool failed = false;
  while (n-- > 0) {
    struct prg_task *t = next_woken(G);
    if (t == NULL) break;
    if (t->host->wake != NULL) {
      t->host->wake(t->host, t);
      continue;
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, t->host->fn[PRG_HOST_WAKE]);
    lua_rawgeti(L, LUA_REGISTRYINDEX, t->token);
    if (lua_pcall(L, 1, 0, 0) == LUA_OK) continue;
    if (failed)
      lua_pop(L, 1);
    else
      failed = true;
  }
  return failed;
}

/* core.turn(): when the hub's descriptor is readable: does what can be done and
** wakes whose waits are over; returns how many. Never waits. Raises the first
** error of a wake when all are woken. */
static int core_turn(lua_State *L) {
  struct prg_state *G = prg_state_get(L);
  lua_Integer n;
  bool failed;
  if (G->hub == NULL || G->turning || G->looping) return 0;
  lua_settop(L, 0);
  luaL_checkstack(L, 4, "perigee");
  G->turning = true;
  if (prg_hub_run(G->hub, 0) == PRG_ERR) {
    G->turning = false;
    return luaL_error(L,
                      "perigee: waiting failed: the hub's descriptor is "
                      "closed");
  }
  n = (lua_Integer)G->woken.count;
  failed = wake_now(L, G);
  G->turning = false;
  if (G->runnable.count > 0) prg_state_resume(L, G);
  if (G->woken.count > 0 || G->runnable.count > 0) prg_hub_interrupt(G->hub);
  if (failed) return lua_error(L);
  lua_pushinteger(L, n);
  return 1;
}

void prg_host_push_park(lua_State *L, const struct prg_task *t) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, t->host->fn[PRG_HOST_PARK]);
  lua_rawgeti(L, LUA_REGISTRYINDEX, t->token);
}

/* ---- tasks that perigee.spawn starts in a host --------------------------- */

static struct prg_task *check_hosted(lua_State *L, int i) {
  return luaL_checkudata(L, i, "perigee.task");
}

/* core.hosted() -> a task that has not begun, of the caller's host */
static int core_hosted(lua_State *L) {
  struct prg_state *G = prg_state_get(L);
  struct prg_task *parent = prg_host_task(L, G);
  struct prg_task *t;
  if (parent == NULL) return luaL_error(L, "core.hosted: no host runs here");
  t = prg_task_push(L, G);
  lua_createtable(L, 0, 0);
  lua_setiuservalue(L, -2, 1);
  t->hosted = true;
  t->host = parent->host;
  t->state = PRG_TASK_RUNNABLE;
  return 1;
}

/* core.hosted_begin(task) -> false when it was cancelled before; the running
** coroutine is its */
static int core_hosted_begin(lua_State *L) {
  struct prg_task *t = check_hosted(L, 1);
  if (t->state == PRG_TASK_DEAD) {
    lua_pushboolean(L, 0);
    return 1;
  }
  begin(L, t, t->host, 1);
  lua_pushboolean(L, 1);
  return 1;
}

/* core.hosted_end(task, ok, …) -> has anybody asked for how it ended? */
static int core_hosted_end(lua_State *L) {
  struct prg_task *t = check_hosted(L, 1);
  bool heard = t->joined || t->joiners.count > 0;
  int i, n = lua_gettop(L) - 2;
  if (t->state == PRG_TASK_DEAD) { /* its host has ended it */
    lua_pushboolean(L, 1);
    return 1;
  }
  prg_host_end_task(t); /* first, as memory may be short for the rest */
  luaL_checkstack(L, 3, "results of a task");
  lua_getiuservalue(L, 1, 1);
  for (i = 1; i <= n; i++) {
    lua_pushvalue(L, i + 2);
    lua_rawseti(L, -2, i);
  }
  t->nresults = n;
  t->failed = !lua_toboolean(L, 2);
  lua_pushboolean(L, heard);
  return 1;
}

/* core.hosted_heard(task) -> has anybody joined it, or cancelled it? */
static int core_hosted_heard(lua_State *L) {
  lua_pushboolean(L, check_hosted(L, 1)->joined);
  return 1;
}

/* ---- registration -------------------------------------------------------- */

static int take_function(lua_State *L, int table, const char *name) {
  lua_getfield(L, table, name);
  if (!lua_isfunction(L, -1))
    prg_usage(L, "the host's %s must be a function, not %s", name,
              luaL_typename(L, -1));
  return luaL_ref(L, LUA_REGISTRYINDEX);
}

/* core.add_host{ name, running, new, park, wake, sticky }: an adapter in Lua; one
** of a name that is known already takes its place. */
static int core_add_host(lua_State *L) {
  struct prg_state *G = prg_state_get(L);
  struct prg_host *h, *old;
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  lua_getfield(L, 1, "name");
  h = lua_newuserdatauv(L, sizeof *h, 0);
  memset(h, 0, sizeof *h);
  h->name = luaL_checkstring(L, 2);
  h->fn[PRG_HOST_RUNNING] = take_function(L, 1, "running");
  h->fn[PRG_HOST_NEW] = take_function(L, 1, "new");
  h->fn[PRG_HOST_PARK] = take_function(L, 1, "park");
  h->fn[PRG_HOST_WAKE] = take_function(L, 1, "wake");
  lua_getfield(L, 1, "sticky");
  h->sticky = lua_toboolean(L, -1);
  lua_settop(L, 3);
  (void)luaL_ref(L, LUA_REGISTRYINDEX); /* for ever, as tasks point to it */
  (void)luaL_ref(L, LUA_REGISTRYINDEX); /* its name */
  old = by_name(G, h->name);
  if (old != NULL) prg_list_remove(&G->hosts, &old->link);
  prg_host_add(G, h);
  return 0;
}

/* core.fix_host(name | nil): the only host that is asked, or all again */
static int core_fix_host(lua_State *L) {
  struct prg_state *G = prg_state_get(L);
  const char *name = luaL_optstring(L, 1, NULL);
  G->host = name != NULL ? by_name(G, name) : NULL;
  if (name != NULL && G->host == NULL)
    return luaL_error(L, "core.fix_host: %s is not known", name);
  return 0;
}

/* core.host() -> the name of the host that runs the caller; nil when none does */
static int core_host(lua_State *L) {
  struct prg_state *G = prg_state_get(L);
  const struct prg_task *t = NULL;
  if (G->hub != NULL && G->current == NULL && !G->looping)
    t = prg_host_task(L, G);
  if (t == NULL) return 0;
  lua_pushstring(L, t->host->name);
  return 1;
}

/* core.set_host_loader(fn): fn(name) has the adapter of that name added */
static int core_set_host_loader(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_settop(L, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &loader_key);
  return 0;
}

/* core.host_modules() -> { [name] = { module, … } } */
static int core_host_modules(lua_State *L) {
  lua_createtable(L, 0, NKNOWN);
  for (int i = 0; i < NKNOWN; i++) {
    lua_getfield(L, -1, known[i].name);
    if (lua_isnil(L, -1)) {
      lua_pop(L, 1);
      lua_createtable(L, 1, 0);
      lua_pushvalue(L, -1);
      lua_setfield(L, -3, known[i].name);
    }
    lua_pushstring(L, known[i].module);
    lua_rawseti(L, -2, (int)lua_rawlen(L, -2) + 1);
    lua_pop(L, 1);
  }
  return 1;
}

/* core.hub_fd() -> the descriptor that is readable when core.turn has to be
** called; another one in a forked child */
static int core_hub_fd(lua_State *L) {
  struct prg_state *G = prg_state_get(L);
  if (G->hub == NULL) return luaL_error(L, "the Lua state is being closed");
  lua_pushinteger(L, prg_hub_fd(G->hub));
  return 1;
}

static const luaL_Reg functions[] = {{"turn", core_turn},
                                     {"hub_fd", core_hub_fd},
                                     {"host", core_host},
                                     {"host_modules", core_host_modules},
                                     {"add_host", core_add_host},
                                     {"fix_host", core_fix_host},
                                     {"set_host_loader", core_set_host_loader},
                                     {"hosted", core_hosted},
                                     {"hosted_begin", core_hosted_begin},
                                     {"hosted_end", core_hosted_end},
                                     {"hosted_heard", core_hosted_heard},
                                     {NULL, NULL}};

void prg_host_open(lua_State *L) {
  struct prg_state *G = prg_state_get(L);
  lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &loaded_key);
  G->in_nginx = is_loaded(L, "ngx");
  prg_set_functions(L, functions);
}
