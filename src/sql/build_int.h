/* What the files of the builder share. Private to this folder. */
#ifndef PRG_SQL_BUILD_INT_H
#define PRG_SQL_BUILD_INT_H

#include "sql/build.h"

/* The emitter takes over `error`; only the first counts. (emit.c) */
void prg__emit_fail(struct prg_emit *e, struct prg_error *error);

/* A column, behind the emitter's qualifier. (build_cond.c) */
void prg__emit_col(struct prg_emit *e, const struct prg_col *col);
void prg__emit_operand(struct prg_emit *e, const struct prg_operand *o);
/* " WHERE …", or nothing when all rows match. */
void prg__emit_where(struct prg_emit *e, const struct prg_cond *where);
/* A comparison of a column, behind which `cast` stands ("": none), as the dialect
** writes it. */
void prg__emit_infix(struct prg_emit *e, const struct prg_infix *how,
                     const struct prg_col *col, const char *cast,
                     const struct prg_operand *to);

/* PRG_BUILD_JSON_TABLE: " IN (…)" with the list as one document. false, and nothing
** is written: it cannot be one. (build_list.c) */
bool prg__emit_document(struct prg_emit *e, const struct prg_cond *c);

/* LIKE and its kin. (build_match.c) */
void prg__emit_match(struct prg_emit *e, const struct prg_cond *c);

/* `columns` separated by commas, without a qualifier. (build_write.c) */
void prg__emit_names(struct prg_emit *e, const struct prg_col *const *cols,
                     size_t n);
/* " RETURNING …", or nothing. Columns of the table `t` are written behind the
** emitter's qualifier. */
void prg__emit_returning(struct prg_emit *e, const struct prg_returning *r);
/* What an insert writes into a column; the `first` of a row puts the mark back. */
void prg__emit_cell(struct prg_emit *e, const struct prg_insert *s,
                    const struct prg_operand *to, bool first);
/* What follows VALUES when a row with the same key is there. */
void prg__emit_conflict(struct prg_emit *e, const struct prg_insert *s);

#endif
