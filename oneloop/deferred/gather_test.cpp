#include "oneloop/deferred/gather.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

#include "oneloop/base/log.hpp"
#include "oneloop/deferred/deferred_test.hpp"

namespace oneloop {
namespace {

using strings = std::vector<std::string>;

/// Each with a canceller that counts.
std::vector<deferred<int>> cancellable(int n, int& cancels) {
  std::vector<deferred<int>> parts;
  for (int i = 0; i < n; ++i) parts.emplace_back([&](deferred<int>&) { ++cancels; });
  return parts;
}

TEST(gather_results, gives_all_values_in_order) {
  std::vector<deferred<int>> parts(3);
  std::vector<int> got;
  gather_results(parts).add_callback([&](std::vector<int> v) { got = std::move(v); });
  parts[2].callback(2);
  parts[0].callback(0);
  EXPECT_TRUE(got.empty());
  parts[1].callback(1);
  EXPECT_EQ(got, (std::vector<int>{0, 1, 2}));
}

TEST(gather_results, fails_at_once_and_tells_which_part_it_was) {
  std::vector<deferred<>> parts(3);
  std::string got;
  std::size_t index = 9;
  bool inner = false;
  gather_results(parts, consume_errors).add_errback([&](const failure& f) {
    const auto* first = f.as<first_error>();
    ASSERT_NE(first, nullptr);
    got = f.what();
    index = first->index();
    inner = first->sub_failure().check<std::runtime_error>();
  });
  parts[1].errback(no("first"));
  EXPECT_EQ(got, "part 1: first");
  EXPECT_EQ(index, 1U);
  EXPECT_TRUE(inner);
  parts[0].errback(no("second"));
  parts[2].callback();
}

TEST(gather_results, the_failures_of_parts_stay_unhandled_unless_they_are_consumed) {
  log_capture log;
  for (const bool consume : {true, false}) {
    std::vector<deferred<int>> parts(2);
    auto all = consume ? gather_results(parts, consume_errors) : gather_results(parts);
    all.add_errback([] {});
    parts[0].errback(no("one"));
    parts[1].errback(no("two"));
    if (consume) {
      parts.clear();
      EXPECT_EQ(log.text(), "");
    }
  }
  EXPECT_NE(log.text().find("Unhandled error in deferred: one"), std::string::npos) << log.text();
  EXPECT_NE(log.text().find("Unhandled error in deferred: two"), std::string::npos) << log.text();
}

TEST(gather_results, parts_keep_their_results_for_callbacks_that_come_later) {
  std::vector<deferred<int>> parts(2);
  gather_results(parts, consume_errors).add_both([] {});
  std::string got;
  parts[0].add_callback([&](int v) { got += std::to_string(v); });
  parts[1].add_errback([&](const failure& f) { got += f.what(); });
  parts[0].callback(4);
  parts[1].errback(no("no"));
  EXPECT_EQ(got, "4no");
}

TEST(gather_results, values_that_cannot_be_copied_go_to_the_whole) {
  std::vector<deferred<std::unique_ptr<int>>> parts(2);
  int sum = 0;
  gather_results(parts).add_callback([&](std::vector<std::unique_ptr<int>> v) {
    for (const auto& p : v) sum += *p;
  });
  for (const auto& p : parts) p.callback(std::make_unique<int>(2));
  EXPECT_EQ(sum, 4);
  EXPECT_THROW(parts[0].add_callback([] {}), misuse);
}

TEST(gather_results, of_different_types_gives_a_tuple) {
  deferred<int> a;
  deferred<std::string> b;
  deferred<> c;
  std::string got;
  gather_results(a, b, c).add_callback([&](const std::tuple<int, std::string, std::monostate>& v) {
    got = std::to_string(std::get<0>(v)) + std::get<1>(v);
  });
  c.callback();
  b.callback("x");
  EXPECT_EQ(got, "");
  a.callback(1);
  EXPECT_EQ(got, "1x");
  std::size_t index = 9;
  deferred<> failing;
  gather_results(deferred<int>{}, failing).add_errback([&](const failure& f) {
    index = f.as<first_error>()->index();
  });
  failing.add_errback([] {});
  failing.errback(no("no"));
  EXPECT_EQ(index, 1U);
}

TEST(gather_results, of_nothing_fires_at_once) {
  EXPECT_TRUE(gather_results(std::vector<deferred<int>>{}).called());
  EXPECT_TRUE(gather_results(std::vector<deferred<>>{}).called());
  EXPECT_TRUE(deferred_list(std::vector<deferred<>>{}).called());
  EXPECT_TRUE(deferred_list(std::vector<deferred<>>{}, fire_on_one_errback).called());
  EXPECT_FALSE(deferred_list(std::vector<deferred<>>{}, fire_on_one_callback).called());
  EXPECT_THROW(race(std::vector<deferred<>>{}), misuse);
}

TEST(gather_results, of_parts_that_have_fired_fires_at_once) {
  EXPECT_TRUE(gather_results(std::vector<deferred<int>>{succeed(1), succeed(2)}).called());
}

TEST(gather_results, cancel_cancels_the_parts_that_have_not_fired) {
  log_capture log;
  int cancels = 0;
  auto parts = cancellable(3, cancels);
  parts[1].callback(1);
  const auto all = gather_results(parts);
  bool was_cancelled = false;
  all.add_errback([&](const failure& f) { was_cancelled = f.check<cancelled>(); });
  all.cancel();
  EXPECT_EQ(cancels, 2);
  EXPECT_TRUE(was_cancelled) << "as it is, not in a first_error";
  all.cancel();
  EXPECT_EQ(cancels, 2);
  parts.clear();
  EXPECT_EQ(log.text(), "");
}

TEST(gather_results, after_it_has_fired_cancel_leaves_the_parts_alone) {
  int cancels = 0;
  auto parts = cancellable(2, cancels);
  const auto all = gather_results(parts, consume_errors);
  all.add_errback([] {});
  parts[0].errback(no("no"));
  all.cancel();
  EXPECT_EQ(cancels, 0);
}

TEST(gather_results, a_cancelled_whole_fires_when_its_parts_have_ended) {
  run_virtual([] {
    with_nursery([](nursery&) {
      bool cleaned = false, ended = false;
      auto slow_to_end = [](bool& clean) -> task<> {
        try {
          co_await sleep_forever();
        } catch (const cancelled&) {
          clean = true;
          throw;
        }
      };
      const auto all = deferred_list(std::vector{defer(slow_to_end(cleaned)), deferred<>{}});
      all.add_callback([&](const std::vector<std::expected<void, failure>>& v) {
        ended = cleaned && v[0].error().check<cancelled>() && v[1].error().check<cancelled>();
      });
      await(sleep_for(1s));
      all.cancel();
      EXPECT_FALSE(ended);
      await(sleep_for(1s));
      EXPECT_TRUE(ended);
    });
  });
}

TEST(deferred_list, tells_how_each_ended) {
  const std::vector<deferred<int>> parts{succeed(1), fail<int>(no("no"))};
  strings got;
  deferred_list(parts, consume_errors)
      .add_callback([&](const std::vector<std::expected<int, failure>>& v) {
        for (const auto& r : v) got.push_back(r ? std::to_string(*r) : r.error().what());
      });
  EXPECT_EQ(got, (strings{"1", "no"}));
}

TEST(deferred_list, of_different_types_gives_a_tuple) {
  deferred<int> a;
  deferred<> b;
  strings got;
  deferred_list(a, b).add_callback(
      [&](const std::tuple<std::expected<int, failure>, std::expected<void, failure>>& v) {
        got = {std::to_string(*std::get<0>(v)), std::get<1>(v).error().what()};
      });
  a.callback(3);
  b.errback(no("b"));
  b.add_errback([] {});
  EXPECT_EQ(got, (strings{"3", "b"}));
}

TEST(deferred_list, can_fire_on_one_callback) {
  std::vector<deferred<int>> parts(3);
  std::size_t index = 9;
  int value = 0;
  deferred_list(parts, fire_on_one_callback, consume_errors).add_callback([&](winner<int> w) {
    index = w.index;
    value = w.value;
  });
  parts[0].errback(no("no"));
  EXPECT_EQ(index, 9U);
  parts[2].callback(5);
  EXPECT_EQ(index, 2U);
  EXPECT_EQ(value, 5);
  parts[1].callback(6);
  EXPECT_EQ(value, 5);
}

TEST(deferred_list, that_waits_for_one_value_fails_when_there_is_none) {
  std::vector<deferred<>> parts(2);
  std::string got;
  deferred_list(parts, fire_on_one_callback, consume_errors).add_errback([&](const failure& f) {
    for (const auto& e : f.as<exception_group>()->errors()) got += describe(e);
  });
  parts[1].errback(no("b"));
  EXPECT_EQ(got, "");
  parts[0].errback(no("a"));
  EXPECT_EQ(got, "ab") << "in the order of the parts";
}

TEST(deferred_list, can_fire_on_one_errback) {
  std::vector<deferred<int>> parts(3);
  std::size_t index = 9;
  deferred_list(parts, fire_on_one_errback, consume_errors).add_errback([&](const failure& f) {
    index = f.as<first_error>()->index();
  });
  parts[0].callback(1);
  parts[2].errback(no("no"));
  EXPECT_EQ(index, 2U);
  parts[1].callback(1);
}

TEST(deferred_list, parts_that_never_fire_are_freed) {
  auto token = std::make_shared<int>(0);
  {
    const auto all = deferred_list(std::vector<deferred<int>>(2));
    all.add_callback([token](const auto&) {});
  }
  EXPECT_EQ(token.use_count(), 1);
}

TEST(race, the_first_value_wins_and_the_others_are_cancelled) {
  log_capture log;
  int cancels = 0;
  auto parts = cancellable(4, cancels);
  winner<int> got{9, 0};
  race(parts).add_callback([&](winner<int> w) { got = w; });
  parts[3].errback(no("no"));
  EXPECT_EQ(cancels, 0);
  parts[1].callback(7);
  EXPECT_EQ(got.index, 1U);
  EXPECT_EQ(got.value, 7);
  EXPECT_EQ(cancels, 2);
  parts.clear();
  EXPECT_EQ(log.text(), "") << "all consumed";
}

TEST(race, fails_with_all_failures_if_there_is_no_value) {
  std::vector<deferred<>> parts(2);
  std::size_t failures = 0;
  race(parts).add_errback(
      [&](const failure& f) { failures = f.as<exception_group>()->errors().size(); });
  parts[0].errback(no("a"));
  parts[1].errback(no("b"));
  EXPECT_EQ(failures, 2U);
}

TEST(race, cancel_cancels_all_and_a_canceller_may_still_make_a_winner) {
  int cancels = 0;
  auto parts = cancellable(2, cancels);
  bool was_cancelled = false;
  const auto all = race(parts);
  all.add_errback([&](const failure& f) { was_cancelled = f.check<cancelled>(); });
  all.cancel();
  EXPECT_EQ(cancels, 2);
  EXPECT_TRUE(was_cancelled);
  const auto stubborn = race(std::vector<deferred<int>>{
      deferred<int>{[](deferred<int>& d) { d.callback(1); }}, deferred<int>{}});
  std::size_t index = 9;
  stubborn.add_callback([&](winner<int> w) { index = w.index; });
  stubborn.cancel();
  EXPECT_EQ(index, 0U);
}

TEST(race, of_operations_ends_the_losers) {
  run_virtual([] {
    const auto start = loop::current()->now();
    with_nursery([](nursery&) {
      race(std::vector{defer(sleep_for(3s)), defer(sleep_for(1s)), defer(sleep_for(1h))})
          .add_callback([](winner<void> w) { EXPECT_EQ(w.index, 1U); });
    });
    EXPECT_EQ(loop::current()->now() - start, 1s);
  });
}

}  // namespace
}  // namespace oneloop
