// sieve coroutine|fiber N: the first N primes: a filter a prime, channels of capacity 10 between
// them.
#include <cstdlib>
#include <memory>
#include <string_view>
#include <utility>

#include "../stopwatch.hpp"
#include "oneloop/channel/channel.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"

using namespace oneloop;
using numbers = std::shared_ptr<channel<int>>;

static task<> count(numbers out) {
  for (int n = 2;; ++n) co_await out->send(n);
}
static task<> filter(int prime, numbers in, numbers out) {
  for (;;) {
    const auto n = co_await in->receive();
    if (*n % prime != 0) co_await out->send(*n);
  }
}
static task<> coroutines(nursery& n, int primes, int* last) {
  auto in = std::make_shared<channel<int>>(10);
  n.start(count, in);
  for (; primes > 0; --primes) {
    const auto prime = co_await in->receive();
    auto out = std::make_shared<channel<int>>(10);
    n.start(filter, *prime, std::exchange(in, out), out);
    *last = *prime;
  }
  n.cancel();
}

static void count_fiber(numbers out) {
  for (int n = 2;; ++n) await(out->send(n));
}
static void filter_fiber(int prime, numbers in, numbers out) {
  for (;;) {
    const int n = *await(in->receive());
    if (n % prime != 0) await(out->send(n));
  }
}
static void fibers(nursery& n, int primes, int* last) {
  auto in = std::make_shared<channel<int>>(10);
  n.start(count_fiber, in);
  for (; primes > 0; --primes) {
    const int prime = *await(in->receive());
    auto out = std::make_shared<channel<int>>(10);
    n.start(filter_fiber, prime, std::exchange(in, out), out);
    *last = prime;
  }
  n.cancel();
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const int primes = std::atoi(argv[2]);
  int last = 0;
  const stopwatch watch;
  if (std::string_view{argv[1]} == "fiber") {
    run([&] { with_nursery(fibers, primes, &last); });
  } else {
    run(with_nursery(coroutines, primes, &last));
  }
  watch.print();
  return primes == 2000 && last != 17389 ? 1 : 0;
}
