/* What the server is asked behind a statement, by text: which columns the key has that
** an error is about, and warnings. */
#include "driver/mysql/my_int.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/mem.h"

enum { DUPLICATE_KEY = 1062, STACK_TRACE = 4094 };

/* Columns of SHOW WARNINGS and of SHOW INDEX. */
enum { W_LEVEL, W_CODE, W_MESSAGE };
enum { I_TABLE = 0, I_KEY = 2, I_COLUMN = 4 };

/* ---- the table that a statement writes ------------------------------------ */

/* Of a name as it is written, without its schema. 0: there is none. */
static size_t name_length(const char *p) {
  size_t n = 0;
  if (*p == '`') {
    for (n = 1; p[n] != '\0'; n++) {
      if (p[n] != '`') continue;
      if (p[n + 1] != '`') return n + 1;
      n++;
    }
    return 0;
  }
  while (isalnum((unsigned char)p[n]) || p[n] == '_' || p[n] == '$' ||
         (unsigned char)p[n] >= 0x80)
    n++;
  return n;
}

/* Behind the word, when it stands here; else NULL. */
static const char *skip_word(const char *p, const char *word) {
  size_t n = strlen(word);
  if (name_length(p) != n || strncasecmp(p, word, n) != 0) return NULL;
  return my_skip_blank(p + n);
}

static const char *skip_modifiers(const char *p) {
  static const char *const words[] = {
      "LOW_PRIORITY", "HIGH_PRIORITY", "DELAYED", "IGNORE", "INTO", NULL};
  for (size_t i = 0; words[i] != NULL; i++) {
    const char *next = skip_word(p, words[i]);
    if (next == NULL) continue;
    p = next;
    i = (size_t)-1; /* from the first word on */
  }
  return p;
}

/* The name as it is written, where the text says plainly that this table is written
** and no other: INSERT, REPLACE, and UPDATE of one table. NULL: who knows. */
static const char *find_table(const char *sql, size_t *n, size_t *schema) {
  const char *start = my_skip_blank(sql), *p = skip_word(start, "UPDATE"), *end;
  bool update = p != NULL;
  if (p == NULL) p = skip_word(start, "INSERT");
  if (p == NULL) p = skip_word(start, "REPLACE");
  if (p == NULL) return NULL;
  p = skip_modifiers(p);
  *schema = 0;
  *n = name_length(p);
  if (*n > 0 && p[*n] == '.') {
    size_t table = name_length(p + *n + 1);
    *schema = *n;
    *n = table == 0 ? 0 : *n + 1 + table;
  }
  end = my_skip_blank(p + *n);
  if (*n == 0 || *end == '.') return NULL;
  return update && skip_word(end, "SET") == NULL ? NULL : p;
}

/* The statement that runs. Of a script the server tells only how many have run; those in
** the body of a procedure would be counted, too. */
static const char *current(const struct my_conn *c) {
  const struct my_run *r = &c->run;
  const char *sql = r->req->stmt->sql, *body;
  if (r->at == NULL || r->at == sql) return sql;
  body = strcasestr(sql, "begin");
  return body != NULL && body < r->at ? "" : r->at;
}

/* A name without its quotes. NULL: no memory. */
static char *unquoted(const char *p, size_t n) {
  char *out = prg_memdup(p, n), *to = out;
  if (out == NULL || *p != '`') return out;
  for (size_t i = 1; i + 1 < n; i++) {
    *to++ = p[i];
    if (p[i] == '`') i++;
  }
  *to = '\0';
  return out;
}

/* ---- asking --------------------------------------------------------------- */

static int op_store(struct my_conn *c, int ready) {
  return ready == 0 ? mysql_store_result_start(&c->res, c->my)
                    : mysql_store_result_cont(&c->res, c->my, ready);
}

static void drop_result(struct my_conn *c) {
  if (c->res != NULL) mysql_free_result(c->res); /* it is whole: no wait */
  c->res = NULL;
}

/* Whatever came of it, what was to follow follows. */
static void finish(struct my_conn *c) {
  drop_result(c);
  prg_free(c->more.sql);
  c->more.sql = NULL;
  c->my->warning_count = 0; /* told */
  if (my_is_lost(mysql_errno(c->my)))
    my_broken(c);
  else
    c->more.then(c);
}

static void ask(struct my_conn *c, const char *sql, my_then *answered,
                my_then *then) {
  c->more.then = then;
  my_do_sql(c, sql, strlen(sql), answered);
}

/* The result that comes next, then `have`. */
static void store(struct my_conn *c, my_then *have) {
  if (c->rc != 0)
    finish(c);
  else
    my_do(c, op_store, have);
}

/* Nothing is left to be read of the statement, and somebody waits for it. */
static bool can_ask(const struct my_conn *c) {
  const struct prg_req *req = c->run.req;
  return req->stmt != NULL && !req->ghost &&
         c->my->status == MYSQL_STATUS_READY;
}

/* ---- the columns of a key -------------------------------------------------- */

/* "Key (a, b) already exists", as PostgreSQL says it, and the column when it is one. */
static void name_columns(struct prg_error *e, MYSQL_RES *res) {
  struct prg_buf b;
  const char *key = e->field[PRG_EF_CONSTRAINT];
  unsigned n = 0;
  MYSQL_ROW row, only = NULL;
  prg_buf_init(&b, 0);
  while ((row = mysql_fetch_row(res)) != NULL) {
    if (row[I_KEY] == NULL || strcmp(row[I_KEY], key) != 0) continue;
    if (row[I_COLUMN] == NULL) break; /* an expression */
    (void)prg_error_set(e, PRG_EF_TABLE, row[I_TABLE]);
    prg_buf_addf(&b, "%s%s", n == 0 ? "Key (" : ", ", row[I_COLUMN]);
    only = n++ == 0 ? row : NULL;
  }
  if (only != NULL) (void)prg_error_set(e, PRG_EF_COLUMN, only[I_COLUMN]);
  prg_buf_adds(&b, ") already exists.");
  if (n > 0 && row == NULL && !b.failed)
    (void)prg_error_set(e, PRG_EF_DETAIL, b.data);
  prg_buf_fini(&b);
}

static void name_schema(struct my_conn *c) {
  size_t n = 0, schema = 0;
  const char *p = find_table(current(c), &n, &schema);
  char *name = schema == 0 ? NULL : unquoted(p, schema);
  const char *which = schema == 0 ? c->my->db : name;
  if (which != NULL) (void)prg_error_set(c->run.error, PRG_EF_SCHEMA, which);
  prg_free(name);
}

static void have_index(struct my_conn *c) {
  bool fits = c->res != NULL && mysql_num_fields(c->res) > I_COLUMN;
  if (fits && !c->more.elsewhere) {
    struct prg_error *e = c->run.error;
    name_columns(e, c->res);
    if (e->field[PRG_EF_DETAIL] != NULL) name_schema(c);
  }
  finish(c);
}

static void next_index(struct my_conn *c) {
  store(c, have_index);
}

/* Of a row of SHOW WARNINGS. */
static unsigned code_of(MYSQL_ROW row) {
  return row[W_CODE] == NULL ? 0 : (unsigned)strtoul(row[W_CODE], NULL, 10);
}

/* An error that came out of a trigger or a function, perhaps of another table, has the
** place as a note behind it. */
static void have_trace(struct my_conn *c) {
  MYSQL_ROW row;
  bool known = false;
  if (c->res == NULL || mysql_num_fields(c->res) <= W_MESSAGE) {
    finish(c);
    return;
  }
  while ((row = mysql_fetch_row(c->res)) != NULL) {
    unsigned code = code_of(row);
    if (code == DUPLICATE_KEY) known = true;
    if (code == STACK_TRACE) c->more.elsewhere = true;
  }
  if (!known) c->more.elsewhere = true;
  drop_result(c);
  my_do(c, my_op_next, next_index);
}

static void after_ask_key(struct my_conn *c) {
  store(c, have_trace);
}

/* MySQL's message has the table. */
static bool is_told(const struct prg_error *e, const char *p, size_t n,
                    size_t schema) {
  const char *told = e->field[PRG_EF_TABLE];
  size_t skip = schema == 0 ? 0 : schema + 1;
  if (told == NULL) return true;
  char *name = unquoted(p + skip, n - skip);
  bool same = name != NULL && strcmp(name, told) == 0;
  prg_free(name);
  return same;
}

bool my_ask_key(struct my_conn *c, my_then *then) {
  const struct prg_error *e = c->run.error;
  size_t n = 0, schema = 0;
  struct prg_buf b;
  if (c->run.asked || e->code != DUPLICATE_KEY || !can_ask(c) ||
      e->field[PRG_EF_CONSTRAINT] == NULL)
    return false;
  const char *p = find_table(current(c), &n, &schema);
  if (p == NULL || !is_told(e, p, n, schema)) return false;
  c->run.asked = true;
  c->more.elsewhere = false;
  prg_buf_init(&b, 0);
  /* What others change in the table just now is not waited for. */
  prg_buf_addf(&b,
               "SHOW WARNINGS; /*M!100303 SET STATEMENT lock_wait_timeout = 0 "
               "FOR */ SHOW INDEX FROM %.*s",
               (int)n, p);
  c->more.sql = prg_buf_take(&b);
  if (c->more.sql == NULL) return false;
  ask(c, c->more.sql, after_ask_key, then);
  return true;
}

/* ---- warnings -------------------------------------------------------------- */

static void tell_row(struct my_conn *c, MYSQL_ROW row) {
  unsigned code = code_of(row);
  const char *text = row[W_MESSAGE] == NULL ? "" : row[W_MESSAGE];
  bool note = row[W_LEVEL] != NULL && strcmp(row[W_LEVEL], "Note") == 0;
  struct prg_error *e = my_error_notice(code, text);
  if (e == prg_error_oom()) return;
  /* The server tells none here; these are what they are on PostgreSQL. */
  memcpy(e->sqlstate, note ? "00000" : "01000", 6);
  prg_conn_tell_notice(&c->base, e);
  prg_error_unref(e);
}

/* The server keeps max_error_count of them. */
static void tell_lost(struct my_conn *c, unsigned n) {
  struct prg_error *e = prg_error_new(PRG_K_USAGE, "notices were dropped");
  if (e == prg_error_oom()) return;
  e->code = (int)n;
  prg_conn_tell_notice(&c->base, e);
  prg_error_unref(e);
}

static void have_warnings(struct my_conn *c) {
  MYSQL_ROW row;
  unsigned n = 0;
  if (c->res != NULL && mysql_num_fields(c->res) > W_MESSAGE) {
    for (; (row = mysql_fetch_row(c->res)) != NULL; n++) tell_row(c, row);
    if (n < c->more.count) tell_lost(c, c->more.count - n);
  }
  finish(c);
}

static void after_ask_warnings(struct my_conn *c) {
  store(c, have_warnings);
}

void my_note_end(struct my_conn *c) {
  const unsigned char *p = c->my->net.read_pos;
  if (c->run.wire) return; /* the number is known */
  c->my->warning_count = p[0] == 0xfe ? p[1] | (unsigned)p[2] << 8 : 0;
}

bool my_ask_warnings(struct my_conn *c, my_then *then) {
  if (!c->base.config->notices || c->my->warning_count == 0 ||
      c->run.error != NULL || !can_ask(c))
    return false;
  c->more.count = c->my->warning_count;
  ask(c, "SHOW WARNINGS", after_ask_warnings, then);
  return true;
}
