/* libuv PORT: an echo server with libuv. */
#include <stdlib.h>
#include <uv.h>

#define BUFFER (256 * 1024)

static char buffer[BUFFER]; /* what uv_try_write does not take is copied */

struct rest {
  uv_write_t request;
  char bytes[];
};

static void allocate(uv_handle_t* h, size_t size, uv_buf_t* b) {
  (void)h, (void)size;
  *b = uv_buf_init(buffer, BUFFER);
}
static void closed(uv_handle_t* h) { free(h); }
static void written(uv_write_t* w, int status) {
  (void)status;
  free(w);
}
static void received(uv_stream_t* s, ssize_t n, const uv_buf_t* b) {
  if (n < 0) return uv_close((uv_handle_t*)s, closed);
  uv_buf_t all = uv_buf_init(b->base, n);
  int sent = uv_try_write(s, &all, 1);
  if (sent == UV_EAGAIN) sent = 0;
  if (sent < 0) return uv_close((uv_handle_t*)s, closed);
  if (sent == n) return;
  struct rest* r = malloc(sizeof *r + n - sent);
  for (ssize_t i = sent; i < n; ++i) r->bytes[i - sent] = b->base[i];
  uv_buf_t rest = uv_buf_init(r->bytes, n - sent);
  uv_write(&r->request, s, &rest, 1, written);
}
static void connected(uv_stream_t* listener, int status) {
  if (status < 0) return;
  uv_tcp_t* c = malloc(sizeof *c);
  uv_tcp_init(listener->loop, c);
  if (uv_accept(listener, (uv_stream_t*)c) != 0) return uv_close((uv_handle_t*)c, closed);
  uv_tcp_nodelay(c, 1);
  uv_read_start((uv_stream_t*)c, allocate, received);
}

int main(int argc, char** argv) {
  uv_tcp_t listener;
  struct sockaddr_in at;
  uv_tcp_init(uv_default_loop(), &listener);
  uv_ip4_addr("127.0.0.1", atoi(argv[argc - 1]), &at);
  if (uv_tcp_bind(&listener, (struct sockaddr*)&at, 0) != 0) return 1;
  if (uv_listen((uv_stream_t*)&listener, 1024, connected) != 0) return 1;
  return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
