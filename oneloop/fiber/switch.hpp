// Switching stacks: a context that runs a function on a stack of its own and can be left and
// entered again. The mechanism under fibers; it knows no loop, no scheduler and no waiting.
//
// A switch keeps errno and the thread's C++ exception state apart for each side, so it may happen
// inside a catch block and in a destructor during unwinding, and it tells AddressSanitizer and
// ThreadSanitizer (found at run time: a library built without them serves programs built with
// them).
//
//     oneloop::switch_context ctx;
//     ctx.create(pool.acquire(), [](void* p) { static_cast<switch_context*>(p)->suspend(); },
//     &ctx); ctx.resume();                   // runs until suspend() ctx.resume(); // runs to the
//     end assert(ctx.finished());
#pragma once

#include <cassert>
#include <cstddef>

#include "oneloop/base/config.hpp"
#include "oneloop/fiber/stack.hpp"

namespace oneloop::inline v0 {

namespace detail {
struct jump_result {
  void* context;  // where the stack that jumped here stopped
  void* from;     // what it passed
};
/// The bare jump to a saved context.
ONELOOP_API jump_result jump_stack(void* to, void* from);
/// A thread's exceptions in flight, as the C++ ABI lays them out.
struct exception_state {
  void* caught = nullptr;
  unsigned uncaught = 0;
#if defined(__arm__)
  void* propagating = nullptr;
#endif
};
}  // namespace detail

/// One stack's saved state. Stays where it is while it runs or is suspended. 120 bytes.
///
/// Threads: a context belongs to the thread that first resumes it, for the rest of its run.
/// Cost: a few ns one way, no system call. The hot path is inline, because a processor mispredicts
/// every return that follows a switch.
class ONELOOP_API switch_context {
 public:
  /// What runs on the stack. Must not throw (std::terminate), and must return to end.
  using entry = void (*)(void* argument);

  switch_context() noexcept = default;
  /// A context that was started and has not finished is dropped: its frames' destructors never run.
  ~switch_context();
  switch_context(const switch_context&) = delete;
  switch_context& operator=(const switch_context&) = delete;

  /// Prepares to run `fn(argument)` on `s`, which the caller keeps (and may shorten from the top to
  /// place something there). May be called again when the last run has finished.
  void create(stack s, entry fn, void* argument) noexcept;

  /// Enters the context and comes back at its next suspend() or at its end. Returns the context
  /// that came back: this one, unless it used transfer(). If that one is finished(), its stack is
  /// free. Called from any other stack of the thread, also from another context's.
  [[gnu::always_inline]] switch_context& resume() noexcept {
    assert((state_ == state::created || state_ == state::suspended) && "resume(): cannot run");
    if (state_ == state::created) bind_thread();
    point here;
    resumer_ = &here;
    state_ = state::running;
    if (instrumented_) [[unlikely]]
      return resume_instrumented(here);
    return *jump(here, self_)->owner;
  }

  /// Inside the context: back to whoever resumed it.
  [[gnu::always_inline]] void suspend() noexcept {
    assert(state_ == state::running && "suspend(): called outside the context");
    state_ = state::suspended;
    if (instrumented_) [[unlikely]]
      return jump_instrumented(self_, *resumer_);
    jump(self_, *resumer_);
  }

  /// Inside the context: suspends it and enters `to`, with no stop between. Who resumed this one is
  /// from now on who resumed `to`.
  [[gnu::always_inline]] void transfer(switch_context& to) noexcept {
    assert(state_ == state::running && "transfer(): called outside the context");
    assert((to.state_ == state::created || to.state_ == state::suspended) &&
           "transfer(): the other cannot run");
    if (to.state_ == state::created) to.bind_thread();
    to.resumer_ = resumer_;
    to.state_ = state::running;
    state_ = state::suspended;
    if (instrumented_) [[unlikely]]
      return jump_instrumented(self_, to.self_);
    jump(self_, to.self_);
  }

  /// create() was called, and the function has not returned.
  [[nodiscard]] bool alive() const noexcept { return state_ >= state::created; }
  /// The function has returned.
  [[nodiscard]] bool finished() const noexcept { return state_ == state::finished; }

 private:
  struct point {
    void* context = nullptr;             // where the stack stopped
    switch_context* owner = nullptr;     // null: the stack of a resumer
    switch_context* entering = nullptr;  // the context that this stack jumped to last
    // For AddressSanitizer and ThreadSanitizer:
    void* fake_stack = nullptr;
    const void* bottom = nullptr;
    std::size_t size = 0;
    void* tsan_fiber = nullptr;
  };
  enum class state : unsigned char { empty, finished, created, running, suspended };
  struct access;

  /// Leaves `me` for `to` and comes back when somebody jumps to `me`; returns what was left for
  /// that.
  [[gnu::always_inline]] point* jump(point& me, point& to) noexcept {
    const int saved_errno = *errno_;
    const detail::exception_state saved = *exceptions_;
    me.entering = to.owner;
    const detail::jump_result r = detail::jump_stack(to.context, &me);
    auto* left = static_cast<point*>(r.from);
    left->context = r.context;
    *exceptions_ = saved;
    *errno_ = saved_errno;
    return left;
  }

  void bind_thread() noexcept;
  switch_context& resume_instrumented(point& here) noexcept;
  void jump_instrumented(point& me, point& to) noexcept;

  point self_;
  point* resumer_ = nullptr;
  int* errno_ = nullptr;  // of the thread that entered first
  detail::exception_state* exceptions_ = nullptr;
  entry fn_ = nullptr;
  void* argument_ = nullptr;
  void* tsan_fiber_ = nullptr;  // this context's
  state state_ = state::empty;
  bool instrumented_ = false;  // the program carries a sanitizer
};

}  // namespace oneloop::inline v0
