/*
** Connections and transactions in Lua's hands. An executor points at the lease
** of its connection; the blocks of one connection form a chain from the conn
** inwards. Which block a call runs in, and whom it has to wait for, is decided
** by prg_exec_pass_gate alone.
*/
#include "bind/bind_int.h"

#include "base/clock.h"
#include "base/mem.h"

#define EXEC_MT "perigee.exec"

static const char exec_magic = 0;
static const char execs_key = 0; /* registry: weak { [address] = userdata } */

struct prg_exec *prg_exec_test(lua_State *L, int i) {
  struct prg_exec *x = lua_touserdata(L, i);
  if (x == NULL || lua_islightuserdata(L, i) ||
      lua_rawlen(L, i) != sizeof(struct prg_exec) || x->magic != &exec_magic)
    return NULL;
  return x;
}

static struct prg_exec *check_exec(lua_State *L, int i) {
  struct prg_exec *x = prg_exec_test(L, i);
  if (x == NULL)
    prg_usage(L,
              "call it with a colon, x:verb(…): a database handle, connection "
              "or transaction is expected, not %s",
              luaL_typename(L, i));
  return x;
}

static const char *exec_name(const struct prg_exec *x) {
  return x->is_tx ? "transaction" : "connection";
}

/* ---- which block -------------------------------------------------------- */

static int raise_closed(lua_State *L, const struct prg_exec *x) {
  return prg_raise(
      L, prg_error_new(PRG_K_CLOSED, "this %s has ended", exec_name(x)));
}

static void check_own(lua_State *L, const struct prg_exec *x) {
  if (x != NULL && x->lease != NULL) prg_slot_check_own(L, x->lease->slot);
}

static struct prg_db *use(lua_State *L, const struct prg_exec *x) {
  if (!x->open) raise_closed(L, x);
  check_own(L, x);
  prg_db_check_usable(L, x->db);
  return x->db;
}

/* The block of the running task on this handle, or NULL. [-0, +0, e] */
static struct prg_exec *joined(lua_State *L, struct prg_db *db) {
  struct prg_task *t = prg_task_find_in(L, db->G);
  struct prg_exec *x;
  if (t == NULL) return NULL;
  prg_push_env(L, 1);
  lua_getfield(L, -1, "scopes");
  lua_rawgetp(L, -1, t->id);
  x = prg_exec_test(L, -1);
  if (x == NULL) { /* a block that every task joins (force_rollback) */
    lua_getfield(L, -2, "all");
    x = prg_exec_test(L, -1);
    lua_pop(L, 1);
  }
  lua_pop(L, 3);
  return x != NULL && x->db == db ? x : NULL;
}

struct prg_db *prg_exec_resolve(lua_State *L, struct prg_exec **exec) {
  struct prg_db *db;
  *exec = lua_rawlen(L, 1) == sizeof **exec ? prg_exec_test(L, 1) : NULL;
  if (*exec != NULL) return use(L, *exec);
  db = prg_db_test(L, 1);
  if (db != NULL) {
    prg_db_check_usable(L, db);
    if (db->scopes > 0) *exec = joined(L, db);
    check_own(L, *exec);
    return db;
  }
  prg_usage(
      L,
      "call it with a colon, x:query(…): a database handle, connection or "
      "transaction is expected, not %s",
      luaL_typename(L, 1));
  return NULL;
}

/* Still in the queue of a gate: woken by its timer, or for nothing. */
static int check_gate_time(lua_State *L, struct prg_op *op) {
  if (prg_now() < op->due) return PRG_PENDING;
  prg_op_drop(op);
  return prg_raise(
      L, prg_error_new(PRG_K_TIMEOUT,
                       "waited in vain for the end of a transaction that "
                       "another task has open on this connection"));
}

/* A block's own statements run also when it takes no more calls. */
static bool is_control(const struct prg_op *op) {
  return op->kind == PRG_OP_CALL && op->verb == PRG_VERB_CONTROL;
}

/* Nobody overtakes those who wait: what was called before the COMMIT runs before
** it, in whatever order the host lets tasks go on. */
static bool is_first(const struct prg_op *op, struct prg_exec *x) {
  const struct prg_link *first = prg_list_first(&x->gate);
  return first == NULL || first == &op->gate;
}

/* The block at whose gate a call on `x` has to wait, or NULL. */
static struct prg_exec *gate_of(const struct prg_op *op, struct prg_exec *x) {
  struct prg_exec *beginning;
  if (x->inner != NULL) return x;
  beginning = prg_exec_beginning(op, x);
  if (beginning != NULL) return beginning;
  return is_first(op, x) ? NULL : x;
}

int prg_exec_pass_gate(lua_State *L, struct prg_op *op) {
  struct prg_exec *x = op->exec, *wait;
  while (x->inner != NULL && x->inner->task == op->task->id) x = x->inner;
  if (x->lease->slot == NULL || (!x->open && !is_control(op))) {
    prg_op_drop(op);
    return raise_closed(L, x);
  }
  wait = gate_of(op, x);
  if (wait == NULL) {
    prg_op_leave(op);
    op->exec = x; /* not before: nothing keeps it while the operation waits */
    prg_timer_clear(op->task->G->hub, &op->timer);
    return 0;
  }
  if (op->gate_list == &wait->gate) return check_gate_time(L, op);
  prg_op_leave(op);
  prg_op_queue(op, &wait->gate);
  if (!prg_timer_is_set(&op->timer)) prg_op_set_timer(op);
  return PRG_PENDING;
}

/* ---- life --------------------------------------------------------------- */

void prg_lease_unref(struct prg_lease *l, struct prg_db *db) {
  if (l == NULL || --l->refs > 0) return;
  prg_unhold(&l->held);
  if (l->slot != NULL && db->pool != NULL) prg_pool_release(l->slot);
  prg_free(l);
}

/* The block ends: it takes no more calls, and those who wait go on. */
static void end_block(struct prg_exec *x) {
  x->open = false;
  prg_op_wake_all(&x->gate);
  if (x->parent != NULL && x->parent->inner == x) {
    x->parent->inner = NULL;
    prg_op_wake_first(&x->parent->gate);
  }
}

/* The collector found a connection that nobody gave back. */
static void note_leak(struct prg_exec *x) {
  const struct prg_slot *slot = x->lease->slot;
  struct prg_error *e;
  if (x->lease->refs > 1 || slot == NULL || x->db->pool == NULL) return;
  e = prg_error_new(
      PRG_K_USAGE, "a %s was dropped without being ended; it was taken at %s",
      exec_name(x),
      slot->where != NULL && slot->where[0] != '\0' ? slot->where
                                                    : "an unknown place");
  prg_db_note(x->db, e);
}

/* A transaction that changed the schema is given up without a ROLLBACK of ours:
** the pool undoes it. The executor is at 1. */
static void note_undone(lua_State *L, struct prg_exec *x) {
  if (!x->ddl) return;
  x->ddl = false;
  prg_db_note_ddl(L);
}

static int exec__gc(lua_State *L) {
  struct prg_exec *x = check_exec(L, 1); /* a script can call it */
  struct prg_lease *lease = x->lease;
  if (lease == NULL) return 0;
  note_leak(x);
  x->db->scopes -= x->scopes;
  prg_exec_forget_begin(x);
  x->lease = NULL;
  end_block(x);
  if (x->inner != NULL && x->inner->parent == x) x->inner->parent = NULL;
  x->parent = NULL;
  prg_lease_unref(lease, x->db);
  note_undone(L, x);
  return 0;
}

/* Pushes an executor that is not open yet. [-0, +1, m] */
static struct prg_exec *push_exec(lua_State *L, struct prg_db *db) {
  struct prg_exec *x = lua_newuserdatauv(L, sizeof *x, 1);
  memset(x, 0, sizeof *x);
  x->magic = &exec_magic;
  x->db = db;
  prg_list_init(&x->gate);
  luaL_getmetatable(L, EXEC_MT);
  lua_setmetatable(L, -2);
  lua_createtable(L, 2, 4);
  lua_setiuservalue(L, -2, 1);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &execs_key);
  lua_pushvalue(L, -2);
  lua_rawsetp(L, -2, x);
  lua_pop(L, 1);
  return x;
}

/* Sets [n] of the uservalue of the executor on top to the value at `i`. */
static void anchor(lua_State *L, int n, int i) {
  lua_getiuservalue(L, -1, 1);
  lua_pushvalue(L, i);
  lua_rawseti(L, -2, n);
  lua_pop(L, 1);
}

/* ---- acquire ------------------------------------------------------------ */

/* Is it a function of lua/perigee/? */
static bool is_ours(const struct prg_state *G, const lua_Debug *ar) {
  size_t n = strlen(G->own_source);
  return n > 0 && strncmp(ar->source, G->own_source, n) == 0;
}

/* Adds as much of a text as there is room for; its new length. Without the C
** library's formatting, which would be most of what taking a connection costs. */
static size_t add_text(char *out, size_t size, size_t n, const char *text) {
  size_t len = strlen(text), room = size - 1 - n;
  if (len > room) len = room;
  memcpy(out + n, text, len);
  out[n + len] = '\0';
  return n + len;
}

static size_t add_caller(char *out, size_t size, size_t n,
                         const lua_Debug *ar) {
  char digits[16], *p = digits + sizeof digits - 1;
  *p = '\0';
  for (int line = ar->currentline; line > 0; line /= 10)
    *--p = (char)('0' + line % 10);
  *--p = ':';
  if (n > 0) n = add_text(out, size, n, " < ");
  n = add_text(out, size, n, ar->short_src);
  return add_text(out, size, n, p);
}

static void where_in(lua_State *L, const struct prg_state *G, char *out,
                     size_t size) {
  lua_Debug ar;
  int level, found = 0;
  size_t n = 0;
  out[0] = '\0';
  for (level = 1; found < 3 && lua_getstack(L, level, &ar); level++) {
    lua_getinfo(L, "Sl", &ar);
    if (ar.currentline <= 0 || is_ours(G, &ar)) continue;
    n = add_caller(out, size, n, &ar);
    found++;
  }
}

/* "a.lua:3 < b.lua:9": the callers outside of Perigee, innermost first. */
void prg_exec_where(lua_State *L, char *out, size_t size) {
  where_in(L, prg_state_get(L), out, size);
}

struct prg_exec *prg_exec_push_conn(lua_State *L, struct prg_db *db,
                                    int db_index, struct prg_slot **slot) {
  struct prg_exec *x = push_exec(L, db); /* the caller still owns the slot */
  anchor(L, 1, db_index);
  x->lease = prg_calloc(1, sizeof *x->lease);
  if (x->lease == NULL) prg_raise(L, prg_error_oom());
  x->lease->refs = 1;
  x->lease->db = db;
  x->lease->slot = *slot;
  *slot = NULL;
  x->open = true;
  return x;
}

/* The task that took it has ended without giving it back. No Lua. */
static void end_lease(struct prg_holding *h) {
  struct prg_lease *l = PRG_CONTAINER(h, struct prg_lease, held);
  struct prg_slot *slot = l->slot;
  l->slot = NULL;
  if (slot != NULL && l->db->pool != NULL) prg_pool_release(slot);
}

static int acquire_step(lua_State *L, struct prg_op *op) {
  struct prg_exec *x;
  if (prg_call_acquire(L, op, op->borrow.lane) == PRG_PENDING)
    return PRG_PENDING;
  x = prg_exec_push_conn(L, op->db, 1, &op->slot);
  x->is_tx = lua_toboolean(L, 4);
  x->task = op->task->id;
  prg_hold(&x->lease->held, op->task, end_lease);
  prg_op_drop(op);
  return 1;
}

/* core.acquire(db, lane, seconds | nil [, tx]) -> conn, or a transaction on one of
** its own; lane "read" or "write" */
static int core_acquire(lua_State *L) {
  struct prg_op *op = prg_op_resumed(L, acquire_step);
  struct prg_db *db;
  char where[256];
  const char *lane;
  int64_t span;
  if (op != NULL) return prg_op_run(L, op);
  lua_settop(L, 4);
  db = prg_db_check(L, 1);
  prg_db_check_usable(L, db);
  lane = luaL_checkstring(L, 2);
  span = lua_isnil(L, 3) ? db->acquire_timeout
                         : prg_check_seconds(L, 3, "acquire_timeout");
  where_in(L, db->G, where, sizeof where);
  op =
      prg_op_begin_in(L, db->G, PRG_OP_ACQUIRE, acquire_step, prg_call_abandon);
  op->db = db;
  op->span = span;
  op->borrow.leased = true;
  op->borrow.lane = lane[0] == 'r' ? PRG_LANE_READ : PRG_LANE_WRITE;
  /* Not on the stack: the coroutine may be closed before its task is. */
  op->borrow.where = prg_arena_dup(&op->arena, where, strlen(where));
  return prg_op_run(L, op);
}

/* core.release(conn [, reason]): the connection goes back, with a reason it is
** closed. Twice is fine. */
static int core_release(lua_State *L) {
  struct prg_exec *x = check_exec(L, 1);
  const char *reason = luaL_optstring(L, 2, NULL);
  struct prg_slot *slot = x->lease != NULL ? x->lease->slot : NULL;
  end_block(x);
  if (slot == NULL) return 0;
  prg_unhold(&x->lease->held);
  x->lease->slot = NULL;
  if (x->db->pool == NULL) return 0;
  if (reason != NULL)
    prg_pool_discard(slot, reason);
  else
    prg_pool_release(slot);
  note_undone(L, x);
  return 0;
}

/* ---- blocks ------------------------------------------------------------- */

/* Pushes the userdata of `x`, or of the first block around it that is not with
** the collector already. [-0, +1, -] */
static struct prg_exec *push_outer(lua_State *L, struct prg_exec *x) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &execs_key);
  lua_rawgetp(L, -1, x);
  while (lua_isnil(L, -1) && x->parent != NULL) {
    lua_pop(L, 1);
    x = x->parent;
    lua_rawgetp(L, -1, x);
  }
  lua_remove(L, -2);
  return x;
}

static int block_step(lua_State *L, struct prg_op *op) {
  struct prg_exec *x, *outer;
  int at = lua_gettop(L) + 1;
  if (prg_exec_pass_gate(L, op) == PRG_PENDING) return PRG_PENDING;
  lua_getiuservalue(L, 1, 1); /* the handle, from the executor given */
  lua_rawgeti(L, -1, 1);
  lua_remove(L, -2);
  outer = push_outer(L, op->exec); /* which may be further in */
  x = push_exec(L, outer->db);
  x->is_tx = true;
  anchor(L, 1, at);
  anchor(L, 2, at + 1);
  x->lease = outer->lease;
  x->lease->refs++;
  x->parent = outer;
  outer->inner = x;
  x->task = op->task->id;
  x->open = true;
  prg_op_drop(op);
  return 1;
}

/* core.block(exec) -> tx: opens a block inside; waits while another task has
** one open there. The SQL is the caller's. */
static int core_block(lua_State *L) {
  struct prg_op *op = prg_op_resumed(L, block_step);
  struct prg_exec *x;
  if (op != NULL) return prg_op_run(L, op);
  x = check_exec(L, 1);
  if (!x->open) return raise_closed(L, x);
  check_own(L, x);
  prg_db_check_usable(L, x->db);
  op = prg_op_begin(L, PRG_OP_GATE, block_step, NULL);
  op->exec = x;
  op->db = x->db;
  op->due = prg_op_due(op->task, x->db->query_timeout);
  return prg_op_run(L, op);
}

/* core.end_block(tx) */
static int core_end_block(lua_State *L) {
  end_block(check_exec(L, 1));
  return 0;
}

/* core.env(db | exec) -> the table of the Lua part */
static int core_env(lua_State *L) {
  if (prg_db_test(L, 1) == NULL) check_exec(L, 1);
  lua_getiuservalue(L, 1, 1);
  return 1;
}

/* core.hold_begin(tx, sql) -> will `sql` go with the first statement of the new
** block? If not it is the caller's to send. */
static int core_hold_begin(lua_State *L) {
  struct prg_exec *x = check_exec(L, 1);
  struct prg_sql *sql = prg_sql_get(L, x->db, 2);
  bool held = x->lease != NULL && prg_exec_hold_begin(x, sql);
  if (!held) prg_sql_unref(sql);
  lua_pushboolean(L, held);
  return 1;
}

/* core.is_open(exec) -> does it take calls? */
static int core_is_open(lua_State *L) {
  lua_pushboolean(L, check_exec(L, 1)->open);
  return 1;
}

static const char *const tx_names[] = {"idle", "open", "failed", "unknown"};

/* core.state(exec) -> "idle", "open", "failed" or "unknown"; nil: its connection
** is given back, or broken */
static int core_state(lua_State *L) {
  struct prg_exec *x = check_exec(L, 1);
  const struct prg_slot *slot = x->lease != NULL ? x->lease->slot : NULL;
  if (slot == NULL || slot->conn->state != PRG_CONN_READY) return 0;
  lua_pushstring(L, tx_names[prg_exec_tx(x)]);
  return 1;
}

/* ---- who is in which block ---------------------------------------------- */

/* core.joined(db) -> the innermost block of the running task on the handle, or
** nil */
static int core_joined(lua_State *L) {
  struct prg_db *db = prg_db_check(L, 1);
  const struct prg_exec *x = db->scopes == 0 ? NULL : joined(L, db);
  if (x == NULL) return 0;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &execs_key);
  lua_rawgetp(L, -1, x);
  return 1;
}

/* Pushes the blocks of tasks, which the handle's environment has. [-0, +2, m] */
static void push_scopes(lua_State *L) {
  prg_push_env(L, 1);
  lua_getfield(L, -1, "scopes");
}

/* core.enter(db, block) -> before: the running task is in the block from now on;
** `before` is for core.leave */
static int core_enter(lua_State *L) {
  struct prg_db *db = prg_db_check(L, 1);
  struct prg_exec *x = check_exec(L, 2);
  const struct prg_task *t = prg_task_current(L, db->G);
  push_scopes(L);
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
    lua_createtable(L, 0, 4);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "v");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "scopes");
  }
  lua_rawgetp(L, -1, t->id);
  lua_pushvalue(L, 2);
  lua_rawsetp(L, -3, t->id);
  db->scopes++;
  x->scopes++;
  return 1;
}

/* core.leave(db, block, before) */
static int core_leave(lua_State *L) {
  struct prg_db *db = prg_db_check(L, 1);
  struct prg_exec *x = check_exec(L, 2);
  const struct prg_task *t = prg_task_find_in(L, db->G);
  lua_settop(L, 3);
  db->scopes--;
  x->scopes--;
  if (t == NULL) return 0;
  push_scopes(L);
  lua_pushvalue(L, 3);
  lua_rawsetp(L, -2, t->id);
  return 0;
}

/* core.info(exec) -> { open, is_tx, leased, broken, lane, tx, backend } */
static int core_info(lua_State *L) {
  struct prg_exec *x = check_exec(L, 1);
  struct prg_slot *slot = x->lease != NULL ? x->lease->slot : NULL;
  lua_createtable(L, 0, 7);
  lua_pushboolean(L, x->open);
  lua_setfield(L, -2, "open");
  lua_pushboolean(L, x->is_tx);
  lua_setfield(L, -2, "is_tx");
  lua_pushboolean(L, slot != NULL);
  lua_setfield(L, -2, "leased");
  if (slot == NULL) return 1;
  lua_pushboolean(L, slot->conn->state != PRG_CONN_READY);
  lua_setfield(L, -2, "broken");
  lua_pushstring(L, slot->lane == PRG_LANE_READ ? "read" : "write");
  lua_setfield(L, -2, "lane");
  lua_pushstring(L, tx_names[prg_exec_tx(x)]);
  lua_setfield(L, -2, "tx");
  lua_pushinteger(L, (lua_Integer)slot->conn->backend);
  lua_setfield(L, -2, "backend");
  return 1;
}

/* core.set_own_source(text): what the chunk names of lua/perigee/ begin with */
static int core_set_own_source(lua_State *L) {
  struct prg_state *G = prg_state_get(L);
  size_t n;
  const char *s = luaL_checklstring(L, 1, &n);
  if (n >= sizeof G->own_source) n = 0; /* then none is known as ours */
  memcpy(G->own_source, s, n);
  G->own_source[n] = '\0';
  return 0;
}

/* core.where() -> "file:line < …" of the callers outside of Perigee */
static int core_where(lua_State *L) {
  char where[256];
  prg_exec_where(L, where, sizeof where);
  lua_pushstring(L, where);
  return 1;
}

static int exec__tostring(lua_State *L) {
  struct prg_exec *x = check_exec(L, 1);
  lua_pushfstring(L, "perigee.%s: %p%s", x->is_tx ? "tx" : "conn", (void *)x,
                  x->open ? "" : " (ended)");
  return 1;
}

static const luaL_Reg functions[] = {{"acquire", core_acquire},
                                     {"release", core_release},
                                     {"block", core_block},
                                     {"end_block", core_end_block},
                                     {"env", core_env},
                                     {"info", core_info},
                                     {"hold_begin", core_hold_begin},
                                     {"is_open", core_is_open},
                                     {"state", core_state},
                                     {"joined", core_joined},
                                     {"enter", core_enter},
                                     {"leave", core_leave},
                                     {"where", core_where},
                                     {"set_own_source", core_set_own_source},
                                     {NULL, NULL}};

int prg_exec_open(lua_State *L) {
  lua_createtable(L, 0, 0);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "v");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &execs_key);
  luaL_newmetatable(L, EXEC_MT);
  lua_pushliteral(L, EXEC_MT);
  lua_setfield(L, -2, "__name");
  lua_pushcfunction(L, exec__gc);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, exec__tostring);
  lua_setfield(L, -2, "__tostring");
  lua_setfield(L, -2, "exec_mt");
  prg_set_functions(L, functions);
  return 0;
}
