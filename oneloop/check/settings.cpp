#include <algorithm>
#include <utility>

#include "oneloop/check/settings_internal.hpp"

namespace oneloop::inline v0::detail {
namespace {

std::string text_of(bool on) { return on ? "on" : "off"; }

/// "200..299,429"
std::string text_of(const status_set& statuses) {
  std::string text;
  for (int s = 100; s <= 999; ++s) {
    if (!statuses.contains(s)) continue;
    const int first = s;
    while (statuses.contains(s + 1)) ++s;
    if (!text.empty()) text += ',';
    text += std::to_string(first);
    if (s != first) text.append("..").append(std::to_string(s));
  }
  return text;
}

std::string_view text_of(external_links e) noexcept {
  switch (e) {
    case external_links::check: return "check";
    case external_links::skip: return "skip";
    case external_links::follow: return "follow";
  }
  return "";
}

std::string_view text_of(check_method m) noexcept {
  switch (m) {
    case check_method::automatic: return "automatic";
    case check_method::head: return "head";
    case check_method::get: return "get";
  }
  return "";
}

}  // namespace

crawl_settings::crawl_settings(crawl_options o)
    : check{std::move(o.check_)},
      frontier{std::move(o.frontier_)},
      limiter{std::move(o.limiter_)},
      robots{o.robots_},
      agent{std::move(o.agent_)},
      fragments{o.fragments_},
      fragment_exclude{"fragment-exclude", o.fragment_exclude_},
      code_blocks{o.code_blocks_},
      mail{o.mail_},
      telephone{o.telephone_},
      offline{o.offline_},
      dump{o.dump_},
      base{std::move(o.base_)},
      root_dir{std::move(o.root_dir_)},
      remap{o.remap_},
      state_file{o.dump_ ? std::string{} : std::move(o.state_file_)},
      cache_file{o.dump_ ? std::string{} : std::move(o.cache_file_)},
      cache_age{o.cache_age_},
      max_page{o.max_page_},
      progress{o.progress_},
      retries{check.retries_, check.backoff_first_, check.backoff_most_},
      last_words{check.last_words_},
      concurrency{check.concurrency_},
      max_redirects{static_cast<std::size_t>(std::max(check.client_.max_redirects(), 0))},
      method{check.method_},
      sources{frontier.sources_},
      accept_texts_{},
      remap_texts_{std::move(o.remap_)},
      fragment_exclude_texts_{std::move(o.fragment_exclude_)} {
  for (auto& [hosts, statuses] : o.accept_) {
    accept_texts_.emplace_back(hosts, text_of(statuses));
    accept.emplace_back(rate_rule{hosts, duration::zero()}, statuses);
  }
  // Whose turn it is, the limiter says: the client is to hold nothing back.
  check.client_.per_host(std::max(check.client_.per_host(), concurrency + 1));
  if (!state_file.empty()) frontier.recorded();
}

const status_set& crawl_settings::accepted(std::string_view host) const noexcept {
  const auto rule =
      std::ranges::find_if(accept, [&](const auto& a) { return a.first.matches(host); });
  return rule == accept.end() ? check.accept_ : rule->second;
}

std::optional<crawl_skip_reason> crawl_settings::unasked(std::string_view scheme) const noexcept {
  if (scheme == "mailto") return mail ? std::nullopt : std::optional{crawl_skip_reason::mail};
  if (scheme == "tel")
    return telephone ? std::nullopt : std::optional{crawl_skip_reason::telephone};
  const auto& asked = frontier.schemes_;
  if (scheme.empty() || std::ranges::find(asked, scheme) != asked.end()) return {};
  return crawl_skip_reason::scheme;
}

robots_options crawl_settings::robots_how() const {
  return robots_options{}
      .agent(agent)
      .timeout(check.timeout_)
      .retries(check.retries_)
      .backoff(check.backoff_first_, check.backoff_most_);
}

void crawl_settings::take_files() {
  auto& schemes = frontier.schemes_;
  if (std::ranges::find(schemes, "file") == schemes.end()) schemes.emplace_back("file");
}

crawl_identity crawl_settings::identity(const std::vector<std::string>& starts) const {
  crawl_identity all;
  const auto each = [&](const char* name, const std::vector<std::string>& texts) {
    for (const auto& text : texts) all.emplace_back(name, text);
  };
  const auto number = [&](const char* name, const auto& n) {
    if (n) all.emplace_back(name, std::to_string(*n));
  };
  each("start", starts);
  number("level", frontier.level_);
  number("limit", frontier.limit_);
  all.emplace_back("external", text_of(frontier.external_));
  each("include", frontier.include_);
  each("exclude", frontier.exclude_);
  each("internal", frontier.internal_);
  each("scheme", frontier.schemes_);
  all.emplace_back("robots", robots ? agent : text_of(false));
  all.emplace_back("method", text_of(method));
  all.emplace_back("accept", text_of(check.accept_));
  for (const auto& [hosts, statuses] : accept_texts_) {
    all.emplace_back("accept", hosts + "=" + statuses);
  }
  all.emplace_back("fragments", text_of(fragments));
  each("fragment-exclude", fragment_exclude_texts_);
  all.emplace_back("code-blocks", text_of(code_blocks));
  all.emplace_back("mailto", text_of(mail));
  all.emplace_back("tel", text_of(telephone));
  all.emplace_back("offline", text_of(offline));
  if (base) all.emplace_back("base", base->href());
  if (!root_dir.empty()) all.emplace_back("root-dir", root_dir);
  for (const auto& [pattern, to] : remap_texts_) all.emplace_back("remap", pattern + " " + to);
  all.emplace_back("max-page", std::to_string(max_page));
  return all;
}

}  // namespace oneloop::inline v0::detail
