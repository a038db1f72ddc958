// What a simulation's name servers say to one question (socket_kernel::ask). Internal to the
// library.
#pragma once

#include <vector>

#include "oneloop/base/clock.hpp"
#include "oneloop/net/address.hpp"
#include "oneloop/net/dns.hpp"

namespace oneloop::inline v0::net {

struct name_answer {
  duration delay{};  // until it arrives; duration::max(): never
  dns_errc error{};  // where there are no addresses
  std::vector<ip_address> addresses;
  duration ttl{};
};

}  // namespace oneloop::inline v0::net
