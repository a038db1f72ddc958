#include <chrono>
#include <cstdio>

#include "oneloop/deferred/deferred.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/loop/sleep.hpp"

void hello(oneloop::nursery&) {
  std::puts("hello");
  oneloop::defer(oneloop::sleep_for(std::chrono::seconds{1})).add_callback([] {
    std::puts("world");
  });
}

int main() {
  oneloop::run([] { oneloop::with_nursery(hello); });
}
