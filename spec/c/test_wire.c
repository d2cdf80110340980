/* The codec of PostgreSQL's protocol: what is written byte for byte, and what is
** read however it is cut, whatever it is. */
#include "base/mem.h"
#include "check.h"
#include "wire/wire.h"

/* ---- the writer --------------------------------------------------------- */

static void expect(struct prg_wire_out *o, const char *bytes, size_t n) {
  bool same = !o->failed && o->len == n && memcmp(o->data, bytes, n) == 0;
  if (!CHECK(same))
    for (size_t i = 0; i < o->len; i++)
      fprintf(stderr, "%02x ", (unsigned char)o->data[i]);
  prg_wire_out_gone(o, o->len);
}

#define EXPECT(o, literal) expect(o, literal, sizeof(literal) - 1)

static void test_commands(void) {
  const uint32_t types[] = {23, 0};
  const struct prg_wire_text sql = {"select 1", 8};
  struct prg_wire_out o;
  prg_wire_out_init(&o);
  prg_wire_parse(&o, "s1", sql, types, 2);
  EXPECT(&o, "P\0\0\0\x1as1\0select 1\0\0\2\0\0\0\x17\0\0\0\0");
  prg_wire_describe(&o, 'S', "s1");
  EXPECT(&o, "D\0\0\0\x08Ss1\0");
  prg_wire_close(&o, 'P', "");
  EXPECT(&o, "C\0\0\0\6P\0");
  prg_wire_execute(&o, 258);
  EXPECT(&o, "E\0\0\0\x09\0\0\0\1\2");
  prg_wire_sync(&o);
  EXPECT(&o, "S\0\0\0\4");
  prg_wire_flush(&o);
  EXPECT(&o, "H\0\0\0\4");
  prg_wire_query(&o, sql);
  EXPECT(&o, "Q\0\0\0\x0dselect 1\0");
  prg_wire_copy_data(&o, "a\0b", 3);
  EXPECT(&o, "d\0\0\0\7a\0b");
  prg_wire_copy_done(&o);
  EXPECT(&o, "c\0\0\0\4");
  prg_wire_copy_fail(&o, "no");
  EXPECT(&o, "f\0\0\0\7no\0");
  prg_wire_terminate(&o);
  EXPECT(&o, "X\0\0\0\4");
  prg_wire_out_fini(&o);
}

static void test_bind(void) {
  const char *const values[] = {"\0\0\0\7", NULL, "x"};
  const int lengths[] = {4, 0, 1}, formats[] = {1, 0, 0};
  const unsigned char results[] = {1, 0};
  struct prg_wire_bind b = {.stmt = "s"};
  struct prg_wire_out o;
  prg_wire_out_init(&o);
  prg_wire_bind(&o, &b);
  EXPECT(&o, "B\0\0\0\x0d\0s\0\0\0\0\0\0\0");
  b = (struct prg_wire_bind){"s", 3, values, lengths, formats, 2, results};
  prg_wire_bind(&o, &b);
  EXPECT(&o,
         "B\0\0\0\x28\0s\0\0\3\0\1\0\0\0\0\0\3\0\0\0\4\0\0\0\7\xff\xff\xff\xff"
         "\0\0\0\1x\0\2\0\1\0\0");
  b = (struct prg_wire_bind){.stmt = "s"};
  prg_wire_run(&o, &b, false);
  EXPECT(&o, "B\0\0\0\x0d\0s\0\0\0\0\0\0\0E\0\0\0\x09\0\0\0\0\0");
  prg_wire_run(&o, &b, true);
  EXPECT(&o,
         "B\0\0\0\x0d\0s\0\0\0\0\0\0\0E\0\0\0\x09\0\0\0\0\0"
         "S\0\0\0\4");
  prg_wire_out_fini(&o);
}

/* What was sent leaves; what was not stays in its place. */
static void test_partly_sent(void) {
  struct prg_wire_out o;
  prg_wire_out_init(&o);
  prg_wire_sync(&o);
  prg_wire_out_gone(&o, 2);
  CHECK(prg_wire_out_left(&o) == 3);
  for (int i = 0; i < 1000; i++) prg_wire_flush(&o);
  CHECK(prg_wire_out_left(&o) == 3 + 5000);
  CHECK(memcmp(o.data + o.sent, "\0\0\4H\0\0\0\4", 8) == 0);
  prg_wire_out_gone(&o, prg_wire_out_left(&o));
  CHECK(o.len == 0);
  prg_wire_copy_data(&o, "", SIZE_MAX / 2);
  CHECK(o.failed);
  prg_wire_out_fini(&o);
  prg_mem_fail_after(1);
  prg_wire_sync(&o);
  CHECK(o.failed);
  prg_wire_out_fini(&o);
}

/* ---- the reader --------------------------------------------------------- */

/* BindComplete, two rows of two columns, CommandComplete, ReadyForQuery. */
static const char whole[] =
    "2\0\0\0\4"
    "D\0\0\0\x10\0\2\0\0\0\2ab\xff\xff\xff\xff"
    "D\0\0\0\x0f\0\2\0\0\0\0\0\0\0\1z"
    "C\0\0\0\x0dSELECT 2\0"
    "Z\0\0\0\5I";

static void feed(struct prg_wire_in *in, const char *bytes, size_t n) {
  while (n > 0) {
    size_t room;
    char *to = prg_wire_room(in, &room);
    if (!CHECK(to != NULL && room > 0)) return;
    if (room > n) room = n;
    memcpy(to, bytes, room);
    prg_wire_fed(in, room);
    bytes += room;
    n -= room;
  }
}

/* Reads all that is there; writes its types, and cells of rows, to `out`. */
static int drain(struct prg_wire_in *in, char *out) {
  out += strlen(out);
  for (;;) {
    struct prg_wire_rows rows;
    struct prg_wire_msg m;
    if (prg_wire_rows(in, 2, SIZE_MAX, &rows) != PRG_OK) return PRG_ERR;
    for (const char *row = rows.first; rows.n > 0; rows.n--) {
      const char *at = row + PRG_WIRE_ROW_HEAD;
      for (int i = 0; i < 2; i++) {
        int len;
        const char *cell = prg_wire_cell(&at, &len);
        out +=
            sprintf(out, "[%.*s]", len < 0 ? 4 : len, len < 0 ? "NULL" : cell);
      }
      row = prg_wire_row_next(row);
    }
    int rc = prg_wire_next(in, &m);
    if (rc != PRG_OK) return rc;
    *out++ = m.type;
    *out = '\0';
  }
}

static void test_splits(void) {
  for (size_t step = 1; step < sizeof whole; step++) {
    struct prg_wire_in in;
    char out[200] = "";
    prg_wire_in_init(&in);
    for (size_t i = 0; i < sizeof whole - 1; i += step) {
      size_t n = sizeof whole - 1 - i;
      feed(&in, whole + i, n < step ? n : step);
      CHECK(drain(&in, out) == PRG_AGAIN);
    }
    CHECK_STR(out, "2[ab][NULL][][z]CZ");
    prg_wire_in_fini(&in);
  }
}

/* Rows that somebody keeps stay as they are, while more and more comes. */
static void test_kept_rows(void) {
  struct prg_wire_in in;
  struct prg_wire_rows rows;
  char text[3000], row[3100];
  struct {
    struct prg_wire_block *block;
    const char *at;
  } kept[200];
  prg_wire_in_init(&in);
  for (size_t i = 0; i < 200; i++) {
    memset(text, (int)('a' + i % 26), sizeof text);
    size_t n = 6 + sizeof text;
    memcpy(row, "D\0\0\0\0\0\1\0\0\0\0", 11);
    row[3] = (char)((n + 4) >> 8);
    row[4] = (char)(n + 4);
    row[9] = (char)(sizeof text >> 8);
    row[10] = (char)sizeof text;
    memcpy(row + 11, text, sizeof text);
    feed(&in, row, 11 + sizeof text);
    REQUIRE(prg_wire_rows(&in, 1, 5, &rows) == PRG_OK && rows.n == 1);
    kept[i].block = prg_wire_block_ref(rows.block);
    kept[i].at = rows.first;
  }
  for (size_t i = 0; i < 200; i++) {
    int len;
    const char *at = kept[i].at + PRG_WIRE_ROW_HEAD;
    const char *cell = prg_wire_cell(&at, &len);
    CHECK(len == (int)sizeof text && cell[0] == (char)('a' + i % 26) &&
          cell[len - 1] == cell[0]);
    prg_wire_block_unref(kept[i].block);
  }
  prg_wire_in_fini(&in);
}

/* A message larger than any block. */
static void test_large(void) {
  struct prg_wire_in in;
  struct prg_wire_msg m;
  size_t n = 5000000;
  char *body = prg_calloc(1, n + 5);
  REQUIRE(body != NULL);
  body[0] = 'd';
  for (int i = 0; i < 4; i++) body[1 + i] = (char)((n + 4) >> (24 - 8 * i));
  body[n + 4] = 'e';
  prg_wire_in_init(&in);
  for (size_t i = 0; i < n + 5; i += 100000) {
    CHECK(prg_wire_next(&in, &m) == PRG_AGAIN);
    feed(&in, body + i, n + 5 - i < 100000 ? n + 5 - i : 100000);
    CHECK(in.block->cap <= 2 * in.block->len + 2 * 100000);
  }
  CHECK(prg_wire_next(&in, &m) == PRG_OK && m.len == n && m.body[n - 1] == 'e');
  prg_wire_in_fini(&in);
  prg_free(body);
}

/* A promise alone takes no memory. */
static void test_promise(void) {
  struct prg_wire_in in;
  struct prg_wire_msg m;
  size_t room;
  prg_wire_in_init(&in);
  feed(&in, "D\x7f\xff\xff\xff", 5);
  CHECK(prg_wire_next(&in, &m) == PRG_AGAIN);
  CHECK(prg_wire_room(&in, &room) != NULL && room < 200000);
  prg_wire_in_fini(&in);
}

static void refused(const char *bytes, size_t n) {
  struct prg_wire_in in;
  char out[200] = "";
  prg_wire_in_init(&in);
  feed(&in, bytes, n);
  CHECK(drain(&in, out) == PRG_ERR && in.error != NULL);
  prg_wire_in_fini(&in);
}

#define REFUSED(literal) refused(literal, sizeof(literal) - 1)

static void test_malformed(void) {
  REFUSED("Z\0\0\0\0");
  REFUSED("Z\0\0\0\3");
  REFUSED("Z\xff\xff\xff\xff");
  REFUSED("Z\0\2\0\0I"); /* too long for its type */
  REFUSED("?\0\0\0\4");  /* no such type */
  REFUSED("\0\0\0\0\4");
  REFUSED("D\0\0\0\3");
  REFUSED("D\x80\0\0\0");
  REFUSED("D\0\0\0\4");                       /* no count */
  REFUSED("D\0\0\0\6\0\1");                   /* other columns */
  REFUSED("D\0\0\0\x0e\0\2\0\0\0\0\0\0\0\1"); /* a cell beyond the end */
  REFUSED("D\0\0\0\x0e\0\2\0\0\0\0\xff\xff\xff\xfe"); /* a length of -2 */
  REFUSED("D\0\0\0\x0f\0\2\0\0\0\0\0\0\0\0x"); /* bytes behind the last */
}

static void test_bodies(void) {
  static const char fields[] = "SERROR\0C42601\0Mbad\0\0";
  static const char column[] =
      "id\0\0\0\0\1\0\2\0\0\0\x17\0\4\xff\xff\xff\xff\0\1";
  struct prg_wire_msg m = {'E', fields, sizeof fields - 1};
  struct prg_wire_fields f;
  CHECK(prg_wire_fields(&m, &f) == PRG_OK);
  CHECK_STR(f.of['C'], "42601");
  CHECK_STR(f.of['M'], "bad");
  CHECK(f.of['D'] == NULL);
  m.len -= 1;
  CHECK(prg_wire_fields(&m, &f) == PRG_ERR); /* no end */
  m.len -= 2;
  CHECK(prg_wire_fields(&m, &f) == PRG_ERR); /* a text without its end */
  m = (struct prg_wire_msg){'T', column, sizeof column - 1};
  struct prg_wire_cur c = prg_wire_body(&m);
  struct prg_wire_column col = prg_wire_column(&c);
  CHECK(!c.bad && c.p == c.end && col.type == 23 && col.format == 1);
  CHECK_STR(col.name, "id");
  CHECK(prg_wire_int32(&c) == 0 && c.bad);
  CHECK_STR(prg_wire_string(&c), "");
}

/* A binary COPY of two rows: the header comes with the first, the end alone. */
#define COPY_HEADER "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\2xy"
static const char copied[] = "d\0\0\0\x25" COPY_HEADER
                             "\0\2\0\0\0\2ab\xff\xff\xff\xff"
                             "d\0\0\0\x0f\0\2\0\0\0\0\0\0\0\1z"
                             "d\0\0\0\6\xff\xff"
                             "c\0\0\0\4";

/* Cells, then the types of other messages. */
static int drain_copy(struct prg_wire_in *in, bool *headed, char *out) {
  out += strlen(out);
  for (;;) {
    struct prg_wire_rows rows;
    struct prg_wire_msg m;
    int rc = *headed ? PRG_OK : prg_wire_copy_head(in);
    if (rc != PRG_OK) return rc;
    *headed = true;
    if (prg_wire_copy_rows(in, 2, 1, &rows) != PRG_OK) return PRG_ERR;
    const char *at = rows.n > 0 ? rows.first + PRG_WIRE_ROW_HEAD : NULL;
    for (int i = 0; i < 2 && rows.n > 0; i++) {
      int len;
      const char *cell = prg_wire_cell(&at, &len);
      out += sprintf(out, "[%.*s]", len < 0 ? 4 : len, len < 0 ? "NULL" : cell);
    }
    if (rows.n > 0) continue;
    rc = prg_wire_next(in, &m);
    if (rc != PRG_OK) return rc;
    *out++ = m.type;
    *out = '\0';
  }
}

static void test_copy(void) {
  for (size_t step = 1; step < sizeof copied; step++) {
    struct prg_wire_in in;
    char out[200] = "";
    bool headed = false;
    prg_wire_in_init(&in);
    for (size_t i = 0; i < sizeof copied - 1; i += step) {
      size_t n = sizeof copied - 1 - i;
      CHECK(prg_wire_put(&in, copied + i, n < step ? n : step) == PRG_OK);
      CHECK(drain_copy(&in, &headed, out) == PRG_AGAIN);
    }
    CHECK_STR(out, "[ab][NULL][][z]dc");
    prg_wire_in_fini(&in);
  }
}

static int copy_of(const char *bytes, size_t n, char *out) {
  struct prg_wire_in in;
  bool headed = false;
  prg_wire_in_init(&in);
  out[0] = '\0';
  CHECK(prg_wire_put(&in, bytes, n) == PRG_OK);
  int rc = drain_copy(&in, &headed, out);
  prg_wire_in_fini(&in);
  return rc;
}

#define COPY_OF(literal) copy_of(literal, sizeof(literal) - 1, out)

static void test_copy_heads(void) {
  char out[200];
  CHECK(COPY_OF("d\0\0\0\x17PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0"
                "d\0\0\0\6\xff\xff") == PRG_AGAIN); /* nothing but the header */
  CHECK_STR(out, "d");
  CHECK(COPY_OF("d\0\0\0\x19PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0"
                "\xff\xff") == PRG_AGAIN); /* and the end */
  CHECK_STR(out, "d");
  CHECK(COPY_OF("d\0\0\0\x16PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0") == PRG_ERR);
  CHECK(COPY_OF("d\0\0\0\x17PGCOPY\n\377\n\n\0\0\0\0\0\0\0\0\0") == PRG_ERR);
  CHECK(COPY_OF("d\0\0\0\x17PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\1") == PRG_ERR);
  CHECK(COPY_OF("d\xff\0\0\x17PGCOPY") == PRG_ERR);
  CHECK(COPY_OF("d\0\0\0\x17PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0"
                "d\0\0\0\6\0\3") == PRG_ERR); /* other columns */
}

static void test_no_memory(void) {
  struct prg_wire_in in;
  size_t room;
  prg_wire_in_init(&in);
  prg_mem_fail_after(1);
  CHECK(prg_wire_room(&in, &room) == NULL);
  CHECK(prg_wire_room(&in, &room) != NULL);
  prg_wire_in_fini(&in);
}

int main(void) {
  RUN(test_commands);
  RUN(test_bind);
  RUN(test_partly_sent);
  RUN(test_splits);
  RUN(test_kept_rows);
  RUN(test_large);
  RUN(test_promise);
  RUN(test_malformed);
  RUN(test_bodies);
  RUN(test_copy);
  RUN(test_copy_heads);
  RUN(test_no_memory);
  return check_result();
}
