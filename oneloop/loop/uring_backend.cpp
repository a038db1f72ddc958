#include "oneloop/base/error.hpp"
#include "oneloop/loop/backend.hpp"
namespace oneloop::inline v0 {
std::unique_ptr<backend> make_uring_backend(inbox&) { throw error{std::make_error_code(std::errc::not_supported), "backend io_uring: not available"}; }
bool uring_available() noexcept { return false; }
}
