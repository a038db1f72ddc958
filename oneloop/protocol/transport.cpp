#include "oneloop/protocol/transport.hpp"

#include <cerrno>

namespace oneloop::inline v0 {

connection_done::connection_done(std::string_view peer)
    : error{make_error_code(errc::closed),
            std::string{"the connection with "}.append(peer).append(" has been closed")} {}

connection_aborted::connection_aborted(std::string_view peer)
    : error{std::make_error_code(std::errc::connection_aborted),
            std::string{"the connection with "}.append(peer).append(" was aborted")} {}

producer::~producer() {
  if (consumer_ != nullptr) consumer_->unregister_producer();
}

transport::~transport() = default;

void transport::write_sequence(std::span<const std::span<const std::byte>> pieces) {
  for (const auto& p : pieces) write(p);
}

void transport::write_sequence(std::initializer_list<std::string_view> pieces) {
  std::string all;
  for (const auto& p : pieces) all += p;
  write(all);
}

void transport::start_tls(const net::tls_context&, std::string_view) {
  throw misuse{"start_tls on a transport that cannot"};
}

void transport::register_producer(producer& p, bool) { p.stop_producing(); }

}  // namespace oneloop::inline v0
