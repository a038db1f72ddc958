#include <algorithm>
#include <array>
#include <utility>

#include "oneloop/base/error.hpp"
#include "oneloop/http/client_core_internal.hpp"
#include "oneloop/http/client_redirect_internal.hpp"
#include "oneloop/http/content_coding.hpp"
#include "oneloop/http/cookies.hpp"
#include "oneloop/http/date.hpp"
#include "oneloop/http/text_internal.hpp"
#include "oneloop/http/tunnel_internal.hpp"
#include "oneloop/scope/context.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/task/region.hpp"

namespace oneloop::inline v0::http::detail {
namespace {

/// What is read of a redirect's body so that its connection can be used again.
constexpr std::uint64_t redirect_body_limit = 64 * 1024;
constexpr duration redirect_body_time = std::chrono::seconds{1};
/// Of a request, in bytes: what memory is taken for beforehand.
constexpr std::size_t usual_head = 256;
/// A body of up to so many bytes goes out with the head.
constexpr std::size_t small_body = 16 * 1024;

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

/// The client sets these: they follow from the body.
void check_framing(std::string_view name) {
  for (const char* ours : {"Content-Length", "Transfer-Encoding"}) {
    if (equal_ignoring_case(name, ours)) {
      throw misuse{std::string{"http client: "} + ours +
                   " is not for users to set; see request::body"};
    }
  }
}

/// What would change where the request ends, or what the connection is.
void check(const request& r) {
  if (r.method() == "CONNECT") throw misuse{"http client: CONNECT cannot be sent by send()"};
  if (r.method() == "TRACE" && r.body()) throw misuse{"http client: TRACE has no body"};
  for (const field f : r.fields()) check_framing(f.name);
  if (!r.target().is_http()) {
    throw http_error{
        error_kind::bad_url, "url", errc::protocol,
        "bad URL \"" + r.target().display() + "\": only http and https can be fetched"};
  }
}

/// A host that an option is bound to, as URLs write it: "example.org", "[::1]:8080".
std::string bound_host(const std::string& text) {
  if (text.empty()) return {};
  auto at = url::parse("http://" + text + "/");
  if (!at) at = url::parse("http://[" + text + "]/");
  if (!at || at->has_credentials() || at->request_target() != "/") {
    throw misuse{"http client: \"" + without_userinfo("http://" + text).substr(7) +
                 "\" is no host that something can be bound to"};
  }
  // Port 80 counts too, which URLs of http leave out.
  const auto with_port = at->port() ? at : url::parse("https://" + text + "/");
  return with_port ? with_port->host_header() : at->host_header();
}

bool is_bound_to(const std::string& host, const url& target) {
  return host == target.host() ||
         host == std::string{target.host()} + ":" + std::to_string(*target.effective_port());
}

/// Reads and drops what is left of a response, if that is little and comes soon.
task<> drain(exchange& x) {
  x.leave_coded();
  auto rest = x.discard(redirect_body_limit);
  auto soon = move_on_after(redirect_body_time, std::move(rest));
  try {
    (void)co_await std::move(soon);
  } catch (const error&) {  // what it was worth: the connection is closed
  }
}

}  // namespace

std::string basic(std::string_view user, std::string_view password) {
  return "Basic " + base64(std::string{user}.append(":").append(password));
}

namespace {
/// User name and password of a URL that has them.
std::string authorization_in(const url& u) {
  return basic(percent_decode(u.username()), percent_decode(u.password()));
}
}  // namespace

// ---- the cores of a client ----

namespace {

/// The cores of a loop.
class cores_of_loop final : public loop_extension {
 public:
  explicit cores_of_loop(loop&) {}
  std::vector<std::shared_ptr<client_core>> cores;
};

/// On the loop `l`, or where nobody runs it.
void end_core(loop& l, client_core* core) noexcept {
  core->connections().close();
  core->connections().drop_idle();
  std::erase_if(l.extension<cores_of_loop>().cores,
                [&](const auto& known) { return known.get() == core; });
}

void add(client_statistics& sum, const client_statistics& s) noexcept {
  sum.opened += s.opened;
  sum.reused += s.reused;
  sum.discarded += s.discarded;
  sum.retried += s.retried;
}

}  // namespace

client_cores::client_cores(client_options o) : options{std::move(o)} {
  headers valid;  // throws for what is none
  for (auto& f : options.fields_) {
    check_framing(f.name);
    valid.add(f.name, f.value);
    f.host = bound_host(f.host);
  }
  for (auto& c : options.credentials_) c.host = bound_host(c.host);
}

std::shared_ptr<client_core> client_cores::find_here() const {
  for (const auto& core : loop::current()->extension<cores_of_loop>().cores) {
    if (core->is_of(*this)) return core;
  }
  return nullptr;
}

std::shared_ptr<client_core> client_cores::here() {
  auto core = find_here();
  loop& home = *loop::current();
  if (!core) core = std::make_shared<client_core>(shared_from_this());
  const std::scoped_lock hold{mutex_};
  if (closed_) throw closed_error{"http client"};
  if (std::ranges::find(cores_, core.get(), &known::core) == cores_.end()) {
    home.extension<cores_of_loop>().cores.push_back(core);
    cores_.push_back({core.get(), &home, std::this_thread::get_id()});
  }
  return core;
}

void client_cores::left(const client_core& core) noexcept {
  const std::scoped_lock hold{mutex_};
  add(past_, core.connections().statistics());
  std::erase_if(cores_, [&](const known& k) { return k.core == &core; });
}

void client_cores::close(const loop* except) noexcept {
  std::vector<known> mine;
  {
    // While the lock is held no loop ends with a core of ours.
    const std::scoped_lock hold{mutex_};
    closed_ = true;
    for (known& k : cores_) {
      if (k.home == except || k.told) continue;
      const bool undriven = loop::current() == nullptr && k.home->on_own_thread();
      if (k.home == loop::current() || (undriven && k.thread == std::this_thread::get_id())) {
        mine.push_back(k);
      } else {
        k.told = k.home->post([home = k.home, core = k.core] { end_core(*home, core); });
      }
    }
  }
  for (const known& k : mine) end_core(*k.home, k.core);
}

client_statistics client_cores::statistics() const noexcept {
  const std::scoped_lock hold{mutex_};
  client_statistics sum = past_;
  for (const known& k : cores_) {
    const client_statistics s = k.core->connections().statistics();
    add(sum, s);
    sum.idle += s.idle;
    sum.in_use += s.in_use;
    sum.waiting += s.waiting;
  }
  return sum;
}

// ---- one core ----

client_core::client_core(std::shared_ptr<client_cores> all)
    : all_{std::move(all)},
      options_{all_->options},
      pool_{std::make_shared<pool>(pool_limits{.connections = options_.max_connections_,
                                               .per_host = options_.per_host_,
                                               .per_address = options_.per_address_,
                                               .idle_timeout = options_.idle_timeout_,
                                               .max_age = options_.max_age_})} {
  // Resolver and loop end together; the pool may outlive this.
  pool_->on_detach = [this] { resolver_.reset(); };
  pool_->enter("http client");
}

client_core::~client_core() {
  pool_->on_detach = nullptr;
  all_->left(*this);
}

task<response> client_core::send(std::shared_ptr<client_cores> all, request r) {
  auto self = all->here();
  check(r);
  phase_clock clock{self->options_.timeouts_, self->options_.total_timeout_, self->pool_->now()};
  request_history past;
  try {
    opened x;
    {
      scope_region region{context::current(), scope_options{}};
      clock.bind(region.scope());
      try {
        auto following = self->follow(r, clock, past);
        x = co_await std::move(following);
        region.ended_normally();
      } catch (const cancelled&) {
        if (!region.absorb()) throw;
      }
    }
    if (!x) throw clock.expired();
    co_return response{std::move(x)};
  } catch (http_error& e) {
    past.times.total = self->pool_->now() - clock.started();
    e.history(std::make_shared<const request_history>(std::move(past)));
    throw;
  }
}

task<client_core::opened> client_core::follow(request& r, phase_clock& clock,
                                              request_history& past) {
  redirect_trail trail{options_.max_redirects_};
  hop h{std::move(r)};
  h.foreign = h.ask.goes_to_stranger();
  while (true) {
    cookie_jar* const jar = jar_of(h.ask);
    const auto own_cookies = h.ask.fields().joined("Cookie");
    h.cookies.clear();
    if (jar != nullptr && own_cookies.empty()) {
      h.cookies = jar->header_for(h.ask.target(), wall_now());
    }
    auto note = [&] { trail.ask(h.ask.method(), h.ask.target(), own_cookies + h.cookies); };
    if (!trail.steps().empty()) note();
    auto opening = open(h, clock, past);
    auto x = co_await std::move(opening);
    if (jar != nullptr) jar->store(h.ask.target(), x->head.fields, wall_now());
    if (x->head.status == 417 && x->asked_first() && h.ask.body().available()) {
      h.ask.expect_continue(false);
      trail.forget_last();
      continue;
    }
    std::optional<url> next;
    if (h.ask.follows()) {
      next = redirect_target(x->head.status, x->head.fields, h.ask.target());
    }
    if (!next) {
      x->redirects = std::move(trail.steps());
      co_return std::move(x);
    }
    if (trail.steps().empty()) note();  // most requests are not redirected
    trail.follow({x->head.status, h.ask.target(), *next, retry_after(x->head.fields, wall_now())});
    past.redirects = trail.steps();
    h = redirected(h, x->head.status, *next);
    clock.enter_unlimited();
    auto draining = drain(*x);
    co_await std::move(draining);
  }
}

hop client_core::redirected(const hop& from, int status, const url& to) {
  const request& was = from.ask;
  hop h = from;
  h.ask = request{redirected_method(status, was.method()), to};
  headers& fields = h.ask.fields();
  fields = was.fields();
  const bool with_body = was.body() && h.ask.method() == was.method();
  if (with_body) {
    if (!was.body().available()) {
      throw http_error{error_kind::redirect, "redirect", errc::protocol,
                       "redirect from " + was.target().display() + " to " + to.display() +
                           " asks for the body again, and it could be sent only once"};
    }
    h.ask.body(was.body()).expect_continue(was.expects_continue());
  } else {
    remove_content(fields);
  }
  h.ask.cookies(was.cookies()).follow(was.follows()).to_stranger(was.goes_to_stranger());
  if (const auto decode = was.decodes()) h.ask.decode(*decode);
  h.after_https = h.after_https || was.target().scheme() == "https";
  if (!same_origin(was.target(), to)) {
    h.foreign = true;
    h.authorization.clear();
    remove_private(fields, with_body);
  } else if (was.target().has_credentials()) {
    h.authorization = authorization_in(was.target());
  }
  return h;
}

task<client_core::opened> client_core::open(const hop& h, phase_clock& clock,
                                            request_history& past) {
  const request& r = h.ask;
  const origin_key key = key_of(r);
  auto had = pool::take_now(pool_, key);
  duration queued{};
  if (!had) {
    clock.enter(phase::queue, key.name());
    auto taking = pool::take(pool_, key);
    had = co_await std::move(taking);
    queued = clock.leave_queue();
  }
  lease place = *std::move(had);
  timing& times = past.times;
  times = timing{.queued = times.queued + queued};
  bool fresh = !place;
  while (true) {
    if (fresh) {
      auto dialing = dial(r, clock, times);
      auto made = co_await std::move(dialing);
      place.adopt(std::move(made));
    }
    outgoing message = message_of(h, *place);
    const bool proxy_reads_it = place->absolute_form;
    auto x = std::make_unique<exchange>(std::move(place), r, decodes(r));
    x->owner = pool_;
    x->measured = times;
    try {
      auto beginning = x->begin(std::move(message), clock);
      co_await std::move(beginning);
      if (proxy_reads_it && x->head.status == 407) {
        fail_proxy(*options_.proxies_.for_url(r.target()), "407 " + std::string{reason_phrase(407)},
                   errc::protocol);
      }
      co_return std::move(x);
    } catch (const http_error&) {
      // A kept connection that the server was closing at that very moment: once more, on a new one.
      if (fresh || !x->died_unanswered() || !is_idempotent(r.method()) || !r.body().available()) {
        throw;
      }
    }
    place = x->take_lease();
    fresh = true;
    pool_->note_retry();
  }
}

origin_key client_core::key_of(const request& r) const {
  const url& to = r.target();
  origin_key key;
  key.scheme = to.scheme();
  key.host = to.host();
  key.port = to.effective_port().value_or(0);
  if (const auto through = options_.proxies_.for_url(to)) key.proxy = through->href();
  if (key.scheme == "https" || key.proxy.starts_with("https:")) {
    key.tls_profile = options_.insecure_ ? "insecure" : "verify";
    key.tls_profile.append("\n").append(options_.ca_file_);
    if (!r.goes_to_stranger()) {
      key.tls_profile.append("\n").append(options_.certificate_file_);
      key.tls_profile.append("\n").append(options_.key_file_);
    }
  }
  if (options_.exclude_private_) key.addresses = "public ";
  if (const auto* told = told_address(key.host, key.port)) key.addresses += told->to_string();
  return key;
}

cookie_jar* client_core::jar_of(const request& r) const noexcept {
  return r.cookies() ? r.cookies().get() : options_.cookies_.get();
}

bool client_core::decodes(const request& r) const noexcept {
  return r.decodes().value_or(options_.decode_);
}

headers client_core::fields_of(const hop& h) const {
  headers all = h.ask.fields();
  for (const bool bound : {true, false}) {
    headers more;
    for (const auto& f : options_.fields_) {
      if (f.host.empty() == bound || all.contains(f.name)) continue;
      const bool goes = bound ? !h.exposed() && is_bound_to(f.host, h.ask.target())
                              : !h.foreign || may_cross_origins(f.name);
      if (goes) more.add(f.name, f.value);
    }
    for (const field f : more) all.add(f.name, f.value);
  }
  return all;
}

std::string client_core::authorization_of(const hop& h) const {
  const url& to = h.ask.target();
  if (to.has_credentials()) return authorization_in(to);
  if (!h.authorization.empty()) return h.authorization;
  for (const auto& c : options_.credentials_) {
    if (!h.exposed() && is_bound_to(c.host, to)) return basic(c.user, c.password);
  }
  return {};
}

outgoing client_core::message_of(const hop& h, const connection& over) const {
  const request& r = h.ask;
  const headers given = fields_of(h);
  std::string what = r.target().request_target();
  if (over.absolute_form) what.insert(0, r.target().origin());
  outgoing out;
  out.head.reserve(usual_head);
  write_request_line(out.head, r.method(), what, 1);
  auto unless_given = [&](std::string_view name, std::string_view value) {
    if (value.empty() || given.contains(name)) return;
    write_field(out.head, name, checked_value(name, value));
  };
  write_field(out.head, "Host", given.get("Host").value_or(r.target().host_header()));
  unless_given("User-Agent", options_.user_agent_);
  unless_given("Accept", "*/*");
  if (given.contains("Range")) {
    unless_given("Accept-Encoding", "identity");
  } else if (decodes(r)) {
    unless_given("Accept-Encoding", accept_encoding());
  }
  unless_given("Authorization", authorization_of(h));
  unless_given("Cookie", h.cookies);
  unless_given("Proxy-Authorization", over.proxy_authorization);
  if (const auto size = r.body().size()) {
    write_field(out.head, "Content-Length", std::to_string(*size));
  } else if (r.body()) {
    write_field(out.head, "Transfer-Encoding", "chunked");
  } else if (r.method() == "POST" || r.method() == "PUT" || r.method() == "PATCH") {
    write_field(out.head, "Content-Length", "0");
  }
  if (r.body() && r.expects_continue()) {
    write_field(out.head, "Expect", "100-continue");
    out.asks_first = true;
  }
  for (const field f : given) {
    if (!equal_ignoring_case(f.name, "Host")) write_field(out.head, f.name, f.value);
  }
  out.head += "\r\n";
  const std::string* const bytes = r.body().bytes();
  if (bytes != nullptr && bytes->size() <= small_body && !out.asks_first) {
    out.head += *bytes;
  } else {
    out.body = r.body();
  }
  return out;
}

task<> client_core::close(std::shared_ptr<client_cores> all) {
  auto self = all->find_here();
  all->close(loop::current());
  if (!self) co_return;
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
