/* COPY to the database: lcopy.c sends, lcopy_row.c reads the rows. */
#ifndef PRG_BIND_COPY_INT_H
#define PRG_BIND_COPY_INT_H

#include "bind/bulk_int.h"
#include "bind/lasting_int.h"

/* So much is sent at once, or a little more. The first time less: the server can
** begin. */
enum { PRG_COPY_FRAME = 60 * 1024, PRG_COPY_FIRST = 12 * 1024 };

/* Where a column is that a certain Lua string names. */
struct prg_copy_name {
  const void *p; /* what lua_topointer says of it; NULL: free */
  size_t col;
};

/* Userdata "perigee.copy". [4] of its uservalue holds the strings that `names` and
** `order` point to. */
struct prg_copier {
  const void *magic;
  struct prg_lasting is;
  int64_t turned;
  int64_t bytes; /* sent so far */
  size_t nrows;  /* given so far */
  bool go;
  bool reading;       /* a row is being read; after an error: that one */
  bool by_place;      /* rows may be lists */
  bool explicit_cols; /* the caller has named the columns */
  /* rows */
  const struct prg_table *table; /* a reference, or NULL: bytes */
  size_t ncols;
  const struct prg_col *const *cols;
  struct prg_value *cells;
  struct prg_copy_name *names; /* by address; names_mask + 1 of them */
  size_t names_mask;
  struct prg_copy_name *order; /* in which a record of these columns was last
                                  walked: ncols of them */
  struct prg_arena arena;      /* of the copier */
  struct prg_arena row;        /* of the row being read */
};

/* The copier at `i`. Raises usage. [-0, +0, e] */
struct prg_copier *prg_copier_check(lua_State *L, int i);
/* Reads the columns at `i`, and makes "COPY t (…) FROM STDIN" and "SELECT … FROM t"
** of them, which are pushed. [-0, +2, e] */
void prg_copy_columns(lua_State *L, struct prg_copier *s, int i);
/* Does the driver want more, and is there room in the frame? */
static inline bool prg_copy_is_full(const struct prg_copier *s) {
  return s->is.req == NULL || s->is.req->state != PRG_REQ_PAUSED ||
         s->is.req->copy->out.len >=
             (size_t)(s->bytes == 0 ? PRG_COPY_FIRST : PRG_COPY_FRAME);
}

/* core.copy_select(x, h, columns | nil) -> "SELECT … FROM t" */
int prg_copy_select(lua_State *L);
extern const luaL_Reg prg_copy_rows[]; /* methods that read rows */
int prg_copy_open(lua_State *L);       /* adds to the table on top */

#endif
