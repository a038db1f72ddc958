#include "oneloop/http/content_coding.hpp"

#include <brotli/decode.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "oneloop/base/error.hpp"
#include "oneloop/http/text_internal.hpp"

namespace oneloop::inline v0::http {
namespace {

using detail::quoted;
using detail::trimmed;
using input = std::span<const std::byte>;
using output = std::span<std::byte>;

/// At most so much is decoded between two looks at the limits.
constexpr std::size_t slice_size = 64 * 1024;
/// Between two layers.
constexpr std::size_t stage_size = 16 * 1024;

[[noreturn]] void fail(std::string_view coding, std::string_view cause,
                       errc code = errc::protocol) {
  throw error{code, "decode " + std::string{coding} + ": " + std::string{cause}};
}

/// A decoder of one format, for one stream at a time.
class format {
 public:
  struct step {
    std::size_t consumed = 0;
    std::size_t produced = 0;
    bool ended = false;
  };
  virtual ~format() = default;
  /// Goes on until `in` or `out` is used up, or the stream ends.
  virtual step run(input in, output out) = 0;
  /// Makes ready for the next stream.
  virtual void restart() = 0;
  /// How many bytes a stream begins with that nothing else does; 0: there are none, and no other
  /// stream follows the first.
  [[nodiscard]] virtual std::size_t magic_size() const noexcept { return 0; }
  /// Whether these, of which there may be fewer, are the beginning of such bytes.
  [[nodiscard]] virtual bool is_magic(input /*bytes*/) const noexcept { return false; }
};

class inflater : public format {
 public:
  inflater(std::string_view coding, int window_bits) : coding_{coding} { open(window_bits); }
  ~inflater() override { inflateEnd(&z_); }
  inflater(const inflater&) = delete;
  inflater& operator=(const inflater&) = delete;

  step run(input in, output out) override {
    // zlib counts in 32 bits and promises not to write through next_in.
    in = in.first(std::min<std::size_t>(in.size(), std::numeric_limits<uInt>::max()));
    z_.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(in.data()));
    z_.avail_in = static_cast<uInt>(in.size());
    z_.next_out = reinterpret_cast<Bytef*>(out.data());
    z_.avail_out = static_cast<uInt>(out.size());
    const int r = inflate(&z_, Z_NO_FLUSH);
    if (r == Z_MEM_ERROR) throw std::bad_alloc{};
    if (r == Z_NEED_DICT) fail(coding_, "it needs a dictionary");
    // Z_BUF_ERROR: nothing to do, which is no error.
    if (r != Z_OK && r != Z_STREAM_END && r != Z_BUF_ERROR) {
      fail(coding_, z_.msg != nullptr ? z_.msg : "broken data");
    }
    return {in.size() - z_.avail_in, out.size() - z_.avail_out, r == Z_STREAM_END};
  }
  void restart() override { inflateReset(&z_); }

 protected:
  /// Takes another frame for the same stream, of which nothing has been read.
  void reopen(int window_bits) { inflateReset2(&z_, window_bits); }

 private:
  void open(int window_bits) {
    if (inflateInit2(&z_, window_bits) != Z_OK) throw std::bad_alloc{};
  }
  std::string_view coding_;
  z_stream z_{};
};

class gzip_format final : public inflater {
 public:
  gzip_format() : inflater{"gzip", MAX_WBITS + 16} {}
  [[nodiscard]] std::size_t magic_size() const noexcept override { return 2; }
  [[nodiscard]] bool is_magic(input bytes) const noexcept override {
    static constexpr std::array magic{std::byte{0x1f}, std::byte{0x8b}};
    return std::ranges::equal(bytes, std::span{magic}.first(bytes.size()));
  }
};

/// The RFC means zlib's frame, some servers send none: the first two bytes tell.
class deflate_format final : public inflater {
 public:
  deflate_format() : inflater{"deflate", MAX_WBITS} {}
  step run(input in, output out) override {
    std::size_t held = 0;
    if (!decided_) {
      if (!first_) {
        if (in.empty()) return {};
        first_ = in[0];
        in = in.subspan(1);
        held = 1;
      }
      if (in.empty()) return {held, 0, false};
      decide(std::to_integer<unsigned>(*first_), std::to_integer<unsigned>(in[0]));
      // One byte gives no output in either frame.
      (void)inflater::run(std::span{&*first_, 1}, out);
    }
    step s = inflater::run(in, out);
    s.consumed += held;
    return s;
  }

 private:
  void decide(unsigned first, unsigned second) {
    const bool framed = (first & 0x0f) == Z_DEFLATED && (first << 8 | second) % 31 == 0;
    if (!framed) reopen(-MAX_WBITS);
    decided_ = true;
  }
  std::optional<std::byte> first_;
  bool decided_ = false;
};

class brotli_format final : public format {
 public:
  brotli_format() : state_{BrotliDecoderCreateInstance(nullptr, nullptr, nullptr)} {
    if (state_ == nullptr) throw std::bad_alloc{};
  }
  ~brotli_format() override { BrotliDecoderDestroyInstance(state_); }
  brotli_format(const brotli_format&) = delete;
  brotli_format& operator=(const brotli_format&) = delete;

  step run(input in, output out) override {
    std::size_t in_left = in.size();
    std::size_t out_left = out.size();
    const auto* next_in = reinterpret_cast<const std::uint8_t*>(in.data());
    auto* next_out = reinterpret_cast<std::uint8_t*>(out.data());
    const auto r =
        BrotliDecoderDecompressStream(state_, &in_left, &next_in, &out_left, &next_out, nullptr);
    if (r == BROTLI_DECODER_RESULT_ERROR) {
      fail("br", BrotliDecoderErrorString(BrotliDecoderGetErrorCode(state_)));
    }
    return {in.size() - in_left, out.size() - out_left, r == BROTLI_DECODER_RESULT_SUCCESS};
  }
  void restart() override {}

 private:
  BrotliDecoderState* state_;
};

class zstd_format final : public format {
 public:
  zstd_format() : context_{ZSTD_createDCtx()} {
    if (context_ == nullptr) throw std::bad_alloc{};
    ZSTD_DCtx_setParameter(context_, ZSTD_d_windowLogMax, 23);  // 8 MiB: RFC 9659
  }
  ~zstd_format() override { ZSTD_freeDCtx(context_); }
  zstd_format(const zstd_format&) = delete;
  zstd_format& operator=(const zstd_format&) = delete;

  step run(input in, output out) override {
    ZSTD_inBuffer source{in.data(), in.size(), 0};
    ZSTD_outBuffer target{out.data(), out.size(), 0};
    const std::size_t r = ZSTD_decompressStream(context_, &target, &source);
    if (ZSTD_isError(r) != 0) {
      if (ZSTD_getErrorCode(r) == ZSTD_error_memory_allocation) throw std::bad_alloc{};
      if (ZSTD_getErrorCode(r) == ZSTD_error_frameParameter_windowTooLarge) {
        fail("zstd", "it needs a window of more than 8 MiB", errc::limit_exceeded);
      }
      fail("zstd", ZSTD_getErrorName(r));
    }
    return {source.pos, target.pos, r == 0};
  }
  void restart() override { ZSTD_DCtx_reset(context_, ZSTD_reset_session_only); }
  [[nodiscard]] std::size_t magic_size() const noexcept override { return 4; }
  [[nodiscard]] bool is_magic(input bytes) const noexcept override {
    // A frame, or one to skip: the first byte of the latter has sixteen values.
    static constexpr std::array frame{std::byte{0x28}, std::byte{0xb5}, std::byte{0x2f},
                                      std::byte{0xfd}};
    static constexpr std::array skip{std::byte{0x2a}, std::byte{0x4d}, std::byte{0x18}};
    if (std::ranges::equal(bytes, std::span{frame}.first(bytes.size()))) return true;
    return (bytes[0] & std::byte{0xf0}) == std::byte{0x50} &&
           std::ranges::equal(bytes.subspan(1), std::span{skip}.first(bytes.size() - 1));
  }

 private:
  ZSTD_DCtx* context_;
};

struct known_coding {
  std::string_view name;
  std::string_view alias;
  std::unique_ptr<format> (*make)();
};

template <class Format>
std::unique_ptr<format> make_format() {
  return std::make_unique<Format>();
}

constexpr std::array known{
    known_coding{"gzip", "x-gzip", make_format<gzip_format>},
    known_coding{"deflate", "deflate", make_format<deflate_format>},
    known_coding{"br", "br", make_format<brotli_format>},
    known_coding{"zstd", "zstd", make_format<zstd_format>},
};

/// One coding of the list: streams of its format, one after the other, and what follows them.
class layer {
 public:
  explicit layer(const known_coding& c) : coding_{c.name}, format_{c.make()} {}

  /// Goes on until `in` or `out` is used up.
  format::step run(input in, output out) {
    format::step total;
    while (!out.empty()) {
      if (state_ == state::rest) {
        total.consumed += in.size();
        break;
      }
      if (format_->magic_size() > 0 && state_ != state::inside) {
        const std::size_t n = look(in);
        total.consumed += n;
        in = in.subspan(n);
        if (seen_size_ > 0 || n == 0) break;
        continue;
      }
      if (in.empty() && !more_inside_) break;
      state_ = state::inside;
      const format::step s = format_->run(in, out);
      total.consumed += s.consumed;
      total.produced += s.produced;
      in = in.subspan(s.consumed);
      out = out.subspan(s.produced);
      more_inside_ = out.empty() && !s.ended;
      if (s.ended) {
        state_ = format_->magic_size() > 0 ? state::between : state::rest;
      } else if (s.consumed + s.produced == 0) {
        break;
      }
    }
    produced_ += total.produced;
    return total;
  }

  [[nodiscard]] std::string_view coding() const noexcept { return coding_; }
  [[nodiscard]] std::uint64_t produced() const noexcept { return produced_; }
  /// At the end of a stream.
  [[nodiscard]] bool ended() const noexcept {
    return state_ == state::between || state_ == state::rest;
  }
  /// In the middle of one. A layer that was given nothing is neither here nor there.
  [[nodiscard]] bool unfinished() const noexcept {
    return state_ == state::inside || (state_ == state::fresh && seen_size_ > 0);
  }

 private:
  enum class state : std::uint8_t { fresh, inside, between, rest };

  /// Takes bytes where a stream may begin, until they tell whether it does. (libzstd would take
  /// the formats that it had before the RFC as well.)
  std::size_t look(input in) {
    std::size_t n = 0;
    while (n < in.size()) {
      seen_[seen_size_++] = in[n++];
      const input seen = std::span{seen_}.first(seen_size_);
      if (!format_->is_magic(seen)) {
        if (state_ == state::fresh) fail(coding_, "the data does not begin as such");
        state_ = state::rest;
        seen_size_ = 0;
        break;
      }
      if (seen_size_ == format_->magic_size()) {
        if (state_ == state::between) format_->restart();
        std::byte none{};
        // So few bytes give no output.
        (void)format_->run(seen, std::span{&none, 1});
        seen_size_ = 0;
        state_ = state::inside;
        break;
      }
    }
    return n;
  }

  std::string_view coding_;
  std::unique_ptr<format> format_;
  std::uint64_t produced_ = 0;
  std::array<std::byte, 4> seen_{};
  std::size_t seen_size_ = 0;
  state state_ = state::fresh;
  bool more_inside_ = false;  // the output was full when the format stopped
};

/// The bytes between two layers.
class stage {
 public:
  [[nodiscard]] input filled() const { return std::span{bytes_}.subspan(begin_, end_ - begin_); }
  /// Room, once all has been taken out.
  [[nodiscard]] output room() {
    if (begin_ != end_) return {};
    bytes_.resize(stage_size);
    begin_ = end_ = 0;
    return bytes_;
  }
  void take(std::size_t n) noexcept { begin_ += n; }
  void put(std::size_t n) noexcept { end_ += n; }

 private:
  std::vector<std::byte> bytes_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace

std::string_view accept_encoding() noexcept { return "gzip, deflate, br, zstd"; }

struct content_decoder::impl {
  impl(std::string_view codings, decode_limits l) : limits{l} {
    while (!codings.empty()) {
      const std::size_t comma = std::min(codings.find(','), codings.size());
      const std::string_view name = trimmed(codings.substr(0, comma));
      codings.remove_prefix(std::min(comma + 1, codings.size()));
      if (name.empty() || equal_ignoring_case(name, "identity")) continue;
      const auto* const coding = std::ranges::find_if(known, [name](const known_coding& k) {
        return equal_ignoring_case(name, k.name) || equal_ignoring_case(name, k.alias);
      });
      if (coding == known.end()) {
        throw error{errc::protocol, "content-encoding: unknown coding " + quoted(name)};
      }
      if (layers.size() == max_layers) {
        throw error{errc::limit_exceeded, "content-encoding: more than " +
                                              std::to_string(max_layers) +
                                              " codings on top of each other"};
      }
      // The last one of the list is the outermost: it is undone first.
      layers.emplace(layers.begin(), *coding);
    }
    stages.resize(layers.empty() ? 0 : layers.size() - 1);
  }

  void check(const layer& l) const {
    const auto too_much = [&](std::string_view why) {
      fail(l.coding(), why, errc::limit_exceeded);
    };
    if (l.produced() > limits.max_output) {
      too_much("more than " + std::to_string(limits.max_output) + " bytes");
    }
    // The division instead of a product that might overflow.
    if (l.produced() > limits.free_output &&
        (l.produced() - limits.free_output) / std::max<std::uint64_t>(limits.max_ratio, 1) >
            consumed) {
      too_much("expands " + std::to_string(consumed) + " bytes to more than " +
               std::to_string(l.produced()));
    }
  }

  progress feed(input in, output out) {
    progress p;
    bool moved = true;
    while (moved) {
      moved = false;
      for (std::size_t i = layers.size(); i-- > 0;) {
        const bool last = i + 1 == layers.size();
        const input source = i == 0 ? in.subspan(p.consumed) : stages[i - 1].filled();
        output target = last ? out.subspan(p.produced) : stages[i].room();
        target = target.first(std::min(target.size(), slice_size));
        if (target.empty()) continue;
        const format::step s = layers[i].run(source, target);
        if (i == 0) {
          p.consumed += s.consumed;
          consumed += s.consumed;
        } else {
          stages[i - 1].take(s.consumed);
        }
        if (last) {
          p.produced += s.produced;
        } else {
          stages[i].put(s.produced);
        }
        check(layers[i]);
        moved |= s.consumed + s.produced > 0;
      }
    }
    p.ended = std::ranges::all_of(layers, &layer::ended);
    return p;
  }

  progress copy(input in, output out) {
    const std::size_t n = std::min(in.size(), out.size());
    if (n > 0) std::memcpy(out.data(), in.data(), n);
    consumed += n;
    return {n, n, false};
  }

  /// Runs `f`; what it throws is thrown by every later call too.
  template <class F>
  auto guarded(F f) {
    if (failure) throw error{*failure};
    try {
      return f();
    } catch (const error& e) {
      failure = e;
      throw;
    }
  }

  decode_limits limits;
  std::vector<layer> layers;  // in the order of decoding
  std::vector<stage> stages;  // stages[i] is between layers[i] and layers[i + 1]
  std::uint64_t consumed = 0;
  std::optional<error> failure;
};

content_decoder::content_decoder(const headers& fields, decode_limits limits)
    : content_decoder{fields.joined("Content-Encoding"), limits} {}
content_decoder::content_decoder(std::string_view codings, decode_limits limits)
    : impl_{std::make_unique<impl>(codings, limits)} {}
content_decoder::~content_decoder() = default;
content_decoder::content_decoder(content_decoder&&) noexcept = default;
content_decoder& content_decoder::operator=(content_decoder&&) noexcept = default;

bool content_decoder::identity() const noexcept { return impl_->layers.empty(); }

content_decoder::progress content_decoder::feed(std::span<const std::byte> in,
                                                std::span<std::byte> out) {
  if (identity()) return impl_->copy(in, out);
  return impl_->guarded([&] { return impl_->feed(in, out); });
}

void content_decoder::finish() {
  impl_->guarded([&] {
    const auto cut = std::ranges::find_if(impl_->layers, &layer::unfinished);
    if (cut != impl_->layers.end()) {
      fail(cut->coding(), "the data ends in the middle", errc::end_of_stream);
    }
  });
}

std::uint64_t content_decoder::consumed() const noexcept { return impl_->consumed; }
std::uint64_t content_decoder::produced() const noexcept {
  return identity() ? impl_->consumed : impl_->layers.back().produced();
}

}  // namespace oneloop::inline v0::http
