#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "oneloop/base/error.hpp"
#include "oneloop/check/probe_internal.hpp"
#include "oneloop/http/cookies.hpp"
#include "oneloop/http/date.hpp"
#include "oneloop/http/message.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/net/dns.hpp"
#include "oneloop/net/tls_engine.hpp"
#include "oneloop/scope/context.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/url/url.hpp"

namespace oneloop::inline v0::detail {
namespace {

using http::error_kind;

/// A body is read up to this size.
constexpr std::uint64_t enough = http::client_options::default_max_body;
/// Heads are taken up to this size: browsers take that much, so it is no fault of a link.
constexpr std::size_t most_head = std::size_t{256} * 1024;
/// Where the head of a response says all, so much of its body is read, for so long, that its
/// connection can be used again.
constexpr std::uint64_t enough_after_head = std::uint64_t{64} * 1024;
constexpr duration soon_after_head = std::chrono::seconds{1};
/// While this process has no descriptor left, a try waits so long for one and tries again.
constexpr duration descriptor_wait = std::chrono::milliseconds{50};

bool out_of_descriptors(const error& e) {
  return e.code() == system_code(EMFILE) || e.code() == system_code(ENFILE);
}

/// May a server that answers HEAD like this answer GET better?
bool get_may_do_better(const check_result& r, std::string_view phase) {
  switch (r.error->kind()) {
    case error_kind::status:
      switch (r.status) {
        case 400:
        case 403:
        case 404:
        case 405:
        case 406:
        case 429: return true;
        default: return r.status >= 500;
      }
    case error_kind::timeout:
      return phase != "dns" && phase != "connect" && phase != "proxy" && phase != "tls";
    case error_kind::protocol:
    case error_kind::reset: return true;
    default: return false;
  }
}

void take_redirects(check_result& r, std::span<const http::redirect> steps) {
  for (const auto& step : steps) {
    r.redirects.push_back({step.status, step.from.display(), step.to.display()});
  }
}

task<> read(http::response& from, std::uint64_t limit) {
  std::array<std::byte, 8 * 1024> piece;
  while (from.bytes() <= limit) {
    const auto n = co_await from.read_some(piece);
    if (n == 0) break;
  }
}

}  // namespace

std::string status_line(int status, std::string_view reason) {
  // The peer's own words tell nothing reliable (RFC 9112, 4): they stand in for a status without a
  // usual text only.
  if (const auto usual = http::reason_phrase(status); !usual.empty()) reason = usual;
  std::string text = std::to_string(status);
  if (!reason.empty()) text.append(" ").append(reason);
  return text;
}

bool may_pass(const http::http_error& e) {
  switch (e.kind()) {
    case error_kind::timeout:
    case error_kind::reset: return true;
    case error_kind::dns:
      return e.code() == net::dns_errc::server_failure || e.code() == net::dns_errc::unreachable;
    // A connection that broke in the middle of a response.
    case error_kind::protocol:
      return e.code() == errc::end_of_stream || e.code() == net::tls_errc::truncated;
    default: return false;
  }
}

bool may_pass(int status) { return status == 408 || status == 429 || status >= 500; }

task<> leave_body(http::response& from) {
  auto reading = read(from, enough_after_head);
  auto soon = move_on_after(soon_after_head, std::move(reading));
  (void)co_await std::move(soon);
}

void forget(check_result& r) {
  r.ok = false;
  r.status = 0;
  r.final_url.clear();
  r.redirects.clear();
  r.error.reset();
  r.warning.clear();
  r.bytes = 0;
  r.times = {};
}

check_probe::check_probe(const check_options& options, connections after)
    : options_{options}, client_{[&] {
        http::client_options o{options.client_};
        o.total_timeout(options.timeout_).max_head(most_head);
        if (after == connections::closed) o.idle_timeout(duration::zero());
        return o;
      }()} {}

task<probe_outcome> check_probe::try_once(check_result& r) {
  auto target = url::parse(r.url);
  if (!target) {
    forget(r);
    r.error.emplace(error_kind::bad_url, target.error().message());
    co_return probe_outcome{};
  }
  inquiry i{*std::move(target)};
  i.method = options_.method_;
  i.accept = &options_.accept_;
  auto trying = try_once(r, i);
  const auto outcome = co_await std::move(trying);
  co_return outcome;
}

task<probe_outcome> check_probe::try_once(check_result& r, inquiry& i) {
  forget(r);
  if (!i.target.is_http()) {
    std::string why{"cannot check \""};
    r.error.emplace(error_kind::bad_url,
                    why.append(i.target.scheme()).append(":\", only http: and https:"));
    co_return probe_outcome{};
  }
  if (!i.cookies) i.cookies = options_.cookies_;
  if (!i.cookies) i.cookies = std::make_shared<http::cookie_jar>();
  if (i.method != check_method::get) {
    auto trying = ask(r, i, "HEAD");
    const auto a = co_await std::move(trying);
    if (!r.error || i.method == check_method::head || !get_may_do_better(r, a.failed)) {
      co_return a.outcome;
    }
    if (i.patient && a.outcome.may_pass && a.outcome.wait) co_return a.outcome;
  }
  auto trying = ask(r, i, "GET");
  const auto a = co_await std::move(trying);
  co_return a.outcome;
}

/// One request. While there is no descriptor for it (kept connections to other hosts hold them)
/// it waits for one, up to the timeout.
task<check_probe::answer> check_probe::ask(check_result& r, inquiry& i, const char* method) {
  const loop& here = *context::current().home();
  const time_point until = after(here.now(), options_.timeout_);
  answer a;
  while (true) {
    auto asking = ask_once(r, i, method);
    a = co_await std::move(asking);
    if (!a.no_descriptor || here.now() >= until) break;
    co_await sleep_for(descriptor_wait);
  }
  co_return a;
}

task<check_probe::answer> check_probe::ask_once(check_result& r, inquiry& i, const char* method) {
  forget(r);
  i.moved.reset();
  i.content_type.clear();
  http::request what{method, i.target};
  what.follow(i.follow).cookies(i.cookies).to_stranger(i.stranger);
  i.got = what.method() == "GET";
  answer a;
  std::optional<http::response> response;
  try {
    auto sending = client_.send(std::move(what));
    response.emplace(co_await std::move(sending));
    take_head(r, i, *response, a);
    if (i.got) {
      if (i.body && !r.error && !i.moved) {
        auto reading = i.body(*response);
        co_await std::move(reading);
      } else {
        auto reading = read_body(*response, i);
        co_await std::move(reading);
      }
    }
    r.ok = !r.error && !i.moved;
  } catch (const http::http_error& e) {
    // A status is the better reason than a body that is cut off besides.
    if (!r.error) {
      r.error.emplace(e.kind(), e.what());
      a.outcome.may_pass = may_pass(e);
    }
    a.failed = e.phase();
    if (const auto* past = e.history(); past != nullptr && !response) {
      take_redirects(r, past->redirects);
      r.times = past->times;
    }
  } catch (const error& e) {
    // This process is out of descriptors or memory: nothing is known about the link.
    if (!r.error) r.error.emplace(error_kind::unreachable, e.what());
    a.no_descriptor = out_of_descriptors(e);
  }
  if (response) {
    r.bytes = response->bytes();
    r.times = response->times();
  }
  co_return a;
}

void check_probe::take_head(check_result& r, inquiry& i, const http::response& response,
                            answer& a) const {
  r.status = response.status();
  r.final_url = response.final_url().display();
  take_redirects(r, response.redirects());
  r.warning = response.certificate_problem().value_or("");
  i.content_type = response.fields().get("Content-Type").value_or("");
  const auto now = http::wall_now();
  a.outcome.wait = http::rate_limit(response.fields(), now);
  if (!i.follow) {
    i.moved = response.redirect_target();
    if (i.moved) return;
  }
  const status_set& accepted = i.accept != nullptr ? *i.accept : options_.accept_;
  if (accepted.contains(r.status)) return;
  r.error.emplace(error_kind::status, status_line(r.status, response.reason()));
  a.failed = "status";
  a.outcome.may_pass = may_pass(r.status);
  if (a.outcome.may_pass) {
    if (const auto wait = http::retry_after(response.fields(), now)) a.outcome.wait = wait;
  }
}

/// Of a body that nobody wants, no more than what makes the connection of use.
task<> check_probe::read_body(http::response& from, const inquiry& i) {
  if (i.method == check_method::get && i.follow) {
    auto reading = read(from, enough);
    co_await std::move(reading);
  } else {
    auto leaving = leave_body(from);
    co_await std::move(leaving);
  }
}

}  // namespace oneloop::inline v0::detail
