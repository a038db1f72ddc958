// A connection of a protocol: a socket, what is known about it, and the two waiters that drive it.
// Internal; transport.hpp is what protocols see.
//
// It is a child of its nursery whose party waits, all the time, for the end of the connection: so
// the cancellation of its scope arrives as that of any other wait. `finish` claims that wait; the
// end itself comes from the ready queue, when no callback of the protocol is running. Two more
// waiters wait for the socket: `reader_` and `writer_`. Each is idle, or waits, or is on its way
// through the ready queue; FIFO order there makes the end come after both.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "oneloop/base/aligned_bytes.hpp"
#include "oneloop/base/config.hpp"
#include "oneloop/loop/descriptor.hpp"
#include "oneloop/loop/io.hpp"
#include "oneloop/net/read_buffer.hpp"
#include "oneloop/net/tls_engine.hpp"
#include "oneloop/protocol/protocol.hpp"
#include "oneloop/protocol/transport.hpp"
#include "oneloop/scope/nursery.hpp"
#include "oneloop/task/frame_pool.hpp"

namespace oneloop::inline v0 {

/// Where a loop's connections receive: one buffer for all, since each has been heard to the end
/// before the next one reads.
class receive_space final : public loop_extension {
 public:
  explicit receive_space(loop&) {}
  static std::span<std::byte> of(loop& l) { return l.extension<receive_space>().bytes_; }

 private:
  alignas(cache_line) std::array<std::byte, std::size_t{64} * 1024> bytes_;
};

/// The nursery that the calling code is in the body of, or its loop's root nursery. Throws
/// loop_not_running, naming `what`, outside every loop.
nursery& nursery_here(const char* what);

/// Runs `f` as code of `c`, wherever it is called from.
template <class F>
void run_as(context& c, F&& f) {
  const struct active_guard {
    loop& home;
    context* outer;
    ~active_guard() { home.active = outer; }
  } guard{*c.home(), std::exchange(c.home()->active, &c)};
  f();
}

/// A connected socket.
struct connected_socket {
  descriptor socket;
  socket_address peer;
};
connected_socket take_socket(net::tcp_stream s);
connected_socket take_socket(net::unix_stream s);

/// One wait for a socket at a time.
class socket_waiter : public waiter {
 public:
  socket_waiter(loop& home, descriptor& d, direction way, run_fn resume) noexcept
      : waiter{&home, resume}, ready_{d, way} {}
  [[nodiscard]] bool idle() const noexcept { return state_ == state::idle; }
  /// Until the socket is ready. A call has just found it not to be: by EAGAIN, or by having moved
  /// less than it could (`by_short`).
  void wait_after_try(bool by_short) noexcept {
    if (!idle()) return;
    ready_.seen_unready(by_short);
    wait();
  }
  void wait() noexcept {
    if (!idle()) return;
    state_ = state::waiting;
    if (!ready_.await_suspend(*this)) home()->make_ready(*this);
  }
  /// After what is ready now.
  void soon() noexcept {
    if (state_ == state::waiting) stop();
    if (!idle()) return;
    state_ = state::queued;
    home()->make_ready(*this);
  }
  /// No more waiting; what is on its way still comes.
  void stop() noexcept {
    if (state_ != state::waiting || ready_.won()) return;
    ready_.delist();
    state_ = state::idle;
  }
  void resumed() noexcept {
    (void)finish();
    state_ = state::idle;
  }

 private:
  enum class state : std::uint8_t { idle, waiting, queued };
  readiness_operation ready_;
  state state_ = state::idle;
};

class connection final : public child, public transport, public pooled {
 public:
  using pooled::operator new;
  using pooled::operator delete;

  /// `by` and `from` may be null. With `tls`, that comes before connection_made.
  struct tls_start {
    const net::tls_context& context;
    std::string host{};
  };
  static void start(nursery& n, connected_socket s, std::shared_ptr<protocol> p,
                    std::shared_ptr<factory> by, std::shared_ptr<connector> from,
                    const tls_start* tls);

  void write(std::span<const std::byte> data) override;
  void write_sequence(std::span<const std::span<const std::byte>> pieces) override;
  [[nodiscard]] std::size_t buffered() const noexcept override;
  void set_write_limit(std::size_t n) override { limit_ = n; }
  void set_write_watermarks(std::size_t high, std::size_t low) override;
  void lose_connection() override;
  void drop_connection() override;
  void abort_connection() override;
  void lose_write_connection() override;
  [[nodiscard]] bool connected() const noexcept override { return !finished_; }
  [[nodiscard]] bool disconnecting() const noexcept override { return finished_ || losing_; }
  [[nodiscard]] socket_address get_peer() const override { return peer_; }
  [[nodiscard]] socket_address get_host() const override;
  void set_tcp_no_delay(bool on) override;
  void set_tcp_keep_alive(bool on) override;
  void start_tls(const net::tls_context& by, std::string_view host) override;
  void pause_producing() override;
  void resume_producing() override;
  void register_producer(producer& p, bool streaming) override;
  void unregister_producer() override;
  void call(std::function<void()> f) override;

 private:
  friend class child;
  static std::exception_ptr take_error() noexcept { return nullptr; }
  struct tls_layer {
    explicit tls_layer(net::tls_engine e) : engine{std::move(e)} {}
    net::tls_engine engine;
    net::read_buffer waiting;  // written before the handshake was done
    bool agreed = false;
    bool said_goodbye = false;
  };
  struct reader final : socket_waiter {
    explicit reader(connection& c) noexcept;
    connection& owner;
  };
  struct writer final : socket_waiter {
    explicit writer(connection& c) noexcept;
    connection& owner;
  };

  connection(nursery& n, connected_socket s, std::shared_ptr<protocol> p,
             std::shared_ptr<factory> by, std::shared_ptr<connector> from);
  ~connection() override;
  void open(const tls_start* tls) noexcept;

  [[nodiscard]] loop& home() noexcept { return *self().home(); }
  void check(const char* what) { home().check_thread(what); }
  [[nodiscard]] std::string name() const { return peer_.to_string(); }
  template <class F>
  void callback(F&& f) noexcept;
  void fail(const char* what, std::int64_t n) noexcept;

  /// Nothing happens from here on but the end.
  void finish(std::exception_ptr reason, bool reset = false) noexcept;
  void finish_done() noexcept;
  static void ended(ready_item& item) noexcept;
  void conclude() noexcept;
  void close_socket() noexcept;

  // ---- receiving ----
  [[nodiscard]] bool wants_input() const noexcept;
  void read() noexcept;
  void received(std::span<std::byte> got) noexcept;
  void input_ended() noexcept;
  void pump() noexcept;

  // ---- sending ----
  [[nodiscard]] std::int64_t try_send(std::span<const std::byte> data) noexcept;
  void send(std::span<const std::byte> data);
  void encrypt(std::span<const std::byte> data);
  void send_ciphertext();
  void flush() noexcept;
  void wrote();
  void look_at_rest() noexcept;
  [[nodiscard]] bool producer_waits() const noexcept {
    return producer_ != nullptr && (!streaming_ || paused_producer_);
  }
  void drop_producer();
  void sent_all() noexcept;
  bool say_goodbye() noexcept;

  descriptor socket_;
  socket_address peer_;
  std::shared_ptr<protocol> protocol_;
  std::shared_ptr<factory> factory_;
  std::shared_ptr<connector> connector_;
  std::unique_ptr<tls_layer> tls_;
  std::exception_ptr reason_;
  std::span<std::byte> space_;
  reader reader_;
  writer writer_;
  net::read_buffer out_;  // what the socket did not take
  producer* producer_ = nullptr;
  std::size_t limit_ = std::size_t{64} * 1024 * 1024;
  std::size_t high_ = std::size_t{64} * 1024;
  std::size_t low_ = std::size_t{16} * 1024;
  bool made_ = false;  // connection_made was called
  bool finished_ = false;
  bool reset_ = false;
  bool losing_ = false;        // lose_connection was called
  bool losing_write_ = false;  // lose_write_connection was called
  bool write_ended_ = false;   // and is done
  bool read_ended_ = false;    // the peer has ended its direction
  bool paused_ = false;        // receiving, by the user
  bool reading_ = false;       // read() is at work
  bool in_callback_ = false;
  bool sent_ = false;  // in this callback
  bool streaming_ = false;
  bool paused_producer_ = false;
};

}  // namespace oneloop::inline v0
