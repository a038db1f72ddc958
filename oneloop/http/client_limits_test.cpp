// How many connections a client has, and what they are for.
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "oneloop/http/client_test.hpp"
#include "oneloop/http/pool_internal.hpp"
#include "oneloop/net/dns_server_test.hpp"

namespace oneloop::inline v0::test {
namespace {

using http::client;
using http::client_options;

task<> answers_by_path(http_peer& p) {
  while (true) {
    const bool more = co_await p.request();
    if (!more) break;
    if (p.last_path() == "/slow") co_await sleep_for(20ms);
    if (p.last_path() == "/half") {
      co_await p.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx");
      co_await sleep_for(100ms);
      co_await p.say("x");
      continue;
    }
    co_await p.answer("x");
  }
}

/// "http://h3.test:PORT/path"
std::string on_host(int n, std::uint16_t port, std::string_view path = "/") {
  return "http://h" + std::to_string(n) + ".test:" + std::to_string(port) + std::string{path};
}

/// Options with which h0.test to h63.test are at 127.0.0.1.
client_options hosts_at(std::uint16_t port) {
  client_options o;
  for (int i = 0; i < 64; ++i) {
    o.resolve("h" + std::to_string(i) + ".test", port, net::ip_address::loopback_v4());
  }
  return o;
}

TEST(http_point_22, a_connection_serves_only_what_is_alike_in_everything) {
  using key = http::detail::origin_key;
  const key one{.scheme = "https",
                .host = "a",
                .port = 443,
                .proxy = "p",
                .tls_profile = "t",
                .addresses = "r"};
  EXPECT_EQ(one, key{one});
  auto differs = [&](auto member, auto value) {
    key other = one;
    other.*member = value;
    EXPECT_FALSE(one == other);
  };
  differs(&key::scheme, "http");
  differs(&key::host, "b");
  differs(&key::port, 444);
  differs(&key::proxy, "http://user:other@p");
  differs(&key::tls_profile, "insecure");
  differs(&key::addresses, "public");
}

class http_point_23_on : public http_on_backends {};
ON_BACKENDS(http_point_23_on);

TEST_P(http_point_23_on, an_idle_connection_gives_way_the_oldest_first) {
  int most = 0;
  auto script = [&](peer& p) -> task<> {
    auto answering = answers_by_path(p);
    co_await std::move(answering);
  };
  with_server(script, [&](server& s) -> task<> {
    client c{hosts_at(s.port()).max_connections(2)};
    for (int i = 0; i < 3; ++i) {
      (void)co_await fetch(c, on_host(i, s.port()));
      co_await eventually([&] { return s.open <= 2; });
      most = std::max(most, s.open);
    }
    EXPECT_EQ(most, 2);
    EXPECT_EQ(c.statistics().idle, 2u);
    (void)co_await fetch(c, on_host(1, s.port()));
    EXPECT_EQ(c.statistics().reused, 1u);
    (void)co_await fetch(c, on_host(0, s.port()));
    EXPECT_EQ(s.connections, 4);
    EXPECT_EQ(c.statistics().in_use, 0u);
  });
}

TEST_P(http_point_23_on, requests_wait_for_a_connection_first_come_first_served) {
  with_server(answers_by_path, [](server& s) -> task<> {
    client c{hosts_at(s.port()).max_connections(1).total_timeout(2s)};
    auto first = co_await c.get(on_host(0, s.port(), "/first"));
    std::string order;
    std::vector<cancel_scope*> scopes(6, nullptr);
    auto one = [&](int i) -> task<> {
      auto waits = [&](cancel_scope& scope) -> task<> {
        scopes[static_cast<std::size_t>(i)] = &scope;
        (void)co_await fetch(c, on_host(i, s.port()));
        order += std::to_string(i);
      };
      auto scoped = with_scope(scope_options{}, waits);
      (void)co_await std::move(scoped);
    };
    auto all = [&](nursery& n) -> task<> {
      for (int i = 1; i < 6; ++i) {
        n.start(one, i);
        const auto waiting = static_cast<std::size_t>(i);
        co_await eventually([&] { return c.statistics().waiting == waiting; });
      }
      scopes[3]->cancel();
      co_await eventually([&] { return c.statistics().waiting == 4u; });
      EXPECT_EQ(s.requests.size(), 1u);
      (void)co_await first.text();
    };
    co_await with_nursery(std::ref(all));
    EXPECT_EQ(order, "1245");
    EXPECT_EQ(s.connections, 5);
    EXPECT_EQ(c.statistics().waiting, 0u);
    EXPECT_EQ(c.statistics().in_use, 0u);
  });
}

TEST_P(http_point_23_on, who_waits_takes_a_connection_to_its_own_origin_as_it_is) {
  with_server(answers_by_path, [](server& s) -> task<> {
    client c{client_options{}.max_connections(1)};
    std::vector<task<std::string>> all;
    co_await with_nursery([&](nursery& n) -> task<> {
      for (int i = 0; i < 10; ++i) {
        n.start([](client& from, std::string at) -> task<> { (void)co_await fetch(from, at); },
                std::ref(c), s.at());
      }
      co_return;
    });
    EXPECT_EQ(s.connections, 1);
    EXPECT_EQ(c.statistics().reused, 9u);
  });
}

TEST_P(http_point_23_on, the_time_of_waiting_is_no_time_of_the_exchange) {
  with_server(answers_by_path, [](server& s) -> task<> {
    client c{hosts_at(s.port()).max_connections(1).total_timeout(200ms)};
    auto first = co_await c.get(on_host(0, s.port()));
    auto rest = [&]() -> task<> {
      auto r = co_await c.get(on_host(1, s.port()));
      EXPECT_GE(r.times().queued, 250ms);
      (void)co_await r.text();
    };
    auto both = [&](nursery& n) -> task<> {
      n.start(rest);
      co_await sleep_for(300ms);
      const auto f = co_await failure_of(first.text());
      EXPECT_EQ(f.kind, "none") << f.text;
    };
    co_await with_nursery(std::ref(both));
  });
}

TEST_P(http_point_23_on, one_address_has_a_limit_whatever_its_names) {
  int most = 0;
  auto script = [&](peer& p) -> task<> {
    auto answering = answers_by_path(p);
    co_await std::move(answering);
  };
  with_server(script, [&](server& s) -> task<> {
    client c{hosts_at(s.port()).per_address(2)};
    co_await with_nursery([&](nursery& n) -> task<> {
      for (int i = 0; i < 12; ++i) {
        n.start([](client& from, std::string at) -> task<> { (void)co_await fetch(from, at); },
                std::ref(c), on_host(i, s.port(), "/slow"));
      }
      for (int i = 0; i < 30; ++i) {
        co_await sleep_for(3ms);
        most = std::max(most, static_cast<int>(c.statistics().in_use - c.statistics().waiting));
      }
    });
    EXPECT_EQ(s.connections, 12);
    EXPECT_LE(most, 2);
    EXPECT_LE(c.statistics().idle, 2u);
    EXPECT_EQ(c.statistics().waiting, 0u);
    // An idle one to that address gives way.
    (void)co_await fetch(c, on_host(20, s.port()));
    EXPECT_EQ(s.connections, 13);
  });
}

TEST_P(http_point_23_on, the_only_connection_to_an_address_gives_way_to_another_host) {
  with_server(answers_by_path, [](server& s) -> task<> {
    client c{hosts_at(s.port()).per_address(1)};
    for (int i = 0; i < 4; ++i) {
      const auto body = co_await fetch(c, on_host(i, s.port()));
      EXPECT_EQ(body, "x");
      EXPECT_EQ(c.statistics().idle, 1u);
    }
    EXPECT_EQ(s.connections, 4);
  });
}

TEST_P(http_point_23_on, a_connection_that_is_too_old_is_not_used_again) {
  with_server(answers_by_path, [](server& s) -> task<> {
    client c{client_options{}.max_age(60ms).idle_timeout(10s)};
    (void)co_await fetch(c, s.at());
    (void)co_await fetch(c, s.at());
    EXPECT_EQ(s.connections, 1);
    co_await sleep_for(80ms);
    (void)co_await fetch(c, s.at());
    EXPECT_EQ(s.connections, 2);
    // One that grew old in use is not even kept.
    auto r = co_await c.get(s.at());
    co_await sleep_for(80ms);
    (void)co_await r.text();
    auto again = co_await c.get(s.at());
    EXPECT_EQ(s.connections, 3);
  });
}

TEST_P(http_point_23_on, closing_the_client_answers_those_who_wait_for_a_connection) {
  with_server(answers_by_path, [](server& s) -> task<> {
    client c{hosts_at(s.port()).max_connections(1)};
    auto held = co_await c.get(on_host(0, s.port()));
    auto waits = [&]() -> task<> {
      const auto f = co_await failure_of(c.get(on_host(1, s.port())));
      EXPECT_EQ(f.kind, "other");
      EXPECT_NE(f.text.find("closed"), f.text.npos) << f.text;
    };
    auto both = [&](nursery& n) -> task<> {
      n.start(waits);
      co_await eventually([&] { return c.statistics().waiting == 1; });
      co_await c.close();
    };
    co_await with_nursery(std::ref(both));
    EXPECT_EQ(c.statistics().waiting, 0u);
  });
}

TEST_P(http_point_23_on, all_limits_together_with_cancellations_never_stand_still) {
  with_server(answers_by_path, [](server& s) -> task<> {
    client c{hosts_at(s.port()).max_connections(4).per_host(2).per_address(3)};
    int done = 0, given_up = 0;
    auto one = [&](int i) -> task<> {
      if (i % 7 == 3) {
        auto getting = fetch(c, on_host(i % 6, s.port(), "/slow"));
        auto soon = move_on_after(std::chrono::milliseconds{i % 30}, std::move(getting));
        const auto got = co_await std::move(soon);
        ++(got ? done : given_up);
      } else {
        (void)co_await fetch(c, on_host(i % 6, s.port(), i % 5 == 0 ? "/slow" : "/"));
        ++done;
      }
    };
    co_await with_nursery([&](nursery& n) -> task<> {
      for (int i = 0; i < 150; ++i) n.start(one, i);
      co_return;
    });
    EXPECT_EQ(done + given_up, 150);
    EXPECT_GE(done, 128);
    const auto now = c.statistics();
    EXPECT_EQ(now.in_use, 0u);
    EXPECT_EQ(now.waiting, 0u);
    EXPECT_LE(now.idle, 3u);
    co_await c.close();
    co_await eventually([&] { return s.open == 0; });
  });
}

// ---- descriptors ----

/// Leaves this process `free` descriptors, as long as it lives.
class few_descriptors {
 public:
  explicit few_descriptors(std::size_t free) {
    ::getrlimit(RLIMIT_NOFILE, &old_);
    rlimit low = old_;
    low.rlim_cur = std::min<rlim_t>(256, old_.rlim_cur);
    ::setrlimit(RLIMIT_NOFILE, &low);
    while (take_one()) {
    }
    for (std::size_t i = 0; i < free && !taken_.empty(); ++i) give_one_back();
  }
  ~few_descriptors() {
    while (!taken_.empty()) give_one_back();
    ::setrlimit(RLIMIT_NOFILE, &old_);
  }
  few_descriptors(const few_descriptors&) = delete;
  few_descriptors& operator=(const few_descriptors&) = delete;
  void give_one_back() {
    ::close(taken_.back());
    taken_.pop_back();
  }
  bool take_one() {
    const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) taken_.push_back(fd);
    return fd >= 0;
  }

 private:
  rlimit old_{};
  std::vector<int> taken_;
};

/// A server that has descriptors of its own, as if it were another process.
struct server_elsewhere {
  few_descriptors& left;
  net::tcp_listener listener{net::endpoint{net::ip_address::loopback_v4(), 0}};
  std::vector<std::string> requests{};
  int connections = 0;

  [[nodiscard]] std::uint16_t port() const { return listener.local_endpoint().port(); }
  task<> one(net::tcp_stream s) {
    try {
      http_peer p{std::move(s), ++connections, requests};
      auto answering = answers_by_path(p);
      co_await std::move(answering);
    } catch (const error&) {
    }
    left.take_one();
  }
  task<> serve() {
    co_await with_nursery([this](nursery& n) -> task<> {
      while (true) {
        co_await listener.acceptable();
        left.give_one_back();
        auto s = co_await listener.accept();
        n.start(&server_elsewhere::one, this, std::move(s));
      }
    });
  }
};

TEST_P(http_point_23_on, there_are_never_too_many_open_files) {
  go([]() -> task<> {
    few_descriptors few{6};  // one of them for the listener
    server_elsewhere s{few};
    auto both = [&](nursery& n) -> task<> {
      n.start(&server_elsewhere::serve, &s);
      client c{hosts_at(s.port())};
      co_await with_nursery([&](nursery& requests) -> task<> {
        for (int i = 0; i < 60; ++i) {
          requests.start(
              [](client& from, std::string at) -> task<> {
                const auto body = co_await fetch(from, at);
                EXPECT_EQ(body, "x");
              },
              std::ref(c), on_host(i, s.port(), i % 3 == 0 ? "/slow" : "/"));
        }
        co_return;
      });
      EXPECT_EQ(s.requests.size(), 60u);
      EXPECT_EQ(c.statistics().waiting, 0u);
      EXPECT_EQ(c.statistics().in_use, 0u);
      n.cancel();
    };
    co_await with_nursery(std::ref(both));
  });
}

TEST_P(http_point_23_on, without_any_descriptor_that_could_come_back_it_is_an_error) {
  go([]() -> task<> {
    client c;
    const few_descriptors none{0};
    const auto f = co_await failure_of(c.get("http://127.0.0.1:1/"));
    EXPECT_EQ(f.kind, "other");
    EXPECT_EQ(f.text, "connect 127.0.0.1:1: Too many open files");
    EXPECT_EQ(c.statistics().in_use, 0u);
    EXPECT_EQ(c.statistics().waiting, 0u);
  });
}

TEST_P(http_point_23_on, a_lookup_waits_for_a_descriptor_too) {
  go([]() -> task<> {
    dns_server names;
    std::optional<few_descriptors> few{std::in_place, 16};
    server_elsewhere s{*few};
    auto both = [&](nursery& n) -> task<> {
      n.start(&server_elsewhere::serve, &s);
      n.start(&dns_server::serve, &names);
      co_await sleep_for(5ms);
      client_options o;
      o.resolver(net::resolver_options{}.servers({names.at()}).search({}).hosts_file(""));
      o.resolve("told.test", s.port(), net::ip_address::loopback_v4());
      client c{o};
      const std::string port = ":" + std::to_string(s.port());
      auto held = co_await c.get("http://told.test" + port + "/half");
      while (few->take_one()) {
      }
      auto waits = [&]() -> task<> {
        auto r = co_await c.get("http://local4.test" + port + "/");
        EXPECT_GE(r.times().queued, 50ms);
        EXPECT_LT(r.times().dns, 2s);
        (void)co_await r.text();
      };
      n.start(waits);
      co_await eventually([&] { return c.statistics().waiting == 1; });
      for (int i = 0; i < 8; ++i) few->give_one_back();
      (void)co_await held.text();
      co_await eventually([&] { return s.requests.size() == 2; });
      co_await eventually([&] { return c.statistics().in_use == 0; });
      n.cancel();
    };
    co_await with_nursery(std::ref(both));
  });
}

// ---- what arrives on an idle connection ----

TEST_P(http_point_23_on, http_point_20_bytes_nobody_asked_for_end_an_idle_connection) {
  auto script = [](peer& p) -> task<> {
    (void)co_await p.request();
    co_await p.answer("x");
    if (p.number == 1) {
      // A response that would be taken for that to the next request.
      co_await sleep_for(5ms);
      co_await p.say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    }
    (void)co_await p.request();
    co_await p.answer("y");
  };
  with_server(script, [](server& s) -> task<> {
    client c;
    (void)co_await fetch(c, s.at());
    co_await sleep_for(30ms);
    const auto body = co_await fetch(c, s.at());
    EXPECT_EQ(body, "x");
    EXPECT_EQ(s.connections, 2);
    EXPECT_EQ(c.statistics().discarded, 1u);
  });
}

}  // namespace
}  // namespace oneloop::inline v0::test
