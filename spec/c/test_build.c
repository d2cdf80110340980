/* What the statement builder writes, on each database. */
#include "build_bed.h"

/* A condition alone. */
#define COND(what, text) SAME(do_cond, what, text)
#define CONDS(what, pg, sqlite, mysql) EACH(do_cond, what, pg, sqlite, mysql)

static void do_cond(struct prg_emit *e, const void *what) {
  prg_emit_cond(e, what);
}

/* ---- conditions --------------------------------------------------------- */

static void test_compare(void) {
  COND(eq("id", 7), "\"id\" = ? | 7");
  COND(cmp("id", PRG_GT, integer(7)), "\"id\" > ? | 7");
  COND(cmp("id", PRG_GE, integer(7)), "\"id\" >= ? | 7");
  COND(cmp("n", PRG_LT, integer(7)), "\"n\" < ? | 7");
  COND(cmp("n", PRG_LE, integer(7)), "\"n\" <= ? | 7");
  COND(cmp("id", PRG_NE, integer(7)), "\"id\" <> ? | 7");
  CONDS(cmp("n", PRG_NE, integer(7)), "\"n\" IS DISTINCT FROM $1 | 7",
        "\"n\" IS NOT ? | 7", "NOT (`n` <=> ?) | 7");
  CONDS(cmp("we\"ird`col", PRG_EQ, text("x")), "\"we\"\"ird`col\" = $1 | 'x'",
        "\"we\"\"ird`col\" = ? | 'x'", "`we\"ird``col` = ? | 'x'");
  COND(is_null("n", false), "\"n\" IS NULL");
  COND(is_null("n", true), "\"n\" IS NOT NULL");
  COND(between("n", 1, 9), "\"n\" BETWEEN ? AND ? | 1, 9");
}

static void test_fragments(void) {
  COND(cmp_raw("n", PRG_EQ, raw("uid + ?", integer(3), integer(0))),
       "\"n\" = (uid + ?) | ^3");
  CONDS(cmp_raw("id", PRG_NE, raw0("uid")), "\"id\" IS DISTINCT FROM (uid)",
        "\"id\" IS NOT (uid)", "NOT (`id` <=> (uid))");
  COND(fragment(raw("n > ? and uid < ?", integer(1), integer(2))),
       "(n > ? and uid < ?) | ^1, ^2");
  COND(fragment(raw("n > :a or n < :b or uid = :a", integer(1), integer(2))),
       "(n > ? or n < ? or uid = ?) | ^1, ^2, ^1");
  COND(fragment(raw("n > $2 or n < $1", integer(1), integer(2))),
       "(n > ? or n < ?) | ^2, ^1");
  COND(fragment(raw0("true")), "(true)");
  COND(fragment(raw0("n > 1 -- many")), "(n > 1 -- many\n)");
}

static void test_lists(void) {
  CONDS(in("n", false, 3), "\"n\" = ANY ($1) | [1 2 3]",
        "\"n\" IN (?, ?, ?) | 1, 2, 3", "`n` IN (?, ?, ?) | 1, 2, 3");
  CONDS(in("n", true, 2), "(\"n\" <> ALL ($1) OR \"n\" IS NULL) | [1 2]",
        "(\"n\" NOT IN (?, ?) OR \"n\" IS NULL) | 1, 2",
        "(`n` NOT IN (?, ?) OR `n` IS NULL) | 1, 2");
  CONDS(in("id", true, 2), "\"id\" <> ALL ($1) | [1 2]",
        "\"id\" NOT IN (?, ?) | 1, 2", "`id` NOT IN (?, ?) | 1, 2");
  COND(in("tags", false, 2), "\"tags\" IN (?, ?) | 1, 2");
  COND(in("n", false, 0), "FALSE");
  COND(in("n", true, 0), "TRUE");
}

static void test_long_lists(void) {
  static const char document[] =
      "(`n` NOT IN (SELECT v FROM JSON_TABLE(?, '$[*]' COLUMNS (v BIGINT PATH "
      "'$' ERROR ON ERROR)) AS perigee_list) OR `n` IS NULL) | ";
  char *s;
  T = bed_tables[1];
  check_built(
      built(do_cond, in("n", false, 33)),
      "\"n\" IN (SELECT +value FROM perigee_list(?)) | [1 2 3 4 5 ... 33]",
      __LINE__);
  check_built(built(do_cond, in("n", true, 1000)),
              "(\"n\" NOT IN (SELECT +value FROM perigee_list(?)) OR \"n\" IS "
              "NULL) | [1 2 3 4 5 ... 1000]",
              __LINE__);
  s = built(do_cond, in("n", false, 32));
  CHECK(strstr(s, "perigee_list") == NULL);
  prg_free(s);
  T = bed_tables[2];
  s = built(do_cond, in("n", false, 50000));
  CHECK(strncmp(s, "`n` IN (?, ?, ?, ", 17) == 0);
  prg_free(s);
  s = built(do_cond, in("n", true, 50001));
  CHECK(strncmp(s, document, sizeof document - 1) == 0);
  prg_free(s);
  check_built(built(do_cond, in("doc", false, 70000)),
              "usage: 70000 parameters in one statement: mysql takes 65535",
              __LINE__);
  T = bed_tables[0];
  check_built(built(do_cond, in("n", false, 70000)),
              "\"n\" = ANY ($1) | [1 2 3 4 5 ... 70000]", __LINE__);
  prg_arena_reset(&bed_arena);
}

static void test_groups(void) {
  COND(NULL, "TRUE");
  COND(group(PRG_COND_AND, NULL, NULL, NULL), "TRUE");
  COND(group(PRG_COND_OR, NULL, NULL, NULL), "FALSE");
  COND(group(PRG_COND_NOR, NULL, NULL, NULL), "TRUE");
  COND(group(PRG_COND_AND, eq("id", 1), eq("n", 2), NULL),
       "\"id\" = ? AND \"n\" = ? | 1, 2");
  COND(group(PRG_COND_OR, eq("id", 1), eq("n", 2), eq("uid", 3)),
       "\"id\" = ? OR \"n\" = ? OR \"uid\" = ? | 1, 2, 3");
  COND(group(PRG_COND_AND, group(PRG_COND_OR, eq("id", 1), eq("n", 2), NULL),
             eq("uid", 3), NULL),
       "(\"id\" = ? OR \"n\" = ?) AND \"uid\" = ? | 1, 2, 3");
  COND(group(PRG_COND_OR, group(PRG_COND_AND, eq("id", 1), eq("n", 2), NULL),
             group(PRG_COND_OR, NULL, NULL, NULL), NULL),
       "(\"id\" = ? AND \"n\" = ?) OR FALSE | 1, 2");
  COND(group(PRG_COND_AND, group(PRG_COND_OR, eq("id", 1), NULL, NULL), NULL,
             NULL),
       "\"id\" = ? | 1");
  /* A group of one that holds a group. */
  COND(group(
           PRG_COND_AND, eq("uid", 3),
           group(PRG_COND_AND,
                 group(PRG_COND_OR, eq("id", 1), eq("n", 2), NULL), NULL, NULL),
           NULL),
       "\"uid\" = ? AND (\"id\" = ? OR \"n\" = ?) | 3, 1, 2");
  COND(group(PRG_COND_NOR, eq("n", 1), NULL, NULL),
       "(\"n\" = ?) IS NOT TRUE | 1");
  COND(group(PRG_COND_NOR, eq("n", 1),
             group(PRG_COND_AND, eq("id", 1), eq("n", 2), NULL), NULL),
       "(\"n\" = ? OR (\"id\" = ? AND \"n\" = ?)) IS NOT TRUE | 1, 1, 2");
}

static void test_rows(void) {
  COND(row(PRG_GT, 1, (const char *const[]){"id", NULL}), "\"id\" > ? | 1");
  CONDS(row(PRG_LT, 2, (const char *const[]){"title", "id", NULL}),
        "(\"title\", \"id\") < ($1, $2) | 1, 2",
        "(\"title\", \"id\") < (?, ? COLLATE BINARY) | 1, 2",
        "(`title` < ? OR `title` = ? AND (`id` < ?)) | 1, 1, 2");
}

/* ---- patterns ----------------------------------------------------------- */

static void test_like(void) {
  CONDS(match("title", PRG_LIKE, text("a%b_c")), "\"title\" LIKE $1 | 'a%b_c'",
        "\"title\" GLOB ? | 'a*b?c'",
        "`title` LIKE ? COLLATE utf8mb4_bin | 'a%b_c'");
  CONDS(match("title", PRG_LIKE, text("\\%*\\\\[x]?\\a")),
        "\"title\" LIKE $1 | '\\%*\\\\[x]?\\a'",
        "\"title\" GLOB ? | '%[*]\\[[]x][?]a'",
        "`title` LIKE ? COLLATE utf8mb4_bin | '\\%*\\\\[x]?\\a'");
  CONDS(match("title", PRG_ILIKE, text("a%")), "\"title\" ILIKE $1 | 'a%'",
        "\"title\" LIKE ? ESCAPE '\\' | 'a%'",
        "LOWER(`title`) LIKE LOWER(?) COLLATE utf8mb4_bin | 'a%'");
  CONDS(match("mood", PRG_LIKE, text("a")), "\"mood\"::text LIKE $1 | 'a'",
        "\"mood\" GLOB ? | 'a'", "`mood` LIKE ? COLLATE utf8mb4_bin | 'a'");
  COND(match("title", PRG_LIKE, text("a\\")),
       "data: title: the pattern ends with the escape character \\");
  COND(match("title", PRG_ILIKE, text("\\\\\\")),
       "data: title: the pattern ends with the escape character \\");
  CONDS(match("title", PRG_LIKE, bytes("a\0b", 3)), "\"title\" LIKE $1 | 'a@b'",
        "data: title: the pattern contains a zero byte",
        "`title` LIKE ? COLLATE utf8mb4_bin | 'a@b'");
  CONDS(match("title", PRG_LIKE, text("")), "\"title\" LIKE $1 | ''",
        "\"title\" GLOB ? | ''", "`title` LIKE ? COLLATE utf8mb4_bin | ''");
}

static void test_literal_text(void) {
  CONDS(match("title", PRG_PREFIX, text("1%_\\*[")),
        "\"title\" LIKE $1 | '1\\%\\_\\\\*[%'",
        "\"title\" GLOB ? | '1%_\\[*][[]*'",
        "`title` LIKE ? COLLATE utf8mb4_bin | '1\\%\\_\\\\*[%'");
  CONDS(match("title", PRG_PREFIX, text("")), "\"title\" LIKE $1 | '%'",
        "\"title\" GLOB ? | '*'", "`title` LIKE ? COLLATE utf8mb4_bin | '%'");
  CONDS(match("title", PRG_PREFIX, bytes("a\0b", 3)),
        "\"title\" LIKE $1 | 'a@b%'", "instr(\"title\", ?) = 1 | 'a@b'",
        "`title` LIKE ? COLLATE utf8mb4_bin | 'a@b%'");
  CONDS(match("title", PRG_CONTAINS, text("50%")),
        "\"title\" LIKE $1 | '%50\\%%'", "instr(\"title\", ?) > 0 | '50%'",
        "`title` LIKE ? COLLATE utf8mb4_bin | '%50\\%%'");
  CONDS(match("body", PRG_ICONTAINS, text("a_B")),
        "\"body\" ILIKE $1 | '%a\\_B%'",
        "\"body\" LIKE ? ESCAPE '\\' | '%a\\_B%'",
        "LOWER(`body`) LIKE LOWER(?) COLLATE utf8mb4_bin | '%a\\_B%'");
  CONDS(match("body", PRG_ICONTAINS, bytes("\0", 1)),
        "\"body\" ILIKE $1 | '%@%'",
        "data: body: the text contains a zero byte",
        "LOWER(`body`) LIKE LOWER(?) COLLATE utf8mb4_bin | '%@%'");
}

static void test_has(void) {
  struct prg_value list = {.type = PRG_LIST};
  CONDS(match("doc", PRG_HAS_JSON, json("{}")), "\"doc\" @> $1 | '{}'",
        "perigee_json_contains(\"doc\", ?) | '{}'",
        "JSON_CONTAINS(`doc`, ?) | '{}'");
  CONDS(match("plain", PRG_HAS_JSON, json("[1]")),
        "\"plain\"::jsonb @> $1::jsonb | '[1]'",
        "perigee_json_contains(\"plain\", ?) | '[1]'",
        "JSON_CONTAINS(`plain`, ?) | '[1]'");
  CONDS((list.u.list = list_of(2), match("tags", PRG_HAS_ITEMS, list)),
        "\"tags\" @> $1::\"pg_catalog\".\"text\"[] | [1 2]",
        "unsupported: tags:contains: sqlite has no such operator for a column "
        "of type text[]",
        "unsupported: tags:contains: mysql has no such operator for a column "
        "of type text[]");
  T = bed_tables[0];
  check_built(built(do_cond, match("span", PRG_HAS_ITEMS, integer(5))),
              "\"span\" @> $1::\"pg_catalog\".\"int4range\" | 5..5", __LINE__);
  check_built(built(do_cond, match("spans", PRG_HAS_ITEMS, integer(5))),
              "\"spans\" @> $1::\"pg_catalog\".\"int4multirange\" | {5..5}",
              __LINE__);
}

/* ---- SELECT ------------------------------------------------------------- */

static void do_select(struct prg_emit *e, const void *what) {
  prg_emit_select(e, what);
}

static const struct prg_select *sel(struct prg_select s) {
  struct prg_select *copy = prg_arena_alloc(&bed_arena, sizeof *copy);
  *copy = s;
  copy->table = T;
  return copy;
}

#define SELECT(...) sel((struct prg_select){__VA_ARGS__})
#define ITEMS(...)                                 \
  .items = (const struct prg_item[]){__VA_ARGS__}, \
  .nitems =                                        \
      sizeof((const struct prg_item[]){__VA_ARGS__}) / sizeof(struct prg_item)
#define ORDER(...)                                            \
  .order = (const struct prg_order[]){__VA_ARGS__},           \
  .norder = sizeof((const struct prg_order[]){__VA_ARGS__}) / \
            sizeof(struct prg_order)
#define NAME(s) \
  { s, sizeof(s) - 1 }

static void test_select(void) {
  static const struct prg_value ten = {.type = PRG_INT, .u.i = 10};
  static const struct prg_value five = {.type = PRG_INT, .u.i = 5};
  SAME(do_select, SELECT(0), "SELECT * FROM \"t\"");
  SAME(do_select, SELECT(.where = group(PRG_COND_AND, NULL, NULL, NULL)),
       "SELECT * FROM \"t\"");
  SAME(do_select, SELECT(.where = eq("id", 7)),
       "SELECT * FROM \"t\" WHERE \"id\" = ? | 7");
  SAME(do_select, SELECT(.limit = &ten, .offset = &five),
       "SELECT * FROM \"t\" LIMIT ? OFFSET ? | 10, 5");
  EACH(do_select, SELECT(.offset = &five), "SELECT * FROM \"t\" OFFSET $1 | 5",
       "SELECT * FROM \"t\" LIMIT -1 OFFSET ? | 5",
       "SELECT * FROM `t` LIMIT 18446744073709551615 OFFSET ? | 5");
  SAME(do_select,
       SELECT(ITEMS({.col = col("id")}, {.col = col("title")},
                    {.raw = raw("n + ?", integer(1), integer(0)),
                     .alias = NAME("plus one")}),
              .where = eq("uid", 2)),
       "SELECT \"id\", \"title\", (n + ?) AS \"plus one\" FROM \"t\" WHERE "
       "\"uid\" = ? | ^1, 2");
}

static void test_order(void) {
  SAME(do_select,
       SELECT(ORDER({.col = col("id")}, {.col = col("uid"), .desc = true})),
       "SELECT * FROM \"t\" ORDER BY \"id\", \"uid\" DESC");
  EACH(do_select,
       SELECT(ORDER({.col = col("n")}, {.col = col("body"), .desc = true})),
       "SELECT * FROM \"t\" ORDER BY \"n\", \"body\" DESC",
       "SELECT * FROM \"t\" ORDER BY \"n\" NULLS LAST, \"body\" DESC NULLS "
       "FIRST",
       "SELECT * FROM `t` ORDER BY `n` IS NULL, `n`, `body` IS NULL DESC, "
       "`body` DESC");
  EACH(do_select,
       SELECT(
           ORDER({.col = col("n"), .nulls = PRG_NULLS_FIRST},
                 {.col = col("body"), .desc = true, .nulls = PRG_NULLS_LAST})),
       "SELECT * FROM \"t\" ORDER BY \"n\" NULLS FIRST, \"body\" DESC NULLS "
       "LAST",
       "SELECT * FROM \"t\" ORDER BY \"n\", \"body\" DESC",
       "SELECT * FROM `t` ORDER BY `n`, `body` DESC");
  EACH(do_select,
       SELECT(
           ORDER({.raw = raw("n - ?", integer(4), integer(0)), .desc = true})),
       "SELECT * FROM \"t\" ORDER BY (n - $1) DESC | ^4",
       "SELECT * FROM \"t\" ORDER BY (n - ?) DESC NULLS FIRST | ^4",
       "SELECT * FROM `t` ORDER BY (n - ?) IS NULL DESC, (n - ?) DESC | ^4, "
       "^4");
  /* An alias with the name of another column. */
  SAME(do_select,
       SELECT(ITEMS({.raw = raw0("1"), .alias = NAME("id")}),
              ORDER({.col = col("id")})),
       "SELECT (1) AS \"id\" FROM \"t\" ORDER BY \"t\".\"id\"");
}

static void test_group(void) {
  static const struct prg_text count = NAME("how many");
  EACH(do_select,
       SELECT(ITEMS({.col = col("mood")},
                    {.aggregated = true, .fn = PRG_COUNT, .alias = count},
                    {.aggregated = true,
                     .fn = PRG_SUM,
                     .col = col("n"),
                     .alias = NAME("s")}),
              .group = (const struct prg_col *const[]){col("mood")},
              .ngroup = 1, .where = cmp("n", PRG_GT, integer(0)),
              ORDER({.alias = &count, .desc = true}, {.col = col("mood")})),
       "SELECT \"mood\", count(*) AS \"how many\", sum(\"n\") AS \"s\" FROM "
       "\"t\" WHERE \"n\" > $1 GROUP BY \"mood\" ORDER BY \"how many\" DESC, "
       "\"mood\" | 0",
       "SELECT \"mood\", count(*) AS \"how many\", sum(\"n\") AS \"s\" FROM "
       "\"t\" WHERE \"n\" > ? GROUP BY \"mood\" ORDER BY \"how many\" DESC "
       "NULLS FIRST, \"mood\" NULLS LAST | 0",
       "SELECT `mood`, count(*) AS `how many`, sum(`n`) AS `s` FROM `t` WHERE "
       "`n` > ? GROUP BY `mood` ORDER BY count(*) IS NULL DESC, `how many` "
       "DESC, `mood` IS NULL, `mood` | 0");
  SAME(do_select,
       SELECT(ITEMS({.aggregated = true, .fn = PRG_MIN, .col = col("n")},
                    {.aggregated = true, .fn = PRG_MAX, .col = col("n")},
                    {.aggregated = true, .fn = PRG_AVG, .col = col("n")},
                    {.aggregated = true, .fn = PRG_COUNT, .col = col("n")})),
       "SELECT min(\"n\"), max(\"n\"), avg(\"n\"), count(\"n\") FROM \"t\"");
}

static void test_lock(void) {
  EACH(do_select, SELECT(.where = eq("id", 1), .lock = PRG_LOCK_UPDATE),
       "SELECT * FROM \"t\" WHERE \"id\" = $1 FOR UPDATE | 1",
       "unsupported: sqlite has no locks on rows: FOR UPDATE",
       "SELECT * FROM `t` WHERE `id` = ? FOR UPDATE | 1");
  EACH(do_select, SELECT(.lock = PRG_LOCK_UPDATE_SKIP),
       "SELECT * FROM \"t\" FOR UPDATE SKIP LOCKED",
       "unsupported: sqlite has no locks on rows: FOR UPDATE SKIP LOCKED",
       "SELECT * FROM `t` FOR UPDATE SKIP LOCKED");
  EACH(do_select, SELECT(.lock = PRG_LOCK_SHARE),
       "SELECT * FROM \"t\" FOR SHARE",
       "unsupported: sqlite has no locks on rows: FOR SHARE",
       "SELECT * FROM `t` /*!80001 FOR SHARE *//*M! LOCK IN SHARE MODE */");
  EACH(do_select, SELECT(.lock = PRG_LOCK_SHARE_NOWAIT),
       "SELECT * FROM \"t\" FOR SHARE NOWAIT",
       "unsupported: sqlite has no locks on rows: FOR SHARE NOWAIT",
       "SELECT * FROM `t` /*!80001 FOR SHARE *//*M! LOCK IN SHARE MODE */ "
       "NOWAIT");
}

static void do_count(struct prg_emit *e, const void *what) {
  prg_emit_count(e, T, what);
}

static void do_exists(struct prg_emit *e, const void *what) {
  prg_emit_exists(e, T, what);
}

static void test_count(void) {
  SAME(do_count, NULL, "SELECT count(*) FROM \"t\"");
  SAME(do_count, eq("n", 1), "SELECT count(*) FROM \"t\" WHERE \"n\" = ? | 1");
  SAME(do_exists, NULL, "SELECT EXISTS (SELECT 1 FROM \"t\")");
  SAME(do_exists, eq("n", 1),
       "SELECT EXISTS (SELECT 1 FROM \"t\" WHERE \"n\" = ?) | 1");
}

int main(void) {
  bed_open();
  RUN(test_compare);
  RUN(test_fragments);
  RUN(test_lists);
  RUN(test_long_lists);
  RUN(test_groups);
  RUN(test_rows);
  RUN(test_like);
  RUN(test_literal_text);
  RUN(test_has);
  RUN(test_select);
  RUN(test_order);
  RUN(test_group);
  RUN(test_lock);
  RUN(test_count);
  bed_close();
  return check_result();
}
