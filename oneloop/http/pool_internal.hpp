// Connections that are kept between exchanges, and the limits on how many there are. Internal to
// http/.
//
//     auto l = co_await pool::take(shared_pool, key);   // waits, first come first served
//     if (!l) l.adopt(std::move(fresh));                // a kept connection came along, or none
//     use(l->stream);
//     l.keep();                                         // otherwise it is closed with the lease
//
// A kept connection is looked at before it is used: one that the peer has closed, or on which bytes
// have arrived that nobody asked for, is discarded, and so is one that is too old.
//
// Limits are claimed in this order, each first come first served:
//   1. a place among the origin's connections          take
//   2. a place among all connections                   take, unless a kept one can be used
//   3. a place among those to an address               at_address, once the name was looked up
//   4. a descriptor of the process                     open_socket
// Who has all that he needs waits for nobody in here, and idle connections give way to whoever is
// first in a line; so every line moves on. (An attempt of a dial may wait for 3 while another one
// of the same dial holds its own: that one ends by itself.)
//
// *Cancellation*: at every wait; nothing was taken then, and the others keep their places.
// *Threads*: one loop. *Cost*: one timer and one buffer for all idle connections.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"
#include "oneloop/base/intrusive.hpp"
#include "oneloop/http/client.hpp"
#include "oneloop/http/codec.hpp"
#include "oneloop/loop/descriptor.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/net/address.hpp"
#include "oneloop/net/read_buffer.hpp"
#include "oneloop/net/stream.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/sync/mutex.hpp"
#include "oneloop/sync/semaphore.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0::http::detail {

class lease;
class pool;

/// What a connection can be used for. All of it must agree: a connection that was made with other
/// ideas of whom to trust must not serve this request.
struct origin_key {
  std::string scheme;
  std::string host;  // as in a URL: brackets around IPv6
  std::uint16_t port = 0;
  std::string proxy;        // the whole URL, with its credentials; empty without one
  std::string tls_profile;  // whom we trust, and who we are; empty without any TLS
  std::string addresses;    // what is said about where the host is, and must not be

  /// "example.org:80".
  [[nodiscard]] std::string name() const { return host + ":" + std::to_string(port); }
  friend bool operator==(const origin_key&, const origin_key&) = default;
};

struct origin_hash {
  std::size_t operator()(const origin_key& k) const noexcept {
    const std::hash<std::string_view> hash;
    std::size_t h = hash(k.host) * 31 + k.port;
    h = h * 31 + hash(k.scheme);
    return h * 31 + hash(k.proxy);
  }
};

/// Counted on its loop, read on any thread.
class counter {
 public:
  counter& operator++() noexcept {
    value_.store(*this + 1, std::memory_order_relaxed);
    return *this;
  }
  counter& operator--() noexcept {
    value_.store(*this - 1, std::memory_order_relaxed);
    return *this;
  }
  // NOLINTNEXTLINE(google-explicit-constructor): it is its number
  operator std::size_t() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::size_t> value_{0};
};

/// How many of something there may be, and the line of those who wait for one.
struct limit {
  explicit limit(std::size_t at_most) noexcept : most{at_most} {}
  std::size_t most;
  counter taken;
  std::size_t waiting = 0;
  mutex first;                               // held by who is first in the line
  event news;                                // something has come free
  const net::ip_address* address = nullptr;  // of a limit per address: its key
};

/// One of what a limit counts. Gives it back when it dies.
class claim {
 public:
  claim() noexcept = default;
  claim(pool& p, limit& l) noexcept : pool_{&p}, limit_{&l} { ++l.taken; }
  claim(claim&& o) noexcept : pool_{o.pool_}, limit_{std::exchange(o.limit_, nullptr)} {}
  claim& operator=(claim&& o) noexcept {
    claim old{std::move(*this)};
    pool_ = o.pool_;
    limit_ = std::exchange(o.limit_, nullptr);
    return *this;
  }
  ~claim();

  explicit operator bool() const noexcept { return limit_ != nullptr; }
  [[nodiscard]] bool is_of(const limit& l) const noexcept { return limit_ == &l; }
  /// To those in the line: look again.
  void tell() noexcept {
    if (limit_ != nullptr) limit_->news.set();
  }

 private:
  pool* pool_ = nullptr;
  limit* limit_ = nullptr;
};

/// One connection. While it is idle it is linked in its origin's list and in the pool's, by age.
struct connection : list_hook<>, list_hook<struct by_age> {
  connection(net::any_stream s, bool is_tls, codec_limits limits)
      : stream{std::move(s)}, name{stream.name()}, parser{limits}, tls{is_tls} {}

  // Given back after the stream has been closed.
  claim place;       // among all connections; while a lease has the connection, the lease has it
  claim at_address;  // among those to its address
  claim socket;
  net::any_stream stream;
  std::string name;  // what errors call the other side
  response_parser parser;
  net::read_buffer input;  // read and not yet parsed
  bool tls;
  bool absolute_form = false;       // requests name the whole URL: a proxy reads them
  std::string proxy_authorization;  // for each request; empty: none
  std::optional<std::string> certificate_problem;
  time_point made{};
  time_point kept_until{};
  struct origin_entry* origin = nullptr;
};

/// What the pool knows of an origin; as long as there is a connection or somebody who waits.
struct origin_entry {
  explicit origin_entry(std::size_t most) : places{most} {}
  semaphore places;
  intrusive_list<connection> idle;  // the one that was used last in front
  std::size_t leases = 0;           // with a place, and waiting for one
  const origin_key* key = nullptr;
};

struct pool_limits {
  std::size_t connections = 1024;
  std::size_t per_host = 16;
  std::size_t per_address = std::numeric_limits<std::size_t>::max();
  duration idle_timeout = std::chrono::seconds{4};
  duration max_age = std::chrono::minutes{10};
};

class pool : public list_hook<> {
 public:
  explicit pool(const pool_limits& limits) noexcept
      : limits_{limits}, connections_{limits.connections} {}
  ~pool();
  pool(const pool&) = delete;
  pool& operator=(const pool&) = delete;

  /// The calling code's loop becomes the pool's if it has none; else it must be that one: throws
  /// wrong_thread naming `what`.
  void enter(const char* what);
  /// The loop ends: idle connections are closed, and `on_detach` is called.
  void detach() noexcept;
  std::function<void()> on_detach;  // does not throw

  /// A place among the connections to `key`, and a kept one if there is a usable one. Throws
  /// closed_error, as the two below.
  static task<lease> take(std::shared_ptr<pool> self, const origin_key& key);
  /// The same if that is to be had without waiting; it is a checkpoint all the same.
  static std::optional<lease> take_now(const std::shared_ptr<pool>& self, const origin_key& key);
  /// A place among the connections to `a`; empty if there is no such limit.
  [[nodiscard]] task<claim> at_address(net::ip_address a);
  /// A socket for connecting to `to`. While this process has no descriptor left, waits for one of
  /// this pool's to be closed. Throws oneloop::error; EMFILE only if the pool has none.
  struct socket {
    claim place;
    descriptor handle;
  };
  [[nodiscard]] task<socket> open_socket(net::endpoint to);

  /// From now on no place is given and no connection kept; those that are idle stay until
  /// `drop_idle`.
  void close() noexcept;
  void drop_idle() noexcept;
  [[nodiscard]] bool closed() const noexcept { return closed_; }
  [[nodiscard]] loop* home() const noexcept { return home_; }
  /// An idle connection, out of the pool; null if there is none.
  [[nodiscard]] std::unique_ptr<connection> take_any_idle() noexcept;
  [[nodiscard]] const pool_limits& limits() const noexcept { return limits_; }

  /// By the clock of the pool's loop.
  [[nodiscard]] time_point now() const noexcept {
    return home_ != nullptr ? home_->now() : clock::now();
  }
  void note_retry() noexcept { ++counts_.retried; }
  [[nodiscard]] client_statistics statistics() const noexcept;

 private:
  friend class lease;
  friend class claim;
  struct expiry_timer final : timer_node {
    explicit expiry_timer(pool& p) noexcept : timer_node{&fired}, owner{p} {}
    static void fired(timer_node& t) noexcept;
    pool& owner;
  };
  origin_entry& entry_of(const origin_key& key);
  /// Gives the lease a kept connection, or a place for one; false if there is neither.
  bool fill(lease& l) noexcept;
  std::unique_ptr<connection> unlink(connection& c) noexcept;
  std::unique_ptr<connection> take_idle(origin_entry& o) noexcept;
  void keep(std::unique_ptr<connection> c, origin_entry& o) noexcept;
  void expire(time_point now) noexcept;
  void arm() noexcept;
  void leave(origin_entry& o) noexcept;
  void forget_if_unused(origin_entry& o) noexcept;
  void forget_if_unused(limit& l) noexcept;
  [[nodiscard]] bool too_old(const connection& c, time_point now) const noexcept;
  /// For those who need not wait, as nobody does: whether `attempt` gave true.
  template <class Attempt>
  static bool at_once(limit& l, Attempt& attempt) {
    return l.waiting == 0 && attempt();
  }
  /// Waits in the line of `l` until `attempt`, which is tried by whoever is first whenever there is
  /// news, gives true.
  template <class Attempt>
  task<> stand_in_line(limit& l, Attempt& attempt);

  pool_limits limits_;
  limit connections_;
  limit sockets_{std::numeric_limits<std::size_t>::max()};
  std::map<net::ip_address, limit> addresses_;
  loop* home_ = nullptr;
  bool closed_ = false;
  std::unordered_map<origin_key, origin_entry, origin_hash> origins_;
  intrusive_list<connection, struct by_age> idle_;  // the oldest in front
  counter idle_count_;
  net::read_buffer spare_;  // an empty one, for the next connection that is taken
  expiry_timer timer_{*this};
  struct {
    counter opened, reused, discarded, retried, waiting;
  } counts_;
};

/// A place among an origin's connections and among all, and the connection that has it. Closes it
/// and gives the places back when it dies.
class lease {
 public:
  lease() noexcept = default;
  lease(lease&& o) noexcept
      : pool_{std::move(o.pool_)},
        origin_{std::exchange(o.origin_, nullptr)},
        at_origin_{std::move(o.at_origin_)},
        place_{std::move(o.place_)},
        connection_{std::move(o.connection_)},
        reused_{o.reused_} {}
  lease& operator=(lease&& o) noexcept {
    if (this != &o) {
      end();
      pool_ = std::move(o.pool_);
      origin_ = std::exchange(o.origin_, nullptr);
      at_origin_ = std::move(o.at_origin_);
      place_ = std::move(o.place_);
      connection_ = std::move(o.connection_);
      reused_ = o.reused_;
    }
    return *this;
  }
  ~lease() { end(); }

  /// A fresh connection.
  void adopt(std::unique_ptr<connection> c) noexcept;
  /// Closes the connection and keeps the places.
  void drop() noexcept { connection_.reset(); }
  /// Gives the places back; the connection waits for the next one.
  void keep() noexcept;
  /// Gives the places back; the connection is closed.
  void end() noexcept;

  [[nodiscard]] bool reused() const noexcept { return reused_; }
  explicit operator bool() const noexcept { return connection_ != nullptr; }
  connection* operator->() const noexcept { return connection_.get(); }
  connection& operator*() const noexcept { return *connection_; }

 private:
  friend class pool;
  lease(std::shared_ptr<pool> p, origin_entry& o, semaphore_permit at_origin) noexcept
      : pool_{std::move(p)}, origin_{&o}, at_origin_{std::move(at_origin)} {}
  /// Takes a kept connection that looks usable; false if there is none.
  bool reuse() noexcept;

  std::shared_ptr<pool> pool_;
  origin_entry* origin_ = nullptr;
  semaphore_permit at_origin_;
  claim place_;
  std::unique_ptr<connection> connection_;
  bool reused_ = false;
};

}  // namespace oneloop::inline v0::http::detail
