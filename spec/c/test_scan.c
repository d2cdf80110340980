/*
** src/sql: the placeholder scanner, statement flags, quoting, BEGIN.
**   test_scan [seed] [rounds]
*/
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "sql/dialect.h"
#include "sql/quote.h"
#include "sql/scan.h"

#define PG (&prg_dialect_postgres)
#define SL (&prg_dialect_sqlite)
#define MY (&prg_dialect_mysql)
#define COUNT(a) (sizeof(a) / sizeof *(a))

static int checks, failures;

static bool check(bool ok, const char *what, const char *dialect,
                  const char *text) {
  checks++;
  if (ok) return true;
  failures++;
  printf("FAIL %s [%s] %s\n", what, dialect, text);
  return false;
}

/* ---- what is a parameter ------------------------------------------------ */

/* `values`: "2" for two of ? or $n, "a,b" for names, "" for none. `order`:
** what goes where, NULL for 0, 1, 2, … */
struct param_case {
  const struct prg_dialect *d;
  const char *sql, *want, *values, *order;
};

static const struct param_case params[] = {
    /* left alone, on every dialect that has it */
    {PG, "select ':a'", "select ':a'", "", NULL},
    {PG, "select \"col:a\"", "select \"col:a\"", "", NULL},
    {PG, "select 1 -- :a ? $1\n", "select 1 -- :a ? $1\n", "", NULL},
    {PG, "select /* ? :a */ 1", "select /* ? :a */ 1", "", NULL},
    {PG, "select /* /* :a */ ? */ :b", "select /* /* :a */ ? */ $1", "b", NULL},
    {SL, "select /* /* :a */ ?", "select /* /* :a */ ?", "1", NULL},
    {PG, "select $$ :a ? $$", "select $$ :a ? $$", "", NULL},
    {PG, "select $t$ $$ :a $x$ $t$, ?", "select $t$ $$ :a $x$ $t$, $1", "1",
     NULL},
    {PG, "select a$b$ :c, b$", "select a$b$ $1, b$", "c", NULL},
    {PG, "select E'\\':a', e'\\\\', :b", "select E'\\':a', e'\\\\', $1", "b",
     NULL},
    {PG, "select E'a'\n -- x\n '\\':a'", "select E'a'\n -- x\n '\\':a'", "",
     NULL},
    {PG, "select E'a' '\\', :a", "select E'a' '\\', $1", "a", NULL},
    {PG, "select 'it''s :a', '\\', :b", "select 'it''s :a', '\\', $1", "b",
     NULL},
    {PG, "select U&'\\0441:a', U&\"d:a\", B'01', x'ff', :b",
     "select U&'\\0441:a', U&\"d:a\", B'01', x'ff', $1", "b", NULL},
    {PG, "select a::int", "select a::int", "", NULL},
    {PG, "select :a::int[]", "select $1::int[]", "a", NULL},
    {PG, "select a[1:2], a[:2], a[1:], a[lo:hi], a[f(x) : :b]",
     "select a[1:2], a[:2], a[1:], a[lo:hi], a[f(x) : $1]", "b", NULL},
    {PG, "select a[:lo:hi], a[:lo: :hi], a[lo :hi], a[ : hi]",
     "select a[$1:hi], a[$1: $2], a[lo :hi], a[ : hi]", "lo,hi", NULL},
    {PG, "select array[:a, :b, case when x then :c end]",
     "select array[$1, $2, case when x then $3 end]", "a,b,c", NULL},
    {PG, "select '12:30', 12:30", "select '12:30', 12:30", "", NULL},
    {PG, "json_object('k':v, 'l': :x)", "json_object('k':v, 'l': $1)", "x",
     NULL},
    {PG, "f(a := :a, b=>:b)", "f(a := $1, b=>$2)", "a,b", NULL},
    {PG, ":a:b", "$1:b", "a", NULL},
    {PG, ":a…:b x:ä", "$1:b x:ä", "a…", NULL},
    {PG, "select :a, :b, :a, :Ünï", "select $1, $2, $1, $3", "a,b,Ünï", NULL},
    {SL, "select :a, :b, :a", "select ?1, ?2, ?1", "a,b", NULL},
    {MY, "select :a, :b, :a", "select ?, ?, ?", "a,b", "0,1,0"},
    {PG, "select x like '%:a%' or x like :p||'%' or a % 2 = :q",
     "select x like '%:a%' or x like $1||'%' or a % 2 = $2", "p,q", NULL},
    {PG, "where a=:a and(:b)limit:c", "where a=$1 and($2)limit $3", "a,b,c",
     NULL},
    {PG, "limit?offset?and", "limit $1 offset $2 and", "2", NULL},
    {PG, "select $?$t$x$t$", "select $ $1 $t$x$t$", "1", NULL},
    {PG, "select foo$1, $1", "select foo$1, $1", "1", NULL},
    {PG, "select 1e5, .5, 1., 0x1F, 1_000, ?",
     "select 1e5, .5, 1., 0x1F, 1_000, $1", "1", NULL},
    {MY, "select `?`, `a``:b`, \"it\\\"s ?\", 'it\\'s ?', ?",
     "select `?`, `a``:b`, \"it\\\"s ?\", 'it\\'s ?', ?", "1", NULL},
    {MY, "select @v := 1, @v:=:a, @@global.x, @`:q`",
     "select @v := 1, @v:=?, @@global.x, @`:q`", "a", NULL},
    {MY, "select 1 # ? :a\n, ? -- ?\n", "select 1 # ? :a\n, ? -- ?\n", "1",
     NULL},
    {MY, "select 1--?", "select 1--?", "1", NULL},
    {MY, "select /*!80000 ?, */ ? /* ? */", "select /*!80000 ?, */ ? /* ? */",
     "2", NULL},
    {MY, "select $$ ? $$", "select $$ ? $$", "1", NULL},
    {SL, "select [a:b ?], `?`, \"x?\", ?", "select [a:b ?], `?`, \"x?\", ?",
     "1", NULL},
    {SL, "select '\\', ?", "select '\\', ?", "1", NULL},
    {SL, "select e'\\', ?", "select e'\\', ?", "1", NULL},
    {SL, "select j ? 'k'", "select j ? 'k'", "1", NULL},
    {SL, "select j->>?, strftime('%H:%M', ?)",
     "select j->>?, strftime('%H:%M', ?)", "2", NULL},
    /* numbers */
    {PG, "select $2, $1, $2", "select $2, $1, $2", "2", NULL},
    {SL, "select $2, $1, $2", "select ?2, ?1, ?2", "2", NULL},
    {MY, "select $2, $1, $2", "select ?, ?, ?", "2", "1,0,1"},
    {PG, "select $01", "select $1", "1", NULL},
    /* ? on PostgreSQL */
    {PG, "select ?", "select $1", "1", NULL},
    {PG, "WHERE a = ?", "WHERE a = $1", "1", NULL},
    {PG, "WHERE a=?", "WHERE a=$1", "1", NULL},
    {PG, "WHERE a ? 'k'", "WHERE a ? 'k'", "", NULL},
    {PG, "WHERE a?'k'", "WHERE a?'k'", "", NULL},
    {PG, "WHERE a ? /* ? */ 'k'", "WHERE a ? /* ? */ 'k'", "", NULL},
    {PG, "LIMIT ? OFFSET ?", "LIMIT $1 OFFSET $2", "2", NULL},
    {PG, "a IN (?, ?) AND b NOT IN (?)", "a IN ($1, $2) AND b NOT IN ($3)", "3",
     NULL},
    {PG, "BETWEEN ? AND ?", "BETWEEN $1 AND $2", "2", NULL},
    {PG, "x -> ? ? 'k'", "x -> $1 ? 'k'", "1", NULL},
    {PG, "x->>? = ?", "x->>$1 = $2", "2", NULL},
    {PG, "a ? ?", "a ? $1", "1", NULL},
    {PG, "VALUES (?,?),(?,?)", "VALUES ($1,$2),($3,$4)", "4", NULL},
    {PG, "CASE WHEN ? THEN ? ELSE ? END", "CASE WHEN $1 THEN $2 ELSE $3 END",
     "3", NULL},
    {PG, "CASE ? WHEN ? THEN 1 END", "CASE $1 WHEN $2 THEN 1 END", "2", NULL},
    {PG, "select interval ?", "select interval $1", "1", NULL},
    {PG, "select date ?, timestamp ? as x", "select date $1, timestamp $2 as x",
     "2", NULL},
    {PG, "where date ? 'k' and t.values ? 'k'",
     "where date ? 'k' and t.values ? 'k'", "", NULL},
    {PG, "where t.select ? 'k'", "where t.select ? 'k'", "", NULL},
    {PG, "j ? 'k' AND x = ?", "j ? 'k' AND x = $1", "1", NULL},
    {PG, "j ?| array['a',?] or j ?& ?", "j ?| array['a',$1] or j ?& $2", "2",
     NULL},
    {PG, "j @? '$.a' and k @> ?", "j @? '$.a' and k @> $1", "1", NULL},
    {PG, "a like ?||'%' or b like '%'||?||'%'",
     "a like $1||'%' or b like '%'||$2||'%'", "2", NULL},
    {PG, "where ?&&tags and tags && ?", "where $1&&tags and tags && $2", "2",
     NULL},
    {PG, "select ?-1, ?+?, ?/*c*/, ?--c\n",
     "select $1-1, $2+$3, $4/*c*/, $5--c\n", "5", NULL},
    {PG, "select a ?- b, a ?-| b, a ?|| b, a ?# b",
     "select a ?- b, a ?-| b, a ?|| b, a ?# b", "", NULL},
    {PG, "select ?::jsonb ? 'k', a::date ? 'k'",
     "select $1::jsonb ? 'k', a::date ? 'k'", "1", NULL},
    {PG, "select ? x, (?)", "select $1 x, ($2)", "2", NULL},
    {PG, "select f(a) ? ('k'||?), a[1] ? 'k', \"j\" ? 'k'",
     "select f(a) ? ('k'||$1), a[1] ? 'k', \"j\" ? 'k'", "1", NULL},
    {PG, "where ? is null or ? in (select 1) or not ? or ? like ? escape ?",
     "where $1 is null or $2 in (select 1) or not $3 or $4 like $5 escape $6",
     "6", NULL},
    {PG, "update t set a = ?, b = ? where c = ? returning ?",
     "update t set a = $1, b = $2 where c = $3 returning $4", "4", NULL},
    {PG, "fetch first ? rows only", "fetch first $1 rows only", "1", NULL},
    {PG, "over (rows ? preceding)", "over (rows $1 preceding)", "1", NULL},
    {PG, "t at time zone ? as x", "t at time zone $1 as x", "1", NULL},
    {PG, "order by ?, a = any(?) or b = any ?",
     "order by $1, a = any($2) or b = any $3", "3", NULL},
    {PG, "a = $1 and j ? 'k'", "a = $1 and j ? 'k'", "1", NULL},
    {PG, "a = :x and j ? :y and date ? 'k'", "a = $1 and j ? $2 and date ? 'k'",
     "x,y", NULL},
    {PG, "j ? $1", "j ? $1", "1", NULL},
    {PG, "j ? :k", "j ? $1", "k", NULL},
    {PG, "", "", "", NULL},
    {MY, "", "", "", NULL},
};

static bool same_order(const struct prg_scan *s, const char *want) {
  for (int i = 0; i < s->nparams; i++) {
    int n = want ? (int)strtol(want, (char **)&want, 10) : i;
    if (want && *want == ',') want++;
    if (s->order[i] != n) return false;
  }
  return true;
}

static bool same_values(const struct prg_scan *s, const char *want) {
  char text[256] = "";
  if (s->style != PRG_STYLE_NAMED)
    return s->nvalues == atoi(want) && s->names == NULL &&
           (s->nvalues > 0) == (s->style != PRG_STYLE_NONE);
  for (int i = 0; i < s->nvalues; i++) {
    if (i) strncat(text, ",", sizeof text - strlen(text) - 1);
    strncat(text, s->names[i], sizeof text - strlen(text) - 1);
  }
  return strcmp(text, want) == 0;
}

static void test_param(const struct param_case *c) {
  struct prg_scan s;
  struct prg_error *err = NULL;
  size_t n = strlen(c->sql);
  char *copy = malloc(n + 1); /* exactly as long: overruns are seen */
  if (copy == NULL) return;
  memcpy(copy, c->sql, n);
  copy = realloc(copy, n ? n : 1);
  if (prg_scan(c->d, copy, n, &s, &err) != PRG_OK) {
    check(c->want == NULL && err->kind == PRG_K_USAGE, prg_error_message(err),
          c->d->name, c->sql);
    prg_error_unref(err);
  } else if (check(c->want != NULL, "must fail", c->d->name, c->sql)) {
    if (!check(strcmp(s.sql, c->want) == 0 && s.len == strlen(s.sql), "text",
               c->d->name, c->sql))
      printf("     got  %s\n     want %s\n", s.sql, c->want);
    check(same_values(&s, c->values), "values", c->d->name, c->sql);
    check(same_order(&s, c->order), "order", c->d->name, c->sql);
  }
  prg_scan_fini(&s);
  free(copy);
}

/* ---- what is refused ---------------------------------------------------- */

struct error_case {
  const struct prg_dialect *d;
  const char *sql;
  size_t len; /* 0: strlen */
  enum prg_kind kind;
  int position;
  const char *says;
};

static const struct error_case errors[] = {
    {PG, "select ?, :a", 0, PRG_K_USAGE, 11, "as ? (character 8) and as :name"},
    {PG, "select $1, :a", 0, PRG_K_USAGE, 12, "as $n (character 8) and as :n"},
    {PG, "select :a, $1", 0, PRG_K_USAGE, 12,
     "as :name (character 8) and as $"},
    {PG, "a = $1 and b = ?", 0, PRG_K_USAGE, 16,
     "as $n (character 5) and as ?"},
    {PG, "a = :a limit ? offset 1", 0, PRG_K_USAGE, 14, "and as ?"},
    {SL, "select :a, ?", 0, PRG_K_USAGE, 12, "use one style"},
    {MY, "select ?, $1", 0, PRG_K_USAGE, 11, "use one style"},
    {PG, "select $1, $3", 0, PRG_K_USAGE, 8, "$2 is missing"},
    {PG, "select $2", 0, PRG_K_USAGE, 8, "$1 is missing"},
    {PG, "select $0", 0, PRG_K_USAGE, 8, "from $1 to $65535"},
    {PG, "select $65536", 0, PRG_K_USAGE, 8, "$65536"},
    {PG, "select $99999999999999999999999", 0, PRG_K_USAGE, 8, "numbered"},
    {SL, "select @v", 0, PRG_K_USAGE, 8, "\"@v\" at character 8"},
    {SL, "select $abc", 0, PRG_K_USAGE, 8, "\"$abc\""},
    {SL, "select ?12", 0, PRG_K_USAGE, 8, "\"?12\""},
    {SL, "select :12", 0, PRG_K_USAGE, 8, "\":12\""},
    {PG, "select 1\0, 2", 12, PRG_K_USAGE, 9, "zero byte at character 9"},
    {PG, "\0", 1, PRG_K_USAGE, 1, "zero byte"},
    {PG, "select 'ä\xff'", 0, PRG_K_USAGE, 10, "not UTF-8 at character 10"},
    {PG, "select '\xc0\x80'", 0, PRG_K_USAGE, 9, "not UTF-8"},
    {PG, "select '\xed\xa0\x80'", 0, PRG_K_USAGE, 9, "not UTF-8"},
    {PG, "select '\xe2\x82", 0, PRG_K_USAGE, 9, "not UTF-8"},
    {PG, "select 'ä', 'abc", 0, PRG_K_SYNTAX, 13, "string literal"},
    {PG, "select E'abc\\'", 0, PRG_K_SYNTAX, 8, "string literal"},
    {PG, "select E'abc\\", 0, PRG_K_SYNTAX, 8, "string literal"},
    {PG, "select E'abc'\n'\\'", 0, PRG_K_SYNTAX, 8, "string literal"},
    {PG, "select \"abc", 0, PRG_K_SYNTAX, 8, "quoted name"},
    {SL, "select [abc", 0, PRG_K_SYNTAX, 8, "quoted name"},
    {MY, "select `abc", 0, PRG_K_SYNTAX, 8, "quoted name"},
    {MY, "select \"abc\\\"", 0, PRG_K_SYNTAX, 8, "string literal"},
    {MY, "select 1 /*!80000 + 1", 0, PRG_K_SYNTAX, 22, "comment"},
    {PG, "select 1 /* /* */", 0, PRG_K_SYNTAX, 10, "comment"},
    {PG, "select 1 /*", 0, PRG_K_SYNTAX, 10, "comment"},
    {PG, "select $a$ $b$", 0, PRG_K_SYNTAX, 8, "dollar-quoted string"},
    {PG, "a ? 'x", 0, PRG_K_SYNTAX, 5, "string literal"},
};

static void test_error(const struct error_case *c) {
  struct prg_scan s;
  struct prg_error *err = NULL;
  size_t len = c->len ? c->len : strlen(c->sql);
  if (!check(prg_scan(c->d, c->sql, len, &s, &err) == PRG_ERR, "must fail",
             c->d->name, c->sql)) {
    prg_scan_fini(&s);
    return;
  }
  check(s.sql == NULL && s.order == NULL && s.names == NULL, "not empty",
        c->d->name, c->sql);
  check(err->kind == c->kind, "kind", c->d->name, c->sql);
  if (!check(err->position == c->position, "position", c->d->name, c->sql))
    printf("     got %d\n", err->position);
  check(strstr(prg_error_message(err), c->says) != NULL, prg_error_message(err),
        c->d->name, c->sql);
  prg_error_unref(err);
}

/* ---- what kind of statement it is --------------------------------------- */

/* Flags by letter: Read conTrol Session touCH coPy Multi Empty cUrsor
** utiLity Values cOmmits; K is `locking`. */
static const char letters[] = "RTSHPMEULVO";

struct flag_case {
  const struct prg_dialect *d;
  const char *sql, *want, *keyword;
};

static const struct flag_case flags[] = {
    {PG, "select 1", "RU", "SELECT"},
    {PG, "/* x */ -- y\n Select 1;  -- z", "RU", "SELECT"},
    {PG, "((select 1) union (select 2))", "RU", "SELECT"},
    {PG, "values (1)", "RU", "VALUES"},
    {PG, "table t", "RU", "TABLE"},
    {PG, "with x as (select 1) select * from x", "RU", "WITH"},
    {PG, "with x as (insert into t values (1) returning *) select * from x", "",
     "WITH"},
    {PG, "with x as (select 1) delete from t", "", "WITH"},
    {PG, "with x as (select 1) update t set a = 1", "", "WITH"},
    {PG, "with x as (select 1) merge into t using x on true", "", "WITH"},
    {PG, "with x as (select 1) select * from x for update", "RUK", "WITH"},
    {PG, "with x as (select t.update, \"delete\", 'insert' from t) select 1",
     "RU", "WITH"},
    {PG, "select * from t for update skip locked", "RUK", "SELECT"},
    {PG, "select * from t for no key update", "RUK", "SELECT"},
    {PG, "select * from t for key share", "RUK", "SELECT"},
    {PG, "select * from t for share", "RUK", "SELECT"},
    {MY, "select * from t lock in share mode", "RUK", "SELECT"},
    {PG, "select 1 into t", "L", "SELECT"},
    {PG, "select 1 into temp t from temp", "SL", "SELECT"},
    {PG, "select 1 into local temporary table t", "SL", "SELECT"},
    {PG, "select 1 into pg_temp.t", "SL", "SELECT"},
    {PG, "select 1 into t from temp", "L", "SELECT"},
    {PG, "select 'a into b', \"into\", t.into from t", "RU", "SELECT"},
    {MY, "select 1 into @v", "HL", "SELECT"},
    {MY, "select @v := 1", "RUH", "SELECT"},
    {MY, "select @v", "RU", "SELECT"},
    {PG, "insert into t values (1)", "V", "INSERT"},
    {PG, "insert into t values ((select 1))", "", "INSERT"},
    {PG, "insert into t select 1", "", "INSERT"},
    {PG, "insert into t select * from (values (1)) v", "", "INSERT"},
    {SL, "replace into t values (?)", "V", "REPLACE"},
    {SL, "with x as (select 1) replace into t select * from x", "", "WITH"},
    {PG, "update t set a = 1", "", "UPDATE"},
    {PG, "delete from t", "", "DELETE"},
    {PG, "merge into t using s on true when matched then delete", "", "MERGE"},
    {PG, "explain select 1", "RL", "EXPLAIN"},
    {PG, "explain delete from t", "RL", "EXPLAIN"},
    {PG, "explain analyze select 1", "RL", "EXPLAIN"},
    {PG, "explain analyze verbose delete from t", "L", "EXPLAIN"},
    {PG, "explain (buffers, analyze) insert into t values (1)", "L", "EXPLAIN"},
    {PG, "explain (analyze, format json) with x as (select 1) table x", "RL",
     "EXPLAIN"},
    {PG, "explain analyze create temp table t as select 1", "SL", "EXPLAIN"},
    {PG, "explain create temp table t as select 1", "RL", "EXPLAIN"},
    {PG, "explain analyze execute p", "L", "EXPLAIN"},
    {PG, "explain (select 1)", "RL", "EXPLAIN"},
    {SL, "explain query plan delete from t", "RL", "EXPLAIN"},
    {SL, "explain attach 'x' as y", "RL", "EXPLAIN"},
    {PG, "show all", "RL", "SHOW"},
    {PG, "begin", "TL", "BEGIN"},
    {PG, "BEGIN ISOLATION LEVEL SERIALIZABLE", "TL", "BEGIN"},
    {PG, "start transaction", "TL", "START"},
    {MY, "start transaction", "TL", "START"},
    {MY, "start replica", "L", "START"},
    {PG, "commit", "TL", "COMMIT"},
    {PG, "end", "TL", "END"},
    {PG, "abort", "TL", "ABORT"},
    {PG, "rollback to savepoint x", "TL", "ROLLBACK"},
    {PG, "savepoint x", "TL", "SAVEPOINT"},
    {PG, "release x", "TL", "RELEASE"},
    {PG, "prepare transaction 'x'", "TL", "PREPARE"},
    {PG, "commit prepared 'x'", "TL", "COMMIT"},
    {PG, "prepare p as select 1", "SL", "PREPARE"},
    {PG, "deallocate all", "SL", "DEALLOCATE"},
    {PG, "set work_mem = '1MB'", "SL", "SET"},
    {PG, "set session authorization x", "SL", "SET"},
    {PG, "set local work_mem = '1MB'", "L", "SET"},
    {MY, "set local sort_buffer_size = 1", "SL", "SET"},
    {MY, "set global x = 1", "L", "SET"},
    {PG, "set transaction read only", "L", "SET"},
    {MY, "set transaction read only", "SL", "SET"},
    {PG, "set constraints all deferred", "L", "SET"},
    {PG, "reset all", "SL", "RESET"},
    {PG, "listen x", "SL", "LISTEN"},
    {PG, "unlisten *", "SL", "UNLISTEN"},
    {PG, "notify x", "L", "NOTIFY"},
    {PG, "declare c cursor with hold for select 1", "SL", "DECLARE"},
    {PG, "discard all", "SL", "DISCARD"},
    {PG, "load 'x'", "SL", "LOAD"},
    {PG, "lock table t", "L", "LOCK"},
    {MY, "lock tables t read", "SLO", "LOCK"},
    {MY, "create table t (a int)", "LO", "CREATE"},
    {MY, "create or replace view v as select 1", "LO", "CREATE"},
    {MY, "create temporary table t (a int)", "SL", "CREATE"},
    {MY, "/* a */ alter table t add b int", "LO", "ALTER"},
    {MY, "drop temporary table t", "L", "DROP"},
    {MY, "select 1; drop table t", "MLO", "SELECT"},
    {MY, "drop prepare p", "SL", "DROP"},
    {MY, "use x", "SL", "USE"},
    {PG, "do $$ begin perform set_config('a', 'b', false); end $$", "HL", "DO"},
    {PG, "create table t (a int)", "L", "CREATE"},
    {PG, "create temp table t (a int)", "SL", "CREATE"},
    {PG, "create local temporary table t as select 1", "SL", "CREATE"},
    {PG, "create or replace temp view v as select 1", "SL", "CREATE"},
    {PG, "create table pg_temp.t (a int)", "SL", "CREATE"},
    {PG, "create table if not exists \"pg_temp\".t (a int)", "SL", "CREATE"},
    {PG, "create table temp.t (a int)", "L", "CREATE"},
    {SL, "create table temp.t (a int)", "SL", "CREATE"},
    {SL, "create view v as select * from temp.t", "L", "CREATE"},
    {SL, "create table temp (temp int)", "L", "CREATE"},
    {SL, "create temp trigger x after insert on t begin delete from u; end",
     "SL", "CREATE"},
    {PG, "drop table t", "L", "DROP"},
    {PG, "copy t from stdin", "PL", "COPY"},
    {PG, "copy (select 1) to stdout (format csv)", "PL", "COPY"},
    {PG, "copy t from '/tmp/x'", "L", "COPY"},
    {PG, "copy (select stdin from stdout) to '/tmp/x'", "L", "COPY"},
    {PG, "select set_config('a', 'b', false)", "RUH", "SELECT"},
    {PG, "select Pg_Catalog.\"set_config\"('a', 'b', false)", "RUH", "SELECT"},
    {PG, "select 'set_config' -- set_config", "RU", "SELECT"},
    {PG, "select pg_advisory_lock(1)", "RUH", "SELECT"},
    {PG, "select pg_try_advisory_lock_shared(1)", "RUH", "SELECT"},
    {PG, "select pg_advisory_xact_lock(1)", "RU", "SELECT"},
    {PG, "select get_lock('a', 1)", "RU", "SELECT"},
    {MY, "select get_lock('a', 1)", "RUH", "SELECT"},
    {PG, "explain analyze select set_config('a', 'b', false)", "RHL",
     "EXPLAIN"},
    {SL, "attach 'x' as y", "SL", "ATTACH"},
    {SL, "detach y", "SL", "DETACH"},
    {SL, "pragma foreign_keys", "RL", "PRAGMA"},
    {SL, "pragma foreign_keys = on", "SL", "PRAGMA"},
    {SL, "pragma foreign_keys(on)", "SL", "PRAGMA"},
    {SL, "pragma main.user_version", "RL", "PRAGMA"},
    {SL, "pragma main.user_version = 3", "L", "PRAGMA"},
    {SL, "pragma journal_mode(wal)", "L", "PRAGMA"},
    {SL, "pragma main.table_info('t')", "RL", "PRAGMA"},
    {SL, "pragma \"table_info\"(\"user_version\")", "RL", "PRAGMA"},
    {SL, "pragma integrity_check", "RL", "PRAGMA"},
    {SL, "pragma wal_checkpoint(truncate)", "L", "PRAGMA"},
    {SL, "pragma optimize", "L", "PRAGMA"},
    {SL, "pragma temp_store = foreign_keys", "SL", "PRAGMA"},
    {SL, "vacuum", "L", "VACUUM"},
    {PG, "pragma x = 1", "L", "PRAGMA"},
    {PG, "", "EL", ""},
    {PG, " ; -- x\n /* y */ ;", "EL", ""},
    {PG, "; select 1;;", "RU", "SELECT"},
    {PG, "select 1; select 2", "RML", "SELECT"},
    {PG, "select 1; delete from t;", "ML", "SELECT"},
    {PG, "select 1; set x = 1; commit", "TSML", "SELECT"},
    {PG, "select ';'; -- ;", "RU", "SELECT"},
    {SL,
     "create trigger x after insert on t begin select case when 1 then 2 "
     "end; delete from u; end;",
     "L", "CREATE"},
    {SL,
     "create trigger x after insert on t begin delete from u; end; select 1",
     "ML", "CREATE"},
    {PG,
     "create function f() returns int begin atomic select 1; select case "
     "when a then b end; end",
     "L", "CREATE"},
    {PG, "create function f(begin int) returns int return begin; select 1",
     "ML", "CREATE"},
    {PG, "create table t (a int); begin; end", "TML", "CREATE"},
    {MY,
     "create procedure p() begin if a then select 1; end if; while a do "
     "set b = 1; end while; case a when 1 then select 1; end case; end",
     "LO", "CREATE"},
    {MY, "/*!40101 set names utf8 */;", "SL", "SET"},
    {PG, "123 abc", "L", ""},
    {PG, "averyveryverylongkeywordindeed", "L", "AVERYVERYVERYLONGKEYWOR"},
    {PG, "selec 1", "L", "SELEC"},
};

static void test_flags(const struct flag_case *c) {
  struct prg_scan s;
  struct prg_error *err = NULL;
  unsigned want = 0;
  if (!check(prg_scan(c->d, c->sql, strlen(c->sql), &s, &err) == PRG_OK,
             "must not fail", c->d->name, c->sql)) {
    prg_error_unref(err);
    return;
  }
  for (const char *p = c->want; *p; p++)
    if (*p != 'K') want |= 1u << (strchr(letters, *p) - letters);
  if (!check(s.flags == want, "flags", c->d->name, c->sql))
    printf("     got %#x want %#x\n", s.flags, want);
  check(s.locking == (strchr(c->want, 'K') != NULL), "locking", c->d->name,
        c->sql);
  check(strcmp(s.keyword, c->keyword) == 0, s.keyword, c->d->name, c->sql);
  prg_scan_fini(&s);
}

/* ---- names and BEGIN ---------------------------------------------------- */

static void test_ident(const struct prg_dialect *d, const char *name,
                       size_t len, const char *want) {
  struct prg_buf b;
  struct prg_error *err = NULL;
  int rc;
  prg_buf_init(&b, 0);
  rc = prg_quote_ident(d, &b, name, len, &err);
  check((rc == PRG_OK) == (want != NULL), "quote", d->name, name);
  if (rc != PRG_OK) {
    check(err->kind == PRG_K_USAGE && b.len == 0, "refusal", d->name, name);
    prg_error_unref(err);
  } else if (want != NULL) {
    check(strcmp(b.data, want) == 0, b.data, d->name, name);
  }
  prg_buf_fini(&b);
}

static void test_quote(void) {
  char name[70];
  struct prg_buf b;
  struct prg_error *err = NULL;
  memset(name, 'x', sizeof name);
  test_ident(PG, "a\"b", 3, "\"a\"\"b\"");
  test_ident(PG, "x; drop table t", 15, "\"x; drop table t\"");
  test_ident(PG, "Ünï", 5, "\"Ünï\"");
  test_ident(PG, "a.b", 3, "\"a.b\"");
  test_ident(SL, "\"", 1, "\"\"\"\"");
  test_ident(MY, "a`\"b", 4, "`a``\"b`");
  test_ident(PG, "", 0, NULL);
  test_ident(PG, "a\0b", 3, NULL);
  test_ident(PG, "a\xff", 2, NULL);
  test_ident(PG, name, 64, NULL);
  memcpy(name + 31, "ä", 2); /* the message cuts no character */
  test_ident(PG, name, 64, NULL);
  prg_buf_init(&b, 0);
  check(prg_quote_name(PG, &b, "s", "t", &err) == PRG_OK &&
            prg_quote_name(MY, &b, NULL, "t", &err) == PRG_OK &&
            strcmp(b.data, "\"s\".\"t\"`t`") == 0,
        "quote_name", "", "");
  prg_buf_fini(&b);
}

struct begin_case {
  const struct prg_dialect *d;
  struct prg_tx_options o;
  const char *want, *says;
};

static const struct begin_case begins[] = {
    {PG, {NULL, false, false}, "BEGIN", NULL},
    {PG,
     {"serializable", true, true},
     "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE",
     NULL},
    {PG,
     {"repeatable_read", false, false},
     "BEGIN ISOLATION LEVEL REPEATABLE READ",
     NULL},
    {PG,
     {"read_committed", false, false},
     "BEGIN ISOLATION LEVEL READ COMMITTED",
     NULL},
    {PG,
     {"bogus", false, false},
     NULL,
     "isolation = \"bogus\": postgres has read_committed, repeatable_read, "
     "serializable"},
    {SL, {NULL, false, false}, "BEGIN IMMEDIATE", NULL},
    {SL, {"serializable", false, false}, "BEGIN IMMEDIATE", NULL},
    {SL, {NULL, true, false}, "BEGIN", NULL},
    {SL,
     {"read_committed", false, false},
     NULL,
     "\"read_committed\": sqlite has serializable"},
    {SL, {NULL, false, true}, NULL, "deferrable = true"},
    {MY, {NULL, true, false}, "START TRANSACTION READ ONLY", NULL},
    {MY,
     {"serializable", false, false},
     "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; START TRANSACTION",
     NULL},
    {MY, {NULL, false, true}, NULL, "allowed: isolation, readonly"},
};

static void test_begin(const struct begin_case *c) {
  struct prg_buf b;
  struct prg_error *err = NULL;
  prg_buf_init(&b, 0);
  if (prg_dialect_begin(c->d, &c->o, &b, &err) == PRG_OK) {
    check(c->want != NULL && strcmp(b.data, c->want) == 0, b.data, c->d->name,
          c->says ? c->says : "");
  } else {
    check(c->says != NULL && err->kind == PRG_K_USAGE && b.len == 0 &&
              strstr(prg_error_message(err), c->says) != NULL,
          prg_error_message(err), c->d->name, c->says ? c->says : c->want);
    prg_error_unref(err);
  }
  prg_buf_fini(&b);
}

/* ---- parentheses -------------------------------------------------------- */

struct balance_case {
  const struct prg_dialect *d;
  const char *sql;
  bool unbalanced;
};

static const struct balance_case balances[] = {
    {PG, "a = 1", false},
    {PG, "(a) or ((b))", false},
    {PG, "1=1) or (1=1", true},
    {PG, ") (", true},
    {PG, "((", true},
    {PG, "(a", true},
    {PG, "a)", true},
    {PG, "a = ')' or b = '('", false},
    {PG, "a = ')') or (b = '('", true},
    {PG, "a = $$)$$ /* ) */ -- )", false},
    {PG, "\"a)\" = 1", false},
    {PG, "f(a, (b)) -- (", false},
    {SL, "[a)] = 1", false},
    {SL, "1=1) or (1=1", true},
    {MY, "`)` = 1", false},
    {MY, "a) # (", true},
};

static void test_balance(const struct balance_case *c) {
  struct prg_scan s;
  struct prg_error *err = NULL;
  if (!check(prg_scan(c->d, c->sql, strlen(c->sql), &s, &err) == PRG_OK,
             "must not fail", c->d->name, c->sql)) {
    prg_error_unref(err);
    return;
  }
  check(s.unbalanced == c->unbalanced, "unbalanced", c->d->name, c->sql);
  prg_scan_fini(&s);
}

/* ---- memory, size, noise ------------------------------------------------ */

/* Fails the n-th allocation until the scan passes. */
static void test_no_memory(const struct prg_dialect *d, const char *sql) {
  for (long n = 1; n < 1000; n++) {
    struct prg_scan s;
    struct prg_error *err = NULL;
    int rc;
    prg_mem_fail_after(n);
    rc = prg_scan(d, sql, strlen(sql), &s, &err);
    prg_mem_fail_after(0);
    if (rc == PRG_OK) {
      prg_scan_fini(&s);
      return;
    }
    check(s.sql == NULL && s.names == NULL && s.order == NULL, "oom", d->name,
          sql);
    if (err->kind == PRG_K_USAGE || err->kind == PRG_K_SYNTAX) {
      prg_error_unref(err);
      return;
    }
    check(err == prg_error_oom(), "oom kind", d->name, sql);
  }
  check(false, "never enough memory", d->name, sql);
}

static void test_no_memory_all(void) {
  for (size_t i = 0; i < COUNT(params); i++)
    test_no_memory(params[i].d, params[i].sql);
  for (size_t i = 0; i < COUNT(errors); i++)
    test_no_memory(errors[i].d, errors[i].sql);
  for (size_t i = 0; i < COUNT(begins); i++)
    for (long n = 1; n < 10; n++) {
      struct prg_buf b;
      struct prg_error *err = NULL;
      prg_buf_init(&b, 0);
      prg_mem_fail_after(n);
      if (prg_dialect_begin(begins[i].d, &begins[i].o, &b, &err) != PRG_OK)
        prg_error_unref(err);
      else if (prg_quote_ident(PG, &b, "a\"b", 3, &err) != PRG_OK)
        prg_error_unref(err);
      prg_mem_fail_after(0);
      prg_buf_fini(&b);
    }
}

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* `unit` again and again; expects `nparams`, or an error when it is < 0. */
static void test_large(const struct prg_dialect *d, const char *unit,
                       size_t times, int nparams) {
  struct prg_buf b;
  struct prg_scan s;
  struct prg_error *err = NULL;
  double start;
  prg_buf_init(&b, 0);
  prg_buf_adds(&b, "select ");
  for (size_t i = 0; i < times; i++)
    if (strchr(unit, '%') != NULL)
      prg_buf_addf(&b, ":n%zu,", i);
    else
      prg_buf_adds(&b, unit);
  start = seconds();
  if (prg_scan(d, b.data, b.len, &s, &err) == PRG_OK)
    check(s.nparams == nparams, "large", d->name, unit);
  else
    check(nparams < 0, prg_error_message(err), d->name, unit);
  if (!check(seconds() - start < 10, "slow", d->name, unit))
    printf("     %zu bytes in %.2f s\n", b.len, seconds() - start);
  prg_error_unref(err);
  prg_scan_fini(&s);
  prg_buf_fini(&b);
}

static void test_large_all(void) {
  test_large(SL, "?,", 100000, 100000);
  test_large(MY, "?,", 65535, 65535);
  test_large(PG, "?,", 65535, 65535);
  test_large(PG, "?,", 100000, -1);
  test_large(SL, ":n%,", 100000, 100000);
  test_large(PG, ":aa,", 100000, 1);
  test_large(PG, "j ? 'k',", 200000, 0);
  test_large(PG, "? ? ", 200000, -1);
  test_large(PG, "a ?/**/", 200000, 1); /* the last one */
  test_large(PG, "E''\n\n--x\n", 200000, 0);
  test_large(PG, "$a$ ", 500001, -1);
  test_large(PG, "$a$ ", 500000, 0);
  test_large(PG, "/*", 500000, -1);
  test_large(PG, "(", 1000000, 0);
  test_large(PG, "[:", 500000, 0);
  test_large(PG, "with x as (select 1) ", 50000, 0);
  test_large(PG, "select 1; ", 100000, 0);
}

/* Pieces that mean something to the scanner, in random order. */
static const char *const pieces[] = {
    "?",      "?|",      "?&",   "$1",         "$2",     ":a",       ":b",
    "::",     ":",       ":=",   "'",          "\"",     "`",        "[",
    "]",      "(",       ")",    "$$",         "$t$",    "E'",       "\\",
    "/*",     "*/",      "--",   "\n",         " ",      ";",        ".",
    "@",      "#",       "@v",   "select",     "insert", "into",     "values",
    "with",   "a",       "12",   "1e",         "begin",  "end",      "case",
    "create", "trigger", "temp", "pragma",     "=",      "explain",  "analyze",
    "update", "for",     "copy", "stdin",      "from",   "\xc3\xa4", "\xff",
    "\xe2",   "/*!",     "0x",   "set_config", "table",  "pg_temp"};

static unsigned long long noise;

static unsigned draw(unsigned below) {
  noise = noise * 6364136223846793005ULL + 1442695040888963407ULL;
  return (unsigned)(noise >> 33) % below;
}

/* A scanned text is itself a text without a fault, in the dialect's style,
** with the same flags and as many parameters. */
static void again(const struct prg_dialect *d, const struct prg_scan *s) {
  struct prg_scan t;
  struct prg_error *err = NULL;
  int rc;
  if (d->param == PRG_PARAM_NUMBERED) return; /* ?1 is no style of ours */
  rc = prg_scan(d, s->sql, s->len, &t, &err);
  if (rc != PRG_OK) {
    check(false, prg_error_message(err), d->name, s->sql);
    prg_error_unref(err);
    return;
  }
  check(t.nparams == s->nparams && t.flags == s->flags, "again", d->name,
        s->sql);
  prg_scan_fini(&t);
}

static void test_noise(long rounds) {
  static const struct prg_dialect *const all[] = {PG, SL, MY};
  for (long i = 0; i < rounds; i++) {
    struct prg_buf b;
    prg_buf_init(&b, 0);
    for (unsigned n = draw(24); n > 0; n--) {
      const char *piece = pieces[draw(COUNT(pieces))];
      if (draw(40) == 0)
        prg_buf_addc(&b, (char)draw(256));
      else
        prg_buf_adds(&b, piece);
      if (draw(3) == 0) prg_buf_addc(&b, ' ');
    }
    for (size_t k = 0; k < COUNT(all); k++) {
      struct prg_scan s;
      struct prg_error *err = NULL;
      char *text = malloc(b.len ? b.len : 1); /* overruns are seen */
      if (text == NULL) break;
      memcpy(text, b.data ? b.data : "", b.len);
      if (prg_scan(all[k], text, b.len, &s, &err) == PRG_OK)
        again(all[k], &s);
      else
        check(err->kind == PRG_K_USAGE || err->kind == PRG_K_SYNTAX, "kind",
              all[k]->name, b.data);
      prg_error_unref(err);
      prg_scan_fini(&s);
      free(text);
    }
    prg_buf_fini(&b);
  }
}

int main(int argc, char **argv) {
  long rounds = argc > 2 ? atol(argv[2]) : 100000;
  noise = argc > 1 ? strtoull(argv[1], NULL, 10) : (unsigned long long)time(0);
  printf("seed %llu\n", noise);
  for (size_t i = 0; i < COUNT(params); i++) test_param(&params[i]);
  for (size_t i = 0; i < COUNT(errors); i++) test_error(&errors[i]);
  for (size_t i = 0; i < COUNT(flags); i++) test_flags(&flags[i]);
  for (size_t i = 0; i < COUNT(begins); i++) test_begin(&begins[i]);
  for (size_t i = 0; i < COUNT(balances); i++) test_balance(&balances[i]);
  test_quote();
  check(prg_dialect_find("sqlite") == SL && prg_dialect_find("x") == NULL,
        "find", "", "");
  test_no_memory_all();
  test_large_all();
  test_noise(rounds);
  printf("%d checks, %d failures\n", checks, failures);
  return failures != 0;
}
