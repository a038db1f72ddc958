#include "oneloop/http/cookies.hpp"

#include <libpsl.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <functional>
#include <limits>
#include <mutex>
#include <system_error>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "oneloop/base/error.hpp"
#include "oneloop/http/text_internal.hpp"
#include "oneloop/net/address.hpp"

namespace oneloop::inline v0::http {
namespace {

using detail::is_digit;
using detail::lower;
using detail::trimmed;
using std::chrono::seconds;

std::string lowered(std::string_view s) {
  std::string out{s};
  std::ranges::transform(out, out.begin(), lower);
  return out;
}

/// Cuts `s` at the first `c`: what is before it; `s` becomes what is behind it.
std::string_view cut(std::string_view& s, char c) noexcept {
  const std::size_t at = std::min(s.find(c), s.size());
  const std::string_view before = s.substr(0, at);
  s.remove_prefix(std::min(at + 1, s.size()));
  return before;
}

bool starts_ignoring_case(std::string_view s, std::string_view prefix) noexcept {
  return equal_ignoring_case(s.substr(0, prefix.size()), prefix);
}

// ---- dates (RFC 6265, 5.1.1)
// ---------------------------------------------------------------------

/// Takes one or two digits: a part of the time.
bool take_time_field(std::string_view& s, int& value) noexcept {
  std::size_t n = 0;
  value = 0;
  while (n < s.size() && n < 2 && is_digit(s[n])) value = value * 10 + (s[n++] - '0');
  s.remove_prefix(n);
  return n > 0 && (s.empty() || !is_digit(s[0]));
}

/// A number at the start of a token, of as many digits as said and no more.
std::optional<int> leading_number(std::string_view s, std::size_t least,
                                  std::size_t most) noexcept {
  std::size_t n = 0;
  int value = 0;
  while (n < s.size() && n <= most && is_digit(s[n])) value = value * 10 + (s[n++] - '0');
  return n >= least && n <= most ? std::optional{value} : std::nullopt;
}

std::optional<seconds> clock_time(std::string_view s) noexcept {
  std::array<int, 3> part{};
  for (std::size_t i = 0; i < part.size(); ++i) {
    if (i > 0 && cut(s, ':') != "") return {};
    if (!take_time_field(s, part[i])) return {};
    if (i < 2 && !s.starts_with(':')) return {};
  }
  const auto [h, m, sec] = part;
  // Out of range is not "no time", as the first token that looks like one is the time.
  if (h > 23 || m > 59 || sec > 59) return seconds{-1};
  return std::chrono::hours{h} + std::chrono::minutes{m} + seconds{sec};
}

std::optional<unsigned> month_of(std::string_view s) noexcept {
  static constexpr std::string_view names = "janfebmaraprmayjunjulaugsepoctnovdec";
  for (unsigned i = 0; s.size() >= 3 && i < 12; ++i) {
    if (equal_ignoring_case(s.substr(0, 3), names.substr(std::size_t{3} * i, 3))) return i + 1;
  }
  return {};
}

bool is_delimiter(char c) noexcept {
  const auto u = static_cast<unsigned char>(c);
  return u == 0x09 || (u >= 0x20 && u <= 0x2f) || (u >= 0x3b && u <= 0x40) ||
         (u >= 0x5b && u <= 0x60) || (u >= 0x7b && u <= 0x7e);
}

// ---- hosts and paths
// ---------------------------------------------------------------------------------

/// The host of `u`; nothing if it has none that could have cookies.
std::optional<std::string_view> host_of(const url& u) noexcept {
  const bool web = u.is_http() || u.scheme() == "ws" || u.scheme() == "wss";
  return web ? std::optional{u.host()} : std::nullopt;
}

bool is_address(const url& u) noexcept { return u.kind_of_host() != host_kind::domain; }

bool is_secure(const url& u) noexcept {
  if (u.scheme() == "https" || u.scheme() == "wss") return true;
  std::string_view host = u.host();
  if (u.kind_of_host() == host_kind::domain) {
    return host == "localhost" || host.ends_with(".localhost");
  }
  if (u.kind_of_host() == host_kind::ipv6) host = host.substr(1, host.size() - 2);
  const auto address = net::ip_address::parse(host);
  return address && address->is_loopback();
}

/// Is `host` the domain, or below it? Not for an address, which has nothing below it.
bool domain_match(std::string_view host, std::string_view domain) noexcept {
  if (host == domain) return true;
  return host.size() > domain.size() && host.ends_with(domain) &&
         host[host.size() - domain.size() - 1] == '.';
}

bool path_match(std::string_view path, std::string_view cookie_path) noexcept {
  if (!path.starts_with(cookie_path)) return false;
  return path.size() == cookie_path.size() || cookie_path.ends_with('/') ||
         path[cookie_path.size()] == '/';
}

/// The folder of a URL's path.
std::string default_path(const url& u) {
  const std::string_view path = u.path();
  const auto slash = path.rfind('/');
  return slash == path.npos || slash == 0 ? "/" : std::string{path.substr(0, slash)};
}

bool is_public_suffix(const std::string& domain) noexcept {
  // The system's list if that is newer than the library's own; read once.
  static const psl_ctx_t* const list = [] {
    const psl_ctx_t* newest = psl_latest(nullptr);
    return newest != nullptr ? newest : psl_builtin();
  }();
  return psl_is_public_suffix(list, domain.c_str()) != 0;
}

// ---- Set-Cookie
// ------------------------------------------------------------------------------------

/// A Set-Cookie field, taken apart.
struct set_cookie_line {
  std::string_view name;
  std::string_view value;
  std::string_view domain;
  std::string_view path;
  std::optional<std::int64_t> max_age;  // seconds
  std::optional<wall_time> expires;
  bool secure = false;
  bool http_only = false;
};

bool has_controls(std::string_view s) noexcept {
  return std::ranges::any_of(s, [](char c) {
    const auto u = static_cast<unsigned char>(c);
    return (u < 0x20 && u != '\t') || u == 0x7f;
  });
}

/// Seconds, saturated; nothing if it is no whole number.
std::optional<std::int64_t> parse_max_age(std::string_view s) noexcept {
  std::int64_t n = 0;
  const auto [end, e] = std::from_chars(s.data(), s.data() + s.size(), n);
  if (e == std::errc::invalid_argument || end != s.data() + s.size()) return {};
  if (e == std::errc::result_out_of_range) {
    return s.starts_with('-') ? -1 : std::numeric_limits<std::int64_t>::max();
  }
  return n;
}

std::optional<set_cookie_line> parse_set_cookie(std::string_view text) noexcept {
  if (has_controls(text)) return {};
  set_cookie_line line;
  const std::string_view pair = cut(text, ';');
  const auto equals = pair.find('=');
  if (equals != pair.npos) line.name = trimmed(pair.substr(0, equals));
  line.value = trimmed(equals == pair.npos ? pair : pair.substr(equals + 1));
  if (line.name.empty() && line.value.empty()) return {};
  if (line.name.size() + line.value.size() > cookie_jar::max_pair) return {};

  while (!text.empty()) {
    std::string_view value = cut(text, ';');
    const std::string_view name = trimmed(cut(value, '='));
    value = trimmed(value);
    if (value.size() > cookie_jar::max_attribute) continue;
    const auto is = [name](std::string_view n) { return equal_ignoring_case(name, n); };
    if (is("Expires")) {
      if (const auto t = parse_cookie_date(value)) line.expires = t;
    } else if (is("Max-Age")) {
      if (const auto n = parse_max_age(value)) line.max_age = n;
    } else if (is("Domain")) {
      line.domain = value.starts_with('.') ? value.substr(1) : value;
    } else if (is("Path")) {
      line.path = value;
    } else if (is("Secure")) {
      line.secure = true;
    } else if (is("HttpOnly")) {
      line.http_only = true;
    }
  }
  return line;
}

/// Do names with a promise in them keep it?
bool keeps_promise(const set_cookie_line& line, const cookie& c) noexcept {
  // A cookie without a name is sent as its value: there the value would look like a name.
  const std::string_view name = line.name.empty() ? line.value : line.name;
  const bool host = starts_ignoring_case(name, "__Host-");
  const bool secure = starts_ignoring_case(name, "__Secure-");
  if (!host && !secure) return true;
  if (line.name.empty() || !c.secure) return false;
  return secure || (c.host_only && line.path == "/");
}

struct string_hash : std::hash<std::string_view> {
  using is_transparent = void;
};

}  // namespace

std::optional<wall_time> parse_cookie_date(std::string_view text) noexcept {
  std::optional<seconds> time;
  std::optional<int> day;
  std::optional<unsigned> month;
  std::optional<int> year;
  while (!text.empty()) {
    std::size_t n = 0;
    while (n < text.size() && !is_delimiter(text[n])) ++n;
    const std::string_view token = text.substr(0, n);
    text.remove_prefix(std::min(n + 1, text.size()));
    // Each part is the first token that looks like it and is not taken by one before it.
    if (!time && (time = clock_time(token))) continue;
    if (!day && (day = leading_number(token, 1, 2))) continue;
    if (!month && (month = month_of(token))) continue;
    if (!year) year = leading_number(token, 2, 4);
  }
  if (!time || !day || !month || !year) return {};
  if (*year <= 69) {
    *year += 2000;
  } else if (*year <= 99) {
    *year += 1900;
  }
  const std::chrono::year_month_day date{std::chrono::year{*year}, std::chrono::month{*month},
                                         std::chrono::day{static_cast<unsigned>(*day)}};
  if (*time < seconds::zero() || *year < 1601 || !date.ok()) return {};
  return std::chrono::sys_days{date} + *time;
}

struct cookie_jar::impl {
  mutable std::mutex mutex;  // guards all of it
  struct entry : cookie {
    std::uint64_t created = 0;  // counters and not times: a second has many cookies
    std::uint64_t used = 0;
  };
  using entries = std::vector<entry>;

  static bool expired(const cookie& c, wall_time now) noexcept {
    return c.expires && *c.expires <= now;
  }

  /// Adds `c`, in place of the one with the same name, domain, path and host-only flag.
  void put(cookie c, wall_time now) {
    entries& list = domains[c.domain];
    const auto same = std::ranges::find_if(list, [&](const entry& e) {
      return e.name == c.name && e.path == c.path && e.host_only == c.host_only;
    });
    const bool dead = expired(c, now);
    if (same != list.end()) {
      if (dead) {
        list.erase(same);
        --count;
      } else {
        static_cast<cookie&>(*same) = std::move(c);
        same->used = ++ticks;
      }
    } else if (!dead) {
      list.push_back({std::move(c), ++ticks, ticks});
      ++count;
      make_room(list, now);
    }
    if (list.empty()) std::erase_if(domains, [](const auto& d) { return d.second.empty(); });
  }

  void drop_expired(entries& list, wall_time now) {
    count -= std::erase_if(list, [now](const entry& e) { return expired(e, now); });
  }

  /// `list` has grown by one.
  void make_room(entries& list, wall_time now) {
    if (list.size() > max_per_domain) {
      drop_expired(list, now);
      while (list.size() > max_per_domain) {
        list.erase(std::ranges::min_element(
            list, {}, [](const entry& e) { return std::tuple{e.secure, e.used}; }));
        --count;
      }
    }
    if (count <= max_cookies) return;
    for (auto& [domain, others] : domains) drop_expired(others, now);
    while (count > max_cookies) {
      entries* home = nullptr;
      entries::iterator oldest;
      for (auto& [domain, others] : domains) {
        const auto first = std::ranges::min_element(others, {}, &entry::used);
        if (first != others.end() && (home == nullptr || first->used < oldest->used)) {
          home = &others;
          oldest = first;
        }
      }
      home->erase(oldest);
      --count;
    }
    std::erase_if(domains, [&](const auto& d) { return d.second.empty() && &d.second != &list; });
  }

  /// May a connection that is not secure set `c`? Not if a Secure cookie would be lost behind it.
  [[nodiscard]] bool would_hide_secure(const cookie& c) const {
    return std::ranges::any_of(domains, [&](const auto& d) {
      if (!domain_match(d.first, c.domain) && !domain_match(c.domain, d.first)) return false;
      return std::ranges::any_of(d.second, [&](const entry& e) {
        return e.secure && e.name == c.name && path_match(c.path, e.path);
      });
    });
  }

  std::unordered_map<std::string, entries, string_hash, std::equal_to<>> domains;
  std::size_t count = 0;
  std::uint64_t ticks = 0;
};

cookie_jar::cookie_jar() : impl_{std::make_unique<impl>()} {}
cookie_jar::~cookie_jar() = default;
cookie_jar::cookie_jar(cookie_jar&&) noexcept = default;
cookie_jar& cookie_jar::operator=(cookie_jar&&) noexcept = default;

void cookie_jar::store(const url& from, const headers& fields, wall_time now) {
  for (const auto f : fields) {
    if (equal_ignoring_case(f.name, "Set-Cookie")) set(from, f.value, now);
  }
}

bool cookie_jar::set(const url& from, std::string_view set_cookie, wall_time now) {
  const auto host = host_of(from);
  const auto line = parse_set_cookie(set_cookie);
  if (!host || !line) return false;

  cookie c;
  c.name = line->name;
  c.value = line->value;
  if (line->max_age) {
    const wall_time latest = now + max_lifetime;
    c.expires = *line->max_age <= 0                       ? wall_time::min()
                : *line->max_age < (latest - now).count() ? now + seconds{*line->max_age}
                                                          : latest;
  } else if (line->expires) {
    c.expires = std::min<wall_time>(*line->expires, now + max_lifetime);
  }

  c.domain = lowered(line->domain);
  if (!std::ranges::all_of(c.domain,
                           [](char ch) { return static_cast<unsigned char>(ch) < 0x80; })) {
    return false;
  }
  if (!c.domain.empty() && is_public_suffix(c.domain)) {
    if (c.domain != *host) return false;
    c.domain.clear();
  }
  if (c.domain.empty()) {
    c.domain = *host;
  } else {
    if (is_address(from) ? c.domain != *host : !domain_match(*host, c.domain)) return false;
    c.host_only = false;
  }

  c.path = line->path.starts_with('/') ? std::string{line->path} : default_path(from);
  c.secure = line->secure;
  c.http_only = line->http_only;
  const std::scoped_lock hold{impl_->mutex};
  if (!is_secure(from) && (c.secure || impl_->would_hide_secure(c))) return false;
  if (!keeps_promise(*line, c)) return false;
  impl_->put(std::move(c), now);
  return true;
}

std::string cookie_jar::header_for(const url& to, wall_time now) {
  const auto host = host_of(to);
  if (!host) return {};
  const bool secure = is_secure(to);
  const std::scoped_lock hold{impl_->mutex};
  std::vector<impl::entry*> found;
  std::string_view domain = *host;
  while (!domain.empty()) {
    if (const auto d = impl_->domains.find(domain); d != impl_->domains.end()) {
      for (impl::entry& e : d->second) {
        if (e.host_only && domain.size() != host->size()) continue;
        if (e.secure && !secure) continue;
        if (impl::expired(e, now) || !path_match(to.path(), e.path)) continue;
        found.push_back(&e);
      }
    }
    // To the domain above; an address has none.
    if (is_address(to)) break;
    cut(domain, '.');
  }
  std::ranges::sort(found, [](const impl::entry* a, const impl::entry* b) {
    if (a->path.size() != b->path.size()) return a->path.size() > b->path.size();
    return a->created < b->created;
  });
  std::string out;
  for (impl::entry* e : found) {
    if (out.size() + e->name.size() + e->value.size() + 3 > max_header) break;
    e->used = ++impl_->ticks;
    if (!out.empty()) out += "; ";
    if (!e->name.empty()) out.append(e->name) += '=';
    out += e->value;
  }
  return out;
}

std::size_t cookie_jar::size() const noexcept {
  const std::scoped_lock hold{impl_->mutex};
  return impl_->count;
}

void cookie_jar::clear() noexcept {
  const std::scoped_lock hold{impl_->mutex};
  impl_->domains.clear();
  impl_->count = 0;
}

std::vector<cookie> cookie_jar::all() const {
  const std::scoped_lock hold{impl_->mutex};
  std::vector<const impl::entry*> found;
  for (const auto& [domain, list] : impl_->domains) {
    for (const impl::entry& e : list) found.push_back(&e);
  }
  std::ranges::sort(found, {}, &impl::entry::created);
  std::vector<cookie> out;
  out.reserve(found.size());
  for (const impl::entry* e : found) out.push_back(*e);
  return out;
}

void cookie_jar::load(std::string_view text, wall_time now) {
  std::vector<cookie> loaded;
  for (std::size_t number = 1; !text.empty(); ++number) {
    std::string_view line = cut(text, '\n');
    if (line.ends_with('\r')) line.remove_suffix(1);
    const auto wrong = [number](std::string_view why) {
      throw error{std::make_error_code(std::errc::invalid_argument),
                  "cookies, line " + std::to_string(number) + ": " + std::string{why}};
    };
    cookie c;
    constexpr std::string_view http_only = "#HttpOnly_";
    if (line.starts_with(http_only)) {
      c.http_only = true;
      line.remove_prefix(http_only.size());
    } else if (line.starts_with('#')) {
      continue;
    }
    if (trimmed(line).empty()) continue;

    if (std::ranges::count(line, '\t') < 6) wrong("not seven fields with tabs between them");
    if (has_controls(line)) wrong("a control character");
    std::string_view domain = cut(line, '\t');
    c.host_only = !equal_ignoring_case(cut(line, '\t'), "TRUE");
    if (!c.host_only && domain.starts_with('.')) domain.remove_prefix(1);
    c.domain = lowered(domain);
    c.path = cut(line, '\t');
    c.secure = equal_ignoring_case(cut(line, '\t'), "TRUE");
    std::string_view expiry = cut(line, '\t');
    expiry = expiry.substr(0, expiry.find('.'));
    const auto expires = parse_max_age(expiry);
    c.name = cut(line, '\t');
    c.value = line;
    if (c.domain.empty()) wrong("no domain");
    if (!c.path.starts_with('/')) wrong("the path does not begin with a slash");
    if (!expires) wrong("the expiry is not a number");
    if (c.name.size() + c.value.size() > max_pair) wrong("name and value are too long");
    if (*expires != 0) {
      c.expires = std::min<wall_time>(wall_time{seconds{*expires}}, now + max_lifetime);
    }
    loaded.push_back(std::move(c));
  }
  const std::scoped_lock hold{impl_->mutex};
  for (cookie& c : loaded) impl_->put(std::move(c), now);
}

std::string cookie_jar::save() const {
  std::string out = "# Netscape HTTP Cookie File\n";
  for (const cookie& c : all()) {
    if (c.name.contains('\t') || c.path.contains('\t')) continue;
    if (c.http_only) out += "#HttpOnly_";
    if (!c.host_only) out += '.';
    const auto expires = c.expires ? c.expires->time_since_epoch().count() : 0;
    out.append(c.domain).append(c.host_only ? "\tFALSE\t" : "\tTRUE\t").append(c.path);
    out.append(c.secure ? "\tTRUE\t" : "\tFALSE\t").append(std::to_string(expires)) += '\t';
    out.append(c.name).append("\t").append(c.value) += '\n';
  }
  return out;
}

}  // namespace oneloop::inline v0::http
