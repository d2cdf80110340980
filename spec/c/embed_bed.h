/* A runtime for the tests of perigee.h. */
#ifndef PRG_SPEC_EMBED_BED_H
#define PRG_SPEC_EMBED_BED_H

#include <perigee.h>

#include "check.h"

/* Something went wrong that should not: printed, counted and freed. */
static inline void bed_error(perigee_error *err, const char *file, int line) {
  check_that(err == NULL, err == NULL ? "" : err->message, file, line);
  perigee_error_free(err);
}

/* Calls `call`, which has `err` in it, and wants no error. */
#define GOOD(call)                      \
  do {                                  \
    perigee_error *err = NULL;          \
    (void)(call);                       \
    bed_error(err, __FILE__, __LINE__); \
  } while (0)

/* The same, and wants an error of that kind whose message has `text` in it. */
#define BAD(call, wanted, text)                                 \
  do {                                                          \
    perigee_error *err = NULL;                                  \
    (void)(call);                                               \
    if (CHECK(err != NULL)) {                                   \
      CHECK(err->kind == (wanted));                             \
      if (!CHECK(strstr(err->message, (text)) != NULL))         \
        fprintf(stderr, "  %s: %s\n", err->name, err->message); \
    }                                                           \
    perigee_error_free(err);                                    \
  } while (0)

static inline perigee *bed_open(const perigee_options *options) {
  perigee *rt = NULL;
  GOOD(rt = perigee_new(options, &err));
  if (rt == NULL) exit(1);
  return rt;
}

static inline void bed_close(perigee *rt) {
  GOOD(perigee_close(rt, 5, &err));
  perigee_free(rt);
}

/* Starts a text as a task. */
static inline perigee_task *bed_start(perigee *rt, const char *text) {
  perigee_function *f = NULL;
  perigee_task *t = NULL;
  GOOD(f = perigee_load_text(rt, "test", text, strlen(text), &err));
  if (f != NULL) GOOD(t = perigee_start(f, NULL, 0, &err));
  perigee_function_free(f);
  return t;
}

/* Starts it and waits for its end. */
static inline perigee_task *bed_run(perigee *rt, const char *text) {
  perigee_task *t = bed_start(rt, text);
  int ended = 0;
  GOOD(ended = perigee_wait(t, 20, &err));
  CHECK(ended == 1);
  return t;
}

/* Runs a text that must end well and gives one integer. */
static inline int64_t bed_integer(perigee *rt, const char *text) {
  perigee_task *t = bed_run(rt, text);
  const perigee_error *e = perigee_task_error(t);
  int64_t i = perigee_as_integer(perigee_task_results(t, NULL), -1);
  if (!CHECK(e == NULL)) fprintf(stderr, "  %s: %s\n", e->name, e->message);
  perigee_task_free(t);
  return i;
}

/* Runs a text that must end with an error of that kind. */
static inline void bed_fails(perigee *rt, const char *text, int kind,
                             const char *message) {
  perigee_task *t = bed_run(rt, text);
  const perigee_error *e = perigee_task_error(t);
  if (!CHECK(e != NULL && e->kind == kind &&
             strstr(e->message, message) != NULL))
    fprintf(stderr, "  %s\n  %s: %s\n", text, e == NULL ? "-" : e->name,
            e == NULL ? "no error" : e->message);
  CHECK(perigee_task_results(t, NULL) == NULL);
  perigee_task_free(t);
}

#endif
