// The URLs to check: those of the command line, then the lines of files and of standard input, read
// as they are needed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "oneloop/base/clock.hpp"
#include "oneloop/loop/descriptor.hpp"
#include "oneloop/task/task.hpp"

namespace tool {

class url_input {
 public:
  /// A line is kept up to this size; one byte more is kept of a longer line, so that it is too long
  /// for a URL too.
  static constexpr std::size_t max_line = std::size_t{64} * 1024;
  static constexpr std::uint64_t max_counted = std::uint64_t{256} * 1024 * 1024;

  /// Opens the files ("-": standard input). Throws usage_error if one cannot be read.
  url_input(std::vector<std::string> urls, std::vector<std::string> files);

  /// The next URL as it was given; nothing at the end. In a cancelled scope it gives what needs no
  /// waiting: URLs of the command line, lines of a regular file (for a moment), what has been read
  /// of anything else.
  oneloop::task<std::optional<std::string>> next();

  /// How many URLs there will be in all, as far as that is known before they are read: files that
  /// are no regular ones, or larger than max_counted, are not counted. Before the first next().
  [[nodiscard]] std::optional<std::uint64_t> total() const;
  /// Why a file could not be read to its end; empty: it could.
  [[nodiscard]] const std::string& failure() const noexcept { return failure_; }
  /// Whether lines were left unread because of a cancel.
  [[nodiscard]] bool cut_short() const noexcept { return cut_short_; }

 private:
  struct file {
    std::string name;
    oneloop::descriptor fd;
    bool regular;
  };
  oneloop::task<bool> fill();
  oneloop::task<bool> next_line();

  std::vector<std::string> urls_;
  std::vector<file> files_;
  std::size_t next_url_ = 0;
  std::size_t next_file_ = 0;
  std::string buffer_;
  std::size_t used_ = 0;         // of buffer_
  std::size_t without_url_ = 0;  // bytes read since the last URL
  std::string line_;
  bool at_start_ = true;  // of a file
  bool ended_ = false;    // the file
  bool cut_short_ = false;
  std::optional<oneloop::time_point> hurry_until_;
  std::string failure_;
};

}  // namespace tool
