// What happens when a stack of a stack_pool overflows: a handler of SIGSEGV, on a stack of its own,
// that knows the guards and says which fiber it was. See stack.hpp.
#pragma once

#include <cstddef>

#include "oneloop/base/config.hpp"

namespace oneloop::inline v0 {

/// A slab of stacks, each with its guard below it.
struct guarded_slab {
  std::byte* base;
  std::size_t bytes;
  std::size_t guard;
  std::size_t stack;
};

/// From now on the handler knows the slab. The first slab installs the handler. Throws bad_alloc.
void watch_guards(const guarded_slab& s);
/// Before the slab is unmapped. The last one puts the handler back that was there before.
void forget_guards(const std::byte* base) noexcept;

/// Gives the calling thread a stack for the handler, unless it has one. Before it enters a stack of
/// a pool.
void prepare_for_overflow() noexcept;

}  // namespace oneloop::inline v0
