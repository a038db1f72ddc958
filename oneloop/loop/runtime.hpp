// A runtime: several loops, each on a thread of its own, that share nothing.
//
//     oneloop::runtime rt{4};                                 // or runtime rt; one a core
//     for (std::size_t i = 0; i < rt.size(); ++i) rt.spawn(i, serve, port);
//     rt.join();                                              // until stop() or a failure
//
// A waiter never changes its loop. What crosses loops is explicit: spawn, nursery::start_on, and
// everything in sync/ and channel/.
//
// The end, in this order: `stop` cancels the root nursery of every loop; each loop runs until what
// it owns has ended, and goes on running until that is true of all, because a party of another loop
// may still need it to clean up; then the loops refuse what comes from outside, and the threads
// end. A failure that leaves a root nursery stops the whole runtime; join throws it.
//
// *Threads*: every member from any thread; join and stop throw would_block_loop inside a loop, and
// the destructor blocks: it must not run on a thread of the runtime itself. *Errors*: the
// constructor throws error if a loop or a thread cannot be made; then nothing is left running.
#pragma once

#include <concepts>
#include <cstddef>
#include <memory>
#include <source_location>
#include <string>
#include <utility>

#include "oneloop/base/config.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/loop/loop_at.hpp"

namespace oneloop::inline v0 {

/// What a runtime starts with. Setters chain: `runtime_options{}.backend("io_uring").name("io")`.
class runtime_options {
 public:
  /// As in loop's constructor.
  runtime_options& backend(std::string b) {
    backend_ = std::move(b);
    return *this;
  }
  /// The threads are called "name-0", "name-1"...: debuggers and top show the first 15 characters.
  runtime_options& name(std::string n) {
    name_ = std::move(n);
    return *this;
  }

 private:
  friend class runtime;
  std::string backend_;
  std::string name_ = "loop";
};

class ONELOOP_API runtime {
 public:
  /// A loop a core: as many as this process may use at once.
  runtime();
  explicit runtime(std::size_t loops, const runtime_options& options = {});
  /// Stops. A failure that nobody has been told of is logged.
  ~runtime();
  runtime(const runtime&) = delete;
  runtime& operator=(const runtime&) = delete;

  [[nodiscard]] std::size_t size() const noexcept;
  [[nodiscard]] oneloop::loop& loop(std::size_t i);

  /// An index, and the line of the call; an index converts to it.
  struct index_at {
    template <std::convertible_to<std::size_t> I>
    // NOLINTNEXTLINE(google-explicit-constructor): converting is its purpose
    index_at(I i, std::source_location a = std::source_location::current()) noexcept
        : index{static_cast<std::size_t>(i)}, at{a} {}
    std::size_t index;
    std::source_location at;
  };
  /// spawn_on(loop(i), fn, args...): gives a joinable. Needs fiber/spawn.hpp (or task/spawn.hpp).
  template <class F, class... Args>
  auto spawn(index_at i, F&& fn, Args&&... args) {
    return spawn_on(loop_at{loop(i.index), i.at}, std::forward<F>(fn), std::forward<Args>(args)...);
  }

  /// Asks everything to end; returns at once.
  void request_stop() noexcept;
  /// Waits for the end (by request_stop, or by a failure). Rethrows the failure, to one caller;
  /// those of several loops as an exception_group.
  void join();
  /// request_stop and join.
  void stop() {
    request_stop();
    join();
  }

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace oneloop::inline v0
