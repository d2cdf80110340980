/* What nginx's configure finds out, as far as test_nginx_abi.c needs it: the options
** of Debian's nginx that change its structures. */
#define NGX_PTR_SIZE 8
#define NGX_SIG_ATOMIC_T_SIZE 4
#define NGX_TIME_T_SIZE 8
#define NGX_COMPAT 1
#define NGX_DEBUG 1
#define NGX_THREADS 1
#define NGX_HAVE_EPOLL 1
#define NGX_HAVE_EPOLLRDHUP 1
#define NGX_HAVE_CLEAR_EVENT 1
#define NGX_HAVE_UNIX_DOMAIN 1
#define NGX_HAVE_INET6 1
