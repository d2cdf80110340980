/* The hub's heap of timers, by due time. */
#ifndef PRG_BASE_TIMER_INT_H
#define PRG_BASE_TIMER_INT_H

#include "base/hub.h"

/* `*root` is the first timer to come due, NULL for none. */
void prg__timers_add(struct prg_timer **root, struct prg_timer *t);
/* `t` must be in the heap. */
void prg__timers_remove(struct prg_timer **root, struct prg_timer *t);

#endif
