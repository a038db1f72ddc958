#include <cstdio>
#include <string>

#include "oneloop/fiber/green.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/loop/sleep.hpp"
using namespace oneloop;
using namespace std::chrono_literals;

void show(const std::string& text) {
  std::printf("\r%s\r", text.c_str());
  std::fflush(stdout);
}

void spin(std::string message) {
  try {
    for (std::size_t i = 0;; ++i) {
      show("|/-\\"[i % 4] + (" " + message));
      await(sleep_for(100ms));
    }
  } catch (const cancelled&) {
    show(std::string(message.size() + 2, ' '));
    throw;
  }
}

int slow_function() {
  await(sleep_for(3s));
  return 42;
}

int supervisor() {
  fiber<> spinner = spawn(spin, "thinking!");
  const int answer = slow_function();
  spinner.kill();
  return answer;
}

int main() { std::printf("Answer: %d\n", run(supervisor)); }
