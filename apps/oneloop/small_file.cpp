#include "small_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "arguments.hpp"
#include "oneloop/loop/descriptor.hpp"

namespace tool {

std::string read_small_file(std::string_view option, const std::string& file) {
  const auto refuse = [&](int error) {
    throw bad_option{option, file, std::generic_category().message(error)};
  };
  const int opened = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (opened < 0) refuse(errno);
  const auto fd = oneloop::descriptor::adopt(opened);
  std::string text;
  while (true) {
    char piece[64 * 1024];
    const ssize_t n = ::read(fd.fd(), piece, sizeof piece);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) refuse(errno);
    if (n == 0) return text;
    text.append(piece, static_cast<std::size_t>(n));
    if (text.size() > max_small_file) throw bad_option{option, file, "it is larger than 4M"};
  }
}

}  // namespace tool
