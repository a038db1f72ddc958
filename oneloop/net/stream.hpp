// Streams of bytes: what everything that speaks over a connection is written against.
//
//     template <net::byte_stream S>
//     oneloop::task<> greet(S& s) {
//       co_await s.write_all(std::as_bytes(std::span{"hello\n", 6}));
//       co_await s.shutdown_write();
//     }
//     net::any_stream a = co_await net::connect("example.org", 80);   // any stream, behind one
//     type
//
// The contract, for TCP, Unix sockets, TLS and streams that users write:
//   - read_some(to)     waits for at least one byte; gives how many, 0: end of the stream. An empty
//                       `to` gives 0 at once.
//   - write_all(from)   gives from.size(); fewer only if it was cancelled after some bytes had gone
//                       (the next checkpoint throws).
//   - shutdown_write()  ends what we send; reading goes on. Idempotent.
//   - close()           ends everything, at once. Idempotent. Operations that wait, and those that
//                       start later, end with an error whose code is errc::closed.
//   - One reader and one writer at a time. The buffers stay until the operation has ended, the
//     stream until all have.
// testing/stream_check.hpp tries all of it on a stream of yours.
#pragma once

#include <concepts>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include "oneloop/base/config.hpp"
#include "oneloop/base/error.hpp"
#include "oneloop/loop/io.hpp"
#include "oneloop/scope/await.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0::net {

/// Something that can be awaited and gives a T.
template <class A, class T>
concept awaitable_of = awaitable<A> && std::same_as<await_result<A>, T>;

/// See the contract above. A stream may also have
///   - std::string name() const: what errors call it ("127.0.0.1:81");
///   - bool quiet(): nothing has arrived and the peer is still there, as far as can be seen without
///     waiting: whether an idle connection can be used again;
///   - readiness_operation readable(): until read_some may have something, given that the last one
///     gave less than was asked for: how an idle connection waits without a buffer.
template <class S>
concept byte_stream = requires(S& s, std::span<std::byte> to, std::span<const std::byte> from) {
  { s.read_some(to) } -> awaitable_of<std::size_t>;
  { s.write_all(from) } -> awaitable_of<std::size_t>;
  { s.shutdown_write() } -> awaitable_of<void>;
  s.close();
};

/// What errors call it.
template <byte_stream S>
[[nodiscard]] std::string name_of(const S& s) {
  if constexpr (requires { s.name(); }) {
    return std::string{s.name()};
  } else {
    return "stream";
  }
}

/// Whether an idle connection seems usable; true for streams that cannot tell.
template <byte_stream S>
[[nodiscard]] bool is_quiet(S& s) {
  if constexpr (requires { s.quiet(); }) {
    return s.quiet();
  } else {
    return true;
  }
}

/// The bytes of a text, for writing.
[[nodiscard]] inline std::span<const std::byte> bytes_of(std::string_view text) noexcept {
  return std::as_bytes(std::span{text.data(), text.size()});
}

/// Any stream behind one type: owns it, moves with it.
///
/// Threads: its operations are tasks; they need a loop. Cost: one allocation to make it, one pooled
/// frame a call. Errors: those of the stream; misuse when it is empty.
class any_stream {
 public:
  any_stream() noexcept = default;
  template <class S>
    requires(!std::same_as<std::remove_cvref_t<S>, any_stream> && !std::is_lvalue_reference_v<S> &&
             byte_stream<S>)
  any_stream(S&& s) : held_{std::make_unique<model<S>>(std::move(s))} {}  // NOLINT

  [[nodiscard]] bool has_value() const noexcept { return held_ != nullptr; }
  explicit operator bool() const noexcept { return has_value(); }

  [[nodiscard]] task<std::size_t> read_some(std::span<std::byte> to) {
    return held("read_some").read_some(to);
  }
  [[nodiscard]] task<std::size_t> write_all(std::span<const std::byte> from) {
    return held("write_all").write_all(from);
  }
  [[nodiscard]] task<> shutdown_write() { return held("shutdown_write").shutdown_write(); }
  void close() noexcept {
    if (held_) held_->close();
  }
  [[nodiscard]] std::string name() const { return held_ ? held_->name() : "empty stream"; }
  [[nodiscard]] bool quiet() { return held_ && held_->quiet(); }
  /// The stream's readable(); nothing if it has none.
  [[nodiscard]] std::optional<readiness_operation> readiness() {
    return held_ ? held_->readiness() : std::nullopt;
  }

  /// The stream inside, if it is an S.
  template <class S>
  [[nodiscard]] S* get_if() noexcept {
    if (!held_ || held_->type() != typeid(S)) return nullptr;
    return &static_cast<model<S>&>(*held_).stream_;
  }

 private:
  struct interface {
    virtual ~interface() = default;
    virtual task<std::size_t> read_some(std::span<std::byte> to) = 0;
    virtual task<std::size_t> write_all(std::span<const std::byte> from) = 0;
    virtual task<> shutdown_write() = 0;
    virtual void close() noexcept = 0;
    virtual std::string name() const = 0;
    virtual bool quiet() = 0;
    virtual std::optional<readiness_operation> readiness() = 0;
    virtual const std::type_info& type() const noexcept = 0;
  };

  template <class S>
  struct model final : interface {
    explicit model(S&& s) : stream_{std::move(s)} {}
    task<std::size_t> read_some(std::span<std::byte> to) override {
      return as_task(stream_.read_some(to));
    }
    task<std::size_t> write_all(std::span<const std::byte> from) override {
      return as_task(stream_.write_all(from));
    }
    task<> shutdown_write() override { return as_task(stream_.shutdown_write()); }
    void close() noexcept override { stream_.close(); }
    std::string name() const override { return name_of(stream_); }
    bool quiet() override { return is_quiet(stream_); }
    std::optional<readiness_operation> readiness() override {
      if constexpr (requires(S& s) {
                      { s.readable() } -> std::same_as<readiness_operation>;
                    }) {
        return stream_.readable();
      } else {
        return std::nullopt;
      }
    }
    const std::type_info& type() const noexcept override { return typeid(S); }
    S stream_;
  };

  template <class T>
  static task<T> as_task(task<T> t) {
    return t;
  }
  template <class Op>
    requires(!is_task_v<Op>)
  static task<await_result<Op>> as_task(Op op) {
    if constexpr (std::is_void_v<await_result<Op>>) {
      co_await op;
    } else {
      auto result = co_await op;
      co_return result;
    }
  }

  interface& held(const char* what) {
    if (!held_) throw misuse{std::string{what} + " of an empty any_stream"};
    return *held_;
  }
  std::unique_ptr<interface> held_;
};

}  // namespace oneloop::inline v0::net
