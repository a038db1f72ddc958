#include <functional>
#include <utility>

#include "oneloop/base/error.hpp"
#include "oneloop/channel/channel.hpp"
#include "oneloop/check/crew_internal.hpp"
#include "oneloop/check/schedule_internal.hpp"
#include "oneloop/deferred/deferred.hpp"
#include "oneloop/fiber/spawn.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/thread/thread.hpp"
#include "oneloop/thread/thread_pool.hpp"

namespace oneloop::inline v0::detail {
namespace {

/// Crews on one loop, with the connections of their client.
class loop_crew : public check_crew {
 public:
  explicit loop_crew(const crew_settings& s) : probe_{s.options} {}
  task<> close() override { return probe_.close(); }

 protected:
  check_probe probe_;
};

/// The task that asked waits itself. With one at a time this is the sequential model.
class async_crew final : public loop_crew {
 public:
  using loop_crew::loop_crew;
  task<probe_outcome> try_once(check_result& r) override { return probe_.try_once(r); }
};

class callback_crew final : public loop_crew {
 public:
  using loop_crew::loop_crew;
  task<probe_outcome> try_once(check_result& r) override {
    probe_outcome outcome;
    co_await with_nursery([&](nursery&) -> task<> {
      auto chain = defer(probe_.try_once(r)).add_callback([&](probe_outcome o) { outcome = o; });
      co_await chain;
    });
    co_return outcome;
  }
};

class fiber_crew final : public loop_crew {
 public:
  using loop_crew::loop_crew;
  task<probe_outcome> try_once(check_result& r) override {
    probe_outcome outcome;
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start(named{"check", [&] { outcome = await(probe_.try_once(r)); }});
      co_return;
    });
    co_return outcome;
  }
};

/// Workers between channels: as many as have been needed at a time.
class channel_crew final : public loop_crew {
 public:
  explicit channel_crew(const crew_settings& s) : loop_crew{s}, settings_{s} {}

  task<probe_outcome> try_once(check_result& r) override {
    const auto answers = std::make_shared<channel<job_done>>(1);
    job j{r.url, answers};
    if (!jobs_.try_send(j)) {
      if (workers_ < settings_.concurrency) {
        settings_.workers.start(named{"check worker", work}, this);
        ++workers_;
      }
      co_await jobs_.send(std::move(j));
    }
    auto done = co_await answers->receive();
    done->result.attempts = r.attempts;
    r = std::move(done->result);
    co_return done->outcome;
  }
  task<> close() override {
    jobs_.close();
    return loop_crew::close();
  }

 private:
  struct job_done {
    check_result result;
    probe_outcome outcome;
  };
  struct job {
    std::string url;
    std::shared_ptr<channel<job_done>> answers;
  };
  static task<> work(channel_crew* self) {
    while (true) {
      auto j = co_await self->jobs_.receive();
      if (!j) break;
      job_done done{check_result{std::move(j->url)}, {}};
      auto trying = self->probe_.try_once(done.result);
      done.outcome = co_await std::move(trying);
      co_await j->answers->send(std::move(done));
    }
  }
  const crew_settings settings_;
  channel<job> jobs_;
  std::size_t workers_ = 0;
};

/// Crews of threads, each with a loop in place and its own connections.
class threaded_crew : public check_crew {
 public:
  explicit threaded_crew(const crew_settings& s)
      : probe_{s.options, check_probe::connections::closed}, gate_{s} {}
  task<> close() override { return probe_.close(); }

 protected:
  check_probe probe_;
  host_gate gate_;
};

class thread_crew final : public threaded_crew {
 public:
  using threaded_crew::threaded_crew;
  task<probe_outcome> try_once(check_result& r) override {
    auto entering = gate_.enter(r.url);
    const auto pass = co_await std::move(entering);
    probe_outcome outcome;
    co_await with_nursery([&](nursery& n) -> task<> {
      spawn_thread(n, named{"check", [&] { outcome = await(probe_.try_once(r)); }});
      co_return;
    });
    co_return outcome;
  }
};

class future_crew final : public threaded_crew {
 public:
  explicit future_crew(const crew_settings& s)
      : threaded_crew{s}, pool_{s.concurrency, thread_pool_options{}.name("check")} {}
  task<probe_outcome> try_once(check_result& r) override {
    auto entering = gate_.enter(r.url);
    const auto pass = co_await std::move(entering);
    const auto outcome = pool_.submit([this, &r] { return probe_.try_once(r); });
    try {
      co_return co_await outcome;
    } catch (const cancelled&) {
      outcome.interrupt();
    }
    // Until nobody uses `r` any more.
    auto waiting = [&]() -> task<> { co_await outcome.finished(); };
    co_await shielded(std::ref(waiting));
    throw cancelled{};
  }
  task<> close() override {
    pool_.shutdown(false);
    co_await pool_.ended();
    auto closing = threaded_crew::close();
    co_await std::move(closing);
  }

 private:
  thread_pool pool_;
};

}  // namespace

crew_settings::crew_settings(const check_options& o, nursery& n)
    : options{o},
      workers{n},
      model{o.model_},
      concurrency{o.concurrency_},
      per_host{o.client_.per_host()},
      worker_arguments{o.worker_arguments_} {}

std::unique_ptr<check_crew> make_crew(const check_options& options, nursery& workers) {
  const crew_settings s{options, workers};
  switch (s.model) {
    case check_model::sequential:
    case check_model::async: return std::make_unique<async_crew>(s);
    case check_model::callbacks: return std::make_unique<callback_crew>(s);
    case check_model::green: return std::make_unique<fiber_crew>(s);
    case check_model::channels: return std::make_unique<channel_crew>(s);
    case check_model::threads: return std::make_unique<thread_crew>(s);
    case check_model::futures: return std::make_unique<future_crew>(s);
    case check_model::processes: return make_worker_crew(s);
  }
  throw misuse{"check_options::model: no such model"};
}

task<host_gate::pass> host_gate::enter(const std::string& url) {
  pass entered;
  if (!needed_) co_return entered;
  auto name = host_under_limits(url);
  if (name.empty()) co_return entered;
  auto host = hosts_[name].lock();
  if (!host) {
    host = std::shared_ptr<semaphore>{new semaphore{most_}, [this, name](semaphore* s) {
                                        hosts_.erase(name);
                                        delete s;
                                      }};
    hosts_[name] = host;
  }
  auto permit = co_await host->permit();
  co_return pass{std::move(host), std::move(permit)};
}

}  // namespace oneloop::inline v0::detail
