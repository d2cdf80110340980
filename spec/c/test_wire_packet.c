/* MySQL's protocol: what is written byte for byte, and what is read however it is cut,
** whatever it is. */
#include "base/mem.h"
#include "check.h"
#include "wire/packet.h"

enum { PIECE = 0xffffff };

#define TEXT(t)                                   \
  {                                               \
    .type = PRG_TEXT, .u.s = { t, sizeof(t) - 1 } \
  }

/* ---- executing ------------------------------------------------------------ */

static void expect(struct prg_buf *out, const char *bytes, size_t n) {
  bool same = !out->failed && out->len == n && memcmp(out->data, bytes, n) == 0;
  if (!CHECK(same))
    for (size_t i = 0; i < out->len; i++)
      fprintf(stderr, "%02x ", (unsigned char)out->data[i]);
  prg_buf_reset(out);
}

#define EXPECT(out, literal) expect(out, literal, sizeof(literal) - 1)

static void test_execute(void) {
  const struct prg_value values[] = {
      {.type = PRG_INT, .u.i = -2},     {.type = PRG_NULL},
      {.type = PRG_BOOL, .u.b = true},  TEXT("ab"),
      {.type = PRG_DOUBLE, .u.d = 0.5},
  };
  const struct prg_value bytes = {.type = PRG_BYTES, .u.s = {"\0\1", 2}};
  const struct prg_value decimal = {.type = PRG_DECIMAL, .u.s = {"1.5", 3}};
  struct prg_packet_types types = {0};
  struct prg_packet_execute x = {0x01020304, NULL, 0, &types};
  struct prg_buf out;
  prg_buf_init(&out, 0);
  prg_packet_execute(&out, &x);
  EXPECT(&out, "\x0a\0\0\0\x17\4\3\2\1\0\1\0\0\0");
  x.params = values;
  x.n = 5;
  prg_packet_execute(&out, &x);
  EXPECT(&out,
         "\x2a\0\0\0\x17\4\3\2\1\0\1\0\0\0\x02\1\x08\0\6\0\1\0\xfe\0\5\0"
         "\xfe\xff\xff\xff\xff\xff\xff\xff\1\2"
         "ab\0\0\0\0\0\0\xe0\x3f");
  x.n = 4; /* the server knows their types */
  prg_packet_execute(&out, &x);
  EXPECT(&out,
         "\x18\0\0\0\x17\4\3\2\1\0\1\0\0\0\x02\0"
         "\xfe\xff\xff\xff\xff\xff\xff\xff\1\2"
         "ab");
  x.params = &bytes; /* and not this one's */
  x.n = 1;
  prg_packet_execute(&out, &x);
  EXPECT(&out, "\x11\0\0\0\x17\4\3\2\1\0\1\0\0\0\0\1\xfc\0\2\0\1");
  x.params = &decimal;
  x.types = NULL;
  for (int i = 0; i < 2; i++) {
    prg_packet_execute(&out, &x);
    EXPECT(&out,
           "\x12\0\0\0\x17\4\3\2\1\0\1\0\0\0\0\1\xf6\0\3"
           "1.5");
  }
  prg_buf_fini(&out);
}

/* More parameters than are remembered, the last of them NULL. */
static void test_many(void) {
  struct prg_value values[PRG_PACKET_KEPT + 1];
  struct prg_packet_types types = {0};
  struct prg_packet_execute x = {1, values, PRG_PACKET_KEPT + 1, &types};
  struct prg_buf out;
  prg_buf_init(&out, 0);
  for (size_t i = 0; i < x.n; i++)
    values[i] = (struct prg_value){.type = PRG_BOOL, .u.b = i % 2 == 0};
  values[PRG_PACKET_KEPT].type = PRG_NULL;
  for (int i = 0; i < 2; i++) {
    prg_buf_reset(&out);
    prg_packet_execute(&out, &x);
    REQUIRE(!out.failed && out.len == 4 + 10 + 3 + 1 + 2 * 17 + 16);
    CHECK(memcmp(out.data + 14, "\0\0\1\1", 4) == 0);
    CHECK(!types.known);
  }
  prg_buf_fini(&out);
}

/* ---- packets --------------------------------------------------------------- */

/* Puts bytes into the inbox, up to `step` at a time. */
static bool feed(struct prg_inbox *in, const char *p, size_t n, size_t step) {
  while (n > 0) {
    size_t room, take = n < step ? n : step;
    unsigned char *to = prg_inbox_room(in, &room);
    if (to == NULL || room == 0) return false;
    if (take > room) take = room;
    memcpy(to, p, take);
    prg_inbox_got(in, take);
    p += take;
    n -= take;
  }
  return true;
}

/* A text of `n` bytes, sent and read back as one packet. */
static void test_length(size_t n) {
  char *text = prg_alloc(n + 1);
  struct prg_value v = {.type = PRG_TEXT};
  struct prg_packet_execute x = {1, &v, 1, NULL};
  struct prg_inbox in = {0};
  struct prg_packet p;
  struct prg_buf out;
  size_t head = n < 251 ? 1 : n <= 0xffff ? 3 : n <= 0xffffff ? 4 : 9;
  REQUIRE(text != NULL);
  for (size_t i = 0; i < n; i++) text[i] = (char)(i * 2654435761u >> 13);
  v.u.s.p = text;
  v.u.s.n = n;
  prg_buf_init(&out, 0);
  prg_packet_execute(&out, &x);
  REQUIRE(!out.failed);
  REQUIRE(feed(&in, out.data, out.len - 1, 4093));
  CHECK(!prg_inbox_next(&in, &p));
  REQUIRE(feed(&in, out.data + out.len - 1, 1, 1));
  REQUIRE(prg_inbox_next(&in, &p));
  CHECK((size_t)(p.end - p.p) == 14 + head + n);
  CHECK(memcmp(p.p + 14 + head, text, n) == 0);
  CHECK(prg_inbox_is_empty(&in) && !prg_inbox_next(&in, &p));
  prg_inbox_trim(&in);
  prg_inbox_fini(&in);
  prg_buf_fini(&out);
  prg_free(text);
}

static void test_lengths(void) {
  static const size_t lengths[] = {
      0,          250,        251,   0xffff,    0x10000,        PIECE - 19,
      PIECE - 18, PIECE - 17, PIECE, PIECE + 1, 2 * PIECE - 23, 2 * PIECE - 22,
  };
  for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
    test_length(lengths[i]);
}

/* Out of an answer in pieces of 1, 2, … bytes: its packets, each of which says how long
** it is. */
static void test_pieces(void) {
  static const char bytes[] = "\1\0\0\1\1\0\0\0\2\3\0\0\3\3ab\1\0\0\4\1";
  static const size_t lengths[] = {1, 0, 3, 1};
  size_t size = sizeof bytes - 1;
  for (size_t step = 1; step <= size; step++) {
    struct prg_inbox in = {0};
    size_t seen = 0;
    for (size_t at = 0; at < size; at += step) {
      struct prg_packet p;
      REQUIRE(feed(&in, bytes + at, size - at < step ? size - at : step, step));
      while (prg_inbox_next(&in, &p)) {
        CHECK((size_t)(p.end - p.p) == lengths[seen]);
        CHECK(p.p == p.end || (size_t)*p.p == lengths[seen]);
        seen++;
      }
    }
    CHECK(seen == 4 && prg_inbox_is_empty(&in));
    prg_inbox_fini(&in);
  }
}

/* ---- answers --------------------------------------------------------------- */

static struct prg_packet packet_of(const char *bytes, size_t n) {
  struct prg_packet p = {(const unsigned char *)bytes,
                         (const unsigned char *)bytes + n};
  return p;
}

#define PACKET(literal) packet_of(literal, sizeof(literal) - 1)

static void test_answers(void) {
  struct prg_packet p = PACKET("\0\2\xfc\0\1\x02\0\3\0news of the session");
  struct prg_reply r = prg_packet_answer(&p);
  CHECK(r.kind == PRG_REPLY_OK && r.affected == 2 && r.last_id == 256 &&
        r.status == 2 && r.warnings == 3);
  p = PACKET("\0\xfe\1\2\3\4\5\6\7\x08\0\0\0\0\0");
  r = prg_packet_answer(&p);
  CHECK(r.kind == PRG_REPLY_OK && r.affected == UINT64_C(0x0807060504030201));
  p = PACKET("\xff\x26\x04#23000Duplicate");
  r = prg_packet_answer(&p);
  CHECK(r.kind == PRG_REPLY_ERROR && r.code == 1062 && r.length == 9);
  CHECK_STR(r.state, "23000");
  CHECK(memcmp(r.text, "Duplicate", 9) == 0);
  p = PACKET("\xff\x10\x04Too many"); /* before the handshake is over */
  r = prg_packet_answer(&p);
  CHECK(r.kind == PRG_REPLY_ERROR && r.code == 1040 && r.length == 8);
  CHECK_STR(r.state, "HY000");
  p = PACKET("\xff\xff\xff\1\1\2");
  CHECK(prg_packet_answer(&p).kind == PRG_REPLY_PROGRESS);
  CHECK(prg_packet_behind(&p).kind == PRG_REPLY_PROGRESS);
  p = PACKET("\3");
  r = prg_packet_answer(&p);
  CHECK(r.kind == PRG_REPLY_COLUMNS && r.ncols == 3 && r.described);
  p = PACKET("\xfc\0\1\0");
  r = prg_packet_answer(&p);
  CHECK(r.kind == PRG_REPLY_COLUMNS && r.ncols == 256 && !r.described);
  p = PACKET("\xfe\1\0\x22\0");
  r = prg_packet_behind(&p);
  CHECK(r.kind == PRG_REPLY_END && r.warnings == 1 && r.status == 0x22);
  p = PACKET("\0\0\0\0\0");
  CHECK(prg_packet_behind(&p).kind == PRG_REPLY_ROW);
}

static void test_bad_answers(void) {
  static const struct {
    const char *bytes;
    size_t n;
  } bad[] = {
      {"", 0},
      {"\0", 1},
      {"\0\0\0\0\0\0", 6},
      {"\xfb/etc/passwd", 12}, /* a file is asked for */
      {"\xff\1", 2},
      {"\xfc\1", 2},
      {"\xfd\1\1\1\1", 5}, /* 65,793 columns */
      {"\xfe\0\0\2\0", 5},
  };
  struct prg_packet p;
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    p = packet_of(bad[i].bytes, bad[i].n);
    CHECK(prg_packet_answer(&p).kind == PRG_REPLY_BAD);
  }
  p = PACKET("");
  CHECK(prg_packet_behind(&p).kind == PRG_REPLY_BAD);
  p = PACKET("\1");
  CHECK(prg_packet_behind(&p).kind == PRG_REPLY_BAD);
  p = PACKET("\xfe\0\0\2\0\0");
  CHECK(prg_packet_behind(&p).kind == PRG_REPLY_BAD);
}

#define COLUMN(extended) \
  "\3def\1d\1t\1o\4name\1n" extended "\x0c\x3f\0\x0b\0\0\0\3\x03\x50\0\0\0"

static void test_columns(void) {
  static const char bytes[] = COLUMN("");
  struct prg_packet_column k;
  struct prg_packet p = PACKET(COLUMN(""));
  REQUIRE(prg_packet_column(&p, &k));
  CHECK(k.length == 4 && memcmp(k.name, "name", 4) == 0);
  CHECK(k.type == 3 && k.flags == 0x5003 && k.charset == 63 && k.width == 11);
  CHECK(!k.json);
  p = PACKET(COLUMN("\0"));
  CHECK(prg_packet_column(&p, &k) && !k.json && k.type == 3);
  p = PACKET(COLUMN("\6\1\4json"));
  CHECK(prg_packet_column(&p, &k) && k.json && k.type == 3);
  p = PACKET(COLUMN("\6\0\4uuid"));
  CHECK(prg_packet_column(&p, &k) && !k.json);
  p = PACKET(COLUMN("\x0c\0\4uuid\1\4json"));
  CHECK(prg_packet_column(&p, &k) && k.json);
  p = PACKET(COLUMN("\6\1\x7fjson")); /* longer than what it is in */
  CHECK(prg_packet_column(&p, &k) && !k.json);
  for (size_t n = 0; n < sizeof bytes - 1; n++) {
    p = packet_of(bytes, n);
    CHECK(!prg_packet_column(&p, &k));
  }
}

/* ---- rows ------------------------------------------------------------------ */

static void test_rows(void) {
  static const unsigned char sizes[] = {1, 2, 4, 8, 0, 0, 4, 0};
  static const char bytes[] =
      "\0\x00\x01\1\2\2\4\4\4\4\x08\x08\x08\x08\x08\x08\x08\x08\2ab\0\xfc\1\0c";
  const unsigned char *cells[8];
  struct prg_packet p = PACKET(
      "\0\x00\x01\1\2\2\4\4\4\4\x08\x08\x08\x08\x08\x08\x08\x08\2ab\0\xfc\1\0"
      "c");
  REQUIRE(prg_packet_cells(&p, sizes, 8, cells));
  CHECK(*cells[0] == 1 && *cells[1] == 2 && *cells[2] == 4 && *cells[3] == 8);
  CHECK(*cells[4] == 2 && *cells[5] == 0 && cells[6] == NULL);
  CHECK(*cells[7] == 0xfc && cells[7] + 4 == p.end);
  for (size_t n = 1; n < sizeof bytes - 1; n++) {
    p = packet_of(bytes, n);
    CHECK(!prg_packet_cells(&p, sizes, 8, cells));
  }
  p = PACKET("\0\0\1\2"); /* one byte too many */
  CHECK(!prg_packet_cells(&p, sizes, 1, cells));
  p = PACKET("\0\0\xff"); /* no length of a text */
  CHECK(!prg_packet_cells(&p, sizes + 4, 1, cells));
  p = PACKET(
      "\0\0\xfe\xff\xff\xff\xff\xff\xff\xff\xff"
      "abc");
  CHECK(!prg_packet_cells(&p, sizes + 4, 1, cells));
  for (unsigned type = 0; type < 256; type++) CHECK(prg_packet_size(type) <= 8);
  CHECK(prg_packet_size(1) == 1 && prg_packet_size(13) == 2 &&
        prg_packet_size(9) == 4 && prg_packet_size(5) == 8 &&
        prg_packet_size(12) == 0);
}

int main(void) {
  RUN(test_execute);
  RUN(test_many);
  RUN(test_pieces);
  RUN(test_lengths);
  RUN(test_answers);
  RUN(test_bad_answers);
  RUN(test_columns);
  RUN(test_rows);
  return check_result();
}
