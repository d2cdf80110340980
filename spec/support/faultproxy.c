/*
** A proxy that breaks connections on demand, for the fault specs.
**
**   faultproxy LISTEN TARGET [CONTROL]
**
** LISTEN and TARGET are a socket path (with a slash) or host:port; port 0 to
** listen on a free one. The first line on standard output is
** "listening ADDRESS". Commands come on standard input, one a line, and each is
** answered by one line, "ok …" or "error …"; the end of the input ends the
** program. With CONTROL, a socket path, commands come there instead.
**
** "up" is client to server, "down" is server to client.
**
**   stall [up|down|both]   forward nothing, keep what is on its way
**   resume                 end of stall
**   drop-after N [up|down] close the connection that carries byte N from now
**   slice N                write N bytes at a time; 0: no slicing
**   delay MS               keep every piece that long
**   reset                  abort all connections (RST)
**   fin                    close all connections in order
**   half-open              never read or write the present connections again
**   blackhole              accept new connections, neither forward nor answer
**   refuse, listen         close and reopen the listening socket
**   corrupt K              flip all bits of byte K (from 0) of what comes down
**   swallow [X…]           lose server messages of these types (v3 protocol)
**   pooler [N]             the connections to come have the key of another process,
**                          and lose a query that is sent while N - 1 of those before
**                          it are not answered
**   clear                  back to normal; half-open connections are aborted
**   stats                  bytes and connections so far
**   quit
*/
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CONNS = 1024, BUFFER = 65536, MAX_CHUNKS = 256, LINE = 512 };
enum { PIECES = 1024 }; /* written in a row, then others have a turn */
enum { UP, DOWN };

/* What was read at one moment, for delay. */
struct chunk {
  int64_t due;
  size_t len;
};

/* One direction of a connection. */
struct flow {
  int from, to;
  char *buf; /* BUFFER bytes */
  size_t start, len;
  struct chunk chunks[MAX_CHUNKS];
  size_t nchunks;
  bool eof;     /* `from` has ended */
  bool ended;   /* and `to` was told */
  bool blocked; /* `to` takes no more for now */
};

/* Finds the messages in what the server says. */
struct framer {
  unsigned char head[5];
  size_t nhead;
  uint64_t body; /* bytes of the message that are still to come */
  bool dropping;
  size_t single;          /* one-byte answers (to SSLRequest) still to come */
  bool opaque;            /* TLS: no message can be seen */
  unsigned char first[8]; /* of what the client sends, until it is known */
  size_t nfirst;
  /* pooler */
  size_t key;  /* bytes of the server's key that are still to come */
  bool framed; /* what the client sends is looked at, too */
  unsigned char up[5];
  size_t nup;
  uint64_t up_body;
  bool inside, losing; /* a query, until its Sync */
  int64_t unanswered;  /* queries */
};

struct conn {
  int client, server; /* server -1: black hole */
  bool frozen;
  struct flow flow[2];
  struct framer framer;
};

static struct {
  const char *listen_at, *target;
  char address[LINE]; /* where we listen really */
  int listener, control, commander;
  char line[LINE];
  size_t nline;
  bool quit;
  struct conn *conns[MAX_CONNS];
  size_t nconns;
  /* the faults */
  bool stall[2], drop_dir[2], blackhole;
  int64_t drop_after; /* -1: off */
  size_t slice;
  int64_t delay;
  int64_t corrupt; /* -1: off */
  bool swallow[256];
  int64_t pooler; /* -1: off */
  /* what happened */
  uint64_t bytes[2], accepted, refused;
} px = {.listener = -1,
        .control = -1,
        .commander = -1,
        .drop_after = -1,
        .corrupt = -1,
        .pooler = -1};

static int64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- sockets ------------------------------------------------------------ */

static bool is_path(const char *address) {
  return strchr(address, '/') != NULL;
}

static int fill_unix(const char *path, struct sockaddr_un *sa) {
  *sa = (struct sockaddr_un){.sun_family = AF_UNIX};
  size_t n = strlen(path);
  if (n >= sizeof sa->sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  memcpy(sa->sun_path, path, n + 1);
  return 0;
}

static struct addrinfo *resolve(const char *address, int flags) {
  char host[LINE];
  const char *colon = strrchr(address, ':');
  size_t n = colon != NULL ? (size_t)(colon - address) : 0;
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags};
  struct addrinfo *list = NULL;
  if (n >= sizeof host) return NULL;
  memcpy(host, address, n);
  host[n] = '\0';
  const char *port = colon != NULL ? colon + 1 : address;
  int rc = getaddrinfo(n > 0 ? host : "127.0.0.1", port, &hints, &list);
  return rc == 0 ? list : NULL;
}

static void set_nonblocking(int fd) {
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static void set_nodelay(int fd) {
  int on = 1; /* fails on Unix sockets, where it is not needed */
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static int listen_unix(const char *path) {
  struct sockaddr_un sa;
  if (fill_unix(path, &sa) != 0) return -1;
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  unlink(path);
  if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof sa) != 0 ||
      chmod(path, 0777) != 0 || listen(fd, 128) != 0)
    return -1;
  set_nonblocking(fd);
  return fd;
}

static int listen_tcp(const char *address) {
  struct addrinfo *a = resolve(address, AI_PASSIVE);
  int on = 1;
  if (a == NULL) return -1;
  int fd = socket(a->ai_family, SOCK_STREAM, 0);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  int rc = bind(fd, a->ai_addr, a->ai_addrlen);
  freeaddrinfo(a);
  if (rc != 0 || listen(fd, 128) != 0) {
    close(fd);
    return -1;
  }
  set_nonblocking(fd);
  return fd;
}

/* host:port that the socket really has. */
static void tell_address(int fd, char *out, size_t size) {
  struct sockaddr_storage sa;
  socklen_t n = sizeof sa;
  char host[256] = "", port[32] = "";
  if (getsockname(fd, (struct sockaddr *)&sa, &n) == 0)
    getnameinfo((struct sockaddr *)&sa, n, host, sizeof host, port, sizeof port,
                NI_NUMERICHOST | NI_NUMERICSERV);
  snprintf(out, size, "%s:%s", host, port);
}

/* The second time, on the port that was chosen at first. */
static bool open_listener(void) {
  if (px.listener >= 0) return true;
  if (is_path(px.listen_at)) {
    px.listener = listen_unix(px.listen_at);
    snprintf(px.address, sizeof px.address, "%s", px.listen_at);
    return px.listener >= 0;
  }
  bool again = px.address[0] != '\0';
  px.listener = listen_tcp(again ? px.address : px.listen_at);
  if (px.listener < 0) return false;
  if (!again) tell_address(px.listener, px.address, sizeof px.address);
  return true;
}

static void close_listener(void) {
  if (px.listener >= 0) close(px.listener);
  px.listener = -1;
  if (is_path(px.listen_at)) unlink(px.listen_at);
}

/* Waits for the connection: targets are on this machine. */
static int connect_target(void) {
  struct sockaddr_un sa;
  int fd = -1;
  if (is_path(px.target)) {
    if (fill_unix(px.target, &sa) != 0) return -1;
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0) return fd;
  } else {
    struct addrinfo *a = resolve(px.target, 0);
    if (a == NULL) return -1;
    fd = socket(a->ai_family, SOCK_STREAM, 0);
    int rc = connect(fd, a->ai_addr, a->ai_addrlen);
    freeaddrinfo(a);
    if (rc == 0) return fd;
  }
  if (fd >= 0) close(fd);
  return -1;
}

/* ---- connections -------------------------------------------------------- */

static void close_hard(int fd) {
  struct linger l = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
  close(fd);
}

static void close_conn(size_t i, bool hard) {
  struct conn *c = px.conns[i];
  int fds[2] = {c->client, c->server};
  for (int k = 0; k < 2; k++) {
    if (fds[k] < 0) continue;
    if (hard)
      close_hard(fds[k]);
    else
      close(fds[k]);
  }
  free(c->flow[UP].buf);
  free(c->flow[DOWN].buf);
  free(c);
  px.conns[i] = px.conns[--px.nconns];
}

static void close_all(bool hard) {
  while (px.nconns > 0) close_conn(px.nconns - 1, hard);
}

static struct conn *new_conn(int client, int server) {
  struct conn *c = calloc(1, sizeof *c);
  if (c == NULL) return NULL;
  c->client = client;
  c->server = server;
  c->flow[UP].from = c->flow[DOWN].to = client;
  c->flow[DOWN].from = c->flow[UP].to = server;
  c->flow[UP].buf = malloc(BUFFER);
  c->flow[DOWN].buf = malloc(BUFFER);
  if (c->flow[UP].buf != NULL && c->flow[DOWN].buf != NULL) return c;
  free(c->flow[UP].buf);
  free(c->flow[DOWN].buf);
  free(c);
  return NULL;
}

static void accept_conns(void) {
  int fd;
  while (px.nconns < MAX_CONNS && px.listener >= 0 &&
         (fd = accept(px.listener, NULL, NULL)) >= 0) {
    int server = px.blackhole ? -1 : connect_target();
    struct conn *c = NULL;
    px.accepted++;
    if (server >= 0 || px.blackhole) c = new_conn(fd, server);
    if (c == NULL) {
      px.refused++;
      close_hard(fd);
      if (server >= 0) close(server);
      continue;
    }
    c->frozen = server < 0;
    set_nonblocking(fd);
    set_nodelay(fd);
    if (server >= 0) {
      set_nonblocking(server);
      set_nodelay(server);
    }
    px.conns[px.nconns++] = c;
  }
}

/* ---- forwarding --------------------------------------------------------- */

/* A client may ask for TLS or GSS first, and is answered with one byte. */
static void watch_client(struct framer *f, const char *p, size_t n) {
  static const unsigned char head[7] = {0, 0, 0, 8, 4, 0xd2, 0x16};
  for (; n > 0 && f->nfirst < sizeof f->first; n--)
    f->first[f->nfirst++] = (unsigned char)*p++;
  if (f->nfirst < sizeof f->first || memcmp(f->first, head, 7) != 0) return;
  if (f->first[7] != 0x2f && f->first[7] != 0x30) return;
  f->single++;
  f->nfirst = 0; /* the next request may be another of them */
  memset(f->first, 0, sizeof f->first);
}

/* Takes one byte from the server, adds what is to be forwarded at `out` and
** returns how many bytes that is. */
static size_t filter_byte(struct framer *f, unsigned char byte, char *out) {
  if (f->opaque || f->single > 0) {
    if (!f->opaque) f->single--;
    if (byte == 'S' || byte == 'G') f->opaque = true;
    *out = (char)byte;
    return 1;
  }
  if (f->body > 0) {
    f->body--;
    if (f->key > 0 && f->key-- == 8) byte ^= 0x40; /* of the process number */
    *out = (char)byte;
    return f->dropping ? 0 : 1;
  }
  f->head[f->nhead++] = byte;
  if (f->nhead < sizeof f->head) return 0;
  uint64_t len = (uint64_t)f->head[1] << 24 | (uint64_t)f->head[2] << 16 |
                 (uint64_t)f->head[3] << 8 | f->head[4];
  f->nhead = 0;
  f->body = len > 4 ? len - 4 : 0;
  f->dropping = px.swallow[f->head[0]];
  if (f->head[0] == 'K' && px.pooler >= 0) {
    f->framed = true;
    f->unanswered = 1; /* the greeting */
    f->key = 8;
  }
  if (f->head[0] == 'Z') f->unanswered--;
  if (f->dropping) return 0;
  memcpy(out, f->head, sizeof f->head);
  return sizeof f->head;
}

/* In place: at most five bytes held back by an earlier call are added. */
static size_t filter_down(struct framer *f, const char *in, size_t n,
                          char *out) {
  size_t used = 0;
  for (size_t i = 0; i < n; i++) {
    unsigned char byte = (unsigned char)in[i];
    if (px.corrupt >= 0 && px.corrupt-- == 0) byte ^= 0xff;
    used += filter_byte(f, byte, out + used);
  }
  return used;
}

/* A query ends with a Sync, or is a simple one. */
static size_t filter_up_byte(struct framer *f, unsigned char byte, char *out) {
  if (f->up_body > 0) {
    f->up_body--;
    *out = (char)byte;
    return f->losing ? 0 : 1;
  }
  f->up[f->nup++] = byte;
  if (f->nup < sizeof f->up) return 0;
  uint64_t len = (uint64_t)f->up[1] << 24 | (uint64_t)f->up[2] << 16 |
                 (uint64_t)f->up[3] << 8 | f->up[4];
  f->nup = 0;
  f->up_body = len > 4 ? len - 4 : 0;
  if (!f->inside) f->losing = px.pooler > 0 && f->unanswered + 1 >= px.pooler;
  f->inside = f->up[0] != 'S' && f->up[0] != 'Q';
  if (f->losing) return 0;
  if (!f->inside) f->unanswered++;
  memcpy(out, f->up, sizeof f->up);
  return sizeof f->up;
}

static size_t filter_up(struct framer *f, const char *in, size_t n, char *out) {
  size_t used = 0;
  watch_client(f, in, n);
  if (!f->framed) {
    memcpy(out, in, n);
    return n;
  }
  for (size_t i = 0; i < n; i++)
    used += filter_up_byte(f, (unsigned char)in[i], out + used);
  return used;
}

static size_t room(const struct flow *f) {
  size_t free_bytes = BUFFER - f->len;
  return f->nchunks < MAX_CHUNKS && free_bytes > 8 ? free_bytes - 8 : 0;
}

static bool reads(const struct conn *c, int dir) {
  const struct flow *f = &c->flow[dir];
  return !c->frozen && !px.stall[dir] && !f->eof && room(f) > 0;
}

/* False: the connection is broken. */
static bool read_flow(struct conn *c, int dir) {
  struct flow *f = &c->flow[dir];
  char in[BUFFER];
  memmove(f->buf, f->buf + f->start, f->len);
  f->start = 0;
  ssize_t n = recv(f->from, in, room(f), MSG_DONTWAIT);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  if (n == 0) {
    f->eof = true;
    return true;
  }
  size_t got = (size_t)n;
  px.bytes[dir] += got;
  if (dir == DOWN) {
    got = filter_down(&c->framer, in, got, f->buf + f->len);
  } else {
    got = filter_up(&c->framer, in, got, f->buf + f->len);
  }
  f->len += got;
  if (got > 0)
    f->chunks[f->nchunks++] = (struct chunk){now_ms() + px.delay, got};
  return true;
}

static void forget(struct flow *f, size_t n) {
  f->start += n;
  f->len -= n;
  f->chunks[0].len -= n;
  if (f->chunks[0].len > 0) return;
  f->nchunks--;
  memmove(f->chunks, f->chunks + 1, f->nchunks * sizeof *f->chunks);
}

/* False: the connection is broken, or was to be dropped here. */
static bool write_flow(struct conn *c, int dir) {
  struct flow *f = &c->flow[dir];
  f->blocked = false;
  if (c->frozen || px.stall[dir]) return true;
  for (int pieces = 0; pieces < PIECES && f->nchunks > 0; pieces++) {
    if (f->chunks[0].due > now_ms()) break;
    size_t n = f->chunks[0].len;
    bool counts = px.drop_after >= 0 && px.drop_dir[dir];
    if (px.slice > 0 && n > px.slice) n = px.slice;
    if (counts && (int64_t)n > px.drop_after) n = (size_t)px.drop_after;
    ssize_t sent =
        n == 0 ? 0
               : send(f->to, f->buf + f->start, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
      f->blocked = errno == EAGAIN;
      return errno == EAGAIN || errno == EINTR;
    }
    forget(f, (size_t)sent);
    if (counts && (px.drop_after -= sent) == 0) {
      px.drop_after = -1;
      return false;
    }
    if (px.slice > 0) sched_yield(); /* so that pieces are read as pieces */
  }
  if (f->eof && f->len == 0 && !f->ended) {
    shutdown(f->to, SHUT_WR);
    f->ended = true;
  }
  return true;
}

/* ---- commands ----------------------------------------------------------- */

static void answer(const char *text) {
  char line[LINE];
  int n = snprintf(line, sizeof line, "%s\n", text);
  int fd = px.commander >= 0 ? px.commander : STDOUT_FILENO;
  if (write(fd, line, (size_t)n) < 0) px.quit = px.commander < 0;
}

static bool set_directions(const char *word, bool flags[2]) {
  bool both = word == NULL || strcmp(word, "both") == 0;
  bool up = both || strcmp(word, "up") == 0;
  bool down = both || strcmp(word, "down") == 0;
  if (!up && !down) return false;
  flags[UP] = up;
  flags[DOWN] = down;
  return true;
}

static bool set_number(const char *word, int64_t *out) {
  char *end;
  if (word == NULL) return false;
  long long v = strtoll(word, &end, 10);
  if (end == word || *end != '\0' || v < 0) return false;
  *out = v;
  return true;
}

static void clear_faults(void) {
  px.stall[UP] = px.stall[DOWN] = px.blackhole = false;
  px.drop_after = px.corrupt = -1;
  px.slice = 0;
  px.delay = 0;
  px.pooler = -1;
  memset(px.swallow, 0, sizeof px.swallow);
  for (size_t i = px.nconns; i-- > 0;)
    if (px.conns[i]->frozen) close_conn(i, true);
  for (size_t i = 0; i < px.nconns; i++)
    for (int d = 0; d < 2; d++)
      for (size_t k = 0; k < px.conns[i]->flow[d].nchunks; k++)
        px.conns[i]->flow[d].chunks[k].due = 0;
}

static bool do_stall(const char *a, const char *b) {
  (void)b;
  return set_directions(a, px.stall);
}

static bool do_resume(const char *a, const char *b) {
  (void)a, (void)b;
  px.stall[UP] = px.stall[DOWN] = false;
  return true;
}

static bool do_drop_after(const char *a, const char *b) {
  int64_t n;
  if (!set_number(a, &n) || !set_directions(b, px.drop_dir)) return false;
  px.drop_after = n;
  return true;
}

static bool do_slice(const char *a, const char *b) {
  int64_t n;
  (void)b;
  if (!set_number(a, &n)) return false;
  px.slice = (size_t)n;
  return true;
}

static bool do_delay(const char *a, const char *b) {
  (void)b;
  return set_number(a, &px.delay);
}

static bool do_reset(const char *a, const char *b) {
  (void)a, (void)b;
  close_all(true);
  return true;
}

static bool do_fin(const char *a, const char *b) {
  (void)a, (void)b;
  close_all(false);
  return true;
}

static bool do_half_open(const char *a, const char *b) {
  (void)a, (void)b;
  for (size_t i = 0; i < px.nconns; i++) px.conns[i]->frozen = true;
  return true;
}

static bool do_blackhole(const char *a, const char *b) {
  (void)a, (void)b;
  return px.blackhole = true;
}

static bool do_refuse(const char *a, const char *b) {
  (void)a, (void)b;
  close_listener();
  return true;
}

static bool do_listen(const char *a, const char *b) {
  (void)a, (void)b;
  return open_listener();
}

static bool do_corrupt(const char *a, const char *b) {
  (void)b;
  return set_number(a, &px.corrupt);
}

static bool do_pooler(const char *a, const char *b) {
  (void)b;
  px.pooler = a == NULL ? 0 : strtol(a, NULL, 10);
  return true;
}

static bool do_swallow(const char *a, const char *b) {
  (void)b;
  memset(px.swallow, 0, sizeof px.swallow);
  for (; a != NULL && *a != '\0'; a++) px.swallow[(unsigned char)*a] = true;
  return true;
}

static bool do_clear(const char *a, const char *b) {
  (void)a, (void)b;
  clear_faults();
  return open_listener();
}

static bool do_quit(const char *a, const char *b) {
  (void)a, (void)b;
  return px.quit = true;
}

static const struct {
  const char *name;
  bool (*run)(const char *a, const char *b);
} commands[] = {
    {"stall", do_stall},
    {"resume", do_resume},
    {"drop-after", do_drop_after},
    {"slice", do_slice},
    {"delay", do_delay},
    {"reset", do_reset},
    {"fin", do_fin},
    {"half-open", do_half_open},
    {"blackhole", do_blackhole},
    {"refuse", do_refuse},
    {"listen", do_listen},
    {"corrupt", do_corrupt},
    {"swallow", do_swallow},
    {"pooler", do_pooler},
    {"clear", do_clear},
    {"quit", do_quit},
};

static void tell_stats(void) {
  char line[LINE];
  snprintf(line, sizeof line,
           "ok up=%llu down=%llu accepted=%llu refused=%llu open=%zu",
           (unsigned long long)px.bytes[UP], (unsigned long long)px.bytes[DOWN],
           (unsigned long long)px.accepted, (unsigned long long)px.refused,
           px.nconns);
  answer(line);
}

static void obey(char *line) {
  char *save = NULL;
  char *name = strtok_r(line, " \t\r", &save);
  if (name == NULL) return;
  char *a = strtok_r(NULL, " \t\r", &save);
  char *b = a != NULL ? strtok_r(NULL, " \t\r", &save) : NULL;
  if (strcmp(name, "stats") == 0) {
    tell_stats();
    return;
  }
  for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
    if (strcmp(commands[i].name, name) != 0) continue;
    answer(commands[i].run(a, b) ? "ok" : "error bad argument");
    return;
  }
  answer("error unknown command");
}

/* False at the end of the commands. */
static bool read_commands(int fd) {
  ssize_t n = read(fd, px.line + px.nline, sizeof px.line - 1 - px.nline);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  if (n == 0) return false;
  px.nline += (size_t)n;
  px.line[px.nline] = '\0';
  char *end;
  while ((end = strchr(px.line, '\n')) != NULL) {
    *end++ = '\0';
    obey(px.line);
    px.nline = strlen(end);
    memmove(px.line, end, px.nline + 1);
  }
  if (px.nline == sizeof px.line - 1) px.nline = 0; /* no command is so long */
  return true;
}

static void serve_control(void) {
  if (px.commander < 0) {
    px.commander = accept(px.control, NULL, NULL);
    px.nline = 0;
  } else if (!read_commands(px.commander)) {
    close(px.commander);
    px.commander = -1;
  }
}

/* ---- the loop ----------------------------------------------------------- */

static void serve_commands(void) {
  if (px.control >= 0)
    serve_control();
  else if (!read_commands(STDIN_FILENO))
    px.quit = true;
}

static int command_fd(void) {
  if (px.control < 0) return STDIN_FILENO;
  return px.commander >= 0 ? px.commander : px.control;
}

/* poll() ignores negative descriptors: one that nothing is wanted of must not
** wake us with its hang-up. */
static struct pollfd wanted(const struct conn *c, int dir) {
  struct pollfd p = {.fd = -1};
  int back = 1 - dir;
  if (reads(c, dir)) p.events |= POLLIN;
  if (c->flow[back].blocked && !c->frozen && !px.stall[back])
    p.events |= POLLOUT;
  if (p.events != 0) p.fd = c->flow[dir].from;
  return p;
}

/* Milliseconds until the first delayed piece is due; -1: none is. */
static int next_due(void) {
  int64_t first = -1, now = now_ms();
  for (size_t i = 0; i < px.nconns; i++) {
    for (int d = 0; d < 2; d++) {
      const struct flow *f = &px.conns[i]->flow[d];
      if (f->nchunks == 0 || f->blocked || px.stall[d]) continue;
      if (px.conns[i]->frozen) continue;
      int64_t left = f->chunks[0].due > now ? f->chunks[0].due - now : 0;
      if (first < 0 || left < first) first = left;
    }
  }
  return (int)first;
}

static bool serve_conn(struct conn *c, const struct pollfd polls[2]) {
  for (int d = 0; d < 2; d++) {
    if (polls[d].revents != 0 && reads(c, d) && !read_flow(c, d)) return false;
    if (!write_flow(c, d)) return false;
  }
  return !(c->flow[UP].ended && c->flow[DOWN].ended);
}

static void turn(void) {
  static struct pollfd polls[2 + 2 * MAX_CONNS];
  size_t n = px.nconns;
  polls[0] = (struct pollfd){.fd = command_fd(), .events = POLLIN};
  polls[1] = (struct pollfd){.fd = px.listener, .events = POLLIN};
  for (size_t i = 0; i < n; i++)
    for (int d = 0; d < 2; d++)
      polls[2 + 2 * i + (size_t)d] = wanted(px.conns[i], d);
  if (poll(polls, 2 + 2 * n, next_due()) < 0) return;
  for (size_t i = n; i-- > 0;) /* downwards: closing moves the last here */
    if (!serve_conn(px.conns[i], &polls[2 + 2 * i])) close_conn(i, false);
  if (polls[1].revents != 0) accept_conns();
  if (polls[0].revents != 0) serve_commands();
}

int main(int argc, char **argv) {
  if (argc < 3 || argc > 4) {
    fprintf(stderr, "usage: faultproxy LISTEN TARGET [CONTROL]\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  px.listen_at = argv[1];
  px.target = argv[2];
  if (!open_listener()) {
    fprintf(stderr, "faultproxy: cannot listen on %s: %s\n", px.listen_at,
            strerror(errno));
    return 1;
  }
  if (argc == 4 && (px.control = listen_unix(argv[3])) < 0) {
    fprintf(stderr, "faultproxy: cannot listen on %s: %s\n", argv[3],
            strerror(errno));
    return 1;
  }
  printf("listening %s\n", px.address);
  fflush(stdout);
  while (!px.quit) turn();
  close_listener();
  if (argc == 4) unlink(argv[3]);
  return 0;
}
