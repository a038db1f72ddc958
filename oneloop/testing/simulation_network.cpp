// Apart, so that programs whose simulations have no network are linked without one.
#include "oneloop/testing/network.hpp"
#include "oneloop/testing/simulation.hpp"

namespace oneloop::inline v0::testing {

network& simulation::network() {
  if (network_ == nullptr) network_ = std::make_shared<testing::network>(loop_);
  return *network_;
}

}  // namespace oneloop::inline v0::testing
