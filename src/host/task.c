/*
** Tasks and the loop. A task of the program's is a task of the built-in loop whose
** only function is task_body; when that is over, how it ended is in C, and Lua
** forgets it.
*/
#include "host/api_int.h"

#include <lauxlib.h>

#include "base/clock.h"
#include "base/mem.h"

enum { GRACE = 1000000 }; /* instructions of Perigee's own for a stopped task */

struct perigee_task {
  struct prg_link link;  /* in rt->tasks */
  struct prg_link end;   /* in rt->ended, while there is something to be done
                           about its end */
  perigee *rt;           /* NULL: freed */
  struct prg_task *task; /* its userdata is in Lua's registry under this
                            perigee_task; NULL: ended */
  bool began;
  bool done;      /* has ended */
  bool forgotten; /* the program has freed it */
  bool told;      /* `fn` was called */
  int64_t due;
  int grace;
  struct prg_arena arena; /* of the results */
  perigee_value *results;
  size_t nresults;
  perigee_error *error; /* owned */
  void (*fn)(perigee_task *t, void *data);
  void *data;
};

/* ---- its end ------------------------------------------------------------- */

static void free_task(perigee_task *t) {
  if (t->rt != NULL) {
    if (t->rt->waited == t) t->rt->waited = NULL;
    prg_list_remove(&t->rt->tasks, &t->link);
    if (prg_link_linked(&t->end)) prg_list_remove(&t->rt->ended, &t->end);
  }
  prg_arena_fini(&t->arena);
  perigee_error_free(t->error);
  prg_free(t);
}

/* The first error counts: cleaning up may bring more. */
static void fail(perigee_task *t, perigee_error *e) {
  if (t->error == NULL)
    t->error = e;
  else
    perigee_error_free(e);
}

/* It has ended; the program is told after the turn. */
static void end_task(perigee_task *t) {
  t->done = true;
  if (!prg_link_linked(&t->end)) prg_list_push_back(&t->rt->ended, &t->end);
}

/* The function has returned: true and results, or false and an error's fields,
** from 1 on. */
static void note_end(lua_State *L, perigee_task *t) {
  perigee *rt = t->rt;
  perigee_error *e = NULL;
  if (lua_toboolean(L, 1)) {
    t->results = prg__take(rt, L, 2, &t->nresults, &t->arena, &e);
    if (t->results == NULL) fail(t, e);
    return;
  }
  e = prg__problem_read(L, 2);
  if (rt->stop != PRG_STOP_NONE)
    prg__stopped(rt, rt->stop, e);
  else if (rt->starved && e->kind == PERIGEE_E_RESOURCE)
    prg__problem_becomes(e, PERIGEE_E_LIMIT,
                         "the scripts need more memory than they may have");
  fail(t, e);
}

/* A failure to tell of a failure; no memory of Lua's. */
static void note_failure(lua_State *L, perigee_task *t) {
  perigee *rt = t->rt;
  perigee_error *e = prg__problem(
      PERIGEE_E_RESOURCE, "%s",
      lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "out of memory");
  if (rt->stop != PRG_STOP_NONE)
    prg__stopped(rt, rt->stop, e);
  else if (rt->starved)
    prg__problem_becomes(e, PERIGEE_E_LIMIT,
                         "the scripts need more memory than they may have");
  fail(t, e);
}

static int p_note_end(lua_State *L) {
  perigee_task *t = lua_touserdata(L, lua_gettop(L));
  lua_pop(L, 1);
  note_end(L, t);
  return 0;
}

/* stack: what perigee.embed.run gave, or an error */
static int body_ended(lua_State *L, int status, lua_KContext ctx) {
  perigee_task *t = (perigee_task *)ctx;
  if (status == LUA_OK || status == LUA_YIELD) {
    lua_pushcfunction(L, p_note_end);
    lua_insert(L, 1);
    lua_pushlightuserdata(L, t);
    status = lua_pcall(L, lua_gettop(L) - 1, 0, 0);
  }
  if (status != LUA_OK && status != LUA_YIELD) note_failure(L, t);
  end_task(t);
  return 0;
}

/* stack: the task, its function, arguments */
static int task_body(lua_State *L) {
  perigee_task *t = lua_touserdata(L, 1);
  t->began = true;
  prg__push_part(L, "run");
  lua_replace(L, 1);
  lua_pushnumber(L, (lua_Number)t->due);
  lua_insert(L, 2);
  return body_ended(L,
                    lua_pcallk(L, lua_gettop(L) - 1, LUA_MULTRET, 0,
                               (lua_KContext)t, body_ended),
                    (lua_KContext)t);
}

/* ---- starting ------------------------------------------------------------ */

struct starting {
  perigee_task *t;
  const perigee_function *f;
  const perigee_value *args;
  size_t n;
};

static int p_start(lua_State *L) {
  struct starting *s = lua_touserdata(L, 1);
  size_t i;
  luaL_checkstack(L, (int)s->n + 8, "arguments");
  lua_pushcfunction(L, task_body);
  lua_pushlightuserdata(L, s->t);
  prg__function_push(L, s->f);
  for (i = 0; i < s->n; i++) prg__value_push(L, &s->args[i]);
  lua_pushlightuserdata(L, s->t); /* takes the place in the registry now */
  lua_rawsetp(L, LUA_REGISTRYINDEX, s->t);
  s->t->task = prg_embed_spawn(L, (int)s->n + 2, s->t);
  lua_rawsetp(L, LUA_REGISTRYINDEX, s->t);
  return 0;
}

static perigee_task *new_task(perigee *rt) {
  perigee_task *t = prg_calloc(1, sizeof *t);
  int64_t now = prg_now();
  if (t == NULL) return NULL;
  t->rt = rt;
  t->grace = GRACE;
  t->due = rt->span >= PRG_NEVER - now ? PRG_NEVER : now + rt->span;
  prg_arena_init(&t->arena);
  prg_list_push_back(&rt->tasks, &t->link);
  return t;
}

perigee_task *perigee_start(perigee_function *f, const perigee_value *args,
                            size_t n, perigee_error **err) {
  struct starting s = {NULL, f, args, n};
  const char *why = prg__values_check(args, n);
  perigee *rt;
  if (f == NULL) {
    prg__refuse(err, PERIGEE_E_USAGE, "perigee_start: the function is NULL");
    return NULL;
  }
  if (f->rt == NULL) {
    prg__refuse(err, PERIGEE_E_CLOSED, "perigee_start: the runtime is freed");
    return NULL;
  }
  rt = f->rt;
  if (!prg__usable(rt, "perigee_start", err)) return NULL;
  if (why != NULL) {
    prg__refuse(err, PERIGEE_E_USAGE, "perigee_start: %s", why);
    return NULL;
  }
  s.t = new_task(rt);
  if (s.t == NULL) {
    prg__refuse(err, PERIGEE_E_RESOURCE, "out of memory");
    return NULL;
  }
  if (!prg__protect(rt, p_start, &s, err)) {
    free_task(s.t);
    s.t = NULL;
  }
  (void)prg__was_freed(rt);
  return s.t;
}

/* ---- the turn ------------------------------------------------------------ */

static void before_turn(void *data, void *owner, int mark) {
  perigee *rt = data;
  const perigee_task *t = owner;
  rt->left = rt->budget > 0 && rt->budget < INT64_MAX ? (int64_t)rt->budget
                                                      : INT64_MAX - 1;
  rt->starved = false;
  if (rt->used < rt->limit - rt->limit / 8) rt->spare = 0;
  rt->due = t != NULL ? t->due : PRG_NEVER;
  if (rt->due != PRG_NEVER) rt->looked = prg_now();
  rt->stop = (enum prg_stop_why)mark;
  rt->grace = t != NULL ? t->grace : GRACE;
}

/* Lua has ended it, and it does not know: its function never began. */
static void note_given_up(perigee_task *t) {
  if (t->done || !prg_embed_ended(t->task)) return;
  fail(t, prg__problem(t->began ? PERIGEE_E_RESOURCE : PERIGEE_E_CANCELLED,
                       t->began ? "out of memory" : "the task was cancelled"));
  end_task(t);
}

static void after_turn(void *data, void *owner) {
  perigee *rt = data;
  perigee_task *t = owner;
  if (t != NULL) {
    note_given_up(t);
    t->grace = rt->grace;
  }
  rt->left = INT64_MAX;
  rt->stop = PRG_STOP_NONE;
}

static int p_cancel_all(lua_State *L) {
  prg_embed_cancel_all(L);
  return 0;
}

static int p_turn(lua_State *L) {
  int64_t wait_us = *(int64_t *)lua_touserdata(L, 1);
  struct prg_turns turns = {prg__runtime(L), before_turn, after_turn};
  if (!prg_embed_turn(L, &turns, wait_us))
    return luaL_error(L, "waiting failed: the descriptor is closed");
  return 0;
}

/* An error that a script's own task has left. */
static void log_failure(perigee *rt) {
  lua_State *L = rt->L;
  perigee_error *e;
  if (!lua_checkstack(L, 8) || !prg_embed_failure(L)) return;
  e = prg__pop_problem(rt);
  prg__log(rt, e->message);
  perigee_error_free(e);
}

/* Lua may have given a task up before it was done: without memory. */
static void find_ended(perigee *rt) {
  struct prg_link *k;
  for (k = prg_list_first(&rt->tasks); k != NULL;
       k = prg_list_next(&rt->tasks, k)) {
    perigee_task *t = PRG_CONTAINER(k, struct perigee_task, link);
    if (t->task != NULL && !t->done) note_given_up(t);
  }
}

static void settle(perigee *rt, perigee_task *t) {
  if (t->task != NULL) {
    t->task = NULL;
    lua_pushnil(rt->L);
    lua_rawsetp(rt->L, LUA_REGISTRYINDEX, t);
  }
  if (t->forgotten) {
    if (t->error != NULL && t->error->kind != PERIGEE_E_CANCELLED)
      prg__log(rt, t->error->message);
    free_task(t);
  } else if (t->fn != NULL && !t->told) {
    t->told = true;
    t->fn(t, t->data); /* may free the task */
  }
}

/* Tells the program of all that has ended. */
static void settle_all(perigee *rt) {
  struct prg_link *k;
  while ((k = prg_list_pop_front(&rt->ended)) != NULL)
    settle(rt, PRG_CONTAINER(k, struct perigee_task, end));
}

/* What frees memory must not need some of the limit. */
static bool protect_freely(perigee *rt, lua_CFunction fn, void *arg,
                           perigee_error **err) {
  size_t limit = rt->limit;
  bool ok;
  rt->limit = 0;
  ok = prg__protect(rt, fn, arg, err);
  rt->limit = limit;
  return ok;
}

/* Those that are cancelled need memory to clean up. At the limit every piece of it
** would cost a full collection. */
static bool cancel_all(perigee *rt, perigee_error **err) {
  bool ok = protect_freely(rt, p_cancel_all, NULL, err);
  rt->spare = rt->limit / 4;
  find_ended(rt); /* those that had not begun */
  return ok;
}

/* One turn, and what follows from it. */
static bool turn(perigee *rt, int64_t wait_us, perigee_error **err) {
  bool ok = true;
  rt->stepping = true;
  if (atomic_exchange(&rt->interrupted, 0) != 0) ok = cancel_all(rt, err);
  if (ok) ok = prg__protect(rt, p_turn, &wait_us, err);
  if (!ok) {
    after_turn(rt, NULL);
    find_ended(rt);
  }
  log_failure(rt);
  settle_all(rt);
  rt->stepping = false;
  return ok;
}

/* What perigee_step and its kin begin with. */
static bool may_turn(perigee *rt, const char *what, perigee_error **err) {
  if (!prg__usable(rt, what, err)) return false;
  if (!rt->stepping) return true;
  prg__refuse(err, PERIGEE_E_USAGE,
              "%s: called in a function that the runtime itself calls", what);
  return false;
}

int perigee_step(perigee *rt, perigee_error **err) {
  bool ok;
  if (!may_turn(rt, "perigee_step", err)) return -1;
  ok = turn(rt, 0, err);
  if (prg__was_freed(rt)) return 0;
  return ok ? (int)prg_embed_tasks(rt->state) : -1;
}

int perigee_fd(const perigee *rt) {
  if (rt == NULL || rt->L == NULL) return -1;
  return prg_embed_fd(rt->state);
}

/* The end of a wait that may take `seconds`. */
static int64_t end_of(double seconds) {
  return seconds < 0 ? PRG_NEVER : prg_due_in(seconds);
}

/* Turns until `ended`: 1; 0 when it is late, -1 with an error. */
static int turn_until(perigee *rt, bool (*ended)(const perigee *), int64_t due,
                      perigee_error **err) {
  while (!ended(rt)) {
    int64_t now = prg_now();
    bool late = now >= due;
    bool ok = turn(rt,
                   due == PRG_NEVER ? PRG_NEVER
                   : late           ? 0
                                    : due - now,
                   err);
    if (rt->free_soon) break;
    if (!ok) return -1;
    if (late) return ended(rt);
  }
  return 1;
}

static bool waited_ended(const perigee *rt) {
  return rt->waited == NULL || rt->waited->done;
}

static bool all_ended(const perigee *rt) {
  return prg_embed_tasks(rt->state) == 0;
}

int perigee_wait(perigee_task *t, double seconds, perigee_error **err) {
  perigee *rt;
  int result;
  if (t == NULL)
    return prg__refuse(err, PERIGEE_E_USAGE, "perigee_wait: the task is NULL");
  if (t->done) return 1;
  rt = t->rt;
  if (!may_turn(rt, "perigee_wait", err)) return -1;
  rt->waited = t;
  result = turn_until(rt, waited_ended, end_of(seconds), err);
  rt->waited = NULL;
  (void)prg__was_freed(rt);
  return result;
}

int perigee_wait_all(perigee *rt, double seconds, perigee_error **err) {
  int result;
  if (!may_turn(rt, "perigee_wait_all", err)) return -1;
  result = turn_until(rt, all_ended, end_of(seconds), err);
  (void)prg__was_freed(rt);
  return result;
}

void perigee_interrupt(perigee *rt) {
  if (rt == NULL || rt->L == NULL) return;
  atomic_store(&rt->interrupted, 1);
  prg_embed_ring(rt->state);
}

/* ---- one task ------------------------------------------------------------ */

int perigee_task_done(const perigee_task *t) {
  return t != NULL && t->done;
}

void perigee_task_on_done(perigee_task *t,
                          void (*fn)(perigee_task *t, void *data), void *data) {
  if (t == NULL) return;
  t->fn = fn;
  t->data = data;
  if (!t->done || t->rt == NULL || t->rt->L == NULL) return;
  end_task(t);
  prg_embed_ring(t->rt->state);
}

const perigee_value *perigee_task_results(const perigee_task *t, size_t *n) {
  bool some = t != NULL && t->done && t->error == NULL;
  if (n != NULL) *n = some ? t->nresults : 0;
  return some ? t->results : NULL;
}

const perigee_error *perigee_task_error(const perigee_task *t) {
  return t != NULL && t->done ? t->error : NULL;
}

int perigee_task_timeout(perigee_task *t, double seconds, perigee_error **err) {
  const char *why = NULL;
  if (t == NULL)
    why = "the task is NULL";
  else if (t->rt != NULL && !prg__usable(t->rt, "perigee_task_timeout", err))
    return -1;
  else if (t->began || t->done)
    why = "the task has begun";
  else if (!(seconds >= 0))
    why = "that is not a time";
  if (why != NULL)
    return prg__refuse(err, PERIGEE_E_USAGE, "perigee_task_timeout: %s", why);
  t->due = prg_due_in(seconds);
  return 0;
}

struct cancelling {
  perigee_task *t;
  const char *why;
};

static int p_cancel(lua_State *L) {
  const struct cancelling *c = lua_touserdata(L, 1);
  lua_rawgetp(L, LUA_REGISTRYINDEX, c->t);
  lua_getfield(L, -1, "cancel");
  lua_insert(L, -2);
  if (c->why != NULL)
    lua_pushstring(L, c->why);
  else
    lua_pushnil(L);
  lua_call(L, 2, 0);
  return 0;
}

int perigee_task_cancel(perigee_task *t, const char *why, perigee_error **err) {
  struct cancelling c = {t, why};
  perigee *rt;
  bool ok;
  if (t == NULL)
    return prg__refuse(err, PERIGEE_E_USAGE,
                       "perigee_task_cancel: the task is NULL");
  if (t->done) return 0;
  rt = t->rt;
  if (!prg__usable(rt, "perigee_task_cancel", err)) return -1;
  ok = protect_freely(rt, p_cancel, &c, err);
  if (prg__was_freed(rt) || !ok) return ok ? 0 : -1;
  if (!t->done && prg_embed_ended(t->task)) { /* it had not begun */
    fail(t, prg__problem(PERIGEE_E_CANCELLED, "%s",
                         why != NULL ? why : "the task was cancelled"));
    end_task(t);
  }
  prg_embed_ring(rt->state);
  return 0;
}

void perigee_task_free(perigee_task *t) {
  if (t == NULL) return;
  if (t->rt != NULL && t->task != NULL) {
    t->forgotten = true; /* freed when Lua has forgotten it */
    t->fn = NULL;
    if (t->rt->waited == t) t->rt->waited = NULL;
  } else {
    free_task(t);
  }
}

/* ---- the end of the runtime ---------------------------------------------- */

static int p_close_databases(lua_State *L) {
  double seconds = *(double *)lua_touserdata(L, 1);
  prg__push_part(L, "close");
  lua_pushnumber(L, seconds);
  (void)prg_embed_spawn(L, 1, NULL);
  return 0;
}

/* A turn after which everything is cancelled that goes on. */
static bool end_turn(perigee *rt, bool cancel) {
  int64_t now = prg_now();
  int64_t wait = rt->close_due - now;
  perigee_error *e = NULL;
  if (cancel && !cancel_all(rt, &e)) {
    perigee_error_free(e);
    return false;
  }
  if (!turn(rt, wait > 0 ? wait : 0, &e)) {
    perigee_error_free(e);
    return false;
  }
  return prg_now() < rt->close_due;
}

size_t prg__tasks_end(perigee *rt) {
  double seconds;
  perigee_error *e = NULL;
  while (!all_ended(rt) && end_turn(rt, true)) continue;
  if (!all_ended(rt)) return prg_embed_tasks(rt->state);
  seconds = (double)(rt->close_due - prg_now()) / PRG_SECOND;
  if (seconds < 0) seconds = 0;
  if (seconds > 1e9) seconds = 1e9;
  if (!prg__protect(rt, p_close_databases, &seconds, &e)) {
    perigee_error_free(e);
    return 1;
  }
  while (!all_ended(rt) && end_turn(rt, false)) continue;
  return prg_embed_tasks(rt->state);
}

void prg__tasks_close(perigee *rt) {
  struct prg_link *k;
  for (k = prg_list_first(&rt->tasks); k != NULL;
       k = prg_list_next(&rt->tasks, k)) {
    perigee_task *t = PRG_CONTAINER(k, struct perigee_task, link);
    t->task = NULL;
    if (t->done) continue;
    fail(t, prg__problem(PERIGEE_E_CLOSED, "the runtime was closed"));
    end_task(t);
  }
  rt->stepping = true;
  settle_all(rt);
  rt->stepping = false;
}

void prg__tasks_forget(perigee *rt) {
  struct prg_link *k;
  while ((k = prg_list_first(&rt->tasks)) != NULL) {
    perigee_task *t = PRG_CONTAINER(k, struct perigee_task, link);
    prg_list_remove(&rt->tasks, k);
    if (prg_link_linked(&t->end)) prg_list_remove(&rt->ended, &t->end);
    t->rt = NULL;
    t->task = NULL;
    if (!t->done) {
      fail(t, prg__problem(PERIGEE_E_CLOSED, "the runtime was freed"));
      t->done = true;
    }
    if (t->forgotten) free_task(t);
  }
}
