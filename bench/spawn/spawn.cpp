// spawn WHAT N: N parties that sleep for a second, all at once. Prints seconds of wall time, of
// processor time, bytes a party (growth of the peak of resident memory), and seconds until all of
// them slept. WHAT is coroutine or fiber.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "../stopwatch.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/task/region.hpp"

using namespace oneloop;
using namespace std::chrono_literals;

struct all {
  long n;
  long begun = 0, ended = 0;
  std::chrono::steady_clock::time_point start{}, started{};
  void begin() {
    if (++begun == n) started = std::chrono::steady_clock::now();
  }
};

static task<> coroutine(all* a) {
  a->begin();
  co_await sleep_for(1s);
  ++a->ended;
}
static void fiber(all* a) {
  a->begin();
  await(sleep_for(1s));
  ++a->ended;
}

int main(int argc, char** argv) {
  const bool fibers = argc > 1 && std::string_view{argv[1]} == "fiber";
  all a{.n = argc > 2 ? std::max(std::atol(argv[2]), 1L) : 100'000};
  const long before = stopwatch::kilobytes("VmRSS:");
  a.start = std::chrono::steady_clock::now();
  run([&] {
    with_nursery([&](nursery& n) {
      for (long i = 0; i < a.n; ++i) {
        if (fibers) {
          n.start(fiber, &a);
        } else {
          n.start(coroutine, &a);
        }
      }
    });
  });
  using seconds = std::chrono::duration<double>;
  const seconds wall = std::chrono::steady_clock::now() - a.start, until = a.started - a.start;
  if (a.ended != a.n) return 1;
  std::printf("%.4f %.4f %.0f %.4f\n", wall.count(), stopwatch::processor(),
              double(stopwatch::kilobytes("VmHWM:") - before) * 1024 / double(a.n), until.count());
}
