/*
** The statement builder: statements on one table, as data, to SQL.
**
** A builder writes through an emitter, which works in one of two ways. As KEY it
** only notes which pieces it was given: fixed texts and names by their address,
** a user's SQL by its bytes, parameters by a mark. What was built for a table is
** found by that key (prg_shapes). When nothing is found, the same function runs
** again as TEXT. So the key cannot miss anything that the text has: they are
** made by the same calls. Both ways collect the parameters in the order of the
** text.
*/
#ifndef PRG_SQL_BUILD_H
#define PRG_SQL_BUILD_H

#include "base/buf.h"
#include "sql/cond.h"

/* ---- the emitter -------------------------------------------------------- */

enum prg_emit_mode { PRG_EMIT_KEY, PRG_EMIT_TEXT };

struct prg_emit {
  const struct prg_dialect *d;
  enum prg_emit_mode mode;
  struct prg_buf out;       /* the key, or the SQL */
  struct prg_arena *arena;  /* holds `params`, and values made on the way */
  struct prg_value *params; /* nparams values, borrowed from the conditions */
  size_t nparams, cap;
  struct prg_buf
      typed; /* one byte per parameter: 1, its type is the value's own
                           (it stands in a user's SQL); 0, the database infers it
                           from where it stands */
  const struct prg_text *qualifier; /* columns in conditions are written with
                                       this quoted name before them; or NULL */
  struct prg_error *error;          /* the first; nothing is emitted after it */
};

/* `arena` outlives the parameters. */
void prg_emit_init(struct prg_emit *e, const struct prg_dialect *d,
                   enum prg_emit_mode mode, struct prg_arena *arena);
/* Empty again, in another mode. */
void prg_emit_restart(struct prg_emit *e, enum prg_emit_mode mode);
void prg_emit_fini(struct prg_emit *e);
/* PRG_OK, or PRG_ERR when something failed; *err is taken out of the emitter. */
int prg_emit_check(struct prg_emit *e, struct prg_error **err) PRG_MUSTCHECK;

/* A string literal of the builder's: its address is its key. */
void prg_emit_text(struct prg_emit *e, const char *text);
/* A quoted name of a table or column, which lives as long as the table. */
void prg_emit_name(struct prg_emit *e, const struct prg_text *quoted);
/* A number of the builder's (lists of placeholders, aliases). */
void prg_emit_number(struct prg_emit *e, size_t n);
/* Quotes a name of the user's (an alias). */
void prg_emit_ident(struct prg_emit *e, const char *name, size_t len);
/* A parameter whose type the database infers. */
void prg_emit_param(struct prg_emit *e, const struct prg_value *v);
/* The user's SQL in parentheses, its parameters with the types of their
** values. */
void prg_emit_raw(struct prg_emit *e, const struct prg_raw *raw);
/* A condition; `c` NULL writes the database's true. */
void prg_emit_cond(struct prg_emit *e, const struct prg_cond *c);

/* ---- statements --------------------------------------------------------- */

/* NULL is larger than every value unless said. */
enum prg_nulls { PRG_NULLS_LARGE, PRG_NULLS_FIRST, PRG_NULLS_LAST };

struct prg_order {
  const struct prg_col *col;    /* or NULL: */
  const struct prg_raw *raw;    /* an expression of the user's */
  const struct prg_text *alias; /* GROUP: the name of an aggregate */
  bool desc;
  enum prg_nulls nulls;
};

enum prg_lock {
  PRG_LOCK_NONE,
  PRG_LOCK_UPDATE,
  PRG_LOCK_UPDATE_NOWAIT,
  PRG_LOCK_UPDATE_SKIP,
  PRG_LOCK_SHARE,
  PRG_LOCK_SHARE_NOWAIT,
  PRG_LOCK_SHARE_SKIP
};

enum prg_aggregate { PRG_COUNT, PRG_SUM, PRG_MIN, PRG_MAX, PRG_AVG };

/* A column of a SELECT: a column of the table, an expression, or an aggregate. */
struct prg_item {
  const struct prg_col *col; /* NULL with COUNT: count(*) */
  const struct prg_raw *raw; /* instead of col */
  bool aggregated;
  enum prg_aggregate fn;
  struct prg_text alias; /* p NULL: none */
};

struct prg_select {
  const struct prg_table *table;
  size_t nitems; /* 0: all columns */
  const struct prg_item *items;
  const struct prg_cond *where; /* NULL: all rows */
  size_t ngroup;
  const struct prg_col *const *group;
  size_t norder;
  const struct prg_order *order;
  const struct prg_value *limit, *offset; /* PRG_INT, or NULL */
  enum prg_lock lock; /* unsupported (kind) where the database has none, or not
                         this one */
};
void prg_emit_select(struct prg_emit *e, const struct prg_select *s);
/* SELECT count(*) of what matches. */
void prg_emit_count(struct prg_emit *e, const struct prg_table *t,
                    const struct prg_cond *where);
/* SELECT EXISTS (…): one boolean (SQLite: 0 or 1). */
void prg_emit_exists(struct prg_emit *e, const struct prg_table *t,
                     const struct prg_cond *where);

struct prg_set {
  const struct prg_col *col;
  bool is_default; /* DEFAULT; in an UPDATE, where the database has no such
                      thing (SQLite), kind unsupported */
  struct prg_operand to;
};

/* What a statement that writes gives back. */
struct prg_returning {
  bool any;     /* else nothing: the count */
  size_t ncols; /* 0: all columns */
  const struct prg_col *const *cols;
  bool created; /* and a last column "perigee:created": whether the row was
                   inserted. Only with PRG_BUILD_XMAX, else unsupported */
  bool mark; /* PRG_BUILD_STEPS, of an insert with a conflict: and a last column
                "perigee:mark", 0 when the row was inserted. Else it is the row
                that was there, also with PRG_CONFLICT_NOTHING: 1 when it has the
                key, 2 when it has another one, 3 when it has the key and is none
                that `only` allows. With 2 and 3 it was left as it is. Where
                there is no RETURNING the statement's last id is PRG_MARK_… */
};

/* No id is so large: as signed numbers they are 1, 2 and 3 above -2^62. */
#define PRG_MARK_THERE "13835058055282163713"
#define PRG_MARK_OTHER "13835058055282163714"
#define PRG_MARK_BARRED "13835058055282163715"

/* What happens when a row with the same key is there. */
enum prg_conflict {
  PRG_CONFLICT_ERROR,
  PRG_CONFLICT_NOTHING, /* no row then, also none returned */
  PRG_CONFLICT_UPDATE
};

struct prg_insert {
  const struct prg_table *table;
  size_t nsets; /* 0: a row of defaults. A default is left out, or written where
                   all would be left out */
  const struct prg_set *sets;
  enum prg_conflict conflict;
  const struct prg_key *key; /* of the conflict */
  size_t nupdates; /* UPDATE; none, and no from_row: the row stays as it is, but
                      is returned (a column of the key is set to itself) */
  const struct prg_set *updates;
  const struct prg_col *const *from_row; /* nfrom more columns, set to what the
                                            insert would have written */
  size_t nfrom;
  const struct prg_cond *only; /* UPDATE: only a row that is so (its scope) */
  struct prg_returning returning;
};
void prg_emit_insert(struct prg_emit *e, const struct prg_insert *s);

/* Many rows with the same columns. Where the dialect has UNNEST, the parameters
** are one PRG_LIST per column, and rows come back in the order of the lists.
** Elsewhere the statement is that of one row, for a batch: the emitter's
** parameters are those of the first row (`sets` of a prg_insert). */
struct prg_insert_many {
  const struct prg_table *table;
  size_t ncols;
  const struct prg_col *const *cols;
  const struct prg_vlist *const *lists; /* ncols, equally long */
  enum prg_conflict conflict;
  const struct prg_key *key;
  const struct prg_col *const *from_row; /* as in prg_insert */
  size_t nfrom;
  const struct prg_cond *only;
  struct prg_returning returning;
};
void prg_emit_insert_unnest(struct prg_emit *e,
                            const struct prg_insert_many *s);
/* INSERT … VALUES (…), (…): rows * ncols values, row by row. For columns that
** unnest cannot carry (arrays). */
void prg_emit_insert_values(struct prg_emit *e, const struct prg_insert_many *s,
                            const struct prg_value *values, size_t rows);

struct prg_update {
  const struct prg_table *table;
  size_t nsets; /* at least 1 */
  const struct prg_set *sets;
  const struct prg_cond *where;
  struct prg_returning returning;
};
void prg_emit_update(struct prg_emit *e, const struct prg_update *s);

/* UPDATE … FROM unnest(…): row i of the lists sets `cols` where the `nkey` first
** of them are the key (not set). Only where the dialect has UNNEST. */
struct prg_update_many {
  const struct prg_table *table;
  size_t nkey, ncols;
  const struct prg_col *const *cols; /* ncols, the key first */
  const struct prg_vlist *const *lists;
  const struct prg_cond *where; /* and this is so: the scope */
  struct prg_returning returning;
};
void prg_emit_update_unnest(struct prg_emit *e,
                            const struct prg_update_many *s);

struct prg_delete {
  const struct prg_table *table;
  const struct prg_cond *where;
  struct prg_returning returning;
};
void prg_emit_delete(struct prg_emit *e, const struct prg_delete *s);

/* ---- what was built ----------------------------------------------------- */

/* At most `max` shapes; then it begins anew. `drop` frees what data is. NULL
** without memory. */
struct prg_shapes *prg_shapes_new(size_t max);
void prg_shapes_free(struct prg_shapes *s);
/* The data under a key, or NULL. */
void *prg_shapes_get(const struct prg_shapes *s, const char *key, size_t len);
/* Takes over `data` (freed by `drop`), also when it fails: PRG_ERR, no memory. */
int prg_shapes_put(struct prg_shapes *s, const char *key, size_t len,
                   void *data, void (*drop)(void *)) PRG_MUSTCHECK;

#endif
