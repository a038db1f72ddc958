// Threads for calls that block: crews, and the one that the whole process shares. What users call
// stands on it: to_thread (thread/to_thread.hpp), thread_pool (thread/thread_pool.hpp), the
// resolver.
//
//     struct job : oneloop::blocking_job { ... };
//     submit_blocking(j);                             // j.execute() on a thread of the shared crew
//
// A crew starts a thread when a job is submitted and no thread is idle, up to a limit; further jobs
// wait in a queue, first come, first served. A thread that was idle for long ends. No thread exists
// before the first job. The shared crew has 64 threads at most (set_blocking_threads), which end
// after 5 idle seconds; nothing happens to it at exit: idle threads end with the process, a running
// job is not waited for.
//
// Threads: any. Errors: error if not a single thread can be started. Signals: blocked in all of
// these threads. Fork: a forked child starts with an empty shared crew; other crews are the
// parent's, and refuse. Cost: one lock to submit and one to take; no allocation but what a new
// thread takes.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"
#include "oneloop/base/intrusive.hpp"

namespace oneloop::inline v0 {

/// One call. It belongs to the crew from submit until `execute` (or until take_back has returned
/// true).
class ONELOOP_API blocking_job : list_hook<> {
 public:
  virtual ~blocking_job() = default;
  /// On a thread of the crew: the call, and telling whoever waits. The job may be gone when it
  /// returns.
  virtual void execute() noexcept = 0;
  /// In place of `execute`, on any thread: it will not be carried out, because of `why`; null: it
  /// was cancelled.
  virtual void refuse(std::exception_ptr why) noexcept = 0;

 private:
  friend class thread_crew;
  friend class intrusive_list<blocking_job>;
};

struct blocking_pool_statistics {
  std::size_t threads = 0;  // existing
  std::size_t idle = 0;     // of them, without a job
  std::size_t queued = 0;   // jobs that have not started
  std::size_t limit = 0;
};

struct thread_crew_options {
  std::size_t limit = 64;
  /// How long a thread without a job stays.
  duration idle = std::chrono::seconds{5};
  /// The threads are called "name-0", "name-1"...; the system keeps 15 characters.
  std::string name = "blocking";
  /// What a thread does: calls `work` once, which carries out jobs until the thread is to end.
  std::function<void(const std::function<void()>& work)> thread = [](const auto& work) { work(); };
};

class ONELOOP_API thread_crew {
 public:
  explicit thread_crew(thread_crew_options options);
  /// Closes it. Its threads end when they find that out; nobody waits for them.
  ~thread_crew();
  thread_crew(const thread_crew&) = delete;
  thread_crew& operator=(const thread_crew&) = delete;

  /// Queues `job`. Throws closed_error after `close`, and error.
  void submit(blocking_job& job);
  /// True: the job had not started, and is the caller's again.
  bool take_back(blocking_job& job) noexcept;
  /// Refuses all jobs that have not started.
  void refuse_queued(const std::exception_ptr& why) noexcept;
  /// At most this many threads (at least 1); those above it end when they become idle.
  void set_limit(std::size_t limit);
  [[nodiscard]] blocking_pool_statistics statistics() const;

  /// No job is accepted from now on; the threads end when the queue is empty.
  void close() noexcept;
  /// Blocks until the threads of a closed crew have ended; false if they have not by `deadline`.
  bool wait_ended(time_point deadline) noexcept;
  /// Called once, when it has closed and its last thread has ended (at once if it has), by whoever
  /// finds that out.
  void when_ended(std::move_only_function<void()> f);

 private:
  struct state;
  std::shared_ptr<state> state_;
};

/// In the code of a simulated loop, which has no threads: executes `job` at once. False elsewhere.
ONELOOP_API bool run_in_simulation(blocking_job& job) noexcept;

/// The shared crew: as its members. In a simulation a job runs at once, where it is submitted.
ONELOOP_API void submit_blocking(blocking_job& job);
ONELOOP_API bool take_back_blocking(blocking_job& job) noexcept;
ONELOOP_API void set_blocking_threads(std::size_t limit);
ONELOOP_API blocking_pool_statistics blocking_statistics();

}  // namespace oneloop::inline v0
