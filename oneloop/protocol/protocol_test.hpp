// What the tests of protocols share: a protocol that records, and factories for it. Not installed.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "oneloop/base/log.hpp"
#include "oneloop/net/net_test.hpp"
#include "oneloop/net/stream.hpp"
#include "oneloop/protocol/client.hpp"
#include "oneloop/protocol/protocol.hpp"
#include "oneloop/sync/event.hpp"

namespace oneloop::inline v0::test {

inline const net::endpoint any_port{net::ip_address::loopback_v4(), 0};

/// Writes down what happens to it; hooks may act.
struct recorder : protocol {
  void connection_made() override {
    ++made;
    happened("made");
    if (on_made) on_made(*this);
  }
  void data_received(bytes data) override {
    text += text_of(data);
    changed.set();
    if (on_data) on_data(*this, text_of(data));
  }
  void connection_lost(failure reason) override {
    ++lost;
    happened("lost");
    why = reason.exception();
    if (on_lost) on_lost(*this);
  }
  void read_connection_lost() override {
    happened("read lost");
    if (on_read_lost) {
      on_read_lost(*this);
    } else {
      protocol::read_connection_lost();
    }
  }
  void write_connection_lost() override { happened("write lost"); }
  void handshake_completed() override { happened("handshake"); }

  void happened(const char* what) {
    calls.emplace_back(what);
    changed.set();
  }
  template <class E>
  [[nodiscard]] bool lost_by() const {
    return lost == 1 && why && failure{why}.check<E>();
  }

  std::function<void(recorder&)> on_made, on_lost, on_read_lost;
  std::function<void(recorder&, std::string)> on_data;
  int made = 0, lost = 0;
  std::string text;
  std::vector<std::string> calls;
  std::exception_ptr why;
  event changed;
};

/// Until `yes()` is true, which has to do with `r`.
template <class Yes>
task<> until(recorder& r, Yes yes) {
  while (true) {
    r.changed.reset();
    if (yes()) break;
    co_await r.changed.wait();
  }
}
inline task<> until_lost(std::shared_ptr<recorder> r) {
  auto waiting = until(*r, [p = r.get()] { return p->lost != 0; });
  co_await std::move(waiting);
}

/// Gives what `make` gives.
class making : public client_factory {
 public:
  explicit making(std::function<std::shared_ptr<protocol>()> make) : make_{std::move(make)} {}
  std::shared_ptr<protocol> build_protocol(const socket_address&) override { return make_(); }

 private:
  std::function<std::shared_ptr<protocol>()> make_;
};
inline std::shared_ptr<client_factory> giving(std::shared_ptr<protocol> p) {
  return std::make_shared<making>([p] { return p; });
}

/// Lines that go to the log meanwhile.
class logged {
 public:
  logged() : before_{set_log_hook(&keep)} { lines().clear(); }
  ~logged() { set_log_hook(before_); }
  logged(const logged&) = delete;
  logged& operator=(const logged&) = delete;
  static std::string& lines() {
    static std::string all;
    return all;
  }

 private:
  static void keep(severity, std::string_view text) noexcept { lines().append(text).append("\n"); }
  log_hook before_;
};

}  // namespace oneloop::inline v0::test
