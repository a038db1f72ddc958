// heap cancelled|fired N: the yardstick: the same with nothing but a binary heap of the deadlines. What is taken back
// goes out of the middle, so each timer's place is known.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "../stopwatch.hpp"

using steady = std::chrono::steady_clock;

struct heap {
  struct entry {
    steady::time_point at;
    std::uint32_t timer;
  };
  std::vector<entry> all;
  std::vector<std::uint32_t> places;

  void put(std::size_t place, entry e) {
    all[place] = e;
    places[e.timer] = static_cast<std::uint32_t>(place);
  }
  void up(std::size_t place, entry e) {
    for (std::size_t above; place > 0 && e.at < all[above = (place - 1) / 2].at; place = above) put(place, all[above]);
    put(place, e);
  }
  void down(std::size_t place, entry e) {
    for (std::size_t below; (below = 2 * place + 1) < all.size(); place = below) {
      if (below + 1 < all.size() && all[below + 1].at < all[below].at) ++below;
      if (e.at <= all[below].at) break;
      put(place, all[below]);
    }
    put(place, e);
  }
  void add(std::uint32_t timer, steady::time_point at) {
    all.push_back({at, timer});
    up(all.size() - 1, all.back());
  }
  void remove(std::uint32_t timer) {
    const std::size_t place = places[timer];
    const entry last = all.back();
    all.pop_back();
    if (place == all.size()) return;
    if (place > 0 && last.at < all[(place - 1) / 2].at) {
      up(place, last);
    } else {
      down(place, last);
    }
  }
};

int main(int, char** argv) {
  using namespace std::chrono_literals;
  const bool fire = std::string_view{argv[1]} == "fired";
  const auto n = static_cast<std::uint32_t>(std::atol(argv[2]));
  heap timers;
  timers.places.resize(n);
  std::vector<std::uint32_t> order(n);
  for (std::uint32_t i = 0; i < n; ++i) order[i] = i;
  std::mt19937 random{1};
  std::shuffle(order.begin(), order.end(), random);
  std::uniform_int_distribution<int> later{0, 100'000};
  std::uint32_t fired = 0;
  const stopwatch watch;
  for (std::uint32_t i = 0; i < n; ++i)
    timers.add(i, steady::now() + (fire ? 0s : 10s) + std::chrono::microseconds{later(random)});
  if (fire) {
    while (!timers.all.empty()) {
      const auto now = steady::now();
      if (timers.all[0].at > now) std::this_thread::sleep_until(timers.all[0].at);
      for (; !timers.all.empty() && timers.all[0].at <= now; ++fired) timers.remove(timers.all[0].timer);
    }
  } else {
    for (const std::uint32_t i : order) timers.remove(i);
  }
  watch.print();
  return timers.all.empty() && fired == (fire ? n : 0) ? 0 : 1;
}
