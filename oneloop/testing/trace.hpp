// What ran in a simulation, and when: the proof that two runs were the same.
//
//     sim.trace().keep(100);            // the last 100 lines, for people
//     ... run ...
//     EXPECT_EQ(sim.trace().hash(), other.trace().hash());
//     for (const std::string& line : sim.trace().lines()) log(severity::info, line);
//
// A line is the virtual time, who ran (its number and name) and what it waits for since:
//     1.500000000 #3 'reader' waits for channel.receive
// No address is in it, so it is the same in every process.
//
// *Threads*: the simulation's. *Cost*: some ten ns for each time that somebody runs; lines only if
// they are kept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"

namespace oneloop::inline v0 {

class loop;

namespace testing {

class ONELOOP_API simulation_trace {
 public:
  simulation_trace() = default;
  simulation_trace(const simulation_trace&) = delete;
  simulation_trace& operator=(const simulation_trace&) = delete;

  /// Of everything that has happened so far; equal for equal runs.
  [[nodiscard]] std::uint64_t hash() const noexcept { return hash_; }
  /// How many times somebody has run.
  [[nodiscard]] std::uint64_t steps() const noexcept { return steps_; }
  /// From now on the last `n` lines are kept; 0, as in the beginning: none.
  void keep(std::size_t n);
  /// Those that are kept, the oldest first.
  [[nodiscard]] std::vector<std::string> lines() const { return {lines_.begin(), lines_.end()}; }
  /// Adds something of the caller's own, "at the present virtual time": it counts for the hash, and
  /// is a line of its own.
  void note(std::string_view text);

 private:
  friend class simulation;
  void begin(loop& l);
  void ran(loop& l);
  void mix(std::uint64_t n) noexcept;
  void mix(std::string_view text) noexcept;
  void add_line(std::string text);

  loop* loop_ = nullptr;
  std::uint64_t hash_ = 0;
  std::uint64_t steps_ = 0;
  std::size_t kept_ = 0;
  std::deque<std::string> lines_;
};

}  // namespace testing
}  // namespace oneloop::inline v0
