#include "oneloop/protocol/basic.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <vector>

#include "oneloop/testing/string_transport.hpp"

namespace oneloop::inline v0 {
namespace {

using strings = std::vector<std::string>;

std::string text_of(std::span<const std::byte> b) {
  return {reinterpret_cast<const char*>(b.data()), b.size()};
}

struct lines : line_receiver {
  void line_received(std::string_view line) override {
    got.emplace_back(line);
    if (on_line) on_line(std::string{line});
  }
  void raw_data_received(bytes data) override {
    raw += text_of(data);
    if (on_raw) on_raw(data);
  }
  void line_length_exceeded(std::string_view begin) override {
    too_long = begin;
    if (tolerant) return;
    line_receiver::line_length_exceeded(begin);
  }
  std::function<void(std::string)> on_line;
  std::function<void(bytes)> on_raw;
  bool tolerant = false;
  strings got;
  std::string raw, too_long;
};

/// `all` in pieces of `size` bytes.
void feed(testing::string_transport& t, std::string_view all, std::size_t size) {
  for (; !all.empty(); all.remove_prefix(std::min(size, all.size()))) {
    t.receive(all.substr(0, size));
  }
}

TEST(LineReceiver, FindsLinesHoweverTheyAreCut) {
  for (std::size_t size = 1; size <= 12; ++size) {
    lines p;
    testing::string_transport t{p};
    feed(t, "one\r\n\r\nt\rw\no\r\n\r\r\nrest", size);
    EXPECT_EQ(p.got, (strings{"one", "", "t\rw\no", "\r"})) << size;
    EXPECT_EQ(p.clear_line_buffer(), "rest");
  }
}

TEST(LineReceiver, TakesAnyDelimiter) {
  for (const std::string d : {"\n", "::", "ababac"}) {
    for (std::size_t size = 1; size <= 8; ++size) {
      lines p;
      p.set_delimiter(d);
      testing::string_transport t{p};
      feed(t, "abab" + d + "x" + d + d, size);
      EXPECT_EQ(p.got, (strings{"abab", "x", ""})) << d << size;
      p.send_line("out");
      EXPECT_EQ(t.take(), "out" + d);
    }
  }
  lines p;
  EXPECT_THROW(p.set_delimiter(""), misuse);
}

TEST(LineReceiver, ALineMayBeAsLongAsAllowed) {
  for (const std::size_t size : {std::size_t{1}, std::size_t{100}}) {
    lines p;
    p.set_max_length(10);
    testing::string_transport t{p};
    feed(t, "0123456789\r\n0123456789A\r\nnever", size);
    EXPECT_EQ(p.got, (strings{"0123456789"}));
    EXPECT_TRUE(t.disconnecting());
    EXPECT_EQ(p.too_long.substr(0, 11), "0123456789A");
  }
}

TEST(LineReceiver, ALineThatIsTooLongIsNoticedBeforeItsEnd) {
  lines p;
  p.tolerant = true;
  p.set_max_length(10);
  testing::string_transport t{p};
  feed(t, "0123456789ABCDEF", 1);
  EXPECT_EQ(p.too_long, "0123456789AB");  // 10, and room for a delimiter
  EXPECT_FALSE(t.disconnecting());
  t.receive("\r\nnext\r\n");
  EXPECT_EQ(p.got, (strings{"CDEF", "next"}));
}

TEST(LineReceiver, ChangesItsModeInTheMiddleOfAChunk) {
  // A length, so many raw bytes, and so on: all of it in one chunk, or byte by byte.
  const std::string all = "3\r\nabc5\r\nde\r\nf0\r\n4\r\nlast";
  for (std::size_t size = 1; size <= all.size(); ++size) {
    lines p;
    std::size_t left = 0;
    p.on_line = [&](const std::string& l) {
      left = std::stoul(l);
      if (left != 0) p.set_raw_mode();
    };
    p.on_raw = [&](std::span<const std::byte> data) {
      if (data.size() < left) {
        left -= data.size();
        return;
      }
      p.raw.resize(p.raw.size() - (data.size() - left));
      p.set_line_mode(data.subspan(left));
    };
    testing::string_transport t{p};
    feed(t, all, size);
    EXPECT_EQ(p.got, (strings{"3", "5", "0", "4"})) << size;
    EXPECT_EQ(p.raw, "abcde\r\nflast") << size;
  }
}

TEST(LineReceiver, SetLineModeTakesAnyBytes) {
  lines p;
  p.set_raw_mode();
  p.on_raw = [&](std::span<const std::byte>) {
    const std::string other = "one\r\ntw";  // none of what came
    p.set_line_mode(std::as_bytes(std::span{other}));
    EXPECT_TRUE(p.got.empty());  // never from within
  };
  testing::string_transport t{p};
  t.receive("raw");
  EXPECT_EQ(p.got, (strings{"one"}));
  t.receive("o\r\n");
  EXPECT_EQ(p.got, (strings{"one", "two"}));
  p.set_line_mode(std::as_bytes(std::span{"three\r\n", 7}));  // from without
  EXPECT_EQ(p.got.back(), "three");
}

TEST(LineReceiver, NothingComesAfterLoseConnection) {
  lines p;
  testing::string_transport t{p};
  p.on_line = [&](const std::string& l) {
    if (l == "quit") p.transport().lose_connection();
  };
  t.receive("a\r\nquit\r\nb\r\nc\r\n");
  EXPECT_EQ(p.got, (strings{"a", "quit"}));
}

TEST(LineReceiver, PausesInTheMiddleOfAChunk) {
  lines p;
  testing::string_transport t{p};
  p.on_line = [&](const std::string&) { p.pause_producing(); };
  t.receive("a\r\nb\r\nc\r\nd");
  EXPECT_EQ(p.got, (strings{"a"}));
  EXPECT_TRUE(t.paused());
  p.resume_producing();
  EXPECT_EQ(p.got, (strings{"a", "b"}));
  p.on_line = nullptr;
  t.receive("\r\n");  // had been on its way
  EXPECT_EQ(p.got, (strings{"a", "b"}));
  p.resume_producing();
  EXPECT_FALSE(t.paused());
  EXPECT_EQ(p.got, (strings{"a", "b", "c", "d"}));
}

TEST(LineReceiver, ResumesFromWithin) {
  lines p;
  testing::string_transport t{p};
  p.on_line = [&](const std::string&) {
    p.pause_producing();
    p.resume_producing();
  };
  t.receive("a\r\nb\r\n");
  EXPECT_EQ(p.got, (strings{"a", "b"}));
}

TEST(LineReceiver, AnExceptionLeavesItUsable) {
  lines p;
  testing::string_transport t{p};
  p.on_line = [](const std::string&) { throw std::runtime_error{"no"}; };
  EXPECT_THROW(t.receive("a\r\n"), std::runtime_error);
  p.on_line = nullptr;
  t.receive("b\r\n");
  EXPECT_EQ(p.got, (strings{"a", "b"}));
}

TEST(LineReceiver, TakesLinearTime) {
  // Counted, not timed: a quadratic one would move 10^11 bytes here, and not end within minutes.
  struct counting : line_receiver {
    void line_received(std::string_view) override { ++count; }
    void raw_data_received(bytes data) override {
      ++count;
      set_line_mode(data.subspan(1));
    }
    std::size_t count = 0;
  };
  const std::size_t n = 500'000;
  counting many;
  testing::string_transport a{many};
  std::string chunk;
  for (std::size_t i = 0; i < n; ++i) chunk += "x\r\n";
  a.receive("half");  // so that the chunk is appended to something
  a.receive(chunk);
  EXPECT_EQ(many.count, n);

  counting single;
  single.set_max_length(n);
  testing::string_transport b{single};
  feed(b, std::string(n, 'x') + "\r\n", 1);
  EXPECT_EQ(single.count, 1U);

  struct alternating : counting {
    void line_received(std::string_view) override { set_raw_mode(); }
  } turns;
  testing::string_transport c{turns};
  std::string mixed;
  for (std::size_t i = 0; i < n; ++i) mixed += "\r\nx";
  c.receive(mixed);
  EXPECT_EQ(turns.count, n);
}

struct netstrings : netstring_receiver {
  void string_received(std::string_view s) override { got.emplace_back(s); }
  void broken(std::string_view w) override {
    why = w;
    netstring_receiver::broken(w);
  }
  strings got;
  std::string why;
};

TEST(NetstringReceiver, TakesWhatItSends) {
  netstrings p;
  testing::string_transport t{p};
  const strings sent{"hello", "", "a,b:c", std::string(3000, 'x'), std::string("\0\n", 2)};
  for (const auto& s : sent) p.send_string(s);
  const std::string wire = t.take();
  EXPECT_EQ(wire.substr(0, 11), "5:hello,0:,");
  for (const std::size_t size : {std::size_t{1}, std::size_t{2}, std::size_t{7}, wire.size()}) {
    p.got.clear();
    feed(t, wire, size);
    EXPECT_EQ(p.got, sent) << size;
  }
  EXPECT_FALSE(t.disconnecting());
}

TEST(NetstringReceiver, RefusesWhatIsNone) {
  for (const std::string wire : {"hello", ":x,", "05:hello,", "5:hello;", "5hello,",
                                 "100001:", "99999999999999999999999:", "-1:x,", "1,x,", "00:,"}) {
    for (const std::size_t size : {std::size_t{1}, wire.size()}) {
      netstrings p;
      testing::string_transport t{p};
      feed(t, "1:a," + wire, size);
      EXPECT_TRUE(t.disconnecting()) << wire;
      EXPECT_EQ(p.got, (strings{"a"})) << wire;
      EXPECT_FALSE(p.why.empty());
    }
  }
}

template <class Receiver>
struct counted : Receiver {
  void string_received(std::string_view s) override { got.emplace_back(s); }
  strings got;
};

template <class Receiver>
void round_trip(const std::string& header) {
  counted<Receiver> p;
  testing::string_transport t{p};
  const strings sent{"ab", "", std::string(200, 'x')};
  for (const auto& s : sent) p.send_string(s);
  const std::string wire = t.take();
  EXPECT_EQ(wire.substr(0, header.size()), header);
  for (const std::size_t size : {std::size_t{1}, std::size_t{3}, wire.size()}) {
    p.got.clear();
    feed(t, wire, size);
    EXPECT_EQ(p.got, sent);
  }
}

TEST(IntStringReceiver, TakesWhatItSends) {
  round_trip<int8_string_receiver>(std::string("\2ab", 3));
  round_trip<int16_string_receiver>(std::string("\0\2ab", 4));
  round_trip<int32_string_receiver>(std::string("\0\0\0\2ab", 6));
}

TEST(IntStringReceiver, KeepsItsLimits) {
  counted<int32_string_receiver> p;
  p.set_max_length(3);
  testing::string_transport t{p};
  t.receive(std::string_view("\0\0\0\3abc\0\0\0\4", 11));
  EXPECT_EQ(p.got, (strings{"abc"}));
  EXPECT_TRUE(t.disconnecting());

  counted<int8_string_receiver> q;
  testing::string_transport u{q};
  q.send_string(std::string(255, 'x'));
  EXPECT_THROW(q.send_string(std::string(256, 'x')), error);
}

TEST(LineReceiver, ForgetsWhereItHasLookedWhenItIsCleared) {
  lines p;
  testing::string_transport t{p};
  t.receive("abc");
  EXPECT_EQ(p.clear_line_buffer(), "abc");
  t.receive("\r\nd\r\n");
  EXPECT_EQ(p.got, (strings{"", "d"}));
}

}  // namespace
}  // namespace oneloop::inline v0
