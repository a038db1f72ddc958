#include <unicode/utf8.h>

#include <algorithm>
#include <array>
#include <utility>

#include "oneloop/html/gathering_internal.hpp"
#include "oneloop/html/text_internal.hpp"

namespace oneloop::inline v0::html::detail {
namespace {

/// The code point that `s` begins with, and its size in bytes.
std::pair<char32_t, std::size_t> first_character(std::string_view s) {
  std::size_t i = 0;
  UChar32 c = 0;
  U8_NEXT(s.data(), i, s.size(), c);
  return {c < 0 ? char32_t{0xfffd} : static_cast<char32_t>(c), i};
}

/// Of the entities that stand for two characters, the second one; all others stand for one.
bool is_second_of_entity(char32_t c) {
  static constexpr std::array<char32_t, 7> seconds{0x200a, 0x20d2, 0x20e5, 0x0333,
                                                   0x0338, 0x0331, 0xfe00};
  return std::ranges::find(seconds, c) != seconds.end();
}

/// The size of what looks like a character reference at the front of `raw`, which begins with '&'.
std::size_t reference_size(std::string_view raw) {
  std::size_t i = 1;
  if (i < raw.size() && raw[i] == '#') {
    ++i;
    const bool hex = i < raw.size() && to_lower(raw[i]) == 'x';
    if (hex) ++i;
    const std::size_t digits = i;
    while (i < raw.size() && (hex ? is_hex(raw[i]) : is_digit(raw[i]))) ++i;
    if (i == digits) return 1;
  } else {
    while (i < raw.size() && (is_letter(raw[i]) || is_digit(raw[i]))) ++i;
  }
  if (i > 1 && i < raw.size() && raw[i] == ';') ++i;
  return i;
}

}  // namespace

std::size_t offset_map::operator()(std::size_t at) const noexcept {
  const auto after = std::ranges::upper_bound(runs_, at, {}, &run::from);
  if (after == runs_.begin()) return at;
  const run& r = *std::prev(after);
  return r.to + (at - r.from);
}

void offset_map::add(std::size_t from, const offset_map& outer, std::size_t begin,
                     std::size_t size) {
  add(from, outer(begin));
  for (auto r = std::ranges::upper_bound(outer.runs_, begin, {}, &run::from);
       r != outer.runs_.end() && r->from < begin + size; ++r) {
    add(from + (r->from - begin), r->to);
  }
}

offset_map offset_map::decoded(std::string_view raw, std::string_view decoded, coding how,
                               std::size_t from, const offset_map& outer) {
  offset_map m;
  std::size_t i = 0;
  std::size_t j = 0;
  // Where the stretch began in which nothing had to be decoded.
  std::size_t same_i = 0;
  std::size_t same_j = 0;
  bool in_cdata = false;
  while (i < raw.size() && j < decoded.size()) {
    std::size_t read = 1;
    std::size_t made = 1;
    const std::string_view mark = in_cdata ? "]]>" : "<![CDATA[";
    if (how == coding::foreign && raw.substr(i).starts_with(mark)) {
      in_cdata = !in_cdata;
      read = mark.size();
      made = 0;
    } else if (raw[i] == '\r') {
      if (raw.substr(i).starts_with("\r\n")) read = 2;
    } else if (raw[i] == '&' && how != coding::none && !in_cdata) {
      const std::size_t size = reference_size(raw.substr(i));
      const std::string_view reference = raw.substr(i, size);
      const bool ampersand =
          starts_with_ignoring_case(reference, "&amp") || reference[1 % size] == '#';
      if (size > 1 && (decoded[j] != '&' || ampersand)) {
        read = size;
        made = first_character(decoded.substr(j)).second;
        if (size > 3 && reference[1] != '#' && !reference.ends_with(';')) {
          // In text, "&quotes" is a quote and "es".
          read = 3;
          while (read < size &&
                 !decoded.substr(j + made).starts_with(raw.substr(i + read, size - read))) {
            ++read;
          }
        }
        if (reference == "&fjlig;") {
          made = 2;
        } else if (j + made < decoded.size()) {
          const auto [second, bytes] = first_character(decoded.substr(j + made));
          const std::string_view next = decoded.substr(j + made, bytes);
          if (is_second_of_entity(second) && reference[1] != '#' &&
              !raw.substr(i + read).starts_with(next) && !raw.substr(i + read).starts_with('&')) {
            made += bytes;
          }
        }
      }
    } else if (constexpr std::string_view replacement = "\xef\xbf\xbd";
               decoded.substr(j).starts_with(replacement) &&
               !raw.substr(i).starts_with(replacement)) {
      // No character, or none that HTML may have.
      read = first_character(raw.substr(i)).second;
      made = 3;
    }
    if (read != made) {
      m.add(same_j, outer, from + same_i, i - same_i + 1);
      same_i = i + read;
      same_j = j + made;
    }
    i += read;
    j += made;
  }
  m.add(same_j, outer, from + same_i, std::max(raw.size(), same_i) - same_i);
  return m;
}

gathering::gathering(const source_text& source, const url& base, const options& o)
    : how{o},
      source_{source},
      made_{.links = {},
            .anchors = {},
            .base = base,
            .charset = std::string{source.charset().name},
            .problem = {}} {}

link* gathering::add(link l, std::size_t at) {
  if (l.raw.size() > url::max_input) l.raw.resize(url::max_input + 1);
  if (made_.links.size() >= how.max_links) {
    stop(errc::limit_exceeded, "it has more than " + std::to_string(how.max_links) + " links");
    return nullptr;
  }
  l.at.offset = at;
  made_.links.push_back(std::move(l));
  return &made_.links.back();
}

void gathering::set_base(std::string_view href) {
  if (std::exchange(has_base_, true)) return;
  auto base = made_.base.resolve(href);
  if (base && base->scheme() != "data" && base->scheme() != "javascript") {
    made_.base = *std::move(base);
  }
}

void gathering::stop(errc code, std::string_view why) {
  if (made_.problem) return;
  made_.problem.emplace(make_error_code(code),
                        "read " + made_.base.display() + ": " + std::string{why});
}

document gathering::finish() {
  for (link& l : made_.links) {
    repair_utf8(l.raw);
    cut_text(l.text, how.max_text);
    repair_utf8(l.text);
    cut_text(l.text, how.max_text);
    resolve(l);
  }
  place();
  return std::move(made_);
}

void gathering::resolve(link& l) const {
  const std::size_t query = l.raw.find_first_of("?#");
  if (query != l.raw.npos && l.raw[query] == '?' && !source_.charset().converter.empty() &&
      !is_ascii(l.raw)) {
    // The query of a web address is in the encoding of its document.
    const std::size_t end = std::min(l.raw.find('#', query), l.raw.size());
    l.target = made_.base.resolve(
        l.raw.substr(0, query) +
        encode_query(std::string_view{l.raw}.substr(query, end - query), source_.charset()) +
        l.raw.substr(end));
    if (l.target && l.target->is_special() && !l.target->scheme().starts_with("ws")) return;
  }
  l.target = made_.base.resolve(l.raw);
}

/// Until here, offsets are those in the text.
void gathering::place() {
  const auto where = [](const link& l) { return l.at.offset; };
  if (!std::ranges::is_sorted(made_.links, {}, where)) {
    std::ranges::stable_sort(made_.links, {}, where);
  }
  const std::string_view text = source_.text();
  const auto end_of_line = [&, has_cr = text.find('\r') != text.npos](std::size_t from) {
    auto at = has_cr ? text.find_first_of("\r\n", from) : text.find('\n', from);
    if (has_cr && text.substr(std::min(at, text.size())).starts_with("\r\n")) ++at;
    return at;
  };
  std::size_t i = 0;
  std::size_t line_end = end_of_line(0);
  position p{1, 1, 0};
  for (link& l : made_.links) {
    const std::size_t to = std::min(l.at.offset, text.size());
    while (line_end < to) {
      i = line_end + 1;
      ++p.line;
      p.column = 1;
      line_end = end_of_line(i);
    }
    while (i < to) {
      i += static_cast<unsigned char>(text[i]) < 0x80 ? 1 : first_character(text.substr(i)).second;
      ++p.column;
    }
    l.at = {p.line, p.column, source_.offset(to)};
  }
}

}  // namespace oneloop::inline v0::html::detail
