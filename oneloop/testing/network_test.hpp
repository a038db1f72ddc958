// What the tests of the simulated network share. Not installed.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "oneloop/loop/sleep.hpp"
#include "oneloop/net/connect.hpp"
#include "oneloop/net/net_test.hpp"
#include "oneloop/net/stream.hpp"
#include "oneloop/net/tcp.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"
#include "oneloop/testing/network.hpp"

namespace oneloop::inline v0::test {

using namespace std::chrono_literals;
using testing::fault;
using testing::host;

/// A virtual loop with two hosts, 10 ms apart.
class network_test : public ::testing::Test {
 protected:
  network_test() { net.link(a, b).latency(10ms); }

  /// Runs the coroutine `body(nursery&)` on host a, for at most a simulated day; what it has
  /// started is cancelled at its end.
  template <class Body>
  void go(Body body) {
    run(l, on_a(body));
  }
  [[nodiscard]] duration elapsed() const { return l.now() - net.start(); }

  loop l{"virtual"};
  testing::network net{l};
  host& a = net.add_host("a.test");
  host& b = net.add_host("b.test");

 private:
  template <class Body>
  task<> on_a(Body& body) {
    auto with_children = [&body](nursery& n) -> task<> {
      auto running = body(n);
      co_await std::move(running);
      n.cancel();
    };
    auto program = [&with_children] { return with_nursery(std::ref(with_children)); };
    auto limited = fail_after(24h, [this, &program] { return a.run(std::ref(program)); });
    co_await std::move(limited);
  }
};

/// A connection between the hosts of the calling party and of `server`, both ends.
inline task<std::pair<net::tcp_stream, net::tcp_stream>> connected_to(host* server,
                                                                      std::uint16_t port) {
  net::tcp_listener l;
  {
    const testing::on_host there{*server};
    l = net::tcp_listener{server->at(port)};
  }
  auto client = co_await net::connect(server->at(port));
  auto other = co_await l.accept();
  std::pair<net::tcp_stream, net::tcp_stream> both{std::move(client), std::move(other)};
  co_return both;
}

}  // namespace oneloop::inline v0::test
