/*
** SIGINT ends what runs, not the program: a wait of Perigee's raises
** `cancelled` (the query is cancelled on its server), Lua code that computes is
** stopped by a hook, as lua.c does it.
*/
#include "host/signal.h"

#include <signal.h>
#include <string.h>

#include "bind/bind.h"

/* A handler gets no argument of ours, so these are of the program. */
static lua_State *main_thread;
static struct prg_state *state;
static volatile sig_atomic_t count;
static volatile sig_atomic_t prompting;

static void stop(lua_State *L, lua_Debug *ar) {
  (void)ar;
  lua_sethook(L, NULL, 0, 0);
  if (L == main_thread) prg_state_calm(state);
  lua_pushliteral(L, "interrupted");
  lua_error(L);
}

/* lua_sethook is the one function of Lua that a handler may call. */
static void on_interrupt(int signo) {
  lua_State *L;
  (void)signo;
  count = count + 1;
  if (prompting) return;
  L = prg_state_interrupt(state, main_thread);
  if (L != NULL)
    lua_sethook(L, stop,
                LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
}

void prg_signal_catch(lua_State *L, bool always) {
  struct sigaction a;
  main_thread = L;
  state = prg_state_get(L);
  memset(&a, 0, sizeof a);
  a.sa_handler = on_interrupt;
  a.sa_flags = always ? 0 : (int)SA_RESETHAND; /* no SA_RESTART: reads end */
  sigemptyset(&a.sa_mask);
  sigaction(SIGINT, &a, NULL);
}

int prg_signal_take(lua_State *L) {
  int n = count;
  count = 0;
  if (state != NULL) prg_state_calm(state);
  lua_sethook(L, NULL, 0, 0);
  return n;
}

void prg_signal_prompting(bool on) {
  prompting = on;
}

bool prg_signal_pending(void) {
  return count > 0;
}
