// oneloop race: small races, their figures and their exit statuses.
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "oneloop/base/sanitized_test.hpp"
#include "oneloop/check/model.hpp"
#include "tool.hpp"

namespace tool_test {
namespace {

using nlohmann::json;

outcome race(std::vector<std::string> arguments) {
  return outcome_of(command_of("race", std::move(arguments)));
}

class races : public testing::Test {};

TEST_F(races, every_model_runs_the_job_and_is_measured) {
  const auto o = race({"--urls", "12", "--delay", "20ms", "--format", "json"});
  EXPECT_EQ(o.status, 0) << o.err;
  EXPECT_EQ(o.err, "");
  const auto j = json::parse(o.out, nullptr, false);
  ASSERT_TRUE(j.is_object()) << o.out;
  ASSERT_EQ(j["models"].size(), oneloop::check_models.size());
  for (std::size_t i = 0; i < oneloop::check_models.size(); ++i) {
    const auto& m = j["models"][i];
    const auto name = m["model"].get<std::string>();
    EXPECT_EQ(name, oneloop::check_models.at(i));
    EXPECT_EQ(m["ok"], 11) << name;
    EXPECT_EQ(m["bad"], 1) << name;
    EXPECT_GE(m["wall_ms"].get<double>(), name == "sequential" ? 240 : 20) << name;
    EXPECT_GT(m["cpu_ms"].get<double>(), 0) << name;
    EXPECT_GT(m["peak_kb"].get<int>(), 1000) << name;
    EXPECT_GT(m["switches"].get<int>(), 0) << name;
    const bool many = name == "threads" || name == "processes" || name == "futures";
    if (many) {
      EXPECT_GE(m["threads"].get<int>(), 6) << name;
    } else {
      EXPECT_LE(m["threads"].get<int>(), 2) << name;
    }
  }
}

TEST_F(races, table_has_a_line_a_model_that_says_how_it_waits) {
  const auto o =
      race({"--urls", "10", "--delay", "5ms", "--concurrency", "3", "--models", "green,async"});
  EXPECT_EQ(o.status, 0) << o.err;
  EXPECT_NE(o.out.find("10 URLs"), o.out.npos) << o.out;
  EXPECT_NE(o.out.find("3 at a time"), o.out.npos) << o.out;
  const auto green = o.out.find("\ngreen "), async = o.out.find("\nasync ");
  EXPECT_LT(green, async);
  EXPECT_NE(o.out.find("a fiber for each URL"), o.out.npos) << o.out;
  EXPECT_EQ(o.out.find("\nthreads "), o.out.npos) << o.out;
}

TEST_F(races, model_that_fails_is_named_and_makes_it_fail) {
  if (oneloop::test::sanitized) GTEST_SKIP() << "a sanitizer needs address space of its own";
  // With so little memory there is no room for the stacks of so many threads.
  const auto o = outcome_of({"/bin/sh", "-c",
                             "ulimit -v 300000; exec " + tool_path() +
                                 " race --urls 400 --delay 1ms --models threads,async"});
  if (o.status == 0) GTEST_SKIP() << "the limit does not stop threads here";
  EXPECT_EQ(o.status, 1) << o.out << o.err;
  EXPECT_NE(o.err.find("race: threads: "), o.err.npos) << o.err;
}

TEST_F(races, interrupt_ends_it) {
  process p{command_of("race", {"--urls", "100", "--delay", "1s", "--models", "sequential"})};
  ASSERT_TRUE(p.wait_for_output("how it waits")) << p.err;
  p.signal(SIGINT);
  EXPECT_EQ(p.wait(), 130);
}

TEST_F(races, wrong_usage_is_told) {
  const std::vector<std::vector<std::string>> wrong{
      {"--urls", "0"},
      {"--urls", "10001"},
      {"--urls", "x"},
      {"--delay", "0"},
      {"--delay", "11s"},
      {"--concurrency", "0"},
      {"--models", "goroutines"},
      {"--models", "async,async"},
      {"--models", "async,"},
      {"--format", "ndjson"},
      {"--cpu", "--urls", "3"},
      {"--cpu", "--models", "goroutines"},
      {"--cpu", "--job", "11s"},
      {"--job", "1s"},
      {"unexpected"},
  };
  for (const auto& arguments : wrong) {
    const auto o = race(arguments);
    EXPECT_EQ(o.status, 2) << arguments.front() << " " << o.out;
    EXPECT_NE(o.err, "");
    EXPECT_EQ(o.out, "");
  }
}

TEST_F(races, jobs_that_compute_are_timed_both_ways) {
  const auto o = race({"--cpu", "--job", "2ms", "--format", "json"});
  EXPECT_EQ(o.status, 0) << o.err;
  const auto j = json::parse(o.out, nullptr, false);
  ASSERT_TRUE(j.is_object()) << o.out;
  EXPECT_EQ(j["cores"], std::max(1U, std::thread::hardware_concurrency()));
  ASSERT_EQ(j["models"].size(), 9U);
  EXPECT_EQ(j["models"][8]["model"], "pool");
  for (const auto& m : j["models"]) {
    const double apart = m["one_after_another_ms"], together = m["parallel_ms"];
    EXPECT_GT(apart, 0);
    EXPECT_GT(together, 0);
    EXPECT_NEAR(m["speedup"].get<double>(), apart / together, 0.02);
  }
}

}  // namespace
}  // namespace tool_test
