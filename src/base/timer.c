#include "base/timer_int.h"

#include <stddef.h>

/*
** A pairing heap: a tree in which no timer is due before its parent. `child` is
** the first child, `next` the next sibling; `prev` is the previous sibling or,
** for a first child, the parent. Most timers are deadlines that are set and
** cleared without ever being the first, which costs a few pointers here.
*/

static struct prg_timer *meld(struct prg_timer *a, struct prg_timer *b) {
  struct prg_timer *t;
  if (a == NULL) return b;
  if (b == NULL) return a;
  if (b->due < a->due) {
    t = a;
    a = b;
    b = t;
  }
  b->prev = a;
  b->next = a->child;
  if (b->next != NULL) b->next->prev = b;
  a->child = b;
  return a;
}

/* Makes one tree of a list of siblings: pairs from the left, then all of them
** from the right, which is what makes removal O(log n) on average. */
static struct prg_timer *meld_siblings(struct prg_timer *t) {
  struct prg_timer *pairs = NULL, *root = NULL, *a, *b, *rest;
  while (t != NULL) {
    a = t;
    b = a->next;
    rest = b == NULL ? NULL : b->next;
    a->next = a->prev = NULL;
    if (b != NULL) b->next = b->prev = NULL;
    a = meld(a, b);
    a->next = pairs; /* a stack, linked by the root's unused `next` */
    pairs = a;
    t = rest;
  }
  while (pairs != NULL) {
    a = pairs;
    pairs = a->next;
    a->next = NULL;
    root = meld(root, a);
  }
  return root;
}

void prg__timers_add(struct prg_timer **root, struct prg_timer *t) {
  t->child = t->next = t->prev = NULL;
  *root = meld(*root, t);
}

void prg__timers_remove(struct prg_timer **root, struct prg_timer *t) {
  struct prg_timer *sub = meld_siblings(t->child);
  if (*root == t) {
    *root = sub;
  } else {
    if (t->prev->child == t) {
      t->prev->child = t->next;
    } else {
      t->prev->next = t->next;
    }
    if (t->next != NULL) t->next->prev = t->prev;
    *root = meld(*root, sub);
  }
  t->child = t->next = t->prev = NULL;
}
