#include <chrono>
#include <cstdio>
#include <string>
#include <thread>

#include "oneloop/scope/timeout.hpp"
#include "oneloop/sync/event.hpp"
using namespace oneloop;
using namespace std::chrono_literals;

void show(const std::string& text) {
  std::printf("\r%s\r", text.c_str());
  std::fflush(stdout);
}

void spin(const std::string& message, event& done) {
  for (std::size_t i = 0; !await(move_on_after(100ms, done.wait())); ++i)
    show("|/-\\"[i % 4] + (" " + message));
  show(std::string(message.size() + 2, ' '));
}

int slow_function() {
  std::this_thread::sleep_for(3s);
  return 42;
}

int supervisor() {
  event done;
  std::jthread spinner{spin, "thinking!", std::ref(done)};
  const int answer = slow_function();
  done.set();
  return answer;
}

int main() { std::printf("Answer: %d\n", supervisor()); }
