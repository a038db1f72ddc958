#include "oneloop/url/url.hpp"

#include <unicode/uidna.h>
#include <unicode/utf8.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>
#include <vector>

namespace oneloop::inline v0 {
namespace {

using result_string = std::expected<std::string, std::error_code>;

std::unexpected<std::error_code> fail(url_errc e) { return std::unexpected{make_error_code(e)}; }

// ---- characters ----

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
constexpr bool is_alpha(char c) { return is_upper(c) || (c >= 'a' && c <= 'z'); }
constexpr bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}
constexpr unsigned hex_value(char c) {
  return static_cast<unsigned>(is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
}
constexpr char to_lower(char c) { return is_upper(c) ? static_cast<char>(c + 32) : c; }
std::string lower(std::string_view s) {
  std::string r{s};
  std::ranges::transform(r, r.begin(), to_lower);
  return r;
}

/// Which sets a byte is in, and which hosts it may not be in: one table for all.
constexpr unsigned bit(percent_set s) { return 1U << static_cast<unsigned>(s); }
constexpr unsigned forbidden_host = 1U << 8, forbidden_domain = 1U << 9;
constexpr unsigned ends_piece = 1U << 10, ends_special_piece = 1U << 11;  // of host or path
constexpr unsigned ignored_inside = 1U << 12, not_ascii = 1U << 13, uppercase = 1U << 14;

constexpr std::array<std::uint16_t, 256> character_table = [] {
  std::array<std::uint16_t, 256> t{};
  auto add = [&t](std::string_view chars, unsigned bits) {
    for (char c : chars) t[static_cast<unsigned char>(c)] |= static_cast<std::uint16_t>(bits);
  };
  using enum percent_set;
  const unsigned form_up = bit(form), component_up = form_up | bit(component),
                 userinfo_up = component_up | bit(userinfo), path_up = userinfo_up | bit(path),
                 query_up = path_up | bit(query) | bit(special_query);
  for (unsigned c = 0; c < 256; ++c) {
    if (c < 0x20 || c > 0x7e)
      t[c] |= static_cast<std::uint16_t>(query_up | bit(fragment) | bit(c0_control));
    if (c < 0x20 || c == 0x7f || c == '%') t[c] |= forbidden_domain;
  }
  add(" \"<>`", bit(fragment));
  add(" \"#<>", query_up);
  add("'", bit(special_query));
  add("?^`{}", path_up);
  add("/:;=@[\\]|", userinfo_up);
  add("$%&+,", component_up);
  add("!'()~", form_up);
  for (unsigned c = 0x80; c < 256; ++c) t[c] |= not_ascii;
  for (unsigned c = 'A'; c <= 'Z'; ++c) t[c] |= uppercase;
  add("/?#", ends_piece | ends_special_piece);
  add("\\", ends_special_piece);
  add("\t\n\r", ignored_inside);
  add(std::string_view{"\0\t\n\r #/:<>?@[\\]^|", 17}, forbidden_host | forbidden_domain);
  return t;
}();

bool in_table(char c, unsigned bits) {
  return (character_table[static_cast<unsigned char>(c)] & bits) != 0;
}

/// All the table's bits of all characters.
unsigned properties(std::string_view s) {
  unsigned bits = 0;
  for (char c : s) bits |= character_table[static_cast<unsigned char>(c)];
  return bits;
}

/// The first position from `from` on whose character has one of `bits`, or the end.
std::size_t find_in_table(std::string_view s, std::size_t from, unsigned bits) {
  while (from < s.size() && !in_table(s[from], bits)) ++from;
  return std::min(from, s.size());
}

void append_encoded(std::string& out, std::string_view text, percent_set set) {
  static constexpr char digits[] = "0123456789ABCDEF";
  const unsigned mask = bit(set);
  std::size_t done = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (!in_table(text[i], mask)) continue;
    const auto byte = static_cast<unsigned char>(text[i]);
    out.append(text, done, i - done);
    const char code[3] = {'%', digits[byte >> 4], digits[byte & 15]};
    out.append(code, 3);
    done = i + 1;
  }
  out.append(text, done);
}

/// Length of the well-formed UTF-8 sequence at the start of `s`, or 0; then `*bad` bytes of it are
/// one broken sequence.
std::size_t utf8_length(std::string_view s, std::size_t* bad) {
  auto at = [&](std::size_t i) { return i < s.size() ? static_cast<unsigned char>(s[i]) : 0U; };
  const unsigned lead = at(0);
  unsigned low = 0x80, high = 0xbf;
  std::size_t length = 0;
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) {
    length = 2;
  } else if (lead >= 0xe0 && lead <= 0xef) {
    length = 3;
    if (lead == 0xe0) low = 0xa0;
    if (lead == 0xed) high = 0x9f;
  } else if (lead >= 0xf0 && lead <= 0xf4) {
    length = 4;
    if (lead == 0xf0) low = 0x90;
    if (lead == 0xf4) high = 0x8f;
  }
  *bad = 1;
  for (std::size_t i = 1; i < length; ++i, low = 0x80, high = 0xbf) {
    if (at(i) < low || at(i) > high) return 0;
    *bad = i + 1;
  }
  return length;
}

/// Replaces broken sequences by U+FFFD, as the standard's decoder does.
std::string repaired_utf8(std::string_view s) {
  std::string out;
  while (!s.empty()) {
    std::size_t bad = 0;
    const std::size_t good = utf8_length(s, &bad);
    if (good == 0) {
      out += "\xef\xbf\xbd";
    } else {
      out.append(s, 0, good);
    }
    s.remove_prefix(good == 0 ? bad : good);
  }
  return out;
}

// ---- schemes ----

struct special_scheme {
  std::string_view name;
  std::uint16_t port;
};
constexpr special_scheme special_schemes[] = {{"http", 80}, {"https", 443}, {"ws", 80},
                                              {"wss", 443}, {"ftp", 21},    {"file", 0}};

const special_scheme* find_special(std::string_view scheme) {
  const auto* i = std::ranges::find(special_schemes, scheme, &special_scheme::name);
  return i == std::end(special_schemes) ? nullptr : i;
}

// ---- hosts ----

struct parsed_host {
  std::string text;
  host_kind kind = host_kind::none;
};

/// A number of an IPv4 address: decimal, 0x.. or 0..; nothing if it is none. Stops at 2^32.
std::optional<std::uint64_t> ipv4_number(std::string_view s) {
  if (s.empty()) return std::nullopt;
  unsigned radix = 10;
  if (s.size() >= 2 && s[0] == '0' && (s[1] | 0x20) == 'x') {
    radix = 16;
    s.remove_prefix(2);
  } else if (s.size() >= 2 && s[0] == '0') {
    radix = 8;
    s.remove_prefix(1);
  }
  std::uint64_t value = 0;
  for (char c : s) {
    if (!is_hex(c) || hex_value(c) >= radix) return std::nullopt;
    value = std::min<std::uint64_t>(value * radix + hex_value(c), std::uint64_t{1} << 32);
  }
  return value;
}

bool ends_in_number(std::string_view host) {
  if (host.ends_with('.')) host.remove_suffix(1);
  const std::string_view last = host.substr(host.rfind('.') + 1);
  if (last.empty()) return false;
  return std::ranges::all_of(last, is_digit) || ipv4_number(last).has_value();
}

std::expected<parsed_host, std::error_code> parse_ipv4(std::string_view s) {
  if (s.ends_with('.')) s.remove_suffix(1);
  std::uint64_t numbers[4];
  std::size_t count = 0;
  for (;; ++count) {
    if (count == 4) return fail(url_errc::invalid_ipv4);
    const std::size_t dot = s.find('.');
    const auto n = ipv4_number(s.substr(0, dot));
    if (!n) return fail(url_errc::invalid_ipv4);
    numbers[count] = *n;
    if (dot == s.npos) break;
    s.remove_prefix(dot + 1);
  }
  // The last number fills what the others have left; `count` is its index.
  std::uint64_t address = numbers[count];
  if (address >= std::uint64_t{1} << (8 * (4 - count))) return fail(url_errc::invalid_ipv4);
  for (std::size_t i = 0; i < count; ++i) {
    if (numbers[i] > 255) return fail(url_errc::invalid_ipv4);
    address += numbers[i] << (8 * (3 - i));
  }
  std::array<char, 15> text{};  // "255.255.255.255"
  char* end = text.data();
  for (int shift = 24; shift >= 0; shift -= 8) {
    end = std::to_chars(end, text.data() + text.size(), address >> shift & 255).ptr;
    if (shift != 0) *end++ = '.';
  }
  return parsed_host{{text.data(), end}, host_kind::ipv4};
}

using ipv6_pieces = std::array<std::uint16_t, 8>;

std::string ipv6_text(const ipv6_pieces& pieces) {
  std::size_t zeros_at = 8, zeros = 1;  // the first longest run of two or more zeros
  for (std::size_t i = 0; i < 8;) {
    std::size_t n = i;
    while (n < 8 && pieces[n] == 0) ++n;
    if (n - i > zeros) {
      zeros_at = i;
      zeros = n - i;
    }
    i = std::max(n, i + 1);
  }
  std::string text = "[";
  for (std::size_t i = 0; i < 8; ++i) {
    if (i == zeros_at) {
      text += i == 0 ? "::" : ":";
      i += zeros - 1;
      continue;
    }
    bool leading = true;
    for (int shift = 12; shift >= 0; shift -= 4) {
      const unsigned digit = static_cast<unsigned>(pieces[i]) >> shift & 15U;
      if (leading && digit == 0 && shift != 0) continue;
      leading = false;
      text += "0123456789abcdef"[digit];
    }
    if (i != 7) text += ':';
  }
  return text += ']';
}

std::expected<parsed_host, std::error_code> parse_ipv6(std::string_view s) {
  const auto bad = fail(url_errc::invalid_ipv6);
  ipv6_pieces pieces{};
  std::size_t count = 0, compress = 9, p = 0;
  auto at = [&](std::size_t i) { return i < s.size() ? s[i] : '\0'; };
  if (at(0) == ':') {
    if (at(1) != ':') return bad;
    p = 2;
    compress = ++count;
  }
  while (p < s.size()) {
    if (count == 8) return bad;
    if (s[p] == ':') {
      if (compress != 9) return bad;
      ++p;
      compress = ++count;
      continue;
    }
    unsigned value = 0;
    std::size_t length = 0;
    for (; length < 4 && p < s.size() && is_hex(s[p]); ++length, ++p) {
      value = value * 16 + hex_value(s[p]);
    }
    if (at(p) == '.') {
      if (length == 0 || count > 6) return bad;
      p -= length;
      int seen = 0;
      while (p < s.size()) {
        if (seen > 0) {
          if (s[p] != '.' || seen == 4) return bad;
          ++p;
        }
        if (!is_digit(at(p))) return bad;
        unsigned number = 0;
        const std::size_t first = p;
        for (; is_digit(at(p)); ++p) {
          if (p > first && number == 0) return bad;  // a leading zero
          number = number * 10 + hex_value(s[p]);
          if (number > 255) return bad;
        }
        pieces[count] = static_cast<std::uint16_t>(pieces[count] * 256 + number);
        ++seen;
        if (seen == 2 || seen == 4) ++count;
      }
      if (seen != 4) return bad;
      break;
    }
    if (at(p) == ':') {
      if (++p == s.size()) return bad;
    } else if (p < s.size()) {
      return bad;
    }
    pieces[count++] = static_cast<std::uint16_t>(value);
  }
  if (compress != 9) {
    std::size_t swaps = count - compress;
    for (std::size_t i = 7; i != 0 && swaps > 0; --i, --swaps) {
      std::swap(pieces[i], pieces[compress + swaps - 1]);
    }
  } else if (count != 8) {
    return bad;
  }
  return parsed_host{ipv6_text(pieces), host_kind::ipv6};
}

const UIDNA* idna() {
  // Never closed: it may be in use while static objects die. Safe for several threads.
  static const UIDNA* instance = [] {
    UErrorCode status = U_ZERO_ERROR;
    const UIDNA* i =
        uidna_openUTS46(UIDNA_CHECK_BIDI | UIDNA_CHECK_CONTEXTJ | UIDNA_NONTRANSITIONAL_TO_ASCII |
                            UIDNA_NONTRANSITIONAL_TO_UNICODE,
                        &status);
    return U_SUCCESS(status) ? i : nullptr;
  }();
  return instance;
}

/// What UTS #46 maps since Unicode 16 and older data (ICU 72's) refuses or maps otherwise. Done
/// before ICU, it changes nothing for one whose data is newer. `to`: of `first`; 0: left out.
struct idna_change {
  char32_t first, last, to;
};
constexpr idna_change idna_changes[] = {
    {0x04c0, 0x04c0, 0x04cf},    // Cyrillic palochka
    {0x10a0, 0x10c5, 0x2d00},    // Georgian capitals
    {0x10c7, 0x10c7, 0x2d27},    //
    {0x10cd, 0x10cd, 0x2d2d},    //
    {0x115f, 0x1160, 0},         // Hangul fillers
    {0x17b4, 0x17b5, 0},         // Khmer inherent vowels
    {0x180e, 0x180e, 0},         // Mongolian vowel separator
    {0x1e9e, 0x1e9e, 0x00df},    // capital sharp s
    {0x2061, 0x2064, 0},         // invisible operators
    {0x206a, 0x206f, 0},         // deprecated format characters
    {0x2132, 0x2132, 0x214e},    // turned F
    {0x2183, 0x2183, 0x2184},    // reversed C
    {0x3164, 0x3164, 0},         // Hangul filler
    {0xffa0, 0xffa0, 0},         // and its half width
    {0x1d173, 0x1d17a, 0},       // musical format characters
    {0x2f868, 0x2f868, 0x36fc},  // CJK compatibility ideographs (Corrigendum 4)
    {0x2f874, 0x2f874, 0x5f53},  //
    {0x2f91f, 0x2f91f, 0x243ab}, {0x2f95f, 0x2f95f, 0x7aee}, {0x2f9bf, 0x2f9bf, 0x45d7},
};

/// `name` (UTF-8) with these changes made.
std::string with_newer_mappings(std::string_view name) {
  std::string out;
  out.reserve(name.size());
  for (std::size_t i = 0; i < name.size();) {
    std::size_t bad = 0;
    const std::size_t length = std::max<std::size_t>(utf8_length(name.substr(i), &bad), 1);
    const std::string_view whole = name.substr(i, length);
    i += length;
    UChar32 c = 0;
    std::int32_t at = 0;
    U8_NEXT_OR_FFFD(whole.data(), at, static_cast<std::int32_t>(length), c);
    const auto code = static_cast<char32_t>(c);
    const auto* const change = std::ranges::find_if(
        idna_changes, [code](const idna_change& k) { return code >= k.first && code <= k.last; });
    if (change == std::end(idna_changes)) {
      out += whole;
    } else if (change->to != 0) {
      char text[U8_MAX_LENGTH];
      std::int32_t size = 0;
      U8_APPEND_UNSAFE(text, size, static_cast<UChar32>(change->to + (code - change->first)));
      out.append(text, static_cast<std::size_t>(size));
    }
  }
  return out;
}

/// UTS #46 by ICU, with the errors that the URL standard does not count left out: hyphens
/// (CheckHyphens is false) and lengths (VerifyDnsLength is false).
result_string idna_to_ascii(std::string_view written) {
  constexpr std::uint32_t ignored = UIDNA_ERROR_EMPTY_LABEL | UIDNA_ERROR_LABEL_TOO_LONG |
                                    UIDNA_ERROR_DOMAIN_NAME_TOO_LONG | UIDNA_ERROR_LEADING_HYPHEN |
                                    UIDNA_ERROR_TRAILING_HYPHEN | UIDNA_ERROR_HYPHEN_3_4;
  if (idna() == nullptr) return fail(url_errc::invalid_domain);
  const std::string name = with_newer_mappings(written);
  std::string out;
  out.resize(name.size() * 4 + 64);
  for (;;) {
    UErrorCode status = U_ZERO_ERROR;
    UIDNAInfo info = UIDNA_INFO_INITIALIZER;
    const std::int32_t length =
        uidna_nameToASCII_UTF8(idna(), name.data(), static_cast<std::int32_t>(name.size()),
                               out.data(), static_cast<std::int32_t>(out.size()), &info, &status);
    if (status == U_BUFFER_OVERFLOW_ERROR) {
      out.resize(static_cast<std::size_t>(length));
      continue;
    }
    if (U_FAILURE(status) || (info.errors & ~ignored) != 0) return fail(url_errc::invalid_domain);
    out.resize(static_cast<std::size_t>(length));
    return out;
  }
}

std::expected<parsed_host, std::error_code> parse_domain(std::string_view s) {
  std::string text;
  if (s.find('%') != s.npos) {
    text = percent_decode(s);
    if ((properties(text) & not_ascii) != 0) text = repaired_utf8(text);
    s = text;
  }
  auto ascii = domain_to_ascii(s);
  if (!ascii) return std::unexpected{ascii.error()};
  if (ends_in_number(*ascii)) return parse_ipv4(*ascii);
  return parsed_host{std::move(*ascii), host_kind::domain};
}

std::expected<parsed_host, std::error_code> parse_host(std::string_view s, bool special) {
  if (s.starts_with('[')) {
    if (!s.ends_with(']')) return fail(url_errc::invalid_ipv6);
    return parse_ipv6(s.substr(1, s.size() - 2));
  }
  if (special) return parse_domain(s);
  if ((properties(s) & forbidden_host) != 0) return fail(url_errc::invalid_host);
  parsed_host h{{}, s.empty() ? host_kind::empty : host_kind::opaque};
  append_encoded(h.text, s, percent_set::c0_control);
  return h;
}

// ---- paths ----

bool is_drive_letter(std::string_view s) {
  return s.size() == 2 && is_alpha(s[0]) && (s[1] == ':' || s[1] == '|');
}
bool is_normalized_drive_letter(std::string_view s) { return is_drive_letter(s) && s[1] == ':'; }

bool starts_with_drive_letter(std::string_view s) {
  return s.size() >= 2 && is_drive_letter(s.substr(0, 2)) &&
         (s.size() == 2 || std::string_view{"/\\?#"}.find(s[2]) != std::string_view::npos);
}

/// How many dots a segment is, "%2e" counting as one; 0 if it is something else.
int dots(std::string_view s) {
  int n = 0;
  while (!s.empty()) {
    if (s[0] == '.') {
      s.remove_prefix(1);
    } else if (s.size() >= 3 && s[0] == '%' && s[1] == '2' && (s[2] | 0x20) == 'e') {
      s.remove_prefix(3);
    } else {
      return 0;
    }
    if (++n > 2) return 0;
  }
  return n;
}

class category final : public std::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "url"; }
  [[nodiscard]] std::string message(int value) const override {
    switch (static_cast<url_errc>(value)) {
      case url_errc::too_long: return "the URL is too long";
      case url_errc::relative: return "the URL has no scheme and there is no base";
      case url_errc::opaque_base: return "the URL is relative, but its base cannot be a base";
      case url_errc::missing_host: return "the URL has no host";
      case url_errc::invalid_port: return "the port is not a number from 0 to 65535";
      case url_errc::invalid_host: return "the host has a character that no host may have";
      case url_errc::invalid_ipv4: return "the host ends in a number but is not an IPv4 address";
      case url_errc::invalid_ipv6: return "the host in brackets is not an IPv6 address";
      case url_errc::invalid_domain: return "the host is not a valid international domain name";
    }
    return "unknown URL error";
  }
};

}  // namespace

const std::error_category& url_category() noexcept {
  static const auto& instance = *new category;
  return instance;
}

std::error_code make_error_code(url_errc e) noexcept {
  return {static_cast<int>(e), url_category()};
}

std::string percent_encode(std::string_view text, percent_set set) {
  std::string out;
  append_encoded(out, text, set);
  return out;
}

std::string percent_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && is_hex(text[i + 1]) && is_hex(text[i + 2])) {
      out += static_cast<char>(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::expected<std::string, std::error_code> domain_to_ascii(std::string_view name) {
  std::string ascii;
  unsigned found = properties(name);
  if ((found & not_ascii) == 0) {
    // The standard stops here, also where a label starts with "xn--".
    ascii = (found & uppercase) == 0 ? std::string{name} : lower(name);
  } else {
    auto converted = idna_to_ascii(name);
    if (!converted) return converted;
    ascii = std::move(*converted);
    found = properties(ascii);
  }
  if (ascii.empty()) return fail(url_errc::missing_host);
  if ((found & forbidden_domain) != 0) return fail(url_errc::invalid_host);
  return ascii;
}

/// The standard's basic URL parser, one member function a state (or a few that belong together). It
/// collects the parts and writes the URL down once, at the end.
class url_parser {
 public:
  url_parser(std::string_view input, const url* base) : in_{input}, base_{base} {}

  std::expected<url, std::error_code> run() {
    if (const auto e = scheme_start(); e != url_errc{}) return fail(e);
    return assemble();
  }

 private:
  static constexpr url_errc ok{};

  [[nodiscard]] char at(std::size_t i) const { return i < in_.size() ? in_[i] : '\0'; }
  [[nodiscard]] bool at_end() const { return p_ >= in_.size(); }
  [[nodiscard]] bool is_separator(char c) const { return c == '/' || (special_ && c == '\\'); }
  /// One of / \ ? # (the backslash for special schemes only), or the end.
  [[nodiscard]] std::size_t end_of_piece(std::size_t from) const {
    return find_in_table(in_, from, special_ ? ends_special_piece : ends_piece);
  }

  void set_scheme(std::string_view s) {
    scheme_ = s;
    const special_scheme* known = find_special(scheme_);
    special_ = known != nullptr;
    default_port_ = known != nullptr ? known->port : 0;
  }

  void copy_authority() {
    username_ = base_->username();
    password_ = base_->password();
    host_ = {std::string{base_->host()}, base_->kind_of_host()};
    port_ = base_->port();
  }
  void copy_query() { query_ = base_->query(); }

  url_errc scheme_start() {
    if (is_alpha(at(0))) {
      std::size_t i = 1;
      auto in_scheme = [](char c) {
        return is_alpha(c) || is_digit(c) || c == '+' || c == '-' || c == '.';
      };
      while (in_scheme(at(i))) ++i;
      if (at(i) == ':') {
        p_ = i + 1;
        set_scheme(lower(in_.substr(0, i)));
        return after_scheme();
      }
    }
    return no_scheme();
  }

  url_errc after_scheme() {
    if (scheme_ == "file") return file();
    const bool slashes = at(p_) == '/' && at(p_ + 1) == '/';
    if (special_) {
      if (base_ != nullptr && base_->scheme() == scheme_ && !slashes) return relative();
      return special_authority();
    }
    if (slashes) {
      p_ += 2;
      return authority();
    }
    if (at(p_) == '/') return path();
    return opaque_path();
  }

  url_errc no_scheme() {
    if (base_ == nullptr) return url_errc::relative;
    if (base_->has_opaque_path()) {
      if (at(0) != '#') return url_errc::opaque_base;
      set_scheme(base_->scheme());
      path_ = base_->path();
      opaque_ = true;
      copy_query();
      return fragment();
    }
    set_scheme(base_->scheme());
    return scheme_ == "file" ? file() : relative();
  }

  url_errc relative() {
    if (is_separator(at(p_))) {
      ++p_;
      if (is_separator(at(p_))) {
        ++p_;
        return special_ ? special_authority() : authority();
      }
      copy_authority();
      return path_segments();
    }
    copy_authority();
    path_ = base_->path();
    if (at_end()) {
      copy_query();
      return ok;
    }
    if (at(p_) == '?') return query();
    if (at(p_) == '#') {
      copy_query();
      return fragment();
    }
    shorten();
    return path_segments();
  }

  url_errc special_authority() {
    while (at(p_) == '/' || at(p_) == '\\') ++p_;
    return authority();
  }

  url_errc authority() {
    const std::size_t end = end_of_piece(p_);
    std::string_view text = in_.substr(p_, end - p_);
    p_ = end;
    if (const std::size_t sign = text.rfind('@'); sign != text.npos) {
      const std::string_view user = text.substr(0, sign);
      text.remove_prefix(sign + 1);
      if (text.empty()) return url_errc::missing_host;
      const std::size_t colon = std::min(user.find(':'), user.size());
      append_encoded(username_, user.substr(0, colon), percent_set::userinfo);
      if (colon < user.size()) {
        append_encoded(password_, user.substr(colon + 1), percent_set::userinfo);
      }
    }
    std::size_t colon = text.size();
    bool brackets = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '[') brackets = true;
      if (text[i] == ']') brackets = false;
      if (text[i] == ':' && !brackets) {
        colon = i;
        break;
      }
    }
    const std::string_view name = text.substr(0, colon);
    if (name.empty() && (special_ || colon < text.size())) return url_errc::missing_host;
    auto h = parse_host(name, special_);
    if (!h) return static_cast<url_errc>(h.error().value());
    host_ = std::move(*h);
    if (colon < text.size()) {
      if (const auto e = read_port(text.substr(colon + 1)); e != ok) return e;
    }
    return path();
  }

  url_errc read_port(std::string_view digits) {
    std::uint32_t value = 0;
    for (char c : digits) {
      if (!is_digit(c)) return url_errc::invalid_port;
      value = value * 10 + hex_value(c);
      if (value > 65535) return url_errc::invalid_port;
    }
    if (!digits.empty() && !(special_ && value == default_port_)) {
      port_ = static_cast<std::uint16_t>(value);
    }
    return ok;
  }

  url_errc file() {
    set_scheme("file");
    host_.kind = host_kind::empty;
    const bool relative_to_file = base_ != nullptr && base_->scheme() == "file";
    if (is_separator(at(p_))) {
      ++p_;
      if (is_separator(at(p_))) {
        ++p_;
        return file_host();
      }
      if (relative_to_file) {
        host_ = {std::string{base_->host()}, base_->kind_of_host()};
        const std::string_view first = base_->path().substr(0, 3);
        if (!starts_with_drive_letter(in_.substr(p_)) && first.size() == 3 &&
            is_normalized_drive_letter(first.substr(1)) &&
            (base_->path().size() == 3 || base_->path()[3] == '/')) {
          path_ = first;
        }
      }
      return path_segments();
    }
    if (!relative_to_file) return path_segments();
    host_ = {std::string{base_->host()}, base_->kind_of_host()};
    path_ = base_->path();
    if (at_end()) {
      copy_query();
      return ok;
    }
    if (at(p_) == '?') return query();
    if (at(p_) == '#') {
      copy_query();
      return fragment();
    }
    if (starts_with_drive_letter(in_.substr(p_))) {
      path_.clear();
    } else {
      shorten();
    }
    return path_segments();
  }

  url_errc file_host() {
    const std::size_t end = end_of_piece(p_);
    const std::string_view name = in_.substr(p_, end - p_);
    if (is_drive_letter(name)) return path_segments();  // "file://c:/x": no host, but a path
    p_ = end;
    if (name.empty()) return path();
    auto h = parse_host(name, special_);
    if (!h) return static_cast<url_errc>(h.error().value());
    host_ = std::move(*h);
    if (host_.text == "localhost") host_ = {{}, host_kind::empty};
    return path();
  }

  /// Path start: at the first separator, or where there is no path.
  url_errc path() {
    if (special_) {
      if (is_separator(at(p_))) ++p_;
      return path_segments();
    }
    if (at(p_) == '?' && !at_end()) return query();
    if (at(p_) == '#') return fragment();
    if (at_end()) return ok;
    if (at(p_) == '/') ++p_;
    return path_segments();
  }

  void shorten() {
    const std::string_view p{path_};
    if (scheme_ == "file" && p.size() == 3 && is_normalized_drive_letter(p.substr(1))) return;
    const std::size_t slash = path_.rfind('/');
    path_.resize(slash == path_.npos ? 0 : slash);
  }

  url_errc path_segments() {
    for (;;) {
      const std::size_t end = end_of_piece(p_);
      const std::string_view segment = in_.substr(p_, end - p_);
      p_ = end;
      const bool more = !at_end() && is_separator(in_[p_]);
      const int n = dots(segment);
      if (n == 2) shorten();
      if (n != 0) {
        if (!more) path_ += '/';
      } else {
        if (scheme_ == "file" && path_.empty() && is_drive_letter(segment)) {
          path_.append({'/', segment[0], ':'});
        } else {
          path_ += '/';
          append_encoded(path_, segment, percent_set::path);
        }
      }
      if (!more) break;
      ++p_;
    }
    if (at_end()) return ok;
    return in_[p_] == '?' ? query() : fragment();
  }

  url_errc opaque_path() {
    opaque_ = true;
    const std::size_t end = std::min(in_.find_first_of("?#", p_), in_.size());
    append_encoded(path_, in_.substr(p_, end - p_), percent_set::c0_control);
    p_ = end;
    if (at_end()) return ok;
    if (path_.ends_with(' ')) path_.replace(path_.size() - 1, 1, "%20");
    return in_[p_] == '?' ? query() : fragment();
  }

  url_errc query() {
    const std::size_t end = std::min(in_.find('#', ++p_), in_.size());
    append_encoded(query_.emplace(), in_.substr(p_, end - p_),
                   special_ ? percent_set::special_query : percent_set::query);
    p_ = end;
    return at_end() ? ok : fragment();
  }

  url_errc fragment() {
    append_encoded(fragment_.emplace(), in_.substr(p_ + 1), percent_set::fragment);
    return ok;
  }

  std::expected<url, std::error_code> assemble() {
    url u;
    std::string& out = u.href_;
    out.reserve(scheme_.size() + username_.size() + password_.size() + host_.text.size() +
                path_.size() + (query_ ? query_->size() : 0) + (fragment_ ? fragment_->size() : 0) +
                16);
    auto add = [&out](std::string_view text) {
      const url::range r{static_cast<std::uint32_t>(out.size()),
                         static_cast<std::uint32_t>(text.size())};
      out += text;
      return r;
    };
    u.scheme_ = add(scheme_);
    out += ':';
    if (host_.kind != host_kind::none) {
      out += "//";
      u.username_ = add(username_);
      if (!password_.empty()) {
        out += ':';
        u.password_ = add(password_);
      }
      if (u.has_credentials()) out += '@';
      u.host_ = add(host_.text);
      if (port_) out.append(":").append(std::to_string(*port_));
    } else if (!opaque_ && path_.starts_with("//")) {
      out += "/.";  // else the path would read as a host
    }
    u.path_ = add(path_);
    if (query_) {
      out += '?';
      u.query_ = add(*query_);
    }
    if (fragment_) {
      out += '#';
      u.fragment_ = add(*fragment_);
    }
    if (out.size() > url::max_href) return fail(url_errc::too_long);
    u.port_ = port_;
    u.host_kind_ = host_.kind;
    u.has_query_ = query_.has_value();
    u.has_fragment_ = fragment_.has_value();
    u.opaque_path_ = opaque_;
    u.special_ = special_;
    return u;
  }

  std::string_view in_;
  const url* base_;
  std::size_t p_ = 0;
  std::string scheme_, username_, password_, path_;
  parsed_host host_;
  std::optional<std::uint16_t> port_;
  std::optional<std::string> query_, fragment_;
  std::uint16_t default_port_ = 0;
  bool opaque_ = false;
  bool special_ = false;
};

std::expected<url, std::error_code> url::parse(std::string_view input, const url* base) {
  if (input.size() > max_input) return fail(url_errc::too_long);
  auto is_space = [](char c) { return static_cast<unsigned char>(c) <= 0x20; };
  while (!input.empty() && is_space(input.front())) input.remove_prefix(1);
  while (!input.empty() && is_space(input.back())) input.remove_suffix(1);
  std::string changed;
  const unsigned found = properties(input);
  if ((found & not_ascii) != 0) input = changed = repaired_utf8(input);
  if ((found & ignored_inside) != 0) {
    std::string without;
    std::ranges::copy_if(input, std::back_inserter(without),
                         [](char c) { return c != '\t' && c != '\n' && c != '\r'; });
    input = changed = std::move(without);
  }
  return url_parser{input, base}.run();
}

std::string url::display() const {
  if (!has_credentials()) return href_;
  return href_.substr(0, username_.begin) + href_.substr(host_.begin);
}

std::optional<std::uint16_t> url::effective_port() const noexcept {
  if (port_) return port_;
  const special_scheme* known = find_special(scheme());
  if (known == nullptr || known->port == 0) return std::nullopt;
  return known->port;
}

std::optional<std::string_view> url::query() const noexcept {
  if (!has_query_) return std::nullopt;
  return part(query_);
}

std::optional<std::string_view> url::fragment() const noexcept {
  if (!has_fragment_) return std::nullopt;
  return part(fragment_);
}

std::string url::origin() const {
  if (scheme() == "blob") {
    const auto inner = parse(path());
    return inner && inner->is_http() ? inner->origin() : "null";
  }
  if (!special_ || scheme() == "file") return "null";
  return std::string{scheme()} + "://" + host_header();
}

std::string url::request_target() const {
  const std::size_t end = has_query_ ? query_.begin + query_.size : path_.begin + path_.size;
  std::string target{href_, path_.begin, end - path_.begin};
  if (path_.size == 0) target.insert(0, "/");
  return target;
}

std::string url::host_header() const {
  return {href_, host_.begin, port_ ? path_.begin - host_.begin : host_.size};
}

url url::without_fragment() const {
  url u = *this;
  if (has_fragment_) {
    u.href_.resize(fragment_.begin - 1);
    u.fragment_ = {};
    u.has_fragment_ = false;
  }
  return u;
}

}  // namespace oneloop::inline v0
