// What every operation that parks must do, whatever it is: one typed suite, run over all of them.
// Not installed. A `Case` is default constructible and has
//     auto op();                // an operation that cannot finish yet
//     void satisfy();           // lets exactly one waiting (or later) operation finish
//     std::size_t waiting();    // how many are parked
//     static constexpr bool stores;   // satisfied with nobody there, it lets the next one finish
//     static constexpr bool one_each; // one satisfy() lets one finish (an event: all)
//     static constexpr bool handed_on; // optional: who is finished has it, and lets go when it
//     dies void let_go();            // if the operation acts on a cancel: lets go of what that has
//     given
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>

#include "oneloop/sync/test_waiter.hpp"

namespace oneloop::inline v0::test {

template <class Case>
class conformance : public testing::Test {
 protected:
  std::unique_ptr<Case> made_ = std::make_unique<Case>();
  Case& it() { return *made_; }
  auto start() { return std::make_unique<attempt<decltype(made_->op())>>(made_->op()); }
  /// Lets the one behind `done` finish, too.
  template <class Attempt>
  void next(std::unique_ptr<Attempt>& done) {
    if constexpr (requires { Case::handed_on; }) {
      done.reset();
    } else {
      it().satisfy();
    }
  }
  template <class Attempt>
  void cancel(std::unique_ptr<Attempt>& a) {
    a->cancel();
    EXPECT_TRUE(a->was_cancelled());
    if constexpr (requires { it().let_go(); }) it().let_go();
  }
  static constexpr bool selectable = retractable<decltype(made_->op())>;
};
TYPED_TEST_SUITE_P(conformance);

TYPED_TEST_P(conformance, waits_and_is_resumed_once) {
  auto a = this->start();
  EXPECT_TRUE(a->waits());
  EXPECT_EQ(this->it().waiting(), 1u);
  this->it().satisfy();
  EXPECT_EQ(a->resumed(), 1);
  EXPECT_TRUE(a->completed());
  EXPECT_TRUE(a->op().won());
  EXPECT_EQ(this->it().waiting(), 0u);
}

TYPED_TEST_P(conformance, finishes_without_suspending_when_it_can) {
  if (!TypeParam::stores) return;  // needs somebody on the other side
  this->it().satisfy();
  auto a = this->start();
  EXPECT_TRUE(a->immediate());
  EXPECT_TRUE(a->op().won());
  EXPECT_EQ(this->it().waiting(), 0u);
}

TYPED_TEST_P(conformance, is_served_in_the_order_of_arrival) {
  auto a = this->start(), b = this->start(), c = this->start();
  EXPECT_EQ(this->it().waiting(), 3u);
  this->it().satisfy();
  EXPECT_TRUE(a->completed());
  if (!TypeParam::one_each) return;
  EXPECT_TRUE(b->waits());
  this->next(a);
  EXPECT_TRUE(b->completed());
  EXPECT_TRUE(c->waits());
  this->next(b);
  EXPECT_TRUE(c->completed());
}

TYPED_TEST_P(conformance, cancelled_while_waiting_did_not_happen) {
  auto a = this->start();
  auto b = this->start();
  this->cancel(a);
  EXPECT_FALSE(a->op().won());
  EXPECT_EQ(this->it().waiting(), 1u);
  this->it().satisfy();  // nothing of it is spent on the cancelled one
  EXPECT_TRUE(b->completed());
  EXPECT_EQ(a->resumed(), 1);
}

TYPED_TEST_P(conformance, cancelled_in_the_middle_of_the_queue) {
  auto a = this->start(), b = this->start(), c = this->start();
  this->cancel(b);
  EXPECT_EQ(this->it().waiting(), 2u);
  this->it().satisfy();
  EXPECT_TRUE(a->completed());
  if (TypeParam::one_each) this->next(a);
  EXPECT_TRUE(c->completed());
}

TYPED_TEST_P(conformance, cancel_that_comes_too_late_delivers_the_result) {
  auto a = this->start();
  this->it().satisfy();
  a->cancel();
  EXPECT_TRUE(a->completed());
  EXPECT_EQ(a->resumed(), 1);
  EXPECT_TRUE(a->op().won());
}

TYPED_TEST_P(conformance, cancel_after_completion_touches_only_the_waiter) {
  // Completed, woken, not resumed yet; the party that held the primitive is done with it. An
  // operation that holds something (a lock) must be finished first, so this one is let go.
  auto a = this->start();
  this->it().satisfy();
  static_cast<void>(a->op().await_resume());
  this->made_.reset();
  a->cancel();
  EXPECT_EQ(a->resumed(), 1);
}

TYPED_TEST_P(conformance, one_that_dies_while_waiting_leaves_no_ghost) {
  auto a = this->start();
  auto b = this->start();
  a.reset();
  EXPECT_EQ(this->it().waiting(), 1u);
  this->it().satisfy();
  EXPECT_TRUE(b->completed());
}

TYPED_TEST_P(conformance, one_that_dies_unstarted_or_was_moved_changes_nothing) {
  {
    auto first = this->it().op();
    auto second = std::move(first);
    EXPECT_EQ(this->it().waiting(), 0u);
    attempt started{std::move(second)};
    EXPECT_TRUE(started.waits());
    this->it().satisfy();
    EXPECT_TRUE(started.completed());
  }
  EXPECT_EQ(this->it().waiting(), 0u);
}

TYPED_TEST_P(conformance, a_lost_claim_is_passed_over_and_unlinked) {
  if constexpr (TestFixture::selectable) {
    noting_waiter w;
    auto op = this->it().op();
    w.arm_shared(nullptr, operation_info{"test", nullptr});
    ASSERT_EQ(op.enlist(w), enlisted::waiting);
    auto b = this->start();
    ASSERT_TRUE(w.try_claim());  // another case has won; this one is not taken back yet
    EXPECT_EQ(this->it().waiting(), 2u);
    this->it().satisfy();
    EXPECT_TRUE(b->completed());
    EXPECT_FALSE(op.won());
    EXPECT_EQ(w.resumed, 0);
    EXPECT_EQ(this->it().waiting(), 0u);
    op.delist();  // idempotent, also when it has been unlinked already
    op.delist();
  }
}

TYPED_TEST_P(conformance, delisted_it_may_be_started_again) {
  if constexpr (TestFixture::selectable) {
    noting_waiter w;
    auto op = this->it().op();
    w.arm_shared(nullptr, operation_info{"test", nullptr});
    ASSERT_EQ(op.enlist(w), enlisted::waiting);
    op.delist();
    EXPECT_EQ(this->it().waiting(), 0u);
    w.arm_shared(nullptr, operation_info{"test", nullptr});
    ASSERT_EQ(op.enlist(w), enlisted::waiting);
    EXPECT_EQ(this->it().waiting(), 1u);
    this->it().satisfy();
    EXPECT_EQ(w.resumed, 1);
    EXPECT_TRUE(op.won());
  }
}

TYPED_TEST_P(conformance, a_select_that_has_lost_takes_nothing) {
  if (!TypeParam::stores) return;  // see a_select_that_has_lost_pairs_with_nobody in select_test
  if constexpr (TestFixture::selectable) {
    this->it().satisfy();
    noting_waiter w;
    auto op = this->it().op();
    w.arm_shared(nullptr, operation_info{"test", nullptr});
    ASSERT_TRUE(w.try_claim());
    // (A nested select may answer "waiting": the winner could be one of its own cases.)
    EXPECT_NE(op.enlist(w), enlisted::completed);
    op.delist();
    EXPECT_FALSE(op.won());
    EXPECT_TRUE(this->start()->immediate());
  }
}

TYPED_TEST_P(conformance, a_try_never_waits) {
  if constexpr (TestFixture::selectable) {
    auto op = this->it().op();
    EXPECT_FALSE(op.try_now());
    EXPECT_EQ(this->it().waiting(), 0u);
    EXPECT_FALSE(op.won());
    if (!TypeParam::stores) return;
    this->it().satisfy();
    EXPECT_TRUE(op.try_now());
    EXPECT_TRUE(op.won());
  }
}

TYPED_TEST_P(conformance, wakes_after_its_lock_is_released) {
  // Without a home, a waiter is resumed inside `wake`: so this looks at the primitive from there.
  auto a = this->start();
  a->party().context = &this->it();
  a->party().on_resume = [](noting_waiter& w) {
    EXPECT_EQ(static_cast<TypeParam*>(w.context)->waiting(), 0u);
  };
  this->it().satisfy();
  EXPECT_EQ(a->resumed(), 1);
}

REGISTER_TYPED_TEST_SUITE_P(
    conformance, waits_and_is_resumed_once, finishes_without_suspending_when_it_can,
    is_served_in_the_order_of_arrival, cancelled_while_waiting_did_not_happen,
    cancelled_in_the_middle_of_the_queue, cancel_that_comes_too_late_delivers_the_result,
    cancel_after_completion_touches_only_the_waiter, one_that_dies_while_waiting_leaves_no_ghost,
    one_that_dies_unstarted_or_was_moved_changes_nothing, a_lost_claim_is_passed_over_and_unlinked,
    delisted_it_may_be_started_again, a_select_that_has_lost_takes_nothing, a_try_never_waits,
    wakes_after_its_lock_is_released);

}  // namespace oneloop::inline v0::test
