// switch N: two of Asio's coroutines pass N numbers over its unbuffered channel, on one thread.
#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/experimental/channel.hpp>
#include <asio/io_context.hpp>
#include <asio/use_awaitable.hpp>
#include <cstdlib>

#include "../stopwatch.hpp"

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
  const stopwatch watch;
  asio::co_spawn(context, sends(c, n), asio::detached);
  asio::co_spawn(context, receives(c, n, sum), asio::detached);
  context.run();
  watch.print();
  return sum == n * (n - 1) / 2 ? 0 : 1;
}
