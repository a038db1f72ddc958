#include "oneloop/net/buffered.hpp"

#include "oneloop/net/simulation_test.hpp"
#include "oneloop/net/unix.hpp"

namespace oneloop::net {
namespace {

using namespace test;

class buffered : public on_backends_and_simulation {};
ON_BACKENDS_AND_SIMULATION(buffered);

/// Sends the parts, with a pause between them, then ends the stream.
task<> drip(unix_stream& s, std::vector<std::string> parts) {
  for (const auto& p : parts) {
    (void)co_await s.write_all(bytes_of(p));
    co_await sleep_for(2ms);
  }
  co_await s.shutdown_write();
}

TEST_P(buffered, lines_come_without_their_ends_however_they_arrive) {
  go([]() -> task<> {
    auto both = unix_stream::pair();
    buffered_reader in{both.first};
    co_await with_nursery([&](nursery& n) -> task<> {
      std::vector<std::string> parts{"one\r", "\ntwo\n\n", "th", "ree\r\r\n", "last\r"};
      n.start(drip, std::ref(both.second), std::move(parts));
      for (const char* expected : {"one", "two", "", "three\r", "last\r"}) {
        const auto line = co_await in.read_line();
        EXPECT_EQ(line.value_or("(end)"), expected);
      }
      const auto end = co_await in.read_line();
      EXPECT_FALSE(end);
    });
  });
}

TEST_P(buffered, read_exactly_waits_for_all_and_leaves_the_rest) {
  go([]() -> task<> {
    auto both = unix_stream::pair();
    buffered_reader in{std::move(both.first)};
    co_await with_nursery([&](nursery& n) -> task<> {
      std::vector<std::string> parts{"ab", "cd", "efgh"};
      n.start(drip, std::ref(both.second), std::move(parts));
      const auto head = co_await in.read_exactly(5);
      EXPECT_EQ(head, "abcde");
      std::array<std::byte, 2> two;
      co_await in.read_exactly(two);
      EXPECT_EQ(text_of(two), "fg");
      const auto none = co_await in.read_exactly(0);
      EXPECT_EQ(none, "");
      const auto rest = co_await read_text(in);
      EXPECT_EQ(rest, "h");
      const auto end = co_await read_text(in);
      EXPECT_EQ(end, "");
    });
  });
}

TEST_P(buffered, end_before_the_promised_bytes_tells_got_and_wanted_and_keeps_them) {
  go([]() -> task<> {
    auto both = unix_stream::pair();
    buffered_reader in{both.first};
    (void)co_await both.second.write_all(bytes_of("abc"));
    both.second.close();
    try {
      (void)co_await in.read_exactly(10);
      ADD_FAILURE();
    } catch (const end_of_stream& e) {
      EXPECT_EQ(e.got(), 3U);
      EXPECT_EQ(e.wanted(), 10U);
      EXPECT_STREQ(e.what(), "read_exactly unix socket: end of stream after 3 of 10 bytes");
    }
    EXPECT_EQ(text_of(in.buffered()), "abc");
    const auto code = co_await code_of(in.read_until("\n"));
    EXPECT_EQ(code, make_error_code(errc::end_of_stream));
    const auto line = co_await in.read_line();
    EXPECT_EQ(line.value_or("(end)"), "abc");
  });
}

TEST_P(buffered, read_until_finds_a_delimiter_that_is_split_over_reads) {
  go([]() -> task<> {
    auto both = unix_stream::pair();
    buffered_reader in{both.first};
    co_await with_nursery([&](nursery& n) -> task<> {
      std::vector<std::string> parts{"A: b\r", "\n\r", "\nbody"};
      n.start(drip, std::ref(both.second), std::move(parts));
      const auto head = co_await in.read_until("\r\n\r\n");
      EXPECT_EQ(head, "A: b\r\n\r\n");
      const auto body = co_await in.read_exactly(4);
      EXPECT_EQ(body, "body");
    });
  });
}

TEST_P(buffered, limit_counts_the_delimiter_and_keeps_the_data) {
  go([]() -> task<> {
    auto both = unix_stream::pair();
    buffered_reader in{both.first};
    (void)co_await both.second.write_all(bytes_of("abcdef\n"));
    const auto code = co_await code_of(in.read_line(6));
    EXPECT_EQ(code, make_error_code(errc::limit_exceeded));
    const auto text = co_await message_of(in.read_until("\n", 3));
    EXPECT_EQ(text, "read_until unix socket: limit exceeded");
    EXPECT_EQ(text_of(in.buffered()), "abcdef\n");
    const auto line = co_await in.read_line(7);
    EXPECT_EQ(line.value_or("(end)"), "abcdef");
    const auto misused = co_await code_of(in.read_until(""));
    EXPECT_EQ(misused, make_error_code(errc::misuse));
  });
}

TEST_P(buffered, cancelled_reads_lose_nothing) {
  go([]() -> task<> {
    auto both = unix_stream::pair();
    buffered_reader in{both.first};
    (void)co_await both.second.write_all(bytes_of("abc"));
    const auto exactly = co_await move_on_after(5ms, in.read_exactly(6));
    EXPECT_FALSE(exactly);
    const auto line = co_await move_on_after(5ms, in.read_line());
    EXPECT_FALSE(line);
    const auto at_once = co_await move_on_after(0s, in.read_line());
    EXPECT_FALSE(at_once);
    const auto late = co_await code_of(fail_after(5ms, in.read_until("\n")));
    EXPECT_EQ(late, make_error_code(errc::timed_out));
    (void)co_await both.second.write_all(bytes_of("def\n"));
    const auto all = co_await in.read_line();
    EXPECT_EQ(all.value_or("(end)"), "abcdef");
  });
}

TEST_P(buffered, large_reads_pass_by_the_buffer_and_big_buffers_are_given_back) {
  go([]() -> task<> {
    auto both = unix_stream::pair();
    buffered_reader<any_stream> in{any_stream{std::move(both.first)}};
    const std::string much(3'000'000, 'x');
    co_await with_nursery([&](nursery& n) -> task<> {
      std::vector<std::string> parts{much, much};
      n.start(drip, std::ref(both.second), std::move(parts));
      const auto first = co_await in.read_exactly(much.size());
      EXPECT_TRUE(first == much);
      const auto second = co_await read_all(in);
      EXPECT_TRUE(second == much);
    });
  });
}

TEST(read_buffer, keeps_order_through_growth_and_wrapping) {
  read_buffer b;
  std::string in, out;
  for (int i = 0; i < 2000; ++i) {
    const std::string piece(static_cast<std::size_t>(i % 97), static_cast<char>('a' + i % 26));
    in += piece;
    b.append(bytes_of(piece));
    out += b.take_text(static_cast<std::size_t>(i % 89));
  }
  out += b.take_text(b.size());
  EXPECT_EQ(in, out);
  b.consume(1);
  EXPECT_TRUE(b.empty());
}

}  // namespace
}  // namespace oneloop::net
