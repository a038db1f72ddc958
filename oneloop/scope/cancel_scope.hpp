// Cancel scopes: regions of code that can be cancelled as a whole, with a deadline and a shield.
//
// The semantics are trio's, level-triggered: inside a cancelled scope every checkpoint throws
// `cancelled`, also a later one, until the code has left the scope; a shield stops what comes from
// outside it. A scope absorbs the exception when the code leaves it, unless a cancelled scope is
// visible above (up to a shield): an outer cancel is never turned into a timeout.
//
//     with_scope(scope_options{}.within(2s), [&](cancel_scope& s) { ... s.cancel(); ... });
//
// Threads: a scope belongs to one loop or to one plain thread, and its members may be called there
// only. `handle()` gives something that any thread may cancel it by, and that may outlive it.
#pragma once

#include <atomic>
#include <optional>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"
#include "oneloop/base/intrusive.hpp"
#include "oneloop/base/short_mutex.hpp"
#include "oneloop/loop/inbox.hpp"
#include "oneloop/loop/loop.hpp"

namespace oneloop::inline v0 {

class cancel_handle;
class cancel_scope;
class context;
struct scope_link;

/// What a scope starts with. Setters chain: `scope_options{}.within(2s).shielded()`.
class scope_options {
 public:
  /// Cancel when the loop's clock reads `t`.
  scope_options& at(time_point t) noexcept {
    deadline_ = t;
    return *this;
  }
  /// Cancel `d` after the scope is entered; zero or less: at once.
  scope_options& within(duration d) noexcept {
    within_ = d;
    return *this;
  }
  /// Cancellation of the scopes above does not reach the code inside.
  scope_options& shielded(bool on = true) noexcept {
    shield_ = on;
    return *this;
  }

 private:
  friend class cancel_scope;
  time_point deadline_ = never;
  std::optional<duration> within_;
  bool shield_ = false;
};

/// Where the scopes of one plain thread keep their lock, and how a foreign thread rouses it. Loops
/// need none: everything happens on their thread.
struct thread_domain {
  short_mutex lock;
  void (*rouse)(thread_domain&) noexcept = nullptr;
};

/// Told when the effective state of a scope changes: how cancellation reaches other loops.
class scope_listener : public list_hook<> {
 public:
  virtual void changed(bool cancelled) noexcept = 0;

 protected:
  ~scope_listener() = default;
};

class ONELOOP_API cancel_scope : public list_hook<> {
 public:
  /// For models; user code gets one from with_scope, with_nursery and their kin. `parent` may be
  /// null: the root of a tree (a loop's, a thread's, a proxy).
  cancel_scope(loop* home, thread_domain* thread, cancel_scope* parent, scope_options = {});
  ~cancel_scope();
  cancel_scope(const cancel_scope&) = delete;
  cancel_scope& operator=(const cancel_scope&) = delete;

  /// Cancels everything inside. Idempotent.
  void cancel() noexcept;
  /// Somebody called `cancel`, or the deadline passed.
  [[nodiscard]] bool cancel_called() const noexcept {
    return cancel_called_.load(std::memory_order_relaxed);
  }
  /// A checkpoint inside throws now: because of this scope or of one that is visible above it.
  [[nodiscard]] bool cancelled() const noexcept {
    return effective_.load(std::memory_order_relaxed);
  }
  /// It was cancelled, and absorbed the exception when the code left it.
  [[nodiscard]] bool absorbed() const noexcept { return absorbed_; }

  [[nodiscard]] time_point deadline() const noexcept { return deadline_; }
  /// May be moved at any time, also to the past (cancels at once) or to `never`. A scope that is
  /// already cancelled stays so.
  void set_deadline(time_point t) noexcept;
  [[nodiscard]] bool shield() const noexcept { return shield_; }
  void set_shield(bool on) noexcept;
  /// The earliest deadline of this scope and those visible above it.
  [[nodiscard]] time_point effective_deadline() const noexcept;

  /// A thread-safe handle.
  [[nodiscard]] cancel_handle handle();

  // ---- for models ----

  /// Whether `cancelled`, on its way out of this scope, ends here. Called once, at the exit.
  bool absorb() noexcept;
  /// A checkpoint threw because this scope is cancelled: remembered for the report of swallowed
  /// cancellations.
  void note_thrown() noexcept;
  [[nodiscard]] bool thrown() const noexcept { return thrown_; }
  /// The outermost visible scope because of which this one is cancelled; null if it is not.
  [[nodiscard]] cancel_scope* cause() noexcept;
  /// Leaves the tree before what is inside: that belongs to the parent from now on.
  void dissolve() noexcept;
  /// Cancels every shielded scope inside, for those whom nothing else could wake any more. False if
  /// all of them were cancelled already.
  bool cancel_shielded() noexcept;
  /// From now on it is in `parent`, with all that is inside; on the same loop.
  void move_below(cancel_scope& parent) noexcept;
  /// Where this scope is the cause, throws what a wait of `c` throws in place of `cancelled`, or
  /// returns. Set before anything is inside.
  void (*interrupt)(cancel_scope& self, context& c) = nullptr;
  /// Whether this scope or one around it may have an `interrupt`: without, nobody looks for the
  /// cause.
  [[nodiscard]] bool interruptible() const noexcept {
    return inside_interruptible_ || interrupt != nullptr;
  }
  /// A party starts here: it is a member until it ends, also while its code is in scopes inside.
  void add(context& c) noexcept;
  /// The party whose code is in this scope, if it is not one that started here.
  void entered_by(context* c) noexcept { entered_by_ = c; }
  [[nodiscard]] context* entered_by() const noexcept { return entered_by_; }
  /// Those that started here or inside: f(context&).
  template <class F>
  void each_member(F&& f) {
    for (cancel_scope* s = this; s != nullptr; s = next_inside(*s, true)) {
      for (context* c = s->members_.front(); c != nullptr; c = s->members_.next(*c)) f(*c);
    }
  }
  void listen(scope_listener& l) noexcept;
  void unlisten(scope_listener& l) noexcept;
  /// The state of the scope on another loop for which this is the proxy.
  void set_external(bool cancelled) noexcept;
  [[nodiscard]] bool external() const noexcept { return external_; }
  void bind(scope_link& link) noexcept;
  [[nodiscard]] loop* home() const noexcept { return home_; }
  [[nodiscard]] thread_domain* thread() const noexcept { return thread_; }
  [[nodiscard]] cancel_scope* parent() const noexcept { return parent_; }

 private:
  class guard;
  void refresh() noexcept;
  void ask_those_in_it() noexcept;
  /// What follows `at` in a walk in preorder over the scopes inside, with those `below` it or
  /// without; null at the end. Without recursion: scopes may be nested very deeply.
  cancel_scope* next_inside(cancel_scope& at, bool below) noexcept;
  void arm_deadline() noexcept;
  [[nodiscard]] bool cancelled_from_above() const noexcept {
    return external_ || (parent_ != nullptr && !shield_ && parent_->cancelled());
  }

  loop* home_;
  thread_domain* thread_;
  cancel_scope* parent_;
  intrusive_list<cancel_scope> children_;
  intrusive_list<context> members_;
  context* entered_by_ = nullptr;
  intrusive_list<scope_listener> listeners_;
  scope_link* link_ = nullptr;
  time_point deadline_;
  struct deadline_timer final : timer_node {
    explicit deadline_timer(cancel_scope& s) noexcept;
    cancel_scope& scope;
  } timer_;
  std::atomic<bool> cancel_called_{false};
  std::atomic<bool> effective_{false};
  bool external_ = false;
  bool shield_ = false;
  bool thrown_ = false;
  bool absorbed_ = false;
  bool inside_interruptible_ = false;
};

/// Cancels a scope from any thread; copyable, may outlive the scope (then it does nothing).
class ONELOOP_API cancel_handle {
 public:
  cancel_handle() noexcept = default;
  explicit cancel_handle(scope_link* link) noexcept;  // takes over one reference
  cancel_handle(const cancel_handle& o) noexcept;
  cancel_handle(cancel_handle&& o) noexcept : link_{o.link_} { o.link_ = nullptr; }
  cancel_handle& operator=(cancel_handle o) noexcept {
    std::swap(link_, o.link_);
    return *this;
  }
  ~cancel_handle();

  /// Asks the scope's loop (or thread) to cancel it. Never blocks for long, never throws.
  void cancel() const noexcept;
  /// For proxies: mirrors the effective state of the scope that the proxy stands for.
  void set_external(bool cancelled) const noexcept;
  /// The scope is gone. (False may be late.)
  [[nodiscard]] bool over() const noexcept;

 private:
  scope_link* link_ = nullptr;
};

/// While it lives, the scope behind `proxy` mirrors the effective state of `scope`, which it must
/// not outlive.
class ONELOOP_API scope_tie final : scope_listener {
 public:
  scope_tie(cancel_scope& scope, cancel_handle proxy) noexcept;
  ~scope_tie();
  /// There is nothing on the other side any more.
  [[nodiscard]] bool idle() const noexcept { return proxy_.over(); }
  scope_tie(const scope_tie&) = delete;
  scope_tie& operator=(const scope_tie&) = delete;

 private:
  void changed(bool cancelled) noexcept override;
  cancel_scope& scope_;
  cancel_handle proxy_;
};

/// The shared block behind handles: lives as long as the longest of scope, handles and messages.
struct scope_link final : ready_item {
  ONELOOP_API static scope_link* create(loop* home, thread_domain* thread);
  void retain() noexcept { references.fetch_add(1, std::memory_order_relaxed); }
  ONELOOP_API void release() noexcept;
  ONELOOP_API void notify() noexcept;
  ONELOOP_API void apply() noexcept;

  std_atomics::atomic<std::uint32_t> references{1};
  std_atomics::atomic<bool> want_cancel{false};
  std_atomics::atomic<bool> want_external{false};
  std_atomics::atomic<bool> queued{false};
  std_atomics::atomic<bool> over{false};
  inbox* mail = nullptr;  // of the home loop, pinned; null for a plain thread
  short_mutex lock;       // guards `scope` when there is no loop
  cancel_scope* scope = nullptr;
};

}  // namespace oneloop::inline v0
