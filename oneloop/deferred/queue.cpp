#include "oneloop/deferred/queue.hpp"

#include <string>

namespace oneloop::inline v0 {

queue_overflow::queue_overflow(std::size_t size)
    : error{errc::limit_exceeded,
            "deferred_queue::put: it is full (size " + std::to_string(size) + ")"} {}

queue_underflow::queue_underflow(std::size_t backlog)
    : error{errc::limit_exceeded,
            "deferred_queue::get: it is empty, and " + std::to_string(backlog) + " wait already"} {}

}  // namespace oneloop::inline v0
