#include <algorithm>
#include <string>
#include <string_view>

#include "oneloop/check/addresses_internal.hpp"

namespace oneloop::inline v0::detail {
namespace {

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

/// RFC 5322's dot-atom, and everything that is not ASCII (RFC 6531).
bool is_name(std::string_view name) {
  constexpr std::string_view others = "!#$%&'*+-/=?^_`{|}~.";
  if (name.empty() || name.size() > 64 || name.front() == '.' || name.back() == '.' ||
      name.find("..") != name.npos) {
    return false;
  }
  return std::ranges::all_of(name, [&](char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           static_cast<unsigned char>(c) >= 0x80 || others.find(c) != others.npos;
  });
}

bool is_host(std::string_view host) {
  if (host.starts_with('[') && host.ends_with(']')) return host.size() > 2;
  const auto ascii = domain_to_ascii(host);
  if (!ascii || ascii->empty() || ascii->size() > 253 || ascii->front() == '.') return false;
  return ascii->find("..") == ascii->npos;
}

bool is_address(std::string_view text) {
  const auto at = text.rfind('@');
  return at != text.npos && is_name(text.substr(0, at)) && is_host(text.substr(at + 1));
}

/// Whether all in a list with commas are addresses; `any`: there was one.
bool are_addresses(std::string_view list, bool& any) {
  while (!list.empty()) {
    const auto end = std::min(list.find(','), list.size());
    const std::string address = percent_decode(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
    if (!is_address(address)) return false;
    any = true;
  }
  return true;
}

}  // namespace

bool is_mail_link(const url& u) {
  bool any = false;
  if (!are_addresses(u.path(), any)) return false;
  std::string_view fields = u.query().value_or("");
  while (!fields.empty()) {
    const auto end = std::min(fields.find('&'), fields.size());
    const auto field = fields.substr(0, end);
    fields.remove_prefix(std::min(end + 1, fields.size()));
    if (field.starts_with("to=") && !are_addresses(field.substr(3), any)) return false;
  }
  return any;
}

bool is_telephone_link(const url& u) {
  const std::string text = percent_decode(u.path());
  std::string_view number = std::string_view{text}.substr(0, text.find(';'));
  if (number.starts_with('+')) number.remove_prefix(1);
  const auto part = [](char c) {
    return is_digit(c) || c == '-' || c == '.' || c == '(' || c == ')' || c == ' ' || c == '*' ||
           c == '#';
  };
  return std::ranges::any_of(number, is_digit) && std::ranges::all_of(number, part);
}

}  // namespace oneloop::inline v0::detail
