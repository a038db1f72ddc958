#include "oneloop/thread/future.hpp"

#include <future>
#include <mutex>
#include <string>

#include "oneloop/base/log.hpp"

namespace oneloop::inline v0 {

invalid_state::invalid_state(std::string_view what)
    : error{errc::misuse, std::string{what} + ": it has a result already, or was cancelled"} {}

broken_promise::broken_promise(std::string_view what)
    : error{std::make_error_code(std::future_errc::broken_promise),
            std::string{what} + ": its promise died without a result"} {}

namespace detail {

struct future_control::callback {
  std::move_only_function<void()> call;
  callback* next = nullptr;

  void run() noexcept {
    try {
      call();
    } catch (const cancelled&) {
      log(severity::error, "a done callback threw `cancelled`");
    } catch (...) {
      log(severity::error, "a done callback failed: " + describe(std::current_exception()));
    }
  }
};

future_control::~future_control() {
  // Of a future that nobody completes any more.
  while (first_ != nullptr) delete std::exchange(first_, first_->next);
}

bool future_control::start() {
  phase was = phase::pending;
  if (phase_.compare_exchange_strong(was, phase::running, std::memory_order_acq_rel)) return true;
  if (was == phase::cancelled) return false;
  throw invalid_state{state_.name()};
}

bool future_control::cancel() noexcept {
  phase was = phase::pending;
  if (!phase_.compare_exchange_strong(was, phase::cancelled, std::memory_order_acq_rel)) {
    return was == phase::cancelled;
  }
  complete(std::make_exception_ptr(cancelled{}), true);
  return true;
}

bool future_control::claim() noexcept {
  phase was = phase_.load(std::memory_order_acquire);
  while (was == phase::pending || was == phase::running) {
    if (phase_.compare_exchange_weak(was, phase::finished, std::memory_order_acq_rel)) return true;
  }
  return false;
}

void future_control::claim_or_throw() {
  if (!claim()) throw invalid_state{state_.name()};
}

void future_control::complete(std::exception_ptr error, bool absorbed) noexcept {
  // The code of what it stands for was cancelled: so is the future.
  if (is_cancelled(error)) phase_.store(phase::cancelled, std::memory_order_release);
  // A callback may drop the last handle.
  const join_ref<join_state, false> keep{&state_};
  static_cast<void>(state_.finish(std::move(error), absorbed));
  for (;;) {
    callback* next = nullptr;
    {
      const std::scoped_lock hold{lock_};
      next = first_;
      if (next == nullptr) {
        called_ = true;
        return;
      }
      first_ = next->next;
    }
    next->run();
    delete next;
  }
}

void future_control::add_callback(std::move_only_function<void()> f) {
  auto made = std::make_unique<callback>(std::move(f));
  {
    const std::scoped_lock hold{lock_};
    if (!called_) {
      (first_ == nullptr ? first_ : last_->next) = made.get();
      last_ = made.release();
      return;
    }
  }
  made->run();
}

void log_unasked(const char* name, const std::exception_ptr& failure) noexcept {
  log(severity::error,
      std::string{name} + ": a failure that nobody asked for: " + describe(failure));
}

}  // namespace detail
}  // namespace oneloop::inline v0
