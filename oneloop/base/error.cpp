#include "oneloop/base/error.hpp"

#include <utility>

namespace oneloop::inline v0 {
namespace {

class category final : public std::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "oneloop"; }
  [[nodiscard]] std::string message(int value) const override {
    switch (static_cast<errc>(value)) {
      case errc::would_block_loop: return "would block the loop";
      case errc::loop_not_running: return "the loop is not running";
      case errc::wrong_thread: return "called from the wrong thread";
      case errc::loop_after_fork: return "the loop belongs to the parent process";
      case errc::closed: return "closed";
      case errc::end_of_stream: return "end of stream";
      case errc::timed_out: return "timed out";
      case errc::limit_exceeded: return "limit exceeded";
      case errc::protocol: return "protocol error";
      case errc::misuse: return "misuse";
    }
    return "unknown oneloop error";
  }
};

std::string joined(std::string_view operation, std::string_view object, std::string_view cause) {
  std::string text{operation};
  if (!object.empty()) text.append(" ").append(object);
  return text.append(": ").append(cause);
}

}  // namespace

const std::error_category& oneloop_category() noexcept {
  // Never destroyed: error codes may be read while static objects die.
  static const auto& instance = *new category;
  return instance;
}

std::error_code make_error_code(errc e) noexcept {
  return {static_cast<int>(e), oneloop_category()};
}

error::error(std::error_code code, std::string_view message)
    : code_{code}, text_{std::make_shared<const std::string>(message)} {}

error::error(std::string_view operation, std::string_view object, std::error_code code)
    : error{code, joined(operation, object, code.message())} {}

error::~error() = default;

would_block_loop::would_block_loop(std::string_view operation)
    : error{errc::would_block_loop,
            joined(operation, {},
                   "a blocking wait on a loop's stack would stop the loop; use co_await, or wait "
                   "from a fiber or a thread")} {}

loop_not_running::loop_not_running(std::string_view operation)
    : error{operation, {}, make_error_code(errc::loop_not_running)} {}

wrong_thread::wrong_thread(std::string_view operation)
    : error{operation, {}, make_error_code(errc::wrong_thread)} {}

closed_error::closed_error(std::string_view operation)
    : error{operation, {}, make_error_code(errc::closed)} {}

end_of_stream::end_of_stream(std::string_view operation, std::size_t got, std::size_t wanted)
    : error{errc::end_of_stream, joined(operation, {},
                                        "end of stream after " + std::to_string(got) + " of " +
                                            std::to_string(wanted) + " bytes")},
      got_{got},
      wanted_{wanted} {}

timeout_error::timeout_error(std::string_view operation)
    : error{operation, {}, make_error_code(errc::timed_out)} {}

cancelled_error::cancelled_error(std::string_view operation)
    : error{operation, {}, std::make_error_code(std::errc::operation_canceled)} {}

misuse::misuse(std::string_view message) : error{errc::misuse, message} {}

timeout_expired::timeout_expired(std::uint64_t id, std::string_view text)
    : id_{id}, text_{std::make_shared<const std::string>(text)} {}

struct exception_group::state {
  std::vector<std::exception_ptr> errors;
  std::string text;
};

exception_group::exception_group(std::vector<std::exception_ptr> errors) {
  auto s = std::make_shared<state>();
  s->text = std::to_string(errors.size()) + " errors";
  for (const auto& e : errors)
    s->text.append(&e == errors.data() ? ": " : "; ").append(describe(e));
  s->errors = std::move(errors);
  state_ = std::move(s);
}

exception_group::~exception_group() = default;

const char* exception_group::what() const noexcept { return state_->text.c_str(); }

std::span<const std::exception_ptr> exception_group::errors() const noexcept {
  return state_->errors;
}

bool is_cancelled(const std::exception_ptr& e) noexcept {
  if (!e) return false;
  try {
    std::rethrow_exception(e);
  } catch (const cancelled&) {
    return true;
  } catch (...) {
    return false;
  }
}

std::string describe(const std::exception_ptr& e) {
  if (!e) return "no error";
  try {
    std::rethrow_exception(e);
  } catch (const std::exception& x) {
    return x.what();
  } catch (const cancelled& x) {
    return x.what();
  } catch (const timeout_expired& x) {
    return x.what();
  } catch (...) {
    return "unknown exception";
  }
}

}  // namespace oneloop::inline v0
