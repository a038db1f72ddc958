// switch WHAT HOPS: two parties pass HOPS numbers over an unbuffered channel, one way. Prints
// seconds of wall time and of processor time. WHAT is coroutine, fiber or thread (each a pair),
// coroutine_2 or fiber_2 (on two loops), or a yardstick without any channel: transfer (two
// coroutines by symmetric transfer) or context (a bare Boost.Context switch there and back).
#include <boost/context/detail/fcontext.hpp>
#include <coroutine>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <thread>

#include "../stopwatch.hpp"
#include "oneloop/channel/channel.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/loop/runtime.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"

using namespace oneloop;

static task<> sends(channel<long>& c, long n) {
  for (long i = 0; i < n; ++i) co_await c.send(i);
  c.close();
}
static task<> receives(channel<long>& c, long& sum) {
  while (auto v = co_await c.receive()) sum += *v;
}
static void sends_blocking(channel<long>& c, long n) {
  for (long i = 0; i < n; ++i) await(c.send(i));
  c.close();
}
static void receives_blocking(channel<long>& c, long& sum) {
  for (long v : c) sum += v;
}

// A pair that is started in a nursery of a coroutine: tasks or fibers, whatever they are.
template <class Send, class Receive>
static long pair(long n, Send send, Receive receive, bool two_loops) {
  channel<long> c;
  long sum = 0;
  std::unique_ptr<runtime> other;
  if (two_loops) other = std::make_unique<runtime>(1);
  run([&]() -> task<> {
    co_await with_nursery([&](nursery& both) -> task<> {
      if (other) {
        both.start_on(other->loop(0), send, std::ref(c), n);
      } else {
        both.start(send, std::ref(c), n);
      }
      both.start(receive, std::ref(c), std::ref(sum));
      co_return;
    });
  });
  return sum;
}

static long threads(long n) {
  channel<long> c;
  long sum = 0;
  std::thread sender{[&] { sends_blocking(c, n); }};
  receives_blocking(c, sum);
  sender.join();
  return sum;
}

// Two coroutines that resume each other.
struct bare {
  struct promise_type {
    bare get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    static std::suspend_always initial_suspend() noexcept { return {}; }
    static std::suspend_always final_suspend() noexcept { return {}; }
    static void return_void() {}
    static void unhandled_exception() { std::abort(); }
  };
  struct to {
    std::coroutine_handle<>& other;
    static bool await_ready() { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<>) { return other; }
    static void await_resume() {}
  };
  std::coroutine_handle<promise_type> handle;
};
static bare turns(std::coroutine_handle<>& other, long n, long& sum) {
  for (long i = 0; i < n; ++i) {
    sum += i;
    co_await bare::to{other};
  }
}
static long transfer(long n) {
  long sum = 0;
  std::coroutine_handle<> a, b;
  bare one = turns(b, n, sum), two = turns(a, n, sum);
  a = one.handle;
  b = two.handle;
  a.resume();
  one.handle.destroy();
  two.handle.destroy();
  return sum / 2;
}

static long jumps(long n) {
  namespace bc = boost::context::detail;
  auto stack = std::make_unique<std::byte[]>(65536);
  bc::transfer_t t{bc::make_fcontext(stack.get() + 65536, 65536,
                                     [](bc::transfer_t from) {
                                       for (;;) from = bc::jump_fcontext(from.fctx, from.data);
                                     }),
                   nullptr};
  long sum = 0;
  for (long i = 0; i < n; ++i) {
    sum += i;
    if (i % 2 == 0) t = bc::jump_fcontext(t.fctx, nullptr);  // there and back: two switches
  }
  return sum;
}

int main(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "coroutine";
  const long n = argc > 2 ? std::atol(argv[2]) : 1'000'000;
  const stopwatch watch;
  long sum = -1;
  if (what.starts_with("coroutine")) sum = pair(n, sends, receives, what.ends_with("_2"));
  if (what.starts_with("fiber")) {
    sum = pair(n, sends_blocking, receives_blocking, what.ends_with("_2"));
  }
  if (what == "thread") sum = threads(n);
  if (what == "transfer") sum = transfer(n);
  if (what == "context") sum = jumps(n);
  if (sum != n * (n - 1) / 2) {
    std::fprintf(stderr, "switch %s: a wrong sum, %ld\n", argv[1], sum);
    return 1;
  }
  watch.print();
}
