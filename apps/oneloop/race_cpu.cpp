// race --cpu: two jobs that compute, one after another and at the same time.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "arguments.hpp"
#include "oneloop/base/clock.hpp"
#include "oneloop/base/error.hpp"
#include "oneloop/channel/channel.hpp"
#include "oneloop/check/model.hpp"
#include "oneloop/deferred/deferred.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/fiber/spawn.hpp"
#include "oneloop/process/worker.hpp"
#include "oneloop/scope/gather.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"
#include "oneloop/thread/on_pool.hpp"
#include "oneloop/thread/thread.hpp"
#include "oneloop/thread/thread_pool.hpp"
#include "race_command.hpp"

namespace tool {
namespace {

using namespace oneloop;
using namespace std::chrono_literals;

/// The talk's: a function that is slow on purpose.
[[gnu::noinline]] std::uint64_t fib(unsigned n) {
  asm volatile("" : "+r"(n));  // every call is made
  return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

constexpr int rounds = 5;

/// How two jobs are done in a model: both at the same time, as far as the model can, or one after
/// another.
enum class order : std::uint8_t { one_after_another, together };
using two_jobs = std::function<void(order, unsigned n)>;

void sequential(order, unsigned n) {
  fib(n);
  fib(n);
}

void in_threads(order o, unsigned n) {
  with_nursery([&](nursery& both) {
    spawn_thread(both, fib, n);
    if (o == order::together) spawn_thread(both, fib, n);
  });
  if (o == order::one_after_another) with_nursery([&](nursery& one) { spawn_thread(one, fib, n); });
}

two_jobs in_processes() {
  struct pair {
    process::worker one{{std::string{race_worker}}}, other{{std::string{race_worker}}};
  };
  return [w = std::make_shared<pair>()](order o, unsigned n) {
    const auto number = std::to_string(n);
    const auto answer_of = [](process::worker& from) {
      if (!await(from.receive())) throw error{"race", "a worker", make_error_code(errc::closed)};
    };
    await(w->one.send(number));
    if (o == order::one_after_another) answer_of(w->one);
    await(w->other.send(number));
    if (o == order::together) answer_of(w->one);
    answer_of(w->other);
  };
}

void in_callbacks(order o, unsigned n) {
  run([&]() -> task<> {
    const deferred<unsigned> one, other;
    auto first = one.add_callback(fib);
    auto second = other.add_callback(fib);
    one.callback(n);
    if (o == order::one_after_another) (void)co_await first;
    other.callback(n);
    if (o == order::together) (void)co_await first;
    (void)co_await second;
  });
}

void in_fibers(order o, unsigned n) {
  run([&] {
    with_nursery([&](nursery& both) {
      both.start([n] { fib(n); });
      if (o == order::together) both.start([n] { fib(n); });
    });
    if (o == order::one_after_another)
      with_nursery([&](nursery& one) { one.start([n] { fib(n); }); });
  });
}

task<> job(unsigned n) {
  fib(n);
  co_return;
}

void in_tasks(order o, unsigned n) {
  run([&]() -> task<> {
    co_await with_nursery([&](nursery& both) -> task<> {
      both.start(job, n);
      if (o == order::together) {
        both.start(job, n);
      } else {
        auto then = job(n);
        co_await std::move(then);
      }
    });
  });
}

void in_channels(order o, unsigned n) {
  run([&]() -> task<> {
    channel<unsigned> jobs{2};
    channel<std::uint64_t> answers{2};
    co_await with_nursery([&](nursery& workers) -> task<> {
      for (int i = 0; i < 2; ++i) {
        workers.start([&]() -> task<> {
          while (true) {
            auto next = co_await jobs.receive();
            if (!next) break;
            co_await answers.send(fib(*next));
          }
        });
      }
      co_await jobs.send(n);
      if (o == order::one_after_another) (void)co_await answers.receive();
      co_await jobs.send(n);
      if (o == order::together) (void)co_await answers.receive();
      (void)co_await answers.receive();
      jobs.close();
    });
  });
}

two_jobs in_futures() {
  return [pool = std::make_shared<thread_pool>(2)](order o, unsigned n) {
    auto first = pool->submit(fib, n);
    if (o == order::one_after_another) (void)first.result();
    auto second = pool->submit(fib, n);
    if (o == order::together) (void)first.result();
    (void)second.result();
  };
}

void on_the_pool(order o, unsigned n) {
  run([&]() -> task<> {
    const auto compute = [n] { return fib(n); };
    if (o == order::together) {
      auto both = gather(on_pool(compute), on_pool(compute));
      (void)co_await std::move(both);
    } else {
      (void)co_await on_pool(compute);
      (void)co_await on_pool(compute);
    }
  });
}

struct contender {
  const char* name;
  const char* why;
  std::function<two_jobs()> make;
};

const std::array<contender, 9>& contenders() {
  static const auto always = [](void (*f)(order, unsigned)) { return [f] { return two_jobs{f}; }; };
  static const std::array<contender, 9> all{{
      {"sequential", "one thread", always(sequential)},
      {"threads", "a thread each, and no global lock", always(in_threads)},
      {"processes", "a process each", in_processes},
      {"callbacks", "one loop, one thread: while a callback computes, nothing else runs",
       always(in_callbacks)},
      {"green", "one loop, one thread: a fiber that computes gives way to nobody",
       always(in_fibers)},
      {"async", "one loop, one thread: a coroutine that computes gives way to nobody",
       always(in_tasks)},
      {"channels", "one loop, one thread, whoever receives from the channel", always(in_channels)},
      {"futures", "a thread of the pool each", in_futures},
      {"pool", "async, with the job handed to all cores by on_pool", always(on_the_pool)},
  }};
  return all;
}

double milliseconds(duration d) { return std::chrono::duration<double, std::milli>(d).count(); }

template <class F>
duration time_of(F&& f) {
  const auto begun = std::chrono::steady_clock::now();
  f();
  return std::chrono::steady_clock::now() - begun;
}

/// The job's size on this machine, which may be busy with other things at times.
unsigned calibrated(duration at_least) {
  const auto quickest = [](unsigned n) {
    duration best = duration::max();
    for (int i = 0; i < 3; ++i) best = std::min(best, time_of([n] { fib(n); }));
    return best;
  };
  unsigned n = 20;
  while (time_of([n] { fib(n); }) < at_least || quickest(n) < at_least) ++n;
  return n;
}

struct cpu_entry {
  const contender* who;
  double one_after_another, parallel;  // milliseconds, medians
  [[nodiscard]] double speedup() const {
    return std::round(one_after_another / parallel * 100) / 100;
  }
};

double median(std::array<double, rounds> values) {
  std::ranges::sort(values);
  return std::round(values[rounds / 2] * 10) / 10;
}

cpu_entry measure_one(const contender& who, unsigned n) {
  const auto jobs = who.make();
  std::array<double, rounds> apart{}, together{};
  for (std::size_t i = 0; i < rounds; ++i) {
    apart.at(i) = milliseconds(time_of([&] { jobs(order::one_after_another, n); }));
    together.at(i) = milliseconds(time_of([&] { jobs(order::together, n); }));
  }
  return {&who, median(apart), median(together)};
}

void say(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

}  // namespace

int race_cpu_command(const race_arguments& arguments) {
  std::vector<std::string_view> names;
  for (const auto& c : contenders()) names.emplace_back(c.name);
  const auto chosen = parse_models(arguments.models, names);
  const bool json = parse_choice("--format", arguments.format, race_format_names) == 1;
  const unsigned cores = std::max(1U, std::thread::hardware_concurrency());
  const auto at_least = parse_duration("--job", arguments.job);
  if (at_least > 10s)
    throw usage_error{fmt::format("--job {}: must be at most 10s", arguments.job)};
  const unsigned n = calibrated(at_least);
  if (!json) {
    say(
        fmt::format("Two jobs that compute, fib({}), on {} core{}; the median of {} rounds.\n\n"
                    "{:<10} {:>18} {:>12} {:>8}  {}\n",
                    n, cores, cores == 1 ? "" : "s", rounds, "model", "one by one, ms",
                    "parallel, ms", "speedup", "why"));
  }
  auto models = nlohmann::ordered_json::array();
  for (const auto name : chosen) {
    const auto e = measure_one(*std::ranges::find(contenders(), name, &contender::name), n);
    if (json) {
      nlohmann::ordered_json j;
      j["model"] = name;
      j["one_after_another_ms"] = e.one_after_another;
      j["parallel_ms"] = e.parallel;
      j["speedup"] = e.speedup();
      models.push_back(std::move(j));
    } else {
      say(fmt::format("{:<10} {:>18.0f} {:>12.0f} {:>8.2f}  {}\n", name, e.one_after_another,
                      e.parallel, e.speedup(), e.who->why));
    }
  }
  if (json) {
    nlohmann::ordered_json all;
    all["models"] = std::move(models);
    all["cores"] = cores;
    say(all.dump(2) + "\n");
  }
  return exit_ok;
}

int serve_race_worker(process::message_pipe& parent) {
  return process::answer(parent, [](const std::string& number) {
    return std::to_string(fib(static_cast<unsigned>(std::stoul(number))));
  });
}

}  // namespace tool
