// The client over https.
#include <stdlib.h>
#include <unistd.h>

#include <fstream>

#include "oneloop/http/client_test.hpp"
#include "oneloop/net/buffered.hpp"
#include "oneloop/net/tls.hpp"
#include "oneloop/testing/test_ca.hpp"

namespace oneloop::inline v0::test {
namespace {

using http::client;
using http::client_options;
using oneloop::testing::test_ca;
using oneloop::testing::validity;
using secure_stream = net::tls_stream<net::tcp_stream>;

const test_ca& authority() {
  static const test_ca ca;
  return ca;
}

/// The authority's certificate as a file.
const std::string& authority_file() {
  static const struct file {
    file() {
      char name[] = "/tmp/oneloop-ca-XXXXXX";
      const int fd = ::mkstemp(name);
      path = name;
      if (fd >= 0) ::close(fd);
      std::ofstream{path} << authority().certificate();
    }
    ~file() { ::unlink(path.c_str()); }
    std::string path;
  } f;
  return f.path;
}

net::tls_context identity(validity when = validity::valid, std::string host = "localhost") {
  const std::vector<std::string> names{std::move(host)};
  const auto c = authority().issue(names, when);
  net::tls_server_options o;
  o.certificate = c.certificate;
  o.key = c.key;
  o.alpn = {"h2", "http/1.1"};
  return net::tls_context::server(o);
}

client_options trusting() { return client_options{}.ca_file(authority_file()); }

/// A server's end of a TLS connection.
struct secure_peer {
  net::buffered_reader<secure_stream> in;
  int number;

  task<bool> request() {
    try {
      std::string end{"\r\n\r\n"};
      auto reading = in.read_until(std::move(end));
      (void)co_await std::move(reading);
    } catch (const error&) {
      co_return false;
    }
    co_return true;
  }
  task<> say(std::string text) { (void)co_await in.stream().write_all(net::bytes_of(text)); }
};

class http_tls_on : public on_backends {
 protected:
  using conversation = std::function<task<>(secure_peer&)>;
  struct server {
    net::tcp_listener listener{net::endpoint{net::ip_address::loopback_v4(), 0}};
    net::tls_context with;
    conversation follow;
    int connections = 0;
    int open = 0;

    [[nodiscard]] std::string at(std::string_view host = "localhost") const {
      return "https://" + std::string{host} + ":" +
             std::to_string(listener.local_endpoint().port()) + "/";
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
          n.start(&server::one, this, std::move(s));
        }
      });
    }
  };

  template <class Body>
  void with_server(net::tls_context with, conversation follow, Body body) {
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
ON_BACKENDS(http_tls_on);

task<> answers(secure_peer& p) {
  while (true) {
    const bool more = co_await p.request();
    if (!more) break;
    co_await p.say("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret");
  }
}

TEST_P(http_tls_on, a_certificate_of_our_own_authority_is_trusted) {
  std::string name, protocol;
  auto script = [&](secure_peer& p) -> task<> {
    name = p.in.stream().session().server_name();
    protocol = p.in.stream().alpn();
    co_await answers(p);
  };
  with_server(identity(), script, [&](server& s) -> task<> {
    client c{trusting()};
    auto r = co_await c.get(s.at());
    const auto t = r.times();
    EXPECT_GT(t.tls, 0ns);
    EXPECT_FALSE(t.reused);
    const auto body = co_await r.text();
    EXPECT_EQ(body, "secret");
    EXPECT_EQ(name, "localhost");
    EXPECT_EQ(protocol, "http/1.1");
    for (int i = 0; i < 3; ++i) {
      const auto again = co_await fetch(c, s.at());
      EXPECT_EQ(again, "secret");
      co_await sleep_for(5ms);
    }
    EXPECT_EQ(s.connections, 1);
    EXPECT_EQ(c.statistics().reused, 3u);
    co_await c.close();
    co_await eventually([&] { return s.open == 0; });
  });
}

TEST_P(http_tls_on, bad_certificates_are_refused_and_named) {
  with_server(identity(validity::expired), answers, [](server& s) -> task<> {
    client c{trusting()};
    const auto f = co_await failure_of(c.get(s.at()));
    EXPECT_EQ(f.kind, "tls");
    EXPECT_EQ(f.phase, "tls");
    EXPECT_TRUE(f.text.starts_with("TLS handshake with localhost: certificate has expired"))
        << f.text;
    EXPECT_EQ(c.statistics().in_use, 0u);
    client stranger;
    const auto unknown = co_await failure_of(stranger.get(s.at()));
    EXPECT_EQ(unknown.kind, "tls");
    client careless{client_options{}.insecure()};
    const auto body = co_await fetch(careless, s.at());
    EXPECT_EQ(body, "secret");
  });
}

TEST_P(http_tls_on, a_certificate_for_another_host_is_refused) {
  with_server(identity(validity::valid, "example.org"), answers, [](server& s) -> task<> {
    client c{trusting()};
    const auto f = co_await failure_of(c.get(s.at()));
    EXPECT_EQ(f.kind, "tls");
    EXPECT_TRUE(f.text.starts_with("TLS handshake with localhost: ")) << f.text;
  });
  with_server(identity(validity::valid, "127.0.0.1"), answers, [](server& s) -> task<> {
    client c{trusting()};
    const auto body = co_await fetch(c, s.at("127.0.0.1"));
    EXPECT_EQ(body, "secret");
  });
}

TEST_P(http_tls_on, a_file_of_authorities_that_is_missing_is_named) {
  with_server(identity(), answers, [](server& s) -> task<> {
    client c{client_options{}.ca_file("/nonexistent/ca.pem")};
    const auto f = co_await failure_of(c.get(s.at()));
    EXPECT_EQ(f.kind, "tls");
    EXPECT_NE(f.text.find("/nonexistent/ca.pem"), std::string::npos) << f.text;
    EXPECT_EQ(c.statistics().in_use, 0u);
  });
}

TEST_P(http_tls_on, the_end_of_a_body_must_be_said) {
  auto script = [](secure_peer& p) -> task<> {
    (void)co_await p.request();
    co_await p.say("HTTP/1.1 200 OK\r\n\r\nall of it");
    if (p.number == 1) co_await p.in.stream().shutdown();
  };
  with_server(identity(), script, [](server& s) -> task<> {
    client c{trusting()};
    const auto body = co_await fetch(c, s.at());
    EXPECT_EQ(body, "all of it");
    const auto f = co_await failure_of(fetch(c, s.at()));
    EXPECT_EQ(f.kind, "protocol");
    EXPECT_EQ(f.phase, "body");
    EXPECT_NE(f.text.find("truncated"), std::string::npos) << f.text;
  });
}

TEST_P(http_tls_on, a_kept_connection_that_dies_is_replaced) {
  auto script = [](secure_peer& p) -> task<> {
    (void)co_await p.request();
    co_await p.say("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
    (void)co_await p.request();
  };
  with_server(identity(), script, [](server& s) -> task<> {
    client c{trusting()};
    for (int i = 0; i < 3; ++i) {
      const auto body = co_await fetch(c, s.at());
      EXPECT_EQ(body, "x");
    }
    EXPECT_EQ(c.statistics().retried, 2u);
  });
}

TEST_P(http_tls_on, a_server_that_does_not_speak_tls) {
  go([]() -> task<> {
    auto script = [](http_peer& p) -> task<> {
      (void)co_await p.say("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
      co_await p.until_closed();
    };
    http_script_server plain{script};
    auto both = [&](nursery& n) -> task<> {
      n.start(&http_script_server::serve, &plain);
      client c;
      const auto f =
          co_await failure_of(c.get("https://127.0.0.1:" + std::to_string(plain.port()) + "/"));
      EXPECT_EQ(f.kind, "tls");
      EXPECT_TRUE(f.text.starts_with("TLS handshake with 127.0.0.1: the peer does not speak TLS"))
          << f.text;
      n.cancel();
    };
    co_await with_nursery(std::ref(both));
  });
}

TEST_P(http_tls_on, a_handshake_that_hangs_times_out_and_can_be_cancelled) {
  go([]() -> task<> {
    auto script = [](http_peer& p) -> task<> { co_await p.until_closed(); };
    http_script_server silent{script};
    auto both = [&](nursery& n) -> task<> {
      n.start(&http_script_server::serve, &silent);
      const std::string target = "https://localhost:" + std::to_string(silent.port()) + "/";
      http::phase_timeouts t;
      t.tls = 50ms;
      client c{trusting().timeouts(t)};
      const auto f = co_await failure_of(c.get(target));
      EXPECT_EQ(f.kind, "timeout");
      EXPECT_EQ(f.phase, "tls");
      EXPECT_EQ(f.text, "timeout after 50 ms in the TLS handshake with localhost");
      const std::size_t before = open_descriptors();
      const auto got = co_await move_on_after(20ms, c.get(target));
      EXPECT_FALSE(got);
      co_await eventually([&] { return open_descriptors() <= before && silent.open == 0; });
      EXPECT_EQ(c.statistics().in_use, 0u);
      n.cancel();
    };
    co_await with_nursery(std::ref(both));
  });
}

}  // namespace
}  // namespace oneloop::inline v0::test
