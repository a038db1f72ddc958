/* uring PORT: the other yardstick: an echo server on a bare io_uring, a receive and a send in turn for each connection,
 * one submit-and-wait a turn. */
#include <arpa/inet.h>
#include <liburing.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define BUFFER (128 * 1024)

struct conn {
  int fd;
  int sending;
  size_t begin, end;
  char buffer[BUFFER];
};

static struct io_uring ring;

static struct io_uring_sqe* entry(void* owner) {
  struct io_uring_sqe* e = io_uring_get_sqe(&ring);
  if (e == NULL) {
    io_uring_submit(&ring);
    e = io_uring_get_sqe(&ring);
  }
  e->user_data = (uintptr_t)owner;
  return e;
}
static void receive(struct conn* c) {
  struct io_uring_sqe* e = entry(NULL);
  io_uring_prep_recv(e, c->fd, c->buffer, BUFFER, 0);
  e->user_data = (uintptr_t)c;
  c->sending = 0;
}
static void transmit(struct conn* c) {
  struct io_uring_sqe* e = entry(NULL);
  io_uring_prep_send(e, c->fd, c->buffer + c->begin, c->end - c->begin, MSG_NOSIGNAL);
  e->user_data = (uintptr_t)c;
  c->sending = 1;
}
static void finish(struct conn* c) {
  close(c->fd);
  free(c);
}

int main(int argc, char** argv) {
  const int listener = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[argc - 1]))};
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  if (bind(listener, (struct sockaddr*)&at, sizeof at) != 0 || listen(listener, 1024) != 0) return 1;
  struct io_uring_params p = {
      .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE, .cq_entries = 8192};
  if (io_uring_queue_init_params(2048, &ring, &p) < 0) return 1;
  io_uring_prep_multishot_accept(entry(NULL), listener, NULL, NULL, 0);
  for (;;) {
    struct io_uring_cqe* done;
    if (io_uring_submit_and_wait(&ring, 1) < 0) continue;
    unsigned head, seen = 0;
    io_uring_for_each_cqe(&ring, head, done) {
      ++seen;
      struct conn* c = (struct conn*)(uintptr_t)done->user_data;
      if (c == NULL) {
        if (done->res >= 0) {
          c = malloc(sizeof *c);
          c->fd = done->res;
          receive(c);
        }
        if (!(done->flags & IORING_CQE_F_MORE))
          io_uring_prep_multishot_accept(entry(NULL), listener, NULL, NULL, 0);
      } else if (done->res <= 0) {
        finish(c);
      } else if (!c->sending) {
        c->begin = 0, c->end = done->res;
        transmit(c);
      } else if ((c->begin += done->res) < c->end) {
        transmit(c);
      } else {
        receive(c);
      }
    }
    io_uring_cq_advance(&ring, seen);
  }
}
