// The site of the demo: about 200 URLs on 127.0.0.1, http and https, with an authority made on the
// spot; for each URL it is known what a checker must say.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "oneloop/http/error.hpp"
#include "oneloop/scope/nursery.hpp"

namespace tool {

/// One URL, and what is to be said of it.
struct expectation {
  std::string url;
  std::optional<oneloop::http::error_kind> bad;  // nothing: it is OK
  int status = 200;                              // 0: there is no response
};

class demo_site {
 public:
  demo_site();
  ~demo_site();
  demo_site(const demo_site&) = delete;
  demo_site& operator=(const demo_site&) = delete;

  /// Starts its servers in `n`: cancel that to stop them.
  void start(oneloop::nursery& n);
  [[nodiscard]] const std::vector<expectation>& pages() const noexcept;
  /// The path of a file with the authority's certificate.
  [[nodiscard]] const std::string& ca_file() const noexcept;

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace tool
