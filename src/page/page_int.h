/* What the files of this folder share: keys and encryption (ring.c), and the
** binary form of numbers, texts and values (codec.c). */
#ifndef PRG_PAGE_PAGE_INT_H
#define PRG_PAGE_PAGE_INT_H

#include "page/cursor.h"

/* ---- ring.c -------------------------------------------------------------- */

enum {
  PRG__KEY_ID = 4,
  PRG__NONCE = 12,
  PRG__TAG = 16,
  PRG__HEAD =
      1 + PRG__KEY_ID, /* version and key; authenticated, in the clear */
  PRG__SEALED_EXTRA = PRG__HEAD + PRG__NONCE + PRG__TAG
};

/* Encrypts with the first key: `out` has room for PRG__SEALED_EXTRA + len. */
int prg__ring_seal(const struct prg_ring *r, const char *data, size_t len,
                   unsigned char *out, struct prg_error **err) PRG_MUSTCHECK;
/* Decrypts into `out`, which has room for len - PRG__SEALED_EXTRA; `len` is more
** than that. */
int prg__ring_open(const struct prg_ring *r, const unsigned char *data,
                   size_t len, unsigned char *out,
                   struct prg_error **err) PRG_MUSTCHECK;

/* ---- codec.c ------------------------------------------------------------- */

/* Unsigned numbers, 7 bits per byte, the low ones first. */
void prg__put_number(struct prg_buf *out, uint64_t n);
/* Its length before it. */
void prg__put_text(struct prg_buf *out, const char *p, size_t n);
/* false: it is nested too deeply to be read again. */
bool prg__put_value(struct prg_buf *out, const struct prg_value *v);

/* Bytes being read. After the first thing that is not there all further reads
** give zeros: one look at `bad` at the end is enough, but for counts. */
struct prg__reader {
  const unsigned char *p, *end;
  struct prg_arena *arena;
  bool bad;    /* the bytes are none of ours */
  bool memory; /* no memory: bad too */
};

unsigned prg__get_byte(struct prg__reader *r);
uint64_t prg__get_number(struct prg__reader *r);
/* A number of things of at least one byte each: bad when so many cannot come. */
size_t prg__get_count(struct prg__reader *r);
/* Copied to the arena, a zero byte after it. */
struct prg_text prg__get_text(struct prg__reader *r);
void prg__get_value(struct prg__reader *r, struct prg_value *out);
/* `n` things of `size` bytes in the arena, zeroed; NULL: bad. */
void *prg__get_room(struct prg__reader *r, size_t n, size_t size);

#endif
