/* The built-in loop one turn at a time, for an application's own loop. */
#include "bind/bind_int.h"

#include "base/clock.h"

struct prg_state *prg_embed_open(lua_State *L) {
  struct prg_state *G = prg_state_get(L);
  G->looping = true; /* nothing blocks that is not a task */
  prg_hub_arm(G->hub, true);
  return G;
}

int prg_embed_fd(const struct prg_state *G) {
  return prg_hub_fd(G->hub);
}

size_t prg_embed_tasks(const struct prg_state *G) {
  return G->alive;
}

void prg_embed_ring(struct prg_state *G) {
  prg_hub_interrupt(G->hub);
}

struct prg_task *prg_embed_spawn(lua_State *L, int n, void *owner) {
  struct prg_task *t = prg_task_spawn(L, n);
  t->owner = owner;
  prg_hub_interrupt(t->G->hub);
  return t;
}

bool prg_embed_ended(const struct prg_task *t) {
  return t->state == PRG_TASK_DEAD;
}

void prg_embed_cancel_all(lua_State *L) {
  prg_task_cancel_all(L);
}

bool prg_embed_failure(lua_State *L) {
  return prg_task_failure(L);
}

void prg_embed_tame(struct prg_state *G) {
  G->tame = true;
}

void prg_embed_mark(struct prg_state *G, int mark) {
  if (G->current != NULL) G->current->mark = mark;
}

const void *prg_embed_key(const struct prg_state *G) {
  return G->current != NULL ? &G->current->mark : NULL;
}

bool prg_embed_turn(lua_State *L, const struct prg_turns *turns,
                    int64_t wait_us) {
  struct prg_state *G = prg_state_get(L);
  size_t n;
  if (G->runnable.count > 0) wait_us = 0;
  if (prg_hub_run(G->hub, wait_us) == PRG_ERR) return false;
  n = G->runnable.count;
  while (n-- > 0) {
    struct prg_link *k = prg_list_pop_front(&G->runnable);
    struct prg_task *t;
    void *owner;
    if (k == NULL) break;
    t = PRG_CONTAINER(k, struct prg_task, link);
    owner = t->owner;
    turns->before(turns->data, owner, t->mark);
    prg_task_resume(L, t); /* without an owner it may be gone by now */
    turns->after(turns->data, owner);
  }
  if (G->runnable.count > 0) prg_hub_interrupt(G->hub);
  return true;
}
