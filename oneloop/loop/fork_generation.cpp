#include <pthread.h>

#include <atomic>

#include "oneloop/loop/fork_generation_internal.hpp"

namespace oneloop::inline v0 {
namespace {

constinit std::atomic<std::uint32_t> g_forks{0};

}  // namespace

std::uint32_t fork_generation() noexcept {
  [[maybe_unused]] static const int registered =
      ::pthread_atfork(nullptr, nullptr, [] { g_forks.fetch_add(1, std::memory_order_relaxed); });
  return g_forks.load(std::memory_order_relaxed);
}

}  // namespace oneloop::inline v0
