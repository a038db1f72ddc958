#include "input.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <system_error>
#include <utility>
#include <vector>

#include "arguments.hpp"
#include "oneloop/loop/io.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/context.hpp"

namespace tool {
namespace {

/// Bytes of a file that are read in one turn of the loop, if no URL comes of them.
constexpr std::size_t most_without_url = std::size_t{64} * 1024;

std::string reason(int error) { return std::generic_category().message(error); }

/// A line that is a URL, and not blank or a comment?
bool is_url(std::string_view line) {
  const auto first = line.find_first_not_of(" \t\r");
  return first != line.npos && line[first] != '#';
}

/// URLs from where the file stands on; its place stays as it is.
std::optional<std::uint64_t> count_urls(int fd, std::uint64_t most) {
  off_t at = ::lseek(fd, 0, SEEK_CUR);
  std::vector<char> buffer(std::size_t{256} * 1024);
  std::uint64_t urls = 0, read = 0;
  bool looked = false;  // what kind of line it is has been seen
  while (true) {
    const ssize_t n = ::pread(fd, buffer.data(), buffer.size(), at);
    if (n < 0 || read > most) return {};
    if (n == 0) return urls;
    std::string_view piece{buffer.data(), static_cast<std::size_t>(n)};
    if (at == 0 && piece.starts_with("\xEF\xBB\xBF")) piece.remove_prefix(3);
    for (const char c : piece) {
      if (c == '\n') {
        looked = false;
      } else if (!looked && c != ' ' && c != '\t' && c != '\r') {
        looked = true;
        if (c != '#') ++urls;
      }
    }
    at += n;
    read += static_cast<std::uint64_t>(n);
  }
}

}  // namespace

url_input::url_input(std::vector<std::string> urls, std::vector<std::string> files)
    : urls_{std::move(urls)} {
  for (std::string& name : files) {
    // A descriptor of our own: the flags of standard input belong to whoever started us.
    const int fd = name == "-" ? ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                               : ::open(name.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) throw usage_error{fmt::format("--from {}: {}", name, reason(errno))};
    auto owned = oneloop::descriptor::adopt(fd);
    struct stat about{};
    if (::fstat(fd, &about) != 0 || S_ISDIR(about.st_mode)) {
      throw usage_error{fmt::format("--from {}: {}", name, reason(EISDIR))};
    }
    files_.push_back(file{std::move(name), std::move(owned), S_ISREG(about.st_mode)});
  }
}

oneloop::task<std::optional<std::string>> url_input::next() {
  std::optional<std::string> url;
  if (next_url_ < urls_.size()) {
    url = std::move(urls_[next_url_++]);
    co_return url;
  }
  while (next_file_ < files_.size()) {
    auto& self = oneloop::context::current();
    if (self.scope().cancelled()) {
      const auto now = self.home()->now();
      if (!hurry_until_) hurry_until_ = now + std::chrono::milliseconds{300};
      if (now >= *hurry_until_) {
        cut_short_ = true;
        co_return url;
      }
    }
    auto reading = next_line();
    const bool more = co_await std::move(reading);
    if (!more) {
      ++next_file_;
      at_start_ = true;
      ended_ = false;
      continue;
    }
    if (!is_url(line_)) continue;
    url = std::move(line_);
    without_url_ = 0;
    co_return url;
  }
  co_return url;
}

std::optional<std::uint64_t> url_input::total() const {
  std::uint64_t n = urls_.size();
  for (const auto& f : files_) {
    const auto urls = f.regular ? count_urls(f.fd.fd(), max_counted) : std::nullopt;
    if (!urls) return {};
    n += *urls;
  }
  return n;
}

/// Reads more of the file. False at its end.
oneloop::task<bool> url_input::fill() {
  file& from = files_[next_file_];
  ssize_t n = -1;
  while (true) {
    // The file may be shared with other processes, so it is not made non-blocking.
    if (!from.regular) co_await oneloop::io::readable(from.fd);
    buffer_.resize(max_line);
    used_ = max_line;
    n = ::read(from.fd.fd(), buffer_.data(), max_line);
    if (n >= 0 || (errno != EINTR && errno != EAGAIN)) break;
  }
  if (n < 0 && failure_.empty()) {
    failure_ =
        fmt::format("read {}: {}", from.name == "-" ? "standard input" : from.name, reason(errno));
  }
  used_ = 0;
  buffer_.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  // A file that has no URL for long (it may be none of text) must not stop the loop.
  without_url_ += buffer_.size();
  if (from.regular && without_url_ > most_without_url) {
    without_url_ = 0;
    auto& self = oneloop::context::current();
    cut_short_ = self.scope().cancelled();
    self.checkpoint();
    co_await oneloop::yield_now();
  }
  co_return n > 0;
}

/// The next line into line_, without its end. False at the end of the file.
oneloop::task<bool> url_input::next_line() {
  bool any = false;
  std::string line;
  while (!ended_) {
    if (used_ == buffer_.size()) {
      auto filling = fill();
      const bool more = co_await std::move(filling);
      if (!more) {
        ended_ = true;
        break;
      }
    }
    const std::string_view rest = std::string_view{buffer_}.substr(used_);
    const auto end = rest.find('\n');
    const std::string_view piece = rest.substr(0, end);
    any = true;
    if (line.size() <= max_line) line += piece.substr(0, max_line + 1 - line.size());
    used_ += end == rest.npos ? piece.size() : piece.size() + 1;
    if (end != rest.npos) break;
  }
  if (line.ends_with('\r')) line.pop_back();
  if (std::exchange(at_start_, false) && line.starts_with("\xEF\xBB\xBF")) line.erase(0, 3);
  line_ = std::move(line);
  co_return any;
}

}  // namespace tool
