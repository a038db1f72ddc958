#include "report.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cmath>

#include "output.hpp"
#include "report_json.hpp"

namespace tool {
double milliseconds(oneloop::duration d) {
  return std::round(std::chrono::duration<double, std::milli>(d).count() * 1000) / 1000;
}

std::string dump(const json& j) { return j.dump(-1, ' ', false, json::error_handler_t::replace); }

json to_json(const oneloop::check_redirect& r) {
  return {{"status", r.status}, {"from", r.from}, {"to", r.to}};
}

json to_json(const oneloop::check_result& r) {
  json j;
  j["url"] = r.url;
  j["ok"] = r.ok;
  j["status"] = r.status != 0 ? json(r.status) : json(nullptr);
  j["final_url"] = r.final_url.empty() ? json(nullptr) : json(r.final_url);
  json error(nullptr);
  if (r.error) {
    error = json::object();
    error["kind"] = to_string(r.error->kind());
    error["message"] = r.error->message();
  }
  j["error"] = std::move(error);
  json redirects = json::array();
  for (const auto& step : r.redirects) redirects.push_back(to_json(step));
  j["redirects"] = std::move(redirects);
  j["attempts"] = r.attempts;
  j["bytes"] = r.bytes;
  json times = json::object();
  times["dns"] = milliseconds(r.times.dns);
  times["connect"] = milliseconds(r.times.connect);
  times["tls"] = milliseconds(r.times.tls);
  times["first_byte"] = milliseconds(r.times.first_byte);
  times["total"] = milliseconds(r.times.total);
  j["time_ms"] = std::move(times);
  return j;
}

std::string report::result(const oneloop::check_result& r) {
  if (format_ == report_format::text) {
    std::string line = printable(r.url);
    if (r.ok) {
      line += " OK\n";
    } else {
      line.append(" Bad: ").append(printable(r.error ? r.error->message() : "")).append("\n");
    }
    return line;
  }
  if (format_ == report_format::ndjson) return dump(to_json(r)) + "\n";
  std::string text = begun_ ? ",\n  " : "{\"results\": [\n  ";
  begun_ = true;
  text += dump(to_json(r));
  return text;
}

std::string report::end(const oneloop::check_summary& s) {
  if (format_ != report_format::json) return {};
  json kinds = json::object();
  for (std::size_t i = 0; i < oneloop::check_summary::kinds; ++i) {
    const auto kind = static_cast<oneloop::http::error_kind>(i);
    if (kind == oneloop::http::error_kind::missing) continue;  // of files, and so of crawls
    kinds[std::string{to_string(kind)}] = s.bad(kind);
  }
  json j = json::object();
  j["total"] = s.total();
  j["ok"] = s.ok();
  j["bad"] = s.bad();
  j["by_kind"] = std::move(kinds);
  j["seconds"] = milliseconds(s.time()) / 1000;
  std::string text = begun_ ? "\n],\n\"summary\": " : "{\"results\": [],\n\"summary\": ";
  text.append(dump(j)).append("}\n");
  return text;
}

std::string details(const oneloop::check_result& r) {
  const auto& t = r.times;
  std::string text =
      fmt::format("{}: {} in {:.1f} ms", r.url,
                  r.status != 0 ? std::to_string(r.status) : "no answer", milliseconds(t.total));
  if (r.attempts != 1) text += fmt::format(", {} tries", r.attempts);
  text += fmt::format(" (dns {:.1f}, connect {:.1f}, tls {:.1f}, first byte {:.1f})",
                      milliseconds(t.dns), milliseconds(t.connect), milliseconds(t.tls),
                      milliseconds(t.first_byte));
  text = "oneloop: " + printable(text) + "\n";
  for (const auto& step : r.redirects) {
    text += "oneloop:   " + printable(fmt::format("{} to {}", step.status, step.to)) + "\n";
  }
  if (!r.warning.empty()) text += "oneloop:   warning: " + printable(r.warning) + "\n";
  return text;
}

std::string summary_line(const oneloop::check_summary& s) {
  return fmt::format("{} URL{}, {} OK, {} Bad in {:.2f} s", s.total(), s.total() == 1 ? "" : "s",
                     s.ok(), s.bad(), std::chrono::duration<double>(s.time()).count());
}

}  // namespace tool
