/*
** MySQL's protocol without a network: packets out of bytes that somebody has received,
** and the packet that executes a prepared statement. The numbers are those of MariaDB's
** "Client/Server Protocol", whose pages are named below; MySQL's are the same.
**
**   prg_inbox_room() and prg_inbox_got()  ──▶  prg_inbox_next()  ──▶  prg_packet_…()
**
** What comes from the server is data from outside: every length is compared with what is
** there before it is used. docs/internals/mysql.md tells who uses it.
*/
#ifndef PRG_WIRE_PACKET_H
#define PRG_WIRE_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/value.h"

/* ---- integers: the lowest byte first, written so that it is one load ------- */

static inline uint32_t prg_load2(const unsigned char *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static inline uint32_t prg_load4(const unsigned char *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
         (uint32_t)p[3] << 24;
}

static inline uint64_t prg_load8(const unsigned char *p) {
  return (uint64_t)prg_load4(p) | (uint64_t)prg_load4(p + 4) << 32;
}

/* ---- packets ("0-packet") ------------------------------------------------ */

/* Bytes that were received and not taken yet. All zero: empty. */
struct prg_inbox {
  unsigned char *data; /* owned */
  size_t cap, at, end; /* they lie between `at` and `end` */
};

/* The body of a packet, however many pieces it came in. It lies in the inbox, until the
** next prg_inbox_room. */
struct prg_packet {
  const unsigned char *p, *end;
};

/* Where to receive, and up to how many bytes. NULL: no memory. */
unsigned char *prg_inbox_room(struct prg_inbox *in, size_t *n);
/* So many were received there. */
void prg_inbox_got(struct prg_inbox *in, size_t n);
/* The next packet. False: it is not there as a whole. */
bool prg_inbox_next(struct prg_inbox *in, struct prg_packet *out);
static inline bool prg_inbox_is_empty(const struct prg_inbox *in) {
  return in->at == in->end;
}
/* A large one does not stay for the small packets that follow. */
void prg_inbox_trim(struct prg_inbox *in);
void prg_inbox_fini(struct prg_inbox *in);

/* ---- answers ("COM_STMT_EXECUTE", "OK_Packet", "ERR_Packet", "EOF_Packet") -- */

enum prg_reply_kind {
  PRG_REPLY_BAD,     /* it is not what may stand there */
  PRG_REPLY_OK,      /* affected, last_id, status, warnings */
  PRG_REPLY_ERROR,   /* code, state, text; the answer is over */
  PRG_REPLY_COLUMNS, /* ncols, described: columns follow, and an END */
  PRG_REPLY_ROW,
  PRG_REPLY_END,      /* status, warnings */
  PRG_REPLY_PROGRESS, /* how far the server is: another packet follows */
};

struct prg_reply {
  enum prg_reply_kind kind;
  uint64_t affected, last_id;
  unsigned status, warnings;
  unsigned code;
  char state[6];
  const char *text; /* in the packet, without a zero byte */
  size_t length;
  unsigned ncols;
  bool
      described; /* else the columns are those of which the server has told before, and
                     only the END follows */
};

/* The first packet of an answer. */
struct prg_reply prg_packet_answer(const struct prg_packet *p);
/* One of those behind the columns: a row, the end, an error. */
struct prg_reply prg_packet_behind(const struct prg_packet *p);

/* "Result Set Packets: Column definition" */
struct prg_packet_column {
  const char *name; /* in the packet, without a zero byte */
  size_t length;
  unsigned type, flags, charset;
  uint32_t width; /* at most so many bytes */
  bool json;      /* MariaDB's JSON, a text that says so */
};

/* False: malformed. */
bool prg_packet_column(const struct prg_packet *p, struct prg_packet_column *c);

/* ---- rows ("Binary Resultset Row") --------------------------------------- */

/* How many bytes a value of this type has; 0: its length is in front of it. */
unsigned char prg_packet_size(unsigned type);
/* Where the cells of a row begin, `sizes` being those of its columns. NULL: the value is
** NULL. False: malformed. */
bool prg_packet_cells(const struct prg_packet *p, const unsigned char *sizes,
                      size_t n, const unsigned char **cells);

/* ---- executing ------------------------------------------------------------ */

/* The type by which a value is sent. */
unsigned char prg_packet_type(enum prg_type type);

enum { PRG_PACKET_KEPT = 16 };

/* What a prepared statement's parameters were sent as, which the server keeps. */
struct prg_packet_types {
  bool known;
  unsigned char of[PRG_PACKET_KEPT];
};

struct prg_packet_execute {
  uint32_t id; /* of the statement */
  const struct prg_value *params;
  size_t n;
  struct prg_packet_types *types; /* of more parameters nothing is kept */
};

/* Appends the packet, in pieces when it is long. Values are NULL, booleans, numbers that
** are finite, texts and bytes. out->failed: no memory, or beyond its limit. */
void prg_packet_execute(struct prg_buf *out,
                        const struct prg_packet_execute *x);

#endif
