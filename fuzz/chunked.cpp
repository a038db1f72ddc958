// Chunked bodies, in a response and in a request; and what is written in chunks reads the same.
#include "fuzz/messages.hpp"

namespace {

using namespace oneloop::http;

void written_in_chunks(std::string_view text, unsigned seed) {
  std::string wire = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  fuzz::pieces cut{seed};
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view piece = rest.substr(0, cut.next(rest.size()));
    rest.remove_prefix(piece.size());
    write_chunk_start(wire, piece.size());
    wire.append(piece).append(chunk_end);
  }
  wire += last_chunk;
  response_parser p;
  p.expect("GET");
  std::string body;
  for (std::string_view rest = wire;;) {
    const parse_step s = p.feed(fuzz::bytes(rest));
    rest.remove_prefix(s.consumed);
    body.append(reinterpret_cast<const char*>(s.body.data()), s.body.size());
    if (s.event == parse_event::complete) break;
    fuzz::check(bool{s}, "a body written in chunks ends");
  }
  fuzz::check(body == text, "a body written in chunks reads the same");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::input in{data, size};
  const unsigned choice = in.byte();
  const unsigned seed = in.byte();
  const std::string body{in.rest()};
  fuzz::same_in_pieces<response_parser>(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body, seed,
      fuzz::limits_of(choice & 0x60), [](response_parser& p) { p.expect("GET"); });
  fuzz::same_in_pieces<request_parser>(
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body, seed,
      fuzz::limits_of(choice & 0x60), [](request_parser&) {});
  written_in_chunks(body, seed);
  return 0;
}
