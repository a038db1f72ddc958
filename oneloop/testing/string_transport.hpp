// A transport without a network, for tests of protocols: keeps what was written, and what was asked
// of it.
//
//     auto p = std::make_shared<shout>();
//     testing::string_transport t{*p};                   // connection_made
//     t.receive("hello\r\n");                            // data_received
//     assert(t.take() == "HELLO\r\n" && !t.disconnecting());
//     t.end();                                           // connection_lost
#pragma once

#include <exception>
#include <string>
#include <string_view>
#include <utility>

#include "oneloop/protocol/protocol.hpp"
#include "oneloop/protocol/transport.hpp"

namespace oneloop::inline v0::testing {

/// Connected until `end`, which nothing calls by itself. Any thread, without a loop. Outlives its
/// protocol, or is told of its end.
class string_transport final : public transport {
 public:
  /// Calls connection_made.
  explicit string_transport(protocol& p, factory* by = nullptr) : protocol_{p} {
    p.make_connection(*this, by);
  }

  /// Bytes from the peer: calls data_received, paused or not.
  void receive(std::string_view text) { protocol_.data_received(std::as_bytes(std::span{text})); }
  /// Calls connection_lost; the protocol has no transport afterwards.
  void end(std::exception_ptr reason = std::make_exception_ptr(connection_done{"test"})) {
    connected_ = false;
    protocol_.connection_lost(failure{std::move(reason)});
    protocol_.leave_connection();
  }

  /// What was written since the last call.
  [[nodiscard]] std::string take() { return std::exchange(written_, {}); }
  [[nodiscard]] bool paused() const noexcept { return paused_; }
  [[nodiscard]] bool aborted() const noexcept { return aborted_; }

  using transport::write;
  void write(std::span<const std::byte> data) override {
    written_.append(reinterpret_cast<const char*>(data.data()), data.size());
  }
  void lose_connection() override { disconnecting_ = true; }
  void abort_connection() override { aborted_ = disconnecting_ = true; }
  [[nodiscard]] bool connected() const noexcept override { return connected_; }
  [[nodiscard]] bool disconnecting() const noexcept override { return disconnecting_; }
  void pause_producing() override { paused_ = true; }
  void resume_producing() override { paused_ = false; }

 private:
  protocol& protocol_;
  std::string written_;
  bool connected_ = true;
  bool disconnecting_ = false;
  bool aborted_ = false;
  bool paused_ = false;
};

}  // namespace oneloop::inline v0::testing
