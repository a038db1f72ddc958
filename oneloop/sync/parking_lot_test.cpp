#include "oneloop/sync/parking_lot.hpp"

#include <vector>

#include "oneloop/sync/test_waiter.hpp"

namespace oneloop::inline v0::test {
namespace {

// The smallest primitive: opens for one party at a time, in order. The header's example.
class gate {
 public:
  class pass_operation : public parking_operation<pass_operation, gate> {
   public:
    static constexpr const char* name = "gate.pass";
    explicit pass_operation(gate& g) : parking_operation{g} {}
    void await_resume() const noexcept {}
    enlisted attempt(waiter* w) noexcept {
      std::scoped_lock hold{owner().lock_};
      if (w != nullptr) owner().lot_.park(*this, *w);
      return enlisted::waiting;
    }
  };

  pass_operation pass() { return pass_operation{*this}; }
  bool pass_one() {
    pass_operation* next;
    {
      std::scoped_lock hold{lock_};
      next = lot_.take();
    }
    if (next == nullptr) return false;
    next->who()->wake();
    return true;
  }
  parking_lot<pass_operation>::taken take(waiter* actor) {
    std::scoped_lock hold{lock_};
    return lot_.take(actor);
  }
  std::size_t waiting() {
    std::scoped_lock hold{lock_};
    return lot_.size();
  }

 private:
  template <class, class>
  friend class oneloop::parking_operation;
  short_mutex lock_;
  parking_lot<pass_operation> lot_;
};

constexpr operation_info test_info{"test", nullptr};

TEST(parking_lot, hands_over_in_the_order_of_arrival) {
  gate g;
  attempt a{g.pass()}, b{g.pass()};
  EXPECT_TRUE(g.pass_one());
  EXPECT_TRUE(a.completed());
  EXPECT_TRUE(b.waits());
  EXPECT_TRUE(g.pass_one());
  EXPECT_TRUE(b.completed());
  EXPECT_FALSE(g.pass_one());
}

TEST(parking_lot, a_node_with_a_lost_claim_is_unlinked_by_whoever_meets_it) {
  gate g;
  noting_waiter w;
  auto lost = g.pass();
  w.arm_shared(nullptr, test_info);
  ASSERT_EQ(lost.enlist(w), enlisted::waiting);
  attempt b{g.pass()};
  ASSERT_TRUE(w.try_claim());
  EXPECT_TRUE(g.pass_one());
  EXPECT_TRUE(b.completed());
  EXPECT_FALSE(lost.won());
  EXPECT_EQ(g.waiting(), 0u);
}

TEST(parking_lot, an_actor_passes_its_own_nodes_over_and_leaves_them) {
  gate g;
  noting_waiter me;
  auto mine = g.pass();
  me.arm_shared(nullptr, test_info);
  ASSERT_EQ(mine.enlist(me), enlisted::waiting);
  EXPECT_EQ(g.take(&me).node, nullptr);
  EXPECT_EQ(g.waiting(), 1u);

  attempt other{g.pass()};
  auto [node, lost] = g.take(&me);
  ASSERT_EQ(node, &other.op());
  EXPECT_FALSE(lost);
  EXPECT_FALSE(me.claim_word().is_open()) << "both are claimed";
  EXPECT_EQ(g.waiting(), 1u);
  node->who()->wake();
  EXPECT_TRUE(other.completed());
}

TEST(parking_lot, an_actor_that_has_lost_takes_nobody) {
  gate g;
  attempt other{g.pass()};
  noting_waiter me;
  me.arm_shared(nullptr, test_info);
  ASSERT_TRUE(me.try_claim());
  auto [node, lost] = g.take(&me);
  EXPECT_EQ(node, nullptr);
  EXPECT_TRUE(lost);
  EXPECT_TRUE(other.waits());
  EXPECT_TRUE(g.pass_one());
  EXPECT_TRUE(other.completed());
}

TEST(parking_lot, a_select_that_finds_only_lost_nodes_is_still_open) {
  gate g;
  noting_waiter gone, me;
  auto op = g.pass();
  gone.arm_shared(nullptr, test_info);
  ASSERT_EQ(op.enlist(gone), enlisted::waiting);
  ASSERT_TRUE(gone.try_claim());
  me.arm_shared(nullptr, test_info);
  auto [node, lost] = g.take(&me);
  EXPECT_EQ(node, nullptr);
  EXPECT_FALSE(lost);
  EXPECT_EQ(g.waiting(), 0u);
  EXPECT_TRUE(me.try_claim());
}

TEST(parking_lot, a_hand_over_and_a_cancel_never_both_win) {
  for (bool cancel_first : {false, true}) {
    gate g;
    attempt a{g.pass()};
    if (cancel_first) a.cancel();
    EXPECT_EQ(g.pass_one(), !cancel_first);
    a.cancel();
    EXPECT_EQ(a.resumed(), 1);
    EXPECT_EQ(a.was_cancelled(), cancel_first);
    EXPECT_EQ(a.op().won(), !cancel_first);
  }
}

}  // namespace
}  // namespace oneloop::inline v0::test
