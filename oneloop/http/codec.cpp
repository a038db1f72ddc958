#include "oneloop/http/codec.hpp"

#include <llhttp.h>

#include <algorithm>
#include <cassert>
#include <charconv>
#include <cstring>

#include "oneloop/base/error.hpp"
#include "oneloop/http/text_internal.hpp"

namespace oneloop::inline v0::http {
namespace {

using detail::quoted;
using detail::trimmed;

/// Calls `f` with each member of a comma-separated list.
template <class F>
void for_each_member(std::string_view list, F f) {
  for (;;) {
    const std::size_t comma = list.find(',');
    f(trimmed(list.substr(0, comma)));
    if (comma == list.npos) return;
    list.remove_prefix(comma + 1);
  }
}

/// Reads messages of either kind. llhttp reads the start line. The fields and the body's framing
/// are read here: the rules are stricter than llhttp's in what makes two readers disagree, and
/// milder in what servers really send (repeated lengths, spaces after a chunk's size, quoted
/// extensions).
class reader {
 public:
  reader(llhttp_type_t type, codec_limits limits)
      : limits_{limits}, request_{type == HTTP_REQUEST} {
    limits_.max_head = std::min(limits_.max_head, codec_limits::hard_max_head);
    llhttp_settings_init(&settings_);
    settings_.on_url = on_url;
    settings_.on_status = on_status;
    settings_.on_headers_complete = on_headers_complete;
    llhttp_init(&parser_, type, &settings_);
    parser_.data = this;
    if (request_) stage_ = stage::head;
  }

  void expect(std::string_view method, bool upgrade) {
    if (stage_ == stage::failed) throw_again();
    if (stage_ != stage::idle && stage_ != stage::done) {
      throw misuse{"http response_parser: expect() in the middle of a response"};
    }
    head_request_ = method == "HEAD";
    connect_request_ = method == "CONNECT";
    upgrade_request_ = upgrade;
    interim_bytes_ = 0;
    begin_message();
  }

  parse_step feed(std::span<const std::byte> input) {
    try {
      return step({reinterpret_cast<const char*>(input.data()), input.size()});
    } catch (const error& e) {
      failure_ = std::make_unique<error>(e);
      stage_ = stage::failed;
      throw;
    }
  }

  parse_event finish() {
    try {
      return end_of_input();
    } catch (const error& e) {
      failure_ = std::make_unique<error>(e);
      stage_ = stage::failed;
      throw;
    }
  }

  [[nodiscard]] bool started() const noexcept { return started_; }

  // What the message is; the names are those of the public classes.
  request_head request;
  response_head response;
  headers trailers;
  body_framing framing = body_framing::none;
  std::optional<std::uint64_t> content_length;
  std::uint64_t body_size = 0;
  bool keep_alive = false;
  int refusal = 400;  // what a server answers to the request that failed

 private:
  enum class stage : std::uint8_t {
    idle,    // a response that nobody has asked for yet
    head,    // collecting the head
    body,    // reading the body
    ending,  // all has been read; the next step says so
    done,    // and has said so
    tunnel,  // the rest is another protocol
    failed,
  };

  [[nodiscard]] const char* what() const noexcept {
    return request_ ? "http request" : "http response";
  }
  [[noreturn]] void protocol(std::string_view cause, int status = 400) {
    refusal = status;
    throw error{errc::protocol, std::string{what()} + ": " + std::string{cause}};
  }
  [[noreturn]] void limit(std::string_view cause, int status = 431) {
    refusal = status;
    throw error{errc::limit_exceeded, std::string{what()} + ": " + std::string{cause}};
  }
  [[noreturn]] void throw_again() const { throw error{*failure_}; }

  void begin_message() {
    if (request_) {
      request = {};
    } else {
      response = {};
    }
    trailers.clear();
    framing = body_framing::none;
    content_length.reset();
    body_size = 0;
    chunk_stage_ = chunk_stage::size;
    chunk_left_ = 0;
    overhead_ = 0;
    trailer_bytes_ = 0;
    keep_alive = false;
    started_ = false;
    interim_ = false;
    begin_head();
  }

  void begin_head() {
    raw_.clear();
    line_begin_ = 0;
    blank_bytes_ = 0;
    stage_ = stage::head;
  }

  parse_step step(std::string_view in) {
    switch (stage_) {
      case stage::failed: throw_again();
      case stage::idle:
        if (in.empty()) return {};
        protocol("bytes that no request has asked for: " + quoted(in));
      case stage::done:
        if (in.empty()) return {};
        if (!request_) protocol("bytes after the end of the message: " + quoted(in));
        begin_message();
        return collect_head(in);
      case stage::head: return collect_head(in);
      case stage::body: return read_body(in);
      case stage::ending: return end_message(0);
      case stage::tunnel: return {0, parse_event::upgrade, {}};
    }
    return {};
  }

  parse_step end_message(std::size_t consumed) {
    stage_ = tunnel_ ? stage::tunnel : stage::done;
    if (request_) started_ = false;  // of the next one nothing has come
    return {consumed, tunnel_ ? parse_event::upgrade : parse_event::complete, {}};
  }

  // ---- the head ----

  /// A head that comes at once is read where it is; pieces of one are put together in raw_.
  parse_step collect_head(std::string_view in) {
    if (interim_ && !in.empty() && raw_.empty()) response = {};  // there is an interim one
    const std::size_t kept = raw_.size();
    // One byte more than may be: that is seen below.
    if (kept != 0) raw_.append(in, 0, limits_.max_head - blank_bytes_ - kept + 1);
    std::string_view text = kept != 0 ? raw_ : in;
    std::size_t end = kept;  // of what has been looked at
    std::size_t dropped = 0;
    while (end < text.size()) {
      const std::size_t newline = text.find('\n', end);
      end = newline == text.npos ? text.size() : newline + 1;
      started_ = true;
      if (blank_bytes_ + end > limits_.max_head) {
        limit("the head is larger than " + std::to_string(limits_.max_head) + " bytes",
              line_begin_ == 0 ? 414 : 431);
      }
      if (line_begin_ == 0) check_beginning(text.substr(0, end));
      if (newline == text.npos) break;
      const bool blank = close_line(text.substr(line_begin_, newline - line_begin_));
      if (!blank) {
        line_begin_ = end;
      } else if (line_begin_ == 0) {     // an empty line before the start line
        if (request_) started_ = false;  // it is no part of the request
        blank_bytes_ += end;
        dropped += end;
        text.remove_prefix(end);
        end = 0;
      } else {
        read_head(text.substr(0, end));
        return end_head(end, dropped + end - kept);
      }
    }
    if (kept == 0) {
      raw_ = text;
    } else {
      raw_.erase(0, dropped);
    }
    return {in.size(), parse_event::need_input, {}};
  }

  parse_step end_head(std::size_t size, std::size_t consumed) {
    interim_ = !request_ && response.status / 100 == 1 && response.status != 101;
    if (interim_) {
      interim_bytes_ += size;
      if (interim_bytes_ > codec_limits::hard_max_head) limit("too many interim responses");
      begin_head();
      return {consumed, parse_event::interim, {}};
    }
    std::string{}.swap(raw_);  // an idle connection keeps no buffer
    return {consumed, parse_event::head, {}};
  }

  /// As soon as the first bytes are there: what can never become a message is refused at once.
  void check_beginning(std::string_view begin) {
    // Empty lines before the message.
    while (begin.starts_with('\r') || begin.starts_with('\n')) begin.remove_prefix(1);
    if (begin.empty()) return;
    if (request_) {
      const auto c = static_cast<unsigned char>(begin[0]);
      if (c == 0x16) protocol("a TLS handshake where plain HTTP is spoken");
      if (c <= 0x20 || c >= 0x7f) protocol("not HTTP: begins with " + quoted(begin));
    } else {
      constexpr std::string_view wanted = "HTTP/";
      const std::string_view got = begin.substr(0, wanted.size());
      if (got != wanted.substr(0, got.size())) {
        if (static_cast<unsigned char>(begin[0]) == 0x15 || begin[0] == 0x16) {
          protocol("a TLS record where plain HTTP is spoken");
        }
        protocol("not HTTP: begins with " + quoted(begin));
      }
    }
  }

  /// A line of the head is complete, but for its newline. True if it is empty.
  bool close_line(std::string_view line) {
    if (line.ends_with('\r')) {
      line.remove_suffix(1);
    } else if (request_) {
      protocol("a line ends without CR");
    }
    if (const std::size_t bad = std::min(line.find('\r'), line.find('\0')); bad != line.npos) {
      protocol(std::string{line[bad] == '\r' ? "a bare CR" : "a NUL"} +
               " in the head: " + quoted(line));
    }
    return line.empty();
  }

  /// Takes a whole head apart.
  void read_head(std::string_view rest) {
    auto next_line = [&rest] {
      const std::size_t end = rest.find('\n');
      std::string_view line = rest.substr(0, end);
      rest.remove_prefix(end + 1);
      if (line.ends_with('\r')) line.remove_suffix(1);
      return line;
    };
    const std::string_view start = next_line();
    if (start[0] == ' ' || start[0] == '\t') protocol("white space before the first line");
    headers& fields = request_ ? request.fields : response.fields;
    std::string folded;  // a field that goes on over several lines
    for (std::string_view line = next_line(); !line.empty(); line = next_line()) {
      if (line[0] == ' ' || line[0] == '\t') {
        protocol(request_ ? "a folded header line" : "white space before the first header");
      }
      if (!request_ && (rest.starts_with(' ') || rest.starts_with('\t'))) {
        folded = line;
        while (rest.starts_with(' ') || rest.starts_with('\t')) {
          folded.append(" ").append(trimmed(next_line()));
        }
        line = folded;
      }
      read_field(fields, line);
    }
    read_start_line(start);
    read_framing(fields);
    if (request_) check_host();
    stage_ = framing == body_framing::none ? stage::ending : stage::body;
  }

  /// One field line without its line break, and not folded.
  void read_field(headers& fields, std::string_view line) {
    const std::size_t colon = line.find(':');
    if (colon == line.npos) protocol("a header line without a colon: " + quoted(line));
    const std::string_view name = line.substr(0, colon);
    if (name.empty()) protocol("a header without a name: " + quoted(line));
    if (name.ends_with(' ') || name.ends_with('\t')) {
      protocol("white space before the colon of a header: " + quoted(line));
    }
    add_field(fields, name, trimmed(line.substr(colon + 1)));
  }

  void add_field(headers& fields, std::string_view name, std::string_view value) {
    if (fields.size() == limits_.max_fields) {
      limit("more than " + std::to_string(limits_.max_fields) + " header fields");
    }
    if ((detail::kinds_in(value) & detail::is_control) != 0) {
      protocol("a control character in header " + quoted(name));
    }
    try {
      fields.add(name, value);
    } catch (const misuse&) {
      protocol("a header name that is no token: " + quoted(name));
    }
  }

  /// How the body's end is found, from the fields and what the message answers (RFC 9112, 6.3).
  void read_framing(const headers& fields) {
    std::optional<std::uint64_t> length;
    std::string codings;
    bool chunked = false, has_codings = false;
    for (const field f : fields) {
      if (equal_ignoring_case(f.name, "content-length")) {
        for_each_member(f.value, [&](std::string_view digits) {
          std::uint64_t n = 0;
          const auto [end, err] = std::from_chars(digits.data(), digits.data() + digits.size(), n);
          if (digits.empty() || err != std::errc{} || end != digits.data() + digits.size()) {
            protocol("Content-Length is no length: " + quoted(f.value));
          }
          if (length && *length != n) protocol("two different values of Content-Length");
          length = n;
        });
      } else if (equal_ignoring_case(f.name, "transfer-encoding")) {
        has_codings = true;
        for_each_member(f.value, [&](std::string_view coding) {
          if (coding.empty()) return;
          if (chunked) protocol("a transfer coding after \"chunked\": " + quoted(f.value));
          chunked = equal_ignoring_case(coding, "chunked");
          if (!codings.empty()) codings += ", ";
          codings += coding;
        });
      }
    }
    if (has_codings && codings.empty()) protocol("an empty Transfer-Encoding");
    if (has_codings && request_) {
      if (length) protocol("both Content-Length and Transfer-Encoding");
      if (!chunked) protocol("Transfer-Encoding does not end in \"chunked\": " + quoted(codings));
      if (codings.size() != std::string_view{"chunked"}.size()) {
        protocol("transfer codings that are not known here: " + quoted(codings), 501);
      }
    }
    // Somebody in between may have read the message differently.
    content_length = has_codings ? std::nullopt : length;
    tunnel_ = is_tunnel();
    const int status = response.status;
    if (!request_ &&
        (head_request_ || status / 100 == 1 || status == 204 || status == 304 || tunnel_)) {
      framing = body_framing::none;
    } else if (chunked) {
      framing = body_framing::chunked;
    } else if (content_length) {
      framing = *content_length == 0 ? body_framing::none : body_framing::length;
    } else {
      framing = request_ ? body_framing::none : body_framing::until_close;
    }
    const int minor = request_ ? request.minor_version : response.minor_version;
    // Codings beside a length, or in HTTP/1.0 that had none: somebody in between may have read the
    // message differently.
    const bool suspicious = has_codings && (length.has_value() || minor == 0);
    keep_alive = framing != body_framing::until_close && !suspicious &&
                 !fields.has_token("Connection", "close") &&
                 (minor == 1 || fields.has_token("Connection", "keep-alive"));
  }

  void read_start_line(std::string_view start) {
    if (!request_) check_status_line(start);
    constexpr std::string_view head_end = "\r\n\r\n";
    request.target.clear();
    response.reason.clear();
    llhttp_reset(&parser_);
    llhttp_errno_t result = llhttp_execute(&parser_, start.data(), start.size());
    if (result == HPE_OK) result = llhttp_execute(&parser_, head_end.data(), head_end.size());
    if (result != HPE_PAUSED) {
      protocol(reason(result) + ": " + quoted(start), result == HPE_INVALID_VERSION ? 505 : 400);
    }
    const int major = parser_.http_major, minor = parser_.http_minor;
    if (major != 1 || minor > 1) {
      protocol("HTTP version " + std::to_string(major) + "." + std::to_string(minor) +
                   " is not spoken here: " + quoted(start),
               505);
    }
    if (request_) {
      // llhttp takes these two for parts of the target.
      const bool odd = request.target.find_first_of("\t\f") != request.target.npos;
      if (odd) protocol("a control character in the request target: " + quoted(start));
      request.method = llhttp_method_name(static_cast<llhttp_method_t>(parser_.method));
      request.minor_version = minor;
    } else {
      response.status = parser_.status_code;
      response.minor_version = minor;
      if (response.status == 101 && !upgrade_request_) {
        protocol("101 Switching Protocols, which nobody asked for");
      }
    }
  }

  /// Three digits, and nothing that sticks to them: llhttp takes two.
  void check_status_line(std::string_view start) {
    const std::size_t space = start.find(' ');
    const std::string_view rest = space == start.npos ? "" : start.substr(space + 1);
    const bool ok = rest.size() >= 3 && (rest.size() == 3 || rest[3] == ' ') && rest[0] != '0' &&
                    rest.substr(0, 3).find_first_not_of("0123456789") == rest.npos;
    if (!ok) protocol("a status line without a status: " + quoted(start));
  }

  void check_host() {
    std::size_t hosts = 0;
    for (const field f : request.fields) {
      if (!equal_ignoring_case(f.name, "host")) continue;
      ++hosts;
      // What no host and port can hold, and what two readers would split differently.
      if (f.value.find_first_of(" \t,/?#@\\\"<>") != f.value.npos) {
        protocol("no host and port: " + quoted(f.value));
      }
    }
    if (hosts > 1) protocol("more than one Host");
    if (hosts == 0 && request.minor_version == 1) protocol("no Host");
  }

  [[nodiscard]] bool is_tunnel() const noexcept {
    return !request_ &&
           (response.status == 101 || (connect_request_ && response.status / 100 == 2));
  }

  // ---- the body ----

  parse_step read_body(std::string_view in) {
    if (framing == body_framing::chunked) return read_chunked(in);
    if (framing == body_framing::until_close) return piece(in, in.size(), 0);
    if (*content_length > limits_.max_body) too_large();
    return piece(in, *content_length - body_size, 0);
  }

  /// Reports at most `most` bytes of `in` as body, `skipped` bytes having been consumed before.
  parse_step piece(std::string_view in, std::uint64_t most, std::size_t skipped) {
    if (in.empty()) return {skipped, parse_event::need_input, {}};
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(in.size(), most));
    body_size += size;
    if (body_size > limits_.max_body) too_large();
    if (framing == body_framing::length && body_size == *content_length) stage_ = stage::ending;
    return {skipped + size, parse_event::body, std::as_bytes(std::span{in.data(), size})};
  }

  parse_step read_chunked(std::string_view in) {
    std::size_t used = 0;
    while (used < in.size()) {
      if (chunk_stage_ == chunk_stage::data) {
        const parse_step s = piece(in.substr(used), chunk_left_, used);
        chunk_left_ -= s.body.size();
        if (chunk_left_ == 0) chunk_stage_ = chunk_stage::data_end;
        return s;
      }
      const std::size_t newline = in.find('\n', used);
      const std::size_t end = newline == in.npos ? in.size() : newline + 1;
      overhead_ += end - used;
      // Many small chunks are fine; framing that outgrows the body by far is an attack.
      if (raw_.size() + (end - used) > limits_.max_head ||
          overhead_ > limits_.max_head + 16 * body_size) {
        limit("chunk extensions or trailers that are too large");
      }
      raw_.append(in, used, end - used);
      used = end;
      if (chunk_stage_ == chunk_stage::data_end && !std::string_view{"\r\n"}.starts_with(raw_) &&
          raw_ != "\n") {
        protocol("a chunk is longer than its size says");
      }
      if (newline == in.npos) break;
      const bool over = read_chunk_line();
      raw_.clear();
      if (over) {
        std::string{}.swap(raw_);
        return end_message(used);
      }
    }
    return {used, parse_event::need_input, {}};
  }

  /// A line of the chunked framing is complete in raw_. True if it ends the body.
  bool read_chunk_line() {
    std::string_view line{raw_};
    line.remove_suffix(1);
    if (line.ends_with('\r')) {
      line.remove_suffix(1);
    } else if (request_) {
      protocol("a line ends without CR");
    }
    if (line.find_first_of(std::string_view{"\r\0", 2}) != line.npos) {
      protocol("a bare CR or a NUL in the framing of a chunk");
    }
    switch (chunk_stage_) {
      case chunk_stage::size: read_chunk_size(line); return false;
      case chunk_stage::data_end: chunk_stage_ = chunk_stage::size; return false;
      case chunk_stage::trailers:
        if (line.empty()) return true;
        trailer_bytes_ += raw_.size();
        if (trailer_bytes_ > limits_.max_head) limit("trailers that are too large");
        if (line[0] == ' ' || line[0] == '\t') protocol("a folded line after the last chunk");
        read_field(trailers, line);
        return false;
      case chunk_stage::data: break;
    }
    return false;
  }

  void read_chunk_size(std::string_view line) {
    const auto [end, err] =
        std::from_chars(line.data(), line.data() + line.size(), chunk_left_, 16);
    const std::string_view after = line.substr(static_cast<std::size_t>(end - line.data()));
    const std::string_view rest = trimmed(after);
    // A request may have space there only before an extension, as the grammar has it.
    const bool ok = err == std::errc{} && line[0] != '-' && (rest.empty() || rest[0] == ';') &&
                    (!request_ || !rest.empty() || after.empty());
    if (!ok) protocol("a chunk's size is no size: " + quoted(line));
    chunk_stage_ = chunk_left_ == 0 ? chunk_stage::trailers : chunk_stage::data;
  }

  [[noreturn]] void too_large() {
    limit("the body is larger than " + std::to_string(limits_.max_body) + " bytes", 413);
  }

  parse_event end_of_input() {
    switch (stage_) {
      case stage::failed: throw_again();
      case stage::idle:
      case stage::done:
      case stage::tunnel: return parse_event::need_input;
      case stage::ending: return end_message(0).event;
      case stage::head:
        if (interim_) ended("after an interim response, before the final one");
        if (!started_ && request_) return parse_event::need_input;
        if (!started_) ended("before the first byte");
        ended("inside the head");
      case stage::body: break;
    }
    if (framing == body_framing::length) {
      throw end_of_stream{what(), static_cast<std::size_t>(body_size),
                          static_cast<std::size_t>(*content_length)};
    }
    if (framing == body_framing::chunked) {
      ended("inside a chunked body, after " + std::to_string(body_size) + " bytes of it");
    }
    keep_alive = false;
    return end_message(0).event;
  }

  [[noreturn]] void ended(std::string_view where) const {
    throw error{errc::end_of_stream, std::string{what()} + ": end of stream " + std::string{where}};
  }

  [[nodiscard]] std::string reason(llhttp_errno_t code) const {
    const char* text = llhttp_get_error_reason(&parser_);
    return text != nullptr && *text != '\0' ? text : llhttp_errno_name(code);
  }

  // ---- llhttp's callbacks ----

  static reader& self(llhttp_t* p) noexcept { return *static_cast<reader*>(p->data); }

  static int on_url(llhttp_t* p, const char* at, std::size_t size) {
    self(p).request.target.append(at, size);
    return 0;
  }
  static int on_status(llhttp_t* p, const char* at, std::size_t size) {
    self(p).response.reason.append(at, size);
    return 0;
  }
  static int on_headers_complete(llhttp_t*) { return HPE_PAUSED; }  // the rest is ours

  codec_limits limits_;
  llhttp_settings_t settings_;
  llhttp_t parser_;
  const bool request_;
  stage stage_ = stage::idle;
  bool head_request_ = false, connect_request_ = false, upgrade_request_ = false;
  bool started_ = false;
  bool interim_ = false;  // at least one 1xx has come
  bool tunnel_ = false;
  std::string raw_;              // what has come of a head; later of a line of a chunk's framing
  std::size_t line_begin_ = 0;   // of the line that is arriving, in the head
  std::size_t blank_bytes_ = 0;  // empty lines before the start line
  std::size_t interim_bytes_ = 0;
  enum class chunk_stage : std::uint8_t { size, data, data_end, trailers };
  chunk_stage chunk_stage_ = chunk_stage::size;
  std::uint64_t chunk_left_ = 0;  // of the data of the current chunk
  std::uint64_t overhead_ = 0;    // bytes of chunk framing so far
  std::size_t trailer_bytes_ = 0;
  std::unique_ptr<error> failure_;
};

void check_line(std::string_view text, std::string_view what, bool spaces) {
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f || (c == ' ' && !spaces)) {
      throw misuse{"http: " + std::string{what} +
                   " holds a character that breaks the line: " + quoted(text)};
    }
  }
}

/// Room for a head, `start`: the bytes of its first line.
void reserve_head(std::string& out, std::size_t start, const headers& fields) {
  std::size_t size = start + 2;
  for (const field f : fields) size += f.name.size() + f.value.size() + 4;
  out.reserve(out.size() + size);
}

void write_fields(std::string& out, const headers& fields) {
  for (const field f : fields) detail::write_field(out, f.name, f.value);
  out += "\r\n";
}

}  // namespace

struct response_parser::impl : reader {
  using reader::reader;
};
struct request_parser::impl : reader {
  using reader::reader;
};

response_parser::response_parser(codec_limits limits)
    : impl_{std::make_unique<impl>(HTTP_RESPONSE, limits)} {}
response_parser::~response_parser() = default;
response_parser::response_parser(response_parser&&) noexcept = default;
response_parser& response_parser::operator=(response_parser&&) noexcept = default;

void response_parser::expect(std::string_view method, bool upgrade) {
  impl_->expect(method, upgrade);
}
parse_step response_parser::feed(std::span<const std::byte> input) { return impl_->feed(input); }
parse_event response_parser::finish() { return impl_->finish(); }
bool response_parser::started() const noexcept { return impl_->started(); }
response_head& response_parser::head() noexcept { return impl_->response; }
headers& response_parser::trailers() noexcept { return impl_->trailers; }
body_framing response_parser::framing() const noexcept { return impl_->framing; }
std::optional<std::uint64_t> response_parser::content_length() const noexcept {
  return impl_->content_length;
}
std::uint64_t response_parser::body_size() const noexcept { return impl_->body_size; }
bool response_parser::keep_alive() const noexcept { return impl_->keep_alive; }

request_parser::request_parser(codec_limits limits)
    : impl_{std::make_unique<impl>(HTTP_REQUEST, limits)} {}
request_parser::~request_parser() = default;
request_parser::request_parser(request_parser&&) noexcept = default;
request_parser& request_parser::operator=(request_parser&&) noexcept = default;

parse_step request_parser::feed(std::span<const std::byte> input) { return impl_->feed(input); }
parse_event request_parser::finish() { return impl_->finish(); }
bool request_parser::started() const noexcept { return impl_->started(); }
request_head& request_parser::head() noexcept { return impl_->request; }
headers& request_parser::trailers() noexcept { return impl_->trailers; }
body_framing request_parser::framing() const noexcept { return impl_->framing; }
std::optional<std::uint64_t> request_parser::content_length() const noexcept {
  return impl_->content_length;
}
std::uint64_t request_parser::body_size() const noexcept { return impl_->body_size; }
bool request_parser::keep_alive() const noexcept { return impl_->keep_alive; }
int request_parser::refusal() const noexcept { return impl_->refusal; }

void detail::write_request_line(std::string& out, std::string_view method, std::string_view target,
                                int minor_version) {
  check_line(method, "the method", false);
  check_line(target, "the request target", false);
  if (method.empty() || target.empty()) {
    throw misuse{"http: a request needs a method and a target"};
  }
  out.append(method).append(" ").append(target);
  out.append(minor_version == 0 ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n");
}

void write_head(std::string& out, const request_head& head) {
  reserve_head(out, head.method.size() + head.target.size() + 12, head.fields);
  detail::write_request_line(out, head.method, head.target, head.minor_version);
  write_fields(out, head.fields);
}

void write_head(std::string& out, const response_head& head) {
  check_line(head.reason, "the reason", true);
  if (head.status < 100 || head.status > 999) {
    throw misuse{"http: " + std::to_string(head.status) + " is no status"};
  }
  const std::string_view reason = head.reason.empty() ? reason_phrase(head.status) : head.reason;
  reserve_head(out, reason.size() + 15, head.fields);
  out.append(head.minor_version == 0 ? "HTTP/1.0 " : "HTTP/1.1 ");
  out.append(std::to_string(head.status)).append(" ").append(reason).append("\r\n");
  write_fields(out, head.fields);
}

void write_chunk_start(std::string& out, std::size_t size) {
  if (size == 0) throw misuse{"http: a chunk without bytes would end the body"};
  char digits[16];
  const auto end = std::to_chars(digits, digits + sizeof digits, size, 16).ptr;
  out.append(digits, end).append("\r\n");
}

}  // namespace oneloop::inline v0::http
