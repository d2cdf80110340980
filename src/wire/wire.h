/*
** PostgreSQL's protocol, version 3, without a network: messages are written into
** a buffer that somebody sends, and read out of blocks that somebody fills.
** docs/internals/wire.md tells the story.
**
**   writer   prg_wire_parse(), prg_wire_bind(), …  ──▶  out.data[out.sent … len)
**   reader   prg_wire_room() and prg_wire_fed()    ──▶  prg_wire_next(),
**                                                      prg_wire_rows()
**
** What comes from the server is data from outside: every length is compared with
** what is there before it is used, and what does not fit is an error.
*/
#ifndef PRG_WIRE_WIRE_H
#define PRG_WIRE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* ---- writing ------------------------------------------------------------ */

/* What is to be sent. After a failed append (no memory, or a message beyond
** 1 GiB) it is `failed`, and its bytes are not to be sent. */
struct prg_wire_out {
  char *data;       /* owned */
  size_t sent, len; /* what lies between them is still to be sent */
  size_t cap;
  bool failed;
};

void prg_wire_out_init(struct prg_wire_out *o);
void prg_wire_out_fini(struct prg_wire_out *o);
/* `n` bytes of it have gone. */
void prg_wire_out_gone(struct prg_wire_out *o, size_t n);

static inline size_t prg_wire_out_left(const struct prg_wire_out *o) {
  return o->len - o->sent;
}

struct prg_wire_text {
  const char *p;
  size_t n;
};

/* Parameters and formats of a Bind. */
struct prg_wire_bind {
  const char *stmt; /* name of the prepared statement; "" the unnamed one */
  int nparams;
  const char *const *values; /* NULL: a NULL */
  const int *lengths;
  const int *formats; /* of each parameter: 0 text, 1 binary */
  int nresults; /* formats of results: 0 all text, 1 one for all columns */
  const unsigned char *results; /* nresults formats, a byte each */
};

/* `types` may be 0: the server infers them. */
void prg_wire_parse(struct prg_wire_out *o, const char *name,
                    struct prg_wire_text sql, const uint32_t *types, int n);
/* `what`: 'S' a statement, 'P' a portal. */
void prg_wire_describe(struct prg_wire_out *o, char what, const char *name);
void prg_wire_close(struct prg_wire_out *o, char what, const char *name);
/* Into the unnamed portal. */
void prg_wire_bind(struct prg_wire_out *o, const struct prg_wire_bind *b);
/* The same with an Execute of all rows and, if wanted, a Sync. */
void prg_wire_run(struct prg_wire_out *o, const struct prg_wire_bind *b,
                  bool sync);
/* The unnamed portal; `max` rows, 0 all. */
void prg_wire_execute(struct prg_wire_out *o, uint32_t max);
void prg_wire_sync(struct prg_wire_out *o);
void prg_wire_flush(struct prg_wire_out *o);
void prg_wire_query(struct prg_wire_out *o, struct prg_wire_text sql);
void prg_wire_copy_data(struct prg_wire_out *o, const void *data, size_t n);
void prg_wire_copy_done(struct prg_wire_out *o);
void prg_wire_copy_fail(struct prg_wire_out *o, const char *why);
void prg_wire_terminate(struct prg_wire_out *o);

/* ---- reading ------------------------------------------------------------ */

/* Bytes as they came. Rows stay in it for as long as somebody reads them. */
struct prg_wire_block {
  int refs;
  size_t len, cap;
  char data[];
};

struct prg_wire_block *prg_wire_block_ref(struct prg_wire_block *b);
/* NULL is fine. */
void prg_wire_block_unref(struct prg_wire_block *b);

struct prg_wire_in {
  struct prg_wire_block *block; /* owned reference, or NULL */
  size_t pos;                   /* of the next message */
  size_t size;                  /* of the next block */
  const char *error;            /* what was wrong, after PRG_ERR; static */
};

/* A complete message, in the block. `body` is dead after the next
** prg_wire_room() unless the block has a reference of its own. */
struct prg_wire_msg {
  char type;
  const char *body;
  size_t len;
};

/* Rows (DataRow messages) that lie one behind the other. */
struct prg_wire_rows {
  struct prg_wire_block *block; /* no reference of its own */
  const char *first;            /* the first message, type byte and all */
  size_t n;
  size_t bytes;
};

void prg_wire_in_init(struct prg_wire_in *in);
void prg_wire_in_fini(struct prg_wire_in *in);
/* Where to put what comes: *n bytes, at least one. NULL without memory. */
char *prg_wire_room(struct prg_wire_in *in, size_t *n);
/* So many were put there. */
void prg_wire_fed(struct prg_wire_in *in, size_t n);
/* Puts bytes there that came in another way. PRG_ERR: no memory. */
int prg_wire_put(struct prg_wire_in *in, const char *p, size_t n) PRG_MUSTCHECK;
/* The next message. PRG_AGAIN: it is not there as a whole. PRG_ERR: this is not
** the protocol. */
int prg_wire_next(struct prg_wire_in *in, struct prg_wire_msg *m) PRG_MUSTCHECK;
/* The type of the message that comes next, 0: nothing of it is there. */
static inline char prg_wire_peek(const struct prg_wire_in *in) {
  const struct prg_wire_block *b = in->block;
  return b != NULL && in->pos < b->len ? b->data[in->pos] : '\0';
}

/* The rows that come next, of `ncols` columns each and at most `max`; none when
** another message or an incomplete one comes next. Each is looked at to its end,
** so that prg_wire_cell() need not be. PRG_ERR: a malformed row. */
int prg_wire_rows(struct prg_wire_in *in, size_t ncols, size_t max,
                  struct prg_wire_rows *rows) PRG_MUSTCHECK;

/*
** A COPY to us in binary: CopyData messages of a row each, which has the form of
** a DataRow. The first one also has the header of the whole.
*/

/* Takes the header off the CopyData message that comes next. PRG_AGAIN: that is
** not there as a whole. PRG_ERR: it has none. */
int prg_wire_copy_head(struct prg_wire_in *in) PRG_MUSTCHECK;
/* As prg_wire_rows(). None also when the trailer comes next. */
int prg_wire_copy_rows(struct prg_wire_in *in, size_t ncols, size_t max,
                       struct prg_wire_rows *rows) PRG_MUSTCHECK;

static inline uint32_t prg_wire_get32(const char *p) {
  const unsigned char *u = (const unsigned char *)p;
  return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 |
         (uint32_t)u[3];
}

static inline unsigned prg_wire_get16(const char *p) {
  const unsigned char *u = (const unsigned char *)p;
  return (unsigned)u[0] << 8 | (unsigned)u[1];
}

enum {
  PRG_WIRE_HEAD = 5,    /* type and length */
  PRG_WIRE_ROW_HEAD = 7 /* and the number of columns */
};

/* The row behind this one. */
static inline const char *prg_wire_row_next(const char *row) {
  return row + 1 + prg_wire_get32(row + 1);
}

/* The cell at *at, which goes on to the next one: its bytes, and its length or -1
** for NULL. */
static inline const char *prg_wire_cell(const char **at, int *len) {
  const char *p = *at + 4;
  *len = (int)prg_wire_get32(*at);
  *at = *len < 0 ? p : p + *len;
  return p;
}

/* ---- bodies ------------------------------------------------------------- */

/* Goes through the body of a message. A read beyond its end gives zeros, or "",
** and leaves `bad` set. */
struct prg_wire_cur {
  const char *p, *end;
  bool bad;
};

struct prg_wire_cur prg_wire_body(const struct prg_wire_msg *m);
unsigned prg_wire_byte(struct prg_wire_cur *c);
unsigned prg_wire_int16(struct prg_wire_cur *c);
uint32_t prg_wire_int32(struct prg_wire_cur *c);
/* With its zero byte, in the body. */
const char *prg_wire_string(struct prg_wire_cur *c);

/* A column of a RowDescription. */
struct prg_wire_column {
  const char *name;
  uint32_t type;
  unsigned format;
};

/* Reads one of the columns of a RowDescription, whose number was read. */
struct prg_wire_column prg_wire_column(struct prg_wire_cur *c);

/* The fields of an ErrorResponse or NoticeResponse by their letter, in the body;
** NULL: not there. */
struct prg_wire_fields {
  const char *of['z' + 1];
};

/* PRG_ERR: malformed. */
int prg_wire_fields(const struct prg_wire_msg *m,
                    struct prg_wire_fields *f) PRG_MUSTCHECK;

#endif
