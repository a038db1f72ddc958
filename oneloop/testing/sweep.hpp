// Many seeds, one after another: the way to find what goes wrong only in some order of things.
//
//     #include <gtest/gtest.h>
//     #include <oneloop/testing/sweep.hpp>
//
//     ONELOOP_SEEDS(bank, no_money_is_lost, 1000) {            // a TEST of GoogleTest
//       testing::run_simulated(seed, [&] { EXPECT_EQ(100, transfer_to_and_fro()); });
//     }
//
//     testing::sweep({1000, 60s}, [](std::uint64_t seed) {     // the same without GoogleTest
//       testing::run_simulated(seed, check_the_bank);
//     });
//
// The seeds are 1, 2, 3 and so on, the same in every run. The first that fails ends the sweep, and
// is named with how to replay it. If ONELOOP_SEED is set, every sweep tries that seed alone.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"
#include "oneloop/testing/simulation.hpp"

namespace oneloop::inline v0::testing {

/// Which seeds a sweep tries; a number converts: the first that many.
struct ONELOOP_API seeds {
  // NOLINTNEXTLINE(google-explicit-constructor): converting is its purpose
  seeds(std::uint64_t n, duration at_most = duration::max()) noexcept : count{n}, time{at_most} {}
  std::uint64_t count;
  /// On the wall. When it is over no further seed is begun; how far it came is logged. At least one
  /// seed is tried.
  duration time;
  std::uint64_t first = 1;
};

namespace detail {
ONELOOP_API std::uint64_t sweep(const seeds& s, const std::function<bool(std::uint64_t)>& passes);
}

/// Calls `fn(seed)` for each seed until one fails: by an exception, which leaves this unchanged, or
/// by giving false. Says in the log which seed it was. The number of seeds that have passed.
template <class F>
  requires std::invocable<F&, std::uint64_t>
std::uint64_t sweep(const seeds& s, F&& fn) {
  return detail::sweep(s, [&fn](std::uint64_t seed) {
    if constexpr (std::same_as<std::invoke_result_t<F&, std::uint64_t>, bool>) {
      return std::invoke(fn, seed);
    } else {
      static_cast<void>(std::invoke(fn, seed));
      return true;
    }
  });
}

}  // namespace oneloop::inline v0::testing

/// A test of GoogleTest (include gtest/gtest.h) that runs its body once a seed, in the order of the
/// seeds, until it fails:
///     ONELOOP_SEEDS(suite, name, 1000) { ... seed ... }        // 1,000 seeds
///     ONELOOP_SEEDS(suite, name, 1000, 20s) { ... }            // as many as 20 s allow
/// Every failure of an expectation in it names the seed.
#define ONELOOP_SEEDS(suite, name, ...)                                    \
  static void oneloop_seeds_##suite##_##name(::std::uint64_t seed);        \
  TEST(suite, name) {                                                      \
    static_cast<void>(::oneloop::testing::sweep(                           \
        ::oneloop::testing::seeds{__VA_ARGS__}, [](::std::uint64_t seed) { \
          SCOPED_TRACE(::oneloop::testing::how_to_replay(seed));           \
          oneloop_seeds_##suite##_##name(seed);                            \
          return !::testing::Test::HasFailure();                           \
        }));                                                               \
  }                                                                        \
  static void oneloop_seeds_##suite##_##name([[maybe_unused]] ::std::uint64_t seed)
