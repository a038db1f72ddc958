#include "oneloop/net/tls_engine.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <random>
#include <string>
#include <string_view>

#include "oneloop/testing/test_ca.hpp"

namespace {

using namespace oneloop::net;
using oneloop::testing::test_ca;
using oneloop::testing::test_certificate;
using oneloop::testing::validity;

std::span<const std::byte> bytes(std::string_view s) { return std::as_bytes(std::span{s}); }

/// One authority for all tests: making keys takes time under sanitizers.
const test_ca& authority() {
  static const test_ca ca;
  return ca;
}
const test_certificate& localhost() {
  static const test_certificate c = authority().issue({"localhost", "127.0.0.1", "::1"});
  return c;
}

tls_client_options trusting() {
  tls_client_options o;
  o.ca = authority().certificate();
  return o;
}
tls_server_options serving(const test_certificate& c = localhost()) {
  tls_server_options o;
  o.certificate = c.certificate;
  o.key = c.key;
  return o;
}

/// Two engines with a wire between them that carries `piece` bytes at a time.
struct pair {
  pair(const tls_context& client_context, const tls_context& server_context,
       std::string_view host = "localhost", std::uint16_t port = 443)
      : client{client_context, host, port}, server{server_context} {}

  /// Carries a piece each way; false if there was nothing to carry.
  bool carry_both() {
    const bool there = carry(client, server, piece);
    return carry(server, client, piece) || there;
  }
  static bool carry(tls_engine& from, tls_engine& to, std::size_t piece) {
    const auto out = from.output();
    if (out.empty()) return false;
    const auto some = out.first(std::min(piece, out.size()));
    to.input(some);
    from.consume_output(some.size());
    return true;
  }

  /// Runs the handshake to the end on both sides; what either throws passes.
  void shake() {
    bool moved = true;
    while (moved) {
      const auto a = client.handshake();
      const auto b = server.handshake();
      moved = carry_both();
      if (a == tls_state::done && b == tls_state::done && !moved) return;
    }
    FAIL() << "the handshake stands still";
  }

  /// The error that the client's handshake ends with.
  std::string client_error() {
    for (int i = 0; i < 100; ++i) {
      try {
        client.handshake();
      } catch (const tls_error& e) {
        code = e.code();
        while (carry(client, server, piece)) {
        }
        return e.what();
      }
      try {
        server.handshake();
      } catch (const tls_error&) {
      }
      while (carry_both()) {
      }
    }
    return "none";
  }

  tls_engine client, server;
  std::size_t piece = std::string::npos;
  std::error_code code;
};

/// All that `e` has to read at the moment.
std::string read_all(tls_engine& e, std::size_t at_a_time = 1000) {
  std::string text;
  std::vector<std::byte> buffer(at_a_time);
  for (;;) {
    const auto r = e.read(buffer);
    if (r.size == 0) return text;
    text.append(reinterpret_cast<const char*>(buffer.data()), r.size);
  }
}

std::string handshake_error(tls_client_options o, const test_certificate& certificate,
                            std::string_view host = "localhost", std::error_code* code = nullptr) {
  pair p{tls_context::client(o), tls_context::server(serving(certificate)), host};
  std::string text = p.client_error();
  if (code != nullptr) *code = p.code;
  return text;
}

TEST(tls_engine_test, data_goes_both_ways) {
  pair p{tls_context::client(trusting()), tls_context::server(serving())};
  EXPECT_FALSE(p.client.handshake_done());
  p.shake();
  EXPECT_TRUE(p.client.handshake_done());
  EXPECT_EQ(p.client.version(), "TLSv1.3");
  EXPECT_FALSE(p.client.cipher().empty());
  EXPECT_EQ(p.server.server_name(), "localhost");
  EXPECT_FALSE(p.client.certificate_problem());
  EXPECT_EQ(p.client.write(bytes("hello")), 5U);
  EXPECT_EQ(p.server.write(bytes("welcome")), 7U);
  while (p.carry_both()) {
  }
  EXPECT_EQ(read_all(p.server), "hello");
  EXPECT_EQ(read_all(p.client), "welcome");
}

TEST(tls_engine_test, one_byte_at_a_time) {
  pair p{tls_context::client(trusting()), tls_context::server(serving())};
  p.piece = 1;
  p.shake();
  p.client.write(bytes("hello, one byte at a time"));
  std::string got;
  while (pair::carry(p.client, p.server, 1)) got += read_all(p.server, 1);
  EXPECT_EQ(got, "hello, one byte at a time");
}

TEST(tls_engine_test, tls_1_2_is_the_least) {
  tls_client_options o = trusting();
  pair p{tls_context::client(o), tls_context::server(serving())};
  p.shake();
  tls_server_options s = serving();
  s.min_version = tls_version::tls1_3;
  o.min_version = tls_version::tls1_3;
  pair q{tls_context::client(o), tls_context::server(s)};
  q.shake();
  EXPECT_EQ(q.server.version(), "TLSv1.3");
}

TEST(tls_engine_test, big_data_arrives_whole_and_output_is_bounded) {
  pair p{tls_context::client(trusting()), tls_context::server(serving())};
  p.shake();
  std::string data(5'000'000, '\0');
  std::minstd_rand random{1};
  for (char& c : data) c = static_cast<char>(random());
  std::string got;
  std::string_view rest = data;
  std::size_t longest = 0;
  while (!rest.empty() || !p.client.output().empty()) {
    rest.remove_prefix(p.client.write(bytes(rest)));
    longest = std::max(longest, p.client.output().size());
    pair::carry(p.client, p.server, 70'001);
    got += read_all(p.server, 32'768);
  }
  EXPECT_EQ(got, data);
  EXPECT_LE(longest, tls_engine::max_output + 20'000);
  EXPECT_GT(longest, tls_engine::max_output / 2);
}

TEST(tls_engine_test, goodbye_is_a_clean_end) {
  pair p{tls_context::client(trusting()), tls_context::server(serving())};
  p.shake();
  p.client.write(bytes("last words"));
  EXPECT_EQ(p.client.shutdown(), tls_state::want_input);
  EXPECT_THROW(p.client.write(bytes("x")), oneloop::closed_error);
  while (pair::carry(p.client, p.server, 4096)) {
  }
  p.server.input_ended();
  EXPECT_EQ(read_all(p.server), "last words");
  std::byte b[10];
  EXPECT_EQ(p.server.read(b).state, tls_state::closed);
  EXPECT_EQ(p.server.read(b).state, tls_state::closed) << "again";
  EXPECT_EQ(p.server.write(bytes("still here")), 10U) << "half closed";
  EXPECT_EQ(p.server.shutdown(), tls_state::closed);
  while (pair::carry(p.server, p.client, 4096)) {
  }
  EXPECT_EQ(read_all(p.client), "still here");
  EXPECT_EQ(p.client.read(b).state, tls_state::closed);
  EXPECT_EQ(p.client.shutdown(), tls_state::closed);
}

TEST(tls_engine_test, a_stream_that_just_stops_is_truncated_after_its_data) {
  pair p{tls_context::client(trusting()), tls_context::server(serving())};
  p.shake();
  p.server.write(bytes("half of"));
  while (pair::carry(p.server, p.client, 4096)) {
  }
  p.client.input_ended();
  std::byte b[100];
  EXPECT_EQ(p.client.read(b).size, 7U);
  for (int i = 0; i < 2; ++i) {
    try {
      p.client.read(b);
      FAIL();
    } catch (const tls_error& e) {
      EXPECT_EQ(e.code(), tls_errc::truncated);
      EXPECT_STREQ(e.what(), "tls localhost: truncated: the stream ended without close_notify");
    }
  }
}

TEST(tls_engine_test, end_during_the_handshake) {
  tls_engine client{tls_context::client(trusting()), "localhost", 443};
  EXPECT_EQ(client.handshake(), tls_state::want_input);
  client.input_ended();
  try {
    client.handshake();
    FAIL();
  } catch (const tls_error& e) {
    EXPECT_EQ(e.code(), tls_errc::truncated);
    EXPECT_STREQ(e.what(), "tls localhost: the connection was closed during the handshake");
  }
}

TEST(tls_engine_test, a_peer_that_does_not_speak_tls) {
  tls_engine client{tls_context::client(trusting()), "localhost", 80};
  client.handshake();
  client.input(bytes("HTTP/1.1 400 Bad Request\r\n\r\n"));
  try {
    client.handshake();
    FAIL();
  } catch (const tls_error& e) {
    EXPECT_EQ(e.code(), tls_errc::protocol);
    EXPECT_NE(std::string_view{e.what()}.find("does not speak TLS"), std::string_view::npos)
        << e.what();
  }
  tls_engine server{tls_context::server(serving())};
  server.input(bytes("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"));
  EXPECT_THROW(server.handshake(), tls_error);
}

TEST(tls_engine_test, damaged_ciphertext_is_an_error) {
  pair p{tls_context::client(trusting()), tls_context::server(serving())};
  p.shake();
  p.client.write(bytes("hello"));
  std::vector<std::byte> wire{p.client.output().begin(), p.client.output().end()};
  wire.back() ^= std::byte{1};
  p.server.input(wire);
  std::byte b[10];
  EXPECT_THROW(p.server.read(b), tls_error);
  EXPECT_FALSE(p.server.output().empty()) << "an alert for the peer";
}

// ---- certificates ----

TEST(tls_certificate_test, unknown_authority) {
  std::error_code code;
  const test_ca other{"some other CA"};
  EXPECT_EQ(handshake_error(trusting(), other.issue({"localhost"}), "localhost", &code),
            "tls localhost: unable to get local issuer certificate");
  EXPECT_EQ(code, tls_errc::certificate);
}

TEST(tls_certificate_test, self_signed) {
  EXPECT_EQ(handshake_error(trusting(), test_ca::self_signed({"localhost"})),
            "tls localhost: self-signed certificate");
}

TEST(tls_certificate_test, expired_and_not_yet_valid) {
  const std::string text =
      handshake_error(trusting(), authority().issue({"localhost"}, validity::expired));
  EXPECT_TRUE(text.starts_with("tls localhost: certificate has expired (on 20")) << text;
  const std::string early =
      handshake_error(trusting(), authority().issue({"localhost"}, validity::not_yet));
  EXPECT_TRUE(early.starts_with("tls localhost: certificate is not yet valid (until 20")) << early;
}

TEST(tls_certificate_test, wrong_host) {
  EXPECT_EQ(handshake_error(trusting(), authority().issue({"a.example", "*.b.example"})),
            "tls localhost: hostname mismatch: certificate is for a.example, *.b.example");
  EXPECT_EQ(handshake_error(trusting(), localhost(), "127.0.0.2"),
            "tls 127.0.0.2: IP address mismatch: certificate is for localhost, 127.0.0.1, ::1");
  EXPECT_EQ(handshake_error(trusting(), authority().issue({"a", "b", "c", "d", "e", "f", "g"})),
            "tls localhost: hostname mismatch: certificate is for a, b, c, d, e and 2 more");
}

TEST(tls_certificate_test, hosts_that_match) {
  const test_certificate c =
      authority().issue({"example.org", "*.example.net", "10.0.0.1", "fe80::1"});
  for (const char* host : {"example.org", "EXAMPLE.org", "example.org.", "www.example.net",
                           "10.0.0.1", "fe80::1", "[fe80::1]"}) {
    pair p{tls_context::client(trusting()), tls_context::server(serving(c)), host};
    EXPECT_NO_THROW(p.shake()) << host;
  }
  for (const char* host : {"www.example.org", "example.net", "a.b.example.net", "10.0.0.2"}) {
    EXPECT_NE(handshake_error(trusting(), c, host), "none") << host;
  }
}

TEST(tls_certificate_test, addresses_are_not_sent_as_names) {
  pair p{tls_context::client(trusting()), tls_context::server(serving()), "127.0.0.1"};
  p.shake();
  EXPECT_EQ(p.server.server_name(), "");
}

TEST(tls_certificate_test, the_peer_is_told_and_its_error_says_so) {
  const test_ca other;
  pair p{tls_context::client(trusting()), tls_context::server(serving(other.issue({"localhost"})))};
  EXPECT_NE(p.client_error(), "none");
  try {
    std::byte b[1];
    if (p.server.handshake() == tls_state::done) p.server.read(b);
    FAIL();
  } catch (const tls_error& e) {
    EXPECT_EQ(e.code(), tls_errc::alert);
    EXPECT_STREQ(e.what(), "tls: refused by the peer: unknown CA");
  }
}

TEST(tls_certificate_test, without_verification_the_problem_is_still_known) {
  tls_client_options o = trusting();
  o.verify = false;
  pair p{tls_context::client(o),
         tls_context::server(serving(authority().issue({"other.example"})))};
  p.shake();
  EXPECT_EQ(p.client.certificate_problem(), "hostname mismatch: certificate is for other.example");
  pair good{tls_context::client(o), tls_context::server(serving())};
  good.shake();
  EXPECT_FALSE(good.client.certificate_problem());
}

TEST(tls_certificate_test, files_work_as_texts_do) {
  const std::string dir = ::testing::TempDir();
  const std::string ca = dir + "tls_engine_test_ca.pem", cert = dir + "tls_engine_test_cert.pem",
                    key = dir + "tls_engine_test_key.pem";
  std::ofstream{ca} << authority().certificate();
  std::ofstream{cert} << localhost().certificate;
  std::ofstream{key} << localhost().key;
  tls_client_options c;
  c.ca_file = ca;
  tls_server_options s;
  s.certificate_file = cert;
  s.key_file = key;
  pair p{tls_context::client(c), tls_context::server(s)};
  EXPECT_NO_THROW(p.shake());
  for (const std::string& f : {ca, cert, key}) std::remove(f.c_str());
}

TEST(tls_certificate_test, what_cannot_be_used_is_named) {
  auto text = [](auto make) -> std::string {
    try {
      make();
    } catch (const tls_error& e) {
      EXPECT_EQ(e.code(), tls_errc::setup);
      return e.what();
    }
    return "none";
  };
  tls_client_options c;
  c.ca_file = "/nonexistent.pem";
  const std::string missing = text([&] { tls_context::client(c); });
  EXPECT_TRUE(missing.starts_with("tls: CA file /nonexistent.pem: ")) << missing;
  c.ca_file.clear();
  c.ca = "junk";
  EXPECT_TRUE(text([&] { tls_context::client(c); }).starts_with("tls: CA certificate: "));
  tls_server_options s;
  EXPECT_EQ(text([&] { tls_context::server(s); }), "tls: server: a certificate is needed");
  s = serving();
  s.key = authority().issue({"localhost"}).key;
  EXPECT_NE(text([&] { tls_context::server(s); }), "none") << "somebody else's key";
  s = serving();
  s.alpn = {""};
  EXPECT_TRUE(text([&] { tls_context::server(s); }).starts_with("tls: ALPN: "));
}

// ---- ALPN, resumption, rules ----

TEST(tls_alpn_test, the_server_prefers) {
  tls_client_options c = trusting();
  c.alpn = {"http/1.1", "h2"};
  tls_server_options s = serving();
  s.alpn = {"h2", "http/1.1"};
  pair p{tls_context::client(c), tls_context::server(s)};
  p.shake();
  EXPECT_EQ(p.client.alpn(), "h2");
  EXPECT_EQ(p.server.alpn(), "h2");
}

TEST(tls_alpn_test, one_side_without_it) {
  tls_client_options c = trusting();
  c.alpn = {"h2"};
  pair p{tls_context::client(c), tls_context::server(serving())};
  p.shake();
  EXPECT_EQ(p.client.alpn(), "");
}

TEST(tls_alpn_test, nothing_in_common) {
  tls_client_options c = trusting();
  c.alpn = {"h2"};
  tls_server_options s = serving();
  s.alpn = {"http/1.1"};
  pair p{tls_context::client(c), tls_context::server(s)};
  EXPECT_EQ(p.client_error(), "tls localhost: refused by the peer: no application protocol");
}

/// A handshake and a little data, so that the client sees the server's tickets. Was it resumed?
bool visit(const tls_context& client, const tls_context& server,
           std::string_view host = "localhost", std::uint16_t port = 443) {
  pair p{client, server, host, port};
  p.shake();
  p.server.write(bytes("x"));
  while (pair::carry(p.server, p.client, 4096)) {
  }
  EXPECT_EQ(read_all(p.client), "x");
  EXPECT_EQ(p.client.resumed(), p.server.resumed());
  return p.client.resumed();
}

TEST(tls_resumption_test, the_second_visit_is_shorter) {
  const tls_context client = tls_context::client(trusting());
  const tls_context server = tls_context::server(serving());
  EXPECT_FALSE(visit(client, server));
  EXPECT_EQ(client.remembered_sessions(), 1U);
  for (int i = 0; i < 30; ++i) EXPECT_TRUE(visit(client, server));
  EXPECT_EQ(client.remembered_sessions(), 1U);
}

TEST(tls_resumption_test, sessions_belong_to_host_and_port) {
  const tls_context client = tls_context::client(trusting());
  const tls_context server = tls_context::server(serving());
  EXPECT_FALSE(visit(client, server, "localhost", 443));
  EXPECT_FALSE(visit(client, server, "localhost", 444));
  EXPECT_FALSE(visit(client, server, "127.0.0.1", 443));
  EXPECT_EQ(client.remembered_sessions(), 3U);
}

TEST(tls_resumption_test, another_server_does_not_know_the_session) {
  const tls_context client = tls_context::client(trusting());
  EXPECT_FALSE(visit(client, tls_context::server(serving())));
  EXPECT_FALSE(visit(client, tls_context::server(serving())));
}

TEST(tls_resumption_test, off_means_off) {
  tls_client_options o = trusting();
  o.resume = false;
  const tls_context client = tls_context::client(o);
  const tls_context server = tls_context::server(serving());
  EXPECT_FALSE(visit(client, server));
  EXPECT_FALSE(visit(client, server));
  EXPECT_EQ(client.remembered_sessions(), 0U);
}

TEST(tls_resumption_test, an_unverified_certificate_leaves_no_session_behind) {
  const tls_context client = tls_context::client(trusting());
  const test_ca other;
  pair p{client, tls_context::server(serving(other.issue({"localhost"})))};
  EXPECT_NE(p.client_error(), "none");
  EXPECT_EQ(client.remembered_sessions(), 0U);
}

TEST(tls_engine_test, wrong_use_is_named) {
  const tls_context client = tls_context::client(trusting());
  const tls_context server = tls_context::server(serving());
  EXPECT_THROW((tls_engine{server, "localhost", 1}), oneloop::misuse);
  EXPECT_THROW(tls_engine{client}, oneloop::misuse);
  EXPECT_THROW((tls_engine{client, "", 1}), oneloop::misuse);
  EXPECT_THROW((tls_engine{client, std::string_view{"a\0b", 3}, 1}), oneloop::misuse);
  tls_engine e{client, "localhost", 1};
  EXPECT_THROW(e.write(bytes("too early")), oneloop::misuse);
}

TEST(tls_engine_test, engines_outlive_their_contexts) {
  auto make = [] { return pair{tls_context::client(trusting()), tls_context::server(serving())}; };
  pair p = make();
  EXPECT_NO_THROW(p.shake());
}

}  // namespace
