/*
** Connection URLs: scheme[+driver]://[user[:password]@][host[:port][,…]]/[database][?k=v&…],
** sqlite:path, sqlite:///relative, sqlite:////absolute, sqlite::memory:.
** Percent-decoded; a decoded zero byte, a bad escape or a malformed port is
** an error that does not contain the password.
*/
#ifndef PRG_BASE_URL_H
#define PRG_BASE_URL_H

#include "base/buf.h"
#include "base/error.h"

struct prg_param {
  char *name, *value;
};

struct prg_url {
  char *
      scheme; /* canonical: "postgres", "sqlite", "mysql", "mock", or as written */
  char *
      given; /* the scheme as written, with its suffix ("postgresql+asyncpg") */
  char *user, *password, *host, *port, *database; /* NULL when absent; host
                      and port may be comma lists of equal length */
  struct prg_param *params; /* in order of the query string */
  size_t nparams;
};

/* 0, or PRG_ERR and *err. On PRG_ERR `u` is empty. */
int prg_url_parse(const char *text, size_t len, struct prg_url *u,
                  struct prg_error **err) PRG_MUSTCHECK;
void prg_url_fini(struct prg_url *u);
/* The URL as text, percent-encoded where needed; with `mask` the password
** (also a `password` or `sslpassword` parameter) is "***". */
void prg_url_format(const struct prg_url *u, bool mask, struct prg_buf *out);
/* Value of the last parameter `name`, or NULL. */
const char *prg_url_param(const struct prg_url *u, const char *name);

#endif
