/*
** The scanner of placeholders on any bytes, as SQL of each dialect. What it says
** must hold together: every parameter belongs to a value, every place lies in the
** text.
*/
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "sql/cond.h"
#include "sql/scan.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void need(bool ok) {
  if (!ok) abort();
}

static void check(const struct prg_scan *s) {
  size_t end = 0;
  need(s->sql[s->len] == '\0' && memchr(s->sql, '\0', s->len) == NULL);
  need(strlen(s->keyword) < sizeof s->keyword);
  for (int i = 0; i < s->nparams; i++)
    need(s->order[i] >= 0 && s->order[i] < s->nvalues);
  need((s->names != NULL) == (s->style == PRG_STYLE_NAMED));
  for (int i = 0; s->names != NULL && i < s->nvalues; i++)
    need(s->names[i][0] != '\0');
  for (int i = 0; i < s->nplaces; i++) {
    const struct prg_place *p = &s->places[i];
    need(p->at >= end && p->len > 0 && p->at + p->len <= s->len);
    need(p->value < (size_t)s->nvalues);
    end = p->at + p->len;
  }
}

/* As a fragment (perigee.sql) it is cut at its parameters. */
static void cut(const struct prg_scan *s) {
  struct prg_value *values = prg_calloc((size_t)s->nvalues + 1, sizeof *values);
  struct prg_arena a;
  struct prg_raw *raw;
  size_t n = 0;
  prg_arena_init(&a);
  raw = prg_raw_new(&a, s, values);
  need(values != NULL && raw != NULL && raw->n == (size_t)s->nplaces);
  for (size_t i = 0; i <= raw->n; i++) n += raw->text[i].n;
  need(n <= s->len);
  prg_arena_fini(&a);
  prg_free(values);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  static const struct prg_dialect *const dialects[] = {
      &prg_dialect_postgres, &prg_dialect_sqlite, &prg_dialect_mysql};
  for (int i = 0; i < 3; i++) {
    struct prg_scan s;
    struct prg_error *err = NULL;
    if (prg_scan(dialects[i], (const char *)data, size, &s, &err) == PRG_OK) {
      check(&s);
      cut(&s);
      prg_scan_fini(&s);
    } else {
      need(err != NULL &&
           (err->kind == PRG_K_USAGE || err->kind == PRG_K_SYNTAX));
      prg_error_unref(err);
    }
  }
  return 0;
}
