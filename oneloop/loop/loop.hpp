// The loop: a ready queue, timers and one backend, run by one thread at a time.
//
// Most programs never name it: run(), runtime and the models drive it. What is here is for writing
// operations, for hosting a loop inside a foreign one, and for choosing a backend.
//
//     oneloop::loop l{"epoll"};
//     bool done = false;
//     l.post([&] { done = true; });
//     l.run_until(done);
//
// Threads: a member may be called on the thread that runs the loop (or, while nobody runs it, on
// any one thread), unless it says "any thread". Cost: one system call a turn; a turn runs up to 256
// ready items.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"
#include "oneloop/base/intrusive.hpp"
#include "oneloop/loop/inbox.hpp"
#include "oneloop/loop/timer_queue.hpp"
#include "oneloop/loop/waiter.hpp"

namespace oneloop::inline v0 {

class backend;
class context;
class io_driver;

/// What a higher layer hangs on a loop, made on first use and destroyed with the loop (last made
/// first). The scope layer keeps the root of the tree of parties here, the DNS resolver its
/// channel.
class ONELOOP_API loop_extension {
 public:
  virtual ~loop_extension();
  /// Ends what this owns and what needs turns to end: parties, connections. Called outside a turn,
  /// before the loop is destroyed and by `loop::drain`; may run the loop. The failure of something
  /// that had no other owner, if there was one.
  virtual std::exception_ptr drain() { return nullptr; }
};

/// Sees every item that a loop runs, when the loop runs with ONELOOP_DEBUG=1.
class ONELOOP_API loop_observer {
 public:
  virtual ~loop_observer();
  /// After an item ran; `l.active` is still the context whose code it was, null if it was none's.
  /// `progress` tells whether a party suspended or finished (see loop::note_progress).
  virtual void ran(loop& l, duration took, bool progress) = 0;
};

class ONELOOP_API loop {
 public:
  /// `backend`: "epoll", "io_uring", "virtual" or "auto"; empty: the environment's ONELOOP_BACKEND,
  /// else "auto", which is epoll where the benchmarks do not show that io_uring wins (today:
  /// always). Throws error if the name is unknown or the kernel refuses that backend.
  explicit loop(std::string_view backend = {});
  ~loop();
  loop(const loop&) = delete;
  loop& operator=(const loop&) = delete;

  /// The loop that the calling thread is running; null outside.
  [[nodiscard]] static loop* current() noexcept;

  [[nodiscard]] const char* backend_name() const noexcept;
  /// Now, by this loop's clock. Never earlier than what an earlier call returned.
  [[nodiscard]] time_point now() const noexcept;
  /// The loop's random numbers: seeded from the kernel, or by `seed`; always the same on "virtual"
  /// unless seeded.
  [[nodiscard]] std::uint64_t random() noexcept;
  void seed(std::uint64_t value) noexcept;

  // ---- driving ----

  /// Runs turns until `done` is true (set by something that the loop runs). `first` is made ready
  /// before. Meanwhile the timers in `also`, those of the calling thread, fire with the loop's own.
  /// Throws misuse if the loop is running already, would_block_loop inside another loop,
  /// loop_not_running if it has closed, and error in a forked child; then `first` was not touched.
  void run_until(const bool& done, ready_item* first = nullptr, timer_queue* also = nullptr);
  /// Ends everything that lives on the loop: cancels what is left and runs turns until it has
  /// ended. Outside a turn. The failure of something that had no other owner, if there was one.
  [[nodiscard]] std::exception_ptr drain();
  /// For good: what other threads post from now on is refused, what they had posted is dropped.
  /// Outside a turn, after `drain`. Idempotent; the destructor does both.
  void close() noexcept;
  [[nodiscard]] bool closed() const noexcept { return closed_; }
  /// True while a thread drives it. Any thread.
  [[nodiscard]] bool running() const noexcept {
    return driver_.load(std::memory_order_acquire) != std::thread::id{};
  }
  /// True if somebody runs it, or has said that it will: a runtime, or a host that asked for
  /// pollable_fd. Waiting for anything else that a loop should do would never end. Any thread.
  [[nodiscard]] bool driven() const noexcept {
    return hosted_.load(std::memory_order_acquire) || running();
  }
  void expect_driver() noexcept { hosted_.store(true, std::memory_order_release); }

  // A loop as the guest of another: poll `pollable_fd()` for reading in the host, at most until
  // `next_deadline()`; then call `run_ready()`, which never blocks and runs at most `max_items`.
  // Between the calls nothing of the loop runs. See docs/architecture.md, "guest".
  [[nodiscard]] int pollable_fd();
  /// When run_ready should be called at the latest; now() if something is ready.
  [[nodiscard]] time_point next_deadline() noexcept;
  /// Returns how many items it ran.
  std::size_t run_ready(std::size_t max_items = 256);

  // ---- any thread ----

  /// Runs `f` on the loop, after what is ready now. False (and `f` is dropped) if the loop has
  /// closed; if it closes before it could run `f`, `f` is dropped there. An exception that leaves
  /// `f` ends the program. Allocates.
  bool post(std::move_only_function<void()> f);
  /// Pin this (inbox_pin) before handing a waker to another thread.
  [[nodiscard]] inbox& mail() const noexcept { return *inbox_; }
  /// Another thread owes this loop a completion (a blocking call, for example): until `disown`, a
  /// loop that ends waits for it and virtual time does not jump.
  void owe() noexcept { owed_.fetch_add(1, std::memory_order_relaxed); }
  void disown() noexcept { owed_.fetch_sub(1, std::memory_order_release); }
  [[nodiscard]] std::size_t owed() const noexcept { return owed_.load(std::memory_order_acquire); }

  // ---- for operations: on the loop's thread ----

  /// To the end of the ready queue.
  void make_ready(ready_item& item) noexcept { ready_.push(item); }
  [[nodiscard]] timer_queue& timers() noexcept { return timers_; }
  [[nodiscard]] io_driver& io() noexcept;
  /// Throws wrong_thread naming `what`, or error in a forked child, unless the calling thread may
  /// use the loop now.
  void check_thread(const char* what) const;
  /// Whether the calling thread may use the loop now: it drives it, or nobody does. Any thread.
  [[nodiscard]] bool on_own_thread() const noexcept;

  // ---- for models ----

  /// The context whose code runs now; null on the loop's own behalf.
  context* active = nullptr;
  /// Immediate completions since the last suspension: at 128 a party must yield (`spent`).
  bool spent() noexcept {
    if (++immediate_ < 128) return false;
    immediate_ = 0;
    return true;
  }
  /// A party suspended or finished: for the check of lost coroutine bodies.
  void note_progress() noexcept {
    ++progress_;
    immediate_ = 0;
  }
  /// The extension of type E, made by E(loop&) on first use.
  template <class E>
  E& extension() {
    static const char key = 0;
    if (loop_extension* e = find_extension(&key)) return static_cast<E&>(*e);
    auto made = std::make_unique<E>(*this);
    E& ref = *made;
    add_extension(&key, std::move(made));
    return ref;
  }
  /// Called on the loop's thread when its root is cancelled: something failed that had no other
  /// owner, or the loop is drained. Must only set flags and the like.
  struct {
    void (*call)(void*) noexcept = nullptr;
    void* argument = nullptr;
  } when_root_cancelled;
  void set_observer(std::unique_ptr<loop_observer> o) noexcept;
  [[nodiscard]] bool observed() const noexcept { return observer_ != nullptr; }

  /// The tree of parties and what each waits for, as text for people; defined by the scope layer.
  [[nodiscard]] std::string dump();

 private:
  friend class waiter;
  struct driving;
  loop_extension* find_extension(const void* key) noexcept;
  void add_extension(const void* key, std::unique_ptr<loop_extension> e);
  std::size_t run_items(std::size_t max, const bool* done) noexcept;
  void run_observed(ready_item& item) noexcept;
  void take_mail() noexcept;
  void fire_timers() noexcept;
  void fire_due(timer_queue& timers) noexcept;
  void turn(const bool& done);

  intrusive_queue<ready_item> ready_;
  timer_queue timers_;
  timer_queue* also_ = nullptr;  // of the thread that runs the loop
  std::unique_ptr<backend> backend_;
  inbox* inbox_;
  std::unique_ptr<loop_observer> observer_;
  std::uint64_t progress_ = 0;
  std::uint32_t immediate_ = 0;
  bool closed_ = false;
  std::uint64_t random_[2];
  std::uint32_t fork_generation_;
  std::atomic<std::thread::id> driver_{};
  std::atomic<bool> hosted_{false};
  std::atomic<std::size_t> owed_{0};
  struct keyed_extension;
  std::unique_ptr<keyed_extension> extensions_;
};

/// Names of the backends that work here, best first: for tests and for `--backend`.
ONELOOP_API std::string available_backends();

}  // namespace oneloop::inline v0
