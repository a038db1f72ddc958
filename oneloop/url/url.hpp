// URLs as browsers read them: the WHATWG URL Standard. Parse, resolve against a base, serialise.
//
// A url is always valid and normalised: equal resources written differently ("HTTP://a:80/./b" and
// "http://a/b") give equal urls. Nothing here does I/O or waits.
//
//     auto page = oneloop::url::parse("https://Example.org/docs/?q#top").value();
//     auto link = page.resolve("../a b.html").value();
//     assert(link.href() == "https://example.org/a%20b.html");
//     assert(link.host_header() == "example.org" && link.request_target() == "/a%20b.html");
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "oneloop/base/config.hpp"

namespace oneloop::inline v0 {

/// Why a text is not a URL. As std::error_code these have messages for people.
enum class url_errc {
  too_long = 1,    // more than url::max_input bytes, or a result of more than url::max_href
  relative,        // no scheme, and no base to resolve against
  opaque_base,     // relative, and the base ("mailto:x") has no place for it
  missing_host,    // "http://" and nothing
  invalid_port,    // not a number up to 65535
  invalid_host,    // a character that no host may have
  invalid_ipv4,    // ends in a number, but is no IPv4 address
  invalid_ipv6,    // no IPv6 address between the brackets
  invalid_domain,  // refused by IDNA (UTS #46)
};

ONELOOP_API const std::error_category& url_category() noexcept;
ONELOOP_API std::error_code make_error_code(url_errc e) noexcept;

/// What kind of host a URL has.
enum class host_kind : std::uint8_t {
  none,    // no host at all: "mailto:x"
  empty,   // "file:///x"
  domain,  // a name in its ASCII form: "xn--bcher-kva.example"
  ipv4,    // "127.0.0.1"
  ipv6,    // "[::1]", with its brackets
  opaque,  // the host of a scheme that browsers do not know, as it was written
};

/// A parsed, normalised URL. A value: copies are independent. Views returned by its members live as
/// long as the url is neither assigned to nor destroyed.
///
/// Cost: one string for everything and 64 bytes; parsing a typical http URL takes a few hundred ns.
class ONELOOP_API url {
 public:
  /// Bytes that parse() accepts at most, and bytes that a result can have at most.
  static constexpr std::size_t max_input = 64 * 1024;
  static constexpr std::size_t max_href = 256 * 1024;

  /// Reads `input` (UTF-8; broken sequences count as U+FFFD), relative to `base` if there is one.
  /// White space and control characters around it, tabs and newlines inside it are ignored.
  static std::expected<url, std::error_code> parse(std::string_view input,
                                                   const url* base = nullptr);

  /// What a link written as `reference` in a document at this URL leads to.
  [[nodiscard]] std::expected<url, std::error_code> resolve(std::string_view reference) const {
    return parse(reference, this);
  }

  /// The whole URL.
  [[nodiscard]] const std::string& href() const& noexcept { return href_; }
  [[nodiscard]] std::string href() && noexcept { return std::move(href_); }
  /// The whole URL without user name and password: for messages and logs.
  [[nodiscard]] std::string display() const;

  /// "https": lower case, no colon.
  [[nodiscard]] std::string_view scheme() const noexcept { return part(scheme_); }
  /// Percent-encoded, as they stand in the URL; empty if there are none.
  [[nodiscard]] std::string_view username() const noexcept { return part(username_); }
  [[nodiscard]] std::string_view password() const noexcept { return part(password_); }
  [[nodiscard]] bool has_credentials() const noexcept {
    return username_.size + password_.size != 0;
  }
  /// Host without port; brackets around IPv6. Empty if there is none.
  [[nodiscard]] std::string_view host() const noexcept { return part(host_); }
  [[nodiscard]] host_kind kind_of_host() const noexcept { return host_kind_; }
  /// The port that is written; nothing if it is the scheme's default.
  [[nodiscard]] std::optional<std::uint16_t> port() const noexcept { return port_; }
  /// The port to connect to: the written one, else the scheme's default, else nothing.
  [[nodiscard]] std::optional<std::uint16_t> effective_port() const noexcept;
  /// "/a/b", or the whole rest of a URL such as "mailto:me@example.org".
  [[nodiscard]] std::string_view path() const noexcept { return part(path_); }
  /// Without "?" and "#". Nothing is different from empty: "/a" and "/a?".
  [[nodiscard]] std::optional<std::string_view> query() const noexcept;
  [[nodiscard]] std::optional<std::string_view> fragment() const noexcept;

  /// Its path is a plain text, not segments: nothing can be relative to it.
  [[nodiscard]] bool has_opaque_path() const noexcept { return opaque_path_; }
  /// http, https, ws, wss, ftp or file.
  [[nodiscard]] bool is_special() const noexcept { return special_; }
  [[nodiscard]] bool is_http() const noexcept { return scheme() == "http" || scheme() == "https"; }

  /// "https://example.org:8443": scheme, host and port; "null" where there is no such thing.
  [[nodiscard]] std::string origin() const;
  /// What an HTTP request asks for: path and query, never empty.
  [[nodiscard]] std::string request_target() const;
  /// What a Host header says: the host, and the port unless it is the default.
  [[nodiscard]] std::string host_header() const;
  /// The same URL without its fragment: what a fetch is for, and what makes two links one.
  [[nodiscard]] url without_fragment() const;

  friend bool operator==(const url& a, const url& b) noexcept { return a.href_ == b.href_; }
  friend auto operator<=>(const url& a, const url& b) noexcept { return a.href_ <=> b.href_; }

 private:
  friend class url_parser;
  struct range {
    std::uint32_t begin = 0;
    std::uint32_t size = 0;
  };
  url() = default;
  [[nodiscard]] std::string_view part(range r) const noexcept {
    return {href_.data() + r.begin, r.size};
  }

  std::string href_;
  range scheme_, username_, password_, host_, path_, query_, fragment_;
  std::optional<std::uint16_t> port_;
  host_kind host_kind_ = host_kind::none;
  bool has_query_ = false;
  bool has_fragment_ = false;
  bool opaque_path_ = false;
  bool special_ = false;
};

/// The percent-encode sets of the standard: which bytes are written as %XX. All of them include
/// control characters and everything that is not ASCII.
enum class percent_set : std::uint8_t {
  c0_control,
  fragment,       // and space " < > `
  query,          // and space " # < >
  special_query,  // query and '
  path,           // query and ? ^ ` { }
  userinfo,       // path and / : ; = @ [ \ ] |
  component,      // userinfo and $ % & + ,  (encodeURIComponent)
  form,           // component and ! ' ( ) ~  (application/x-www-form-urlencoded, but for space)
};

/// `text` with the bytes of `set` written as %XX.
ONELOOP_API std::string percent_encode(std::string_view text, percent_set set);
/// `text` with every %XX replaced by its byte; a % without two hex digits stays.
ONELOOP_API std::string percent_decode(std::string_view text);

/// A host name in the ASCII form that the net uses: IDNA as browsers do it (UTS #46,
/// non-transitional), lower case. Errors: url_errc::invalid_domain, invalid_host.
ONELOOP_API std::expected<std::string, std::error_code> domain_to_ascii(std::string_view name);

}  // namespace oneloop::inline v0

template <>
struct std::is_error_code_enum<oneloop::url_errc> : std::true_type {};

template <>
struct std::hash<oneloop::url> {
  std::size_t operator()(const oneloop::url& u) const noexcept {
    return std::hash<std::string_view>{}(u.href());
  }
};
