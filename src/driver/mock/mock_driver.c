/*
** A driver with scripted answers: pool, queries, transactions and faults are
** tested without a server. It has no descriptor: time passes by timers and by
** turns of the hub. docs/internals/mock.md tells its script language.
*/
#include "driver/driver.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "driver/mock/mk_int.h"

enum {
  MK_DEPTH = 64,               /* requests in flight with PRG_F_PIPELINE */
  MK_SCRIPT_MAX = 1024 * 1024, /* bytes of a script file */
  MK_FEATURES = PRG_F_PIPELINE | PRG_F_CANCEL | PRG_F_LAST_ID | PRG_F_REOPEN
};

/* Values of prg_req.step. */
enum { MK_TAKEN, MK_RUNNING, MK_REFUSED };

extern const struct prg_driver perigee_driver;

static struct mk_conn *mock(struct prg_conn *c) {
  return (struct mk_conn *)c;
}

/* ---- parameters --------------------------------------------------------- */

static const struct {
  const char *name;
  unsigned bit;
} feature_names[] = {
    {"pipeline", PRG_F_PIPELINE},
    {"cancel", PRG_F_CANCEL},
    {"interleave", PRG_F_INTERLEAVE},
    {"cursor", PRG_F_CURSOR},
    {"lanes", PRG_F_LANES},
    {"last_id", PRG_F_LAST_ID},
    {"cursor_hold", PRG_F_CURSOR_HOLD},
    {"collect", PRG_F_COLLECT},
    {"prelude", PRG_F_PRELUDE},
};

/* "interleave,no_cancel": each name switches one bit on or, with no_, off. */
static struct prg_error *parse_features(const char *list, unsigned *bits) {
  while (*list != '\0') {
    size_t n = strcspn(list, ",");
    bool off = n > 3 && strncmp(list, "no_", 3) == 0;
    const char *name = off ? list + 3 : list;
    size_t len = off ? n - 3 : n;
    unsigned bit = 0;
    for (size_t i = 0; i < sizeof feature_names / sizeof *feature_names; i++)
      if (strlen(feature_names[i].name) == len &&
          memcmp(feature_names[i].name, name, len) == 0)
        bit = feature_names[i].bit;
    if (bit == 0)
      return prg_error_new(PRG_K_USAGE, "mock: unknown feature \"%.*s\"",
                           (int)n, list);
    *bits = off ? *bits & ~bit : *bits | bit;
    list += n + (list[n] == ',');
  }
  return NULL;
}

static struct prg_error *parse_number(const char *name, const char *text,
                                      long max, long *out) {
  char *end;
  errno = 0;
  *out = strtol(text, &end, 10);
  if (errno == 0 && end != text && *end == '\0' && *out >= 0 && *out <= max)
    return NULL;
  return prg_error_new(PRG_K_USAGE, "mock: %s wants a number up to %ld, not %s",
                       name, max, text);
}

/* What the URL's parameters say. */
struct settings {
  unsigned features;
  long lanes, turns, max_conns;
  const char *script;
};

static struct prg_error *read_setting(const struct prg_param *p,
                                      struct settings *s) {
  if (strcmp(p->name, "features") == 0)
    return parse_features(p->value, &s->features);
  if (strcmp(p->name, "lanes") == 0)
    return parse_number(p->name, p->value, 2, &s->lanes);
  if (strcmp(p->name, "turns") == 0)
    return parse_number(p->name, p->value, 1000, &s->turns);
  if (strcmp(p->name, "max_conns") == 0)
    return parse_number(p->name, p->value, 10000, &s->max_conns);
  if (strcmp(p->name, "script") == 0) {
    s->script = p->value;
    return NULL;
  }
  if (strcmp(p->name, "script_file") == 0 || strcmp(p->name, "log_file") == 0)
    return NULL;
  return prg_error_new(PRG_K_USAGE,
                       "mock: unknown parameter \"%s\" (known: script, "
                       "script_file, log_file, features, lanes, turns, "
                       "max_conns)",
                       p->name);
}

static struct prg_error *read_settings(const struct prg_config *cfg,
                                       struct settings *s) {
  *s = (struct settings){.features = MK_FEATURES, .turns = 1, .script = ""};
  struct prg_error *e = NULL;
  for (size_t i = 0; i < cfg->url.nparams && e == NULL; i++)
    e = read_setting(&cfg->url.params[i], s);
  if (s->lanes == 2) s->features |= PRG_F_LANES;
  if (s->lanes == 0) s->lanes = s->features & PRG_F_LANES ? 2 : 1;
  return e;
}

static struct prg_error *mock_check(struct prg_config *cfg) {
  struct settings s;
  struct prg_error *e = read_settings(cfg, &s);
  if (e != NULL) return e;
  struct mk_script *script = mk_script_new(s.script, &e);
  if (script == NULL) return e;
  mk_script_unref(script);
  cfg->lanes = (int)s.lanes;
  cfg->max_conns = (size_t)s.max_conns;
  return NULL;
}

/* ---- what a handle's connections share ---------------------------------- */

static void mock_shared_free(void *shared) {
  struct mk_shared *sh = shared;
  mk_script_unref(sh->script);
  prg_free(sh);
}

static void *mock_shared_new(const struct prg_config *cfg) {
  struct settings s;
  struct prg_error *e = read_settings(cfg, &s);
  struct mk_shared *sh = prg_calloc(1, sizeof *sh);
  if (e != NULL || sh == NULL) goto failed;
  sh->config = cfg;
  sh->driver = perigee_driver;
  sh->driver.features = s.features;
  sh->turns = s.turns;
  sh->script = mk_script_new(s.script, &e);
  if (sh->script != NULL) return sh;
failed:
  prg_error_unref(e);
  prg_free(sh);
  return NULL;
}

static int read_file(const char *path, struct prg_buf *b) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return PRG_ERR;
  ssize_t n = 0;
  do {
    char chunk[4096];
    n = read(fd, chunk, sizeof chunk);
    if (n > 0) prg_buf_add(b, chunk, (size_t)n);
  } while (n > 0 && !b->failed);
  close(fd);
  prg_buf_addc(b, '\0');
  return n < 0 || b->failed ? PRG_ERR : PRG_OK;
}

/* Reads script_file again. An unchanged script keeps its counts of uses. */
static struct prg_error *refresh_script(struct mk_shared *sh) {
  const char *path = prg_url_param(&sh->config->url, "script_file");
  struct prg_error *e = NULL;
  struct prg_buf b;
  if (path == NULL) return NULL;
  prg_buf_init(&b, MK_SCRIPT_MAX);
  if (read_file(path, &b) != PRG_OK) {
    e = prg_error_new(PRG_K_USAGE, "mock: cannot read script_file %s", path);
  } else if (strcmp(b.data, sh->script->text) != 0) {
    struct mk_script *fresh = mk_script_new(b.data, &e);
    if (fresh != NULL) {
      mk_script_unref(sh->script);
      sh->script = fresh;
    }
  }
  prg_buf_fini(&b);
  return e;
}

/* ---- runs --------------------------------------------------------------- */

/* Looks up the rule of `q` for a run that does nothing yet. */
static struct prg_error *aim_run(struct mk_conn *m, struct mk_run *r,
                                 const struct mk_question *q) {
  struct prg_error *e = refresh_script(m->shared);
  if (e != NULL) return e;
  mk_script_unref(r->script);
  r->script = mk_script_ref(m->shared->script);
  r->rule = mk_script_find(r->script, q);
  r->op = r->rule != NULL ? r->rule->ops : NULL;
  r->hold = (struct mk_hold){.hang = false};
  r->sql = q->sql;
  r->len = q->len;
  return NULL;
}

static void use_rule(struct mk_run *r) {
  if (r->rule != NULL) r->rule->uses++;
}

static void clear_run(struct mk_run *r) {
  mk_script_unref(r->script);
  prg_result_free(r->chain);
  *r = (struct mk_run){.script = NULL};
}

static void free_run(struct mk_conn *m, struct mk_run *r) {
  if (r == NULL) return;
  prg_list_remove(&m->runs, &r->link);
  r->link = (struct prg_link){NULL, NULL};
  clear_run(r);
  prg_free(r);
}

static void take_turn(struct prg_post *p) {
  struct mk_conn *m = PRG_CONTAINER(p, struct mk_conn, post);
  m->turn++;
  prg_conn_step(&m->base, 0);
}

static bool is_held(struct mk_conn *m, struct mk_hold *h, struct prg_wait *w) {
  if (h->hang) return true;
  if (h->turn > m->turn) {
    prg_hub_post(m->base.hub, &m->post);
    return true;
  }
  if (h->due > prg_now()) {
    if (h->due < w->due) w->due = h->due;
    return true;
  }
  h->due = 0;
  return false;
}

static int break_conn(struct mk_conn *m, enum prg_kind kind,
                      const char *sqlstate, const char *message) {
  struct prg_error *e = prg_error_new(kind, "%s", message);
  if (e != prg_error_oom()) memcpy(e->sqlstate, sqlstate, sizeof e->sqlstate);
  prg_error_unref(m->base.error);
  m->base.error = e;
  mk_log_text(m, "broken", message);
  return PRG_ERR;
}

static void tell_notice(struct mk_conn *m, const char *text) {
  struct prg_error *e = prg_error_new(PRG_K_DATABASE, "%s", text);
  prg_conn_tell_notice(&m->base, e);
  prg_error_unref(e);
}

static int start_op(struct mk_conn *m, struct mk_run *r,
                    const struct mk_op *op) {
  switch (op->kind) {
    case MK_WAIT:
      r->hold.due = prg_now() + op->n;
      return PRG_OK;
    case MK_PARK:
      r->hold.turn = m->turn + (uint64_t)op->n;
      return PRG_OK;
    case MK_HANG:
      r->hold.hang = true;
      mk_log(m, "hang", NULL);
      return PRG_OK;
    case MK_NOTICE:
      tell_notice(m, op->text);
      return PRG_OK;
    case MK_CUT:
      break;
  }
  if (m->base.state == PRG_CONN_CONNECTING)
    return break_conn(m, PRG_K_CONNECT, "08001", "mock: connection cut");
  return break_conn(m, PRG_K_CLOSED, "08006", "mock: connection cut");
}

/* Does what the rule says up to the end of `phase`. PRG_AGAIN: held up;
** PRG_ERR: the connection is broken. */
static int run_ops(struct mk_conn *m, struct mk_run *r, enum mk_phase phase,
                   struct prg_wait *w) {
  enum prg_conn_state state = m->base.state;
  for (;;) {
    if (m->base.state != state) return PRG_AGAIN; /* closed by a notice */
    if (is_held(m, &r->hold, w)) return PRG_AGAIN;
    if (r->op == NULL || r->op->phase > phase) return PRG_OK;
    const struct mk_op *op = r->op;
    r->op = op->next;
    if (start_op(m, r, op) != PRG_OK) return PRG_ERR;
  }
}

/* ---- idle death --------------------------------------------------------- */

/* Not before the next turn: the answer is told first. */
static void plan_death(struct mk_conn *m, const struct mk_rule *rule) {
  if (rule->die < 0) return;
  m->dying = true;
  m->death =
      (struct mk_hold){.turn = m->turn + 1, .due = prg_now() + rule->die};
}

/* The server ends the session while nobody asks anything. */
static int check_death(struct mk_conn *m, struct prg_wait *w) {
  if (!m->dying || !prg_conn_is_drained(&m->base)) return PRG_OK;
  if (is_held(m, &m->death, w)) return PRG_OK;
  return break_conn(m, PRG_K_CLOSED, "57P01",
                    "terminating connection due to administrator command");
}

/* ---- connecting --------------------------------------------------------- */

static int start_connect(struct mk_conn *m) {
  struct mk_shared *sh = m->base.shared;
  m->shared = sh;
  m->base.driver = &sh->driver;
  m->number = ++sh->connects;
  m->base.backend = m->number;
  mk_log_text(m, "connect", m->base.lane == PRG_LANE_READ ? "read" : "write");
  struct mk_question q = {.subject = MK_ON_CONNECT, .nth = m->number};
  struct prg_error *e = aim_run(m, &m->greet, &q);
  if (e != NULL) {
    m->base.error = e;
    return PRG_ERR;
  }
  use_rule(&m->greet);
  m->greet.hold.turn = m->turn + (uint64_t)sh->turns;
  return PRG_OK;
}

static int step_connect(struct mk_conn *m, struct prg_wait *w) {
  struct mk_run *r = &m->greet;
  if (m->number == 0 && start_connect(m) != PRG_OK) return PRG_ERR;
  int rc = run_ops(m, r, MK_DONE, w);
  if (rc != PRG_OK) return rc;
  const struct mk_rule *rule = r->rule;
  if (rule != NULL && rule->answer == MK_FAULT) {
    m->base.error = mk_fault_error(&rule->fault);
    mk_log_text(m, "broken", prg_error_message(m->base.error));
    return PRG_ERR;
  }
  if (rule != NULL) plan_death(m, rule);
  clear_run(r);
  if (m->base.config->pipeline > 0)
    m->base.pipeline = (size_t)m->base.config->pipeline;
  mk_log(m, "ready", NULL);
  return check_death(m, w);
}

/* ---- finishing requests ------------------------------------------------- */

static void finish(struct mk_conn *m, struct prg_req *req,
                   struct prg_result *result, struct prg_error *error) {
  struct mk_run *r = req->impl;
  if (error != NULL)
    mk_log_text(m, "error", prg_error_message(error));
  else
    mk_log(m, "done", NULL);
  req->impl = NULL;
  free_run(m, r);
  prg_req_finish(req, result, error);
}

/* What a rule leaves behind on the session. */
static void apply_aftermath(struct mk_conn *m, const struct mk_run *r) {
  const struct mk_rule *rule = r->rule;
  if (rule == NULL) return;
  plan_death(m, rule);
  if (rule->dirty == NULL) return;
  size_t n = strnlen(rule->dirty, sizeof m->dirty - 1);
  memcpy(m->dirty, rule->dirty, n);
  m->dirty[n] = '\0';
}

/* Where a paused stream leaves the connection usable, its end does not harm the
** transaction. */
static void finish_cancelled(struct mk_conn *m, struct prg_req *req) {
  struct prg_error *e =
      prg_error_new(PRG_K_CANCELLED, "canceling statement due to user request");
  if (e != prg_error_oom()) memcpy(e->sqlstate, "57014", sizeof e->sqlstate);
  m->cancel = false;
  if (!(m->shared->driver.features & PRG_F_INTERLEAVE)) mk_tx_failed(m);
  finish(m, req, NULL, e);
}

/* ---- statements --------------------------------------------------------- */

/* PRG_REQ_SCRIPT: the next statement of the text, or false. Semicolons inside
** quotes do not count; dollar quotes and comments are not known. */
static bool next_piece(const struct prg_req *req, struct mk_run *r,
                       struct mk_question *q) {
  const char *s = req->stmt->sql;
  size_t at = r->pos, len = req->stmt->len;
  while (at < len && strchr(" \t\r\n;", s[at]) != NULL) at++;
  size_t start = at;
  char quote = '\0';
  for (; at < len && (quote != '\0' || s[at] != ';'); at++) {
    if (quote == '\0' && (s[at] == '\'' || s[at] == '"'))
      quote = s[at];
    else if (s[at] == quote)
      quote = '\0';
  }
  r->pos = at;
  while (at > start && strchr(" \t\r\n", s[at - 1]) != NULL) at--;
  q->sql = s + start;
  q->len = at - start;
  return q->len > 0;
}

static struct mk_question ask_about(const struct prg_req *req) {
  struct mk_question q = {.subject = MK_ON_SQL};
  if (req->kind == PRG_REQ_PING) q.subject = MK_ON_PING;
  if (req->kind == PRG_REQ_RESET) q.subject = MK_ON_RESET;
  if (req->stmt == NULL) return q;
  q.sql = req->stmt->sql;
  q.len = req->stmt->len;
  q.nparams = req->stmt->nparams;
  while (q.len > 0 && strchr("; \t\r\n", q.sql[q.len - 1]) != NULL) q.len--;
  return q;
}

/* The statement's results, one slice of rows; NULL with *err when it fails. */
static struct prg_result *answer(struct mk_conn *m, struct prg_req *req,
                                 struct mk_run *r, struct prg_error **err) {
  char tag[sizeof((struct prg_result *)0)->tag] = "";
  size_t n = mk_answer_rows(r);
  *err = mk_tx_apply(m, r, tag);
  apply_aftermath(m, r);
  if (*err != NULL) return NULL;
  r->total = n;
  r->answered = true;
  size_t limit = 0;
  if (req->kind == PRG_REQ_QUERY) limit = req->max_rows;
  if (req->kind == PRG_REQ_STREAM) limit = req->chunk > 0 ? req->chunk : 500;
  if (req->kind == PRG_REQ_BATCH && !req->collect) n = 0;
  bool cut = limit > 0 && n > limit;
  struct prg_result *res = mk_answer_slice(req, r, 0, cut ? limit : n, err);
  if (res == NULL) return NULL;
  if (res->tag[0] == '\0') memcpy(res->tag, tag, sizeof tag);
  res->truncated = cut && req->kind == PRG_REQ_QUERY;
  r->first_row = res->nrows;
  return res;
}

static int go_query(struct mk_conn *m, struct prg_req *req, struct mk_run *r,
                    struct prg_wait *w) {
  int rc = run_ops(m, r, MK_DONE, w);
  if (rc != PRG_OK) return rc;
  struct prg_error *e = NULL;
  struct prg_result *res = answer(m, req, r, &e);
  finish(m, req, res, e);
  return PRG_OK;
}

/* The disturbances of phase ROWS come before every chunk but the first of
** several, so that a stream breaks in its middle. */
static int go_stream(struct mk_conn *m, struct prg_req *req, struct mk_run *r,
                     struct prg_wait *w) {
  size_t chunk = req->chunk > 0 ? req->chunk : 500;
  struct prg_error *e = NULL;
  struct prg_result *res;
  bool first = !r->answered;
  bool last =
      first ? mk_answer_rows(r) <= chunk : r->total - r->first_row <= chunk;
  enum mk_phase phase = last ? MK_DONE : first ? MK_EXECUTE : MK_ROWS;
  int rc = run_ops(m, r, phase, w);
  if (rc != PRG_OK) return rc;
  if (first) {
    res = answer(m, req, r, &e);
  } else {
    size_t left = r->total - r->first_row;
    res = mk_answer_slice(req, r, r->first_row, last ? left : chunk, &e);
    if (res != NULL) r->first_row += res->nrows;
  }
  if (last || res == NULL)
    finish(m, req, res, e);
  else
    prg_req_deliver(req, res);
  return PRG_OK;
}

/* One statement of a script; the next one starts at once. */
static int go_script(struct mk_conn *m, struct prg_req *req, struct mk_run *r,
                     struct prg_wait *w) {
  struct mk_question q = {.subject = MK_ON_SQL};
  struct prg_error *e = NULL;
  int rc = run_ops(m, r, MK_DONE, w);
  if (rc != PRG_OK) return rc;
  if (r->pos > 0 && r->len > 0) {
    struct prg_result *res = answer(m, req, r, &e);
    if (res == NULL) {
      finish(m, req, NULL, e);
      return PRG_OK;
    }
    *r->tail = res;
    r->tail = &res->next;
  }
  if (next_piece(req, r, &q)) {
    e = aim_run(m, r, &q);
    if (e == NULL) {
      use_rule(r);
      return PRG_OK;
    }
    finish(m, req, NULL, e);
    return PRG_OK;
  }
  struct prg_result *chain = r->chain;
  r->chain = NULL;
  finish(m, req, chain, NULL);
  return PRG_OK;
}

/* PING and RESET. */
static int go_simple(struct mk_conn *m, struct prg_req *req, struct mk_run *r,
                     struct prg_wait *w) {
  int rc = run_ops(m, r, MK_DONE, w);
  if (rc != PRG_OK) return rc;
  struct prg_error *e = NULL;
  if (r->rule != NULL && r->rule->answer == MK_FAULT)
    e = mk_fault_error(&r->rule->fault);
  if (e == NULL && req->kind == PRG_REQ_RESET) {
    m->base.tx = PRG_TX_IDLE;
    m->nsavepoints = 0;
    m->dirty[0] = '\0';
  }
  apply_aftermath(m, r);
  if (r->rule != NULL && r->rule->sets_tx) m->base.tx = r->rule->tx;
  finish(m, req, NULL, e);
  return PRG_OK;
}

/* ---- preludes ------------------------------------------------------------ */

static const char *event_name(const struct prg_req *req) {
  switch (req->kind) {
    case PRG_REQ_STREAM:
      return "stream";
    case PRG_REQ_BATCH:
      return "batch";
    case PRG_REQ_SCRIPT:
      return "script";
    case PRG_REQ_PING:
      return "ping";
    case PRG_REQ_RESET:
      return "reset";
    default:
      return "submit";
  }
}

/* Skips what the front has already done. */
static void skip_queued(struct mk_run *r) {
  while (r->op != NULL && r->op->phase == MK_QUEUED) r->op = r->op->next;
}

/* The prelude, whose rule is that of its own text. PRG_OK: it is over. */
static int go_prelude(struct mk_conn *m, struct prg_req *req, struct mk_run *r,
                      struct prg_wait *w) {
  char tag[sizeof((struct prg_result *)0)->tag] = "";
  struct mk_question q = ask_about(req);
  int rc = run_ops(m, r, MK_DONE, w);
  if (rc != PRG_OK) return rc;
  struct prg_error *e = mk_tx_apply(m, r, tag);
  apply_aftermath(m, r);
  if (e == NULL) {
    req->begun = true;
    r->preluding = false;
    mk_log(m, event_name(req), req);
    e = aim_run(m, r, &q);
  }
  if (e != NULL) {
    finish(m, req, NULL, e);
    return PRG_OK;
  }
  skip_queued(r);
  use_rule(r);
  return PRG_OK;
}

/* ---- the queue ---------------------------------------------------------- */

/* Phase QUEUED, before the head is taken: PRG_OK, PRG_AGAIN or PRG_ERR. */
static int pass_front(struct mk_conn *m, struct prg_req *req,
                      struct prg_wait *w) {
  if (req->impl != &m->front) {
    struct mk_question q = ask_about(req);
    clear_run(&m->front);
    req->impl = &m->front; /* a new one at the same address has NULL here */
    struct prg_error *e = aim_run(m, &m->front, &q);
    prg_error_unref(e); /* told when the request is taken */
  }
  int rc = run_ops(m, &m->front, MK_QUEUED, w);
  /* Nobody tells a driver that a request has left the queue. */
  int64_t look = prg_now() + PRG_MS;
  if (rc == PRG_AGAIN && look < w->due) w->due = look;
  if (rc != PRG_OK) return rc;
  clear_run(&m->front);
  req->impl = NULL;
  return PRG_OK;
}

static bool wants_other_lane(struct mk_conn *m, struct prg_req *req,
                             const struct mk_run *r) {
  if (m->base.lane != PRG_LANE_READ || req->stmt == NULL) return false;
  if (r->rule != NULL && r->rule->wrong_lane) return true;
  unsigned flags = req->stmt->flags;
  return (flags & (PRG_STMT_READ | PRG_STMT_CONTROL)) == 0;
}

static struct prg_error *start_run(struct mk_conn *m, struct prg_req *req) {
  if (prg_req_own_params(req) != PRG_OK) return prg_error_oom();
  struct mk_run *r = prg_calloc(1, sizeof *r);
  if (r == NULL) return prg_error_oom();
  prg_list_push_back(&m->runs, &r->link);
  req->impl = r;
  r->tail = &r->chain;
  struct mk_question q = ask_about(req);
  r->preluding = req->prelude != NULL;
  if (r->preluding) {
    q.sql = req->prelude->sql;
    q.len = req->prelude->len;
    q.nparams = 0;
  }
  if (req->kind == PRG_REQ_SCRIPT) {
    if (!next_piece(req, r, &q)) q.len = 0;
    q.nparams = 0;
  }
  struct prg_error *e = aim_run(m, r, &q);
  if (e != NULL) return e;
  skip_queued(r);
  if (!wants_other_lane(m, req, r)) {
    use_rule(r);
    return NULL;
  }
  req->wrong_lane = true;
  req->stmt->lane = PRG_LANE_WRITE;
  req->step = MK_REFUSED;
  return NULL;
}

/* Takes what may be in flight. PRG_AGAIN: the head is held in the queue. */
static int take_queue(struct mk_conn *m, struct prg_wait *w) {
  struct prg_conn *c = &m->base;
  size_t depth = m->shared->driver.features & PRG_F_PIPELINE ? MK_DEPTH : 1;
  while (c->state == PRG_CONN_READY && c->sent.count < depth) {
    struct prg_link *first = prg_list_first(&c->queue);
    if (first == NULL) break;
    int rc = pass_front(m, PRG_CONTAINER(first, struct prg_req, link), w);
    if (rc != PRG_OK) return rc;
    struct prg_req *req = prg_conn_next(c);
    if (req == NULL) break;
    if (req->prelude != NULL)
      mk_log_text(m, event_name(req), req->prelude->sql);
    else
      mk_log(m, event_name(req), req);
    struct prg_error *e = start_run(m, req);
    if (e != NULL) finish(m, req, NULL, e);
  }
  return PRG_OK;
}

/* ---- steps -------------------------------------------------------------- */

static int go(struct mk_conn *m, struct prg_req *req, struct prg_wait *w) {
  struct mk_run *r = req->impl;
  if (req->step == MK_TAKEN) { /* it is the head now: its time starts */
    r->hold.turn = m->turn + (uint64_t)m->shared->turns;
    req->step = MK_RUNNING;
  }
  if (m->cancel && req->ghost && (r->rule == NULL || !r->rule->deaf)) {
    finish_cancelled(m, req);
    return PRG_OK;
  }
  if (req->step == MK_REFUSED) {
    finish(m, req, NULL, NULL);
    return PRG_OK;
  }
  if (r->preluding) return go_prelude(m, req, r, w);
  switch (req->kind) {
    case PRG_REQ_STREAM:
      return go_stream(m, req, r, w);
    case PRG_REQ_SCRIPT:
      return go_script(m, req, r, w);
    case PRG_REQ_PING:
    case PRG_REQ_RESET:
      return go_simple(m, req, r, w);
    default:
      return go_query(m, req, r, w);
  }
}

static int step_ready(struct mk_conn *m, struct prg_wait *w) {
  struct prg_conn *c = &m->base;
  for (;;) {
    if (take_queue(m, w) == PRG_ERR) return PRG_ERR;
    if (c->state != PRG_CONN_READY) return PRG_AGAIN;
    struct prg_req *req = prg_conn_head(c);
    if (req == NULL || req->state == PRG_REQ_PAUSED) break;
    int rc = go(m, req, w);
    if (rc == PRG_ERR) return PRG_ERR;
    if (c->state != PRG_CONN_READY) return PRG_AGAIN;
    if (rc == PRG_AGAIN) break;
  }
  if (prg_conn_head(c) == NULL) m->cancel = false;
  return check_death(m, w) == PRG_ERR ? PRG_ERR : PRG_AGAIN;
}

static int mock_step(struct prg_conn *c, unsigned ready, struct prg_wait *w) {
  struct mk_conn *m = mock(c);
  (void)ready;
  w->fd = -1;
  w->events = 0;
  w->due = PRG_NEVER;
  if (c->state == PRG_CONN_CONNECTING) return step_connect(m, w);
  return step_ready(m, w);
}

static void mock_cancel(struct prg_conn *c) {
  struct mk_conn *m = mock(c);
  mk_log(m, "cancel", NULL);
  m->cancel = true;
  prg_conn_kick(c);
}

static const char *mock_unclean(struct prg_conn *c) {
  struct mk_conn *m = mock(c);
  if (m->dirty[0] != '\0') return m->dirty;
  return c->tx == PRG_TX_IDLE ? NULL : "a transaction is open";
}

static struct prg_conn *mock_conn_new(void) {
  struct mk_conn *m = prg_calloc(1, sizeof *m);
  if (m == NULL) return NULL;
  m->post.fn = take_turn;
  prg_list_init(&m->runs);
  return &m->base;
}

static void mock_fini(struct prg_conn *c, bool forked) {
  struct mk_conn *m = mock(c);
  if (m->number > 0) mk_log(m, forked ? "close forked" : "close", NULL);
  if (c->hub != NULL) prg_hub_unpost(c->hub, &m->post);
  clear_run(&m->greet);
  clear_run(&m->front);
  struct prg_link *k;
  while ((k = prg_list_first(&m->runs)) != NULL)
    free_run(m, PRG_CONTAINER(k, struct mk_run, link));
}

static const char *mock_version(void) {
  return "mock 1";
}

PRG_EXPORT const struct prg_driver perigee_driver = {
    .abi = PRG_DRIVER_ABI,
    .release = PERIGEE_VERSION,
    .name = "mock",
    .dialect = "postgres",
    .features = MK_FEATURES,
    .version = mock_version,
    .check = mock_check,
    .shared_new = mock_shared_new,
    .shared_free = mock_shared_free,
    .conn_new = mock_conn_new,
    .step = mock_step,
    .cancel = mock_cancel,
    .unclean = mock_unclean,
    .fini = mock_fini,
};
