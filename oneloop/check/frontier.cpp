#include "oneloop/check/frontier.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <limits>
#include <unordered_map>
#include <unordered_set>

#include "oneloop/base/error.hpp"
#include "oneloop/check/patterns_internal.hpp"
#include "oneloop/check/spelling_internal.hpp"
#include "oneloop/check/text_tree_internal.hpp"

namespace oneloop::inline v0 {

using detail::patterns;
using detail::shortened;
using detail::spelled;
using detail::spelling;
using detail::text_tree;

namespace {

/// Calls f(piece) for what stands between the separators of `text`.
template <class F>
void each_part(std::string_view text, char separator, F f) {
  while (true) {
    const auto end = text.find(separator);
    f(text.substr(0, end));
    if (end == text.npos) break;
    text.remove_prefix(end + 1);
  }
}

/// Whether the last segments are the same `n`, `times` times in a row.
bool ends_in_repeats(const std::vector<std::string_view>& segments, std::size_t n,
                     std::size_t times) {
  if (segments.size() < n * times) return false;
  return std::equal(segments.end() - static_cast<std::ptrdiff_t>(n * (times - 1)), segments.end(),
                    segments.end() - static_cast<std::ptrdiff_t>(n * times));
}

bool repeats(const std::vector<std::string_view>& segments, std::size_t most) {
  std::vector<std::string_view> so_far;
  for (const auto& s : segments) {
    so_far.push_back(s);
    for (std::size_t n = 1; n * (most + 1) <= so_far.size(); ++n) {
      if (ends_in_repeats(so_far, n, most + 1)) return true;
    }
  }
  return false;
}

std::string_view name_of(std::string_view parameter) noexcept {
  return parameter.substr(0, parameter.find('='));
}

bool is_list(std::string_view name) noexcept {
  return name.ends_with("[]") || name.ends_with("%5B%5D") || name.ends_with("%5b%5d");
}

/// Too much of the same in one URL.
bool looks_endless(const url& u, const trap_limits& most) {
  if (u.href().size() > most.url) return true;
  std::vector<std::string_view> segments;
  each_part(u.path(), '/', [&](std::string_view s) {
    if (!s.empty()) segments.push_back(s);
  });
  if (segments.size() > most.segments || repeats(segments, most.repeats)) return true;
  const auto query = u.query();
  if (!query) return false;
  // "&" that became "&amp;" again on every page.
  if (query->find("amp;amp;") != query->npos || query->find("amp%3Bamp%3B") != query->npos) {
    return true;
  }
  std::vector<std::string_view> names;
  each_part(*query, '&', [&](std::string_view p) { names.push_back(name_of(p)); });
  if (names.size() > most.parameters) return true;
  return std::ranges::any_of(names, [&](std::string_view n) {
    return !is_list(n) &&
           static_cast<std::size_t>(std::ranges::count(names, n)) > most.same_parameter;
  });
}

/// The URL but for what makes it one of many: numbers in its path, values in its query. Empty if
/// nothing does.
std::string likeness(const url& u) {
  std::string text{u.host_header()};
  bool has_number = false, in_number = false;
  for (const char c : u.path()) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit || !in_number) text += digit ? '0' : c;
    in_number = digit;
    has_number = has_number || digit;
  }
  if (const auto query = u.query()) {
    std::vector<std::string_view> names;
    each_part(*query, '&', [&](std::string_view p) { names.push_back(name_of(p)); });
    std::ranges::sort(names);
    for (const auto n : names) text.append("&").append(n);
  } else if (!has_number) {
    text.clear();
  }
  return text;
}

/// "http://a" and "https://a" are one site; so are all files.
std::string site_of(const url& u) {
  return u.is_http() ? u.host_header() : std::string{u.scheme()}.append(":").append(u.host());
}

std::string without_fragment(const url& u) {
  const auto f = u.fragment();
  return f ? u.href().substr(0, u.href().size() - f->size() - 1) : u.href();
}

constexpr std::size_t most_text = 200;  // of a source
constexpr std::uint32_t none = ~std::uint32_t{0};

}  // namespace

std::string_view to_string(url_refusal r) noexcept {
  switch (r) {
    case url_refusal::scheme: return "scheme";
    case url_refusal::excluded: return "excluded";
    case url_refusal::external: return "external";
    case url_refusal::trap: return "trap";
  }
  return "";
}

struct frontier::state {
  struct record {
    text_tree::node said;
    std::uint16_t depth;
    std::uint16_t followed : 1;   // of the site
    std::uint16_t queued : 1;     // in `ready` or `last`
    std::uint16_t taken : 1;      // handed out, or done by a restored run
    std::uint16_t expanding : 1;  // handed out, and its links are still to come
    std::uint16_t led : 1;        // there is a link that may be followed
    std::uint16_t kept : 11;      // sources
    std::uint32_t sources;        // the last one's place, or none
    std::uint32_t links;
  };
  struct kept_source {
    url_id page;
    std::uint32_t line, column;
    text_tree::node text, element, fragment;
    std::uint32_t next;  // the one before, or none
  };
  struct kept_edge {
    std::uint32_t to : 31;
    std::uint32_t redirect : 1;
    std::uint32_t next;
  };

  static constexpr std::uint16_t max_kept = 2047;
  static constexpr std::size_t most_sources = 2'000'000;

  explicit state(frontier_options o)
      : options{std::move(o)},
        include{"include", options.include_},
        exclude{"exclude", options.exclude_},
        internal{"internal", options.internal_} {
    options.sources_ = std::min<std::size_t>(options.sources_, max_kept);
  }

  frontier_options options;
  patterns include, exclude, internal;
  std::unordered_set<std::string> site;
  std::unordered_set<std::string> given;  // origins of start pages, and theirs by https
  text_tree texts;                        // its values: ids
  std::vector<record> records;
  std::vector<kept_source> sources;
  std::uint32_t unused_source = none;
  std::deque<url_id> ready;
  std::deque<url_id> last;                // when no page is under way: see `late`
  std::vector<std::uint32_t> first_edge;  // of each URL; only with a level
  std::vector<kept_edge> edges;
  std::unordered_map<std::uint64_t, std::uint32_t> alike;  // by the hash of the likeness
  std::size_t waiting = 0, running = 0, expanding = 0, over_limit = 0;
  std::vector<url_id> left_out;
  std::uint64_t pages = 0, links = 0;
  frontier_changes news;

  [[nodiscard]] bool of_site(const url& u, const std::string& href) const {
    return options.external_ == external_links::follow || site.contains(site_of(u)) ||
           internal.match(href);
  }
  [[nodiscard]] bool beyond(std::uint32_t depth) const noexcept {
    return options.level_ && depth >= *options.level_;
  }
  [[nodiscard]] bool follows(const record& r) const noexcept {
    return r.followed != 0 && !beyond(r.depth);
  }
  /// It is asked when no page is under way that might change how it is asked.
  [[nodiscard]] bool late(const record& r) const noexcept {
    return r.followed != 0 && (beyond(r.depth) || r.led == 0);
  }
  void add_site(const url& u) {
    std::string name = site_of(u);
    if (!site.insert(name).second) return;
    if (options.recorded_) news.hosts.push_back(std::move(name));
  }

  [[nodiscard]] std::optional<url_refusal> refuse(const url& u, const std::string& href) const {
    if (std::ranges::find(options.schemes_, u.scheme()) == options.schemes_.end()) {
      return url_refusal::scheme;
    }
    if ((!include.empty() && !include.match(href)) || exclude.match(href)) {
      return url_refusal::excluded;
    }
    if (options.external_ == external_links::skip && !of_site(u, href))
      return url_refusal::external;
    return {};
  }
  [[nodiscard]] std::uint32_t* count_alike(const url& u) {
    const std::string text = likeness(u);
    return text.empty() ? nullptr : &alike[std::hash<std::string>{}(text)];
  }

  url_claim take(const url& u, std::uint32_t depth, bool start, bool leads) {
    const std::string href = without_fragment(u);
    if (!start) {
      if (const auto why = refuse(u, href)) return {{}, false, why};
    }
    const std::string key = spelled(href, spelling::of_urls);
    const auto known = id_of(key);
    const bool followed =
        start || (known != text_tree::no_value && records[known].followed != 0) || of_site(u, href);
    if (known != text_tree::no_value) {
      record& r = records[known];
      const bool was_late = late(r);
      if ((followed && r.followed == 0) || (leads && r.led == 0)) {
        r.followed = r.followed != 0 || followed;
        r.led = r.led != 0 || leads;
        if (r.followed != 0) note(known);
      }
      if (was_late && !late(r) && r.queued != 0) ready.push_back(known);
      lower(known, depth);
      return {known, false, {}};
    }
    if (followed) {
      if (!start && (depth > options.traps_.depth || looks_endless(u, options.traps_))) {
        return {{}, false, url_refusal::trap};
      }
      if (auto* const count = count_alike(u)) {
        const auto most = u.query() ? options.traps_.alike_with_query : options.traps_.alike;
        if (!start && *count >= most) return {{}, false, url_refusal::trap};
        ++*count;
      }
    }
    const auto node = texts.add_url(key);
    return {add(node, key == href ? node : texts.add_url(href), depth, followed, leads), true, {}};
  }
  [[nodiscard]] std::uint32_t id_of(std::string_view key) const noexcept {
    const auto node = texts.find_url(key);
    return node == text_tree::root ? text_tree::no_value : texts.value(node);
  }
  void note(url_id id) {
    if (!options.recorded_) return;
    news.updates.push_back(
        {id, records[id].depth, records[id].followed != 0, records[id].led != 0});
  }

  url_id add(text_tree::node key, text_tree::node said, std::uint32_t depth, bool followed,
             bool led) {
    if (records.size() >= std::size_t{1} << 31U) {
      throw error{make_error_code(errc::limit_exceeded), "a frontier of more than 2^31 URLs"};
    }
    const auto id = static_cast<url_id>(records.size());
    records.push_back({said, clamped(depth), followed, 1, 0, 0, led, 0, none, 0});
    if (options.level_) first_edge.push_back(none);
    texts.set_value(key, id);
    ++waiting;
    if (options.recorded_) news.claims.push_back({id, texts[said], depth, followed, led});
    (late(records[id]) ? last : ready).push_back(id);
    return id;
  }
  static std::uint16_t clamped(std::uint32_t depth) noexcept {
    return static_cast<std::uint16_t>(std::min<std::uint32_t>(depth, 65535));
  }

  void add_link(url_id from, url_id to, bool redirect) {
    ++links;
    records[to].links += redirect ? 0 : 1;
    if (options.recorded_) news.links.push_back({from, to, redirect});
    // A link never brings what is at depth 1 nearer, nor a redirect what is at 0.
    if (!options.level_ || records[to].followed == 0) return;
    if (records[to].depth <= (redirect ? 0 : 1)) return;
    edges.push_back(
        {to, redirect, std::exchange(first_edge[from], static_cast<std::uint32_t>(edges.size()))});
  }
  void add_source(url_id to, url_id page, const link_place& p) {
    record& r = records[to];
    if (r.kept >= options.sources_) return;
    const bool many = unused_source == none && sources.size() >= most_sources;
    if (many && r.kept > 0) return;
    ++r.kept;
    if (options.recorded_) {
      news.sources.push_back({to, {page, p}});
      return;
    }
    const kept_source s{page,
                        p.line,
                        p.column,
                        word(shortened(p.text, most_text)),
                        word(p.element),
                        word(shortened(p.fragment, most_text)),
                        r.sources};
    if (unused_source != none) {
      r.sources = std::exchange(unused_source, sources[unused_source].next);
      sources[r.sources] = s;
    } else {
      r.sources = static_cast<std::uint32_t>(sources.size());
      sources.push_back(s);
    }
  }
  /// Words are in the tree behind a piece that begins no URL.
  text_tree::node word(std::string_view text) {
    if (text.empty()) return text_tree::root;
    return texts.add(texts.add(text_tree::root, " "), text);
  }
  [[nodiscard]] std::string word_of(text_tree::node n) const {
    std::string text = texts[n];
    if (!text.empty()) text.erase(0, 1);
    return text;
  }

  /// It was found again. What it links to may be nearer then, too.
  void lower(url_id id, std::uint32_t depth) {
    std::vector<std::pair<url_id, std::uint32_t>> found{{id, depth}};
    while (!found.empty()) {
      const auto [at, nearer] = found.back();
      found.pop_back();
      record& r = records[at];
      if (nearer >= r.depth) continue;
      const bool was_late = late(r);
      r.depth = clamped(nearer);
      note(at);
      if (was_late && !late(r) && r.queued != 0) ready.push_back(at);
      if (!options.level_) continue;
      for (auto e = first_edge[at]; e != none; e = edges[e].next) {
        found.emplace_back(url_id{edges[e].to}, nearer + (edges[e].redirect != 0 ? 0 : 1));
      }
    }
  }

  /// The next one of a queue; one that has been handed out from the other queue is passed over.
  std::optional<url_id> pop(std::deque<url_id>& queue) {
    while (!queue.empty()) {
      const url_id id = queue.front();
      queue.pop_front();
      record& r = records[id];
      if (r.queued == 0) continue;
      r.queued = 0;
      --waiting;
      if (r.taken != 0) continue;
      if (r.followed != 0 && options.limit_ && pages >= *options.limit_) {
        ++over_limit;
        left_out.push_back(id);
        continue;
      }
      return id;
    }
    return {};
  }
};

frontier::frontier(frontier_options options) : state_{new state{std::move(options)}} {}
frontier::~frontier() = default;
frontier::frontier(frontier&&) noexcept = default;
frontier& frontier::operator=(frontier&&) noexcept = default;

url_claim frontier::start(const url& page) {
  state& s = *state_;
  const auto& schemes = s.options.schemes_;
  if (std::ranges::find(schemes, page.scheme()) == schemes.end()) {
    return {{}, false, url_refusal::scheme};
  }
  s.add_site(page);
  if (page.is_http()) {
    s.given.insert(page.origin());
    s.given.insert("https://" + page.host_header());
  }
  return s.take(page, 0, true, true);
}

url_claim frontier::link(url_id from, const url& to, const link_place& place, bool leads) {
  state& s = *state_;
  const url_claim c = s.take(to, s.records.at(from).depth + 1U, false, leads);
  if (!c.id) return c;
  s.add_link(from, *c.id, false);
  s.add_source(*c.id, from, place);
  return c;
}

url_claim frontier::redirect(url_id from, const url& to) {
  state& s = *state_;
  // Only start pages, and what they redirect to, are at depth 0.
  const auto depth = s.records.at(from).depth;
  if (depth == 0) s.add_site(to);
  const url_claim c = s.take(to, depth, false, s.records.at(from).led != 0);
  if (!c.id) return c;
  s.add_link(from, *c.id, true);
  s.add_source(*c.id, from, {0, 0, "", "redirect", std::string{to.fragment().value_or("")}});
  return c;
}

std::optional<url_id> frontier::next() {
  state& s = *state_;
  auto id = s.pop(s.ready);
  if (!id && s.expanding == 0) id = s.pop(s.last);
  if (!id) return {};
  auto& r = s.records[*id];
  r.taken = 1;
  r.expanding = s.follows(r) && r.led != 0;
  s.expanding += r.expanding;
  s.pages += r.followed;
  ++s.running;
  return id;
}

std::vector<url_id> frontier::left_out() { return std::exchange(state_->left_out, {}); }

void frontier::done(url_id id) {
  state& s = *state_;
  auto& r = s.records.at(id);
  --s.running;
  s.expanding -= r.expanding;
  r.expanding = 0;
}

std::string frontier::said(url_id id) const { return state_->texts[state_->records.at(id).said]; }
std::uint32_t frontier::depth(url_id id) const { return state_->records.at(id).depth; }
bool frontier::follows(url_id id) const { return state_->follows(state_->records.at(id)); }
bool frontier::internal(url_id id) const { return state_->records.at(id).followed != 0; }
bool frontier::given(const url& u) const {
  return state_->given.contains(u.origin()) || state_->internal.match(without_fragment(u));
}
std::uint32_t frontier::links_to(url_id id) const { return state_->records.at(id).links; }

std::optional<url_id> frontier::find(const url& u) const {
  const auto id = state_->id_of(spelled(without_fragment(u), spelling::of_urls));
  if (id == text_tree::no_value) return {};
  return id;
}

std::vector<link_source> frontier::sources(url_id id) const {
  const state& s = *state_;
  std::vector<link_source> all;
  for (auto at = s.records.at(id).sources; at != none; at = s.sources[at].next) {
    const auto& k = s.sources[at];
    all.push_back(
        {k.page,
         {k.line, k.column, s.word_of(k.text), s.word_of(k.element), s.word_of(k.fragment)}});
  }
  std::ranges::reverse(all);
  return all;
}

void frontier::forget_sources(url_id id) {
  state& s = *state_;
  auto& r = s.records.at(id);
  r.kept = state::max_kept;  // and no more
  while (r.sources != none) {
    const auto at = std::exchange(r.sources, s.sources[r.sources].next);
    s.sources[at].next = std::exchange(s.unused_source, at);
  }
}

std::size_t frontier::waiting() const noexcept { return state_->waiting; }

frontier_statistics frontier::statistics() const {
  const state& s = *state_;
  frontier_statistics all{};
  all.urls = s.records.size();
  all.waiting = s.waiting;
  all.running = s.running;
  all.links = s.links;
  all.over_limit = s.over_limit;
  all.memory = s.texts.memory() + s.records.capacity() * sizeof(state::record) +
               s.sources.capacity() * sizeof(state::kept_source) +
               s.edges.capacity() * sizeof(state::kept_edge) +
               s.first_edge.capacity() * sizeof(std::uint32_t) +
               (s.ready.size() + s.last.size()) * sizeof(url_id) + s.alike.size() * 32;
  return all;
}

frontier_changes frontier::changes() { return std::exchange(state_->news, {}); }

void frontier::restore(const frontier_changes& piece) {
  state& s = *state_;
  const bool recorded = std::exchange(s.options.recorded_, false);
  for (const auto& host : piece.hosts) s.site.insert(host);
  for (const auto& c : piece.claims) {
    const auto u = url::parse(c.url);
    if (!u || c.id != s.records.size()) {
      throw error{make_error_code(errc::protocol), "\"" + c.url + "\" is not what was claimed"};
    }
    const auto key = s.texts.add_url(spelled(c.url, spelling::of_urls));
    s.add(key, s.texts.add_url(c.url), c.depth, c.followed, c.led);
    if (c.followed) {
      if (auto* count = s.count_alike(*u)) ++*count;
    }
  }
  for (const auto& e : piece.links) s.add_link(e.from, e.to, e.redirect);
  for (const auto& x : piece.updates) {
    auto& r = s.records.at(x.id);
    const bool was_late = s.late(r);
    if (x.followed) r.followed = 1;
    if (x.led) r.led = 1;
    if (was_late && !s.late(r) && r.queued != 0) s.ready.push_back(x.id);
    s.lower(x.id, x.depth);
  }
  s.options.recorded_ = recorded;
  for (const auto& x : piece.sources) {
    auto& r = s.records.at(x.to);
    if (r.kept < state::max_kept) ++r.kept;
  }
}

void frontier::restore_done(url_id id) {
  state& s = *state_;
  auto& r = s.records.at(id);
  r.taken = 1;
  s.pages += r.followed;
}

}  // namespace oneloop::inline v0
