#include "oneloop/loop/backend.hpp"

#include <ctime>
#include <string>

#include "oneloop/base/error.hpp"

namespace oneloop::inline v0 {

time_point backend::now() const noexcept {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return time_point{std::chrono::seconds{t.tv_sec} + std::chrono::nanoseconds{t.tv_nsec}};
}

std::unique_ptr<backend> make_backend(std::string_view name, inbox& mail) {
  if (name == "epoll") return make_epoll_backend(mail);
  if (name == "io_uring") return make_uring_backend(mail);
  if (name == "virtual") return make_virtual_backend(mail);
  throw error{std::make_error_code(std::errc::invalid_argument),
              "backend " + std::string{name} +
                  ": unknown name; it is one of auto, epoll, io_uring, virtual"};
}

}  // namespace oneloop::inline v0
