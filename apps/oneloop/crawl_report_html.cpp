#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>
#include <vector>

#include "crawl_report_internal.hpp"
#include "oneloop/http/error.hpp"
#include "oneloop/url/url.hpp"

namespace tool {
namespace {

/// Nothing is loaded and nothing runs but what is ours, whatever a page got into its texts.
constexpr std::string_view policy =
    "default-src 'none'; base-uri 'none'; form-action 'none'; "
    "style-src 'sha256-Aj82A9xGFOWFTqFmDebC6pe84Ui/KHtwpNYe59XDwn0='; "
    "script-src 'sha256-nJsO3HUus6u1XN0TVe7hgHzaJVcvRaJGFe7jugUA7io='";

/// Sources that are seen at once, and those that are there when the others are unfolded: what is
/// wrong in a footer is wrong on every page.
constexpr std::size_t sources_shown = 3;
constexpr std::size_t sources_most = 20;
constexpr std::size_t starts_shown = 5;

std::string_view about(oneloop::crawl_skip_reason why) noexcept {
  switch (why) {
    case oneloop::crawl_skip_reason::scheme: return "not http or https";
    case oneloop::crawl_skip_reason::mail: return "mail addresses";
    case oneloop::crawl_skip_reason::telephone: return "telephone numbers";
    case oneloop::crawl_skip_reason::excluded: return "excluded by a pattern";
    case oneloop::crawl_skip_reason::external: return "of other sites";
    case oneloop::crawl_skip_reason::robots: return "not allowed by robots.txt";
    case oneloop::crawl_skip_reason::trap: return "made up without end";
    case oneloop::crawl_skip_reason::limit: return "beyond the limit of pages";
    case oneloop::crawl_skip_reason::offline: return "would take a network";
    case oneloop::crawl_skip_reason::hint: return "hints for browsers, no documents";
    case oneloop::crawl_skip_reason::submission: return "where forms send their data";
  }
  return "";
}

std::string_view label(oneloop::http::error_kind kind) noexcept {
  using oneloop::http::error_kind;
  switch (kind) {
    case error_kind::bad_url: return "bad URL";
    case error_kind::dns: return "no such host";
    case error_kind::refused: return "refused";
    case error_kind::unreachable: return "unreachable";
    case error_kind::reset: return "reset";
    case error_kind::tls: return "TLS";
    case error_kind::timeout: return "timeout";
    case error_kind::protocol: return "protocol";
    case error_kind::redirect: return "redirect";
    case error_kind::too_large: return "too large";
    case error_kind::status: return "status";
    case error_kind::proxy: return "proxy";
    case error_kind::forbidden: return "forbidden";
    case error_kind::cancelled: return "given up";
    case error_kind::missing: return "no such file";
  }
  return "";
}

bool is_web(std::string_view url) noexcept {
  return url.starts_with("http://") || url.starts_with("https://");
}

/// Only what is of the web becomes a link: never "javascript:", nor a file of this machine.
std::string link_to(std::string_view url) {
  const std::string text = escaped(url);
  if (!is_web(url)) return "<span>" + text + "</span>";
  return fmt::format("<a href=\"{0}\">{0}</a>", text);
}

std::string host_of(std::string_view url) {
  const auto u = oneloop::url::parse(url);
  return u && u->is_http() ? u->host_header() : "files";
}

/// One self-contained page.
class html_writer final : public crawl_writer {
 public:
  std::string event(const oneloop::crawl_event&) override { return {}; }

  std::string end(const oneloop::crawl_report& r) override {
    places_ = by_place(r);
    top(r);
    broken(r);
    fragments();
    redirects(r);
    hosts(r);
    skipped(r);
    add("</main>\n<footer>Made by <b>oneloop crawl</b>.</footer>\n<script>{}</script>\n",
        page_script);
    add("</body>\n</html>\n");
    return std::move(text_);
  }

 private:
  template <class... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(text_), format, std::forward<Args>(args)...);
  }

  void top(const oneloop::crawl_report& r) {
    const std::string first = r.start.empty() ? "" : " of " + escaped(r.start.front());
    add("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
        "<meta name=\"referrer\" content=\"no-referrer\">\n"
        "<title>Links{}</title>\n<style>{}</style>\n</head>\n<body>\n",
        policy, first, page_style);
    add("<header>\n<h1>Link report</h1>\n<ul class=\"starts\">\n");
    const auto first_starts = std::min(r.start.size(), starts_shown);
    for (std::size_t i = 0; i < first_starts; ++i) add("<li>{}</li>\n", link_to(r.start[i]));
    if (r.start.size() > starts_shown) {
      add("<li>and {} more</li>\n", grouped(r.start.size() - starts_shown));
    }
    add("</ul>\n");
    if (!r.broken.empty()) {
      add("<p class=\"verdict bad\">{} broken URL{}</p>\n", grouped(r.broken.size()),
          r.broken.size() == 1 ? "" : "s");
    } else if (!places_.empty()) {
      add("<p class=\"verdict warn\">All pages are there; {} fragment{} not</p>\n",
          grouped(places_.size()), places_.size() == 1 ? " is" : "s are");
    } else {
      add("<p class=\"verdict\">No broken links</p>\n");
    }
    add("<ul class=\"tiles\">\n");
    tile("", grouped(r.pages), "pages");
    tile("", grouped(r.links), "links");
    tile("", grouped(r.urls), "URLs");
    tile(r.broken.empty() ? "" : "bad", grouped(r.broken.size()), "<a href=\"#broken\">broken</a>");
    tile(places_.empty() ? "" : "warn", grouped(places_.size()),
         "<a href=\"#fragments\">fragments</a>");
    tile("", grouped(r.redirects.size()), "<a href=\"#redirects\">redirects</a>");
    std::uint64_t skips = 0;
    for (const auto n : r.skipped) skips += n;
    tile("", grouped(skips), "<a href=\"#skipped\">not checked</a>");
    tile("", grouped(r.hosts.size()), r.hosts.empty() ? "hosts" : "<a href=\"#hosts\">hosts</a>");
    tile("", fmt::format("{:.2f} s", std::chrono::duration<double>(r.elapsed).count()),
         r.resumed ? "last run" : "time");
    add("</ul>\n</header>\n<main>\n");
  }

  void tile(std::string_view kind, std::string_view number, std::string_view what) {
    add("<li class=\"{}\"><b>{}</b><span>{}</span></li>\n", kind, number, what);
  }

  /// Title, count and, with a script, what to search and choose by.
  void head(std::string_view id, std::string_view title, std::size_t count, bool kinds) {
    add("<section id=\"{}\" aria-labelledby=\"{}-title\">\n<div class=\"head\">"
        "<h2 id=\"{}-title\">{}</h2><output class=\"count\">{}</output>\n",
        id, id, id, title, grouped(count));
    if (count > 1) {
      add("<div class=\"tools\" hidden><input type=\"search\" placeholder=\"Search\" "
          "aria-label=\"Search in {}\">",
          title);
      if (kinds) {
        add("<select name=\"kind\" aria-label=\"Kind\"><option value=\"\">All "
            "kinds</option></select>");
      }
      add("<select name=\"host\" aria-label=\"Host\"><option value=\"\">All hosts</option></select>"
          "</div>");
    }
    add("</div>\n");
  }

  void broken(const oneloop::crawl_report& r) {
    head("broken", "Broken links", r.broken.size(), true);
    if (r.broken.empty()) {
      none("Every link leads somewhere.");
      return;
    }
    add("<div class=\"card\"><table>\n<thead><tr><th class=\"w3\">URL</th><th "
        "class=\"w2\">Reason</th>"
        "<th>Linked from</th><th class=\"n w1\">Links</th></tr></thead>\n<tbody>\n");
    for (const auto& b : r.broken) {
      const bool answered = b.error.kind() == oneloop::http::error_kind::status && b.status != 0;
      const std::string kind =
          answered ? std::to_string(b.status) : std::string{label(b.error.kind())};
      // "404 Not Found" has the status in front: not twice.
      std::string_view why = b.error.message();
      if (answered && why.starts_with(kind)) why.remove_prefix(kind.size());
      row(kind, b.url);
      add("<td>{}</td><td data-value=\"{}\"><span class=\"badge\">{}</span>"
          "<span class=\"why\">{}</span></td>",
          link_to(b.url), escaped(kind + " " + std::string{why}), kind, escaped(why));
      std::vector<const oneloop::crawl_source*> from;
      for (const auto& s : b.sources) from.push_back(&s);
      sources(from, b.linked);
      add("<td class=\"n\" data-label=\"Links:\" data-value=\"{}\">{}</td></tr>\n", b.linked,
          grouped(b.linked));
    }
    add("</tbody>\n</table></div>\n</section>\n");
  }

  void fragments() {
    head("fragments", "Broken fragments", places_.size(), false);
    if (places_.empty()) {
      none("No link leads to a place that is missing in its page.");
      return;
    }
    add("<div class=\"card\"><table>\n<thead><tr><th class=\"w3\">Place</th><th "
        "class=\"w2\">Reason</th>"
        "<th>Linked from</th><th class=\"n w1\">Links</th></tr></thead>\n<tbody>\n");
    for (const auto& p : places_) {
      row("", p.first->url);
      add("<td>{}</td><td><span class=\"badge warn\">#{}</span><span class=\"why\">{}</span></td>",
          link_to(target_of(*p.first)), escaped(p.first->fragment), escaped(reason_of(*p.first)));
      sources(p.sources, p.sources.size());
      add("<td class=\"n\" data-label=\"Links:\" data-value=\"{}\">{}</td></tr>\n",
          p.sources.size(), grouped(p.sources.size()));
    }
    add("</tbody>\n</table></div>\n</section>\n");
  }

  void redirects(const oneloop::crawl_report& r) {
    head("redirects", "Redirects", r.redirects.size(), true);
    if (r.redirects.empty()) {
      none("No link was redirected.");
      return;
    }
    add("<div class=\"card\"><table>\n<thead><tr><th class=\"w4\">From</th><th "
        "class=\"w1\">Status</th>"
        "<th>To</th><th>Linked from</th></tr></thead>\n<tbody>\n");
    for (const auto& d : r.redirects) {
      row(is_permanent(d) ? "permanent" : "temporary", d.from);
      add("<td>{}</td><td><span class=\"badge {}\">{}</span></td><td data-label=\"to\">{}</td>",
          link_to(d.from), is_permanent(d) ? "warn" : "soft", d.status, link_to(d.to));
      std::vector<const oneloop::crawl_source*> from;
      for (const auto& s : d.sources) from.push_back(&s);
      sources(from, from.size());
      add("</tr>\n");
    }
    add("</tbody>\n</table></div>\n</section>\n");
  }

  void hosts(const oneloop::crawl_report& r) {
    if (r.hosts.empty()) return;
    add("<section id=\"hosts\" aria-labelledby=\"hosts-title\">\n<div class=\"head\">"
        "<h2 id=\"hosts-title\">Hosts</h2><output class=\"count\">{}</output></div>\n"
        "<div class=\"card\"><table>\n<thead><tr><th class=\"w4\">Host</th>"
        "<th class=\"n\">Requests</th><th class=\"n\">Bad</th><th class=\"n\">Pauses</th>"
        "<th class=\"n\">Mean</th><th class=\"n\">Slowest</th></tr></thead>\n<tbody>\n",
        grouped(r.hosts.size()));
    for (const auto& h : r.hosts) {
      add("<tr><td><span>{}</span></td>", escaped(h.name));
      number("Requests:", h.requests);
      number("Bad:", h.bad);
      number("Pauses:", h.pauses);
      time("Mean:", h.mean);
      time("Slowest:", h.slowest);
      add("</tr>\n");
    }
    add("</tbody>\n</table></div>\n</section>\n");
  }

  void skipped(const oneloop::crawl_report& r) {
    add("<section id=\"skipped\" aria-labelledby=\"skipped-title\">\n<div class=\"head\">"
        "<h2 id=\"skipped-title\">Not checked</h2></div>\n");
    const bool any = std::ranges::any_of(r.skipped, [](std::uint64_t n) { return n != 0; });
    if (!any && r.not_read == 0) {
      none("Every link was checked.");
      return;
    }
    add("<div class=\"card\"><table>\n<thead><tr><th>Links</th><th class=\"n w1\">Number</th></tr>"
        "</thead>\n<tbody>\n");
    for (std::size_t i = 0; i < r.skipped.size(); ++i) {
      if (r.skipped.at(i) == 0) continue;
      add("<tr><td>{}</td>", about(static_cast<oneloop::crawl_skip_reason>(i)));
      number("", r.skipped.at(i));
      add("</tr>\n");
    }
    if (r.not_read != 0) {
      add("<tr><td>pages that are no documents: asked for, not read</td>");
      number("", r.not_read);
      add("</tr>\n");
    }
    add("</tbody>\n</table></div>\n</section>\n");
  }

  void none(std::string_view text) {
    add("<div class=\"card\"><p class=\"empty\">{}</p></div>\n</section>\n", text);
  }

  void row(std::string_view kind, std::string_view url) {
    add("<tr data-kind=\"{}\" data-host=\"{}\">", escaped(kind), escaped(host_of(url)));
  }

  void number(std::string_view name, std::uint64_t n) {
    add("<td class=\"n\" data-label=\"{}\" data-value=\"{}\">{}</td>", name, n, grouped(n));
  }

  void time(std::string_view name, oneloop::duration d) {
    const double ms = std::chrono::duration<double, std::milli>(d).count();
    add("<td class=\"n\" data-label=\"{}\" data-value=\"{:.3f}\">", name, ms);
    if (ms < 1000) {
      add("{:.1f} ms</td>", ms);
    } else {
      add("{:.2f} s</td>", ms / 1000);
    }
  }

  /// A cell of them. `linked` is how many there are in all.
  void sources(const std::vector<const oneloop::crawl_source*>& from, std::uint64_t linked) {
    add("<td class=\"block\" data-label=\"Linked from\">");
    if (from.empty()) {
      add("<span class=\"at\">a start page</span></td>");
      return;
    }
    const std::size_t first = std::min(from.size(), sources_shown);
    add("<ul>");
    for (std::size_t i = 0; i < first; ++i) source(*from[i]);
    add("</ul>");
    if (linked > first) {
      add("<details><summary>{} more</summary><ul>", grouped(linked - first));
      const std::size_t last = std::min(from.size(), sources_most);
      for (std::size_t i = first; i < last; ++i) source(*from[i]);
      if (linked > last) add("<li class=\"at\">and {} others</li>", grouped(linked - last));
      add("</ul></details>");
    }
    add("</td>");
  }

  void source(const oneloop::crawl_source& s) {
    add("<li class=\"src\">{}", link_to(s.page));
    if (s.place.line != 0) {
      add("<span class=\"at\">:{}{}</span>", s.place.line,
          s.place.column != 0 ? fmt::format(":{}", s.place.column) : "");
    }
    add("<span class=\"text\">{}{}", escaped(s.place.text), s.place.text.empty() ? "" : " ");
    add("<code>{}</code></span>", escaped(s.place.element));
    add("</li>");
  }

  std::vector<missing_place> places_;
  std::string text_;
};

}  // namespace

std::unique_ptr<crawl_writer> html_crawl_writer() { return std::make_unique<html_writer>(); }

}  // namespace tool
