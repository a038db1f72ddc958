#include <variant>

#include "crawl_report_internal.hpp"
#include "report_json.hpp"

namespace tool {
namespace {

json number_or_null(std::uint64_t n) { return n != 0 ? json(n) : json(nullptr); }

json to_json(const oneloop::crawl_source& s) {
  json j;
  j["page"] = s.page;
  j["line"] = number_or_null(s.place.line);
  j["column"] = number_or_null(s.place.column);
  j["text"] = s.place.text;
  j["element"] = s.place.element;
  return j;
}

/// A start page has no source.
json source_or_null(const oneloop::crawl_source& s) {
  return s.page.empty() ? json(nullptr) : to_json(s);
}

template <class Sources>
json to_json_all(const Sources& sources) {
  json all = json::array();
  for (const auto& s : sources) all.push_back(to_json(s));
  return all;
}

json failure(std::string_view url, int status, const oneloop::check_error& error) {
  json j;
  j["url"] = url;
  j["reason"] = error.message();
  j["kind"] = to_string(error.kind());
  j["status"] = status != 0 ? json(status) : json(nullptr);
  return j;
}

json missing(const oneloop::crawl_broken_fragment& b) {
  json j;
  j["url"] = b.url;
  j["fragment"] = b.fragment;
  j["reason"] = reason_of(b);
  return j;
}

json skipped(const oneloop::crawl_report& r) {
  json j = json::object();
  for (std::size_t i = 0; i < oneloop::crawl_skip_reasons; ++i) {
    j[std::string{to_string(static_cast<oneloop::crawl_skip_reason>(i))}] = r.skipped.at(i);
  }
  return j;
}

json hosts(const oneloop::crawl_report& r) {
  json all = json::array();
  for (const auto& h : r.hosts) {
    all.push_back({{"name", h.name},
                   {"requests", h.requests},
                   {"bad", h.bad},
                   {"pauses", h.pauses},
                   {"mean_ms", milliseconds(h.mean)},
                   {"slowest_ms", milliseconds(h.slowest)}});
  }
  return all;
}

/// One document, a line for each thing that people may look for in it with grep.
class json_writer final : public crawl_writer {
 public:
  std::string event(const oneloop::crawl_event& e) override {
    if (const auto* f = std::get_if<oneloop::crawl_found_link>(&e)) {
      json j = {{"url", f->url}, {"source", source_or_null(f->source)}};
      list(found_, j);
    }
    return {};
  }

  std::string end(const oneloop::crawl_report& r) override {
    std::string text = "{";
    const auto field = [&text](std::string_view name, std::string_view value) {
      if (text.size() > 1) text += ",\n ";
      text.append("\"").append(name).append("\": ").append(value);
    };
    field("start", dump(json(r.start)));
    field("pages", std::to_string(r.pages));
    field("links", std::to_string(r.links));
    field("urls", std::to_string(r.urls));
    field("not_html", std::to_string(r.not_read));
    if (!found_.empty()) field("found", closed(found_));
    std::string all;
    for (const auto& b : r.broken) {
      json j = failure(b.url, b.status, b.error);
      j["linked"] = b.linked;
      j["sources"] = to_json_all(b.sources);
      list(all, j);
    }
    field("broken", closed(all));
    all.clear();
    for (const auto& p : by_place(r)) {
      json j = missing(*p.first);
      j["sources"] = json::array();
      for (const auto* s : p.sources) j["sources"].push_back(to_json(*s));
      list(all, j);
    }
    field("fragments", closed(all));
    all.clear();
    for (const auto& d : r.redirects) {
      json j = tool::to_json(oneloop::check_redirect{d.status, d.from, d.to});
      j["sources"] = to_json_all(d.sources);
      list(all, j);
    }
    field("redirects", closed(all));
    field("skipped", dump(skipped(r)));
    all.clear();
    for (const auto& h : hosts(r)) list(all, h);
    field("hosts", closed(all));
    field("resumed", r.resumed ? "true" : "false");
    field("elapsed_ms", dump(json(milliseconds(r.elapsed))));
    return text + "}\n";
  }

 private:
  static void list(std::string& to, const json& item) {
    to.append(to.empty() ? "[\n  " : ",\n  ").append(dump(item));
  }
  static std::string closed(const std::string& items) {
    return items.empty() ? "[]" : items + "\n ]";
  }

  std::string found_;
};

/// An object a line, each with its "type".
class ndjson_writer final : public streaming_crawl_writer {
  std::string broken(const oneloop::crawl_broken_link& b) override {
    json j = failure(b.url, b.status, b.error);
    j["source"] = source_or_null(b.source);
    return line("broken", j);
  }

  std::string broken(const oneloop::crawl_broken_fragment& b) override {
    json j = missing(b);
    j["source"] = to_json(b.source);
    return line("fragment", j);
  }

  std::string other(const oneloop::crawl_event& e) override {
    return std::visit([this](const auto& each) { return this->of(each); }, e);
  }

  std::string of(const oneloop::crawl_broken_link& b) { return broken(b); }
  std::string of(const oneloop::crawl_broken_fragment& b) { return broken(b); }

  static std::string of(const oneloop::crawl_verdict& v) {
    json j = tool::to_json(v.result);
    j["depth"] = v.depth;
    j["internal"] = v.internal;
    j["read"] = v.read;
    j["links"] = v.links;
    j["from_cache"] = v.from_cache;
    j["content_type"] = v.content_type.empty() ? json(nullptr) : json(v.content_type);
    return line("verdict", j);
  }

  static std::string of(const oneloop::crawl_skipped_link& s) {
    return line(
        "skipped",
        {{"url", s.url}, {"reason", to_string(s.why)}, {"source", source_or_null(s.source)}});
  }

  static std::string of(const oneloop::crawl_not_read& n) {
    return line("not_html", {{"url", n.url}, {"content_type", n.content_type}});
  }

  static std::string of(const oneloop::crawl_found_link& f) {
    return line("link", {{"url", f.url}, {"source", source_or_null(f.source)}});
  }

  static std::string of(const oneloop::crawl_note& n) { return line("note", {{"text", n.text}}); }

  std::string last(const oneloop::crawl_report& r) override {
    json j;
    j["start"] = r.start;
    j["pages"] = r.pages;
    j["links"] = r.links;
    j["urls"] = r.urls;
    j["not_html"] = r.not_read;
    j["broken"] = r.broken.size();
    j["fragments"] = r.fragments.size();
    j["redirects"] = r.redirects.size();
    j["skipped"] = skipped(r);
    j["hosts"] = hosts(r);
    j["resumed"] = r.resumed;
    j["elapsed_ms"] = milliseconds(r.elapsed);
    return line("summary", j);
  }

  static std::string line(std::string_view type, const json& fields) {
    json j;
    j["type"] = type;
    j.update(fields);
    return dump(j) + "\n";
  }
};

}  // namespace

std::unique_ptr<crawl_writer> json_crawl_writer() { return std::make_unique<json_writer>(); }
std::unique_ptr<crawl_writer> ndjson_crawl_writer() { return std::make_unique<ndjson_writer>(); }

}  // namespace tool
