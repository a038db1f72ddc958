#include "oneloop/channel/select.hpp"

#include <array>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "oneloop/base/error.hpp"
#include "oneloop/channel/channel.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/sync/mutex.hpp"
#include "oneloop/sync/semaphore.hpp"
#include "oneloop/sync/test_waiter.hpp"

namespace oneloop::inline v0::test {
namespace {

bool deserted(const channel<int>& c) {
  const auto s = c.statistics();
  return s.waiting_senders == 0 && s.waiting_receivers == 0;
}

TEST(select, takes_the_case_that_is_ready_without_suspending) {
  channel<int> a, b{1};
  EXPECT_TRUE(b.try_send(4));
  for (int i = 0; i < 20; ++i) {
    attempt s{select(a.receive(), b.receive())};
    ASSERT_TRUE(s.immediate());
    auto r = s.result();
    ASSERT_EQ(r.index(), 1u);
    EXPECT_EQ(r.get<1>(), 4);
    EXPECT_TRUE(deserted(a));
    EXPECT_TRUE(b.try_send(4));
  }
}

TEST(select, waits_for_the_first_case_and_leaves_no_ghost) {
  channel<int> a, b;
  attempt s{select(a.receive(), b.send(3))};
  EXPECT_TRUE(s.waits());
  EXPECT_EQ(a.statistics().waiting_receivers, 1u);
  EXPECT_EQ(b.statistics().waiting_senders, 1u);
  EXPECT_EQ(b.try_receive(), 3);
  EXPECT_FALSE(a.try_send(1)) << "the loser takes nothing";
  auto r = s.result();
  EXPECT_EQ(r.index(), 1u);
  EXPECT_EQ(r.get<1>(), std::monostate{});
  EXPECT_TRUE(deserted(a));
  EXPECT_TRUE(deserted(b));
}

TEST(select, mixes_all_primitives) {
  channel<std::string> c;
  mutex m;
  auto held = m.try_lock();
  semaphore s{0};
  event e;
  attempt all{select(c.receive(), m.lock(), s.permit(), e.wait())};
  EXPECT_TRUE(all.waits());
  held.unlock();
  {
    auto r = all.result();
    ASSERT_EQ(r.index(), 1u);
    EXPECT_TRUE(r.get<1>());
    EXPECT_TRUE(m.locked());
  }
  EXPECT_FALSE(m.locked());
  EXPECT_EQ(s.statistics().waiting, 0u);
  EXPECT_EQ(e.statistics().waiting, 0u);
  EXPECT_EQ(c.statistics().waiting_receivers, 0u);
}

TEST(select, a_lock_or_permit_that_loses_is_not_taken) {
  mutex m;
  semaphore s{1};
  event e{true};
  for (int i = 0; i < 50; ++i) {
    attempt both{select(m.lock(), s.permit(), e.wait())};
    auto r = both.result();
    EXPECT_EQ(m.locked(), r.index() == 0);
    EXPECT_EQ(s.available(), r.index() == 1 ? 0u : 1u);
  }
  EXPECT_FALSE(m.locked());
  EXPECT_EQ(s.available(), 1u);
}

TEST(select, lvalue_cases_are_borrowed_and_losers_may_be_used_again) {
  channel<std::unique_ptr<int>> out;
  channel<int> in{1};
  EXPECT_TRUE(in.try_send(1));
  auto send = out.send(std::make_unique<int>(9));
  {
    attempt s{select(send, in.receive())};
    EXPECT_EQ(s.result().index(), 1u);
  }
  ASSERT_NE(send.value(), nullptr) << "the value of a send that lost is not lost";
  attempt s{select(send, in.receive())};
  EXPECT_TRUE(s.waits());
  EXPECT_EQ(**out.try_receive(), 9);
  EXPECT_EQ(s.result().index(), 0u);
}

TEST(select, cancelled_it_waits_for_nothing_and_has_committed_nothing) {
  channel<int> a, b;
  event e;
  attempt s{select(a.receive(), b.send(1), e.wait())};
  s.cancel();
  EXPECT_TRUE(s.was_cancelled());
  EXPECT_TRUE(deserted(a));
  EXPECT_TRUE(deserted(b));
  EXPECT_EQ(e.statistics().waiting, 0u);
  EXPECT_EQ(b.try_receive(), std::nullopt);
}

TEST(select, cancel_after_a_case_won_delivers_it) {
  channel<int> a, b;
  attempt s{select(a.receive(), b.receive())};
  EXPECT_TRUE(b.try_send(2));
  s.cancel();
  EXPECT_EQ(s.resumed(), 1);
  EXPECT_EQ(s.result().get<1>(), 2);
  EXPECT_TRUE(deserted(a));
}

TEST(select, dies_while_waiting_without_a_ghost) {
  channel<int> a, b;
  auto borrowed = b.receive();
  {
    attempt s{select(a.receive(), borrowed)};
    EXPECT_TRUE(s.waits());
  }
  EXPECT_TRUE(deserted(a));
  EXPECT_TRUE(deserted(b));
}

TEST(select, never_pairs_with_itself) {
  for (int i = 0; i < 50; ++i) {
    channel<int> c;
    attempt s{select(c.send(1), c.receive())};
    EXPECT_TRUE(s.waits());
    EXPECT_EQ(c.try_receive(), 1);
    EXPECT_EQ(s.result().index(), 0u);
    EXPECT_TRUE(deserted(c));
    attempt t{select(c.send(1), c.receive())};
    EXPECT_TRUE(c.try_send(2));
    auto r = t.result();
    EXPECT_EQ(r.get<1>(), 2);
  }
}

TEST(select, send_and_receive_on_one_buffered_channel) {
  for (int i = 0; i < 50; ++i) {
    channel<int> c{1};
    attempt s{select(c.receive(), c.send(1))};
    EXPECT_TRUE(s.immediate()) << "there is room";
    EXPECT_EQ(s.result().index(), 1u);
    attempt t{select(c.receive(), c.send(2))};
    EXPECT_TRUE(t.immediate()) << "there is a value";
    EXPECT_EQ(t.result().get<0>(), 1);
    EXPECT_EQ(c.statistics().buffered, 0u) << "its own send is no refill";
    EXPECT_TRUE(deserted(c));
  }
}

TEST(select, two_selects_that_face_each_other_pair_once) {
  for (int i = 0; i < 50; ++i) {
    channel<int> c1, c2;
    attempt a{select(c1.send(1), c2.receive())};
    attempt b{select(c1.receive(), c2.send(2))};
    EXPECT_TRUE(b.immediate());
    auto ra = a.result();
    auto rb = b.result();
    ASSERT_EQ(ra.index(), rb.index());
    if (ra.index() == 0) {
      EXPECT_EQ(rb.get<0>(), 1);
    } else {
      EXPECT_EQ(ra.get<1>(), 2);
    }
    EXPECT_TRUE(deserted(c1));
    EXPECT_TRUE(deserted(c2));
  }
}

TEST(select, two_alike_on_one_channel_pair_with_each_other) {
  channel<int> c;
  attempt a{select(c.send(1), c.receive())};
  attempt b{select(c.send(2), c.receive())};
  EXPECT_TRUE(b.immediate());
  EXPECT_NE(a.result().index(), b.result().index());
  EXPECT_TRUE(deserted(c));
}

TEST(select, a_select_that_has_lost_pairs_with_nobody) {
  channel<int> c;
  attempt receiver{c.receive()};
  noting_waiter w;
  auto send = c.send(5);
  w.arm_shared(nullptr, operation_info{"test", nullptr});
  ASSERT_TRUE(w.try_claim());
  EXPECT_EQ(send.enlist(w), enlisted::lost);
  EXPECT_TRUE(receiver.waits());
  EXPECT_EQ(send.value(), 5);
  EXPECT_TRUE(c.try_send(6));
  EXPECT_EQ(receiver.result(), 6);
}

TEST(select, a_closed_channel_is_always_ready) {
  channel<int> open, shut;
  shut.close();
  attempt r{select(open.receive(), shut.receive())};
  EXPECT_TRUE(r.immediate());
  EXPECT_EQ(r.result().get<1>(), std::nullopt);
  attempt s{select(open.receive(), shut.send(1))};
  EXPECT_TRUE(s.immediate());
  EXPECT_THROW(s.result(), closed_error);
  EXPECT_TRUE(deserted(open));
}

TEST(select, close_completes_a_waiting_select_once) {
  channel<int> a, b;
  attempt s{select(a.receive(), b.receive())};
  a.close();
  b.close();
  EXPECT_EQ(s.resumed(), 1);
  auto r = s.result();
  ASSERT_EQ(r.index(), 0u);
  EXPECT_EQ(r.get<0>(), std::nullopt);
}

TEST(select, chooses_fairly_among_ready_cases) {
  event e{true};
  std::array<int, 4> wins{};
  constexpr int rounds = 20000;
  for (int i = 0; i < rounds; ++i) {
    attempt s{select(e.wait(), e.wait(), e.wait(), e.wait())};
    ++wins[s.result().index()];
  }
  for (int w : wins) EXPECT_NEAR(w, rounds / 4, rounds / 40);  // 8 standard deviations
}

TEST(select, chooses_fairly_when_only_some_are_ready) {
  event yes{true}, no;
  std::array<int, 3> wins{};
  constexpr int rounds = 20000;
  for (int i = 0; i < rounds; ++i) {
    auto r = try_select(yes.wait(), yes.wait(), no.wait());
    ASSERT_TRUE(r);
    ++wins[r->index()];
  }
  EXPECT_NEAR(wins[0], rounds / 2, rounds / 20);
  EXPECT_EQ(wins[2], 0);
}

TEST(select, of_one_case) {
  channel<int> c;
  attempt s{select(c.receive())};
  EXPECT_TRUE(c.try_send(1));
  EXPECT_EQ(s.result().get<0>(), 1);
}

TEST(select, nests) {
  for (int i = 0; i < 50; ++i) {
    channel<int> a, b, c;
    attempt s{select(select(a.receive(), b.receive()), c.receive())};
    EXPECT_TRUE(s.waits());
    EXPECT_TRUE((i % 2 ? b : c).try_send(7));
    auto r = s.result();
    if (i % 2) {
      ASSERT_EQ(r.index(), 0u);
      EXPECT_EQ(r.get<0>().get<1>(), 7);
    } else {
      EXPECT_EQ(r.get<1>(), 7);
    }
    EXPECT_TRUE(deserted(a) && deserted(b) && deserted(c));
  }
}

// A case that cannot be started.
struct broken {
  bool await_ready() { return false; }
  bool await_suspend(waiter&) { throw misuse{"broken"}; }
  int await_resume() { return 0; }
  enlisted enlist(waiter&) { throw misuse{"broken"}; }
  void delist() {}
  bool won() { return false; }
};
static_assert(retractable<broken> && !immediate<broken>);

TEST(select, a_case_that_fails_to_start_fails_the_select_and_leaves_no_ghost) {
  for (int i = 0; i < 20; ++i) {
    channel<int> a, b;
    attempt s{select(a.receive(), broken{}, b.send(1))};
    EXPECT_TRUE(s.immediate());
    EXPECT_THROW(s.result(), misuse);
    EXPECT_TRUE(deserted(a));
    EXPECT_TRUE(deserted(b));
    attempt nested{select(select(a.receive(), broken{}), b.receive())};
    EXPECT_TRUE(nested.immediate());
    EXPECT_THROW(nested.result(), misuse);
    EXPECT_TRUE(deserted(a));
    EXPECT_TRUE(deserted(b));
  }
}

// A case whose result is a reference.
struct number_of {
  int* where;
  bool await_ready() { return false; }
  bool await_suspend(waiter&) { return false; }
  int& await_resume() { return *where; }
  enlisted enlist(waiter& w) {
    won_ = w.try_claim();
    return won_ ? enlisted::completed : enlisted::lost;
  }
  void delist() {}
  bool won() { return won_; }
  bool won_ = false;
};

TEST(select, a_reference_stays_one) {
  int n = 1;
  attempt s{select(number_of{&n})};
  auto r = s.result();
  r.get<0>().get() = 2;
  EXPECT_EQ(n, 2);
}

TEST(select, results_are_moved_out_of_an_rvalue) {
  channel<std::unique_ptr<int>> c{1};
  EXPECT_TRUE(c.try_send(std::make_unique<int>(8)));
  attempt s{select(c.receive())};
  std::optional<std::unique_ptr<int>> v = s.result().get<0>();
  EXPECT_EQ(**v, 8);
}

TEST(try_select, never_waits) {
  channel<int> a, b;
  EXPECT_FALSE(try_select(a.receive(), b.send(1)));
  EXPECT_TRUE(deserted(a));
  EXPECT_TRUE(deserted(b));
  attempt r{b.receive()};
  auto done = try_select(a.receive(), b.send(1));
  ASSERT_TRUE(done);
  EXPECT_EQ(done->index(), 1u);
  EXPECT_EQ(r.result(), 1);
}

TEST(try_select, throws_what_the_case_throws) {
  channel<int> a;
  a.close();
  EXPECT_THROW((void)try_select(a.send(1)), closed_error);
}

TEST(try_select, never_pairs_with_itself) {
  channel<int> c;
  EXPECT_FALSE(try_select(c.send(1), c.receive()));
}

TEST(select_any, waits_for_one_of_many) {
  for (std::size_t n : {1u, 3u, 16u, 17u, 100u}) {
    std::vector<std::unique_ptr<channel<int>>> channels;
    std::vector<channel<int>::receive_operation> cases;
    for (std::size_t i = 0; i < n; ++i) {
      channels.push_back(std::make_unique<channel<int>>());
      cases.push_back(channels.back()->receive());
    }
    attempt s{select_any(std::move(cases))};
    EXPECT_TRUE(s.waits());
    EXPECT_TRUE(channels[n / 2]->try_send(5));
    auto r = s.result();
    EXPECT_EQ(r.index, n / 2);
    EXPECT_EQ(r.value, 5);
    for (auto& c : channels) EXPECT_TRUE(deserted(*c));
  }
}

TEST(select_any, borrows_a_span_and_its_losers_may_be_used_again) {
  channel<int> a{1}, b{1};
  std::vector<channel<int>::receive_operation> cases;
  cases.push_back(a.receive());
  cases.push_back(b.receive());
  for (int i = 0; i < 10; ++i) {
    auto& ready = i % 3 == 0 ? a : b;
    attempt s{select_any(std::span{cases})};
    EXPECT_TRUE(ready.try_send(i));
    auto r = s.result();
    EXPECT_EQ(r.index, i % 3 == 0 ? 0u : 1u);
    EXPECT_EQ(r.value, i);
  }
  EXPECT_FALSE(try_select_any(cases));
  EXPECT_TRUE(b.try_send(1));
  EXPECT_EQ(try_select_any(cases)->index, 1u);
}

TEST(select_any, of_void_operations) {
  event a, b;
  std::vector<event::wait_operation> cases;
  cases.push_back(a.wait());
  cases.push_back(b.wait());
  attempt s{select_any(cases)};
  b.set();
  EXPECT_EQ(s.result().index, 1u);
}

TEST(select_any, without_cases_waits_until_it_is_cancelled) {
  attempt s{select_any(std::vector<event::wait_operation>{})};
  EXPECT_TRUE(s.waits());
  s.cancel();
  EXPECT_TRUE(s.was_cancelled());
}

TEST(select_any, chooses_fairly) {
  event e{true};
  std::array<int, 5> wins{};
  std::vector<event::wait_operation> cases;
  for (int i = 0; i < 5; ++i) cases.push_back(e.wait());
  constexpr int rounds = 20000;
  for (int i = 0; i < rounds; ++i) ++wins[try_select_any(cases)->index];
  for (int w : wins) EXPECT_NEAR(w, rounds / 5, rounds / 40);
}

}  // namespace
}  // namespace oneloop::inline v0::test
