/* QUERY and SCRIPT by the text protocol, PING and RESET. */
#include "driver/mysql/my_int.h"

#include <string.h>

#include "base/mem.h"

/* ---- statements of a script ----------------------------------------------- */

static const char *skip_quoted(const char *p) {
  char quote = *p++;
  while (*p != '\0' && *p != quote) {
    if (*p == '\\' && quote != '`' && p[1] != '\0') p++;
    p++;
  }
  return *p == '\0' ? p : p + 1;
}

/* Where the next statement begins, for its first word. In a body of a procedure
** that is a guess: the server is the one to split them. */
static const char *next_statement(const char *p) {
  while (*p != '\0' && *p != ';') {
    if (*p == '\'' || *p == '"' || *p == '`') {
      p = skip_quoted(p);
    } else if (*p == '#' || (p[0] == '-' && p[1] == '-')) {
      p += strcspn(p, "\n");
    } else if (p[0] == '/' && p[1] == '*') {
      const char *end = strstr(p + 2, "*/");
      p = end == NULL ? p + strlen(p) : end + 2;
    } else {
      p++;
    }
  }
  return *p == ';' ? p + 1 : p;
}

/* ---- results -------------------------------------------------------------- */

static my_then begin_result, after_row, after_next;

/* A script keeps all results; a query the first one with columns (CALL), or the
** last one. */
static void keep_result(struct my_conn *c) {
  struct my_run *r = &c->run;
  struct my_result *res = r->res;
  r->res = NULL;
  if (res == NULL) return;
  if (r->req->kind == PRG_REQ_SCRIPT) {
    *r->tail = &res->base;
    r->tail = &res->base.next;
  } else if (r->first == NULL || r->first->desc == NULL) {
    prg_result_free(r->first);
    r->first = &res->base;
  } else {
    prg_result_free(&res->base);
  }
}

static void result_over(struct my_conn *c) {
  struct my_run *r = &c->run;
  if (r->res != NULL && !r->res->base.truncated)
    my_result_count(r->res, r->at, c->my);
  keep_result(c);
  my_cache_look(&c->cache, c->my->db);
  if (mysql_more_results(c->my)) {
    r->at = next_statement(r->at);
    my_do(c, my_op_next, after_next);
  } else {
    my_end(c);
  }
}

static void after_next(struct my_conn *c) {
  if (c->rc > 0)
    my_fail(c, NULL);
  else if (c->rc < 0)
    my_end(c);
  else
    begin_result(c);
}

static bool add_row(struct my_conn *c) {
  struct my_plan *p = &c->run.plan;
  struct my_result *res = c->run.res;
  unsigned long *n = mysql_fetch_lengths(c->run.rows);
  struct prg_value *row = my_result_row(res);
  if (row == NULL || n == NULL) {
    c->run.error = prg_error_oom();
    return false;
  }
  for (unsigned i = 0; i < p->ncols; i++) {
    struct prg_error *e =
        my_read_text(p->cols[i].cl, c->row[i], n[i], p->desc->cols[i].name.p,
                     c->zero_dates, &res->arena, &row[i]);
    if (e != NULL) {
      c->run.error = e;
      return false;
    }
  }
  my_result_keep(res);
  return true;
}

static void take_row(struct my_conn *c) {
  if (my_is_unwanted(c)) {
    my_count_rest(c);
  } else if (c->run.res->base.nrows == my_row_limit(c)) {
    c->run.res->base.truncated = true;
    if ((c->run.req->stmt->flags & PRG_STMT_READ) != 0) my_deliver(c, true);
  } else {
    (void)add_row(c);
  }
  my_do(c, my_op_row, after_row);
}

static void after_row(struct my_conn *c) {
  if (c->row != NULL) {
    take_row(c);
    return;
  }
  mysql_free_result(c->run.rows); /* read to its end */
  c->run.rows = NULL;
  if (mysql_errno(c->my) != 0)
    my_fail(c, NULL);
  else
    result_over(c);
}

static void begin_result(struct my_conn *c) {
  struct my_run *r = &c->run;
  unsigned n = mysql_field_count(c->my);
  if (n > 0) {
    r->rows = mysql_use_result(c->my);
    if (r->rows == NULL) {
      my_fail(c, NULL);
      return;
    }
    struct my_fields f = {mysql_fetch_fields(r->rows), NULL, NULL, n,
                          r->req->stmt};
    if (my_plan_update(&r->plan, &f) != PRG_OK && r->error == NULL)
      r->error = prg_error_oom();
  }
  r->res = my_result_new(n > 0 ? r->plan.desc : NULL);
  if (r->res == NULL && r->error == NULL) r->error = prg_error_oom();
  if (n > 0)
    my_do(c, my_op_row, after_row);
  else
    result_over(c);
}

static void after_query(struct my_conn *c) {
  if (c->rc != 0)
    my_fail(c, NULL);
  else
    begin_result(c);
}

void my_text_begin(struct my_conn *c) {
  const struct prg_stmt *stmt = c->run.req->stmt;
  c->run.tail = &c->run.first;
  c->run.at = stmt->sql;
  my_do_sql(c, stmt->sql, stmt->len, after_query);
}

/* ---- PING and RESET ------------------------------------------------------- */

static void after_simple(struct my_conn *c) {
  if (c->rc != 0)
    my_fail(c, NULL);
  else
    my_end(c);
}

/* USE is not among what a reset takes back. */
static void after_setup(struct my_conn *c) {
  if (c->rc != 0) {
    my_fail(c, NULL);
  } else if (c->base.config->url.database == NULL) {
    my_end(c);
  } else {
    my_do(c, my_op_use, after_simple);
  }
}

static void after_reset(struct my_conn *c) {
  my_cache_clear(&c->cache); /* the server has forgotten them */
  prg_error_unref(c->lost);
  c->lost = NULL;
  if (c->rc != 0)
    my_fail(c, NULL);
  else
    my_do_sql(c, my_setup, strlen(my_setup), after_setup);
}

void my_simple_begin(struct my_conn *c) {
  if (c->run.req->kind == PRG_REQ_PING) {
    my_do(c, my_op_ping, after_simple);
  } else if (c->custom) {
    my_fail_with(c, prg_error_new(PRG_K_UNSUPPORTED,
                                  "a reset would undo what on_connect did"));
  } else {
    my_do(c, my_op_reset, after_reset);
  }
}
