#include "oneloop/http/error.hpp"

namespace oneloop::inline v0::http {

std::string_view to_string(error_kind kind) noexcept {
  switch (kind) {
    case error_kind::bad_url: return "bad_url";
    case error_kind::dns: return "dns";
    case error_kind::refused: return "refused";
    case error_kind::unreachable: return "unreachable";
    case error_kind::reset: return "reset";
    case error_kind::tls: return "tls";
    case error_kind::timeout: return "timeout";
    case error_kind::protocol: return "protocol";
    case error_kind::redirect: return "redirect";
    case error_kind::too_large: return "too_large";
    case error_kind::status: return "status";
    case error_kind::proxy: return "proxy";
    case error_kind::forbidden: return "forbidden";
    case error_kind::cancelled: return "cancelled";
    case error_kind::missing: return "missing";
  }
  return "unknown";
}

http_error::http_error(error_kind kind, std::string_view phase, std::error_code code,
                       std::string_view message)
    : error{code, message}, kind_{kind}, phase_{phase} {}

http_error::~http_error() = default;

}  // namespace oneloop::inline v0::http
