#include "oneloop/net/happy_eyeballs.hpp"

#include <algorithm>
#include <cerrno>
#include <unordered_map>

#include "oneloop/net/dns.hpp"

namespace oneloop::inline v0::net {
namespace {

std::error_code code_of(const std::exception_ptr& e) {
  try {
    std::rethrow_exception(e);
  } catch (const error& x) {
    return x.code();
  } catch (...) {
    return {};
  }
}

/// The machine has no way there: says nothing about the host.
bool is_no_way(std::error_code c) noexcept {
  return c == system_code(ENETUNREACH) || c == system_code(EHOSTUNREACH) ||
         c == system_code(EADDRNOTAVAIL) || c == system_code(EAFNOSUPPORT);
}

std::error_code most_telling(const std::vector<connect_error::attempt>& attempts) {
  for (const auto& a : attempts) {
    if (!is_no_way(a.code)) return a.code;
  }
  return attempts.empty() ? std::error_code{} : attempts.front().code;
}

std::string text_of(std::string_view object, const std::vector<connect_error::attempt>& attempts,
                    const std::vector<std::exception_ptr>& others) {
  std::string s{"connect "};
  s.append(object).append(": all ").append(std::to_string(attempts.size()));
  s.append(attempts.size() == 1 ? " attempt failed" : " attempts failed");
  const char* separator = ": ";
  for (const auto& a : attempts) {
    s.append(separator).append(a.to.to_string()).append(": ").append(a.code.message());
    separator = "; ";
  }
  for (const auto& e : others) s.append(separator).append(describe(e));
  return s;
}

/// The names at which IPv4 won: IPv6 begins by default.
class winners final : public loop_extension {
 public:
  explicit winners(loop& l) : loop_{l} {}

  [[nodiscard]] bool v4_won(const std::string& host) const {
    const auto at = v4_until_.find(host);
    return at != v4_until_.end() && at->second > loop_.now();
  }
  void won(const std::string& host, bool v4) {
    if (!v4) {
      v4_until_.erase(host);
      return;
    }
    // Only the exceptions are kept, and no great number of them.
    if (v4_until_.size() >= 1024) v4_until_.clear();
    v4_until_[host] = after(loop_.now(), std::chrono::minutes{10});
  }

 private:
  loop& loop_;
  std::unordered_map<std::string, time_point> v4_until_;
};

winners& memory() { return loop::current()->extension<winners>(); }

}  // namespace

connect_error::connect_error(std::string_view object, std::vector<attempt> attempts,
                             const std::vector<std::exception_ptr>& failures)
    : error{most_telling(attempts), text_of(object, attempts, failures)},
      attempts_{std::make_shared<const std::vector<attempt>>(std::move(attempts))} {}

namespace detail {

family remembered_winner(const std::string& host) {
  return memory().v4_won(host) ? family::v4 : family::v6;
}
void remember_winner(const std::string& host, family kind) {
  memory().won(host, kind == family::v4);
}

void attempt_plan::add(const std::vector<ip_address>& list) {
  for (const auto& a : list) (a.is_v6() ? v6_ : v4_).push_back(a);
}

ip_address attempt_plan::next() {
  auto& wanted = turn_ == family::v6 ? v6_ : v4_;
  auto& other = turn_ == family::v6 ? v4_ : v6_;
  turn_ = turn_ == family::v6 ? family::v4 : family::v6;
  auto& from = wanted.empty() ? other : wanted;
  const ip_address a = from.front();
  from.pop_front();
  return a;
}

void throw_attempts(const std::string& object,
                    std::vector<std::pair<endpoint, std::exception_ptr>> attempts,
                    std::vector<std::exception_ptr> lookups) {
  // That a name has no address of one kind is no failure beside attempts to the others.
  const auto silent = [](const std::exception_ptr& e) { return code_of(e) == dns_errc::no_data; };
  if (attempts.empty()) {
    if (lookups.empty()) {
      throw error{"connect", object, make_error_code(dns_errc::no_data)};
    }
    const auto telling = std::find_if_not(lookups.begin(), lookups.end(), silent);
    std::rethrow_exception(telling != lookups.end() ? *telling : lookups.front());
  }
  std::erase_if(lookups, silent);
  if (attempts.size() == 1 && lookups.empty()) std::rethrow_exception(attempts.front().second);
  std::vector<connect_error::attempt> list;
  for (const auto& [to, e] : attempts) list.push_back({to, code_of(e)});
  throw connect_error{object, std::move(list), lookups};
}

}  // namespace detail
}  // namespace oneloop::inline v0::net
