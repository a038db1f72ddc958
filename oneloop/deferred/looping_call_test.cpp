#include "oneloop/deferred/looping_call.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <stdexcept>
#include <vector>

#include "oneloop/deferred/deferred_test.hpp"

namespace oneloop {
namespace {

using times = std::vector<int>;

/// The time since the first call of this, in ms.
struct stopwatch {
  int operator()() const { return static_cast<int>((loop::current()->now() - start) / 1ms); }
  time_point start = loop::current()->now();
};

/// Starts, waits for `d`, stops; how the deferred of start ended.
void run_for(const looping_call& c, duration interval, duration d, bool now = true) {
  bool over = false;
  c.start(interval, now).add_callback([&] { over = true; });
  EXPECT_TRUE(c.running());
  await(sleep_for(d));
  EXPECT_FALSE(over);
  c.stop();
  EXPECT_FALSE(c.running());
  await(sleep_for(0s));
  await(sleep_for(0s));
  EXPECT_TRUE(over);
}

TEST(looping_call, beats_at_once_and_then_at_every_interval_exactly) {
  run_virtual([] {
    times at;
    const stopwatch t;
    const looping_call c{[&](int unit) { at.push_back(t() / unit); }, 100};
    run_for(c, 300ms, 1000ms);
    EXPECT_EQ(at, (times{0, 3, 6, 9}));
    EXPECT_EQ(c.interval(), 300ms);
    run_for(c, 100ms, 250ms, false);  // from 1,000 on
    EXPECT_EQ(at, (times{0, 3, 6, 9, 11, 12}));
  });
}

TEST(looping_call, the_first_beat_is_within_start) {
  run_virtual([] {
    int beats = 0;
    const looping_call c{[&] { ++beats; }};
    c.start(1s);
    EXPECT_EQ(beats, 1);
    c.stop();
  });
}

TEST(looping_call, a_long_beat_skips_those_it_overruns_and_keeps_the_rhythm) {
  run_virtual([] {
    times at;
    const stopwatch t;
    const looping_call c{[&] {
      at.push_back(t());
      return defer(sleep_for(at.size() == 2 ? 250ms : 10ms));
    }};
    run_for(c, 100ms, 690ms);
    EXPECT_EQ(at, (times{0, 100, 400, 500, 600}));
  });
}

TEST(looping_call, a_beat_that_is_a_task_is_waited_for) {
  run_virtual([] {
    times at;
    const stopwatch t;
    const looping_call c{[&]() -> task<> {
      co_await sleep_for(130ms);
      at.push_back(t());
    }};
    run_for(c, 100ms, 750ms);
    EXPECT_EQ(at, (times{130, 330, 530, 730}));
  });
}

TEST(looping_call, with_count_tells_how_many_intervals_have_passed) {
  run_virtual([] {
    std::vector<std::int64_t> counts;
    const auto c = looping_call::with_count([&](std::int64_t n) {
      counts.push_back(n);
      return defer(sleep_for(counts.size() == 2 ? 350ms : 0ms));
    });
    run_for(c, 100ms, 650ms);  // at 0, 100, 500, 600
    EXPECT_EQ(counts, (std::vector<std::int64_t>{1, 1, 4, 1}));
    counts = {0, 0};
    run_for(c, 100ms, 150ms, false);
    EXPECT_EQ(counts, (std::vector<std::int64_t>{0, 0, 1}));
  });
}

TEST(looping_call, of_no_interval_lets_others_run_between) {
  run_virtual([] {
    int beats = 0;
    const looping_call c{[&] { ++beats; }};
    c.start(0s);
    const stopwatch t;
    for (int i = 0; i < 100; ++i) await(sleep_for(0s));
    c.stop();
    EXPECT_GT(beats, 10);
    EXPECT_LT(beats, 110);
    EXPECT_EQ(t(), 0);
  });
}

TEST(looping_call, a_beat_may_stop_it) {
  run_virtual([] {
    std::optional<looping_call> c;
    int beats = 0;
    c.emplace([&] {
      if (++beats == 3) c->stop();
    });
    const stopwatch t;
    auto d = c->start(1s);
    await(std::move(d));
    EXPECT_EQ(t(), 2000);
    beats = 2;
    await(c->start(1s));
    EXPECT_EQ(t(), 2000) << "also the first one";
  });
}

TEST(looping_call, stopped_during_a_beat_it_ends_with_the_beat) {
  run_virtual([] {
    const stopwatch t;
    const looping_call c{[] { return defer(sleep_for(5s)); }};
    auto d = c.start(1s);
    await(sleep_for(1s));
    c.stop();
    EXPECT_THROW(c.stop(), misuse);
    await(std::move(d));
    EXPECT_EQ(t(), 5000);
  });
}

TEST(looping_call, a_failure_ends_it_and_it_may_start_again) {
  run_virtual([] {
    int beats = 0;
    const looping_call c{[&] {
      if (++beats == 2) throw std::runtime_error{"beat"};
    }};
    const auto d = c.start(1s);
    EXPECT_THROW(await(d), std::runtime_error);
    EXPECT_FALSE(c.running());
    await(sleep_for(5s));
    EXPECT_EQ(beats, 2);
    run_for(c, 1s, 1500ms);
    EXPECT_EQ(beats, 4);
  });
}

TEST(looping_call, reset_counts_from_now) {
  run_virtual([] {
    times at;
    const stopwatch t;
    const looping_call c{[&] { at.push_back(t()); }};
    c.start(100ms);
    await(sleep_for(250ms));
    c.reset();
    await(sleep_for(250ms));
    c.stop();
    EXPECT_EQ(at, (times{0, 100, 200, 350, 450}));
    EXPECT_THROW(c.reset(), misuse);
  });
}

TEST(looping_call, cancel_ends_it_and_what_it_waits_for) {
  run_virtual([] {
    bool inner = false;
    const looping_call c{[&] {
      auto d = defer(sleep_forever());
      d.add_errback([&](failure f) {
        inner = f.check<cancelled>();
        return f;
      });
      return d;
    }};
    const auto d = c.start(1s);
    await(sleep_for(5s));
    d.cancel();
    EXPECT_THROW(await(d), cancelled_error);
    EXPECT_TRUE(inner);
    EXPECT_FALSE(c.running());
    const looping_call resting{[] {}};
    const auto e = resting.start(1s);
    await(sleep_for(5s));
    e.cancel();
    EXPECT_THROW(await(e), cancelled_error);
  });
}

TEST(looping_call, its_nursery_ends_it) {
  run_virtual([] {
    const looping_call c{[] {}};
    with_nursery([&](nursery& n) {
      c.start(1s);
      await(sleep_for(3s));
      n.cancel();
    });
    EXPECT_FALSE(c.running());
  });
}

TEST(looping_call, refuses_what_makes_no_sense) {
  const looping_call c{[] {}};
  EXPECT_THROW(c.start(1s), loop_not_running);
  EXPECT_THROW(c.stop(), misuse);
  run_virtual([&] {
    EXPECT_THROW(c.start(-1s), misuse);
    c.start(1s);
    EXPECT_THROW(c.start(1s), misuse);
  });
  EXPECT_FALSE(c.running()) << "the loop ended it";
}

TEST(looping_call, stopped_and_started_again_it_beats_at_the_new_interval_only) {
  run_virtual([] {
    int beats = 0;
    const looping_call c{[&] { ++beats; }};
    const auto first = c.start(1s);
    await(sleep_for(2500ms));
    EXPECT_EQ(beats, 3);
    c.stop();
    const auto second = c.start(10s);  // the first has not seen its end yet
    await(sleep_for(25s));
    EXPECT_EQ(beats, 6);
    EXPECT_TRUE(first.called());
    EXPECT_TRUE(c.running() && !second.called());
    c.stop();
    await(second);
  });
}

}  // namespace
}  // namespace oneloop
