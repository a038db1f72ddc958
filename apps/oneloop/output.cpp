#include "output.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <utility>

#include "oneloop/base/error.hpp"
#include "oneloop/loop/io.hpp"

namespace tool {
namespace {

/// What a pipe takes without waiting once it is writable (PIPE_BUF).
constexpr std::size_t piece_size = 4096;
/// All notes together wait so long for somebody to read them.
int patience_ms = 100;

bool quiet = false;

bool environment_has(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0';
}

/// To standard error, as far as it takes it soon.
void write_error(std::string_view text, int wait_ms) {
  while (!text.empty()) {
    pollfd p{STDERR_FILENO, POLLOUT, 0};
    const int ready = ::poll(&p, 1, wait_ms);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) {
      if (wait_ms != 0) patience_ms = 0;
      return;
    }
    const ssize_t n = ::write(STDERR_FILENO, text.data(), std::min(text.size(), piece_size));
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
}

}  // namespace

output::output(int fd, std::string name)
    : fd_{fd}, name_{std::move(name)}, terminal_{::isatty(fd) == 1} {
  struct stat about{};
  if (::fstat(fd, &about) != 0) return;
  socket_ = S_ISSOCK(about.st_mode);
  waits_ = S_ISFIFO(about.st_mode) || S_ISCHR(about.st_mode) || socket_;
  if (waits_) {
    waiting_ = oneloop::descriptor::adopt(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
    waits_ = waiting_.is_open();
  }
}

oneloop::task<> output::flush() {
  while (!text_.empty()) {
    std::size_t written = 0;
    while (written < text_.size()) {
      if (waits_) {
        // What is written is taken off before a wait, which may be cancelled.
        text_.erase(0, std::exchange(written, 0));
        co_await oneloop::io::writable(waiting_);
      }
      const std::size_t left = text_.size() - written;
      const std::size_t size = waits_ ? std::min(left, piece_size) : left;
      const char* const from = text_.data() + written;
      const ssize_t n = socket_ ? ::send(fd_, from, size, MSG_DONTWAIT) : ::write(fd_, from, size);
      if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (n < 0) throw oneloop::error{"write", name_, oneloop::system_code(errno)};
      written += static_cast<std::size_t>(n);
    }
    text_.clear();
  }
}

progress_line::progress_line(bool wanted)
    : shown_{wanted && ::isatty(STDERR_FILENO) == 1 && environment_has("TERM") &&
             std::string_view{std::getenv("TERM")} != "dumb"},
      colours_{!environment_has("NO_COLOR")} {}

std::string progress_text(const progress_state& s, bool colours, std::size_t width) {
  const double seconds = std::chrono::duration<double>(s.time).count();
  const double rate = seconds > 0 ? static_cast<double>(s.done) / seconds : 0;
  std::string line =
      s.total ? fmt::format("{}/{} done, ", s.done, *s.total) : fmt::format("{} done, ", s.done);
  const std::string bad = fmt::format("{} bad", s.bad);
  std::string rest = fmt::format(", {:.0f}/s, {} in flight", rate, s.in_flight);
  if (s.waiting != 0) rest += fmt::format(", {} to try again", s.waiting);
  if (line.size() + bad.size() + rest.size() >= width) {
    return (line + bad + rest).substr(0, width > 0 ? width - 1 : 0);
  }
  return line + (colours && s.bad != 0 ? fmt::format("\033[31m{}\033[0m", bad) : bad) + rest;
}

std::size_t progress_line::width() {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void progress_line::draw(std::string_view text) {
  if (!shown_) return;
  write_error(std::string{"\r\033[K"}.append(text), 0);
  drawn_ = true;
}

void progress_line::erase() {
  if (!drawn_) return;
  write_error("\r\033[K", 0);
  drawn_ = false;
}

void complain(std::string_view text) {
  write_error(fmt::format("oneloop: {}\n", text), patience_ms);
}

void note(std::string_view text) {
  if (!quiet) complain(text);
}

void no_notes() noexcept { quiet = true; }

std::string printable(std::string_view text) {
  std::string line;
  line.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const auto next = static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : 0);
    const bool c1 = c == 0xc2 && next >= 0x80 && next < 0xa0;  // U+009B is as good as ESC [
    if (c1) ++i;
    line += c1 || c < 0x20 || c == 0x7f ? ' ' : static_cast<char>(c);
  }
  return line;
}

}  // namespace tool
