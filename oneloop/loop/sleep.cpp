#include "oneloop/loop/sleep.hpp"

#include <sched.h>

#include "oneloop/loop/loop.hpp"
#include "oneloop/loop/parker.hpp"

namespace oneloop::inline v0 {

const operation_info sleep_operation::info{
    .name = "sleep",
    .cancel = sleep_operation::cancel,
    .describe = [](const void* op) -> std::string {
      auto& self = *static_cast<const sleep_operation*>(op);
      if (self.deadline == never) return "forever";
      const auto left = self.deadline - now_of(*self.waiter_);
      const auto ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
      return std::to_string(ms > 0 ? ms : 0) + " ms left";
    },
};

enlisted sleep_operation::enlist(waiter& w) {
  waiter_ = &w;
  won_ = false;
  const duration d{when_};
  deadline = absolute_               ? time_point{d}
             : d <= duration::zero() ? time_point::min()
                                     : after(now_of(w), d);
  if (deadline != never) timers_of(w).add(*this, deadline);
  return enlisted::waiting;
}

bool sleep_operation::await_suspend(waiter& w) {
  w.arm(this, info);
  enlist(w);
  return true;
}

bool sleep_operation::try_now() noexcept {
  const duration d{when_};
  if (!absolute_) return won_ = d <= duration::zero();
  return won_ = time_point{d} <= loop::now_here();
}

void sleep_operation::remove() noexcept { timers_of(*waiter_).remove(*this); }

void sleep_operation::fire_now(timer_node& t) noexcept {
  auto& self = static_cast<sleep_operation&>(t);
  if (!self.waiter_->try_claim()) return;
  self.won_ = true;
  self.waiter_->wake();
}

void sleep_operation::cancel(void* op, waiter& w) noexcept {
  auto& self = *static_cast<sleep_operation*>(op);
  if (!w.try_claim()) return;
  self.delist();
  w.wake_cancelled();
}

const operation_info yield_operation::info{
    .name = "yield",
    .cancel = [](void*, waiter&) noexcept {},
};

bool yield_operation::await_suspend(waiter& w) {
  if (w.home() == nullptr) {
    ::sched_yield();
    return false;
  }
  w.arm(this, info);
  w.try_claim();
  w.wake();
  return true;
}

}  // namespace oneloop::inline v0
