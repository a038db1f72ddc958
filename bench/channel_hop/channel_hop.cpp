// One hop over a channel between two coroutines on one loop: a sends, b receives. Prints ns a hop
// (the best of 30 rounds: the machine has other things to do) and allocations a hop, after a
// warm-up; `go run hop.go` beside it is the peer.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "oneloop/channel/channel.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"

using namespace oneloop;

static std::atomic<long> allocations{0};

void* operator new(std::size_t n) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* p = std::malloc(n)) return p;
  throw std::bad_alloc{};
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }

static task<> sender(channel<long>& ch, long n) {
  for (long i = 0; i < n; ++i) co_await ch.send(i);
}

static task<> receiver(channel<long>& ch, long n, long& sum) {
  for (long i = 0; i < n; ++i) {
    auto v = co_await ch.receive();
    sum += *v;
  }
}

static task<> hops(std::size_t capacity, long n, const char* name) {
  channel<long> ch{capacity};
  long sum = 0;
  double best = 1e9;
  long allocated = 0;
  for (int round = 0; round < 30; ++round) {
    const long before = allocations.load();
    const auto start = std::chrono::steady_clock::now();
    co_await with_nursery([&](nursery& scope) -> task<> {
      scope.start(sender, std::ref(ch), n);
      scope.start(receiver, std::ref(ch), n, std::ref(sum));
      co_return;
    });
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
    best = std::min(best, took.count() / static_cast<double>(n));
    allocated = allocations.load() - before;
  }
  std::printf("%-28s %6.1f ns/hop  %ld allocations in %ld hops\n", name, best, allocated, n);
}

static task<> ping(channel<long>& out, channel<long>& in, long n) {
  for (long i = 0; i < n; ++i) {
    co_await out.send(i);
    (void)co_await in.receive();
  }
}
static task<> pong(channel<long>& in, channel<long>& out, long n) {
  for (long i = 0; i < n; ++i) {
    auto v = co_await in.receive();
    co_await out.send(*v);
  }
}

static task<> ping_pong(long n) {
  channel<long> a{0}, b{0};
  double best = 1e9;
  for (int round = 0; round < 30; ++round) {
    const auto start = std::chrono::steady_clock::now();
    co_await with_nursery([&](nursery& scope) -> task<> {
      scope.start(ping, std::ref(a), std::ref(b), n);
      scope.start(pong, std::ref(a), std::ref(b), n);
      co_return;
    });
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
    best = std::min(best, took.count() / static_cast<double>(2 * n));
  }
  std::printf("%-28s %6.1f ns/hop\n", "unbuffered, ping-pong", best);
}

int main() {
  run([]() -> task<> {
    co_await hops(0, 200'000, "unbuffered, one way");
    co_await hops(100, 200'000, "capacity 100, one way");
    co_await ping_pong(200'000);
  }());
}
