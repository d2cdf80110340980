/* Statements that write, on each database; see test_build.c. */
#include "build_bed.h"

/* Lists of sets, columns: as many as are written. */
#define SETS(field, count, ...)                   \
  .field = (const struct prg_set[]){__VA_ARGS__}, \
  .count =                                        \
      sizeof((const struct prg_set[]){__VA_ARGS__}) / sizeof(struct prg_set)
#define COLS(field, count, ...)                                   \
  .field = (const struct prg_col *const[]){__VA_ARGS__},          \
  .count = sizeof((const struct prg_col *const[]){__VA_ARGS__}) / \
           sizeof(struct prg_col *)
#define VALUE(v) .to = {.value = v}
#define ALL .returning = {.any = true}

/* ---- INSERT ------------------------------------------------------------- */

static void do_insert(struct prg_emit *e, const void *what) {
  struct prg_insert s = *(const struct prg_insert *)what;
  s.table = T;
  prg_emit_insert(e, &s);
}

#define INSERT(...) (&(const struct prg_insert){__VA_ARGS__})

static void test_insert(void) {
  EACH(do_insert,
       INSERT(SETS(
           sets, nsets, {col("title"), VALUE(text("a"))},
           {col("n"), .is_default = true},
           {col("uid"), .to = {.raw = raw("1 + ?", integer(2), integer(0))}})),
       "INSERT INTO \"t\" (\"title\", \"uid\") VALUES ($1, (1 + $2)) | 'a', ^2",
       "INSERT INTO \"t\" (\"title\", \"uid\") VALUES (?, (1 + ?)) | 'a', ^2",
       "INSERT INTO `t` (`title`, `uid`) VALUES (?, (1 + ?)) | 'a', ^2");
  EACH(do_insert, INSERT(ALL), "INSERT INTO \"t\" DEFAULT VALUES RETURNING *",
       "INSERT INTO \"t\" DEFAULT VALUES RETURNING *",
       "unsupported: mysql has no RETURNING");
  EACH(do_insert, INSERT(SETS(sets, nsets, {col("n"), .is_default = true})),
       "INSERT INTO \"t\" DEFAULT VALUES", "INSERT INTO \"t\" DEFAULT VALUES",
       "INSERT INTO `t` () VALUES ()");
  EACH(do_insert,
       INSERT(SETS(sets, nsets, {col("n"), VALUE(integer(1))}),
              .returning = {.any = true,
                            COLS(cols, ncols, col("id"), col("we\"ird`col"))}),
       "INSERT INTO \"t\" (\"n\") VALUES ($1) RETURNING \"id\", "
       "\"we\"\"ird`col\" | 1",
       "INSERT INTO \"t\" (\"n\") VALUES (?) RETURNING \"id\", "
       "\"we\"\"ird`col\" | 1",
       "unsupported: mysql has no RETURNING");
}

static void test_nothing(void) {
  EACH(do_insert,
       INSERT(SETS(sets, nsets, {col("n"), VALUE(integer(1))}),
              .conflict = PRG_CONFLICT_NOTHING),
       "INSERT INTO \"t\" (\"n\") VALUES ($1) ON CONFLICT DO NOTHING | 1",
       "INSERT INTO \"t\" (\"n\") VALUES (?) ON CONFLICT DO NOTHING | 1",
       "unsupported: mysql has no clause for the conflict with one key");
  EACH(do_insert,
       INSERT(SETS(sets, nsets, {col("n"), VALUE(integer(1))}),
              .conflict = PRG_CONFLICT_NOTHING, .key = &T->keys[1]),
       "INSERT INTO \"t\" (\"n\") VALUES ($1) ON CONFLICT (\"uid\", "
       "\"title\") DO NOTHING | 1",
       "INSERT INTO \"t\" (\"n\") VALUES (?) ON CONFLICT (\"uid\", "
       "\"title\") DO NOTHING | 1",
       "unsupported: mysql has no clause for the conflict with one key");
  EACH(do_insert, INSERT(.conflict = PRG_CONFLICT_NOTHING),
       "INSERT INTO \"t\" DEFAULT VALUES ON CONFLICT DO NOTHING",
       "INSERT INTO \"t\" (_rowid_) VALUES (NULL) ON CONFLICT DO NOTHING",
       "unsupported: mysql has no clause for the conflict with one key");
}

static void test_upsert(void) {
  EACH(do_insert,
       INSERT(SETS(sets, nsets, {col("id"), VALUE(integer(1))},
                   {col("n"), VALUE(integer(2))}),
              .conflict = PRG_CONFLICT_UPDATE, .key = T->pk,
              COLS(from_row, nfrom, col("n")),
              SETS(updates, nupdates, {col("body"), VALUE(text("x"))}),
              .only = eq("uid", 9), ALL),
       "INSERT INTO \"t\" (\"id\", \"n\") VALUES ($1, $2) ON CONFLICT "
       "(\"id\") DO UPDATE SET \"body\" = $3, \"n\" = excluded.\"n\" WHERE "
       "\"t\".\"uid\" = $4 RETURNING * | 1, 2, 'x', 9",
       "INSERT INTO \"t\" (\"id\", \"n\") VALUES (?, ?) ON CONFLICT "
       "(\"id\") DO UPDATE SET \"body\" = ?, \"n\" = excluded.\"n\" WHERE "
       "\"t\".\"uid\" = ? RETURNING * | 1, 2, 'x', 9",
       "unsupported: mysql has no clause for the conflict with one key");
  EACH(do_insert,
       INSERT(SETS(sets, nsets, {col("id"), VALUE(integer(1))}),
              .conflict = PRG_CONFLICT_UPDATE, .key = T->pk,
              SETS(updates, nupdates,
                   {col("n"),
                    .to = {.raw = raw("n + ?", integer(5), integer(0))}})),
       "INSERT INTO \"t\" (\"id\") VALUES ($1) ON CONFLICT (\"id\") DO UPDATE "
       "SET \"n\" = (SELECT (n + $2) FROM (SELECT \"t\".*) AS \"t\") | 1, ^5",
       "INSERT INTO \"t\" (\"id\") VALUES (?) ON CONFLICT (\"id\") DO UPDATE "
       "SET \"n\" = (n + ?) | 1, ^5",
       "unsupported: mysql has no clause for the conflict with one key");
  EACH(do_insert,
       INSERT(SETS(sets, nsets, {col("id"), VALUE(integer(1))}),
              .conflict = PRG_CONFLICT_UPDATE, .key = T->pk),
       "INSERT INTO \"t\" (\"id\") VALUES ($1) ON CONFLICT (\"id\") DO UPDATE "
       "SET \"id\" = \"t\".\"id\" | 1",
       "INSERT INTO \"t\" (\"id\") VALUES (?) ON CONFLICT (\"id\") DO UPDATE "
       "SET \"id\" = \"t\".\"id\" | 1",
       "unsupported: mysql has no clause for the conflict with one key");
}

static void test_upsert_more(void) {
  EACH(do_insert,
       INSERT(SETS(sets, nsets, {col("id"), VALUE(integer(1))}),
              .conflict = PRG_CONFLICT_UPDATE, .key = T->pk,
              .only = eq("uid", 9), COLS(from_row, nfrom, col("n")),
              SETS(updates, nupdates, {col("body"), .is_default = true})),
       "INSERT INTO \"t\" (\"id\") VALUES ($1) ON CONFLICT (\"id\") DO UPDATE "
       "SET \"body\" = DEFAULT, \"n\" = excluded.\"n\" WHERE \"t\".\"uid\" = "
       "$2 | 1, 9",
       "unsupported: body: sqlite cannot set a column of a row that is there "
       "to its default",
       "unsupported: mysql has no clause for the conflict with one key");
  EACH(do_insert,
       INSERT(SETS(sets, nsets, {col("id"), VALUE(integer(1))}),
              .conflict = PRG_CONFLICT_UPDATE, .key = T->pk,
              COLS(from_row, nfrom, col("n")),
              SETS(updates, nupdates, {col("body"), .is_default = true}),
              .returning = {.any = true, .created = true}),
       "INSERT INTO \"t\" (\"id\") VALUES ($1) ON CONFLICT (\"id\") DO UPDATE "
       "SET \"body\" = DEFAULT, \"n\" = excluded.\"n\" RETURNING *, (xmax = 0) "
       "AS \"perigee:created\" | 1",
       "unsupported: body: sqlite cannot set a column of a row that is there "
       "to its default",
       "unsupported: mysql has no clause for the conflict with one key");
  T = bed_tables[1];
  check_built(
      built(do_insert, INSERT(.returning = {.any = true, .created = true})),
      "unsupported: sqlite does not tell whether a row was inserted", __LINE__);
}

/* ---- many rows ---------------------------------------------------------- */

static void do_unnest(struct prg_emit *e, const void *what) {
  struct prg_insert_many s = *(const struct prg_insert_many *)what;
  s.table = T;
  prg_emit_insert_unnest(e, &s);
}

static void do_values(struct prg_emit *e, const void *what) {
  struct prg_insert_many s = *(const struct prg_insert_many *)what;
  s.table = T;
  prg_emit_insert_values(e, &s, list_of(4)->items, 2);
}

#define MANY(...) (&(const struct prg_insert_many){__VA_ARGS__})
#define LISTS(n)                               \
  .lists = (const struct prg_vlist *const[]) { \
    list_of(n), list_of(n)                     \
  }

static void test_insert_many(void) {
  EACH(do_unnest, MANY(COLS(cols, ncols, col("uid"), col("n")), LISTS(3), ALL),
       "INSERT INTO \"t\" (\"uid\", \"n\") SELECT \"perigee:row\".c1, "
       "\"perigee:row\".c2 FROM unnest($1::\"pg_catalog\".\"int4\"[], "
       "$2::\"pg_catalog\".\"int8\"[]) WITH ORDINALITY AS \"perigee:row\"(c1, "
       "c2, n) ORDER BY \"perigee:row\".n RETURNING * | [1 2 3], [1 2 3]",
       "INSERT INTO \"t\" (\"uid\", \"n\") VALUES (?, ?) RETURNING * | 1, 1",
       "unsupported: mysql has no RETURNING");
  EACH(do_unnest,
       MANY(COLS(cols, ncols, col("id"), col("n")), LISTS(2),
            .conflict = PRG_CONFLICT_UPDATE, .key = T->pk, .only = eq("uid", 9),
            COLS(from_row, nfrom, col("n")), .returning = {.any = false}),
       "INSERT INTO \"t\" (\"id\", \"n\") SELECT \"perigee:row\".c1, "
       "\"perigee:row\".c2 FROM unnest($1::\"pg_catalog\".\"int4\"[], "
       "$2::\"pg_catalog\".\"int8\"[]) WITH ORDINALITY AS \"perigee:row\"(c1, "
       "c2, n) ORDER BY \"perigee:row\".n ON CONFLICT (\"id\") DO UPDATE SET "
       "\"n\" = excluded.\"n\" WHERE \"t\".\"uid\" = $3 | [1 2], [1 2], 9",
       "INSERT INTO \"t\" (\"id\", \"n\") VALUES (?, ?) ON CONFLICT (\"id\") "
       "DO UPDATE SET \"n\" = excluded.\"n\" WHERE \"t\".\"uid\" = ? | 1, 1, 9",
       "unsupported: mysql has no clause for the conflict with one key");
  EACH(do_values,
       MANY(COLS(cols, ncols, col("uid"), col("tags")),
            .conflict = PRG_CONFLICT_NOTHING),
       "INSERT INTO \"t\" (\"uid\", \"tags\") VALUES ($1, $2), ($3, $4) ON "
       "CONFLICT DO NOTHING | 1, 2, 3, 4",
       "INSERT INTO \"t\" (\"uid\", \"tags\") VALUES (?, ?), (?, ?) ON "
       "CONFLICT DO NOTHING | 1, 2, 3, 4",
       "unsupported: mysql has no clause for the conflict with one key");
}

static void do_update_unnest(struct prg_emit *e, const void *what) {
  struct prg_update_many s = *(const struct prg_update_many *)what;
  s.table = T;
  prg_emit_update_unnest(e, &s);
}

static void test_update_many(void) {
  struct prg_update_many s;
  T = bed_tables[0];
  s = (struct prg_update_many){
      .nkey = 1,
      COLS(cols, ncols, col("id"), col("n")),
      LISTS(2),
      .where = group(PRG_COND_OR, eq("uid", 9), eq("uid", 8), NULL),
      .returning = {.any = true, COLS(cols, ncols, col("id"))}};
  check_built(
      built(do_update_unnest, &s),
      "UPDATE \"t\" SET \"n\" = \"perigee:row\".c2 FROM "
      "unnest($1::\"pg_catalog\".\"int4\"[], $2::\"pg_catalog\".\"int8\"[]) "
      "WITH ORDINALITY AS \"perigee:row\"(c1, c2, n) WHERE \"t\".\"id\" = "
      "\"perigee:row\".c1 AND (\"t\".\"uid\" = $3 OR \"t\".\"uid\" = $4) "
      "RETURNING \"t\".\"id\" | [1 2], [1 2], 9, 8",
      __LINE__);
  s.where = NULL;
  s.returning.ncols = 0;
  check_built(
      built(do_update_unnest, &s),
      "UPDATE \"t\" SET \"n\" = \"perigee:row\".c2 FROM "
      "unnest($1::\"pg_catalog\".\"int4\"[], $2::\"pg_catalog\".\"int8\"[]) "
      "WITH ORDINALITY AS \"perigee:row\"(c1, c2, n) WHERE \"t\".\"id\" = "
      "\"perigee:row\".c1 RETURNING \"t\".* | [1 2], [1 2]",
      __LINE__);
}

/* ---- UPDATE, DELETE ----------------------------------------------------- */

static void do_update(struct prg_emit *e, const void *what) {
  struct prg_update s = *(const struct prg_update *)what;
  s.table = T;
  prg_emit_update(e, &s);
}

static void do_delete(struct prg_emit *e, const void *what) {
  struct prg_delete s = *(const struct prg_delete *)what;
  s.table = T;
  prg_emit_delete(e, &s);
}

#define UPDATE(...) (&(const struct prg_update){__VA_ARGS__})
#define DELETE(...) (&(const struct prg_delete){__VA_ARGS__})

static void test_update(void) {
  /* On MySQL an expression would see what is set before it. */
  EACH(do_update,
       UPDATE(SETS(sets, nsets, {col("n"), VALUE(integer(1))},
                   {col("uid"),
                    .to = {.raw = raw("uid * ?", integer(2), integer(0))}}),
              .where = eq("id", 3)),
       "UPDATE \"t\" SET \"n\" = $1, \"uid\" = (uid * $2) WHERE \"id\" = $3 "
       "| 1, ^2, 3",
       "UPDATE \"t\" SET \"n\" = ?, \"uid\" = (uid * ?) WHERE \"id\" = ? | 1, "
       "^2, 3",
       "UPDATE `t` SET `uid` = (uid * ?), `n` = ? WHERE `id` = ? | ^2, 1, 3");
  EACH(do_update,
       UPDATE(SETS(sets, nsets, {col("n"), .is_default = true}), ALL),
       "UPDATE \"t\" SET \"n\" = DEFAULT RETURNING *",
       "unsupported: n: sqlite cannot set a column of a row that is there to "
       "its default",
       "unsupported: mysql has no RETURNING");
}

static void test_delete(void) {
  SAME(do_delete, DELETE(.where = eq("id", 3)),
       "DELETE FROM \"t\" WHERE \"id\" = ? | 3");
  EACH(do_delete, DELETE(ALL), "DELETE FROM \"t\" RETURNING *",
       "DELETE FROM \"t\" RETURNING *", "unsupported: mysql has no RETURNING");
}

/* ---- a table in a schema ------------------------------------------------ */

static void test_schema(void) {
  const struct prg_table *plain = T;
  struct prg_table_spec spec = bed_spec;
  struct prg_error *err = NULL;
  struct prg_table *t;
  spec.schema = "a.b";
  spec.name = "select";
  t = prg_table_new(&prg_dialect_postgres, &spec, &err);
  REQUIRE(t != NULL);
  T = t;
  check_built(built(do_delete, DELETE(.where = eq("id", 3))),
              "DELETE FROM \"a.b\".\"select\" WHERE \"id\" = $1 | 3", __LINE__);
  check_built(built(do_insert, INSERT(.conflict = PRG_CONFLICT_UPDATE,
                                      .key = T->pk, .only = eq("uid", 1))),
              "INSERT INTO \"a.b\".\"select\" DEFAULT VALUES ON CONFLICT "
              "(\"id\") DO UPDATE SET \"id\" = \"select\".\"id\" WHERE "
              "\"select\".\"uid\" = $1 | 1",
              __LINE__);
  T = plain;
  prg_table_unref(t);
}

#define ON_MARIADB(what, text) \
  check_built(built(do_insert, what), text, __LINE__)

/* Its clause fires on any key; the statement says on which. */
static void test_mark(void) {
  struct prg_error *err = NULL;
  struct prg_table *t = prg_table_new(&prg_dialect_mariadb, &bed_spec, &err);
  if (t == NULL) exit(1);
  T = t;
  ON_MARIADB(
      INSERT(SETS(sets, nsets, {col("id"), VALUE(integer(1))}),
             .conflict = PRG_CONFLICT_UPDATE, .key = T->pk),
      "unsupported: mariadb has no clause for the conflict with one key");
  ON_MARIADB(
      INSERT(
          SETS(sets, nsets, {col("uid"), VALUE(integer(1))},
               {col("title"), VALUE(text("x"))}, {col("n"), VALUE(integer(2))}),
          .conflict = PRG_CONFLICT_UPDATE, .key = &T->keys[1],
          COLS(from_row, nfrom, col("n")),
          .returning = {.any = true, .mark = true}),
      "INSERT INTO `t` (`uid`, `title`, `n`) VALUES (IF((@perigee := 0) = 0, "
      "?, NULL), ?, ?) ON DUPLICATE KEY UPDATE `uid` = IF((@perigee := "
      "IF(`uid` <=> VALUES(`uid`) AND `title` <=> VALUES(`title`), 1, 2)) = 0, "
      "`uid`, `uid`), `n` = IF(@perigee = 1, VALUES(`n`), `n`) RETURNING *, "
      "@perigee AS `perigee:mark` | 1, 'x', 2");
  ON_MARIADB(
      INSERT(SETS(sets, nsets, {col("id"), VALUE(integer(1))}),
             .conflict = PRG_CONFLICT_UPDATE, .key = T->pk,
             .only = eq("uid", 9),
             SETS(updates, nupdates, {col("body"), .is_default = true}),
             .returning = {.any = true, .mark = true}),
      "INSERT INTO `t` (`id`) VALUES (IF((@perigee := 0) = 0, ?, NULL)) ON "
      "DUPLICATE KEY UPDATE `id` = IF((@perigee := IF(`id` <=> VALUES(`id`), "
      "IF(`uid` = ?, 1, 3), 2)) = 0, `id`, `id`), `body` = IF(@perigee = 1, "
      "DEFAULT(`body`), `body`) RETURNING *, @perigee AS `perigee:mark` | "
      "1, 9");
  ON_MARIADB(
      INSERT(SETS(sets, nsets, {col("n"), VALUE(integer(1))}),
             .conflict = PRG_CONFLICT_NOTHING,
             .returning = {.any = true,
                           .mark = true,
                           COLS(cols, ncols, col("id"))}),
      "INSERT INTO `t` (`n`) VALUES (IF((@perigee := 0) = 0, ?, NULL)) ON "
      "DUPLICATE KEY UPDATE `id` = IF((@perigee := 1) = 0, `id`, `id`) "
      "RETURNING `id`, @perigee AS `perigee:mark` | 1");
  check_built(
      built(do_values, MANY(COLS(cols, ncols, col("id"), col("n")),
                            .conflict = PRG_CONFLICT_UPDATE, .key = T->pk,
                            COLS(from_row, nfrom, col("n")),
                            .returning = {.any = true, .mark = true})),
      "INSERT INTO `t` (`id`, `n`) VALUES (IF((@perigee := 0) = 0, ?, NULL), "
      "?), (IF((@perigee := 0) = 0, ?, NULL), ?) ON DUPLICATE KEY UPDATE `id` "
      "= IF((@perigee := IF(`id` <=> VALUES(`id`), 1, 2)) = 0, `id`, `id`), "
      "`n` = IF(@perigee = 1, VALUES(`n`), `n`) RETURNING *, @perigee AS "
      "`perigee:mark` | 1, 2, 3, 4",
      __LINE__);
  T = bed_tables[0];
  prg_table_unref(t);
}

/* MySQL: no RETURNING; the mark is the last id. Not run against a MySQL server; MariaDB
** takes the same statements. */
static void test_mysql(void) {
  T = bed_tables[DIALECTS - 1];
  check_built(
      built(
          do_insert,
          INSERT(SETS(sets, nsets, {col("uid"), VALUE(integer(1))},
                      {col("title"), VALUE(text("x"))},
                      {col("n"), VALUE(integer(2))}),
                 .conflict = PRG_CONFLICT_UPDATE, .key = &T->keys[1],
                 COLS(from_row, nfrom, col("n")), .returning = {.mark = true})),
      "INSERT INTO `t` (`uid`, `title`, `n`) VALUES (?, ?, ?) ON DUPLICATE KEY "
      "UPDATE `uid` = IF(LAST_INSERT_ID(IF(`uid` <=> VALUES(`uid`) AND `title` "
      "<=> VALUES(`title`), 13835058055282163713, 13835058055282163714)) = 0, "
      "`uid`, `uid`), `n` = IF(`uid` <=> VALUES(`uid`) AND `title` <=> "
      "VALUES(`title`), VALUES(`n`), `n`) | 1, 'x', 2",
      __LINE__);
  check_built(
      built(do_insert,
            INSERT(SETS(sets, nsets, {col("id"), VALUE(integer(1))}),
                   .conflict = PRG_CONFLICT_UPDATE, .key = T->pk,
                   .only = eq("uid", 9),
                   SETS(updates, nupdates, {col("body"), .is_default = true}),
                   .returning = {.mark = true})),
      "INSERT INTO `t` (`id`) VALUES (?) ON DUPLICATE KEY UPDATE `id` = "
      "IF(LAST_INSERT_ID(IF(`id` <=> VALUES(`id`), IF(`uid` = ?, "
      "13835058055282163713, 13835058055282163715), 13835058055282163714)) = "
      "0, `id`, `id`), `body` = IF(`id` <=> VALUES(`id`) AND `uid` = ?, "
      "DEFAULT(`body`), `body`) | 1, 9, 9",
      __LINE__);
  check_built(
      built(do_insert, INSERT(SETS(sets, nsets, {col("id"), VALUE(integer(1))}),
                              .conflict = PRG_CONFLICT_NOTHING, .key = T->pk,
                              .returning = {.mark = true})),
      "INSERT INTO `t` (`id`) VALUES (?) ON DUPLICATE KEY UPDATE `id` "
      "= IF(LAST_INSERT_ID(IF(`id` <=> VALUES(`id`), "
      "13835058055282163713, 13835058055282163714)) = 0, `id`, `id`) "
      "| 1",
      __LINE__);
  T = bed_tables[0];
}

int main(void) {
  bed_open();
  RUN(test_insert);
  RUN(test_nothing);
  RUN(test_upsert);
  RUN(test_upsert_more);
  RUN(test_insert_many);
  RUN(test_update_many);
  RUN(test_update);
  RUN(test_delete);
  RUN(test_schema);
  RUN(test_mark);
  RUN(test_mysql);
  bed_close();
  return check_result();
}
