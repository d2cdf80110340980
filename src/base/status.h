/* Status codes of every fallible C function of Perigee. */
#ifndef PRG_BASE_STATUS_H
#define PRG_BASE_STATUS_H

enum {
  PRG_OK = 0,    /* done */
  PRG_AGAIN = 1, /* neither success nor failure: will go on when woken */
  PRG_ERR = -1   /* failed; the error object says why */
};

#if defined(__GNUC__)
#define PRG_MUSTCHECK __attribute__((warn_unused_result))
#define PRG_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define PRG_EXPORT __attribute__((visibility("default")))
#else
#define PRG_MUSTCHECK
#define PRG_PRINTF(fmt, args)
#define PRG_EXPORT
#endif

/* The struct of type `type` whose member `member` is at `ptr`. */
#define PRG_CONTAINER(ptr, type, member) \
  ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
