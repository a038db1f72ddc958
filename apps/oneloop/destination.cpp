#include "destination.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "arguments.hpp"
#include "oneloop/base/error.hpp"

namespace tool {
namespace {

/// Beside the file; but what is a device or a pipe is written at once.
std::string part_of(const std::string& file) {
  struct stat about{};
  const bool special =
      file.empty() || (::stat(file.c_str(), &about) == 0 && !S_ISREG(about.st_mode));
  return special ? file : file + ".part";
}

}  // namespace

destination::destination(const std::string& file) : file_{file}, part_{part_of(file)} {
  if (file.empty()) {
    out_.emplace(STDOUT_FILENO, "standard output");
    return;
  }
  const int fd = ::open(part_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) throw usage_error{oneloop::error{"-o", part_, oneloop::system_code(errno)}.what()};
  fd_ = oneloop::descriptor::adopt(fd);
  out_.emplace(fd, part_);
}

void destination::keep() {
  if (part_ != file_ && ::rename(part_.c_str(), file_.c_str()) != 0) {
    throw oneloop::error{"rename " + part_ + " to", file_, oneloop::system_code(errno)};
  }
}

void destination::give_up() {
  if (part_ == file_) return;
  struct stat about{};
  if (::fstat(fd_.fd(), &about) == 0 && about.st_size != 0) {
    note("what has come is in " + part_);
  } else {
    ::unlink(part_.c_str());
  }
}

}  // namespace tool
