// The rules, of calls on other threads and loops, and of their futures.
#include <memory>
#include <optional>
#include <vector>

#include "oneloop/fiber/spawn.hpp"
#include "oneloop/loop/runtime.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/thread/on_pool.hpp"
#include "oneloop/thread/thread.hpp"
#include "oneloop/thread/thread_pool.hpp"
#include "oneloop/thread/to_thread.hpp"
#include "tests/rules.hpp"

namespace oneloop::rules {
namespace {

// Virtual time stands still while a thread owes the loop something: limits never come.
constexpr subject::traits of_a_call{.needs_kernel = true,
                                    .at_once = false,
                                    .taken_back = false,
                                    .one_each = false,
                                    .leaves_trace = false,
                                    .many = false};

/// A call that waits there. A cancel is told to it, and it is waited for.
template <class Make>
class call_subject final : public subject {
 public:
  call_subject() : subject{of_a_call} {}
  void end() override { go_.set(); }
  void again() override { go_.reset(); }
  wait_for wait() override {
    return waiting(Make{}([this] {
      await(go_.wait());
      return 7;
    }));
  }
  void complete() override { go_.set(); }
  bool untaken() override {
    go_.reset();
    return true;
  }

 private:
  event go_;
};
struct make_to_thread {
  template <class F>
  auto operator()(F f) const {
    return to_thread(std::move(f));
  }
};
struct make_on_pool {
  template <class F>
  auto operator()(F f) const {
    return on_pool(std::move(f));
  }
};

/// Children that live elsewhere; a cancelled join leaves them alone.
class elsewhere_subject : public subject {
 public:
  elsewhere_subject()
      : subject{{.needs_kernel = true,
                 .ahead = false,
                 .at_once = false,
                 .one_each = false,
                 .leaves_trace = false}} {}
  void begin(nursery& n) override {
    n_ = &n;
    child_ = start();
  }
  void end() override { go_.set(); }
  void again() override {
    if (!go_.is_set()) return;
    await(child_.join());
    go_.reset();
    child_ = start();
  }
  wait_for wait() override { return waiting(child_.join()); }
  void complete() override { go_.set(); }

 protected:
  virtual joinable<int> start() = 0;
  nursery* n_ = nullptr;
  event go_;
  joinable<int> child_;
};
class join_thread_subject final : public elsewhere_subject {
  joinable<int> start() override {
    return spawn_thread(*n_, [this] {
      await(go_.wait());
      return 7;
    });
  }
};
class join_elsewhere_subject final : public elsewhere_subject {
  joinable<int> start() override {
    if (!there_) there_.emplace(1);
    return spawn_on(there_->loop(0), [this] {
      await(go_.wait());
      return 7;
    });
  }
  std::optional<runtime> there_;
};

/// Those of a pool, one after the other. One waiter at a time.
class futures_subject final : public subject {
 public:
  futures_subject() : subject{{.needs_kernel = true, .many = false}} {}
  void again() override {
    if (p_ && !p_->get_future().done()) return;
    p_.emplace();
    all_.emplace(std::vector{p_->get_future()});
  }
  void end() override {
    if (!p_->get_future().done()) p_->set_value(0);
  }
  wait_for wait() override {
    return waiting(all_->next(), [](const auto& f) { EXPECT_TRUE(f.value().done()); });
  }
  void complete() override { p_->set_value(7); }
  bool untaken() override {
    const bool there = await(all_->next()).has_value();
    again();
    return there;
  }

 private:
  std::optional<promise<int>> p_;
  std::optional<as_completed<future<int>>> all_;
};

/// A pool that was shut down, and whose only job waits. Then there is another pool.
class pool_ended_subject final : public subject {
 public:
  pool_ended_subject()
      : subject{
            {.needs_kernel = true, .at_once = false, .one_each = false, .leaves_trace = false}} {}
  void end() override { go_.set(); }
  void again() override {
    if (pool_ && !go_.is_set()) return;
    if (pool_) await(pool_->ended());
    go_.reset();
    pool_.emplace(1);
    pool_->submit([this] { await(go_.wait()); });
    pool_->shutdown(false);
  }
  wait_for wait() override { return waiting(pool_->ended()); }
  void complete() override { go_.set(); }

 private:
  event go_;
  std::optional<thread_pool> pool_;
};

const bool thread_enrolled = enrol<call_subject<make_to_thread>>("to_thread") &&
                             enrol<call_subject<make_on_pool>>("on_pool") &&
                             enrol<join_thread_subject>("join_of_a_thread") &&
                             enrol<join_elsewhere_subject>("join_on_another_loop") &&
                             enrol<futures_subject>("as_completed_futures") &&
                             enrol<pool_ended_subject>("thread_pool_ended");

}  // namespace
}  // namespace oneloop::rules
