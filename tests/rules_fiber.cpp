// The rules, of calls that wait in a fiber, and are no operations.
#include <functional>
#include <optional>

#include "oneloop/fiber/green.hpp"
#include "oneloop/fiber/group.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/sync/event.hpp"
#include "tests/rules.hpp"

namespace oneloop::rules {
namespace {

using namespace std::chrono_literals;

constexpr subject::traits of_a_call_of_fibers{
    .threads = false, .call = true, .at_once = false, .one_each = false, .leaves_trace = false};

/// The pool's only fiber waits; when that has ended there is another one.
class pool_subject : public subject {
 public:
  pool_subject() : subject{of_a_call_of_fibers} {}
  void end() override { go_.set(); }
  void again() override {
    if (pool_.full() && !go_.is_set()) return;
    pool_.wait_available();
    go_.reset();
    member_ = pool_.spawn([this] { await(go_.wait()); });
  }
  void complete() override {
    go_.set();
    while (!member_->ready()) await(yield_now());
  }

 protected:
  event go_;
  fiber_pool pool_{1};
  std::optional<fiber<>> member_;
};
class place_subject final : public pool_subject {
  void call() override { EXPECT_GT(pool_.wait_available(), 0u); }
};
class spawn_subject final : public pool_subject {
  void call() override {
    pool_.spawn([] {});
  }
};
class fiber_join_subject final : public pool_subject {
  void call() override { EXPECT_TRUE(member_->join()); }
};
class fiber_get_subject final : public pool_subject {
  void call() override { member_->get(); }
};
class iwait_subject final : public pool_subject {
  void call() override { EXPECT_TRUE(iwait({*member_}).next()); }
};
class group_join_subject final : public pool_subject {
  void call() override { EXPECT_TRUE(pool_.join()); }
};
template <bool raise_error, std::size_t count>
class joinall_subject final : public pool_subject {
  void call() override { EXPECT_EQ(joinall({*member_}, {}, raise_error, count).size(), 1u); }
};
class green_wait_subject final : public pool_subject {
  void call() override { EXPECT_EQ(oneloop::wait({*member_}, 1000h).size(), 1u); }
};

const bool fiber_enrolled =
    enrol<place_subject>("fiber_pool_wait_available") && enrol<spawn_subject>("fiber_pool_spawn") &&
    enrol<group_join_subject>("fiber_group_join") && enrol<fiber_join_subject>("fiber_join") &&
    enrol<fiber_get_subject>("fiber_get") && enrol<iwait_subject>("iwait_next") &&
    enrol<joinall_subject<false, all_of_them>>("joinall") &&
    enrol<joinall_subject<true, all_of_them>>("joinall_raise_error") &&
    enrol<joinall_subject<false, 1>>("joinall_count") &&
    enrol<green_wait_subject>("wait_for_fibers");

}  // namespace
}  // namespace oneloop::rules
