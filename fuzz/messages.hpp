// Reading messages whole and in pieces must be the same: the account that a parser gives of an
// input, as text.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "fuzz/check.hpp"
#include "oneloop/base/error.hpp"
#include "oneloop/http/codec.hpp"

namespace fuzz {

namespace http = oneloop::http;

inline void tell(std::string& log, const http::headers& fields) {
  for (const auto f : fields) log.append(f.name).append(": ").append(f.value).append("\n");
}
inline void tell(std::string& log, const http::response_head& h) {
  log += "response " + std::to_string(h.status) + " " + h.reason + " 1." +
         std::to_string(h.minor_version) + "\n";
  tell(log, h.fields);
}
inline void tell(std::string& log, const http::request_head& h) {
  log += "request " + h.method + " " + h.target + " 1." + std::to_string(h.minor_version) + "\n";
  tell(log, h.fields);
}

/// `ready(p)` is called before each message. `cut`: in pieces of these sizes; null: whole.
template <class Parser, class Ready>
std::string account(Parser p, std::string_view text, pieces* cut, Ready ready) {
  std::string log;
  std::string body;
  try {
    ready(p);
    bool over = false;
    while (!text.empty() && !over) {
      std::string_view piece = text.substr(0, cut != nullptr ? cut->next(text.size()) : text.npos);
      text.remove_prefix(piece.size());
      for (;;) {
        const http::parse_step s = p.feed(bytes(piece));
        check(s.consumed <= piece.size(), "no more is consumed than there is");
        piece.remove_prefix(s.consumed);
        if (s.event == http::parse_event::need_input) {
          check(piece.empty(), "all is consumed before more is needed");
          break;
        }
        if (s.event == http::parse_event::interim || s.event == http::parse_event::head) {
          tell(log, p.head());
        } else if (s.event == http::parse_event::body) {
          check(!s.body.empty(), "a piece of a body is not empty");
          body.append(reinterpret_cast<const char*>(s.body.data()), s.body.size());
        } else {
          check(p.body_size() == body.size(), "body_size() is what came");
          check(p.framing() != http::body_framing::length || p.content_length() == body.size(),
                "the length holds");
          log += "body " + std::exchange(body, {}) + "\n";
          tell(log, p.trailers());
          log += p.keep_alive() ? "keep\n" : "close\n";
          over = s.event == http::parse_event::upgrade || !p.keep_alive();
          if (over) break;
          ready(p);
        }
      }
    }
    if (!over) {
      const bool ended = p.finish() == http::parse_event::complete;
      log += ended ? "ends " + body : std::string{"nothing"};
    }
  } catch (const oneloop::error& e) {
    // Of several things that are wrong, another one may be found first, and what came before it may
    // have been given or not.
    const bool cut_off = e.code() == oneloop::errc::end_of_stream;
    log += cut_off ? "cut off " + body : std::string{"error"};
  }
  return log;
}

template <class Parser, class Ready>
void same_in_pieces(std::string_view text, unsigned seed, http::codec_limits limits, Ready ready) {
  pieces cut{seed};
  const std::string whole = account(Parser{limits}, text, nullptr, ready);
  const std::string parts = account(Parser{limits}, text, &cut, ready);
  if (whole != parts) {
    std::fprintf(stderr, "---- whole:\n%s\n---- in pieces:\n%s\n", whole.c_str(), parts.c_str());
  }
  check(whole == parts, "it does not matter how the input is cut");
}

inline http::codec_limits limits_of(unsigned choice) {
  http::codec_limits l;
  if ((choice & 0x10) != 0) l.max_head = 64;
  if ((choice & 0x20) != 0) l.max_fields = 2;
  if ((choice & 0x40) != 0) l.max_body = 16;
  return l;
}

}  // namespace fuzz
