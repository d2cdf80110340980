#include "bind/nginx_loop.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/process.h"

/* ---- what is found ------------------------------------------------------- */

struct symbol {
  const char *http, *stream; /* NULL: not there */
  size_t at;
  bool needed;
};

#define AT(field) offsetof(struct prg_ngx, field)
#define BOTH(name) "ngx_http_lua_" name, "ngx_stream_lua_" name

/* ngx_lua in stream tells the request by LuaJIT's own function only. */
static const struct symbol symbols[] = {
    {"ngx_http_lua_get_request", "lua_getexdata", AT(get_request), true},
    {"ngx_http_lua_ffi_get_phase", NULL, AT(get_phase), true},
    {"lua_getexdata2", "lua_getexdata2", AT(get_thread), false},
    {BOTH("ffi_sema_new"), AT(sema_new), true},
    {BOTH("ffi_sema_post"), AT(sema_post), true},
    {BOTH("ffi_sema_wait"), AT(sema_wait), true},
    {BOTH("ffi_sema_count"), AT(sema_count), true},
    {BOTH("ffi_sema_gc"), AT(sema_gc), true},
    {"ngx_http_cleanup_add", "ngx_stream_lua_cleanup_add", AT(cleanup_add),
     true},
    {"ngx_cycle", "ngx_cycle", AT(cycle), true}};

static void find_all(struct prg_ngx *n, bool stream) {
  size_t i;
  for (i = 0; i < sizeof symbols / sizeof symbols[0]; i++) {
    const char *name = stream ? symbols[i].stream : symbols[i].http;
    void *p = name != NULL ? dlsym(RTLD_DEFAULT, name) : NULL;
    memcpy((char *)n + symbols[i].at, &p, sizeof p);
    if (p == NULL && name != NULL && symbols[i].needed && n->missing == NULL)
      n->missing = name;
  }
  n->found = n->missing == NULL;
}

const struct prg_ngx *prg_ngx_get(bool stream) {
  static struct prg_ngx found[2];
  struct prg_ngx *n = &found[stream];
  if (!n->found && n->missing == NULL) find_all(n, stream);
  return n;
}

/* The object file that a symbol is in, or NULL. */
static const void *object_of(const void *symbol) {
  Dl_info info;
  return symbol != NULL && dladdr(symbol, &info) != 0 ? info.dli_fbase : NULL;
}

/* The function for that is the only address in ngx_lua's code that stands in the
** record's beginning, and while it waits only. */
void prg_ngx_clean_up(const struct prg_ngx *n, struct abi_thread *t) {
  void (*clean_up)(void *thread);
  const void *code;
  size_t i;
  memcpy(&code, &n->sema_wait, sizeof code);
  code = object_of(code);
  for (i = 0; i < sizeof t->more / sizeof t->more[0]; i++) {
    if (code == NULL || object_of(t->more[i]) != code) continue;
    memcpy(&clean_up, &t->more[i], sizeof clean_up);
    clean_up(t);
    return;
  }
}

/* What the watch needs of nginx itself. */
static struct {
  struct abi_connection *(*get_connection)(int fd, void *log);
  void (*free_connection)(struct abi_connection *c);
  void (*close_connection)(struct abi_connection *c);
  intptr_t (*handle_read_event)(struct abi_event *ev, uintptr_t flags);
  struct abi_event_actions *event_actions;
  uintptr_t *event_flags;
  uintptr_t *process;
  struct abi_cycle **cycle;
  struct abi_module *core_module;
} core;

static const struct {
  const char *name;
  void *into;
} core_symbols[] = {{"ngx_get_connection", &core.get_connection},
                    {"ngx_free_connection", &core.free_connection},
                    {"ngx_close_connection", &core.close_connection},
                    {"ngx_handle_read_event", &core.handle_read_event},
                    {"ngx_event_actions", &core.event_actions},
                    {"ngx_event_flags", &core.event_flags},
                    {"ngx_process", &core.process},
                    {"ngx_cycle", &core.cycle},
                    {"ngx_core_module", &core.core_module}};

/* The name of what is missing, or NULL. */
static const char *find_core(void) {
  size_t i;
  for (i = 0; i < sizeof core_symbols / sizeof core_symbols[0]; i++) {
    void *p = dlsym(RTLD_DEFAULT, core_symbols[i].name);
    if (p == NULL) return core_symbols[i].name;
    memcpy(core_symbols[i].into, &p, sizeof p);
  }
  return NULL;
}

void prg_ngx_version(char *out, size_t size) {
  const struct abi_module *m = dlsym(RTLD_DEFAULT, "ngx_core_module");
  out[0] = '\0';
  if (m == NULL) return;
  (void)snprintf(out, size, "%u.%u.%u", (unsigned)(m->version / 1000000),
                 (unsigned)(m->version / 1000 % 1000),
                 (unsigned)(m->version % 1000));
}

/* ---- the probe ------------------------------------------------------------ */

/* Is it an nginx whose memory is as nginx_abi.h says? NULL, or why not. */
static const char *check_build(void) {
  uintptr_t version = core.core_module->version;
  if (sizeof(void *) != 8) return "it is not a 64-bit program";
  if (version < ABI_VERSION_MIN || version > ABI_VERSION_MAX)
    return "this version of nginx is not known";
  if (core.core_module->signature == NULL ||
      strncmp(core.core_module->signature, ABI_SIGNATURE,
              sizeof ABI_SIGNATURE - 1) != 0)
    return "the signature of its modules is not known";
  return NULL;
}

/* Does this process have a loop that takes the descriptor? NULL, or why not. */
static const char *check_process(void) {
  uintptr_t flags = *core.event_flags;
  if (*core.process != ABI_PROCESS_SINGLE &&
      *core.process != ABI_PROCESS_WORKER)
    return "it is not a worker process";
  if ((flags & ABI_USE_EPOLL_EVENT) == 0 || (flags & ABI_USE_CLEAR_EVENT) == 0)
    return "its event method is not epoll";
  if (core.event_actions->del_conn == NULL)
    return "its event method cannot remove connections";
  return NULL;
}

/* Is a fresh connection as ngx_get_connection() leaves them? */
static bool check_connection(const struct abi_connection *c, int fd) {
  return c->fd == fd && c->read != NULL && c->write != NULL &&
         c->read->data == c && c->write->data == c &&
         c->read->handler == NULL && c->write->handler == NULL &&
         c->read->log == NULL && c->read->index == ABI_INVALID_INDEX &&
         c->write->index == ABI_INVALID_INDEX &&
         (c->read->flags &
          (ABI_EVENT_WRITE | ABI_EVENT_ACTIVE | ABI_EVENT_CHANNEL)) == 0 &&
         (c->write->flags & ABI_EVENT_WRITE) != 0;
}

/* ---- the watch ------------------------------------------------------------ */

static void on_readable(struct abi_event *ev) {
  const struct abi_connection *c = ev->data;
  const struct prg_ngx_watch *w = c->data;
  w->fn(w->arg);
}

static void on_writable(struct abi_event *ev) {
  (void)ev; /* not asked for */
}

/* Registers a connection that has the descriptor. NULL, or why not. */
static const char *add_connection(struct prg_ngx_watch *w,
                                  struct abi_connection *c, int fd) {
  void *log = (*core.cycle)->log;
  if (!check_connection(c, fd)) return "its connections are not as known";
  c->data = w;
  c->read->log = c->write->log = log;
  c->read->handler = on_readable;
  c->write->handler = on_writable;
  c->read->flags |= ABI_EVENT_CHANNEL;
  if (core.handle_read_event(c->read, 0) != 0 ||
      (c->read->flags & ABI_EVENT_ACTIVE) == 0)
    return "its loop does not take the hub's descriptor";
  return NULL;
}

static enum prg_ngx_answer refuse(char *why, size_t size, const char *reason) {
  (void)snprintf(why, size, "%s", reason);
  return PRG_NGX_REFUSED;
}

/* nginx gets a duplicate: when the watch ends, nginx closes it with the connection,
** and so does all that has to be done for one, such as to forget an event of it that
** is due. */
enum prg_ngx_answer prg_ngx_watch(struct prg_ngx_watch *w, int fd, char *why,
                                  size_t size) {
  const char *reason = find_core();
  struct abi_connection *c;
  int copy;
  if (reason != NULL) {
    (void)snprintf(why, size, "it has no %s", reason);
    return PRG_NGX_REFUSED;
  }
  reason = check_build();
  if (reason == NULL) reason = check_process();
  if (reason != NULL) return refuse(why, size, reason);
  copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  c = copy >= 0 ? core.get_connection(copy, (*core.cycle)->log) : NULL;
  if (c == NULL) {
    if (copy >= 0) close(copy);
    (void)snprintf(why, size, "%s",
                   copy < 0 ? "no descriptor is free"
                            : "no connection is free (worker_connections)");
    return PRG_NGX_FULL;
  }
  reason = add_connection(w, c, copy);
  if (reason != NULL) {
    core.free_connection(c);
    c->fd = -1;
    close(copy);
    return refuse(why, size, reason);
  }
  w->conn = c;
  w->pid = prg_pid();
  return PRG_NGX_WATCHED;
}

void prg_ngx_unwatch(struct prg_ngx_watch *w) {
  struct abi_connection *c = w->conn;
  w->conn = NULL;
  if (c == NULL || w->pid != prg_pid()) return;
  /* Closing the duplicate alone would not take it out of the epoll set: the hub
  ** still has the descriptor itself. */
  (void)core.event_actions->del_conn(c, 0);
  core.close_connection(c);
}
