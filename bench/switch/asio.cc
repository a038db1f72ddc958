// switch N: two of Asio's coroutines pass N numbers over its unbuffered channel, on one thread.
#include <sys/resource.h>

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/experimental/channel.hpp>
#include <asio/io_context.hpp>
#include <asio/use_awaitable.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>

using channel = asio::experimental::channel<void(asio::error_code, long)>;

asio::awaitable<void> sends(channel& c, long n) {
  for (long i = 0; i < n; ++i) co_await c.async_send(asio::error_code{}, i, asio::use_awaitable);
}
asio::awaitable<void> receives(channel& c, long n, long& sum) {
  for (long i = 0; i < n; ++i) sum += co_await c.async_receive(asio::use_awaitable);
}

int main(int, char** argv) {
  const long n = std::atol(argv[1]);
  asio::io_context context{1};
  channel c{context};
  long sum = 0;
  const auto start = std::chrono::steady_clock::now();
  asio::co_spawn(context, sends(c, n), asio::detached);
  asio::co_spawn(context, receives(c, n, sum), asio::detached);
  context.run();
  const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - start;
  rusage used;
  getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](timeval t) { return double(t.tv_sec) + double(t.tv_usec) / 1e6; };
  std::printf("%.6f %.6f\n", wall.count(), seconds(used.ru_utime) + seconds(used.ru_stime));
  return sum == n * (n - 1) / 2 ? 0 : 1;
}
