#include <chrono>
#include <cstdio>

#include "oneloop/deferred/react.hpp"
#include "oneloop/loop/sleep.hpp"

oneloop::deferred<> hello() {
  std::puts("hello");
  return oneloop::defer(oneloop::sleep_for(std::chrono::seconds{1})).add_callback([] {
    std::puts("world");
  });
}

int main() { return oneloop::react(hello); }
