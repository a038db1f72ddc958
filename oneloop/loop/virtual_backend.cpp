// The virtual backend: no kernel but the inbox. Time stands still while anything can run, and jumps
// to the next timer when nothing can.
#include <poll.h>

#include <cerrno>

#include "oneloop/base/log.hpp"
#include "oneloop/loop/backend.hpp"
#include "oneloop/loop/inbox.hpp"
#include "oneloop/loop/reactor_internal.hpp"

namespace oneloop::inline v0 {
namespace {

class virtual_backend final : public backend {
 public:
  explicit virtual_backend(inbox& mail) noexcept : backend{false}, mail_{mail} {}
  ~virtual_backend() override {
    while (requests_.pop_front() != nullptr) {
    }
    while (watches_.pop_front() != nullptr) {
    }
  }

  [[nodiscard]] const char* name() const noexcept override { return "virtual"; }
  [[nodiscard]] time_point now() const noexcept override { return now_; }
  [[nodiscard]] int pollable_fd() noexcept override { return mail_.fd(); }

  void submit(io_request& r) noexcept override {
    r.result = -EOPNOTSUPP;
    requests_.push_back(r);
  }
  void cancel(io_request&) noexcept override {}
  void watch(io_watch& w) noexcept override { watches_.push_back(w); }
  void unwatch(io_watch& w) noexcept override { w.unlink(); }
  void forget(io_handle) noexcept override { dispatch(); }
  bool flush() noexcept override { return requests_.empty() && watches_.empty(); }

  void wait(time_point deadline, bool must_wait) noexcept override {
    if (!flush()) return dispatch();
    if (deadline <= now_) return;
    if (deadline != never && !must_wait) {
      now_ = deadline;
      return;
    }
    wait_for_mail(deadline == never && !must_wait);
  }

 private:
  void dispatch() noexcept {
    while (io_request* r = requests_.pop_front()) r->done(*r);
    while (io_watch* w = watches_.pop_front()) w->ready(*w);
  }

  void wait_for_mail(bool nothing_is_owed) noexcept {
    pollfd p{.fd = mail_.fd(), .events = POLLIN, .revents = 0};
    const bool may_report = nothing_is_owed && !reported_;
    int n = ::poll(&p, 1, may_report ? 1000 : -1);
    if (n == 0) {
      reported_ = true;
      log(severity::warning,
          "all parties are asleep: no timer is pending on this virtual clock, and nobody has woken "
          "the loop for a second");
      n = ::poll(&p, 1, -1);
    }
    if (n > 0) mail_.drain();
  }

  inbox& mail_;
  // The same start in every run; far from zero, so that "an hour ago" is a time point too.
  time_point now_{std::chrono::hours{24}};
  bool reported_ = false;
  intrusive_list<io_request> requests_;
  intrusive_list<io_watch> watches_;
};

}  // namespace

std::unique_ptr<backend> make_virtual_backend(inbox& mail) {
  return std::make_unique<virtual_backend>(mail);
}

}  // namespace oneloop::inline v0
