#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "oneloop/base/error.hpp"
#include "oneloop/http/client_exchange_internal.hpp"
#include "oneloop/net/dns.hpp"
#include "oneloop/net/tls_engine.hpp"
#include "oneloop/scope/context.hpp"
#include "oneloop/scope/timeout.hpp"
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
    } else if (text.starts_with("decode ") || text.starts_with("content-encoding: ")) {
      text.insert(0, "response from " + peer + ": ");
    } else if (phase == "tls" && text.starts_with(engine)) {
      text.replace(0, engine.size(), "TLS handshake with " + peer + ": ");
    } else if (phase == "tls" && *kind != error_kind::tls) {
      text.insert(0, "TLS handshake with " + peer + ": ");
    }
    throw http_error{*kind, phase, e.code(), text};
  }
}

exchange::exchange(lease l, const request& r, bool decode)
    : target{r.target()},
      certificate_problem{l->certificate_problem},
      lease_{std::move(l)},
      method_{r.method()},
      peer_{lease_->name},
      close_asked_{r.fields().has_token("Connection", "close")},
      coded_{decode} {}

exchange::~exchange() {
  if (ended_ || failure_ || !clock || !lease_) return;
  // Nobody wants the rest. If all of it has come already, the connection is as good as before.
  leave_coded();
  try {
    std::array<std::byte, 4096> sink;
    while (take(sink) != 0) {
    }
  } catch (...) {  // the connection is closed
  }
}

task<> exchange::begin(outgoing out, phase_clock& c) {
  connection& conn = *lease_;
  measured.reused = lease_.reused();
  // What the server spoke last time.
  const bool old_server = measured.reused && conn.parser.head().minor_version == 0;
  conn.parser.expect(method_);
  if (old_server) out.asks_first = false;
  if (old_server && out.chunked()) {
    lease_.drop();
    throw http_error{error_kind::protocol, "write", errc::protocol,
                     "body of " + method_ + " " + target.display() +
                         ": the server speaks HTTP/1.0, which has no bodies of unknown size"};
  }
  asked_first_ = out.asks_first;
  try {
    if (out.body) {
      auto asking = ask_with_body(out, c);
      co_await std::move(asking);
    } else {
      c.enter(phase::write, peer_);
      try {
        (void)co_await conn.stream.write_all(net::bytes_of(out.head));
      } catch (const error&) {
        // A server may answer and close before it has read all: look for its answer first.
        broken_ = std::current_exception();
      }
      c.enter(phase::first_byte, peer_);
      auto reading = read_head(c);
      co_await std::move(reading);
    }
  } catch (const error&) {
    if (!source_failed_) fail_head();
  }
  if (source_failed_) {
    failure_ = source_failed_;
    lease_.drop();
    std::rethrow_exception(failure_);
  }
  head = std::move(conn.parser.head());
  coded_ = coded_ && head.status != 206 && conn.parser.framing() != body_framing::none &&
           head.fields.contains("Content-Encoding");
  clock = c;
  end_if_over();
}

task<> exchange::ask_with_body(const outgoing& out, phase_clock& c) {
  sent_ = false;
  auto both = [&](nursery& n) -> task<> {
    n.start(&exchange::send, this, std::cref(out), std::ref(c), std::ref(n));
    auto reading = read_head(c);
    co_await std::move(reading);
    // The server has made up its mind. One that is content may want the rest of what it gets.
    if (!body_begun_ || lease_->parser.head().status >= 300) {
      n.cancel();
      co_return;
    }
    auto ahead = read_ahead();
    co_await std::move(ahead);
  };
  auto doing = with_nursery(std::ref(both));
  co_await std::move(doing);
}

task<> exchange::send(const outgoing& out, phase_clock& c, nursery& n) {
  net::any_stream& stream = lease_->stream;
  try {
    c.enter(phase::write, peer_);
    (void)co_await stream.write_all(net::bytes_of(out.head));
    if (out.asks_first) {
      c.enter_unlimited();
      auto answered = move_on_after(continue_wait, go_ahead_.wait());
      (void)co_await std::move(answered);
    }
    body_begun_ = true;
    std::optional<upload> body;
    while (true) {
      std::span<const std::byte> piece;
      c.enter_unlimited();
      try {
        if (!body) body.emplace(out.body, method_ + " " + target.display());
        auto making = body->next();
        piece = co_await std::move(making);
      } catch (const cancelled&) {
        throw;
      } catch (...) {
        source_failed_ = std::current_exception();
        n.cancel();
        co_return;
      }
      if (piece.empty()) break;
      c.enter(phase::write, peer_);
      (void)co_await stream.write_all(piece);
    }
    // A write that was cancelled half-way is told from a whole one by this only.
    context::current().checkpoint();
    sent_ = true;
  } catch (const error&) {
    broken_ = std::current_exception();  // as above
  }
  c.enter(started_ ? phase::stall : phase::first_byte, peer_);
  if (reads_ahead_) n.cancel();
}

task<> exchange::read_ahead() {
  net::read_buffer& input = lease_->input;
  reads_ahead_ = true;
  try {
    while (!sent_ && !broken_ && input.size() < max_ahead) {
      const auto n = co_await lease_->stream.read_some(input.space(read_size));
      if (n == 0) break;
      input.add(n);
    }
  } catch (const error&) {  // whoever reads the body finds out
  }
  reads_ahead_ = false;
}

task<> exchange::read_head(phase_clock& c) {
  connection& conn = *lease_;
  while (true) {
    const auto n = co_await conn.stream.read_some(conn.input.space(read_size));
    conn.input.add(n);
    // While the request is being sent, the clock is the sender's.
    const bool waiting = c.current() != phase::write;
    if (!started_ && n != 0) {
      started_ = true;
      if (waiting) measured.first_byte = c.elapsed();
    }
    if (!started_) {
      throw http_error{error_kind::reset, "first_byte", errc::end_of_stream,
                       "read " + peer_ + ": the server closed the connection without an answer"};
    }
    if (n == 0) (void)conn.parser.finish();
    while (true) {
      const parse_step s = conn.parser.feed(conn.input.data());
      conn.input.consume(s.consumed);
      if (s.event == parse_event::head) co_return;
      if (!s) break;
      if (conn.parser.head().status == 100) go_ahead_.set();
    }
    if (waiting) c.enter(phase::stall, peer_);
  }
}

task<std::size_t> exchange::read_some(std::span<std::byte> to) {
  std::size_t n = read_now(to);
  while (n == 0 && !ended_ && !to.empty()) {
    auto filling = refill(to);
    n = co_await std::move(filling);
    if (n == 0) n = take(to);
  }
  co_return n;
}

std::size_t exchange::read_now(std::span<std::byte> to) {
  context::current().checkpoint();
  if (failure_) std::rethrow_exception(failure_);
  if (ended_ || to.empty()) return 0;
  owner->enter("http response");
  return take(to);
}

task<std::size_t> exchange::refill(std::span<std::byte> to) {
  connection& conn = *lease_;
  const std::size_t past = unframed(to.size());
  std::size_t n = 0;
  try {
    {
      scope_region region{context::current(), scope_options{}};
      clock->bind(region.scope());
      clock->enter(phase::stall, peer_);
      try {
        const auto room = past != 0 ? to.first(past) : conn.input.space(read_size);
        n = co_await conn.stream.read_some(room);
        region.ended_normally();
      } catch (const cancelled&) {
        if (!region.absorb()) throw;
        throw clock->expired();
      }
    }
    if (n == 0) {
      (void)conn.parser.finish();  // throws, unless this is how the body ends
      complete();
      co_return 0;
    }
    if (past == 0) {
      conn.input.add(n);
      co_return 0;
    }
    (void)conn.parser.feed(to.first(n));
    bytes += n;
    wire_bytes += n;
    end_if_over();
  } catch (const error&) {
    fail("body");
  }
  co_return n;
}

std::size_t exchange::unframed(std::size_t most) const noexcept {
  if (most < 4096 || coded_ || !lease_->input.empty()) return 0;
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
      const auto room = to.subspan(filled);
      if (decoder_has_more()) {
        if (room.empty()) break;
        filled += decode(room);
      } else if (over_) {
        complete();
      } else {
        const parse_step s = parse(room);
        if (!coded_) filled += s.body.size();
        if (!s && (room.empty() || lease_->input.empty())) break;
      }
    }
  } catch (const error&) {
    // What is good comes first; the parser and the decoder throw again at the next call.
    if (filled == 0) fail("body");
  }
  return filled;
}

parse_step exchange::parse(std::span<std::byte> to) {
  connection& conn = *lease_;
  const auto input = conn.input.data();
  const parse_step s =
      conn.parser.feed(coded_ ? input : input.first(std::min(input.size(), to.size())));
  over_ = s.event == parse_event::complete || s.event == parse_event::upgrade;
  const std::size_t size = s.body.size();
  wire_bytes += size;
  if (coded_) {
    undecoded_ = size;  // stays in the buffer
  } else if (size != 0) {
    std::memcpy(to.data(), s.body.data(), size);
    bytes += size;
  }
  conn.input.consume(s.consumed - undecoded_);
  return s;
}

std::size_t exchange::decode(std::span<std::byte> to) {
  net::read_buffer& input = lease_->input;
  if (!decoder_) decoder_.emplace(head.fields);
  to = to.first(std::min(to.size(), max_decode));
  const auto step = decoder_->feed(input.data().first(undecoded_), to);
  input.consume(step.consumed);
  undecoded_ -= step.consumed;
  full_ = step.produced == to.size();
  bytes += step.produced;
  return step.produced;
}

void exchange::leave_coded() noexcept {
  if (lease_) lease_->input.consume(undecoded_);
  undecoded_ = 0;
  coded_ = full_ = false;
  decoder_.reset();
}

void exchange::end_if_over() {
  const parse_step s = lease_->parser.feed({});
  if (s.event == parse_event::complete || s.event == parse_event::upgrade) complete();
}

void exchange::complete() {
  over_ = true;
  if (decoder_) decoder_->finish();
  end();
}

void exchange::end() {
  ended_ = true;
  measured.total = owner->now() - clock->started();
  const bool clean = lease_->parser.keep_alive() && lease_->input.empty() && !close_asked_ && sent_;
  clean ? lease_.keep() : lease_.end();
}

task<std::string> exchange::text(std::uint64_t limit) {
  context::current().checkpoint();
  std::string all;
  std::size_t room = read_size;
  if (lease_ && !coded_ && lease_->parser.framing() == body_framing::length) {
    const std::uint64_t left = *lease_->parser.content_length() - lease_->parser.body_size();
    if (left > limit) fail_too_large(limit);
    room = static_cast<std::size_t>(std::min<std::uint64_t>(left, max_read));
  }
  while (!ended_) {
    const std::size_t have = all.size();
    // One byte more than allowed, to see whether there is more.
    all.resize(have + static_cast<std::size_t>(std::min<std::uint64_t>(room - 1, limit - have)) +
               1);
    const auto to = std::as_writable_bytes(std::span{all}.subspan(have));
    std::size_t n = read_now(to);
    if (n == 0 && !ended_) {
      auto reading = read_some(to);
      n = co_await std::move(reading);
    }
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

void exchange::fail_head() {
  try {
    // A server that says why it refuses, by an alert of TLS, is worth more than the broken pipe.
    bool alert = false;
    try {
      throw;
    } catch (const error& e) {
      alert = e.code() == net::tls_errc::alert;
    }
    if (!broken_ || started_ || alert) fail(started_ ? "head" : "first_byte");
    try {
      std::rethrow_exception(broken_);
    } catch (...) {
      fail("write");
    }
  } catch (const http_error& e) {
    // TLS tells of a dead connection by an alert, too.
    const bool dead = e.kind() == error_kind::reset || e.kind() == error_kind::tls;
    died_unanswered_ = !started_ && dead;
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
