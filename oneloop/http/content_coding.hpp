// Content codings: gzip, deflate, br and zstd, one over the other if need be, decoded in small
// pieces.
//
//     oneloop::http::content_decoder d{head.fields};
//     bool more = false;
//     while (!input.empty() || more) {
//       auto step = d.feed(input, output);           // output: any buffer, 64 KiB is a good size
//       input = input.subspan(step.consumed);
//       use(output.first(step.produced));
//       more = step.produced == output.size();       // a full buffer: there may be more inside
//     }
//     d.finish();                                    // throws if the stream was cut off
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "oneloop/base/config.hpp"
#include "oneloop/http/message.hpp"

namespace oneloop::inline v0::http {

/// What Accept-Encoding should say: what content_decoder decodes, and no more.
[[nodiscard]] ONELOOP_API std::string_view accept_encoding() noexcept;

/// Bounds on what a few bytes may grow to. They hold for the output of every layer.
struct decode_limits {
  /// Bytes.
  std::uint64_t max_output = std::uint64_t{1} << 30;
  /// For each byte that came over the wire, beyond the first `free_output` bytes. Deflate cannot do
  /// better than 1,032 to one, so a gzip file of nothing but zeros passes up to some 300 MiB, and
  /// whatever people write is far from it. A bomb of 16 KiB (br and zstd know no such bound) ends
  /// after 26 MiB.
  std::uint64_t max_ratio = 1000;
  /// Bytes for which the ratio does not matter.
  std::uint64_t free_output = 10 * 1024 * 1024;
};

/// Decodes one body.
///
/// Codings: gzip (x-gzip), deflate (in its zlib frame or, as some servers send it, without), br,
/// zstd with a window of up to 8 MiB (RFC 9659), identity. Further members of a gzip stream and
/// further frames of a zstd stream are decoded too; anything else behind the end of a stream is
/// ignored. A body of no bytes at all is fine: it decodes to nothing.
///
/// Errors: oneloop::error with errc::protocol (unknown coding, too many of them, broken data),
/// errc::limit_exceeded (decode_limits) or errc::end_of_stream (finish); afterwards every call
/// throws the same again. Messages name the coding: "decode gzip: incorrect data check".
/// Threads: none of its own; one caller at a time.
/// Cost: 40 KiB for gzip and deflate, up to 16 MiB for br and 8 MiB for zstd if the sender wants so
/// large a window; 16 KiB between two layers.
class ONELOOP_API content_decoder {
 public:
  /// Codings on top of each other; one more is an error. Identity does not count.
  static constexpr std::size_t max_layers = 3;

  /// For a body with these fields: all Content-Encoding fields count, in order.
  explicit content_decoder(const headers& fields, decode_limits limits = {});
  /// For the value of a Content-Encoding field.
  explicit content_decoder(std::string_view codings, decode_limits limits = {});
  ~content_decoder();
  content_decoder(content_decoder&&) noexcept;
  content_decoder& operator=(content_decoder&&) noexcept;

  /// No coding at all: feed() just copies, and may as well be left out.
  [[nodiscard]] bool identity() const noexcept;

  struct progress {
    std::size_t consumed = 0;  // bytes of the input that are used up
    std::size_t produced = 0;  // bytes written to the output
    bool ended = false;        // the stream is complete; what may still come is a further member
  };
  /// Decodes from `in` to `out`, until one of them is used up. If it does not fill `out`, it has
  /// consumed all of `in` and holds nothing back; if it does, call it again, with what is left of
  /// `in` or with nothing. An empty `out` is fine and leads nowhere.
  progress feed(std::span<const std::byte> in, std::span<std::byte> out);

  /// The body has ended (and feed has given all): throws errc::end_of_stream if its stream has not.
  void finish();

  /// Bytes that feed() has consumed and produced so far.
  [[nodiscard]] std::uint64_t consumed() const noexcept;
  [[nodiscard]] std::uint64_t produced() const noexcept;

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace oneloop::inline v0::http
