// Content codings: a byte that chooses them, a byte that decides how the input is cut, then the
// body.
#include <zlib.h>
#include <zstd.h>

#include <optional>
#include <string>
#include <vector>

#include "fuzz/check.hpp"
#include "oneloop/base/error.hpp"
#include "oneloop/http/content_coding.hpp"

namespace {

using namespace oneloop::http;

constexpr std::uint64_t most = 32 * 1024;

/// What it decodes to; nothing if it cannot be decoded.
std::optional<std::string> decode(std::string_view codings, std::string_view text,
                                  fuzz::pieces* cut) {
  std::string out;
  try {
    content_decoder d{codings, {.max_output = most}};
    std::vector<std::byte> buffer(64 * 1024);
    bool more = false;
    while (!text.empty() || more) {
      const std::string_view piece =
          text.substr(0, cut != nullptr ? cut->next(text.size()) : text.npos);
      const std::span<std::byte> room =
          std::span{buffer}.first(cut != nullptr ? cut->next(1000) : buffer.size());
      const auto p = d.feed(fuzz::bytes(piece), room);
      fuzz::check(p.consumed <= piece.size() && p.produced <= room.size(), "bounds are kept");
      more = p.produced == room.size();
      fuzz::check(more || p.consumed == piece.size(), "nothing is held back");
      text.remove_prefix(p.consumed);
      out.append(reinterpret_cast<const char*>(buffer.data()), p.produced);
    }
    fuzz::check(out.size() <= most, "the cap is kept");
    d.finish();
    return out;
  } catch (const oneloop::error&) {
    return {};
  }
}

std::string gzip(std::string_view text, int window_bits) {
  z_stream z{};
  deflateInit2(&z, 1, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&z, text.size()) + 32, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  z.avail_in = static_cast<uInt>(text.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  deflate(&z, Z_FINISH);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

std::string zstd(std::string_view text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 1));
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static constexpr const char* lists[] = {
      "gzip", "deflate", "br", "zstd", "br, gzip", "zstd, gzip", "gzip, deflate, zstd"};
  fuzz::input in{data, size};
  const char* codings = lists[in.byte() % std::size(lists)];
  const unsigned seed = in.byte();
  fuzz::pieces cut{seed};
  const auto whole = decode(codings, in.rest(), nullptr);
  const auto parts = decode(codings, in.rest(), &cut);
  // libzstd compares the size that a frame promises only with a frame that comes in one piece, or
  // that does not end in an empty block.
  const bool stricter = std::string_view{codings}.find("zstd") != std::string_view::npos;
  fuzz::check(whole == parts || (stricter && !whole), "it does not matter how the input is cut");

  // Compressing costs ten times as much as all the rest.
  if (seed % 16 != 0) return 0;
  const std::string text{in.rest()};
  fuzz::check(decode("gzip", gzip(text, 31), &cut) == text, "gzip comes back");
  fuzz::check(decode("deflate", gzip(text, -15), &cut) == text, "deflate comes back");
  fuzz::check(decode("gzip, zstd", zstd(gzip(text, 31)), &cut) == text, "two layers come back");
  return 0;
}
