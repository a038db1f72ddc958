#include "oneloop/channel/ticker.hpp"

#include "oneloop/base/error.hpp"
#include "oneloop/loop/loop.hpp"

namespace oneloop::inline v0 {
namespace {

time_point now() noexcept {
  const loop* l = loop::current();
  return l != nullptr ? l->now() : clock::now();
}

}  // namespace

ticker::ticker(duration period) { reset(period); }

void ticker::reset(duration period) {
  if (period <= duration::zero()) throw misuse{"ticker: the period must be positive"};
  period_ = period;
  next_ = after(now(), period);
}

time_point tick_operation::await_resume() noexcept {
  ticker& t = *ticker_;
  const time_point due = t.next_;
  const duration late = now() - due;
  t.next_ = after(due, late > duration::zero() ? (late / t.period_ + 1) * t.period_ : t.period_);
  return due;
}

}  // namespace oneloop::inline v0
