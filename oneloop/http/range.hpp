// Going on with a download that broke off: Range, If-Range and Content-Range (RFC 9110, 13.1.5 and
// 14), as functions over header fields.
//
//     oneloop::http::partial_content got{.received = 1000, .validator = strong_validator(fields)};
//     got.ask(again.fields());                            // Range: bytes=1000- and If-Range
//     switch (got.answer(status, fields)) { ... }         // append, restart, complete, refused
//
// Ranges count bytes as they go over the wire, so a body that was decoded on the way (gzip) cannot
// be resumed by what was decoded: ask for `Accept-Encoding: identity` from the start.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "oneloop/base/config.hpp"
#include "oneloop/http/message.hpp"

namespace oneloop::inline v0::http {

/// What a Content-Range field says, in bytes.
struct content_range {
  struct span {
    std::uint64_t first;
    std::uint64_t last;  // inclusive, never before `first`
    friend bool operator==(const span&, const span&) = default;
  };
  std::optional<span> range;           // nothing: "*", none of the ranges could be given (416)
  std::optional<std::uint64_t> total;  // the size of the whole; nothing: "*", unknown
  friend bool operator==(const content_range&, const content_range&) = default;
};

/// Reads "bytes 0-499/1234", "bytes 0-499/*" or "bytes */1234". Nothing for other units and for
/// what makes no sense: an end before the start or past the total, a number beyond 64 bits.
[[nodiscard]] ONELOOP_API std::optional<content_range> parse_content_range(
    std::string_view text) noexcept;

/// Is it an entity tag, "..." in quotes and not W/"...", that stands for the very same bytes?
[[nodiscard]] ONELOOP_API bool is_strong_etag(std::string_view text) noexcept;

/// What can go into If-Range to get the rest of that response only if it is still the same: its
/// strong ETag; without any ETag its Last-Modified, if that is a date at least a second before its
/// Date. Empty: there is nothing of the kind, so a range must not be joined to what there is.
[[nodiscard]] ONELOOP_API std::string strong_validator(const headers& fields);

/// The first bytes of a body whose rest is wanted.
struct partial_content {
  std::uint64_t received = 0;          // bytes at hand, from the first one on
  std::optional<std::uint64_t> total;  // of the whole, if known
  std::string validator;               // strong_validator() of the response they came with

  /// What the answer to ask() means.
  enum class outcome : std::uint8_t {
    append,    // the body goes on where the bytes at hand end
    restart,   // the body is the whole, from its start: forget what is at hand
    complete,  // nothing is missing: what is at hand is the whole
    refused,   // none of these: an error, or a range that was not asked for
  };

  /// Can it be asked for at all? Not without a validator, nor before the first byte.
  [[nodiscard]] bool resumable() const noexcept { return received > 0 && !validator.empty(); }
  /// Sets Range and If-Range in the fields of a GET. Unless it is resumable, removes them.
  ONELOOP_API void ask(headers& request) const;
  /// What a response with this status and these fields is. A 206 must start exactly at `received`,
  /// have the same total and no other validator.
  [[nodiscard]] ONELOOP_API outcome answer(int status, const headers& fields) const;
};

}  // namespace oneloop::inline v0::http
