// Requests, pipelined: a byte of choices, a byte that decides how they are cut, then what the
// client sends. What was read and is written again reads the same.
#include "fuzz/messages.hpp"

namespace {

using namespace oneloop::http;

void written_again(std::string_view text) {
  request_parser first;
  request_head head;
  try {
    const parse_step s = first.feed(fuzz::bytes(text));
    if (s.event != parse_event::head) return;
    head = first.head();
  } catch (const oneloop::error&) {
    return;
  }
  std::string again;
  write_head(again, head);
  request_parser second;
  const parse_step s = second.feed(fuzz::bytes(again));
  fuzz::check(s.event == parse_event::head, "a head that was written can be read");
  std::string one;
  std::string two;
  fuzz::tell(one, head);
  fuzz::tell(two, second.head());
  fuzz::check(one == two, "a head that was written says the same");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::input in{data, size};
  const unsigned choice = in.byte();
  const unsigned seed = in.byte();
  fuzz::same_in_pieces<request_parser>(in.rest(), seed, fuzz::limits_of(choice),
                                       [](request_parser&) {});
  written_again(in.rest());
  return 0;
}
