#include "oneloop/fiber/timeout.hpp"

#include <atomic>
#include <string>
#include <utility>

#include "oneloop/loop/loop.hpp"
#include "oneloop/loop/parker.hpp"

namespace oneloop::inline v0 {
namespace {

std::uint64_t next_id() noexcept {
  static constinit std::atomic<std::uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

timer_queue& timers_of(const context& c) {
  return c.home() != nullptr ? c.home()->timers() : parker::current().timers();
}

}  // namespace

timeout::alarm::alarm(timeout& t) noexcept
    : timer_node{[](timer_node& n) noexcept { static_cast<alarm&>(n).owner.scope_->cancel(); }},
      owner{t} {}

timeout::own_scope::own_scope(context& c, timeout& t)
    : cancel_scope{c.home(), c.scope().thread(), &c.scope()}, owner{t} {
  interrupt = raise;
}

timeout::timeout(std::optional<duration> d, std::source_location at)
    : length_{d}, at_{at}, id_{next_id()} {
  start();
}

void timeout::start() {
  if (pending()) throw misuse{"timeout: started while it is pending"};
  context& c = context::blocking("timeout");
  scope_.emplace(c, *this);
  c.enter(*scope_);
  party_ = &c;
  if (!length_) return;
  const time_point now = c.home() != nullptr ? c.home()->now() : clock::now();
  timers_of(c).add(timer_, *length_ > duration::zero() ? after(now, *length_) : now);
}

void timeout::cancel() noexcept {
  if (!pending()) return;
  if (timer_.pending()) timers_of(*party_).remove(timer_);
  std::exchange(party_, nullptr)->leave(*scope_);
  scope_->dissolve();  // a nursery that is being closed may still be in it
  scope_.reset();
}

void timeout::raise(cancel_scope& s, context& c) {
  timeout& t = static_cast<own_scope&>(s).owner;
  if (t.party_ != &c) return;  // a child of a nursery in it is just cancelled
  t.cancel();
  std::string text = "timeout";
  if (t.length_) {
    text.append(" of ")
        .append(std::to_string(
            std::chrono::duration_cast<std::chrono::milliseconds>(*t.length_).count()))
        .append(" ms");
  }
  text.append(" expired (started at ").append(t.at_.file_name()).append(":");
  text.append(std::to_string(t.at_.line())).append(")");
  throw timeout_expired{t.id_, text};
}

}  // namespace oneloop::inline v0
