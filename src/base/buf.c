#include "base/buf.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#define DEFAULT_MAX ((size_t)1 << 30)
#define FIRST_CAP ((size_t)64)

/* Room for `more` bytes and the zero byte after them. */
static bool reserve(struct prg_buf *b, size_t more) {
  size_t cap = b->cap < FIRST_CAP ? FIRST_CAP : b->cap;
  char *data;
  if (b->failed) return false;
  if (more > b->max || b->len > b->max - more) goto fail;
  if (b->len + more < b->cap) return true;
  while (cap <= b->len + more) cap *= 2; /* max is far below SIZE_MAX / 2 */
  data = prg_realloc(b->data, cap);
  if (data == NULL) goto fail;
  b->data = data;
  b->cap = cap;
  return true;
fail:
  b->failed = true;
  return false;
}

void prg_buf_init(struct prg_buf *b, size_t max) {
  memset(b, 0, sizeof *b);
  b->max = max == 0 || max > SIZE_MAX / 4 ? DEFAULT_MAX : max;
}

void prg_buf_fini(struct prg_buf *b) {
  prg_free(b->data);
  b->data = NULL;
  b->len = b->cap = 0;
  b->failed = false;
}

void prg_buf_reset(struct prg_buf *b) {
  b->len = 0;
  b->failed = false;
  if (b->data != NULL) b->data[0] = '\0';
}

char *prg_buf_space(struct prg_buf *b, size_t len) {
  char *at;
  if (!reserve(b, len)) return NULL;
  at = b->data + b->len;
  b->len += len;
  b->data[b->len] = '\0';
  return at;
}

void prg_buf_add(struct prg_buf *b, const void *data, size_t len) {
  char *at = prg_buf_space(b, len);
  if (at != NULL && len > 0) memcpy(at, data, len);
}

void prg_buf_adds(struct prg_buf *b, const char *s) {
  prg_buf_add(b, s, strlen(s));
}

void prg_buf_addc(struct prg_buf *b, char c) {
  char *at = prg_buf_space(b, 1);
  if (at != NULL) *at = c;
}

void prg_buf_vaddf(struct prg_buf *b, const char *fmt, va_list ap) {
  va_list again;
  char *at;
  int n;
  va_copy(again, ap);
  n = vsnprintf(NULL, 0, fmt, again);
  va_end(again);
  if (n < 0) {
    b->failed = true;
    return;
  }
  at = prg_buf_space(b, (size_t)n);
  if (at != NULL) vsnprintf(at, (size_t)n + 1, fmt, ap);
}

void prg_buf_addf(struct prg_buf *b, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  prg_buf_vaddf(b, fmt, ap);
  va_end(ap);
}

char *prg_buf_take(struct prg_buf *b) {
  char *text = NULL;
  if (reserve(b, 0)) { /* an empty buffer has no memory yet */
    text = b->data;
    text[b->len] = '\0';
    b->data = NULL;
  }
  prg_buf_fini(b);
  return text;
}
