// For the tests of this layer, at which no model exists yet: a waiter that counts its resumptions,
// and a coroutine just large enough to write a test with. Not installed.
#pragma once

#include <gtest/gtest.h>

#include <coroutine>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "oneloop/base/error.hpp"
#include "oneloop/loop/backend.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/loop/parker.hpp"
#include "oneloop/loop/waiter.hpp"

namespace oneloop::inline v0::test {

/// A callback's waiter: notes that it was resumed and how.
class test_waiter : public waiter {
 public:
  explicit test_waiter(loop& l)
      : waiter{&l, [](ready_item& item) noexcept {
                 auto& self = static_cast<test_waiter&>(item);
                 self.ended(self.finish());
               }} {}

  void ended(outcome how) {
    result = how;
    ++resumed;
    done = true;
    if (then) then();
  }

  bool done = false;
  int resumed = 0;
  outcome result{};
  std::function<void()> then;
};

/// Starts `op` for `w`, on the loop's thread while it runs.
template <operation Op>
void start(test_waiter& w, Op& op) {
  w.done = false;
  if (op.await_ready() || !op.await_suspend(w)) w.ended(outcome::completed);
}

/// Runs `l` until `op` has ended.
template <operation Op>
outcome run(loop& l, Op& op) {
  test_waiter w{l};
  l.post([&] { start(w, op); });
  l.run_until(w.done);
  return w.result;
}

/// Calls `f` on the loop, and runs it until that has been done.
inline void on(loop& l, std::function<void()> f) {
  bool done = false;
  l.post([&] {
    f();
    done = true;
  });
  l.run_until(done);
}

/// Waits in the calling plain thread; false if `deadline` passed first, then `op` was cancelled.
template <operation Op>
bool park(Op& op, time_point deadline = never) {
  if (op.await_ready()) return true;
  thread_waiter w;
  if (!op.await_suspend(w)) return true;
  bool asked = false;
  while (!w.resumed()) {
    if (!parker::current().park(asked ? never : deadline)) {
      asked = true;
      w.request_cancel();
    }
  }
  return w.finish() == outcome::completed;
}

/// A coroutine that starts at once on the running loop and owns itself. `cancelled` ends it.
struct party {
  struct promise_type {
    party get_return_object() noexcept { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() {
      try {
        throw;
      } catch (const cancelled&) {
      } catch (const std::exception& e) {
        ADD_FAILURE() << e.what();
      }
    }
    template <class Op>
    struct awaiter {
      Op& op;
      waiter w{loop::current(), [](ready_item& item) noexcept {
                 std::coroutine_handle<>::from_address(static_cast<waiter&>(item).target).resume();
               }};
      bool await_ready() { return op.await_ready(); }
      bool await_suspend(std::coroutine_handle<> h) {
        w.target = h.address();
        return op.await_suspend(w);
      }
      result_of<Op> await_resume() {
        if (w.finish() == outcome::cancelled) throw cancelled{};
        return op.await_resume();
      }
    };
    template <operation Op>
    awaiter<Op> await_transform(Op&& op) {
      return {op};
    }
    template <operation Op>
    awaiter<Op> await_transform(Op& op) {
      return {op};
    }
  };
};

/// The backends on which I/O works here.
inline std::vector<std::string> io_backends() {
  std::vector<std::string> names{"epoll"};
  if (uring_available()) names.emplace_back("io_uring");
  return names;
}
inline std::vector<std::string> all_backends() {
  auto names = io_backends();
  names.emplace_back("virtual");
  return names;
}

/// Parameterised over the name of a backend.
class backend_test : public ::testing::TestWithParam<std::string> {};

#define ONELOOP_ON_BACKENDS(suite, names)                               \
  INSTANTIATE_TEST_SUITE_P(backends, suite, ::testing::ValuesIn(names), \
                           [](const auto& chosen) { return chosen.param; })

}  // namespace oneloop::inline v0::test
