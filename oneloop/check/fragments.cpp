#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "oneloop/base/error.hpp"
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

text_file::place text_file::add(std::string_view text) {
  const auto fail = [] { throw error{"write", "anchors", system_code(errno)}; };
  if (end_ == 0) {
    std::string name = (std::filesystem::temp_directory_path() / "oneloop-XXXXXX").string();
    const int fd = ::mkostemp(name.data(), O_CLOEXEC);
    if (fd < 0) fail();
    file_ = descriptor::adopt(fd);
    ::unlink(name.c_str());
  }
  const place p{end_, text.size()};
  while (!text.empty()) {
    const auto n = ::pwrite(file_.fd(), text.data(), text.size(), static_cast<off_t>(end_));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail();
    end_ += static_cast<std::uint64_t>(n);
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  return p;
}

std::string text_file::read(place p) const {
  std::string text(p.size, '\0');
  for (std::size_t done = 0; done < text.size();) {
    const auto n = ::pread(file_.fd(), text.data() + done, text.size() - done,
                           static_cast<off_t>(p.at + done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) throw error{"read", "anchors", system_code(n < 0 ? errno : EIO)};
    done += static_cast<std::size_t>(n);
  }
  return text;
}

void fragment_book::know(url_id page, std::string packed) {
  if (knows(page)) return;
  if (bytes_ + packed.size() > most_) {
    written_.emplace(page, packed.empty() ? text_file::place{} : file_.add(packed));
  } else {
    bytes_ += packed.size();
    pages_.emplace(page, std::move(packed));
  }
}

const html::anchor_set& fragment_book::anchors(url_id page) {
  const auto known = unpacked_.find(page);
  if (known != unpacked_.end()) return known->second;
  if (unpacked_.size() >= most_unpacked) unpacked_.clear();
  const auto here = pages_.find(page);
  if (here != pages_.end()) return unpacked_[page] = unpacked(here->second);
  const auto place = written_.at(page);
  return unpacked_[page] = unpacked(place.size == 0 ? std::string{} : file_.read(place));
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
