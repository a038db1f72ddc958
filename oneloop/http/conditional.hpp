// Asking whether something is still as it was: ETag and Last-Modified, If-None-Match and
// If-Modified-Since, 304 (RFC 9110, 8.8 and 13).
//
//     auto seen = oneloop::http::validators::of(first.fields());
//     oneloop::http::request again{"GET", first.final_url()};
//     seen.ask(again.fields());
//     auto r = co_await client.send(again);
//     if (r.status() == 304) use(what_was_kept);             // else r is the new state
#pragma once

#include <string>

#include "oneloop/base/config.hpp"
#include "oneloop/http/message.hpp"

namespace oneloop::inline v0::http {

/// What a response said about its state. A value; kept beside what was made of the response.
struct validators {
  std::string etag;           // as it came, strong or weak; empty: none
  std::string last_modified;  // as it came; empty: none

  /// Of a response with these fields. A field that is there twice, differently, does not count.
  [[nodiscard]] ONELOOP_API static validators of(const headers& response);
  /// Is there anything to ask by?
  [[nodiscard]] explicit operator bool() const noexcept {
    return !etag.empty() || !last_modified.empty();
  }
  /// Makes a GET or HEAD conditional: 304 means that nothing has changed. Replaces If-None-Match
  /// and If-Modified-Since; without validators it removes them.
  ONELOOP_API void ask(headers& request) const;
  friend bool operator==(const validators&, const validators&) = default;
};

}  // namespace oneloop::inline v0::http
