// Select: waits for several operations at once and commits exactly one of them.
//
//     auto r = co_await select(a.receive(), b.send(x), sleep_for(1s));
//     if (r.index() == 0) use(r.get<0>());       // std::optional<T>: as a.receive() alone
//     if (r.index() == 2) log("neither, for a second");
//
//     auto r = co_await select(a.receive(), s.readable(), otherwise());   // Go's `default`
//     auto r = co_await select(when(!paused, a.receive()), stop.wait());  // a case now and then
//     if (auto r = try_select(a.receive(), b.send(x))) ...   // no operation: a plain call
//     auto r = co_await select_any(receives);                // a vector or span of cases
//
// A case is any `retractable` operation: channel and queue, lock, event, semaphore, timer,
// readiness of a socket, a join, a deferred, a future. Given as an rvalue it is held by value; an
// lvalue is borrowed and, if it loses, may be used again. A settling operation (a read into your
// buffer, a task) is no case, it could lose data: select the readiness, or `spawn` the task and
// select its join; or take first_of (scope/gather.hpp), which waits for its losers.
//
// When several cases are ready, one is chosen fairly at random. A closed channel is always ready:
// receiving gives nullopt, sending throws closed_error from the select. `sleep_forever()` is a case
// that never happens.
//
// *Cancellation*: a cancelled select has committed no case and waits for none.
//
// *Threads*: cases may belong to different loops and threads; two selects may face each other, also
// over the same channel; a select never pairs with itself.
//
// *Cost*: a lock for each case to start it and another to take it back, no allocation (select_any
// over more than 16 cases: one).
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "oneloop/loop/waiter.hpp"
#include "oneloop/scope/await.hpp"

namespace oneloop::inline v0 {

/// What a case may also offer: to complete at once or do nothing. try_select and otherwise() need
/// it.
template <class Op>
concept immediate = retractable<Op> && requires(Op& op) {
  { op.try_now() } -> std::same_as<bool>;
};

/// What `otherwise` returns.
class otherwise_operation {
 public:
  static bool await_ready() noexcept { return true; }
  static bool await_suspend(waiter&) noexcept { return false; }
  static void await_resume() noexcept {}
  enlisted enlist(waiter& w) noexcept {
    won_ = w.try_claim();
    return won_ ? enlisted::completed : enlisted::lost;
  }
  static void delist() noexcept {}
  [[nodiscard]] bool won() const noexcept { return won_; }
  static bool try_now() noexcept { return true; }

 private:
  bool won_ = false;
};

/// The last case of a select, which happens if no other can happen now: such a select never waits.
/// It still is a checkpoint, and lets others run if there are many in a row.
[[nodiscard]] inline otherwise_operation otherwise() noexcept { return {}; }

/// What `when` returns.
template <class Op>
class guarded_operation {
 public:
  guarded_operation(bool open, Op&& op) : open_{open}, op_(static_cast<Op&&>(op)) {}

  bool await_ready() { return open_ && op_.await_ready(); }
  bool await_suspend(waiter& w) {
    if (open_) return op_.await_suspend(w);
    static constexpr operation_info never_ends{"when(false)", [](void*, waiter& me) noexcept {
                                                 if (me.try_claim()) me.wake_cancelled();
                                               }};
    w.arm(this, never_ends);
    return true;
  }
  decltype(auto) await_resume() { return op_.await_resume(); }

  enlisted enlist(waiter& w) { return open_ ? op_.enlist(w) : enlisted::waiting; }
  void delist() noexcept {
    if (open_) op_.delist();
  }
  [[nodiscard]] bool won() { return open_ && op_.won(); }
  bool try_now()
    requires requires(std::remove_reference_t<Op>& op) { op.try_now(); }
  {
    return open_ && op_.try_now();
  }

 private:
  bool open_;
  Op op_;
};

/// A case that takes part only if `condition` holds, else it never happens: what a nil channel is
/// for in Go. The operation is made in any case; a send that is not to happen is best made before
/// and borrowed, else its value dies with it.
template <class A>
  requires awaitable<A>
[[nodiscard]] auto when(bool condition, A&& a) {
  using op = stored_operation<A>;
  constexpr bool retract = retractable<std::remove_reference_t<op>>;
  static_assert(retract, "when: takes what may be a case of a select");
  if constexpr (retract) {
    return guarded_operation<op>{condition, as_operation(static_cast<A&&>(a))};
  }
}

namespace detail {

/// A random number: the loop's, or the thread's own where there is none.
ONELOOP_API std::uint64_t select_random(loop* home) noexcept;
/// The loop that the calling thread runs, or null.
ONELOOP_API loop* select_home() noexcept;

template <class R>
using select_value =
    std::conditional_t<std::is_void_v<R>, std::monostate,
                       std::conditional_t<std::is_reference_v<R>,
                                          std::reference_wrapper<std::remove_reference_t<R>>, R>>;

/// The result of a case; std::monostate for void.
template <class Op>
select_value<result_of<Op>> select_resume(Op& op) {
  if constexpr (std::is_void_v<result_of<Op>>) {
    op.await_resume();
    return {};
  } else {
    return op.await_resume();
  }
}

/// The protocol of all selects. `Derived` has `count()`, `order()` (room for `count()` of `Index`,
/// which this permutes) and `visit(i, f)` (returns f(case i)). `HasDefault`: the last case is
/// otherwise().
template <class Derived, class Index, bool HasDefault = false>
class select_engine {
 public:
  // ---- the operation ----
  [[nodiscard]] bool await_ready() {
    if constexpr (HasDefault) return try_now();
    return false;
  }
  bool await_suspend(waiter& w) noexcept {
    w.arm_shared(self(), info());
    // Waiting; or another case has been claimed meanwhile, and its wake-up is on the way.
    if (enlist(w) != enlisted::completed) return true;
    w.disarm();
    return false;
  }

  // ---- a case of another select ----
  enlisted enlist(waiter& w) noexcept {
    if constexpr (HasDefault) {  // ready in any case
      if (!w.try_claim()) return enlisted::lost;
      try {
        try_now();
      } catch (...) {
        error_ = std::current_exception();
      }
      return enlisted::completed;
    }
    shuffle next{w.home(), self()->order(), self()->count()};
    for (std::size_t k = 0; k < self()->count(); ++k) {
      const std::size_t i = next(k);
      switch (start(i, w)) {
        case enlisted::waiting: ++started_; break;
        case enlisted::completed:
          delist();
          winner_ = i;
          return enlisted::completed;
        case enlisted::lost:
          // The winner may be one of those started here: then this waits for its wake-up.
          return started_ != 0 ? enlisted::waiting : enlisted::lost;
      }
    }
    return enlisted::waiting;
  }
  void delist() noexcept {
    while (started_ != 0) {
      self()->visit(self()->order()[--started_], [](auto& op) { op.delist(); });
    }
  }
  [[nodiscard]] bool won() noexcept {
    find_winner();
    return winner_ != none;
  }
  bool try_now() {
    shuffle next{select_home(), self()->order(), self()->count()};
    for (std::size_t k = 0; k < self()->count(); ++k) {
      const std::size_t i = next(k);
      if (!self()->visit(i, [](auto& op) { return op.try_now(); })) continue;
      winner_ = i;
      return true;
    }
    return false;
  }

 protected:
  select_engine() = default;
  select_engine(select_engine&&) noexcept = default;
  ~select_engine() = default;

  /// After the wait: takes the losers back and tells who won. Throws what kept a case from
  /// starting.
  std::size_t settle() {
    find_winner();
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
    return std::exchange(winner_, none);
  }

 private:
  static constexpr std::size_t none = ~std::size_t{0};

  // A random permutation (Fisher and Yates), made as far as it is used.
  class shuffle {
   public:
    shuffle(loop* home, Index* order, std::size_t count) noexcept
        : home_{home}, order_{order}, count_{count - HasDefault} {  // the default stays the last
      for (std::size_t i = 0; i < count; ++i) order_[i] = static_cast<Index>(i);
    }
    std::size_t operator()(std::size_t k) noexcept {
      if (k + 1 < count_) std::swap(order_[k], order_[k + below(count_ - k)]);
      return order_[k];
    }

   private:
    std::size_t below(std::size_t n) noexcept {
      if (halves_ == 0) {
        bits_ = select_random(home_);
        halves_ = 2;
      }
      const std::uint64_t half = bits_ >> 32;
      bits_ <<= 32;
      --halves_;
      return static_cast<std::size_t>(half * n >> 32);
    }

    loop* home_;
    Index* order_;
    std::size_t count_;
    std::uint64_t bits_ = 0;
    int halves_ = 0;
  };

  Derived* self() noexcept { return static_cast<Derived*>(this); }

  // A case that cannot be started is a case that has happened, by failing.
  enlisted start(std::size_t i, waiter& w) noexcept {
    try {
      return self()->visit(i, [&](auto& op) { return op.enlist(w); });
    } catch (...) {
      if (!w.try_claim()) return enlisted::lost;
      error_ = std::current_exception();
      return enlisted::completed;
    }
  }

  void find_winner() noexcept {
    while (started_ != 0) {
      const std::size_t i = self()->order()[--started_];
      const bool won = self()->visit(i, [](auto& op) {
        if (op.won()) return true;
        op.delist();
        return false;
      });
      if (won) winner_ = i;
    }
  }

  static const operation_info& info() noexcept {
    static constexpr operation_info i{"select", &cancel, nullptr};
    return i;
  }
  static void cancel(void* op, waiter& w) noexcept {
    if (!w.try_claim()) return;
    static_cast<Derived*>(op)->delist();
    w.wake_cancelled();
  }

  // The first started_ cases of the order wait. While started_ is 0, winner_ is known or there is
  // none.
  std::size_t started_ = 0;
  std::size_t winner_ = none;
  std::exception_ptr error_;
};

}  // namespace detail

/// Which case of a select happened, and its result.
template <class... Values>
class select_result {
 public:
  /// Position among the cases, from 0.
  [[nodiscard]] std::size_t index() const noexcept { return value_.index(); }
  /// The result of case I: std::monostate if that is void, a std::reference_wrapper if it is a
  /// reference. Throws std::bad_variant_access if another case won.
  template <std::size_t I>
  [[nodiscard]] auto& get() & {
    return std::get<I>(value_);
  }
  template <std::size_t I>
  [[nodiscard]] const auto& get() const& {
    return std::get<I>(value_);
  }
  template <std::size_t I>
  [[nodiscard]] auto get() && {
    return std::get<I>(std::move(value_));
  }
  /// For std::visit.
  [[nodiscard]] std::variant<Values...>& as_variant() noexcept { return value_; }

  template <std::size_t I, class... Args>
  explicit select_result(std::in_place_index_t<I> which, Args&&... args)
      : value_{which, std::forward<Args>(args)...} {}

 private:
  std::variant<Values...> value_;
};

namespace detail {
template <class Case>
inline constexpr bool is_default = std::is_same_v<std::remove_cvref_t<Case>, otherwise_operation>;
template <class... Cases>
inline constexpr bool ends_with_default =
    is_default<std::tuple_element_t<sizeof...(Cases) - 1, std::tuple<Cases...>>>;

// Whether these may be the cases of a select. What may not be is said here, once.
template <class... Cases>
consteval bool fit_for_select() {
  constexpr bool operations = (awaitable<Cases> && ...);
  static_assert(operations,
                "select: a case is an operation, or what has one (a joinable, a deferred, a "
                "future)");
  if constexpr (operations) {
    constexpr bool retract = (retractable<std::remove_reference_t<stored_operation<Cases>>> && ...);
    static_assert(retract,
                  "select: a case must be something that can be taken back: channel, queue, lock, "
                  "event, semaphore, timer, readiness, join, deferred, future. A read or a task "
                  "could lose data: select s.readable(), or spawn the task and select its join()");
    if constexpr (retract) {
      constexpr bool has_default = ends_with_default<stored_operation<Cases>...>;
      constexpr bool last = (0 + ... + is_default<stored_operation<Cases>>) == has_default;
      static_assert(last,
                    "select: otherwise() must be the last case, and the only one of its kind");
      constexpr bool tell =
          !has_default || (immediate<std::remove_reference_t<stored_operation<Cases>>> && ...);
      static_assert(tell, "select: beside otherwise() every case must tell at once: try_now()");
      return last && tell;
    }
  }
  return false;
}
}  // namespace detail

/// What `select` returns: an operation, and itself a possible case of a select.
template <class... Cases>
class [[nodiscard]] select_operation
    : public detail::select_engine<select_operation<Cases...>, std::uint8_t,
                                   detail::ends_with_default<Cases...>> {
  static_assert(sizeof...(Cases) >= 1 && sizeof...(Cases) <= 64);
  static constexpr bool has_default = detail::ends_with_default<Cases...>;
  using engine = detail::select_engine<select_operation, std::uint8_t, has_default>;

 public:
  using result = select_result<detail::select_value<result_of<std::remove_reference_t<Cases>>>...>;

  explicit select_operation(Cases&&... cases) : cases_{std::forward<Cases>(cases)...} {}
  select_operation(select_operation&&) noexcept = default;
  select_operation& operator=(select_operation&&) = delete;
  ~select_operation() { this->delist(); }

  /// Throws what the winning case throws.
  result await_resume() { return resume<0>(this->settle()); }

 private:
  friend engine;
  [[nodiscard]] static constexpr std::size_t count() noexcept { return sizeof...(Cases); }
  std::uint8_t* order() noexcept { return order_.data(); }

  template <std::size_t I = 0, class F>
  decltype(auto) visit(std::size_t i, F&& f) {
    if constexpr (I + 1 == sizeof...(Cases)) {
      return f(std::get<I>(cases_));
    } else {
      if (i == I) return f(std::get<I>(cases_));
      return visit<I + 1>(i, std::forward<F>(f));
    }
  }
  template <std::size_t I>
  result resume(std::size_t i) {
    if constexpr (I + 1 < sizeof...(Cases)) {
      if (i != I) return resume<I + 1>(i);
    }
    return result{std::in_place_index<I>, detail::select_resume(std::get<I>(cases_))};
  }

  std::tuple<Cases...> cases_;
  std::array<std::uint8_t, sizeof...(Cases)> order_;
};

/// Waits until one of the cases can happen, and makes exactly that one happen. Result:
/// select_result. A case may also be what has an operation: a joinable, a deferred, a future.
template <class... Cases>
auto select(Cases&&... cases) {
  if constexpr (detail::fit_for_select<Cases...>()) {
    return select_operation<stored_operation<Cases>...>{
        as_operation(std::forward<Cases>(cases))...};
  }
}

/// Makes one of the cases happen that can happen now; nullopt if none can. Never waits: a plain
/// call from anywhere, not an operation and no checkpoint. Throws what the winning case throws.
template <class... Cases>
  requires(awaitable<Cases> && ...)
auto try_select(Cases&&... cases) {
  static_assert((immediate<std::remove_reference_t<stored_operation<Cases>>> && ...),
                "a case of try_select must be able to tell at once: it needs try_now()");
  auto all = select(std::forward<Cases>(cases)...);
  using result = std::optional<typename decltype(all)::result>;
  return all.try_now() ? result{all.await_resume()} : result{};
}

/// Which case of a select_any happened, and its result (std::monostate for void).
template <class Value>
struct select_any_result {
  std::size_t index;
  Value value;
};

/// What `select_any` returns. `Cases` is a std::vector (owned) or a std::span (borrowed) of cases.
template <class Cases>
class [[nodiscard]] select_any_operation
    : public detail::select_engine<select_any_operation<Cases>, std::uint32_t> {
  using op = typename Cases::value_type;
  static_assert(retractable<op>, "a case of a select must be retractable");

 public:
  using result = select_any_result<detail::select_value<result_of<op>>>;

  explicit select_any_operation(Cases cases)
      : cases_{std::move(cases)},
        many_{cases_.size() > few ? std::make_unique<std::uint32_t[]>(cases_.size()) : nullptr} {}
  select_any_operation(select_any_operation&&) noexcept = default;
  select_any_operation& operator=(select_any_operation&&) = delete;
  ~select_any_operation() { this->delist(); }

  /// Throws what the winning case throws.
  result await_resume() {
    const std::size_t i = this->settle();
    return {i, detail::select_resume(cases_[i])};
  }

 private:
  friend detail::select_engine<select_any_operation, std::uint32_t>;
  static constexpr std::size_t few = 16;
  [[nodiscard]] std::size_t count() const noexcept { return cases_.size(); }
  std::uint32_t* order() noexcept { return many_ ? many_.get() : few_.data(); }
  template <class F>
  decltype(auto) visit(std::size_t i, F&& f) {
    return f(cases_[i]);
  }

  Cases cases_;
  std::unique_ptr<std::uint32_t[]> many_;
  std::array<std::uint32_t, few> few_;
};

/// As `select`, for a number of cases of one type that is known only at run time. Result:
/// select_any_result. Without any case it waits until it is cancelled, as Go's `select {}`.
template <class Op>
select_any_operation<std::vector<Op>> select_any(std::vector<Op>&& cases) {
  return select_any_operation<std::vector<Op>>{std::move(cases)};
}
/// The same, borrowing: the cases must stay until it is over; losers may be used again.
template <class Op>
select_any_operation<std::span<Op>> select_any(std::span<Op> cases) {
  return select_any_operation<std::span<Op>>{cases};
}
template <class Op>
select_any_operation<std::span<Op>> select_any(std::vector<Op>& cases) {
  return select_any(std::span<Op>{cases});
}

/// As `try_select`, for cases of one type.
template <immediate Op>
auto try_select_any(std::span<Op> cases)
    -> std::optional<typename select_any_operation<std::span<Op>>::result> {
  select_any_operation<std::span<Op>> all{cases};
  if (!all.try_now()) return std::nullopt;
  return all.await_resume();
}
template <immediate Op>
auto try_select_any(std::vector<Op>& cases) {
  return try_select_any(std::span<Op>{cases});
}

}  // namespace oneloop::inline v0
