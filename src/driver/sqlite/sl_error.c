#include "driver/sqlite/sl_int.h"

#include <stdio.h>
#include <string.h>

/* ---- the kind ------------------------------------------------------------ */

/* Extended codes first: the first match by `mask` wins. */
static const struct {
  int code, mask;
  enum prg_kind kind;
} by_code[] = {
    {SQLITE_CONSTRAINT_UNIQUE, -1, PRG_K_UNIQUE},
    {SQLITE_CONSTRAINT_PRIMARYKEY, -1, PRG_K_UNIQUE},
    {SQLITE_CONSTRAINT_ROWID, -1, PRG_K_UNIQUE},
    {SQLITE_CONSTRAINT_FOREIGNKEY, -1, PRG_K_FOREIGN_KEY},
    {SQLITE_CONSTRAINT_NOTNULL, -1, PRG_K_NOT_NULL},
    {SQLITE_CONSTRAINT_CHECK, -1, PRG_K_CHECK},
    {SQLITE_CONSTRAINT_DATATYPE, -1, PRG_K_DATA},
    {SQLITE_BUSY_SNAPSHOT, -1, PRG_K_SERIALIZATION},
    {SQLITE_ABORT_ROLLBACK, -1, PRG_K_ABORTED},
    {SQLITE_MISMATCH, 0xff, PRG_K_DATA},
    {SQLITE_BUSY, 0xff, PRG_K_LOCKED},
    {SQLITE_LOCKED, 0xff, PRG_K_LOCKED},
    {SQLITE_INTERRUPT, 0xff, PRG_K_CANCELLED},
    {SQLITE_PERM, 0xff, PRG_K_PERMISSION},
    {SQLITE_READONLY, 0xff, PRG_K_PERMISSION},
    {SQLITE_AUTH, 0xff, PRG_K_PERMISSION},
    {SQLITE_NOMEM, 0xff, PRG_K_RESOURCE},
    {SQLITE_IOERR, 0xff, PRG_K_RESOURCE},
    {SQLITE_FULL, 0xff, PRG_K_RESOURCE},
    {SQLITE_CANTOPEN, 0xff, PRG_K_CONNECT},
    {SQLITE_NOTADB, 0xff, PRG_K_CONNECT},
};

/* The general code 1 says more only by its message. */
static const struct {
  const char *text;
  bool anywhere;
  enum prg_kind kind;
} by_text[] = {
    {"no such ", false, PRG_K_UNDEFINED},
    {" has no column named ", true, PRG_K_UNDEFINED},
    {"unknown column ", false, PRG_K_UNDEFINED},
    {"unknown database ", false, PRG_K_UNDEFINED},
    {"duplicate column name", false, PRG_K_DUPLICATE},
    {" already exists", true, PRG_K_DUPLICATE},
    {"there is already ", false, PRG_K_DUPLICATE},
    {" is already in use", true, PRG_K_DUPLICATE},
    {"near \"", false, PRG_K_SYNTAX},
    {"incomplete input", false, PRG_K_SYNTAX},
    {"unrecognized token", false, PRG_K_SYNTAX},
    {"out of memory", false, PRG_K_RESOURCE},
    {SL_LIST "(?) takes ", false, PRG_K_USAGE},
};

static bool starts(const char *s, const char *with) {
  return strncmp(s, with, strlen(with)) == 0;
}

static enum prg_kind kind_of(int rc, const char *msg) {
  if (rc == SQLITE_ERROR || (rc & 0xff) == SQLITE_ERROR) {
    for (size_t i = 0; i < sizeof(by_text) / sizeof(by_text[0]); i++) {
      if (by_text[i].anywhere ? strstr(msg, by_text[i].text) != NULL
                              : starts(msg, by_text[i].text))
        return by_text[i].kind;
    }
    return PRG_K_DATABASE;
  }
  /* ON DELETE RESTRICT is a trigger inside and says so in its code. */
  if (rc == SQLITE_CONSTRAINT_TRIGGER && starts(msg, "FOREIGN KEY"))
    return PRG_K_FOREIGN_KEY;
  for (size_t i = 0; i < sizeof(by_code) / sizeof(by_code[0]); i++) {
    if ((rc & by_code[i].mask) == by_code[i].code) return by_code[i].kind;
  }
  return PRG_K_DATABASE;
}

/* ---- names from the message ---------------------------------------------- */

static void set_part(struct prg_error *e, enum prg_error_field f, const char *p,
                     size_t n) {
  char *copy = prg_memdup(p, n);

  if (copy != NULL) (void)prg_error_set(e, f, copy);
  prg_free(copy);
}

/* "t.a" up to a comma, blank or the end: table and column. With several
** columns only the table is told. */
static void set_columns(struct prg_error *e, const char *p) {
  size_t n = strcspn(p, ",");
  const char *dot = memchr(p, '.', n);

  if (dot == NULL) return;
  set_part(e, PRG_EF_TABLE, p, (size_t)(dot - p));
  if (p[n] == '\0')
    set_part(e, PRG_EF_COLUMN, dot + 1, (size_t)(p + n - dot - 1));
}

/* "index 'name'": an index on expressions. */
static bool set_index(struct prg_error *e, const char *p) {
  size_t n = strlen(p);

  if (!starts(p, "index '") || n < 8) return false;
  set_part(e, PRG_EF_CONSTRAINT, p + 7, n - 8);
  return true;
}

static void set_constraint_names(struct prg_error *e, const char *msg) {
  const char *p = strstr(msg, " constraint failed: ");

  if (p == NULL) return;
  p += strlen(" constraint failed: ");
  if (starts(msg, "UNIQUE")) {
    if (set_index(e, p)) return;
    (void)prg_error_set(e, PRG_EF_CONSTRAINT, p);
    set_columns(e, p);
  } else if (starts(msg, "NOT NULL")) {
    set_columns(e, p);
  } else if (starts(msg, "CHECK")) {
    (void)prg_error_set(e, PRG_EF_CONSTRAINT, p);
  }
}

static void set_names(struct prg_error *e, const char *msg) {
  const char *p;

  if (starts(msg, "no such table: ")) {
    (void)prg_error_set(e, PRG_EF_TABLE, msg + 15);
  } else if (starts(msg, "no such column: ")) {
    (void)prg_error_set(e, PRG_EF_COLUMN, msg + 16);
  } else if (starts(msg, "duplicate column name: ")) {
    (void)prg_error_set(e, PRG_EF_COLUMN, msg + 23);
  } else if (starts(msg, "table ") &&
             (p = strstr(msg, " has no column named ")) != NULL) {
    set_part(e, PRG_EF_TABLE, msg + 6, (size_t)(p - msg - 6));
    (void)prg_error_set(e, PRG_EF_COLUMN, p + 21);
  } else if (starts(msg, "table ") &&
             (p = strstr(msg, " already exists")) != NULL) {
    set_part(e, PRG_EF_TABLE, msg + 6, (size_t)(p - msg - 6));
  } else if (e->code == SQLITE_CONSTRAINT_DATATYPE &&
             (p = strstr(msg, " column ")) != NULL) {
    set_columns(e, p + 8);
  } else {
    set_constraint_names(e, msg);
  }
}

/* ---- making one ---------------------------------------------------------- */

/* The byte offset in `sql` as a 1-based character. */
static int position_of(const char *sql, int offset) {
  int chars = 1;

  for (int i = 0; i < offset && sql[i] != '\0'; i++) {
    if (((unsigned char)sql[i] & 0xc0) != 0x80) chars++;
  }
  return chars;
}

static void set_position(struct prg_error *e, sqlite3 *db, const char *sql) {
#if SQLITE_VERSION_NUMBER >= 3038000
  int offset = sql == NULL ? -1 : sqlite3_error_offset(db);

  if (offset >= 0) e->position = position_of(sql, offset);
#else
  (void)e;
  (void)db;
  (void)sql;
  (void)position_of;
#endif
}

struct prg_error *sl_error_new(sqlite3 *db, int rc, const char *sql) {
  const char *msg = db == NULL ? sqlite3_errstr(rc) : sqlite3_errmsg(db);
  struct prg_error *e;

  if (rc == SQLITE_NOMEM) return prg_error_oom();
  e = prg_error_new(kind_of(rc, msg), "%s", msg);
  if (e == prg_error_oom()) return e;
  e->code = rc;
  e->sent = true;
  set_names(e, msg);
  if (db != NULL) set_position(e, db, sql);
  if (rc == SQLITE_LOCKED)
    (void)prg_error_set(e, PRG_EF_HINT,
                        "a result that is still being read on this "
                        "connection (each) holds the table");
  if (rc == SQLITE_BUSY_SNAPSHOT)
    (void)prg_error_set(e, PRG_EF_HINT,
                        "another connection wrote after this transaction's "
                        "first read; run the transaction again");
  return e;
}

struct prg_error *sl_error_locked(int rc, int64_t waited) {
  struct prg_error *e = prg_error_new(
      PRG_K_LOCKED, "%s: another connection held the lock for all of %.1f s",
      sqlite3_errstr(rc), (double)waited / (double)PRG_SECOND);

  if (e == prg_error_oom()) return e;
  e->code = rc;
  e->sent = true;
  return e;
}
