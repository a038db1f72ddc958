#include "oneloop/check/robots.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "oneloop/http/client_test.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/context.hpp"

namespace oneloop {
namespace {

using namespace test;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

bool allowed(const std::string& text, const std::string& path,
             const std::string& agent = "FooBot") {
  return robots::parse(text, agent).allows(*url::parse("http://foo.bar" + path));
}

TEST(robots, groups_and_agents) {
  // A line without a group is nobody's.
  EXPECT_TRUE(allowed("Disallow: /x\n", "/x"));
  EXPECT_FALSE(allowed("user-agent: FooBot\ndisallow: /\n", "/x"));
  EXPECT_TRUE(allowed("foo: FooBot\nbar: /\n", "/x"));
  EXPECT_FALSE(allowed("USER-AGENT :foobot\nDISALLOW:/ # all\n", "/x"));
  EXPECT_FALSE(allowed("user-agent: FooBot/1.2 and more\ndisallow: /\n", "/x"));
  EXPECT_FALSE(allowed("user-agent: foobot\ndisallow: /\n", "/x", "FooBot/0.1 (+http://a/)"));
  EXPECT_TRUE(allowed("user-agent: FooBot-News\ndisallow: /\n", "/x"));
  EXPECT_TRUE(allowed("user-agent: Foo\ndisallow: /\n", "/x"));
  EXPECT_TRUE(allowed("user-agent: FooBot2\ndisallow: /\n", "/x"));
  // Several agents share a group; several groups of one agent are one.
  const std::string shared =
      "user-agent: A\n\nuser-agent: B # too\ndisallow: /a\n"
      "user-agent: C\ndisallow: /c\nuser-agent: b\ndisallow: /b\n";
  EXPECT_FALSE(allowed(shared, "/a", "A"));
  EXPECT_TRUE(allowed(shared, "/b", "A"));
  EXPECT_FALSE(allowed(shared, "/a", "B"));
  EXPECT_FALSE(allowed(shared, "/b", "B"));
  EXPECT_TRUE(allowed(shared, "/c", "B"));
  EXPECT_TRUE(allowed(shared, "/a", "C"));
  // "*" is for those that no group names, wherever it stands.
  const std::string all = "user-agent: *\ndisallow: /\nuser-agent: FooBot\ndisallow: /x\n";
  EXPECT_TRUE(allowed(all, "/y"));
  EXPECT_FALSE(allowed(all, "/x"));
  EXPECT_FALSE(allowed(all, "/y", "Other"));
  EXPECT_FALSE(allowed("user-agent: * and more\ndisallow: /\n", "/x"));
  EXPECT_TRUE(allowed("user-agent: *x\ndisallow: /\n", "/x"));
  // A group without rules is one, too.
  EXPECT_TRUE(allowed("user-agent: *\ndisallow: /\nuser-agent: FooBot\ndisallow:\n", "/x"));
  EXPECT_TRUE(allowed("user-agent: *\ndisallow: /\nuser-agent: FooBot\n", "/x"));
  EXPECT_FALSE(allowed("user-agent: FooBot\nuser-agent: *\ndisallow: /\n", "/x"));
}

TEST(robots, other_lines_do_not_end_a_group) {
  const std::string text =
      "user-agent: A\nCrawl-delay: 7\nSitemap: http://a/s.xml\nnonsense\n"
      "user-agent: B\ndisallow: /x\nhost: a\ncrawl-delay: 2\n";
  EXPECT_FALSE(allowed(text, "/x", "A"));
  EXPECT_FALSE(allowed(text, "/x", "B"));
  EXPECT_EQ(robots::parse(text, "A").crawl_delay(), 7s);
  EXPECT_EQ(robots::parse(text, "B").crawl_delay(), 2s);
}

TEST(robots, the_longest_pattern_decides_and_then_allow) {
  const std::string head = "user-agent: FooBot\n";
  EXPECT_FALSE(allowed(head + "disallow: /x/page.html\nallow: /x/\n", "/x/page.html"));
  EXPECT_TRUE(allowed(head + "allow: /x/page.html\ndisallow: /x/\n", "/x/page.html"));
  EXPECT_FALSE(allowed(head + "allow: /x/page.html\ndisallow: /x/\n", "/x/"));
  EXPECT_TRUE(allowed(head + "disallow: /x\nallow: /x\n", "/x"));
  EXPECT_TRUE(allowed(head + "disallow: \nallow: \n", "/x"));
  EXPECT_TRUE(allowed(head + "allow: /page\ndisallow: /*.html\n", "/page"));
  EXPECT_FALSE(allowed(head + "allow: /page\ndisallow: /*.html\n", "/page.html"));
  EXPECT_TRUE(allowed(head + "allow: /x/page.\ndisallow: /*.html\n", "/x/page.html"));
  EXPECT_TRUE(allowed(head + "allow: /$\ndisallow: /\n", "/"));
  EXPECT_FALSE(allowed(head + "allow: /$\ndisallow: /\n", "/x"));
  EXPECT_TRUE(allowed(head + "disallow: /\n", "/robots.txt"));
  EXPECT_FALSE(allowed(head + "disallow: /\n", "/robots.txt?x"));
}

TEST(robots, stars_and_dollars) {
  const auto denied = [](const std::string& pattern, const std::string& path) {
    return !allowed("user-agent: *\ndisallow: " + pattern + "\n", path);
  };
  EXPECT_TRUE(denied("/foo", "/foo/bar?x"));
  EXPECT_FALSE(denied("/foo", "/Foo"));
  EXPECT_FALSE(denied("foo", "/foo"));
  EXPECT_TRUE(denied("*foo", "/a/foo"));
  EXPECT_TRUE(denied("/foo/bar/*/baz", "/foo/bar/1/2/baz"));
  EXPECT_TRUE(denied("/fo*****o*", "/foo"));
  EXPECT_TRUE(denied("/*.php$", "/a.php/b.php"));
  EXPECT_FALSE(denied("/*.php$", "/a.php?x"));
  EXPECT_FALSE(denied("/foo$", "/foo/"));
  EXPECT_TRUE(denied("/foo*$", "/foo/"));
  EXPECT_TRUE(denied("/a$b", "/a$b"));
  EXPECT_FALSE(denied("/a$b", "/a"));
  EXPECT_TRUE(denied("/*aa$", "/aaa"));
  EXPECT_FALSE(denied("/aa*aa$", "/aaa"));
  // Literally, they are escaped (RFC 9309, 2.2.3).
  EXPECT_TRUE(denied("/file-with-a-%2A.html", "/file-with-a-*.html"));
  EXPECT_FALSE(denied("/file-with-a-%2A.html", "/file-with-a-b.html"));
  EXPECT_TRUE(denied("/foo-%24", "/foo-$x"));
}

TEST(robots, escapes_that_mean_the_same_are_the_same) {
  const auto denied = [](const std::string& pattern, const std::string& path) {
    return !allowed("user-agent: *\ndisallow: " + pattern + "\n", path);
  };
  // RFC 9309, 2.2.2.
  EXPECT_TRUE(denied("/foo/bar?baz=quz", "/foo/bar?baz=quz"));
  EXPECT_TRUE(denied("/foo/bar?baz=https://foo.bar", "/foo/bar?baz=https%3A%2F%2Ffoo.bar"));
  EXPECT_TRUE(denied("/foo/bar?baz=https%3a%2F%2Ffoo.bar", "/foo/bar?baz=https://foo.bar"));
  EXPECT_TRUE(denied("/foo/bar/ツ", "/foo/bar/%E3%83%84"));
  EXPECT_TRUE(denied("/foo/bar/%e3%83%84", "/foo/bar/ツ"));
  EXPECT_TRUE(denied("/foo/bar/%62%61%7A", "/foo/bar/baz"));
  EXPECT_TRUE(denied("/foo/bar/baz", "/foo/bar/%62%61%7A"));
  EXPECT_FALSE(denied("/a%2Fb", "/a/b"));
  EXPECT_TRUE(denied("/a%2fb", "/a%2Fb"));
  EXPECT_TRUE(denied("/a b", "/a%20b"));
  EXPECT_TRUE(denied("/100%", "/100%"));
}

TEST(robots, ends_of_lines_marks_and_size) {
  for (const char* end : {"\n", "\r\n", "\r", "\r\r\n"}) {
    const std::string e{end};
    EXPECT_FALSE(
        allowed("\xEF\xBB\xBFuser-agent: FooBot" + e + "disallow: /x" + e + "allow: /y", "/x"));
  }
  EXPECT_FALSE(allowed("user-agent: FooBot\ndisallow: /x", "/x"));  // without an end
  // What is cut is no rule: "disallow: /x" of "disallow: /xyz" would be another one.
  std::string text = "user-agent: FooBot\n";
  text.append(robots::max_bytes - text.size() - 13, '#');
  text += "\ndisallow: /xyz\ndisallow: /\n";
  EXPECT_TRUE(allowed(text, "/xyz"));
  text.erase(text.find('#'), 1);
  EXPECT_TRUE(allowed(text, "/xyz"));
  text.erase(text.find('#'), 1);
  EXPECT_FALSE(allowed(text, "/xyz"));  // all of it is within
  EXPECT_TRUE(allowed(text, "/x"));
  // Nothing that is no rule harms.
  EXPECT_TRUE(
      allowed(std::string("\0\xff:\n:\n:::\nuser-agent\nuser-agent:\ndisallow: /\n", 42), "/x"));
  EXPECT_TRUE(allowed("<html><body>Not found</body></html>", "/x"));
}

TEST(robots, many_stars_take_no_time) {
  std::string text = "user-agent: *\n";
  while (text.size() < robots::max_bytes) text += "disallow: /*a*a*a*a*a*a*a*a*ab$\n";
  const auto rules = robots::parse(text, "x");
  EXPECT_TRUE(rules.allows(*url::parse("http://a/" + std::string(1000, 'a'))));
}

TEST(robots, delays_and_sitemaps) {
  const auto delay = [](const std::string& value) {
    return robots::parse("user-agent: *\ncrawl-delay: " + value + "\n", "x").crawl_delay();
  };
  EXPECT_EQ(delay("10"), 10s);
  EXPECT_EQ(delay("0.5"), 500ms);
  EXPECT_EQ(delay("0"), 0s);
  EXPECT_EQ(delay("1e99"), std::nullopt);
  EXPECT_EQ(delay("-1"), std::nullopt);
  EXPECT_EQ(delay("nan"), std::nullopt);
  EXPECT_EQ(delay("ten"), std::nullopt);
  EXPECT_GE(delay("99999999999999"), 24h);
  EXPECT_EQ(robots::parse("crawl-delay: 3\nuser-agent: y\ncrawl-delay: 3\n", "x").crawl_delay(),
            std::nullopt);
  const auto twice = robots::parse(
      "user-agent: x\ncrawl-delay: 3\nuser-agent: z\ndisallow: /\n"
      "user-agent: x\ncrawl-delay: 2\n",
      "x");
  EXPECT_EQ(twice.crawl_delay(), 3s);
  EXPECT_THAT(
      robots::parse("Sitemap: http://a/1\nuser-agent: y\nsitemap:/2\nsitemap:\n", "x").sitemaps(),
      ElementsAre("http://a/1", "/2"));
}

// ---- the cache
// -----------------------------------------------------------------------------------

class robots_of_a_site : public on_backends {
 protected:
  /// Runs `body(server, cache)` beside a server that does `s` with each request.
  template <class Body>
  void beside(http_script_server::script s, Body body,
              robots_options options = robots_options{}.agent("FooBot/1.0").backoff(1ms)) {
    auto program = [&]() -> task<> {
      http_script_server server{s};
      http::client client;
      auto all = [&]() -> task<> {
        co_await with_nursery([&](nursery& n) -> task<> {
          n.start([&]() -> task<> { return server.serve(); });
          robots_cache cache{client, n, options};
          auto running = body(server, cache);
          co_await std::move(running);
          n.cancel();
        });
      };
      co_await fail_after(20s, std::ref(all));
    };
    run(program(), GetParam());
  }
  /// One answer to everything.
  static http_script_server::script saying(std::string text) {
    return [text = std::move(text)](http_peer& p) -> task<> {
      while (true) {
        auto asked = p.request();
        const bool more = co_await std::move(asked);
        if (!more) break;
        co_await p.say(text);
      }
    };
  }
  static std::string ok(const std::string& body) {
    return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }
  static task<robots_file> ask(robots_cache& cache, std::string page) {
    auto getting = cache.get(*url::parse(page));
    const auto file = co_await std::move(getting);
    co_return *file;
  }
};
ON_BACKENDS(robots_of_a_site);

TEST_P(robots_of_a_site, is_asked_once_whoever_asks_and_with_the_same_agent) {
  beside(saying(ok("user-agent: foobot\ndisallow: /x\n")),
         [](http_script_server& s, robots_cache& cache) -> task<> {
           int denied = 0;
           co_await with_nursery([&](nursery& n) -> task<> {
             for (int i = 0; i < 20; ++i) {
               n.start([&]() -> task<> {
                 auto asking = ask(cache, s.at("/x"));
                 const auto file = co_await std::move(asking);
                 denied += !file.rules.allows(*url::parse(s.at("/x")));
                 EXPECT_EQ(file.said, robots_file::answer::rules);
               });
             }
             co_return;
           });
           EXPECT_EQ(denied, 20);
           EXPECT_EQ(s.requests.size(), 1u);
           EXPECT_THAT(s.requests.at(0), HasSubstr("GET /robots.txt HTTP/1.1\r\n"));
           EXPECT_THAT(s.requests.at(0), HasSubstr("User-Agent: FooBot/1.0\r\n"));
           auto other = ask(cache, s.elsewhere("/x"));  // another origin
           (void)co_await std::move(other);
           EXPECT_EQ(s.requests.size(), 2u);
           auto file = ask(cache, "file:///x");
           const auto free = co_await std::move(file);
           EXPECT_TRUE(free.rules.allows(*url::parse("file:///x")));
           EXPECT_EQ(cache.size(), 2u);
         });
}

TEST_P(robots_of_a_site, a_cancel_of_one_who_waits_is_not_one_for_others) {
  event asked, answer;
  beside(
      [&](http_peer& p) -> task<> {
        auto asking = p.request();
        (void)co_await std::move(asking);
        asked.set();
        co_await answer.wait();
        co_await p.answer("user-agent: *\ndisallow: /\n");
      },
      [&](http_script_server& s, robots_cache& cache) -> task<> {
        bool cancelled_one = false, other = false;
        co_await with_nursery([&](nursery& n) -> task<> {
          n.start([&]() -> task<> {
            auto getting = cache.get(*url::parse(s.at()));
            auto file = co_await std::move(getting);
            other = file->said == robots_file::answer::rules;
          });
          co_await with_scope(scope_options{}, [&](cancel_scope& scope) -> task<> {
            co_await with_nursery([&](nursery& inner) -> task<> {
              inner.start([&]() -> task<> {
                try {
                  auto asking = ask(cache, s.at());
                  (void)co_await std::move(asking);
                } catch (const cancelled&) {
                  cancelled_one = true;
                  throw;
                }
              });
              co_await asked.wait();
              scope.cancel();
            });
          });
          answer.set();
        });
        EXPECT_TRUE(cancelled_one);
        EXPECT_TRUE(other);
        EXPECT_EQ(s.requests.size(), 1u);
      });
}

TEST_P(robots_of_a_site, what_statuses_mean) {
  const auto said = [&](const std::string& answer, std::size_t requests) {
    robots_file file;
    const auto once = [&](http_peer& p) -> task<> {
      auto asked = p.request();
      (void)co_await std::move(asked);
      co_await p.say(answer);
    };
    beside(once, [&](http_script_server& s, robots_cache& cache) -> task<> {
      auto asking = ask(cache, s.at("/a"));
      file = co_await std::move(asking);
      EXPECT_EQ(s.requests.size(), requests) << answer;
    });
    EXPECT_EQ(file.rules.allows(*url::parse("http://a/a")),
              file.said != robots_file::answer::unreachable);
    return file.said;
  };
  using answer = robots_file::answer;
  const std::string empty = "\r\nContent-Length: 0\r\n\r\n";
  EXPECT_EQ(said("HTTP/1.1 404 Not Found" + empty, 1), answer::unavailable);
  EXPECT_EQ(said("HTTP/1.1 403 Forbidden" + empty, 1), answer::unavailable);
  EXPECT_EQ(said("HTTP/1.1 429 Busy" + empty, 3), answer::unavailable);
  EXPECT_EQ(said("HTTP/1.1 503 Busy\r\nRetry-After: 0" + empty, 3), answer::unreachable);
  EXPECT_EQ(said("HTTP/1.1 503 Busy\r\nRetry-After: 7200" + empty, 1), answer::unreachable);
  EXPECT_EQ(said("HTTP/1.1 301 There" + empty, 1), answer::unavailable);
  EXPECT_EQ(said("HTTP/1.1 301 There\r\nLocation: ftp://a/" + empty, 1), answer::unavailable);
  EXPECT_EQ(said("HTTP/1.1 301 There\r\nLocation: /robots.txt" + empty, 6), answer::unavailable);
  EXPECT_EQ(said("HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\nuser", 3), answer::unreachable);
  EXPECT_EQ(said("no http at all\r\n\r\n", 1), answer::unreachable);
}

TEST_P(robots_of_a_site, follows_five_redirects_and_tries_again) {
  beside(
      [](http_peer& p) -> task<> {
        while (true) {
          auto asking = p.request();
          const bool more = co_await std::move(asking);
          if (!more) break;
          const std::string path = p.last_path();
          if (path == "/robots.txt") {
            co_await p.redirect(302, "/1");
          } else if (path != "/5") {
            co_await p.redirect(307, "/" + std::string(1, static_cast<char>(path[1] + 1)));
          } else if (p.number == 1) {
            p.close();  // once
            break;
          } else {
            co_await p.answer("user-agent: *\ndisallow: /a\n");
          }
        }
      },
      [](http_script_server& s, robots_cache& cache) -> task<> {
        auto asking = ask(cache, s.at("/a"));
        const auto file = co_await std::move(asking);
        EXPECT_EQ(file.said, robots_file::answer::rules);
        EXPECT_FALSE(file.rules.allows(*url::parse(s.at("/a"))));
      });
}

TEST_P(robots_of_a_site, nobody_there_is_told_and_an_endless_file_is_cut) {
  beside(
      [](http_peer& p) -> task<> {
        auto asking = p.request();
        (void)co_await std::move(asking);
        co_await p.say("HTTP/1.1 200 OK\r\n\r\nuser-agent: *\ndisallow: /x\n");
        while (true) co_await p.say(std::string(10'000, '#') + "\n");
      },
      [](http_script_server& s, robots_cache& cache) -> task<> {
        auto asking = ask(cache, s.at("/x"));
        const auto file = co_await std::move(asking);
        EXPECT_FALSE(file.rules.allows(*url::parse(s.at("/x"))));
        EXPECT_TRUE(file.rules.allows(*url::parse(s.at("/y"))));
        auto nobody = ask(cache, "http://127.0.0.1:1/");
        const auto none = co_await std::move(nobody);
        EXPECT_EQ(none.said, robots_file::answer::unreachable);
        EXPECT_EQ(none.error->kind(), http::error_kind::refused);
        EXPECT_FALSE(none.rules.allows(*url::parse("http://127.0.0.1:1/")));
      });
}

TEST_P(robots_of_a_site, holds_for_its_age_and_not_longer) {
  beside(
      saying(ok("user-agent: *\ndisallow: /x\n")),
      [](http_script_server& s, robots_cache& cache) -> task<> {
        for (int i = 0; i < 3; ++i) {
          auto asking = ask(cache, s.at());
          (void)co_await std::move(asking);
        }
        EXPECT_EQ(s.requests.size(), 3u);
        EXPECT_EQ(cache.size(), 1u);
        auto other = ask(cache, s.elsewhere());
        (void)co_await std::move(other);
        EXPECT_EQ(cache.size(), 1u);  // of more than `most`, the oldest goes
      },
      robots_options{}.age(0s).most(1));
}

TEST_P(robots_of_a_site, a_silent_server_is_not_waited_for) {
  beside(
      [](http_peer& p) -> task<> {
        auto asking = p.request();
        (void)co_await std::move(asking);
        co_await sleep_forever();
      },
      [](http_script_server& s, robots_cache& cache) -> task<> {
        auto asking = ask(cache, s.at());
        const auto file = co_await std::move(asking);
        EXPECT_EQ(file.error->kind(), http::error_kind::timeout);
        EXPECT_EQ(s.requests.size(), 1u);
      },
      robots_options{}.timeout(20ms).retries(0));
}

}  // namespace
}  // namespace oneloop
