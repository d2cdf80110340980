/* What driver.c (connections) and request.c (requests) share. */
#ifndef PRG_DRIVER_DRIVER_INT_H
#define PRG_DRIVER_DRIVER_INT_H

#include "driver/driver.h"

/* Takes a request out of its list, if it is in one, and gives it its answer,
** which it takes over: a ghost's is freed, and so is a ghost that its owner has
** let go. The owner's done() runs unless it is inside submit. */
void prg__req_end(struct prg_req *req, struct prg_result *result,
                  struct prg_error *error);
/* prg_req_deliver without the connection's part. */
void prg__req_deliver(struct prg_req *req, struct prg_result *chunk);
/* PAUSED to SENT; frees the chunk. */
void prg__req_unpause(struct prg_req *req);
/* After the step that followed a submit or resume: what stays gets its timer and,
** while it is queued, a copy of its parameters. */
void prg__req_submitted(struct prg_req *req);
/* "the query took longer than 30 s" */
struct prg_error *prg__timeout_error(const struct prg_req *req, bool sent);
/* Microseconds as "30 s" in `text` (32 bytes); returns it. */
const char *prg__seconds(int64_t us, char *text);

/* Outside of a step, a request went away or (`kick`) became a ghost. The
** connection may be gone on return. */
void prg__conn_changed(struct prg_conn *c, bool kick);

#endif
