/* Private to the files of the PostgreSQL types: pg_catalog.c, pg_decode.c,
** pg_decode_text.c, pg_time.c, pg_numeric.c and pg_encode.c. */
#ifndef PRG_DRIVER_POSTGRES_PG_TYPES_INT_H
#define PRG_DRIVER_POSTGRES_PG_TYPES_INT_H

#include "driver/postgres/pg_types.h"

/* How the values of a type are written and read. */
enum pg_codec {
  PG_C_OTHER, /* text format only, a string */
  PG_C_TEXT,  /* a string in both formats */
  PG_C_CHAR,  /* "char": one byte, none for zero */
  PG_C_VTEXT, /* binary: version byte 1, then the text */
  PG_C_BYTEA,
  PG_C_JSON,
  PG_C_JSONB,
  PG_C_BOOL,
  PG_C_INT2,
  PG_C_INT4,
  PG_C_INT8,
  PG_C_OID,  /* unsigned 32 bit: oid, xid, cid */
  PG_C_XID8, /* unsigned 64 bit */
  PG_C_FLOAT4,
  PG_C_FLOAT8,
  PG_C_NUMERIC,
  PG_C_DATE,
  PG_C_TIME,
  PG_C_TIMETZ,
  PG_C_TIMESTAMP,
  PG_C_TIMESTAMPTZ,
  PG_C_INTERVAL,
  PG_C_UUID,
  PG_C_INET,
  PG_C_MACADDR, /* 6 or 8 bytes */
  PG_C_BIT,
  PG_C_TID,
  PG_C_LSN,
  PG_C_VOID,
  PG_C_ARRAY,  /* elem: the element */
  PG_C_VECTOR, /* int2vector, oidvector; elem: the element */
  PG_C_RECORD, /* record: tells its attributes' types in binary only */
  PG_C_COMPOSITE,
  PG_C_RANGE,      /* elem: the subtype */
  PG_C_MULTIRANGE, /* elem: the range */
  PG_C_HSTORE,
  PG_C_DOMAIN, /* elem: the base type */
  PG_C_COUNT_
};

struct pg_attr {
  struct prg_text name;
  uint32_t oid;
};

struct pg_type {
  uint32_t oid;
  const char *name;
  enum pg_codec codec;
  uint32_t elem; /* see enum pg_codec; else 0 */
  char delim;    /* between the elements of an array of this type */
  size_t natts;  /* COMPOSITE */
  const struct pg_attr *atts;
};

enum {
  PG_MAX_DEPTH = 64, /* of values within values */
  PG_MAX_DIMS = 6    /* of an array: PostgreSQL's MAXDIM */
};

/* The type itself or, for a domain, what it is in the end. */
const struct pg_type *pg_type_base(const struct pg_catalog *cat,
                                   const struct pg_type *t);
/* Name for messages: the one of the SQL standard where there is one. */
const char *pg_type_title(const struct pg_type *t);
/* Notes an OID for pg_catalog_wanted(). */
void pg_catalog_want(struct pg_catalog *cat, uint32_t oid);

/* strtod and strtof that know no locale; `s` ends with a zero byte. False when
** it is not a number as a whole. */
bool pg_parse_double(const char *s, bool single, double *out);
/* The shortest text that reads back as `d`; NaN, Infinity, -Infinity. `buf`
** has room for 32 bytes. Returns the length. */
size_t pg_format_double(double d, char *buf);

/* ---- pg_time.c: they write to PG_TIME_ROOM bytes and return the length --- */

enum { PG_TIME_ROOM = 96 };

size_t pg_format_date(int32_t days, char *buf);
size_t pg_format_time(int64_t us, char *buf);
size_t pg_format_timetz(int64_t us, int32_t west, char *buf);
/* With `utc` a Z follows the seconds. */
size_t pg_format_timestamp(int64_t us, bool utc, char *buf);
size_t pg_format_interval(int64_t us, int32_t days, int32_t months, char *buf);
/* Reads a timestamp as the server writes it with DateStyle ISO, with or
** without a zone. False when it is not one. */
bool pg_parse_timestamp(const char *s, size_t n, int64_t *us);

/* ---- pg_numeric.c -------------------------------------------------------- */

/* Bytes that pg_numeric_write needs for this binary numeric, 0 when it is
** malformed. */
size_t pg_numeric_room(const char *p, size_t n);
/* Writes the exact text; returns its length. */
size_t pg_numeric_write(const char *p, size_t n, char *buf);

/* ---- decoding ------------------------------------------------------------ */

struct pg_dec {
  struct pg_catalog *cat;
  struct prg_arena *arena;
  struct prg_error **err;
  size_t budget; /* bytes that this value may still take from the arena */
  int depth;
};

/* PRG_ERR: "malformed value of type …: what". */
int pg_dec_bad(struct pg_dec *d, const struct pg_type *t, const char *what);
/* PRG_ERR, retryable: the type changed; it is forgotten. */
int pg_dec_stale(struct pg_dec *d, const struct pg_type *t);
/* NULL and the error set when memory or budget is short. */
void *pg_dec_alloc(struct pg_dec *d, size_t count, size_t size);
/* *out becomes a copy of the text. */
int pg_dec_string(struct pg_dec *d, enum prg_type type, const char *p, size_t n,
                  struct prg_value *out);
/* The empty list, map or range of `n` members, its values set to NULL. */
struct prg_vlist *pg_dec_list(struct pg_dec *d, size_t n);
struct prg_vmap *pg_dec_map(struct pg_dec *d, size_t n, bool keys);
/* A value of any type in binary or text format. */
int pg_dec_binary(struct pg_dec *d, const struct pg_type *t, const char *p,
                  size_t n, struct prg_value *out);
int pg_dec_text(struct pg_dec *d, const struct pg_type *t, const char *p,
                size_t n, struct prg_value *out);
/* Keys of a map become the names of the type's attributes. */
void pg_dec_names(struct prg_vmap *m, const struct pg_type *t);

#endif
