#include "oneloop/check/workers.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <string>
#include <utility>

#include "oneloop/base/error.hpp"
#include "oneloop/check/crew_internal.hpp"
#include "oneloop/check/probe_internal.hpp"
#include "oneloop/check/wire_internal.hpp"
#include "oneloop/process/worker.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/task/region.hpp"

namespace oneloop::inline v0 {
namespace detail {
namespace {

/// A text of any size goes in pieces that messages have room for; this byte is in front of each.
constexpr char more = '+', last = '.';
constexpr std::size_t piece = process::message_pipe::max_message - 1;

template <class Pipe>
task<> send_text(Pipe& to, std::string text) {
  for (std::size_t at = 0; at == 0 || at < text.size(); at += piece) {
    std::string message{at + piece < text.size() ? more : last};
    message.append(text, at, piece);
    auto sending = to.send(std::move(message));
    co_await sending;
  }
}

/// Nothing if the other side has ended.
template <class Pipe>
task<std::optional<std::string>> receive_text(Pipe& from) {
  std::optional<std::string> text{std::in_place};
  while (true) {
    auto message = co_await from.receive();
    if (!message || message->empty()) co_return std::nullopt;
    text->append(*message, 1);
    if (message->front() == last) co_return text;
  }
}

std::string packed(const check_result& r, const probe_outcome& o) {
  wire_writer w;
  w.put(r);
  w.put(o);
  return w.take();
}

probe_outcome unpack(std::string_view bytes, check_result& r) {
  const int attempts = r.attempts;
  wire_reader from{bytes};
  from.get(r);
  r.attempts = attempts;
  return from.get<probe_outcome>();
}

/// Workers that are kept from one try to the next; each has one at a time.
class worker_crew final : public check_crew {
 public:
  explicit worker_crew(const crew_settings& s) : arguments_{s.worker_arguments}, gate_{s} {}

  task<probe_outcome> try_once(check_result& r) override {
    auto entering = gate_.enter(r.url);
    const auto pass = co_await std::move(entering);
    std::list<process::worker> hired;
    if (idle_.empty()) {
      hired.emplace_back(arguments_);
    } else {
      hired.splice(hired.end(), idle_, std::prev(idle_.end()));
    }
    auto& w = hired.front();
    std::optional<std::string> answer;
    bool given_up = false;
    try {
      auto asking = ask(w, r.url);
      answer = co_await std::move(asking);
    } catch (const cancelled&) {
      given_up = true;
    }
    if (given_up) {
      // It is busy with what nobody wants any more. All are told first, and waited for at the end.
      w.kill();
      dismissed_.splice(dismissed_.end(), hired);
      throw cancelled{};
    }
    forget(r);
    if (!answer) {
      const auto how = co_await w.wait();
      r.error.emplace(http::error_kind::unreachable,
                      "worker " + std::to_string(w.pid()) + ": " + how.to_string());
      co_return probe_outcome{true, {}};
    }
    idle_.splice(idle_.end(), hired);
    co_return unpack(*answer, r);
  }

  task<> close() override {
    for (auto& w : idle_) w.end_sending();
    (void)co_await move_on_after(std::chrono::seconds{1}, [this]() -> task<> {
      for (auto& w : idle_) (void)co_await w.wait();
    });
    idle_.clear();
  }

 private:
  /// Nothing if the worker has died.
  static task<std::optional<std::string>> ask(process::worker& w, std::string url) {
    bool dead = false;
    try {
      auto sending = send_text(w, std::move(url));
      co_await std::move(sending);
    } catch (const error&) {
      dead = true;
    }
    if (dead) co_return std::nullopt;
    auto receiving = receive_text(w);
    auto answer = co_await std::move(receiving);
    co_return answer;
  }

  const std::vector<std::string>& arguments_;
  host_gate gate_;
  std::list<process::worker> idle_;
  std::list<process::worker> dismissed_;
};

}  // namespace

std::unique_ptr<check_crew> make_worker_crew(const crew_settings& s) {
  return std::make_unique<worker_crew>(s);
}

}  // namespace detail

task<> serve_checks(process::message_pipe& parent, check_options options) {
  detail::check_probe probe{options, detail::check_probe::connections::closed};
  while (true) {
    auto receiving = detail::receive_text(parent);
    auto url = co_await std::move(receiving);
    if (!url) break;
    check_result r{*std::move(url)};
    auto trying = probe.try_once(r);
    const auto outcome = co_await std::move(trying);
    auto sending = detail::send_text(parent, detail::packed(r, outcome));
    co_await std::move(sending);
  }
}

}  // namespace oneloop::inline v0
