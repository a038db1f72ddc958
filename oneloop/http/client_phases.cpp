#include <algorithm>

#include "oneloop/http/client_phases_internal.hpp"
#include "oneloop/loop/loop.hpp"

namespace oneloop::inline v0::http::detail {
namespace {

/// "timeout after 2 s " + this + the object.
std::string_view activity(phase p) noexcept {
  switch (p) {
    case phase::queue: return "waiting for a place among the connections to ";
    case phase::dns: return "resolving ";
    case phase::connect: return "connecting to ";
    case phase::proxy: return "waiting for the proxy ";
    case phase::tls: return "in the TLS handshake with ";
    case phase::write: return "sending the request to ";
    case phase::first_byte: return "waiting for the first byte from ";
    case phase::stall: return "waiting for more of the response from ";
  }
  return "waiting for ";
}

}  // namespace

std::string_view name_of(phase p) noexcept {
  switch (p) {
    case phase::queue: return "queue";
    case phase::dns: return "dns";
    case phase::connect: return "connect";
    case phase::proxy: return "proxy";
    case phase::tls: return "tls";
    case phase::write: return "write";
    case phase::first_byte: return "first_byte";
    case phase::stall: return "stall";
  }
  return "total";
}

std::string text_of(duration d) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(d).count();
  if (ms < 1000) return std::to_string(ms) + " ms";
  std::string text = std::to_string(ms / 1000);
  if (ms % 1000 != 0) {
    std::string rest = std::to_string(1000 + ms % 1000).substr(1);
    rest.erase(rest.find_last_not_of('0') + 1);
    text.append(".").append(rest);
  }
  return text + " s";
}

duration phase_clock::limit() const noexcept {
  switch (phase_) {
    case phase::queue: return duration::max();
    case phase::dns: return limits_.dns;
    case phase::connect: return limits_.connect;
    case phase::proxy: return limits_.proxy;
    case phase::tls: return limits_.tls;
    case phase::write: return limits_.write;
    case phase::first_byte: return limits_.first_byte;
    case phase::stall: return limits_.stall;
  }
  return duration::max();
}

void phase_clock::enter(phase p, std::string_view object, duration spent) {
  // Once the scope is cancelled the next wait throws: the phase that took too long stays named.
  if (scope_->cancel_called()) return;
  phase_ = p;
  object_ = object;
  arm(limit(), spent);
}

void phase_clock::enter_unlimited() {
  if (!scope_->cancel_called()) arm(duration::max());
}

void phase_clock::arm(duration most, duration spent) {
  entered_ = scope_->home()->now() - spent;
  deadline_ = after(entered_, most);
  scope_->set_deadline(phase_ == phase::queue ? never : std::min(deadline_, total_deadline_));
}

duration phase_clock::elapsed() const { return scope_->home()->now() - entered_; }

duration phase_clock::leave_queue() {
  const duration waited = elapsed();
  total_deadline_ = after(total_deadline_, waited);
  return waited;
}

http_error phase_clock::expired() const {
  const bool total = total_deadline_ <= deadline_;
  std::string text = "timeout after " + text_of(total ? total_ : limit());
  text.append(total ? " in total, " : " ").append(activity(phase_)).append(object_);
  return http_error{error_kind::timeout, total ? "total" : name_of(phase_), errc::timed_out, text};
}

}  // namespace oneloop::inline v0::http::detail
