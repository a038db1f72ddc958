#include "oneloop/http/server.hpp"

#include <array>
#include <cstring>
#include <exception>
#include <string>

#include "oneloop/base/aligned_bytes.hpp"
#include "oneloop/base/log.hpp"
#include "oneloop/http/codec.hpp"
#include "oneloop/http/date.hpp"
#include "oneloop/loop/io.hpp"
#include "oneloop/net/tcp.hpp"
#include "oneloop/net/unix.hpp"
#include "oneloop/scope/context.hpp"
#include "oneloop/scope/region.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/task/region.hpp"

namespace oneloop::inline v0::http {
namespace {

constexpr std::size_t read_size = std::size_t{8} * 1024;
constexpr std::size_t write_size = std::size_t{64} * 1024;
/// A body up to this size goes out in one write with its head.
constexpr std::size_t joined_size = std::size_t{16} * 1024;
/// Of a body that the handler left, so much is read for the sake of the next request.
constexpr std::size_t drained_size = std::size_t{64} * 1024;
/// As many conversations keep what they need for the next ones.
constexpr std::size_t kept_workspaces = 64;

/// A request that the server answers by itself, in place of the handler.
class refusal : public error {
 public:
  refusal(std::error_code code, int status, std::string_view why)
      : error{code, why}, status_{status} {}
  [[nodiscard]] int status() const noexcept { return status_; }

 private:
  int status_;
};

/// The current HTTP date, made anew once a second.
[[gnu::noinline]] std::string_view date_now() {
  thread_local wall_time shown;
  thread_local std::string text;
  if (const wall_time now = wall_now(); now != shown || text.empty()) {
    text = to_http_date(now);
    shown = now;
  }
  return text;
}

bool may_have_body(int status) noexcept { return status >= 200 && status != 204 && status != 304; }

}  // namespace

std::string_view server_request::path() const noexcept {
  const std::string_view t = head_.target;
  return t.substr(0, t.find('?'));
}

std::string_view server_request::query() const noexcept {
  const std::string_view t = head_.target;
  const auto at = t.find('?');
  return at == t.npos ? std::string_view{} : t.substr(at + 1);
}

/// What a conversation needs only while it lasts.
struct server::workspace {
  explicit workspace(const codec_limits& limits) : parser{limits} {}
  request_parser parser;
  std::string out;  // a head with its body, or a chunk with its frame
  alignas(cache_line) std::array<std::byte, read_size> buffer;
};

/// One connection, small: most of them are idle most of the time. Then it is in its group's list
/// and waits for bytes by a waiter of its own; while there are some, a child of the group's nursery
/// owns it and holds a conversation.
class server_connection : public list_hook<> {
 public:
  server_connection(server::group& g, net::any_stream s, semaphore_permit slot)
      : group{g}, stream{std::move(s)}, slot_{std::move(slot)} {
    ++group.owner.statistics_.connections;
    ++group.owner.statistics_.accepted;
  }
  ~server_connection() { --group.owner.statistics_.connections; }
  server_connection(const server_connection&) = delete;
  server_connection& operator=(const server_connection&) = delete;

  /// Until bytes have come; then the group starts a conversation. The stream can tell.
  void wait() {
    readable_.emplace(*stream.readiness());
    if (!readable_->await_suspend(waker_)) group.home.make_ready(waker_);
  }
  /// A socket itself: readiness tells of all that has come. A stream over another one may have
  /// received what it has not given yet, and has a goodbye to say.
  [[nodiscard]] bool plain() noexcept {
    return stream.get_if<net::tcp_stream>() != nullptr ||
           stream.get_if<net::unix_stream>() != nullptr;
  }
  /// Whether wait() would miss nothing; after a read that did not fill its buffer.
  [[nodiscard]] bool can_wait() { return stream.readiness() && (plain() || stream.quiet()); }
  /// Ends the wait and the connection, unless bytes have come already.
  void stop_waiting() noexcept { waker_.request_cancel(); }

  enum class phase : std::uint8_t { accepted, open, leaving };
  server::group& group;
  net::any_stream stream;
  server_conversation* talking = nullptr;
  time_point idle_since{};
  std::uint64_t requests = 0;
  phase state = phase::accepted;

 private:
  struct waker final : waiter {
    explicit waker(server_connection& c) noexcept : waiter{&c.group.home, &resumed}, owner{c} {}
    static void resumed(ready_item& item) noexcept;
    server_connection& owner;
  };
  semaphore_permit slot_;
  waker waker_{*this};
  std::optional<readiness_operation> readable_;
};

/// A connection while there is something to read or to answer: reads requests, calls the handler,
/// writes responses, one after the other.
class server_conversation {
 public:
  explicit server_conversation(server_connection& c)
      : connection_{c}, server_{c.group.owner}, options_{server_.options_}, stream_{c.stream} {
    c.talking = this;
    c.group.busy.push_back(c);
  }
  ~server_conversation() {
    connection_.talking = nullptr;
    connection_.unlink();
    if (next_ == step::rest && work_) server_.give_back(std::move(work_));
  }
  server_conversation(const server_conversation&) = delete;
  server_conversation& operator=(const server_conversation&) = delete;

  /// True if the connection goes on when more bytes come; else it has been closed.
  task<bool> run() {
    scope_region region{context::current(), scope_options{}};
    scope_ = &region.scope();
    if (stopping()) stop();
    try {
      if (connection_.state == server_connection::phase::accepted) {
        auto preparing = prepare();
        co_await std::move(preparing);
      } else if (connection_.state == server_connection::phase::leaving) {
        next_ = step::close;
      }
      rests_ = stream_.readiness().has_value();
      if (next_ == step::request) work_ = server_.borrow();
      while (next_ == step::request) {
        auto exchange = answer_next();
        next_ = co_await std::move(exchange);
      }
      if (next_ == step::close) {
        auto ending = linger();
        co_await std::move(ending);
      }
    } catch (const cancelled&) {
      if (!region.absorb()) {
        if (region.scope().cancelled()) throw;
        ++server_.statistics_.failed;  // thrown by somebody's code, while nobody cancels this one
      }
      next_ = step::close;
    } catch (...) {
      next_ = step::close;
      ++server_.statistics_.failed;  // the peer has gone, is too slow, or failed its handshake
    }
    if (next_ == step::close) stream_.close();
    co_return next_ == step::rest;
  }

  /// No further request; one that is under way has `stop_timeout` left.
  void stop() noexcept {
    if (idle_) {
      scope_->cancel();
    } else {
      scope_->set_deadline(after(now(), options_.stop_timeout_));
    }
  }

  /// A piece of a streamed body.
  task<> write_piece(std::string_view bytes) {
    if (bytes.empty()) co_return;
    if (cut_) throw closed_error{"write " + stream_.name()};
    if (promised_) {
      if (bytes.size() > *promised_) throw misuse{"a streamed body is longer than was promised"};
      *promised_ -= bytes.size();
    }
    if (chunked_) {
      work_->out.clear();
      write_chunk_start(work_->out, bytes.size());
      work_->out += bytes;
      work_->out += chunk_end;
      bytes = work_->out;
    }
    cut_ = true;
    auto writing = write(bytes);
    co_await std::move(writing);
    cut_ = false;
  }

  /// The next bytes of the body into the front of `to`.
  task<std::size_t> read_some(std::span<std::byte> to) {
    auto reading = need_body();
    co_await std::move(reading);
    const std::size_t n = std::min(to.size(), body_.size());
    if (n != 0) std::memcpy(to.data(), body_.data(), n);
    body_ = body_.subspan(n);
    co_return n;
  }

  /// All that is left of the body, to the end of `text`.
  task<> read_body(std::string& text) {
    while (true) {
      if (!find_body()) {
        auto reading = need_body();
        co_await std::move(reading);
      }
      if (body_.empty()) break;
      text.append(reinterpret_cast<const char*>(body_.data()), body_.size());
      body_ = {};
    }
  }

  [[nodiscard]] const headers& trailers() const noexcept { return work_->parser.trailers(); }
  [[nodiscard]] std::string peer() const { return stream_.name(); }

 private:
  enum class step : std::uint8_t { request, rest, close };

  [[nodiscard]] time_point now() const noexcept { return connection_.group.home.now(); }
  [[nodiscard]] bool stopping() const noexcept { return connection_.group.stopping; }
  [[nodiscard]] request_parser& parser() noexcept { return work_->parser; }

  /// What turns an accepted connection into the stream to speak over.
  task<> prepare() {
    connection_.state = server_connection::phase::open;
    if (!connection_.group.prepare) co_return;
    auto preparing = connection_.group.prepare(std::move(stream_));
    stream_ = co_await fail_after(options_.head_timeout_, std::move(preparing));
    rests_ = stream_.readiness().has_value();
    next_ = what_next();
  }

  /// After a complete exchange. Bytes that wait here are a request, not idleness.
  [[nodiscard]] step what_next() {
    if (stopping()) return step::close;
    if (!input_.empty() || !rests_) return step::request;
    const bool tells = connection_.plain() && !filled_;
    return tells || stream_.quiet() ? step::rest : step::request;
  }

  // ---- reading ----

  /// Reads more input, for at most `limit`: how much, 0 at the end; nothing if it took too long.
  task<std::optional<std::size_t>> fill(duration limit) {
    const std::span<std::byte> to{work_->buffer};
    std::optional<std::size_t> got;
    scope_region within{context::current(), scope_options{}.within(limit)};
    try {
      auto reading = stream_.read_some(to);
      got = co_await std::move(reading);
    } catch (const cancelled&) {
      if (!within.absorb()) throw;
    }
    if (got) {
      input_ = std::span<const std::byte>{to}.first(*got);
      filled_ = *got == to.size();
    }
    co_return got;
  }

  parse_step take_step() {
    try {
      const parse_step s = parser().feed(input_);
      input_ = input_.subspan(s.consumed);
      return s;
    } catch (const error& e) {
      lost_ = true;
      throw refusal{e.code(), parser().refusal(), e.what()};
    }
  }

  [[noreturn]] void refuse(errc code, int status, std::string_view why) {
    lost_ = true;
    throw refusal{code, status, why};
  }

  /// A head; false when the peer is done, or has sent nothing in time.
  task<bool> read_head() {
    idle_ = !rests_ && input_.empty();
    time_point until = after(now(), idle_ ? options_.idle_timeout_ : options_.head_timeout_);
    bool there = false;
    while (true) {
      const parse_step s = take_step();
      there = s.event == parse_event::head;
      if (there) break;
      if (idle_ && parser().started()) {
        idle_ = false;
        until = after(now(), options_.head_timeout_);
      }
      auto filling = fill(until - now());
      const auto got = co_await std::move(filling);
      if (got && *got != 0) continue;
      if (!parser().started()) break;
      if (!got) refuse(errc::timed_out, 408, "too slow");
      (void)parser().finish();
      break;
    }
    idle_ = false;
    co_return there;
  }

  /// A request as the handler wants it; false when the peer is done.
  task<bool> read_request() {
    request_.reset();
    body_ = {};
    lost_ = complete_ = expects_ = false;
    auto reading = read_head();
    const bool there = co_await std::move(reading);
    if (!there) co_return false;
    request_.emplace(server_request{std::move(parser().head()), *this});
    const request_head& head = request_->head();
    if (head.target.size() > options_.max_target_) {
      refuse(errc::limit_exceeded, 414,
             "the target is longer than " + std::to_string(options_.max_target_) + " bytes");
    }
    if (head.method == "CONNECT") refuse(errc::protocol, 501, "this is no proxy");
    if (parser().content_length().value_or(0) > options_.max_body_) {
      refuse(errc::limit_exceeded, 413,
             "the body is larger than " + std::to_string(options_.max_body_) + " bytes");
    }
    if (parser().framing() == body_framing::none) {
      (void)find_body();
      co_return true;
    }
    if (head.minor_version >= 1 && head.fields.contains("Expect")) {
      expects_ = equal_ignoring_case(head.fields.joined("Expect"), "100-continue");
      if (!expects_) refuse(errc::protocol, 417, "an expectation that is not known here");
    }
    body_left_ = options_.body_timeout_;
    if (!options_.stream_bodies_) {
      auto whole = read_body(request_->body());
      co_await std::move(whole);
    }
    co_return true;
  }

  /// Looks for body in what has come. False: more is needed.
  bool find_body() {
    while (body_.empty() && !complete_) {
      const parse_step s = take_step();
      if (!s) return false;
      body_ = s.body;
      complete_ = s.event == parse_event::complete;
    }
    return true;
  }

  /// Until there are bytes of the body, or it has ended.
  task<> need_body() {
    if (lost_) throw closed_error{"read the body of a request"};
    while (!find_body()) {
      if (std::exchange(expects_, false) && input_.empty()) {
        auto going_on = write("HTTP/1.1 100 Continue\r\n\r\n");
        co_await std::move(going_on);
      }
      const time_point since = now();
      std::optional<std::size_t> got;
      try {
        auto filling = fill(std::min(body_left_, options_.stall_timeout_));
        got = co_await std::move(filling);
        if (got && *got == 0) (void)parser().finish();
      } catch (const error&) {
        lost_ = true;
        throw;
      }
      if (!got) refuse(errc::timed_out, 408, "the body comes too slowly");
      body_left_ -= now() - since;
      const duration earned =
          std::chrono::nanoseconds{std::chrono::seconds{1}} * *got / options_.body_rate_;
      body_left_ += std::min(earned, duration::max() - std::max(body_left_, duration::zero()));
    }
  }

  /// Reads what the handler has left of a body. False if it is too much.
  task<bool> drain() {
    std::size_t seen = body_.size();
    body_ = {};
    while (!complete_ && seen <= drained_size) {
      auto reading = need_body();
      co_await std::move(reading);
      seen += body_.size();
      body_ = {};
    }
    co_return complete_;
  }

  // ---- answering ----

  /// One request and its response.
  task<step> answer_next() {
    std::optional<server_response> response;
    std::optional<refusal> no;
    try {
      auto reading = read_request();
      const bool there = co_await std::move(reading);
      if (!there) co_return step::close;
      ++server_.statistics_.requests;
      ++connection_.requests;
      auto handling = handle();
      response = co_await std::move(handling);
    } catch (const refusal& r) {
      no = r;
    }
    if (no) {
      ++server_.statistics_.refused;
      response.emplace(no->status());
      response->body(std::string{no->what()} + "\n").close();
    }
    if (!closes(*response) && must_close()) response->close();
    expects_ = false;  // too late for it
    auto sending = send(*response);
    co_await std::move(sending);
    if (response->close_) co_return step::close;
    if (!complete_) {
      bool done = false;
      try {
        auto draining = drain();
        done = co_await std::move(draining);
      } catch (const refusal&) {  // too late to say so
      }
      if (!done) co_return step::close;
    }
    co_return what_next();
  }

  task<server_response> handle() {
    std::optional<server_response> response;
    const auto blame = [&](std::string_view why) {
      log(severity::error, (request_->method() + " " + request_->target() + ": ").append(why));
      response.emplace(500);
      response->body("internal error\n");
    };
    try {
      auto handling = server_.handler_(*request_);
      response = co_await std::move(handling);
      if (response->status() < 200) throw misuse{"a response needs a final status"};
    } catch (const refusal&) {
      throw;
    } catch (const std::exception& e) {
      if (lost_) throw;  // the peer has gone while the body was read
      blame(e.what());
    } catch (const cancelled&) {
      if (scope_->cancelled()) throw;
      blame("cancelled, by nobody");  // but something that the handler waited for
    } catch (...) {
      blame("an exception that is no std::exception");
    }
    co_return std::move(*response);
  }

  /// Whether the handler wants the connection to end.
  static bool closes(server_response& r) {
    if (r.head_.fields.has_token("Connection", "close")) r.close_ = true;
    return r.close_;
  }

  /// Whether what is known before the response tells that it is the last one.
  [[nodiscard]] bool must_close() {
    if (stopping() || lost_ || !parser().keep_alive()) return true;
    if (connection_.requests >= options_.max_requests_) return true;
    // A peer that was not told to go on may send its body or not.
    return !complete_ && (expects_ || parser().content_length().value_or(0) >
                                          parser().body_size() + drained_size);
  }

  task<> send(server_response& r) {
    const bool old_peer = request_ && request_->head().minor_version == 0;
    const bool head_only = request_ && request_->method() == "HEAD";
    headers& fields = r.head_.fields;
    fields.remove("Content-Length");
    fields.remove("Transfer-Encoding");
    fields.remove("Connection");
    if (!fields.contains("Date")) fields.add("Date", date_now());
    const bool allowed = may_have_body(r.head_.status);
    if (r.head_.status == 205) r.body_.clear(), r.source_ = {};  // RFC 9110, 15.3.6
    promised_.reset();
    chunked_ = cut_ = false;
    if (r.source_ && allowed) {
      promised_ = r.length_;
      chunked_ = !promised_ && !old_peer;
      if (promised_) {
        fields.add("Content-Length", std::to_string(*promised_));
      } else if (chunked_) {
        fields.add("Transfer-Encoding", "chunked");
      } else {
        r.close_ = true;
      }
    } else if (allowed) {
      fields.add("Content-Length", std::to_string(r.body_.size()));
    }
    if (allowed && !r.type_.empty() && !fields.contains("Content-Type")) {
      fields.add("Content-Type", r.type_);
    }
    if (r.close_) {
      fields.add("Connection", "close");
    } else if (old_peer) {
      fields.add("Connection", "keep-alive");
    }
    work_->out.clear();
    write_head(work_->out, r.head_);
    const bool with_body = allowed && !head_only;
    const bool joined = with_body && !r.source_ && r.body_.size() <= joined_size;
    if (joined) work_->out += r.body_;
    auto writing_head = write(work_->out);
    co_await std::move(writing_head);
    if (!with_body || joined) co_return;
    if (!r.source_) {
      auto writing_body = write(r.body_);
      co_await std::move(writing_body);
      co_return;
    }
    auto streaming = stream_from(r.source_);
    co_await std::move(streaming);
  }

  task<> stream_from(server_response::body_source& source) {
    body_writer to{*this};
    try {
      auto streaming = source(to);
      co_await std::move(streaming);
      if (cut_) throw closed_error{"stream a body"};  // the source did not mind
      if (promised_.value_or(0) != 0) throw misuse{"it is shorter than was promised"};
    } catch (const misuse& e) {
      log(severity::error, std::string{"a streamed body failed: "} + e.what());
      throw;
    } catch (const error&) {
      throw;
    } catch (const std::exception& e) {
      log(severity::error, std::string{"a streamed body failed: "} + e.what());
      throw;
    }
    if (chunked_) {
      auto ending = write(last_chunk);
      co_await std::move(ending);
    }
  }

  task<> write(std::string_view bytes) {
    while (!bytes.empty()) {
      const std::string_view piece = bytes.substr(0, write_size);
      std::size_t written = 0;
      {
        scope_region within{context::current(), scope_options{}.within(options_.write_timeout_)};
        try {
          auto writing = stream_.write_all(net::bytes_of(piece));
          written = co_await std::move(writing);
        } catch (const cancelled&) {
          if (!within.absorb()) throw;
        }
      }
      // Cut by the timeout, perhaps after some bytes had gone.
      if (written < piece.size()) throw timeout_error{"write " + stream_.name()};
      bytes.remove_prefix(written);
    }
  }

  /// Ends our direction and reads on for a moment: closing with unread input would make the kernel
  /// send a reset, which can destroy the response before the peer has read it.
  task<> linger() {
    const time_point until = after(now(), std::chrono::seconds{1});
    const bool said = co_await move_on_after(until - now(), stream_.shutdown_write());
    if (!said || stopping() || !work_) co_return;
    for (std::size_t seen = 0; seen < std::size_t{256} * 1024;) {
      auto filling = fill(until - now());
      const auto got = co_await std::move(filling);
      if (!got || *got == 0) break;
      seen += *got;
    }
  }

  server_connection& connection_;
  server& server_;
  const server_options& options_;
  net::any_stream& stream_;
  cancel_scope* scope_ = nullptr;            // while it runs
  std::unique_ptr<server::workspace> work_;  // once there is something to read
  std::span<const std::byte> input_;         // of work_->buffer: what the parser has not consumed
  std::span<const std::byte> body_;          // of the same: found, and not taken yet
  std::optional<server_request> request_;
  std::optional<std::uint64_t> promised_;  // bytes of the streamed body that are still to come
  duration body_left_{};                   // patience with the body
  step next_ = step::request;
  bool rests_ = false;     // the stream can wait without a buffer
  bool filled_ = false;    // the last read filled the buffer
  bool idle_ = false;      // waits for a request, here
  bool complete_ = false;  // the request has been read to its end
  bool expects_ = false;   // the peer waits for 100 Continue
  bool lost_ = false;      // where the next request begins is not known
  bool chunked_ = false;   // how the streamed body goes out
  bool cut_ = false;       // a piece of it did not, or not wholly
};

task<> body_writer::write(std::string_view bytes) { return to_.write_piece(bytes); }

task<std::size_t> server_request::read_some(std::span<std::byte> to) {
  std::size_t n = std::min(to.size(), body_.size() - taken_);
  if (n != 0) {
    std::memcpy(to.data(), body_.data() + taken_, n);
    taken_ += n;
  } else if (from_ != nullptr && !to.empty()) {
    auto reading = from_->read_some(to);
    n = co_await std::move(reading);
  }
  co_return n;
}

task<std::string&> server_request::read_body() {
  if (from_ != nullptr) {
    auto reading = from_->read_body(body_);
    co_await std::move(reading);
  }
  co_return body_;
}

const headers& server_request::trailers() const noexcept {
  static const headers none;
  return from_ != nullptr ? from_->trailers() : none;
}

std::string server_request::peer() const { return from_ != nullptr ? from_->peer() : peer_; }

void server_connection::waker::resumed(ready_item& item) noexcept {
  auto& self = static_cast<waker&>(item);
  std::unique_ptr<server_connection> c{&self.owner};
  server::group& g = c->group;
  const bool came = self.finish() == outcome::completed;
  c->readable_.reset();
  c->unlink();
  --g.owner.statistics_.idle;
  if (!came) c->state = phase::leaving;
  try {
    if (came || !c->plain()) g.start(std::move(c));
  } catch (const std::exception&) {
    ++g.owner.statistics_.failed;  // no memory for it
  }
  c.reset();
  g.left_idle();
}

// ---- the connections of a listener ----

server::group::timer::timer(group& g) noexcept
    : timer_node{[](timer_node& t) noexcept {
        group& self = static_cast<timer&>(t).owner;
        const duration limit = self.owner.options_.idle_timeout_;
        server_connection* c = self.idle.front();
        for (; c != nullptr && after(c->idle_since, limit) <= self.home.now();
             c = self.idle.next(*c)) {
          c->stop_waiting();
        }
        if (c != nullptr) self.home.timers().add(t, after(c->idle_since, limit));
      }},
      owner{g} {}

server::group::group(server& s, stream_step p)
    : owner{s}, prepare{std::move(p)}, home{*loop::current()} {}

server::group::~group() { home.timers().remove(idle_timer); }

task<> server::group::keep() {
  auto nothing_from_above = [this](cancel_scope&) -> task<> {
    auto holding = [this](nursery& n) -> task<> {
      busy_nursery = &n;
      co_await all_left.wait();
    };
    auto kept = with_nursery(holding);
    co_await std::move(kept);
  };
  auto kept = with_scope(scope_options{}.shielded(), nothing_from_above);
  (void)co_await std::move(kept);
}

void server::group::admit(net::any_stream stream, semaphore_permit slot) {
  auto c = std::make_unique<server_connection>(*this, std::move(stream), std::move(slot));
  if (prepare || !c->can_wait()) {
    start(std::move(c));
  } else {
    rest(std::move(c));
  }
}

void server::group::start(std::unique_ptr<server_connection> c) {
  busy_nursery->start(named{"connection", converse}, std::move(c));
}

void server::group::rest(std::unique_ptr<server_connection> c) {
  c->idle_since = home.now();
  idle.push_back(*c);
  ++owner.statistics_.idle;
  if (!idle_timer.pending()) {
    home.timers().add(idle_timer, after(c->idle_since, owner.options_.idle_timeout_));
  }
  c.release()->wait();
}

void server::group::left_idle() noexcept {
  if (stopping && idle.empty()) all_left.set();
}

void server::group::stop() noexcept {
  stopping = true;
  for (server_connection* c = busy.front(); c != nullptr; c = busy.next(*c)) c->talking->stop();
  for (server_connection* c = idle.front(); c != nullptr; c = idle.next(*c)) c->stop_waiting();
  left_idle();
}

// ---- the server ----

server::server(request_handler handler, server_options options)
    : handler_{std::move(handler)}, options_{options}, slots_{options.max_connections_} {
  if (!handler_) throw misuse{"http::server without a handler"};
}

server::~server() = default;

std::unique_ptr<server::workspace> server::borrow() {
  if (workspaces_.empty()) {
    codec_limits limits;
    limits.max_head = options_.max_head_;
    limits.max_fields = options_.max_fields_;
    limits.max_body = options_.max_body_;
    return std::make_unique<workspace>(limits);
  }
  auto w = std::move(workspaces_.back());
  workspaces_.pop_back();
  return w;
}

void server::give_back(std::unique_ptr<workspace> w) {
  if (workspaces_.size() == kept_workspaces || w->out.capacity() > write_size) return;
  workspaces_.push_back(std::move(w));
}

task<> server::converse(std::unique_ptr<server_connection> c) {
  group& g = c->group;
  bool rests = false;
  try {
    server_conversation talk{*c};
    auto running = talk.run();
    rests = co_await std::move(running);
  } catch (const std::exception&) {
    ++g.owner.statistics_.failed;  // no memory for it
  }
  if (rests) g.rest(std::move(c));
}

task<> server::serve_stream(net::any_stream stream) {
  group g{*this, {}};
  server_connection c{g, std::move(stream), {}};
  bool rests = true;
  while (rests) {
    if (c.can_wait()) {
      auto readable = *c.stream.readiness();
      const bool came = co_await move_on_after(options_.idle_timeout_, readable);
      if (!came) c.state = server_connection::phase::leaving;
    }
    server_conversation talk{c};
    auto running = talk.run();
    rests = co_await std::move(running);
  }
}

}  // namespace oneloop::inline v0::http
