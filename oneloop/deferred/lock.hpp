// A lock and a semaphore for chains of callbacks, as Twisted's DeferredLock and DeferredSemaphore.
// They are mutex and semaphore (sync/) with deferreds in front: what they hand out is the same, and
// any party may wait for the same one.
//
//     deferred_semaphore at_most{10};
//     at_most.run(fetch, url).add_callback(show);       // waits, calls, gives back
//     deferred_lock lock;
//     lock.acquire().add_callback([](mutex_guard g) { ... });   // unlocks when `g` dies
//
// First come, first served. A guard or permit that nobody takes out of its deferred is given back
// when the deferred goes: nothing is lost by an error.
//
// *Ownership*: who waits is a child of the nursery that the code is in the body of, or else of the
// loop's root nursery. The lock must outlive all who wait for it or hold it.
// *Cancellation*: cancel of an acquire that still waits takes it out of the line. Of a run: before
// f was called it is not called any more; afterwards what it waits for is cancelled. Given back is
// always.
// *Threads*: members on a loop; the lock may be shared by loops.
#pragma once

#include <cstddef>
#include <expected>
#include <functional>
#include <memory>
#include <source_location>
#include <tuple>
#include <type_traits>
#include <utility>

#include "oneloop/deferred/deferred.hpp"
#include "oneloop/sync/mutex.hpp"
#include "oneloop/sync/semaphore.hpp"

namespace oneloop::inline v0 {

namespace detail {
/// Calls f(args...) once `acquired` has fired; what that gave lives until the end of what f gives.
template <class Guard, class F, class... Args>
auto run_holding(const deferred<Guard>& acquired, F&& f, Args&&... args) {
  return acquired.add_callback(
      [f = std::decay_t<F>(std::forward<F>(f)),
       args = std::tuple<std::decay_t<Args>...>{std::forward<Args>(args)...}](Guard g) mutable {
        auto called =
            maybe_deferred([f = std::move(f), args = std::move(args)]() mutable -> decltype(auto) {
              return std::apply(f, std::move(args));
            });
        using result = std::expected<typename decltype(called)::value_type, failure>;
        return called.add_both([g = std::move(g)](result r) mutable {
          {
            const Guard give_back = std::move(g);
          }
          return r;
        });
      });
}
}  // namespace detail

class deferred_lock {
 public:
  /// Fires with a mutex_guard when it is this one's turn.
  [[nodiscard]] deferred<mutex_guard> acquire(
      std::source_location at = std::source_location::current()) {
    return defer(mutex_.lock(), at);
  }
  /// Calls f(args...) with the lock held, until the deferred or task that it may give has ended;
  /// what that gives.
  template <class F, class... Args>
    requires std::invocable<std::decay_t<F>&, std::decay_t<Args>...>
  auto run(F&& f, Args&&... args) {
    return detail::run_holding(acquire(), std::forward<F>(f), std::forward<Args>(args)...);
  }
  [[nodiscard]] bool locked() const noexcept { return mutex_.locked(); }
  /// How many wait.
  [[nodiscard]] std::size_t waiting() const noexcept { return mutex_.statistics().waiting; }
  /// For other kinds of waiters.
  [[nodiscard]] mutex& shared() noexcept { return mutex_; }

 private:
  mutex mutex_;
};

class deferred_semaphore {
 public:
  explicit deferred_semaphore(std::size_t tokens) : limit_{tokens}, semaphore_{tokens, tokens} {}
  /// Fires with a semaphore_permit when there is one.
  [[nodiscard]] deferred<semaphore_permit> acquire(
      std::source_location at = std::source_location::current()) {
    return defer(semaphore_.permit(), at);
  }
  /// As deferred_lock::run.
  template <class F, class... Args>
    requires std::invocable<std::decay_t<F>&, std::decay_t<Args>...>
  auto run(F&& f, Args&&... args) {
    return detail::run_holding(acquire(), std::forward<F>(f), std::forward<Args>(args)...);
  }
  /// Free ones.
  [[nodiscard]] std::size_t tokens() const noexcept { return semaphore_.available(); }
  [[nodiscard]] std::size_t limit() const noexcept { return limit_; }
  [[nodiscard]] std::size_t waiting() const noexcept { return semaphore_.statistics().waiting; }
  [[nodiscard]] semaphore& shared() noexcept { return semaphore_; }

 private:
  std::size_t limit_;
  semaphore semaphore_;
};

}  // namespace oneloop::inline v0
