#include "oneloop/check/rate.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <unordered_map>

#include "oneloop/loop/loop.hpp"
#include "oneloop/loop/timer_queue.hpp"
#include "oneloop/scope/context.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/sync/mutex.hpp"
#include "oneloop/task/region.hpp"

namespace oneloop::inline v0 {
namespace {

constexpr char lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

/// `pattern` is in lower case; its "*" stand for anything.
bool matches_glob(std::string_view pattern, std::string_view text) noexcept {
  std::size_t p = 0, t = 0, star = pattern.npos, from = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      from = t;
    } else if (p < pattern.size() && pattern[p] == lower(text[t])) {
      ++p;
      ++t;
    } else if (star != pattern.npos) {
      p = star + 1;
      t = ++from;
    } else {
      return false;
    }
  }
  return pattern.substr(p).find_first_not_of('*') == pattern.npos;
}

std::string_view without_port(std::string_view host) noexcept {
  const auto colon = host.rfind(':');
  if (colon == host.npos || host.find(']', colon) != host.npos) return host;
  return host.substr(0, colon);
}

bool is_loopback(std::string_view host) noexcept {
  const auto name = without_port(host);
  return host.empty() || name == "localhost" || name.ends_with(".localhost") || name == "[::1]" ||
         (name.starts_with("127.") && name.find_first_not_of("0123456789.") == name.npos);
}

}  // namespace

rate_rule::rate_rule(std::string_view hosts, duration interval)
    : hosts_{hosts}, interval_{std::max(interval, duration::zero())} {
  std::ranges::transform(hosts_, hosts_.begin(), lower);
}

std::expected<rate_rule, std::string> rate_rule::parse(std::string_view text) {
  const auto wrong = [&](std::string_view why) {
    std::string message{"\""};
    message.append(text).append("\": ").append(why);
    return std::unexpected{message.append(" (as in example.org=5/s, *=30/m)")};
  };
  const auto equals = text.rfind('=');
  const auto slash = text.rfind('/');
  if (equals == text.npos || equals == 0) return wrong("no host before \"=\"");
  if (slash == text.npos || slash < equals || slash + 2 != text.size()) {
    return wrong("no \"/s\", \"/m\" or \"/h\" at the end");
  }
  double times = 0;
  const char* const end = text.data() + slash;
  const auto read = std::from_chars(text.data() + equals + 1, end, times, std::chars_format::fixed);
  if (read.ec != std::errc{} || read.ptr != end) {
    return wrong("no number between \"=\" and \"/\"");
  }
  if (!(times >= 1e-6) || !(times <= 1e9)) return wrong("must be from 0.000001 to 1000000000");
  double seconds = 0;
  switch (text.back()) {
    case 's': seconds = 1; break;
    case 'm': seconds = 60; break;
    case 'h': seconds = 3600; break;
    default: return wrong("no \"/s\", \"/m\" or \"/h\" at the end");
  }
  return rate_rule{text.substr(0, equals), std::chrono::duration_cast<duration>(
                                               std::chrono::duration<double>{seconds / times})};
}

bool rate_rule::matches(std::string_view host) const noexcept {
  return matches_glob(hosts_, host) || matches_glob(hosts_, without_port(host));
}

/// In `ready` while it has something queued and room for one more turn; in `idle` while it has
/// neither turns nor anything queued, but a time to keep; else in neither. So is one that has
/// nothing to do and no time to keep, and that one goes.
struct host_limiter::host : timer_node {
  explicit host(std::size_t m) noexcept : timer_node{nullptr}, most{m} {}

  std::string_view name;  // the key's
  std::size_t most;
  std::size_t running = 0;
  std::uint32_t first = 0, last = 0;  // of the queue: places in `waiting`, 0: none
  duration interval{};
  time_point not_before{};  // by its pause
  time_point started{};     // the last turn; the epoch: none
  bool is_idle = false;

  [[nodiscard]] time_point free_at() const noexcept {
    return started == time_point{} ? not_before : std::max(not_before, after(started, interval));
  }
};

struct host_limiter::state {
  struct text_hash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  struct place {
    item value;
    std::uint32_t next;
  };

  explicit state(limiter_options o) : options{std::move(o)}, home{*context::current().home()} {}

  limiter_options options;
  loop& home;
  std::unordered_map<std::string, std::unique_ptr<host>, text_hash, std::equal_to<>> hosts;
  timer_queue ready, idle;
  std::vector<place> waiting{place{}};
  std::uint32_t unused = 0;  // places that were given back
  std::size_t queued = 0, running = 0;
  event changed;
  mutex first_in_line;

  [[nodiscard]] time_point now() const { return home.now(); }

  host& find(std::string_view name) {
    if (const auto known = hosts.find(name); known != hosts.end()) return *known->second;
    const auto added = hosts.emplace(name, nullptr).first;
    const std::string_view key = added->first;
    added->second =
        std::make_unique<host>(is_loopback(key) ? options.per_loopback_host_ : options.per_host_);
    host& h = *added->second;
    h.name = key;
    const auto rule =
        std::ranges::find_if(options.rates_, [&](const rate_rule& r) { return r.matches(key); });
    if (rule != options.rates_.end()) h.interval = rule->interval();
    return h;
  }
  /// Where it belongs, after a change to it. It may be gone afterwards.
  void put(host& h, time_point now) {
    if (h.pending()) (h.is_idle ? idle : ready).remove(h);
    h.is_idle = h.first == 0 && h.running == 0;
    if (h.is_idle) {
      if (h.free_at() > now) {
        idle.add(h, h.free_at());
      } else {
        hosts.erase(hosts.find(h.name));
      }
    } else if (h.first != 0 && h.running < h.most) {
      ready.add(h, std::max(h.free_at(), now));
      changed.set();
    }
  }
  void forget_idle(time_point now) {
    while (timer_node* t = idle.pop_due(now)) put(static_cast<host&>(*t), now);
  }
  item take(host& h) {
    const std::uint32_t at = h.first;
    const place p = std::exchange(waiting[at], place{0, unused});
    unused = at;
    h.first = p.next;
    if (h.first == 0) h.last = 0;
    --queued;
    return p.value;
  }
};

host_limiter::host_limiter(limiter_options options) : state_{new state{std::move(options)}} {}

host_limiter::~host_limiter() = default;

void host_limiter::push(std::string_view name, item i, duration crawl_delay) {
  state& s = *state_;
  const auto now = s.now();
  s.forget_idle(now);
  host& h = s.find(name);
  h.interval = std::max(h.interval, crawl_delay);
  std::uint32_t at = s.unused;
  if (at != 0) {
    s.unused = std::exchange(s.waiting[at], state::place{i, 0}).next;
  } else {
    at = static_cast<std::uint32_t>(s.waiting.size());
    s.waiting.push_back({i, 0});
  }
  ++s.queued;
  if (h.first != 0) {
    s.waiting[std::exchange(h.last, at)].next = at;
  } else {
    h.first = h.last = at;
    s.put(h, now);
  }
}

time_point host_limiter::next_at() const noexcept { return state_->ready.next(state_->now()); }

std::optional<host_limiter::turn> host_limiter::try_next() {
  state& s = *state_;
  const auto now = s.now();
  s.forget_idle(now);
  timer_node* const t = s.ready.pop_due(now);
  if (t == nullptr) return {};
  host& h = static_cast<host&>(*t);
  turn result{*this, h, s.take(h)};
  ++h.running;
  ++s.running;
  h.started = now;
  s.put(h, now);
  return result;
}

task<host_limiter::turn> host_limiter::next() {
  state& s = *state_;
  const auto line = co_await s.first_in_line.lock();
  std::optional<turn> taken = try_next();
  while (!taken) {
    s.changed.reset();
    const auto at = s.ready.next();
    if (at == never) {
      co_await s.changed.wait();
    } else {
      auto waiting = move_on_after(at - s.now(), s.changed.wait());
      (void)co_await std::move(waiting);
    }
    taken = try_next();
  }
  co_return *std::move(taken);
}

void host_limiter::turn::end() noexcept {
  if (host_ == nullptr) return;
  host& h = *std::exchange(host_, nullptr);
  state& s = *limiter_->state_;
  --h.running;
  --s.running;
  // The place of one that waits for its time already is kept.
  if (!h.pending()) s.put(h, s.now());
}

void host_limiter::pause(std::string_view name, duration d) {
  state& s = *state_;
  const auto now = s.now();
  host& h = s.find(name);
  h.not_before = std::max(h.not_before, after(now, d));
  s.put(h, now);
}

host_limiter_statistics host_limiter::statistics() const {
  const state& s = *state_;
  const auto now = s.now();
  const auto held = std::ranges::count_if(
      s.hosts, [&](const auto& h) { return h.second->first != 0 && h.second->free_at() > now; });
  return {s.queued, s.running, s.hosts.size(), static_cast<std::size_t>(held)};
}

}  // namespace oneloop::inline v0
