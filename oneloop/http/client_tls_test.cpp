// The client over https.
#include "oneloop/http/client_tls_test.hpp"

#include "oneloop/net/openssl_test.hpp"

namespace oneloop::inline v0::test {
namespace {

using http::client;
using http::client_options;
using oneloop::testing::test_ca;
using oneloop::testing::validity;

class http_point_27_on : public http_tls_on_backends {};
ON_BACKENDS(http_point_27_on);

TEST_P(http_point_27_on, a_certificate_of_our_own_authority_is_trusted) {
  std::string name, protocol;
  auto script = [&](secure_peer& p) -> task<> {
    name = p.in.stream().session().server_name();
    protocol = p.in.stream().alpn();
    co_await answers_all(p);
  };
  with_server(identity(), script, [&](server& s) -> task<> {
    client c{trusting()};
    auto r = co_await c.get(s.at());
    const auto t = r.times();
    EXPECT_GT(t.tls, 0ns);
    EXPECT_FALSE(t.reused);
    const auto body = co_await r.text();
    EXPECT_EQ(body, "secret");
    EXPECT_EQ(name, "localhost");
    EXPECT_EQ(protocol, "http/1.1");
    for (int i = 0; i < 3; ++i) {
      const auto again = co_await fetch(c, s.at());
      EXPECT_EQ(again, "secret");
      co_await sleep_for(5ms);
    }
    EXPECT_EQ(s.connections, 1);
    EXPECT_EQ(c.statistics().reused, 3u);
    co_await c.close();
    co_await eventually([&] { return s.open == 0; });
  });
}

TEST_P(http_point_27_on, bad_certificates_are_refused_and_named) {
  with_server(identity(validity::expired), answers_all, [](server& s) -> task<> {
    client c{trusting()};
    const auto f = co_await failure_of(c.get(s.at()));
    EXPECT_EQ(f.kind, "tls");
    EXPECT_EQ(f.phase, "tls");
    EXPECT_TRUE(f.text.starts_with("TLS handshake with localhost: certificate has expired"))
        << f.text;
    EXPECT_EQ(c.statistics().in_use, 0u);
    client stranger;
    const auto unknown = co_await failure_of(stranger.get(s.at()));
    EXPECT_EQ(unknown.kind, "tls");
    client careless{client_options{}.insecure()};
    const auto body = co_await fetch(careless, s.at());
    EXPECT_EQ(body, "secret");
  });
}

TEST_P(http_point_27_on, a_certificate_for_another_host_is_refused) {
  with_server(identity(validity::valid, "example.org"), answers_all, [](server& s) -> task<> {
    client c{trusting()};
    const auto f = co_await failure_of(c.get(s.at()));
    EXPECT_EQ(f.kind, "tls");
    EXPECT_TRUE(f.text.starts_with("TLS handshake with localhost: ")) << f.text;
  });
  with_server(identity(validity::valid, "127.0.0.1"), answers_all, [](server& s) -> task<> {
    client c{trusting()};
    const auto body = co_await fetch(c, s.at("127.0.0.1"));
    EXPECT_EQ(body, "secret");
  });
}

TEST_P(http_point_27_on, a_file_of_authorities_that_is_missing_is_named) {
  with_server(identity(), answers_all, [](server& s) -> task<> {
    client c{client_options{}.ca_file("/nonexistent/ca.pem")};
    const auto f = co_await failure_of(c.get(s.at()));
    EXPECT_EQ(f.kind, "tls");
    EXPECT_NE(f.text.find("/nonexistent/ca.pem"), std::string::npos) << f.text;
    EXPECT_EQ(c.statistics().in_use, 0u);
  });
}

TEST_P(http_point_27_on, the_end_of_a_body_must_be_said) {
  auto script = [](secure_peer& p) -> task<> {
    (void)co_await p.request();
    co_await p.say("HTTP/1.1 200 OK\r\n\r\nall of it");
    if (p.number == 1) co_await p.in.stream().shutdown();
  };
  with_server(identity(), script, [](server& s) -> task<> {
    client c{trusting()};
    const auto body = co_await fetch(c, s.at());
    EXPECT_EQ(body, "all of it");
    const auto f = co_await failure_of(fetch(c, s.at()));
    EXPECT_EQ(f.kind, "protocol");
    EXPECT_EQ(f.phase, "body");
    EXPECT_NE(f.text.find("truncated"), std::string::npos) << f.text;
  });
}

TEST_P(http_point_27_on, http_point_21_a_kept_connection_that_dies_is_replaced) {
  auto script = [](secure_peer& p) -> task<> {
    (void)co_await p.request();
    co_await p.say("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
    (void)co_await p.request();
  };
  with_server(identity(), script, [](server& s) -> task<> {
    client c{trusting()};
    for (int i = 0; i < 3; ++i) {
      const auto body = co_await fetch(c, s.at());
      EXPECT_EQ(body, "x");
    }
    EXPECT_EQ(c.statistics().retried, 2u);
  });
}

TEST_P(http_point_27_on, a_server_that_does_not_speak_tls) {
  go([]() -> task<> {
    auto script = [](http_peer& p) -> task<> {
      (void)co_await p.say("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
      co_await p.until_closed();
    };
    http_script_server plain{script};
    auto both = [&](nursery& n) -> task<> {
      n.start(&http_script_server::serve, &plain);
      client c;
      const auto f =
          co_await failure_of(c.get("https://127.0.0.1:" + std::to_string(plain.port()) + "/"));
      EXPECT_EQ(f.kind, "tls");
      EXPECT_TRUE(f.text.starts_with("TLS handshake with 127.0.0.1: the peer does not speak TLS"))
          << f.text;
      n.cancel();
    };
    co_await with_nursery(std::ref(both));
  });
}

TEST_P(http_point_27_on, http_point_26_a_handshake_that_hangs_times_out_and_can_be_cancelled) {
  go([]() -> task<> {
    auto script = [](http_peer& p) -> task<> { co_await p.until_closed(); };
    http_script_server silent{script};
    auto both = [&](nursery& n) -> task<> {
      n.start(&http_script_server::serve, &silent);
      const std::string target = "https://localhost:" + std::to_string(silent.port()) + "/";
      http::phase_timeouts t;
      t.tls = 50ms;
      client c{trusting().timeouts(t)};
      const auto f = co_await failure_of(c.get(target));
      EXPECT_EQ(f.kind, "timeout");
      EXPECT_EQ(f.phase, "tls");
      EXPECT_EQ(f.text, "timeout after 50 ms in the TLS handshake with localhost");
      const std::size_t before = open_sockets();
      const auto got = co_await move_on_after(20ms, c.get(target));
      EXPECT_FALSE(got);
      co_await eventually([&] { return open_sockets() <= before && silent.open == 0; });
      EXPECT_EQ(c.statistics().in_use, 0u);
      n.cancel();
    };
    co_await with_nursery(std::ref(both));
  });
}

TEST_P(http_point_27_on, each_fault_of_a_certificate_has_its_words) {
  struct row {
    testing::test_certificate certificate;
    std::string words;
  };
  const std::vector<std::string> local{"localhost"};
  const std::vector<std::string> others{"a.test", "*.b.test", "192.0.2.1"};
  const row rows[] = {
      {authority().issue(local, validity::expired), "certificate has expired (on "},
      {authority().issue(local, validity::not_yet), "certificate is not yet valid (until "},
      {test_ca::self_signed(local), "self-signed certificate"},
      {test_ca{"another CA"}.issue(local), "unable to get local issuer certificate"},
      {authority().issue(others),
       "hostname mismatch: certificate is for a.test, *.b.test, 192.0.2.1"},
      // The subject's common name says "localhost": nobody looks at it.
      {authority().issue({"a.test"}, validity::valid, "localhost"),
       "hostname mismatch: certificate is for a.test"},
  };
  for (const auto& r : rows) {
    const auto with = net::tls_context::server(identity_of(r.certificate));
    with_server(with, answers_all, [&](server& s) -> task<> {
      client c{trusting()};
      const auto f = co_await failure_of(c.get(s.at()));
      EXPECT_EQ(f.kind, "tls");
      EXPECT_EQ(f.phase, "tls");
      EXPECT_TRUE(f.text.starts_with("TLS handshake with localhost: " + r.words)) << f.text;
      // Whoever does not mind is told, and again when the connection is used again.
      client careless{trusting().insecure()};
      for (int i = 0; i < 2; ++i) {
        auto page = co_await careless.get(s.at());
        EXPECT_TRUE(page.certificate_problem().value_or("none").starts_with(r.words))
            << page.certificate_problem().value_or("none");
        (void)co_await page.text();
      }
      EXPECT_EQ(careless.statistics().reused, 1u);
    });
  }
}

TEST_P(http_point_27_on, names_wildcards_and_addresses_in_certificates) {
  const std::vector<std::string> names{"*.wild.test", "127.0.0.1"};
  std::string asked_for;
  auto script = [&](secure_peer& p) -> task<> {
    asked_for = p.in.stream().session().server_name();
    co_await answers_all(p);
  };
  with_server(
      net::tls_context::server(identity_of(authority().issue(names))), script,
      [&](server& s) -> task<> {
        auto o = trusting();
        for (const char* host : {"a.wild.test", "b.a.wild.test", "wild.test", "awild.test"}) {
          o.resolve(host, s.port(), net::ip_address::loopback_v4());
        }
        client c{o};
        const std::pair<const char*, bool> rows[] = {{"A.Wild.test", true},
                                                     {"a.wild.test.", true},
                                                     {"b.a.wild.test", false},
                                                     {"wild.test", false},
                                                     {"awild.test", false}};
        for (const auto& [host, good] : rows) {
          const auto f = co_await failure_of(fetch(c, s.at(host)));
          EXPECT_EQ(f.kind, good ? "none" : "tls") << host << ": " << f.text;
          if (good) {
            EXPECT_EQ(asked_for, "a.wild.test");
          }
        }
        // An address is no name: it is checked as an address, and not sent as a name.
        auto page = co_await c.get(s.at("127.0.0.1"));
        EXPECT_EQ(asked_for, "");
        EXPECT_FALSE(page.certificate_problem());
      });
}

TEST_P(http_point_27_on, a_server_may_demand_a_certificate_of_ours) {
  const auto mine = authority().issue({"me.test"});
  const auto strange = test_ca{"another CA"}.issue({"me.test"});
  const text_file certificate{mine.certificate}, key{mine.key}, other{strange.certificate},
      other_key{strange.key};
  auto o = identity_of(authority().issue({"localhost"}));
  o.client_ca = authority().certificate();
  with_server(net::tls_context::server(o), answers_all, [&](server& s) -> task<> {
    client known{trusting().client_certificate(certificate.path(), key.path())};
    const auto body = co_await fetch(known, s.at());
    EXPECT_EQ(body, "secret");
    http::request to_stranger{"GET", url::parse(s.at()).value()};
    to_stranger.to_stranger();
    const auto not_shown = co_await failure_of(known.send(to_stranger));
    EXPECT_EQ(not_shown.kind, "tls");
    // In TLS 1.3 we hear of a refusal after our side of the handshake is over.
    client unknown{trusting()};
    const auto f = co_await failure_of(unknown.get(s.at()));
    EXPECT_EQ(f.kind, "tls");
    EXPECT_NE(f.text.find("refused by the peer: certificate required"), f.text.npos) << f.text;
    http::request large{"POST", url::parse(s.at()).value()};
    large.body(std::string(4'000'000, 'x'));
    const auto upload = co_await failure_of(unknown.send(large));
    EXPECT_EQ(upload.kind, "tls") << upload.text;
    client stranger{trusting().client_certificate(other.path(), other_key.path())};
    const auto g = co_await failure_of(stranger.get(s.at()));
    EXPECT_EQ(g.kind, "tls");
    EXPECT_NE(g.text.find("refused by the peer: "), g.text.npos) << g.text;
    client mixed_up{trusting().client_certificate(certificate.path(), other_key.path())};
    const auto h = co_await failure_of(mixed_up.get(s.at()));
    EXPECT_EQ(h.kind, "tls");
    EXPECT_NE(h.text.find("key"), h.text.npos) << h.text;
    EXPECT_EQ(unknown.statistics().in_use, 0u);
  });
}

TEST_P(http_point_27_on, the_next_connection_resumes_the_session) {
  std::vector<bool> resumed;
  auto script = [&](secure_peer& p) -> task<> {
    resumed.push_back(p.in.stream().session().resumed());
    (void)co_await p.request();
    co_await p.say("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx");
    co_await p.in.stream().shutdown();
  };
  with_server(identity(), script, [&](server& s) -> task<> {
    client c{trusting()};
    for (int i = 0; i < 4; ++i) (void)co_await fetch(c, s.at());
    client other{trusting()};
    (void)co_await fetch(other, s.at());
    EXPECT_EQ(resumed, (std::vector<bool>{false, true, true, true, false}));
  });
}

TEST_P(http_point_27_on, a_missing_goodbye_does_not_matter_behind_a_complete_body) {
  auto script = [](secure_peer& p) -> task<> {
    (void)co_await p.request();
    const bool chunked = p.number == 2;
    co_await p.say(chunked ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                             "3\r\nall\r\n0\r\n\r\n"
                           : "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nall");
    // Ends without a goodbye.
  };
  with_server(identity(), script, [](server& s) -> task<> {
    for (int i = 0; i < 2; ++i) {
      client c{trusting()};
      auto r = co_await c.get(s.at());
      co_await sleep_for(5ms);
      const auto body = co_await r.text();
      EXPECT_EQ(body, "all");
    }
  });
  auto cut = [](secure_peer& p) -> task<> {
    (void)co_await p.request();
    co_await p.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
  };
  with_server(identity(), cut, [](server& s) -> task<> {
    client c{trusting()};
    const auto f = co_await failure_of(fetch(c, s.at()));
    EXPECT_EQ(f.kind, "protocol");
    EXPECT_NE(f.text.find("truncated"), f.text.npos) << f.text;
  });
}

TEST_P(http_point_27_on, what_openssl_serves) {
  go([]() -> task<> {
    const std::vector<std::string> local{"localhost"};
    const auto own = authority().issue(local);
    const text_file certificate{own.certificate}, key{own.key};
    for (const char* version : {"-tls1_2", "-tls1_3"}) {
      std::vector<std::string> arguments{
          "s_server", "-accept",  "127.0.0.1:0", "-cert", certificate.path(),
          "-key",     key.path(), "-www",        version};
      openssl program{std::move(arguments)};
      (void)co_await program.output_until("ACCEPT 127.0.0.1:");
      const auto line = co_await program.output_until("\n");
      const std::string at = "https://localhost:" + std::to_string(std::stoi(line)) + "/";
      client c{trusting()};
      for (int i = 0; i < 2; ++i) {
        auto page = co_await c.get(at);
        EXPECT_EQ(page.status(), 200);
        const auto text = co_await page.text();
        EXPECT_NE(text.find("s_server"), text.npos) << text;
        // It tells itself whether the session was a resumed one.
        EXPECT_NE(text.find(i == 0 ? "New, TLS" : "Reused, TLS"), text.npos) << version << text;
      }
      client stranger;
      const auto f = co_await failure_of(stranger.get(at));
      EXPECT_EQ(f.kind, "tls");
    }
  });
}

}  // namespace
}  // namespace oneloop::inline v0::test
