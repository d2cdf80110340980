/* PostgreSQL 12 and later. Source: manual, part VI (SQL commands), 4.1, 9.16,
** 9.28.10. */
#include "sql/dialect.h"

#include "sql/scan.h"

enum {
  CONTROL = PRG_SCAN_CONTROL | PRG_SCAN_UTILITY,
  SESSION = PRG_SCAN_SESSION | PRG_SCAN_UTILITY,
  READ = PRG_SCAN_READ | PRG_SCAN_UTILITY,
  /* Its body is a literal, which is not looked into. */
  UNSEEN = PRG_SCAN_TOUCH | PRG_SCAN_UTILITY
};

static const struct prg_verb verbs[] = {
    {"DELETE", NULL, 0},
    {"UPDATE", NULL, 0},
    {"MERGE", NULL, 0},
    {"ABORT", NULL, CONTROL},
    {"BEGIN", NULL, CONTROL},
    {"COMMIT", NULL, CONTROL},
    {"END", NULL, CONTROL},
    {"RELEASE", NULL, CONTROL},
    {"ROLLBACK", NULL, CONTROL},
    {"SAVEPOINT", NULL, CONTROL},
    {"START", NULL, CONTROL},
    {"PREPARE", "TRANSACTION", CONTROL},
    {"SET", "LOCAL", PRG_SCAN_UTILITY}, /* these end with the transaction */
    {"SET", "TRANSACTION", PRG_SCAN_UTILITY},
    {"SET", "CONSTRAINTS", PRG_SCAN_UTILITY},
    {"DEALLOCATE", NULL, SESSION},
    {"DECLARE", NULL, SESSION},
    {"DISCARD", NULL, SESSION},
    {"LISTEN", NULL, SESSION},
    {"LOAD", NULL, SESSION},
    {"PREPARE", NULL, SESSION},
    {"RESET", NULL, SESSION},
    {"SET", NULL, SESSION},
    {"UNLISTEN", NULL, SESSION},
    {"DO", NULL, UNSEEN},
    {"SHOW", NULL, READ},
    {NULL, NULL, 0}};

/* The xact forms of the lock functions end with the transaction. */
static const char *const touch[] = {"SET_CONFIG",
                                    "PG_ADVISORY_LOCK",
                                    "PG_ADVISORY_LOCK_SHARED",
                                    "PG_TRY_ADVISORY_LOCK",
                                    "PG_TRY_ADVISORY_LOCK_SHARED",
                                    "DBLINK_CONNECT",
                                    "DBLINK_CONNECT_U",
                                    NULL};

static void begin(unsigned level, const struct prg_tx_options *o,
                  struct prg_buf *out) {
  prg_buf_adds(out, "BEGIN");
  if (level == PRG_ISO_READ_COMMITTED)
    prg_buf_adds(out, " ISOLATION LEVEL READ COMMITTED");
  else if (level == PRG_ISO_REPEATABLE_READ)
    prg_buf_adds(out, " ISOLATION LEVEL REPEATABLE READ");
  else if (level == PRG_ISO_SERIALIZABLE)
    prg_buf_adds(out, " ISOLATION LEVEL SERIALIZABLE");
  if (o->readonly) prg_buf_adds(out, " READ ONLY");
  if (o->deferrable) prg_buf_adds(out, " DEFERRABLE");
}

const struct prg_dialect prg_dialect_postgres = {
    .name = "postgres",
    .lex = PRG_LEX_DOLLAR_QUOTE | PRG_LEX_E_STRING | PRG_LEX_NESTED_COMMENT |
           PRG_LEX_JSON_QMARK | PRG_LEX_ATOMIC,
    .ident_quote = '"',
    .param = PRG_PARAM_DOLLAR,
    .max_params = 65535,
    .max_ident = 63,
    .temp_schema = "PG_TEMP",
    .touch = touch,
    .verbs = verbs,
    .isolation =
        PRG_ISO_READ_COMMITTED | PRG_ISO_REPEATABLE_READ | PRG_ISO_SERIALIZABLE,
    .readonly = true,
    .deferrable = true,
    .build = PRG_BUILD_UNNEST | PRG_BUILD_ANY | PRG_BUILD_DEFAULT |
             PRG_BUILD_RETURNING | PRG_BUILD_ON_CONFLICT | PRG_BUILD_XMAX |
             PRG_BUILD_NULLS | PRG_BUILD_NULLS_LARGE | PRG_BUILD_LOCK |
             PRG_BUILD_HAS | PRG_BUILD_BARE_CLASH | PRG_BUILD_TYPES,
    .share = " FOR SHARE",
    .differs = {"", " IS DISTINCT FROM ", ""},
    .like = {"", " LIKE ", ""},
    .ilike = {"", " ILIKE ", ""},
    .has_json = {"", "::jsonb @> ", "::jsonb"},
    .has_jsonb = {"", " @> ", ""},
    .begin = begin};
