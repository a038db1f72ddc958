#include "oneloop/http/body.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "oneloop/base/error.hpp"

namespace oneloop::inline v0::http {
namespace {

/// Gives the bytes of a text.
class text_source {
 public:
  explicit text_source(std::shared_ptr<const std::string> text) noexcept : text_{std::move(text)} {}
  task<std::size_t> operator()(std::span<std::byte> to) {
    const std::size_t n = std::min(to.size(), text_->size() - given_);
    std::memcpy(to.data(), text_->data() + given_, n);
    given_ += n;
    co_return n;
  }

 private:
  std::shared_ptr<const std::string> text_;
  std::size_t given_ = 0;
};

}  // namespace

request_body::request_body(std::string bytes)
    : bytes_{std::make_shared<const std::string>(std::move(bytes))} {}

request_body request_body::streamed(std::function<body_source()> make,
                                    std::optional<std::uint64_t> size) {
  if (!make) throw misuse{"http request_body: streamed() of nothing"};
  request_body b;
  b.make_ = std::move(make);
  b.size_ = size;
  return b;
}

request_body request_body::once(body_source source, std::optional<std::uint64_t> size) {
  if (!source) throw misuse{"http request_body: once() of nothing"};
  request_body b;
  b.once_ = std::make_shared<body_source>(std::move(source));
  b.size_ = size;
  return b;
}

std::optional<std::uint64_t> request_body::size() const noexcept {
  return bytes_ ? bytes_->size() : size_;
}

bool request_body::available() const noexcept { return !once_ || *once_; }

body_source request_body::open() const {
  if (bytes_) return text_source{bytes_};
  body_source source;
  if (make_) source = make_();
  if (once_) source = std::exchange(*once_, nullptr);
  if (!source) throw misuse{"http request_body: its source has been used, or was never there"};
  return source;
}

}  // namespace oneloop::inline v0::http
