#include "crawl_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <utility>
#include <variant>

#include "crawl_report_internal.hpp"
#include "oneloop/url/url.hpp"
#include "output.hpp"

namespace tool {
namespace {

std::string counted(std::uint64_t n, std::string_view what) {
  return fmt::format("{} {}{}", grouped(n), what, n == 1 ? "" : "s");
}

std::uint64_t hash_of_link(std::string_view url, std::string_view fragment,
                           const oneloop::crawl_source& s) {
  return hash_of({url, fragment, place_of(s), s.place.element});
}

/// The length of the UTF-8 sequence that `text` begins with; 0 if it is none, or no character.
std::size_t sequence(std::string_view text) noexcept {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = at(0);
  if (lead < 0x80) return 1;
  const std::size_t size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < size) return 0;
  for (std::size_t i = 1; i < size; ++i) {
    if ((at(i) & 0xc0) != 0x80) return 0;
  }
  const unsigned char next = at(1);
  if ((lead == 0xe0 && next < 0xa0) || (lead == 0xf0 && next < 0x90)) return 0;  // overlong
  if ((lead == 0xed && next >= 0xa0) || (lead == 0xf4 && next >= 0x90)) return 0;
  if (lead == 0xef && next == 0xbf && at(2) >= 0xbe) return 0;  // U+FFFE, U+FFFF: not in XML
  return size;
}

class text_writer final : public streaming_crawl_writer {
 public:
  explicit text_writer(bool verbose) : verbose_{verbose} {}

 private:
  std::string broken(const oneloop::crawl_broken_link& b) override {
    if (b.source.page.empty()) {
      return line(fmt::format("Broken link {} ({})", b.url, b.error.message()));
    }
    return line(
        fmt::format("Broken link {} -> {} ({})", place_of(b.source), b.url, b.error.message()));
  }

  std::string broken(const oneloop::crawl_broken_fragment& b) override {
    if (b.source.page.empty()) {
      return line(fmt::format("Broken fragment {} ({})", target_of(b), reason_of(b)));
    }
    return line(fmt::format("Broken fragment {} -> {} ({})", place_of(b.source), target_of(b),
                            reason_of(b)));
  }

  std::string other(const oneloop::crawl_event& e) override {
    if (const auto* f = std::get_if<oneloop::crawl_found_link>(&e)) return line(f->url);
    if (!verbose_) return {};
    if (const auto* n = std::get_if<oneloop::crawl_not_read>(&e))
      return line("Not html: " + n->url);
    if (const auto* s = std::get_if<oneloop::crawl_skipped_link>(&e)) return skipped(*s);
    const auto* v = std::get_if<oneloop::crawl_verdict>(&e);
    if (v == nullptr || !v->result.ok) return {};
    const auto& r = v->result;
    if (r.redirects.empty()) return line("OK " + r.url);
    return line(fmt::format("OK {} ({} to {})", r.url, r.redirects.front().status, r.final_url));
  }

  static std::string skipped(const oneloop::crawl_skipped_link& s) {
    switch (s.why) {
      case oneloop::crawl_skip_reason::scheme:
      case oneloop::crawl_skip_reason::mail:
      case oneloop::crawl_skip_reason::telephone: return line("Not http: " + s.url);
      default: return line(fmt::format("Skipped {} ({})", s.url, to_string(s.why)));
    }
  }

  static std::string line(std::string_view text) { return printable(text) + "\n"; }

  bool verbose_;
};

/// Workflow commands: a line that begins with "::" is an order to the runner of GitHub.
class github_writer final : public streaming_crawl_writer {
  std::string broken(const oneloop::crawl_broken_link& b) override {
    return command("error", "Broken link", b.source,
                   fmt::format("{} ({})", b.url, b.error.message()));
  }
  std::string broken(const oneloop::crawl_broken_fragment& b) override {
    return command("warning", "Broken fragment", b.source,
                   fmt::format("{} ({})", target_of(b), reason_of(b)));
  }
  std::string other(const oneloop::crawl_event&) override { return {}; }

  static std::string command(std::string_view level, std::string_view title,
                             const oneloop::crawl_source& s, std::string message) {
    std::string text = fmt::format("::{} ", level);
    if (const auto file = file_of(s.page)) {
      text += fmt::format("file={},", property(*file));
      if (s.place.line != 0) text += fmt::format("line={},", s.place.line);
      if (s.place.line != 0 && s.place.column != 0) text += fmt::format("col={},", s.place.column);
    } else if (!s.page.empty()) {
      message = fmt::format("{} -> {}", place_of(s), message);
    }
    return text + fmt::format("title={}::{}\n", title, data(message));
  }

  static std::string data(std::string_view text) {
    std::string to;
    for (const char c : text) {
      if (c == '%') {
        to += "%25";
      } else if (c == '\r') {
        to += "%0D";
      } else if (c == '\n') {
        to += "%0A";
      } else {
        to += c;
      }
    }
    return printable(to);
  }

  static std::string property(std::string_view text) {
    std::string to;
    for (const char c : data(text)) {
      if (c == ':') {
        to += "%3A";
      } else if (c == ',') {
        to += "%2C";
      } else {
        to += c;
      }
    }
    return to;
  }
};

/// RFC 4180, with a header line.
class csv_writer final : public crawl_writer {
 public:
  explicit csv_writer(bool verbose) : verbose_{verbose} {}

  std::string begin() override {
    return "type,url,fragment,status,kind,reason,page,line,column,text,element,linked\r\n";
  }

  std::string event(const oneloop::crawl_event& e) override {
    const auto* f = std::get_if<oneloop::crawl_found_link>(&e);
    return f == nullptr ? "" : row({"link", f->url}, f->source);
  }

  std::string end(const oneloop::crawl_report& r) override {
    const oneloop::crawl_source nowhere{};
    std::string text;
    for (const auto& b : r.broken) {
      about a{"broken", b.url};
      a.status = b.status;
      a.kind = to_string(b.error.kind());
      a.reason = b.error.message();
      a.linked = b.linked;
      for (const auto& s : b.sources) text += row(a, s);
      if (b.sources.empty()) text += row(a, nowhere);
    }
    for (const auto& f : r.fragments) {
      const std::string reason = reason_of(f);
      about a{"fragment", f.url};
      a.fragment = f.fragment;
      a.reason = reason;
      text += row(a, f.source);
    }
    if (!verbose_) return text;
    for (const auto& d : r.redirects) {
      if (!is_permanent(d)) continue;
      const std::string reason = "moved to " + d.to;
      about a{"redirect", d.from};
      a.status = d.status;
      a.reason = reason;
      for (const auto& s : d.sources) text += row(a, s);
    }
    return text;
  }

 private:
  struct about {
    std::string_view type;
    std::string_view url;
    std::string_view fragment{};
    int status = 0;
    std::string_view kind{};
    std::string_view reason{};
    std::uint64_t linked = 0;
  };

  static std::string row(const about& a, const oneloop::crawl_source& s) {
    std::string text{a.type};
    const auto add = [&text](std::string_view value) { text.append(",").append(cell(value)); };
    const auto number = [&text](std::uint64_t n) {
      text.append(",").append(n == 0 ? "" : std::to_string(n));
    };
    add(a.url);
    add(a.fragment);
    number(static_cast<std::uint64_t>(a.status));
    add(a.kind);
    add(a.reason);
    add(s.page);
    number(s.place.line);
    number(s.place.column);
    add(s.place.text);
    add(s.place.element);
    number(a.linked);
    return text + "\r\n";
  }

  /// A spreadsheet computes what begins like a formula, and opens other programs for some: such a
  /// cell gets a ' in front, which makes it text.
  static std::string cell(std::string_view value) {
    const std::string text = plain(value);
    const auto first = text.find_first_not_of(' ');
    const bool formula =
        (!value.empty() && std::string_view{"\t\r\n"}.find(value[0]) != std::string_view::npos) ||
        (first != std::string::npos &&
         std::string_view{"=+-@"}.find(text[first]) != std::string_view::npos);
    if (!formula && text.find_first_of(",\"") == std::string::npos) return text;
    std::string quoted = formula ? "\"'" : "\"";
    for (const char c : text) quoted.append(c == '"' ? 2 : 1, c);
    return quoted + "\"";
  }

  bool verbose_;
};

}  // namespace

std::unique_ptr<crawl_writer> text_crawl_writer(bool verbose) {
  return std::make_unique<text_writer>(verbose);
}

std::unique_ptr<crawl_writer> github_crawl_writer() { return std::make_unique<github_writer>(); }

std::unique_ptr<crawl_writer> csv_crawl_writer(bool verbose) {
  return std::make_unique<csv_writer>(verbose);
}

std::unique_ptr<crawl_writer> crawl_writer::make(crawl_format f, bool verbose) {
  switch (f) {
    case crawl_format::text: return text_crawl_writer(verbose);
    case crawl_format::json: return json_crawl_writer();
    case crawl_format::ndjson: return ndjson_crawl_writer();
    case crawl_format::junit: return junit_crawl_writer();
    case crawl_format::sarif: return sarif_crawl_writer(verbose);
    case crawl_format::csv: return csv_crawl_writer(verbose);
    case crawl_format::html: return html_crawl_writer();
    case crawl_format::github: return github_crawl_writer();
  }
  return nullptr;
}

std::string streaming_crawl_writer::event(const oneloop::crawl_event& e) {
  if (const auto* b = std::get_if<oneloop::crawl_broken_link>(&e)) {
    told_.push_back(hash_of_link(b->url, "", b->source));
    return broken(*b);
  }
  if (const auto* b = std::get_if<oneloop::crawl_broken_fragment>(&e)) {
    told_.push_back(hash_of_link(b->url, "#" + b->fragment, b->source));
    return broken(*b);
  }
  return other(e);
}

std::string streaming_crawl_writer::end(const oneloop::crawl_report& r) {
  std::string text;
  if (r.resumed) {
    std::ranges::sort(told_);
    const auto is_new = [this](std::uint64_t hash) {
      return !std::ranges::binary_search(told_, hash);
    };
    for (const auto& b : r.broken) {
      oneloop::crawl_broken_link link{b.url, b.status, b.error, {}};
      if (b.sources.empty() && is_new(hash_of_link(b.url, "", link.source))) text += broken(link);
      for (const auto& s : b.sources) {
        if (!is_new(hash_of_link(b.url, "", s))) continue;
        link.source = s;
        text += broken(link);
      }
    }
    for (const auto& f : r.fragments) {
      if (is_new(hash_of_link(f.url, "#" + f.fragment, f.source))) text += broken(f);
    }
  }
  return text + last(r);
}

std::vector<missing_place> by_place(const oneloop::crawl_report& r) {
  std::vector<missing_place> places;
  std::map<std::pair<std::string_view, std::string_view>, std::size_t> known;
  for (const auto& f : r.fragments) {
    const auto [at, fresh] = known.try_emplace({f.url, f.fragment}, places.size());
    if (fresh) places.push_back({&f, {}});
    if (!f.source.page.empty()) places[at->second].sources.push_back(&f.source);
  }
  return places;
}

std::string place_of(const oneloop::crawl_source& s) {
  if (s.place.line == 0) return s.page;
  if (s.place.column == 0) return fmt::format("{}:{}", s.page, s.place.line);
  return fmt::format("{}:{}:{}", s.page, s.place.line, s.place.column);
}

std::string reason_of(const oneloop::crawl_broken_fragment& b) {
  return b.hint.empty() ? "no such place in the page" : "no such place in the page; " + b.hint;
}

std::string target_of(const oneloop::crawl_broken_fragment& b) {
  return fmt::format("{}#{}", b.url, b.fragment);
}

bool is_permanent(const oneloop::crawl_redirect& r) noexcept {
  return r.status == 301 || r.status == 308;
}

std::optional<std::string> file_of(std::string_view page) {
  std::filesystem::path path;
  if (page.starts_with("file:")) {
    const auto u = oneloop::url::parse(page);
    if (!u) return std::nullopt;
    path = oneloop::percent_decode(u->path());
  } else if (page.empty() || page.starts_with("http://") || page.starts_with("https://")) {
    return std::nullopt;
  } else {
    path = page;
  }
  std::error_code failed;
  const auto here = std::filesystem::current_path(failed);
  if (failed) return path.lexically_normal().string();
  const auto whole = (here / path).lexically_normal();
  const auto relative = whole.lexically_relative(here);
  const bool below = !relative.empty() && *relative.begin() != "..";
  return below ? relative.string() : whole.string();
}

std::string plain(std::string_view text) {
  const std::string line = printable(text);
  std::string to;
  to.reserve(line.size());
  for (std::string_view rest = line; !rest.empty();) {
    const std::size_t size = sequence(rest);
    to += size == 0 ? std::string_view{"\xef\xbf\xbd"} : rest.substr(0, size);
    rest.remove_prefix(std::max<std::size_t>(size, 1));
  }
  return to;
}

std::string escaped(std::string_view text) {
  std::string to;
  for (const char c : plain(text)) {
    switch (c) {
      case '&': to += "&amp;"; break;
      case '<': to += "&lt;"; break;
      case '>': to += "&gt;"; break;
      case '"': to += "&quot;"; break;
      case '\'': to += "&#39;"; break;
      default: to += c;
    }
  }
  return to;
}

std::string grouped(std::uint64_t n) {
  std::string digits = std::to_string(n);
  for (std::size_t i = digits.size(); i > 3;) digits.insert(i -= 3, ",");
  return digits;
}

std::uint64_t hash_of(std::initializer_list<std::string_view> parts) noexcept {
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  const auto add = [&hash](unsigned char c) { hash = (hash ^ c) * 0x100000001b3; };
  for (const std::string_view part : parts) {
    for (const char c : part) add(static_cast<unsigned char>(c));
    add(0xff);  // no byte of UTF-8: {"ab", "c"} is not {"a", "bc"}
  }
  return hash;
}

std::string crawl_summary_line(const oneloop::crawl_report& r) {
  std::string line =
      fmt::format("{}, {}, {}, {} broken", counted(r.pages, "page"), counted(r.links, "link"),
                  counted(r.urls, "URL"), grouped(r.broken.size()));
  if (!r.fragments.empty()) line += ", " + counted(r.fragments.size(), "fragment");
  return line + fmt::format(" in {:.2f} s", std::chrono::duration<double>(r.elapsed).count());
}

std::string crawl_progress_text(const oneloop::crawl_progress& p, oneloop::duration time,
                                bool colours, std::size_t width) {
  const double seconds = std::chrono::duration<double>(time).count();
  const double rate = seconds > 0 ? static_cast<double>(p.done) / seconds : 0;
  const std::string bad = grouped(p.bad) + " bad";
  std::vector<std::string> parts{counted(p.pages, "page"), counted(p.links, "link"),
                                 grouped(p.queued + p.retries) + " queued", bad,
                                 fmt::format("{:.0f}/s", rate)};
  if (p.hosts_waiting != 0) {
    parts.push_back(counted(p.hosts_waiting, "host") + " waiting");
  }
  // What finds no room is left out, the last first. A terminal wraps at its last column.
  std::string line;
  std::size_t columns = 0;
  for (const auto& part : parts) {
    const std::size_t more = part.size() + (line.empty() ? 0 : 2);
    if (columns + more >= width) break;
    columns += more;
    if (!line.empty()) line += ", ";
    line +=
        colours && p.bad != 0 && &part == &parts[3] ? fmt::format("\033[31m{}\033[0m", part) : part;
  }
  return line;
}

}  // namespace tool
