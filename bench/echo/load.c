/* load PORT SIZE CONNECTIONS MESSAGES: each connection sends SIZE bytes, waits until as many have come back, and
 * sends again, until MESSAGES have come back in all. A tenth as many go before the clock starts. Prints seconds of wall
 * time and of its own processor time, and how many went before as a part of MESSAGES. Exit status 1 if a connection
 * ends early. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct conn {
  int fd;
  long unsent, unread;
};

static long size, quota, done, started;
static char *out, *in;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}
static double cpu(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}
static void die(const char* what) {
  perror(what);
  exit(1);
}

static void push(struct conn* c) {
  while (c->unsent > 0) {
    ssize_t n = send(c->fd, out + size - c->unsent, c->unsent, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) die("load: send");
    c->unsent -= n;
  }
}
static void begin(struct conn* c) {
  if (started == quota) return;
  ++started;
  c->unsent = c->unread = size;
  push(c);
}
static void pull(struct conn* c) {
  while (c->unread > 0) {
    ssize_t n = recv(c->fd, in, c->unread, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) die("load: recv");
    if (n == 0) {
      fprintf(stderr, "load: the server closed a connection\n");
      exit(1);
    }
    c->unread -= n;
    if (c->unread == 0) {
      ++done;
      begin(c);
      return; /* the answer cannot be there yet */
    }
  }
}

static void drive(int epoll, struct conn* all, int connections, long messages) {
  quota = messages;
  done = started = 0;
  for (int i = 0; i < connections; ++i) begin(&all[i]);
  struct epoll_event events[512];
  while (done < quota) {
    int n = epoll_wait(epoll, events, 512, 10000);
    if (n == 0) {
      fprintf(stderr, "load: nothing came for ten seconds\n");
      exit(1);
    }
    for (int i = 0; i < n; ++i) {
      struct conn* c = events[i].data.ptr;
      if (events[i].events & EPOLLOUT) push(c);
      if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) pull(c);
    }
  }
}

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  size = atol(argv[2]);
  const int connections = atoi(argv[3]);
  const long messages = atol(argv[4]);
  out = malloc(size), in = malloc(size);
  memset(out, 'x', size);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  struct conn* all = calloc(connections, sizeof *all);
  const int epoll = epoll_create1(0);
  for (int i = 0; i < connections; ++i) {
    const int fd = all[i].fd = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    if (connect(fd, (struct sockaddr*)&to, sizeof to) != 0) die("load: connect");
    fcntl(fd, F_SETFL, O_NONBLOCK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = &all[i]};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
  }
  const long first = messages / 10 > connections ? messages / 10 : connections;
  drive(epoll, all, connections, first);
  const double start = now(), used = cpu();
  drive(epoll, all, connections, messages);
  printf("%.6f %.6f %.6f\n", now() - start, cpu() - used, (double)first / messages);
  return 0;
}
