/* COM_STMT_BULK_EXECUTE: many sets of parameters in one packet, on MariaDB. */
#include "driver/mysql/my_int.h"

#include <string.h>

#include "base/mem.h"

/* Bytes of parameters in a packet. */
enum { PACKET = 512 * 1024 };

/* An integer of up to 15 digits is the same as a double, also where it becomes a text:
** from 16 digits on that would be 1e15. */
#define EXACT INT64_C(999999999999999)

/* One column of the sets of a packet: they are all sent as one type. */
struct my_bulk_column {
  enum prg_type type; /* PRG_NULL: no set has a value */
  bool large;         /* PRG_INT: one of them is not the same as a double */
  double number;      /* PRG_DOUBLE: an integer that is sent as one */
};

bool my_bulk_can(const struct my_conn *c) {
  static const char *const tags[] = {"INSERT", "REPLACE", "UPDATE", "DELETE"};
  const struct prg_stmt *stmt = c->run.req->stmt;
  unsigned long can = 0;
  struct prg_result r;
  if (stmt->nparams == 0 || (c->my->server_capabilities & CLIENT_MYSQL) != 0 ||
      mariadb_get_infov(c->my, MARIADB_CONNECTION_EXTENDED_SERVER_CAPABILITIES,
                        &can) != 0 ||
      (can & (MARIADB_CLIENT_STMT_BULK_OPERATIONS >> 32)) == 0)
    return false;
  my_result_tag(&r, stmt->sql);
  for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++)
    if (strcmp(r.tag, tags[i]) == 0) return true;
  return false;
}

/* ---- which sets go together ------------------------------------------------ */

static bool have_columns(struct my_conn *c, size_t n) {
  if (n > c->nbulk) {
    struct my_bulk_column *cols = prg_realloc(c->bulk, n * sizeof *cols);
    if (cols == NULL) return false;
    c->bulk = cols;
    c->nbulk = n;
  }
  memset(c->bulk, 0, n * sizeof *c->bulk);
  return true;
}

static bool is_large(const struct prg_value *v) {
  return v->type == PRG_INT && (v->u.i > EXACT || v->u.i < -EXACT);
}

/* Can the value be sent as the others of its column? Integers between other numbers
** can, as doubles. */
static bool fits(const struct my_bulk_column *k, const struct prg_value *v) {
  if (v->type == PRG_NULL || k->type == PRG_NULL || k->type == v->type)
    return true;
  if (k->type == PRG_DOUBLE) return v->type == PRG_INT && !is_large(v);
  return k->type == PRG_INT && v->type == PRG_DOUBLE && !k->large;
}

static void join(struct my_bulk_column *k, const struct prg_value *v) {
  if (v->type == PRG_NULL) return;
  if (k->type == PRG_NULL || v->type == PRG_DOUBLE) k->type = v->type;
  k->large = k->large || is_large(v);
}

/* What my_check_value refuses goes alone, and so ends there. */
static bool is_sendable(const struct prg_value *v, size_t *bytes) {
  struct prg_error *e = my_check_value(0, v, bytes);
  prg_error_unref(e);
  return e == NULL;
}

/* Is the id told that the last set makes? Then that one goes alone, with a gap before it.
** Verbs on tables (`typed`) tell rows or their number. */
static bool makes_id(const struct prg_req *req) {
  struct prg_result r;
  my_result_tag(&r, req->stmt->sql);
  return req->stmt->typed == NULL && (r.tag[0] == 'I' || r.tag[0] == 'R');
}

size_t my_bulk_take(struct my_conn *c) {
  const struct prg_req *req = c->run.req;
  size_t n = (size_t)req->stmt->nparams, room = PACKET, taken, bytes = 0;
  const struct prg_value *v = req->params + c->run.set * n;
  if (!have_columns(c, n)) return 0;
  if (c->limit > 0 && c->limit / 2 < room) room = c->limit / 2;
  size_t alone = makes_id(req) ? 1 : 0;
  for (taken = 0; c->run.set + taken + alone < req->nsets; taken++, v += n) {
    for (size_t i = 0; i < n; i++)
      if (!fits(&c->bulk[i], &v[i]) || !is_sendable(&v[i], &bytes))
        return taken;
    if (bytes > room) return taken;
    for (size_t i = 0; i < n; i++) join(&c->bulk[i], &v[i]);
  }
  return taken;
}

/* ---- sending them ----------------------------------------------------------- */

static char is_value = STMT_INDICATOR_NONE, is_null = STMT_INDICATOR_NULL;

static void fill(struct my_bulk_column *k, const struct prg_value *v,
                 MYSQL_BIND *b) {
  b->u.indicator = v->type == PRG_NULL ? &is_null : &is_value;
  if (v->type == PRG_INT && k->type == PRG_DOUBLE) {
    k->number = (double)v->u.i;
    b->buffer = &k->number;
  } else {
    my_bind_data(v, b);
  }
}

/* The library asks for one set after the other while it writes the packet. */
static my_bool fill_set(void *data, MYSQL_BIND *binds, unsigned row) {
  struct my_conn *c = data;
  const struct prg_req *req = c->run.req;
  size_t n = (size_t)req->stmt->nparams;
  const struct prg_value *v = req->params + (c->run.set + row) * n;
  for (size_t i = 0; i < n; i++) fill(&c->bulk[i], &v[i], &binds[i]);
  return 0;
}

/* A column without any value is one of texts. */
static enum enum_field_types wire_type(enum prg_type type) {
  return (enum enum_field_types)prg_packet_type(type == PRG_NULL ? PRG_TEXT
                                                                 : type);
}

static void set_mode(MYSQL_STMT *st, unsigned sets, ps_param_callback callback,
                     struct my_conn *c) {
  void *p = NULL;
  memcpy(&p, &callback, sizeof callback);
  mysql_stmt_attr_set(st, STMT_ATTR_ARRAY_SIZE, &sets);
  mysql_stmt_attr_set(st, STMT_ATTR_CB_USER_DATA, c);
  mysql_stmt_attr_set(st, STMT_ATTR_CB_PARAM, p);
}

struct prg_error *my_bulk_execute(struct my_conn *c, size_t sets,
                                  my_then *then) {
  MYSQL_STMT *st = c->run.e->st;
  size_t n = (size_t)c->run.req->stmt->nparams;
  if (!my_have_binds(c, n)) return prg_error_oom();
  memset(c->binds, 0, n * sizeof *c->binds);
  for (size_t i = 0; i < n; i++)
    c->binds[i].buffer_type = wire_type(c->bulk[i].type);
  if (mysql_stmt_bind_param(st, c->binds) != 0)
    return my_error_new(c->my, st, c->run.req->stmt);
  set_mode(st, (unsigned)sets, fill_set, c);
  c->run.known = st->field_count;
  c->run.e->types.known = false;
  c->run.wire = false;
  c->st = st;
  my_do(c, my_op_execute, then);
  return NULL;
}

/* After an error the library still has the columns of before, but not their number. */
void my_bulk_over(struct my_conn *c) {
  MYSQL_STMT *st = c->run.e->st;
  set_mode(st, 0, NULL, NULL);
  if (c->rc != 0) st->field_count = c->run.known;
}
