// Counts the forks between the first process and this one: what belongs to a thread or a kernel
// object of the parent (a loop, a pool, a parked thread's eventfd) is recognised by its generation.
//
//     if (made_in_ != fork_generation()) ...   // inherited: do not touch
//
// Threads: any. Cost: one load after the first call. Internal to the library.
#pragma once

#include <cstdint>

#include "oneloop/base/config.hpp"

namespace oneloop::inline v0 {

ONELOOP_API std::uint32_t fork_generation() noexcept;

}  // namespace oneloop::inline v0
