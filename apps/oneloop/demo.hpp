// oneloop demo: a site inside this process, checked one page at a time and then all at once, and
// the race.
#pragma once

namespace tool {

/// The exit status: 0 if every verdict is the one expected, or that of the race.
int demo_command();

}  // namespace tool
