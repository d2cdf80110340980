/*
** COPY to the database: core.copy_in makes a copier, which holds a connection from
** the first wait() to its end. Between two waits rows are put into its frame
** (lcopy_row.c); lua/perigee/copy.lua says in which order.
*/
#include "bind/copy_int.h"
#include "bind/lvalue.h"

#include "base/clock.h"
#include "base/mem.h"

#define COPY_MT "perigee.copy"
#define SLICE_TIME (2 * PRG_MS) /* then other tasks have their turn */

static const char copier_magic = 0;

/* Asked for each row. */
struct prg_copier *prg_copier_check(lua_State *L, int i) {
  struct prg_copier *s = lua_touserdata(L, i);
  if (s != NULL && !lua_islightuserdata(L, i) &&
      lua_rawlen(L, i) == sizeof *s && s->magic == &copier_magic)
    return s;
  luaL_checkudata(L, i, COPY_MT); /* raises */
  return NULL;
}

static int copy__gc(lua_State *L) {
  struct prg_copier *s = prg_copier_check(L, 1);
  prg_lasting_end(&s->is);
  prg_table_unref((struct prg_table *)(uintptr_t)s->table);
  s->table = NULL;
  prg_arena_fini(&s->arena);
  prg_arena_fini(&s->row);
  return 0;
}

/* ---- waiting ------------------------------------------------------------ */

static struct prg_copier *copier_of(const struct prg_op *op) {
  struct prg_lasting *is = op->data;
  return is == NULL ? NULL : PRG_CONTAINER(is, struct prg_copier, is);
}

/* Sends the frame. */
static void go_on(struct prg_op *op) {
  struct prg_copier *s = copier_of(op);
  s->go = false;
  s->bytes += (int64_t)s->is.req->copy->out.len;
  prg_lasting_resume(op);
}

static int ended(lua_State *L, struct prg_op *op) {
  struct prg_req *req = copier_of(op)->is.req;
  struct prg_error *e = req->error;
  int64_t rows = req->result != NULL ? req->result->affected : -1;
  req->error = NULL;
  prg_lasting_finish(L, op, rows, e);
  lua_pushinteger(L, (lua_Integer)(rows < 0 ? 0 : rows));
  return 1;
}

/* A source that never waits must not keep the others from it for long. */
static bool is_long(struct prg_copier *s, const struct prg_op *op) {
  int64_t now = prg_now();
  if (op->task->co == NULL || now - s->turned < SLICE_TIME) return false;
  s->turned = now;
  return true;
}

static int wait_step(lua_State *L, struct prg_op *op) {
  struct prg_copier *s = copier_of(op);
  if (s == NULL) { /* it was ended */
    prg_op_drop(op);
    return prg_raise(L, prg_error_new(PRG_K_CLOSED, "the COPY was given up"));
  }
  if (prg_lasting_start(L, op, PRG_LANE_WRITE) == PRG_PENDING)
    return PRG_PENDING;
  if (s->go && s->is.req->state == PRG_REQ_PAUSED) {
    go_on(op);
    if (s->is.req->state == PRG_REQ_PAUSED && is_long(s, op)) {
      prg_op_wake(op);
      return PRG_PENDING;
    }
  }
  if (s->is.req->state == PRG_REQ_DONE) return ended(L, op);
  if (s->is.req->state != PRG_REQ_PAUSED) return PRG_PENDING;
  prg_lasting_leave(op);
  return 0;
}

/* copier:wait([how]): sends what was put ("end": that was all; "fail": nothing of it
** is to stay) and waits until more is wanted -> nothing; the number of rows when the
** COPY has ended */
static int copy_wait(lua_State *L) {
  static const char *const names[] = {"more", "end", "fail", NULL};
  struct prg_op *op = prg_op_resumed(L, wait_step);
  struct prg_copier *s;
  int how;
  if (op != NULL) return prg_op_run(L, op);
  s = prg_copier_check(L, 1);
  how = luaL_checkoption(L, 2, "more", names);
  lua_settop(L, 1);
  if (s->is.req == NULL)
    return prg_raise(L, prg_error_new(PRG_K_CLOSED, "the COPY has ended"));
  op = prg_lasting_begin(L, &s->is, wait_step, "this COPY");
  s->is.req->copy->end = how == 1;
  s->is.req->copy->fail = how == 2;
  s->go = s->is.sent;
  return prg_op_run(L, op);
}

/* copier:close(): gives up what was not finished, without waiting */
static int copy_close(lua_State *L) {
  prg_lasting_end(&prg_copier_check(L, 1)->is);
  return 0;
}

/* copier:info() -> rows given, bytes sent, number of the row that was being read when
** an error was raised, or nil */
static int copy_info(lua_State *L) {
  const struct prg_copier *s = prg_copier_check(L, 1);
  lua_pushinteger(L, (lua_Integer)s->nrows);
  lua_pushinteger(L, (lua_Integer)s->bytes);
  if (!s->reading) return 2;
  lua_pushinteger(L, (lua_Integer)s->nrows + 1);
  return 3;
}

/* ---- opening ------------------------------------------------------------ */

static struct prg_copier *push_copier(lua_State *L) {
  struct prg_exec *x;
  struct prg_db *db = prg_exec_resolve(L, &x);
  struct prg_copier *s = lua_newuserdatauv(L, sizeof *s, 1);
  memset(s, 0, sizeof *s);
  s->magic = &copier_magic;
  s->is.db = db;
  s->is.exec = x;
  s->is.bound = true; /* nobody else uses the connection until it ends */
  prg_arena_init(&s->arena);
  prg_arena_init(&s->row);
  luaL_getmetatable(L, COPY_MT);
  lua_setmetatable(L, -2);
  return s;
}

static void set_uservalue(lua_State *L, const struct prg_copier *s,
                          int copier) {
  prg_lasting_anchor(L, &s->is, copier, 1, 0);
  lua_getiuservalue(L, copier, 1);
  lua_createtable(L, 0, 0); /* [4]: names of columns */
  lua_rawseti(L, -2, 4);
  lua_pop(L, 1);
}

static void read_timeout(lua_State *L, struct prg_copier *s, int i) {
  s->is.span = s->is.db->query_timeout;
  if (lua_isnoneornil(L, i)) return;
  lua_pushvalue(L, i);
  s->is.span = prg_check_seconds(L, -1, "timeout");
  if (s->is.span == 0) prg_usage(L, "timeout: must be greater than 0");
  lua_pop(L, 1);
}

static void check_statement(lua_State *L, const struct prg_copier *s) {
  unsigned f = s->is.sql->stmt->flags;
  if ((f & PRG_STMT_MULTI) != 0)
    prg_usage(L, "the text holds several statements");
  if ((f & PRG_STMT_COPY) == 0)
    prg_usage(L, "copy_in: a statement COPY … FROM STDIN is expected");
}

static void new_request(lua_State *L, struct prg_copier *s, struct prg_sql *of,
                        bool rows) {
  s->is.req = prg_req_new_copy(PRG_REQ_COPY_IN, of->stmt);
  if (s->is.req == NULL) prg_raise(L, prg_error_oom());
  s->is.req->copy->rows = rows;
  if (!rows) return;
  s->is.req->copy->sql = prg_strdup(s->is.sql->stmt->sql);
  if (s->is.req->copy->sql == NULL) prg_raise(L, prg_error_oom());
}

/* Stack: x, h, columns, timeout, explicit, copier. */
static void open_rows(lua_State *L, struct prg_copier *s) {
  struct prg_sql *like;
  if (s->table->dialect != s->is.db->dialect)
    prg_usage(L, "the handle of %s is of another kind of database",
              s->table->title.p);
  prg_copy_columns(L, s, 3);
  s->is.sql = prg_sql_get(L, s->is.db, -2);
  like = prg_sql_push(L, s->is.db, -1);
  new_request(L, s, like, true);
}

/* core.copy_in(x, h | nil, columns | sql, timeout, explicit) -> copier. `explicit`:
** the caller has named the columns */
static int core_copy_in(lua_State *L) {
  struct prg_copier *s;
  (void)prg_op_check(L);
  lua_settop(L, 5);
  s = push_copier(L); /* 6 */
  if ((s->is.db->driver->features & PRG_F_COPY) == 0)
    return prg_raise(
        L, prg_error_new(PRG_K_UNSUPPORTED, "this database has no COPY"));
  read_timeout(L, s, 4);
  s->explicit_cols = lua_toboolean(L, 5);
  if (lua_isnil(L, 2)) {
    s->is.sql = prg_sql_get(L, s->is.db, 3);
    check_statement(L, s);
    new_request(L, s, s->is.sql, false);
  } else {
    const struct prg_table *t = prg_tinfo_check(L, 2);
    s->table = prg_table_ref((struct prg_table *)(uintptr_t)t);
    open_rows(L, s);
  }
  prg_exec_where(L, s->is.where, sizeof s->is.where);
  set_uservalue(L, s, 6);
  lua_settop(L, 6);
  return 1;
}

static const luaL_Reg methods[] = {{"wait", copy_wait},
                                   {"close", copy_close},
                                   {"info", copy_info},
                                   {NULL, NULL}};

int prg_copy_open(lua_State *L) {
  luaL_newmetatable(L, COPY_MT);
  lua_pushliteral(L, COPY_MT);
  lua_setfield(L, -2, "__name");
  lua_pushcfunction(L, copy__gc);
  lua_setfield(L, -2, "__gc");
  lua_createtable(L, 0, 8);
  prg_set_functions(L, methods);
  prg_set_functions(L, prg_copy_rows);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "__index");
  lua_setfield(L, -3, "copy_methods");
  lua_pop(L, 1);
  lua_pushcfunction(L, core_copy_in);
  lua_setfield(L, -2, "copy_in");
  lua_pushcfunction(L, prg_copy_select);
  lua_setfield(L, -2, "copy_select");
  return 0;
}
