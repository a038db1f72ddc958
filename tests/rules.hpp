// The rules of docs/checkpoints.md, checked for every primitive, from every kind of waiter, on
// every backend.
//
// A `subject` is a primitive as somebody sees it who waits for it. A `director` (a fiber of the
// same loop, or a plain thread) lets parties of one kind wait for the subject inside two nested
// scopes, cancels and completes them, and looks at what each party says of itself. So a rule is
// written once, in rules.cpp; a primitive is a small class in one of the other files:
//
//     class event_subject final : public subject {
//       wait_for wait() override { return waiting(e_.wait()); }
//       void complete() override { e_.set(); }
//       bool untaken() override { ... }
//       event e_;
//     };
//     static const bool enrolled = enrol<event_subject>("event");
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

#include "oneloop/loop/waiter.hpp"
#include "oneloop/scope/await.hpp"
#include "oneloop/scope/nursery.hpp"

namespace oneloop::rules {

/// A wait behind virtual calls: the models are compiled once for all.
class any_wait {
 public:
  any_wait() = default;
  any_wait(const any_wait&) = delete;
  any_wait& operator=(const any_wait&) = delete;
  virtual ~any_wait() = default;
  virtual bool ready() = 0;
  virtual bool suspend(waiter& w) = 0;
  virtual void resume() = 0;
  virtual void cancel() = 0;
};

template <class Op, class Took>
class wait_of final : public any_wait {
 public:
  wait_of(Op&& op, Took took) : op_{std::move(op)}, took_{std::move(took)} {}
  bool ready() override { return op_.await_ready(); }
  bool suspend(waiter& w) override { return op_.await_suspend(w); }
  void resume() override { end(outcome::completed); }
  void cancel() override { end(outcome::cancelled); }

 private:
  void end(outcome how) {
    if constexpr (std::is_void_v<result_of<Op>>) {
      conclude(op_, how);
      took_();
    } else {
      took_(conclude(op_, how));
    }
  }
  Op op_;
  Took took_;
};

/// An operation that holds one.
struct wait_for {
  std::unique_ptr<any_wait> wait;
  [[nodiscard]] bool await_ready() const { return wait->ready(); }
  bool await_suspend(waiter& w) const { return wait->suspend(w); }
  void await_resume() const { wait->resume(); }
  void await_cancelled() const { wait->cancel(); }
};
/// The same for what needs a loop.
struct wait_on_loop : wait_for {
  static constexpr bool needs_loop = true;
};

/// `took` is called with the result.
template <class A, class Took>
wait_for waiting(A&& a, Took took) {
  using op = std::remove_cvref_t<decltype(as_operation(std::forward<A>(a)))>;
  return {std::make_unique<wait_of<op, Took>>(as_operation(std::forward<A>(a)), std::move(took))};
}
template <class A>
wait_for waiting(A&& a) {
  return waiting(std::forward<A>(a), [](auto&&...) {});
}

class subject {
 public:
  struct traits {
    bool needs_kernel = false;
    bool needs_loop = false;   // the operation
    bool threads = true;       // a plain thread may wait for it
    bool call = false;         // a call of fibers, no operation: `call` waits
    bool waits = true;         // if not, it is over at once, always: only C1 says anything
    bool lasts = true;         // if not, it ends by itself when nothing else runs
    bool completes = true;     // `complete` does something
    bool ahead = true;         // it may come before the wait, which then is over at once
    bool at_once = true;       // it completes a wait that is there before it returns
    bool taken_back = true;    // a cancel ends a wait before anything can complete it
    bool one_each = true;      // it completes one wait, the first
    bool leaves_trace = true;  // `untaken` knows
    bool many = true;          // several may wait at a time
  };

  explicit subject(traits t) noexcept : is{t} {}
  subject(const subject&) = delete;
  subject& operator=(const subject&) = delete;
  virtual ~subject() = default;

  /// Before each part of a rule; `n` is a nursery of the director, for helpers.
  virtual void begin(nursery& /*n*/) {}
  /// Afterwards: helpers must end.
  virtual void end() {}
  /// When nobody waits, at first and after something has happened: it must be able to happen again.
  virtual void again() {}
  /// In the party that is going to wait.
  virtual wait_for wait() { return {}; }
  /// In place of it, if it is a call.
  virtual void call() {}
  /// Lets a wait happen: the one that is there, or the next.
  virtual void complete() {}
  /// Whether what `complete` has offered is still there; takes it back.
  virtual bool untaken() {
    again();
    return true;
  }
  /// How many wait, as far as the primitive knows.
  virtual std::size_t waiting_now() { return 0; }

  const traits is;
};

using make_subject = std::unique_ptr<subject> (*)();
/// Registers a test for each rule.
bool enrol(const char* name, make_subject make);
template <class Subject>
bool enrol(const char* name) {
  return enrol(name, []() -> std::unique_ptr<subject> { return std::make_unique<Subject>(); });
}

}  // namespace oneloop::rules
