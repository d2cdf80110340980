#include "driver/driver.h"

#include <dlfcn.h>
#include <string.h>

#include "base/lock.h"
#include "base/mem.h"

/* A module that was opened; never closed, since drivers leave handlers and
** thread-specific data behind in their client libraries. */
struct loaded {
  struct loaded *next;
  char *path;
  const struct prg_driver *driver;
};

/* Several Lua states of a process may load at the same time. */
static prg_lock lock = PRG_LOCK_INIT;
static struct loaded *loaded;

const char *prg_driver_own_copy(void) {
  Dl_info info;
  if (dladdr((void *)prg_driver_load, &info) == 0 || info.dli_fname == NULL)
    return "?";
  return info.dli_fname;
}

/* What is global comes first in a search from here, ours only then. */
const char *prg_driver_other_copy(void) {
  Dl_info info;
  void *first = dlsym(RTLD_DEFAULT, "prg_driver_load");
  if (first == NULL || first == (void *)prg_driver_load) return NULL;
  if (dladdr(first, &info) == 0 || info.dli_fname == NULL) return "?";
  return info.dli_fname;
}

/* Lua opens C modules with RTLD_LOCAL, but drivers take the prg_ functions from
** the one copy that this process has (memory counters, ids and the
** out-of-memory error are state). So the object that holds this function is made
** global before a driver is opened. In a program that links it in (the runner, C
** tests) its symbols are global already and dlopen() finds nothing to do. */
static void publish_core(void) {
  dlopen(prg_driver_own_copy(), RTLD_NOW | RTLD_GLOBAL | RTLD_NOLOAD);
}

/* What dlerror() says mostly begins with the path. */
static struct prg_error *cannot(const char *path, const char *why) {
  if (strncmp(why, path, strlen(path)) == 0) {
    return prg_error_new(PRG_K_USAGE, "cannot load the driver %s", why);
  }
  return prg_error_new(PRG_K_USAGE, "cannot load the driver %s: %s", path, why);
}

/* Why a driver of that table cannot be used, or NULL. */
static struct prg_error *refuse(const char *path, const struct prg_driver *d) {
  if (d == NULL)
    return cannot(path,
                  "it is no Perigee driver (it has no symbol "
                  "\"" PRG_DRIVER_SYMBOL "\")");
  if (d->abi != PRG_DRIVER_ABI)
    return prg_error_new(PRG_K_USAGE,
                         "cannot load the driver %s: it was built for driver "
                         "interface %u, this Perigee has %u; install both from "
                         "the same version",
                         path, d->abi, PRG_DRIVER_ABI);
  if (d->release == NULL || strcmp(d->release, PERIGEE_VERSION) != 0)
    return prg_error_new(PRG_K_USAGE,
                         "cannot load the driver %s: it is of Perigee %s, this "
                         "is %s; install both from the same version",
                         path, d->release == NULL ? "(unknown)" : d->release,
                         PERIGEE_VERSION);
  return NULL;
}

static const struct prg_driver *open_driver(const char *path,
                                            struct prg_error **err) {
  const struct prg_driver *d;
  const char *other = prg_driver_other_copy();
  void *so;
  if (other != NULL) {
    *err = prg_error_new(PRG_K_USAGE,
                         "cannot load the driver %s: two copies of Perigee are "
                         "in this process, %s and %s; use one of them",
                         path, other, prg_driver_own_copy());
    return NULL;
  }
  publish_core();
  so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (so == NULL) {
    const char *why = dlerror();
    *err = cannot(path, why == NULL ? "unknown reason" : why);
    return NULL;
  }
  d = dlsym(so, PRG_DRIVER_SYMBOL);
  *err = refuse(path, d);
  if (*err == NULL) return d;
  dlclose(so);
  return NULL;
}

static const struct prg_driver *load(const char *path, struct prg_error **err) {
  struct loaded *k;
  for (k = loaded; k != NULL; k = k->next) {
    if (strcmp(k->path, path) == 0) return k->driver;
  }
  k = prg_calloc(1, sizeof *k);
  if (k != NULL) k->path = prg_strdup(path);
  if (k == NULL || k->path == NULL) {
    *err = prg_error_oom();
  } else {
    k->driver = open_driver(path, err);
  }
  if (k == NULL || k->driver == NULL) {
    if (k != NULL) prg_free(k->path);
    prg_free(k);
    return NULL;
  }
  k->next = loaded;
  loaded = k;
  return k->driver;
}

const struct prg_driver *prg_driver_load(const char *path,
                                         struct prg_error **err) {
  const struct prg_driver *d;
  prg_lock_take(&lock);
  d = load(path, err);
  prg_lock_give(&lock);
  return d;
}
