// What is said of costs: once warm, an operation allocates nothing, whoever waits.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <functional>
#include <new>
#include <optional>
#include <string>
#include <thread>

#include "oneloop/channel/channel.hpp"
#include "oneloop/channel/select.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/net/tcp.hpp"
#include "oneloop/scope/gather.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/sync/condition.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/sync/mutex.hpp"
#include "oneloop/sync/semaphore.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"

namespace {
std::atomic<std::size_t> made{0};
/// Which keeps books of its own.
[[maybe_unused]] const int without_debugging = ::unsetenv("ONELOOP_DEBUG");
}  // namespace

void* operator new(std::size_t size) {
  made.fetch_add(1, std::memory_order_relaxed);
  if (void* p = std::malloc(size)) return p;
  throw std::bad_alloc{};
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }

namespace oneloop {
namespace {

using namespace std::chrono_literals;

constexpr int warm = 300, counted = 1000;

/// Tells how many allocations there were between the first and the last of those that count.
class counter {
 public:
  /// Before each.
  void step() {
    if (step_ == warm) begin_ = made;
    if (step_++ == warm + counted) all_ = made - begin_;
  }
  [[nodiscard]] bool done() const { return step_ > warm + counted; }
  [[nodiscard]] std::optional<std::size_t> all() const { return all_; }

 private:
  int step_ = 0;
  std::size_t begin_ = 0;
  std::optional<std::size_t> all_;
};

using maybe = std::optional<std::size_t>;

/// Of a coroutine that does `one` again and again, while `other` runs beside it until cancelled.
maybe in_coroutine(std::function<task<>()> one, std::function<task<>()> other = {}) {
  counter c;
  run(with_nursery([&](nursery& n) -> task<> {
    if (other) n.start(std::ref(other));
    while (!c.done()) {
      c.step();
      auto again = one();
      co_await std::move(again);
    }
    n.cancel();
  }));
  return c.all();
}
/// The same of a fiber.
maybe in_fiber(const std::function<void()>& one, std::function<void()> other = {}) {
  counter c;
  run([&] {
    with_nursery([&](nursery& n) {
      if (other) n.start(std::ref(other));
      while (!c.done()) {
        c.step();
        one();
      }
      n.cancel();
    });
  });
  return c.all();
}

TEST(allocations, none_in_a_wait_for_time) {
  EXPECT_EQ(in_coroutine([]() -> task<> { co_await yield_now(); }), 0u);
  EXPECT_EQ(in_coroutine([]() -> task<> { co_await sleep_for(1us); }), 0u);
  EXPECT_EQ(in_fiber([] { await(yield_now()); }), 0u);
  EXPECT_EQ(in_fiber([] { await(sleep_for(1us)); }), 0u);
}

TEST(allocations, none_in_a_scope_with_a_deadline) {
  EXPECT_EQ(in_coroutine([]() -> task<> {
              auto never_waits = [](cancel_scope&) -> task<> { co_return; };
              (void)co_await with_scope(scope_options{}.within(1h), std::ref(never_waits));
            }),
            0u);
  EXPECT_EQ(in_coroutine([]() -> task<> { (void)co_await move_on_after(1h, yield_now()); }), 0u);
  EXPECT_EQ(in_fiber([] { (void)move_on_after(1h, [] { await(yield_now()); }); }), 0u);
}

TEST(allocations, none_in_a_child_or_in_a_call) {
  const auto call = []() -> task<int> { co_return 1; };
  EXPECT_EQ(in_coroutine([&]() -> task<> { (void)co_await call(); }), 0u);
  EXPECT_EQ(in_coroutine([]() -> task<> {
              co_await with_nursery([](nursery& n) -> task<> {
                n.start([]() -> task<> { co_await yield_now(); });
                co_return;
              });
            }),
            0u);
  EXPECT_EQ(in_fiber([] { with_nursery([](nursery& n) { n.start([] { await(yield_now()); }); }); }),
            0u);
}

TEST(allocations, none_in_a_channel_or_a_select) {
  for (const std::size_t capacity : {std::size_t{0}, std::size_t{10}}) {
    channel<int> c{capacity};
    EXPECT_EQ(in_coroutine([&]() -> task<> { (void)co_await c.receive(); },
                           [&]() -> task<> {
                             for (;;) co_await c.send(1);
                           }),
              0u);
    channel<int> d{capacity};
    EXPECT_EQ(in_fiber([&] { (void)await(d.receive()); },
                       [&] {
                         for (;;) await(d.send(1));
                       }),
              0u);
    channel<int> e{capacity}, f{capacity};
    EXPECT_EQ(
        in_coroutine(
            [&]() -> task<> { (void)co_await select(e.receive(), f.receive(), sleep_for(1h)); },
            [&]() -> task<> {
              for (;;) co_await e.send(1);
            }),
        0u);
  }
}

TEST(allocations, none_in_the_locks) {
  mutex m;
  const auto use = [&]() -> task<> {
    const auto held = co_await m.lock();
    co_await yield_now();
  };
  EXPECT_EQ(in_coroutine(use,
                         [&]() -> task<> {
                           for (;;) co_await use();
                         }),
            0u);
  semaphore places{1};
  EXPECT_EQ(in_fiber(
                [&] {
                  const auto place = await(places.permit());
                  await(yield_now());
                },
                [&] {
                  for (;;) {
                    const auto place = await(places.permit());
                    await(yield_now());
                  }
                }),
            0u);
  event ping, pong;
  EXPECT_EQ(in_coroutine(
                [&]() -> task<> {
                  ping.set();
                  co_await pong.wait();
                  pong.reset();
                },
                [&]() -> task<> {
                  for (;;) {
                    co_await ping.wait();
                    ping.reset();
                    pong.set();
                  }
                }),
            0u);
}

TEST(allocations, one_in_a_gather) {
  EXPECT_EQ(in_coroutine([]() -> task<> { co_await gather(yield_now(), yield_now()); }),
            std::size_t{counted});
}

TEST(allocations, none_in_an_exchange_over_a_socket) {
  std::array<std::byte, 100> b{};
  std::optional<net::tcp_stream> client, server;
  run([&]() -> task<> {
    net::tcp_listener l{net::endpoint{net::ip_address::loopback_v4(), 0}};
    client = co_await net::connect(l.local_endpoint());
    server = co_await l.accept();
  }());
  const auto exchange = [&]() -> task<> {
    co_await client->write_all(b);
    (void)co_await client->read_some(b);
  };
  const auto echo = [&]() -> task<> {
    std::array<std::byte, 100> there;
    for (;;) {
      const auto n = co_await server->read_some(there);
      co_await server->write_all(std::span{there}.first(n));
    }
  };
  EXPECT_EQ(in_coroutine(exchange, echo), 0u);
}

TEST(allocations, none_between_two_threads) {
  channel<int> c;
  std::jthread sender{[&] {
    try {
      for (;;) await(c.send(1));
    } catch (const closed_error&) {
    }
  }};
  counter n;
  while (!n.done()) {
    n.step();
    (void)await(c.receive());
  }
  c.close();
  EXPECT_EQ(n.all(), 0u);
}

}  // namespace
}  // namespace oneloop
