#include <unicode/utf.h>
#include <unicode/utf8.h>

#include <algorithm>

#include "oneloop/html/segments_internal.hpp"
#include "oneloop/html/text_internal.hpp"

namespace oneloop::inline v0::html::detail {
namespace {

/// Names, in any case. Most others are told from them by their size and first letter.
template <std::size_t N>
class name_set {
 public:
  explicit(false) consteval name_set(const std::string_view (&names)[N]) {
    for (std::size_t i = 0; i < N; ++i) {
      names_[i] = names[i];
      sizes_[letter(names[i])] |= std::uint32_t{1} << names[i].size();
    }
  }
  /// Its place, or N.
  [[nodiscard]] std::size_t find(std::string_view name) const {
    if (name.empty() || name.size() > 31 || (sizes_[letter(name)] >> name.size() & 1) == 0) {
      return N;
    }
    const auto found = std::ranges::find_if(
        names_, [&](std::string_view n) { return equal_ignoring_case(n, name); });
    return static_cast<std::size_t>(found - names_.begin());
  }
  [[nodiscard]] bool contains(std::string_view name) const { return find(name) != N; }
  [[nodiscard]] static constexpr std::size_t size() { return N; }
  [[nodiscard]] std::string_view operator[](std::size_t i) const { return names_[i]; }

 private:
  static constexpr std::size_t letter(std::string_view name) {
    return static_cast<unsigned char>(name.front()) % 32;
  }
  std::array<std::string_view, N> names_{};
  std::array<std::uint32_t, 32> sizes_{};  // of the names with that first letter, a bit each
};
template <std::size_t N>
name_set(const std::string_view (&)[N]) -> name_set<N>;

constexpr name_set void_elements{{"area", "base", "basefont", "bgsound", "br", "col", "embed", "hr",
                                  "img", "input", "link", "meta", "source", "track", "wbr"}};
/// The next one of their kind ends them, so they do not nest.
constexpr name_set self_ending{
    {"p", "li", "dd", "dt", "option", "tr", "td", "th", "tbody", "thead", "tfoot"}};
constexpr name_set raw_text_elements{
    {"script", "style", "xmp", "iframe", "noembed", "noframes", "textarea", "title"}};
/// Inside SVG (the first three) and MathML, their content is HTML again.
constexpr name_set integration_points{
    {"foreignobject", "desc", "title", "mi", "mo", "mn", "ms", "mtext"}};
constexpr std::size_t of_svg = 3;
/// They end SVG and MathML.
constexpr name_set breakouts{
    {"b",      "big",  "blockquote", "body",  "br",   "center", "code",    "dd",   "div",
     "dl",     "dt",   "em",         "embed", "h1",   "h2",     "h3",      "h4",   "h5",
     "h6",     "head", "hr",         "i",     "img",  "li",     "listing", "menu", "meta",
     "nobr",   "ol",   "p",          "pre",   "ruby", "s",      "small",   "span", "strong",
     "strike", "sub",  "sup",        "table", "tt",   "u",      "ul",      "var"}};
/// Attributes that hold links, say what kind they are of, or decide about the tree.
constexpr name_set attributes{{"href",        "src",        "id",         "rel",     "alt",
                               "name",        "title",      "srcset",     "style",   "content",
                               "action",      "data",       "cite",       "poster",  "property",
                               "http-equiv",  "itemprop",   "ping",       "srcdoc",  "formaction",
                               "imagesrcset", "manifest",   "longdesc",   "lowsrc",  "dynsrc",
                               "archive",     "background", "xlink:href", "encoding"}};

std::size_t slot(std::string_view name) {
  std::size_t h = name.size();
  for (const char c : name.substr(0, 12)) h = h * 31 + static_cast<unsigned char>(to_lower(c));
  return h % 64;
}

/// Elements that decide how links inside them are read: after a cut they are open again.
constexpr name_set contexts{
    {"svg", "math", "pre", "code", "samp", "kbd", "var", "tt", "listing", "template", "noscript"}};

/// Whether the parser would give it back as it is.
bool is_plain(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const char ascii = text[i];
    if ((ascii >= ' ' && ascii <= '~' && ascii != '&') || ascii == '\n' || ascii == '\t') {
      ++i;
      continue;
    }
    UChar32 c = 0;
    U8_NEXT(text.data(), i, text.size(), c);
    if (c < 0xa0 || U_IS_UNICODE_NONCHAR(c)) return false;
  }
  return true;
}

/// So many tags may still come where a link would be cut.
constexpr std::size_t longest_link = 256;

}  // namespace

segment segmenter::next(const segment_limits& limits) {
  segment s;
  static_assert(std::tuple_size_v<decltype(open_)> == contexts.size());
  for (std::size_t i = 0; i < open_.size(); ++i) {
    if (open_[i] != 0) s.text.append("<").append(contexts[i]).append(">");
  }
  // What is not from the page stands where the piece begins.
  s.where.add(0, (*where_)(at_));
  tags_ = depth_ = 0;
  in_link_ = in_style_ = false;
  same_.fill(0);
  while (!done() && step(limits, s)) {
  }
  s.end = at_;
  return s;
}

void segmenter::put(segment& s, std::size_t begin, std::size_t size) const {
  s.where.add(s.text.size(), *where_, begin, size);
  s.text += text_.substr(begin, size);
}

void segmenter::stand_in(segment& s, std::string_view seen, std::size_t begin,
                         std::size_t size) const {
  s.replaced.push_back({s.text.size(), begin, size});
  s.text += seen;
}

void segmenter::put_text(segment& s, std::size_t begin, std::size_t end) const {
  if (begin == end) return;
  const std::string_view t = text_.substr(begin, end - begin);
  // Outside links, of all text the first has an influence on what elements there are: it begins the
  // body, and no frameset comes any more. Space and U+0000 have none.
  const bool blank = std::ranges::all_of(t, [](char c) { return is_space(c) || c == '\0'; });
  if (in_style_ || (in_link_ && !is_plain(t))) {
    put(s, begin, t.size());
  } else if (in_link_) {
    if (blank) {
      s.text += ' ';
    } else {
      stand_in(s, link_text, begin, t.size());
    }
  } else if (!blank && !s.has_text) {
    s.has_text = true;
    s.text += some_text;
  }
}

std::size_t segmenter::behind(std::string_view what, std::size_t from) const {
  const std::size_t found = text_.find(what, std::min(from, text_.size()));
  return found == text_.npos ? text_.size() : found + what.size();
}

/// Goes behind the next tag or the like; false if the piece ends before it.
bool segmenter::step(const segment_limits& limits, segment& s) {
  const std::size_t open = std::min(text_.find('<', at_), text_.size());
  put_text(s, at_, open);
  at_ = open;
  if (done()) return false;
  const std::string_view rest = text_.substr(at_);
  const bool is_end = rest.starts_with("</");
  const std::size_t name = is_end ? 2 : 1;
  if (rest.size() <= name || !is_letter(rest[name])) {
    skip_markup(s);
    return true;
  }
  if (!is_end && tags_ != 0) {
    const bool full =
        tags_ >= limits.tags || depth_ >= limits.depth || s.text.size() >= limits.bytes;
    const bool in_link =
        in_link_ && tags_ < limits.tags + longest_link && depth_ < limits.depth + longest_link;
    // A frameset takes the whole body back, by a recursion as deep as the body.
    if ((full && !in_link) || (tags_ > 16 && starts_with_ignoring_case(rest, "<frameset"))) {
      return false;
    }
  }
  const tag t = read_tag(s);
  if (t.name.empty()) return true;
  const bool foreign = in_foreign();
  note(t);
  if (!t.end && !foreign) raw_text(s, t);
  return true;
}

/// Comments and what is taken for them; a "<" that is none.
void segmenter::skip_markup(segment& s) {
  const std::string_view rest = text_.substr(at_);
  // What follows shall not make a tag of it.
  if (s.text.ends_with('<')) s.text += some_text;
  if (rest.starts_with("<!--")) {
    at_ = std::min(behind("-->", at_ + 2), behind("--!>", at_ + 4));
  } else if (rest.starts_with("<![CDATA[") && in_foreign()) {
    const std::size_t end = behind("]]>", at_ + 9);
    // Gumbo sees it as it is: there are no references in it.
    if (in_link_ || in_style_) put(s, at_, end - at_);
    at_ = end;
  } else if (rest.starts_with("<!") || rest.starts_with("<?") || rest.starts_with("</")) {
    const std::size_t end = behind(">", at_ + 2);
    if (starts_with_ignoring_case(rest, "<!doctype")) put(s, at_, end - at_);
    at_ = end;
  } else {
    put_text(s, at_, at_ + 1);
    ++at_;
  }
}

segmenter::tag segmenter::read_tag(segment& s) {
  tag t;
  t.end = text_[at_ + 1] == '/';
  const std::size_t begin = s.text.size();
  const std::size_t open = at_;
  at_ += t.end ? 2 : 1;
  const std::size_t name = at_;
  while (!done() && !is_space(text_[at_]) && text_[at_] != '/' && text_[at_] != '>') ++at_;
  t.name = text_.substr(name, at_ - name);
  s.text += text_.substr(open, at_ - open);
  while (!done() && text_[at_] != '>') {
    t.self_closing = text_[at_] == '/';
    if (t.self_closing || is_space(text_[at_])) {
      ++at_;
    } else {
      read_attribute(s, t);
    }
  }
  if (done()) {
    // It has no end: it is none.
    s.text.resize(begin);
    s.replaced.erase(s.stand_in_from(begin), s.replaced.end());
    return {};
  }
  s.text += t.self_closing ? " />" : ">";
  ++at_;
  return t;
}

void segmenter::read_attribute(segment& s, const tag& t) {
  const std::size_t begin = at_++;  // "=" may begin a name
  while (!done() && !is_space(text_[at_]) && text_[at_] != '/' && text_[at_] != '>' &&
         text_[at_] != '=') {
    ++at_;
  }
  const std::string_view name = text_.substr(begin, at_ - begin);
  std::size_t end = at_;
  std::size_t value = at_;
  std::size_t quote = 0;
  while (value < text_.size() && is_space(text_[value])) ++value;
  if (value < text_.size() && text_[value] == '=') {
    ++value;
    while (value < text_.size() && is_space(text_[value])) ++value;
    at_ = value;
    if (!done() && (text_[at_] == '"' || text_[at_] == '\'')) {
      quote = 1;
      at_ = behind(text_.substr(at_, 1), at_ + 1);
    } else {
      while (!done() && !is_space(text_[at_]) && text_[at_] != '>') ++at_;
    }
    if (at_ != value) end = at_;
  }
  if (t.end) return;
  if (!attributes.contains(name) && !(equal_ignoring_case(t.name, "font") && in_foreign())) return;
  s.text += ' ';
  // What has no end is no attribute: the tag has none.
  const std::size_t size = end > value + 2 * quote ? end - value - 2 * quote : 0;
  // (That of `encoding` decides about the tree.)
  if (size != 0 && !equal_ignoring_case(name, "encoding") &&
      is_plain(text_.substr(value + quote, size))) {
    s.text += name;
    s.text += '=';
    stand_in(s, "x", value + quote, size);
  } else {
    put(s, begin, end - begin);
  }
}

void segmenter::raw_text(segment& s, const tag& t) {
  if (equal_ignoring_case(t.name, "plaintext")) {
    at_ = text_.size();
  } else if (equal_ignoring_case(t.name, "script")) {
    at_ = end_of_script();
  } else if (raw_text_elements.contains(t.name)) {
    const std::size_t end = end_of_raw_text(t.name);
    if (equal_ignoring_case(t.name, "style")) put(s, at_, end - at_);
    at_ = end;
  }
}

bool segmenter::ends_element(std::size_t at, std::string_view name) const {
  const std::string_view rest = text_.substr(at + 2);
  return starts_with_ignoring_case(rest, name) && rest.size() > name.size() &&
         (is_space(rest[name.size()]) || rest[name.size()] == '/' || rest[name.size()] == '>');
}

std::size_t segmenter::end_of_raw_text(std::string_view name) const {
  std::size_t at = at_;
  while ((at = text_.find("</", at)) != text_.npos && !ends_element(at, name)) at += 2;
  return std::min(at, text_.size());
}

/// A script in "<!--" may have scripts in it.
std::size_t segmenter::end_of_script() const {
  bool escaped = false;
  bool nested = false;
  for (std::size_t at = at_; at < text_.size(); ++at) {
    at = text_.find_first_of("<-", at);
    if (at == text_.npos) break;
    const std::string_view rest = text_.substr(at);
    if (rest.starts_with("-->")) {
      escaped = nested = false;
    } else if (rest.starts_with("<!--")) {
      escaped = true;
      at += 1;  // "<!-->" is over at once
    } else if (rest.starts_with("</") && ends_element(at, "script")) {
      if (!nested) return at;
      nested = false;
    } else if (escaped && rest.size() > 7 && starts_with_ignoring_case(rest, "<script") &&
               (is_space(rest[7]) || rest[7] == '/' || rest[7] == '>')) {
      nested = true;
    }
  }
  return text_.size();
}

bool segmenter::integrates(std::string_view name) const {
  if (open_[0] + open_[1] == 0) return false;
  const std::size_t index = integration_points.find(name);
  return index < integration_points.size() && open_[index < of_svg ? 0 : 1] != 0;
}

void segmenter::note(const tag& t) {
  if (!t.end) ++tags_;
  const bool foreign = in_foreign();
  if (foreign && t.self_closing) return;
  if (foreign && !t.end && breakouts.contains(t.name)) {
    open_[0] = open_[1] = 0;
  } else if (integrates(t.name)) {
    if (!t.end) {
      ++integration_;
    } else if (integration_ != 0) {
      --integration_;
    }
  }
  in_style_ = foreign && !t.end && equal_ignoring_case(t.name, "style");
  if (equal_ignoring_case(t.name, "a")) in_link_ = !t.end;
  if (const std::size_t i = contexts.find(t.name); i < open_.size()) {
    if (!t.end) {
      ++open_[i];
    } else if (open_[i] != 0) {
      --open_[i];
    }
    if (open_[0] + open_[1] == 0) integration_ = 0;
  }
  if (void_elements.contains(t.name) || self_ending.contains(t.name)) return;
  std::uint32_t& same = same_[slot(t.name)];
  if (!t.end) {
    ++same;
    ++depth_;
  } else if (same != 0) {
    --same;
    --depth_;
  }
}

}  // namespace oneloop::inline v0::html::detail
