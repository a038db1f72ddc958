// What the rules of scopes and nurseries run in: fibers and coroutines, on each kind of loop.
#pragma once

#include <gtest/gtest.h>

#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>

#include "oneloop/base/log.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/loop/backend.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/task/run.hpp"

namespace oneloop::rules {

/// `body` in a fiber, or as the coroutine that it is.
template <class F>
void on_every_loop(F body) {
  for (const char* backend : {"virtual", "epoll", "io_uring"}) {
    if (available_backends().find(backend) == std::string::npos) continue;
    SCOPED_TRACE(backend);
    loop l{backend};
    if constexpr (is_task_v<std::invoke_result_t<F&>>) {
      run(l, body());
    } else {
      run(l, body);
    }
  }
}
/// Also in a plain thread.
template <class F>
void everywhere(F body) {
  on_every_loop(body);
  SCOPED_TRACE("thread");
  body();
}
[[noreturn]] inline void fail(const char* text) { throw std::runtime_error{text}; }

/// What the log says (the tests run with ONELOOP_DEBUG=1).
struct heard {
  static inline std::string text;
  heard() {
    text.clear();
    set_log_hook([](severity, std::string_view line) noexcept { text.append(line).append("\n"); });
  }
  ~heard() { set_log_hook({}); }
};

}  // namespace oneloop::rules
