#include "oneloop/thread/to_thread.hpp"

#include <mutex>
#include <string>

#include "oneloop/base/log.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/scope/local.hpp"

namespace oneloop::inline v0::detail {
namespace {

thread_local thread_call* t_current = nullptr;

[[gnu::noinline]] thread_call*& current_call() noexcept { return t_current; }

}  // namespace

const operation_info thread_call::info{
    .name = "a call on a thread", .cancel = cancel, .describe = describe_call};

std::string thread_call::describe_call(const void* op) {
  return static_cast<const thread_call*>(op)->executor_.name();
}

void call_executor::help(waiter&) {}

namespace {
class crew_executor final : public call_executor {
 public:
  const char* name() const noexcept override { return "to_thread"; }
  void submit(thread_call& c) override { submit_blocking(c); }
  bool take_back(thread_call& c) noexcept override {
    if (!take_back_blocking(c)) return false;
    c.withdraw();
    c.release();
    return true;
  }
};
}  // namespace

call_executor& call_executor::crew() noexcept {
  static constinit crew_executor e;
  return e;
}

thread_call::~thread_call() { local_binding::drop(locals_); }

void thread_call::release() noexcept {
  if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

thread_call& thread_call::current(const char* what) {
  loop::refuse_in_simulation(what);
  thread_call* const call = current_call();
  // A thread that helps its pool may carry out other jobs in the middle of a call.
  if (call == nullptr || call->party_ != &context::current()) {
    throw misuse{std::string{what} + ": not in the code of a to_thread"};
  }
  return *call;
}

void thread_call::owe(loop& home) noexcept {
  if (state_.load(std::memory_order_relaxed) == abandoned || std::exchange(owes_, true)) return;
  home.owe();
}

void thread_call::disown(loop& home) noexcept {
  if (std::exchange(owes_, false)) home.disown();
}

void thread_call::begin(waiter& w) {
  if (waiter_ != nullptr) throw misuse{std::string{executor_.name()} + ": awaited a second time"};
  locals_ = local_binding::share(context_of(w).locals);
  waiter_ = &w;
  w.arm(this, info);
  // The loop is owed the call: virtual time stands still, and a loop that ends waits for it.
  if (w.home() != nullptr) owe(*w.home());
  retain();
  try {
    executor_.submit(*this);
  } catch (...) {
    w.disarm();
    if (w.home() != nullptr) disown(*w.home());
    release();
    throw;
  }
}

bool thread_call::withdraw() noexcept {
  std::uint8_t expected = queued;
  if (!state_.compare_exchange_strong(expected, withdrawn, std::memory_order_acq_rel)) return false;
  drop();
  permit = {};
  return true;
}

void thread_call::refuse(std::exception_ptr why) noexcept {
  std::uint8_t expected = queued;
  if (!state_.compare_exchange_strong(expected, running, std::memory_order_acq_rel)) {
    return release();
  }
  error_ = why ? std::move(why) : std::make_exception_ptr(closed_error{executor_.name()});
  settle();
}

void thread_call::execute() noexcept {
  std::uint8_t expected = queued;
  if (!state_.compare_exchange_strong(expected, running, std::memory_order_acq_rel)) {
    return release();
  }
  {
    thread_party self{spawn_info{executor_.name(), {}}, locals_};
    thread_call* const outer = std::exchange(current_call(), this);
    party_ = &self.self();
    scope_.enter(self.scope());
    try {
      call();
    } catch (...) {
      error_ = std::current_exception();
    }
    scope_.leave();
    current_call() = outer;
  }
  settle();
}

// The end of the call; the executor's reference goes.
void thread_call::settle() noexcept {
  drop();
  permit = {};
  std::uint8_t expected = running;
  if (!state_.compare_exchange_strong(expected, finished, std::memory_order_acq_rel)) {
    if (error_ && !is_cancelled(error_)) {
      log(severity::warning, "to_thread: a call that was abandoned failed: " + describe(error_));
    }
  } else if (loop* home = waiter_->home()) {
    // By way of the inbox: the loop is owed us until it has us, so that virtual time stands still
    // and not a moment longer, whenever the waiter's party asks for the result.
    arrival_.owner = this;
    arrival_.run = [](ready_item& item) noexcept {
      thread_call& me = *static_cast<arrival&>(item).owner;
      me.disown(*me.waiter_->home());
      me.arrived();
      me.release();
    };
    inbox_pin pin{home->mail()};
    pin->push(arrival_);
    return;
  } else {
    arrived();
  }
  release();
}

void thread_call::arrived() noexcept {
  if (waiter_->try_claim()) waiter_->wake();
}

void thread_call::cancel(void* op, waiter& w) noexcept {
  auto& me = *static_cast<thread_call*>(op);
  if (me.executor_.take_back(me)) {
    if (w.home() != nullptr) me.disown(*w.home());
    if (w.try_claim()) w.wake_cancelled();
    return;
  }
  me.scope_.cancel();
  if (!me.abandon) return;
  {
    // Not while its code is on the way to our loop.
    const std::scoped_lock hold{me.origin_lock_};
    std::uint8_t expected = running;
    if (!me.state_.compare_exchange_strong(expected, abandoned, std::memory_order_acq_rel)) return;
  }
  if (w.home() != nullptr) me.disown(*w.home());
  if (w.try_claim()) w.wake_cancelled();
}

}  // namespace oneloop::inline v0::detail
