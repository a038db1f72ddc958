// sieve N: the first N primes with Asio's coroutines and channels, on one thread.
#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/experimental/channel.hpp>
#include <asio/io_context.hpp>
#include <asio/use_awaitable.hpp>
#include <cstdlib>
#include <memory>

#include "../stopwatch.hpp"

using channel = asio::experimental::channel<void(asio::error_code, int)>;
using numbers = std::shared_ptr<channel>;

static asio::awaitable<void> count(numbers out) {
  for (int n = 2;; ++n) co_await out->async_send(asio::error_code{}, n, asio::use_awaitable);
}
static asio::awaitable<void> filter(int prime, numbers in, numbers out) {
  for (;;) {
    const int n = co_await in->async_receive(asio::use_awaitable);
    if (n % prime != 0) co_await out->async_send(asio::error_code{}, n, asio::use_awaitable);
  }
}
static asio::awaitable<void> sieve(asio::io_context& io, int primes, const stopwatch& watch) {
  auto in = std::make_shared<channel>(io, 10);
  asio::co_spawn(io, count(in), asio::detached);
  for (; primes > 0; --primes) {
    const int prime = co_await in->async_receive(asio::use_awaitable);
    auto out = std::make_shared<channel>(io, 10);
    asio::co_spawn(io, filter(prime, std::exchange(in, out), out), asio::detached);
  }
  watch.print();
  std::fflush(stdout);
  std::_Exit(0);  // the filters go on for ever
}

int main(int, char** argv) {
  asio::io_context io{1};
  const stopwatch watch;
  asio::co_spawn(io, sieve(io, std::atoi(argv[1]), watch), asio::detached);
  io.run();
}
