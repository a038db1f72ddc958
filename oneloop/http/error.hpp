// What can go wrong with an HTTP exchange, sorted into a dozen kinds.
//
//     try {
//       auto r = co_await client.get("http://127.0.0.1:1/");
//     } catch (const oneloop::http::http_error& e) {
//       log(to_string(e.kind()), e.phase(), e.what());
//       // "refused", "connect", "connect 127.0.0.1:1: Connection refused"
//     }
//
// A failure of this process and not of the exchange (no descriptor or memory left, a rule of the
// API broken) stays the oneloop::error that it was. `cancelled` is never made an error.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <system_error>
#include <utility>

#include "oneloop/base/config.hpp"
#include "oneloop/base/error.hpp"

namespace oneloop::inline v0::http {

struct request_history;  // client.hpp

/// What kind of failure it is. Their names are part of the output of tools: they never change.
enum class error_kind : std::uint8_t {
  bad_url,      // not a URL, or one that HTTP cannot fetch
  dns,          // the name has no address, or nobody could tell
  refused,      // nobody listens there
  unreachable,  // no way to get there
  reset,        // the connection broke before an answer, or was reset
  tls,          // the handshake failed; a certificate is not to be trusted
  timeout,      // a phase took longer than it may; phase() tells which
  protocol,     // not HTTP, or not all of what was promised
  redirect,     // a redirect that leads nowhere, in a circle, or one too many
  too_large,    // more than a limit allows
  status,       // the server said no (response::expect_success)
  proxy,        // the proxy would not, or is none
  forbidden,    // the address is one that must not be asked (client_options::exclude_private)
  cancelled,    // for reports of work that was given up; never thrown
  missing,      // for reports of files: it is not there, or cannot be read; never thrown
};

/// "bad_url", "dns" and so on.
[[nodiscard]] ONELOOP_API std::string_view to_string(error_kind kind) noexcept;

/// An exchange failed. The code is that of the cause, where there is one.
class ONELOOP_API http_error : public error {
 public:
  /// `phase` must be a literal: "url", "dns", "connect", "proxy", "tls", "write", "first_byte",
  /// "head", "body", "stall", "total", "redirect" or "status".
  http_error(error_kind kind, std::string_view phase, std::error_code code,
             std::string_view message);
  ~http_error() override;
  http_error(const http_error&) noexcept = default;
  http_error& operator=(const http_error&) noexcept = default;

  [[nodiscard]] error_kind kind() const noexcept { return kind_; }
  /// What was under way. For a timeout: which limit it was.
  [[nodiscard]] std::string_view phase() const noexcept { return phase_; }
  /// What the request had come to by then, if a client sent it; else null.
  [[nodiscard]] const request_history* history() const noexcept { return history_.get(); }
  void history(std::shared_ptr<const request_history> h) noexcept { history_ = std::move(h); }

 private:
  error_kind kind_;
  std::string_view phase_;
  std::shared_ptr<const request_history> history_;
};

}  // namespace oneloop::inline v0::http
