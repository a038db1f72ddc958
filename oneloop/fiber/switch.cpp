#include "oneloop/fiber/switch.hpp"

#include <boost/context/detail/fcontext.hpp>
#include <cassert>
#include <cerrno>
#include <exception>

// The ABI's per-thread exception state, as libstdc++ and libc++abi lay it out.
namespace __cxxabiv1 {
struct __cxa_eh_globals;
extern "C" __cxa_eh_globals* __cxa_get_globals() noexcept;
}  // namespace __cxxabiv1

// Weak: null unless the program carries the sanitizer, whatever this library was built with.
extern "C" {
[[gnu::weak, gnu::visibility("default")]] void __sanitizer_start_switch_fiber(void**, const void*,
                                                                              std::size_t);
[[gnu::weak, gnu::visibility("default")]] void __sanitizer_finish_switch_fiber(void*, const void**,
                                                                               std::size_t*);
[[gnu::weak, gnu::visibility("default")]] void* __tsan_get_current_fiber();
[[gnu::weak, gnu::visibility("default")]] void* __tsan_create_fiber(unsigned);
[[gnu::weak, gnu::visibility("default")]] void __tsan_switch_to_fiber(void*, unsigned);
[[gnu::weak, gnu::visibility("default")]] void __tsan_destroy_fiber(void*);
}

extern "C" oneloop::detail::jump_result oneloop_jump_fcontext(void* to,
                                                              void* from) asm("jump_fcontext");

#if defined(__clang__)
#define ONELOOP_NOT_INSTRUMENTED __attribute__((no_sanitize("thread", "address")))
#else
#define ONELOOP_NOT_INSTRUMENTED __attribute__((no_sanitize_thread, no_sanitize_address))
#endif

namespace oneloop::inline v0 {
namespace {

namespace bc = boost::context::detail;

bool under_asan() noexcept { return __sanitizer_start_switch_fiber != nullptr; }
bool under_tsan() noexcept { return __tsan_create_fiber != nullptr; }

}  // namespace

// A tail call: the jump lands in the inline code of the caller, without a return between. Hence the
// declaration above by our own result type, and no noexcept.
detail::jump_result detail::jump_stack(void* to, void* from) {
  static_assert(sizeof(jump_result) == sizeof(bc::transfer_t));
  return oneloop_jump_fcontext(to, from);
}

// Between telling ThreadSanitizer and the jump itself nothing instrumented may run.
struct switch_context::access {
  /// Tells the sanitizers that `to` is entered next; `fake_stack` is null when nobody comes back.
  [[gnu::always_inline]] ONELOOP_NOT_INSTRUMENTED static inline void announce(
      void** fake_stack, const point& to) noexcept {
    if (under_asan()) __sanitizer_start_switch_fiber(fake_stack, to.bottom, to.size);
    if (under_tsan()) __tsan_switch_to_fiber(to.tsan_fiber, 0);
  }

  /// On arrival, on the new stack: completes the record of the stack that was left.
  [[gnu::always_inline]] ONELOOP_NOT_INSTRUMENTED static inline point* arrive(
      bc::transfer_t from, void* fake_stack) noexcept {
    auto* left = static_cast<point*>(from.data);
    left->context = from.fctx;
    if (under_asan()) __sanitizer_finish_switch_fiber(fake_stack, &left->bottom, &left->size);
    return left;
  }

  /// switch_context::jump with the sanitizers told.
  ONELOOP_NOT_INSTRUMENTED static point* jump(switch_context& c, point& me, point& to) noexcept {
    const int saved_errno = *c.errno_;
    const detail::exception_state saved = *c.exceptions_;
    me.entering = to.owner;
    // Not always the context's own: it may be left from a greenlet's stack.
    if (under_tsan()) me.tsan_fiber = __tsan_get_current_fiber();
    announce(&me.fake_stack, to);
    point* left = arrive(bc::jump_fcontext(to.context, &me), me.fake_stack);
    *c.exceptions_ = saved;
    *c.errno_ = saved_errno;
    return left;
  }

  /// The first frame of a context. Nothing unwinds through it, and it never returns.
  ONELOOP_NOT_INSTRUMENTED static void start(bc::transfer_t from) noexcept {
    switch_context& self = *arrive(from, nullptr)->entering;
    *self.exceptions_ = {};
    body(self);
    const point& to = *self.resumer_;
    announce(nullptr, to);
    bc::jump_fcontext(to.context, &self.self_);
    std::terminate();
  }

  /// Apart, so that it is instrumented as any code is.
  [[gnu::noinline]] static void body(switch_context& self) noexcept {
    self.fn_(self.argument_);
    self.state_ = state::finished;
  }

  static void forget_sanitizer_fiber(switch_context& c) noexcept {
    if (c.tsan_fiber_ != nullptr) __tsan_destroy_fiber(c.tsan_fiber_);
    c.tsan_fiber_ = nullptr;
  }
};

switch_context::~switch_context() {
  assert(state_ != state::running && "a context destroyed by itself");
  access::forget_sanitizer_fiber(*this);
}

void switch_context::create(stack s, entry fn, void* argument) noexcept {
  assert(!alive() && "create() on a context that has not finished");
  self_ = {};
  self_.context = bc::make_fcontext(s.top(), s.size, [](bc::transfer_t t) { access::start(t); });
  self_.owner = this;
  self_.bottom = s.bottom;
  self_.size = s.size;
  if (under_tsan()) self_.tsan_fiber = tsan_fiber_ = __tsan_create_fiber(0);
  fn_ = fn;
  argument_ = argument;
  instrumented_ = under_asan() || under_tsan();
  state_ = state::created;
}

void switch_context::bind_thread() noexcept {
  errno_ = &errno;
  exceptions_ = reinterpret_cast<detail::exception_state*>(__cxxabiv1::__cxa_get_globals());
}

ONELOOP_NOT_INSTRUMENTED switch_context& switch_context::resume_instrumented(point& here) noexcept {
  assert(errno_ == &errno && "a context resumed on another thread");
  switch_context& left = *access::jump(*this, here, self_)->owner;
  if (left.finished()) access::forget_sanitizer_fiber(left);
  return left;
}

ONELOOP_NOT_INSTRUMENTED void switch_context::jump_instrumented(point& me, point& to) noexcept {
  access::jump(*this, me, to);
}

}  // namespace oneloop::inline v0
