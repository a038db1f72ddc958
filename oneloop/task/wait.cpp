#include "oneloop/task/wait.hpp"

#include <deque>

namespace oneloop::inline v0::detail {
namespace {

// One waiter a child. None has a home: who completes it runs it, as it would rouse a thread.
class end_watches : public gathering, public std::enable_shared_from_this<end_watches> {
 public:
  using gathering::gathering;

  void start(const std::vector<join_state*>& children) {
    for (join_state* s : children) watches_.emplace_back(*this, *s);
    for (watch& w : watches_) w.start();
  }
  /// Those that nobody has completed are taken back; the others are on their way here.
  void stop() noexcept {
    for (watch& w : watches_) w.stop();
  }

 private:
  class watch final : waiter {
   public:
    watch(end_watches& owner, join_state& s)
        : waiter{nullptr, ended}, owner_{owner}, child_{s}, wait_{s} {}
    void start() {
      keep_ = owner_.shared_from_this();
      if (!wait_.await_suspend(*this)) ended(*this);
    }
    void stop() noexcept {
      if (!try_claim()) return;
      wait_.delist();
      keep_ = nullptr;
    }

   private:
    static void ended(ready_item& item) noexcept {
      auto& me = static_cast<watch&>(item);
      const std::shared_ptr<end_watches> keep = std::move(me.keep_);
      keep->one_ended(me.child_.failed());
    }
    end_watches& owner_;
    join_state& child_;
    ended_wait wait_;
    std::shared_ptr<end_watches> keep_;  // while a child may call
  };
  std::deque<watch> watches_;
};

}  // namespace

std::shared_ptr<gathering> watch_ends(const std::vector<join_state*>& children, return_when when) {
  auto watches = std::make_shared<end_watches>(children.size(), when);
  watches->start(children);
  gathering* const shared = watches.get();
  return {shared, [watches = std::move(watches)](gathering*) mutable {
            watches->stop();
            watches = nullptr;
          }};
}

}  // namespace oneloop::inline v0::detail
