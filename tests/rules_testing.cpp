// The rules, of what tests of users are made of: sequencers, memory streams, an idle loop.
#include <array>
#include <cstddef>
#include <mutex>
#include <optional>
#include <utility>

#include "oneloop/sync/test_waiter.hpp"
#include "oneloop/testing/clock.hpp"
#include "oneloop/testing/memory_stream.hpp"
#include "oneloop/testing/sequencer.hpp"
#include "tests/rules.hpp"

namespace oneloop::rules {
namespace {

using namespace std::chrono_literals;

/// It ends when the director waits, too.
class idle_subject final : public subject {
 public:
  idle_subject()
      : subject{{.threads = false,
                 .lasts = false,
                 .ahead = false,
                 .at_once = false,
                 .one_each = false,
                 .leaves_trace = false}} {}
  wait_for wait() override { return waiting(testing::wait_all_tasks_blocked()); }
};

/// The director is never idle for so long.
class long_idle_subject final : public subject {
 public:
  long_idle_subject()
      : subject{{.threads = false, .completes = false, .ahead = false, .leaves_trace = false}} {}
  wait_for wait() override { return waiting(testing::wait_all_tasks_blocked(1000h)); }
};

/// Place 0 is the director's. A place that was given up breaks a sequence, so that each wait after
/// that is for one of another.
class sequencer_subject final : public subject {
 public:
  sequencer_subject() : subject{{.leaves_trace = false, .many = false}} {}
  void again() override {
    const std::scoped_lock hold{lock_};
    renew();
  }
  wait_for wait() override {
    const std::scoped_lock hold{lock_};
    if (s_->broken()) renew();
    return waiting((*s_)(1));
  }
  void complete() override {
    const std::scoped_lock hold{lock_};
    first_.reset();
  }

 private:
  void renew() {
    first_.reset();
    s_.emplace();
    first_.emplace(test::attempt{(*s_)(0)}.result());
  }
  std::mutex lock_;
  std::optional<testing::sequencer> s_;
  std::optional<testing::sequence_place> first_;
};

class any_stream_subject : public subject {
 public:
  explicit any_stream_subject(testing::memory_options options) : subject{{.many = false}} {
    auto both = testing::memory_stream_pair(options);
    mine_ = std::move(both.first);
    other_ = std::move(both.second);
  }

 protected:
  testing::memory_stream mine_, other_;
  std::array<std::byte, 1> byte_{}, others_byte_{};
};

/// With lockstep what has been offered is a write that waits.
template <std::size_t capacity>
class memory_read_subject final : public any_stream_subject {
 public:
  memory_read_subject() : any_stream_subject{testing::memory_options{}.capacity(capacity)} {}
  wait_for wait() override {
    return waiting(mine_.read_some(byte_), [](std::size_t n) { EXPECT_EQ(n, 1u); });
  }
  void complete() override { offer_.emplace(other_.write_all(others_byte_)); }
  bool untaken() override { return mine_.try_read_some(byte_) == 1u; }
  std::size_t waiting_now() override { return mine_.statistics().reading ? 1 : 0; }

 private:
  std::optional<test::attempt<testing::detail::memory_pipe::write_operation>> offer_;
};

/// The one byte for which there is room is taken.
class memory_write_subject final : public any_stream_subject {
 public:
  memory_write_subject() : any_stream_subject{testing::memory_options{}.capacity(1)} { fill(); }
  wait_for wait() override {
    return waiting(mine_.write_all(byte_), [](std::size_t n) { EXPECT_EQ(n, 1u); });
  }
  void complete() override { EXPECT_EQ(other_.try_read_some(others_byte_), 1u); }
  bool untaken() override {
    const bool room = other_.statistics().arrived == 0;
    if (room) fill();
    return room;
  }
  std::size_t waiting_now() override { return other_.statistics().peer_writing ? 1 : 0; }

 private:
  void fill() {
    test::attempt one{mine_.write_all(byte_)};
    EXPECT_TRUE(one.immediate());
  }
};

/// What has been offered is a read that waits.
class lockstep_write_subject final : public any_stream_subject {
 public:
  lockstep_write_subject() : any_stream_subject{testing::memory_options{}.capacity(0)} {}
  void again() override { offer_.reset(); }
  wait_for wait() override {
    return waiting(mine_.write_all(byte_), [](std::size_t n) { EXPECT_EQ(n, 1u); });
  }
  void complete() override { offer_.emplace(other_.read_some(others_byte_)); }
  bool untaken() override {
    const bool waits = offer_->waits();
    offer_.reset();
    return waits;
  }
  std::size_t waiting_now() override { return other_.statistics().peer_writing ? 1 : 0; }

 private:
  std::optional<test::attempt<testing::detail::memory_pipe::read_operation>> offer_;
};

const bool testing_enrolled = enrol<idle_subject>("wait_all_tasks_blocked") &&
                              enrol<long_idle_subject>("wait_all_tasks_blocked_for_long") &&
                              enrol<sequencer_subject>("sequencer") &&
                              enrol<memory_read_subject<16>>("memory_stream_read") &&
                              enrol<memory_read_subject<0>>("lockstep_stream_read") &&
                              enrol<memory_write_subject>("memory_stream_write") &&
                              enrol<lockstep_write_subject>("lockstep_stream_write");

}  // namespace
}  // namespace oneloop::rules
