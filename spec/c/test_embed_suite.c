/* The LuaUnit suite of spec/embed/, in a program through perigee.h. */
#include "embed_bed.h"

int main(void) {
  perigee_options o;
  perigee_options_init(&o);
  o.libraries = PERIGEE_LIB_ALL;
  perigee *rt = bed_open(&o);
  perigee_function *f = NULL;
  perigee_task *t = NULL;
  GOOD(f = perigee_load_file(rt, "spec/embed/suite.lua", &err));
  GOOD(t = perigee_start(f, NULL, 0, &err));
  perigee_function_free(f);
  GOOD(perigee_wait(t, 50, &err));
  const perigee_error *e = perigee_task_error(t);
  if (!CHECK(e == NULL)) fprintf(stderr, "  %s\n", e->message);
  CHECK(perigee_as_integer(perigee_task_results(t, NULL), -1) == 0);
  perigee_task_free(t);
  bed_close(rt);
  return check_result();
}
