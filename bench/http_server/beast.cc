// beast PORT: "hello, world\n" to everybody, with Boost.Beast, on one thread.
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <cstdlib>
#include <memory>

namespace beast = boost::beast;
namespace http = beast::http;
using tcp = boost::asio::ip::tcp;

struct session : std::enable_shared_from_this<session> {
  explicit session(tcp::socket s) : socket{std::move(s)} {}
  void read() {
    request = {};
    http::async_read(socket, buffer, request, [self = shared_from_this()](beast::error_code e, std::size_t) {
      if (!e) self->write();
    });
  }
  void write() {
    response = {http::status::ok, request.version()};
    response.set(http::field::content_type, "text/plain");
    response.keep_alive(request.keep_alive());
    response.body() = "hello, world\n";
    response.prepare_payload();
    http::async_write(socket, response, [self = shared_from_this()](beast::error_code e, std::size_t) {
      if (!e && self->response.keep_alive()) self->read();
    });
  }
  tcp::socket socket;
  beast::flat_buffer buffer;
  http::request<http::empty_body> request;
  http::response<http::string_body> response;
};

static void accept(tcp::acceptor& a) {
  a.async_accept([&a](beast::error_code e, tcp::socket s) {
    if (!e) {
      s.set_option(tcp::no_delay{true});
      std::make_shared<session>(std::move(s))->read();
    }
    accept(a);
  });
}

int main(int, char** argv) {
  boost::asio::io_context io{1};
  const auto port = static_cast<unsigned short>(std::atoi(argv[1]));
  tcp::acceptor a{io, {boost::asio::ip::address_v4::loopback(), port}};
  accept(a);
  io.run();
}
