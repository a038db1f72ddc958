// A million messages between parties of all four kinds, on two loops and plain threads, through an
// unbuffered and a buffered channel, by sends, receives and selects; and all the while a foreign
// thread cancels whom it likes. Nothing is lost, nothing comes twice, nobody is left waiting.

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "oneloop/channel/select.hpp"
#include "tests/matrix.hpp"

namespace oneloop::matrix {

constexpr std::uint64_t messages = sanitized ? 60'000 : 1'000'000;

/// What everybody shares.
struct exchange {
  explicit exchange(std::size_t capacity) : buffered{capacity} {}
  channel<std::uint64_t> unbuffered, buffered;
  std::atomic<int> senders{0};
  std::atomic<std::uint64_t> cancelled{0};
  /// Each message once; the index is the message.
  std::vector<std::atomic<std::uint8_t>> seen = std::vector<std::atomic<std::uint8_t>>(messages);

  void sender_ended() {
    if (senders.fetch_sub(1) != 1) return;
    unbuffered.close();
    buffered.close();
  }
};

/// One party, in whatever model: what it does next, and what came of it. `sends` messages from
/// `first` on, or (none) receives until nothing more can come.
class worker {
 public:
  worker(exchange& e, std::uint64_t first, std::uint64_t count, std::uint32_t seed)
      : exchange_{e}, next_{first}, end_{first + count}, random_{seed} {}

  enum class step { send_one, send_other, send_either, receive_one, receive_other, receive_either };

  [[nodiscard]] bool sends() const noexcept { return sends_; }
  void is_sender() noexcept { sends_ = true; }
  [[nodiscard]] bool over() const noexcept { return sends_ ? next_ == end_ : open_ == 0; }
  step choose() {
    const auto dice = random_();
    if (sends_) {
      return dice % 4 == 0 ? step::send_one : dice % 4 == 1 ? step::send_other : step::send_either;
    }
    // Where nothing more comes a receive would give nullopt for ever.
    if (open_ != 3) return open_ == 1 ? step::receive_one : step::receive_other;
    // A receiver that waits for one channel alone may wait in vain while the other is full, but
    // there are others, and in the end both are closed.
    return dice % 8 == 0   ? step::receive_one
           : dice % 8 == 1 ? step::receive_other
                           : step::receive_either;
  }
  /// How many steps in one scope.
  int scope_length() { return 1 + static_cast<int>(random_() % 40); }

  auto send_one() { return exchange_.unbuffered.send(next_); }
  auto send_other() { return exchange_.buffered.send(next_); }
  auto send_either() {
    return select(exchange_.unbuffered.send(next_), exchange_.buffered.send(next_));
  }
  auto receive_one() { return exchange_.unbuffered.receive(); }
  auto receive_other() { return exchange_.buffered.receive(); }
  auto receive_either() {
    return select(exchange_.unbuffered.receive(), exchange_.buffered.receive());
  }
  void sent() { ++next_; }
  void received(const std::optional<std::uint64_t>& v, unsigned from) {
    if (!v) {
      open_ &= ~from;
      return;
    }
    EXPECT_EQ(exchange_.seen.at(*v).fetch_add(1), 0) << "message " << *v << " came twice";
  }
  template <class Result>
  void received_either(Result& r) {
    r.index() == 0 ? received(r.template get<0>(), 1) : received(r.template get<1>(), 2);
  }
  void was_cancelled() { exchange_.cancelled.fetch_add(1, std::memory_order_relaxed); }
  void ended() {
    if (sends_) exchange_.sender_ended();
    std::scoped_lock l{lock_};
    cancel_ = nullptr;
  }

  // ---- the foreign thread ----
  void cancel() {
    std::scoped_lock l{lock_};
    if (cancel_) cancel_();
  }
  void cancellable_by(std::function<void()> f) {
    std::scoped_lock l{lock_};
    cancel_ = std::move(f);
  }

 private:
  exchange& exchange_;
  std::uint64_t next_, end_;
  bool sends_ = false;
  unsigned open_ = 3;
  std::minstd_rand random_;
  std::mutex lock_;
  std::function<void()> cancel_;
};

// ---- one step, in each model ----

inline void step_blocking(worker& w) {
  switch (w.choose()) {
    case worker::step::send_one: await(w.send_one()); return w.sent();
    case worker::step::send_other: await(w.send_other()); return w.sent();
    case worker::step::send_either: await(w.send_either()); return w.sent();
    case worker::step::receive_one: return w.received(await(w.receive_one()), 1);
    case worker::step::receive_other: return w.received(await(w.receive_other()), 2);
    case worker::step::receive_either: {
      auto r = await(w.receive_either());
      return w.received_either(r);
    }
  }
}
inline void run_blocking(worker* w) {
  while (!w->over()) {
    const bool ended = with_scope(scope_options{}, [&](cancel_scope& s) {
      w->cancellable_by([h = s.handle()] { h.cancel(); });
      for (int i = w->scope_length(); i > 0 && !w->over(); --i) step_blocking(*w);
    });
    if (!ended) w->was_cancelled();
  }
  w->ended();
}

inline task<> step_awaited(worker* w) {
  const auto what = w->choose();
  if (what == worker::step::send_one) {
    co_await w->send_one();
    w->sent();
  } else if (what == worker::step::send_other) {
    co_await w->send_other();
    w->sent();
  } else if (what == worker::step::send_either) {
    co_await w->send_either();
    w->sent();
  } else if (what == worker::step::receive_one) {
    auto v = co_await w->receive_one();
    w->received(v, 1);
  } else if (what == worker::step::receive_other) {
    auto v = co_await w->receive_other();
    w->received(v, 2);
  } else {
    auto r = co_await w->receive_either();
    w->received_either(r);
  }
}
inline task<> steps_awaited(cancel_scope& s, worker* w) {
  std::function<void()> canceller = [h = s.handle()] { h.cancel(); };
  w->cancellable_by(std::move(canceller));
  for (int i = w->scope_length(); i > 0 && !w->over(); --i) {
    auto step = step_awaited(w);
    co_await std::move(step);
  }
}
inline task<> run_awaited(worker* w) {
  while (!w->over()) {
    auto region = with_scope(scope_options{}, steps_awaited, w);
    const bool ended = co_await std::move(region);
    if (!ended) w->was_cancelled();
  }
  w->ended();
}

/// Callbacks: each step is a deferred, and the next one starts from the ready queue.
class chained {
 public:
  explicit chained(worker& w) : w_{w} {}
  void next() {
    if (w_.over()) return w_.ended();
    const auto sent = [this] { w_.sent(); };
    switch (w_.choose()) {
      case worker::step::send_one: return after(defer(w_.send_one()), sent);
      case worker::step::send_other: return after(defer(w_.send_other()), sent);
      case worker::step::send_either: return after(defer(w_.send_either()), sent);
      case worker::step::receive_one:
        return after(defer(w_.receive_one()),
                     [this](const std::optional<std::uint64_t>& v) { w_.received(v, 1); });
      case worker::step::receive_other:
        return after(defer(w_.receive_other()),
                     [this](const std::optional<std::uint64_t>& v) { w_.received(v, 2); });
      case worker::step::receive_either:
        return after(defer(w_.receive_either()), [this](auto&& r) { w_.received_either(r); });
    }
  }

 private:
  template <class T, class Then>
  void after(deferred<T> d, Then then) {
    w_.cancellable_by([d] { d.cancel(); });
    d.add_callback(then)
        .add_errback([this](const failure& f) {
          if (!is_cancelled(f.exception())) ADD_FAILURE() << f.what();
          w_.was_cancelled();
        })
        .add_callback([] { return defer(yield_now()); })
        .add_callback([this] { next(); });
  }
  worker& w_;
};

// ---- the crowd ----

struct crowd_member {
  model how;
  std::unique_ptr<worker> what;
};

inline task<> start_on_loop(nursery& n, std::vector<crowd_member*> who,
                            std::vector<std::unique_ptr<chained>>* chains) {
  for (crowd_member* m : who) {
    switch (m->how) {
      case model::coroutine: n.start(run_awaited, m->what.get()); break;
      case model::fiber: n.start(run_blocking, m->what.get()); break;
      case model::callback:
        chains->push_back(std::make_unique<chained>(*m->what));
        chains->back()->next();
        break;
      case model::thread: break;
    }
  }
  co_return;
}
inline task<> live(std::vector<crowd_member*> who) {
  std::vector<std::unique_ptr<chained>> chains;
  auto all = with_nursery(start_on_loop, std::move(who), &chains);
  co_await std::move(all);
}

class million : public testing::TestWithParam<std::string> {};

TEST_P(million, messages_with_random_cancels) {
  where() = "million." + GetParam();
  SCOPED_TRACE("ONELOOP_MATRIX_SEED=" + std::to_string(seed()));
  const auto before = open_descriptors();
  std::mt19937 random{seed()};
  exchange all{16};

  // Of each model a sender and a receiver on each loop; two of each on threads.
  std::vector<crowd_member> crowd;
  std::vector<crowd_member*> places[4];
  constexpr std::uint64_t senders = 8;
  for (std::uint64_t i = 0; i < 2 * senders; ++i) {
    const model m = models[i / 2 % 4];
    const bool sends = i % 2 == 0;
    crowd.push_back({m, std::make_unique<worker>(all, sends ? i / 2 * (messages / senders) : 0,
                                                 sends ? messages / senders : 0, random())});
    if (sends) crowd.back().what->is_sender();
  }
  static_assert(messages % senders == 0);
  all.senders = senders;
  for (std::size_t i = 0; i < crowd.size(); ++i) {
    const std::size_t half = i / 8;  // the first eight on one loop, the others on the other
    places[half].push_back(&crowd[i]);
  }

  std::atomic<std::size_t> ended{0};
  std::vector<std::thread> threads;
  auto begin = [&](auto body) {
    threads.emplace_back([&ended, body = std::move(body)] {
      try {
        body();
      } catch (...) {
        ADD_FAILURE() << describe(std::current_exception());
      }
      ++ended;
    });
  };
  for (auto& place : {places[0], places[1]}) {
    begin([backend = GetParam(), place] { oneloop::run(live(place), backend); });
    for (crowd_member* m : place) {
      if (m->how == model::thread) begin([m] { run_blocking(m->what.get()); });
    }
  }

  std::atomic<bool> stop{false};
  std::thread canceller{[&, seed = random()] {
    std::minstd_rand dice{seed};
    while (!stop) {
      crowd[dice() % crowd.size()].what->cancel();
      for (auto n = dice() % 3000; n != 0; --n) std_atomics::pause();
    }
  }};
  eventually("the end of the crowd", [&] { return ended == threads.size(); });
  stop = true;
  canceller.join();
  for (auto& t : threads) t.join();

  std::uint64_t missing = 0;
  for (const auto& s : all.seen) missing += s == 0 ? 1 : 0;
  EXPECT_EQ(missing, 0u);
  EXPECT_GT(all.cancelled.load(), 100u);
  RecordProperty("cancelled", std::to_string(all.cancelled.load()));
  std::uint64_t sent = 0;
  for (const auto* c : {&all.unbuffered, &all.buffered}) {
    const auto s = c->statistics();
    EXPECT_EQ(s.waiting_senders, 0u);
    EXPECT_EQ(s.waiting_receivers, 0u);
    EXPECT_EQ(s.buffered, 0u);
    EXPECT_GT(s.sent, messages / 20);
    sent += s.sent;
  }
  EXPECT_EQ(sent, messages);
  crowd.clear();
  EXPECT_EQ(open_descriptors(), before);
}

static const std::vector<std::string> backends = uring_available()
                                                     ? std::vector<std::string>{"epoll", "io_uring"}
                                                     : std::vector<std::string>{"epoll"};
INSTANTIATE_TEST_SUITE_P(matrix, million, testing::ValuesIn(backends),
                         [](const auto& chosen) { return chosen.param; });

}  // namespace oneloop::matrix
