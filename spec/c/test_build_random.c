/* Keys and texts of random conditions, failing memory, and what is known of a
** table. */
#include "build_bed.h"

static unsigned long state;

static unsigned pick(unsigned below) {
  return check_random(&state, below);
}

/* ---- random conditions -------------------------------------------------- */

static struct prg_cond *random_leaf(void) {
  static const char *const names[] = {"id", "n", "uid", "title", "body"};
  static const char *const tests[] = {"n > 1", "n > ?", "uid = ? or n = ?"};
  static const char *const numbers[] = {"n", "uid + ?", "n * ? - ?"};
  const char *name = names[pick(3)], *words = names[3 + pick(2)];
  switch (pick(8)) {
    case 0:
      return cmp(name, (enum prg_cmp)pick(6), integer(pick(9)));
    case 1:
      return in(name, pick(2) == 0, 1 + pick(40));
    case 2:
      return is_null(name, pick(2) == 0);
    case 3:
      return between(name, pick(9), pick(9));
    case 4:
      return match(words, (enum prg_match)pick(PRG_HAS_JSON), text("a%_*"));
    case 5:
      return match(words, PRG_PREFIX, pick(2) ? bytes("\0", 1) : text("["));
    case 6:
      return cmp_raw(name, (enum prg_cmp)pick(6),
                     raw(numbers[pick(3)], integer(1), integer(2)));
    default:
      return fragment(raw(tests[pick(3)], integer(1), integer(2)));
  }
}

static struct prg_cond *random_cond(int depth) {
  struct prg_cond *g;
  if (depth == 0 || pick(3) == 0) return random_leaf();
  g = cond((enum prg_cond_kind)pick(3), NULL);
  for (unsigned n = 1 + pick(3); n > 0; n--)
    prg_cond_add(g, random_cond(depth - 1));
  return g;
}

struct pair {
  char *key, *text;
  size_t nkey;
};

static void do_cond(struct prg_emit *e, const void *what) {
  prg_emit_cond(e, what);
}

static struct pair make_pair(struct prg_emit *e, const struct prg_cond *c) {
  struct pair p;
  prg_emit_restart(e, PRG_EMIT_KEY);
  prg_emit_cond(e, c);
  p.nkey = e->out.len;
  p.key = prg_memdup(e->out.data, p.nkey);
  prg_emit_restart(e, PRG_EMIT_TEXT);
  prg_emit_cond(e, c);
  prg_buf_addc(&e->out, '|');
  prg_buf_add(&e->out, e->typed.data, e->typed.len);
  for (size_t i = 0; i < e->out.len; i++)
    if (e->out.data[i] < 2) e->out.data[i] = (char)('0' + e->out.data[i]);
  p.text = prg_memdup(e->out.data, e->out.len);
  return p;
}

enum { PAIRS = 300 };

static void check_pairs(void) {
  struct pair p[PAIRS];
  struct prg_emit e;
  struct prg_arena arena;
  int wrong = 0;
  prg_arena_init(&arena);
  prg_emit_init(&e, T->dialect, PRG_EMIT_KEY, &arena);
  for (int i = 0; i < PAIRS; i++) {
    struct prg_cond *c = random_cond((int)pick(3));
    p[i] = make_pair(&e, c);
    prg_free(built(do_cond, c)); /* checks the parameters */
    for (int k = 0; k < i; k++) {
      bool same_key =
          p[i].nkey == p[k].nkey && memcmp(p[i].key, p[k].key, p[i].nkey) == 0;
      if (same_key != (strcmp(p[i].text, p[k].text) == 0) && wrong++ == 0)
        fprintf(stderr, "%s\n%s\n", p[i].text, p[k].text);
    }
    prg_arena_reset(&bed_arena);
  }
  CHECK(wrong == 0);
  for (int i = 0; i < PAIRS; i++) {
    prg_free(p[i].key);
    prg_free(p[i].text);
  }
  prg_emit_fini(&e);
  prg_arena_fini(&arena);
}

static void test_keys(void) {
  for (long n = check_rounds(5); n > 0; n--)
    for (int i = 0; i < DIALECTS; i++) {
      T = bed_tables[i];
      check_pairs();
    }
}

/* ---- sorting ------------------------------------------------------------ */

enum { PARTS = 9 };

/* In the order that they have when sorted; the last two keep theirs. */
static void make_parts(struct prg_cond **p) {
  p[0] = cmp("id", PRG_EQ, integer(1));
  p[1] = cmp("id", PRG_EQ, integer(2));
  p[2] = cmp("id", PRG_GT, integer(1));
  p[3] = in("id", false, 3);
  p[4] = is_null("id", false);
  p[5] = match("title", PRG_LIKE, text("a"));
  p[6] = cmp("n", PRG_EQ, integer(1));
  p[7] = group(PRG_COND_OR, eq("id", 1), eq("n", 1), NULL);
  p[8] = fragment(raw0("true"));
}

static void test_sort(void) {
  struct prg_cond *p[PARTS], *g, *at;
  T = bed_tables[0];
  for (int n = 0; n < 50; n++) {
    make_parts(p);
    g = cond(PRG_COND_AND, NULL);
    for (int i = PARTS - 3; i > 0; i--) {
      int k = (int)pick((unsigned)i + 1);
      struct prg_cond *swap = p[i];
      p[i] = p[k];
      p[k] = swap;
    }
    prg_cond_add(g, p[7]);
    for (int i = 0; i < PARTS; i++)
      if (i != 7) prg_cond_add(g, p[i]);
    prg_cond_sort(g);
    check_built(built(do_cond, g),
                "\"id\" = $1 AND \"id\" = $2 AND \"id\" > $3 AND \"id\" = ANY "
                "($4) AND \"id\" IS NULL AND \"title\" LIKE $5 AND \"n\" = $6 "
                "AND (\"id\" = $7 OR \"n\" = $8) AND (true) | 1, 2, 1, [1 2 "
                "3], 'a', 1, 1, 1",
                __LINE__);
    prg_cond_add(g, eq("uid", 5));
    for (at = g->u.parts; at->next != NULL;) at = at->next;
    CHECK(at->col == col("uid"));
    prg_arena_reset(&bed_arena);
  }
  g = cond(PRG_COND_AND, NULL);
  CHECK(prg_cond_is_all(NULL) && prg_cond_is_all(g));
  prg_cond_add(g, cond(PRG_COND_AND, NULL));
  CHECK(prg_cond_is_all(g));
  prg_cond_add(g, eq("id", 1));
  CHECK(!prg_cond_is_all(g));
}

/* ---- failing memory ----------------------------------------------------- */

static void do_all(struct prg_emit *e, const void *what) {
  struct prg_select s = {.table = T, .where = what};
  struct prg_order order = {.col = col("n")};
  s.order = &order;
  s.norder = 1;
  prg_emit_select(e, &s);
  prg_emit_ident(e, "alias", 5);
}

/* Each allocation of both ways fails once. */
static void check_failing(const struct prg_cond *c) {
  struct prg_arena arena;
  struct prg_emit e;
  struct prg_error *err;
  bool passed = false;
  for (long n = 1; !passed; n++) {
    int rc;
    prg_arena_init(&arena);
    prg_emit_init(&e, T->dialect, PRG_EMIT_KEY, &arena);
    prg_mem_fail_after(n);
    do_all(&e, c);
    rc = prg_emit_check(&e, &err);
    if (rc == PRG_OK) {
      prg_emit_restart(&e, PRG_EMIT_TEXT);
      do_all(&e, c);
      rc = prg_emit_check(&e, &err);
    }
    passed = prg_mem_fail_after(0) > 0;
    CHECK((rc == PRG_OK) == passed);
    if (rc != PRG_OK) {
      CHECK(err->kind == PRG_K_RESOURCE);
      prg_error_unref(err);
    }
    prg_emit_fini(&e);
    prg_arena_fini(&arena);
  }
}

static void test_failing(void) {
  for (int i = 0; i < DIALECTS; i++) {
    struct prg_cond *g;
    T = bed_tables[i];
    g = group(PRG_COND_AND, in("n", false, 30),
              match("title", PRG_LIKE, text("a")),
              match("title", PRG_PREFIX, text("a")));
    prg_cond_add(g, match("title", PRG_CONTAINS, text("a")));
    prg_cond_add(g, match("title", PRG_ICONTAINS, text("a")));
    if (i == 0) prg_cond_add(g, match("spans", PRG_HAS_ITEMS, integer(5)));
    for (int k = 0; k < 30; k++) prg_cond_add(g, eq("n", k));
    check_failing(g);
  }
  prg_arena_reset(&bed_arena);
}

static void test_failing_table(void) {
  struct prg_error *err = NULL;
  struct prg_table *t = NULL;
  for (long n = 1; t == NULL; n++) {
    prg_mem_fail_after(n);
    t = prg_table_new(&prg_dialect_postgres, &bed_spec, &err);
    prg_mem_fail_after(0);
    if (t == NULL) CHECK(err == prg_error_oom());
  }
  prg_table_unref(t);
}

static void test_failing_raw(void) {
  struct prg_value v = integer(1);
  struct prg_arena arena;
  struct prg_scan scan;
  struct prg_error *err = NULL;
  struct prg_raw *r = NULL;
  for (long n = 1; r == NULL; n++) {
    prg_arena_init(&arena);
    prg_mem_fail_after(n);
    if (prg_scan(&prg_dialect_sqlite, "a = :x", 6, &scan, &err) == PRG_OK) {
      r = prg_raw_new(&arena, &scan, &v);
      prg_scan_fini(&scan);
    }
    prg_mem_fail_after(0);
    if (r != NULL) {
      CHECK(r->n == 1 && r->text[0].n == 4 && r->text[1].n == 0);
      CHECK(memcmp(r->text[0].p, "a = ", 4) == 0 && r->values[0].u.i == 1);
    }
    prg_arena_fini(&arena);
  }
}

/* ---- tables ------------------------------------------------------------- */

static void test_table(void) {
  static const int uid_title[] = {1, 4}, uid_uid[] = {4, 4}, id[] = {0};
  T = bed_tables[0];
  CHECK(T->pk == &T->keys[0] && T->unique == T->pk && T->nkeys == 2);
  CHECK_STR(T->pk->name, "t_pkey");
  CHECK(prg_table_key(T, id, 1) == T->pk);
  CHECK(prg_table_key(T, uid_title, 2) == &T->keys[1]);
  CHECK(prg_table_key(T, uid_title, 1) == NULL);
  CHECK(prg_table_key(T, uid_uid, 2) == NULL);
  CHECK(prg_table_col(T, "ID", 2) == NULL && prg_table_col(T, "", 0) == NULL);
  CHECK(col("uid")->index == 4);
  CHECK_STR(prg_table_columns(T, &bed_arena),
            "id, title, body, n, uid, tags, doc, plain, span, spans, mood, "
            "we\"ird`col");
  CHECK_STR(prg_table_keys(T, &bed_arena), "(id), (uid, title)");
  CHECK_STR(T->quoted.p, "\"t\"");
  CHECK_STR(T->title.p, "t");
  CHECK(T->schema.p == NULL);
}

static void test_keys_of(void) {
  static const int nullable[] = {3}, strict[] = {4};
  struct prg_key_spec keys[] = {
      {.name = "a", .ncols = 1, .cols = nullable},
      {.name = "b", .ncols = 1, .cols = strict},
      {.name = NULL, .primary = true, .ncols = 1, .cols = nullable}};
  struct prg_table_spec spec = bed_spec;
  struct prg_error *err = NULL;
  struct prg_table *t;
  spec.keys = keys;
  spec.nkeys = 3;
  t = prg_table_new(&prg_dialect_sqlite, &spec, &err);
  REQUIRE(t != NULL);
  CHECK(t->pk == &t->keys[0] && !t->pk->not_null);
  CHECK_STR(t->unique->name, "b");
  CHECK_STR(t->pk->name, "");
  prg_table_unref(t);
  spec.nkeys = 1;
  t = prg_table_new(&prg_dialect_sqlite, &spec, &err);
  REQUIRE(t != NULL);
  CHECK(t->pk == NULL && t->unique == NULL);
  CHECK(prg_table_ref(t) == t);
  prg_table_unref(t);
  prg_table_unref(t);
  prg_table_unref(NULL);
  spec.nkeys = 0;
  spec.name = "";
  CHECK(prg_table_new(&prg_dialect_sqlite, &spec, &err) == NULL);
  CHECK(err->kind == PRG_K_USAGE);
  prg_error_unref(err);
}

static void test_wide(void) {
  enum { WIDE = 2000 };
  static char names[WIDE][16];
  static struct prg_col_spec specs[WIDE];
  struct prg_table_spec spec = {.name = "w", .ncols = WIDE, .cols = specs};
  struct prg_error *err = NULL;
  struct prg_table *t;
  for (int i = 0; i < WIDE; i++) {
    (void)snprintf(names[i], sizeof names[i], "c%d", i);
    specs[i].name = names[i];
  }
  t = prg_table_new(&prg_dialect_mysql, &spec, &err);
  REQUIRE(t != NULL);
  for (int i = 0; i < WIDE; i++) {
    const struct prg_col *c = prg_table_col(t, names[i], strlen(names[i]));
    CHECK(c != NULL && c->index == i);
  }
  CHECK(prg_table_col(t, "c2000", 5) == NULL);
  CHECK_STR(prg_table_keys(t, &bed_arena), "none");
  prg_table_unref(t);
}

static void test_classes(void) {
  for (int i = 0; i < PRG_CLASS_COUNT_; i++)
    CHECK(prg_class_find(prg_class_name((enum prg_class)i)) ==
          (enum prg_class)i);
  CHECK_STR(prg_class_name(PRG_CLASS_TIMESTAMPTZ), "timestamptz");
  CHECK_STR(prg_class_name(PRG_CLASS_OTHER), "other");
  CHECK(prg_class_find("varchar") == PRG_CLASS_COUNT_);
}

/* ---- shapes ------------------------------------------------------------- */

static int dropped;

static void drop(void *data) {
  (void)data;
  dropped++;
}

static void test_shapes(void) {
  struct prg_shapes *s = prg_shapes_new(100);
  char key[24];
  int data[100];
  REQUIRE(s != NULL);
  dropped = 0;
  CHECK(prg_shapes_get(s, "a", 1) == NULL);
  for (int i = 0; i < 100; i++) {
    int n = snprintf(key, sizeof key, "key number %d", i);
    CHECK(prg_shapes_put(s, key, (size_t)n, &data[i], drop) == PRG_OK);
  }
  for (int i = 0; i < 100; i++) {
    int n = snprintf(key, sizeof key, "key number %d", i);
    CHECK(prg_shapes_get(s, key, (size_t)n) == &data[i]);
  }
  CHECK(prg_shapes_get(s, "key number 5", 11) == NULL);
  CHECK(dropped == 0);
  CHECK(prg_shapes_put(s, "more", 4, &data[0], drop) == PRG_OK);
  CHECK(dropped == 100);
  CHECK(prg_shapes_get(s, "key number 5", 12) == NULL);
  CHECK(prg_shapes_put(s, "more", 4, &data[1], drop) == PRG_OK);
  CHECK(dropped == 101 && prg_shapes_get(s, "more", 4) == &data[1]);
  prg_mem_fail_after(1);
  CHECK(prg_shapes_put(s, "none", 4, &data[2], drop) == PRG_ERR);
  prg_mem_fail_after(0);
  CHECK(dropped == 102 && prg_shapes_get(s, "none", 4) == NULL);
  prg_shapes_free(s);
  CHECK(dropped == 103);
  prg_shapes_free(NULL);
}

int main(void) {
  state = check_seed();
  bed_open();
  RUN(test_keys);
  RUN(test_sort);
  RUN(test_failing);
  RUN(test_failing_table);
  RUN(test_failing_raw);
  RUN(test_table);
  RUN(test_keys_of);
  RUN(test_wide);
  RUN(test_classes);
  RUN(test_shapes);
  bed_close();
  return check_result();
}
