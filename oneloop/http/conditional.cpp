#include "oneloop/http/conditional.hpp"

#include "oneloop/base/error.hpp"

namespace oneloop::inline v0::http {
namespace {

std::string only(const headers& fields, std::string_view name) {
  try {
    return std::string{fields.single(name).value_or("")};
  } catch (const error&) {  // two different ones
    return {};
  }
}

void set(headers& fields, std::string_view name, const std::string& value) {
  value.empty() ? (void)fields.remove(name) : fields.set(name, value);
}

}  // namespace

validators validators::of(const headers& response) {
  return {only(response, "ETag"), only(response, "Last-Modified")};
}

void validators::ask(headers& request) const {
  set(request, "If-None-Match", etag);
  set(request, "If-Modified-Since", last_modified);
}

}  // namespace oneloop::inline v0::http
