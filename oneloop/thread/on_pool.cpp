#include "oneloop/thread/on_pool.hpp"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <mutex>
#include <utility>
#include <vector>

#include "oneloop/base/log.hpp"
#include "oneloop/loop/blocking_pool.hpp"
#include "oneloop/loop/fork_generation_internal.hpp"
#include "oneloop/loop/parker.hpp"
#include "oneloop/scope/context.hpp"
#include "oneloop/scope/root.hpp"
#include "oneloop/thread/work_deque.hpp"

namespace oneloop::inline v0 {
namespace {

constexpr duration grace = std::chrono::seconds{5};
/// Threads beyond a pool's own, for jobs that are held up.
constexpr std::size_t most_spare = 256;

std::size_t usable_cores() noexcept {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return static_cast<std::size_t>(std::max(1, CPU_COUNT(&set)));
}

}  // namespace

// One thread of a pool, as a job of the crew that lends it.
struct stealing_pool::worker final : blocking_job {
  worker(core& c, std::size_t i) : owner{c}, index{i}, dice{i * 0x9e3779b97f4a7c15u + 1} {}

  void execute() noexcept override;
  void refuse(std::exception_ptr) noexcept override {}
  blocking_job* find() noexcept;
  /// Until somebody pushes something or unparks the thread for another reason. False if `resumed`,
  /// or something, was found before it slept.
  template <class Over>
  void sleep(Over over) noexcept;

  core& owner;
  std::size_t index;
  std::uint64_t dice;
  detail::work_deque<blocking_job> jobs;
  job_scope scope;
  parker::block* block = nullptr;
  bool listed = false;  // as idle; under the mutex
  std::shared_ptr<core> alive;
};

namespace {
// The worker that the calling thread is: the pool, and its place there.
thread_local void* t_worker = nullptr;
[[gnu::noinline]] void*& this_worker() noexcept { return t_worker; }
}  // namespace

// Shared with the threads.
struct stealing_pool::core final : detail::call_executor, std::enable_shared_from_this<core> {
  core(std::size_t threads, std::string called)
      : name_{std::move(called)},
        size{threads},
        crew{thread_crew_options{
            .limit = threads + most_spare, .idle = duration::max(), .name = name_}} {}
  ~core() {
    for (std::size_t i = 0; i < count.load(); ++i) delete workers[i].load();
  }

  // ---- call_executor ----
  const char* name() const noexcept override { return name_.c_str(); }
  void submit(detail::thread_call& c) override { push(c); }
  bool take_back(detail::thread_call& c) noexcept override { return c.withdraw(); }

  worker* mine() const noexcept {
    auto* w = static_cast<worker*>(this_worker());
    return w != nullptr && &w->owner == this ? w : nullptr;
  }

  void push(blocking_job& job) {
    if (run_in_simulation(job)) return;
    if (born != fork_generation()) {  // before the mutex, which a thread of the parent may hold
      throw error{errc::loop_after_fork, name_ + ": these threads are the parent process's"};
    }
    if (!started.load(std::memory_order_acquire)) start();
    if (stopping.load(std::memory_order_acquire)) throw closed_error{name_};
    if (worker* w = mine()) {
      w->jobs.push(job);
    } else {
      const std::scoped_lock hold{mutex};
      if (stopping.load(std::memory_order_relaxed)) throw closed_error{name_};
      arrived.push_back(&job);
      arrivals.store(arrived.size(), std::memory_order_seq_cst);
    }
    if (idle.load(std::memory_order_seq_cst) != 0) wake_one();
  }

  void start() {
    const std::scoped_lock hold{mutex};
    if (started.load(std::memory_order_relaxed) || stopping.load(std::memory_order_relaxed)) return;
    while (count.load(std::memory_order_relaxed) < size) add_worker();
    started.store(true, std::memory_order_release);
  }

  /// Under the mutex.
  void add_worker() {
    const std::size_t i = count.load(std::memory_order_relaxed);
    auto w = std::make_unique<worker>(*this, i);
    w->alive = shared_from_this();
    crew.submit(*w);
    workers[i].store(w.release(), std::memory_order_relaxed);
    count.store(i + 1, std::memory_order_release);
  }

  /// The thread of a worker waits for something that is not ours, or does so no longer: another one
  /// takes its place.
  void hold_up(bool now) noexcept {
    {
      const std::scoped_lock hold{mutex};
      held_up += now ? 1 : std::size_t(-1);
      const std::size_t n = count.load(std::memory_order_relaxed);
      if (!now || !sleepers.empty() || n - held_up >= size) return;
      if (stopping.load(std::memory_order_relaxed)) return;
      if (n != workers.size()) {
        try {
          add_worker();
        } catch (...) {
          // It has to do with those it has.
        }
        return;
      }
      if (std::exchange(said_full, true)) return;
    }
    log(severity::warning, "'" + name_ + "': all its threads wait, and more are not started");
  }

  void wake_one() noexcept {
    const std::scoped_lock hold{mutex};
    if (sleepers.empty()) return;
    worker& w = *sleepers.back();
    sleepers.pop_back();
    w.listed = false;
    idle.store(sleepers.size(), std::memory_order_seq_cst);
    w.block->unpark();
  }

  blocking_job* take_arrived() noexcept {
    if (arrivals.load(std::memory_order_seq_cst) == 0) return nullptr;
    const std::scoped_lock hold{mutex};
    if (arrived.empty()) return nullptr;
    blocking_job* job = arrived.front();
    arrived.pop_front();
    arrivals.store(arrived.size(), std::memory_order_seq_cst);
    return job;
  }

  /// Jobs that nobody has begun.
  void refuse_all() noexcept {
    const auto why = std::make_exception_ptr(closed_error{name_});
    while (blocking_job* job = take_arrived()) job->refuse(why);
    for (std::size_t i = 0; i < count.load(std::memory_order_acquire); ++i) {
      while (blocking_job* job = workers[i].load()->jobs.steal()) job->refuse(why);
    }
  }

  void help(waiter& w) override {
    worker* const me = mine();
    if (me == nullptr) return;
    const auto over = [&] { return parker::resumed(w) || context_of(w).scope().cancelled(); };
    while (!over()) {
      if (blocking_job* job = me->find()) {
        job->execute();
      } else {
        me->sleep(over);
      }
    }
    // Somebody may have woken us for a job that we leave to others.
    if (idle.load(std::memory_order_seq_cst) != 0) wake_one();
  }

  std::string name_;
  std::uint32_t born = fork_generation();
  std::size_t size;
  std::vector<std::atomic<worker*>> workers{size + most_spare};  // the first `count`
  std::atomic<std::size_t> count{0};
  std::size_t held_up = 0;
  bool said_full = false;
  std::atomic<bool> started{false};
  std::atomic<bool> stopping{false};
  std::atomic<std::size_t> idle{0};
  std::atomic<std::size_t> arrivals{0};
  std::atomic<std::size_t> stolen{0};
  std::mutex mutex;
  std::deque<blocking_job*> arrived;  // from elsewhere
  std::vector<worker*> sleepers;
  thread_crew crew;
};

void stealing_pool::worker::execute() noexcept {
  const std::shared_ptr<core> keep = std::move(alive);
  this_worker() = this;
  block = &parker::current().token_block();
  thread_root& root = thread_root::begin(spawn_info{owner.name(), {}});
  root.when_held_up = {[](void* c, bool now) noexcept { static_cast<core*>(c)->hold_up(now); },
                       &owner};
  scope.enter(root.scope());
  const auto over = [this] { return owner.stopping.load(std::memory_order_acquire); };
  while (!over()) {
    if (blocking_job* job = find()) {
      job->execute();
    } else {
      sleep(over);
    }
  }
  owner.refuse_all();  // also what the last jobs have started
  scope.leave();
  this_worker() = nullptr;
  thread_root::finish();
}

blocking_job* stealing_pool::worker::find() noexcept {
  if (blocking_job* job = jobs.pop()) return job;
  if (blocking_job* job = owner.take_arrived()) return job;
  dice ^= dice << 13;
  dice ^= dice >> 7;
  dice ^= dice << 17;
  const std::size_t n = owner.count.load(std::memory_order_acquire);
  for (std::size_t i = 0; i < n; ++i) {
    worker& other = *owner.workers[(dice + i) % n].load(std::memory_order_relaxed);
    if (&other == this) continue;
    if (blocking_job* job = other.jobs.steal()) {
      owner.stolen.fetch_add(1, std::memory_order_relaxed);
      return job;
    }
  }
  return nullptr;
}

template <class Over>
void stealing_pool::worker::sleep(Over over) noexcept {
  {
    const std::scoped_lock hold{owner.mutex};
    owner.sleepers.push_back(this);
    listed = true;
    owner.idle.store(owner.sleepers.size(), std::memory_order_seq_cst);
  }
  // Once more, now that whoever pushes sees us.
  blocking_job* job = over() ? nullptr : find();
  if (job == nullptr && !over()) parker::current().park(never);
  {
    const std::scoped_lock hold{owner.mutex};
    if (std::exchange(listed, false)) {
      std::erase(owner.sleepers, this);
      owner.idle.store(owner.sleepers.size(), std::memory_order_seq_cst);
    }
  }
  if (job != nullptr) job->execute();
}

stealing_pool::stealing_pool() : stealing_pool{usable_cores()} {}

stealing_pool::stealing_pool(std::size_t threads, std::string name) {
  if (threads == 0) throw misuse{"stealing_pool: at least one thread is needed"};
  core_ = std::make_shared<core>(threads, std::move(name));
}

stealing_pool::~stealing_pool() {
  core& c = *core_;
  if (c.born != fork_generation()) return;
  {
    const std::scoped_lock hold{c.mutex};
    c.stopping.store(true, std::memory_order_release);
  }
  c.refuse_all();
  const std::size_t n = c.count.load(std::memory_order_acquire);
  for (std::size_t i = 0; i < n; ++i) c.workers[i].load()->scope.cancel();
  c.crew.close();
  for (std::size_t i = 0; i < n; ++i) c.wake_one();
  if (c.crew.wait_ended(after(clock::now(), grace))) return;
  log(severity::warning, "stealing_pool '" + c.name_ +
                             "': " + std::to_string(c.crew.statistics().threads) +
                             " of its jobs did not end in time and were left to themselves");
}

std::size_t stealing_pool::size() const noexcept { return core_->size; }

stealing_pool_statistics stealing_pool::statistics() const noexcept {
  return {.threads = core_->crew.statistics().threads,
          .idle = core_->idle.load(std::memory_order_relaxed),
          .stolen = core_->stolen.load(std::memory_order_relaxed)};
}

detail::call_executor& stealing_pool::executor() noexcept { return *core_; }
void stealing_pool::push(blocking_job& job) { core_->push(job); }
void stealing_pool::help(waiter& w) {
  if (auto* me = static_cast<worker*>(this_worker())) me->owner.help(w);
}

// ---- the shared one ----

namespace {

/// Never destroyed: its threads end with the process. A forked child gets its own.
struct shared_pool {
  static constinit std::atomic<shared_pool*> current;
  static constinit std::atomic<std::size_t> wanted;  // 0: the cores
  explicit shared_pool(shared_pool* p)
      : pool{wanted.load() != 0 ? wanted.load() : usable_cores()}, parents{p} {}
  [[nodiscard]] bool alive() const noexcept { return born == fork_generation(); }
  std::uint32_t born = fork_generation();
  stealing_pool pool;
  [[maybe_unused]] shared_pool* parents;  // keeps the parent's reachable for leak checkers
};
constinit std::atomic<shared_pool*> shared_pool::current{nullptr};
constinit std::atomic<std::size_t> shared_pool::wanted{0};

}  // namespace

stealing_pool& stealing_pool::shared() {
  shared_pool* p = shared_pool::current.load(std::memory_order_acquire);
  while (p == nullptr || !p->alive()) {
    auto* made = new shared_pool{p};
    if (shared_pool::current.compare_exchange_strong(p, made, std::memory_order_acq_rel)) {
      return made->pool;
    }
    delete made;
  }
  return p->pool;
}

void set_pool_threads(std::size_t threads) {
  if (threads == 0) throw misuse{"set_pool_threads: at least one thread is needed"};
  const shared_pool* p = shared_pool::current.load(std::memory_order_acquire);
  if (p != nullptr && p->alive()) {
    throw misuse{"set_pool_threads: the shared pool is in use already"};
  }
  shared_pool::wanted.store(threads);
}

}  // namespace oneloop::inline v0
