// The rules, of channels, queues and select.
#include "oneloop/channel/channel.hpp"
#include "oneloop/channel/queue.hpp"
#include "oneloop/channel/select.hpp"
#include "oneloop/channel/ticker.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/task/task.hpp"
#include "tests/rules.hpp"

namespace oneloop::rules {
namespace {

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

class get_subject final : public subject {
 public:
  get_subject() : subject{{}} {}
  wait_for wait() override { return waiting(q_.get()); }
  void complete() override { EXPECT_TRUE(q_.try_put(7)); }
  bool untaken() override { return q_.try_get().has_value(); }
  std::size_t waiting_now() override { return q_.statistics().waiting_gets; }

 private:
  queue<int> q_{4};
};

class put_subject final : public subject {
 public:
  put_subject() : subject{{}} { EXPECT_TRUE(q_.try_put(0)); }
  wait_for wait() override { return waiting(q_.put(7)); }
  void complete() override { EXPECT_TRUE(q_.try_get().has_value()); }
  bool untaken() override { return q_.try_put(0); }
  std::size_t waiting_now() override { return q_.statistics().waiting_puts; }

 private:
  queue<int> q_{1};
};

/// Until all work is done; there is one piece.
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
  queue<int> q_{4};
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

const bool enrolled = enrol<receive_subject>("channel_receive") &&
                      enrol<send_subject>("channel_send") &&
                      enrol<meet_receiver_subject>("unbuffered_receive") &&
                      enrol<meet_sender_subject>("unbuffered_send") &&
                      enrol<get_subject>("queue_get") && enrol<put_subject>("queue_put") &&
                      enrol<queue_join_subject>("queue_join") && enrol<select_subject>("select");

}  // namespace
}  // namespace oneloop::rules
