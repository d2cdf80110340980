#include "driver/postgres/pg_int.h"

#include <string.h>

#include "base/mem.h"

/* How much is sent before the loop has another look at what came back and at
** other connections. */
enum { TURN_BYTES = 64 * 1024, TURN_SETS = 250 };

static void on_answer(struct pg_conn *c, struct pg_answer *a) {
  struct pg_run *r = c->run;
  if (!a->end || (r->entry == NULL && r->x.ended == 0)) return;
  int64_t count = pg_tag_count(a->tag);
  if (count > 0) r->affected += count;
  if (r->tag[0] == '\0') pg_tag_copy(r->tag, sizeof r->tag, a->tag);
}

/* Says which set, from 0 here and from 1 there, an error is about. */
static void name_set(struct prg_error *e, size_t set) {
  struct prg_buf b;
  prg_buf_init(&b, 0);
  prg_buf_addf(&b, "set %zu: %s", set + 1, prg_error_message(e));
  if (!b.failed) prg_error_set(e, PRG_EF_MESSAGE, b.data);
  prg_buf_fini(&b);
}

static int after(struct pg_conn *c) {
  struct pg_run *r = c->run;
  struct prg_error *e = pg_take_error(c);
  size_t before = r->entry == NULL ? 1 : 0; /* the Parse */
  if (r->error != NULL) {
    prg_error_unref(e);
    e = r->error;
    r->error = NULL;
    return pg_finish(c, NULL, e);
  }
  if (e != NULL) {
    bool usual = strcmp(e->sqlstate, "26000") != 0 && !c->run->x.revalidate;
    if (usual && c->run->x.failed >= before &&
        c->run->x.failed - before < c->run->req->nsets)
      name_set(e, c->run->x.failed - before);
    return pg_query_failed(c, e);
  }
  struct pg_result *out = r->result;
  r->result = NULL;
  out->base.affected = r->affected;
  memcpy(out->base.tag, r->tag, sizeof r->tag);
  pg_note_tag(c, r->tag);
  return pg_finish(c, &out->base, NULL);
}

/* Nothing more is to be sent, and nothing of it shall stay: a command that must
** fail makes the server undo the rest. */
static int poison(struct pg_conn *c) {
  c->run->poisoned = true;
  return c->link->describe(c, "prg_none: parameters refused");
}

static int send_set(struct pg_conn *c, size_t *bytes) {
  struct pg_run *r = c->run;
  const struct prg_req *req = c->run->req;
  int n = req->stmt->nparams;
  const Oid *types = r->entry == NULL ? NULL : r->entry->types + n;
  struct prg_error *e = NULL;
  if (pg_encode_set(c, req->params + r->set * (size_t)n, n, types, &e) !=
      PRG_OK) {
    name_set(e, r->set);
    r->error = e;
    return poison(c);
  }
  for (int i = 0; i < n; i++) *bytes += (size_t)c->lengths[i];
  *bytes += 32;
  r->set++;
  return c->link->bound(c, r->entry == NULL ? "" : r->entry->name, n, NULL,
                        false);
}

static bool is_over(const struct pg_conn *c) {
  return c->run->poisoned || c->run->x.error != NULL ||
         c->run->set == c->run->req->nsets;
}

/* One turn of sending. Between turns the answers are read, so that neither side
** waits for the other with full buffers. */
static int send_some(struct pg_conn *c) {
  size_t bytes = 0;
  if (c->run->req->ghost && !is_over(c) && poison(c) != PRG_OK) return PRG_ERR;
  for (int n = 0; n < TURN_SETS && bytes < TURN_BYTES && !is_over(c); n++)
    if (send_set(c, &bytes) != PRG_OK) return PRG_ERR;
  prg_arena_reset(&c->scratch);
  if (is_over(c)) {
    c->run->x.on_room = NULL;
    return c->link->sync(c);
  }
  if (c->link->read(c) != PRG_OK) return PRG_ERR;
  return c->link->flush(c);
}

int pg_batch_execute(struct pg_conn *c) {
  struct prg_stmt *stmt = c->run->req->stmt;
  /* Before anything is sent: what was done must not end as "out of memory". */
  c->run->result = pg_result_new();
  if (c->run->result == NULL || prg_req_own_params(c->run->req) != PRG_OK)
    return pg_finish(c, NULL, prg_error_oom());
  if (c->run->req->nsets == 0) return after(c);
  if (pg_pipeline_begin(c, on_answer, after) != PRG_OK) return PRG_ERR;
  if (c->run->entry == NULL && c->link->parse(c, "", stmt) != PRG_OK)
    return PRG_ERR;
  c->run->x.on_room = send_some;
  return PRG_OK;
}
