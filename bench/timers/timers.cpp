// timers cancelled|fired N: N timers at random times, all pending at once. Either all are taken
// back, in another order, or they fire, within 100 ms.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <deque>
#include <random>
#include <string_view>
#include <vector>

#include "../stopwatch.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/loop/timer_queue.hpp"

using namespace oneloop;
using namespace std::chrono_literals;

struct one_timer : timer_node {
  explicit one_timer(long& n, const long& a, bool& d) noexcept
      : timer_node{&fired}, left{n}, all{a}, done{d} {}
  static void fired(timer_node& t) noexcept {
    auto& me = static_cast<one_timer&>(t);
    if (++me.left == me.all) me.done = true;
  }
  long& left;
  const long& all;
  bool& done;
};

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const bool fire = std::string_view{argv[1]} == "fired";
  const long n = std::atol(argv[2]);
  loop l;
  long fired = 0;
  bool done = false;
  std::deque<one_timer> alarms;
  for (long i = 0; i < n; ++i) alarms.emplace_back(fired, n, done);
  std::vector<std::uint32_t> order(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::uint32_t>(i);
  std::mt19937 random{1};
  std::shuffle(order.begin(), order.end(), random);
  std::uniform_int_distribution<int> later{0, 100'000};
  const stopwatch watch;
  for (one_timer& a : alarms)
    l.timers().add(a, l.now() + (fire ? 0s : 10s) + std::chrono::microseconds{later(random)});
  if (fire) {
    l.run_until(done);
  } else {
    for (const std::uint32_t i : order) l.timers().remove(alarms[i]);
  }
  watch.print();
  return fire == (fired == n) ? 0 : 1;
}
