#include "config_file.hpp"

#include <fmt/format.h>

#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "arguments.hpp"
#include "small_file.hpp"

namespace tool {
namespace {

std::uint32_t line_of(const toml::node& n) { return n.source().begin.line; }

[[noreturn]] void refuse(const std::string& file, std::uint32_t line, std::string_view what,
                         std::string_view why) {
  throw usage_error{fmt::format("{}:{}: {}: {}", file, line, what, why)};
}

std::optional<config_value> value_of(const toml::node& n) {
  config_value v;
  v.line = line_of(n);
  if (const auto* text = n.as_string()) {
    v.text = text->get();
  } else if (const auto* number = n.as_integer()) {
    v.text = std::to_string(number->get());
  } else if (const auto* real = n.as_floating_point()) {
    v.text = fmt::format("{}", real->get());
  } else if (const auto* yes = n.as_boolean()) {
    v.text = yes->get() ? "true" : "false";
    v.boolean = true;
  } else {
    return {};
  }
  return v;
}

config_setting setting_of(const std::string& file, const toml::key& key, const toml::node& n) {
  config_setting s;
  s.key = key.str();
  s.line = key.source().begin.line;
  const auto add = [&](const toml::node& item) {
    auto v = value_of(item);
    if (!v) {
      refuse(file, line_of(item), s.key,
             "must be a text, a number, true or false, or a list of these");
    }
    s.values.push_back(*std::move(v));
  };
  if (const auto* list = n.as_array()) {
    s.list = true;
    for (const toml::node& item : *list) add(item);
  } else {
    add(n);
  }
  return s;
}

}  // namespace

std::vector<config_setting> read_config(const std::string& file, std::string_view table) {
  const std::string text = read_small_file("--config", file);
  const toml::parse_result parsed = toml::parse(text, file);
  if (!parsed) {
    const auto& at = parsed.error().source().begin;
    throw usage_error{
        fmt::format("{}:{}:{}: {}", file, at.line, at.column, parsed.error().description())};
  }
  std::vector<config_setting> settings;
  for (const auto& [key, node] : parsed.table()) {
    const auto* settings_of = node.as_table();
    if (key.str() != table || settings_of == nullptr) {
      refuse(file, key.source().begin.line, key.str(),
             fmt::format("not known: settings stand below [{}]", table));
    }
    for (const auto& [name, value] : *settings_of)
      settings.push_back(setting_of(file, name, value));
  }
  std::ranges::stable_sort(settings, {}, &config_setting::line);
  return settings;
}

}  // namespace tool
