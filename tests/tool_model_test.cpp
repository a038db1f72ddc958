// oneloop check --model: the same job in each model, against real servers.
#include <dirent.h>

#include <atomic>
#include <condition_variable>
#include <fstream>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "oneloop/check/model.hpp"
#include "tool.hpp"

namespace tool_test {
namespace {

using nlohmann::json;

class models : public tool, public testing::WithParamInterface<std::string_view> {
 protected:
  [[nodiscard]] static std::string model() { return std::string{GetParam()}; }
  [[nodiscard]] static bool is(std::string_view m) { return GetParam() == m; }
  [[nodiscard]] static std::vector<std::string> in_model(std::vector<std::string> arguments) {
    std::vector<std::string> all{"--model", model(), "--retry-delay", "10ms"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return all;
  }
};
INSTANTIATE_TEST_SUITE_P(tool, models, testing::ValuesIn(oneloop::check_models),
                         [](const auto& chosen) { return std::string{chosen.param}; });

struct expected {
  std::string url;
  std::string kind;  // empty: OK
  int attempts = 1;
  std::size_t redirects = 0;
};

TEST_P(models, verdicts_are_the_same) {
  const temporary_file ca{s.ca()};
  const std::vector<expected> all{
      {s.url("/ok"), ""},
      {s.https("/ok"), ""},
      {s.url("/none"), "status"},
      {s.url("/flaky"), "", 2},
      {s.url("/500"), "status", 2},
      {s.url("/moved"), "", 1, 1},
      {s.url("/loop"), "redirect"},
      {s.url("/get-only"), ""},
      {s.url("/needs-cookie"), "", 1, 1},
      {s.url("/needs-key"), ""},
      {s.url("/busy"), "status"},
      {s.refused() + "/", "refused"},
      {"http//no.colon/", "bad_url"},
      {"ftp://127.0.0.1/", "bad_url"},
      {s.mutual("/ok"), "tls"},
  };
  std::string input;
  for (const auto& e : all) input += e.url + "\n";
  const auto o = check(in_model({"--from", "-", "--format", "ndjson", "--cacert", ca.path(), "-H",
                                 "X-Key: 1", "--retries", "1"}),
                       input);
  EXPECT_EQ(o.status, 1);
  std::map<std::string, json> got;
  for (const auto& line : lines_of(o.out)) {
    auto j = json::parse(line);
    const auto url = j["url"].get<std::string>();
    EXPECT_TRUE(got.emplace(url, std::move(j)).second) << "twice: " << url;
  }
  EXPECT_EQ(got.size(), all.size()) << o.err;
  for (const auto& e : all) {
    const auto& j = got[e.url];
    if (!j.is_object()) continue;
    EXPECT_EQ(j["ok"].get<bool>(), e.kind.empty()) << j;
    if (!e.kind.empty()) {
      EXPECT_EQ(j["error"].value("kind", ""), e.kind) << j;
    }
    if (e.kind == "tls") continue;  // may be seen as a broken connection, which is tried again
    EXPECT_EQ(j["attempts"].get<int>(), e.attempts) << j;
    if (e.kind != "redirect") {
      EXPECT_EQ(j["redirects"].size(), e.redirects) << j;
    }
    EXPECT_GE(j["time_ms"]["total"].get<double>(), 0.0);
  }
  EXPECT_EQ(got[s.url("/moved")].value("final_url", ""), s.url("/ok#here"));
  EXPECT_NE(o.err.find("15 URLs, 7 OK, 8 Bad"), o.err.npos) << o.err;
}

TEST_P(models, time_is_up_in_each_of_them) {
  const auto o = check(in_model({s.url("/hang"), "--timeout", "100ms", "--method", "head",
                                 "--retries", "1", "--format", "ndjson"}));
  EXPECT_EQ(o.status, 1);
  const auto j = json::parse(o.out, nullptr, false);
  ASSERT_TRUE(j.is_object()) << o.err;
  EXPECT_EQ(j["error"]["kind"], "timeout");
  EXPECT_EQ(j["attempts"], 2);
}

TEST_P(models, document_and_exit_status_are_the_same) {
  const auto good = check(in_model({s.url("/ok"), s.url("/ok"), "--format", "json", "-q"}));
  EXPECT_EQ(good.status, 0) << good.err;
  EXPECT_EQ(good.err, "");
  const auto j = json::parse(good.out);
  EXPECT_EQ(j["results"].size(), 2U);
  EXPECT_EQ(j["summary"]["ok"], 2);
  const auto wrong = check(in_model({"--from", "/nonexistent"}));
  EXPECT_EQ(wrong.status, 2);
  EXPECT_EQ(check(in_model({})).status, 2);
}

TEST_P(models, long_list_gets_a_verdict_each) {
  std::string input;
  constexpr int many = 400;
  for (int i = 0; i < many; ++i) input += s.url("/ok" + std::to_string(i)) + "\n";
  const auto o = check(in_model({"--from", "-", "-c", "8", "-q"}), input);
  EXPECT_EQ(o.status, 0) << o.err;
  EXPECT_EQ(lines_of(o.out).size(), std::size_t{many});
}

/// How many requests are answered at a time. The first waits for a second, for a moment.
class counting {
 public:
  std::string answer() {
    std::unique_lock hold{lock_};
    most_ = std::max(most_, ++now_);
    changed_.notify_all();
    if (!std::exchange(waited_, true)) {
      changed_.wait_for(hold, 200ms, [this] { return most_ > 1; });
    }
    hold.unlock();
    std::this_thread::sleep_for(3ms);
    hold.lock();
    --now_;
    return "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
  }
  [[nodiscard]] int most() const {
    const std::scoped_lock hold{lock_};
    return most_;
  }

 private:
  mutable std::mutex lock_;
  std::condition_variable changed_;
  int now_ = 0, most_ = 0;
  bool waited_ = false;
};

TEST_P(models, concurrency_and_per_host_are_limits) {
  const auto most_at_a_time = [&](std::vector<std::string> options) {
    counting count;
    const raw_server server{[&](const std::string&) { return count.answer(); }};
    auto arguments = in_model({"--from", "-", "-q", "--method", "get"});
    arguments.insert(arguments.end(), options.begin(), options.end());
    std::string input;
    for (int i = 0; i < 12; ++i) input += server.url("/" + std::to_string(i)) + "\n";
    EXPECT_EQ(check(arguments, input).status, 0);
    return count.most();
  };
  const int one = most_at_a_time({"-c", "3"});
  EXPECT_LE(one, is("sequential") ? 1 : 3);
  if (!is("sequential")) {
    EXPECT_GE(one, 2);
  }
  EXPECT_LE(most_at_a_time({"-c", "8", "--per-host", "2"}), 2);
}

/// Processes with this word in their command line, but for the caller.
std::vector<pid_t> processes_with(const std::string& word) {
  std::vector<pid_t> found;
  DIR* const all = ::opendir("/proc");
  while (const auto* e = ::readdir(all)) {
    std::ifstream in{std::string{"/proc/"} + e->d_name + "/cmdline"};
    const std::string text{std::istreambuf_iterator<char>{in}, {}};
    if (text.find(word) != text.npos) {
      found.push_back(static_cast<pid_t>(std::stol(e->d_name)));
    }
  }
  ::closedir(all);
  return found;
}

template <class Condition>
bool soon(Condition so) {
  for (int i = 0; i < 2000 && !so(); ++i) std::this_thread::sleep_for(5ms);
  return so();
}

std::string unique_word() { return "oneloop-model-test-" + std::to_string(::getpid()); }

TEST_P(models, interrupt_reports_what_there_is_and_leaves_nothing_behind) {
  process p{check_command(in_model(
      {s.url("/ok"), s.url("/hang"), s.url("/hang"), "--format", "json", "-A", unique_word()}))};
  ASSERT_TRUE(p.wait_for_output("/ok")) << p.err;
  ASSERT_TRUE(soon([&] { return s.count("HEAD /hang") > 0; }));
  p.signal(SIGINT);
  EXPECT_EQ(p.wait(), 130);
  const auto j = json::parse(p.out, nullptr, false);
  ASSERT_TRUE(j.is_object()) << p.out;
  EXPECT_EQ(j["summary"]["total"], 3);
  EXPECT_EQ(j["summary"]["by_kind"]["cancelled"], 2);
  EXPECT_TRUE(soon([] { return processes_with(unique_word()).empty(); }));
}

class worker_processes : public tool {};

TEST_F(worker_processes, killed_one_is_a_verdict_and_the_others_go_on) {
  process p{check_command({"--model", "processes", "--retries", "0", "-c", "2", "-A", unique_word(),
                           s.url("/hang"), s.url("/ok")})};
  ASSERT_TRUE(p.wait_for_output("/ok OK")) << p.err;
  ASSERT_TRUE(soon([&] { return s.count("HEAD /hang") > 0; }));
  for (const pid_t worker : processes_with("--oneloop-worker")) {
    for (const pid_t ours : processes_with(unique_word())) {
      if (worker == ours) ::kill(worker, SIGKILL);
    }
  }
  EXPECT_EQ(p.wait(), 1);
  EXPECT_NE(p.out.find("/hang Bad: worker "), p.out.npos) << p.out;
  EXPECT_NE(p.out.find(": killed by signal 9 (Killed)"), p.out.npos) << p.out;
}

TEST_F(worker_processes, end_with_a_program_that_is_killed) {
  process p{check_command({"--model", "processes", "-A", unique_word(), s.url("/hang")})};
  ASSERT_TRUE(soon([&] { return s.count("HEAD /hang") > 0; }));
  p.signal(SIGKILL);
  EXPECT_EQ(p.wait(), -SIGKILL);
  EXPECT_TRUE(soon([] { return processes_with(unique_word()).empty(); }));
}

TEST_F(worker_processes, results_larger_than_a_message_come_whole) {
  // Two redirects whose targets have 40,000 characters each.
  const std::string there(40'000, 'x');
  const raw_server server{[&](const std::string& request) -> std::string {
    const auto path = request.substr(0, request.find(" HTTP"));
    if (path.size() > 40'100) return "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    const auto to = path.size() > 40'000 ? "/" + there + std::string(200, 'y') : "/" + there;
    return "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + to + "\r\n\r\n";
  }};
  const auto o = check({"--model", "processes", "--format", "ndjson", server.url("/start")});
  EXPECT_EQ(o.status, 0) << o.err;
  const auto j = json::parse(o.out, nullptr, false);
  ASSERT_TRUE(j.is_object());
  ASSERT_EQ(j["redirects"].size(), 2U);
  EXPECT_EQ(j["redirects"][1]["from"], server.url("/" + there));
  EXPECT_EQ(j["final_url"].get<std::string>().size(), server.url("/").size() + 40'200);
}

TEST_F(tool, model_is_one_of_eight) {
  const auto o = check({"--model", "goroutines", s.url("/ok")});
  EXPECT_EQ(o.status, 2);
  EXPECT_NE(o.err.find("--model goroutines: must be sequential, threads, processes"), o.err.npos);
}

}  // namespace
}  // namespace tool_test
