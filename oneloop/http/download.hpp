// Downloads that survive broken connections: what has come is kept, and the rest is asked for.
//
//     file_sink file{"image.iso"};                       // a download_sink of yours
//     try {
//       co_await oneloop::http::download(client, {"GET", target}, file);
//     } catch (const oneloop::http::download_error& e) {
//       remember(e.partial());                           // go on tomorrow:
//       download_options::resume
//     }
//
// The rest is asked for by Range and If-Range (RFC 9110, 14), so that parts of different states are
// never joined: without a strong validator there is no going on, only a new beginning. Bodies are
// taken as they are, without content coding. See range.hpp for the parts of this.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "oneloop/base/config.hpp"
#include "oneloop/http/client.hpp"
#include "oneloop/http/conditional.hpp"
#include "oneloop/http/error.hpp"
#include "oneloop/http/range.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0::http {

/// Where a download goes: a file, mostly. What its members throw ends the download unchanged.
class ONELOOP_API download_sink {
 public:
  virtual ~download_sink();
  /// The body begins (anew): what was written before is no part of it.
  virtual task<> restart() = 0;
  /// The next bytes, at most 64 KiB.
  virtual task<> write(std::span<const std::byte> bytes) = 0;
};

/// Setters chain: `download_options{}.resume(partial).attempts(1)`.
class download_options {
 public:
  /// Go on where an earlier download ended: the sink has the first `p.received` bytes. If that
  /// isn't possible, the sink is restarted.
  download_options& resume(partial_content p) {
    partial_ = std::move(p);
    return *this;
  }
  /// Do nothing if it is still in the state that these tell of. Not with resume().
  download_options& unless(validators known) {
    known_ = std::move(known);
    return *this;
  }
  /// Requests in all. One more is made where a body broke off and can be resumed, and at once; or
  /// where a range was refused, for the whole. 4 unless said otherwise, at least 1.
  download_options& attempts(int n) noexcept {
    attempts_ = n < 1 ? 1 : n;
    return *this;
  }

 private:
  friend class downloader;
  partial_content partial_;
  validators known_;
  int attempts_ = 4;
};

struct download_result {
  bool not_modified = false;   // 304: nothing was done (download_options::unless)
  std::uint64_t size = 0;      // of the whole, bytes that an earlier download had brought included
  std::uint64_t received = 0;  // by this call, over the wire
  int requests = 0;            // that it took; redirects not counted
  validators state;            // of the response, for the next `unless`
};

/// The download broke off; kind, phase and text are those of the failure.
class ONELOOP_API download_error : public http_error {
 public:
  download_error(const http_error& cause, partial_content partial);
  ~download_error() override;
  download_error(const download_error&) = default;
  download_error& operator=(const download_error&) = default;
  /// What the sink has, and by what the rest can be asked for (if resumable()).
  [[nodiscard]] const partial_content& partial() const noexcept { return partial_; }

 private:
  partial_content partial_;
};

/// Downloads the body of a response with status 200 or 206 into `sink`; client and sink must
/// outlive it. Replaces Range, If-Range, Accept-Encoding, If-None-Match and If-Modified-Since in
/// `r`, whose method must be GET.
///
/// Errors: download_error when an exchange fails, the body is not all there, or the status is
/// another one (kind `status`); what the sink throws.
/// Cancellation: the connection is closed; the sink keeps what it has.
/// Cost: 64 KiB.
[[nodiscard]] ONELOOP_API task<download_result> download(client& c, request r, download_sink& sink,
                                                         download_options options = {});

}  // namespace oneloop::inline v0::http
