/* Is nginx's memory as src/bind/nginx_abi.h says? Against the headers of the package
** nginx-dev, where it is installed. */
#include "bind/nginx_abi.h"

#include "check.h"

#if __has_include(<ngx_event.h>)

#include <ngx_config.h>

#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#define SAME(theirs, ours, field)                                     \
  _Static_assert(                                                     \
      offsetof(theirs, field) == offsetof(ours, field) &&             \
          sizeof(((theirs *)0)->field) == sizeof(((ours *)0)->field), \
      #field)

SAME(ngx_event_t, struct abi_event, data);
SAME(ngx_event_t, struct abi_event, handler);
SAME(ngx_event_t, struct abi_event, index);
SAME(ngx_event_t, struct abi_event, log);
SAME(ngx_connection_t, struct abi_connection, data);
SAME(ngx_connection_t, struct abi_connection, read);
SAME(ngx_connection_t, struct abi_connection, write);
SAME(ngx_connection_t, struct abi_connection, fd);
SAME(ngx_event_actions_t, struct abi_event_actions, add);
SAME(ngx_event_actions_t, struct abi_event_actions, del);
SAME(ngx_event_actions_t, struct abi_event_actions, del_conn);
SAME(ngx_module_t, struct abi_module, version);
SAME(ngx_module_t, struct abi_module, signature);
SAME(ngx_cycle_t, struct abi_cycle, conf_ctx);
SAME(ngx_cycle_t, struct abi_cycle, log);
SAME(ngx_http_cleanup_t, struct abi_cleanup, handler);
SAME(ngx_http_cleanup_t, struct abi_cleanup, data);
SAME(ngx_http_cleanup_t, struct abi_cleanup, next);

_Static_assert(ABI_USE_CLEAR_EVENT == NGX_USE_CLEAR_EVENT, "clear event");
_Static_assert(ABI_USE_EPOLL_EVENT == NGX_USE_EPOLL_EVENT, "epoll event");
_Static_assert(ABI_INVALID_INDEX == NGX_INVALID_INDEX, "index");
_Static_assert(ABI_OK == NGX_OK, "NGX_OK");
_Static_assert(ABI_ERROR == NGX_ERROR, "NGX_ERROR");
_Static_assert(ABI_AGAIN == NGX_AGAIN, "NGX_AGAIN");
_Static_assert(ABI_PROCESS_SINGLE == NGX_PROCESS_SINGLE, "single");
_Static_assert(ABI_PROCESS_WORKER == NGX_PROCESS_WORKER, "worker");
_Static_assert(ABI_VERSION_MIN <= nginx_version &&
                   nginx_version <= ABI_VERSION_MAX,
               "this nginx has not been compared");

/* Where the compiler puts a bit of a bit field is seen only at run time. */
#define BIT(field, bit)                               \
  do {                                                \
    ngx_event_t ev;                                   \
    memset(&ev, 0, sizeof ev);                        \
    ev.field = 1;                                     \
    CHECK(((struct abi_event *)&ev)->flags == (bit)); \
  } while (0)

static void test_bits(void) {
  BIT(write, ABI_EVENT_WRITE);
  BIT(active, ABI_EVENT_ACTIVE);
  BIT(channel, ABI_EVENT_CHANNEL);
}

static void test_signature(void) {
  CHECK(strncmp(NGX_MODULE_SIGNATURE, ABI_SIGNATURE,
                sizeof ABI_SIGNATURE - 1) == 0);
}

int main(void) {
  RUN(test_bits);
  RUN(test_signature);
  return check_result();
}

#else

int main(void) {
  printf("skipped: nginx-dev is not installed\n");
  return 77;
}

#endif
