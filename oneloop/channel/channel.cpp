#include "oneloop/channel/channel.hpp"

#include "oneloop/base/error.hpp"

namespace oneloop::inline v0 {

void throw_closed(const char* operation) { throw closed_error{operation}; }

namespace detail {
void throw_closed_twice() { throw misuse{"channel.close: the channel is closed already"}; }
}  // namespace detail

}  // namespace oneloop::inline v0
