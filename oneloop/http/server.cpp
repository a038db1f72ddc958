#include "oneloop/http/server.hpp"

#include <cerrno>
#include <ctime>
#include <exception>
#include <memory>
#include <span>

#include "oneloop/base/log.hpp"
#include "oneloop/http/codec.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/scope/context.hpp"
#include "oneloop/scope/timeout.hpp"

namespace oneloop::inline v0::http {
namespace {

constexpr std::size_t read_size = std::size_t{8} * 1024;
constexpr std::size_t write_size = std::size_t{64} * 1024;
/// A body up to this size goes out in one write with its head.
constexpr std::size_t joined_size = std::size_t{16} * 1024;

/// The server's own answer to a request that it will not hand to the handler.
class refusal {
 public:
  refusal(int status, std::string why) : status_{status}, why_{std::move(why)} {}
  [[nodiscard]] int status() const noexcept { return status_; }
  [[nodiscard]] const std::string& why() const noexcept { return why_; }

 private:
  int status_;
  std::string why_;
};

/// "Sun, 06 Nov 1994 08:49:37 GMT", made anew once a second.
[[gnu::noinline]] std::string_view date_now() {
  thread_local std::time_t shown = -1;
  thread_local char text[32];
  thread_local std::size_t size = 0;
  const std::time_t now = std::time(nullptr);
  if (now != shown) {
    std::tm utc{};
    gmtime_r(&now, &utc);
    static constexpr const char* days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static constexpr const char* months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                             "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    char pattern[40];
    std::snprintf(pattern, sizeof pattern, "%s, %%d %s %%Y %%H:%%M:%%S GMT", days[utc.tm_wday],
                  months[utc.tm_mon]);
    size = std::strftime(text, sizeof text, pattern, &utc);
    shown = now;
  }
  return {text, size};
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

/// One connection: reads requests, calls the handler, writes responses, one after the other.
class server_connection : public list_hook<> {
 public:
  server_connection(server& s, net::any_stream stream)
      : server_{s},
        options_{s.options_},
        stream_{std::move(stream)},
        peer_{stream_.name()},
        parser_{limits(s.options_)},
        buffer_{std::make_unique_for_overwrite<std::byte[]>(read_size)} {
    ++server_.statistics_.connections;
    ++server_.statistics_.accepted;
  }
  ~server_connection() {
    --server_.statistics_.connections;
    unlink();
  }

  task<> run(cancel_scope& scope, server::group* g) {
    scope_ = &scope;
    if (g != nullptr) {
      g->open.push_back(*this);
      if (g->stopping) stop();
    }
    try {
      if (g != nullptr && g->prepare) {
        auto preparing = g->prepare(std::move(stream_));
        stream_ = co_await fail_after(options_.head_timeout_, std::move(preparing));
      }
      bool going = true;
      while (going) {
        auto exchange = answer_next();
        going = co_await std::move(exchange);
      }
      auto ending = linger();
      co_await std::move(ending);
    } catch (const std::exception&) {
      ++server_.statistics_.failed;  // the peer has gone, is too slow, or failed its handshake
    }
    stream_.close();
  }

  /// No further request; one that is under way has `stop_timeout` left.
  void stop() noexcept {
    stopping_ = true;
    if (idle_) {
      scope_->cancel();
    } else {
      scope_->set_deadline(after(scope_->home()->now(), options_.stop_timeout_));
    }
  }

  /// A piece of a streamed body.
  task<> write_piece(std::string_view bytes) {
    if (bytes.empty() || without_body_) co_return;
    if (chunked_) {
      out_.clear();
      write_chunk_start(out_, bytes.size());
      out_ += bytes;
      out_ += chunk_end;
      bytes = out_;
    }
    auto writing = write(bytes);
    co_await std::move(writing);
  }

 private:
  static codec_limits limits(const server_options& o) noexcept {
    codec_limits l;
    l.max_head = o.max_head_;
    return l;
  }

  [[nodiscard]] refusal too_large() const {
    return refusal{413, "the body is larger than " + std::to_string(options_.max_body_) + " bytes"};
  }

  [[nodiscard]] time_point now() const noexcept { return scope_->home()->now(); }

  /// Reads more input. False at the end of the stream. Throws `refusal` when `until` passes.
  task<bool> fill(time_point until) {
    std::span<std::byte> to{buffer_.get(), read_size};
    auto got = co_await move_on_after(until - now(), stream_.read_some(to));
    if (!got) {
      if (idle_) co_return false;
      throw refusal{408, "too slow"};
    }
    input_ = std::span<const std::byte>{to}.first(*got);
    co_return *got != 0;
  }

  /// The next event of the parser. Nothing at the end of the stream between requests.
  task<std::optional<parse_step>> next_event(time_point until) {
    std::optional<parse_step> found;
    while (true) {
      const parse_step step = parser_.feed(input_);
      input_ = input_.subspan(step.consumed);
      if (step) {
        found = step;
        break;
      }
      if (idle_ && step.consumed != 0) {
        idle_ = false;
        until = after(now(), options_.head_timeout_);
      }
      auto filling = fill(until);
      const bool more = co_await std::move(filling);
      if (more) continue;
      if (!idle_) (void)parser_.finish();
      break;
    }
    co_return found;
  }

  /// One request and its response; whether another one may follow.
  task<bool> answer_next() {
    std::optional<refusal> no;
    std::optional<server_request> request;
    try {
      auto reading = read_request();
      request = co_await std::move(reading);
      if (!request) co_return false;
    } catch (const refusal& r) {
      no = r;
    } catch (const end_of_stream&) {
      throw;
    } catch (const error& e) {
      if (e.code() == errc::protocol) {
        no.emplace(400, e.what());
      } else if (e.code() == errc::limit_exceeded) {
        no.emplace(431, e.what());
      } else {
        throw;
      }
    }
    if (no) {
      idle_ = false;
      ++server_.statistics_.refused;
      server_response r{no->status()};
      r.body(no->why() + "\n").close();
      auto sending = send(r, 1, false);
      co_await std::move(sending);
      co_return false;
    }
    ++server_.statistics_.requests;
    std::optional<server_response> response;
    try {
      auto handling = server_.handler_(*request);
      response = co_await std::move(handling);
    } catch (const std::exception& e) {
      log(severity::error, request->method() + " " + request->target() + ": " + e.what());
      response.emplace(500);
      response->body("internal error\n");
    }
    if (!parser_.keep_alive() || stopping_) response->close();
    auto sending = send(*response, request->head().minor_version, request->method() == "HEAD");
    co_await std::move(sending);
    co_return !response->close_ && !stopping_;
  }

  /// A complete request; nothing when the peer is done.
  task<std::optional<server_request>> read_request() {
    std::optional<server_request> request;
    idle_ = true;
    auto waiting = next_event(after(now(), options_.idle_timeout_));
    auto head = co_await std::move(waiting);
    if (!head) co_return request;
    idle_ = false;
    if (parser_.content_length().value_or(0) > options_.max_body_) throw too_large();
    const bool wants_body = parser_.framing() != body_framing::none;
    if (wants_body && input_.empty() && parser_.head().minor_version >= 1 &&
        parser_.head().fields.has_token("Expect", "100-continue")) {
      auto going_on = write("HTTP/1.1 100 Continue\r\n\r\n");
      co_await std::move(going_on);
    }
    std::string body;
    const time_point until = after(now(), options_.body_timeout_);
    while (true) {
      auto reading = next_event(until);
      auto step = co_await std::move(reading);
      if (!step) throw end_of_stream{"read " + peer_, body.size(), body.size() + 1};
      if (step->event != parse_event::body) break;
      if (step->body.size() > options_.max_body_ - body.size()) throw too_large();
      body.append(reinterpret_cast<const char*>(step->body.data()), step->body.size());
    }
    request.emplace(std::move(parser_.head()), std::move(body), peer_);
    co_return request;
  }

  task<> send(server_response& r, int minor_version, bool head_only) {
    headers& fields = r.head_.fields;
    fields.remove("Content-Length");
    fields.remove("Transfer-Encoding");
    if (fields.has_token("Connection", "close")) r.close_ = true;
    fields.remove("Connection");
    if (!fields.contains("Date")) fields.add("Date", date_now());
    const bool allowed = may_have_body(r.head_.status);
    without_body_ = head_only || !allowed;
    chunked_ = false;
    if (r.source_ && allowed) {
      chunked_ = minor_version >= 1;
      if (chunked_) {
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
    } else if (minor_version == 0) {
      fields.add("Connection", "keep-alive");
    }
    std::string head;
    write_head(head, r.head_);
    const bool joined = !r.source_ && !without_body_ && r.body_.size() <= joined_size;
    if (joined) head += r.body_;
    auto writing_head = write(head);
    co_await std::move(writing_head);
    if (without_body_ || joined) co_return;
    if (!r.source_) {
      auto writing_body = write(r.body_);
      co_await std::move(writing_body);
      co_return;
    }
    body_writer to{*this};
    try {
      auto streaming = r.source_(to);
      co_await std::move(streaming);
    } catch (const error&) {
      throw;
    } catch (const std::exception& e) {
      log(severity::error, std::string{"a streamed body failed: "} + e.what());
      throw error{errc::protocol, e.what()};
    }
    if (chunked_) {
      auto ending = write(last_chunk);
      co_await std::move(ending);
    }
  }

  task<> write(std::string_view bytes) {
    while (!bytes.empty()) {
      const std::string_view piece = bytes.substr(0, write_size);
      const auto n =
          co_await fail_after(options_.write_timeout_, stream_.write_all(net::bytes_of(piece)));
      // Cut by the timeout after some bytes had gone.
      if (n < piece.size()) throw timeout_error{"write " + peer_};
      bytes.remove_prefix(n);
    }
  }

  /// Ends our direction and reads on for a moment: closing with unread input would make the kernel
  /// send a reset, which can destroy the response before the peer has read it.
  task<> linger() {
    if (stopping_) co_return;
    auto ending = stream_.shutdown_write();
    co_await std::move(ending);
    const time_point until = after(now(), std::chrono::seconds{1});
    std::span<std::byte> to{buffer_.get(), read_size};
    for (std::size_t seen = 0; seen < std::size_t{256} * 1024;) {
      auto got = co_await move_on_after(until - now(), stream_.read_some(to));
      if (!got || *got == 0) break;
      seen += *got;
    }
  }

  server& server_;
  const server_options& options_;
  cancel_scope* scope_ = nullptr;
  net::any_stream stream_;
  std::string peer_;
  request_parser parser_;
  std::unique_ptr<std::byte[]> buffer_;
  std::span<const std::byte> input_;  // of buffer_: what the parser has not consumed
  std::string out_;                   // a chunk with its frame
  bool idle_ = true;                  // between requests
  bool stopping_ = false;
  bool chunked_ = false;       // how the streamed body goes out
  bool without_body_ = false;  // and whether it does
};

task<> body_writer::write(std::string_view bytes) { return to_.write_piece(bytes); }

server::server(request_handler handler, server_options options)
    : handler_{std::move(handler)}, options_{options}, slots_{options.max_connections_} {
  if (!handler_) throw misuse{"http::server without a handler"};
}

void server::group::stop() noexcept {
  stopping = true;
  for (server_connection* c = open.front(); c != nullptr; c = open.next(*c)) c->stop();
}

task<> server::converse(std::reference_wrapper<group> g, net::any_stream stream,
                        [[maybe_unused]] semaphore_permit slot) {
  server_connection c{g.get().owner, std::move(stream)};
  // What cancels the server reaches a connection through group::stop only.
  (void)co_await with_scope(scope_options{}.shielded(), [&](cancel_scope& s) -> task<> {
    auto running = c.run(s, &g.get());
    co_await std::move(running);
  });
}

task<> server::serve_stream(net::any_stream stream) {
  server_connection c{*this, std::move(stream)};
  (void)co_await with_scope(scope_options{}, [&](cancel_scope& s) -> task<> {
    auto running = c.run(s, nullptr);
    co_await std::move(running);
  });
}

bool server::passes(const error& e) noexcept {
  const auto& code = e.code();
  if (code.category() != std::system_category() && code.category() != std::generic_category()) {
    return false;
  }
  switch (code.value()) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case ECONNABORTED:
    case EPROTO:
    case EPERM: return true;
    default: return false;
  }
}

}  // namespace oneloop::inline v0::http
