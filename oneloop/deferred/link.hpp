// The links of typed chains: what a callback takes and gives, and how a result passes through it.
// Internal; see deferred.hpp.
#pragma once

#include <concepts>
#include <exception>
#include <expected>
#include <functional>
#include <memory>
#include <source_location>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include "oneloop/base/error.hpp"
#include "oneloop/deferred/chain.hpp"
#include "oneloop/deferred/failure.hpp"
#include "oneloop/scope/await.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0 {

template <class T = void>
class deferred;

template <class T>
inline constexpr bool is_deferred_v = false;
template <class T>
inline constexpr bool is_deferred_v<deferred<T>> = true;

template <class A>
  requires awaitable<A>
auto defer(A&& a, std::source_location at = std::source_location::current())
    -> deferred<std::remove_cvref_t<await_result<A>>>;

namespace detail {

template <class T>
using boxed_t = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

template <class T, class... A>
std::unique_ptr<box> make_box(A&&... a) {
  return std::make_unique<box_of<boxed_t<T>>>(std::in_place, std::forward<A>(a)...);
}

/// What the chain gives after a callback that returned R.
template <class R>
struct chained {
  using type = R;
};
template <class U>
struct chained<deferred<U>> {
  using type = U;
};
template <class U>
struct chained<task<U>> {
  using type = std::remove_cvref_t<U>;
};
template <class U>
struct chained<std::expected<U, failure>> {
  using type = U;
};
template <>
struct chained<failure> {
  using type = void;
};
template <class R>
using chained_t = typename chained<std::remove_cvref_t<R>>::type;

template <class R>
inline constexpr bool is_either_v = false;
template <class T>
inline constexpr bool is_either_v<std::expected<T, failure>> = true;

struct pass {};  // in place of a callback or an errback

/// Whether F takes a T, or does without.
template <class F, class T>
inline constexpr bool takes = std::invocable<F&, T> || std::invocable<F&>;
template <class F>
inline constexpr bool takes<F, void> = std::invocable<F&>;
template <class T>
inline constexpr bool takes<pass, T> = true;
template <>
inline constexpr bool takes<pass, void> = true;

/// Calls f with the value, or without if it does not take it.
template <class F, class... V>
decltype(auto) call_with(F& f, V&&... value) {
  if constexpr (std::invocable<F&, V...>) {
    return std::invoke(f, std::forward<V>(value)...);
  } else {
    return std::invoke(f);
  }
}
/// What that returns.
template <class F, class T>
struct called {
  using type = decltype(call_with(std::declval<F&>(), std::declval<T>()));
};
template <class F>
struct called<F, void> {
  using type = std::invoke_result_t<F&>;
};
template <class T>
struct called<pass, T> {
  using type = T;
};
template <>
struct called<pass, void> {
  using type = void;
};
template <class F, class T>
using called_t = typename called<F, T>::type;

/// Whether something that returns R may stand in a chain that carries Out. One that returns nothing
/// makes the chain carry nothing; a failure fits everywhere.
template <class R, class Out>
inline constexpr bool fits =
    std::is_void_v<Out> || std::is_same_v<std::remove_cvref_t<R>, failure> ||
    std::is_same_v<chained_t<R>, Out> || std::convertible_to<R, boxed_t<Out>>;
/// What a chain of Out carries after an errback that returns R.
template <class Out, class R>
using after_t = std::conditional_t<std::is_void_v<R>, void, Out>;

// What the compiler says of a chain that does not fit begins with the name of one of these: in one
// line what was expected and what was given.
template <class T>
struct a_callable_that_takes;  // or takes nothing
template <class T>
struct a_result_like;  // or a failure, or nothing
template <class Expected, class Given>
void add_callback_does_not_fit_the_chain() = delete;
template <class Expected, class Given>
void add_errback_does_not_fit_the_chain() = delete;
template <class Expected, class Given>
void add_both_does_not_fit_the_chain() = delete;
template <class Expected, class Given>
void on_timeout_does_not_fit_the_chain() = delete;

/// What a coroutine was called on and with: its captures and what its reference parameters refer
/// to. As a link of the deferred of its task it goes when that has ended.
template <class F, class... V>
class keeper final : public chain_link {
 public:
  explicit keeper(F&& f, V&&... value)
      : f_(std::forward<F>(f)), value_{std::forward<V>(value)...} {}
  chain* run(chain&) noexcept override { return nullptr; }
  auto call() {
    return std::apply([&](V&... v) { return call_with(f_, std::forward<V>(v)...); }, value_);
  }

 private:
  F f_;
  std::tuple<V...> value_;
};

/// Starts the coroutine f(value...). What is given as an lvalue must outlive the task.
template <class F, class... V>
auto defer_call(F&& f, V&&... value) {
  auto kept = std::make_unique<keeper<F, V...>>(std::forward<F>(f), std::forward<V>(value)...);
  auto d = defer(kept->call());
  d.shared()->add(std::move(kept), typeid(typename decltype(d)::value_type));
  return d;
}

/// Puts what f(value...) returns into the chain, as an Out.
template <class Out, class F, class... V>
void put(chain& c, F& f, V&&... value) {
  const auto call = [&]() -> decltype(auto) { return call_with(f, std::forward<V>(value)...); };
  using r = std::remove_cvref_t<decltype(call())>;
  if constexpr (std::is_same_v<r, failure>) {
    c.error = call().exception();
  } else if constexpr (std::is_void_v<r>) {
    call();
    c.value = make_box<void>();
  } else if constexpr (is_task_v<r>) {
    c.wait_for(defer_call(std::move(f), std::forward<V>(value)...).shared());
  } else if constexpr (is_deferred_v<r>) {
    c.wait_for(call().shared());
  } else if constexpr (is_either_v<r>) {
    auto either = call();
    if (!either) {
      c.error = either.error().exception();
    } else if constexpr (std::is_void_v<Out> || std::is_void_v<typename r::value_type>) {
      c.value = make_box<void>();
    } else {
      c.value = make_box<Out>(*std::move(either));
    }
  } else if constexpr (std::is_void_v<Out>) {
    static_cast<void>(call());
    c.value = make_box<void>();
  } else {
    c.value = make_box<Out>(call());
  }
}

/// The value, out of the chain.
template <class T>
T take_value(chain& c) {
  if (c.value == nullptr) throw misuse{"the value of this deferred was taken by an await"};
  const auto taken = std::move(c.value);
  if constexpr (!std::is_void_v<T>) return std::move(static_cast<box_of<T>&>(*taken).value);
}

/// A callback and an errback; either may be `pass`.
template <class In, class Out, class F, class G>
class link_of final : public chain_link {
 public:
  link_of(F&& f, G&& g) : f_(std::move(f)), g_(std::move(g)) {}
  chain* run(chain& c) noexcept override {
    try {
      if (c.error) {
        if constexpr (!std::is_same_v<G, pass>) {
          put<Out>(c, g_, failure{std::exchange(c.error, nullptr)});
        }
      } else if constexpr (std::is_same_v<F, pass>) {
        if constexpr (std::is_void_v<Out> && !std::is_void_v<In>) c.value = make_box<void>();
      } else if constexpr (std::is_void_v<In>) {
        take_value<void>(c);
        put<Out>(c, f_);
      } else {
        // Called with what is still in its box: the value moves once, into the parameter.
        if (c.value == nullptr) take_value<void>(c);
        const auto in = std::move(c.value);
        put<Out>(c, f_, std::move(static_cast<box_of<In>&>(*in).value));
      }
    } catch (...) {
      c.value = nullptr;
      c.error = std::current_exception();
    }
    return nullptr;
  }

 private:
  F f_;
  G g_;
};

/// One callable for both tracks.
template <class In, class Out, class F>
class both_link final : public chain_link {
 public:
  explicit both_link(F&& f) : f_(std::move(f)) {}
  chain* run(chain& c) noexcept override {
    try {
      put<Out>(c, f_, take(c));
    } catch (...) {
      c.value = nullptr;
      c.error = std::current_exception();
    }
    return nullptr;
  }

 private:
  static std::expected<In, failure> take(chain& c) {
    if (c.error) return std::unexpected{failure{std::exchange(c.error, nullptr)}};
    if constexpr (std::is_void_v<In>) {
      take_value<void>(c);
      return {};
    } else {
      return take_value<In>(c);
    }
  }
  F f_;
};

/// Whether a T can be copied, with all that it holds.
template <class T>
inline constexpr bool copies = std::copy_constructible<T>;
template <class T>
  requires requires { typename T::value_type; } && (!std::is_same_v<typename T::value_type, T>)
inline constexpr bool copies<T> = std::copy_constructible<T> && copies<typename T::value_type>;
template <>
inline constexpr bool copies<void> = true;

/// The result for somebody beside the chain: a copy, or the value itself if it cannot be copied;
/// then nobody can add to the chain any more.
template <class T>
std::expected<T, failure> look_at(chain& c) {
  if (c.error) return std::unexpected{failure{c.error}};
  if constexpr (std::is_void_v<T>) {
    return {};
  } else if constexpr (copies<T>) {
    if (c.value == nullptr) take_value<void>(c);
    return static_cast<box_of<T>&>(*c.value).value;
  } else {
    c.given();
    return take_value<T>(c);
  }
}

}  // namespace detail
}  // namespace oneloop::inline v0
