/*
** perigee.h: Lua scripts with databases inside of a program in C or C++.
**
** A runtime (`perigee`) is a Lua 5.4 of its own with Perigee in it: limits, the
** databases that its scripts see, functions of the program that they may call. A
** task runs one function of a script in a coroutine; where the script waits for a
** database, the others go on. Nothing here blocks but perigee_wait,
** perigee_wait_all and perigee_close:
**
**     perigee *rt = perigee_new(NULL, &err);
**     perigee_open(rt, "db", "sqlite:app.db", NULL, &err);
**     perigee_function *f = perigee_load_file(rt, "app.lua", &err);
**     perigee_task *t = perigee_start(f, args, 2, &err);
**     ... poll(2) perigee_fd(rt) for reading; when it is readable:
**     perigee_step(rt, &err);
**     if (perigee_task_done(t)) ... perigee_task_results(t, &n) ...
**
** Rules:
** - Failures are values. What can fail takes `perigee_error **err`: with a
**   failure, *err is set to an error that the caller frees by perigee_error_free;
**   without one it is left alone. `err` may be NULL. Nothing exits, aborts or
**   jumps out of a function.
** - Arguments are copied before a function returns, but for `data` pointers.
** - A runtime belongs to the thread that made it, and so do its tasks and functions;
**   what takes an `err` refuses other threads. Only perigee_interrupt is for all. A
**   process may have many runtimes.
** - After fork() the child may only free what it has (perigee_free).
** - Handles must not be used once they are freed. NULL handles are refused, or
**   ignored where a function only frees.
*/
#ifndef PERIGEE_H
#define PERIGEE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Changes when programs have to be compiled again. */
#define PERIGEE_ABI 1

#if defined(__GNUC__)
#define PERIGEE_API __attribute__((visibility("default")))
#define PERIGEE_FORMAT(text, first) __attribute__((format(printf, text, first)))
#else
#define PERIGEE_API
#define PERIGEE_FORMAT(text, first)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the library, as "0.1.0". */
PERIGEE_API const char *perigee_version(void);
/* The PERIGEE_ABI that the library was built with. */
PERIGEE_API int perigee_abi(void);

/* ---- values --------------------------------------------------------------- */

enum perigee_type {
  PERIGEE_NIL,
  PERIGEE_NULL, /* perigee.null: NULL of SQL in a table, null of JSON */
  PERIGEE_BOOLEAN,
  PERIGEE_INTEGER,
  PERIGEE_NUMBER,
  PERIGEE_STRING,
  PERIGEE_LIST,
  PERIGEE_RECORD /* a table whose keys are strings, such as a row */
};

struct perigee_field;

/* A value, passed by itself. What it points to belongs to whoever made it. */
typedef struct perigee_value {
  enum perigee_type type;
  size_t count; /* STRING: bytes; LIST, RECORD: how many items or fields */
  union {
    int boolean;
    int64_t integer;
    double number;
    const char *string; /* may hold zeros; one more follows when it is ours */
    const struct perigee_value *items;
    const struct perigee_field *fields; /* ours: by name, as strcmp orders */
  } as;
} perigee_value;

typedef struct perigee_field {
  const char *name;
  size_t length; /* of the name */
  perigee_value value;
} perigee_field;

static inline perigee_value perigee_make(enum perigee_type type, size_t count) {
  perigee_value v;
  memset(&v, 0, sizeof v);
  v.type = type;
  v.count = count;
  return v;
}

static inline perigee_value perigee_nil(void) {
  return perigee_make(PERIGEE_NIL, 0);
}

static inline perigee_value perigee_null(void) {
  return perigee_make(PERIGEE_NULL, 0);
}

static inline perigee_value perigee_boolean(int truth) {
  perigee_value v = perigee_make(PERIGEE_BOOLEAN, 0);
  v.as.boolean = truth != 0;
  return v;
}

static inline perigee_value perigee_integer(int64_t i) {
  perigee_value v = perigee_make(PERIGEE_INTEGER, 0);
  v.as.integer = i;
  return v;
}

static inline perigee_value perigee_number(double d) {
  perigee_value v = perigee_make(PERIGEE_NUMBER, 0);
  v.as.number = d;
  return v;
}

/* Any bytes. */
static inline perigee_value perigee_bytes(const char *data, size_t length) {
  perigee_value v = perigee_make(PERIGEE_STRING, length);
  v.as.string = data;
  return v;
}

/* A string that ends with a zero byte; NULL gives nil. */
static inline perigee_value perigee_text(const char *s) {
  return s == NULL ? perigee_nil() : perigee_bytes(s, strlen(s));
}

/* `n` items, none of them nil. */
static inline perigee_value perigee_list(const perigee_value *items, size_t n) {
  perigee_value v = perigee_make(PERIGEE_LIST, n);
  v.as.items = items;
  return v;
}

/* `n` fields; those that are nil are left out. */
static inline perigee_value perigee_record(const perigee_field *fields,
                                           size_t n) {
  perigee_value v = perigee_make(PERIGEE_RECORD, n);
  v.as.fields = fields;
  return v;
}

static inline perigee_field perigee_pair(const char *name,
                                         perigee_value value) {
  perigee_field f;
  f.name = name;
  f.length = name == NULL ? 0 : strlen(name);
  f.value = value;
  return f;
}

/* Item `i` of a list, from 0 on, or the field of a record that came from the
** library. Never NULL: what is not there is a nil, also in a value that is
** neither. NULL is taken for nil. */
PERIGEE_API const perigee_value *perigee_item(const perigee_value *list,
                                              size_t i);
PERIGEE_API const perigee_value *perigee_get(const perigee_value *record,
                                             const char *name);

/* What is in a value, or `otherwise` when it is of another type. Numbers with an
** integral value are integers too, integers are numbers too. */
PERIGEE_API int64_t perigee_as_integer(const perigee_value *v,
                                       int64_t otherwise);
PERIGEE_API double perigee_as_number(const perigee_value *v, double otherwise);
PERIGEE_API const char *perigee_as_text(const perigee_value *v,
                                        const char *otherwise);
/* As Lua has it: nil and false are false, and NULL is; all else is true. */
PERIGEE_API int perigee_as_boolean(const perigee_value *v);

/* ---- errors ---------------------------------------------------------------- */

/* What went wrong; docs/api/errors.md has the kinds of Perigee's. */
enum perigee_kind {
  PERIGEE_E_DATABASE, /* an error of the database with no kind of its own */
  PERIGEE_E_UNIQUE,
  PERIGEE_E_FOREIGN_KEY,
  PERIGEE_E_NOT_NULL,
  PERIGEE_E_CHECK,
  PERIGEE_E_EXCLUSION,
  PERIGEE_E_DATA,
  PERIGEE_E_SERIALIZATION,
  PERIGEE_E_DEADLOCK,
  PERIGEE_E_LOCKED,
  PERIGEE_E_TIMEOUT,   /* of a query, or of perigee_task_timeout */
  PERIGEE_E_CANCELLED, /* by perigee_task_cancel, perigee_interrupt, ... */
  PERIGEE_E_CLOSED,    /* the runtime, or what a script used */
  PERIGEE_E_CONNECT,
  PERIGEE_E_AUTH,
  PERIGEE_E_SYNTAX,
  PERIGEE_E_UNDEFINED,
  PERIGEE_E_DUPLICATE,
  PERIGEE_E_PERMISSION,
  PERIGEE_E_UNSUPPORTED,
  PERIGEE_E_ABORTED,
  PERIGEE_E_RESOURCE, /* memory, descriptors, disk */
  PERIGEE_E_USAGE,    /* a mistake of the script's, or of this program's */
  PERIGEE_E_NOT_FOUND,
  PERIGEE_E_NOT_UNIQUE,
  PERIGEE_E_CURSOR,
  PERIGEE_E_MIGRATION,
  PERIGEE_E_SCRIPT = 1000, /* raised by Lua or with error(); does not compile */
  PERIGEE_E_LIMIT          /* a limit of perigee_options was reached */
};

/* Texts that are not known are NULL, numbers 0. More may be added at the end. */
typedef struct perigee_error {
  int kind;            /* enum perigee_kind; others may come */
  const char *name;    /* of the kind: "unique", "script", "limit", ... */
  const char *message; /* never NULL */
  int retryable;       /* the same may work when it is tried again */
  const char *sqlstate;
  int code;     /* of the database's own */
  int position; /* in the SQL, from 1 on, in characters */
  const char *detail;
  const char *hint;
  const char *constraint;
  const char *schema;
  const char *table;
  const char *column;
  const char *sql;
  const char
      *traceback; /* where in the scripts, a line each, innermost first */
} perigee_error;

/* NULL is fine. Only for errors that were stored in an `err`. */
PERIGEE_API void perigee_error_free(perigee_error *err);

/* ---- runtimes -------------------------------------------------------------- */

typedef struct perigee perigee;

/* What scripts have beside the basic functions, string, table, math, utf8,
** coroutine, os.time, os.date, os.clock, os.difftime, perigee and require. */
enum {
  PERIGEE_LIB_IO = 1,      /* io, dofile, loadfile */
  PERIGEE_LIB_OS = 2,      /* all of os */
  PERIGEE_LIB_PACKAGE = 4, /* package */
  PERIGEE_LIB_DEBUG = 8,   /* debug, compiled code in load, finalizers: all that
                              could get around the limits below */
  PERIGEE_LIB_ALL = 15
};

/* Made by perigee_options_init, then changed. */
typedef struct perigee_options {
  size_t size;        /* of this struct, as the program was compiled */
  int abi;            /* PERIGEE_ABI of the program */
  unsigned libraries; /* PERIGEE_LIB_...; default 0 */
  size_t memory; /* bytes that Lua may have; 0: no limit. Rows that a driver
                         holds are not counted before Lua has them */
  uint64_t instructions; /* of the Lua machine that a task may run from one wait
                            to the next; 0: no limit */
  double seconds; /* that a task may take, waits included, but not those that
                     it spawns; 0: no limit */
  const char *const *modules; /* names that `require` takes, "perigee" too; ends
                                 with NULL. Default NULL: all that it finds */
  const char *path;           /* package.path; default: Lua's */
  const char *cpath; /* package.cpath, where also drivers are looked for when
                        they are not beside the library; default: Lua's */
  /* Is told, without a newline at the end, what nobody else is: warnings of
  ** databases, errors of tasks that were freed or that scripts have spawned. Must
  ** not call anything here. Default NULL: written to standard error. */
  void (*log)(void *data, const char *line);
  void *data; /* for `log` */
} perigee_options;

static inline void perigee_options_init(perigee_options *o) {
  memset(o, 0, sizeof *o);
  o->size = sizeof *o;
  o->abi = PERIGEE_ABI;
}

/* A new runtime, or NULL. `options` NULL: the defaults. */
PERIGEE_API perigee *perigee_new(const perigee_options *options,
                                 perigee_error **err);

/* Ends all tasks, which are cancelled and roll back, and closes the databases.
** Takes at most about `seconds`; what has not ended by then is dropped, and its
** connections closed. 0, or -1 with an error when it was dropped. Afterwards
** functions of the runtime fail with `closed`, tasks can still be asked. Closed
** already: 0. Refused while the runtime calls the program. */
PERIGEE_API int perigee_close(perigee *rt, double seconds, perigee_error **err);
/* Frees it, closing it without waiting when it is not closed. Functions and
** tasks of it are to be freed too, before or after. NULL is fine. Called in a
** function of the program's that the runtime calls, it takes effect when what
** has called that (perigee_step, perigee_wait, ...) returns. */
PERIGEE_API void perigee_free(perigee *rt);

/* Opens a database as perigee.open(url, options) does, and gives it to scripts as
** the global `name`. Nothing is connected before it is used. `options`: NULL or a
** record, such as max_size, query_timeout (docs/guide/opening.md). 0, or -1. */
PERIGEE_API int perigee_open(perigee *rt, const char *name, const char *url,
                             const perigee_value *options, perigee_error **err);

/* Sets a global; dots in the name make or enter tables: "game.title". 0, or
** -1. */
PERIGEE_API int perigee_set(perigee *rt, const char *name, perigee_value value,
                            perigee_error **err);

/* Bytes that Lua has now; 0 once it is closed. */
PERIGEE_API size_t perigee_memory(const perigee *rt);

/* ---- functions of the program's for scripts -------------------------------- */

/* A call of such a function, while it lasts. */
typedef struct perigee_call perigee_call;

/* Returns 0, or what perigee_fail returns. It must not throw exceptions, nor call
** perigee_step, perigee_wait, perigee_wait_all and perigee_close, which refuse;
** perigee_start and all else is allowed. */
typedef int (*perigee_native)(perigee_call *call, void *data);

/* Makes `fn` callable for scripts as the global `name` ("game.spawn" as for
** perigee_set); `data` is passed to it. 0, or -1. */
PERIGEE_API int perigee_register(perigee *rt, const char *name,
                                 perigee_native fn, void *data,
                                 perigee_error **err);

PERIGEE_API size_t perigee_arg_count(const perigee_call *call);
/* Argument `i` from 0 on, a nil past the last; valid during the call. */
PERIGEE_API const perigee_value *perigee_arg(const perigee_call *call,
                                             size_t i);
PERIGEE_API perigee *perigee_call_runtime(const perigee_call *call);
/* The results of the call; the last one counts. 0, or what perigee_fail
** returns. */
PERIGEE_API int perigee_return(perigee_call *call, const perigee_value *values,
                               size_t n);
/* Makes the call raise an error: of PERIGEE_E_SCRIPT a string with the place of
** the call, as error() does; of other kinds an error object. For `return`. */
PERIGEE_API int perigee_fail(perigee_call *call, int kind, const char *format,
                             ...) PERIGEE_FORMAT(3, 4);

/* ---- functions of scripts -------------------------------------------------- */

/* A Lua function of a runtime, to be started any number of times. */
typedef struct perigee_function perigee_function;

/* A file as a function, whose arguments are `...` of the file. */
PERIGEE_API perigee_function *perigee_load_file(perigee *rt, const char *path,
                                                perigee_error **err);
/* A text as a function; `name` is what messages call it. Never compiled code. */
PERIGEE_API perigee_function *perigee_load_text(perigee *rt, const char *name,
                                                const char *text, size_t length,
                                                perigee_error **err);
/* The function that a script has made a global: "on_tick", "game.on_tick". It
** stays the same when the global is set anew. */
PERIGEE_API perigee_function *perigee_find(perigee *rt, const char *name,
                                           perigee_error **err);
/* Tasks that run it go on. NULL is fine. */
PERIGEE_API void perigee_function_free(perigee_function *f);

/* ---- tasks ------------------------------------------------------------------ */

/* A call of such a function, in a coroutine of its own. */
typedef struct perigee_task perigee_task;

/* Starts a task; it first runs in the next perigee_step or perigee_wait. */
PERIGEE_API perigee_task *perigee_start(perigee_function *f,
                                        const perigee_value *args, size_t n,
                                        perigee_error **err);
/* Has it ended, in whatever way? */
PERIGEE_API int perigee_task_done(const perigee_task *t);
/* `fn` is called once, when the task has ended, out of perigee_step,
** perigee_wait, perigee_wait_all or perigee_close; what is said of perigee_native
** goes for it. It may free the task. NULL: nothing is called. */
PERIGEE_API void perigee_task_on_done(perigee_task *t,
                                      void (*fn)(perigee_task *t, void *data),
                                      void *data);
/* What its function returned, *n values (`n` may be NULL) and a nil behind them;
** NULL before the end and after an error. Valid until the task is freed. */
PERIGEE_API const perigee_value *perigee_task_results(const perigee_task *t,
                                                      size_t *n);
/* The error that it ended with, or NULL. Valid until the task is freed. */
PERIGEE_API const perigee_error *perigee_task_error(const perigee_task *t);
/* It ends with `timeout` when it has not ended `seconds` from now: at its next
** wait, or while it computes. Wins over the option `seconds`; only before it
** runs. 0, or -1. */
PERIGEE_API int perigee_task_timeout(perigee_task *t, double seconds,
                                     perigee_error **err);
/* Makes its wait, or its next one, raise `cancelled`, with `why` as the message
** unless that is NULL; a query is cancelled on its server. The task ends in one of
** the next steps. Has it ended, nothing is done. 0, or -1. */
PERIGEE_API int perigee_task_cancel(perigee_task *t, const char *why,
                                    perigee_error **err);
/* Frees it. One that has not ended goes on by itself. NULL is fine. */
PERIGEE_API void perigee_task_free(perigee_task *t);

/* ---- the loop --------------------------------------------------------------- */

/* A descriptor that is readable when perigee_step has something to do, also when
** a time limit is over: no time-out has to be computed for poll(2). It stays the
** same until the runtime is closed, and must not be read from. -1 when it is
** closed. */
PERIGEE_API int perigee_fd(const perigee *rt);
/* Does what there is to do and returns: each task that can go on runs until it
** waits. Never blocks. How many tasks have not ended, with those that scripts
** have spawned; -1 with an error. */
PERIGEE_API int perigee_step(perigee *rt, perigee_error **err);
/* Steps and blocks until the task has ended: 1; 0 when `seconds` are over
** before; -1 with an error. All other tasks go on meanwhile. Negative seconds:
** without end. */
PERIGEE_API int perigee_wait(perigee_task *t, double seconds,
                             perigee_error **err);
/* The same until all tasks have ended. */
PERIGEE_API int perigee_wait_all(perigee *rt, double seconds,
                                 perigee_error **err);
/* Cancels all tasks: those that wait and those that compute, in the step in
** progress or the next one. Safe in other threads and in handlers of signals, but
** not while the runtime is being closed or freed. */
PERIGEE_API void perigee_interrupt(perigee *rt);

#ifdef __cplusplus
}
#endif

#endif
