#include "oneloop/fiber/green.hpp"

#include "oneloop/scope/timeout.hpp"

namespace oneloop::inline v0 {
namespace detail {

nursery& current_nursery(const char* what) {
  loop* l = loop::current();
  if (nursery* n = context::current().innermost_nursery()) return *n;
  if (l == nullptr) {
    throw loop_not_running{std::string{what} + " in a plain thread that is in no nursery"};
  }
  return loop_root::of(*l).children();
}

// A party that only waits for the end of another: a record, no stack.
class end_watch final : public child, public pooled {
 public:
  using pooled::operator new;
  using pooled::operator delete;

  end_watch(join_state& s, nursery& n, loop& l, link_when when, bool at_once,
            std::move_only_function<void()> code, std::shared_ptr<watch_slot> slot,
            std::source_location at)
      : child{party_kind::callback, n, resumed, spawn_info{"link", at}},
        nursery_{n},
        // The loop's own children end before it does, also when it is being drained.
        certain_{s.link().mail == &l.mail()},
        when_{when},
        at_once_{at_once},
        code_{std::move(code)},
        slot_{std::move(slot)},
        state_{s},
        ended_{std::in_place, s} {
    slot_->watch = this;
    begin();
    given_up_ = !certain_ && self().scope().cancelled();
    if (given_up_) {
      self().home()->make_ready(self());
    } else {
      wait();
    }
  }

  void give_up() noexcept {
    certain_ = false;
    given_up_ = true;
    self().request_cancel();
  }

 private:
  void wait() noexcept {
    if (!ended_->await_suspend(self())) self().home()->make_ready(self());
  }

  static void resumed(ready_item& item) noexcept {
    auto& c = static_cast<context&>(item);
    c.home()->active = &c;
    c.home()->note_progress();
    auto& me = static_cast<end_watch&>(of(item));
    const bool over = c.finish() == outcome::completed;
    if (!over && me.certain_) return me.wait();
    me.slot_->watch = nullptr;
    if (over && !me.given_up_ && me.wanted()) me.error_ = me.fire();
    end(me);
  }
  friend class child;
  std::exception_ptr take_error() noexcept { return std::move(error_); }

  bool wanted() const noexcept {
    return when_ == link_when::ended || (when_ == link_when::failed) == state_.failed();
  }

  std::exception_ptr fire() noexcept {
    try {
      if (at_once_) {
        code_();
      } else {
        nursery_.start_at(self().spawned_at(), named{"link", std::move(code_)});
      }
      code_ = nullptr;
      return nullptr;
    } catch (...) {
      return std::current_exception();
    }
  }

  nursery& nursery_;
  bool certain_;
  link_when when_;
  bool at_once_;
  bool given_up_ = false;
  std::exception_ptr error_;
  std::move_only_function<void()> code_;
  std::shared_ptr<watch_slot> slot_;
  join_state& state_;  // which the wait keeps
  std::optional<ended_wait> ended_;
};

std::shared_ptr<watch_slot> watch_end(join_state& s, link_when when, bool at_once,
                                      std::move_only_function<void()> code,
                                      std::source_location at) {
  loop* l = loop::current();
  if (l == nullptr) throw loop_not_running{"fiber.link in a plain thread"};
  auto slot = std::make_shared<watch_slot>();
  new end_watch{s, loop_root::of(*l).children(), *l, when, at_once, std::move(code), slot, at};
  return slot;
}

}  // namespace detail

void fiber_link::unlink() noexcept {
  if (slot_ != nullptr && slot_->watch != nullptr) slot_->watch->give_up();
  slot_.reset();
}

bool any_fiber::join(std::optional<duration> limit) const {
  detail::join_state& s = checked();
  detail::ended_wait ended{s};
  if (limit) {
    await(move_on_after(*limit, ended));
  } else {
    await(ended);
  }
  return s.finished();
}

bool any_fiber::kill(bool block, std::optional<duration> limit) const {
  checked().kill();
  return block ? join(limit) : ready();
}

}  // namespace oneloop::inline v0
