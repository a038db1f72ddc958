#include "oneloop/http/download.hpp"

#include <string>
#include <vector>

#include "oneloop/base/error.hpp"

namespace oneloop::inline v0::http {

download_sink::~download_sink() = default;

download_error::download_error(const http_error& cause, partial_content partial)
    : http_error{cause}, partial_{std::move(partial)} {}
download_error::~download_error() = default;

class downloader {
 public:
  downloader(client& c, request r, download_sink& sink, download_options options)
      : client_{c},
        request_{std::move(r)},
        sink_{sink},
        attempts_{options.attempts_},
        have_{std::move(options.partial_)},
        conditional_{options.known_} {
    if (request_.method() != "GET") throw misuse{"http download: only GET brings a body"};
    request_.decode(false).fields().set("Accept-Encoding", "identity");
    options.known_.ask(request_.fields());
  }

  task<download_result> run() {
    while (true) {
      const std::uint64_t before = result_.received;
      std::optional<http_error> broken;
      bool over = false;
      try {
        auto trying = attempt();
        over = co_await std::move(trying);
      } catch (const http_error& e) {
        broken = e;
      }
      if (over) co_return result_;
      const bool go_on = !broken || (have_.resumable() && result_.received > before);
      if (!go_on || result_.requests == attempts_) {
        throw download_error{broken ? *broken : refused_range(), have_};
      }
    }
  }

 private:
  /// One request: whether the download is complete. If not, another one may help.
  task<bool> attempt() {
    have_.ask(request_.fields());
    ++result_.requests;
    auto sending = client_.send(request_);
    auto answer = co_await std::move(sending);
    if (answer.status() == 304 && conditional_) {
      result_.not_modified = true;
      co_return true;
    }
    std::optional<std::uint64_t> end;  // where this answer's bytes end
    switch (have_.answer(answer.status(), answer.fields())) {
      case partial_content::outcome::complete: result_.size = have_.received; co_return true;
      case partial_content::outcome::restart: {
        have_ = {};
        have_.validator = strong_validator(answer.fields());
        have_.total = length_of(answer);
        auto restarting = sink_.restart();
        co_await std::move(restarting);
        break;
      }
      case partial_content::outcome::append: {
        const auto range = parse_content_range(answer.fields().get("Content-Range").value_or(""));
        if (!have_.total) have_.total = range->total;
        end = range->range->last + 1;
        break;
      }
      case partial_content::outcome::refused:
        if (!request_.fields().contains("Range")) refuse(answer);
        if (answer.status() != 206 && answer.status() != 416) refuse(answer);
        have_ = {};  // the next request is for the whole
        co_return false;
    }
    result_.state = validators::of(answer.fields());
    auto taking = take(answer, end);
    co_await std::move(taking);
    result_.size = have_.received;
    // A server may give less than the whole rest at a time.
    co_return !have_.total || have_.received >= *have_.total;
  }

  task<> take(response& answer, std::optional<std::uint64_t> end) {
    std::vector<std::byte> buffer(64 * 1024);
    while (true) {
      auto reading = answer.read_some(buffer);
      const auto n = co_await std::move(reading);
      if (n == 0) break;
      if (end && n > *end - have_.received) {
        fail(answer, "more than its Content-Range says");
      }
      auto writing = sink_.write(std::span{buffer}.first(n));
      co_await std::move(writing);
      have_.received += n;
      result_.received += n;
    }
    if (end && have_.received != *end) fail(answer, "less than its Content-Range says");
  }

  static std::optional<std::uint64_t> length_of(const response& answer) {
    const auto text = answer.fields().get("Content-Length");
    if (!text || answer.fields().contains("Transfer-Encoding")) return {};
    // The parser has seen to it that it is a number; several equal ones may be in a list.
    return std::stoull(std::string{*text});
  }

  [[noreturn]] static void fail(const response& answer, const char* what) {
    throw http_error{error_kind::protocol, "body", errc::protocol,
                     "body of " + answer.final_url().display() + ": " + what};
  }

  /// A response that is no part of what was asked for.
  [[noreturn]] void refuse(const response& answer) const {
    answer.expect_success();
    throw http_error{error_kind::status, "status", errc::protocol,
                     "GET " + answer.final_url().display() + ": " +
                         std::to_string(answer.status()) + ", where a whole body was asked for"};
  }
  [[nodiscard]] http_error refused_range() const {
    return http_error{error_kind::protocol, "body", errc::protocol,
                      "GET " + request_.target().display() + ": the rest could not be had in " +
                          std::to_string(attempts_) + " requests"};
  }

  client& client_;
  request request_;
  download_sink& sink_;
  int attempts_;
  partial_content have_;
  bool conditional_;
  download_result result_;
};

task<download_result> download(client& c, request r, download_sink& sink,
                               download_options options) {
  downloader d{c, std::move(r), sink, std::move(options)};
  auto running = d.run();
  auto result = co_await std::move(running);
  co_return result;
}

}  // namespace oneloop::inline v0::http
