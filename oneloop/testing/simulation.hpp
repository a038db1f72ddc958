// Simulations: a whole program on a virtual clock and a simulated network, in an order that a seed
// decides. The same seed gives the same run, always; another seed another one.
//
//     int n = testing::run_simulated(42, [](testing::simulation& sim) -> task<int> {
//       auto& server = sim.network().host("server");
//       ...
//       co_await sleep_for(24h);                       // takes no time at all
//       co_return 7;
//     });
//
// In a simulation everything that could differ between two runs is the seed's: the order of those
// who are ready at once, and of timers that are due at the same instant; loop::random, and with it
// select and whatever of the library is random; the network; the clock and the time of day. What
// the program itself asks the machine for (std::chrono clocks, random devices, addresses as keys of
// a map) stays the machine's. So do the random bytes of OpenSSL, and the time by which it judges
// certificates: runs with TLS are equal in what they do, not in their bytes.
//
// There are no threads: what needs one (a nursery of threads, thread_pool, runtime, call_on, a
// worker process) throws misuse. Calls that block (to_thread, on_pool) run at once, on the stack of
// whoever waits for them, in no virtual time; they must not wait for the loop themselves, nor call
// back to it. A simulated loop is no guest. Code that blocks or spins holds it up, as any loop.
//
// A thread that the program has started by itself must leave the simulation alone. And nobody knows
// who of those that are ready runs first: after `n.start(f)` a yield_now is not enough to let `f`
// run. `await(testing::wait_all_tasks_blocked())` is.
//
// When everything is asleep for good, the run ends with all_asleep, which says who waits for what.
//
// *Failures*: what leaves `main` leaves run_simulated unchanged; before that, an error in the log
// names the seed and how to replay it. So it does on standard error if the program crashes. The
// environment's ONELOOP_SEED takes the place of every seed: `ONELOOP_SEED=42 ./my_test` replays.
// Tests over many seeds: sweep.hpp.
#pragma once

#include <concepts>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <utility>

#include "oneloop/base/config.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/testing/clock.hpp"
#include "oneloop/testing/trace.hpp"

namespace oneloop::inline v0::testing {

class network;

/// The number in the environment's ONELOOP_SEED, which replays a run; nothing if it is not set.
/// Throws misuse if it is no number.
[[nodiscard]] ONELOOP_API std::optional<std::uint64_t> seed_to_replay();
/// "seed 42: replay with ONELOOP_SEED=42", for messages.
[[nodiscard]] ONELOOP_API std::string how_to_replay(std::uint64_t seed);

/// One simulation: what run_simulated makes. By itself to set things up before, and to look at what
/// is left afterwards:
///     testing::simulation sim{42};
///     sim.trace().keep(50);
///     sim.run(main);
class ONELOOP_API simulation {
 public:
  /// ONELOOP_SEED, if it is set, takes the place of `seed`.
  explicit simulation(std::uint64_t seed);
  ~simulation();
  simulation(const simulation&) = delete;
  simulation& operator=(const simulation&) = delete;

  [[nodiscard]] std::uint64_t seed() const noexcept { return seed_; }
  [[nodiscard]] oneloop::loop& loop() noexcept { return loop_; }
  [[nodiscard]] virtual_clock& clock() noexcept { return *loop_.virtual_time(); }
  [[nodiscard]] simulation_trace& trace() noexcept { return trace_; }
  /// Its network, made on first use; include testing/network.hpp. From then on sockets that are
  /// made in the simulation are the network's.
  [[nodiscard]] testing::network& network();
  /// A random number that the seed decides; loop::random.
  [[nodiscard]] std::uint64_t random() noexcept { return loop_.random(); }

  /// Runs `main(*this)` or `main()`, as a task if that is what it gives, else as a fiber: its
  /// result or exception. May be called again when it has returned.
  template <class F>
    requires(std::invocable<F&, simulation&> || std::invocable<F&>)
  decltype(auto) run(F&& main, std::source_location at = std::source_location::current()) {
    const running here{*this};
    try {
      if constexpr (task_body<F&, simulation&>) {
        return oneloop::run(loop_, std::invoke(main, *this), at);
      } else if constexpr (std::invocable<F&, simulation&>) {
        return oneloop::run(loop_, main, *this);
      } else if constexpr (task_body<F&>) {
        return oneloop::run(loop_, std::invoke(main), at);
      } else {
        return oneloop::run(loop_, main);
      }
    } catch (...) {
      report(std::current_exception());
      throw;
    }
  }

 private:
  /// While it lives, a crash of the program names the seed.
  class ONELOOP_API running {
   public:
    explicit running(const simulation& s) noexcept;
    ~running();
    running(const running&) = delete;
    running& operator=(const running&) = delete;
  };
  void report(const std::exception_ptr& failure) const noexcept;

  std::uint64_t seed_;
  simulation_trace trace_;
  oneloop::loop loop_;
  std::shared_ptr<testing::network> network_;  // complete only where it is made
};

/// Runs `main` in a simulation of its own; see simulation::run.
template <class F>
  requires(std::invocable<F&, simulation&> || std::invocable<F&>)
decltype(auto) run_simulated(std::uint64_t seed, F&& main,
                             std::source_location at = std::source_location::current()) {
  simulation sim{seed};
  return sim.run(std::forward<F>(main), at);
}

}  // namespace oneloop::inline v0::testing
