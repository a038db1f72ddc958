#include "output.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>

#include "oneloop/base/error.hpp"
#include "oneloop/loop/io.hpp"

namespace tool {
namespace {

/// What a pipe takes without waiting once it is writable (PIPE_BUF).
constexpr std::size_t piece_size = 4096;

bool environment_has(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0';
}

void write_error(std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(STDERR_FILENO, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
}

}  // namespace

output::output() : terminal_{::isatty(STDOUT_FILENO) == 1} {
  struct stat about{};
  if (::fstat(STDOUT_FILENO, &about) != 0) return;
  socket_ = S_ISSOCK(about.st_mode);
  waits_ = S_ISFIFO(about.st_mode) || S_ISCHR(about.st_mode) || socket_;
  if (waits_) {
    fd_ = oneloop::descriptor::adopt(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
    waits_ = fd_.is_open();
  }
}

oneloop::task<> output::write(std::string_view text) {
  while (!text.empty()) {
    if (waits_) co_await oneloop::io::writable(fd_);
    // The flags of standard output belong to whoever started us: it stays blocking.
    const std::size_t size = waits_ ? std::min(text.size(), piece_size) : text.size();
    const ssize_t n = socket_ ? ::send(STDOUT_FILENO, text.data(), size, MSG_DONTWAIT)
                              : ::write(STDOUT_FILENO, text.data(), size);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n < 0) throw oneloop::error{"write", "standard output", oneloop::system_code(errno)};
    text.remove_prefix(static_cast<std::size_t>(n));
  }
}

progress_line::progress_line()
    : shown_{::isatty(STDERR_FILENO) == 1 && environment_has("TERM") &&
             std::string_view{std::getenv("TERM")} != "dumb"},
      colours_{!environment_has("NO_COLOR")} {}

void progress_line::draw(const progress_state& s) {
  if (!shown_) return;
  const double seconds = std::chrono::duration<double>(s.time).count();
  const double rate = seconds > 0 ? static_cast<double>(s.done) / seconds : 0;
  std::string line = fmt::format("{} done, ", s.done);
  const std::string bad = fmt::format("{} bad", s.bad);
  const std::string rest = fmt::format(", {:.0f}/s, {} in flight", rate, s.given - s.done);
  winsize size{};
  const std::size_t width =
      ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
  if (line.size() + bad.size() + rest.size() >= width) {
    line = (line + bad).substr(0, width - 1);
  } else {
    line += colours_ && s.bad != 0 ? fmt::format("\033[31m{}\033[0m", bad) : bad;
    line += rest;
  }
  write_error("\r\033[K" + line);
  drawn_ = true;
}

void progress_line::erase() {
  if (!drawn_) return;
  write_error("\r\033[K");
  drawn_ = false;
}

void complain(std::string_view text) { write_error(fmt::format("oneloop: {}\n", text)); }

}  // namespace tool
