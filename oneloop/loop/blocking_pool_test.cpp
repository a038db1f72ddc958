#include "oneloop/loop/blocking_pool.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "oneloop/base/error.hpp"

namespace oneloop {
namespace {

using namespace std::chrono_literals;

/// Waits, on its thread, until the test lets it end.
struct held_job final : blocking_job {
  void execute() noexcept override {
    running = true;
    running.notify_all();
    go.wait(false);
    ended = true;
    ended.notify_all();
  }
  void refuse(std::exception_ptr why) noexcept override { refused = why ? describe(why) : "none"; }
  void let_go() {
    go = true;
    go.notify_all();
  }
  std::atomic<bool> running{false}, go{false}, ended{false};
  std::string refused;
};

TEST(thread_crew, grows_to_its_limit_and_queues_the_rest) {
  thread_crew crew{thread_crew_options{.limit = 2}};
  held_job jobs[4];
  for (auto& j : jobs) crew.submit(j);
  jobs[0].running.wait(false);
  jobs[1].running.wait(false);
  auto s = crew.statistics();
  EXPECT_EQ(s.threads, 2u);
  EXPECT_EQ(s.queued, 2u);
  EXPECT_TRUE(crew.take_back(jobs[3]));
  EXPECT_FALSE(crew.take_back(jobs[3]));
  EXPECT_FALSE(crew.take_back(jobs[0]));
  crew.set_limit(3);  // one more starts for what waits
  jobs[2].running.wait(false);
  EXPECT_EQ(crew.statistics().threads, 3u);
  for (auto& j : jobs) j.let_go();
  for (int i : {0, 1, 2}) jobs[i].ended.wait(false);
  EXPECT_FALSE(jobs[3].running);
}

TEST(thread_crew, an_idle_thread_is_used_again_and_ends_after_a_while) {
  thread_crew crew{thread_crew_options{.idle = 1ms}};
  held_job one;
  one.go = true;
  crew.submit(one);
  one.ended.wait(false);
  while (crew.statistics().threads != 0) std::this_thread::yield();
  thread_crew patient{thread_crew_options{.idle = duration::max()}};
  for (int i = 0; i < 3; ++i) {
    held_job again;
    again.go = true;
    patient.submit(again);
    again.ended.wait(false);
    while (patient.statistics().idle == 0) std::this_thread::yield();
  }
  EXPECT_EQ(patient.statistics().threads, 1u);
  patient.close();
  EXPECT_TRUE(patient.wait_ended(never));
}

TEST(thread_crew, closed_it_refuses_and_its_threads_end) {
  thread_crew crew{thread_crew_options{.limit = 1, .idle = duration::max(), .name = "crew"}};
  held_job runs, queued, late;
  crew.submit(runs);
  crew.submit(queued);
  runs.running.wait(false);
  std::atomic<bool> told{false};
  crew.when_ended([&] { told = true; });
  crew.close();
  try {
    crew.submit(late);
    FAIL();
  } catch (const closed_error& e) {
    EXPECT_STREQ(e.what(), "crew: closed");
  }
  crew.refuse_queued(std::make_exception_ptr(closed_error{"crew"}));
  EXPECT_EQ(queued.refused, "crew: closed");
  EXPECT_FALSE(crew.wait_ended(clock::now() + 1ms));
  EXPECT_FALSE(told);
  runs.let_go();
  EXPECT_TRUE(crew.wait_ended(never));
  while (!told) std::this_thread::yield();
  bool at_once = false;
  crew.when_ended([&] { at_once = true; });
  EXPECT_TRUE(at_once);
}

TEST(thread_crew, what_its_threads_do_around_the_work) {
  std::atomic<int> began{0}, ended{0};
  thread_crew crew{thread_crew_options{.limit = 1, .thread = [&](const auto& work) {
                                         if (++began > 1) return;  // cannot begin
                                         work();
                                         ++ended;
                                       }}};
  held_job one;
  one.go = true;
  crew.submit(one);
  one.ended.wait(false);
  crew.close();
  EXPECT_TRUE(crew.wait_ended(never));
  EXPECT_EQ(began, 1);
  EXPECT_EQ(ended, 1);
}

}  // namespace
}  // namespace oneloop
