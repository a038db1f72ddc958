// Regions in coroutines: the names of scope/region.hpp in front of a callable that gives a task.
// They give a task themselves: await it.
//
//     auto reply = co_await fail_after(2s, ask, std::ref(connection), "PING");
//     co_await with_nursery([&](nursery& n) -> task<> {
//       n.start(serve, std::ref(listener));
//       co_await sleep_for(1h);
//     });
//
// The callable and its arguments are moved into the region's frame and live until it ends. With
// g++ 12, name a lambda that captures by value before you co_await the region it goes into
// (docs/compilers.md, G2); captures by reference are fine.
#pragma once

#include <functional>
#include <type_traits>
#include <utility>

#include "oneloop/scope/region.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0 {

/// A callable that gives a task.
template <class F, class... Args>
concept task_body =
    std::invocable<F, Args...> && is_task_v<std::remove_cvref_t<std::invoke_result_t<F, Args...>>>;

template <class F, class... Args>
using task_result_t = typename std::remove_cvref_t<std::invoke_result_t<F, Args...>>::value_type;

/// Runs body(scope, args...) in a new scope: its result, or nothing (false) if the scope was
/// cancelled and absorbed it.
template <class Body, class... Args>
  requires task_body<Body, cancel_scope&, Args...>
auto with_scope(scope_options options, Body body, Args... args)
    -> task<region_result_t<task_result_t<Body, cancel_scope&, Args...>>> {
  scope_region region{context::current(), options};
  try {
    auto run = std::invoke(std::move(body), region.scope(), std::move(args)...);
    if constexpr (std::is_void_v<task_result_t<Body, cancel_scope&, Args...>>) {
      co_await std::move(run);
      region.ended_normally();
      co_return true;
    } else {
      auto result = co_await std::move(run);
      region.ended_normally();
      co_return std::move(result);
    }
  } catch (const cancelled&) {
    if (!region.absorb()) throw;
  }
  co_return {};
}

/// Runs body(args...) with a deadline `d` from now: its result, or nothing (false).
template <class Body, class... Args>
  requires task_body<Body, Args...>
auto move_on_after(duration d, Body body, Args... args)
    -> task<region_result_t<task_result_t<Body, Args...>>> {
  auto inside = [&](cancel_scope&) { return std::invoke(std::move(body), std::move(args)...); };
  auto run = with_scope(scope_options{}.within(d), inside);
  auto result = co_await std::move(run);
  co_return std::move(result);
}

/// The same; throws timeout_error if the body did not finish in time.
template <class Body, class... Args>
  requires task_body<Body, Args...>
auto fail_after(duration d, Body body, Args... args) -> task<task_result_t<Body, Args...>> {
  auto run = move_on_after(d, std::move(body), std::move(args)...);
  auto result = co_await std::move(run);
  if (!result) throw timeout_error{"fail_after"};
  if constexpr (!std::is_void_v<task_result_t<Body, Args...>>) co_return *std::move(result);
}

/// Runs body(args...) where the cancellation of the scopes above does not reach it.
template <class Body, class... Args>
  requires task_body<Body, Args...>
auto shielded(Body body, Args... args) -> task<task_result_t<Body, Args...>> {
  scope_region region{context::current(), scope_options{}.shielded()};
  auto run = std::invoke(std::move(body), std::move(args)...);
  if constexpr (std::is_void_v<task_result_t<Body, Args...>>) {
    co_await std::move(run);
  } else {
    auto result = co_await std::move(run);
    co_return std::move(result);
  }
}

/// Runs body(nursery, args...) and waits for all that it started there; see scope/nursery.hpp.
/// Gives the body's result.
template <class Body, class... Args>
  requires task_body<Body, nursery&, Args...>
auto with_nursery(Body body, Args... args) -> task<task_result_t<Body, nursery&, Args...>> {
  using result = task_result_t<Body, nursery&, Args...>;
  nursery n{context::current()};
  std::conditional_t<std::is_void_v<result>, char, std::optional<result>> value{};
  try {
    auto run = std::invoke(std::move(body), n, std::move(args)...);
    if constexpr (std::is_void_v<result>) {
      co_await std::move(run);
    } else {
      value.emplace(co_await std::move(run));
    }
  } catch (...) {
    n.body_failed(std::current_exception());
  }
  co_await n.join();
  n.close();
  if constexpr (!std::is_void_v<result>) {
    if (!value) throw misuse{"with_nursery: cancelled from within before its body had a result"};
    co_return *std::move(value);
  }
}

/// acquire() gives a resource, body(resource) uses it, release(resource) gives it back: always,
/// also on an error and on cancel, under a shield with a deadline. The error of the body wins over
/// one of the release. All three give tasks.
template <class Acquire, class Body, class Release>
  requires task_body<Acquire> && task_body<Body, task_result_t<Acquire>&>
auto with_resource(Acquire acquire, Body body, Release release,
                   duration release_deadline = std::chrono::seconds{10})
    -> task<task_result_t<Body, task_result_t<Acquire>&>> {
  using result = task_result_t<Body, task_result_t<Acquire>&>;
  auto acquiring = std::invoke(std::move(acquire));
  auto resource = co_await std::move(acquiring);
  std::exception_ptr failure;
  std::conditional_t<std::is_void_v<result>, char, std::optional<result>> value{};
  try {
    auto run = std::invoke(std::move(body), resource);
    if constexpr (std::is_void_v<result>) {
      co_await std::move(run);
    } else {
      value.emplace(co_await std::move(run));
    }
  } catch (...) {
    failure = std::current_exception();
  }
  try {
    scope_region region{context::current(), scope_options{}.within(release_deadline).shielded()};
    try {
      auto releasing = std::invoke(std::move(release), resource);
      co_await std::move(releasing);
    } catch (const cancelled&) {
      if (!region.absorb()) throw;
    }
  } catch (...) {
    if (!failure) failure = std::current_exception();
  }
  if (failure) std::rethrow_exception(failure);
  if constexpr (!std::is_void_v<result>) co_return *std::move(value);
}

}  // namespace oneloop::inline v0
