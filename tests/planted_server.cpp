#include <algorithm>
#include <array>
#include <functional>
#include <span>

#include "oneloop/base/error.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/task/region.hpp"
#include "planted_site.hpp"

namespace oneloop::planted {
namespace {

using namespace std::chrono_literals;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span{text});
}

/// Until the peer has closed.
task<> wait_for_end(net::tcp_stream& stream) {
  std::array<std::byte, 1024> piece;
  std::size_t n = 1;
  while (n != 0) n = co_await stream.read_some(piece);
}

task<> pieces(net::tcp_stream& to, std::string_view text, std::size_t size, duration between) {
  while (!text.empty()) {
    co_await to.write_all(bytes_of(text.substr(0, size)));
    text.remove_prefix(std::min(size, text.size()));
    co_await sleep_for(between);
  }
}

std::string in_chunks(std::string_view text) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string all;
  while (!text.empty()) {
    const auto n = std::min<std::size_t>(text.size(), 15);
    all += digits[n];
    all.append("\r\n").append(text.substr(0, n)).append("\r\n");
    text.remove_prefix(n);
  }
  return all;
}

}  // namespace

server::answer server::answer_to(int host, std::string_view method, std::string_view target) {
  const std::string url = canonical(site_.url_of(host, target));
  {
    const std::scoped_lock hold{lock_};
    log_.push_back(std::string{method}.append(" ").append(url));
  }
  answer a;
  a.head = method == "HEAD";
  a.count = &counted_[url];
  ++(a.head ? a.count->head : a.count->get);
  if (const auto* r = site_.find(url)) {
    std::size_t& given = given_[url];
    if (a.head && r->to_head != 0) {
      a.what.status = r->to_head;
    } else if (given < r->first.size()) {
      a.what = r->first[given++];
    } else {
      a.what = r->then;
    }
  } else if (auto made = site_.make(url)) {
    a.what = *std::move(made);
  } else {
    a.what.status = 404;
    a.what.body = "<p>There is nothing here.";
  }
  bool comes = a.what.status < 400;
  switch (a.what.how) {
    case manner::whole:
    case manner::chunked:
    case manner::unframed:
    case manner::dribble:
    case manner::surplus: comes = comes && (a.head || !a.what.too_large); break;
    case manner::drop:
    case manner::garbage:
    case manner::hang: comes = false; break;
    default: comes = comes && a.head;
  }
  if (comes) {
    ++a.count->successes;
  } else {
    ++(a.head ? a.count->failed_head : a.count->failed_get);
  }
  return a;
}

/// Whether the connection is still of use.
task<bool> server::send(net::tcp_stream& to, answer a) {
  const reply& r = a.what;
  if (r.how == manner::drop) co_return false;
  if (r.how == manner::hang) {
    auto waiting = wait_for_end(to);
    co_await std::move(waiting);
    co_return false;
  }
  if (r.how == manner::garbage) {
    co_await to.write_all(bytes_of("220 this is no web server\r\n"));
    co_return false;
  }
  const bool in_pieces =
      r.how == manner::chunked || r.how == manner::cut_chunked || r.how == manner::bad_chunk;
  const bool unframed =
      r.how == manner::unframed || r.how == manner::endless || r.how == manner::endless_dribble;
  std::string text = "HTTP/1.1 " + std::to_string(r.status) + " Whatever\r\n" + r.fields;
  if (!r.type.empty()) text += "Content-Type: " + r.type + "\r\n";
  if (in_pieces) {
    text += "Transfer-Encoding: chunked\r\n";
  } else if (unframed) {
    text += "Connection: close\r\n";
  } else {
    const std::size_t n = r.how == manner::surplus ? r.body.size() / 2 : r.body.size();
    text += "Content-Length: " + std::to_string(n) + "\r\n";
  }
  text += "\r\n";
  if (a.head) {
    co_await to.write_all(bytes_of(text));
    co_return !unframed;
  }
  const std::string_view half = std::string_view{r.body}.substr(0, r.body.size() / 2);
  switch (r.how) {
    case manner::chunked: text += in_chunks(r.body) + "0\r\n\r\n"; break;
    case manner::cut_chunked: text += in_chunks(half); break;
    case manner::bad_chunk: text += in_chunks(half) + "so it goes\r\n"; break;
    case manner::cut:
    case manner::stall: text += half; break;
    case manner::dribble:
    case manner::endless:
    case manner::endless_dribble: break;
    default: text += r.body;
  }
  co_await to.write_all(bytes_of(text));
  switch (r.how) {
    case manner::whole:
    case manner::chunked: co_return true;
    case manner::dribble: {
      auto sending = pieces(to, r.body, 100, 2ms);
      co_await std::move(sending);
      co_return true;
    }
    case manner::stall: {
      auto waiting = wait_for_end(to);
      co_await std::move(waiting);
      co_return false;
    }
    case manner::endless:
    case manner::endless_dribble: {
      const std::string more(r.how == manner::endless ? 16 * 1024 : 3, ' ');
      while (true) {
        co_await to.write_all(bytes_of(more));
        if (r.how == manner::endless_dribble) co_await sleep_for(50ms);
      }
    }
    default: co_return false;
  }
}

task<> server::talk(net::tcp_stream stream, int host) {
  std::string got;
  std::array<std::byte, 4096> piece;
  try {
    bool kept = true;
    while (kept) {
      auto end = got.find("\r\n\r\n");
      while (end == got.npos) {
        const auto n = co_await stream.read_some(piece);
        if (n == 0) co_return;
        got.append(reinterpret_cast<const char*>(piece.data()), n);
        end = got.find("\r\n\r\n");
      }
      const std::string_view line{got.data(), got.find("\r\n")};
      const auto first = line.find(' ');
      const auto second = line.rfind(' ');
      answer a = answer_to(host, line.substr(0, first), line.substr(first + 1, second - first - 1));
      got.erase(0, end + 4);
      if (delay_ > duration::zero()) co_await sleep_for(delay_);
      auto sending = send(stream, std::move(a));
      kept = co_await std::move(sending);
    }
  } catch (const error&) {
    co_return;  // the peer has gone
  }
}

task<> server::serve(net::tcp_listener& at, int host) {
  auto body = [&](nursery& n) -> task<> {
    while (true) {
      net::tcp_stream stream = co_await at.accept();
      n.start([](server* self, net::tcp_stream s,
                 int which) { return self->talk(std::move(s), which); },
              this, std::move(stream), host);
    }
  };
  auto running = with_nursery(std::ref(body));
  co_await std::move(running);
}

}  // namespace oneloop::planted
