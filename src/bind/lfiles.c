/*
** What the tools need of the machine and Lua's own libraries do not have: folders,
** names of host and user, the wall clock, SHA-256. A refusal of the system is
** returned as nil and a message.
*/
#include "bind/lvalue.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "page/digest.h"

/* nil, "path: No such file or directory" */
static int push_failure(lua_State *L, const char *path, int why) {
  lua_pushnil(L);
  lua_pushfstring(L, "%s: %s", path, strerror(why));
  return 2;
}

/* A path; a zero byte would cut it. */
static const char *check_path(lua_State *L, int i) {
  size_t n;
  const char *path = luaL_checklstring(L, i, &n);
  luaL_argcheck(L, strlen(path) == n, i, "a path has no zero bytes");
  return path;
}

/* ---- folders ------------------------------------------------------------- */

/* Appends the names with a zero byte after each; 0 or the errno. No Lua. */
static int read_names(const char *path, struct prg_buf *out, size_t *count) {
  DIR *dir = opendir(path);
  struct dirent *e;
  int why;
  *count = 0;
  if (dir == NULL) return errno;
  while (errno = 0, (e = readdir(dir)) != NULL) {
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
    prg_buf_add(out, e->d_name, strlen(e->d_name) + 1);
    ++*count;
  }
  why = errno;
  closedir(dir);
  return why;
}

static int compare_names(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* files.list(dir) -> names in the order of their bytes | nil, message */
static int files_list(lua_State *L) {
  const char *path = check_path(L, 1), **names, *p;
  struct prg_scratch *s = prg_scratch_push(L);
  size_t n, i;
  int why = read_names(path, &s->buf, &n);
  if (why != 0) return push_failure(L, path, why);
  if (s->buf.failed || n > INT_MAX) return prg_raise(L, prg_error_oom());
  names = prg_arena_need(L, &s->arena, n + 1, sizeof *names);
  for (i = 0, p = s->buf.data; i < n; i++, p += strlen(p) + 1) names[i] = p;
  qsort(names, n, sizeof *names, compare_names);
  lua_createtable(L, (int)n, 0);
  for (i = 0; i < n; i++) {
    lua_pushstring(L, names[i]);
    lua_rawseti(L, -2, (int)i + 1);
  }
  prg_scratch_fini(s);
  return 1;
}

/* files.kind(path) -> "file", "directory", "other", or nil when it is not there */
static int files_kind(lua_State *L) {
  const char *path = check_path(L, 1);
  struct stat st;
  if (stat(path, &st) != 0)
    lua_pushnil(L);
  else
    lua_pushstring(L, S_ISDIR(st.st_mode)   ? "directory"
                      : S_ISREG(st.st_mode) ? "file"
                                            : "other");
  return 1;
}

/* One folder: 0, also when it is there, or the errno. */
static int make_one(const char *path) {
  struct stat st;
  int why;
  if (mkdir(path, 0777) == 0) return 0;
  why = errno;
  if (stat(path, &st) != 0) return why;
  return S_ISDIR(st.st_mode) ? 0 : ENOTDIR;
}

/* files.make_directory(path) -> true | nil, message. Its parents too. */
static int files_make_directory(lua_State *L) {
  const char *path = check_path(L, 1);
  char part[PATH_MAX];
  size_t i, n = strlen(path);
  int why = n == 0 ? ENOENT : n >= sizeof part ? ENAMETOOLONG : 0;
  for (i = 1; why == 0 && i <= n; i++) {
    if (path[i] != '/' && path[i] != '\0') continue;
    memcpy(part, path, i);
    part[i] = '\0';
    why = make_one(part);
  }
  if (why != 0) return push_failure(L, path, why);
  lua_pushboolean(L, 1);
  return 1;
}

/* files.real(path) -> absolute, without links | nil, message */
static int files_real(lua_State *L) {
  const char *path = check_path(L, 1);
  char real[PATH_MAX];
  if (realpath(path, real) == NULL) return push_failure(L, path, errno);
  lua_pushstring(L, real);
  return 1;
}

/* ---- the machine --------------------------------------------------------- */

/* core.host_name() -> text, "?" when it is not known */
static int core_host_name(lua_State *L) {
  char name[256] = "";
  if (gethostname(name, sizeof name - 1) != 0 || name[0] == '\0')
    lua_pushliteral(L, "?");
  else
    lua_pushstring(L, name);
  return 1;
}

/* core.user_name() -> who runs the process; the number when it has no name */
static int core_user_name(lua_State *L) {
  struct passwd entry, *found = NULL;
  char room[4096];
  if (getpwuid_r(geteuid(), &entry, room, sizeof room, &found) == 0 &&
      found != NULL)
    lua_pushstring(L, found->pw_name);
  else
    lua_pushfstring(L, "%d", (int)geteuid());
  return 1;
}

/* core.is_terminal(fd): 0 input, 1 output, 2 errors */
static int core_is_terminal(lua_State *L) {
  lua_Integer fd = luaL_checkinteger(L, 1);
  lua_pushboolean(L, fd >= 0 && fd <= 2 && isatty((int)fd));
  return 1;
}

/* core.wall_time() -> seconds since 1970, with a fraction */
static int core_wall_time(lua_State *L) {
  struct timespec ts = {0, 0};
  clock_gettime(CLOCK_REALTIME, &ts);
  lua_pushnumber(L, (lua_Number)ts.tv_sec + (lua_Number)ts.tv_nsec / 1e9);
  return 1;
}

/* core.sha256(text) -> 64 hexadecimal digits, in lower case */
static int core_sha256(lua_State *L) {
  static const char digits[] = "0123456789abcdef";
  unsigned char sum[PRG_SHA256_SIZE];
  char hex[2 * PRG_SHA256_SIZE];
  struct prg_error *err = NULL;
  size_t n, i;
  const char *s = luaL_checklstring(L, 1, &n);
  if (prg_sha256(s, n, sum, &err) != PRG_OK) return prg_raise(L, err);
  for (i = 0; i < PRG_SHA256_SIZE; i++) {
    hex[2 * i] = digits[sum[i] >> 4];
    hex[2 * i + 1] = digits[sum[i] & 15];
  }
  lua_pushlstring(L, hex, sizeof hex);
  return 1;
}

static const luaL_Reg file_functions[] = {
    {"list", files_list},
    {"kind", files_kind},
    {"make_directory", files_make_directory},
    {"real", files_real},
    {NULL, NULL}};

static const luaL_Reg core_functions[] = {
    {"host_name", core_host_name},     {"user_name", core_user_name},
    {"is_terminal", core_is_terminal}, {"wall_time", core_wall_time},
    {"sha256", core_sha256},           {NULL, NULL}};

void prg_files_open(lua_State *L) {
  prg_set_functions(L, core_functions);
  lua_createtable(L, 0, 4);
  prg_set_functions(L, file_functions);
  lua_setfield(L, -2, "files");
}
