/* Statements that read. */
#include <string.h>

#include "sql/build_int.h"

/* ---- what is selected --------------------------------------------------- */

static const char *const aggregate_text[] = {"count(", "sum(", "min(", "max(",
                                             "avg("};

static void emit_expression(struct prg_emit *e, const struct prg_item *item) {
  if (item->aggregated) prg_emit_text(e, aggregate_text[item->fn]);
  if (item->raw != NULL)
    prg_emit_raw(e, item->raw);
  else if (item->col != NULL)
    prg__emit_col(e, item->col);
  else
    prg_emit_text(e, "*");
  if (item->aggregated) prg_emit_text(e, ")");
}

static void emit_item(struct prg_emit *e, const struct prg_item *item) {
  emit_expression(e, item);
  if (item->alias.p == NULL) return;
  prg_emit_text(e, " AS ");
  prg_emit_ident(e, item->alias.p, item->alias.n);
}

static void emit_items(struct prg_emit *e, const struct prg_select *s) {
  if (s->nitems == 0) prg_emit_text(e, "*");
  for (size_t i = 0; i < s->nitems; i++) {
    if (i > 0) prg_emit_text(e, ", ");
    emit_item(e, &s->items[i]);
  }
}

/* ---- order -------------------------------------------------------------- */

/* In ORDER BY a bare name is first that of something selected: a column needs
** its table before it where an alias has its name. */
static bool is_hidden(const struct prg_select *s, const struct prg_col *col) {
  for (size_t i = 0; i < s->nitems; i++) {
    const struct prg_item *item = &s->items[i];
    if (item->alias.p != NULL && item->alias.n == col->name.n &&
        memcmp(item->alias.p, col->name.p, col->name.n) == 0)
      return true;
  }
  return false;
}

static void emit_order_by(struct prg_emit *e, const struct prg_select *s,
                          const struct prg_order *o) {
  if (o->raw != NULL) {
    prg_emit_raw(e, o->raw);
  } else if (o->alias != NULL) {
    prg_emit_ident(e, o->alias->p, o->alias->n);
  } else {
    if (is_hidden(s, o->col)) e->qualifier = &s->table->alone;
    prg__emit_col(e, o->col);
    e->qualifier = NULL;
  }
}

/* The same where it is part of an expression, in which an alias of an aggregate has no
** place (MariaDB). */
static void emit_order_term(struct prg_emit *e, const struct prg_select *s,
                            const struct prg_order *o) {
  for (size_t i = 0; o->alias != NULL && i < s->nitems; i++) {
    const struct prg_text *alias = &s->items[i].alias;
    if (alias->p == NULL || alias->n != o->alias->n ||
        memcmp(alias->p, o->alias->p, alias->n) != 0)
      continue;
    emit_expression(e, &s->items[i]);
    return;
  }
  emit_order_by(e, s, o);
}

/* NULLS FIRST and LAST only where the database would do otherwise, so that an
** index in its own order serves. */
static void emit_order(struct prg_emit *e, const struct prg_select *s,
                       const struct prg_order *o) {
  unsigned build = e->d->build;
  bool nullable = o->col == NULL || !o->col->not_null;
  bool first =
      o->nulls == PRG_NULLS_LARGE ? o->desc : o->nulls == PRG_NULLS_FIRST;
  bool by_itself = ((build & PRG_BUILD_NULLS_LARGE) != 0) == o->desc;
  bool say = nullable && first != by_itself;
  if (say && (build & PRG_BUILD_NULLS) == 0) {
    emit_order_term(e, s, o);
    prg_emit_text(e, first ? " IS NULL DESC, " : " IS NULL, ");
    say = false;
  }
  emit_order_by(e, s, o);
  if (o->desc) prg_emit_text(e, " DESC");
  if (say) prg_emit_text(e, first ? " NULLS FIRST" : " NULLS LAST");
}

/* ---- the rest ----------------------------------------------------------- */

static void emit_group_by(struct prg_emit *e, const struct prg_select *s) {
  if (s->ngroup == 0) return;
  prg_emit_text(e, " GROUP BY ");
  prg__emit_names(e, s->group, s->ngroup);
}

static void emit_orders(struct prg_emit *e, const struct prg_select *s) {
  for (size_t i = 0; i < s->norder; i++) {
    prg_emit_text(e, i == 0 ? " ORDER BY " : ", ");
    emit_order(e, s, &s->order[i]);
  }
}

static void emit_limit(struct prg_emit *e, const struct prg_select *s) {
  if (s->limit != NULL) {
    prg_emit_text(e, " LIMIT ");
    prg_emit_param(e, s->limit);
  } else if (s->offset != NULL && (e->d->build & PRG_BUILD_LIMIT_ALL) != 0) {
    prg_emit_text(e, " LIMIT ");
    prg_emit_text(e, e->d->limit_all);
  }
  if (s->offset != NULL) {
    prg_emit_text(e, " OFFSET ");
    prg_emit_param(e, s->offset);
  }
}

static const struct {
  bool share;
  const char *rest, *title;
} locks[] = {{false, "", ""},
             {false, "", " FOR UPDATE"},
             {false, " NOWAIT", " FOR UPDATE NOWAIT"},
             {false, " SKIP LOCKED", " FOR UPDATE SKIP LOCKED"},
             {true, "", " FOR SHARE"},
             {true, " NOWAIT", " FOR SHARE NOWAIT"},
             {true, " SKIP LOCKED", " FOR SHARE SKIP LOCKED"}};

static void emit_lock(struct prg_emit *e, enum prg_lock lock) {
  if (lock == PRG_LOCK_NONE) return;
  if ((e->d->build & PRG_BUILD_LOCK) == 0) {
    prg__emit_fail(
        e, prg_error_new(PRG_K_UNSUPPORTED, "%s has no locks on rows:%s",
                         e->d->name, locks[lock].title));
    return;
  }
  prg_emit_text(e, locks[lock].share ? e->d->share : " FOR UPDATE");
  prg_emit_text(e, locks[lock].rest);
}

void prg_emit_select(struct prg_emit *e, const struct prg_select *s) {
  prg_emit_text(e, "SELECT ");
  emit_items(e, s);
  prg_emit_text(e, " FROM ");
  prg_emit_name(e, &s->table->quoted);
  prg__emit_where(e, s->where);
  emit_group_by(e, s);
  emit_orders(e, s);
  emit_limit(e, s);
  emit_lock(e, s->lock);
}

void prg_emit_count(struct prg_emit *e, const struct prg_table *t,
                    const struct prg_cond *where) {
  prg_emit_text(e, "SELECT count(*) FROM ");
  prg_emit_name(e, &t->quoted);
  prg__emit_where(e, where);
}

void prg_emit_exists(struct prg_emit *e, const struct prg_table *t,
                     const struct prg_cond *where) {
  prg_emit_text(e, "SELECT EXISTS (SELECT 1 FROM ");
  prg_emit_name(e, &t->quoted);
  prg__emit_where(e, where);
  prg_emit_text(e, ")");
}
