/* The emitter: one piece at a time, as key or as SQL. */
#include <string.h>

#include "sql/build_int.h"

#include "sql/quote.h"

/* What a piece of a key begins with. The size of a piece follows from its mark,
** or its length stands behind it: so two different texts never have one key. */
enum mark {
  MARK_TEXT = 1, /* address */
  MARK_NAME,     /* address */
  MARK_NUMBER,   /* number */
  MARK_IDENT,    /* length, bytes */
  MARK_RAW,      /* length, bytes */
  MARK_PARAM,    /* nothing */
  MARK_TYPED     /* nothing */
};

/* Enough for most statements, so that a buffer grows rarely. */
enum { FIRST = 500, FIRST_PARAMS = 8 };

void prg_emit_init(struct prg_emit *e, const struct prg_dialect *d,
                   enum prg_emit_mode mode, struct prg_arena *arena) {
  memset(e, 0, sizeof *e);
  e->d = d;
  e->mode = mode;
  e->arena = arena;
  prg_buf_init(&e->out, 0);
  prg_buf_init(&e->typed, 0);
}

void prg_emit_restart(struct prg_emit *e, enum prg_emit_mode mode) {
  prg_buf_reset(&e->out);
  prg_buf_reset(&e->typed);
  prg_error_unref(e->error);
  e->error = NULL;
  e->qualifier = NULL;
  e->nparams = 0;
  e->mode = mode;
}

void prg_emit_fini(struct prg_emit *e) {
  prg_error_unref(e->error);
  e->error = NULL;
  prg_buf_fini(&e->out);
  prg_buf_fini(&e->typed);
}

int prg_emit_check(struct prg_emit *e, struct prg_error **err) {
  if (e->error == NULL && (e->out.failed || e->typed.failed))
    e->error = prg_error_oom();
  if (e->error == NULL && e->d->max_params != 0 &&
      e->nparams > (size_t)e->d->max_params)
    e->error = prg_error_new(PRG_K_USAGE,
                             "%zu parameters in one statement: %s takes %d",
                             e->nparams, e->d->name, e->d->max_params);
  if (e->error == NULL) return PRG_OK;
  *err = e->error;
  e->error = NULL;
  return PRG_ERR;
}

void prg__emit_fail(struct prg_emit *e, struct prg_error *error) {
  if (e->error == NULL)
    e->error = error;
  else
    prg_error_unref(error);
}

/* Room for `n` bytes, or NULL: something failed. */
static char *space(struct prg_emit *e, size_t n) {
  if (e->error != NULL) return NULL;
  if (e->out.data == NULL && prg_buf_space(&e->out, FIRST) != NULL)
    prg_buf_reset(&e->out);
  return prg_buf_space(&e->out, n);
}

static void add(struct prg_emit *e, const char *text, size_t n) {
  char *at = space(e, n);
  if (at != NULL && n > 0) memcpy(at, text, n);
}

static void key_address(struct prg_emit *e, enum mark mark, const char *p) {
  char *at = space(e, 1 + sizeof p);
  if (at == NULL) return;
  *at = (char)mark;
  memcpy(at + 1, &p, sizeof p);
}

static void key_number(struct prg_emit *e, enum mark mark, size_t n) {
  char *at = space(e, 1 + sizeof n);
  if (at == NULL) return;
  *at = (char)mark;
  memcpy(at + 1, &n, sizeof n);
}

void prg_emit_text(struct prg_emit *e, const char *text) {
  if (e->mode == PRG_EMIT_KEY)
    key_address(e, MARK_TEXT, text);
  else
    add(e, text, strlen(text));
}

void prg_emit_name(struct prg_emit *e, const struct prg_text *quoted) {
  if (e->mode == PRG_EMIT_KEY)
    key_address(e, MARK_NAME, quoted->p);
  else
    add(e, quoted->p, quoted->n);
}

static void add_decimal(struct prg_emit *e, size_t n) {
  char digits[24];
  size_t i = sizeof digits;
  do digits[--i] = (char)('0' + n % 10);
  while ((n /= 10) > 0);
  add(e, digits + i, sizeof digits - i);
}

void prg_emit_number(struct prg_emit *e, size_t n) {
  if (e->mode == PRG_EMIT_KEY)
    key_number(e, MARK_NUMBER, n);
  else
    add_decimal(e, n);
}

void prg_emit_ident(struct prg_emit *e, const char *name, size_t len) {
  struct prg_error *err = NULL;
  if (e->mode == PRG_EMIT_KEY) {
    key_number(e, MARK_IDENT, len);
    add(e, name, len);
  } else if (e->error == NULL &&
             prg_quote_ident(e->d, &e->out, name, len, &err) != PRG_OK) {
    prg__emit_fail(e, err);
  }
}

/* ---- parameters --------------------------------------------------------- */

static bool grow_params(struct prg_emit *e) {
  size_t cap = e->cap == 0 ? FIRST_PARAMS : e->cap * 2;
  struct prg_value *params = prg_arena_alloc(e->arena, cap * sizeof *e->params);
  if (params == NULL) {
    prg__emit_fail(e, prg_error_oom());
    return false;
  }
  if (e->nparams > 0) memcpy(params, e->params, e->nparams * sizeof *params);
  e->params = params;
  e->cap = cap;
  return true;
}

static void add_param(struct prg_emit *e, const struct prg_value *v,
                      bool typed) {
  if (e->error != NULL || (e->nparams == e->cap && !grow_params(e))) return;
  e->params[e->nparams++] = *v;
  prg_buf_addc(&e->typed, typed ? 1 : 0);
  if (e->mode == PRG_EMIT_KEY) {
    char *at = space(e, 1);
    if (at != NULL) *at = typed ? MARK_TYPED : MARK_PARAM;
  } else if (e->d->param == PRG_PARAM_DOLLAR) {
    add(e, "$", 1);
    add_decimal(e, e->nparams);
  } else {
    add(e, "?", 1);
  }
}

void prg_emit_param(struct prg_emit *e, const struct prg_value *v) {
  add_param(e, v, false);
}

/* ---- the user's SQL ----------------------------------------------------- */

/* Could it end in a comment that would go on to our closing parenthesis? */
static bool has_comment(const struct prg_text *t) {
  for (size_t i = 0; i < t->n; i++)
    if (t->p[i] == '#' ||
        (t->p[i] == '-' && i + 1 < t->n && t->p[i + 1] == '-'))
      return true;
  return false;
}

static void add_raw(struct prg_emit *e, const struct prg_text *t) {
  if (e->mode == PRG_EMIT_KEY) key_number(e, MARK_RAW, t->n);
  add(e, t->p, t->n);
}

void prg_emit_raw(struct prg_emit *e, const struct prg_raw *raw) {
  bool comment = false;
  prg_emit_text(e, "(");
  for (size_t i = 0; i <= raw->n; i++) {
    comment = comment || has_comment(&raw->text[i]);
    add_raw(e, &raw->text[i]);
    if (i < raw->n) add_param(e, &raw->values[i], true);
  }
  prg_emit_text(e, comment ? "\n)" : ")");
}
