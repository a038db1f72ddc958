#include "oneloop/check/check.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <map>

#include "oneloop/http/server.hpp"
#include "oneloop/net/net_test.hpp"
#include "oneloop/net/tcp.hpp"
#include "oneloop/sync/event.hpp"

namespace oneloop {
namespace {

using namespace test;
using http::error_kind;
using http::server_request;
using http::server_response;
using ::testing::HasSubstr;

class check : public on_backends {};
ON_BACKENDS(check);

/// A site with a page for each behaviour, and a port on which nobody listens.
class site {
 public:
  site()
      : server_{[this](server_request& r) { return answer(r); },
                http::server_options{}.stop_timeout(50ms)} {}

  [[nodiscard]] std::string url(std::string_view path) const {
    return "http://" + listener_.local_endpoint().to_string() + std::string{path};
  }
  [[nodiscard]] std::string closed_port() const {
    return "http://" + net::raw_address::local_of(reserved_.fd()).to_endpoint().to_string() + "/";
  }
  task<> serve() { return server_.serve(listener_); }
  [[nodiscard]] int count(const std::string& request) { return seen_[request]; }
  [[nodiscard]] int at_once() const { return most_; }
  [[nodiscard]] http::server_statistics statistics() const { return server_.statistics(); }

 private:
  task<server_response> answer(server_request& r) {
    const std::string path{r.path()};
    ++seen_[r.method() + " " + path];
    most_ = std::max(most_, ++now_);
    const struct leaving {
      int& n;
      ~leaving() { --n; }
    } at_end{now_};
    if (path == "/ok") co_return server_response{}.body("fine\n");
    if (path == "/slow") {
      co_await sleep_for(20ms);
      co_return server_response{}.body("slow\n");
    }
    if (path == "/hang") co_await sleep_forever();
    if (path == "/no-head") co_return server_response{r.method() == "HEAD" ? 405 : 200};
    if (path == "/head-hangs") {
      if (r.method() == "HEAD") co_await sleep_forever();
      co_return server_response{}.body("answered\n");
    }
    if (path == "/500") co_return server_response{500};
    if (path == "/410") co_return server_response{410};
    if (path == "/304") co_return server_response{304};
    if (path == "/teapot") co_return server_response{418}.reason("Short and Stout");
    if (path == "/flaky") {
      co_return server_response{seen_["HEAD /flaky"] + seen_["GET /flaky"] < 5 ? 503 : 200};
    }
    if (path == "/busy") {
      if (seen_["HEAD /busy"] + seen_["GET /busy"] > 2) co_return server_response{};
      co_return server_response{429}.field("Retry-After", "0");
    }
    if (path == "/busy-for-long") {
      co_return server_response{429}.field("Retry-After", "7200");
    }
    if (path == "/cookie") {
      if (r.fields().get("Cookie") == "seen=yes") co_return server_response{}.body("welcome\n");
      co_return server_response{302}
          .field("Location", "/cookie?again")
          .field("Set-Cookie", "seen=yes; Path=/");
    }
    if (path == "/moved-twice") co_return server_response{307}.field("Location", "/moved");
    if (path == "/moved-to-nobody") {
      co_return server_response{301}.field("Location", "http://127.0.0.1:1/");
    }
    if (path == "/moved") co_return server_response{301}.field("Location", "/ok");
    if (path == "/loop") co_return server_response{302}.field("Location", "/loop");
    if (path == "/big") co_return server_response{}.body(std::string(1'000'000, 'x'));
    co_return server_response{404}.body("no such page\n");
  }

  net::tcp_listener listener_{net::endpoint{net::ip_address::loopback_v4(), 0}};
  // Bound, and not listening: nobody else can get this port meanwhile.
  descriptor reserved_ = descriptor::adopt(reserve());
  static int reserve() {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const net::raw_address any{net::endpoint{net::ip_address::loopback_v4(), 0}};
    EXPECT_EQ(::bind(fd, any.data(), any.size()), 0);
    return fd;
  }

  http::server server_;
  std::map<std::string, int> seen_;
  int now_ = 0, most_ = 0;
};

/// Checks `inputs` beside the site.
task<std::vector<check_result>> verdicts(site& s, std::vector<std::string> inputs,
                                         check_options options) {
  std::vector<check_result> all;
  auto keep = [&](check_result r) -> task<> {
    all.push_back(std::move(r));
    co_return;
  };
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> {
      auto serving = s.serve();
      co_await std::move(serving);
    });
    auto checking = check_urls(std::move(inputs), check_sink{keep}, options);
    const auto summary = co_await std::move(checking);
    EXPECT_EQ(summary.total(), all.size());
    n.cancel();
  });
  co_return all;
}

task<check_result> verdict(site& s, std::string input, check_options options = {}) {
  std::vector<std::string> one;
  one.push_back(std::move(input));
  auto asking = verdicts(s, std::move(one), std::move(options));
  auto all = co_await std::move(asking);
  EXPECT_EQ(all.size(), 1u);
  co_return std::move(all.at(0));
}

std::string error_of(const check_result& r) {
  if (!r.error) return "none";
  return std::string{to_string(r.error->kind())} + ": " + r.error->message();
}

TEST_P(check, a_page_is_ok_after_one_head) {
  go([]() -> task<> {
    site s;
    auto asking = verdict(s, s.url("/ok"));
    const auto r = co_await std::move(asking);
    EXPECT_TRUE(r.ok) << error_of(r);
    EXPECT_EQ(r.url, s.url("/ok"));
    EXPECT_EQ(r.final_url, s.url("/ok"));
    EXPECT_EQ(r.status, 200);
    EXPECT_FALSE(r.error);
    EXPECT_GT(r.times.total, 0ns);
    EXPECT_EQ(s.count("HEAD /ok"), 1);
    EXPECT_EQ(s.count("GET /ok"), 0);
  });
}

TEST_P(check, get_reads_the_body) {
  go([]() -> task<> {
    site s;
    auto asking = verdict(s, s.url("/big"), check_options{}.method(check_method::get));
    const auto r = co_await std::move(asking);
    EXPECT_TRUE(r.ok) << error_of(r);
    EXPECT_EQ(r.bytes, 1'000'000u);
    EXPECT_EQ(s.count("HEAD /big"), 0);
  });
}

TEST_P(check, get_is_tried_where_head_fails) {
  go([]() -> task<> {
    site s;
    auto first = verdict(s, s.url("/no-head"));
    const auto refused = co_await std::move(first);
    EXPECT_TRUE(refused.ok) << error_of(refused);
    EXPECT_EQ(s.count("GET /no-head"), 1);
  });
  go([]() -> task<> {
    site s;
    auto second = verdict(s, s.url("/head-hangs"), check_options{}.timeout(200ms));
    const auto late = co_await std::move(second);
    EXPECT_TRUE(late.ok) << error_of(late);
  });
  go([]() -> task<> {
    site s;
    auto third = verdict(s, s.url("/no-head"), check_options{}.method(check_method::head));
    const auto only_head = co_await std::move(third);
    EXPECT_EQ(error_of(only_head), "status: 405 Method Not Allowed");
    EXPECT_EQ(s.count("GET /no-head"), 0);
  });
}

TEST_P(check, says_what_is_wrong) {
  go([]() -> task<> {
    site s;
    const std::map<std::string, std::string> wanted{
        {s.url("/none"), "status: 404 Not Found"},
        {s.url("/500"), "status: 500 Internal Server Error"},
        {s.url("/410"), "status: 410 Gone"},
        {s.url("/304"), "status: 304 Not Modified"},
        {s.url("/teapot"), "status: 418 I'm a teapot"},
        {"mailto:somebody@example.org", "bad_url: cannot check \"mailto:\", only http: and https:"},
        {"/relative", "bad_url: the URL has no scheme and there is no base"},
        {"http://[::1", "bad_url: the host in brackets is not an IPv6 address"},
    };
    std::vector<std::string> inputs;
    for (const auto& [url, error] : wanted) inputs.push_back(url);
    auto asking = verdicts(s, inputs, check_options{}.retries(0));
    const auto all = co_await std::move(asking);
    EXPECT_EQ(all.size(), wanted.size());
    for (const auto& r : all) EXPECT_EQ(error_of(r), wanted.at(r.url)) << r.url;
    EXPECT_EQ(s.count("GET /none"), 1);
    EXPECT_EQ(s.count("GET /410"), 0);
  });
}

TEST_P(check, tells_a_closed_port_a_loop_and_silence_apart) {
  go([]() -> task<> {
    site s;
    auto first = verdict(s, s.closed_port());
    const auto refused = co_await std::move(first);
    EXPECT_THAT(error_of(refused), testing::StartsWith("refused: connect 127.0.0.1:"));
    EXPECT_THAT(error_of(refused), testing::EndsWith(": Connection refused"));
    EXPECT_EQ(refused.status, 0);
    EXPECT_EQ(refused.final_url, "");
  });
  go([]() -> task<> {
    site s;
    auto second = verdict(s, s.url("/loop"));
    const auto looping = co_await std::move(second);
    EXPECT_EQ(looping.error ? looping.error->kind() : error_kind::status, error_kind::redirect);
  });
  go([]() -> task<> {
    site s;
    auto third = verdict(s, s.url("/hang"), check_options{}.timeout(100ms).retries(0));
    const auto silent = co_await std::move(third);
    EXPECT_EQ(silent.error ? silent.error->kind() : error_kind::status, error_kind::timeout);
    EXPECT_LT(silent.times.total, 2s);
  });
}

TEST_P(check, follows_redirects) {
  go([]() -> task<> {
    site s;
    auto asking = verdict(s, s.url("/moved#part"));
    const auto r = co_await std::move(asking);
    EXPECT_TRUE(r.ok) << error_of(r);
    EXPECT_EQ(r.url, s.url("/moved#part"));
    EXPECT_EQ(r.final_url, s.url("/ok#part"));
  });
}

TEST_P(check, tells_the_redirects) {
  go([]() -> task<> {
    site s;
    auto asking = verdict(s, s.url("/moved-twice"));
    const auto r = co_await std::move(asking);
    EXPECT_TRUE(r.ok) << error_of(r);
    EXPECT_EQ(r.redirects.size(), 2u);
    if (r.redirects.size() == 2) {
      EXPECT_EQ(r.redirects[0].status, 307);
      EXPECT_EQ(r.redirects[0].from, s.url("/moved-twice"));
      EXPECT_EQ(r.redirects[0].to, s.url("/moved"));
      EXPECT_EQ(r.redirects[1].status, 301);
      EXPECT_EQ(r.redirects[1].to, s.url("/ok"));
    }
  });
}

TEST_P(check, tells_the_redirects_and_times_of_a_check_that_failed_behind_them) {
  go([]() -> task<> {
    site s;
    auto asking = verdict(s, s.url("/moved-to-nobody"), check_options{}.retries(0));
    const auto r = co_await std::move(asking);
    EXPECT_FALSE(r.ok);
    EXPECT_EQ(r.status, 0);
    EXPECT_EQ(r.redirects.size(), 1u);
    if (r.redirects.size() == 1) {
      EXPECT_EQ(r.redirects[0].from, s.url("/moved-to-nobody"));
      EXPECT_EQ(r.redirects[0].to, "http://127.0.0.1:1/");
    }
    EXPECT_GT(r.times.total, 0s);
  });
}

TEST_P(check, a_check_keeps_cookies_through_its_redirects_and_no_longer) {
  go([]() -> task<> {
    site s;
    std::vector<std::string> inputs(2, s.url("/cookie"));
    auto asking = verdicts(s, inputs, check_options{}.concurrency(1));
    const auto all = co_await std::move(asking);
    for (const auto& r : all) {
      EXPECT_TRUE(r.ok) << error_of(r);
      EXPECT_EQ(r.redirects.size(), 1u);
    }
  });
}

TEST_P(check, accepts_what_it_is_told_to) {
  go([]() -> task<> {
    site s;
    std::vector<std::string> inputs{s.url("/ok"), s.url("/304"), s.url("/410"), s.url("/none")};
    auto asking = verdicts(s, inputs, check_options{}.accept(status_set{}.add(304).add(404, 499)));
    const auto all = co_await std::move(asking);
    EXPECT_EQ(all.size(), 4u);
    for (const auto& r : all) EXPECT_EQ(r.ok, r.status != 200) << r.url;
  });
}

TEST_P(check, what_may_pass_is_tried_again) {
  go([]() -> task<> {
    site s;
    auto first = verdict(s, s.url("/flaky"), check_options{}.backoff(1ms));
    const auto flaky = co_await std::move(first);
    EXPECT_TRUE(flaky.ok) << error_of(flaky);
    EXPECT_EQ(flaky.attempts, 3);  // HEAD and GET, twice, and a HEAD
    EXPECT_EQ(s.count("HEAD /flaky"), 3);
    EXPECT_EQ(s.count("GET /flaky"), 2);
  });
  go([]() -> task<> {
    site s;
    auto second = verdict(s, s.url("/hang"), check_options{}.timeout(50ms).backoff(1ms));
    const auto silent = co_await std::move(second);
    EXPECT_EQ(silent.error ? silent.error->kind() : error_kind::status, error_kind::timeout);
    EXPECT_EQ(silent.attempts, 3);
    EXPECT_EQ(s.count("HEAD /hang"), 3);
    EXPECT_GE(silent.times.total, 6 * 50ms);
  });
  go([]() -> task<> {
    site s;
    auto third = verdict(s, s.closed_port(), check_options{}.backoff(1ms));
    const auto refused = co_await std::move(third);
    EXPECT_EQ(refused.attempts, 1);
  });
}

TEST_P(check, p16_retry_after_is_honoured_up_to_a_minute) {
  go([]() -> task<> {
    site s;
    auto first = verdict(s, s.url("/busy"), check_options{});
    const auto busy = co_await std::move(first);
    EXPECT_TRUE(busy.ok) << error_of(busy);
    EXPECT_EQ(busy.attempts, 2);
  });
  go([]() -> task<> {
    site s;
    auto second = verdict(s, s.url("/busy-for-long"), check_options{});
    const auto busy = co_await std::move(second);
    EXPECT_EQ(busy.attempts, 1);
    EXPECT_EQ(error_of(busy),
              "status: 429 Too Many Requests, to be asked again in 7200 s: longer than the 60 s "
              "that are waited");
  });
}

/// Closes the first connections without an answer, or in the middle of it; then answers.
class breaking_server {
 public:
  explicit breaking_server(std::string_view first_answer) : first_answer_{first_answer} {}
  [[nodiscard]] std::string url() const {
    return "http://" + listener_.local_endpoint().to_string() + "/";
  }
  task<> serve() {
    while (true) {
      auto stream = co_await listener_.accept();
      auto request = read_text(stream);
      (void)co_await std::move(request);
      const std::string answer{++connections_ <= 2 ? first_answer_ : whole};
      if (!answer.empty()) (void)co_await stream.write_all(net::bytes_of(answer));
    }
  }

 private:
  static constexpr std::string_view whole =
      "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nfine";
  net::tcp_listener listener_{net::endpoint{net::ip_address::loopback_v4(), 0}};
  std::string_view first_answer_;
  int connections_ = 0;
};

TEST_P(check, p05_a_connection_that_breaks_is_tried_again) {
  for (const std::string_view broken :
       {"", "HTTP/1.1 2", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nfi"}) {
    go([broken]() -> task<> {
      breaking_server server{broken};
      std::vector<check_result> all;
      auto keep = [&](check_result r) -> task<> {
        all.push_back(std::move(r));
        co_return;
      };
      co_await with_nursery([&](nursery& n) -> task<> {
        n.start([&]() -> task<> {
          auto serving = server.serve();
          co_await std::move(serving);
        });
        std::vector<std::string> one{server.url()};
        auto options = check_options{}.method(check_method::get).backoff(1ms);
        auto checking = check_urls(one, check_sink{keep}, std::move(options));
        (void)co_await std::move(checking);
        n.cancel();
      });
      EXPECT_EQ(all.size(), 1u);
      EXPECT_TRUE(all.at(0).ok) << broken << ": " << error_of(all.at(0));
      EXPECT_EQ(all.at(0).attempts, 3);
      EXPECT_EQ(all.at(0).bytes, 4u);
    });
  }
}

TEST_P(check, equal_inputs_get_a_verdict_each) {
  go([]() -> task<> {
    site s;
    std::vector<std::string> inputs(7, s.url("/ok"));
    auto asking = verdicts(s, inputs, check_options{});
    const auto all = co_await std::move(asking);
    EXPECT_EQ(all.size(), 7u);
    EXPECT_EQ(s.count("HEAD /ok"), 7);
  });
}

TEST_P(check, no_more_than_the_given_number_run_at_a_time) {
  for (const std::size_t n : {1, 8}) {
    go([n]() -> task<> {
      site s;
      std::vector<std::string> inputs(40, s.url("/slow"));
      auto asking = verdicts(s, inputs, check_options{}.concurrency(n));
      const auto all = co_await std::move(asking);
      EXPECT_EQ(all.size(), 40u);
      EXPECT_EQ(s.at_once(), static_cast<int>(n));
    });
  }
}

TEST_P(check, connections_are_used_again) {
  go([]() -> task<> {
    site s;
    std::vector<std::string> inputs(40, s.url("/ok"));
    for (int i = 0; i < 10; ++i) inputs.push_back(s.url("/none"));
    auto asking = verdicts(s, inputs, check_options{}.concurrency(1));
    const auto all = co_await std::move(asking);
    EXPECT_EQ(all.size(), 50u);
    EXPECT_EQ(s.statistics().accepted, 1u);
  });
}

TEST_P(check, the_source_is_asked_only_when_there_is_room) {
  go([]() -> task<> {
    site s;
    int given = 0, done = 0, most = 0;
    auto source = [&]() -> task<std::optional<std::string>> {
      std::optional<std::string> next;
      if (given < 100) {
        ++given;
        most = std::max(most, given - done);
        next = s.url("/slow");
      }
      co_return next;
    };
    auto sink = [&](check_result r) -> task<> {
      EXPECT_TRUE(r.ok);
      co_await sleep_for(1ms);  // verdicts come one at a time, also when each takes a while
      ++done;
    };
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        auto serving = s.serve();
        co_await std::move(serving);
      });
      auto checking =
          check_urls(check_source{source}, check_sink{sink}, check_options{}.concurrency(5));
      const auto summary = co_await std::move(checking);
      EXPECT_EQ(summary.ok(), 100u);
      n.cancel();
    });
    EXPECT_EQ(done, 100);
    EXPECT_LE(most, 6);
  });
}

TEST_P(check, cancelled_it_reports_what_is_unfinished) {
  go([]() -> task<> {
    site s;
    std::vector<std::string> inputs{s.url("/ok"), s.url("/none")};
    for (int i = 0; i < 20; ++i) inputs.push_back(s.url("/hang"));
    std::vector<check_result> all;
    event two_done;
    auto sink = [&](check_result r) -> task<> {
      co_await yield_now();  // a wait in a cancelled scope
      all.push_back(std::move(r));
      if (all.size() == 2) two_done.set();
    };
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        auto serving = s.serve();
        co_await std::move(serving);
      });
      (void)co_await with_scope(scope_options{}, [&](cancel_scope& scope) -> task<> {
        co_await with_nursery([&](nursery& inner) -> task<> {
          inner.start([&]() -> task<> {
            co_await two_done.wait();
            scope.cancel();
          });
          auto checking =
              check_urls(std::move(inputs), check_sink{sink}, check_options{}.concurrency(5));
          (void)co_await std::move(checking);
          ADD_FAILURE() << "it was cancelled";
        });
      });
      n.cancel();
    });
    EXPECT_EQ(all.size(), 22u);
    check_summary summary;
    for (const auto& r : all) summary.add(r);
    EXPECT_EQ(summary.ok(), 1u);
    EXPECT_EQ(summary.bad(error_kind::status), 1u);
    EXPECT_EQ(summary.bad(error_kind::cancelled), 20u);
    EXPECT_EQ(summary.total(), 22u);
  });
}

TEST_P(check, cancelled_it_does_not_wait_for_a_sink_that_is_stuck) {
  go([]() -> task<> {
    site s;
    std::vector<std::string> inputs(20, s.url("/ok"));
    event delivering;
    auto sink = [&](check_result) -> task<> {
      delivering.set();
      co_await sleep_forever();
    };
    const auto begun = context::current().home()->now();
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        auto serving = s.serve();
        co_await std::move(serving);
      });
      (void)co_await with_scope(scope_options{}, [&](cancel_scope& scope) -> task<> {
        co_await with_nursery([&](nursery& inner) -> task<> {
          inner.start([&]() -> task<> {
            co_await delivering.wait();
            scope.cancel();
          });
          auto checking = check_urls(std::move(inputs), check_sink{sink},
                                     check_options{}.concurrency(5).last_words(100ms));
          (void)co_await std::move(checking);
        });
      });
      n.cancel();
    });
    EXPECT_LT(context::current().home()->now() - begun, 2s);
  });
}

TEST_P(check, an_exception_of_the_sink_ends_everything) {
  go([]() -> task<> {
    site s;
    std::vector<std::string> inputs(20, s.url("/slow"));
    auto sink = [](check_result) -> task<> {
      throw std::runtime_error{"the disk is full"};
      co_return;
    };
    std::string what;
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        auto serving = s.serve();
        co_await std::move(serving);
      });
      try {
        auto checking = check_urls(inputs, check_sink{sink}, check_options{}.concurrency(1));
        (void)co_await std::move(checking);
      } catch (const std::exception& e) {
        what = e.what();
      }
      n.cancel();
    });
    EXPECT_EQ(what, "the disk is full");
  });
}

TEST_P(check, works_between_channels) {
  go([]() -> task<> {
    site s;
    channel<std::string> inputs{4};
    channel<check_result> results;
    int ok = 0, bad = 0;
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        auto serving = s.serve();
        co_await std::move(serving);
      });
      n.start([&]() -> task<> {
        for (int i = 0; i < 30; ++i) co_await inputs.send(s.url(i % 3 == 0 ? "/none" : "/ok"));
        inputs.close();
      });
      n.start([&]() -> task<> {
        auto checking = check_urls(inputs, results, check_options{}.concurrency(7));
        const auto summary = co_await std::move(checking);
        EXPECT_EQ(summary.total(), 30u);
      });
      while (true) {
        auto r = co_await results.receive();
        if (!r) break;
        ++(r->ok ? ok : bad);
      }
      n.cancel();
    });
    EXPECT_EQ(ok, 20);
    EXPECT_EQ(bad, 10);
  });
}

}  // namespace
}  // namespace oneloop
