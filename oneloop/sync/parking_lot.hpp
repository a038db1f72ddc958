// The parking lot: the one hand-over primitive that every lock, event and channel is built from. A
// FIFO of waiters that are parked in an operation, guarded by the owner's short_mutex.
//
//     class gate {                                     // opens for one party at a time, in order
//       void pass_one() {
//         gate_wait* next;
//         { std::scoped_lock hold{lock_}; next = lot_.take(); }
//         if (next != nullptr) next->who()->wake();    // after the lock, never under it
//       }
//       short_mutex lock_; parking_lot<gate_wait> lot_;
//     };
//
// The rules (parking_lot_test.cpp has a test for each; conformance.hpp repeats them on everything):
//   1. The node lives in the operation. It is linked and unlinked under the owner's lock only.
//   2. Whoever takes a node out to complete it has won its waiter's claim, under the owner's lock.
//      It stores the result under that lock, releases the lock, and then calls `wake` once. After
//      `wake` the node, its operation and its waiter may be gone.
//   3. A node whose claim is lost (another case of its select won, or it was cancelled) is unlinked
//      by whoever meets it. Its own party unlinks it too, before it dies or starts again.
//   4. An actor never meets itself: nodes of the acting waiter (another case of the same select)
//      are passed over and stay.
//   5. An actor that is a select itself completes nothing before it has won its own claim: alone by
//      `commit`, together with the other side by claim::claim_both (`take(actor)`). A select that
//      has lost changes nothing.
//   6. Cancel takes the node back if it wins the claim under the lock. If it does not, then the
//      operation has happened: its result is delivered, and nothing is lost.
//
// *Threads*: an operation may be started from any thread or loop; the lots order them.
//
// *Cost*: 40 bytes a parked operation, no allocation; one lock and one compare-and-swap a
// hand-over.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>

#include "oneloop/base/intrusive.hpp"
#include "oneloop/base/short_mutex.hpp"
#include "oneloop/loop/lock_watch.hpp"
#include "oneloop/loop/waiter.hpp"

namespace oneloop::inline v0 {

/// What a lot holds: one waiter, parked in one operation. Base of that operation.
class parked : public list_hook<> {
 public:
  /// The waiter; for whoever has claimed it, until it is woken.
  [[nodiscard]] waiter* who() const noexcept { return who_; }
  /// Whether this operation happened. For its own party, after the wait.
  [[nodiscard]] bool won() const noexcept { return stage_ == stage::done; }

  /// Before completing without anybody on the other side: false if the actor is a select that has
  /// been claimed meanwhile. A null actor only tries.
  static bool commit(waiter* actor) noexcept {
    return actor == nullptr || !actor->shared() || actor->try_claim();
  }

 protected:
  parked() = default;
  /// Only before it has started: afterwards an operation stays where it is.
  parked(parked&& o) noexcept {
    assert(o.stage_ == stage::idle && "an operation was moved after it had started");
    static_cast<void>(o);
  }
  ~parked() = default;

  // idle: not started, or taken back (may start again). waiting: in a lot, unless somebody who met
  // it with a lost claim has unlinked it. done: completed; set by whoever completes it.
  enum class stage : std::uint8_t { idle, waiting, done };
  void set_done() noexcept { stage_ = stage::done; }
  void set_idle() noexcept { stage_ = stage::idle; }
  [[nodiscard]] bool waiting() const noexcept { return stage_ == stage::waiting; }
  [[nodiscard]] bool idle() const noexcept { return stage_ == stage::idle; }

 private:
  template <class>
  friend class parking_lot;
  waiter* who_ = nullptr;
  stage stage_ = stage::idle;
};

/// Claimed waiters on their way from the lock to their loops: filled under an owner's lock, woken
/// after it. Uses the waiters' own links.
class wake_list {
 public:
  wake_list() = default;
  wake_list(const wake_list&) = delete;
  wake_list& operator=(const wake_list&) = delete;
  ~wake_list() { assert(list_.empty() && "claimed waiters were never woken"); }

  void add(parked& node) noexcept { list_.push(*node.who()); }
  void wake_all() noexcept {
    while (ready_item* item = list_.pop()) static_cast<waiter*>(item)->wake();
  }

 private:
  intrusive_queue<ready_item> list_;
};

/// The queue. `Node` is the operation that parks in it, derived from `parked`. Every member is
/// called under the owner's lock.
template <class Node>
class parking_lot {
 public:
  /// True if nobody waits. (False may still mean that all have been cancelled: `take` finds out.)
  [[nodiscard]] bool empty() const noexcept { return list_.empty(); }
  /// The first in line, perhaps with a lost claim; null if nobody waits.
  [[nodiscard]] Node* front() noexcept { return list_.front(); }
  /// By walking.
  [[nodiscard]] std::size_t size() const noexcept { return list_.size(); }

  /// The waiter must be armed. The node stays until it is taken, met with a lost claim, or
  /// unlinked.
  void park(Node& node, waiter& w) noexcept {
    parked& p = node;
    p.who_ = &w;
    p.stage_ = parked::stage::waiting;
    list_.push_back(node);
  }

  /// What `take` found.
  struct taken {
    Node* node;  // completed and unlinked: store its result, then wake it after the lock
    bool lost;   // the actor itself has been claimed meanwhile: it must do nothing more
  };

  /// Claims the first waiter that can be claimed and is not `actor`, unlinks it and marks it done.
  /// When `actor` is a select, claims both or neither.
  taken take(waiter* actor) noexcept {
    const bool pair = actor != nullptr && actor->shared();
    for (Node* node = list_.front(); node != nullptr;) {
      parked& p = *node;
      Node* const next = list_.next(*node);
      if (p.who_ != actor) {
        if (!pair) {
          p.unlink();
          if (p.who_->try_claim()) return complete(*node);
        } else {
          switch (claim::claim_both(actor->claim_word(), p.who_->claim_word())) {
            case claim::pairing::both: p.unlink(); return complete(*node);
            case claim::pairing::mine_lost: return {nullptr, true};
            case claim::pairing::other_lost: p.unlink(); break;
          }
        }
      }
      node = next;
    }
    return {nullptr, false};
  }
  /// The same for an actor that waits for nothing, or has won its own claim already.
  Node* take() noexcept { return take(nullptr).node; }

 private:
  static taken complete(Node& node) noexcept {
    static_cast<parked&>(node).stage_ = parked::stage::done;
    return {&node, false};
  }
  intrusive_list<Node> list_;
};

/// What an operation that parks in a lot of `Owner` has in common with the others: the protocol of
/// an operation and of a case of a select, cancellation, and letting go when it dies.
///
/// `Derived` has `static constexpr const char* name` and `enlisted attempt(waiter* w) noexcept`,
/// which under the owner's lock either completes (having committed `w`), or parks and returns
/// `waiting`. With a null `w` it never parks. `Owner` befriends this class and has a short_mutex
/// `lock_`. `Derived` may have
///   - `std::string describe() const`: the object, for dumps
///   - `lock_wait held_up_by() const`: it is a lock. Then it calls `picked_up` in await_resume.
///   - `void unparked() noexcept`: called under the lock when its own party takes it out of the lot
///   - `void left() noexcept`: called by its own party when it has left the lot without completing,
///     outside the lock. Then it calls `delist` in its destructor.
template <class Derived, class Owner>
class parking_operation : public parked {
 public:
  parking_operation(parking_operation&&) noexcept = default;
  parking_operation& operator=(parking_operation&&) = delete;

  // ---- the operation ----
  [[nodiscard]] bool await_ready() const noexcept { return false; }
  bool await_suspend(waiter& w) noexcept {
    w.arm(self(), info());
    if (self()->attempt(&w) == enlisted::waiting) {
      watch(&lock_watch::waits);
      return true;
    }
    w.disarm();
    return false;
  }

  // ---- a case of a select ----
  enlisted enlist(waiter& w) noexcept { return self()->attempt(&w); }
  void delist() noexcept {
    if (!waiting()) return;
    watch(&lock_watch::waits_no_more);
    {
      std::scoped_lock hold{owner_->lock_};
      take_back();
    }
    if constexpr (requires(Derived& d) { d.left(); }) self()->left();
  }
  /// Completes if that needs no waiting: what try_select and the try_ functions use.
  bool try_now() noexcept { return self()->attempt(nullptr) == enlisted::completed; }

 protected:
  explicit parking_operation(Owner& owner) noexcept : owner_{&owner} {}
  ~parking_operation() { delist(); }
  /// It waited, perhaps, and was completed.
  void picked_up() noexcept {
    if (who() != nullptr) [[unlikely]]
      watch(&lock_watch::waits_no_more);
  }

  [[nodiscard]] Owner& owner() const noexcept { return *owner_; }

 private:
  Derived* self() noexcept { return static_cast<Derived*>(this); }
  void take_back() noexcept {
    unlink();
    set_idle();
    if constexpr (requires(Derived& d) { d.unparked(); }) self()->unparked();
  }

  static const operation_info& info() noexcept {
    static constexpr operation_info i{Derived::name, &cancel, described(), locked()};
    return i;
  }
  static constexpr auto described() noexcept -> std::string (*)(const void*) {
    if constexpr (requires(const Derived& d) { d.describe(); }) {
      return [](const void* op) { return static_cast<const Derived*>(op)->describe(); };
    }
    return nullptr;
  }
  static constexpr auto locked() noexcept -> lock_wait (*)(const void*) {
    if constexpr (requires(const Derived& d) { d.held_up_by(); }) {
      return [](const void* op) { return static_cast<const Derived*>(op)->held_up_by(); };
    }
    return nullptr;
  }
  void watch(void (*lock_watch::*what)(waiter&) noexcept) noexcept {
    if constexpr (requires(const Derived& d) { d.held_up_by(); }) {
      const lock_watch* by = lock_watcher.load(std::memory_order_acquire);
      if (by != nullptr) [[unlikely]]
        (by->*what)(*who());
    }
  }
  static void cancel(void* op, waiter& w) noexcept {
    // Once completed, the owner may be gone before the waiter has run: look at the claim first.
    if (!w.claim_word().is_open()) return;
    auto* o = static_cast<Derived*>(op);
    auto& me = static_cast<parking_operation&>(*o);
    me.watch(&lock_watch::waits_no_more);
    {
      std::scoped_lock hold{me.owner_->lock_};
      if (!w.try_claim()) return;
      me.take_back();
    }
    if constexpr (requires(Derived& d) { d.left(); }) o->left();
    w.wake_cancelled();
  }

  Owner* owner_;
};

}  // namespace oneloop::inline v0
