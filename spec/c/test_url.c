#include "base/mem.h"
#include "base/url.h"
#include "check.h"

/* The parts of a URL as "scheme|user|password|host|port|database|k=v,...", "-"
** for what is absent; or "! message". */
static const char *parts(const char *text) {
  static char line[1000];
  struct prg_url u;
  struct prg_error *err = NULL;
  const char *field[6];
  size_t n = 0;
  if (prg_url_parse(text, strlen(text), &u, &err) != PRG_OK) {
    snprintf(line, sizeof line, "! %s", prg_error_message(err));
    CHECK(err->kind == PRG_K_USAGE);
    CHECK(u.scheme == NULL && u.params == NULL);
    prg_error_unref(err);
    return line;
  }
  field[0] = u.scheme;
  field[1] = u.user;
  field[2] = u.password;
  field[3] = u.host;
  field[4] = u.port;
  field[5] = u.database;
  for (int i = 0; i < 6; i++) {
    n += (size_t)snprintf(line + n, sizeof line - n, "%s%s", i > 0 ? "|" : "",
                          field[i] == NULL ? "-" : field[i]);
  }
  for (size_t i = 0; i < u.nparams; i++) {
    n += (size_t)snprintf(line + n, sizeof line - n, "%c%s=%s",
                          i == 0 ? '|' : ',', u.params[i].name,
                          u.params[i].value);
  }
  prg_url_fini(&u);
  return line;
}

static const char *again(const char *text, bool mask) {
  static char line[1000];
  struct prg_url u;
  struct prg_error *err = NULL;
  struct prg_buf b;
  if (!CHECK(prg_url_parse(text, strlen(text), &u, &err) == PRG_OK)) return "";
  prg_buf_init(&b, 0);
  prg_url_format(&u, mask, &b);
  snprintf(line, sizeof line, "%s", b.data);
  prg_buf_fini(&b);
  prg_url_fini(&u);
  return line;
}

static void test_servers(void) {
  CHECK_STR(parts("postgresql://"), "postgres|-|-|-|-|-");
  CHECK_STR(parts("postgres://h"), "postgres|-|-|h|-|-");
  CHECK_STR(parts("PostgreSQL+asyncpg://u:p@h:5433/db"),
            "postgres|u|p|h|5433|db");
  CHECK_STR(parts("mariadb://u@h/"), "mysql|u|-|h|-|-");
  CHECK_STR(parts("mysql+pymysql://u:@h/d"), "mysql|u||h|-|d");
  CHECK_STR(parts("postgres://a:1,b,[::1]:3/d"), "postgres|-|-|a,b,::1|1,,3|d");
  CHECK_STR(parts("postgres://a,b/d"), "postgres|-|-|a,b|-|d");
  CHECK_STR(parts("postgres://[fe80::1%25eth0]/d"),
            "postgres|-|-|fe80::1%eth0|-|d");
  CHECK_STR(parts("postgres://:5433/d"), "postgres|-|-|-|5433|d");
  CHECK_STR(parts("postgres://u:p%40%3A%2f@h/a%20b"),
            "postgres|u|p@:/|h|-|a b");
  CHECK_STR(parts("postgres://u:p@q@h/d"), "postgres|u|p@q|h|-|d");
  CHECK_STR(parts("postgres://%2Fvar%2Frun/d"), "postgres|-|-|/var/run|-|d");
  CHECK_STR(parts("postgres:///d?host=/var/run&application_name=a%26b"),
            "postgres|-|-|-|-|d|host=/var/run,application_name=a&b");
  CHECK_STR(parts("postgres://h?a=1&&b="), "postgres|-|-|h|-|-|a=1,b=");
  CHECK_STR(parts("postgres://h/d?a=x+y"), "postgres|-|-|h|-|d|a=x+y");
  CHECK_STR(parts("mock:"), "mock|-|-|-|-|-");
  CHECK_STR(parts("mock://x/y"), "mock|-|-|x|-|y");
  CHECK_STR(parts("oracle://x/y"), "oracle|-|-|x|-|y");
}

static void test_sqlite(void) {
  CHECK_STR(parts("sqlite:app.db"), "sqlite|-|-|-|-|app.db");
  CHECK_STR(parts("sqlite:/abs/app.db"), "sqlite|-|-|-|-|/abs/app.db");
  CHECK_STR(parts("sqlite:///rel"), "sqlite|-|-|-|-|rel");
  CHECK_STR(parts("sqlite:////abs"), "sqlite|-|-|-|-|/abs");
  CHECK_STR(parts("sqlite::memory:"), "sqlite|-|-|-|-|:memory:");
  CHECK_STR(parts("sqlite+aiosqlite:///:memory:?mode=ro"),
            "sqlite|-|-|-|-|:memory:|mode=ro");
  CHECK_STR(parts("sqlite:a%3Fb%23"), "sqlite|-|-|-|-|a?b#");
  CHECK(strncmp(parts("sqlite:"), "! a sqlite URL needs a file", 27) == 0);
  CHECK(strncmp(parts("sqlite:?a=b"), "! a sqlite URL needs a file", 27) == 0);
  CHECK(strncmp(parts("sqlite://"), "! a sqlite URL needs a file", 27) == 0);
  CHECK(strncmp(parts("sqlite:///"), "! a sqlite URL needs a file", 27) == 0);
  CHECK(strncmp(parts("sqlite://h/x"), "! a sqlite URL has no host", 26) == 0);
}

static void test_refused(void) {
  static const char *const bad[] = {
      "",
      "app.db",
      "://secret",
      "1x://u:secret@h",
      "user:secret@h/d",
      "postgres:u:secret@h",
      "mysql:/u:secret@h",
      "postgres://u:secret@h:x/d",
      "postgres://u:secret@h:0/d",
      "postgres://u:secret@h:65536/d",
      "postgres://u:secret@h:-1/d",
      "postgres://u:sec/secret@h/d",
      "postgres://u:1/secret@h/d",
      "postgres://u:secret%@h/d",
      "postgres://u:secret%4@h/d",
      "postgres://u:secret%zz@h/d",
      "postgres://u:secret%00@h/d",
      "postgres://u:secret@[::1/d",
      "postgres://u:secret@[::1]x/d",
      "postgres://u:secret@a%2Cb/d",
      "postgres://u:secret@h/d?x",
      "postgres://u:secret@h/d?=x",
      "postgres://u:secret@h/d?x=%",
      "postgres://u:secret@h/d%0",
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    const char *got = parts(bad[i]);
    if (!CHECK(got[0] == '!')) fprintf(stderr, "  %s: %s\n", bad[i], got);
    if (!CHECK(strstr(got, "secret") == NULL)) fprintf(stderr, "  %s\n", got);
  }
}

static void test_zero_byte(void) {
  struct prg_url u;
  struct prg_error *err = NULL;
  CHECK(prg_url_parse("mock://a\0b", 10, &u, &err) == PRG_ERR);
  CHECK(err != NULL && err->kind == PRG_K_USAGE);
  prg_error_unref(err);
}

static void test_format(void) {
  static const char *const same[] = {
      "postgresql://u:p%40@h:1/d?a=b&c=d%26",
      "postgresql://u@[::1]:5432/d",
      "postgres://a:1,b,[::1]:3/d%20e",
      "postgres://%2Fvar%2Frun/d",
      "mysql://:p@h/",
      "postgres:///",
      "sqlite:///rel/app.db",
      "sqlite:////abs/app.db?mode=ro",
      "sqlite::memory:",
      "postgres:///d?host=/var/run",
  };
  for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
    CHECK_STR(again(same[i], false), same[i]);
  }
  CHECK_STR(again("sqlite:app.db", false), "sqlite:///app.db");
  CHECK_STR(again("postgres://u:secret@h/d?password=x&sslpassword=y&z=1", true),
            "postgres://u:***@h/d?password=***&sslpassword=***&z=1");
  CHECK_STR(again("postgres://u@h/d", true), "postgres://u@h/d");
}

static void test_param(void) {
  static const char text[] = "mock://h?a=1&b=2&a=3";
  struct prg_url u;
  struct prg_error *err = NULL;
  REQUIRE(prg_url_parse(text, sizeof text - 1, &u, &err) == PRG_OK);
  CHECK_STR(prg_url_param(&u, "a"), "3");
  CHECK_STR(prg_url_param(&u, "b"), "2");
  CHECK(prg_url_param(&u, "c") == NULL);
  CHECK_STR(u.given, "mock");
  prg_url_fini(&u);
  prg_url_fini(&u);
}

static void test_without_memory(void) {
  static const char text[] =
      "postgresql+x://u:p@a:1,b:2,[::1]:3/d?k=v&host=%2Fvar&l=m";
  for (long n = 1;; n++) {
    struct prg_url u;
    struct prg_error *err = NULL;
    long left;
    int rc;
    prg_mem_fail_after(n);
    rc = prg_url_parse(text, sizeof text - 1, &u, &err);
    left = prg_mem_fail_after(0);
    if (left == 0) {
      CHECK(rc == PRG_ERR && err == prg_error_oom() && u.scheme == NULL);
    }
    prg_error_unref(err);
    prg_url_fini(&u);
    if (left != 0) break;
  }
}

/* No text makes it crash, and what it accepts survives a round trip. */
static void test_random(void) {
  static const char alphabet[] = ":/@?&=%,[]+ab1:/@%20sqlite";
  unsigned long seed = check_seed();
  long rounds = check_rounds(20000);
  for (long i = 0; i < rounds; i++) {
    char text[64], first[1000];
    static const char *const begin[] = {"postgres://", "sqlite:", "mock:", ""};
    unsigned n = check_random(&seed, 30);
    size_t len = (size_t)snprintf(text, sizeof text, "%s",
                                  begin[check_random(&seed, 4)]);
    while (n-- > 0) {
      text[len++] = alphabet[check_random(&seed, sizeof alphabet - 1)];
    }
    text[len] = '\0';
    snprintf(first, sizeof first, "%s", parts(text));
    if (first[0] == '!') continue;
    if (!CHECK_STR(parts(again(text, false)), first)) {
      fprintf(stderr, "  text: %s\n", text);
      break;
    }
  }
}

int main(void) {
  RUN(test_servers);
  RUN(test_sqlite);
  RUN(test_refused);
  RUN(test_zero_byte);
  RUN(test_format);
  RUN(test_param);
  RUN(test_without_memory);
  RUN(test_random);
  return check_result();
}
