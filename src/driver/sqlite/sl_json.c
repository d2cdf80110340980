/*
** perigee_json_contains(document, part): PostgreSQL's document @> part for JSON
** in text columns. Objects contain the keys of the part, recursively; an array
** contains each element of the part somewhere; an array may contain a plain value
** at the top. Numbers are equal by value: 1 and 1.0. NULL gives NULL.
*/
#include "driver/sqlite/sl_int.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#define NAME "perigee_json_contains"

/* ---- containing ---------------------------------------------------------- */

/* Exact also where a double cannot hold the integer. */
static bool int_is_real(json_int_t i, double d) {
  if (!(d >= -9223372036854775808.0 && d < 9223372036854775808.0)) return false;
  return (double)(json_int_t)d == d && (json_int_t)d == i;
}

static bool same_number(const json_t *a, const json_t *b) {
  if (json_is_integer(a) && json_is_integer(b))
    return json_integer_value(a) == json_integer_value(b);
  if (json_is_integer(a))
    return int_is_real(json_integer_value(a), json_real_value(b));
  if (json_is_integer(b))
    return int_is_real(json_integer_value(b), json_real_value(a));
  return json_real_value(a) == json_real_value(b);
}

static bool is_container(const json_t *v) {
  return json_is_object(v) || json_is_array(v);
}

static bool same_scalar(const json_t *a, const json_t *b) {
  if (json_is_number(a) && json_is_number(b)) return same_number(a, b);
  if (json_typeof(a) != json_typeof(b)) return false;
  if (!json_is_string(a)) return !is_container(a);
  return json_string_length(a) == json_string_length(b) &&
         memcmp(json_string_value(a), json_string_value(b),
                json_string_length(a)) == 0;
}

static bool contains(const json_t *doc, const json_t *part);

static bool object_contains(const json_t *doc, json_t *part) {
  const char *key;
  json_t *v;

  if (json_object_size(doc) < json_object_size(part)) return false;
  json_object_foreach(part, key, v) {
    const json_t *own = json_object_get(doc, key);
    if (own == NULL || !contains(own, v)) return false;
  }
  return true;
}

static bool array_has(const json_t *doc, const json_t *v) {
  for (size_t i = 0; i < json_array_size(doc); i++)
    if (contains(json_array_get(doc, i), v)) return true;
  return false;
}

static bool array_contains(const json_t *doc, const json_t *part) {
  for (size_t i = 0; i < json_array_size(part); i++)
    if (!array_has(doc, json_array_get(part, i))) return false;
  return true;
}

/* Jansson ends the nesting of what it reads at 2,048. */
static bool contains(const json_t *doc, const json_t *part) {
  if (json_is_object(doc) && json_is_object(part))
    return object_contains(doc, (json_t *)(uintptr_t)part);
  if (json_is_array(doc) && json_is_array(part))
    return array_contains(doc, part);
  return same_scalar(doc, part);
}

static bool top_contains(const json_t *doc, const json_t *part) {
  if (json_is_array(doc) && !is_container(part)) return array_has(doc, part);
  return contains(doc, part);
}

/* ---- the function -------------------------------------------------------- */

static void free_part(void *p) {
  json_decref(p);
}

/* Reads an argument. NULL when it failed; the error is set. */
static json_t *read_json(sqlite3_context *ctx, sqlite3_value *v,
                         const char *what) {
  json_error_t why = {.line = -1};
  const char *text = NULL;
  json_t *out = NULL;

  if (sqlite3_value_type(v) == SQLITE_BLOB) {
    (void)snprintf(why.text, sizeof(why.text), "it is a blob");
  } else {
    text = (const char *)sqlite3_value_text(v);
    if (text != NULL)
      out = json_loadb(text, (size_t)sqlite3_value_bytes(v),
                       JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
    if (text == NULL || json_error_code(&why) == json_error_out_of_memory) {
      sqlite3_result_error_nomem(ctx);
      return out; /* NULL */
    }
  }
  if (out == NULL) {
    char *msg =
        sqlite3_mprintf(NAME ": the %s is not JSON: %s", what, why.text);
    if (msg == NULL) {
      sqlite3_result_error_nomem(ctx);
      return NULL;
    }
    sqlite3_result_error(ctx, msg, -1);
    sqlite3_result_error_code(ctx, SQLITE_MISMATCH);
    sqlite3_free(msg);
  }
  return out;
}

/* The part is the same for every row as a rule: it is read once. */
static json_t *read_part(sqlite3_context *ctx, sqlite3_value *v) {
  json_t *part = sqlite3_get_auxdata(ctx, 1);

  if (part != NULL) return json_incref(part);
  part = read_json(ctx, v, "part");
  /* May free it at once: ours is a reference of its own. */
  if (part != NULL) sqlite3_set_auxdata(ctx, 1, json_incref(part), free_part);
  return part;
}

static void json_contains(sqlite3_context *ctx, int argc,
                          sqlite3_value **argv) {
  json_t *doc, *part;

  (void)argc;
  if (sqlite3_value_type(argv[0]) == SQLITE_NULL ||
      sqlite3_value_type(argv[1]) == SQLITE_NULL)
    return; /* NULL */
  part = read_part(ctx, argv[1]);
  if (part == NULL) return;
  doc = read_json(ctx, argv[0], "document");
  if (doc != NULL) sqlite3_result_int(ctx, top_contains(doc, part));
  json_decref(doc);
  json_decref(part);
}

int sl_json_register(sqlite3 *db) {
  return sqlite3_create_function_v2(
      db, NAME, 2, SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, NULL,
      json_contains, NULL, NULL, NULL);
}
