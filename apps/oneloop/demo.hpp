// oneloop demo: a site inside this process, checked one page at a time and then all at once.
#pragma once

namespace tool {

/// The exit status: 0 if every verdict is the one expected.
int demo_command();

}  // namespace tool
