/*
** Listeners: what others NOTIFY, one by one. The connection is the handle's ear
** (pool/listen.h), which all its listeners share; a task waits for the next entry
** of its listener's queue.
*/
#include "bind/bind_int.h"

#include "base/clock.h"
#include "pool/listen.h"
#include "sql/quote.h"

#define LISTENER_MT "perigee.listener"
#define SILENCE (30 * PRG_SECOND) /* where check_after is not given */

/* Userdata. Its uservalue is the handle. */
struct listener {
  struct prg_listener base;
  struct prg_db *db;
  struct prg_op *op;      /* the wait in progress, or NULL */
  struct prg_news *taken; /* owned reference: being pushed */
};

static struct listener *check_listener(lua_State *L) {
  return luaL_checkudata(L, 1, LISTENER_MT);
}

static void on_news(struct prg_listener *base) {
  struct listener *l = PRG_CONTAINER(base, struct listener, base);
  if (l->op != NULL) prg_op_wake(l->op);
}

/* ---- waiting ------------------------------------------------------------ */

/* Of next(): the listener stays open when its task is cancelled. */
static void leave_wait(struct prg_op *op) {
  struct listener *l = op->data;
  op->data = NULL;
  if (l != NULL) l->op = NULL;
}

static void abandon_opening(struct prg_op *op) {
  struct listener *l = op->data;
  leave_wait(op);
  if (l != NULL) prg_listener_close(&l->base);
}

/* The wait is over and the listener stays. */
static void leave(struct prg_op *op) {
  leave_wait(op);
  prg_op_drop(op);
}

static struct prg_op *begin(lua_State *L, struct listener *l, int64_t span,
                            int (*step)(lua_State *, struct prg_op *),
                            void (*abandon)(struct prg_op *)) {
  struct prg_op *op;
  if (l->op != NULL)
    prg_usage(L, "another task waits for a notification of this listener");
  op = prg_op_begin(L, PRG_OP_LISTEN, step, abandon);
  op->db = l->db;
  op->data = l;
  op->due = prg_op_due(op->task, span);
  l->op = op;
  prg_op_set_timer(op);
  return op;
}

/* Raises the error with which it has ended, if any; once. [-0, +0, e] */
static void raise_end(lua_State *L, struct listener *l) {
  struct prg_error *e = l->base.error;
  l->base.error = NULL;
  if (e != NULL) prg_raise(L, e);
}

static int push_news(lua_State *L, struct listener *l) {
  const struct prg_notify *n = &l->taken->what;
  lua_createtable(L, 0, 3);
  lua_pushlstring(L, n->channel.p, n->channel.n);
  lua_setfield(L, -2, "channel");
  lua_pushlstring(L, n->payload.p, n->payload.n);
  lua_setfield(L, -2, "payload");
  lua_pushinteger(L, (lua_Integer)n->pid);
  lua_setfield(L, -2, "pid");
  prg_news_unref(l->taken);
  l->taken = NULL;
  return 1;
}

static int push_gap(lua_State *L) {
  lua_createtable(L, 0, 1);
  lua_pushboolean(L, 1);
  lua_setfield(L, -2, "gap");
  return 1;
}

static int next_step(lua_State *L, struct prg_op *op) {
  struct listener *l = op->data;
  if (l == NULL) { /* it was collected */
    prg_op_drop(op);
    return 0;
  }
  prg_news_unref(l->taken); /* memory was short when it was pushed */
  l->taken = NULL;
  switch (prg_listener_next(&l->base, &l->taken)) {
    case PRG_HEARD_NEWS:
      leave(op);
      return push_news(L, l);
    case PRG_HEARD_GAP:
      leave(op);
      return push_gap(L);
    case PRG_HEARD_NOTHING:
      break;
  }
  if (l->base.ear == NULL) {
    leave(op);
    raise_end(L, l);
    return 0;
  }
  if (prg_now() < op->due) return PRG_PENDING;
  leave(op);
  return prg_raise(
      L, prg_error_new(PRG_K_TIMEOUT, "the time of perigee.timeout is over"));
}

/* listener:next() -> { channel, payload, pid } or { gap = true }; nothing when it
** was closed */
static int listener_next(lua_State *L) {
  struct prg_op *op = prg_op_resumed(L, next_step);
  struct listener *l;
  if (op != NULL) return prg_op_run(L, op);
  l = check_listener(L);
  lua_settop(L, 1);
  if (l->base.ear != NULL && prg_ear_is_forked(l->base.ear))
    return prg_usage(L,
                     "this listener was opened before a fork, and hears what "
                     "the parent process hears; open one in the child");
  return prg_op_run(L, begin(L, l, PRG_NEVER, next_step, leave_wait));
}

/* ---- opening ------------------------------------------------------------ */

static int ready_step(lua_State *L, struct prg_op *op) {
  struct listener *l = op->data;
  if (l == NULL) {
    prg_op_drop(op);
    return 0;
  }
  if (l->base.ear != NULL && l->base.ready) {
    leave(op);
    return 0;
  }
  if (l->base.ear != NULL && prg_now() < op->due) return PRG_PENDING;
  leave(op);
  raise_end(L, l);
  if (l->base.ear == NULL)
    return prg_raise(L, prg_error_new(PRG_K_CLOSED, "the handle is closed"));
  prg_listener_close(&l->base);
  return prg_raise(
      L, prg_error_new(PRG_K_TIMEOUT, "the server did not listen in time"));
}

/* core.listener_ready(listener): waits until what is sent from now on is heard */
static int core_listener_ready(lua_State *L) {
  struct prg_op *op = prg_op_resumed(L, ready_step);
  struct listener *l;
  if (op != NULL) return prg_op_run(L, op);
  l = check_listener(L);
  lua_settop(L, 1);
  op = begin(L, l, l->db->acquire_timeout, ready_step, abandon_opening);
  return prg_op_run(L, op);
}

/* The name at the top of the stack, where it is, and quoted into *space. */
static struct prg_channel_name read_name(lua_State *L, struct prg_db *db,
                                         char **space) {
  struct prg_channel_name c;
  struct prg_error *err = NULL;
  struct prg_buf b;
  c.name.p = luaL_checklstring(L, -1, &c.name.n);
  prg_buf_init(&b, 0);
  if (prg_quote_ident(db->dialect, &b, c.name.p, c.name.n, &err) != PRG_OK) {
    prg_buf_fini(&b);
    prg_raise(L, err);
  }
  c.quoted.p = memcpy(*space, b.data, b.len);
  c.quoted.n = b.len;
  *space += b.len;
  prg_buf_fini(&b);
  return c;
}

/* The names of the list at 2; pushes what they are in. [-0, +1, e] */
static struct prg_channel_name *read_names(lua_State *L, struct prg_db *db,
                                           size_t n) {
  struct prg_channel_name *names;
  size_t size = 0;
  char *space;
  for (size_t i = 1; i <= n; i++) {
    lua_rawgeti(L, 2, (int)i);
    size += 2 * lua_rawlen(L, -1) + 2; /* every character doubled, and quotes */
    lua_pop(L, 1);
  }
  names = lua_newuserdatauv(L, n * sizeof *names + size, 0);
  space = (char *)(names + n);
  for (size_t i = 0; i < n; i++) {
    lua_rawgeti(L, 2, (int)i + 1);
    names[i] = read_name(L, db, &space);
    lua_pop(L, 1); /* the list has it */
  }
  return names;
}

/* The handle's ear, which is this process's. [-0, +0, e] */
static struct prg_ear *ear_of(lua_State *L, struct prg_db *db) {
  struct prg_ear_options o;
  const struct prg_config *config = prg_pool_config(db->pool);
  if (db->ear != NULL && prg_ear_is_forked(db->ear)) prg_db_deafen(db);
  if (db->ear != NULL) return db->ear;
  o.connect_timeout = config->connect_timeout;
  o.silence = SILENCE;
  prg_push_env(L, 1);
  lua_getfield(L, -1, "check_after");
  if (!lua_isnil(L, -1)) o.silence = prg_check_seconds(L, -1, "check_after");
  lua_pop(L, 2);
  if (o.silence < PRG_SECOND) o.silence = PRG_SECOND;
  db->ear = prg_ear_new(db->G->hub, db->driver, config, &o);
  if (db->ear == NULL) prg_raise(L, prg_error_oom());
  return db->ear;
}

void prg_db_deafen(struct prg_db *db) {
  struct prg_ear *ear = db->ear;
  struct prg_error *why = NULL;
  db->ear = NULL;
  if (ear != NULL && prg_ear_is_forked(ear))
    why = prg_error_new(PRG_K_USAGE,
                        "this listener was opened before a fork, and is the "
                        "parent process's");
  prg_ear_free(ear, why);
}

void prg_db_rehear(struct prg_db *db) {
  if (db->ear != NULL && !prg_ear_is_forked(db->ear)) prg_ear_evict(db->ear);
}

/* core.can_notify(x) -> does the database know LISTEN and NOTIFY? */
static int core_can_notify(lua_State *L) {
  struct prg_exec *x;
  const struct prg_db *db = prg_exec_resolve(L, &x);
  lua_pushboolean(L, (db->driver->features & PRG_F_NOTIFY) != 0);
  return 1;
}

/* core.listener(db, { name, … }, max_pending) -> listener, which is not ready yet.
** The names are different from each other. */
static int core_listener(lua_State *L) {
  struct prg_db *db = prg_db_check(L, 1);
  const struct prg_channel_name *names;
  struct listener *l;
  struct prg_ear *ear;
  size_t n;
  prg_db_check_usable(L, db);
  (void)prg_op_check(L);
  if (prg_pool_is_closed(db->pool))
    return prg_raise(L, prg_error_new(PRG_K_CLOSED, "the handle is closed"));
  luaL_checktype(L, 2, LUA_TTABLE);
  n = lua_rawlen(L, 2);
  l = lua_newuserdatauv(L, sizeof *l, 1);
  memset(l, 0, sizeof *l);
  prg_list_init(&l->base.queue);
  l->db = db;
  l->base.wake = on_news;
  l->base.max_pending = (size_t)luaL_checkinteger(L, 3);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  luaL_getmetatable(L, LISTENER_MT);
  lua_setmetatable(L, -2);
  names = read_names(L, db, n);
  ear = ear_of(L, db);
  if (prg_listener_open(ear, &l->base, names, n) != PRG_OK)
    return prg_raise(L, prg_error_oom());
  lua_pop(L, 1);
  return 1;
}

/* ---- the end ------------------------------------------------------------ */

static void end_listener(struct listener *l) {
  prg_listener_close(&l->base);
  if (l->op != NULL) prg_op_wake(l->op);
}

/* listener:close(): what is in its queue is forgotten; fine twice */
static int listener_close(lua_State *L) {
  end_listener(check_listener(L));
  return 0;
}

static int listener__gc(lua_State *L) {
  struct listener *l = check_listener(L);
  if (l->op != NULL) l->op->data = NULL;
  end_listener(l);
  l->op = NULL;
  prg_news_unref(l->taken);
  l->taken = NULL;
  return 0;
}

static const luaL_Reg methods[] = {
    {"next", listener_next}, {"close", listener_close}, {NULL, NULL}};

static const luaL_Reg functions[] = {{"listener", core_listener},
                                     {"listener_ready", core_listener_ready},
                                     {"can_notify", core_can_notify},
                                     {NULL, NULL}};

int prg_listen_open(lua_State *L) {
  luaL_newmetatable(L, LISTENER_MT);
  lua_pushliteral(L, LISTENER_MT);
  lua_setfield(L, -2, "__name");
  lua_pushcfunction(L, listener__gc);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, listener_close);
  lua_setfield(L, -2, "__close");
  lua_createtable(L, 0, 2);
  prg_set_functions(L, methods);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "__index");
  lua_setfield(L, -3, "listener_methods");
  lua_setfield(L, -2, "listener_mt");
  prg_set_functions(L, functions);
  return 0;
}
