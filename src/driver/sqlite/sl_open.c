#include "driver/sqlite/sl_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* While opening, a lock is waited for by the worker itself. */
#define NAP_MS 5
/* Pages in the log that are worth a checkpoint when nothing else is to do, when
** the queue never empties, and when the file is to be cut short as well. */
#define CHECKPOINT_IDLE 1000
#define CHECKPOINT_BUSY 4000
#define CHECKPOINT_CUT 6000
/* Readers that overlap keep the log from being begun anew for ever. So when it has
** become long, the writer's worker waits for those that read now; who comes later
** reads the database file, where everything is by then. */
#define CHECKPOINT_PATIENCE (200 * PRG_MS)
/* After so long without a write any log is worth one: what is left for the moment
** of closing is done on the hub's thread. */
#define CHECKPOINT_REST (1 * PRG_SECOND)

/* ---- parameters ---------------------------------------------------------- */

static const char *const modes[] = {"ro", "rw", "rwc", "memory", NULL};
static const char *const syncs[] = {"off", "normal", "full", "extra", NULL};
static const char *const journals[] = {
    "wal", "delete", "truncate", "persist", "memory", "off", NULL};
static const char *const switches[] = {"on", "off", "true", "false", "yes",
                                       "no", "1",   "0",    NULL};

static const struct {
  const char *name;
  const char *const *values; /* NULL: checked elsewhere */
} params[] = {
    {"mode", modes},
    {"synchronous", syncs},
    {"journal_mode", journals},
    {"foreign_keys", switches},
    {"immutable", switches},
    {"cache_size", NULL},
    {"vfs", NULL},
};
#define NPARAMS (sizeof(params) / sizeof(params[0]))

static const char allowed_params[] =
    "allowed are mode, cache_size, synchronous, journal_mode, foreign_keys, "
    "immutable and vfs";

static bool is_one_of(const char *v, const char *const *list) {
  for (; *list != NULL; list++) {
    if (strcasecmp(v, *list) == 0) return true;
  }
  return false;
}

static bool is_integer(const char *v) {
  if (*v == '-') v++;
  return *v != '\0' && strlen(v) <= 9 && v[strspn(v, "0123456789")] == '\0';
}

static struct prg_error *bad_value(const struct prg_param *p,
                                   const char *const *list) {
  struct prg_error *e = prg_error_new(
      PRG_K_USAGE, "sqlite: \"%s\" is no value of the URL parameter %s",
      p->value, p->name);
  struct prg_buf b;

  prg_buf_init(&b, 0);
  prg_buf_adds(&b, "allowed are");
  for (; *list != NULL; list++) prg_buf_addf(&b, " %s", *list);
  if (!b.failed) (void)prg_error_set(e, PRG_EF_HINT, b.data);
  prg_buf_fini(&b);
  return e;
}

static struct prg_error *check_param(const struct prg_param *p) {
  static const char *const integer[] = {
      "an integer: pages, or KiB when negative", NULL};

  for (size_t i = 0; i < NPARAMS; i++) {
    if (strcmp(p->name, params[i].name) != 0) continue;
    if (params[i].values != NULL && !is_one_of(p->value, params[i].values))
      return bad_value(p, params[i].values);
    if (strcmp(p->name, "cache_size") == 0 && !is_integer(p->value))
      return bad_value(p, integer);
    return NULL;
  }
  return prg_error_set(
      prg_error_new(PRG_K_USAGE, "sqlite: unknown URL parameter %s", p->name),
      PRG_EF_HINT, allowed_params);
}

static bool param_is(const struct prg_config *cfg, const char *name,
                     const char *value) {
  const char *v = prg_url_param(&cfg->url, name);

  return v != NULL && strcasecmp(v, value) == 0;
}

static bool param_on(const struct prg_config *cfg, const char *name, bool def) {
  const char *v = prg_url_param(&cfg->url, name);

  if (v == NULL) return def;
  return strcasecmp(v, "on") == 0 || strcasecmp(v, "true") == 0 ||
         strcasecmp(v, "yes") == 0 || strcmp(v, "1") == 0;
}

static bool is_memory(const struct prg_config *cfg) {
  return strcmp(cfg->url.database, ":memory:") == 0 ||
         param_is(cfg, "mode", "memory");
}

static bool is_read_only(const struct prg_config *cfg) {
  return param_is(cfg, "mode", "ro") || param_on(cfg, "immutable", false);
}

struct prg_error *sl_check(struct prg_config *cfg) {
  const char *journal = prg_url_param(&cfg->url, "journal_mode");

  for (size_t i = 0; i < cfg->url.nparams; i++) {
    struct prg_error *e = check_param(&cfg->url.params[i]);
    if (e != NULL) return e;
  }
  if (cfg->url.database == NULL || cfg->url.database[0] == '\0')
    return prg_error_new(PRG_K_USAGE,
                         "sqlite: the URL names no file (sqlite:app.db, "
                         "sqlite:////var/lib/app.db, sqlite::memory:)");
  if (is_memory(cfg)) {
    cfg->lanes = 1;
    cfg->max_conns = 1;
  } else if (is_read_only(cfg)) {
    /* Nobody writes: readers only. */
    cfg->lanes = 1;
    cfg->max_conns = 0;
  } else if (journal != NULL && strcasecmp(journal, "wal") != 0) {
    cfg->lanes = 1;
    cfg->max_conns = 1;
  } else {
    cfg->lanes = 2;
    cfg->max_conns = 0;
  }
  return NULL;
}

/* ---- callbacks ----------------------------------------------------------- */

/* Ends what runs when it was cancelled, or when an inline read takes too
** long. It ends one step only; sqlite3_interrupt() would end paused streams
** of this connection too. */
static int on_progress(void *arg) {
  struct sl_conn *c = arg;

  if (atomic_load_explicit(&c->stop, memory_order_relaxed)) return 1;
  if (c->guard_due == PRG_NEVER || prg_now() < c->guard_due) return 0;
  c->guard_hit = true;
  return 1;
}

/* On the worker. False: somebody wants it to stop. */
static bool nap(struct sl_conn *c) {
  struct timespec t = {0, NAP_MS * 1000000L};

  (void)nanosleep(&t, NULL);
  return !atomic_load(&c->stop);
}

/* Never waits but for a checkpoint. That it was not asked tells that waiting would
** be in vain. */
static int on_busy(void *arg, int count) {
  struct sl_conn *c = arg;

  (void)count;
  c->busy_asked = true;
  return c->patient_until != 0 && prg_now() < c->patient_until && nap(c);
}

static void on_update(void *arg, int op, const char *db, const char *table,
                      sqlite3_int64 rowid) {
  struct sl_conn *c = arg;

  (void)db;
  (void)rowid;
  if (op != SQLITE_INSERT || c->into == NULL || c->into_hit) return;
  if (c->into->n == 0 || (strncasecmp(c->into->p, table, c->into->n) == 0 &&
                          table[c->into->n] == '\0'))
    c->into_hit = true;
}

static int on_wal(void *arg, sqlite3 *db, const char *name, int pages) {
  struct sl_conn *c = arg;

  (void)db;
  if (strcmp(name, "main") != 0) return SQLITE_OK;
  c->wal_pages = pages;
  c->wrote_at = prg_now();
  c->new_log = false;
  return SQLITE_OK;
}

/* ---- opening ------------------------------------------------------------- */

static int read_int(void *arg, int n, char **values, char **names) {
  int64_t *out = arg;

  (void)names;
  if (n > 0 && values[0] != NULL) *out = strtoll(values[0], NULL, 10);
  return 0;
}

/* Runs a setting; waits for locks. `out` takes an integer answer, or is NULL. */
static int set(struct sl_conn *c, const char *sql, int64_t *out) {
  int rc;

  do {
    rc = sqlite3_exec(c->db, sql, out == NULL ? NULL : read_int, out, NULL);
  } while ((rc & 0xff) == SQLITE_BUSY && nap(c));
  return rc;
}

static int setf(struct sl_conn *c, const char *name, const char *value) {
  char sql[96];

  (void)snprintf(sql, sizeof(sql), "PRAGMA %s=%s", name, value);
  return set(c, sql, NULL);
}

static int read_wal(void *arg, int n, char **values, char **names) {
  bool *wal = arg;

  (void)names;
  *wal = n > 0 && values[0] != NULL && strcasecmp(values[0], "wal") == 0;
  return 0;
}

/* Asks for `mode`, or with NULL only how it is. A database that refuses keeps
** its own, which is no error. */
static int set_journal(struct sl_conn *c, const char *mode) {
  char sql[64];
  int rc;

  (void)snprintf(sql, sizeof(sql), "PRAGMA journal_mode%s%s",
                 mode == NULL ? "" : "=", mode == NULL ? "" : mode);
  do {
    rc = sqlite3_exec(c->db, sql, read_wal, &c->wal, NULL);
  } while ((rc & 0xff) == SQLITE_BUSY && nap(c));
  if ((rc & 0xff) == SQLITE_READONLY) return SQLITE_OK;
  return rc;
}

/* "file:" with what SQLite's URI syntax gives a meaning to escaped. */
static void uri_of(const char *path, struct prg_buf *out) {
  prg_buf_adds(out, "file:");
  for (; *path != '\0'; path++) {
    if (strchr("%?#", *path) != NULL)
      prg_buf_addf(out, "%%%02X", (unsigned)(unsigned char)*path);
    else
      prg_buf_addc(out, *path);
  }
  prg_buf_adds(out, "?immutable=1");
}

static int open_file(struct sl_conn *c) {
  const struct prg_config *cfg = c->base.config;
  const char *path = cfg->url.database;
  int flags = SQLITE_OPEN_NOMUTEX, rc = SQLITE_NOMEM;
  struct prg_buf name;

  prg_buf_init(&name, 0);
  if (c->memory) {
    prg_buf_adds(&name, ":memory:");
  } else if (param_on(cfg, "immutable", false)) {
    flags |= SQLITE_OPEN_URI;
    uri_of(path, &name);
  } else {
    /* A library built to see URIs everywhere must not see one here. */
    if (strncmp(path, "file:", 5) == 0 || path[0] == ':')
      prg_buf_adds(&name, "./");
    prg_buf_adds(&name, path);
  }
  if (is_read_only(cfg) && !c->memory)
    flags |= SQLITE_OPEN_READONLY;
  else
    flags |= SQLITE_OPEN_READWRITE;
  if (c->memory || prg_url_param(&cfg->url, "mode") == NULL ||
      param_is(cfg, "mode", "rwc")) {
    if ((flags & SQLITE_OPEN_READONLY) == 0) flags |= SQLITE_OPEN_CREATE;
  }
  if (!name.failed)
    rc = sqlite3_open_v2(name.data, &c->db, flags,
                         prg_url_param(&cfg->url, "vfs"));
  prg_buf_fini(&name);
  return rc;
}

static void set_hooks(struct sl_conn *c) {
  (void)sqlite3_busy_handler(c->db, on_busy, c);
  sqlite3_progress_handler(c->db, 1000, on_progress, c);
  (void)sqlite3_update_hook(c->db, on_update, c);
  /* Takes the place of automatic checkpoints, which would run in a commit. */
  (void)sqlite3_wal_hook(c->db, on_wal, c);
}

static void set_safety(struct sl_conn *c) {
  (void)sqlite3_db_config(c->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
  (void)sqlite3_db_config(c->db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
  (void)sqlite3_db_config(c->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
}

/* What a session may change and sl_restore() sets back. */
static const char *const session[] = {
    "foreign_keys",       "query_only",         "synchronous",
    "cache_size",         "recursive_triggers", "ignore_check_constraints",
    "defer_foreign_keys", "automatic_index",    "reverse_unordered_selects",
    "cell_size_check",    "writable_schema",    "legacy_alter_table",
    "temp_store",         "trusted_schema",     "max_page_count",
};
#define NSESSION (sizeof(session) / sizeof(session[0]))

static int note_session(struct sl_conn *c) {
  int64_t level = 0;
  int rc = SQLITE_OK;

  for (size_t i = 0; i < NSESSION && rc == SQLITE_OK; i++) {
    char sql[64];
    (void)snprintf(sql, sizeof(sql), "PRAGMA %s", session[i]);
    c->restore[i] = 0;
    rc = set(c, sql, &c->restore[i]);
    if (strcmp(session[i], "synchronous") == 0) level = c->restore[i];
  }
  /* The header of a new log is synced even with synchronous=normal. */
  c->new_log = c->wal && level > 0;
  c->syncs = !c->memory && (level >= 2 || (level > 0 && !c->wal));
  return rc;
}

static int make_settings(struct sl_conn *c) {
  const struct prg_config *cfg = c->base.config;
  const char *cache = prg_url_param(&cfg->url, "cache_size");
  const char *sync = prg_url_param(&cfg->url, "synchronous");
  const char *journal = prg_url_param(&cfg->url, "journal_mode");
  int rc = SQLITE_OK;

  if (cache != NULL) rc = setf(c, "cache_size", cache);
  if (rc == SQLITE_OK)
    rc = setf(c, "foreign_keys",
              param_on(cfg, "foreign_keys", true) ? "1" : "0");
  /* Also the first look into the file. */
  if (rc == SQLITE_OK) rc = set(c, "SELECT 1 FROM sqlite_master LIMIT 1", NULL);
  c->read_only = sqlite3_db_readonly(c->db, "main") == 1;
  if (rc == SQLITE_OK)
    rc = set_journal(c, c->memory || c->read_only ? NULL
                        : journal == NULL         ? "wal"
                                                  : journal);
  if (rc == SQLITE_OK)
    rc = setf(c, "synchronous", sync == NULL ? "normal" : sync);
  if (rc == SQLITE_OK && c->base.lane == PRG_LANE_READ)
    rc = setf(c, "query_only", "1");
  return rc == SQLITE_OK ? note_session(c) : rc;
}

/* Is it a file on which SQLite takes locks? */
static bool is_locked(const struct sl_conn *c) {
  return !c->memory && !param_on(c->base.config, "immutable", false);
}

static bool is_inherited(struct sl_conn *c) {
  const char *path = c->base.config->url.database;

  if (!is_locked(c) || !sl_file_is_inherited(path)) return false;
  c->open_error = prg_error_set(
      prg_error_new(PRG_K_USAGE,
                    "%s was open in the process that this one was forked from, "
                    "and SQLite cannot open it in both",
                    path),
      PRG_EF_HINT, "close its handle before the fork");
  return true;
}

static struct prg_error *open_failed(struct sl_conn *c, int rc) {
  struct prg_error *e = sl_error_new(c->db, rc, NULL), *out;

  if (e == prg_error_oom()) return e;
  out = prg_error_new(e->kind == PRG_K_LOCKED ? PRG_K_CONNECT : e->kind,
                      "cannot open %s: %s", c->base.config->url.database,
                      prg_error_message(e));
  if (out != prg_error_oom()) {
    out->code = e->code;
    out->sent = false;
  }
  prg_error_unref(e);
  return out;
}

void sl_open(struct sl_conn *c) {
  int rc;

  c->memory = is_memory(c->base.config);
  if (is_inherited(c)) return;
  rc = open_file(c);
  if (rc == SQLITE_OK && is_locked(c)) {
    c->file = sl_file_note(c->base.config->url.database);
    if (c->file == NULL) rc = SQLITE_NOMEM;
  }
  if (c->db != NULL) (void)sqlite3_extended_result_codes(c->db, 1);
  if (rc == SQLITE_OK) {
    set_hooks(c);
    set_safety(c);
    rc = sl_list_register(c->db);
  }
  if (rc == SQLITE_OK) rc = sl_rows_register(c->db);
  if (rc == SQLITE_OK) rc = sl_json_register(c->db);
  if (rc == SQLITE_OK) rc = make_settings(c);
  if (rc != SQLITE_OK) c->open_error = open_failed(c, rc);
}

/* ---- back to the start --------------------------------------------------- */

static int collect_attached(void *arg, int n, char **values, char **names) {
  struct prg_buf *out = arg;

  (void)names;
  if (n < 2 || values[0] == NULL || values[1] == NULL) return 0;
  if (strtol(values[0], NULL, 10) < 2) return 0; /* main and temp */
  prg_buf_adds(out, "DETACH \"");
  for (const char *p = values[1]; *p != '\0'; p++) {
    if (*p == '"') prg_buf_addc(out, '"');
    prg_buf_addc(out, *p);
  }
  prg_buf_adds(out, "\";");
  return 0;
}

static int detach_all(struct sl_conn *c) {
  struct prg_buf sql;
  int rc;

  prg_buf_init(&sql, 0);
  rc =
      sqlite3_exec(c->db, "PRAGMA database_list", collect_attached, &sql, NULL);
  if (rc == SQLITE_OK && sql.failed) rc = SQLITE_NOMEM;
  if (rc == SQLITE_OK && sql.len > 0) rc = set(c, sql.data, NULL);
  prg_buf_fini(&sql);
  return rc;
}

struct prg_error *sl_restore(struct sl_conn *c) {
  int rc = SQLITE_OK;

  if (!sqlite3_get_autocommit(c->db)) rc = set(c, "ROLLBACK", NULL);
  if (rc == SQLITE_OK) rc = detach_all(c);
  /* A change of the place of temporary tables drops them all. */
  if (rc == SQLITE_OK)
    rc = set(c,
             "PRAGMA temp_store=1; PRAGMA temp_store=2;"
             "PRAGMA locking_mode=normal; PRAGMA case_sensitive_like=0",
             NULL);
  for (size_t i = 0; i < NSESSION && rc == SQLITE_OK; i++) {
    char value[24];
    (void)snprintf(value, sizeof(value), "%lld", (long long)c->restore[i]);
    rc = setf(c, session[i], value);
  }
  if (rc == SQLITE_OK) rc = set_journal(c, NULL);
  set_hooks(c);
  return rc == SQLITE_OK ? NULL : sl_error_new(c->db, rc, NULL);
}

/* ---- checkpoints --------------------------------------------------------- */

int64_t sl_checkpoint_due(const struct sl_conn *c) {
  if (!c->wal || c->wal_pages <= c->checkpoint_at) return PRG_NEVER;
  return c->wrote_at + CHECKPOINT_REST;
}

bool sl_wants_checkpoint(const struct sl_conn *c, bool idle) {
  if (!c->wal || c->wal_pages <= c->checkpoint_at) return false;
  if (idle && prg_now() >= sl_checkpoint_due(c)) return true;
  return c->wal_pages > (idle ? CHECKPOINT_IDLE : CHECKPOINT_BUSY);
}

void sl_checkpoint(struct sl_conn *c) {
  int mode = c->wal_pages > CHECKPOINT_CUT ? SQLITE_CHECKPOINT_TRUNCATE
                                           : SQLITE_CHECKPOINT_PASSIVE;
  int in_log = 0, moved = 0, rc;

  if (mode == SQLITE_CHECKPOINT_TRUNCATE)
    c->patient_until = prg_now() + CHECKPOINT_PATIENCE;
  rc = sqlite3_wal_checkpoint_v2(c->db, "main", mode, &in_log, &moved);
  c->patient_until = 0;
  if (rc == SQLITE_OK && in_log == moved) {
    /* All is in the database: the next write starts the log anew. */
    c->wal_pages = 0;
    c->checkpoint_at = 0;
    c->new_log = true;
  } else {
    /* Readers hold the rest: not again before the log has grown. */
    c->checkpoint_at = c->wal_pages + CHECKPOINT_IDLE;
  }
}
