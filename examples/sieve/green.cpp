#include "oneloop/fiber/green.hpp"

#include <cstdio>
#include <cstdlib>
#include <memory>

#include "oneloop/channel/channel.hpp"
#include "oneloop/fiber/run.hpp"
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

void sieve(int count) {
  auto in = std::make_shared<channel<int>>(10);
  spawn(count_from, 2, in);
  while (count-- > 0) {
    const int prime = *await(in->receive());
    std::printf("%d\n", prime);
    auto out = std::make_shared<channel<int>>(10);
    spawn(filter, prime, std::exchange(in, out), out);
  }
}

int main(int argc, char** argv) { run(sieve, argc > 1 ? std::atoi(argv[1]) : 100); }
