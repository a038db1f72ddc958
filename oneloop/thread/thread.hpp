// Plain threads beside loops: everything waits in them as in fibers, with_nursery starts threads,
// and calls go from a thread into a loop.
//
//     with_nursery([&](nursery& n) {                        // in a plain thread
//       n.start(named{"server", serve_blocking}, 8080);     // its children are threads
//       page p = await(web.get(url));                       // a task: on a loop of this thread's
//       status s = call_on(l, ask, url);                    // a task or function, on that loop
//     });
//
// What a plain thread waits for by itself: every leaf (locks, channels, sleeps, sockets, futures,
// to_thread) and joins; it parks. What needs a loop (a task, gather) runs on one that the thread
// drives until it has ended (scope/await.hpp). To run a task on a given loop: await_on. To hand
// something to a loop without waiting: loop::post, from any thread.
//
// *Threads*: a nursery's thread is cancelled like any child, by its nursery or by a cancel_handle
// from anywhere: its wait ends, and its next one throws. Code that does not wait is not
// interrupted. It is called by its name (`named`) in debuggers too. *Errors*: what leaves the
// function goes to the nursery, or to who joins. *Cost*: a thread.
#pragma once

#include <tuple>
#include <type_traits>
#include <utility>

#include "oneloop/base/config.hpp"
#include "oneloop/base/error.hpp"
#include "oneloop/fiber/spawn.hpp"
#include "oneloop/scope/await.hpp"
#include "oneloop/scope/region.hpp"

namespace oneloop::inline v0 {

/// Starts `fn(args...)` on a thread of its own, as a child of a nursery of any kind; it can be
/// joined (see task/spawn.hpp for the rules). `fn` must not be a coroutine.
template <class F, class... Args>
  requires blocking_body<typename detail::unnamed<std::decay_t<F>>::type, std::decay_t<Args>...>
auto spawn_thread(nursery_at to, F&& fn, Args&&... args)
    -> joinable<typename detail::spawned<F, Args...>::value_type> {
  using spawned = detail::spawned<F, Args...>;
  std::decay_t<F> f{std::forward<F>(fn)};
  const spawn_info info{spawned::unnamed::name(f), to.at};
  auto handle = detail::make_joinable<typename spawned::value_type>(info.name, nullptr);
  handle.checked().belong_to(to.where);
  detail::start_joined_thread(handle.checked(), to.where, info, spawned::unnamed::fn(f),
                              std::tuple<std::decay_t<Args>...>{std::forward<Args>(args)...});
  return handle;
}

/// Waits for a child, and owns its fate: if the caller is cancelled, so is the child, and its end
/// is waited for; what it gave all the same is delivered. In a thread or a fiber.
template <class T>
T await_owned(const joinable<T>& h) {
  try {
    return await(h.join());
  } catch (const cancelled&) {
    h.cancel();
  }
  try {
    return shielded([&]() -> T { return await(h.join()); });
  } catch (const cancelled_error&) {
    throw cancelled{};
  }
}

/// Calls `fn(args...)` on `l`, as a task if it is a coroutine, else as a fiber, and waits for its
/// result. In a plain thread, or in a fiber of another loop. Throws loop_not_running if nobody
/// drives the loop (loop::driven), if it has closed, or closes before it could begin.
///
/// Cancellation: sent there, and waited for.
template <class F, class... Args>
auto call_on(loop_at l, F&& fn, Args&&... args) ->
    typename detail::spawned<F, Args...>::value_type {
  loop::refuse_in_simulation("call_on");
  static_cast<void>(context::blocking("call_on"));
  if (!l.where.driven()) throw loop_not_running{"call_on"};
  return await_owned(spawn_on(l, std::forward<F>(fn), std::forward<Args>(args)...));
}

/// Runs a task on `l` and waits for its result; otherwise like call_on.
template <class T>
T await_on(loop_at l, task<T> t) {
  return call_on(l, [t = std::move(t)]() mutable { return std::move(t); });
}

}  // namespace oneloop::inline v0
