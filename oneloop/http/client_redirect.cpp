#include <algorithm>

#include "oneloop/http/client_redirect_internal.hpp"

namespace oneloop::inline v0::http::detail {
namespace {

[[noreturn]] void fail(const std::string& text, std::error_code code = errc::protocol) {
  throw http_error{error_kind::redirect, "redirect", code, text};
}

/// What a server wrote, short and printable.
std::string quoted(std::string_view text) {
  std::string shown = "\"";
  for (const char c : text.substr(0, 200)) {
    shown += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  }
  return shown + (text.size() > 200 ? "...\"" : "\"");
}

}  // namespace

std::optional<url> redirect_target(int status, const headers& fields, const url& from) {
  if (status != 301 && status != 302 && status != 303 && status != 307 && status != 308) return {};
  const std::string where = "redirect from " + from.display();
  std::optional<std::string_view> location;
  try {
    location = fields.single("Location");
  } catch (const error& e) {
    fail(where + ": " + e.what(), e.code());
  }
  if (!location) return {};
  auto to = from.resolve(*location);
  if (!to) fail(where + " to " + quoted(*location) + ": " + to.error().message(), to.error());
  if (!to->is_http()) {
    fail(where + " to " + quoted(to->display()) + ": only http and https are followed");
  }
  if (from.fragment() && !to->fragment()) {
    to = url::parse(to->href() + "#" + std::string{*from.fragment()});
    if (!to) fail(where + ": " + to.error().message(), to.error());
  }
  return *std::move(to);
}

std::string redirected_method(int status, const std::string& method) {
  const bool becomes_get =
      (status == 303 && method != "HEAD") || ((status == 301 || status == 302) && method == "POST");
  return becomes_get ? "GET" : method;
}

bool same_origin(const url& a, const url& b) { return a.origin() == b.origin(); }

void remove_credentials(headers& fields) noexcept {
  for (const char* name : {"Authorization", "Cookie", "Proxy-Authorization", "Host"}) {
    fields.remove(name);
  }
}

void redirect_trail::follow(int status, const url& from, const url& to, std::string_view method) {
  if (steps_.size() >= static_cast<std::size_t>(std::max(most_, 0))) {
    fail("more than " + std::to_string(most_) + " redirects", errc::limit_exceeded);
  }
  auto name_of = [](std::string_view m, const url& u) {
    return std::string{m} + " " + u.without_fragment().href();
  };
  if (asked_.empty()) asked_.push_back(name_of(method, from));
  std::string next = name_of(redirected_method(status, std::string{method}), to);
  if (std::ranges::find(asked_, next) != asked_.end()) {
    fail("redirect loop at " + to.without_fragment().display());
  }
  asked_.push_back(std::move(next));
  steps_.push_back({status, from, to});
}

}  // namespace oneloop::inline v0::http::detail
