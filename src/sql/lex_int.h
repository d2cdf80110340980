/*
** The lexer of src/sql: cuts SQL into tokens as the dialect's own server does,
** so that what looks like a parameter inside a literal, a name or a comment is
** none. Private to this folder.
*/
#ifndef PRG_SQL_LEX_INT_H
#define PRG_SQL_LEX_INT_H

#include <stdbool.h>
#include <stddef.h>

#include "sql/dialect.h"

enum prg__tok_kind {
  PRG__T_END,
  PRG__T_BAD,    /* no end: see prg__lexer.fault */
  PRG__T_WORD,   /* keyword or bare name */
  PRG__T_NAME,   /* quoted name, with its quotes */
  PRG__T_STRING, /* literal, with its quotes */
  PRG__T_NUMBER,
  PRG__T_VAR,    /* @name, @@name where that is a variable */
  PRG__T_DOLLAR, /* $1 */
  PRG__T_QMARK,  /* ?, one character */
  PRG__T_COLON,  /* :, one character; what follows decides */
  PRG__T_NATIVE, /* @name or $name where the database would take it for a
                    parameter */
  PRG__T_CAST,   /* :: */
  PRG__T_ASSIGN, /* := */
  PRG__T_DOT,
  PRG__T_SEMI,
  PRG__T_OPEN,     /* ( */
  PRG__T_CLOSE,    /* ) */
  PRG__T_LBRACKET, /* [ where that is no quote */
  PRG__T_RBRACKET,
  PRG__T_OP /* anything else, one character (and the operator @?) */
};

/* Words that the scanner tells apart; every other word is PRG__KW_NONE. */
enum prg__kw {
  PRG__KW_NONE,
  PRG__KW_ANALYZE,
  PRG__KW_ATOMIC,
  PRG__KW_BEGIN,
  PRG__KW_CASE,
  PRG__KW_COPY,
  PRG__KW_CREATE,
  PRG__KW_DECLARE,
  PRG__KW_DELETE,
  PRG__KW_END,
  PRG__KW_EXECUTE,
  PRG__KW_EXISTS,
  PRG__KW_EXPLAIN,
  PRG__KW_FOR,
  PRG__KW_FROM,
  PRG__KW_GLOBAL,
  PRG__KW_INSERT,
  PRG__KW_INTO,
  PRG__KW_KEY,
  PRG__KW_LOCAL,
  PRG__KW_IN,
  PRG__KW_LOOP, /* IF, LOOP, WHILE, REPEAT: may follow END */
  PRG__KW_MERGE,
  PRG__KW_OBJECT, /* TABLE, VIEW, SEQUENCE: what can be temporary */
  PRG__KW_PRAGMA,
  PRG__KW_REFRESH,
  PRG__KW_REPLACE,
  PRG__KW_ROUTINE, /* FUNCTION, PROCEDURE, EVENT: may have a body */
  PRG__KW_SELECT,
  PRG__KW_SHARE,
  PRG__KW_STREAM, /* STDIN, STDOUT */
  PRG__KW_TABLE,
  PRG__KW_TEMP, /* TEMP, TEMPORARY */
  PRG__KW_TO,
  PRG__KW_TRIGGER, /* has a body, and can be temporary */
  PRG__KW_UPDATE,
  PRG__KW_VALUES,
  PRG__KW_WITH
};

struct prg__tok {
  enum prg__tok_kind kind;
  const char *at;
  size_t len;
  enum prg__kw kw; /* of a WORD */
  bool no_end;     /* a WORD that does not end an operand: WHERE, AND, … */
  bool no_start;   /* a WORD that does not begin one: AND, FROM, … */
};

struct prg__lexer {
  const struct prg_dialect *d;
  const char *at, *end;
  bool in_code;      /* inside a comment whose text is executed */
  const char *fault; /* after BAD: what has no end; static */
};

void prg__lex_init(struct prg__lexer *lx, const struct prg_dialect *d,
                   const char *sql, size_t len);
/* The next token; END again and again at the end. After BAD the lexer is not
** to be used. A copied lexer looks ahead without moving the original. */
void prg__lex_next(struct prg__lexer *lx, struct prg__tok *t);

/* Fills in kw, no_end and no_start of a WORD. */
void prg__word_lookup(struct prg__tok *t);
/* Is the text `upper` (upper case), letter case aside? ASCII only, so that no
** locale plays a part. */
bool prg__text_is(const char *at, size_t len, const char *upper);
/* May `c` begin, or go on, a name? Every byte over 127 may. */
bool prg__is_name_start(char c);
bool prg__is_name_char(char c);
bool prg__is_digit(char c);
/* NULL when the text is UTF-8 without zero bytes, else its first bad byte. */
const char *prg__text_check(const char *text, size_t len);
/* How much of a text fits into `max` bytes without cutting a character. */
size_t prg__text_cut(const char *text, size_t len, size_t max);

#endif
