/*
** A game whose rules are in a script (mod.lua), which it calls for each tick. The
** script gives orders back, calls functions of the game, and has a database. A
** function of the script that never ends is stopped; the game goes on.
**
**     ./game mod.lua
*/
#include <perigee.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit {
  const char *name;
  int x, hp;
};

static struct unit units[] = {
    {"wolf", 0, 20}, {"sheep", 4, 10}, {"goat", 9, 4}};
enum { UNITS = sizeof units / sizeof *units };

static struct unit *find_unit(const perigee_value *name) {
  int i;
  for (i = 0; i < UNITS; i++)
    if (strcmp(perigee_as_text(name, ""), units[i].name) == 0) return &units[i];
  return NULL;
}

/* ---- what scripts call ----------------------------------------------------- */

/* game.distance(a, b) */
static int game_distance(perigee_call *call, void *data) {
  const struct unit *a = find_unit(perigee_arg(call, 0));
  const struct unit *b = find_unit(perigee_arg(call, 1));
  perigee_value result;
  (void)data;
  if (a == NULL || b == NULL)
    return perigee_fail(call, PERIGEE_E_SCRIPT, "there is no such unit");
  result = perigee_integer(abs(a->x - b->x));
  return perigee_return(call, &result, 1);
}

/* game.hit(name, points) */
static int game_hit(perigee_call *call, void *data) {
  struct unit *u = find_unit(perigee_arg(call, 0));
  int points = (int)perigee_as_integer(perigee_arg(call, 1), -1);
  (void)data;
  if (u == NULL || points < 0)
    return perigee_fail(call, PERIGEE_E_SCRIPT, "hit: a unit and points");
  u->hp -= points;
  printf("  %s is hit: %d\n", u->name, u->hp);
  return 0;
}

/* ---- calling scripts --------------------------------------------------------- */

static void die(const char *what, const perigee_error *err) {
  fprintf(stderr, "game: %s: %s\n", what, err == NULL ? "?" : err->message);
  exit(1);
}

/* Calls a function of the script and waits for its end; the task is to be freed.
** A game would rather look at the task in its next frame. */
static perigee_task *call(perigee *rt, const char *name,
                          const perigee_value *args, size_t n) {
  perigee_error *err = NULL;
  perigee_function *f = perigee_find(rt, name, &err);
  perigee_task *t = f == NULL ? NULL : perigee_start(f, args, n, &err);
  if (t == NULL || perigee_wait(t, 5, &err) < 0) die(name, err);
  perigee_function_free(f);
  if (perigee_task_error(t) != NULL)
    printf("  %s failed: %s\n", name, perigee_task_error(t)->message);
  return t;
}

static void obey(const perigee_value *orders) {
  size_t i;
  for (i = 0; i < orders->count; i++) {
    const perigee_value *order = perigee_item(orders, i);
    struct unit *u = find_unit(perigee_get(order, "unit"));
    int move = (int)perigee_as_integer(perigee_get(order, "move"), 0);
    if (u == NULL || move == 0) continue;
    u->x += move;
    printf("  %s goes to %d\n", u->name, u->x);
  }
}

static void tick(perigee *rt, int number) {
  perigee_field fields[UNITS][3];
  perigee_value list[UNITS], args[2];
  perigee_task *t;
  size_t n;
  const perigee_value *results;
  int i;
  printf("tick %d\n", number);
  for (i = 0; i < UNITS; i++) {
    fields[i][0] = perigee_pair("name", perigee_text(units[i].name));
    fields[i][1] = perigee_pair("x", perigee_integer(units[i].x));
    fields[i][2] = perigee_pair("hp", perigee_integer(units[i].hp));
    list[i] = perigee_record(fields[i], 3);
  }
  args[0] = perigee_integer(number);
  args[1] = perigee_list(list, UNITS);
  t = call(rt, "on_tick", args, 2);
  results = perigee_task_results(t, &n);
  if (n == 1) obey(results);
  perigee_task_free(t);
}

int main(int argc, char **argv) {
  perigee_options options;
  perigee_error *err = NULL;
  perigee_function *script;
  perigee_task *t;
  const perigee_value *lines;
  perigee *rt;
  size_t i;
  int number;
  perigee_options_init(&options);
  options.memory = (size_t)16 << 20;
  options.instructions = 1000000;
  rt = perigee_new(&options, &err);
  if (rt == NULL || perigee_open(rt, "db", "sqlite::memory:", NULL, &err) < 0 ||
      perigee_register(rt, "game.distance", game_distance, NULL, &err) < 0 ||
      perigee_register(rt, "game.hit", game_hit, NULL, &err) < 0)
    die("start", err);
  script = perigee_load_file(rt, argc > 1 ? argv[1] : "mod.lua", &err);
  t = script == NULL ? NULL : perigee_start(script, NULL, 0, &err);
  if (t == NULL || perigee_wait(t, 5, &err) < 0) die("script", err);
  if (perigee_task_error(t) != NULL) die("script", perigee_task_error(t));
  perigee_task_free(t);
  perigee_function_free(script);
  for (number = 1; number <= 4; number++) {
    tick(rt, number);
    if (number == 2) perigee_task_free(call(rt, "on_storm", NULL, 0));
  }
  t = call(rt, "on_end", NULL, 0);
  lines = perigee_task_results(t, NULL);
  for (i = 0; lines != NULL && i < lines->count; i++)
    printf("%s\n", perigee_as_text(perigee_item(lines, i), "?"));
  perigee_task_free(t);
  if (perigee_close(rt, 5, &err) < 0) die("close", err);
  perigee_free(rt);
  return 0;
}
