#include "driver/mock/mk_int.h"

#include <fcntl.h>
#include <unistd.h>

static void add_quoted(struct prg_buf *b, struct prg_text s, char quote) {
  static const char hex[] = "0123456789abcdef";
  if (quote != '\0') prg_buf_addc(b, quote);
  for (size_t i = 0; i < s.n; i++) {
    unsigned char c = (unsigned char)s.p[i];
    if (c == '\n') {
      prg_buf_adds(b, "\\n");
    } else if (c < ' ' || c == 127) {
      prg_buf_adds(b, "\\x");
      prg_buf_addc(b, hex[c >> 4]);
      prg_buf_addc(b, hex[c & 15]);
    } else {
      if (c == '\\' || (quote != '\0' && c == (unsigned char)quote))
        prg_buf_addc(b, '\\');
      prg_buf_addc(b, (char)c);
    }
  }
  if (quote != '\0') prg_buf_addc(b, quote);
}

static void add_value(struct prg_buf *b, const struct prg_value *v) {
  switch (v->type) {
    case PRG_NULL:
      prg_buf_adds(b, "null");
      break;
    case PRG_BOOL:
      prg_buf_adds(b, v->u.b ? "true" : "false");
      break;
    case PRG_INT:
      prg_buf_addf(b, "%lld", (long long)v->u.i);
      break;
    case PRG_DOUBLE:
      prg_buf_addf(b, "%.17g", v->u.d);
      break;
    case PRG_TEXT:
      add_quoted(b, v->u.s, '"');
      break;
    case PRG_BYTES:
      prg_buf_addc(b, 'b');
      add_quoted(b, v->u.s, '"');
      break;
    case PRG_DECIMAL:
    case PRG_JSON:
      add_quoted(b, v->u.s, '\0');
      break;
    default:
      prg_buf_adds(b, "(structure)");
  }
}

static void add_params(struct prg_buf *b, const struct prg_req *req) {
  size_t per_set = (size_t)req->stmt->nparams;
  for (size_t set = 0; per_set > 0 && set < req->nsets; set++) {
    prg_buf_adds(b, " [");
    for (size_t i = 0; i < per_set; i++) {
      if (i > 0) prg_buf_adds(b, ", ");
      add_value(b, &req->params[set * per_set + i]);
    }
    prg_buf_addc(b, ']');
  }
}

/* One write, so that lines of several processes do not mix. A log that cannot
** be written is no reason to fail: the test will miss its lines. */
static void append(struct mk_conn *m, const struct prg_buf *b) {
  const char *path = prg_url_param(&m->shared->config->url, "log_file");
  if (b->failed) return;
  int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return;
  ssize_t n = write(fd, b->data, b->len);
  (void)n;
  close(fd);
}

static bool is_logging(const struct mk_conn *m) {
  return m->shared != NULL &&
         prg_url_param(&m->shared->config->url, "log_file") != NULL;
}

void mk_log(struct mk_conn *m, const char *what, const struct prg_req *req) {
  struct prg_buf b;
  if (!is_logging(m)) return;
  prg_buf_init(&b, 0);
  prg_buf_addf(&b, "c%d %s", m->number, what);
  if (req != NULL && req->stmt != NULL) {
    prg_buf_addc(&b, ' ');
    add_quoted(&b, (struct prg_text){req->stmt->sql, req->stmt->len}, '\0');
    add_params(&b, req);
  }
  prg_buf_addc(&b, '\n');
  append(m, &b);
  prg_buf_fini(&b);
}

void mk_log_text(struct mk_conn *m, const char *what, const char *text) {
  struct prg_buf b;
  if (!is_logging(m)) return;
  prg_buf_init(&b, 0);
  prg_buf_addf(&b, "c%d %s %s\n", m->number, what, text);
  append(m, &b);
  prg_buf_fini(&b);
}
