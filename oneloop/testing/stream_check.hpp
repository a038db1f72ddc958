// Whether a stream of your own keeps the contract of net/stream.hpp: every rule of it, on fresh
// pairs.
//
//     TEST(my_stream, keeps_the_contract) {
//       oneloop::run(testing::check_half_closeable_stream([] { return my_stream::pair(); }));
//     }
//
// `make` gives two streams that are connected with each other, as a std::pair; or something to
// await that gives it (a task). It is called once a rule, some eighty times. The checks of the
// three kinds include each other:
//   - one way: what is written to the first is read from the second. Only `first.write_all`,
//     `second.read_some` and `close` are needed; the first one's shutdown_write is used if it has
//     one.
//   - two way: one way in both directions, and both at once.
//   - half closeable: two way, and shutdown_write.
//
// *Errors*: check_failed, which names the rule; what `make` throws. *Cancellation*: of whatever is
// under way. *Threads*: a task, so any party on any loop, the virtual one too. No rule depends on
// how fast something is: a check may take a pause of a millisecond to let things happen, and what
// has not happened by then is not held against the stream.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"
#include "oneloop/base/error.hpp"
#include "oneloop/net/stream.hpp"
#include "oneloop/scope/await.hpp"
#include "oneloop/task/task.hpp"
#include "oneloop/testing/check_failed.hpp"

namespace oneloop::inline v0::testing {

/// How thoroughly to look. Setters chain.
class stream_check_options {
 public:
  /// How much is "much data", in bytes: 256 KiB unless told.
  stream_check_options& much(std::size_t bytes) noexcept {
    much_ = bytes;
    return *this;
  }
  /// More than the stream can have under way: what a write has to wait with. 16 MiB unless told;
  /// with less, rules on writes that wait say little.
  stream_check_options& clog(std::size_t bytes) noexcept {
    clog_ = bytes;
    return *this;
  }
  /// Of the random sizes.
  stream_check_options& seed(std::uint32_t value) noexcept {
    seed_ = value;
    return *this;
  }
  /// How long one rule may take before it counts as broken: 20 s unless told.
  stream_check_options& limit(duration d) noexcept {
    limit_ = d;
    return *this;
  }

  [[nodiscard]] std::size_t much() const noexcept { return much_; }
  [[nodiscard]] std::size_t clog() const noexcept { return clog_; }
  [[nodiscard]] std::uint32_t seed() const noexcept { return seed_; }
  [[nodiscard]] duration limit() const noexcept { return limit_; }

 private:
  std::size_t much_ = std::size_t{256} << 10;
  std::size_t clog_ = std::size_t{16} << 20;
  std::uint32_t seed_ = 1;
  duration limit_ = std::chrono::seconds{20};
};

namespace detail {

/// A stream that may lack what one direction does not need.
template <class S>
class filled_stream {
 public:
  explicit filled_stream(S&& s) : stream_{std::move(s)} {}
  [[nodiscard]] task<std::size_t> read_some(std::span<std::byte> to) {
    if constexpr (requires { stream_.read_some(to); }) {
      auto reading = stream_.read_some(to);
      const std::size_t n = co_await std::move(reading);
      co_return n;
    } else {
      throw misuse{"read_some of a stream that has none"};
    }
  }
  [[nodiscard]] task<std::size_t> write_all(std::span<const std::byte> from) {
    if constexpr (requires { stream_.write_all(from); }) {
      auto writing = stream_.write_all(from);
      const std::size_t n = co_await std::move(writing);
      co_return n;
    } else {
      throw misuse{"write_all of a stream that has none"};
    }
  }
  [[nodiscard]] task<> shutdown_write() {
    if constexpr (requires { stream_.shutdown_write(); }) {
      auto ending = stream_.shutdown_write();
      co_await std::move(ending);
    } else {
      stream_.close();
      co_return;
    }
  }
  void close() { stream_.close(); }

 private:
  S stream_;
};

template <class S>
net::any_stream checked_stream(S&& s) {
  using type = std::remove_cvref_t<S>;
  if constexpr (std::same_as<type, net::any_stream>) {
    return std::forward<S>(s);
  } else if constexpr (net::byte_stream<type>) {
    return net::any_stream{std::move(s)};
  } else {
    return net::any_stream{filled_stream<type>{std::move(s)}};
  }
}

using checked_pair = std::pair<net::any_stream, net::any_stream>;
using make_streams = std::move_only_function<task<checked_pair>()>;

template <class Make>
make_streams erased(Make make) {
  return [make = std::move(make)]() mutable -> task<checked_pair> {
    using made = std::invoke_result_t<Make&>;
    if constexpr (awaitable<made>) {
      auto making = make();
      auto both = co_await std::move(making);
      checked_pair streams{checked_stream(std::move(both.first)),
                           checked_stream(std::move(both.second))};
      co_return std::move(streams);
    } else {
      auto both = make();
      checked_pair streams{checked_stream(std::move(both.first)),
                           checked_stream(std::move(both.second))};
      co_return std::move(streams);
    }
  };
}

enum class stream_kind : std::uint8_t { one_way, two_way, half_closeable };
[[nodiscard]] ONELOOP_API task<> check_stream(stream_kind kind, make_streams make,
                                              stream_check_options options);

}  // namespace detail

/// See above.
template <class Make>
[[nodiscard]] task<> check_one_way_stream(Make make, stream_check_options options = {}) {
  return detail::check_stream(detail::stream_kind::one_way, detail::erased(std::move(make)),
                              options);
}
template <class Make>
[[nodiscard]] task<> check_two_way_stream(Make make, stream_check_options options = {}) {
  return detail::check_stream(detail::stream_kind::two_way, detail::erased(std::move(make)),
                              options);
}
template <class Make>
[[nodiscard]] task<> check_half_closeable_stream(Make make, stream_check_options options = {}) {
  return detail::check_stream(detail::stream_kind::half_closeable, detail::erased(std::move(make)),
                              options);
}

}  // namespace oneloop::inline v0::testing
