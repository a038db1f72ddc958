#include <algorithm>
#include <array>

#include "oneloop/http/client_redirect_internal.hpp"

namespace oneloop::inline v0::http::detail {
namespace {

[[noreturn]] void fail(const std::string& text, std::error_code code = errc::protocol) {
  throw http_error{error_kind::redirect, "redirect", code, text};
}

/// What a server wrote, short and printable.
std::string quoted(std::string_view location) {
  const std::string text = without_userinfo(location);
  std::string shown = "\"";
  for (const char c : std::string_view{text}.substr(0, 200)) {
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

bool may_cross_origins(std::string_view name) noexcept {
  static constexpr std::array<std::string_view, 12> harmless{"Accept",
                                                             "Accept-Encoding",
                                                             "Accept-Language",
                                                             "User-Agent",
                                                             "Cache-Control",
                                                             "Pragma",
                                                             "Range",
                                                             "If-Match",
                                                             "If-None-Match",
                                                             "If-Modified-Since",
                                                             "If-Unmodified-Since",
                                                             "If-Range"};
  return std::ranges::any_of(harmless, [&](auto h) { return equal_ignoring_case(h, name); });
}

void remove_private(headers& fields, bool with_body) {
  static constexpr std::array<std::string_view, 4> of_body{
      "Content-Type", "Content-Encoding", "Content-Language", "Content-Disposition"};
  headers kept;
  for (const field f : fields) {
    const bool goes_along =
        may_cross_origins(f.name) || (with_body && std::ranges::any_of(of_body, [&](auto name) {
                                        return equal_ignoring_case(name, f.name);
                                      }));
    if (goes_along) kept.add(f.name, f.value);
  }
  fields = std::move(kept);
}

void remove_content(headers& fields) {
  headers kept;
  for (const field f : fields) {
    const bool about_content = equal_ignoring_case(f.name.substr(0, 8), "Content-") ||
                               equal_ignoring_case(f.name, "Digest") ||
                               equal_ignoring_case(f.name, "Repr-Digest");
    if (!about_content) kept.add(f.name, f.value);
  }
  fields = std::move(kept);
}

std::string without_userinfo(std::string_view text) {
  const std::size_t scheme = text.find_first_of(":/\\");
  const std::size_t begin = text.find_first_not_of(":/\\", scheme);
  if (scheme == text.npos || begin == text.npos) return std::string{text};
  // "mailto:x@y" has no authority; "http:x@y" has one all the same.
  if (text[begin - 1] == ':' && !equal_ignoring_case(text.substr(0, 4), "http")) {
    return std::string{text};
  }
  const std::string_view authority =
      text.substr(begin, std::min(text.find_first_of("/\\?#", begin), text.size()) - begin);
  const std::size_t at = authority.rfind('@');
  if (at == authority.npos) return std::string{text};
  return std::string{text.substr(0, begin)}.append(text.substr(begin + at + 1));
}

void redirect_trail::ask(std::string_view method, const url& target, std::string_view cookies) {
  std::string name{method};
  name.append(" ").append(target.without_fragment().href()).append(" ").append(cookies);
  if (std::ranges::find(asked_, name) != asked_.end()) {
    fail("redirect loop at " + target.without_fragment().display());
  }
  asked_.push_back(std::move(name));
}

void redirect_trail::follow(redirect step) {
  if (steps_.size() >= static_cast<std::size_t>(std::max(most_, 0))) {
    fail("more than " + std::to_string(most_) + " redirects", errc::limit_exceeded);
  }
  steps_.push_back(std::move(step));
}

}  // namespace oneloop::inline v0::http::detail
