#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "oneloop/base/error.hpp"
#include "oneloop/http/client_exchange_internal.hpp"
#include "oneloop/net/dns.hpp"
#include "oneloop/net/tls_engine.hpp"
#include "oneloop/scope/context.hpp"
#include "oneloop/task/region.hpp"

namespace oneloop::inline v0::http::detail {
namespace {

/// What kind of failure a code stands for; nothing if it is no failure of an exchange.
std::optional<error_kind> kind_of(std::error_code code, std::string_view phase) {
  if (code == net::tls_errc::truncated && phase != "tls") {
    return phase == "first_byte" ? error_kind::reset : error_kind::protocol;
  }
  if (code.category() == net::tls_category()) return error_kind::tls;
  if (code.category() == net::dns_category()) {
    return code == net::dns_errc::timed_out ? error_kind::timeout : error_kind::dns;
  }
  if (code == errc::protocol || code == errc::end_of_stream) return error_kind::protocol;
  if (code == errc::limit_exceeded) return error_kind::too_large;
  if (code == errc::timed_out) return error_kind::timeout;
  if (code.category() != std::system_category()) return {};
  switch (code.value()) {
    case ECONNREFUSED: return error_kind::refused;
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENETDOWN: return error_kind::unreachable;
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE: return error_kind::reset;
    case ETIMEDOUT: return error_kind::timeout;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS: return {};
    default: return phase == "connect" ? error_kind::unreachable : error_kind::reset;
  }
}

}  // namespace

void rethrow_for_user(std::string_view phase, const std::string& peer) {
  try {
    throw;
  } catch (const http_error&) {
    throw;
  } catch (const error& e) {
    const auto kind = kind_of(e.code(), phase);
    if (!kind) throw;
    std::string text = e.what();
    constexpr std::string_view codec = "http response: ";
    const std::string engine = "tls " + peer + ": ";
    if (text.starts_with(codec)) {
      text.replace(0, codec.size(), "response from " + peer + ": ");
    } else if (phase == "tls" && text.starts_with(engine)) {
      text.replace(0, engine.size(), "TLS handshake with " + peer + ": ");
    } else if (phase == "tls" && *kind != error_kind::tls) {
      text.insert(0, "TLS handshake with " + peer + ": ");
    }
    throw http_error{*kind, phase, e.code(), text};
  }
}

exchange::exchange(lease l, const request& r)
    : target{r.target()},
      lease_{std::move(l)},
      method_{r.method()},
      peer_{lease_->stream.name()},
      close_asked_{r.fields().has_token("Connection", "close")} {}

exchange::~exchange() {
  if (ended_ || failure_ || !clock || !lease_) return;
  // Nobody wants the rest. If all of it has come already, the connection is as good as before.
  try {
    std::array<std::byte, 4096> sink;
    while (take(sink) != 0) {
    }
  } catch (...) {  // the connection is closed
  }
}

task<> exchange::begin(std::string request_text, phase_clock& c) {
  connection& conn = *lease_;
  measured.reused = lease_.reused();
  conn.parser.expect(method_);
  std::exception_ptr broken;
  c.enter(phase::write, peer_);
  try {
    (void)co_await conn.stream.write_all(net::bytes_of(request_text));
  } catch (const error&) {
    // A server may answer and close before it has read all: look for its answer first.
    broken = std::current_exception();
  }
  c.enter(phase::first_byte, peer_);
  bool started = false;
  try {
    while (true) {
      const auto n = co_await conn.stream.read_some(conn.input.space(read_size));
      conn.input.add(n);
      if (!started && n != 0) measured.first_byte = c.elapsed();
      started = started || n != 0;
      if (!started) {
        if (broken) std::rethrow_exception(broken);
        throw http_error{error_kind::reset, "first_byte", errc::end_of_stream,
                         "read " + peer_ + ": the server closed the connection without an answer"};
      }
      if (n == 0) (void)conn.parser.finish();
      const parse_step s = conn.parser.feed(conn.input.data());
      conn.input.consume(s.consumed);
      if (s.event == parse_event::head) break;
      c.enter(phase::stall, peer_);
    }
  } catch (const error&) {
    fail_head(broken, started);
  }
  head = std::move(conn.parser.head());
  clock = c;
  end_if_over();
}

task<std::size_t> exchange::read_some(std::span<std::byte> to) {
  context::current().checkpoint();
  if (failure_) std::rethrow_exception(failure_);
  if (ended_ || to.empty()) co_return 0;
  owner->enter("http response");
  std::size_t n = take(to);
  while (n == 0 && !ended_) {
    auto filling = refill(to);
    n = co_await std::move(filling);
    if (n == 0) n = take(to);
  }
  co_return n;
}

task<std::size_t> exchange::refill(std::span<std::byte> to) {
  connection& conn = *lease_;
  const std::size_t past = unframed(to.size());
  auto wait = [&](cancel_scope& scope) -> task<std::size_t> {
    clock->bind(scope);
    clock->enter(phase::stall, peer_);
    auto room = past != 0 ? to.first(past) : conn.input.space(read_size);
    const auto n = co_await conn.stream.read_some(room);
    co_return n;
  };
  std::size_t n = 0;
  try {
    auto waiting = with_scope(scope_options{}, wait);
    const auto got = co_await std::move(waiting);
    if (!got) throw clock->expired();
    n = *got;
    if (n == 0) {
      (void)conn.parser.finish();  // throws, unless this is how the body ends
      end();
      co_return 0;
    }
    if (past == 0) {
      conn.input.add(n);
      co_return 0;
    }
    (void)conn.parser.feed(to.first(n));
    bytes += n;
    end_if_over();
  } catch (const error&) {
    fail("body");
  }
  co_return n;
}

std::size_t exchange::unframed(std::size_t most) const noexcept {
  if (most < 4096 || !lease_->input.empty()) return 0;
  const response_parser& p = lease_->parser;
  switch (p.framing()) {
    case body_framing::until_close: return most;
    case body_framing::length:
      return static_cast<std::size_t>(
          std::min<std::uint64_t>(most, *p.content_length() - p.body_size()));
    default: return 0;
  }
}

std::size_t exchange::take(std::span<std::byte> to) {
  std::size_t filled = 0;
  try {
    while (!ended_) {
      connection& conn = *lease_;
      const auto input = conn.input.data();
      const auto part = input.first(std::min(input.size(), to.size() - filled));
      const parse_step s = conn.parser.feed(part);
      if (s.event == parse_event::body) {
        std::memcpy(to.data() + filled, s.body.data(), s.body.size());
        filled += s.body.size();
        bytes += s.body.size();
      }
      conn.input.consume(s.consumed);
      if (s.event == parse_event::complete || s.event == parse_event::upgrade) {
        end();
      } else if (!s && (filled == to.size() || conn.input.empty())) {
        break;
      }
    }
  } catch (const error&) {
    // What is good comes first; the parser throws again at the next call.
    if (filled == 0) fail("body");
  }
  return filled;
}

void exchange::end_if_over() {
  const parse_step s = lease_->parser.feed({});
  if (s.event == parse_event::complete || s.event == parse_event::upgrade) end();
}

void exchange::end() {
  ended_ = true;
  measured.total = owner->now() - clock->started();
  const bool clean = lease_->parser.keep_alive() && lease_->input.empty() && !close_asked_;
  clean ? lease_.keep() : lease_.end();
}

task<std::string> exchange::text(std::uint64_t limit) {
  context::current().checkpoint();
  std::string all;
  std::size_t room = read_size;
  if (lease_ && lease_->parser.framing() == body_framing::length) {
    const std::uint64_t left = *lease_->parser.content_length() - lease_->parser.body_size();
    if (left > limit) fail_too_large(limit);
    room = static_cast<std::size_t>(std::min<std::uint64_t>(left, max_read));
  }
  while (!ended_) {
    const std::size_t have = all.size();
    // One byte more than allowed, to see whether there is more.
    all.resize(have + static_cast<std::size_t>(std::min<std::uint64_t>(room - 1, limit - have)) +
               1);
    auto reading = read_some(std::as_writable_bytes(std::span{all}.subspan(have)));
    const auto n = co_await std::move(reading);
    all.resize(have + n);
    if (all.size() > limit) fail_too_large(limit);
    room = std::clamp(all.size(), read_size, max_read);
  }
  co_return all;
}

task<std::uint64_t> exchange::discard(std::uint64_t limit) {
  std::uint64_t read = 0;
  std::vector<std::byte> sink(read_size);
  while (true) {
    auto reading = read_some(sink);
    const auto n = co_await std::move(reading);
    if (n == 0) break;
    read += n;
    if (read > limit) fail_too_large(limit);
  }
  co_return read;
}

timing exchange::times() const noexcept {
  timing t = measured;
  if (!ended_ && !failure_) t.total = owner->now() - clock->started();
  return t;
}

void exchange::fail_too_large(std::uint64_t limit) {
  try {
    throw http_error{
        error_kind::too_large, "body", errc::limit_exceeded,
        "body of " + target.display() + ": more than " + std::to_string(limit) + " bytes"};
  } catch (const error&) {
    fail("body");
  }
}

void exchange::fail_head(const std::exception_ptr& broken, bool started) {
  try {
    if (!broken || started) fail(started ? "head" : "first_byte");
    try {
      std::rethrow_exception(broken);
    } catch (...) {
      fail("write");
    }
  } catch (const http_error& e) {
    died_unanswered_ = !started && e.kind() == error_kind::reset;
    throw;
  }
}

void exchange::fail(std::string_view phase) {
  try {
    rethrow_for_user(phase, peer_);
  } catch (...) {
    failure_ = std::current_exception();
    // Before there is a head, whoever made this may try again in the same place.
    clock ? lease_.end() : lease_.drop();
    throw;
  }
}

}  // namespace oneloop::inline v0::http::detail
