/* MySQL 8 and MariaDB 10.5 and later. Source: MySQL 8.4 manual, chapters 11,
** 14.14, 15; MariaDB knowledge base, "SQL Statements". */
#include "sql/dialect.h"

#include "sql/scan.h"

enum {
  CONTROL = PRG_SCAN_CONTROL | PRG_SCAN_UTILITY,
  SESSION = PRG_SCAN_SESSION | PRG_SCAN_UTILITY,
  COMMITS = PRG_SCAN_COMMITS | PRG_SCAN_UTILITY,
  READ = PRG_SCAN_READ | PRG_SCAN_UTILITY
};

static const struct prg_verb verbs[] = {
    {"DELETE", NULL, 0},
    {"UPDATE", NULL, 0},
    {"BEGIN", NULL, CONTROL},
    {"COMMIT", NULL, CONTROL},
    {"RELEASE", NULL, CONTROL},
    {"ROLLBACK", NULL, CONTROL},
    {"SAVEPOINT", NULL, CONTROL},
    {"START", "TRANSACTION", CONTROL},
    {"XA", NULL, CONTROL},
    {"SET", "GLOBAL", PRG_SCAN_UTILITY}, /* these are the server's */
    {"SET", "PASSWORD", PRG_SCAN_UTILITY},
    {"SET", "PERSIST", PRG_SCAN_UTILITY},
    {"SET", "PERSIST_ONLY", PRG_SCAN_UTILITY},
    {"DEALLOCATE", NULL, SESSION},
    {"DROP", "PREPARE", SESSION},
    {"DROP", "TEMPORARY", PRG_SCAN_UTILITY},
    {"ALTER", NULL, COMMITS}, /* manual 15.3.3 */
    {"CREATE", NULL, COMMITS},
    {"CHECK", NULL, COMMITS},
    {"DROP", NULL, COMMITS},
    {"FLUSH", NULL, COMMITS},
    {"GRANT", NULL, COMMITS},
    {"INSTALL", NULL, COMMITS},
    {"OPTIMIZE", NULL, COMMITS},
    {"RENAME", NULL, COMMITS},
    {"REPAIR", NULL, COMMITS},
    {"REVOKE", NULL, COMMITS},
    {"TRUNCATE", NULL, COMMITS},
    {"UNINSTALL", NULL, COMMITS},
    {"HANDLER", NULL, SESSION},
    {"LOCK", NULL, SESSION | COMMITS}, /* LOCK TABLES holds until UNLOCK */
    {"PREPARE", NULL, SESSION},
    {"SET", NULL, SESSION},
    {"UNLOCK", NULL, SESSION},
    {"USE", NULL, SESSION},
    {"DESC", NULL, READ},
    {"DESCRIBE", NULL, READ},
    {"SHOW", NULL, READ},
    {NULL, NULL, 0}};

static const char *const touch[] = {"GET_LOCK", NULL};

static void begin(unsigned level, const struct prg_tx_options *o,
                  struct prg_buf *out) {
  if (level == PRG_ISO_READ_COMMITTED)
    prg_buf_adds(out, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; ");
  else if (level == PRG_ISO_REPEATABLE_READ)
    prg_buf_adds(out, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; ");
  else if (level == PRG_ISO_SERIALIZABLE)
    prg_buf_adds(out, "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; ");
  prg_buf_adds(out, "START TRANSACTION");
  if (o->readonly) prg_buf_adds(out, " READ ONLY");
}

/* What both have in common, but for `name` and `build`. A name has up to 64 characters;
** the server refuses longer ones. */
#define COMMON                                                                 \
  .lex = PRG_LEX_BACKSLASH | PRG_LEX_HASH_COMMENT | PRG_LEX_BACKTICK |         \
         PRG_LEX_DQUOTE_STRING | PRG_LEX_DASH_BLANK | PRG_LEX_CODE_COMMENT |   \
         PRG_LEX_AT_VAR,                                                       \
  .ident_quote = '`', .param = PRG_PARAM_QUESTION, .max_params = 65535,        \
  .max_ident = 0, .temp_schema = NULL, .touch = touch, .verbs = verbs,         \
  .isolation =                                                                 \
      PRG_ISO_READ_COMMITTED | PRG_ISO_REPEATABLE_READ | PRG_ISO_SERIALIZABLE, \
  .readonly = true, .deferrable = false, .few = 50000,                         \
  .limit_all = "18446744073709551615", .differs = {"NOT (", " <=> ", ")"},     \
  .like = {"", " LIKE ", " COLLATE utf8mb4_bin"},                              \
  .ilike = {"LOWER(", ") LIKE LOWER(", ") COLLATE utf8mb4_bin"},               \
  .has_json = {"JSON_CONTAINS(", ", ", ")"},                                   \
  .has_jsonb = {"JSON_CONTAINS(", ", ", ")"}, .begin = begin

enum {
  BUILD = PRG_BUILD_DEFAULT | PRG_BUILD_ON_DUPLICATE | PRG_BUILD_LOCK |
          PRG_BUILD_LIMIT_ALL | PRG_BUILD_JSON_TABLE | PRG_BUILD_ROW_APART |
          PRG_BUILD_NO_NAN | PRG_BUILD_STEPS | PRG_BUILD_UTC
};

/* A server that is MariaDB after all has no FOR SHARE: each runs the comment that is meant
** for it. */
const struct prg_dialect prg_dialect_mysql = {
    .name = "mysql",
    .share = " /*!80001 FOR SHARE *//*M! LOCK IN SHARE MODE */",
    .build = BUILD | PRG_BUILD_IN_TURN,
    COMMON};

/* INSERT, REPLACE and DELETE give rows there (10.5 and later). */
const struct prg_dialect prg_dialect_mariadb = {
    .name = "mariadb",
    .share = " LOCK IN SHARE MODE",
    .build = BUILD | PRG_BUILD_RETURNING | PRG_BUILD_UPDATE_PLAIN,
    COMMON};
