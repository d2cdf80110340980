/* SQLite 3.35 and later. Source: sqlite.org/lang.html, pragma.html. */
#include "sql/dialect.h"

#include "sql/scan.h"

enum {
  CONTROL = PRG_SCAN_CONTROL | PRG_SCAN_UTILITY,
  SESSION = PRG_SCAN_SESSION | PRG_SCAN_UTILITY
};

static const struct prg_verb verbs[] = {{"DELETE", NULL, 0},
                                        {"UPDATE", NULL, 0},
                                        {"BEGIN", NULL, CONTROL},
                                        {"COMMIT", NULL, CONTROL},
                                        {"END", NULL, CONTROL},
                                        {"RELEASE", NULL, CONTROL},
                                        {"ROLLBACK", NULL, CONTROL},
                                        {"SAVEPOINT", NULL, CONTROL},
                                        {"ATTACH", NULL, SESSION},
                                        {"DETACH", NULL, SESSION},
                                        {NULL, NULL, 0}};

static const char *const touch[] = {"LOAD_EXTENSION", NULL};

/* Settings that are kept in the file, actions on the file, and questions whose
** argument is the name of a table. */
static const struct prg_pragma pragmas[] = {
    {"APPLICATION_ID", PRG_SCAN_READ, 0},
    {"AUTO_VACUUM", PRG_SCAN_READ, 0},
    {"DEFAULT_CACHE_SIZE", PRG_SCAN_READ, 0},
    {"ENCODING", PRG_SCAN_READ, 0},
    {"JOURNAL_MODE", PRG_SCAN_READ, 0},
    {"PAGE_SIZE", PRG_SCAN_READ, 0},
    {"SCHEMA_VERSION", PRG_SCAN_READ, 0},
    {"USER_VERSION", PRG_SCAN_READ, 0},
    {"INCREMENTAL_VACUUM", 0, 0},
    {"OPTIMIZE", 0, 0},
    {"WAL_CHECKPOINT", 0, 0},
    {"SHRINK_MEMORY", 0, 0},
    {"FOREIGN_KEY_CHECK", PRG_SCAN_READ, PRG_SCAN_READ},
    {"FOREIGN_KEY_LIST", PRG_SCAN_READ, PRG_SCAN_READ},
    {"INDEX_INFO", PRG_SCAN_READ, PRG_SCAN_READ},
    {"INDEX_LIST", PRG_SCAN_READ, PRG_SCAN_READ},
    {"INDEX_XINFO", PRG_SCAN_READ, PRG_SCAN_READ},
    {"INTEGRITY_CHECK", PRG_SCAN_READ, PRG_SCAN_READ},
    {"QUICK_CHECK", PRG_SCAN_READ, PRG_SCAN_READ},
    {"TABLE_INFO", PRG_SCAN_READ, PRG_SCAN_READ},
    {"TABLE_LIST", PRG_SCAN_READ, PRG_SCAN_READ},
    {"TABLE_XINFO", PRG_SCAN_READ, PRG_SCAN_READ},
    {NULL, 0, 0}};

/* A transaction of SQLite is serializable, whatever it asks for. */
static void begin(unsigned level, const struct prg_tx_options *o,
                  struct prg_buf *out) {
  (void)level;
  prg_buf_adds(out, o->readonly ? "BEGIN" : "BEGIN IMMEDIATE");
}

const struct prg_dialect prg_dialect_sqlite = {
    .name = "sqlite",
    .lex = PRG_LEX_BACKTICK | PRG_LEX_BRACKET | PRG_LEX_NATIVE_PARAM,
    .ident_quote = '"',
    .param = PRG_PARAM_NUMBERED,
    .max_params = 0, /* a property of the connection: sqlite3_limit */
    .max_ident = 0,
    .temp_schema = "TEMP",
    .touch = touch,
    .verbs = verbs,
    .pragmas = pragmas,
    .isolation = PRG_ISO_SERIALIZABLE,
    .readonly = true,
    .deferrable = false,
    .build = PRG_BUILD_LIST | PRG_BUILD_RETURNING | PRG_BUILD_ON_CONFLICT |
             PRG_BUILD_NULLS | PRG_BUILD_GLOB | PRG_BUILD_LIMIT_ALL |
             PRG_BUILD_CANON | PRG_BUILD_NO_NAN | PRG_BUILD_DECIMAL15 |
             PRG_BUILD_ROWID,
    .few = 32,
    .limit_all = "-1",
    .differs = {"", " IS NOT ", ""},
    .like = {"", " GLOB ", ""},
    .ilike = {"", " LIKE ", " ESCAPE '\\'"},
    .has_json = {"perigee_json_contains(", ", ", ")"},
    .has_jsonb = {"perigee_json_contains(", ", ", ")"},
    .begin = begin};
