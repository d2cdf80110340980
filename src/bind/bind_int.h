/*
** The binding's own declarations. Conventions: `[-p, +q, e]` tells what a
** function pops, pushes and whether it may raise (m: memory only), as in the
** Lua manual. Nothing that may raise stands between taking a C resource and
** storing it in its anchored owner.
*/
#ifndef PRG_BIND_BIND_INT_H
#define PRG_BIND_BIND_INT_H

#include "bind/bind.h"
#include "bind/compat.h"

#include "base/arena.h"
#include "base/hub.h"
#include "base/url.h"
#include "pool/pool.h"
#include "sql/dialect.h"
#include "sql/scan.h"

#define PRG_RECENT_SQL 64
#define PRG_RECENT_SHAPES 16

enum prg_shape { PRG_SHAPE_RECORD, PRG_SHAPE_ARRAY, PRG_SHAPE_COLUMNS };

struct prg_task;
struct prg_op;
struct prg_db;
struct prg_exec;
struct prg_emit;
struct prg_cond;
struct prg_host;
struct prg_ear;

/* ---- the state: one per Lua state (lstate.c) ----------------------------- */

struct prg_state {
  struct prg_hub *hub;
  struct prg_list runnable; /* tasks to resume */
  struct prg_list tasks;    /* all that the collector has not found */
  struct prg_list woken;    /* tasks of hosts to wake */
  struct prg_list hosts;    /* struct prg_host, known so far */
  struct prg_host *host;    /* fixed by perigee.host, or NULL */
  unsigned looked_for;      /* bits: hosts whose adapters are loaded */
  struct prg_task *current; /* the task that runs, or NULL */
  struct prg_task *main;    /* stands for the whole state where no loop runs */
  size_t alive;             /* spawned tasks that have not ended */
  uintptr_t last_id;        /* of tasks */
  int64_t collect_after; /* when a missed connection may be looked for again */
  char own_source[256];  /* what chunk names of lua/perigee/ begin with */
  struct prg_error *limbo; /* owned: on its way into a box of Lua's */
  struct prg_emit *emit; /* owned: lcrud.c's, whose memory is used again by each
                            call; NULL before the first */
  int affected_ref;      /* registry: names of fields, made once; lresult.c */
  int last_id_ref;
  bool looping;             /* perigee.run is on the C stack */
  bool tame;                /* scripts have no finalizers */
  bool turning;             /* a host's turn, which wakes all that is woken */
  bool in_nginx;            /* the Lua state is one of nginx */
  volatile int interrupted; /* set by a signal handler: end the main wait */
  long pid;
};

int prg_state_open(lua_State *L);
/* NULL is fine. (lcrud.c) */
void prg_emitter_free(struct prg_emit *e);
/* In a forked child: a hub of its own, when nothing of the parent's is in
** progress. Raises usage when something is. [-0, +0, e] */
void prg_state_own(lua_State *L);
/* One turn: the hub, waiting at most `wait_us` (not at all while a task can go
** on), then the tasks that can. [-0, +0, e] */
void prg_state_turn(lua_State *L, struct prg_state *G, int64_t wait_us);

/* ---- operations: the leaf waits (lop.c) ---------------------------------- */

#define PRG_PENDING (-1)

enum prg_op_kind {
  PRG_OP_NONE,
  PRG_OP_CALL,
  PRG_OP_ACQUIRE,
  PRG_OP_SLEEP,
  PRG_OP_JOIN,
  PRG_OP_STREAM,
  PRG_OP_GATE,
  PRG_OP_CLOSE,
  PRG_OP_LISTEN,
  PRG_OP_PIPE
};

struct prg_sql;
struct prg_table;
struct prg_page;

/* What a call on an executor does with its answer. */
enum prg_verb_kind {
  PRG_VERB_QUERY,
  PRG_VERB_FIRST,
  PRG_VERB_ONE,
  PRG_VERB_VALUE,
  PRG_VERB_EXECUTE,
  PRG_VERB_MANY,
  PRG_VERB_SCRIPT,
  PRG_VERB_PING,
  PRG_VERB_CONTROL,
  PRG_VERB_INTERNAL,
  /* of tables */
  PRG_VERB_COUNT,  /* rows affected, as an integer */
  PRG_VERB_EXISTS, /* a boolean */
  PRG_VERB_PAGE
};

/* Where an operation is. */
enum prg_phase {
  PRG_PHASE_GATE,
  PRG_PHASE_ACQUIRE,
  PRG_PHASE_SEND,
  PRG_PHASE_RUN,
  PRG_PHASE_DONE
};

/* A wait in progress. There is one per task, in the task; the parts belong to
** the kinds named. */
struct prg_op {
  enum prg_op_kind kind; /* NONE: not in use */
  enum prg_phase phase;
  struct prg_task *task;
  bool woken;
  lua_State *parked; /* the coroutine that is suspended in the wait; on LuaJIT
                        it has the Lua loop, also while that calls again */
  unsigned early;    /* LuaJIT: returns of a host's park in a row that nothing
                        asked for */
  /* Continues; returns the number of results, or PRG_PENDING. May raise, then
  ** the operation is over. The arguments of the call are at their places. */
  int (*step)(lua_State *L, struct prg_op *op);
  /* Drops everything but the arena's block; no Lua. Any state. */
  void (*abandon)(struct prg_op *op);
  struct prg_timer timer;     /* SLEEP, GATE, CLOSE */
  struct prg_link gate;       /* GATE, JOIN: in the list waited on */
  struct prg_list *gate_list; /* where `gate` is, or NULL */
  struct prg_db *db;
  struct prg_exec *exec; /* the block the call runs in, or NULL */
  struct prg_borrow borrow;
  bool borrowing; /* `borrow` is with the pool */
  struct prg_exec
      *begins; /* CALL: whose BEGIN its request, or `lead`, carries */
  struct prg_sql *begin_sql; /* that BEGIN; a reference */
  struct prg_req *lead;      /* a BEGIN that goes alone */
  struct prg_slot *slot;     /* held for this call only */
  struct prg_req *req;
  struct prg_direct
      direct; /* CALL: what is to be run, until `req` is made of it */
  struct prg_result none; /* where the answer may be */
  struct prg_result *result;
  struct prg_sql *sql;
  const struct prg_table *table; /* of a verb on a table; a reference */
  struct prg_page *page;         /* PAGE: in the arena */
  const struct prg_cond *key;    /* ONE of a table: the key asked for, in the
                                    arena, or NULL */
  struct prg_arena arena;        /* the parameters */
  enum prg_verb_kind verb;
  enum prg_shape shape;
  int opts;     /* stack index of the table of options, 0 none */
  bool class;   /* the options name a metatable for the rows */
  bool closing; /* CONTROL: the block takes no calls after this one */
  size_t row;   /* DONE: rows pushed so far */
  int64_t span; /* how long the call may take */
  int64_t due;  /* GATE, ACQUIRE, SLEEP, CLOSE: the end of this wait */
  int64_t now;  /* the clock as prg_op_now has read it in this step, or 0 */
  int64_t began;
  void *data;             /* STREAM, JOIN, CLOSE: the object waited for */
  struct prg_task *setup; /* ACQUIRE: runs on_connect; anchored in the registry
                               under the address of this field */
  struct prg_lease *setup_lease; /* with the slot meanwhile; a reference */
};

/* The free operation of the task that calls, ready to be filled in. Raises
** what prg_op_check does, or the task's cancellation. [-0, +0, e] */
struct prg_op *prg_op_begin(lua_State *L, enum prg_op_kind kind,
                            int (*step)(lua_State *, struct prg_op *),
                            void (*abandon)(struct prg_op *));
/* The same for who has the state at hand: finding it costs more than the rest. */
struct prg_op *prg_op_begin_in(lua_State *L, struct prg_state *G,
                               enum prg_op_kind kind,
                               int (*step)(lua_State *, struct prg_op *),
                               void (*abandon)(struct prg_op *));
/* The task that calls; raises `usage` where waiting is not possible (foreign
** coroutine, callback of a C function). [-0, +0, e] */
struct prg_task *prg_op_check(lua_State *L);
/* Runs the operation to its end: the one place that parks. As the value of a
** lua_CFunction. On LuaJIT it returns the pending mark to the loop of wait.lua,
** which calls the same function again. [-0, +n, e] */
int prg_op_run(lua_State *L, struct prg_op *op);
/* LuaJIT: the operation that a repeated call continues, or NULL. [-0, +0, -] */
struct prg_op *prg_op_resumed(lua_State *L,
                              int (*step)(lua_State *, struct prg_op *));
/* Its wait is over; from hub callbacks. No Lua. */
void prg_op_wake(struct prg_op *op);
/* Puts it at the end of a list of waiting operations, which it leaves when it is
** dropped. No Lua. */
void prg_op_queue(struct prg_op *op, struct prg_list *list);
/* Wakes all of such a list, first come first; it is empty then. No Lua. */
void prg_op_wake_all(struct prg_list *list);
/* Wakes the first, who stays in it. No Lua. */
void prg_op_wake_first(struct prg_list *list);
/* It waits there no more. Whoever is the first then is woken: that he was not may
** have been all that he waited for. No Lua. */
void prg_op_leave(struct prg_op *op);
/* The operation ended, or is given up: frees its parts (which may go on in the
** background, as ghosts) and lets the task wait again. No Lua. */
void prg_op_drop(struct prg_op *op);
/* What a parked coroutine yields; what a function returns on LuaJIT when it is
** to be called again after a park. */
extern const char prg_mark_park, prg_mark_pending;
/* The moment `span` microseconds from now, or the end of the innermost
** perigee.timeout of the task when that comes first. */
int64_t prg_op_due(const struct prg_task *t, int64_t span);
/* The same for who has read the clock. */
int64_t prg_op_due_at(const struct prg_task *t, int64_t now, int64_t span);
/* The time, read once for all that a call does until it waits. */
int64_t prg_op_now(struct prg_op *op);

/* ---- what tasks hold (lhost.c) ------------------------------------------- */

/* Something that a task holds beyond its calls and that ends with it: a lease, a
** stream. Embedded; zeroed is "not held". */
struct prg_holding {
  struct prg_link link; /* in task->holdings */
  struct prg_task *task;
  void (*end)(struct prg_holding *h); /* no Lua; not held any more by then */
};

/* Begins, ends a holding; both are fine twice. No Lua. */
void prg_hold(struct prg_holding *h, struct prg_task *t,
              void (*end)(struct prg_holding *h));
void prg_unhold(struct prg_holding *h);

/* ---- tasks and the built-in loop (ltask.c) ------------------------------- */

enum prg_task_state {
  PRG_TASK_RUNNABLE,
  PRG_TASK_WAITING,
  PRG_TASK_RUNNING,
  PRG_TASK_DEAD
};

/* Userdata "perigee.task". Anchored in the registry while it is alive, unless a
** host runs it: then its coroutine is its key in a weak table. */
struct prg_task {
  struct prg_state *G;
  lua_State *co; /* NULL: the main task. Of a host: only to be compared */
  struct prg_host *host;    /* who runs it; NULL: we do */
  void *wakeup;             /* of a host in C */
  int token;                /* registry: what the host knows it by */
  struct prg_task *carrier; /* of a host: whose call resumes it, or NULL */
  struct prg_list holdings; /* what ends with it */
  const void *id; /* whose number no other task ever has; not an address */
  struct prg_link link; /* in G->runnable, or G->woken */
  struct prg_link made; /* in G->tasks */
  enum prg_task_state state;
  bool started; /* its function has begun */
  bool failed;  /* DEAD: ended with an error (on the coroutine's stack) */
  bool joined;  /* somebody has seen how it ended */
  bool hosted;  /* perigee.spawn in a host: its results are in the uservalue */
  int nresults; /* DEAD: on top of the coroutine's stack */
  struct prg_op op;
  struct prg_list joiners; /* gates of operations */
  struct prg_error
      *cancel;         /* to be raised by the wait in progress or the next */
  int64_t deadline;    /* of perigee.timeout blocks */
  bool quick;          /* its last call was answered at once */
  bool waited;         /* its present call has waited */
  int64_t quick_since; /* when such calls began; 0: not known yet */
  bool busy;           /* a hook or codec of the user runs inside a step */
  int shield;          /* > 0: cancel and deadline are held back */
  void *owner;         /* of prg_embed_spawn, or NULL */
  int mark;            /* of prg_embed_mark */
};

int prg_task_open(lua_State *L); /* adds its functions to the table on top */
/* Pushes a task without a coroutine, which is dead. [-0, +1, m] */
struct prg_task *prg_task_push(lua_State *L, struct prg_state *G);
/* The running coroutine belongs to the task at `i`. [-0, +0, m] */
void prg_task_set_alias(lua_State *L, int i);
/* What prg_task_set_alias has set, or NULL. [-0, +0, -] */
struct prg_task *prg_task_alias(lua_State *L);
/* Runs a task of ours in the middle of a call of the task that carries it, while
** it can go on and has not given way. [-0, +0, e] */
void prg_task_carry(lua_State *L, struct prg_task *t);
/* Resumes the tasks of ours that can go on. [-0, +0, e] */
void prg_state_resume(lua_State *L, struct prg_state *G);
/* The task of the running coroutine; raises usage where there is none.
** [-0, +0, e] */
struct prg_task *prg_task_current(lua_State *L, struct prg_state *G);
/* The same without raising; NULL where there is none. [-0, +0, -] */
struct prg_task *prg_task_find(lua_State *L);
/* For who has the state at hand. */
struct prg_task *prg_task_find_in(lua_State *L, struct prg_state *G);
/* Of the running coroutine, but the main one and those that have made no call yet:
** no host is asked. NULL otherwise. [-0, +0, -] */
struct prg_task *prg_task_running(lua_State *L, struct prg_state *G);
void prg_task_resume(lua_State *L, struct prg_task *t);
/* Cancels every task. [-0, +0, e] */
void prg_task_cancel_all(lua_State *L);
/* Pushes the first error of a task that nobody has joined, and forgets it; false:
** there is none. [-0, +(0|1), -] */
bool prg_task_failure(lua_State *L);
/* Drops the operations that name `db`, which the collector has found: what one
** that raised has left in its task may outlive the handle. [-0, +0, -] */
void prg_task_forget_db(lua_State *L, const struct prg_db *db);
/* May `t`, which runs on L, be suspended here? */
bool prg_task_can_wait(lua_State *L, const struct prg_task *t);
/* It does not wait any more, whatever its state says. */
void prg_task_runs(struct prg_task *t);

/* Seconds at `i` as microseconds; raises usage naming `what`. [-0, +0, e] */
int64_t prg_check_seconds(lua_State *L, int i, const char *what);
/* lua_pcall of a function of the user's in the middle of a step: calls that it
** makes itself are refused. [-(n+1), +r|1, -] */
int prg_task_pcall(lua_State *L, struct prg_state *G, int n, int r);
/* Wakes the operation at op->due. */
void prg_op_set_timer(struct prg_op *op);
/* Sets the functions as fields of the table on top, and remembers them for
** prg_in_function. [-0, +0, m] */
void prg_set_functions(lua_State *L, const luaL_Reg *list);
/* Is one of them below the running function on this stack, as it is when a
** finaliser runs in the middle of it? [-0, +0, -] */
bool prg_in_function(lua_State *L);

/* Starts a task that runs the function and `n` arguments on top. [-(n+1), +1, e] */
struct prg_task *prg_task_spawn(lua_State *L, int n);

/* ---- errors (lerror.c) --------------------------------------------------- */

/* Pushes the error object and releases the C one. [-0, +1, m] */
void prg_push_error(lua_State *L, struct prg_error *e);
/* Raises it. Takes over `e`. [-0, +0, e] */
int prg_raise(lua_State *L, struct prg_error *e);
/* Raises a `usage` error with a formatted message. [-0, +0, e] */
int prg_usage(lua_State *L, const char *fmt, ...) PRG_PRINTF(2, 3);
/* A new C error from the error value at `i` (object, string, anything); never
** raises. [-0, +0, -] */
struct prg_error *prg_error_from(lua_State *L, int i);
int prg_error_open(lua_State *L);

/* ---- values (lvalue.c, ljson.c) ------------------------------------------ */

enum prg_int8_mode { PRG_INT8_AUTO, PRG_INT8_STRING, PRG_INT8_CDATA };
/* How a handle wants its values. */
struct prg_value_options {
  bool numeric_number;     /* numeric = "number" */
  bool json_raw;           /* json = "raw" */
  enum prg_int8_mode int8; /* only where a Lua number is a double */
};

/* Pushes a cell. PRG_NULL gives nil here (rows leave it out) and perigee.null
** inside lists, records and documents. [-0, +1, e] */
void prg_push_value(lua_State *L, const struct prg_value_options *o,
                    const struct prg_value *v);
/* Turns the Lua value at `i` into a parameter. Strings are borrowed from Lua
** (stay valid while the value is on the stack or in a table on it); what must
** be built lives in `a`. Raises usage naming `what` ("$3", ":name"), never
** mutates. [-0, +0, e] */
void prg_to_value(lua_State *L, int i, struct prg_arena *a, const char *what,
                  struct prg_value *out);
/* Adds null, default, json, array, … to the table on top, and the metatables.
** [-0, +0, e] */
int prg_value_open(lua_State *L);
/* Pushes the decoded document, or a perigee.raw_json object when Lua cannot
** hold it without loss. [-0, +1, m] */
void prg_push_json(lua_State *L, const char *text, size_t len);
/* Encodes the Lua value at `i` as JSON into `a`; raises usage naming `what`.
** [-0, +0, e] */
struct prg_text prg_json_encode(lua_State *L, int i, struct prg_arena *a,
                                const char *what);
int prg_json_open(lua_State *L);

/* ---- statements (lstmt.c) ------------------------------------------------ */

/* A scanned SQL text. Lives in the handle's cache; calls in progress keep it by
** reference count. */
struct prg_sql {
  int refs;
  struct prg_stmt *stmt;
  struct prg_scan scan;
  bool in_order;   /* parameters are sent in the order of the values */
  const char *key; /* Lua's own text, when it is a key of the cache */
};

/* The scanned form of the string at `i`, one reference, from the handle's cache;
** raises usage or syntax. [-0, +0, e] */
struct prg_sql *prg_sql_get(lua_State *L, struct prg_db *db, int i);
/* The same for texts that are used once: pushes the box that owns it.
** [-0, +1, e] */
struct prg_sql *prg_sql_once(lua_State *L, struct prg_db *db, int i);
/* The same from the cache: pushes the box of the scanned text. [-0, +1, e] */
struct prg_sql *prg_sql_push(lua_State *L, struct prg_db *db, int i);
void prg_sql_unref(struct prg_sql *s);
/* Lets go what the handle has at hand besides its cache. No Lua. */
void prg_sql_forget(struct prg_db *db);
/* Reads the values for `s` from the arguments at `first` up to the top: plain
** values, or a table. Returns the index of the opts table, or 0. Values are in
** *params (s->stmt->nparams of them), valid as prg_to_value says. [-0, +0, e] */
int prg_sql_params(lua_State *L, const struct prg_sql *s, int first,
                   struct prg_arena *a, struct prg_value **params);
/* The values for `s` out of the table at `t`, as the user counts them: nvalues.
** [-0, +0, e] */
struct prg_value *prg_sql_values(lua_State *L, const struct prg_sql *s, int t,
                                 struct prg_arena *a);
/* The same in the order of what is sent: nparams. [-0, +0, e] */
struct prg_value *prg_sql_table(lua_State *L, const struct prg_sql *s, int t,
                                struct prg_arena *a);
/* A table without a metatable? */
bool prg_is_plain_table(lua_State *L, int i);
void prg_sql_open(lua_State *L);
/* Makes the handle's cache. [-0, +0, m] */
void prg_sql_init(lua_State *L, struct prg_db *db);

/* ---- results (lresult.c) ------------------------------------------------- */

/* how[0]: the shape, how[1]: the index of a metatable for rows, or 0. The result
** is anchored elsewhere, the executor is at index 1. A decoding error is
** raised. */

/* A list of rows in three steps, so that a long one can give way in between:
** begin pushes the list [-0, +1, e], add puts rows range[0] to range[1] (not
** included) into the list on top [-0, +0, e], end sets its metatable. */
void prg_rows_begin(lua_State *L, struct prg_db *db, struct prg_result *r,
                    enum prg_shape shape);
void prg_rows_add(lua_State *L, struct prg_db *db, struct prg_result *r,
                  const size_t range[2], const int how[2]);
void prg_rows_end(lua_State *L, struct prg_db *db, struct prg_result *r,
                  enum prg_shape shape);
/* All three. [-0, +1, e] */
void prg_push_rows(lua_State *L, struct prg_db *db, struct prg_result *r,
                   enum prg_shape shape, int class);
/* Pushes row `i` alone. [-0, +1, e] */
void prg_push_row(lua_State *L, struct prg_db *db, struct prg_result *r,
                  size_t i, const int how[2]);
/* Pushes the first column of row `i`; nil for NULL. [-0, +1, e] */
void prg_push_cell(lua_State *L, struct prg_db *db, struct prg_result *r,
                   size_t i);
/* The first column of the first row as a number: a count, or a boolean. A
** decoding error is raised. [-0, +0, e] */
int64_t prg_result_number(lua_State *L, struct prg_result *r);
/* Pushes { affected, last_id, rows } of one result. [-0, +1, e] */
void prg_push_execute(lua_State *L, struct prg_db *db, struct prg_result *r,
                      enum prg_shape shape, int class);
int prg_result_open(lua_State *L);
/* Makes the handle's table of shapes. [-0, +0, m] */
void prg_result_init(lua_State *L, struct prg_db *db);
/* Lets the shapes go. Fine twice, and before prg_result_init. [-0, +0, -] */
void prg_result_fini(lua_State *L, struct prg_db *db);

/* ---- handles (ldb.c) ------------------------------------------------------ */

/* Userdata "perigee.db". Its uservalue, the handle's environment, is a table
** with the hooks (on_query, on_notice, decoders) and what the Lua part keeps. */
struct prg_db {
  const void *magic;
  struct prg_state *G;
  struct prg_pool *pool; /* NULL: freed */
  const struct prg_driver *driver;
  const struct prg_dialect *dialect;
  struct prg_value_options values;
  int64_t acquire_timeout, query_timeout;
  int sql_ref, shapes_ref; /* registry: tables of lstmt.c and lresult.c */
  unsigned nsql, nshapes;  /* how much is in them */
  struct prg_sql *recent[PRG_RECENT_SQL]; /* lstmt.c: references to what is in
                                             the cache, by Lua's address of the
                                             text */
  struct {
    uint64_t id;                      /* of the description; 0: none */
    int ref;                          /* registry: its shape */
  } recent_shapes[PRG_RECENT_SHAPES]; /* lshape.c */
  int scopes;                         /* blocks that are open in some task */
  bool shares;                        /* statements may share connections */
  bool has_on_query, has_codecs, has_on_notice, has_on_connect;
  struct prg_error *news; /* notices of the server, and warnings of ours (kind
                             usage), not told yet; a chain by `cause`, oldest
                             first */
  struct prg_error *last_news; /* its end */
  unsigned nnews, lost_news;   /* how many are in it; how many too many came */
  struct prg_list closers;     /* gates of operations that wait for the close */
  struct prg_ear *ear; /* owned: of its listeners; NULL before the first */
};

/* Raises usage when the value at `i` is not a handle. [-0, +0, e] */
struct prg_db *prg_db_check(lua_State *L, int i);
/* NULL when the value at `i` is not one. */
struct prg_db *prg_db_test(lua_State *L, int i);
/* Raises closed when the collector has ended the handle, usage when it belongs to
** the process that we were forked from. [-0, +0, e] */
void prg_db_check_usable(lua_State *L, const struct prg_db *db);
/* Raises when it was lent out in the process that we were forked from. NULL is
** fine. [-0, +0, e] */
void prg_slot_check_own(lua_State *L, const struct prg_slot *slot);
/* Adds to the news; takes over `e`. No Lua. */
void prg_db_note(struct prg_db *db, struct prg_error *e);
/* Tells the news to the hooks on_notice and on_warning. The executor is at 1.
** [-0, +0, e] */
void prg_db_tell_news(lua_State *L, struct prg_db *db);
/* Pushes the environment of the handle of the executor at `i`. [-0, +1, -] */
void prg_push_env(lua_State *L, int i);
/* The schema may have changed: counts up the field `ddl` of the environment of
** the executor at 1. [-0, +0, m] */
void prg_db_note_ddl(lua_State *L);
int prg_db_open(lua_State *L);

/* ---- connections and transactions (lexec.c) ------------------------------ */

/* Who holds the connection: shared by a conn and the transactions in it. */
struct prg_lease {
  int refs;
  struct prg_slot *slot; /* NULL: given back */
  struct prg_db *db;
  struct prg_holding held;
};

/* What has become of the statement that begins a block. */
enum prg_begin {
  PRG_BEGUN,     /* it has run, or there is none */
  PRG_UNBEGUN,   /* nothing was sent; the first statement brings it along */
  PRG_BEGINS,    /* on its way */
  PRG_BEGIN_LOST /* on its way when the call that brought it was given up */
};

/* Userdata "perigee.exec": a conn or a tx. Its uservalue is a table: [1] the
** handle, [2] the outer block, other keys are the Lua part's. */
struct prg_exec {
  const void *magic;
  struct prg_db *db;
  struct prg_lease *lease;
  struct prg_exec *parent; /* the outer block on the same connection */
  struct prg_exec *inner;  /* the open block inside, or NULL */
  const void *task;        /* whose block it is: the id */
  struct prg_list gate;    /* operations of other tasks that wait for `inner` */
  bool open;               /* takes calls */
  bool is_tx;
  bool failed; /* its connection broke or was given up */
  int scopes;  /* how many tasks join it: part of the handle's count */
  enum prg_begin begin;
  struct prg_sql *begin_sql;     /* owned: BEGIN or SAVEPOINT, unless BEGUN */
  struct prg_error *begin_error; /* owned: why it is LOST */
  struct prg_op *beginner;       /* BEGINS: who waits for the answer */
  bool ddl; /* outermost: a statement that changes the schema has run, and its
                  transaction has not ended */
};

/* NULL when the value at `i` is not one. */
struct prg_exec *prg_exec_test(lua_State *L, int i);
/* The executor at index 1: its handle, and in *exec the block that a call of
** this task on it is to run in, NULL for the pool. Raises usage when it is
** none, closed when it has ended. [-0, +0, e] */
struct prg_db *prg_exec_resolve(lua_State *L, struct prg_exec **exec);
/* GATE: moves op->exec to the block inside in which this task may run, or
** queues the operation on a block of another task's and returns PRG_PENDING;
** else 0. Raises closed or timeout. [-0, +0, e] */
int prg_exec_pass_gate(lua_State *L, struct prg_op *op);
/* The block whose BEGIN an operation with this executor has to wait for, or NULL. */
struct prg_exec *prg_exec_beginning(const struct prg_op *op,
                                    struct prg_exec *x);
/* Sees to it that the blocks around op->exec are begun before its request: all by
** themselves, or the innermost as `req`'s prelude, if `req` can have one (NULL:
** it cannot). After the gate; 0 or PRG_PENDING; raises. [-0, +0, e] */
int prg_exec_begin(lua_State *L, struct prg_op *op, struct prg_req *req);
/* The request that carried a BEGIN was answered, or is given up: what of it? No
** Lua. */
void prg_exec_note_begin(struct prg_op *op, const struct prg_req *req);
/* The transaction's state as far as the blocks know. */
enum prg_tx prg_exec_tx(const struct prg_exec *x);
/* `sql` (a reference, taken over) begins the block, and is to go with its first
** statement. False: its driver cannot do that, and nothing was taken over. */
bool prg_exec_hold_begin(struct prg_exec *x, struct prg_sql *sql);
/* Tells the hook of the BEGIN that was answered. [-0, +0, e] */
void prg_exec_tell_begin(lua_State *L, struct prg_op *op,
                         const struct prg_error *e);
/* The executor goes. No Lua. */
void prg_exec_forget_begin(struct prg_exec *x);
/* Pushes a conn for the slot of the handle at `db_index`, which is the lease's
** from now on. [-0, +1, e] */
struct prg_exec *prg_exec_push_conn(lua_State *L, struct prg_db *db,
                                    int db_index, struct prg_slot **slot);
void prg_lease_unref(struct prg_lease *l, struct prg_db *db);
/* "a.lua:3 < b.lua:9": the callers outside of Perigee, innermost first.
** [-0, +0, -] */
void prg_exec_where(lua_State *L, char *out, size_t size);
int prg_exec_open(lua_State *L);

/* ---- calls (lcall.c), streams (lstream.c), listeners (llisten.c), URLs ------ */

/* Frees what a call holds; for op->abandon. */
void prg_call_abandon(struct prg_op *op);
/* The call cannot go on at once: what it is to run becomes a request with values of
** its own. PRG_ERR: no memory. No Lua. */
int prg_call_keep(struct prg_op *op) PRG_MUSTCHECK;
/* ACQUIRE: gets op->slot. 0 or PRG_PENDING; raises. [-0, +0, e] */
int prg_call_acquire(lua_State *L, struct prg_op *op, enum prg_lane lane);
/* Checks that the statement may run here. Raises usage. [-0, +0, e] */
void prg_call_check(lua_State *L, const struct prg_op *op);
/* Sets the standard of all options. */
void prg_call_defaults(struct prg_op *op);
/* Takes the value on top when `key` is an option of every call (timeout, rows,
** class); false when it is none. Raises usage. [-0, +0, e] */
bool prg_call_option(lua_State *L, struct prg_op *op, const char *key);
/* Reads the options at op->opts: timeout, rows, class; raises usage on others.
** [-0, +0, e] */
void prg_call_options(lua_State *L, struct prg_op *op);
/* The operation of a call on the executor at 1. [-0, +0, e] */
struct prg_op *prg_call_begin(lua_State *L, enum prg_verb_kind verb);
/* The same on a handle, or on a block of it. [-0, +0, e] */
struct prg_op *prg_call_begin_on(lua_State *L, struct prg_db *db,
                                 struct prg_exec *x, enum prg_verb_kind verb);
/* A new request of op->sql, if it has one, for the call. [-0, +0, e] */
void prg_call_request(lua_State *L, struct prg_op *op, enum prg_req_kind kind);
/* LuaJIT: the call that is called again, or NULL. [-0, +0, -] */
struct prg_op *prg_call_resumed(lua_State *L);
/* Runs op->sql with these values, which are valid as prg_to_value says;
** `max_rows` as in a request. As the value of a lua_CFunction. [-0, +n, e] */
int prg_call_run(lua_State *L, struct prg_op *op,
                 const struct prg_value *params, size_t max_rows);
/* The same as a batch; `collect`: the rows of all sets are wanted. */
int prg_call_run_batch(lua_State *L, struct prg_op *op,
                       const struct prg_value *sets, size_t nsets,
                       bool collect);
/* The rows of op->result, in the shape and with the class that the call asks
** for, in slices: pushes a list, or returns PRG_PENDING after a slice that took
** its time (return it; the step is made again after the other tasks had their
** turn). [-0, +1, e] */
int prg_call_push_list(lua_State *L, struct prg_op *op);
/* Pushes the metatable that the call's rows get, out of the options, or else of
** the handle at 2, and returns its index, or 0. [-0, +(0|1), e] */
int prg_call_push_class(lua_State *L, const struct prg_op *op);
/* Is the value on top a metatable that rows may have? [-0, +0, -] */
bool prg_call_is_class(lua_State *L);
/* Pushes what the verb gives of op->result, as prg_call_push_list. [-0, +1, e] */
int prg_call_push_answer(lua_State *L, struct prg_op *op);
/* A statement was answered, in this block or in none: if it has changed the schema,
** what is known of tables is out of date. The executor is at 1. [-0, +0, m] */
void prg_call_note_ddl(lua_State *L, const struct prg_sql *s,
                       struct prg_exec *x);
/* A call that ended, for the on_query hook. */
struct prg_told {
  const struct prg_sql *sql; /* NULL: a ping */
  int64_t began;
  int64_t rows; /* -1: not told */
  const struct prg_error *error;
};

/* Calls the hook. The executor is at 1. [-0, +0, e] */
void prg_call_tell(lua_State *L, struct prg_db *db, const struct prg_told *t);
int prg_call_open(lua_State *L);
int prg_stream_open(lua_State *L);
int prg_pipe_open(lua_State *L);
int prg_listen_open(lua_State *L);
/* Ends all listeners of the handle, as if each had been closed. No Lua. */
void prg_db_deafen(struct prg_db *db);
/* Their connection is closed, and another one opened. No Lua. */
void prg_db_rehear(struct prg_db *db);
/* The parsed URL at `i`, a string or a perigee.url; for prg_url_fini. Raises
** usage. [-0, +0, e] */
int prg_url_from_lua(lua_State *L, int i, struct prg_url *out);
int prg_url_open(lua_State *L);

/* ---- sandbox (lsandbox.c), files and the machine (lfiles.c), bells (lbell.c) */

/* All add their functions to the table on top. [-0, +0, m] */
void prg_sandbox_open(lua_State *L);
void prg_files_open(lua_State *L);
void prg_load_open(lua_State *L);
/* Raises when another Lua than ours loads us, or another copy of Perigee is in the
** process. `caller`: where luaopen_perigee_core returns to. [-0, +0, e] */
void prg_load_check(lua_State *L, void *caller);
void prg_bell_open(lua_State *L);

#endif
