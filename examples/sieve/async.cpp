#include <cstdio>
#include <cstdlib>
#include <memory>

#include "oneloop/channel/channel.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"
using namespace oneloop;
using numbers = std::shared_ptr<channel<int>>;

task<> count_from(int n, numbers out) {
  for (;; ++n) co_await out->send(n);
}

task<> filter(int prime, numbers in, numbers out) {
  for (;;) {
    const auto n = co_await in->receive();
    if (*n % prime != 0) co_await out->send(*n);
  }
}

task<> sieve(nursery& n, int count) {
  auto in = std::make_shared<channel<int>>(10);
  n.start(count_from, 2, in);
  while (count-- > 0) {
    const auto prime = co_await in->receive();
    std::printf("%d\n", *prime);
    auto out = std::make_shared<channel<int>>(10);
    n.start(filter, *prime, std::exchange(in, out), out);
  }
  n.cancel();
}

int main(int argc, char** argv) { run(with_nursery(sieve, argc > 1 ? std::atoi(argv[1]) : 100)); }
