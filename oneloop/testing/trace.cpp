#include "oneloop/testing/trace.hpp"

#include <algorithm>
#include <string>

#include "oneloop/loop/loop.hpp"
#include "oneloop/scope/context.hpp"

namespace oneloop::inline v0::testing {
namespace {

std::string seconds(duration d) {
  const std::string nanoseconds = std::to_string(d.count() % 1'000'000'000);
  return std::to_string(d.count() / 1'000'000'000) + "." +
         std::string(9 - nanoseconds.size(), '0') + nanoseconds;
}

}  // namespace

void simulation_trace::begin(loop& l) {
  loop_ = &l;
  l.when_ran(
      [](void* self, loop& home) noexcept { static_cast<simulation_trace*>(self)->ran(home); },
      this);
}

// FNV-1a over words, with a rotation so that the high bits matter too.
void simulation_trace::mix(std::uint64_t n) noexcept {
  hash_ = (hash_ ^ n) * 0x100000001b3u;
  hash_ ^= hash_ >> 29;
}

void simulation_trace::mix(std::string_view text) noexcept {
  mix(text.size());
  for (const char c : text) mix(static_cast<unsigned char>(c));
}

void simulation_trace::ran(loop& l) {
  ++steps_;
  const duration at = l.virtual_time()->elapsed();
  const context* who = l.active;
  const operation_info* op = who != nullptr ? who->waiting_for() : nullptr;
  mix(static_cast<std::uint64_t>(at.count()));
  mix(who != nullptr ? who->ordinal() : 0);
  mix(who != nullptr ? who->name() : "");
  mix(op != nullptr ? op->name : "");
  if (kept_ == 0) return;
  std::string line = seconds(at);
  if (who == nullptr) {
    line += " the loop";
  } else {
    line.append(" #").append(std::to_string(who->ordinal())).append(" '").append(who->name());
    line.append(op != nullptr ? std::string{"' waits for "} + op->name : "'");
  }
  add_line(std::move(line));
}

void simulation_trace::note(std::string_view text) {
  mix(text);
  if (kept_ != 0) add_line(seconds(loop_->virtual_time()->elapsed()).append(" ").append(text));
}

void simulation_trace::add_line(std::string text) {
  lines_.push_back(std::move(text));
  if (lines_.size() > kept_) lines_.pop_front();
}

void simulation_trace::keep(std::size_t n) {
  kept_ = n;
  while (lines_.size() > kept_) lines_.pop_front();
}

}  // namespace oneloop::inline v0::testing
