/* The process we are in. */
#ifndef PRG_BASE_PROCESS_H
#define PRG_BASE_PROCESS_H

/* getpid() without the system call: noted once, and again in a forked child. */
long prg_pid(void);

#endif
