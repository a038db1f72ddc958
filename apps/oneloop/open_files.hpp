// How many connections there may be at a time: the limit of open files decides.
#pragma once

#include <cstdint>
#include <string_view>

namespace tool {

/// Raises the limit of open files as far as it goes: what it is now.
std::uint64_t raise_open_files();

/// Checks and connections at a time that the limit of open files has room for.
struct room {
  std::uint64_t checks;
  std::uint64_t connections;
};

/// Room for as many as are `wanted`, each of which takes `each` descriptors; if there is less, a
/// note says so. `what`: "check", for the note.
room room_for(std::uint64_t wanted, std::uint64_t each, std::string_view what);

}  // namespace tool
