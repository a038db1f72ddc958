#include "oneloop/scope/in_place.hpp"

#include <utility>

#include "oneloop/scope/root.hpp"

namespace oneloop::inline v0::detail {

struct in_place_wait::party final : context {
  party(in_place_wait& w, context& t, loop& l, cancel_scope& proxy)
      : context{party_kind::thread,
                &l,
                resumed,
                proxy,
                &loop_root::of(l).self(),
                spawn_info{t.name(), t.spawned_at()}},
        wait{w},
        thread{t} {
    exchange_values();
  }
  ~party() { exchange_values(); }
  party(const party&) = delete;
  party& operator=(const party&) = delete;

  // It is the thread's party, so what belongs to that goes along.
  void exchange_values() noexcept {
    std::swap(locals, thread.locals);
    std::swap(values, thread.values);
  }

  static void resumed(ready_item& item) noexcept {
    auto& self = static_cast<party&>(item);
    self.home()->active = &self;
    self.home()->note_progress();
    try {
      if (!std::exchange(self.begun, true) && self.wait.begin(self)) return;
      self.wait.settle(self.finish());
    } catch (...) {
      self.failure = std::current_exception();
    }
    self.done = true;
  }

  in_place_wait& wait;
  context& thread;
  bool begun = false;
  bool done = false;
  std::exception_ptr failure;
};

void in_place_wait::run(context& thread) {
  thread_root& root = thread_root::current();
  loop& l = root.own_loop();
  const thread_root::held_up waiting{root};
  std::exception_ptr failure;
  {
    cancel_scope proxy{&l, nullptr, &loop_root::of(l).children().scope()};
    const scope_tie tie{thread.scope(), proxy.handle()};
    party self{*this, thread, l, proxy};
    l.run_until(self.done, &self, &parker::current().timers());
    failure = std::move(self.failure);
  }
  loop_root::rethrow(std::move(failure), l.drain());
}

}  // namespace oneloop::inline v0::detail
