/*
** The type catalogue: PostgreSQL's own types as a table, and those of the
** database (enums, domains, composites, ranges, extensions' types, arrays of
** all these) as the server described them, found by OID.
**
** Learnt types live in one arena and are never changed: a type that changed on
** the server is a new object, so that results that are still being read keep
** their description. A type learnt anew that has not changed is the old object.
*/
#include "driver/postgres/pg_types.h"

#include <stdlib.h>

#include "base/mem.h"
#include "driver/postgres/pg_types_int.h"

/* PostgreSQL 15's pg_type.dat, without what no column can have; sorted. These
** numbers never change (PostgreSQL documentation, "System Catalog Initial
** Data"). */
static const struct pg_type builtin[] = {
    /* long: table */
    {16, "bool", PG_C_BOOL, 0, ',', 0, NULL},
    {17, "bytea", PG_C_BYTEA, 0, ',', 0, NULL},
    {18, "char", PG_C_CHAR, 0, ',', 0, NULL},
    {19, "name", PG_C_TEXT, 0, ',', 0, NULL},
    {20, "int8", PG_C_INT8, 0, ',', 0, NULL},
    {21, "int2", PG_C_INT2, 0, ',', 0, NULL},
    {22, "int2vector", PG_C_VECTOR, 21, ',', 0, NULL},
    {23, "int4", PG_C_INT4, 0, ',', 0, NULL},
    {24, "regproc", PG_C_OTHER, 0, ',', 0, NULL},
    {25, "text", PG_C_TEXT, 0, ',', 0, NULL},
    {26, "oid", PG_C_OID, 0, ',', 0, NULL},
    {27, "tid", PG_C_TID, 0, ',', 0, NULL},
    {28, "xid", PG_C_OID, 0, ',', 0, NULL},
    {29, "cid", PG_C_OID, 0, ',', 0, NULL},
    {30, "oidvector", PG_C_VECTOR, 26, ',', 0, NULL},
    {114, "json", PG_C_JSON, 0, ',', 0, NULL},
    {142, "xml", PG_C_TEXT, 0, ',', 0, NULL},
    {143, "_xml", PG_C_ARRAY, 142, ',', 0, NULL},
    {194, "pg_node_tree", PG_C_OTHER, 0, ',', 0, NULL},
    {199, "_json", PG_C_ARRAY, 114, ',', 0, NULL},
    {271, "_xid8", PG_C_ARRAY, 5069, ',', 0, NULL},
    {600, "point", PG_C_OTHER, 0, ',', 0, NULL},
    {601, "lseg", PG_C_OTHER, 0, ',', 0, NULL},
    {602, "path", PG_C_OTHER, 0, ',', 0, NULL},
    {603, "box", PG_C_OTHER, 0, ';', 0, NULL},
    {604, "polygon", PG_C_OTHER, 0, ',', 0, NULL},
    {628, "line", PG_C_OTHER, 0, ',', 0, NULL},
    {629, "_line", PG_C_ARRAY, 628, ',', 0, NULL},
    {650, "cidr", PG_C_INET, 0, ',', 0, NULL},
    {651, "_cidr", PG_C_ARRAY, 650, ',', 0, NULL},
    {700, "float4", PG_C_FLOAT4, 0, ',', 0, NULL},
    {701, "float8", PG_C_FLOAT8, 0, ',', 0, NULL},
    {705, "unknown", PG_C_TEXT, 0, ',', 0, NULL},
    {718, "circle", PG_C_OTHER, 0, ',', 0, NULL},
    {719, "_circle", PG_C_ARRAY, 718, ',', 0, NULL},
    {774, "macaddr8", PG_C_MACADDR, 0, ',', 0, NULL},
    {775, "_macaddr8", PG_C_ARRAY, 774, ',', 0, NULL},
    {790, "money", PG_C_OTHER, 0, ',', 0, NULL},
    {791, "_money", PG_C_ARRAY, 790, ',', 0, NULL},
    {829, "macaddr", PG_C_MACADDR, 0, ',', 0, NULL},
    {869, "inet", PG_C_INET, 0, ',', 0, NULL},
    {1000, "_bool", PG_C_ARRAY, 16, ',', 0, NULL},
    {1001, "_bytea", PG_C_ARRAY, 17, ',', 0, NULL},
    {1002, "_char", PG_C_ARRAY, 18, ',', 0, NULL},
    {1003, "_name", PG_C_ARRAY, 19, ',', 0, NULL},
    {1005, "_int2", PG_C_ARRAY, 21, ',', 0, NULL},
    {1006, "_int2vector", PG_C_ARRAY, 22, ',', 0, NULL},
    {1007, "_int4", PG_C_ARRAY, 23, ',', 0, NULL},
    {1008, "_regproc", PG_C_ARRAY, 24, ',', 0, NULL},
    {1009, "_text", PG_C_ARRAY, 25, ',', 0, NULL},
    {1010, "_tid", PG_C_ARRAY, 27, ',', 0, NULL},
    {1011, "_xid", PG_C_ARRAY, 28, ',', 0, NULL},
    {1012, "_cid", PG_C_ARRAY, 29, ',', 0, NULL},
    {1013, "_oidvector", PG_C_ARRAY, 30, ',', 0, NULL},
    {1014, "_bpchar", PG_C_ARRAY, 1042, ',', 0, NULL},
    {1015, "_varchar", PG_C_ARRAY, 1043, ',', 0, NULL},
    {1016, "_int8", PG_C_ARRAY, 20, ',', 0, NULL},
    {1017, "_point", PG_C_ARRAY, 600, ',', 0, NULL},
    {1018, "_lseg", PG_C_ARRAY, 601, ',', 0, NULL},
    {1019, "_path", PG_C_ARRAY, 602, ',', 0, NULL},
    {1020, "_box", PG_C_ARRAY, 603, ';', 0, NULL},
    {1021, "_float4", PG_C_ARRAY, 700, ',', 0, NULL},
    {1022, "_float8", PG_C_ARRAY, 701, ',', 0, NULL},
    {1027, "_polygon", PG_C_ARRAY, 604, ',', 0, NULL},
    {1028, "_oid", PG_C_ARRAY, 26, ',', 0, NULL},
    {1033, "aclitem", PG_C_OTHER, 0, ',', 0, NULL},
    {1034, "_aclitem", PG_C_ARRAY, 1033, ',', 0, NULL},
    {1040, "_macaddr", PG_C_ARRAY, 829, ',', 0, NULL},
    {1041, "_inet", PG_C_ARRAY, 869, ',', 0, NULL},
    {1042, "bpchar", PG_C_TEXT, 0, ',', 0, NULL},
    {1043, "varchar", PG_C_TEXT, 0, ',', 0, NULL},
    {1082, "date", PG_C_DATE, 0, ',', 0, NULL},
    {1083, "time", PG_C_TIME, 0, ',', 0, NULL},
    {1114, "timestamp", PG_C_TIMESTAMP, 0, ',', 0, NULL},
    {1115, "_timestamp", PG_C_ARRAY, 1114, ',', 0, NULL},
    {1182, "_date", PG_C_ARRAY, 1082, ',', 0, NULL},
    {1183, "_time", PG_C_ARRAY, 1083, ',', 0, NULL},
    {1184, "timestamptz", PG_C_TIMESTAMPTZ, 0, ',', 0, NULL},
    {1185, "_timestamptz", PG_C_ARRAY, 1184, ',', 0, NULL},
    {1186, "interval", PG_C_INTERVAL, 0, ',', 0, NULL},
    {1187, "_interval", PG_C_ARRAY, 1186, ',', 0, NULL},
    {1231, "_numeric", PG_C_ARRAY, 1700, ',', 0, NULL},
    {1263, "_cstring", PG_C_ARRAY, 2275, ',', 0, NULL},
    {1266, "timetz", PG_C_TIMETZ, 0, ',', 0, NULL},
    {1270, "_timetz", PG_C_ARRAY, 1266, ',', 0, NULL},
    {1560, "bit", PG_C_BIT, 0, ',', 0, NULL},
    {1561, "_bit", PG_C_ARRAY, 1560, ',', 0, NULL},
    {1562, "varbit", PG_C_BIT, 0, ',', 0, NULL},
    {1563, "_varbit", PG_C_ARRAY, 1562, ',', 0, NULL},
    {1700, "numeric", PG_C_NUMERIC, 0, ',', 0, NULL},
    {1790, "refcursor", PG_C_TEXT, 0, ',', 0, NULL},
    {2201, "_refcursor", PG_C_ARRAY, 1790, ',', 0, NULL},
    {2202, "regprocedure", PG_C_OTHER, 0, ',', 0, NULL},
    {2203, "regoper", PG_C_OTHER, 0, ',', 0, NULL},
    {2204, "regoperator", PG_C_OTHER, 0, ',', 0, NULL},
    {2205, "regclass", PG_C_OTHER, 0, ',', 0, NULL},
    {2206, "regtype", PG_C_OTHER, 0, ',', 0, NULL},
    {2207, "_regprocedure", PG_C_ARRAY, 2202, ',', 0, NULL},
    {2208, "_regoper", PG_C_ARRAY, 2203, ',', 0, NULL},
    {2209, "_regoperator", PG_C_ARRAY, 2204, ',', 0, NULL},
    {2210, "_regclass", PG_C_ARRAY, 2205, ',', 0, NULL},
    {2211, "_regtype", PG_C_ARRAY, 2206, ',', 0, NULL},
    {2249, "record", PG_C_RECORD, 0, ',', 0, NULL},
    {2275, "cstring", PG_C_TEXT, 0, ',', 0, NULL},
    {2277, "anyarray", PG_C_OTHER, 0, ',', 0, NULL},
    {2278, "void", PG_C_VOID, 0, ',', 0, NULL},
    {2287, "_record", PG_C_ARRAY, 2249, ',', 0, NULL},
    {2949, "_txid_snapshot", PG_C_ARRAY, 2970, ',', 0, NULL},
    {2950, "uuid", PG_C_UUID, 0, ',', 0, NULL},
    {2951, "_uuid", PG_C_ARRAY, 2950, ',', 0, NULL},
    {2970, "txid_snapshot", PG_C_OTHER, 0, ',', 0, NULL},
    {3220, "pg_lsn", PG_C_LSN, 0, ',', 0, NULL},
    {3221, "_pg_lsn", PG_C_ARRAY, 3220, ',', 0, NULL},
    {3361, "pg_ndistinct", PG_C_OTHER, 0, ',', 0, NULL},
    {3402, "pg_dependencies", PG_C_OTHER, 0, ',', 0, NULL},
    {3614, "tsvector", PG_C_OTHER, 0, ',', 0, NULL},
    {3615, "tsquery", PG_C_OTHER, 0, ',', 0, NULL},
    {3642, "gtsvector", PG_C_OTHER, 0, ',', 0, NULL},
    {3643, "_tsvector", PG_C_ARRAY, 3614, ',', 0, NULL},
    {3644, "_gtsvector", PG_C_ARRAY, 3642, ',', 0, NULL},
    {3645, "_tsquery", PG_C_ARRAY, 3615, ',', 0, NULL},
    {3734, "regconfig", PG_C_OTHER, 0, ',', 0, NULL},
    {3735, "_regconfig", PG_C_ARRAY, 3734, ',', 0, NULL},
    {3769, "regdictionary", PG_C_OTHER, 0, ',', 0, NULL},
    {3770, "_regdictionary", PG_C_ARRAY, 3769, ',', 0, NULL},
    {3802, "jsonb", PG_C_JSONB, 0, ',', 0, NULL},
    {3807, "_jsonb", PG_C_ARRAY, 3802, ',', 0, NULL},
    {3904, "int4range", PG_C_RANGE, 23, ',', 0, NULL},
    {3905, "_int4range", PG_C_ARRAY, 3904, ',', 0, NULL},
    {3906, "numrange", PG_C_RANGE, 1700, ',', 0, NULL},
    {3907, "_numrange", PG_C_ARRAY, 3906, ',', 0, NULL},
    {3908, "tsrange", PG_C_RANGE, 1114, ',', 0, NULL},
    {3909, "_tsrange", PG_C_ARRAY, 3908, ',', 0, NULL},
    {3910, "tstzrange", PG_C_RANGE, 1184, ',', 0, NULL},
    {3911, "_tstzrange", PG_C_ARRAY, 3910, ',', 0, NULL},
    {3912, "daterange", PG_C_RANGE, 1082, ',', 0, NULL},
    {3913, "_daterange", PG_C_ARRAY, 3912, ',', 0, NULL},
    {3926, "int8range", PG_C_RANGE, 20, ',', 0, NULL},
    {3927, "_int8range", PG_C_ARRAY, 3926, ',', 0, NULL},
    {4072, "jsonpath", PG_C_VTEXT, 0, ',', 0, NULL},
    {4073, "_jsonpath", PG_C_ARRAY, 4072, ',', 0, NULL},
    {4089, "regnamespace", PG_C_OTHER, 0, ',', 0, NULL},
    {4090, "_regnamespace", PG_C_ARRAY, 4089, ',', 0, NULL},
    {4096, "regrole", PG_C_OTHER, 0, ',', 0, NULL},
    {4097, "_regrole", PG_C_ARRAY, 4096, ',', 0, NULL},
    {4191, "regcollation", PG_C_OTHER, 0, ',', 0, NULL},
    {4192, "_regcollation", PG_C_ARRAY, 4191, ',', 0, NULL},
    {4451, "int4multirange", PG_C_MULTIRANGE, 3904, ',', 0, NULL},
    {4532, "nummultirange", PG_C_MULTIRANGE, 3906, ',', 0, NULL},
    {4533, "tsmultirange", PG_C_MULTIRANGE, 3908, ',', 0, NULL},
    {4534, "tstzmultirange", PG_C_MULTIRANGE, 3910, ',', 0, NULL},
    {4535, "datemultirange", PG_C_MULTIRANGE, 3912, ',', 0, NULL},
    {4536, "int8multirange", PG_C_MULTIRANGE, 3926, ',', 0, NULL},
    {5017, "pg_mcv_list", PG_C_OTHER, 0, ',', 0, NULL},
    {5038, "pg_snapshot", PG_C_OTHER, 0, ',', 0, NULL},
    {5039, "_pg_snapshot", PG_C_ARRAY, 5038, ',', 0, NULL},
    {5069, "xid8", PG_C_XID8, 0, ',', 0, NULL},
    {6150, "_int4multirange", PG_C_ARRAY, 4451, ',', 0, NULL},
    {6151, "_nummultirange", PG_C_ARRAY, 4532, ',', 0, NULL},
    {6152, "_tsmultirange", PG_C_ARRAY, 4533, ',', 0, NULL},
    {6153, "_tstzmultirange", PG_C_ARRAY, 4534, ',', 0, NULL},
    {6155, "_datemultirange", PG_C_ARRAY, 4535, ',', 0, NULL},
    {6157, "_int8multirange", PG_C_ARRAY, 4536, ',', 0, NULL},
};

enum { BUILTINS = sizeof builtin / sizeof builtin[0], BUCKETS = 256 };
enum { MAX_WANTED = 16, MAX_ATTS = 1664 };
/* The table begins with these numbers one behind the other: bool to oidvector. */
enum { FIRST = 16, LAST_IN_ROW = 30 };

/* What is not known: a string in text format. */
static const struct pg_type plain = {0, "", PG_C_OTHER, 0, ',', 0, NULL};

struct learnt {
  struct pg_type type;
  struct learnt *next; /* in the bucket */
  bool live;           /* false: forgotten, kept for comparison */
};

struct pg_catalog {
  struct prg_arena arena; /* of the learnt types */
  struct learnt *bucket[BUCKETS];
  unsigned generation;
  uint32_t wanted[MAX_WANTED];
  size_t nwanted;
};

struct pg_catalog *pg_catalog_new(void) {
  struct pg_catalog *cat = prg_calloc(1, sizeof *cat);
  if (cat == NULL) return NULL;
  prg_arena_init(&cat->arena);
  cat->generation = 1;
  return cat;
}

void pg_catalog_free(struct pg_catalog *cat) {
  if (cat == NULL) return;
  prg_arena_fini(&cat->arena);
  prg_free(cat);
}

/* ---- finding ------------------------------------------------------------- */

static const struct pg_type *find_builtin(uint32_t oid) {
  size_t lo = 0, hi = BUILTINS;
  if (oid >= FIRST && oid <= LAST_IN_ROW) return &builtin[oid - FIRST];
  while (lo < hi) {
    size_t mid = (lo + hi) / 2;
    if (builtin[mid].oid < oid)
      lo = mid + 1;
    else
      hi = mid;
  }
  return lo < BUILTINS && builtin[lo].oid == oid ? &builtin[lo] : NULL;
}

/* Dead or alive. */
static struct learnt *find_learnt(const struct pg_catalog *cat, uint32_t oid) {
  struct learnt *l = cat->bucket[oid % BUCKETS];
  while (l != NULL && l->type.oid != oid) l = l->next;
  return l;
}

static const struct pg_type *find(const struct pg_catalog *cat, uint32_t oid) {
  const struct pg_type *t = find_builtin(oid);
  if (t != NULL) return t;
  const struct learnt *l = find_learnt(cat, oid);
  return l != NULL && l->live ? &l->type : NULL;
}

const struct pg_type *pg_type_find(const struct pg_catalog *cat, uint32_t oid) {
  const struct pg_type *t = find(cat, oid);
  return t != NULL ? t : &plain;
}

const struct pg_type *pg_type_base(const struct pg_catalog *cat,
                                   const struct pg_type *t) {
  for (int i = 0; t->codec == PG_C_DOMAIN && i < PG_MAX_DEPTH; i++)
    t = pg_type_find(cat, t->elem);
  return t;
}

static bool knows(const struct pg_catalog *cat, uint32_t oid, int depth) {
  const struct pg_type *t = find(cat, oid);
  if (t == NULL || depth > PG_MAX_DEPTH) return t != NULL;
  if (t->elem != 0 && !knows(cat, t->elem, depth + 1)) return false;
  for (size_t i = 0; i < t->natts; i++)
    if (!knows(cat, t->atts[i].oid, depth + 1)) return false;
  return true;
}

bool pg_catalog_knows(const struct pg_catalog *cat, uint32_t oid) {
  return oid == 0 || knows(cat, oid, 0);
}

static bool is_binary(const struct pg_catalog *cat, const struct pg_type *t,
                      int depth) {
  if (t->codec == PG_C_OTHER || depth > PG_MAX_DEPTH) return false;
  if (t->elem != 0 && !is_binary(cat, pg_type_find(cat, t->elem), depth + 1))
    return false;
  for (size_t i = 0; i < t->natts; i++)
    if (!is_binary(cat, pg_type_find(cat, t->atts[i].oid), depth + 1))
      return false;
  return true;
}

bool pg_type_binary(const struct pg_catalog *cat, const struct pg_type *t) {
  return is_binary(cat, t, 0);
}

const char *pg_type_name(const struct pg_type *t) {
  return t->name;
}

uint32_t pg_type_oid(const struct pg_type *t) {
  return t->oid;
}

const char *pg_type_title(const struct pg_type *t) {
  switch (t->oid) {
    case 16:
      return "boolean";
    case 20:
      return "bigint";
    case 21:
      return "smallint";
    case 23:
      return "integer";
    case 700:
      return "real";
    case 701:
      return "double precision";
    default:
      return t->name[0] != '\0' ? t->name : "unknown";
  }
}

static enum pg_fast binary_fast(enum pg_codec codec) {
  switch ((int)codec) {
    case PG_C_TEXT:
      return PG_FAST_TEXT;
    case PG_C_CHAR:
      return PG_FAST_CHAR;
    case PG_C_BYTEA:
      return PG_FAST_BYTES;
    case PG_C_JSON:
      return PG_FAST_JSON;
    case PG_C_JSONB:
      return PG_FAST_JSONB;
    case PG_C_BOOL:
      return PG_FAST_BOOL;
    case PG_C_INT2:
      return PG_FAST_INT2;
    case PG_C_INT4:
      return PG_FAST_INT4;
    case PG_C_INT8:
      return PG_FAST_INT8;
    case PG_C_OID:
      return PG_FAST_OID;
    case PG_C_FLOAT4:
      return PG_FAST_FLOAT4;
    case PG_C_FLOAT8:
      return PG_FAST_FLOAT8;
    default:
      return PG_FAST_NONE;
  }
}

enum pg_fast pg_type_fast(const struct pg_type *t, int format) {
  if (format == PG_BINARY_FORMAT) return binary_fast(t->codec);
  switch ((int)t->codec) {
    case PG_C_JSON:
    case PG_C_JSONB:
      return PG_FAST_JSON;
    case PG_C_OTHER:
    case PG_C_TEXT:
    case PG_C_VTEXT:
    case PG_C_DATE:
    case PG_C_TIME:
    case PG_C_TIMETZ:
    case PG_C_INTERVAL:
    case PG_C_UUID:
    case PG_C_INET:
    case PG_C_MACADDR:
    case PG_C_BIT:
    case PG_C_TID:
    case PG_C_LSN:
      return PG_FAST_TEXT;
    default:
      return PG_FAST_NONE;
  }
}

/* ---- forgetting ---------------------------------------------------------- */

void pg_catalog_forget(struct pg_catalog *cat, uint32_t oid) {
  struct learnt *l = find_learnt(cat, oid);
  if (l == NULL || !l->live) return;
  l->live = false;
  cat->generation++;
}

void pg_catalog_expire(struct pg_catalog *cat) {
  for (size_t i = 0; i < BUCKETS; i++)
    for (struct learnt *l = cat->bucket[i]; l != NULL; l = l->next)
      l->live = false;
  cat->generation++;
}

unsigned pg_catalog_generation(const struct pg_catalog *cat) {
  return cat->generation;
}

void pg_catalog_want(struct pg_catalog *cat, uint32_t oid) {
  for (size_t i = 0; i < cat->nwanted; i++)
    if (cat->wanted[i] == oid) return;
  if (cat->nwanted < MAX_WANTED) cat->wanted[cat->nwanted++] = oid;
}

size_t pg_catalog_wanted(const struct pg_catalog *cat, const uint32_t **oids) {
  *oids = cat->wanted;
  return cat->nwanted;
}

static void unwant(struct pg_catalog *cat, uint32_t oid) {
  for (size_t i = 0; i < cat->nwanted; i++)
    if (cat->wanted[i] == oid) cat->wanted[i--] = cat->wanted[--cat->nwanted];
}

/* ---- the query ----------------------------------------------------------- */

/* Columns of the answer. An array is told by its output function; `ref` is its
** element, a domain's base, a range's subtype or a multirange's range. */
enum {
  Q_OID,
  Q_NAME,
  Q_KIND,
  Q_DELIM,
  Q_ARRAY,
  Q_REF,
  Q_EXT,
  Q_ATTS,
  Q_TYPES,
  Q_COUNT
};

static const char query_head[] =
    "WITH RECURSIVE want(oid) AS (SELECT pg_catalog.unnest('{";
/* Multiranges came with PostgreSQL 14: %s is what tells them. */
static const char query_tail[] =
    "}'::pg_catalog.oid[]) UNION SELECT d.o FROM want w"
    " JOIN pg_catalog.pg_type t ON t.oid = w.oid"
    " CROSS JOIN LATERAL (SELECT t.typelem UNION ALL SELECT t.typbasetype"
    " UNION ALL SELECT r.rngsubtype FROM pg_catalog.pg_range r"
    " WHERE r.rngtypid = t.oid%s"
    " UNION ALL SELECT a.atttypid FROM pg_catalog.pg_attribute a"
    " WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0"
    " AND NOT a.attisdropped) d(o) WHERE d.o <> 0)"
    " SELECT w.oid, t.typname, t.typtype, t.typdelim,"
    " t.typsend = 'pg_catalog.array_send'::pg_catalog.regproc,"
    " CASE t.typtype WHEN 'd' THEN t.typbasetype"
    " WHEN 'r' THEN (SELECT r.rngsubtype FROM pg_catalog.pg_range r"
    " WHERE r.rngtypid = t.oid)%s ELSE t.typelem END,"
    " (SELECT e.extname FROM pg_catalog.pg_depend d"
    " JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid"
    " WHERE d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass"
    " AND d.objid = t.oid AND d.deptype = 'e' AND d.refclassid ="
    " 'pg_catalog.pg_extension'::pg_catalog.regclass LIMIT 1),"
    " a.names, a.types FROM want w"
    " LEFT JOIN pg_catalog.pg_type t ON t.oid = w.oid"
    " LEFT JOIN LATERAL (SELECT"
    " pg_catalog.array_agg(a.attname ORDER BY a.attnum) AS names,"
    " pg_catalog.array_agg(a.atttypid ORDER BY a.attnum) AS types"
    " FROM pg_catalog.pg_attribute a WHERE t.typtype = 'c'"
    " AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) a"
    " ON true";

void pg_catalog_query(int server_version, const uint32_t *oids, size_t n,
                      struct prg_buf *out) {
  bool multi = server_version >= 140000;
  prg_buf_adds(out, query_head);
  for (size_t i = 0; i < n; i++)
    prg_buf_addf(out, i == 0 ? "%lu" : ",%lu", (unsigned long)oids[i]);
  prg_buf_addf(out, query_tail,
               multi ? " UNION ALL SELECT r.rngtypid FROM pg_catalog.pg_range r"
                       " WHERE r.rngmultitypid = t.oid"
                     : "",
               multi ? " WHEN 'm' THEN (SELECT r.rngtypid FROM"
                       " pg_catalog.pg_range r WHERE r.rngmultitypid = t.oid)"
                     : "");
}

/* ---- learning ------------------------------------------------------------ */

/* `row` are the texts of a row; NULL is as good as nothing. */
static const char *cell(const char *const *row, int col) {
  return row[col] == NULL ? "" : row[col];
}

static uint32_t cell_oid(const char *const *row, int col) {
  return (uint32_t)strtoul(cell(row, col), NULL, 10);
}

/* An extension's type that is more than text: by the names that the extension
** gave it, since its OID differs from database to database. */
static enum pg_codec extension_codec(const char *ext, const char *name) {
  static const struct {
    const char *name;
    enum pg_codec codec;
  } known[] = {
      {"hstore", PG_C_HSTORE}, {"citext", PG_C_TEXT}, {"ltree", PG_C_VTEXT}};
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
    if (strcmp(ext, known[i].name) == 0 && strcmp(name, known[i].name) == 0)
      return known[i].codec;
  return PG_C_OTHER;
}

static enum pg_codec codec_of(const char *const *row) {
  switch (cell(row, Q_KIND)[0]) {
    case 'c':
      return PG_C_COMPOSITE;
    case 'd':
      return PG_C_DOMAIN;
    case 'e':
      return PG_C_TEXT;
    case 'r':
      return PG_C_RANGE;
    case 'm':
      return PG_C_MULTIRANGE;
    default:
      break;
  }
  /* Asked last: a domain over an array has the array's output function. */
  if (cell(row, Q_ARRAY)[0] == 't') return PG_C_ARRAY;
  return extension_codec(cell(row, Q_EXT), cell(row, Q_NAME));
}

/* Reads an array of the answer into an arena. */
static int read_list(struct pg_dec *d, uint32_t array_oid, const char *text,
                     struct prg_value *out) {
  if (text[0] == '\0') text = "{}";
  return pg_dec_text(d, find_builtin(array_oid), text, strlen(text), out);
}

/* The attributes of a composite, in `tmp`. */
static int read_atts(struct pg_dec *d, const char *const *row,
                     struct pg_type *t) {
  struct prg_value names, types;
  if (read_list(d, 1003, cell(row, Q_ATTS), &names) != PRG_OK ||
      read_list(d, 1028, cell(row, Q_TYPES), &types) != PRG_OK)
    return PRG_ERR;
  size_t n = names.u.list->n;
  if (n != types.u.list->n || n > MAX_ATTS)
    return pg_dec_bad(d, t, "attributes");
  struct pg_attr *atts = pg_dec_alloc(d, n, sizeof *atts);
  if (atts == NULL) return PRG_ERR;
  for (size_t i = 0; i < n; i++) {
    atts[i].name = names.u.list->items[i].u.s;
    atts[i].oid = (uint32_t)types.u.list->items[i].u.i;
  }
  t->natts = n;
  t->atts = atts;
  return PRG_OK;
}

static bool same_type(const struct pg_type *a, const struct pg_type *b) {
  if (a->codec != b->codec || a->elem != b->elem || a->delim != b->delim ||
      a->natts != b->natts || strcmp(a->name, b->name) != 0)
    return false;
  for (size_t i = 0; i < a->natts; i++) {
    const struct pg_attr *x = &a->atts[i], *y = &b->atts[i];
    if (x->oid != y->oid || x->name.n != y->name.n ||
        memcmp(x->name.p, y->name.p, x->name.n) != 0)
      return false;
  }
  return true;
}

/* A copy of `t` in the catalogue's own memory, or NULL. */
static struct learnt *clone(struct pg_catalog *cat, const struct pg_type *t) {
  struct learnt *l = prg_arena_alloc(&cat->arena, sizeof *l);
  struct pg_attr *atts =
      prg_arena_alloc(&cat->arena, t->natts * sizeof *atts + 1);
  if (l == NULL || atts == NULL) return NULL;
  l->type = *t;
  l->live = true;
  l->type.name = prg_arena_dup(&cat->arena, t->name, strlen(t->name));
  if (l->type.name == NULL) return NULL;
  l->type.atts = atts;
  for (size_t i = 0; i < t->natts; i++) {
    atts[i] = t->atts[i];
    atts[i].name.p =
        prg_arena_dup(&cat->arena, t->atts[i].name.p, t->atts[i].name.n);
    if (atts[i].name.p == NULL) return NULL;
  }
  return l;
}

/* Puts `t` in the place of whatever has its OID. */
static int store(struct pg_catalog *cat, const struct pg_type *t,
                 struct prg_error **err) {
  struct learnt *old = find_learnt(cat, t->oid);
  if (old == NULL || !same_type(&old->type, t)) {
    struct learnt *fresh = clone(cat, t);
    if (fresh == NULL) {
      *err = prg_error_oom();
      return PRG_ERR;
    }
    struct learnt **at = &cat->bucket[t->oid % BUCKETS];
    while (*at != NULL && *at != old) at = &(*at)->next;
    fresh->next = old != NULL ? old->next : NULL;
    *at = fresh;
    cat->generation++;
  } else if (!old->live) {
    old->live = true;
    cat->generation++;
  }
  unwant(cat, t->oid);
  return PRG_OK;
}

static int learn_row(struct pg_dec *d, const char *const *row) {
  struct pg_catalog *cat = d->cat;
  struct pg_type t = plain;
  t.oid = cell_oid(row, Q_OID);
  if (t.oid == 0 || find_builtin(t.oid) != NULL) return PRG_OK;
  t.name = cell(row, Q_NAME);
  if (row[Q_NAME] != NULL) {
    t.codec = codec_of(row);
    t.delim = cell(row, Q_DELIM)[0];
    if (t.codec != PG_C_OTHER && t.codec != PG_C_COMPOSITE)
      t.elem = cell_oid(row, Q_REF);
    if (t.codec == PG_C_COMPOSITE && read_atts(d, row, &t) != PRG_OK)
      return PRG_ERR;
  }
  return store(cat, &t, d->err);
}

int pg_catalog_learn(struct pg_catalog *cat, struct pg_texts t,
                     struct prg_error **err) {
  if (t.ncols != Q_COUNT) {
    *err = prg_error_new(PRG_K_DATABASE, "no answer about types");
    return PRG_ERR;
  }
  struct prg_arena tmp;
  struct pg_dec d = {cat, &tmp, err, SIZE_MAX, 0};
  int rc = PRG_OK;
  prg_arena_init(&tmp);
  for (size_t row = 0; row < t.nrows && rc == PRG_OK; row++) {
    rc = learn_row(&d, t.cells + row * Q_COUNT);
    prg_arena_reset(&tmp);
  }
  prg_arena_fini(&tmp);
  return rc;
}
