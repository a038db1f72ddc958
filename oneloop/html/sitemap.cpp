// Sitemaps (sitemaps.org): XML through expat, or a URL a line.
#include <expat.h>

#include <algorithm>
#include <array>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include "oneloop/html/gathering_internal.hpp"
#include "oneloop/html/text_internal.hpp"

namespace oneloop::inline v0::html::detail {
namespace {

/// Between a name's namespace and its local part; no URL has it.
constexpr char separator = '\n';

class sitemap_reader {
 public:
  explicit sitemap_reader(gathering& out)
      : out_{out}, parser_{XML_ParserCreateNS("UTF-8", separator), XML_ParserFree} {
    if (!parser_) throw std::bad_alloc{};
    XML_SetUserData(parser_.get(), this);
    XML_SetElementHandler(
        parser_.get(),
        [](void* me, const XML_Char* name, const XML_Char**) {
          static_cast<sitemap_reader*>(me)->begin(name);
        },
        [](void* me, const XML_Char*) { static_cast<sitemap_reader*>(me)->end(); });
    XML_SetCharacterDataHandler(parser_.get(), [](void* me, const XML_Char* s, int n) {
      static_cast<sitemap_reader*>(me)->text({s, static_cast<std::size_t>(n)});
    });
    XML_SetEntityDeclHandler(parser_.get(), [](void* me, const XML_Char*, int, const XML_Char*, int,
                                               const XML_Char*, const XML_Char*, const XML_Char*,
                                               const XML_Char*) {
      static_cast<sitemap_reader*>(me)->stop("it has entities of its own, which no sitemap needs");
    });
  }

  /// `xml` begins at `front` in the document.
  void run(std::string_view xml, std::size_t front) {
    front_ = front;
    // Its count is an int.
    constexpr std::size_t slice = std::size_t{1} << 20;
    for (;;) {
      const std::string_view part = xml.substr(0, slice);
      xml.remove_prefix(part.size());
      if (XML_Parse(parser_.get(), part.data(), static_cast<int>(part.size()),
                    xml.empty() ? 1 : 0) != XML_STATUS_OK) {
        const XML_Error e = XML_GetErrorCode(parser_.get());
        if (e == XML_ERROR_NO_MEMORY) throw std::bad_alloc{};
        if (e != XML_ERROR_ABORTED) {
          out_.stop(errc::protocol,
                    "broken XML at " + std::to_string(XML_GetCurrentLineNumber(parser_.get())) +
                        ":" + std::to_string(XML_GetCurrentColumnNumber(parser_.get()) + 1) + ": " +
                        XML_ErrorString(e));
        }
        return;
      }
      if (xml.empty()) return;
    }
  }

 private:
  void stop(std::string_view why) {
    if (!why.empty()) out_.stop(errc::protocol, why);
    XML_StopParser(parser_.get(), XML_FALSE);
  }

  void begin(std::string_view name) {
    const std::size_t colon = name.rfind(separator);
    const std::string_view space = colon == name.npos ? std::string_view{} : name.substr(0, colon);
    const std::string_view local = colon == name.npos ? name : name.substr(colon + 1);
    ++depth_;
    if (depth_ == 1) {
      const bool is_index = local == "sitemapindex";
      if (!is_index && local != "urlset") {
        return stop("<" + std::string{local.substr(0, 64)} + "> is no sitemap");
      }
      out_.made().sitemap_index = is_index;
      space_ = space;
      entry_ = is_index ? "sitemap" : "url";
    } else if (depth_ == 2) {
      in_entry_ = space == space_ && local == entry_;
    } else if (depth_ == 3) {
      in_loc_ = in_entry_ && space == space_ && local == "loc";
      loc_.clear();
    }
  }

  void end() {
    if (depth_-- != 3 || !std::exchange(in_loc_, false)) return;
    std::string_view address = loc_;
    strip(address);
    if (address.empty()) return;
    link l{.raw = std::string{address},
           .element = "loc",
           .attribute = {},
           .text = {},
           .rel = {},
           .at = {}};
    if (out_.add(std::move(l), at_) == nullptr) stop("");
  }

  void text(std::string_view s) {
    if (!in_loc_ || depth_ != 3 || loc_.size() > url::max_input) return;
    if (loc_.empty()) {
      const std::size_t space =
          static_cast<std::size_t>(std::ranges::find_if_not(s, is_space) - s.begin());
      if (space == s.size()) return;
      s.remove_prefix(space);
      at_ = front_ + static_cast<std::size_t>(XML_GetCurrentByteIndex(parser_.get())) + space;
    }
    loc_ += s;
  }

  gathering& out_;
  std::unique_ptr<XML_ParserStruct, decltype(&XML_ParserFree)> parser_;
  std::size_t front_ = 0;
  std::size_t depth_ = 0;
  std::string space_;
  std::string_view entry_;
  bool in_entry_ = false;
  bool in_loc_ = false;
  std::string loc_;
  std::size_t at_ = 0;
};

void read_lines(gathering& out) {
  const std::string_view text = out.source().text();
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find_first_of("\r\n", at), text.size());
    std::string_view line = text.substr(at, end - at);
    const std::size_t first = at + strip(line);
    at = end + 1;
    if (line.empty()) continue;
    link l{.raw = std::string{line.substr(0, url::max_input + 1)},
           .element = "loc",
           .attribute = {},
           .text = {},
           .rel = {},
           .at = {}};
    if (out.add(std::move(l), first) == nullptr) return;
  }
}

}  // namespace

void read_sitemap(gathering& out) {
  const std::string_view text = out.source().text();
  const std::size_t first =
      static_cast<std::size_t>(std::ranges::find_if_not(text, is_space) - text.begin());
  if (first == text.size() || text[first] != '<') return read_lines(out);
  // XML that begins with a blank line is none, but there is much of it.
  sitemap_reader{out}.run(text.substr(first), first);
}

}  // namespace oneloop::inline v0::html::detail
