#include "oneloop/check/robots.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <deque>
#include <span>
#include <unordered_map>

#include "oneloop/check/probe_internal.hpp"
#include "oneloop/check/retry_internal.hpp"
#include "oneloop/check/spelling_internal.hpp"
#include "oneloop/http/date.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/context.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/spawn.hpp"

namespace oneloop::inline v0 {

using detail::spelled;
using detail::speller;
using detail::spelling;

namespace {

constexpr char any = '\0';  // in a pattern; never in a path, which has it escaped
constexpr std::string_view blank = " \t";

std::string_view trimmed(std::string_view s) noexcept {
  const auto from = s.find_first_not_of(blank);
  if (from == s.npos) return {};
  return s.substr(from, s.find_last_not_of(blank) + 1 - from);
}

std::string_view product_of(std::string_view agent) noexcept {
  const auto end = std::ranges::find_if_not(agent, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  });
  return agent.substr(0, static_cast<std::size_t>(end - agent.begin()));
}

std::optional<duration> seconds_of(std::string_view text) noexcept {
  double value = 0;
  const auto [end, failed] =
      std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (failed != std::errc{} || end != text.data() + text.size() || !(value >= 0)) return {};
  constexpr double most = 365.0 * 24 * 3600;
  return std::chrono::duration_cast<duration>(std::chrono::duration<double>{std::min(value, most)});
}

}  // namespace

/// Reads line by line, and keeps apart what is for the product and what is for everybody.
class robots::reader {
 public:
  explicit reader(std::string_view product) noexcept : product_{product} {}

  void line(std::string_view text) {
    text = text.substr(0, text.find('#'));
    const auto colon = text.find(':');
    if (colon == text.npos) return;
    const auto name = trimmed(text.substr(0, colon));
    const auto value = trimmed(text.substr(colon + 1));
    if (http::equal_ignoring_case(name, "user-agent")) {
      agent(value);
    } else if (http::equal_ignoring_case(name, "allow") ||
               http::equal_ignoring_case(name, "disallow")) {
      rule_of(value, name.size() == 5);
    } else if (http::equal_ignoring_case(name, "crawl-delay")) {
      delay(value);
    } else if (http::equal_ignoring_case(name, "sitemap") && !value.empty()) {
      sitemaps_.emplace_back(value);
    }
  }
  robots take() && {
    robots result;
    group& mine = named_ ? product_group_ : everybody_;
    result.rules_ = std::move(mine.rules);
    std::ranges::stable_sort(result.rules_, [](const rule& a, const rule& b) {
      return a.length() != b.length() ? a.length() > b.length() : a.allow && !b.allow;
    });
    result.crawl_delay_ = mine.delay;
    result.sitemaps_ = std::move(sitemaps_);
    return result;
  }

 private:
  struct group {
    std::vector<rule> rules;
    std::optional<duration> delay;
  };

  /// Agents in a row share what follows; one behind a rule begins anew.
  void agent(std::string_view value) {
    if (has_rules_) has_rules_ = for_product_ = for_everybody_ = false;
    if (value.starts_with('*') && (value.size() == 1 || blank.find(value[1]) != blank.npos)) {
      for_everybody_ = true;
    } else if (!product_.empty() && http::equal_ignoring_case(product_of(value), product_)) {
      for_product_ = named_ = true;
    }
  }
  void rule_of(std::string_view pattern, bool allow) {
    has_rules_ = true;
    if (pattern.empty() || !(for_product_ || for_everybody_)) return;
    rule r{{}, pattern.ends_with('$'), allow};
    if (r.to_the_end) pattern.remove_suffix(1);
    speller spell{spelling::of_robots};
    for (std::size_t at = 0; at <= pattern.size();) {
      const auto star = std::min(pattern.find('*', at), pattern.size());
      spell.add(r.pattern, pattern.substr(at, star - at));
      if (star < pattern.size() && !r.pattern.ends_with(any)) r.pattern += any;
      at = star + 1;
    }
    if (for_product_) product_group_.rules.push_back(r);
    if (for_everybody_) everybody_.rules.push_back(std::move(r));
  }
  /// No rule (RFC 9309, 2.2.4): agents may come behind it.
  void delay(std::string_view value) {
    const auto d = seconds_of(value);
    if (!d) return;
    if (for_product_) product_group_.delay = std::max(product_group_.delay, d);
    if (for_everybody_) everybody_.delay = std::max(everybody_.delay, d);
  }

  std::string_view product_;
  group product_group_, everybody_;
  bool named_ = false;  // there is a group for the product
  bool for_product_ = false, for_everybody_ = false, has_rules_ = false;  // of the group at hand
  std::vector<std::string> sitemaps_;
};

robots robots::parse(std::string_view text, std::string_view agent) {
  bool cut = false;
  if (text.size() > max_bytes) {
    cut = text[max_bytes] != '\n' && text[max_bytes] != '\r';
    text = text.substr(0, max_bytes);
  }
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  reader read{product_of(agent)};
  while (true) {
    const auto end = text.find_first_of("\r\n");
    if (end == text.npos && cut) break;
    read.line(text.substr(0, end));
    if (end == text.npos) break;
    text.remove_prefix(end + 1);
  }
  return std::move(read).take();
}

robots robots::deny_all() {
  robots r;
  r.rules_.push_back({"/", false, false});
  return r;
}

bool robots::rule::matches(std::string_view path) const noexcept {
  std::string_view rest = pattern;
  bool first = true;
  while (true) {
    const auto star = rest.find(any);
    const auto piece = rest.substr(0, star);
    const bool last = star == rest.npos;
    if (piece.size() > path.size()) return false;
    if (first) {
      if (!path.starts_with(piece)) return false;
      path.remove_prefix(piece.size());
    } else if (last && to_the_end) {
      return path.ends_with(piece);
    } else {
      // memmem is linear whatever it is given; string_view::find is not.
      const void* found = ::memmem(path.data(), path.size(), piece.data(), piece.size());
      if (found == nullptr) return false;
      path.remove_prefix(static_cast<std::size_t>(static_cast<const char*>(found) - path.data()) +
                         piece.size());
    }
    if (last) return !to_the_end || path.empty();
    rest.remove_prefix(star + 1);
    first = false;
  }
}

bool robots::allows(const url& page) const {
  if (rules_.empty()) return true;
  const std::string path = spelled(page.request_target(), spelling::of_robots);
  if (path == "/robots.txt") return true;
  const auto decides = std::ranges::find_if(rules_, [&](const rule& r) { return r.matches(path); });
  return decides == rules_.end() || decides->allow;
}

// ---- the cache
// -----------------------------------------------------------------------------------

struct robots_cache::state {
  struct entry {
    event done;
    std::shared_ptr<const robots_file> file;  // null: given up
    time_point good_until{};
  };
  using entry_ref = std::shared_ptr<entry>;

  http::client& client;
  nursery& fetches;
  robots_options options;
  std::unordered_map<std::string, entry_ref> origins;
  std::deque<std::pair<std::string, entry_ref>> answered;  // the oldest first

  struct asked {
    std::string origin;
    bool stranger;
  };
  static task<> fetch(state* self, asked whom, entry_ref e);
  task<> ask(const asked& whom, robots_file& file);
  task<std::optional<duration>> ask_once(const asked& whom, robots_file& file);
  task<> take_answer(http::response& response, robots_file& file);
  void remember(const std::string& origin, const entry_ref& e);
  void forget(const std::string& origin, const entry_ref& e) {
    const auto found = origins.find(origin);
    if (found != origins.end() && found->second == e) origins.erase(found);
  }
};

namespace {

constexpr int max_redirects = 5;

void settle(robots_file& file, robots_file::answer said) {
  file.said = said;
  if (said == robots_file::answer::unreachable) {
    file.rules = robots::deny_all();
  } else {
    file.error.reset();
  }
}

}  // namespace

/// One for all that wait: nobody's cancel but the nursery's reaches it.
task<> robots_cache::state::fetch(state* self, asked whom, entry_ref e) {
  const struct leaving {
    state& self;
    const std::string& origin;
    const entry_ref& e;
    ~leaving() {
      if (!e->file) self.forget(origin, e);
      e->done.set();
    }
  } at_end{*self, whom.origin, e};
  auto file = std::make_shared<robots_file>();
  auto asking = self->ask(whom, *file);
  co_await std::move(asking);
  e->file = std::move(file);
  self->remember(whom.origin, e);
}

void robots_cache::state::remember(const std::string& origin, const entry_ref& e) {
  const bool failed = e->file->said == robots_file::answer::unreachable;
  e->good_until =
      after(context::current().home()->now(), failed ? options.age_of_failures_ : options.age_);
  answered.emplace_back(origin, e);
  while (answered.size() > options.most_) {
    forget(answered.front().first, answered.front().second);
    answered.pop_front();
  }
}

task<> robots_cache::state::ask(const asked& whom, robots_file& file) {
  loop& here = *context::current().home();
  for (int attempts = 1;; ++attempts) {
    file = robots_file{};
    auto asking = ask_once(whom, file);
    auto wait = co_await std::move(asking);
    if (!wait || attempts > options.retries_) break;
    if (*wait > check_limits::max_wait) break;
    if (*wait == duration::zero()) {
      wait = detail::backoff(here, attempts, options.backoff_first_, options.backoff_most_);
    }
    co_await sleep_for(*wait);
  }
}

/// Gives how long to wait before it is asked again, zero if the server does not say, nothing if
/// another try would not do better.
task<std::optional<duration>> robots_cache::state::ask_once(const asked& whom, robots_file& file) {
  std::optional<duration> again;
  bool in_time = true;
  try {
    in_time = co_await move_on_after(options.timeout_, [&]() -> task<> {
      url target = *url::parse(whom.origin + "/robots.txt");
      bool stranger = whom.stranger;
      for (int redirects = 0; redirects <= max_redirects; ++redirects) {
        http::request question{"GET", target};
        question.follow(false).to_stranger(stranger).fields().set("User-Agent", options.agent_);
        auto sending = client.send(std::move(question));
        auto response = co_await std::move(sending);
        file.status = response.status();
        const auto location = response.fields().get("Location");
        if (file.status / 100 != 3 || !location) {
          if (detail::may_pass(file.status)) {
            again = http::retry_after(response.fields(), http::wall_now()).value_or(duration{});
          }
          auto taking = take_answer(response, file);
          co_await std::move(taking);
          co_return;
        }
        auto next = response.final_url().resolve(*location);
        if (!next || !next->is_http()) co_return;
        stranger = stranger || next->origin() != target.origin();
        target = *std::move(next);
      }
    });
  } catch (const http::http_error& e) {
    file.error.emplace(e.kind(), e.what());
    file.host_failed =
        e.phase() == "dns" || e.phase() == "connect" || e.phase() == "proxy" || e.phase() == "tls";
    if (detail::may_pass(e)) again = duration::zero();
  } catch (const error& e) {
    // Not the site's fault: this process is out of descriptors, or the like.
    file.error.emplace(http::error_kind::unreachable, e.what());
    again = duration::zero();
  }
  if (!in_time) {
    file.error.emplace(http::error_kind::timeout,
                       "GET " + whom.origin + "/robots.txt: no answer in time");
    again = duration::zero();
  }
  if (file.error) settle(file, robots_file::answer::unreachable);
  co_return again;
}

task<> robots_cache::state::take_answer(http::response& response, robots_file& file) {
  if (file.status >= 500) {
    std::string why = "GET ";
    why.append(response.final_url().display()).append(": ");
    why.append(detail::status_line(file.status, response.reason()));
    file.error.emplace(http::error_kind::status, why);
  }
  if (file.status / 100 != 2) co_return;
  std::string text;
  std::array<std::byte, 8 * 1024> piece;
  while (text.size() <= robots::max_bytes) {
    const auto n = co_await response.read_some(piece);
    if (n == 0) break;
    text.append(reinterpret_cast<const char*>(piece.data()), n);
  }
  file.rules = robots::parse(text, options.agent_);
  settle(file, robots_file::answer::rules);
}

robots_cache::robots_cache(http::client& client, nursery& fetches, robots_options options)
    : state_{new state{client, fetches, std::move(options), {}, {}}} {}

robots_cache::~robots_cache() = default;

std::size_t robots_cache::size() const noexcept { return state_->origins.size(); }

std::shared_ptr<const robots_file> robots_cache::known(const url& page) const {
  const auto found = state_->origins.find(page.origin());
  if (found == state_->origins.end()) return nullptr;
  const auto& e = found->second;
  if (!e || !e->file || e->good_until <= context::current().home()->now()) return nullptr;
  return e->file;
}

task<std::shared_ptr<const robots_file>> robots_cache::get(url page, bool stranger) {
  state::entry_ref e;
  if (page.is_http()) {
    std::string origin = page.origin();
    auto& known = state_->origins[origin];  // null until the fetch has begun
    if (!known || (known->file && known->good_until <= context::current().home()->now())) {
      e = std::make_shared<state::entry>();
      state_->fetches.start(named{"robots.txt", state::fetch}, state_.get(),
                            state::asked{std::move(origin), stranger}, e);
      known = e;
    } else {
      e = known;
    }
  }
  if (!e) co_return std::make_shared<const robots_file>();
  co_await e->done.wait();
  if (!e->file) throw closed_error{"robots_cache::get"};
  co_return e->file;
}

}  // namespace oneloop::inline v0
