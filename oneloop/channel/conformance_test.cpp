#include "oneloop/sync/conformance.hpp"

#include "oneloop/channel/channel.hpp"
#include "oneloop/channel/queue.hpp"
#include "oneloop/channel/select.hpp"
#include "oneloop/sync/event.hpp"

namespace oneloop::inline v0::test {
namespace {

template <std::size_t Capacity>
channel<int> make_channel() {
  if constexpr (Capacity == unlimited) {
    return channel<int>{unbounded};
  } else {
    return channel<int>{Capacity};
  }
}

template <std::size_t Capacity>
struct channel_receive {
  static constexpr bool stores = Capacity != 0, one_each = true;
  channel<int> c = make_channel<Capacity>();
  auto op() { return c.receive(); }
  void satisfy() { EXPECT_TRUE(c.try_send(1)); }
  std::size_t waiting() { return c.statistics().waiting_receivers; }
};

template <std::size_t Capacity>
struct channel_send {
  static constexpr bool stores = Capacity != 0, one_each = true;
  channel<int> c{Capacity};
  channel_send() {
    for (std::size_t i = 0; i < Capacity; ++i) EXPECT_TRUE(c.try_send(0));
  }
  auto op() { return c.send(1); }
  void satisfy() { EXPECT_TRUE(c.try_receive()); }
  std::size_t waiting() { return c.statistics().waiting_senders; }
};

struct channel_closing {
  static constexpr bool stores = true, one_each = false;
  channel<int> c;
  auto op() { return c.receive(); }
  void satisfy() { c.close(); }
  std::size_t waiting() { return c.statistics().waiting_receivers; }
};

struct queue_get {
  static constexpr bool stores = true, one_each = true;
  queue<int> q{2};
  auto op() { return q.get(); }
  void satisfy() { EXPECT_TRUE(q.try_put(1)); }
  std::size_t waiting() { return q.statistics().waiting_gets; }
};

struct queue_put {
  static constexpr bool stores = true, one_each = true;
  queue<int> q{1};
  queue_put() { EXPECT_TRUE(q.try_put(1)); }
  auto op() { return q.put(1); }
  void satisfy() { EXPECT_TRUE(q.try_get()); }
  std::size_t waiting() { return q.statistics().waiting_puts; }
};

// With a guard that is open it is the operation itself.
struct guarded_receive {
  static constexpr bool stores = true, one_each = true;
  channel<int> c{1};
  auto op() { return when(true, c.receive()); }
  void satisfy() { EXPECT_TRUE(c.try_send(1)); }
  std::size_t waiting() { return c.statistics().waiting_receivers; }
};

struct queue_join {
  static constexpr bool stores = true, one_each = false;
  queue<int> q{1};
  queue_join() { EXPECT_TRUE(q.try_put(1)); }
  auto op() { return q.join(); }
  void satisfy() { q.task_done(); }
  std::size_t waiting() { return q.statistics().waiting_joins; }
};

// A select is an operation as well.
struct select_receive {
  static constexpr bool stores = true, one_each = true;
  channel<int> c{1};
  event never_set;
  auto op() { return select(never_set.wait(), c.receive()); }
  void satisfy() { EXPECT_TRUE(c.try_send(1)); }
  std::size_t waiting() { return c.statistics().waiting_receivers; }
};

using cases = testing::Types<channel_receive<0>, channel_receive<1>, channel_receive<3>,
                             channel_receive<unlimited>, channel_send<0>, channel_send<1>,
                             channel_send<3>, channel_closing, guarded_receive, queue_get,
                             queue_put, queue_join, select_receive>;
INSTANTIATE_TYPED_TEST_SUITE_P(channels, conformance, cases);

}  // namespace
}  // namespace oneloop::inline v0::test
