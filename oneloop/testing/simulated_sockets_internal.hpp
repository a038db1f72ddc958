// The simulated network behind testing/network.hpp: machines, paths between them, sockets. Internal
// to the library.
//
//   simulated_sockets  the kernel: descriptors, calls, requests; names and faults
//   socket             what a descriptor stands for; a TCP one may live on without it, until what
//   it
//                      has to send has arrived
//   flow               one direction of a connection, kept by the end that sends
//   packet             everything else that travels: the beginning of connections, resets,
//   datagrams
//
// A flow is a queue of segments with the times of their arrival, so that one timer does for all of
// them and bytes never overtake each other. What is lost, or finds the path cut, is put off to the
// time at which TCP would send it again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "oneloop/base/intrusive.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/loop/socket_kernel.hpp"
#include "oneloop/loop/timer_queue.hpp"
#include "oneloop/net/name_answer_internal.hpp"
#include "oneloop/testing/network.hpp"

namespace oneloop::inline v0::testing::detail {

using bytes = std::vector<std::byte>;

/// What a link is set to.
struct settings {
  delays latency{std::chrono::milliseconds{1}};
  std::uint64_t bandwidth = 0;
  double loss = 0;
  double duplication = 0;
  double reordering = 0;
  delays held_up{std::chrono::milliseconds{10}};
  std::size_t mtu = 1500;
};

/// A timer that calls a member function of its owner.
template <class Owner, void (Owner::*Fire)()>
struct alarm : timer_node {
  explicit alarm(Owner& o) noexcept
      : timer_node{[](timer_node& t) noexcept { (static_cast<alarm&>(t).owner.*Fire)(); }},
        owner{o} {}
  Owner& owner;
};

/// Something that travels by itself.
struct packet {
  const char* what;
  net::endpoint from, to;
  std::size_t size;
  std::move_only_function<void()> arrives;
};

/// One way between two machines.
struct path {
  path(machine& f, machine& t, std::shared_ptr<settings> s);
  ~path();
  path(const path&) = delete;
  path& operator=(const path&) = delete;

  machine& from;
  machine& to;
  std::shared_ptr<settings> set;
  testing::link handle;
  time_point busy_until{};  // the line, where it has a bandwidth
  bool cut = false;
  /// Those that are on the way; of equal times the one that was sent first.
  std::multimap<time_point, packet> packets;

  /// Whether a packet that is on the way now arrives.
  [[nodiscard]] bool open() const noexcept;
  /// When a packet of this size that is sent now arrives, if it does.
  time_point arrival(loop& l, std::size_t size);
  void expect() noexcept;
  void deliver();

 private:
  alarm<path, &path::deliver> next{*this};
};

class socket;
using socket_ptr = std::shared_ptr<socket>;

enum class protocol : std::uint8_t { tcp, udp, unix_stream };

/// A host's own.
struct machine {
  machine(std::size_t n, simulated_sockets& k, std::string of, std::vector<net::ip_address> all)
      : number{n}, kernel{k}, name{std::move(of)}, addresses{std::move(all)} {}

  std::size_t number;
  simulated_sockets& kernel;
  host* self = nullptr;
  std::string name;
  std::vector<net::ip_address> addresses;
  bool up = true;
  std::uint64_t crashes = 0;
  bool isolated = false;
  bool black_hole = false;
  std::set<std::uint16_t> black_ports;
  std::uint16_t first_port = 32768, last_port = 60999, next_port = 32768;
  std::size_t max_descriptors = 1u << 20;
  std::size_t descriptors = 0;
  std::size_t send_buffer = std::size_t{256} * 1024;
  std::size_t receive_buffer = std::size_t{128} * 1024;
  /// Who is bound to a port.
  std::map<std::pair<protocol, std::uint16_t>, std::vector<socket*>> bound;
  std::map<std::string, socket*> unix_names;
  /// The connections, by both ends; also those that linger.
  std::set<std::pair<net::endpoint, net::endpoint>> connections;
  std::map<std::uint16_t, std::size_t> ports_in_use;  // of connections, how many
  std::deque<std::pair<time_point, std::pair<net::endpoint, net::endpoint>>> lingering;
  std::vector<socket_ptr> sockets;  // of it, that are open or still send
  intrusive_list<host::program> programs;

  /// Whether this is one of its addresses, or of its loopback.
  [[nodiscard]] bool has(const net::ip_address& a) const noexcept;
};

enum class segment_kind : std::uint8_t { opening, data, fin, rst };

struct segment {
  segment_kind kind;
  time_point arrives;
  bytes data;
};

/// A queue of bytes in pieces. Lists here, because most are empty most of the time.
class pieces {
 public:
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  void append(std::span<const std::byte> from, std::size_t piece);
  void append(bytes piece);
  /// Takes at most `n` bytes, of one piece only.
  bytes take_piece(std::size_t n);
  /// Copies out from the front; `keep`: and leaves them there.
  std::size_t copy(std::span<std::byte> to, bool keep);
  void clear() noexcept;

 private:
  std::list<bytes> pieces_;
  std::size_t offset_ = 0;  // into the first one
  std::size_t size_ = 0;
};

/// What one end sends to the other.
struct flow {
  pieces unsent;
  std::list<segment> flying;
  bool ending = false;   // an end (fin) comes after what is unsent
  bool ended = false;    // it has been sent
  bool arrived = false;  // and has arrived
  std::uint64_t sent = 0, acknowledged = 0;
  std::uint64_t window_end = 0;  // as far as this end knows
  struct acknowledgement {
    std::uint64_t bytes, window_end;
    time_point arrives;
  };
  std::list<acknowledgement> acknowledgements;
  int tries = 0;                // in vain, of the first segment
  int waits = 0;                // in vain, for acknowledgements
  std::uint64_t delivered = 0;  // to the other end

  [[nodiscard]] std::size_t held() const noexcept {
    return unsent.size() + static_cast<std::size_t>(sent - acknowledged);
  }
};

enum class stage : std::uint8_t { fresh, listening, connecting, connected, dead };

struct datagram {
  net::endpoint from;
  bytes data;
};

// In the list of its kernel's sockets that probe their peers, if it does.
class socket : public std::enable_shared_from_this<socket>, public list_hook<> {
 public:
  socket(machine& m, protocol p, int ip_family) noexcept
      : home{m},
        kind{p},
        family{ip_family},
        send_buffer{m.send_buffer},
        receive_buffer{m.receive_buffer} {}
  socket(const socket&) = delete;
  socket& operator=(const socket&) = delete;
  ~socket();

  machine& home;
  protocol kind;
  int family;
  int fd = -1;
  bool closed = false;  // by the program
  stage at = stage::fresh;
  bool bound = false;         // in home.bound
  bool counted = false;       // in home.connections
  net::endpoint local, peer;  // never mapped: an IPv4 address in IPv6 is an IPv4 one here
  std::string unix_local, unix_peer;
  std::map<std::pair<int, int>, int> options;
  std::size_t send_buffer, receive_buffer;
  std::size_t place = 0;  // in home.sockets
  int error = 0;
  bool linger_reset = false;

  // ---- waiting ----
  intrusive_list<io_request> requests[2];
  intrusive_list<io_watch> watches[2];

  // ---- listening ----
  int backlog = 0;
  std::size_t opening = 0;  // connections whose third packet is awaited
  std::list<socket_ptr> queue;

  // ---- connected ----
  std::weak_ptr<socket> listener;  // until it has been accepted
  socket_ptr other;                // the other end, as long as it knows of this one
  path* out = nullptr;
  path* back = nullptr;
  flow sending;
  time_point last_arrival{};
  pieces received;
  std::uint64_t consumed = 0;  // read by the program
  std::uint64_t window_told = 0;
  duration round_trip{};
  bool embryo = false;  // the third packet is awaited
  bool eof = false;     // nothing more will come
  bool closed_first = false;
  int syn_tries = 0;
  time_point heard{};  // when something last came from the other end; kept if it probes
  int probes = 0;      // in vain

  // ---- datagrams ----
  std::list<datagram> mailbox;
  std::size_t mailbox_bytes = 0;
  bool has_peer = false;

  [[nodiscard]] int option(int level, int name) const noexcept {
    const auto o = options.find({level, name});
    return o != options.end() ? o->second : 0;
  }

  // In simulated_tcp.cpp.
  std::int64_t receive(std::span<const iovec> to, int flags);
  std::int64_t send(std::span<const iovec> from, std::size_t at_most);
  [[nodiscard]] bool readable() const noexcept;
  [[nodiscard]] bool writable() const noexcept;
  void end_sending();
  void close_stream();
  /// A reset arrives.
  void be_reset();
  /// Its machine does.
  void crash();
  /// Sends a reset to the other end, and ends.
  void reset_other();
  /// The connecting side, whose `local`, `peer` and paths are set.
  void start_connect();
  /// Both sides of a connection that stands.
  static void join(const socket_ptr& a, const socket_ptr& b);

  void arrive();        // the first segment of `sending`
  void acknowledged();  // the first acknowledgement
  void try_syn();       // or again
  void probe();

  /// SO_KEEPALIVE is set or not, or the connection has begun.
  void begin_probing();
  void stop_probing() noexcept;
  /// Something between the ends may have changed. Probes that are answered change nothing but the
  /// time of the next one: so they are only sent while one might not be.
  void expect_silence();
  /// A writer waits: it wants to hear of acknowledgements.
  void expect();
  void leave() noexcept;

 private:
  friend class simulated_sockets;
  void syn_arrived();
  void syn_ack_arrived();
  void refused();
  void opened();
  void push();
  void transmit(segment_kind kind, bytes data = {});
  void deliver(segment s);
  void acknowledge();
  void apply_acknowledgements();
  [[nodiscard]] bool cares() noexcept;
  void answer_with_reset();
  void probed();
  void answered();
  void heard_of_other(time_point when) noexcept;
  [[nodiscard]] bool reaches_other() const noexcept;
  [[nodiscard]] int probing_option(int name, int usual) const noexcept;
  [[nodiscard]] duration idle_time() const noexcept;
  void fail(int cause);
  /// Both ends forget each other.
  void part() noexcept;
  void leave_if_done() noexcept;
  [[nodiscard]] duration patience(int tries) const;
  [[nodiscard]] std::size_t segment_size() const noexcept;

  alarm<socket, &socket::arrive> arrival_{*this};
  alarm<socket, &socket::acknowledged> acknowledgement_{*this};
  alarm<socket, &socket::try_syn> syn_{*this};
  alarm<socket, &socket::probe> probe_{*this};
};

class simulated_sockets final : public socket_kernel {
 public:
  simulated_sockets(loop& l, network& n);
  ~simulated_sockets() override;

  // ---- the calls ----
  int socket(int family, int type, int protocol) override;
  int socketpair(int family, int type, int protocol, int (&fds)[2]) override;
  int bind(int fd, const sockaddr* at, socklen_t size) override;
  int listen(int fd, int backlog) override;
  int connect(int fd, const sockaddr* to, socklen_t size) override;
  int shutdown(int fd, int how) override;
  int close(int fd) override;
  int getsockname(int fd, sockaddr* to, socklen_t* size) override;
  int getpeername(int fd, sockaddr* to, socklen_t* size) override;
  int setsockopt(int fd, int level, int name, const void* value, socklen_t size) override;
  int getsockopt(int fd, int level, int name, void* value, socklen_t* size) override;
  std::int64_t recvmsg(int fd, msghdr& m, int flags) override;
  std::int64_t sendmsg(int fd, const msghdr& m, int flags) override;
  void submit(io_request& r) noexcept override;
  void cancel(io_request& r) noexcept override;
  void watch(io_watch& w) noexcept override;
  void forget(io_handle h) noexcept override;
  [[nodiscard]] bool has_results() noexcept override {
    return !finished_.empty() || !ready_.empty();
  }
  void dispatch() noexcept override;
  void ask(const std::string& name, int family, net::name_answer& answer) override;

  // ---- for sockets ----
  loop& home;
  network_statistics counts;
  std::shared_ptr<settings> usual = std::make_shared<settings>();
  int syn_retries = 6;
  int data_retries = 15;
  intrusive_list<detail::socket> probing;

  [[nodiscard]] time_point now() const noexcept { return home.now(); }
  [[nodiscard]] machine& here() const;
  /// The host at an address, as seen from `m`; null if there is none.
  machine* find(const machine& m, const net::ip_address& a) noexcept;
  path& way(machine& from, machine& to);
  bool draw_loss(const path& p);
  void enter(const socket_ptr& s);
  /// Sends a packet of its own: `f` runs when it arrives, unless it is lost. False if it is lost
  /// at once.
  bool send(path& p, const char* what, const net::endpoint& from, const net::endpoint& to,
            std::size_t size, std::move_only_function<void()> f, duration held_up = {});
  /// The state of `s` has changed: what waits on it goes on.
  void changed(detail::socket& s) noexcept;
  void note(const char* what, const net::endpoint& from, const net::endpoint& to, std::size_t size,
            bool is_lost);
  detail::socket* listener_at(machine& m, const net::endpoint& at);
  void end_lingering(machine& m) noexcept;
  int choose_port(detail::socket& s, const net::endpoint* peer);
  void count_connection(detail::socket& s);
  void release_connection(detail::socket& s, duration lingering) noexcept;
  void bind_to(detail::socket& s, const net::endpoint& at);
  void unbind(detail::socket& s) noexcept;

  // ---- for the network ----
  struct name_record {
    std::vector<net::ip_address> addresses;
    net::dns_errc error{};
    duration ttl = std::chrono::minutes{5};
  };
  machine& add(std::string name, std::vector<net::ip_address> addresses);
  void crash(machine& m);
  /// A path is not what it was.
  void expect_silence() noexcept;
  void add_fault(fault f, const host* on);
  std::vector<std::unique_ptr<host>> hosts;
  std::map<std::string, host*> by_name;
  std::map<net::ip_address, host*> by_address;
  std::map<std::string, name_record> names;
  delays name_latency{std::chrono::milliseconds{1}};
  bool names_up = true;
  std::unordered_map<std::uint64_t, std::unique_ptr<path>> paths;  // by both numbers
  testing::link usual_link{usual};
  std::vector<fault> faults;
  std::function<void(const packet_event&)> observer;
  std::uint64_t fingerprint = 0xcbf29ce484222325u;
  time_point start;
  network& owner;

 private:
  detail::socket* find(int fd) noexcept;
  int open(const socket_ptr& s);
  std::int64_t perform(detail::socket& s, io_request& r);
  std::int64_t accept(detail::socket& s, sockaddr* to, socklen_t* size);
  std::int64_t receive_datagram(detail::socket& s, msghdr& m, int flags);
  std::int64_t send_datagram(detail::socket& s, const msghdr& m);
  void deliver_datagram(machine& m, const net::endpoint& from, const net::endpoint& to,
                        const bytes& data, const std::weak_ptr<detail::socket>& sender);
  int own_address(const detail::socket& s, const net::endpoint& to, net::ip_address& own);
  int connect_datagram(detail::socket& s, const net::endpoint& to);
  int connect_unix(detail::socket& s, const std::string& name);
  void finish(io_request& r, std::int64_t result) noexcept;
  void advance(detail::socket& s, direction way) noexcept;
  int hit_fault(const machine& m, call what, const detail::socket* s, std::size_t* at_most);
  std::int64_t failed(detail::socket& s, call what, std::size_t* at_most);
  void end_all(detail::socket& s, std::int64_t result) noexcept;
  [[nodiscard]] bool may_bind(const detail::socket& s, const net::endpoint& at) const;
  int bind_socket(detail::socket& s, net::endpoint at);

  std::vector<socket_ptr> table_;
  std::set<int> free_;
  intrusive_list<io_request> finished_;
  intrusive_list<io_watch> ready_;
  std::uint32_t next_address_ = 0;
};

/// An address as a socket of `family` shows it, in the form of the calls.
void write_address(const net::endpoint& e, int family, sockaddr* to, socklen_t* size) noexcept;
/// As it is kept; false if it is none of an IP socket.
bool read_address(const sockaddr* from, socklen_t size, net::endpoint& to) noexcept;

}  // namespace oneloop::inline v0::testing::detail
