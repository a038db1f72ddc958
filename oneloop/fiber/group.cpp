#include "oneloop/fiber/group.hpp"

#include <algorithm>
#include <string>

#include "oneloop/base/log.hpp"
#include "oneloop/scope/region.hpp"
#include "oneloop/scope/timeout.hpp"

namespace oneloop::inline v0 {
namespace detail {
namespace {

// The group that has started the calling fiber.
fiber_local<const group_core*>& caller_group() {
  static auto& local = *new fiber_local<const group_core*>;  // outlives every fiber
  return local;
}

}  // namespace

group_core::group_core(std::optional<std::size_t> size) {
  if (size) places.emplace(*size);
}

semaphore_permit group_core::enter() {
  if (loop::current() == nullptr) throw loop_not_running{"fiber_group in a plain thread"};
  return places ? await(places->permit()) : semaphore_permit{};
}

void group_core::track(const any_fiber& f, semaphore_permit place) {
  join_state& s = f.checked();
  fibers.insert(f);
  empty.reset();
  auto leave = [this, self = shared_from_this(), &s, placed = static_cast<bool>(place)] {
    if (placed) places->release();
    if (fibers.erase(s) && fibers.empty()) empty.set();
  };
  // At once, where that is possible: who has seen the end of a fiber finds its place free.
  if (!s.begun() && !s.at_end && s.link().mail == &loop::current()->mail() && !s.finished()) {
    s.at_end = std::move(leave);
  } else {
    watch_end(s, link_when::ended, true, std::move(leave), std::source_location::current());
  }
  place.release();
}

void group_core::discard(const any_fiber& f) noexcept {
  if (fibers.erase(f.checked()) && fibers.empty()) empty.set();
}

bool group_core::join(std::optional<duration> limit) {
  if (limit) {
    await(move_on_after(*limit, empty.wait()));
  } else {
    await(empty.wait());
  }
  return fibers.empty();
}

bool group_core::calls() const { return caller_group().has_value() && *caller_group() == this; }

void group_core::mark() const { caller_group() = this; }

void join_owned(const any_fiber& f) {
  try {
    f.join();
  } catch (...) {
    f.kill(false);
    shielded([&] { f.join(); });
    throw;
  }
}

void abandon(const std::vector<any_fiber>& fibers) noexcept {
  for (const any_fiber& f : fibers) f.kill(false);
  const auto report = [](const any_fiber& f) {
    if (auto failure = f.exception()) {
      log(severity::error, "a call of a map that was left early failed: " + describe(failure));
    }
  };
  for (const any_fiber& f : fibers) {
    if (!f.ready() && context::current().parks == nullptr) {
      f.link(report);  // a coroutine cannot wait here
      continue;
    }
    if (!f.ready()) shielded([&] { f.join(); });
    report(f);
  }
}

}  // namespace detail

fiber_group::fiber_group(std::optional<std::size_t> size)
    : core_{std::make_shared<detail::group_core>(size)} {}

void fiber_group::add(const any_fiber& f) {
  if (contains(f)) return;
  auto place = core_->enter();
  core_->track(f, std::move(place));
}

bool fiber_group::contains(const any_fiber& f) const { return core_->fibers.contains(f.checked()); }

bool fiber_group::join(std::optional<duration> limit, bool raise_error) {
  if (!raise_error) return core_->join(limit);
  const auto all = core_->members();
  return joinall(all, limit, true).size() == all.size();
}

bool fiber_group::kill(bool block, std::optional<duration> limit) {
  return killall(core_->members(), block, limit);
}

bool fiber_group::killone(const any_fiber& f, bool block, std::optional<duration> limit) {
  return contains(f) && f.kill(block, limit);
}

std::size_t fiber_pool::wait_available(std::optional<duration> limit) {
  // The permit is given back at once; with it the next one who waits takes the place.
  std::optional<semaphore_permit> place;
  if (!limit) {
    place = await(core().places->permit());
  } else {
    place = await(move_on_after(*limit, core().places->permit()));
  }
  return place ? free_count() + 1 : 0;
}

}  // namespace oneloop::inline v0
