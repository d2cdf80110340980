#include "sql/scan.h"

#include <stdint.h>
#include <string.h>

#include "sql/classify_int.h"
#include "sql/lex_int.h"

#include "base/buf.h"
#include "base/mem.h"

enum { MAX_NUMBER = 65535 }; /* highest $n: the protocol counts in 16 bits */

/* Open addressing: 0 is a free slot, else index of a name + 1. */
struct name_table {
  struct prg__tok *name; /* distinct ones in order of appearance */
  size_t n, cap;
  size_t *slot;
  size_t slots; /* power of two, at most half full */
};

struct scanner {
  const struct prg_dialect *d;
  const char *sql;
  size_t len;
  struct prg__lexer lx;
  struct prg__class class;
  struct prg_buf out;
  const char *copied; /* up to here `sql` is in `out` */
  enum prg_style style;
  const char *first; /* the first parameter */
  struct name_table names;
  struct prg_place *used; /* in order */
  size_t nused, cap;
  size_t nvalues;
  /* context of the current token */
  struct prg__tok prev;
  bool operand;            /* it follows a complete operand */
  size_t brackets;         /* open [ */
  struct prg_error *error; /* NULL: no memory */
};

const char *prg_style_name(enum prg_style style) {
  switch (style) {
    case PRG_STYLE_QUESTION:
      return "?";
    case PRG_STYLE_DOLLAR:
      return "$n";
    case PRG_STYLE_NAMED:
      return ":name";
    default:
      return "none";
  }
}

/* ---- errors ------------------------------------------------------------- */

/* 1-based character at `at`. */
static int position(const struct scanner *s, const char *at) {
  int n = 1;
  for (const char *p = s->sql; p < at; p++)
    if (((unsigned char)*p & 0xC0) != 0x80) n++;
  return n;
}

static int fail(struct scanner *s, const char *at, struct prg_error *e) {
  if (e != prg_error_oom()) e->position = position(s, at);
  s->error = e;
  return PRG_ERR;
}

static int fail_mixed(struct scanner *s, const char *at, enum prg_style style) {
  return fail(
      s, at,
      prg_error_new(PRG_K_USAGE,
                    "parameters are written both as %s (character %d) and as "
                    "%s (character %d): use one style in one statement",
                    prg_style_name(s->style), position(s, s->first),
                    prg_style_name(style), position(s, at)));
}

/* What is at `at` would be a parameter for the database, and never get a
** value. */
static int fail_native(struct scanner *s, const char *at, size_t len) {
  int show = (int)prg__text_cut(at, len, 40);
  return fail(s, at,
              prg_error_new(PRG_K_USAGE,
                            "\"%.*s\" at character %d is no parameter: write "
                            "?, $1 or :name",
                            show, at, position(s, at)));
}

/* ---- names -------------------------------------------------------------- */

static size_t hash(const char *at, size_t len) {
  uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a */
  for (size_t i = 0; i < len; i++)
    h = (h ^ (unsigned char)at[i]) * UINT64_C(1099511628211);
  return (size_t)(h ^ (h >> 32));
}

/* The slot of a name, or the free one where it belongs. */
static size_t *find_slot(const struct name_table *t, const char *at,
                         size_t len) {
  size_t i = hash(at, len) & (t->slots - 1);
  while (t->slot[i] != 0) {
    const struct prg__tok *k = &t->name[t->slot[i] - 1];
    if (k->len == len && memcmp(k->at, at, len) == 0) break;
    i = (i + 1) & (t->slots - 1);
  }
  return &t->slot[i];
}

static int grow_names(struct name_table *t) {
  size_t cap = t->cap ? t->cap * 2 : 8;
  size_t *slot = prg_calloc(cap * 2, sizeof *slot);
  struct prg__tok *name =
      slot ? prg_realloc(t->name, cap * sizeof *name) : NULL;
  if (name == NULL) {
    prg_free(slot);
    return PRG_ERR;
  }
  prg_free(t->slot);
  t->slot = slot;
  t->slots = cap * 2;
  t->name = name;
  t->cap = cap;
  for (size_t i = 0; i < t->n; i++)
    *find_slot(t, name[i].at, name[i].len) = i + 1;
  return PRG_OK;
}

static int name_index(struct name_table *t, const char *at, size_t len,
                      size_t *index) {
  size_t *slot;
  if (t->n == t->cap && grow_names(t) != PRG_OK) return PRG_ERR;
  slot = find_slot(t, at, len);
  if (*slot == 0) {
    t->name[t->n].at = at;
    t->name[t->n].len = len;
    *slot = ++t->n;
  }
  *index = *slot - 1;
  return PRG_OK;
}

/* ---- parameters --------------------------------------------------------- */

/* Would `c` run into a parameter beside it? LIMIT:n must not become the name
** LIMIT$1, nor ?AND the $1AND that PostgreSQL refuses. */
static bool sticks(char c) {
  return prg__is_name_char(c) || c == '$';
}

/* Is each parameter written as it stands, by its position alone? Also where
** numbers are possible, for SQLite looks a numbered one up in a list: with
** 65,000 of them preparing would take ten seconds. */
static bool by_position(const struct scanner *s) {
  return s->d->param == PRG_PARAM_QUESTION ||
         (s->d->param == PRG_PARAM_NUMBERED && s->style == PRG_STYLE_QUESTION);
}

static struct prg_place write_param(struct scanner *s, const char *at,
                                    size_t len, size_t index) {
  struct prg_place place = {.value = index};
  const char *end = at + len;
  prg_buf_add(&s->out, s->copied, (size_t)(at - s->copied));
  if (at > s->sql && sticks(at[-1])) prg_buf_addc(&s->out, ' ');
  place.at = s->out.len;
  if (by_position(s))
    prg_buf_addc(&s->out, '?');
  else
    prg_buf_addf(&s->out, "%c%zu", s->d->param == PRG_PARAM_DOLLAR ? '$' : '?',
                 index + 1);
  place.len = s->out.len - place.at;
  if (end < s->lx.end && sticks(*end)) prg_buf_addc(&s->out, ' ');
  s->copied = end;
  return place;
}

/* Adds the parameter at `at` (`len` characters) that takes value `index`. */
static int add_param(struct scanner *s, const char *at, size_t len,
                     size_t index) {
  if (s->nused == s->cap) {
    size_t cap = s->cap ? s->cap * 2 : 16;
    struct prg_place *used = prg_realloc(s->used, cap * sizeof *used);
    if (used == NULL) return PRG_ERR;
    s->used = used;
    s->cap = cap;
  }
  if (index >= s->nvalues) s->nvalues = index + 1;
  s->used[s->nused++] = write_param(s, at, len, index);
  return PRG_OK;
}

static int set_style(struct scanner *s, const char *at, enum prg_style style) {
  if (s->style == PRG_STYLE_NONE) {
    s->style = style;
    s->first = at;
  }
  return s->style == style ? PRG_OK : fail_mixed(s, at, style);
}

static int take_dollar(struct scanner *s, const struct prg__tok *t) {
  size_t n = 0;
  if (set_style(s, t->at, PRG_STYLE_DOLLAR) != PRG_OK) return PRG_ERR;
  for (size_t i = 1; i < t->len && n <= MAX_NUMBER; i++)
    n = n * 10 + (size_t)(t->at[i] - '0');
  if (n < 1 || n > MAX_NUMBER)
    return fail(s, t->at,
                prg_error_new(
                    PRG_K_USAGE, "%.*s: parameters are numbered from $1 to $%d",
                    t->len < 20 ? (int)t->len : 20, t->at, MAX_NUMBER));
  return add_param(s, t->at, t->len, n - 1);
}

/* A colon is a parameter when a name follows at once, and not behind an
** operand: there it is a slice (a[lo:hi]), a time (12:30) or 'key':value. In
** brackets blanks may be between. Returns the length of the name, or 0. */
static size_t param_name(const struct scanner *s, const struct prg__tok *t) {
  const char *p = t->at + 1;
  bool adjacent = s->prev.at != NULL && s->prev.at + s->prev.len == t->at;
  size_t n = 0;
  if (p == s->lx.end || !prg__is_name_start(*p)) return 0;
  if (s->operand && (adjacent || s->brackets > 0)) return 0;
  while (p + n < s->lx.end && prg__is_name_char(p[n])) n++;
  return n;
}

static int take_colon(struct scanner *s, const struct prg__tok *t,
                      bool *param) {
  const char *p = t->at + 1;
  size_t index, n = param_name(s, t);
  *param = n > 0;
  if (n == 0) {
    if ((s->d->lex & PRG_LEX_NATIVE_PARAM) == 0 || s->operand ||
        p == s->lx.end || !prg__is_digit(*p))
      return PRG_OK;
    while (p + n < s->lx.end && prg__is_digit(p[n])) n++;
    return fail_native(s, t->at, n + 1);
  }
  if (set_style(s, t->at, PRG_STYLE_NAMED) != PRG_OK) return PRG_ERR;
  if (name_index(&s->names, p, n, &index) != PRG_OK) return PRG_ERR;
  s->lx.at = p + n;
  return add_param(s, t->at, n + 1, index);
}

/* ---- the question mark -------------------------------------------------- */

/* Can an operand begin with the token behind `lx`? */
static bool operand_follows(const struct prg__lexer *lx) {
  struct prg__lexer ahead = *lx;
  struct prg__tok t;
  prg__lex_next(&ahead, &t);
  switch (t.kind) {
    case PRG__T_NAME:
    case PRG__T_STRING:
    case PRG__T_NUMBER:
    case PRG__T_VAR:
    case PRG__T_DOLLAR:
    case PRG__T_QMARK:
    case PRG__T_OPEN:
      return true;
    case PRG__T_WORD:
      return !t.no_start;
    case PRG__T_COLON:
      return ahead.at < ahead.end && prg__is_name_start(*ahead.at);
    default:
      return false;
  }
}

/* Length of the operator that begins with the ? at `p`: to the last character
** that can be in one, but not into a comment. */
static size_t operator_length(const char *p, const char *end) {
  size_t n = 1;
  while (p + n < end && strchr("+-*/<>=~!@#%^&|", p[n]) != NULL) {
    if (p + n + 1 < end &&
        ((p[n] == '-' && p[n + 1] == '-') || (p[n] == '/' && p[n + 1] == '*')))
      break;
    n++;
  }
  return n;
}

/* Length of the operator at this ?, 0 when it is a parameter. An operator
** stands between two operands; ?| and ?& are never anything else. Once the
** statement has other parameters, one of the two operands is enough. */
static size_t qmark_operator(const struct scanner *s,
                             const struct prg__tok *t) {
  size_t n = operator_length(t->at, s->lx.end);
  bool numbered = s->style == PRG_STYLE_DOLLAR || s->style == PRG_STYLE_NAMED;
  if ((s->d->lex & PRG_LEX_JSON_QMARK) == 0) return 0;
  if (n == 2 && (t->at[1] == '|' || t->at[1] == '&')) return 2;
  if (n > 1) return s->operand ? n : 0;
  if (numbered) return s->operand || operand_follows(&s->lx) ? 1 : 0;
  return s->operand && operand_follows(&s->lx) ? 1 : 0;
}

static int take_qmark(struct scanner *s, const struct prg__tok *t,
                      bool *param) {
  size_t n = qmark_operator(s, t);
  *param = n == 0;
  if (n > 0) {
    s->lx.at = t->at + n;
    return PRG_OK;
  }
  if (s->lx.at < s->lx.end && prg__is_digit(*s->lx.at)) {
    for (n = 1; t->at + n < s->lx.end && prg__is_digit(t->at[n]);) n++;
    return fail_native(s, t->at, n);
  }
  if (set_style(s, t->at, PRG_STYLE_QUESTION) != PRG_OK) return PRG_ERR;
  return add_param(s, t->at, 1, s->nused);
}

/* ---- the text ----------------------------------------------------------- */

static bool ends_operand(const struct scanner *s, const struct prg__tok *t) {
  switch (t->kind) {
    case PRG__T_NAME:
    case PRG__T_STRING:
    case PRG__T_NUMBER:
    case PRG__T_VAR:
    case PRG__T_DOLLAR:
    case PRG__T_CLOSE:
    case PRG__T_RBRACKET:
      return true;
    case PRG__T_WORD: /* behind . and :: any word is a name */
      return !t->no_end || s->prev.kind == PRG__T_DOT ||
             s->prev.kind == PRG__T_CAST;
    default:
      return false;
  }
}

static int take_token(struct scanner *s, struct prg__tok *t) {
  bool param = false;
  int rc = PRG_OK;
  switch (t->kind) {
    case PRG__T_BAD:
      return fail(s, t->at,
                  prg_error_new(PRG_K_SYNTAX,
                                "the %s that begins at character %d has no end",
                                s->lx.fault, position(s, t->at)));
    case PRG__T_NATIVE:
      return fail_native(s, t->at, t->len);
    case PRG__T_DOLLAR:
      rc = take_dollar(s, t);
      break;
    case PRG__T_COLON:
      rc = take_colon(s, t, &param);
      break;
    case PRG__T_QMARK:
      rc = take_qmark(s, t, &param);
      break;
    case PRG__T_LBRACKET:
      s->brackets++;
      break;
    case PRG__T_RBRACKET:
      if (s->brackets > 0) s->brackets--;
      break;
    default:
      break;
  }
  t->len = (size_t)(s->lx.at - t->at); /* of a :name and of ?| too */
  s->operand = param || ends_operand(s, t);
  s->prev = *t;
  return rc;
}

static int read_text(struct scanner *s) {
  struct prg__tok t;
  do {
    prg__lex_next(&s->lx, &t);
    prg__class_token(&s->class, &t);
    if (take_token(s, &t) != PRG_OK) return PRG_ERR;
  } while (t.kind != PRG__T_END);
  prg_buf_add(&s->out, s->copied, (size_t)(s->lx.end - s->copied));
  return PRG_OK;
}

/* ---- the result --------------------------------------------------------- */

/* Every number up to the highest $n must be there: a value that goes nowhere
** is a mistake, and PostgreSQL could not tell its type. */
static int check_gaps(struct scanner *s) {
  unsigned char *seen;
  size_t i = 0;
  if (s->style != PRG_STYLE_DOLLAR) return PRG_OK;
  seen = prg_calloc(s->nvalues, 1);
  if (seen == NULL) return PRG_ERR;
  for (size_t k = 0; k < s->nused; k++) seen[s->used[k].value] = 1;
  while (i < s->nvalues && seen[i]) i++;
  prg_free(seen);
  if (i == s->nvalues) return PRG_OK;
  return fail(s, s->first,
              prg_error_new(PRG_K_USAGE,
                            "$%zu is missing: the parameters go up to $%zu",
                            i + 1, s->nvalues));
}

static int check_count(struct scanner *s, size_t nparams) {
  if (s->d->max_params == 0 || nparams <= (size_t)s->d->max_params)
    return PRG_OK;
  return fail(
      s, s->first,
      prg_error_new(PRG_K_USAGE, "%zu parameters in one statement: %s takes %d",
                    nparams, s->d->name, s->d->max_params));
}

static int fill_order(const struct scanner *s, struct prg_scan *out,
                      size_t nparams) {
  if (nparams == 0) return PRG_OK;
  out->order = prg_alloc(nparams * sizeof *out->order);
  if (out->order == NULL) return PRG_ERR;
  for (size_t i = 0; i < nparams; i++)
    out->order[i] =
        s->d->param == PRG_PARAM_QUESTION ? (int)s->used[i].value : (int)i;
  out->nparams = (int)nparams;
  return PRG_OK;
}

static int fill_names(const struct scanner *s, struct prg_scan *out) {
  if (s->names.n == 0) return PRG_OK;
  out->names = prg_calloc(s->names.n, sizeof *out->names);
  if (out->names == NULL) return PRG_ERR;
  for (size_t i = 0; i < s->names.n; i++) {
    out->names[i] = prg_memdup(s->names.name[i].at, s->names.name[i].len);
    if (out->names[i] == NULL) return PRG_ERR;
  }
  return PRG_OK;
}

/* Frees what it has filled in so far with prg_scan_fini, on failure. */
static int fill(struct scanner *s, struct prg_scan *out) {
  size_t nparams = s->d->param == PRG_PARAM_QUESTION ? s->nused : s->nvalues;
  if (check_gaps(s) != PRG_OK || check_count(s, nparams) != PRG_OK)
    return PRG_ERR;
  out->style = s->style;
  out->nvalues = (int)s->nvalues;
  prg__class_result(&s->class, out);
  if (fill_order(s, out, nparams) != PRG_OK || fill_names(s, out) != PRG_OK)
    return PRG_ERR;
  out->places = s->used;
  out->nplaces = (int)s->nused;
  s->used = NULL;
  out->len = s->out.len;
  out->sql = prg_buf_take(&s->out);
  return out->sql != NULL ? PRG_OK : PRG_ERR;
}

static int check_text(struct scanner *s) {
  const char *bad = prg__text_check(s->sql, s->len);
  if (bad == NULL) return PRG_OK;
  return fail(s, bad,
              prg_error_new(PRG_K_USAGE,
                            *bad == '\0' ? "a zero byte at character %d of the "
                                           "SQL text"
                                         : "the SQL text is not UTF-8 at "
                                           "character %d",
                            position(s, bad)));
}

static int run(struct scanner *s, struct prg_scan *out) {
  if (check_text(s) != PRG_OK) return PRG_ERR;
  if (read_text(s) != PRG_OK) return PRG_ERR;
  return fill(s, out);
}

int prg_scan(const struct prg_dialect *d, const char *sql, size_t len,
             struct prg_scan *out, struct prg_error **err) {
  struct scanner s = {.d = d, .sql = len ? sql : "", .len = len};
  int rc;
  memset(out, 0, sizeof *out);
  s.copied = s.sql;
  prg__lex_init(&s.lx, d, s.sql, len);
  prg__class_init(&s.class, d);
  prg_buf_init(&s.out, 0);
  rc = run(&s, out);
  if (rc != PRG_OK) {
    prg_scan_fini(out);
    *err = s.error != NULL ? s.error : prg_error_oom();
  }
  prg_buf_fini(&s.out);
  prg_free(s.names.name);
  prg_free(s.names.slot);
  prg_free(s.used);
  return rc;
}

void prg_scan_fini(struct prg_scan *s) {
  if (s->names != NULL)
    for (int i = 0; i < s->nvalues; i++) prg_free(s->names[i]);
  prg_free(s->names);
  prg_free(s->order);
  prg_free(s->places);
  prg_free(s->sql);
  memset(s, 0, sizeof *s);
}
