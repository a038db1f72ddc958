// asio callback|coroutine PORT: an echo server with Asio, on one thread.
#include <asio.hpp>
#include <memory>
#include <string_view>

using asio::ip::tcp;
constexpr std::size_t most = 256 * 1024;

struct session : std::enable_shared_from_this<session> {
  explicit session(tcp::socket s) : socket{std::move(s)} {}
  void read() {
    socket.async_read_some(asio::buffer(buffer.get(), most),
                           [self = shared_from_this()](asio::error_code e, std::size_t n) {
                             if (!e) self->write(n);
                           });
  }
  void write(std::size_t n) {
    asio::async_write(socket, asio::buffer(buffer.get(), n),
                      [self = shared_from_this()](asio::error_code e, std::size_t) {
                        if (!e) self->read();
                      });
  }
  tcp::socket socket;
  std::unique_ptr<char[]> buffer{new char[most]};
};
static void accept(tcp::acceptor& a) {
  a.async_accept([&a](asio::error_code e, tcp::socket s) {
    if (!e) {
      s.set_option(tcp::no_delay{true});
      std::make_shared<session>(std::move(s))->read();
    }
    accept(a);
  });
}

static asio::awaitable<void> echo(tcp::socket s) {
  const std::unique_ptr<char[]> buffer{new char[most]};
  asio::error_code e;
  for (;;) {
    const auto n = co_await s.async_read_some(asio::buffer(buffer.get(), most),
                                              asio::redirect_error(asio::use_awaitable, e));
    if (e) co_return;
    co_await asio::async_write(s, asio::buffer(buffer.get(), n), asio::redirect_error(asio::use_awaitable, e));
    if (e) co_return;
  }
}
static asio::awaitable<void> serve(tcp::acceptor& a) {
  for (;;) {
    auto s = co_await a.async_accept(asio::use_awaitable);
    s.set_option(tcp::no_delay{true});
    asio::co_spawn(a.get_executor(), echo(std::move(s)), asio::detached);
  }
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  asio::io_context io{1};
  tcp::acceptor a{io, {asio::ip::address_v4::loopback(), static_cast<unsigned short>(std::stoi(argv[2]))}};
  if (std::string_view{argv[1]} == "coroutine") {
    asio::co_spawn(io, serve(a), asio::detached);
  } else {
    accept(a);
  }
  io.run();
}
