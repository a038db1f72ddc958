#include "oneloop/loop/blocking_pool.hpp"

#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

#include "oneloop/base/error.hpp"
#include "oneloop/loop/fork_generation_internal.hpp"
#include "oneloop/loop/loop.hpp"

namespace oneloop::inline v0 {

class blocking_pool {
 public:
  /// Never destroyed, so that threads which still run at exit find it. A forked child gets its own:
  /// the parent's threads are not there, and its mutex may be locked for ever.
  static blocking_pool& instance() {
    static constinit std::atomic<blocking_pool*> current{nullptr};
    blocking_pool* p = current.load(std::memory_order_acquire);
    while (p == nullptr || p->born_ != fork_generation()) {
      auto* made = new blocking_pool{p};
      if (current.compare_exchange_strong(p, made, std::memory_order_acq_rel)) return *made;
      delete made;
    }
    return *p;
  }

  void submit(blocking_job& job) {
    const std::unique_lock guard{mutex_};
    queue_.push_back(job);
    ++queued_;
    // An idle thread that was told of an earlier job is not free for this one.
    if (queued_ <= idle_) {
      work_.notify_one();
      return;
    }
    if (threads_ >= limit_) return;
    try {
      start_thread();
    } catch (const std::system_error& e) {
      if (threads_ > 0) return;  // slower, but it will be done
      job.unlink();
      --queued_;
      throw error{"to_thread", "cannot start a thread", e.code()};
    }
  }

  bool take_back(blocking_job& job) noexcept {
    const std::scoped_lock guard{mutex_};
    if (!static_cast<list_hook<>&>(job).linked()) return false;
    job.unlink();
    --queued_;
    return true;
  }

  void set_limit(std::size_t limit) {
    const std::scoped_lock guard{mutex_};
    limit_ = std::max<std::size_t>(1, limit);
    work_.notify_all();
    try {
      for (std::size_t n = queued_ > idle_ ? queued_ - idle_ : 0; n > 0 && threads_ < limit_; --n) {
        start_thread();
      }
    } catch (const std::system_error&) {
      // The threads that exist will do.
    }
  }

  blocking_pool_statistics statistics() {
    const std::scoped_lock guard{mutex_};
    return {.threads = threads_, .idle = idle_, .queued = queued_, .limit = limit_};
  }

 private:
  explicit blocking_pool(blocking_pool* parents) noexcept : parents_{parents} {}

  // Under mutex_.
  void start_thread() {
    // Signals are for the program's own threads.
    sigset_t all, before;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      std::thread{[this] { work(); }}.detach();
    } catch (...) {
      ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
      throw;
    }
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    ++threads_;
  }

  void work() noexcept {
    std::unique_lock guard{mutex_};
    while (threads_ <= limit_) {
      if (blocking_job* job = queue_.pop_front()) {
        --queued_;
        guard.unlock();
        job->execute();
        job->finished();
        guard.lock();
        continue;
      }
      ++idle_;
      const bool woken = work_.wait_for(guard, std::chrono::seconds{5},
                                        [this] { return queued_ > 0 || threads_ > limit_; });
      --idle_;
      if (!woken) break;
    }
    --threads_;
  }

  std::mutex mutex_;
  std::condition_variable work_;
  intrusive_list<blocking_job> queue_;
  std::size_t queued_ = 0, idle_ = 0, threads_ = 0, limit_ = 64;
  std::uint32_t born_ = fork_generation();
  [[maybe_unused]] blocking_pool* parents_;  // keeps the parent's reachable for leak checkers
};

void submit_blocking(blocking_job& job) { blocking_pool::instance().submit(job); }
bool take_back_blocking(blocking_job& job) noexcept {
  return blocking_pool::instance().take_back(job);
}
void set_blocking_threads(std::size_t limit) { blocking_pool::instance().set_limit(limit); }
blocking_pool_statistics blocking_statistics() { return blocking_pool::instance().statistics(); }

// ---- to_thread ----

const operation_info to_thread_base::info{.name = "to_thread", .cancel = cancel};

bool to_thread_base::await_suspend(waiter& w) {
  w.arm(this, info);
  waiter_ = &w;
  if (w.home() != nullptr) w.home()->owe();
  try {
    submit_blocking(*this);
  } catch (...) {
    w.disarm();
    if (w.home() != nullptr) w.home()->disown();
    throw;
  }
  return true;
}

void to_thread_base::finished() noexcept {
  loop* home = waiter_->home();
  if (home == nullptr) return arrived();
  // By way of the inbox: the loop is owed us until it has us, so that virtual time stands still and
  // not a moment longer, whenever the waiter's party asks for the result.
  arrival_.owner = this;
  arrival_.run = [](ready_item& item) noexcept {
    to_thread_base& self = *static_cast<arrival&>(item).owner;
    self.waiter_->home()->disown();
    self.arrived();
  };
  inbox_pin pin{home->mail()};
  pin->push(arrival_);
}

void to_thread_base::arrived() noexcept {
  if (waiter_->try_claim()) waiter_->wake();
}

void to_thread_base::cancel(void* op, waiter& w) noexcept {
  auto& self = *static_cast<to_thread_base*>(op);
  if (!take_back_blocking(self)) return;
  if (w.home() != nullptr) w.home()->disown();
  if (w.try_claim()) w.wake_cancelled();
}

}  // namespace oneloop::inline v0
