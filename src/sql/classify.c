#include "sql/classify_int.h"

#include <string.h>

static bool token_is(const struct prg__tok *t, const char *upper) {
  return prg__text_is(t->at, t->len, upper);
}

/* The text of a word, or of a quoted name without its quotes. */
static struct prg__tok bare_name(const struct prg__tok *t) {
  struct prg__tok n = *t;
  if (t->kind == PRG__T_NAME) {
    n.at++;
    n.len -= 2;
  }
  return n;
}

/* ---- the end of a statement --------------------------------------------- */

static unsigned verb_flags(const struct prg_dialect *d,
                           const struct prg__statement *s) {
  for (const struct prg_verb *v = d->verbs; v->first != NULL; v++)
    if (token_is(&s->first, v->first) &&
        (v->second == NULL || token_is(&s->second, v->second)))
      return v->flags;
  return PRG_SCAN_UTILITY;
}

static unsigned pragma_flags(const struct prg_dialect *d,
                             const struct prg__statement *s) {
  for (const struct prg_pragma *p = d->pragmas; p && p->name != NULL; p++)
    if (token_is(&s->pragma, p->name))
      return PRG_SCAN_UTILITY | (s->argument ? p->argument : p->bare);
  return PRG_SCAN_UTILITY | (s->argument ? PRG_SCAN_SESSION : PRG_SCAN_READ);
}

/* INTO makes SELECT create a table (PostgreSQL) or store its row (MySQL); with
** `write` it is that of INSERT INTO, behind WITH. */
static unsigned query_flags(const struct prg__statement *s) {
  if (s->write) return 0;
  if (!s->into) return PRG_SCAN_READ | PRG_SCAN_CURSOR;
  return PRG_SCAN_UTILITY | (s->temp ? PRG_SCAN_SESSION : 0u);
}

static unsigned form_flags(const struct prg_dialect *d,
                           const struct prg__statement *s) {
  switch (s->form) {
    case PRG__F_QUERY:
      return query_flags(s);
    case PRG__F_INSERT:
      return s->values && !s->select ? PRG_SCAN_VALUES : 0u;
    case PRG__F_CREATE:
      return s->temp ? PRG_SCAN_UTILITY | PRG_SCAN_SESSION : verb_flags(d, s);
    case PRG__F_COPY:
      return PRG_SCAN_UTILITY | (s->stream ? PRG_SCAN_COPY : 0u);
    case PRG__F_PRAGMA:
      return pragma_flags(d, s);
    default:
      return verb_flags(d, s);
  }
}

static unsigned statement_flags(const struct prg_dialect *d,
                                const struct prg__statement *s) {
  unsigned touch = s->touch ? PRG_SCAN_TOUCH : 0u;
  unsigned f;
  if (s->form == PRG__F_EXPLAIN || (s->explain && !s->analyze))
    return PRG_SCAN_READ | PRG_SCAN_UTILITY | touch;
  f = form_flags(d, s);
  if (s->explain) {
    f &= ~(unsigned)(PRG_SCAN_CURSOR | PRG_SCAN_VALUES);
    f |= PRG_SCAN_UTILITY;
  }
  return f | touch;
}

static void finish(struct prg__class *c) {
  unsigned f;
  if (c->s.last[0].len == 0) return; /* empty */
  f = statement_flags(c->d, &c->s);
  c->any |= f;
  c->all &= f;
  c->statements++;
}

/* ---- the words of a statement ------------------------------------------- */

static enum prg__form form_of(const struct prg_dialect *d, enum prg__kw kw) {
  switch (kw) {
    case PRG__KW_SELECT:
    case PRG__KW_VALUES:
    case PRG__KW_TABLE:
    case PRG__KW_WITH:
      return PRG__F_QUERY;
    case PRG__KW_INSERT:
    case PRG__KW_REPLACE:
      return PRG__F_INSERT;
    case PRG__KW_CREATE:
      return PRG__F_CREATE;
    case PRG__KW_COPY:
      return PRG__F_COPY;
    case PRG__KW_EXPLAIN:
      return PRG__F_EXPLAIN;
    case PRG__KW_PRAGMA:
      return d->pragmas != NULL ? PRG__F_PRAGMA : PRG__F_OTHER;
    default:
      return PRG__F_OTHER;
  }
}

/* Does the statement that EXPLAIN explains begin with it? What is not listed
** is passed over as an option; it is not run in any case. */
static bool is_explained(enum prg__kw kw) {
  switch (kw) {
    case PRG__KW_SELECT:
    case PRG__KW_VALUES:
    case PRG__KW_TABLE:
    case PRG__KW_WITH:
    case PRG__KW_INSERT:
    case PRG__KW_REPLACE:
    case PRG__KW_UPDATE:
    case PRG__KW_DELETE:
    case PRG__KW_MERGE:
    case PRG__KW_CREATE:
    case PRG__KW_DECLARE:
    case PRG__KW_EXECUTE:
    case PRG__KW_REFRESH:
      return true;
    default:
      return false;
  }
}

static void begin(struct prg__class *c, const struct prg__tok *t) {
  struct prg__statement *s = &c->s;
  s->form = form_of(c->d, t->kw);
  s->first = *t;
  if (s->form == PRG__F_EXPLAIN) s->explain = true;
  if (t->kind != PRG__T_WORD) s->first.len = 0;
  if (c->statements == 0 && !(s->explain && c->keyword.len > 0))
    c->keyword = s->first;
}

/* Words that mean the same wherever they stand. */
static void note_word(struct prg__class *c, const struct prg__tok *t) {
  struct prg__statement *s = &c->s;
  enum prg__kw prev = s->last[0].kw;
  switch (t->kw) {
    case PRG__KW_SELECT:
      s->select = true;
      break;
    case PRG__KW_VALUES:
      s->values = s->values || s->depth == 0;
      break;
    case PRG__KW_UPDATE:
      if (prev == PRG__KW_FOR || prev == PRG__KW_KEY)
        c->locking = true; /* FOR UPDATE, FOR NO KEY UPDATE */
      else
        s->write = true;
      break;
    case PRG__KW_SHARE: /* FOR SHARE, FOR KEY SHARE, LOCK IN SHARE MODE */
      if (prev == PRG__KW_FOR || prev == PRG__KW_KEY || prev == PRG__KW_IN)
        c->locking = true;
      break;
    case PRG__KW_INSERT:
    case PRG__KW_DELETE:
    case PRG__KW_MERGE:
      s->write = true;
      break;
    case PRG__KW_INTO:
      s->into = s->into_open = true;
      if (prev == PRG__KW_REPLACE) s->write = true;
      break;
    case PRG__KW_STREAM:
      if (s->depth == 0 && (prev == PRG__KW_FROM || prev == PRG__KW_TO))
        s->stream = true;
      break;
    default:
      break;
  }
}

/* CREATE [OR REPLACE] [LOCAL | GLOBAL] TEMP …; INTO [LOCAL] TEMP … */
static void note_temp(struct prg__statement *s, const struct prg__tok *t) {
  enum prg__kw prev = s->last[0].kw;
  if (t->kw == PRG__KW_TEMP) {
    if (s->into_open || (s->form == PRG__F_CREATE &&
                         (prev == PRG__KW_CREATE || prev == PRG__KW_REPLACE ||
                          prev == PRG__KW_LOCAL || prev == PRG__KW_GLOBAL)))
      s->temp = true;
  }
  if (t->kw != PRG__KW_INTO && t->kw != PRG__KW_LOCAL &&
      t->kw != PRG__KW_GLOBAL && t->kw != PRG__KW_TABLE)
    s->into_open = false;
}

/* At the dot of "pg_temp.t": is that what is made? */
static void note_temp_schema(struct prg__class *c) {
  struct prg__statement *s = &c->s;
  struct prg__tok name = bare_name(&s->last[0]);
  enum prg__kw before = s->last[1].kw;
  if (c->d->temp_schema == NULL || !token_is(&name, c->d->temp_schema)) return;
  if (s->form == PRG__F_CREATE &&
      (before == PRG__KW_TABLE || before == PRG__KW_OBJECT ||
       before == PRG__KW_EXISTS || before == PRG__KW_TRIGGER))
    s->temp = true;
  if (s->form == PRG__F_QUERY &&
      (before == PRG__KW_INTO ||
       (before == PRG__KW_TABLE && s->last[2].kw == PRG__KW_INTO)))
    s->temp = true;
}

/* The body of a function or trigger has semicolons of its own. */
static void note_block(struct prg__class *c, const struct prg__tok *t) {
  struct prg__statement *s = &c->s;
  bool atomic = (c->d->lex & PRG_LEX_ATOMIC) != 0;
  enum prg__kw prev = s->last[0].kw;
  switch (t->kw) {
    case PRG__KW_ROUTINE:
    case PRG__KW_TRIGGER:
      s->routine = true;
      break;
    case PRG__KW_BEGIN:
      if (s->routine && (!atomic || s->block > 0)) s->block++;
      break;
    case PRG__KW_ATOMIC:
      if (s->routine && atomic && prev == PRG__KW_BEGIN && s->block == 0)
        s->block++;
      break;
    case PRG__KW_CASE:
      if (s->block > 0 && prev != PRG__KW_END) s->block++;
      break;
    case PRG__KW_END:
      if (s->block > 0) s->block--;
      break;
    case PRG__KW_LOOP: /* END IF ends no block that was counted */
      if (s->routine && prev == PRG__KW_END) s->block++;
      break;
    default:
      break;
  }
}

static void note_touch(struct prg__class *c, const struct prg__tok *t) {
  struct prg__tok name = bare_name(t);
  for (const char *const *f = c->d->touch; *f != NULL; f++)
    if (token_is(&name, *f)) {
      c->s.touch = true;
      return;
    }
}

static void take_word(struct prg__class *c, const struct prg__tok *t) {
  struct prg__statement *s = &c->s;
  bool leading = s->form == PRG__F_EXPLAIN && is_explained(t->kw);
  if (s->form == PRG__F_NONE || leading) {
    begin(c, t);
  } else if (s->second.len == 0) {
    s->second = *t;
  }
  if (s->form == PRG__F_EXPLAIN && t->kw == PRG__KW_ANALYZE) s->analyze = true;
  if (s->last[0].kind == PRG__T_DOT) return; /* t.update is a column */
  note_word(c, t);
  note_temp(s, t);
  if (s->form == PRG__F_CREATE) note_block(c, t);
}

static void take_pragma(struct prg__statement *s, const struct prg__tok *t) {
  bool value =
      t->kind == PRG__T_OPEN || (t->kind == PRG__T_OP && *t->at == '=');
  if (s->argument) return;
  if (value)
    s->argument = true;
  else if (t->kind == PRG__T_WORD || t->kind == PRG__T_NAME)
    s->pragma = bare_name(t); /* the last one: a schema may be before it */
}

/* ---- tokens ------------------------------------------------------------- */

static void take_other(struct prg__class *c, const struct prg__tok *t) {
  struct prg__statement *s = &c->s;
  switch (t->kind) {
    case PRG__T_OPEN:
      s->depth++;
      break;
    case PRG__T_CLOSE:
      if (s->depth > 0)
        s->depth--;
      else
        c->unbalanced = true;
      break;
    case PRG__T_DOT:
      note_temp_schema(c);
      break;
    case PRG__T_VAR: /* SELECT … INTO @v */
      if (s->into_open) s->touch = true;
      break;
    case PRG__T_ASSIGN: /* SELECT @v := 1 */
      if (s->last[0].kind == PRG__T_VAR) s->touch = true;
      break;
    default:
      break;
  }
  if (s->form == PRG__F_NONE && t->kind != PRG__T_OPEN) begin(c, t);
  s->into_open = false;
}

static void take_token(struct prg__class *c, const struct prg__tok *t) {
  struct prg__statement *s = &c->s;
  if (t->kind == PRG__T_WORD)
    take_word(c, t);
  else
    take_other(c, t);
  if (t->kind == PRG__T_WORD || t->kind == PRG__T_NAME) note_touch(c, t);
  if (s->form == PRG__F_PRAGMA && t->kw != PRG__KW_PRAGMA) take_pragma(s, t);
  s->last[2] = s->last[1];
  s->last[1] = s->last[0];
  s->last[0] = *t;
  /* A word behind a dot is a name, whatever it spells. */
  if (s->last[1].kind == PRG__T_DOT) s->last[0].kw = PRG__KW_NONE;
}

void prg__class_token(struct prg__class *c, const struct prg__tok *t) {
  bool ends =
      t->kind == PRG__T_END || (t->kind == PRG__T_SEMI && c->s.block == 0);
  if (ends) {
    if (c->s.depth > 0) c->unbalanced = true;
    finish(c);
    memset(&c->s, 0, sizeof c->s);
  } else {
    take_token(c, t);
  }
}

void prg__class_init(struct prg__class *c, const struct prg_dialect *d) {
  memset(c, 0, sizeof *c);
  c->d = d;
  c->all = ~0u;
}

void prg__class_result(const struct prg__class *c, struct prg_scan *out) {
  const unsigned sums = PRG_SCAN_CONTROL | PRG_SCAN_SESSION | PRG_SCAN_TOUCH |
                        PRG_SCAN_COPY | PRG_SCAN_COMMITS;
  size_t n = c->keyword.len;
  out->locking = c->locking;
  out->unbalanced = c->unbalanced;
  if (c->statements == 0)
    out->flags = PRG_SCAN_EMPTY | PRG_SCAN_UTILITY;
  else if (c->statements == 1)
    out->flags = c->any;
  else
    out->flags = (c->any & sums) | (c->all & PRG_SCAN_READ) | PRG_SCAN_MULTI |
                 PRG_SCAN_UTILITY;
  if (n >= sizeof out->keyword) n = sizeof out->keyword - 1;
  for (size_t i = 0; i < n; i++) {
    char ch = c->keyword.at[i];
    out->keyword[i] = ch >= 'a' && ch <= 'z' ? (char)(ch - 'a' + 'A') : ch;
  }
  out->keyword[n] = '\0';
}
