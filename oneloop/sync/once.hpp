// Once: something that is made ready one time, by the first party that needs it, while the others
// wait.
//
//     oneloop::once opened;
//     co_await opened.call([&] { return open_database(); });   // a task, or any operation
//     use(database);                                           // for everybody who comes here
//
// If it fails, whoever ran it gets the error, and the next in line tries in its place. So if it is
// cancelled: only that party's try has ended.
//
// *Cancellation*: a cancelled call changed nothing, unless it was running the initialiser: then
// that was cancelled.
//
// *Threads*: every member from any thread, loop or model. It must outlive every operation on it.
// What the initialiser wrote is seen by everybody whose call has returned.
//
// *Cost*: one load once it is done. No allocation but the initialiser's. 24 bytes.
#pragma once

#include <atomic>
#include <cstddef>
#include <exception>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

#include "oneloop/scope/await.hpp"
#include "oneloop/sync/continued_wait.hpp"
#include "oneloop/sync/parking_lot.hpp"

namespace oneloop::inline v0 {

class once;

/// The right to initialise, or nothing: it is done already. If it dies before `done`, the next in
/// line gets it. Move-only.
class [[nodiscard]] once_turn {
 public:
  once_turn() noexcept = default;
  once_turn(once_turn&& o) noexcept : once_{std::exchange(o.once_, nullptr)} {}
  once_turn& operator=(once_turn&& o) noexcept {
    once_turn old{std::move(*this)};
    once_ = std::exchange(o.once_, nullptr);
    return *this;
  }
  ~once_turn() { finish(false); }

  explicit operator bool() const noexcept { return once_ != nullptr; }
  /// It is initialised: whoever waits goes on.
  void done() noexcept { finish(true); }

 private:
  friend class once;
  explicit once_turn(once& o) noexcept : once_{&o} {}
  void finish(bool done) noexcept;
  once* once_ = nullptr;
};

/// What once::statistics reports.
struct once_statistics {
  bool done;
  bool running;
  std::size_t waiting;
};

class once {
 public:
  class begin_operation : public parking_operation<begin_operation, once> {
   public:
    static constexpr const char* name = "once.begin";
    begin_operation(begin_operation&&) noexcept = default;
    /// A turn that was granted but never picked up is passed on.
    ~begin_operation() {
      if (won() && turn_) owner().finish(false);
    }
    once_turn await_resume() noexcept {
      set_idle();
      return turn_ ? once_turn{owner()} : once_turn{};
    }

   private:
    friend class once;
    template <class, class>
    friend class parking_operation;
    using parking_operation::parking_operation;
    ONELOOP_API enlisted attempt(waiter* w) noexcept;
    bool turn_ = false;
  };
  template <class F>
  class call_operation;

  once() noexcept = default;
  once(const once&) = delete;
  once& operator=(const once&) = delete;

  /// Until f() has been carried out, here or by another call. `f` gives a task or another
  /// operation, or nothing. Result: nothing. Throws what f() or its operation throws, if it was
  /// this party's turn.
  template <class F>
  [[nodiscard]] call_operation<F> call(F f) {
    return call_operation<F>{*this, std::move(f)};
  }
  /// The same in parts: until it is done, or it is this party's turn to do it. Result: a once_turn.
  [[nodiscard]] begin_operation begin() noexcept { return begin_operation{*this}; }
  [[nodiscard]] bool done() const noexcept { return done_.load(std::memory_order_acquire); }
  /// A consistent snapshot. Walks the queue under the lock.
  [[nodiscard]] once_statistics statistics() const noexcept {
    std::scoped_lock hold{lock_};
    return {done(), running_, waiting_.size()};
  }

 private:
  friend class once_turn;
  template <class, class>
  friend class parking_operation;
  ONELOOP_API void finish(bool done) noexcept;

  std::atomic<bool> done_{false};  // written under lock_
  bool running_ = false;
  mutable short_mutex lock_;
  parking_lot<begin_operation> waiting_;
};

inline void once_turn::finish(bool done) noexcept {
  if (once_ != nullptr) std::exchange(once_, nullptr)->finish(done);
}

namespace detail {
template <class Given>
struct initialiser {  // a plain function: nothing to wait for
  using type = char;
};
template <awaitable Given>
struct initialiser<Given> {
  using type = stored_operation<Given>;
};
}  // namespace detail

/// Waits for the turn, then for the initialiser.
template <class F>
class once::call_operation : public continued_wait<call_operation<F>, begin_operation> {
  using steps = continued_wait<call_operation<F>, begin_operation>;
  using given = std::invoke_result_t<F&>;
  using inner = typename detail::initialiser<given>::type;
  static constexpr bool waits = awaitable<given>;
  static_assert(waits || std::is_void_v<given>,
                "once.call: what the function gives is neither awaitable nor nothing");

 public:
  static constexpr bool needs_loop = needs_loop_v<inner>;

  [[nodiscard]] bool await_ready() const noexcept { return this->owner().done(); }
  bool await_suspend(waiter& w) {
    return begin_operation::await_suspend(w) ? this->suspended(w) : next_step(w);
  }
  void await_resume() {
    bool by_itself = this->unfinished();
    if (by_itself) {
      turn_ = begin_operation::await_resume();
      by_itself = turn_ && use_turn();
    }
    once_turn turn = std::move(turn_);  // passed on if what follows throws
    if (failure_) std::rethrow_exception(std::move(failure_));
    if (!turn) return;
    if constexpr (waits) {
      if (by_itself) {
        static_cast<void>(await(*inner_));
      } else {
        static_cast<void>(inner_->await_resume());
      }
    }
    turn.done();
  }
  void await_cancelled() {
    once_turn passed_on = std::move(turn_);
    if (!passed_on && this->won()) passed_on = begin_operation::await_resume();
    if constexpr (handles_cancel<inner>) {
      if (inner_) inner_->await_cancelled();
    }
    throw cancelled{};
  }

 private:
  friend class once;
  friend steps;
  call_operation(once& o, F&& f) : steps{o.begin()}, f_(std::move(f)) {}

  bool next_step(waiter& w) noexcept {
    // What another party has done has happened, whatever came since.
    turn_ = begin_operation::await_resume();
    if (!turn_ || steps::cancelled_meanwhile(w) || !use_turn()) return false;
    if constexpr (waits) {
      try {
        return !inner_->await_ready() && inner_->await_suspend(w);
      } catch (...) {
        failure_ = std::current_exception();
      }
    }
    return false;
  }
  /// False: f() has failed.
  bool use_turn() noexcept {
    try {
      if constexpr (waits) {
        inner_.emplace(as_operation(std::invoke(f_)));
      } else {
        std::invoke(f_);
      }
    } catch (...) {
      failure_ = std::current_exception();
    }
    return failure_ == nullptr;
  }

  F f_;
  once_turn turn_;
  std::optional<inner> inner_;
  std::exception_ptr failure_;
};

}  // namespace oneloop::inline v0
