#include "sql/quote.h"

#include <string.h>

#include "sql/lex_int.h"

/* NULL, or what is wrong with the name. */
static struct prg_error *check(const struct prg_dialect *d, const char *name,
                               size_t len) {
  const char *bad;
  if (len == 0) return prg_error_new(PRG_K_USAGE, "a name is empty");
  bad = prg__text_check(name, len);
  if (bad != NULL)
    return prg_error_new(PRG_K_USAGE,
                         *bad == '\0' ? "the name \"%.*s...\" contains a zero "
                                        "byte"
                                      : "the name \"%.*s...\" is not UTF-8",
                         (int)prg__text_cut(name, (size_t)(bad - name), 64),
                         name);
  if (d->max_ident != 0 && len > d->max_ident)
    return prg_error_new(
        PRG_K_USAGE, "the name \"%.*s...\" has %zu bytes: %s keeps %zu",
        (int)prg__text_cut(name, len, 32), name, len, d->name, d->max_ident);
  return NULL;
}

static size_t count(const char *name, size_t len, char c) {
  size_t n = 0;
  for (size_t i = 0; i < len; i++)
    if (name[i] == c) n++;
  return n;
}

int prg_quote_ident(const struct prg_dialect *d, struct prg_buf *out,
                    const char *name, size_t len, struct prg_error **err) {
  struct prg_error *e = check(d, name, len);
  char *p;
  if (e != NULL) {
    *err = e;
    return PRG_ERR;
  }
  p = prg_buf_space(out, len + count(name, len, d->ident_quote) + 2);
  if (p == NULL) {
    *err = prg_error_oom();
    return PRG_ERR;
  }
  *p++ = d->ident_quote;
  for (size_t i = 0; i < len; i++) {
    if (name[i] == d->ident_quote) *p++ = name[i];
    *p++ = name[i];
  }
  *p = d->ident_quote;
  return PRG_OK;
}

int prg_quote_name(const struct prg_dialect *d, struct prg_buf *out,
                   const char *schema, const char *name,
                   struct prg_error **err) {
  if (schema != NULL) {
    if (prg_quote_ident(d, out, schema, strlen(schema), err) != PRG_OK)
      return PRG_ERR;
    prg_buf_addc(out, '.');
  }
  return prg_quote_ident(d, out, name, strlen(name), err);
}
