#include "oneloop/loop/runtime.hpp"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "oneloop/base/error.hpp"
#include "oneloop/base/log.hpp"

namespace oneloop::inline v0 {
namespace {

std::size_t usable_cores() noexcept {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return static_cast<std::size_t>(std::max(1, CPU_COUNT(&set)));
}

// Sets a flag on its loop's thread; sent once.
struct flag final : ready_item {
  flag() {
    run = [](ready_item& item) noexcept { static_cast<flag&>(item).set = true; };
  }
  bool set = false;
};

// Runs once its loop is driven.
struct arrival final : ready_item {
  arrival() {
    run = [](ready_item& item) noexcept { static_cast<arrival&>(item).announce(); };
  }
  void announce() noexcept {
    here.store(true, std::memory_order_release);
    here.notify_one();
  }
  std::atomic<bool> here{false};
};

}  // namespace

struct runtime::state {
  struct slot {
    explicit slot(const std::string& backend) : loop{backend} {}
    arrival driving;
    flag stopping;
    flag released;
    std::exception_ptr failures[2];
    oneloop::loop loop;  // after the flags: its inbox may hold them until it dies
    std::thread thread;
  };

  void request_stop() noexcept {
    if (stop_requested.exchange(true, std::memory_order_acq_rel)) return;
    for (auto& s : slots) s->loop.mail().push(s->stopping);
  }

  void drive(slot& s) noexcept {
    try {
      s.loop.run_until(s.stopping.set, &s.driving);
      s.failures[0] = s.loop.drain();
    } catch (...) {
      s.failures[0] = std::current_exception();
      request_stop();
    }
    s.driving.announce();  // also if it could not be driven
    // What this loop owned has ended. Others may still need it, until all have come here.
    arrived(1);
    try {
      s.loop.run_until(s.released.set);
      s.failures[1] = s.loop.drain();
    } catch (...) {
      if (!s.failures[0]) s.failures[1] = std::current_exception();
    }
    s.loop.close();
  }

  void arrived(std::size_t n) noexcept {
    if (drained.fetch_add(n, std::memory_order_acq_rel) + n != slots.size()) return;
    for (auto& s : slots) s->loop.mail().push(s->released);
  }

  std::exception_ptr join() {
    std::scoped_lock l{joining};
    std::vector<std::exception_ptr> failures;
    for (auto& s : slots) {
      if (s->thread.joinable()) s->thread.join();
      for (auto& f : s->failures) {
        if (f) failures.push_back(std::exchange(f, nullptr));
      }
    }
    if (failures.empty()) return nullptr;
    if (failures.size() == 1) return std::move(failures.front());
    return std::make_exception_ptr(exception_group{std::move(failures)});
  }

  std::vector<std::unique_ptr<slot>> slots;
  std::atomic<bool> stop_requested{false};
  std::atomic<std::size_t> drained{0};
  std::mutex joining;
};

runtime::runtime() : runtime{usable_cores()} {}

runtime::runtime(std::size_t loops, const runtime_options& options)
    : state_{std::make_unique<state>()} {
  if (loops == 0) throw misuse{"runtime: at least one loop is needed"};
  loop::refuse_in_simulation("runtime");
  for (std::size_t i = 0; i < loops; ++i) {
    auto& s = *state_->slots.emplace_back(std::make_unique<state::slot>(options.backend_));
    s.loop.when_root_cancelled = {
        [](void* shared) noexcept { static_cast<state*>(shared)->request_stop(); }, state_.get()};
  }
  std::size_t started = 0;
  try {
    for (; started < loops; ++started) {
      auto& s = *state_->slots[started];
      s.loop.expect_driver();
      s.thread = std::thread{[shared = state_.get(), &s] { shared->drive(s); }};
      const std::string name =
          options.name_.substr(0, 12) + "-" + std::to_string(started);  // with its end, 16 at most
      ::pthread_setname_np(s.thread.native_handle(), name.substr(0, 15).c_str());
    }
  } catch (const std::system_error& e) {
    state_->request_stop();
    state_->arrived(loops - started);
    static_cast<void>(state_->join());
    throw error{"runtime", "start a thread", e.code()};
  }
  // A backend may refuse when its thread first drives it.
  for (auto& s : state_->slots) s->driving.here.wait(false, std::memory_order_acquire);
  if (state_->stop_requested.load(std::memory_order_acquire)) {
    if (auto failure = state_->join()) std::rethrow_exception(std::move(failure));
  }
}

runtime::~runtime() {
  state_->request_stop();
  if (auto failure = state_->join()) {
    log(severity::error, "a party of a runtime failed: " + describe(failure));
  }
}

std::size_t runtime::size() const noexcept { return state_->slots.size(); }

oneloop::loop& runtime::loop(std::size_t i) {
  if (i >= size()) throw misuse{"runtime: there is no loop " + std::to_string(i)};
  return state_->slots[i]->loop;
}

void runtime::request_stop() noexcept { state_->request_stop(); }

void runtime::join() {
  if (oneloop::loop::current() != nullptr) throw would_block_loop{"runtime::join"};
  if (auto failure = state_->join()) std::rethrow_exception(std::move(failure));
}

}  // namespace oneloop::inline v0
