/*
** Growing byte buffer with a limit. After a failed append the buffer is
** `failed`, further appends do nothing, and the text is not to be used: so a
** builder checks once, at its end.
*/
#ifndef PRG_BASE_BUF_H
#define PRG_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct prg_buf {
  char *data; /* len bytes and a zero byte after them, or NULL when empty */
  size_t len, cap;
  size_t max;  /* more than this is a failure; 0 means 1 GiB */
  bool failed; /* out of memory or over max */
};

void prg_buf_init(struct prg_buf *b, size_t max);
void prg_buf_fini(struct prg_buf *b);
/* Empties the buffer and clears `failed`; keeps the memory. */
void prg_buf_reset(struct prg_buf *b);
void prg_buf_add(struct prg_buf *b, const void *data, size_t len);
void prg_buf_adds(struct prg_buf *b, const char *s);
void prg_buf_addc(struct prg_buf *b, char c);
void prg_buf_addf(struct prg_buf *b, const char *fmt, ...) PRG_PRINTF(2, 3);
void prg_buf_vaddf(struct prg_buf *b, const char *fmt, va_list ap);
/* Room for `len` more bytes; returns where to write them (len is already
** counted), or NULL when it failed. */
char *prg_buf_space(struct prg_buf *b, size_t len);
/* Hands the text over (free with prg_free); the buffer is empty afterwards.
** NULL when failed. An empty buffer gives "". */
char *prg_buf_take(struct prg_buf *b);

#endif
