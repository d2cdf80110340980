/* The watch in nginx's loop, against an nginx made for this test, and the relay. */
#include "bind/nginx_loop.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/relay.h"
#include "check.h"

/* ---- an nginx ------------------------------------------------------------- */

/* Its symbols are found as those of the program that the test is. */

struct abi_connection *ngx_get_connection(int fd, void *log);
void ngx_free_connection(struct abi_connection *c);
void ngx_close_connection(struct abi_connection *c);
intptr_t ngx_handle_read_event(struct abi_event *ev, uintptr_t flags);

static intptr_t del_conn(struct abi_connection *c, uintptr_t flags);

struct abi_event_actions ngx_event_actions = {.del_conn = del_conn};
uintptr_t ngx_event_flags, ngx_process;
struct abi_module ngx_core_module;
static struct abi_cycle a_cycle;
struct abi_cycle *ngx_cycle = &a_cycle;

static struct {
  struct abi_connection conn;
  struct abi_event read, write;
  int taken, freed, closed, deleted;
  bool full, refuses;
  int log;
} nginx;

static void reset(void) {
  memset(&nginx, 0, sizeof nginx);
  ngx_event_flags = ABI_USE_CLEAR_EVENT | ABI_USE_EPOLL_EVENT;
  ngx_process = ABI_PROCESS_WORKER;
  ngx_core_module.version = 1022001;
  ngx_core_module.signature = "8,4,8,0011111111011101";
  ngx_event_actions.del_conn = del_conn;
  a_cycle.log = &nginx.log;
  nginx.read.index = nginx.write.index = ABI_INVALID_INDEX;
  nginx.read.data = nginx.write.data = &nginx.conn;
  nginx.write.flags = ABI_EVENT_WRITE;
}

struct abi_connection *ngx_get_connection(int fd, void *log) {
  CHECK(log == &nginx.log);
  if (nginx.full) return NULL;
  nginx.taken++;
  nginx.conn.fd = fd;
  nginx.conn.read = &nginx.read;
  nginx.conn.write = &nginx.write;
  return &nginx.conn;
}

void ngx_free_connection(struct abi_connection *c) {
  CHECK(c == &nginx.conn);
  nginx.freed++;
}

void ngx_close_connection(struct abi_connection *c) {
  nginx.closed++;
  close(c->fd);
  c->fd = -1;
}

intptr_t ngx_handle_read_event(struct abi_event *ev, uintptr_t flags) {
  CHECK(flags == 0);
  CHECK(ev->log == &nginx.log && nginx.write.log == &nginx.log);
  if (nginx.refuses) return ABI_ERROR;
  ev->flags |= ABI_EVENT_ACTIVE;
  return ABI_OK;
}

static intptr_t del_conn(struct abi_connection *c, uintptr_t flags) {
  CHECK(c == &nginx.conn && flags == 0 && c->fd >= 0);
  nginx.deleted++;
  return ABI_OK;
}

/* ---- the watch ------------------------------------------------------------ */

static int count_descriptors(void) {
  DIR *d = opendir("/proc/self/fd");
  int n = 0;
  if (d == NULL) return -1;
  while (readdir(d) != NULL) n++;
  closedir(d);
  return n;
}

static int called;

static void on_hub(void *arg) {
  CHECK(arg == &called);
  called++;
}

static enum prg_ngx_answer watch(struct prg_ngx_watch *w, char *why,
                                 size_t size) {
  memset(w, 0, sizeof *w);
  w->fn = on_hub;
  w->arg = &called;
  why[0] = '\0';
  return prg_ngx_watch(w, 1, why, size);
}

static void test_watch(void) {
  struct prg_ngx_watch w;
  char why[160];
  int before = count_descriptors();
  reset();
  called = 0;
  REQUIRE(watch(&w, why, sizeof why) == PRG_NGX_WATCHED);
  CHECK(nginx.conn.fd != 1 && nginx.conn.fd > 2);
  CHECK((nginx.read.flags & ABI_EVENT_CHANNEL) != 0);
  nginx.read.handler(&nginx.read);
  nginx.write.handler(&nginx.write);
  CHECK(called == 1);
  prg_ngx_unwatch(&w);
  prg_ngx_unwatch(&w);
  CHECK(nginx.deleted == 1 && nginx.closed == 1 && nginx.freed == 0);
  CHECK(count_descriptors() == before);
}

/* What is in a forked child is the parent's. */
static void test_fork(void) {
  struct prg_ngx_watch w;
  char why[160];
  reset();
  REQUIRE(watch(&w, why, sizeof why) == PRG_NGX_WATCHED);
  w.pid--;
  prg_ngx_unwatch(&w);
  CHECK(nginx.deleted == 0 && nginx.closed == 0 && w.conn == NULL);
  close(nginx.conn.fd);
}

static void refused(const char *want) {
  struct prg_ngx_watch w;
  char why[160];
  int before = count_descriptors();
  CHECK(watch(&w, why, sizeof why) == PRG_NGX_REFUSED);
  if (!CHECK(strstr(why, want) != NULL))
    fprintf(stderr, "  want: %s, got: %s\n", want, why);
  CHECK(nginx.taken == nginx.freed && nginx.closed == 0 && w.conn == NULL);
  CHECK(count_descriptors() == before);
  reset();
}

static void test_builds(void) {
  reset();
  ngx_core_module.version = 1009010;
  refused("version");
  ngx_core_module.version = 1032000;
  refused("version");
  ngx_core_module.signature = NULL;
  refused("signature");
  ngx_core_module.signature = "4,4,4,0011111111011101";
  refused("signature");
}

static void test_processes(void) {
  reset();
  ngx_process = 1; /* the master */
  refused("worker");
  ngx_process = 4; /* the cache manager */
  refused("worker");
  ngx_event_flags = ABI_USE_CLEAR_EVENT;
  refused("epoll");
  ngx_event_actions.del_conn = NULL;
  refused("remove");
}

static void test_layouts(void) {
  reset();
  nginx.read.data = &nginx.write;
  refused("connections");
  nginx.write.data = NULL;
  refused("connections");
  nginx.read.index = 0;
  refused("connections");
  nginx.write.index = 7;
  refused("connections");
  nginx.read.handler = nginx.write.handler =
      (void (*)(struct abi_event *))on_hub;
  refused("connections");
  nginx.write.flags = 0;
  refused("connections");
  nginx.read.flags = ABI_EVENT_ACTIVE;
  refused("connections");
  nginx.read.log = &nginx;
  refused("connections");
  nginx.refuses = true;
  refused("descriptor");
}

static void test_full(void) {
  struct prg_ngx_watch w;
  char why[160];
  int before = count_descriptors();
  reset();
  nginx.full = true;
  CHECK(watch(&w, why, sizeof why) == PRG_NGX_FULL);
  CHECK(strstr(why, "worker_connections") != NULL);
  CHECK(count_descriptors() == before);
}

static void test_version(void) {
  char version[32];
  reset();
  prg_ngx_version(version, sizeof version);
  CHECK_STR(version, "1.22.1");
}

/* There is no ngx_lua in this program. */
static void test_no_lua(void) {
  const struct prg_ngx *n = prg_ngx_get(false);
  CHECK(!n->found && n->missing != NULL);
  CHECK(!prg_ngx_get(true)->found);
}

/* ---- the relay ------------------------------------------------------------ */

static int connect_to(const char *path) {
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  (void)snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
  CHECK(connect(fd, (struct sockaddr *)&a, sizeof a) == 0);
  return fd;
}

/* Is a byte told within that time? */
static bool hears(int fd, int ms) {
  struct pollfd p = {fd, POLLIN, 0};
  char byte;
  return poll(&p, 1, ms) == 1 && read(fd, &byte, 1) == 1;
}

static void test_relay(void) {
  struct prg_relay r = {0};
  char why[160], folder[64];
  int hub[2], reader, before = count_descriptors();
  struct stat st;
  REQUIRE(pipe2(hub, O_CLOEXEC | O_NONBLOCK) == 0);
  REQUIRE(prg_relay_listen(&r, why, sizeof why));
  CHECK(!prg_relay_works(&r));
  (void)snprintf(folder, sizeof folder, "%s", r.path);
  *strrchr(folder, '/') = '\0';
  CHECK(stat(folder, &st) == 0 && (st.st_mode & 0777) == 0700);
  reader = connect_to(r.path);
  REQUIRE(prg_relay_start(&r, hub[0], why, sizeof why));
  CHECK(prg_relay_works(&r));
  CHECK(stat(folder, &st) != 0); /* nothing stays behind */
  CHECK(!hears(reader, 50));
  CHECK(write(hub[1], "x", 1) == 1 && hears(reader, 2000));
  CHECK(write(hub[1], "x", 1) == 1 && !hears(reader, 50)); /* not read yet */
  prg_relay_heard(&r);
  CHECK(write(hub[1], "x", 1) == 1 && hears(reader, 2000));
  CHECK(hears(reader, 2000)); /* the beat */
  prg_relay_stop(&r);
  prg_relay_stop(&r);
  CHECK(!prg_relay_works(&r));
  close(reader);
  close(hub[0]);
  close(hub[1]);
  CHECK(count_descriptors() == before);
}

/* What is readable before the reader has connected is told as well. */
static void test_early(void) {
  struct prg_relay r = {0};
  char why[160];
  int hub[2], reader;
  REQUIRE(pipe2(hub, O_CLOEXEC | O_NONBLOCK) == 0);
  CHECK(write(hub[1], "x", 1) == 1);
  REQUIRE(prg_relay_listen(&r, why, sizeof why));
  reader = connect_to(r.path);
  REQUIRE(prg_relay_start(&r, hub[0], why, sizeof why));
  CHECK(hears(reader, 300));
  prg_relay_stop(&r);
  close(reader);
  close(hub[0]);
  close(hub[1]);
}

static void test_reader_gone(void) {
  struct prg_relay r = {0};
  char why[160];
  int hub[2], reader, i;
  REQUIRE(pipe2(hub, O_CLOEXEC | O_NONBLOCK) == 0);
  REQUIRE(prg_relay_listen(&r, why, sizeof why));
  reader = connect_to(r.path);
  REQUIRE(prg_relay_start(&r, hub[0], why, sizeof why));
  close(reader);
  for (i = 0; i < 300 && prg_relay_works(&r); i++) usleep(10000);
  CHECK(!prg_relay_works(&r));
  prg_relay_stop(&r);
  close(hub[0]);
  close(hub[1]);
}

/* The reader has not connected. */
static void test_no_reader(void) {
  struct prg_relay r = {0};
  char why[160], path[64];
  struct stat st;
  int before = count_descriptors();
  REQUIRE(prg_relay_listen(&r, why, sizeof why));
  (void)snprintf(path, sizeof path, "%s", r.path);
  CHECK(!prg_relay_start(&r, 0, why, sizeof why));
  CHECK(strstr(why, "relay") != NULL);
  CHECK(!prg_relay_works(&r) && stat(path, &st) != 0);
  CHECK(count_descriptors() == before);
}

int main(void) {
  RUN(test_watch);
  RUN(test_fork);
  RUN(test_builds);
  RUN(test_processes);
  RUN(test_layouts);
  RUN(test_full);
  RUN(test_version);
  RUN(test_no_lua);
  RUN(test_relay);
  RUN(test_early);
  RUN(test_reader_gone);
  RUN(test_no_reader);
  return check_result();
}
