// The matrix over sockets: reading, writing, accepting, and readiness in a select.

#include <sys/socket.h>

#include <array>
#include <cstring>

#include "oneloop/channel/select.hpp"
#include "oneloop/net/tcp.hpp"
#include "oneloop/net/unix.hpp"
#include "tests/matrix.hpp"

namespace oneloop::matrix {

/// Two connected streams whose buffers are small, so that a write soon waits.
struct wire {
  std::pair<net::unix_stream, net::unix_stream> ends = net::unix_stream::pair();
  wire() {
    const int size = 4096;
    for (const int fd : {ends.first.fd(), ends.second.fd()}) {
      EXPECT_EQ(::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
    }
  }
};

/// What the byte at this place of the stream must be.
constexpr std::byte pattern(std::size_t at) noexcept {
  return static_cast<std::byte>((at * 131) ^ (at >> 8));
}

/// Writes `Size` bytes a round, in as many operations as it takes.
template <std::size_t Size>
struct writes_side : basic_side {
  explicit writes_side(net::unix_stream& s) : stream_{s} {}
  net::unix_stream& stream_;
  std::size_t written_ = 0;
  std::array<std::byte, Size> block_;
  auto operation(int round) {
    const std::size_t begin = Size * static_cast<std::size_t>(round);
    for (std::size_t i = 0; i < Size; ++i) block_[i] = pattern(begin + i);
    return stream_.write_all(std::span{block_}.subspan(written_ - begin));
  }
  bool finished(int round, std::size_t n) {
    EXPECT_NE(n, 0u) << where();
    written_ += n;
    return written_ == Size * static_cast<std::size_t>(round + 1);
  }
};

/// Reads them.
template <std::size_t Size>
struct reads_side : basic_side {
  explicit reads_side(net::unix_stream& s) : stream_{s} {}
  net::unix_stream& stream_;
  std::size_t read_ = 0;
  std::array<std::byte, 8192> buffer_;
  auto operation(int) {
    buffer_.fill(std::byte{});
    return stream_.read_some(buffer_);
  }
  bool finished(int round, std::size_t n) {
    EXPECT_NE(n, 0u) << "an early end of the stream in " << where();
    bool right = true;
    for (std::size_t i = 0; i < n; ++i) right = right && buffer_[i] == pattern(read_ + i);
    EXPECT_TRUE(right) << "wrong bytes after " << read_ << " in " << where();
    read_ += n;
    const std::size_t end = Size * static_cast<std::size_t>(round + 1);
    EXPECT_LE(read_, end) << where();
    return read_ >= end || n == 0;
  }
};

class socket_read_case : public primitive {
 public:
  static constexpr const char* name = "socket_read";
  static constexpr bool needs_kernel = true;
  socket_read_case() : primitive{{.waits_for = "io.receive"}} {}

  std::unique_ptr<party> subject(model m) override { return make_party(m, reads_); }
  std::unique_ptr<party> partner(model m) override { return make_party(m, writes_); }
  void end_round(int) override { EXPECT_EQ(reads_.read_, writes_.written_); }

 private:
  wire wire_;
  reads_side<5> reads_{wire_.ends.first};
  writes_side<5> writes_{wire_.ends.second};
};

/// A write of more than the socket takes: a cancelled one may have gone in part, and says how far.
class socket_write_case : public primitive {
 public:
  static constexpr const char* name = "socket_write";
  static constexpr bool needs_kernel = true;
  socket_write_case()
      : primitive{
            {.partial = true, .waits_for = "net.write_all", .partner_waits_for = "io.receive"}} {}

  std::unique_ptr<party> subject(model m) override { return make_party(m, writes_); }
  std::unique_ptr<party> partner(model m) override { return make_party(m, reads_); }
  void end_round(int) override { EXPECT_EQ(reads_.read_, writes_.written_); }

 private:
  static constexpr std::size_t size = 50'000;
  wire wire_;
  writes_side<size> writes_{wire_.ends.first};
  reads_side<size> reads_{wire_.ends.second};
};

class socket_accept_case : public primitive {
 public:
  static constexpr const char* name = "socket_accept";
  static constexpr bool needs_kernel = true;
  socket_accept_case() : primitive{{.waits_for = "io.accept"}} {}

  std::unique_ptr<party> subject(model m) override { return make_party(m, accepts_); }
  std::unique_ptr<party> partner(model m) override { return make_party(m, connects_); }
  void end_round(int) override {
    EXPECT_EQ(accepts_.peer_, connects_.local_);
    EXPECT_FALSE(accepts_.stream_.is_open());
    EXPECT_FALSE(connects_.stream_.is_open());
  }

 private:
  net::tcp_listener listener_{net::endpoint{net::ip_address::loopback_v4(), 0}};
  struct accepts_side {
    explicit accepts_side(net::tcp_listener& l) : listener_{l} {}
    net::tcp_listener& listener_;
    net::tcp_stream stream_;
    net::endpoint peer_;
    auto operation(int) { return listener_.accept(); }
    bool finished(int, net::tcp_stream& s) {
      EXPECT_FALSE(stream_.is_open()) << "a second connection in " << where();
      stream_ = std::move(s);
      peer_ = stream_.peer_endpoint();
      return true;
    }
    void call(int) { stream_.close(); }
  } accepts_{listener_};
  struct connects_side {
    explicit connects_side(net::tcp_listener& l) : listener_{l} {}
    net::tcp_listener& listener_;
    net::tcp_stream stream_;
    net::endpoint local_;
    auto operation(int) { return net::connect(listener_.local_endpoint()); }
    bool finished(int, net::tcp_stream& s) {
      stream_ = std::move(s);
      local_ = stream_.local_endpoint();
      return true;
    }
    void call(int) { stream_.close(); }
  } connects_{listener_};
};

class select_readable_case : public primitive {
 public:
  static constexpr const char* name = "select_readable";
  static constexpr bool needs_kernel = true;
  select_readable_case() : primitive{{}} {}

  std::unique_ptr<party> subject(model m) override { return make_party(m, selects_); }
  std::unique_ptr<party> partner(model m) override { return make_party(m, writes_); }
  // Whoever waits in the select waits for the channel, too.
  std::size_t subjects_waiting() override { return silent_.statistics().waiting_receivers; }
  void end_round(int) override { EXPECT_EQ(never_.statistics().waiting, 0u); }

 private:
  static constexpr std::size_t size = 7;
  wire wire_;
  channel<int> silent_;
  event never_;
  struct selects_side {
    explicit selects_side(select_readable_case& all) : all_{all} {}
    select_readable_case& all_;
    auto operation(int) {
      return select(all_.never_.wait(), all_.wire_.ends.first.readable(), all_.silent_.receive());
    }
    template <class Result>
    bool finished(int, Result& r) {
      EXPECT_EQ(r.index(), 1u) << where();
      return true;
    }
    /// Takes what made it readable.
    void call(int round) {
      std::array<std::byte, 64> got;
      const auto n = ::recv(all_.wire_.ends.first.fd(), got.data(), got.size(), MSG_DONTWAIT);
      ASSERT_EQ(n, static_cast<ssize_t>(size)) << where();
      for (std::size_t i = 0; i < size; ++i) {
        EXPECT_EQ(got[i], pattern(size * static_cast<std::size_t>(round) + i)) << where();
      }
    }
  } selects_{*this};
  writes_side<size> writes_{wire_.ends.second};
};

static const bool enrolled = enrol<socket_read_case>() && enrol<socket_write_case>() &&
                             enrol<socket_accept_case>() && enrol<select_readable_case>();

}  // namespace oneloop::matrix
