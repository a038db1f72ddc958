// The places in a document that a fragment can lead to.
//
//     oneloop::html::anchor_set a;
//     a.add("Überblick");
//     assert(a.contains("%C3%9Cberblick") && a.contains("top") && !a.contains("überblick"));
#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <string_view>

#include "oneloop/base/config.hpp"

namespace oneloop::inline v0::html {

/// Every id of a document, and the names of its <a> elements. A value; a read from several threads
/// at once is fine. Cost: O(log n) a name and a question.
class ONELOOP_API anchor_set {
  /// Whatever the case of ASCII letters; equal ones by their bytes.
  struct ONELOOP_API order {
    using is_transparent = void;
    struct in_any_case {
      std::string_view text;
    };
    [[nodiscard]] bool operator()(std::string_view a, std::string_view b) const noexcept;
    [[nodiscard]] bool operator()(std::string_view a, in_any_case b) const noexcept;
    [[nodiscard]] bool operator()(in_any_case a, std::string_view b) const noexcept;
  };

 public:
  using value_type = std::string;
  using const_iterator = std::set<std::string, order>::const_iterator;

  /// Empty names are no anchors.
  void add(std::string_view name);

  /// Whether a browser finds a place for `fragment` (what url::fragment() gives, without "#"): it
  /// compares case-sensitively, as it stands and then percent-decoded. Always there: the empty
  /// fragment, "top" in any case, and text fragments (":~:text=..."), which never fail: what stands
  /// before ":~:" counts.
  [[nodiscard]] bool contains(std::string_view fragment) const;
  /// The anchor that differs from `fragment` only in the case of ASCII letters, or "": for
  /// messages. The view lives as long as the set.
  [[nodiscard]] std::string_view find_other_case(std::string_view fragment) const;

  [[nodiscard]] std::size_t size() const noexcept { return names_.size(); }
  [[nodiscard]] bool empty() const noexcept { return names_.empty(); }
  /// In order, whatever their case.
  [[nodiscard]] const_iterator begin() const noexcept { return names_.begin(); }
  [[nodiscard]] const_iterator end() const noexcept { return names_.end(); }

  friend bool operator==(const anchor_set&, const anchor_set&) = default;

 private:
  std::set<std::string, order> names_;
};

}  // namespace oneloop::inline v0::html
