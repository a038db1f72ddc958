#include "oneloop/protocol/basic.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace oneloop::inline v0 {
namespace {

std::span<const std::byte> bytes_of(std::string_view s) noexcept {
  return std::as_bytes(std::span{s});
}
std::string_view text_of(std::span<const std::byte> b) noexcept {
  return {reinterpret_cast<const char*>(b.data()), b.size()};
}

}  // namespace

// ---- the base ----

void framed_protocol::data_received(bytes data) {
  if (busy_) {
    injected_ += text_of(data);
  } else if (kept_.empty()) {
    run(text_of(data), false);
  } else {
    kept_.append(data);
    run(kept_.text(), true);
  }
}

/// `in`: of kept_, or not copied yet.
void framed_protocol::run(std::string_view in, bool kept) {
  struct at_end {
    framed_protocol& p;
    ~at_end() {
      p.busy_ = false;
      p.in_ = {};
    }
  } const end{*this};
  busy_ = true;
  in_ = in;
  const auto keep_rest = [&] {
    if (kept) {
      kept_.consume(kept_.size() - in_.size());
    } else if (!in_.empty()) {
      kept_.append(bytes_of(in_));
    }
  };
  while (!in_.empty() && !paused_ && !transport().disconnecting()) {
    const bool delivered = deliver();
    if (!injected_.empty()) {
      keep_rest();
      kept_.append(bytes_of(std::exchange(injected_, {})));
      kept = true;
      in_ = kept_.text();
    } else if (!delivered) {
      break;
    }
  }
  keep_rest();
}

bool framed_protocol::unconsume(std::string_view rest) noexcept {
  if (!busy_ || !injected_.empty() || rest.data() + rest.size() != in_.data()) return false;
  in_ = {rest.data(), rest.size() + in_.size()};
  return true;
}

std::string framed_protocol::consume_all() {
  if (!busy_) return kept_.take_text(kept_.size());
  std::string all{in_};
  in_.remove_prefix(in_.size());
  return all + std::exchange(injected_, {});
}

void framed_protocol::pause_producing() {
  paused_ = true;
  transport().pause_producing();
}

void framed_protocol::resume_producing() {
  paused_ = false;
  transport().resume_producing();
  if (!busy_ && !kept_.empty()) transport().call([this] { run(kept_.text(), true); });
}

// ---- lines ----

void line_only_receiver::set_delimiter(std::string d) {
  if (d.empty()) throw misuse{"set_delimiter: lines must end with something"};
  delimiter_ = std::move(d);
  seen_ = 0;
}

void line_only_receiver::line_length_exceeded(std::string_view) { transport().lose_connection(); }

bool line_only_receiver::deliver() {
  const std::string_view in = input();
  const auto end = in.find(delimiter_, std::min(std::exchange(seen_, 0), in.size()));
  const bool whole = end != in.npos;
  if (whole ? end > max_length_ : in.size() >= max_length_ + delimiter_.size()) {
    consume(in.size());
    line_length_exceeded(in);
    return true;
  }
  if (!whole) {
    seen_ = in.size() - std::min(in.size(), delimiter_.size() - 1);
    return false;
  }
  consume(end + delimiter_.size());
  line_received(in.substr(0, end));
  return true;
}

void line_receiver::set_line_mode(bytes rest) {
  raw_ = false;
  if (rest.empty() || unconsume(text_of(rest))) return;
  data_received(rest);
}

bool line_receiver::deliver() {
  if (!raw_) return line_only_receiver::deliver();
  const std::string_view in = input();
  consume(in.size());
  raw_data_received(bytes_of(in));
  return true;
}

// ---- netstrings ----

void netstring_receiver::broken(std::string_view) { transport().lose_connection(); }

void netstring_receiver::send_string(std::string_view s) {
  transport().write_sequence({std::to_string(s.size()), ":", s, ","});
}

bool netstring_receiver::refuse(std::string_view why) {
  consume(input().size());
  in_string_ = false;
  broken(why);
  return true;
}

bool netstring_receiver::deliver() {
  if (!in_string_) {
    const std::string_view in = input();
    const std::string_view head = in.substr(0, 20);
    const auto digits = std::min(head.find_first_not_of("0123456789"), head.size());
    std::from_chars(head.data(), head.data() + digits, length_ = 0);
    if (digits == 20 || length_ > max_length_) return refuse("a netstring that is too long");
    if (digits > 1 && head[0] == '0') return refuse("a length with a leading zero");
    if (digits == in.size()) return false;
    if (digits == 0 || in[digits] != ':') return refuse("a length is missing");
    consume(digits + 1);
    in_string_ = true;
  }
  const std::string_view in = input();
  if (in.size() <= length_) return false;
  if (in[length_] != ',') return refuse("a netstring without its comma");
  in_string_ = false;
  consume(length_ + 1);
  string_received(in.substr(0, length_));
  return true;
}

// ---- strings behind their length ----

template <std::size_t Bytes>
void int_string_receiver<Bytes>::length_limit_exceeded(std::size_t) {
  transport().lose_connection();
}

template <std::size_t Bytes>
void int_string_receiver<Bytes>::send_string(std::string_view s) {
  if (s.size() >> (8 * Bytes) != 0) {
    throw error{make_error_code(errc::limit_exceeded), "send_string: " + std::to_string(s.size()) +
                                                           " bytes do not fit behind a length of " +
                                                           std::to_string(8 * Bytes) + " bits"};
  }
  std::array<char, Bytes> head{};
  for (std::size_t i = 0; i < Bytes; ++i) {
    head[i] = static_cast<char>(s.size() >> (8 * (Bytes - 1 - i)) & 0xff);
  }
  transport().write_sequence({std::string_view{head.data(), Bytes}, s});
}

template <std::size_t Bytes>
bool int_string_receiver<Bytes>::deliver() {
  const std::string_view in = input();
  if (in.size() < Bytes) return false;
  std::size_t length = 0;
  for (std::size_t i = 0; i < Bytes; ++i) length = length << 8 | static_cast<unsigned char>(in[i]);
  if (length > max_length_) {
    consume(in.size());
    length_limit_exceeded(length);
    return true;
  }
  if (in.size() - Bytes < length) return false;
  consume(Bytes + length);
  string_received(in.substr(Bytes, length));
  return true;
}

template class int_string_receiver<1>;
template class int_string_receiver<2>;
template class int_string_receiver<4>;

// ---- files ----

namespace {

/// Deletes itself when it has ended.
class file_sender final : public producer {
 public:
  explicit file_sender(std::unique_ptr<std::istream> from, transport& to)
      : from_{std::move(from)}, to_{to} {}
  void resume_producing() override {
    std::array<char, std::size_t{16} * 1024> piece;
    from_->read(piece.data(), piece.size());
    const auto n = static_cast<std::size_t>(from_->gcount());
    to_.write(std::string_view{piece.data(), n});
    if (n == piece.size()) return;
    const std::unique_ptr<file_sender> last{this};
    to_.unregister_producer();
    done.callback();
  }
  void stop_producing() override {
    const std::unique_ptr<file_sender> last{this};
    done.errback(connection_aborted{to_.get_peer().to_string()});
  }
  deferred<> done;

 private:
  std::unique_ptr<std::istream> from_;
  transport& to_;
};

}  // namespace

deferred<> send_file(std::unique_ptr<std::istream> from, transport& to) {
  auto sender = std::make_unique<file_sender>(std::move(from), to);
  const deferred<> done = sender->done;
  to.register_producer(*sender, false);
  static_cast<void>(sender.release());
  return done;
}

}  // namespace oneloop::inline v0
