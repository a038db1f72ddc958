// timers cancelled|fired N: the same with Asio's steady_timer.
#include <algorithm>
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <random>
#include <string_view>
#include <vector>

#include "../stopwatch.hpp"

int main(int, char** argv) {
  using namespace std::chrono_literals;
  const bool fire = std::string_view{argv[1]} == "fired";
  const long n = std::atol(argv[2]);
  asio::io_context io{1};
  long ended = 0;
  std::deque<asio::steady_timer> timers;
  for (long i = 0; i < n; ++i) timers.emplace_back(io);
  std::vector<std::uint32_t> order(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::uint32_t>(i);
  std::mt19937 random{1};
  std::shuffle(order.begin(), order.end(), random);
  std::uniform_int_distribution<int> later{0, 100'000};
  const stopwatch watch;
  for (auto& t : timers) {
    t.expires_after((fire ? 0s : 10s) + std::chrono::microseconds{later(random)});
    t.async_wait([&ended](asio::error_code) { ++ended; });
  }
  if (!fire) {
    for (const std::uint32_t i : order) timers[i].cancel();
  }
  io.run();
  watch.print();
  return ended == n ? 0 : 1;
}
