// SplitMix64 (Steele, Lea, Flood): a good next number from any state. Internal to the library.
#pragma once

#include <cstdint>

#include "oneloop/base/config.hpp"

namespace oneloop::inline v0 {

inline std::uint64_t split_mix(std::uint64_t& state) noexcept {
  std::uint64_t z = (state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

}  // namespace oneloop::inline v0
