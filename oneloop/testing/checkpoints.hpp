// Whether a piece of code gives way: assertions for tests of one's own functions.
//
//     co_await testing::assert_checkpoints(fetch, url);         // a coroutine
//     testing::assert_no_checkpoints([&] { counter.add(1); });  // in a fiber or a thread
//
// A checkpoint, as in docs/checkpoints.md, is both
//   - a cancel point: in a cancelled scope it throws `cancelled`;
//   - a schedule point: it lets others run, or counts towards the 128 waits in a row after which a
//     party has to. (In a plain thread, whom the kernel preempts, every point is one.)
// Every wait for an operation is a checkpoint, whether or not it suspends. context::checkpoint() by
// itself is a cancel point only, the join at the end of a nursery a schedule point only.
//
// What counts is what the party passes itself: not what it starts in nurseries, gather and the like
// does there; those wait themselves.
//
// *Errors*: check_failed, and what the body throws. *Cancellation*: the body's.
#pragma once

#include <cstdint>
#include <functional>
#include <type_traits>
#include <utility>

#include "oneloop/base/config.hpp"
#include "oneloop/scope/context.hpp"
#include "oneloop/scope/region.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/testing/check_failed.hpp"

namespace oneloop::inline v0::testing {
namespace detail {

/// Notes which points the party passes while it lives. They nest.
class ONELOOP_API checkpoint_watch {
 public:
  explicit checkpoint_watch(context& c) noexcept;
  ~checkpoint_watch();
  checkpoint_watch(const checkpoint_watch&) = delete;
  checkpoint_watch& operator=(const checkpoint_watch&) = delete;

  /// Throws unless both kinds of points were passed.
  void require_both() const;
  /// Throws if one of either kind was.
  void require_none() const;

 private:
  [[nodiscard]] bool waited() const noexcept;
  context& context_;
  const bool passed_before_;
  std::uint64_t waits_;
};

}  // namespace detail

/// Runs body(args...), which gives a task: its result. Throws check_failed if it ended without
/// having passed a cancel point and a schedule point. What leaves it by an exception may have
/// passed none.
template <class Body, class... Args>
  requires task_body<Body, Args...>
auto assert_checkpoints(Body body, Args... args) -> task<task_result_t<Body, Args...>> {
  const detail::checkpoint_watch watch{context::current()};
  auto run = std::invoke(std::move(body), std::move(args)...);
  if constexpr (std::is_void_v<task_result_t<Body, Args...>>) {
    co_await std::move(run);
    watch.require_both();
  } else {
    auto result = co_await std::move(run);
    watch.require_both();
    co_return std::move(result);
  }
}
/// The same for the body of a fiber or a plain thread.
template <class Body, class... Args>
  requires blocking_body<Body, Args...>
auto assert_checkpoints(Body&& body, Args&&... args) -> std::invoke_result_t<Body, Args...> {
  const detail::checkpoint_watch watch{context::current()};
  if constexpr (std::is_void_v<std::invoke_result_t<Body, Args...>>) {
    std::invoke(std::forward<Body>(body), std::forward<Args>(args)...);
    watch.require_both();
  } else {
    decltype(auto) result = std::invoke(std::forward<Body>(body), std::forward<Args>(args)...);
    watch.require_both();
    return static_cast<decltype(result)>(result);
  }
}

/// Runs body(args...), which gives a task: its result. Throws check_failed if it passed a cancel
/// point or a schedule point, also if it ends by an error.
template <class Body, class... Args>
  requires task_body<Body, Args...>
auto assert_no_checkpoints(Body body, Args... args) -> task<task_result_t<Body, Args...>> {
  const detail::checkpoint_watch watch{context::current()};
  try {
    auto run = std::invoke(std::move(body), std::move(args)...);
    if constexpr (std::is_void_v<task_result_t<Body, Args...>>) {
      co_await std::move(run);
      watch.require_none();
    } else {
      auto result = co_await std::move(run);
      watch.require_none();
      co_return std::move(result);
    }
  } catch (const std::exception&) {
    watch.require_none();
    throw;
  }
}
/// The same for a body that gives no task; in any party.
template <class Body, class... Args>
  requires blocking_body<Body, Args...>
auto assert_no_checkpoints(Body&& body, Args&&... args) -> std::invoke_result_t<Body, Args...> {
  const detail::checkpoint_watch watch{context::current()};
  try {
    if constexpr (std::is_void_v<std::invoke_result_t<Body, Args...>>) {
      std::invoke(std::forward<Body>(body), std::forward<Args>(args)...);
      watch.require_none();
    } else {
      decltype(auto) result = std::invoke(std::forward<Body>(body), std::forward<Args>(args)...);
      watch.require_none();
      return static_cast<decltype(result)>(result);
    }
  } catch (const std::exception&) {
    watch.require_none();
    throw;
  }
}

}  // namespace oneloop::inline v0::testing
