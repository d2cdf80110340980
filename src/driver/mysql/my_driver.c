/* The exported table, and the life of a connection. */
#include "driver/mysql/my_int.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "driver/mysql/my_wait.h"

static const char *version(void) {
  static char text[32];
  (void)snprintf(text, sizeof text, "libmariadb %s", mysql_get_client_info());
  return text;
}

static struct prg_conn *conn_new(void) {
  struct my_conn *c = prg_calloc(1, sizeof *c);
  if (c == NULL) return NULL;
  my_cache_init(&c->cache);
  c->recancel = PRG_NEVER;
  return &c->base;
}

static const char *unclean(struct prg_conn *base) {
  struct my_conn *c = my_of(base);
  if (base->tx != PRG_TX_IDLE || c->lost != NULL)
    return "a transaction is open";
  if ((c->my->server_status & SERVER_STATUS_AUTOCOMMIT) == 0)
    return "autocommit is off";
  return NULL;
}

/* Nobody knows how to bring back what on_connect has set, but on_connect on a new
** connection. */
static void settle(struct prg_conn *base) {
  my_of(base)->custom = true;
}

/* In a child process the socket is the parent's session: what is said on it must
** go nowhere. False: that cannot be had. */
static bool cut_forked(int fd) {
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  bool safe = fd < 0 || (null >= 0 && dup2(null, fd) >= 0);
  if (null >= 0) close(null);
  return safe;
}

/* A call that is in progress, and rows that are not read, end with the socket. */
static void finish_calls(struct my_conn *c, int fd, bool forked) {
  struct my_run *r = &c->run;
  bool open = c->wants != 0 || r->rows != NULL || r->e != NULL;
  if (open && !forked && fd >= 0) (void)shutdown(fd, SHUT_RDWR);
  while (c->op != NULL && c->wants != 0) c->wants = c->op(c, c->wants);
  c->op = NULL;
  if (c->res != NULL) mysql_free_result(c->res);
  c->res = NULL;
  if (r->rows != NULL) mysql_free_result(r->rows);
  r->rows = NULL;
}

void my_run_drop(struct my_run *r) {
  if (r->e != NULL && !r->e->cached) my_entry_free(r->e);
  if (r->res != NULL) prg_result_free(&r->res->base);
  prg_result_free(r->first);
  prg_error_unref(r->error);
  my_plan_fini(&r->plan);
  r->e = NULL;
  r->res = NULL;
  r->first = NULL;
  r->error = NULL;
  r->req = NULL;
}

/* Streams that wait for their owner. */
static void drop_list(struct prg_list *list) {
  for (struct prg_link *k = prg_list_first(list); k != NULL;
       k = prg_list_next(list, k)) {
    struct prg_req *req = PRG_CONTAINER(k, struct prg_req, link);
    if (req->impl == NULL) continue;
    my_run_drop(req->impl);
    prg_free(req->impl);
    req->impl = NULL;
  }
}

static void fini(struct prg_conn *base, bool forked) {
  struct my_conn *c = my_of(base);
  int fd = c->my == NULL ? -1 : (int)mysql_get_socket(c->my);
  if (!forked) { /* a child has no such threads, and no right to their memory */
    my_connect_abandon(c);
    my_cancel_abandon(c);
  } else if (!cut_forked(fd)) {
    return; /* leaked */
  }
  if (c->my != NULL) {
    finish_calls(c, fd, forked);
    my_close(c->my);
    c->my = NULL;
    if (c->tls) my_tls_forget(); /* also for others who use it */
  }
  my_wire_fini(c);
  my_run_drop(&c->run);
  drop_list(&base->sent);
  drop_list(&base->paused);
  my_cache_fini(&c->cache);
  prg_error_unref(c->lost);
  c->lost = NULL;
  prg_free(c->more.sql);
  c->more.sql = NULL;
  prg_free(c->cells);
  c->cells = NULL;
  c->ncells = 0;
  prg_free(c->binds);
  c->binds = NULL;
  c->nbinds = 0;
  prg_free(c->bulk);
  c->bulk = NULL;
  c->nbulk = 0;
}

PRG_EXPORT extern const struct prg_driver perigee_driver;

const struct prg_driver perigee_driver = {
    .abi = PRG_DRIVER_ABI,
    .release = PERIGEE_VERSION,
    .name = "mysql",
    .dialect = "mysql",
    .features = PRG_F_CANCEL | PRG_F_INTERLEAVE | PRG_F_LAST_ID |
                PRG_F_COLLECT | PRG_F_REOPEN,
    .version = version,
    .check = my_check,
    .conn_new = conn_new,
    .step = my_step,
    .cancel = my_cancel,
    .unclean = unclean,
    .settle = settle,
    .fini = fini,
};
