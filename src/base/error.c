#include "base/error.h"

#include <stdarg.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/mem.h"

/* In the order of enum prg_kind. */
static const struct {
  const char *name;
  bool retryable;
} kinds[PRG_K_COUNT_] = {
    {"database", false},   {"unique", false},       {"foreign_key", false},
    {"not_null", false},   {"check", false},        {"exclusion", false},
    {"data", false},       {"serialization", true}, {"deadlock", true},
    {"locked", true},      {"timeout", false},      {"cancelled", false},
    {"closed", false},     {"connect", false},      {"auth", false},
    {"syntax", false},     {"undefined", false},    {"duplicate", false},
    {"permission", false}, {"unsupported", false},  {"aborted", false},
    {"resource", false},   {"usage", false},        {"not_found", false},
    {"not_unique", false}, {"cursor", false},       {"migration", false}};

static char oom_message[] = "out of memory";

/* Never counted and never freed, so threads may share it. */
static struct prg_error oom = {.refs = 1,
                               .kind = PRG_K_RESOURCE,
                               .field = {[PRG_EF_MESSAGE] = oom_message}};

static char *format(const char *fmt, va_list ap) {
  struct prg_buf b;
  prg_buf_init(&b, 0);
  prg_buf_vaddf(&b, fmt, ap);
  return prg_buf_take(&b);
}

struct prg_error *prg_error_new(enum prg_kind kind, const char *fmt, ...) {
  struct prg_error *e = prg_calloc(1, sizeof *e);
  va_list ap;
  if (e == NULL) return &oom;
  va_start(ap, fmt);
  e->field[PRG_EF_MESSAGE] = format(fmt, ap);
  va_end(ap);
  if (e->field[PRG_EF_MESSAGE] == NULL) {
    prg_free(e);
    return &oom;
  }
  e->refs = 1;
  e->kind = kind;
  e->retryable = prg_kind_retryable(kind);
  return e;
}

struct prg_error *prg_error_oom(void) {
  return &oom;
}

struct prg_error *prg_error_set(struct prg_error *e, enum prg_error_field f,
                                const char *text) {
  char *copy = prg_strdup(text);
  if (e == &oom || (copy == NULL && text != NULL)) {
    prg_free(copy);
    return e;
  }
  prg_free(e->field[f]);
  e->field[f] = copy;
  return e;
}

struct prg_error *prg_error_ref(struct prg_error *e) {
  if (e != NULL && e != &oom) e->refs++;
  return e;
}

void prg_error_unref(struct prg_error *e) {
  /* A loop, because chains of causes can be long. */
  while (e != NULL && e != &oom && --e->refs == 0) {
    struct prg_error *cause = e->cause;
    for (int i = 0; i < PRG_EF_COUNT_; i++) prg_free(e->field[i]);
    prg_free(e);
    e = cause;
  }
}

const char *prg_error_message(const struct prg_error *e) {
  const char *text = e->field[PRG_EF_MESSAGE];
  return text == NULL ? "" : text;
}

const char *prg_kind_name(enum prg_kind kind) {
  return (unsigned)kind < PRG_K_COUNT_ ? kinds[kind].name : "database";
}

bool prg_kind_retryable(enum prg_kind kind) {
  return (unsigned)kind < PRG_K_COUNT_ && kinds[kind].retryable;
}
