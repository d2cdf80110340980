/*
** Files that the process which we were forked from has open. SQLite's locks are
** those of a process, and its list of who has which is in memory: a child that
** opens such a file again thinks that it has its parent's locks, which it has not.
** When the parent closes the file then, it is the last one for all that it can see,
** and removes the log that the child writes into: commits are lost. So the child is
** refused.
**
** Entries of closed files are used again and never freed, so that a child finds the
** list in order whatever its parent's threads did at the moment of the fork.
*/
#include "driver/sqlite/sl_int.h"

#include <sys/stat.h>

#include "base/process.h"

struct sl_file {
  struct sl_file *next; /* never changes */
  atomic_long pid;      /* who has it open; 0: the entry is free */
  _Atomic uint64_t dev, ino;
};

static _Atomic(struct sl_file *) files;

bool sl_file_is_inherited(const char *path) {
  struct stat st;
  long self = prg_pid();

  if (stat(path, &st) != 0) return false;
  for (struct sl_file *f = atomic_load(&files); f != NULL; f = f->next) {
    long pid = atomic_load(&f->pid);
    if (pid != 0 && pid != self &&
        atomic_load(&f->dev) == (uint64_t)st.st_dev &&
        atomic_load(&f->ino) == (uint64_t)st.st_ino)
      return true;
  }
  return false;
}

static struct sl_file *take_entry(void) {
  struct sl_file *f;

  for (f = atomic_load(&files); f != NULL; f = f->next) {
    long free_entry = 0;
    if (atomic_compare_exchange_strong(&f->pid, &free_entry, prg_pid()))
      return f;
  }
  f = prg_calloc(1, sizeof(*f));
  if (f == NULL) return NULL;
  atomic_init(&f->pid, prg_pid());
  f->next = atomic_load(&files);
  while (!atomic_compare_exchange_weak(&files, &f->next, f)) continue;
  return f;
}

struct sl_file *sl_file_note(const char *path) {
  struct sl_file *f = take_entry();
  struct stat st;

  if (f == NULL || stat(path, &st) != 0) return f;
  atomic_store(&f->dev, (uint64_t)st.st_dev);
  atomic_store(&f->ino, (uint64_t)st.st_ino);
  return f;
}

void sl_file_forget(struct sl_file *f) {
  if (f == NULL) return;
  atomic_store(&f->ino, 0);
  atomic_store(&f->pid, 0);
}
