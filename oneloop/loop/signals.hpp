// Signals as an operation: a loop waits for SIGINT as it waits for a socket.
//
//     oneloop::signal_set stop{SIGINT, SIGTERM};   // from here on they no longer end the program
//     int signo = co_await stop.next();
//
// One handler serves the whole process. It is installed when the first signal_set asks for a signal
// and the previous disposition is restored when the last one goes. Every signal_set gets every
// signal of its set: two loops that both wait for SIGINT are both told. As in the kernel, several
// arrivals of one signal before anybody looks count once.
//
// Threads: a signal_set belongs to the loop it was made on; make, use and destroy it there. It must
// not outlive a wait on it; it may outlive the loop.
// Errors: the constructor throws loop_not_running outside a loop, error if a signal cannot be
// caught (SIGKILL), limit_exceeded when 256 loops wait for signals. Fork: in a forked child the
// handler does what was done before it was installed.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>

#include "oneloop/base/config.hpp"
#include "oneloop/base/intrusive.hpp"
#include "oneloop/loop/waiter.hpp"

namespace oneloop::inline v0 {

class inbox;
class loop;
class signal_set;

/// Waits for the next signal of a set; the lowest number first when several are pending.
///
/// Cancellation: retractable; a signal that was not taken stays pending in the set.
class ONELOOP_API next_signal : list_hook<> {
 public:
  explicit next_signal(signal_set& set) noexcept : set_{&set} {}
  next_signal(next_signal&& o) noexcept : set_{o.set_} {}

  bool await_ready() noexcept;
  /// Throws misuse if `w` lives on another loop than the set.
  bool await_suspend(waiter& w);
  /// The signal's number.
  int await_resume() noexcept { return signo_; }

  enlisted enlist(waiter& w);
  void delist() noexcept { unlink(); }
  [[nodiscard]] bool won() const noexcept { return signo_ != 0; }

 private:
  friend class signal_set;
  friend class intrusive_list<next_signal>;
  static void cancel(void* op, waiter& w) noexcept;
  static const operation_info info;
  signal_set* set_;
  waiter* waiter_ = nullptr;
  int signo_ = 0;
};

class ONELOOP_API signal_set : list_hook<> {
 public:
  signal_set(std::initializer_list<int> signals);
  ~signal_set();
  signal_set(const signal_set&) = delete;
  signal_set& operator=(const signal_set&) = delete;

  /// See next_signal.
  [[nodiscard]] next_signal next() noexcept { return next_signal{*this}; }

 private:
  friend class next_signal;
  friend class intrusive_list<signal_set>;
  friend class signal_hub;
  int take() noexcept;
  void deliver(std::uint64_t bits) noexcept;

  loop* loop_;
  std::uint64_t mask_ = 0;     // bit signo - 1
  std::uint64_t pending_ = 0;  // came, and nobody has taken it
  intrusive_list<next_signal> waiting_;
};

// ---- for loop.cpp ----

/// The loop of this inbox is going: the handler does not touch the inbox afterwards.
void forget_signals(inbox& mail) noexcept;
/// Hands what has come to the signal sets of `l`.
void dispatch_signals(loop& l) noexcept;
/// Whether somebody on `l` waits for a signal.
bool awaits_signals(loop& l);

}  // namespace oneloop::inline v0
