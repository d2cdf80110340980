/* Quoting of names. Values are never quoted: they travel as parameters. */
#ifndef PRG_SQL_QUOTE_H
#define PRG_SQL_QUOTE_H

#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/status.h"
#include "sql/dialect.h"

/* Appends `name` as a quoted identifier: exact, never folded; dots are part of
** the name. PRG_ERR and *err, with nothing appended: kind usage for a name that
** is empty, contains a zero byte, is not UTF-8, or is longer than the database
** keeps; kind resource when the buffer failed. */
int prg_quote_ident(const struct prg_dialect *d, struct prg_buf *out,
                    const char *name, size_t len,
                    struct prg_error **err) PRG_MUSTCHECK;

/* Appends "schema"."name", or "name" when `schema` is NULL. Errors as
** prg_quote_ident, but something may have been appended. */
int prg_quote_name(const struct prg_dialect *d, struct prg_buf *out,
                   const char *schema, const char *name,
                   struct prg_error **err) PRG_MUSTCHECK;

#endif
