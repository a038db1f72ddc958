#include <cstdio>
#include <string>

#include "oneloop/loop/sleep.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"
using namespace oneloop;
using namespace std::chrono_literals;

void show(const std::string& text) {
  std::printf("\r%s\r", text.c_str());
  std::fflush(stdout);
}

task<> spin(std::string message) {
  try {
    for (std::size_t i = 0;; ++i) {
      show("|/-\\"[i % 4] + (" " + message));
      co_await sleep_for(100ms);
    }
  } catch (const cancelled&) {
    show(std::string(message.size() + 2, ' '));
    throw;
  }
}

task<int> slow_function() {
  co_await sleep_for(3s);
  co_return 42;
}

task<int> supervisor(nursery& n) {
  n.start(spin, "thinking!");
  const int answer = co_await slow_function();
  n.cancel();
  co_return answer;
}

int main() { std::printf("Answer: %d\n", run(with_nursery(supervisor))); }
