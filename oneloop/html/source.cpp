#include <unicode/ucnv.h>
#include <unicode/utf16.h>
#include <unicode/utf8.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <new>

#include "oneloop/html/source_internal.hpp"
#include "oneloop/html/text_internal.hpp"
#include "oneloop/url/url.hpp"

namespace oneloop::inline v0::html::detail {
namespace {

// https://encoding.spec.whatwg.org/#names-and-labels
constexpr std::array encodings{
    encoding{"UTF-8", "",
             "unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf-8 utf8 x-unicode20utf8"},
    encoding{"windows-1252", "ibm-5348_P100-1997",
             "ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 iso8859-1 "
             "iso88591 iso_8859-1 iso_8859-1:1987 l1 latin1 us-ascii windows-1252 x-cp1252"},
    encoding{"IBM866", "ibm-866_P100-1995", "866 cp866 csibm866 ibm866"},
    encoding{"ISO-8859-2", "ibm-912_P100-1995",
             "csisolatin2 iso-8859-2 iso-ir-101 iso8859-2 iso88592 iso_8859-2 iso_8859-2:1987 l2 "
             "latin2"},
    encoding{"ISO-8859-3", "ibm-913_P100-2000",
             "csisolatin3 iso-8859-3 iso-ir-109 iso8859-3 iso88593 iso_8859-3 iso_8859-3:1988 l3 "
             "latin3"},
    encoding{"ISO-8859-4", "ibm-914_P100-1995",
             "csisolatin4 iso-8859-4 iso-ir-110 iso8859-4 iso88594 iso_8859-4 iso_8859-4:1988 l4 "
             "latin4"},
    encoding{"ISO-8859-5", "ibm-915_P100-1995",
             "csisolatincyrillic cyrillic iso-8859-5 iso-ir-144 iso8859-5 iso88595 iso_8859-5 "
             "iso_8859-5:1988"},
    encoding{"ISO-8859-6", "ibm-1089_P100-1995",
             "arabic asmo-708 csiso88596e csiso88596i csisolatinarabic ecma-114 iso-8859-6 "
             "iso-8859-6-e iso-8859-6-i iso-ir-127 iso8859-6 iso88596 iso_8859-6 iso_8859-6:1987"},
    encoding{"ISO-8859-7", "ibm-9005_X110-2007",
             "csisolatingreek ecma-118 elot_928 greek greek8 iso-8859-7 iso-ir-126 iso8859-7 "
             "iso88597 iso_8859-7 iso_8859-7:1987 sun_eu_greek"},
    encoding{"ISO-8859-8", "ibm-5012_P100-1999",
             "csiso88598e csisolatinhebrew hebrew iso-8859-8 iso-8859-8-e iso-ir-138 iso8859-8 "
             "iso88598 iso_8859-8 iso_8859-8:1988 visual"},
    encoding{"ISO-8859-8-I", "ibm-5012_P100-1999", "csiso88598i iso-8859-8-i logical"},
    encoding{"ISO-8859-10", "iso-8859_10-1998",
             "csisolatin6 iso-8859-10 iso-ir-157 iso8859-10 iso885910 l6 latin6"},
    encoding{"ISO-8859-13", "ibm-921_P100-1995", "iso-8859-13 iso8859-13 iso885913"},
    encoding{"ISO-8859-14", "iso-8859_14-1998", "iso-8859-14 iso8859-14 iso885914"},
    encoding{"ISO-8859-15", "ibm-923_P100-1998",
             "csisolatin9 iso-8859-15 iso8859-15 iso885915 iso_8859-15 l9"},
    encoding{"ISO-8859-16", "iso-8859_16-2001", "iso-8859-16"},
    encoding{"KOI8-R", "ibm-878_P100-1996", "cskoi8r koi koi8 koi8-r koi8_r"},
    encoding{"KOI8-U", "ibm-1168_P100-2002", "koi8-ru koi8-u"},
    encoding{"macintosh", "macos-0_2-10.2", "csmacintosh mac macintosh x-mac-roman"},
    encoding{"windows-874", "windows-874-2000",
             "dos-874 iso-8859-11 iso8859-11 iso885911 tis-620 windows-874"},
    encoding{"windows-1250", "ibm-5346_P100-1998", "cp1250 windows-1250 x-cp1250"},
    encoding{"windows-1251", "ibm-5347_P100-1998", "cp1251 windows-1251 x-cp1251"},
    encoding{"windows-1253", "ibm-5349_P100-1998", "cp1253 windows-1253 x-cp1253"},
    encoding{"windows-1254", "ibm-5350_P100-1998",
             "cp1254 csisolatin5 iso-8859-9 iso-ir-148 iso8859-9 iso88599 iso_8859-9 "
             "iso_8859-9:1989 l5 latin5 windows-1254 x-cp1254"},
    encoding{"windows-1255", "ibm-9447_P100-2002", "cp1255 windows-1255 x-cp1255"},
    encoding{"windows-1256", "ibm-9448_X100-2005", "cp1256 windows-1256 x-cp1256"},
    encoding{"windows-1257", "ibm-9449_P100-2002", "cp1257 windows-1257 x-cp1257"},
    encoding{"windows-1258", "ibm-5354_P100-1998", "cp1258 windows-1258 x-cp1258"},
    encoding{"x-mac-cyrillic", "macos-7_3-10.2", "x-mac-cyrillic x-mac-ukrainian"},
    encoding{"GBK", "gb18030",
             "chinese csgb2312 csiso58gb231280 gb2312 gb_2312 gb_2312-80 gbk iso-ir-58 x-gbk"},
    encoding{"gb18030", "gb18030", "gb18030"},
    encoding{"Big5", "Big5-HKSCS", "big5 big5-hkscs cn-big5 csbig5 x-x-big5"},
    encoding{"EUC-JP", "EUC-JP", "cseucpkdfmtjapanese euc-jp x-euc-jp"},
    encoding{"ISO-2022-JP", "ISO-2022-JP", "csiso2022jp iso-2022-jp"},
    encoding{"Shift_JIS", "ibm-943_P15A-2003",
             "csshiftjis ms932 ms_kanji shift-jis shift_jis sjis windows-31j x-sjis"},
    encoding{"EUC-KR", "windows-949-2000",
             "cseuckr csksc56011987 euc-kr iso-ir-149 korean ks_c_5601-1987 ks_c_5601-1989 ksc5601 "
             "ksc_5601 windows-949"},
    encoding{"UTF-16BE", "UTF-16BE", "unicodefffe utf-16be"},
    encoding{"UTF-16LE", "UTF-16LE",
             "csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16 utf-16le"},
    // What must not be guessed at: these hide ASCII in other bytes.
    encoding{"replacement", "",
             "csiso2022kr hz-gb-2312 iso-2022-cn iso-2022-cn-ext iso-2022-kr replacement"},
    encoding{"x-user-defined", "ibm-5348_P100-1997", "x-user-defined"},
};

const encoding& named(std::string_view name) {
  return *std::ranges::find(encodings, name, &encoding::name);
}

using converter = std::unique_ptr<UConverter, decltype(&ucnv_close)>;

converter open(const encoding& e) {
  UErrorCode status = U_ZERO_ERROR;
  converter c{ucnv_open(std::string{e.converter}.c_str(), &status), ucnv_close};
  // Data that this ICU was built without: the encoding that every byte has a meaning in.
  if (U_FAILURE(status)) {
    status = U_ZERO_ERROR;
    c.reset(ucnv_open("ISO-8859-1", &status));
  }
  if (!c) throw std::bad_alloc{};
  return c;
}

bool is_single_utf(const encoding& e) { return e.name == "UTF-8"; }
bool has_ascii_bytes(const encoding& e) {
  return !e.name.starts_with("UTF-16") && e.name != "ISO-2022-JP" && e.name != "replacement";
}

}  // namespace

const encoding& utf8_encoding() { return encodings[0]; }
const encoding& windows_1252_encoding() { return encodings[1]; }

const encoding* find_encoding(std::string_view label) {
  const std::string_view word = next_word(label);
  if (word.empty() || !next_word(label).empty()) return nullptr;
  const auto found =
      std::ranges::find_if(encodings, [&](const encoding& e) { return has_word(e.labels, word); });
  return found == encodings.end() ? nullptr : &*found;
}

source_text::source_text(std::string_view bytes, const encoding& declared) : encoding_{&declared} {
  if (bytes.starts_with("\xef\xbb\xbf")) {
    encoding_ = &utf8_encoding();
    skipped_ = 3;
  } else if (bytes.starts_with("\xfe\xff") || bytes.starts_with("\xff\xfe")) {
    encoding_ = &named(bytes[0] == '\xfe' ? "UTF-16BE" : "UTF-16LE");
    skipped_ = 2;
  }
  bytes.remove_prefix(skipped_);
  if (is_single_utf(*encoding_) || (has_ascii_bytes(*encoding_) && is_ascii(bytes))) {
    text_ = bytes;
  } else {
    convert(bytes);
    text_ = converted_;
  }
}

void source_text::convert(std::string_view bytes) {
  const auto put = [&](char32_t c, std::size_t from) {
    append_utf8(converted_, c);
    map_.resize(converted_.size(), static_cast<std::uint32_t>(from));
  };
  if (encoding_->converter.empty()) {
    if (!bytes.empty()) put(0xfffd, 0);
  } else {
    const converter c = open(*encoding_);
    std::array<UChar, 1024> units{};
    std::array<std::int32_t, units.size()> offsets{};
    const char* const end = bytes.data() + bytes.size();
    const char* in = bytes.data();
    char32_t lead = 0;
    std::size_t lead_from = 0;
    UErrorCode status = U_BUFFER_OVERFLOW_ERROR;
    while (status == U_BUFFER_OVERFLOW_ERROR) {
      status = U_ZERO_ERROR;
      UChar* out = units.data();
      const std::size_t done = static_cast<std::size_t>(in - bytes.data());
      ucnv_toUnicode(c.get(), &out, units.data() + units.size(), &in, end, offsets.data(), 1,
                     &status);
      const auto n = static_cast<std::size_t>(out - units.data());
      std::size_t from = done;
      for (std::size_t i = 0; i < n; ++i) {
        // -1: what had begun in an earlier call.
        if (offsets[i] >= 0) from = done + static_cast<std::size_t>(offsets[i]);
        const char32_t unit = units[i];
        if (lead != 0 && U16_IS_TRAIL(unit)) {
          put(static_cast<char32_t>(U16_GET_SUPPLEMENTARY(lead, unit)), lead_from);
          lead = 0;
          continue;
        }
        if (lead != 0) put(0xfffd, lead_from);
        lead = U16_IS_LEAD(unit) ? unit : 0;
        lead_from = from;
        if (lead == 0) put(unit, from);
      }
    }
    if (lead != 0) put(0xfffd, lead_from);
  }
  map_.push_back(static_cast<std::uint32_t>(bytes.size()));
}

std::string encode_query(std::string_view query, const encoding& e) {
  if (is_ascii(query) || e.converter.empty() || e.name.starts_with("UTF-16")) {
    return std::string{query};
  }
  const converter c = open(e);
  UErrorCode status = U_ZERO_ERROR;
  ucnv_setFromUCallBack(c.get(), UCNV_FROM_U_CALLBACK_STOP, nullptr, nullptr, nullptr, &status);
  std::string result;
  for (std::size_t i = 0; i < query.size();) {
    UChar32 code_point = 0;
    U8_NEXT(query.data(), i, query.size(), code_point);
    if (code_point >= 0 && code_point < 0x80) {
      result += static_cast<char>(code_point);
      continue;
    }
    if (code_point < 0) code_point = 0xfffd;
    std::array<UChar, 2> units{};
    std::int32_t n = 0;
    U16_APPEND_UNSAFE(units.data(), n, code_point);
    std::array<char, 32> bytes{};
    status = U_ZERO_ERROR;
    const std::int32_t size = ucnv_fromUChars(
        c.get(), bytes.data(), static_cast<std::int32_t>(bytes.size()), units.data(), n, &status);
    if (U_FAILURE(status)) {
      result += "%26%23" + std::to_string(code_point) + "%3B";
    } else {
      result += percent_encode({bytes.data(), static_cast<std::size_t>(size)},
                               percent_set::special_query);
    }
  }
  return result;
}

// ---- the prescan
// ---------------------------------------------------------------------------------
// https://html.spec.whatwg.org/multipage/parsing.html#prescan-a-byte-stream-to-determine-its-encoding

namespace {

class prescanner {
 public:
  explicit prescanner(std::string_view bytes) : s_{bytes.substr(0, 1024)} {}

  const encoding* run() {
    if (s_.starts_with("<?xml")) {
      if (const encoding* e = xml_declaration()) return e;
    }
    while (at_ < s_.size()) {
      const std::string_view rest = s_.substr(at_);
      if (rest.starts_with("<!--")) {
        // "<!-->" is a whole comment.
        const std::size_t end = s_.find("-->", at_ + 2);
        at_ = end == s_.npos ? s_.size() : end + 3;
      } else if (rest.size() > 5 && starts_with_ignoring_case(rest, "<meta") &&
                 (is_space(rest[5]) || rest[5] == '/')) {
        at_ += 5;
        if (const encoding* e = meta()) return e;
      } else if (rest.size() > 1 && rest[0] == '<' &&
                 (is_letter(rest[1]) ||
                  (rest.size() > 2 && rest[1] == '/' && is_letter(rest[2])))) {
        while (at_ < s_.size() && !is_space(s_[at_]) && s_[at_] != '>') ++at_;
        attribute a;
        while (next(a)) {
        }
      } else if (rest.starts_with("<!") || rest.starts_with("</") || rest.starts_with("<?")) {
        const std::size_t end = s_.find('>', at_);
        at_ = end == s_.npos ? s_.size() : end + 1;
      } else {
        ++at_;
      }
    }
    return nullptr;
  }

 private:
  struct attribute {
    std::string name;
    std::string value;
  };

  /// A UTF-16 that can be read as ASCII is none.
  static const encoding* believable(const encoding* e) {
    if (e == nullptr) return nullptr;
    if (e->name.starts_with("UTF-16")) return &utf8_encoding();
    return e->name == "x-user-defined" ? &windows_1252_encoding() : e;
  }

  [[nodiscard]] const encoding* xml_declaration() const {
    const std::string_view declaration = s_.substr(0, s_.find('>'));
    std::size_t at = declaration.find("encoding");
    if (at == declaration.npos) return nullptr;
    at = declaration.find_first_not_of(" \t\r\n=", at + 8);
    if (at == declaration.npos || (declaration[at] != '"' && declaration[at] != '\''))
      return nullptr;
    const std::size_t end = declaration.find(declaration[at], at + 1);
    if (end == declaration.npos) return nullptr;
    return believable(find_encoding(declaration.substr(at + 1, end - at - 1)));
  }

  const encoding* meta() {
    bool got_pragma = false;
    bool has_content = false;
    bool has_charset = false;
    bool need_pragma = false;
    const encoding* found = nullptr;
    bool seen_pragma = false;
    attribute a;
    while (next(a)) {
      if (a.name == "http-equiv" && !seen_pragma) {
        seen_pragma = true;
        got_pragma = a.value == "content-type";
      } else if (a.name == "content" && !has_content && !has_charset) {
        if (const encoding* e = of_content(a.value)) {
          found = e;
          need_pragma = true;
          has_content = true;
        }
      } else if (a.name == "charset" && !has_charset) {
        found = find_encoding(a.value);
        need_pragma = false;
        has_charset = true;
      }
    }
    return need_pragma && !got_pragma ? nullptr : believable(found);
  }

  static const encoding* of_content(std::string_view s) {
    for (;;) {
      const std::size_t at = s.find("charset");
      if (at == s.npos) return nullptr;
      s.remove_prefix(at + 7);
      while (!s.empty() && is_space(s.front())) s.remove_prefix(1);
      if (s.starts_with('=')) break;
    }
    s.remove_prefix(1);
    while (!s.empty() && is_space(s.front())) s.remove_prefix(1);
    if (s.starts_with('"') || s.starts_with('\'')) {
      const std::size_t end = s.find(s.front(), 1);
      return end == s.npos ? nullptr : find_encoding(s.substr(1, end - 1));
    }
    return find_encoding(s.substr(0, std::min(s.find(';'), s.find_first_of(" \t\n\f\r"))));
  }

  /// Name and value in lower case; false at the end of the tag.
  bool next(attribute& a) {
    a = {};
    while (at_ < s_.size() && (is_space(s_[at_]) || s_[at_] == '/')) ++at_;
    if (at_ >= s_.size()) return false;
    if (s_[at_] == '>') {
      ++at_;
      return false;
    }
    while (at_ < s_.size() && !is_space(s_[at_]) && s_[at_] != '/' && s_[at_] != '>' &&
           (s_[at_] != '=' || a.name.empty())) {
      a.name += to_lower(s_[at_++]);
    }
    std::size_t after = at_;
    while (after < s_.size() && is_space(s_[after])) ++after;
    if (after >= s_.size() || s_[after] != '=') return true;
    at_ = after + 1;
    while (at_ < s_.size() && is_space(s_[at_])) ++at_;
    if (at_ >= s_.size()) return true;
    const char quote = s_[at_];
    if (quote == '"' || quote == '\'') {
      const std::size_t end = s_.find(quote, at_ + 1);
      // Cut off within a value: there is no attribute.
      if (end == s_.npos) {
        at_ = s_.size();
        return false;
      }
      a.value = lower(s_.substr(at_ + 1, end - at_ - 1));
      at_ = end + 1;
      return true;
    }
    while (at_ < s_.size() && !is_space(s_[at_]) && s_[at_] != '>') a.value += to_lower(s_[at_++]);
    return true;
  }

  std::string_view s_;
  std::size_t at_ = 0;
};

}  // namespace

const encoding* prescan(std::string_view bytes) { return prescanner{bytes}.run(); }

}  // namespace oneloop::inline v0::html::detail
