// Regions in code that blocks: with_scope, fail_after, move_on_after, shielded, with_nursery and
// with_resource, called in a fiber or a plain thread. The same names in front of a callable that
// gives a task are awaited in a coroutine (task/region.hpp); fail_after and move_on_after in front
// of a single operation work everywhere (timeout.hpp).
//
//     fail_after(2s, [&] { reply = await(s.read(buf)); });     // throws timeout_error
//     if (!move_on_after(2s, [&] { await(ch.receive()); })) log("too slow");
//
// Destructors can neither wait nor absorb, which is why regions are functions that take a callable.
#pragma once

#include <exception>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

#include "oneloop/base/error.hpp"
#include "oneloop/scope/await.hpp"
#include "oneloop/scope/cancel_scope.hpp"
#include "oneloop/scope/context.hpp"
#include "oneloop/scope/debug.hpp"
#include "oneloop/scope/nursery.hpp"

namespace oneloop::inline v0 {

/// A scope that the current party is in, from construction to destruction. For models; it cannot
/// absorb by itself, so user code goes through with_scope.
class scope_region {
 public:
  scope_region(context& c, scope_options options)
      : context_{c}, scope_{c.home(), c.scope().thread(), &c.scope(), options} {
    c.enter(scope_);
  }
  ~scope_region() { context_.leave(scope_); }
  scope_region(const scope_region&) = delete;
  scope_region& operator=(const scope_region&) = delete;

  [[nodiscard]] cancel_scope& scope() noexcept { return scope_; }
  /// In a handler of `cancelled` around the body.
  [[nodiscard]] bool absorb() noexcept { return scope_.absorb(); }
  /// After a body that ended normally.
  void ended_normally() noexcept {
    if (scope_.thrown() && scope_.cancel_called() && debug_checks()) report_swallowed(context_);
  }

 private:
  context& context_;
  cancel_scope scope_;
};

/// What a region gives when its scope absorbed a cancellation: nothing. For a body without a result
/// this is bool: whether the body ran to its end.
template <class T>
struct region_result {
  using type = std::optional<T>;
};
template <>
struct region_result<void> {
  using type = bool;
};
template <class T>
using region_result_t = typename region_result<T>::type;

/// Callables whose result is a task are regions of coroutines.
template <class T>
inline constexpr bool is_task_v = false;

template <class F, class... Args>
concept blocking_body =
    std::invocable<F, Args...> && !is_task_v<std::remove_cvref_t<std::invoke_result_t<F, Args...>>>;

/// Runs body(scope, args...) in a new scope. Gives the body's result, or nothing (false) if the
/// scope was cancelled and absorbed it.
template <class Body, class... Args>
  requires blocking_body<Body, cancel_scope&, Args...>
auto with_scope(scope_options options, Body&& body, Args&&... args)
    -> region_result_t<std::invoke_result_t<Body, cancel_scope&, Args...>> {
  scope_region region{context::blocking("with_scope"), options};
  try {
    if constexpr (std::is_void_v<std::invoke_result_t<Body, cancel_scope&, Args...>>) {
      std::invoke(std::forward<Body>(body), region.scope(), std::forward<Args>(args)...);
      region.ended_normally();
      return true;
    } else {
      std::optional<std::invoke_result_t<Body, cancel_scope&, Args...>> result{
          std::invoke(std::forward<Body>(body), region.scope(), std::forward<Args>(args)...)};
      region.ended_normally();
      return result;
    }
  } catch (const cancelled&) {
    if (!region.absorb()) throw;
    return {};
  }
}

/// Runs body(args...) with a deadline `d` from now: its result, or nothing (false) if it did not
/// finish in time.
template <class Body, class... Args>
  requires blocking_body<Body, Args...>
auto move_on_after(duration d, Body&& body, Args&&... args) {
  return with_scope(scope_options{}.within(d), [&](cancel_scope&) -> decltype(auto) {
    return std::invoke(std::forward<Body>(body), std::forward<Args>(args)...);
  });
}

/// The same; throws timeout_error if it did not finish in time.
template <class Body, class... Args>
  requires blocking_body<Body, Args...>
auto fail_after(duration d, Body&& body, Args&&... args) -> std::invoke_result_t<Body, Args...> {
  auto result = move_on_after(d, std::forward<Body>(body), std::forward<Args>(args)...);
  if (!result) throw timeout_error{"fail_after"};
  if constexpr (!std::is_void_v<std::invoke_result_t<Body, Args...>>) return *std::move(result);
}

/// Runs body(args...) where the cancellation of the scopes above does not reach it.
template <class Body, class... Args>
  requires blocking_body<Body, Args...>
auto shielded(Body&& body, Args&&... args) -> std::invoke_result_t<Body, Args...> {
  scope_region region{context::blocking("shielded"), scope_options{}.shielded()};
  return std::invoke(std::forward<Body>(body), std::forward<Args>(args)...);
}

/// Runs body(nursery, args...) and waits for all that it started there; see nursery.hpp. Gives the
/// body's result.
template <class Body, class... Args>
  requires blocking_body<Body, nursery&, Args...>
auto with_nursery(Body&& body, Args&&... args) -> std::invoke_result_t<Body, nursery&, Args...> {
  using result = std::invoke_result_t<Body, nursery&, Args...>;
  nursery n{context::blocking("with_nursery")};
  std::conditional_t<std::is_void_v<result>, char, std::optional<result>> value{};
  try {
    if constexpr (std::is_void_v<result>) {
      std::invoke(std::forward<Body>(body), n, std::forward<Args>(args)...);
    } else {
      value.emplace(std::invoke(std::forward<Body>(body), n, std::forward<Args>(args)...));
    }
  } catch (...) {
    n.body_failed(std::current_exception());
  }
  await(n.join());
  n.close();
  if constexpr (!std::is_void_v<result>) {
    if (!value) throw misuse{"with_nursery: cancelled from within before its body had a result"};
    return *std::move(value);
  }
}

/// acquire() gives a resource, body(resource) uses it, release(resource) gives it back: always,
/// also on an error and on cancel, under a shield with a deadline (Python's `async with`). The
/// error of the body wins over one of the release.
template <class Acquire, class Body, class Release>
  requires blocking_body<Acquire> && blocking_body<Body, std::invoke_result_t<Acquire>&>
auto with_resource(Acquire&& acquire, Body&& body, Release&& release,
                   duration release_deadline = std::chrono::seconds{10})
    -> std::invoke_result_t<Body, std::invoke_result_t<Acquire>&> {
  using result = std::invoke_result_t<Body, std::invoke_result_t<Acquire>&>;
  auto resource = std::invoke(std::forward<Acquire>(acquire));
  auto give_back = [&] {
    (void)with_scope(scope_options{}.within(release_deadline).shielded(),
                     [&](cancel_scope&) { std::invoke(std::forward<Release>(release), resource); });
  };
  std::exception_ptr failure;
  std::conditional_t<std::is_void_v<result>, char, std::optional<result>> value{};
  try {
    if constexpr (std::is_void_v<result>) {
      std::invoke(std::forward<Body>(body), resource);
    } else {
      value.emplace(std::invoke(std::forward<Body>(body), resource));
    }
  } catch (...) {
    failure = std::current_exception();
  }
  try {
    give_back();
  } catch (...) {
    if (!failure) throw;
  }
  if (failure) std::rethrow_exception(failure);
  if constexpr (!std::is_void_v<result>) return *std::move(value);
}

}  // namespace oneloop::inline v0
