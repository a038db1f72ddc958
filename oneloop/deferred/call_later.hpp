// Calls that come later, as Twisted's reactor.callLater and task.deferLater.
//
//     delayed_call c = call_later(2s, say, "too late");
//     if (c.active()) c.cancel();                          // or c.reset(5s), c.delay(1s)
//     defer_later(1s, [] { return 3; }).add_callback(use);  // a deferred of what it gives
//
// The call is made from the loop's queue, on its own stack: it must not block. What it throws is
// logged, like every failure that nobody handles. If it gives a task, that is started.
//
// *Ownership*: a call that is pending is a child of the nursery that the code is in the body of, or
// else of the loop's root nursery: the nursery waits for it, and its cancel drops it. Dropping the
// handle changes nothing.
//
// *Threads*: the loop's own. Time is the loop's. *Cost*: as a task that sleeps.
#pragma once

#include <functional>
#include <memory>
#include <source_location>
#include <tuple>
#include <type_traits>
#include <utility>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"
#include "oneloop/deferred/deferred.hpp"
#include "oneloop/loop/timer_queue.hpp"
#include "oneloop/loop/waiter.hpp"

namespace oneloop::inline v0 {

namespace detail {

/// A sleep, as an operation, whose end may be moved while it is waited for. On one loop's thread.
class ONELOOP_API alarm {
 public:
  explicit alarm(time_point t) noexcept : when_{t} {}
  alarm(const alarm&) = delete;
  alarm& operator=(const alarm&) = delete;
  ~alarm() { stop(); }

  bool await_ready() const noexcept { return false; }
  bool await_suspend(waiter& w);
  void await_resume() const noexcept {}

  [[nodiscard]] time_point when() const noexcept { return when_; }
  void move_to(time_point t) noexcept;
  /// Ends the wait, if there is one.
  void end() noexcept;

 private:
  struct node : timer_node {
    explicit node(alarm& a) noexcept;
    alarm& owner;
  };
  static void cancel(void* op, waiter& w) noexcept;
  static const operation_info info;
  void stop() noexcept;
  time_point when_;
  waiter* waiter_ = nullptr;  // null: nobody waits
  node node_{*this};
};

struct delayed_state;

}  // namespace detail

/// A call that was asked for by call_later. Copies are handles of the same call.
class ONELOOP_API delayed_call {
 public:
  /// Neither made nor cancelled yet.
  [[nodiscard]] bool active() const noexcept;
  /// When it is or was due, by the loop's clock.
  [[nodiscard]] time_point get_time() const noexcept;
  /// Never makes the call. These throw misuse if it is not active.
  void cancel() const;
  /// Makes it `d` from now.
  void reset(duration d) const;
  /// Makes it `d` later than it was to be.
  void delay(duration d) const;

  // ---- for models ----
  delayed_call(std::move_only_function<void()> work, delay_at d);

 private:
  void check(const char* what) const;
  std::shared_ptr<detail::delayed_state> state_;
};

/// Calls f(args...) after `d`, or, if that is not positive, when what is ready now has run. `f` and
/// `args` are moved into the call. Throws loop_not_running outside every loop.
template <class F, class... Args>
  requires std::invocable<std::decay_t<F>&, std::decay_t<Args>...>
delayed_call call_later(delay_at d, F&& f, Args&&... args) {
  return delayed_call{
      [at = d.at, f = std::decay_t<F>(std::forward<F>(f)),
       args = std::tuple<std::decay_t<Args>...>{std::forward<Args>(args)...}]() mutable {
        succeed(at).add_callback(
            [f = std::move(f), args = std::move(args)]() mutable -> decltype(auto) {
              return std::apply(f, std::move(args));
            });
      },
      d};
}

/// The same; gives what f(args...) gives as a deferred. Cancel of that before the time has come
/// means that the call is not made.
template <class F, class... Args>
  requires std::invocable<std::decay_t<F>&, std::decay_t<Args>...>
auto defer_later(delay_at d, F&& f, Args&&... args) {
  return detail::defer_as(spawn_info{"defer_later", d.at}, sleep_for(d.delay))
      .add_callback([f = std::decay_t<F>(std::forward<F>(f)),
                     args = std::tuple<std::decay_t<Args>...>{
                         std::forward<Args>(args)...}]() mutable -> decltype(auto) {
        return std::apply(f, std::move(args));
      });
}
/// Fires after `d`.
inline deferred<> defer_later(delay_at d) {
  return detail::defer_as(spawn_info{"defer_later", d.at}, sleep_for(d.delay));
}

}  // namespace oneloop::inline v0
