// The eight models: who waits for the answers while URLs are checked. Verdicts, retries, limits and
// the order of things are the same in all of them: one schedule decides those (check.hpp).
//
//     auto summary = co_await check_urls(urls, report, check_options{}.model(check_model::green));
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace oneloop::inline v0 {

/// What stands for one check under way.
enum class check_model : std::uint8_t {
  sequential,  // nothing: one check at a time, whatever check_options::concurrency says
  threads,     // a thread of its own, with a loop in place
  processes,   // a worker process (see worker_arguments and serve_checks)
  callbacks,   // a deferred
  green,       // a fiber
  async,       // the task that asked
  channels,    // a coroutine that takes jobs from a channel and answers into one
  futures,     // a future of a pool of threads
};

/// Their names, in that order.
inline constexpr std::array<std::string_view, 8> check_models{
    "sequential", "threads", "processes", "callbacks", "green", "async", "channels", "futures"};

[[nodiscard]] constexpr std::string_view to_string(check_model m) noexcept {
  return check_models[static_cast<std::size_t>(m)];
}

}  // namespace oneloop::inline v0
