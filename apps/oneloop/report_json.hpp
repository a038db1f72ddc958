// What the JSON of `check` and that of `crawl` share.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "oneloop/base/clock.hpp"
#include "oneloop/check/check.hpp"

namespace tool {

using json = nlohmann::ordered_json;

/// With three digits behind the point.
double milliseconds(oneloop::duration d);

/// On one line. Inputs and servers may send any bytes: what is not UTF-8 becomes U+FFFD.
std::string dump(const json& j);

json to_json(const oneloop::check_result& r);
json to_json(const oneloop::check_redirect& r);

}  // namespace tool
