#include "oneloop/html/anchors.hpp"

#include <algorithm>

#include "oneloop/html/text_internal.hpp"
#include "oneloop/url/url.hpp"

namespace oneloop::inline v0::html {
namespace {

std::string_view without_directive(std::string_view fragment) {
  return fragment.substr(0, fragment.find(":~:"));
}

}  // namespace

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
  const auto found = std::ranges::find_if(
      names_, [&](const std::string& n) { return detail::equal_ignoring_case(n, decoded); });
  return found == names_.end() ? std::string_view{} : *found;
}

}  // namespace oneloop::inline v0::html
