#include "base/hub.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hub_int.h"
#include "base/mem.h"
#include "base/timer_int.h"
#include "base/worker.h"

#define BATCH 64 /* events of one epoll_wait */
/* From here on the timerfd wakes us: as a rule a deadline, which is not reached. With a
** limit of its own each epoll_wait would set up a timer in the kernel and take it down
** again, which is a tenth of what it costs. */
#define LONG_WAIT (1 * PRG_SECOND)
#define OWN_EVENT UINT64_C(0xffffffff) /* mailbox and timerfd: no slot */

enum { PLACE_NONE, PLACE_HEAP, PLACE_FIRING }; /* of a timer */

/* A registration. The generation tells a late event of a removed watch from
** one of its successor in the same slot. */
struct slot {
  struct prg_watch *watch; /* NULL: free */
  uint32_t generation;
  uint32_t next_free; /* index + 1 */
};

struct prg_hub {
  int refs;
  int epoll;
  int timerfd;    /* -1 until it is needed */
  unsigned epoch; /* prg__fork_epoch() of the process that made it */
  bool arm;       /* a foreign loop watches the descriptor */
  bool running;   /* inside prg_hub_run */
  int64_t alarm;  /* what the timerfd is set to; PRG_NEVER */
  struct slot *slots;
  uint32_t nslots, free_slot; /* free_slot: index + 1 */
  size_t nwatches;
  long njobs;
  struct prg_timer *timers; /* root of the heap */
  struct prg_timer *firing; /* due in this turn, linked by next and prev */
  struct prg_list posts;
  struct prg_mailbox *box;
  int64_t waited_from;     /* when this turn began to wait; 0: it did not */
  int64_t turned, earlier; /* ends of the last two; 0: not known, no timers */
};

static atomic_uint fork_epoch;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static void after_fork(void) {
  atomic_fetch_add(&fork_epoch, 1);
}

static void watch_forks(void) {
  pthread_atfork(NULL, NULL, after_fork);
}

unsigned prg__fork_epoch(void) {
  return atomic_load_explicit(&fork_epoch, memory_order_relaxed);
}

/* A child process shares the epoll set with its parent: changing it or reading
** from it there would take the parent's sockets away. */
static bool is_forked(const struct prg_hub *h) {
  return h->epoch != prg__fork_epoch();
}

static int add_own(struct prg_hub *h, int fd) {
  struct epoll_event ev = {.events = EPOLLIN, .data.u64 = OWN_EVENT};
  return epoll_ctl(h->epoll, EPOLL_CTL_ADD, fd, &ev);
}

struct prg_hub *prg_hub_new(struct prg_error **err) {
  struct prg_hub *h = prg_calloc(1, sizeof *h);
  if (h == NULL) {
    *err = prg_error_oom();
    return NULL;
  }
  pthread_once(&fork_once, watch_forks);
  h->refs = 1;
  h->timerfd = -1;
  h->alarm = PRG_NEVER;
  h->epoch = prg__fork_epoch();
  prg_list_init(&h->posts);
  h->epoll = epoll_create1(EPOLL_CLOEXEC);
  if (h->epoll >= 0) h->box = prg__mailbox_new();
  if (h->box != NULL && add_own(h, h->box->fd) == 0) return h;
  *err = prg_error_new(PRG_K_RESOURCE, "cannot create an event loop: %s",
                       strerror(errno));
  prg_hub_unref(h);
  return NULL;
}

struct prg_hub *prg_hub_ref(struct prg_hub *h) {
  h->refs++;
  return h;
}

void prg_hub_unref(struct prg_hub *h) {
  if (h == NULL || --h->refs > 0) return;
  /* In a child process a lost thread may hold the mailbox's lock. */
  if (h->box != NULL && !is_forked(h)) prg__mailbox_close(h->box);
  if (h->timerfd >= 0) close(h->timerfd);
  if (h->epoll >= 0) close(h->epoll);
  prg_free(h->slots);
  prg_free(h);
}

void prg_hub_forget(struct prg_hub *h) {
  struct prg_timer *t;
  while ((t = h->timers) != NULL) {
    prg__timers_remove(&h->timers, t);
    t->place = PLACE_NONE;
  }
  while (prg_list_pop_front(&h->posts) != NULL) continue;
}

struct prg_mailbox *prg__hub_mailbox(struct prg_hub *h) {
  return h->box;
}

void prg__hub_count_job(struct prg_hub *h, int change) {
  h->njobs += change;
}

int prg_hub_fd(const struct prg_hub *h) {
  return h->epoll;
}

void prg_hub_interrupt(struct prg_hub *h) {
  prg__mailbox_ring(h->box);
}

/* ---- watches ------------------------------------------------------------ */

static int grow_slots(struct prg_hub *h) {
  uint32_t n = h->nslots == 0 ? 16 : h->nslots * 2;
  struct slot *slots = prg_realloc(h->slots, n * sizeof *slots);
  if (slots == NULL) {
    errno = ENOMEM;
    return PRG_ERR;
  }
  for (uint32_t i = n; i-- > h->nslots;) {
    slots[i] = (struct slot){.next_free = h->free_slot};
    h->free_slot = i + 1;
  }
  h->slots = slots;
  h->nslots = n;
  return PRG_OK;
}

static int take_slot(struct prg_hub *h, struct prg_watch *w) {
  struct slot *s;
  if (h->free_slot == 0 && grow_slots(h) != PRG_OK) return PRG_ERR;
  s = &h->slots[h->free_slot - 1];
  w->slot = h->free_slot;
  h->free_slot = s->next_free;
  s->watch = w;
  h->nwatches++;
  return PRG_OK;
}

static void give_slot(struct prg_hub *h, struct prg_watch *w) {
  struct slot *s = &h->slots[w->slot - 1];
  s->watch = NULL;
  s->generation++;
  s->next_free = h->free_slot;
  h->free_slot = w->slot;
  w->slot = 0;
  h->nwatches--;
}

static uint32_t epoll_events(unsigned events) {
  /* Hang-ups only are told once: the user may not be able to do anything about
  ** one before it reads again, and level triggering would make the loop spin.
  ** Any later change of the registration enables it again. */
  if (events == 0) return EPOLLRDHUP | EPOLLONESHOT;
  return ((events & PRG_READ) ? (uint32_t)EPOLLIN : 0) |
         ((events & PRG_WRITE) ? (uint32_t)EPOLLOUT : 0);
}

/* The number may have been closed and opened again behind our back: then the
** kernel has forgotten it, or has it still if it was never closed. */
static int control(struct prg_hub *h, int fd, struct epoll_event *ev) {
  if (epoll_ctl(h->epoll, EPOLL_CTL_MOD, fd, ev) == 0) return PRG_OK;
  if (errno != ENOENT) return PRG_ERR;
  return epoll_ctl(h->epoll, EPOLL_CTL_ADD, fd, ev) == 0 ? PRG_OK : PRG_ERR;
}

static int add(struct prg_hub *h, int fd, struct epoll_event *ev) {
  if (epoll_ctl(h->epoll, EPOLL_CTL_ADD, fd, ev) == 0) return PRG_OK;
  if (errno != EEXIST) return PRG_ERR;
  return epoll_ctl(h->epoll, EPOLL_CTL_MOD, fd, ev) == 0 ? PRG_OK : PRG_ERR;
}

int prg_hub_watch(struct prg_hub *h, struct prg_watch *w, int fd,
                  unsigned events) {
  struct epoll_event ev;
  bool known = w->slot != 0;
  if (is_forked(h)) {
    errno = EOWNERDEAD;
    return PRG_ERR;
  }
  if (known && w->fd != fd) {
    prg_hub_unwatch(h, w);
    known = false;
  }
  if (!known && take_slot(h, w) != PRG_OK) return PRG_ERR;
  ev.events = epoll_events(events);
  ev.data.u64 = (uint64_t)h->slots[w->slot - 1].generation << 32 |
                (uint64_t)(w->slot - 1);
  if ((known ? control(h, fd, &ev) : add(h, fd, &ev)) != PRG_OK) {
    int saved = errno;
    give_slot(h, w);
    errno = saved;
    return PRG_ERR;
  }
  w->fd = fd;
  w->events = events;
  return PRG_OK;
}

void prg_hub_unwatch(struct prg_hub *h, struct prg_watch *w) {
  if (w->slot == 0) return;
  /* Errors mean that it is closed already, and so not watched. */
  if (!is_forked(h)) epoll_ctl(h->epoll, EPOLL_CTL_DEL, w->fd, NULL);
  give_slot(h, w);
}

static unsigned ready_of(const struct prg_watch *w, uint32_t events) {
  unsigned ready = 0;
  if (events & (EPOLLIN | EPOLLPRI)) ready |= PRG_READ;
  if (events & EPOLLOUT) ready |= PRG_WRITE;
  if (events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)) ready |= PRG_HANGUP;
  /* Whoever reads or writes now is told the reason. */
  if (events & (EPOLLERR | EPOLLHUP)) ready |= w->events;
  return ready;
}

/* ---- timers ------------------------------------------------------------- */

static bool have_timerfd(struct prg_hub *h) {
  if (h->timerfd >= 0) return true;
  h->timerfd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  if (h->timerfd < 0) return false;
  if (add_own(h, h->timerfd) == 0) return true;
  close(h->timerfd);
  h->timerfd = -1;
  return false;
}

/* Will the timerfd tell of the first timer? It may be early, which costs one idle
** turn, and never late: so a deadline that is set and cleared again needs no system
** call. */
static bool is_alarmed(struct prg_hub *h) {
  struct itimerspec at = {{0, 0}, {0, 0}};
  int64_t us;
  if (h->timers->due >= h->alarm) return true;
  if (is_forked(h) || !have_timerfd(h)) return false;
  us = h->timers->due - prg_now();
  if (us < 1) us = 1; /* zero would turn it off */
  at.it_value.tv_sec = (time_t)(us / PRG_SECOND);
  at.it_value.tv_nsec = (long)(us % PRG_SECOND * 1000);
  if (timerfd_settime(h->timerfd, 0, &at, NULL) != 0) return false;
  h->alarm = h->timers->due;
  return true;
}

static void set_alarm(struct prg_hub *h) {
  if (h->arm && !h->running && h->timers != NULL) (void)is_alarmed(h);
}

static void unlink_firing(struct prg_hub *h, struct prg_timer *t) {
  if (t->prev != NULL) {
    t->prev->next = t->next;
  } else {
    h->firing = t->next;
  }
  if (t->next != NULL) t->next->prev = t->prev;
  t->next = t->prev = NULL;
}

void prg_timer_clear(struct prg_hub *h, struct prg_timer *t) {
  if (t->place == PLACE_NONE) return; /* nearly always */
  if (t->place == PLACE_HEAP) prg__timers_remove(&h->timers, t);
  if (t->place == PLACE_FIRING) unlink_firing(h, t);
  t->place = PLACE_NONE;
}

void prg_timer_set(struct prg_hub *h, struct prg_timer *t, int64_t due) {
  prg_timer_clear(h, t);
  t->due = due;
  t->place = PLACE_HEAP;
  prg__timers_add(&h->timers, t);
  set_alarm(h);
}

bool prg_timer_is_set(const struct prg_timer *t) {
  return t->place != PLACE_NONE;
}

/* Those that are due now are taken out first, so that one which sets itself
** again to a past time fires in the next turn, not for ever in this one. */
static int run_timers(struct prg_hub *h) {
  struct prg_timer *t, *last = NULL;
  int64_t now;
  int n = 0;
  h->earlier = h->turned;
  h->turned = 0;
  if (h->timers == NULL) return 0;
  now = h->turned = prg_now();
  while ((t = h->timers) != NULL && t->due <= now) {
    prg__timers_remove(&h->timers, t);
    t->place = PLACE_FIRING;
    t->prev = last;
    if (last != NULL) last->next = t;
    if (last == NULL) h->firing = t;
    last = t;
  }
  while ((t = h->firing) != NULL) {
    unlink_firing(h, t);
    t->place = PLACE_NONE;
    t->fn(t);
    n++;
  }
  return n;
}

/* ---- posts and jobs ----------------------------------------------------- */

void prg_hub_post(struct prg_hub *h, struct prg_post *p) {
  if (prg_link_linked(&p->link)) return;
  prg_list_push_back(&h->posts, &p->link);
  if (h->arm && !h->running) prg_hub_interrupt(h);
}

void prg_hub_unpost(struct prg_hub *h, struct prg_post *p) {
  if (prg_link_linked(&p->link)) prg_list_remove(&h->posts, &p->link);
}

void prg_hub_arm(struct prg_hub *h, bool arm) {
  h->arm = arm;
  if (arm && h->posts.count > 0) prg_hub_interrupt(h);
  set_alarm(h);
}

/* What is posted meanwhile waits for the next turn; the mark is where this
** turn ends. */
static int run_posts(struct prg_hub *h) {
  struct prg_post mark = {{NULL, NULL}, NULL};
  struct prg_link *k;
  int n = 0;
  if (h->posts.count == 0) return 0;
  prg_list_push_back(&h->posts, &mark.link);
  while ((k = prg_list_pop_front(&h->posts)) != &mark.link) {
    struct prg_post *p = PRG_CONTAINER(k, struct prg_post, link);
    p->fn(p);
    n++;
  }
  return n;
}

static int run_jobs(struct prg_hub *h) {
  struct prg_job *job;
  size_t limit;
  int n = 0;
  limit = prg__mailbox_count(h->box);
  while (limit-- > 0 && (job = prg__mailbox_take(h->box, NULL)) != NULL) {
    h->njobs--;
    job->done(job);
    n++;
  }
  /* Threads ring only when they find it empty. */
  if (n > 0 && prg__mailbox_count(h->box) > 0) prg__mailbox_ring(h->box);
  return n;
}

/* ---- the loop ----------------------------------------------------------- */

static int wait_ms(struct prg_hub *h, int64_t wait_us) {
  int64_t us = wait_us < 0 ? 0 : wait_us;
  h->waited_from = 0;
  if (us > 0 && h->timers != NULL) {
    int64_t now = prg_now();
    int64_t left = h->timers->due > now ? h->timers->due - now : 0;
    h->waited_from = now;
    if (left < us) {
      us = left;
      if (left >= LONG_WAIT && is_alarmed(h)) us = PRG_NEVER;
    }
  }
  if (us == PRG_NEVER) return -1;
  /* Rounded up: a timer that is not yet due would make the loop spin. */
  us = us > INT64_C(1000000) * PRG_MS ? INT64_C(1000000) : (us + 999) / PRG_MS;
  return (int)us;
}

/* Empties the descriptors of the hub itself. */
static int run_own(struct prg_hub *h) {
  uint64_t n;
  ssize_t got = read(h->box->fd, &n, sizeof n);
  if (h->timerfd >= 0 && h->alarm != PRG_NEVER) {
    got = read(h->timerfd, &n, sizeof n);
    if (got > 0) h->alarm = PRG_NEVER;
  }
  return run_jobs(h);
}

static int run_events(struct prg_hub *h, struct epoll_event *ev, int count) {
  bool own = false;
  int n = 0;
  for (int i = 0; i < count; i++) {
    uint32_t index = (uint32_t)(ev[i].data.u64 & UINT32_MAX);
    struct slot *s;
    if (ev[i].data.u64 == OWN_EVENT) {
      own = true;
      continue;
    }
    s = &h->slots[index];
    if (s->watch == NULL || s->generation != ev[i].data.u64 >> 32) continue;
    s->watch->fn(s->watch, ready_of(s->watch, ev[i].events));
    n++;
  }
  return own ? n + run_own(h) : n;
}

int prg_hub_run(struct prg_hub *h, int64_t wait_us) {
  struct epoll_event ev[BATCH];
  int n, count;
  if (is_forked(h)) {
    errno = EOWNERDEAD;
    return PRG_ERR;
  }
  prg_hub_ref(h);
  h->running = true;
  n = run_posts(h);
  if (n > 0 || h->posts.count > 0) wait_us = 0;
  count = epoll_wait(h->epoll, ev, BATCH, wait_ms(h, wait_us));
  if (count >= 0) {
    n += run_events(h, ev, count);
  } else if (errno != EINTR) {
    n = PRG_ERR;
  }
  if (n >= 0 && count >= 0) n += run_timers(h);
  h->running = false;
  if (h->arm && h->posts.count > 0) prg_hub_interrupt(h);
  set_alarm(h);
  prg_hub_unref(h);
  return n;
}

int64_t prg_hub_found_at(const struct prg_hub *h, int64_t now) {
  if (h->arm || h->turned == 0) return now; /* others wait for us */
  if (h->waited_from > 0 && h->turned - h->waited_from >= PRG_MS)
    return h->turned;
  return h->earlier > 0 ? h->earlier : now;
}

bool prg_hub_busy(const struct prg_hub *h) {
  return h->nwatches > 0 || h->njobs > 0 || h->timers != NULL ||
         h->posts.count > 0;
}
