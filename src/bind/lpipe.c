/*
** Pipelines: statements on one connection that do not wait for each other. What a
** verb of a pipeline returns is a reply, which has the request; its answer is asked
** for later, or never. lua/perigee/pipeline.lua opens and ends pipelines.
*/
#include "bind/bind_int.h"

#include "base/clock.h"

#define PIPE_MT "perigee.pipeline"
#define REPLY_MT "perigee.reply"
/* Statements without an answer; who sends more waits. */
#define MAX_WAITING 128

static const char pipe_magic = 0, reply_magic = 0;

/* Userdata. Its uservalue: [1] the handle, [2] the block, and the replies that it
** still needs, by their addresses. */
struct pipe {
  const void *magic;
  struct prg_db *db;
  struct prg_exec *exec;
  const void *task; /* whose it is: the id */
  struct prg_list
      replies; /* without an answer, or not looked at yet; in order */
  struct prg_list failed; /* errors that nobody has fetched; in order */
  size_t waiting;         /* replies without an answer */
  struct prg_op *op;      /* who waits for room, or for the end */
  int64_t span;
  bool on_handle;
  bool open;
  struct prg_holding held;
};

/* Userdata. Its uservalue: [1] the handle, [2] the options, [3] the value or the
** error, once it was made, [4] the pipeline. */
struct reply {
  const void *magic;
  struct pipe *pipe; /* while it is in a list of that */
  struct prg_list *list;
  struct prg_link link;
  struct prg_db *db;
  struct prg_exec *exec; /* NULL: the pipeline has ended */
  struct prg_req *req;   /* until it was looked at */
  struct prg_sql *sql;
  struct prg_result *result;
  struct prg_error *error;
  struct prg_list waiters; /* gates of get() */
  enum prg_verb_kind verb;
  enum prg_shape shape;
  bool class;
  bool answered; /* there is no more to wait for */
  bool made;     /* [3] is the value */
  bool raised;   /* [3] is the error */
  int64_t began, ended;
};

/* The userdata at 1, whose first field is `magic`. Raises usage when it is another. */
static void *check(lua_State *L, const void *magic, size_t size) {
  void *p = lua_touserdata(L, 1);
  if (p == NULL || lua_islightuserdata(L, 1) || lua_rawlen(L, 1) != size ||
      *(const void *const *)p != magic)
    prg_usage(L, "call it with a colon: a %s is expected, not %s",
              magic == &pipe_magic ? "pipeline" : "reply", luaL_typename(L, 1));
  return p;
}

static struct pipe *check_pipe(lua_State *L) {
  return check(L, &pipe_magic, sizeof(struct pipe));
}

static struct reply *check_reply(lua_State *L) {
  return check(L, &reply_magic, sizeof(struct reply));
}

/* ---- replies ------------------------------------------------------------ */

static void enlist(struct reply *r, struct prg_list *list) {
  if (r->list != NULL) prg_list_remove(r->list, &r->link);
  r->list = list;
  if (list == NULL)
    r->pipe = NULL;
  else
    prg_list_push_back(list, &r->link);
}

/* There will be no other answer than what is there now. No Lua. */
static void end_wait(struct reply *r) {
  struct pipe *p = r->pipe;
  if (r->answered) return;
  r->answered = true;
  prg_op_wake_all(&r->waiters);
  if (p == NULL) return;
  p->waiting--;
  if (p->op != NULL) prg_op_wake(p->op);
}

static void on_answer(struct prg_req *req) {
  struct reply *r = req->owner;
  if (r->db->has_on_query) r->ended = prg_now();
  end_wait(r);
}

/* The pipeline ends. An answer that has not come is not waited for. No Lua. */
static void give_up(struct reply *r) {
  if (!r->answered) {
    prg_req_free(r->req);
    r->req = NULL;
    r->error = prg_error_new(
        PRG_K_CANCELLED, "the pipeline was given up before the answer came");
    end_wait(r);
  }
  r->exec = NULL;
  enlist(r, NULL);
}

static int reply__gc(lua_State *L) {
  struct reply *r = check_reply(L);
  give_up(r);
  prg_op_wake_all(&r->waiters);
  if (r->req != NULL) prg_req_free(r->req);
  r->req = NULL;
  prg_sql_unref(r->sql);
  r->sql = NULL;
  prg_result_free(r->result);
  r->result = NULL;
  prg_error_unref(r->error);
  r->error = NULL;
  return 0;
}

/* An answer that is an error for this verb. */
static struct prg_error *refusal(const struct reply *r,
                                 const struct prg_req *req) {
  if (req->wrong_lane)
    return prg_error_new(PRG_K_PERMISSION,
                         "the statement writes, and this transaction is "
                         "read-only");
  if (r->verb != PRG_VERB_ONE || r->result == NULL) return NULL;
  if (r->result->nrows == 0)
    return prg_error_new(PRG_K_NOT_FOUND, "no row was found");
  if (r->result->nrows > 1 || r->result->truncated)
    return prg_error_new(PRG_K_NOT_UNIQUE, "more than one row was found");
  return NULL;
}

/* Tells the hooks. The executor is at 1. */
static void tell(lua_State *L, const struct reply *r) {
  struct prg_told t = {r->sql, r->began, -1, r->error};
  const struct prg_result *res = r->result;
  if (res != NULL)
    t.rows = res->desc != NULL ? (int64_t)res->nrows : res->affected;
  if (r->ended > r->began) t.began = prg_now() - (r->ended - r->began);
  if (r->db->has_on_query) prg_call_tell(L, r->db, &t);
  if (r->db->news != NULL) prg_db_tell_news(L, r->db);
}

/* Looks at an answer for the first time. What has a handle in its uservalue is at
** 1, the reply is anchored. [-0, +0, e] */
static void look_at(lua_State *L, struct reply *r) {
  struct prg_req *req = r->req;
  struct pipe *p = r->pipe;
  if (req == NULL) return;
  r->req = NULL;
  r->result = req->result;
  r->error = req->error;
  req->result = NULL;
  req->error = NULL;
  if (r->error == NULL) r->error = refusal(r, req);
  prg_req_free(req);
  if (r->error != NULL && r->error->field[PRG_EF_SQL] == NULL)
    prg_error_set(r->error, PRG_EF_SQL, r->sql->stmt->sql);
  enlist(r, r->error != NULL && p != NULL ? &p->failed : NULL);
  prg_call_note_ddl(L, r->sql, r->exec);
  tell(L, r);
}

/* ---- get ---------------------------------------------------------------- */

static void get_abandon(struct prg_op *op) {
  op->result = NULL; /* the reply's, and so is the text */
  op->sql = NULL;
  prg_call_abandon(op);
}

/* Pushes what is kept. */
static void push_kept(lua_State *L) {
  lua_getiuservalue(L, 1, 1);
  lua_rawgeti(L, -1, 3);
}

/* Keeps the value on top, which stays there. */
static void keep(lua_State *L) {
  lua_getiuservalue(L, 1, 1);
  lua_pushvalue(L, -2);
  lua_rawseti(L, -2, 3);
  lua_pop(L, 1);
}

/* The pipeline of the reply at 1 does not need it any more. [-0, +0, m] */
static void unanchor(lua_State *L, const struct reply *r) {
  int top = lua_gettop(L);
  lua_getiuservalue(L, 1, 1);
  lua_rawgeti(L, -1, 4);
  lua_getiuservalue(L, -1, 1);
  lua_pushnil(L);
  lua_rawsetp(L, -2, r);
  lua_settop(L, top);
}

static int raise_reply(lua_State *L, struct reply *r) {
  if (!r->raised) {
    struct prg_error *e = r->error;
    prg_push_error(L, prg_error_ref(e));
    keep(L);
    r->raised = true;
    r->error = NULL;
    prg_error_unref(e);
  } else {
    push_kept(L);
  }
  if (r->list != NULL) enlist(r, NULL);
  unanchor(L, r);
  return lua_error(L);
}

/* Makes the value, once. As the value of a step. */
static int make(lua_State *L, struct prg_op *op, struct reply *r) {
  int n;
  prg_db_check_usable(L, r->db);
  lua_getiuservalue(L, 1, 1);
  lua_rawgeti(L, -1, 2);
  op->opts = lua_gettop(L);
  op->result = r->result;
  op->sql = r->sql;
  op->verb = r->verb;
  op->shape = r->shape;
  op->class = r->class;
  n = prg_call_push_answer(L, op);
  if (n == PRG_PENDING) return n;
  keep(L);
  r->made = true;
  prg_op_drop(op);
  prg_result_free(r->result);
  r->result = NULL;
  return 1;
}

/* PRG_PENDING, or the end of its time. */
static int wait_on(lua_State *L, struct prg_op *op, struct prg_list *list) {
  if (prg_now() >= op->due) {
    prg_op_drop(op);
    return prg_raise(L,
                     prg_error_new(PRG_K_TIMEOUT,
                                   "the time to wait for the answer is over"));
  }
  if (list != NULL && op->gate_list == NULL) prg_op_queue(op, list);
  if (!prg_timer_is_set(&op->timer)) prg_op_set_timer(op);
  return PRG_PENDING;
}

static int get_step(lua_State *L, struct prg_op *op) {
  struct reply *r = check_reply(L);
  lua_settop(L, 1);
  if (!r->answered) return wait_on(L, op, &r->waiters);
  look_at(L, r);
  if (r->list == NULL) unanchor(L, r);
  if (r->error == NULL && !r->raised && !r->made) return make(L, op, r);
  prg_op_drop(op);
  lua_pushnil(L); /* rows of ours, when another task was faster */
  lua_rawsetp(L, LUA_REGISTRYINDEX, op);
  if (!r->made) return raise_reply(L, r);
  push_kept(L);
  return 1;
}

/* reply:get() -> what the verb returns; raises its error */
static int reply_get(lua_State *L) {
  struct prg_op *op = prg_op_resumed(L, get_step);
  struct reply *r;
  if (op != NULL) return prg_op_run(L, op);
  r = check_reply(L);
  lua_settop(L, 1);
  if (r->made) {
    push_kept(L);
    return 1;
  }
  if (r->raised) return raise_reply(L, r);
  op = prg_op_begin(L, PRG_OP_PIPE, get_step, get_abandon);
  op->db = r->db;
  op->row = 0;
  op->table = NULL;
  op->due = prg_op_due(op->task, PRG_NEVER);
  return prg_op_run(L, op);
}

/* ---- the pipeline ------------------------------------------------------- */

/* Pushes a reply of the pipeline at 1. [-0, +1, m] */
static void push_reply(lua_State *L, const struct reply *r) {
  lua_getiuservalue(L, 1, 1);
  lua_rawgetp(L, -1, r);
  lua_remove(L, -2);
}

static struct reply *first_of(const struct prg_list *list) {
  return list->count == 0 ? NULL
                          : PRG_CONTAINER(list->head.next, struct reply, link);
}

/* Looks at the answers that are there, in order. The pipeline is at 1.
** [-0, +0, e] */
static void look_at_all(lua_State *L, struct pipe *p) {
  struct reply *r;
  while ((r = first_of(&p->replies)) != NULL && r->answered) {
    push_reply(L, r);
    look_at(L, r);
    if (r->list == NULL) {
      lua_getiuservalue(L, 1, 1);
      lua_pushnil(L);
      lua_rawsetp(L, -2, r);
      lua_pop(L, 1);
    }
    lua_pop(L, 1);
  }
}

/* No Lua. */
static void give_up_all(struct pipe *p) {
  struct reply *r;
  p->open = false;
  prg_unhold(&p->held);
  while ((r = first_of(&p->replies)) != NULL) give_up(r);
  while ((r = first_of(&p->failed)) != NULL) enlist(r, NULL);
}

static void end_held(struct prg_holding *h) {
  give_up_all(PRG_CONTAINER(h, struct pipe, held));
}

static int pipe__gc(lua_State *L) {
  struct pipe *p = check_pipe(L);
  give_up_all(p);
  if (p->op != NULL) p->op->data = NULL;
  p->op = NULL;
  return 0;
}

static void leave(struct prg_op *op) {
  struct pipe *p = op->data;
  op->data = NULL;
  if (p != NULL && p->op == op) p->op = NULL;
}

static void pipe_abandon(struct prg_op *op) {
  leave(op);
  prg_call_abandon(op);
}

/* ---- sending ------------------------------------------------------------ */

/* Pushes a reply that takes over what the operation has. [-0, +1, m] */
static struct reply *new_reply(lua_State *L, struct prg_op *op,
                               struct pipe *p) {
  struct reply *r = lua_newuserdatauv(L, sizeof *r, 1);
  memset(r, 0, sizeof *r);
  r->magic = &reply_magic;
  prg_list_init(&r->waiters);
  r->answered = true; /* until it is sent */
  luaL_getmetatable(L, REPLY_MT);
  lua_setmetatable(L, -2);
  lua_createtable(L, 4, 0);
  lua_pushvalue(L, 1);
  lua_rawseti(L, -2, 4);
  lua_getiuservalue(L, 1, 1);
  lua_pushvalue(L, -3);
  lua_rawsetp(L, -2, r);
  lua_rawgeti(L, -1, 1);
  lua_rawseti(L, -3, 1);
  lua_pop(L, 1);
  if (op->opts != 0) {
    lua_pushvalue(L, op->opts);
    lua_rawseti(L, -2, 2);
  }
  lua_setiuservalue(L, -2, 1);
  r->db = p->db;
  r->exec = p->exec;
  r->verb = op->verb;
  r->shape = op->shape;
  r->class = op->class;
  r->began = op->began;
  r->sql = op->sql;
  op->sql = NULL;
  return r;
}

static void submit(struct prg_op *op, struct pipe *p, struct reply *r) {
  struct prg_req *req = op->req;
  op->req = NULL;
  r->req = req;
  r->pipe = p;
  r->answered = false;
  p->waiting++;
  enlist(r, &p->replies);
  req->share = true;
  req->now = prg_op_now(op);
  req->due = prg_op_due_at(op->task, req->now, op->span);
  req->done = on_answer;
  req->owner = r;
  prg_conn_submit(op->exec->lease->slot->conn, req);
  if (req->state == PRG_REQ_DONE) on_answer(req);
}

static int check_open(lua_State *L, const struct pipe *p) {
  if (p->open) return 0;
  return prg_raise(L, prg_error_new(PRG_K_CLOSED, "this pipeline has ended"));
}

/* 0: it may be sent. */
static int may_send(lua_State *L, struct prg_op *op, struct pipe *p) {
  op->data = p;
  p->op = op;
  look_at_all(L, p);
  if (p->waiting >= MAX_WAITING) return wait_on(L, op, NULL);
  if (prg_exec_pass_gate(L, op) == PRG_PENDING) return PRG_PENDING;
  return prg_exec_begin(L, op, NULL);
}

/* What is called on a lost connection raises, so that a loop which never asks for a
** reply ends. */
static int check_conn(lua_State *L, struct prg_op *op) {
  const struct prg_conn *c = op->exec->lease->slot->conn;
  struct prg_error *e;
  if (c->state == PRG_CONN_READY) return 0;
  e = prg_error_new(PRG_K_CLOSED, "the connection of the pipeline is lost");
  if (e != prg_error_oom()) e->cause = prg_error_ref(c->error);
  prg_op_drop(op);
  return prg_raise(L, e);
}

static int send_step(lua_State *L, struct prg_op *op) {
  struct pipe *p = check_pipe(L);
  struct reply *r;
  check_open(L, p);
  if (may_send(L, op, p) == PRG_PENDING) {
    if (prg_req_own_params(op->req) == PRG_OK) return PRG_PENDING;
    prg_op_drop(op);
    return prg_raise(L, prg_error_oom());
  }
  check_conn(L, op);
  r = new_reply(L, op, p);
  submit(op, p, r);
  prg_op_drop(op);
  return 1;
}

static void check_task(lua_State *L, const struct pipe *p) {
  const struct prg_task *t = prg_op_check(L);
  if (t->id != p->task)
    prg_usage(L, "a pipeline is for the task that has opened it");
}

/* The block that a call would name, so that the rules for statements are those of
** an ordinary call. */
static void check_statement(lua_State *L, struct prg_op *op,
                            const struct pipe *p, size_t max_rows) {
  struct prg_exec *x = op->exec;
  if (p->on_handle) op->exec = NULL;
  prg_call_check(L, op);
  op->exec = x;
  if (max_rows > 0 && op->shape == PRG_SHAPE_COLUMNS)
    prg_usage(L, "rows = \"columns\" is for query()");
}

static int statement(lua_State *L, enum prg_verb_kind verb, size_t max_rows) {
  struct prg_op *op = prg_op_resumed(L, send_step);
  struct prg_value *params;
  struct pipe *p;
  if (op != NULL) return prg_op_run(L, op);
  p = check_pipe(L);
  check_open(L, p);
  check_task(L, p);
  prg_db_check_usable(L, p->db);
  if (p->exec->lease != NULL) prg_slot_check_own(L, p->exec->lease->slot);
  op = prg_op_begin(L, PRG_OP_PIPE, send_step, pipe_abandon);
  op->db = p->db;
  op->exec = p->exec;
  op->verb = verb;
  op->table = NULL;
  op->key = NULL;
  op->began = p->db->has_on_query ? prg_now() : 0;
  op->sql = prg_sql_get(L, op->db, 2);
  op->opts = prg_sql_params(L, op->sql, 3, &op->arena, &params);
  prg_call_options(L, op);
  if (op->span == op->db->query_timeout) op->span = p->span;
  check_statement(L, op, p, max_rows);
  op->req = prg_req_new(PRG_REQ_QUERY, op->sql->stmt);
  if (op->req == NULL) return prg_raise(L, prg_error_oom());
  op->req->params = params;
  op->req->max_rows = max_rows;
  op->due = prg_op_due(op->task, op->span);
  return prg_op_run(L, op);
}

static int p_query(lua_State *L) {
  return statement(L, PRG_VERB_QUERY, 0);
}

static int p_first(lua_State *L) {
  return statement(L, PRG_VERB_FIRST, 1);
}

static int p_one(lua_State *L) {
  return statement(L, PRG_VERB_ONE, 1);
}

static int p_value(lua_State *L) {
  return statement(L, PRG_VERB_VALUE, 1);
}

static int p_execute(lua_State *L) {
  return statement(L, PRG_VERB_EXECUTE, 0);
}

/* ---- opening and ending ------------------------------------------------- */

/* core.pipe(block, on_handle, seconds | nil) -> pipeline: on a connection or
** transaction; `on_handle`: statements are checked as calls on the handle are */
static int core_pipe(lua_State *L) {
  struct prg_exec *x = prg_exec_test(L, 1);
  struct prg_task *t = prg_op_check(L);
  struct pipe *p;
  lua_settop(L, 3);
  if (x == NULL) return prg_usage(L, "pipe: a block is expected");
  prg_db_check_usable(L, x->db);
  if (!x->open)
    return prg_raise(L, prg_error_new(PRG_K_CLOSED, "this %s has ended",
                                      x->is_tx ? "transaction" : "connection"));
  p = lua_newuserdatauv(L, sizeof *p, 1);
  memset(p, 0, sizeof *p);
  p->magic = &pipe_magic;
  prg_list_init(&p->replies);
  prg_list_init(&p->failed);
  luaL_getmetatable(L, PIPE_MT);
  lua_setmetatable(L, -2);
  lua_createtable(L, 2, 8);
  lua_getiuservalue(L, 1, 1);
  lua_rawgeti(L, -1, 1);
  lua_rawseti(L, -3, 1);
  lua_pop(L, 1);
  lua_pushvalue(L, 1);
  lua_rawseti(L, -2, 2);
  lua_setiuservalue(L, -2, 1);
  p->db = x->db;
  p->exec = x;
  p->task = t->id;
  p->on_handle = lua_toboolean(L, 2);
  p->span = x->db->query_timeout;
  if (!lua_isnil(L, 3)) p->span = prg_check_seconds(L, 3, "timeout");
  if (p->span == 0) return prg_usage(L, "timeout: must be greater than 0");
  p->open = true;
  prg_hold(&p->held, t, end_held);
  return 1;
}

static int wait_step(lua_State *L, struct prg_op *op) {
  struct pipe *p = check_pipe(L);
  look_at_all(L, p);
  if (p->waiting == 0) {
    prg_op_drop(op);
    return 0;
  }
  op->data = p;
  p->op = op;
  return wait_on(L, op, NULL);
}

/* core.pipe_wait(pipeline): until all answers have come; it takes no more calls */
static int core_pipe_wait(lua_State *L) {
  struct prg_op *op = prg_op_resumed(L, wait_step);
  struct pipe *p;
  if (op != NULL) return prg_op_run(L, op);
  lua_settop(L, 1);
  p = check_pipe(L);
  p->open = false;
  op = prg_op_begin(L, PRG_OP_PIPE, wait_step, pipe_abandon);
  op->db = p->db;
  op->due = prg_op_due(op->task, PRG_NEVER);
  return prg_op_run(L, op);
}

/* core.pipe_close(pipeline) -> the first reply with an error that nobody has
** fetched, or nil. What has no answer yet is given up. */
static int core_pipe_close(lua_State *L) {
  struct pipe *p = check_pipe(L);
  struct reply *r = first_of(&p->failed);
  lua_settop(L, 1);
  if (r == NULL)
    lua_pushnil(L);
  else
    push_reply(L, r);
  give_up_all(p);
  return 1;
}

static int reply__tostring(lua_State *L) {
  struct reply *r = check_reply(L);
  lua_pushfstring(L, "perigee.reply: %p%s", (void *)r,
                  r->answered ? "" : " (awaited)");
  return 1;
}

static const luaL_Reg verbs[] = {{"query", p_query},     {"first", p_first},
                                 {"one", p_one},         {"value", p_value},
                                 {"execute", p_execute}, {NULL, NULL}};

static const luaL_Reg reply_methods[] = {{"get", reply_get}, {NULL, NULL}};

static const luaL_Reg functions[] = {{"pipe", core_pipe},
                                     {"pipe_wait", core_pipe_wait},
                                     {"pipe_close", core_pipe_close},
                                     {NULL, NULL}};

static void new_class(lua_State *L, const char *name, lua_CFunction gc) {
  luaL_newmetatable(L, name);
  lua_pushstring(L, name);
  lua_setfield(L, -2, "__name");
  lua_pushcfunction(L, gc);
  lua_setfield(L, -2, "__gc");
}

int prg_pipe_open(lua_State *L) {
  new_class(L, PIPE_MT, pipe__gc);
  lua_setfield(L, -2, "pipe_mt");
  lua_createtable(L, 0, 5);
  prg_set_functions(L, verbs);
  lua_setfield(L, -2, "pipe_verbs");
  new_class(L, REPLY_MT, reply__gc);
  lua_pushcfunction(L, reply__tostring);
  lua_setfield(L, -2, "__tostring");
  lua_setfield(L, -2, "reply_mt");
  lua_createtable(L, 0, 1);
  prg_set_functions(L, reply_methods);
  lua_setfield(L, -2, "reply_methods");
  prg_set_functions(L, functions);
  return 0;
}
