#include "driver/postgres/pg_int.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "driver/postgres/pg_cells.h"

/* ---- heads and columns -------------------------------------------------- */

struct pg_head *pg_head_new(size_t ncols, size_t nparams, size_t extra,
                            char **names) {
  struct pg_head *h;
  size_t cols = ncols * sizeof h->cols[0];
  size_t params = nparams * sizeof h->params[0];
  h = prg_alloc(sizeof *h + cols + params + extra);
  if (h == NULL) return NULL;
  h->refs = 1;
  h->ncols = ncols;
  h->nparams = nparams;
  h->params = (uint32_t *)(void *)((char *)(h + 1) + cols);
  *names = (char *)(h->params + nparams);
  return h;
}

struct pg_head *pg_head_ref(struct pg_head *h) {
  if (h != NULL) h->refs++;
  return h;
}

void pg_head_unref(struct pg_head *h) {
  if (h != NULL && --h->refs == 0) prg_free(h);
}

size_t pg_cols_count(struct pg_cols s) {
  if (s.res != NULL) return (size_t)PQnfields(s.res);
  if (s.head != NULL) return s.head->ncols;
  return s.desc != NULL ? s.desc->ncols : 0;
}

const char *pg_cols_name(struct pg_cols s, size_t i) {
  const char *name = NULL;
  if (s.res != NULL)
    name = PQfname(s.res, (int)i);
  else
    name = s.head != NULL ? s.head->cols[i].name : s.desc->cols[i].name.p;
  return name == NULL ? "" : name;
}

uint32_t pg_cols_type(struct pg_cols s, size_t i) {
  if (s.res != NULL) return PQftype(s.res, (int)i);
  return s.head != NULL ? s.head->cols[i].type : s.desc->cols[i].oid;
}

int pg_cols_format(struct pg_cols s, size_t i) {
  if (s.res != NULL) return PQfformat(s.res, (int)i);
  return s.head != NULL ? s.head->cols[i].format : PG_TEXT_FORMAT;
}

/* ---- plans -------------------------------------------------------------- */

static struct prg_desc *make_desc(const struct pg_catalog *cat,
                                  struct pg_cols s) {
  size_t n = pg_cols_count(s), extra = 0;
  char *names;
  for (size_t i = 0; i < n; i++) extra += strlen(pg_cols_name(s, i)) + 1;
  struct prg_desc *d = prg_desc_new(n, extra, &names);
  if (d == NULL) return NULL;
  for (size_t i = 0; i < n; i++) {
    struct prg_column *col = &d->cols[i];
    size_t len = strlen(pg_cols_name(s, i));
    memcpy(names, pg_cols_name(s, i), len + 1);
    col->name.p = names;
    col->name.n = len;
    col->oid = pg_cols_type(s, i);
    col->type = pg_type_name(pg_type_find(cat, col->oid));
    names += len + 1;
  }
  return d;
}

static bool all_binary(const struct pg_catalog *cat, struct pg_cols s) {
  size_t n = pg_cols_count(s);
  for (size_t i = 0; i < n; i++)
    if (!pg_type_binary(cat, pg_type_find(cat, pg_cols_type(s, i))))
      return false;
  return true;
}

/* Formats are not chosen yet. NULL without memory. */
static struct pg_plan *plan_make(struct pg_shared *shared, struct pg_cols s) {
  size_t n = pg_cols_count(s);
  struct pg_plan *p = prg_alloc(sizeof *p + n * sizeof p->cols[0] + n);
  if (p == NULL) return NULL;
  p->desc = make_desc(shared->catalog, s);
  if (p->desc == NULL) {
    prg_free(p);
    return NULL;
  }
  p->refs = 1;
  p->cells = pg_cells_known();
  p->generation = pg_catalog_generation(shared->catalog);
  p->shared = pg_shared_ref(shared);
  p->formats = (unsigned char *)(p->cols + n);
  for (size_t i = 0; i < n; i++)
    p->cols[i].type = pg_type_find(shared->catalog, p->desc->cols[i].oid);
  return p;
}

static void set_format(struct pg_plan *p, size_t i, int format) {
  p->cols[i].format = p->formats[i] = (unsigned char)format;
  p->cols[i].fast = pg_type_fast(p->cols[i].type, format);
}

/* One format for all when they are all alike, so that it is sent once. */
static struct pg_plan *plan_ready(struct pg_plan *p) {
  size_t n = p->desc->ncols, same = 0;
  while (same < n && p->formats[same] == p->formats[0]) same++;
  p->format = same < n ? PG_EACH_FORMAT : p->formats[0];
  return p;
}

struct pg_plan *pg_plan_new(struct pg_shared *shared, struct pg_cols s,
                            int format) {
  const struct pg_catalog *cat = shared->catalog;
  struct pg_plan *p = plan_make(shared, s);
  if (p == NULL) return NULL;
  if (format == PG_ANY_FORMAT)
    format = all_binary(cat, s) ? PG_BINARY_FORMAT : PG_TEXT_FORMAT;
  for (size_t i = 0; i < p->desc->ncols; i++)
    set_format(p, i,
               format == PG_EACH_FORMAT ? pg_type_binary(cat, p->cols[i].type)
                                        : format);
  return plan_ready(p);
}

struct pg_plan *pg_plan_told(struct pg_shared *shared, struct pg_cols s) {
  struct pg_plan *p = plan_make(shared, s);
  if (p == NULL) return NULL;
  for (size_t i = 0; i < p->desc->ncols; i++)
    set_format(p, i, pg_cols_format(s, i) != 0);
  return plan_ready(p);
}

struct pg_plan *pg_plan_texts(struct pg_shared *shared, struct pg_cols s) {
  struct pg_plan *p = pg_plan_new(shared, s, PG_TEXT_FORMAT);
  for (size_t i = 0; p != NULL && i < p->desc->ncols; i++)
    p->cols[i].fast = PG_FAST_TEXT;
  return p;
}

struct pg_plan *pg_plan_renew(const struct pg_plan *old, int format) {
  return pg_plan_new(old->shared, (struct pg_cols){.desc = old->desc}, format);
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

bool pg_plan_fits(const struct pg_plan *p, const struct pg_answer *a) {
  if (a->untold) return true;
  size_t n = pg_cols_count(a->cols);
  if (p == NULL) return n == 0;
  if (n != p->desc->ncols) return false;
  for (size_t i = 0; i < n; i++)
    if (pg_cols_type(a->cols, i) != p->desc->cols[i].oid ||
        pg_cols_format(a->cols, i) != p->cols[i].format)
      return false;
  return true;
}

bool pg_plan_decodes(const struct pg_plan *p) {
  if (p == NULL) return true;
  for (size_t i = 0; i < p->desc->ncols; i++)
    if (p->cols[i].format != PG_TEXT_FORMAT &&
        !pg_type_binary(p->shared->catalog, p->cols[i].type))
      return false;
  return true;
}

/* ---- results ------------------------------------------------------------ */

static struct pg_result *result_of(struct prg_result *r) {
  return (struct pg_result *)(void *)r;
}

static void result_free(struct prg_result *base) {
  struct pg_result *r = result_of(base);
  for (size_t i = 0; i < r->nparts; i++) {
    PQclear(r->parts[i].res);
    prg_wire_block_unref(r->parts[i].block);
  }
  if (r->parts != &r->only) prg_free(r->parts);
  if (r->arena.blocks != NULL) prg_arena_fini(&r->arena);
  if (r->values != r->few) prg_free(r->values);
  pg_plan_unref(r->plan);
  pg_head_unref(r->head);
  prg_free(r);
}

static int decode_slow(struct pg_result *r, size_t col, struct pg_cell cell) {
  struct pg_plan *p = r->plan;
  struct prg_error *e = NULL;
  if (pg_decode(p->shared->catalog, p->cols[col].type, p->cols[col].format,
                cell.value, cell.len, &r->arena, &r->values[col], &e) == PRG_OK)
    return PRG_OK;
  prg_error_unref(r->base.error);
  r->base.error = e;
  return PRG_ERR;
}

/* Sets r->part to the part that row `i` is in. Rows are usually read in their
** order. */
static struct pg_part *part_of(struct pg_result *r, size_t i) {
  if (i < r->from) r->part = r->from = 0;
  while (i - r->from >= r->parts[r->part].n) r->from += r->parts[r->part++].n;
  return &r->parts[r->part];
}

static int decode_res(struct pg_result *r, const PGresult *res, int row) {
  const struct pg_plan_col *cols = r->plan->cols;
  const struct pg_cell *cells = NULL;
  size_t n = r->base.desc->ncols;
  if (r->plan->cells) cells = pg_cells_of(res, row, (int)n);
  for (size_t c = 0; c < n; c++) {
    struct pg_cell cell =
        cells != NULL ? cells[c] : pg_cell_at(res, row, (int)c);
    if (!pg_decode_fast(cols[c].fast, cell.value, cell.len, &r->values[c]) &&
        decode_slow(r, c, cell) != PRG_OK)
      return PRG_ERR;
  }
  return PRG_OK;
}

/* The cells were looked at when the row came (prg_wire_rows). */
static int decode_block(struct pg_result *r, const char *row) {
  const struct pg_plan_col *col = r->plan->cols;
  const struct pg_plan_col *end = col + r->base.desc->ncols;
  const char *at = row + PRG_WIRE_ROW_HEAD;
  if (prg_wire_get16(at - 2) != (unsigned)(end - col)) return PRG_ERR;
  for (struct prg_value *v = r->values; col < end; col++, v++) {
    int len = (int)prg_wire_get32(at);
    at += 4;
    if (len < 0) {
      v->type = PRG_NULL;
      continue;
    }
    if (!pg_decode_fast(col->fast, at, len, v) &&
        decode_slow(r, (size_t)(col - r->plan->cols),
                    (struct pg_cell){len, at}) != PRG_OK)
      return PRG_ERR;
    at += len;
  }
  return PRG_OK;
}

/* Row `i` of a part that lies in a block. */
static const char *find_row(struct pg_result *r, const struct pg_part *p,
                            size_t i) {
  const char *at = r->at;
  size_t from = r->next;
  if (at == NULL || from > i || from <= r->from) {
    at = p->first;
    from = r->from;
  }
  for (; from < i; from++) at = prg_wire_row_next(at);
  return at;
}

/* Rows are usually read one after the other, and most lie in the same block. */
static const struct prg_value *result_row(struct prg_result *base, size_t i) {
  struct pg_result *r = result_of(base);
  const char *row = r->at;
  int rc;
  if (r->arena.used > 0) prg_arena_reset(&r->arena);
  if (i != r->next || i >= r->past) {
    const struct pg_part *p = part_of(r, i);
    if (p->block == NULL) {
      rc = decode_res(r, p->res, (int)(i - r->from));
      return rc == PRG_OK ? r->values : NULL;
    }
    row = find_row(r, p, i);
    r->past = r->from + p->n;
  }
  r->at = prg_wire_row_next(row);
  r->next = i + 1;
  return decode_block(r, row) == PRG_OK ? r->values : NULL;
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
  struct pg_part *old = r->parts == &r->only ? NULL : r->parts;
  struct pg_part *p = prg_realloc(old, cap * sizeof *p);
  if (p == NULL) return PRG_ERR;
  if (old == NULL) p[0] = r->only;
  r->parts = p;
  r->cap = cap;
  return PRG_OK;
}

/* Rows that lie behind those of the last part belong to it. */
static bool joins(const struct pg_result *r, const struct prg_wire_rows *rows) {
  return r->nparts > 0 && r->end == rows->first &&
         r->parts[r->nparts - 1].block == rows->block;
}

int pg_result_add(struct pg_result *r, struct pg_answer *a) {
  if (r->head == NULL && a->cols.head != NULL)
    r->head = pg_head_ref((struct pg_head *)(uintptr_t)a->cols.head);
  if (a->res == NULL && a->nrows == 0) return PRG_OK;
  r->base.nrows += a->nrows;
  if (a->res == NULL && joins(r, &a->rows)) {
    r->parts[r->nparts - 1].n += a->nrows;
  } else {
    if (r->nparts == r->cap && more_parts(r) != PRG_OK) return PRG_ERR;
    struct pg_part *p = &r->parts[r->nparts++];
    *p = (struct pg_part){.res = a->res, .n = a->nrows};
    if (a->res == NULL) {
      p->block = prg_wire_block_ref(a->rows.block);
      p->first = a->rows.first;
    }
  }
  r->base.bytes += a->res == NULL ? a->rows.bytes : PQresultMemorySize(a->res);
  if (a->res == NULL) r->end = a->rows.first + a->rows.bytes;
  a->res = NULL;
  return PRG_OK;
}

struct pg_cols pg_result_cols(const struct pg_result *r) {
  struct pg_cols cols = {.head = r->head};
  if (r->nparts > 0) cols.res = r->parts[0].res;
  return cols;
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

int64_t pg_tag_count(const char *status) {
  size_t n = strlen(status), digits = 0;
  while (digits < n && isdigit((unsigned char)status[n - 1 - digits])) digits++;
  return digits == 0 ? -1 : strtoll(status + n - digits, NULL, 10);
}

void pg_result_tag(struct prg_result *r, const struct pg_answer *a) {
  if (strncmp(a->tag, "SELECT ", 7) == 0) { /* nearly always */
    memcpy(r->tag, "SELECT", 7);
    uint64_t n = 0;
    for (const char *p = a->tag + 7; isdigit((unsigned char)*p); p++)
      n = n * 10 + (uint64_t)(*p - '0');
    r->affected = (int64_t)n;
    return;
  }
  pg_tag_copy(r->tag, sizeof r->tag, a->tag);
  r->affected = pg_tag_count(a->tag);
}
