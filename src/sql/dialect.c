#include "sql/dialect.h"

#include <string.h>

static const struct {
  const char *name;
  unsigned bit;
} levels[] = {{"read_committed", PRG_ISO_READ_COMMITTED},
              {"repeatable_read", PRG_ISO_REPEATABLE_READ},
              {"serializable", PRG_ISO_SERIALIZABLE}};

enum { LEVELS = sizeof levels / sizeof *levels };

const struct prg_dialect *prg_dialect_find(const char *name) {
  static const struct prg_dialect *const all[] = {
      &prg_dialect_postgres, &prg_dialect_sqlite, &prg_dialect_mysql,
      &prg_dialect_mariadb};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (strcmp(all[i]->name, name) == 0) return all[i];
  return NULL;
}

static struct prg_error *bad_level(const struct prg_dialect *d,
                                   const char *level) {
  struct prg_error *e;
  struct prg_buf allowed;
  prg_buf_init(&allowed, 0);
  for (int i = 0; i < LEVELS; i++) {
    if ((d->isolation & levels[i].bit) == 0) continue;
    if (allowed.len > 0) prg_buf_adds(&allowed, ", ");
    prg_buf_adds(&allowed, levels[i].name);
  }
  if (allowed.failed)
    e = prg_error_oom();
  else
    e = prg_error_new(PRG_K_USAGE,
                      "transaction option isolation = \"%s\": %s has %s", level,
                      d->name, allowed.data ? allowed.data : "no levels");
  prg_buf_fini(&allowed);
  return e;
}

static struct prg_error *bad_option(const struct prg_dialect *d,
                                    const char *option) {
  const char *allowed = d->readonly && d->deferrable ? "readonly, deferrable"
                        : d->deferrable              ? "deferrable"
                        : d->readonly                ? "readonly"
                                                     : "none";
  return prg_error_new(
      PRG_K_USAGE,
      "transaction option %s = true: %s has no such option (allowed: "
      "isolation, %s)",
      option, d->name, allowed);
}

/* NULL and the level's bit, or what is wrong with the options. */
static struct prg_error *check(const struct prg_dialect *d,
                               const struct prg_tx_options *o,
                               unsigned *level) {
  *level = 0;
  if (o->isolation != NULL) {
    for (int i = 0; i < LEVELS; i++)
      if (strcmp(levels[i].name, o->isolation) == 0)
        *level = levels[i].bit & d->isolation;
    if (*level == 0) return bad_level(d, o->isolation);
  }
  if (o->readonly && !d->readonly) return bad_option(d, "readonly");
  if (o->deferrable && !d->deferrable) return bad_option(d, "deferrable");
  return NULL;
}

int prg_dialect_begin(const struct prg_dialect *d,
                      const struct prg_tx_options *o, struct prg_buf *out,
                      struct prg_error **err) {
  static const struct prg_tx_options none;
  unsigned level;
  struct prg_error *e;
  if (o == NULL) o = &none;
  e = check(d, o, &level);
  if (e == NULL) {
    d->begin(level, o, out);
    if (!out->failed) return PRG_OK;
    e = prg_error_oom();
  }
  *err = e;
  return PRG_ERR;
}
