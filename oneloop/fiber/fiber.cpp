#include "oneloop/fiber/fiber.hpp"

#include "oneloop/loop/loop.hpp"

namespace oneloop::inline v0 {
namespace {

// The stacks of one loop. Its fibers have ended when it dies: the loop drains first.
struct loop_stacks final : loop_extension {
  explicit loop_stacks(loop&) {}
  stack_pool pool;
};

stack_pool& stacks_of(loop& l) { return l.extension<loop_stacks>().pool; }

}  // namespace

stack_pool::statistics fiber_statistics(loop& l) { return stacks_of(l).stats(); }

namespace detail {

fiber_stack::fiber_stack(context& self, void (*code)(void*), void* argument)
    : home_{*self.home()}, stack_{stacks_of(home_).acquire()} {
  switch_.create(stack_, code, argument);
  self.stack = this;
  self.park = park;
}

fiber_stack::~fiber_stack() {
  if (stack_) stacks_of(home_).release(stack_);
}

void fiber_stack::resume(ready_item& item) noexcept {
  auto& self = static_cast<context&>(item);
  auto& fiber = *static_cast<fiber_stack*>(self.stack);
  fiber.home_.active = &self;
  fiber.switch_.resume();
  if (!fiber.switch_.finished()) return;
  // Given back at once: the next fiber finds it warm.
  stacks_of(fiber.home_).release(std::exchange(fiber.stack_, {}));
}

void fiber_stack::park(context& c) {
  auto& fiber = *static_cast<fiber_stack*>(c.stack);
  fiber.home_.note_progress();
  fiber.switch_.suspend();
}

void fiber_child::launch() noexcept {
  begin();
  self().home()->make_ready(self());
}

void fiber_child::run_body(void* record) noexcept {
  auto& fiber = *static_cast<fiber_child*>(record);
  std::exception_ptr failure;
  try {
    fiber.body();
  } catch (...) {
    failure = std::current_exception();
  }
  fiber.end(std::move(failure));
}

}  // namespace detail
}  // namespace oneloop::inline v0
