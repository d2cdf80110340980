/*
** Streams: the rows of one statement in chunks, in constant memory. A stream on
** the handle holds a connection of its own until its end; one on a block is for
** databases whose connections stay usable meanwhile (PRG_F_INTERLEAVE).
*/
#include "bind/lasting_int.h"

#define STREAM_MT "perigee.stream"
/* Where the driver's rows each have memory of their own (libpq's single-row
** mode: some 3 KB), few of them stay in the processor's cache and in malloc's
** hands; where a chunk is a change of threads (SQLite), many. */
#define CHUNK_ROWS 500
#define CHUNK_ROWS_SMALL 64

static const char stream_magic = 0;

/* Userdata. */
struct stream {
  const void *magic;
  struct prg_lasting is;
  size_t row;    /* next row of the chunk */
  int64_t total; /* rows given out */
  enum prg_shape shape;
  bool class;
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

static int stream__gc(lua_State *L) {
  prg_lasting_end(&check_stream(L, 1)->is);
  return 0;
}

static int stream_close(lua_State *L) {
  struct stream *s = check_stream(L, 1);
  const struct prg_task *t = prg_task_find(L);
  if (t != NULL && t->busy) /* its rows may be being decoded */
    return prg_usage(L, "a hook or codec cannot close an iterator");
  prg_lasting_end(&s->is);
  return 0;
}

/* core.cut_stream(stream): its block has ended. */
static int stream_cut(lua_State *L) {
  prg_lasting_cut(&check_stream(L, 1)->is);
  return 0;
}

/* ---- waiting for a chunk ------------------------------------------------ */

static struct stream *stream_of(const struct prg_op *op) {
  struct prg_lasting *is = op->data;
  return is == NULL ? NULL : PRG_CONTAINER(is, struct stream, is);
}

/* Asks for the next chunk when the present one is used up. */
static void go_on(struct prg_op *op) {
  struct stream *s = stream_of(op);
  const struct prg_req *req = s->is.req;
  if (req->state != PRG_REQ_PAUSED || req->result == NULL ||
      s->row < req->result->nrows)
    return;
  s->row = 0;
  prg_lasting_resume(op);
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
  prg_push_row(L, s->is.db, s->is.req->result, s->row++, how);
  s->total++;
  return 1;
}

static bool has_row(const struct stream *s) {
  const struct prg_req *req = s->is.req;
  return req != NULL && req->result != NULL &&
         (req->state == PRG_REQ_PAUSED || req->state == PRG_REQ_DONE) &&
         s->row < req->result->nrows;
}

/* The reader found that the statement writes: nothing ran, but a stream does not
** write. */
static struct prg_error *lane_error(void) {
  return prg_error_new(PRG_K_USAGE,
                       "each() on the handle is for statements that read; use "
                       "query(), or each() in a transaction");
}

static int next_step(lua_State *L, struct prg_op *op) {
  struct stream *s = stream_of(op);
  struct prg_req *req;
  if (s == NULL) { /* it was closed */
    prg_op_drop(op);
    return 0;
  }
  if (!s->is.sent &&
      prg_lasting_start(L, op, s->is.sql->stmt->lane) == PRG_PENDING)
    return PRG_PENDING;
  go_on(op);
  req = s->is.req;
  if (req->state == PRG_REQ_DONE) {
    struct prg_error *e = req->error;
    req->error = NULL;
    if (req->wrong_lane) e = lane_error();
    if (e != NULL || !has_row(s)) {
      prg_lasting_finish(L, op, s->total, e);
      return 0;
    }
  } else if (req->state != PRG_REQ_PAUSED) {
    return PRG_PENDING;
  }
  prg_lasting_leave(op);
  if (has_row(s)) return push_row(L, s);
  return luaL_error(L, "perigee: an empty chunk");
}

/* stream:next() -> row, or nothing at the end */
static int stream_next(lua_State *L) {
  struct prg_op *op = prg_op_resumed(L, next_step);
  struct stream *s;
  if (op != NULL) return prg_op_run(L, op);
  s = check_stream(L, 1);
  lua_settop(L, 1);
  if (s->is.cut)
    return prg_raise(
        L, prg_error_new(PRG_K_CLOSED,
                         "this iterator has ended with the block or task in "
                         "which it was made, and not all rows were read"));
  if (s->is.req == NULL) return 0;
  if (has_row(s)) return push_row(L, s);
  op = prg_lasting_begin(L, &s->is, next_step, "a row of this iterator");
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
  s->is.db = db;
  s->is.exec = x;
  luaL_getmetatable(L, STREAM_MT);
  lua_setmetatable(L, -2);
  lua_insert(L, 1);
  memset(scratch, 0, sizeof *scratch);
  scratch->db = db;
  scratch->exec = x;
  s->is.sql = scratch->sql = prg_sql_get(L, db, 3);
  if (t->op.kind != PRG_OP_NONE) prg_op_drop(&t->op);
  prg_arena_reset(&t->op.arena);
  return s;
}

/* Takes over what was read; the stream is at 1, the executor at 2. [-n, +1, e] */
static int keep(lua_State *L, struct stream *s, const struct prg_op *scratch) {
  if (scratch->shape == PRG_SHAPE_COLUMNS)
    return prg_usage(L, "rows = \"columns\" is for query()");
  s->is.span = scratch->span;
  prg_exec_where(L, s->is.where, sizeof s->is.where);
  s->shape = scratch->shape;
  s->class = scratch->class;
  if (s->is.req == NULL) return prg_raise(L, prg_error_oom());
  prg_lasting_anchor(L, &s->is, 1, 2, scratch->opts);
  lua_settop(L, 1);
  return 1;
}

/* core.stream(x, sql, …) -> stream; nothing is sent before the first next() */
static int core_stream(lua_State *L) {
  struct prg_op scratch; /* for the checks of a call */
  struct prg_value *params;
  struct stream *s = new_stream(L, &scratch);
  scratch.opts =
      prg_sql_params(L, s->is.sql, 4, &prg_op_check(L)->op.arena, &params);
  prg_call_options(L, &scratch);
  prg_call_check(L, &scratch);
  s->is.req = prg_req_new(PRG_REQ_STREAM, s->is.sql->stmt);
  if (s->is.req == NULL) return prg_raise(L, prg_error_oom());
  s->is.req->params = params;
  s->is.req->chunk = (s->is.db->driver->features & PRG_F_INTERLEAVE) != 0
                         ? CHUNK_ROWS
                         : CHUNK_ROWS_SMALL;
  s->is.req->alone = s->is.exec == NULL;
  if (prg_req_own_params(s->is.req) != PRG_OK)
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
  s->is.req = prg_req_new_copy(PRG_REQ_COPY_OUT, s->is.sql->stmt);
  if (s->is.req == NULL) return prg_raise(L, prg_error_oom());
  s->is.req->copy->rows = what != NULL && i == 0;
  if (what != NULL && i > 0) s->is.req->copy->format = names[i];
  s->is.req->chunk = CHUNK_ROWS;
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
  lua_pushcfunction(L, stream_cut);
  lua_setfield(L, -2, "cut_stream");
  return 0;
}
