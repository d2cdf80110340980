/*
** Calls on executors: one statement, script or batch. An operation goes through
** the phases GATE (of a transaction), ACQUIRE (for calls on the handle), SEND,
** RUN and DONE; call_step is the only place that knows their order.
*/
#include "bind/host_int.h"
#include "bind/crud_int.h"

#include <ctype.h>

#include "base/clock.h"
#include "base/mem.h"

#define SLICE_ROWS 500          /* decoded between two looks at the clock */
#define SLICE_TIME (2 * PRG_MS) /* then other tasks have their turn */

/* ---- what a call holds -------------------------------------------------- */

/* The handle's on_connect is not waited for any more. */
static void abandon_setup(struct prg_op *op, bool pool) {
  struct prg_task *t = op->setup;
  struct prg_slot *s = op->setup_lease->slot;
  op->setup = NULL;
  op->setup_lease->slot = NULL;
  if (t != NULL) t->carrier = NULL;
  if (s != NULL && pool) prg_pool_discard(s, "on_connect was given up");
  if (t == NULL || t->state == PRG_TASK_DEAD) return;
  t->joined = true; /* no news to anybody */
  if (t->cancel == NULL)
    t->cancel =
        prg_error_new(PRG_K_CANCELLED, "the call that needed it was given up");
  if (t->shield == 0) prg_op_wake(&t->op);
}

/* The pool gets back what was borrowed for this call. */
static void give_back(struct prg_op *op, bool answered) {
  struct prg_slot *s = op->slot;
  op->slot = NULL;
  if (op->db->pool != NULL) prg_pool_leave(s, &op->borrow, answered);
}

void prg_call_abandon(struct prg_op *op) {
  bool pool = op->db != NULL && op->db->pool != NULL;
  if (op->borrowing) {
    op->borrowing = false;
    if (pool)
      prg_pool_forget(op->db->pool, &op->borrow);
    else
      prg_error_unref(op->borrow.error);
  }
  if (op->setup_lease != NULL) abandon_setup(op, pool);
  if (op->begins != NULL)
    prg_exec_note_begin(op, op->lead != NULL ? op->lead : op->req);
  if (op->lead != NULL) prg_req_free(op->lead);
  op->lead = NULL;
  prg_sql_unref(op->begin_sql);
  op->begin_sql = NULL;
  if (op->req != NULL) {
    prg_req_free(op->req);
    op->req = NULL;
  }
  if (op->slot != NULL) give_back(op, false);
  prg_lease_unref(op->setup_lease, op->db);
  op->setup_lease = NULL;
  prg_result_free(op->result);
  op->result = NULL;
  prg_sql_unref(op->sql);
  op->sql = NULL;
  prg_table_unref((struct prg_table *)(uintptr_t)op->table);
  op->table = NULL;
  op->page = NULL;
}

/* A request of what was to be run without one. PRG_ERR: no memory. */
static int make_request(struct prg_op *op) {
  if (op->req != NULL) return PRG_OK;
  op->req = prg_req_new(PRG_REQ_QUERY, op->direct.stmt);
  if (op->req == NULL) return PRG_ERR;
  op->req->params = op->direct.params;
  op->req->max_rows = op->direct.max_rows;
  return PRG_OK;
}

int prg_call_keep(struct prg_op *op) {
  if (op->req == NULL && op->direct.stmt == NULL) return PRG_OK;
  if (make_request(op) != PRG_OK) return PRG_ERR;
  if (op->req->state != PRG_REQ_NEW) return PRG_OK;
  return prg_req_own_params(op->req);
}

/* Ends the call with an error. Takes over `e`. */
static int fail(lua_State *L, struct prg_op *op, struct prg_error *e) {
  if (op->sql != NULL && e->field[PRG_EF_SQL] == NULL)
    prg_error_set(e, PRG_EF_SQL, op->sql->stmt->sql);
  prg_op_drop(op);
  return prg_raise(L, e);
}

/* ---- ACQUIRE ------------------------------------------------------------ */

static void on_borrowed(struct prg_borrow *b) {
  prg_op_wake(PRG_CONTAINER(b, struct prg_op, borrow));
}

/* Starts the handle's on_connect for a fresh connection in a task of its own;
** the call goes on when that has ended. */
static int start_setup(lua_State *L, struct prg_op *op) {
  struct prg_exec *x;
  int top = lua_gettop(L);
  if (prg_call_keep(op) != PRG_OK) return fail(L, op, prg_error_oom());
  prg_push_env(L, 1);
  lua_getfield(L, -1, "setup");
  lua_getiuservalue(L, 1, 1);
  lua_rawgeti(L, -1, 1); /* a block's handle; nil when 1 is the handle */
  x = prg_exec_push_conn(L, op->db, lua_isnil(L, -1) ? 1 : top + 4, &op->slot);
  op->setup_lease = x->lease;
  op->setup_lease->refs++;
  lua_pushvalue(L, top + 2);
  lua_insert(L, -2);
  op->setup = prg_task_spawn(L, 1); /* stack: …, task */
  lua_rawsetp(L, LUA_REGISTRYINDEX, &op->setup);
  lua_settop(L, top);
  prg_op_queue(op, &op->setup->joiners);
  x->lease->slot->holder = op->setup->id; /* if it waits for another one … */
  x->lease->slot->leased = true;
  prg_op_set_timer(op);
  if (op->task->host == NULL) return PRG_PENDING;
  op->setup->carrier = op->task;
  prg_task_carry(L, op->setup);
  return PRG_PENDING;
}

static int setup_ended(lua_State *L, struct prg_op *op) {
  struct prg_task *t = op->setup;
  struct prg_lease *l = op->setup_lease;
  struct prg_error *e = NULL;
  if (t->carrier != NULL) prg_task_carry(L, t);
  if (t->state != PRG_TASK_DEAD) {
    if (prg_now() < op->due) return PRG_PENDING;
    return fail(L, op,
                prg_error_new(PRG_K_TIMEOUT,
                              "the time for the call was over before "
                              "on_connect had ended"));
  }
  prg_timer_clear(op->task->G->hub, &op->timer);
  if (t->failed) e = prg_error_from(t->co, -1);
  t->joined = true;
  op->setup = NULL;
  op->slot = l->slot;
  l->slot = NULL;
  op->setup_lease = NULL;
  prg_lease_unref(l, op->db);
  lua_pushnil(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &op->setup);
  if (op->slot == NULL && e == NULL)
    e = prg_error_new(PRG_K_USAGE, "on_connect gave its connection back");
  if (e != NULL) {
    if (op->slot != NULL && op->db->pool != NULL)
      prg_pool_discard(op->slot, "on_connect failed");
    op->slot = NULL;
    return fail(L, op, e);
  }
  op->slot->holder = op->borrow.holder;
  op->slot->leased = op->borrow.leased;
  op->slot->fresh = false;
  op->slot->conn->touched = false;
  if (op->db->driver->settle != NULL) op->db->driver->settle(op->slot->conn);
  return 0;
}

static int borrowed(lua_State *L, struct prg_op *op) {
  struct prg_error *e = op->borrow.error;
  op->borrowing = false;
  op->borrow.error = NULL;
  if (e != NULL) return fail(L, op, e);
  op->slot = op->borrow.slot;
  op->borrow.slot = NULL;
  if (op->slot->fresh && op->db->has_on_connect) return start_setup(L, op);
  return 0;
}

/* Without to-be-closed variables only the collector knows that a loop over
** each() was left early. When its connection is missed and nobody makes
*garbage,
** nobody else would call the collector; once a second is often enough. In nginx the
** end of a request frees what it has left. */
static void collect_leases(lua_State *L, struct prg_op *op,
                           enum prg_lane lane) {
#if LUA_VERSION_NUM < 504
  struct prg_state *G = op->task->G;
  const struct prg_host *h = op->task->host;
  int64_t now = prg_now();
  if (h != NULL && h->wake != NULL) return;
  if (now < G->collect_after || !prg_pool_is_leased_out(op->db->pool, lane))
    return;
  G->collect_after = now + PRG_SECOND;
  (void)lua_gc(L, LUA_GCCOLLECT, 0);
#else
  (void)L;
  (void)op;
  (void)lane;
#endif
}

/* May its statement be in flight together with those of others? Not with a time of
** its own, which would end their neighbour's wait, nor while the task holds a
** connection: who is in front might wait for what that has locked. */
static bool may_share(const struct prg_op *op) {
  return op->db->shares && op->kind == PRG_OP_CALL &&
         (op->req == NULL || op->req->kind == PRG_REQ_QUERY) &&
         (op->sql->stmt->flags & PRG_STMT_ALONE) == 0 &&
         op->span == op->db->query_timeout && op->task->holdings.count == 0;
}

int prg_call_acquire(lua_State *L, struct prg_op *op, enum prg_lane lane) {
  struct prg_borrow *b = &op->borrow;
  int r;
  if (op->setup != NULL) return setup_ended(L, op);
  if (op->borrowing)
    return prg_link_linked(&b->link) ? PRG_PENDING : borrowed(L, op);
  (void)prg_op_now(op);
  if (op->kind != PRG_OP_ACQUIRE) {
    b->leased = op->kind == PRG_OP_STREAM;
    if (!b->leased) b->where = NULL;
    op->due = prg_op_due_at(op->task, op->now, op->db->acquire_timeout);
  } else {
    op->due = prg_op_due_at(op->task, op->now, op->span);
  }
  b->lane = lane;
  b->due = op->due;
  b->holder = op->task->id;
  b->stmt = may_share(op) ? op->sql->stmt : NULL;
  b->locks = b->stmt != NULL &&
             ((b->stmt->flags & PRG_STMT_READ) == 0 || op->sql->scan.locking);
  b->done = on_borrowed;
  if (op->db->pool == NULL)
    return fail(L, op, prg_error_new(PRG_K_CLOSED, "the handle is closed"));
  r = prg_pool_acquire(op->db->pool, b);
  if (r == PRG_ERR && b->error->kind == PRG_K_USAGE) {
    /* It would wait for its own connections: those that only the collector
    ** knows to be free (a loop that was left early on LuaJIT) are none. */
    prg_error_unref(b->error);
    b->error = NULL;
    (void)lua_gc(L, LUA_GCCOLLECT, 0);
    r = prg_pool_acquire(op->db->pool, b);
  }
  if (r != PRG_AGAIN) return borrowed(L, op);
  op->borrowing = true;
  if (prg_call_keep(op) != PRG_OK) return fail(L, op, prg_error_oom());
  collect_leases(L, op, lane);
  return PRG_PENDING;
}

/* ---- SEND and RUN ------------------------------------------------------- */

static void on_answer(struct prg_req *req) {
  prg_op_wake(req->owner);
}

static struct prg_slot *slot_of(struct prg_op *op) {
  return op->exec != NULL ? op->exec->lease->slot : op->slot;
}

/* A primary that became a standby refuses writes: leave all connections to it.
 */
static bool is_failover(const struct prg_op *op, const struct prg_error *e) {
  return op->exec == NULL && strcmp(e->sqlstate, "25006") == 0;
}

static void tell(lua_State *L, const struct prg_op *op,
                 const struct prg_error *e) {
  const struct prg_result *r = op->result;
  struct prg_told t = {op->sql, op->began, -1, e};
  if (r != NULL) t.rows = r->desc != NULL ? (int64_t)r->nrows : r->affected;
  prg_call_tell(L, op->db, &t);
}

/* Its result, or its error, is there. */
static int take_answer(lua_State *L, struct prg_op *op, struct prg_error *e,
                       bool ran) {
  if (op->slot != NULL) {
    if (e != NULL && is_failover(op, e) && op->db->pool != NULL)
      prg_pool_evict_like(op->slot);
    give_back(op, true);
  }
  if (op->db->has_on_query && ran) tell(L, op, e);
  if (op->db->news != NULL) prg_db_tell_news(L, op->db);
  if (e != NULL) return fail(L, op, e);
  op->direct.stmt = NULL;
  op->phase = PRG_PHASE_DONE;
  op->row = 0;
  return 0;
}

/* Runs it at once where the database can, and else makes a request of it. */
static int run_direct(lua_State *L, struct prg_op *op) {
  struct prg_direct *d = &op->direct;
  d->now = prg_op_now(op);
  d->none = &op->none;
  if ((d->stmt->flags & PRG_STMT_ALONE) == 0 &&
      prg_op_due_at(op->task, d->now, op->span) > d->now &&
      prg_conn_direct(slot_of(op)->conn, d) == PRG_OK) {
    op->result = d->result;
    return take_answer(L, op, d->error, true);
  }
  if (make_request(op) != PRG_OK) return fail(L, op, prg_error_oom());
  return PRG_PENDING;
}

static int send_request(lua_State *L, struct prg_op *op) {
  struct prg_req *req;
  struct prg_conn *c;
  if (op->req == NULL && run_direct(L, op) == 0) return 0;
  req = op->req;
  c = slot_of(op)->conn;
  req->tidy = op->verb == PRG_VERB_INTERNAL;
  req->share = op->exec == NULL && op->borrow.shared;
  req->now = prg_op_now(op);
  req->due = prg_op_due_at(op->task, req->now, op->span);
  req->done = on_answer;
  req->owner = op;
  op->phase = PRG_PHASE_RUN;
  prg_conn_submit(c, req);
  return 0;
}

/* The reader found that the statement writes: again, on the writer. */
static int change_lane(lua_State *L, struct prg_op *op) {
  struct prg_req *old = op->req, *req;
  if (op->exec != NULL)
    return fail(L, op,
                prg_error_new(PRG_K_PERMISSION,
                              "the statement writes, and this transaction is "
                              "read-only"));
  req = prg_req_new(old->kind, old->stmt);
  if (req == NULL) return fail(L, op, prg_error_oom());
  req->params = old->params;
  req->nsets = old->nsets;
  req->max_rows = old->max_rows;
  req->collect = old->collect;
  if (prg_req_own_params(req) != PRG_OK) {
    prg_req_free(req);
    return fail(L, op, prg_error_oom());
  }
  op->req = req;
  prg_req_free(old);
  give_back(op, false);
  op->phase = PRG_PHASE_ACQUIRE;
  return 0;
}

/* ---- changes of the schema ---------------------------------------------- */

static bool is_one_of(const char *word, const char *const *list) {
  for (; *list != NULL; list++)
    if (strcmp(word, *list) == 0) return true;
  return false;
}

/* Is the word at `p`, in any case, one of the list? It ends at *end. */
static bool word_at(const char *p, const char **end, const char *const *list) {
  char word[8];
  size_t n = 0;
  while (isalnum((unsigned char)p[n]) || p[n] == '_') {
    if (n < sizeof word) word[n] = (char)toupper((unsigned char)p[n]);
    n++;
  }
  *end = p + n;
  if (n == 0 || n >= sizeof word) return false;
  word[n] = '\0';
  return is_one_of(word, list);
}

/* Does a statement of the text change the schema? What only looks like one in a
** literal costs no more than reading the catalogue again. */
static bool has_ddl(const struct prg_sql *s) {
  static const char *const ddl[] = {"CREATE", "ALTER", "DROP", NULL};
  const char *p = s->stmt->sql;
  if ((s->stmt->flags & PRG_STMT_MULTI) == 0)
    return is_one_of(s->scan.keyword, ddl);
  while (*p != '\0') {
    const char *end;
    if (word_at(p, &end, ddl)) return true;
    p = end == p ? p + 1 : end;
  }
  return false;
}

/* What the Lua part knows of tables may be wrong from now on: after such a
** statement, and again when the transaction in which it ran has ended, since
** others have read the catalogue without it meanwhile. */
void prg_call_note_ddl(lua_State *L, const struct prg_sql *s,
                       struct prg_exec *x) {
  static const char *const ends[] = {"COMMIT", "END", "ROLLBACK", "ABORT",
                                     NULL};
  if (s == NULL || (s->stmt->flags & PRG_STMT_UTILITY) == 0) return;
  while (x != NULL && x->parent != NULL) x = x->parent;
  if (has_ddl(s)) {
    if (x != NULL) x->ddl = true;
  } else if (x == NULL || !x->ddl || !is_one_of(s->scan.keyword, ends)) {
    return;
  }
  if (x != NULL && x->lease != NULL && x->lease->slot != NULL &&
      x->lease->slot->conn->tx == PRG_TX_IDLE)
    x->ddl = false;
  prg_db_note_ddl(L);
}

/* The answer to the BEGIN that went along. False: nothing else ran. */
static bool begun(lua_State *L, struct prg_op *op) {
  struct prg_req *req = op->req;
  bool ran = req->begun || req->ghost || req->error == NULL;
  if (!ran && op->begin_sql != NULL && req->error->field[PRG_EF_SQL] == NULL)
    prg_error_set(req->error, PRG_EF_SQL, op->begin_sql->stmt->sql);
  prg_exec_note_begin(op, req);
  prg_exec_tell_begin(L, op, ran ? NULL : req->error);
  return ran;
}

static int answered(lua_State *L, struct prg_op *op) {
  struct prg_req *req = op->req;
  struct prg_error *e = req->error;
  bool ran = req->prelude == NULL || begun(L, op);
  if (req->wrong_lane) return change_lane(L, op);
  prg_call_note_ddl(L, op->sql, op->exec);
  op->result = req->result;
  req->result = NULL;
  req->error = NULL;
  op->req = NULL;
  prg_req_free(req);
  return take_answer(L, op, e, ran);
}

/* ---- DONE: results ------------------------------------------------------ */

static int refuse_count(lua_State *L, struct prg_op *op, bool none) {
  if (op->table != NULL) return fail(L, op, prg_crud_refusal(op, none));
  return fail(
      L, op,
      none ? prg_error_new(PRG_K_NOT_FOUND, "no row was found")
           : prg_error_new(PRG_K_NOT_UNIQUE, "more than one row was found"));
}

bool prg_call_is_class(lua_State *L) {
  bool finalizer;
  if (!lua_istable(L, -1)) return false;
  if (!prg_state_get(L)->tame) return true;
  lua_pushliteral(L, "__gc");
  lua_rawget(L, -2);
  finalizer = !lua_isnil(L, -1);
  lua_pop(L, 1);
  return !finalizer;
}

/* Another task may have changed the options meanwhile. */
int prg_call_push_class(lua_State *L, const struct prg_op *op) {
  if (op->class)
    lua_getfield(L, op->opts, "class");
  else if (op->table != NULL)
    lua_rawgeti(L, 2, 4);
  else
    return 0;
  if (prg_call_is_class(L)) return lua_gettop(L);
  lua_pop(L, 1);
  return 0;
}

/* Rows in slices: a long list lets other tasks run in between. It is anchored
** in the registry under the operation's address meanwhile. */
int prg_call_push_list(lua_State *L, struct prg_op *op) {
  struct prg_result *r = op->result;
  int how[2] = {(int)op->shape, 0};
  int64_t start = r->nrows > SLICE_ROWS ? prg_now() : 0;
  int top = lua_gettop(L);
  how[1] = prg_call_push_class(L, op);
  if (op->row == 0)
    prg_rows_begin(L, op->db, r, op->shape);
  else
    lua_rawgetp(L, LUA_REGISTRYINDEX, op);
  while (op->row < r->nrows) {
    size_t end =
        op->row + SLICE_ROWS < r->nrows ? op->row + SLICE_ROWS : r->nrows;
    const size_t range[2] = {op->row, end};
    prg_rows_add(L, op->db, r, range, how);
    op->row = end;
    if (end < r->nrows && op->task->co != NULL &&
        prg_now() - start > SLICE_TIME) {
      lua_rawsetp(L, LUA_REGISTRYINDEX, op);
      lua_settop(L, top);
      prg_op_wake(op);
      return PRG_PENDING;
    }
  }
  prg_rows_end(L, op->db, r, op->shape);
  lua_pushnil(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, op);
  return 1;
}

static int push_script(lua_State *L, struct prg_op *op) {
  struct prg_result *r;
  int n = 0, class = prg_call_push_class(L, op), list;
  lua_createtable(L, 4, 0);
  list = lua_gettop(L);
  for (r = op->result; r != NULL; r = r->next) {
    prg_push_execute(L, op->db, r, op->shape, class);
    lua_rawseti(L, list, ++n);
  }
  return 1;
}

static int push_first(lua_State *L, struct prg_op *op) {
  int how[2] = {(int)op->shape, 0};
  if (op->result->nrows == 0) {
    lua_pushnil(L);
    return 1;
  }
  how[1] = prg_call_push_class(L, op);
  prg_push_row(L, op->db, op->result, 0, how);
  return 1;
}

int prg_call_push_answer(lua_State *L, struct prg_op *op) {
  struct prg_result *r = op->result;
  if (r == NULL) {
    lua_pushboolean(L, 1);
    return 1;
  }
  switch (op->verb) {
    case PRG_VERB_QUERY:
      return prg_call_push_list(L, op);
    case PRG_VERB_ONE:
      if (r->nrows != 1 || r->truncated)
        return refuse_count(L, op, r->nrows == 0);
      return push_first(L, op);
    case PRG_VERB_FIRST:
      return push_first(L, op);
    case PRG_VERB_VALUE:
      if (r->nrows == 0)
        lua_pushnil(L);
      else
        prg_push_cell(L, op->db, r, 0);
      return 1;
    case PRG_VERB_SCRIPT:
      return push_script(L, op);
    case PRG_VERB_CONTROL:
      lua_pushstring(L, r->tag);
      return 1;
    case PRG_VERB_PING:
      lua_pushboolean(L, 1);
      return 1;
    case PRG_VERB_COUNT: /* what was changed, or SELECT count(*) */
      lua_pushinteger(L, (lua_Integer)(r->desc != NULL ? prg_result_number(L, r)
                                                       : r->affected));
      return 1;
    case PRG_VERB_EXISTS:
      lua_pushboolean(L, prg_result_number(L, r) != 0);
      return 1;
    case PRG_VERB_PAGE:
      return prg_page_push(L, op);
    default:
      prg_push_execute(L, op->db, r, op->shape, prg_call_push_class(L, op));
      return 1;
  }
}

static int finish(lua_State *L, struct prg_op *op) {
  int n = prg_call_push_answer(L, op);
  if (n != PRG_PENDING) prg_op_drop(op);
  return n;
}

/* ---- the phases --------------------------------------------------------- */

/* A block's own statement. The end of a block of which nothing was sent is the end
** of nothing. */
static int pass_control(struct prg_op *op) {
  op->phase = PRG_PHASE_SEND;
  if (!op->closing) return 0;
  op->exec->open = false; /* whoever calls from now on is late */
  if (op->exec->begin == PRG_UNBEGUN) op->phase = PRG_PHASE_DONE;
  return 0;
}

static int pass(lua_State *L, struct prg_op *op) {
  bool along = op->req != NULL && op->req->kind == PRG_REQ_QUERY;
  if (prg_exec_pass_gate(L, op) == PRG_PENDING) return PRG_PENDING;
  if (op->verb == PRG_VERB_CONTROL) return pass_control(op);
  if (op->verb != PRG_VERB_PING &&
      prg_exec_begin(L, op, along ? op->req : NULL) == PRG_PENDING)
    return PRG_PENDING;
  op->phase = PRG_PHASE_SEND;
  return 0;
}

static int gate(lua_State *L, struct prg_op *op) {
  if (op->exec == NULL) {
    op->phase = PRG_PHASE_ACQUIRE;
    return 0;
  }
  if (pass(L, op) == 0) return 0;
  if (prg_call_keep(op) != PRG_OK) return fail(L, op, prg_error_oom());
  return PRG_PENDING;
}

static int call_step(lua_State *L, struct prg_op *op) {
  int r = 0;
  while (r == 0) {
    switch (op->phase) {
      case PRG_PHASE_GATE:
        r = gate(L, op);
        break;
      case PRG_PHASE_ACQUIRE:
        r = prg_call_acquire(
            L, op, op->sql != NULL ? op->sql->stmt->lane : PRG_LANE_WRITE);
        if (r == 0) op->phase = PRG_PHASE_SEND;
        break;
      case PRG_PHASE_SEND:
        r = send_request(L, op);
        break;
      case PRG_PHASE_RUN:
        r = op->req->state == PRG_REQ_DONE ? answered(L, op) : PRG_PENDING;
        break;
      case PRG_PHASE_DONE:
        return finish(L, op);
    }
  }
  return r;
}

/* ---- the start of a call ------------------------------------------------ */

void prg_call_check(lua_State *L, const struct prg_op *op) {
  unsigned f = op->sql->stmt->flags;
  const char *word = op->sql->scan.keyword;
  if ((f & PRG_STMT_EMPTY) != 0) prg_usage(L, "the SQL text is empty");
  if ((f & PRG_STMT_COPY) != 0)
    prg_usage(L, "COPY from or to the client cannot be sent as a statement");
  if ((f & PRG_STMT_MULTI) != 0)
    prg_usage(L, "the text holds several statements: use script()");
  if (op->verb == PRG_VERB_CONTROL) return;
  if (op->exec == NULL && ((f & (PRG_STMT_SESSION | PRG_STMT_CONTROL)) != 0 ||
                           strcmp(word, "SET") == 0)) /* SET LOCAL */
    prg_usage(L,
              "%s on the handle would act on some connection of the pool "
              "and be lost: use transaction(), or connection() and its conn",
              strcmp(word, "CREATE") == 0 ? "CREATE TEMPORARY" : word);
  if (op->exec == NULL || !op->exec->is_tx) return;
  if ((f & PRG_STMT_CONTROL) != 0)
    prg_usage(L,
              "%s in a transaction block: use its commit(), rollback() or "
              "transaction()",
              word);
  if ((f & PRG_STMT_COMMITS) != 0)
    prg_usage(L,
              "%s would commit the transaction on this database: it is not "
              "possible inside one",
              word);
}

static void read_shape(lua_State *L, struct prg_op *op) {
  static const char *const names[] = {"record", "array", "columns", NULL};
  const char *s = lua_tostring(L, -1);
  int i;
  for (i = 0; names[i] != NULL; i++)
    if (s != NULL && strcmp(s, names[i]) == 0) {
      op->shape = (enum prg_shape)i;
      return;
    }
  prg_usage(L, "rows = %s: allowed are \"record\", \"array\" and \"columns\"",
            s != NULL ? s : luaL_typename(L, -1));
}

bool prg_call_option(lua_State *L, struct prg_op *op, const char *key) {
  if (strcmp(key, "timeout") == 0) {
    op->span = prg_check_seconds(L, -1, "timeout");
    if (op->span == 0) prg_usage(L, "timeout: must be greater than 0");
  } else if (strcmp(key, "rows") == 0) {
    read_shape(L, op);
  } else if (strcmp(key, "class") == 0) {
    if (!lua_istable(L, -1))
      prg_usage(L, "class: a metatable is expected, not %s",
                luaL_typename(L, -1));
    if (!prg_call_is_class(L))
      prg_usage(L, "class: there are no finalizers (__gc) here");
    op->class = true;
  } else {
    return false;
  }
  return true;
}

void prg_call_defaults(struct prg_op *op) {
  op->span = op->db->query_timeout;
  op->shape = PRG_SHAPE_RECORD;
  op->class = false;
}

void prg_call_options(lua_State *L, struct prg_op *op) {
  prg_call_defaults(op);
  if (op->opts == 0) return;
  lua_pushnil(L);
  while (lua_next(L, op->opts) != 0) {
    if (lua_type(L, -2) != LUA_TSTRING)
      prg_usage(L, "the options have a key of type %s", luaL_typename(L, -2));
    if (!prg_call_option(L, op, lua_tostring(L, -2)))
      prg_usage(L, "unknown option \"%s\": allowed %s", lua_tostring(L, -2),
                op->verb == PRG_VERB_MANY ? "is timeout"
                                          : "are timeout, rows, class");
    lua_pop(L, 1);
  }
}

struct prg_op *prg_call_begin_on(lua_State *L, struct prg_db *db,
                                 struct prg_exec *x, enum prg_verb_kind verb) {
  struct prg_op *op =
      prg_op_begin_in(L, db->G, PRG_OP_CALL, call_step, prg_call_abandon);
  op->db = db;
  op->exec = x;
  op->verb = verb;
  op->opts = 0;
  op->key = NULL;
  op->began = db->has_on_query ? prg_now() : 0;
  op->closing = false;
  return op;
}

struct prg_op *prg_call_begin(lua_State *L, enum prg_verb_kind verb) {
  struct prg_exec *x;
  struct prg_db *db = prg_exec_resolve(L, &x);
  return prg_call_begin_on(L, db, x, verb);
}

static void set_due(struct prg_op *op) {
  if (op->exec != NULL)
    op->due = prg_op_due_at(op->task, prg_op_now(op), op->span);
}

void prg_call_request(lua_State *L, struct prg_op *op, enum prg_req_kind kind) {
  op->req = prg_req_new(kind, op->sql != NULL ? op->sql->stmt : NULL);
  if (op->req == NULL) {
    prg_op_drop(op);
    prg_raise(L, prg_error_oom());
  }
  set_due(op);
}

struct prg_op *prg_call_resumed(lua_State *L) {
  return prg_op_resumed(L, call_step);
}

int prg_call_run(lua_State *L, struct prg_op *op,
                 const struct prg_value *params, size_t max_rows) {
  op->direct.stmt = op->sql->stmt;
  op->direct.params = params;
  op->direct.max_rows = max_rows;
  if ((op->db->driver->features & PRG_F_DIRECT) != 0) {
    set_due(op);
  } else {
    prg_call_request(L, op, PRG_REQ_QUERY);
    op->req->params = params;
    op->req->max_rows = max_rows;
  }
  return prg_op_run(L, op);
}

int prg_call_run_batch(lua_State *L, struct prg_op *op,
                       const struct prg_value *sets, size_t nsets,
                       bool collect) {
  prg_call_request(L, op, PRG_REQ_BATCH);
  op->req->params = sets;
  op->req->nsets = nsets;
  op->req->collect = collect;
  if (prg_req_own_params(op->req) != PRG_OK) prg_raise(L, prg_error_oom());
  return prg_op_run(L, op);
}
