/*
** The leaf waits. An operation starts, steps until it has its results, and
** parks in between; prg_op_run is the one place that parks: on Lua 5.3 and
** later by lua_yieldk, in a script without a loop by running the loop until the
** operation is over, on LuaJIT by handing the wait to the loop in wait.lua.
*/
#include "bind/host_int.h"

#include <stdio.h>

#include "base/clock.h"

#define MANY_EARLY 100 /* returns of a host's park that nothing asked for */
#define QUICK_TIME (2 * PRG_MS) /* without a wait; then others have a turn */

const char prg_mark_park = 0;
const char prg_mark_pending = 0;

void prg_op_leave(struct prg_op *op) {
  struct prg_list *list = op->gate_list;
  if (list == NULL) return;
  prg_list_remove(list, &op->gate);
  op->gate_list = NULL;
  prg_op_wake_first(list);
}

void prg_op_drop(struct prg_op *op) {
  void (*abandon)(struct prg_op *) = op->abandon;
  op->kind = PRG_OP_NONE;
  op->parked = NULL;
  op->woken = false;
  prg_op_leave(op);
  prg_timer_clear(op->task->G->hub, &op->timer);
  if (abandon != NULL) abandon(op);
  op->abandon = NULL;
}

void prg_op_wake(struct prg_op *op) {
  struct prg_task *t = op->task;
  if (op->kind == PRG_OP_NONE) return;
  op->woken = true;
  if (t->co == NULL || t->state != PRG_TASK_WAITING) return;
  if (t->host != NULL) {
    prg_host_wake(t);
    return;
  }
  t->state = PRG_TASK_RUNNABLE;
  prg_list_push_back(&t->G->runnable, &t->link);
  if (t->carrier != NULL)
    prg_op_wake(&t->carrier->op);
  else
    prg_host_kick(t->G);
}

void prg_op_queue(struct prg_op *op, struct prg_list *list) {
  op->gate_list = list;
  prg_list_push_back(list, &op->gate);
}

void prg_op_wake_first(struct prg_list *list) {
  struct prg_link *k = prg_list_first(list);
  if (k != NULL) prg_op_wake(PRG_CONTAINER(k, struct prg_op, gate));
}

void prg_op_wake_all(struct prg_list *list) {
  struct prg_link *k;
  while ((k = prg_list_pop_front(list)) != NULL) {
    struct prg_op *op = PRG_CONTAINER(k, struct prg_op, gate);
    op->gate_list = NULL;
    prg_op_wake(op);
  }
}

int64_t prg_op_due_at(const struct prg_task *t, int64_t now, int64_t span) {
  int64_t due = span >= PRG_NEVER - now ? PRG_NEVER : now + span;
  return t->shield == 0 && t->deadline < due ? t->deadline : due;
}

int64_t prg_op_now(struct prg_op *op) {
  if (op->now == 0) op->now = prg_now();
  return op->now;
}

int64_t prg_op_due(const struct prg_task *t, int64_t span) {
  return prg_op_due_at(t, span == PRG_NEVER ? 0 : prg_now(), span);
}

static int raise_cancel(lua_State *L, struct prg_task *t) {
  struct prg_error *e = t->cancel;
  t->cancel = NULL;
  if (t->op.kind != PRG_OP_NONE) prg_op_drop(&t->op);
  return prg_raise(L, e);
}

static struct prg_task *check(lua_State *L, struct prg_state *G) {
  struct prg_task *t = prg_task_current(L, G);
  if (!prg_task_can_wait(L, t))
    prg_usage(
        L,
        "this call has to wait, and the running function cannot be "
        "suspended here (a callback of table.sort, string.gsub or another "
        "C function): make the call outside of it");
  if (t->busy)
    prg_usage(L,
              "a hook or codec cannot make calls itself: it runs inside of "
              "one; perigee.spawn a task for them");
  /* The main task is never yieldable: look for a call in progress. */
  if (t->co == NULL && t->op.kind != PRG_OP_NONE && prg_in_function(L))
    prg_usage(L,
              "a finaliser that runs in the middle of a call cannot make "
              "calls itself; perigee.spawn a task for them");
  return t;
}

struct prg_task *prg_op_check(lua_State *L) {
  return check(L, prg_state_get(L));
}

struct prg_op *prg_op_begin_in(lua_State *L, struct prg_state *G,
                               enum prg_op_kind kind,
                               int (*step)(lua_State *, struct prg_op *),
                               void (*abandon)(struct prg_op *)) {
  struct prg_task *t = check(L, G);
  struct prg_op *op = &t->op;
  /* An operation that raised in its last step left its parts here. */
  if (op->kind != PRG_OP_NONE) prg_op_drop(op);
  prg_task_runs(t);
  if (t->cancel != NULL && t->shield == 0) raise_cancel(L, t);
  op->kind = kind;
  op->phase = PRG_PHASE_GATE;
  op->step = step;
  op->abandon = abandon;
  op->task = t;
  op->woken = false;
  op->parked = NULL;
  op->early = 0;
  op->borrowing = false;
  op->begins = NULL;
  op->begin_sql = NULL;
  op->lead = NULL;
  op->db = NULL;
  op->exec = NULL;
  op->slot = NULL;
  op->req = NULL;
  op->direct.stmt = NULL;
  op->result = NULL;
  op->sql = NULL;
  op->data = NULL;
  op->setup = NULL;
  op->setup_lease = NULL;
  op->class = 0;
  op->now = 0;
  prg_arena_reset(&op->arena);
  return op;
}

struct prg_op *prg_op_begin(lua_State *L, enum prg_op_kind kind,
                            int (*step)(lua_State *, struct prg_op *),
                            void (*abandon)(struct prg_op *)) {
  prg_state_own(L);
  return prg_op_begin_in(L, prg_state_get(L), kind, step, abandon);
}

/* A task whose calls are all answered at once (SQLite) would keep the others
** from running: after a while it gives way before its next call. */
static bool gives_way(struct prg_op *op) {
  struct prg_task *t = op->task;
  int64_t now;
  if (!t->quick || t->co == NULL) return false;
  now = prg_op_now(op);
  if (t->quick_since == 0) t->quick_since = now;
  if (now - t->quick_since < QUICK_TIME) return false;
  if (prg_call_keep(op) != PRG_OK) return false;
  t->quick = false;
  t->quick_since = 0;
  prg_op_wake(op);
  return true;
}

/* One step, unless the task was cancelled. */
static int step(lua_State *L, struct prg_op *op) {
  struct prg_task *t = op->task;
  int n;
  op->woken = false;
  if (t->cancel != NULL && t->shield == 0) return raise_cancel(L, t);
  if (gives_way(op)) {
    op->now = 0;
    return PRG_PENDING;
  }
  n = op->step(L, op);
  if (n == PRG_PENDING) {
    op->now = 0;
    t->waited = true;
    t->quick_since = 0;
  } else {
    t->quick = !t->waited;
    t->waited = false;
  }
  return n;
}

/* No loop to give way to: the hub is run right here. */
static int block(lua_State *L, struct prg_op *op) {
  struct prg_state *G = op->task->G;
  int n;
  do {
    while (!op->woken) {
      if (G->interrupted) {
        G->interrupted = 0;
        prg_op_drop(op);
        prg_host_ring_again(G);
        return prg_raise(L, prg_error_new(PRG_K_CANCELLED, "interrupted"));
      }
      prg_state_turn(L, G, PRG_NEVER);
    }
    prg_host_ring_again(G);
    n = step(L, op);
  } while (n == PRG_PENDING);
  return n;
}

/* The task is about to be suspended. What has woken it meanwhile, as it does to
** give way, shall not keep it from having been suspended. */
static void begin_park(lua_State *L, struct prg_op *op) {
  struct prg_task *t = op->task;
  op->parked = L;
  t->state = PRG_TASK_WAITING;
  if (op->woken && t->host != NULL) prg_host_wake_later(t);
}

/* A host's park has returned, maybe too early. Is the wait over? A host that
** never suspends, or watches nothing, still gets on: the hub is run here then. */
static bool is_woken_in_host(struct prg_op *op, unsigned *early) {
  struct prg_state *G = op->task->G;
  if (op->woken || G->hub == NULL) return op->woken;
  (void)prg_hub_run(G->hub, ++*early > MANY_EARLY ? PRG_MS : 0);
  prg_host_ring_again(G);
  return op->woken;
}

#if PRG_HAVE_YIELDK

static int park(lua_State *L, struct prg_op *op);

/* After a park in a host: goes on, and parks as often as it takes. */
static int resumed_in_host(lua_State *L, int status, lua_KContext ctx) {
  struct prg_task *t = (struct prg_task *)ctx;
  unsigned early = 0;
  for (;;) {
    if (t->op.kind == PRG_OP_NONE || t->op.parked != L)
      return prg_usage(L, "the wait in this coroutine was given up");
    if (status != LUA_OK && status != LUA_YIELD) {
      prg_op_drop(&t->op);
      prg_task_runs(t);
      return lua_error(L);
    }
    if (is_woken_in_host(&t->op, &early)) {
      int n;
      prg_task_runs(t);
      t->op.parked = NULL;
      n = step(L, &t->op);
      if (n != PRG_PENDING) return n;
    }
    begin_park(L, &t->op);
    prg_host_push_park(L, t);
    status = lua_pcallk(L, 1, 0, 0, ctx, resumed_in_host);
  }
}

static int park_in_host(lua_State *L, struct prg_op *op) {
  lua_KContext ctx = (lua_KContext)op->task;
  begin_park(L, op);
  prg_host_push_park(L, op->task);
  return resumed_in_host(L, lua_pcallk(L, 1, 0, 0, ctx, resumed_in_host), ctx);
}

/* Whoever resumes the coroutine may be another task, or later than the wait. */
static int resumed(lua_State *L, int status, lua_KContext ctx) {
  struct prg_task *t = ((struct prg_state *)ctx)->current;
  int n;
  (void)status;
  if (t == NULL || t->op.parked != L)
    return prg_usage(L, "the wait in this coroutine was given up");
  t->op.parked = NULL;
  n = step(L, &t->op);
  return n != PRG_PENDING ? n : park(L, &t->op);
}

static int park(lua_State *L, struct prg_op *op) {
  begin_park(L, op);
  lua_pushlightuserdata(L, (void *)(uintptr_t)&prg_mark_park);
  return lua_yieldk(L, 1, (lua_KContext)op->task->G, resumed);
}

int prg_op_run(lua_State *L, struct prg_op *op) {
  int n = step(L, op);
  if (n != PRG_PENDING) return n;
  if (op->task->co == NULL) return block(L, op);
  return op->task->host != NULL ? park_in_host(L, op) : park(L, op);
}

#else

/* The mark, and what wait.lua is to call for the park: function, argument. */
static int push_pending(lua_State *L, const struct prg_task *t) {
  lua_pushlightuserdata(L, (void *)(uintptr_t)&prg_mark_pending);
  if (t->host == NULL) return 1;
  prg_host_push_park(L, t);
  return 3;
}

int prg_op_run(lua_State *L, struct prg_op *op) {
  struct prg_task *t = op->task;
  int n = PRG_PENDING;
  if (op->parked == NULL || t->host == NULL ||
      is_woken_in_host(op, &op->early)) {
    op->early = 0;
    op->parked = NULL;
    prg_task_runs(t);
    n = step(L, op);
  }
  if (n != PRG_PENDING) return n;
  if (t->co == NULL) return block(L, op);
  begin_park(L, op);
  return push_pending(L, t);
}

#endif

struct prg_op *prg_op_resumed(lua_State *L,
                              int (*step_fn)(lua_State *, struct prg_op *)) {
#if PRG_HAVE_YIELDK
  (void)L;
  (void)step_fn;
#else
  struct prg_task *t;
  /* A finaliser that runs between two calls of the loop is none of them. */
  if (!lua_isyieldable(L)) return NULL;
  t = prg_task_running(L, prg_state_get(L));
  if (t != NULL && t->op.parked == L && t->op.kind != PRG_OP_NONE &&
      t->op.step == step_fn)
    return &t->op;
#endif
  return NULL;
}
