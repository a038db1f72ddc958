// Stacks for fibers: cut from large slabs, each with a guard page below it, reused last in first
// out.
//
// A stack costs address space until it is touched: 100,000 of 64 KiB with guards take about 50 ms
// and a few dozen mappings on Linux 6.13 or later (MADV_GUARD_INSTALL). Older kernels guard by
// mprotect, where vm.max_map_count (65530) ends the matter near 32,000 stacks.
//
// The guard is 16 KiB: a function whose frame is larger may step over it. Who runs into one while a
// pool exists gets a message on stderr before the program dies of SIGSEGV as usual; a handler that
// was there before is called, and is put back with the last pool. (Not in programs with a
// sanitizer, which have handlers and messages of their own.)
//
//     oneloop::stack_pool pool;                  // one a loop; 64 KiB each
//     oneloop::stack s = pool.acquire();         // throws oneloop::error, naming the cause
//     ctx.create(s, entry, argument);
//     pool.release(s);
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "oneloop/base/config.hpp"

namespace oneloop::inline v0 {

/// A piece of memory to run on; `size` bytes from `bottom` up, used from the top down.
struct stack {
  std::byte* bottom = nullptr;
  std::size_t size = 0;

  [[nodiscard]] std::byte* top() const noexcept { return bottom + size; }
  explicit operator bool() const noexcept { return bottom != nullptr; }
};

/// How a stack's lower end is protected.
enum class guard_method : std::uint8_t {
  automatic,  // `marker` where the kernel has it, else `protect`
  marker,     // MADV_GUARD_INSTALL, Linux 6.13: splits no mapping
  protect,    // mprotect: two mappings a stack
};

/// Settings of a pool; the defaults are right for nearly everybody.
struct stack_pool_options {
  /// Usable bytes of each stack, rounded up to whole pages, at least 16 KiB. A library that was
  /// built with a sanitizer gives four times as much, because its frames are that much larger.
  std::size_t stack_size = 64 * 1024;
  guard_method guard = guard_method::automatic;

  /// With the stack size that ONELOOP_FIBER_STACK says, in bytes, if it is set. Throws misuse if it
  /// says something else.
  [[nodiscard]] ONELOOP_API static stack_pool_options from_environment();
};

/// Hands out stacks. Not for several threads: each loop (or pool thread) has its own.
///
/// Cost: an `acquire` that finds a released stack is a few ns and touches no new memory; a fresh
/// one costs one or two system calls. The address space of a pool is that of its busiest moment,
/// until the pool dies; the memory in unused stacks goes back to the system by `trim`.
class ONELOOP_API stack_pool {
 public:
  explicit stack_pool(stack_pool_options options = {});
  /// Unmaps everything: all stacks must have been released.
  ~stack_pool();
  stack_pool(const stack_pool&) = delete;
  stack_pool& operator=(const stack_pool&) = delete;

  /// A stack with a guard below it: the one released last, else a fresh one. A stack that was used
  /// before still holds old bytes.
  /// Errors: oneloop::error with the system's code; the text names the limit that was hit.
  [[nodiscard]] stack acquire();

  /// Takes back what `acquire` of this pool gave; nothing may run on it any more.
  void release(stack s) noexcept;

  /// Gives the memory of long unused stacks back to the system: of those that nobody has needed
  /// since the call before this one. Meant to be called now and then, by an idle loop say; the pool
  /// also does a little of it by itself in every 4,096th release. Returns how many stacks it
  /// emptied.
  std::size_t trim() noexcept;

  /// Usable bytes of each stack.
  [[nodiscard]] std::size_t stack_size() const noexcept { return size_; }
  /// How guards are made here; never `automatic`.
  [[nodiscard]] guard_method guard() const noexcept { return guard_; }

  struct statistics {
    std::size_t in_use;    // acquired and not yet released
    std::size_t peak;      // the highest `in_use` so far
    std::size_t idle;      // released, waiting for reuse
    std::size_t slabs;     // mappings made
    std::size_t reserved;  // bytes of address space
  };
  [[nodiscard]] statistics stats() const noexcept;

 private:
  struct slab {
    std::byte* base;
    std::size_t bytes;
  };
  stack carve();
  void add_slab();
  void place_guards();
  std::size_t empty_oldest(std::size_t most) noexcept;

  std::size_t size_;
  guard_method guard_;
  std::vector<slab> slabs_;
  std::byte* next_ = nullptr;  // the first uncut byte of the newest slab
  std::byte* end_ = nullptr;
  std::byte* guarded_ = nullptr;  // so far the newest slab has its guards
  std::vector<std::byte*> idle_;  // the back is the warmest
  std::size_t emptied_ = 0;       // so many of the first idle stacks hold no memory
  std::size_t low_water_ = 0;     // fewest idle stacks since the last trim
  std::size_t in_use_ = 0;
  std::size_t peak_ = 0;
  std::size_t cut_ = 0;
  std::uint32_t releases_ = 0;
};

}  // namespace oneloop::inline v0
