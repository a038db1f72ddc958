#include "oneloop/scope/local.hpp"

namespace oneloop::inline v0 {

local_binding::~local_binding() = default;

// Iterative: a chain may be long.
void local_binding::drop(local_binding* b) noexcept {
  while (b != nullptr && b->references.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    local_binding* older = b->older;
    delete b;
    b = older;
  }
}

}  // namespace oneloop::inline v0
