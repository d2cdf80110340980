#include "page/digest.h"

#include <openssl/err.h>
#include <openssl/evp.h>

int prg_sha256(const void *data, size_t len, unsigned char out[PRG_SHA256_SIZE],
               struct prg_error **err) {
  unsigned n = 0;
  if (EVP_Digest(data, len, out, &n, EVP_sha256(), NULL) > 0 &&
      n == PRG_SHA256_SIZE)
    return PRG_OK;
  ERR_clear_error();
  *err = prg_error_new(PRG_K_DATABASE, "OpenSSL: SHA-256 failed");
  return PRG_ERR;
}
