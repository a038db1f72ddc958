#include "oneloop/net/tls.hpp"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "oneloop/net/buffered.hpp"
#include "oneloop/net/openssl_test.hpp"
#include "oneloop/net/simulation_test.hpp"
#include "oneloop/net/unix.hpp"
#include "oneloop/testing/test_ca.hpp"

namespace oneloop::net {
namespace {

using namespace test;
using oneloop::testing::test_ca;
using oneloop::testing::validity;

static_assert(byte_stream<tls_stream<tcp_stream>>);
static_assert(byte_stream<tls_stream<any_stream>>);
static_assert(byte_stream<tls_stream<tls_stream<unix_stream>>>);

/// One authority for all tests, a server for localhost, a client that trusts it.
const test_ca& authority() {
  static const test_ca ca;
  return ca;
}
tls_context server_context(validity when = validity::valid, std::string host = "localhost") {
  const auto c = authority().issue({std::move(host)}, when);
  tls_server_options o;
  o.certificate = c.certificate;
  o.key = c.key;
  o.alpn = {"h2", "http/1.1"};
  return tls_context::server(o);
}
tls_context client_context(std::vector<std::string> alpn = {}) {
  tls_client_options o;
  o.ca = authority().certificate();
  o.alpn = std::move(alpn);
  return tls_context::client(o);
}

using pair_of_streams = std::pair<tls_stream<unix_stream>, tls_stream<unix_stream>>;

/// Client and server over a pair of Unix sockets, after the handshake.
task<pair_of_streams> tls_pair(tls_context client = client_context(),
                               tls_context server = server_context()) {
  auto below = unix_stream::pair();
  std::string host = "localhost";
  auto connecting = connect_tls(std::move(below.first), client, std::move(host));
  auto accepting = accept_tls(std::move(below.second), server);
  auto both = gather(std::move(connecting), std::move(accepting));
  auto made = co_await both;
  pair_of_streams result{std::move(std::get<0>(made)), std::move(std::get<1>(made))};
  co_return std::move(result);
}

class tls : public on_backends_and_simulation {};
ON_BACKENDS_AND_SIMULATION(tls);

/// Where the loopback brings a reset back within a call.
class tls_in_kernel : public on_backends {};
ON_BACKENDS(tls_in_kernel);

TEST_P(tls, bytes_go_both_ways_and_each_goodbye_ends_one) {
  go([]() -> task<> {
    auto both = co_await tls_pair();
    auto& [client, server] = both;
    EXPECT_EQ(client.session().version(), "TLSv1.3");
    EXPECT_EQ(server.session().server_name(), "localhost");
    (void)co_await client.write_all(bytes_of("question"));
    co_await client.shutdown_write();
    const auto question = co_await read_all(server);
    EXPECT_EQ(question, "question");
    (void)co_await server.write_all(bytes_of("answer"));
    co_await server.shutdown();
    const auto answer = co_await read_all(client);
    EXPECT_EQ(answer, "answer");
  });
}

TEST_P(tls, protocol_is_negotiated) {
  go([]() -> task<> {
    std::vector<std::string> offer{"http/1.1"};
    auto context = client_context(std::move(offer));
    auto both = co_await tls_pair(context);
    EXPECT_EQ(both.first.alpn(), "http/1.1");
    EXPECT_EQ(both.second.alpn(), "http/1.1");
  });
}

TEST_P(tls, much_data_flows_in_both_directions_at_once) {
  go([]() -> task<> {
    auto both = co_await tls_pair();
    auto& [client, server] = both;
    std::string much(5'000'000, '\0');
    for (std::size_t i = 0; i < much.size(); ++i) much[i] = static_cast<char>(i * 31 + i / 1000);
    auto send = [&](tls_stream<unix_stream>& s) -> task<> {
      const auto n = co_await s.write_all(bytes_of(much));
      EXPECT_EQ(n, much.size());
      co_await s.shutdown_write();
    };
    auto receive = [&](tls_stream<unix_stream>& s) -> task<> {
      const auto all = co_await read_all(s);
      EXPECT_TRUE(all == much);
    };
    auto all = gather(send(client), receive(client), send(server), receive(server));
    (void)co_await all;
  });
}

TEST_P(tls, stream_without_a_goodbye_is_truncated) {
  go([]() -> task<> {
    auto both = co_await tls_pair();
    auto& [client, server] = both;
    (void)co_await server.write_all(bytes_of("part"));
    server.close();
    const auto part = co_await read_text(client);
    EXPECT_EQ(part, "part");
    const auto code = co_await code_of(read_text(client));
    EXPECT_EQ(code, make_error_code(tls_errc::truncated));
    const auto again = co_await code_of(read_text(client));
    EXPECT_EQ(again, make_error_code(tls_errc::truncated));
  });
}

/// The errors of both sides of a handshake.
task<std::pair<std::string, std::string>> refused(tls_context client, tls_context server,
                                                  std::string host) {
  auto below = unix_stream::pair();
  auto connecting = message_of(connect_tls(std::move(below.first), client, std::move(host)));
  auto accepting = message_of(accept_tls(std::move(below.second), server));
  auto both = gather(std::move(connecting), std::move(accepting));
  auto made = co_await both;
  std::pair<std::string, std::string> result{std::get<0>(made), std::get<1>(made)};
  co_return result;
}

TEST_P(tls, certificates_that_do_not_hold_are_refused_in_plain_words) {
  go([]() -> task<> {
    auto old = co_await refused(client_context(), server_context(validity::expired), "localhost");
    EXPECT_NE(old.first.find("localhost: certificate has expired"), std::string::npos) << old.first;
    auto early = co_await refused(client_context(), server_context(validity::not_yet), "localhost");
    EXPECT_NE(early.first.find("not yet valid"), std::string::npos) << early.first;
    auto other = co_await refused(client_context(), server_context(), "example.org");
    EXPECT_NE(other.first.find("example.org"), std::string::npos) << other.first;
    EXPECT_NE(other.first, "");
    auto unknown = co_await refused(tls_context::client(), server_context(), "localhost");
    EXPECT_NE(unknown.first, "");
  });
}

TEST_P(tls, peer_that_speaks_something_else_is_told_apart_from_one_that_hangs_up) {
  go([]() -> task<> {
    auto below = unix_stream::pair();
    (void)co_await below.second.write_all(bytes_of("HTTP/1.1 400 Bad Request\r\n\r\n"));
    std::string host = "localhost";
    auto connecting = connect_tls(std::move(below.first), client_context(), std::move(host));
    const auto code = co_await code_of(std::move(connecting));
    EXPECT_EQ(code, make_error_code(tls_errc::protocol));

    auto quiet = unix_stream::pair();
    quiet.second.close();
    std::string same = "localhost";
    auto gone = connect_tls(std::move(quiet.first), client_context(), std::move(same));
    const auto hung_up = co_await code_of(std::move(gone));
    EXPECT_EQ(hung_up, system_code(EPIPE));

    auto silent = unix_stream::pair();
    co_await silent.second.shutdown_write();
    std::string third = "localhost";
    auto ended = connect_tls(std::move(silent.first), client_context(), std::move(third));
    const auto truncated = co_await code_of(std::move(ended));
    EXPECT_EQ(truncated, make_error_code(tls_errc::truncated));
  });
}

TEST_P(tls, handshake_can_be_cancelled_and_has_a_deadline) {
  go([]() -> task<> {
    auto below = unix_stream::pair();
    std::string host = "localhost";
    auto connecting = connect_tls(std::move(below.first), client_context(), std::move(host));
    const auto done = co_await move_on_after(10ms, std::move(connecting));
    EXPECT_FALSE(done);
    auto silent = unix_stream::pair();
    auto accepting = accept_tls(std::move(silent.first), server_context());
    const auto code = co_await code_of(fail_after(10ms, std::move(accepting)));
    EXPECT_EQ(code, make_error_code(errc::timed_out));
  });
}

TEST_P(tls, cancelled_read_loses_nothing) {
  go([]() -> task<> {
    auto both = co_await tls_pair();
    auto& [client, server] = both;
    const auto nothing = co_await move_on_after(5ms, read_text(client));
    EXPECT_FALSE(nothing);
    (void)co_await server.write_all(bytes_of("x"));
    co_await sleep_for(5ms);
    const auto at_once = co_await move_on_after(0s, read_text(client));
    EXPECT_FALSE(at_once);
    const auto text = co_await read_text(client);
    EXPECT_EQ(text, "x");
  });
}

TEST_P(tls, cancelled_write_counts_what_was_taken_and_the_stream_goes_on) {
  go([]() -> task<> {
    auto both = co_await tls_pair();
    auto& [client, server] = both;
    std::string much(20'000'000, '\0');
    for (std::size_t i = 0; i < much.size(); ++i) much[i] = static_cast<char>(i * 31 + i / 1000);
    auto writing = client.write_all(bytes_of(much));
    const auto sent = co_await move_on_after(20ms, std::move(writing));
    EXPECT_TRUE(sent && *sent > 0 && *sent < much.size());
    if (!sent) co_return;
    bool began = false;
    (void)co_await move_on_after(0s, [&]() -> task<> {
      (void)co_await client.write_all(bytes_of("never"));
      began = true;
    });
    EXPECT_FALSE(began);
    auto rest = [&]() -> task<> {
      (void)co_await client.write_all(bytes_of("the end"));
      co_await client.shutdown_write();
    };
    auto receive = [&]() -> task<> {
      const auto all = co_await read_all(server);
      EXPECT_TRUE(all == much.substr(0, *sent) + "the end");
    };
    auto all = gather(rest(), receive());
    (void)co_await all;
  });
}

TEST_P(tls_in_kernel, failed_flush_poisons_writing) {
  go([]() -> task<> {
    auto both = co_await tls_pair();
    auto& [client, server] = both;
    server.close();
    const auto first = co_await code_of(client.write_all(bytes_of("x")));
    EXPECT_EQ(first, system_code(EPIPE));
    const auto second = co_await code_of(client.write_all(bytes_of("y")));
    EXPECT_EQ(second, system_code(EPIPE));
    const auto last = co_await code_of(client.shutdown());
    EXPECT_EQ(last, system_code(EPIPE));
  });
}

TEST_P(tls, session_is_resumed_over_new_connections) {
  go([]() -> task<> {
    auto client = client_context();
    auto server = server_context();
    for (const bool expected : {false, true, true}) {
      auto both = co_await tls_pair(client, server);
      auto& [c, s] = both;
      EXPECT_EQ(c.session().resumed(), expected);
      (void)co_await s.write_all(bytes_of("x"));  // the ticket comes before it
      (void)co_await read_text(c);
    }
  });
}

TEST_P(tls, a_quiet_connection_may_have_received_tickets_but_no_data) {
  go([]() -> task<> {
    auto both = co_await tls_pair();
    auto& [client, server] = both;
    co_await sleep_for(5ms);
    EXPECT_TRUE(client.quiet()) << "session tickets are no data";
    (void)co_await server.write_all(bytes_of("xy"));
    co_await client.lower().readable();
    EXPECT_FALSE(client.quiet());
    buffered_reader in{client};
    const auto text = co_await in.read_exactly(2);
    EXPECT_EQ(text, "xy") << "looking takes nothing";
    EXPECT_TRUE(client.quiet());
    co_await server.shutdown();
    co_await client.lower().readable();
    EXPECT_FALSE(client.quiet());
  });
}

TEST_P(tls, works_over_any_stream_and_over_itself) {
  go([]() -> task<> {
    auto below = co_await connected_pair();
    auto client = client_context();
    auto server = server_context();
    auto serve = [&]() -> task<> {
      auto outer = co_await accept_tls(any_stream{std::move(below.second)}, server);
      auto accepting = accept_tls(std::move(outer), server);
      auto inner = co_await std::move(accepting);
      const auto text = co_await read_text(inner);
      (void)co_await inner.write_all(bytes_of(text));
      co_await inner.shutdown();
    };
    auto ask = [&]() -> task<> {
      std::string host = "localhost";
      auto connecting = connect_tls(any_stream{std::move(below.first)}, client, host);
      auto outer = co_await std::move(connecting);
      auto again = connect_tls(std::move(outer), client, host);
      any_stream inner{co_await std::move(again)};
      (void)co_await inner.write_all(bytes_of("deep"));
      const auto text = co_await read_text(inner);
      EXPECT_EQ(text, "deep");
      const auto end = co_await read_text(inner);
      EXPECT_EQ(end, "");
    };
    auto both = gather(serve(), ask());
    (void)co_await both;
  });
}

// ---- against OpenSSL's own programs ----

/// A folder with a certificate, its key and the authority's certificate as files.
class with_openssl : public on_backends {
 protected:
  void SetUp() override {
    ASSERT_NE(::mkdtemp(folder_.data()), nullptr);
    const auto c = authority().issue({"localhost"});
    std::ofstream{file("cert")} << c.certificate;
    std::ofstream{file("key")} << c.key;
    std::ofstream{file("ca")} << authority().certificate();
  }
  void TearDown() override {
    for (const char* name : {"cert", "key", "ca"}) ::unlink(file(name).c_str());
    ::rmdir(folder_.c_str());
  }
  [[nodiscard]] std::string file(const std::string& name) const { return folder_ + "/" + name; }

 private:
  std::string folder_ = "/tmp/oneloop_tls_XXXXXX";
};

ON_BACKENDS(with_openssl);

TEST_P(with_openssl, our_client_talks_to_s_server) {
  go([&]() -> task<> {
    for (const char* version : {"-tls1_2", "-tls1_3"}) {
      std::vector<std::string> arguments{"s_server",   "-accept", "127.0.0.1:0", "-cert",
                                         file("cert"), "-key",    file("key"),   "-rev",
                                         version,      "-alpn",   "http/1.1"};
      openssl server{std::move(arguments)};
      (void)co_await server.output_until("ACCEPT 127.0.0.1:");
      auto line = co_await server.output_until("\n");
      const auto port = static_cast<std::uint16_t>(std::stoi(line));
      auto tcp = co_await connect(endpoint{ip_address::loopback_v4(), port});
      std::string host = "localhost";
      std::vector<std::string> offer{"h2", "http/1.1"};
      auto context = client_context(std::move(offer));
      auto connecting = connect_tls(std::move(tcp), context, std::move(host), port);
      auto s = co_await std::move(connecting);
      EXPECT_EQ(s.alpn(), "http/1.1");
      (void)co_await s.write_all(bytes_of("hello\n"));
      buffered_reader in{s};
      const auto reversed = co_await in.read_line();
      EXPECT_EQ(reversed.value_or("(end)"), "olleh") << version;
      co_await s.shutdown();
    }
  });
}

TEST_P(with_openssl, our_server_talks_to_s_client) {
  go([&]() -> task<> {
    for (const char* version : {"-tls1_2", "-tls1_3"}) {
      tcp_listener l{endpoint{ip_address::loopback_v4(), 0}};
      std::vector<std::string> arguments{"s_client",
                                         "-connect",
                                         l.local_endpoint().to_string(),
                                         "-CAfile",
                                         file("ca"),
                                         "-verify_return_error",
                                         "-verify_hostname",
                                         "localhost",
                                         "-servername",
                                         "localhost",
                                         "-quiet",
                                         "-alpn",
                                         "h2",
                                         version};
      openssl client{std::move(arguments)};
      auto tcp = co_await l.accept();
      auto context = server_context();
      auto accepting = accept_tls(std::move(tcp), context);
      auto s = co_await std::move(accepting);
      EXPECT_EQ(s.alpn(), "h2");
      EXPECT_EQ(s.session().server_name(), "localhost");
      co_await client.type("hello\n");
      buffered_reader in{s};
      const auto line = co_await in.read_line();
      EXPECT_EQ(line.value_or("(end)"), "hello");
      (void)co_await s.write_all(bytes_of("world\n"));
      co_await s.shutdown_write();
      const auto all = co_await client.output_until("world\n");
      EXPECT_EQ(all, "world\n") << version;
    }
  });
}

TEST_P(with_openssl, s_server_with_a_certificate_for_another_host_is_refused) {
  go([&]() -> task<> {
    std::vector<std::string> arguments{"s_server",   "-accept", "127.0.0.1:0", "-cert",
                                       file("cert"), "-key",    file("key"),   "-rev"};
    openssl server{std::move(arguments)};
    (void)co_await server.output_until("ACCEPT 127.0.0.1:");
    auto line = co_await server.output_until("\n");
    const auto port = static_cast<std::uint16_t>(std::stoi(line));
    auto tcp = co_await connect(endpoint{ip_address::loopback_v4(), port});
    std::string host = "example.org";
    auto context = client_context();
    auto connecting = connect_tls(std::move(tcp), context, std::move(host), port);
    const auto code = co_await code_of(std::move(connecting));
    EXPECT_EQ(code, make_error_code(tls_errc::certificate));
  });
}

}  // namespace
}  // namespace oneloop::net
