/*
** What is known of a table: names, types, keys. Immutable once made, and
** reference counted: a call in progress keeps the knowledge that it began with
** while the handle already has newer. Who reads the catalogue fills in a
** prg_table_spec; nothing here speaks to a database.
*/
#ifndef PRG_SQL_TABLE_H
#define PRG_SQL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/status.h"
#include "base/value.h"
#include "sql/dialect.h"

struct prg_shapes;

/* What values a column takes, whatever its database calls the type. */
enum prg_class {
  PRG_CLASS_ANY, /* not known: the value decides (SQLite without a type) */
  PRG_CLASS_BOOL,
  PRG_CLASS_INT,
  PRG_CLASS_FLOAT,
  PRG_CLASS_NUMERIC, /* exact decimals */
  PRG_CLASS_TEXT,    /* enums too */
  PRG_CLASS_BYTES,
  PRG_CLASS_DATE,
  PRG_CLASS_TIME,
  PRG_CLASS_TIMESTAMP,
  PRG_CLASS_TIMESTAMPTZ,
  PRG_CLASS_UUID,
  PRG_CLASS_JSON,
  PRG_CLASS_ARRAY,
  PRG_CLASS_OTHER, /* composite, range, inet, …: the driver decides */
  PRG_CLASS_COUNT_
};

struct prg_col {
  struct prg_text name;   /* exact; a zero byte after it */
  struct prg_text quoted; /* as an identifier */
  const char *type;  /* SQL that names the type without its length, for a cast
                       ("pg_catalog"."int4"); "" when there is none */
  const char *title; /* the type as people write it, for messages */
  enum prg_class cls;
  enum prg_class elem; /* ARRAY: of its members */
  int bits; /* INT (ARRAY: of members): 16, 32 or 64; 65: and unsigned
                          ones up to 2^64 - 1, as decimals */
  bool not_null;
  bool has_default; /* or is an identity, a rowid: may be left out */
  bool generated;   /* computed by the database: never written */
  bool orderable;   /* has an order: may stand in order_by and gt, lt */
  bool folded;      /* its collation takes different texts as equal, or is not
                       known to be exact (NOCASE) */
  bool jsonb;       /* JSON with an equality (PostgreSQL: jsonb, not json) */
  bool defined;     /* `title` and `cls` are not the database's but those of a
                       definition, and results are read by `title` */
  int index;        /* in table->cols */
};

/* A primary key or unique constraint over whole columns, checked at once. */
struct prg_key {
  const char *name; /* of the constraint or index; "" when it has none */
  bool primary;
  bool not_null; /* all its columns are */
  int ncols;
  const int *cols; /* indexes, in the key's own order */
};

struct prg_table {
  int refs;
  struct prg_text schema; /* as given; p is NULL when none was */
  struct prg_text name;
  struct prg_text quoted; /* "schema"."name" */
  struct prg_text alone;  /* "name" */
  struct prg_text title;  /* schema.name, for messages */
  bool is_view;
  int ncols, nkeys;
  const struct prg_col *cols;
  const struct prg_key *keys;   /* the primary key first, when there is one */
  const struct prg_key *pk;     /* keys[0], or NULL */
  const struct prg_key *unique; /* what makes an order unique: pk, else the
                                   first not_null key, or NULL */
  const struct prg_dialect *dialect;
  const int *slots; /* columns by the hash of their names, -1 is free; NULL when
                       there are few */
  size_t nslots;    /* a power of two */
  const char
      *types;    /* of `defined` columns: name, title, name, title, …, a zero
                        byte after each; NULL when there are none */
  size_t ntypes; /* bytes of it */
  struct prg_shapes *shapes; /* statements built for it; owned */
  struct prg_arena arena;    /* holds all of the above */
};

struct prg_col_spec {
  const char *name, *type, *title;
  enum prg_class cls, elem;
  int bits;
  bool not_null, has_default, generated, orderable, folded, jsonb, defined;
};

struct prg_key_spec {
  const char *name;
  bool primary;
  int ncols;
  const int *cols; /* indexes of columns */
};

struct prg_table_spec {
  const char *schema; /* or NULL */
  const char *name;
  bool is_view;
  int ncols, nkeys;
  const struct prg_col_spec *cols;
  const struct prg_key_spec *keys;
};

/* Copies everything. NULL and *err (usage for a name that cannot be quoted,
** resource). One reference. */
struct prg_table *prg_table_new(const struct prg_dialect *d,
                                const struct prg_table_spec *spec,
                                struct prg_error **err);
struct prg_table *prg_table_ref(struct prg_table *t);
/* NULL is fine. */
void prg_table_unref(struct prg_table *t);

/* The column of exactly this name, or NULL. */
const struct prg_col *prg_table_col(const struct prg_table *t, const char *name,
                                    size_t len);
/* The key over exactly these columns (indexes, any order), or NULL. */
const struct prg_key *prg_table_key(const struct prg_table *t, const int *cols,
                                    int ncols);
/* "id, name, age": the columns, for messages, in the arena; NULL without
** memory. */
const char *prg_table_columns(const struct prg_table *t, struct prg_arena *a);
/* "(id), (shop, sku)": the keys; "none" when there are none. */
const char *prg_table_keys(const struct prg_table *t, struct prg_arena *a);

/* "text", "timestamptz", …: the name by which Lua gives a class. */
const char *prg_class_name(enum prg_class c);
/* PRG_CLASS_COUNT_ when there is none of this name. */
enum prg_class prg_class_find(const char *name);

#endif
