#include <array>
#include <span>

#include "oneloop/base/error.hpp"
#include "oneloop/http/client_core_internal.hpp"
#include "oneloop/http/error.hpp"
#include "oneloop/http/tunnel_internal.hpp"
#include "oneloop/net/read_buffer.hpp"

namespace oneloop::inline v0::http::detail {
namespace {

std::string text_of(const tunnel_end& to) {
  const std::string host = to.address ? to.address->to_string() : to.host;
  const bool v6 = host.find(':') != host.npos;
  return (v6 ? "[" + host + "]:" : host + ":") + std::to_string(to.port);
}

// ---- CONNECT ----

task<> connect_by_http(net::any_stream& wire, const url& proxy, tunnel_end to,
                       std::string user_agent, codec_limits limits) {
  const std::string place = text_of(to);
  request_head head{"CONNECT", place};
  head.fields.add("Host", place);
  if (!user_agent.empty()) head.fields.add("User-Agent", user_agent);
  if (proxy.has_credentials()) {
    head.fields.add("Proxy-Authorization", basic_authorization(proxy));
  }
  std::string text;
  write_head(text, head);
  (void)co_await wire.write_all(net::bytes_of(text));
  response_parser parser{limits};
  parser.expect("CONNECT");
  net::read_buffer input;
  while (true) {
    const parse_step s = parser.feed(input.data());
    input.consume(s.consumed);
    if (s.event == parse_event::head) break;
    if (s) continue;  // an interim response
    const auto n = co_await wire.read_some(input.space(4096));
    if (n == 0) {
      fail_proxy(proxy, "CONNECT " + place + ": closed the connection without an answer",
                 errc::end_of_stream);
    }
    input.add(n);
  }
  const response_head& answer = parser.head();
  if (answer.status / 100 != 2) {
    std::string why = "CONNECT " + place + ": " + std::to_string(answer.status);
    const auto reason = answer.reason.empty() ? reason_phrase(answer.status) : answer.reason;
    if (!reason.empty()) why.append(" ").append(reason);
    fail_proxy(proxy, why, errc::protocol);
  }
  if (!input.empty()) {
    fail_proxy(proxy, "CONNECT " + place + ": bytes behind the answer", errc::protocol);
  }
}

// ---- SOCKS5 ----

constexpr char version = 5;
constexpr char no_authentication = 0;
constexpr char by_password = 2;
constexpr char version_of_passwords = 1;

task<std::string> read_exactly(net::any_stream& wire, std::size_t size) {
  std::string bytes(size, '\0');
  std::size_t have = 0;
  while (have < size) {
    const auto rest = std::as_writable_bytes(std::span{bytes}.subspan(have));
    const auto n = co_await wire.read_some(rest);
    if (n == 0) throw end_of_stream{"read " + wire.name(), have, size};
    have += n;
  }
  co_return bytes;
}

task<std::string> ask(net::any_stream& wire, std::string question, std::size_t answer_size) {
  (void)co_await wire.write_all(net::bytes_of(question));
  auto reading = read_exactly(wire, answer_size);
  auto answer = co_await std::move(reading);
  co_return answer;
}

/// A text with its length in front; at most 255 bytes, as the protocol has it.
std::string sized(const url& proxy, std::string_view text, std::string_view what) {
  if (text.empty() || text.size() > 255) {
    fail_proxy(proxy, std::string{what}.append(" must have 1 to 255 bytes"), errc::misuse);
  }
  return std::string(1, static_cast<char>(text.size())).append(text);
}

std::string_view reply_text(unsigned char code) noexcept {
  constexpr std::array<std::string_view, 9> texts{
      "succeeded",           "general failure",       "not allowed by its rules",
      "network unreachable", "host unreachable",      "connection refused",
      "the TTL expired",     "command not supported", "address type not supported"};
  return code < texts.size() ? texts[code] : "an unknown refusal";
}

std::string connect_request(const url& proxy, const tunnel_end& to) {
  std::string text{version, 1, 0};
  auto address = to.address;
  if (!address) address = net::ip_address::parse(to.host);
  if (address) {
    text += address->is_v6() ? '\4' : '\1';
    for (const auto b : address->bytes()) text += static_cast<char>(b);
  } else {
    text += '\3';
    text += sized(proxy, to.host, "a host name");
  }
  text += static_cast<char>(to.port >> 8);
  text += static_cast<char>(to.port);
  return text;
}

task<> connect_by_socks(net::any_stream& wire, const url& proxy, tunnel_end to) {
  const std::string place = text_of(to);
  std::string methods{version, 1, no_authentication};
  if (proxy.has_credentials()) methods = {version, 2, no_authentication, by_password};
  auto greeting = ask(wire, methods, 2);
  const std::string chosen = co_await std::move(greeting);
  if (chosen[0] != version) fail_proxy(proxy, "does not speak SOCKS5", errc::protocol);
  if (chosen[1] == by_password && proxy.has_credentials()) {
    std::string login{version_of_passwords};
    login += sized(proxy, percent_decode(proxy.username()), "a user name");
    login += sized(proxy, percent_decode(proxy.password()), "a password");
    auto authenticating = ask(wire, std::move(login), 2);
    const std::string verdict = co_await std::move(authenticating);
    if (verdict[1] != 0) {
      fail_proxy(proxy, "user name or password not accepted", errc::protocol);
    }
  } else if (chosen[1] != no_authentication) {
    fail_proxy(proxy,
               proxy.has_credentials() ? "no way of authentication in common"
                                       : "asks for a user name and a password",
               errc::protocol);
  }
  auto connecting = ask(wire, connect_request(proxy, to), 4);
  const std::string reply = co_await std::move(connecting);
  if (reply[0] != version) fail_proxy(proxy, "does not speak SOCKS5", errc::protocol);
  if (reply[1] != 0) {
    const auto why = reply_text(static_cast<unsigned char>(reply[1]));
    fail_proxy(proxy, "connect " + place + ": " + std::string{why}, errc::protocol);
  }
  // The address that it connected from, which tells us nothing, and a port.
  std::size_t rest = 2;
  switch (reply[3]) {
    case 1: rest += 4; break;
    case 4: rest += 16; break;
    case 3: {
      auto reading = read_exactly(wire, 1);
      const std::string size = co_await std::move(reading);
      rest += static_cast<unsigned char>(size[0]);
      break;
    }
    default: fail_proxy(proxy, "answers with an unknown type of address", errc::protocol);
  }
  auto reading = read_exactly(wire, rest);
  (void)co_await std::move(reading);
}

}  // namespace

std::string basic_authorization(const url& from) {
  if (!from.has_credentials()) return {};
  return basic(percent_decode(from.username()), percent_decode(from.password()));
}

std::string name_of_proxy(const url& proxy) {
  std::string name{"proxy "};
  name.append(proxy.host()).append(":");
  return name.append(std::to_string(proxy.effective_port().value_or(0)));
}

void fail_proxy(const url& proxy, std::string_view why, std::error_code code) {
  throw http_error{error_kind::proxy, "proxy", code, name_of_proxy(proxy).append(": ").append(why)};
}

task<> open_tunnel(net::any_stream& wire, const url& proxy, tunnel_end to, std::string user_agent,
                   codec_limits limits) {
  task<> opening;
  if (proxy.is_http()) {
    opening = connect_by_http(wire, proxy, std::move(to), std::move(user_agent), limits);
  } else {
    opening = connect_by_socks(wire, proxy, std::move(to));
  }
  try {
    co_await std::move(opening);
  } catch (const http_error&) {
    throw;
  } catch (const error& e) {
    constexpr std::string_view codec = "http response: ";
    std::string_view why = e.what();
    if (why.starts_with(codec)) why.remove_prefix(codec.size());
    fail_proxy(proxy, why, e.code());
  }
}

}  // namespace oneloop::inline v0::http::detail
