// Futures and promises: a result that somebody will give, for any number of waiters of every kind.
//
//     oneloop::promise<int> p;
//     oneloop::future<int> f = p.get_future();       // copies are the same future
//     std::thread worker{[p = std::move(p)]() mutable { p.set_value(42); }};
//     int x = f.result();                            // in a thread or fiber; co_await f elsewhere
//
// Most come from an executor (thread_pool::submit, stealing_pool::start). The rules are those of
// Python's concurrent.futures:
//   - It is pending, then perhaps running, then done. `cancel` succeeds only while it is pending.
//   - Callbacks run in the thread that completes it, in the order in which they were added; at once
//     if it is done already. What one throws is logged, and the others run.
//   - `wait` and `as_completed` work on several.
//
// *Result*: each asking gives a copy. Of a result that cannot be copied the first one takes it; a
// second one throws misuse.
// *Errors*: `result` rethrows the failure. It throws cancelled_error if the future was cancelled,
// broken_promise if its promise died without a result. A failure that nobody has asked for when the
// last handle goes is logged; but not a broken_promise of which no future was left to tell.
// *Cancellation*: a cancelled wait leaves the future alone. Retractable: select takes a future's
// wait.
// *Threads*: everything, from any thread; one handle object by one thread at a time.
// *Cost*: one allocation a future, one more a callback.
#pragma once

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"
#include "oneloop/base/error.hpp"
#include "oneloop/base/short_mutex.hpp"
#include "oneloop/scope/await.hpp"
#include "oneloop/scope/root.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/sync/semaphore.hpp"
#include "oneloop/task/as_completed.hpp"
#include "oneloop/task/spawn.hpp"
#include "oneloop/task/wait.hpp"

namespace oneloop::inline v0 {

/// A future was given a second result, or one after it was cancelled.
class ONELOOP_API invalid_state : public error {
 public:
  explicit invalid_state(std::string_view what);
};
/// The promise died without having given a result.
class ONELOOP_API broken_promise : public error {
 public:
  explicit broken_promise(std::string_view what);
};

template <class T>
class future;

namespace detail {

/// What a future is beyond a join: its phase, and its callbacks.
class ONELOOP_API future_control {
 public:
  enum class phase : std::uint8_t { pending, running, cancelled, finished };
  explicit future_control(join_state& s) noexcept : state_{s} {}
  future_control(const future_control&) = delete;
  future_control& operator=(const future_control&) = delete;
  ~future_control();

  [[nodiscard]] phase now() const noexcept { return phase_.load(std::memory_order_acquire); }
  /// From pending to running; false if it was cancelled. Throws invalid_state.
  bool start();
  /// From pending to cancelled, and tells everybody; true also if it was cancelled before.
  bool cancel() noexcept;
  void interrupt() noexcept {
    if (!cancel()) code.cancel();
  }
  /// The code that gives the result, while it runs.
  job_scope code;
  /// True for the one who may store a result and `complete`.
  bool claim() noexcept;
  /// Throws invalid_state.
  void claim_or_throw();
  /// After `claim`: wakes who waits, then runs the callbacks.
  void complete(std::exception_ptr error, bool absorbed) noexcept;
  void add_callback(std::move_only_function<void()> f);
  /// Lets a thread that is about to park do something for the result meanwhile. Set before the
  /// future is known to anybody else.
  void (*help)(waiter& w) = nullptr;

 private:
  struct callback;
  join_state& state_;
  std_atomics::atomic<phase> phase_{phase::pending};
  short_mutex lock_;
  bool called_ = false;  // callbacks that come from now on run at once
  callback* first_ = nullptr;
  callback* last_ = nullptr;
};

/// The failure that nobody asked for goes to the log.
ONELOOP_API void log_unasked(const char* name, const std::exception_ptr& failure) noexcept;

template <class T>
class future_state final : public join_state_of<T> {
 public:
  explicit future_state(const char* name) : join_state_of<T>{name, nullptr} {}
  future_control control{*this};

 private:
  ~future_state() override {
    if (auto failure = this->unasked()) log_unasked(this->name(), failure);
  }
};

template <class T>
using future_ref = join_ref<future_state<T>, false>;

template <class T>
future_ref<T> make_future_state(const char* name) {
  auto* s = new future_state<T>{name};
  future_ref<T> made{s};
  s->release();
  return made;
}

/// A wait for the end of a future, whatever it is.
template <class T, class Base>
class future_wait : public Base {
 public:
  bool await_suspend(waiter& w) {
    if (!Base::await_suspend(w)) return false;
    if (control_->help != nullptr && w.home() == nullptr) control_->help(w);
    return true;
  }

 protected:
  explicit future_wait(future_state<T>& s) : Base{s}, control_{&s.control} {}

 private:
  future_control* control_;
};

}  // namespace detail

/// What awaiting a future is: its result, or its failure.
template <class T>
class future_operation : public detail::future_wait<T, join_operation<T>> {
 public:
  explicit future_operation(detail::future_state<T>& s)
      : detail::future_wait<T, join_operation<T>>{s} {}
};

/// What future::finished is.
template <class T>
class future_end : public detail::future_wait<T, detail::ended_wait> {
 public:
  explicit future_end(detail::future_state<T>& s) : detail::future_wait<T, detail::ended_wait>{s} {}
};

template <class T = void>
class future {
 public:
  using value_type = T;

  /// No future; only assignment, comparison and destruction make sense.
  future() noexcept = default;
  [[nodiscard]] explicit operator bool() const noexcept { return state_.get() != nullptr; }

  /// Waits, for `timeout` at most: the result, or the failure. Throws timeout_error. In a thread or
  /// a fiber.
  T result(std::optional<duration> timeout = std::nullopt) const {
    if (timeout && !done()) return await(fail_after(*timeout, get()));
    return await(get());
  }
  /// Waits: the failure, null if there is a result. Throws timeout_error, and cancelled_error.
  [[nodiscard]] std::exception_ptr exception(std::optional<duration> timeout = std::nullopt) const {
    if (timeout && !done()) {
      await(fail_after(*timeout, finished()));
    } else {
      await(finished());
    }
    if (checked().ended_by_cancel()) checked().ask();
    return checked().failure();
  }

  /// Operations: until it has a result, which is given; until it is done, however it ended.
  /// `co_await f` is `co_await f.get()`.
  [[nodiscard]] future_operation<T> get() const { return future_operation<T>{checked()}; }
  [[nodiscard]] future_end<T> finished() const { return future_end<T>{checked()}; }

  /// It has a result or a failure, or was cancelled.
  [[nodiscard]] bool done() const { return checked().finished(); }
  [[nodiscard]] bool running() const {
    return checked().control.now() == detail::future_control::phase::running;
  }
  [[nodiscard]] bool cancelled() const {
    return checked().control.now() == detail::future_control::phase::cancelled;
  }
  /// Cancels it if it is pending: then nobody will begin what it stands for. False if that has
  /// begun or ended.
  // NOLINTNEXTLINE(modernize-use-nodiscard): most who cancel do not care
  bool cancel() const { return checked().control.cancel(); }
  /// Asks for its end: cancels it if it is pending; code that runs for it on a pool is told, so
  /// that its waits (and check_cancelled) throw `cancelled`. If that ends it, the future is
  /// cancelled.
  void interrupt() const { checked().control.interrupt(); }

  /// Calls `f(this future)` when it is done; now, if it is.
  template <class F>
    requires std::invocable<F&, future>
  void add_done_callback(F&& f) const {
    auto* state = &checked();
    state->control.add_callback([f = std::decay_t<F>{std::forward<F>(f)}, state]() mutable {
      std::invoke(f, future{*state});
    });
  }

  friend bool operator==(const future& a, const future& b) noexcept {
    return a.state_.get() == b.state_.get();
  }

  // ---- for executors ----
  explicit future(detail::future_state<T>& s) noexcept : state_{&s} {}
  [[nodiscard]] detail::future_state<T>& checked() const {
    if (state_.get() == nullptr) throw misuse{"future: an empty handle"};
    return *state_.get();
  }

 private:
  detail::join_ref<detail::future_state<T>, true> state_;
};

template <class T>
future_operation<T> as_operation(const future<T>& f) {
  return f.get();
}

/// The giving side. Moves; if it dies without having given a result, that is a broken_promise.
template <class T = void>
class promise {
 public:
  /// `name`, a literal, is what errors call the future.
  explicit promise(const char* name = "future") : state_{detail::make_future_state<T>(name)} {}
  promise(promise&&) noexcept = default;
  promise& operator=(promise&& o) noexcept {
    promise old{std::move(*this)};
    state_ = std::move(o.state_);
    return *this;
  }
  ~promise() {
    if (state_.get() == nullptr || !state_->control.claim()) return;
    state_->control.complete(std::make_exception_ptr(broken_promise{state_->name()}), false);
    // With no future left nobody has missed it.
    if (!state_->held()) static_cast<void>(state_->failure());
  }

  [[nodiscard]] future<T> get_future() const { return future<T>{checked()}; }
  /// Before the work begins: false if the future was cancelled, so that there is nothing to do.
  /// From then on it cannot be cancelled. Throws invalid_state if it is running or done.
  [[nodiscard]] bool set_running_or_notify_cancel() const { return checked().control.start(); }
  /// Throw invalid_state if it is done, or was cancelled.
  template <class... V>
    requires(std::is_void_v<T> ? sizeof...(V) == 0 : sizeof...(V) == 1)
  void set_value(V&&... value) {
    auto& s = checked();
    s.control.claim_or_throw();
    std::exception_ptr failure;
    try {
      s.keep([&]() -> decltype(auto) { return (std::forward<V>(value), ...); });
    } catch (...) {
      failure = std::current_exception();
    }
    s.control.complete(std::move(failure), false);
  }
  void set_exception(std::exception_ptr e) {
    auto& s = checked();
    s.control.claim_or_throw();
    s.control.complete(std::move(e), false);
  }

 private:
  [[nodiscard]] detail::future_state<T>& checked() const {
    if (state_.get() == nullptr) throw misuse{"promise: was moved from"};
    return *state_.get();
  }
  detail::future_ref<T> state_;
};

// ---- several; `until` is in task/wait.hpp ----

/// Waits, for `timeout` at most, until enough of them are done: which are, and which are not, each
/// once and in order. In a thread or a fiber.
template <class T>
wait_result<future<T>> wait(std::vector<future<T>> fs,
                            std::optional<duration> timeout = std::nullopt,
                            return_when when = all_completed) {
  fs = detail::distinct(std::move(fs));
  if (timeout) {
    static_cast<void>(await(move_on_after(*timeout, until(fs, when))));
  } else {
    await(until(fs, when));
  }
  wait_result<future<T>> r;
  for (auto& f : fs) (f.done() ? r.done : r.not_done).push_back(std::move(f));
  return r;
}
template <class T>
wait_result<future<T>> wait(std::vector<future<T>> fs, return_when when) {
  return wait(std::move(fs), std::nullopt, when);
}
template <class T, std::same_as<future<T>>... More>
wait_result<future<T>> wait(future<T> first, More... more) {
  return wait(std::vector<future<T>>{std::move(first), std::move(more)...});
}

/// Several futures in the order in which they get done, each once; those that are done already come
/// first. Unlike the general one it owns nothing: leaving early leaves the others as they are.
///
///     for (future<page> f : as_completed{fs}) use(f.result());         // in a thread or a fiber
///     while (auto f = co_await done.next()) use(co_await *f);          // in a coroutine
///
/// One waiter at a time.
template <class T>
class as_completed<future<T>> {
  struct shared {
    short_mutex lock;
    std::vector<future<T>> ended;  // room for all of them
    semaphore untaken{0};
  };

 public:
  /// `timeout` counts from here; after it, the wait for the next one throws timeout_error (in a
  /// range-for only).
  explicit as_completed(std::vector<future<T>> fs, std::optional<duration> timeout = std::nullopt)
      : shared_{std::make_shared<shared>()} {
    if (timeout) deadline_ = after(loop::now_here(), *timeout);
    fs = detail::distinct(std::move(fs));
    left_ = fs.size();
    shared_->ended.reserve(fs.size());
    for (const auto& f : fs) {
      f.add_done_callback([to = shared_](future<T> ended) {
        {
          const std::scoped_lock hold{to->lock};
          to->ended.push_back(std::move(ended));
        }
        to->untaken.release();
      });
    }
  }
  template <std::same_as<future<T>>... More>
  explicit as_completed(future<T> first, More... more)
      : as_completed{std::vector<future<T>>{std::move(first), std::move(more)...}} {}

  /// An operation: the next one that is done; nothing after the last.
  class next_operation {
   public:
    explicit next_operation(as_completed& owner) : owner_{owner} {
      if (owner.left_ != 0) wait_.emplace(owner.shared_->untaken.acquire());
    }
    [[nodiscard]] bool await_ready() const noexcept { return !wait_; }
    bool await_suspend(waiter& w) noexcept { return wait_->await_suspend(w); }
    std::optional<future<T>> await_resume() {
      if (!wait_) return std::nullopt;
      wait_->await_resume();
      --owner_.left_;
      const std::scoped_lock hold{owner_.shared_->lock};
      return std::move(owner_.shared_->ended[owner_.taken_++]);
    }

   private:
    as_completed& owner_;
    std::optional<semaphore::acquire_operation> wait_;
  };
  [[nodiscard]] next_operation next() { return next_operation{*this}; }
  /// How many have not been taken.
  [[nodiscard]] std::size_t left() const noexcept { return left_; }

  class iterator {
   public:
    using value_type = future<T>;
    using difference_type = std::ptrdiff_t;
    explicit iterator(as_completed& owner) : owner_{&owner} { ++*this; }
    future<T>& operator*() { return *now_; }
    iterator& operator++() {
      now_ = owner_->await_next();
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const iterator& i, std::default_sentinel_t) noexcept { return !i.now_; }

   private:
    as_completed* owner_;
    std::optional<future<T>> now_;
  };
  iterator begin() { return iterator{*this}; }
  std::default_sentinel_t end() const noexcept { return {}; }

 private:
  std::optional<future<T>> await_next() {
    auto op = next();
    if (deadline_ == never || shared_->untaken.available() != 0) return await(op);
    return await(fail_after(deadline_ - loop::now_here(), op));
  }
  std::shared_ptr<shared> shared_;
  std::size_t left_ = 0;
  std::size_t taken_ = 0;
  time_point deadline_ = never;
};

template <class T>
as_completed(std::vector<future<T>>) -> as_completed<future<T>>;
template <class T>
as_completed(std::vector<future<T>>, duration) -> as_completed<future<T>>;
template <class T, class... More>
as_completed(future<T>, More...) -> as_completed<future<T>>;

}  // namespace oneloop::inline v0
