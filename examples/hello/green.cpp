#include <chrono>
#include <cstdio>

#include "oneloop/fiber/run.hpp"
#include "oneloop/loop/sleep.hpp"

void hello() {
  std::puts("hello");
  oneloop::await(oneloop::sleep_for(std::chrono::seconds{1}));
  std::puts("world");
}

int main() { oneloop::run(hello); }
