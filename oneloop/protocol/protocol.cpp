#include "oneloop/protocol/protocol.hpp"

#include "oneloop/base/log.hpp"
#include "oneloop/protocol/client.hpp"

namespace oneloop::inline v0 {
namespace {

/// What a protocol has while it has no connection. Without state: any thread may meet it.
class no_transport final : public transport {
 public:
  using transport::write;
  void write(std::span<const std::byte>) override {}
  void lose_connection() override {}
  void abort_connection() override {}
};
no_transport nowhere;

}  // namespace

protocol::protocol() noexcept : transport_{&nowhere} {}
protocol::~protocol() = default;

void protocol::read_connection_lost() { transport().drop_connection(); }

void protocol::make_connection(oneloop::transport& t, factory* by) {
  transport_ = &t;
  if (factory_ == nullptr) factory_ = by;
  connection_made();
}

void protocol::leave_connection() noexcept {
  transport_ = &nowhere;
  factory_ = nullptr;
  detached();
}

factory::~factory() = default;

void factory::do_start() {
  if (users_ == 0) start_factory();
  ++users_;
}

void factory::do_stop() noexcept {
  if (users_ == 0 || --users_ != 0) return;
  try {
    stop_factory();
  } catch (...) {
    log(severity::error, "stop_factory failed: " + describe(std::current_exception()));
  }
}

void client_factory::client_connection_failed(connector&, failure reason) {
  log(severity::warning, reason.what());
}

}  // namespace oneloop::inline v0
