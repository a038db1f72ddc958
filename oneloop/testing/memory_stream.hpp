// Streams of bytes in memory: two ends that are connected with each other, without a kernel.
//
//     auto [client, server] = testing::memory_stream_pair();
//     co_await client.write_all(net::bytes_of("hello"));
//     std::size_t n = co_await server.read_some(buffer);          // 5
//     auto [a, b] = testing::lockstep_stream_pair();              // a write waits for the reader
//     auto [c, d] = testing::memory_stream_pair(testing::memory_options{}.by_hand());
//     co_await c.write_all(net::bytes_of("hello"));
//     c.pump(2);                                                  // "he" has arrived at d
//
// They keep the contract of net/stream.hpp, and behave as TCP does where that leaves something
// open: bytes arrive before the end does, a write to a peer that has closed fails with EPIPE. Two
// reads or two writes at the same time on one end throw misuse.
//
// *Errors*: "write memory stream a: Broken pipe". *Cancellation*: reads are retractable (select
// takes them); a cancelled write says how much of it had been taken. *Threads*: the operations are
// leaves: any party on any loop or plain thread; the two ends may be on different ones. close,
// reset and pump from any thread. *Cost*: a lock and a copy; two while bytes are under way.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include "oneloop/base/config.hpp"
#include "oneloop/base/error.hpp"
#include "oneloop/base/short_mutex.hpp"
#include "oneloop/net/read_buffer.hpp"
#include "oneloop/net/stream.hpp"
#include "oneloop/sync/parking_lot.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0::testing {

/// What a pair starts with. Setters chain.
class memory_options {
 public:
  /// How many bytes of one direction may be under way; a write waits while that many are. 0: a
  /// write ends when all of it has been read. 64 KiB unless told.
  memory_options& capacity(std::size_t bytes) noexcept {
    capacity_ = bytes;
    return *this;
  }
  /// What one end writes, and its end, stay under way until `pump`. Not with a capacity of 0.
  memory_options& by_hand(bool on = true) noexcept {
    by_hand_ = on;
    return *this;
  }

 private:
  friend class memory_stream;
  std::size_t capacity_ = 64 * 1024;
  bool by_hand_ = false;
};

/// What memory_stream::statistics reports; of what its peer has written.
struct memory_statistics {
  std::size_t arrived;    // bytes that a read would give
  std::size_t under_way;  // bytes that wait for the peer's pump
  bool reading;           // a read of this end waits
  bool peer_writing;      // a write of the peer waits
};

namespace detail {

/// One direction.
class ONELOOP_API memory_pipe {
 public:
  class ONELOOP_API read_operation : public parking_operation<read_operation, memory_pipe> {
   public:
    static constexpr const char* name = "memory_stream.read_some";
    std::size_t await_resume() const;

   private:
    friend class memory_pipe;
    template <class, class>
    friend class oneloop::parking_operation;
    read_operation(memory_pipe& p, std::span<std::byte> to) noexcept
        : parking_operation{p}, to_{to} {}
    enlisted attempt(waiter* w) noexcept;

    std::span<std::byte> to_;
    std::size_t got_ = 0;
    int error_ = 0;
  };

  class ONELOOP_API write_operation : public parking_operation<write_operation, memory_pipe> {
   public:
    static constexpr const char* name = "memory_stream.write_all";
    bool await_suspend(waiter& w) noexcept;
    std::size_t await_resume() const;
    // It cannot be taken back without effect.
    enlisted enlist(waiter&) = delete;
    bool try_now() = delete;

   private:
    friend class memory_pipe;
    template <class, class>
    friend class oneloop::parking_operation;
    write_operation(memory_pipe& p, std::span<const std::byte> from) noexcept
        : parking_operation{p}, rest_{from} {}
    enlisted attempt(waiter* w) noexcept;
    static void cancel(void* op, waiter& w) noexcept;
    static const operation_info info;

    std::span<const std::byte> rest_;
    std::size_t written_ = 0;
    int error_ = 0;
  };

  memory_pipe(std::size_t capacity, bool by_hand, const char* from, const char* to) noexcept
      : capacity_{capacity}, by_hand_{by_hand}, from_{from}, to_{to} {}
  memory_pipe(const memory_pipe&) = delete;
  memory_pipe& operator=(const memory_pipe&) = delete;

  [[nodiscard]] read_operation read(std::span<std::byte> to) noexcept { return {*this, to}; }
  [[nodiscard]] write_operation write(std::span<const std::byte> from) noexcept {
    return {*this, from};
  }
  /// What try_read_some gives, or a negative errno; -EAGAIN: nothing is there.
  [[nodiscard]] std::int64_t read_now(std::span<std::byte> to) noexcept;
  /// No more will be written. 0 or an errno.
  [[nodiscard]] int end() noexcept;
  /// From now on writes fail with `for_writer`, reads (unless 0: what was written can be read, and
  /// then the end) with `for_reader`.
  void shut(int for_writer, int for_reader) noexcept;
  bool pump(std::size_t max) noexcept;
  [[nodiscard]] bool quiet() const noexcept;
  [[nodiscard]] memory_statistics statistics() const noexcept;
  [[nodiscard]] const char* writer_name() const noexcept { return from_; }
  [[nodiscard]] const char* reader_name() const noexcept { return to_; }

 private:
  template <class, class>
  friend class oneloop::parking_operation;
  void take_in(write_operation& w) noexcept;
  std::size_t give(std::span<std::byte> to, write_operation* w) noexcept;
  [[nodiscard]] bool readable(const write_operation* w) const noexcept;
  void flow(write_operation* w, wake_list& woken) noexcept;
  void release_writer(wake_list& woken) noexcept;

  const std::size_t capacity_;
  const bool by_hand_;
  const char* from_;
  const char* to_;
  mutable short_mutex lock_;  // guards what follows
  net::read_buffer bytes_;
  std::size_t arrived_ = 0;  // of them
  bool ended_ = false;
  bool end_arrived_ = false;
  int write_error_ = 0;
  int read_error_ = 0;
  parking_lot<read_operation> readers_;
  parking_lot<write_operation> writers_;
};

/// What shutdown_write returns; never waits.
class ONELOOP_API memory_end_operation {
 public:
  explicit memory_end_operation(memory_pipe& p) noexcept : pipe_{p} {}
  [[nodiscard]] bool await_ready() const noexcept { return true; }
  bool await_suspend(waiter&) const noexcept { return false; }
  void await_resume() const;

 private:
  memory_pipe& pipe_;
};

}  // namespace detail

/// One end of a pair. Moves; closes at the end of its life.
class ONELOOP_API memory_stream {
 public:
  /// Not connected: every operation throws misuse.
  memory_stream() noexcept = default;
  memory_stream(memory_stream&&) noexcept = default;
  memory_stream& operator=(memory_stream&& o) noexcept {
    close();
    in_ = std::move(o.in_);
    out_ = std::move(o.out_);
    return *this;
  }
  ~memory_stream() { close(); }

  /// Two that are connected with each other, "memory stream a" and "memory stream b". Throws misuse
  /// for options that exclude each other.
  [[nodiscard]] static std::pair<memory_stream, memory_stream> pair(memory_options options = {});

  [[nodiscard]] detail::memory_pipe::read_operation read_some(std::span<std::byte> to) {
    return pipe(in_).read(to);
  }
  /// What is there now, without waiting: nothing if there is none, 0 at the end of the stream.
  [[nodiscard]] std::optional<std::size_t> try_read_some(std::span<std::byte> to);
  [[nodiscard]] detail::memory_pipe::write_operation write_all(std::span<const std::byte> from) {
    return pipe(out_).write(from);
  }
  [[nodiscard]] detail::memory_end_operation shutdown_write() {
    return detail::memory_end_operation{pipe(out_)};
  }
  void close() noexcept;
  /// The same, with a reset: what has not been read is thrown away, and the peer's operations fail
  /// with ECONNRESET.
  void reset() noexcept;

  /// With by_hand: lets at most `max` of the bytes that were written here arrive at the peer, and
  /// then, if nothing is left, the end. False: there was nothing to let through.
  bool pump(std::size_t max = static_cast<std::size_t>(-1)) { return pipe(out_).pump(max); }

  [[nodiscard]] bool quiet() const noexcept { return in_ != nullptr && in_->quiet(); }
  [[nodiscard]] std::string name() const {
    return out_ != nullptr ? out_->writer_name() : "memory stream";
  }
  /// A consistent snapshot.
  [[nodiscard]] memory_statistics statistics() const { return pipe(in_).statistics(); }

 private:
  static detail::memory_pipe& pipe(const std::shared_ptr<detail::memory_pipe>& p) {
    if (p == nullptr) throw misuse{"a memory_stream that is not connected was used"};
    return *p;
  }
  std::shared_ptr<detail::memory_pipe> in_, out_;
};

/// Two connected streams.
[[nodiscard]] inline std::pair<memory_stream, memory_stream> memory_stream_pair(
    memory_options options = {}) {
  return memory_stream::pair(options);
}
/// The same without any buffer: a write ends when the peer has read all of it.
[[nodiscard]] inline std::pair<memory_stream, memory_stream> lockstep_stream_pair() {
  return memory_stream::pair(memory_options{}.capacity(0));
}

/// Any stream with hooks before and after what is done with it: to look, to delay, to break things.
///
///     testing::hooked_stream s{std::move(client)};
///     s.before_read([&] { if (++reads == 3) throw error{...}; });   // the third read fails
///     s.before_write([]() -> task<> { co_await sleep_for(1s); });   // a slow writer
///     s.after_write([&] { s.stream().pump(1); });
///
/// What a hook throws, the operation throws; before it has done anything, unless it is after_write.
/// The operations are tasks, whatever those of the stream are.
template <net::byte_stream Stream>
class hooked_stream {
 public:
  explicit hooked_stream(Stream s) : stream_{std::move(s)} {}

  /// `f` is called before each read: a function, or a coroutine that is awaited. It may be called
  /// again before it has ended.
  template <class F>
  void before_read(F f) {
    before_read_ = as_hook(std::move(f));
  }
  /// Before each write, shutdown_write included.
  template <class F>
  void before_write(F f) {
    before_write_ = as_hook(std::move(f));
  }
  /// After each write that has succeeded. A function: it cannot wait, and a throw tells the writer
  /// of a failure that did not happen to the stream.
  void after_write(std::function<void()> f) { after_write_ = std::move(f); }
  /// Before each close. It must not throw.
  void on_close(std::function<void()> f) { on_close_ = std::move(f); }

  [[nodiscard]] task<std::size_t> read_some(std::span<std::byte> to) {
    if (before_read_) {
      auto before = before_read_();
      co_await std::move(before);
    }
    auto reading = stream_.read_some(to);
    const std::size_t n = co_await std::move(reading);
    co_return n;
  }
  [[nodiscard]] task<std::size_t> write_all(std::span<const std::byte> from) {
    if (before_write_) {
      auto before = before_write_();
      co_await std::move(before);
    }
    auto writing = stream_.write_all(from);
    const std::size_t n = co_await std::move(writing);
    if (after_write_) after_write_();
    co_return n;
  }
  [[nodiscard]] task<> shutdown_write() {
    if (before_write_) {
      auto before = before_write_();
      co_await std::move(before);
    }
    auto ending = stream_.shutdown_write();
    co_await std::move(ending);
    if (after_write_) after_write_();
  }
  void close() noexcept {
    if (on_close_) on_close_();
    stream_.close();
  }

  [[nodiscard]] bool quiet() { return net::is_quiet(stream_); }
  [[nodiscard]] std::string name() const { return net::name_of(stream_); }
  /// The stream inside.
  [[nodiscard]] Stream& stream() noexcept { return stream_; }

 private:
  using hook = std::function<task<>()>;
  template <class F>
  static hook as_hook(F f) {
    if constexpr (std::is_void_v<std::invoke_result_t<F&>>) {
      return [f = std::move(f)]() mutable { return call(f); };
    } else {
      return f;
    }
  }
  template <class F>
  static task<> call(F& f) {
    f();
    co_return;
  }

  Stream stream_;
  hook before_read_, before_write_;
  std::function<void()> after_write_, on_close_;
};

}  // namespace oneloop::inline v0::testing
