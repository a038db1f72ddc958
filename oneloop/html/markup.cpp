// HTML through gumbo.
#include <gumbo.h>

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include "oneloop/html/gathering_internal.hpp"
#include "oneloop/html/segments_internal.hpp"
#include "oneloop/html/text_internal.hpp"

namespace oneloop::inline v0::html::detail {
namespace {

/// An <iframe srcdoc> in an <iframe srcdoc> in ...
constexpr int max_nesting = 4;

// ---- the parser, within bounds
// -------------------------------------------------------------------

/// gumbo's memory: taken in blocks, given back at once. That is faster than node by node, and it
/// needs no walk down the tree, which gumbo makes by recursion.
class arena {
 public:
  explicit arena(std::size_t most) : left_{most} {}
  arena(const arena&) = delete;
  arena& operator=(const arena&) = delete;
  ~arena() {
    while (block* b = std::exchange(last_, last_ != nullptr ? last_->before : nullptr))
      std::free(b);
  }

  /// Null: there is no more.
  void* take(std::size_t size) noexcept {
    size = (size + alignof(std::max_align_t) - 1) & ~(alignof(std::max_align_t) - 1);
    if (size > room_ && !grow(size)) return nullptr;
    room_ -= size;
    return std::exchange(free_, free_ + size);
  }

  /// Where take() jumps to who has been asked for more than there is: gumbo cannot be told.
  std::jmp_buf out;

 private:
  struct alignas(std::max_align_t) block {
    block* before;
  };
  bool grow(std::size_t size) noexcept {
    const std::size_t wanted = std::max(size, next_);
    if (wanted > left_) return false;
    auto* const b = static_cast<block*>(std::malloc(sizeof(block) + wanted));
    if (b == nullptr) return false;
    left_ -= wanted;
    next_ = std::min(next_ * 2, std::size_t{1} << 20);
    b->before = std::exchange(last_, b);
    free_ = reinterpret_cast<std::byte*>(b + 1);
    room_ = wanted;
    return true;
  }
  block* last_ = nullptr;
  std::byte* free_ = nullptr;
  std::size_t room_ = 0;
  std::size_t next_ = 32 * 1024;
  std::size_t left_;
};

void* allocate(void* a, std::size_t size) {
  auto* const from = static_cast<arena*>(a);
  if (void* p = from->take(size)) return p;
  std::longjmp(from->out, 1);
}
void leave(void* /*arena*/, void* /*memory*/) {}

/// Null: it needs more memory than `a` has.
const GumboNode* parse(std::string_view text, arena& a) {
  GumboOptions o = kGumboDefaultOptions;
  o.allocator = allocate;
  o.deallocator = leave;
  o.userdata = &a;
  o.max_errors = 0;
  // Only gumbo's frames are jumped over, and those of C hold nothing.
  if (setjmp(a.out) != 0) return nullptr;  // NOLINT(modernize-avoid-setjmp-longjmp)
  return gumbo_parse_with_options(&o, text.data(), text.size())->document;
}

// ---- what attributes mean
// ------------------------------------------------------------------------

enum class form : std::uint8_t { address, list, set, commas };

struct rule {
  std::string_view attribute;
  form shape;
  link_use use;
  /// Elements that it means that on; none: on all.
  std::array<std::string_view, 8> elements;
};

using enum link_use;
constexpr std::array rules{
    rule{"href", form::address, navigation, {"a", "area"}},
    rule{"src",
         form::address,
         resource,
         {"img", "source", "script", "audio", "video", "track", "embed", "input"}},
    rule{"src", form::address, navigation, {"iframe", "frame"}},
    rule{"src", form::address, resource, {"bgsound"}},
    rule{"srcset", form::set, resource, {"img", "source"}},
    rule{"imagesrcset", form::set, resource, {"link"}},
    rule{"poster", form::address, resource, {"video"}},
    rule{"data", form::address, resource, {"object"}},
    rule{"cite", form::address, navigation, {"blockquote", "q", "ins", "del"}},
    rule{"action", form::address, submission, {"form"}},
    rule{"formaction", form::address, submission, {"button", "input"}},
    rule{"ping", form::list, submission, {"a", "area"}},
    rule{"manifest", form::address, resource, {"html"}},
    rule{"longdesc", form::address, navigation, {"img", "iframe", "frame"}},
    rule{"lowsrc", form::address, resource, {"img"}},
    rule{"dynsrc", form::address, resource, {"img"}},
    rule{"background",
         form::address,
         resource,
         {"body", "table", "thead", "tbody", "tfoot", "tr", "td", "th"}},
    rule{"archive", form::list, resource, {"object"}},
    rule{"archive", form::commas, resource, {"applet"}},
};

/// Of <meta property> and <meta name>: those whose content is a URL.
struct meta_rule {
  std::string_view name;
  link_use use;
};
constexpr std::array meta_rules{
    meta_rule{"og:url", navigation},
    meta_rule{"og:image", resource},
    meta_rule{"og:image:url", resource},
    meta_rule{"og:image:secure_url", resource},
    meta_rule{"og:video", resource},
    meta_rule{"og:video:url", resource},
    meta_rule{"og:video:secure_url", resource},
    meta_rule{"og:audio", resource},
    meta_rule{"og:audio:url", resource},
    meta_rule{"og:audio:secure_url", resource},
    meta_rule{"twitter:image", resource},
    meta_rule{"twitter:image:src", resource},
    meta_rule{"twitter:player", navigation},
    meta_rule{"twitter:url", navigation},
    meta_rule{"msapplication-tileimage", resource},
    meta_rule{"image", resource},
    meta_rule{"thumbnail", resource},
    meta_rule{"thumbnailurl", resource},
};

link_use use_of_link(std::string_view rel) {
  static constexpr std::array<std::string_view, 12> resources{"icon",
                                                              "apple-touch-icon",
                                                              "apple-touch-icon-precomposed",
                                                              "apple-touch-startup-image",
                                                              "mask-icon",
                                                              "fluid-icon",
                                                              "preload",
                                                              "modulepreload",
                                                              "prefetch",
                                                              "manifest",
                                                              "image_src",
                                                              "expect"};
  const auto says = [&](std::string_view word) { return has_word(rel, word); };
  if (says("stylesheet")) return stylesheet;
  if (std::ranges::any_of(resources, says)) return resource;
  if (says("preconnect") || says("dns-prefetch")) return hint;
  // They are posted to.
  if (says("pingback") || says("webmention")) return submission;
  return navigation;
}

bool is_code(const GumboElement& e) {
  switch (e.tag) {
    case GUMBO_TAG_PRE:
    case GUMBO_TAG_CODE:
    case GUMBO_TAG_SAMP:
    case GUMBO_TAG_KBD:
    case GUMBO_TAG_VAR:
    case GUMBO_TAG_TT:
    case GUMBO_TAG_LISTING:
    case GUMBO_TAG_XMP:
    case GUMBO_TAG_PLAINTEXT: return true;
    default: return false;
  }
}

std::string_view view(const GumboStringPiece& s) { return {s.data, s.length}; }
std::string_view text_of(const char* s) { return s != nullptr ? s : ""; }

/// The name in lower case, also of elements that HTML does not know.
std::string name_of(const GumboElement& e) {
  if (e.tag != GUMBO_TAG_UNKNOWN) return lower(gumbo_normalized_tagname(e.tag));
  std::string_view tag = view(e.original_tag);
  if (tag.starts_with('<')) tag.remove_prefix(1);
  return lower(tag.substr(0, std::min(tag.size(), tag.find_first_of(" \t\n\f\r/>"))));
}

/// Whether the parser made it a second time, from a tag that has been seen.
bool is_clone(const GumboNode& n) {
  return (n.parse_flags & (GUMBO_INSERTION_RECONSTRUCTED_FORMATTING_ELEMENT |
                           GUMBO_INSERTION_ADOPTION_AGENCY_CLONED)) != 0;
}

// ---- the walk
// ------------------------------------------------------------------------------------

class walker {
 public:
  walker(const markup& m, const segment& seen, gathering& out) : m_{m}, seen_{seen}, out_{out} {}

  void walk(const GumboNode* document) {
    // By hand: the depth is the document's.
    std::vector<std::pair<const GumboNode*, unsigned>> path{{document, 0}};
    while (!path.empty()) {
      auto& [node, next] = path.back();
      const GumboVector& children =
          node->type == GUMBO_NODE_DOCUMENT ? node->v.document.children : node->v.element.children;
      if (next == children.length) {
        if (node->type != GUMBO_NODE_DOCUMENT) end(*node);
        path.pop_back();
        continue;
      }
      const auto* const child = static_cast<const GumboNode*>(children.data[next++]);
      switch (child->type) {
        case GUMBO_NODE_ELEMENT:
        case GUMBO_NODE_TEMPLATE:
          begin(*child);
          path.emplace_back(child, 0);
          break;
        case GUMBO_NODE_TEXT:
        case GUMBO_NODE_CDATA:
        case GUMBO_NODE_WHITESPACE: text(*node, *child); break;
        default: break;
      }
    }
  }

 private:
  struct found {
    const char* name;  // which link: where its attribute stands
    std::size_t index;
  };

  [[nodiscard]] bool wanted() const {
    return (in_code_ == 0 || out_.how.code_blocks) && (in_template_ == 0 || out_.how.templates);
  }
  /// Where `p`, which points into the text that the parser saw, is in that text.
  [[nodiscard]] std::size_t offset(const char* p) const {
    return static_cast<std::size_t>(p - seen_.text.data());
  }
  [[nodiscard]] bool in_source(const char* p) const {
    return p >= seen_.text.data() && p < seen_.text.data() + seen_.text.size();
  }

  void begin(const GumboNode& n) {
    const GumboElement& e = n.v.element;
    if (n.type == GUMBO_NODE_TEMPLATE) ++in_template_;
    // What counts for its own attributes is what it stands in.
    const bool takes = wanted();
    if (is_code(e)) ++in_code_;
    if (e.tag == GUMBO_TAG_A) open_links_.push_back(none);
    if (is_clone(n)) {
      if (e.tag == GUMBO_TAG_A) open_links_.back() = original(e);
      return;
    }
    if (in_template_ == 0 && m_.nesting == 0) anchors(e);
    if (takes && e.attributes.length != 0) attributes(e, name_of(e));
  }

  void end(const GumboNode& n) {
    const GumboElement& e = n.v.element;
    if (n.type == GUMBO_NODE_TEMPLATE) --in_template_;
    if (is_code(e)) --in_code_;
    if (e.tag == GUMBO_TAG_A) open_links_.pop_back();
  }

  void text(const GumboNode& parent, const GumboNode& n) {
    const GumboText& t = n.v.text;
    const std::string_view s = text_of(t.text);
    if (parent.v.element.tag == GUMBO_TAG_STYLE && parent.type == GUMBO_NODE_ELEMENT) {
      const std::string_view raw = view(t.original_text);
      if (!wanted() || raw.empty()) return;
      const bool foreign = parent.v.element.tag_namespace != GUMBO_NAMESPACE_HTML;
      using coding = offset_map::coding;
      const auto how = foreign ? coding::foreign : coding::none;
      const auto where = offset_map::decoded(raw, s, how, offset(raw.data()), seen_.where);
      read_css(s, where, "style", "", out_);
      return;
    }
    if (!open_links_.empty() && open_links_.back() != none) {
      append_seen(out_.links()[open_links_.back()].text, s, view(t.original_text));
    }
  }

  /// The text `s`, which the parser made of `raw`, with what stand-ins in it stand for.
  void append_seen(std::string& to, std::string_view s, std::string_view raw) const {
    const std::size_t most = out_.how.max_text;
    if (in_source(raw.data())) {
      auto next = seen_.stand_in_from(offset(raw.data()));
      const std::size_t end = offset(raw.data()) + raw.size();
      for (; next != seen_.replaced.end() && next->at < end; ++next) {
        // (An attribute of a tag that the parser leaves out may be in between.)
        if (!seen_.text.substr(next->at).starts_with(link_text)) continue;
        const std::size_t before = s.find(link_text);
        if (before == s.npos) break;
        append_collapsed(to, s.substr(0, before), most);
        append_collapsed(to, m_.text.substr(next->begin, next->size), most);
        s.remove_prefix(before + link_text.size());
      }
    }
    append_collapsed(to, s, most);
  }

  void anchors(const GumboElement& e) {
    for (unsigned i = 0; i < e.attributes.length; ++i) {
      const auto& a = *static_cast<const GumboAttribute*>(e.attributes.data[i]);
      const std::string_view name = text_of(a.name);
      if (name == "id" || (name == "name" && e.tag == GUMBO_TAG_A)) {
        std::string id{value(a)};
        repair_utf8(id);
        out_.anchors().add(id);
      }
    }
  }

  /// What stands for the attribute's value; null: it is there itself.
  [[nodiscard]] const segment::stand_in* stand_in(const GumboAttribute& a) const {
    if (!in_source(a.original_value.data)) return nullptr;
    const std::size_t at = offset(a.original_value.data);
    const auto s = seen_.stand_in_from(at);
    return s != seen_.replaced.end() && s->at == at ? &*s : nullptr;
  }
  [[nodiscard]] std::string_view value(const GumboAttribute& a) const {
    const auto* const s = stand_in(a);
    return s != nullptr ? m_.text.substr(s->begin, s->size) : text_of(a.value);
  }
  [[nodiscard]] std::string_view value(const GumboElement& e, const char* name) const {
    const GumboAttribute* a = gumbo_get_attribute(&e.attributes, name);
    return a != nullptr ? value(*a) : std::string_view{};
  }

  void attributes(const GumboElement& e, const std::string& name) {
    const bool foreign = e.tag_namespace != GUMBO_NAMESPACE_HTML;
    if (e.tag == GUMBO_TAG_META && !foreign) return meta(e);
    link like{.raw = {}, .element = name, .attribute = {}, .text = {}, .rel = {}, .at = {}};
    const std::string_view rel = value(e, "rel");
    append_collapsed(like.rel, rel, 256);
    cut_text(like.rel, 256);
    like.rel = lower(like.rel);
    like.nofollow = has_word(rel, "nofollow");
    if (e.tag != GUMBO_TAG_A) {
      std::string_view seen = value(e, "alt");
      if (seen.empty()) seen = value(e, "title");
      append_collapsed(like.text, seen, out_.how.max_text);
    }
    for (unsigned i = 0; i < e.attributes.length; ++i) {
      const auto& a = *static_cast<const GumboAttribute*>(e.attributes.data[i]);
      attribute(e, a, like, foreign);
    }
    // An image in a link is what a reader sees of the link.
    if (e.tag == GUMBO_TAG_IMG && !open_links_.empty() && open_links_.back() != none) {
      append_collapsed(out_.links()[open_links_.back()].text, value(e, "alt"), out_.how.max_text);
    }
  }

  void attribute(const GumboElement& e, const GumboAttribute& a, link& like, bool foreign) {
    const std::string_view name = text_of(a.name);
    if (!in_source(a.original_name.data)) return;
    // <a href=""> leads to its own document; of the others none leads anywhere.
    if (text_of(a.value).empty() &&
        (name != "href" || (e.tag != GUMBO_TAG_A && e.tag != GUMBO_TAG_AREA))) {
      return;
    }
    if (name == "style") {
      read_css(value(a), mapped(a), like.element, "style", out_);
    } else if (name == "href" || name == "xlink:href") {
      href(e, a, like, foreign);
    } else if (!foreign) {
      if (name == "srcdoc" && e.tag == GUMBO_TAG_IFRAME) {
        if (m_.nesting < max_nesting) {
          read_markup({value(a), mapped(a), m_.nesting + 1}, out_);
        }
        return;
      }
      for (const rule& r : rules) {
        if (r.attribute == name &&
            std::ranges::find(r.elements, like.element) != r.elements.end()) {
          take(a, r.attribute, r.shape, r.use, like);
          return;
        }
      }
    }
  }

  void href(const GumboElement& e, const GumboAttribute& a, link& like, bool foreign) {
    const bool xlink = a.attr_namespace == GUMBO_ATTR_NAMESPACE_XLINK || text_of(a.name) != "href";
    const std::string_view shown = xlink ? "xlink:href" : "href";
    if (foreign || xlink) {
      const bool leads = e.tag == GUMBO_TAG_A || e.tag_namespace == GUMBO_NAMESPACE_MATHML;
      take(a, shown, form::address, leads ? navigation : resource, like);
    } else if (e.tag == GUMBO_TAG_BASE) {
      if (m_.nesting == 0 && in_template_ == 0) out_.set_base(value(a));
      return;
    } else if (e.tag == GUMBO_TAG_LINK) {
      take(a, shown, form::address, use_of_link(like.rel), like);
    } else if (e.tag == GUMBO_TAG_A || e.tag == GUMBO_TAG_AREA) {
      take(a, shown, form::address, navigation, like);
    } else {
      return;
    }
    if (e.tag == GUMBO_TAG_A && last_ != none) {
      open_links_.back() = last_;
      found_.push_back({a.original_name.data, last_});
    }
  }

  /// The link that a clone is the clone of. It cannot be far.
  [[nodiscard]] std::size_t original(const GumboElement& e) const {
    const GumboAttribute* a = gumbo_get_attribute(&e.attributes, "href");
    if (a == nullptr) return none;
    std::size_t looked = 0;
    for (auto f = found_.rbegin(); f != found_.rend() && looked < 64; ++f, ++looked) {
      if (f->name == a->original_name.data) return f->index;
    }
    return none;
  }

  struct inside {
    std::string_view raw;
    std::size_t at;
  };
  /// The value as it stands in the text, without its quotes. (Of gumbo's own `original_value` a
  /// character reference at the front is missing.)
  [[nodiscard]] inside source_of(const GumboAttribute& a) const {
    const std::string_view all = seen_.text;
    const std::size_t name_end = offset(a.original_name.data) + a.original_name.length;
    std::size_t at = name_end;
    const auto skip_space = [&] {
      while (at < all.size() && is_space(all[at])) ++at;
    };
    skip_space();
    if (at >= all.size() || all[at] != '=') return {{}, name_end};
    ++at;
    skip_space();
    if (at >= all.size()) return {{}, name_end};
    std::size_t end = at;
    if (all[at] == '"' || all[at] == '\'') {
      end = std::min(all.find(all[at], at + 1), all.size());
      ++at;
    } else {
      while (end < all.size() && !is_space(all[end]) && all[end] != '>') ++end;
    }
    return {all.substr(at, end - at), at};
  }
  [[nodiscard]] offset_map mapped(const GumboAttribute& a) const {
    if (const auto* const s = stand_in(a)) {
      offset_map m;
      m.add(0, m_.where, s->begin, s->size);
      return m;
    }
    const inside in = source_of(a);
    return offset_map::decoded(in.raw, text_of(a.value), offset_map::coding::references, in.at,
                               seen_.where);
  }

  void meta(const GumboElement& e) {
    const GumboAttribute* a = gumbo_get_attribute(&e.attributes, "content");
    if (a == nullptr || !in_source(a->original_name.data)) return;
    const std::string_view content = value(*a);
    link like{.raw = {}, .element = "meta", .attribute = {}, .text = {}, .rel = {}, .at = {}};
    if (equal_ignoring_case(value(e, "http-equiv"), "refresh")) {
      if (const auto address = refreshed(content)) {
        add(mapped(*a), static_cast<std::size_t>(address->begin() - content.begin()), *address,
            "content", navigation, like);
      }
      return;
    }
    const std::string_view name = value(e, "name");
    if (equal_ignoring_case(name, "robots") && m_.nesting == 0 && in_template_ == 0) {
      std::string words{content};
      std::ranges::replace(words, ',', ' ');
      if (has_word(words, "nofollow") || has_word(words, "none")) out_.made().nofollow = true;
    }
    for (const std::string_view key : {value(e, "property"), name, value(e, "itemprop")}) {
      for (const meta_rule& r : meta_rules) {
        if (equal_ignoring_case(key, r.name) && !content.empty()) {
          return take(*a, "content", form::address, r.use, like);
        }
      }
    }
  }

  /// The URL in the content of <meta http-equiv=refresh>.
  /// https://html.spec.whatwg.org/multipage/semantics.html#shared-declarative-refresh-steps
  static std::optional<std::string_view> refreshed(std::string_view s) {
    const auto skip_space = [&] {
      while (!s.empty() && is_space(s.front())) s.remove_prefix(1);
    };
    skip_space();
    if (s.empty() || (!is_digit(s.front()) && s.front() != '.')) return std::nullopt;
    while (!s.empty() && (is_digit(s.front()) || s.front() == '.')) s.remove_prefix(1);
    if (!s.empty() && s.front() != ';' && s.front() != ',' && !is_space(s.front()))
      return std::nullopt;
    skip_space();
    if (!s.empty() && (s.front() == ';' || s.front() == ',')) s.remove_prefix(1);
    skip_space();
    if (s.empty()) return std::nullopt;
    const std::string_view whole = s;
    if (starts_with_ignoring_case(s, "url")) {
      s.remove_prefix(3);
      skip_space();
      if (s.empty() || s.front() != '=') return whole;
      s.remove_prefix(1);
      skip_space();
    }
    if (!s.empty() && (s.front() == '"' || s.front() == '\'')) {
      const std::size_t end = s.find(s.front(), 1);
      return s.substr(1, end == s.npos ? s.npos : end - 1);
    }
    return s;
  }

  void take(const GumboAttribute& a, std::string_view name, form shape, link_use use, link& like) {
    last_ = none;
    std::string_view value = this->value(a);
    if (const auto* const s = stand_in(a); s != nullptr && shape == form::address) {
      const std::size_t front = strip(value);
      return put(m_.where(s->begin + front), value, name, use, like);
    }
    const offset_map map = mapped(a);
    if (shape == form::address) return add(map, 0, value, name, use, like);
    if (shape == form::set) return take_set(map, value, name, use, like);
    for (std::size_t at = 0; at < value.size();) {
      const auto parts = [&](char c) { return shape == form::commas ? c == ',' : is_space(c); };
      const auto* const end = std::find_if(value.begin() + at, value.end(), parts);
      const auto size = static_cast<std::size_t>(end - value.begin()) - at;
      if (size != 0) add(map, at, value.substr(at, size), name, use, like);
      at += size + 1;
    }
  }

  /// https://html.spec.whatwg.org/multipage/images.html#parsing-a-srcset-attribute
  void take_set(const offset_map& map, std::string_view s, std::string_view name, link_use use,
                link& like) {
    std::size_t at = 0;
    while (at < s.size()) {
      if (is_space(s[at]) || s[at] == ',') {
        ++at;
        continue;
      }
      const std::size_t begin = at;
      while (at < s.size() && !is_space(s[at])) ++at;
      std::string_view address = s.substr(begin, at - begin);
      if (address.ends_with(',')) {
        while (address.ends_with(',')) address.remove_suffix(1);
      } else {
        // Its descriptors, up to the next comma that is not in parentheses.
        for (int depth = 0; at < s.size() && (s[at] != ',' || depth != 0); ++at) {
          if (s[at] == '(') depth = 1;
          if (s[at] == ')') depth = 0;
        }
      }
      if (!address.empty()) add(map, begin, address, name, use, like);
    }
  }

  void add(const offset_map& map, std::size_t at, std::string_view address, std::string_view name,
           link_use use, link& like) {
    at += strip(address);
    put(map(at), address, name, use, like);
  }
  void put(std::size_t at, std::string_view address, std::string_view name, link_use use,
           link& like) {
    link l = like;
    l.raw = address.substr(0, url::max_input + 1);
    l.attribute = name;
    l.use = use;
    if (out_.add(std::move(l), at) != nullptr) last_ = out_.links().size() - 1;
  }

  static constexpr auto none = static_cast<std::size_t>(-1);

  const markup& m_;
  const segment& seen_;
  gathering& out_;
  std::size_t in_code_ = 0;
  std::size_t in_template_ = 0;
  std::size_t last_ = none;
  std::vector<std::size_t> open_links_;  // of each <a> that is open, its link
  std::vector<found> found_;
};

/// Reads the next piece, in smaller ones where it takes more memory than it should.
void read_segment(const markup& m, segmenter& pieces, const segment_limits& limits,
                  gathering& out) {
  const bool smallest = limits.depth <= 8;
  segmenter again = pieces;
  const segment s = pieces.next(limits);
  arena a{smallest ? static_cast<std::size_t>(-1) / 2
                   : (std::size_t{16} << 20) + 64 * s.text.size()};
  if (const GumboNode* document = parse(s.text, a)) {
    walker{m, s, out}.walk(document);
    return;
  }
  if (smallest) throw std::bad_alloc{};
  while (again.at() < s.end) read_segment(m, again, limits.smaller(), out);
  pieces = again;
}

}  // namespace

void read_markup(const markup& m, gathering& out) {
  segmenter pieces{m.text, m.where};
  while (!pieces.done()) read_segment(m, pieces, {}, out);
}

}  // namespace oneloop::inline v0::html::detail
