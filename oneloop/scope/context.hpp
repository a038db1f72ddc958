// The context: what flows down from a party to everything that it awaits, as one pointer: its home
// loop, its current cancel scope, its nursery, its task-locals. And the party itself: who acts,
// across many waits; the node of the tree that dumps show.
//
// A party does one thing at a time, so its context is also its waiter: waiting costs no memory at
// all beyond the context. Code that runs on a loop finds its own by context::current().
//
//     oneloop::context& c = oneloop::context::current();
//     log(c.name(), c.scope().cancelled());
#pragma once

#include <cstdint>
#include <source_location>
#include <string>

#include "oneloop/base/config.hpp"
#include "oneloop/base/intrusive.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/loop/waiter.hpp"
#include "oneloop/scope/cancel_scope.hpp"

namespace oneloop::inline v0 {

class context;
class nursery;
struct local_binding;

/// A value that belongs to one party alone; see fiber/local.hpp.
struct ONELOOP_API party_value {
  explicit party_value(const void* k) noexcept : key{k} {}
  virtual ~party_value();
  party_value(const party_value&) = delete;
  party_value& operator=(const party_value&) = delete;
  /// Not null if it is one.
  [[nodiscard]] virtual const struct held_lock* lock() const noexcept { return nullptr; }
  const void* key;
  party_value* older = nullptr;
};

/// A lock that its party holds, which is the key; see sync/owned_lock.hpp.
struct ONELOOP_API held_lock : party_value {
  held_lock(const void* lock, const char* lock_name) noexcept
      : party_value{lock}, name{lock_name} {}
  [[nodiscard]] const held_lock* lock() const noexcept override { return this; }
  const char* name;  // null: it has none
};

/// Who started a party, and what it is called; literals, not copies.
struct spawn_info {
  const char* name = "task";
  std::source_location where = std::source_location::current();
};

/// Gives a party a name when it is started: `n.start(named{"reader", read_loop}, socket)`. `name`
/// must outlive the party (use a literal). `at` is where this is written: the line that dumps show
/// where the call cannot bring its own.
template <class F>
struct named {
  const char* name;
  F fn;
  std::source_location at = std::source_location::current();
};
template <class F>
named(const char*, F) -> named<F>;

/// How the code of a party blocks until it is resumed: a fiber switches to its loop, a thread
/// parks.
struct parking {
  void (*park)(context&);
};

/// How the code of a party waits.
enum class party_kind : std::uint8_t { coroutine, fiber, thread, callback };

// In the list of the members of the scope that it started in.
class ONELOOP_API context : public waiter, public list_hook<> {
 public:
  /// For models. `parent` (null for a root) must outlive this, on the same loop or thread.
  context(party_kind kind, loop* home, run_fn resume, cancel_scope& scope, context* parent,
          spawn_info info);
  ~context();

  /// The context of the code that runs now, in any model. On a loop's own stack outside every party
  /// it is the loop's root; on a plain thread, that thread's (made on first use).
  [[nodiscard]] static context& current();
  /// The same for a call that is going to block: throws would_block_loop (naming `what`) in a
  /// coroutine body or on a loop's own stack.
  [[nodiscard]] static context& blocking(const char* what);

  [[nodiscard]] party_kind kind() const noexcept { return static_cast<party_kind>(model()); }
  [[nodiscard]] cancel_scope& scope() const noexcept { return *scope_; }
  [[nodiscard]] const char* name() const noexcept { return info_.name; }
  [[nodiscard]] const std::source_location& spawned_at() const noexcept { return info_.where; }
  [[nodiscard]] context* parent() const noexcept;
  /// Which of its loop's parties it is: the first is 1; 0 without a loop.
  [[nodiscard]] std::uint32_t ordinal() const noexcept { return home() != nullptr ? ordinal_ : 0; }
  /// For those who may look for it when it has ended.
  [[nodiscard]] party_id identity() const noexcept {
    return (home() != nullptr ? party_id{home()->id()} << 32 : 0) | ordinal_;
  }
  void rename(const char* literal) noexcept { info_.name = literal; }
  /// The innermost nursery that this code is in the body of; null: only the loop's root nursery.
  [[nodiscard]] nursery* innermost_nursery() const noexcept { return nursery_; }

  /// A checkpoint without an operation: throws `cancelled` inside a cancelled scope.
  void checkpoint() {
    set_passed(true);
    if (scope_->cancelled()) [[unlikely]]
      throw_cancelled();
  }
  [[noreturn]] void throw_cancelled();
  /// Before `cancelled` leaves a wait: if a timeout of this party is the reason, throws what that
  /// throws (fiber/timeout.hpp).
  void raise_timeout();

  // ---- for models and regions ----

  void enter(cancel_scope& inner) noexcept;
  /// Back to inner's parent; a scope that was entered after it and not left yet stays.
  void leave(cancel_scope& inner) noexcept;
  void set_scope(cancel_scope& s) noexcept { scope_ = &s; }
  void set_innermost_nursery(nursery* n) noexcept { nursery_ = n; }

  /// How its code blocks; null where that is impossible.
  const parking* parks = nullptr;

  /// Whether it has come to a checkpoint since it was last unset; see testing/checkpoints.hpp.
  [[nodiscard]] bool passed() const noexcept {
    return (model_.load(std::memory_order_relaxed) & mark) != 0;
  }
  void set_passed(bool on) noexcept {
    const std::uint8_t m = model();
    model_.store(on ? m | mark : m, std::memory_order_relaxed);
  }

  local_binding* locals = nullptr;  // see local.hpp
  party_value* values = nullptr;    // newest first; freed with the party
  void free_values() noexcept;

  /// A line about it, for dumps.
  void write_line(std::string& out) const;

 private:
  friend class child;
  // Whose child it is: a party's own (gather's parts), a nursery's, or one of a nursery in a scope
  // of its own.
  struct above {
    enum kind : std::uintptr_t { party, in_nursery, in_own_scope, mask = 3 };
    above(kind k, const void* p) noexcept : word{reinterpret_cast<std::uintptr_t>(p) | k} {}
    [[nodiscard]] kind what() const noexcept { return static_cast<kind>(word & mask); }
    template <class T>
    [[nodiscard]] T& as() const noexcept {
      return *reinterpret_cast<T*>(word & ~std::uintptr_t{mask});
    }
    std::uintptr_t word;
  };
  context(party_kind kind, loop* home, run_fn resume, cancel_scope& scope, above a,
          const context* parent, spawn_info info);
  /// No scope knows it any more.
  void forget_scopes() noexcept;

  cancel_scope* scope_;
  nursery* nursery_ = nullptr;
  above above_;
  spawn_info info_;
};

/// The context behind a waiter that is one (every waiter of a model is).
inline context& context_of(waiter& w) noexcept { return static_cast<context&>(w); }
/// Whose waiter that is, if it is a party's.
inline party_id party_of(const waiter& w) noexcept {
  return w.is_party() ? static_cast<const context&>(w).identity() : 0;
}

}  // namespace oneloop::inline v0
