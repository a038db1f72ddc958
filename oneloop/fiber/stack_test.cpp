#include "oneloop/fiber/stack.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "oneloop/base/error.hpp"
#include "oneloop/base/sanitized_test.hpp"
#include "oneloop/fiber/switch.hpp"

namespace {

using oneloop::guard_method;
using oneloop::stack;
using oneloop::stack_pool;
using oneloop::test::sanitized;

bool has_markers() { return stack_pool{}.guard() == guard_method::marker; }

std::size_t resident_bytes(stack s) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> pages(s.size / page);
  if (::mincore(s.bottom, s.size, pages.data()) != 0) return 0;
  std::size_t n = 0;
  for (unsigned char p : pages) n += (p & 1U) != 0 ? page : 0;
  return n;
}

class stack_pool_guards : public testing::TestWithParam<guard_method> {
 protected:
  void SetUp() override {
    if (GetParam() == guard_method::marker && !has_markers()) GTEST_SKIP() << "Linux before 6.13";
  }
};

TEST_P(stack_pool_guards, stack_is_writable_from_end_to_end) {
  stack_pool pool{{.guard = GetParam()}};
  const stack s = pool.acquire();
  ASSERT_GE(s.size, 64U * 1024);
  std::memset(s.bottom, 0x5a, s.size);
  EXPECT_EQ(s.bottom[0], std::byte{0x5a});
  pool.release(s);
}

TEST_P(stack_pool_guards, byte_below_the_stack_kills) {
  EXPECT_DEATH(
      {
        stack_pool pool{{.guard = GetParam()}};
        const stack s = pool.acquire();
        *const_cast<volatile std::byte*>(s.bottom - 1) = std::byte{1};
      },
      "");
}

[[gnu::noinline]] int fall(volatile char* above, int depth) {
  volatile char frame[512];
  frame[0] = above != nullptr ? above[0] : '\0';
  if (depth == 0) return frame[0];
  return fall(frame, depth - 1) + frame[0];
}

TEST_P(stack_pool_guards, overflow_hits_the_guard) {
  EXPECT_DEATH(
      {
        stack_pool pool{{.guard = GetParam()}};
        oneloop::switch_context ctx;
        ctx.create(pool.acquire(), [](void*) { fall(nullptr, 1 << 20); }, nullptr);
        ctx.resume();
      },
      "");
}

TEST_P(stack_pool_guards, guards_survive_trimming) {
  stack_pool pool{{.guard = GetParam()}};
  const stack s = pool.acquire();
  pool.release(s);
  pool.trim();
  ASSERT_EQ(pool.trim(), 1U);
  const stack again = pool.acquire();
  ASSERT_EQ(again.bottom, s.bottom);
  EXPECT_DEATH(*const_cast<volatile std::byte*>(again.bottom - 1) = std::byte{1}, "");
  pool.release(again);
}

INSTANTIATE_TEST_SUITE_P(both, stack_pool_guards,
                         testing::Values(guard_method::marker, guard_method::protect),
                         [](const auto& test) {
                           return test.param == guard_method::marker ? "marker" : "protect";
                         });

TEST(stack_pool_test, released_last_is_acquired_first) {
  stack_pool pool;
  const stack a = pool.acquire();
  const stack b = pool.acquire();
  pool.release(a);
  pool.release(b);
  EXPECT_EQ(pool.acquire().bottom, b.bottom);
  EXPECT_EQ(pool.acquire().bottom, a.bottom);
  pool.release(a);
  pool.release(b);
}

TEST(stack_pool_test, size_is_rounded_up_to_pages_and_bounded_below) {
  EXPECT_EQ(stack_pool{{.stack_size = 100'001}}.stack_size() % 4096, 0U);
  EXPECT_GE(stack_pool{{.stack_size = 100'001}}.stack_size(), 100'001U);
  EXPECT_GE(stack_pool{{.stack_size = 1}}.stack_size(), 16U * 1024);
}

TEST(stack_pool_test, absurd_size_is_refused) {
  EXPECT_THROW(stack_pool{{.stack_size = ~std::size_t{0}}}, oneloop::misuse);
}

TEST(stack_pool_test, a_hundred_thousand_stacks_with_guards) {
  if (!has_markers()) GTEST_SKIP() << "guards by mprotect stop near 32,000";
  stack_pool pool;
  std::vector<stack> stacks;
  std::set<std::byte*> distinct;
  for (int i = 0; i < 100'000; ++i) {
    stacks.push_back(pool.acquire());
    stacks.back().top()[-1] = std::byte{1};
    distinct.insert(stacks.back().bottom);
  }
  EXPECT_EQ(distinct.size(), stacks.size());
  EXPECT_EQ(pool.stats().in_use, 100'000U);
  std::ifstream maps{"/proc/self/maps"};
  std::size_t mappings = 0;
  for (std::string line; std::getline(maps, line);) ++mappings;
  if (!sanitized) {
    EXPECT_LT(mappings, 2000U);
  }
  for (const stack s : stacks) pool.release(s);
  EXPECT_EQ(pool.stats().in_use, 0U);
  EXPECT_EQ(pool.stats().peak, 100'000U);
}

TEST(stack_pool_test, running_out_of_mappings_names_the_limit) {
  if (sanitized) GTEST_SKIP() << "a sanitizer needs mappings of its own";
  std::size_t limit = 0;
  std::ifstream{"/proc/sys/vm/max_map_count"} >> limit;
  if (limit == 0 || limit > 100'000) GTEST_SKIP() << "vm.max_map_count is too high to reach";
  stack_pool pool{{.stack_size = 16 * 1024, .guard = guard_method::protect}};
  std::vector<stack> stacks;
  std::string text;
  try {
    for (std::size_t i = 0; i < limit; ++i) stacks.push_back(pool.acquire());
  } catch (const oneloop::error& e) {
    text = e.what();
    EXPECT_EQ(e.code(), std::errc::not_enough_memory);
  }
  EXPECT_GT(stacks.size(), limit / 4);
  for (const stack s : stacks) pool.release(s);
  EXPECT_NE(text.find("fiber stack"), std::string::npos) << text;
  EXPECT_NE(text.find("vm.max_map_count"), std::string::npos) << text;
  const stack after = pool.acquire();  // the pool is still good
  pool.release(after);
}

TEST(stack_pool_test, trim_returns_what_nobody_needed_since_the_last_one) {
  stack_pool pool;
  std::vector<stack> stacks;
  for (int i = 0; i < 10; ++i) stacks.push_back(pool.acquire());
  for (const stack s : stacks) std::memset(s.bottom, 1, s.size);
  for (const stack s : stacks) pool.release(s);
  EXPECT_EQ(pool.trim(), 0U) << "all of them were in use a moment ago";
  EXPECT_EQ(resident_bytes(stacks[0]), stacks[0].size);

  for (int round = 0; round < 100; ++round) {  // a little work that needs three
    const stack a = pool.acquire(), b = pool.acquire(), c = pool.acquire();
    pool.release(c);
    pool.release(b);
    pool.release(a);
  }
  EXPECT_EQ(pool.trim(), 7U);
  EXPECT_EQ(resident_bytes(stacks[0]), 0U);
  EXPECT_EQ(resident_bytes(stacks[9]), stacks[9].size) << "the warm ones stay";
  EXPECT_EQ(pool.trim(), 3U);
  EXPECT_EQ(pool.trim(), 0U) << "no stack is emptied twice";
}

TEST(stack_pool_test, memory_comes_back_without_anybody_calling_trim) {
  stack_pool pool;
  std::vector<stack> stacks;
  for (int i = 0; i < 10; ++i) stacks.push_back(pool.acquire());
  for (const stack s : stacks) std::memset(s.bottom, 1, s.size);
  for (const stack s : stacks) pool.release(s);
  for (int i = 0; i < 3 * 4096; ++i) pool.release(pool.acquire());
  EXPECT_EQ(resident_bytes(stacks[0]), 0U);
}

}  // namespace
