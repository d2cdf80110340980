/*
** Keys, encryption and fingerprints: all that needs OpenSSL.
**
** From each secret come, by HKDF-SHA256 with labels of their own, an AES-256 key
** and the 4 bytes that name it in a cursor. The nonce is random: one key is good
** for 2^32 cursors, after which two with the same nonce are to be expected.
*/
#include "page/page_int.h"

#include <limits.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>

#include "base/mem.h"
#include "base/process.h"

enum { VERSION = 1, KEY_SIZE = 32, SECRET_MIN = 16 };

/* The contexts have the key set, which takes most of the time of a short text. */
struct key {
  unsigned char id[PRG__KEY_ID];
  unsigned char bytes[KEY_SIZE];
  EVP_CIPHER_CTX *seal, *open;
};

/* Nonces are drawn in advance, since a random number costs the same for few bytes
** as for many. Those of a parent process are not used again. */
enum { NONCES = 32 };

struct nonces {
  unsigned char bytes[NONCES][PRG__NONCE];
  int left;
  long pid;
};

struct prg_ring {
  struct nonces *nonces;
  size_t n;
  struct key keys[]; /* the first encrypts */
};

/* OpenSSL's own word on it; its queue is empty afterwards. */
static int refuse(const char *what, struct prg_error **err) {
  char why[160] = "no reason given";
  unsigned long code = ERR_peek_last_error();
  if (code != 0) ERR_error_string_n(code, why, sizeof(why));
  ERR_clear_error();
  *err = prg_error_new(PRG_K_DATABASE, "OpenSSL: %s failed (%s)", what, why);
  return PRG_ERR;
}

/* ---- keys ---------------------------------------------------------------- */

static bool set_derivation(EVP_PKEY_CTX *c, const struct prg_text *secret,
                           const char *label) {
  static const char salt[] = "perigee";
  return EVP_PKEY_derive_init(c) > 0 &&
         EVP_PKEY_CTX_set_hkdf_md(c, EVP_sha256()) > 0 &&
         EVP_PKEY_CTX_set1_hkdf_salt(c, (const unsigned char *)salt,
                                     (int)strlen(salt)) > 0 &&
         EVP_PKEY_CTX_set1_hkdf_key(c, (const unsigned char *)secret->p,
                                    (int)secret->n) > 0 &&
         EVP_PKEY_CTX_add1_hkdf_info(c, (const unsigned char *)label,
                                     (int)strlen(label)) > 0;
}

static bool derive(const struct prg_text *secret, const char *label,
                   unsigned char *out, size_t len) {
  EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
  bool ok = c != NULL && set_derivation(c, secret, label) &&
            EVP_PKEY_derive(c, out, &len) > 0;
  EVP_PKEY_CTX_free(c);
  return ok;
}

static int make_key(struct key *k, const struct prg_text *secret,
                    struct prg_error **err) {
  if (secret->n < SECRET_MIN) {
    *err = prg_error_new(PRG_K_USAGE,
                         "cursor_key: a secret has %zu bytes, but at least %d "
                         "are needed",
                         secret->n, SECRET_MIN);
    return PRG_ERR;
  }
  if (secret->n > 1024) { /* the limit of OpenSSL's derivation */
    *err = prg_error_new(PRG_K_USAGE,
                         "cursor_key: a secret has %zu bytes, but at most 1024 "
                         "can be used",
                         secret->n);
    return PRG_ERR;
  }
  if (!derive(secret, "cursor key", k->bytes, sizeof(k->bytes)) ||
      !derive(secret, "cursor key id", k->id, sizeof(k->id)))
    return refuse("the derivation of a key", err);
  k->seal = EVP_CIPHER_CTX_new();
  k->open = EVP_CIPHER_CTX_new();
  if (k->seal == NULL || k->open == NULL ||
      EVP_EncryptInit_ex(k->seal, EVP_aes_256_gcm(), NULL, k->bytes, NULL) !=
          1 ||
      EVP_DecryptInit_ex(k->open, EVP_aes_256_gcm(), NULL, k->bytes, NULL) != 1)
    return refuse("AES-256-GCM", err);
  return PRG_OK;
}

struct prg_ring *prg_ring_new(const struct prg_text *secrets, size_t n,
                              struct prg_error **err) {
  struct prg_ring *r;
  if (n == 0) {
    *err = prg_error_new(PRG_K_USAGE, "cursor_key: the list has no secrets");
    return NULL;
  }
  r = prg_calloc(1, sizeof(*r) + n * sizeof(r->keys[0]));
  if (r != NULL) r->nonces = prg_calloc(1, sizeof(*r->nonces));
  if (r == NULL || r->nonces == NULL) {
    prg_free(r);
    *err = prg_error_oom();
    return NULL;
  }
  for (r->n = 0; r->n < n; r->n++) {
    if (make_key(&r->keys[r->n], &secrets[r->n], err) != PRG_OK) {
      r->n = n; /* wipe what is half done, too */
      prg_ring_free(r);
      return NULL;
    }
  }
  return r;
}

struct prg_ring *prg_ring_random(struct prg_error **err) {
  unsigned char bytes[KEY_SIZE];
  struct prg_text secret = {(const char *)bytes, sizeof(bytes)};
  struct prg_ring *r;
  if (RAND_bytes(bytes, (int)sizeof(bytes)) != 1) {
    (void)refuse("a random number", err);
    return NULL;
  }
  r = prg_ring_new(&secret, 1, err);
  OPENSSL_cleanse(bytes, sizeof(bytes));
  return r;
}

void prg_ring_free(struct prg_ring *r) {
  if (r == NULL) return;
  for (size_t i = 0; i < r->n; i++) {
    EVP_CIPHER_CTX_free(r->keys[i].seal);
    EVP_CIPHER_CTX_free(r->keys[i].open);
  }
  prg_free(r->nonces);
  OPENSSL_cleanse(r->keys, r->n * sizeof(r->keys[0]));
  prg_free(r);
}

/* ---- encryption ---------------------------------------------------------- */

/* A sealed text: version, key id, nonce, encrypted bytes, tag. */

static bool encrypt(const struct key *k, const char *data, size_t len,
                    unsigned char *out) {
  unsigned char *nonce = out + PRG__HEAD, *body = nonce + PRG__NONCE;
  EVP_CIPHER_CTX *c = k->seal;
  int n = 0;
  return EVP_EncryptInit_ex(c, NULL, NULL, NULL, nonce) == 1 &&
         EVP_EncryptUpdate(c, NULL, &n, out, PRG__HEAD) == 1 &&
         EVP_EncryptUpdate(c, body, &n, (const unsigned char *)data,
                           (int)len) == 1 &&
         EVP_EncryptFinal_ex(c, body + len, &n) == 1 &&
         EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, PRG__TAG, body + len) ==
             1;
}

static bool take_nonce(struct nonces *s, unsigned char *out) {
  if (s->left == 0 || s->pid != prg_pid()) {
    s->left = 0;
    if (RAND_bytes(s->bytes[0], sizeof(s->bytes)) != 1) return false;
    s->left = NONCES;
    s->pid = prg_pid();
  }
  memcpy(out, s->bytes[--s->left], PRG__NONCE);
  return true;
}

int prg__ring_seal(const struct prg_ring *r, const char *data, size_t len,
                   unsigned char *out, struct prg_error **err) {
  out[0] = VERSION;
  memcpy(out + 1, r->keys[0].id, PRG__KEY_ID);
  if (len > INT_MAX || !take_nonce(r->nonces, out + PRG__HEAD))
    return refuse("a random number", err);
  if (encrypt(&r->keys[0], data, len, out)) return PRG_OK;
  return refuse("encryption", err);
}

/* 1: decrypted; 0: not made with this key, or changed; -1: OpenSSL failed. */
static int decrypt(const struct key *k, const unsigned char *data, size_t len,
                   unsigned char *out) {
  const unsigned char *nonce = data + PRG__HEAD, *body = nonce + PRG__NONCE;
  size_t size = len - PRG__SEALED_EXTRA;
  unsigned char tag[PRG__TAG];
  EVP_CIPHER_CTX *c = k->open;
  int n = 0;
  memcpy(tag, body + size, sizeof(tag));
  if (EVP_DecryptInit_ex(c, NULL, NULL, NULL, nonce) != 1 ||
      EVP_DecryptUpdate(c, NULL, &n, data, PRG__HEAD) != 1 ||
      EVP_DecryptUpdate(c, out, &n, body, (int)size) != 1 ||
      EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, PRG__TAG, tag) != 1)
    return -1;
  return EVP_DecryptFinal_ex(c, out + size, &n) == 1;
}

int prg__ring_open(const struct prg_ring *r, const unsigned char *data,
                   size_t len, unsigned char *out, struct prg_error **err) {
  bool known = false;
  if (data[0] != VERSION) {
    *err = prg_error_new(PRG_K_CURSOR,
                         "the cursor is of version %d, which this Perigee does "
                         "not know",
                         data[0]);
    return PRG_ERR;
  }
  for (size_t i = 0; i < r->n; i++) {
    int result;
    if (memcmp(data + 1, r->keys[i].id, PRG__KEY_ID) != 0) continue;
    known = true;
    result = decrypt(&r->keys[i], data, len, out);
    if (result > 0) return PRG_OK;
    if (result < 0) return refuse("decryption", err);
    ERR_clear_error();
  }
  *err = known ? prg_error_new(PRG_K_CURSOR,
                               "the cursor was changed since it was made")
               : prg_error_new(PRG_K_CURSOR,
                               "the cursor was made with a key that is not "
                               "configured here, or not any more");
  return PRG_ERR;
}

/* ---- fingerprints -------------------------------------------------------- */

static bool digest(EVP_MD_CTX *c, const struct prg_text *texts, size_t n,
                   unsigned char *out) {
  if (EVP_DigestInit_ex(c, EVP_sha256(), NULL) != 1) return false;
  for (size_t i = 0; i < n; i++) {
    uint64_t len = texts[i].n;
    unsigned char head[8];
    for (int k = 0; k < 8; k++) head[k] = (unsigned char)(len >> (8 * k));
    if (EVP_DigestUpdate(c, head, sizeof(head)) != 1 ||
        (len > 0 && EVP_DigestUpdate(c, texts[i].p, texts[i].n) != 1))
      return false;
  }
  return EVP_DigestFinal_ex(c, out, NULL) == 1;
}

int prg_print_of(const struct prg_text *texts, size_t n, struct prg_print *out,
                 struct prg_error **err) {
  unsigned char full[EVP_MAX_MD_SIZE];
  EVP_MD_CTX *c = EVP_MD_CTX_new();
  bool ok = c != NULL && digest(c, texts, n, full);
  EVP_MD_CTX_free(c);
  if (!ok) return refuse("SHA-256", err);
  memcpy(out->bytes, full, sizeof(out->bytes));
  return PRG_OK;
}

bool prg_print_same(const struct prg_print *a, const struct prg_print *b) {
  return CRYPTO_memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}
