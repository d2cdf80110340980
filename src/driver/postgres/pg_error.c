#include "driver/postgres/pg_int.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

/* SQLSTATEs (PostgreSQL manual, appendix A) and whole classes. Of several that
** match the longest wins, so their order is only for the reader. */
static const struct {
  char state[6];
  enum prg_kind kind;
} kinds[] = {
    {"08", PRG_K_CLOSED},       {"08001", PRG_K_CONNECT},
    {"08004", PRG_K_CONNECT},   {"0A000", PRG_K_UNSUPPORTED},
    {"22", PRG_K_DATA},         {"23001", PRG_K_FOREIGN_KEY},
    {"23502", PRG_K_NOT_NULL},  {"23503", PRG_K_FOREIGN_KEY},
    {"23505", PRG_K_UNIQUE},    {"23514", PRG_K_CHECK},
    {"23P01", PRG_K_EXCLUSION}, {"25006", PRG_K_PERMISSION},
    {"25P02", PRG_K_ABORTED},   {"25P03", PRG_K_CLOSED},
    {"28", PRG_K_AUTH},         {"3D000", PRG_K_CONNECT},
    {"3F000", PRG_K_UNDEFINED}, {"40001", PRG_K_SERIALIZATION},
    {"40P01", PRG_K_DEADLOCK},  {"42501", PRG_K_PERMISSION},
    {"42601", PRG_K_SYNTAX},    {"42701", PRG_K_DUPLICATE},
    {"42703", PRG_K_UNDEFINED}, {"42704", PRG_K_UNDEFINED},
    {"42710", PRG_K_DUPLICATE}, {"42883", PRG_K_UNDEFINED},
    {"42P01", PRG_K_UNDEFINED}, {"42P07", PRG_K_DUPLICATE},
    {"44000", PRG_K_CHECK},     {"53", PRG_K_RESOURCE},
    {"53300", PRG_K_CONNECT},   {"55P03", PRG_K_LOCKED},
    {"57014", PRG_K_CANCELLED}, {"57P01", PRG_K_CLOSED},
    {"57P02", PRG_K_CLOSED},    {"57P03", PRG_K_CONNECT},
    {"57P05", PRG_K_CLOSED},
};

/* What libpq says itself when the server does not take us, for which it has no
** SQLSTATE. */
static const char *const auth_shapes[] = {
    "password authentication failed",
    "no password supplied",
    "authentication method",
    "server requested",
    "server signature",
    "SCRAM",
    "pg_hba.conf",
    "could not initiate GSSAPI",
};

static const struct {
  enum prg_error_field field;
  int diag;
} texts[] = {
    {PRG_EF_DETAIL, PG_DIAG_MESSAGE_DETAIL},
    {PRG_EF_HINT, PG_DIAG_MESSAGE_HINT},
    {PRG_EF_CONSTRAINT, PG_DIAG_CONSTRAINT_NAME},
    {PRG_EF_SCHEMA, PG_DIAG_SCHEMA_NAME},
    {PRG_EF_TABLE, PG_DIAG_TABLE_NAME},
    {PRG_EF_COLUMN, PG_DIAG_COLUMN_NAME},
};

enum prg_kind pg_kind_of(const char *sqlstate, const char *message) {
  enum prg_kind kind = PRG_K_DATABASE;
  size_t best = 0;
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
    size_t n = strlen(kinds[i].state);
    if (n <= best || strncmp(sqlstate, kinds[i].state, n) != 0) continue;
    best = n;
    kind = kinds[i].kind;
  }
  /* One SQLSTATE for both; only the text tells them apart. */
  if (strcmp(sqlstate, "57014") == 0 &&
      strstr(message, "statement timeout") != NULL)
    kind = PRG_K_TIMEOUT;
  return kind;
}

size_t pg_trimmed(const char *s) {
  size_t n = strlen(s);
  while (n > 0 && isspace((unsigned char)s[n - 1])) n--;
  return n;
}

static void set_state(struct prg_error *e, const char *state) {
  if (e == prg_error_oom() || strlen(state) != 5) return;
  memcpy(e->sqlstate, state, 6);
}

/* The small positive number in `s`; 0 when there is none. */
static int number(const char *s) {
  long n = s == NULL ? 0 : strtol(s, NULL, 10);
  return n > 0 && n < INT32_MAX ? (int)n : 0;
}

/* "COPY t, line 3, column a: "x"": the number of the record. Other languages than
** English have other words. */
static int64_t record_of(const char *where) {
  const char *copy = where, *line;
  while (copy != NULL && strncmp(copy, "COPY ", 5) != 0) {
    copy = strchr(copy, '\n');
    if (copy != NULL) copy++;
  }
  line = copy == NULL ? NULL : strstr(copy, ", line ");
  return line == NULL ? 0 : strtoll(line + 7, NULL, 10);
}

static void fill(struct prg_error *e, const struct prg_wire_fields *f,
                 const struct prg_stmt *stmt) {
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
    prg_error_set(e, texts[i].field, f->of[texts[i].diag]);
  e->record = record_of(f->of[PG_DIAG_CONTEXT]);
  e->position = number(f->of[PG_DIAG_STATEMENT_POSITION]);
  if (stmt != NULL) prg_error_set(e, PRG_EF_SQL, stmt->sql);
  e->sent = true;
}

struct prg_error *pg_error_of(const struct prg_wire_fields *f,
                              const struct prg_stmt *stmt) {
  const char *state = f->of[PG_DIAG_SQLSTATE];
  const char *text = f->of[PG_DIAG_MESSAGE_PRIMARY];
  enum prg_kind kind;
  if (text == NULL || text[0] == '\0') text = "unknown error";
  if (state != NULL)
    kind = pg_kind_of(state, text);
  else if (strstr(text, "out of memory") != NULL)
    kind = PRG_K_RESOURCE;
  else
    kind = PRG_K_DATABASE;
  struct prg_error *e =
      prg_error_new(kind, "%.*s", (int)pg_trimmed(text), text);
  if (e == prg_error_oom()) return e;
  if (state != NULL) set_state(e, state);
  fill(e, f, stmt);
  return e;
}

struct prg_error *pg_error_closed(PGconn *pg) {
  const char *text = pg == NULL ? "" : PQerrorMessage(pg);
  size_t n = pg_trimmed(text);
  if (n == 0) {
    text = "the connection to the server is lost";
    n = strlen(text);
  }
  return prg_error_new(PRG_K_CLOSED, "%.*s", (int)n, text);
}

static bool is_state(const char *s) {
  for (int i = 0; i < 5; i++)
    if (!isdigit((unsigned char)s[i]) && !(s[i] >= 'A' && s[i] <= 'Z'))
      return false;
  return s[5] == ':' && s[6] == ' ';
}

/* Is this line of a verbose message the one that names the server's source? */
static bool is_location(const char *line, size_t n) {
  size_t digits = 0;
  while (digits < n && isdigit((unsigned char)line[n - 1 - digits])) digits++;
  return digits > 0 && n > digits + 3 &&
         memcmp(line + n - digits - 3, ".c:", 3) == 0;
}

/* Copies a line without the SQLSTATE ("FATAL:  28P01: password"), which goes to
** `state` when that is still empty. */
static void copy_line(struct prg_buf *b, const char *line, size_t n,
                      char *state) {
  const char *mark = NULL;
  for (size_t i = 0; i + 10 <= n && mark == NULL; i++)
    if (memcmp(line + i, ":  ", 3) == 0 && is_state(line + i + 3))
      mark = line + i + 3;
  if (b->len > 0) prg_buf_addc(b, '\n');
  if (mark == NULL) {
    prg_buf_add(b, line, n);
    return;
  }
  if (state[0] == '\0') memcpy(state, mark, 5);
  prg_buf_add(b, line, (size_t)(mark - line) - 1);
  prg_buf_add(b, mark + 7, n - (size_t)(mark - line) - 7);
}

static enum prg_kind connect_kind(const char *state, const char *text) {
  if (state[0] != '\0')
    return strncmp(state, "28", 2) == 0 ? PRG_K_AUTH : PRG_K_CONNECT;
  for (size_t i = 0; i < sizeof auth_shapes / sizeof auth_shapes[0]; i++)
    if (strstr(text, auth_shapes[i]) != NULL) return PRG_K_AUTH;
  return PRG_K_CONNECT;
}

struct prg_error *pg_error_connect(const char *message) {
  char state[6] = "";
  struct prg_buf b;
  prg_buf_init(&b, 64 * 1024);
  for (const char *p = message; *p != '\0';) {
    size_t n = strcspn(p, "\n");
    if (n > 0 && !is_location(p, n)) copy_line(&b, p, n, state);
    p += n + (p[n] == '\n');
  }
  const char *text = b.failed || b.len == 0 ? "cannot connect" : b.data;
  struct prg_error *e = prg_error_new(connect_kind(state, text), "%s", text);
  set_state(e, state);
  prg_buf_fini(&b);
  return e;
}
