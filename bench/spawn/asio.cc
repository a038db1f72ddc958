// spawn N: N of Asio's coroutines that sleep for a second. Prints what spawn.cpp prints.
#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "../stopwatch.hpp"

static long n, begun;
static std::chrono::steady_clock::time_point started;

asio::awaitable<void> sleeper(asio::io_context& context) {
  if (++begun == n) started = std::chrono::steady_clock::now();
  asio::steady_timer timer{context, std::chrono::seconds{1}};
  co_await timer.async_wait(asio::use_awaitable);
}

int main(int, char** argv) {
  n = std::atol(argv[1]);
  asio::io_context context{1};
  const long before = stopwatch::kilobytes("VmRSS:");
  const auto start = std::chrono::steady_clock::now();
  for (long i = 0; i < n; ++i) asio::co_spawn(context, sleeper(context), asio::detached);
  context.run();
  using seconds = std::chrono::duration<double>;
  const seconds wall = std::chrono::steady_clock::now() - start, until = started - start;
  std::printf("%.4f %.4f %.0f %.4f\n", wall.count(), stopwatch::processor(),
              double(stopwatch::kilobytes("VmHWM:") - before) * 1024 / double(n), until.count());
}
