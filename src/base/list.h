/*
** Intrusive doubly linked list that knows its length. A state of an object is
** the list that it is in, so that state and membership cannot disagree.
** A link that is in no list has next == NULL.
*/
#ifndef PRG_BASE_LIST_H
#define PRG_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct prg_link {
  struct prg_link *next, *prev;
};

struct prg_list {
  struct prg_link head; /* sentinel: head.next is the first element */
  size_t count;
};

static inline void prg_list_init(struct prg_list *l) {
  l->head.next = l->head.prev = &l->head;
  l->count = 0;
}

static inline bool prg_link_linked(const struct prg_link *k) {
  return k->next != NULL;
}

static inline void prg_list_push_back(struct prg_list *l, struct prg_link *k) {
  k->prev = l->head.prev;
  k->next = &l->head;
  l->head.prev->next = k;
  l->head.prev = k;
  l->count++;
}

static inline void prg_list_push_front(struct prg_list *l, struct prg_link *k) {
  k->next = l->head.next;
  k->prev = &l->head;
  l->head.next->prev = k;
  l->head.next = k;
  l->count++;
}

static inline void prg_list_remove(struct prg_list *l, struct prg_link *k) {
  k->prev->next = k->next;
  k->next->prev = k->prev;
  k->next = k->prev = NULL;
  l->count--;
}

static inline struct prg_link *prg_list_first(struct prg_list *l) {
  return l->head.next == &l->head ? NULL : l->head.next;
}

static inline struct prg_link *prg_list_last(struct prg_list *l) {
  return l->head.prev == &l->head ? NULL : l->head.prev;
}

/* The element after `k`, or NULL at the end. */
static inline struct prg_link *prg_list_next(struct prg_list *l,
                                             struct prg_link *k) {
  return k->next == &l->head ? NULL : k->next;
}

static inline struct prg_link *prg_list_pop_front(struct prg_list *l) {
  struct prg_link *k = prg_list_first(l);
  if (k != NULL) prg_list_remove(l, k);
  return k;
}

#endif
