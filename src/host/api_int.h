/* What the files behind perigee.h share. */
#ifndef PRG_HOST_API_INT_H
#define PRG_HOST_API_INT_H

#include <stdatomic.h>
#include <stdbool.h>

#include <lua.h>

#include "base/arena.h"
#include "base/list.h"
#include "bind/bind.h"
#include "host/blocks.h"
#include "host/perigee.h"

/* ---- values (value.c) ----------------------------------------------------- */

/* NULL, or what is wrong with a value of the program's. No Lua. */
const char *prg__value_check(const perigee_value *v);
/* The same for `n` of them. */
const char *prg__values_check(const perigee_value *v, size_t n);
/* Pushes a value that was checked. [-0, +1, e] */
void prg__value_push(lua_State *L, const perigee_value *v);
/* Copies `n` values that were checked; NULL without memory. */
perigee_value *prg__values_copy(struct prg_arena *a, const perigee_value *v,
                                size_t n);

/* Takes values out of Lua. */
struct prg_taker {
  lua_State *L;
  struct prg_arena *arena; /* what is taken lives there */
  size_t max;              /* bytes that it may have */
  const void *record;      /* the metatable of empty records, see below */
  const char *why; /* why not, after a failure: usage; NULL: no memory */
  bool too_large;  /* after a failure: over `max` */
};

/* The values from stack index `first` to the top, *n of them; NULL when one
** cannot be taken. Runs nothing of the script's. [-0, +0, -] */
perigee_value *prg__values_take(struct prg_taker *t, int first, size_t *n);

/* ---- errors (problem.c) ----------------------------------------------------- */

/* A new error. Never fails. */
perigee_error *prg__problem(int kind, const char *format, ...) PRG_PRINTF(2, 3);
/* From a table that perigee.embed.describe has made. [-0, +0, m] */
perigee_error *prg__problem_read(lua_State *L, int i);
/* Changes kind and message, and keeps the rest. */
void prg__problem_becomes(perigee_error *e, int kind, const char *message);
/* Raises an error object of that kind with the string on top as its message.
** [-1, +0, e] */
int prg__raise(lua_State *L, const char *kind);
/* Gives `e` to the program, or frees it. Returns -1. */
int prg__hand_over(perigee_error **err, perigee_error *e);
/* prg__problem, handed over. */
#define prg__refuse(err, ...) prg__hand_over(err, prg__problem(__VA_ARGS__))
/* The name of a kind that core knows too, or NULL. */
const char *prg__kind_name(int kind);

/* ---- runtimes (runtime.c) --------------------------------------------------- */

enum prg_stop_why {
  PRG_STOP_NONE,
  PRG_STOP_INSTRUCTIONS,
  PRG_STOP_SECONDS,
  PRG_STOP_INTERRUPT,
  PRG_STOP_CLOSE
};

struct perigee {
  lua_State *L;  /* the main thread; NULL: closed */
  lua_State *at; /* what calls of the program's run on: of the native function
                    in progress, or L */
  struct prg_state *state;
  const void *thread; /* which one it belongs to */
  long pid;
  /* limits */
  struct prg_blocks blocks;
  size_t used, limit;     /* bytes of Lua's; 0: no limit */
  size_t spare;           /* that is allowed beyond it for a while */
  bool starved;           /* the limit was hit in this turn */
  uint64_t budget;        /* of each turn of a task */
  int64_t left;           /* of the one that runs; INT64_MAX outside of tasks */
  int64_t due;            /* of the one that runs */
  int64_t looked;         /* when the clock was looked at last */
  int64_t close_due;      /* while it is being closed, else PRG_NEVER */
  size_t late;            /* tasks that were running at that time */
  int64_t span;           /* of each task; PRG_NEVER */
  enum prg_stop_why stop; /* of the one that runs */
  int grace;              /* what Perigee's own code may run once it stops */
  atomic_int interrupted;
  /* the loop */
  bool stepping;             /* in a turn, or in a function of the program's */
  bool free_soon;            /* perigee_free was called meanwhile */
  struct prg_list tasks;     /* perigee_task, all of them */
  struct prg_list ended;     /* those to be told of */
  struct prg_list functions; /* perigee_function */
  struct prg_list natives;   /* what perigee_register has made */
  perigee_task *waited;      /* perigee_wait's; NULL: freed meanwhile */
  const void *record;        /* metatable of empty records */
  void (*log)(void *data, const char *line);
  void *data;
};

/* May the program use it now? False: *err says why not; `what` is the function. */
bool prg__usable(const perigee *rt, const char *what, perigee_error **err);
/* Runs `fn` protected, with `arg` as a light userdata. False: *err. */
bool prg__protect(perigee *rt, lua_CFunction fn, void *arg,
                  perigee_error **err);
/* What functions end with that may have called the program: it has called
** perigee_free meanwhile, and now the runtime is freed. */
bool prg__was_freed(perigee *rt);
/* Pushes a function of lua/perigee/embed.lua. [-0, +1, -] */
void prg__push_part(lua_State *L, const char *name);
/* The error value on top, which is popped. [-1, +0, -] */
perigee_error *prg__pop_problem(perigee *rt);
/* The runtime of a Lua state. */
perigee *prg__runtime(lua_State *L);
/* From now on limits hold, in the main thread and all coroutines made by it.
** [-0, +0, e] (limit.c) */
void prg__limit_open(lua_State *L);
/* Makes `e`, with which a task ended, say what has stopped it. */
void prg__stopped(const perigee *rt, enum prg_stop_why stop, perigee_error *e);
/* One line for nobody in particular. */
void prg__log(const perigee *rt, const char *line);
/* An address that only the calling thread has. */
const void *prg__thread(void);
/* Takes the values from `first` to the top of the stack, *n of them, into `a`;
** NULL: *e says why not. [-0, +0, -] */
perigee_value *prg__take(perigee *rt, lua_State *L, int first, size_t *n,
                         struct prg_arena *a, perigee_error **e);

/* ---- functions (function.c) ------------------------------------------------- */

struct perigee_function {
  struct prg_link link;
  perigee *rt; /* NULL: freed. The function is in Lua's registry under this
                  address */
};

/* What perigee_register has made; lives as long as the runtime. */
struct prg_native {
  struct prg_link link;
  perigee_native fn;
  void *data;
  char name[];
};

/* Pushes the table that holds the last word of `name`, "a.b.c", and returns that
** word; where a table is missing it is made, or an error raised. [-0, +1, e] */
const char *prg__push_holder(lua_State *L, const char *name, bool make);
/* Pushes the function. [-0, +1, -] */
void prg__function_push(lua_State *L, const perigee_function *f);
/* The runtime is freed. */
void prg__functions_forget(perigee *rt);

/* ---- tasks (task.c) ---------------------------------------------------------- */

/* Cancels all and runs them to their end, until rt->close_due. How many are
** left. */
size_t prg__tasks_end(perigee *rt);
/* Lua is closed: those that are left end with `closed`. */
void prg__tasks_close(perigee *rt);
/* The runtime is freed. */
void prg__tasks_forget(perigee *rt);

#endif
