// Random parties that use one object while somebody cancels them, and the histories of it:
// coroutines and fibers on one loop in simulated time, in an order that a seed decides; or with
// plain threads on two loops, in whatever order there is.
//
// A subject is an object, its model and what may be done with it:
//     explicit subject(std::uint32_t dice);
//     M model() const;
//     struct hand {};                                            // what a party holds
//     bool instant(shared&, hand&, std::uint32_t dice);          // without waiting; or nothing:
//     false auto waiting(shared&, hand&, std::uint32_t dice, How how); // how(shared, call, make,
//     read)
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <mutex>
#include <random>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "oneloop/base/error.hpp"
#include "oneloop/base/sanitized_test.hpp"
#include "oneloop/fiber/spawn.hpp"
#include "oneloop/loop/runtime.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/region.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/spawn.hpp"
#include "oneloop/testing/sweep.hpp"
#include "tests/linearizable.hpp"

namespace oneloop::linearizable {

using namespace std::chrono_literals;

// ---- what is recorded ----

inline constexpr std::size_t parties = 6;

/// What the parties of one history share.
struct shared {
  history calls;
  std::mutex lock;
  std::array<cancel_handle, parties> targets;  // what each is in
  std::atomic<int> left{0};
  std::atomic<int> last_value{0};

  void expose(std::size_t party, cancel_scope& s) {
    const std::scoped_lock hold{lock};
    targets[party] = s.handle();
  }
  void cancel_one(std::mt19937& dice) {
    cancel_handle one;
    {
      const std::scoped_lock hold{lock};
      one = targets[dice() % parties];
    }
    one.cancel();
  }
  void instant(call c, auto&& f) {
    const int me = calls.begin(c);
    const int result = f();
    calls.end(me, result);
  }
};

struct in_coroutine {
  std::size_t party;
  // The coroutine itself is no member: `this` would be gone before it runs.
  template <class Make, class Read>
  task<> operator()(shared& s, call c, Make make, Read read) const {
    return run(party, s, c, std::move(make), std::move(read));
  }
  template <class Make, class Read>
  static task<> run(std::size_t party, shared& s, call c, Make make, Read read) {
    const int me = s.calls.begin(c);
    auto body = [&](cancel_scope& scope) -> task<> {
      s.expose(party, scope);
      auto op = make();
      int result = refused;
      try {
        if constexpr (std::is_void_v<await_result<decltype(op)&>>) {
          co_await op;
          result = read();
        } else {
          auto r = co_await op;
          result = read(r);
        }
      } catch (const closed_error&) {
      }
      s.calls.end(me, result);
    };
    auto region = with_scope(scope_options{}, body);
    co_await std::move(region);
  }
};
struct in_place {
  std::size_t party;
  template <class Make, class Read>
  void operator()(shared& s, call c, Make make, Read read) const {
    const int me = s.calls.begin(c);
    with_scope(scope_options{}, [&](cancel_scope& scope) {
      s.expose(party, scope);
      auto op = make();
      int result = refused;
      try {
        if constexpr (std::is_void_v<await_result<decltype(op)&>>) {
          await(op);
          result = read();
        } else {
          auto r = await(op);
          result = read(r);
        }
      } catch (const closed_error&) {
      }
      s.calls.end(me, result);
    });
  }
};

// ---- parties ----

inline constexpr int calls_each = 7;

template <class Subject>
void finish(Subject& subject, shared& s, typename Subject::hand& h) {
  subject.instant(s, h, ~0U);  // what it holds goes back
  --s.left;
}
template <class Subject>
task<> coroutine_party(Subject* subject, shared* s, std::size_t me, std::uint32_t seed) {
  std::minstd_rand dice{seed};
  typename Subject::hand h;
  for (int i = 0; i < calls_each; ++i) {
    const auto d = static_cast<std::uint32_t>(dice());
    if (subject->instant(*s, h, d)) {
      co_await yield_now();
      continue;
    }
    auto waiting = subject->waiting(*s, h, d, in_coroutine{me});
    co_await std::move(waiting);
  }
  finish(*subject, *s, h);
}
template <class Subject>
void blocking_party(Subject* subject, shared* s, std::size_t me, std::uint32_t seed) {
  std::minstd_rand dice{seed};
  typename Subject::hand h;
  for (int i = 0; i < calls_each; ++i) {
    const auto d = static_cast<std::uint32_t>(dice());
    if (subject->instant(*s, h, d)) {
      await(yield_now());
    } else {
      subject->waiting(*s, h, d, in_place{me});
    }
  }
  finish(*subject, *s, h);
}

/// On one loop, in simulated time.
template <class Subject>
void simulate(std::uint64_t seed) {
  testing::simulation sim{seed};
  std::mt19937 dice{static_cast<std::uint32_t>(sim.seed())};
  Subject subject{static_cast<std::uint32_t>(dice())};
  shared s;
  sim.run([&] {
    with_nursery([&](nursery& n) {
      s.left = parties;
      for (std::size_t i = 0; i < parties; i += 2) {
        n.start(coroutine_party<Subject>, &subject, &s, i, static_cast<std::uint32_t>(dice()));
        n.start(blocking_party<Subject>, &subject, &s, i + 1, static_cast<std::uint32_t>(dice()));
      }
      while (s.left != 0) {
        if (dice() % 3 != 0) s.cancel_one(dice);
        await(dice() % 2 == 0 ? sleep_for(1ms) : sleep_for(0ms));
      }
    });
  });
  EXPECT_EQ(why_not_linearizable(s.calls.calls(), subject.model()), "");
}

/// On two loops and two plain threads.
template <class Subject>
void race(int rounds) {
  runtime loops{2};
  std::mt19937 dice{5};
  for (int round = 0; round < rounds && !::testing::Test::HasFailure(); ++round) {
    Subject subject{static_cast<std::uint32_t>(dice())};
    shared s;
    s.left = parties;
    std::vector<joinable<>> on_loops;
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < 2; ++i) {
      on_loops.push_back(loops.spawn(i, coroutine_party<Subject>, &subject, &s, i,
                                     static_cast<std::uint32_t>(dice())));
      on_loops.push_back(loops.spawn(i, blocking_party<Subject>, &subject, &s, i + 2,
                                     static_cast<std::uint32_t>(dice())));
      threads.emplace_back(blocking_party<Subject>, &subject, &s, i + 4,
                           static_cast<std::uint32_t>(dice()));
    }
    while (s.left != 0) {
      if (dice() % 4 == 0) s.cancel_one(dice);
      std::this_thread::sleep_for(10us);
    }
    for (auto& p : on_loops) await(p.join());
    for (auto& t : threads) t.join();
    EXPECT_EQ(why_not_linearizable(s.calls.calls(), subject.model()), "");
  }
  loops.stop();
}

/// Both, for a type of subject.
template <class Subject>
void check_in_simulated_time() {
  testing::sweep({test::sanitized ? 40U : 300U, 10s}, [](std::uint64_t seed) {
    SCOPED_TRACE(testing::how_to_replay(seed));
    simulate<Subject>(seed);
    return !::testing::Test::HasFailure();
  });
}
template <class Subject>
void check_across_loops_and_threads() {
  race<Subject>(test::sanitized ? 10 : 40);
}

}  // namespace oneloop::linearizable
