#include "oneloop/deferred/call_later.hpp"

#include <string>

#include "oneloop/base/error.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0 {
namespace detail {

const operation_info alarm::info{"call_later", &alarm::cancel, nullptr};

alarm::node::node(alarm& a) noexcept
    : timer_node{[](timer_node& t) noexcept { static_cast<node&>(t).owner.end(); }}, owner{a} {}

bool alarm::await_suspend(waiter& w) {
  w.arm(this, info);
  waiter_ = &w;
  w.home()->timers().add(node_, when_);
  return true;
}

void alarm::stop() noexcept {
  if (node_.pending()) waiter_->home()->timers().remove(node_);
}

void alarm::move_to(time_point t) noexcept {
  when_ = t;
  if (!node_.pending()) return;
  stop();
  waiter_->home()->timers().add(node_, t);
}

void alarm::end() noexcept {
  stop();
  waiter* w = std::exchange(waiter_, nullptr);
  if (w != nullptr && w->try_claim()) w->wake();
}

void alarm::cancel(void* op, waiter& w) noexcept {
  auto& self = *static_cast<alarm*>(op);
  if (!w.try_claim()) return;
  self.stop();
  self.waiter_ = nullptr;
  w.wake_cancelled();
}

struct delayed_state {
  enum class stage : std::uint8_t { pending, called, cancelled };
  delayed_state(loop& l, duration d, std::move_only_function<void()> w)
      : home{l}, due{after(l.now(), d)}, work{std::move(w)} {}
  loop& home;
  alarm due;
  std::move_only_function<void()> work;
  stage now = stage::pending;
};

namespace {

using stage = delayed_state::stage;

task<> wait_and_call(std::shared_ptr<delayed_state> s) {
  try {
    while (s->now == stage::pending) {
      co_await s->due;
      if (s->home.now() >= s->due.when()) break;  // not moved after it had rung
    }
  } catch (const cancelled&) {
    s->now = stage::cancelled;
    throw;
  }
  if (s->now != stage::pending) co_return;
  s->now = stage::called;
  auto work = std::move(s->work);
  work();
}

}  // namespace
}  // namespace detail

delayed_call::delayed_call(std::move_only_function<void()> work, delay_at d) {
  loop* l = loop::current();
  if (l == nullptr) throw loop_not_running{"call_later"};
  state_ = std::make_shared<detail::delayed_state>(*l, d.delay, std::move(work));
  detail::defer_as(spawn_info{"call_later", d.at}, detail::wait_and_call(state_));
}

bool delayed_call::active() const noexcept { return state_->now == detail::stage::pending; }

time_point delayed_call::get_time() const noexcept { return state_->due.when(); }

void delayed_call::check(const char* what) const {
  if (active()) return state_->home.check_thread(what);
  throw misuse{std::string{what} + (state_->now == detail::stage::called
                                        ? ": the call has been made already"
                                        : ": the call has been cancelled already")};
}

void delayed_call::cancel() const {
  check("delayed_call::cancel");
  state_->now = detail::stage::cancelled;
  state_->work = nullptr;
  state_->due.end();
}

void delayed_call::reset(duration d) const {
  check("delayed_call::reset");
  state_->due.move_to(after(state_->home.now(), d));
}

void delayed_call::delay(duration d) const {
  check("delayed_call::delay");
  state_->due.move_to(state_->due.when() + d);
}

}  // namespace oneloop::inline v0
