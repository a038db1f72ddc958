#include "oneloop/html/anchors.hpp"

#include <algorithm>

#include "oneloop/html/text_internal.hpp"
#include "oneloop/url/url.hpp"

namespace oneloop::inline v0::html {
namespace {

/// Less than 0, 0, or more: in any case of ASCII letters.
int compare(std::string_view a, std::string_view b) noexcept {
  const auto [x, y] = std::ranges::mismatch(a, b, {}, detail::to_lower, detail::to_lower);
  if (x == a.end() || y == b.end()) return (y == b.end() ? 1 : 0) - (x == a.end() ? 1 : 0);
  return static_cast<unsigned char>(detail::to_lower(*x)) -
         static_cast<unsigned char>(detail::to_lower(*y));
}

std::string_view without_directive(std::string_view fragment) {
  return fragment.substr(0, fragment.find(":~:"));
}

}  // namespace

bool anchor_set::order::operator()(std::string_view a, std::string_view b) const noexcept {
  const int letters = compare(a, b);
  return letters != 0 ? letters < 0 : a < b;
}
bool anchor_set::order::operator()(std::string_view a, in_any_case b) const noexcept {
  return compare(a, b.text) < 0;
}
bool anchor_set::order::operator()(in_any_case a, std::string_view b) const noexcept {
  return compare(a.text, b) < 0;
}

void anchor_set::add(std::string_view name) {
  if (!name.empty()) names_.emplace(name);
}

bool anchor_set::contains(std::string_view fragment) const {
  fragment = without_directive(fragment);
  if (fragment.empty() || names_.contains(fragment)) return true;
  const std::string decoded = percent_decode(fragment);
  return names_.contains(decoded) || detail::equal_ignoring_case(decoded, "top");
}

std::string_view anchor_set::find_other_case(std::string_view fragment) const {
  const std::string decoded = percent_decode(without_directive(fragment));
  const auto found = names_.find(order::in_any_case{decoded});
  return found == names_.end() ? std::string_view{} : *found;
}

}  // namespace oneloop::inline v0::html
