// The matrix over what parties meet at or wait for together: barrier, latch, condition; and the
// queues in another order.

#include <memory>
#include <optional>

#include "oneloop/channel/priority_queue.hpp"
#include "oneloop/sync/barrier.hpp"
#include "oneloop/sync/condition.hpp"
#include "tests/matrix.hpp"

namespace oneloop::matrix {

class barrier_case : public primitive {
 public:
  static constexpr const char* name = "barrier";
  static constexpr bool needs_kernel = false;
  barrier_case()
      : primitive{{.rendezvous = true,
                   .waits_for = "barrier.wait",
                   .partner_waits_for = "barrier.wait"}} {}
  std::unique_ptr<party> subject(model m) override { return make_party(m, one_); }
  std::unique_ptr<party> partner(model m) override { return make_party(m, other_); }
  void end_round(int) override {
    EXPECT_EQ(b_.statistics().waiting, 0u);
    EXPECT_EQ(one_.met_, other_.met_);
  }

 private:
  barrier b_{2};
  struct side : basic_side {
    barrier* b_;
    int met_ = 0;
    auto operation(int) { return b_->wait(); }
    bool finished(int, std::size_t index) {
      EXPECT_LT(index, 2u) << where();
      ++met_;
      return true;
    }
  } one_{{}, &b_}, other_{{}, &b_};
};

/// The subject waits until the partner has put a token there, and takes it.
class condition_case : public primitive {
 public:
  static constexpr const char* name = "condition";
  static constexpr bool needs_kernel = false;
  condition_case() : primitive{{}} {}
  std::unique_ptr<party> subject(model m) override { return make_party(m, takes_); }
  std::unique_ptr<party> partner(model m) override { return make_party(m, puts_); }
  std::size_t subjects_waiting() override { return x_.c.statistics().waiting; }
  void end_round(int round) override {
    EXPECT_FALSE(x_.m.locked());
    EXPECT_EQ(x_.tokens, 0) << round;
  }

 private:
  struct shared {
    mutex m;
    condition c;
    int tokens = 0;
  } x_;
  struct takes_side : basic_side {
    shared* x_;
    static task<> take(shared* x) {
      auto guard = co_await x->m.lock();
      co_await x->c.wait_until(guard, [x] { return x->tokens > 0; });
      --x->tokens;
    }
    auto operation(int) { return as_operation(take(x_)); }
    bool finished(int) { return true; }
  } takes_{{}, &x_};
  struct puts_side : basic_side {
    shared* x_;
    static task<> put(shared* x) {
      auto guard = co_await x->m.lock();
      ++x->tokens;
      x->c.notify();
    }
    auto operation(int) { return as_operation(put(x_)); }
    bool finished(int) { return true; }
  } puts_{{}, &x_};
};

class priority_queue_case : public primitive {
 public:
  static constexpr const char* name = "priority_queue";
  static constexpr bool needs_kernel = false;
  priority_queue_case() : primitive{{}} {}
  std::unique_ptr<party> subject(model m) override { return make_party(m, gets_); }
  std::unique_ptr<party> partner(model m) override { return make_party(m, puts_); }
  std::size_t subjects_waiting() override { return q_.statistics().waiting_gets; }
  void end_round(int) override { EXPECT_EQ(q_.statistics().unfinished, 0u); }

 private:
  priority_queue<int> q_{2};
  struct gets_side : basic_side {
    priority_queue<int>* q_;
    auto operation(int) { return q_->get(); }
    bool finished(int round, std::optional<int>& v) {
      EXPECT_EQ(v, round) << where();
      q_->task_done();
      return true;
    }
  } gets_{{}, &q_};
  struct puts_side : basic_side {
    priority_queue<int>* q_;
    auto operation(int round) { return q_->put(round); }
    bool finished(int) { return true; }
  } puts_{{}, &q_};
};

static const bool enrolled =
    enrol<barrier_case>() && enrol<condition_case>() && enrol<priority_queue_case>();

}  // namespace oneloop::matrix
