// process N: starts /bin/true N times, 50 at once. Prints seconds of wall time and of processor
// time.
#include <cstdio>
#include <cstdlib>

#include "../stopwatch.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/process/child.hpp"
#include "oneloop/task/region.hpp"

using namespace oneloop;

static task<> some(int* left, int* failed) {
  while (*left > 0) {
    --*left;
    process::child c{{.arguments = {"/bin/true"}, .output = process::stdio::none}};
    const auto status = co_await c.wait();
    *failed += status.ok() ? 0 : 1;
  }
}

int main(int argc, char** argv) {
  int left = argc > 1 ? std::atoi(argv[1]) : 2000, failed = 0;
  const stopwatch watch;
  run([&] {
    with_nursery([&](nursery& n) {
      for (int i = 0; i < 50; ++i) n.start(some, &left, &failed);
    });
  });
  if (failed != 0) return 1;
  watch.print();
}
