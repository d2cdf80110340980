/*
** To be preloaded: a resolver that takes $SLOWDNS milliseconds, and then knows
** nothing, for names that end in ".slow".
*/
#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef int (*resolver)(const char *, const char *, const struct addrinfo *,
                        struct addrinfo **);

__attribute__((visibility("default"))) int getaddrinfo(
    const char *node, const char *service, const struct addrinfo *hints,
    struct addrinfo **list) {
  const char *tail = node == NULL ? NULL : strstr(node, ".slow");
  const char *given = getenv("SLOWDNS");
  if (tail != NULL && strcmp(tail, ".slow") == 0 && given != NULL) {
    long ms = strtol(given, NULL, 10);
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
    return EAI_AGAIN;
  }
  resolver real;
  *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
  return real(node, service, hints, list);
}
