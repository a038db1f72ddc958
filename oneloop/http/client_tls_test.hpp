// What the tests of the client over TLS share: an authority, certificates, a server that does with
// each connection what a test says. Not installed.
#pragma once

#include <stdlib.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "oneloop/http/client_test.hpp"
#include "oneloop/net/buffered.hpp"
#include "oneloop/net/tls.hpp"
#include "oneloop/testing/test_ca.hpp"

namespace oneloop::inline v0::test {

using secure_stream = net::tls_stream<net::tcp_stream>;

/// A file with this text, as long as it lives.
class text_file {
 public:
  explicit text_file(std::string_view text) {
    char name[] = "/tmp/oneloop-test-XXXXXX";
    const int fd = ::mkstemp(name);
    path_ = name;
    if (fd >= 0) ::close(fd);
    std::ofstream{path_} << text;
  }
  ~text_file() { ::unlink(path_.c_str()); }
  text_file(const text_file&) = delete;
  text_file& operator=(const text_file&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline const testing::test_ca& authority() {
  static const testing::test_ca ca;
  return ca;
}
inline const std::string& authority_file() {
  static const text_file f{authority().certificate()};
  return f.path();
}

/// A server's side with this certificate.
inline net::tls_server_options identity_of(const testing::test_certificate& c) {
  net::tls_server_options o;
  o.certificate = c.certificate;
  o.key = c.key;
  o.alpn = {"h2", "http/1.1"};
  return o;
}
inline net::tls_context identity(testing::validity when = testing::validity::valid,
                                 std::string host = "localhost") {
  const std::vector<std::string> names{std::move(host)};
  return net::tls_context::server(identity_of(authority().issue(names, when)));
}

inline http::client_options trusting() { return http::client_options{}.ca_file(authority_file()); }

/// A server's end of a TLS connection.
struct secure_peer {
  net::buffered_reader<secure_stream> in;
  int number;
  std::string last{};  // the head of the last request

  task<bool> request() {
    try {
      std::string end{"\r\n\r\n"};
      auto reading = in.read_until(std::move(end));
      last = co_await std::move(reading);
    } catch (const error&) {
      co_return false;
    }
    co_return true;
  }
  task<> say(std::string text) { (void)co_await in.stream().write_all(net::bytes_of(text)); }
};

struct secure_server {
  using conversation = std::function<task<>(secure_peer&)>;
  net::tcp_listener listener{net::endpoint{net::ip_address::loopback_v4(), 0}};
  net::tls_context with;
  conversation follow;
  int connections = 0;
  int open = 0;

  [[nodiscard]] std::uint16_t port() const { return listener.local_endpoint().port(); }
  [[nodiscard]] std::string at(std::string_view host = "localhost") const {
    return "https://" + std::string{host} + ":" + std::to_string(port()) + "/";
  }
  task<> one(net::tcp_stream s) {
    ++connections;
    ++open;
    try {
      auto accepting = net::accept_tls(std::move(s), with);
      auto stream = co_await std::move(accepting);
      secure_peer p{net::buffered_reader{std::move(stream)}, connections};
      auto speaking = follow(p);
      co_await std::move(speaking);
    } catch (const error&) {  // the client went away, or does not trust us
    }
    --open;
  }
  task<> serve() {
    co_await with_nursery([this](nursery& n) -> task<> {
      while (true) {
        auto s = co_await listener.accept();
        n.start(&secure_server::one, this, std::move(s));
      }
    });
  }
};

class http_tls_on_backends : public on_backends {
 protected:
  using server = secure_server;

  /// Runs `body(server&)` beside a server that follows `follow`.
  template <class Body>
  void with_server(net::tls_context with, server::conversation follow, Body body) {
    go([&]() -> task<> {
      server here{.with = std::move(with), .follow = std::move(follow)};
      auto both = [&](nursery& n) -> task<> {
        n.start(&server::serve, &here);
        auto testing = body(here);
        co_await std::move(testing);
        n.cancel();
      };
      auto running = with_nursery(std::ref(both));
      co_await std::move(running);
    });
  }
};

/// Answers every request.
inline task<> answers_all(secure_peer& p) {
  while (true) {
    const bool more = co_await p.request();
    if (!more) break;
    co_await p.say("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret");
  }
}

}  // namespace oneloop::inline v0::test
