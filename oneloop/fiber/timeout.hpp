// Timeouts as objects, as gevent's: raised in the fiber (or plain thread) that started them, once,
// at its next wait.
//
//     timeout t{5s};                       // starts; ends with the block
//     try {
//       reply = await(ch.receive());
//     } catch (const timeout_expired& e) {
//       if (e != t) throw;                 // not mine: one further out
//       reply = nothing;
//     }
//
// Several may run at once, nested or not; the one further out wins if both are due. For new code
// fail_after and move_on_after (scope/region.hpp) are simpler: they end a block, whatever waits in
// it, and stay in force until it has been left.
//
// *Errors*: timeout_expired, which like `cancelled` is not a std::exception.
// *Cancellation*: a cancel from further out stays a cancel; inside `shielded` a timeout from
// outside does not strike before that has ended. A nursery in whose body or join it strikes
// cancels its children first.
// *Lifetime*: it must end before the fiber that started it does; as a local variable it does.
// *Threads*: a fiber's own. In a coroutine it throws would_block_loop: use fail_after.
// *Cost*: a cancel scope and a timer on the stack, no allocation.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"
#include "oneloop/base/error.hpp"
#include "oneloop/loop/timer_queue.hpp"
#include "oneloop/scope/cancel_scope.hpp"
#include "oneloop/scope/context.hpp"
#include "oneloop/scope/region.hpp"

namespace oneloop::inline v0 {

class ONELOOP_API timeout {
 public:
  /// Starts it: due in `d`; zero or less: as soon as the loop turns; nullopt: never.
  explicit timeout(std::optional<duration> d,
                   std::source_location at = std::source_location::current());
  ~timeout() { cancel(); }
  timeout(const timeout&) = delete;
  timeout& operator=(const timeout&) = delete;

  /// Starts it (again), due the same time from now, in the calling fiber. Throws misuse while it is
  /// pending.
  void start();
  /// It will not be raised any more; it may be started again.
  void cancel() noexcept;
  void close() noexcept { cancel(); }
  /// It was started, and neither cancelled nor raised. (It may be due.)
  [[nodiscard]] bool pending() const noexcept { return party_ != nullptr; }
  [[nodiscard]] std::optional<duration> length() const noexcept { return length_; }

  /// Whether `e` is this one's.
  friend bool operator==(const timeout_expired& e, const timeout& t) noexcept {
    return e.id() == t.id_;
  }

  /// The silent form: runs body(args...) for at most `d`. Its result, or nothing (false) if this
  /// timeout, and no other, came out of it.
  template <class Body, class... Args>
    requires blocking_body<Body, Args...>
  static auto silent(std::optional<duration> d, Body&& body, Args&&... args)
      -> region_result_t<std::invoke_result_t<Body, Args...>> {
    timeout t{d};
    try {
      if constexpr (std::is_void_v<std::invoke_result_t<Body, Args...>>) {
        std::invoke(std::forward<Body>(body), std::forward<Args>(args)...);
        return true;
      } else {
        return std::invoke(std::forward<Body>(body), std::forward<Args>(args)...);
      }
    } catch (const timeout_expired& e) {
      if (e != t) throw;
      return {};
    }
  }

 private:
  struct alarm final : timer_node {
    explicit alarm(timeout& t) noexcept;
    timeout& owner;
  };
  struct own_scope final : cancel_scope {
    own_scope(context& c, timeout& t);
    timeout& owner;
  };
  static void raise(cancel_scope& s, context& c);

  std::optional<duration> length_;
  std::source_location at_;
  std::uint64_t id_;
  context* party_ = nullptr;  // while it is pending
  std::optional<own_scope> scope_;
  alarm timer_{*this};
};

/// Runs fn() for at most `d`, in a timeout of its own: its result, or throws timeout_expired.
template <class F>
  requires blocking_body<F>
auto with_timeout(std::optional<duration> d, F&& fn) -> std::invoke_result_t<F> {
  const timeout t{d};
  return std::invoke(std::forward<F>(fn));
}
/// The same; gives `fallback` when the time is over.
template <class F, class Fallback>
  requires blocking_body<F> && std::convertible_to<Fallback, std::invoke_result_t<F>>
auto with_timeout(std::optional<duration> d, F&& fn, Fallback&& fallback)
    -> std::invoke_result_t<F> {
  auto result = timeout::silent(d, std::forward<F>(fn));
  return result ? *std::move(result) : std::forward<Fallback>(fallback);
}

}  // namespace oneloop::inline v0
