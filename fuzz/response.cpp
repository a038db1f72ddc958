// Responses: a byte of choices, a byte that decides how they are cut, then what the server sends.
#include "fuzz/messages.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::input in{data, size};
  const unsigned choice = in.byte();
  const unsigned seed = in.byte();
  static constexpr const char* methods[] = {"GET", "HEAD", "CONNECT", "POST"};
  fuzz::same_in_pieces<oneloop::http::response_parser>(
      in.rest(), seed, fuzz::limits_of(choice),
      [&](oneloop::http::response_parser& p) { p.expect(methods[choice & 3], (choice & 4) != 0); });
  return 0;
}
