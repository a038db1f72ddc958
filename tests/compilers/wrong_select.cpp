// What is no case of a select: as wrong_chains.cpp.
#include <array>
#include <string>

#include "oneloop/channel/channel.hpp"
#include "oneloop/channel/select.hpp"
#include "oneloop/net/tcp.hpp"
#include "oneloop/task/spawn.hpp"

using namespace oneloop;

task<int> a_task();

// clang-format off
void selects(channel<int>& c, net::tcp_stream& s, std::array<std::byte, 9>& buffer, const joinable<int>& j) {
  (void)select(c.receive(), s.read_some(buffer));  // mustbesomethingthatcanbetakenback s.readable()
  (void)select(a_task(), c.receive());  // mustbesomethingthatcanbetakenback spawnthetaskandselectitsjoin()
  (void)select(c.receive(), 5);  // acaseisanoperation
  (void)select(otherwise(), c.receive());  // otherwise()mustbethelastcase
  (void)when(true, s.read_some(buffer));  // when:takeswhatmaybeacaseofaselect

  (void)select(c.receive(), s.readable(), j, otherwise());
}
