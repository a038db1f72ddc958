#include "oneloop/channel/queue.hpp"

#include "oneloop/base/error.hpp"

namespace oneloop::inline v0::detail {

std::size_t queue_capacity(std::size_t capacity) {
  if (capacity == 0) throw misuse{"queue: capacity 0; for a rendezvous use a channel"};
  return capacity;
}

void throw_done_too_often() {
  throw misuse{"queue.task_done: called more often than something was put"};
}

}  // namespace oneloop::inline v0::detail
