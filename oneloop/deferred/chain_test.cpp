#include "oneloop/deferred/chain.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <expected>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "oneloop/base/log.hpp"
#include "oneloop/deferred/deferred_test.hpp"
#include "oneloop/deferred/gather.hpp"

namespace oneloop {
namespace {

using either = std::expected<int, failure>;
// ---- what a callback may take and give ----

TEST(chain, a_callback_may_return_a_failure_or_one_of_both) {
  std::string got;
  succeed(1)
      .add_callback([](int v) -> either {
        if (v == 1) return std::unexpected{failure{std::make_exception_ptr(no("one"))}};
        return v;
      })
      .add_errback([&](const failure& f) -> either {
        got += f.what();
        return 2;
      })
      .add_callback([&](int v) {
        got += std::to_string(v);
        return failure{std::make_exception_ptr(no("three"))};
      })
      .add_errback([&](const failure& f) { got += f.what(); });
  EXPECT_EQ(got, "one2three");
}

TEST(chain, both_passes_the_result_on_by_returning_it) {
  int ended = 0, value = 0;
  std::string error;
  auto clean_up = [&](either r) {
    ++ended;
    return r;
  };
  succeed(3).add_both(clean_up).add_callback([&](int v) { value = v; });
  fail<int>(no("x")).add_both(clean_up).add_errback([&](const failure& f) { error = f.what(); });
  succeed().add_both([&] { ++ended; }).add_callback([&] { ++ended; });
  EXPECT_EQ(ended, 4);
  EXPECT_EQ(value, 3);
  EXPECT_EQ(error, "x");
}

TEST(chain, an_errback_may_do_without_the_failure) {
  int got = 0;
  fail<int>(no("x")).add_errback([] { return 4; }).add_callback([&](int v) { got = v; });
  EXPECT_EQ(got, 4);
}

TEST(chain, a_callback_that_is_a_coroutine_keeps_its_captures_and_its_argument) {
  run_virtual([] {
    with_nursery([](nursery&) {
      std::string got;
      const std::string tag(40, 'x');
      auto both = [&got, tag](const std::expected<std::string, failure>& r) -> task<std::string> {
        co_await sleep_for(1s);
        got += r ? *r : r.error().what();
        co_return tag;
      };
      succeed(tag + "1")
          .add_callback([&got, tag](const std::string& v) -> task<> {
            co_await sleep_for(1s);
            got += v.back() + tag.substr(39);
            throw no("thrown");
          })
          .add_errback([&got, tag](const failure& f) -> task<> {
            co_await sleep_for(1s);
            got += f.what() + tag.substr(39);
          })
          .add_callback([tag]() -> task<std::string> {
            co_await sleep_for(1s);
            co_return tag.substr(39) + "2";
          })
          .add_both(both)
          .add_callback([&](const std::string& v) { EXPECT_EQ(v, tag); });
      maybe_deferred(
          [tag](const std::string& v, std::string& to) -> task<> {
            co_await sleep_for(10s);
            to += v + tag.substr(39);
          },
          std::string(40, 'm').substr(39), std::ref(got));
      await(sleep_for(20s));
      EXPECT_EQ(got, "1xthrownxx2mx");
    });
  });
}

TEST(chain, a_failure_gives_its_exception) {
  const failure f{std::make_exception_ptr(timeout_error{"read"})};
  EXPECT_EQ(f.as<error>()->code(), errc::timed_out);
  EXPECT_EQ(f.as<misuse>(), nullptr);
  EXPECT_TRUE((f.check<misuse, timeout_error>()));
  EXPECT_THROW((f.trap<misuse, closed_error>()), timeout_error);
}

// ---- firing ----

TEST(chain, firing_it_twice_tells_where_it_was_fired_first) {
  deferred<int> d;
  d.callback(1);
  const auto line = std::to_string(__LINE__ - 1);
  try {
    d.callback(2);
    FAIL();
  } catch (const already_called& e) {
    EXPECT_TRUE(std::string_view{e.what()}.ends_with("chain_test.cpp:" + line)) << e.what();
  }
}

TEST(chain, a_chained_deferred_is_fired_with_the_result_on_either_track) {
  std::string got;
  for (const bool good : {true, false}) {
    deferred<int> from, to;
    auto after = from.add_callback([](int v) { return v + 1; }).chain_deferred(to);
    after.add_callback([&] { got += 'n'; });
    to.add_callbacks([&](int v) { got += std::to_string(v); },
                     [&](const failure& f) { got += f.what(); });
    if (good) {
      from.callback(1);
    } else {
      from.errback(no("x"));
    }
    EXPECT_TRUE(to.called());
    EXPECT_THROW(to.callback(3), already_called);
  }
  EXPECT_EQ(got, "2nxn");
}

TEST(chain, a_chain_to_one_that_has_fired_fails_and_a_cancel_of_it_does_not_come_back) {
  int cancels = 0;
  deferred<int> from{[&](deferred<int>&) { ++cancels; }};
  deferred<int> to;
  bool refused = false;
  from.chain_deferred(to).add_errback(
      [&](const failure& f) { refused = f.check<already_called>(); });
  to.cancel();
  to.callback(0);  // the one call that is ignored after a cancel
  EXPECT_EQ(cancels, 0);
  from.callback(1);
  EXPECT_TRUE(refused);
}

TEST(chain, a_hundred_thousand_chained_deferreds) {
  std::vector<deferred<int>> all(100'000);
  for (std::size_t i = 0; i + 1 < all.size(); ++i) all[i].chain_deferred(all[i + 1]);
  int got = 0;
  all.back().add_callback([&](int v) { got = v; });
  all.front().callback(5);
  EXPECT_EQ(got, 5);
}

// ---- pause ----

TEST(chain, a_paused_one_waits_for_as_many_unpauses) {
  deferred<int> d;
  int got = 0;
  d.pause();
  d.pause();
  d.add_callback([&](int v) { got = v; });
  d.callback(1);
  EXPECT_TRUE(d.called());
  d.unpause();
  EXPECT_EQ(got, 0);
  d.unpause();
  EXPECT_EQ(got, 1);
  EXPECT_THROW(d.unpause(), misuse);
}

TEST(chain, a_callback_may_pause_its_own_chain) {
  deferred<> d;
  std::string order;
  d.add_callback([&] {
     order += 'a';
     d.pause();
   }).add_callback([&] { order += 'b'; });
  d.callback();
  EXPECT_EQ(order, "a");
  d.unpause();
  EXPECT_EQ(order, "ab");
}

TEST(chain, one_that_waits_for_a_paused_one_waits_until_that_goes_on) {
  deferred<int> inner = succeed(1);
  inner.pause();
  int got = 0;
  succeed().add_callback([&] { return inner; }).add_callback([&](int v) { got = v; });
  EXPECT_EQ(got, 0);
  inner.unpause();
  EXPECT_EQ(got, 1);
}

// ---- cancel ----

TEST(chain, one_that_has_fired_lets_go_of_its_canceller) {
  auto token = std::make_shared<int>(0);
  deferred<int> d{[token](deferred<int>&) {}};
  EXPECT_EQ(token.use_count(), 2);
  d.callback(1);
  EXPECT_EQ(token.use_count(), 1);
}

TEST(chain, a_canceller_that_cancels_again_is_not_called_again) {
  int calls = 0;
  deferred<int> d{[&](deferred<int>& self) {
    ++calls;
    self.cancel();
  }};
  d.cancel();
  EXPECT_EQ(calls, 1);
  EXPECT_TRUE(d.called());
}

TEST(chain, cancel_of_one_that_waits_may_end_with_a_value) {
  int got = 0;
  auto d = succeed()
               .add_callback([] { return deferred<int>{[](deferred<int>& i) { i.callback(8); }}; })
               .add_callback([&](int v) { got = v; });
  d.cancel();
  EXPECT_EQ(got, 8);
}

// ---- who keeps whom ----

/// A chain that waits for one that only it holds, and that holds `token`.
deferred<int> waiting(std::shared_ptr<int> token) {
  return succeed().add_callback([token = std::move(token)]() mutable {
    return deferred<int>{[t = std::move(token)](deferred<int>& d) { d.callback(*t); }};
  });
}

TEST(chain, a_waiting_one_keeps_what_it_waits_for_and_both_go_together) {
  const auto token = std::make_shared<int>(3);
  auto d = std::make_unique<deferred<int>>(waiting(token));
  int got = 0;
  d->add_callback([&](int v) { got = v; });
  EXPECT_EQ(token.use_count(), 2);
  d.reset();
  EXPECT_EQ(token.use_count(), 1);
  EXPECT_EQ(got, 0);
}

TEST(chain, a_list_keeps_its_parts_as_long_as_it_could_be_cancelled) {
  const auto token = std::make_shared<int>(3);
  std::vector<int> got;
  {
    const auto all = gather_results(std::vector{waiting(token), waiting(token)});
    const auto outer = succeed().add_callback([all] { return all; });
    outer.add_callback([&](std::vector<int> v) { got = std::move(v); });
    EXPECT_EQ(token.use_count(), 3);
    outer.cancel();
    EXPECT_EQ(got, (std::vector<int>{3, 3}));
    const auto never = deferred_list(std::vector{waiting(token), waiting(token)});
    EXPECT_EQ(token.use_count(), 3);
  }
  EXPECT_EQ(token.use_count(), 1);
}

TEST(chain, a_waiting_one_whose_last_handle_goes_on_another_thread_goes_at_home) {
  run_virtual([] {
    const auto token = std::make_shared<int>(3);
    auto d = std::make_unique<deferred<int>>(waiting(token));
    std::thread{[d = std::move(d)]() mutable { d.reset(); }}.join();
    EXPECT_EQ(token.use_count(), 2);
    await(sleep_for(1ms));
    EXPECT_EQ(token.use_count(), 1);
  });
}

TEST(chain, a_waiting_one_may_outlive_its_loop) {
  const auto token = std::make_shared<int>(3);
  std::unique_ptr<deferred<int>> d;
  run_virtual([&] { d = std::make_unique<deferred<int>>(waiting(token)); });
  d.reset();
  EXPECT_EQ(token.use_count(), 1);
  std::thread{[&] {
    run_virtual([&] { d = std::make_unique<deferred<int>>(waiting(token)); });
  }}.join();
  d.reset();
  EXPECT_EQ(token.use_count(), 1);
}

// ---- failures that nobody handles ----

TEST(chain, an_unhandled_failure_is_reported_once_whoever_held_it) {
  log_capture log;
  {
    deferred<int> inner, outer;
    auto end =
        outer.add_callback([inner](int) { return inner; }).add_callback([](int v) { return v; });
    outer.callback(1);
    inner.errback(no("deep"));
  }
  EXPECT_EQ(log.text().find("deep"), log.text().rfind("deep")) << log.text();
  EXPECT_NE(log.text().find("deep"), std::string::npos);
}

TEST(chain, one_that_was_awaited_is_handled_unless_a_callback_fails_anew) {
  log_capture log;
  run_virtual([] {
    const auto d = fail<int>(no("seen"));
    EXPECT_THROW(await(d), std::runtime_error);
    d.add_callback([](int v) { return v; });
  });
  EXPECT_EQ(log.text(), "");
  run_virtual([] {
    const auto d = succeed(1);
    EXPECT_EQ(await(d), 1);
    d.add_callback([](int) { throw no("new"); });
  });
  EXPECT_NE(log.text().find("new"), std::string::npos);
}

TEST(chain, a_failure_under_a_later_pass_is_reported_by_the_destructor_of_the_last_handle) {
  log_capture log;
  auto d = std::make_unique<deferred<int>>();
  auto later = std::make_unique<deferred<int>>(d->add_callback([](int v) { return v; }));
  d->errback(no("kept"));
  d.reset();
  EXPECT_EQ(log.text(), "");
  later.reset();
  EXPECT_NE(log.text().find("kept"), std::string::npos);
}

// ---- calling functions ----

TEST(maybe_deferred, takes_whatever_comes) {
  run_virtual([] {
    with_nursery([](nursery&) {
      std::string got;
      auto say = [&](int v) { got += std::to_string(v); };
      maybe_deferred([](int v) { return v; }, 1).add_callback(say);
      const deferred<int> mine;
      const auto same = maybe_deferred([&] { return mine; });
      EXPECT_EQ(same.shared().get(), mine.shared().get()) << "the deferred itself";
      same.add_callback(say);
      mine.callback(2);
      maybe_deferred([]() -> int { throw no("x"); }).add_errback([&](const failure& f) {
        got += f.what();
        return 0;
      });
      maybe_deferred([]() -> deferred<> { throw no("y"); }).add_errback([&](const failure& f) {
        got += f.what();
      });
      maybe_deferred([]() -> task<int> { co_return 3; }).add_callback(say);
      maybe_deferred([](std::unique_ptr<int> p) { return *p; }, std::make_unique<int>(4))
          .add_callback(say);
      execute([] { return 5; }).add_callback(say);
      EXPECT_EQ(got, "12xy45");
      await(sleep_for(1s));
      EXPECT_EQ(got, "12xy453");
    });
  });
}

TEST(chain, what_dies_with_a_callback_may_fire_the_deferred_that_it_returned) {
  struct fires {
    ~fires() {
      if (!d.called()) d.callback(7);
    }
    deferred<int> d;
  };
  int got = 0;
  const deferred<int> outer, inner;
  outer.add_callback([inner, last = std::make_unique<fires>(inner)](int) { return inner; })
      .add_callback([&](int v) { got = v; });
  outer.callback(1);
  EXPECT_EQ(got, 7);
}

TEST(chain, awaited_in_vain_again_and_again_it_does_not_grow) {
  loop l{"virtual"};
  run(l, []() -> task<> {
    const deferred<int> d;
    for (int i = 0; i < 1000; ++i) {
      auto waiting = move_on_after(std::chrono::milliseconds{1}, d);
      const auto r = co_await std::move(waiting);
      EXPECT_FALSE(r);
    }
    EXPECT_LT(d.shared()->links(), 100U);
    d.callback(1);
    const int v = co_await d;
    EXPECT_EQ(v, 1);
  });
}

}  // namespace
}  // namespace oneloop
