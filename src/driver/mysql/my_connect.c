/* Connecting: parameters of the URL, and one attempt on a thread of its own, since
** the library resolves names and reads files of certificates without a way
** around waiting. */
#include "driver/mysql/my_int.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/lock.h"
#include "base/mem.h"
#include "driver/mysql/my_wait.h"

enum { MAX_HOSTS = 16, DEFAULT_PORT = 3306 };

/* It owns all that it needs, so that it may outlive the connection and its
** configuration. */
struct my_connect {
  struct prg_job job;
  struct my_conn *conn; /* the hub thread's; NULL when it has gone */
  struct my_wait wait;
  struct prg_arena arena; /* of the texts below */
  const char *user, *password, *database, *socket, *application;
  const char *hosts[MAX_HOSTS];
  unsigned ports[MAX_HOSTS];
  size_t nhosts;
  const char *mode; /* of TLS; NULL: by host */
  const char *ca, *cert, *key;
  bool failed;             /* no memory for one of the texts */
  MYSQL *my;               /* result; NULL on failure */
  size_t limit;            /* result */
  bool rolls_back;         /* result */
  struct prg_error *error; /* result; NULL on success */
};

/* The scanner and the builder of statements rely on sql_mode (no ANSI_QUOTES, no
** NO_BACKSLASH_ESCAPES), the texts of timestamps on the zone. A 0 as a key is one. What
** an UPDATE sets is computed of the row as it was. The builder's variable is there from
** the start, as a number. READ COMMITTED: less is locked, and what an insert ran into can
** be read. MariaDB would cut the rows of a recursion after a number of turns, with nothing
** but a warning. */
const char my_setup[] =
    "SET NAMES utf8mb4, @@session.autocommit = 1, "
    "@@session.time_zone = '+00:00', @@session.sql_mode = "
    "'STRICT_TRANS_TABLES,STRICT_ALL_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,"
    "ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,"
    "NO_AUTO_VALUE_ON_ZERO' /*M!100305 ',SIMULTANEOUS_ASSIGNMENT' */, "
    "@perigee = 0 "
    "/*M!100201 , @@session.tx_isolation = 'READ-COMMITTED', "
    "@@session.max_recursive_iterations = 4294967295 */"
    "/*!80003 , @@session.transaction_isolation = 'READ-COMMITTED' */";

/* ---- what may stand in a URL ---------------------------------------------- */

static const struct {
  const char *name;
  const char *const values[5]; /* NULL: any */
} params[] = {
    {"socket", {NULL}},
    {"sslmode", {"disable", "require", "verify-full", NULL}},
    {"sslrootcert", {NULL}},
    {"sslcert", {NULL}},
    {"sslkey", {NULL}},
    {"charset", {"utf8mb4", NULL}},
    {"protocol", {"wire", "libmariadb", NULL}},
    {"zero_dates", {"error", "text", NULL}},
};

static struct prg_error *check_value(size_t i, const struct prg_param *p) {
  const char *const *v = params[i].values;
  if (v[0] == NULL) return NULL;
  for (; *v != NULL; v++)
    if (strcmp(*v, p->value) == 0) return NULL;
  v = params[i].values;
  return prg_error_new(PRG_K_USAGE, "%s: %s%s%s%s%s is expected, not \"%s\"",
                       p->name, v[0], v[1] != NULL ? " or " : "",
                       v[1] != NULL ? v[1] : "",
                       v[1] != NULL && v[2] != NULL ? " or " : "",
                       v[1] != NULL && v[2] != NULL ? v[2] : "", p->value);
}

struct prg_error *my_check(struct prg_config *cfg) {
  size_t n = sizeof params / sizeof params[0];
  /* What the server is will be known when statements have been made for it. */
  if (strncmp(cfg->url.given, "mariadb", 7) == 0) cfg->dialect = "mariadb";
  cfg->lanes = 1;
  cfg->max_conns = 0;
  for (size_t i = 0; i < cfg->url.nparams; i++) {
    const struct prg_param *p = &cfg->url.params[i];
    size_t k = 0;
    while (k < n && strcmp(params[k].name, p->name) != 0) k++;
    struct prg_error *e =
        k < n ? check_value(k, p)
              : prg_error_new(
                    PRG_K_USAGE,
                    "unknown parameter \"%s\" in the URL: allowed are "
                    "options of open, charset, protocol, socket, sslcert, "
                    "sslkey, sslmode, sslrootcert, zero_dates",
                    p->name);
    if (e != NULL) return e;
  }
  return NULL;
}

/* ---- the description ------------------------------------------------------ */

static const char *keep(struct my_connect *j, const char *s) {
  if (s == NULL) return NULL;
  const char *copy = prg_arena_dup(&j->arena, s, strlen(s));
  if (copy == NULL) j->failed = true;
  return copy;
}

/* Comma lists of equal length, which the URL's parser has made sure of. */
static void keep_hosts(struct my_connect *j, const char *host,
                       const char *port) {
  while (host != NULL && j->nhosts < MAX_HOSTS) {
    size_t n = strcspn(host, ",");
    const char *copy = prg_arena_dup(&j->arena, host, n);
    if (copy == NULL) j->failed = true;
    j->hosts[j->nhosts] = copy;
    j->ports[j->nhosts] = port == NULL ? 0 : (unsigned)strtoul(port, NULL, 10);
    if (j->ports[j->nhosts] == 0) j->ports[j->nhosts] = DEFAULT_PORT;
    j->nhosts++;
    host = host[n] == ',' ? host + n + 1 : NULL;
    port = port == NULL ? NULL : strchr(port, ',');
    if (port != NULL) port++;
  }
}

struct my_connect *my_connect_new(const struct prg_config *cfg, int64_t due) {
  const struct prg_url *u = &cfg->url;
  struct my_connect *j = prg_calloc(1, sizeof *j);
  if (j == NULL) return NULL;
  my_wait_init(&j->wait, due);
  prg_arena_init(&j->arena);
  j->user = keep(j, u->user);
  j->password = keep(j, u->password);
  j->database = keep(j, u->database);
  j->application = keep(j, cfg->application_name);
  j->socket = keep(j, prg_url_param(u, "socket"));
  j->mode = keep(j, prg_url_param(u, "sslmode"));
  j->ca = keep(j, prg_url_param(u, "sslrootcert"));
  j->cert = keep(j, prg_url_param(u, "sslcert"));
  j->key = keep(j, prg_url_param(u, "sslkey"));
  if (j->socket == NULL) keep_hosts(j, u->host, u->port);
  if (!j->failed) return j;
  my_connect_free(j);
  return NULL;
}

void my_connect_free(struct my_connect *j) {
  if (j->my != NULL) my_close(j->my);
  prg_error_unref(j->error);
  prg_arena_fini(&j->arena);
  prg_free(j);
}

MYSQL *my_connect_my(struct my_connect *j) {
  return j->my;
}

void my_connect_only(struct my_connect *j, const MYSQL *my) {
  for (size_t i = 0; i < j->nhosts; i++) {
    if (my->host == NULL || strcmp(j->hosts[i], my->host) != 0 ||
        j->ports[i] != my->port)
      continue;
    j->hosts[0] = j->hosts[i];
    j->ports[0] = j->ports[i];
    j->nhosts = 1;
  }
}

/* ---- one attempt ---------------------------------------------------------- */

static bool is_local(const char *host) {
  return host == NULL || strcmp(host, "localhost") == 0 ||
         strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0;
}

/* A server that is reached over a network proves who it is, unless the URL says
** otherwise. */
static void set_tls(const struct my_connect *j, MYSQL *my, const char *host) {
  const char *mode = j->mode;
  my_bool yes = 1, no = 0;
  if (mode == NULL)
    mode = is_local(host) && j->ca == NULL ? "disable" : "verify-full";
  if (strcmp(mode, "disable") == 0) return;
  mysql_options(my, MYSQL_OPT_SSL_ENFORCE, &yes);
  if (j->ca != NULL) mysql_options(my, MYSQL_OPT_SSL_CA, j->ca);
  if (j->cert != NULL) mysql_options(my, MYSQL_OPT_SSL_CERT, j->cert);
  if (j->key != NULL) mysql_options(my, MYSQL_OPT_SSL_KEY, j->key);
  mysql_options(my, MYSQL_OPT_SSL_VERIFY_SERVER_CERT,
                strcmp(mode, "require") == 0 ? &no : &yes);
}

/* The server may ask for a file, or for the password as it is: it gets neither. */
static const char auth_plugins[] =
    "mysql_native_password,caching_sha2_password,client_ed25519,"
    "sha256_password,parsec,auth_gssapi_client,unix_socket";

/* The handshake of TLS waits in the library, so it is told for how long. */
static void set_times(const struct my_connect *j, MYSQL *my) {
  int64_t left = j->wait.due == PRG_NEVER ? PRG_NEVER : j->wait.due - prg_now();
  unsigned s = left > 60 * PRG_SECOND ? 60 : (unsigned)(left / PRG_SECOND) + 1;
  mysql_options(my, MYSQL_OPT_CONNECT_TIMEOUT, &s);
  mysql_options(my, MYSQL_OPT_READ_TIMEOUT, &s);
  mysql_options(my, MYSQL_OPT_WRITE_TIMEOUT, &s);
}

static MYSQL *make(const struct my_connect *j, const char *host) {
  MYSQL *my = mysql_init(NULL);
  unsigned protocol = host != NULL ? MYSQL_PROTOCOL_TCP : MYSQL_PROTOCOL_SOCKET;
  unsigned no_files = 0;
  const char *name = j->application == NULL ? "perigee" : j->application;
  if (my == NULL) return NULL;
  mysql_options(my, MYSQL_OPT_NONBLOCK, NULL);
  mysql_options(my, MYSQL_SET_CHARSET_NAME, "utf8mb4");
  mysql_options(my, MYSQL_INIT_COMMAND, my_setup);
  mysql_options(my, MYSQL_OPT_PROTOCOL, &protocol);
  mysql_options(my, MYSQL_OPT_LOCAL_INFILE, &no_files);
  mysql_options(my, MARIADB_OPT_RESTRICTED_AUTH, auth_plugins);
  mysql_options4(my, MYSQL_OPT_CONNECT_ATTR_ADD, "program_name", name);
  set_times(j, my);
  set_tls(j, my, host);
  return my;
}

/* Keepalives, and an end to waiting for what was sent to nobody. */
static void set_socket(int fd) {
  int yes = 1, idle = 30, interval = 10, count = 3, timeout = 30000;
  (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes);
  (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
  (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
  (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof timeout);
}

static bool attempt(struct my_connect *j, const char *host, unsigned port,
                    int64_t due) {
  MYSQL *ret = NULL;
  int status;
  my_tls_forget();
  j->my = make(j, host);
  if (j->my == NULL) return false;
  status = mysql_real_connect_start(
      &ret, j->my, host, j->user, j->password, j->database, port, j->socket,
      CLIENT_FOUND_ROWS | CLIENT_MULTI_STATEMENTS | CLIENT_MULTI_RESULTS |
          CLIENT_REMEMBER_OPTIONS);
  while (status != 0)
    status = mysql_real_connect_cont(&ret, j->my,
                                     my_wait_for(&j->wait, j->my, status, due));
  if (ret == NULL) return false;
  if (host != NULL) set_socket((int)mysql_get_socket(j->my));
  return true;
}

/* How long a packet the server takes; one that is longer would cost the
** connection. And what it does with a transaction that waits in vain. */
static void ask_settings(struct my_connect *j) {
  static const char sql[] =
      "SELECT @@max_allowed_packet, @@innodb_rollback_on_timeout";
  MYSQL_RES *res;
  MYSQL_ROW row;
  if (my_wait_sql(&j->wait, j->my, sql) != 0) return;
  res = my_wait_rows(&j->wait, j->my);
  if (res == NULL) return;
  row = mysql_fetch_row(res);
  if (row != NULL && row[0] != NULL) j->limit = strtoull(row[0], NULL, 10);
  j->rolls_back = row != NULL && row[1] != NULL && row[1][0] == '1';
  mysql_free_result(res);
}

static struct prg_error *reason(struct my_connect *j) {
  if (my_wait_is_over(&j->wait))
    return prg_error_new(PRG_K_TIMEOUT,
                         "connecting to the server took too long");
  return j->my == NULL ? prg_error_oom() : my_error_connect(j->my);
}

/* With several hosts each gets its share of the time, else a dead first one would
** take it all. */
struct prg_error *my_connect_run(struct my_connect *j) {
  size_t n = j->nhosts == 0 ? 1 : j->nhosts;
  struct prg_error *e = NULL;
  for (size_t i = 0; i < n; i++) {
    int64_t now = prg_now(), due = j->wait.due;
    if (due != PRG_NEVER) due = now + (due - now) / (int64_t)(n - i);
    prg_error_unref(e);
    if (attempt(j, j->hosts[i], j->ports[i], due)) return NULL;
    e = reason(j);
    if (j->my != NULL) my_close(j->my);
    j->my = NULL;
    if (e->kind == PRG_K_AUTH) return e;
  }
  return e;
}

static void run(struct prg_job *job) {
  struct my_connect *j = PRG_CONTAINER(job, struct my_connect, job);
  j->error = my_connect_run(j);
  if (j->error == NULL) ask_settings(j);
}

/* ---- the hub's thread ----------------------------------------------------- */

static void orphan(struct prg_job *job) {
  my_connect_free(PRG_CONTAINER(job, struct my_connect, job));
}

static void hand_over(struct my_connect *j, struct my_conn *c) {
  c->my = j->my;
  j->my = NULL;
  c->limit = j->limit;
  c->rolls_back = j->rolls_back;
  c->tls = mysql_get_ssl_cipher(c->my) != NULL;
  /* By TLS the library relies on it, and has left it otherwise. */
  (void)fcntl((int)mysql_get_socket(c->my), F_SETFL, O_NONBLOCK);
  my_wire_init(c);
  c->base.backend = (int64_t)mysql_thread_id(c->my);
  c->base.tx = PRG_TX_IDLE;
}

static void done(struct prg_job *job) {
  struct my_connect *j = PRG_CONTAINER(job, struct my_connect, job);
  struct my_conn *c = j->conn;
  struct prg_error *e = j->error;
  if (c == NULL) {
    my_connect_free(j);
    return;
  }
  c->connecting = NULL;
  j->error = NULL;
  if (e == NULL) hand_over(j, c);
  my_connect_free(j);
  if (e == NULL)
    prg_conn_step(&c->base, 0);
  else
    prg_conn_fail(&c->base, e);
}

static void (*forget_errors)(void); /* ERR_clear_error, or NULL */

void my_tls_forget(void) {
  if (forget_errors != NULL) forget_errors();
}

/* When the process exits, OpenSSL frees what it has, also under the feet of a
** thread that still connects and that nobody waits for any more. It can be asked
** not to, by the first who uses it. It is the library's, not ours, hence the
** search (it may also have none). */
static void prepare_openssl(void) {
  static const uint64_t no_atexit = 0x00080000; /* OPENSSL_INIT_NO_ATEXIT */
  int (*init)(uint64_t options, const void *settings);
  Dl_info client;
  if (dladdr((void *)(uintptr_t)mysql_real_connect, &client) == 0) return;
  void *handle = dlopen(client.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
  if (handle == NULL) return;
  *(void **)&init = dlsym(handle, "OPENSSL_init_crypto");
  if (init != NULL) init(no_atexit, NULL);
  *(void **)&forget_errors = dlsym(handle, "ERR_clear_error");
  dlclose(handle);
}

static void prepare_library(void) {
  prepare_openssl();
  (void)mysql_server_init(0, NULL, NULL);
}

void my_library_ready(void) {
  static prg_once once = PRG_ONCE_INIT;
  prg_once_run(&once, prepare_library);
}

int my_connect_start(struct my_conn *c) {
  const char *zero = prg_url_param(&c->base.config->url, "zero_dates");
  my_library_ready();
  c->zero_dates = zero != NULL && strcmp(zero, "text") == 0;
  struct my_connect *j =
      my_connect_new(c->base.config, prg_timer_is_set(&c->base.connect_timer)
                                         ? c->base.connect_timer.due
                                         : PRG_NEVER);
  if (j == NULL) {
    c->base.error = prg_error_oom();
    return PRG_ERR;
  }
  j->job.run = run;
  j->job.done = done;
  j->job.orphan = orphan;
  j->conn = c;
  if (prg_job_spawn(c->base.hub, &j->job) == PRG_OK) {
    c->connecting = j;
    return PRG_OK;
  }
  my_connect_free(j);
  c->base.error =
      prg_error_new(PRG_K_RESOURCE, "no thread could be started to connect");
  return PRG_ERR;
}

void my_connect_abandon(struct my_conn *c) {
  if (c->connecting == NULL) return;
  atomic_store(&c->connecting->wait.abandoned, true);
  c->connecting->conn = NULL;
  c->connecting = NULL;
}
