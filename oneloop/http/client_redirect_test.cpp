// Redirects: where they lead, how many, and what they may take along.
#include "oneloop/http/client.hpp"
#include "oneloop/http/client_redirect_internal.hpp"
#include "oneloop/http/client_test.hpp"

namespace oneloop::inline v0::test {
namespace {

using http::client;
using http::client_options;
using http::detail::redirect_target;
using http::detail::redirected_method;

class http_redirects_on : public http_on_backends {};
ON_BACKENDS(http_redirects_on);

/// Sends "/n" to "/n+1" up to "/5"; "/5" answers.
auto steps(std::vector<std::string>& paths) {
  return [&paths](http_peer& p) -> task<> {
    while (true) {
      const bool more = co_await p.request();
      if (!more) break;
      const std::string path = p.last_path();
      paths.push_back(path);
      if (path == "/5") {
        co_await p.answer("arrived");
      } else {
        co_await p.redirect(302, std::to_string(path[1] - '0' + 1));
      }
    }
  };
}

TEST_P(http_redirects_on, p10_are_followed_and_recorded) {
  std::vector<std::string> paths;
  with_server(steps(paths), [&](server& s) -> task<> {
    client c;
    auto r = co_await c.get(s.at("/1#part"));
    const auto body = co_await r.text();
    EXPECT_EQ(body, "arrived");
    EXPECT_EQ(r.final_url().href(), s.at("/5#part"));
    const auto all = r.redirects();
    EXPECT_EQ(all.size(), 4u);
    EXPECT_EQ(all[0].status, 302);
    EXPECT_EQ(all[0].from.href(), s.at("/1#part"));
    EXPECT_EQ(all[0].to.href(), s.at("/2#part"));
    EXPECT_EQ(all[3].to, r.final_url());
    EXPECT_EQ(s.connections, 1);
    EXPECT_TRUE(r.times().reused);
  });
}

TEST_P(http_redirects_on, p10_have_a_limit) {
  std::vector<std::string> paths;
  with_server(steps(paths), [&](server& s) -> task<> {
    client four{client_options{}.max_redirects(4)};
    const auto body = co_await fetch(four, s.at("/1"));
    EXPECT_EQ(body, "arrived");
    client three{client_options{}.max_redirects(3)};
    const auto f = co_await failure_of(three.get(s.at("/1")));
    EXPECT_EQ(f.kind, "redirect");
    EXPECT_EQ(f.phase, "redirect");
    EXPECT_EQ(f.text, "more than 3 redirects");
  });
}

TEST_P(http_redirects_on, are_given_to_who_does_not_follow) {
  std::vector<std::string> paths;
  with_server(steps(paths), [&](server& s) -> task<> {
    client c;
    http::request r{"GET", url::parse(s.at("/1")).value()};
    r.follow(false);
    auto answer = co_await c.send(r);
    EXPECT_EQ(answer.status(), 302);
    EXPECT_EQ(answer.fields().get("Location"), "2");
    EXPECT_TRUE(answer.redirects().empty());
  });
}

TEST_P(http_redirects_on, p10_in_a_circle_are_noticed) {
  auto script = [](peer& p) -> task<> {
    while (true) {
      const bool more = co_await p.request();
      if (!more) break;
      std::string to = "/a";
      if (p.last_path() == "/a") to = "/b#fragment";
      co_await p.redirect(301, to);
    }
  };
  with_server(script, [](server& s) -> task<> {
    client c;
    const auto f = co_await failure_of(c.get(s.at("/a")));
    EXPECT_EQ(f.kind, "redirect");
    EXPECT_EQ(f.text, "redirect loop at " + s.at("/a"));
    EXPECT_EQ(s.requests.size(), 2u);
    std::size_t followed = 0;
    try {
      (void)co_await c.get(s.at("/a"));
    } catch (const http::http_error& e) {
      if (e.history() != nullptr) followed = e.history()->redirects.size();
    }
    EXPECT_EQ(followed, 2u);
    const auto self = co_await failure_of(c.get(s.at("/b")));
    EXPECT_EQ(self.text, "redirect loop at " + s.at("/b"));
  });
}

TEST_P(http_redirects_on, p11_drop_what_is_private_at_another_origin) {
  std::string elsewhere;
  auto script = [&](peer& p) -> task<> {
    while (true) {
      const bool more = co_await p.request();
      if (!more) break;
      const std::string path = p.last_path();
      if (path == "/1") {
        co_await p.redirect(307, "/2");
      } else if (path == "/2") {
        co_await p.redirect(307, elsewhere);
      } else {
        co_await p.answer("x");
      }
    }
  };
  with_server(script, [&](server& s) -> task<> {
    elsewhere = s.elsewhere("/3");
    client c;
    http::request r{
        "GET", url::parse("http://user:pw@127.0.0.1:" + std::to_string(s.port()) + "/1").value()};
    r.fields().add("Cookie", "secret=1");
    r.fields().add("Proxy-Authorization", "Basic x");
    r.fields().add("X-Secret", "yes");
    r.fields().add("Accept-Language", "de");
    auto answer = co_await c.send(r);
    EXPECT_EQ(answer.final_url().href(), elsewhere);
    EXPECT_EQ(s.requests.size(), 3u);
    for (std::size_t i = 0; i < 2; ++i) {
      EXPECT_NE(s.requests[i].find("Authorization: Basic dXNlcjpwdw=="), std::string::npos);
      EXPECT_NE(s.requests[i].find("Cookie: "), std::string::npos);
    }
    EXPECT_EQ(s.requests[2].find("uthorization"), std::string::npos);
    EXPECT_EQ(s.requests[2].find("Cookie"), std::string::npos);
    EXPECT_EQ(s.requests[2].find("X-Secret"), std::string::npos);
    EXPECT_NE(s.requests[2].find("Accept-Language: de"), std::string::npos);
    EXPECT_NE(s.requests[2].find("Host: localhost:"), std::string::npos);
  });
}

TEST_P(http_redirects_on, p10_turn_post_into_get_and_leave_head_alone) {
  auto script = [](peer& p) -> task<> {
    while (true) {
      const bool more = co_await p.request();
      if (!more) break;
      if (p.last_path() == "/end") {
        co_await p.say("HTTP/1.1 204 No Content\r\n\r\n");
      } else {
        co_await p.redirect(p.last_path() == "/303" ? 303 : 307, "/end");
      }
    }
  };
  with_server(script, [](server& s) -> task<> {
    client c;
    (void)co_await c.send(http::request{"POST", url::parse(s.at("/303")).value()});
    EXPECT_TRUE(s.requests[0].starts_with("POST /303 "));
    EXPECT_TRUE(s.requests[1].starts_with("GET /end "));
    (void)co_await c.send(http::request{"POST", url::parse(s.at("/307")).value()});
    EXPECT_TRUE(s.requests[3].starts_with("POST /end "));
    (void)co_await c.head(s.at("/303"));
    EXPECT_TRUE(s.requests[5].starts_with("HEAD /end "));
  });
}

TEST_P(http_redirects_on, do_not_wait_for_a_body_that_does_not_come) {
  auto script = [](peer& p) -> task<> {
    while (true) {
      const bool more = co_await p.request();
      if (!more) break;
      if (p.last_path() == "/end") {
        co_await p.answer("x");
      } else if (p.last_path() == "/large") {
        const std::string body(200'000, 'x');
        const std::string head =
            "HTTP/1.1 302 F\r\nLocation: /end\r\nContent-Length: 200000\r\n\r\n";
        co_await p.say(head + body);
      } else {
        co_await p.say("HTTP/1.1 302 F\r\nLocation: /end\r\nContent-Length: 10\r\n\r\n");
      }
    }
  };
  with_server(script, [](server& s) -> task<> {
    http::phase_timeouts t;
    t.stall = t.first_byte = 300ms;  // not for what nobody waits for
    client c{client_options{}.timeouts(t)};
    const auto body = co_await fetch(c, s.at("/missing"));
    EXPECT_EQ(body, "x");
    EXPECT_EQ(s.connections, 2);
    const auto after_large = co_await fetch(c, s.at("/large"));
    EXPECT_EQ(after_large, "x");
    EXPECT_EQ(c.statistics().in_use, 0u);
  });
}

// ---- without I/O ----

std::string target(std::string_view from, std::string_view location, int status = 301) {
  http::headers fields;
  fields.add("Location", location);
  try {
    const auto to = redirect_target(status, fields, url::parse(from).value());
    return to ? to->href() : "none";
  } catch (const http::http_error& e) {
    EXPECT_EQ(e.kind(), http::error_kind::redirect);
    return e.what();
  }
}

TEST(http_redirect, p10_locations_are_read_as_browsers_read_them) {
  EXPECT_EQ(target("http://a/b/c?d", "e"), "http://a/b/e");
  EXPECT_EQ(target("http://a/b/c?d", "/e"), "http://a/e");
  EXPECT_EQ(target("http://a/b/c?d", "//e/f"), "http://e/f");
  EXPECT_EQ(target("https://a/b/c?d", "//e/f"), "https://e/f");
  EXPECT_EQ(target("http://a/b/c?d", "?e"), "http://a/b/c?e");
  EXPECT_EQ(target("http://a/b/c?d", ""), "http://a/b/c?d");
  EXPECT_EQ(target("http://a/b", "a b\xc3\xa9"), "http://a/a%20b%C3%A9");
  EXPECT_EQ(target("http://a/b", "https://c"), "https://c/");
}

TEST(http_redirect, p10_the_fragment_is_inherited_unless_there_is_a_new_one) {
  EXPECT_EQ(target("http://a/b#f", "c"), "http://a/c#f");
  EXPECT_EQ(target("http://a/b#f", "c#g"), "http://a/c#g");
  EXPECT_EQ(target("http://a/b#f", "c#"), "http://a/c#");
}

TEST(http_redirect, only_five_statuses_redirect) {
  for (const int status : {301, 302, 303, 307, 308}) {
    EXPECT_EQ(target("http://a/", "b", status), "http://a/b");
  }
  for (const int status : {200, 300, 304, 305, 306, 404}) {
    EXPECT_EQ(target("http://a/", "b", status), "none");
  }
  EXPECT_FALSE(redirect_target(301, {}, url::parse("http://a/").value()));
}

TEST(http_redirect, p10_a_location_that_cannot_be_fetched_is_an_error) {
  EXPECT_EQ(target("http://u:p@a/", "ftp://b/"),
            "redirect from http://a/ to \"ftp://b/\": only http and https are followed");
  EXPECT_EQ(target("http://a/", "mailto:x@y"),
            "redirect from http://a/ to \"mailto:x@y\": only http and https are followed");
  EXPECT_TRUE(
      target("http://a/", "http://[x").starts_with("redirect from http://a/ to \"http://[x\": "));
}

TEST(http_redirect, p08_two_different_locations_are_an_error) {
  http::headers two;
  two.add("Location", "/a");
  two.add("Location", "/a");
  EXPECT_TRUE(redirect_target(301, two, url::parse("http://a/").value()));
  two.add("Location", "/b");
  EXPECT_THROW((void)redirect_target(301, two, url::parse("http://a/").value()), http::http_error);
}

TEST(http_redirect, p10_methods_change_where_browsers_change_them) {
  EXPECT_EQ(redirected_method(301, "POST"), "GET");
  EXPECT_EQ(redirected_method(302, "POST"), "GET");
  EXPECT_EQ(redirected_method(303, "PUT"), "GET");
  EXPECT_EQ(redirected_method(303, "HEAD"), "HEAD");
  EXPECT_EQ(redirected_method(302, "PUT"), "PUT");
  EXPECT_EQ(redirected_method(307, "POST"), "POST");
  EXPECT_EQ(redirected_method(308, "POST"), "POST");
}

}  // namespace
}  // namespace oneloop::inline v0::test
