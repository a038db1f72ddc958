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

/// Removes what another origin must not be told.
void remove_credentials(headers& fields) noexcept;

/// Where we have been: to notice circles.
class redirect_trail {
 public:
  explicit redirect_trail(int most) noexcept : most_{most} {}
  /// Throws http_error (redirect) if this is one too many, or one that was asked for before.
  void follow(int status, const url& from, const url& to, std::string_view method);
  [[nodiscard]] std::vector<redirect>& steps() noexcept { return steps_; }

 private:
  int most_;
  std::vector<redirect> steps_;
  std::vector<std::string> asked_;  // "GET http://a/" without fragment
};

}  // namespace oneloop::inline v0::http::detail
