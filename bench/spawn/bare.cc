// bare N: the yardstick: N coroutines that sleep for a second, with nothing but their frames and a heap of deadlines.
// Prints what spawn.cpp prints.
#include <chrono>
#include <coroutine>
#include <cstdio>
#include <cstdlib>
#include <queue>
#include <thread>
#include <vector>

#include "../stopwatch.hpp"

using steady = std::chrono::steady_clock;
using namespace std::chrono_literals;

struct sleeping {
  steady::time_point until;
  std::coroutine_handle<> who;
  bool operator<(const sleeping& o) const { return until > o.until; }  // the earliest on top
};
static std::priority_queue<sleeping> heap;

struct task {
  struct promise_type {
    task get_return_object() { return {}; }
    static std::suspend_never initial_suspend() noexcept { return {}; }
    static std::suspend_never final_suspend() noexcept { return {}; }
    static void return_void() {}
    static void unhandled_exception() { std::abort(); }
  };
};
struct sleep_for {
  steady::duration how_long;
  static bool await_ready() { return false; }
  void await_suspend(std::coroutine_handle<> h) const { heap.push({steady::now() + how_long, h}); }
  static void await_resume() {}
};

static long n, begun, ended;
static steady::time_point started;

static task sleeper() {
  if (++begun == n) started = steady::now();
  co_await sleep_for{1s};
  ++ended;
}

int main(int, char** argv) {
  n = std::atol(argv[1]);
  const long before = stopwatch::kilobytes("VmRSS:");
  const auto start = steady::now();
  for (long i = 0; i < n; ++i) sleeper();
  while (!heap.empty()) {
    const sleeping next = heap.top();
    if (next.until > steady::now()) std::this_thread::sleep_until(next.until);
    heap.pop();
    next.who.resume();
  }
  using seconds = std::chrono::duration<double>;
  const seconds wall = steady::now() - start, until = started - start;
  if (ended != n) return 1;
  std::printf("%.4f %.4f %.0f %.4f\n", wall.count(), stopwatch::processor(),
              double(stopwatch::kilobytes("VmHWM:") - before) * 1024 / double(n), until.count());
}
