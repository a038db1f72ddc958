#include <algorithm>
#include <array>

#include "oneloop/base/error.hpp"
#include "oneloop/http/client_core_internal.hpp"
#include "oneloop/http/client_redirect_internal.hpp"
#include "oneloop/scope/context.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/task/region.hpp"

namespace oneloop::inline v0::http::detail {
namespace {

/// What is read of a redirect's body so that its connection can be used again.
constexpr std::uint64_t redirect_body_limit = 64 * 1024;
constexpr duration redirect_body_time = std::chrono::seconds{1};

/// May be sent again when nobody knows whether the first one was seen (RFC 9110, 9.2.2).
bool is_idempotent(std::string_view method) noexcept {
  static constexpr std::array<std::string_view, 6> names{"GET", "HEAD",   "OPTIONS",
                                                         "PUT", "DELETE", "TRACE"};
  return std::ranges::find(names, method) != names.end();
}

std::string base64(std::string_view bytes) {
  static constexpr char digits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    const std::size_t n = std::min<std::size_t>(3, bytes.size() - i);
    for (std::size_t k = 0; k < 3; ++k) {
      group = group << 8 | (k < n ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      text += k <= n ? digits[group >> (18 - 6 * k) & 63] : '=';
    }
  }
  return text;
}

/// What would change where the request ends, or what the connection is.
void check(const request& r) {
  if (r.method() == "CONNECT") throw misuse{"http client: CONNECT cannot be sent by send()"};
  for (const char* name : {"Content-Length", "Transfer-Encoding"}) {
    if (r.fields().contains(name)) {
      throw misuse{std::string{"http client: a request without a body has no "} + name};
    }
  }
  if (!r.target().is_http()) {
    throw http_error{
        error_kind::bad_url, "url", errc::protocol,
        "bad URL \"" + r.target().display() + "\": only http and https can be fetched"};
  }
}

/// Reads and drops what is left of a response, if that is little and comes soon.
task<> drain(exchange& x) {
  auto rest = x.discard(redirect_body_limit);
  auto soon = move_on_after(redirect_body_time, std::move(rest));
  try {
    (void)co_await std::move(soon);
  } catch (const error&) {  // what it was worth: the connection is closed
  }
}

}  // namespace

client_core::client_core(client_options options)
    : options_{std::move(options)},
      pool_{std::make_shared<pool>(options_.per_host_, options_.idle_timeout_)} {
  // Resolver and loop end together; the pool may outlive this.
  pool_->on_detach = [this] { resolver_.reset(); };
  if (loop::current() != nullptr) pool_->enter("http client");
}

client_core::~client_core() { pool_->on_detach = nullptr; }

task<response> client_core::send(std::shared_ptr<client_core> self, request r) {
  self->pool_->enter("http client");
  if (self->pool_->closed()) throw closed_error{"http client"};
  check(r);
  phase_clock clock{self->options_.timeouts_, self->options_.total_timeout_, self->pool_->now()};
  auto body = [&](cancel_scope& scope) -> task<opened> {
    clock.bind(scope);
    auto following = self->follow(std::move(r), clock);
    auto x = co_await std::move(following);
    co_return std::move(x);
  };
  auto bounded = with_scope(scope_options{}, body);
  auto x = co_await std::move(bounded);
  if (!x) throw clock.expired();
  co_return response{*std::move(x)};
}

task<client_core::opened> client_core::follow(request r, phase_clock& clock) {
  redirect_trail trail{options_.max_redirects_};
  duration queued{};
  while (true) {
    auto opening = open(r, clock, queued);
    auto x = co_await std::move(opening);
    std::optional<url> next;
    if (r.follows()) next = redirect_target(x->head.status, x->head.fields, r.target());
    if (!next) {
      x->redirects = std::move(trail.steps());
      x->measured.queued = queued;
      co_return std::move(x);
    }
    trail.follow(x->head.status, r.target(), *next, r.method());
    request again{redirected_method(x->head.status, r.method()), *next};
    again.fields() = r.fields();
    if (!same_origin(r.target(), *next)) remove_credentials(again.fields());
    clock.enter_unlimited();
    auto draining = drain(*x);
    co_await std::move(draining);
    x.reset();
    r = std::move(again);
  }
}

task<client_core::opened> client_core::open(const request& r, phase_clock& clock,
                                            duration& queued) {
  const origin_key key = key_of(r.target());
  clock.enter(phase::queue, key.name());
  auto taking = pool::take(pool_, key);
  lease place = co_await std::move(taking);
  queued += clock.leave_queue();
  timing times;
  bool fresh = !place.reuse();
  while (true) {
    if (fresh) {
      auto dialing = dial(r.target(), clock, times);
      auto made = co_await std::move(dialing);
      place.adopt(std::move(made));
    }
    auto x = std::make_unique<exchange>(std::move(place), r);
    x->owner = pool_;
    x->measured = times;
    try {
      auto beginning = x->begin(head_of(r), clock);
      co_await std::move(beginning);
      co_return std::move(x);
    } catch (const http_error&) {
      // A kept connection that the server was closing at that very moment: once more, on a new one.
      if (fresh || !x->died_unanswered() || !is_idempotent(r.method())) throw;
    }
    place = x->take_lease();
    fresh = true;
    pool_->note_retry();
  }
}

origin_key client_core::key_of(const url& to) const {
  origin_key key;
  key.scheme = to.scheme();
  key.host = to.host();
  key.port = to.effective_port().value_or(0);
  if (key.scheme == "https") {
    key.tls_profile = (options_.insecure_ ? "insecure " : "verify ") + options_.ca_file_;
  }
  return key;
}

std::string client_core::head_of(const request& r) const {
  const url& to = r.target();
  request_head head{r.method(), to.request_target()};
  const headers& given = r.fields();
  head.fields.add("Host", given.get("Host").value_or(to.host_header()));
  if (!given.contains("User-Agent") && !options_.user_agent_.empty()) {
    head.fields.add("User-Agent", options_.user_agent_);
  }
  if (!given.contains("Accept")) head.fields.add("Accept", "*/*");
  if (to.has_credentials() && !given.contains("Authorization")) {
    const std::string user = percent_decode(to.username()) + ":" + percent_decode(to.password());
    head.fields.add("Authorization", "Basic " + base64(user));
  }
  if (r.method() == "POST" || r.method() == "PUT" || r.method() == "PATCH") {
    head.fields.add("Content-Length", "0");
  }
  for (const field f : given) {
    if (!equal_ignoring_case(f.name, "Host")) head.fields.add(f.name, f.value);
  }
  std::string text;
  write_head(text, head);
  return text;
}

task<> client_core::close(std::shared_ptr<client_core> self) {
  self->pool_->enter("http client");
  self->pool_->close();
  auto goodbyes = [](pool& p) -> task<> {
    while (auto c = p.take_any_idle()) {
      if (c->tls) {
        try {
          co_await c->stream.shutdown_write();
        } catch (const error&) {  // gone already
        }
      }
    }
  };
  auto bounded = move_on_after(std::chrono::seconds{1}, goodbyes, std::ref(*self->pool_));
  (void)co_await std::move(bounded);
  self->pool_->drop_idle();
}

}  // namespace oneloop::inline v0::http::detail
