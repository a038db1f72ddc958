// Standard output that never stops the loop, and the progress line on standard error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "oneloop/base/clock.hpp"
#include "oneloop/loop/descriptor.hpp"
#include "oneloop/task/task.hpp"

namespace tool {

/// Writes to standard output at once. While a pipe or a terminal is full, the loop goes on. Throws
/// oneloop::error: "write standard output: No space left on device".
class output {
 public:
  output();
  oneloop::task<> write(std::string_view text);
  [[nodiscard]] bool is_terminal() const noexcept { return terminal_; }

 private:
  oneloop::descriptor fd_;
  bool waits_ = false;  // a pipe or the like
  bool socket_ = false;
  bool terminal_ = false;
};

/// What there is to show while work goes on.
struct progress_state {
  std::uint64_t given = 0;  // inputs so far
  std::uint64_t done = 0;
  std::uint64_t bad = 0;
  oneloop::duration time{};
};

/// One line on standard error that is drawn again and again, if that is a terminal.
class progress_line {
 public:
  progress_line();
  [[nodiscard]] bool shown() const noexcept { return shown_; }
  void draw(const progress_state& s);
  /// Before something else is written there.
  void erase();

 private:
  bool shown_;
  bool colours_;
  bool drawn_ = false;
};

/// A line on standard error: "oneloop: text".
void complain(std::string_view text);

}  // namespace tool
