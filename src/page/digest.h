/* SHA-256 of a text, for checksums that users see. */
#ifndef PRG_PAGE_DIGEST_H
#define PRG_PAGE_DIGEST_H

#include <stddef.h>

#include "base/error.h"

enum { PRG_SHA256_SIZE = 32 };

/* PRG_ERR and *err: OpenSSL failed. */
int prg_sha256(const void *data, size_t len, unsigned char out[PRG_SHA256_SIZE],
               struct prg_error **err) PRG_MUSTCHECK;

#endif
