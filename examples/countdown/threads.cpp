#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

const auto start = std::chrono::steady_clock::now();

void countdown(int column, std::chrono::milliseconds delay) {
  for (int n = 3; n >= 0; --n) {
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    std::printf("%*s%d: %.1f s\n", 12 * column, "", n, elapsed.count());
    std::fflush(stdout);
    if (n > 0) std::this_thread::sleep_for(delay);
  }
}

int main() {
  std::vector<std::jthread> countdowns;
  int column = 0;
  for (auto delay : {700ms, 2000ms, 300ms, 1000ms})
    countdowns.emplace_back(countdown, column++, delay);
}
