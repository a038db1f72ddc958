// Texts that have beginnings in common, each kept once: a tree of pieces. What stands for a text is
// the number of its last piece; equal texts have equal numbers. Internal to check/.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "oneloop/base/error.hpp"

namespace oneloop::inline v0::detail {

/// Cost of a piece: 12 bytes, its text with 1 to 3 more, and 5 to 11 in the table.
class text_tree {
 public:
  using node = std::uint32_t;
  static constexpr node root = 0;
  static constexpr std::uint32_t no_value = ~std::uint32_t{0};

  /// The number of the text that is `parent`'s and then `piece`.
  node add(node parent, std::string_view piece) {
    if ((nodes_.size() + 1) * 4 > table_.size() * 3) grow();
    const std::size_t slot = slot_of(parent, piece);
    if (table_[slot] == root) {
      nodes_.push_back({parent, store(piece), no_value});
      table_[slot] = static_cast<node>(nodes_.size() - 1);
    }
    return table_[slot];
  }
  /// The number of a URL: in pieces that end with a slash, and the query as one.
  node add_url(std::string_view url) {
    node at = root;
    each_piece(url, [&](std::string_view piece) {
      at = add(at, piece);
      return true;
    });
    return at;
  }
  /// The same for one that may be unknown: `root`.
  [[nodiscard]] node find_url(std::string_view url) const noexcept {
    node at = root;
    if (table_.empty()) return at;
    each_piece(url, [&](std::string_view piece) {
      at = table_[slot_of(at, piece)];
      return at != root;
    });
    return at;
  }
  void append(std::string& to, node n) const {
    std::size_t size = 0;
    for (node i = n; i != root; i = nodes_[i].parent) size += text(nodes_[i]).size();
    to.resize(to.size() + size);
    char* end = to.data() + to.size();
    for (node i = n; i != root; i = nodes_[i].parent) {
      const auto piece = text(nodes_[i]);
      end -= piece.size();
      std::memcpy(end, piece.data(), piece.size());
    }
  }
  [[nodiscard]] std::string operator[](node n) const {
    std::string result;
    append(result, n);
    return result;
  }
  /// What its user keeps with a text.
  [[nodiscard]] std::uint32_t value(node n) const noexcept { return nodes_[n].value; }
  void set_value(node n, std::uint32_t v) noexcept { nodes_[n].value = v; }

  [[nodiscard]] std::size_t memory() const noexcept {
    return nodes_.capacity() * sizeof(entry) + table_.capacity() * sizeof(node) +
           chunks_.size() * chunk_size;
  }

 private:
  struct entry {
    node parent;
    std::uint32_t text;  // where it is: its size, 7 bits a byte, and then itself
    std::uint32_t value;
  };
  static constexpr int max_pieces = 24;
  static constexpr std::size_t chunk_size = std::size_t{1} << 20U;
  static constexpr std::size_t max_size = 5;  // of a size

  [[nodiscard]] std::string_view text(const entry& e) const noexcept {
    const char* at = chunks_[e.text / chunk_size].get() + e.text % chunk_size;
    std::size_t size = 0;
    for (unsigned shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(*at++);
      size |= std::size_t{byte & 127U} << shift;
      if (byte < 128) return {at, size};
    }
  }
  std::uint32_t store(std::string_view piece) {
    std::array<char, max_size> head{};
    std::size_t n = 0;
    for (std::size_t rest = piece.size(); n == 0 || rest != 0; rest >>= 7U) {
      head[n++] = static_cast<char>((rest & 127U) | (rest > 127 ? 128U : 0U));
    }
    if (n + piece.size() > chunk_size) {
      throw error{make_error_code(errc::limit_exceeded), "a text of more than 1 MiB"};
    }
    if (chunks_.empty() || used_ + n + piece.size() > chunk_size) {
      if (chunks_.size() == (std::size_t{1} << 32U) / chunk_size) {
        throw error{make_error_code(errc::limit_exceeded), "texts of more than 4 GiB"};
      }
      chunks_.push_back(std::make_unique_for_overwrite<char[]>(chunk_size));
      used_ = 0;
    }
    char* at = chunks_.back().get() + used_;
    std::memcpy(at, head.data(), n);
    std::memcpy(at + n, piece.data(), piece.size());
    const auto where = (chunks_.size() - 1) * chunk_size + used_;
    used_ += n + piece.size();
    return static_cast<std::uint32_t>(where);
  }
  /// Seeded: nobody can make URLs that all fall into one place.
  [[nodiscard]] std::size_t hash(node parent, std::string_view piece) const noexcept {
    std::uint64_t h = seed_ + parent;
    const auto mix = [&h](std::uint64_t w) {
      h = (h ^ w) * 0x9E3779B97F4A7C15U;
      h ^= h >> 29U;
    };
    while (piece.size() > 8) {
      std::uint64_t w = 0;
      std::memcpy(&w, piece.data(), 8);
      mix(w);
      piece.remove_prefix(8);
    }
    std::uint64_t w = 0;
    std::memcpy(&w, piece.data(), piece.size());
    mix(w);
    mix(piece.size());
    return static_cast<std::size_t>(h);
  }
  /// Where it is, or a free place.
  [[nodiscard]] std::size_t slot_of(node parent, std::string_view piece) const noexcept {
    std::size_t slot = hash(parent, piece) & (table_.size() - 1);
    while (table_[slot] != root) {
      const entry& e = nodes_[table_[slot]];
      if (e.parent == parent && text(e) == piece) break;
      slot = (slot + 1) & (table_.size() - 1);
    }
    return slot;
  }
  /// Until `take` gives false.
  template <class Take>
  static void each_piece(std::string_view url, Take take) {
    std::size_t from = 0, slashes = 0;
    for (int pieces = 0; pieces < max_pieces; ++pieces) {
      std::size_t end = from;
      while (end < url.size() && url[end] != '?' && !(url[end] == '/' && ++slashes >= 3)) ++end;
      if (end < url.size() && url[end] == '/') ++end;
      if (end == from || end == url.size()) break;  // at the query, or the last piece
      if (!take(url.substr(from, end - from))) return;
      from = end;
    }
    if (from < url.size()) take(url.substr(from));
  }
  void grow() {
    table_.assign(std::max<std::size_t>(table_.size() * 2, 64), root);
    for (node n = 1; n < nodes_.size(); ++n) {
      table_[slot_of(nodes_[n].parent, text(nodes_[n]))] = n;
    }
  }

  std::uint64_t seed_ = (std::uint64_t{std::random_device{}()} << 32U) | std::random_device{}();
  std::vector<entry> nodes_{entry{root, 0, no_value}};  // the root is never looked at
  std::vector<node> table_;                             // root: free
  std::vector<std::unique_ptr<char[]>> chunks_;
  std::size_t used_ = 0;  // of the last one
};

}  // namespace oneloop::inline v0::detail
