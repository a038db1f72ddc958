#include "oneloop/http/range.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>

#include "oneloop/http/date.hpp"

namespace oneloop::inline v0::http {
namespace {

/// Digits and nothing else, at the start of `text`, which is cut behind them.
std::optional<std::uint64_t> take_number(std::string_view& text) noexcept {
  std::uint64_t n = 0;
  const auto [end, e] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (e != std::errc{}) return {};
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return n;
}

bool take(std::string_view& text, std::string_view literal) noexcept {
  if (!text.starts_with(literal)) return false;
  text.remove_prefix(literal.size());
  return true;
}

/// The value of a field that must not say two different things.
std::optional<std::string_view> only(const headers& fields, std::string_view name) noexcept {
  std::optional<std::string_view> found;
  for (const auto f : fields) {
    if (!equal_ignoring_case(f.name, name)) continue;
    if (found && *found != f.value) return {};
    found = f.value;
  }
  return found;
}

}  // namespace

std::optional<content_range> parse_content_range(std::string_view text) noexcept {
  constexpr std::string_view unit = "bytes";
  if (!equal_ignoring_case(text.substr(0, unit.size()), unit)) return {};
  text.remove_prefix(unit.size());
  if (!take(text, " ")) return {};

  content_range r;
  if (!take(text, "*")) {
    const auto first = take_number(text);
    if (!first || !take(text, "-")) return {};
    const auto last = take_number(text);
    if (!last || *last < *first) return {};
    r.range = {*first, *last};
  }
  if (!take(text, "/")) return {};
  if (!take(text, "*")) {
    r.total = take_number(text);
    if (!r.total || (r.range && r.range->last >= *r.total)) return {};
  }
  // "*/*" says nothing.
  if (!text.empty() || (!r.range && !r.total)) return {};
  return r;
}

bool is_strong_etag(std::string_view text) noexcept {
  if (text.size() < 2 || text.front() != '"' || text.back() != '"') return false;
  return std::ranges::all_of(text.substr(1, text.size() - 2), [](char c) {
    const auto u = static_cast<unsigned char>(c);
    return u > 0x20 && u != '"' && u != 0x7f;
  });
}

std::string strong_validator(const headers& fields) {
  if (fields.contains("ETag")) {
    const auto tag = only(fields, "ETag");
    return tag && is_strong_etag(*tag) ? std::string{*tag} : std::string{};
  }
  const auto modified = only(fields, "Last-Modified");
  const auto sent = only(fields, "Date");
  if (!modified || !sent) return {};
  const auto s = parse_http_date(*sent, wall_time{});
  const auto m = s ? parse_http_date(*modified, *s) : std::nullopt;
  return m && s && *m + std::chrono::seconds{1} <= *s ? std::string{*modified} : std::string{};
}

void partial_content::ask(headers& request) const {
  if (!resumable()) {
    request.remove("Range");
    request.remove("If-Range");
    return;
  }
  request.set("Range", "bytes=" + std::to_string(received) + "-");
  request.set("If-Range", validator);
}

partial_content::outcome partial_content::answer(int status, const headers& fields) const {
  if (status == 200) return outcome::restart;
  const auto field = only(fields, "Content-Range");
  const auto range = field ? parse_content_range(*field) : std::nullopt;
  if (!range || !resumable()) return outcome::refused;

  const std::string_view name = validator.starts_with('"') ? "ETag" : "Last-Modified";
  const bool same = !fields.contains(name) || only(fields, name) == validator;
  const bool same_total = !total || !range->total || *total == *range->total;
  if (!same || !same_total) return outcome::refused;
  if (status == 206 && range->range) {
    return range->range->first == received ? outcome::append : outcome::refused;
  }
  // A server that honours If-Range says 416 only of the very same representation.
  const bool whole = status == 416 && !range->range && range->total == received;
  return whole ? outcome::complete : outcome::refused;
}

}  // namespace oneloop::inline v0::http
