#include "base/mem.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* glibc's malloc() has a cache per thread for up to so many bytes, which its
** calloc() does not look into: a few hundred instructions for every request. */
#define CACHED ((size_t)1032)

/* How many allocations of this thread are left before one fails; 0: off. */
static _Thread_local long fail_after;

static bool refuse(void) {
  return fail_after > 0 && --fail_after == 0;
}

bool prg_mem_refuses(void) {
  return refuse();
}

void *prg_alloc(size_t size) {
  if (refuse()) return NULL;
  return malloc(size == 0 ? 1 : size);
}

/* Not inlined, since gcc makes a calloc() of malloc() and memset(). */
static __attribute__((noinline)) void *take(size_t size) {
  return malloc(size);
}

void *prg_calloc(size_t count, size_t size) {
  void *p;
  if (refuse()) return NULL;
  if (count == 0 || size == 0) count = size = 1;
  if (count > SIZE_MAX / size) return NULL;
  if (count * size > CACHED) return calloc(count, size);
  p = take(count * size);
  return p == NULL ? NULL : memset(p, 0, count * size);
}

/* Of what the system gives, the two ends go back. */
void *prg_region_new(size_t size) {
  size_t before;
  char *p;
  p = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
           -1, 0);
  if (p == MAP_FAILED) return NULL;
  before = (size - (uintptr_t)p % size) % size;
  if (before > 0) (void)munmap(p, before);
  (void)munmap(p + before + size, size - before);
  return p + before;
}

void prg_region_free(void *p, size_t size) {
  (void)munmap(p, size);
}

void *prg_realloc(void *ptr, size_t size) {
  if (refuse()) return NULL;
  return realloc(ptr, size == 0 ? 1 : size);
}

void prg_free(void *ptr) {
  free(ptr);
}

char *prg_memdup(const void *src, size_t len) {
  char *copy = len == SIZE_MAX ? NULL : prg_alloc(len + 1);
  if (copy == NULL) return NULL;
  if (len > 0) memcpy(copy, src, len);
  copy[len] = '\0';
  return copy;
}

char *prg_strdup(const char *s) {
  return s == NULL ? NULL : prg_memdup(s, strlen(s));
}

long prg_mem_fail_after(long n) {
  long left = fail_after;
  fail_after = n;
  return left;
}
