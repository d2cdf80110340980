/*
** Prepared statements by the protocol itself, on the socket that the library has connected:
** what is executed most has neither its buffers nor its calls in between. Everything else
** stays the library's, and so do connections by TLS. Between two ops of the library nothing
** is in flight, so both can speak on one connection.
*/
#include "driver/mysql/my_int.h"

#include <errmsg.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* What would change packets, and is not in the library's header. */
#define DEPRECATE_EOF (1UL << 24)
#define OPTIONAL_METADATA (1UL << 25)
#define QUERY_ATTRIBUTES (1UL << 27)

#ifndef MARIADB_CLIENT_CACHE_METADATA /* Connector/C before 3.3 */
#define MARIADB_CLIENT_CACHE_METADATA 0ULL
#endif

/* More parameters are not kept when the packet has gone. */
enum { KEEP_OUT = 64 * 1024 };

/* So many bytes are sent or received until others have their turn. */
enum { TURN = 512 * 1024 };

/* ---- life ------------------------------------------------------------------ */

static bool wants(const struct prg_config *cfg) {
  const char *which = prg_url_param(&cfg->url, "protocol");
  if (which == NULL) which = getenv("PERIGEE_MYSQL_PROTOCOL"); /* for tests */
  return which == NULL || strcmp(which, "libmariadb") != 0;
}

/* Has MariaDB, which then does not say what it has said before? */
static bool caches(const struct my_conn *c) {
  unsigned long can = 0;
  return (c->my->server_capabilities & CLIENT_MYSQL) == 0 &&
         mariadb_get_infov(c->my,
                           MARIADB_CONNECTION_EXTENDED_SERVER_CAPABILITIES,
                           &can) == 0 &&
         (can & (MARIADB_CLIENT_CACHE_METADATA >> 32)) != 0;
}

void my_wire_init(struct my_conn *c) {
  unsigned long others =
      CLIENT_COMPRESS | DEPRECATE_EOF | OPTIONAL_METADATA | QUERY_ATTRIBUTES;
  struct my_wire *w = &c->wire;
  prg_buf_init(&w->out, 0);
  prg_arena_init(&w->arena);
  w->fd = (int)mysql_get_socket(c->my);
  w->caches = caches(c);
  w->on =
      !c->tls && (c->my->client_flag & others) == 0 && wants(c->base.config);
}

void my_wire_fini(struct my_conn *c) {
  struct my_wire *w = &c->wire;
  prg_inbox_fini(&w->in);
  prg_buf_fini(&w->out);
  prg_arena_fini(&w->arena);
}

/* ---- errors: they are told where the library would have told them ------------ */

static void set_error(struct my_conn *c, unsigned code, const char *state,
                      const char *text, size_t n) {
  MYSQL_STMT *st = c->st;
  if (n >= sizeof st->last_error) n = sizeof st->last_error - 1;
  memcpy(st->last_error, text, n);
  st->last_error[n] = '\0';
  memcpy(st->sqlstate, state, sizeof st->sqlstate);
  st->last_errno = code;
  memcpy(c->my->net.last_error, st->last_error, n + 1);
  memcpy(c->my->net.sqlstate, state, sizeof st->sqlstate);
  c->my->net.last_errno = code;
  c->rc = 1;
}

static void clear_error(struct my_conn *c) {
  c->st->last_errno = 0;
  c->my->net.last_errno = 0;
  c->rc = 0;
}

static void set_client_error(struct my_conn *c, unsigned code,
                             const char *text) {
  set_error(c, code, "HY000", text, strlen(text));
}

static void set_lost(struct my_conn *c) {
  set_client_error(c, CR_SERVER_LOST, "Lost connection to server during query");
}

static void set_malformed(struct my_conn *c) {
  set_client_error(c, CR_MALFORMED_PACKET, "Malformed packet");
}

/* In the middle of an answer: so the connection ends. */
static void set_no_memory(struct my_conn *c) {
  if (c->base.error == NULL) c->base.error = prg_error_oom();
  set_lost(c);
}

/* ---- the socket -------------------------------------------------------------- */

/* Receives once. What it waits for; 0: something came, or the connection is lost. */
static int receive(struct my_conn *c) {
  struct my_wire *w = &c->wire;
  size_t room;
  ssize_t n;
  unsigned char *to = prg_inbox_room(&w->in, &room);
  if (to == NULL) {
    set_no_memory(c);
    return 0;
  }
  do {
    n = recv(w->fd, to, room, MSG_DONTWAIT);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
    w->dry = true;
    return MYSQL_WAIT_READ;
  }
  if (n <= 0) {
    set_lost(c);
    return 0;
  }
  w->dry = (size_t)n < room; /* there was no more */
  prg_inbox_got(&w->in, (size_t)n);
  return 0;
}

/* The server has gone while it was written to. It may have said why. */
static void take_last_words(struct my_conn *c) {
  struct prg_packet p;
  struct prg_reply r = {.kind = PRG_REPLY_BAD};
  if (receive(c) != 0) set_lost(c);
  if (c->rc != 0) return;
  if (prg_inbox_next(&c->wire.in, &p)) r = prg_packet_answer(&p);
  if (r.kind == PRG_REPLY_ERROR && my_is_lost(r.code))
    set_error(c, r.code, r.state, r.text, r.length);
  else
    set_lost(c);
}

/* What an op waits for; 0: it is through, also by an error. */
static int flush(struct my_conn *c) {
  struct my_wire *w = &c->wire;
  size_t had = w->sent;
  while (w->sent < w->out.len) {
    if (w->sent > had + TURN) return MYSQL_WAIT_WRITE;
    ssize_t n = send(w->fd, w->out.data + w->sent, w->out.len - w->sent,
                     MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) {
      w->sent += (size_t)n;
    } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      return MYSQL_WAIT_WRITE;
    } else if (n == 0 || errno != EINTR) {
      take_last_words(c);
      return 0;
    }
  }
  return 0;
}

/* The next packet, or what it waits for. 0 with c->rc set: there will be none. A long one is
** received in several turns. */
static int next(struct my_conn *c, struct prg_packet *p) {
  struct my_wire *w = &c->wire;
  size_t had = w->in.end - w->in.at;
  while (c->rc == 0 && !prg_inbox_next(&w->in, p)) {
    int wait = w->dry || w->in.end - w->in.at > had + TURN ? MYSQL_WAIT_READ
                                                           : receive(c);
    if (wait != 0) return wait;
  }
  return 0;
}

/* ---- answers ----------------------------------------------------------------- */

static void set_status(struct my_conn *c, const struct prg_reply *r) {
  c->my->server_status = r->status;
  c->my->warning_count = r->warnings;
}

static void set_reply_error(struct my_conn *c, const struct prg_reply *r) {
  c->my->server_status &= ~(unsigned)SERVER_MORE_RESULTS_EXIST;
  set_error(c, r->code, r->state, r->text, r->length);
}

/* Columns that are not described are those of the last time, or of the prepare. */
static bool is_known(const struct my_conn *c, unsigned ncols) {
  const struct my_entry *e = c->run.e;
  if (e->plan.ncols > 0) return e->plan.ncols == ncols;
  return !e->changed && e->st->field_count == ncols;
}

/* The columns of a result, which are kept unless they are only skipped. */
static bool begin_columns(struct my_conn *c, const struct prg_reply *r) {
  struct my_wire *w = &c->wire;
  w->ncols = r->ncols;
  w->column = r->described ? 0 : r->ncols;
  w->fields = NULL;
  if (w->skipping) return true;
  if (!r->described) return is_known(c, r->ncols);
  prg_arena_reset(&w->arena);
  w->fields = prg_arena_alloc(&w->arena, r->ncols * sizeof *w->fields);
  w->json = prg_arena_alloc(&w->arena, r->ncols * sizeof *w->json);
  if (w->fields == NULL || w->json == NULL) set_no_memory(c);
  return true;
}

static void keep_column(struct my_conn *c, const struct prg_packet *p) {
  struct my_wire *w = &c->wire;
  struct prg_packet_column k;
  MYSQL_FIELD *f;
  if (!prg_packet_column(p, &k)) set_malformed(c);
  if (c->rc != 0 || w->skipping) return;
  f = &w->fields[w->column];
  memset(f, 0, sizeof *f);
  f->name = prg_arena_dup(&w->arena, k.name, k.length);
  if (f->name == NULL) set_no_memory(c);
  f->name_length = (unsigned)k.length;
  f->type = (enum enum_field_types)k.type;
  f->flags = k.flags;
  f->charsetnr = k.charset;
  f->length = k.width;
  w->json[w->column] = k.json;
}

/* What may come instead of what is awaited. */
static void take_other(struct my_conn *c, const struct prg_reply *r) {
  if (r->kind == PRG_REPLY_ERROR)
    set_reply_error(c, r);
  else if (r->kind != PRG_REPLY_PROGRESS)
    set_malformed(c);
}

static void take_answer(struct my_conn *c, const struct prg_packet *p) {
  struct my_wire *w = &c->wire;
  struct prg_reply r = prg_packet_answer(p);
  switch (r.kind) {
    case PRG_REPLY_OK:
      set_status(c, &r);
      c->my->affected_rows = r.affected;
      c->my->insert_id = r.last_id;
      w->ncols = 0;
      w->fields = NULL;
      w->state = MY_W_OVER;
      break;
    case PRG_REPLY_COLUMNS:
      if (!begin_columns(c, &r)) set_malformed(c);
      w->state = MY_W_COLUMNS;
      break;
    default:
      take_other(c, &r);
  }
}

static void take_column(struct my_conn *c, const struct prg_packet *p) {
  struct my_wire *w = &c->wire;
  if (w->column < w->ncols) {
    keep_column(c, p);
    w->column++;
    return;
  }
  struct prg_reply r = prg_packet_behind(p);
  if (r.kind != PRG_REPLY_END) {
    set_malformed(c);
    return;
  }
  set_status(c, &r);
  w->state = MY_W_ROWS;
}

/* Of what was received among rows: is it one? */
static bool take_row(struct my_conn *c) {
  struct my_wire *w = &c->wire;
  struct prg_reply r = prg_packet_behind(&w->row);
  if (r.kind == PRG_REPLY_ROW) return true;
  if (r.kind == PRG_REPLY_END) {
    set_status(c, &r);
    w->state = MY_W_OVER;
  } else {
    take_other(c, &r);
  }
  return false;
}

/* Reads until columns or the end were told. */
static int read_answer(struct my_conn *c) {
  struct my_wire *w = &c->wire;
  struct prg_packet p;
  while (c->rc == 0 && (w->state == MY_W_ANSWER || w->state == MY_W_COLUMNS)) {
    int wait = next(c, &p);
    if (wait != 0) return wait;
    if (c->rc != 0) break;
    if (w->state == MY_W_ANSWER)
      take_answer(c, &p);
    else
      take_column(c, &p);
  }
  c->my->field_count = w->ncols;
  return 0;
}

/* ---- ops --------------------------------------------------------------------- */

bool my_wire_pack(struct my_conn *c, const struct prg_value *params) {
  struct my_wire *w = &c->wire;
  struct my_entry *e = c->run.e;
  struct prg_packet_execute x = {(uint32_t)e->st->stmt_id, params,
                                 (size_t)c->run.req->stmt->nparams, &e->types};
  w->sent = 0;
  prg_buf_reset(&w->out);
  prg_packet_execute(&w->out, &x);
  if (w->out.failed) e->types.known = false;
  return !w->out.failed;
}

static void begin(struct my_conn *c) {
  struct my_wire *w = &c->wire;
  clear_error(c);
  c->my->affected_rows = (my_ulonglong)-1;
  w->state = MY_W_ANSWER;
  w->skipping = false;
  w->ncols = 0;
  w->fields = NULL;
  w->dry = true; /* an answer takes its time */
}

int my_wire_execute(struct my_conn *c, int ready) {
  int wait;
  if (ready == 0)
    begin(c);
  else
    c->wire.dry = (ready & MYSQL_WAIT_READ) == 0;
  wait = flush(c);
  if (wait == 0) wait = read_answer(c);
  if (wait == 0 && c->rc != 0) c->run.e->types.known = false;
  return wait;
}

/* rc is that of mysql_stmt_fetch. */
int my_wire_fetch(struct my_conn *c, int ready) {
  struct my_wire *w = &c->wire;
  if (ready != 0) w->dry = false;
  c->rc = 0;
  while (c->rc == 0 && w->state == MY_W_ROWS) {
    int wait = next(c, &w->row);
    if (wait != 0) return wait;
    if (c->rc == 0 && take_row(c)) return 0;
  }
  if (c->rc == 0) c->rc = MYSQL_NO_DATA;
  return 0;
}

bool my_wire_is_over(const struct my_conn *c) {
  return c->wire.state == MY_W_OVER && !mysql_more_results(c->my);
}

int my_wire_skip(struct my_conn *c, int ready) {
  struct my_wire *w = &c->wire;
  int wait;
  if (ready != 0) w->dry = false;
  c->rc = 0;
  w->skipping = true;
  if (w->state == MY_W_OVER) w->state = MY_W_ANSWER;
  if (w->state != MY_W_ROWS) return read_answer(c);
  wait = next(c, &w->row);
  if (wait == 0 && c->rc == 0) (void)take_row(c);
  return wait;
}

/* ---- what ops have read ------------------------------------------------------- */

bool my_wire_fields(const struct my_conn *c, struct my_fields *f) {
  const struct my_wire *w = &c->wire;
  const struct my_entry *e = c->run.e;
  f->n = w->ncols;
  f->json = w->fields == NULL ? NULL : w->json;
  f->now = w->fields == NULL ? e->st->fields : w->fields;
  f->prepared = w->fields == NULL ? e->st->fields : NULL;
  return w->fields != NULL || e->plan.ncols != w->ncols;
}

/* The connection is not in step with us. */
static void end_connection(struct my_conn *c, struct prg_error *e) {
  if (e == NULL) e = prg_error_new(PRG_K_CLOSED, "Malformed packet");
  if (c->base.error == NULL)
    c->base.error = e;
  else
    prg_error_unref(e);
}

bool my_wire_cells(struct my_conn *c, const unsigned char **cells) {
  const struct my_plan *p = &c->run.e->plan;
  bool fits = prg_packet_cells(&c->wire.row, p->sizes, p->ncols, cells);
  if (!fits) end_connection(c, NULL);
  return fits;
}

/* Behind an answer the server says only why it closes the connection. */
void my_wire_end(struct my_conn *c) {
  struct my_wire *w = &c->wire;
  const struct prg_inbox *in = &w->in;
  if (!prg_inbox_is_empty(in))
    end_connection(c, my_error_packet(in->data + in->at, in->end - in->at));
  prg_inbox_trim(&w->in);
  if (w->out.cap > KEEP_OUT) prg_buf_fini(&w->out);
}
