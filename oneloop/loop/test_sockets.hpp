// For the tests of this layer: sockets on loopback, made with plain system calls. Not installed.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "oneloop/loop/descriptor.hpp"

namespace oneloop::inline v0::test {

inline sockaddr* as_sockaddr(sockaddr_in& a) { return reinterpret_cast<sockaddr*>(&a); }

inline sockaddr_in loopback(int port = 0) {
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  a.sin_port = htons(static_cast<std::uint16_t>(port));
  return a;
}

inline sockaddr_in name_of(int fd) {
  sockaddr_in a{};
  socklen_t size = sizeof a;
  EXPECT_EQ(::getsockname(fd, as_sockaddr(a), &size), 0);
  return a;
}

inline int tcp_socket() { return ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }

inline descriptor listen_on(sockaddr_in a, int backlog = 128) {
  auto d = descriptor::adopt(tcp_socket());
  const int yes = 1;
  ::setsockopt(d.fd(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  EXPECT_EQ(::bind(d.fd(), as_sockaddr(a), sizeof a), 0);
  EXPECT_EQ(::listen(d.fd(), backlog), 0);
  return d;
}

/// A port on which nobody listens.
inline sockaddr_in closed_port() {
  const int fd = tcp_socket();
  auto a = loopback();
  EXPECT_EQ(::bind(fd, as_sockaddr(a), sizeof a), 0);
  a = name_of(fd);
  ::close(fd);
  return a;
}

/// Two connected, non-blocking TCP sockets.
inline std::pair<int, int> tcp_pair() {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  auto a = loopback();
  EXPECT_EQ(::bind(listener, as_sockaddr(a), sizeof a), 0);
  EXPECT_EQ(::listen(listener, 1), 0);
  a = name_of(listener);
  const int one = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(::connect(one, as_sockaddr(a), sizeof a), 0);
  const int other = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  EXPECT_GE(other, 0);
  EXPECT_EQ(make_nonblocking(one), 0);
  ::close(listener);
  return {one, other};
}

struct connected {
  connected() {
    auto [a, b] = tcp_pair();
    one = descriptor::adopt(a);
    other = descriptor::adopt(b);
  }
  descriptor one, other;
};

struct pipe_ends {
  pipe_ends() {
    int fds[2];
    EXPECT_EQ(::pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
    in = descriptor::adopt(fds[0]);
    out = descriptor::adopt(fds[1]);
  }
  descriptor in, out;
};

inline std::span<const std::byte> bytes(std::string_view text) {
  return std::as_bytes(std::span{text});
}

inline std::string text(std::span<const std::byte> b, std::int64_t n) {
  return n < 0 ? std::string{}
               : std::string{reinterpret_cast<const char*>(b.data()), static_cast<std::size_t>(n)};
}

/// Shrinks the buffer of what is sent, so that few bytes fill it.
inline void make_small(int fd) {
  const int size = 4096;
  ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

inline bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

}  // namespace oneloop::inline v0::test
