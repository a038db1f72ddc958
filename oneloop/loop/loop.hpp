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
// ready items. Where other threads answer within microseconds, a turn looks for what they send
// before it sleeps, up to 16 times 20 us (adaptive_spin.hpp): as much later come timers and I/O.
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
#include "oneloop/base/error.hpp"
#include "oneloop/base/intrusive.hpp"
#include "oneloop/loop/adaptive_spin.hpp"
#include "oneloop/loop/inbox.hpp"
#include "oneloop/loop/timer_queue.hpp"
#include "oneloop/loop/virtual_clock.hpp"
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
  /// Everything on the loop is asleep for good: cancels what this owns, because of `why`, which
  /// `drain` gives in the end. False if there is nothing that could end by that.
  virtual bool asleep_for_good(const std::exception_ptr& /*why*/) { return false; }
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

/// Everything that lives on a loop waits, and nothing can ever end that: nobody is ready, no timer
/// is pending, and nobody outside will wake the loop. All of it was cancelled. The message holds
/// the loop's dump: who waits for what. Its code is std::errc::resource_deadlock_would_occur.
class ONELOOP_API all_asleep : public error {
 public:
  explicit all_asleep(std::string_view dump);
};

/// What decides the order of things on a simulated loop.
struct simulation_seed {
  std::uint64_t value = 0;
};

/// Somebody who waits until the loop is idle, and has been so for `cushion`; see testing/clock.hpp.
struct idle_node : list_hook<> {
  using fire_fn = void (*)(idle_node&) noexcept;
  idle_node(duration c, fire_fn f) noexcept : cushion{c}, fire{f} {}
  duration cushion;
  fire_fn fire;  // it is out of the list then
};

class ONELOOP_API loop {
 public:
  /// `backend`: "epoll", "io_uring", "virtual" or "auto"; empty: the environment's ONELOOP_BACKEND,
  /// else "auto", which is epoll where the benchmarks do not show that io_uring wins (today:
  /// always). Throws error if the name is unknown or the kernel refuses that backend.
  explicit loop(std::string_view backend = {});
  /// A simulated loop: a virtual one, on which all that is ready at once runs in an order drawn
  /// from `seed`, as do the timers that are due at the same instant. (What was posted stays in its
  /// order, and comes after them.) It has no threads, is no guest, and knows when all are asleep
  /// for good. Users make it by testing/simulation.hpp.
  explicit loop(simulation_seed seed);
  ~loop();
  loop(const loop&) = delete;
  loop& operator=(const loop&) = delete;

  /// The loop that the calling thread is running; null outside.
  [[nodiscard]] static loop* current() noexcept;

  [[nodiscard]] const char* backend_name() const noexcept;
  /// Now, by this loop's clock. Never earlier than what an earlier call returned.
  [[nodiscard]] time_point now() const noexcept;
  /// Now, by the clock of the loop that the calling thread runs; without one by CLOCK_MONOTONIC.
  [[nodiscard]] static time_point now_here() noexcept;
  /// The time of day: on a simulated loop that of its clock, everywhere else the machine's.
  [[nodiscard]] static wall_time_point wall_time_here() noexcept;
  /// The clock of a virtual loop; null if it is the machine's.
  [[nodiscard]] virtual_clock* virtual_time() const noexcept { return clock_; }
  [[nodiscard]] bool simulated() const noexcept { return simulation_ != nullptr; }
  /// Throws misuse in the code of a simulated loop, which has no threads: `what` would need one.
  static void refuse_in_simulation(const char* what);
  /// Throws misuse if this is a simulated loop and another thread runs it: `what` would reach it at
  /// a moment that no seed decides.
  void refuse_other_threads(const char* what) const;
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
  /// The program promises: no other thread will wake this loop (but one that owes it a completion).
  /// From then on, when nothing is ready, no timer is pending and no I/O or signal is waited for,
  /// all is cancelled and the run throws all_asleep. On a virtual loop that is so without a promise
  /// while the process has only one thread. Not for a loop that is a guest.
  void nothing_from_outside(bool promised = true) noexcept { alone_ = promised; }

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
  /// `f` ends the program. Throws misuse if another thread runs it as a simulation. Allocates.
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
  /// Fired when nothing has been ready for as long as each says; the shortest first, and alone
  /// (testing/clock.hpp).
  [[nodiscard]] intrusive_list<idle_node>& idle_nodes() noexcept { return idle_; }
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
  /// A number that grows with every wait of whoever runs: with each that suspends, and with each
  /// that counts towards the next `spent`.
  [[nodiscard]] std::uint64_t waits() const noexcept { return progress_ * 128 + immediate_; }
  /// No other loop of the program has, had or will have it; from 1.
  [[nodiscard]] std::uint32_t id() const noexcept { return id_; }
  /// A party's number: they are counted in the order in which they are made.
  [[nodiscard]] std::uint32_t next_ordinal() noexcept { return ++parties_; }
  /// On a simulated loop: called after each item that ran, while `active` still is the context
  /// whose code it was (null: nobody's).
  void when_ran(void (*call)(void*, loop&) noexcept, void* argument) noexcept;
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

  /// Nothing can run, no timer is pending, no other thread owes it anything, and no I/O is waited
  /// for: only another thread or a signal can wake it. (The code that asks may be running.)
  [[nodiscard]] bool asleep() noexcept;
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
  [[nodiscard]] duration shortest_idle() noexcept;
  time_point begin_idle() noexcept;
  void end_idle() noexcept;
  void turn(const bool& done);
  void run_while_mail_comes(const bool& done) noexcept;
  void run_batch(const bool& done) noexcept;
  [[nodiscard]] bool nobody_will_wake_it();
  void end_what_is_asleep();
  void refuse_as_guest(const char* what) const;

  intrusive_queue<ready_item> ready_;
  timer_queue timers_;
  timer_queue* also_ = nullptr;  // of the thread that runs the loop
  intrusive_list<idle_node> idle_;
  time_point idle_until_ = never;  // then idle_ fires, if nothing comes before
  std::unique_ptr<backend> backend_;
  virtual_clock* clock_ = nullptr;
  struct simulation;
  std::unique_ptr<simulation> simulation_;
  inbox* inbox_;
  adaptive_spin spin_;
  std::unique_ptr<loop_observer> observer_;
  std::uint64_t progress_ = 0;
  std::uint32_t immediate_ = 0;
  bool closed_ = false;
  bool alone_ = false;
  std::uint32_t parties_ = 0;
  const std::uint32_t id_;
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
