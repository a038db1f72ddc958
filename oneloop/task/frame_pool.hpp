// Where coroutine frames and children's records live: per-thread free lists of a few size classes,
// so that starting and finishing tasks allocates nothing once warm.
//
// *Cost*: a few ns each way; at most 256 KiB a thread and class are kept. *Threads*: a block may be
// freed on another thread than it came from; it then joins that thread's lists.
#pragma once

#include <cstddef>

#include "oneloop/base/config.hpp"

namespace oneloop::inline v0 {

class ONELOOP_API frame_pool {
 public:
  /// Throws std::bad_alloc. Aligned as operator new aligns.
  [[nodiscard]] static void* allocate(std::size_t size);
  static void deallocate(void* block, std::size_t size) noexcept;
};

/// Base of classes whose objects come from the pool.
struct pooled {
  static void* operator new(std::size_t size) { return frame_pool::allocate(size); }
  static void operator delete(void* p, std::size_t size) noexcept {
    frame_pool::deallocate(p, size);
  }
};

}  // namespace oneloop::inline v0
