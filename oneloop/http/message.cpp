#include "oneloop/http/message.hpp"

#include <algorithm>
#include <functional>
#include <limits>

#include "oneloop/base/error.hpp"
#include "oneloop/http/text_internal.hpp"

namespace oneloop::inline v0::http {
namespace {

using detail::lower;
using detail::trimmed;

/// Of a field: what memory is taken for beforehand.
constexpr std::size_t usual_size = 40;

bool is_token(std::string_view s) noexcept {
  return !s.empty() && (detail::kinds_in(s) & detail::no_token) == 0;
}

}  // namespace

std::string_view detail::checked_value(std::string_view name, std::string_view value) {
  value = trimmed(value);
  if ((kinds_in(value) & breaks) != 0) {
    throw misuse{"http header " + std::string{name} + ": the value holds a line break or a NUL"};
  }
  return value;
}

std::string detail::quoted(std::string_view s) {
  std::string text = "\"";
  for (char c : s.substr(0, 40)) {
    if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
      text += c;
    } else {
      static constexpr char digits[] = "0123456789abcdef";
      const auto byte = static_cast<unsigned char>(c);
      text.append("\\x").append({digits[byte >> 4], digits[byte & 15]});
    }
  }
  return text += s.size() > 40 ? "...\"" : "\"";
}

bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(),
                                            [](char x, char y) { return lower(x) == lower(y); });
}

void headers::add(std::string_view name, std::string_view value) {
  if (!is_token(name)) {
    throw misuse{"http header: \"" + std::string{name} + "\" is not a field name"};
  }
  value = detail::checked_value(name, value);
  if (text_.size() + name.size() + value.size() > std::numeric_limits<std::uint32_t>::max()) {
    throw misuse{"http headers: more than 4 GiB"};
  }
  auto is_ours = [this](std::string_view s) {
    return !s.empty() && !std::less<>{}(s.data(), text_.data()) &&
           std::less<>{}(s.data(), text_.data() + text_.size());
  };
  if (is_ours(name) || is_ours(value)) return add(std::string{name}, std::string{value});
  if (entries_.size() == entries_.capacity()) {
    const std::size_t many = std::max<std::size_t>(8, 2 * size());
    entries_.reserve(many);
    text_.reserve(many * usual_size);
  }
  const auto begin = static_cast<std::uint32_t>(text_.size());
  text_.append(name).append(value);
  entries_.push_back(
      {begin, static_cast<std::uint32_t>(name.size()), static_cast<std::uint32_t>(value.size())});
}

void headers::set(std::string_view name, std::string_view value) {
  const std::string kept_name{name};  // both may be views of what is about to go
  const std::string kept_value{value};
  add(kept_name, kept_value);
  const entry fresh = entries_.back();
  entries_.pop_back();
  std::size_t place = 0;
  while (place < size() && !equal_ignoring_case((*this)[place].name, kept_name)) ++place;
  remove(kept_name);
  entries_.insert(entries_.begin() + static_cast<std::ptrdiff_t>(place), fresh);
}

std::size_t headers::remove(std::string_view name) noexcept {
  return std::erase_if(entries_, [&](const entry& e) {
    return equal_ignoring_case({text_.data() + e.begin, e.name_size}, name);
  });
}

void headers::clear() noexcept {
  entries_.clear();
  text_.clear();
}

std::optional<std::string_view> headers::get(std::string_view name) const noexcept {
  for (const field f : *this) {
    if (equal_ignoring_case(f.name, name)) return f.value;
  }
  return std::nullopt;
}

std::optional<std::string_view> headers::single(std::string_view name) const {
  std::optional<std::string_view> found;
  for (const field f : *this) {
    if (!equal_ignoring_case(f.name, name)) continue;
    if (found && *found != f.value) {
      throw error{errc::protocol, "http header " + std::string{name} + ": two different values"};
    }
    found = f.value;
  }
  return found;
}

std::string headers::joined(std::string_view name) const {
  std::string all;
  bool first = true;
  for (const field f : *this) {
    if (!equal_ignoring_case(f.name, name)) continue;
    if (!first) all += ", ";
    first = false;
    all += f.value;
  }
  return all;
}

bool headers::has_token(std::string_view name, std::string_view token) const noexcept {
  for (const field f : *this) {
    if (!equal_ignoring_case(f.name, name)) continue;
    std::string_view rest = f.value;
    while (!rest.empty()) {
      const std::size_t comma = std::min(rest.find(','), rest.size());
      if (equal_ignoring_case(trimmed(rest.substr(0, comma)), token)) return true;
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
  }
  return false;
}

std::string_view reason_phrase(int status) noexcept {
  switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 102: return "Processing";
    case 103: return "Early Hints";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 203: return "Non-Authoritative Information";
    case 204: return "No Content";
    case 205: return "Reset Content";
    case 206: return "Partial Content";
    case 207: return "Multi-Status";
    case 208: return "Already Reported";
    case 226: return "IM Used";
    case 300: return "Multiple Choices";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 305: return "Use Proxy";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 407: return "Proxy Authentication Required";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 418: return "I'm a teapot";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 423: return "Locked";
    case 424: return "Failed Dependency";
    case 425: return "Too Early";
    case 426: return "Upgrade Required";
    case 428: return "Precondition Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 451: return "Unavailable For Legal Reasons";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 506: return "Variant Also Negotiates";
    case 507: return "Insufficient Storage";
    case 508: return "Loop Detected";
    case 511: return "Network Authentication Required";
    default: return {};
  }
}

}  // namespace oneloop::inline v0::http
