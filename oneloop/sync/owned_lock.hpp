// The owned lock: what recursive_mutex and shared_mutex have in common. Parties hold it, alone or
// together, and it knows which: so a party may enter again, and only who holds it may unlock it.
// Users take one of the two; this is their machine.
//
// Which party holds it is kept with the party (held_lock), in a list that only its own code looks
// at: that is why the fast path needs neither a lock nor the loop.
//
// The word: `writer`, `queued`, and the number of parties that share it. While `queued` is not set,
// everybody changes it by compare-and-swap, without lock_. With it, only under lock_: so there it
// may be relied on. It is set exactly while somebody waits, and for good once it is abandoned.
//
// `Names` has the names of the operations, for messages and dumps.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "oneloop/scope/context.hpp"
#include "oneloop/sync/parking_lot.hpp"

namespace oneloop::inline v0 {

enum class lock_mode : std::uint8_t { exclusive, shared };

namespace detail {

/// One party's hold on one lock. Its destructor is the party's end, unless it is let go before.
class ONELOOP_API hold final : public held_lock {
 public:
  /// The party's, or null. Only in its own code.
  static hold* find(const context& party, const void* lock) noexcept {
    for (party_value* v = party.values; v != nullptr; v = v->older) {
      if (v->key == lock) return static_cast<hold*>(v);
    }
    return nullptr;
  }
  /// The first of that party. Throws std::bad_alloc.
  static hold& begin(context& party, const void* lock, const char* name,
                     void (*abandon)(const void*, const hold&) noexcept);
  static void end(context& party, hold& h) noexcept;
  ~hold() override;

  static void* operator new(std::size_t size);
  static void operator delete(void* p, std::size_t size) noexcept;

  std::uint32_t exclusive = 0, shared = 0;  // how often it has entered
  const char* party;                        // its name

 private:
  hold(context& c, const void* lock, const char* lock_name,
       void (*abandon)(const void*, const hold&) noexcept) noexcept;
  void (*abandon_)(const void*, const hold&) noexcept;
  party_id who_;
};

/// Whoever acts: null for a callback, which enters nothing again: one operation is all its life.
ONELOOP_API context* acting_party(waiter* w);

[[noreturn]] ONELOOP_API void throw_not_held(const char* operation, const char* name);
[[noreturn]] ONELOOP_API void throw_upgrade(const char* operation, const char* name);
[[noreturn]] ONELOOP_API void throw_abandoned(const char* operation, const char* name,
                                              const char* party);
ONELOOP_API void report_abandoned(const char* type, const char* name, const char* party) noexcept;
ONELOOP_API void report_foreign_guard(const char* type, const char* name) noexcept;

}  // namespace detail

/// Holds an owned lock, or nothing. Unlocks when it dies. Move-only. It belongs to the party that
/// has locked: it must be unlocked, and die, in that party's code (else it reports that and the
/// lock stays held). One that a callback or a part of a gather was given may go anywhere.
template <class Lock, lock_mode Mode>
class [[nodiscard]] owned_guard {
 public:
  owned_guard() noexcept = default;
  owned_guard(owned_guard&& o) noexcept
      : lock_{std::exchange(o.lock_, nullptr)}, partys_{o.partys_} {}
  owned_guard& operator=(owned_guard&& o) noexcept {
    owned_guard old{std::move(*this)};
    lock_ = std::exchange(o.lock_, nullptr);
    partys_ = o.partys_;
    return *this;
  }
  ~owned_guard() { unlock(); }

  /// Whether it holds a lock.
  explicit operator bool() const noexcept { return lock_ != nullptr; }
  /// Unlocks now. Nothing happens if it holds nothing.
  void unlock() noexcept {
    if (lock_ != nullptr) std::exchange(lock_, nullptr)->template unlock_guarded<Mode>(partys_);
  }
  /// Lets go without unlocking: the party must call the lock's unlock.
  void release() noexcept { lock_ = nullptr; }

 private:
  friend Lock;
  owned_guard(Lock& l, bool partys) noexcept : lock_{&l}, partys_{partys} {}
  Lock* lock_ = nullptr;
  bool partys_ = false;  // a hold of the party's; else nothing but this guard knows of it
};

template <class Names>
class owned_lock {
 public:
  template <lock_mode Mode>
  using guard = owned_guard<owned_lock, Mode>;

  template <lock_mode Mode>
  class operation : public parking_operation<operation<Mode>, owned_lock> {
   public:
    static constexpr const char* name =
        Mode == lock_mode::exclusive ? Names::lock : Names::lock_shared;
    operation(operation&&) noexcept = default;
    /// A lock that was granted but never picked up is passed on.
    ~operation() {
      this->delist();
      if (!this->won()) return;
      this->picked_up();
      this->owner().drop(*this);
    }
    /// Throws misuse if this party may not have it, or if a party that had it has ended.
    guard<Mode> await_resume() { return this->owner().pick_up(*this); }

    [[nodiscard]] std::string describe() const { return this->owner().label(); }
    [[nodiscard]] lock_wait held_up_by() const noexcept {
      return {&this->owner(), this->owner().name_, 0};
    }

   private:
    friend class owned_lock;
    template <class, class>
    friend class parking_operation;
    enum class verdict : std::uint8_t { granted, again, upgrade, abandoned };
    using parking_operation<operation<Mode>, owned_lock>::parking_operation;
    enlisted attempt(waiter* w) noexcept { return this->owner().attempt(*this, w); }
    void left() noexcept { this->owner().reconsider(); }

    context* party_ = nullptr;  // null: a callback's, or nobody's
    verdict verdict_ = verdict::granted;
  };

  explicit owned_lock(const char* name) noexcept : name_{name} {}
  ~owned_lock();
  owned_lock(const owned_lock&) = delete;
  owned_lock& operator=(const owned_lock&) = delete;

  template <lock_mode Mode>
  operation<Mode> enter() noexcept {
    return operation<Mode>{*this};
  }
  template <lock_mode Mode>
  guard<Mode> try_enter() {
    operation<Mode> op{*this};
    return op.try_now() ? op.await_resume() : guard<Mode>{};
  }
  /// What the calling party has entered once.
  template <lock_mode Mode>
  void leave_once();

  [[nodiscard]] const char* name() const noexcept { return name_; }
  [[nodiscard]] bool locked() const noexcept { return (word() & writer) != 0; }
  [[nodiscard]] std::size_t sharing() const noexcept { return word() / reader; }
  [[nodiscard]] std::size_t depth() const noexcept {
    return depth_.load(std::memory_order_relaxed);
  }
  /// Both by walking, under the lock.
  [[nodiscard]] std::pair<std::size_t, std::size_t> waiting() const noexcept {
    std::scoped_lock hold{lock_};
    return {writers_.size(), readers_.size()};
  }
  [[nodiscard]] std::string label() const { return name_ != nullptr ? name_ : ""; }

 private:
  template <class, class>
  friend class parking_operation;
  template <class, lock_mode>
  friend class owned_guard;

  template <lock_mode Mode>
  enlisted attempt(operation<Mode>& op, waiter* w) noexcept;
  template <lock_mode Mode>
  guard<Mode> pick_up(operation<Mode>& op);
  template <lock_mode Mode>
  void drop(operation<Mode>& op) noexcept;
  template <lock_mode Mode>
  void unlock_guarded(bool partys) noexcept;
  template <lock_mode Mode>
  bool take_free() noexcept;
  template <lock_mode Mode>
  void release() noexcept;
  /// False: `party` does not hold it.
  template <lock_mode Mode>
  bool leave(context& party) noexcept;
  template <lock_mode Mode>
  void entered(detail::hold& h) noexcept;

  [[nodiscard]] std::uint32_t word() const noexcept {
    return word_.load(std::memory_order_relaxed);
  }
  template <lock_mode Mode>
  auto& lot() noexcept {
    if constexpr (Mode == lock_mode::exclusive) {
      return writers_;
    } else {
      return readers_;
    }
  }
  // Under lock_, with `queued` set: lets in who may come in now.
  void pass(wake_list& woken) noexcept;
  void settle() noexcept;
  void reconsider() noexcept;
  void downgrade() noexcept;
  void abandon(const char* party) noexcept;

  static constexpr std::uint32_t writer = 1, queued = 2, reader = 4;
  template <lock_mode Mode>
  static constexpr std::uint32_t one = Mode == lock_mode::exclusive ? writer : reader;

  std_atomics::atomic<std::uint32_t> word_{0};
  mutable short_mutex lock_;
  parking_lot<operation<lock_mode::exclusive>> writers_;
  parking_lot<operation<lock_mode::shared>> readers_;
  std::atomic<std::uint32_t> depth_{0};  // of who holds it alone, who writes it; for statistics
  const char* name_;
  const char* abandoned_by_ = nullptr;
};

namespace detail {
struct shared_mutex_names {
  static constexpr const char* type = "shared_mutex";
  static constexpr const char* lock = "shared_mutex.lock";
  static constexpr const char* lock_shared = "shared_mutex.lock_shared";
  static constexpr const char* unlock = "shared_mutex.unlock";
  static constexpr const char* unlock_shared = "shared_mutex.unlock_shared";
};
struct recursive_mutex_names {
  static constexpr const char* type = "recursive_mutex";
  static constexpr const char* lock = "recursive_mutex.lock";
  static constexpr const char* lock_shared = lock;  // nobody does
  static constexpr const char* unlock = "recursive_mutex.unlock";
  static constexpr const char* unlock_shared = unlock;
};
}  // namespace detail

template <class Names>
template <lock_mode Mode>
bool owned_lock<Names>::take_free() noexcept {
  if constexpr (Mode == lock_mode::exclusive) {
    std::uint32_t state = 0;
    return word_.compare_exchange_strong(state, writer, std::memory_order_acquire,
                                         std::memory_order_relaxed);
  } else {
    std::uint32_t state = word();
    while ((state & (writer | queued)) == 0) {
      if (word_.compare_exchange_weak(state, state + reader, std::memory_order_acquire,
                                      std::memory_order_relaxed)) {
        return true;
      }
    }
    return false;
  }
}

template <class Names>
template <lock_mode Mode>
void owned_lock<Names>::entered(detail::hold& h) noexcept {
  if constexpr (Mode == lock_mode::exclusive) {
    depth_.store(++h.exclusive, std::memory_order_relaxed);
  } else {
    ++h.shared;
  }
}

template <class Names>
template <lock_mode Mode>
enlisted owned_lock<Names>::attempt(operation<Mode>& op, waiter* w) noexcept {
  using verdict = typename operation<Mode>::verdict;
  op.party_ = detail::acting_party(w);
  op.verdict_ = verdict::granted;
  if (op.party_ != nullptr) {
    if (detail::hold* h = detail::hold::find(*op.party_, this)) {
      if (!parked::commit(w)) return enlisted::lost;
      if (Mode == lock_mode::exclusive && h->exclusive == 0) {
        op.verdict_ = verdict::upgrade;
      } else {
        op.verdict_ = verdict::again;
        entered<Mode>(*h);
      }
      op.set_done();
      return enlisted::completed;
    }
  }
  if (!take_free<Mode>()) {
    std::scoped_lock hold{lock_};
    if (abandoned_by_ != nullptr) {
      if (!parked::commit(w)) return enlisted::lost;
      op.verdict_ = verdict::abandoned;
      op.set_done();
      return enlisted::completed;
    }
    if (w == nullptr) return enlisted::waiting;
    // From here on the word is ours.
    const std::uint32_t held = word_.fetch_or(queued, std::memory_order_acquire) & ~queued;
    const bool in_the_way = Mode == lock_mode::exclusive ? held != 0 : (held & writer) != 0;
    if (in_the_way || !writers_.empty() || !readers_.empty()) {
      lot<Mode>().park(op, *w);
      return enlisted::waiting;
    }
    word_.fetch_add(one<Mode>, std::memory_order_acquire);
    settle();
  }
  // A select takes the lock first and then asks whether it still may: nobody else could give back.
  if (!parked::commit(w)) {
    release<Mode>();
    return enlisted::lost;
  }
  op.set_done();
  return enlisted::completed;
}

template <class Names>
template <lock_mode Mode>
auto owned_lock<Names>::pick_up(operation<Mode>& op) -> guard<Mode> {
  using verdict = typename operation<Mode>::verdict;
  op.picked_up();
  op.set_idle();
  switch (op.verdict_) {
    case verdict::upgrade: detail::throw_upgrade(op.name, name_);
    case verdict::abandoned: detail::throw_abandoned(op.name, name_, abandoned_by_);
    case verdict::again: return {*this, true};
    case verdict::granted: break;
  }
  if (op.party_ == nullptr) {
    if (Mode == lock_mode::exclusive) depth_.store(1, std::memory_order_relaxed);
    return {*this, false};
  }
  try {
    entered<Mode>(detail::hold::begin(
        *op.party_, this, name_, [](const void* lock, const detail::hold& h) noexcept {
          const_cast<owned_lock*>(static_cast<const owned_lock*>(lock))->abandon(h.party);
        }));
  } catch (...) {
    release<Mode>();
    throw;
  }
  return {*this, true};
}

template <class Names>
template <lock_mode Mode>
void owned_lock<Names>::drop(operation<Mode>& op) noexcept {
  using verdict = typename operation<Mode>::verdict;
  if (op.verdict_ == verdict::granted) release<Mode>();
  if (op.verdict_ == verdict::again) leave<Mode>(*op.party_);
}

template <class Names>
template <lock_mode Mode>
void owned_lock<Names>::release() noexcept {
  if (Mode == lock_mode::exclusive) depth_.store(0, std::memory_order_relaxed);
  std::uint32_t state = word();
  while ((state & queued) == 0) {
    if (word_.compare_exchange_weak(state, state - one<Mode>, std::memory_order_release,
                                    std::memory_order_relaxed)) {
      return;
    }
  }
  wake_list woken;
  {
    std::scoped_lock hold{lock_};
    word_.fetch_or(queued, std::memory_order_relaxed);  // it may have been settled meanwhile
    word_.fetch_sub(one<Mode>, std::memory_order_acq_rel);
    pass(woken);
  }
  woken.wake_all();
}

template <class Names>
template <lock_mode Mode>
bool owned_lock<Names>::leave(context& party) noexcept {
  detail::hold* h = detail::hold::find(party, this);
  if (h == nullptr) return false;
  if constexpr (Mode == lock_mode::exclusive) {
    if (h->exclusive == 0) return false;
    depth_.store(--h->exclusive, std::memory_order_relaxed);
    if (h->exclusive != 0) return true;
    if (h->shared != 0) {
      downgrade();
      return true;
    }
  } else {
    if (h->shared == 0) return false;
    if (--h->shared != 0 || h->exclusive != 0) return true;
  }
  detail::hold::end(party, *h);
  release<Mode>();
  return true;
}

template <class Names>
template <lock_mode Mode>
void owned_lock<Names>::leave_once() {
  if (!leave<Mode>(context::current())) {
    detail::throw_not_held(Mode == lock_mode::exclusive ? Names::unlock : Names::unlock_shared,
                           name_);
  }
}

template <class Names>
template <lock_mode Mode>
void owned_lock<Names>::unlock_guarded(bool partys) noexcept {
  if (!partys) return release<Mode>();
  if (!leave<Mode>(context::current())) detail::report_foreign_guard(Names::type, name_);
}

extern template class owned_lock<detail::shared_mutex_names>;
extern template class owned_lock<detail::recursive_mutex_names>;

}  // namespace oneloop::inline v0
