/* The words that mean something to the scanner. */
#include "sql/lex_int.h"

/* E: does not end an operand, so a ? after it is a parameter. S: does not
** begin one, so a ? before it is a parameter. PostgreSQL's reserved words and
** what stands between operands besides; words that are no operators and that
** people call columns (date, key, values) are left out on purpose. */
enum { E = 1, S = 2, ES = 3 };

struct word {
  const char *name;
  enum prg__kw kw;
  unsigned bits;
};

/* Sorted by name. */
static const struct word words[] = {
    {"ALL", PRG__KW_NONE, E},          {"ANALYSE", PRG__KW_ANALYZE, E},
    {"ANALYZE", PRG__KW_ANALYZE, E},   {"AND", PRG__KW_NONE, ES},
    {"ANY", PRG__KW_NONE, E},          {"ARRAY", PRG__KW_NONE, E},
    {"AS", PRG__KW_NONE, ES},          {"ASC", PRG__KW_NONE, S},
    {"ASYMMETRIC", PRG__KW_NONE, E},   {"AT", PRG__KW_NONE, S},
    {"ATOMIC", PRG__KW_ATOMIC, 0},     {"BEGIN", PRG__KW_BEGIN, 0},
    {"BETWEEN", PRG__KW_NONE, ES},     {"BINARY", PRG__KW_NONE, E},
    {"BOTH", PRG__KW_NONE, E},         {"BY", PRG__KW_NONE, ES},
    {"CALL", PRG__KW_NONE, E},         {"CASE", PRG__KW_CASE, E},
    {"CAST", PRG__KW_NONE, E},         {"COLLATE", PRG__KW_NONE, ES},
    {"COPY", PRG__KW_COPY, 0},         {"CREATE", PRG__KW_CREATE, E},
    {"CROSS", PRG__KW_NONE, ES},       {"DECLARE", PRG__KW_DECLARE, 0},
    {"DEFAULT", PRG__KW_NONE, E},      {"DELETE", PRG__KW_DELETE, 0},
    {"DESC", PRG__KW_NONE, S},         {"DISTINCT", PRG__KW_NONE, E},
    {"DIV", PRG__KW_NONE, ES},         {"DO", PRG__KW_NONE, ES},
    {"ELSE", PRG__KW_NONE, ES},        {"END", PRG__KW_END, S},
    {"ESCAPE", PRG__KW_NONE, ES},      {"EVENT", PRG__KW_ROUTINE, 0},
    {"EXCEPT", PRG__KW_NONE, ES},      {"EXECUTE", PRG__KW_EXECUTE, 0},
    {"EXISTS", PRG__KW_EXISTS, E},     {"EXPLAIN", PRG__KW_EXPLAIN, 0},
    {"FETCH", PRG__KW_NONE, ES},       {"FILTER", PRG__KW_NONE, S},
    {"FOLLOWING", PRG__KW_NONE, S},    {"FOR", PRG__KW_FOR, ES},
    {"FROM", PRG__KW_FROM, ES},        {"FULL", PRG__KW_NONE, ES},
    {"FUNCTION", PRG__KW_ROUTINE, 0},  {"GLOB", PRG__KW_NONE, ES},
    {"GLOBAL", PRG__KW_GLOBAL, 0},     {"GROUP", PRG__KW_NONE, ES},
    {"HAVING", PRG__KW_NONE, ES},      {"IF", PRG__KW_LOOP, 0},
    {"ILIKE", PRG__KW_NONE, ES},       {"IN", PRG__KW_IN, ES},
    {"INNER", PRG__KW_NONE, ES},       {"INSERT", PRG__KW_INSERT, 0},
    {"INTERSECT", PRG__KW_NONE, ES},   {"INTO", PRG__KW_INTO, ES},
    {"IS", PRG__KW_NONE, ES},          {"ISNULL", PRG__KW_NONE, S},
    {"JOIN", PRG__KW_NONE, ES},        {"KEY", PRG__KW_KEY, 0},
    {"LATERAL", PRG__KW_NONE, ES},     {"LEADING", PRG__KW_NONE, E},
    {"LEFT", PRG__KW_NONE, ES},        {"LIKE", PRG__KW_NONE, ES},
    {"LIMIT", PRG__KW_NONE, ES},       {"LOCAL", PRG__KW_LOCAL, 0},
    {"LOOP", PRG__KW_LOOP, 0},         {"MATERIALIZED", PRG__KW_NONE, 0},
    {"MERGE", PRG__KW_MERGE, 0},       {"NATURAL", PRG__KW_NONE, ES},
    {"NOT", PRG__KW_NONE, ES},         {"NOTNULL", PRG__KW_NONE, S},
    {"NULLS", PRG__KW_NONE, S},        {"OFFSET", PRG__KW_NONE, ES},
    {"ON", PRG__KW_NONE, ES},          {"ONLY", PRG__KW_NONE, ES},
    {"OR", PRG__KW_NONE, ES},          {"ORDER", PRG__KW_NONE, ES},
    {"OUTER", PRG__KW_NONE, ES},       {"OVER", PRG__KW_NONE, S},
    {"OVERLAPS", PRG__KW_NONE, ES},    {"PLACING", PRG__KW_NONE, ES},
    {"PRAGMA", PRG__KW_PRAGMA, 0},     {"PRECEDING", PRG__KW_NONE, S},
    {"PROCEDURE", PRG__KW_ROUTINE, 0}, {"REFRESH", PRG__KW_REFRESH, 0},
    {"REGEXP", PRG__KW_NONE, ES},      {"REPEAT", PRG__KW_LOOP, 0},
    {"REPLACE", PRG__KW_REPLACE, 0},   {"RETURN", PRG__KW_NONE, E},
    {"RETURNING", PRG__KW_NONE, ES},   {"RIGHT", PRG__KW_NONE, ES},
    {"RLIKE", PRG__KW_NONE, ES},       {"ROW", PRG__KW_NONE, S},
    {"ROWS", PRG__KW_NONE, S},         {"SELECT", PRG__KW_SELECT, E},
    {"SEQUENCE", PRG__KW_OBJECT, 0},   {"SET", PRG__KW_NONE, S},
    {"SHARE", PRG__KW_SHARE, 0},       {"SIMILAR", PRG__KW_NONE, ES},
    {"SOME", PRG__KW_NONE, E},         {"STDIN", PRG__KW_STREAM, 0},
    {"STDOUT", PRG__KW_STREAM, 0},     {"SYMMETRIC", PRG__KW_NONE, ES},
    {"TABLE", PRG__KW_TABLE, E},       {"TABLESAMPLE", PRG__KW_NONE, ES},
    {"TEMP", PRG__KW_TEMP, 0},         {"TEMPORARY", PRG__KW_TEMP, 0},
    {"THEN", PRG__KW_NONE, ES},        {"TO", PRG__KW_TO, ES},
    {"TRAILING", PRG__KW_NONE, E},     {"TRIGGER", PRG__KW_TRIGGER, 0},
    {"UESCAPE", PRG__KW_NONE, S},      {"UNION", PRG__KW_NONE, ES},
    {"UNIQUE", PRG__KW_NONE, E},       {"UPDATE", PRG__KW_UPDATE, 0},
    {"USING", PRG__KW_NONE, ES},       {"VALUES", PRG__KW_VALUES, S},
    {"VARIADIC", PRG__KW_NONE, E},     {"VIEW", PRG__KW_OBJECT, 0},
    {"WHEN", PRG__KW_NONE, ES},        {"WHERE", PRG__KW_NONE, ES},
    {"WHILE", PRG__KW_LOOP, 0},        {"WINDOW", PRG__KW_NONE, ES},
    {"WITH", PRG__KW_WITH, ES},        {"WITHIN", PRG__KW_NONE, S},
    {"XOR", PRG__KW_NONE, ES},         {"ZONE", PRG__KW_NONE, E},
};

/* Order of the word at `at` and `name`, letter case aside. */
static int compare(const char *at, size_t len, const char *name) {
  for (size_t i = 0; i < len; i++) {
    char c = at[i];
    if (c >= 'a' && c <= 'z') c = (char)(c - 'a' + 'A');
    if (c != name[i]) return (unsigned char)c < (unsigned char)name[i] ? -1 : 1;
  }
  return name[len] == '\0' ? 0 : -1;
}

void prg__word_lookup(struct prg__tok *t) {
  size_t lo = 0, hi = sizeof words / sizeof *words;
  t->kw = PRG__KW_NONE;
  t->no_end = t->no_start = false;
  while (lo < hi) {
    size_t mid = (lo + hi) / 2;
    int c = compare(t->at, t->len, words[mid].name);
    if (c == 0) {
      t->kw = words[mid].kw;
      t->no_end = (words[mid].bits & E) != 0;
      t->no_start = (words[mid].bits & S) != 0;
      return;
    }
    if (c < 0)
      hi = mid;
    else
      lo = mid + 1;
  }
}
