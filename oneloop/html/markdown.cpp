// Markdown through cmark. It tells what the links are but not where their addresses stand, so these
// are looked for again, in the order in which cmark gives them.
#include <cmark.h>
#include <unicode/ucasemap.h>
#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include <algorithm>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "oneloop/html/gathering_internal.hpp"
#include "oneloop/html/text_internal.hpp"

namespace oneloop::inline v0::html::detail {
namespace {

constexpr auto nowhere = static_cast<std::size_t>(-1);
/// How far an address is looked for.
constexpr std::size_t reach = std::size_t{64} * 1024;
constexpr int most_tries = 64;
constexpr std::size_t long_paragraph = std::size_t{32} * 1024;

bool is_punctuation(char c) { return c > ' ' && c < 0x7f && !is_letter(c) && !is_digit(c); }

/// Jekyll's and Hugo's data at the front: "---", lines, "---".
std::size_t front_matter(std::string_view text) {
  if (!text.starts_with("---\n") && !text.starts_with("---\r\n")) return 0;
  for (std::size_t at = 3; (at = text.find("\n---", at)) != text.npos; at += 4) {
    const std::size_t end = text.find('\n', at + 1);
    std::string_view rest = text.substr(at + 4, end == text.npos ? end : end - at - 4);
    strip(rest);
    if (rest.empty()) return end == text.npos ? text.size() : end + 1;
  }
  return 0;
}

/// The anchor that GitHub gives a heading.
std::string slug(std::string_view heading) {
  UErrorCode status = U_ZERO_ERROR;
  const std::unique_ptr<UCaseMap, decltype(&ucasemap_close)> root{ucasemap_open("", 0, &status),
                                                                  ucasemap_close};
  if (!root) throw std::bad_alloc{};
  std::string lowered(heading.size() * 3 + 1, '\0');
  const std::int32_t n =
      ucasemap_utf8ToLower(root.get(), lowered.data(), static_cast<std::int32_t>(lowered.size()),
                           heading.data(), static_cast<std::int32_t>(heading.size()), &status);
  lowered.resize(U_SUCCESS(status) ? static_cast<std::size_t>(n) : 0);
  constexpr std::uint32_t word =
      U_GC_L_MASK | U_GC_M_MASK | U_GC_ND_MASK | U_GC_NL_MASK | U_GC_PC_MASK;
  std::string result;
  for (std::size_t i = 0; i < lowered.size();) {
    const std::size_t begin = i;
    UChar32 c = 0;
    U8_NEXT(lowered.data(), i, lowered.size(), c);
    if (c == ' ' || c == '-') {
      result += '-';
    } else if (c >= 0 && (U_MASK(u_charType(c)) & word) != 0) {
      result.append(lowered, begin, i - begin);
    }
  }
  return result;
}

class markdown_reader {
 public:
  explicit markdown_reader(gathering& out)
      : out_{out},
        front_{front_matter(out.source().text())},
        s_{out.source().text().substr(front_)} {}

  void run() {
    const std::string seen = in_paragraphs();
    const std::unique_ptr<cmark_node, decltype(&cmark_node_free)> root{
        cmark_parse_document(seen.data(), seen.size(), CMARK_OPT_VALIDATE_UTF8), cmark_node_free};
    if (!root) throw std::bad_alloc{};
    cmark_consolidate_text_nodes(root.get());
    const std::unique_ptr<cmark_iter, decltype(&cmark_iter_free)> events{cmark_iter_new(root.get()),
                                                                         cmark_iter_free};
    for (cmark_event_type e = cmark_iter_next(events.get()); e != CMARK_EVENT_DONE;
         e = cmark_iter_next(events.get())) {
      cmark_node* const n = cmark_iter_get_node(events.get());
      if (e == CMARK_EVENT_ENTER) {
        enter(n);
      } else {
        leave(n);
      }
    }
    read_markup({raw_, map_}, out_);
  }

 private:
  /// The text with an empty line wherever a paragraph gets very long, and where each line of that
  /// begins in the text: what cmark does in a paragraph may take the square of its length.
  std::string in_paragraphs() {
    std::string seen;
    seen.reserve(s_.size() + s_.size() / 64);
    std::size_t paragraph = 0;
    bool blank = true;
    lines_.push_back(0);
    for (std::size_t i = 0; i < s_.size(); ++i) {
      const char c = s_[i];
      seen += c;
      const bool ends = c == '\n' || (c == '\r' && !s_.substr(i + 1).starts_with('\n'));
      if (ends) {
        lines_.push_back(i + 1);
        paragraph = blank ? 0 : paragraph + 1;
        blank = true;
      } else {
        ++paragraph;
        blank = blank && is_space(c);
      }
      if (paragraph > long_paragraph && (ends || may_end(paragraph - long_paragraph, i))) {
        for (int n = ends ? 1 : 2; n > 0; --n) {
          seen += '\n';
          lines_.push_back(i + 1);
        }
        paragraph = 0;
        blank = true;
      }
    }
    return seen;
  }

  /// Whether a line that is `over` too long may be cut behind `at`: rather not in a link.
  [[nodiscard]] bool may_end(std::size_t over, std::size_t at) const {
    if (over > long_paragraph) return true;
    if (s_[at] != ' ' || over < long_paragraph / 4) return false;
    return over > long_paragraph / 2 || s_[at - 1] == ')' || s_[at - 1] == '.';
  }

  static std::string_view literal(cmark_node* n) {
    const char* s = cmark_node_get_literal(n);
    return s != nullptr ? s : "";
  }
  [[nodiscard]] std::size_t line(int number) const {
    const auto i = static_cast<std::size_t>(std::max(number, 1) - 1);
    return i < lines_.size() ? lines_[i] : s_.size();
  }

  void enter(cmark_node* n) {
    switch (cmark_node_get_type(n)) {
      case CMARK_NODE_PARAGRAPH:
      case CMARK_NODE_HEADING:
        cursor_ = std::max(cursor_, line(cmark_node_get_start_line(n)));
        end_ = std::max(cursor_, line(cmark_node_get_end_line(n) + 1));
        heading_.clear();
        has_candidates_ = false;
        break;
      case CMARK_NODE_IMAGE: ++in_images_; [[fallthrough]];
      case CMARK_NODE_LINK: texts_.emplace_back(); break;
      case CMARK_NODE_TEXT:
        text(literal(n));
        if (out_.how.bare_urls && texts_.empty()) bare_urls(literal(n));
        break;
      case CMARK_NODE_SOFTBREAK:
      case CMARK_NODE_LINEBREAK: text("\n"); break;
      case CMARK_NODE_CODE: code(literal(n)); break;
      case CMARK_NODE_CODE_BLOCK:
        if (out_.how.code_blocks && out_.how.bare_urls) {
          cursor_ = std::max(cursor_, line(cmark_node_get_start_line(n)));
          end_ = std::max(cursor_, line(cmark_node_get_end_line(n) + 1));
          bare_urls(literal(n));
        }
        break;
      case CMARK_NODE_HTML_INLINE: raw(literal(n)); break;
      case CMARK_NODE_HTML_BLOCK: raw_block(n); break;
      default: break;
    }
  }

  void leave(cmark_node* n) {
    switch (cmark_node_get_type(n)) {
      case CMARK_NODE_LINK: found(n, "a", "href", link_use::navigation); break;
      case CMARK_NODE_IMAGE:
        --in_images_;
        found(n, "img", "src", link_use::resource);
        break;
      case CMARK_NODE_HEADING: anchor(); [[fallthrough]];
      case CMARK_NODE_PARAGRAPH: raw_ += '\n'; break;
      default: break;
    }
  }

  /// What a reader sees: of the heading, of the links around it, and of raw HTML around it.
  void text(std::string_view s) {
    if (in_images_ == 0) heading_ += s;
    if (!texts_.empty()) append_collapsed(texts_.back(), s, out_.how.max_text);
    for (const char c : s) {
      if (c == '<') {
        raw_ += "&lt;";
      } else if (c == '&') {
        raw_ += "&amp;";
      } else {
        raw_ += c;
      }
    }
  }

  void code(std::string_view s) {
    if (out_.how.code_blocks && out_.how.bare_urls && texts_.empty()) bare_urls(s);
    // What looks like a link in it is passed over.
    const std::size_t at = find(s.substr(0, s.find(' ')));
    if (at != nowhere) cursor_ = std::min(at + s.size(), end_);
    text(s);
  }

  [[nodiscard]] std::size_t find(std::string_view what) const {
    if (what.empty() || cursor_ >= end_) return nowhere;
    const std::size_t at = s_.substr(cursor_, std::min(end_ - cursor_, reach)).find(what);
    return at == s_.npos ? nowhere : at + cursor_;
  }

  /// Line by line: what stands before them (of a list, of a quotation) is missing in `html`.
  void raw(std::string_view html) {
    for (;;) {
      const std::size_t size = std::min(html.size(), html.find('\n'));
      const std::size_t at = find(html.substr(0, size));
      map_.add(raw_.size(), front_ + (at != nowhere ? at : cursor_));
      if (at != nowhere) cursor_ = at + size;
      raw_ += html.substr(0, size);
      if (size == html.size()) return;
      raw_ += '\n';
      html.remove_prefix(size + 1);
    }
  }

  void raw_block(cmark_node* n) {
    std::string_view html = literal(n);
    for (int number = cmark_node_get_start_line(n); !html.empty(); ++number) {
      const std::string_view one = html.substr(0, html.find('\n'));
      cursor_ = std::max(cursor_, line(number));
      end_ = std::max(cursor_, line(number + 1));
      raw(one);
      raw_ += '\n';
      html.remove_prefix(std::min(html.size(), one.size() + 1));
    }
  }

  void anchor() {
    const std::string base = slug(heading_);
    std::string name = base;
    for (unsigned& n = slugs_[base]; !names_.insert(name).second;) {
      name = base + "-" + std::to_string(++n);
    }
    out_.anchors().add(name);
  }

  // ---- addresses
  // ---------------------------------------------------------------------------------

  void found(cmark_node* n, std::string_view element, std::string_view attribute, link_use use) {
    const char* const address = cmark_node_get_url(n);
    link l{.raw = address != nullptr ? address : "",
           .element = std::string{element},
           .attribute = std::string{attribute},
           .text = std::move(texts_.back()),
           .rel = {},
           .at = {},
           .use = use};
    texts_.pop_back();
    if (!texts_.empty()) append_collapsed(texts_.back(), l.text, out_.how.max_text);
    const std::size_t at = locate(l.raw, cmark_node_get_start_line(n));
    out_.add(std::move(l), front_ + at);
  }

  std::size_t locate(std::string_view address, int first_line) {
    if (!std::exchange(has_candidates_, true)) find_candidates();
    auto c = std::ranges::lower_bound(candidates_, cursor_);
    for (int tries = 0; c != candidates_.end() && tries < most_tries; ++c, ++tries) {
      std::size_t begin = *c + 1;
      char close = '>';
      if (s_[*c] == ']') {
        ++begin;
        while (begin < s_.size() && is_space(s_[begin])) ++begin;
        if (s_.substr(begin).starts_with('<')) {
          ++begin;
        } else {
          close = ')';
        }
      }
      std::size_t after = match(begin, address);
      if (after == nowhere && close == '>' && address.starts_with("mailto:")) {
        after = match(begin, address.substr(7));
      }
      if (after == nowhere || after >= s_.size()) continue;
      if (s_[after] != close && !(close == ')' && is_space(s_[after]))) continue;
      cursor_ = after;
      return begin;
    }
    return defined(address).value_or(std::max(cursor_, std::min(line(first_line), end_)));
  }

  /// Where addresses may stand in the block: after "](" and in "<>".
  void find_candidates() {
    candidates_.clear();
    for (std::size_t at = cursor_; at < end_; ++at) {
      if (s_[at] == '<' || (s_[at] == ']' && s_.substr(at + 1).starts_with('('))) {
        candidates_.push_back(at);
      }
    }
  }

  /// Where in the text `address` ends that is written, with escapes and entities, from `at` on.
  [[nodiscard]] std::size_t match(std::size_t at, std::string_view address) const {
    std::size_t j = 0;
    while (j < address.size()) {
      if (at >= s_.size()) return nowhere;
      const char c = s_[at];
      if (c == '\\' && at + 1 < s_.size() && is_punctuation(s_[at + 1]) &&
          s_[at + 1] == address[j]) {
        at += 2;
        ++j;
      } else if (const std::size_t size = entity(at);
                 size != 0 && !literally(at, size, address.substr(j))) {
        at += size;
        do ++j;
        while (j < address.size() && (static_cast<unsigned char>(address[j]) & 0xc0) == 0x80);
      } else if (c == address[j]) {
        ++at;
        ++j;
      } else if (static_cast<unsigned char>(c) >= 0x80 &&
                 address.substr(j).starts_with("\xef\xbf\xbd")) {
        ++at;
        j += 3;
      } else {
        return nowhere;
      }
    }
    return at;
  }
  /// The size of the character reference at `at`; 0: there is none.
  [[nodiscard]] std::size_t entity(std::size_t at) const {
    if (s_[at] != '&') return 0;
    std::size_t i = at + 1;
    if (i < s_.size() && s_[i] == '#') ++i;
    const std::size_t name = i;
    while (i < s_.size() && (is_letter(s_[i]) || is_digit(s_[i]))) ++i;
    return i > name && i < s_.size() && s_[i] == ';' ? i + 1 - at : 0;
  }
  /// No entity after all.
  [[nodiscard]] bool literally(std::size_t at, std::size_t size, std::string_view address) const {
    const std::string_view reference = s_.substr(at, size);
    return reference != "&amp;" && reference != "&AMP;" && reference[1] != '#' &&
           address.starts_with(reference);
  }

  /// Where the address stands in a definition: "[label]: address".
  std::optional<std::size_t> defined(std::string_view address) {
    if (!std::exchange(has_definitions_, true)) find_definitions();
    if (const auto d = definitions_.find(std::string{address}); d != definitions_.end())
      return d->second;
    int tries = 0;
    for (const std::size_t at : escaped_) {
      if (++tries > most_tries) break;
      if (match(at, address) != nowhere) return at;
    }
    return std::nullopt;
  }

  void find_definitions() {
    for (std::size_t i = 0; i < lines_.size(); ++i) {
      std::size_t at = s_.find_first_not_of(" \t>*+-.)0123456789", lines_[i]);
      const std::size_t end = i + 1 < lines_.size() ? lines_[i + 1] : s_.size();
      if (at >= end || s_[at] != '[') continue;
      at = s_.substr(0, end).find("]:", at);
      if (at >= end) continue;
      at += 2;
      // The address may be in the next line.
      std::size_t last = end;
      while (at < last && is_space(s_[at])) ++at;
      if (at == end && i + 2 < lines_.size()) {
        last = lines_[i + 2];
        while (at < last && (is_space(s_[at]) || s_[at] == '>')) ++at;
      }
      if (at >= last) continue;
      const bool quoted = s_[at] == '<';
      if (quoted) ++at;
      const auto closes = [&](char c) { return quoted ? c == '>' || c == '\n' : is_space(c); };
      const auto* const stop = std::find_if(s_.begin() + at, s_.begin() + last, closes);
      const std::string_view address =
          s_.substr(at, static_cast<std::size_t>(stop - s_.begin()) - at);
      if (address.find_first_of("\\&") != address.npos) {
        escaped_.push_back(at);
      } else {
        definitions_.try_emplace(std::string{address}, at);
      }
    }
  }

  /// GitHub's extended autolinks: https://github.github.com/gfm/#autolinks-extension-
  void bare_urls(std::string_view s) {
    for (std::size_t at = 0; (at = s.find("http", at)) != s.npos;) {
      const std::string_view rest = s.substr(at);
      const std::size_t scheme = rest.starts_with("https://")  ? 8
                                 : rest.starts_with("http://") ? 7
                                                               : 0;
      const char before = at == 0 ? ' ' : s[at - 1];
      if (scheme == 0 || !(is_space(before) || before == '*' || before == '_' || before == '~' ||
                           before == '(' || before == '|' || before == '"')) {
        at += 4;
        continue;
      }
      std::string_view address = rest.substr(0, rest.find_first_of(" \t\n\r\f<"));
      trim(address);
      at += std::max<std::size_t>(address.size(), 4);
      if (address.size() <= scheme || is_punctuation(address[scheme])) continue;
      std::size_t where = std::min(cursor_, end_);
      int tries = 0;
      for (std::size_t from = cursor_; from < end_ && tries < most_tries; ++from, ++tries) {
        from = std::min(s_.find("http", from), end_);
        if (const std::size_t after = from < end_ ? match(from, address) : nowhere;
            after != nowhere) {
          where = from;
          cursor_ = after;
          break;
        }
      }
      out_.add({.raw = std::string{address},
                .element = "a",
                .attribute = "href",
                .text = std::string{address.substr(0, out_.how.max_text)},
                .rel = {},
                .at = {}},
               front_ + where);
    }
  }
  /// Takes from its end what belongs to the sentence.
  static void trim(std::string_view& address) {
    auto surplus = std::ranges::count(address, ')') - std::ranges::count(address, '(');
    for (; !address.empty(); address.remove_suffix(1)) {
      const char last = address.back();
      if (last == ')') {
        if (surplus-- <= 0) return;
      } else if (last == ';') {
        std::size_t i = address.size() - 1;
        while (i > 0 && (is_letter(address[i - 1]) || is_digit(address[i - 1]))) --i;
        if (i > 0 && address[i - 1] == '&') address.remove_suffix(address.size() - i);
      } else if (std::string_view{"?!.,:*_~'\""}.find(last) == std::string_view::npos) {
        return;
      }
    }
  }

  gathering& out_;
  std::size_t front_;
  std::string_view s_;
  std::vector<std::size_t> lines_;
  // Of the block at hand: what has not been looked at, and its end.
  std::size_t cursor_ = 0;
  std::size_t end_ = 0;
  bool has_candidates_ = false;
  std::vector<std::size_t> candidates_;
  std::string heading_;
  std::size_t in_images_ = 0;
  std::vector<std::string> texts_;  // of the links that are open
  // All HTML of the document, with the text between.
  std::string raw_;
  offset_map map_;
  std::unordered_map<std::string, unsigned> slugs_;
  std::unordered_set<std::string> names_;
  bool has_definitions_ = false;
  std::unordered_map<std::string, std::size_t> definitions_;
  std::vector<std::size_t> escaped_;
};

}  // namespace

void read_markdown(gathering& out) { markdown_reader{out}.run(); }

}  // namespace oneloop::inline v0::html::detail
