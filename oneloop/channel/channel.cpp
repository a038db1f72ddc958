#include "oneloop/channel/channel.hpp"

#include <new>

#include "oneloop/base/error.hpp"
#include "oneloop/scope/context.hpp"

namespace oneloop::inline v0 {

void throw_refused(refusal why, const char* operation) {
  if (why == refusal::no_memory) throw std::bad_alloc{};
  throw closed_error{operation};
}

namespace detail {
void throw_closed_twice() { throw misuse{"channel.close: the channel is closed already"}; }

void check_range_for() {
  static_cast<void>(context::blocking(
      "for (auto v : channel) (in a coroutine: while (auto v = co_await c.receive()))"));
}
}  // namespace detail

}  // namespace oneloop::inline v0
