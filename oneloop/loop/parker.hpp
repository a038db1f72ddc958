// The parker: what a plain thread without a loop waits with. One a thread, made on first use. It is
// the thread's io_driver and holds its timers; while parked it polls the descriptors of what is
// pending, carries that out, and fires what is due.
//
//     parker& p = parker::current();
//     thread_waiter w;                              // wakes this thread
//     if (!op.await_ready() && op.await_suspend(w)) {
//       while (!w.resumed()) p.park(never);         // park may return early
//     }
//
// Threads: a parker is used by its own thread only. A `parker::block` is what others hold:
// reference counted, so unpark() is safe from any thread, also when the parked thread has ended.
// Errors: current() throws std::bad_alloc on first use. Without descriptors left for its eventfd a
// parker still works, looking every 10 ms.
// Cost: parked without descriptors, one futex call, or none where others answer within microseconds
// (adaptive_spin.hpp); with descriptors, one poll() of all of them.
#pragma once

#include <atomic>
#include <cstdint>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"
#include "oneloop/base/intrusive.hpp"
#include "oneloop/loop/adaptive_spin.hpp"
#include "oneloop/loop/io_request.hpp"
#include "oneloop/loop/timer_queue.hpp"
#include "oneloop/loop/waiter.hpp"

namespace oneloop::inline v0 {

class ONELOOP_API parker final : public io_driver {
 public:
  /// Who may be unparked, for other threads.
  class ONELOOP_API block {
   public:
    block() = default;
    block(const block&) = delete;
    block& operator=(const block&) = delete;
    void retain() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
    void release() noexcept;
    /// Ends the present park, or makes the next one return at once. Any thread that holds a
    /// reference; async-signal-safe.
    void unpark() noexcept;

   private:
    friend class parker;
    ~block();
    [[nodiscard]] bool has_token() const noexcept {
      return state_.load(std::memory_order_relaxed) == token;
    }
    bool take_token() noexcept;
    /// Sleeps until unparked or `deadline`.
    void sleep(time_point deadline) noexcept;
    /// -1 if none can be had.
    int event_fd() noexcept;

    // `token`: unparked since the last look. The two `asleep` tell unpark() how to wake.
    enum : std::uint32_t { awake, token, asleep_in_futex, asleep_in_poll };
    std::atomic<std::uint32_t> state_{awake};
    std::atomic<std::uint32_t> references_{1};
    int event_fd_ = -1;
  };

  parker();
  ~parker() override;

  /// The calling thread's. Never inlined: its address must not be cached across a suspension.
  [[nodiscard]] static parker& current();

  /// The same, null if the thread has not made one.
  [[nodiscard]] static parker* existing() noexcept;

  /// Blocks until unparked (true) or until `deadline` has passed (false); carries out I/O and
  /// timers of this thread meanwhile. An unpark() before park() is not lost; several count once.
  bool park(time_point deadline);

  [[nodiscard]] block& token_block() const noexcept { return *block_; }
  [[nodiscard]] timer_queue& timers() noexcept { return timers_; }
  [[nodiscard]] static time_point now() noexcept;

  /// The resume function of a thread's waiter, whose `target` is the thread's block: marks the
  /// waiter as resumed (target becomes null), then unparks. The waiter may be gone afterwards.
  static void resume(ready_item& item) noexcept;
  /// On the waiter's thread: whether `resume` has run.
  static bool resumed(waiter& w) noexcept {
    return std::atomic_ref{w.target}.load(std::memory_order_acquire) == nullptr;
  }

  void submit(io_request& r) noexcept override;
  void cancel(io_request& r) noexcept override;
  void watch(io_watch& w) noexcept override;
  void unwatch(io_watch& w) noexcept override;
  void forget(io_handle h) noexcept override;

 private:
  void finish(io_request& r, std::int64_t result) noexcept;
  void attempt_fresh() noexcept;
  void dispatch() noexcept;
  void fire_timers() noexcept;
  void poll_until(time_point deadline);

  block* block_;
  std::uint32_t born_;
  adaptive_spin spin_;
  timer_queue timers_;
  intrusive_list<io_request> fresh_;     // not tried yet
  intrusive_list<io_request> requests_;  // wait for readiness
  intrusive_list<io_watch> watches_;
  intrusive_list<io_request> finished_;
};

/// The waiter of a plain thread: of the calling one.
class thread_waiter : public waiter {
 public:
  thread_waiter() : waiter{nullptr, &parker::resume} { prepare(); }
  /// Before waiting again with the same waiter.
  void prepare() { target = &parker::current().token_block(); }
  [[nodiscard]] bool resumed() noexcept { return parker::resumed(*this); }
};

// What an operation asks of whoever waits: its home loop's, or the calling thread's parker's. On
// the waiter's home thread.
ONELOOP_API io_driver& io_of(waiter& w);
ONELOOP_API timer_queue& timers_of(waiter& w);
ONELOOP_API time_point now_of(waiter& w);

}  // namespace oneloop::inline v0
