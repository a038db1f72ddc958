#include "oneloop/testing/memory_stream.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>

#include "oneloop/net/socket.hpp"

namespace oneloop::inline v0::testing {
namespace detail {
namespace {

[[noreturn]] void fail(const char* what, const char* name, int error) {
  if (error == EBUSY) {
    throw misuse{std::string{what} + " " + name + ": another " + what + " has not ended"};
  }
  net::detail::fail(what, name, -error);
}

}  // namespace

// ---- under the lock ----

/// As much of it as may be under way.
void memory_pipe::take_in(write_operation& w) noexcept {
  const std::size_t room = capacity_ - std::min(capacity_, bytes_.size());
  const auto fits = w.rest_.first(std::min(room, w.rest_.size()));
  bytes_.append(fits);
  w.rest_ = w.rest_.subspan(fits.size());
  w.written_ += fits.size();
  if (!by_hand_) arrived_ = bytes_.size();
}

bool memory_pipe::readable(const write_operation* w) const noexcept {
  return arrived_ != 0 || (capacity_ == 0 && w != nullptr && !w->rest_.empty());
}

std::size_t memory_pipe::give(std::span<std::byte> to, write_operation* w) noexcept {
  std::size_t n = bytes_.take(to.first(std::min(to.size(), arrived_)));
  arrived_ -= n;
  if (w == nullptr) return n;
  if (capacity_ == 0) {
    n = std::min(to.size(), w->rest_.size());
    if (n != 0) std::memcpy(to.data(), w->rest_.data(), n);
    w->rest_ = w->rest_.subspan(n);
    w->written_ += n;
  } else {
    take_in(*w);
  }
  return n;
}

/// Gives the reader that waits what there is for it, and takes in what there is room for.
void memory_pipe::flow(write_operation* w, wake_list& woken) noexcept {
  if (w != nullptr) take_in(*w);
  while (readable(w) || end_arrived_ || read_error_ != 0) {
    read_operation* reader = readers_.take();
    if (reader == nullptr) break;
    reader->error_ = read_error_;
    if (read_error_ == 0) reader->got_ = give(reader->to_, w);
    woken.add(*reader);
  }
}

/// Wakes the writer that waits, if it has nothing left to wait for.
void memory_pipe::release_writer(wake_list& woken) noexcept {
  write_operation* w = writers_.front();
  if (w == nullptr || (!w->rest_.empty() && write_error_ == 0)) return;
  w->error_ = w->rest_.empty() ? 0 : write_error_;
  if (writers_.take() != nullptr) woken.add(*w);
}

// ---- reading ----

enlisted memory_pipe::read_operation::attempt(waiter* w) noexcept {
  memory_pipe& p = owner();
  wake_list woken;
  {
    const std::scoped_lock hold{p.lock_};
    write_operation* writer = p.writers_.front();
    if (p.read_error_ != 0) {
      error_ = p.read_error_;
    } else if (!p.readers_.empty()) {
      error_ = EBUSY;
    } else if (!to_.empty() && !p.readable(writer) && !p.end_arrived_) {
      if (w != nullptr) p.readers_.park(*this, *w);
      return enlisted::waiting;
    }
    if (!commit(w)) return enlisted::lost;
    if (error_ == 0) got_ = p.give(to_, writer);
    p.release_writer(woken);
    set_done();
  }
  woken.wake_all();
  return enlisted::completed;
}

std::size_t memory_pipe::read_operation::await_resume() const {
  if (error_ != 0) fail("read", owner().to_, error_);
  return got_;
}

std::int64_t memory_pipe::read_now(std::span<std::byte> to) noexcept {
  wake_list woken;
  std::size_t n = 0;
  {
    const std::scoped_lock hold{lock_};
    write_operation* writer = writers_.front();
    if (read_error_ != 0) return -read_error_;
    if (!to.empty() && !readable(writer) && !end_arrived_) return -EAGAIN;
    n = give(to, writer);
    release_writer(woken);
  }
  woken.wake_all();
  return static_cast<std::int64_t>(n);
}

// ---- writing ----

const operation_info memory_pipe::write_operation::info{name, &cancel};

bool memory_pipe::write_operation::await_suspend(waiter& w) noexcept {
  w.arm(this, info);
  if (attempt(&w) == enlisted::waiting) return true;
  w.disarm();
  return false;
}

enlisted memory_pipe::write_operation::attempt(waiter* w) noexcept {
  memory_pipe& p = owner();
  wake_list woken;
  bool waits = false;
  {
    const std::scoped_lock hold{p.lock_};
    if (p.write_error_ != 0) {
      error_ = p.write_error_;
    } else if (!p.writers_.empty()) {
      error_ = EBUSY;
    } else {
      p.flow(this, woken);
      waits = !rest_.empty();
    }
    waits ? p.writers_.park(*this, *w) : set_done();
  }
  woken.wake_all();
  return waits ? enlisted::waiting : enlisted::completed;
}

std::size_t memory_pipe::write_operation::await_resume() const {
  if (error_ != 0) fail("write", owner().from_, error_);
  return written_;
}

void memory_pipe::write_operation::cancel(void* op, waiter& w) noexcept {
  auto& self = *static_cast<write_operation*>(op);
  {
    const std::scoped_lock hold{self.owner().lock_};
    if (!w.try_claim()) return;
    self.unlink();
    self.set_idle();
  }
  // Bytes that have gone are reported; the next checkpoint throws.
  self.written_ == 0 ? w.wake_cancelled() : w.wake();
}

// ---- ends ----

int memory_pipe::end() noexcept {
  wake_list woken;
  {
    const std::scoped_lock hold{lock_};
    if (write_error_ == EBADF) return EBADF;
    if (!writers_.empty()) return EBUSY;
    ended_ = true;
    end_arrived_ = !by_hand_;
    if (write_error_ == 0) write_error_ = EPIPE;
    flow(nullptr, woken);
  }
  woken.wake_all();
  return 0;
}

void memory_pipe::shut(int for_writer, int for_reader) noexcept {
  wake_list woken;
  {
    const std::scoped_lock hold{lock_};
    if (for_writer == EBADF || write_error_ != EBADF) write_error_ = for_writer;
    release_writer(woken);
    if (for_reader != 0) {
      if (for_reader == EBADF || read_error_ != EBADF) read_error_ = for_reader;
      bytes_ = {};
      arrived_ = 0;
    } else if (!ended_) {
      ended_ = true;
      end_arrived_ = !by_hand_;
    }
    flow(nullptr, woken);
  }
  woken.wake_all();
}

bool memory_pipe::pump(std::size_t max) noexcept {
  wake_list woken;
  bool any = false;
  {
    const std::scoped_lock hold{lock_};
    const std::size_t n = std::min(max, bytes_.size() - arrived_);
    arrived_ += n;
    const bool last = ended_ && !end_arrived_ && arrived_ == bytes_.size();
    // The end comes behind the last byte.
    end_arrived_ = end_arrived_ || last;
    any = n != 0 || last;
    flow(writers_.front(), woken);
    release_writer(woken);
  }
  woken.wake_all();
  return any;
}

bool memory_pipe::quiet() const noexcept {
  const std::scoped_lock hold{lock_};
  return arrived_ == 0 && !end_arrived_ && read_error_ == 0;
}

memory_statistics memory_pipe::statistics() const noexcept {
  const std::scoped_lock hold{lock_};
  return {arrived_, bytes_.size() - arrived_, !readers_.empty(), !writers_.empty()};
}

void memory_end_operation::await_resume() const {
  const int error = pipe_.end();
  if (error == EBUSY) {
    throw misuse{std::string{"shutdown "} + pipe_.writer_name() + ": a write has not ended"};
  }
  if (error != 0) fail("shutdown", pipe_.writer_name(), error);
}

}  // namespace detail

std::pair<memory_stream, memory_stream> memory_stream::pair(memory_options options) {
  if (options.by_hand_ && options.capacity_ == 0) {
    throw misuse{"memory_options: what is pumped by hand needs a capacity"};
  }
  static constexpr const char* name_a = "memory stream a";
  static constexpr const char* name_b = "memory stream b";
  auto there =
      std::make_shared<detail::memory_pipe>(options.capacity_, options.by_hand_, name_a, name_b);
  auto back =
      std::make_shared<detail::memory_pipe>(options.capacity_, options.by_hand_, name_b, name_a);
  std::pair<memory_stream, memory_stream> both;
  both.first.in_ = both.second.out_ = back;
  both.first.out_ = both.second.in_ = there;
  return both;
}

std::optional<std::size_t> memory_stream::try_read_some(std::span<std::byte> to) {
  const std::int64_t n = pipe(in_).read_now(to);
  if (n == -EAGAIN) return {};
  if (n < 0) net::detail::fail("read", name(), n);
  return static_cast<std::size_t>(n);
}

void memory_stream::close() noexcept {
  if (out_ == nullptr) return;
  in_->shut(EPIPE, EBADF);
  out_->shut(EBADF, 0);
}

void memory_stream::reset() noexcept {
  if (out_ == nullptr) return;
  in_->shut(ECONNRESET, EBADF);
  out_->shut(EBADF, ECONNRESET);
}

}  // namespace oneloop::inline v0::testing
