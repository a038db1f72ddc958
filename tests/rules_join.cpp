// The rules, of sleeping, of waiting for children and futures, and of what is made of several
// waits.
#include <memory>
#include <optional>
#include <vector>

#include "oneloop/channel/channel.hpp"
#include "oneloop/deferred/deferred.hpp"
#include "oneloop/fiber/spawn.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/gather.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/task/as_completed.hpp"
#include "oneloop/task/spawn.hpp"
#include "oneloop/task/task.hpp"
#include "oneloop/task/wait.hpp"
#include "oneloop/thread/future.hpp"
#include "tests/rules.hpp"

namespace oneloop::rules {
namespace {

using namespace std::chrono_literals;

class sleep_subject final : public subject {
 public:
  sleep_subject() : subject{{.completes = false, .ahead = false, .leaves_trace = false}} {}
  wait_for wait() override { return waiting(sleep_for(1000h)); }
};

/// It ends by itself, after everything that is ready.
class yield_subject final : public subject {
 public:
  yield_subject() : subject{{.waits = false}} {}
  wait_for wait() override { return waiting(yield_now()); }
};

/// A child that waits for an event; when that has come there is another child.
class join_subject : public subject {
 public:
  explicit join_subject(
      traits t = {.ahead = false, .at_once = false, .one_each = false, .leaves_trace = false})
      : subject{t} {}
  void begin(nursery& n) override {
    n_ = &n;
    start();
  }
  void end() override { go_.set(); }
  void again() override {
    if (!go_.is_set()) return;
    await(child_.join());  // it waits for the event no more
    go_.reset();
    start();
  }
  wait_for wait() override { return waiting(child_.join()); }
  void complete() override { go_.set(); }

 protected:
  static task<int> ends_with(event* go) {
    co_await go->wait();
    co_return 7;
  }
  virtual void start() { child_ = spawn(*n_, ends_with, &go_); }
  nursery* n_ = nullptr;
  event go_;
  joinable<int> child_;
};

class join_fiber_subject final : public join_subject {
  void start() override {
    child_ = spawn(*n_, [this] {
      await(go_.wait());
      return 7;
    });
  }
};

class wait_subject final : public join_subject {
 public:
  wait_for wait() override {
    return waiting(oneloop::wait(std::vector{child_}),
                   [](const auto& r) { EXPECT_EQ(r.done.size(), 1u); });
  }
};

class until_subject final : public join_subject {
 public:
  wait_for wait() override { return waiting(until(std::vector{child_})); }
};

/// A cancel of the wait is one of the child: the next wait is for another one.
class wait_for_subject final : public join_subject {
 public:
  wait_for_subject()
      : join_subject{{.at_once = false,
                      .taken_back = false,
                      .one_each = false,
                      .leaves_trace = false,
                      .many = false}} {}
  void again() override { go_.reset(); }
  // As below: elsewhere it is the wait for a child alone.
  wait_for wait() override {
    if (n_->home() == nullptr) return waiting(go_.wait());
    if (child_.finished()) start();
    return waiting(oneloop::wait_for(child_, 1000h), [](int v) { EXPECT_EQ(v, 7); });
  }
  bool untaken() override {
    go_.reset();
    return true;
  }
};

/// A child that says when it is ready; a cancel of the wait is one of the child.
class ready_subject final : public subject {
 public:
  ready_subject()
      : subject{{.at_once = false, .one_each = false, .leaves_trace = false, .many = false}} {}
  void begin(nursery& n) override { n_ = &n; }
  void end() override { go_.set(); }
  void again() override { go_.reset(); }
  wait_for wait() override {
    if (n_->home() == nullptr) return waiting(go_.wait());
    return waiting(n_->start_and_wait_ready(begins, &go_), [](int v) { EXPECT_EQ(v, 7); });
  }
  void complete() override { go_.set(); }
  bool untaken() override {
    go_.reset();
    return true;
  }

 private:
  static task<> begins(event* go, ready_signal<int> ready) {
    co_await go->wait();
    ready.started(7);
  }
  nursery* n_ = nullptr;
  event go_;
};

/// What ends stays until somebody takes it. (A thread's nursery is no other thread's to use.)
class as_completed_subject final : public subject {
 public:
  as_completed_subject() : subject{{.needs_loop = true, .at_once = false, .many = false}} {}
  void begin(nursery& n) override {
    n_ = &n;
    start();
  }
  void end() override { ch_.close(); }
  wait_for wait() override {
    if (n_->home() == nullptr) return waiting(ch_.receive());
    return waiting(all_->next(), [this](auto c) {
      EXPECT_EQ(c.value().get(), 7);
      start();
    });
  }
  void complete() override { EXPECT_TRUE(ch_.try_send(7)); }
  bool untaken() override {
    if (n_->home() == nullptr) return ch_.try_receive().has_value();
    const auto c = await(all_->next());
    start();
    return c.has_value();
  }

 private:
  static task<int> receives(channel<int>* ch) {
    auto v = co_await ch->receive();
    co_return v.value_or(0);
  }
  void start() {
    if (n_->home() == nullptr) return;
    std::vector<task<int>> one;
    one.push_back(receives(&ch_));
    all_.emplace(*n_, std::move(one));
  }
  nursery* n_ = nullptr;
  channel<int> ch_{4};
  std::optional<as_completed<task<int>>> all_;
};

/// A deferred belongs to its loop. (One that was made outside of them is no other thread's.)
class deferred_subject final : public subject {
 public:
  deferred_subject() : subject{{.one_each = false, .leaves_trace = false}} {}
  void begin(nursery& n) override { on_a_loop_ = n.home() != nullptr; }
  void again() override {
    done_.reset();
    d_ = {};
  }
  wait_for wait() override {
    if (!on_a_loop_) return waiting(done_.wait());
    return waiting(d_, [](int v) { EXPECT_EQ(v, 7); });
  }
  void complete() override {
    done_.set();
    if (on_a_loop_) d_.callback(7);
  }

 private:
  bool on_a_loop_ = false;
  event done_;
  deferred<int> d_;
};

class shield_subject final : public subject {
 public:
  shield_subject()
      : subject{{.at_once = false, .one_each = false, .leaves_trace = false, .many = false}} {}
  void begin(nursery& n) override { n_ = &n; }
  void end() override { go_.set(); }
  void again() override { go_.reset(); }
  // Only the thread of a nursery starts threads in it.
  wait_for wait() override {
    if (n_->home() != nullptr) return waiting(shield(*n_, until, &go_));
    return waiting(go_.wait());
  }
  void complete() override { go_.set(); }
  bool untaken() override {
    go_.reset();
    return true;
  }

 private:
  static task<> until(event* go) { co_await go->wait(); }
  nursery* n_ = nullptr;
  event go_;
};

/// For its result, or for its end.
template <bool end_only>
class future_subject final : public subject {
 public:
  future_subject() : subject{{.ahead = false, .one_each = false, .leaves_trace = false}} {}
  wait_for wait() override {
    if constexpr (end_only) {
      return waiting(p_->get_future().finished());
    } else {
      return waiting(p_->get_future().get(), [](int v) { EXPECT_EQ(v, 7); });
    }
  }
  void again() override {
    if (!p_ || p_->get_future().done()) p_.emplace();
  }
  void end() override {
    if (!p_->get_future().done()) p_->set_value(0);
  }
  void complete() override { p_->set_value(7); }

 private:
  std::optional<promise<int>> p_;
};

// ---- what needs a loop ----

/// What is made of a receive.
template <class Make>
class composite_subject : public subject {
 public:
  composite_subject() : subject{{.needs_loop = true, .at_once = false}} {}
  wait_for wait() override { return waiting(Make{}(ch_)); }
  void complete() override { EXPECT_TRUE(ch_.try_send(7)); }
  bool untaken() override { return ch_.try_receive().has_value(); }
  std::size_t waiting_now() override { return ch_.statistics().waiting_receivers; }

 private:
  channel<int> ch_{4};
};

task<int> receive_one(channel<int>* ch) {
  auto v = co_await ch->receive();
  co_return v.value_or(0);
}
struct make_task {
  auto operator()(channel<int>& ch) const { return receive_one(&ch); }
};
struct make_gather {
  auto operator()(channel<int>& ch) const { return gather(ch.receive(), yield_now()); }
};
struct make_gather_range {
  auto operator()(channel<int>& ch) const {
    std::vector<task<int>> several;
    several.push_back(receive_one(&ch));
    return gather(std::move(several));
  }
};
struct make_gather_outcomes {
  auto operator()(channel<int>& ch) const { return gather_outcomes(ch.receive(), yield_now()); }
};
struct make_first_of {
  auto operator()(channel<int>& ch) const { return first_of(ch.receive(), sleep_for(1000h)); }
};
struct make_limited_task {
  auto operator()(channel<int>& ch) const { return fail_after(1000h, receive_one(&ch)); }
};

/// A limit is no loop's business.
struct make_fail_after {
  auto operator()(channel<int>& ch) const { return fail_after(1000h, ch.receive()); }
};
struct make_move_on_after {
  auto operator()(channel<int>& ch) const { return move_on_after(1000h, ch.receive()); }
};
struct make_try_await {
  auto operator()(channel<int>& ch) const { return try_await(ch.receive()); }
};
template <class Make>
class limited_subject final : public subject {
 public:
  limited_subject() : subject{{}} {}
  wait_for wait() override {
    return waiting(Make{}(ch_), [](const auto& v) { EXPECT_TRUE(v); });
  }
  void complete() override { EXPECT_TRUE(ch_.try_send(7)); }
  bool untaken() override { return ch_.try_receive().has_value(); }
  std::size_t waiting_now() override { return ch_.statistics().waiting_receivers; }

 private:
  channel<int> ch_{4};
};

const bool join_enrolled =
    enrol<sleep_subject>("sleep") && enrol<yield_subject>("yield_now") &&
    enrol<join_subject>("join_of_a_task") && enrol<join_fiber_subject>("join_of_a_fiber") &&
    enrol<wait_subject>("wait") && enrol<until_subject>("until") &&
    enrol<wait_for_subject>("wait_for") && enrol<ready_subject>("start_and_wait_ready") &&
    enrol<as_completed_subject>("as_completed") && enrol<deferred_subject>("deferred") &&
    enrol<shield_subject>("shield") && enrol<future_subject<false>>("future") &&
    enrol<future_subject<true>>("future_finished") && enrol<composite_subject<make_task>>("task") &&
    enrol<composite_subject<make_gather>>("gather") &&
    enrol<composite_subject<make_gather_range>>("gather_of_several") &&
    enrol<composite_subject<make_gather_outcomes>>("gather_outcomes") &&
    enrol<composite_subject<make_first_of>>("first_of") &&
    enrol<composite_subject<make_limited_task>>("fail_after_task") &&
    enrol<limited_subject<make_fail_after>>("fail_after") &&
    enrol<limited_subject<make_move_on_after>>("move_on_after") &&
    enrol<limited_subject<make_try_await>>("try_await");

}  // namespace
}  // namespace oneloop::rules
