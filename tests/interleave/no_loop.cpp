// What the parts under test would ask a loop or a thread's parker for. In these tests nobody has a
// loop and no scope has a deadline: the linker wants it, nothing calls it, but for what `wake` and
// timers do.
#include <cstddef>
#include <cstdlib>

#include "oneloop/base/error.hpp"
#include "oneloop/channel/conduit.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/loop/parker.hpp"
#include "oneloop/loop/timer_queue.hpp"
#include "oneloop/scope/debug.hpp"
#include "oneloop/scope/root.hpp"

namespace oneloop::inline v0 {

const operation_info waiter::giving_way{"its turn", [](void*, waiter&) noexcept {}};
void waiter::wake() noexcept { run(*this); }
void throw_refused(refusal, const char* operation) { throw closed_error{operation}; }

parker& parker::current() {
  alignas(parker) static std::byte nobody[sizeof(parker)];
  return *reinterpret_cast<parker*>(nobody);
}
void timer_queue::add(timer_node&, time_point) noexcept { std::abort(); }
bool timer_queue::remove(timer_node&) noexcept { return false; }

void report_misnested(const context&) noexcept { std::abort(); }
void check_own_thread(const loop*, const char*) noexcept {}
loop* loop::current() noexcept { return nullptr; }
time_point loop::now() const noexcept { std::abort(); }
void loop::check_thread(const char*) const { std::abort(); }
void loop::refuse_other_threads(const char*) const { std::abort(); }
void loop::refuse_in_simulation(const char*) { std::abort(); }
loop_extension* loop::find_extension(const void*) noexcept { std::abort(); }
void loop::add_extension(const void*, std::unique_ptr<loop_extension>) { std::abort(); }
loop_extension::~loop_extension() = default;
loop_root::loop_root(loop& l)
    : loop_{l},
      scope_{&l, nullptr, nullptr},
      self_{party_kind::callback, &l, nullptr, scope_, nullptr, spawn_info{"loop", {}}} {
  std::abort();
}
loop_root::~loop_root() = default;
std::exception_ptr loop_root::drain() { std::abort(); }
bool loop_root::asleep_for_good(const std::exception_ptr&) { std::abort(); }
void loop_root::watcher::changed(bool) noexcept { std::abort(); }
thread_root& thread_root::current() { std::abort(); }
thread_root& thread_root::begin(spawn_info) { std::abort(); }
void thread_root::finish() noexcept { std::abort(); }

}  // namespace oneloop::inline v0
