// Standard output and the like, written without stopping the loop; notes and the progress line on
// standard error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "oneloop/base/clock.hpp"
#include "oneloop/loop/descriptor.hpp"
#include "oneloop/task/task.hpp"

namespace tool {

/// Text on its way to a descriptor that others may share: its flags stay as they are.
class output {
 public:
  /// `name` is for errors. The descriptor stays open while this lives.
  output(int fd, std::string name);

  void add(std::string_view text) { text_ += text; }
  /// Bytes that have not been written.
  [[nodiscard]] std::size_t pending() const noexcept { return text_.size(); }
  /// Writes what was added. While a pipe or a terminal is full, the loop goes on. Cancelled, it may
  /// be called again: nothing is written twice or left out. One caller at a time. Throws
  /// oneloop::error: "write standard output: No space left on device".
  oneloop::task<> flush();
  [[nodiscard]] bool is_terminal() const noexcept { return terminal_; }

 private:
  int fd_;
  std::string name_;
  oneloop::descriptor waiting_;  // ours, for waits
  bool waits_ = false;           // a pipe or the like
  bool socket_ = false;
  bool terminal_ = false;
  std::string text_;
};

/// What there is to show while work goes on.
struct progress_state {
  std::uint64_t done = 0;
  std::optional<std::uint64_t> total;  // if it is known
  std::uint64_t bad = 0;
  std::uint64_t in_flight = 0;
  std::uint64_t waiting = 0;  // for another try
  oneloop::duration time{};
};

/// "12/200 done, 3 bad, 40/s, 64 in flight, 2 to try again", in `width` columns at most.
std::string progress_text(const progress_state& s, bool colours, std::size_t width);

/// One line on standard error that is drawn again and again, if that is a terminal.
class progress_line {
 public:
  explicit progress_line(bool wanted);
  [[nodiscard]] bool shown() const noexcept { return shown_; }
  [[nodiscard]] bool colours() const noexcept { return colours_; }
  /// Columns of the terminal.
  [[nodiscard]] static std::size_t width();
  void draw(std::string_view text);
  /// Before something else is written there.
  void erase();

 private:
  bool shown_;
  bool colours_;
  bool drawn_ = false;
};

/// A line on standard error: "oneloop: text". A reader that takes nothing is not waited for.
void complain(std::string_view text);
/// The same for what is only good to know, unless this was turned off (-q).
void note(std::string_view text);
void no_notes() noexcept;

/// For one line of text: what servers sent must not move the cursor.
std::string printable(std::string_view text);

}  // namespace tool
