// Names to addresses, over c-ares and without a thread: its sockets and timers are the loop's.
//
//     auto& dns = net::resolver::current();
//     std::vector<net::ip_address> a = co_await dns.lookup("example.org");
//     co_await dns.lookup("example.invalid");   // throws "resolve example.invalid: no such host
//                                               // (NXDOMAIN)", code dns_errc::no_such_host
//
// In this order: literal addresses; `localhost` and everything below it (RFC 6761), always the
// loopback; the hosts file; the cache; the name servers of /etc/resolv.conf. There is one question
// under way per name and kind of address: who asks meanwhile waits for the same answer. Answers are
// kept for as long as they say (TTL, at most a day), "no such host" and "no address" for a few
// seconds.
//
// In a simulation with a network (testing/network.hpp) its names are asked for, with the same tries
// and cache, whatever servers and hosts file are set.
//
// Cancellation: who is cancelled stops waiting; the question goes on, for the others and the cache.
// Threads: a resolver belongs to the loop on which it was made.
// Errors: oneloop::error with a dns_errc.
// Cost: names that need no question: no allocation but the result.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/net/address.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0::net {

/// Why a name has no address.
enum class dns_errc {
  no_such_host = 1,  // NXDOMAIN: the name does not exist
  no_data,           // it exists, without an address of the kind asked for
  server_failure,    // SERVFAIL: the servers could not find out
  refused,           // REFUSED: the servers would not answer
  timed_out,         // no server answered in time
  unreachable,       // no server could be asked
  bad_response,      // what came was no proper answer
  bad_name,          // it cannot be a host name
  failed,            // anything else: no memory, no descriptors, the resolver was closed
};

ONELOOP_API const std::error_category& dns_category() noexcept;
ONELOOP_API std::error_code make_error_code(dns_errc e) noexcept;

/// How a resolver asks. Setters chain.
class ONELOOP_API resolver_options {
 public:
  /// Ask these, in this order, instead of those of /etc/resolv.conf.
  resolver_options& servers(std::vector<endpoint> list);
  /// Append these to short names that do not exist as they stand, instead of those of
  /// /etc/resolv.conf.
  resolver_options& search(std::vector<std::string> domains);
  /// How long the first try waits; each further one waits twice as long. 2 s unless set.
  resolver_options& timeout(duration d) noexcept;
  /// How often each server is asked. 3 unless set.
  resolver_options& tries(int n) noexcept;
  /// "/etc/hosts" unless set; empty: none. It is read again when it has changed.
  resolver_options& hosts_file(std::string path);
  /// How many names are remembered, 1024 unless set; the least recently used one goes first. 0:
  /// none.
  resolver_options& cache_size(std::size_t n) noexcept;
  /// How long "no such host" and "no address" are remembered, 5 s unless set.
  resolver_options& negative_ttl(duration d) noexcept;

 private:
  friend class resolver;
  std::vector<endpoint> servers_;
  std::vector<std::string> domains_;
  bool own_domains_ = false;
  duration timeout_ = std::chrono::seconds{2};
  int tries_ = 3;
  std::string hosts_file_ = "/etc/hosts";
  std::size_t cache_size_ = 1024;
  duration negative_ttl_ = std::chrono::seconds{5};
};

/// What has happened so far.
struct resolver_statistics {
  std::size_t lookups = 0;  // asked of the resolver, literal addresses and localhost not counted
  std::size_t cache_hits = 0;
  std::size_t shared = 0;     // waited for a question that was under way
  std::size_t questions = 0;  // put to name servers
  std::size_t in_flight = 0;  // of them, under way now
  std::size_t cached = 0;     // names remembered now
};

class ONELOOP_API resolver {
 public:
  /// Of the loop that the calling thread runs. Opens nothing before the first question. Throws
  /// loop_not_running outside a loop.
  explicit resolver(resolver_options options = {});
  resolver(loop& l, resolver_options options);
  /// Lookups under way fail with dns_errc::failed.
  ~resolver();
  resolver(const resolver&) = delete;
  resolver& operator=(const resolver&) = delete;

  /// The one that `l` keeps, made on first use.
  [[nodiscard]] static resolver& of(loop& l);
  /// Of the loop that the calling thread runs.
  [[nodiscard]] static resolver& current();

  /// From now on asks like this; forgets what it remembered. Throws misuse while questions are
  /// under way.
  void configure(resolver_options options);

  /// The addresses of `name`, at least one, in the order of preference (RFC 6724 within a kind).
  /// `family::any` asks for both kinds at once and gives IPv6 first; it fails only if both fail.
  [[nodiscard]] task<std::vector<ip_address>> lookup(std::string name, family kind = family::any);

  [[nodiscard]] resolver_statistics statistics() const noexcept;

 private:
  class state;
  task<std::vector<ip_address>> lookup_one(std::string name, family kind);
  std::unique_ptr<state> state_;
};

}  // namespace oneloop::inline v0::net

template <>
struct std::is_error_code_enum<oneloop::net::dns_errc> : std::true_type {};
