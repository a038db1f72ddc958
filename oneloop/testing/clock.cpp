#include "oneloop/testing/clock.hpp"

#include <algorithm>

#include "oneloop/base/error.hpp"

namespace oneloop::inline v0::testing {

virtual_clock& clock_of(loop& l) {
  if (virtual_clock* c = l.virtual_time()) return *c;
  throw misuse{std::string{"clock_of: a loop on "} + l.backend_name() +
               " goes by the machine's clock; make it with \"virtual\""};
}

virtual_clock& clock_here() {
  loop* l = loop::current();
  if (l == nullptr) throw loop_not_running{"clock_here"};
  return clock_of(*l);
}

const operation_info idle_operation::info{
    .name = "wait_all_tasks_blocked",
    .cancel = idle_operation::cancel,
};

idle_operation::idle_operation(duration d) noexcept
    : idle_node{std::max(d, duration::zero()), [](idle_node& n) noexcept {
                  auto& self = static_cast<idle_operation&>(n);
                  if (!self.waiter_->try_claim()) return;
                  self.won_ = true;
                  self.waiter_->wake();
                }} {}

idle_operation::idle_operation(idle_operation&& o) noexcept : idle_operation{o.cushion} {}

enlisted idle_operation::enlist(waiter& w) {
  if (w.home() == nullptr) throw loop_not_running{"wait_all_tasks_blocked"};
  waiter_ = &w;
  won_ = false;
  w.home()->idle_nodes().push_back(*this);
  return enlisted::waiting;
}

bool idle_operation::await_suspend(waiter& w) {
  w.arm(this, info);
  try {
    enlist(w);
  } catch (...) {
    w.disarm();
    throw;
  }
  return true;
}

void idle_operation::delist() noexcept { unlink(); }

void idle_operation::cancel(void* op, waiter& w) noexcept {
  auto& self = *static_cast<idle_operation*>(op);
  if (!w.try_claim()) return;
  self.delist();
  w.wake_cancelled();
}

}  // namespace oneloop::inline v0::testing
