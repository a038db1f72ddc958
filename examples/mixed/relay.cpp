// A relay race of all models: a thread, a fiber, a coroutine and a deferred hand on the number of
// the round through one channel, fetch it with one HTTP client from a server in this program, and
// write it into one book under one lock.
//
//     mixed/relay [ROUNDS (100000) [EVERY (1)]]
//
// Only each EVERY-th round fetches something; all of them go through the channel and the lock. The
// last line tells who ran how often; the exit code is 1 if a round was lost, came twice or out
// of order.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "oneloop/channel/channel.hpp"
#include "oneloop/deferred/deferred.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/http/client.hpp"
#include "oneloop/http/server.hpp"
#include "oneloop/net/tcp.hpp"
#include "oneloop/sync/mutex.hpp"
#include "oneloop/thread/thread.hpp"
using namespace oneloop;

enum runner { by_thread, by_fiber, by_coroutine, by_deferred };

struct race {
  int rounds, every = 1;
  std::string base{};  // of the server's URLs
  channel<int> track{};
  mutex lock{};
  http::client web{};
  // The book, under the lock:
  std::array<int, 4> run{};
  int next = 0, wrong = 0;

  void note(runner who, int round, const std::string& fetched) {
    ++run[who];
    if (round != next++ || fetched != std::to_string(round)) ++wrong;
  }
};

task<http::server_response> answer(http::server_request& request) {
  co_return http::server_response{}.body(std::string{request.path().substr(1)});
}

task<std::string> fetch(race& r, int round) {
  if (round % r.every != 0) co_return std::to_string(round);
  auto getting = r.web.get(r.base + std::to_string(round));
  auto reply = co_await std::move(getting);
  auto reading = reply.text();
  co_return co_await std::move(reading);
}

// The thread and the fiber run the same code.
void run_blocking(race& r, runner me) {
  for (int round : r.track) {
    if (round == r.rounds) return r.track.close();
    const std::string fetched = await(fetch(r, round));
    {
      auto guard = await(r.lock.lock());
      r.note(me, round, fetched);
    }
    await(r.track.send(round + 1));
  }
}

task<> run_coroutine(race& r) {
  while (auto round = co_await r.track.receive()) {
    if (*round == r.rounds) co_return r.track.close();
    auto fetching = fetch(r, *round);
    const std::string fetched = co_await std::move(fetching);
    {
      auto guard = co_await r.lock.lock();
      r.note(by_coroutine, *round, fetched);
    }
    co_await r.track.send(*round + 1);
  }
}

void run_deferred(race& r);

deferred<> run_round(race& r, int round) {
  return defer(fetch(r, round))
      .add_callback([&r, round](std::string fetched) {
        return defer(r.lock.lock()).add_callback([&r, round, fetched](mutex_guard) {
          r.note(by_deferred, round, fetched);
        });
      })
      .add_callback([&r, round] { return defer(r.track.send(round + 1)); })
      .add_callback([&r] { run_deferred(r); });
}

void run_deferred(race& r) {
  defer(r.track.receive())
      .add_callback([&r](std::optional<int> round) {
        if (!round) return succeed();
        if (*round < r.rounds) return run_round(r, *round);
        r.track.close();
        return succeed();
      })
      .add_errback([&r](const failure& f) {
        std::fprintf(stderr, "the deferred fell: %s\n", f.what().c_str());
        r.track.try_close();  // the round is missing from the book
      });
}

void start(race& r) {
  net::tcp_listener listener{{net::ip_address::loopback_v4(), 0}};
  r.base = "http://" + listener.local_endpoint().to_string() + "/";
  with_nursery([&](nursery& site) {
    site.start([&] { return http::serve(listener, answer); });
    with_nursery([&](nursery& runners) {
      spawn_thread(runners, run_blocking, std::ref(r), by_thread);
      runners.start(run_blocking, std::ref(r), by_fiber);
      runners.start(run_coroutine, std::ref(r));
      run_deferred(r);
      await(r.track.send(0));
    });
    site.cancel();
  });
}

int main(int argc, char** argv) {
  race r{.rounds = argc > 1 ? std::atoi(argv[1]) : 100'000,
         .every = argc > 2 ? std::max(std::atoi(argv[2]), 1) : 1};
  try {
    run([&] { start(r); });
  } catch (const std::exception& e) {
    std::fprintf(stderr, "relay: %s\n", e.what());
    return 1;
  }
  const bool good = r.next == r.rounds && r.wrong == 0;
  std::printf("%d rounds: thread %d, fiber %d, coroutine %d, deferred %d; %s\n", r.next,
              r.run[by_thread], r.run[by_fiber], r.run[by_coroutine], r.run[by_deferred],
              good ? "in order, nothing lost" : "WRONG");
  return good ? 0 : 1;
}
