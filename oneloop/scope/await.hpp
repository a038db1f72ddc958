// Waiting: what every model does around an operation, and the blocking form of it.
//
//     std::optional<int> v = oneloop::await(ch.receive());       // in a fiber or a plain thread
//     auto r = oneloop::await(oneloop::try_await(s.read(buf)));   // errors as values
//
// A plain thread waits by itself for what needs no loop (locks, channels, sleeps, sockets). For the
// rest (a task, gather...) it drives a loop of its own until that has ended.
//
// Every wait is a checkpoint: in a cancelled scope it throws `cancelled` before it starts anything,
// also if the operation could finish at once.
#pragma once

#include <expected>
#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>

#include "oneloop/base/error.hpp"
#include "oneloop/loop/waiter.hpp"
#include "oneloop/scope/context.hpp"
#include "oneloop/scope/in_place.hpp"

namespace oneloop::inline v0 {

/// An operation that wants to act when it was cancelled: its await_cancelled() gives a result in
/// place of the exception, or throws.
template <class Op>
concept handles_cancel = requires(Op& op) { op.await_cancelled(); };

/// The end of a wait: the result of `op`, or the exception.
template <class Op>
decltype(auto) conclude(Op& op, outcome how) {
  if (how == outcome::cancelled) [[unlikely]] {
    if constexpr (handles_cancel<Op>) {
      return op.await_cancelled();
    } else {
      throw cancelled{};
    }
  }
  return op.await_resume();
}

/// An operation that must be waited for even in a cancelled scope declares `unchecked`: its wait is
/// no checkpoint (the join of a nursery, whose children are cancelled instead).
template <class Op>
void enter_wait(context& c) {
  if constexpr (!requires { typename std::remove_reference_t<Op>::unchecked; }) c.checkpoint();
}

/// Things that are not operations but can be turned into one by an overload of `as_operation` found
/// by argument-dependent lookup (a deferred, a join handle). Operations are themselves.
template <class Op>
  requires operation<std::remove_reference_t<Op>>
constexpr Op&& as_operation(Op&& op) noexcept {
  return static_cast<Op&&>(op);
}

template <class A>
concept awaitable = requires(A&& a) { as_operation(static_cast<A&&>(a)); };

template <class A>
using await_result =
    decltype(std::declval<std::remove_reference_t<decltype(as_operation(std::declval<A>()))>&>()
                 .await_resume());

/// An operation that starts code of its own, and so needs a loop to run it on (a task, gather),
/// declares `static constexpr bool needs_loop = true`; one that wraps another declares what that
/// one does, by this.
template <class Op>
inline constexpr bool needs_loop_v = [] {
  using op = std::remove_reference_t<Op>;
  if constexpr (requires { op::needs_loop; }) return bool{op::needs_loop};
  return false;
}();

namespace detail {

template <class Op>
class wait_in_place final : in_place_wait {
  using result = result_of<Op>;
  static constexpr bool by_reference = std::is_reference_v<result>;
  using stored = std::conditional_t<
      std::is_void_v<result>, char,
      std::optional<std::conditional_t<by_reference, std::remove_reference_t<result>*, result>>>;

 public:
  explicit wait_in_place(Op& op) noexcept : op_{op} {}
  result get(context& thread) {
    run(thread);
    if constexpr (by_reference) {
      return static_cast<result>(**value_);
    } else if constexpr (!std::is_void_v<result>) {
      return *std::move(value_);
    }
  }

 private:
  bool begin(waiter& w) override { return !op_.await_ready() && op_.await_suspend(w); }
  void settle(outcome how) override {
    if constexpr (std::is_void_v<result>) {
      conclude(op_, how);
    } else if constexpr (by_reference) {
      value_ = &conclude(op_, how);
    } else {
      value_.emplace(conclude(op_, how));
    }
  }
  Op& op_;
  stored value_{};
};

/// The wait of a fiber or a plain thread, after its checkpoint.
template <class Op>
decltype(auto) wait_blocking(context& c, Op& op) {
  if constexpr (needs_loop_v<Op>) {
    if (c.home() == nullptr) return wait_in_place<Op>{op}.get(c);
  }
  outcome how = outcome::completed;
  // Read first: while the party's code is a task, on the loop's stack, it must not block.
  const parking* const parks = c.parks;
  if (!op.await_ready() && op.await_suspend(c)) {
    parks->park(c);
    how = c.finish();
  } else if (c.home() != nullptr && c.home()->spent()) [[unlikely]] {
    // Finished, but many waits in a row have been: let others run before the result is taken.
    c.give_way();
    c.home()->make_ready(c);
    parks->park(c);
    how = c.finish();
  }
  if constexpr (!handles_cancel<Op>) {
    if (how == outcome::cancelled) [[unlikely]]
      c.raise_timeout();
  }
  return conclude(op, how);
}

}  // namespace detail

/// Suspends the calling fiber or plain thread until `op` has finished; its result or exception.
/// In a coroutine body, or in a function that a loop calls, it throws would_block_loop: waiting
/// there would stop the loop (and what is waited for could never come).
///
/// In a plain thread an operation that needs a loop runs on one that the thread drives meanwhile.
/// It is the thread's own and is kept between waits, so what came from one wait (a connection, an
/// HTTP response) can be used in the next one, on this thread; it ends with the thread. What the
/// operation has left behind there is cancelled and waited for before `await` returns, and a
/// failure of it is thrown.
///
/// Cancellation: throws `cancelled` if a visible scope is cancelled; then `op` did not happen. (In
/// its place timeout_expired, if a `timeout` of this fiber or thread is why.)
template <class A>
  requires awaitable<A>
decltype(auto) await(A&& a) {
  context& c = context::blocking("await");
  auto&& op = as_operation(static_cast<A&&>(a));
  enter_wait<decltype(op)>(c);
  using type = std::remove_reference_t<decltype(op)>;
  if constexpr (needs_loop_v<type> || handles_cancel<type>) {
    try {
      return detail::wait_blocking(c, op);
    } catch (const cancelled&) {  // out of the code that it started
      c.raise_timeout();
      throw;
    }
  } else {
    return detail::wait_blocking(c, op);
  }
}

/// Runs `get`; an oneloop::error becomes the value, everything else (also `cancelled`) is thrown
/// on.
template <class Get>
auto errors_as_values(Get&& get) -> std::expected<std::invoke_result_t<Get>, std::error_code> {
  try {
    if constexpr (std::is_void_v<std::invoke_result_t<Get>>) {
      get();
      return {};
    } else {
      return get();
    }
  } catch (const error& e) {
    return std::unexpected{e.code()};
  }
}

/// How a composite keeps what it was given: an lvalue operation by reference, everything else by
/// value (operations may be moved until they start).
template <class A>
using stored_operation =
    std::conditional_t<std::is_lvalue_reference_v<decltype(as_operation(std::declval<A>()))>,
                       decltype(as_operation(std::declval<A>())),
                       std::remove_cvref_t<decltype(as_operation(std::declval<A>()))>>;

/// An operation that gives std::expected<T, std::error_code> in place of T or an oneloop::error.
/// `Op` is held by value if it was given as an rvalue.
template <class Op>
class try_operation {
 public:
  static constexpr bool needs_loop = needs_loop_v<Op>;
  explicit try_operation(Op&& op) : op_(static_cast<Op&&>(op)) {}
  bool await_ready() { return op_.await_ready(); }
  bool await_suspend(waiter& w) { return op_.await_suspend(w); }
  auto await_resume() {
    return errors_as_values([this]() -> decltype(auto) { return op_.await_resume(); });
  }

 private:
  Op op_;
};

/// `co_await try_await(op)` in a coroutine, `await(try_await(op))` elsewhere.
template <class A>
  requires awaitable<A>
auto try_await(A&& a) {
  return try_operation<stored_operation<A>>{as_operation(static_cast<A&&>(a))};
}

}  // namespace oneloop::inline v0
