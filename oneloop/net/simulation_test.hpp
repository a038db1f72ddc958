// For tests of net/ whose bodies run on the simulated network as well as on every kernel backend:
// what passes on both, the simulation does as Linux does. Not installed.
#pragma once

#include "oneloop/net/net_test.hpp"
#include "oneloop/testing/network.hpp"

namespace oneloop::inline v0::test {

class on_backends_and_simulation : public on_backends {
 protected:
  [[nodiscard]] static bool simulated() { return GetParam() == "simulation"; }

  /// Runs the coroutine `body`, for at most 30 seconds.
  template <class Body>
  void go(Body body) {
    if (!simulated()) return on_backends::go(std::move(body));
    loop l{"virtual"};
    testing::network n{l};
    run(l, bounded(body));
  }
};

inline std::vector<std::string> backends_and_simulation() {
  auto names = kernel_backends();
  names.emplace_back("simulation");
  return names;
}

#define ON_BACKENDS_AND_SIMULATION(suite)                                               \
  INSTANTIATE_TEST_SUITE_P(                                                             \
      backends, suite, ::testing::ValuesIn(::oneloop::test::backends_and_simulation()), \
      [](const ::testing::TestParamInfo<std::string>& chosen) { return chosen.param; })

}  // namespace oneloop::inline v0::test
