#include "oneloop/loop/descriptor.hpp"

#include <array>
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "oneloop/loop/io.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/loop/test_sockets.hpp"
#include "oneloop/loop/test_waiter.hpp"

namespace oneloop {
namespace {

using namespace std::chrono_literals;
using test::connected;
using test::is_open;
using test::party;
using test::pipe_ends;
using test::test_waiter;

TEST(a_descriptor, owns_its_number) {
  int fds[2];
  ASSERT_EQ(::pipe2(fds, O_CLOEXEC), 0);
  {
    auto d = descriptor::adopt(fds[0]);
    EXPECT_TRUE(d);
    EXPECT_EQ(d.fd(), fds[0]);
    auto moved = std::move(d);
    EXPECT_FALSE(d);
    EXPECT_EQ(d.fd(), -1);
    EXPECT_EQ(moved.fd(), fds[0]);
    EXPECT_TRUE(is_open(fds[0]));
  }
  EXPECT_FALSE(is_open(fds[0]));
  auto other = descriptor::adopt(fds[1]);
  EXPECT_EQ(other.release(), fds[1]);
  EXPECT_FALSE(other);
  EXPECT_EQ(other.release(), -1);
  EXPECT_TRUE(is_open(fds[1]));
  other = descriptor::adopt(fds[1]);
  other.close();
  other.close();
  EXPECT_FALSE(is_open(fds[1]));
  EXPECT_FALSE(descriptor::adopt(-1));
}

TEST(a_descriptor, assigning_closes_what_was_there) {
  pipe_ends p;
  const int in = p.in.fd();
  p.in = std::move(p.out);
  EXPECT_FALSE(is_open(in));
  EXPECT_TRUE(is_open(p.in.fd()));
}

TEST(a_descriptor, every_incarnation_of_a_number_has_its_own_id) {
  pipe_ends p;
  const auto before = p.in.handle();
  p.in.close();
  const int again = ::dup3(p.out.fd(), before.fd, O_CLOEXEC);
  ASSERT_EQ(again, before.fd);
  auto d = descriptor::adopt(again);
  EXPECT_EQ(d.handle().fd, before.fd);
  EXPECT_NE(d.handle().id, before.id);
}

TEST(a_descriptor, make_nonblocking_sets_the_flag) {
  int fds[2];
  ASSERT_EQ(::pipe2(fds, O_CLOEXEC), 0);
  EXPECT_EQ(make_nonblocking(fds[0]), 0);
  EXPECT_EQ(make_nonblocking(fds[0]), 0);
  EXPECT_NE(::fcntl(fds[0], F_GETFL) & O_NONBLOCK, 0);
  ::close(fds[0]);
  ::close(fds[1]);
  EXPECT_EQ(make_nonblocking(fds[0]), -EBADF);
}

class descriptor_on : public test::backend_test {};
ONELOOP_ON_BACKENDS(descriptor_on, test::io_backends());

TEST_P(descriptor_on, closing_ends_what_waits_on_it_with_ebadf) {
  loop l{GetParam()};
  for (const bool let_it_turn : {false, true}) {
    connected c;
    std::array<std::byte, 8> b;
    auto read = io::receive(c.one, b);
    auto ready = io::readable(c.one);
    test_waiter w1{l}, w2{l};
    l.post([&] {
      start(w1, read);
      start(w2, ready);
    });
    if (let_it_turn) {
      auto turn = sleep_for(1ms);
      test::run(l, turn);
    }
    const int fd = c.one.fd();
    test::on(l, [&] {
      c.one.close();
      // At once, not a turn later: the number is free.
      EXPECT_FALSE(is_open(fd));
      EXPECT_EQ(w1.resumed, 0) << "resumed inline";
    });
    l.run_until(w1.done);
    l.run_until(w2.done);
    EXPECT_EQ(w1.result, outcome::completed);
    EXPECT_EQ(read.await_resume(), -EBADF);
    EXPECT_EQ(w2.result, outcome::completed);
    // The peer learns of it.
    EXPECT_EQ(::recv(c.other.fd(), b.data(), b.size(), 0), 0);
  }
}

TEST_P(descriptor_on, the_peer_sees_the_end_though_readiness_was_waited_for_before) {
  loop l{GetParam()};
  connected c;
  auto ready = io::readable(c.one);
  test_waiter w{l};
  l.post([&] { start(w, ready); });
  auto turn = sleep_for(1ms);
  test::run(l, turn);
  test::on(l, [&] { w.request_cancel(); });
  l.run_until(w.done);
  // Closed by another thread, without this loop's help: nothing here may keep the socket alive.
  auto settle = sleep_for(1ms);
  test::run(l, settle);
  std::jthread{[&] { c.one.close(); }}.join();
  std::array<std::byte, 8> b;
  auto end = io::receive(c.other, b);
  test::run(l, end);
  EXPECT_EQ(end.await_resume(), 0);
}

TEST_P(descriptor_on, a_reused_number_hears_nothing_of_the_old_one) {
  loop l{GetParam()};
  std::array<std::byte, 8> b;
  for (int i = 0; i < 30; ++i) {
    connected old_pair;
    // The old file lives on under another number, so events of it go on.
    const int duplicate = ::dup(old_pair.one.fd());
    auto op = io::receive(old_pair.one, b);
    auto fresh = std::make_unique<connected>();
    const int number = old_pair.one.fd();
    test_waiter w{l}, w2{l};
    descriptor reborn;
    auto second = std::make_unique<io_operation>(io::receive(reborn, b));
    l.post([&] {
      start(w, op);
      if (i % 2 == 0) {
        EXPECT_EQ(::send(old_pair.other.fd(), "old", 3, 0), 3);  // an event that nobody has fetched
      }
      old_pair.one.close();
      const int again = ::dup3(fresh->one.fd(), number, O_CLOEXEC);
      EXPECT_EQ(again, number);
      fresh->one.close();
      reborn = descriptor::adopt(again);
      second = std::make_unique<io_operation>(io::receive(reborn, b));
      start(w2, *second);
      EXPECT_EQ(::send(old_pair.other.fd(), "older", 5, 0), 5);
    });
    l.run_until(w.done);
    EXPECT_EQ(op.await_resume(), -EBADF);
    auto turn = sleep_for(200us);
    test::run(l, turn);
    EXPECT_FALSE(w2.done);
    EXPECT_EQ(::send(fresh->other.fd(), "new", 3, 0), 3);
    l.run_until(w2.done);
    EXPECT_EQ(test::text(b, second->await_resume()), "new");
    ::close(duplicate);
  }
}

TEST_P(descriptor_on, a_released_number_can_be_adopted_again) {
  loop l{GetParam()};
  connected c;
  std::array<std::byte, 8> b;
  for (int i = 0; i < 5; ++i) {
    auto op = io::receive(c.one, b);
    test_waiter w{l};
    l.post([&] {
      start(w, op);
      EXPECT_EQ(::send(c.other.fd(), "abc", 3, 0), 3);
    });
    l.run_until(w.done);
    EXPECT_EQ(op.await_resume(), 3);
    test::on(l, [&] {
      // The epoll set still knows the file under the earlier id if nobody tells it.
      const int fd = i % 2 == 0 ? c.one.release() : -1;
      if (fd >= 0) c.one = descriptor::adopt(fd);
    });
  }
}

TEST_P(descriptor_on, a_socket_closed_elsewhere_is_shut_down_and_the_last_user_closes_it) {
  for (int round = 0; round < 50; ++round) {
    connected c;
    const int fd = c.one.fd();
    std::array<std::byte, 8> b;
    std::atomic<bool> waiting{false};
    std::int64_t got = 1;
    std::jthread user{[&] {
      loop l{GetParam()};
      auto op = io::receive(c.one, b);
      test_waiter w{l};
      l.post([&] {
        start(w, op);
        waiting = true;
      });
      l.run_until(w.done);
      got = op.await_resume();
    }};
    while (!waiting) std::this_thread::yield();
    if (round % 2 == 0) std::this_thread::sleep_for(200us);
    c.one.close();
    user.join();
    EXPECT_EQ(got, -EBADF);
    EXPECT_FALSE(is_open(fd));
  }
}

TEST_P(descriptor_on, many_loops_may_wait_on_one_listener_that_is_then_closed) {
  auto listener = test::listen_on(test::loopback());
  const auto address = test::name_of(listener.fd());
  constexpr int loops = 3, connections = 60;
  std::atomic<int> accepted{0}, ended{0}, waiting{0};
  std::vector<std::jthread> pool;
  for (int i = 0; i < loops; ++i) {
    pool.emplace_back([&] {
      loop l{GetParam()};
      bool done = false;
      auto acceptor = [&]() -> party {
        waiting.fetch_add(1);
        for (;;) {
          const auto fd = co_await io::accept(listener);
          if (fd < 0) {
            EXPECT_EQ(fd, -EBADF);
            break;
          }
          accepted.fetch_add(1);
          ::close(static_cast<int>(fd));
        }
        ended.fetch_add(1);
        done = true;
      };
      l.post([&] { acceptor(); });
      l.run_until(done);
    });
  }
  while (waiting < loops) std::this_thread::yield();
  for (int i = 0; i < connections; ++i) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    auto to = address;
    EXPECT_EQ(::connect(fd, test::as_sockaddr(to), sizeof to), 0);
    ::close(fd);
  }
  const auto give_up = clock::now() + 10s;
  while (accepted < connections && clock::now() < give_up) std::this_thread::sleep_for(1ms);
  const int fd = listener.fd();
  listener.close();
  pool.clear();
  EXPECT_EQ(accepted.load(), connections);
  EXPECT_EQ(ended.load(), loops);
  EXPECT_FALSE(is_open(fd));
}

TEST_P(descriptor_on, no_descriptor_is_leaked_by_a_thousand_connections) {
  auto count = [] {
    int n = 0;
    for (int fd = 0; fd < 512; ++fd) n += is_open(fd) ? 1 : 0;
    return n;
  };
  const int before = count();
  {
    loop l{GetParam()};
    auto listener = test::listen_on(test::loopback());
    const auto address = test::name_of(listener.fd());
    bool done = false;
    auto server = [&]() -> party {
      for (;;) {
        const auto fd = co_await io::accept(listener);
        if (fd < 0) break;
        auto d = descriptor::adopt(static_cast<int>(fd));
        std::array<std::byte, 8> b;
        const auto n = co_await io::receive(d, b);
        EXPECT_EQ(n, 1);
      }
      done = true;
    };
    auto client = [&]() -> party {
      for (int i = 0; i < 1000; ++i) {
        auto d = descriptor::adopt(test::tcp_socket());
        auto to = address;
        const auto rc = co_await io::connect(d, test::as_sockaddr(to), sizeof to);
        EXPECT_EQ(rc, 0);
        const auto n = co_await io::send(d, test::bytes("x"));
        EXPECT_EQ(n, 1);
        std::array<std::byte, 8> b;
        const auto end = co_await io::receive(d, b);
        EXPECT_EQ(end, 0);
      }
      listener.close();
    };
    l.post([&] {
      server();
      client();
    });
    l.run_until(done);
  }
  EXPECT_EQ(count(), before);
}

}  // namespace
}  // namespace oneloop
