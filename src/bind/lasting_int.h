/* Requests that outlive their call: streams and COPY (llasting.c). */
#ifndef PRG_BIND_LASTING_INT_H
#define PRG_BIND_LASTING_INT_H

#include "bind/bind_int.h"

/* Embedded in a userdata whose uservalue is { handle, options, executor }: as for a
** block, [1] is the handle. It is made, waited for again and again, and ended: by its
** last answer, by hand, by the collector, or by the end of the task that has it. */
struct prg_lasting {
  struct prg_db *db;
  struct prg_exec *exec; /* NULL: on the handle */
  struct prg_slot *slot; /* held, on the handle */
  struct prg_req *req;   /* NULL: ended */
  struct prg_sql *sql;
  struct prg_op *op; /* the wait in progress, or NULL */
  int64_t began, span;
  bool sent;
  bool bound; /* ends with its task in a block, too */
  bool cut;   /* it was ended by what it belongs to, before its last answer */
  struct prg_holding held;
  char where[120]; /* where it was made */
};

/* Gives everything back: what was not finished is given up, and a wait in progress
** sees that there is no request. Fine twice. No Lua. */
void prg_lasting_end(struct prg_lasting *s);
/* The same for what it belongs to, a block or a task, which has ended. */
void prg_lasting_cut(struct prg_lasting *s);
/* Sets the uservalue of the userdata at `i`; the executor is at `x`, the options at
** `opts` (0: none). [-0, +0, m] */
void prg_lasting_anchor(lua_State *L, const struct prg_lasting *s, int i, int x,
                        int opts);
/* Begins a wait, whose op->data is `s`, or NULL once `s` has ended. Raises usage when
** another task waits already, naming what for. [-0, +0, e] */
struct prg_op *prg_lasting_begin(lua_State *L, struct prg_lasting *s,
                                 int (*step)(lua_State *, struct prg_op *),
                                 const char *what);
/* The first time gets the connection and sends. 0 or PRG_PENDING. [-0, +0, e] */
int prg_lasting_start(lua_State *L, struct prg_op *op, enum prg_lane lane);
/* Goes on after a pause. */
void prg_lasting_resume(struct prg_op *op);
/* The wait is over and the request stays. */
void prg_lasting_leave(struct prg_op *op);
/* The last answer is there: tells the hooks, and ends it. Raises the error, which it
** takes over, if there is one. [-0, +0, e] */
void prg_lasting_finish(lua_State *L, struct prg_op *op, int64_t rows,
                        struct prg_error *e);

#endif
