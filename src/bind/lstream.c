/*
** Streams: the rows of one statement in chunks, in constant memory. A stream on
** the handle holds a connection of its own until its end; one on a block is for
** databases whose connections stay usable meanwhile (PRG_F_INTERLEAVE).
*/
#include "bind/bind_int.h"

#include "base/clock.h"

#define STREAM_MT "perigee.stream"
/* Where the driver's rows each have memory of their own (libpq's single-row
** mode: some 3 KB), few of them stay in the processor's cache and in malloc's
** hands; where a chunk is a change of threads (SQLite), many. */
#define CHUNK_ROWS 500
#define CHUNK_ROWS_SMALL 64

static const char stream_magic = 0;

/* Userdata. Its uservalue is { handle, options, executor }: as for a block, [1] is
** the handle. */
struct stream {
  const void *magic;
  struct prg_db *db;
  struct prg_exec *exec; /* NULL: on the handle */
  struct prg_slot *slot; /* held, on the handle */
  struct prg_req *req;
  struct prg_sql *sql;
  struct prg_op *op; /* the wait in progress, or NULL */
  size_t row;        /* next row of the chunk */
  int64_t total;     /* rows given out */
  int64_t began;
  int64_t span;
  enum prg_shape shape;
  bool class;
  bool sent, ended;
  struct prg_holding held; /* on the handle */
  char where[120];         /* where each() was called */
};

/* Asked for each row. */
static struct stream *check_stream(lua_State *L, int i) {
  struct stream *s = lua_touserdata(L, i);
  if (s != NULL && !lua_islightuserdata(L, i) &&
      lua_rawlen(L, i) == sizeof *s && s->magic == &stream_magic)
    return s;
  luaL_checkudata(L, i, STREAM_MT); /* raises */
  return NULL;
}

/* Gives everything back; a wait in progress sees `ended`. No Lua. */
static void end_stream(struct stream *s) {
  s->ended = true;
  prg_unhold(&s->held);
  if (s->req != NULL) prg_req_free(s->req);
  s->req = NULL;
  if (s->slot != NULL && s->db->pool != NULL) prg_pool_release(s->slot);
  s->slot = NULL;
  prg_sql_unref(s->sql);
  s->sql = NULL;
  if (s->op != NULL) {
    s->op->req = NULL; /* it was lent */
    s->op->data = NULL;
    prg_op_wake(s->op);
  }
  s->op = NULL;
}

static void end_held(struct prg_holding *h) {
  end_stream(PRG_CONTAINER(h, struct stream, held));
}

static int stream__gc(lua_State *L) {
  end_stream(check_stream(L, 1));
  return 0;
}

static int stream_close(lua_State *L) {
  struct stream *s = check_stream(L, 1);
  const struct prg_task *t = prg_task_find(L);
  if (t != NULL && t->busy) /* its rows may be being decoded */
    return prg_usage(L, "a hook or codec cannot close an iterator");
  end_stream(s);
  return 0;
}

/* ---- waiting for a chunk ------------------------------------------------ */

static void stream_abandon(struct prg_op *op) {
  struct stream *s = op->data;
  op->data = NULL;
  op->req = NULL; /* the stream's, lent for prg_call_acquire */
  if (s != NULL) s->op = NULL;
  prg_call_abandon(op);
  if (s != NULL) end_stream(s);
}

static void on_chunk(struct prg_req *req) {
  struct stream *s = req->owner;
  if (s->op != NULL) prg_op_wake(s->op);
}

/* The operation is over and the stream stays. */
static void leave(struct prg_op *op) {
  struct stream *s = op->data;
  s->op = NULL;
  op->data = NULL;
  prg_op_drop(op);
}

static void tell(lua_State *L, struct stream *s, const struct prg_error *e) {
  const struct prg_told t = {s->sql, s->began, s->total, e};
  if (s->db->has_on_query && s->sql != NULL) prg_call_tell(L, s->db, &t);
  if (s->db->news != NULL) prg_db_tell_news(L, s->db);
}

static int fail(lua_State *L, struct prg_op *op, struct prg_error *e) {
  struct stream *s = op->data;
  if (s->sql != NULL && e->field[PRG_EF_SQL] == NULL)
    prg_error_set(e, PRG_EF_SQL, s->sql->stmt->sql);
  leave(op);
  tell(L, s, e);
  end_stream(s);
  return prg_raise(L, e);
}

/* Gets the connection and sends. 0 or PRG_PENDING. */
static int start(lua_State *L, struct prg_op *op) {
  struct stream *s = op->data;
  struct prg_conn *c;
  if (s->exec != NULL) {
    op->exec = s->exec;
    if (prg_exec_pass_gate(L, op) == PRG_PENDING ||
        prg_exec_begin(L, op, NULL) == PRG_PENDING)
      return PRG_PENDING;
    c = op->exec->lease->slot->conn;
  } else {
    if (prg_call_acquire(L, op, s->sql->stmt->lane) == PRG_PENDING)
      return PRG_PENDING;
    s->slot = op->slot;
    op->slot = NULL;
    prg_hold(&s->held, op->task, end_held);
    c = s->slot->conn;
  }
  s->sent = true;
  s->began = prg_now();
  s->req->done = on_chunk;
  s->req->owner = s;
  s->req->due = prg_op_due(op->task, s->span);
  prg_conn_submit(c, s->req);
  return 0;
}

/* Asks for the next chunk when the present one is used up. */
static void go_on(struct prg_op *op) {
  struct stream *s = op->data;
  if (s->req->state != PRG_REQ_PAUSED || s->req->result == NULL ||
      s->row < s->req->result->nrows)
    return;
  s->row = 0;
  s->req->due = prg_op_due(op->task, s->span);
  prg_req_resume(s->req);
}

/* Pushes the row at hand; the stream is at 1. */
static int push_row(lua_State *L, struct stream *s) {
  int how[2] = {(int)s->shape, 0};
  if (s->class) {
    lua_getiuservalue(L, 1, 1);
    lua_rawgeti(L, -1, 2);
    lua_getfield(L, -1, "class");
    if (prg_call_is_class(L)) how[1] = lua_gettop(L); /* it still is one */
  }
  prg_push_row(L, s->db, s->req->result, s->row++, how);
  s->total++;
  return 1;
}

static bool has_row(const struct stream *s) {
  return s->req != NULL && s->req->result != NULL &&
         (s->req->state == PRG_REQ_PAUSED || s->req->state == PRG_REQ_DONE) &&
         s->row < s->req->result->nrows;
}

/* The reader found that the statement writes: nothing ran, but a stream does not
** write. */
static struct prg_error *lane_error(void) {
  return prg_error_new(PRG_K_USAGE,
                       "each() on the handle is for statements that read; use "
                       "query(), or each() in a transaction");
}

static int next_step(lua_State *L, struct prg_op *op) {
  struct stream *s = op->data;
  if (s == NULL) { /* it was closed */
    prg_op_drop(op);
    return 0;
  }
  if (!s->sent && start(L, op) == PRG_PENDING) return PRG_PENDING;
  go_on(op);
  if (s->req->state == PRG_REQ_DONE) {
    struct prg_error *e = s->req->error;
    s->req->error = NULL;
    if (s->req->wrong_lane) e = lane_error();
    if (e != NULL) return fail(L, op, e);
  } else if (s->req->state != PRG_REQ_PAUSED) {
    return PRG_PENDING;
  }
  leave(op);
  if (has_row(s)) return push_row(L, s);
  if (s->req->state == PRG_REQ_DONE) {
    tell(L, s, NULL);
    end_stream(s);
    return 0;
  }
  return luaL_error(L, "perigee: an empty chunk");
}

/* stream:next() -> row, or nothing at the end */
static int stream_next(lua_State *L) {
  struct prg_op *op = prg_op_resumed(L, next_step);
  struct stream *s;
  if (op != NULL) return prg_op_run(L, op);
  s = check_stream(L, 1);
  lua_settop(L, 1);
  if (s->ended) return 0;
  if (has_row(s)) return push_row(L, s);
  prg_slot_check_own(L, s->slot);
  prg_db_check_usable(L, s->db);
  if (s->op != NULL)
    return prg_usage(L, "another task waits for a row of this iterator");
  op = prg_op_begin(L, PRG_OP_STREAM, next_step, stream_abandon);
  op->data = s;
  op->db = s->db;
  op->req = s->sent ? NULL : s->req;
  if (!s->sent) /* the stream may be collected before the wait is over */
    op->borrow.where = prg_arena_dup(&op->arena, s->where, strlen(s->where));
  op->due = prg_op_due(op->task, s->span);
  s->op = op;
  return prg_op_run(L, op);
}

/* ---- opening ------------------------------------------------------------ */

/* A stream at 1, in front of the arguments: executor, SQL, … [-0, +1, e] */
static struct stream *new_stream(lua_State *L, struct prg_op *scratch) {
  struct prg_exec *x;
  struct prg_db *db = prg_exec_resolve(L, &x);
  struct prg_task *t = prg_op_check(L);
  struct stream *s = lua_newuserdatauv(L, sizeof *s, 1);
  memset(s, 0, sizeof *s);
  s->magic = &stream_magic;
  s->db = db;
  s->exec = x;
  luaL_getmetatable(L, STREAM_MT);
  lua_setmetatable(L, -2);
  lua_insert(L, 1);
  memset(scratch, 0, sizeof *scratch);
  scratch->db = db;
  scratch->exec = x;
  s->sql = scratch->sql = prg_sql_get(L, db, 3);
  if (t->op.kind != PRG_OP_NONE) prg_op_drop(&t->op);
  prg_arena_reset(&t->op.arena);
  return s;
}

/* Takes over what was read; the stream is on top. [-n, +1, e] */
static int keep(lua_State *L, struct stream *s, const struct prg_op *scratch) {
  if (scratch->shape == PRG_SHAPE_COLUMNS)
    return prg_usage(L, "rows = \"columns\" is for query()");
  s->span = scratch->span;
  prg_exec_where(L, s->where, sizeof s->where);
  s->shape = scratch->shape;
  s->class = scratch->class;
  if (s->req == NULL) return prg_raise(L, prg_error_oom());
  lua_createtable(L, 3, 0);
  if (s->exec == NULL || prg_db_test(L, 2) != NULL) {
    lua_pushvalue(L, 2);
  } else {
    lua_getiuservalue(L, 2, 1);
    lua_rawgeti(L, -1, 1);
    lua_remove(L, -2);
  }
  lua_rawseti(L, -2, 1);
  lua_pushvalue(L, 2);
  lua_rawseti(L, -2, 3);
  if (scratch->opts != 0) {
    lua_pushvalue(L, scratch->opts);
    lua_rawseti(L, -2, 2);
  }
  lua_setiuservalue(L, 1, 1);
  lua_settop(L, 1);
  return 1;
}

/* core.stream(x, sql, …) -> stream; nothing is sent before the first next() */
static int core_stream(lua_State *L) {
  struct prg_op scratch; /* for the checks of a call */
  struct prg_value *params;
  struct stream *s = new_stream(L, &scratch);
  scratch.opts =
      prg_sql_params(L, s->sql, 4, &prg_op_check(L)->op.arena, &params);
  prg_call_options(L, &scratch);
  prg_call_check(L, &scratch);
  s->req = prg_req_new(PRG_REQ_STREAM, s->sql->stmt);
  if (s->req == NULL) return prg_raise(L, prg_error_oom());
  s->req->params = params;
  s->req->chunk = (s->db->driver->features & PRG_F_INTERLEAVE) != 0
                      ? CHUNK_ROWS
                      : CHUNK_ROWS_SMALL;
  s->req->alone = s->exec == NULL;
  if (prg_req_own_params(s->req) != PRG_OK)
    return prg_raise(L, prg_error_oom());
  return keep(L, s, &scratch);
}

/* core.copy_stream(x, sql, what, options) -> stream. `what`: "rows" or a format of
** bytes of a query, or nil: the bytes of a COPY statement. Rows of bytes have one
** column. */
static int core_copy_stream(lua_State *L) {
  static const char *const names[] = {"rows", "csv", "text", "binary", NULL};
  struct prg_op scratch;
  struct stream *s;
  const char *what = luaL_optstring(L, 3, NULL);
  int i = what == NULL ? 0 : luaL_checkoption(L, 3, NULL, names);
  lua_settop(L, 4);
  s = new_stream(L, &scratch); /* stack: stream, x, sql, what, options */
  if (!lua_isnil(L, 5)) scratch.opts = 5;
  prg_call_options(L, &scratch);
  if (what != NULL) prg_call_check(L, &scratch);
  s->req = prg_req_new_copy(PRG_REQ_COPY_OUT, s->sql->stmt);
  if (s->req == NULL) return prg_raise(L, prg_error_oom());
  s->req->copy->rows = what != NULL && i == 0;
  if (what != NULL && i > 0) s->req->copy->format = names[i];
  s->req->chunk = CHUNK_ROWS;
  return keep(L, s, &scratch);
}

static const luaL_Reg methods[] = {
    {"next", stream_next}, {"close", stream_close}, {NULL, NULL}};

int prg_stream_open(lua_State *L) {
  luaL_newmetatable(L, STREAM_MT);
  lua_pushliteral(L, STREAM_MT);
  lua_setfield(L, -2, "__name");
  lua_pushcfunction(L, stream__gc);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, stream_close);
  lua_setfield(L, -2, "__close");
  lua_createtable(L, 0, 2);
  prg_set_functions(L, methods);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "__index");
  lua_setfield(L, -3, "stream_methods");
  lua_setfield(L, -2, "stream_mt");
  lua_pushcfunction(L, core_stream);
  lua_setfield(L, -2, "stream");
  lua_pushcfunction(L, core_copy_stream);
  lua_setfield(L, -2, "copy_stream");
  return 0;
}
