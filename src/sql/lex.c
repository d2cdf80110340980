/*
** Sources: PostgreSQL 17 manual 4.1 and its scan.l; SQLite "SQL As Understood"
** and its tokenize.c; MySQL 8.4 manual 11.1 (literals), 11.2 (names), 11.7
** (comments).
*/
#include "sql/lex_int.h"

#include <string.h>

static bool has(const struct prg__lexer *lx, enum prg_lex bit) {
  return (lx->d->lex & bit) != 0;
}

static size_t left(const struct prg__lexer *lx) {
  return (size_t)(lx->end - lx->at);
}

/* The character `i` places on, or a zero byte past the end (there is none in
** the text itself). */
static char peek(const struct prg__lexer *lx, size_t i) {
  return i < left(lx) ? lx->at[i] : '\0';
}

static bool is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

/* ---- blanks and comments ------------------------------------------------ */

static void skip_line(struct prg__lexer *lx) {
  while (lx->at < lx->end && *lx->at != '\n' && *lx->at != '\r') lx->at++;
}

/* At slash-star. False when the comment has no end; `at` stays then. */
static bool skip_block(struct prg__lexer *lx) {
  const char *p = lx->at + 2;
  size_t depth = 1;
  while (p + 1 < lx->end) {
    if (p[0] == '*' && p[1] == '/') {
      p += 2;
      if (--depth == 0) {
        lx->at = p;
        return true;
      }
    } else if (p[0] == '/' && p[1] == '*' && has(lx, PRG_LEX_NESTED_COMMENT)) {
      p += 2;
      depth++;
    } else {
      p++;
    }
  }
  return false;
}

/* MySQL executes the text of slash-star-! 80000 … and MariaDB that of
** slash-star-M!: only the marks are comments. */
static bool skip_code_mark(struct prg__lexer *lx) {
  size_t n;
  if (!has(lx, PRG_LEX_CODE_COMMENT) || lx->in_code) return false;
  if (peek(lx, 2) == '!')
    n = 3;
  else if (peek(lx, 2) == 'M' && peek(lx, 3) == '!')
    n = 4;
  else
    return false;
  while (prg__is_digit(peek(lx, n))) n++;
  lx->at += n;
  lx->in_code = true;
  return true;
}

static bool at_line_comment(const struct prg__lexer *lx) {
  char c;
  if (*lx->at == '#') return has(lx, PRG_LEX_HASH_COMMENT);
  if (*lx->at != '-' || peek(lx, 1) != '-') return false;
  c = peek(lx, 2);
  return !has(lx, PRG_LEX_DASH_BLANK) || (unsigned char)c <= ' ' || c == 127;
}

/* False: a comment without an end, `at` is on it. */
static bool skip_blanks(struct prg__lexer *lx) {
  while (lx->at < lx->end) {
    char c = *lx->at;
    if (is_space(c)) {
      lx->at++;
    } else if (at_line_comment(lx)) {
      skip_line(lx);
    } else if (c == '/' && peek(lx, 1) == '*') {
      if (!skip_code_mark(lx) && !skip_block(lx)) return false;
    } else if (lx->in_code && c == '*' && peek(lx, 1) == '/') {
      lx->at += 2;
      lx->in_code = false;
    } else {
      return true;
    }
  }
  return true;
}

/* ---- tokens ------------------------------------------------------------- */

static void take(struct prg__lexer *lx, struct prg__tok *t,
                 enum prg__tok_kind kind, size_t len) {
  t->kind = kind;
  t->at = lx->at;
  t->len = len;
  lx->at += len;
}

static void take_bad(struct prg__lexer *lx, struct prg__tok *t,
                     const char *what) {
  lx->fault = what;
  take(lx, t, PRG__T_BAD, 0);
}

/* `p` is behind the opening quote. What is behind the closing one (a doubled
** one is part of the text), or NULL. */
static const char *quote_end(const struct prg__lexer *lx, const char *p,
                             char quote, bool backslash) {
  while (p < lx->end) {
    if (*p == '\\' && backslash) {
      p += lx->end - p > 1 ? 2 : 1;
    } else if (*p != quote) {
      p++;
    } else if (p + 1 < lx->end && p[1] == quote && quote != ']') {
      p += 2;
    } else {
      return p + 1;
    }
  }
  return NULL;
}

/* A literal goes on behind blanks with a line break, and with it E'…' and its
** backslashes. Where the next part begins (behind its quote), or NULL. */
static const char *continuation(const struct prg__lexer *lx, const char *p) {
  struct prg__lexer ahead = *lx;
  bool newline = false;
  for (ahead.at = p; ahead.at < ahead.end;) {
    if (*ahead.at == '-' && peek(&ahead, 1) == '-') {
      skip_line(&ahead);
    } else if (is_space(*ahead.at)) {
      newline = newline || *ahead.at == '\n' || *ahead.at == '\r';
      ahead.at++;
    } else {
      return newline && *ahead.at == '\'' ? ahead.at + 1 : NULL;
    }
  }
  return NULL;
}

/* A quoted text that begins `skip` characters on (behind E). */
static void take_quoted(struct prg__lexer *lx, struct prg__tok *t,
                        enum prg__tok_kind kind, size_t skip) {
  char quote = lx->at[skip];
  bool escapes =
      skip > 0 || (kind == PRG__T_STRING && has(lx, PRG_LEX_BACKSLASH));
  const char *p = lx->at + skip + 1;
  const char *end = quote_end(lx, p, quote == '[' ? ']' : quote, escapes);
  while (skip > 0 && end != NULL) {
    p = continuation(lx, end);
    if (p == NULL) break;
    end = quote_end(lx, p, quote, escapes);
  }
  if (end == NULL)
    take_bad(lx, t, kind == PRG__T_NAME ? "quoted name" : "string literal");
  else
    take(lx, t, kind, (size_t)(end - lx->at));
}

static void take_word(struct prg__lexer *lx, struct prg__tok *t) {
  size_t n = 1;
  if ((*lx->at == 'e' || *lx->at == 'E') && peek(lx, 1) == '\'' &&
      has(lx, PRG_LEX_E_STRING)) {
    take_quoted(lx, t, PRG__T_STRING, 1);
    return;
  }
  while (prg__is_name_char(peek(lx, n)) || peek(lx, n) == '$') n++;
  take(lx, t, PRG__T_WORD, n);
  prg__word_lookup(t);
}

static bool is_hex(char c) {
  return prg__is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* A letter behind a number begins a word: servers disagree on 1OR, and the
** scanner must not overlook a keyword. */
static void take_number(struct prg__lexer *lx, struct prg__tok *t) {
  size_t n = 1;
  if (*lx->at == '0' && (peek(lx, 1) == 'x' || peek(lx, 1) == 'X')) {
    for (n = 2; is_hex(peek(lx, n)) || peek(lx, n) == '_';) n++;
  } else {
    while (prg__is_digit(peek(lx, n)) || peek(lx, n) == '.' ||
           peek(lx, n) == '_')
      n++;
    if (peek(lx, n) == 'e' || peek(lx, n) == 'E') {
      size_t sign = peek(lx, n + 1) == '+' || peek(lx, n + 1) == '-';
      if (prg__is_digit(peek(lx, n + 1 + sign))) n += 2 + sign;
      while (prg__is_digit(peek(lx, n))) n++;
    }
  }
  take(lx, t, PRG__T_NUMBER, n);
}

/* At $tag$: its length, or 0 when it is none. */
static size_t dollar_tag(const struct prg__lexer *lx) {
  size_t n = 1;
  if (!has(lx, PRG_LEX_DOLLAR_QUOTE)) return 0;
  if (prg__is_name_start(peek(lx, 1)))
    while (prg__is_name_char(peek(lx, n))) n++;
  return peek(lx, n) == '$' ? n + 1 : 0;
}

static void take_dollar(struct prg__lexer *lx, struct prg__tok *t) {
  size_t n = dollar_tag(lx);
  if (n > 0) {
    const char *body = lx->at + n;
    const char *end = memmem(body, left(lx) - n, lx->at, n);
    if (end == NULL)
      take_bad(lx, t, "dollar-quoted string");
    else
      take(lx, t, PRG__T_STRING, (size_t)(end - lx->at) + n);
    return;
  }
  for (n = 1; prg__is_digit(peek(lx, n));) n++;
  if (n > 1) {
    take(lx, t, PRG__T_DOLLAR, n);
    return;
  }
  while (prg__is_name_char(peek(lx, n))) n++;
  take(lx, t,
       n > 1 && has(lx, PRG_LEX_NATIVE_PARAM) ? PRG__T_NATIVE : PRG__T_OP, n);
}

static void take_at(struct prg__lexer *lx, struct prg__tok *t) {
  size_t n = 1;
  if (peek(lx, 1) == '?' && has(lx, PRG_LEX_JSON_QMARK)) {
    take(lx, t, PRG__T_OP, 2);
    return;
  }
  if (has(lx, PRG_LEX_AT_VAR)) {
    if (peek(lx, 1) == '@') n++;
    while (prg__is_name_char(peek(lx, n)) || peek(lx, n) == '$' ||
           (n > 1 && peek(lx, n) == '.'))
      n++;
    take(lx, t, n > 1 ? PRG__T_VAR : PRG__T_OP, n);
  } else if (has(lx, PRG_LEX_NATIVE_PARAM)) {
    while (prg__is_name_char(peek(lx, n))) n++;
    take(lx, t, n > 1 ? PRG__T_NATIVE : PRG__T_OP, n);
  } else {
    take(lx, t, PRG__T_OP, 1);
  }
}

static void take_colon(struct prg__lexer *lx, struct prg__tok *t) {
  if (peek(lx, 1) == ':')
    take(lx, t, PRG__T_CAST, 2);
  else if (peek(lx, 1) == '=')
    take(lx, t, PRG__T_ASSIGN, 2);
  else
    take(lx, t, PRG__T_COLON, 1);
}

static enum prg__tok_kind single(char c) {
  switch (c) {
    case '(':
      return PRG__T_OPEN;
    case ')':
      return PRG__T_CLOSE;
    case '[':
      return PRG__T_LBRACKET;
    case ']':
      return PRG__T_RBRACKET;
    case ';':
      return PRG__T_SEMI;
    case '.':
      return PRG__T_DOT;
    case '?':
      return PRG__T_QMARK;
    default:
      return PRG__T_OP;
  }
}

/* Quoted texts; false when `c` begins none. */
static bool take_if_quoted(struct prg__lexer *lx, struct prg__tok *t, char c) {
  if (c == '\'')
    take_quoted(lx, t, PRG__T_STRING, 0);
  else if (c == '"')
    take_quoted(
        lx, t, has(lx, PRG_LEX_DQUOTE_STRING) ? PRG__T_STRING : PRG__T_NAME, 0);
  else if ((c == '`' && has(lx, PRG_LEX_BACKTICK)) ||
           (c == '[' && has(lx, PRG_LEX_BRACKET)))
    take_quoted(lx, t, PRG__T_NAME, 0);
  else
    return false;
  return true;
}

void prg__lex_next(struct prg__lexer *lx, struct prg__tok *t) {
  char c;
  t->kw = PRG__KW_NONE;
  t->no_end = t->no_start = false;
  if (!skip_blanks(lx)) {
    take_bad(lx, t, "comment");
    return;
  }
  if (lx->at == lx->end) {
    if (lx->in_code)
      take_bad(lx, t, "comment");
    else
      take(lx, t, PRG__T_END, 0);
    return;
  }
  c = *lx->at;
  if (prg__is_name_start(c))
    take_word(lx, t);
  else if (prg__is_digit(c))
    take_number(lx, t);
  else if (c == '$')
    take_dollar(lx, t);
  else if (c == '@')
    take_at(lx, t);
  else if (c == ':')
    take_colon(lx, t);
  else if (!take_if_quoted(lx, t, c))
    take(lx, t, single(c), 1);
}

void prg__lex_init(struct prg__lexer *lx, const struct prg_dialect *d,
                   const char *sql, size_t len) {
  lx->d = d;
  lx->at = sql;
  lx->end = sql + len;
  lx->in_code = false;
  lx->fault = NULL;
}
