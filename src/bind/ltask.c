/*
** Tasks and the built-in loop. A task is a coroutine that the loop resumes; it
** is the identity by which transactions are joined. The task's userdata is
** anchored in the registry from spawn to its end; its results stay on the
** coroutine's stack for whoever joins it.
*/
#include "bind/host_int.h"

#include <math.h>

#include "base/clock.h"
#include "base/mem.h"

#define TASK_MT "perigee.task"

#if !PRG_HAVE_YIELDK
static const char nothing_key = 0; /* registry: do_nothing */
#endif
static const char alive_key = 0; /* registry: { [lightuserdata] = userdata } */
static const char alias_key = 0; /* registry: weak { [thread] = userdata } */
static const char failure_key = 0; /* registry: first error nobody joined */
static const char loop_key = 0;    /* registry: loop_until_done */

/* ---- who am I ----------------------------------------------------------- */

struct prg_task *prg_task_alias(lua_State *L) {
  struct prg_task *t;
  if (!lua_checkstack(L, 3)) return NULL;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &alias_key);
  lua_pushthread(L);
  lua_rawget(L, -2);
  t = lua_touserdata(L, -1);
  lua_pop(L, 2);
  return t;
}

struct prg_task *prg_task_find_in(lua_State *L, struct prg_state *G) {
  struct prg_task *t = G->current;
  if (G->hub == NULL) return NULL; /* the Lua state is being closed */
  if (t != NULL) return t->co == L || prg_task_alias(L) == t ? t : NULL;
  if (G->looping) return NULL;
  t = prg_host_task(L, G);
  return t != NULL ? t : G->main;
}

void prg_task_set_alias(lua_State *L, int i) {
  i = lua_absindex(L, i);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &alias_key);
  lua_pushthread(L);
  lua_pushvalue(L, i);
  lua_rawset(L, -3);
  lua_pop(L, 1);
}

struct prg_task *prg_task_find(lua_State *L) {
  return prg_task_find_in(L, prg_state_get(L));
}

struct prg_task *prg_task_current(lua_State *L, struct prg_state *G) {
  struct prg_task *t = prg_task_find_in(L, G);
  if (t == NULL)
    prg_usage(L,
              "this call has to wait, and it is made in a coroutine that the "
              "running task made by itself: make it with perigee.wrap instead "
              "of coroutine.wrap, or use perigee.spawn");
  return t;
}

/* Of a host's task only the innermost coroutine is looked at: nginx has the outer
** ones suspended meanwhile, and with the others perigee.wrap asks for each. */
bool prg_task_can_wait(lua_State *L, const struct prg_task *t) {
  if (t->co == NULL) return true;
  return lua_isyieldable(L) &&
         (t->co == L || t->host != NULL || lua_isyieldable(t->co));
}

void prg_task_runs(struct prg_task *t) {
  if (t->co == NULL) return;
  if (prg_link_linked(&t->link))
    prg_list_remove(t->host != NULL ? &t->G->woken : &t->G->runnable, &t->link);
  t->state = PRG_TASK_RUNNING;
}

struct prg_task *prg_task_running(lua_State *L, struct prg_state *G) {
  if (G->current != NULL || G->looping) return G->current;
  return prg_host_known(L);
}

int prg_task_pcall(lua_State *L, struct prg_state *G, int n, int r) {
  struct prg_task *t = prg_task_running(L, G);
  int status;
  if (t == NULL) t = G->main;
  t->busy = true;
  status = lua_pcall(L, n, r, 0);
  t->busy = false;
  return status;
}

/* ---- running ------------------------------------------------------------ */

static void release_anchor(lua_State *L, const struct prg_task *t) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &alive_key);
  lua_pushnil(L);
  lua_rawsetp(L, -2, t);
  lua_pop(L, 1);
  lua_pushnil(L); /* what an operation that was dropped left there */
  lua_rawsetp(L, LUA_REGISTRYINDEX, &t->op);
  lua_pushnil(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &t->op.setup);
  lua_pushnil(L); /* what prg_embed_key was for */
  lua_rawsetp(L, LUA_REGISTRYINDEX, &t->mark);
}

/* Keeps the error of a task that nobody has joined: perigee.run raises it. */
static void note_failure(lua_State *L, struct prg_task *t) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &failure_key);
  if (lua_isnil(L, -1)) {
    lua_createtable(L, 2, 0);
    lua_pushlightuserdata(L, (void *)(uintptr_t)t->id);
    lua_rawseti(L, -2, 1);
    lua_pushvalue(t->co, -1);
    lua_xmove(t->co, L, 1);
    lua_rawseti(L, -2, 2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &failure_key);
  }
  lua_pop(L, 1);
}

#if LUA_VERSION_NUM < 504

/* A coroutine that ended with an error keeps all that was on its stack, open
** iterators too: the error alone moves to another one. */
static void shed_stack(lua_State *L, struct prg_task *t) {
  lua_State *co;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &alive_key);
  lua_rawgetp(L, -1, t);
  lua_getiuservalue(L, -1, 1);
  co = lua_newthread(L);
  lua_xmove(t->co, co, 1);
  t->co = co;
  lua_rawseti(L, -2, 1);
  lua_pop(L, 3);
}

#else
#define shed_stack(L, t) (void)0 /* run_body has unwound it */
#endif

/* What needs memory of Lua's comes last: it may fail, and the loop and those who
** wait must know by then that the task has ended. */
static void finish(lua_State *L, struct prg_task *t, bool failed) {
  bool alone = t->joiners.count == 0 && !t->joined;
  prg_task_runs(t); /* out of the list */
  t->state = PRG_TASK_DEAD;
  t->failed = failed;
  t->G->alive--;
  if (t->op.kind != PRG_OP_NONE) prg_op_drop(&t->op);
  prg_arena_fini(&t->op.arena);
  prg_op_wake_all(&t->joiners);
  if (failed) shed_stack(L, t);
  if (failed && alone) note_failure(L, t);
  release_anchor(L, t);
}

void prg_task_forget_db(lua_State *L, const struct prg_db *db) {
  struct prg_state *G = prg_state_get(L);
  struct prg_op *op = &G->main->op;
  struct prg_link *k;
  if (op->kind != PRG_OP_NONE && op->db == db) prg_op_drop(op);
  for (k = prg_list_first(&G->tasks); k != NULL;
       k = prg_list_next(&G->tasks, k)) {
    op = &PRG_CONTAINER(k, struct prg_task, made)->op;
    if (op->kind != PRG_OP_NONE && op->db == db) prg_op_drop(op);
  }
}

/* A task that yields without waiting gives way to the others. */
static void give_way(struct prg_task *t) {
  if (t->state != PRG_TASK_RUNNING) return; /* it waits */
  t->state = PRG_TASK_RUNNABLE;
  prg_list_push_back(&t->G->runnable, &t->link);
}

#if PRG_HAVE_YIELDK
#define come_back(L) (void)0
#else

static int do_nothing(lua_State *L) {
  (void)L;
  return 0;
}

/* LuaJIT notes which coroutine runs when it enters one, and when a C function
** returns, but not when one raises. After a resume and an error it would take the
** stack of the wrong coroutine for that of a trace that is left. A call of anything
** notes the right one. */
static void come_back(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &nothing_key);
  lua_call(L, 0, 0);
}

#endif

void prg_task_carry(lua_State *L, struct prg_task *t) {
  struct prg_state *G = t->G;
  if (t->state != PRG_TASK_RUNNABLE) return;
  prg_list_remove(&G->runnable, &t->link);
  prg_task_resume(L, t);
  /* Those that give way have their next turn after the loop's. */
  if (t->state == PRG_TASK_RUNNABLE && t->carrier != NULL)
    prg_op_wake(&t->carrier->op);
}

void prg_task_resume(lua_State *L, struct prg_task *t) {
  struct prg_state *G = t->G;
  struct prg_task *before = G->current;
  lua_State *co = t->co;
  int nres = 0, status, nargs = 0;
  if (!t->started) {
    t->started = true;
    nargs = lua_gettop(co) - 1;
  }
  t->state = PRG_TASK_RUNNING;
  G->current = t;
  status = prg_resume(co, L, nargs, &nres);
  come_back(L);
  G->current = before;
  if (status == LUA_YIELD) {
    lua_pop(co, nres);
    if (t->op.woken && t->state == PRG_TASK_WAITING) {
      t->state = PRG_TASK_RUNNABLE; /* woken before it had parked */
      prg_list_push_back(&G->runnable, &t->link);
    }
    give_way(t);
  } else {
    t->nresults = status == LUA_OK ? nres : 1;
    finish(L, t, status != LUA_OK); /* may have been the last reference */
  }
}

/* ---- spawn and join ----------------------------------------------------- */

static struct prg_task *check_task(lua_State *L, int i) {
  return luaL_checkudata(L, i, TASK_MT);
}

static int task__gc(lua_State *L) {
  struct prg_task *t = check_task(L, 1);
  if (t->op.kind != PRG_OP_NONE) prg_op_drop(&t->op);
  prg_op_wake_all(&t->joiners); /* who are collected too, maybe later */
  prg_task_runs(t);
  t->state = PRG_TASK_DEAD;
  if (prg_link_linked(&t->made)) prg_list_remove(&t->G->tasks, &t->made);
  prg_arena_fini(&t->op.arena);
  prg_error_unref(t->cancel);
  t->cancel = NULL;
  prg_host_fini_task(L, t);
  return 0;
}

struct prg_task *prg_task_push(lua_State *L, struct prg_state *G) {
  struct prg_task *t = lua_newuserdatauv(L, sizeof *t, 1);
  memset(t, 0, sizeof *t);
  t->G = G;
  t->deadline = PRG_NEVER;
  t->op.task = t;
  t->state = PRG_TASK_DEAD;
  t->id = (const void *)++G->last_id;
  t->token = LUA_NOREF;
  prg_list_init(&t->joiners);
  prg_list_init(&t->holdings);
  prg_arena_init(&t->op.arena);
  luaL_getmetatable(L, TASK_MT);
  lua_setmetatable(L, -2);
  prg_list_push_back(&G->tasks, &t->made);
  return t;
}

/* Pushes a new task whose coroutine is empty. [-0, +1, m] */
static struct prg_task *push_task(lua_State *L, struct prg_state *G) {
  struct prg_task *t = prg_task_push(L, G);
  lua_createtable(L, 1, 0);
  t->co = lua_newthread(L);
  lua_rawseti(L, -2, 1);
  lua_setiuservalue(L, -2, 1);
  return t;
}

#if LUA_VERSION_NUM >= 504

static int body_ended(lua_State *L, int status, lua_KContext ctx) {
  (void)ctx;
  if (status != LUA_OK && status != LUA_YIELD) return lua_error(L);
  return lua_gettop(L);
}

/* The function of a task with its arguments. An error that leaves a coroutine
** does not close its to-be-closed variables; one that is caught inside does,
** and they may wait. */
static int run_body(lua_State *L) {
  int n = lua_gettop(L) - 1;
  return body_ended(L, lua_pcallk(L, n, LUA_MULTRET, 0, 0, body_ended), 0);
}

/* Puts it below the function and its arguments. */
static void guard_body(lua_State *co) {
  lua_pushcfunction(co, run_body);
  lua_insert(co, 1);
}

#else
#define guard_body(co) (void)(co)
#endif

struct prg_task *prg_task_spawn(lua_State *L, int n) {
  struct prg_state *G = prg_state_get(L);
  int base = lua_gettop(L) - n; /* of the function */
  struct prg_task *t = push_task(L, G);
  if (!lua_checkstack(t->co, n + 4)) luaL_error(L, "too many arguments");
  lua_insert(L, base);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &alive_key);
  lua_pushvalue(L, base);
  lua_rawsetp(L, -2, t);
  lua_pop(L, 1);
  lua_xmove(L, t->co, n + 1);
  guard_body(t->co);
  t->state = PRG_TASK_RUNNABLE;
  G->alive++;
  prg_list_push_back(&G->runnable, &t->link);
  return t;
}

/* core.spawn(fn, ...) -> task */
static int core_spawn(lua_State *L) {
  if (lua_type(L, 1) != LUA_TFUNCTION)
    return prg_usage(L, "spawn: a function is expected, not %s",
                     luaL_typename(L, 1));
  (void)prg_task_spawn(L, lua_gettop(L) - 1);
  return 1;
}

/* The same for one that a host has run. */
static int push_hosted_end(lua_State *L, struct prg_task *t) {
  int i;
  t->joined = true;
  if (t->failed && t->nresults == 0)
    return prg_raise(L, prg_error_new(PRG_K_CLOSED,
                                      "the task has ended with what it ran "
                                      "in (a request, a timer)"));
  luaL_checkstack(L, t->nresults + 2, "results of a task");
  lua_getiuservalue(L, 1, 1);
  for (i = 1; i <= t->nresults; i++) lua_rawgeti(L, -i, i);
  return t->failed ? lua_error(L) : t->nresults;
}

/* Pushes copies of how the task at 1 ended; raises its error. */
static int push_end(lua_State *L, struct prg_task *t) {
  int i, top;
  if (t->hosted) return push_hosted_end(L, t);
  top = lua_gettop(t->co);
  luaL_checkstack(L, t->nresults + 1, "results of a task");
  if (!lua_checkstack(t->co, 1)) return luaL_error(L, "stack overflow");
  t->joined = true;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &failure_key);
  if (lua_istable(L, -1)) {
    lua_rawgeti(L, -1, 1);
    if (lua_touserdata(L, -1) == t->id) {
      lua_pushnil(L);
      lua_rawsetp(L, LUA_REGISTRYINDEX, &failure_key);
    }
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  for (i = top - t->nresults + 1; i <= top; i++) {
    lua_pushvalue(t->co, i);
    lua_xmove(t->co, L, 1);
  }
  return t->failed ? lua_error(L) : t->nresults;
}

static int join_step(lua_State *L, struct prg_op *op) {
  struct prg_task *t = op->data;
  if (t->state == PRG_TASK_DEAD) {
    prg_op_drop(op);
    return push_end(L, t);
  }
  if (prg_now() >= op->due) {
    prg_op_drop(op);
    return prg_raise(
        L, prg_error_new(PRG_K_TIMEOUT, "the time of perigee.timeout is over"));
  }
  if (op->gate_list == NULL) {
    prg_op_queue(op, &t->joiners);
  }
  return PRG_PENDING;
}

static void on_op_timer(struct prg_timer *timer) {
  prg_op_wake(PRG_CONTAINER(timer, struct prg_op, timer));
}

void prg_op_set_timer(struct prg_op *op) {
  op->timer.fn = on_op_timer;
  if (op->due != PRG_NEVER)
    prg_timer_set(op->task->G->hub, &op->timer, op->due);
}

/* task:join() -> results of its function; raises its error */
static int task_join(lua_State *L) {
  struct prg_op *op = prg_op_resumed(L, join_step);
  struct prg_task *t = check_task(L, 1);
  if (op != NULL) return prg_op_run(L, op);
  if (t->state == PRG_TASK_DEAD) return push_end(L, t);
  if (t == prg_task_find(L)) return prg_usage(L, "a task cannot join itself");
  op = prg_op_begin(L, PRG_OP_JOIN, join_step, NULL);
  op->data = t;
  op->due = prg_op_due(op->task, PRG_NEVER);
  prg_op_set_timer(op);
  return prg_op_run(L, op);
}

/* task:cancel([error]) -> whether it was alive */
static int task_cancel(lua_State *L) {
  struct prg_task *t = check_task(L, 1);
  if (t->state == PRG_TASK_DEAD) {
    lua_pushboolean(L, 0);
    return 1;
  }
  prg_error_unref(t->cancel);
  if (lua_isnoneornil(L, 2))
    t->cancel = prg_error_new(PRG_K_CANCELLED, "the task was cancelled");
  else if (lua_type(L, 2) == LUA_TSTRING)
    t->cancel = prg_error_new(PRG_K_CANCELLED, "%s", lua_tostring(L, 2));
  else
    t->cancel = prg_error_from(L, 2);
  t->joined = true; /* asked for: no news to anybody */
  if (t->hosted && !t->started) {
    struct prg_error *e = t->cancel;
    t->cancel = NULL;
    lua_getiuservalue(L, 1, 1);
    prg_push_error(L, e);
    lua_rawseti(L, -2, 1);
    t->nresults = 1;
    prg_host_end_task(t);
  } else if (!t->started) {
    struct prg_error *e = t->cancel;
    t->cancel = NULL;
    prg_list_remove(&t->G->runnable, &t->link);
    lua_settop(t->co, 0);
    prg_push_error(L, e);
    lua_xmove(L, t->co, 1);
    t->nresults = 1;
    finish(L, t, true);
  } else if (t->shield == 0) {
    prg_op_wake(&t->op);
  }
  lua_pushboolean(L, 1);
  return 1;
}

/* task:status() -> "running" | "waiting" | "ready" | "done" | "failed" */
static int task_status(lua_State *L) {
  static const char *const names[] = {"ready", "waiting", "running"};
  struct prg_task *t = check_task(L, 1);
  if (t->state == PRG_TASK_DEAD)
    lua_pushstring(L, t->failed ? "failed" : "done");
  else
    lua_pushstring(L, names[t->state]);
  return 1;
}

static int task__tostring(lua_State *L) {
  struct prg_task *t = check_task(L, 1);
  lua_pushcfunction(L, task_status);
  lua_pushvalue(L, 1);
  lua_call(L, 1, 1);
  lua_pushfstring(L, "perigee.task: %p (%s)", (void *)t, lua_tostring(L, -1));
  return 1;
}

/* ---- sleep, deadlines, shields ------------------------------------------ */

static int sleep_step(lua_State *L, struct prg_op *op) {
  bool early = op->due < op->began + op->span;
  if (op->phase == PRG_PHASE_GATE) { /* also sleep(0) gives way to others */
    op->phase = PRG_PHASE_RUN;
    prg_op_set_timer(op);
    return PRG_PENDING;
  }
  if (prg_now() < op->due) {
    if (!prg_timer_is_set(&op->timer)) prg_op_set_timer(op);
    return PRG_PENDING;
  }
  prg_op_drop(op);
  if (early)
    return prg_raise(
        L, prg_error_new(PRG_K_TIMEOUT, "the time of perigee.timeout is over"));
  return 0;
}

/* Seconds at `i` as microseconds; usage on what is no time. */
int64_t prg_check_seconds(lua_State *L, int i, const char *what) {
  lua_Number s;
  if (lua_type(L, i) != LUA_TNUMBER)
    prg_usage(L, "%s: a number of seconds is expected, not %s", what,
              luaL_typename(L, i));
  s = lua_tonumber(L, i);
  if (!(s >= 0)) prg_usage(L, "%s: %.14g is not a time in seconds", what, s);
  if (s >= 9e12) return PRG_NEVER;
  return (int64_t)ceil(s * 1e6);
}

/* core.sleep(seconds) */
static int core_sleep(lua_State *L) {
  struct prg_op *op = prg_op_resumed(L, sleep_step);
  int64_t span;
  if (op != NULL) return prg_op_run(L, op);
  span = prg_check_seconds(L, 1, "sleep");
  op = prg_op_begin(L, PRG_OP_SLEEP, sleep_step, NULL);
  op->began = prg_now();
  op->span = span >= PRG_NEVER - op->began ? PRG_NEVER - op->began : span;
  op->due = prg_op_due(op->task, span);
  return prg_op_run(L, op);
}

/* core.deadline(seconds) -> the deadline before, for core.set_deadline */
static int core_deadline(lua_State *L) {
  struct prg_task *t = prg_task_current(L, prg_state_get(L));
  int64_t span = prg_check_seconds(L, 1, "timeout");
  int64_t now = prg_now();
  int64_t due = span >= PRG_NEVER - now ? PRG_NEVER : now + span;
  lua_pushnumber(L, (lua_Number)t->deadline);
  if (due < t->deadline) t->deadline = due;
  return 1;
}

/* core.set_deadline(what core.deadline gave) */
static int core_set_deadline(lua_State *L) {
  struct prg_task *t = prg_task_current(L, prg_state_get(L));
  lua_Number n = luaL_checknumber(L, 1);
  t->deadline = n >= 9.2e18 ? PRG_NEVER : (int64_t)n;
  return 0;
}

/* core.shield(on): cancel and timeout wait until the task is unshielded */
static int core_shield(lua_State *L) {
  struct prg_task *t = prg_task_find(L);
  if (t == NULL) return 0;
  if (lua_toboolean(L, 1))
    t->shield++;
  else if (t->shield > 0)
    t->shield--;
  return 0;
}

/* ---- the loop ----------------------------------------------------------- */

bool prg_task_failure(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &failure_key);
  if (!lua_istable(L, -1)) {
    lua_pop(L, 1);
    return false;
  }
  lua_pushnil(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &failure_key);
  lua_rawgeti(L, -1, 2);
  lua_remove(L, -2);
  return true;
}

void prg_task_cancel_all(lua_State *L) {
  int list;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &alive_key);
  lua_createtable(L, 0, 0);
  list = lua_gettop(L);
  lua_pushnil(L);
  while (lua_next(L, list - 1) != 0)
    lua_rawseti(L, list, (int)lua_rawlen(L, list) + 1);
  {
    int i, n = (int)lua_rawlen(L, list);
    for (i = 1; i <= n; i++) {
      lua_pushcfunction(L, task_cancel);
      lua_rawgeti(L, list, i);
      lua_call(L, 1, 0);
    }
  }
  lua_pop(L, 2);
}

static int loop_until_done(lua_State *L) {
  struct prg_task *first = lua_touserdata(L, 1);
  struct prg_state *G = first->G;
  bool cancelled = false;
  while (G->alive > 0) {
    if (G->interrupted) {
      G->interrupted = 0;
      prg_task_cancel_all(L);
    }
    if (first->state == PRG_TASK_DEAD && first->failed && !cancelled) {
      cancelled = true;
      prg_task_cancel_all(L);
    }
    if (G->alive == 0) break;
    prg_state_turn(L, G, PRG_NEVER);
  }
  return 0;
}

/* core.run(fn, ...): runs fn as a task, and every task spawned meanwhile, to
** the end; returns fn's results. An error of fn cancels the others. */
static int core_run(lua_State *L) {
  struct prg_state *G = prg_state_get(L);
  struct prg_task *t;
  int status;
  if (G->looping || G->current != NULL)
    return prg_usage(L, "perigee.run: a loop is running already");
  prg_state_own(L);
  lua_pushnil(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &failure_key);
  core_spawn(L); /* the task is at 1 now, and on top */
  t = check_task(L, 1);
  lua_settop(L, 1);
  /* Nothing may fail between the spawn and the call. */
  lua_rawgetp(L, LUA_REGISTRYINDEX, &loop_key);
  lua_pushvalue(L, 1);
  G->looping = true;
  status = lua_pcall(L, 1, 0, 0);
  if (status != LUA_OK && G->alive > 0) { /* no memory: the rest is cancelled */
    G->interrupted = 1;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &loop_key);
    lua_pushvalue(L, 1);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) lua_pop(L, 1);
  }
  G->looping = false;
  prg_host_ring_again(G);
  if (status != LUA_OK) return lua_error(L);
  if (!t->failed && prg_task_failure(L)) return lua_error(L);
  return push_end(L, t);
}

/* Pushes a task of ours that is alive. [-0, +1, -] */
static void push_userdata(lua_State *L, const struct prg_task *t) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &alive_key);
  lua_rawgetp(L, -1, t);
  lua_remove(L, -2);
}

/* core.adopt(co): a coroutine of the current task: its waits pass through */
static int core_adopt(lua_State *L) {
  struct prg_task *t;
  luaL_checktype(L, 1, LUA_TTHREAD);
  t = prg_task_find(L);
  if (t == NULL || t->co == NULL) return 0;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &alias_key);
  lua_pushvalue(L, 1);
  if (t->host != NULL) {
    lua_pushthread(L);
    lua_rawget(L, -3);
  } else {
    push_userdata(L, t);
  }
  lua_rawset(L, -3);
  return 0;
}

/* core.current() -> an identity of the running task, or nil */
static int core_current(lua_State *L) {
  struct prg_task *t = prg_task_find(L);
  if (t == NULL)
    lua_pushnil(L);
  else
    lua_pushlightuserdata(L, (void *)(uintptr_t)t->id);
  return 1;
}

/* core.can_wait() -> may the caller make a call that waits? */
static int core_can_wait(lua_State *L) {
  struct prg_task *t = prg_task_find(L);
  lua_pushboolean(L, t != NULL && prg_task_can_wait(L, t));
  return 1;
}

/* core.in_loop() -> does perigee.run run the caller? */
static int core_in_loop(lua_State *L) {
  const struct prg_state *G = prg_state_get(L);
  lua_pushboolean(L, G->looping || G->current != NULL);
  return 1;
}

/* core.is_parked(co): is it suspended in a wait that a host's park began? */
static int core_is_parked(lua_State *L) {
  const struct prg_task *t = prg_host_known(L);
  lua_pushboolean(L, t != NULL && t->op.kind != PRG_OP_NONE &&
                         t->op.parked == lua_tothread(L, 1));
  return 1;
}

/* core.interrupt(): as a signal handler would */
static int core_interrupt(lua_State *L) {
  struct prg_state *G = prg_state_get(L);
  G->interrupted = 1;
  prg_hub_interrupt(G->hub);
  return 0;
}

/* core.give_up(): the task goes on without the wait that it was to park for */
static int core_give_up(lua_State *L) {
  struct prg_task *t = prg_task_find(L);
  if (t == NULL) return 0;
  if (t->op.kind != PRG_OP_NONE) prg_op_drop(&t->op);
  prg_task_runs(t);
  return 0;
}

/* core.tasks() -> how many tasks have not ended */
static int core_tasks(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)prg_state_get(L)->alive);
  return 1;
}

static void set_registry_table(lua_State *L, const void *key,
                               const char *mode) {
  lua_createtable(L, 0, 0);
  if (mode != NULL) {
    lua_createtable(L, 0, 1);
    lua_pushstring(L, mode);
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
  }
  lua_rawsetp(L, LUA_REGISTRYINDEX, key);
}

/* now(): seconds of the clock that all time limits here are measured with. */
static int core_now(lua_State *L) {
  lua_pushnumber(L, (lua_Number)prg_now() / PRG_SECOND);
  return 1;
}

static const luaL_Reg task_methods[] = {{"join", task_join},
                                        {"cancel", task_cancel},
                                        {"status", task_status},
                                        {NULL, NULL}};

static const luaL_Reg functions[] = {
    {"spawn", core_spawn},       {"run", core_run},
    {"sleep", core_sleep},       {"now", core_now},
    {"deadline", core_deadline}, {"set_deadline", core_set_deadline},
    {"shield", core_shield},     {"adopt", core_adopt},
    {"current", core_current},   {"can_wait", core_can_wait},
    {"give_up", core_give_up},   {"interrupt", core_interrupt},
    {"tasks", core_tasks},       {"is_parked", core_is_parked},
    {"in_loop", core_in_loop},   {NULL, NULL}};

int prg_task_open(lua_State *L) {
  lua_pushcfunction(L, loop_until_done);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &loop_key);
#if !PRG_HAVE_YIELDK
  lua_pushcfunction(L, do_nothing);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &nothing_key);
#endif
  set_registry_table(L, &alive_key, NULL);
  set_registry_table(L, &alias_key, "k");
  luaL_newmetatable(L, TASK_MT);
  lua_pushliteral(L, TASK_MT);
  lua_setfield(L, -2, "__name");
  lua_pushcfunction(L, task__gc);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, task__tostring);
  lua_setfield(L, -2, "__tostring");
  lua_createtable(L, 0, 4);
  prg_set_functions(L, task_methods);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "__index");
  lua_setfield(L, -3, "task_methods");
  lua_pop(L, 1);
  prg_set_functions(L, functions);
  return 0;
}
