// The hosts file: names and their addresses, read again when the file has changed. Internal.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "oneloop/base/clock.hpp"
#include "oneloop/net/address.hpp"

namespace oneloop::inline v0::net {

class hosts_file {
 public:
  explicit hosts_file(std::string path) : path_{std::move(path)} {}

  /// The addresses of a name in lower case; null if the file has none. The file is looked at again
  /// when `now` is more than a second later than the last time. A file that cannot be read is
  /// empty.
  const std::vector<ip_address>* find(const std::string& name, time_point now);

  /// "address name name ... # comment" a line.
  static std::unordered_map<std::string, std::vector<ip_address>> parse(std::string_view text);

 private:
  void refresh(time_point now);
  std::string path_;
  time_point next_look_{time_point::min()};
  struct version {
    dev_t device = 0;
    ino_t inode = 0;
    off_t size = -1;
    std::int64_t seconds = 0, nanoseconds = 0;
    bool operator==(const version&) const = default;
  } version_;
  std::unordered_map<std::string, std::vector<ip_address>> names_;
};

/// ASCII lower case.
std::string to_lower(std::string_view text);

}  // namespace oneloop::inline v0::net
