#include "driver/sqlite/sl_int.h"

#include <string.h>
#include <strings.h>

/* One token of a text. */
struct token {
  const char *p; /* its first character; at the end of the text: the zero */
  size_t n;
  enum { T_END, T_WORD, T_QUOTED, T_STRING, T_OTHER } type;
};

static bool is_word_char(char ch) {
  unsigned char u = (unsigned char)ch;
  return u >= 0x80 || u == '_' || u == '$' || (u >= '0' && u <= '9') ||
         (u >= 'a' && u <= 'z') || (u >= 'A' && u <= 'Z');
}

static bool is_blank(char ch) {
  return ch == ' ' || ch == '\t' || ch == '\n' || ch == '\r' || ch == '\f';
}

/* Past one comment at `p`, or `p` itself when there is none. */
static const char *skip_comment(const char *p) {
  const char *end;

  if (p[0] == '-' && p[1] == '-') {
    end = strchr(p, '\n');
    return end == NULL ? p + strlen(p) : end + 1;
  }
  if (p[0] == '/' && p[1] == '*') {
    end = strstr(p + 2, "*/");
    return end == NULL ? p + strlen(p) : end + 2;
  }
  return p;
}

static const char *skip_space(const char *p) {
  for (;;) {
    const char *q = skip_comment(p);
    if (q == p) {
      if (!is_blank(*p)) return p;
      q = p + 1;
    }
    p = q;
  }
}

const char *sl_skip_blank(const char *sql) {
  for (;;) {
    sql = skip_space(sql);
    if (*sql != ';') return sql;
    sql++;
  }
}

/* Past the quoted token at `p`; a doubled quote stands for one. */
static const char *skip_quoted(const char *p) {
  char close = *p == '[' ? ']' : *p;

  for (p++; *p != '\0'; p++) {
    if (*p != close) continue;
    if (close == ']' || p[1] != close) return p + 1;
    p++;
  }
  return p;
}

static struct token next_token(const char **at) {
  struct token t = {skip_space(*at), 0, T_OTHER};
  const char *end = t.p + 1;

  if (*t.p == '\0') {
    t.type = T_END;
    end = t.p;
  } else if (is_word_char(*t.p)) {
    t.type = T_WORD;
    while (is_word_char(*end)) end++;
  } else if (*t.p == '\'') {
    t.type = T_STRING;
    end = skip_quoted(t.p);
  } else if (strchr("\"`[", *t.p) != NULL) {
    t.type = T_QUOTED;
    end = skip_quoted(t.p);
  }
  t.n = (size_t)(end - t.p);
  *at = end;
  return t;
}

static bool is_word(const struct token *t, const char *word) {
  return t->type == T_WORD && t->n == strlen(word) &&
         strncasecmp(t->p, word, t->n) == 0;
}

/* The verb of a WITH: the first one that is not inside parentheses. */
static struct token main_verb(const char **at) {
  static const char *const verbs[] = {"SELECT",  "VALUES", "INSERT",
                                      "REPLACE", "UPDATE", "DELETE"};
  int depth = 0;

  for (;;) {
    struct token t = next_token(at);
    if (t.type == T_END) return t;
    if (t.type == T_OTHER && *t.p == '(') depth++;
    if (t.type == T_OTHER && *t.p == ')') depth--;
    if (depth != 0) continue;
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
      if (is_word(&t, verbs[i])) return t;
    }
  }
}

/* The table of an INSERT or REPLACE whose verb ends at `at`. */
static struct prg_text read_into(const char *at) {
  struct prg_text none = {NULL, 0};
  struct token t, dot;
  const char *ahead;

  do {
    t = next_token(&at);
  } while (t.type == T_WORD && !is_word(&t, "INTO"));
  if (t.type != T_WORD) return none;
  t = next_token(&at);
  ahead = at;
  dot = next_token(&ahead);
  if (dot.type == T_OTHER && *dot.p == '.') t = next_token(&ahead);
  if (t.type == T_WORD) return (struct prg_text){t.p, t.n};
  if (t.type != T_QUOTED && t.type != T_STRING) return none;
  /* A name with its own quote inside is not worth undoing: unknown. */
  if (t.n < 3 || (*t.p != '[' && memchr(t.p + 1, *t.p, t.n - 2) != NULL))
    return none;
  return (struct prg_text){t.p + 1, t.n - 2};
}

/* The number of the parameter "?12" whose question mark was read; 0: it has
** none. */
static int read_number(const char **at) {
  int n = 0;

  while (**at >= '0' && **at <= '9' && n < 100000) n = n * 10 + *(*at)++ - '0';
  return n;
}

static bool is_char(const struct token *t, char ch) {
  return t->type == T_OTHER && *t->p == ch;
}

void sl_list_params(const char *sql, int n, unsigned char *use) {
  struct token t = {sql, 0, T_END}, before = t, name = t;
  int last = 0; /* a plain "?" is the number after the largest so far */

  do {
    name = before;
    before = t;
    t = next_token(&sql);
    if (!is_char(&t, '?')) continue;
    int i = read_number(&sql);
    if (i == 0) i = last + 1;
    if (i > last) last = i;
    const char *ahead = sql;
    struct token after = next_token(&ahead);
    bool alone = is_word(&name, SL_LIST) && is_char(&before, '(') &&
                 is_char(&after, ')');
    if (i >= 1 && i <= n) use[i - 1] |= alone ? SL_AS_LIST : SL_AS_VALUE;
  } while (t.type != T_END);
}

/* "(?1, …, ?n)" or "(?, …, ?)", and the end. */
static bool is_all_params(const char *at, int n) {
  struct token t = next_token(&at);

  if (!is_char(&t, '(')) return false;
  for (int i = 1; i <= n; i++) {
    t = next_token(&at);
    if (!is_char(&t, '?')) return false;
    int k = read_number(&at); /* 0: the number after the last one */
    if (k != 0 && k != i) return false;
    t = next_token(&at);
    if (!is_char(&t, i < n ? ',' : ')')) return false;
  }
  return n > 0 && next_token(&at).type == T_END;
}

static bool is_name(const struct token *t) {
  return t->type == T_WORD || t->type == T_QUOTED;
}

bool sl_values_head(const char *sql, int n, size_t *head) {
  const char *at = sl_skip_blank(sql);
  struct token t = next_token(&at);

  if (!is_word(&t, "INSERT")) return false;
  t = next_token(&at);
  if (!is_word(&t, "INTO")) return false;
  t = next_token(&at);
  if (!is_name(&t)) return false;
  t = next_token(&at);
  if (is_char(&t, '(')) {
    do {
      t = next_token(&at);
    } while (is_name(&t) || is_char(&t, ','));
    if (!is_char(&t, ')')) return false;
    t = next_token(&at);
  }
  if (!is_word(&t, "VALUES")) return false;
  *head = (size_t)(t.p - sql);
  return is_all_params(at, n);
}

static const struct {
  const char *word;
  const char *tag;
  enum sl_verb verb;
} verbs[] = {
    {"SELECT", "SELECT", SL_V_SELECT},
    {"VALUES", "SELECT", SL_V_SELECT},
    {"INSERT", "INSERT", SL_V_INSERT},
    {"REPLACE", "INSERT", SL_V_INSERT},
    {"UPDATE", "UPDATE", SL_V_UPDATE},
    {"DELETE", "DELETE", SL_V_DELETE},
    {"EXPLAIN", "EXPLAIN", SL_V_EXPLAIN},
    {"PRAGMA", "PRAGMA", SL_V_PRAGMA},
    {"BEGIN", "BEGIN", SL_V_BEGIN},
    {"COMMIT", "COMMIT", SL_V_COMMIT},
    {"END", "COMMIT", SL_V_COMMIT},
    {"ROLLBACK", "ROLLBACK", SL_V_ROLLBACK},
    {"SAVEPOINT", "SAVEPOINT", SL_V_SAVEPOINT},
    {"RELEASE", "RELEASE", SL_V_RELEASE},
};

static void set_tag(struct sl_command *out, const char *p, size_t n) {
  if (n >= sizeof(out->tag)) n = sizeof(out->tag) - 1;
  for (size_t i = 0; i < n; i++) {
    out->tag[i] = p[i] >= 'a' && p[i] <= 'z' ? (char)(p[i] - 32) : p[i];
  }
  out->tag[n] = '\0';
}

/* ROLLBACK [TRANSACTION] TO …? */
static bool is_rollback_to(const char *at) {
  struct token t = next_token(&at);

  if (is_word(&t, "TRANSACTION")) t = next_token(&at);
  return is_word(&t, "TO");
}

void sl_command_read(const char *sql, struct sl_command *out) {
  const char *at = sl_skip_blank(sql);
  struct token t = next_token(&at);

  memset(out, 0, sizeof(*out));
  out->verb = SL_V_OTHER;
  if (is_word(&t, "WITH")) t = main_verb(&at);
  if (t.type != T_WORD) return;
  set_tag(out, t.p, t.n);
  for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
    if (!is_word(&t, verbs[i].word)) continue;
    out->verb = verbs[i].verb;
    set_tag(out, verbs[i].tag, strlen(verbs[i].tag));
  }
  if (out->verb == SL_V_INSERT) out->into = read_into(at);
  if (out->verb == SL_V_ROLLBACK && is_rollback_to(at))
    out->verb = SL_V_ROLLBACK_TO;
}
