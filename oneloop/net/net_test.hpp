// What the tests of net/ share: every backend that works here, a bound on time, a pair of streams.
// Not installed.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "oneloop/loop/loop.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/net/tcp.hpp"
#include "oneloop/scope/gather.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0::test {

using namespace std::chrono_literals;

inline const net::endpoint any_loopback_port{net::ip_address::loopback_v4(), 0};

inline std::vector<std::string> kernel_backends() {
  std::vector<std::string> names;
  const std::string all = available_backends();
  for (const char* name : {"epoll", "io_uring"}) {
    if (all.find(name) != all.npos) names.emplace_back(name);
  }
  return names;
}

/// Tests of a suite derived from this run on every backend with a kernel behind it.
class on_backends : public ::testing::TestWithParam<std::string> {
 protected:
  /// Runs the coroutine `body`, for at most 30 seconds.
  template <class Body>
  void go(Body body) {
    run(bounded(body), GetParam());
  }

  template <class Body>
  static task<> bounded(Body& body) {
    auto limited = fail_after(30s, std::ref(body));
    co_await std::move(limited);
  }
};

#define ON_BACKENDS(suite)                                                      \
  INSTANTIATE_TEST_SUITE_P(                                                     \
      backends, suite, ::testing::ValuesIn(::oneloop::test::kernel_backends()), \
      [](const ::testing::TestParamInfo<std::string>& chosen) { return chosen.param; })

/// What `op` throws, as text; empty if it throws nothing.
template <class Op>
task<std::string> message_of(Op op) {
  try {
    (void)co_await std::move(op);
  } catch (const error& e) {
    co_return e.what();
  }
  co_return std::string{};
}

/// The error code of what `op` throws.
template <class Op>
task<std::error_code> code_of(Op op) {
  try {
    (void)co_await std::move(op);
  } catch (const error& e) {
    co_return e.code();
  }
  co_return std::error_code{};
}

/// Two connected TCP streams on the loopback.
inline task<std::pair<net::tcp_stream, net::tcp_stream>> connected_pair(
    net::ip_address at = net::ip_address::loopback_v4()) {
  net::tcp_listener l{net::endpoint{at, 0}};
  auto client = co_await net::connect(l.local_endpoint());
  auto server = co_await l.accept();
  std::pair<net::tcp_stream, net::tcp_stream> both{std::move(client), std::move(server)};
  co_return both;
}

inline std::string text_of(std::span<const std::byte> b) {
  return {reinterpret_cast<const char*>(b.data()), b.size()};
}

/// Everything until the end of the stream.
template <class Stream>
task<std::string> read_all(Stream& s) {
  std::string all;
  std::vector<std::byte> b(64 * 1024);
  while (true) {
    const auto n = co_await s.read_some(b);
    if (n == 0) break;
    all += text_of(std::span{b}.first(n));
  }
  co_return all;
}

/// Reads once.
template <class Stream>
task<std::string> read_text(Stream& s) {
  std::vector<std::byte> b(65536);
  const auto n = co_await s.read_some(b);
  co_return text_of(std::span{b}.first(n));
}

}  // namespace oneloop::inline v0::test
