/*
** PostgreSQL's types: what is known of them (the catalogue, shared by all
** connections of a handle), how a cell becomes a value, and how a value
** becomes a parameter. No network here: the connection runs the query that
** pg_catalog_query() writes and hands its answer to pg_catalog_learn().
** docs/internals/postgres-types.md tells the whole story.
**
** What the connection does, in order:
**   1. Parse with the types that pg_param_oid() gives for the values.
**   2. After Describe, for every column and parameter: pg_catalog_knows()?
**      The OIDs that are not known, and those of pg_catalog_wanted(), go into
**      one pg_catalog_query(); its result goes to pg_catalog_learn().
**   3. Results are asked for in binary when pg_type_binary() is true of every
**      column, else in text. Per column it keeps the type and
**      pg_type_fast(type, format).
**   4. Per cell: pg_decode_fast(); when that says false: pg_decode().
**   5. After a statement that may have changed types (ALTER, DROP, CREATE
**      TYPE, …): pg_catalog_expire(), and descriptions made earlier are asked
**      for their types again (pg_catalog_generation() has changed).
*/
#ifndef PRG_DRIVER_POSTGRES_PG_TYPES_H
#define PRG_DRIVER_POSTGRES_PG_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/status.h"
#include "base/value.h"

enum { PG_TEXT_FORMAT = 0, PG_BINARY_FORMAT = 1 };

struct pg_catalog;
struct pg_type;

/* ---- catalogue ---------------------------------------------------------- */

/* A catalogue that knows the built-in types. NULL without memory. */
struct pg_catalog *pg_catalog_new(void);
/* Every pg_type pointer it gave is dead afterwards. NULL is fine. */
void pg_catalog_free(struct pg_catalog *cat);

/* Is everything known that values of this type need (elements, attributes and
** so on included)? True for 0 and for all built-in types. */
bool pg_catalog_knows(const struct pg_catalog *cat, uint32_t oid);
/* Appends the one query that tells all about `oids` and what they are made of.
** `server_version` as PQserverVersion(). It takes no parameters; run it by the
** simple or the extended protocol (either replaces the unnamed prepared
** statement), results in text format. It does not depend on the search_path.
** Inside a failed transaction it cannot be run: then go on with text results,
** an unknown type is decoded as text. */
void pg_catalog_query(int server_version, const uint32_t *oids, size_t n,
                      struct prg_buf *out);
/* The cells of an answer, row by row, with a zero byte each; NULL: a NULL. */
struct pg_texts {
  const char *const *cells;
  size_t nrows, ncols;
};

/* Takes in the answer of that query. OIDs that the
** server does not know any more become types that are plain text, so that
** asking again and again is not needed. PRG_ERR: no memory, or the answer is
** not of that query; *err is set and nothing or only a part was learnt. */
int pg_catalog_learn(struct pg_catalog *cat, struct pg_texts answer,
                     struct prg_error **err) PRG_MUSTCHECK;
/* OIDs that were met inside values but are not known, at most a few; learn them
** at the next occasion. Learning takes them off. */
size_t pg_catalog_wanted(const struct pg_catalog *cat, const uint32_t **oids);

/* Forgets one type, or all that were learnt: they will be asked for anew.
** Pointers to them stay valid (and describe the old state) until the catalogue
** is freed. Both change the generation. */
void pg_catalog_forget(struct pg_catalog *cat, uint32_t oid);
void pg_catalog_expire(struct pg_catalog *cat);
/* Changes whenever a type pointer obtained before may be out of date. */
unsigned pg_catalog_generation(const struct pg_catalog *cat);

/* The type, or the plain text type "" for 0 and what is not known; not NULL. */
const struct pg_type *pg_type_find(const struct pg_catalog *cat, uint32_t oid);
/* pg_type.typname ("int4", "_text"); "" when not known. Lives as long as the
** catalogue. */
const char *pg_type_name(const struct pg_type *t);
uint32_t pg_type_oid(const struct pg_type *t);
/* Can its values, down to the last element, be decoded from binary? */
bool pg_type_binary(const struct pg_catalog *cat, const struct pg_type *t);

/* ---- results ------------------------------------------------------------ */

/* How pg_decode_fast() decodes a column. */
enum pg_fast {
  PG_FAST_NONE, /* not at all: pg_decode() */
  PG_FAST_TEXT, /* the bytes are the text */
  PG_FAST_CHAR, /* one byte, nothing when it is zero */
  PG_FAST_BYTES,
  PG_FAST_JSON,
  PG_FAST_JSONB, /* a version byte before the text */
  PG_FAST_BOOL,
  PG_FAST_INT2,
  PG_FAST_INT4,
  PG_FAST_INT8,
  PG_FAST_OID, /* also xid and cid: unsigned */
  PG_FAST_FLOAT4,
  PG_FAST_FLOAT8
};

enum pg_fast pg_type_fast(const struct pg_type *t, int format);

static inline uint16_t pg_get16(const char *p) {
  const unsigned char *u = (const unsigned char *)p;
  return (uint16_t)(u[0] << 8 | u[1]);
}

static inline uint32_t pg_get32(const char *p) {
  const unsigned char *u = (const unsigned char *)p;
  return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 |
         (uint32_t)u[3];
}

static inline uint64_t pg_get64(const char *p) {
  return (uint64_t)pg_get32(p) << 32 | pg_get32(p + 4);
}

static inline double pg_get_float4(const char *p) {
  uint32_t u = pg_get32(p);
  float f;
  memcpy(&f, &u, sizeof f);
  return (double)f;
}

static inline double pg_get_float8(const char *p) {
  uint64_t u = pg_get64(p);
  double d;
  memcpy(&d, &u, sizeof d);
  return d;
}

static inline bool pg_fast_string(enum prg_type type, const char *data, int len,
                                  struct prg_value *out) {
  out->type = type;
  out->u.s.p = data;
  out->u.s.n = (size_t)len;
  return true;
}

static inline bool pg_fast_int(int64_t i, bool wide, struct prg_value *out) {
  out->type = PRG_INT;
  out->wide = wide;
  out->u.i = i;
  return true;
}

static inline bool pg_fast_double(double d, struct prg_value *out) {
  out->type = PRG_DOUBLE;
  out->u.d = d;
  return true;
}

/* Decodes a cell without memory and without a call; `len` < 0 is NULL. Texts
** point into `data`. False: nothing was done, call pg_decode() (which also
** tells what is wrong with a cell of the wrong length). */
static inline bool pg_decode_fast(enum pg_fast fast, const char *data, int len,
                                  struct prg_value *out) {
  if (len < 0) {
    out->type = PRG_NULL;
    return true;
  }
  switch (fast) {
    case PG_FAST_NONE:
      return false;
    case PG_FAST_TEXT:
      return pg_fast_string(PRG_TEXT, data, len, out);
    case PG_FAST_CHAR:
      return len == 1 && pg_fast_string(PRG_TEXT, data, data[0] != '\0', out);
    case PG_FAST_BYTES:
      return pg_fast_string(PRG_BYTES, data, len, out);
    case PG_FAST_JSON:
      return pg_fast_string(PRG_JSON, data, len, out);
    case PG_FAST_JSONB:
      if (len < 1 || data[0] != 1) return false;
      return pg_fast_string(PRG_JSON, data + 1, len - 1, out);
    case PG_FAST_BOOL:
      if (len != 1) return false;
      out->type = PRG_BOOL;
      out->u.b = data[0] != 0;
      return true;
    case PG_FAST_INT2:
      return len == 2 && pg_fast_int((int16_t)pg_get16(data), false, out);
    case PG_FAST_INT4:
      return len == 4 && pg_fast_int((int32_t)pg_get32(data), false, out);
    case PG_FAST_INT8:
      return len == 8 && pg_fast_int((int64_t)pg_get64(data), true, out);
    case PG_FAST_OID:
      return len == 4 && pg_fast_int(pg_get32(data), false, out);
    case PG_FAST_FLOAT4:
      return len == 4 && pg_fast_double(pg_get_float4(data), out);
    case PG_FAST_FLOAT8:
      return len == 8 && pg_fast_double(pg_get_float8(data), out);
  }
  return false;
}

/*
** Decodes any cell: `format` as the column was sent, `len` < 0 is NULL. What
** *out refers to is in `arena` or in `data`, which must outlive it. Both
** formats give the same value (but for an anonymous record, whose text does
** not tell types: its values are texts then).
**
** PRG_ERR and *err (kind database) when the bytes are not what the type says.
** When the type turns out to have changed on the server (attributes of a
** composite) or is not known (inside a record) the error is retryable, and the
** catalogue has forgotten the type, so that the next Describe learns it anew.
*/
int pg_decode(struct pg_catalog *cat, const struct pg_type *t, int format,
              const char *data, int len, struct prg_arena *arena,
              struct prg_value *out, struct prg_error **err) PRG_MUSTCHECK;

/* ---- parameters --------------------------------------------------------- */

/* As Bind wants it. Text format ends with a zero byte, which
** `len` does not count. NULL: data is NULL, len 0. */
struct pg_param {
  const char *data;
  int len;
  int format;
};

/* The type to declare for a value in Parse when nothing else tells: int4 if
** it fits, else int8 (a double with an integral value likewise), float8, bool,
** bytea; 0 (let the server decide) for all else. */
uint32_t pg_param_oid(const struct prg_value *v);

/* Where a parameter goes. */
struct pg_target {
  uint32_t oid; /* as Describe told (or as Parse declared); 0: not known */
  int index;    /* 0-based; messages say $index+1 */
};

/*
** Encodes a value for a parameter of type `to.oid`. out->data is in `arena` or
** is the value's own text. PRG_ERR and *err (kind usage, names the parameter)
** when the type does not take the value; see docs/guide/types.md. A key that a
** composite does not have makes the catalogue forget it: it may have changed.
*/
int pg_encode(struct pg_catalog *cat, struct pg_target to,
              const struct prg_value *v, struct prg_arena *arena,
              struct pg_param *out, struct prg_error **err) PRG_MUSTCHECK;

/* ---- COPY --------------------------------------------------------------- */

/* Can all that pg_encode() takes for the type be written in binary? */
bool pg_copies_binary(const struct pg_catalog *cat, uint32_t oid);
/* Appends a value that is not NULL as COPY wants it: length and bytes, or the text
** without COPY's escapes. Errors as of pg_encode(); something may have been
** appended. */
int pg_encode_copy(struct pg_catalog *cat, struct pg_target to,
                   const struct prg_value *v, bool binary, struct prg_buf *b,
                   struct prg_error **err) PRG_MUSTCHECK;

#endif
