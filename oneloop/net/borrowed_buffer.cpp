#include "oneloop/net/borrowed_buffer.hpp"

#include <utility>
#include <vector>

#include "oneloop/base/aligned_bytes.hpp"
#include "oneloop/loop/loop.hpp"

namespace oneloop::inline v0::net {
namespace {

struct spare_buffers final : loop_extension {
  explicit spare_buffers(loop&) { blocks.reserve(most); }
  static constexpr std::size_t most = 8;
  std::vector<aligned_bytes> blocks;
};

aligned_bytes take() {
  if (loop* const l = loop::current()) {
    auto& spare = l->extension<spare_buffers>().blocks;
    if (!spare.empty()) {
      aligned_bytes b = std::move(spare.back());
      spare.pop_back();
      return b;
    }
  }
  return make_aligned_bytes(borrowed_buffer::size);
}

}  // namespace

borrowed_buffer::borrowed_buffer() : bytes_{take().release()} {}

borrowed_buffer::~borrowed_buffer() {
  aligned_bytes mine{bytes_};
  loop* const l = loop::current();
  if (l == nullptr) return;
  auto& spare = l->extension<spare_buffers>().blocks;
  if (spare.size() < spare_buffers::most) spare.push_back(std::move(mine));
}

}  // namespace oneloop::inline v0::net
