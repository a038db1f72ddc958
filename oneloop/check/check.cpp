#include "oneloop/check/check.hpp"

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <utility>

#include "oneloop/base/error.hpp"
#include "oneloop/http/message.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/context.hpp"
#include "oneloop/sync/mutex.hpp"
#include "oneloop/sync/semaphore.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/url/url.hpp"

namespace oneloop::inline v0 {
namespace {

using http::error_kind;

/// A body is read up to this size, so that its connection can be used again; a longer one is cut.
constexpr std::uint64_t enough_after_head = std::uint64_t{256} * 1024;
constexpr std::uint64_t enough = http::client_options::default_max_body;

std::string status_line(int status, std::string_view reason) {
  // The peer's own words tell nothing reliable (RFC 9112, 4): they stand in for a status without a
  // usual text only.
  if (const auto usual = http::reason_phrase(status); !usual.empty()) reason = usual;
  std::string text = std::to_string(status);
  if (!reason.empty()) text.append(" ").append(reason);
  return text;
}

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
    case error_kind::timeout: return phase != "dns" && phase != "connect" && phase != "tls";
    case error_kind::protocol:
    case error_kind::reset: return true;
    default: return false;
  }
}

/// The phase of a request that failed for the want of a descriptor.
constexpr std::string_view no_descriptor = "descriptor";

duration at_least(duration a, duration b) { return std::max(a, b); }

}  // namespace

void check_summary::add(const check_result& r) noexcept {
  if (r.ok || !r.error) {
    ++ok_;
  } else {
    ++bad_;
    ++by_kind_[static_cast<std::size_t>(r.error->kind())];
  }
}

/// One run of check_urls.
class link_checker {
 public:
  link_checker(check_source source, check_sink sink, const check_options& options)
      : source_{std::move(source)},
        sink_{std::move(sink)},
        options_{options},
        client_{client_options(options)},
        slots_{options.concurrency_},
        loop_{*context::current().home()} {}

  task<check_summary> run() {
    const time_point begun = loop_.now();
    bool given_up = false;
    try {
      co_await with_nursery([this](nursery& outer) -> task<> {
        outer.start(named{"watch for cancel", watch}, this);
        co_await with_nursery([this](nursery& n) -> task<> {
          auto feeding = feed(n);
          co_await std::move(feeding);
        });
        outer.cancel();
      });
    } catch (const cancelled&) {
      given_up = true;
    }
    if (given_up) {
      auto rest = report_rest();
      co_await std::move(rest);
      throw cancelled{};
    }
    auto closing = client_.close();
    co_await std::move(closing);
    summary_.took(loop_.now() - begun);
    co_return summary_;
  }

 private:
  static http::client_options client_options(const check_options& o) {
    http::phase_timeouts phases;
    phases.write = at_least(phases.write, o.timeout_);
    phases.first_byte = at_least(phases.first_byte, o.timeout_);
    phases.stall = at_least(phases.stall, o.timeout_);
    http::client_options c;
    c.timeouts(phases)
        .total_timeout(o.timeout_)
        .max_redirects(o.max_redirects_)
        .per_host(o.per_host_ == 0 ? o.concurrency_ : o.per_host_)
        .insecure(o.insecure_);
    if (!o.ca_file_.empty()) c.ca_file(o.ca_file_);
    if (!o.user_agent_.empty()) c.user_agent(o.user_agent_);
    return c;
  }

  task<> feed(nursery& n) {
    while (true) {
      auto slot = co_await slots_.permit();
      auto asking = source_();
      auto input = co_await std::move(asking);
      if (!input) break;
      n.start(named{"check", check}, this, *std::move(input), std::move(slot));
    }
  }

  static task<> check(link_checker* self, std::string input,
                      [[maybe_unused]] semaphore_permit slot) {
    check_result r{std::move(input)};
    const time_point begun = self->loop_.now();
    bool given_up = false;
    try {
      auto examining = self->examine(r);
      co_await std::move(examining);
    } catch (const cancelled&) {
      given_up = true;
      r.ok = false;
      r.error.emplace(error_kind::cancelled, "cancelled");
    }
    r.times.total = self->loop_.now() - begun;
    auto delivering = self->deliver(std::move(r));
    co_await std::move(delivering);
    if (given_up) throw cancelled{};
  }

  task<> examine(check_result& r) {
    auto target = url::parse(r.url);
    if (!target) {
      r.error.emplace(error_kind::bad_url, target.error().message());
      co_return;
    }
    if (!target->is_http()) {
      std::string why{"cannot check \""};
      r.error.emplace(error_kind::bad_url,
                      why.append(target->scheme()).append(":\", only http: and https:"));
      co_return;
    }
    if (options_.method_ != check_method::get) {
      auto trying = attempt(r, "HEAD", *target, 0);
      const std::string_view phase = co_await std::move(trying);
      if (r.ok || options_.method_ == check_method::head || !get_may_do_better(r, phase)) co_return;
    }
    auto asking = attempt(r, "GET", *std::move(target),
                          options_.method_ == check_method::get ? enough : enough_after_head);
    (void)co_await std::move(asking);
  }

  /// One request: fills `r` anew. Where it failed. While there is no descriptor for it (kept
  /// connections to other hosts hold them) it waits for one, up to the timeout.
  task<std::string_view> attempt(check_result& r, const char* method, url target,
                                 std::uint64_t limit) {
    const time_point until = after(loop_.now(), options_.timeout_);
    std::string_view phase;
    while (true) {
      auto trying = attempt_once(r, method, target, limit);
      phase = co_await std::move(trying);
      if (phase != no_descriptor || loop_.now() >= until) break;
      co_await sleep_for(std::chrono::milliseconds{50});
    }
    co_return phase;
  }

  task<std::string_view> attempt_once(check_result& r, const char* method, url target,
                                      std::uint64_t limit) {
    r.ok = false;
    r.status = 0;
    r.final_url.clear();
    r.error.reset();
    r.bytes = 0;
    r.times = {};
    std::optional<http::response> response;
    std::string_view phase;
    try {
      http::request request{method, std::move(target)};
      auto sending = client_.send(std::move(request));
      response.emplace(co_await std::move(sending));
      r.status = response->status();
      r.final_url = response->final_url().href();
      if (r.status < 200 || r.status > 299) {
        r.error.emplace(error_kind::status, status_line(r.status, response->reason()));
        phase = "status";
      }
      if (limit != 0) {
        auto reading = read(*response, limit);
        co_await std::move(reading);
      }
      r.ok = !r.error;
    } catch (const http::http_error& e) {
      // A status is the better reason than a body that is cut off besides.
      if (!r.error) r.error.emplace(e.kind(), e.what());
      phase = e.phase();
    } catch (const error& e) {
      // This process is out of descriptors or memory: nothing is known about the link.
      if (!r.error) r.error.emplace(error_kind::unreachable, e.what());
      if (out_of_descriptors(e)) phase = no_descriptor;
    }
    if (response) {
      r.bytes = response->bytes();
      r.times = response->times();
    }
    co_return phase;
  }

  static task<> read(http::response& from, std::uint64_t limit) {
    std::array<std::byte, 8 * 1024> piece;
    while (from.bytes() <= limit) {
      const auto n = co_await from.read_some(piece);
      if (n == 0) break;
    }
  }

  task<> deliver(check_result r) {
    summary_.add(r);
    auto handing = [&]() -> task<> {
      auto turn = co_await turn_.lock();
      if (sink_failed_) co_return;
      (void)co_await with_scope(scope_options{}.at(give_up_at_), [&](cancel_scope& s) -> task<> {
        delivering_ = &s;
        const struct leaving {
          link_checker& self;
          ~leaving() { self.delivering_ = nullptr; }
        } at_end{*this};
        try {
          auto taking = sink_(std::move(r));
          co_await std::move(taking);
        } catch (const std::exception&) {
          sink_failed_ = true;
          throw;
        }
      });
    };
    co_await shielded(std::ref(handing));
  }

  /// From a cancel on, the sink has so much time and no more.
  static task<> watch(link_checker* self) {
    try {
      co_await sleep_forever();
    } catch (const cancelled&) {
      self->give_up_at_ = after(self->loop_.now(), self->options_.last_words_);
      if (self->delivering_ != nullptr) self->delivering_->set_deadline(self->give_up_at_);
      throw;
    }
  }

  task<> report_rest() {
    try {
      while (loop_.now() < give_up_at_) {
        auto asking = source_();
        auto input = co_await std::move(asking);
        if (!input) break;
        check_result r{*std::move(input)};
        r.error.emplace(error_kind::cancelled, "cancelled");
        auto delivering = deliver(std::move(r));
        co_await std::move(delivering);
      }
    } catch (const cancelled&) {
      co_return;  // nothing more without waiting
    }
  }

  check_source source_;
  check_sink sink_;
  check_options options_;
  http::client client_;
  semaphore slots_;
  loop& loop_;
  mutex turn_;  // one delivery at a time
  bool sink_failed_ = false;
  time_point give_up_at_ = never;
  cancel_scope* delivering_ = nullptr;
  check_summary summary_;
};

task<check_summary> check_urls(check_source source, check_sink sink, check_options options) {
  link_checker checker{std::move(source), std::move(sink), options};
  auto running = checker.run();
  auto summary = co_await std::move(running);
  co_return summary;
}

task<check_summary> check_urls(std::vector<std::string> inputs, check_sink sink,
                               check_options options) {
  std::size_t next = 0;
  auto source = [&]() -> task<std::optional<std::string>> {
    std::optional<std::string> input;
    if (next < inputs.size()) input = std::move(inputs[next++]);
    co_return input;
  };
  auto running = check_urls(check_source{source}, std::move(sink), std::move(options));
  auto summary = co_await std::move(running);
  co_return summary;
}

task<check_summary> check_urls(channel<std::string>& inputs, channel<check_result>& results,
                               check_options options) {
  auto source = [&]() -> task<std::optional<std::string>> {
    auto input = inputs.try_receive();
    if (!input && !inputs.drained()) input = co_await inputs.receive();
    co_return input;
  };
  auto sink = [&](check_result r) -> task<> { co_await results.send(std::move(r)); };
  const struct closing {
    channel<check_result>& results;
    ~closing() {
      if (!results.closed()) results.close();
    }
  } at_end{results};
  auto running = check_urls(check_source{source}, check_sink{sink}, std::move(options));
  auto summary = co_await std::move(running);
  co_return summary;
}

}  // namespace oneloop::inline v0
