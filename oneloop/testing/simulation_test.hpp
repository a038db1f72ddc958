// What the tests of simulations have in common.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "oneloop/base/log.hpp"

namespace oneloop::inline v0::test {

// What a test sets in the environment, for as long as it runs.
struct environment {
  environment(const char* n, const char* value) : name{n} {
    if (const char* v = std::getenv(n)) before = v;
    if (value != nullptr) {
      ::setenv(n, value, 1);
    } else {
      ::unsetenv(n);
    }
  }
  ~environment() {
    if (before.empty()) {
      ::unsetenv(name);
    } else {
      ::setenv(name, before.c_str(), 1);
    }
  }
  environment(const environment&) = delete;
  environment& operator=(const environment&) = delete;
  const char* name;
  std::string before;
};

// The log, for as long as a test runs.
inline std::vector<std::string> g_lines;
struct caught_log {
  caught_log() {
    g_lines.clear();
    before = set_log_hook([](severity s, std::string_view text) noexcept {
      g_lines.push_back(std::string{to_string(s)}.append(": ").append(text));
    });
  }
  ~caught_log() { set_log_hook(before); }
  caught_log(const caught_log&) = delete;
  caught_log& operator=(const caught_log&) = delete;
  log_hook before;
};

template <class E, class F>
std::string thrown_by(F&& f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

/// Not replayed, whatever the environment says.
class in_simulation : public ::testing::Test {
  environment no_seed_{"ONELOOP_SEED", nullptr};
};

}  // namespace oneloop::inline v0::test
