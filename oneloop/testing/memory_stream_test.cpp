#include "oneloop/testing/memory_stream.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "oneloop/channel/select.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/http/server.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/net/buffered.hpp"
#include "oneloop/scope/gather.hpp"
#include "oneloop/sync/event.hpp"

namespace oneloop::inline v0::testing {
namespace {

using namespace std::chrono_literals;
using net::bytes_of;
using ::testing::HasSubstr;

static_assert(net::byte_stream<memory_stream>);
static_assert(net::byte_stream<hooked_stream<memory_stream>>);
static_assert(retractable<detail::memory_pipe::read_operation>);
static_assert(!retractable<detail::memory_pipe::write_operation>);

template <class Stream>
std::string read_text(Stream& s, std::size_t most = 1000) {
  std::string text(most, 0);
  const std::size_t n = await(s.read_some(std::as_writable_bytes(std::span{text})));
  return text.substr(0, n);
}

template <class F>
std::string error_of(F f) {
  try {
    f();
  } catch (const error& e) {
    return e.what();
  }
  return "none";
}

TEST(memory_stream, carries_bytes_both_ways_without_a_loop) {
  auto [a, b] = memory_stream_pair();
  EXPECT_EQ(await(a.write_all(bytes_of("hello"))), 5u);
  EXPECT_EQ(read_text(b, 3), "hel");
  EXPECT_EQ(read_text(b, 3), "lo");
  await(b.write_all(bytes_of("back")));
  await(b.shutdown_write());
  EXPECT_EQ(read_text(a), "back");
  EXPECT_EQ(read_text(a), "");
}

TEST(memory_stream, connects_a_thread_with_a_loop) {
  auto [a, b] = memory_stream_pair(memory_options{}.capacity(7));
  std::string sent, got;
  for (int i = 0; i < 5000; ++i) sent += static_cast<char>('a' + i % 26);
  std::thread writer{[&a = a, &sent] {
    await(a.write_all(bytes_of(sent)));
    await(a.shutdown_write());
  }};
  run([&b = b, &got]() -> task<> {
    char text[11];
    for (;;) {
      const auto n = co_await b.read_some(std::as_writable_bytes(std::span{text}));
      if (n == 0) break;
      got.append(text, n);
    }
  });
  writer.join();
  EXPECT_EQ(got, sent);
}

TEST(memory_stream, a_write_waits_while_the_capacity_is_under_way) {
  auto [a, b] = memory_stream_pair(memory_options{}.capacity(4));
  run([&a = a, &b = b] {
    with_nursery([&](nursery& n) {
      bool done = false;
      n.start([&] {
        EXPECT_EQ(await(a.write_all(bytes_of("0123456789"))), 10u);
        done = true;
      });
      await(yield_now());
      EXPECT_EQ(b.statistics().arrived, 4u);
      EXPECT_TRUE(b.statistics().peer_writing);
      EXPECT_EQ(read_text(b), "0123");
      EXPECT_EQ(read_text(b, 1), "4");
      await(yield_now());
      EXPECT_FALSE(done);
      EXPECT_EQ(read_text(b), "5678");
      await(yield_now());
      EXPECT_TRUE(done);
      EXPECT_EQ(read_text(b), "9");
    });
  });
}

TEST(memory_stream, in_lockstep_a_write_ends_when_all_of_it_was_read) {
  auto [a, b] = lockstep_stream_pair();
  run([&a = a, &b = b] {
    with_nursery([&](nursery& n) {
      bool done = false;
      n.start([&] {
        await(a.write_all(bytes_of("abc")));
        done = true;
      });
      await(yield_now());
      EXPECT_EQ(read_text(b, 2), "ab");
      await(yield_now());
      EXPECT_FALSE(done);
      EXPECT_EQ(read_text(b, 2), "c");
      await(yield_now());
      EXPECT_TRUE(done);
    });
  });
}

TEST(memory_stream, by_hand_bytes_and_the_end_arrive_when_they_are_pumped) {
  auto [a, b] = memory_stream_pair(memory_options{}.by_hand());
  EXPECT_FALSE(a.pump());
  await(a.write_all(bytes_of("hello")));
  await(a.shutdown_write());
  EXPECT_EQ(b.try_read_some({}), 0u);
  std::byte one[1];
  EXPECT_FALSE(b.try_read_some(one));
  EXPECT_TRUE(b.quiet());
  EXPECT_EQ(b.statistics().under_way, 5u);
  EXPECT_TRUE(a.pump(2));
  EXPECT_FALSE(b.quiet());
  EXPECT_EQ(read_text(b), "he");
  EXPECT_TRUE(a.pump(3));
  EXPECT_EQ(read_text(b), "llo");
  EXPECT_EQ(read_text(b), "") << "the end came with the last byte";
  EXPECT_FALSE(a.pump());
}

TEST(memory_stream, pumping_wakes_the_reader_and_makes_room_for_the_writer) {
  auto [a, b] = memory_stream_pair(memory_options{}.capacity(3).by_hand());
  run([&a = a, &b = b] {
    with_nursery([&](nursery& n) {
      std::string got;
      bool written = false;
      n.start([&] { got = read_text(b); });
      n.start([&] {
        await(a.write_all(bytes_of("hello")));
        written = true;
      });
      await(yield_now());
      EXPECT_EQ(got, "");
      a.pump(1);
      await(yield_now());
      EXPECT_EQ(got, "h");
      a.pump();
      EXPECT_EQ(read_text(b), "ell");
      await(yield_now());
      EXPECT_TRUE(written);
      a.close();
      EXPECT_TRUE(b.quiet()) << "that is under way too";
      a.pump();
      EXPECT_EQ(read_text(b), "o");
      EXPECT_EQ(read_text(b), "");
    });
  });
}

TEST(memory_stream, what_cannot_be_pumped_is_refused) {
  EXPECT_THROW((void)memory_stream_pair(memory_options{}.by_hand().capacity(0)), misuse);
}

TEST(memory_stream, a_peer_that_has_closed_lets_its_bytes_be_read_and_takes_none) {
  auto [a, b] = memory_stream_pair();
  await(a.write_all(bytes_of("last words")));
  a.close();
  EXPECT_EQ(error_of([&b = b] { await(b.write_all(bytes_of("x"))); }),
            "write memory stream b: Broken pipe");
  EXPECT_EQ(read_text(b), "last words");
  EXPECT_EQ(read_text(b), "");
  EXPECT_EQ(error_of([&a = a] { read_text(a); }), "read memory stream a: closed");
}

TEST(memory_stream, a_reset_throws_away_what_was_under_way) {
  auto [a, b] = memory_stream_pair();
  await(a.write_all(bytes_of("lost")));
  a.reset();
  EXPECT_EQ(error_of([&b = b] { read_text(b); }), "read memory stream b: Connection reset by peer");
  EXPECT_EQ(error_of([&b = b] { await(b.write_all(bytes_of("x"))); }),
            "write memory stream b: Connection reset by peer");
}

TEST(memory_stream, the_end_of_one_end_ends_what_waits_at_the_other) {
  run([] {
    auto [a, b] = memory_stream_pair(memory_options{}.capacity(2));
    with_nursery([&a = a, &b = b](nursery& n) {
      n.start([&] { EXPECT_EQ(read_text(a), ""); });
      n.start([&] {
        EXPECT_EQ(error_of([&] { await(a.write_all(bytes_of("hello"))); }),
                  "write memory stream a: Broken pipe");
      });
      await(yield_now());
      memory_stream gone = std::move(b);
    });
  });
}

TEST(memory_stream, two_readers_or_two_writers_at_a_time_are_misuse) {
  auto [a, b] = lockstep_stream_pair();
  run([&a = a, &b = b] {
    with_nursery([&](nursery& n) {
      n.start([&] { read_text(a); });
      n.start([&] { await(a.write_all(bytes_of("x"))); });
      await(yield_now());
      EXPECT_EQ(error_of([&] { read_text(a); }),
                "read memory stream a: another read has not ended");
      EXPECT_EQ(error_of([&] { await(a.write_all(bytes_of("y"))); }),
                "write memory stream a: another write has not ended");
      EXPECT_EQ(error_of([&] { await(a.shutdown_write()); }),
                "shutdown memory stream a: a write has not ended");
      n.cancel();
    });
    EXPECT_FALSE(b.statistics().peer_writing) << "it was taken back";
  });
}

TEST(memory_stream, an_end_without_a_peer_is_of_no_use) {
  memory_stream none;
  EXPECT_THROW((void)none.write_all({}), misuse);
  EXPECT_FALSE(none.quiet());
  none.close();
  auto [a, b] = memory_stream_pair();
  a = std::move(b);  // closes what a was
  EXPECT_EQ(read_text(a), "");
}

TEST(memory_stream, a_read_that_loses_a_select_takes_nothing) {
  auto [a, b] = lockstep_stream_pair();
  event stop;
  run([&a = a, &b = b, &stop]() -> task<> {
    std::byte to[4];
    stop.set();
    auto both = select(b.read_some(to), stop.wait());
    const auto lost = co_await both;
    EXPECT_EQ(lost.index(), 1u);
    stop.reset();
    auto writing = a.write_all(bytes_of("ab"));
    auto again = gather(std::move(writing), select(stop.wait(), b.read_some(to)));
    const auto won = co_await std::move(again);
    EXPECT_EQ(std::get<1>(won).index(), 1u);
  });
}

// ---- hooks ----

TEST(hooked_stream, calls_its_hooks_around_what_is_done) {
  auto [a, b] = memory_stream_pair(memory_options{}.by_hand());
  hooked_stream h{std::move(a)};
  std::string calls;
  h.before_read([&] { calls += "r"; });
  h.before_write([&] { calls += "w"; });
  h.after_write([&] {
    calls += "p";
    h.stream().pump();
  });
  h.on_close([&] { calls += "c"; });
  run([&h, &b = b] {
    await(h.write_all(bytes_of("now")));
    EXPECT_EQ(read_text(b), "now");
    await(b.write_all(bytes_of("x")));
    b.pump();
    EXPECT_EQ(read_text(h), "x");
    await(h.shutdown_write());
    EXPECT_EQ(read_text(b), "");
    h.close();
  });
  EXPECT_EQ(calls, "wprwpc");
}

TEST(hooked_stream, hooks_may_wait_and_may_fail) {
  auto [a, b] = memory_stream_pair();
  hooked_stream slow{std::move(a)};
  hooked_stream broken{std::move(b)};
  slow.before_write([]() -> task<> { co_await sleep_for(1h); });
  int reads = 0;
  broken.before_read([&] {
    if (++reads == 2) throw error{"read", "it", system_code(EIO)};
  });
  loop l{"virtual"};
  const auto start = l.now();
  run(l, [&] {
    await(slow.write_all(bytes_of("a")));
    EXPECT_EQ(read_text(broken), "a");
    EXPECT_EQ(error_of([&] { read_text(broken); }), "read it: Input/output error");
    await(slow.write_all(bytes_of("b")));
    EXPECT_EQ(read_text(broken), "b");
  });
  EXPECT_EQ(l.now() - start, 2h);
}

TEST(memory_stream, serves_http_without_a_network) {
  auto [client, served] = memory_stream_pair(memory_options{}.capacity(10));
  loop l{"virtual"};
  std::string answer;
  run(l, [&client = client, &served = served, &answer]() -> task<> {
    http::server s{[](http::server_request& r) -> task<http::server_response> {
      co_return http::server_response{}.body("you asked for " + std::string{r.path()},
                                             "text/plain");
    }};
    auto talk = [](memory_stream& c, std::string& out) -> task<> {
      co_await c.write_all(bytes_of("GET /it HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"));
      net::buffered_reader<memory_stream&> in{c};
      for (;;) {
        auto line = co_await in.read_line();
        if (!line) break;
        out = std::move(*line);
      }
    };
    auto both = gather(s.serve_stream(net::any_stream{std::move(served)}), talk(client, answer));
    co_await std::move(both);
  });
  EXPECT_EQ(answer, "you asked for /it");
}

}  // namespace
}  // namespace oneloop::inline v0::testing
