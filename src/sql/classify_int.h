/*
** What kind of statement is it? Fed with every token of the text, in order.
** Private to this folder.
*/
#ifndef PRG_SQL_CLASSIFY_INT_H
#define PRG_SQL_CLASSIFY_INT_H

#include "sql/lex_int.h"
#include "sql/scan.h"

enum prg__form {
  PRG__F_NONE,  /* nothing but opening parentheses so far */
  PRG__F_QUERY, /* SELECT, VALUES, TABLE, WITH */
  PRG__F_INSERT,
  PRG__F_CREATE,
  PRG__F_COPY,
  PRG__F_PRAGMA,
  PRG__F_EXPLAIN, /* the statement that is explained has not come yet */
  PRG__F_OTHER
};

/* One statement as far as it is read. */
struct prg__statement {
  enum prg__form form;
  struct prg__tok first, second; /* its first two words; len 0: not there */
  struct prg__tok last[3];       /* the tokens before this one, newest first */
  struct prg__tok pragma;        /* name of the PRAGMA */
  size_t depth;                  /* open parentheses */
  size_t block;                  /* BEGIN and CASE without their END */
  bool explain, analyze;         /* EXPLAIN, with ANALYZE */
  bool routine;                  /* CREATE FUNCTION, TRIGGER, … */
  bool into, into_open;          /* INTO; its target comes next */
  bool write;                    /* INSERT, UPDATE, DELETE, MERGE */
  bool select, values;
  bool temp;   /* CREATE TEMP, INTO TEMP */
  bool stream; /* FROM STDIN, TO STDOUT */
  bool touch;
  bool argument; /* PRAGMA with a value */
};

struct prg__class {
  const struct prg_dialect *d;
  struct prg__statement s;
  size_t statements; /* finished ones */
  unsigned any, all; /* flags that any, that all of them have */
  bool locking, unbalanced;
  struct prg__tok keyword; /* first word of the first statement */
};

void prg__class_init(struct prg__class *c, const struct prg_dialect *d);
/* END finishes the last statement. */
void prg__class_token(struct prg__class *c, const struct prg__tok *t);
/* After END: flags, locking and keyword of the text. */
void prg__class_result(const struct prg__class *c, struct prg_scan *out);

#endif
