// What a page says: its links, one by one.
#include <algorithm>
#include <utility>

#include "oneloop/check/addresses_internal.hpp"
#include "oneloop/check/crawl_run_internal.hpp"
#include "oneloop/check/spelling_internal.hpp"

namespace oneloop::inline v0::detail {
namespace {

link_place place_of_link(const html::link& l) {
  link_place p;
  p.line = l.at.line;
  p.column = l.at.column;
  p.text = l.text;
  p.element = l.element;
  if (!l.attribute.empty()) p.element.append("[").append(l.attribute).append("]");
  return p;
}

/// Of what is no URL to be asked for, so many bytes are kept and told.
constexpr std::size_t most_shown = 200;
std::string shown(std::string_view text) { return shortened(text, most_shown); }

/// "data" of "DATA:,x", whether that is a URL or not; "" if it begins with no scheme.
std::string scheme_of(std::string_view text) {
  std::string scheme{text.substr(0, text.find(':'))};
  if (scheme.size() == text.size()) return {};
  for (char& c : scheme) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
    const bool letter = c >= 'a' && c <= 'z';
    const bool other = (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
    if (!letter && (&c == scheme.data() || !other)) return {};
  }
  return scheme;
}

bool has_anchors(html::document_kind kind) noexcept {
  return kind == html::document_kind::html || kind == html::document_kind::markdown;
}

/// By its name it is no document: then its head tells enough, for a start.
bool names_no_document(const url& u) {
  static constexpr std::string_view endings[] = {
      "7z",   "apk",  "avi",  "avif", "bin",  "bmp",   "bz2", "csv",  "deb", "dmg",  "doc", "docx",
      "eot",  "epub", "exe",  "flac", "gif",  "gz",    "ico", "iso",  "jar", "jpeg", "jpg", "js",
      "json", "m4a",  "m4v",  "map",  "mjs",  "mkv",   "mov", "mp3",  "mp4", "ogg",  "otf", "pdf",
      "png",  "ppt",  "pptx", "rar",  "rpm",  "svg",   "tar", "tgz",  "tif", "tiff", "ttf", "txt",
      "wasm", "wav",  "webm", "webp", "woff", "woff2", "xls", "xlsx", "xz",  "zip"};
  const std::string_view path = u.path();
  const auto dot = path.rfind('.');
  if (dot == path.npos || path.find('/', dot) != path.npos) return false;
  std::string ending{path.substr(dot + 1)};
  std::ranges::transform(ending, ending.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  });
  return std::ranges::binary_search(endings, ending);
}

}  // namespace

crawl_skip_reason reason_of(url_refusal r) noexcept {
  switch (r) {
    case url_refusal::scheme: return crawl_skip_reason::scheme;
    case url_refusal::excluded: return crawl_skip_reason::excluded;
    case url_refusal::external: return crawl_skip_reason::external;
    case url_refusal::trap: return crawl_skip_reason::trap;
  }
  return crawl_skip_reason::scheme;
}

void crawl_run::read(url_id id, check_result r, url_record record, const html::document& d,
                     reading_as how, outcome& out) {
  auto& mark = ledger_[id];
  mark.read = 1;
  record.read = mark.navigated != 0 && frontier_->follows(id);
  if (settings_.fragments && has_anchors(how.kind)) {
    record.anchors = packed(d.anchors);
    fragments_.know(id, *record.anchors);
  }
  if (d.problem) {
    out.events.emplace_back(crawl_note{r.url + ": " + d.problem->what()});
  }
  if (record.read) {
    open_page p{id, record, d, out, r.url, {}};
    if (how.local) {
      if (const auto at = url::parse(frontier_->said(id))) p.path = path_of_url(*at);
    }
    for (const auto& l : d.links) take_link(p, l);
  } else if (frontier_->follows(id)) {
    record.asked = true;  // for its anchors only: somebody may still lead people there
  }
  settle(id, std::move(r), std::move(record), out);
}

void crawl_run::take_link(open_page& p, const html::link& l) {
  ++p.record.links;
  link_place place = place_of_link(l);
  if (l.use == html::link_use::hint) {
    return skip_link(p, shown(l.raw), crawl_skip_reason::hint, std::move(place));
  }
  if (l.use == html::link_use::submission) {
    return skip_link(p, shown(l.raw), crawl_skip_reason::submission, std::move(place));
  }
  const auto to = p.path && l.target ? local_.place_of(*l.target, *p.path) : l.target;
  const std::string scheme = to ? std::string{to->scheme()} : scheme_of(l.raw);
  if (const auto why = settings_.unasked(scheme)) {
    return skip_link(p, shown(to ? to->display() : l.raw), *why, std::move(place));
  }
  if (!to) return take_false_link(p, {l.raw, to.error().message(), std::move(place)});
  if (scheme == "mailto") return take_address(p, *to, is_mail_link(*to), std::move(place));
  if (scheme == "tel") return take_address(p, *to, is_telephone_link(*to), std::move(place));
  place.fragment = to->fragment().value_or("");
  if (to->scheme() == "file" && !p.path) {
    return skip_link(p, to->display(), crawl_skip_reason::scheme, std::move(place));
  }
  if (settings_.offline && to->is_http()) {
    const auto asked = url::parse(settings_.remapped(to->href()));
    if (!asked || asked->is_http()) {
      return skip_link(p, to->display(), crawl_skip_reason::offline, std::move(place));
    }
  }
  const bool nofollow = settings_.robots && (l.nofollow || p.links.nofollow);
  const auto claim = frontier_->link(p.id, *to, place, !nofollow);
  if (!claim.id) return skip_link(p, name_of(*to), reason_of(*claim.why), std::move(place));
  const url_id id = *claim.id;
  ledger_.found(id);
  // What might be a page is asked for as one, and so once, whatever leads there first; and with its
  // places where those matter.
  const bool page = l.followed() || !names_no_document(*to);
  want(id, page && !nofollow, page && settings_.fragments, p.record);
  const auto mark = ledger_[id];
  if (settings_.dump) p.out.events.emplace_back(crawl_found_link{name_of(*to), {p.name, place}});
  if (mark.skipped != 0) {
    ++so_far_.skipped[mark.why];
    p.out.events.emplace_back(
        crawl_skipped_link{name_of(id), static_cast<crawl_skip_reason>(mark.why), {p.name, place}});
  } else if (mark.settled != 0 && mark.ok == 0) {
    const auto& b = ledger_.bad(id);
    p.out.events.emplace_back(crawl_broken_link{name_of(id), b.status, b.error, {p.name, place}});
  }
  if (settings_.fragments && !place.fragment.empty() && !settings_.fragment_excluded(*to)) {
    take_fragment({id, p.id, std::move(place)}, p.record, p.out);
  }
}

/// What is no URL to be asked, but has to have a form.
void crawl_run::take_address(open_page& p, const url& to, bool valid, link_place place) {
  if (valid) return;
  const bool mail = to.scheme() == "mailto";
  take_false_link(
      p, {to.display(), mail ? "not a mail address" : "not a telephone number", std::move(place)});
}

void crawl_run::take_false_link(open_page& p, false_link l) {
  l.text = shown(l.text);
  keep_false_link(p.id, l);
  p.out.events.emplace_back(crawl_broken_link{
      l.text, 0, check_error{http::error_kind::bad_url, l.why}, {p.name, l.place}});
  p.record.false_links.push_back(std::move(l));
}

void crawl_run::keep_false_link(url_id page, const false_link& l) {
  const auto [known, fresh] = false_urls_.try_emplace(l.text);
  if (fresh) {
    known->second.why = l.why;
    false_order_.push_back(l.text);
  }
  ++known->second.linked;
  if (known->second.sources.size() < settings_.sources) {
    known->second.sources.push_back({name_of(page), l.place});
  }
}

void crawl_run::skip_link(open_page& p, std::string text, crawl_skip_reason why, link_place place) {
  ++p.record.skipped[static_cast<std::size_t>(why)];
  p.out.events.emplace_back(crawl_skipped_link{std::move(text), why, {p.name, std::move(place)}});
}

/// Where redirects lead in the end; a place that one of them names goes before the link's own. More
/// redirects than are followed lead nowhere.
fragment_link crawl_run::redirected(fragment_link l) const {
  const auto* next = ledger_.moved(l.to);
  for (std::size_t n = 0; n <= settings_.max_redirects && next != nullptr; ++n) {
    if (!next->place.empty()) l.place.fragment = next->place;
    l.to = next->to;
    next = ledger_.moved(l.to);
  }
  return l;
}

/// A link to a place: looked up now, or when its page has been read.
void crawl_run::take_fragment(fragment_link l, url_record& record, outcome& out) {
  l = redirected(std::move(l));
  if (fragments_.knows(l.to)) {
    if (!check_fragment(fragments_.anchors(l.to), l, &out))
      record.fragments.push_back(std::move(l));
    return;
  }
  want(l.to, false, true, record);
  const auto mark = ledger_[l.to];
  // Its verdict is there, and it is no page with places.
  if (mark.settled != 0 && mark.late == 0) return;
  record.fragments.push_back(l);
  fragments_.wait(std::move(l));
}

/// Whether the place is there; if not, it is in the report, and told in `out`.
bool crawl_run::check_fragment(const html::anchor_set& anchors, const fragment_link& l,
                               outcome* out) {
  auto hint = missing_fragment(anchors, l.place.fragment);
  if (!hint) return true;
  crawl_broken_fragment b{name_of(l.to),
                          l.place.fragment,
                          *std::move(hint),
                          {l.page == no_page ? std::string{} : name_of(l.page), l.place}};
  so_far_.fragments.push_back(b);
  if (out != nullptr) out->events.emplace_back(std::move(b));
  return false;
}

/// Links to places in a page of which all is known now.
void crawl_run::settle_fragments(url_id id, outcome& out) {
  auto waiting = fragments_.take(id);
  if (waiting.empty()) return;
  url_record none;  // the page that has the link has kept it
  for (auto& l : waiting) {
    if (fragments_.knows(id)) {
      check_fragment(fragments_.anchors(id), l, &out);
    } else if (ledger_[id].moved != 0) {
      take_fragment(std::move(l), none, out);
    }
  }
}

}  // namespace oneloop::inline v0::detail
