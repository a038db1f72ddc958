// The heads of HTTP messages as values: method, target, status, and an ordered list of header
// fields.
//
// Field names compare without regard to case and keep the spelling and the order they came in.
//
//     oneloop::http::request_head r{"GET", "/index.html"};
//     r.fields.add("Host", "example.org");
//     r.fields.set("Accept", "*/*");
//     assert(r.fields.get("host") == "example.org");
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "oneloop/base/config.hpp"

namespace oneloop::inline v0::http {

/// Equal but for the case of ASCII letters.
ONELOOP_API bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept;

/// One field of a list; a view into it.
struct field {
  std::string_view name;
  std::string_view value;
};

/// Header fields in order. Views that it gives away live until the list is changed.
///
/// Cost: two allocations for all fields together. Lookup walks the list.
class ONELOOP_API headers {
 public:
  headers() = default;

  /// Appends a field. Errors: misuse if `name` is no token or `value` has a line break or a NUL in
  /// it, which would let data become headers; or past 4 GiB.
  void add(std::string_view name, std::string_view value);
  /// Replaces all fields of that name by one, at the place of the first.
  void set(std::string_view name, std::string_view value);
  /// Removes all fields of that name; how many there were.
  std::size_t remove(std::string_view name) noexcept;
  void clear() noexcept;

  /// The value of the first field of that name.
  [[nodiscard]] std::optional<std::string_view> get(std::string_view name) const noexcept;
  [[nodiscard]] bool contains(std::string_view name) const noexcept {
    return get(name).has_value();
  }
  /// The value of a field that can only have one, such as Location. Equal repetitions count as one.
  /// Errors: oneloop::error (errc::protocol) if there are two different ones.
  [[nodiscard]] std::optional<std::string_view> single(std::string_view name) const;
  /// All values of that name, joined by ", " in order.
  [[nodiscard]] std::string joined(std::string_view name) const;
  /// Does a comma-separated list field hold `token`? has_token("Connection", "close").
  [[nodiscard]] bool has_token(std::string_view name, std::string_view token) const noexcept;

  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }
  [[nodiscard]] bool empty() const noexcept { return entries_.empty(); }
  [[nodiscard]] field operator[](std::size_t i) const noexcept {
    const entry& e = entries_[i];
    return {{text_.data() + e.begin, e.name_size},
            {text_.data() + e.begin + e.name_size, e.value_size}};
  }

  class iterator {
   public:
    using value_type = field;
    using difference_type = std::ptrdiff_t;
    iterator() = default;
    iterator(const headers* list, std::size_t i) noexcept : list_{list}, i_{i} {}
    field operator*() const noexcept { return (*list_)[i_]; }
    iterator& operator++() noexcept {
      ++i_;
      return *this;
    }
    iterator operator++(int) noexcept { return {list_, i_++}; }
    friend bool operator==(const iterator&, const iterator&) = default;

   private:
    const headers* list_ = nullptr;
    std::size_t i_ = 0;
  };
  [[nodiscard]] iterator begin() const noexcept { return {this, 0}; }
  [[nodiscard]] iterator end() const noexcept { return {this, entries_.size()}; }

 private:
  struct entry {
    std::uint32_t begin;
    std::uint32_t name_size;
    std::uint32_t value_size;
  };
  std::string text_;
  std::vector<entry> entries_;
};

/// What a request starts with.
struct request_head {
  request_head() = default;
  request_head(std::string method_, std::string target_)
      : method{std::move(method_)}, target{std::move(target_)} {}

  std::string method = "GET";
  std::string target = "/";  // as it goes over the wire: "/path?query", a whole URL, "*"
  int minor_version = 1;     // HTTP/1.<minor>
  headers fields;
};

/// What a response starts with.
struct response_head {
  response_head() = default;
  explicit response_head(int status_) : status{status_} {}

  int status = 200;
  std::string reason;     // empty: the serialiser writes the usual one
  int minor_version = 1;  // HTTP/1.<minor>
  headers fields;
};

/// "Not Found" for 404; empty for a status without a usual text.
ONELOOP_API std::string_view reason_phrase(int status) noexcept;

}  // namespace oneloop::inline v0::http
