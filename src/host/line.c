/*
** Lines from a terminal: with libedit they can be edited and are remembered,
** without it the terminal's own editing has to do. In both, Ctrl-C drops the
** line.
*/
#include "host/line.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lauxlib.h>

#include "host/signal.h"

#if PERIGEE_LIBEDIT

#include <histedit.h>
#include <locale.h>
#include <wchar.h>

#define HISTORY_LINES 1000

/* The terminal is the program's, and so is its editor. */
static EditLine *editor;
static History *history_list;
static char prompt_text[64];

static char *give_prompt(EditLine *e) {
  (void)e;
  return prompt_text;
}

/* Reads one character. libedit's own function goes on after a signal. */
static int read_char(EditLine *e, wchar_t *out) {
  mbstate_t shift;
  char byte;
  memset(&shift, 0, sizeof shift);
  (void)e;
  for (;;) {
    ssize_t n = read(STDIN_FILENO, &byte, 1);
    size_t used;
    if (n < 0 && errno == EINTR && !prg_signal_pending()) continue;
    if (n <= 0) return (int)n;
    used = mbrtowc(out, &byte, 1, &shift);
    if (used == (size_t)-2) continue; /* more bytes belong to it */
    if (used != (size_t)-1) return 1;
    memset(&shift, 0, sizeof shift); /* not text: left out */
  }
}

static bool open_editor(void) {
  HistEvent ev;
  if (editor != NULL) return true;
  setlocale(LC_CTYPE, ""); /* libedit counts characters */
  editor = el_init("perigee", stdin, stdout, stderr);
  history_list = history_init();
  if (editor == NULL || history_list == NULL) return false;
  history(history_list, &ev, H_SETSIZE, HISTORY_LINES);
  history(history_list, &ev, H_SETUNIQUE, 1);
  el_set(editor, EL_PROMPT, give_prompt);
  el_set(editor, EL_EDITOR, "emacs");
  el_set(editor, EL_HIST, history, history_list);
  el_set(editor, EL_GETCFN, read_char);
  el_source(editor, NULL);
  return true;
}

/* [-0, +(0|1), e]; the number of bytes, -1 after an error */
static int push_line(lua_State *L, const char *prompt) {
  const char *text;
  int n = 0;
  if (!open_editor()) return luaL_error(L, "the line editor did not start");
  (void)snprintf(prompt_text, sizeof prompt_text, "%s", prompt);
  el_resize(editor);
  text = el_gets(editor, &n);
  if (text == NULL) return n < 0 ? -1 : 0;
  lua_pushlstring(L, text, (size_t)n);
  return n;
}

/* runner.add_history(text) */
static int add_history(lua_State *L) {
  HistEvent ev;
  const char *text = luaL_checkstring(L, 1);
  if (open_editor()) history(history_list, &ev, H_ENTER, text);
  return 0;
}

/* runner.load_history(path) */
static int load_history(lua_State *L) {
  HistEvent ev;
  const char *path = luaL_checkstring(L, 1);
  if (open_editor()) history(history_list, &ev, H_LOAD, path);
  return 0;
}

/* runner.save_history(path): for its owner alone, since SQL may hold secrets */
static int save_history(lua_State *L) {
  HistEvent ev;
  const char *path = luaL_checkstring(L, 1);
  mode_t before = umask(077);
  if (open_editor()) history(history_list, &ev, H_SAVE, path);
  umask(before);
  return 0;
}

#else

static int push_line(lua_State *L, const char *prompt) {
  luaL_Buffer b;
  int c, n = 0;
  fputs(prompt, stdout);
  fflush(stdout);
  luaL_buffinit(L, &b);
  while ((c = getc(stdin)) != EOF) {
    luaL_addchar(&b, (char)c);
    n++;
    if (c == '\n') break;
  }
  luaL_pushresult(&b);
  if (c != EOF || n > 0) return n;
  lua_pop(L, 1);
  n = ferror(stdin) ? -1 : 0;
  clearerr(stdin);
  return n;
}

static int no_history(lua_State *L) {
  (void)L;
  return 0;
}
#define add_history no_history
#define load_history no_history
#define save_history no_history

#endif

/* runner.read_line(prompt) -> line without its end; nil at the end of input,
** false after Ctrl-C */
static int read_line(lua_State *L) {
  const char *prompt = luaL_checkstring(L, 1);
  size_t len;
  const char *text;
  int n;
  prg_signal_prompting(true);
  n = push_line(L, prompt);
  prg_signal_prompting(false);
  if (n <= 0) {
    if (n < 0 && prg_signal_pending())
      lua_pushboolean(L, 0);
    else
      lua_pushnil(L);
    return 1;
  }
  text = lua_tolstring(L, -1, &len);
  if (text[len - 1] == '\n') len--;
  lua_pushlstring(L, text, len);
  return 1;
}

static const luaL_Reg functions[] = {{"read_line", read_line},
                                     {"add_history", add_history},
                                     {"load_history", load_history},
                                     {"save_history", save_history},
                                     {NULL, NULL}};

void prg_line_open(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
}
