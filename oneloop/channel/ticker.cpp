#include "oneloop/channel/ticker.hpp"

#include "oneloop/base/error.hpp"
#include "oneloop/loop/loop.hpp"

namespace oneloop::inline v0 {
ticker::ticker(duration period) { reset(period); }

void ticker::reset(duration period) {
  if (period <= duration::zero()) throw misuse{"ticker: the period must be positive"};
  period_ = period;
  next_ = after(loop::now_here(), period);
}

time_point tick_operation::await_resume() noexcept {
  ticker& t = *ticker_;
  const time_point due = t.next_;
  const duration late = loop::now_here() - due;
  t.next_ = after(due, late > duration::zero() ? (late / t.period_ + 1) * t.period_ : t.period_);
  return due;
}

}  // namespace oneloop::inline v0
