// A wait in several steps: an operation whose party, once it has been woken, may find that it has
// to wait for something more before it goes on (condition::wait_until, once::call). Internal.
//
// On a loop the steps run from its ready queue, in place of the party, which notices nothing. A
// plain thread or a fiber takes them itself, in await_resume: there its code may block.
//
// `First`, the base, is the operation of the first step, which armed the waiter with itself.
// `Derived` has `bool next_step(waiter& w) noexcept`: on the party's loop, after it was woken and
// not cancelled. True: it waits again, for what it has started with `w`.
#pragma once

#include <utility>

#include "oneloop/scope/context.hpp"

namespace oneloop::inline v0 {

template <class Derived, class First>
class continued_wait : public First {
 public:
  enlisted enlist(waiter&) = delete;  // no case of a select

 protected:
  using First::First;
  explicit continued_wait(First&& first) noexcept : First{std::move(first)} {}
  /// In await_suspend or next_step: First waits.
  bool suspended(waiter& w) noexcept {
    unfinished_ = true;
    const bool blocks = w.is_party() && context_of(w).parks != nullptr;
    if (w.home() != nullptr && !blocks) resume_ = std::exchange(w.run, &step);
    return true;
  }
  /// In await_resume: the steps are this party's own to take.
  [[nodiscard]] bool unfinished() noexcept { return std::exchange(unfinished_, false); }
  /// In next_step, before a further wait: that is a checkpoint.
  static bool cancelled_meanwhile(waiter& w) noexcept {
    if (!w.is_party() || !context_of(w).scope().cancelled()) return false;
    w.note_cancelled();
    return true;
  }

 private:
  static void step(ready_item& item) noexcept {
    auto& w = static_cast<waiter&>(item);
    auto& self = static_cast<Derived&>(*static_cast<First*>(const_cast<void*>(w.operation())));
    loop& home = *w.home();
    home.active = w.is_party() ? &context_of(w) : nullptr;
    home.note_progress();
    w.run = self.resume_;
    self.unfinished_ = false;
    if (w.finish() == outcome::cancelled) {
      w.note_cancelled();
    } else if (self.next_step(w)) {
      return;
    }
    w.run(w);
  }
  bool unfinished_ = false;
  waiter::run_fn resume_ = nullptr;
};

}  // namespace oneloop::inline v0
