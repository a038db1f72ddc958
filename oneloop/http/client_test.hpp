// What the tests of the client share: a server that does with each connection what a test says, and
// looks at what went wrong. Not installed.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "oneloop/http/client.hpp"
#include "oneloop/http/codec.hpp"
#include "oneloop/net/dns_server_test.hpp"
#include "oneloop/net/net_test.hpp"
#include "oneloop/net/stream.hpp"
#include "oneloop/net/tcp.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0::test {

/// A server's end of one connection.
class http_peer {
 public:
  http_peer(net::tcp_stream s, int n, std::vector<std::string>& requests)
      : stream{std::move(s)}, number{n}, requests_{requests} {}

  net::tcp_stream stream;
  int number;  // of the connection, from 1

  /// Reads the head of a request and notes it; false at the end of the stream.
  task<bool> request() {
    std::size_t end = 0;
    while ((end = input_.find("\r\n\r\n")) == input_.npos) {
      auto reading = read_text(stream);
      const std::string more = co_await std::move(reading);
      if (more.empty()) co_return false;
      input_ += more;
    }
    requests_.push_back(input_.substr(0, end + 2));
    input_.erase(0, end + 4);
    co_return true;
  }
  /// Reads the body of the last request; what had come of it when the stream ended, if that was
  /// before its end.
  task<std::string> body() {
    http::request_parser parser;
    const std::string head = requests_.back() + "\r\n";
    std::span<const std::byte> in = net::bytes_of(head);
    std::string all;
    while (true) {
      const http::parse_step s = parser.feed(in);
      all += text_of(s.body);
      in = in.subspan(s.consumed);
      if (s.event == http::parse_event::head) {
        in = net::bytes_of(input_);
      } else if (s.event == http::parse_event::complete) {
        input_ = text_of(in);
        break;
      } else if (!s) {
        auto reading = read_text(stream);
        input_ = co_await std::move(reading);
        if (input_.empty()) break;
        in = net::bytes_of(input_);
      }
    }
    co_return all;
  }
  /// Something has come behind the last request's head.
  [[nodiscard]] bool has_input() const { return !input_.empty(); }
  [[nodiscard]] const std::string& last_head() const { return requests_.back(); }
  [[nodiscard]] std::string last_method() const {
    const std::string& r = requests_.back();
    return r.substr(0, r.find(' '));
  }
  /// What the last request asked for.
  [[nodiscard]] std::string last_path() const {
    const std::string& r = requests_.back();
    const auto from = r.find(' ') + 1;
    return r.substr(from, r.find(' ', from) - from);
  }
  task<> say(std::string text) { (void)co_await stream.write_all(net::bytes_of(text)); }
  /// "HTTP/1.1 200 OK" with a body and more header lines ("A: b\r\n").
  task<> answer(std::string body, std::string lines = {}) {
    std::string text = "HTTP/1.1 200 OK\r\n" + lines;
    text += "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    return say(std::move(text));
  }
  task<> redirect(int status, std::string to) {
    return say("HTTP/1.1 " + std::to_string(status) + " Go There\r\nLocation: " + to +
               "\r\nContent-Length: 0\r\n\r\n");
  }
  /// Until the client has closed.
  task<> until_closed() {
    auto reading = read_all(stream);
    (void)co_await std::move(reading);
  }
  void reset() { stream.reset(); }
  void close() { stream.close(); }

 private:
  std::vector<std::string>& requests_;
  std::string input_;
};

class http_script_server {
 public:
  /// Called for each connection, which is closed when it ends.
  using script = std::function<task<>(http_peer&)>;

  explicit http_script_server(script s) : script_{std::move(s)} {}

  [[nodiscard]] std::uint16_t port() const { return listener_.local_endpoint().port(); }
  [[nodiscard]] std::string at(std::string_view path = "/") const {
    return "http://127.0.0.1:" + std::to_string(port()) + std::string{path};
  }
  /// The same under another name: another origin.
  [[nodiscard]] std::string elsewhere(std::string_view path = "/") const {
    return "http://localhost:" + std::to_string(port()) + std::string{path};
  }
  int connections = 0;
  int open = 0;
  std::vector<std::string> requests;

  /// Until cancelled.
  task<> serve() {
    co_await with_nursery([this](nursery& n) -> task<> {
      while (true) {
        auto s = co_await listener_.accept();
        n.start(&http_script_server::one, this, std::move(s));
      }
    });
  }

 private:
  task<> one(net::tcp_stream s) {
    struct counted {
      int& n;
      explicit counted(int& open_now) : n{++open_now} {}
      ~counted() { --n; }
    } here{open};
    http_peer p{std::move(s), ++connections, requests};
    auto conversation = script_(p);
    try {
      co_await std::move(conversation);
    } catch (const error&) {  // the client went away
    }
  }

  net::tcp_listener listener_{net::endpoint{net::ip_address::loopback_v4(), 0}};
  script script_;
};

/// What went wrong, for comparing.
struct http_failure {
  std::string kind;  // "none" if nothing did, "other" for an error that is no http_error
  std::string phase;
  std::string text;
};

template <class T>
task<http_failure> failure_of(task<T> t) {
  http_failure f{"none", "", ""};
  try {
    (void)co_await std::move(t);
  } catch (const http::http_error& e) {
    f.kind = to_string(e.kind());
    f.phase = e.phase();
    f.text = e.what();
  } catch (const error& e) {
    f.kind = "other";
    f.text = e.what();
  }
  co_return f;
}
inline task<http_failure> failure_of(task<> t) {
  auto with_result = [](task<> inner) -> task<int> {
    co_await std::move(inner);
    co_return 0;
  }(std::move(t));
  return failure_of(std::move(with_result));
}

/// Gets a URL and reads all of it.
inline task<std::string> fetch(http::client& c, std::string text) {
  auto getting = c.get(text);
  auto r = co_await std::move(getting);
  auto reading = r.text();
  auto body = co_await std::move(reading);
  co_return body;
}

/// Sockets only: the eventfd of a loop that has ended closes with the last thread that told it
/// something, which may be a pool's, a moment later.
inline std::size_t open_sockets() {
  std::size_t n = 0;
  std::error_code gone;
  for (const auto& entry : std::filesystem::directory_iterator{"/proc/self/fd"}) {
    n += std::filesystem::read_symlink(entry.path(), gone).string().starts_with("socket:") ? 1 : 0;
  }
  return n;
}

/// Waits until `condition` holds, for at most 5 seconds.
template <class Condition>
task<> eventually(Condition condition) {
  for (int i = 0; i < 1000 && !condition(); ++i) co_await sleep_for(5ms);
  EXPECT_TRUE(condition());
}

/// Runs `body(http::client_options)` beside a name server of the test's.
template <class Body>
task<> with_names(Body body) {
  dns_server names;
  http::client_options options;
  options.resolver(net::resolver_options{}.servers({names.at()}).search({}).hosts_file(""));
  auto both = [&](nursery& n) -> task<> {
    n.start(&dns_server::serve, &names);
    auto testing = body(options);
    co_await std::move(testing);
    n.cancel();
  };
  auto running = with_nursery(std::ref(both));
  co_await std::move(running);
}

/// A port that lets nobody in: its queue is full.
class full_listener {
 public:
  full_listener() {
    for (int i = 0; i < 4; ++i) {
      auto d = descriptor::adopt(net::tcp_stream::open(AF_INET, true));
      const net::raw_address to{listener_.local_endpoint()};
      (void)::connect(d.fd(), to.data(), to.size());
      waiting_.push_back(std::move(d));
    }
  }
  [[nodiscard]] std::string url() const {
    return "http://" + listener_.local_endpoint().to_string() + "/";
  }

 private:
  net::tcp_listener listener_{net::endpoint{net::ip_address::loopback_v4(), 0},
                              net::listen_options{}.backlog(0)};
  std::vector<descriptor> waiting_;
};

inline http::request request_for(const std::string& at) { return {"GET", url::parse(at).value()}; }

class http_on_backends : public on_backends {
 protected:
  using peer = http_peer;
  using server = http_script_server;

  /// Runs `body(server&)` beside a server that follows `s`.
  template <class Body>
  void with_server(server::script s, Body body) {
    go([&]() -> task<> {
      server here{std::move(s)};
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

}  // namespace oneloop::inline v0::test
