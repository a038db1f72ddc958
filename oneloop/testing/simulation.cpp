#include "oneloop/testing/simulation.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <string_view>

#include "oneloop/base/error.hpp"
#include "oneloop/base/log.hpp"

// Sanitizers end the program without a signal; there it is, here it is null.
extern "C" [[gnu::weak, gnu::visibility("default")]] void __sanitizer_set_death_callback(
    void (*)());

namespace oneloop::inline v0::testing {
namespace {

// The seed of the simulation that this thread runs, for a crash.
struct running_seed {
  bool runs = false;
  std::uint64_t seed = 0;
};
constinit thread_local running_seed t_running;
[[gnu::noinline]] running_seed& this_run() noexcept { return t_running; }

// Async-signal-safe.
void name_seed() noexcept {
  const running_seed run = this_run();
  if (!run.runs) return;
  std::array<char, 128> text{};
  char* end = text.data();
  const auto add = [&](std::string_view s) { end = std::copy(s.begin(), s.end(), end); };
  const auto add_number = [&] { end = std::to_chars(end, end + 20, run.seed).ptr; };
  add("oneloop: the program ends in a simulation: seed ");
  add_number();
  add(", replay with ONELOOP_SEED=");
  add_number();
  add("\n");
  [[maybe_unused]] auto n =
      ::write(STDERR_FILENO, text.data(), static_cast<std::size_t>(end - text.data()));
}

constexpr std::array crashes{SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
std::array<struct sigaction, crashes.size()> g_before;

// Says the seed, and lets what was there before do its part: the instruction fails again, abort
// raises the signal once more.
void on_crash(int signo) noexcept {
  name_seed();
  for (std::size_t i = 0; i < crashes.size(); ++i) {
    if (crashes[i] == signo) ::sigaction(signo, &g_before[i], nullptr);
  }
}

void watch_for_crashes() noexcept {
  static const bool once = [] {
    struct sigaction action{};
    action.sa_handler = on_crash;
    action.sa_flags = SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    for (std::size_t i = 0; i < crashes.size(); ++i) {
      ::sigaction(crashes[i], &action, &g_before[i]);
    }
    if (__sanitizer_set_death_callback != nullptr) __sanitizer_set_death_callback(name_seed);
    return true;
  }();
  static_cast<void>(once);
}

}  // namespace

std::optional<std::uint64_t> seed_to_replay() {
  const char* value = std::getenv("ONELOOP_SEED");
  if (value == nullptr || *value == '\0') return std::nullopt;
  const std::string_view text{value};
  std::uint64_t seed = 0;
  const auto [end, failed] = std::from_chars(text.begin(), text.end(), seed);
  if (failed != std::errc{} || end != text.end()) {
    throw misuse{std::string{"ONELOOP_SEED: '"}.append(text).append("' is no seed: a number is")};
  }
  return seed;
}

std::string how_to_replay(std::uint64_t seed) {
  const std::string n = std::to_string(seed);
  return "seed " + n + ": replay with ONELOOP_SEED=" + n;
}

simulation::simulation(std::uint64_t seed)
    : seed_{seed_to_replay().value_or(seed)}, loop_{simulation_seed{seed_}} {
  trace_.begin(loop_);
}

simulation::~simulation() = default;

void simulation::report(const std::exception_ptr& failure) const noexcept {
  log(severity::error, "a simulation failed, " + how_to_replay(seed_) + ": " + describe(failure));
}

simulation::running::running(const simulation& s) noexcept {
  watch_for_crashes();
  this_run() = {.runs = true, .seed = s.seed_};
}
simulation::running::~running() { this_run() = {}; }

}  // namespace oneloop::inline v0::testing
