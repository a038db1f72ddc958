#include "oneloop/base/error.hpp"
#include "oneloop/check/wire_internal.hpp"

namespace oneloop::inline v0::detail {

void wire_writer::put_bits(std::uint64_t n) {
  while (n > 127) {
    bytes_ += static_cast<char>((n & 127U) | 128U);
    n >>= 7U;
  }
  bytes_ += static_cast<char>(n);
}

void wire_writer::put(const check_result& r) {
  put(r.ok);
  put(r.status);
  put(r.attempts);
  put(r.final_url);
  put(r.redirects.size());
  for (const auto& step : r.redirects) {
    put(step.status);
    put(step.from);
    put(step.to);
  }
  put(r.error.has_value());
  if (r.error) {
    put(r.error->kind());
    put(r.error->message());
  }
  put(r.warning);
  put(r.bytes);
  put(r.times.queued);
  put(r.times.dns);
  put(r.times.connect);
  put(r.times.tls);
  put(r.times.first_byte);
  put(r.times.total);
  put(r.times.reused);
}

void wire_writer::put(const probe_outcome& o) {
  put(o.may_pass);
  put(o.wait.has_value());
  put(o.wait.value_or(duration::zero()));
}

std::string_view wire_reader::cut(std::size_t n) {
  if (n > bytes_.size()) {
    throw error{make_error_code(errc::protocol), "a result ends before its end"};
  }
  const auto piece = bytes_.substr(0, n);
  bytes_.remove_prefix(n);
  return piece;
}

std::uint64_t wire_reader::get_bits() {
  std::uint64_t n = 0;
  for (unsigned shift = 0;; shift += 7) {
    const auto byte = static_cast<unsigned char>(cut(1).front());
    if (shift > 63) throw error{make_error_code(errc::protocol), "a result with a broken number"};
    n |= std::uint64_t{byte & 127U} << shift;
    if (byte < 128) return n;
  }
}

void wire_reader::get(check_result& r) {
  get(r.ok);
  get(r.status);
  get(r.attempts);
  get(r.final_url);
  for (auto n = get<std::size_t>(); n > 0; --n) {
    auto& step = r.redirects.emplace_back();
    get(step.status);
    get(step.from);
    get(step.to);
  }
  if (get<bool>()) {
    const auto kind = get<http::error_kind>();
    r.error.emplace(kind, get<std::string>());
  }
  get(r.warning);
  get(r.bytes);
  get(r.times.queued);
  get(r.times.dns);
  get(r.times.connect);
  get(r.times.tls);
  get(r.times.first_byte);
  get(r.times.total);
  get(r.times.reused);
}

void wire_reader::get(probe_outcome& o) {
  get(o.may_pass);
  const bool waits = get<bool>();
  const auto wait = get<duration>();
  if (waits) o.wait = wait;
}

}  // namespace oneloop::inline v0::detail
