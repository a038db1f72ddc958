// What else may be a case of a select: otherwise, when, tickers, joins, deferreds, sockets.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "oneloop/channel/channel.hpp"
#include "oneloop/channel/select.hpp"
#include "oneloop/channel/ticker.hpp"
#include "oneloop/deferred/deferred.hpp"
#include "oneloop/net/net_test.hpp"
#include "oneloop/sync/test_waiter.hpp"
#include "oneloop/task/spawn.hpp"
#include "oneloop/thread/future.hpp"

namespace oneloop::inline v0::test {
namespace {

TEST(otherwise, happens_only_if_nothing_else_can) {
  channel<int> a, b{1};
  attempt nothing{select(a.receive(), b.receive(), sleep_for(1s), otherwise())};
  EXPECT_TRUE(nothing.immediate());
  EXPECT_EQ(nothing.result().index(), 3u);
  EXPECT_EQ(a.statistics().waiting_receivers, 0u);
  EXPECT_TRUE(b.try_send(1));
  for (int i = 0; i < 50; ++i) {
    attempt something{select(a.receive(), b.receive(), otherwise())};
    ASSERT_TRUE(something.immediate());
    ASSERT_EQ(something.result().get<1>(), 1);
    ASSERT_TRUE(b.try_send(1));
  }
}

TEST(otherwise, meets_a_parked_sender_and_takes_a_due_timer) {
  channel<int> c;
  attempt sends{c.send(5)};
  EXPECT_EQ(attempt{select(c.receive(), otherwise())}.result().get<0>(), 5);
  EXPECT_TRUE(sends.completed());
  EXPECT_EQ(attempt{select(sleep_for(0s), otherwise())}.result().index(), 0u);
  EXPECT_EQ(attempt{select(sleep_until(time_point{}), otherwise())}.result().index(), 0u);
}

TEST(otherwise, leaves_the_value_that_could_not_be_sent) {
  channel<std::string> c;
  auto op = c.send("kept");
  EXPECT_EQ(attempt{select(op, otherwise())}.result().index(), 1u);
  EXPECT_EQ(op.value(), "kept");
}

TEST(otherwise, chooses_fairly_among_what_is_ready) {
  channel<int> a, b;
  a.close(), b.close();
  int first = 0;
  for (int i = 0; i < 400; ++i) {
    const auto r = attempt{select(a.receive(), b.receive(), otherwise())}.result();
    ASSERT_LT(r.index(), 2u);
    first += r.index() == 0;
  }
  EXPECT_GT(first, 120);
  EXPECT_LT(first, 280);
}

TEST(otherwise, throws_what_a_ready_case_throws) {
  channel<int> c;
  c.close();
  EXPECT_THROW(attempt{select(c.send(1), otherwise())}.result(), closed_error);
}

TEST(otherwise, makes_a_nested_select_ready) {
  channel<int> a, b;
  attempt outer{select(a.receive(), select(b.receive(), otherwise()))};
  EXPECT_TRUE(outer.immediate());
  EXPECT_EQ(outer.result().get<1>().index(), 1u);
  EXPECT_EQ(a.statistics().waiting_receivers, 0u);
}

TEST(when, a_closed_guard_never_happens) {
  channel<int> a, b;
  a.close();  // would always be ready
  attempt s{select(when(false, a.receive()), when(true, b.receive()))};
  EXPECT_TRUE(s.waits());
  EXPECT_TRUE(b.try_send(1));
  EXPECT_EQ(s.result().get<1>(), 1);

  attempt none{select(when(false, a.receive()), otherwise())};
  EXPECT_EQ(none.result().index(), 1u);
}

TEST(when, alone_it_waits_until_it_is_cancelled) {
  channel<int> c{1};
  EXPECT_TRUE(c.try_send(1));
  attempt a{when(false, c.receive())};
  EXPECT_TRUE(a.waits());
  a.cancel();
  EXPECT_TRUE(a.was_cancelled());
  EXPECT_EQ(attempt{when(true, c.receive())}.result(), 1);
}

TEST(when, merges_channels_that_close_one_after_the_other) {  // Go's `in = nil`
  channel<int> a{4}, b{4};
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(a.try_send(1) && b.try_send(10));
  a.close(), b.close();
  int sum = 0;
  for (bool a_open = true, b_open = true; a_open || b_open;) {
    auto r = await(select(when(a_open, a.receive()), when(b_open, b.receive())));
    const auto v = r.index() == 0 ? r.get<0>() : r.get<1>();
    if (v) {
      sum += *v;
    } else {
      (r.index() == 0 ? a_open : b_open) = false;
    }
  }
  EXPECT_EQ(sum, 33);
}

task<> ticks(std::vector<duration>& at) {
  loop& l = *loop::current();
  const auto start = l.now();
  ticker t{100ms};
  channel<int> silent;
  for (int i = 0; i < 3; ++i) {
    const auto r = co_await select(silent.receive(), t.next());
    EXPECT_EQ(r.get<1>() - start, (i + 1) * 100ms);
    at.push_back(l.now() - start);
  }
  // One that loses comes at the next wait, at its time.
  const auto lost = co_await select(t.next(), sleep_for(30ms));
  EXPECT_EQ(lost.index(), 1u);
  (void)co_await t.next();
  at.push_back(l.now() - start);
  co_await sleep_for(250ms);  // misses two: one comes at once, the other is dropped
  (void)co_await t.next();
  at.push_back(l.now() - start);
  (void)co_await t.next();
  at.push_back(l.now() - start);
  t.reset(1s);
  (void)co_await t.next();
  at.push_back(l.now() - start);
}

TEST(ticker, keeps_to_its_grid_and_drops_what_nobody_took) {
  std::vector<duration> at;
  run(ticks(at), "virtual");
  EXPECT_EQ(at, (std::vector<duration>{100ms, 200ms, 300ms, 400ms, 650ms, 700ms, 1700ms}));
  EXPECT_THROW(ticker{0s}, misuse);
}

task<int> slow(int v) {
  co_await sleep_for(1s);
  co_return v;
}

task<> selects_children(nursery& n) {
  joinable<int> child = spawn(n, slow, 7);
  deferred<int> later = defer(slow(8));
  channel<int> silent;
  const auto early = co_await select(child, later, silent.receive(), otherwise());
  EXPECT_EQ(early.index(), 3u);
  const auto timeout = co_await select(silent.receive(), child.join(), later, sleep_for(1ms));
  EXPECT_EQ(timeout.index(), 3u);
  const auto first = co_await select(silent.receive(), child);
  EXPECT_EQ(first.get<1>(), 7);
  EXPECT_EQ((co_await select(silent.receive(), later)).get<1>(), 8);
  EXPECT_EQ((co_await select(child, otherwise())).get<0>(), 7);
}

TEST(select_cases, are_joins_and_deferreds) { run(with_nursery(selects_children), "virtual"); }

TEST(select_cases, are_futures) {
  promise<int> p;
  future<int> f = p.get_future();
  channel<int> silent;
  EXPECT_EQ(await(select(silent.receive(), f, otherwise())).index(), 2u);
  EXPECT_EQ(await(select(silent.receive(), f, sleep_for(1ms))).index(), 2u);
  p.set_value(3);
  EXPECT_EQ(await(select(silent.receive(), f)).get<1>(), 3);
  EXPECT_EQ(await(select(silent.receive(), f, otherwise())).get<1>(), 3);
}

class select_on_sockets : public on_backends {};
ON_BACKENDS(select_on_sockets);

TEST_P(select_on_sockets, is_by_readiness_and_loses_no_byte) {
  go([]() -> task<> {
    auto pair = connected_pair();
    auto [a, b] = co_await std::move(pair);
    channel<int> c{1};
    const auto quiet = co_await select(c.receive(), a.readable(), otherwise());
    EXPECT_EQ(quiet.index(), 2u);
    const std::string hello = "hello";
    co_await b.write_all(std::as_bytes(std::span{hello}));
    const auto ready = co_await select(c.receive(), a.readable());
    EXPECT_EQ(ready.index(), 1u);
    // A loser takes nothing: the bytes are still there, and it can be asked again.
    EXPECT_TRUE(c.try_send(1));
    EXPECT_EQ((co_await select(c.receive(), sleep_for(10s))).index(), 0u);
    EXPECT_EQ((co_await select(c.receive(), a.readable(), otherwise())).index(), 1u);
    std::array<std::byte, 16> buffer;
    EXPECT_EQ(co_await a.read_some(buffer), 5u);
    EXPECT_EQ((co_await select(a.readable(), otherwise())).index(), 1u);
  });
}

}  // namespace
}  // namespace oneloop::inline v0::test
