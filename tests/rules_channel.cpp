// The rules, of channels, queues and select.
#include <optional>
#include <vector>

#include "oneloop/channel/channel.hpp"
#include "oneloop/channel/lifo_queue.hpp"
#include "oneloop/channel/priority_queue.hpp"
#include "oneloop/channel/queue.hpp"
#include "oneloop/channel/select.hpp"
#include "oneloop/channel/ticker.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/task/task.hpp"
#include "tests/rules.hpp"

namespace oneloop::rules {
namespace {

using namespace std::chrono_literals;

class receive_subject final : public subject {
 public:
  receive_subject() : subject{{}} {}
  wait_for wait() override {
    return waiting(ch_.receive(), [](std::optional<int> v) { EXPECT_EQ(v, 7); });
  }
  void complete() override { EXPECT_TRUE(ch_.try_send(7)); }
  bool untaken() override { return ch_.try_receive().has_value(); }
  std::size_t waiting_now() override { return ch_.statistics().waiting_receivers; }

 private:
  channel<int> ch_{4};
};

/// The channel is full.
class send_subject final : public subject {
 public:
  send_subject() : subject{{}} { EXPECT_TRUE(ch_.try_send(0)); }
  wait_for wait() override { return waiting(ch_.send(7)); }
  void complete() override { EXPECT_TRUE(ch_.try_receive().has_value()); }
  bool untaken() override { return ch_.try_send(0); }
  std::size_t waiting_now() override { return ch_.statistics().waiting_senders; }

 private:
  channel<int> ch_{1};
};

class meet_receiver_subject final : public subject {
 public:
  meet_receiver_subject() : subject{{.ahead = false, .leaves_trace = false}} {}
  wait_for wait() override { return waiting(ch_.receive()); }
  void complete() override { met_ = ch_.try_send(7); }
  bool untaken() override { return !met_; }
  std::size_t waiting_now() override { return ch_.statistics().waiting_receivers; }

 private:
  channel<int> ch_{0};
  bool met_ = false;
};

class meet_sender_subject final : public subject {
 public:
  meet_sender_subject() : subject{{.ahead = false, .leaves_trace = false}} {}
  wait_for wait() override { return waiting(ch_.send(7)); }
  void complete() override { met_ = ch_.try_receive().has_value(); }
  bool untaken() override { return !met_; }
  std::size_t waiting_now() override { return ch_.statistics().waiting_senders; }

 private:
  channel<int> ch_{0};
  bool met_ = false;
};

template <class Queue>
class get_subject final : public subject {
 public:
  get_subject() : subject{{}} {}
  wait_for wait() override { return waiting(q_.get()); }
  void complete() override { EXPECT_TRUE(q_.try_put(7)); }
  bool untaken() override { return q_.try_get().has_value(); }
  std::size_t waiting_now() override { return q_.statistics().waiting_gets; }

 private:
  Queue q_{4};
};

template <class Queue>
class put_subject final : public subject {
 public:
  put_subject() : subject{{}} { EXPECT_TRUE(q_.try_put(0)); }
  wait_for wait() override { return waiting(q_.put(7)); }
  void complete() override { EXPECT_TRUE(q_.try_get().has_value()); }
  bool untaken() override { return q_.try_put(0); }
  std::size_t waiting_now() override { return q_.statistics().waiting_puts; }

 private:
  Queue q_{1};
};

/// Until all work is done; there is one piece.
template <class Queue>
class queue_join_subject final : public subject {
 public:
  queue_join_subject() : subject{{.ahead = false, .one_each = false, .leaves_trace = false}} {}
  void again() override {
    if (q_.statistics().unfinished != 0) return;
    EXPECT_TRUE(q_.try_put(0));
    EXPECT_TRUE(q_.try_get().has_value());
  }
  wait_for wait() override { return waiting(q_.join()); }
  void complete() override { q_.task_done(); }
  std::size_t waiting_now() override { return q_.statistics().waiting_joins; }

 private:
  Queue q_{4};
};

class select_subject final : public subject {
 public:
  select_subject() : subject{{}} {}
  wait_for wait() override {
    return waiting(select(never_.wait(), ch_.receive(), full_.send(1)),
                   [](const auto& r) { EXPECT_EQ(r.index(), 1u); });
  }
  void complete() override { EXPECT_TRUE(ch_.try_send(7)); }
  bool untaken() override { return ch_.try_receive().has_value(); }
  std::size_t waiting_now() override {
    EXPECT_EQ(never_.statistics().waiting, ch_.statistics().waiting_receivers);
    EXPECT_EQ(full_.statistics().waiting_senders, ch_.statistics().waiting_receivers);
    return ch_.statistics().waiting_receivers;
  }

 private:
  event never_;
  channel<int> ch_{4}, full_{0};
};

class select_any_subject final : public subject {
 public:
  select_any_subject() : subject{{}} {}
  wait_for wait() override {
    std::vector<channel<int>::receive_operation> cases;
    for (auto& ch : all_) cases.push_back(ch.receive());
    return waiting(select_any(std::move(cases)), [](const auto& r) { EXPECT_EQ(r.index, 1u); });
  }
  void complete() override { EXPECT_TRUE(all_[1].try_send(7)); }
  bool untaken() override { return all_[1].try_receive().has_value(); }
  std::size_t waiting_now() override {
    const std::size_t waiting = all_[1].statistics().waiting_receivers;
    EXPECT_EQ(all_[0].statistics().waiting_receivers, waiting);
    return waiting;
  }

 private:
  channel<int> all_[2]{channel<int>{4}, channel<int>{4}};
};

/// One party's at a time, by its own clock.
class tick_subject final : public subject {
 public:
  tick_subject()
      : subject{{.completes = false, .ahead = false, .leaves_trace = false, .many = false}} {}
  wait_for wait() override { return waiting(t_.emplace(1000h).next()); }

 private:
  std::optional<ticker> t_;
};

const bool channel_enrolled =
    enrol<receive_subject>("channel_receive") && enrol<send_subject>("channel_send") &&
    enrol<meet_receiver_subject>("unbuffered_receive") &&
    enrol<meet_sender_subject>("unbuffered_send") && enrol<get_subject<queue<int>>>("queue_get") &&
    enrol<put_subject<queue<int>>>("queue_put") &&
    enrol<queue_join_subject<queue<int>>>("queue_join") &&
    enrol<get_subject<lifo_queue<int>>>("lifo_queue_get") &&
    enrol<put_subject<lifo_queue<int>>>("lifo_queue_put") &&
    enrol<queue_join_subject<lifo_queue<int>>>("lifo_queue_join") &&
    enrol<get_subject<priority_queue<int>>>("priority_queue_get") &&
    enrol<put_subject<priority_queue<int>>>("priority_queue_put") &&
    enrol<queue_join_subject<priority_queue<int>>>("priority_queue_join") &&
    enrol<select_subject>("select") && enrol<select_any_subject>("select_any") &&
    enrol<tick_subject>("ticker");

}  // namespace
}  // namespace oneloop::rules
