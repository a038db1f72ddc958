// A task group: children with handles, whose failures are the nursery's in any case (asyncio's
// TaskGroup). With plain handles a failure belongs to who joins, and the others go on.
//
//     co_await with_nursery([&](nursery& n) -> task<> {
//       task_group group{n};
//       auto a = spawn(group, fetch, x), b = spawn(group, fetch, y);
//       use(co_await a.join(), co_await b.join());
//     });                              // the first failure cancels the others, and is thrown here
//
// A join throws the failure, too. A child that was cancelled by its handle has not failed.
#pragma once

#include <source_location>
#include <utility>

#include "oneloop/scope/nursery.hpp"
#include "oneloop/task/spawn.hpp"

namespace oneloop::inline v0 {

class task_group {
 public:
  /// Must not outlive the nursery.
  explicit task_group(nursery& n) noexcept : nursery_{n} {}
  [[nodiscard]] nursery& where() const noexcept { return nursery_; }
  void cancel() noexcept { nursery_.cancel(); }

 private:
  nursery& nursery_;
};

/// A group and the line of the call; a task_group& converts to it.
struct task_group_at {
  // NOLINTNEXTLINE(google-explicit-constructor): converting is its purpose
  task_group_at(task_group& g, std::source_location a = std::source_location::current()) noexcept
      : to{g.where(), a} {}
  nursery_at to;
};

/// Starts `fn(args...)` as a child of the group's nursery; as spawn in every other respect.
template <class F, class... Args>
auto spawn(task_group_at group, F&& fn, Args&&... args)
    -> joinable<typename detail::spawned<F, Args...>::value_type> {
  return detail::spawn_in(group.to, detail::failures_go::to_both, std::forward<F>(fn),
                          std::forward<Args>(args)...);
}

}  // namespace oneloop::inline v0
