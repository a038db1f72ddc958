#include "oneloop/channel/select.hpp"

#include <sys/random.h>

#include "oneloop/loop/loop.hpp"

namespace oneloop::inline v0::detail {
namespace {

// For threads without a loop: SplitMix64 (Steele, Lea, Flood) from a seed of the kernel's.
[[gnu::noinline]] std::uint64_t thread_random() noexcept {
  thread_local std::uint64_t state = [] {
    std::uint64_t seed = 0;
    if (::getrandom(&seed, sizeof seed, GRND_NONBLOCK) < 0) seed = 1;
    return seed;
  }();
  std::uint64_t z = (state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

}  // namespace

std::uint64_t select_random(loop* home) noexcept {
  return home != nullptr ? home->random() : thread_random();
}

loop* select_home() noexcept { return loop::current(); }

}  // namespace oneloop::inline v0::detail
