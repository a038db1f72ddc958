// Timeouts in front of a single operation or task, for every kind of waiter.
//
//     auto v = co_await fail_after(2s, ch.receive());             // throws timeout_error
//     auto w = await(move_on_after(2s, ch.receive()));            // nothing if it took too long
//
// The operation is cancelled at the deadline, and waited for: if it happened after all, its result
// is delivered. An outer cancel stays a cancel.
#pragma once

#include <optional>
#include <type_traits>
#include <utility>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/error.hpp"
#include "oneloop/scope/await.hpp"
#include "oneloop/scope/region.hpp"

namespace oneloop::inline v0 {

/// `Fail`: a timeout is an exception; otherwise it is an empty result. An operation on what runs
/// already (it declares `runs_already`) is asked once even if the deadline has passed.
template <class Op, bool Fail>
class timed_operation {
  using inner_result = decltype(std::declval<std::remove_reference_t<Op>&>().await_resume());
  using result = std::conditional_t<Fail, inner_result, region_result_t<inner_result>>;

 public:
  static constexpr bool needs_loop = needs_loop_v<Op>;
  timed_operation(duration d, Op&& op) : op_(static_cast<Op&&>(op)), limit_{d} {}
  timed_operation(timed_operation&& o) : op_(static_cast<Op&&>(o.op_)), limit_{o.limit_} {}

  [[nodiscard]] bool await_ready() const noexcept { return false; }
  bool await_suspend(waiter& w) {
    region_.emplace(context_of(w), scope_options{}.within(limit_));
    if (region_->scope().cancelled()) {
      if constexpr (!requires { std::remove_reference_t<Op>::runs_already; }) {
        late_ = true;  // the deadline had passed before it began
        return false;
      } else {
        if (op_.await_ready() || !op_.await_suspend(w)) return false;
        w.request_cancel();
        return true;
      }
    }
    return !op_.await_ready() && op_.await_suspend(w);
  }
  result await_resume() {
    if (late_) return await_cancelled();
    try {
      const leaving guard{*this};
      if constexpr (Fail) {
        return op_.await_resume();
      } else if constexpr (std::is_void_v<inner_result>) {
        op_.await_resume();
        return true;
      } else {
        return result{op_.await_resume()};
      }
    } catch (const cancelled&) {  // the operation is a task, and this came out of its body
      if (!absorbed_) throw;
    }
    return timed_out();
  }
  result await_cancelled() {
    {
      const leaving guard{*this};
      if constexpr (!std::is_void_v<inner_result>) {
        if constexpr (handles_cancel<std::remove_reference_t<Op>>) {
          if (!late_) {
            try {
              return result{op_.await_cancelled()};
            } catch (const cancelled&) {
            }
          }
        }
      }
    }
    if (!absorbed_) throw cancelled{};
    return timed_out();
  }

 private:
  struct leaving {
    timed_operation& op;
    ~leaving() {
      op.absorbed_ = op.region_->absorb();
      op.region_.reset();
    }
  };
  static result timed_out() {
    if constexpr (Fail) {
      throw timeout_error{"fail_after"};
    } else {
      return result{};
    }
  }
  Op op_;
  duration limit_;
  std::optional<scope_region> region_;
  bool late_ = false;
  bool absorbed_ = false;
};

/// `a` with a deadline `d` from when it is awaited; throws timeout_error.
template <class A>
  requires awaitable<A>
auto fail_after(duration d, A&& a) {
  return timed_operation<stored_operation<A>, true>{d, as_operation(static_cast<A&&>(a))};
}

/// The same; gives an empty optional (false, if `a` has no result) at the deadline.
template <class A>
  requires awaitable<A>
auto move_on_after(duration d, A&& a) {
  return timed_operation<stored_operation<A>, false>{d, as_operation(static_cast<A&&>(a))};
}

}  // namespace oneloop::inline v0
