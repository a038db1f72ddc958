#include <chrono>
#include <cstdio>

#include "oneloop/loop/sleep.hpp"
#include "oneloop/task/run.hpp"

oneloop::task<> hello() {
  std::puts("hello");
  co_await oneloop::sleep_for(std::chrono::seconds{1});
  std::puts("world");
}

int main() { oneloop::run(hello()); }
