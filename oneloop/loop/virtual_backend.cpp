// The virtual backend: no kernel but the inbox. Time stands still while anything can run, and jumps
// to the next timer when nothing can.
#include <poll.h>

#include <cerrno>
#include <ctime>

#include "oneloop/base/log.hpp"
#include "oneloop/loop/backend.hpp"
#include "oneloop/loop/inbox.hpp"
#include "oneloop/loop/reactor_internal.hpp"
#include "oneloop/loop/socket_kernel.hpp"
#include "oneloop/loop/virtual_clock.hpp"

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
  [[nodiscard]] time_point now() const noexcept override { return clock_.now(); }
  [[nodiscard]] virtual_clock* virtual_time() noexcept override { return &clock_; }
  // What has finished is told in wait(); nothing else here comes from outside.
  [[nodiscard]] bool awaits_io() noexcept override { return !flush(); }
  [[nodiscard]] int pollable_fd() noexcept override { return mail_.fd(); }

  // Descriptors of a simulated network are its business; there is nothing behind any other.
  void submit(io_request& r) noexcept override {
    if (socket_kernel* k = kernel_of(r.handle)) return k->submit(r);
    r.result = -EOPNOTSUPP;
    requests_.push_back(r);
  }
  void cancel(io_request& r) noexcept override {
    if (socket_kernel* k = kernel_of(r.handle)) k->cancel(r);
  }
  void watch(io_watch& w) noexcept override {
    if (socket_kernel* k = kernel_of(w.handle)) return k->watch(w);
    watches_.push_back(w);
  }
  void unwatch(io_watch& w) noexcept override { w.unlink(); }
  void forget(io_handle h) noexcept override {
    if (socket_kernel* k = kernel_of(h)) k->forget(h);
    dispatch();
  }
  bool flush() noexcept override {
    return requests_.empty() && watches_.empty() &&
           (sockets() == nullptr || !sockets()->has_results());
  }

  void wait(time_point deadline, bool must_wait) noexcept override {
    if (!flush()) return dispatch();
    if (deadline <= now()) return;
    const bool still = clock_.stands_still_before(deadline);
    if (!must_wait && !still && clock_.autojump()) return clock_.jump_to(deadline);
    if (!must_wait && !still) return pass_until(deadline);
    wait_for_mail(still && !must_wait);
  }

 private:
  [[nodiscard]] socket_kernel* kernel_of(io_handle h) const noexcept {
    return sys::simulated(h.fd) ? sockets() : nullptr;
  }

  void dispatch() noexcept {
    if (sockets() != nullptr) sockets()->dispatch();
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

  // At the clock's rate.
  void pass_until(time_point deadline) noexcept {
    const duration left = clock_.real_time_to(deadline);
    const auto seconds = std::chrono::floor<std::chrono::seconds>(left);
    const timespec at_most{.tv_sec = static_cast<std::time_t>(seconds.count()),
                           .tv_nsec = static_cast<long>((left - seconds).count())};
    pollfd p{.fd = mail_.fd(), .events = POLLIN, .revents = 0};
    if (::ppoll(&p, 1, &at_most, nullptr) > 0) mail_.drain();
  }

  inbox& mail_;
  virtual_clock clock_;
  bool reported_ = false;
  intrusive_list<io_request> requests_;
  intrusive_list<io_watch> watches_;
};

}  // namespace

std::unique_ptr<backend> make_virtual_backend(inbox& mail) {
  return std::make_unique<virtual_backend>(mail);
}

}  // namespace oneloop::inline v0
