// Threads that send, receive and select over shared channels while another thread cancels them at
// random: nothing is lost, nothing is doubled, and nobody is left behind in a queue.

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "oneloop/base/error.hpp"
#include "oneloop/channel/channel.hpp"
#include "oneloop/channel/select.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/sync/test_waiter.hpp"

namespace oneloop::inline v0::test {
namespace {

constexpr int threads = 4;
constexpr int rounds = 8000;

// What one thread has done. Every value is sent at most once, so sums and sums of squares must
// agree.
struct ledger {
  std::uint64_t sent = 0, sent_sum = 0, sent_squares = 0;
  std::uint64_t received = 0, received_sum = 0, received_squares = 0;
  std::uint64_t cancelled = 0;
  void send(std::uint64_t v) {
    ++sent;
    sent_sum += v;
    sent_squares += v * v;
  }
  void receive(const std::optional<std::uint64_t>& v) {
    ASSERT_TRUE(v);
    ++received;
    received_sum += *v;
    received_squares += *v * *v;
  }
  void operator+=(const ledger& o) {
    sent += o.sent;
    sent_sum += o.sent_sum;
    sent_squares += o.sent_squares;
    received += o.received;
    received_sum += o.received_sum;
    received_squares += o.received_squares;
    cancelled += o.cancelled;
  }
};

using values = channel<std::uint64_t>;

struct actor {
  thread_party party;
  ledger book;
  std::minstd_rand random;
  std::uint64_t next_value = 0;
  std::uint64_t fresh() { return next_value += threads; }

  void send(values& c) {
    const auto v = fresh();
    auto op = c.send(v);
    if (!party.wait(op)) return void(++book.cancelled);
    op.await_resume();
    book.send(v);
  }
  void receive(values& c) {
    auto op = c.receive();
    if (!party.wait(op)) return void(++book.cancelled);
    book.receive(op.await_resume());
  }
  void send_or_receive(values& to, values& from) {
    const auto v = fresh();
    auto op = select(to.send(v), from.receive());
    if (!party.wait(op)) return void(++book.cancelled);
    auto r = op.await_resume();
    if (r.index() == 0) {
      book.send(v);
    } else {
      book.receive(r.get<1>());
    }
  }
  void everything(values& a, values& b, event& never) {
    const auto v = fresh(), w = fresh();
    auto op = select(a.send(v), b.receive(), never.wait(), b.send(w), a.receive());
    if (!party.wait(op)) return void(++book.cancelled);
    auto r = op.await_resume();
    switch (r.index()) {
      case 0: book.send(v); break;
      case 1: book.receive(r.get<1>()); break;
      case 3: book.send(w); break;
      case 4: book.receive(r.get<4>()); break;
      default: ADD_FAILURE() << "a case that cannot happen";
    }
  }
  void either(values& a, values& b) {
    std::vector<values::receive_operation> cases;
    cases.push_back(a.receive());
    cases.push_back(b.receive());
    auto op = select_any(std::move(cases));
    if (!party.wait(op)) return void(++book.cancelled);
    book.receive(op.await_resume().value);
  }
  void try_both(values& a, values& b) {
    const auto v = fresh();
    auto r = try_select(a.send(v), b.receive());
    if (!r) return;
    if (r->index() == 0) {
      book.send(v);
    } else {
      book.receive(r->get<1>());
    }
  }
};

// Runs `step(actor, thread number)` on all threads and cancels at random; the sum of what they did.
ledger run(const std::function<void(actor&, int)>& step, int steps = rounds) {
  std::vector<std::unique_ptr<actor>> actors;
  for (int t = 0; t < threads; ++t) {
    actors.push_back(std::make_unique<actor>());
    actors.back()->random.seed(static_cast<unsigned>(t) + 1);
    actors.back()->next_value = static_cast<std::uint64_t>(t);
  }
  std::atomic<int> running{threads};
  std::vector<std::thread> pool;
  for (int t = 0; t < threads; ++t) {
    pool.emplace_back([&, t] {
      for (int i = 0; i < steps; ++i) step(*actors[static_cast<std::size_t>(t)], t);
      --running;
    });
  }
  std::minstd_rand random{99};
  while (running != 0) {
    actors[random() % threads]->party.cancel();
    for (unsigned i = random() % 200; i != 0; --i) std_atomics::pause();
    if (random() % 8 == 0) std::this_thread::yield();
  }
  for (auto& t : pool) t.join();
  ledger all;
  for (auto& a : actors) all += a->book;
  return all;
}

void expect_balanced(ledger all, std::initializer_list<values*> channels) {
  for (values* c : channels) {
    while (auto v = c->try_receive()) all.receive(v);
    const auto s = c->statistics();
    EXPECT_EQ(s.waiting_senders, 0u);
    EXPECT_EQ(s.waiting_receivers, 0u);
  }
  EXPECT_EQ(all.sent, all.received);
  EXPECT_EQ(all.sent_sum, all.received_sum);
  EXPECT_EQ(all.sent_squares, all.received_squares);
  EXPECT_GT(all.sent, 0u);
  testing::Test::RecordProperty("messages", std::to_string(all.sent));
  testing::Test::RecordProperty("cancelled", std::to_string(all.cancelled));
}

class stress : public testing::TestWithParam<int> {
 protected:
  std::size_t capacity() const { return static_cast<std::size_t>(GetParam()); }
};

TEST_P(stress, sending_and_receiving) {
  values c{capacity()};
  expect_balanced(run([&](actor& a, int) { a.random() % 2 ? a.send(c) : a.receive(c); }), {&c});
}

TEST_P(stress, everything_mixed_over_two_channels) {
  values c{capacity()}, d{capacity()};
  event never;
  expect_balanced(run([&](actor& a, int) {
                    switch (a.random() % 8) {
                      case 0: a.send(c); break;
                      case 1: a.receive(d); break;
                      case 2: a.send_or_receive(c, d); break;
                      case 3: a.send_or_receive(d, c); break;
                      case 4: a.send_or_receive(c, c); break;
                      case 5: a.everything(c, d, never); break;
                      case 6: a.either(c, d); break;
                      case 7: a.try_both(d, c); break;
                    }
                  }),
                  {&c, &d});
  EXPECT_EQ(never.statistics().waiting, 0u);
}

TEST_P(stress, selects_that_face_each_other_over_two_channels) {
  values c{capacity()}, d{capacity()};
  expect_balanced(
      run([&](actor& a, int t) { t % 2 ? a.send_or_receive(c, d) : a.send_or_receive(d, c); }),
      {&c, &d});
}

TEST_P(stress, selects_in_a_ring_of_four) {
  std::vector<std::unique_ptr<values>> ring;
  for (int i = 0; i < threads; ++i) ring.push_back(std::make_unique<values>(capacity()));
  expect_balanced(run([&](actor& a, int t) {
                    const auto here = static_cast<std::size_t>(t);
                    a.send_or_receive(*ring[here], *ring[(here + 1) % threads]);
                  }),
                  {ring[0].get(), ring[1].get(), ring[2].get(), ring[3].get()});
}

TEST_P(stress, selects_in_a_ring_of_three) {
  values c{capacity()}, d{capacity()}, e{capacity()};
  values* ring[] = {&c, &d, &e};
  expect_balanced(run([&](actor& a, int t) {
                    if (t == 3) return a.either(*ring[a.random() % 3], *ring[a.random() % 3]);
                    a.send_or_receive(*ring[t], *ring[(t + 1) % 3]);
                  }),
                  {&c, &d, &e});
}

TEST_P(stress, selects_that_send_and_receive_on_one_channel) {
  values c{capacity()};
  expect_balanced(run([&](actor& a, int) { a.send_or_receive(c, c); }), {&c});
}

INSTANTIATE_TEST_SUITE_P(capacity, stress, testing::Values(0, 1, 5),
                         testing::PrintToStringParamName());

TEST(stress_of_close, every_value_is_received_or_comes_back) {
  for (int round = 0; round < 300; ++round) {
    channel<std::unique_ptr<int>> c{static_cast<std::size_t>(round % 3)};
    std::atomic<int> sent{0}, refused{0}, received{0};
    std::vector<std::thread> pool;
    for (int t = 0; t < 2; ++t) {
      pool.emplace_back([&] {
        thread_party me;
        for (;;) {
          auto op = c.send(std::make_unique<int>(1));
          ASSERT_TRUE(me.wait(op));
          try {
            op.await_resume();
            ++sent;
          } catch (const closed_error&) {
            ASSERT_NE(op.value(), nullptr);
            ++refused;
            return;
          }
        }
      });
      pool.emplace_back([&] {
        thread_party me;
        for (;;) {
          auto op = select(c.receive(), c.receive());
          ASSERT_TRUE(me.wait(op));
          auto r = op.await_resume();
          auto& v = r.index() == 0 ? r.get<0>() : r.get<1>();
          if (!v) return;
          ASSERT_NE(*v, nullptr);
          ++received;
        }
      });
    }
    while (received < round % 20) std::this_thread::yield();
    c.close();
    for (auto& t : pool) t.join();
    EXPECT_EQ(sent, received);
    EXPECT_EQ(refused, 2);
    EXPECT_TRUE(c.drained());
  }
}

TEST(stress_of_event, set_meets_cancel_and_select) {
  for (int round = 0; round < 300; ++round) {
    event go, other;
    std::vector<std::unique_ptr<thread_party>> parties;
    for (int t = 0; t < threads; ++t) parties.push_back(std::make_unique<thread_party>());
    std::atomic<int> finished{0};
    std::vector<std::thread> pool;
    for (int t = 0; t < threads; ++t) {
      pool.emplace_back([&, t] {
        auto& me = *parties[static_cast<std::size_t>(t)];
        for (;;) {
          auto op = select(other.wait(), go.wait());
          if (!me.wait(op)) continue;
          EXPECT_EQ(op.await_resume().index(), 1u);
          break;
        }
        ++finished;
      });
    }
    for (int i = 0; i < 20; ++i) parties[static_cast<std::size_t>(i) % threads]->cancel();
    go.set();
    while (finished != threads) parties[0]->cancel();
    for (auto& t : pool) t.join();
    EXPECT_EQ(go.statistics().waiting, 0u);
    EXPECT_EQ(other.statistics().waiting, 0u);
  }
}

}  // namespace
}  // namespace oneloop::inline v0::test
