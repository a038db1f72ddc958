#include "oneloop/loop/blocking_pool.hpp"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "oneloop/base/error.hpp"
#include "oneloop/loop/fork_generation_internal.hpp"
#include "oneloop/loop/loop.hpp"

namespace oneloop::inline v0 {

// The threads share it with their crew, so it outlives either.
struct thread_crew::state : std::enable_shared_from_this<thread_crew::state> {
  explicit state(thread_crew_options o) : options{std::move(o)} {}

  void submit(blocking_job& job) {
    if (born != fork_generation()) {
      throw error{errc::loop_after_fork, options.name + ": these threads are the parent process's"};
    }
    const std::scoped_lock guard{mutex};
    if (closed) throw closed_error{options.name};
    queue.push_back(job);
    ++queued;
    // An idle thread that was told of an earlier job is not free for this one.
    if (queued <= idle) {
      work.notify_one();
      return;
    }
    if (threads >= options.limit) return;
    try {
      start_thread();
    } catch (...) {
      if (threads > 0) return;  // slower, but it will be done
      job.unlink();
      --queued;
      try {
        throw;
      } catch (const std::system_error& e) {
        throw error{options.name, "cannot start a thread", e.code()};
      }
    }
  }

  // Under the mutex.
  void start_thread() {
    // Signals are for the program's own threads.
    sigset_t all, before;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      std::string called = options.name.substr(0, 11) + "-" + std::to_string(started % 1000);
      std::thread{[me = shared_from_this(), called = std::move(called)]() mutable {
        ::pthread_setname_np(::pthread_self(), called.c_str());
        bool left = false;
        me->options.thread([&] {
          me->carry_out();
          left = true;
        });
        if (auto ended = me->end(left)) ended();
      }}.detach();
    } catch (...) {
      ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
      throw;
    }
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    ++threads;
    ++started;
  }

  void carry_out() noexcept {
    std::unique_lock guard{mutex};
    while (threads <= options.limit) {
      if (blocking_job* job = queue.pop_front()) {
        --queued;
        guard.unlock();
        job->execute();
        guard.lock();
        continue;
      }
      if (closed) break;
      ++idle;
      const auto wanted = [this] { return queued > 0 || closed || threads > options.limit; };
      bool woken = true;
      if (options.idle == duration::max()) {
        work.wait(guard, wanted);
      } else {
        woken = work.wait_for(guard, options.idle, wanted);
      }
      --idle;
      if (!woken) break;
    }
    // Still under the mutex: a job that comes now finds one thread less.
    --threads;
    ++ending;
  }

  /// `left`: by the end of `carry_out`; not so a thread that could not begin.
  std::move_only_function<void()> end(bool left) noexcept {
    const std::scoped_lock guard{mutex};
    --(left ? ending : threads);
    return ended_hook();
  }
  /// Under the mutex.
  std::move_only_function<void()> ended_hook() noexcept {
    if (!closed || threads + ending != 0) return {};
    gone.notify_all();
    return std::exchange(hook, nullptr);
  }

  thread_crew_options options;
  mutable std::mutex mutex;
  std::condition_variable work, gone;
  intrusive_list<blocking_job> queue;
  std::size_t queued = 0, idle = 0, threads = 0, ending = 0, started = 0;
  bool closed = false;
  std::move_only_function<void()> hook;
  std::uint32_t born = fork_generation();
};

thread_crew::thread_crew(thread_crew_options options)
    : state_{std::make_shared<state>(std::move(options))} {}

thread_crew::~thread_crew() { close(); }

void thread_crew::submit(blocking_job& job) {
  loop::refuse_in_simulation(state_->options.name.c_str());
  state_->submit(job);
}

bool thread_crew::take_back(blocking_job& job) noexcept {
  const std::scoped_lock guard{state_->mutex};
  if (!static_cast<list_hook<>&>(job).linked()) return false;
  job.unlink();
  --state_->queued;
  return true;
}

void thread_crew::refuse_queued(const std::exception_ptr& why) noexcept {
  if (state_->born != fork_generation()) return;
  for (;;) {
    blocking_job* job = nullptr;
    {
      const std::scoped_lock guard{state_->mutex};
      job = state_->queue.pop_front();
      if (job == nullptr) return;
      --state_->queued;
    }
    job->refuse(why);
  }
}

void thread_crew::set_limit(std::size_t limit) {
  state& s = *state_;
  const std::scoped_lock guard{s.mutex};
  s.options.limit = std::max<std::size_t>(1, limit);
  s.work.notify_all();
  try {
    for (std::size_t n = s.queued > s.idle ? s.queued - s.idle : 0;
         n > 0 && s.threads < s.options.limit; --n) {
      s.start_thread();
    }
  } catch (const std::system_error&) {
    // The threads that exist will do.
  }
}

blocking_pool_statistics thread_crew::statistics() const {
  const std::scoped_lock guard{state_->mutex};
  return {.threads = state_->threads,
          .idle = state_->idle,
          .queued = state_->queued,
          .limit = state_->options.limit};
}

void thread_crew::close() noexcept {
  if (state_->born != fork_generation()) return;
  std::move_only_function<void()> hook;
  {
    const std::scoped_lock guard{state_->mutex};
    state_->closed = true;
    state_->work.notify_all();
    hook = state_->ended_hook();
  }
  if (hook) hook();
}

bool thread_crew::wait_ended(time_point deadline) noexcept {
  if (state_->born != fork_generation()) return true;
  std::unique_lock guard{state_->mutex};
  const auto over = [this] { return state_->threads + state_->ending == 0; };
  if (deadline == never) {
    state_->gone.wait(guard, over);
    return true;
  }
  return state_->gone.wait_until(guard, deadline, over);
}

void thread_crew::when_ended(std::move_only_function<void()> f) {
  {
    const std::scoped_lock guard{state_->mutex};
    if (!state_->closed || state_->threads + state_->ending != 0) {
      state_->hook = std::move(f);
      return;
    }
  }
  f();
}

// ---- the shared one ----

namespace {

/// Never destroyed, so that threads which still run at exit find it. A forked child gets its own:
/// the parent's threads are not there, and its mutex may be locked for ever.
struct shared_crew {
  static thread_crew& instance() {
    static constinit std::atomic<shared_crew*> current{nullptr};
    shared_crew* p = current.load(std::memory_order_acquire);
    while (p == nullptr || p->born != fork_generation()) {
      auto* made = new shared_crew{p};
      if (current.compare_exchange_strong(p, made, std::memory_order_acq_rel)) return made->threads;
      delete made;
    }
    return p->threads;
  }
  explicit shared_crew(shared_crew* p) : parents{p} {}
  std::uint32_t born = fork_generation();
  thread_crew threads{thread_crew_options{.name = "to_thread"}};
  [[maybe_unused]] shared_crew* parents;  // keeps the parent's reachable for leak checkers
};

}  // namespace

bool run_in_simulation(blocking_job& job) noexcept {
  const loop* l = loop::current();
  if (l == nullptr || !l->simulated()) return false;
  job.execute();
  return true;
}

void submit_blocking(blocking_job& job) {
  if (!run_in_simulation(job)) shared_crew::instance().submit(job);
}
bool take_back_blocking(blocking_job& job) noexcept {
  return shared_crew::instance().take_back(job);
}
void set_blocking_threads(std::size_t limit) { shared_crew::instance().set_limit(limit); }
blocking_pool_statistics blocking_statistics() { return shared_crew::instance().statistics(); }

}  // namespace oneloop::inline v0
