#include "sql/cond.h"

#include <string.h>

struct prg_cond *prg_cond_new(struct prg_arena *a, enum prg_cond_kind kind) {
  struct prg_cond *c = prg_arena_alloc(a, sizeof *c);
  if (c == NULL) return NULL;
  memset(c, 0, sizeof *c);
  c->kind = kind;
  return c;
}

void prg_cond_add(struct prg_cond *group, struct prg_cond *part) {
  struct prg_cond **at =
      group->last != NULL ? &group->last->next : &group->u.parts;
  while (*at != NULL) at = &(*at)->next;
  *at = part;
  group->last = part;
}

bool prg_cond_is_all(const struct prg_cond *c) {
  if (c == NULL) return true;
  if (c->kind != PRG_COND_AND) return false;
  for (const struct prg_cond *p = c->u.parts; p != NULL; p = p->next)
    if (!prg_cond_is_all(p)) return false;
  return true;
}

/* ---- order -------------------------------------------------------------- */

static int compare_ints(long a, long b) {
  return (a > b) - (a < b);
}

static int compare_texts(const struct prg_text *a, const struct prg_text *b) {
  size_t n = a->n < b->n ? a->n : b->n;
  int order = n > 0 ? memcmp(a->p, b->p, n) : 0;
  return order != 0 ? order : (a->n > b->n) - (a->n < b->n);
}

/* Any order of values does, if it is always the same. */
static int compare_values(const struct prg_value *a,
                          const struct prg_value *b) {
  if (a->type != b->type) return compare_ints((long)a->type, (long)b->type);
  switch (a->type) {
    case PRG_BOOL:
      return compare_ints(a->u.b, b->u.b);
    case PRG_INT:
      return (a->u.i > b->u.i) - (a->u.i < b->u.i);
    case PRG_DOUBLE:
      return (a->u.d > b->u.d) - (a->u.d < b->u.d);
    case PRG_TEXT:
    case PRG_BYTES:
    case PRG_DECIMAL:
    case PRG_JSON:
      return compare_texts(&a->u.s, &b->u.s);
    default:
      return 0;
  }
}

static int compare_operands(const struct prg_operand *a,
                            const struct prg_operand *b) {
  if (a->raw != NULL || b->raw != NULL)
    return compare_ints(a->raw != NULL, b->raw != NULL);
  return compare_values(&a->value, &b->value);
}

static int compare_lists(const struct prg_vlist *a, const struct prg_vlist *b) {
  if (a->n != b->n) return (a->n > b->n) - (a->n < b->n);
  for (size_t i = 0; i < a->n; i++) {
    int order = compare_values(&a->items[i], &b->items[i]);
    if (order != 0) return order;
  }
  return 0;
}

static bool is_keyed(const struct prg_cond *c) {
  return c->kind == PRG_COND_CMP || c->kind == PRG_COND_IN ||
         c->kind == PRG_COND_NULL || c->kind == PRG_COND_BETWEEN ||
         c->kind == PRG_COND_MATCH;
}

/* Of the same kind on the same column. */
static int compare_same(const struct prg_cond *a, const struct prg_cond *b) {
  int order = 0;
  switch (a->kind) {
    case PRG_COND_CMP:
      order = compare_ints((long)a->u.cmp.op, (long)b->u.cmp.op);
      return order != 0 ? order : compare_operands(&a->u.cmp.to, &b->u.cmp.to);
    case PRG_COND_IN:
      order = compare_ints(a->u.in.negated, b->u.in.negated);
      return order != 0 ? order : compare_lists(a->u.in.list, b->u.in.list);
    case PRG_COND_NULL:
      return compare_ints(a->u.is_not_null, b->u.is_not_null);
    case PRG_COND_BETWEEN:
      order = compare_operands(&a->u.between.low, &b->u.between.low);
      return order != 0
                 ? order
                 : compare_operands(&a->u.between.high, &b->u.between.high);
    case PRG_COND_MATCH:
      order = compare_ints((long)a->u.match.how, (long)b->u.match.how);
      return order != 0 ? order
                        : compare_values(&a->u.match.value, &b->u.match.value);
    default:
      return 0;
  }
}

static int compare(const struct prg_cond *a, const struct prg_cond *b) {
  bool ka = is_keyed(a), kb = is_keyed(b);
  int order = compare_ints(kb, ka);
  if (order != 0 || !ka) return order;
  order = compare_ints(a->col->index, b->col->index);
  if (order == 0) order = compare_ints((long)a->kind, (long)b->kind);
  return order != 0 ? order : compare_same(a, b);
}

/* Both are sorted; what is equal stays in its order. */
static struct prg_cond *merge(struct prg_cond *a, struct prg_cond *b) {
  struct prg_cond *first = NULL, **at = &first;
  while (a != NULL && b != NULL) {
    struct prg_cond **from = compare(a, b) <= 0 ? &a : &b;
    *at = *from;
    at = &(*from)->next;
    *from = *at;
  }
  *at = a != NULL ? a : b;
  return first;
}

static struct prg_cond *sort(struct prg_cond *list) {
  struct prg_cond *slow = list, *fast, *half;
  if (list == NULL || list->next == NULL) return list;
  for (fast = list->next; fast != NULL && fast->next != NULL;
       fast = fast->next->next)
    slow = slow->next;
  half = slow->next;
  slow->next = NULL;
  return merge(sort(list), sort(half));
}

void prg_cond_sort(struct prg_cond *group) {
  group->u.parts = sort(group->u.parts);
  group->last = NULL;
}

/* ---- the user's SQL ----------------------------------------------------- */

struct prg_raw *prg_raw_new(struct prg_arena *a, const struct prg_scan *scan,
                            const struct prg_value *values) {
  size_t n = (size_t)scan->nplaces, from = 0;
  struct prg_raw *raw = prg_arena_alloc(a, sizeof *raw);
  struct prg_text *text = prg_arena_alloc(a, (n + 1) * sizeof *text);
  struct prg_value *copy = prg_arena_alloc(a, n * sizeof *copy);
  const char *sql = prg_arena_dup(a, scan->sql, scan->len);
  if (raw == NULL || text == NULL || copy == NULL || sql == NULL) return NULL;
  for (size_t i = 0; i < n; i++) {
    const struct prg_place *place = &scan->places[i];
    text[i] = (struct prg_text){sql + from, place->at - from};
    copy[i] = values[place->value];
    from = place->at + place->len;
  }
  text[n] = (struct prg_text){sql + from, scan->len - from};
  *raw = (struct prg_raw){.n = n, .text = text, .values = copy};
  return raw;
}
