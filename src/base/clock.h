/* Time. Always monotonic, in microseconds, so that a changed wall clock moves
** no deadline. Tests can replace the clock by one that they set. */
#ifndef PRG_BASE_CLOCK_H
#define PRG_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define PRG_NEVER INT64_MAX
#define PRG_MS INT64_C(1000)
#define PRG_SECOND INT64_C(1000000)

/* Microseconds since some fixed moment. */
int64_t prg_now(void);

/* The deadline `seconds` from now; PRG_NEVER for infinity or what overflows. */
int64_t prg_due_in(double seconds);

/* Tests: from now on prg_now() gives `now` until it is set again; a negative
** value returns to the real clock. */
void prg_clock_fake(int64_t now);
bool prg_clock_is_fake(void);

#endif
