#include "oneloop/check/frontier.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "oneloop/base/error.hpp"
#include "oneloop/check/check_test.hpp"

namespace oneloop {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// A frontier whose start page was handed out.
struct crawl {
  explicit crawl(frontier_options o = {}) : f{std::move(o)} {
    f.start(at("http://a/"));
    root = *f.next();
  }
  url_claim link(std::string_view to) { return f.link(root, at(to)); }
  std::vector<std::string> rest() {
    std::vector<std::string> all;
    while (auto id = f.next()) all.push_back(f.said(*id));
    return all;
  }
  frontier f;
  url_id root = 0;
};

TEST(frontier, claims_each_url_once_and_asks_what_was_said_first) {
  crawl c;
  const auto first = c.link("http://a/%7euser/%e3%83%84?x=1#part");
  EXPECT_TRUE(first.fresh);
  for (const char* same : {"http://a/~user/%E3%83%84?x=1", "HTTP://A:80/x/../~user/ツ?x=1#other",
                           "http://a/%7Euse%72/%e3%83%84?%78=1"}) {
    const auto again = c.link(same);
    EXPECT_FALSE(again.fresh) << same;
    EXPECT_EQ(again.id, first.id) << same;
    EXPECT_EQ(c.f.find(at(same)), first.id);
  }
  for (const char* other : {"http://a/~user/%E3%83%84", "http://a/~user%2F%E3%83%84?x=1",
                            "http://a/~User/%E3%83%84?x=1", "https://a/~user/%E3%83%84?x=1"}) {
    EXPECT_TRUE(c.link(other).fresh) << other;
  }
  EXPECT_FALSE(c.f.find(at("http://a/unknown")));
  EXPECT_EQ(c.f.links_to(*first.id), 4u);
  EXPECT_THAT(c.rest(),
              ElementsAre("http://a/%7euser/%e3%83%84?x=1", "http://a/~user/%E3%83%84",
                          "http://a/~user%2F%E3%83%84?x=1", "http://a/~User/%E3%83%84?x=1",
                          "https://a/~user/%E3%83%84?x=1"));
  EXPECT_FALSE(c.link("http://a/#top").fresh);
  EXPECT_EQ(c.f.statistics().running, 6u);
}

TEST(frontier, is_a_set_whatever_the_urls) {
  frontier f{frontier_options{}.schemes({"http", "x"})};
  std::map<std::string, url_id> truth;
  std::uint64_t seed = 7;
  const auto random = [&](std::uint64_t n) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (seed >> 33u) % n;
  };
  for (int i = 0; i < 8000; ++i) {
    std::string text = random(9) == 0 ? "x:" : "http://h" + std::to_string(random(3));
    for (auto n = random(5); n > 0; --n)
      text.append("/").append(random(3), static_cast<char>('a' + random(3)));
    if (random(3) == 0) text += "?/q/" + std::to_string(random(10));
    if (random(50) == 0) text.append("/").append(2000 + random(3), 'l');
    if (random(50) == 0) {
      for (int n = 0; n < 40; ++n) text += "/d";
    }
    const auto u = at(text);
    const auto c = f.start(u);
    const auto [known, fresh] = truth.emplace(u.href(), *c.id);
    ASSERT_EQ(c.fresh, fresh) << u.href();
    ASSERT_EQ(*c.id, known->second) << u.href();
  }
  for (const auto& [href, id] : truth) {
    ASSERT_EQ(f.said(id), href);
    ASSERT_EQ(f.find(at(href)), id);
  }
}

TEST(frontier, follows_the_site_and_asks_the_rest) {
  crawl c{frontier_options{}.internal("^http://docs\\.")};
  EXPECT_TRUE(c.f.follows(*c.link("http://a/x").id));
  EXPECT_TRUE(c.f.follows(*c.link("https://a/x").id));
  EXPECT_TRUE(c.f.follows(*c.link("http://docs.b/x").id));
  EXPECT_FALSE(c.f.follows(*c.link("http://a:8080/x").id));
  const auto b = c.link("http://b/x");
  EXPECT_FALSE(c.f.follows(*b.id));
  // Where a start page redirects to is the site; where others do is not.
  EXPECT_FALSE(c.f.follows(*c.f.redirect(*b.id, at("http://b2/")).id));
  EXPECT_TRUE(c.f.follows(*c.f.redirect(c.root, at("http://b/")).id));
  EXPECT_TRUE(c.f.follows(*c.link("http://b/x").id));  // found before that

  crawl skip{frontier_options{}.external(external_links::skip)};
  EXPECT_EQ(skip.link("http://b/").why, url_refusal::external);
  EXPECT_TRUE(skip.link("http://a/x").id);
  crawl follow{frontier_options{}.external(external_links::follow)};
  EXPECT_TRUE(follow.f.follows(*follow.link("http://b/").id));
}

TEST(frontier, patterns_and_schemes_refuse) {
  crawl c{frontier_options{}.include("/docs/").include("\\.png$").exclude("draft")};
  EXPECT_TRUE(c.link("http://a/docs/x").id);
  EXPECT_TRUE(c.link("http://b/x.png#f").id);
  EXPECT_EQ(c.link("http://a/x").why, url_refusal::excluded);
  EXPECT_EQ(c.link("http://a/docs/draft").why, url_refusal::excluded);
  EXPECT_EQ(c.link("mailto:me@a").why, url_refusal::scheme);
  EXPECT_EQ(c.f.start(at("mailto:me@a")).why, url_refusal::scheme);
  EXPECT_TRUE(c.f.start(at("http://a/elsewhere")).id);  // the user named it
  crawl files{frontier_options{}.schemes({"file", "http"})};
  EXPECT_TRUE(files.link("file:///x").id);
  EXPECT_EQ(files.link("https://a/").why, url_refusal::scheme);
  try {
    const frontier f{frontier_options{}.exclude("x[a")};
    FAIL();
  } catch (const error& e) {
    EXPECT_EQ(e.code(), errc::misuse);
    EXPECT_THAT(e.what(), HasSubstr("exclude \"x[a\": missing ]"));
  }
}

TEST(frontier, what_no_link_leads_to_comes_last) {
  crawl c;
  const auto nofollow = *c.f.link(c.root, at("http://a/1"), {}, false).id;
  const auto both = *c.f.link(c.root, at("http://a/2"), {}, false).id;
  const auto x = *c.link("http://a/x").id;
  const auto external = *c.f.link(c.root, at("http://b/"), {}, false).id;
  c.f.done(c.root);
  EXPECT_EQ(c.f.next(), x);
  EXPECT_EQ(c.f.next(), external);
  EXPECT_FALSE(c.f.next()) << "x may lead there yet";
  EXPECT_FALSE(c.f.link(x, at("http://a/2")).fresh);
  EXPECT_EQ(c.f.next(), both);
  c.f.done(both);
  c.f.done(x);
  EXPECT_EQ(c.f.next(), nofollow);
  // What it redirects to is led to as much as it is.
  const auto end = *c.f.redirect(nofollow, at("http://a/3")).id;
  const auto other = *c.f.link(nofollow, at("http://a/4")).id;
  c.f.done(nofollow);
  EXPECT_EQ(c.f.next(), other);
  EXPECT_FALSE(c.f.next());
  c.f.done(other);
  EXPECT_EQ(c.f.next(), end);
  EXPECT_FALSE(c.f.next());
}

TEST(frontier, levels) {
  crawl c{frontier_options{}.level(2)};
  EXPECT_TRUE(c.f.follows(c.root));
  const auto x = *c.link("http://a/1").id;
  (void)c.link("http://b/");  // asked only: its level does not matter
  c.f.done(c.root);
  EXPECT_EQ(c.f.next(), x);
  EXPECT_TRUE(c.f.follows(x));
  const auto y = *c.f.link(x, at("http://a/2")).id;
  EXPECT_FALSE(c.f.follows(y));
  EXPECT_EQ(c.f.depth(y), 2u);
  const auto external = c.f.next();
  EXPECT_EQ(c.f.said(*external), "http://b/");
  // x is not done: y may yet be found nearer.
  EXPECT_FALSE(c.f.next());
  c.f.done(x);
  EXPECT_EQ(c.f.next(), y);
  // A redirect stays at its level.
  const auto z = *c.f.redirect(y, at("http://a/3")).id;
  EXPECT_EQ(c.f.depth(z), 2u);
  c.f.done(y);
  EXPECT_EQ(c.f.next(), z);
  EXPECT_FALSE(c.f.next());

  crawl only{frontier_options{}.level(0)};
  EXPECT_FALSE(only.f.follows(only.root));
}

TEST(frontier, found_again_nearer_takes_along_what_it_links_to) {
  crawl c{frontier_options{}.level(4)};
  // root -> s (slow), root -> 1 -> 2 -> 3 -> 4; then s -> 2.
  const auto s = *c.link("http://a/s").id;
  auto deep = *c.link("http://a/1").id;
  c.f.done(c.root);
  std::map<int, url_id> chain{{1, deep}};
  (void)c.f.next();
  (void)c.f.next();
  for (int i = 2; i <= 4; ++i) {
    const auto next = *c.f.link(deep, at("http://a/" + std::to_string(i))).id;
    c.f.done(deep);
    if (i < 4) {
      ASSERT_EQ(c.f.next(), next);
    }
    chain[i] = deep = next;
  }
  EXPECT_EQ(c.f.depth(chain[4]), 4u);
  EXPECT_FALSE(c.f.follows(chain[4]));
  EXPECT_FALSE(c.f.next());  // because of s
  EXPECT_FALSE(c.f.link(s, at("http://a/3")).fresh);
  EXPECT_EQ(c.f.depth(chain[3]), 2u);
  EXPECT_EQ(c.f.depth(chain[4]), 3u);
  EXPECT_TRUE(c.f.follows(chain[4]));
  EXPECT_EQ(c.f.next(), chain[4]);  // at once now
  EXPECT_FALSE(c.f.next());
  c.f.done(s);
  c.f.done(chain[4]);
  EXPECT_FALSE(c.f.next());
  EXPECT_EQ(c.f.statistics().running, 0u);
  EXPECT_EQ(c.f.statistics().waiting, 0u);
}

TEST(frontier, a_limit_on_pages_is_none_on_what_they_link_to) {
  crawl c{frontier_options{}.limit(2)};
  for (int i = 0; i < 5; ++i) c.link("http://a/" + std::to_string(i));
  (void)c.link("http://b/");
  EXPECT_THAT(c.rest(), ElementsAre("http://a/0", "http://b/"));
  EXPECT_EQ(c.f.statistics().over_limit, 4u);
}

TEST(frontier, sources_up_to_a_number) {
  crawl c{frontier_options{}.sources(2)};
  const auto page = *c.link("http://a/p").id;
  const auto to = at("http://a/x#frag");
  const auto x = *c.f.link(c.root, to, {3, 7, "Read more", "a[href]", "frag"}).id;
  c.f.link(page, to, {1, 2, std::string(199, 'x') + "ä" + "y", "img[src]", ""});
  c.f.link(page, to, {9, 9, "too many", "a[href]", ""});
  const auto all = c.f.sources(x);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].page, c.root);
  EXPECT_EQ(all[0].place.line, 3u);
  EXPECT_EQ(all[0].place.column, 7u);
  EXPECT_EQ(all[0].place.text, "Read more");
  EXPECT_EQ(all[0].place.element, "a[href]");
  EXPECT_EQ(all[0].place.fragment, "frag");
  EXPECT_EQ(all[1].page, page);
  EXPECT_EQ(all[1].place.text, std::string(199, 'x') + "...");  // no half characters
  EXPECT_EQ(c.f.links_to(x), 3u);
  c.f.forget_sources(x);
  EXPECT_TRUE(c.f.sources(x).empty());
  c.f.link(page, to, {4, 4, "", "", ""});
  EXPECT_TRUE(c.f.sources(x).empty());
  const auto r = *c.f.redirect(x, at("http://a/y")).id;
  EXPECT_EQ(c.f.sources(r).at(0).place.element, "redirect");
  EXPECT_EQ(c.f.sources(r).at(0).page, x);
}

TEST(frontier, traps_end) {
  crawl c;
  const auto trap = [&](const std::string& path) {
    const auto claim = c.link("http://a" + path);
    return claim.why == url_refusal::trap;
  };
  EXPECT_FALSE(trap("/a/a/a/x"));
  EXPECT_TRUE(trap("/a/a/a/a/x"));
  EXPECT_FALSE(trap("/a/b/a/b/a/b/"));
  EXPECT_TRUE(trap("/x/a/b/a/b/a/b/a/b/y"));
  EXPECT_TRUE(trap("/x?q=1&amp;amp;p=2"));
  EXPECT_FALSE(trap("/x?q=1&amp;p=2"));  // wrong, but what the page says
  EXPECT_FALSE(trap("/x?a=1&a=2&a=3"));
  EXPECT_TRUE(trap("/x?a=1&a=2&a=3&a=4&a=5&a=6&a=7&a=8&a=9"));
  EXPECT_FALSE(trap("/x?a[]=1&a[]=2&a[]=3&a[]=4&a[]=5&a[]=6&a[]=7&a[]=8&a[]=9"));
  EXPECT_TRUE(trap("/" + std::string(9000, 'x')));
  std::string deep;
  for (int i = 0; i < 41; ++i) deep += "/" + std::to_string(i);
  EXPECT_TRUE(trap(deep));
  std::string many = "/x?";
  for (int i = 0; i < 65; ++i) many += "p" + std::to_string(i) + "&";
  EXPECT_TRUE(trap(many));
  // None of that matters where nothing is followed.
  EXPECT_TRUE(c.link("http://b/a/a/a/a/a/a").id);
}

TEST(frontier, a_calendar_ends_by_its_budget_or_its_depth) {
  trap_limits few;
  few.alike = 50;
  few.alike_with_query = 20;
  few.depth = 10;
  crawl c{frontier_options{}.traps(few)};
  int days = 0, queries = 0, words = 0;
  for (int i = 0; i < 100; ++i) {
    const auto n = std::to_string(i);
    days += c.link("http://a/calendar/2030-" + n + "/" + n).id.has_value();
    queries += c.link("http://a/s?q=" + n + "&p=x").id.has_value();
    words +=
        c.link("http://a/w/" + std::string(static_cast<std::size_t>(i) + 1, 'w')).id.has_value();
  }
  EXPECT_EQ(days, 50);
  EXPECT_EQ(queries, 20);
  EXPECT_EQ(words, 100);
  EXPECT_TRUE(c.link("http://a/calendar/2030-1/1").id);  // known ones are no more
  auto from = c.root;
  int steps = 0;
  while (true) {
    const auto claim = c.f.link(
        from, at("http://a/next/" + std::string(static_cast<std::size_t>(steps) + 1, 'n')));
    if (!claim.id) break;
    from = *claim.id;
    ++steps;
  }
  EXPECT_EQ(steps, 10);
}

TEST(frontier, another_one_is_the_same_after_restore) {
  const auto options = frontier_options{}.level(3).recorded();
  crawl c{options};
  std::vector<frontier_changes> saved;
  std::uint64_t seed = 5;
  const auto random = [&](std::uint64_t n) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (seed >> 33u) % n;
  };
  std::set<url_id> done;
  std::vector<url_id> running{c.root};
  for (int i = 0; i < 150 && !running.empty(); ++i) {
    const auto at_random = running.begin() + static_cast<std::ptrdiff_t>(random(running.size()));
    const auto id = *at_random;
    running.erase(at_random);
    for (int k = 0; c.f.follows(id) && k < 6; ++k) {
      c.f.link(id,
               at("http://" + std::string(random(5) == 0 ? "b" : "a") + "/" +
                  std::to_string(random(120))),
               {}, random(4) != 0);
    }
    if (random(10) == 0) c.f.redirect(id, at("http://a/r" + std::to_string(random(5))));
    c.f.done(id);
    saved.push_back(c.f.changes());
    done.insert(id);
    while (running.size() < 7) {
      const auto next = c.f.next();
      if (!next) break;
      running.push_back(*next);
    }
  }
  EXPECT_TRUE(c.f.changes().empty());
  frontier_changes all;
  const auto append = [](auto& to, auto& from) { to.insert(to.end(), from.begin(), from.end()); };
  for (auto& s : saved) {
    append(all.hosts, s.hosts);
    append(all.claims, s.claims);
    append(all.links, s.links);
    append(all.updates, s.updates);
    append(all.sources, s.sources);
  }
  frontier again{options};
  again.restore(all);
  for (const auto id : done) again.restore_done(id);
  ASSERT_EQ(again.statistics().urls, c.f.statistics().urls);
  EXPECT_EQ(again.statistics().links, c.f.statistics().links);
  for (url_id id = 0; id < c.f.statistics().urls; ++id) {
    EXPECT_EQ(again.said(id), c.f.said(id));
    EXPECT_EQ(again.depth(id), c.f.depth(id));
    EXPECT_EQ(again.follows(id), c.f.follows(id));
    EXPECT_EQ(again.links_to(id), c.f.links_to(id));
  }
  EXPECT_TRUE(again.changes().empty());
  // What is not done is handed out, and nothing else.
  std::set<url_id> rest;
  while (auto id = again.next()) {
    EXPECT_TRUE(rest.insert(*id).second);
    again.done(*id);
  }
  EXPECT_EQ(rest.size() + done.size(), again.statistics().urls);
  for (const auto id : done) EXPECT_FALSE(rest.contains(id));
}

TEST(frontier, many_urls_take_little_memory) {
  crawl c;
  constexpr int urls = 30'000;
  for (int i = 0; i < urls; ++i) {
    const std::string text = "http://a/section-" + std::to_string(i / 1000) + "/articles/" +
                             std::to_string(i) + "-some-title-of-it.html";
    c.f.link(c.root, at(text), {static_cast<std::uint32_t>(i), 9, "Read more", "a[href]", ""});
  }
  const auto s = c.f.statistics();
  EXPECT_EQ(s.urls, urls + 1u);
  EXPECT_LT(s.memory / urls, 160u);
  RecordProperty("bytes_a_url", static_cast<int>(s.memory / urls));
}

}  // namespace
}  // namespace oneloop
