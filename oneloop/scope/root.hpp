// The root of a loop's tree of parties, and the root of a plain thread: the scopes and nurseries
// that have no parent. Internal; run(), runtime and `await` make them.
#pragma once

#include <exception>
#include <optional>

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

  /// Outside a turn: cancels what is left in the root nursery and runs the loop until all of it has
  /// ended and other threads owe it nothing. The failure of what had no other owner, if there was
  /// one. A new root nursery takes the place of the old one.
  [[nodiscard]] std::exception_ptr drain() override;
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
  thread_root(const thread_root&) = delete;
  thread_root& operator=(const thread_root&) = delete;

  [[nodiscard]] context& self() noexcept { return self_; }
  [[nodiscard]] cancel_scope& scope() noexcept { return scope_; }

 private:
  static void park(context& c);
  struct domain : thread_domain {
    ~domain() {
      if (block != nullptr) block->release();
    }  // after the scope, by which other threads rouse this one
    parker::block* block = nullptr;
  } domain_;
  cancel_scope scope_;
  context self_;
};

}  // namespace oneloop::inline v0
