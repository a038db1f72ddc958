#include "oneloop/channel/channel.hpp"

#include <any>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "oneloop/base/error.hpp"
#include "oneloop/sync/test_waiter.hpp"

namespace oneloop::inline v0::test {

// A value whose memory can run out.
struct greedy {
  int value;
  static inline bool out_of_memory = false;
};

}  // namespace oneloop::inline v0::test

template <>
struct std::allocator<oneloop::test::greedy> {
  using value_type = oneloop::test::greedy;
  static value_type* allocate(std::size_t n) {
    if (value_type::out_of_memory) throw std::bad_alloc{};
    return static_cast<value_type*>(::operator new(n * sizeof(value_type)));
  }
  static void deallocate(value_type* p, std::size_t) { ::operator delete(p); }
};

namespace oneloop::inline v0::test {
namespace {

// Counts its instances and dies loudly when it is used after it was moved from.
struct counted {
  explicit counted(int v) : value{v} { ++alive; }
  counted(counted&& o) noexcept : value{std::exchange(o.value, -1)} { ++alive; }
  counted& operator=(counted&& o) noexcept {
    value = std::exchange(o.value, -1);
    return *this;
  }
  ~counted() { --alive; }
  int value;
  static inline int alive = 0;
};

TEST(channel, unbuffered_send_meets_a_parked_receiver) {
  channel<int> c;
  attempt r{c.receive()};
  EXPECT_TRUE(r.waits());
  attempt s{c.send(7)};
  EXPECT_TRUE(s.immediate());
  EXPECT_EQ(r.result(), 7);
}

TEST(channel, unbuffered_receive_meets_a_parked_sender) {
  channel<int> c;
  attempt s{c.send(7)};
  EXPECT_TRUE(s.waits());
  attempt r{c.receive()};
  EXPECT_TRUE(r.immediate());
  EXPECT_EQ(r.result(), 7);
  EXPECT_TRUE(s.completed());
}

TEST(channel, buffer_takes_values_until_it_is_full) {
  channel<int> c{2};
  EXPECT_TRUE(attempt{c.send(1)}.immediate());
  EXPECT_TRUE(attempt{c.send(2)}.immediate());
  EXPECT_TRUE(attempt{c.send(3)}.waits());
  EXPECT_EQ(c.statistics().buffered, 2u);
  EXPECT_EQ(c.statistics().waiting_senders, 0u);
}

TEST(channel, a_parked_sender_moves_up_into_the_buffer_in_order) {
  channel<int> c{2};
  attempt a{c.send(1)}, b{c.send(2)}, d{c.send(3)}, e{c.send(4)};
  EXPECT_TRUE(d.waits());
  EXPECT_EQ(c.try_receive(), 1);
  EXPECT_TRUE(d.completed());
  EXPECT_TRUE(e.waits());
  EXPECT_FALSE(c.try_send(5)) << "nobody overtakes";
  for (int expected : {2, 3, 4}) EXPECT_EQ(c.try_receive(), expected);
  EXPECT_TRUE(e.completed());
  EXPECT_EQ(c.try_receive(), std::nullopt);
  EXPECT_EQ(c.statistics().sent, 4u);
}

TEST(channel, a_cancelled_sender_is_not_moved_up) {
  channel<int> c{1};
  attempt a{c.send(1)}, b{c.send(2)}, d{c.send(3)};
  b.cancel();
  EXPECT_EQ(c.try_receive(), 1);
  EXPECT_TRUE(d.completed());
  EXPECT_EQ(c.try_receive(), 3);
  EXPECT_EQ(b.op().value(), 2);
}

TEST(channel, order_is_kept_over_many_wraps_of_the_ring) {
  for (std::size_t capacity : {0u, 1u, 3u, 8u}) {
    channel<int> c{capacity};
    int next = 0, expected = 0;
    std::vector<std::unique_ptr<attempt<channel<int>::send_operation>>> sends;
    for (int round = 0; round < 50; ++round) {
      for (int i = 0; i < round % 7; ++i) {
        sends.push_back(std::make_unique<attempt<channel<int>::send_operation>>(c.send(next++)));
      }
      for (int i = 0; i < round % 5; ++i) {
        if (auto v = c.try_receive()) {
          EXPECT_EQ(*v, expected++);
        }
      }
    }
    while (auto v = c.try_receive()) EXPECT_EQ(*v, expected++);
    EXPECT_EQ(expected, next);
    for (auto& s : sends) EXPECT_TRUE(s->completed());
  }
}

TEST(channel, moves_values_that_cannot_be_copied) {
  channel<std::unique_ptr<int>> c{1};
  attempt s{c.send(std::make_unique<int>(1))};
  attempt t{c.send(std::make_unique<int>(2))};
  EXPECT_EQ(**attempt{c.receive()}.result(), 1);
  EXPECT_EQ(**attempt{c.receive()}.result(), 2);
  attempt r{c.receive()};
  auto three = std::make_unique<int>(3);
  EXPECT_TRUE(c.try_send(std::move(three)));
  EXPECT_EQ(three, nullptr);
  EXPECT_EQ(**r.result(), 3);
}

TEST(channel, every_value_is_destroyed_once) {
  {
    channel<counted> c{2};
    attempt a{c.send(counted{1})}, b{c.send(counted{2})}, d{c.send(counted{3})};
    EXPECT_EQ(attempt{c.receive()}.result()->value, 1);
    attempt unread{c.receive()};  // received, never picked up
  }
  EXPECT_EQ(counted::alive, 0);
}

TEST(channel, a_value_that_was_not_sent_stays_with_the_operation) {
  channel<std::unique_ptr<int>> c;
  attempt s{c.send(std::make_unique<int>(5))};
  s.cancel();
  EXPECT_TRUE(s.was_cancelled());
  EXPECT_EQ(*s.op().value(), 5);

  attempt t{c.send(std::make_unique<int>(6))};
  c.close();
  EXPECT_THROW(t.result(), closed_error);
  EXPECT_EQ(*t.op().value(), 6);

  auto seven = std::make_unique<int>(7);
  EXPECT_THROW((void)c.try_send(std::move(seven)), closed_error);
  EXPECT_EQ(*seven, 7);
  attempt u{c.send(std::move(seven))};
  EXPECT_TRUE(u.immediate());
  EXPECT_THROW(u.result(), closed_error);
  EXPECT_EQ(*u.op().value(), 7);
}

TEST(channel, try_send_that_fails_leaves_the_value) {
  channel<std::unique_ptr<int>> c;
  auto v = std::make_unique<int>(1);
  EXPECT_FALSE(c.try_send(std::move(v)));
  EXPECT_NE(v, nullptr);
}

TEST(channel, close_wakes_all_receivers_with_nullopt) {
  channel<int> c;
  attempt a{c.receive()}, b{c.receive()};
  c.close();
  EXPECT_EQ(a.result(), std::nullopt);
  EXPECT_EQ(b.result(), std::nullopt);
  EXPECT_EQ(attempt{c.receive()}.result(), std::nullopt);
}

TEST(channel, close_refuses_all_senders) {
  channel<int> c{1};
  attempt a{c.send(1)}, b{c.send(2)}, d{c.send(3)};
  c.close();
  EXPECT_NO_THROW(a.result());
  EXPECT_THROW(b.result(), closed_error);
  EXPECT_THROW(d.result(), closed_error);
  EXPECT_EQ(c.try_receive(), 1) << "what was accepted is still received";
  EXPECT_EQ(c.try_receive(), std::nullopt);
}

TEST(channel, what_is_buffered_is_received_after_close) {
  channel<int> c{2};
  EXPECT_TRUE(c.try_send(1));
  EXPECT_TRUE(c.try_send(2));
  c.close();
  EXPECT_FALSE(c.drained());
  EXPECT_EQ(attempt{c.receive()}.result(), 1);
  EXPECT_EQ(attempt{c.receive()}.result(), 2);
  EXPECT_TRUE(c.drained());
  EXPECT_EQ(attempt{c.receive()}.result(), std::nullopt);
}

TEST(channel, auto_close_closes_once_whoever_was_first) {
  channel<int> c{1}, d;
  {
    auto_close at_exit{c};
    auto_close also{sender{d}};
    EXPECT_TRUE(c.try_send(1));
    EXPECT_FALSE(c.closed());
    d.close();
  }
  EXPECT_TRUE(c.closed());
  EXPECT_EQ(attempt{c.receive()}.result(), 1);
  EXPECT_FALSE(c.try_close());
}

TEST(channel, views_offer_one_side) {
  channel<int> c{2};
  const sender<int> out = c;
  const receiver<int> in = c;
  EXPECT_TRUE(out.try_send(1));
  EXPECT_TRUE(attempt{out.send(2)}.immediate());
  out.close();
  EXPECT_TRUE(out.closed());
  EXPECT_EQ(attempt{in.receive()}.result(), 1);
  EXPECT_EQ(in.try_receive(), 2);
  EXPECT_TRUE(in.drained());
  EXPECT_THROW(out.close(), misuse);
}

TEST(channel, closing_twice_is_misuse) {
  channel<int> c;
  c.close();
  EXPECT_TRUE(c.closed());
  EXPECT_THROW(c.close(), misuse);
}

TEST(channel, closed_error_names_the_operation) {
  channel<int> c;
  c.close();
  attempt s{c.send(1)};
  try {
    s.result();
    FAIL();
  } catch (const closed_error& e) {
    EXPECT_STREQ(e.what(), "channel.send: closed");
  }
}

TEST(channel, a_receive_may_be_started_again_after_its_result) {
  channel<int> c{2};
  EXPECT_TRUE(c.try_send(1));
  EXPECT_TRUE(c.try_send(2));
  auto r = c.receive();
  EXPECT_TRUE(r.try_now());
  EXPECT_EQ(r.await_resume(), 1);
  EXPECT_TRUE(r.try_now());
  EXPECT_EQ(r.await_resume(), 2);
  c.close();
  EXPECT_TRUE(r.try_now());
  EXPECT_EQ(r.await_resume(), std::nullopt);
}

TEST(channel, unbounded_sends_never_wait_and_keep_their_order) {
  channel<std::unique_ptr<int>> c{unbounded};
  EXPECT_EQ(c.statistics().capacity, unlimited);
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(attempt{c.send(std::make_unique<int>(i))}.immediate());
  EXPECT_EQ(c.statistics().buffered, 1000u);
  c.close();
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(**attempt{c.receive()}.result(), i);
  EXPECT_EQ(attempt{c.receive()}.result(), std::nullopt);
  EXPECT_THROW(attempt{c.send(nullptr)}.result(), closed_error);
}

TEST(channel, unbounded_hands_over_to_a_parked_receiver) {
  channel<int> c{unbounded};
  attempt r{c.receive()};
  EXPECT_TRUE(r.waits());
  EXPECT_TRUE(c.try_send(1));
  EXPECT_EQ(r.result(), 1);
  EXPECT_EQ(c.statistics().buffered, 0u);
}

TEST(channel, a_send_that_finds_no_memory_says_so_and_keeps_its_value) {
  channel<greedy> c{unbounded};
  for (int i = 0; i < 256; ++i) EXPECT_TRUE(c.try_send({i}));  // 1 KiB of them
  greedy::out_of_memory = true;
  attempt s{c.send({7})};
  EXPECT_THROW(s.result(), std::bad_alloc);
  EXPECT_THROW(static_cast<void>(c.try_send({8})), std::bad_alloc);
  greedy::out_of_memory = false;
  EXPECT_EQ(s.op().value().value, 7);
  EXPECT_EQ(c.statistics().sent, 256u);
  EXPECT_TRUE(c.try_send({256}));
  for (int i = 0; i <= 256; ++i) EXPECT_EQ(c.try_receive()->value, i);
}

TEST(channel, statistics_tell_who_waits) {
  channel<int> c;
  attempt a{c.receive()}, b{c.receive()};
  auto s = c.statistics();
  EXPECT_EQ(s.capacity, 0u);
  EXPECT_EQ(s.waiting_receivers, 2u);
  EXPECT_EQ(s.waiting_senders, 0u);
  EXPECT_FALSE(s.closed);
  EXPECT_TRUE(c.try_send(1));
  EXPECT_EQ(c.statistics().sent, 1u);
}

TEST(channel, operations_stay_small) {
  EXPECT_LE(sizeof(channel<int>::receive_operation), 48u);
  EXPECT_LE(sizeof(channel<int>::send_operation), 48u);
}

TEST(channel, two_threads_exchange_a_hundred_thousand_values_in_order) {
  for (std::size_t capacity : {0u, 1u, 64u}) {
    channel<int> c{capacity};
    constexpr int n = 20000;
    std::thread producer{[&] {
      thread_party me;
      for (int i = 0; i < n; ++i) {
        auto s = c.send(i);
        ASSERT_TRUE(me.wait(s));
        s.await_resume();
      }
      c.close();
    }};
    thread_party me;
    int expected = 0;
    for (;;) {
      auto r = c.receive();
      ASSERT_TRUE(me.wait(r));
      auto v = r.await_resume();
      if (!v) break;
      ASSERT_EQ(*v, expected++);
    }
    EXPECT_EQ(expected, n);
    producer.join();
  }
}

// std::vector<std::any>{v} is a vector of one vector.
TEST(channel, takes_what_can_be_made_from_a_list_of_itself) {
  channel<std::vector<std::any>> c{1};
  const std::vector<std::any> three(3);
  EXPECT_EQ(c.send(three).value().size(), 3u);
  EXPECT_TRUE(c.try_send(three));
  EXPECT_EQ(c.try_receive()->size(), 3u);
}

TEST(channel, may_be_destroyed_as_soon_as_its_operations_have_returned) {
  for (int i = 0; i < 2000; ++i) {
    auto c = std::make_unique<channel<int>>(i % 2);
    std::thread sender{[p = c.get(), i] {
      thread_party me;
      auto s = p->send(i);
      EXPECT_TRUE(me.wait(s));
    }};
    thread_party me;
    auto r = c->receive();
    EXPECT_TRUE(me.wait(r));
    EXPECT_EQ(r.await_resume(), i);
    // The rendezvous tells the receiver nothing about the sender's return: it is the operations,
    // not the values, that must have returned.
    sender.join();
    c.reset();
  }
}

}  // namespace
}  // namespace oneloop::inline v0::test
