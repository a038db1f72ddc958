// Waiting for children by their handles, as asyncio does it: wait and wait_for; and shield.
//
//     auto a = spawn(n, fetch, x), b = spawn(n, fetch, y);
//     auto r = co_await wait(std::vector{a, b}, first_completed);     // r.done, r.not_done
//     page p = co_await wait_for(a, 2s);            // timeout_error; and then `a` has ended, too
//     co_await shield(n, save, record);             // a cancel of the caller leaves it to n
//
// *Threads*: handles are waited for by every kind of waiter, on any loop or plain thread.
#pragma once

#include <algorithm>
#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>
#include <vector>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"
#include "oneloop/base/error.hpp"
#include "oneloop/loop/waiter.hpp"
#include "oneloop/scope/await.hpp"
#include "oneloop/scope/nursery.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/task/spawn.hpp"

namespace oneloop::inline v0 {

/// What `wait` waits for.
enum class return_when : std::uint8_t {
  all_completed,
  first_completed,  // any of them is done
  first_exception,  // one of them has failed (being cancelled is no failure), or all are done
};
inline constexpr auto all_completed = return_when::all_completed;
inline constexpr auto first_completed = return_when::first_completed;
inline constexpr auto first_exception = return_when::first_exception;

/// What `wait` gives: each handle once, in order.
template <class Handle>
struct wait_result {
  std::vector<Handle> done;
  std::vector<Handle> not_done;
};

namespace detail {

/// What a wait for several and those several share: how many are left, and whether it is enough.
struct gathering {
  gathering(std::size_t n, return_when w) : left{n}, when{w}, enough{n == 0} {}
  void one_ended(bool failed) noexcept {
    const bool last = left.fetch_sub(1, std::memory_order_acq_rel) == 1;
    if (last || when == first_completed || (when == first_exception && failed)) enough.set();
  }
  std::atomic<std::size_t> left;
  const return_when when;
  event enough;
};

/// Hears of the ends of children, on whatever thread they end, for as long as the pointer lives.
[[nodiscard]] ONELOOP_API std::shared_ptr<gathering> watch_ends(
    const std::vector<join_state*>& children, return_when when);

/// Each once, in the order of their first places.
template <class Handle>
std::vector<Handle> distinct(std::vector<Handle> all) {
  std::vector<Handle> once;
  once.reserve(all.size());
  std::vector<const void*> seen;
  seen.reserve(all.size());
  for (auto& h : all) seen.push_back(&h.checked());
  std::ranges::sort(seen);
  std::vector<bool> taken(seen.size());
  for (auto& h : all) {
    const void* const address = &h.checked();
    const auto at =
        static_cast<std::size_t>(std::ranges::lower_bound(seen, address) - seen.begin());
    if (!taken[at]) once.push_back(std::move(h));
    taken[at] = true;
  }
  return once;
}

/// The joinable behind a handle: a joinable, or a fiber.
template <class T>
joinable<T> child_of(const joinable<T>& h) {
  return h;
}
template <class Handle>
auto child_of(const Handle& h) -> decltype(child_of(h.handle())) {
  return h.handle();
}
template <class Handle>
concept child_handle = requires(const Handle& h) { child_of(h); };
/// Also a future.
template <class Handle>
concept join_handle = requires(const Handle& h) {
  { h.checked() } -> std::convertible_to<join_state&>;
};

}  // namespace detail

/// What `until` is. Retractable.
class until_operation {
 public:
  explicit until_operation(std::shared_ptr<detail::gathering> g)
      : state_{std::move(g)}, wait_{state_->enough.wait()} {}
  [[nodiscard]] bool await_ready() const noexcept { return wait_.await_ready(); }
  bool await_suspend(waiter& w) noexcept { return wait_.await_suspend(w); }
  void await_resume() const noexcept {}
  enlisted enlist(waiter& w) noexcept { return wait_.enlist(w); }
  void delist() noexcept { wait_.delist(); }
  [[nodiscard]] bool won() const noexcept { return wait_.won(); }
  bool try_now() noexcept { return wait_.try_now(); }

 private:
  std::shared_ptr<detail::gathering> state_;
  event::wait_operation wait_;
};

/// An operation without a result: until enough of the children have ended. What is done then is
/// found by looking at them.
template <detail::join_handle Handle>
[[nodiscard]] until_operation until(const std::vector<Handle>& handles,
                                    return_when when = all_completed) {
  std::vector<detail::join_state*> children;
  for (const auto& h : detail::distinct(handles)) children.push_back(&h.checked());
  return until_operation{detail::watch_ends(children, when)};
}

/// What `wait` is.
template <class Handle>
class wait_operation {
 public:
  wait_operation(std::vector<Handle> handles, return_when when, duration limit)
      : handles_{detail::distinct(std::move(handles))}, inner_{limit, until(handles_, when)} {}

  [[nodiscard]] bool await_ready() const noexcept { return false; }
  bool await_suspend(waiter& w) { return inner_.await_suspend(w); }
  wait_result<Handle> await_resume() {
    static_cast<void>(inner_.await_resume());
    return result();
  }
  wait_result<Handle> await_cancelled() {
    static_cast<void>(inner_.await_cancelled());  // throws, unless it was the limit
    return result();
  }

 private:
  wait_result<Handle> result() {
    wait_result<Handle> r;
    for (auto& h : handles_) {
      (h.checked().finished() ? r.done : r.not_done).push_back(std::move(h));
    }
    return r;
  }
  std::vector<Handle> handles_;
  timed_operation<until_operation, false> inner_;
};

/// An operation: until enough of the children have ended, for `limit` at most; which have, and
/// which have not. It throws nothing of theirs and cancels none of them; their results and failures
/// are still there for who joins. Of none: nothing, at once.
///
/// *Cancellation*: leaves the children alone.
template <detail::child_handle Handle>
[[nodiscard]] wait_operation<Handle> wait(std::vector<Handle> handles,
                                          return_when when = all_completed,
                                          duration limit = duration::max()) {
  return {std::move(handles), when, limit};
}
template <detail::child_handle Handle>
[[nodiscard]] wait_operation<Handle> wait(std::vector<Handle> handles, duration limit) {
  return {std::move(handles), all_completed, limit};
}

namespace detail {

/// The join of a child by whoever owns its fate: a cancel of the waiter is one of the child, whose
/// end is waited for. What it gave all the same is delivered.
template <class T>
class owned_join : public join_operation<T> {
 public:
  static constexpr bool runs_already = true;
  explicit owned_join(join_state_of<T>& s) noexcept : join_operation<T>{s} {}

  bool await_suspend(waiter& w) noexcept {
    w.arm(this, info);
    if (this->enlist(w) == enlisted::waiting) return true;
    w.disarm();
    return false;
  }
  T await_resume() {
    if (asked_ && this->state().ended_by_cancel()) throw cancelled{};
    return join_operation<T>::await_resume();
  }

 private:
  static constexpr operation_info info{"join", [](void* op, waiter&) noexcept {
                                         auto& me = *static_cast<owned_join*>(op);
                                         me.asked_ = true;
                                         me.state().cancel();
                                       }};
  bool asked_ = false;
};
template <class T>
owned_join<T> owned(const joinable<T>& child) {
  return owned_join<T>{child.checked()};
}

}  // namespace detail

/// `a` with a limit from when it is awaited, by asyncio's rules: at the limit `a` is cancelled, and
/// waited for; if it finished all the same its result is delivered; otherwise timeout_error. A
/// limit that is not positive starts nothing, but what is done by then is delivered. An outer
/// cancel goes to `a`, too, and stays a cancel.
///
/// For an operation or a task that is fail_after. A handle stands for its child: that is cancelled
/// and waited for. (fail_after on a handle only ends the wait.)
template <class A>
  requires awaitable<A>
[[nodiscard]] auto wait_for(A&& a, duration limit) {
  if constexpr (detail::child_handle<std::remove_cvref_t<A>>) {
    return fail_after(limit, detail::owned(detail::child_of(a)));
  } else {
    return fail_after(limit, std::forward<A>(a));
  }
}

/// What `shield` is.
template <class F, class... Args>
class shield_operation {
  using value_type = typename detail::spawned<F, Args...>::value_type;

 public:
  shield_operation(nursery_at n, F&& fn, std::tuple<Args...>&& args)
      : nursery_{n}, fn_{std::move(fn)}, args_{std::move(args)} {}
  /// Before it is started.
  shield_operation(shield_operation&& o) noexcept
      : nursery_{o.nursery_}, fn_{std::move(o.fn_)}, args_{std::move(o.args_)} {}

  [[nodiscard]] bool await_ready() const noexcept { return false; }
  bool await_suspend(waiter& w) {
    const joinable<value_type> child = std::apply(
        [this](Args&... a) { return spawn(nursery_, std::move(fn_), std::move(a)...); }, args_);
    return join_.emplace(child.join()).await_suspend(w);
  }
  value_type await_resume() { return join_->await_resume(); }

 private:
  nursery_at nursery_;
  F fn_;
  std::tuple<Args...> args_;
  std::optional<join_operation<value_type>> join_;
};

/// fn(args...) as a child of `n`, and its result; `fn` as in nursery::start. A cancel of the caller
/// ends the wait at once and leaves the child to `n`: it goes on, and a failure that comes then is
/// the nursery's. (A `join` is such a wait for a child that runs already; `shielded` keeps the
/// caller waiting instead.)
///
/// Throws cancelled_error if the child was cancelled by somebody else, as its nursery. *Threads*:
/// it is awaited where the nursery is used.
template <class F, class... Args>
[[nodiscard]] auto shield(nursery_at n, F&& fn, Args&&... args) {
  return shield_operation<std::decay_t<F>, std::decay_t<Args>...>{
      n, std::decay_t<F>{std::forward<F>(fn)},
      std::tuple<std::decay_t<Args>...>{std::forward<Args>(args)...}};
}

}  // namespace oneloop::inline v0
