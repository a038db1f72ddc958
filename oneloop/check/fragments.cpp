#include "oneloop/check/fragments_internal.hpp"

namespace oneloop::inline v0::detail {

std::string packed(const html::anchor_set& anchors) {
  std::string text;
  for (const auto& name : anchors) text.append(name).push_back('\0');
  return text;
}

html::anchor_set unpacked(std::string_view anchors) {
  html::anchor_set all;
  while (!anchors.empty()) {
    const auto end = anchors.find('\0');
    all.add(anchors.substr(0, end));
    anchors.remove_prefix(end == anchors.npos ? anchors.size() : end + 1);
  }
  return all;
}

std::optional<std::string> missing_fragment(const html::anchor_set& anchors,
                                            std::string_view fragment) {
  if (anchors.contains(fragment)) return {};
  const auto other = anchors.find_other_case(fragment);
  if (other.empty()) return std::string{};
  return std::string{"there is \""}.append(other).append("\"");
}

const html::anchor_set& fragment_book::anchors(url_id page) {
  const auto known = unpacked_.find(page);
  if (known != unpacked_.end()) return known->second;
  if (unpacked_.size() >= most_unpacked) unpacked_.clear();
  return unpacked_[page] = unpacked(pages_.at(page));
}

std::vector<fragment_link> fragment_book::take(url_id page) {
  std::vector<fragment_link> all;
  const auto found = waiting_.find(page);
  if (found == waiting_.end()) return all;
  all = std::move(found->second);
  waiting_.erase(found);
  return all;
}

}  // namespace oneloop::inline v0::detail
