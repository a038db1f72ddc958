// The matrix over channels, queues and selects.

#include "oneloop/channel/channel.hpp"
#include "oneloop/channel/queue.hpp"
#include "oneloop/channel/select.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/sync/mutex.hpp"
#include "tests/matrix.hpp"

namespace oneloop::matrix {

/// Sends the number of the round.
struct sends : basic_side {
  explicit sends(channel<int>& c) : c_{c} {}
  channel<int>& c_;
  auto operation(int round) { return c_.send(round); }
  bool finished(int) { return true; }
};
/// Receives it, or that of `before` rounds ago.
struct receives : basic_side {
  explicit receives(channel<int>& c, int before = 0) : c_{c}, before_{before} {}
  channel<int>& c_;
  int before_;
  auto operation(int) { return c_.receive(); }
  bool finished(int round, std::optional<int>& v) {
    EXPECT_EQ(v, round - before_) << where();
    return true;
  }
};

template <std::size_t Capacity>
class receive_case : public primitive {
 public:
  static constexpr const char* name = Capacity == 0           ? "unbuffered_receive"
                                      : Capacity == unlimited ? "unbounded_receive"
                                                              : "buffered_receive";
  static constexpr bool needs_kernel = false;
  receive_case() : primitive{{.rendezvous = Capacity == 0}} {}

  std::unique_ptr<party> subject(model m) override { return make_party(m, receives_); }
  std::unique_ptr<party> partner(model m) override { return make_party(m, sends_); }
  std::size_t subjects_waiting() override { return c_.statistics().waiting_receivers; }
  std::size_t partners_waiting() override { return c_.statistics().waiting_senders; }
  void end_round(int round) override {
    EXPECT_EQ(c_.statistics().buffered, 0u);
    EXPECT_EQ(c_.statistics().sent, static_cast<std::uint64_t>(round + 1));
  }

 private:
  static channel<int> make() {
    if constexpr (Capacity == unlimited)
      return channel<int>{unbounded};
    else
      return channel<int>{Capacity};
  }
  channel<int> c_ = make();
  receives receives_{c_};
  sends sends_{c_};
};

/// A buffered channel is full to begin with, so that a send must wait.
template <std::size_t Capacity>
class send_case : public primitive {
 public:
  static constexpr const char* name = Capacity == 0 ? "unbuffered_send" : "buffered_send";
  static constexpr bool needs_kernel = false;
  send_case() : primitive{{.rendezvous = Capacity == 0}} {
    for (int i = 0; i < filling; ++i) EXPECT_TRUE(c_.try_send(i - filling));
  }

  std::unique_ptr<party> subject(model m) override { return make_party(m, sends_); }
  std::unique_ptr<party> partner(model m) override { return make_party(m, receives_); }
  std::size_t subjects_waiting() override { return c_.statistics().waiting_senders; }
  std::size_t partners_waiting() override { return c_.statistics().waiting_receivers; }
  void end_round(int round) override {
    EXPECT_EQ(c_.statistics().buffered, Capacity);
    EXPECT_EQ(c_.statistics().sent, static_cast<std::uint64_t>(round + 1 + filling));
  }

 private:
  static constexpr int filling = static_cast<int>(Capacity);
  channel<int> c_{Capacity};
  sends sends_{c_};
  receives receives_{c_, filling};
};

struct puts_side : basic_side {
  explicit puts_side(queue<int>& q) : q_{q} {}
  queue<int>& q_;
  auto operation(int round) { return q_.put(round); }
  bool finished(int) { return true; }
};
struct gets_side : basic_side {
  explicit gets_side(queue<int>& q, int before = 0) : q_{q}, before_{before} {}
  queue<int>& q_;
  int before_;
  auto operation(int) { return q_.get(); }
  bool finished(int round, std::optional<int>& v) {
    EXPECT_EQ(v, round - before_) << where();
    q_.task_done();
    return true;
  }
};

class queue_get_case : public primitive {
 public:
  static constexpr const char* name = "queue_get";
  static constexpr bool needs_kernel = false;
  queue_get_case() : primitive{{}} {}

  std::unique_ptr<party> subject(model m) override { return make_party(m, gets_); }
  std::unique_ptr<party> partner(model m) override { return make_party(m, puts_); }
  std::size_t subjects_waiting() override { return q_.statistics().waiting_gets; }
  std::size_t partners_waiting() override { return q_.statistics().waiting_puts; }
  void end_round(int) override {
    EXPECT_EQ(q_.size(), 0u);
    EXPECT_EQ(q_.statistics().unfinished, 0u);
  }

 private:
  queue<int> q_{3};
  gets_side gets_{q_};
  puts_side puts_{q_};
};

class queue_put_case : public primitive {
 public:
  static constexpr const char* name = "queue_put";
  static constexpr bool needs_kernel = false;
  queue_put_case() : primitive{{}} { EXPECT_TRUE(q_.try_put(-1)); }

  std::unique_ptr<party> subject(model m) override { return make_party(m, puts_); }
  std::unique_ptr<party> partner(model m) override { return make_party(m, gets_); }
  std::size_t subjects_waiting() override { return q_.statistics().waiting_puts; }
  std::size_t partners_waiting() override { return q_.statistics().waiting_gets; }
  void end_round(int) override {
    EXPECT_EQ(q_.size(), 1u);
    EXPECT_EQ(q_.statistics().unfinished, 1u);
  }

 private:
  queue<int> q_{1};
  puts_side puts_{q_};
  gets_side gets_{q_, 1};
};

/// The subject waits until the partner is done with what it has taken.
class queue_join_case : public primitive {
 public:
  static constexpr const char* name = "queue_join";
  static constexpr bool needs_kernel = false;
  queue_join_case() : primitive{{.by = completion::by_calling}} {}

  std::unique_ptr<party> subject(model m) override { return make_party(m, joins_); }
  std::unique_ptr<party> partner(model m) override { return make_party(m, works_); }
  std::size_t subjects_waiting() override { return q_.statistics().waiting_joins; }
  void begin_round(int round) override {
    EXPECT_TRUE(q_.try_put(round));
    EXPECT_EQ(q_.try_get(), round);
  }
  void end_round(int) override { EXPECT_EQ(q_.statistics().unfinished, 0u); }

 private:
  queue<int> q_{1};
  struct joins_side : basic_side {
    explicit joins_side(queue<int>& q) : q_{q} {}
    queue<int>& q_;
    auto operation(int) { return q_.join(); }
    bool finished(int) {
      EXPECT_EQ(q_.statistics().unfinished, 0u) << where();
      return true;
    }
  } joins_{q_};
  struct works_side {
    queue<int>& q_;
    int done_ = 0;
    auto operation(int) { return yield_now(); }
    bool finished(int) { return true; }
    void call(int round) {
      if (done_ > round) return;
      ++done_;
      q_.task_done();
    }
  } works_{q_};
};

/// A receive among cases of every other kind, none of which ever comes.
class select_receive_case : public primitive {
 public:
  static constexpr const char* name = "select_receive";
  static constexpr bool needs_kernel = false;
  select_receive_case() : primitive{{.rendezvous = true}} { held_.try_lock().release(); }

  std::unique_ptr<party> subject(model m) override { return make_party(m, selects_); }
  std::unique_ptr<party> partner(model m) override { return make_party(m, sends_); }
  std::size_t subjects_waiting() override { return c_.statistics().waiting_receivers; }
  std::size_t partners_waiting() override { return c_.statistics().waiting_senders; }
  void end_round(int round) override {
    EXPECT_EQ(c_.statistics().sent, static_cast<std::uint64_t>(round + 1));
    EXPECT_EQ(silent_.statistics().waiting_receivers, 0u);
    EXPECT_EQ(full_.statistics().waiting_senders, 0u);
    EXPECT_EQ(full_.statistics().sent, 0u);
    EXPECT_EQ(never_.statistics().waiting, 0u);
    EXPECT_EQ(held_.statistics().waiting, 0u);
  }

 private:
  channel<int> c_, silent_, full_;
  event never_;
  mutex held_;
  struct selects_side : basic_side {
    explicit selects_side(select_receive_case& all) : all_{all} {}
    select_receive_case& all_;
    auto operation(int round) {
      return select(all_.silent_.receive(), all_.never_.wait(), all_.c_.receive(),
                    all_.full_.send(round), all_.held_.lock(), sleep_forever());
    }
    template <class Result>
    bool finished(int round, Result& r) {
      EXPECT_EQ(r.index(), 2u) << where();
      EXPECT_EQ(r.template get<2>(), round) << where();
      return true;
    }
  } selects_{*this};
  sends sends_{c_};
};

class select_send_case : public primitive {
 public:
  static constexpr const char* name = "select_send";
  static constexpr bool needs_kernel = false;
  select_send_case() : primitive{{}} { EXPECT_TRUE(c_.try_send(-1)); }

  std::unique_ptr<party> subject(model m) override { return make_party(m, selects_); }
  std::unique_ptr<party> partner(model m) override { return make_party(m, receives_); }
  std::size_t subjects_waiting() override { return c_.statistics().waiting_senders; }
  std::size_t partners_waiting() override { return c_.statistics().waiting_receivers; }
  void end_round(int round) override {
    EXPECT_EQ(c_.statistics().buffered, 1u);
    EXPECT_EQ(c_.statistics().sent, static_cast<std::uint64_t>(round + 2));
    EXPECT_EQ(never_.statistics().waiting, 0u);
  }

 private:
  channel<int> c_{1};
  event never_;
  struct selects_side : basic_side {
    explicit selects_side(select_send_case& all) : all_{all} {}
    select_send_case& all_;
    auto operation(int round) { return select(all_.never_.wait(), all_.c_.send(round)); }
    template <class Result>
    bool finished(int, Result& r) {
      EXPECT_EQ(r.index(), 1u) << where();
      return true;
    }
  } selects_{*this};
  receives receives_{c_, 1};
};

/// Two selects that face each other, over two channels: each either sends or receives. One exchange
/// a round, in one direction.
class selects_meet_case : public primitive {
 public:
  static constexpr const char* name = "selects_meet";
  static constexpr bool needs_kernel = false;
  selects_meet_case() : primitive{{.rendezvous = true}} {}

  std::unique_ptr<party> subject(model m) override { return make_party(m, one_); }
  std::unique_ptr<party> partner(model m) override { return make_party(m, other_); }
  // While one of them waits it is in both channels, on different sides.
  std::size_t subjects_waiting() override { return there_.statistics().waiting_senders; }
  std::size_t partners_waiting() override { return back_.statistics().waiting_senders; }
  void end_round(int round) override {
    EXPECT_NE(one_.sent_, other_.sent_);
    EXPECT_EQ(there_.statistics().sent + back_.statistics().sent,
              static_cast<std::uint64_t>(round + 1));
    EXPECT_EQ(there_.statistics().waiting_receivers, 0u);
    EXPECT_EQ(back_.statistics().waiting_receivers, 0u);
  }

 private:
  struct meets_side : basic_side {
    meets_side(channel<int>& to, channel<int>& from) : to_{to}, from_{from} {}
    channel<int>&to_, &from_;
    bool sent_ = false;
    auto operation(int round) { return select(to_.send(round), from_.receive()); }
    template <class Result>
    bool finished(int round, Result& r) {
      sent_ = r.index() == 0;
      if (!sent_) {
        EXPECT_EQ(r.template get<1>(), round) << where();
      }
      return true;
    }
  };
  channel<int> there_, back_;
  meets_side one_{there_, back_}, other_{back_, there_};
};

/// The same over one channel, in which each offers both sides: never to itself.
class selects_on_one_channel_case : public primitive {
 public:
  static constexpr const char* name = "selects_on_one_channel";
  static constexpr bool needs_kernel = false;
  selects_on_one_channel_case() : primitive{{.rendezvous = true}} {}

  std::unique_ptr<party> subject(model m) override { return make_party(m, one_); }
  std::unique_ptr<party> partner(model m) override { return make_party(m, other_); }
  // Who waits is told by an event that each has as a third case, and that is never set.
  std::size_t subjects_waiting() override { return one_.mark_.statistics().waiting; }
  std::size_t partners_waiting() override { return other_.mark_.statistics().waiting; }
  void end_round(int round) override {
    EXPECT_NE(one_.sent_, other_.sent_);
    EXPECT_EQ(c_.statistics().sent, static_cast<std::uint64_t>(round + 1));
    EXPECT_EQ(c_.statistics().waiting_senders, 0u);
    EXPECT_EQ(c_.statistics().waiting_receivers, 0u);
  }

 private:
  struct offers_side : basic_side {
    explicit offers_side(channel<int>& c) : c_{c} {}
    channel<int>& c_;
    event mark_;
    bool sent_ = false;
    auto operation(int round) { return select(c_.send(round), c_.receive(), mark_.wait()); }
    template <class Result>
    bool finished(int round, Result& r) {
      sent_ = r.index() == 0;
      if (!sent_) {
        EXPECT_EQ(r.template get<1>(), round) << where();
      }
      return true;
    }
  };
  channel<int> c_;
  offers_side one_{c_}, other_{c_};
};

static const bool enrolled =
    enrol<receive_case<0>>() && enrol<receive_case<2>>() && enrol<receive_case<unlimited>>() &&
    enrol<send_case<0>>() && enrol<send_case<2>>() && enrol<queue_get_case>() &&
    enrol<queue_put_case>() && enrol<queue_join_case>() && enrol<select_receive_case>() &&
    enrol<select_send_case>() && enrol<selects_meet_case>() && enrol<selects_on_one_channel_case>();

}  // namespace oneloop::matrix
