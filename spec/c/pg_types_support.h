/*
** Support for the tests of PostgreSQL's types: a few types that a catalogue
** learns without a server, and values as text, for comparison: 1, d0.5, 'text',
** x'bytes', n'decimal', j'json', [dimensions:list], {record}, h{hstore},
** <range), m[…].
*/
#ifndef PRG_SPEC_PG_TYPES_SUPPORT_H
#define PRG_SPEC_PG_TYPES_SUPPORT_H

#include "check.h"
#include "base/mem.h"
#include "driver/postgres/pg_types.h"

static inline void dump(const struct prg_value *v, struct prg_buf *b);

static inline void dump_string(const char *tag, struct prg_text s,
                               struct prg_buf *b) {
  prg_buf_adds(b, tag);
  for (size_t i = 0; i < s.n; i++) {
    unsigned char c = (unsigned char)s.p[i];
    if (c < 32 || c == 127)
      prg_buf_addf(b, "\\%02x", c);
    else
      prg_buf_addc(b, (char)c);
  }
  prg_buf_addc(b, '\'');
}

static inline void dump_list(const struct prg_vlist *l, struct prg_buf *b) {
  for (int i = 0; l->lower != NULL && i < l->ndim; i++)
    prg_buf_addf(b, "@%d", l->lower[i]);
  prg_buf_addf(b, "[%d:", l->ndim);
  for (size_t i = 0; i < l->n; i++) {
    if (i > 0) prg_buf_addc(b, ' ');
    dump(&l->items[i], b);
  }
  prg_buf_addc(b, ']');
}

static inline void dump_map(const struct prg_vmap *m, struct prg_buf *b) {
  prg_buf_addc(b, '{');
  for (size_t i = 0; i < m->n; i++) {
    if (i > 0) prg_buf_addc(b, ' ');
    if (m->keys != NULL) dump_string("'", m->keys[i], b);
    if (m->keys != NULL) prg_buf_addc(b, '=');
    dump(&m->values[i], b);
  }
  prg_buf_addc(b, '}');
}

static inline void dump_range(const struct prg_vrange *r, struct prg_buf *b) {
  if (r->empty) {
    prg_buf_adds(b, "empty");
    return;
  }
  prg_buf_addc(b, r->lower_inc ? '<' : '(');
  dump(&r->lower, b);
  prg_buf_addc(b, ',');
  dump(&r->upper, b);
  prg_buf_addc(b, r->upper_inc ? '>' : ')');
}

static inline void dump(const struct prg_value *v, struct prg_buf *b) {
  switch (v->type) {
    case PRG_NULL:
      prg_buf_adds(b, "null");
      break;
    case PRG_BOOL:
      prg_buf_adds(b, v->u.b ? "true" : "false");
      break;
    case PRG_INT:
      prg_buf_addf(b, "%lld", (long long)v->u.i);
      break;
    case PRG_DOUBLE:
      prg_buf_addf(b, "d%.17g", v->u.d);
      break;
    case PRG_TEXT:
      dump_string("'", v->u.s, b);
      break;
    case PRG_BYTES:
      dump_string("x'", v->u.s, b);
      break;
    case PRG_DECIMAL:
      dump_string("n'", v->u.s, b);
      break;
    case PRG_JSON:
      dump_string("j'", v->u.s, b);
      break;
    case PRG_LIST:
      dump_list(v->u.list, b);
      break;
    case PRG_MULTIRANGE:
      prg_buf_addc(b, 'm');
      dump_list(v->u.list, b);
      break;
    case PRG_RECORD:
      dump_map(v->u.map, b);
      break;
    case PRG_HSTORE:
      prg_buf_addc(b, 'h');
      dump_map(v->u.map, b);
      break;
    case PRG_RANGE:
      dump_range(v->u.range, b);
      break;
  }
}

/* Decodes and dumps; an error is "kind: message". Free with prg_free. */
static inline char *decode_dump(struct pg_catalog *cat, uint32_t oid,
                                int format, const char *data, int len) {
  struct prg_arena arena;
  struct prg_buf b;
  struct prg_value v;
  struct prg_error *err = NULL;
  prg_arena_init(&arena);
  prg_buf_init(&b, 0);
  if (pg_decode(cat, pg_type_find(cat, oid), format, data, len, &arena, &v,
                &err) == PRG_OK)
    dump(&v, &b);
  else
    prg_buf_addf(&b, "%s: %s", prg_kind_name(err->kind),
                 prg_error_message(err));
  prg_error_unref(err);
  prg_arena_fini(&arena);
  return prg_buf_take(&b);
}

/* ---- types learnt without a server --------------------------------------- */

enum { COMP = 50001, MOOD, DOM, RANGE_T, HSTORE, COMP_ARRAY, DOM_ARRAY, GONE };

static inline int learn_offline(struct pg_catalog *cat,
                                struct prg_error **err) {
  static const char *const rows[][9] = {
      {"50001", "comp", "c", ",", "f", "0", NULL, "{id,\"a \\\"b\"}",
       "{23,25}"},
      {"50002", "mood", "e", ",", "f", "0", NULL, NULL, NULL},
      {"50003", "dom", "d", ",", "f", "23", NULL, NULL, NULL},
      {"50004", "textrange", "r", ",", "f", "25", NULL, NULL, NULL},
      {"50005", "hstore", "b", ",", "f", "0", "hstore", NULL, NULL},
      {"50006", "_comp", "b", ",", "t", "50001", NULL, NULL, NULL},
      {"50007", "_dom", "b", ",", "t", "50003", NULL, NULL, NULL},
      {"50008", NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL},
      {"23", "int4", "b", ",", "f", "0", NULL, NULL, NULL}};
  struct pg_texts t = {&rows[0][0], sizeof rows / sizeof rows[0], 9};
  return pg_catalog_learn(cat, t, err);
}

static inline void check(bool ok, const char *what, const char *got,
                         const char *want) {
  if (!CHECK(ok))
    fprintf(stderr, "  %s\n  got:  %s\n  want: %s\n", what, got, want);
}

static inline void check_same(const char *what, const char *got,
                              const char *want) {
  check(strcmp(got, want) == 0, what, got, want);
}

/* With those types. */
static inline struct pg_catalog *new_catalog(void) {
  struct prg_error *err = NULL;
  struct pg_catalog *cat = pg_catalog_new();
  check(learn_offline(cat, &err) == PRG_OK, "learn", "", "");
  return cat;
}

#endif
