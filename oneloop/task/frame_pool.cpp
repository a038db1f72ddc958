#include "oneloop/task/frame_pool.hpp"

#include <cstdint>
#include <new>

namespace oneloop::inline v0 {
namespace {

// As malloc's chunks, 8 bytes of which are its own: nothing is lost to rounding.
constexpr std::size_t granule = 16;
constexpr std::size_t classes = 256;  // blocks of up to 4 KiB are pooled
constexpr std::size_t kept_bytes = 256 * 1024;

struct block {
  block* next;
};

// Trivial to construct and without a destructor, so that a frame freed late in a thread's life (by
// another thread_local's destructor) still finds it; `drainer` gives the memory back.
struct lists {
  block* head[classes];
  std::uint32_t count[classes];
  bool ended;
};
constinit thread_local lists t_lists{};

struct drainer {
  bool armed = false;
  ~drainer() {
    t_lists.ended = true;
    for (std::size_t c = 0; c < classes; ++c) {
      while (block* b = t_lists.head[c]) {
        t_lists.head[c] = b->next;
        ::operator delete(b);
      }
    }
  }
};
thread_local drainer t_drainer;

constexpr std::size_t class_of(std::size_t size) noexcept {
  return (size + granule / 2 - 1) / granule;
}
constexpr std::size_t size_of(std::size_t c) noexcept { return c * granule + granule / 2; }

}  // namespace

[[gnu::noinline]] void* frame_pool::allocate(std::size_t size) {
  const std::size_t c = class_of(size);
  if (c >= classes) return ::operator new(size);
  lists& l = t_lists;
  if (block* b = l.head[c]) {
    l.head[c] = b->next;
    --l.count[c];
    return b;
  }
  return ::operator new(size_of(c));
}

[[gnu::noinline]] void frame_pool::deallocate(void* p, std::size_t size) noexcept {
  const std::size_t c = class_of(size);
  if (c >= classes) {
    ::operator delete(p);
    return;
  }
  lists& l = t_lists;
  if (l.ended || l.count[c] * size_of(c) >= kept_bytes) {
    ::operator delete(p);
    return;
  }
  if (!t_drainer.armed) t_drainer.armed = true;
  auto* b = static_cast<block*>(p);
  b->next = l.head[c];
  l.head[c] = b;
  ++l.count[c];
}

}  // namespace oneloop::inline v0
