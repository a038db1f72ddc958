// A network in memory, under a loop with a virtual clock: hosts with names and addresses, links
// with latency, bandwidth and loss, partitions, crashes, faults. Programs run on it unchanged:
// sockets, TLS, HTTP, name lookups, timeouts. The same seed gives the same packets.
//
//     oneloop::loop l{"virtual"};
//     testing::network net{l};
//     testing::host& server = net.host("server.test");
//     testing::host& client = net.host("client.test");
//     net.link(client, server).latency(20ms).loss(0.01);
//     server.start(n, serve, 80);                           // n: a nursery; serve: a coroutine
//     auto page = client.run(fetch, "http://server.test/");
//     co_await std::move(page);
//
// A party is on the host that started it (host::run, host::start, on_host), as are the parties that
// it starts; all others are on a host named "default". Sockets belong to the host on which they
// were opened. Time is the loop's: a connect that takes two minutes to fail takes none.
//
// What it does as Linux does (tests run the same bodies on both): error codes, the end of streams,
// resets, half-closing, bounded buffers, the queue of a listener, port numbers and how long they
// linger, SO_REUSEADDR and SO_REUSEPORT, keepalive, IPv4 in IPv6. What is simpler: there is no
// congestion window and no Nagle's delay; TCP segments are not reordered, a lost one delays those
// behind it; keepalive probes are sent only when one may be in vain (without set_keepalive, whoever
// only reads from a host that vanished waits for ever); all hosts share the answers that the loop's
// resolver remembers. A socket is simulated if it is opened in code that the loop runs: one that is
// opened before is the kernel's. The bounds, which network's setters change:
//   - a connect that nobody answers is sent again after 1, 2, 4 .. 64 s, and fails with ETIMEDOUT
//     after 127 s;
//   - data that nobody acknowledges is sent again after 200 ms (or twice the round trip, if that is
//     longer), doubling up to 120 s, and the connection fails with ETIMEDOUT after 15 tries: 925 s
//     on a fast link. A partition that heals before that is survived;
//   - a host that crashed says nothing; once restarted it resets connections it does not know;
//   - a port that was used by the side which closed first is taken for 60 s more.
//
// Threads: the loop's. A simulated descriptor is unknown (EBADF) in any other thread. Lifetime: the
// network is destroyed before its loop; operations that still wait then end with errc::closed.
// Errors: misuse for a loop that is not virtual and for hosts of another network.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"
#include "oneloop/base/error.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/net/address.hpp"
#include "oneloop/net/dns.hpp"
#include "oneloop/scope/nursery.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0::testing {

class host;
class network;
namespace detail {
class simulated_sockets;
struct machine;
struct path;
struct settings;
}  // namespace detail

/// A distribution of delays; a draw that is negative counts as zero. A duration converts to one
/// that is always the same.
class ONELOOP_API delays {
 public:
  using draw_fn = std::function<duration(loop&)>;
  template <class R, class P>
  // NOLINTNEXTLINE(google-explicit-constructor): converting is its purpose
  delays(std::chrono::duration<R, P> d) : least_{std::chrono::duration_cast<duration>(d)} {}
  /// Anything; random numbers must come from `loop::random`, so that the seed decides.
  explicit delays(draw_fn f) : draw_{std::move(f)} {}

  [[nodiscard]] static delays uniform(duration least, duration most);
  [[nodiscard]] static delays normal(duration mean, duration deviation);
  /// `least` and a random part with this mean: most are short, a few are very long.
  [[nodiscard]] static delays exponential(duration mean, duration least = {});

  [[nodiscard]] duration draw(loop& l) const;

 private:
  duration least_{};
  draw_fn draw_;
};

/// A random number in [0, 1) from the loop's, for delays of one's own.
[[nodiscard]] ONELOOP_API double random_fraction(loop& l) noexcept;

/// How packets travel between two hosts. Setters chain, and count for what is sent from now on.
class ONELOOP_API link {
 public:
  /// One way. 1 ms unless set; none within a host.
  link& latency(delays d);
  /// Bytes a second in each direction, shared by all connections; 0, as unless set: no limit.
  link& bandwidth(std::uint64_t bytes_a_second) noexcept;
  /// How likely a packet is lost. TCP sends it again, a datagram is gone.
  link& loss(double probability) noexcept;
  /// How likely a datagram arrives twice.
  link& duplication(double probability) noexcept;
  /// How likely a datagram is held up for `delay`, so that later ones overtake it.
  link& reordering(double probability, delays delay = std::chrono::milliseconds{10});
  /// The largest packet, headers included: how TCP cuts its segments. 1500 unless set.
  link& mtu(std::size_t bytes) noexcept;

 private:
  friend class network;
  friend class detail::simulated_sockets;
  friend struct detail::path;
  explicit link(std::shared_ptr<detail::settings> s) noexcept : settings_{std::move(s)} {}
  std::shared_ptr<detail::settings> settings_;
};

/// The calls that can be made to fail.
enum class call : std::uint8_t { socket, bind, listen, connect, accept, read, write };

/// When a call fails, and how. Calls that would only wait are not counted. One that matches several
/// faults counts for each, and fails by the first one that has an error.
///
///     client.fail(fault{call::read, ECONNRESET}.nth(3));
///     net.fail(fault{call::connect, ETIMEDOUT}.chance(0.1).peer(server.at(80)));
class fault {
 public:
  /// Every such call, unless said otherwise. ECONNRESET, EPIPE and ETIMEDOUT of a read or write end
  /// the connection, and reset it for the peer.
  fault(call what, int error) noexcept : what_{what}, error_{error} {}
  /// Reads and writes that move at most `bytes`: no error.
  [[nodiscard]] static fault short_transfers(call what, std::size_t bytes) noexcept {
    fault f{what, 0};
    f.at_most_ = bytes;
    return f;
  }
  /// The n-th one from now on, counted from 1, and no other.
  fault& nth(std::uint64_t n) noexcept {
    nth_ = n;
    return *this;
  }
  /// Each n-th one.
  fault& every(std::uint64_t n) noexcept {
    every_ = n;
    return *this;
  }
  fault& chance(double probability) noexcept {
    chance_ = probability;
    return *this;
  }
  /// At most so often.
  fault& times(std::uint64_t n) noexcept {
    left_ = n;
    return *this;
  }
  /// Only on this descriptor.
  fault& on(int fd) noexcept {
    fd_ = fd;
    return *this;
  }
  /// Only with this peer; port 0: with any port of it.
  fault& peer(const net::endpoint& e) noexcept {
    peer_ = e;
    return *this;
  }

 private:
  friend class detail::simulated_sockets;
  call what_;
  int error_;
  std::size_t at_most_ = 0;
  std::uint64_t nth_ = 0;
  std::uint64_t every_ = 1;
  std::uint64_t left_ = UINT64_MAX;
  std::uint64_t seen_ = 0;
  double chance_ = 1;
  int fd_ = -1;
  std::optional<net::endpoint> peer_;
  const host* host_ = nullptr;
};

/// A machine. Made by network::add_host, and lives as long as the network.
class ONELOOP_API host {
 public:
  host(const host&) = delete;
  host& operator=(const host&) = delete;
  ~host();

  [[nodiscard]] const std::string& name() const noexcept;
  [[nodiscard]] std::span<const net::ip_address> addresses() const noexcept;
  /// The first one.
  [[nodiscard]] const net::ip_address& address() const noexcept;
  /// A port of the first address.
  [[nodiscard]] net::endpoint at(std::uint16_t port) const noexcept { return {address(), port}; }
  /// One more; throws misuse if a host has it. Chains.
  host& add_address(const net::ip_address& a);
  /// One more name under which it is found.
  host& add_name(std::string_view name);

  /// Runs `fn(args...)`, a coroutine, as the program of this host: the calling party is on it until
  /// that has ended. As with oneloop::run, what it left behind is then cancelled and waited for. If
  /// the host crashes meanwhile it is cancelled, and this throws error (ENETDOWN).
  template <class F, class... Args>
  auto run(F fn, Args... args) -> decltype(std::invoke(std::move(fn), std::move(args)...));
  /// Starts that as a child of `n`; the end by a crash is no failure of it.
  template <class F, class... Args>
  void start(nursery& n, F fn, Args... args);

  /// Vanishes: its programs are cancelled, its sockets are gone, and nobody is told. Peers find out
  /// when they send something, by time-out or, after restart(), by a reset.
  void crash();
  /// It is there again, without programs and sockets.
  void restart();
  [[nodiscard]] bool up() const noexcept;
  /// Cut off from every other host, or no longer. Nothing of it is lost.
  void isolate(bool on = true);

  /// Connects to this port (0: to all that nobody listens on) are not answered, in place of
  /// refused.
  host& black_hole(std::uint16_t port = 0);
  /// The ports for sockets that chose none: 32768 to 60999 unless set.
  host& ephemeral_ports(std::uint16_t first, std::uint16_t last) noexcept;
  /// How many sockets may be open at a time, before EMFILE. 1,048,576 unless set.
  host& max_descriptors(std::size_t n) noexcept;
  /// Of each TCP socket: how much is taken of a sender, or kept for a reader, before it must wait.
  /// 256 KiB and 128 KiB unless set; SO_SNDBUF and SO_RCVBUF count too.
  host& buffers(std::size_t send, std::size_t receive) noexcept;

  void fail(fault f);
  /// The n-th such call from now on.
  void fail(call what, std::uint64_t nth, int error) { fail(fault{what, error}.nth(nth)); }

  /// For run().
  class program;

 private:
  friend class network;
  friend class on_host;
  friend class detail::simulated_sockets;
  explicit host(std::unique_ptr<detail::machine> m) noexcept;
  [[nodiscard]] std::uint64_t crashes() const noexcept;
  std::unique_ptr<detail::machine> machine_;
};

/// The calling party, and what it starts meanwhile, is on this host while this lives: for fibers,
/// callbacks and the like.
class ONELOOP_API on_host {
 public:
  explicit on_host(host& h);
  ~on_host();
  on_host(const on_host&) = delete;
  on_host& operator=(const on_host&) = delete;
};

/// What happened so far.
struct network_statistics {
  std::uint64_t connects = 0;     // begun
  std::uint64_t connections = 0;  // of them, established
  std::uint64_t refused = 0;
  std::uint64_t timed_out = 0;  // connects and connections that nobody answered
  std::uint64_t resets = 0;
  std::uint64_t open_sockets = 0;  // now
  std::uint64_t segments = 0;      // of TCP, with data
  std::uint64_t stream_bytes = 0;  // that arrived
  std::uint64_t retransmissions = 0;
  std::uint64_t datagrams = 0;  // sent
  std::uint64_t datagrams_delivered = 0;
  std::uint64_t datagrams_lost = 0;
  std::uint64_t datagrams_duplicated = 0;
  std::uint64_t dropped = 0;    // packets, by loss, partitions and hosts that are down
  std::uint64_t questions = 0;  // to name servers
  std::uint64_t faults = 0;
};

/// A packet that arrived or was lost.
struct packet_event {
  time_point at;
  const char* what;  // "syn", "syn-ack", "ack", "data", "fin", "rst", "probe", "udp", "icmp"
  net::endpoint from;
  net::endpoint to;
  std::size_t size;
  bool lost;
  /// "+12.000100 10.0.0.1:32768 > 10.0.0.2:80 data 512"; time since the network was made.
  [[nodiscard]] std::string to_string(time_point start) const;
};

class ONELOOP_API network {
 public:
  /// Under `l`, a virtual loop that has no other: from now on its sockets are simulated.
  explicit network(loop& l);
  ~network();
  network(const network&) = delete;
  network& operator=(const network&) = delete;

  /// A host of this name; without addresses it is given the next one of 10.0.0.0/8. Throws misuse
  /// if the name or an address is taken.
  testing::host& add_host(std::string name, std::vector<net::ip_address> addresses = {});
  /// The host of this name; added as by add_host if there is none.
  testing::host& host(std::string_view name);
  /// Of this name or address; null if there is none.
  [[nodiscard]] testing::host* find_host(std::string_view name) const noexcept;
  [[nodiscard]] testing::host* find_host(const net::ip_address& a) const noexcept;
  /// Where parties are that nobody has put on a host.
  [[nodiscard]] testing::host& default_host() const noexcept;
  /// The host of the calling party.
  [[nodiscard]] testing::host& current_host() const;

  /// Between all hosts that have no link of their own.
  [[nodiscard]] testing::link& default_link() noexcept;
  /// Between these two, both ways; begins as a copy of the default one. Within a host: its
  /// loopback.
  testing::link& link(const testing::host& a, const testing::host& b);
  /// One way only.
  testing::link& link_from(const testing::host& from, const testing::host& to);

  /// Nothing passes between these two any more (`both`: or back), until heal. What is under way is
  /// lost.
  void cut(const testing::host& from, const testing::host& to, bool both = true);
  void heal(const testing::host& a, const testing::host& b);
  /// Nothing passes between two groups.
  void partition(std::initializer_list<std::reference_wrapper<const testing::host>> one,
                 std::initializer_list<std::reference_wrapper<const testing::host>> other);
  /// All cuts, partitions and isolations end.
  void heal();

  // ---- names ----
  // The hosts' names, and what is added here. The resolver asks for them as it asks real servers:
  // with its tries, time-outs and cache (see net::resolver_options).

  void add_name(std::string_view name, std::vector<net::ip_address> addresses,
                duration ttl = std::chrono::minutes{5});
  /// Questions for `name` fail so. timed_out: they are not answered.
  void fail_name(std::string_view name, net::dns_errc error);
  /// As it was before.
  void forget_name(std::string_view name);
  /// How long an answer takes, 1 ms unless set.
  void name_latency(delays d);
  /// Whether there are name servers at all.
  void name_servers_up(bool yes) noexcept;

  // ---- the rest ----

  /// On all hosts.
  void fail(fault f);
  void clear_faults() noexcept;
  /// How often a connect, and data of a connection, is sent again: 6 and 15 unless set.
  network& retries(int of_connects, int of_data) noexcept;

  [[nodiscard]] network_statistics statistics() const noexcept;
  /// Called for each packet that arrives or is lost.
  void on_packet(std::function<void(const packet_event&)> f);
  /// All packets so far as one number: equal for equal runs.
  [[nodiscard]] std::uint64_t fingerprint() const noexcept;
  [[nodiscard]] time_point start() const noexcept;
  [[nodiscard]] loop& home() const noexcept;

 private:
  std::unique_ptr<detail::simulated_sockets> sockets_;
};

// ---- templates ----

/// What runs on a host, for crash(): one call of run().
class ONELOOP_API host::program : public list_hook<> {
 public:
  program(host& h, nursery& n);
  ~program();
  nursery& children;
  bool crashed = false;
  /// Throws if the host is down.
  void check() const;

 private:
  host& host_;
  on_host here_;
};

namespace detail {

template <class T>
struct program_result {
  std::optional<T> value;
};
template <>
struct program_result<void> {};

}  // namespace detail

template <class F, class... Args>
auto host::run(F fn, Args... args) -> decltype(std::invoke(std::move(fn), std::move(args)...)) {
  using result = decltype(std::invoke(std::move(fn), std::move(args)...));
  static_assert(is_task_v<result>, "the program of a host is a coroutine");
  using value = typename result::value_type;
  detail::program_result<value> kept;
  bool crashed = false;
  auto body = [&](nursery& n) -> task<> {
    program self{*this, n};
    self.check();
    try {
      auto main = std::invoke(std::move(fn), std::move(args)...);
      if constexpr (std::is_void_v<value>) {
        co_await std::move(main);
      } else {
        kept.value.emplace(co_await std::move(main));
      }
    } catch (const cancelled&) {
      crashed = self.crashed;
      throw;
    }
    crashed = self.crashed;
    n.cancel();
  };
  auto running = with_nursery(std::ref(body));
  co_await std::move(running);
  if (crashed) throw error{"run", name(), system_code(ENETDOWN)};
  if constexpr (!std::is_void_v<value>) co_return std::move(*kept.value);
}

template <class F, class... Args>
void host::start(nursery& n, F fn, Args... args) {
  n.start(
      [](host* self, F f, Args... a) -> task<> {
        const std::uint64_t before = self->crashes();
        try {
          auto running = self->run(std::move(f), std::move(a)...);
          (void)co_await std::move(running);
        } catch (const error&) {
          if (self->up() && self->crashes() == before) throw;  // it may be up again
        }
      },
      this, std::move(fn), std::move(args)...);
}

}  // namespace oneloop::inline v0::testing
