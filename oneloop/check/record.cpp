#include <utility>

#include "oneloop/base/error.hpp"
#include "oneloop/check/record_internal.hpp"
#include "oneloop/check/wire_internal.hpp"

namespace oneloop::inline v0::detail {
namespace {

constexpr int format = 1;

void put(wire_writer& to, const link_place& p) {
  to.put(p.line);
  to.put(p.column);
  to.put(std::string_view{p.text});
  to.put(std::string_view{p.element});
  to.put(std::string_view{p.fragment});
}

void get(wire_reader& from, link_place& p) {
  from.get(p.line);
  from.get(p.column);
  from.get(p.text);
  from.get(p.element);
  from.get(p.fragment);
}

void put(wire_writer& to, const std::vector<url_id>& ids) {
  to.put(ids.size());
  url_id last = 0;
  for (const url_id id : ids) to.put(std::int64_t{id} - std::exchange(last, id));
}

void get(wire_reader& from, std::vector<url_id>& ids) {
  url_id last = 0;
  for (auto n = from.get<std::uint64_t>(); n > 0; --n) {
    last = static_cast<url_id>(last + from.get<std::int64_t>());
    ids.push_back(last);
  }
}

}  // namespace

std::string url_record::bytes() const {
  wire_writer to;
  to.put(format);
  to.put(read | asked << 1 | not_read << 2 | from_cache << 3 | pending << 4 |
         moved.has_value() << 5 | anchors.has_value() << 6 | (moved && !moved->place.empty()) << 7);
  to.put(links);
  to.put(std::string_view{content_type});
  if (moved) {
    to.put(moved->to);
    to.put(moved->status);
    if (!moved->place.empty()) to.put(std::string_view{moved->place});
  }
  to.put(skipped.size());
  for (const auto n : skipped) to.put(n);
  put(to, navigated);
  put(to, anchored);
  to.put(fragments.size());
  for (const auto& f : fragments) {
    to.put(f.to);
    put(to, f.place);
  }
  to.put(false_links.size());
  for (const auto& f : false_links) {
    to.put(std::string_view{f.text});
    to.put(std::string_view{f.why});
    put(to, f.place);
  }
  if (anchors) to.put(std::string_view{*anchors});
  return to.take();
}

url_record url_record::of(std::string_view bytes) {
  wire_reader from{bytes};
  if (from.get<int>() != format) {
    throw error{make_error_code(errc::protocol), "a verdict in an unknown format"};
  }
  url_record r;
  const auto flags = from.get<unsigned>();
  r.read = (flags & 1U) != 0;
  r.asked = (flags & 2U) != 0;
  r.not_read = (flags & 4U) != 0;
  r.from_cache = (flags & 8U) != 0;
  r.pending = (flags & 16U) != 0;
  from.get(r.links);
  from.get(r.content_type);
  if ((flags & 32U) != 0) {
    r.moved.emplace();
    from.get(r.moved->to);
    from.get(r.moved->status);
    if ((flags & 128U) != 0) from.get(r.moved->place);
  }
  const auto reasons = from.get<std::size_t>();
  for (std::size_t i = 0; i < reasons; ++i) {
    const auto n = from.get<std::uint64_t>();
    if (i < r.skipped.size()) r.skipped[i] = n;
  }
  get(from, r.navigated);
  get(from, r.anchored);
  for (auto n = from.get<std::uint64_t>(); n > 0; --n) {
    auto& f = r.fragments.emplace_back();
    from.get(f.to);
    get(from, f.place);
  }
  for (auto n = from.get<std::uint64_t>(); n > 0; --n) {
    auto& f = r.false_links.emplace_back();
    from.get(f.text);
    from.get(f.why);
    get(from, f.place);
  }
  if ((flags & 64U) != 0) from.get(r.anchors.emplace());
  return r;
}

}  // namespace oneloop::inline v0::detail
