// What not to do: a blocking sleep stops the loop, and one countdown runs after the other.
#include <cstdio>
#include <thread>

#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"
using namespace oneloop;
using namespace std::chrono_literals;

const auto start = std::chrono::steady_clock::now();

task<> countdown(int column, duration delay) {
  for (int n = 3; n >= 0; --n) {
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    std::printf("%*s%d: %.1f s\n", 12 * column, "", n, elapsed.count());
    std::fflush(stdout);
    if (n > 0) std::this_thread::sleep_for(delay);
  }
  co_return;
}

task<> four_countdowns(nursery& n) {
  int column = 0;
  for (auto delay : {700ms, 2000ms, 300ms, 1000ms}) n.start(countdown, column++, delay);
  co_return;
}

int main() { run(with_nursery(four_countdowns)); }
