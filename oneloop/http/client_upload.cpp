#include <algorithm>
#include <cstring>

#include "oneloop/http/client_upload_internal.hpp"
#include "oneloop/http/codec.hpp"
#include "oneloop/http/error.hpp"
#include "oneloop/net/stream.hpp"

namespace oneloop::inline v0::http::detail {

upload::upload(const request_body& body, std::string what)
    : source_{body.open()},
      size_{body.size()},
      what_{std::move(what)},
      buffer_(before + piece + after) {}

task<std::span<const std::byte>> upload::next() {
  if (over_) co_return std::span<const std::byte>{};
  const std::span room = std::span{buffer_}.subspan(before, piece);
  std::size_t n = 0;
  if (size_ != 0u) {
    auto reading = source_(room);
    n = co_await std::move(reading);
  }
  given_ += n;
  if (size_) {
    if (given_ < *size_ && n == 0) wrong_size("ended after ");
    if (given_ == *size_) {
      // Before the last piece goes out: is it the last one?
      std::vector<std::byte> beyond(piece);
      auto looking = source_(beyond);
      const auto surplus = co_await std::move(looking);
      given_ += surplus;
      over_ = true;
    }
    if (given_ > *size_) wrong_size("gives at least ");
    co_return room.first(n);
  }
  if (n == 0) {
    over_ = true;
    co_return net::bytes_of(last_chunk);
  }
  std::string line;
  write_chunk_start(line, n);
  const auto begin = before - line.size();
  std::memcpy(buffer_.data() + begin, line.data(), line.size());
  std::memcpy(buffer_.data() + before + n, chunk_end.data(), after);
  co_return std::span{buffer_}.subspan(begin, line.size() + n + after);
}

void upload::wrong_size(const char* verb) const {
  throw http_error{error_kind::protocol, "write", errc::protocol,
                   "body of " + what_ + ": its source " + verb + std::to_string(given_) +
                       " bytes, and " + std::to_string(*size_) + " were promised"};
}

}  // namespace oneloop::inline v0::http::detail
