#include "driver/postgres/pg_int.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "driver/postgres/pg_cells.h"

/* ---- plans -------------------------------------------------------------- */

/* Where the names and types of columns come from: one of the two. */
struct source {
  const PGresult *res;
  const struct prg_desc *desc;
};

static size_t source_count(struct source s) {
  return s.res != NULL ? (size_t)PQnfields(s.res) : s.desc->ncols;
}

static const char *source_name(struct source s, size_t i) {
  const char *name =
      s.res != NULL ? PQfname(s.res, (int)i) : s.desc->cols[i].name.p;
  return name == NULL ? "" : name;
}

static Oid source_oid(struct source s, size_t i) {
  return s.res != NULL ? PQftype(s.res, (int)i) : s.desc->cols[i].oid;
}

static struct prg_desc *make_desc(const struct pg_catalog *cat,
                                  struct source s) {
  size_t n = source_count(s), extra = 0;
  char *names;
  for (size_t i = 0; i < n; i++) extra += strlen(source_name(s, i)) + 1;
  struct prg_desc *d = prg_desc_new(n, extra, &names);
  if (d == NULL) return NULL;
  for (size_t i = 0; i < n; i++) {
    struct prg_column *col = &d->cols[i];
    size_t len = strlen(source_name(s, i));
    memcpy(names, source_name(s, i), len + 1);
    col->name.p = names;
    col->name.n = len;
    col->oid = source_oid(s, i);
    col->type = pg_type_name(pg_type_find(cat, col->oid));
    names += len + 1;
  }
  return d;
}

static bool all_binary(const struct pg_catalog *cat, struct source s) {
  size_t n = source_count(s);
  for (size_t i = 0; i < n; i++)
    if (!pg_type_binary(cat, pg_type_find(cat, source_oid(s, i)))) return false;
  return true;
}

static struct pg_plan *plan_make(struct pg_shared *shared, struct source s,
                                 int format) {
  const struct pg_catalog *cat = shared->catalog;
  size_t n = source_count(s);
  struct pg_plan *p = prg_alloc(sizeof *p + n * sizeof p->cols[0]);
  if (p == NULL) return NULL;
  p->desc = make_desc(cat, s);
  if (p->desc == NULL) {
    prg_free(p);
    return NULL;
  }
  if (format == PG_ANY_FORMAT)
    format = all_binary(cat, s) ? PG_BINARY_FORMAT : PG_TEXT_FORMAT;
  p->refs = 1;
  p->format = format;
  p->cells = pg_cells_known();
  p->generation = pg_catalog_generation(cat);
  p->shared = pg_shared_ref(shared);
  for (size_t i = 0; i < n; i++) {
    p->cols[i].type = pg_type_find(cat, p->desc->cols[i].oid);
    p->cols[i].fast = pg_type_fast(p->cols[i].type, format);
  }
  return p;
}

struct pg_plan *pg_plan_new(struct pg_shared *s, const PGresult *res,
                            int format) {
  return plan_make(s, (struct source){.res = res}, format);
}

struct pg_plan *pg_plan_renew(const struct pg_plan *old, int format) {
  return plan_make(old->shared, (struct source){.desc = old->desc}, format);
}

bool pg_plan_refresh(struct pg_plan *p) {
  const struct pg_catalog *cat = p->shared->catalog;
  unsigned now = pg_catalog_generation(cat);
  if (p->generation == now) return true;
  for (size_t i = 0; i < p->desc->ncols; i++)
    if (pg_type_find(cat, p->desc->cols[i].oid) != p->cols[i].type)
      return false;
  p->generation = now;
  return true;
}

struct pg_plan *pg_plan_ref(struct pg_plan *p) {
  if (p != NULL) p->refs++;
  return p;
}

void pg_plan_unref(struct pg_plan *p) {
  if (p == NULL || --p->refs > 0) return;
  prg_desc_unref(p->desc);
  pg_shared_unref(p->shared);
  prg_free(p);
}

bool pg_plan_fits(const struct pg_plan *p, const PGresult *res) {
  size_t n = (size_t)PQnfields(res);
  if (p == NULL) return n == 0;
  if (n != p->desc->ncols) return false;
  for (size_t i = 0; i < n; i++)
    if (PQftype(res, (int)i) != p->desc->cols[i].oid) return false;
  return n == 0 || PQfformat(res, 0) == p->format;
}

bool pg_plan_decodes(const struct pg_plan *p) {
  if (p == NULL || p->format == PG_TEXT_FORMAT) return true;
  return all_binary(p->shared->catalog, (struct source){.desc = p->desc});
}

/* ---- results ------------------------------------------------------------ */

static struct pg_result *result_of(struct prg_result *r) {
  return (struct pg_result *)(void *)r;
}

static void result_free(struct prg_result *base) {
  struct pg_result *r = result_of(base);
  for (size_t i = 0; i < r->nparts; i++) PQclear(r->parts[i]);
  if (r->parts != &r->only) prg_free((void *)r->parts);
  if (r->arena.blocks != NULL) prg_arena_fini(&r->arena);
  if (r->values != r->few) prg_free(r->values);
  pg_plan_unref(r->plan);
  prg_free(r);
}

static int decode_slow(struct pg_result *r, size_t col, struct pg_cell cell) {
  struct pg_plan *p = r->plan;
  struct prg_error *e = NULL;
  if (pg_decode(p->shared->catalog, p->cols[col].type, p->format, cell.value,
                cell.len, &r->arena, &r->values[col], &e) == PRG_OK)
    return PRG_OK;
  prg_error_unref(r->base.error);
  r->base.error = e;
  return PRG_ERR;
}

static const struct prg_value *result_row(struct prg_result *base, size_t i) {
  struct pg_result *r = result_of(base);
  const struct pg_plan_col *cols = r->plan->cols;
  const PGresult *res = r->parts[r->per_row ? i : 0];
  const struct pg_cell *cells = NULL;
  struct prg_value *values = r->values;
  size_t n = base->desc->ncols;
  int row = r->per_row ? 0 : (int)i;
  if (r->plan->cells) cells = pg_cells_of(res, row, (int)n);
  if (r->arena.used > 0) prg_arena_reset(&r->arena);
  for (size_t c = 0; c < n; c++) {
    struct pg_cell cell =
        cells != NULL ? cells[c] : pg_cell_at(res, row, (int)c);
    if (!pg_decode_fast(cols[c].fast, cell.value, cell.len, &values[c]) &&
        decode_slow(r, c, cell) != PRG_OK)
      return NULL;
  }
  return values;
}

static const struct prg_result_ops ops = {
    .row = result_row,
    .free = result_free,
};

struct pg_result *pg_result_new(void) {
  struct pg_result *r = prg_alloc(sizeof *r);
  if (r == NULL) return NULL;
  memset(r, 0, offsetof(struct pg_result, few));
  r->base.ops = &ops;
  r->base.affected = -1;
  r->base.bytes = sizeof *r;
  r->parts = &r->only;
  r->cap = 1;
  prg_arena_init(&r->arena);
  return r;
}

static int more_parts(struct pg_result *r) {
  size_t cap = r->cap == 1 ? 16 : r->cap * 2;
  PGresult **old = r->parts == &r->only ? NULL : r->parts;
  PGresult **p = prg_realloc((void *)old, cap * sizeof(PGresult *));
  if (p == NULL) return PRG_ERR;
  if (old == NULL) p[0] = r->only;
  r->parts = p;
  r->cap = cap;
  return PRG_OK;
}

int pg_result_add(struct pg_result *r, PGresult *res) {
  if (r->nparts == r->cap && more_parts(r) != PRG_OK) {
    PQclear(res);
    return PRG_ERR;
  }
  r->parts[r->nparts++] = res;
  r->base.nrows += (size_t)PQntuples(res);
  r->base.bytes += PQresultMemorySize(res);
  return PRG_OK;
}

int pg_result_plan(struct pg_result *r, struct pg_plan *plan) {
  if (plan == NULL) return PRG_OK;
  r->values = r->few;
  if (plan->desc->ncols > PG_FEW)
    r->values = prg_alloc(plan->desc->ncols * sizeof *r->values);
  if (r->values == NULL) return PRG_ERR;
  r->plan = pg_plan_ref(plan);
  r->base.desc = prg_desc_ref(plan->desc);
  return PRG_OK;
}

void pg_tag_copy(char *out, size_t size, const char *status) {
  size_t n = strlen(status);
  while (n > 0 &&
         (isdigit((unsigned char)status[n - 1]) || status[n - 1] == ' '))
    n--;
  if (n >= size) n = size - 1;
  memcpy(out, status, n);
  out[n] = '\0';
}

void pg_result_tag(struct prg_result *r, PGresult *res) {
  const char *status = PQcmdStatus(res), *count;
  if (PQntuples(res) > 0 && strncmp(status, "SELECT ", 7) == 0) {
    memcpy(r->tag, "SELECT", 7); /* nearly always */
    r->affected = PQntuples(res);
    return;
  }
  count = PQcmdTuples(res);
  pg_tag_copy(r->tag, sizeof r->tag, status);
  r->affected = count[0] == '\0' ? -1 : strtoll(count, NULL, 10);
}
