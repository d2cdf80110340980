/*
** The reader of PostgreSQL's protocol on any bytes. Links src/wire. The first byte
** says how many columns rows have, and whether they are those of a COPY; the second
** in what pieces the rest comes. What
** is read must lie where it says, be the same in one piece and in many, and rows
** that are kept must stay.
*/
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "wire/wire.h"

enum { MAX_KEPT = 16 };

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void need(bool ok) {
  if (!ok) abort();
}

/* What a reading saw, as a number. */
struct seen {
  uint64_t hash;
  size_t rows;
  bool failed;
  bool copy, headed;
};

static void look(struct seen *s, const char *p, size_t n) {
  for (size_t i = 0; i < n; i++)
    s->hash = (s->hash ^ (unsigned char)p[i]) * UINT64_C(1099511628211);
}

struct kept {
  struct prg_wire_block *block;
  const char *at;
  size_t n;
  uint64_t hash;
};

static uint64_t hash_rows(const char *row, size_t n, size_t ncols) {
  struct seen s = {.hash = 7};
  for (; n > 0; n--, row = prg_wire_row_next(row)) {
    const char *at = row + PRG_WIRE_ROW_HEAD;
    for (size_t i = 0; i < ncols; i++) {
      int len;
      const char *cell = prg_wire_cell(&at, &len);
      look(&s, cell, len < 0 ? 0 : (size_t)len);
    }
    need(at == prg_wire_row_next(row));
  }
  return s.hash;
}

static void read_body(const struct prg_wire_msg *m) {
  struct prg_wire_cur c = prg_wire_body(m);
  struct prg_wire_fields f;
  unsigned n = prg_wire_int16(&c);
  for (unsigned i = 0; i < n && !c.bad; i++) {
    struct prg_wire_column col = prg_wire_column(&c);
    need(strlen(col.name) <= m->len);
  }
  need(c.p <= c.end);
  if (prg_wire_fields(m, &f) != PRG_OK) return;
  for (size_t i = 0; i <= 'z'; i++)
    need(f.of[i] == NULL || strlen(f.of[i]) < m->len);
}

static int read_rows(struct prg_wire_in *in, size_t ncols, struct seen *s,
                     struct prg_wire_rows *rows) {
  if (!s->copy) return prg_wire_rows(in, ncols, 3, rows);
  int rc = s->headed ? PRG_OK : prg_wire_copy_head(in);
  s->headed = rc == PRG_OK;
  return rc == PRG_OK ? prg_wire_copy_rows(in, ncols, 3, rows) : rc;
}

/* PRG_AGAIN: all was read. */
static int drain(struct prg_wire_in *in, size_t ncols, struct seen *s,
                 struct kept *kept) {
  for (;;) {
    struct prg_wire_rows rows;
    struct prg_wire_msg m;
    int rc = read_rows(in, ncols, s, &rows);
    if (rc != PRG_OK) return rc;
    if (rows.n > 0) {
      struct kept *k = &kept[s->rows % MAX_KEPT];
      look(s, rows.first, rows.bytes);
      s->rows += rows.n;
      prg_wire_block_unref(k->block);
      *k = (struct kept){prg_wire_block_ref(rows.block), rows.first, rows.n,
                         hash_rows(rows.first, rows.n, ncols)};
      continue;
    }
    rc = prg_wire_next(in, &m);
    if (rc != PRG_OK) return rc;
    look(s, &m.type, 1);
    look(s, m.body, m.len);
    read_body(&m);
  }
}

static struct seen run(const unsigned char *data, size_t size, size_t ncols,
                       size_t step) {
  struct seen s = {.hash = UINT64_C(14695981039346656037), .copy = ncols >= 8};
  struct kept kept[MAX_KEPT];
  struct prg_wire_in in;
  ncols %= 8;
  memset(kept, 0, sizeof kept);
  prg_wire_in_init(&in);
  while (size > 0 && !s.failed) {
    size_t room, n = size < step ? size : step;
    char *to = prg_wire_room(&in, &room);
    need(to != NULL && room > 0);
    if (n > room) n = room;
    memcpy(to, data, n);
    prg_wire_fed(&in, n);
    data += n;
    size -= n;
    s.failed = drain(&in, ncols, &s, kept) == PRG_ERR;
  }
  need(!s.failed || in.error != NULL);
  for (int i = 0; i < MAX_KEPT; i++) {
    if (kept[i].block == NULL) continue;
    need(hash_rows(kept[i].at, kept[i].n, ncols) == kept[i].hash);
    prg_wire_block_unref(kept[i].block);
  }
  prg_wire_in_fini(&in);
  return s;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  if (size < 2) return 0;
  size_t ncols = data[0] % 16, step = data[1] % 64 + 1u;
  struct seen a = run(data + 2, size - 2, ncols, SIZE_MAX);
  struct seen b = run(data + 2, size - 2, ncols, step);
  need(a.failed == b.failed && a.rows == b.rows && a.hash == b.hash);
  return 0;
}
