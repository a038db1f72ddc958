/* epoll PORT: the yardstick: an echo server on a bare epoll loop. Edge-triggered, one buffer for all connections; what
 * the socket does not take at once is copied aside, and nothing more is read until it has gone. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER (256 * 1024)

struct conn {
  int fd;
  char* rest;
  size_t begin, end;
};

static char buffer[BUFFER];

static void finish(struct conn* c) {
  close(c->fd);
  free(c->rest);
  free(c);
}

/* 1: all has gone, 0: the socket is full, -1: failed */
static int flush(struct conn* c) {
  while (c->begin < c->end) {
    const ssize_t n = send(c->fd, c->rest + c->begin, c->end - c->begin, MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN ? 0 : -1;
    c->begin += n;
  }
  free(c->rest);
  c->rest = NULL;
  c->begin = c->end = 0;
  return 1;
}

static void serve(struct conn* c) {
  if (c->rest != NULL) {
    const int r = flush(c);
    if (r < 0) finish(c);
    if (r <= 0) return;
  }
  for (;;) {
    const ssize_t n = recv(c->fd, buffer, BUFFER, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) return finish(c);
    ssize_t sent = send(c->fd, buffer, n, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return finish(c);
    if (sent < 0) sent = 0;
    if (sent < n) {
      c->rest = malloc(n - sent);
      memcpy(c->rest, buffer + sent, n - sent);
      c->begin = 0, c->end = n - sent;
      const int r = flush(c);
      if (r < 0) finish(c);
      if (r <= 0) return;
    }
    if (n < BUFFER) return; /* drained: the next bytes are a new edge */
  }
}

int main(int argc, char** argv) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), yes = 1;
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[argc - 1]))};
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  if (bind(listener, (struct sockaddr*)&at, sizeof at) != 0 || listen(listener, 1024) != 0) return 1;
  const int epoll = epoll_create1(0);
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL}, events[512];
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e);
  for (;;) {
    const int n = epoll_wait(epoll, events, 512, -1);
    for (int i = 0; i < n; ++i) {
      if (events[i].data.ptr != NULL) {
        serve(events[i].data.ptr);
        continue;
      }
      int fd;
      while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct conn* c = calloc(1, sizeof *c);
        c->fd = fd;
        e = (struct epoll_event){.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
      }
    }
  }
}
