// What a request carries: bytes that are there, or a source that gives them piece by piece.
//
//     oneloop::http::request r{"PUT", target};
//     r.body("hello", "text/plain");                       // sent with its length
//     r.body(oneloop::http::request_body::streamed(
//                [] { return lines_of("/var/log/messages"); }),  // a fresh source at every call
//            "text/plain");                                // sent in chunks
//
// A body may be needed more than once: after a redirect with 307 or 308, or when a kept connection
// turned out to be dead. Bytes and `streamed` can do that; `once` cannot.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "oneloop/base/config.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0::http {

/// Gives the next piece of a body: fills the front of `to`, which has room for 64 KiB, with at
/// least one byte; how many it was, 0: the end. What it throws ends the request and reaches whoever
/// sent that. It is called on the client's loop, one call at a time, and destroyed there.
/// *Cancellation*: when the request is cancelled, or the server has answered before all was sent.
using body_source = std::move_only_function<task<std::size_t>(std::span<std::byte> to)>;

/// A value; copies share a source that gives itself once.
///
/// A size that is known is sent as Content-Length. A source that then gives more or fewer bytes is
/// an http_error (protocol, phase "write"), and the connection is closed before the server can take
/// the body for whole. Without a size the body is chunked, which a server of HTTP/1.0 does not
/// understand: on a connection that is known to lead to one it is an http_error (protocol).
class ONELOOP_API request_body {
 public:
  /// None at all: not the same as an empty one.
  request_body() noexcept = default;
  /// These bytes.
  explicit request_body(std::string bytes);
  /// What the sources give that `make` makes: it is called whenever the body is to be sent.
  [[nodiscard]] static request_body streamed(std::function<body_source()> make,
                                             std::optional<std::uint64_t> size = {});
  /// What this one gives, once: where the body would be needed again, the request fails
  /// (http_error of kind redirect, or the error of the dead connection).
  [[nodiscard]] static request_body once(body_source source,
                                         std::optional<std::uint64_t> size = {});

  [[nodiscard]] explicit operator bool() const noexcept { return bytes_ || make_ || once_; }
  /// How many bytes it is, where that is known.
  [[nodiscard]] std::optional<std::uint64_t> size() const noexcept;
  /// Can it be sent (once more)?
  [[nodiscard]] bool available() const noexcept;

  // ---- for the client ----

  /// The bytes, if it is made of them.
  [[nodiscard]] const std::string* bytes() const noexcept { return bytes_.get(); }
  /// A source for one sending. Errors: misuse if it is not available.
  [[nodiscard]] body_source open() const;

 private:
  std::shared_ptr<const std::string> bytes_;
  std::function<body_source()> make_;
  std::shared_ptr<body_source> once_;
  std::optional<std::uint64_t> size_;
};

}  // namespace oneloop::inline v0::http
