/*
** core.sandbox: definitions and migrations are programs of the user's, evaluated
** in a Lua state of their own that can compute and nothing else. lsandbox.c makes
** and limits the state, lsandbox_env.c fills it, lsandbox_match.c has its pattern
** functions, lsandbox_copy.c takes data in and out.
**
** In the names of parameters L is the caller's state and S the sandbox's. Errors
** of one never pass through frames of the other: what crosses is bytes in a
** buffer of the sandbox.
*/
#ifndef PRG_BIND_SANDBOX_INT_H
#define PRG_BIND_SANDBOX_INT_H

#include "bind/bind_int.h"
#include "bind/prelude.h"

#include "base/buf.h"

enum prg_stop {
  PRG_STOP_NONE,
  PRG_STOP_INSTRUCTIONS,
  PRG_STOP_SECONDS,
  PRG_STOP_MEMORY
};

/* Userdata of the caller's state. Texts are on the caller's stack meanwhile. */
struct prg_sandbox {
  lua_State *S;    /* owned; NULL: closed */
  lua_Alloc alloc; /* the one that S was made with */
  void *alloc_data;
  size_t used, limit;   /* bytes */
  int64_t left, budget; /* instructions */
  int step;             /* of the hook */
  int64_t due;          /* processor time of this thread, in microseconds */
  enum prg_stop stop;   /* a limit was reached: nothing runs any more */
  int depth;            /* of calls out of C */
  bool starved;         /* there is no more memory at all */
  bool failed;          /* `text` says why */
  struct prg_text name; /* of the text, in messages */
  struct prg_text source;
  const char *root;      /* of `require`; NULL: none */
  struct prg_text start; /* the prelude, and its file */
  const char *start_file;
  struct prg_buf data; /* packed: the argument, then the result */
  struct prg_buf text; /* the message of the error */
};

/* ---- limits (lsandbox.c) -------------------------------------------------- */

/* The sandbox of its state. */
struct prg_sandbox *prg_sandbox_of(lua_State *S);
/* Ends the script: it raises, and so does every further instruction, whatever
** catches it. [-0, +0, e] */
int prg_sandbox_stop(lua_State *S, enum prg_stop why);
/* Counts work of a C function as `n` instructions. [-0, +0, e] */
void prg_sandbox_charge(lua_State *S, size_t n);

/* Around a call of the script's own functions out of C, for which LuaJIT has no
** limit. A protected one sets `depth` back itself. [-0, +0, e] */
void prg_sandbox_enter(lua_State *S);
void prg_sandbox_leave(lua_State *S);

/* ---- the environment (lsandbox_env.c) ------------------------------------- */

/* Fills the globals. [-0, +0, e] */
void prg_sandbox_fill(lua_State *S);
/* Pushes what the prelude is called with behind the text and its name: the
** argument, and a table of helpers. [-0, +2, e] */
void prg_sandbox_push_helpers(lua_State *S);
/* Runs a text of ours and pushes what it returns. [-0, +1, e] */
void prg_sandbox_run_own(lua_State *S, const char *code, size_t n,
                         const char *file);
/* The file of lua/perigee/sandbox/ that has this name, or NULL. */
const struct prg_prelude *prg_prelude_find(const char *name);

/* ---- patterns (lsandbox_match.c) ------------------------------------------ */

extern const luaL_Reg prg_sandbox_patterns[]; /* find, match, gmatch, gsub */

/* ---- data (lsandbox_copy.c) ----------------------------------------------- */

/* Appends the value on top of the stack to `out`. false: it is no plain data, and
** `why` says so with the place. [-0, +0, m] */
bool prg_pack(lua_State *L, struct prg_buf *out, struct prg_buf *why);
/* Pushes the value that the bytes are. [-0, +1, m] */
void prg_unpack(lua_State *L, const struct prg_buf *in);

#endif
