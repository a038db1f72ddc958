// Children that can be joined: spawn() starts a child like nursery::start, and gives a handle.
//
//     joinable<page> p = spawn(n, fetch, url);        // n: a nursery
//     joinable<int> q = spawn_on(other_loop, count);  // from any thread; the loop's root owns it
//     page x = co_await p.join();                     // await(p.join()) in a fiber or a thread
//
// A handle may be copied and joined any number of times, by every kind of waiter on any loop or
// plain thread. Whatever becomes of the handle, the nursery owns the child and waits for it.
//
// *Result*: join gives a copy. Of a result that cannot be copied the first join takes it; a second
// one throws misuse.
// *Errors*: a failure belongs to who joins: every join rethrows it, and the siblings go on. Nothing
// is lost: if no handle is left when the child fails, if the last one goes without anybody having
// joined, or if the nursery closes before, the failure is the nursery's like that of any child.
// *Cancellation*: `cancel` cancels this child alone, from any thread, also before it runs (then it
// starts, and ends at its first checkpoint). A join of a child that was cancelled throws
// cancelled_error. A cancelled join leaves the child alone.
// *Threads*: everything on a handle, from any thread; one handle object by one thread at a time.
// *Cost*: one allocation more than start.
#pragma once

#include <atomic>
#include <concepts>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <source_location>
#include <tuple>
#include <type_traits>
#include <utility>

#include "oneloop/base/config.hpp"
#include "oneloop/base/error.hpp"
#include "oneloop/loop/loop_at.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/nursery.hpp"
#include "oneloop/scope/region.hpp"
#include "oneloop/scope/root.hpp"
#include "oneloop/sync/parking_lot.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0 {

template <class T = void>
class joinable;

/// A nursery and the line of the call; a nursery& converts to it.
struct nursery_at {
  // NOLINTNEXTLINE(google-explicit-constructor): converting is its purpose
  nursery_at(nursery& n, std::source_location a = std::source_location::current()) noexcept
      : where{n}, at{a} {}
  nursery& where;
  std::source_location at;
};

namespace detail {

class join_wait;

/// What handles, joins and the child share.
class ONELOOP_API join_state {
 public:
  /// `link`: of the handle's scope; may be null.
  join_state(const char* name, scope_link* link) noexcept : name_{name}, link_{link} {}
  join_state(const join_state&) = delete;
  join_state& operator=(const join_state&) = delete;

  void retain() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept;
  /// Somebody who may ask for the failure: a handle, or a join.
  void hold() noexcept { holders_.fetch_add(1, std::memory_order_relaxed); }
  void let_go() noexcept;

  [[nodiscard]] const char* name() const noexcept { return name_; }
  void cancel() const noexcept;
  /// As cancel; and if the child's code has not begun, it never will.
  void kill() noexcept;
  [[nodiscard]] bool begun() const noexcept {
    return stage_.load(std::memory_order_acquire) == stage::begun;
  }
  [[nodiscard]] bool finished() const noexcept;
  /// After the end: whether it failed; a cancelled child has not.
  [[nodiscard]] bool failed() const noexcept { return failure_.error != nullptr; }
  [[nodiscard]] bool ended_by_cancel() const noexcept { return cancelled_; }
  /// After the end: the failure, null if there is none. It has been asked for then.
  std::exception_ptr failure() noexcept;
  [[nodiscard]] bool held() const noexcept { return holders_.load(std::memory_order_acquire) != 0; }
  /// After the end: throws what there is to throw; the failure has been asked for then.
  void ask();
  /// True for the first caller.
  bool take_result() noexcept { return !taken_.exchange(true, std::memory_order_relaxed); }

  // ---- the child's side ----
  /// On the nursery's thread, before the child starts.
  void belong_to(nursery& n);
  /// In place of that: a failure is the nursery's at once, and that of who joins as well.
  void fail_its_nursery() noexcept { fails_nursery_ = true; }
  [[nodiscard]] scope_link& link() noexcept { return *link_; }
  /// The child's code is about to begin: false if it must not, because it was killed.
  bool begin() noexcept;
  /// Called once when it has ended, on its thread, before anybody else hears of that; must not
  /// throw. Set on that thread, before it begins.
  std::move_only_function<void()> at_end;
  /// The child has ended, or (without a nursery) will never begin: wakes the joiners. What is left
  /// for the nursery to know. `absorbed`: by the scope of the handle.
  std::exception_ptr finish(std::exception_ptr error, bool absorbed) noexcept;

 protected:
  virtual ~join_state();
  /// A failure that nobody has asked for; of a state that belongs to no nursery.
  [[nodiscard]] std::exception_ptr unasked() const noexcept {
    return asked_.load(std::memory_order_relaxed) ? nullptr : failure_.error;
  }

 private:
  friend class join_wait;
  template <class, class>
  friend class oneloop::parking_operation;
  enum class stage : std::uint8_t { waiting, begun, refused };
  const char* name_;
  scope_link* link_;
  failure_board* board_ = nullptr;
  failure_board::entry failure_;
  std_atomics::atomic<std::uint32_t> references_{1};
  std_atomics::atomic<std::uint32_t> holders_{0};
  std_atomics::atomic<bool> taken_{false};
  std_atomics::atomic<bool> asked_{false};
  std_atomics::atomic<stage> stage_{stage::waiting};
  mutable short_mutex lock_;
  bool done_ = false;
  bool cancelled_ = false;
  bool fails_nursery_ = false;
  parking_lot<join_wait> joiners_;
};

template <class T>
class join_state_of : public join_state {
 public:
  using join_state::join_state;
  using stored = std::conditional_t<
      std::is_void_v<T>, char,
      std::conditional_t<std::is_reference_v<T>, std::remove_reference_t<T>*, T>>;
  std::optional<stored> value;

  /// Runs `get` and keeps what it gives.
  template <class Get>
  void keep(Get&& get) {
    if constexpr (std::is_void_v<T>) {
      get();
    } else if constexpr (std::is_reference_v<T>) {
      value = &get();
    } else {
      value.emplace(get());
    }
  }
  T result() {
    this->ask();
    if constexpr (std::is_reference_v<T>) {
      return static_cast<T>(**value);
    } else if constexpr (std::is_void_v<T>) {
      return;
    } else if constexpr (std::copy_constructible<T>) {
      return *value;
    } else {
      if (!this->take_result()) {
        throw misuse{"join: the result, which cannot be copied, was taken by an earlier join"};
      }
      return *std::move(value);
    }
  }
  /// For the only one who asks.
  T take() {
    this->ask();
    if constexpr (!std::is_void_v<T>) return *std::move(value);
  }
};

/// A reference to the state, and whether it counts as a holder.
template <class State, bool Holds>
class join_ref {
 public:
  join_ref() noexcept = default;
  explicit join_ref(State* s) noexcept : state_{s} {
    if (state_ == nullptr) return;
    state_->retain();
    if (Holds) state_->hold();
  }
  join_ref(const join_ref& o) noexcept : join_ref{o.state_} {}
  join_ref(join_ref&& o) noexcept : state_{std::exchange(o.state_, nullptr)} {}
  join_ref& operator=(join_ref o) noexcept {
    std::swap(state_, o.state_);
    return *this;
  }
  ~join_ref() {
    if (state_ == nullptr) return;
    if (Holds) state_->let_go();
    state_->release();
  }
  [[nodiscard]] State* get() const noexcept { return state_; }
  State* operator->() const noexcept { return state_; }

 private:
  State* state_ = nullptr;
};

// A base, so that the state outlives the wait below in it.
struct join_holder {
  join_ref<join_state, true> held;
};

class ONELOOP_API join_wait : private join_holder, public parking_operation<join_wait, join_state> {
 public:
  static constexpr const char* name = "join";

 protected:
  explicit join_wait(join_state& s) noexcept
      : join_holder{join_ref<join_state, true>{&s}}, parking_operation{s} {}
  [[nodiscard]] join_state& state() const noexcept { return *held.get(); }

 private:
  template <class, class>
  friend class oneloop::parking_operation;
  enlisted attempt(waiter* w) noexcept;
};

/// Until a child has ended, well or badly; asks for nothing.
class ended_wait : public join_wait {
 public:
  explicit ended_wait(join_state& s) noexcept : join_wait{s} {}
  void await_resume() const noexcept {}
};

/// The scope of the handle around a child's code.
class ONELOOP_API join_scope {
 public:
  join_scope(context& c, join_state& s) : state_{s}, region_{c, {}} {
    region_.scope().bind(s.link());
  }
  /// The child was killed before its code began.
  void cancel() noexcept { region_.scope().cancel(); }
  /// The code has ended.
  std::exception_ptr finish(std::exception_ptr error) noexcept {
    const bool absorbed = is_cancelled(error) && region_.absorb();
    return state_.finish(std::move(error), absorbed);
  }

 private:
  join_state& state_;
  scope_region region_;
};

/// How a callable is started so that it can be joined: task/ for tasks, fiber/ for the rest.
///   using value_type = ...;
///   static void start(join_state_of<value_type>&, nursery&, spawn_info, F&&, std::tuple<Args...>)
template <class Result>
struct join_starter;

template <class T, class F, class... Args>
class joined_task final : public child, public pooled {
 public:
  using pooled::operator new;
  using pooled::operator delete;

  joined_task(join_state_of<T>& state, nursery& n, spawn_info info, F&& fn,
              std::tuple<Args...>&& args)
      : child{party_kind::coroutine, n, resume_coroutine, info},
        state_{&state},
        scope_{self(), state},
        call_{fn, args},
        task_{call_.start(fn, args)} {
    auto& p = task_.frame().promise();
    p.self_ = &self();
    p.next_.tell(its_end);
    self().target = task_.frame().address();
    state_->begin();
    begin();
    self().home()->make_ready(self());
  }

 private:
  friend class child;
  static void ended(context& self, const task_end&, std::coroutine_handle<>) noexcept {
    auto& record = static_cast<joined_task&>(of(self));
    auto& p = record.task_.frame().promise();
    std::exception_ptr error;
    try {
      record.state_->keep([&]() -> decltype(auto) { return p.take(); });
    } catch (...) {
      error = std::current_exception();
    }
    p.error_ = record.scope_.finish(std::move(error));
    end(record);
  }
  static constexpr task_end its_end{ended};
  std::exception_ptr take_error() noexcept { return std::move(task_.frame().promise().error_); }
  join_ref<join_state_of<T>, false> state_;
  join_scope scope_;
  [[no_unique_address]] kept_call<F, Args...> call_;
  task<T> task_;
};

/// Starts a thread that can be joined, as a child of any nursery.
template <class T, class F, class... Args>
void start_joined_thread(join_state_of<T>& state, nursery& n, spawn_info info, F&& fn,
                         std::tuple<Args...> args, std::optional<duration> delay = {}) {
  start_thread_child(
      n, info,
      [state = join_ref<join_state_of<T>, false>{&state}, delay,
       fn = std::remove_cvref_t<F>{std::forward<F>(fn)}, args = std::move(args)]() mutable {
        join_scope scope{context::current(), *state.get()};
        std::exception_ptr error;
        try {
          if (delay) await(sleep_for(*delay));
          if (!state->begin()) {
            scope.cancel();
            throw cancelled{};
          }
          state->keep([&]() -> decltype(auto) {
            return std::apply(
                [&](Args&... a) -> decltype(auto) {
                  return std::invoke(std::move(fn), std::move(a)...);
                },
                args);
          });
        } catch (...) {
          error = std::current_exception();
        }
        if (auto left = scope.finish(std::move(error))) std::rethrow_exception(std::move(left));
      });
}

template <class T>
struct join_starter<task<T>> {
  using value_type = T;
  template <class F, class... Args>
  static void start(join_state_of<T>& state, nursery& n, spawn_info info, F&& fn,
                    std::tuple<Args...> args) {
    if (n.home() == nullptr) {
      start_joined_thread(state, n, info,
                          awaiting_call<std::remove_cvref_t<F>>{std::forward<F>(fn)},
                          std::move(args));
      return;
    }
    new joined_task<T, std::remove_cvref_t<F>, Args...>(state, n, info, std::move(fn),
                                                        std::move(args));
  }
};

/// What spawn knows of a callable.
template <class F, class... Args>
struct spawned {
  using unnamed = detail::unnamed<std::decay_t<F>>;
  using fn_type = typename unnamed::type;
  using starter = join_starter<std::invoke_result_t<fn_type, std::decay_t<Args>...>>;
  using value_type = typename starter::value_type;
};

}  // namespace detail

/// What joinable::join gives. Retractable: select takes it.
template <class T>
class join_operation : public detail::join_wait {
 public:
  explicit join_operation(detail::join_state_of<T>& s) noexcept : join_wait{s} {}
  T await_resume() { return static_cast<detail::join_state_of<T>&>(state()).result(); }
};

template <class T>
class joinable {
 public:
  using value_type = T;

  /// No child; only assignment and destruction make sense.
  joinable() noexcept = default;
  [[nodiscard]] explicit operator bool() const noexcept { return state_.get() != nullptr; }

  /// An operation: until the child has ended. Its result, or its failure.
  [[nodiscard]] join_operation<T> join() const { return join_operation<T>{checked()}; }
  /// Asks the child to end. Any thread; nothing happens if it has ended.
  void cancel() const { checked().cancel(); }
  /// Whether the child's code has ended.
  [[nodiscard]] bool finished() const { return checked().finished(); }
  [[nodiscard]] const char* name() const { return checked().name(); }

  // ---- for models ----
  explicit joinable(detail::join_state_of<T>* s) noexcept : state_{s} {}
  [[nodiscard]] detail::join_state_of<T>& checked() const {
    if (state_.get() == nullptr) throw misuse{"join: an empty handle"};
    return *state_.get();
  }

 private:
  detail::join_ref<detail::join_state_of<T>, true> state_;
};

/// A handle in place of its join: gather(h1, h2), fail_after(1s, h), co_await h.
template <class T>
join_operation<T> as_operation(const joinable<T>& h) {
  return h.join();
}

namespace detail {

/// A new state; the caller's reference goes to the handle.
template <class T>
joinable<T> make_joinable(const char* name, loop* home) {
  scope_link* link = scope_link::create(home, nullptr);
  join_state_of<T>* s = nullptr;
  try {
    s = new join_state_of<T>{name, link};
  } catch (...) {
    link->release();
    throw;
  }
  joinable<T> handle{s};
  s->release();
  return handle;
}

// Tells the joiners if what it came with is dropped before it began.
template <class T>
class unbegun {
 public:
  explicit unbegun(const joinable<T>& h) noexcept : state_{&h.checked()} {}
  unbegun(unbegun&&) noexcept = default;
  ~unbegun() {
    if (state_.get() == nullptr) return;
    state_->finish(std::make_exception_ptr(loop_not_running{"spawn_on"}), false);
  }
  join_ref<join_state_of<T>, false> begin() noexcept { return std::move(state_); }

 private:
  join_ref<join_state_of<T>, false> state_;
};

}  // namespace detail

namespace detail {

enum class failures_go { to_who_joins, to_both };

template <class F, class... Args>
auto spawn_in(nursery_at to, failures_go where, F&& fn, Args&&... args)
    -> joinable<typename detail::spawned<F, Args...>::value_type> {
  using spawned = detail::spawned<F, Args...>;
  std::decay_t<F> f{std::forward<F>(fn)};
  const spawn_info info{spawned::unnamed::name(f), to.at};
  auto handle = detail::make_joinable<typename spawned::value_type>(info.name, to.where.home());
  if (where == failures_go::to_who_joins) {
    handle.checked().belong_to(to.where);
  } else {
    handle.checked().fail_its_nursery();
  }
  spawned::starter::start(handle.checked(), to.where, info, spawned::unnamed::fn(f),
                          std::tuple<std::decay_t<Args>...>{std::forward<Args>(args)...});
  return handle;
}

}  // namespace detail

/// Starts `fn(args...)` as a child of the nursery, like nursery::start. With fiber/spawn.hpp also
/// for callables that are no coroutines.
template <class F, class... Args>
auto spawn(nursery_at to, F&& fn, Args&&... args)
    -> joinable<typename detail::spawned<F, Args...>::value_type> {
  return detail::spawn_in(to, detail::failures_go::to_who_joins, std::forward<F>(fn),
                          std::forward<Args>(args)...);
}

/// Starts `fn(args...)` on `l`, from any thread, as a child of the loop's root nursery. Throws
/// loop_not_running if the loop has closed; if it closes before the child could begin, that is what
/// join throws.
template <class F, class... Args>
auto spawn_on(loop_at l, F&& fn, Args&&... args)
    -> joinable<typename detail::spawned<F, Args...>::value_type> {
  using spawned = detail::spawned<F, Args...>;
  using value_type = typename spawned::value_type;
  std::decay_t<F> f{std::forward<F>(fn)};
  const spawn_info info{spawned::unnamed::name(f), l.at};
  auto handle = detail::make_joinable<value_type>(info.name, &l.where);
  auto begin = [&home = l.where, info, unbegun = detail::unbegun<value_type>{handle},
                f = typename spawned::fn_type{spawned::unnamed::fn(f)},
                args = std::tuple<std::decay_t<Args>...>{std::forward<Args>(args)...}]() mutable {
    auto state = unbegun.begin();
    try {
      nursery& root = loop_root::of(home).children();
      state->belong_to(root);
      spawned::starter::start(*state.get(), root, info, std::move(f), std::move(args));
    } catch (...) {
      state->finish(std::current_exception(), false);
    }
  };
  if (loop::current() == &l.where) {
    begin();
  } else if (!l.where.post(std::move(begin))) {
    throw loop_not_running{"spawn_on"};
  }
  return handle;
}

}  // namespace oneloop::inline v0
