/*
** A small HTTP server whose answers are made by a Lua script (app.lua). It has a
** loop of its own, with poll(2); each request is a task, and the runtime's one
** descriptor stands in the loop beside the sockets.
**
**     ./server app.lua sqlite:moons.db [PORT]
**     curl http://127.0.0.1:PORT/moons/Mars
*/
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <perigee.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_CLIENTS = 64, MAX_REQUEST = 4096 };

/* A connection: reads a request, waits for the task, writes the answer. */
struct client {
  int fd; /* -1: free */
  size_t got;
  char in[MAX_REQUEST];
  perigee_task *task;
  char *out;
  size_t length, sent;
};

static struct client clients[MAX_CLIENTS];
static perigee_function *handle;
static volatile sig_atomic_t stopping;

static void on_signal(int number) {
  (void)number;
  stopping = 1;
}

/* Prints an error and frees it. */
static int complain(const char *what, perigee_error *err) {
  fprintf(stderr, "server: %s: %s: %s\n", what, err->name, err->message);
  if (err->traceback != NULL) fprintf(stderr, "%s\n", err->traceback);
  perigee_error_free(err);
  return 1;
}

/* log(text), for scripts. */
static int script_log(perigee_call *call, void *data) {
  const char *text = perigee_as_text(perigee_arg(call, 0), NULL);
  (void)data;
  if (text == NULL)
    return perigee_fail(call, PERIGEE_E_USAGE, "log: a string is expected");
  printf("log: %s\n", text);
  return 0;
}

/* ---- a client ------------------------------------------------------------ */

static void drop(struct client *c) {
  perigee_task_free(c->task); /* may be running: it ends by itself */
  free(c->out);
  close(c->fd);
  memset(c, 0, sizeof *c);
  c->fd = -1;
}

static void answer(struct client *c, int status, const char *body,
                   size_t length) {
  int head;
  c->out = malloc(length + 200);
  if (c->out == NULL) {
    drop(c);
    return;
  }
  head = snprintf(c->out, 200,
                  "HTTP/1.0 %d -\r\nContent-Type: text/plain\r\n"
                  "Content-Length: %zu\r\n\r\n",
                  status, length + 1);
  memcpy(c->out + head, body, length);
  c->out[(size_t)head + length] = '\n';
  c->length = (size_t)head + length + 1;
}

/* The script has its answer, or has failed. */
static void on_done(perigee_task *task, void *data) {
  struct client *c = data;
  size_t n;
  const perigee_value *r = perigee_task_results(task, &n);
  const perigee_error *e = perigee_task_error(task);
  if (e != NULL) {
    fprintf(stderr, "server: %s: %s\n", e->name, e->message);
    answer(c, 500, e->name, strlen(e->name));
  } else if (n == 2 && r[1].type == PERIGEE_STRING) {
    answer(c, (int)perigee_as_integer(&r[0], 500), r[1].as.string, r[1].count);
  } else {
    answer(c, 500, "no answer", 9);
  }
  perigee_task_free(task);
  if (c->fd >= 0) c->task = NULL;
}

/* "GET /path HTTP/1.1..." -> handle("GET /path") */
static void start_request(struct client *c) {
  size_t method = strcspn(c->in, " ");
  size_t line = method + 1 + strcspn(c->in + method + 1, " \r");
  perigee_error *err = NULL;
  perigee_value request = perigee_bytes(c->in, line);
  c->task = perigee_start(handle, &request, 1, &err);
  if (c->task != NULL) {
    perigee_task_on_done(c->task, on_done, c);
  } else {
    complain("request", err);
    answer(c, 500, "busy", 4);
  }
}

static void read_request(struct client *c) {
  ssize_t n = read(c->fd, c->in + c->got, MAX_REQUEST - 1 - c->got);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) {
    drop(c);
    return;
  }
  c->got += (size_t)n;
  c->in[c->got] = '\0';
  if (strstr(c->in, "\r\n\r\n") != NULL && strchr(c->in, ' ') != NULL)
    start_request(c);
  else if (c->got == MAX_REQUEST - 1)
    drop(c);
}

static void write_answer(struct client *c) {
  ssize_t n = write(c->fd, c->out + c->sent, c->length - c->sent);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n > 0) c->sent += (size_t)n;
  if (n <= 0 || c->sent == c->length) drop(c);
}

static void accept_client(int listener) {
  int i, fd = accept(listener, NULL, NULL);
  if (fd < 0) return;
  for (i = 0; i < MAX_CLIENTS && clients[i].fd >= 0; i++) continue;
  if (i == MAX_CLIENTS) {
    close(fd);
    return;
  }
  fcntl(fd, F_SETFL, O_NONBLOCK);
  clients[i].fd = fd;
}

/* ---- the loop ------------------------------------------------------------ */

/* What a client waits for; of one that waits for its task, only a hang-up. */
static short events_of(const struct client *c) {
  if (c->out != NULL) return POLLOUT;
  return c->task != NULL ? 0 : POLLIN;
}

static void serve(perigee *rt, int listener) {
  struct pollfd fds[MAX_CLIENTS + 2];
  while (!stopping) {
    int i;
    fds[0] = (struct pollfd){perigee_fd(rt), POLLIN, 0};
    fds[1] = (struct pollfd){listener, POLLIN, 0};
    for (i = 0; i < MAX_CLIENTS; i++)
      fds[i + 2] = (struct pollfd){clients[i].fd, events_of(&clients[i]), 0};
    if (poll(fds, MAX_CLIENTS + 2, -1) < 0) continue;
    for (i = 0; i < MAX_CLIENTS; i++) {
      if (fds[i + 2].revents & POLLOUT)
        write_answer(&clients[i]);
      else if (fds[i + 2].revents & POLLIN)
        read_request(&clients[i]);
      else if (fds[i + 2].revents != 0)
        drop(&clients[i]);
    }
    if (fds[1].revents != 0) accept_client(listener);
    if (fds[0].revents != 0) {
      perigee_error *err = NULL;
      if (perigee_step(rt, &err) < 0) complain("step", err);
    }
  }
}

static int listen_on(int port) {
  struct sockaddr_in a = {.sin_family = AF_INET,
                          .sin_port = htons((unsigned short)port)};
  socklen_t size = sizeof a;
  int fd = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (fd < 0 || bind(fd, (struct sockaddr *)&a, size) != 0 ||
      listen(fd, 64) != 0 || getsockname(fd, (struct sockaddr *)&a, &size) != 0)
    return -1;
  fcntl(fd, F_SETFL, O_NONBLOCK);
  printf("http://127.0.0.1:%d\n", ntohs(a.sin_port));
  return fd;
}

/* Loads the script, opens the database, calls start(). */
static int prepare(perigee *rt, const char *script, const char *url) {
  perigee_error *err = NULL;
  perigee_function *f;
  perigee_task *t;
  if (perigee_open(rt, "db", url, NULL, &err) < 0)
    return complain("database", err);
  if (perigee_register(rt, "log", script_log, NULL, &err) < 0)
    return complain("log", err);
  f = perigee_load_file(rt, script, &err);
  t = f == NULL ? NULL : perigee_start(f, NULL, 0, &err);
  if (t == NULL || perigee_wait(t, 10, &err) < 0) return complain(script, err);
  perigee_task_free(t);
  perigee_function_free(f);
  handle = perigee_find(rt, "handle", &err);
  f = perigee_find(rt, "start", &err);
  if (handle == NULL || f == NULL) return complain(script, err);
  t = perigee_start(f, NULL, 0, &err);
  perigee_function_free(f);
  if (t == NULL || perigee_wait(t, 10, &err) < 0) return complain("start", err);
  if (perigee_task_error(t) != NULL) {
    fprintf(stderr, "server: start: %s\n", perigee_task_error(t)->message);
    return 1;
  }
  perigee_task_free(t);
  return 0;
}

int main(int argc, char **argv) {
  struct sigaction action = {.sa_handler = on_signal};
  perigee_options options;
  perigee_error *err = NULL;
  perigee *rt;
  int i, listener, status;
  if (argc < 3) {
    fprintf(stderr, "usage: %s SCRIPT URL [PORT]\n", argv[0]);
    return 2;
  }
  setvbuf(stdout, NULL, _IOLBF, 0);
  signal(SIGPIPE, SIG_IGN);
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  for (i = 0; i < MAX_CLIENTS; i++) clients[i].fd = -1;
  perigee_options_init(&options);
  options.memory = (size_t)64 << 20;
  options.instructions = 10000000;
  options.seconds = 20;
  rt = perigee_new(&options, &err);
  if (rt == NULL) return complain("runtime", err);
  status = prepare(rt, argv[1], argv[2]);
  listener = status == 0
                 ? listen_on(argc > 3 ? (int)strtol(argv[3], NULL, 10) : 0)
                 : -1;
  if (listener >= 0) serve(rt, listener);
  for (i = 0; i < MAX_CLIENTS; i++)
    if (clients[i].fd >= 0) drop(&clients[i]);
  if (perigee_close(rt, 5, &err) < 0) complain("close", err);
  perigee_function_free(handle);
  perigee_free(rt);
  if (listener >= 0) close(listener);
  printf("stopped\n");
  return status;
}
