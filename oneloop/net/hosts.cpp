#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "oneloop/net/hosts_internal.hpp"

namespace oneloop::inline v0::net {
namespace {

std::string_view next_word(std::string_view& line) {
  constexpr std::string_view blanks = " \t\r\f\v";
  const auto start = std::min(line.find_first_not_of(blanks), line.size());
  const auto end = std::min(line.find_first_of(blanks, start), line.size());
  const std::string_view word = line.substr(start, end - start);
  line.remove_prefix(end);
  return word;
}

}  // namespace

std::string to_lower(std::string_view text) {
  std::string s{text};
  for (char& c : s) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return s;
}

std::unordered_map<std::string, std::vector<ip_address>> hosts_file::parse(std::string_view text) {
  std::unordered_map<std::string, std::vector<ip_address>> names;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    line = line.substr(0, line.find('#'));
    const auto address = ip_address::parse(next_word(line));
    if (!address) continue;
    for (std::string_view name = next_word(line); !name.empty(); name = next_word(line)) {
      auto& list = names[to_lower(name)];
      if (std::find(list.begin(), list.end(), *address) == list.end()) list.push_back(*address);
    }
  }
  return names;
}

void hosts_file::refresh(time_point now) {
  if (path_.empty() || now < next_look_) return;
  next_look_ = after(now, std::chrono::seconds{1});
  const int fd = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat s{};
  version v;
  std::string text;
  if (fd >= 0 && ::fstat(fd, &s) == 0 && S_ISREG(s.st_mode)) {
    v = {s.st_dev, s.st_ino, s.st_size, s.st_mtim.tv_sec, s.st_mtim.tv_nsec};
    std::array<char, 4096> b;
    ssize_t n = 0;
    while (v != version_ && (n = ::read(fd, b.data(), b.size())) > 0) {
      text.append(b.data(), static_cast<std::size_t>(n));
    }
  }
  if (fd >= 0) ::close(fd);
  if (v == version_) return;
  version_ = v;
  names_ = parse(text);
}

const std::vector<ip_address>* hosts_file::find(const std::string& name, time_point now) {
  refresh(now);
  const auto at = names_.find(name);
  return at != names_.end() ? &at->second : nullptr;
}

}  // namespace oneloop::inline v0::net
