/* Errors: the server's numbers to kinds, and the names that its messages have. */
#include "driver/mysql/my_int.h"

#include <errmsg.h>
#include <mysqld_error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* Numbers that differ between MariaDB and MySQL are written out. */
static const struct {
  unsigned code;
  enum prg_kind kind;
} kinds[] = {
    {1062, PRG_K_UNIQUE},
    {1586, PRG_K_UNIQUE},
    {1022, PRG_K_UNIQUE},
    {1169, PRG_K_UNIQUE},
    {1761, PRG_K_UNIQUE},
    {1762, PRG_K_UNIQUE},
    {1451, PRG_K_FOREIGN_KEY},
    {1452, PRG_K_FOREIGN_KEY},
    {1216, PRG_K_FOREIGN_KEY},
    {1217, PRG_K_FOREIGN_KEY},
    {1834, PRG_K_FOREIGN_KEY},
    {3730, PRG_K_FOREIGN_KEY},
    {1048, PRG_K_NOT_NULL},
    {1364, PRG_K_NOT_NULL},
    {1263, PRG_K_NOT_NULL},
    {3819, PRG_K_CHECK},
    {4025, PRG_K_CHECK},
    {1644, PRG_K_CHECK},
    {1264, PRG_K_DATA},
    {1265, PRG_K_DATA},
    {1292, PRG_K_DATA},
    {1366, PRG_K_DATA},
    {1367, PRG_K_DATA},
    {1406, PRG_K_DATA},
    {1365, PRG_K_DATA},
    {1411, PRG_K_DATA},
    {1690, PRG_K_DATA},
    {1300, PRG_K_DATA},
    {1416, PRG_K_DATA},
    {1441, PRG_K_DATA},
    {1918, PRG_K_DATA},
    {3140, PRG_K_DATA},
    {3141, PRG_K_DATA},
    {3146, PRG_K_DATA},
    {4037, PRG_K_DATA},
    {4038, PRG_K_DATA},
    {1242, PRG_K_DATA},
    {1020, PRG_K_SERIALIZATION},
    {1213, PRG_K_DEADLOCK},
    {1205, PRG_K_LOCKED},
    {1099, PRG_K_LOCKED},
    {3572, PRG_K_LOCKED},
    {3058, PRG_K_DEADLOCK},
    {1317, PRG_K_CANCELLED},
    {1969, PRG_K_TIMEOUT},
    {3024, PRG_K_TIMEOUT},
    {1064, PRG_K_SYNTAX},
    {1065, PRG_K_SYNTAX},
    {1149, PRG_K_SYNTAX},
    {1146, PRG_K_UNDEFINED},
    {1054, PRG_K_UNDEFINED},
    {1305, PRG_K_UNDEFINED},
    {1049, PRG_K_UNDEFINED},
    {1051, PRG_K_UNDEFINED},
    {1072, PRG_K_UNDEFINED},
    {1091, PRG_K_UNDEFINED},
    {1109, PRG_K_UNDEFINED},
    {1128, PRG_K_UNDEFINED},
    {1193, PRG_K_UNDEFINED},
    {1176, PRG_K_UNDEFINED},
    {1630, PRG_K_UNDEFINED},
    {1008, PRG_K_UNDEFINED},
    {1360, PRG_K_UNDEFINED},
    {1273, PRG_K_UNDEFINED},
    {1050, PRG_K_DUPLICATE},
    {1060, PRG_K_DUPLICATE},
    {1061, PRG_K_DUPLICATE},
    {1007, PRG_K_DUPLICATE},
    {1304, PRG_K_DUPLICATE},
    {1359, PRG_K_DUPLICATE},
    {1826, PRG_K_DUPLICATE},
    {3822, PRG_K_DUPLICATE},
    {1044, PRG_K_PERMISSION},
    {1142, PRG_K_PERMISSION},
    {1143, PRG_K_PERMISSION},
    {1227, PRG_K_PERMISSION},
    {1290, PRG_K_PERMISSION},
    {1370, PRG_K_PERMISSION},
    {1792, PRG_K_PERMISSION},
    {1836, PRG_K_PERMISSION},
    {1235, PRG_K_UNSUPPORTED},
    {1295, PRG_K_UNSUPPORTED},
    {1178, PRG_K_UNSUPPORTED},
    {1845, PRG_K_UNSUPPORTED},
    {1846, PRG_K_UNSUPPORTED},
    {1114, PRG_K_RESOURCE},
    {1041, PRG_K_RESOURCE},
    {1037, PRG_K_RESOURCE},
    {1038, PRG_K_RESOURCE},
    {1021, PRG_K_RESOURCE},
    {1206, PRG_K_RESOURCE},
    {1461, PRG_K_RESOURCE},
    {1153, PRG_K_RESOURCE},
    {1301, PRG_K_RESOURCE},
    {CR_NET_PACKET_TOO_LARGE, PRG_K_RESOURCE},
    {CR_OUT_OF_MEMORY, PRG_K_RESOURCE},
};

static const unsigned lost_codes[] = {
    CR_SERVER_GONE_ERROR,
    CR_SERVER_LOST,
    CR_SERVER_LOST_EXTENDED,
    CR_MALFORMED_PACKET,
    1053 /* shutdown */,
    1927 /* killed */,
    1184,
    4031 /* idle for too long */,
    1159,
    1161,
    1153 /* the server hangs up after that */,
    CR_COMMANDS_OUT_OF_SYNC,
};

bool my_is_lost(unsigned code) {
  for (size_t i = 0; i < sizeof lost_codes / sizeof lost_codes[0]; i++)
    if (lost_codes[i] == code) return true;
  return false;
}

bool my_ends_transaction(unsigned code, bool on_timeout) {
  switch (code) {
    case 1213: /* deadlock */
    case 1020: /* innodb_snapshot_isolation: the row is not what was read */
    case 1206: /* no memory for further locks */
      return true;
    default:
      return code == 1205 && on_timeout;
  }
}

static enum prg_kind kind_of(unsigned code) {
  if (my_is_lost(code) && code != 1153) return PRG_K_CLOSED;
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
    if (kinds[i].code == code) return kinds[i].kind;
  return PRG_K_DATABASE;
}

/* ---- names in messages ---------------------------------------------------- */

static void set_part(struct prg_error *e, enum prg_error_field f, const char *p,
                     size_t n) {
  char *copy = prg_memdup(p, n);
  if (copy != NULL) (void)prg_error_set(e, f, copy);
  prg_free(copy);
}

/* What stands between `open` and the next `close` behind it. Where to go on; NULL:
** it is not there. */
static const char *set_between(struct prg_error *e, enum prg_error_field f,
                               const char *p, const char *open, char close) {
  const char *from = p == NULL ? NULL : strstr(p, open);
  const char *end;
  if (from == NULL) return NULL;
  from += strlen(open);
  end = strchr(from, close);
  if (end == NULL) return NULL;
  set_part(e, f, from, (size_t)(end - from));
  return end + 1;
}

/* "Duplicate entry 'x' for key 'name'"; MySQL 8 has 'table.name'. */
static void unique_names(struct prg_error *e, const char *msg) {
  const char *key = NULL, *next = msg;
  while ((next = strstr(next, " for key '")) != NULL) key = next++;
  if (key == NULL) return;
  key += strlen(" for key '");
  size_t n = strcspn(key, "'");
  const char *dot = memchr(key, '.', n);
  if (dot != NULL) {
    set_part(e, PRG_EF_TABLE, key, (size_t)(dot - key));
    n -= (size_t)(dot + 1 - key);
    key = dot + 1;
  }
  set_part(e, PRG_EF_CONSTRAINT, key, n);
}

/* "… fails (`db`.`t`, CONSTRAINT `c` FOREIGN KEY (`a`) REFERENCES …" */
static void foreign_names(struct prg_error *e, const char *msg) {
  const char *p = set_between(e, PRG_EF_SCHEMA, msg, "fails (`", '`');
  p = set_between(e, PRG_EF_TABLE, p, ".`", '`');
  p = set_between(e, PRG_EF_CONSTRAINT, p, "CONSTRAINT `", '`');
  const char *cols = p == NULL ? NULL : strstr(p, "FOREIGN KEY (`");
  const char *end = cols == NULL ? NULL : strchr(cols, ')');
  if (end != NULL && memchr(cols, ',', (size_t)(end - cols)) == NULL)
    (void)set_between(e, PRG_EF_COLUMN, cols, "(`", '`');
}

/* "CONSTRAINT `c` failed for `db`.`t`", "Check constraint 'c' is violated." */
static void check_names(struct prg_error *e, const char *msg) {
  const char *p = set_between(e, PRG_EF_CONSTRAINT, msg, "CONSTRAINT `", '`');
  if (p == NULL) {
    (void)set_between(e, PRG_EF_CONSTRAINT, msg, "Check constraint '", '\'');
    return;
  }
  p = set_between(e, PRG_EF_SCHEMA, p, "for `", '`');
  (void)set_between(e, PRG_EF_TABLE, p, ".`", '`');
}

/* "Table 'db.t' doesn't exist", "Unknown table 'db.t'" */
static void table_name(struct prg_error *e, const char *msg) {
  const char *p = strchr(msg, '\'');
  if (p == NULL) return;
  size_t n = strcspn(++p, "'");
  const char *dot = memchr(p, '.', n);
  if (dot != NULL) {
    set_part(e, PRG_EF_SCHEMA, p, (size_t)(dot - p));
    n -= (size_t)(dot + 1 - p);
    p = dot + 1;
  }
  set_part(e, PRG_EF_TABLE, p, n);
}

/* "… `db`.`t`.`a` at row 1", "Data too long for column 'a' at row 1" */
static void data_names(struct prg_error *e, const char *msg) {
  const char *p = strstr(msg, " for column ");
  if (p == NULL) return;
  p += strlen(" for column ");
  if (*p == '\'') {
    (void)set_between(e, PRG_EF_COLUMN, p, "'", '\'');
    return;
  }
  p = set_between(e, PRG_EF_SCHEMA, p, "`", '`');
  p = set_between(e, PRG_EF_TABLE, p, ".`", '`');
  (void)set_between(e, PRG_EF_COLUMN, p, ".`", '`');
}

static void set_names(struct prg_error *e, unsigned code, const char *msg) {
  if (e->kind == PRG_K_UNIQUE) {
    unique_names(e, msg);
  } else if (e->kind == PRG_K_FOREIGN_KEY) {
    foreign_names(e, msg);
  } else if (e->kind == PRG_K_CHECK) {
    check_names(e, msg);
  } else if (code == 1146 || code == 1051 || code == 1050) {
    table_name(e, msg);
  } else if (e->kind == PRG_K_NOT_NULL || code == 1054 || code == 1060) {
    (void)set_between(e, PRG_EF_COLUMN, msg, "'", '\'');
  } else if (e->kind == PRG_K_DATA) {
    data_names(e, msg);
  }
}

/* ---- where ---------------------------------------------------------------- */

/* The message has the rest of the text from the error on, cut: it is the place
** when the text has it once. */
static void set_position(struct prg_error *e, const char *msg,
                         const char *sql) {
  const char *near = strstr(msg, " near '"), *end, *at;
  int chars = 1;
  if (near == NULL || sql == NULL) return;
  near += strlen(" near '");
  end = strstr(near, "' at line ");
  if (end == NULL) return;
  size_t n = (size_t)(end - near);
  if (n == 0) {
    at = sql + strlen(sql);
  } else {
    at = memmem(sql, strlen(sql), near, n);
    if (at == NULL || memmem(at + 1, strlen(at + 1), near, n) != NULL) return;
  }
  for (const char *p = sql; p < at; p++)
    chars += ((unsigned char)*p & 0xc0) != 0x80;
  e->position = chars;
}

/* ---- making one ----------------------------------------------------------- */

static struct prg_error *make(unsigned code, const char *state, const char *msg,
                              const struct prg_stmt *stmt) {
  struct prg_error *e;
  if (code == CR_OUT_OF_MEMORY) return prg_error_oom();
  e = prg_error_new(kind_of(code), "%s", msg);
  if (e == prg_error_oom()) return e;
  e->code = (int)code;
  e->sent = true;
  if (state != NULL && strlen(state) == 5) memcpy(e->sqlstate, state, 6);
  if (stmt != NULL) {
    (void)prg_error_set(e, PRG_EF_SQL, stmt->sql);
    if (e->kind == PRG_K_SYNTAX) set_position(e, msg, stmt->sql);
  }
  set_names(e, code, msg);
  return e;
}

unsigned my_errno(MYSQL *my, MYSQL_STMT *st) {
  unsigned code = st == NULL ? 0 : mysql_stmt_errno(st);
  return code != 0 ? code : mysql_errno(my);
}

struct prg_error *my_error_new(MYSQL *my, MYSQL_STMT *st,
                               const struct prg_stmt *stmt) {
  if (st != NULL && mysql_stmt_errno(st) != 0)
    return make(mysql_stmt_errno(st), mysql_stmt_sqlstate(st),
                mysql_stmt_error(st), stmt);
  if (mysql_errno(my) == 0)
    return prg_error_new(PRG_K_DATABASE, "the client library gave no reason");
  return make(mysql_errno(my), mysql_sqlstate(my), mysql_error(my), stmt);
}

struct prg_error *my_error_connect(MYSQL *my) {
  static const unsigned auth[] = {1045, 1698, 1130, 1251,
                                  1524, 1862, 1820, 2059};
  unsigned code = mysql_errno(my);
  const char *state = mysql_sqlstate(my);
  enum prg_kind kind = PRG_K_CONNECT;
  if (code == CR_OUT_OF_MEMORY) return prg_error_oom();
  for (size_t i = 0; i < sizeof auth / sizeof auth[0]; i++)
    if (auth[i] == code) kind = PRG_K_AUTH;
  struct prg_error *e = prg_error_new(kind, "%s", mysql_error(my));
  if (e == prg_error_oom()) return e;
  e->code = (int)code;
  /* Too many connections: of all, which the server tells before it tells SQLSTATEs; of a
  ** user, which is no mistake in a name, as its 42000 would be. */
  if (code == 1040 || code == 1203 || code == 1226) state = "08004";
  if (strlen(state) == 5) memcpy(e->sqlstate, state, 6);
  return e;
}

struct prg_error *my_error_notice(unsigned code, const char *text) {
  return make(code, NULL, text, NULL);
}

struct prg_error *my_error_packet(const unsigned char *p, size_t n) {
  char state[6] = "";
  if (n < 7 || p[4] != 0xff) return NULL;
  size_t length = p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16;
  unsigned code = p[5] | (unsigned)p[6] << 8;
  const unsigned char *text = p + 7,
                      *end = p + (n < length + 4 ? n : length + 4);
  if (end - text >= 6 && text[0] == '#') {
    memcpy(state, text + 1, 5);
    text += 6;
  }
  struct prg_error *e = prg_error_new(PRG_K_CLOSED, "%.*s", (int)(end - text),
                                      (const char *)text);
  if (e == prg_error_oom()) return e;
  e->code = (int)code;
  memcpy(e->sqlstate, state, 6);
  return e;
}
