#include "oneloop/task/pipeline.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "oneloop/deferred/deferred.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/task/run.hpp"

namespace oneloop::inline v0 {
namespace {

using namespace std::chrono_literals;
using numbers = std::vector<int>;

task<> count(int from, int to, sender<int> out) {
  const auto_close at_exit{out};
  for (int i = from; i < to; ++i) co_await out.send(i);
}

task<numbers> collect(receiver<int> in) {
  numbers got;
  while (auto v = co_await in.receive()) got.push_back(*v);
  co_return got;
}

numbers sorted(numbers v) {
  std::ranges::sort(v);
  return v;
}
numbers range(int from, int to, int step = 1) {
  numbers v;
  for (int i = from; i < to; i += step) v.push_back(i);
  return v;
}

/// Runs what `stages` starts in a nursery on a virtual loop, and collects `out`.
template <class Stages>
numbers outcome_of(channel<int>& out, Stages stages) {
  loop l{"virtual"};
  return run(l, [&] {
    numbers got;
    with_nursery([&](nursery& n) {
      stages(n);
      got = await(collect(out));
    });
    return got;
  });
}

TEST(pipeline, fan_in_merges_until_all_are_closed) {
  channel<int> a, b{5}, c{unbounded}, out;
  const numbers got = outcome_of(out, [&](nursery& n) {
    n.start(count, 0, 100, sender{a});
    n.start(count, 100, 200, sender{b});
    n.start(count, 200, 300, sender{c});
    n.start([&] { return fan_in(out, a, b, c); });
  });
  EXPECT_EQ(sorted(got), range(0, 300));
  // Each input in its order.
  for (const int from : {0, 100, 200}) {
    numbers part;
    std::ranges::copy_if(got, std::back_inserter(part),
                         [&](int v) { return v >= from && v < from + 100; });
    EXPECT_EQ(part, range(from, from + 100));
  }
}

TEST(pipeline, fan_in_of_nothing_closes_at_once) {
  channel<int> out;
  EXPECT_EQ(outcome_of(out,
                       [&](nursery& n) {
                         n.start([&] { return fan_in(out, std::vector<receiver<int>>{}); });
                       }),
            numbers{});
}

// The even take a second each, the odd none.
task<int> doubled(int v) {
  if (v % 2 == 0) co_await sleep_for(1s);
  co_return 2 * v;
}

TEST(pipeline, fan_out_works_at_once) {
  channel<int> in, out;
  loop l{"virtual"};
  run(l, [&] {
    const auto start = loop::current()->now();
    with_nursery([&](nursery& n) {
      n.start(count, 0, 20, sender{in});
      n.start([&] { return fan_out(in, out, 5, doubled); });
      const auto got = await(collect(out));
      EXPECT_EQ(sorted(got), range(0, 40, 2));
      EXPECT_NE(got, range(0, 40, 2)) << "the quick should have overtaken the slow";
    });
    EXPECT_EQ(loop::current()->now() - start, 2s);  // ten seconds of work by five
  });
}

TEST(pipeline, fan_out_in_order_keeps_it_and_still_works_at_once) {
  for (const std::size_t workers : {1u, 2u, 5u, 50u}) {
    channel<int> in, out;
    loop l{"virtual"};
    run(l, [&] {
      const auto start = loop::current()->now();
      with_nursery([&](nursery& n) {
        n.start(count, 0, 20, sender{in});
        n.start([&] { return fan_out(in, out, workers, doubled, results::in_order); });
        EXPECT_EQ(await(collect(out)), range(0, 40, 2));
      });
      const auto took = loop::current()->now() - start;
      EXPECT_LE(took, workers == 1 ? 10s : workers == 50 ? 1s : workers == 5 ? 4s : 10s);
      EXPECT_GE(took, workers == 1 ? 10s : 1s);
    });
  }
}

TEST(pipeline, fan_out_takes_functions_and_may_be_the_end) {
  channel<int> in, out;
  EXPECT_EQ(sorted(outcome_of(out,
                              [&](nursery& n) {
                                n.start(count, 0, 50, sender{in});
                                n.start([&] { return fan_out(in, out, 3, std::negate<>{}); });
                              })),
            range(-49, 1));
  channel<int> again;
  int sum = 0;
  run([&] {
    with_nursery([&](nursery& n) {
      n.start(count, 0, 50, sender{again});
      await(fan_out(again, 3, [&](int v) { sum += v; }));
    });
  });
  EXPECT_EQ(sum, 1225);
  EXPECT_THROW(static_cast<void>(fan_out(in, out, 0, std::negate<>{})), misuse);
}

TEST(pipeline, tee_gives_everything_to_everybody) {
  channel<int> in, a, b{3};
  numbers second;
  const numbers first = outcome_of(a, [&](nursery& n) {
    n.start(count, 0, 100, sender{in});
    n.start([&] { return tee(in, a, b); });
    n.start([&]() -> task<> {
      auto all = collect(b);
      second = co_await std::move(all);
    });
  });
  EXPECT_EQ(first, range(0, 100));
  EXPECT_EQ(second, range(0, 100));
}

TEST(pipeline, tee_does_not_mind_in_which_order_its_copies_are_taken) {
  channel<int> in, a, b;
  loop l{"virtual"};
  run(l, [&] {
    with_nursery([&](nursery& n) {
      n.start(count, 0, 10, sender{in});
      n.start([&] { return tee(in, a, b); });
      for (int i = 0; i < 10; ++i) {  // one party takes both, the last first
        EXPECT_EQ(await(b.receive()), i);
        EXPECT_EQ(await(a.receive()), i);
      }
    });
  });
}

TEST(pipeline, bridge_flattens_a_channel_of_channels) {
  channel<int> a, b, out;
  channel<receiver<int>> streams{2};
  EXPECT_EQ(outcome_of(out,
                       [&](nursery& n) {
                         n.start(count, 0, 10, sender{a});
                         n.start(count, 10, 20, sender{b});
                         EXPECT_TRUE(streams.try_send(a) && streams.try_send(b));
                         streams.close();
                         n.start([&] { return bridge(streams, out); });
                       }),
            range(0, 20));
}

task<int> fails_at_seven(int v) {
  co_await sleep_for(1ms);
  if (v == 7) throw std::runtime_error{"seven"};
  co_return v;
}

TEST(pipeline, an_error_ends_all_of_it_and_reaches_the_owner_unchanged) {
  for (const auto order : {results::as_they_come, results::in_order}) {
    channel<int> in, middle, out;
    loop l{"virtual"};
    try {
      run(l, [&] {
        with_nursery([&](nursery& n) {
          n.start(count, 0, 1'000'000, sender{in});
          n.start([&] { return fan_out(in, middle, 3, fails_at_seven, order); });
          n.start([&] { return fan_out(middle, out, 2, std::negate<>{}); });
          for (int v : out) EXPECT_GT(v, -100);
        });
      });
      ADD_FAILURE() << "the error got lost";
    } catch (const std::runtime_error& e) {
      EXPECT_STREQ(e.what(), "seven");
    }
    EXPECT_TRUE(in.closed() && middle.closed() && out.closed());
    EXPECT_EQ(in.statistics().waiting_senders, 0u);
    EXPECT_EQ(out.statistics().waiting_receivers, 0u);
  }
}

TEST(pipeline, parties_elsewhere_hear_of_a_failure_by_their_channels) {
  channel<int> in, out;
  bool refused = false, ended = false;
  std::thread producer{[&] {
    try {
      for (int i = 0;; ++i) await(in.send(i));
    } catch (const closed_error&) {
      refused = true;
    }
  }};
  std::thread consumer{[&] {
    for (int v : out) EXPECT_LT(v, 100);
    ended = true;
  }};
  EXPECT_THROW(run([&] {
                 const auto_close end{in};
                 await(fan_out(in, out, 3, fails_at_seven));
               }),
               std::runtime_error);
  producer.join();
  consumer.join();
  EXPECT_TRUE(refused && ended);
}

TEST(pipeline, cancelled_it_ends_and_closes_what_it_wrote_to) {
  channel<int> in, merged, left, right, out;
  loop l{"virtual"};
  run(l, [&] {
    EXPECT_FALSE(move_on_after(1h, [&] {
      with_nursery([&](nursery& n) {
        n.start([&] { return fan_in(merged, in); });
        n.start([&] { return tee(merged, left, right); });
        n.start([&] { return fan_out(left, out, 3, doubled, results::in_order); });
      });
    }));
  });
  EXPECT_FALSE(in.closed());
  EXPECT_TRUE(merged.closed() && left.closed() && right.closed() && out.closed());
  EXPECT_EQ(in.statistics().waiting_receivers, 0u);
}

// Every kind of party at the ends: a thread and a coroutine feed, a fiber and callbacks take.
void take_by_callbacks(channel<int>& c, numbers& got) {
  defer(c.receive()).add_callback([&](std::optional<int> v) {
    if (!v) return;
    got.push_back(*v);
    take_by_callbacks(c, got);
  });
}

TEST(pipeline, has_any_kind_of_party_at_its_ends) {
  channel<int> a, b{4}, merged, doubles, left, right{unbounded};
  std::thread producer{[&] {
    for (int i = 0; i < 500; ++i) await(a.send(i));
    a.close();
  }};
  numbers by_fiber, by_callbacks;
  run([&] {
    with_nursery([&](nursery& n) {
      n.start(count, 500, 1000, sender{b});
      n.start([&] { return fan_in(merged, a, b); });
      n.start([&] { return fan_out(merged, doubles, 4, [](int v) { return 2 * v; }); });
      n.start([&] { return tee(doubles, left, right); });
      take_by_callbacks(right, by_callbacks);
      for (int v : left) by_fiber.push_back(v);
    });
  });
  producer.join();
  EXPECT_EQ(by_fiber, by_callbacks);
  EXPECT_EQ(sorted(by_fiber), range(0, 2000, 2));
}

TEST(pipeline, may_be_awaited_by_a_plain_thread) {
  channel<int> in, out;
  std::thread producer{[&] {
    for (int i = 0; i < 100; ++i) await(in.send(i));
    in.close();
  }};
  std::thread stage{[&] { await(fan_out(in, out, 3, [](int v) { return v + 1; })); }};
  numbers got;
  for (int v : out) got.push_back(v);
  producer.join();
  stage.join();
  EXPECT_EQ(sorted(got), range(1, 101));
}

}  // namespace
}  // namespace oneloop::inline v0
