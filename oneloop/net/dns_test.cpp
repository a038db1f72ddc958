#include "oneloop/net/dns.hpp"

#include <stdlib.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <map>

#include "oneloop/net/buffered.hpp"
#include "oneloop/net/dns_server_test.hpp"
#include "oneloop/net/hosts_internal.hpp"
#include "oneloop/net/net_test.hpp"

namespace oneloop::net {
namespace {

using namespace test;

class dns : public on_backends {
 protected:
  /// Runs body(server, resolver), the server beside it.
  template <class Body>
  void ask(Body body, resolver_options options = quick()) {
    go([&]() -> task<> {
      dns_server server;
      std::vector<endpoint> list{server.at()};
      options.servers(std::move(list)).search({}).hosts_file("");
      resolver r{options};
      co_await with_nursery([&](nursery& n) -> task<> {
        n.start(&dns_server::serve, &server);
        auto all = body(server, r);
        co_await std::move(all);
        n.cancel();
      });
    });
  }
  static resolver_options quick() {
    resolver_options o;
    o.timeout(250ms).tries(2);
    return o;
  }
};
ON_BACKENDS(dns);

std::string join(const std::vector<ip_address>& list) {
  std::string s;
  for (const auto& a : list) {
    if (!s.empty()) s += ' ';
    s += a.to_string();
  }
  return s;
}

task<std::string> found(resolver& r, std::string name, family kind = family::any) {
  auto looking = r.lookup(std::move(name), kind);
  const auto list = co_await std::move(looking);
  co_return join(list);
}

TEST_P(dns, both_kinds_of_addresses_are_found_v6_first) {
  ask([](dns_server&, resolver& r) -> task<> {
    const auto all = co_await found(r, "a.test");
    EXPECT_EQ(all, "2001:db8::1 192.0.2.1 192.0.2.2");
    const auto v4 = co_await found(r, "v4only.test");
    EXPECT_EQ(v4, "192.0.2.4");
    const auto alias = co_await found(r, "alias.test", family::v4);
    EXPECT_EQ(alias, "192.0.2.1 192.0.2.2");
    const auto upper = co_await found(r, "A.TEST.", family::v6);
    EXPECT_EQ(upper, "2001:db8::1");
  });
}

TEST_P(dns, failures_are_told_apart) {
  ask([](dns_server&, resolver& r) -> task<> {
    const std::vector<std::pair<const char*, dns_errc>> cases{
        {"nx.test", dns_errc::no_such_host},         {"nodata.test", dns_errc::no_data},
        {"servfail.test", dns_errc::server_failure}, {"refused.test", dns_errc::refused},
        {"silent.test", dns_errc::timed_out},
    };
    for (const auto& [name, expected] : cases) {
      for (const auto kind : {family::any, family::v4}) {
        auto looking = r.lookup(name, kind);
        const auto code = co_await code_of(std::move(looking));
        EXPECT_EQ(code, make_error_code(expected)) << name;
      }
    }
    auto looking = r.lookup("nx.test");
    const auto text = co_await message_of(std::move(looking));
    EXPECT_EQ(text, "resolve nx.test: no such host (NXDOMAIN)");
    auto v6 = r.lookup("v4only.test", family::v6);
    const auto code = co_await code_of(std::move(v6));
    EXPECT_EQ(code, make_error_code(dns_errc::no_data));
  });
}

TEST_P(dns, a_failure_says_more_than_the_absence_of_the_other_kind) {
  ask([](dns_server&, resolver& r) -> task<> {
    auto looking = r.lookup("half.test");
    const auto code = co_await code_of(std::move(looking));
    EXPECT_EQ(code, make_error_code(dns_errc::server_failure));
  });
}

TEST_P(dns, an_unreachable_server_is_no_timeout) {
  go([]() -> task<> {
    udp_socket gone{endpoint{ip_address::loopback_v4(), 0}};
    const endpoint at = gone.local_endpoint();
    gone.close();
    std::vector<endpoint> list{at};
    resolver_options o = quick();
    o.servers(std::move(list)).search({});
    resolver r{o};
    auto looking = r.lookup("a.test", family::v4);
    const auto code = co_await code_of(std::move(looking));
    EXPECT_EQ(code, make_error_code(dns_errc::unreachable));
  });
}

TEST_P(dns, the_second_server_is_asked_when_the_first_is_silent) {
  go([]() -> task<> {
    udp_socket silent{endpoint{ip_address::loopback_v4(), 0}};
    dns_server server;
    std::vector<endpoint> list{silent.local_endpoint(), server.at()};
    resolver_options o = quick();
    o.servers(std::move(list)).search({});
    resolver r{o};
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start(&dns_server::serve, &server);
      const auto v4 = co_await found(r, "v4only.test", family::v4);
      EXPECT_EQ(v4, "192.0.2.4");
      n.cancel();
    });
  });
}

TEST_P(dns, literals_and_localhost_ask_nobody) {
  ask([](dns_server& server, resolver& r) -> task<> {
    const auto v4 = co_await found(r, "127.0.0.1");
    EXPECT_EQ(v4, "127.0.0.1");
    const auto v6 = co_await found(r, "2001:db8::5", family::v6);
    EXPECT_EQ(v6, "2001:db8::5");
    auto wrong = r.lookup("127.0.0.1", family::v6);
    const auto code = co_await code_of(std::move(wrong));
    EXPECT_EQ(code, make_error_code(dns_errc::no_data));
    for (const char* name : {"localhost", "LOCALHOST.", "a.b.localhost"}) {
      const auto both = co_await found(r, name);
      EXPECT_EQ(both, "::1 127.0.0.1") << name;
      const auto one = co_await found(r, name, family::v4);
      EXPECT_EQ(one, "127.0.0.1") << name;
    }
    EXPECT_EQ(server.questions(), 0);
    EXPECT_EQ(r.statistics().questions, 0U);
  });
}

TEST_P(dns, what_cannot_be_a_name_asks_nobody) {
  ask([](dns_server& server, resolver& r) -> task<> {
    const std::vector<std::string> names{"",
                                         ".",
                                         "a..test",
                                         ".test",
                                         "a b.test",
                                         std::string{"a\0.test", 7},
                                         std::string(64, 'x') + ".test",
                                         std::string(300, 'x')};
    for (const auto& name : names) {
      auto looking = r.lookup(name);
      const auto code = co_await code_of(std::move(looking));
      EXPECT_EQ(code, make_error_code(dns_errc::bad_name)) << name;
    }
    EXPECT_EQ(server.questions(), 0);
  });
}

TEST_P(dns, answers_are_remembered_until_they_expire) {
  ask([](dns_server& server, resolver& r) -> task<> {
    for (int i = 0; i < 3; ++i) {
      const auto v4 = co_await found(r, "ttl1.test", family::v4);
      EXPECT_EQ(v4, "192.0.2.1");
    }
    EXPECT_EQ(server.questions("ttl1.test"), 1);
    EXPECT_EQ(r.statistics().cache_hits, 2U);
    co_await sleep_for(1100ms);
    (void)co_await found(r, "ttl1.test", family::v4);
    EXPECT_EQ(server.questions("ttl1.test"), 2);
    for (int i = 0; i < 2; ++i) (void)co_await found(r, "ttl0.test", family::v4);
    EXPECT_EQ(server.questions("ttl0.test"), 2);
  });
}

TEST_P(dns, absence_is_remembered_for_a_short_time_and_trouble_is_not) {
  resolver_options o = quick();
  o.negative_ttl(400ms);
  ask(
      [](dns_server& server, resolver& r) -> task<> {
        auto count = [&](std::string name) -> task<int> {
          auto looking = r.lookup(name, family::v4);
          (void)co_await code_of(std::move(looking));
          co_return server.questions(name);
        };
        const auto first = co_await count("nx.test");
        const auto second = co_await count("nx.test");
        EXPECT_EQ(first, second);
        co_await sleep_for(450ms);
        const auto third = co_await count("nx.test");
        EXPECT_GT(third, second);
        const auto trouble = co_await count("servfail.test");
        const auto again = co_await count("servfail.test");
        EXPECT_GT(again, trouble);
      },
      o);
}

TEST_P(dns, the_cache_is_bounded_and_forgets_the_least_recently_used) {
  resolver_options o = quick();
  o.cache_size(2);
  ask(
      [](dns_server& server, resolver& r) -> task<> {
        (void)co_await found(r, "a.test", family::v4);
        (void)co_await found(r, "v4only.test", family::v4);
        (void)co_await found(r, "a.test", family::v4);
        (void)co_await found(r, "alias.test", family::v4);
        EXPECT_EQ(r.statistics().cached, 2U);
        (void)co_await found(r, "a.test", family::v4);
        EXPECT_EQ(server.questions("a.test"), 1);
        (void)co_await found(r, "v4only.test", family::v4);
        EXPECT_EQ(server.questions("v4only.test"), 2);
      },
      o);
}

TEST_P(dns, one_question_serves_all_who_ask_meanwhile) {
  resolver_options o;
  o.timeout(2s);
  ask(
      [](dns_server& server, resolver& r) -> task<> {
        co_await with_nursery([&](nursery& n) -> task<> {
          for (int i = 0; i < 20; ++i) {
            n.start([&]() -> task<> {
              const auto v4 = co_await found(r, "slow.test", family::v4);
              EXPECT_EQ(v4, "192.0.2.1");
            });
          }
          co_return;
        });
        EXPECT_EQ(server.questions("slow.test"), 1);
        EXPECT_EQ(r.statistics().shared, 19U);
      },
      o);
}

TEST_P(dns, cancelling_one_who_waits_leaves_the_others_and_the_answer) {
  resolver_options o;
  o.timeout(2s);
  ask(
      [](dns_server& server, resolver& r) -> task<> {
        co_await with_nursery([&](nursery& n) -> task<> {
          n.start([&]() -> task<> {
            const auto v4 = co_await found(r, "slow.test", family::v4);
            EXPECT_EQ(v4, "192.0.2.1");
          });
          const auto impatient = co_await move_on_after(5ms, r.lookup("slow.test", family::v4));
          EXPECT_FALSE(impatient);
        });
        EXPECT_EQ(server.questions("slow.test"), 1);
        auto looking = r.lookup("slower.test", family::v4);
        const auto late = co_await code_of(fail_after(5ms, std::move(looking)));
        EXPECT_EQ(late, make_error_code(errc::timed_out));
        co_await sleep_for(100ms);
        (void)co_await found(r, "slower.test", family::v4);
        EXPECT_EQ(server.questions("slower.test"), 1) << "nobody waited, the answer was kept";
        const auto never_began = co_await move_on_after(0s, r.lookup("a.test"));
        EXPECT_FALSE(never_began);
      },
      o);
}

TEST_P(dns, truncated_answer_is_asked_for_again_over_tcp) {
  ask([](dns_server& server, resolver& r) -> task<> {
    auto looking = r.lookup("big.test", family::v4);
    const auto list = co_await std::move(looking);
    EXPECT_EQ(list.size(), 100U);
    EXPECT_EQ(server.tcp_questions, 1);
  });
}

TEST_P(dns, many_names_at_once) {
  ask(
      [](dns_server&, resolver& r) -> task<> {
        co_await with_nursery([&](nursery& n) -> task<> {
          for (int i = 0; i < 200; ++i) {
            n.start(
                [&r](int number) -> task<> {
                  const auto v4 =
                      co_await found(r, "n" + std::to_string(number) + ".any.test", family::v4);
                  EXPECT_EQ(v4, "192.0.2.9");
                },
                i);
          }
          co_return;
        });
        EXPECT_EQ(r.statistics().in_flight, 0U);
      },
      resolver_options{});
}

TEST_P(dns, hosts_file_comes_first_and_is_read_again_when_it_changes) {
  std::string path = "/tmp/oneloop_hosts_XXXXXX";
  const int fd = ::mkstemp(path.data());
  ASSERT_GE(fd, 0);
  ::close(fd);
  std::ofstream{path} << "192.0.2.77 Box.test box # a comment\n::77 box.test\n";
  go([&]() -> task<> {
    resolver_options o;
    o.hosts_file(path);
    resolver r{o};
    const auto both = co_await found(r, "BOX.test");
    EXPECT_EQ(both, "::77 192.0.2.77");
    auto none = r.lookup("box", family::v6);
    const auto code = co_await code_of(std::move(none));
    EXPECT_EQ(code, make_error_code(dns_errc::no_data));
    std::ofstream{path} << "192.0.2.78 box.test\n";
    co_await sleep_for(1100ms);
    const auto changed = co_await found(r, "box.test");
    EXPECT_EQ(changed, "192.0.2.78");
    EXPECT_EQ(r.statistics().questions, 0U);
  });
  ::unlink(path.c_str());
}

TEST_P(dns, a_loop_keeps_one_resolver_and_can_be_told_other_servers) {
  go([]() -> task<> {
    dns_server server;
    auto& r = resolver::current();
    EXPECT_EQ(&r, &resolver::of(*loop::current()));
    std::vector<endpoint> list{server.at()};
    resolver_options o = quick();
    o.servers(std::move(list)).search({});
    r.configure(o);
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start(&dns_server::serve, &server);
      const auto v4 = co_await found(r, "v4only.test");
      EXPECT_EQ(v4, "192.0.2.4");
      const auto slow = co_await move_on_after(5ms, r.lookup("slow.test"));
      EXPECT_FALSE(slow);
      EXPECT_THROW(r.configure(o), misuse) << "a question is under way";
      n.cancel();
    });
    // The question that nobody waits for ends with the loop.
  });
}

TEST_P(dns, a_resolver_that_goes_away_answers_those_who_wait) {
  go([]() -> task<> {
    udp_socket silent{endpoint{ip_address::loopback_v4(), 0}};
    std::vector<endpoint> list{silent.local_endpoint()};
    resolver_options o;
    o.servers(std::move(list)).search({});
    auto r = std::make_unique<resolver>(o);
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        auto looking = r->lookup("a.test", family::v4);
        const auto code = co_await code_of(std::move(looking));
        EXPECT_EQ(code, make_error_code(dns_errc::failed));
      });
      co_await sleep_for(5ms);
      r.reset();
    });
  });
}

TEST(hosts_file, parses_names_comments_and_repetitions) {
  const auto names = hosts_file::parse(
      "127.0.0.1\tlocalhost\r\n# 1.1.1.1 no\n\n ::1 localhost Six six # x\nnonsense name\n1.2.3.4");
  EXPECT_EQ(names.size(), 2U);
  EXPECT_EQ(join(names.at("localhost")), "127.0.0.1 ::1");
  EXPECT_EQ(join(names.at("six")), "::1");
}

TEST(resolver, on_the_virtual_clock_only_what_asks_nobody_works) {
  run(
      []() -> task<> {
        const auto local = co_await found(resolver::current(), "localhost", family::v4);
        EXPECT_EQ(local, "127.0.0.1");
        auto looking = resolver::current().lookup("a.test");
        const auto code = co_await code_of(std::move(looking));
        EXPECT_EQ(code, make_error_code(dns_errc::unreachable));
      }(),
      "virtual");
}

TEST(resolver, outside_a_loop_is_an_error) {
  EXPECT_THROW((void)resolver::current(), loop_not_running);
  EXPECT_THROW(resolver{}, loop_not_running);
}

}  // namespace
}  // namespace oneloop::net
