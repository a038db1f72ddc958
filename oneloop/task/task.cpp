#include "oneloop/task/task.hpp"

namespace oneloop::inline v0::detail {

void resume_coroutine(ready_item& item) noexcept {
  auto& self = static_cast<context&>(item);
  self.home()->active = &self;
  std::coroutine_handle<>::from_address(self.target).resume();
}

}  // namespace oneloop::inline v0::detail
