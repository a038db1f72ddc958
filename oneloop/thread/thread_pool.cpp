#include "oneloop/thread/thread_pool.hpp"

#include <sched.h>

#include <list>
#include <mutex>
#include <string>

#include "oneloop/base/log.hpp"
#include "oneloop/loop/fork_generation_internal.hpp"
#include "oneloop/scope/await.hpp"
#include "oneloop/scope/root.hpp"

namespace oneloop::inline v0 {
namespace {

std::size_t usual_threads() noexcept {
  cpu_set_t set;
  const int cores = ::sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
  return static_cast<std::size_t>(std::min(32, cores + 4));
}

}  // namespace

broken_pool::broken_pool(std::string_view what)
    : error{errc::misuse, std::string{what} + ": the initializer of its threads has failed"} {}

// Shared with the threads.
struct thread_pool::core : std::enable_shared_from_this<thread_pool::core> {
  core(std::size_t threads, thread_pool_options o)
      : options{std::move(o)},
        crew{thread_crew_options{.limit = std::max<std::size_t>(1, threads),
                                 .idle = duration::max(),
                                 .name = options.name_,
                                 .thread = [this](const auto& work) {
                                   if (auto me = alive.lock()) me->run_thread(work);
                                 }}} {}

  void run_thread(const std::function<void()>& work) noexcept {
    thread_root& root = thread_root::begin(spawn_info{options.name_.c_str(), {}});
    std::list<job_scope>::iterator mine;
    {
      const std::scoped_lock hold{mutex};
      mine = scopes.emplace(scopes.end());
      mine->enter(root.scope());
      if (stopping) mine->cancel();
    }
    try {
      if (options.initializer_) options.initializer_();
      work();
    } catch (...) {
      log(severity::error, "thread_pool '" + options.name_ +
                               "': the initializer failed: " + describe(std::current_exception()));
      {
        const std::scoped_lock hold{mutex};
        broken = true;
      }
      crew.close();
      crew.refuse_queued(std::make_exception_ptr(broken_pool{options.name_}));
    }
    {
      const std::scoped_lock hold{mutex};
      mine->leave();
      scopes.erase(mine);
    }
    thread_root::finish();
  }

  thread_pool_options options;
  std::weak_ptr<core> alive;
  event ended;
  std::mutex mutex;
  std::list<job_scope> scopes;  // of the threads
  bool broken = false;
  bool stopping = false;
  std::uint32_t born = fork_generation();
  thread_crew crew;
};

thread_pool::thread_pool() : thread_pool{usual_threads()} {}

thread_pool::thread_pool(std::size_t threads, thread_pool_options options) {
  if (threads == 0) throw misuse{"thread_pool: at least one thread is needed"};
  core_ = std::make_shared<core>(threads, std::move(options));
  core_->alive = core_;
  core_->crew.when_ended([c = core_] { c->ended.set(); });
}

thread_pool::~thread_pool() {
  core& c = *core_;
  if (c.born != fork_generation()) return;
  {
    const std::scoped_lock hold{c.mutex};
    c.stopping = true;
  }
  c.crew.close();
  c.crew.refuse_queued(nullptr);
  {
    const std::scoped_lock hold{c.mutex};
    for (job_scope& s : c.scopes) s.cancel();
  }
  if (c.crew.wait_ended(after(clock::now(), c.options.grace_))) return;
  const auto s = c.crew.statistics();
  log(severity::warning, "thread_pool '" + c.options.name_ + "': " + std::to_string(s.threads) +
                             " of its jobs did not end in time and were left to themselves");
}

void thread_pool::add(std::unique_ptr<blocking_job> job) {
  try {
    core_->crew.submit(*job);
  } catch (const closed_error&) {
    const std::scoped_lock hold{core_->mutex};
    if (core_->broken) throw broken_pool{core_->options.name_};
    throw;
  }
  static_cast<void>(job.release());
}

void thread_pool::shutdown(bool wait, bool cancel_futures) {
  if (core_->born != fork_generation()) return;  // the threads are the parent process's
  core_->crew.close();
  if (cancel_futures) core_->crew.refuse_queued(nullptr);
  if (wait) await(ended());
}

event::wait_operation thread_pool::ended() noexcept { return core_->ended.wait(); }

blocking_pool_statistics thread_pool::statistics() const { return core_->crew.statistics(); }

}  // namespace oneloop::inline v0
