// The checker of histories: it explains what can be explained, and nothing else.
#include "tests/linearizable.hpp"

#include <gtest/gtest.h>

namespace oneloop::linearizable {
namespace {

TEST(linearizable, what_overlaps_may_have_happened_in_any_order) {
  // The second send ended before the first one, and was received first.
  const std::vector<call> calls{{op::send, 1, done, 1, 8},
                                {op::send, 2, done, 2, 3},
                                {op::receive, 0, 2, 4, 5},
                                {op::receive, 0, 1, 6, 7}};
  EXPECT_EQ(why_not_linearizable(calls, line{2}), "");
}

TEST(linearizable, a_value_that_overtakes_is_found) {
  const std::vector<call> calls{{op::send, 1, done, 1, 2},
                                {op::send, 2, done, 3, 4},
                                {op::receive, 0, 2, 5, 6},
                                {op::receive, 0, 1, 7, 8}};
  EXPECT_NE(why_not_linearizable(calls, line{2}), "");
  EXPECT_EQ(why_not_linearizable(calls, line{2, order::lifo}), "");
  EXPECT_NE(why_not_linearizable(calls, line{2, order::smallest}), "");
}

TEST(linearizable, a_value_that_comes_twice_or_from_nowhere_or_too_early_is_found) {
  EXPECT_NE(why_not_linearizable(
                {{op::send, 1, done, 1, 2}, {op::receive, 0, 1, 3, 4}, {op::receive, 0, 1, 5, 6}},
                line{2}),
            "");
  EXPECT_NE(why_not_linearizable({{op::receive, 0, 1, 1, 2}}, line{2}), "");
  EXPECT_NE(why_not_linearizable({{op::receive, 0, 1, 1, 2}, {op::send, 1, done, 3, 4}}, line{2}),
            "");
}

TEST(linearizable, a_rendezvous_is_met_at_the_same_time) {
  EXPECT_EQ(why_not_linearizable({{op::send, 1, done, 1, 3}, {op::receive, 0, 1, 2, 4}}, line{0}),
            "");
  EXPECT_NE(why_not_linearizable({{op::send, 1, done, 1, 2}, {op::receive, 0, 1, 3, 4}}, line{0}),
            "");
  EXPECT_NE(why_not_linearizable({{op::send, 1, done, 1, 2}}, line{0}), "");
}

TEST(linearizable, a_send_that_should_have_waited_or_been_refused_is_found) {
  EXPECT_NE(why_not_linearizable({{op::send, 1, done, 1, 2}, {op::send, 2, done, 3, 4}}, line{1}),
            "");
  EXPECT_NE(why_not_linearizable({{op::close, 0, done, 1, 2}, {op::send, 2, done, 3, 4}}, line{1}),
            "");
  EXPECT_NE(
      why_not_linearizable(
          {{op::send, 2, done, 1, 2}, {op::close, 0, done, 3, 4}, {op::receive, 0, nothing, 5, 6}},
          line{1}),
      "");
  EXPECT_NE(why_not_linearizable({{op::try_send, 1, nothing, 1, 2}}, line{1}), "");
}

TEST(linearizable, two_holders_and_a_lock_that_nobody_gave_back_are_found) {
  EXPECT_NE(
      why_not_linearizable({{op::lock, 0, done, 1, 2}, {op::lock, 0, done, 3, 4}}, permits{1}), "");
  EXPECT_EQ(
      why_not_linearizable({{op::lock, 0, done, 1, 2}, {op::lock, 0, done, 3, 4}}, permits{2}), "");
  // A lock that was cancelled, and happened all the same.
  EXPECT_NE(why_not_linearizable({{op::try_lock, 0, nothing, 5, 6}}, permits{1}), "");
  EXPECT_NE(why_not_linearizable(
                {{op::set, 0, done, 1, 2}, {op::reset, 0, done, 3, 4}, {op::wait, 0, done, 5, 6}},
                flag{}),
            "");
}

TEST(linearizable, readers_may_meet_and_writers_may_not) {
  const auto both = [](int first, int second) {
    return why_not_linearizable({{op::lock, first, done, 1, 2}, {op::lock, second, done, 3, 4}},
                                readers_or_writer{});
  };
  EXPECT_EQ(both(0, 0), "");
  EXPECT_NE(both(1, 0), "");
  EXPECT_NE(both(0, 1), "");
  EXPECT_NE(both(1, 1), "");
}

}  // namespace
}  // namespace oneloop::linearizable
