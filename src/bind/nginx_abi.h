/*
** What Perigee knows of nginx's memory. Nothing of nginx is included or linked: its
** functions are looked up by name in the running process, and of its structures only
** the fields below are touched, which stood at these places in every release from
** 1.9.11 to 1.31.4 on 64-bit systems. prg_ngx_watch() (nginx_loop.c) compares what it
** can before it uses them; spec/c/test_nginx_abi.c compares all with the headers of
** the installed nginx-dev.
*/
#ifndef PRG_BIND_NGINX_ABI_H
#define PRG_BIND_NGINX_ABI_H

#include <stdint.h>

/* The releases compared. Before 1.9.11 modules have no signature. */
#define ABI_VERSION_MIN 1009011u /* nginx_version, src/core/nginx.h */
#define ABI_VERSION_MAX 1031999u

/* NGX_MODULE_SIGNATURE, src/core/ngx_module.h: the sizes of pointers, sig_atomic_t
** and time_t, no kqueue, no iocp. */
#define ABI_SIGNATURE "8,4,8,00"

/* ngx_event_flags, src/event/ngx_event.h. */
#define ABI_USE_CLEAR_EVENT 0x04u
#define ABI_USE_EPOLL_EVENT 0x40u

/* ngx_process, src/os/unix/ngx_process_cycle.h. */
enum { ABI_PROCESS_SINGLE = 0, ABI_PROCESS_WORKER = 3 };

/* ngx_get_connection() sets index to NGX_INVALID_INDEX, src/event/ngx_event.h. */
#define ABI_INVALID_INDEX 0xd0d0d0d0u

/* ngx_event_t, src/event/ngx_event.h: its beginning. */
struct abi_event {
  void *data;     /* the connection */
  uint32_t flags; /* a bit field, from the lowest bit: ABI_EVENT_… */
  int available;  /* since 1.11.0 not in the bit field; never touched */
  void (*handler)(struct abi_event *ev);
  uintptr_t index;
  void *log; /* builds with debugging read it */
};

#define ABI_EVENT_WRITE (1u << 0)
#define ABI_EVENT_ACTIVE (1u << 3)
/* "Not one of a client": nothing is said of it when a worker ends. */
#define ABI_EVENT_CHANNEL (1u << 17)

/* ngx_connection_t, src/core/ngx_connection.h: its beginning. */
struct abi_connection {
  void *data; /* of whoever took the connection */
  struct abi_event *read;
  struct abi_event *write;
  int fd;
};

/* ngx_event_actions_t, src/event/ngx_event.h: its beginning. */
struct abi_event_actions {
  void (*add)(void);
  void (*del)(void);
  void (*enable)(void);
  void (*disable)(void);
  void (*add_conn)(void);
  intptr_t (*del_conn)(struct abi_connection *c, uintptr_t flags);
};

/* ngx_module_t, src/core/ngx_module.h: its beginning. */
struct abi_module {
  uintptr_t ctx_index;
  uintptr_t index;
  const char *name;
  uintptr_t spare0;
  uintptr_t spare1;
  uintptr_t version;
  const char *signature;
};

/* ngx_cycle_t, src/core/ngx_cycle.h: its beginning. */
struct abi_cycle {
  void *conf_ctx; /* NULL in the one that a process ends with */
  void *pool;
  void *log;
};

/* ngx_http_cleanup_t, src/http/ngx_http_request.h, and ngx_stream_lua_cleanup_t. */
struct abi_cleanup {
  void (*handler)(void *data);
  void *data;
  struct abi_cleanup *next;
};

/* ngx_http_lua_co_ctx_t, ngx_http_lua_common.h, and the same of stream: its beginning.
** Believed only when it was seen to be so (lnginx.c). One of `more` is `cleanup`; which
** one depends on the release. */
struct abi_thread {
  void *data; /* what it waits for */
  void *co;   /* the coroutine that ngx_lua resumes */
  void *more[6];
};

/* What functions return, src/core/ngx_core.h. */
enum { ABI_OK = 0, ABI_ERROR = -1, ABI_AGAIN = -2 };

#endif
