#include "open_files.hpp"

#include <dirent.h>
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstddef>

#include "output.hpp"

namespace tool {
namespace {

/// What stays open besides connections: standard streams, files, the loop's own.
constexpr std::uint64_t other_descriptors = 64;
constexpr std::uint64_t most_connections = 2 * 65535;

std::size_t open_descriptors() {
  std::size_t n = 0;
  if (DIR* d = ::opendir("/proc/self/fd")) {
    while (::readdir(d) != nullptr) ++n;
    ::closedir(d);
  }
  return n;
}

}  // namespace

std::uint64_t raise_open_files() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return most_connections;
  if (limit.rlim_cur < limit.rlim_max) {
    rlimit raised = limit;
    raised.rlim_cur = raised.rlim_max;
    if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  }
  return limit.rlim_cur;
}

room room_for(std::uint64_t wanted, std::uint64_t each, std::string_view what) {
  const std::uint64_t limit = raise_open_files();
  const std::uint64_t taken = open_descriptors() + other_descriptors;
  const auto free = limit > taken + each ? std::min(limit - taken, most_connections) : each;
  const auto checks = std::min(wanted, free / each);
  if (checks < wanted) {
    note(
        fmt::format("note: only {} {}{} at a time and not {}: the limit of open files is {} "
                    "(ulimit -n)",
                    checks, what, checks == 1 ? "" : "s", wanted, limit));
  }
  return {checks, free - checks * (each - 1)};
}

}  // namespace tool
