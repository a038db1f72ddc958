#include "oneloop/net/borrowed_buffer.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <set>
#include <span>
#include <string>

#include "oneloop/base/aligned_bytes.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/net/net_test.hpp"
#include "oneloop/net/stream.hpp"
#include "oneloop/net/tcp.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"

namespace oneloop::net {
namespace {

class borrowed_buffers : public test::on_backends {};
ON_BACKENDS(borrowed_buffers);

TEST_P(borrowed_buffers, are_the_same_ones_again_and_begin_a_line_of_the_cache) {
  go([]() -> task<> {
    std::byte* first = nullptr;
    {
      const borrowed_buffer a;
      const borrowed_buffer b;
      EXPECT_NE(a.all().data(), b.all().data());
      EXPECT_EQ(a.all().size(), borrowed_buffer::size);
      first = a.all().data();
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(first) % cache_line, 0u);
    }
    const borrowed_buffer again;
    EXPECT_EQ(again.all().data(), first);
    co_return;
  });
}

TEST(a_borrowed_buffer, is_plain_memory_without_a_loop) {
  const borrowed_buffer mine;
  mine.all().back() = std::byte{1};
  EXPECT_EQ(mine.first(3).size(), 3u);
}

// An echo server whose connections hold a buffer only while they have something to say: more of
// them than the loop keeps, with messages that fill buffer and socket.
TEST_P(borrowed_buffers, serve_many_connections) {
  go([&]() -> task<> {
    tcp_listener listener{endpoint{ip_address::loopback_v4(), 0}};
    std::set<const std::byte*> seen;
    auto echo = [&](tcp_stream peer) -> task<> {
      for (;;) {
        co_await peer.readable();
        const borrowed_buffer space;
        seen.insert(space.all().data());
        const std::size_t n = co_await peer.read_some(space.all());
        if (n == 0) break;
        co_await peer.write_all(space.first(n));
      }
    };
    auto say = [&](int i, std::size_t size) -> task<> {
      tcp_stream s = co_await connect(listener.local_endpoint());
      const std::string text(size, static_cast<char>('a' + i));
      std::string heard(size, '-');
      auto sending = [&]() -> task<> { co_await s.write_all(bytes_of(text)); };
      co_await with_nursery([&](nursery& both) -> task<> {
        both.start(std::ref(sending));
        for (std::size_t got = 0; got < size;) {
          const auto rest = std::as_writable_bytes(std::span{heard}).subspan(got);
          const std::size_t n = co_await s.read_some(rest);
          EXPECT_NE(n, 0u);
          if (n == 0) co_return;
          got += n;
        }
      });
      EXPECT_EQ(heard, text);
    };
    constexpr int clients = 20;
    for (const std::size_t size : {std::size_t{1}, std::size_t{10'000}, std::size_t{700'000}}) {
      auto serve = [&](nursery& n) -> task<> {
        for (int i = 0; i < clients; ++i) n.start(std::ref(echo), co_await listener.accept());
      };
      co_await with_nursery([&](nursery& all) -> task<> {
        all.start([&]() -> task<> { co_await with_nursery(std::ref(serve)); });
        for (int i = 0; i < clients; ++i) all.start(std::ref(say), i, size);
        co_return;
      });
      // Who need not wait for room to write has given it back before the next one wants it.
      if (size == 1) {
        EXPECT_EQ(seen.size(), 1u);
      }
    }
  });
}

// What a short read has left empty need not be looked at again; what comes later is heard of, also
// if it came, or the peer went, before anybody waited.
TEST_P(borrowed_buffers, readable_after_a_short_read_misses_nothing) {
  go([&]() -> task<> {
    tcp_listener listener{endpoint{ip_address::loopback_v4(), 0}};
    tcp_stream a = co_await connect(listener.local_endpoint());
    tcp_stream b = co_await listener.accept();
    const borrowed_buffer space;
    for (int i = 0; i < 200; ++i) {
      co_await a.write_all(bytes_of("x"));
      co_await b.readable();
      const std::size_t n = co_await b.read_some(space.all());
      EXPECT_EQ(n, 1u);
      // Before the wait, in the same turn or a later one, or during it.
      auto later = [&]() -> task<> { co_await a.write_all(bytes_of("yz")); };
      co_await with_nursery([&](nursery& both) -> task<> {
        if (i % 4 == 0) co_await later();
        if (i % 4 == 1) {
          co_await later();
          co_await yield_now();
        }
        if (i % 4 == 2) both.start(std::ref(later));
        if (i % 4 == 3) {
          both.start([&]() -> task<> {
            for (int turn = 0; turn < 3; ++turn) co_await yield_now();
            co_await later();
          });
        }
        co_await b.readable();
        const std::size_t two = co_await b.read_some(space.all());
        EXPECT_EQ(two, 2u);
      });
    }
    co_await a.write_all(bytes_of("x"));
    co_await b.readable();
    const std::size_t last = co_await b.read_some(space.all());
    EXPECT_EQ(last, 1u);
    a.close();
    co_await b.readable();
    const std::size_t end = co_await b.read_some(space.all());
    EXPECT_EQ(end, 0u);
    co_await b.readable();  // a peer that has gone stays readable
  });
}

}  // namespace
}  // namespace oneloop::net
