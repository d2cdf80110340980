/*
** Memory. The only place that calls malloc, free and mmap. All functions return
** NULL when memory is short and never abort. With prg_mem_fail_after() the
** n-th allocation from now on fails, which is how the fault tests reach every
** error path.
*/
#ifndef PRG_BASE_MEM_H
#define PRG_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>

/* `size` bytes, uninitialised. size 0 is treated as 1. */
void *prg_alloc(size_t size);
/* `count` * `size` zeroed bytes; NULL also when the product overflows. */
void *prg_calloc(size_t count, size_t size);
/* As realloc; `ptr` stays valid when NULL is returned. */
void *prg_realloc(void *ptr, size_t size);
/* Frees; NULL is fine. */
void prg_free(void *ptr);
/* A copy of `len` bytes with a zero byte after them. */
char *prg_memdup(const void *src, size_t len);
/* prg_memdup of a C string; NULL gives NULL. */
char *prg_strdup(const char *s);

/* `size` zeroed bytes from the system, a power of two and so many pages, at an
** address that is a multiple of it. For allocators on top of this one. */
void *prg_region_new(size_t size);
void prg_region_free(void *p, size_t size);
/* Shall the allocation that an allocator on top is about to make fail? */
bool prg_mem_refuses(void);

/* Makes the n-th allocation of this thread from now on fail, once; 0 turns it
** off. For tests. Returns what was left of the previous count. */
long prg_mem_fail_after(long n);

#endif
