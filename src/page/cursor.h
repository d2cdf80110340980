/*
** Cursors: where a page ended, as a text that only we can read or make.
**
** A cursor is AES-256-GCM over a compact binary form, its key derived by HKDF
** (RFC 5869) from what the user configured; base64url without padding. It holds
** the fingerprint of what it belongs to, the order, the boundary row, the
** direction, the limit, the filter and the search; never the scope. Texts are
** canonical: one cursor has one spelling.
*/
#ifndef PRG_PAGE_CURSOR_H
#define PRG_PAGE_CURSOR_H

#include "base/buf.h"
#include "page/keyset.h"

enum {
  PRG_CURSOR_MAX = 2048, /* bytes of the text */
  PRG_PRINT_SIZE = 16
};

/* Identifies what may not change between pages. */
struct prg_print {
  unsigned char bytes[PRG_PRINT_SIZE];
};

/* A condition that came with the page: a filter, or a search. */
struct prg_kept {
  bool whole; /* false: it is too large, or has SQL of the user's: only the
                 print is kept, and it has to be given again */
  struct prg_text packed; /* whole: by prg_filter_pack; n is 0 for none */
  struct prg_print print; /* not whole: prg_print_of(&packed, 1) */
};

/* What a cursor says. Texts and values of an opened one are in its arena. */
struct prg_cursor {
  struct prg_print owner; /* of table and scope */
  bool back;              /* leads to the rows before `at` */
  bool inclusive; /* and to the row at `at`, if it is there: the page had
                             no row to name */
  uint32_t limit;
  size_t norder;
  struct {
    struct prg_text name;
    bool desc;
    enum prg_nulls nulls;
  } order[PRG_PAGE_COLS];
  struct prg_value at[PRG_PAGE_COLS]; /* NULL, BOOL, INT, DOUBLE, TEXT, BYTES,
                                         DECIMAL */
  struct prg_kept filter, search;
};

/* Keys: the first encrypts, all decrypt. One thread at a time uses a ring. */
struct prg_ring;
/* From `n` secrets of at least 16 bytes. NULL and *err (usage for a short one,
** resource; database when OpenSSL fails). */
struct prg_ring *prg_ring_new(const struct prg_text *secrets, size_t n,
                              struct prg_error **err);
/* With one random key of this process's own. */
struct prg_ring *prg_ring_random(struct prg_error **err);
/* NULL is fine. Wipes the keys. */
void prg_ring_free(struct prg_ring *r);

/* Appends the text of a cursor. When it would be longer than PRG_CURSOR_MAX it
** is made without the filter, then without the search too; PRG_ERR and *err (usage:
** the boundary row alone is too large; resource) when that does not help. */
int prg_cursor_seal(const struct prg_ring *r, const struct prg_cursor *c,
                    struct prg_buf *out, struct prg_error **err) PRG_MUSTCHECK;
/* Reads a text. PRG_ERR and *err, kind cursor, which says whether it is empty,
** too long, no base64url, not canonical, of an unknown key (or of a key that is
** not configured any more), changed, or of another version. */
int prg_cursor_open(const struct prg_ring *r, const char *text, size_t len,
                    struct prg_arena *a, struct prg_cursor *out,
                    struct prg_error **err) PRG_MUSTCHECK;

/* The two halves without encryption, for prg_cursor_seal, prg_cursor_open and
** the fuzzer. A failed write is told by the buffer. */
void prg_cursor_write(const struct prg_cursor *c, struct prg_buf *out);
int prg_cursor_read(const char *data, size_t len, struct prg_arena *a,
                    struct prg_cursor *out,
                    struct prg_error **err) PRG_MUSTCHECK;

/* A fingerprint (SHA-256, cut) of `n` texts, so that ("ab","c") and ("a","bc")
** differ. PRG_ERR: OpenSSL failed. */
int prg_print_of(const struct prg_text *texts, size_t n, struct prg_print *out,
                 struct prg_error **err) PRG_MUSTCHECK;
bool prg_print_same(const struct prg_print *a, const struct prg_print *b);

/* A filter as bytes: columns by name, operators by fixed numbers, values. The
** same condition gives the same bytes (it is sorted already), NULL and an empty
** AND none at all. PRG_ERR: no memory. *raw is set when SQL of the user's is in
** it, or more nesting than is read back: the bytes then serve for a fingerprint
** only. */
int prg_filter_pack(const struct prg_cond *c, struct prg_buf *out,
                    bool *raw) PRG_MUSTCHECK;
/* Back to a condition, NULL from no bytes. PRG_ERR and *err, kind cursor, when a
** column of the table is gone, or the bytes are none of ours. */
int prg_filter_unpack(const struct prg_table *t, const char *data, size_t len,
                      struct prg_arena *a, struct prg_cond **out,
                      struct prg_error **err) PRG_MUSTCHECK;

#endif
