#include "oneloop/sync/capacity_limiter.hpp"

#include <memory>
#include <string>
#include <thread>

#include "oneloop/base/error.hpp"
#include "oneloop/channel/select.hpp"
#include "oneloop/deferred/deferred.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/sync/semaphore.hpp"
#include "oneloop/sync/test_waiter.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"

namespace oneloop::inline v0::test {
namespace {

using namespace std::chrono_literals;

TEST(capacity_limiter, lends_as_many_as_there_are) {
  const int a = 0, b = 0, c = 0;
  capacity_limiter l{2};
  auto p = l.try_permit_on_behalf_of(&a);
  auto q = l.try_permit_on_behalf_of(&b);
  EXPECT_TRUE(p && q);
  EXPECT_FALSE(l.try_permit_on_behalf_of(&c));
  attempt w{l.permit_on_behalf_of(&c)};
  EXPECT_TRUE(w.waits());
  const auto s = l.statistics();
  EXPECT_EQ(s.total, 2u);
  EXPECT_EQ(s.borrowed, 2u);
  EXPECT_EQ(s.waiting, 1u);
  EXPECT_EQ(s.borrowers.size(), 2u);
  p.give_back();
  EXPECT_TRUE(w.completed());
  q.give_back();
  EXPECT_EQ(l.available(), 1u);
}

TEST(capacity_limiter, the_same_borrower_twice_is_misuse) {
  const int job = 0;
  capacity_limiter l{3, "connections"};
  auto p = l.try_permit_on_behalf_of(&job);
  EXPECT_THROW((void)l.try_permit_on_behalf_of(&job), misuse);
  EXPECT_THROW(await(l.acquire_on_behalf_of(&job)), misuse);
  await(l.acquire());
  try {
    await(l.acquire());
    FAIL();
  } catch (const misuse& e) {
    EXPECT_STREQ(e.what(),
                 "capacity_limiter.acquire connections: this borrower has a permit already");
  }
  EXPECT_EQ(l.borrowed(), 2u) << "nothing was lent by mistake";
  l.release();
  EXPECT_THROW(l.release(), misuse);
  EXPECT_THROW(l.release_on_behalf_of(&l), misuse);
}

TEST(capacity_limiter, the_same_borrower_twice_in_line_fails_at_its_second_turn) {
  const int job = 0, other = 0;
  capacity_limiter l{1};
  auto held = l.try_permit_on_behalf_of(&other);
  attempt a{l.permit_on_behalf_of(&job)}, b{l.permit_on_behalf_of(&job)};
  l.set_total(3);
  EXPECT_TRUE(a.completed());
  EXPECT_THROW((void)b.result(), misuse);
  EXPECT_EQ(l.borrowed(), 2u);
}

TEST(capacity_limiter, parties_are_borrowers_each_for_itself) {
  const auto main = [](capacity_limiter& l) -> task<> {
    auto mine = co_await l.permit();
    bool refused = false;
    try {
      auto again = co_await l.permit();
    } catch (const misuse&) {
      refused = true;
    }
    EXPECT_TRUE(refused);
    const auto body = [&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        co_await l.acquire();
        l.release();
      });
      co_return;
    };
    co_await with_nursery(body);
    EXPECT_EQ(l.borrowed(), 1u);
    // Callbacks are only counted.
    auto x = co_await defer(l.permit());
    auto y = co_await defer(l.permit());
    EXPECT_EQ(l.borrowed(), 3u);
  };
  capacity_limiter l{3};
  run(main(l), "virtual");
  EXPECT_EQ(l.borrowed(), 0u);
}

TEST(capacity_limiter, total_goes_up_and_down) {
  capacity_limiter l{1};
  auto a = attempt{l.permit()}.result();
  attempt b{l.permit()}, c{l.permit()}, d{l.permit()};
  l.set_total(3);
  EXPECT_TRUE(b.completed());
  EXPECT_TRUE(c.completed());
  EXPECT_TRUE(d.waits());
  l.set_total(1);
  EXPECT_EQ(l.available(), 0u);
  a.give_back();
  b.result().give_back();
  EXPECT_TRUE(d.waits()) << "one too many was lent";
  c.result().give_back();
  EXPECT_TRUE(d.completed());
  l.set_total(capacity_limiter::unlimited);
  EXPECT_EQ(l.total(), capacity_limiter::unlimited);
  EXPECT_TRUE(attempt{l.permit()}.immediate());
}

TEST(capacity_limiter, a_permit_of_a_cancelled_waiter_goes_to_the_next) {
  capacity_limiter l{0};
  attempt a{l.permit()}, b{l.permit()};
  auto woken = std::make_unique<attempt<capacity_limiter::permit_operation>>(l.permit());
  a.cancel();
  EXPECT_TRUE(a.was_cancelled());
  l.set_total(1);
  EXPECT_TRUE(b.completed());
  b.result().give_back();
  EXPECT_TRUE(woken->completed());
  woken.reset();  // never picked up
  EXPECT_EQ(l.available(), 1u);
}

TEST(capacity_limiter, is_a_case_of_a_select) {
  capacity_limiter l{0};
  event e;
  attempt s{select(l.permit(), e.wait())};
  l.set_total(1);
  auto r = s.result();
  EXPECT_EQ(r.index(), 0u);
  EXPECT_EQ(l.borrowed(), 1u);
}

TEST(bounded_semaphore, refuses_a_release_beyond_its_start) {
  bounded_semaphore s{2};
  EXPECT_THROW(s.release(), misuse);
  auto p = s.try_permit();
  EXPECT_THROW(s.release(2), misuse);
  s.release();
  EXPECT_EQ(s.available(), 2u);
  p.release();
}

}  // namespace
}  // namespace oneloop::inline v0::test
