#include "oneloop/http/client.hpp"

#include "oneloop/base/error.hpp"
#include "oneloop/http/client_core_internal.hpp"
#include "oneloop/http/client_exchange_internal.hpp"
#include "oneloop/http/client_redirect_internal.hpp"

namespace oneloop::inline v0::http {
namespace {

/// Fails where it is awaited.
task<response> failing(http_error why) {
  std::optional<response> none;
  if (!none) throw std::move(why);
  co_return *std::move(none);
}

/// Sends a request for what a text says; the error comes where the task is awaited.
task<response> send_text(const std::shared_ptr<detail::client_cores>& cores, const char* method,
                         std::string_view text, request_body body = {},
                         std::string_view type = {}) {
  auto target = url::parse(text);
  if (!target) {
    return failing(
        {error_kind::bad_url, "url", target.error(),
         "bad URL \"" + detail::without_userinfo(text) + "\": " + target.error().message()});
  }
  request r{method, *std::move(target)};
  if (body) r.body(std::move(body), type);
  return detail::client_core::send(cores, std::move(r));
}

}  // namespace

// ---- request ----

request& request::body(request_body b, std::string_view type) {
  body_ = std::move(b);
  if (!type.empty()) fields_.set("Content-Type", type);
  return *this;
}

// ---- response ----

response::response(std::unique_ptr<detail::exchange> x) noexcept : exchange_{std::move(x)} {}
response::response(response&&) noexcept = default;
response& response::operator=(response&&) noexcept = default;
response::~response() = default;

int response::status() const noexcept { return exchange_->head.status; }
int response::minor_version() const noexcept { return exchange_->head.minor_version; }
std::string_view response::reason() const noexcept { return exchange_->head.reason; }
const headers& response::fields() const noexcept { return exchange_->head.fields; }
const url& response::final_url() const noexcept { return exchange_->target; }
std::span<const redirect> response::redirects() const noexcept { return exchange_->redirects; }
std::optional<url> response::redirect_target() const {
  return detail::redirect_target(status(), fields(), final_url());
}
timing response::times() const noexcept { return exchange_->times(); }
std::uint64_t response::bytes() const noexcept { return exchange_->bytes; }
std::uint64_t response::wire_bytes() const noexcept { return exchange_->wire_bytes; }

const std::optional<std::string>& response::certificate_problem() const noexcept {
  return exchange_->certificate_problem;
}

void response::expect_success() const {
  if (status() / 100 == 2) return;
  std::string text = exchange_->method() + " " + final_url().display() + ": ";
  text += std::to_string(status());
  if (const auto why = reason().empty() ? reason_phrase(status()) : reason(); !why.empty()) {
    text.append(" ").append(why);
  }
  throw http_error{error_kind::status, "status", errc::protocol, text};
}

task<std::size_t> response::read_some(std::span<std::byte> to) { return exchange_->read_some(to); }
task<std::string> response::text(std::uint64_t limit) { return exchange_->text(limit); }
task<std::uint64_t> response::discard(std::uint64_t limit) { return exchange_->discard(limit); }

// ---- client ----

client::client(client_options options)
    : cores_{std::make_shared<detail::client_cores>(std::move(options))} {}
client::client(client&&) noexcept = default;
client& client::operator=(client&& o) noexcept {
  if (this != &o) {
    client old{std::move(*this)};
    cores_ = std::move(o.cores_);
  }
  return *this;
}
client::~client() {
  if (cores_) cores_->close();
}

task<response> client::send(request r) { return detail::client_core::send(cores_, std::move(r)); }
task<response> client::get(std::string_view text) { return send_text(cores_, "GET", text); }
task<response> client::get(url target) { return send(request{"GET", std::move(target)}); }
task<response> client::head(std::string_view text) { return send_text(cores_, "HEAD", text); }
task<response> client::head(url target) { return send(request{"HEAD", std::move(target)}); }
task<response> client::post(std::string_view text, std::string body, std::string type) {
  return send_text(cores_, "POST", text, request_body{std::move(body)}, type);
}
task<response> client::post(url target, request_body body, std::string type) {
  request r{"POST", std::move(target)};
  r.body(std::move(body), type);
  return send(std::move(r));
}

client_statistics client::statistics() const noexcept { return cores_->statistics(); }

task<> client::close() { return detail::client_core::close(cores_); }

}  // namespace oneloop::inline v0::http
