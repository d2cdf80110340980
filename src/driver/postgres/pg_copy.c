/*
** COPY. One of rows describes its columns first, then both kinds run as a simple
** query: a server that has refused a COPY throws away what still comes for it, so
** that no Sync is needed behind the data.
*/
#include "driver/postgres/pg_int.h"

#include <string.h>

#include "base/mem.h"

enum { CHUNK_BYTES = 64 * 1024 };

static const char binary_head[19] = "PGCOPY\n\377\r\n";
static const char binary_end[2] = "\377\377";
static const char gave_up[] = "it was given up";

/* What a COPY_OUT collects. */
struct pg_copied {
  struct prg_wire_in in; /* of the link by libpq */
  bool headed;           /* the header was taken off */
  struct prg_desc *desc; /* owned reference: bytes are one column */
  struct prg_buf bytes;
};

/* A chunk of bytes: one row of one cell. */
struct bytes_result {
  struct prg_result base;
  struct prg_value cell;
  char *data; /* owned */
};

void pg_copied_free(struct pg_copied *k) {
  if (k == NULL) return;
  prg_wire_in_fini(&k->in);
  prg_buf_fini(&k->bytes);
  prg_desc_unref(k->desc);
  prg_free(k);
}

struct prg_wire_in *pg_copied_in(struct pg_conn *c) {
  return c->run->copied == NULL ? NULL : &c->run->copied->in;
}

bool pg_copy_is_left(const struct pg_conn *c) {
  const struct pg_copied *k = c->run->copied;
  return k != NULL && prg_wire_peek(&k->in) != '\0';
}

static int own_error(struct pg_conn *c, struct prg_error *e) {
  if (c->run->error == NULL)
    c->run->error = e;
  else
    prg_error_unref(e);
  return PRG_OK;
}

/* ---- bytes -------------------------------------------------------------- */

static const struct prg_value *bytes_row(struct prg_result *r, size_t i) {
  (void)i;
  return &((struct bytes_result *)(void *)r)->cell;
}

static void bytes_free(struct prg_result *r) {
  prg_free(((struct bytes_result *)(void *)r)->data);
  prg_free(r);
}

/* What was collected, which may be nothing. NULL without memory. */
static struct prg_result *take_bytes(struct pg_copied *k) {
  static const struct prg_result_ops ops = {bytes_row, bytes_free};
  struct bytes_result *r = prg_calloc(1, sizeof *r);
  size_t n = k->bytes.len;
  if (r == NULL) return NULL;
  r->data = prg_buf_take(&k->bytes);
  if (r->data == NULL) {
    prg_free(r);
    return NULL;
  }
  r->base.ops = &ops;
  r->base.desc = prg_desc_ref(k->desc);
  r->base.nrows = n > 0;
  r->base.affected = -1;
  r->base.bytes = n;
  r->cell.type = PRG_BYTES;
  r->cell.u.s = (struct prg_text){r->data, n};
  return &r->base;
}

static int add_bytes(struct pg_conn *c, struct prg_wire_in *in) {
  struct pg_copied *k = c->run->copied;
  struct prg_wire_msg m;
  int rc = prg_wire_next(in, &m);
  if (rc != PRG_OK || c->run->req->ghost || c->run->error != NULL) return rc;
  prg_buf_add(&k->bytes, m.body, m.len);
  if (k->bytes.failed) return own_error(c, prg_error_oom());
  if (k->bytes.len < CHUNK_BYTES) return PRG_OK;
  struct prg_result *chunk = take_bytes(k);
  if (chunk == NULL) return own_error(c, prg_error_oom());
  prg_req_deliver(c->run->req, chunk);
  return PRG_OK;
}

/* ---- rows --------------------------------------------------------------- */

static int lose_garbage(struct pg_conn *c, const char *what) {
  struct prg_error *e = prg_error_new(
      PRG_K_CLOSED, "the server sent what is not its protocol: %s", what);
  if (e != prg_error_oom()) memcpy(e->sqlstate, "08P01", sizeof "08P01");
  return pg_lose(c, e);
}

static void deliver(struct pg_conn *c) {
  struct pg_run *r = c->run;
  struct pg_result *out = r->result;
  struct pg_result *next = pg_result_new();
  if (next == NULL || pg_result_plan(out, r->plan) != PRG_OK) {
    if (next != NULL) prg_result_free(&next->base);
    own_error(c, prg_error_oom());
    return;
  }
  r->result = next;
  prg_req_deliver(r->req, &out->base);
}

static int add_rows(struct pg_conn *c, struct prg_wire_in *in) {
  struct pg_run *r = c->run;
  struct pg_answer a = {.tag = ""};
  size_t have = r->result->base.nrows, chunk = r->req->chunk;
  size_t max = r->req->ghost ? SIZE_MAX : chunk - have;
  size_t ncols = r->plan->desc->ncols;
  if (!r->copied->headed) {
    int rc = prg_wire_copy_head(in);
    if (rc == PRG_ERR) return lose_garbage(c, in->error);
    r->copied->headed = rc == PRG_OK;
    return rc;
  }
  if (prg_wire_copy_rows(in, ncols, max, &a.rows) != PRG_OK)
    return lose_garbage(c, in->error);
  if (a.rows.n == 0) return PRG_AGAIN;
  if (r->req->ghost || r->error != NULL) return PRG_OK;
  a.nrows = a.rows.n;
  if (pg_result_add(r->result, &a) != PRG_OK)
    return own_error(c, prg_error_oom());
  if (have + a.nrows >= chunk || r->result->base.bytes >= PRG_CHUNK_BYTES)
    deliver(c);
  return PRG_OK;
}

int pg_copy_take(struct pg_conn *c, struct prg_wire_in *in) {
  return c->run->req->copy->rows ? add_rows(c, in) : add_bytes(c, in);
}

/* ---- the end ------------------------------------------------------------ */

static void on_answer(struct pg_conn *c, struct pg_answer *a) {
  if (!a->end || c->run->result == NULL) return;
  struct prg_result *out = &c->run->result->base;
  pg_tag_copy(out->tag, sizeof out->tag, a->tag);
  out->affected = pg_tag_count(a->tag);
}

static int finish_out(struct pg_conn *c) {
  struct pg_run *r = c->run;
  struct prg_result *last = NULL;
  if (!r->req->copy->rows) {
    last = take_bytes(r->copied);
  } else if (pg_result_plan(r->result, r->plan) == PRG_OK) {
    last = &r->result->base;
    r->result = NULL;
  }
  return pg_finish(c, last, last == NULL ? prg_error_oom() : NULL);
}

static int after_copy(struct pg_conn *c) {
  struct pg_run *r = c->run;
  struct prg_error *e = pg_take_error(c);
  if (r->error != NULL) {
    prg_error_unref(e);
    e = r->error;
    r->error = NULL;
  }
  if (e != NULL) {
    if (r->req->copy->sql != NULL)
      prg_error_set(e, PRG_EF_SQL, r->req->copy->sql);
    return pg_finish(c, NULL, e);
  }
  if (r->req->kind == PRG_REQ_COPY_OUT) return finish_out(c);
  struct prg_result *out = &r->result->base;
  r->result = NULL;
  return pg_finish(c, out, NULL);
}

/* ---- to the server ------------------------------------------------------ */

static bool is_binary(const struct prg_copy *k) {
  return k->codec != NULL && pg_copy_codec_is_binary(k->codec);
}

static int end_data(struct pg_conn *c, const char *why) {
  c->run->x.on_room = NULL;
  if (c->link->copy_end(c, why) != PRG_OK) return PRG_ERR;
  return c->link->flush(c);
}

/* Sends what the owner has given. Once the socket has taken it more is asked for;
** and it is looked whether the server has refused meanwhile. */
static int send_data(struct pg_conn *c) {
  struct prg_req *req = c->run->req;
  struct prg_copy *k = req->copy;
  if (c->run->x.copy != PG_COPY_IN) { /* it has refused */
    c->run->x.on_room = NULL;
    return PRG_OK;
  }
  if (req->ghost || k->fail) return end_data(c, gave_up);
  if (k->end && is_binary(k)) prg_buf_add(&k->out, binary_end, 2);
  if (k->out.failed) return end_data(c, "out of memory");
  if (k->out.len > 0 &&
      c->link->copy_data(c, k->out.data, k->out.len) != PRG_OK)
    return PRG_ERR;
  prg_buf_reset(&k->out);
  if (k->end) return end_data(c, NULL);
  if (c->link->flush(c) != PRG_OK || c->link->read(c) != PRG_OK) return PRG_ERR;
  if (!c->want_write && c->run->x.copy == PG_COPY_IN)
    prg_req_deliver(req, NULL);
  return PRG_OK;
}

static int on_copy(struct pg_conn *c, char type) {
  struct prg_req *req = c->run->req;
  struct prg_copy *k = req->copy;
  bool in = req->kind == PRG_REQ_COPY_IN;
  if (type == 'H') {
    c->run->x.copy = in ? PG_COPY_NONE : PG_COPY_OUT;
    c->run->x.copying = in; /* thrown away */
    if (in)
      own_error(
          c, prg_error_new(PRG_K_USAGE, "the COPY is TO STDOUT: use copy_out"));
    return PRG_OK;
  }
  c->run->x.copy = PG_COPY_IN;
  if (!in) {
    own_error(
        c, prg_error_new(PRG_K_USAGE, "the COPY is FROM STDIN: use copy_in"));
    return end_data(c, gave_up);
  }
  if (is_binary(k)) prg_buf_add(&k->out, binary_head, sizeof binary_head);
  c->run->x.on_room = send_data;
  prg_conn_kick(&c->base);
  return PRG_OK;
}

/* ---- what is sent ------------------------------------------------------- */

/* A query without the semicolons behind it. */
static struct prg_text query_of(const struct prg_stmt *stmt) {
  size_t n = stmt->len;
  while (n > 0 && strchr("; \t\r\n", stmt->sql[n - 1]) != NULL) n--;
  return (struct prg_text){stmt->sql, n};
}

/* Columns that cannot be read from binary come as texts. */
static void put_texts(struct prg_buf *b, const struct pg_plan *p,
                      struct prg_text query) {
  size_t n = p->desc->ncols;
  prg_buf_adds(b, "COPY (WITH q (");
  for (size_t i = 0; i < n; i++) prg_buf_addf(b, "%sc%zu", i ? ", " : "", i);
  prg_buf_adds(b, ") AS (");
  prg_buf_add(b, query.p, query.n);
  prg_buf_adds(b, "\n) SELECT ");
  for (size_t i = 0; i < n; i++)
    prg_buf_addf(b, "%sc%zu%s", i ? ", " : "", i,
                 p->formats[i] == PG_TEXT_FORMAT ? "::pg_catalog.text" : "");
  prg_buf_adds(b, " FROM q) TO STDOUT (FORMAT binary)");
}

static void put_out(struct pg_conn *c, struct prg_buf *b) {
  const struct prg_req *req = c->run->req;
  const struct prg_copy *k = req->copy;
  struct prg_text query = query_of(req->stmt);
  const struct pg_plan *p = c->run->plan;
  if (k->rows && p->format != PG_BINARY_FORMAT) {
    put_texts(b, p, query);
  } else if (k->rows || k->format != NULL) {
    prg_buf_adds(b, "COPY (");
    prg_buf_add(b, query.p, query.n);
    prg_buf_addf(b, "\n) TO STDOUT (FORMAT %s)",
                 k->rows ? "binary" : k->format);
  } else {
    prg_buf_add(b, req->stmt->sql, req->stmt->len);
  }
}

static int send_copy(struct pg_conn *c) {
  const struct prg_req *req = c->run->req;
  const struct prg_copy *k = req->copy;
  struct prg_buf sql;
  int rc = PRG_OK;
  prg_buf_init(&sql, 0);
  if (req->kind == PRG_REQ_COPY_OUT)
    put_out(c, &sql);
  else
    prg_buf_adds(&sql, k->rows ? k->sql : req->stmt->sql);
  if (is_binary(k)) prg_buf_adds(&sql, " (FORMAT binary)");
  if (sql.failed)
    pg_finish(c, NULL, prg_error_oom());
  else
    rc = pg_exchange_query(c, sql.data, on_answer, after_copy);
  if (c->run->x.active) c->run->x.on_copy = on_copy;
  prg_buf_fini(&sql);
  return rc;
}

/* All that can fail on our side, before anything is sent. */
static int begin_copy(struct pg_conn *c) {
  struct pg_run *r = c->run;
  struct prg_copy *k = r->req->copy;
  bool out = r->req->kind == PRG_REQ_COPY_OUT;
  struct pg_cols cols = {.head = r->described};
  char *name;
  bool ok = (r->result = pg_result_new()) != NULL;
  if (ok && k->rows && out) {
    r->plan = pg_plan_new(pg_shared_of(c), cols, PG_EACH_FORMAT);
    ok = r->plan != NULL;
  } else if (ok && k->rows) {
    k->codec = pg_copy_codec(pg_shared_of(c), r->described);
    k->free_codec = pg_copy_codec_free;
    ok = k->codec != NULL;
  }
  if (ok && out) {
    r->copied = prg_calloc(1, sizeof *r->copied);
    ok = r->copied != NULL;
  }
  if (ok && out) {
    prg_wire_in_init(&r->copied->in);
    prg_buf_init(&r->copied->bytes, 0);
    r->copied->desc = prg_desc_new(1, 1, &name);
    ok = r->copied->desc != NULL;
    if (ok) r->copied->desc->cols[0] = (struct prg_column){{name, 0}, "", 0};
  }
  return ok ? send_copy(c) : pg_finish(c, NULL, prg_error_oom());
}

/* ---- columns ------------------------------------------------------------ */

static void on_described(struct pg_conn *c, struct pg_answer *a) {
  struct pg_run *r = c->run;
  if (a->described != NULL && r->x.ended == 1 && r->described == NULL)
    r->described = pg_head_ref(a->described);
}

static int after_describe(struct pg_conn *c) {
  struct pg_run *r = c->run;
  struct prg_error *e = pg_take_error(c);
  if (e != NULL) return pg_finish(c, NULL, e);
  if (r->described == NULL) return pg_finish(c, NULL, prg_error_oom());
  if (r->described->ncols == 0)
    return pg_finish(
        c, NULL, prg_error_new(PRG_K_USAGE, "the statement gives no columns"));
  if (pg_learn_add(c, (struct pg_cols){.head = r->described}) != PRG_OK)
    return pg_finish(c, NULL, prg_error_oom());
  return pg_learn(c, begin_copy);
}

/* Each time: what another session may have changed since would be written as
** something else. */
static int describe(struct pg_conn *c) {
  if (pg_pipeline_begin(c, on_described, after_describe) != PRG_OK ||
      c->link->parse(c, "", c->run->req->stmt) != PRG_OK ||
      c->link->describe(c, "") != PRG_OK)
    return PRG_ERR;
  return c->link->sync(c);
}

int pg_copy_begin(struct pg_conn *c) {
  const struct prg_req *req = c->run->req;
  if (req->stmt->nparams > 0)
    return pg_finish(c, NULL,
                     prg_error_new(PRG_K_USAGE, "COPY takes no parameters"));
  return req->copy->rows ? describe(c) : begin_copy(c);
}
