// The root of a loop's tree of parties, and the root of a plain thread: the scopes and nurseries
// that have no parent. Internal; run(), runtime and `await` make them.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <vector>

#include "oneloop/base/short_mutex.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/loop/parker.hpp"
#include "oneloop/scope/cancel_scope.hpp"
#include "oneloop/scope/context.hpp"
#include "oneloop/scope/nursery.hpp"

namespace oneloop::inline v0 {

/// One a loop. The root nursery owns what has no other owner: run() cancels and drains it.
class ONELOOP_API loop_root final : public loop_extension {
 public:
  explicit loop_root(loop& l);
  ~loop_root() override;

  static loop_root& of(loop& l) { return l.extension<loop_root>(); }

  [[nodiscard]] context& self() noexcept { return self_; }
  [[nodiscard]] nursery& children() noexcept { return *nursery_; }
  /// Everybody on the loop, in the order in which they were made: for dumps. This one is first.
  [[nodiscard]] std::vector<context*> parties();

  /// Outside a turn: cancels what is left in the root nursery and runs the loop until all of it has
  /// ended and other threads owe it nothing. The failure of what had no other owner, if there was
  /// one. A new root nursery takes the place of the old one.
  [[nodiscard]] std::exception_ptr drain() override;
  /// Cancels all parties, and those in shielded scopes too if that does not end it.
  bool asleep_for_good(const std::exception_ptr& why) override;
  /// The end of a run: throws the failure of its main party and of what had no other owner, both as
  /// an exception_group; nothing if there is none.
  static void rethrow(std::exception_ptr main, std::exception_ptr other);

 private:
  struct watcher final : scope_listener {
    explicit watcher(loop& l) noexcept : home{l} {}
    void changed(bool cancelled) noexcept override;
    loop& home;
  };
  void open();
  loop& loop_;
  cancel_scope scope_;
  context self_;
  std::optional<nursery> nursery_;
  watcher watcher_{loop_};
  bool told_asleep_ = false;
};

/// One a plain thread that waits without a loop.
class ONELOOP_API thread_root {
 public:
  /// The calling thread's, made on first use, gone when the thread ends.
  static thread_root& current();
  /// For a thread that was started as a child: makes its root, and ends it before the thread does.
  static thread_root& begin(spawn_info info);
  static void finish() noexcept;

  explicit thread_root(spawn_info info);
  ~thread_root();
  thread_root(const thread_root&) = delete;
  thread_root& operator=(const thread_root&) = delete;

  /// The party whose code runs: the thread's own, or that of a job (thread_party).
  [[nodiscard]] context& self() noexcept { return *current_; }
  [[nodiscard]] cancel_scope& scope() noexcept { return scope_; }
  /// The loop that the thread drives itself while it waits for an operation that needs one: made on
  /// first use and kept for the next time, with what lives on it (idle connections); it ends with
  /// the thread.
  [[nodiscard]] loop& own_loop();
  /// Told when a wait begins to hold this thread up, and when that ends: for pools that lend its
  /// place to another one.
  struct {
    void (*call)(void*, bool held_up) noexcept = nullptr;
    void* argument = nullptr;
  } when_held_up;
  /// One wait.
  class held_up {
   public:
    explicit held_up(thread_root& r) noexcept : root_{r} { tell(true); }
    ~held_up() { tell(false); }
    held_up(const held_up&) = delete;
    held_up& operator=(const held_up&) = delete;

   private:
    void tell(bool now) noexcept {
      if (root_.when_held_up.call != nullptr) {
        root_.when_held_up.call(root_.when_held_up.argument, now);
      }
    }
    thread_root& root_;
  };
  /// In the middle of driving it.
  [[nodiscard]] bool driving() const noexcept { return loop_ != nullptr && loop_->running(); }
  /// In the middle of driving it, or of a job.
  [[nodiscard]] bool in_use() const noexcept { return driving() || current_ != &self_; }

 private:
  friend class thread_party;
  static void park(context& c);
  static const parking parks;
  void take_block();
  void came_through_fork();
  struct domain : thread_domain {
    ~domain() {
      if (block != nullptr) block->release();
    }  // after the scope, by which other threads rouse this one
    parker::block* block = nullptr;
  } domain_;
  cancel_scope scope_;
  context self_;
  std::unique_ptr<loop> loop_;
  std::uint32_t born_;  // the fork generation
  context* current_ = &self_;
};

/// While it lives, what the calling thread runs is a party of its own, for one job: it has its
/// name, its scope and the task-locals of who asked for it. They nest.
class ONELOOP_API thread_party {
 public:
  /// `locals` may be null.
  thread_party(spawn_info info, local_binding* locals);
  ~thread_party();
  thread_party(const thread_party&) = delete;
  thread_party& operator=(const thread_party&) = delete;
  [[nodiscard]] context& self() noexcept { return self_; }
  /// Below the thread's own scope.
  [[nodiscard]] cancel_scope& scope() noexcept { return scope_; }

 private:
  thread_root& root_;
  cancel_scope scope_;
  context self_;
  context* outer_;
  context* outer_active_ = nullptr;  // on a simulated loop
};

/// The scope of a job on another thread, for those who may want to cancel it: before it runs, while
/// it does, and afterwards. Any thread.
class ONELOOP_API job_scope {
 public:
  void enter(cancel_scope& scope) noexcept;
  void leave() noexcept;
  void cancel() noexcept;
  [[nodiscard]] bool cancelled() const noexcept {
    return cancelled_.load(std::memory_order_relaxed);
  }

 private:
  short_mutex lock_;  // before the lock of the thread's scopes
  cancel_scope* scope_ = nullptr;
  std::atomic<bool> cancelled_{false};
};

}  // namespace oneloop::inline v0
