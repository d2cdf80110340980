/*
** The reader of MySQL's protocol on any bytes. Links src/wire. The first byte says how
** many columns rows have, the second in what pieces the rest comes, the third how wide
** the columns are. What is read must lie in its packet, and be the same in one piece and
** in many.
*/
#include <stdlib.h>
#include <string.h>

#include "wire/packet.h"

enum { MAX_COLUMNS = 16 };

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void need(bool ok) {
  if (!ok) abort();
}

/* What a reading saw, as a number. */
static uint64_t hash(uint64_t h, const void *bytes, size_t n) {
  const unsigned char *p = bytes;
  for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * UINT64_C(1099511628211);
  return h;
}

static void need_inside(const struct prg_packet *p, const void *at, size_t n) {
  const unsigned char *from = at;
  need(from >= p->p && from <= p->end && n <= (size_t)(p->end - from));
}

static uint64_t read_reply(const struct prg_packet *p, uint64_t h) {
  for (int first = 0; first < 2; first++) {
    struct prg_reply r = first ? prg_packet_answer(p) : prg_packet_behind(p);
    h = hash(h, &r.kind, sizeof r.kind);
    if (r.kind == PRG_REPLY_ERROR) {
      need_inside(p, r.text, r.length);
      need(strlen(r.state) <= 5);
    }
    need(r.kind != PRG_REPLY_COLUMNS || r.ncols > 0);
  }
  return h;
}

static uint64_t read_column(const struct prg_packet *p, uint64_t h) {
  struct prg_packet_column k;
  if (!prg_packet_column(p, &k)) return h;
  need_inside(p, k.name, k.length);
  h = hash(h, k.name, k.length);
  return hash(h, &k.type, sizeof k.type) + k.json;
}

static uint64_t read_row(const struct prg_packet *p, const unsigned char *sizes,
                         size_t n, uint64_t h) {
  const unsigned char *cells[MAX_COLUMNS];
  if (p->p == p->end || !prg_packet_cells(p, sizes, n, cells)) return h;
  for (size_t i = 0; i < n; i++) {
    if (cells[i] == NULL) continue;
    need_inside(p, cells[i], sizes[i] == 0 ? 1 : sizes[i]);
    h = hash(h, cells[i], sizes[i] == 0 ? 1 : sizes[i]);
  }
  return h;
}

static uint64_t run(const unsigned char *data, size_t size, size_t step) {
  static const unsigned char widths[] = {0, 1, 2, 4, 8, 0, 0, 0};
  size_t ncols = data[0] % MAX_COLUMNS + 1u;
  unsigned char sizes[MAX_COLUMNS];
  struct prg_inbox in = {0};
  struct prg_packet p;
  uint64_t h = UINT64_C(14695981039346656037);
  for (size_t i = 0; i < ncols; i++) sizes[i] = widths[(data[2] >> i % 6) % 8];
  data += 3;
  size -= 3;
  while (size > 0) {
    size_t room, n = size < step ? size : step;
    unsigned char *to = prg_inbox_room(&in, &room);
    need(to != NULL && room > 0);
    if (n > room) n = room;
    memcpy(to, data, n);
    prg_inbox_got(&in, n);
    data += n;
    size -= n;
    while (prg_inbox_next(&in, &p)) {
      h = hash(h, p.p, (size_t)(p.end - p.p));
      h = read_row(&p, sizes, ncols, read_column(&p, read_reply(&p, h)));
    }
  }
  prg_inbox_trim(&in);
  prg_inbox_fini(&in);
  return h;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  if (size < 3) return 0;
  need(run(data, size, SIZE_MAX) == run(data, size, data[1] % 64 + 1u));
  return 0;
}
