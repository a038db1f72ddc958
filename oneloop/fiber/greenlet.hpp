// Greenlets: the bare switch, as Python's greenlet has it. Functions on stacks of their own that
// hand control and a value to each other explicitly; nothing schedules them.
//
//     greenlet g{[](int x) {
//       int y = greenlet::current().parent().switch_to<int>(x + 1);   // suspends g
//       return y * 10;                                                // g dies: back to its parent
//     }};
//     int a = g.switch_to<int>(1);      // 2
//     int b = g.switch_to<int>(5);      // 50
//
// The code that makes a greenlet is its parent (until `parent(p)` says otherwise): the fiber, the
// thread or another greenlet. When a greenlet's function returns, its parent goes on, and its
// switch_to gives the result; what the function throws is thrown there. A switch to a dead greenlet
// goes to the nearest parent that lives. `throw_` throws in the greenlet, where it is suspended.
//
// A value is what is passed: nothing, one value, or a std::tuple of several; types must be the same
// on both sides after decay (misuse otherwise), and copyable. The first switch gives the function
// its arguments.
//
// *Lifetime*: handles share the greenlet. When the last handle of a suspended one goes,
// greenlet_exit is thrown inside, again at each switch that it then tries, until it has ended; one
// that lets it pass ends quietly, here and after throw_(). A handle to itself that it keeps on its
// own stack is one of them: it then lives until it has ended by itself.
// *Waiting*: with or without a loop. `await` inside a greenlet makes the fiber (or thread) wait
// that runs it; other fibers run meanwhile, and it goes on in the same greenlet. Inside a coroutine
// body greenlets switch, but await throws would_block_loop, as always there. *Threads*: a greenlet
// belongs to the fiber or thread that made it; switching to it from another one throws misuse. The
// last handle may go anywhere; from another thread the greenlet is ended when its thread next uses
// greenlets, or ends. *Cost*: a stack as a fiber's, from a pool of the thread; a switch is some ten
// ns.
#pragma once

#include <any>
#include <concepts>
#include <cstdint>
#include <exception>
#include <functional>
#include <string>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include "oneloop/base/config.hpp"
#include "oneloop/base/error.hpp"

namespace oneloop::inline v0 {

/// Thrown in a greenlet that is to end. Not a std::exception, as Python's GreenletExit is no
/// Exception: let it pass.
class greenlet_exit final {
 public:
  [[nodiscard]] const char* what() const noexcept { return "greenlet_exit"; }
};

namespace detail {

class greenlet_core;

[[noreturn]] ONELOOP_API void throw_greenlet_type(const std::type_info& wanted,
                                                  const std::any& came);

template <class T>
T take_any(std::any value) {
  if constexpr (std::is_void_v<T>) {
    return;
  } else if constexpr (std::same_as<T, std::any>) {
    return value;
  } else {
    if (T* v = std::any_cast<T>(&value)) return std::move(*v);
    throw_greenlet_type(typeid(T), value);
  }
}

template <class... Args>
std::any make_any(Args&&... args) {
  if constexpr (sizeof...(Args) == 0) {
    return {};
  } else if constexpr (sizeof...(Args) == 1) {
    return std::any{std::forward<Args>(args)...};
  } else {
    return std::any{std::tuple<std::decay_t<Args>...>{std::forward<Args>(args)...}};
  }
}

template <class F>
struct parameters : parameters<decltype(&F::operator())> {};
template <class R, class... P>
struct parameters<R (*)(P...)> {
  using tuple = std::tuple<std::decay_t<P>...>;
};
template <class R, class C, class... P>
struct parameters<R (C::*)(P...)> : parameters<R (*)(P...)> {};
template <class R, class C, class... P>
struct parameters<R (C::*)(P...) const> : parameters<R (*)(P...)> {};
template <class R, class C, class... P>
struct parameters<R (C::*)(P...) noexcept> : parameters<R (*)(P...)> {};
template <class R, class C, class... P>
struct parameters<R (C::*)(P...) const noexcept> : parameters<R (*)(P...)> {};

template <class F>
concept has_parameters =
    std::is_function_v<std::remove_pointer_t<F>> || requires { &F::operator(); };

/// Calls fn with what the first switch passed.
template <class F>
std::any call_with_any(F& fn, std::any first) {
  using tuple = typename parameters<F>::tuple;
  auto call = [&fn](auto&&... args) -> std::any {
    if constexpr (std::is_void_v<std::invoke_result_t<F&, decltype(args)...>>) {
      std::invoke(fn, std::forward<decltype(args)>(args)...);
      return {};
    } else {
      return std::invoke(fn, std::forward<decltype(args)>(args)...);
    }
  };
  if constexpr (std::tuple_size_v<tuple> == 0) {
    return call();
  } else if constexpr (std::tuple_size_v<tuple> == 1) {
    return call(take_any<std::tuple_element_t<0, tuple>>(std::move(first)));
  } else {
    return std::apply(call, take_any<tuple>(std::move(first)));
  }
}

}  // namespace detail

class ONELOOP_API greenlet {
 public:
  /// Of `fn`, which the first switch calls; a function or a lambda without `auto` parameters.
  template <class F>
    requires detail::has_parameters<std::decay_t<F>>
  explicit greenlet(F&& fn)
      : greenlet{run_type{[fn = std::decay_t<F>{std::forward<F>(fn)}](std::any first) mutable {
          return detail::call_with_any(fn, std::move(first));
        }}} {}
  /// The one that runs: the fiber or thread itself outside of all greenlets.
  [[nodiscard]] static greenlet current();

  greenlet(const greenlet& o) noexcept;
  greenlet(greenlet&& o) noexcept : core_{std::exchange(o.core_, nullptr)} {}
  greenlet& operator=(greenlet o) noexcept {
    std::swap(core_, o.core_);
    return *this;
  }
  ~greenlet();

  /// Suspends the caller and goes to this one with a value. What comes back, from whichever
  /// greenlet: an R.
  template <class R = std::any, class... Args>
  R switch_to(Args&&... args) const {
    return detail::take_any<R>(enter(detail::make_any(std::forward<Args>(args)...), nullptr));
  }
  /// The same; here `e` is thrown. One that has not begun never does: `e` goes to its parent.
  template <class R = std::any, class E = greenlet_exit>
    requires(!std::same_as<std::decay_t<E>, std::exception_ptr>)
  R throw_(E e = {}) const {
    return detail::take_any<R>(enter({}, std::make_exception_ptr(std::move(e))));
  }
  template <class R = std::any>
  R throw_(std::exception_ptr e) const {
    return detail::take_any<R>(enter({}, std::move(e)));
  }

  /// It has begun and not ended.
  [[nodiscard]] explicit operator bool() const noexcept;
  /// It has ended.
  [[nodiscard]] bool dead() const noexcept;
  /// Who goes on when it ends. Throws misuse for the outermost one, which has none.
  [[nodiscard]] greenlet parent() const&;
  /// `current().parent()` holds the parent and no longer the greenlet itself.
  [[nodiscard]] greenlet parent() &&;
  /// Throws misuse if that would make a circle, or p belongs to another fiber or thread.
  void parent(const greenlet& p) const;

  friend bool operator==(const greenlet& a, const greenlet& b) noexcept {
    return a.core_ == b.core_;
  }

 private:
  using run_type = std::move_only_function<std::any(std::any)>;
  explicit greenlet(run_type run);
  explicit greenlet(detail::greenlet_core* c) noexcept;
  std::any enter(std::any value, std::exception_ptr error) const;
  detail::greenlet_core* core_;
};

}  // namespace oneloop::inline v0
