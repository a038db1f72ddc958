// Bodies that come in a content coding, through the client. (Point 19 of what a serious client must
// get right; the codings themselves are tested beside content_coding.hpp.)
#include <string>
#include <vector>

#include "oneloop/http/client.hpp"
#include "oneloop/http/client_test.hpp"
#include "oneloop/http/content_coding.hpp"
#include "oneloop/http/content_coding_test.hpp"

namespace oneloop::inline v0::test {
namespace {

using http::client;
using http::client_options;
using http::request;

std::string gzip(std::string_view text) { return deflated(text, 31); }

std::string prose(std::size_t size) {
  std::string out;
  unsigned x = 1;
  while (out.size() < size) {
    x = x * 1103515245 + 12345;
    out += "word" + std::to_string(x >> 20) + ' ';
  }
  out.resize(size);
  return out;
}

std::string chunked(std::string_view body, std::size_t size) {
  std::string text;
  while (!body.empty()) {
    const auto part = body.substr(0, size);
    http::write_chunk_start(text, part.size());
    text.append(part).append("\r\n");
    body.remove_prefix(part.size());
  }
  return text + "0\r\n\r\n";
}

class http_codings_on : public http_on_backends {
 protected:
  /// Answers every request with `text`; closes after it if `closes`.
  static server::script says(std::string text, bool closes = false) {
    return [text, closes](http_peer& p) -> task<> {
      while (true) {
        const bool more = co_await p.request();
        if (!more) break;
        co_await p.say(text);
        if (closes) break;
      }
    };
  }
  static std::string with_length(const std::string& coding, const std::string& body) {
    return "HTTP/1.1 200 OK\r\nContent-Encoding: " + coding +
           "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }
};
ON_BACKENDS(http_codings_on);

TEST_P(http_codings_on, p19_bodies_are_decoded_however_they_are_framed) {
  const std::string text = prose(300'000);
  const std::string coded = gzip(text);
  const std::string head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n";
  struct framing {
    std::string answer;
    bool closes;
  };
  for (const auto& f :
       {framing{with_length("gzip", coded), false},
        framing{head + "Transfer-Encoding: chunked\r\n\r\n" + chunked(coded, 777), false},
        framing{head + "\r\n" + coded, true}}) {
    with_server(says(f.answer, f.closes), [&](server& s) -> task<> {
      client c;
      for (int i = 0; i < 2; ++i) {
        auto r = co_await c.get(s.at());
        EXPECT_EQ(r.fields().get("Content-Encoding"), "gzip");
        const auto got = co_await r.text();
        EXPECT_TRUE(got == text);
        EXPECT_EQ(r.bytes(), text.size());
        EXPECT_EQ(r.wire_bytes(), coded.size());
        EXPECT_EQ(c.statistics().idle, f.closes ? 0u : 1u);
      }
      EXPECT_EQ(s.connections, f.closes ? 2 : 1);
    });
  }
}

TEST_P(http_codings_on, p19_small_reads_lose_nothing) {
  const std::string text = prose(50'000);
  with_server(says(with_length("gzip", gzip(text))), [&](server& s) -> task<> {
    client c;
    auto r = co_await c.get(s.at());
    std::string all;
    std::vector<std::byte> b(7);
    while (true) {
      const auto n = co_await r.read_some(b);
      if (n == 0) break;
      all += text_of(std::span{b}.first(n));
    }
    EXPECT_TRUE(all == text);
    EXPECT_EQ(c.statistics().idle, 1u);
  });
}

TEST_P(http_codings_on, p19_codings_may_lie_on_top_of_each_other) {
  const std::string coded = gzip(deflated("hello", 15));
  with_server(says(with_length("deflate, gzip", coded)), [](server& s) -> task<> {
    client c;
    const auto text = co_await fetch(c, s.at());
    EXPECT_EQ(text, "hello");
  });
}

TEST_P(http_codings_on, p19_what_cannot_be_decoded_is_an_error_of_the_body) {
  const std::string coded = gzip(prose(10'000));
  std::string broken = coded;
  broken[broken.size() / 2] = static_cast<char>(broken[broken.size() / 2] ^ 0x55);
  for (const auto& answer :
       {with_length("gzip", broken), with_length("gzip", coded.substr(0, coded.size() / 2)),
        with_length("gzip", "not gzip at all"), with_length("compress", "x"),
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + coded.substr(0, 500)}) {
    with_server(says(answer, true), [](server& s) -> task<> {
      client c;
      auto r = co_await c.get(s.at());
      EXPECT_EQ(r.status(), 200);
      const auto f = co_await failure_of(r.text());
      EXPECT_EQ(f.kind, "protocol");
      EXPECT_EQ(f.phase, "body");
      EXPECT_TRUE(f.text.starts_with("response from 127.0.0.1:")) << f.text;
      const auto again = co_await failure_of(r.text());
      EXPECT_EQ(again.text, f.text);
      EXPECT_EQ(c.statistics().idle, 0u);
      EXPECT_EQ(c.statistics().in_use, 0u);
    });
  }
}

TEST_P(http_codings_on, p19_a_long_chain_of_codings_is_an_error) {
  with_server(says(with_length("gzip, gzip, gzip, gzip, gzip, gzip", "x")),
              [](server& s) -> task<> {
                client c;
                auto r = co_await c.get(s.at());
                const auto f = co_await failure_of(r.text());
                EXPECT_NE(f.kind, "none");
                EXPECT_EQ(f.phase, "body");
              });
}

TEST_P(http_codings_on, p19_what_is_good_comes_before_the_error) {
  const std::string text = prose(100'000);
  const std::string coded = gzip(text);
  const auto half = with_length("gzip", coded.substr(0, coded.size() / 2));
  with_server(says(half, true), [&](server& s) -> task<> {
    client c;
    auto r = co_await c.get(s.at());
    std::string all;
    std::vector<std::byte> b(64 * 1024);
    auto whole = [&]() -> task<> {
      while (true) {
        const auto n = co_await r.read_some(b);
        if (n == 0) break;
        all += text_of(std::span{b}.first(n));
      }
    };
    const auto f = co_await failure_of(whole());
    EXPECT_EQ(f.kind, "protocol");
    EXPECT_GT(all.size(), 30'000u);
    EXPECT_TRUE(text.starts_with(all));
  });
}

TEST_P(http_codings_on, p19_bombs_end_as_too_large) {
  // 100 MB of zeros in a gzip in a gzip: 100 KB, then some hundred bytes.
  const std::string bomb = gzip(gzip(std::string(100'000'000, '\0')));
  EXPECT_LT(bomb.size(), 2000u);
  with_server(says(with_length("gzip, gzip", bomb)), [](server& s) -> task<> {
    client c;
    auto capped = co_await c.get(s.at());
    const auto f = co_await failure_of(capped.text(1'000'000));
    EXPECT_EQ(f.kind, "too_large");
    EXPECT_EQ(f.phase, "body");
    auto r = co_await c.get(s.at());
    const auto ratio = co_await failure_of(r.discard(std::numeric_limits<std::uint64_t>::max()));
    EXPECT_EQ(ratio.kind, "too_large");
    EXPECT_LT(r.bytes(), 50'000'000u);
    EXPECT_EQ(c.statistics().idle, 0u);
    // One that nobody reads is not decoded.
    {
      auto dropped = co_await c.get(s.at());
      co_await sleep_for(5ms);
    }
    EXPECT_EQ(c.statistics().in_use, 0u);
  });
}

TEST_P(http_codings_on, p19_where_there_is_no_body_there_is_nothing_to_decode) {
  for (const char* status : {"204 None", "304 Same", "200 OK"}) {
    const std::string answer = "HTTP/1.1 " + std::string{status} +
                               "\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n";
    with_server(says(answer), [](server& s) -> task<> {
      client c;
      const auto text = co_await fetch(c, s.at());
      EXPECT_EQ(text, "");
      EXPECT_EQ(c.statistics().idle, 1u);
    });
  }
  with_server(says("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\n"),
              [](server& s) -> task<> {
                client c;
                auto r = co_await c.head(s.at());
                const auto text = co_await r.text();
                EXPECT_EQ(text, "");
                EXPECT_EQ(c.statistics().idle, 1u);
              });
  with_server(says("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: "
                   "chunked\r\n\r\n0\r\n\r\n"),
              [](server& s) -> task<> {
                client c;
                const auto text = co_await fetch(c, s.at());
                EXPECT_EQ(text, "");
              });
}

TEST_P(http_codings_on, p19_we_ask_for_what_we_decode_and_no_more) {
  const std::string coded = gzip("hello");
  with_server(says(with_length("gzip", coded)), [&](server& s) -> task<> {
    auto asked = [&] {
      const std::string& r = s.requests.back();
      const auto at = r.find("Accept-Encoding: ");
      return at == r.npos ? "nothing" : r.substr(at + 17, r.find('\r', at) - at - 17);
    };
    client c;
    (void)co_await fetch(c, s.at());
    EXPECT_EQ(asked(), http::accept_encoding());
    request own{"GET", url::parse(s.at()).value()};
    own.fields().add("Accept-Encoding", "br");
    auto r = co_await c.send(own);
    EXPECT_EQ(asked(), "br");
    const auto decoded = co_await r.text();
    EXPECT_EQ(decoded, "hello");
    request part{"GET", url::parse(s.at()).value()};
    part.fields().add("Range", "bytes=5-");
    (void)co_await c.send(part);
    EXPECT_EQ(asked(), "identity");
    request plain{"GET", url::parse(s.at()).value()};
    plain.decode(false);
    auto raw = co_await c.send(plain);
    EXPECT_EQ(asked(), "nothing");
    const auto as_it_came = co_await raw.text();
    EXPECT_EQ(as_it_came, coded);
    client never{client_options{}.decode(false)};
    const auto same = co_await fetch(never, s.at());
    EXPECT_EQ(same, coded);
    EXPECT_EQ(asked(), "nothing");
  });
}

TEST_P(http_codings_on, p19_a_part_of_a_coded_body_is_not_decoded) {
  const std::string answer =
      "HTTP/1.1 206 Part\r\nContent-Encoding: gzip\r\nContent-Range: bytes 5-6/9\r\n"
      "Content-Length: 2\r\n\r\nab";
  with_server(says(answer), [](server& s) -> task<> {
    client c;
    const auto text = co_await fetch(c, s.at());
    EXPECT_EQ(text, "ab");
  });
}

TEST_P(http_codings_on, p19_redirects_with_coded_bodies_are_not_decoded) {
  auto script = [](peer& p) -> task<> {
    while (true) {
      const bool more = co_await p.request();
      if (!more) break;
      if (p.last_path() == "/end") {
        co_await p.answer("here");
      } else {
        co_await p.say(
            "HTTP/1.1 302 F\r\nLocation: /end\r\nContent-Encoding: gzip\r\n"
            "Content-Length: 3\r\n\r\nbad");
      }
    }
  };
  with_server(script, [](server& s) -> task<> {
    client c;
    const auto text = co_await fetch(c, s.at());
    EXPECT_EQ(text, "here");
    EXPECT_EQ(s.connections, 1);
  });
}

}  // namespace
}  // namespace oneloop::inline v0::test
