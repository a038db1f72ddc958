// Downloads that break off and go on, and conditional requests. (Points 5 and 15 of what a serious
// client must get right; the numbers in the names.)
#include "oneloop/http/download.hpp"

#include <stdexcept>

#include "oneloop/http/client_test.hpp"

namespace oneloop::inline v0::test {
namespace {

using http::client;
using http::download;
using http::download_error;
using http::download_options;
using http::download_result;
using http::partial_content;
using http::request;

struct text_sink final : http::download_sink {
  std::string text;
  int restarts = 0;
  task<> restart() override {
    text.clear();
    ++restarts;
    co_return;
  }
  task<> write(std::span<const std::byte> bytes) override {
    text += text_of(bytes);
    co_return;
  }
};

/// A file on a server that breaks off every answer after `piece` bytes.
struct shaky_file {
  std::string content = std::string(1000, 'a') + std::string(1000, 'b') + std::string(500, 'c');
  std::string tag = "\"v1\"";
  std::size_t piece = 1000;
  bool ranges = true;
  std::string range_lie;  // put in place of the Content-Range
  std::vector<std::string> asked;

  http_script_server::script script() {
    return [this](http_peer& p) -> task<> {
      const bool there = co_await p.request();
      if (!there) co_return;
      const std::string head = p.last_head();
      const auto at = head.find("Range: bytes=");
      const bool valid =
          at != head.npos && ranges && head.find("If-Range: " + tag + "\r\n") != head.npos;
      asked.push_back(at == head.npos ? "all"
                                      : head.substr(at + 13, head.find('\r', at) - at - 13));
      std::size_t from = 0;
      std::string lines = "ETag: " + tag + "\r\n";
      if (valid) {
        from = std::stoul(asked.back());
        if (from >= content.size()) {
          co_await p.say("HTTP/1.1 416 No\r\nContent-Range: bytes */" +
                         std::to_string(content.size()) + "\r\nContent-Length: 0\r\n\r\n");
          co_return;
        }
        std::string range = "bytes " + std::to_string(from) + "-" +
                            std::to_string(content.size() - 1) + "/" +
                            std::to_string(content.size());
        if (!range_lie.empty()) range = range_lie;
        lines += "Content-Range: " + range + "\r\n";
      }
      const std::string rest = content.substr(from);
      co_await p.say("HTTP/1.1 " + std::string{valid ? "206 Part" : "200 OK"} + "\r\n" + lines +
                     "Content-Length: " + std::to_string(rest.size()) + "\r\n\r\n" +
                     rest.substr(0, piece));
    };
  }
};

class http_downloads_on : public http_on_backends {
 protected:
  static request get(const server& s) { return {"GET", url::parse(s.at("/f")).value()}; }
  struct failed {
    http_failure failure;
    partial_content partial;
  };
  static task<failed> failure_in(client& c, request r, text_sink& sink, download_options o) {
    failed f;
    auto observed = [&]() -> task<> {
      auto running = download(c, std::move(r), sink, std::move(o));
      try {
        (void)co_await std::move(running);
      } catch (const download_error& e) {
        f.partial = e.partial();
        throw;
      }
    };
    f.failure = co_await failure_of(observed());
    co_return f;
  }
};
ON_BACKENDS(http_downloads_on);

TEST_P(http_downloads_on, p15_what_breaks_off_is_resumed) {
  shaky_file file;
  with_server(file.script(), [&](server& s) -> task<> {
    client c;
    text_sink sink;
    const auto r = co_await download(c, get(s), sink);
    EXPECT_TRUE(sink.text == file.content);
    EXPECT_EQ(sink.restarts, 1);
    EXPECT_EQ(r.size, 2500u);
    EXPECT_EQ(r.received, 2500u);
    EXPECT_EQ(r.requests, 3);
    EXPECT_EQ(r.state.etag, "\"v1\"");
    EXPECT_EQ(file.asked, (std::vector<std::string>{"all", "1000-", "2000-"}));
    EXPECT_NE(s.requests[0].find("\r\nAccept-Encoding: identity\r\n"), std::string::npos);
  });
}

TEST_P(http_downloads_on, p05_an_incomplete_body_is_an_error_with_what_is_needed_to_go_on) {
  shaky_file file;
  with_server(file.script(), [&](server& s) -> task<> {
    client c;
    text_sink sink;
    const auto f = co_await failure_in(c, get(s), sink, download_options{}.attempts(1));
    EXPECT_EQ(f.failure.kind, "protocol");
    EXPECT_EQ(f.failure.phase, "body");
    EXPECT_EQ(f.partial.received, 1000u);
    EXPECT_EQ(f.partial.total, 2500u);
    EXPECT_EQ(f.partial.validator, "\"v1\"");
    EXPECT_TRUE(sink.text == file.content.substr(0, 1000));
    file.piece = 5000;
    const auto r = co_await download(c, get(s), sink, download_options{}.resume(f.partial));
    EXPECT_TRUE(sink.text == file.content);
    EXPECT_EQ(r.received, 1500u);
    EXPECT_EQ(r.size, 2500u);
    EXPECT_EQ(sink.restarts, 1);
  });
}

TEST_P(http_downloads_on, p15_another_state_starts_anew) {
  shaky_file file;
  file.piece = 5000;
  with_server(file.script(), [&](server& s) -> task<> {
    client c;
    text_sink sink;
    sink.text = "old stuff";
    partial_content old{.received = 9, .total = 100, .validator = "\"v0\""};
    const auto r = co_await download(c, get(s), sink, download_options{}.resume(old));
    EXPECT_TRUE(sink.text == file.content);
    EXPECT_EQ(sink.restarts, 1);
    EXPECT_EQ(r.requests, 1);
    // A server that knows no ranges.
    file.ranges = false;
    partial_content half{.received = 9, .total = 2500, .validator = "\"v1\""};
    (void)co_await download(c, get(s), sink, download_options{}.resume(half));
    EXPECT_TRUE(sink.text == file.content);
    EXPECT_EQ(sink.restarts, 2);
  });
}

TEST_P(http_downloads_on, p15_a_range_that_was_not_asked_for_is_never_joined) {
  for (const char* lie : {"bytes 1001-2499/2500", "bytes 0-2499/2500", "bytes 1000-2499/2600",
                          "pages 1000-2499/2500", "nonsense"}) {
    shaky_file file;
    file.range_lie = lie;
    file.piece = 5000;
    with_server(file.script(), [&](server& s) -> task<> {
      client c;
      text_sink sink;
      sink.text = file.content.substr(0, 1000);
      partial_content half{.received = 1000, .total = 2500, .validator = "\"v1\""};
      const auto r = co_await download(c, get(s), sink, download_options{}.resume(half));
      EXPECT_TRUE(sink.text == file.content) << lie;
      EXPECT_EQ(r.requests, 2);
      EXPECT_EQ(file.asked[1], "all");
    });
  }
}

TEST_P(http_downloads_on, p15_a_range_with_other_bytes_than_it_says_is_an_error) {
  shaky_file file;
  file.piece = 5000;
  file.range_lie = "bytes 1000-1999/2500";  // and sends all the rest
  with_server(file.script(), [&](server& s) -> task<> {
    client c;
    text_sink sink;
    sink.text = file.content.substr(0, 1000);
    partial_content half{.received = 1000, .total = 2500, .validator = "\"v1\""};
    const auto f =
        co_await failure_in(c, get(s), sink, download_options{}.resume(half).attempts(1));
    EXPECT_EQ(f.failure.kind, "protocol");
    EXPECT_NE(f.failure.text.find("more than its Content-Range says"), std::string::npos)
        << f.failure.text;
    EXPECT_TRUE(file.content.starts_with(sink.text));
  });
}

TEST_P(http_downloads_on, p15_416_for_all_bytes_is_the_end) {
  shaky_file file;
  with_server(file.script(), [&](server& s) -> task<> {
    client c;
    text_sink sink;
    partial_content all{.received = 2500, .total = 2500, .validator = "\"v1\""};
    const auto r = co_await download(c, get(s), sink, download_options{}.resume(all));
    EXPECT_EQ(r.size, 2500u);
    EXPECT_EQ(r.received, 0u);
    EXPECT_EQ(sink.restarts, 0);
    // More than there is: not that file.
    file.piece = 5000;
    partial_content more{.received = 2600, .total = {}, .validator = "\"v1\""};
    (void)co_await download(c, get(s), sink, download_options{}.resume(more));
    EXPECT_TRUE(sink.text == file.content);
  });
}

TEST_P(http_downloads_on, p15_without_a_validator_nothing_is_resumed) {
  shaky_file file;
  file.tag = "W/\"weak\"";
  with_server(file.script(), [&](server& s) -> task<> {
    client c;
    text_sink sink;
    const auto f = co_await failure_in(c, get(s), sink, download_options{});
    EXPECT_EQ(f.failure.kind, "protocol");
    EXPECT_EQ(f.partial.received, 1000u);
    EXPECT_FALSE(f.partial.resumable());
    EXPECT_EQ(file.asked.size(), 1u);
  });
}

TEST_P(http_downloads_on, p15_another_status_is_an_error) {
  auto script = [](peer& p) -> task<> {
    while (true) {
      const bool more = co_await p.request();
      if (!more) break;
      co_await p.say("HTTP/1.1 404 Not Here\r\nContent-Length: 2\r\n\r\nno");
    }
  };
  with_server(script, [](server& s) -> task<> {
    client c;
    text_sink sink;
    const auto f = co_await failure_in(c, get(s), sink, download_options{});
    EXPECT_EQ(f.failure.kind, "status");
    EXPECT_EQ(f.failure.text, "GET " + s.at("/f") + ": 404 Not Here");
    EXPECT_EQ(sink.restarts, 0);
    partial_content half{.received = 10, .total = {}, .validator = "\"v1\""};
    const auto again = co_await failure_in(c, get(s), sink, download_options{}.resume(half));
    EXPECT_EQ(again.failure.kind, "status");
    EXPECT_EQ(again.partial.received, 10u);
  });
}

TEST_P(http_downloads_on, what_a_sink_throws_is_not_changed) {
  struct full final : http::download_sink {
    task<> restart() override { co_return; }
    task<> write(std::span<const std::byte>) override {
      throw std::length_error{"the disk is full"};
      co_return;
    }
  };
  shaky_file file;
  with_server(file.script(), [&](server& s) -> task<> {
    client c;
    full sink;
    std::string said;
    try {
      (void)co_await download(c, get(s), sink);
    } catch (const std::length_error& e) {
      said = e.what();
    }
    EXPECT_EQ(said, "the disk is full");
    EXPECT_EQ(c.statistics().in_use, 0u);
  });
}

TEST_P(http_downloads_on, p15_304_says_that_nothing_has_changed) {
  auto script = [](peer& p) -> task<> {
    while (true) {
      const bool more = co_await p.request();
      if (!more) break;
      const std::string lines = "ETag: W/\"7\"\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
      const bool same = p.last_head().find("If-None-Match: W/\"7\"\r\n") != std::string::npos &&
                        p.last_head().find("If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT") !=
                            std::string::npos;
      if (same) {
        co_await p.say("HTTP/1.1 304 Same\r\nContent-Length: 5\r\n" + lines + "\r\n");
      } else {
        co_await p.answer("hello", lines);
      }
    }
  };
  with_server(script, [](server& s) -> task<> {
    client c;
    text_sink sink;
    const auto first = co_await download(c, get(s), sink);
    EXPECT_FALSE(first.not_modified);
    EXPECT_EQ(sink.text, "hello");
    const auto second = co_await download(c, get(s), sink, download_options{}.unless(first.state));
    EXPECT_TRUE(second.not_modified);
    EXPECT_EQ(sink.restarts, 1);
    EXPECT_EQ(s.connections, 1);
    auto again = get(s);
    first.state.ask(again.fields());
    auto r = co_await c.send(again);
    EXPECT_EQ(r.status(), 304);
  });
}

TEST(http_validators, p15_are_what_the_response_says_once) {
  http::headers fields;
  EXPECT_FALSE(http::validators::of(fields));
  fields.add("ETag", "\"a\"");
  const auto v = http::validators::of(fields);
  EXPECT_EQ(v.etag, "\"a\"");
  http::headers ask;
  ask.add("If-Modified-Since", "yesterday");
  v.ask(ask);
  EXPECT_EQ(ask.get("If-None-Match"), "\"a\"");
  EXPECT_FALSE(ask.contains("If-Modified-Since"));
  fields.add("ETag", "\"b\"");
  EXPECT_FALSE(http::validators::of(fields));
}

}  // namespace
}  // namespace oneloop::inline v0::test
