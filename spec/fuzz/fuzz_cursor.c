/*
** Cursors from hostile hands. The first byte chooses what the rest is read as: the
** body of a cursor, as if the cipher had let it pass; a packed filter; the text of
** a cursor. What can be read must come out the same when it is written again.
*/
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "page/cursor.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static struct prg_table *table;
static struct prg_ring *ring;

static void need(bool ok) {
  if (!ok) abort();
}

static void prepare(void) {
  static const char *const names[] = {"id", "title", "tags", "doc"};
  static const enum prg_class classes[] = {PRG_CLASS_INT, PRG_CLASS_TEXT,
                                           PRG_CLASS_ARRAY, PRG_CLASS_JSON};
  static const int id[] = {0};
  static const struct prg_key_spec key = {"posts_pkey", true, 1, id};
  struct prg_text secret = {"a secret of the fuzzer's", 24};
  struct prg_col_spec cols[4];
  struct prg_table_spec spec;
  struct prg_error *err = NULL;
  memset(cols, 0, sizeof cols);
  memset(&spec, 0, sizeof spec);
  for (int i = 0; i < 4; i++) {
    cols[i].name = names[i];
    cols[i].type = cols[i].title = "";
    cols[i].cls = classes[i];
    cols[i].not_null = i == 0;
    cols[i].orderable = i < 2;
  }
  spec.name = "posts";
  spec.ncols = 4;
  spec.cols = cols;
  spec.nkeys = 1;
  spec.keys = &key;
  table = prg_table_new(&prg_dialect_postgres, &spec, &err);
  ring = prg_ring_new(&secret, 1, &err);
  need(table != NULL && ring != NULL);
}

/* Failures are of the kind that a cursor's are. */
static void take(struct prg_error *err) {
  need(err != NULL && (err->kind == PRG_K_CURSOR || err == prg_error_oom()));
  prg_error_unref(err);
}

static void fuzz_filter(const char *data, size_t size, struct prg_arena *a) {
  struct prg_cond *c;
  struct prg_error *err = NULL;
  struct prg_buf b;
  struct prg_emit e;
  bool raw;
  if (prg_filter_unpack(table, data, size, a, &c, &err) != PRG_OK) {
    take(err);
    return;
  }
  prg_buf_init(&b, 0);
  need(prg_filter_pack(c, &b, &raw) == PRG_OK && !raw);
  if (!prg_cond_is_all(c))
    need(b.len == size && memcmp(b.data, data, size) == 0);
  prg_buf_fini(&b);
  prg_emit_init(&e, table->dialect, PRG_EMIT_TEXT, a);
  prg_emit_count(&e, table, c);
  if (prg_emit_check(&e, &err) != PRG_OK) prg_error_unref(err);
  prg_emit_fini(&e);
}

static void fuzz_body(const char *data, size_t size, struct prg_arena *a) {
  struct prg_cursor c;
  struct prg_error *err = NULL;
  struct prg_buf b;
  if (prg_cursor_read(data, size, a, &c, &err) != PRG_OK) {
    take(err);
    return;
  }
  prg_buf_init(&b, 0);
  prg_cursor_write(&c, &b);
  need(!b.failed && b.len == size && memcmp(b.data, data, size) == 0);
  prg_buf_reset(&b);
  if (prg_cursor_seal(ring, &c, &b, &err) == PRG_OK) {
    need(b.len <= PRG_CURSOR_MAX);
    need(prg_cursor_open(ring, b.data, b.len, a, &c, &err) == PRG_OK);
  } else {
    prg_error_unref(err);
  }
  prg_buf_fini(&b);
  if (c.filter.whole) fuzz_filter(c.filter.packed.p, c.filter.packed.n, a);
}

static void fuzz_text(const char *data, size_t size, struct prg_arena *a) {
  struct prg_cursor c;
  struct prg_error *err = NULL;
  if (prg_cursor_open(ring, data, size, a, &c, &err) != PRG_OK) take(err);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  struct prg_arena a;
  if (table == NULL) prepare();
  if (size == 0) return 0;
  prg_arena_init(&a);
  if (data[0] == 'b')
    fuzz_body((const char *)data + 1, size - 1, &a);
  else if (data[0] == 'f')
    fuzz_filter((const char *)data + 1, size - 1, &a);
  else
    fuzz_text((const char *)data, size, &a);
  prg_arena_fini(&a);
  return 0;
}
