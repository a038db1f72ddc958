// The numbers in the names are those of the framing rules that a serious client must get right:
// 1 length algorithm, 2 both lengths, 3 Content-Length, 4 chunked, 5 early end, 6 interim
// responses, 7 the header block, 8 single fields.
#include "oneloop/http/codec.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "oneloop/base/error.hpp"

namespace {

using namespace oneloop::http;
using oneloop::errc;

std::span<const std::byte> bytes(std::string_view s) { return std::as_bytes(std::span{s}); }

/// All that a parser said about an input, as text.
struct account {
  std::string log;  // "head 200 OK|body 5|complete|"
  std::string body;
  std::string error;
  std::error_code code;
  bool keep_alive = false;
  std::size_t left = 0;
};

/// Feeds `input` in pieces of `piece` bytes and, if `close`, the end; stops at the end of a
/// message.
account read_response(std::string_view input, std::string_view method = "GET", bool close = false,
                      std::size_t piece = std::string_view::npos, codec_limits limits = {},
                      bool upgrade = false) {
  account a;
  response_parser p{limits};
  p.expect(method, upgrade);
  try {
    bool over = false;
    while (!over) {
      const std::string_view part = input.substr(0, piece);
      std::size_t used = 0;
      while (!over) {
        const parse_step s = p.feed(bytes(part.substr(used)));
        used += s.consumed;
        if (!s) break;
        switch (s.event) {
          case parse_event::interim:
            a.log += "interim " + std::to_string(p.head().status) + "|";
            break;
          case parse_event::head:
            a.log += "head " + std::to_string(p.head().status) + " " + p.head().reason + "|";
            break;
          case parse_event::body:
            a.body.append(reinterpret_cast<const char*>(s.body.data()), s.body.size());
            break;
          default:
            a.log += s.event == parse_event::upgrade ? "upgrade|" : "complete|";
            a.keep_alive = p.keep_alive();
            over = true;
        }
      }
      input.remove_prefix(used);
      if (input.empty()) break;
    }
    if (!over && close && p.finish() == parse_event::complete) {
      a.log += "closed|";
      a.keep_alive = p.keep_alive();
    }
  } catch (const oneloop::error& e) {
    a.error = e.what();
    a.code = e.code();
  }
  a.left = input.size();
  return a;
}

/// As above, after making sure that it does not matter how the input is cut.
account response(std::string_view input, std::string_view method = "GET", bool close = false,
                 codec_limits limits = {}, bool upgrade = false) {
  const account whole =
      read_response(input, method, close, std::string_view::npos, limits, upgrade);
  for (std::size_t piece : {1UL, 2UL, 3UL, 7UL}) {
    const account cut = read_response(input, method, close, piece, limits, upgrade);
    EXPECT_EQ(cut.log, whole.log) << "in pieces of " << piece;
    EXPECT_EQ(cut.body, whole.body);
    EXPECT_EQ(cut.code, whole.code) << cut.error << " / " << whole.error;
    EXPECT_EQ(cut.keep_alive, whole.keep_alive);
    if (whole.error.empty()) {
      EXPECT_EQ(cut.left, whole.left);
    }
  }
  return whole;
}

void refused(std::string_view input, std::string_view why, errc code = errc::protocol) {
  const account a = response(input, "GET", true);
  EXPECT_EQ(a.code, code) << a.log << a.error;
  EXPECT_NE(a.error.find(why), std::string::npos) << a.error;
  EXPECT_TRUE(a.error.starts_with("http response: ")) << a.error;
}

TEST(response_test, simple) {
  const account a = response("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  EXPECT_EQ(a.log, "head 200 OK|complete|") << a.error;
  EXPECT_EQ(a.body, "hello");
  EXPECT_TRUE(a.keep_alive);
}

TEST(response_test, fields_as_they_came) {
  response_parser p;
  p.expect("GET");
  EXPECT_FALSE(p.started());
  EXPECT_FALSE(p.feed(bytes("HTTP/1.1 200 Fine, thanks\r\nServer:  x \r\nSet-Coo")));
  EXPECT_TRUE(p.started());
  EXPECT_EQ(p.feed(bytes("kie: a\r\nset-cookie: b\r\nEmpty:\r\nContent-Length: 0\r\n\r\n")).event,
            parse_event::head);
  EXPECT_EQ(p.head().reason, "Fine, thanks");
  EXPECT_EQ(p.head().minor_version, 1);
  EXPECT_EQ(p.head().fields.get("server"), "x");
  EXPECT_EQ(p.head().fields.joined("Set-Cookie"), "a, b");
  EXPECT_EQ(p.head().fields.get("empty"), "");
  EXPECT_EQ(p.framing(), body_framing::none);
  EXPECT_EQ(p.content_length(), 0U);
  EXPECT_EQ(p.feed({}).event, parse_event::complete);
}

TEST(response_test, one_after_the_other_on_a_connection) {
  response_parser p;
  for (int i = 0; i < 3; ++i) {
    p.expect("GET");
    std::string_view in =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n";
    std::string body;
    bool complete = false;
    while (auto s = p.feed(bytes(in))) {
      in.remove_prefix(s.consumed);
      if (s.event == parse_event::body) body += static_cast<char>(s.body[0]);
      complete = s.event == parse_event::complete;
      if (complete) break;
    }
    EXPECT_TRUE(complete);
    EXPECT_EQ(body, "a");
    EXPECT_TRUE(in.empty());
    EXPECT_TRUE(p.keep_alive());
    EXPECT_EQ(p.body_size(), 1U);
  }
}

TEST(response_test, bytes_that_nobody_asked_for_are_an_error) {
  response_parser p;
  EXPECT_THROW(p.feed(bytes("HTTP/1.1 408 Timeout\r\n")), oneloop::error);
  EXPECT_THROW(p.expect("GET"), oneloop::error);
  EXPECT_EQ(read_response("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nxyz").left, 3U)
      << "what follows the message is the caller's to judge";
}

TEST(response_test, p01_no_body_whatever_the_fields_say) {
  for (const char* status : {"204", "304"}) {
    const account a =
        response("HTTP/1.1 " + std::string{status} + " X\r\nContent-Length: 10\r\n\r\n");
    EXPECT_EQ(a.log, "head " + std::string{status} + " X|complete|") << a.error;
    EXPECT_TRUE(a.keep_alive);
  }
  EXPECT_EQ(response("HTTP/1.1 304 X\r\nTransfer-Encoding: chunked\r\n\r\n").log,
            "head 304 X|complete|");
  const account head = response("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", "HEAD");
  EXPECT_EQ(head.log, "head 200 OK|complete|");
  EXPECT_TRUE(head.keep_alive);
  EXPECT_EQ(response("HTTP/1.1 200 OK\r\n\r\n", "HEAD").log, "head 200 OK|complete|");
  EXPECT_TRUE(response("HTTP/1.1 200 OK\r\n\r\n", "HEAD").keep_alive);
  EXPECT_EQ(response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HEAD").log,
            "head 200 OK|complete|");
}

TEST(response_test, p01_head_tells_the_length_that_get_would_have) {
  response_parser p;
  p.expect("HEAD");
  EXPECT_EQ(p.feed(bytes("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")).event,
            parse_event::head);
  EXPECT_EQ(p.content_length(), 10U);
  EXPECT_EQ(p.framing(), body_framing::none);
}

TEST(response_test, p01_connect_becomes_a_tunnel_on_success_only) {
  const account a =
      response("HTTP/1.1 200 Connected\r\nContent-Length: 10\r\n\r\nSSH-2.0", "CONNECT");
  EXPECT_EQ(a.log, "head 200 Connected|upgrade|");
  EXPECT_EQ(a.left, 7U);
  EXPECT_EQ(response("HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno", "CONNECT").log,
            "head 407 No|complete|");
}

TEST(response_test, p01_unknown_last_coding_reads_until_close) {
  const account a = response(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 2\r\n\r\nabcdef", "GET", true);
  EXPECT_EQ(a.log, "head 200 OK|closed|") << a.error;
  EXPECT_EQ(a.body, "abcdef");
  EXPECT_FALSE(a.keep_alive);
}

TEST(response_test, p01_without_any_length_reads_until_close) {
  const account a = response("HTTP/1.1 200 OK\r\n\r\nabc", "GET", true);
  EXPECT_EQ(a.log, "head 200 OK|closed|");
  EXPECT_EQ(a.body, "abc");
  EXPECT_FALSE(a.keep_alive);
  EXPECT_EQ(response("HTTP/1.0 200 OK\r\n\r\n", "GET", true).log, "head 200 OK|closed|");
}

TEST(response_test, p02_both_lengths_chunked_wins_and_the_connection_is_not_reused) {
  const account a = response(
      "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: "
      "chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
  EXPECT_EQ(a.log, "head 200 OK|complete|") << a.error;
  EXPECT_EQ(a.body, "hello");
  EXPECT_FALSE(a.keep_alive);
  EXPECT_FALSE(
      response("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n"
               "\r\n0\r\n\r\n")
          .keep_alive);
}

TEST(response_test, p03_equal_lengths_are_one_different_ones_an_error) {
  for (const char* same : {"Content-Length: 2\r\nContent-Length: 2\r\n", "Content-Length: 2, 2\r\n",
                           "Content-Length: 2\r\nContent-Length: 02,2\r\n"}) {
    const account a = response("HTTP/1.1 200 OK\r\n" + std::string{same} + "\r\nab");
    EXPECT_EQ(a.body, "ab") << same << a.error;
    EXPECT_TRUE(a.keep_alive);
  }
  refused("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc", "two different");
  refused("HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nabc", "two different");
}

TEST(response_test, p03_junk_lengths_are_an_error) {
  for (const char* junk : {"+2", "-2", "2x", "0x2", "", "2,", "1e3", "2 2", "18446744073709551616",
                           "99999999999999999999999"}) {
    refused("HTTP/1.1 200 OK\r\nContent-Length: " + std::string{junk} + "\r\n\r\nab",
            "Content-Length");
  }
}

TEST(response_test, p04_chunked) {
  const account a = response(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
      "5;name=value;q=\"a b\"\r\nhello\r\n00001\r\n,\r\nA  \r\n0123456789\r\n1 ; "
      "x\r\n!\r\n0\r\n\r\n");
  EXPECT_EQ(a.log, "head 200 OK|complete|") << a.error;
  EXPECT_EQ(a.body, "hello,0123456789!");
  EXPECT_TRUE(a.keep_alive);
}

TEST(response_test, p04_trailers_are_kept_apart) {
  response_parser p;
  p.expect("GET");
  std::string_view in =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: head\r\n\r\n1\r\na\r\n0\r\nX: "
      "trailer\r\nY: "
      "z\r\n\r\n";
  bool complete = false;
  while (!in.empty() && !complete) {  // one byte at a time
    auto s = p.feed(bytes(in.substr(0, 1)));
    in.remove_prefix(s.consumed);
    while (s) {
      complete = s.event == parse_event::complete;
      if (complete) break;
      s = p.feed({});
    }
  }
  EXPECT_TRUE(complete);
  EXPECT_EQ(p.trailers().get("x"), "trailer");
  EXPECT_EQ(p.trailers().get("y"), "z");
  EXPECT_EQ(p.head().fields.joined("X"), "head");
}

TEST(response_test, p04_broken_chunks_are_an_error) {
  const std::string head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const char* bad :
       {"x\r\n", "-1\r\na", "0x1\r\na\r\n", "5\r\nhelloX\r\n0\r\n\r\n", "ffffffffffffffff1\r\na",
        "\r\n", " 1\r\na\r\n0\r\n\r\n", ";x\r\n", "1\r;\r\na", "+1\r\na\r\n", "5\r\nhelloworld",
        "0\r\nno colon\r\n\r\n", "0\r\nA : b\r\n\r\n", "0\r\n A: b\r\n\r\n"}) {
    const account a = response(head + bad, "GET", true);
    EXPECT_EQ(a.code, errc::protocol) << bad << ": " << a.log << a.error;
  }
}

TEST(response_test, p04_several_codings) {
  const std::string tail = "\r\n1\r\na\r\n0\r\n\r\n";
  EXPECT_EQ(
      response("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n" +
               tail)
          .body,
      "a");
  EXPECT_EQ(response("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip , chunked\r\n" + tail).body, "a");
  refused("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n" + tail,
          "after \"chunked\"");
  refused("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n" + tail, "after \"chunked\"");
  refused("HTTP/1.1 200 OK\r\nTransfer-Encoding: \r\n" + tail, "empty Transfer-Encoding");
}

TEST(response_test, p05_early_end_is_never_a_complete_message) {
  const account a = response("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "GET", true);
  EXPECT_EQ(a.code, errc::end_of_stream);
  EXPECT_EQ(a.error, "http response: end of stream after 3 of 10 bytes");
  EXPECT_EQ(a.body, "abc");
  refused("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello",
          "inside a chunked body", errc::end_of_stream);
  refused("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", "chunked",
          errc::end_of_stream);
  refused("HTTP/1.1 200 OK\r\nContent-", "inside the head", errc::end_of_stream);
  refused("", "before the first byte", errc::end_of_stream);
}

TEST(response_test, p06_any_number_of_interim_responses_comes_before_the_final_one) {
  const account a = response(
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\nContent-Length: "
      "4\r\n\r\nHTTP/1.1 100\r\n\r\nHTTP/1.1 199 Odd\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: "
      "1\r\n\r\na");
  EXPECT_EQ(a.log, "interim 100|interim 103|interim 100|interim 199|head 200 OK|complete|")
      << a.error;
  EXPECT_EQ(a.body, "a");
  EXPECT_TRUE(a.keep_alive);
}

TEST(response_test, p06_fields_of_an_interim_response_do_not_count) {
  const account a = response(
      "HTTP/1.1 103 Early Hints\r\nContent-Length: 4\r\nConnection: close\r\n\r\n"
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
  EXPECT_EQ(a.log, "interim 103|head 200 OK|complete|") << a.error;
  EXPECT_TRUE(a.keep_alive);
}

TEST(response_test, p06_the_head_of_an_interim_response_can_be_read) {
  response_parser p;
  p.expect("GET");
  std::string_view in =
      "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 None\r\nX: y\r\n\r\n";
  const parse_step hints = p.feed(bytes(in));
  ASSERT_EQ(hints.event, parse_event::interim);
  EXPECT_EQ(p.head().status, 103);
  EXPECT_EQ(p.head().fields.get("Link"), "</a>");
  in.remove_prefix(hints.consumed);
  EXPECT_EQ(p.feed(bytes(in)).event, parse_event::head);
  EXPECT_EQ(p.head().status, 204);
  EXPECT_FALSE(p.head().fields.contains("Link"));
  EXPECT_EQ(p.head().fields.get("X"), "y");
}

TEST(response_test, p06_end_after_an_interim_response_is_an_error) {
  refused("HTTP/1.1 103 Early Hints\r\n\r\n", "after an interim response", errc::end_of_stream);
}

TEST(response_test, p06_switching_protocols_only_if_asked) {
  refused("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "nobody asked");
  const account a =
      response("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nxx", "GET", false, {}, true);
  EXPECT_EQ(a.log, "head 101 Switching Protocols|upgrade|") << a.error;
  EXPECT_EQ(a.left, 2U);
}

TEST(response_test, p06_interim_responses_are_bounded) {
  std::string flood;
  while (flood.size() < 2 * codec_limits::hard_max_head) {
    flood += "HTTP/1.1 103 Early Hints\r\nX: " + std::string(1000, 'x') + "\r\n\r\n";
  }
  EXPECT_EQ(read_response(flood).code, errc::limit_exceeded);
}

TEST(response_test, p07_folded_lines_are_joined) {
  response_parser p;
  p.expect("HEAD");
  EXPECT_EQ(p.feed(bytes("HTTP/1.1 200 OK\r\nA: one\r\n  two\r\n\tthree\r\nB: 1\r\n\r\n")).event,
            parse_event::head);
  EXPECT_EQ(p.head().fields.get("A"), "one two three");
  EXPECT_EQ(p.head().fields.get("B"), "1");
}

TEST(response_test, p07_bare_lf_is_accepted) {
  const account a = response("HTTP/1.1 200 OK\nContent-Length: 2\n\nab");
  EXPECT_EQ(a.log, "head 200 OK|complete|") << a.error;
  EXPECT_EQ(a.body, "ab");
}

TEST(response_test, p07_empty_lines_before_are_skipped) {
  EXPECT_EQ(response("\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").log,
            "head 200 OK|complete|");
}

TEST(response_test, p07_what_makes_readers_disagree_is_refused) {
  refused("HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", "a bare CR");
  refused(std::string_view{"HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n", 27}, "a NUL");
  refused("HTTP/1.1 200 OK\r\nA: b\x01\r\n\r\n", "control character");
  refused("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "without a colon");
  refused("HTTP/1.1 200 OK\r\n A: b\r\n\r\n", "white space before the first header");
  refused("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "before the colon");
  refused("HTTP/1.1 200 OK\r\n: b\r\n\r\n", "without a name");
  refused("HTTP/1.1 200 OK\r\nA(b): b\r\n\r\n", "no token");
  refused(" HTTP/1.1 200 OK\r\n\r\n", "not HTTP");
}

TEST(response_test, p07_what_is_not_http1_is_refused_at_once) {
  refused("<html>HTTP/0.9 it is</html>\r\n", "not HTTP: begins with \"<html>");
  refused("ICY 200 OK\r\n\r\n", "not HTTP");
  refused("HTTP/0.9 200 OK\r\n\r\n", "");
  refused("HTTP/2.0 200 OK\r\n\r\n", "");
  refused("HTTP/1.2 200 OK\r\n\r\n", "");
  refused("HTTP/11.1 200 OK\r\n\r\n", "");
  refused("http/1.1 200 OK\r\n\r\n", "not HTTP");
  refused("\x15\x03\x01", "TLS");
  EXPECT_EQ(read_response("SSH").code, errc::protocol) << "without waiting for a line";
}

TEST(response_test, p07_odd_status_lines) {
  EXPECT_EQ(response("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n").log, "head 200 |complete|");
  EXPECT_EQ(response("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n").log, "head 200 |complete|");
  EXPECT_EQ(response("HTTP/1.1 999 Request denied\r\nContent-Length: 0\r\n\r\n").log,
            "head 999 Request denied|complete|");
  EXPECT_EQ(response("HTTP/1.1 200 \xc3\xa9\r\nContent-Length: 0\r\n\r\n").log,
            "head 200 \xc3\xa9|complete|");
  refused("HTTP/1.1 20 OK\r\n\r\n", "");
  refused("HTTP/1.1 2000 OK\r\n\r\n", "");
  refused("HTTP/1.1 abc OK\r\n\r\n", "");
  refused("HTTP/1.1 200OK\r\n\r\n", "");
  refused("HTTP/1.1\r\n\r\n", "");
}

TEST(response_test, p07_heads_are_bounded_in_bytes_and_fields) {
  std::string big =
      "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: " + std::string(60'000, 'x') + "\r\n\r\n";
  EXPECT_EQ(read_response(big).log, "head 200 OK|complete|");
  big.insert(40, std::string(10'000, 'x'));
  EXPECT_EQ(read_response(big).code, errc::limit_exceeded);
  EXPECT_EQ(read_response(big, "GET", false, 1000).code, errc::limit_exceeded);
  EXPECT_EQ(read_response(big, "GET", false, std::string::npos, {.max_head = 200'000}).log,
            "head 200 OK|complete|");
  const std::string huge = "HTTP/1.1 200 OK\r\nX: " + std::string(400'000, 'x');
  EXPECT_EQ(read_response(huge, "GET", false, std::string::npos, {.max_head = 1'000'000}).code,
            errc::limit_exceeded)
      << "the hard limit";
  std::string many = "HTTP/1.1 200 OK\r\n";
  for (int i = 0; i < 256; ++i) many += "A: b\r\n";
  EXPECT_EQ(read_response(many + "\r\n", "HEAD").log, "head 200 OK|complete|");
  const account a = read_response(many + "A: b\r\n\r\n", "HEAD");
  EXPECT_EQ(a.error, "http response: more than 256 header fields");
}

TEST(response_test, bodies_are_bounded) {
  const codec_limits ten{.max_body = 10};
  EXPECT_EQ(
      response("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789", "GET", true, ten).body,
      "0123456789");
  const account a = response("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n", "GET", false, ten);
  EXPECT_EQ(a.error, "http response: the body is larger than 10 bytes") << "said before it comes";
  EXPECT_EQ(read_response("HTTP/1.1 200 OK\r\n\r\n01234567890", "GET", true, 4, ten).code,
            errc::limit_exceeded);
  EXPECT_EQ(
      read_response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n",
                    "GET", true, 4, ten)
          .code,
      errc::limit_exceeded);
}

TEST(response_test, p04_chunk_extensions_and_trailers_are_bounded) {
  const std::string head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(read_response(head + "1;x=" + std::string(100'000, 'x'), "GET", false, 1000).code,
            errc::limit_exceeded);
  std::string trailers = head + "0\r\n";
  for (int i = 0; i < 300; ++i) trailers += "A: b\r\n";
  EXPECT_EQ(read_response(trailers).code, errc::limit_exceeded);
  EXPECT_EQ(read_response(head + "0\r\nA: " + std::string(100'000, 'x'), "GET", false, 1000).code,
            errc::limit_exceeded);
  std::string extensions = head;  // none of them large
  for (int i = 0; i < 5'000; ++i) extensions += "1;x=" + std::string(100, 'x') + "\r\na\r\n";
  EXPECT_EQ(read_response(extensions).code, errc::limit_exceeded);
  std::string small_chunks = head;
  for (int i = 0; i < 50'000; ++i) small_chunks += "1\r\na\r\n";
  EXPECT_EQ(read_response(small_chunks + "0\r\n\r\n").log, "head 200 OK|complete|");
}

TEST(response_test, keep_alive_by_version_and_connection) {
  const std::string rest = "Content-Length: 0\r\n\r\n";
  EXPECT_TRUE(response("HTTP/1.1 200 OK\r\n" + rest).keep_alive);
  EXPECT_FALSE(response("HTTP/1.1 200 OK\r\nConnection: Close\r\n" + rest).keep_alive);
  EXPECT_FALSE(response("HTTP/1.1 200 OK\r\nConnection: x, close\r\n" + rest).keep_alive);
  EXPECT_FALSE(response("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nConnection: close\r\n" + rest)
                   .keep_alive);
  EXPECT_FALSE(response("HTTP/1.0 200 OK\r\n" + rest).keep_alive);
  EXPECT_TRUE(response("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n" + rest).keep_alive);
  EXPECT_FALSE(response("HTTP/1.1 204 No\r\nConnection: close\r\n\r\n").keep_alive);
}

TEST(response_test, a_failed_parser_repeats_its_error) {
  response_parser p;
  p.expect("GET");
  EXPECT_THROW(p.feed(bytes("junk")), oneloop::error);
  EXPECT_THROW(p.feed(bytes("HTTP/1.1 200 OK\r\n\r\n")), oneloop::error);
  EXPECT_THROW(p.finish(), oneloop::error);
}

TEST(response_test, expect_in_the_middle_is_misuse) {
  response_parser p;
  p.expect("GET");
  EXPECT_THROW(p.expect("GET"), oneloop::misuse);
}

TEST(response_test, parsers_move) {
  response_parser a;
  a.expect("GET");
  EXPECT_FALSE(a.feed(bytes("HTTP/1.1 200 OK\r\nContent-Le")));
  response_parser b = std::move(a);
  EXPECT_EQ(b.feed(bytes("ngth: 0\r\n\r\n")).event, parse_event::head);
}

// ---- requests ----

struct request_account {
  std::string log;  // "GET /x|body|complete+|", + if the connection stays
  std::string error;
  std::error_code code;
};

request_account read_requests(std::string_view input, bool close = false,
                              std::size_t piece = std::string_view::npos,
                              codec_limits limits = {}) {
  request_account a;
  request_parser p{limits};
  try {
    while (!input.empty()) {
      std::string_view part = input.substr(0, piece);
      input.remove_prefix(part.size());
      while (auto s = p.feed(bytes(part))) {
        part.remove_prefix(s.consumed);
        switch (s.event) {
          case parse_event::head: a.log += p.head().method + " " + p.head().target + "|"; break;
          case parse_event::body:
            a.log.append(reinterpret_cast<const char*>(s.body.data()), s.body.size());
            break;
          default: a.log += p.keep_alive() ? "complete+|" : "complete-|";
        }
      }
    }
    if (close) p.finish();
  } catch (const oneloop::error& e) {
    a.error = e.what();
    a.code = e.code();
  }
  return a;
}

request_account requests(std::string_view input, bool close = false) {
  const request_account whole = read_requests(input, close);
  for (std::size_t piece : {1UL, 2UL, 5UL}) {
    const request_account cut = read_requests(input, close, piece);
    EXPECT_EQ(cut.log, whole.log) << piece;
    EXPECT_EQ(cut.code, whole.code) << cut.error << " / " << whole.error;
  }
  return whole;
}

void request_refused(std::string_view input, std::string_view why) {
  const request_account a = requests(input);
  EXPECT_EQ(a.code, errc::protocol) << a.log << a.error;
  EXPECT_NE(a.error.find(why), std::string::npos) << a.error;
  EXPECT_TRUE(a.error.starts_with("http request: ")) << a.error;
}

TEST(request_test, started_is_about_the_current_request) {
  request_parser p;
  std::string_view in = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na";
  EXPECT_FALSE(p.started());
  while (true) {
    const parse_step s = p.feed(bytes(in));
    in.remove_prefix(s.consumed);
    if (s.event == parse_event::complete) break;
    ASSERT_TRUE(s);
    EXPECT_TRUE(p.started());
  }
  EXPECT_FALSE(p.started());
  EXPECT_FALSE(p.feed(bytes("G")));
  EXPECT_TRUE(p.started());
}

TEST(request_test, a_body_that_is_too_large_is_refused_after_its_head) {
  request_parser p{codec_limits{.max_body = 10}};
  const std::string_view in = "PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n";
  EXPECT_EQ(p.feed(bytes(in)).event, parse_event::head);
  EXPECT_EQ(p.head().target, "/x");
  try {
    (void)p.feed({});
    FAIL() << "a body over the limit was taken";
  } catch (const oneloop::error& e) {
    EXPECT_EQ(e.code(), errc::limit_exceeded);
  }
}

TEST(request_test, pipelined_in_order) {
  const request_account a = requests(
      "GET /a?b HTTP/1.1\r\nHost: h\r\n\r\nPOST /c HTTP/1.1\r\nHost: h\r\nContent-Length: "
      "3\r\n\r\nxyz"
      "PUT /d HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: "
      "close\r\n\r\n2\r\nuv\r\n"
      "0\r\n\r\n",
      true);
  EXPECT_EQ(a.log, "GET /a?b|complete+|POST /c|xyzcomplete+|PUT /d|uvcomplete-|") << a.error;
  EXPECT_EQ(a.error, "");
}

TEST(request_test, keep_alive_by_version) {
  EXPECT_EQ(requests("GET / HTTP/1.0\r\n\r\n").log, "GET /|complete-|");
  EXPECT_EQ(requests("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").log, "GET /|complete+|");
}

TEST(request_test, connect_and_options) {
  EXPECT_EQ(requests("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n").log,
            "CONNECT h:443|complete+|");
  EXPECT_EQ(requests("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n").log, "OPTIONS *|complete+|");
  EXPECT_EQ(requests("GET http://h/x HTTP/1.1\r\nHost: h\r\n\r\n").log,
            "GET http://h/x|complete+|");
}

TEST(request_test, an_upgrade_that_the_server_ignores_is_a_request) {
  EXPECT_EQ(requests("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
                     "GET /2 HTTP/1.1\r\nHost: h\r\n\r\n")
                .log,
            "GET /|complete+|GET /2|complete+|");
}

TEST(request_test, smuggling_is_refused) {
  const std::string start = "POST / HTTP/1.1\r\nHost: h\r\n";
  request_refused(start + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                  "both");
  request_refused(start + "Transfer-Encoding: gzip\r\n\r\n", "does not end in");
  request_refused(start + "Transfer-Encoding: xchunked\r\n\r\n", "does not end in");
  request_refused(start + "Transfer-Encoding: chunked, identity\r\n\r\n", "after \"chunked\"");
  request_refused(start + "Transfer-Encoding : chunked\r\n\r\n", "before the colon");
  request_refused(start + "Content-Length: 3\r\nContent-Length: 4\r\n\r\n", "two different");
  request_refused(start + "A: b\r\n c\r\n\r\n", "folded");
  request_refused(start + "A: b\nEvil: c\r\n\r\n", "without CR");
  request_refused(start + "A: b\rEvil: c\r\n\r\n", "a bare CR");
  request_refused(start + "\nGET / HTTP/1.1\r\n\r\n", "without CR");
}

TEST(request_test, http11_needs_one_host) {
  request_refused("GET / HTTP/1.1\r\n\r\n", "no Host");
  request_refused("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "more than one Host");
  EXPECT_EQ(requests("GET / HTTP/1.0\r\n\r\n").error, "");
  for (const std::string bad : {"a b", "a/b", "a, b", "u@a", "a#b"}) {
    request_refused("GET / HTTP/1.1\r\nHost: " + bad + "\r\n\r\n", "no host and port");
  }
  EXPECT_EQ(requests("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n").error, "");
}

TEST(request_test, what_is_not_http_is_refused_at_once) {
  request_refused("\x16\x03\x01", "a TLS handshake");
  request_refused("\x80junk", "not HTTP");
  request_refused(" GET / HTTP/1.1\r\n\r\n", "not HTTP");
  request_refused("GET /\r\n\r\n", "");
  request_refused("GET / HTTP/2.0\r\nHost: h\r\n\r\n", "");
  request_refused("NOSUCH / HTTP/1.1\r\nHost: h\r\n\r\n", "method");
  request_refused("GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", "");
  request_refused("GET /a\tb HTTP/1.1\r\nHost: h\r\n\r\n",
                  "a control character in the request target");
  request_refused("GET /a\fb HTTP/1.1\r\nHost: h\r\n\r\n",
                  "a control character in the request target");
  request_refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "");
}

TEST(request_test, the_end_between_requests_is_fine) {
  EXPECT_EQ(requests("", true).error, "");
  EXPECT_EQ(requests("GET / HTTP/1.0\r\n\r\n", true).error, "");
  EXPECT_EQ(requests("GET / HTTP/1.0\r\n\r\n\r\n", true).error, "");
  EXPECT_EQ(requests("GET / HT", true).code, errc::end_of_stream);
  EXPECT_EQ(requests("POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\nab", true).error,
            "http request: end of stream after 2 of 5 bytes");
}

TEST(request_test, heads_are_bounded) {
  EXPECT_EQ(read_requests("GET /" + std::string(100'000, 'a'), false, 1000).code,
            errc::limit_exceeded);
  EXPECT_EQ(read_requests(std::string(100'000, '\n')).code, errc::protocol);
  std::string blank;
  for (int i = 0; i < 50'000; ++i) blank += "\r\n";
  EXPECT_EQ(read_requests(blank).code, errc::limit_exceeded);
}

// ---- writing ----

TEST(write_test, heads) {
  std::string out;
  request_head r{"GET", "/a?b"};
  r.fields.add("Host", "h");
  write_head(out, r);
  EXPECT_EQ(out, "GET /a?b HTTP/1.1\r\nHost: h\r\n\r\n");
  out.clear();
  response_head s{404};
  s.fields.add("Content-Length", "0");
  write_head(out, s);
  EXPECT_EQ(out, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
  out.clear();
  s = response_head{799};
  s.reason = "Own words";
  s.minor_version = 0;
  write_head(out, s);
  EXPECT_EQ(out, "HTTP/1.0 799 Own words\r\n\r\n");
}

TEST(write_test, what_would_break_the_line_is_refused) {
  std::string out;
  EXPECT_THROW(write_head(out, request_head{"GET", "/ HTTP/1.1\r\nEvil: 1\r\n"}), oneloop::misuse);
  EXPECT_THROW(write_head(out, request_head{"GET X", "/"}), oneloop::misuse);
  EXPECT_THROW(write_head(out, request_head{"GET", ""}), oneloop::misuse);
  response_head s{200};
  s.reason = "OK\r\nEvil: 1";
  EXPECT_THROW(write_head(out, s), oneloop::misuse);
  EXPECT_THROW(write_head(out, response_head{42}), oneloop::misuse);
  EXPECT_EQ(out, "");
}

TEST(write_test, chunks_are_read_back) {
  std::string out;
  response_head h{200};
  h.fields.add("Transfer-Encoding", "chunked");
  write_head(out, h);
  for (std::size_t n : {1UL, 15UL, 16UL, 4096UL}) {
    write_chunk_start(out, n);
    out.append(n, 'x').append(chunk_end);
  }
  out += last_chunk;
  const account a = read_response(out);
  EXPECT_EQ(a.log, "head 200 OK|complete|") << a.error;
  EXPECT_EQ(a.body, std::string(1 + 15 + 16 + 4096, 'x'));
  EXPECT_THROW(write_chunk_start(out, 0), oneloop::misuse);
}

}  // namespace
