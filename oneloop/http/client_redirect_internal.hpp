// Where a redirect leads. No I/O. Internal to http/.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "oneloop/base/config.hpp"
#include "oneloop/http/client.hpp"
#include "oneloop/http/message.hpp"
#include "oneloop/url/url.hpp"

namespace oneloop::inline v0::http::detail {

/// Where the response to a request for `from` sends us: nothing if it is no redirect (another
/// status, or no Location). The fragment of `from` goes along unless there is a new one. Throws
/// http_error (redirect) if the Location is no URL that can be fetched.
[[nodiscard]] std::optional<url> redirect_target(int status, const headers& fields,
                                                 const url& from);

/// The method of the request after a redirect: 303, and POST after 301 and 302, become GET.
[[nodiscard]] std::string redirected_method(int status, const std::string& method);

/// Two URLs lead to the same scheme, host and port.
[[nodiscard]] bool same_origin(const url& a, const url& b);

/// May another origin be told this field? True for the few that say nothing secret: see request.
[[nodiscard]] bool may_cross_origins(std::string_view name) noexcept;

/// Removes what another origin must not be told; `with_body`: the body goes along.
void remove_private(headers& fields, bool with_body);

/// Removes the fields that are about a body.
void remove_content(headers& fields);

/// A text that may be a URL, without user name and password: for messages.
[[nodiscard]] std::string without_userinfo(std::string_view text);

/// Where we have been: to notice circles.
class redirect_trail {
 public:
  explicit redirect_trail(int most) noexcept : most_{most} {}
  /// This will be asked for, with these cookies. Throws http_error (redirect) if it was before.
  void ask(std::string_view method, const url& target, std::string_view cookies);
  /// The last request has to be made again.
  void forget_last() noexcept {
    if (!asked_.empty()) asked_.pop_back();
  }
  /// Throws http_error (redirect) if this is one too many.
  void follow(redirect step);
  [[nodiscard]] std::vector<redirect>& steps() noexcept { return steps_; }

 private:
  int most_;
  std::vector<redirect> steps_;
  std::vector<std::string> asked_;  // "GET http://a/ a=1": without fragment, with cookies
};

}  // namespace oneloop::inline v0::http::detail
