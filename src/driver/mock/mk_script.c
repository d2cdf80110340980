#include "driver/mock/mk_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/mem.h"

/* ---- words -------------------------------------------------------------- */

/* Reads one line. Words and texts it gives live in the script's arena. */
struct reader {
  struct mk_script *script;
  struct mk_rule *rule;
  const char *p, *end; /* what is left of the line */
  int line;
  enum mk_phase phase; /* of the disturbances that follow */
  struct prg_error *err;
};

struct word {
  char *p;
  bool quoted; /* it began with a quote */
};

static bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r';
}

static void skip_blanks(struct reader *rd) {
  while (rd->p < rd->end && is_blank(*rd->p)) rd->p++;
}

static bool fail(struct reader *rd, const char *what, const char *word) {
  if (rd->err == NULL)
    rd->err = prg_error_new(PRG_K_USAGE, "mock script, line %d: %s%s%s",
                            rd->line, what, word[0] != '\0' ? ": " : "", word);
  return false;
}

static bool fail_memory(struct reader *rd) {
  if (rd->err == NULL) rd->err = prg_error_oom();
  return false;
}

static char unescape(char c) {
  switch (c) {
    case 'n':
      return '\n';
    case 't':
      return '\t';
    default:
      return c;
  }
}

/* The next word, up to a blank or one of `stops`; quotes hold blanks and stops
** together, anywhere in it. False at the end of the line or after an error. */
static bool read_word(struct reader *rd, const char *stops, struct word *w) {
  skip_blanks(rd);
  if (rd->p == rd->end) return false;
  char *out =
      prg_arena_alloc(&rd->script->arena, (size_t)(rd->end - rd->p) + 1);
  if (out == NULL) return fail_memory(rd);
  bool in_quotes = false;
  w->p = out;
  w->quoted = *rd->p == '"';
  for (; rd->p < rd->end; rd->p++) {
    char c = *rd->p;
    if (c == '"') {
      in_quotes = !in_quotes;
    } else if (in_quotes && c == '\\' && rd->p + 1 < rd->end) {
      *out++ = unescape(*++rd->p);
    } else if (!in_quotes && (is_blank(c) || strchr(stops, c) != NULL)) {
      break;
    } else {
      *out++ = c;
    }
  }
  *out = '\0';
  return in_quotes ? fail(rd, "a quote is not closed", "") : true;
}

static bool parse_int(const char *s, int64_t *out) {
  char *end;
  errno = 0;
  long long v = strtoll(s, &end, 10);
  if (errno != 0 || end == s || *end != '\0') return false;
  *out = v;
  return true;
}

static bool next_is_number(struct reader *rd) {
  skip_blanks(rd);
  return rd->p < rd->end && *rd->p >= '0' && *rd->p <= '9';
}

static bool read_int(struct reader *rd, int64_t *out) {
  struct word w;
  if (!read_word(rd, "", &w)) return fail(rd, "a number is missing", "");
  return parse_int(w.p, out) ? true : fail(rd, "not a number", w.p);
}

static bool read_text(struct reader *rd, const char **out) {
  struct word w;
  if (!read_word(rd, "", &w)) return fail(rd, "a text is missing", "");
  *out = w.p;
  return true;
}

/* "20ms", "1s", "500us"; a bare number is milliseconds. */
static bool read_duration(struct reader *rd, int64_t *out) {
  struct word w;
  if (!read_word(rd, "", &w)) return fail(rd, "a duration is missing", "");
  char *unit;
  errno = 0;
  long long v = strtoll(w.p, &unit, 10);
  if (errno != 0 || unit == w.p || v < 0 || v > INT64_C(1000000000))
    return fail(rd, "not a duration", w.p);
  int64_t scale = PRG_MS;
  if (strcmp(unit, "s") == 0)
    scale = PRG_SECOND;
  else if (strcmp(unit, "us") == 0)
    scale = 1;
  else if (*unit != '\0' && strcmp(unit, "ms") != 0)
    return fail(rd, "not a duration", w.p);
  *out = v * scale;
  return true;
}

/* ---- rows --------------------------------------------------------------- */

struct type_name {
  const char *given, *name;
  uint32_t oid;
  enum prg_type type;
};

static const struct type_name type_names[] = {
    {"int", "int8", 20, PRG_INT},
    {"float", "float8", 701, PRG_DOUBLE},
    {"bool", "bool", 16, PRG_BOOL},
    {"text", "text", 25, PRG_TEXT},
    {"bytes", "bytea", 17, PRG_BYTES},
    {"numeric", "numeric", 1700, PRG_DECIMAL},
    {"json", "json", 114, PRG_JSON},
};

static const struct type_name *find_type(const char *given) {
  for (size_t i = 0; i < sizeof type_names / sizeof *type_names; i++)
    if (strcmp(type_names[i].given, given) == 0) return &type_names[i];
  return NULL;
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = (char)(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place: the text only gets shorter. */
static bool parse_hex(char *s, struct prg_text *out) {
  size_t n = 0;
  for (char *p = s; *p != '\0'; p += 2) {
    int hi = hex_digit(p[0]), lo = hi < 0 ? -1 : hex_digit(p[1]);
    if (lo < 0) return false;
    s[n++] = (char)(hi * 16 + lo);
  }
  *out = (struct prg_text){s, n};
  return true;
}

static bool parse_cell(struct word *w, enum prg_type type,
                       struct prg_value *out) {
  char *end;
  *out = (struct prg_value){.type = type};
  if (!w->quoted && strcmp(w->p, "null") == 0) {
    out->type = PRG_NULL;
    return true;
  }
  switch (type) {
    case PRG_INT:
      return parse_int(w->p, &out->u.i);
    case PRG_DOUBLE:
      out->u.d = strtod(w->p, &end);
      return end != w->p && *end == '\0';
    case PRG_BOOL:
      out->u.b = strcmp(w->p, "true") == 0;
      return out->u.b || strcmp(w->p, "false") == 0;
    case PRG_BYTES:
      return parse_hex(w->p, &out->u.s);
    default:
      out->u.s = (struct prg_text){w->p, strlen(w->p)};
      return true;
  }
}

/* A description of `n` columns that are called names[i]. */
static struct prg_desc *make_desc(char *const *names,
                                  const struct type_name *types, size_t n) {
  size_t extra = 0;
  for (size_t i = 0; i < n; i++) extra += strlen(names[i]) + 1;
  char *at;
  struct prg_desc *d = prg_desc_new(n, extra, &at);
  if (d == NULL) return NULL;
  for (size_t i = 0; i < n; i++) {
    size_t len = strlen(names[i]);
    memcpy(at, names[i], len + 1);
    d->cols[i] = (struct prg_column){
        .name = {at, len}, .type = types[i].name, .oid = types[i].oid};
    at += len + 1;
  }
  return d;
}

static size_t count_chars(const char *p, const char *end, const char *set) {
  size_t n = 0;
  for (; p < end; p++) n += strchr(set, *p) != NULL;
  return n;
}

/* "name:type,name:type" up to the first bar. Fills in rule->desc, and in
** `types` what the cells are. */
static bool read_columns(struct reader *rd, struct type_name *types,
                         char **names, size_t room) {
  size_t n = 0;
  for (;;) {
    struct word name, type;
    if (n == room || !read_word(rd, ":,|", &name) || rd->p == rd->end ||
        *rd->p++ != ':' || !read_word(rd, ",|", &type))
      return fail(rd, "rows wants name:type,name:type | cell,cell | …", "");
    const struct type_name *t = find_type(type.p);
    if (t == NULL) return fail(rd, "unknown type", type.p);
    names[n] = name.p;
    types[n++] = *t;
    skip_blanks(rd);
    if (rd->p == rd->end || *rd->p == '|') break;
    if (*rd->p++ != ',') return fail(rd, "a comma is missing", name.p);
  }
  rd->rule->desc = make_desc(names, types, n);
  return rd->rule->desc != NULL ? true : fail_memory(rd);
}

static bool read_row(struct reader *rd, const struct type_name *types,
                     struct prg_value *cells) {
  size_t n = rd->rule->desc->ncols;
  for (size_t i = 0; i < n; i++) {
    struct word w = {.p = NULL};
    skip_blanks(rd);
    if (rd->p == rd->end) return fail(rd, "a row has too few cells", "");
    if (!read_word(rd, ",|", &w)) return false;
    if (!parse_cell(&w, types[i].type, &cells[i]))
      return fail(rd, "not a value of its column", w.p);
    skip_blanks(rd);
    bool last = rd->p == rd->end || *rd->p == '|';
    if (last != (i + 1 == n))
      return fail(rd, "a row has the wrong number of cells", w.p);
    if (!last && *rd->p++ != ',') return fail(rd, "a comma is missing", w.p);
  }
  return true;
}

static bool do_rows(struct reader *rd) {
  struct mk_rule *rule = rd->rule;
  size_t room = count_chars(rd->p, rd->end, ",|") + 1;
  struct type_name *types =
      prg_arena_alloc(&rd->script->arena, room * sizeof *types);
  char **names = prg_arena_alloc(&rd->script->arena, room * sizeof *names);
  rule->cells = prg_arena_alloc(&rd->script->arena, room * sizeof *rule->cells);
  if (types == NULL || names == NULL || rule->cells == NULL)
    return fail_memory(rd);
  if (rule->desc != NULL) return fail(rd, "two answers", "");
  if (!read_columns(rd, types, names, room)) return false;
  rule->answer = MK_TABLE;
  for (; rd->p < rd->end && *rd->p == '|'; rule->nrows++) {
    rd->p++;
    struct prg_value *row = rule->cells + rule->nrows * rule->desc->ncols;
    if (!read_row(rd, types, row)) return false;
  }
  return true;
}

static bool do_series(struct reader *rd) {
  int64_t n;
  char name[] = "n";
  char *names[] = {name};
  if (!read_int(rd, &n)) return false;
  if (n < 0) return fail(rd, "series wants a number of rows", "");
  if (rd->rule->desc != NULL) return fail(rd, "two answers", "");
  rd->rule->answer = MK_SERIES;
  rd->rule->nrows = (size_t)n;
  rd->rule->desc = make_desc(names, type_names, 1);
  return rd->rule->desc != NULL ? true : fail_memory(rd);
}

/* ---- errors ------------------------------------------------------------- */

static bool parse_kind(const char *name, enum prg_kind *out) {
  for (int k = 0; k < PRG_K_COUNT_; k++) {
    if (strcmp(prg_kind_name((enum prg_kind)k), name) != 0) continue;
    *out = (enum prg_kind)k;
    return true;
  }
  return false;
}

static const char *const field_names[PRG_EF_COUNT_] = {
    "message", "detail", "hint",   "constraint",
    "schema",  "table",  "column", "sql"};

/* One key=value of an error. */
static bool set_fault(struct mk_fault *f, const char *key, const char *value) {
  int64_t n = 0;
  if (strcmp(key, "sqlstate") == 0) {
    f->sqlstate = value;
    return strlen(value) == 5;
  }
  if (strcmp(key, "code") == 0 || strcmp(key, "position") == 0) {
    if (!parse_int(value, &n) || n < 0 || n > INT32_MAX) return false;
    *(key[0] == 'c' ? &f->code : &f->position) = (int)n;
    return true;
  }
  for (int i = 0; i < PRG_EF_COUNT_; i++) {
    if (strcmp(field_names[i], key) != 0) continue;
    f->field[i] = value;
    return true;
  }
  return false;
}

/* Is the next word key=value? Then it belongs to the error before it. */
static bool next_is_pair(const struct reader *rd) {
  const char *p = rd->p;
  while (p < rd->end && is_blank(*p)) p++;
  const char *key = p;
  while (p < rd->end && *p >= 'a' && *p <= 'z') p++;
  return p > key && p < rd->end && *p == '=';
}

static bool do_error(struct reader *rd) {
  struct mk_fault *f = &rd->rule->fault;
  const char *kind;
  if (!read_text(rd, &kind)) return false;
  if (!parse_kind(kind, &f->kind))
    return fail(rd, "unknown kind of error", kind);
  rd->rule->answer = MK_FAULT;
  f->field[PRG_EF_MESSAGE] = "scripted error";
  skip_blanks(rd);
  if (rd->p < rd->end && *rd->p == '"' &&
      !read_text(rd, &f->field[PRG_EF_MESSAGE]))
    return false;
  while (next_is_pair(rd)) {
    struct word pair;
    if (!read_word(rd, "", &pair)) return false;
    char *value = strchr(pair.p, '=');
    *value++ = '\0';
    if (!set_fault(f, pair.p, value))
      return fail(rd, "not a field of an error, or not its value", pair.p);
  }
  return true;
}

/* ---- actions ------------------------------------------------------------ */

static const char *const phase_names[] = {"queued", "prepare", "execute",
                                          "rows", "done"};

static bool do_at(struct reader *rd) {
  const char *name;
  if (!read_text(rd, &name)) return false;
  for (size_t i = 0; i < sizeof phase_names / sizeof *phase_names; i++) {
    if (strcmp(phase_names[i], name) != 0) continue;
    rd->phase = (enum mk_phase)i;
    return true;
  }
  return fail(rd, "unknown phase", name);
}

/* Behind the others of its phase. */
static bool add_op(struct reader *rd, struct mk_op op) {
  struct mk_op **at = &rd->rule->ops;
  struct mk_op *n = prg_arena_alloc(&rd->script->arena, sizeof *n);
  if (n == NULL) return fail_memory(rd);
  op.phase = rd->phase;
  while (*at != NULL && (*at)->phase <= op.phase) at = &(*at)->next;
  op.next = *at;
  *n = op;
  *at = n;
  return true;
}

static bool do_wait(struct reader *rd) {
  struct mk_op op = {.kind = MK_WAIT};
  return read_duration(rd, &op.n) && add_op(rd, op);
}

static bool do_park(struct reader *rd) {
  struct mk_op op = {.kind = MK_PARK, .n = 1};
  if (next_is_number(rd) && !read_int(rd, &op.n)) return false;
  return add_op(rd, op);
}

static bool do_hang(struct reader *rd) {
  return add_op(rd, (struct mk_op){.kind = MK_HANG});
}

static bool do_cut(struct reader *rd) {
  return add_op(rd, (struct mk_op){.kind = MK_CUT});
}

static bool do_notice(struct reader *rd) {
  struct mk_op op = {.kind = MK_NOTICE};
  return read_text(rd, &op.text) && add_op(rd, op);
}

static bool do_affected(struct reader *rd) {
  return read_int(rd, &rd->rule->affected);
}

static bool do_last_id(struct reader *rd) {
  rd->rule->has_last_id = true;
  return read_int(rd, &rd->rule->last_id);
}

static bool do_times(struct reader *rd) {
  if (!read_int(rd, &rd->rule->times)) return false;
  return rd->rule->times > 0 ? true : fail(rd, "times wants 1 or more", "");
}

static bool do_tag(struct reader *rd) {
  return read_text(rd, &rd->rule->tag);
}

static bool do_dirty(struct reader *rd) {
  return read_text(rd, &rd->rule->dirty);
}

static bool do_echo(struct reader *rd) {
  rd->rule->answer = MK_ECHO;
  return true;
}

static bool do_deaf(struct reader *rd) {
  return rd->rule->deaf = true;
}

static bool do_rolls_back(struct reader *rd) {
  return rd->rule->rolls_back = true;
}

static bool do_wrong_lane(struct reader *rd) {
  return rd->rule->wrong_lane = true;
}

static bool do_die(struct reader *rd) {
  rd->rule->die = 0;
  return next_is_number(rd) ? read_duration(rd, &rd->rule->die) : true;
}

static bool do_tx(struct reader *rd) {
  static const char *const names[] = {"idle", "open", "failed", "unknown"};
  const char *name;
  if (!read_text(rd, &name)) return false;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (strcmp(names[i], name) != 0) continue;
    rd->rule->sets_tx = true;
    rd->rule->tx = (enum prg_tx)i;
    return true;
  }
  return fail(rd, "unknown transaction state", name);
}

static const struct {
  const char *name;
  bool (*read)(struct reader *rd);
} actions[] = {
    {"wait", do_wait},
    {"park", do_park},
    {"hang", do_hang},
    {"cut", do_cut},
    {"notice", do_notice},
    {"at", do_at},
    {"rows", do_rows},
    {"series", do_series},
    {"echo", do_echo},
    {"affected", do_affected},
    {"last_id", do_last_id},
    {"tag", do_tag},
    {"error", do_error},
    {"fail", do_error},
    {"times", do_times},
    {"die", do_die},
    {"dirty", do_dirty},
    {"deaf", do_deaf},
    {"tx", do_tx},
    {"commit-rolls-back", do_rolls_back},
    {"wrong-lane", do_wrong_lane},
};

static bool read_action(struct reader *rd, const char *name) {
  for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
    if (strcmp(actions[i].name, name) == 0) return actions[i].read(rd);
  return fail(rd, "unknown action", name);
}

/* ---- rules -------------------------------------------------------------- */

static bool read_subject(struct reader *rd) {
  struct mk_rule *rule = rd->rule;
  struct word w;
  if (!read_word(rd, "", &w)) return fail(rd, "on wants a subject", "");
  if (w.quoted) {
    rule->pattern = w.p;
  } else if (strcmp(w.p, "any") == 0) {
    rule->pattern = "*";
  } else if (strcmp(w.p, "echo") == 0) {
    rule->subject = MK_ON_ECHO;
    rule->answer = MK_ECHO;
  } else if (strcmp(w.p, "ping") == 0) {
    rule->subject = MK_ON_PING;
  } else if (strcmp(w.p, "reset") == 0) {
    rule->subject = MK_ON_RESET;
  } else if (strcmp(w.p, "connect") == 0) {
    rule->subject = MK_ON_CONNECT;
    if (next_is_number(rd)) return read_int(rd, &rule->nth);
  } else {
    return fail(rd, "a subject is \"sql\", any, echo, connect, ping or reset",
                w.p);
  }
  return true;
}

static bool read_rule(struct reader *rd) {
  struct word w;
  if (!read_word(rd, "", &w)) return rd->err == NULL;
  if (strcmp(w.p, "on") != 0) return fail(rd, "a rule begins with on", w.p);
  struct mk_rule *rule = prg_arena_alloc(&rd->script->arena, sizeof *rule);
  if (rule == NULL) return fail_memory(rd);
  *rule = (struct mk_rule){.affected = -1, .die = -1};
  struct mk_rule **at = &rd->script->rules;
  while (*at != NULL) at = &(*at)->next;
  *at = rd->rule = rule; /* before desc is made: unref frees it */
  rd->phase = MK_EXECUTE;
  if (!read_subject(rd)) return false;
  while (read_word(rd, "", &w))
    if (!read_action(rd, w.p)) return false;
  return rd->err == NULL;
}

struct mk_script *mk_script_new(const char *text, struct prg_error **err) {
  struct mk_script *s = prg_calloc(1, sizeof *s);
  struct reader rd = {.script = s};
  if (s == NULL) goto no_memory;
  s->refs = 1;
  prg_arena_init(&s->arena);
  s->text = prg_strdup(text);
  if (s->text == NULL) goto no_memory;
  const char *p = text;
  while (*p != '\0') {
    size_t n = strcspn(p, "\n");
    rd.p = p;
    rd.end = p + n;
    rd.line++;
    p += n + (p[n] == '\n');
    skip_blanks(&rd);
    if (rd.p < rd.end && *rd.p == '#') continue;
    if (!read_rule(&rd)) goto failed;
  }
  return s;
no_memory:
  rd.err = prg_error_oom();
failed:
  *err = rd.err;
  mk_script_unref(s);
  return NULL;
}

struct mk_script *mk_script_ref(struct mk_script *s) {
  s->refs++;
  return s;
}

void mk_script_unref(struct mk_script *s) {
  if (s == NULL || --s->refs > 0) return;
  for (struct mk_rule *r = s->rules; r != NULL; r = r->next)
    if (r->desc != NULL) prg_desc_unref(r->desc);
  prg_arena_fini(&s->arena);
  prg_free(s->text);
  prg_free(s);
}

/* ---- looking up --------------------------------------------------------- */

static bool is_space(char c) {
  return is_blank(c) || c == '\n';
}

/* Upper and lower case are the same, and so are all blanks and line ends. */
static bool same_char(char a, char b) {
  if (a >= 'A' && a <= 'Z') a = (char)(a + 32);
  if (b >= 'A' && b <= 'Z') b = (char)(b + 32);
  return a == b || (is_space(a) && is_space(b));
}

/* `*` stands for any text; nothing else is special. */
static bool matches(const char *pattern, const char *s, size_t len) {
  const char *end = s + len;
  const char *star = NULL, *retry = NULL;
  while (s < end) {
    if (*pattern == '*') {
      star = pattern++;
      retry = s;
    } else if (*pattern != '\0' && same_char(*pattern, *s)) {
      pattern++;
      s++;
    } else if (star != NULL) {
      pattern = star + 1;
      s = ++retry;
    } else {
      return false;
    }
  }
  while (*pattern == '*') pattern++;
  return *pattern == '\0';
}

static bool is_echo(const struct mk_question *q) {
  return q->nparams > 0 && q->len > 8 &&
         (matches("select $*", q->sql, q->len) ||
          matches("select ?*", q->sql, q->len));
}

static bool fits(const struct mk_rule *r, const struct mk_question *q) {
  if (r->times > 0 && r->uses >= r->times) return false;
  if (r->subject == MK_ON_ECHO) return q->subject == MK_ON_SQL && is_echo(q);
  if (r->subject != q->subject) return false;
  if (r->subject == MK_ON_SQL) return matches(r->pattern, q->sql, q->len);
  return r->nth == 0 || r->nth == q->nth;
}

struct mk_rule *mk_script_find(struct mk_script *s,
                               const struct mk_question *q) {
  for (struct mk_rule *r = s->rules; r != NULL; r = r->next)
    if (fits(r, q)) return r;
  return NULL;
}
