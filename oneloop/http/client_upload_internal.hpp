// The body of a request as it goes over the wire, piece by piece. Internal to http/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "oneloop/base/config.hpp"
#include "oneloop/http/body.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0::http::detail {

/// A request on its way out.
struct outgoing {
  std::string head;  // and with it a small body
  request_body body;
  bool asks_first = false;  // it says Expect: 100-continue

  [[nodiscard]] bool chunked() const noexcept { return body && !body.size(); }
};

/// One sending of a body. Keeps a piece in memory, 64 KiB.
class upload {
 public:
  /// `what`: for messages, "PUT http://a/".
  upload(const request_body& body, std::string what);
  /// The next bytes to send, framing included, valid until the next call; empty after the last. A
  /// body with a length that its source doesn't keep to: throws http_error before the last piece.
  task<std::span<const std::byte>> next();

 private:
  static constexpr std::size_t piece = 64 * 1024;
  static constexpr std::size_t before = 8;  // room for a chunk's size: "10000\r\n"
  static constexpr std::size_t after = 2;
  [[noreturn]] void wrong_size(const char* verb) const;

  body_source source_;
  std::optional<std::uint64_t> size_;
  std::uint64_t given_ = 0;
  bool over_ = false;
  std::string what_;
  std::vector<std::byte> buffer_;
};

}  // namespace oneloop::inline v0::http::detail
