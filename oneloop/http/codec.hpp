// HTTP/1 between bytes and messages, with no I/O: parsers that are fed whatever has arrived, in
// pieces of any size, and functions that write heads and chunks.
//
// A parser takes one step a call: it consumes some input and reports at most one event. Framing
// follows RFC 9112; what would let two readers disagree on where a message ends is an error.
//
//     oneloop::http::response_parser p;
//     p.expect("GET");
//     while (auto step = p.feed(input)) {        // false: more input is needed
//       input = input.subspan(step.consumed);
//       if (step.event == oneloop::http::parse_event::body) use(step.body);
//       if (step.event == oneloop::http::parse_event::complete) break;
//     }
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "oneloop/base/config.hpp"
#include "oneloop/http/message.hpp"

namespace oneloop::inline v0::http {

/// Bounds that protect memory. Going over one is oneloop::error with errc::limit_exceeded.
struct codec_limits {
  /// No head may be larger, whatever `max_head` says.
  static constexpr std::size_t hard_max_head = 300 * 1024;
  /// Bytes of a start line with its header fields; the trailers after a chunked body, alike.
  std::size_t max_head = 64 * 1024;
  /// Fields in a head, or in trailers.
  std::size_t max_fields = 256;
  /// Bytes of a body. One that says beforehand that it is larger is refused at the step after its
  /// head, so that the head is known.
  std::uint64_t max_body = std::numeric_limits<std::uint64_t>::max();
};

/// What a step of a parser found.
enum class parse_event : std::uint8_t {
  need_input,  // all input was consumed
  interim,     // head() is that of an interim response (1xx), until the next step
  head,        // head() is complete
  body,        // a piece of the body
  complete,    // the message has ended; keep_alive() is known
  upgrade,     // as complete, and what follows is not HTTP (101, or a 2xx to CONNECT)
};

/// One step: how much of the input it used up, and what it found.
struct parse_step {
  std::size_t consumed = 0;
  parse_event event = parse_event::need_input;
  std::span<const std::byte> body;  // a part of the input, for parse_event::body

  explicit operator bool() const noexcept { return event != parse_event::need_input; }
};

/// How the end of a body is found.
enum class body_framing : std::uint8_t { none, length, chunked, until_close };

/// Reads the responses of one connection, one after the other.
///
/// Interim responses (1xx but for a 101 that was asked for) are events of their own, any number of
/// them, together no larger than codec_limits::hard_max_head. Bare LF and folded header lines are
/// accepted; bare CR, NUL, HTTP/0.9, lines without a colon, space before a colon, and anything odd
/// in Content-Length are not. Errors: oneloop::error with errc::protocol or limit_exceeded;
/// afterwards every call throws the same again. Memory: what the head needs, while it arrives; the
/// body is never copied.
class ONELOOP_API response_parser {
 public:
  explicit response_parser(codec_limits limits = {});
  ~response_parser();
  response_parser(response_parser&&) noexcept;
  response_parser& operator=(response_parser&&) noexcept;

  /// A request was sent with this method: its response comes next. Must be called before each; the
  /// response to HEAD has no body. `upgrade`: the request asked for another protocol, so that 101
  /// is welcome.
  void expect(std::string_view method, bool upgrade = false);

  /// Takes a step. Empty input is fine: there may be an event that needs none.
  parse_step feed(std::span<const std::byte> input);

  /// The peer has closed. Returns `complete` if that is how the body ends, `need_input` if nothing
  /// was under way. Errors: oneloop::end_of_stream if a length was promised, else oneloop::error
  /// with errc::end_of_stream.
  parse_event finish();

  /// Has any byte of the expected response come? If not, a reused connection was stale.
  [[nodiscard]] bool started() const noexcept;
  /// Valid from the event `head` to the next expect() (after `interim`: to the next step); it may
  /// be moved out.
  [[nodiscard]] response_head& head() noexcept;
  /// The fields after a chunked body; valid once it is complete.
  [[nodiscard]] headers& trailers() noexcept;
  /// How the body ends; valid from the event `head` on.
  [[nodiscard]] body_framing framing() const noexcept;
  /// How long the body is, where that is known; valid from the event `head` on.
  [[nodiscard]] std::optional<std::uint64_t> content_length() const noexcept;
  /// Bytes of the body so far.
  [[nodiscard]] std::uint64_t body_size() const noexcept;
  /// After `complete`: may another request be sent on this connection? False after a message with
  /// doubtful framing (both Content-Length and Transfer-Encoding).
  [[nodiscard]] bool keep_alive() const noexcept;

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

/// Reads the requests of one connection, one after the other; pipelined ones may be in one input.
///
/// Stricter than with responses, because a server may stand behind a proxy that reads differently:
/// bare LF, folded lines, Content-Length beside Transfer-Encoding, and an unknown last coding are
/// errors, and so is a missing or double Host in HTTP/1.1. Errors as for response_parser.
class ONELOOP_API request_parser {
 public:
  explicit request_parser(codec_limits limits = {});
  ~request_parser();
  request_parser(request_parser&&) noexcept;
  request_parser& operator=(request_parser&&) noexcept;

  /// Takes a step. After `complete` the next call starts the next request; a server that answers a
  /// CONNECT or an Upgrade by changing the protocol stops feeding there.
  parse_step feed(std::span<const std::byte> input);
  /// The peer has closed: `need_input` between requests. Errors: as response_parser::finish.
  parse_event finish();

  /// Has any byte of the current request come? False again from `complete` on.
  [[nodiscard]] bool started() const noexcept;
  [[nodiscard]] request_head& head() noexcept;
  [[nodiscard]] headers& trailers() noexcept;
  [[nodiscard]] body_framing framing() const noexcept;
  [[nodiscard]] std::optional<std::uint64_t> content_length() const noexcept;
  [[nodiscard]] std::uint64_t body_size() const noexcept;
  [[nodiscard]] bool keep_alive() const noexcept;
  /// After an error: the status that tells the peer (400, 413, 414, 431, 501, 505).
  [[nodiscard]] int refusal() const noexcept;

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

/// Appends a head as it goes over the wire, with the empty line that ends it. Errors: misuse if the
/// method is no token, or the target or reason holds what would break the line.
ONELOOP_API void write_head(std::string& out, const request_head& head);
ONELOOP_API void write_head(std::string& out, const response_head& head);

/// Appends what goes before the `size` bytes of a chunk (of at least one byte).
ONELOOP_API void write_chunk_start(std::string& out, std::size_t size);
/// What goes after a chunk's bytes.
inline constexpr std::string_view chunk_end = "\r\n";
/// What ends a chunked body without trailers.
inline constexpr std::string_view last_chunk = "0\r\n\r\n";

}  // namespace oneloop::inline v0::http
