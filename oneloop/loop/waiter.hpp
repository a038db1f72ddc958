// The waiter: whoever is suspended until an operation finishes, and the claim that resumes it once.
//
// A waiter lives in the suspended party's own frame, stack or record: waiting allocates nothing. An
// operation is any type with the shape of a C++20 awaiter over a waiter:
//
//     struct op {
//       bool await_ready();            // finished already? then never suspends
//       bool await_suspend(waiter&);   // start; false: it finished meanwhile, carry on
//       T await_resume();              // the result, or throws
//     };
//
// The rules (each has a test in waiter_test.cpp):
//   - One claim. An operation arms the waiter before it publishes it; whoever then wins `try_claim`
//     stores the result and calls `wake` once. Everybody else leaves the waiter alone.
//   - Resuming means: the waiter goes to the end of its home loop's ready queue (a plain thread is
//     unparked). Nobody runs inline inside another's call, so an operation may publish a waiter to
//     other threads in the middle of await_suspend.
//   - Cancel is a request made on the waiter's home thread: `request_cancel` asks the operation,
//     which either takes itself back (claims, then wakes with outcome::cancelled), or is already
//     claimed and delivers its result.
#pragma once

#include <sched.h>

#include <atomic>
#include <concepts>
#include <cstdint>
#include <string>

#include "oneloop/base/atomics.hpp"
#include "oneloop/base/config.hpp"

namespace oneloop::inline v0 {

class loop;
class waiter;

/// What a ready queue holds: something to run once on the loop's thread. `run` owns the item from
/// then on.
struct ready_item {
  using run_fn = void (*)(ready_item&) noexcept;
  ready_item* next = nullptr;
  run_fn run = nullptr;
};

/// A party's alone, also when it has ended and its address is another one's; 0: nobody's.
using party_id = std::uint64_t;

/// What a waiter waits for that is held by somebody: for those who look for deadlocks.
struct lock_wait {
  const void* lock;
  const char* name;  // null: it has none
  party_id holder;   // 0: unknown, several, or parties that know themselves (held_lock)
};

/// What an operation tells about itself while a waiter waits for it; one constant per operation
/// type.
struct operation_info {
  const char* name;  // "channel.receive": for dumps
  /// Runs on the waiter's home thread while it waits. Takes the operation back if it can (win the
  /// claim, then `wake_cancelled`), asks for that elsewhere, or does nothing if it is too late.
  void (*cancel)(void* op, waiter& w) noexcept;
  /// A few words on the object ("fd 7"), for dumps; may be null. Runs on the home thread.
  std::string (*describe)(const void* op) = nullptr;
  /// Which lock it waits for, as long as its party has not been resumed; may be null.
  lock_wait (*lock)(const void* op) = nullptr;
};

/// How a wait ended.
enum class outcome : std::uint8_t {
  completed,  // the operation happened (perhaps by failing): ask it for its result
  cancelled,  // it did not happen
};

/// The claim: one byte that several completers compete for. States: `closed` (nobody may resume the
/// waiter: it runs, or has been claimed), `open` (the first compare-and-swap wins), `tentative` (a
/// select that is itself claimable is trying to pair with another waiter; lasts a few
/// instructions).
template <class Atomics = std_atomics>
class basic_claim {
 public:
  /// The owner, before publishing.
  void open() noexcept { word_.store(state::open, std::memory_order_relaxed); }

  /// Exactly one caller after each `open` gets true.
  bool try_claim() noexcept {
    for (unsigned looks = 0;;) {
      state expected = state::open;
      if (word_.compare_exchange_strong(expected, state::closed, std::memory_order_acq_rel,
                                        std::memory_order_acquire)) {
        return true;
      }
      if (expected == state::closed) return false;
      relax(looks);  // tentative: its owner decides within a few instructions
    }
  }

  enum class pairing { both, mine_lost, other_lost };

  /// Claims `mine` and `other` together or neither. `mine` belongs to the caller (a select), is
  /// open and may be claimed by others meanwhile. The one with the lower address insists, the other
  /// backs off: so a cycle of selects that meet each other always resolves.
  static pairing claim_both(basic_claim& mine, basic_claim& other) noexcept {
    for (unsigned looks = 0;;) {
      state expected = state::open;
      if (!mine.word_.compare_exchange_strong(expected, state::tentative, std::memory_order_acq_rel,
                                              std::memory_order_acquire)) {
        return pairing::mine_lost;
      }
      for (;;) {
        expected = state::open;
        if (other.word_.compare_exchange_strong(expected, state::closed, std::memory_order_acq_rel,
                                                std::memory_order_acquire)) {
          mine.word_.store(state::closed, std::memory_order_release);
          return pairing::both;
        }
        if (expected == state::closed) {
          mine.word_.store(state::open, std::memory_order_release);
          return pairing::other_lost;
        }
        if (&other < &mine) break;
        relax(looks);
      }
      mine.word_.store(state::open, std::memory_order_release);
      while (other.word_.load(std::memory_order_acquire) == state::tentative) relax(looks);
    }
  }

  [[nodiscard]] bool is_open() const noexcept {
    return word_.load(std::memory_order_acquire) != state::closed;
  }

 private:
  enum class state : std::uint8_t { closed, open, tentative };
  /// Between two looks at a tentative claim; its owner may have been preempted in the middle.
  static void relax(unsigned& looks) noexcept {
    if (++looks % 64 != 0) {
      Atomics::pause();
    } else {
      ::sched_yield();
    }
  }
  typename Atomics::template atomic<state> word_{state::closed};
};

using claim = basic_claim<>;

/// A suspended party, as operations see it. 56 bytes, with the number that a party has.
class waiter : public ready_item {
 public:
  waiter(loop* home, run_fn resume) noexcept : home_{home} { run = resume; }
  waiter(const waiter&) = delete;
  waiter& operator=(const waiter&) = delete;

  /// The loop that this resumes on; null: a plain thread without a loop.
  [[nodiscard]] loop* home() const noexcept { return home_; }

  // ---- for operations ----

  /// First thing in await_suspend, before the waiter is published anywhere. `op` must stay where it
  /// is until the waiter has been resumed.
  void arm(void* op, const operation_info& info) noexcept {
    op_ = op;
    info_ = &info;
    shared_ = false;
    claim_.open();
  }
  /// As `arm`, by a select whose cases will compete for this waiter.
  void arm_shared(void* op, const operation_info& info) noexcept {
    arm(op, info);
    shared_ = true;
  }
  /// await_suspend is about to return false: the operation finished, nobody else knows the waiter.
  void disarm() noexcept { info_ = nullptr; }

  /// True while a select competes: an operation must then claim its own waiter before it completes.
  [[nodiscard]] bool shared() const noexcept { return shared_; }
  [[nodiscard]] claim& claim_word() noexcept { return claim_; }

  /// Wins the right to complete this waiter; exactly one caller does. Any thread, usually under the
  /// operation's own lock. The winner must call `wake` or `wake_cancelled`.
  bool try_claim() noexcept { return claim_.try_claim(); }

  /// Puts the claimed waiter on its home loop's ready queue, or unparks its thread. Any thread; the
  /// waiter may be gone when this returns.
  ONELOOP_API void wake() noexcept;
  /// The same for an operation that took itself back: its party sees `cancelled`.
  void wake_cancelled() noexcept {
    note_cancelled();
    wake();
  }
  /// For one that took itself back and has to wait for something more before it wakes its party, as
  /// a condition for its lock.
  void note_cancelled() noexcept { outcome_ = outcome::cancelled; }

  // ---- for models: the owner's side, on the home thread ----

  /// Asks the operation to take itself back, if there is one. Nothing is promised: a result that is
  /// on its way is delivered.
  void request_cancel() noexcept {
    if (info_ != nullptr) info_->cancel(op_, *this);
  }
  /// After resuming: how it ended. Forgets the operation.
  outcome finish() noexcept {
    info_ = nullptr;
    const outcome how = outcome_;
    outcome_ = outcome::completed;
    return how;
  }
  /// The operation was finished at once, but its party has waited in vain too often in a row: it
  /// lets others run first, by `make_ready`. Dumps say so.
  void give_way() noexcept { info_ = &giving_way; }
  [[nodiscard]] bool gives_way() const noexcept { return info_ == &giving_way; }
  /// What is waited for; null while running.
  [[nodiscard]] const operation_info* waiting_for() const noexcept { return info_; }
  [[nodiscard]] const void* operation() const noexcept { return op_; }

  /// Whether it is a context, as every waiter of a model is; else somebody has it inside something.
  [[nodiscard]] bool is_party() const noexcept { return model() != no_model; }

  /// The model's own: a coroutine's address, a fiber.
  void* target = nullptr;

 private:
  loop* home_;
  void* op_ = nullptr;
  const operation_info* info_ = nullptr;
  claim claim_;
  outcome outcome_ = outcome::completed;
  bool shared_ = false;

  ONELOOP_API static const operation_info giving_way;

 protected:
  // A context's: how its party waits, and a mark that it makes on its own thread.
  static constexpr std::uint8_t no_model = 0x7f;
  static constexpr std::uint8_t mark = 0x80;
  [[nodiscard]] std::uint8_t model() const noexcept {
    return model_.load(std::memory_order_relaxed) & no_model;
  }
  std::atomic<std::uint8_t> model_{no_model};
  std::uint32_t ordinal_ = 0;  // a context's: of its loop's parties, or of those without a loop
};

/// An operation: the shape of an awaiter over a waiter. Lazy: it starts in await_suspend.
template <class Op>
concept operation = requires(Op& op, waiter& w) {
  { op.await_ready() } -> std::convertible_to<bool>;
  { op.await_suspend(w) } -> std::convertible_to<bool>;
  op.await_resume();
};

/// What an operation results in.
template <class Op>
using result_of = decltype(std::declval<Op&>().await_resume());

/// How far `enlist` came.
enum class enlisted : std::uint8_t {
  waiting,    // the waiter is queued
  completed,  // done at once; the waiter is claimed
  lost,       // another case of the same select has won meanwhile; nothing was done
};

/// An operation that can be taken back without effect: what select accepts. `enlist` starts it for
/// a waiter that somebody else has armed; `delist` takes it back and is idempotent (it may run
/// while a completer of another case looks at it: under the primitive's lock); `won` tells after
/// the wait whether this is the case that completed.
template <class Op>
concept retractable = operation<Op> && requires(Op& op, waiter& w) {
  { op.enlist(w) } -> std::same_as<enlisted>;
  op.delist();
  { op.won() } -> std::convertible_to<bool>;
};

}  // namespace oneloop::inline v0
