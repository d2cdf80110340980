/*
** A PostgreSQL server that says what a script tells it to: for what a real one
** never says.
**
**   fakepg SCRIPT
**
** Listens on a free port of 127.0.0.1 and prints "listening PORT PID"; ends when
** it is killed or its parent ends. The script, a file, is read anew for each
** connection, which has a process of its own. One command a line:
**
**   conn N       what follows is for the N-th connection (from 1); *: for all
**   startup      takes the start message; answers N to requests for TLS or GSS
**   tls          takes the request for TLS and answers S
**   scram I      asks for SCRAM with I iterations and sends a wrong signature
**   await X      reads until a message of type X has come
**   send HEX     sends these bytes
**   flood N HEX  sends them N times
**   wait MS
**   loop, again  repeats what is between them
**   hold         reads until the client ends
**   reset        aborts the connection (RST); the end of the script closes it
*/
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SCRIPT = 1 << 20, BODY = 1 << 20, BYTES = 1 << 18 };
enum { TLS = 80877103, GSS = 80877104, CANCEL = 80877102 };

static int peer;
static unsigned char body[BODY];
static unsigned char bytes[BYTES];

/* ---- talking; each ends the process when the client has gone ------------- */

static void put(const void *p, size_t n) {
  const char *at = p;
  while (n > 0) {
    ssize_t sent = send(peer, at, n, MSG_NOSIGNAL);
    if (sent <= 0) _exit(0);
    at += sent;
    n -= (size_t)sent;
  }
}

static void get(void *p, size_t n) {
  char *at = p;
  while (n > 0) {
    ssize_t got = recv(peer, at, n, 0);
    if (got <= 0) _exit(0);
    at += got;
    n -= (size_t)got;
  }
}

/* The rest of a message that begins with its length; that of the body. */
static size_t get_body(void) {
  uint32_t n;
  get(&n, 4);
  n = ntohl(n) - 4;
  if (n >= BODY) { /* skipped, but for its end */
    for (; n >= BODY; n -= BODY - 1) get(body, BODY - 1);
  }
  get(body, n);
  body[n] = '\0';
  return n;
}

static uint32_t code_of_start(void) {
  uint32_t code;
  if (get_body() < 4) _exit(0);
  memcpy(&code, body, 4);
  return ntohl(code);
}

static void take_startup(void) {
  uint32_t code;
  while ((code = code_of_start()) == TLS || code == GSS) put("N", 1);
  if (code == CANCEL) _exit(0);
}

static void take_tls(void) {
  while (code_of_start() != TLS) put("N", 1);
  put("S", 1);
}

static void await(char type) {
  char got;
  do {
    get(&got, 1);
    get_body();
  } while (got != type);
}

/* ---- SCRAM (RFC 5802), with a signature that nobody can have ------------- */

static void put_auth(uint32_t code, const char *text, size_t n) {
  uint32_t len = htonl((uint32_t)n + 8), what = htonl(code);
  put("R", 1);
  put(&len, 4);
  put(&what, 4);
  put(text, n);
}

static void play_scram(const char *iterations) {
  static const char methods[] = "SCRAM-SHA-256\0";
  char first[512];
  put_auth(10, methods, sizeof methods);
  await('p');
  /* The method, its zero, a length, and "n,,n=,r=NONCE". */
  const char *nonce = NULL;
  for (size_t i = 0; i + 3 < 256 && nonce == NULL; i++)
    if (memcmp(body + i, ",r=", 3) == 0) nonce = (const char *)body + i + 3;
  if (nonce == NULL) _exit(1);
  int n = snprintf(first, sizeof first, "r=%.100sfake,s=c2FsdHNhbHQ=,i=%s",
                   nonce, iterations);
  put_auth(11, first, (size_t)n);
  await('p');
  n = snprintf(first, sizeof first,
               "v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
  put_auth(12, first, (size_t)n);
}

/* ---- the script --------------------------------------------------------- */

static int digit(char c) {
  static const char digits[] = "0123456789abcdef";
  const char *p = strchr(digits, c);
  return p == NULL || c == '\0' ? -1 : (int)(p - digits);
}

static size_t unhex(const char *hex) {
  size_t n = 0;
  while (n < BYTES && digit(hex[0]) >= 0 && digit(hex[1]) >= 0) {
    bytes[n++] = (unsigned char)(digit(hex[0]) << 4 | digit(hex[1]));
    hex += 2;
  }
  return n;
}

static void flood(const char *words) {
  char *hex;
  long times = strtol(words, &hex, 10);
  size_t n = unhex(hex + 1);
  while (times-- > 0) put(bytes, n);
}

static void nap(const char *ms) {
  long n = strtol(ms, NULL, 10);
  struct timespec t = {n / 1000, n % 1000 * 1000000};
  nanosleep(&t, NULL);
}

static void hold(void) {
  for (;;) get(body, 1);
}

static void reset(void) {
  struct linger l = {.l_onoff = 1, .l_linger = 0};
  setsockopt(peer, SOL_SOCKET, SO_LINGER, &l, sizeof l);
  close(peer);
  _exit(0);
}

/* False: not a command. */
static bool obey(const char *name, const char *words) {
  if (strcmp(name, "startup") == 0)
    take_startup();
  else if (strcmp(name, "tls") == 0)
    take_tls();
  else if (strcmp(name, "scram") == 0)
    play_scram(words);
  else if (strcmp(name, "await") == 0)
    await(words[0]);
  else if (strcmp(name, "send") == 0)
    put(bytes, unhex(words));
  else if (strcmp(name, "flood") == 0)
    flood(words);
  else if (strcmp(name, "wait") == 0)
    nap(words);
  else if (strcmp(name, "hold") == 0)
    hold();
  else if (strcmp(name, "reset") == 0)
    reset();
  else
    return false;
  return true;
}

/* Is the section that "conn WORDS" begins for the n-th connection? */
static bool is_ours(const char *words, long n) {
  return words[0] == '*' || strtol(words, NULL, 10) == n;
}

static char *read_script(const char *path) {
  char *text = calloc(1, SCRIPT + 1);
  FILE *f = fopen(path, "rb");
  if (text == NULL || f == NULL) _exit(1);
  size_t n = fread(text, 1, SCRIPT, f);
  text[n] = '\0';
  fclose(f);
  return text;
}

static void play(const char *path, long n) {
  char *text = read_script(path), *loop = text;
  bool ours = true;
  static char line[2 * BYTES + 64];
  for (char *at = text; *at != '\0';) {
    size_t len = strcspn(at, "\n");
    snprintf(line, sizeof line, "%.*s", (int)len, at);
    char *words = line + strcspn(line, " ");
    if (*words != '\0') *words++ = '\0';
    at += len + (at[len] == '\n');
    if (strcmp(line, "conn") == 0) {
      ours = is_ours(words, n);
    } else if (!ours || line[0] == '\0') {
      continue;
    } else if (strcmp(line, "loop") == 0) {
      loop = at;
    } else if (strcmp(line, "again") == 0) {
      at = loop;
    } else if (!obey(line, words)) {
      fprintf(stderr, "fakepg: unknown command: %s\n", line);
      break;
    }
  }
  free(text);
}

/* ---- listening ---------------------------------------------------------- */

static int listen_anywhere(unsigned *port) {
  struct sockaddr_in sa = {.sin_family = AF_INET,
                           .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t n = sizeof sa;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&sa, n) != 0 ||
      listen(fd, 64) != 0 || getsockname(fd, (struct sockaddr *)&sa, &n) != 0)
    return -1;
  *port = ntohs(sa.sin_port);
  return fd;
}

/* All of us end with whoever started us. */
static void end_with_parent(void) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() == 1) _exit(0);
}

int main(int argc, char **argv) {
  unsigned port = 0;
  if (argc != 2) {
    fprintf(stderr, "usage: fakepg SCRIPT\n");
    return 2;
  }
  end_with_parent();
  signal(SIGCHLD, SIG_IGN);
  int fd = listen_anywhere(&port);
  if (fd < 0) return 1;
  printf("listening %u %d\n", port, (int)getpid());
  fflush(stdout);
  for (long n = 1;; n++) {
    if ((peer = accept(fd, NULL, NULL)) < 0) return 1;
    if (fork() == 0) {
      end_with_parent();
      close(fd);
      play(argv[1], n);
      _exit(0);
    }
    close(peer);
  }
}
