// What goes out with a request, and to whom: credentials, Host, targets, fields and cookies.
// (Points 11 to 14 and 18 of what a serious client must get right; the numbers in the names.)
#include <string>

#include "oneloop/http/client.hpp"
#include "oneloop/http/client_test.hpp"
#include "oneloop/http/cookies.hpp"

namespace oneloop::inline v0::test {
namespace {

using http::client;
using http::client_options;
using http::cookie_jar;
using http::request;

class http_requests_on : public http_on_backends {
 protected:
  /// Answers every request; "/to?URL" redirects there (307).
  static task<> guide(http_peer& p) {
    while (true) {
      const bool more = co_await p.request();
      if (!more) break;
      const std::string path = p.last_path();
      if (path.starts_with("/to?")) {
        co_await p.redirect(307, path.substr(4));
      } else {
        co_await p.answer("x");
      }
    }
  }
  /// The value of a field of the n-th request; "-" without one.
  static std::string field_of(const server& s, std::size_t n, const std::string& name) {
    const std::string& r = s.requests.at(n);
    const auto at = r.find("\r\n" + name + ": ");
    if (at == r.npos) return "-";
    const auto begin = at + name.size() + 4;
    return r.substr(begin, r.find("\r\n", begin) - begin);
  }
  static std::string target_of(const server& s, std::size_t n) {
    const std::string& r = s.requests.at(n);
    const auto from = r.find(' ') + 1;
    return r.substr(from, r.find(' ', from) - from);
  }
};
ON_BACKENDS(http_requests_on);

// ---- 11: what another origin is told ----

TEST_P(http_requests_on, p11_only_harmless_fields_cross_origins) {
  with_server(guide, [](server& s) -> task<> {
    client c;
    auto r = request_for(s.at("/to?" + s.elsewhere("/to?" + s.at("/end"))));
    for (const char* name : {"Authorization", "Cookie", "Proxy-Authorization", "X-Api-Key",
                             "Referer", "Origin", "X-Anything"}) {
      r.fields().add(name, "secret");
    }
    for (const char* name : {"Accept", "Accept-Language", "User-Agent", "Cache-Control", "Pragma",
                             "If-None-Match", "Range", "If-Range"}) {
      r.fields().add(name, "harmless");
    }
    (void)co_await c.send(r);
    EXPECT_EQ(s.requests.size(), 3u);
    EXPECT_EQ(field_of(s, 0, "X-Api-Key"), "secret");
    for (const std::size_t n : {1u, 2u}) {
      EXPECT_EQ(s.requests[n].find("secret"), std::string::npos) << s.requests[n];
      for (const char* name : {"Accept", "Accept-Language", "User-Agent", "Cache-Control", "Pragma",
                               "If-None-Match", "Range", "If-Range"}) {
        EXPECT_EQ(field_of(s, n, name), "harmless") << name;
      }
    }
    (void)co_await c.send(request_for(s.at("/to?/end")));
  });
}

TEST_P(http_requests_on, p11_the_same_origin_is_told_everything) {
  with_server(guide, [](server& s) -> task<> {
    client c;
    auto r = request_for(s.at("/to?" + s.at("/end")));
    r.fields().add("X-Api-Key", "secret");
    r.fields().add("Host", "virtual.test");
    (void)co_await c.send(r);
    EXPECT_EQ(field_of(s, 1, "X-Api-Key"), "secret");
    EXPECT_EQ(field_of(s, 1, "Host"), "virtual.test");
  });
}

TEST_P(http_requests_on, p11_another_port_is_another_origin) {
  with_server(guide, [this](server& s) -> task<> {
    server other{guide};
    auto both = [&](nursery& n) -> task<> {
      n.start(&server::serve, &other);
      client c;
      auto r = request_for(s.at("/to?" + other.at("/end")));
      r.fields().add("X-Api-Key", "secret");
      (void)co_await c.send(r);
      EXPECT_EQ(field_of(other, 0, "X-Api-Key"), "-");
      n.cancel();
    };
    auto running = with_nursery(std::ref(both));
    co_await std::move(running);
  });
}

TEST_P(http_requests_on, p11_fields_of_the_client_are_bound_to_hosts) {
  with_server(guide, [](server& s) -> task<> {
    const std::string port = std::to_string(s.port());
    client_options o;
    o.field("X-Token", "for localhost", "LOCALHOST");
    o.field("X-Token", "for the number", "127.0.0.1:" + port);
    o.field("X-Port", "other", "127.0.0.1:1");
    o.field("X-Any", "first origin");
    o.field("X-Token", "for the rest");
    o.field("Accept-Language", "de");
    client c{o};
    (void)co_await c.get(s.at("/to?" + s.elsewhere("/to?" + s.at("/end"))));
    EXPECT_EQ(field_of(s, 0, "X-Token"), "for the number");
    EXPECT_EQ(field_of(s, 1, "X-Token"), "for localhost");
    EXPECT_EQ(field_of(s, 2, "X-Token"), "for the number");
    EXPECT_EQ(field_of(s, 0, "X-Any"), "first origin");
    EXPECT_EQ(field_of(s, 1, "X-Any"), "-");
    EXPECT_EQ(field_of(s, 1, "Accept-Language"), "de");
    EXPECT_EQ(field_of(s, 0, "X-Port"), "-");
    auto own = request_for(s.at("/end"));
    own.fields().add("x-token", "my own");
    (void)co_await c.send(own);
    EXPECT_EQ(field_of(s, 3, "x-token"), "my own");
    EXPECT_EQ(field_of(s, 3, "X-Token"), "-");
  });
}

TEST_P(http_requests_on, p11_credentials_are_bound_to_hosts) {
  with_server(guide, [](server& s) -> task<> {
    client c{client_options{}.credentials("localhost", "Aladdin", "open sesame")};
    (void)co_await c.get(s.at("/to?" + s.elsewhere("/to?" + s.at("/end"))));
    EXPECT_EQ(field_of(s, 0, "Authorization"), "-");
    EXPECT_EQ(field_of(s, 1, "Authorization"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    EXPECT_EQ(field_of(s, 2, "Authorization"), "-");
    const std::string in_url = "http://u:p@localhost:" + std::to_string(s.port()) + "/";
    (void)co_await c.get(in_url);
    EXPECT_EQ(field_of(s, 3, "Authorization"), "Basic dTpw");
    auto own = request_for(s.elsewhere());
    own.fields().add("Authorization", "Bearer x");
    (void)co_await c.send(own);
    EXPECT_EQ(field_of(s, 4, "Authorization"), "Bearer x");
  });
}

TEST_P(http_requests_on, p11_a_port_that_is_bound_to_counts_also_where_urls_leave_it_out) {
  with_server(guide, [](server& s) -> task<> {
    client c{client_options{}
                 .field("X-Token", "secret", "127.0.0.1:80")
                 .credentials("localhost:80", "u", "p")};
    (void)co_await c.get(s.at("/end"));
    EXPECT_EQ(field_of(s, 0, "X-Token"), "-");
    (void)co_await c.get(s.elsewhere("/end"));
    EXPECT_EQ(field_of(s, 1, "Authorization"), "-");
  });
}

TEST(http_options, p11_what_nothing_can_be_bound_to_is_misuse) {
  EXPECT_THROW(client{client_options{}.field("A", "b", "a/b")}, misuse);
  EXPECT_THROW(client{client_options{}.field("A", "b", "u:p@a")}, misuse);
  EXPECT_THROW(client{client_options{}.credentials("a b", "u", "p")}, misuse);
  EXPECT_THROW(client{client_options{}.field("A b", "c")}, misuse);
  EXPECT_THROW(client{client_options{}.field("A", "b\r\nC: d")}, misuse);
  EXPECT_THROW(client{client_options{}.field("content-length", "5")}, misuse);
  EXPECT_NO_THROW(client{client_options{}.field("A", "b", "::1").field("A", "b", "B\xc3\xbc.de")});
}

// ---- 12: user name and password ----

TEST_P(http_requests_on, p09_a_body_is_what_came_whatever_its_type_says) {
  // A BOM, a charset that is wrong, HTML that claims to be text, bytes that are no text at all.
  static const std::string body{"\xef\xbb\xbf<html>\0\xff\r\n", 13};
  auto script = [](peer& p) -> task<> {
    for (const char* type : {"text/plain; charset=utf-16", "image/png", "", "text/html"}) {
      (void)co_await p.request();
      const std::string line = *type == '\0' ? "" : "Content-Type: " + std::string{type} + "\r\n";
      co_await p.answer(body, line);
    }
  };
  with_server(script, [](server& s) -> task<> {
    client c;
    for (const char* type : {"text/plain; charset=utf-16", "image/png", "", "text/html"}) {
      auto r = co_await c.get(s.at());
      EXPECT_EQ(r.fields().get("Content-Type").value_or(""), type);
      EXPECT_EQ(co_await r.text(), body);
    }
  });
}

TEST_P(http_requests_on, p12_userinfo_is_decoded_and_goes_nowhere_else) {
  with_server(guide, [](server& s) -> task<> {
    client c;
    const std::string port = std::to_string(s.port());
    auto r = co_await c.get("http://m%40x:a%3Ab%C3%A9@127.0.0.1:" + port + "/to?/end");
    for (const std::size_t n : {0u, 1u}) {
      EXPECT_EQ(field_of(s, n, "Authorization"), "Basic bUB4OmE6YsOp");
      EXPECT_EQ(field_of(s, n, "Host"), "127.0.0.1:" + port);
      EXPECT_EQ(s.requests[n].find("m%40x"), std::string::npos);
      EXPECT_EQ(s.requests[n].find("Referer"), std::string::npos);
    }
    // An absolute Location without them: the same origin knows them.
    (void)co_await c.get("http://u:p@127.0.0.1:" + port + "/to?" + s.at("/end"));
    EXPECT_EQ(field_of(s, 3, "Authorization"), "Basic dTpw");
    (void)co_await c.get("http://u:p@127.0.0.1:" + port + "/to?" + s.elsewhere("/end"));
    EXPECT_EQ(field_of(s, 5, "Authorization"), "-");
    (void)co_await c.get("http://u@127.0.0.1:" + port + "/");
    EXPECT_EQ(field_of(s, 6, "Authorization"), "Basic dTo=");
  });
}

TEST_P(http_requests_on, p12_no_error_tells_them) {
  auto script = [](peer& p) -> task<> {
    (void)co_await p.request();
    const std::string path = p.last_path();
    if (path == "/bad") co_await p.redirect(302, "http://hidden:secret@[x/");
    if (path == "/ftp") co_await p.redirect(302, "ftp://hidden:secret@a/");
    if (path == "/loop") co_await p.redirect(302, "/loop");
    if (path == "/large") co_await p.answer("much too large");
    if (path == "/status") co_await p.say("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
  };
  with_server(script, [](server& s) -> task<> {
    client c;
    auto whole = [&](std::string text) -> task<> {
      auto r = co_await c.get(text);
      r.expect_success();
      (void)co_await r.text(3);
    };
    const std::string at = "http://hidden:secret@127.0.0.1:" + std::to_string(s.port());
    for (const std::string& text :
         {at + "/bad", at + "/ftp", at + "/loop", at + "/large", at + "/status", at + "/closed",
          std::string{"http://hidden:secret@[x/"}, std::string{"http://hidden:secret@a:99999/"},
          std::string{"ftp://hidden:secret@a/"}, std::string{"http:hidden:secret@a b/"},
          std::string{"http://hidden:secret@127.0.0.1:1/"}}) {
      const auto f = co_await failure_of(whole(text));
      EXPECT_NE(f.kind, "none") << text;
      EXPECT_EQ(f.text.find("hidden"), std::string::npos) << f.text;
      EXPECT_EQ(f.text.find("secret"), std::string::npos) << f.text;
    }
  });
}

// ---- 13, 14: Host and target ----

TEST_P(http_requests_on, p13_host_is_what_the_url_says) {
  with_server(guide, [](server& s) -> task<> {
    const auto here = net::ip_address::loopback_v4();
    client_options o;
    for (const char* name : {"xn--bcher-kva.example", "upper.example"}) {
      o.resolve(name, s.port(), here);
    }
    client c{o};
    const std::string port = ":" + std::to_string(s.port());
    (void)co_await c.get(
        "http://B\xc3\xbc"
        "cher.example" +
        port + "/");
    EXPECT_EQ(field_of(s, 0, "Host"), "xn--bcher-kva.example" + port);
    (void)co_await c.get("http://UPPER.Example" + port + "/");
    EXPECT_EQ(field_of(s, 1, "Host"), "upper.example" + port);
    (void)co_await c.get("http://0x7f.1" + port + "/");
    EXPECT_EQ(field_of(s, 2, "Host"), "127.0.0.1" + port);
  });
}

TEST(http_host, p13_ports_brackets_and_zones) {
  auto host = [](std::string_view text) {
    const auto u = url::parse(text);
    return u ? u->host_header() : "refused";
  };
  EXPECT_EQ(host("http://a:80/"), "a");
  EXPECT_EQ(host("https://a:443/"), "a");
  EXPECT_EQ(host("http://a:443/"), "a:443");
  EXPECT_EQ(host("http://[0:0::1]:8080/"), "[::1]:8080");
  EXPECT_EQ(host("http://[fe80::1%25eth0]/"), "refused");
  EXPECT_EQ(host("http://[fe80::1%eth0]/"), "refused");
  EXPECT_EQ(host("http://a%00b/"), "refused");
}

TEST_P(http_requests_on, p14_targets_are_never_empty_and_have_no_fragment) {
  with_server(guide, [](server& s) -> task<> {
    client c;
    struct pair {
      const char* given;
      const char* sent;
    };
    std::size_t n = 0;
    for (const pair& one : {pair{"", "/"},
                            {"?a", "/?a"},
                            {"#f", "/"},
                            {"/a?b#c?d", "/a?b"},
                            {"/a/../b/./c", "/b/c"},
                            {"/%2e%2E/x", "/x"},
                            {"/a b\"<>`{}\xc3\xa9", "/a%20b%22%3C%3E%60%7B%7D%C3%A9"},
                            {"/%41%zz%2f", "/%41%zz%2f"},
                            {"/?a b'\"<>\xc3\xa9|", "/?a%20b%27%22%3C%3E%C3%A9|"},
                            {"/a\\b", "/a/b"},
                            {"/a\tb\nc", "/abc"}}) {
      (void)co_await c.get(s.at(one.given));
      EXPECT_EQ(target_of(s, n++), one.sent) << one.given;
    }
  });
}

// ---- 18: cookies ----

TEST_P(http_requests_on, p18_cookies_are_kept_and_sent) {
  auto script = [](peer& p) -> task<> {
    while (true) {
      const bool more = co_await p.request();
      if (!more) break;
      if (p.last_path() == "/login") {
        co_await p.say(
            "HTTP/1.1 302 F\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2; Path=/\r\n"
            "Location: /in\r\nContent-Length: 0\r\n\r\n");
      } else {
        co_await p.answer("x", "Set-Cookie: c=3; Path=/\r\n");
      }
    }
  };
  with_server(script, [](server& s) -> task<> {
    auto jar = std::make_shared<cookie_jar>();
    client c{client_options{}.cookies(jar)};
    (void)co_await c.get(s.at("/login"));
    EXPECT_EQ(field_of(s, 0, "Cookie"), "-");
    EXPECT_EQ(field_of(s, 1, "Cookie"), "a=1; b=2");
    (void)co_await c.get(s.at("/in"));
    EXPECT_EQ(field_of(s, 2, "Cookie"), "a=1; b=2; c=3");
    (void)co_await c.get(s.elsewhere("/in"));
    EXPECT_EQ(field_of(s, 3, "Cookie"), "-");
    auto own = request_for(s.at("/in"));
    own.fields().add("Cookie", "mine=1");
    (void)co_await c.send(own);
    EXPECT_EQ(field_of(s, 4, "Cookie"), "mine=1");
    auto other = std::make_shared<cookie_jar>();
    auto with_another = request_for(s.at("/login"));
    with_another.cookies(other);
    (void)co_await c.send(with_another);
    EXPECT_EQ(field_of(s, 5, "Cookie"), "-");
    EXPECT_EQ(field_of(s, 6, "Cookie"), "a=1; b=2");
    EXPECT_EQ(other->size(), 3u);
    client without;
    (void)co_await without.get(s.at("/login"));
    EXPECT_EQ(field_of(s, 8, "Cookie"), "-");
  });
}

TEST_P(http_requests_on, p18_cookies_are_decided_anew_at_each_redirect) {
  with_server(guide, [](server& s) -> task<> {
    auto jar = std::make_shared<cookie_jar>();
    const auto now = http::wall_now();
    jar->set(url::parse(s.at()).value(), "n=number", now);
    jar->set(url::parse(s.elsewhere()).value(), "l=local", now);
    client c{client_options{}.cookies(jar)};
    (void)co_await c.get(s.at("/to?" + s.elsewhere("/to?" + s.at("/end"))));
    EXPECT_EQ(field_of(s, 0, "Cookie"), "n=number");
    EXPECT_EQ(field_of(s, 1, "Cookie"), "l=local");
    EXPECT_EQ(field_of(s, 2, "Cookie"), "n=number");
  });
}

TEST_P(http_requests_on, p10_the_same_url_with_a_new_cookie_is_no_loop) {
  auto script = [](peer& p) -> task<> {
    while (true) {
      const bool more = co_await p.request();
      if (!more) break;
      if (p.last_head().find("Cookie: seen=1") == std::string::npos) {
        co_await p.say(
            "HTTP/1.1 302 F\r\nSet-Cookie: seen=1\r\nLocation: /\r\nContent-Length: 0\r\n\r\n");
      } else {
        co_await p.answer("welcome");
      }
    }
  };
  with_server(script, [](server& s) -> task<> {
    client c{client_options{}.cookies(std::make_shared<cookie_jar>())};
    const auto text = co_await fetch(c, s.at());
    EXPECT_EQ(text, "welcome");
    client without;
    const auto f = co_await failure_of(without.get(s.at()));
    EXPECT_EQ(f.text, "redirect loop at " + s.at());
    EXPECT_EQ(s.requests.size(), 3u);
  });
}

TEST_P(http_requests_on, p16_a_redirect_tells_its_retry_after) {
  auto script = [](peer& p) -> task<> {
    (void)co_await p.request();
    co_await p.say(
        "HTTP/1.1 302 F\r\nRetry-After: 7\r\nLocation: /end\r\nContent-Length: 0\r\n\r\n");
    (void)co_await p.request();
    co_await p.answer("x", "Retry-After: 3\r\n");
  };
  with_server(script, [](server& s) -> task<> {
    client c;
    auto r = co_await c.get(s.at());
    EXPECT_EQ(r.redirects()[0].retry_after, 7s);
    EXPECT_EQ(http::retry_after(r.fields(), http::wall_now()), 3s);
  });
}

}  // namespace
}  // namespace oneloop::inline v0::test
