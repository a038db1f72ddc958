// The rules, of sockets: on the kernel's backends, and in plain threads.
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <vector>

#include "oneloop/fiber/run.hpp"
#include "oneloop/loop/backend.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/net/tcp.hpp"
#include "oneloop/net/udp.hpp"
#include "oneloop/net/unix.hpp"
#include "oneloop/scope/region.hpp"
#include "tests/rules.hpp"

namespace oneloop::rules {
namespace {

constexpr subject::traits of_a_socket{.needs_kernel = true, .at_once = false, .many = false};
const net::endpoint any_port{net::ip_address::loopback_v4(), 0};

/// Reads and writes past the loop. How many bytes.
std::size_t send_to(int fd, std::size_t n) {
  std::array<char, 4096> zeros{};
  std::size_t sent = 0;
  while (sent < n) {
    const auto r =
        ::send(fd, zeros.data(), std::min(n - sent, zeros.size()), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (r <= 0) break;
    sent += static_cast<std::size_t>(r);
  }
  return sent;
}
std::size_t drain(int fd) {
  std::array<char, 4096> buffer;
  std::size_t got = 0;
  for (;;) {
    const auto r = ::recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (r <= 0) return got;
    got += static_cast<std::size_t>(r);
  }
}

class read_subject final : public subject {
 public:
  read_subject() : subject{of_a_socket} {}
  wait_for wait() override {
    return waiting(ends_.first.read_some(buffer_), [](std::size_t n) { EXPECT_EQ(n, 1u); });
  }
  void complete() override { EXPECT_EQ(send_to(ends_.second.fd(), 1), 1u); }
  bool untaken() override { return drain(ends_.first.fd()) == 1; }

 private:
  std::pair<net::unix_stream, net::unix_stream> ends_ = net::unix_stream::pair();
  std::array<std::byte, 16> buffer_{};
};

/// The buffers are full.
class write_subject final : public subject {
 public:
  write_subject() : subject{of_a_socket} {}
  void again() override { sent_ += send_to(ends_.first.fd(), 1 << 30); }
  wait_for wait() override {
    return waiting(ends_.first.write_some(byte_), [this](std::size_t n) { sent_ += n; });
  }
  void complete() override { got_ += drain(ends_.second.fd()); }
  /// What came is what we know to have been sent.
  bool untaken() override {
    complete();
    const bool agree = got_ == sent_;
    again();
    return agree;
  }

 private:
  std::pair<net::unix_stream, net::unix_stream> ends_ = net::unix_stream::pair();
  std::array<std::byte, 1> byte_{};
  std::size_t sent_ = 0, got_ = 0;
};

sockaddr_in address_of(const net::endpoint& at) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(at.port());
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return to;
}

class accept_subject final : public subject {
 public:
  accept_subject() : subject{{.needs_kernel = true, .at_once = false}} {}
  ~accept_subject() override {
    for (const int fd : clients_) ::close(fd);
  }
  wait_for wait() override { return waiting(listener_.accept()); }
  void complete() override {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in to = address_of(listener_.local_endpoint());
    EXPECT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
    clients_.push_back(fd);
  }
  bool untaken() override {
    const int fd = ::accept4(listener_.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) ::close(fd);
    return fd >= 0;
  }

 private:
  net::tcp_listener listener_{any_port};
  std::vector<int> clients_;
};

/// To a listener whose queue is full: the kernel tries again and again.
class connect_subject final : public subject {
 public:
  connect_subject()
      : subject{{.needs_kernel = true,
                 .completes = false,
                 .ahead = false,
                 .leaves_trace = false,
                 .many = false}} {
    const sockaddr_in to = address_of(listener_.local_endpoint());
    for (int i = 0; i < 8; ++i) {
      const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
      (void)::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to);
      clients_.push_back(fd);
    }
  }
  ~connect_subject() override {
    for (const int fd : clients_) ::close(fd);
  }
  wait_for wait() override { return waiting(net::connect(listener_.local_endpoint())); }

 private:
  net::tcp_listener listener_{any_port, net::listen_options{}.backlog(1)};
  std::vector<int> clients_;
};

class datagram_subject final : public subject {
 public:
  datagram_subject() : subject{of_a_socket} {}
  wait_for wait() override { return waiting(socket_.receive_from(buffer_)); }
  void complete() override {
    const sockaddr_in to = address_of(socket_.local_endpoint());
    EXPECT_EQ(::sendto(sender_.fd(), "x", 1, MSG_DONTWAIT, reinterpret_cast<const sockaddr*>(&to),
                       sizeof to),
              1);
  }
  bool untaken() override { return drain(socket_.fd()) == 1; }

 private:
  net::udp_socket socket_{any_port}, sender_{any_port};
  std::array<std::byte, 16> buffer_{};
};

/// It goes at once, or the kernel drops it: nobody has ever waited for that.
class send_datagram_subject final : public subject {
 public:
  send_datagram_subject() : subject{{.needs_kernel = true, .waits = false}} {}
  wait_for wait() override { return waiting(sender_.send_to(byte_, socket_.local_endpoint())); }
  bool untaken() override { return drain(socket_.fd()) == 0; }

 private:
  net::udp_socket socket_{any_port}, sender_{any_port};
  std::array<std::byte, 1> byte_{};
};

/// Over at once, too.
class shutdown_subject final : public subject {
 public:
  shutdown_subject() : subject{{.needs_kernel = true, .waits = false}} {}
  wait_for wait() override { return waiting(ends_.first.shutdown_write()); }
  bool untaken() override {
    char end = 0;
    return ::recv(ends_.second.fd(), &end, 1, MSG_DONTWAIT) == -1;
  }

 private:
  std::pair<net::unix_stream, net::unix_stream> ends_ = net::unix_stream::pair();
};

/// The buffers are full; what is there is room, for nobody in particular.
class writable_subject final : public subject {
 public:
  writable_subject()
      : subject{{.needs_kernel = true, .at_once = false, .one_each = false, .many = false}} {}
  void again() override { send_to(ends_.first.fd(), 1 << 30); }
  wait_for wait() override { return waiting(ends_.first.writable()); }
  void complete() override { drain(ends_.second.fd()); }
  bool untaken() override {
    pollfd room{ends_.first.fd(), POLLOUT, 0};
    const bool there = ::poll(&room, 1, 0) == 1;
    again();
    return there;
  }

 private:
  std::pair<net::unix_stream, net::unix_stream> ends_ = net::unix_stream::pair();
};

class acceptable_subject final : public subject {
 public:
  acceptable_subject() : subject{of_a_socket} {}
  wait_for wait() override {
    return waiting(io::readable(end_), [this] { EXPECT_EQ(drain(end_.fd()), 1u); });
  }
  void complete() override { EXPECT_EQ(send_to(other_, 1), 1u); }
  bool untaken() override { return drain(end_.fd()) == 1; }
  ~acceptable_subject() override { ::close(other_); }

 private:
  static descriptor make(int& other) {
    int fds[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    other = fds[1];
    return descriptor::adopt(fds[0]);
  }
  int other_ = -1;
  descriptor end_ = make(other_);
};

// A5: what is made of several writes may have happened in part, and says how far it came; the
// buffer is free when the wait has ended.
TEST(A5_a_cancelled_write, says_what_it_has_sent_and_leaves_its_buffer) {
  for (const char* backend : {"epoll", "io_uring"}) {
    if (available_backends().find(backend) == std::string::npos) continue;
    SCOPED_TRACE(backend);
    loop l{backend};
    run(l, [] {
      auto [mine, theirs] = net::unix_stream::pair();
      std::vector<std::byte> all(std::size_t{4} << 20, std::byte{1});
      std::size_t sent = 0;
      EXPECT_FALSE(with_scope(scope_options{}, [&](cancel_scope& s) {
        with_nursery([&](nursery& n) {
          n.start([&s] {
            await(yield_now());
            s.cancel();
          });
          sent = await(mine.write_all(all));
          await(yield_now());
          ADD_FAILURE() << "the next wait must throw";
        });
      }));
      EXPECT_LT(sent, all.size());
      std::ranges::fill(all, std::byte{2});  // nobody reads it any more
      EXPECT_GT(sent, 0u);
      std::vector<std::byte> buffer(65536);
      std::size_t got = 0;
      for (;;) {
        const auto r = ::recv(theirs.fd(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (r <= 0) break;
        got += static_cast<std::size_t>(r);
        EXPECT_EQ(
            std::ranges::count(std::span{buffer}.first(static_cast<std::size_t>(r)), std::byte{1}),
            r);
      }
      EXPECT_EQ(got, sent);
    });
  }
}

const bool socket_enrolled =
    enrol<read_subject>("socket_read") && enrol<write_subject>("socket_write") &&
    enrol<accept_subject>("socket_accept") && enrol<connect_subject>("socket_connect") &&
    enrol<datagram_subject>("datagram_receive") && enrol<send_datagram_subject>("datagram_send") &&
    enrol<shutdown_subject>("socket_shutdown") && enrol<writable_subject>("writable") &&
    enrol<acceptable_subject>("readable");

}  // namespace
}  // namespace oneloop::rules
