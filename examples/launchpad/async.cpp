// Three countdowns at once. own_loop is the same, on a loop of its own.
#include <cstdio>

#include "oneloop/loop/sleep.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"
using namespace oneloop;
using namespace std::chrono_literals;

task<> countdown(char label, int from, duration delay) {
  std::printf("%c waits %d s\n", label, static_cast<int>(delay / 1s));
  co_await sleep_for(delay);
  for (int n = from; n > 0; --n) {
    std::printf("%c T-minus %d\n", label, n);
    co_await sleep_for(1s);
  }
  std::printf("%c lift-off!\n", label);
}

task<> launch(nursery& n) {
  n.start(countdown, 'A', 5, 0s);
  n.start(countdown, 'B', 3, 2s);
  n.start(countdown, 'C', 4, 1s);
  co_return;
}

int main() { run(with_nursery(launch)); }
