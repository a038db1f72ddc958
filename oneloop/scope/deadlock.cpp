#include "oneloop/scope/deadlock.hpp"

#include <algorithm>
#include <map>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

#include "oneloop/base/log.hpp"
#include "oneloop/loop/lock_watch.hpp"
#include "oneloop/scope/context.hpp"

namespace oneloop::inline v0 {
namespace {

std::string label(const context& c) {
  static constexpr const char* kinds[] = {"task", "fiber", "thread", "callback"};
  std::string text = kinds[static_cast<std::size_t>(c.kind())];
  const std::string_view name = c.name();
  if (name != text && name != "task") return text.append(" ").append(name);
  const auto& at = c.spawned_at();
  if (at.line() == 0) {
    return c.ordinal() == 0 ? text : text.append(" #").append(std::to_string(c.ordinal()));
  }
  std::string_view file = at.file_name();
  if (auto slash = file.rfind('/'); slash != file.npos) file.remove_prefix(slash + 1);
  return text.append(" of ").append(file).append(":").append(std::to_string(at.line()));
}

class lock_graph {
 public:
  // `who` waits, until it is forgotten; on its home thread.
  void waits(context& who) {
    const operation_info* info = who.waiting_for();
    if (info == nullptr || info->lock == nullptr || !who.claim_word().is_open()) return;
    auto& w = waits_[who.identity()];
    if (w.who == nullptr) order_.push_back(who.identity());
    w = {label(who), &who, who.operation(), info};
  }
  void waits_no_more(party_id who) noexcept {
    if (waits_.erase(who) != 0) std::erase(order_, who);
  }
  void holds(const void* lock, party_id who) { holds_.emplace(lock, who); }
  void holds_no_more(const void* lock, party_id who) noexcept {
    const auto [first, last] = holds_.equal_range(lock);
    const auto it = std::find_if(first, last, [&](const auto& h) { return h.second == who; });
    if (it != last) holds_.erase(it);
  }
  /// A party of the loop.
  void add(context& c) {
    names_.emplace(c.identity(), &c);
    home_ = c.home()->id();
    waits(c);
    for (party_value* v = c.values; v != nullptr; v = v->older) {
      if (v->lock() == nullptr) continue;
      holds_no_more(v->key, c.identity());  // it may be watched, too
      holds(v->key, c.identity());
    }
  }

  /// "A holds x, waits y; B holds y, waits x" of the cycle that `who` is in; empty if it is in
  /// none.
  [[nodiscard]] std::string cycle(party_id who) {
    std::vector<party_id> path, seen;
    if (!leads_to(who, who, path, seen)) return {};
    // Each waits for what the next one holds.
    std::string text;
    std::vector<lock_wait> locks;
    for (const party_id w : path) locks.push_back(waits_for(w));
    for (std::size_t i = 0; i != path.size(); ++i) {
      const lock_wait& held = locks[(i + locks.size() - 1) % locks.size()];
      if (i != 0) text += "; ";
      text.append(waits_[path[i]].party)
          .append(" holds ")
          .append(name(held))
          .append(", waits ")
          .append(name(locks[i]));
    }
    in_cycle_.insert(in_cycle_.end(), path.begin(), path.end());
    return text;
  }

  [[nodiscard]] std::string describe() {
    struct waited_for {
      lock_wait lock;
      std::vector<party_id> by;
    };
    std::vector<waited_for> locks;
    std::map<const void*, std::size_t> place;
    for (const party_id who : order_) {
      const lock_wait l = waits_for(who);
      if (l.lock == nullptr) continue;
      const auto [it, first] = place.emplace(l.lock, locks.size());
      if (first) locks.push_back({l, {}});
      locks[it->second].by.push_back(who);
    }
    std::string text;
    const auto add_parties = [&](const std::vector<party_id>& all) {
      for (const party_id w : all) text.append(w == all.front() ? "" : ", ").append(party(w));
    };
    for (const waited_for& l : locks) {
      text.append(name(l.lock)).append(": held by ");
      add_parties(holders(l.lock));
      if (holders(l.lock).empty()) text += "somebody unknown";
      text += ", waited for by ";
      add_parties(l.by);
      text += '\n';
    }
    for (const party_id who : order_) {
      if (std::ranges::find(in_cycle_, who) != in_cycle_.end()) continue;
      const std::string found = cycle(who);
      if (!found.empty()) text.append("deadlock: ").append(found).append("\n");
    }
    return text;
  }
  /// What the last texts have counted.
  void forget_texts() noexcept {
    nameless_.clear();
    in_cycle_.clear();
  }

 private:
  struct wait {
    std::string party;
    waiter* who = nullptr;
    const void* operation = nullptr;
    const operation_info* info = nullptr;
  };

  [[nodiscard]] lock_wait waits_for(party_id who) {
    const wait& w = waits_[who];
    lock_wait l = w.info->lock(w.operation);
    // Looked at last: who is found to hold what he waits for has been woken before.
    if (!w.who->claim_word().is_open()) l = {};
    return l;
  }
  [[nodiscard]] std::vector<party_id> holders(const lock_wait& l) const {
    std::vector<party_id> all;
    if (l.holder != 0) all.push_back(l.holder);
    const auto [first, last] = holds_.equal_range(l.lock);
    for (auto it = first; it != last; ++it) all.push_back(it->second);
    return all;
  }
  bool leads_to(party_id from, party_id goal, std::vector<party_id>& path,
                std::vector<party_id>& seen) {
    seen.push_back(from);
    if (!waits_.contains(from)) return false;
    const lock_wait l = waits_for(from);
    if (l.lock == nullptr) return false;
    path.push_back(from);
    for (const party_id h : holders(l)) {
      if (h == goal) return true;
      if (std::ranges::find(seen, h) == seen.end() && leads_to(h, goal, path, seen)) return true;
    }
    path.pop_back();
    return false;
  }
  /// Only those of this loop may be looked at.
  [[nodiscard]] std::string party(party_id w) {
    if (const auto here = names_.find(w); here != names_.end()) return label(*here->second);
    if (const auto there = waits_.find(w); there != waits_.end()) return there->second.party;
    return w >> 32 == home_ ? "somebody who has ended" : "somebody on another loop or thread";
  }
  /// Those without a name are counted.
  std::string name(const lock_wait& l) {
    if (l.name != nullptr) return l.name;
    auto it = std::ranges::find(nameless_, l.lock);
    if (it == nameless_.end()) it = nameless_.insert(it, l.lock);
    return "lock #" + std::to_string(it - nameless_.begin() + 1);
  }

  std::uint32_t home_ = 0;  // the loop of those that were added
  std::map<party_id, wait> waits_;
  std::vector<party_id> order_;  // in which they began
  std::multimap<const void*, party_id> holds_;
  std::map<party_id, const context*> names_;
  std::vector<const void*> nameless_;
  std::vector<party_id> in_cycle_;
};

// Those who are watched. What a party waits for stays until it says that it does not any more, also
// while it has been woken and has not run yet: until then its lock is not destroyed either.
struct registry {
  std::mutex lock;
  lock_graph graph;
};
registry& watched() {
  static auto* const only = new registry;  // threads may outlive static objects
  return *only;
}

void note_wait(waiter& w) noexcept {
  if (!w.is_party()) return;
  context& who = context_of(w);
  std::string cycle;
  {
    registry& all = watched();
    const std::scoped_lock hold{all.lock};
    all.graph.waits(who);
    cycle = all.graph.cycle(who.identity());
    all.graph.forget_texts();
  }
  if (!cycle.empty()) log(severity::error, "deadlock: " + cycle);
}
void note_no_wait(waiter& w) noexcept {
  registry& all = watched();
  const std::scoped_lock hold{all.lock};
  all.graph.waits_no_more(party_of(w));
}
void note_hold(const void* lock, party_id party) noexcept {
  registry& all = watched();
  const std::scoped_lock hold{all.lock};
  all.graph.holds(lock, party);
}
void note_no_hold(const void* lock, party_id party) noexcept {
  registry& all = watched();
  const std::scoped_lock hold{all.lock};
  all.graph.holds_no_more(lock, party);
}

constexpr lock_watch watching{note_wait, note_no_wait,
                              []() noexcept { return context::current().identity(); }, note_hold,
                              note_no_hold};

}  // namespace

void watch_for_deadlocks() noexcept { lock_watcher.store(&watching, std::memory_order_release); }

std::string describe_locks(const std::vector<context*>& parties) {
  lock_graph graph;
  if (lock_watcher.load(std::memory_order_acquire) == nullptr) {
    for (context* c : parties) graph.add(*c);
    return graph.describe();
  }
  registry& all = watched();
  const std::scoped_lock hold{all.lock};
  graph = all.graph;
  for (context* c : parties) graph.add(*c);
  return graph.describe();
}

}  // namespace oneloop::inline v0
