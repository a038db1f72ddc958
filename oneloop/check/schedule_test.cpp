// What is checked when, on the virtual clock: nothing is asked over a network here.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "oneloop/check/check_test.hpp"
#include "oneloop/check/schedule_internal.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/context.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"

namespace oneloop {
namespace {

using namespace std::chrono_literals;
using detail::check_prober;
using detail::check_schedule;
using detail::probe_outcome;
using http::error_kind;
using ::testing::ElementsAre;

/// Servers that answer as a test wants, at once or after a while.
class world {
 public:
  /// What every try of an input comes to, the last one for ever; nothing: OK.
  struct behaviour {
    std::vector<int> statuses;
    duration takes{};
    std::optional<duration> wait;  // in every answer that is not OK
  };
  std::map<std::string, behaviour> sites;

  struct question {
    std::string url;
    double at;
  };
  std::vector<question> asked;
  std::vector<check_result> verdicts;
  check_progress progress;
  std::size_t most_waiting = 0;

  [[nodiscard]] std::vector<std::string> order() const {
    std::vector<std::string> urls;
    for (const auto& q : asked) urls.push_back(q.url);
    return urls;
  }
  [[nodiscard]] std::vector<double> times_of(const std::string& url) const {
    std::vector<double> times;
    for (const auto& q : asked) {
      if (q.url == url) times.push_back(q.at - started_);
    }
    return times;
  }
  [[nodiscard]] std::string said(const std::string& url) const {
    for (const auto& r : verdicts) {
      if (r.url == url) return r.error ? r.error->message() : "OK";
    }
    return "nothing";
  }

  task<check_summary> check(check_source source, check_options options) {
    started_ = now();
    options.progress(progress);
    auto probe = [this](check_result& r) -> task<probe_outcome> { return answer(r); };
    auto sink = [this](check_result r) -> task<> {
      most_waiting = std::max(most_waiting, progress.waiting);
      verdicts.push_back(std::move(r));
      co_return;
    };
    check_schedule schedule{std::move(source), check_sink{sink}, check_prober{probe}, options};
    auto running = schedule.run();
    auto summary = co_await std::move(running);
    co_return summary;
  }
  task<check_summary> check(std::vector<std::string> inputs, check_options options) {
    std::size_t next = 0;
    auto source = [&]() -> task<std::optional<std::string>> {
      std::optional<std::string> input;
      if (next < inputs.size()) input = inputs[next++];
      co_return input;
    };
    auto checking = check(check_source{source}, std::move(options));
    auto summary = co_await std::move(checking);
    co_return summary;
  }

 private:
  task<probe_outcome> answer(check_result& r) {
    asked.push_back({r.url, now()});
    const auto& site = sites[r.url];
    const auto& plan = site.statuses;
    r.status =
        plan.empty() ? 200 : plan[std::min(plan.size(), static_cast<std::size_t>(r.attempts)) - 1];
    r.error.reset();
    r.final_url = r.url;
    if (site.takes > 0s) co_await sleep_for(site.takes);
    probe_outcome o;
    r.ok = r.status == 200;
    if (!r.ok) {
      r.error.emplace(error_kind::status, std::to_string(r.status));
      o.may_pass = r.status >= 429;
      o.wait = site.wait;
    }
    co_return o;
  }

  double started_ = 0;
};

/// Runs a test's body on the virtual clock.
TEST(check_schedule, tries_again_what_may_pass_and_only_that) {
  go([]() -> task<> {
    world w;
    w.sites["http://a/"].statuses = {503, 503, 200};
    w.sites["http://b/"].statuses = {503};
    w.sites["http://c/"].statuses = {404};
    std::vector<std::string> inputs{"http://a/", "http://b/", "http://c/", "http://d/"};
    auto checking = w.check(inputs, check_options{}.retries(2));
    const auto summary = co_await std::move(checking);
    EXPECT_EQ(summary.total(), 4u);
    EXPECT_EQ(w.times_of("http://a/").size(), 3u);
    EXPECT_EQ(w.times_of("http://b/").size(), 3u);
    EXPECT_EQ(w.times_of("http://c/").size(), 1u);
    EXPECT_EQ(w.said("http://a/"), "OK");
    EXPECT_EQ(w.said("http://b/"), "503");
    for (const auto& r : w.verdicts) {
      EXPECT_EQ(static_cast<std::size_t>(r.attempts), w.times_of(r.url).size()) << r.url;
    }
  });
}

TEST(check_schedule, the_delays_grow_and_are_spread) {
  go([]() -> task<> {
    world w;
    std::vector<std::string> inputs;
    for (int i = 0; i < 200; ++i) {
      inputs.push_back("http://a/" + std::to_string(i));
      w.sites[inputs.back()].statuses = {500};
    }
    auto checking = w.check(inputs, check_options{}.concurrency(200).retries(4).backoff(1s, 4s));
    (void)co_await std::move(checking);
    const double limits[] = {1, 2, 4, 4};
    double most[] = {0, 0, 0, 0};
    double least[] = {9, 9, 9, 9};
    for (const auto& url : inputs) {
      const auto at = w.times_of(url);
      EXPECT_EQ(at.size(), 5u);
      for (std::size_t i = 0; i < 4; ++i) {
        most[i] = std::max(most[i], at[i + 1] - at[i]);
        least[i] = std::min(least[i], at[i + 1] - at[i]);
      }
    }
    for (std::size_t i = 0; i < 4; ++i) {
      EXPECT_LE(most[i], limits[i] + 0.001);
      EXPECT_GT(most[i], 0.8 * limits[i]);
      EXPECT_LT(least[i], 0.2 * limits[i]);
    }
  });
}

TEST(check_schedule, fresh_inputs_come_first) {
  go([]() -> task<> {
    world w;
    std::vector<std::string> inputs;
    for (int i = 0; i < 20; ++i) {
      inputs.push_back("http://a/" + std::to_string(i));
      w.sites[inputs.back()].takes = 5s;  // longer than any first delay
    }
    w.sites["http://a/0"].statuses = {500, 200};
    auto checking = w.check(inputs, check_options{}.concurrency(2));
    (void)co_await std::move(checking);
    const auto order = w.order();
    EXPECT_EQ(order.size(), 21u);
    EXPECT_EQ(order.back(), "http://a/0");
  });
}

TEST(check_schedule, retries_go_on_while_the_source_has_nothing) {
  go([]() -> task<> {
    world w;
    w.sites["http://a/"].statuses = {500, 500, 200};
    int given = 0;
    auto source = [&]() -> task<std::optional<std::string>> {
      std::optional<std::string> input;
      if (given++ == 0) {
        input = "http://a/";
      } else if (given == 2) {
        co_await sleep_for(100s);
        input = "http://b/";
      }
      co_return input;
    };
    // Also where there is one place only: the source does not hold it while it waits.
    auto checking = w.check(check_source{source}, check_options{}.concurrency(1));
    (void)co_await std::move(checking);
    EXPECT_THAT(w.order(), ElementsAre("http://a/", "http://a/", "http://a/", "http://b/"));
    EXPECT_LT(w.times_of("http://a/").back(), 4);
    EXPECT_EQ(w.times_of("http://b/").front(), 100);
  });
}

TEST(check_schedule, a_bounded_number_waits_for_a_retry) {
  go([]() -> task<> {
    world w;
    std::vector<std::string> inputs;
    for (int i = 0; i < 10'000; ++i) {
      inputs.push_back("http://a/" + std::to_string(i));
      w.sites[inputs.back()].statuses = {500};
    }
    auto checking = w.check(inputs, check_options{}.concurrency(100).retries(1));
    const auto summary = co_await std::move(checking);
    EXPECT_EQ(summary.bad(), 10'000u);
    EXPECT_EQ(w.asked.size(), 20'000u);
    EXPECT_GE(w.most_waiting, check_limits::max_pending - 1);
    EXPECT_LE(w.most_waiting, check_limits::max_pending + 100);
  });
}

TEST(check_schedule, p16_a_server_is_taken_at_its_word) {
  go([]() -> task<> {
    world w;
    w.sites["http://a/1"] = {{429, 200}, 0s, 20s};
    w.sites["http://a/2"].takes = 1s;
    w.sites["http://b/1"].takes = 1s;
    std::vector<std::string> inputs{"http://a/1", "http://b/1", "http://b/2", "http://a/2",
                                    "http://a/3"};
    auto checking = w.check(inputs, check_options{}.concurrency(1));
    const auto summary = co_await std::move(checking);
    EXPECT_EQ(summary.ok(), 5u);
    // Its host is left alone meanwhile, others are not.
    EXPECT_EQ(w.times_of("http://b/2").front(), 1);
    EXPECT_EQ(w.times_of("http://a/1").size(), 2u);
    for (const char* url : {"http://a/1", "http://a/2", "http://a/3"}) {
      EXPECT_GE(w.times_of(url).back(), 20) << url;
      EXPECT_LT(w.times_of(url).back(), 23) << url;
    }
  });
}

TEST(check_schedule, p16_a_pause_holds_without_retries_too) {
  go([]() -> task<> {
    world w;
    w.sites["http://a/1"] = {{429}, 0s, 60s};
    std::vector<std::string> inputs{"http://a/1", "http://a/2"};
    auto checking = w.check(inputs, check_options{}.concurrency(1).retries(0));
    (void)co_await std::move(checking);
    EXPECT_EQ(w.times_of("http://a/1").size(), 1u);
    EXPECT_GE(w.times_of("http://a/2").front(), 60);
  });
}

TEST(check_schedule, p16_nobody_waits_for_an_hour) {
  go([]() -> task<> {
    world w;
    w.sites["http://a/1"] = {{503}, 0s, 1h};
    std::vector<std::string> inputs{"http://a/1", "http://a/2"};
    auto checking = w.check(inputs, check_options{}.concurrency(1));
    (void)co_await std::move(checking);
    EXPECT_EQ(w.said("http://a/1"),
              "503, to be asked again in 3600 s: longer than the 60 s that are waited");
    EXPECT_EQ(w.times_of("http://a/1").size(), 1u);
    EXPECT_EQ(w.times_of("http://a/2").front(), 0);
  });
}

TEST(check_schedule, cancelled_it_reports_the_last_verdict_of_what_waits) {
  go([]() -> task<> {
    world w;
    w.sites["http://again/"].statuses = {500, 500, 500, 500};
    w.sites["http://under-way/"] = {{500, 200}, 3s, {}};
    w.sites["http://paused/1"] = {{503}, 0s, 50s};
    w.sites["http://slow/1"].takes = 1h;
    w.sites["http://slow/2"].takes = 1h;
    std::vector<std::string> inputs{"http://again/",   "http://under-way/", "http://paused/1",
                                    "http://paused/2", "http://slow/1",     "http://slow/2"};
    auto body = [&]() -> task<> {
      auto checking = w.check(inputs, check_options{}.concurrency(3).retries(20));
      (void)co_await std::move(checking);
    };
    auto bounded = move_on_after(5s, body);
    const bool finished = co_await std::move(bounded);
    EXPECT_FALSE(finished);
    EXPECT_EQ(w.verdicts.size(), inputs.size());
    EXPECT_EQ(w.said("http://again/"), "500");
    EXPECT_EQ(w.said("http://under-way/"), "500");
    EXPECT_EQ(w.said("http://paused/1"), "503");
    for (const char* url : {"http://paused/2", "http://slow/1", "http://slow/2"}) {
      EXPECT_EQ(w.said(url), "cancelled") << url;
    }
  });
}

TEST(check_schedule, cancelled_it_reports_what_was_read_and_not_begun) {
  go([]() -> task<> {
    world w;
    w.sites["http://a/"] = {{500}, 4s, {}};
    int given = 0;
    auto source = [&]() -> task<std::optional<std::string>> {
      std::optional<std::string> input;
      if (++given > 3) co_return input;
      if (given == 2) co_await sleep_for(1500ms);  // the retry has the only place by then
      input = given == 1 ? "http://a/" : "http://b/" + std::to_string(given);
      co_return input;
    };
    auto body = [&]() -> task<> {
      auto checking = w.check(check_source{source}, check_options{}.concurrency(1));
      (void)co_await std::move(checking);
    };
    auto bounded = move_on_after(6s, body);
    const bool finished = co_await std::move(bounded);
    EXPECT_FALSE(finished);
    EXPECT_EQ(w.order(), (std::vector<std::string>{"http://a/", "http://a/"}));
    EXPECT_EQ(w.said("http://a/"), "500");
    EXPECT_EQ(w.said("http://b/2"), "cancelled");
    EXPECT_EQ(w.said("http://b/3"), "cancelled");
    EXPECT_EQ(w.verdicts.size(), 3u);
  });
}

TEST(check_schedule, cancelled_before_it_begins_it_reports_all_inputs) {
  go([]() -> task<> {
    world w;
    std::vector<std::string> inputs{"http://a/", "http://b/", "http://c/"};
    (void)co_await with_scope(scope_options{}, [&](cancel_scope& scope) -> task<> {
      scope.cancel();
      auto checking = w.check(inputs, check_options{});
      (void)co_await std::move(checking);
    });
    EXPECT_EQ(w.verdicts.size(), 3u);
    EXPECT_EQ(w.said("http://c/"), "cancelled");
  });
}

TEST(retry_queue, gives_what_is_due_first_and_knows_its_bounds) {
  detail::retry_queue q;
  const time_point t{};
  for (const int s : {3, 1, 2, 1}) {
    check_result r{std::to_string(s)};
    r.attempts = static_cast<int>(q.size());
    q.push(t + std::chrono::seconds{s}, std::move(r));
  }
  std::vector<std::string> order;
  while (!q.empty()) {
    const auto r = q.pop();
    order.push_back(r.url + "/" + std::to_string(r.attempts));
  }
  EXPECT_THAT(order, ElementsAre("1/1", "1/3", "2/2", "3/0"));
  for (std::size_t i = 0; !q.full(); ++i) q.push(t, check_result{std::string(65'536, 'x')});
  EXPECT_EQ(q.size(), detail::retry_queue::max_bytes / 65'536);
  while (!q.empty()) (void)q.pop();
  for (std::size_t i = 0; !q.full(); ++i) q.push(t, check_result{"x"});
  EXPECT_EQ(q.size(), check_limits::max_pending);
}

TEST(host_pauses, end_and_are_bounded) {
  detail::host_pauses p;
  const time_point t{};
  EXPECT_TRUE(p.empty());
  p.pause("a", t + 5s, t);
  p.pause("a", t + 3s, t);
  EXPECT_EQ(p.until("a", t + 1s), t + 5s);
  EXPECT_EQ(p.until("b", t + 1s), t + 1s);
  EXPECT_EQ(p.until("a", t + 5s), t + 5s);
  EXPECT_TRUE(p.empty());
  for (std::size_t i = 0; i < detail::host_pauses::max_hosts; ++i) {
    p.pause(std::to_string(i), t + 5s, t);
  }
  p.pause("one more", t + 9s, t);
  EXPECT_EQ(p.until("one more", t), t);
  p.pause("one more", t + 9s, t + 6s);  // the others are over
  EXPECT_EQ(p.until("one more", t + 6s), t + 9s);
}

}  // namespace
}  // namespace oneloop
