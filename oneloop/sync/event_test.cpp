#include "oneloop/sync/event.hpp"

#include <array>
#include <memory>
#include <thread>
#include <vector>

#include "oneloop/sync/test_waiter.hpp"

namespace oneloop::inline v0::test {
namespace {

TEST(event, set_wakes_everybody_in_order) {
  event e;
  static std::vector<int> order;
  order.clear();
  std::vector<std::unique_ptr<attempt<event::wait_operation>>> waits;
  static std::array<int, 3> ids{0, 1, 2};
  for (int& id : ids) {
    auto& a = *waits.emplace_back(std::make_unique<attempt<event::wait_operation>>(e.wait()));
    a.party().context = &id;
    a.party().on_resume = [](noting_waiter& w) { order.push_back(*static_cast<int*>(w.context)); };
  }
  EXPECT_EQ(e.statistics().waiting, 3u);
  e.set();
  EXPECT_EQ(order, (std::vector{0, 1, 2}));
  EXPECT_TRUE(e.is_set());
  EXPECT_TRUE(e.statistics().is_set);
  EXPECT_EQ(e.statistics().waiting, 0u);
}

TEST(event, stays_set_until_reset) {
  event e;
  e.set();
  e.set();
  EXPECT_TRUE(attempt{e.wait()}.immediate());
  e.reset();
  EXPECT_FALSE(e.is_set());
  attempt a{e.wait()};
  EXPECT_TRUE(a.waits());
  e.set();
  EXPECT_TRUE(a.completed());
}

TEST(event, reset_does_not_take_back_a_wake_up) {
  event e;
  attempt a{e.wait()};
  e.set();
  e.reset();
  EXPECT_TRUE(a.completed());
}

TEST(event, may_start_set) { EXPECT_TRUE(event{true}.is_set()); }

TEST(event, one_that_is_woken_may_wait_again_from_the_wake_up) {
  event e;
  struct again {
    event* e;
    std::unique_ptr<attempt<event::wait_operation>> second;
  } state{&e, nullptr};
  attempt a{e.wait()};
  a.party().context = &state;
  a.party().on_resume = [](noting_waiter& w) {
    auto& s = *static_cast<again*>(w.context);
    s.e->reset();
    s.second = std::make_unique<attempt<event::wait_operation>>(s.e->wait());
  };
  e.set();
  ASSERT_NE(state.second, nullptr);
  EXPECT_TRUE(state.second->waits());
  e.set();
  EXPECT_TRUE(state.second->completed());
}

TEST(event, may_be_destroyed_as_soon_as_wait_returns) {
  // The party that waits owns the event; the setter must not touch it after the wake-up, nor after
  // a wait that found it set.
  for (int i = 0; i < 2000; ++i) {
    auto e = std::make_unique<event>();
    std::thread setter{[p = e.get()] { p->set(); }};
    thread_party me;
    auto w = e->wait();
    EXPECT_TRUE(me.wait(w));
    e.reset();
    setter.join();
  }
}

}  // namespace
}  // namespace oneloop::inline v0::test
