// Three countdowns on a loop that is written here: a heap of timers and a clock. Tasks know nothing
// of the loop that drives them: they wait for operations, and somebody wakes their waiters.
#include <algorithm>
#include <cstdio>
#include <functional>
#include <thread>
#include <vector>

#include "oneloop/task/spawn.hpp"
using namespace oneloop;
using namespace std::chrono_literals;

class own_loop {
 public:
  /// What a task awaits here.
  struct sleep {
    own_loop& on;
    time_point until;
    bool await_ready() const { return false; }
    bool await_suspend(waiter& w) {
      static constexpr operation_info info{"own_loop::sleep", &cancel};
      w.arm(this, info);
      on.sleepers_.push_back({until, on.count_++, &w});
      std::ranges::push_heap(on.sleepers_, std::greater{});
      return true;
    }
    void await_resume() const {}
    static void cancel(void* op, waiter& w) noexcept {
      auto& heap = static_cast<sleep*>(op)->on.sleepers_;
      std::erase_if(heap, [&](const sleeper& s) { return s.who == &w; });
      std::ranges::make_heap(heap, std::greater{});
      if (w.try_claim()) w.wake_cancelled();
    }
  };
  sleep sleep_for(duration d) { return {*this, clock::now() + d}; }

  template <class F, class... Args>
  void start(F fn, Args... args) {
    spawn_on(tasks_, fn, std::ref(*this), args...);
  }

  void run() {
    for (;;) {
      while (tasks_.run_ready() != 0) {
      }
      if (sleepers_.empty()) return;
      std::ranges::pop_heap(sleepers_, std::greater{});
      const sleeper next = sleepers_.back();
      sleepers_.pop_back();
      std::this_thread::sleep_until(next.when);
      if (next.who->try_claim()) next.who->wake();
    }
  }

 private:
  struct sleeper {
    time_point when;
    int order;
    waiter* who;
    auto operator<=>(const sleeper&) const = default;
  };
  std::vector<sleeper> sleepers_;
  int count_ = 0;
  oneloop::loop tasks_{"virtual"};  // whose turn it is: no timer, no descriptor, no thread
};

task<> countdown(own_loop& loop, char label, int from, duration delay) {
  std::printf("%c waits %d s\n", label, static_cast<int>(delay / 1s));
  co_await loop.sleep_for(delay);
  for (int n = from; n > 0; --n) {
    std::printf("%c T-minus %d\n", label, n);
    co_await loop.sleep_for(1s);
  }
  std::printf("%c lift-off!\n", label);
}

int main() {
  own_loop loop;
  loop.start(countdown, 'A', 5, 0s);
  loop.start(countdown, 'B', 3, 2s);
  loop.start(countdown, 'C', 4, 1s);
  loop.run();
}
