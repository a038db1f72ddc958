// Cancelled at each of its waits, a request leaves no descriptor, no place taken and no connection
// that was half-read or half-written. (Point 33 of what a serious client must get right.)
#include <algorithm>
#include <cstring>
#include <functional>
#include <string>
#include <tuple>
#include <vector>

#include "oneloop/http/client.hpp"
#include "oneloop/http/client_test.hpp"

namespace oneloop::inline v0::test {
namespace {

using http::body_source;
using http::client;
using http::client_options;
using http::request;
using http::request_body;

/// Something that waits: what the server does to that end, and what we ask for.
struct wait {
  const char* name;
  std::function<task<>(http_peer&)> stuck;
  std::function<request(const std::string& at)> ask;
};

task<> nothing(http_peer& p) { co_await p.until_closed(); }

/// Reads the head of a request, says `text`, and no more.
auto says(std::string text) {
  return [text](http_peer& p) -> task<> {
    (void)co_await p.request();
    co_await p.say(text);
    co_await p.until_closed();
  };
}

request put(const std::string& at, body_source (*source)(), bool asks = false) {
  request r{"PUT", url::parse(at).value()};
  r.body(request_body::streamed(source)).expect_continue(asks);
  return r;
}

body_source endless() {
  return [](std::span<std::byte> to) -> task<std::size_t> {
    std::memset(to.data(), 'x', to.size());
    co_return to.size();
  };
}
body_source silent() {
  return [](std::span<std::byte>) -> task<std::size_t> {
    co_await sleep_for(1h);
    co_return 0;
  };
}

task<> reads_nothing(http_peer& p) {
  co_await sleep_for(30ms);
  co_await p.until_closed();
}

const std::vector<wait>& waits() {
  static const std::vector<wait> all{
      {"dns", nothing, [](const auto&) { return request_for("http://silent.test/"); }},
      {"connect", nothing, nullptr},
      {"tls", nothing,
       [](const std::string& at) { return request_for("https" + at.substr(at.find(':'))); }},
      {"write", reads_nothing,
       [](const std::string& at) {
         auto r = request_for(at);
         r.fields().add("X-Large", std::string(16 * 1024 * 1024, 'x'));
         return r;
       }},
      {"write_body", reads_nothing, [](const std::string& at) { return put(at, endless); }},
      {"body_source", says(""), [](const std::string& at) { return put(at, silent); }},
      {"go_ahead", says("HTTP/1.1 103 Hints\r\n\r\n"),
       [](const std::string& at) { return put(at, endless, true); }},
      {"first_byte", says(""), request_for},
      {"interim", says("HTTP/1.1 103 Hints\r\n\r\n"), request_for},
      {"head", says("HTTP/1.1 200 OK\r\nContent-Le"), request_for},
      {"body", says("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), request_for},
      {"chunk", says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf"),
       request_for},
      {"trailers", says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"), request_for},
      {"until_close", says("HTTP/1.0 200 OK\r\n\r\nhalf"), request_for},
      {"decode", says(std::string{"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08"}),
       request_for},
      {"redirect", says("HTTP/1.1 302 F\r\nLocation: /a\r\nContent-Length: 9\r\n\r\nhalf"),
       request_for},
      {"early_answer", says("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
       [](const std::string& at) { return put(at, silent); }},
  };
  return all;
}

class http_point_33 : public ::testing::TestWithParam<std::tuple<std::string, std::size_t>> {};
INSTANTIATE_TEST_SUITE_P(waits, http_point_33,
                         ::testing::Combine(::testing::ValuesIn(kernel_backends()),
                                            ::testing::Range(std::size_t{0}, waits().size())),
                         [](const auto& chosen) {
                           return std::string{waits()[std::get<1>(chosen.param)].name} + "_" +
                                  std::get<0>(chosen.param);
                         });

task<> whole(client& c, request r) {
  auto sending = c.send(std::move(r));
  auto answer = co_await std::move(sending);
  auto reading = answer.discard();
  (void)co_await std::move(reading);
}

task<> cancel_at(const wait& w, client_options options) {
  bool stuck = true;
  auto script = [&](http_peer& p) -> task<> {
    if (stuck) {
      auto waiting = w.stuck(p);
      co_await std::move(waiting);
    } else {
      while (true) {
        const bool more = co_await p.request();
        if (!more) break;
        co_await p.answer("fine");
      }
    }
  };
  http_script_server s{script};
  full_listener full;
  auto both = [&](nursery& n) -> task<> {
    n.start(&http_script_server::serve, &s);
    client c{options.insecure()};
    auto make = [&] { return whole(c, w.ask ? w.ask(s.at()) : request_for(full.url())); };
    (void)co_await move_on_after(1ms, make());  // what stays from now on: a socket for names
    co_await eventually([&] { return s.open == 0; });
    const std::size_t before = open_sockets();
    for (const auto d : {0us, 200us, 1000us, 5000us, 20000us}) {
      const bool ended = co_await move_on_after(d, make());
      EXPECT_FALSE(ended);
      EXPECT_EQ(c.statistics().in_use, 0u);
      EXPECT_EQ(c.statistics().idle, 0u);
      EXPECT_EQ(c.statistics().waiting, 0u);
    }
    co_await eventually([&] { return s.open == 0 && open_sockets() <= before; });
    stuck = false;
    for (int i = 0; i < 2; ++i) {
      const auto text = co_await fetch(c, s.at());
      EXPECT_EQ(text, "fine");
    }
    n.cancel();
  };
  auto running = with_nursery(std::ref(both));
  co_await std::move(running);
}

TEST_P(http_point_33, leaves_nothing_when_it_is_cancelled) {
  const wait& w = waits()[std::get<1>(GetParam())];
  auto body = [&]() -> task<> {
    auto with = [&](client_options o) { return cancel_at(w, std::move(o)); };
    auto limited = fail_after(20s, with_names(std::ref(with)));
    co_await std::move(limited);
  };
  run(body(), std::get<0>(GetParam()));
}

}  // namespace
}  // namespace oneloop::inline v0::test
