// A file of settings (TOML): the long options of a command, without their dashes.
//
//     [crawl]
//     external = "skip"
//     per-host = 4
//     fragments = true
//     exclude = ["/private/", '\.pdf$']
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tool {

/// One value: a text, or a number or a boolean as it would be written on the command line.
struct config_value {
  std::string text;
  bool boolean = false;  // "true" or "false"
  std::uint32_t line = 0;
};

struct config_setting {
  std::string key;
  std::vector<config_value> values;  // of a list: all of it
  bool list = false;
  std::uint32_t line = 0;
};

/// The settings of `table`, in the order of the file. Throws usage_error, which names file and
/// line, if it is no TOML, has other tables, or a value is of no use for an option (a date, a
/// table).
std::vector<config_setting> read_config(const std::string& file, std::string_view table);

}  // namespace tool
