#include <chrono>
#include <cstdio>
#include <thread>

#include "oneloop/loop/sleep.hpp"
#include "oneloop/thread/thread.hpp"

void hello() {
  std::puts("hello");
  oneloop::await(oneloop::sleep_for(std::chrono::seconds{1}));
  std::puts("world");
}

int main() { std::jthread{hello}; }
