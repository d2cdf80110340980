/* The nonces of cursors: none comes twice, a forked process's neither. */
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "check.h"
#include "page/cursor.h"

enum { CURSORS = 100, START = 24 /* of a text: it holds the nonce */ };

/* Writes the starts of `n` cursors that say the same. */
static void write_starts(const struct prg_ring *r, int n, int fd) {
  struct prg_cursor c;
  memset(&c, 0, sizeof(c));
  c.limit = 20;
  c.norder = 1;
  c.order[0].name = (struct prg_text){"id", 2};
  c.filter.whole = c.search.whole = true;
  for (int i = 0; i < n; i++) {
    struct prg_error *err = NULL;
    struct prg_buf text;
    prg_buf_init(&text, 0);
    CHECK(prg_cursor_seal(r, &c, &text, &err) == PRG_OK);
    CHECK(text.len > START && write(fd, text.data, START) == START);
    prg_buf_fini(&text);
  }
}

static void test_nonces(void) {
  static const char secret[] = "0123456789abcdef";
  struct prg_text secrets[1] = {{secret, sizeof(secret) - 1}};
  struct prg_error *err = NULL;
  struct prg_ring *r = prg_ring_new(secrets, 1, &err);
  char starts[1 + 2 * CURSORS][START];
  int fd[2], status = 1;
  pid_t child;
  CHECK(r != NULL && pipe(fd) == 0);
  write_starts(r, 1, fd[1]); /* nonces are drawn before the fork */
  child = fork();
  if (child == 0) {
    write_starts(r, CURSORS, fd[1]);
    _exit(0);
  }
  write_starts(r, CURSORS, fd[1]);
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  CHECK(read(fd[0], starts, sizeof(starts)) == (ssize_t)sizeof(starts));
  for (int i = 0; i <= 2 * CURSORS; i++)
    for (int k = 0; k < i; k++) CHECK(memcmp(starts[i], starts[k], START) != 0);
  close(fd[0]);
  close(fd[1]);
  prg_ring_free(r);
}

int main(void) {
  RUN(test_nonces);
  return check_result();
}
