// What the tests of this folder share. Includes nothing of GoogleTest, but belongs to the tests.
#pragma once

#include <chrono>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "oneloop/base/log.hpp"
#include "oneloop/deferred/deferred.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/nursery.hpp"
#include "oneloop/scope/region.hpp"

namespace oneloop {

using namespace std::chrono_literals;

/// Runs a function on a fiber, or a task, of a loop with a virtual clock.
template <class F>
void run_virtual(F&& fn) {
  loop l{"virtual"};
  run(l, std::forward<F>(fn));
}

/// The same, with a nursery: it also runs what the body has left in the loop's queue.
template <class F>
void on_loop(F&& body) {
  run_virtual([&] { with_nursery([&](nursery&) { body(); }); });
}

inline std::runtime_error no(const char* what) { return std::runtime_error{what}; }

/// What has been logged while this lives.
struct log_capture {
  log_capture() : before{set_log_hook(note)} { text().clear(); }
  ~log_capture() { set_log_hook(before); }
  static std::string& text() {
    static std::string t;
    return t;
  }
  static void note(severity, std::string_view line) noexcept { text().append(line).append("\n"); }
  log_hook before;
};

}  // namespace oneloop
