/* What one Lua state has: the hub, the tasks that can go on, the main task. */
#include "bind/host_int.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/process.h"

static const char state_key = 0; /* registry: the userdata */

struct state_box {
  struct prg_state state;
  struct prg_task main;
};

struct prg_state *prg_state_get(lua_State *L) {
  struct prg_state *G;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &state_key);
  G = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return G;
}

lua_State *prg_state_interrupt(struct prg_state *G, lua_State *L) {
  const struct prg_task *t = G->current;
  G->interrupted = 1;
  prg_hub_interrupt(G->hub);
  if (t != NULL) return t->co;
  return G->looping || G->main->op.kind != PRG_OP_NONE ? NULL : L;
}

void prg_state_calm(struct prg_state *G) {
  G->interrupted = 0;
}

static void leave_hosts(struct prg_state *G) {
  struct prg_link *k;
  for (k = prg_list_first(&G->hosts); k != NULL;
       k = prg_list_next(&G->hosts, k)) {
    struct prg_host *h = PRG_CONTAINER(k, struct prg_host, link);
    if (h->leave != NULL) h->leave(h);
  }
}

void prg_state_own(lua_State *L) {
  struct prg_state *G = prg_state_get(L);
  struct prg_error *err = NULL;
  struct prg_hub *hub;
  if (G->hub == NULL) prg_usage(L, "the Lua state is being closed");
  if (G->pid == prg_pid()) return;
  /* What a call that raised in the parent has left behind. */
  if (G->main->op.kind != PRG_OP_NONE && !prg_in_function(L))
    prg_op_drop(&G->main->op);
  if (G->alive > 0 || G->main->op.kind != PRG_OP_NONE)
    prg_usage(
        L,
        "this process was forked inside of perigee.run: fork outside of it, or "
        "start another program");
  hub = prg_hub_new(&err);
  if (hub == NULL) prg_raise(L, err);
  leave_hosts(G);
  prg_hub_forget(G->hub);
  prg_hub_unref(G->hub); /* the pools of the parent's handles have theirs */
  G->hub = hub;
  G->pid = prg_pid();
}

static int state__gc(lua_State *L) {
  struct state_box *box = lua_touserdata(L, 1);
  struct prg_task *main = &box->main;
  if (box->state.hub == NULL) return 0;
  if (main->op.kind != PRG_OP_NONE) prg_op_drop(&main->op);
  prg_arena_fini(&main->op.arena);
  prg_error_unref(main->cancel);
  prg_error_unref(box->state.limbo);
  box->state.limbo = NULL;
  prg_emitter_free(box->state.emit);
  box->state.emit = NULL;
  leave_hosts(&box->state);
  prg_hub_unref(box->state.hub);
  box->state.hub = NULL;
  return 0;
}

int prg_state_open(lua_State *L) {
  struct prg_error *err = NULL;
  struct state_box *box = lua_newuserdatauv(L, sizeof *box, 0);
  memset(box, 0, sizeof *box);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, state__gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  prg_list_init(&box->state.runnable);
  prg_list_init(&box->state.tasks);
  prg_list_init(&box->state.woken);
  prg_list_init(&box->state.hosts);
  box->state.main = &box->main;
  box->state.pid = prg_pid();
  box->main.G = &box->state;
  box->main.id = (const void *)++box->state.last_id;
  box->main.state = PRG_TASK_RUNNING;
  box->main.deadline = PRG_NEVER;
  box->main.op.task = &box->main;
  prg_list_init(&box->main.joiners);
  prg_list_init(&box->main.holdings);
  prg_arena_init(&box->main.op.arena);
  box->state.hub = prg_hub_new(&err);
  if (box->state.hub == NULL) return prg_raise(L, err);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &state_key);
  return 0;
}

/* Resumes the tasks that are runnable now; those that become so meanwhile have
** their turn after the hub was looked at, so that no task starves the others. */
void prg_state_resume(lua_State *L, struct prg_state *G) {
  size_t n = G->runnable.count;
  while (n-- > 0) {
    struct prg_link *k = prg_list_pop_front(&G->runnable);
    if (k == NULL) break;
    prg_task_resume(L, PRG_CONTAINER(k, struct prg_task, link));
  }
}

void prg_state_turn(lua_State *L, struct prg_state *G, int64_t wait_us) {
  /* What a call of the main task left behind must not keep a loop awake. */
  if (G->runnable.count > 0 || (G->main->op.woken && !G->looping)) wait_us = 0;
  if (prg_hub_run(G->hub, wait_us) == PRG_ERR) {
    if (G->main->op.kind != PRG_OP_NONE) prg_op_drop(&G->main->op);
    luaL_error(L, "perigee: waiting failed: the hub's descriptor is closed");
  }
  prg_state_resume(L, G);
}
