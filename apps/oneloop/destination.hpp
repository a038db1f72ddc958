// Where a result goes: standard output, or a file that is there when it is whole.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "oneloop/loop/descriptor.hpp"
#include "oneloop/task/task.hpp"
#include "output.hpp"

namespace tool {

/// What there is of an incomplete file stays in FILE.part; FILE itself is as it was then. What is a
/// device or a pipe is written at once.
class destination {
 public:
  /// Opens it; an empty name stands for standard output. Throws usage_error: "-o /x/y.part: No such
  /// file or directory".
  explicit destination(const std::string& file);

  [[nodiscard]] output& out() noexcept { return *out_; }
  oneloop::task<> write(std::string_view text) {
    out_->add(text);
    return out_->flush();
  }
  /// All of it has come, and is written. Throws oneloop::error, which names the file.
  void keep();
  /// Something went wrong. If anything was written, says where it can be found.
  void give_up();

 private:
  std::string file_;
  std::string part_;
  oneloop::descriptor fd_;
  std::optional<output> out_;
};

}  // namespace tool
