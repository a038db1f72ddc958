#include "planted_site.hpp"

#include <zlib.h>

#include <algorithm>
#include <functional>
#include <random>

#include "oneloop/url/url.hpp"

namespace oneloop::planted {
namespace {

using http::error_kind;

bool is_unreserved(int c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string replaced(std::string text, std::string_view what, std::string_view by) {
  for (std::size_t at = 0; (at = text.find(what, at)) != text.npos; at += by.size()) {
    text.replace(at, what.size(), by);
  }
  return text;
}

std::string escaped(const std::string& text) { return replaced(text, "&", "&amp;"); }

std::string gzipped(std::string_view text) {
  z_stream z{};
  deflateInit2(&z, 6, Z_DEFLATED, 31, 9, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&z, text.size()) + 32, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  z.avail_in = static_cast<uInt>(text.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  deflate(&z, Z_FINISH);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

/// 4 MiB that fit in 4 KiB.
const std::string& bomb() {
  static const std::string made = gzipped(std::string(std::size_t{4} * 1024 * 1024, ' '));
  return made;
}

/// The code points of a text in UTF-8, which has no broken ones.
std::u32string points_of(std::string_view text) {
  std::u32string points;
  for (std::size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i++]);
    std::size_t more = 0;
    char32_t point = c;
    if (c >= 0xf0) {
      more = 3;
      point = c & 0x07U;
    } else if (c >= 0xe0) {
      more = 2;
      point = c & 0x0fU;
    } else if (c >= 0xc0) {
      more = 1;
      point = c & 0x1fU;
    }
    for (; more > 0; --more) point = point << 6U | (static_cast<unsigned char>(text[i++]) & 0x3fU);
    points += point;
  }
  return points;
}

std::string in_latin1(std::string_view text) {
  std::string bytes;
  for (const auto p : points_of(text)) bytes += static_cast<char>(p);
  return bytes;
}

std::string in_utf16(std::string_view text) {
  std::string bytes{"\xff\xfe"};
  const auto add = [&](unsigned unit) {
    bytes += static_cast<char>(unit & 0xffU);
    bytes += static_cast<char>(unit >> 8U);
  };
  for (const auto p : points_of(text)) {
    if (p < 0x10000) {
      add(p);
    } else {
      add(0xd800U + ((p - 0x10000) >> 10U));
      add(0xdc00U + ((p - 0x10000) & 0x3ffU));
    }
  }
  return bytes;
}

/// A document that knows where it is.
class paper {
 public:
  void put(std::string_view text) {
    for (const auto p : points_of(text)) {
      ++column_;
      if (p != '\n') continue;
      ++line_;
      column_ = 1;
    }
    text_ += text;
  }
  [[nodiscard]] std::uint32_t line() const { return line_; }
  [[nodiscard]] std::uint32_t column() const { return column_; }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
  std::uint32_t line_ = 1, column_ = 1;
};

constexpr std::array<std::string_view, 12> words{"alder", "birch", "cedar", "dogwood",
                                                 "elm",   "fir",   "hazel", "juniper",
                                                 "larch", "maple", "olive", "pine"};

}  // namespace

std::string canonical(std::string_view text) {
  const auto parsed = url::parse(text);
  if (!parsed) return std::string{text};
  const std::string href = parsed->without_fragment().href();
  std::string same;
  for (std::size_t i = 0; i < href.size(); ++i) {
    const int high = href[i] == '%' && i + 2 < href.size() ? hex_digit(href[i + 1]) : -1;
    const int low = high >= 0 ? hex_digit(href[i + 2]) : -1;
    if (low < 0) {
      same += href[i];
      continue;
    }
    if (is_unreserved(high * 16 + low)) {
      same += static_cast<char>(high * 16 + low);
    } else {
      constexpr std::string_view digits = "0123456789ABCDEF";
      same += '%';
      same += digits[static_cast<std::size_t>(high)];
      same += digits[static_cast<std::size_t>(low)];
    }
    i += 2;
  }
  return same;
}

// ---- the making of a site ----

class site::builder {
 public:
  builder(site& s, std::uint64_t seed) : site_{s}, shape_{s.shape_}, random_{seed} {}

  void build() {
    plant_pages();
    plant_robots();
    if (shape_.traps) plant_traps();
    plant_faults();
    for (auto& p : pages_) write(p);
  }

 private:
  enum class use : std::uint8_t { navigation, resource, stylesheet };
  enum class charset : std::uint8_t { utf8, latin1, utf16 };

  /// A link that is to be written into a page.
  struct wish {
    std::string raw;  // as it is written, entities apart; "": made of `url`
    std::string url;  // absolute, in the spelling that is to be written
    use how = use::navigation;
    bool refresh = false;  // by <meta>
    link_truth truth;      // its place is still to come
  };
  struct page {
    std::string path;  // of the site
    std::string base;  // what relative links begin from
    charset in = charset::utf8;
    bool says_charset = true;  // in the field, else in <meta>
    bool zipped = false;
    bool surplus = false;
    resource what;
    url_truth truth;
    std::vector<std::string> ids;
    std::vector<wish> links;
  };

  std::size_t below(std::size_t n) { return static_cast<std::size_t>(random_() % n); }
  bool chance(int percent) { return below(100) < static_cast<std::size_t>(percent); }

  /// A name that no other has, without digits: those that differ in digits are alike.
  std::string name() {
    std::string made{words[below(words.size())]};
    made += '-';
    for (std::size_t n = ++names_; n > 0; n /= 26) made += static_cast<char>('a' + n % 26);
    return made;
  }
  std::string path(std::string_view end = "") {
    std::string made = "/";
    if (chance(50)) made.append(words[below(words.size())]).append("/");
    return made.append(name()).append(end);
  }
  std::string at(int host, std::string_view path) const { return site_.url_of(host, path); }

  void set(const std::string& url, resource what, url_truth truth) {
    site_.resources_[canonical(url)] = std::move(what);
    site_.urls_[canonical(url)] = std::move(truth);
  }

  // ---- links ----

  /// One that is to be found on a random page, or on a few of them.
  void link(const std::string& url, use how = use::navigation) {
    const std::size_t times = 1 + below(3);
    for (std::size_t i = 0; i < times; ++i) add(pages_[below(pages_.size())], url, how);
  }
  wish& add(page& on, const std::string& url, use how = use::navigation) {
    wish w;
    w.url = url;
    w.how = how;
    w.truth.url = canonical(url);
    on.links.push_back(std::move(w));
    return on.links.back();
  }
  void add_raw(std::string raw, link_truth_kind kind) {
    wish w;
    w.truth.kind = kind;
    w.truth.url = raw;
    w.raw = std::move(raw);
    pages_[below(pages_.size())].links.push_back(std::move(w));
  }

  // ---- pages ----

  void plant_pages() {
    pages_.reserve(static_cast<std::size_t>(shape_.pages));
    for (int i = 0; i < shape_.pages; ++i) {
      page p;
      p.path = i == 0 ? "/" : path(chance(50) ? ".html" : "");
      p.base = p.path;
      p.truth.document = true;
      p.ids = {name(), "Caps-" + name(), "\u00dcber-" + name()};
      dress(p);
      pages_.push_back(std::move(p));
      if (i > 0) lead_to(pages_.back(), static_cast<std::size_t>(i));
    }
    // And some more links between them.
    for (auto& p : pages_) {
      for (std::size_t i = below(4); i > 0; --i) {
        add(p, spelled(at(0, pages_[below(pages_.size())].path)));
      }
    }
  }

  /// How a page is sent, and what goes wrong with it first.
  void dress(page& p) {
    auto& then = p.what.then;
    const auto once = [&](reply r) {
      p.what.first.push_back(std::move(r));
      p.truth.failed_gets = p.truth.failed_heads = p.truth.least_failed = 1;
    };
    const auto refused = [&](int status, std::string fields) {
      reply r;
      r.status = status;
      r.fields = std::move(fields);
      r.body = "not now";
      return r;
    };
    const auto broken = [&](manner how) {
      reply r;
      r.body = std::string(200, 'x');
      r.how = how;
      return r;
    };
    const std::string wait = "Retry-After: " + std::to_string(shape_.slow ? below(2) : 0) + "\r\n";
    switch (below(18)) {
      case 0: then.how = manner::chunked; break;
      case 1: then.how = manner::unframed; break;
      case 2: then.how = manner::dribble; break;
      case 3: p.surplus = true; break;
      case 4: p.zipped = true; break;
      case 5: once(refused(500, "")); break;
      case 6: once(refused(503, wait)); break;
      case 7: once(refused(429, wait)); break;
      case 8: once(broken(manner::drop)); break;
      case 9: once(broken(manner::cut)); break;
      case 10: once(broken(manner::cut_chunked)); break;
      case 11:
        if (shape_.slow) once(broken(chance(50) ? manner::hang : manner::stall));
        break;
      case 12: p.in = charset::latin1; break;
      case 13:
        p.in = charset::latin1;
        p.says_charset = false;
        break;
      case 14:
        p.in = charset::utf16;
        p.says_charset = false;
        break;
      case 15: p.base = "/" + std::string{words[below(words.size())]} + "/base/"; break;
      default: break;
    }
  }

  /// One of the pages before it leads to it.
  void lead_to(page& to, std::size_t number) {
    page& from = pages_[below(number)];
    const std::string target = at(0, to.path);
    switch (below(8)) {
      case 0: add(from, redirect_to(0, target, 1 + below(3))); break;
      case 1: {
        // There and back again.
        const std::string hop = redirect_to(1, target, 1);
        add(from, hop);
        site_.planted_.insert("redirect from the other host");
        break;
      }
      case 2: {
        auto& w = add(from, target);
        w.refresh = true;
        site_.planted_.insert("meta refresh");
        break;
      }
      case 3: add(from, sitemap_of(target)); break;
      default: add(from, spelled(target)); break;
    }
  }

  /// Hops that end at `target`; the first of them.
  std::string redirect_to(int host, const std::string& target, std::size_t hops) {
    static constexpr std::array<int, 5> statuses{301, 302, 303, 307, 308};
    std::string next = target;
    for (std::size_t i = 0; i < hops; ++i) {
      const std::string from_path = path();
      const std::string from = at(host, from_path);
      resource r;
      r.then.status = statuses[below(statuses.size())];
      std::string location = next;
      if (next.starts_with(at(host, "/")) && chance(60)) location = relative(from_path, next);
      r.then.fields = "Location: " + location + "\r\n";
      r.then.body = "moved";
      url_truth t;
      t.internal = host == 0;
      t.redirect = canonical(target);
      t.redirect_status = r.then.status;
      if (const auto end = site_.urls_.find(canonical(target)); end != site_.urls_.end()) {
        t.ok = end->second.ok;
        t.kind = end->second.kind;
        t.status = end->second.status;
        t.sure = end->second.sure;
        if (!end->second.redirect.empty()) t.redirect = end->second.redirect;
      }
      set(from, std::move(r), std::move(t));
      next = from;
    }
    site_.planted_.insert("redirect");
    return next;
  }

  std::string sitemap_of(const std::string& target) {
    const bool zipped = chance(50);
    const std::string url = at(0, path(zipped ? "-sitemap.xml.gz" : ".xml"));
    paper x;
    x.put("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    x.put("<urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">\n <url><loc>");
    link_truth t;
    t.page = canonical(url);
    t.line = x.line();
    t.column = x.column();
    t.url = canonical(target);
    site_.links_.push_back(std::move(t));
    x.put(escaped(target));
    x.put("</loc></url>\n</urlset>\n");
    resource r;
    r.then.type = zipped ? "application/gzip" : "application/xml";
    r.then.body = zipped ? gzipped(x.text()) : x.text();
    url_truth truth;
    truth.document = true;
    set(url, std::move(r), std::move(truth));
    site_.planted_.insert(zipped ? "gzipped sitemap" : "sitemap");
    return url;
  }

  // ---- spellings ----

  /// The same URL, written otherwise.
  std::string spelled(std::string url) {
    const auto end_of_host = url.find('/', 7);
    switch (below(10)) {
      case 0: return "HTTP" + url.substr(4);
      case 1:
        for (std::size_t i = 7; i < end_of_host; ++i) {
          if (url[i] >= 'a' && url[i] <= 'z' && chance(50)) url[i] = static_cast<char>(url[i] - 32);
        }
        return url;
      case 2: return url.substr(0, end_of_host) + "/./x/.." + url.substr(end_of_host);
      case 3:
      case 4: {
        // One letter of the last segment as an escape, in either case.
        const auto slash = url.rfind('/');
        if (slash + 1 >= url.size()) return url;
        const auto at = slash + 1 + below(url.size() - slash - 1);
        const auto c = static_cast<unsigned char>(url[at]);
        if (!is_unreserved(c)) return url;
        const std::string_view digits = chance(50) ? "0123456789ABCDEF" : "0123456789abcdef";
        const std::string escape{'%', digits[c >> 4U], digits[c & 15U]};
        site_.planted_.insert("escapes");
        return url.replace(at, 1, escape);
      }
      default: return url;
    }
  }

  /// `to`, an absolute URL of the same host, as seen from `from`, a path.
  static std::string relative(std::string_view from, std::string_view to) {
    to.remove_prefix(to.find('/', 7) + 1);
    std::string up;
    for (auto i = static_cast<std::size_t>(std::ranges::count(from, '/')); i > 1; --i) up += "../";
    if (up.empty()) up = "./";
    return up.append(to);
  }

  /// How a link is written on its page.
  std::string reference(const page& on, const std::string& url) {
    const std::string home = at(0, "/");
    if (url.starts_with(home)) {
      switch (below(4)) {
        case 0: return url.substr(home.size() - 1);
        case 1: return relative(on.base, url);
        case 2: return url.substr(5);
        default: return url;
      }
    }
    return url.starts_with("http:") && chance(20) ? url.substr(5) : url;
  }

  // ---- writing ----

  void write(page& p) {
    paper out;
    out.put(chance(80) ? "<!DOCTYPE html>\n<html><head>" : "<html>\n<head>\n ");
    if (p.in == charset::latin1 && !p.says_charset) {
      out.put(chance(50) ? "<meta charset=iso-8859-1>"
                         : "<meta http-equiv=\"Content-Type\" "
                           "content=\"text/html; charset=windows-1252\">");
      site_.planted_.insert("charset in meta");
    }
    out.put("<title>\u00dcber " + p.path + "</title>");
    if (p.base != p.path) {
      out.put("<base href=\"" + p.base + "\">");
      site_.planted_.insert("base href");
    }
    for (const auto& w : p.links) {
      if (w.refresh) write_refresh(out, p, w);
    }
    out.put("</head>\n<body>\n");
    for (const auto& id : p.ids) {
      out.put(chance(50) ? "<h2 id=\"" + id + "\">caf\u00e9</h2>" : "<a name='" + id + "'></a>\n");
    }
    for (const auto& w : p.links) {
      fill(out);
      if (!w.refresh) write_link(out, p, w);
    }
    fill(out);
    out.put("</body></html>\n");
    finish(p, out.text());
  }

  /// What stands between links, and what looks like one and is none.
  void fill(paper& out) {
    switch (below(10)) {
      case 0: out.put("<p>\u00e9\u00e8 \u00a7 "); break;
      case 1: out.put("\n\n"); break;
      case 2: out.put("<!-- <a href=\"/never/comment\">x</a> -->"); break;
      case 3: out.put("\n<pre><code>&lt;a&gt; <a href=\"/never/code\">x</a></code></pre>"); break;
      case 4: out.put("<script>var a = '<a href=\"/never/script\">';</script>"); break;
      case 5: out.put("\t<b>bold"); break;
      case 6: out.put("\r\n<p title='> <a href=/never/title>'>"); break;
      case 7: out.put("<template><a href='/never/template'>x</a></template>"); break;
      default: out.put(" "); break;
    }
  }

  void record(const paper& out, const page& p, link_truth t, std::string element) {
    t.page = canonical(at(0, p.path));
    t.line = out.line();
    t.column = out.column();
    t.element = std::move(element);
    site_.links_.push_back(std::move(t));
  }

  void write_refresh(paper& out, const page& p, const wish& w) {
    out.put("<meta http-equiv=refresh content=\"3; url=");
    record(out, p, w.truth, "");
    out.put(escaped(reference(p, w.url)) + "\">");
  }

  void write_link(paper& out, const page& p, const wish& w) {
    const std::string raw = w.raw.empty() ? reference(p, w.url) : w.raw;
    link_truth t = w.truth;
    const std::string label = chance(50) ? "to <b>" + name() + "</b>" : "caf\u00e9 " + name();
    switch (w.how) {
      case use::navigation:
        switch (w.raw.empty() ? below(5) : 0) {
          case 3:
            attribute(out, p, t, "<area ", "href", raw);
            out.put(">");
            break;
          case 4:
            attribute(out, p, t, "<iframe ", "src", raw);
            out.put("></iframe>");
            break;
          default:
            t.text = replaced(replaced(label, "<b>", ""), "</b>", "");
            attribute(out, p, t, "<a ", "href", raw);
            out.put(">" + label + "</a>");
        }
        break;
      case use::stylesheet:
        attribute(out, p, t, "<link rel=stylesheet ", "href", raw);
        out.put(">");
        break;
      case use::resource:
        switch (below(3)) {
          case 0:
            attribute(out, p, t, "<script ", "src", raw);
            out.put("></script>");
            break;
          case 1:
            attribute(out, p, t, "<video ", "poster", raw);
            out.put("></video>");
            break;
          default:
            t.text = "an image";
            attribute(out, p, t, "<img alt='an  image' ", "src", raw);
            out.put(">");
        }
    }
  }

  void attribute(paper& out, const page& p, const link_truth& t, std::string_view tag,
                 std::string_view name, const std::string& raw) {
    out.put(tag);
    std::string element{tag.substr(1, tag.find(' ') - 1)};
    element.append("[").append(name).append("]");
    std::string written{name};
    if (chance(10)) std::ranges::transform(written, written.begin(), ::toupper);
    const bool plain = raw.find_first_of(" \"'`=<>") == raw.npos && !raw.empty();
    const std::size_t quotes = below(plain ? 4 : 3);
    out.put(written + (chance(10) ? " = " : "="));
    out.put(quotes == 3 ? "" : quotes == 2 ? "'" : "\"");
    if (quotes < 3 && chance(10)) out.put(chance(50) ? " " : "\n  ");
    record(out, p, t, std::move(element));
    out.put(escaped(raw));
    out.put(quotes == 3 ? " " : quotes == 2 ? "'" : "\"");
  }

  void finish(page& p, std::string text) {
    auto& then = p.what.then;
    switch (p.in) {
      case charset::utf8: break;
      case charset::latin1:
        text = in_latin1(text);
        then.type = p.says_charset ? "text/html; charset=ISO-8859-1" : "text/html";
        site_.planted_.insert("latin1");
        break;
      case charset::utf16:
        text = in_utf16(text);
        then.type = "text/html";
        site_.planted_.insert("utf16");
        break;
    }
    if (p.surplus) {
      const std::string more = "<a href=\"/never/surplus\">beyond the length</a>";
      text.resize(std::max(text.size(), more.size()), ' ');
      then.how = manner::surplus;
      text += more + std::string(text.size() - more.size(), ' ');
      site_.planted_.insert("surplus");
    }
    if (p.zipped) {
      text = gzipped(text);
      then.fields += "Content-Encoding: gzip\r\n";
      site_.planted_.insert("gzip");
    }
    then.body = std::move(text);
    set(at(0, p.path), std::move(p.what), std::move(p.truth));
  }

  // ---- the rest of the site ----

  void plant_robots() {
    std::string text;
    switch (below(3)) {
      case 0: text = "User-agent: *\nDisallow: /denied/\n"; break;
      case 1:
        text =
            "# rules\r\nUser-agent: *\r\nDisallow: /\r\n\r\nUser-Agent: OneLoop\r\n"
            "disallow: /denied/\r\n";
        break;
      default:
        text =
            "User-agent: other\nDisallow: /\n\nUser-agent: oneloop\nAllow: /denied\n"
            "Disallow: /denied/\nAllow: /\n";
    }
    resource home;
    home.then.type = "text/plain";
    home.then.body = text;
    site_.resources_[canonical(at(0, "/robots.txt"))] = std::move(home);
    resource other;
    other.then.type = "text/plain";
    other.then.body = "User-agent: *\nDisallow: /denied/\n";
    if (chance(50)) site_.resources_[canonical(at(1, "/robots.txt"))] = std::move(other);
  }

  void plant_traps() {
    const auto add_zone = [&](std::string_view prefix, std::string_view entry, int least, int most,
                              bool skips, link_truth_kind kind = link_truth_kind::plain) {
      site_.zones_.push_back({canonical(at(0, prefix)), least, most, skips});
      add(pages_[below(pages_.size())], at(0, entry)).truth.kind = kind;
      site_.planted_.insert(std::string{"trap "}.append(prefix));
    };
    if (chance(40)) add_zone("/calendar/", "/calendar/2024/11", shape_.alike, shape_.alike, true);
    if (chance(40)) add_zone("/grow/", "/grow/", 4, 4, true);
    if (chance(40)) {
      add_zone("/shop?sid=", "/shop?sid=1", shape_.alike_query, shape_.alike_query, true);
    }
    if (chance(40)) add_zone("/again?", "/again?a=1&b=2", 2, 3, true);
    if (chance(40)) add_zone("/hop?", "/hop?to=1", 1, 30, false, link_truth_kind::unsure);
  }

  // Each fault is a function that plants it somewhere.
  void plant_faults() {
    using plant = void (builder::*)();
    std::vector<plant> all{
        &builder::plain_leaf,     &builder::gone,           &builder::failing,
        &builder::too_many,       &builder::far_too_many,   &builder::broken_body,
        &builder::broken_answer,  &builder::too_large,      &builder::bad_redirect,
        &builder::redirect_loop,  &builder::redirect_chain, &builder::redirect_to_denied,
        &builder::no_fragment,    &builder::good_fragments, &builder::spellings,
        &builder::denied,         &builder::head_refused,   &builder::elsewhere,
        &builder::gone_elsewhere, &builder::image,          &builder::no_document,
        &builder::style_sheet,    &builder::not_http,       &builder::query,
        &builder::nobody_listens, &builder::no_such_host,   &builder::same_page,
        &builder::away_and_bad,   &builder::shared_hops,    &builder::too_late,
    };
    std::ranges::shuffle(all, random_);
    for (int i = 0; i < shape_.faults; ++i) {
      (this->*all[static_cast<std::size_t>(i) % all.size()])();
    }
  }

  url_truth bad(error_kind kind, std::optional<int> status, bool passes = false, int each = 1) {
    url_truth t;
    t.ok = false;
    t.kind = kind;
    t.status = status;
    t.successes = 0;
    const int tries = passes ? 1 + shape_.retries : 1;
    t.failed_gets = tries * each;
    t.failed_heads = tries;
    t.least_failed = tries;
    return t;
  }
  use any_use() { return chance(70) ? use::navigation : use::resource; }

  void plain_leaf() {
    const std::string url = at(0, path());
    resource r;
    r.then.body = "<title>a leaf</title><p>No links.";
    url_truth t;
    t.document = true;
    set(url, std::move(r), std::move(t));
    link(spelled(url));
    link(spelled(url));
  }

  void gone() {
    static constexpr std::array<int, 5> statuses{404, 410, 403, 404, 451};
    const int status = statuses[below(statuses.size())];
    const std::string url = at(0, path());
    resource r;
    r.then.status = status;
    r.then.body = "<a href=/never/from-an-error-page>x</a>";
    set(url, std::move(r), bad(error_kind::status, status));
    link(spelled(url), any_use());
    link(url);
    site_.planted_.insert(std::to_string(status));
  }

  void failing() {
    const int status = chance(50) ? 500 : 503;
    const std::string url = at(0, path());
    resource r;
    r.then.status = status;
    set(url, std::move(r), bad(error_kind::status, status, true));
    link(url, any_use());
    site_.planted_.insert(std::to_string(status));
  }

  void too_many() {
    const std::string url = at(0, path());
    resource r;
    r.then.status = 429;
    r.then.fields = "Retry-After: 0\r\n";
    set(url, std::move(r), bad(error_kind::status, 429, true));
    link(url);
    site_.planted_.insert("429");
  }

  void far_too_many() {
    const std::string url = at(0, path());
    resource r;
    r.then.status = 429;
    r.then.fields = "Retry-After: 3600\r\n";
    set(url, std::move(r), bad(error_kind::status, 429));
    link(url);
    site_.planted_.insert("429 for an hour");
  }

  void broken_body() {
    static constexpr std::array<manner, 3> ways{manner::cut, manner::cut_chunked,
                                                manner::bad_chunk};
    const std::string url = at(0, path());
    resource r;
    r.then.how = ways[below(ways.size())];
    r.then.body = "<a href=/never/cut>x</a>" + std::string(300, 'x');
    const bool passes = r.then.how != manner::bad_chunk;
    set(url, std::move(r), bad(error_kind::protocol, 200, passes));
    link(url);
    site_.planted_.insert(passes ? "cut" : "bad chunk");
  }

  void broken_answer() {
    const std::string url = at(0, path());
    resource r;
    const bool drops = chance(50);
    r.then.how = drops ? manner::drop : manner::garbage;
    // A kept connection that ends so may have ended before: it is asked once more on a new one.
    set(url, std::move(r),
        drops ? bad(error_kind::reset, 0, true, 2) : bad(error_kind::protocol, 0));
    link(url);
    site_.planted_.insert(drops ? "drop" : "garbage");
  }

  void too_late() {
    if (!shape_.slow) return;
    static constexpr std::array<manner, 3> ways{manner::hang, manner::stall,
                                                manner::endless_dribble};
    const std::string url = at(0, path());
    resource r;
    r.then.how = ways[below(ways.size())];
    r.then.body = std::string(300, 'x');
    const bool hangs = r.then.how == manner::hang;
    site_.planted_.insert("too late " + std::to_string(static_cast<int>(r.then.how)));
    set(url, std::move(r), bad(error_kind::timeout, hangs ? 0 : 200, true));
    link(url);
  }

  void too_large() {
    const std::string url = at(0, path());
    resource r;
    switch (below(3)) {
      case 0:
        r.then.how = manner::endless;
        site_.planted_.insert("endless");
        break;
      case 1:
        r.then.body = "<a href=/never/huge>x</a>" + std::string(shape_.cap + 1, 'x');
        r.then.too_large = true;
        site_.planted_.insert("huge");
        break;
      default:
        r.then.body = bomb();
        r.then.too_large = true;
        r.then.fields = "Content-Encoding: gzip\r\n";
        site_.planted_.insert("bomb");
    }
    set(url, std::move(r), bad(error_kind::too_large, 200));
    link(url);
  }

  void bad_redirect() {
    const std::string url = at(0, path());
    resource r;
    r.then.status = 404;
    set(url, std::move(r), bad(error_kind::status, 404));
    link(redirect_to(0, url, 1 + below(3)), any_use());
    if (chance(50)) link(url);
    site_.planted_.insert("redirect to a bad page");
  }

  void redirect_loop() {
    const std::size_t hops = 1 + below(3);
    std::vector<std::string> paths;
    for (std::size_t i = 0; i < hops; ++i) paths.push_back(path());
    for (std::size_t i = 0; i < hops; ++i) {
      resource r;
      r.then.status = 302;
      r.then.fields = "Location: " + paths[(i + 1) % hops] + "\r\n";
      url_truth t;
      t.ok = false;
      t.kind = error_kind::redirect;
      set(at(0, paths[i]), std::move(r), std::move(t));
    }
    link(at(0, paths[below(hops)]));
    site_.planted_.insert("loop");
  }

  void redirect_chain() {
    const page& end = pages_[below(pages_.size())];
    link(redirect_to(0, at(0, end.path), 2 + below(4)), any_use());
  }

  void redirect_to_denied() {
    const std::string url = at(0, path());
    resource r;
    r.then.status = 302;
    r.then.fields = "Location: /denied/" + name() + "\r\n";
    url_truth t;
    t.sure = false;
    set(url, std::move(r), std::move(t));
    add(pages_[below(pages_.size())], url).truth.kind = link_truth_kind::unsure;
    site_.planted_.insert("redirect to a denied page");
  }

  void no_fragment() {
    const page& to = pages_[below(pages_.size())];
    page& on = pages_[below(pages_.size())];
    const bool other_case = chance(50);
    std::string fragment = name();
    if (other_case) {
      fragment = to.ids[1];
      fragment[0] = 'c';
    }
    auto& w = add(on, spelled(at(0, to.path)) + "#" + fragment);
    w.truth.kind = other_case ? link_truth_kind::other_case : link_truth_kind::no_fragment;
    w.truth.fragment = fragment;
    site_.planted_.insert(other_case ? "fragment of other case" : "no fragment");
  }

  void good_fragments() {
    for (int i = 0; i < 3; ++i) {
      const page& to = pages_[below(pages_.size())];
      const std::array<std::string, 6> fragments{
          to.ids[0], to.ids[1], replaced(to.ids[2], "\u00dc", "%C3%9C"), "", "ToP", ":~:text=caf"};
      add(pages_[below(pages_.size())], at(0, to.path) + "#" + fragments[below(fragments.size())]);
    }
    site_.planted_.insert("fragments");
  }

  /// The same URL in all its spellings.
  void spellings() {
    const bool fine = chance(50);
    const std::string end = name() + (fine ? "" : "-gone");
    const std::string url = at(0, "/~user/\u00e9/" + end);
    resource r;
    r.then.status = fine ? 200 : 404;
    r.then.type = "text/plain";
    set(url, std::move(r), fine ? url_truth{} : bad(error_kind::status, 404));
    for (const std::string_view one : {"/~user/\u00e9/", "/%7Euser/%c3%a9/", "/%7euser/%C3%A9/",
                                       "/~%75ser/%C3%a9/", "/%7Euser/x/../\u00e9/"}) {
      add(pages_[below(pages_.size())], at(0, std::string{one} + end));
    }
    site_.planted_.insert("spellings");
  }

  void denied() {
    const int host = chance(70) || !site_.find(canonical(at(1, "/robots.txt"))) ? 0 : 1;
    const std::string url = at(host, "/denied/" + name());
    for (int i = 0; i < 2; ++i) {
      auto& w = add(pages_[below(pages_.size())], url, any_use());
      w.truth.kind = link_truth_kind::robots;
    }
    site_.planted_.insert("denied");
  }

  void head_refused() {
    static constexpr std::array<int, 5> statuses{405, 403, 501, 400, 500};
    const std::string url = at(1, path());
    resource r;
    r.to_head = statuses[below(statuses.size())];
    r.then.body = "<a href=/never/elsewhere>x</a>";
    url_truth t;
    t.internal = false;
    t.failed_heads = 1;
    set(url, std::move(r), std::move(t));
    link(url);
    site_.planted_.insert("HEAD refused");
  }

  void elsewhere() {
    const std::string url = at(1, path());
    resource r;
    r.then.body = "<a href=/never/elsewhere>x</a>";
    url_truth t;
    t.internal = false;
    set(url, std::move(r), std::move(t));
    link(spelled(url), any_use());
    link(url);
    if (chance(50)) link(redirect_to(chance(50) ? 0 : 1, url, 1 + below(2)));
  }

  void gone_elsewhere() {
    const std::string url = at(1, path());
    resource r;
    url_truth t;
    switch (below(3)) {
      case 0:
        r.then.status = 404;
        t = bad(error_kind::status, 404);
        break;
      case 1:
        r.then.status = 500;
        t = bad(error_kind::status, 500, true);
        break;
      default: {
        reply once;
        once.status = 503;
        r.first.push_back(std::move(once));
        t.failed_heads = t.failed_gets = t.least_failed = 1;
      }
    }
    t.internal = false;
    set(url, std::move(r), std::move(t));
    link(url, any_use());
    site_.planted_.insert("faults elsewhere");
  }

  void image() {
    const std::string url = at(0, path(".png"));
    resource r;
    r.then.type = "image/png";
    r.then.body = "\x89PNG <a href=/never/image>";
    url_truth t;
    if (chance(50)) {
      r.then.status = 404;
      t = bad(error_kind::status, 404);
    }
    set(url, std::move(r), std::move(t));
    link(url, use::resource);
    site_.planted_.insert("image");
  }

  void no_document() {
    const std::string url = at(0, path(".pdf"));
    resource r;
    r.then.type = "application/pdf";
    r.then.body = "%PDF <a href=/never/pdf>";
    set(url, std::move(r), {});
    link(url);
    site_.planted_.insert("pdf");
  }

  void style_sheet() {
    const std::string sheet_path = path(".css");
    const std::string second = at(0, path(".css"));
    const std::string picture = at(0, path(".png"));
    resource r;
    r.then.type = "image/png";
    url_truth t;
    if (chance(50)) {
      r.then.status = 404;
      t = bad(error_kind::status, 404);
    }
    set(picture, std::move(r), std::move(t));
    resource empty;
    empty.then.type = "text/css";
    empty.then.body = "/* url(/never/css) */ p { color: red }";
    url_truth document;
    document.document = true;
    set(second, std::move(empty), document);

    paper out;
    const auto mention = [&](const std::string& url) {
      link_truth l;
      l.page = canonical(at(0, sheet_path));
      l.line = out.line();
      l.column = out.column();
      l.url = canonical(url);
      site_.links_.push_back(std::move(l));
      out.put(chance(50) ? relative(sheet_path, url) : url);
    };
    out.put("@import \"");
    mention(second);
    out.put("\";\n/* caf\u00e9 */ body { background: url(");
    mention(picture);
    out.put(") }\n.x { content: 'url(/never/string)' }\n");
    resource sheet;
    sheet.then.type = "text/css; charset=utf-8";
    sheet.then.body = out.text();
    set(at(0, sheet_path), std::move(sheet), std::move(document));
    link(at(0, sheet_path), use::stylesheet);
    site_.planted_.insert("style sheet");
  }

  void not_http() {
    add_raw("javascript:void(0)", link_truth_kind::scheme);
    add_raw("data:text/html,<a href=/never/data>x</a>", link_truth_kind::scheme);
    add_raw("mailto:someone@example.org?subject=x", link_truth_kind::mail);
    add_raw("tel:+49-30-123456", link_truth_kind::telephone);
    site_.planted_.insert("other schemes");
  }

  void query() {
    const std::string where = path();
    resource r;
    r.then.type = "text/plain";
    r.then.body = "found";
    // Four URLs, and all of them differ.
    for (const std::string_view q : {"?a=1&b=2", "?b=2&a=1", "?a=1&copy=2", "?"}) {
      const std::string url = at(0, where + std::string{q});
      set(url, r, {});
      link(url);
    }
    site_.planted_.insert("query");
  }

  void nobody_listens() {
    if (shape_.refused.empty()) return;
    const std::string url = "http://" + shape_.refused + "/" + name();
    auto t = bad(error_kind::refused, 0);
    t.internal = false;
    t.asked = false;
    site_.urls_[canonical(url)] = std::move(t);
    link(url, any_use());
    site_.planted_.insert("refused");
  }

  void no_such_host() {
    if (!shape_.unnamed) return;
    const std::string url = "http://" + name() + ".nowhere.test/";
    auto t = bad(error_kind::dns, 0);
    t.internal = false;
    t.asked = false;
    site_.urls_[canonical(url)] = std::move(t);
    link(url);
    site_.planted_.insert("no such host");
  }

  void same_page() {
    page& on = pages_[below(pages_.size())];
    if (on.base != on.path) return;
    wish w;
    w.raw = "#" + on.ids[0];
    w.truth.url = canonical(at(0, on.path));
    on.links.push_back(w);
    w.raw = "#" + name();
    w.truth.kind = link_truth_kind::no_fragment;
    w.truth.fragment = w.raw.substr(1);
    on.links.push_back(std::move(w));
    site_.planted_.insert("fragments of the same page");
  }

  /// By a redirect to another host, where it is bad.
  void away_and_bad() {
    const std::string url = at(1, path());
    resource r;
    r.then.status = 404;
    auto t = bad(error_kind::status, 404);
    t.internal = false;
    set(url, std::move(r), std::move(t));
    link(redirect_to(0, url, 1));
  }

  /// Two chains with a common end, whose hops are linked, too.
  void shared_hops() {
    const std::string common = redirect_to(0, at(0, pages_[below(pages_.size())].path), 2);
    link(redirect_to(0, common, 1));
    link(redirect_to(0, common, 2));
    link(common);
    site_.planted_.insert("shared hops");
  }

  site& site_;
  const shape& shape_;
  std::mt19937_64 random_;
  std::size_t names_ = 25;
  std::vector<page> pages_;
};

site::site(std::uint64_t seed, std::array<std::string, 2> authorities, shape how)
    : authorities_{std::move(authorities)}, shape_{std::move(how)} {
  builder{*this, seed}.build();
}

std::string site::url_of(int host, std::string_view path) const {
  return ("http://" + authorities_[static_cast<std::size_t>(host)]).append(path);
}

const zone* site::zone_of(std::string_view url) const noexcept {
  const auto found =
      std::ranges::find_if(zones_, [&](const zone& z) { return url.starts_with(z.prefix); });
  return found == zones_.end() ? nullptr : &*found;
}

const resource* site::find(const std::string& url) const {
  const auto found = resources_.find(url);
  return found == resources_.end() ? nullptr : &found->second;
}

std::optional<reply> site::make(std::string_view url) const {
  const zone* z = zone_of(url);
  if (z == nullptr) return {};
  const std::string rest{url.substr(z->prefix.size())};
  reply r;
  if (z->prefix.ends_with("/calendar/")) {
    const auto slash = rest.find('/');
    const int year = std::stoi(rest.substr(0, slash));
    const int month = slash == rest.npos ? 1 : std::stoi(rest.substr(slash + 1));
    const auto day = [](int y, int m) {
      if (m == 13) return std::to_string(y + 1) + "/1";
      if (m == 0) return std::to_string(y - 1) + "/12";
      return std::to_string(y) + "/" + std::to_string(m);
    };
    r.body = "<a href=/calendar/" + day(year, month - 1) + ">before</a> <a href=/calendar/" +
             day(year, month + 1) + ">after</a>";
  } else if (z->prefix.ends_with("/grow/")) {
    r.body = "<a href=deeper/>deeper</a>";
  } else if (z->prefix.ends_with("sid=")) {
    const int session = std::stoi(rest);
    r.body = "<a href=?sid=" + std::to_string(session + 1) +
             ">next</a> <a href='?sid=" + std::to_string(session * 2 + 1) + "'>again</a>";
  } else if (z->prefix.ends_with("again?")) {
    r.body = "<a href=\"?" + escaped(escaped(rest)) + "\">again</a>";
  } else {
    r.status = 302;
    r.fields = "Location: ?to=" + std::to_string(std::stoi(rest.substr(3)) + 1) + "\r\n";
  }
  return r;
}

}  // namespace oneloop::planted
