// 10,000 URLs of a server that drops connections, dribbles, lies about lengths and sends garbage:
// each gets the one verdict that is its due, and nothing is left behind.
#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "oneloop/check/check.hpp"
#include "oneloop/http/client_test.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/task/run.hpp"

namespace oneloop::inline v0::test {
namespace {

using namespace std::chrono_literals;

constexpr int urls = 10'000;

enum class manner {
  fine,
  dribble,
  interim,
  drop,
  half_head,
  reset,
  garbage,
  cut,
  bad_chunk,
  endless
};

/// One in ten is dropped in one way or another; one in five is odd in other ways.
manner manner_of(int i) {
  switch (i % 20) {
    case 3: return i % 40 == 3 ? manner::drop : manner::half_head;
    case 7: return manner::reset;
    case 9: return manner::garbage;
    case 11: return manner::cut;
    case 13: return manner::bad_chunk;
    case 15: return manner::interim;
    case 17: return i % 40 == 17 ? manner::dribble : manner::endless;
    default: return manner::fine;
  }
}

/// What a checker should say to it; empty if it is OK.
std::string due(manner m) {
  switch (m) {
    case manner::fine:
    case manner::dribble:
    case manner::interim: return {};
    case manner::drop:
    case manner::reset: return "reset";
    case manner::half_head:
    case manner::garbage:
    case manner::cut:
    case manner::bad_chunk: return "protocol";
    case manner::endless: return "too_large";
  }
  return "?";
}

/// Answers as `m` says; false: the connection is over.
task<bool> answer(http_peer& p, manner m) {
  bool going_on = false;
  switch (m) {
    case manner::fine: {
      auto saying = p.answer("hello");
      co_await std::move(saying);
      going_on = true;
      break;
    }
    case manner::dribble: {
      const std::string text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
      for (const char c : text) {
        auto saying = p.say(std::string(1, c));
        co_await std::move(saying);
        co_await sleep_for(200us);
      }
      going_on = true;
      break;
    }
    case manner::interim: {
      auto saying = p.say(
          "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
          "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
      co_await std::move(saying);
      going_on = true;
      break;
    }
    case manner::drop: break;
    case manner::half_head: {
      auto saying = p.say("HTTP/1.1 200 OK\r\nContent-Le");
      co_await std::move(saying);
      break;
    }
    case manner::reset: p.reset(); break;
    case manner::garbage: {
      auto saying = p.say("\x16\x03\x01 220 mail.example.org ESMTP\r\n");
      co_await std::move(saying);
      break;
    }
    case manner::cut: {
      auto saying = p.say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello");
      co_await std::move(saying);
      break;
    }
    case manner::bad_chunk: {
      auto saying = p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nhello\r\n");
      co_await std::move(saying);
      break;
    }
    case manner::endless: {
      auto saying = p.say("HTTP/1.1 200 OK\r\nX: " + std::string(300'000, 'x'));
      co_await std::move(saying);
      break;
    }
  }
  co_return going_on;
}

class chaos : public http_on_backends {};
ON_BACKENDS(chaos);

TEST_P(chaos, every_url_gets_its_verdict) {
  const auto before = open_sockets();
  auto script = [](http_peer& p) -> task<> {
    while (true) {
      auto reading = p.request();
      const bool more = co_await std::move(reading);
      if (!more) break;
      auto answering = answer(p, manner_of(std::stoi(p.last_path().substr(1))));
      const bool going_on = co_await std::move(answering);
      if (!going_on) break;
    }
  };
  with_server(script, [&](http_script_server& s) -> task<> {
    std::map<std::string, std::string> verdicts;
    auto sink = [&](check_result r) -> task<> {
      const bool fresh =
          verdicts.emplace(r.url, r.ok ? "" : std::string{to_string(r.error->kind())}).second;
      EXPECT_TRUE(fresh) << r.url;
      co_return;
    };
    std::vector<std::string> list;
    for (int i = 0; i < urls; ++i) list.push_back(s.at("/" + std::to_string(i)));
    auto checking = check_urls(list, check_sink{sink},
                               check_options{}.method(check_method::get).retries(0).timeout(60s));
    const auto summary = co_await fail_after(100s, std::move(checking));
    EXPECT_EQ(summary.total(), static_cast<std::uint64_t>(urls));
    int wrong = 0;
    for (int i = 0; i < urls; ++i) {
      const std::string& said = verdicts[list[static_cast<std::size_t>(i)]];
      if (said != due(manner_of(i)) && wrong++ < 5) {
        ADD_FAILURE() << list[static_cast<std::size_t>(i)] << ": " << said << ", not "
                      << due(manner_of(i));
      }
    }
    EXPECT_EQ(wrong, 0);
  });
  EXPECT_EQ(open_sockets(), before);
}

TEST_P(chaos, with_retries_dropped_connections_are_no_verdict) {
  // Every URL fails the first time it is asked for, in one of two ways, one in ten of them twice.
  std::map<std::string, int> asked;
  auto script = [&asked](http_peer& p) -> task<> {
    while (true) {
      auto reading = p.request();
      const bool more = co_await std::move(reading);
      if (!more) break;
      const std::string path = p.last_path();
      const int number = std::stoi(path.substr(1));
      const int times = ++asked[path];
      if (times <= (number % 10 == 0 ? 2 : number % 10 == 5 ? 1 : 0)) {
        if (number % 20 < 10) {
          p.reset();
          break;
        }
        auto saying = p.say("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
        co_await std::move(saying);
        continue;
      }
      auto saying = p.answer("hello");
      co_await std::move(saying);
    }
  };
  with_server(script, [&](http_script_server& s) -> task<> {
    std::uint64_t attempts = 0;
    std::string first_bad;
    auto sink = [&](check_result r) -> task<> {
      attempts += static_cast<std::uint64_t>(r.attempts);
      if (!r.ok && first_bad.empty()) first_bad = r.url + ": " + r.error->message();
      co_return;
    };
    std::vector<std::string> list;
    for (int i = 0; i < 2'000; ++i) list.push_back(s.at("/" + std::to_string(i)));
    auto checking =
        check_urls(list, check_sink{sink},
                   check_options{}.method(check_method::get).retries(3).backoff(20ms).timeout(60s));
    const auto summary = co_await fail_after(100s, std::move(checking));
    EXPECT_EQ(summary.ok(), 2'000u) << first_bad;
    EXPECT_GT(attempts, 2'000u + 200u);
  });
}

}  // namespace
}  // namespace oneloop::inline v0::test
