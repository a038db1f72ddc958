// Cancel and completion in the same turn of one loop, in both orders, and at the same moment of
// virtual time: what happens is decided by the order alone, so every assertion is exact.

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "oneloop/channel/channel.hpp"
#include "oneloop/channel/queue.hpp"
#include "oneloop/channel/select.hpp"
#include "oneloop/deferred/deferred.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/sync/mutex.hpp"
#include "oneloop/sync/semaphore.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"

namespace oneloop::turn_test {

using namespace std::chrono_literals;

// ---- primitives: an operation that waits, what completes it, and how to see which it was ----

struct on_event {
  event e;
  auto operation() { return e.wait(); }
  void complete() { e.set(); }
  std::size_t waiting() { return e.statistics().waiting; }
  /// Whether what completed it is still there for the next one.
  bool kept() { return e.is_set(); }
  static constexpr bool consumes = false;
};

struct on_mutex {
  mutex m;
  on_mutex() { m.try_lock().release(); }
  auto operation() { return m.lock(); }
  void complete() { m.unlock(); }
  std::size_t waiting() { return m.statistics().waiting; }
  bool kept() { return !m.locked(); }
  // The guard that the operation gave has died by now.
  static constexpr bool consumes = false;
};

struct on_semaphore {
  semaphore s{0};
  auto operation() { return s.acquire(); }
  void complete() { s.release(); }
  std::size_t waiting() { return s.statistics().waiting; }
  bool kept() { return s.available() == 1; }
  static constexpr bool consumes = true;
};

struct on_receive {
  channel<int> c{1};
  auto operation() { return c.receive(); }
  void complete() { EXPECT_TRUE(c.try_send(7)); }
  std::size_t waiting() { return c.statistics().waiting_receivers; }
  bool kept() { return c.try_receive() == 7; }
  static constexpr bool consumes = true;
};

struct on_send {
  channel<int> c{1};
  on_send() { EXPECT_TRUE(c.try_send(1)); }
  auto operation() { return c.send(2); }
  void complete() { EXPECT_EQ(c.try_receive(), 1); }
  std::size_t waiting() { return c.statistics().waiting_senders; }
  bool kept() { return c.statistics().buffered == 0; }
  static constexpr bool consumes = true;
};

struct on_queue {
  queue<int> q{1};
  auto operation() { return q.get(); }
  void complete() { EXPECT_TRUE(q.try_put(7)); }
  std::size_t waiting() { return q.statistics().waiting_gets; }
  bool kept() { return q.try_get() == 7; }
  static constexpr bool consumes = true;
};

struct on_select {
  channel<int> c{1}, silent;
  event never;
  auto operation() { return select(never.wait(), silent.receive(), c.receive()); }
  void complete() { EXPECT_TRUE(c.try_send(7)); }
  std::size_t waiting() {
    return c.statistics().waiting_receivers + silent.statistics().waiting_receivers +
           never.statistics().waiting;
  }
  bool kept() { return c.try_receive() == 7; }
  static constexpr bool consumes = true;
};

// ---- the party under test ----

struct attempt {
  bool happened = false;
  bool over = false;
  int next_checkpoint_threw = -1;
  std::function<void()> cancel;
};

/// Each starts its attempt in the nursery `n`.
struct as_coroutine {
  template <class On>
  static task<> body(cancel_scope& s, On* on, attempt* a) {
    std::function<void()> canceller = [&s] { s.cancel(); };
    a->cancel = std::move(canceller);
    auto op = on->operation();
    if constexpr (std::is_void_v<await_result<decltype(op)&>>) {
      co_await op;
    } else {
      [[maybe_unused]] auto result = co_await op;
    }
    a->happened = true;
    a->next_checkpoint_threw = 1;
    co_await yield_now();
    a->next_checkpoint_threw = 0;
  }
  template <class On>
  static task<> party(On* on, attempt* a) {
    auto region = with_scope(scope_options{}, body<On>, on, a);
    co_await std::move(region);
    a->over = true;
  }
  template <class On>
  static void start(nursery& n, On& on, attempt& a) {
    n.start(party<On>, &on, &a);
  }
};

struct as_fiber {
  template <class On>
  static void start(nursery& n, On& on, attempt& a) {
    n.start([&on, &a] {
      with_scope(scope_options{}, [&](cancel_scope& s) {
        a.cancel = [&s] { s.cancel(); };
        static_cast<void>(await(on.operation()));
        a.happened = true;
        a.next_checkpoint_threw = 1;
        await(yield_now());
        a.next_checkpoint_threw = 0;
      });
      a.over = true;
    });
  }
};

struct as_callback {
  template <class On>
  static void start(nursery&, On& on, attempt& a) {
    auto d = defer(on.operation());
    a.cancel = [d] { d.cancel(); };
    d.add_callback([&a] { a.happened = true; })
        .add_errback([](const failure& f) { EXPECT_TRUE(is_cancelled(f.exception())); })
        .add_callback([&a] { a.over = true; });
  }
};

enum class order { complete_first, cancel_first };

/// Both in one turn, while the party waits. Returns after the party has ended.
template <class Model, class On>
task<> both_in_one_turn(nursery& n, On* on, attempt* a, order first) {
  Model::start(n, *on, *a);
  while (on->waiting() == 0) {
    const int yielded = 1;
    co_await yield_now();
    static_cast<void>(yielded);
  }
  const std::size_t waited = on->waiting();
  if (first == order::complete_first) {
    on->complete();
    a->cancel();
  } else {
    a->cancel();
    EXPECT_EQ(on->waiting(), 0u) << "cancelled, and still queued";
    on->complete();
  }
  EXPECT_GE(waited, 1u);
  EXPECT_FALSE(a->over) << "resumed inside somebody else's call";
  while (!a->over) {
    const int yielded = 1;
    co_await yield_now();
    static_cast<void>(yielded);
  }
  a->cancel = nullptr;
}

template <class Model, class On>
task<> scenario(On* on, attempt* a, order first) {
  auto region = with_nursery(both_in_one_turn<Model, On>, on, a, first);
  co_await std::move(region);
}

template <class ModelT, class OnT>
struct combination {
  using model = ModelT;
  using on = OnT;
};

template <class Combination>
class same_turn : public testing::Test {};

template <class... On>
struct every {
  template <class Model>
  using with = testing::Types<combination<Model, On>...>;
};
using primitives =
    every<on_event, on_mutex, on_semaphore, on_receive, on_send, on_queue, on_select>;

TYPED_TEST_SUITE_P(same_turn);

TYPED_TEST_P(same_turn, completed_then_cancelled_is_delivered) {
  typename TypeParam::on on;
  attempt a;
  loop l{"virtual"};
  oneloop::run(l, scenario<typename TypeParam::model>(&on, &a, order::complete_first));
  EXPECT_TRUE(a.happened);
  EXPECT_EQ(on.waiting(), 0u);
  EXPECT_EQ(on.kept(), !TypeParam::on::consumes);
  // Callbacks have no scope that goes on after the operation.
  EXPECT_EQ(a.next_checkpoint_threw,
            (std::is_same_v<typename TypeParam::model, as_callback> ? -1 : 1));
}

TYPED_TEST_P(same_turn, cancelled_then_completed_did_not_happen) {
  typename TypeParam::on on;
  attempt a;
  loop l{"virtual"};
  oneloop::run(l, scenario<typename TypeParam::model>(&on, &a, order::cancel_first));
  EXPECT_FALSE(a.happened);
  EXPECT_EQ(on.waiting(), 0u);
  EXPECT_TRUE(on.kept()) << "what was meant for the cancelled party is lost";
}

REGISTER_TYPED_TEST_SUITE_P(same_turn, completed_then_cancelled_is_delivered,
                            cancelled_then_completed_did_not_happen);
INSTANTIATE_TYPED_TEST_SUITE_P(coroutine, same_turn, primitives::with<as_coroutine>);
INSTANTIATE_TYPED_TEST_SUITE_P(fiber, same_turn, primitives::with<as_fiber>);
INSTANTIATE_TYPED_TEST_SUITE_P(callback, same_turn, primitives::with<as_callback>);

// ---- two who wait, and one completion ----

/// Three wait; in one turn the first is cancelled, one completion comes, the second is cancelled.
/// The completion belongs to the second, whose cancellation came too late; the third still waits.
template <class Model, class On>
task<> three_in_a_queue(nursery& n, On* on, std::vector<attempt>* a) {
  for (attempt& each : *a) {
    Model::start(n, *on, each);
    co_await sleep_for(1ms);  // so that they queue in this order
  }
  EXPECT_EQ(on->waiting(), 3u);
  (*a)[0].cancel();
  on->complete();
  (*a)[1].cancel();
  co_await sleep_for(1ms);
  EXPECT_TRUE((*a)[0].over);
  EXPECT_TRUE((*a)[1].over);
  EXPECT_FALSE((*a)[2].over);
  EXPECT_EQ(on->waiting(), 1u);
  on->complete();
  co_await sleep_for(1ms);
  EXPECT_TRUE((*a)[2].over);
  for (attempt& each : *a) each.cancel = nullptr;
}

template <class Combination>
class queue_of_three : public testing::Test {};
TYPED_TEST_SUITE_P(queue_of_three);

TYPED_TEST_P(queue_of_three, a_completion_goes_to_the_first_that_is_not_cancelled) {
  typename TypeParam::on on;
  std::vector<attempt> a(3);
  loop l{"virtual"};
  oneloop::run(l, [](auto* o, auto* v) -> task<> {
    auto region =
        with_nursery(three_in_a_queue<typename TypeParam::model, typename TypeParam::on>, o, v);
    co_await std::move(region);
  }(&on, &a));
  EXPECT_FALSE(a[0].happened);
  EXPECT_TRUE(a[1].happened);
  EXPECT_TRUE(a[2].happened);
  EXPECT_EQ(on.waiting(), 0u);
}

REGISTER_TYPED_TEST_SUITE_P(queue_of_three, a_completion_goes_to_the_first_that_is_not_cancelled);
template <class Model>
using one_each = testing::Types<combination<Model, on_semaphore>, combination<Model, on_receive>,
                                combination<Model, on_queue>>;
INSTANTIATE_TYPED_TEST_SUITE_P(coroutine, queue_of_three, one_each<as_coroutine>);
INSTANTIATE_TYPED_TEST_SUITE_P(fiber, queue_of_three, one_each<as_fiber>);
INSTANTIATE_TYPED_TEST_SUITE_P(callback, queue_of_three, one_each<as_callback>);

// ---- a deadline and a completion at the same moment of virtual time ----

/// The receiver's deadline and the sender's sleep are due together; whose timer was made first is
/// `deadline_first`. Gives "received" or "timed out", and what is left in the channel.
task<> send_after(channel<int>* c, duration d) {
  co_await sleep_for(d);
  co_await c->send(7);
}
task<> receive_within(channel<int>* c, duration d, std::string* said) {
  auto timed = move_on_after(d, c->receive());
  auto v = co_await timed;
  *said = v.has_value() && *v == 7 ? "received" : "timed out";
}
task<> at_one_moment(nursery& n, channel<int>* c, bool deadline_first, std::string* said) {
  if (deadline_first) {
    n.start(receive_within, c, 10ms, said);
    n.start(send_after, c, 10ms);
  } else {
    n.start(send_after, c, 10ms);
    n.start(receive_within, c, 10ms, said);
  }
  co_return;
}
std::string race_of_timers(bool deadline_first, std::size_t& left) {
  channel<int> c{1};
  std::string said;
  loop l{"virtual"};
  oneloop::run(l, [](channel<int>* ch, bool first, std::string* s) -> task<> {
    auto region = with_nursery(at_one_moment, ch, first, s);
    co_await std::move(region);
  }(&c, deadline_first, &said));
  left = c.statistics().buffered;
  EXPECT_EQ(c.statistics().waiting_receivers, 0u);
  return said;
}

TEST(same_moment, either_way_the_value_is_received_or_left_and_it_replays) {
  for (const bool deadline_first : {true, false}) {
    std::size_t left = 0, left_again = 0;
    const std::string first = race_of_timers(deadline_first, left);
    EXPECT_EQ(left, first == "received" ? 0u : 1u);
    for (int i = 0; i < 10; ++i) {
      EXPECT_EQ(race_of_timers(deadline_first, left_again), first);
      EXPECT_EQ(left_again, left);
    }
  }
}

}  // namespace oneloop::turn_test
