// run(): a loop, one task on it, and an orderly end.
//
//     oneloop::task<> hello() { co_await oneloop::sleep_for(1s); fmt::print("hello\n"); }
//     int main() { oneloop::run(hello()); }
//
// The task runs in the loop's root scope. When it has ended, what it left behind (deferreds,
// mostly) is cancelled and waited for, calls that other threads still owe are waited for too, and
// then its result is returned or its exception thrown. If something else in the root nursery
// failed, the task is cancelled and that failure is thrown.
#pragma once

#include <exception>
#include <optional>
#include <source_location>
#include <string_view>
#include <type_traits>
#include <utility>

#include "oneloop/loop/loop.hpp"
#include "oneloop/scope/root.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0 {

/// Runs `main` on `l`, which nobody runs at the moment; may be called again when it has returned.
template <class T>
T run(loop& l, task<T> main, std::source_location at = std::source_location::current()) {
  l.check_thread("run");
  if (!main) throw misuse{"run of a task that was moved from or awaited before"};
  auto& p = main.frame().promise();
  bool done = false;
  struct end : detail::task_end {
    bool& done;
  };
  const end told{{[](context& c, const detail::task_end& e, std::coroutine_handle<>) noexcept {
                   c.home()->note_progress();
                   static_cast<const end&>(e).done = true;
                 }},
                 done};
  {
    loop_root& root = loop_root::of(l);
    context self{party_kind::coroutine,   &l,           detail::resume_coroutine,
                 root.children().scope(), &root.self(), spawn_info{"main", at}};
    p.self_ = &self;
    p.next_.tell(told);
    self.target = main.frame().address();
    l.run_until(done, &self);
  }
  loop_root::rethrow(std::exchange(p.error_, nullptr), l.drain());
  return p.take();
}

/// The same on a loop of its own. `backend` as in loop's constructor.
template <class T>
T run(task<T> main, std::string_view backend = {},
      std::source_location at = std::source_location::current()) {
  loop l{backend};
  return run(l, std::move(main), at);
}

}  // namespace oneloop::inline v0
