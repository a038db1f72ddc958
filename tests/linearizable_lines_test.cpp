// What is seen of channels and queues is linearizable.
#include <gtest/gtest.h>

#include "oneloop/channel/channel.hpp"
#include "oneloop/channel/lifo_queue.hpp"
#include "oneloop/channel/priority_queue.hpp"
#include "tests/linearizable_parties.hpp"

namespace oneloop::linearizable {
namespace {

struct a_channel {
  explicit a_channel(std::size_t n) : it{n} {}
  channel<int> it;
  auto send(int v) { return it.send(v); }
  auto receive() { return it.receive(); }
  bool try_send(int v) { return it.try_send(v); }
  auto try_receive() { return it.try_receive(); }
  void close() { it.try_close(); }
};
template <class Queue>
struct a_queue {
  explicit a_queue(std::size_t n) : it{n} {}
  Queue it;
  auto send(int v) { return it.put(v); }
  auto receive() { return it.get(); }
  bool try_send(int v) { return it.try_put(v); }
  auto try_receive() { return it.try_get(); }
  void close() { it.shutdown(); }
};

template <class Line, order Order = order::fifo>
class line_subject {
 public:
  explicit line_subject(std::uint32_t seed) : capacity_{seed % 3 + least}, line_{capacity_} {}
  [[nodiscard]] line model() const { return line{capacity_, Order}; }
  struct hand {};

  bool instant(shared& s, hand&, std::uint32_t dice) {
    const int value = ++s.last_value;
    switch (dice % 12) {
      case 0:
      case 1:
        s.instant({op::try_send, value}, [&] {
          try {
            return line_.try_send(value) ? done : nothing;
          } catch (const closed_error&) {
            return refused;
          }
        });
        return true;
      case 2:
      case 3:
        s.instant({op::try_receive}, [&] { return line_.try_receive().value_or(nothing); });
        return true;
      case 4:
        if (dice / 12 % 8 != 0) return false;
        s.instant({op::close}, [&] {
          line_.close();
          return done;
        });
        return true;
      default: return false;
    }
  }
  template <class How>
  auto waiting(shared& s, hand&, std::uint32_t dice, How how) {
    const int value = ++s.last_value;
    return how(
        s, dice / 12 % 2 == 0 ? call{op::send, value} : call{op::receive},
        [this, value, sends = dice / 12 % 2 == 0] { return either{*this, sends, value}; },
        [](std::optional<int>& got) { return got.value_or(nothing); });
  }

 private:
  static constexpr std::size_t least = std::is_same_v<Line, a_channel> ? 0 : 1;
  using send_operation = decltype(std::declval<Line&>().send(1));
  using receive_operation = decltype(std::declval<Line&>().receive());
  /// One of the two, as one type.
  struct either {
    either(line_subject& l, bool sends, int value) {
      if (sends) {
        send.emplace(l.line_.send(value));
      } else {
        receive.emplace(l.line_.receive());
      }
    }
    [[nodiscard]] static bool await_ready() noexcept { return false; }
    bool await_suspend(waiter& w) noexcept {
      return send ? send->await_suspend(w) : receive->await_suspend(w);
    }
    std::optional<int> await_resume() {
      if (!send) return receive->await_resume();
      send->await_resume();
      return done;
    }
    std::optional<send_operation> send;
    std::optional<receive_operation> receive;
  };
  std::size_t capacity_;
  Line line_;
};

using subjects = ::testing::Types<line_subject<a_channel>, line_subject<a_queue<queue<int>>>,
                                  line_subject<a_queue<lifo_queue<int>>, order::lifo>,
                                  line_subject<a_queue<priority_queue<int>>, order::smallest>>;
template <class Subject>
class linearizable_line : public ::testing::Test {};
TYPED_TEST_SUITE(linearizable_line, subjects);

TYPED_TEST(linearizable_line, in_simulated_time) { check_in_simulated_time<TypeParam>(); }
TYPED_TEST(linearizable_line, across_loops_and_threads) {
  check_across_loops_and_threads<TypeParam>();
}

}  // namespace
}  // namespace oneloop::linearizable
