// Fibers: green threads. Ordinary functions that run concurrently on one loop, each on a stack of
// its own, and wait by `await`.
//
//     oneloop::run([] {                                   // main is a fiber too
//       with_nursery([](nursery& n) {
//         for (int i = 0; i < 3; ++i) n.start([i] { await(sleep_for(i * 1s)); greet(i); });
//       });
//     });
//
// A nursery starts a fiber for every callable that does not give a task: with this header, in a
// nursery of a coroutine or a fiber; in one of a plain thread it starts a thread.
//
// *Threads*: a fiber stays on its loop, so fibers of one loop never run at the same time and need
// no locks between two waits. *Cancellation*: every `await` is a checkpoint. *Errors*: what leaves
// the function goes to the nursery; so does the error of a fiber for which no stack could be had
// when it was to begin (which names the limit).
// *Cost*: to start, a pooled record of some 250 bytes; when it first runs, a stack of 64 KiB
// address space, of which what it touches (4 KiB or more) is real, from the loop's pool, to which
// it goes back at the end; two switches a wait, a few ns each. *Limits*: deep recursion ends at the
// stack's guard, with a message and SIGSEGV; set_fiber_stacks gives more room. A fiber does not
// give way by itself: a long computation holds the loop; put it into to_thread.
#pragma once

#include <exception>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

#include "oneloop/base/config.hpp"
#include "oneloop/fiber/stack.hpp"
#include "oneloop/fiber/switch.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/context.hpp"
#include "oneloop/scope/nursery.hpp"
#include "oneloop/scope/region.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/task/frame_pool.hpp"

namespace oneloop::inline v0 {

/// How many stacks a loop has, and uses.
[[nodiscard]] ONELOOP_API stack_pool::statistics fiber_statistics(loop& l);

/// The stacks of a loop's fibers, before the first of them has begun (misuse afterwards):
///     loop l;
///     set_fiber_stacks(l, {.stack_size = 1024 * 1024});
///     run(l, main);
/// Without it they have 64 KiB, or what ONELOOP_FIBER_STACK in the environment says, in bytes.
ONELOOP_API void set_fiber_stacks(loop& l, stack_pool_options options);

namespace detail {

/// The stack under a party's code: what makes a context a fiber.
class ONELOOP_API fiber_stack : parking {
 public:
  explicit fiber_stack(context& self) noexcept;
  ~fiber_stack();
  fiber_stack(const fiber_stack&) = delete;
  fiber_stack& operator=(const fiber_stack&) = delete;

  /// Takes a stack of the loop's pool. `code(argument)` runs on it when the context is resumed; it
  /// must not throw. Throws error if no stack can be had.
  void create(void (*code)(void*), void* argument);

  /// The resume function of the context.
  static void resume(ready_item& item) noexcept;

 private:
  static void park(context& c);
  static fiber_stack& of(context& self) noexcept {
    return static_cast<fiber_stack&>(*const_cast<parking*>(self.parks));
  }
  void give_back() noexcept;
  loop& home_;
  stack stack_;
  switch_context* switch_ = nullptr;  // at the top of the stack, where a page is touched anyway
};

/// The record of a fiber that a nursery owns.
class ONELOOP_API fiber_child : public child, public pooled {
 public:
  using pooled::operator new;
  using pooled::operator delete;

 protected:
  template <class... Where>
  fiber_child(spawn_info info, nursery& n, Where&... where)
      : child{party_kind::fiber, n, where..., begin_code, info}, stack_{self()} {}
  virtual ~fiber_child() = default;
  /// Last in the constructor of the class that has the body.
  void launch();
  /// The same; it begins when `delay` has passed. A cancel ends the delay.
  void launch(sleep_operation& delay);

 private:
  /// The fiber's code; what it throws is the failure of the child.
  virtual void body() = 0;
  /// On the loop, when its turn has come; false if the code must not run after all. Then, as after
  /// a cancel that came before, the child ends as a cancelled one.
  virtual bool may_begin() noexcept { return true; }
  /// The code has ended, or will never run. What is left for the nursery to know.
  virtual std::exception_ptr finish(std::exception_ptr error) noexcept { return error; }

  static void begin_code(ready_item& item) noexcept;
  static void run_body(void* record) noexcept;
  void ended(std::exception_ptr error) noexcept;
  friend class child;
  std::exception_ptr take_error() noexcept { return std::move(error_); }
  std::exception_ptr error_;
  fiber_stack stack_;
};

template <class F, class... Args>
class fiber_of final : public fiber_child {
 public:
  template <class... Where>
  fiber_of(spawn_info info, F&& fn, std::tuple<Args...>&& args, nursery& n, Where&... where)
      : fiber_child{info, n, where...}, fn_{std::move(fn)}, args_{std::move(args)} {
    launch();
  }

 private:
  void body() override {
    std::apply([this](Args&... a) { std::invoke(std::move(fn_), std::move(a)...); }, args_);
  }
  F fn_;
  std::tuple<Args...> args_;
};

}  // namespace detail

/// Everything that is not a coroutine.
template <class Result>
struct starter {
  template <class F, class... Args, class... Starting>
  static void start(nursery& n, spawn_info info, F&& fn, std::tuple<Args...> args,
                    Starting... starting) {
    using body = std::remove_cvref_t<F>;
    if (n.home() != nullptr) {
      new detail::fiber_of<body, Args...>(info, std::move(fn), std::move(args), n, starting...);
    } else {
      detail::start_thread_child(
          n, info,
          [fn = body{std::move(fn)}, args = std::move(args)]() mutable {
            std::apply([&](Args&... a) { std::invoke(std::move(fn), std::move(a)...); }, args);
          },
          std::move(starting)...);
    }
  }
  template <class F, class... Args>
  static void start_elsewhere(nursery& n, loop& l, scope_link& link, spawn_info info, F&& fn,
                              std::tuple<Args...> args) {
    new detail::fiber_of<std::remove_cvref_t<F>, Args...>(info, std::move(fn), std::move(args), n,
                                                          l, link);
  }
};

}  // namespace oneloop::inline v0
