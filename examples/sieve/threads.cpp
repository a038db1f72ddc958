#include <cstdio>
#include <cstdlib>
#include <memory>

#include "oneloop/channel/channel.hpp"
#include "oneloop/thread/thread.hpp"
using namespace oneloop;
using numbers = std::shared_ptr<channel<int>>;

void count_from(int n, numbers out) {
  for (;; ++n) await(out->send(n));
}

void filter(int prime, numbers in, numbers out) {
  for (;;) {
    const int n = *await(in->receive());
    if (n % prime != 0) await(out->send(n));
  }
}

void sieve(nursery& n, int count) {
  auto in = std::make_shared<channel<int>>(10);
  n.start(count_from, 2, in);
  while (count-- > 0) {
    const int prime = *await(in->receive());
    std::printf("%d\n", prime);
    auto out = std::make_shared<channel<int>>(10);
    n.start(filter, prime, std::exchange(in, out), out);
  }
  n.cancel();
}

int main(int argc, char** argv) { with_nursery(sieve, argc > 1 ? std::atoi(argv[1]) : 100); }
