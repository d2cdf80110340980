#include "base/url.h"

#include <string.h>

#include "base/mem.h"

/* A piece of the text being parsed. */
struct span {
  const char *p;
  size_t n;
};

static const struct {
  const char *given, *scheme;
} aliases[] = {
    {"postgresql", "postgres"}, {"mariadb", "mysql"}, {"sqlite3", "sqlite"}};

/* ---- pieces ------------------------------------------------------------- */

static bool is_alpha(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

static int hex(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/* Position of `c`, or the length. */
static size_t find(struct span s, char c) {
  const char *at = s.n == 0 ? NULL : memchr(s.p, c, s.n);
  return at == NULL ? s.n : (size_t)(at - s.p);
}

static struct span skip(struct span s, size_t n) {
  struct span rest = {s.p + n, s.n - n};
  return rest;
}

static struct span head(struct span s, size_t n) {
  struct span h = {s.p, n};
  return h;
}

/* Takes what is before `c` off the text, and `c` itself. */
static struct span cut(struct span *s, char c) {
  struct span first = head(*s, find(*s, c));
  *s = skip(*s, first.n < s->n ? first.n + 1 : first.n);
  return first;
}

static int usage(struct prg_error **err, const char *text) {
  *err = prg_error_new(PRG_K_USAGE, "%s", text);
  return PRG_ERR;
}

static int oom(struct prg_error **err) {
  *err = prg_error_oom();
  return PRG_ERR;
}

/* Percent-decodes `s` to the end of `out`. */
static int decode(struct span s, struct prg_buf *out, struct prg_error **err) {
  for (size_t i = 0; i < s.n; i++) {
    char c = s.p[i];
    if (c == '%') {
      int hi = i + 2 < s.n ? hex(s.p[i + 1]) : -1;
      int lo = hi >= 0 ? hex(s.p[i + 2]) : -1;
      if (lo < 0) {
        return usage(err,
                     "in a database URL, % must be followed by two hexadecimal "
                     "digits (write %25 for the character itself)");
      }
      c = (char)(hi * 16 + lo);
      i += 2;
    }
    if (c == '\0') return usage(err, "a database URL cannot contain %00");
    prg_buf_addc(out, c);
  }
  return PRG_OK;
}

static int decode_field(struct span s, char **field, struct prg_error **err) {
  struct prg_buf b;
  int rc;
  prg_buf_init(&b, 0);
  rc = decode(s, &b, err);
  if (rc == PRG_OK) {
    *field = prg_buf_take(&b);
    if (*field == NULL) rc = oom(err);
  }
  prg_buf_fini(&b);
  return rc;
}

/* ---- parts of a URL ----------------------------------------------------- */

static char *lower_dup(struct span s) {
  char *copy = prg_memdup(s.p, s.n);
  for (size_t i = 0; copy != NULL && i < s.n; i++) {
    if (copy[i] >= 'A' && copy[i] <= 'Z') copy[i] = (char)(copy[i] + 32);
  }
  return copy;
}

static bool is_scheme(struct span s) {
  if (s.n == 0 || !is_alpha(s.p[0])) return false;
  for (size_t i = 1; i < s.n; i++) {
    char c = s.p[i];
    if (!is_alpha(c) && !is_digit(c) && strchr("+-._", c) == NULL) return false;
  }
  return true;
}

static int parse_scheme(struct span *s, struct prg_url *u,
                        struct prg_error **err) {
  size_t n = find(*s, ':');
  struct span given = head(*s, n);
  if (n == s->n || !is_scheme(given)) {
    return usage(err,
                 "not a database URL: it must begin with a scheme, as in "
                 "postgresql://user@host/database, mysql://user@host/database "
                 "or sqlite:app.db");
  }
  u->given = lower_dup(given);
  u->scheme = lower_dup(head(given, find(given, '+')));
  if (u->given == NULL || u->scheme == NULL) return oom(err);
  for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++) {
    if (strcmp(u->scheme, aliases[i].given) != 0) continue;
    prg_free(u->scheme);
    u->scheme = prg_strdup(aliases[i].scheme);
    if (u->scheme == NULL) return oom(err);
  }
  *s = skip(*s, n + 1);
  return PRG_OK;
}

static int parse_user(struct span s, struct prg_url *u,
                      struct prg_error **err) {
  size_t n = find(s, ':');
  if (n > 0 && decode_field(head(s, n), &u->user, err) != PRG_OK) {
    return PRG_ERR;
  }
  if (n == s.n) return PRG_OK;
  return decode_field(skip(s, n + 1), &u->password, err);
}

static bool is_port(struct span s) {
  unsigned value = 0;
  if (s.n == 0 || s.n > 5) return false;
  for (size_t i = 0; i < s.n; i++) {
    if (!is_digit(s.p[i])) return false;
    value = value * 10 + (unsigned)(s.p[i] - '0');
  }
  return value >= 1 && value <= 65535;
}

/* The text of the port is not shown: with a / or ? in it that is not escaped,
** it is the beginning of the password. */
static int bad_port(struct prg_error **err) {
  return usage(err,
               "the port in a database URL must be a number from 1 to 65535 "
               "(and : / ? # @ in a user name or password must be "
               "percent-encoded)");
}

/* One host[:port] of the list. */
static int parse_host(struct span s, struct prg_buf *hosts,
                      struct prg_buf *ports, struct prg_error **err) {
  struct span host, port = {s.p, 0};
  size_t before = hosts->len;
  if (s.n > 0 && s.p[0] == '[') {
    size_t n = find(s, ']');
    if (n == s.n || (n + 1 < s.n && s.p[n + 1] != ':')) {
      return usage(err,
                   "an IPv6 address in a database URL must be written as "
                   "[address] or [address]:port");
    }
    host = skip(head(s, n), 1);
    if (n + 2 < s.n) port = skip(s, n + 2);
  } else {
    size_t n = find(s, ':');
    host = head(s, n);
    if (n + 1 < s.n) port = skip(s, n + 1);
  }
  if (port.n > 0 && !is_port(port)) return bad_port(err);
  if (decode(host, hosts, err) != PRG_OK) return PRG_ERR;
  if (hosts->len > before &&
      memchr(hosts->data + before, ',', hosts->len - before) != NULL) {
    return usage(err, "a host in a database URL cannot contain a comma (%2C)");
  }
  prg_buf_add(ports, port.p, port.n);
  return PRG_OK;
}

/* A list of nothing but commas says nothing. */
static int take_list(struct prg_buf *b, char **field, struct prg_error **err) {
  bool empty = true;
  for (size_t i = 0; i < b->len; i++) empty = empty && b->data[i] == ',';
  if (empty && !b->failed) return PRG_OK;
  *field = prg_buf_take(b);
  return *field == NULL ? oom(err) : PRG_OK;
}

static int parse_hosts(struct span s, struct prg_url *u,
                       struct prg_error **err) {
  struct prg_buf hosts, ports;
  int rc = PRG_OK;
  bool more = true;
  prg_buf_init(&hosts, 0);
  prg_buf_init(&ports, 0);
  while (rc == PRG_OK && more) {
    size_t n = find(s, ',');
    more = n < s.n;
    rc = parse_host(head(s, n), &hosts, &ports, err);
    if (more) {
      s = skip(s, n + 1);
      prg_buf_addc(&hosts, ',');
      prg_buf_addc(&ports, ',');
    }
  }
  if (rc == PRG_OK) rc = take_list(&hosts, &u->host, err);
  if (rc == PRG_OK) rc = take_list(&ports, &u->port, err);
  prg_buf_fini(&hosts);
  prg_buf_fini(&ports);
  return rc;
}

static int parse_authority(struct span s, struct prg_url *u,
                           struct prg_error **err) {
  size_t at = s.n;
  /* The last @, so that one in the password does no harm. */
  while (at > 0 && s.p[at - 1] != '@') at--;
  if (at > 0 && parse_user(head(s, at - 1), u, err) != PRG_OK) return PRG_ERR;
  return parse_hosts(skip(s, at), u, err);
}

static int parse_param(struct span s, struct prg_url *u,
                       struct prg_error **err) {
  struct prg_param *params, *p;
  size_t eq = find(s, '=');
  if (eq == s.n || eq == 0) {
    return usage(err,
                 "parameters of a database URL must be written as name=value, "
                 "separated by &");
  }
  params = prg_realloc(u->params, (u->nparams + 1) * sizeof *params);
  if (params == NULL) return oom(err);
  u->params = params;
  p = &params[u->nparams++];
  p->name = p->value = NULL;
  if (decode_field(head(s, eq), &p->name, err) != PRG_OK) return PRG_ERR;
  return decode_field(skip(s, eq + 1), &p->value, err);
}

static int parse_query(struct span s, struct prg_url *u,
                       struct prg_error **err) {
  while (s.n > 0) {
    struct span one = cut(&s, '&');
    if (one.n > 0 && parse_param(one, u, err) != PRG_OK) return PRG_ERR;
  }
  return PRG_OK;
}

static bool has_prefix(struct span s, const char *prefix) {
  size_t n = strlen(prefix);
  return s.n >= n && memcmp(s.p, prefix, n) == 0;
}

/* path, ///relative or ////absolute */
static int parse_path(struct span path, struct prg_url *u,
                      struct prg_error **err) {
  if (has_prefix(path, "//")) {
    path = skip(path, 2);
    if (path.n > 0 && path.p[0] != '/') {
      return usage(err,
                   "a sqlite URL has no host: write sqlite:path, "
                   "sqlite:///relative/path or sqlite:////absolute/path");
    }
    if (path.n > 0) path = skip(path, 1);
  }
  if (path.n == 0) {
    if (strcmp(u->scheme, "sqlite") != 0) return PRG_OK;
    return usage(err,
                 "a sqlite URL needs a file: write sqlite:path, "
                 "sqlite:///relative/path, sqlite:////absolute/path or "
                 "sqlite::memory:");
  }
  return decode_field(path, &u->database, err);
}

static int parse_server(struct span s, struct prg_url *u,
                        struct prg_error **err) {
  struct span path;
  size_t n;
  s = skip(s, 2);
  n = find(s, '/');
  if (parse_authority(head(s, n), u, err) != PRG_OK) return PRG_ERR;
  if (n + 1 >= s.n) return PRG_OK;
  path = skip(s, n + 1);
  if (u->user == NULL && find(path, '@') < path.n) {
    return usage(err,
                 "a / in a user name or password in a database URL must be "
                 "written as %2F (and an @ in a database name as %40)");
  }
  return decode_field(path, &u->database, err);
}

static int parse(struct span s, struct prg_url *u, struct prg_error **err) {
  struct span query;
  if (parse_scheme(&s, u, err) != PRG_OK) return PRG_ERR;
  query = s;
  s = cut(&query, '?');
  if (strcmp(u->scheme, "sqlite") == 0) {
    if (parse_path(s, u, err) != PRG_OK) return PRG_ERR;
  } else if (has_prefix(s, "//")) {
    if (parse_server(s, u, err) != PRG_OK) return PRG_ERR;
  } else if (strcmp(u->scheme, "mock") != 0) {
    *err = prg_error_new(PRG_K_USAGE,
                         "after %s: a database URL must go on with //, as in "
                         "%s://user@host/database",
                         u->given, u->given);
    return PRG_ERR;
  } else if (parse_path(s, u, err) != PRG_OK) {
    return PRG_ERR;
  }
  return parse_query(query, u, err);
}

/* A line break that came along when the URL was read from a file, for one. */
static bool has_control(struct span s) {
  for (size_t i = 0; i < s.n; i++)
    if ((unsigned char)s.p[i] < ' ' || s.p[i] == 127) return true;
  return false;
}

int prg_url_parse(const char *text, size_t len, struct prg_url *u,
                  struct prg_error **err) {
  struct span s = {text, len};
  int rc;
  memset(u, 0, sizeof *u);
  if (find(s, '\0') < len) {
    return usage(err, "a database URL cannot contain a zero byte");
  }
  if (has_control(s)) {
    return usage(err,
                 "a database URL cannot contain a line break or another "
                 "control character: write it as %0A and the like");
  }
  rc = parse(s, u, err);
  if (rc != PRG_OK) prg_url_fini(u);
  return rc;
}

void prg_url_fini(struct prg_url *u) {
  for (size_t i = 0; i < u->nparams; i++) {
    prg_free(u->params[i].name);
    prg_free(u->params[i].value);
  }
  prg_free(u->params);
  prg_free(u->scheme);
  prg_free(u->given);
  prg_free(u->user);
  prg_free(u->password);
  prg_free(u->host);
  prg_free(u->port);
  prg_free(u->database);
  memset(u, 0, sizeof *u);
}

/* ---- formatting --------------------------------------------------------- */

static void encode(struct prg_buf *out, struct span s, const char *also) {
  static const char digits[] = "0123456789ABCDEF";
  for (size_t i = 0; i < s.n; i++) {
    char c = s.p[i];
    if (is_alpha(c) || is_digit(c) || strchr("-._~", c) != NULL ||
        strchr(also, c) != NULL) {
      prg_buf_addc(out, c);
    } else {
      prg_buf_addc(out, '%');
      prg_buf_addc(out, digits[(unsigned char)c >> 4]);
      prg_buf_addc(out, digits[(unsigned char)c & 15]);
    }
  }
}

static void encode_text(struct prg_buf *out, const char *s, const char *also) {
  struct span text = {s, strlen(s)};
  encode(out, text, also);
}

static void format_hosts(const struct prg_url *u, struct prg_buf *out) {
  struct span hosts = {u->host, u->host == NULL ? 0 : strlen(u->host)};
  struct span ports = {u->port, u->port == NULL ? 0 : strlen(u->port)};
  do {
    bool more = find(hosts, ',') < hosts.n || find(ports, ',') < ports.n;
    struct span host = cut(&hosts, ','), port = cut(&ports, ',');
    bool v6 = find(host, ':') < host.n;
    if (v6) prg_buf_addc(out, '[');
    encode(out, host, v6 ? ":" : "");
    if (v6) prg_buf_addc(out, ']');
    if (port.n > 0) prg_buf_addc(out, ':');
    prg_buf_add(out, port.p, port.n);
    if (!more) break;
    prg_buf_addc(out, ',');
  } while (true);
}

static void format_authority(const struct prg_url *u, bool mask,
                             struct prg_buf *out) {
  prg_buf_adds(out, "//");
  if (u->user != NULL) encode_text(out, u->user, "");
  if (u->password != NULL) {
    prg_buf_addc(out, ':');
    if (mask) prg_buf_adds(out, "***");
    if (!mask) encode_text(out, u->password, "");
  }
  if (u->user != NULL || u->password != NULL) prg_buf_addc(out, '@');
  if (u->host != NULL || u->port != NULL) format_hosts(u, out);
  prg_buf_addc(out, '/');
}

static bool is_secret(const char *name) {
  return strcmp(name, "password") == 0 || strcmp(name, "sslpassword") == 0;
}

void prg_url_format(const struct prg_url *u, bool mask, struct prg_buf *out) {
  const char *database = u->database == NULL ? "" : u->database;
  prg_buf_adds(out, u->given == NULL ? u->scheme : u->given);
  prg_buf_addc(out, ':');
  if (strcmp(u->scheme, "sqlite") != 0) {
    format_authority(u, mask, out);
  } else if (strcmp(database, ":memory:") != 0) {
    prg_buf_adds(out, "///");
  }
  encode_text(out, database, "/:");
  for (size_t i = 0; i < u->nparams; i++) {
    const struct prg_param *p = &u->params[i];
    prg_buf_addc(out, i == 0 ? '?' : '&');
    encode_text(out, p->name, "");
    prg_buf_addc(out, '=');
    if (mask && is_secret(p->name)) {
      prg_buf_adds(out, "***");
    } else {
      encode_text(out, p->value, "/:,");
    }
  }
}

const char *prg_url_param(const struct prg_url *u, const char *name) {
  for (size_t i = u->nparams; i-- > 0;) {
    if (strcmp(u->params[i].name, name) == 0) return u->params[i].value;
  }
  return NULL;
}
