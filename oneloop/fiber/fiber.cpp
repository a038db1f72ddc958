#include "oneloop/fiber/fiber.hpp"

#include <memory>
#include <new>
#include <optional>
#include <utility>

#include "oneloop/base/error.hpp"
#include "oneloop/fiber/overflow_internal.hpp"
#include "oneloop/loop/loop.hpp"

namespace oneloop::inline v0 {
namespace {

// The stacks of one loop. Its fibers have ended when it dies: the loop drains first.
struct loop_stacks final : loop_extension {
  explicit loop_stacks(loop&) {}
  stack_pool& get() { return pool ? *pool : pool.emplace(stack_pool_options::from_environment()); }
  std::optional<stack_pool> pool;
  // There was no stack for a fiber, and none has come back since.
  bool exhausted = false;
  // Whose owner has not heard of that yet.
  const detail::fiber_stack* refused = nullptr;
  // One for all: thousands may end so where there is no memory for exceptions of their own.
  const std::exception_ptr never_began = std::make_exception_ptr(cancelled{});
};

loop_stacks& stacks_of(loop& l) { return l.extension<loop_stacks>(); }

}  // namespace

stack_pool::statistics fiber_statistics(loop& l) { return stacks_of(l).get().stats(); }

void set_fiber_stacks(loop& l, stack_pool_options options) {
  l.check_thread("set_fiber_stacks");
  loop_stacks& stacks = stacks_of(l);
  if (stacks.pool && stacks.pool->stats().in_use != 0) {
    throw misuse{"set_fiber_stacks: fibers run on this loop already"};
  }
  stacks.pool.emplace(options);
}

namespace detail {
namespace {

// Whose stack the thread is on: while a fiber waits for a task, its context does not know.
// Not inlined: see switch.hpp.
constinit thread_local fiber_stack* t_running = nullptr;
[[gnu::noinline]] fiber_stack*& running() noexcept { return t_running; }

}  // namespace

fiber_stack::fiber_stack(context& self) noexcept : parking{park}, home_{*self.home()} {
  self.parks = this;
}

void fiber_stack::create(void (*code)(void*), void* argument) {
  prepare_for_overflow();
  loop_stacks& stacks = stacks_of(home_);
  try {
    stack_ = stacks.get().acquire();
  } catch (...) {
    stacks.exhausted = true;
    stacks.refused = this;
    throw;
  }
  constexpr std::size_t room = (sizeof(switch_context) + 15) / 16 * 16;
  switch_ = ::new (stack_.top() - room) switch_context;
  switch_->create({stack_.bottom, stack_.size - room}, code, argument);
}

void fiber_stack::give_back() noexcept {
  loop_stacks& stacks = stacks_of(home_);
  if (stack_) {
    std::destroy_at(std::exchange(switch_, nullptr));
    stacks.get().release(std::exchange(stack_, {}));
    stacks.exhausted = false;
  }
  if (stacks.refused == this) stacks.refused = nullptr;
}

fiber_stack::~fiber_stack() { give_back(); }

void fiber_stack::resume(ready_item& item) noexcept {
  auto& self = static_cast<context&>(item);
  auto& fiber = of(self);
  fiber.home_.active = &self;
  fiber_stack* const around = std::exchange(running(), &fiber);
  fiber.switch_->resume();
  running() = around;
  if (!fiber.switch_->finished()) return;
  fiber.give_back();  // at once: the next fiber finds it warm
}

void fiber_stack::park(context&) {
  fiber_stack& fiber = *running();
  fiber.home_.note_progress();
  fiber.switch_->suspend();
}

void fiber_child::launch() {
  begin();
  self().home()->make_ready(self());
}

void fiber_child::launch(sleep_operation& delay) {
  begin();
  if (!self().scope().cancelled() && delay.await_suspend(self())) return;
  self().home()->make_ready(self());
}

// The stack is taken here, not when the fiber is started: who has nothing to wait for leaves it
// warm for the next one.
void fiber_child::begin_code(ready_item& item) noexcept {
  auto& self = static_cast<context&>(item);
  auto& fiber = static_cast<fiber_child&>(of(item));
  const loop_stacks& stacks = stacks_of(*self.home());
  if (stacks.refused != nullptr) [[unlikely]] {
    // It may be that this one is cancelled because of that failure: one error, not thousands.
    self.home()->make_ready(self);
    return;
  }
  std::exception_ptr refused;
  try {
    const bool cancelled_before = self.finish() == outcome::cancelled;
    if (cancelled_before || (stacks.exhausted && self.scope().cancelled()) || !fiber.may_begin()) {
      refused = stacks.never_began;
    } else {
      fiber.stack_.create(run_body, &fiber);
    }
  } catch (...) {
    refused = std::current_exception();
  }
  if (refused) {
    self.home()->active = &self;
    fiber.ended(std::move(refused));
    return;
  }
  self.run = fiber_stack::resume;
  fiber_stack::resume(self);
}

void fiber_child::run_body(void* record) noexcept {
  auto& fiber = *static_cast<fiber_child*>(record);
  std::exception_ptr failure;
  try {
    fiber.body();
  } catch (...) {
    failure = std::current_exception();
  }
  // While its code can still wait: what it owned alone dies before anybody hears of its end.
  fiber.self().free_values();
  fiber.ended(std::move(failure));
}

void fiber_child::ended(std::exception_ptr error) noexcept {
  error_ = finish(std::move(error));
  end(*this);
}

}  // namespace detail
}  // namespace oneloop::inline v0
