// spawn N: N of Asio's coroutines that sleep for a second. Prints what spawn.cpp prints.
#include <sys/resource.h>

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

static long kilobytes(const std::string& field) {
  std::ifstream status{"/proc/self/status"};
  std::string name;
  for (long n = 0; status >> name; status.ignore(1000, '\n')) {
    if (name == field && status >> n) return n;
  }
  return 0;
}

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
  const long before = kilobytes("VmRSS:");
  const auto start = std::chrono::steady_clock::now();
  for (long i = 0; i < n; ++i) asio::co_spawn(context, sleeper(context), asio::detached);
  context.run();
  using seconds = std::chrono::duration<double>;
  const seconds wall = std::chrono::steady_clock::now() - start, until = started - start;
  rusage used;
  getrusage(RUSAGE_SELF, &used);
  const auto cpu = [](timeval t) { return double(t.tv_sec) + double(t.tv_usec) / 1e6; };
  std::printf("%.4f %.4f %.0f %.4f\n", wall.count(), cpu(used.ru_utime) + cpu(used.ru_stime),
              double(kilobytes("VmHWM:") - before) * 1024 / double(n), until.count());
}
