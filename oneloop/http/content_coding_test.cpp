// 19: content codings. Every body is decoded whole and in small pieces, in and out.
#include "oneloop/http/content_coding.hpp"

#include <gtest/gtest.h>
#include <zstd.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "oneloop/base/error.hpp"
#include "oneloop/http/content_coding_test.hpp"

namespace {

using namespace oneloop::http;
using oneloop::errc;
using oneloop::test::deflated;

std::span<const std::byte> bytes_of(std::string_view s) { return std::as_bytes(std::span{s}); }

std::string from_hex(std::string_view hex) {
  std::string out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    out += static_cast<char>(std::stoi(std::string{hex.substr(i, 2)}, nullptr, 16));
  }
  return out;
}

std::string gzip(std::string_view text) { return deflated(text, 31); }
std::string zlib(std::string_view text) { return deflated(text, 15); }
std::string raw(std::string_view text) { return deflated(text, -15); }

std::string zstd(std::string_view text, int window_log = 0) {
  ZSTD_CCtx* c = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
  ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, window_log);
  std::string out(ZSTD_compressBound(text.size()) + 64, '\0');
  ZSTD_outBuffer to{out.data(), out.size(), 0};
  ZSTD_inBuffer from{text.data(), text.size(), 0};
  if (window_log != 0) {
    // Without knowing the size the frame keeps the window that was asked for.
    ZSTD_compressStream2(c, &to, &from, ZSTD_e_continue);
  }
  EXPECT_EQ(ZSTD_compressStream2(c, &to, &from, ZSTD_e_end), 0U);
  ZSTD_freeCCtx(c);
  out.resize(to.pos);
  return out;
}

const std::string fox =
    "The quick brown fox jumps over the lazy dog. The quick brown fox jumps over the lazy dog.";

/// The fox in br; written by the reference encoder, as is the bomb below.
std::string brotli_fox() {
  return from_hex(
      "1b5800882c0e78d3d0955d9710bb172ba9cad092cc8cad415ce6f236c8199e9e0a7b830d387048206f21bf41a715"
      "ce1c1e27aa2938c2a57d1a63");
}
/// Up to 64 KiB in br, not compressed (RFC 7932, 9.2): a window of 64 KiB, one meta-block of stored
/// bytes, an empty last one.
std::string brotli_stored(std::string_view text) {
  const std::size_t head = (text.size() - 1) << 4 | std::size_t{1} << 20;
  std::string out;
  for (int shift : {0, 8, 16}) out += static_cast<char>(head >> shift & 0xff);
  return out.append(text) + '\x03';
}
/// 64 MiB of zeros in 106 bytes.
std::string brotli_bomb() {
  return from_hex(
      "cbffff3ff82700e2b14020f7fe8fffff7ff04f00c4611180eefd1fffffffe09f0088c30200ddfb3ffeffffc13f01"
      "10870500baf77ffcffff837f02200e0b0074effff8ffff07ff04401c1600e8defff1ffff0ffe0980382c00d0bdff"
      "cbffff3ffc1300715800a07bff07");
}

/// Text that compresses, but not to nothing.
std::string prose(std::size_t size) {
  std::string out;
  unsigned x = 1;
  while (out.size() < size) {
    x = x * 1103515245 + 12345;
    out += "word" + std::to_string(x >> 20) + (x % 7 == 0 ? "\n" : " ");
  }
  out.resize(size);
  return out;
}

struct result {
  std::string text;
  std::string error;
  std::error_code code;
  bool ended = false;
  friend bool operator==(const result&, const result&) = default;
};

std::ostream& operator<<(std::ostream& o, const result& r) {
  return o << r.text.size() << " bytes, error \"" << r.error << "\", ended " << r.ended;
}

result decode_cut(std::string_view codings, std::string_view input, std::size_t in_piece,
                  std::size_t out_piece, decode_limits limits = {}) {
  result r;
  try {
    content_decoder d{codings, limits};
    std::vector<std::byte> buffer(out_piece);
    bool more = false;
    while (!input.empty() || more) {
      const std::string_view piece = input.substr(0, in_piece);
      const auto p = d.feed(bytes_of(piece), buffer);
      EXPECT_LE(p.consumed, piece.size());
      EXPECT_LE(p.produced, buffer.size());
      more = p.produced == buffer.size();
      if (!more) {
        EXPECT_EQ(p.consumed, piece.size()) << "nothing may be held back";
      }
      input.remove_prefix(p.consumed);
      r.text.append(reinterpret_cast<const char*>(buffer.data()), p.produced);
      r.ended = p.ended;
    }
    EXPECT_EQ(d.produced(), r.text.size());
    d.finish();
  } catch (const oneloop::error& e) {
    r.error = e.what();
    r.code = e.code();
  }
  return r;
}

/// Decodes whole and in pieces; the outcome must be the same.
result decode(std::string_view codings, std::string_view input, decode_limits limits = {}) {
  const result whole = decode_cut(codings, input, input.size() + 1, 64 * 1024, limits);
  for (const auto& [in, out] : {std::pair{1, 1}, std::pair{1, 65536}, std::pair{7, 3},
                                std::pair{1000, 100}, std::pair{100, 1000}}) {
    if (input.size() > 100'000 && in * out < 1000) continue;
    const result cut = decode_cut(codings, input, static_cast<std::size_t>(in),
                                  static_cast<std::size_t>(out), limits);
    if (whole.error.empty()) {
      EXPECT_EQ(cut, whole) << "in pieces of " << in << " and " << out;
    } else {
      EXPECT_EQ(cut.code, whole.code) << cut.error << " / " << whole.error;
    }
  }
  return whole;
}

void decodes(std::string_view codings, std::string_view input, std::string_view expected) {
  const result r = decode(codings, input);
  EXPECT_EQ(r.error, "") << codings;
  EXPECT_TRUE(r.text == expected) << codings << ": " << r.text.size() << " bytes";
}

void fails(std::string_view codings, std::string_view input, errc code, std::string_view why) {
  const result r = decode(codings, input);
  EXPECT_EQ(r.code, code) << codings << ": " << r.error;
  EXPECT_NE(r.error.find(why), std::string::npos) << r.error;
}

TEST(http_point_19, each_coding) {
  decodes("gzip", gzip(fox), fox);
  decodes("x-gzip", gzip(fox), fox);
  decodes("GZip", gzip(fox), fox);
  decodes("deflate", zlib(fox), fox);
  decodes("br", brotli_fox(), fox);
  decodes("zstd", zstd(fox), fox);
  decodes("identity", fox, fox);
  decodes("", fox, fox);
}

TEST(http_point_19, deflate_without_a_frame) {
  decodes("deflate", raw(fox), fox);
  decodes("deflate", raw(""), "");
  decodes("deflate", zlib(""), "");
  // A stored block: what fast servers send.
  decodes("deflate",
          std::string{"\x01\x03\x00\xfc\xff"
                      "abc",
                      8},
          "abc");
}

TEST(http_point_19, large_bodies) {
  const std::string text = prose(500'000);
  decodes("gzip", gzip(text), text);
  decodes("deflate", zlib(text), text);
  decodes("deflate", raw(text), text);
  decodes("zstd", zstd(text), text);
  decodes("zstd, gzip, deflate", zlib(gzip(zstd(text))), text);
}

TEST(http_point_19, layers_are_undone_from_the_last_one) {
  decodes("gzip, br", brotli_stored(gzip(fox)), fox);
  decodes("br,gzip", gzip(brotli_fox()), fox);
  decodes("identity, gzip, , identity,zstd", zstd(gzip(fox)), fox);
  decodes("gzip, gzip, gzip", gzip(gzip(gzip(fox))), fox);
  fails("br, gzip", brotli_stored(gzip(fox)), errc::protocol, "decode gzip");
}

TEST(http_point_19, all_fields_count_in_order) {
  headers h;
  h.add("content-encoding", "br");
  h.add("Content-Type", "text/html");
  h.add("Content-Encoding", " gzip ");
  content_decoder d{h};
  EXPECT_FALSE(d.identity());
  std::byte out[1000];
  const std::string coded = gzip(brotli_fox());
  const auto p = d.feed(bytes_of(coded), out);
  EXPECT_EQ(p.consumed, coded.size());
  EXPECT_EQ(p.produced, fox.size());
  EXPECT_TRUE(p.ended);
  EXPECT_NO_THROW(d.finish());
  EXPECT_EQ(d.consumed(), coded.size());
  EXPECT_EQ(d.produced(), fox.size());

  EXPECT_TRUE(content_decoder{headers{}}.identity());
  EXPECT_TRUE(content_decoder{"identity"}.identity());
}

TEST(http_point_19, chain_too_long) {
  EXPECT_NO_THROW(content_decoder("gzip, identity, br, gzip"));
  try {
    const content_decoder d{"gzip, gzip, gzip, gzip"};
    FAIL();
  } catch (const oneloop::error& e) {
    EXPECT_EQ(e.code(), errc::limit_exceeded);
    EXPECT_STREQ(e.what(), "content-encoding: more than 3 codings on top of each other");
  }
}

TEST(http_point_19, unknown_coding_is_named) {
  const auto what = [](std::string_view codings) -> std::string {
    try {
      const content_decoder d{codings};
      return "none";
    } catch (const oneloop::error& e) {
      EXPECT_EQ(e.code(), errc::protocol);
      return e.what();
    }
  };
  EXPECT_EQ(what("gzip, compress"), "content-encoding: unknown coding \"compress\"");
  EXPECT_EQ(what("g\x1bzip"), "content-encoding: unknown coding \"g\\x1bzip\"");
  EXPECT_EQ(what(std::string(100, 'a')),
            "content-encoding: unknown coding \"" + std::string(40, 'a') + "...\"");
  EXPECT_EQ(what("gzip;q=1"), "content-encoding: unknown coding \"gzip;q=1\"");
}

TEST(http_point_19, only_what_is_decoded_is_advertised) {
  EXPECT_EQ(accept_encoding(), "gzip, deflate, br, zstd");
  EXPECT_NO_THROW(content_decoder("gzip,deflate"));
  EXPECT_NO_THROW(content_decoder("br, zstd"));
}

TEST(http_point_19, empty_body_is_no_broken_one) {
  for (const char* codings : {"gzip", "deflate", "br", "zstd", "gzip, br", "identity"}) {
    decodes(codings, "", "");
  }
  decodes("gzip", gzip(""), "");
  decodes("br", "\x06", "");
  decodes("zstd", zstd(""), "");
  // The outer coding of nothing at all.
  decodes("br, gzip", gzip(""), "");
}

TEST(http_point_19, concatenated_members) {
  decodes("gzip", gzip("one ") + gzip("") + gzip("two ") + gzip(fox), "one two " + fox);
  decodes("zstd", zstd("one ") + zstd("") + zstd(fox), "one " + fox);
  // A frame to skip, before and between.
  const std::string skip{"\x5a\x2a\x4d\x18\x03\0\0\0abc", 11};
  decodes("zstd", skip + zstd("one ") + skip + zstd(fox) + skip, "one " + fox);
  fails("gzip", gzip("one ") + gzip(fox).substr(0, 20), errc::end_of_stream, "decode gzip");
  std::string broken = gzip("one ") + gzip(fox);
  broken.back() ^= 1;
  fails("gzip", broken, errc::protocol, "incorrect length check");
}

TEST(http_point_19, what_follows_the_stream_is_ignored) {
  for (const std::string& junk :
       {std::string(1, '\0'), std::string(600, '\0'), std::string{"<!-- cached -->"},
        std::string{"\x1f"}, std::string{"\x1f\x8c"}, std::string{"\x28\xb5\x2f"},
        std::string{"\x5a\x2a\x4d\x19"}, "x" + gzip(fox)}) {
    decodes("gzip", gzip(fox) + junk, fox);
    decodes("deflate", zlib(fox) + junk, fox);
    decodes("deflate", raw(fox) + junk, fox);
    decodes("br", brotli_fox() + junk, fox);
    decodes("zstd", zstd(fox) + junk, fox);
    decodes("zstd, gzip", gzip(zstd(fox) + junk) + junk, fox);
  }
  // Enough for another member is one.
  fails("gzip", gzip(fox) + "\x1f\x8b", errc::end_of_stream, "middle");
  fails("gzip", gzip(fox) + "\x1f\x8b junk", errc::protocol, "decode gzip");
  fails("zstd", zstd(fox) + "\x28\xb5\x2f\xfd", errc::end_of_stream, "middle");
}

TEST(http_point_19, cut_off_anywhere) {
  const std::pair<const char*, std::string> all[] = {{"gzip", gzip(fox)},
                                                     {"deflate", zlib(fox)},
                                                     {"deflate", raw(fox)},
                                                     {"br", brotli_fox()},
                                                     {"zstd", zstd(fox)},
                                                     {"br, gzip", gzip(brotli_fox())},
                                                     {"gzip, zstd", zstd(gzip(fox))}};
  for (const auto& [codings, input] : all) {
    for (std::size_t n = 1; n < input.size(); ++n) {
      const result r = decode_cut(codings, std::string_view{input}.substr(0, n), 1000, 1000);
      EXPECT_EQ(r.code, errc::end_of_stream) << codings << " after " << n << ": " << r.error;
      EXPECT_TRUE(std::string_view{fox}.starts_with(r.text));
      EXPECT_FALSE(r.ended);
    }
  }
  // The inner one is cut, the outer one is whole.
  fails("br, gzip", gzip(brotli_fox().substr(0, 30)), errc::end_of_stream,
        "decode br: the data ends in the middle");
}

TEST(http_point_19, broken_data) {
  for (const char* coding : {"gzip", "br", "zstd"}) {
    fails(coding, "<html>not coded at all</html>", errc::protocol, std::string{"decode "} + coding);
  }
  fails("deflate", "\xff\xff\xff\xff", errc::protocol, "decode deflate");
  fails("gzip", "\x1f\x8c", errc::protocol, "decode gzip: the data does not begin as such");
  // What zstd was before it had an RFC, which its library still reads.
  fails("zstd", from_hex("27b52ffd2005000000f7010000550012"), errc::protocol,
        "decode zstd: the data does not begin as such");
  std::string checksum = gzip(fox);
  checksum[checksum.size() - 5] ^= 1;
  fails("gzip", checksum, errc::protocol, "incorrect data check");
  std::string frame = zstd(fox);
  frame.back() ^= 1;
  fails("zstd", frame, errc::protocol, "decode zstd");
  // Needs a dictionary that nobody has.
  fails("deflate", std::string{"\x78\xbb\0\0\0\1", 6}, errc::protocol, "dictionary");
}

TEST(http_point_19, after_an_error_the_same_again) {
  content_decoder d{"gzip"};
  std::byte out[100];
  std::string first;
  for (int i = 0; i < 3; ++i) {
    try {
      (void)d.feed(bytes_of(i == 0 ? "junk" : ""), out);
      FAIL();
    } catch (const oneloop::error& e) {
      if (i == 0) first = e.what();
      EXPECT_EQ(e.what(), first);
    }
  }
  EXPECT_THROW(d.finish(), oneloop::error);
}

TEST(http_point_19, zstd_window_is_limited) {
  const std::string text = prose(10'000);
  decodes("zstd", zstd(text, 23), text);
  fails("zstd", zstd(text, 24), errc::limit_exceeded, "window of more than 8 MiB");
}

TEST(http_point_19, output_cap) {
  const std::string text = prose(100'000);
  const decode_limits exact{.max_output = text.size()};
  const decode_limits less{.max_output = text.size() - 1};
  for (const auto& [coding, input] :
       {std::pair{"gzip", gzip(text)}, std::pair{"zstd", zstd(text)}}) {
    EXPECT_EQ(decode(coding, input, exact).error, "");
    const result r = decode(coding, input, less);
    EXPECT_EQ(r.code, errc::limit_exceeded);
    EXPECT_EQ(r.error, std::string{"decode "} + coding + ": more than 99999 bytes");
  }
}

TEST(http_point_19, bombs_end_early) {
  const std::string zeros(64 * 1024 * 1024, '\0');
  // What gzip makes of zeros is no bomb yet.
  EXPECT_EQ(decode_cut("gzip", gzip(zeros), 65536, 65536).error, "");

  const result br = decode("br", brotli_bomb());
  EXPECT_EQ(br.code, errc::limit_exceeded) << br.error;
  EXPECT_TRUE(br.error.starts_with("decode br: expands ")) << br.error;
  EXPECT_LE(br.text.size(), 11U * 1024 * 1024);

  const std::string tiny = zstd(zeros);
  EXPECT_LT(tiny.size(), 16 * 1024U);
  const result z = decode_cut("zstd", tiny, 100, 65536);
  EXPECT_EQ(z.code, errc::limit_exceeded) << z.error;
  EXPECT_LE(z.text.size(), 27U * 1024 * 1024);

  const result twice = decode_cut("gzip, gzip", gzip(gzip(zeros)), 1000, 65536);
  EXPECT_EQ(twice.code, errc::limit_exceeded) << twice.error;
}

TEST(http_point_19, a_bomb_in_the_middle_ends_too) {
  // The inner layer would throw nearly all of it away.
  const std::string inner = gzip(fox) + std::string(64 * 1024 * 1024, '\0');
  const result bomb = decode("gzip, zstd", zstd(inner));
  EXPECT_EQ(bomb.code, errc::limit_exceeded) << bomb.error;
  EXPECT_NE(bomb.error.find("decode zstd"), std::string::npos) << bomb.error;
}

TEST(http_point_19, ratio_is_the_callers_choice) {
  const std::string zeros(1'000'000, '\0');
  EXPECT_EQ(decode("gzip", gzip(zeros), {.max_ratio = 100, .free_output = 1'000'000}).error, "");
  EXPECT_EQ(decode("gzip", gzip(zeros), {.max_ratio = 100, .free_output = 0}).code,
            errc::limit_exceeded);
  EXPECT_EQ(decode("gzip", gzip(zeros), {.max_ratio = 0, .free_output = 0}).code,
            errc::limit_exceeded);
}

TEST(http_point_19, a_move_takes_the_state_along) {
  const std::string coded = gzip(fox);
  content_decoder a{"gzip"};
  std::byte out[1000];
  const std::size_t half = coded.size() / 2;
  const auto first = a.feed(bytes_of(coded).first(half), out);
  EXPECT_EQ(first.consumed, half);
  content_decoder b{std::move(a)};
  const auto second = b.feed(bytes_of(coded).subspan(half), std::span{out}.subspan(first.produced));
  EXPECT_EQ(first.produced + second.produced, fox.size());
  EXPECT_TRUE(second.ended);
}

TEST(http_point_19, no_room_no_progress) {
  content_decoder d{"gzip"};
  const auto p = d.feed(bytes_of(gzip(fox)), {});
  EXPECT_EQ(p.consumed, 0U);
  EXPECT_EQ(p.produced, 0U);
  EXPECT_FALSE(p.ended);
}

}  // namespace
