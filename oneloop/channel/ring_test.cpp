#include "oneloop/channel/ring.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace oneloop::inline v0 {
namespace {

TEST(ring, keeps_order_over_the_wrap) {
  ring<std::string> r{3};
  int in = 0, out = 0;
  for (int round = 0; round < 20; ++round) {
    while (!r.full()) r.push("value number " + std::to_string(in++));
    for (int i = 0; i < 2; ++i) EXPECT_EQ(r.pop(), "value number " + std::to_string(out++));
  }
  EXPECT_EQ(r.size(), 1u);
}

TEST(ring, of_no_capacity_is_empty_and_full) {
  ring<int> r{0};
  EXPECT_TRUE(r.empty());
  EXPECT_TRUE(r.full());
}

TEST(ring, destroys_what_is_left) {
  auto shared = std::make_shared<int>(1);
  {
    ring<std::shared_ptr<int>> r{2};
    r.push(std::shared_ptr<int>{shared});
    r.push(std::shared_ptr<int>{shared});
    r.pop();
    r.push(std::shared_ptr<int>{shared});
    EXPECT_EQ(shared.use_count(), 3);
  }
  EXPECT_EQ(shared.use_count(), 1);
}

TEST(ring, without_a_capacity_it_grows_and_shrinks_and_keeps_order) {
  ring<std::string> r{unbounded};
  EXPECT_EQ(r.capacity(), unlimited);
  int in = 0, out = 0;
  for (const int level : {500, 20, 1000, 0, 1, 33, 32, 31, 700, 0, 64, 0}) {
    while (in - out < level) r.push("value number " + std::to_string(in++));
    EXPECT_FALSE(r.full());
    while (in - out > level) ASSERT_EQ(r.pop(), "value number " + std::to_string(out++));
    // Hovering around a level makes no block again and again; it must only keep the order.
    for (int i = 0; i < 100; ++i) {
      r.push("value number " + std::to_string(in++));
      ASSERT_EQ(r.pop(), "value number " + std::to_string(out++));
    }
    EXPECT_EQ(r.size(), static_cast<std::size_t>(level));
  }
}

TEST(ring, without_a_capacity_it_destroys_what_is_left) {
  auto shared = std::make_shared<int>(1);
  {
    ring<std::shared_ptr<int>> r{unbounded};
    for (int i = 0; i < 1000; ++i) r.push(std::shared_ptr<int>{shared});
    for (int i = 0; i < 300; ++i) r.pop();
    ring<std::shared_ptr<int>> other{std::move(r)};
    EXPECT_EQ(other.size(), 700u);
    EXPECT_EQ(shared.use_count(), 701);
  }
  EXPECT_EQ(shared.use_count(), 1);
}

TEST(ring, moved_from_holds_nothing) {
  ring<std::unique_ptr<int>> a{2};
  a.push(std::make_unique<int>(1));
  ring<std::unique_ptr<int>> b{std::move(a)};
  EXPECT_TRUE(a.empty());
  EXPECT_EQ(a.capacity(), 0u);
  EXPECT_EQ(*b.pop(), 1);
}

}  // namespace
}  // namespace oneloop::inline v0
