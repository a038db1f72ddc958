#include "oneloop/http/proxy.hpp"

#include <cstdlib>
#include <string>

#include "oneloop/http/error.hpp"
#include "oneloop/http/message.hpp"
#include "oneloop/net/address.hpp"

namespace oneloop::inline v0::http {
namespace {

constexpr std::string_view separators = ", \t\r\n";

[[noreturn]] void refuse(std::string_view where, std::string_view shown, std::error_code code,
                         std::string_view why) {
  std::string text{where};
  text.append("bad proxy URL \"").append(shown).append("\": ").append(why);
  throw http_error{error_kind::bad_url, "url", code, text};
}

/// socks5 is no scheme that browsers know: its host and port are brought into the form that those
/// of http have.
url normalised(const url& u, std::string_view where) {
  std::string host{u.host()};
  if (u.kind_of_host() == host_kind::opaque) {
    auto ascii = domain_to_ascii(percent_decode(host));
    if (!ascii) refuse(where, u.display(), ascii.error(), ascii.error().message());
    host = *std::move(ascii);
  }
  std::string text{u.scheme()};
  text += "://";
  if (u.has_credentials()) {
    text.append(u.username()).append(":").append(u.password()).append("@");
  }
  text.append(host).append(":").append(std::to_string(u.port().value_or(1080)));
  return url::parse(text).value();
}

/// `where`: what messages begin with, "https_proxy: ".
url proxy_url(std::string_view given, std::string_view where = {}) {
  const auto parsed = url::parse(given.find("://") != given.npos ? std::string{given}
                                                                 : "http://" + std::string{given});
  // A text that cannot be parsed may hold a password: what stands before the last '@' is not shown.
  if (!parsed) {
    refuse(where, given.substr(given.rfind('@') + 1), parsed.error(), parsed.error().message());
  }
  const url& u = *parsed;
  const bool socks = u.scheme() == "socks5" || u.scheme() == "socks5h";
  if (!u.is_http() && !socks) {
    refuse(where, u.display(), errc::protocol, "neither http, https, socks5 nor socks5h");
  }
  if (u.host().empty()) refuse(where, u.display(), url_errc::missing_host, "no host");
  if (u.path().size() > 1 || u.query() || u.fragment()) {
    refuse(where, u.display(), errc::protocol, "more than a host and a port");
  }
  return socks ? normalised(u, where) : u;
}

/// The first of these variables that is set and not empty.
std::optional<url> from_variables(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const char* const value = std::getenv(name);
    if (value != nullptr && *value != '\0') return proxy_url(value, std::string{name} + ": ");
  }
  return {};
}

std::string_view without_brackets(std::string_view host) noexcept {
  return host.starts_with('[') && host.ends_with(']') ? host.substr(1, host.size() - 2) : host;
}

std::string_view without_dot(std::string_view host) noexcept {
  return host.ends_with('.') ? host.substr(0, host.size() - 1) : host;
}

/// An entry of the list of exceptions: what it is for, and the port if it has one.
struct exception_entry {
  std::string_view host;
  std::string_view port;

  explicit exception_entry(std::string_view text) noexcept : host{text} {
    const auto colon = text.rfind(':');
    if (colon == text.npos) return;
    // An IPv6 address needs brackets, or it has no port.
    if (text.find(':') != colon && text[colon - 1] != ']') return;
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
  }
};

bool names_host(std::string_view entry, const url& to) {
  if (entry == "*") return true;
  entry = without_brackets(entry);
  const auto address = net::ip_address::parse(without_brackets(to.host()));
  if (address) {
    const auto range = net::ip_network::parse(entry);
    return range && range->contains(*address);
  }
  if (entry.starts_with("*.")) entry.remove_prefix(1);
  if (entry.starts_with('.')) entry.remove_prefix(1);
  const auto domain = domain_to_ascii(without_dot(entry));
  if (!domain || domain->empty()) return false;
  const std::string_view host = without_dot(to.host());
  if (!host.ends_with(*domain)) return false;
  return host.size() == domain->size() || host[host.size() - domain->size() - 1] == '.';
}

}  // namespace

proxy_rules::proxy_rules() = default;
proxy_rules::~proxy_rules() = default;
proxy_rules::proxy_rules(const proxy_rules&) = default;
proxy_rules::proxy_rules(proxy_rules&&) noexcept = default;
proxy_rules& proxy_rules::operator=(const proxy_rules&) = default;
proxy_rules& proxy_rules::operator=(proxy_rules&&) noexcept = default;

proxy_rules proxy_rules::all(std::string_view proxy) {
  proxy_rules r;
  r.https_ = r.http_ = proxy_url(proxy);
  return r;
}

proxy_rules proxy_rules::from_environment() {
  proxy_rules r;
  r.http_ = from_variables({"http_proxy", "all_proxy", "ALL_PROXY"});
  r.https_ = from_variables({"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"});
  for (const char* name : {"no_proxy", "NO_PROXY"}) {
    const char* const list = std::getenv(name);
    if (list == nullptr || *list == '\0') continue;
    r.except(list);
    break;
  }
  return r;
}

proxy_rules& proxy_rules::except(std::string_view list) {
  while (true) {
    const auto begin = list.find_first_not_of(separators);
    if (begin == list.npos) return *this;
    const auto end = std::min(list.find_first_of(separators, begin), list.size());
    except_.emplace_back(list.substr(begin, end - begin));
    list.remove_prefix(end);
  }
}

std::optional<url> proxy_rules::for_url(const url& to) const {
  const auto& proxy = to.scheme() == "https" ? https_ : http_;
  if (!proxy) return {};
  const std::string port = std::to_string(to.effective_port().value_or(0));
  for (const std::string& text : except_) {
    const exception_entry entry{text};
    if ((entry.port.empty() || entry.port == port) && names_host(entry.host, to)) return {};
  }
  return proxy;
}

}  // namespace oneloop::inline v0::http
