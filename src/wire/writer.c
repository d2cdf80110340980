/* Messages to the server. The length of each is written when its end is known. */
#include <string.h>

#include "base/mem.h"
#include "wire/wire.h"

enum { FIRST_CAP = 1024, KEEP_CAP = 64 * 1024, MAX_MESSAGE = 0x3fffffff };

void prg_wire_out_init(struct prg_wire_out *o) {
  memset(o, 0, sizeof *o);
}

void prg_wire_out_fini(struct prg_wire_out *o) {
  prg_free(o->data);
  prg_wire_out_init(o);
}

/* A large buffer does not stay for the small messages that follow. */
void prg_wire_out_gone(struct prg_wire_out *o, size_t n) {
  o->sent += n;
  if (o->sent < o->len) return;
  o->sent = o->len = 0;
  if (o->cap > KEEP_CAP) prg_wire_out_fini(o);
}

static bool grow(struct prg_wire_out *o, size_t more) {
  size_t left = o->len - o->sent, cap = o->cap < FIRST_CAP ? FIRST_CAP : o->cap;
  if (more > SIZE_MAX / 4 || left > SIZE_MAX / 4) return false;
  if (o->sent > 0) {
    memmove(o->data, o->data + o->sent, left);
    o->sent = 0;
    o->len = left;
  }
  while (cap < left + more) cap *= 2;
  if (cap == o->cap) return true;
  char *data = prg_realloc(o->data, cap);
  if (data == NULL) return false;
  o->data = data;
  o->cap = cap;
  return true;
}

static char *put32(char *p, uint32_t v) {
  p[0] = (char)(v >> 24);
  p[1] = (char)(v >> 16);
  p[2] = (char)(v >> 8);
  p[3] = (char)v;
  return p + 4;
}

static char *put16(char *p, unsigned v) {
  p[0] = (char)(v >> 8);
  p[1] = (char)v;
  return p + 2;
}

static char *put(char *p, const void *data, size_t n) {
  if (n > 0) memcpy(p, data, n);
  return p + n;
}

/* A string and its zero byte. */
static char *put_name(char *p, const char *s, size_t n) {
  p = put(p, s, n);
  *p = '\0';
  return p + 1;
}

/* Room for `n` bytes of messages, NULL on failure. */
static char *reserve(struct prg_wire_out *o, size_t n) {
  if (!o->failed && o->cap - o->len < n && !grow(o, n)) o->failed = true;
  if (o->failed) return NULL;
  o->len += n;
  return o->data + o->len - n;
}

/* A message whose body has `n` bytes: returns where they go, NULL on failure. */
static char *message(struct prg_wire_out *o, char type, size_t n) {
  if (n > MAX_MESSAGE - PRG_WIRE_HEAD) o->failed = true;
  char *p = reserve(o, n + PRG_WIRE_HEAD);
  if (p == NULL) return NULL;
  *p++ = type;
  return put32(p, (uint32_t)(n + 4));
}

void prg_wire_parse(struct prg_wire_out *o, const char *name,
                    struct prg_wire_text sql, const uint32_t *types, int n) {
  size_t name_len = strlen(name), count = (size_t)n;
  char *p = message(o, 'P', name_len + 1 + sql.n + 1 + 2 + 4 * count);
  if (p == NULL) return;
  p = put_name(p, name, name_len);
  p = put_name(p, sql.p, sql.n);
  p = put16(p, (unsigned)n);
  for (size_t i = 0; i < count; i++) p = put32(p, types[i]);
}

static void named(struct prg_wire_out *o, char type, char what,
                  const char *name) {
  size_t n = strlen(name);
  char *p = message(o, type, 1 + n + 1);
  if (p == NULL) return;
  *p++ = what;
  put_name(p, name, n);
}

void prg_wire_describe(struct prg_wire_out *o, char what, const char *name) {
  named(o, 'D', what, name);
}

void prg_wire_close(struct prg_wire_out *o, char what, const char *name) {
  named(o, 'C', what, name);
}

/* Bytes of the parameters' values; each takes at most 2 GiB. */
static size_t values_size(const struct prg_wire_bind *b) {
  size_t n = 0;
  for (int i = 0; i < b->nparams; i++)
    if (b->values[i] != NULL) n += (size_t)b->lengths[i];
  return n;
}

static char *put_params(char *p, const struct prg_wire_bind *b) {
  p = put16(p, (unsigned)b->nparams);
  for (int i = 0; i < b->nparams; i++) p = put16(p, (unsigned)b->formats[i]);
  p = put16(p, (unsigned)b->nparams);
  for (int i = 0; i < b->nparams; i++) {
    if (b->values[i] == NULL) {
      p = put32(p, UINT32_MAX);
      continue;
    }
    p = put32(p, (uint32_t)b->lengths[i]);
    p = put(p, b->values[i], (size_t)b->lengths[i]);
  }
  return p;
}

/* A Bind, and the `n` bytes of messages that follow it. */
static void bind_and(struct prg_wire_out *o, const struct prg_wire_bind *b,
                     const char *after, size_t n) {
  size_t name = strlen(b->stmt), count = (size_t)b->nparams;
  size_t results = (size_t)b->nresults;
  size_t body = 1 + name + 1 + 2 + 2 * count + 2 + 4 * count + values_size(b) +
                2 + 2 * results;
  if (body > MAX_MESSAGE - PRG_WIRE_HEAD) o->failed = true;
  char *p = reserve(o, PRG_WIRE_HEAD + body + n);
  if (p == NULL) return;
  *p++ = 'B';
  p = put32(p, (uint32_t)(body + 4));
  *p++ = '\0';
  p = put_name(p, b->stmt, name);
  p = put_params(p, b);
  p = put16(p, (unsigned)b->nresults);
  for (size_t i = 0; i < results; i++) p = put16(p, b->results[i]);
  (void)put(p, after, n);
}

void prg_wire_bind(struct prg_wire_out *o, const struct prg_wire_bind *b) {
  bind_and(o, b, NULL, 0);
}

void prg_wire_run(struct prg_wire_out *o, const struct prg_wire_bind *b,
                  bool sync) {
  static const char after[] =
      "E\0\0\0\11\0\0\0\0\0"
      "S\0\0\0\4";
  bind_and(o, b, after, sync ? sizeof after - 1 : 10);
}

void prg_wire_execute(struct prg_wire_out *o, uint32_t max) {
  char *p = message(o, 'E', 5);
  if (p == NULL) return;
  *p++ = '\0';
  put32(p, max);
}

void prg_wire_sync(struct prg_wire_out *o) {
  (void)message(o, 'S', 0);
}

void prg_wire_flush(struct prg_wire_out *o) {
  (void)message(o, 'H', 0);
}

void prg_wire_query(struct prg_wire_out *o, struct prg_wire_text sql) {
  char *p = message(o, 'Q', sql.n + 1);
  if (p != NULL) put_name(p, sql.p, sql.n);
}

void prg_wire_copy_data(struct prg_wire_out *o, const void *data, size_t n) {
  char *p = message(o, 'd', n);
  if (p != NULL) put(p, data, n);
}

void prg_wire_copy_done(struct prg_wire_out *o) {
  (void)message(o, 'c', 0);
}

void prg_wire_copy_fail(struct prg_wire_out *o, const char *why) {
  size_t n = strlen(why);
  char *p = message(o, 'f', n + 1);
  if (p != NULL) put_name(p, why, n);
}

void prg_wire_terminate(struct prg_wire_out *o) {
  (void)message(o, 'X', 0);
}
