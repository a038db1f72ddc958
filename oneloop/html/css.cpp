// Style sheets: as much of the CSS Syntax Module as it takes to find addresses.
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "oneloop/html/gathering_internal.hpp"
#include "oneloop/html/text_internal.hpp"

namespace oneloop::inline v0::html::detail {
namespace {

bool is_newline(char c) { return c == '\n' || c == '\r' || c == '\f'; }
bool is_name(char c) {
  return is_letter(c) || is_digit(c) || c == '_' || c == '-' ||
         static_cast<unsigned char>(c) >= 0x80;
}

class style_reader {
 public:
  style_reader(std::string_view text, const offset_map& where, std::string_view element,
               std::string_view attribute, gathering& out)
      : s_{text}, where_{where}, element_{element}, attribute_{attribute}, out_{out} {}

  void run() {
    while (at_ < s_.size()) step();
  }

 private:
  /// What strings mean inside the parentheses at hand.
  enum class inside : char { other, addresses, images };

  void step() {
    const char c = s_[at_];
    if (s_.substr(at_).starts_with("/*")) {
      const std::size_t end = s_.find("*/", at_ + 2);
      at_ = end == s_.npos ? s_.size() : end + 2;
    } else if (c == '"' || c == '\'') {
      quoted();
    } else if (c == '@') {
      ++at_;
      const std::string word = name();
      statement_ = equal_ignoring_case(word, "import")      ? statement::import
                   : equal_ignoring_case(word, "namespace") ? statement::name_space
                                                            : statement::other;
    } else if (c == ';' || c == '{' || c == '}') {
      statement_ = statement::other;
      // Parentheses that were never closed end with their block.
      if (c != ';') open_.clear();
      ++at_;
    } else if (c == '(') {
      open_.push_back(inside::other);
      ++at_;
    } else if (c == ')') {
      if (!open_.empty()) open_.pop_back();
      ++at_;
    } else if (is_name(c) || c == '\\') {
      word();
    } else {
      ++at_;
    }
  }

  /// An identifier or a function.
  void word() {
    const std::size_t begin = at_;
    const std::string w = name();
    if (at_ == begin) {
      ++at_;
      return;
    }
    if (at_ >= s_.size() || s_[at_] != '(') return;
    ++at_;
    if (equal_ignoring_case(w, "url")) return address();
    if (equal_ignoring_case(w, "src")) {
      open_.push_back(inside::addresses);
    } else if (equal_ignoring_case(w, "image-set") || equal_ignoring_case(w, "-webkit-image-set")) {
      open_.push_back(inside::images);
    } else {
      open_.push_back(inside::other);
    }
  }

  void address() {
    std::size_t first = at_;
    while (first < s_.size() && is_space(s_[first])) ++first;
    if (first < s_.size() && (s_[first] == '"' || s_[first] == '\'')) {
      open_.push_back(inside::addresses);
      at_ = first;
      return;
    }
    std::string value;
    at_ = first;
    bool bad = false;
    while (at_ < s_.size() && s_[at_] != ')') {
      const char c = s_[at_];
      if (c == '\\' && at_ + 1 < s_.size()) {
        if (is_newline(s_[at_ + 1])) bad = true;
        escape(value);
      } else if (is_space(c)) {
        while (at_ < s_.size() && is_space(s_[at_])) ++at_;
        bad = bad || (at_ < s_.size() && s_[at_] != ')');
      } else {
        bad = bad || c == '"' || c == '\'' || c == '(' || static_cast<unsigned char>(c) < ' ';
        value += c;
        ++at_;
      }
    }
    if (at_ < s_.size()) ++at_;
    if (!bad) found(value, first);
  }

  void quoted() {
    const char quote = s_[at_++];
    const std::size_t first = at_;
    std::string value;
    const bool used =
        statement_ == statement::import || (!open_.empty() && open_.back() != inside::other);
    while (at_ < s_.size() && s_[at_] != quote) {
      if (is_newline(s_[at_])) return;  // a broken string ends with its line
      if (s_[at_] == '\\') {
        escape(value);
      } else {
        if (used) value += s_[at_];
        ++at_;
      }
    }
    if (at_ < s_.size()) ++at_;
    if (used) found(value, first);
  }

  std::string name() {
    std::string n;
    while (at_ < s_.size()) {
      if (is_name(s_[at_])) {
        n += s_[at_++];
      } else if (s_[at_] == '\\' && at_ + 1 < s_.size() && !is_newline(s_[at_ + 1])) {
        escape(n);
      } else {
        break;
      }
    }
    return n;
  }

  /// From the backslash on.
  void escape(std::string& to) {
    if (++at_ >= s_.size()) return;
    if (is_newline(s_[at_])) {
      at_ += s_.substr(at_).starts_with("\r\n") ? 2 : 1;
      return;
    }
    if (!is_hex(s_[at_])) {
      to += s_[at_++];
      return;
    }
    char32_t c = 0;
    for (int digits = 0; digits < 6 && at_ < s_.size() && is_hex(s_[at_]); ++digits, ++at_) {
      const char d = to_lower(s_[at_]);
      c = c * 16 + static_cast<char32_t>(is_digit(d) ? d - '0' : d - 'a' + 10);
    }
    if (at_ < s_.size() && is_space(s_[at_])) at_ += s_.substr(at_).starts_with("\r\n") ? 2 : 1;
    append_utf8(to, c == 0 ? 0xfffd : c);
  }

  /// Where `count` characters end that begin at `at`; an escape is one.
  std::size_t behind(std::size_t at, std::size_t count) {
    const std::size_t back = std::exchange(at_, at);
    while (count > 0 && at_ < s_.size()) {
      std::string one;
      if (s_[at_] == '\\') {
        escape(one);
      } else {
        one = s_[at_++];
      }
      if (!one.empty()) --count;
    }
    return std::exchange(at_, back);
  }

  void found(std::string_view value, std::size_t first) {
    const bool imported = statement_ == statement::import;
    if (statement_ == statement::name_space) return;
    if (imported) statement_ = statement::imported;
    first = behind(first, strip(value));
    // "#x" is something in this very document, an effect as a rule.
    if (value.empty() || value.starts_with('#')) return;
    link l{.raw = std::string{value},
           .element = std::string{element_},
           .attribute = std::string{attribute_},
           .text = {},
           .rel = {},
           .at = {},
           .use = imported ? link_use::stylesheet : link_use::resource};
    if (l.element.empty()) l.element = imported ? "@import" : "url";
    out_.add(std::move(l), where_(first));
  }

  enum class statement : char { other, import, imported, name_space };

  std::string_view s_;
  const offset_map& where_;
  std::string_view element_;
  std::string_view attribute_;
  gathering& out_;
  std::size_t at_ = 0;
  statement statement_ = statement::other;
  std::vector<inside> open_;
};

}  // namespace

void read_css(std::string_view text, const offset_map& where, std::string_view element,
              std::string_view attribute, gathering& out) {
  style_reader{text, where, element, attribute, out}.run();
}

}  // namespace oneloop::inline v0::html::detail
